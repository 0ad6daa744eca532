"""The wheel holds exactly the tracked files of the package: ``check_wheel.py DIST``. Exit code 1 when it does not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = ("models", "hardware", "simulate", "experiments")


def main(dist: Path) -> int:
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], capture_output=True, text=True, check=True)
    expected = {f"flexvpn_sim/{name}" for name in tracked.stdout.split()}
    expected |= {"flexvpn_sim/__init__.py", "flexvpn_sim/py.typed"}
    (wheel,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    for name in sorted(expected - names):
        print(f"missing from the wheel: {name}")
    for name in sorted(names - expected):
        print(f"in the wheel but not tracked: {name}")
    return 0 if names == expected else 1


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
