"""Algorithms that IKEv2 and ESP negotiate: numbers, sizes and names; no speeds (those are hardware).

Numbers: IANA "IKEv2 Parameters"; from 1024 on they are strongSwan's own, for private use. Sizes: RFC 7296 (section
3.3), RFC 4868 (HMAC-SHA2 key 32/48/64, ICV 16/24/32), RFC 2404, RFC 2403, RFC 4595 (untruncated MD5 and SHA-1), RFC
4106 and RFC 5282 (GCM: salt 4, IV 8, ICV 8, 12 or 16), RFC 4543 (GMAC), RFC 3686 and RFC 5930 (CTR: salt 4, IV 8), RFC
4309 (CCM: salt 3, IV 8, ICV 8, 12 or 16), RFC 2451 (3DES, Blowfish, CAST), RFC 4312 and RFC 5529 (Camellia), RFC 7634
(ChaCha20-Poly1305: key 32, salt 4, IV 8, ICV 16, no Key Length attribute), RFC 3566 and RFC 4434 (AES-XCBC), RFC 4494
and RFC 4615 (AES-CMAC), RFC 3526, RFC 2409, RFC 5903, RFC 5114, RFC 6954, RFC 8031 (key exchange values).

FIPS 203 and draft-ietf-ipsecme-ikev2-mlkem (ML-KEM: key and ciphertext lengths), FIPS 204 (ML-DSA), RFC 7427, RFC 4754
and RFC 8420 (signatures).
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
    """An integrity transform (type 3). ``icv_bytes`` is what travels.

    ``hash`` names the hash function inside an HMAC, or the MAC itself where a block cipher makes it (``aes-xcbc``).
    """

    name: str
    number: int
    key_bytes: int
    icv_bytes: int
    hash: str
    ios: str


@dataclass(frozen=True, slots=True)
class Prf:
    """A pseudorandom function (type 2). ``output_bytes`` is also its preferred key length; ``hash`` as in Integrity."""

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


@dataclass(frozen=True, slots=True)
class Kem:
    """A key encapsulation as an additional key exchange (RFC 9370). Sizes of what is sent, in bytes.

    ``times_s``: key generation, encapsulation and decapsulation of a method that the user describes; the others are
    priced by the hardware profile. [s]
    """

    name: str
    number: int
    public_bytes: int
    ciphertext_bytes: int
    times_s: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature algorithm with the size of its keys.

    ``signature_bytes``: the usual length in AUTH with RFC 7427. An ECDSA signature is DER there, and each of its two
    integers is a byte longer in every second case: half of the signatures have this length, nearly all others a byte
    more or less.
    ``algorithm_identifier_bytes``: the ASN.1 object of RFC 7427 that stands before it, without its length byte.
    """

    name: str
    kind: Literal["rsa", "ecdsa", "eddsa", "mldsa"]
    bits: int
    signature_bytes: int
    public_key_bytes: int
    algorithm_identifier_bytes: int

    @property
    def plain_bytes(self) -> int:
        """Length in AUTH without RFC 7427: both integers of ECDSA at full length (RFC 4754 section 7)."""
        return 2 * -(-self.bits // 8) if self.kind == "ecdsa" else self.signature_bytes


def _sized(cipher: str, number: int, ios: str, *, salt: int = 0, iv: int, block: int, icv: int = 0) -> list[Encryption]:
    """Return a cipher with keys of 128, 192 and 256 bits."""
    return [
        Encryption(f"{cipher}-{bits}", number, bits, bits // 8, salt, iv, block, icv, ios) for bits in (128, 192, 256)
    ]


ENCRYPTIONS: dict[str, Encryption] = {
    e.name: e
    for e in [
        Encryption("des", 2, 0, 8, 0, 8, 8, 0, "DES"),
        Encryption("3des", 3, 0, 24, 0, 8, 8, 0, "3DES"),
        Encryption("cast-128", 6, 128, 16, 0, 8, 8, 0, "CAST"),
        *_sized("blowfish", 7, "BLOWFISH", iv=8, block=8),
        Encryption("null", 11, 0, 0, 0, 0, 1, 0, "NULL"),
        *_sized("aes-cbc", 12, "AES-CBC", iv=16, block=16),
        *_sized("aes-ctr", 13, "AES-CTR", salt=4, iv=8, block=1),
        # The number in the name of an AEAD cipher is the length of its ICV; without one it has 16 bytes.
        *_sized("aes-ccm8", 14, "AES-CCM-8", salt=3, iv=8, block=1, icv=8),
        *_sized("aes-ccm12", 15, "AES-CCM-12", salt=3, iv=8, block=1, icv=12),
        *_sized("aes-ccm", 16, "AES-CCM", salt=3, iv=8, block=1, icv=16),
        *_sized("aes-gcm8", 18, "AES-GCM-8", salt=4, iv=8, block=1, icv=8),
        *_sized("aes-gcm12", 19, "AES-GCM-12", salt=4, iv=8, block=1, icv=12),
        *_sized("aes-gcm", 20, "AES-GCM", salt=4, iv=8, block=1, icv=16),
        *_sized("aes-gmac", 21, "AES-GMAC", salt=4, iv=8, block=1, icv=16),
        *_sized("camellia-cbc", 23, "CAMELLIA-CBC", iv=16, block=16),
        *_sized("camellia-ctr", 24, "CAMELLIA-CTR", salt=4, iv=8, block=1),
        *_sized("camellia-ccm8", 25, "CAMELLIA-CCM-8", salt=3, iv=8, block=1, icv=8),
        *_sized("camellia-ccm12", 26, "CAMELLIA-CCM-12", salt=3, iv=8, block=1, icv=12),
        *_sized("camellia-ccm", 27, "CAMELLIA-CCM", salt=3, iv=8, block=1, icv=16),
        Encryption("chacha20poly1305", 28, 0, 32, 4, 8, 1, 16, "CHACHA20-POLY1305"),
        *_sized("serpent-cbc", 1026, "SERPENT-CBC", iv=16, block=16),
        *_sized("twofish-cbc", 1027, "TWOFISH-CBC", iv=16, block=16),
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
        Integrity("aes-xcbc", 5, 16, 12, "aes-xcbc", "AES-XCBC96"),
        Integrity("md5-128", 6, 16, 16, "md5", "MD5128"),
        Integrity("sha1-160", 7, 20, 20, "sha1", "SHA160"),
        Integrity("aes-cmac", 8, 16, 12, "aes-cmac", "AES-CMAC96"),
        # The truncation of a draft that old Linux kernels used.
        Integrity("sha256-96", 1026, 32, 12, "sha256", "SHA25696"),
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
        Prf("aes-xcbc", 4, 16, "aes-xcbc"),
        Prf("aes-cmac", 8, 16, "aes-cmac"),
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
        Group("modp1024s160", 22, "modp", 1024, 128),
        Group("modp2048s224", 23, "modp", 2048, 256),
        Group("modp2048s256", 24, "modp", 2048, 256),
        Group("ecp192", 25, "ecp", 192, 48),
        Group("ecp224", 26, "ecp", 224, 56),
        Group("ecp224bp", 27, "ecp", 224, 56),
        Group("ecp256bp", 28, "ecp", 256, 64),
        Group("ecp384bp", 29, "ecp", 384, 96),
        Group("ecp512bp", 30, "ecp", 512, 128),
        Group("curve25519", 31, "montgomery", 255, 32),
        Group("curve448", 32, "montgomery", 448, 56),
    ]
}


#: What an additional key exchange can be.
KeyExchange = Group | Kem

KEMS: dict[str, Kem] = {
    k.name: k
    for k in [
        Kem("mlkem512", 35, 800, 768),
        Kem("mlkem768", 36, 1184, 1088),
        Kem("mlkem1024", 37, 1568, 1568),
    ]
}

SIGNATURES: dict[str, Signature] = {
    s.name: s
    for s in [
        # RSASSA-PKCS1-v1_5 with SHA-2 (RFC 7427 appendix A.1): 15 bytes with NULL parameters.
        *(Signature(f"rsa{bits}", "rsa", bits, bits // 8, bits // 8, 15) for bits in (1024, 2048, 3072, 4096, 8192)),
        # DER: two INTEGERs, each with a byte more when the first bit is set; a long form of the length above 127.
        Signature("ecdsa256", "ecdsa", 256, 71, 65, 12),
        Signature("ecdsa384", "ecdsa", 384, 103, 97, 12),
        Signature("ecdsa521", "ecdsa", 521, 138, 133, 12),
        Signature("ed25519", "eddsa", 255, 64, 32, 7),
        Signature("ed448", "eddsa", 448, 114, 57, 7),
        Signature("mldsa44", "mldsa", 44, 2420, 1312, 13),
        Signature("mldsa65", "mldsa", 65, 3309, 1952, 13),
        Signature("mldsa87", "mldsa", 87, 4627, 2592, 13),
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


def kem(name: str, where: str = "") -> Kem:
    """Return the key encapsulation of this name. Raises InputError with the nearest valid name."""
    try:
        return KEMS[name]
    except KeyError:
        raise unknown_name("key encapsulation", name, KEMS, where) from None


def signature(name: str, where: str = "") -> Signature:
    """Return the signature algorithm of this name. Raises InputError with the nearest valid name."""
    try:
        return SIGNATURES[name]
    except KeyError:
        raise unknown_name("signature algorithm", name, SIGNATURES, where) from None
