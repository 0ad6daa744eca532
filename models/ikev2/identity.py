"""Identities and how a profile matches them (RFC 7296 3.5; ``match identity remote`` of IOS)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

IdKind = Literal["address", "fqdn", "email", "dn", "key-id"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a peer calls itself."""

    kind: IdKind
    value: str

    def data_bytes(self) -> int:
        """Return the length of the identification data; 4 for an IPv4 address."""
        return 4 if self.kind == "address" else len(self.value.encode())

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


@dataclass(frozen=True, slots=True)
class IdentityMatch:
    """One ``match identity remote``. ``kind`` ``any`` matches all; ``domain`` matches the part after the first dot
    (FQDN) or after the ``@`` (e-mail); ``network`` is the range of an address match."""

    kind: Literal["address", "fqdn", "email", "dn", "key-id", "any"]
    value: str
    domain: bool = False
    network: IPv4Network | None = None

    def matches(self, identity: Identity) -> bool:
        """Return whether this rule accepts ``identity``: the type must be equal, then the value."""
        if self.kind == "any":
            return True
        if self.kind != identity.kind:
            return False
        if self.network is not None:
            return IPv4Address(identity.value) in self.network
        # DNS names and mail domains do not distinguish case (RFC 4343).
        found, wanted = identity.value.lower(), self.value.lower()
        if not self.domain:
            return found == wanted
        separator = "@" if self.kind == "email" else "."
        return found.partition(separator)[2] == wanted

    def __str__(self) -> str:
        return f"{self.kind} domain {self.value}" if self.domain else f"{self.kind} {self.value}".strip()
