"""IKEv2 messages and the datagrams that carry them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import TypeVar

from ..addresses import HEADER_BYTES, IpAddress
from .payloads import NOTIFY_TYPES, STATUS_TYPES_FROM, NotifyPayload, Payload
from .proposals import Suite

#: IKE header (RFC 7296 3.1). [bytes]
IKE_HEADER_BYTES = 28
UDP_HEADER_BYTES = 8
#: Four zero octets before IKE on port 4500 (RFC 3948 2.2). [bytes]
NON_ESP_MARKER_BYTES = 4
IKE_PORT = 500
NAT_T_PORT = 4500

P = TypeVar("P", bound=Payload)

_size = attrgetter("size")


def size_of(payloads: Iterable[Payload]) -> int:
    """Return the sum of the payload sizes. [bytes]"""
    return sum(map(_size, payloads))


class Exchange(IntEnum):
    """Exchange types (RFC 7296 3.1, RFC 5723 section 7.1, RFC 9242 section 3, RFC 9370 section 2.2.4)."""

    IKE_SA_INIT = 34
    IKE_AUTH = 35
    CREATE_CHILD_SA = 36
    INFORMATIONAL = 37
    IKE_SESSION_RESUME = 38
    IKE_INTERMEDIATE = 43
    IKE_FOLLOWUP_KE = 44


@dataclass(slots=True)
class Message:
    """One IKEv2 message. ``suite`` None: sent in the clear (IKE_SA_INIT). Nobody changes a message after it is made."""

    exchange: Exchange
    spi_i: int
    spi_r: int
    message_id: int
    response: bool
    from_initiator: bool
    payloads: tuple[Payload, ...]
    suite: Suite | None = None
    #: Sizes of the SKF payloads by which it travels (RFC 7383); empty: it goes whole. [bytes]
    fragments: tuple[int, ...] = ()
    #: Sum of the payload sizes before protection. [bytes]
    inner_bytes: int = field(init=False)
    #: The Length field of the IKE header when it goes whole. [bytes]
    ike_bytes: int = field(init=False)
    #: The first payload of each class and the first notification of each type.
    _first: dict[type[Payload], Payload] = field(init=False, repr=False, compare=False)
    _notifications: dict[str, NotifyPayload] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.inner_bytes = inner = size_of(self.payloads)
        self.ike_bytes = IKE_HEADER_BYTES + (inner if self.suite is None else self.suite.protected_bytes(inner))
        self._first = first = {}
        self._notifications = notifications = {}
        for payload in reversed(self.payloads):
            first[type(payload)] = payload
            if isinstance(payload, NotifyPayload):
                notifications[payload.type] = payload

    def find(self, kind: type[P]) -> P | None:
        """Return the first payload of this type, or None."""
        return self._first.get(kind)  # type: ignore[return-value]  # it is of the class that it is kept by

    def all(self, kind: type[P]) -> Iterator[P]:
        """Yield every payload of this type."""
        return (p for p in self.payloads if isinstance(p, kind))

    def get(self, kind: type[P]) -> P:
        """Return the first payload of this type.

        Raises LookupError when there is none: the sender broke the protocol.
        """
        try:
            return self._first[kind]  # type: ignore[return-value]  # as above
        except KeyError:
            raise LookupError(f"{self.exchange.name} without {kind.__name__}") from None

    def notify(self, notify_type: str) -> NotifyPayload | None:
        """Return the notification of this type, or None."""
        return self._notifications.get(notify_type)

    def error(self) -> NotifyPayload | None:
        """Return the first error notification (types below 16384, RFC 7296 3.10.1), or None."""
        for payload in reversed(self._notifications.values()):
            if NOTIFY_TYPES[payload.type] < STATUS_TYPES_FROM:
                return payload
        return None

    def payload_text(self) -> str:
        """Return the payloads with their sizes, as ``SA(48) KE(264) ...``; inside ``SK(n){...}`` when protected."""
        inner = " ".join(str(p) for p in self.payloads)
        if self.suite is None:
            return inner
        return f"SK({self.suite.protected_bytes(self.inner_bytes)}){{{inner}}}"

    def __str__(self) -> str:
        arrow = "response" if self.response else "request"
        return f"{self.exchange.name} {arrow} {self.message_id} [{self.ike_bytes} B] {self.payload_text()}"


@dataclass(slots=True)
class Datagram:
    """A message on its way, or one piece of it. ``transmission`` counts sends of the same bytes from 0."""

    source: IpAddress
    destination: IpAddress
    message: Message
    source_port: int = IKE_PORT
    destination_port: int = IKE_PORT
    transmission: int = 0
    #: Number of the piece, from 1 (RFC 7383); 0: the whole message.
    fragment: int = 0

    @property
    def ike_bytes(self) -> int:
        """The Length field of the IKE header. [bytes]"""
        if self.fragment:
            return IKE_HEADER_BYTES + self.message.fragments[self.fragment - 1]
        return self.message.ike_bytes

    @property
    def udp_len(self) -> int:
        """UDP payload: the IKE message and, on port 4500, the non-ESP marker. [bytes]"""
        marker = NON_ESP_MARKER_BYTES if self.destination_port == NAT_T_PORT else 0
        return self.ike_bytes + marker

    @property
    def ip_len(self) -> int:
        """The IP packet. [bytes]"""
        return self.udp_len + UDP_HEADER_BYTES + HEADER_BYTES[self.source.version]

    def payload_text(self) -> str:
        """Return the payloads as ``Message.payload_text`` does; the first piece names those of the whole message."""
        if not self.fragment:
            return self.message.payload_text()
        pieces = self.message.fragments
        text = f"SKF({pieces[self.fragment - 1]}) {self.fragment}/{len(pieces)}"
        if self.fragment > 1:
            return text
        return f"{text}{{{' '.join(map(str, self.message.payloads))}}}"
