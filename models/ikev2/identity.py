"""Identities and how a profile matches them (RFC 7296 3.5; ``match identity remote`` of IOS)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NamedTuple

from ..addresses import IpNetwork

IdKind = Literal["address", "fqdn", "email", "dn", "key-id"]

#: An attribute type of X.520 (C, ST, L, O, OU, CN) as a DER OID; those that are longer. [bytes]
ATTRIBUTE_OID_BYTES = 5
_OID_BYTES = {"E": 11, "EMAILADDRESS": 11, "DC": 12, "UID": 12}


class Identity(NamedTuple):
    """What a peer calls itself."""

    kind: IdKind
    value: str

    def data_bytes(self) -> int:
        """Return the length of the identification data: that of an address, DER for a distinguished name."""
        if self.kind == "address":
            return 16 if ":" in self.value else 4
        if self.kind == "dn":
            return _der_bytes(sum(_attribute_bytes(part) for part in self.value.split(",")))
        return len(self.value.encode())

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


def _der_bytes(content_bytes: int) -> int:
    """Return the length of a DER value: tag, length, content (X.690 8.1.3)."""
    long_form = (content_bytes.bit_length() + 7) // 8 if content_bytes > 127 else 0
    return 2 + long_form + content_bytes


def _attribute_bytes(text: str) -> int:
    """Return the length of one ``TYPE=value`` of a name: SET and SEQUENCE of an OID and a string (X.501 9.2)."""
    kind, equals, value = text.partition("=")
    oid_bytes = _OID_BYTES.get(kind.strip().upper(), ATTRIBUTE_OID_BYTES)
    return _der_bytes(_der_bytes(oid_bytes + _der_bytes(len((value if equals else text).strip().encode()))))


@dataclass(frozen=True, slots=True)
class IdentityMatch:
    """One ``match identity remote``. ``kind`` ``any`` matches all; ``domain`` matches the part after the first dot
    (FQDN) or after the ``@`` (e-mail); ``network`` is the range of an address match."""

    kind: Literal["address", "fqdn", "email", "dn", "key-id", "any"]
    value: str
    domain: bool = False
    network: IpNetwork | None = None

    def matches(self, identity: Identity) -> bool:
        """Return whether this rule accepts ``identity``: the type must be equal, then the value."""
        if self.kind == "any":
            return True
        if self.kind != identity.kind:
            return False
        if self.network is not None:
            return ip_address(identity.value) in self.network
        # DNS names and mail domains do not distinguish case (RFC 4343).
        found, wanted = identity.value.lower(), self.value.lower()
        if not self.domain:
            return found == wanted
        separator = "@" if self.kind == "email" else "."
        return found.partition(separator)[2] == wanted

    def __str__(self) -> str:
        return f"{self.kind} domain {self.value}" if self.domain else f"{self.kind} {self.value}".strip()
