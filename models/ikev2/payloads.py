"""IKEv2 payloads: what they carry and how many bytes they take (RFC 7296 section 3).

A payload's ``size`` includes its generic header of 4 bytes. Values that only a cryptographer could read (nonces, key
exchange values, AUTH data) are carried as tokens of the right length: the simulation checks the same equalities as the
protocol does.

What this leaves out: the encoding to bytes, certificates, EAP, fragments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..algorithms import GROUPS
from .identity import Identity
from .proposals import EspProposal, IkeProposal

#: Generic payload header (RFC 7296 3.2). [bytes]
GENERIC_HEADER_BYTES = 4

#: Notify message types (IANA "IKEv2 Notify Message Types").
NOTIFY_TYPES: dict[str, int] = {
    "UNSUPPORTED_CRITICAL_PAYLOAD": 1,
    "INVALID_SYNTAX": 7,
    "NO_PROPOSAL_CHOSEN": 14,
    "INVALID_KE_PAYLOAD": 17,
    "AUTHENTICATION_FAILED": 24,
    "NO_ADDITIONAL_SAS": 35,
    "TS_UNACCEPTABLE": 38,
    "TEMPORARY_FAILURE": 43,
    "CHILD_SA_NOT_FOUND": 44,
    "INITIAL_CONTACT": 16384,
    "SET_WINDOW_SIZE": 16385,
    "NAT_DETECTION_SOURCE_IP": 16388,
    "NAT_DETECTION_DESTINATION_IP": 16389,
    "COOKIE": 16390,
    "USE_TRANSPORT_MODE": 16391,
    "REKEY_SA": 16393,
    "ESP_TFC_PADDING_NOT_SUPPORTED": 16394,
    "NON_FIRST_FRAGMENTS_ALSO": 16395,
    "MULTIPLE_AUTH_SUPPORTED": 16404,
    "REDIRECT_SUPPORTED": 16406,
    "EAP_ONLY_AUTHENTICATION": 16417,
    "CHILDLESS_IKEV2_SUPPORTED": 16418,
    "IKEV2_MESSAGE_ID_SYNC_SUPPORTED": 16420,
    "FRAGMENTATION_SUPPORTED": 16430,
    "SIGNATURE_HASH_ALGORITHMS": 16431,
}


class Payload:
    """Base of all payloads: a name for tables and a size in bytes, generic header included."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The payload's name in tables, as ``SA`` or ``N:COOKIE``."""
        raise TypeError(f"{type(self).__name__} has no name")

    @property
    def size(self) -> int:
        """Size in bytes, generic payload header included."""
        raise TypeError(f"{type(self).__name__} has no size")

    def __str__(self) -> str:
        return f"{self.name}({self.size})"


@dataclass(slots=True)
class SaPayload(Payload):
    """Security association (RFC 7296 3.3). ``spi_bytes``: 0 in IKE_SA_INIT, 8 to rekey an IKE SA, 4 for ESP."""

    proposals: tuple[IkeProposal, ...] | tuple[EspProposal, ...]
    spi_bytes: int
    spi: int = 0
    name = "SA"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + sum(p.size(self.spi_bytes) for p in self.proposals)


@dataclass(slots=True)
class KePayload(Payload):
    """Key exchange (RFC 7296 3.4)."""

    group: int
    name = "KE"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + GROUPS[self.group].public_bytes


@dataclass(slots=True)
class NoncePayload(Payload):
    """Nonce (RFC 7296 3.9). ``value`` decides rekey collisions, ``n_bytes`` is what travels."""

    value: int
    n_bytes: int
    name = "Nonce"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + self.n_bytes


@dataclass(slots=True)
class IdPayload(Payload):
    """Identification (RFC 7296 3.5)."""

    role: Literal["IDi", "IDr"]
    identity: Identity

    @property
    def name(self) -> str:
        return self.role

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + self.identity.data_bytes()


@dataclass(slots=True)
class AuthPayload(Payload):
    """Authentication (RFC 7296 3.8). ``proof`` can be recomputed by whoever holds the same key."""

    n_bytes: int
    proof: bytes
    name = "AUTH"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + self.n_bytes


@dataclass(slots=True)
class NotifyPayload(Payload):
    """Notify (RFC 7296 3.10). ``value`` is what the data mean: a group, an SPI, a cookie."""

    type: str
    n_bytes: int = 0
    spi_bytes: int = 0
    value: int = 0

    @property
    def name(self) -> str:
        return f"N:{self.type}"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + self.spi_bytes + self.n_bytes


@dataclass(slots=True)
class DeletePayload(Payload):
    """Delete (RFC 7296 3.11): the IKE SA itself (no SPI) or inbound ESP SAs by SPI."""

    esp_spis: tuple[int, ...] = ()
    name = "D"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + 4 * len(self.esp_spis)


@dataclass(slots=True)
class VendorIdPayload(Payload):
    """Vendor ID (RFC 7296 3.12)."""

    vendor: str
    n_bytes: int

    @property
    def name(self) -> str:
        return f"VID:{self.vendor}"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + self.n_bytes


@dataclass(frozen=True, slots=True)
class Selector:
    """An IPv4 traffic selector (RFC 7296 3.13.1): protocol (0: any) and an address range, all ports."""

    protocol: int
    first: str
    last: str

    def __str__(self) -> str:
        return f"{self.first}-{self.last}/{self.protocol}"


#: 0.0.0.0 - 255.255.255.255, every protocol: what an IPsec tunnel interface protects.
ANY_IPV4 = Selector(0, "0.0.0.0", "255.255.255.255")


@dataclass(slots=True)
class TsPayload(Payload):
    """Traffic selectors (RFC 7296 3.13); 16 bytes for each IPv4 range."""

    role: Literal["TSi", "TSr"]
    selectors: tuple[Selector, ...]

    @property
    def name(self) -> str:
        return self.role

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + 16 * len(self.selectors)


@dataclass(slots=True)
class ConfigurationPayload(Payload):
    """Configuration (RFC 7296 3.15). ``attributes``: (name, number, value length in bytes)."""

    kind: Literal["REQUEST", "REPLY"]
    attributes: tuple[tuple[str, int, int], ...]
    name = "CP"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + sum(4 + n_bytes for _, _, n_bytes in self.attributes)
