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
class HandleMessage:
    """Everything about one message that is not cryptography: receive or send, parse, look up, build."""

    direction: Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class InstallSa:
    """Install ``count`` pairs of ESP SAs in the data plane and bring the interface up."""

    count: int = 1


Operation = DhKeygen | DhValidate | DhShared | PrfCall | Hash | Protect | Unprotect | HandleMessage | InstallSa
