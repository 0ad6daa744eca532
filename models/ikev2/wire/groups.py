"""Real key exchanges: MODP by ``pow``, curves by the ``cryptography`` library, all private values from the seed.

Sources: RFC 2409 (768, 1024), RFC 3526 (1536 and longer; the primes follow from pi), RFC 5114 2.3 (group 24), RFC 5903
(ECP: x and y travel, x is the secret), RFC 8031 (X25519, X448).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ...algorithms import GROUPS, Group
from .draws import Draws
from .library import library

#: What the formula of a MODP prime adds to pi (RFC 2409 6.1 and 6.2, RFC 3526 2 to 7), by length in bits.
_MODP_NUMBERS = {
    768: 149686,
    1024: 129093,
    1536: 741804,
    2048: 124476,
    3072: 1690314,
    4096: 240904,
    6144: 929484,
    8192: 4743158,
}
#: Length of private exponents; twice the strength of the longest group (RFC 3526 8 asks for up to 620). [bits]
_EXPONENT_BITS = 640
#: Orders of the curves (SEC 2): a private value lies between 0 and the order.
CURVE_ORDERS = {
    256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    384: int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
    521: int("1" + "f" * 65 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16),
}
#: Prime and generator of group 24, with a subgroup of 256 bits (RFC 5114 2.3).
_SUBGROUP_PRIME = int(
    "87A8E61DB4B6663CFFBBD19C651959998CEEF608660DD0F25D2CEED4435E3B00E00DF8F1D61957D4FAF7DF4561B2AA3016C3D91134096FAA"
    "3BF4296D830E9A7C209E0C6497517ABD5A8A9D306BCF67ED91F9E6725B4758C022E0B1EF4275BF7B6C5BFC11D45F9088B941F54EB1E59BB8"
    "BC39A0BF12307F5C4FDB70C581B23F76B63ACAE1CAA6B7902D52526735488A0EF13C6D9A51BFA4AB3AD8347796524D8EF6A167B5A41825D9"
    "67E144E5140564251CCACB83E6B486F6B3CA3F7971506026C0B857F689962856DED4010ABD0BE621C3A3960A54E710C375F26375D7014103"
    "A4B54330C198AF126116D2276E11715F693877FAD7EF09CADB094AE91E1A1597",
    16,
)
_SUBGROUP_GENERATOR = int(
    "3FB32C9B73134D0B2E77506660EDBD484CA7B18F21EF205407F4793A1A0BA12510DBC15077BE463FFF4FED4AAC0BB555BE3A6C1B0C6B47B1"
    "BC3773BF7E8C6F62901228F8C28CBB18A55AE31341000A650196F931C77A57F2DDF463E5E9EC144B777DE62AAAB8A8628AC376D282D6ED38"
    "64E67982428EBC831D14348F6F2F9193B5045AF2767164E1DFC967C1FB3F2E55A4BD1BFFE83B9C80D052B985D182EA0ADB2A3B7313D3FE14"
    "C8484B1E052588B9B7D2BBD2DF016199ECD06E1557CD0915B3353BBB64E0EC377FD028370DF92B52C7891428CDC67EB6184B523D1DB246C3"
    "2F63078490F00EF8D647D148D47954515E2327CFEF98C582664B4C0F6CC41659",
    16,
)


class KeyPair:
    """One end's part of a key exchange. ``name``: whose it is and of which exchange; it decides the private value."""

    def __init__(self, group: Group, draws: Draws, *name: object) -> None:
        self.group = group
        self._private: Any = _PRIVATE[group.kind](group, draws, ("private value", group.name, *name))

    def public(self) -> bytes:
        """Return the value of the KE payload."""
        group = self.group
        if group.kind == "modp":
            prime, generator = modp(group.number)
            return pow(generator, self._private, prime).to_bytes(group.public_bytes, "big")
        if group.kind == "ecp":
            numbers = self._private.public_key().public_numbers()
            half = group.public_bytes // 2
            octets: bytes = numbers.x.to_bytes(half, "big") + numbers.y.to_bytes(half, "big")
            return octets
        return bytes(self._private.public_key().public_bytes_raw())

    def shared(self, peer: bytes) -> bytes:
        """Return the shared secret with the value of the peer's KE payload."""
        group = self.group
        if group.kind == "modp":
            prime, _ = modp(group.number)
            return pow(int.from_bytes(peer, "big"), self._private, prime).to_bytes(group.public_bytes, "big")
        if group.kind == "ecp":
            ec = library("cryptography.hazmat.primitives.asymmetric.ec")
            point = ec.EllipticCurvePublicKey.from_encoded_point(self._private.curve, b"\x04" + peer)
            return bytes(self._private.exchange(ec.ECDH(), point))
        return bytes(self._private.exchange(_montgomery_class(group, "PublicKey").from_public_bytes(peer)))


def curve(bits: int) -> Any:
    """Return a NIST curve of the library."""
    ec = library("cryptography.hazmat.primitives.asymmetric.ec")
    return {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}[bits]()


def _exponent(_group: Group, draws: Draws, name: tuple[object, ...]) -> int:
    return draws.number(_EXPONENT_BITS, *name) | 1 << (_EXPONENT_BITS - 1)


def _scalar(group: Group, draws: Draws, name: tuple[object, ...]) -> Any:
    ec = library("cryptography.hazmat.primitives.asymmetric.ec")
    return ec.derive_private_key(draws.below(CURVE_ORDERS[group.bits], *name), curve(group.bits))


def _montgomery(group: Group, draws: Draws, name: tuple[object, ...]) -> Any:
    return _montgomery_class(group, "PrivateKey").from_private_bytes(draws.octets(group.public_bytes, *name))


def _montgomery_class(group: Group, kind: str) -> Any:
    name = {"curve25519": "x25519", "curve448": "x448"}[group.name]
    return getattr(library(f"cryptography.hazmat.primitives.asymmetric.{name}"), f"{name.upper()}{kind}")


_PRIVATE = {"modp": _exponent, "ecp": _scalar, "montgomery": _montgomery}


def modp(number: int) -> tuple[int, int]:
    """Return prime and generator of a MODP group by its number."""
    group = GROUPS[number]
    if group.name == "modp2048s256":
        return _SUBGROUP_PRIME, _SUBGROUP_GENERATOR
    return modp_prime(group.bits), 2


@cache
def modp_prime(bits: int) -> int:
    """Return the prime of this length, by the formula of RFC 2409 and RFC 3526."""
    ones = (1 << bits) - (1 << (bits - 64)) - 1
    return ones + ((_pi_times_power_of_two(bits - 130) + _MODP_NUMBERS[bits]) << 64)


def _pi_times_power_of_two(exponent: int) -> int:
    """Return ``floor(pi * 2**exponent)``, by Machin's formula with 64 bits to spare."""
    unit = 1 << (exponent + 64)

    def arccot(x: int) -> int:
        total = power = unit // x
        divisor, sign = 1, 1
        while power:
            power //= x * x
            divisor, sign = divisor + 2, -sign
            total += sign * (power // divisor)
        return total

    return (16 * arccot(5) - 4 * arccot(239)) >> 64
