"""IKEv2 payloads: what they carry and how many bytes they take (RFC 7296 section 3).

A payload's ``size`` includes its generic header of 4 bytes. Values that only a cryptographer could read (nonces, key
exchange values, AUTH data) are carried as tokens of the right length: the simulation checks the same equalities as the
protocol does.

What this leaves out: the encoding to bytes (``wire``), certificates by hash and URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..algorithms import GROUPS
from .identity import Identity
from .proposals import PROPOSAL_HEADER_BYTES, EspProposal, IkeProposal, IpsecProtocol

if TYPE_CHECKING:
    from ..eap.packets import EapPacket
    from .policy import Certificate

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
    "SINGLE_PAIR_REQUIRED": 34,
    "INTERNAL_ADDRESS_FAILURE": 36,
    "TS_UNACCEPTABLE": 38,
    "TEMPORARY_FAILURE": 43,
    "CHILD_SA_NOT_FOUND": 44,
    "STATE_NOT_FOUND": 47,
    "INITIAL_CONTACT": 16384,
    "SET_WINDOW_SIZE": 16385,
    "NAT_DETECTION_SOURCE_IP": 16388,
    "NAT_DETECTION_DESTINATION_IP": 16389,
    "COOKIE": 16390,
    "USE_TRANSPORT_MODE": 16391,
    "HTTP_CERT_LOOKUP_SUPPORTED": 16392,
    "REKEY_SA": 16393,
    "ESP_TFC_PADDING_NOT_SUPPORTED": 16394,
    "NON_FIRST_FRAGMENTS_ALSO": 16395,
    "MOBIKE_SUPPORTED": 16396,
    "ADDITIONAL_IP4_ADDRESS": 16397,
    "ADDITIONAL_IP6_ADDRESS": 16398,
    "NO_ADDITIONAL_ADDRESSES": 16399,
    "UPDATE_SA_ADDRESSES": 16400,
    "COOKIE2": 16401,
    "MULTIPLE_AUTH_SUPPORTED": 16404,
    "ANOTHER_AUTH_FOLLOWS": 16405,
    "REDIRECT_SUPPORTED": 16406,
    "REDIRECT": 16407,
    "REDIRECTED_FROM": 16408,
    "TICKET_LT_OPAQUE": 16409,
    "TICKET_REQUEST": 16410,
    "TICKET_ACK": 16411,
    "TICKET_NACK": 16412,
    "TICKET_OPAQUE": 16413,
    "EAP_ONLY_AUTHENTICATION": 16417,
    "CHILDLESS_IKEV2_SUPPORTED": 16418,
    "IKEV2_MESSAGE_ID_SYNC_SUPPORTED": 16420,
    "FRAGMENTATION_SUPPORTED": 16430,
    "SIGNATURE_HASH_ALGORITHMS": 16431,
    "USE_PPK": 16435,
    "PPK_IDENTITY": 16436,
    "NO_PPK_AUTH": 16437,
    "INTERMEDIATE_EXCHANGE_SUPPORTED": 16438,
    "ADDITIONAL_KEY_EXCHANGE": 16441,
}

#: From this type on a notification tells a status, below it an error (RFC 7296 3.10.1).
STATUS_TYPES_FROM = 16384


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
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = GENERIC_HEADER_BYTES
        for proposal in self.proposals:
            self.size += PROPOSAL_HEADER_BYTES + self.spi_bytes + proposal.transforms_bytes


@dataclass(slots=True)
class KePayload(Payload):
    """Key exchange (RFC 7296 3.4). ``n_bytes``: length of the value where no group of `algorithms` tells it."""

    group: int
    n_bytes: int = 0
    name = "KE"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + (self.n_bytes or GROUPS[self.group].public_bytes)


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

    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = GENERIC_HEADER_BYTES + 4 + self.identity.data_bytes()

    @property
    def name(self) -> str:
        return self.role


@dataclass(slots=True)
class CertPayload(Payload):
    """Certificate, encoded as X.509 (RFC 7296 3.6)."""

    certificate: Certificate
    name = "CERT"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 1 + self.certificate.der_bytes


@dataclass(slots=True)
class CertReqPayload(Payload):
    """Certificate request (RFC 7296 3.7): a SHA-1 hash for each CA."""

    authorities: tuple[str, ...]
    name = "CERTREQ"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 1 + 20 * len(self.authorities)


#: Authentication methods (IANA "IKEv2 Authentication Method"); 14 is RFC 7427, the others are older.
SHARED_KEY_MIC = 2
DIGITAL_SIGNATURE = 14
SIGNATURE_METHODS = {"rsa": 1, "ecdsa256": 9, "ecdsa384": 10, "ecdsa521": 11}


@dataclass(slots=True)
class AuthPayload(Payload):
    """Authentication (RFC 7296 3.8). ``proof`` can be recomputed by whoever holds the same key."""

    n_bytes: int
    proof: bytes
    method: int = SHARED_KEY_MIC
    name = "AUTH"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + self.n_bytes


@dataclass(slots=True)
class EapPayload(Payload):
    """Extensible authentication (RFC 7296 3.16): one EAP packet, from EAP-Identity to EAP-Success."""

    packet: EapPacket
    name = "EAP"

    @property
    def kind(self) -> str:
        """What the packet is, as ``identity request``."""
        return self.packet.kind

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + self.packet.n_bytes


@dataclass(slots=True)
class NotifyPayload(Payload):
    """Notify (RFC 7296 3.10). ``value`` is what the data mean: a group, an SPI, a cookie; ``data``: if no number.

    ``protocol``: of the SPI, where there is one.
    """

    type: str
    n_bytes: int = 0
    spi_bytes: int = 0
    value: int = 0
    data: bytes = b""
    protocol: IpsecProtocol = "ESP"
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = GENERIC_HEADER_BYTES + 4 + self.spi_bytes + self.n_bytes

    @property
    def name(self) -> str:
        return f"N:{self.type}"


@dataclass(slots=True)
class DeletePayload(Payload):
    """Delete (RFC 7296 3.11): the IKE SA itself (no SPI), or inbound SAs of one protocol by SPI."""

    spis: tuple[int, ...] = ()
    protocol: IpsecProtocol = "ESP"
    name = "D"

    @property
    def size(self) -> int:
        return GENERIC_HEADER_BYTES + 4 + 4 * len(self.spis)


@dataclass(slots=True)
class VendorIdPayload(Payload):
    """Vendor ID (RFC 7296 3.12)."""

    vendor: str
    n_bytes: int
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = GENERIC_HEADER_BYTES + self.n_bytes

    @property
    def name(self) -> str:
        return f"VID:{self.vendor}"


#: Traffic selector by IP version: type, protocol, length, ports and two addresses (RFC 7296 3.13.1). [bytes]
SELECTOR_BYTES = {4: 16, 6: 40}


#: With 0 before it: all ports.
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Selector:
    """A traffic selector (RFC 7296 3.13.1): protocol (0: any), an address range of either family, a range of ports."""

    protocol: int
    first: str
    last: str
    first_port: int = 0
    last_port: int = LAST_PORT

    @property
    def version(self) -> Literal[4, 6]:
        """The IP version of the range."""
        return 6 if ":" in self.first else 4

    @property
    def size(self) -> int:
        """Size in bytes: 8 and two addresses."""
        return SELECTOR_BYTES[self.version]

    def __str__(self) -> str:
        text = f"{self.first}-{self.last}/{self.protocol}"
        if (self.first_port, self.last_port) == (0, LAST_PORT):
            return text
        return f"{text}:{self.first_port}-{self.last_port}"


#: 0.0.0.0 - 255.255.255.255, every protocol: what an IPsec tunnel interface protects.
ANY_IPV4 = Selector(0, "0.0.0.0", "255.255.255.255")
#: The same for IPv6.
ANY_IPV6 = Selector(0, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")


@dataclass(slots=True)
class TsPayload(Payload):
    """Traffic selectors (RFC 7296 3.13); 16 bytes for each IPv4 range, 40 for IPv6."""

    role: Literal["TSi", "TSr"]
    selectors: tuple[Selector, ...]

    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = GENERIC_HEADER_BYTES + 4 + sum(selector.size for selector in self.selectors)

    @property
    def name(self) -> str:
        return self.role


#: Payloads that do not depend on the exchange, made once and shared: nobody changes a payload.
identification, traffic_selectors = lru_cache(maxsize=4096)(IdPayload), lru_cache(maxsize=4096)(TsPayload)
key_exchange = lru_cache(maxsize=256)(KePayload)


def selectors_of(payloads: Iterable[Payload], role: Literal["TSi", "TSr"]) -> tuple[Selector, ...]:
    """Return the selectors of one end. Raises LookupError when there are none: the sender broke the protocol."""
    for payload in payloads:
        if isinstance(payload, TsPayload) and payload.role == role:
            return payload.selectors
    raise LookupError(f"no {role} payload")


def identity_of(payloads: Iterable[Payload], role: Literal["IDi", "IDr"]) -> Identity:
    """Return what one end calls itself. Raises LookupError when it does not: the sender broke the protocol."""
    for payload in payloads:
        if isinstance(payload, IdPayload) and payload.role == role:
            return payload.identity
    raise LookupError(f"no {role} payload")


class ConfigurationAttribute(NamedTuple):
    """One attribute (RFC 7296 3.15.1): number, length of its value, and the octets of it where they mean something."""

    name: str
    number: int
    n_bytes: int
    value: bytes = b""


@dataclass(slots=True)
class ConfigurationPayload(Payload):
    """Configuration (RFC 7296 3.15)."""

    kind: Literal["REQUEST", "REPLY", "SET", "ACK"]
    attributes: tuple[ConfigurationAttribute, ...]
    name = "CP"
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size = GENERIC_HEADER_BYTES + 4 + sum(4 + attribute.n_bytes for attribute in self.attributes)
