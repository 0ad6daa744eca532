"""The operations behind each step of an exchange (fact sheet B; RFC 7296 sections 2.13 to 2.18).

Lengths of PRF inputs follow the RFC; they decide nothing but the cost of hashing.
"""

from __future__ import annotations

from ..algorithms import PRFS
from .message import Message
from .operations import (
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
from .proposals import EspSuite, Suite

#: SHA-1 over SPIi | SPIr | IPv4 address | port (RFC 7296 2.23). [bytes]
NAT_DETECTION_BYTES = 22
#: "Key Pad for IKEv2" (RFC 7296 2.15). [bytes]
KEY_PAD_BYTES = 17

RECEIVE: list[Operation] = [HandleMessage("in")]
SEND: list[Operation] = [HandleMessage("out")]


def nat_detection() -> list[Operation]:
    """The two hashes that make or check NAT_DETECTION_*_IP."""
    return [Hash("sha1", NAT_DETECTION_BYTES), Hash("sha1", NAT_DETECTION_BYTES)]


def prf_plus(prf: str, key_bytes: int, seed_bytes: int) -> list[Operation]:
    """prf+ (RFC 7296 2.13): a PRF call for each output, over the previous output, the seed and a counter."""
    output = PRFS[prf].output_bytes
    return [PrfCall(prf, output + seed_bytes + 1, -(-key_bytes // output))]


def ike_keys(suite: Suite, nonces_bytes: int) -> list[Operation]:
    """SKEYSEED and the seven keys of an IKE SA (RFC 7296 2.14)."""
    return [PrfCall(suite.prf, nonces_bytes), *prf_plus(suite.prf, suite.key_material_bytes(), nonces_bytes + 16)]


def shared_secret(suite: Suite, nonces_bytes: int) -> list[Operation]:
    """Check the peer's value, compute the shared secret, derive the keys of the IKE SA."""
    return [DhValidate(suite.group), DhShared(suite.group), *ike_keys(suite, nonces_bytes)]


def psk_auth(prf: str, init_message: Message, nonce_bytes: int, id_bytes: int) -> list[Operation]:
    """AUTH by pre-shared key, made or checked: three PRF calls, one over a whole message (RFC 7296 2.15)."""
    output = PRFS[prf].output_bytes
    signed_bytes = init_message.ike_bytes + nonce_bytes + output
    return [PrfCall(prf, id_bytes), PrfCall(prf, KEY_PAD_BYTES), PrfCall(prf, signed_bytes)]


def child_keys(prf: str, child: EspSuite, nonces_bytes: int) -> list[Operation]:
    """KEYMAT of a Child SA (RFC 7296 2.17)."""
    return prf_plus(prf, child.key_material_bytes(), nonces_bytes)


def install() -> list[Operation]:
    """Put one pair of ESP SAs into the data plane."""
    return [InstallSa()]


def key_exchange_initiator(group: int) -> list[Operation]:
    """Key pair of an optional key exchange; nothing without a group."""
    return [DhKeygen(group)] if group else []


def key_exchange_finish(group: int) -> list[Operation]:
    """Check and shared secret of an optional key exchange; nothing without a group."""
    return [DhValidate(group), DhShared(group)] if group else []


def protect(suite: Suite, inner_bytes: int) -> list[Operation]:
    """Protect and send one message of ``inner_bytes`` of payloads."""
    return [Protect(suite.encryption, suite.integrity, suite.protected_bytes(inner_bytes)), *SEND]


def unprotect(message: Message) -> list[Operation]:
    """Receive, check and decrypt one protected message."""
    suite = message.suite
    if suite is None:
        return RECEIVE
    n_bytes = suite.protected_bytes(message.inner_bytes)
    return [*RECEIVE, Unprotect(suite.encryption, suite.integrity, n_bytes)]
