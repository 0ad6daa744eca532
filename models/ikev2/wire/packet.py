"""IKEv2 messages as bytes: header, payloads and their fields, encoded as RFC 7296 section 3 lays them out.

A `Packet` holds what travels and nothing else; `decode` reads it back, `translate` makes it of a simulated message.

What this leaves out: IKEv1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ..message import IKE_HEADER_BYTES, Exchange
from ..payloads import GENERIC_HEADER_BYTES, NOTIFY_TYPES

#: Payload types (IANA "IKEv2 Payload Types"). Ids and selectors have one for each end.
SA, KE, ID_I, ID_R, CERT, CERTREQ, AUTH, NONCE, NOTIFY, DELETE, VENDOR_ID, TS_I, TS_R = range(33, 46)
ENCRYPTED, CONFIGURATION, EAP, ENCRYPTED_FRAGMENT = 46, 47, 48, 53
#: Names in tables.
NAMES = {
    SA: "SA",
    KE: "KE",
    ID_I: "IDi",
    ID_R: "IDr",
    CERT: "CERT",
    CERTREQ: "CERTREQ",
    AUTH: "AUTH",
    NONCE: "Nonce",
    NOTIFY: "N",
    DELETE: "D",
    VENDOR_ID: "VID",
    TS_I: "TSi",
    TS_R: "TSr",
    ENCRYPTED: "SK",
    CONFIGURATION: "CP",
    EAP: "EAP",
    ENCRYPTED_FRAGMENT: "SKF",
}
#: Flags of the header (RFC 7296 3.1).
INITIATOR, RESPONSE = 0x08, 0x20
#: Major version 2, minor version 0.
VERSION = 0x20
#: Protocols of proposals, notifications and deletions (IANA "IKEv2 Security Protocol Identifiers").
PROTOCOL_IKE, PROTOCOL_AH, PROTOCOL_ESP = 1, 2, 3
#: Transform types (IANA "Transform Type Values"); ADDKE1 to ADDKE7 are 6 to 12 (RFC 9370).
ENCR, PRF, INTEG, KE_METHOD, ESN, ADDKE1 = 1, 2, 3, 4, 5, 6
#: Attribute Key Length with a value of two octets (RFC 7296 3.3.5).
KEY_LENGTH = 0x8000 | 14
#: Traffic selector types and the length of their addresses (RFC 7296 3.13.1). [bytes]
TS_ADDRESS_BYTES = {7: 4, 8: 16}

_NOTIFY_NAMES = {number: name for name, number in NOTIFY_TYPES.items()}


@dataclass(frozen=True, slots=True)
class WirePayload:
    """Base of all payloads: ``kind`` is the payload type, ``body`` what follows the generic header."""

    @property
    def kind(self) -> int:
        """The payload type."""
        raise TypeError(f"{type(self).__name__} has no payload type")

    @property
    def name(self) -> str:
        """The name in tables, as ``SA`` or ``N:COOKIE``."""
        return NAMES[self.kind]

    def body(self) -> bytes:
        """Return the octets behind the generic header."""
        raise TypeError(f"{type(self).__name__} has no body")

    @property
    def size(self) -> int:
        """Length with the generic header. [bytes]"""
        return GENERIC_HEADER_BYTES + len(self.body())

    def __str__(self) -> str:
        return f"{self.name}({self.size})"


@dataclass(frozen=True, slots=True)
class Transform:
    """Transform substructure (RFC 7296 3.3.2); ``attributes`` are the octets behind its header."""

    kind: int
    number: int
    attributes: bytes = b""

    @property
    def key_bits(self) -> int:
        """The Key Length attribute, 0 without one. [bits]"""
        if len(self.attributes) != 4:
            return 0
        kind, bits = struct.unpack("!HH", self.attributes)
        return int(bits) if kind == KEY_LENGTH else 0

    def encode(self, *, last: bool) -> bytes:
        """Return the octets; ``last``: no transform follows."""
        head = struct.pack("!BxHBxH", 0 if last else 3, 8 + len(self.attributes), self.kind, self.number)
        return head + self.attributes


@dataclass(frozen=True, slots=True)
class Proposal:
    """Proposal substructure (RFC 7296 3.3.1)."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    def encode(self, *, last: bool) -> bytes:
        """Return the octets; ``last``: no proposal follows."""
        count = len(self.transforms)
        body = self.spi + b"".join(t.encode(last=n == count) for n, t in enumerate(self.transforms, start=1))
        head = (0 if last else 2, 8 + len(body), self.number, self.protocol, len(self.spi), count)
        return struct.pack("!BxHBBBB", *head) + body


@dataclass(frozen=True, slots=True)
class SaBody(WirePayload):
    """Security association (RFC 7296 3.3)."""

    proposals: tuple[Proposal, ...]

    @property
    def kind(self) -> int:
        return SA

    def body(self) -> bytes:
        count = len(self.proposals)
        return b"".join(p.encode(last=n == count) for n, p in enumerate(self.proposals, start=1))


@dataclass(frozen=True, slots=True)
class KeBody(WirePayload):
    """Key exchange (RFC 7296 3.4)."""

    group: int
    value: bytes

    @property
    def kind(self) -> int:
        return KE

    def body(self) -> bytes:
        return struct.pack("!Hxx", self.group) + self.value


@dataclass(frozen=True, slots=True)
class IdBody(WirePayload):
    """Identification (RFC 7296 3.5). ``role``: `ID_I` or `ID_R`."""

    role: int
    id_type: int
    data: bytes

    @property
    def kind(self) -> int:
        return self.role

    def body(self) -> bytes:
        return struct.pack("!Bxxx", self.id_type) + self.data


@dataclass(frozen=True, slots=True)
class CertBody(WirePayload):
    """Certificate (RFC 7296 3.6); encoding 4 is an X.509 certificate in DER."""

    encoding: int
    data: bytes

    @property
    def kind(self) -> int:
        return CERT

    def body(self) -> bytes:
        return bytes((self.encoding,)) + self.data


@dataclass(frozen=True, slots=True)
class CertReqBody(WirePayload):
    """Certificate request (RFC 7296 3.7): SHA-1 hashes of public keys of CAs, one after the other."""

    encoding: int
    data: bytes

    @property
    def kind(self) -> int:
        return CERTREQ

    def body(self) -> bytes:
        return bytes((self.encoding,)) + self.data


@dataclass(frozen=True, slots=True)
class AuthBody(WirePayload):
    """Authentication (RFC 7296 3.8)."""

    method: int
    data: bytes

    @property
    def kind(self) -> int:
        return AUTH

    def body(self) -> bytes:
        return struct.pack("!Bxxx", self.method) + self.data


@dataclass(frozen=True, slots=True)
class NonceBody(WirePayload):
    """Nonce (RFC 7296 3.9)."""

    data: bytes

    @property
    def kind(self) -> int:
        return NONCE

    def body(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class NotifyBody(WirePayload):
    """Notification (RFC 7296 3.10). ``protocol`` is 0 where there is no SPI."""

    number: int
    data: bytes = b""
    protocol: int = 0
    spi: bytes = b""

    @property
    def kind(self) -> int:
        return NOTIFY

    @property
    def name(self) -> str:
        return f"N:{_NOTIFY_NAMES.get(self.number, self.number)}"

    def body(self) -> bytes:
        return struct.pack("!BBH", self.protocol, len(self.spi), self.number) + self.spi + self.data


@dataclass(frozen=True, slots=True)
class DeleteBody(WirePayload):
    """Deletion (RFC 7296 3.11): of the IKE SA itself, without an SPI, or of SAs of ``protocol`` by SPI."""

    protocol: int
    spis: tuple[bytes, ...] = ()

    @property
    def kind(self) -> int:
        return DELETE

    def body(self) -> bytes:
        spi_bytes = len(self.spis[0]) if self.spis else 0
        return struct.pack("!BBH", self.protocol, spi_bytes, len(self.spis)) + b"".join(self.spis)


@dataclass(frozen=True, slots=True)
class VendorIdBody(WirePayload):
    """Vendor ID (RFC 7296 3.12)."""

    data: bytes

    @property
    def kind(self) -> int:
        return VENDOR_ID

    def body(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class SelectorField:
    """One traffic selector (RFC 7296 3.13.1): type 7 IPv4, 8 IPv6; protocol 0: any."""

    kind: int
    protocol: int
    first_port: int
    last_port: int
    first: bytes
    last: bytes

    def encode(self) -> bytes:
        """Return the octets."""
        length = 8 + len(self.first) + len(self.last)
        head = struct.pack("!BBHHH", self.kind, self.protocol, length, self.first_port, self.last_port)
        return head + self.first + self.last

    def __str__(self) -> str:
        return f"{ip_address(self.first)}-{ip_address(self.last)}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class TsBody(WirePayload):
    """Traffic selectors (RFC 7296 3.13). ``role``: `TS_I` or `TS_R`."""

    role: int
    selectors: tuple[SelectorField, ...]

    @property
    def kind(self) -> int:
        return self.role

    def body(self) -> bytes:
        return struct.pack("!Bxxx", len(self.selectors)) + b"".join(s.encode() for s in self.selectors)


@dataclass(frozen=True, slots=True)
class CpBody(WirePayload):
    """Configuration (RFC 7296 3.15). ``cfg_type``: 1 request, 2 reply, 3 set, 4 ack; attributes: (type, value)."""

    cfg_type: int
    attributes: tuple[tuple[int, bytes], ...]

    @property
    def kind(self) -> int:
        return CONFIGURATION

    def body(self) -> bytes:
        fields = (struct.pack("!HH", kind, len(value)) + value for kind, value in self.attributes)
        return struct.pack("!Bxxx", self.cfg_type) + b"".join(fields)


@dataclass(frozen=True, slots=True)
class EapBody(WirePayload):
    """One EAP packet (RFC 7296 3.16, RFC 3748)."""

    data: bytes

    @property
    def kind(self) -> int:
        return EAP

    def body(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class UnknownBody(WirePayload):
    """A payload of a type that is not known here."""

    number: int
    critical: bool
    data: bytes

    @property
    def kind(self) -> int:
        return self.number

    @property
    def name(self) -> str:
        return str(self.number)

    def body(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class EncryptedBody(WirePayload):
    """Encrypted payload, always the last one (RFC 7296 3.14): IV, ciphertext and ICV in ``data``.

    ``first``: type of the first payload inside. ``number`` and ``total`` of a fragment (RFC 7383); 0: it is none.
    """

    first: int
    data: bytes
    number: int = 0
    total: int = 0

    @property
    def kind(self) -> int:
        return ENCRYPTED_FRAGMENT if self.total else ENCRYPTED

    def body(self) -> bytes:
        return (struct.pack("!HH", self.number, self.total) if self.total else b"") + self.data


def encode_payloads(payloads: Sequence[WirePayload]) -> tuple[int, bytes]:
    """Return the type of the first payload (0 without any) and the octets of all."""
    octets = []
    kinds = [*(p.kind for p in payloads[1:]), 0]
    for payload, following in zip(payloads, kinds, strict=False):
        if isinstance(payload, EncryptedBody):
            following = payload.first
        critical = 0x80 if isinstance(payload, UnknownBody) and payload.critical else 0
        body = payload.body()
        octets.append(struct.pack("!BBH", following, critical, GENERIC_HEADER_BYTES + len(body)) + body)
    return payloads[0].kind if payloads else 0, b"".join(octets)


@dataclass(frozen=True, slots=True)
class Packet:
    """One IKEv2 message as it travels, without the non-ESP marker of port 4500."""

    spi_i: int
    spi_r: int
    exchange: int
    message_id: int
    response: bool
    from_initiator: bool
    payloads: tuple[WirePayload, ...]

    @property
    def exchange_name(self) -> str:
        """Name of the exchange type, or its number."""
        return Exchange(self.exchange).name if self.exchange in list(Exchange) else str(self.exchange)

    def encode(self) -> bytes:
        """Return the octets of header and payloads."""
        first, octets = encode_payloads(self.payloads)
        return self.header(first, IKE_HEADER_BYTES + len(octets)) + octets

    def header(self, first: int, length: int) -> bytes:
        """Return the IKE header; ``first``: type of the first payload, ``length``: of the message. [bytes]"""
        flags = (INITIATOR if self.from_initiator else 0) | (RESPONSE if self.response else 0)
        fields = (self.spi_i, self.spi_r, first, VERSION, self.exchange, flags, self.message_id, length)
        return struct.pack("!QQBBBBII", *fields)

    def payload_text(self) -> str:
        """Return the payloads with their sizes, as ``SA(48) KE(264)``."""
        return " ".join(map(str, self.payloads))
