"""Errors that a user can mend: one line that says where, what was found and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. ``str()`` is one line: ``where: message``.

    Parameters
    ----------
    message: what was found and what is allowed, one sentence.
    where: file, ``file:line`` or key; empty when there is no place to name.
    """

    def __init__(self, message: str, where: str = "") -> None:
        self.where = where
        self.message = " ".join(message.split())
        super().__init__(f"{where}: {self.message}" if where else self.message)


def unknown_name(kind: str, found: str, allowed: Iterable[str], where: str = "") -> InputError:
    """Return the error for a name that is not in a vocabulary, with the nearest valid one.

    >>> str(unknown_name("hardware profile", "isr4312", ["isr4321", "asr1001-x"]))
    "unknown hardware profile 'isr4312', did you mean 'isr4321'? Allowed: asr1001-x, isr4321"
    """
    names = sorted(allowed)
    near = nearest(found, names)
    hint = f", did you mean '{near}'?" if near else "."
    return InputError(f"unknown {kind} '{found}'{hint} Allowed: {', '.join(names)}", where)


def nearest(found: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like ``found``, None when none is; of equals the one with the same letters.

    >>> nearest("isr4312", ["isr4431", "isr4351", "isr4321"])
    'isr4321'
    """
    close = difflib.get_close_matches(found, list(names), n=8, cutoff=0.5)
    likeness = {name: difflib.SequenceMatcher(None, name, found).ratio() for name in close}
    # Two letters in the wrong order are the commonest slip.
    return max(close, key=lambda name: (likeness[name], sorted(name) == sorted(found)), default=None)
