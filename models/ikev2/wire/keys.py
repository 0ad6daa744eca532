"""Keys of an IKE SA, and AUTH by a shared key (RFC 7296 sections 2.13 to 2.18, RFC 9370 section 2.2, RFC 9242 3.3.2).

Standard library alone where the PRF is an HMAC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...algorithms import ENCRYPTIONS, INTEGRITIES, PRFS
from ..proposals import Suite
from .mac import mac

#: What a pre-shared key is combined with before it makes AUTH (RFC 7296 2.15).
KEY_PAD = b"Key Pad for IKEv2"
SPI_BYTES = 8


def prf(name: str, key: bytes, data: bytes) -> bytes:
    """Return prf(key, data) for a PRF of `algorithms.PRFS`."""
    return mac(PRFS[name].hash, key, data)


def prf_plus(name: str, key: bytes, seed: bytes, n_bytes: int) -> bytes:
    """Return the first ``n_bytes`` of prf+(key, seed) (RFC 7296 2.13)."""
    block = stream = b""
    number = 1
    while len(stream) < n_bytes:
        block = prf(name, key, block + seed + bytes((number,)))
        stream += block
        number += 1
    return stream[:n_bytes]


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """SK_d, SK_a, SK_e and SK_p of an IKE SA (RFC 7296 2.14); pairs are (initiator's, responder's).

    ``integrity`` keys are empty for an AEAD cipher, whose ``encryption`` keys end with their salt (RFC 5282).
    """

    suite: Suite
    derivation: bytes = field(repr=False)
    integrity: tuple[bytes, bytes] = field(repr=False)
    encryption: tuple[bytes, bytes] = field(repr=False)
    proof: tuple[bytes, bytes] = field(repr=False)


def first_seed(suite: Suite, nonces: tuple[bytes, bytes], shared: bytes) -> bytes:
    """Return SKEYSEED of IKE_SA_INIT. ``nonces``: Ni and Nr.

    The two PRFs that AES makes take the first 64 bits of each alone as their key (RFC 7296 2.14).
    """
    if PRFS[suite.prf].hash in ("aes-xcbc", "aes-cmac"):
        nonces = nonces[0][:8], nonces[1][:8]
    return prf(suite.prf, b"".join(nonces), shared)


def next_seed(old: IkeKeys, nonces: bytes, shared: bytes, *more: bytes) -> bytes:
    """Return SKEYSEED of a rekey (RFC 7296 2.18) or of IKE_INTERMEDIATE (RFC 9370 2.2.2), which use the old SK_d.

    ``more``: shared secrets of additional key exchanges of a rekey (RFC 9370 2.2.4).
    """
    return prf(old.suite.prf, old.derivation, shared + nonces + b"".join(more))


def ike_keys(suite: Suite, seed: bytes, nonces: bytes, spi_i: int, spi_r: int) -> IkeKeys:
    """Return all keys that SKEYSEED gives."""
    spis = spi_i.to_bytes(SPI_BYTES, "big") + spi_r.to_bytes(SPI_BYTES, "big")
    cipher = ENCRYPTIONS[suite.encryption]
    proof_bytes = PRFS[suite.prf].output_bytes
    integrity_bytes = INTEGRITIES[suite.integrity].key_bytes if suite.integrity else 0
    encryption_bytes = cipher.key_bytes + cipher.salt_bytes
    stream = prf_plus(suite.prf, seed, nonces + spis, suite.key_material_bytes())
    parts: list[bytes] = []
    for n_bytes in (proof_bytes, *[integrity_bytes] * 2, *[encryption_bytes] * 2, *[proof_bytes] * 2):
        parts.append(stream[:n_bytes])
        stream = stream[n_bytes:]
    return IkeKeys(suite, parts[0], (parts[1], parts[2]), (parts[3], parts[4]), (parts[5], parts[6]))


def mixed(keys: IkeKeys, ppk: bytes) -> IkeKeys:
    """Return the keys into which a post-quantum pre-shared key is mixed: SK_d, SK_pi and SK_pr (RFC 8784 section 3)."""
    name = keys.suite.prf
    derivation, *proof = (prf_plus(name, ppk, key, len(key)) for key in (keys.derivation, *keys.proof))
    return replace(keys, derivation=derivation, proof=(proof[0], proof[1]))


def signed_octets(keys: IkeKeys, message: bytes, nonce: bytes, identity: bytes, by: int, more: bytes = b"") -> bytes:
    """Return what AUTH signs (RFC 7296 2.15).

    Parameters
    ----------
    message: the signer's own message of IKE_SA_INIT.
    nonce: the other end's nonce.
    identity: body of the signer's ID payload.
    by: 0 for the initiator, 1 for the responder.
    more: what IKE_INTERMEDIATE adds (RFC 9242 3.3.2).
    """
    return message + nonce + prf(keys.suite.prf, keys.proof[by], identity) + more


def shared_key_auth(keys: IkeKeys, secret: bytes, octets: bytes) -> bytes:
    """Return the AUTH data of a pre-shared key, or of the MSK that EAP gave (RFC 7296 2.15, 2.16)."""
    return prf(keys.suite.prf, prf(keys.suite.prf, secret, KEY_PAD), octets)
