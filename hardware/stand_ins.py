"""What an algorithm costs that a profile does not price: as much as another one, times an assumed factor.

Routers that are modelled were measured or estimated for what their owners use. strongSwan names more; each of those
algorithms is priced by one that every profile has, and the factor is noted in the ledger as assumed, with its range.
Ratios of ciphers are those of ``openssl speed`` (OpenSSL 3.0.19, 1400 bytes, one x86-64 core) with AES instructions and
without, ratios of curves those of its ECDH against P-384, which has no code of its own there either. An AEAD cipher
with a shorter ICV does the same work as with the full one, and so does a MAC made by AES as AES in CBC mode.

What this leaves out: hardware that has no such cipher at all (an offload engine would leave it to a core); the range of
a factor is not drawn when parameter sets are.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..models.values import RECOLLECTION, Value

#: Where factors were measured.
_MEASURED_HERE = "own measurement, openssl speed"
_BITS = (128, 192, 256)


@dataclass(frozen=True, slots=True)
class StandIn:
    """The algorithm whose cost is taken, and how many times."""

    name: str
    factor: Value


def _times(name: str, factor: float, low: float, high: float, source: str = _MEASURED_HERE) -> StandIn:
    return StandIn(name, Value(value=factor, kind="assumed", source=source, range=(low, high)))


def _same(name: str, note: str) -> StandIn:
    return StandIn(name, Value(value=1.0, kind="derived", source="RFC", note=note))


_SHORTER = "the same cipher, a shorter ICV"
_AES_MAC = "the MAC is AES in CBC mode (RFC 3566, RFC 4493)"

#: By name in `models.algorithms`.
CIPHERS: dict[str, StandIn] = {
    **{f"aes-gcm{icv}-{bits}": _same(f"aes-gcm-{bits}", _SHORTER) for icv in (8, 12) for bits in _BITS},
    **{f"aes-ctr-{bits}": _times(f"aes-cbc-{bits}", 0.4, 0.15, 1.0) for bits in _BITS},
    # One pass to encrypt and one, block by block, to authenticate.
    **{f"aes-ccm{icv}-{bits}": _times(f"aes-cbc-{bits}", 1.5, 1.1, 2.2) for icv in ("", 8, 12) for bits in _BITS},
    **{
        f"camellia-{mode}-{bits}": _times(f"aes-cbc-{bits}", 3.0, 1.4, 6.0) for mode in ("cbc", "ctr") for bits in _BITS
    },
    **{f"camellia-ccm{icv}-{bits}": _times(f"aes-cbc-{bits}", 6.0, 2.8, 12.0) for icv in ("", 8, 12) for bits in _BITS},
    **{
        f"{cipher}-{bits}": _times(f"aes-cbc-{bits}", 6.0, 1.5, 15.0, RECOLLECTION)
        for cipher in ("blowfish", "serpent-cbc", "twofish-cbc")
        for bits in _BITS
    },
    "cast-128": _times("aes-cbc-128", 6.0, 1.5, 15.0, RECOLLECTION),
}

#: MACs that a block cipher makes; the stand-in is a cipher.
CIPHER_MACS: dict[str, StandIn] = {name: _same("aes-cbc-128", _AES_MAC) for name in ("aes-xcbc", "aes-cmac")}

CURVES: dict[str, StandIn] = {
    "ecp192": _times("ecp384", 0.3, 0.2, 0.6),
    "ecp224": _times("ecp384", 0.3, 0.06, 0.6),
    "ecp224bp": _times("ecp384", 0.5, 0.3, 0.9),
    "ecp256bp": _times("ecp384", 0.55, 0.4, 1.0),
    "ecp384bp": _times("ecp384", 1.07, 0.9, 1.4),
    "ecp512bp": _times("ecp384", 1.4, 1.2, 2.4),
}
