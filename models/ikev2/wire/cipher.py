"""The Encrypted payload, whole or in fragments, really encrypted (RFC 7296 3.14, RFC 5282, RFC 7383 2.5).

The ``cryptography`` library is loaded by the first call.
"""

from __future__ import annotations

import hmac

from ...algorithms import ENCRYPTIONS, INTEGRITIES
from ...errors import InputError
from ..message import IKE_HEADER_BYTES
from ..payloads import GENERIC_HEADER_BYTES
from ..proposals import Suite
from . import modes
from .keys import IkeKeys
from .mac import mac
from .packet import EncryptedBody, Packet

#: Fragment number and total of an SKF payload (RFC 7383 2.5). [bytes]
_NUMBERS_BYTES = 4


def protect(
    packet: Packet, keys: IkeKeys, first: int, inner: bytes, iv: bytes, fragment: tuple[int, int] = (0, 0)
) -> bytes:
    """Return the octets of a message whose only payload is SK, or SKF.

    Parameters
    ----------
    packet: gives the header; its payloads are not looked at.
    first: type of the first payload inside; of a fragment but the first one 0.
    inner: payloads inside, or the piece of them that this fragment carries.
    iv: as long as the cipher wants it.
    fragment: its number and the total; (0, 0): the message is whole.

    Raises InputError for a cipher that IKE cannot use.
    """
    suite = keys.suite
    cipher = ENCRYPTIONS[suite.encryption]
    key, by = keys.encryption[0 if packet.from_initiator else 1], 0 if packet.from_initiator else 1
    padding = -(len(inner) + 1) % cipher.block_bytes
    plain = inner + bytes(padding) + bytes((padding,))
    icv_bytes = _icv_bytes(suite)
    body = EncryptedBody(first, iv + bytes(len(plain) + icv_bytes), *fragment)
    length = IKE_HEADER_BYTES + body.size
    header = packet.header(body.kind, length)
    # Everything up to the IV: what an AEAD cipher authenticates beside the ciphertext.
    before = header + bytes((first, 0)) + body.size.to_bytes(2, "big") + body.body()[: _numbers_bytes(body)]
    if cipher.aead:
        return before + iv + modes.seal(suite.encryption, key, iv, plain, before)
    text = before + iv + modes.encrypt(suite.encryption, key, iv, plain)
    return text + mac(INTEGRITIES[suite.integrity].hash, keys.integrity[by], text)[:icv_bytes]


def unprotect(message: bytes, packet: Packet, keys: IkeKeys, where: str = "IKE message") -> bytes:
    """Return the payloads inside the SK or SKF payload of a message.

    ``packet`` is what `decode` made of ``message``. Raises InputError when the ICV is wrong or the content cannot be.
    """
    suite = keys.suite
    cipher = ENCRYPTIONS[suite.encryption]
    body = packet.payloads[-1] if packet.payloads else None
    if not isinstance(body, EncryptedBody):
        raise InputError("it has no Encrypted payload", where)
    by = 0 if packet.from_initiator else 1
    key, icv_bytes = keys.encryption[by], _icv_bytes(suite)
    iv, data = body.data[: cipher.iv_bytes], body.data[cipher.iv_bytes :]
    content_bytes = len(data) - (0 if cipher.aead else icv_bytes)
    if content_bytes < (icv_bytes if cipher.aead else 0) + cipher.block_bytes or content_bytes % cipher.block_bytes:
        raise InputError(f"an Encrypted payload of {body.size} bytes does not fit {suite.encryption}", where)
    if cipher.aead:
        before = message[: len(message) - len(body.data)]
        opened = modes.unseal(suite.encryption, key, iv, data, before)
        if opened is None:
            raise InputError("the ICV is wrong", where)
        plain = opened
    else:
        digest = mac(INTEGRITIES[suite.integrity].hash, keys.integrity[by], message[: len(message) - icv_bytes])
        if not hmac.compare_digest(digest[:icv_bytes], data[content_bytes:]):
            raise InputError("the ICV is wrong", where)
        plain = modes.decrypt(suite.encryption, key, iv, data[:content_bytes])
    if plain[-1] >= len(plain):
        raise InputError(f"{plain[-1]} bytes of padding in {len(plain)} bytes", where)
    return plain[: len(plain) - 1 - plain[-1]]


def iv_bytes(suite: Suite) -> int:
    """Return the length of an IV. [bytes]"""
    return ENCRYPTIONS[suite.encryption].iv_bytes


def content_bytes(suite: Suite, fragment_bytes: int) -> int:
    """Return the most that an SKF payload of ``fragment_bytes`` carries. [bytes]"""
    cipher = ENCRYPTIONS[suite.encryption]
    around = GENERIC_HEADER_BYTES + _NUMBERS_BYTES + cipher.iv_bytes + _icv_bytes(suite)
    return fragment_bytes - around - 1


def _numbers_bytes(body: EncryptedBody) -> int:
    return _NUMBERS_BYTES if body.total else 0


def _icv_bytes(suite: Suite) -> int:
    return ENCRYPTIONS[suite.encryption].icv_bytes or INTEGRITIES[suite.integrity].icv_bytes
