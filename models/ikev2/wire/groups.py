"""Real key exchanges: MODP by ``pow``, curves by the ``cryptography`` library, all private values from the seed.

Sources: RFC 2409 (768, 1024), RFC 3526 (1536 and longer; the primes follow from pi), RFC 5114 2 (groups 22 to
24), RFC 5903 (ECP: x and y travel, x is the secret), RFC 6954 (brainpool, likewise), RFC 8031 (X25519, X448).
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
    192: 0xFFFFFFFFFFFFFFFFFFFFFFFF99DEF836146BC9B1B4D22831,
    224: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFF16A2E0B8F03E13DD29455C5C2A3D,
    256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    384: int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
    521: int("1" + "f" * 65 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16),
}
#: Primes and generators of the groups with a subgroup of 160, 224 and 256 bits (RFC 5114 2.1 to 2.3).
_SUBGROUPS = {
    22: (
        int(
            "B10B8F96A080E01DDE92DE5EAE5D54EC52C99FBCFB06A3C69A6A9DCA52D23B616073E28675A23D189838EF1E2EE652C013ECB4AE"
            "A906112324975C3CD49B83BFACCBDD7D90C4BD7098488E9C219A73724EFFD6FAE5644738FAA31A4FF55BCCC0A151AF5F0DC8B4BD"
            "45BF37DF365C1A65E68CFDA76D4DA708DF1FB2BC2E4A4371",
            16,
        ),
        int(
            "A4D1CBD5C3FD34126765A442EFB99905F8104DD258AC507FD6406CFF14266D31266FEA1E5C41564B777E690F5504F213160217B4"
            "B01B886A5E91547F9E2749F4D7FBD7D3B9A92EE1909D0D2263F80A76A6A24C087A091F531DBF0A0169B6A28AD662A4D18E73AFA3"
            "2D779D5918D08BC8858F4DCEF97C2A24855E6EEB22B3B2E5",
            16,
        ),
    ),
    23: (
        int(
            "AD107E1E9123A9D0D660FAA79559C51FA20D64E5683B9FD1B54B1597B61D0A75E6FA141DF95A56DBAF9A3C407BA1DF15EB3D688A"
            "309C180E1DE6B85A1274A0A66D3F8152AD6AC2129037C9EDEFDA4DF8D91E8FEF55B7394B7AD5B7D0B6C12207C9F98D11ED34DBF6"
            "C6BA0B2C8BBC27BE6A00E0A0B9C49708B3BF8A317091883681286130BC8985DB1602E714415D9330278273C7DE31EFDC7310F712"
            "1FD5A07415987D9ADC0A486DCDF93ACC44328387315D75E198C641A480CD86A1B9E587E8BE60E69CC928B2B9C52172E413042E9B"
            "23F10B0E16E79763C9B53DCF4BA80A29E3FB73C16B8E75B97EF363E2FFA31F71CF9DE5384E71B81C0AC4DFFE0C10E64F",
            16,
        ),
        int(
            "AC4032EF4F2D9AE39DF30B5C8FFDAC506CDEBE7B89998CAF74866A08CFE4FFE3A6824A4E10B9A6F0DD921F01A70C4AFAAB739D77"
            "00C29F52C57DB17C620A8652BE5E9001A8D66AD7C17669101999024AF4D027275AC1348BB8A762D0521BC98AE247150422EA1ED4"
            "09939D54DA7460CDB5F6C6B250717CBEF180EB34118E98D119529A45D6F834566E3025E316A330EFBB77A86F0C1AB15B051AE3D4"
            "28C8F8ACB70A8137150B8EEB10E183EDD19963DDD9E263E4770589EF6AA21E7F5F2FF381B539CCE3409D13CD566AFBB48D6C0191"
            "81E1BCFE94B30269EDFE72FE9B6AA4BD7B5A0F1C71CFFF4C19C418E1F6EC017981BC087F2A7065B384B890D3191F2BFA",
            16,
        ),
    ),
    24: (
        int(
            "87A8E61DB4B6663CFFBBD19C651959998CEEF608660DD0F25D2CEED4435E3B00E00DF8F1D61957D4FAF7DF4561B2AA3016C3D911"
            "34096FAA3BF4296D830E9A7C209E0C6497517ABD5A8A9D306BCF67ED91F9E6725B4758C022E0B1EF4275BF7B6C5BFC11D45F9088"
            "B941F54EB1E59BB8BC39A0BF12307F5C4FDB70C581B23F76B63ACAE1CAA6B7902D52526735488A0EF13C6D9A51BFA4AB3AD83477"
            "96524D8EF6A167B5A41825D967E144E5140564251CCACB83E6B486F6B3CA3F7971506026C0B857F689962856DED4010ABD0BE621"
            "C3A3960A54E710C375F26375D7014103A4B54330C198AF126116D2276E11715F693877FAD7EF09CADB094AE91E1A1597",
            16,
        ),
        int(
            "3FB32C9B73134D0B2E77506660EDBD484CA7B18F21EF205407F4793A1A0BA12510DBC15077BE463FFF4FED4AAC0BB555BE3A6C1B"
            "0C6B47B1BC3773BF7E8C6F62901228F8C28CBB18A55AE31341000A650196F931C77A57F2DDF463E5E9EC144B777DE62AAAB8A862"
            "8AC376D282D6ED3864E67982428EBC831D14348F6F2F9193B5045AF2767164E1DFC967C1FB3F2E55A4BD1BFFE83B9C80D052B985"
            "D182EA0ADB2A3B7313D3FE14C8484B1E052588B9B7D2BBD2DF016199ECD06E1557CD0915B3353BBB64E0EC377FD028370DF92B52"
            "C7891428CDC67EB6184B523D1DB246C32F63078490F00EF8D647D148D47954515E2327CFEF98C582664B4C0F6CC41659",
            16,
        ),
    ),
}


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
    curves = {192: ec.SECP192R1, 224: ec.SECP224R1, 256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
    return curves[bits]()


def _brainpool(bits: int) -> Any:
    ec = library("cryptography.hazmat.primitives.asymmetric.ec")
    return {256: ec.BrainpoolP256R1, 384: ec.BrainpoolP384R1, 512: ec.BrainpoolP512R1}[bits]()


def is_real(group: Group) -> bool:
    """Return whether the library has the group; of brainpool P-224 it has not."""
    return group.name != "ecp224bp"


def _exponent(_group: Group, draws: Draws, name: tuple[object, ...]) -> int:
    return draws.number(_EXPONENT_BITS, *name) | 1 << (_EXPONENT_BITS - 1)


def _scalar(group: Group, draws: Draws, name: tuple[object, ...]) -> Any:
    ec = library("cryptography.hazmat.primitives.asymmetric.ec")
    if group.name.endswith("bp"):
        # Below the order, whose first digit is 8 or more: a bit less is always below it.
        return ec.derive_private_key(1 + draws.number(group.bits - 2, *name), _brainpool(group.bits))
    return ec.derive_private_key(draws.below(CURVE_ORDERS[group.bits], *name), curve(group.bits))


def _montgomery(group: Group, draws: Draws, name: tuple[object, ...]) -> Any:
    return _montgomery_class(group, "PrivateKey").from_private_bytes(draws.octets(group.public_bytes, *name))


def _montgomery_class(group: Group, kind: str) -> Any:
    name = {"curve25519": "x25519", "curve448": "x448"}[group.name]
    return getattr(library(f"cryptography.hazmat.primitives.asymmetric.{name}"), f"{name.upper()}{kind}")


_PRIVATE = {"modp": _exponent, "ecp": _scalar, "montgomery": _montgomery}


def modp(number: int) -> tuple[int, int]:
    """Return prime and generator of a MODP group by its number."""
    return _SUBGROUPS[number] if number in _SUBGROUPS else (modp_prime(GROUPS[number].bits), 2)


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
