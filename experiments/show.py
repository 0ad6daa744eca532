"""``show`` commands on the routers of a result, in the layout of IOS XE 16.9.

Layouts are those of captured outputs; the text is rebuilt from the result's tables for any time of the run.
"""

from __future__ import annotations

from collections.abc import Callable

from ..models.errors import InputError, unknown_name
from .result import Result
from .show_ikev2 import ikev2_sa, ikev2_session, ikev2_stats
from .show_ipsec import ipsec_sa
from .snapshot import Snapshot, snapshot

COMMANDS: dict[str, Callable[[Snapshot], str]] = {
    "crypto ikev2 sa": lambda state: ikev2_sa(state, detailed=False),
    "crypto ikev2 sa detailed": lambda state: ikev2_sa(state, detailed=True),
    "crypto ikev2 session": lambda state: ikev2_session(state, detailed=False),
    "crypto ikev2 session detailed": lambda state: ikev2_session(state, detailed=True),
    "crypto ikev2 stats": ikev2_stats,
    "crypto ipsec sa": ipsec_sa,
}


def show(result: Result, router: str, command: str, at_s: float | None = None) -> str:
    """Return what ``show COMMAND`` prints on ``router`` at ``at_s`` (default: the end of the run).

    Words may be abbreviated as in IOS; a leading ``show`` is allowed. Raises InputError for an unknown command, router
    or time.
    """
    return COMMANDS[full_command(command)](snapshot(result, router, at_s))


def full_command(command: str) -> str:
    """Return the command that these (abbreviated) words stand for.

    >>> full_command("sh cry ike sess det")
    'crypto ikev2 session detailed'

    Raises InputError when they stand for none or for several.
    """
    words = command.lower().split()
    if words and len(words[0]) >= 2 and "show".startswith(words[0]):
        words = words[1:]
    matches = [
        full
        for full in COMMANDS
        if len(full.split()) == len(words)
        and all(whole.startswith(word) for whole, word in zip(full.split(), words, strict=True))
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(f"'{command}' is ambiguous: {', '.join(matches)}", "show")
    raise unknown_name("command", " ".join(words), COMMANDS, "show")
