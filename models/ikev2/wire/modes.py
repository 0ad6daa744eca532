"""Ciphers of IKE by name: block modes, counter mode and AEAD, as the ``cryptography`` library has or builds them.

Sources: RFC 7296 3.14 (CBC), RFC 5930 (CTR: nonce of the key, IV, block counter from 1), RFC 5282 (GCM, CCM), RFC 3610
(CCM), RFC 5529 (Camellia), RFC 7634 (ChaCha20-Poly1305).

The library has no Camellia in counter mode and no CCM with it; both are built here from single blocks. It has neither
Serpent nor Twofish: their content is masked with SHAKE-256 of key and IV, which has the right length and which no other
program decrypts (`is_real`).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from ...algorithms import ENCRYPTIONS, Encryption
from ...errors import InputError
from .library import library

_BLOCK_BYTES = 16


def is_real(name: str) -> bool:
    """Return whether the named cipher really encrypts here."""
    return not name.startswith(("serpent", "twofish"))


def encrypt(name: str, key: bytes, iv: bytes, plain: bytes) -> bytes:
    """Return the ciphertext of a cipher without integrity; ``key`` ends with the salt, ``plain`` is whole blocks."""
    return _apply(ENCRYPTIONS[name], key, iv, plain, encrypting=True)


def decrypt(name: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return what `encrypt` was given."""
    return _apply(ENCRYPTIONS[name], key, iv, data, encrypting=False)


def _apply(cipher: Encryption, key: bytes, iv: bytes, data: bytes, *, encrypting: bool) -> bytes:
    if cipher.name == "null":
        return data
    key, salt = key[: cipher.key_bytes], key[cipher.key_bytes :]
    if not is_real(cipher.name):
        return _xor(data, hashlib.shake_256(cipher.name.encode() + key + iv).digest(len(data)))
    if cipher.salt_bytes:
        return _counter_mode(cipher, key, salt + iv + bytes((0, 0, 0, 1)), data)
    ciphers = library("cryptography.hazmat.primitives.ciphers")
    context = ciphers.Cipher(_algorithm(cipher, key), ciphers.modes.CBC(iv))
    worker = context.encryptor() if encrypting else context.decryptor()
    return bytes(worker.update(data) + worker.finalize())


def seal(name: str, key: bytes, iv: bytes, plain: bytes, header: bytes) -> bytes:
    """Return ciphertext and ICV of an AEAD cipher; ``key`` ends with the salt, ``header`` is authenticated too.

    Raises InputError for a cipher that cannot protect an IKE SA.
    """
    cipher, key, nonce = _aead(name, key, iv)
    if name.startswith("camellia"):
        tag = _ccm_tag(cipher, key, nonce, plain, header)
        return _ccm_mask(cipher, key, nonce, plain) + tag
    if name.startswith("aes-gcm"):
        ciphers = library("cryptography.hazmat.primitives.ciphers")
        worker = ciphers.Cipher(_algorithm(cipher, key), ciphers.modes.GCM(nonce)).encryptor()
        worker.authenticate_additional_data(header)
        text = worker.update(plain) + worker.finalize()
        return bytes(text + worker.tag[: cipher.icv_bytes])
    return bytes(_library_aead(cipher, key).encrypt(nonce, plain, header))


def unseal(name: str, key: bytes, iv: bytes, data: bytes, header: bytes) -> bytes | None:
    """Return what `seal` was given; None when the ICV is wrong."""
    cipher, key, nonce = _aead(name, key, iv)
    text, icv = data[: -cipher.icv_bytes], data[-cipher.icv_bytes :]
    if name.startswith("camellia"):
        plain = _ccm_mask(cipher, key, nonce, text)
        return plain if hmac.compare_digest(icv, _ccm_tag(cipher, key, nonce, plain, header)) else None
    try:
        if not name.startswith("aes-gcm"):
            return bytes(_library_aead(cipher, key).decrypt(nonce, data, header))
        ciphers = library("cryptography.hazmat.primitives.ciphers")
        mode = ciphers.modes.GCM(nonce, icv, min_tag_length=cipher.icv_bytes)
        worker = ciphers.Cipher(_algorithm(cipher, key), mode).decryptor()
        worker.authenticate_additional_data(header)
        return bytes(worker.update(text) + worker.finalize())
    except library("cryptography.exceptions").InvalidTag:
        return None


def _aead(name: str, key: bytes, iv: bytes) -> tuple[Encryption, bytes, bytes]:
    """Return cipher, key without salt, and nonce: salt and IV."""
    cipher = ENCRYPTIONS[name]
    if "gmac" in name:
        raise InputError(f"{name} cannot protect an IKE SA", "--ike")
    return cipher, key[: cipher.key_bytes], key[cipher.key_bytes :] + iv


def _library_aead(cipher: Encryption, key: bytes) -> Any:
    aead = library("cryptography.hazmat.primitives.ciphers.aead")
    if cipher.name == "chacha20poly1305":
        return aead.ChaCha20Poly1305(key)
    return aead.AESCCM(key, tag_length=cipher.icv_bytes)


def _algorithm(cipher: Encryption, key: bytes) -> Any:
    """Return a block cipher of the library with its key. Single DES is 3DES with three equal keys."""
    family = cipher.name.partition("-")[0]
    if family == "aes":
        return library("cryptography.hazmat.primitives.ciphers").algorithms.AES(key)
    decrepit = library("cryptography.hazmat.decrepit.ciphers.algorithms")
    if family in ("des", "3des"):
        return decrepit.TripleDES(key * 3 if family == "des" else key)
    return {"camellia": decrepit.Camellia, "blowfish": decrepit.Blowfish, "cast": decrepit.CAST5}[family](key)


def _blocks(cipher: Encryption, key: bytes, data: bytes) -> bytes:
    """Encrypt each block on its own."""
    ciphers = library("cryptography.hazmat.primitives.ciphers")
    worker = ciphers.Cipher(_algorithm(cipher, key), ciphers.modes.ECB()).encryptor()
    return bytes(worker.update(data) + worker.finalize())


def _counter_mode(cipher: Encryption, key: bytes, first: bytes, data: bytes) -> bytes:
    """Add the encrypted counters to ``data``; they count up from the block ``first``."""
    start = int.from_bytes(first, "big")
    count = -(-len(data) // _BLOCK_BYTES)
    counters = b"".join((start + n).to_bytes(_BLOCK_BYTES, "big") for n in range(count))
    return _xor(data, _blocks(cipher, key, counters)[: len(data)])


def _ccm_mask(cipher: Encryption, key: bytes, nonce: bytes, data: bytes) -> bytes:
    length_bytes = _BLOCK_BYTES - 1 - len(nonce)
    first = bytes((length_bytes - 1,)) + nonce + (1).to_bytes(length_bytes, "big")
    return _counter_mode(cipher, key, first, data)


def _ccm_tag(cipher: Encryption, key: bytes, nonce: bytes, plain: bytes, header: bytes) -> bytes:
    """Return the ICV of CCM (RFC 3610 2.2): CBC over lengths, header and content, masked with counter 0."""
    length_bytes = _BLOCK_BYTES - 1 - len(nonce)
    flags = 64 * bool(header) + 8 * ((cipher.icv_bytes - 2) // 2) + length_bytes - 1
    text = bytes((flags,)) + nonce + len(plain).to_bytes(length_bytes, "big")
    text += _padded(len(header).to_bytes(2, "big") + header) if header else b""
    text += _padded(plain)
    ciphers = library("cryptography.hazmat.primitives.ciphers")
    worker = ciphers.Cipher(_algorithm(cipher, key), ciphers.modes.CBC(bytes(_BLOCK_BYTES))).encryptor()
    chained = (worker.update(text) + worker.finalize())[-_BLOCK_BYTES:]
    zero = bytes((length_bytes - 1,)) + nonce + bytes(length_bytes)
    return _counter_mode(cipher, key, zero, chained)[: cipher.icv_bytes]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK_BYTES)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
