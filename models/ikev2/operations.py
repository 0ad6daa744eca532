"""What a message costs, as values: the protocol names the work, the hardware knows its duration.

Each operation stands where the party really performs it (fact sheet B; RFC 7296 sections 2.13 to 2.18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DhKeygen:
    """Make a key pair of this group (RFC 7296 2.12)."""

    group: int


@dataclass(frozen=True, slots=True)
class DhValidate:
    """Check the peer's public value (RFC 6989); with OpenSSL 3 the largest cost of a MODP handshake."""

    group: int


@dataclass(frozen=True, slots=True)
class DhShared:
    """Compute the shared secret."""

    group: int


@dataclass(frozen=True, slots=True)
class PrfCall:
    """``count`` calls of one PRF over ``n_bytes`` each, key set-up included."""

    prf: str
    n_bytes: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Hash:
    """One hash over ``n_bytes`` (NAT detection: SHA-1, RFC 7296 2.23)."""

    name: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Protect:
    """Encrypt and authenticate an SK payload of ``n_bytes``; ``integrity`` is empty for an AEAD cipher."""

    encryption: str
    integrity: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Unprotect:
    """Check and decrypt an SK payload of ``n_bytes``."""

    encryption: str
    integrity: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class KemStep:
    """One step of a key encapsulation (FIPS 203): ``method`` as ``mlkem768``."""

    method: str
    step: Literal["keygen", "encapsulate", "decapsulate"]


@dataclass(frozen=True, slots=True)
class Sign:
    """Make a signature; ``algorithm`` as ``rsa2048``, ``ecdsa256``, ``ed25519``, ``mldsa65`` (RFC 7427)."""

    algorithm: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Check a signature, the peer's or one on a certificate."""

    algorithm: str


@dataclass(frozen=True, slots=True)
class CheckCertificate:
    """Parse a peer's certificate and build its chain; the signatures on it are `Verify` operations of their own."""


@dataclass(frozen=True, slots=True)
class HandleMessage:
    """Everything about one message that is not cryptography: receive or send, parse, look up, build.

    ``stateless``: only received or sent, with no work on an SA, as a request that is answered with a cookie (RFC 7296
    2.6) and its answer, or each fragment of a message beside the one that carries its work (RFC 7383).
    """

    direction: Literal["in", "out"]
    stateless: bool = False


@dataclass(frozen=True, slots=True)
class InstallSa:
    """Install ``count`` pairs of ESP SAs in the data plane and bring the interface up."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class CloneInterface:
    """Make a virtual-access interface from its template."""


@dataclass(frozen=True, slots=True)
class Authorise:
    """Look up what the peer may do in the router's own AAA lists."""


@dataclass(frozen=True, slots=True)
class InstallRoute:
    """Put ``count`` routes of the peer into the routing table."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class FixedTime:
    """Work whose duration is an input, as that of a key exchange which no profile knows. [s]"""

    name: str
    duration_s: float


Operation = (
    DhKeygen
    | DhValidate
    | DhShared
    | KemStep
    | Sign
    | Verify
    | CheckCertificate
    | PrfCall
    | Hash
    | Protect
    | Unprotect
    | HandleMessage
    | InstallSa
    | CloneInterface
    | Authorise
    | InstallRoute
    | FixedTime
)
