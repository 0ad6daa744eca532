"""The operations behind each step of IKEv1 with pre-shared keys (RFC 2409 sections 5, 5.4, 5.5 and appendix B).

Lengths of PRF inputs follow the RFC; they decide nothing but the cost of hashing.
"""

from __future__ import annotations

from ..algorithms import ENCRYPTIONS
from ..ikev2.operations import (
    DhKeygen,
    DhShared,
    DhValidate,
    HandleMessage,
    Hash,
    InstallSa,
    Operation,
    PrfCall,
    Protect,
    Unprotect,
)
from ..ikev2.proposals import EspSuite
from .payloads import COOKIES_BYTES, IkeSuite

#: Both cookies, an IPv4 address and a port (RFC 3947 3.2). [bytes]
NAT_DETECTION_BYTES = 22
MESSAGE_ID_BYTES = 4
#: Protocol and SPI in front of the nonces of KEYMAT (RFC 2409 5.5). [bytes]
PROTOCOL_AND_SPI_BYTES = 5

Operations = tuple[Operation, ...]

RECEIVE: Operations = (HandleMessage("in"),)
SEND: Operations = (HandleMessage("out"),)
INSTALL: Operations = (InstallSa(),)


def nat_detection(suite: IkeSuite) -> Operations:
    """The two hashes that make or check both NAT-D payloads."""
    return (Hash(suite.hash, NAT_DETECTION_BYTES),) * 2


def keygen(group: int) -> Operations:
    """A key pair; nothing without a group."""
    return (DhKeygen(group),) if group else ()


def shared(group: int) -> Operations:
    """Check of the peer's value and shared secret; nothing without a group."""
    return (DhValidate(group), DhShared(group)) if group else ()


def phase_1_keys(suite: IkeSuite, nonces_bytes: int) -> Operations:
    """SKEYID and SKEYID_d, _a, _e, the cipher's key where _e is too short, the first IV (RFC 2409 5; appendix B)."""
    hash_bytes, public = suite.hash_bytes, suite.public_bytes
    seed = public + COOKIES_BYTES + 1
    calls: list[Operation] = [
        PrfCall(suite.hash, nonces_bytes),
        PrfCall(suite.hash, seed),
        PrfCall(suite.hash, hash_bytes + seed, 2),
    ]
    key_bytes = ENCRYPTIONS[suite.encryption].key_bytes
    if key_bytes > hash_bytes:
        calls.append(PrfCall(suite.hash, hash_bytes, -(-key_bytes // hash_bytes)))
    return (*calls, Hash(suite.hash, 2 * public))


def phase_1_hash(suite: IkeSuite, sa_and_id_bytes: int) -> Operations:
    """HASH_I or HASH_R, made or checked: over both public values, the cookies, SA and ID (RFC 2409 5)."""
    return (PrfCall(suite.hash, 2 * suite.public_bytes + COOKIES_BYTES + sa_and_id_bytes),)


def new_iv(suite: IkeSuite) -> Operations:
    """The IV of an exchange of phase 2: hash of the last block of phase 1 and the message ID (RFC 2409 appendix B)."""
    return (Hash(suite.hash, suite.block_bytes + MESSAGE_ID_BYTES),)


def phase_2_hash(suite: IkeSuite, covered_bytes: int) -> Operations:
    """HASH(1), (2), (3) or that of an informational exchange, made or checked (RFC 2409 5.5, 5.7)."""
    return (PrfCall(suite.hash, MESSAGE_ID_BYTES + covered_bytes),)


def keymat(suite: IkeSuite, esp: EspSuite, nonces_bytes: int, shared_bytes: int) -> Operations:
    """Keys of both ESP SAs, each from its own SPI (RFC 2409 5.5)."""
    per_direction = esp.key_material_bytes() // 2
    seed = suite.hash_bytes + shared_bytes + PROTOCOL_AND_SPI_BYTES + nonces_bytes
    return (PrfCall(suite.hash, seed, 2 * -(-per_direction // suite.hash_bytes)),)


def protect(suite: IkeSuite, n_bytes: int) -> Operations:
    """Encrypt (nothing checks integrity but the HASH inside) and send one message."""
    return (Protect(suite.encryption, "", n_bytes), *SEND)


def unprotect(suite: IkeSuite, n_bytes: int) -> Operations:
    """Receive and decrypt one message."""
    return (*RECEIVE, Unprotect(suite.encryption, "", n_bytes))
