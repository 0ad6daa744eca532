"""What both ends of EAP are told, and the interface of a method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from ..ikev2.operations import Operation
from ..secret import Secret
from .packets import EapMethod, EapPacket

if TYPE_CHECKING:
    from ..ikev2.policy import Credential, EapAccount

TlsVersion = Literal["1.2", "1.3"]
TLS_VERSIONS: tuple[TlsVersion, ...] = ("1.2", "1.3")

#: Why a server does not accept a peer, or a peer a server.
EapCause = Literal[
    "wrong EAP password", "no EAP method in common", "certificate not trusted", "wrong signature", "refused by the peer"
]


@dataclass(frozen=True, slots=True)
class EapRules:
    """What one end is told.

    ``methods``: a server proposes the first one and takes the others when the peer asks for them; a peer takes these.
    ``credential``: the certificate of either end of EAP-TLS. ``trusted``: names of the CAs
    whose certificates are accepted. ``tls_version``: the highest. ``tls_group``: of the key exchange in TLS.
    ``users``: whom a server knows. ``account``: who a peer is. ``admits``: of a server that has others judge the
    passwords, whether they have accepted this user's.
    """

    methods: tuple[EapMethod, ...]
    users: tuple[EapAccount, ...] = ()
    account: EapAccount | None = None
    credential: Credential | None = None
    trusted: tuple[str, ...] = ()
    tls_version: TlsVersion = "1.2"
    tls_group: int = 19
    admits: Callable[[str], bool] | None = None

    def user(self, name: str) -> EapAccount | None:
        """Return the account of this name, None when there is none."""
        return next((user for user in self.users if user.user == name), None)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a method needs of its end: numbers of the implementation by name, and 64 random bits at a time."""

    count: Callable[[str], int]
    draw: Callable[[], int]


@dataclass(slots=True)
class Turn:
    """What a method makes of a packet: work, and the packet that answers it.

    Of a server's method ``packet`` is None when it is over; ``cause`` then tells why it failed, empty: it succeeded.
    Of a peer's method it is None when the peer gives up; ``cause`` may come with a last packet.
    """

    operations: list[Operation] = field(default_factory=list)
    packet: EapPacket | None = None
    cause: EapCause | Literal[""] = ""


class ServerMethod(Protocol):
    """A server's side of a method. ``identifier``: that of the request which it makes."""

    msk: Secret | None

    def begin(self, identifier: int) -> Turn:
        """Return the first request."""

    def receive(self, packet: EapPacket, identifier: int) -> Turn:
        """Take a response of the method."""


class PeerMethod(Protocol):
    """A peer's side of a method. ``done``: it has nothing against an EAP-Success now (RFC 3748 4.2)."""

    msk: Secret | None
    done: bool

    def receive(self, packet: EapPacket) -> Turn:
        """Take a request of the method."""
