"""Takes the arguments of a command one by one, with types; every refusal says what was found and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from ..errors import InputError, unknown_name
from ..secret import Secret
from .config import Line
from .lexer import Command
from .names import interface_name

#: Holes of templates: ``${name}``, ``{{ name }}``, ``{X}``, ``<NAME>``.
_HOLE = re.compile(r"\$\{|\{\{|\{\w+\}|^<.+>$")
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9.]+")


class NotUnderstood(Exception):  # noqa: N818 - a signal to the reader, not an error of the user
    """The command is legal and outside the model (or holds a template's hole): the line goes to the unknown ones."""


def is_hole(word: str) -> bool:
    """Return True when ``word`` still waits for a template's value."""
    return _HOLE.search(word) is not None


def looks_like_address(word: str) -> bool:
    """Return True for words that can only be meant as an IP address."""
    return ":" in word or ("." in word and _LOOKS_LIKE_IPV4.fullmatch(word) is not None)


class Arguments:
    """The words after a command's keywords."""

    def __init__(self, command: Command, taken: int) -> None:
        self._words = command.words[taken:]
        self._next = 0
        self.line: Line = command.line
        self.where = command.where
        self.negated = command.negated
        self.secret: Secret | None = command.secret
        self.body_bytes = command.body_bytes

    @property
    def more(self) -> bool:
        """True while words are left."""
        return self._next < len(self._words)

    def peek(self) -> str:
        """Return the next word without taking it; empty at the end."""
        return self._words[self._next] if self.more else ""

    def error(self, message: str) -> InputError:
        """Return the error at this line."""
        return InputError(message, self.where)

    def word(self, what: str) -> str:
        """Take the next word, whatever it is. Raises InputError when there is none."""
        if not self.more:
            raise self.error(f"'{self.line.text}' is incomplete: {what} is missing")
        self._next += 1
        return self._words[self._next - 1]

    def value(self, what: str) -> str:
        """Take the next word as a value that must be known: a template's hole is NotUnderstood."""
        word = self.word(what)
        if is_hole(word):
            raise NotUnderstood
        return word

    def rest(self) -> str:
        """Take all words that are left, as one text."""
        text = " ".join(self._words[self._next :])
        self._next = len(self._words)
        return text

    def words(self) -> list[str]:
        """Take all words that are left."""
        return self.rest().split()

    def number(self, what: str, low: int, high: int) -> int:
        """Take a whole number. Raises InputError outside ``low`` to ``high``."""
        word = self.value(what)
        # isascii: isdigit alone accepts digits that int() refuses.
        if not (word.isascii() and word.isdigit() and len(word) <= 20 and low <= int(word) <= high):
            raise self.error(f"{what} '{word}' is not a whole number from {low} to {high}")
        return int(word)

    def choice(self, what: str, allowed: Iterable[str]) -> str:
        """Take one of ``allowed``; a unique prefix will do. Raises InputError with the nearest valid word."""
        names = list(allowed)
        word = self.value(what)
        if (found := unique(word, names)) is None:
            raise unknown_name(what, word, names, self.where)
        return found

    def optional(self, *allowed: str) -> str | None:
        """Take the next word if it is one of ``allowed`` or a unique prefix of it."""
        found = unique(self.peek(), list(allowed)) if self.more else None
        if found is not None:
            self._next += 1
        return found

    def name(self, what: str) -> str:
        """Take a name that the user chose."""
        return self.word(what)

    def interface(self) -> str:
        """Take an interface name in one or two words and return it in full."""
        word = self.value("an interface name")
        following = self.peek()
        if not any(c.isdigit() for c in word) and following[:1].isdigit():
            word += self.word("an interface number")
        return interface_name(word)

    def address(self, what: str = "address") -> IPv4Address:
        """Take an IPv4 address. Raises InputError."""
        return parse_address(self.value(what), what, self.where)

    def network(self, what: str) -> IPv4Network:
        """Take ``ADDRESS [MASK]``: without a mask one host, and 0.0.0.0 alone means every address."""
        word = self.value(what)
        address = parse_address(word, what, self.where)
        if _LOOKS_LIKE_IPV4.fullmatch(self.peek()):
            return IPv4Network((int(address), self.mask()), strict=False)
        return IPv4Network((int(address), 0 if int(address) == 0 else 32))

    def mask(self) -> int:
        """Take a network mask and return its prefix length. Raises InputError for a mask with gaps."""
        word = self.value("a network mask")
        length = prefix_length(int(parse_address(word, "network mask", self.where)))
        if length is None:
            raise self.error(f"network mask '{word}' has gaps; allowed are masks like 255.255.255.0")
        return length

    def ipv6_interface(self, what: str) -> IPv6Interface:
        """Take ``X::Y/N``. Raises InputError."""
        word = self.value(what)
        try:
            return IPv6Interface(word)
        except ValueError:
            raise self.error(
                f"{what} '{word}' is not an IPv6 address with a prefix length, such as 2001:db8::1/64"
            ) from None

    def ipv6_address(self, what: str) -> IPv6Address:
        """Take ``X::Y``. Raises InputError."""
        word = self.value(what)
        try:
            return IPv6Address(word)
        except ValueError:
            raise self.error(f"{what} '{word}' is not an IPv6 address such as 2001:db8::1") from None

    def ipv6_network(self, what: str) -> IPv6Network:
        """Take ``X::/N``; host bits are cut off. Raises InputError."""
        return self.ipv6_interface(what).network

    def ipv4_interface(self) -> IPv4Interface:
        """Take ``ADDRESS MASK``. Raises InputError."""
        address = self.address()
        return IPv4Interface((int(address), self.mask()))


def unique(word: str, allowed: list[str]) -> str | None:
    """Return the member of ``allowed`` that ``word`` is, or is the only prefix of."""
    lowered = word.lower()
    if lowered in allowed:
        return lowered
    near = [name for name in allowed if lowered and name.startswith(lowered)]
    return near[0] if len(near) == 1 else None


def prefix_length(mask: int) -> int | None:
    """Return the prefix length of a 32-bit mask; None when its ones are not all in front."""
    length = mask.bit_count()
    return length if mask == (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF else None


def parse_address(word: str, what: str, where: str) -> IPv4Address:
    """Return the IPv4 address that ``word`` is. Raises InputError."""
    try:
        return IPv4Address(word)
    except ValueError:
        raise InputError(f"{what} '{word}' is not an IPv4 address such as 192.0.2.1", where) from None
