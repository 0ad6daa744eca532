"""What a lint rule is: one function, one id, and the findings that it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from .config import Line, RouterConfig

Severity = Literal["fatal", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. ``fatal``: the tunnel cannot come up. ``message`` is one sentence: consequence and cure."""

    rule: str
    severity: Severity
    message: str
    lines: tuple[Line, ...]


Rule = Callable[[list[RouterConfig]], Iterator[Finding]]

#: Every rule by its id (the numbers below 35 are those of facts E.4).
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Return the decorator that makes a function the rule of this id."""

    def register(function: Rule) -> Rule:
        assert name not in RULES, f"two rules are called {name}"
        RULES[name] = function
        return function

    return register


def fatal(name: str, message: str, *lines: Line | None) -> Finding:
    """Return a finding that keeps the tunnel down."""
    return Finding(name, "fatal", message, _known(lines))


def warning(name: str, message: str, *lines: Line | None) -> Finding:
    """Return a finding that harms without keeping the tunnel down."""
    return Finding(name, "warning", message, _known(lines))


def note(name: str, message: str, *lines: Line | None) -> Finding:
    """Return a finding to think about."""
    return Finding(name, "note", message, _known(lines))


def _known(lines: tuple[Line | None, ...]) -> tuple[Line, ...]:
    return tuple(line for line in lines if line is not None)
