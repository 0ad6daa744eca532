"""Message authentication codes of integrity algorithms and PRFs.

HMAC (RFC 2104), AES-XCBC (RFC 3566, RFC 4434) and AES-CMAC (RFC 4493, RFC 4615).

HMAC needs the standard library alone; the ``cryptography`` library is loaded by the first code that AES makes.
"""

from __future__ import annotations

import hmac
from typing import Any

from .library import library

_BLOCK_BYTES = 16


def mac(function: str, key: bytes, data: bytes) -> bytes:
    """Return the whole code, not truncated.

    ``function``: a hash function, or ``aes-xcbc`` or ``aes-cmac``. As PRFs both take keys of any length: a long one is
    first made into 16 bytes by the PRF itself with a key of zeros (RFC 4434 2, RFC 4615 3); XCBC pads a short one with
    zeros.
    """
    if function == "aes-xcbc":
        return _xcbc(_short(function, key).ljust(_BLOCK_BYTES, b"\0"), data)
    if function == "aes-cmac":
        authenticator = library("cryptography.hazmat.primitives.cmac").CMAC(_aes(_cmac_key(key)))
        authenticator.update(data)
        return bytes(authenticator.finalize())
    return hmac.digest(key, data, function)


def _short(function: str, key: bytes) -> bytes:
    return key if len(key) <= _BLOCK_BYTES else mac(function, bytes(_BLOCK_BYTES), key)


def _cmac_key(key: bytes) -> bytes:
    # Unlike XCBC a short key is no exception (RFC 4615 3): whatever has not 16 bytes is made into 16.
    return key if len(key) == _BLOCK_BYTES else mac("aes-cmac", bytes(_BLOCK_BYTES), key)


def _xcbc(key: bytes, data: bytes) -> bytes:
    """Return AES-XCBC-MAC of ``data``: CBC with a subkey, another one on the last block (RFC 3566 4)."""
    one, two, three = (_encrypt_block(key, bytes((number,)) * _BLOCK_BYTES) for number in (1, 2, 3))
    cut = max(-(-len(data) // _BLOCK_BYTES) - 1, 0) * _BLOCK_BYTES
    body, last = data[:cut], data[cut:]
    mask = two if len(last) == _BLOCK_BYTES else three
    if len(last) < _BLOCK_BYTES:
        last = (last + b"\x80").ljust(_BLOCK_BYTES, b"\0")
    chained = _cbc(one, body + bytes(a ^ b for a, b in zip(last, mask, strict=True)))
    return chained[-_BLOCK_BYTES:]


def _cbc(key: bytes, data: bytes) -> bytes:
    ciphers = library("cryptography.hazmat.primitives.ciphers")
    encryptor = ciphers.Cipher(_aes(key), ciphers.modes.CBC(bytes(_BLOCK_BYTES))).encryptor()
    return bytes(encryptor.update(data) + encryptor.finalize())


def _encrypt_block(key: bytes, block: bytes) -> bytes:
    return _cbc(key, block)


def _aes(key: bytes) -> Any:
    return library("cryptography.hazmat.primitives.ciphers").algorithms.AES(key)
