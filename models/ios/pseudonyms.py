"""Copies of configurations in which every secret has a pseudonym: equal secrets stay equal, nothing can be read back.

A result keeps such copies, so that a run can be repeated without the keys. Line numbers stay as they are, and so do
the lengths of certificates, whose content becomes zeros.
What this leaves out: secrets in free text (descriptions, banners); comments are emptied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..yaml_input import read_text
from .lexer import HEXADECIMAL, opens_hexadecimal_body
from .redaction import secret_start

_DIGIT = re.compile("[0-9A-Fa-f]")


def pseudonymous_copies(folder: Path, files: Iterable[str], names: dict[str, str] | None = None) -> dict[str, str]:
    """Return the text of each file by its name, with pseudonyms that hold for all of them together.

    ``names``: takes the pseudonym of each secret.
    """
    names = {} if names is None else names
    return {Path(f).name: _copy(read_text(folder / Path(f).name), names) for f in sorted(files)}


def _copy(text: str, names: dict[str, str]) -> str:
    lines, in_body = [], False
    for line in text.splitlines():
        in_body = in_body and (not line.strip() or HEXADECIMAL.fullmatch(line) is not None)
        lines.append(_DIGIT.sub("0", line) if in_body else _line(line, names))
        words = line.split()
        in_body = in_body or (bool(words) and opens_hexadecimal_body(words))
    return "\n".join(lines) + "\n"


def _line(line: str, names: dict[str, str]) -> str:
    stripped = line.strip()
    if stripped.startswith("!"):
        return "!"
    words = stripped.split()
    negated = bool(words) and words[0] == "no"
    start = secret_start(words[1:] if negated else words)
    if start is None:
        return line
    start += negated
    secret = " ".join(words[start:])
    pseudonym = names.setdefault(secret, f"secret-{len(names) + 1}")
    # A pseudonym is not hexadecimal, so the word that announces such a key goes too.
    while words[start - 1] == "hex":
        start -= 1
    indent = line[: len(line) - len(line.lstrip())]
    return indent + " ".join([*words[:start], pseudonym])
