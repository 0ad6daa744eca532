"""Algorithms that IKEv2 and ESP negotiate: numbers, sizes and names; no speeds (those are hardware).

Numbers: IANA "IKEv2 Parameters". Sizes: RFC 7296 (section 3.3), RFC 4868 (HMAC-SHA2 key 32/48/64, ICV 16/24/32),
RFC 2404, RFC 2403, RFC 4106 and RFC 5282 (GCM: salt 4, IV 8, ICV 16), RFC 4543 (GMAC), RFC 2451 (3DES),
RFC 3526, RFC 2409, RFC 5903, RFC 5114, RFC 8031 (key exchange values).

What this leaves out: ML-KEM and signature algorithms; they come with the exchanges that carry them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import unknown_name


@dataclass(frozen=True, slots=True)
class Encryption:
    """An encryption transform (type 1). Sizes in bytes; ``key_bits`` is 0 where the key length is fixed."""

    name: str
    number: int
    key_bits: int
    key_bytes: int
    salt_bytes: int
    iv_bytes: int
    block_bytes: int
    icv_bytes: int
    ios: str

    @property
    def aead(self) -> bool:
        """True when the cipher protects integrity itself (ICV inside)."""
        return self.icv_bytes > 0

    @property
    def has_key_length(self) -> bool:
        """True when the transform carries the Key Length attribute (12 bytes on the wire instead of 8)."""
        return self.key_bits > 0


@dataclass(frozen=True, slots=True)
class Integrity:
    """An integrity transform (type 3). ``icv_bytes`` is what travels; ``hash`` names the hash function inside."""

    name: str
    number: int
    key_bytes: int
    icv_bytes: int
    hash: str
    ios: str


@dataclass(frozen=True, slots=True)
class Prf:
    """A pseudorandom function (type 2). ``output_bytes`` is also its preferred key length."""

    name: str
    number: int
    output_bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class Group:
    """A key exchange method (type 4). ``public_bytes`` is the length of the value in the KE payload."""

    name: str
    number: int
    kind: Literal["modp", "ecp", "montgomery"]
    bits: int
    public_bytes: int


def _aes(mode: str, number: int, ios: str, *, salt: int, iv: int, block: int, icv: int) -> list[Encryption]:
    return [
        Encryption(f"aes-{mode}-{bits}", number, bits, bits // 8, salt, iv, block, icv, ios) for bits in (128, 192, 256)
    ]


ENCRYPTIONS: dict[str, Encryption] = {
    e.name: e
    for e in [
        Encryption("des", 2, 0, 8, 0, 8, 8, 0, "DES"),
        Encryption("3des", 3, 0, 24, 0, 8, 8, 0, "3DES"),
        Encryption("null", 11, 0, 0, 0, 0, 1, 0, "NULL"),
        *_aes("cbc", 12, "AES-CBC", salt=0, iv=16, block=16, icv=0),
        *_aes("gcm", 20, "AES-GCM", salt=4, iv=8, block=1, icv=16),
        *_aes("gmac", 21, "AES-GMAC", salt=4, iv=8, block=1, icv=16),
    ]
}

INTEGRITIES: dict[str, Integrity] = {
    i.name: i
    for i in [
        Integrity("md5", 1, 16, 12, "md5", "MD596"),
        Integrity("sha1", 2, 20, 12, "sha1", "SHA96"),
        Integrity("sha256", 12, 32, 16, "sha256", "SHA256"),
        Integrity("sha384", 13, 48, 24, "sha384", "SHA384"),
        Integrity("sha512", 14, 64, 32, "sha512", "SHA512"),
    ]
}

PRFS: dict[str, Prf] = {
    p.name: p
    for p in [
        Prf("md5", 1, 16, "md5"),
        Prf("sha1", 2, 20, "sha1"),
        Prf("sha256", 5, 32, "sha256"),
        Prf("sha384", 6, 48, "sha384"),
        Prf("sha512", 7, 64, "sha512"),
    ]
}

GROUPS: dict[int, Group] = {
    g.number: g
    for g in [
        Group("modp768", 1, "modp", 768, 96),
        Group("modp1024", 2, "modp", 1024, 128),
        Group("modp1536", 5, "modp", 1536, 192),
        Group("modp2048", 14, "modp", 2048, 256),
        Group("modp3072", 15, "modp", 3072, 384),
        Group("modp4096", 16, "modp", 4096, 512),
        Group("modp6144", 17, "modp", 6144, 768),
        Group("modp8192", 18, "modp", 8192, 1024),
        Group("ecp256", 19, "ecp", 256, 64),
        Group("ecp384", 20, "ecp", 384, 96),
        Group("ecp521", 21, "ecp", 521, 132),
        Group("modp2048s256", 24, "modp", 2048, 256),
        Group("curve25519", 31, "montgomery", 255, 32),
        Group("curve448", 32, "montgomery", 448, 56),
    ]
}


def encryption(name: str, where: str = "") -> Encryption:
    """Return the encryption transform of this name. Raises InputError with the nearest valid name."""
    try:
        return ENCRYPTIONS[name]
    except KeyError:
        raise unknown_name("encryption algorithm", name, ENCRYPTIONS, where) from None


def integrity(name: str, where: str = "") -> Integrity:
    """Return the integrity transform of this name. Raises InputError with the nearest valid name."""
    try:
        return INTEGRITIES[name]
    except KeyError:
        raise unknown_name("integrity algorithm", name, INTEGRITIES, where) from None


def prf(name: str, where: str = "") -> Prf:
    """Return the pseudorandom function of this name. Raises InputError with the nearest valid name."""
    try:
        return PRFS[name]
    except KeyError:
        raise unknown_name("PRF", name, PRFS, where) from None


def group(number: int, where: str = "") -> Group:
    """Return the key exchange group of this number. Raises InputError with the nearest valid number."""
    try:
        return GROUPS[number]
    except KeyError:
        raise unknown_name("Diffie-Hellman group", str(number), [str(n) for n in GROUPS], where) from None
