"""The operations behind each step of an exchange (fact sheet B; RFC 7296 sections 2.13 to 2.18).

Lengths of PRF inputs follow the RFC; they decide nothing but the cost of hashing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from ..algorithms import PRFS, SIGNATURES, Group, Kem, KeyExchange
from .fragmentation import cut
from .message import IKE_HEADER_BYTES, Message
from .operations import (
    DhKeygen,
    DhShared,
    DhValidate,
    FixedTime,
    HandleMessage,
    Hash,
    InstallSa,
    KemStep,
    Operation,
    PrfCall,
    Protect,
    Unprotect,
)
from .proposals import EspSuite, Suite
from .sa import IkeSa

#: SHA-1 over SPIi | SPIr | IPv4 address | port (RFC 7296 2.23). [bytes]
NAT_DETECTION_BYTES = 22
#: "Key Pad for IKEv2" (RFC 7296 2.15). [bytes]
KEY_PAD_BYTES = 17

RECEIVE: list[Operation] = [HandleMessage("in")]
SEND: list[Operation] = [HandleMessage("out")]
_NAT_DETECTION: list[Operation] = [Hash("sha1", NAT_DETECTION_BYTES)] * 2
_INSTALL: list[Operation] = [InstallSa()]

KEM_STEPS: tuple[Literal["keygen", "encapsulate", "decapsulate"], ...] = ("keygen", "encapsulate", "decapsulate")

#: Hash of the signed octets by signature algorithm (RFC 7427 section 4 leaves the choice); EdDSA and ML-DSA have none.
_SIGNED_HASHES = {"ecdsa384": "sha384", "ecdsa521": "sha512"}


#: What the same arguments always cost is put together once; callers share it.
Operations = tuple[Operation, ...]

#: Operations that differ in a length alone, made once for each.
_protection, _unprotection = lru_cache(maxsize=4096)(Protect), lru_cache(maxsize=4096)(Unprotect)


def nat_detection() -> list[Operation]:
    """The two hashes that make or check NAT_DETECTION_*_IP."""
    return _NAT_DETECTION


def prf_plus(prf: str, key_bytes: int, seed_bytes: int) -> list[Operation]:
    """prf+ (RFC 7296 2.13): a PRF call for each output, over the previous output, the seed and a counter."""
    output = PRFS[prf].output_bytes
    return [PrfCall(prf, output + seed_bytes + 1, -(-key_bytes // output))]


@lru_cache(maxsize=4096)
def ike_keys(suite: Suite, nonces_bytes: int) -> Operations:
    """SKEYSEED and the seven keys of an IKE SA (RFC 7296 2.14)."""
    return (PrfCall(suite.prf, nonces_bytes), *prf_plus(suite.prf, suite.key_material_bytes(), nonces_bytes + 16))


@lru_cache(maxsize=4096)
def shared_secret(suite: Suite, nonces_bytes: int) -> Operations:
    """Check the peer's value, compute the shared secret, derive the keys of the IKE SA."""
    return (DhValidate(suite.group), DhShared(suite.group), *ike_keys(suite, nonces_bytes))


def stateless_answer() -> list[Operation]:
    """Receive an IKE_SA_INIT request, compute the cookie and demand it, keeping nothing (RFC 7296 2.6)."""
    return [HandleMessage("in", stateless=True), *cookie(), HandleMessage("out", stateless=True)]


def cookie() -> list[Operation]:
    """Make or check a cookie: one short hash; that of NAT detection has the right size (RFC 7296 2.6)."""
    return [Hash("sha1", NAT_DETECTION_BYTES)]


@lru_cache(maxsize=4096)
def psk_auth(prf: str, signed_bytes: int, id_bytes: int) -> Operations:
    """AUTH by a shared key, made or checked: three PRF calls, one over the signed octets (RFC 7296 2.15)."""
    return (PrfCall(prf, id_bytes), PrfCall(prf, KEY_PAD_BYTES), PrfCall(prf, signed_bytes))


def signed_digest(prf: str, signed_bytes: int, id_bytes: int, algorithm: str) -> list[Operation]:
    """What is signed: MACedID, and the hash of all octets where the algorithm does not hash by itself (RFC 7427)."""
    if SIGNATURES[algorithm].kind not in ("rsa", "ecdsa"):
        return [PrfCall(prf, id_bytes)]
    return [PrfCall(prf, id_bytes), Hash(_SIGNED_HASHES.get(algorithm, "sha256"), signed_bytes)]


def additional_keygen(method: KeyExchange) -> list[Operation]:
    """What the initiator of an additional key exchange does first (RFC 9370)."""
    if isinstance(method, Group):
        return [DhKeygen(method.number)]
    return [_kem(method, 0)]


def additional_answer(method: KeyExchange) -> list[Operation]:
    """What its responder does: a KEM encapsulates to the key that came; a group needs a key pair too."""
    if isinstance(method, Group):
        return [DhKeygen(method.number), DhValidate(method.number), DhShared(method.number)]
    return [_kem(method, 1)]


def additional_finish(method: KeyExchange) -> list[Operation]:
    """What the initiator does with the answer."""
    if isinstance(method, Group):
        return [DhValidate(method.number), DhShared(method.number)]
    return [_kem(method, 2)]


def _kem(method: Kem, step: int) -> Operation:
    name = KEM_STEPS[step]
    if method.times_s is not None:
        return FixedTime(f"{method.name} {name}", method.times_s[step])
    return KemStep(method.name, name)


@lru_cache(maxsize=4096)
def child_keys(prf: str, child: EspSuite, nonces_bytes: int) -> Operations:
    """KEYMAT of a Child SA (RFC 7296 2.17)."""
    return tuple(prf_plus(prf, child.key_material_bytes(), nonces_bytes))


def install() -> list[Operation]:
    """Put one pair of ESP SAs into the data plane."""
    return _INSTALL


@lru_cache(maxsize=4096)
def key_exchange_initiator(group: int) -> Operations:
    """Key pair of an optional key exchange; nothing without a group."""
    return (DhKeygen(group),) if group else ()


@lru_cache(maxsize=4096)
def key_exchange_finish(group: int) -> Operations:
    """Check and shared secret of an optional key exchange; nothing without a group."""
    return (DhValidate(group), DhShared(group)) if group else ()


def protect(sa: IkeSa, inner_bytes: int) -> list[Operation]:
    """Protect and send one message of ``inner_bytes`` of payloads, each piece of it when it is fragmented."""
    suite = sa.suite
    assert suite is not None
    pieces = cut(sa, suite, inner_bytes) if sa.fragment_bytes else ()
    if not pieces:
        return [_protection(suite.encryption, suite.integrity, suite.protected_bytes(inner_bytes)), *SEND]
    sends = [*SEND, *([HandleMessage("out", stateless=True)] * (len(pieces) - 1))]
    return [
        operation
        for n_bytes, sent in zip(pieces, sends, strict=True)
        for operation in (_protection(suite.encryption, suite.integrity, n_bytes), sent)
    ]


def unprotect(sa: IkeSa, message: Message) -> list[Operation]:
    """Receive, check and decrypt one protected message, or the piece that made it complete."""
    suite = message.suite
    if suite is None:
        return RECEIVE
    n_bytes = message.fragments[sa.completed_by - 1] if sa.completed_by else message.ike_bytes - IKE_HEADER_BYTES
    return [*RECEIVE, _unprotection(suite.encryption, suite.integrity, n_bytes)]


def send(message: Message) -> list[Operation]:
    """Send a message that is protected already, piece by piece."""
    return [*SEND, *([HandleMessage("out", stateless=True)] * (len(message.fragments) - 1))]
