"""Cuts the text of an IOS configuration into commands, without comments, banners and certificates, secrets hidden.

A command keeps its indentation; what belongs to which section is decided by the reader, because real files are
indented in every way there is. What this leaves out: menus (``menu X text``) and macros, read as ordinary lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..secret import Secret
from .config import Line
from .redaction import HIDDEN, secret_end, secret_start

_BANNER = re.compile(
    r"ban(?:n(?:er?)?)?\s+(?:(?:motd|exec|login|incoming|prompt-timeout|slip-ppp|config-save)\s+)?(\^C|[^A-Za-z0-9\s]|\x03)(.*)",
    re.IGNORECASE,
)
_TYPED_BANNER = re.compile(r"banner\s+(?:motd|exec|login|incoming)\s+(\S)(.*)", re.IGNORECASE)
_NEGATIONS = frozenset({"no", "default"})
#: A line of the body of a certificate or key.
HEXADECIMAL = re.compile(r"[0-9A-Fa-f\s]+")
_TRAILING_COMMENT = re.compile(r"\s+!.*$")
#: After a key only a comment that stands alone is cut: ``!`` may be part of the key itself.
_COMMENT_AFTER_SECRET = re.compile(r"\s+!(\s.*)?$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``words`` hold no secret; ``secret`` is what stood in the place of the word ``<secret>``.

    ``negated`` is True for ``no X`` and ``default X`` (the word itself is not in ``words``); ``opens`` when the next
    command is indented deeper; ``secret`` is None too when a ``hex`` key is not hexadecimal; ``where`` is
    ``path:line`` for messages. ``body_bytes``: length of the hexadecimal body that follows; the body itself is gone.
    """

    words: tuple[str, ...]
    indent: int
    line: Line
    where: str
    negated: bool = False
    secret: Secret | None = None
    opens: bool = False
    body_bytes: int = 0


def _is_comment(stripped: str) -> bool:
    """Return True for ``!`` lines and for the ``# ...`` and ``--- ...`` lines that people put into paste scripts."""
    return not stripped or stripped.startswith(("!", "#", "--"))


def _after_banner(lines: list[str], position: int, stripped: str) -> int | None:
    """Return the index of the line after the banner that ``stripped`` opens; None when it opens none."""
    match = _BANNER.match(stripped) or _TYPED_BANNER.match(stripped)
    if match is None:
        return None
    delimiter, rest = match.groups()
    if delimiter in rest:
        return position
    for index in range(position, len(lines)):
        if delimiter in lines[index]:
            return index + 1
    # Never closed: a cut-off file. Losing one line is better than losing the rest of the configuration.
    return position


def opens_hexadecimal_body(words: list[str]) -> bool:
    """Return True for the commands that are followed by lines of hexadecimal digits up to ``quit``."""
    first = words[0].lower()
    return (first == "certificate" and len(words) > 1) or (first == "key-string" and len(words) == 1)


def _after_hexadecimal_body(lines: list[str], position: int) -> int:
    while position < len(lines):
        stripped = lines[position].strip()
        if stripped.lower() == "quit":
            return position + 1
        if stripped and not HEXADECIMAL.fullmatch(stripped):
            return position
        position += 1
    return position


def _hexadecimal_bytes(lines: list[str]) -> int:
    """Return how many bytes these lines of hexadecimal digits stand for, ``quit`` left out."""
    digits = [line for line in lines if HEXADECIMAL.fullmatch(line)]
    return sum(len("".join(line.split())) for line in digits) // 2


def _printable(text: str) -> str:
    """Return the text with control characters replaced: configuration text must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def _without_comment(stripped: str) -> str:
    """Return the line without a trailing ``! comment``; descriptions keep theirs."""
    return stripped if stripped.lower().startswith("desc") else _TRAILING_COMMENT.sub("", stripped)


def _secret_start(words: list[str]) -> int | None:
    """Return the index of the first secret word of a whole line, ``no`` included."""
    skipped = 1 if words[0].lower() in _NEGATIONS else 0
    start = secret_start(words[skipped:])
    return None if start is None else start + skipped


def _secret(words: list[str], start: int) -> Secret | None:
    """Return the secret that begins at ``words[start]``; None when it should be hexadecimal and is not."""
    text = " ".join(words[start:])
    if start and words[start - 1].lower() == "hex":
        try:
            return Secret(bytes.fromhex(text))
        except ValueError:
            return None
    return Secret(text)


def _command(raw: str, path: Path, number: int) -> Command:
    """Return the command of one line that is not a comment. From here on nobody sees a secret."""
    expanded = raw.expandtabs()
    indent = len(expanded) - len(expanded.lstrip())
    words = _without_comment(raw.strip()).split()
    secret = None
    start = _secret_start(raw.split())
    with_secret = _COMMENT_AFTER_SECRET.sub("", raw.strip()).split()
    if start is not None and start < len(with_secret):  # else only the comment speaks of a secret, and it is gone
        end = secret_end(with_secret, start)
        secret = _secret(with_secret[:end], start)
        words = [*with_secret[:start], HIDDEN, *with_secret[end:]]
    negated = len(words) > 1 and words[0].lower() in _NEGATIONS
    line = Line(path.name, number, _printable(" ".join(words)))
    return Command(tuple(words[1:] if negated else words), indent, line, f"{path}:{number}", negated, secret)


def lex(text: str, path: Path) -> list[Command]:
    """Return the commands of a configuration in the order of the file. Raises nothing: any text has commands."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    commands: list[Command] = []
    position = 0
    while position < len(lines):
        raw = lines[position]
        position += 1
        stripped = raw.strip()
        if _is_comment(stripped):
            continue
        after_banner = _after_banner(lines, position, stripped)
        if after_banner is not None:
            position = after_banner
            continue
        command = _command(raw, path, position)
        if opens_hexadecimal_body(stripped.split()):
            body = position
            position = _after_hexadecimal_body(lines, position)
            command = replace(command, body_bytes=_hexadecimal_bytes(lines[body:position]))
        if commands and command.indent > commands[-1].indent:
            commands[-1] = replace(commands[-1], opens=True)
        commands.append(command)
    return commands
