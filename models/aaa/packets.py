"""RADIUS packets and their lengths: a header and attributes (RFC 2865 3 and 5, RFC 2866 5, RFC 3579 3).

Only what is public is kept of an attribute, its length always: passwords and keys have none of their octets here.

What this leaves out: encoding, TLS and TCP transport (RFC 6613, 6614), attributes longer than 253 octets other than
EAP-Message (RFC 6929).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

#: Code, identifier, length and authenticator (RFC 2865 3). [bytes]
HEADER_BYTES = 20
#: Type and length of an attribute (RFC 2865 5), and the most that one can hold. [bytes]
ATTRIBUTE_HEADER_BYTES, MOST_VALUE_BYTES = 2, 253
#: Longest packet (RFC 2865 3). [bytes]
MOST_PACKET_BYTES = 4096
#: UDP header, and an IPv4 header without options. [bytes]
UDP_BYTES, IPV4_BYTES = 8, 20
#: Vendor number, vendor type and vendor length inside Vendor-Specific (RFC 2865 5.26). [bytes]
_VENDOR_BYTES = 4 + 2
#: Passwords are hidden in blocks of 16, 128 at most (RFC 2865 5.2). [bytes]
_PASSWORD_BLOCK_BYTES, _MOST_PASSWORD_BYTES = 16, 128


class Code(IntEnum):
    """Packet types (RFC 2865 3, RFC 2866 3)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11

    @property
    def title(self) -> str:
        """Name as the RFCs write it, as ``Access-Request``."""
        return "-".join(word.capitalize() for word in self.name.split("_"))


#: Type of each attribute that is used here (RFC 2865 5, RFC 2866 5, RFC 2868 3.5, RFC 2869 5).
ATTRIBUTES: dict[str, int] = {
    "User-Name": 1,
    "User-Password": 2,
    "NAS-IP-Address": 4,
    "NAS-Port": 5,
    "Service-Type": 6,
    "Framed-IP-Address": 8,
    "State": 24,
    "Vendor-Specific": 26,
    "Calling-Station-Id": 31,
    "Acct-Status-Type": 40,
    "Acct-Delay-Time": 41,
    "Acct-Input-Octets": 42,
    "Acct-Output-Octets": 43,
    "Acct-Session-Id": 44,
    "Acct-Session-Time": 46,
    "Acct-Terminate-Cause": 49,
    "NAS-Port-Type": 61,
    "Tunnel-Password": 69,
    "EAP-Message": 79,
    "Message-Authenticator": 80,
}
#: Attributes whose value is one 32-bit number or an IPv4 address. [bytes]
_NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name in `ATTRIBUTES` and the octets of its value. ``n_bytes`` is its length on the wire."""

    name: str
    value_bytes: int

    def __post_init__(self) -> None:
        if self.name not in ATTRIBUTES or not 1 <= self.value_bytes <= MOST_VALUE_BYTES:
            raise ValueError(f"{self.name} with {self.value_bytes} octets: 1 to {MOST_VALUE_BYTES} fit an attribute")

    @property
    def n_bytes(self) -> int:
        """Octets of the attribute with type and length. [bytes]"""
        return ATTRIBUTE_HEADER_BYTES + self.value_bytes


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet without its identifier, which the sender gives it."""

    code: Code
    attributes: tuple[Attribute, ...]

    @property
    def n_bytes(self) -> int:
        """Length of the RADIUS packet. [bytes]"""
        return HEADER_BYTES + sum(attribute.n_bytes for attribute in self.attributes)

    @property
    def ip_len(self) -> int:
        """Length of the IPv4 packet that carries it, before any IP fragmentation. [bytes]"""
        return self.n_bytes + UDP_BYTES + IPV4_BYTES


def text(name: str, value: str) -> Attribute:
    """Return a text attribute; what is longer than an attribute is cut, as servers do with names."""
    return Attribute(name, min(max(len(value.encode()), 1), MOST_VALUE_BYTES))


def number(name: str) -> Attribute:
    """Return an attribute of four octets: a number, a time or an IPv4 address."""
    return Attribute(name, _NUMBER_BYTES)


def user_password(password_bytes: int) -> Attribute:
    """Return User-Password: blocks of 16 octets, one at least (RFC 2865 5.2)."""
    blocks = max(1, math.ceil(password_bytes / _PASSWORD_BLOCK_BYTES))
    return Attribute("User-Password", min(blocks * _PASSWORD_BLOCK_BYTES, _MOST_PASSWORD_BYTES))


def tunnel_password(password_bytes: int) -> Attribute:
    """Return Tunnel-Password: tag, salt, and length and password in blocks of 16 octets (RFC 2868 3.5)."""
    blocks = math.ceil((1 + password_bytes) / _PASSWORD_BLOCK_BYTES)
    return Attribute("Tunnel-Password", 1 + 2 + blocks * _PASSWORD_BLOCK_BYTES)


def av_pair(pair_bytes: int) -> Attribute:
    """Return a Cisco AV-pair of this many octets, as a vendor-specific attribute (RFC 2865 5.26)."""
    return Attribute("Vendor-Specific", min(_VENDOR_BYTES + pair_bytes, MOST_VALUE_BYTES))


def eap_message(eap_bytes: int) -> tuple[Attribute, ...]:
    """Return an EAP packet in as many EAP-Message attributes as it needs (RFC 3579 3.1)."""
    whole, rest = divmod(eap_bytes, MOST_VALUE_BYTES)
    pieces = [MOST_VALUE_BYTES] * whole + ([rest] if rest else [])
    return tuple(Attribute("EAP-Message", piece) for piece in pieces)


def message_authenticator() -> Attribute:
    """Return Message-Authenticator, an HMAC-MD5 of 16 octets, obligatory with EAP (RFC 3579 3.2)."""
    return Attribute("Message-Authenticator", 16)


def packet(code: Code, *attributes: Attribute | Iterable[Attribute]) -> Packet:
    """Return a packet of attributes and groups of attributes."""
    flat: list[Attribute] = []
    for item in attributes:
        flat += [item] if isinstance(item, Attribute) else list(item)
    return Packet(code, tuple(flat))
