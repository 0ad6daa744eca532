"""Print every skipped test; exit code 1 when one is not allowed: ``check_skips.py JUNIT_XML ALLOWED``."""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree


def main(report: Path, allowed_file: Path) -> int:
    lines = (line.partition("#")[0].strip() for line in allowed_file.read_text().splitlines())
    allowed = [line for line in lines if line]
    unlisted = 0
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if skipped is None:
            continue
        name = f"{case.get('classname')}::{case.get('name')}"
        listed = any(fnmatch(name, pattern) for pattern in allowed)
        unlisted += not listed
        print(f"skipped{'' if listed else ', NOT LISTED'}: {name}: {skipped.get('message')}")
    print(f"{unlisted} skipped tests are not in {allowed_file.name}")
    return 1 if unlisted else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
