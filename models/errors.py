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
    near = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
    hint = f", did you mean '{near[0]}'?" if near else "."
    return InputError(f"unknown {kind} '{found}'{hint} Allowed: {', '.join(names)}", where)
