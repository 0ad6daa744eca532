"""Configuration modes of IOS: which commands each of them knows, and what they do to the typed objects.

Keywords may be cut to a unique prefix, as on the router; an exact keyword always wins. Uniqueness is judged among
the commands listed here, which are fewer than those of IOS: ``ip ad`` is taken where IOS may call it ambiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from .arguments import Arguments, NotUnderstood
from .config import Line, RouterConfig


@dataclass(frozen=True, slots=True)
class Section:
    """What a section command enters: the mode of the lines below it and the object that they fill."""

    mode: Mode
    target: Any


Handler = Callable[[Any, Arguments], Section | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of a mode. ``handler`` None: known to IOS and not modelled here.

    ``clears`` are the attributes that ``no ...`` sets back; with ``undo`` the handler does that itself.
    ``strong``: a global command that is recognised however deep it is indented.
    """

    handler: Handler | None
    clears: tuple[str, ...] = ()
    undo: bool = False
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The entry that a command matched, how many words its keywords took, and whether all were written in full."""

    entry: Entry
    length: int
    exact: bool


@dataclass(slots=True)
class _Branch:
    branches: dict[str, _Branch] = field(default_factory=dict)
    entry: Entry | None = None

    def follow(self, word: str) -> tuple[_Branch, bool] | None:
        """Return the branch for ``word`` and whether it was written in full; None when unknown or ambiguous."""
        if word in self.branches:
            return self.branches[word], True
        near = [branch for keyword, branch in self.branches.items() if keyword.startswith(word)]
        return (near[0], False) if len(near) == 1 else None


class Mode:
    """The commands of one mode, as a tree of keywords."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._root = _Branch()

    def __repr__(self) -> str:
        return f"Mode({self.name!r})"

    def _add(self, pattern: str, entry: Entry) -> None:
        branch = self._root
        for keyword in pattern.split():
            branch = branch.branches.setdefault(keyword, _Branch())
        branch.entry = entry

    def on(
        self, *patterns: str, clears: tuple[str, ...] = (), undo: bool = False, strong: bool = False
    ) -> Callable[[Handler], Handler]:
        """Return the decorator that makes a function the handler of these commands."""

        def register(handler: Handler) -> Handler:
            for pattern in patterns:
                self._add(pattern, Entry(handler, clears, undo, strong))
            return handler

        return register

    def know(self, *patterns: str, strong: bool = False) -> None:
        """Register commands that IOS has in this mode and that are not modelled: they are listed, not used."""
        for pattern in patterns:
            self._add(pattern, Entry(None, strong=strong))

    def accept(self, *patterns: str) -> None:
        """Register commands that are understood and change nothing that is modelled, such as descriptions."""
        for pattern in patterns:
            self._add(pattern, Entry(_nothing, undo=True))

    def find(self, words: tuple[str, ...]) -> Found | None:
        """Return the longest command of this mode that ``words`` begin with."""
        branch, exact, best = self._root, True, None
        for length, word in enumerate(words, start=1):
            step = branch.follow(word.lower())
            if step is None:
                break
            branch, exact = step[0], exact and step[1]
            if branch.entry is not None:
                best = Found(branch.entry, length, exact)
        return best


def _nothing(_target: Any, _args: Arguments) -> None:
    """Do nothing."""


#: The mode of every section that is not modelled.
OPAQUE = Mode("not modelled")


def set_back(target: Any, names: tuple[str, ...]) -> None:
    """Set attributes of a configuration object back to "not configured"."""
    for item in fields(target):
        if item.name in names:
            fresh = item.default_factory() if item.default_factory is not MISSING else item.default
            setattr(target, item.name, fresh)


def remember_default(router: RouterConfig, what: str, *, removed: bool) -> None:
    """Note that a smart default was switched off, or that it is there again."""
    router.removed_defaults = [kept for kept in router.removed_defaults if kept != what]
    if removed:
        router.removed_defaults.append(what)


def named_section(
    mode: Mode, pattern: str, kind: Callable[[str, Line], Any], inner: Mode, store: str, smart_default: str = ""
) -> None:
    """Register a section that has a name: it enters the object of that name, or makes it.

    ``no ... default`` of an object with a smart default is remembered, for no line had made that one.
    """

    def enter(router: RouterConfig, args: Arguments) -> Section | None:
        if args.negated and not args.more:
            raise NotUnderstood  # "default crypto ikev2 proposal" brings the smart default back
        name = args.name(f"the name of the {pattern.split()[-1]}")
        objects = getattr(router, store)
        if name == "default" and smart_default:
            remember_default(router, smart_default, removed=args.negated)
        if args.negated:
            objects.pop(name, None)
            return None
        if name not in objects:
            objects[name] = kind(name, args.line)
        return Section(inner, objects[name])

    mode.on(pattern, undo=True, strong=True)(enter)
