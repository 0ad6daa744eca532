"""EAP packets: what they mean, how long they are and how they travel (RFC 3748 sections 4 and 5).

The content of a packet is a sequence of parts: octets that are known, and parts of a known length whose octets a
capture makes (drawn ones for what only a cryptographer could compute, certificates). Length and octets therefore come
from the same description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ..ikev2.policy import Certificate
    from .tls import Flight

#: Code, identifier, length (RFC 3748 4). [bytes]
HEADER_BYTES = 4

Code = Literal["request", "response", "success", "failure"]
CODES: dict[Code, int] = {"request": 1, "response": 2, "success": 3, "failure": 4}

#: Methods that authenticate.
EapMethod = Literal["mschapv2", "gtc", "md5", "tls", "anyconnect"]
#: What else has a type.
EapType = Literal["identity", "nak", "mschapv2", "gtc", "md5", "tls", "anyconnect", ""]
#: Types (IANA "Extensible Authentication Protocol Registry"); 254 is the expanded type of a vendor.
TYPES: dict[EapType, int] = {
    "identity": 1,
    "nak": 3,
    "md5": 4,
    "gtc": 6,
    "tls": 13,
    "mschapv2": 26,
    "anyconnect": 254,
}
METHODS: tuple[EapMethod, ...] = ("mschapv2", "gtc", "md5", "tls", "anyconnect")
#: Methods that give both ends a key (RFC 3748 7.10); after the others AUTH is made with SK_pi and SK_pr.
METHODS_WITH_KEY: tuple[EapMethod, ...] = ("mschapv2", "tls")


class OctetSource(Protocol):
    """Where a capture takes octets from that the simulation does not have."""

    def octets(self, n_bytes: int, *name: object) -> bytes:
        """Return drawn octets; the same name gives the same ones."""

    def certificate(self, certificate: Certificate) -> bytes:
        """Return a certificate in DER."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Octets that are drawn: ``name`` tells them from others of the conversation."""

    n_bytes: int
    name: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class CertificateDer:
    """A certificate."""

    certificate: Certificate

    @property
    def n_bytes(self) -> int:
        """Length in DER. [bytes]"""
        return self.certificate.der_bytes


@dataclass(frozen=True, slots=True)
class Hexadecimal:
    """Drawn octets as capital hexadecimal digits."""

    drawn: Drawn

    @property
    def n_bytes(self) -> int:
        """Two digits for each octet. [bytes]"""
        return 2 * self.drawn.n_bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """``n_bytes`` of parts, from the octet number ``start`` on."""

    parts: Parts
    start: int
    n_bytes: int


Part = bytes | Drawn | CertificateDer | Hexadecimal | Piece
Parts = tuple[Part, ...]


def length(parts: Sequence[Part]) -> int:
    """Return how long parts are together. [bytes]"""
    return sum(len(part) if isinstance(part, bytes) else part.n_bytes for part in parts)


def prefixed(width: int, *parts: Part) -> Parts:
    """Return parts with their length before them, in ``width`` bytes."""
    return (length(parts).to_bytes(width, "big"), *parts)


def octets(parts: Sequence[Part], source: OctetSource) -> bytes:
    """Return the octets of parts."""
    return b"".join(_octets(part, source) for part in parts)


def _octets(part: Part, source: OctetSource) -> bytes:
    match part:
        case bytes():
            return part
        case Drawn():
            return source.octets(part.n_bytes, *part.name)
        case Hexadecimal():
            return source.octets(part.drawn.n_bytes, *part.drawn.name).hex().upper().encode()
        case CertificateDer():
            return source.certificate(part.certificate)
        case Piece():
            return octets(part.parts, source)[part.start : part.start + part.n_bytes]


@dataclass(frozen=True, slots=True)
class EapPacket:
    """One EAP packet.

    ``kind`` names it in tables. ``parts`` are what follows the type. What the other end reads in them is in the fields
    behind: a name, a challenge, the proof that whoever holds the same secret recomputes, the types that a Nak asks for,
    the TLS flight that this packet completes.
    """

    code: Code
    kind: str
    type: EapType = ""
    parts: Parts = ()
    identifier: int = 0
    user: str = ""
    challenge: int = 0
    proof: bytes = b""
    #: Length of a password that the packet holds as it is; 0: it holds none. [bytes]
    password_bytes: int = 0
    wanted: tuple[EapMethod, ...] = ()
    flight: Flight | None = None
    #: More fragments follow (RFC 5216 2.1.5).
    more: bool = False

    @property
    def n_bytes(self) -> int:
        """Length of the packet. [bytes]"""
        return HEADER_BYTES + (1 if self.type else 0) + length(self.parts)

    def encode(self, source: OctetSource) -> bytes:
        """Return the octets, as many as ``n_bytes`` says."""
        head = bytes((CODES[self.code], self.identifier & 0xFF)) + self.n_bytes.to_bytes(2, "big")
        kind = bytes((TYPES[self.type],)) if self.type else b""
        return head + kind + octets(self.parts, source)


def identity_response(user: str, identifier: int = 0) -> EapPacket:
    """Return who is there (RFC 3748 5.1); an authenticator that does not ask makes it of what it knows by itself."""
    return EapPacket("response", "identity", "identity", (user.encode(),), identifier, user)


def nak(wanted: tuple[EapMethod, ...], identifier: int) -> EapPacket:
    """Return that another method is wanted, or with type 0 that none is (RFC 3748 5.3.1)."""
    types = bytes(TYPES[method] for method in wanted) or b"\0"
    return EapPacket("response", "nak", "nak", (types,), identifier, wanted=wanted)
