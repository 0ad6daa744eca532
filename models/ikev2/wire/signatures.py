"""Key pairs and signatures of a capture, drawn from the seed: the same seed gives the same certificate and AUTH.

The keys protect nothing. RSA moduli are products of many primes of 512 bits (RFC 8017 3.1 allows more than two), which
are found in a moment; whoever verifies sees no difference. ECDSA takes its one-time number from the seed, and another
one until the DER signature has the length that the simulation counts with. ML-DSA signatures cannot be seeded in the
``cryptography`` library: key and signature are drawn octets of the right length, and `SigningKey.real` says so.

Sources: RFC 8017 (RSASSA-PKCS1-v1_5), SEC 1 (ECDSA), RFC 8032, RFC 7427 appendix A, RFC 8420, RFC 5480, RFC 8410.
"""

from __future__ import annotations

import hashlib
from math import prod
from typing import Any

from ...algorithms import SIGNATURES
from . import der
from .draws import Draws
from .groups import CURVE_ORDERS, curve
from .library import library

_RSA_EXPONENT = 65537
_PRIME_BITS = 512
#: Bits of a prime that are set from the top, so that the product of all is as long as it should be.
_TOP_BITS = 0xFF << (_PRIME_BITS - 8)
_SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19)
#: Hash functions that ECDSA is used with, by length of the curve (RFC 4754).
_ECDSA_HASHES = {256: "sha256", 384: "sha384", 521: "sha512"}
_CURVES = {256: "1.2.840.10045.3.1.7", 384: "1.3.132.0.34", 521: "1.3.132.0.35"}
_ECDSA_SIGNATURES = {256: "1.2.840.10045.4.3.2", 384: "1.2.840.10045.4.3.3", 521: "1.2.840.10045.4.3.4"}
_HASHES = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}
_EDDSA = {"ed25519": "1.3.101.112", "ed448": "1.3.101.113"}
_MLDSA = {
    "mldsa44": "2.16.840.1.101.3.4.3.17",
    "mldsa65": "2.16.840.1.101.3.4.3.18",
    "mldsa87": "2.16.840.1.101.3.4.3.19",
}
_NULL = b"\x05\x00"
_RSA_KEY, _RSA_SHA256, _EC_KEY = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.11", "1.2.840.10045.2.1"


class SigningKey:
    """A key pair of one of `algorithms.SIGNATURES`; ``name`` says whose and decides the key."""

    def __init__(self, algorithm: str, draws: Draws, *name: object) -> None:
        self.signature = SIGNATURES[algorithm]
        self._draws = draws
        self._name = ("signing key", algorithm, *name)
        self._key: Any = None

    @property
    def real(self) -> bool:
        """False when key and signatures are drawn octets."""
        return self.signature.kind != "mldsa"

    def algorithm_identifier(self) -> bytes:
        """Return the AlgorithmIdentifier of the signature (RFC 7427 appendix A)."""
        kind, name = self.signature.kind, self.signature.name
        if kind == "rsa":
            return der.sequence(der.oid(_RSA_SHA256), _NULL)
        if kind == "ecdsa":
            return der.sequence(der.oid(_ECDSA_SIGNATURES[self.signature.bits]))
        return der.sequence(der.oid(_EDDSA.get(name) or _MLDSA[name]))

    def key_info(self) -> bytes:
        """Return the SubjectPublicKeyInfo (RFC 5280 4.1.2.7)."""
        kind, name = self.signature.kind, self.signature.name
        if kind == "rsa":
            content = der.sequence(der.integer(prod(self._primes())), der.integer(_RSA_EXPONENT))
            return der.sequence(der.sequence(der.oid(_RSA_KEY), _NULL), der.bit_string(content))
        if kind == "ecdsa":
            algorithm = der.sequence(der.oid(_EC_KEY), der.oid(_CURVES[self.signature.bits]))
            return der.sequence(algorithm, der.bit_string(self._point()))
        if kind == "eddsa":
            content = self._eddsa().public_key().public_bytes_raw()
        else:
            content = self._draws.octets(self.signature.public_key_bytes, *self._name)
        return der.sequence(der.sequence(der.oid(_EDDSA.get(name) or _MLDSA[name])), der.bit_string(content))

    def sign(self, octets: bytes) -> bytes:
        """Return a signature with the hash and the form of RFC 7427, of the length in `algorithms.SIGNATURES`."""
        kind = self.signature.kind
        if kind == "rsa":
            return self._rsa_signature(octets, "sha256")
        if kind == "eddsa":
            return bytes(self._eddsa().sign(octets))
        if kind == "mldsa":
            digest = hashlib.sha256(octets).hexdigest()
            return self._draws.octets(self.signature.signature_bytes, *self._name, "signature", digest)
        attempt = 0
        while True:
            found = der.sequence(*(der.integer(part) for part in self._ecdsa(octets, attempt)))
            if len(found) == self.signature.signature_bytes:
                return found
            attempt += 1

    def sign_plainly(self, octets: bytes) -> bytes:
        """Return a signature without RFC 7427: RSA with SHA-1 (RFC 7296 3.8), ECDSA at full length (RFC 4754)."""
        if self.signature.kind == "rsa":
            return self._rsa_signature(octets, "sha1")
        half = self.signature.plain_bytes // 2
        return b"".join(part.to_bytes(half, "big") for part in self._ecdsa(octets, 0))

    # -- RSA ---------------------------------------------------------------------------------------------------

    def _primes(self) -> list[int]:
        if self._key is None:
            count = self.signature.bits // _PRIME_BITS
            self._key = [_prime(self._draws, *self._name, number) for number in range(count)]
        primes: list[int] = self._key
        return primes

    def _rsa_signature(self, octets: bytes, hash_name: str) -> bytes:
        """Return RSASSA-PKCS1-v1_5 (RFC 8017 8.2, 9.2)."""
        n_bytes = self.signature.bits // 8
        digest = hashlib.new(hash_name, octets, usedforsecurity=False).digest()
        info = der.sequence(der.sequence(der.oid(_HASHES[hash_name]), _NULL), der.tlv(0x04, digest))
        encoded = int.from_bytes(b"\x00\x01" + b"\xff" * (n_bytes - len(info) - 3) + b"\x00" + info, "big")
        # One prime after the other (Chinese remainder theorem): much quicker than the whole modulus at once.
        found, modulus = 0, 1
        for prime in self._primes():
            root = pow(encoded, pow(_RSA_EXPONENT, -1, prime - 1), prime)
            found += modulus * ((root - found) * pow(modulus, -1, prime) % prime)
            modulus *= prime
        return found.to_bytes(n_bytes, "big")

    # -- Curves ------------------------------------------------------------------------------------------------

    def _scalar(self) -> int:
        return self._draws.below(CURVE_ORDERS[self.signature.bits], *self._name)

    def _point(self) -> bytes:
        numbers = self._times_generator(self._scalar())
        n_bytes = -(-self.signature.bits // 8)
        octets: bytes = b"\x04" + numbers.x.to_bytes(n_bytes, "big") + numbers.y.to_bytes(n_bytes, "big")
        return octets

    def _times_generator(self, scalar: int) -> Any:
        ec = library("cryptography.hazmat.primitives.asymmetric.ec")
        return ec.derive_private_key(scalar, curve(self.signature.bits)).public_key().public_numbers()

    def _ecdsa(self, octets: bytes, attempt: int) -> tuple[int, int]:
        """Return r and s (SEC 1 4.1.3); another pair for each ``attempt``."""
        order = CURVE_ORDERS[self.signature.bits]
        digest = hashlib.new(_ECDSA_HASHES[self.signature.bits], octets).digest()
        once = self._draws.below(order, *self._name, "once", digest.hex(), attempt)
        r = self._times_generator(once).x % order
        s = pow(once, -1, order) * (int.from_bytes(digest, "big") + r * self._scalar()) % order
        return r, s

    def _eddsa(self) -> Any:
        octets = self._draws.octets(self.signature.public_key_bytes, *self._name)
        if self.signature.name == "ed25519":
            module = library("cryptography.hazmat.primitives.asymmetric.ed25519")
            return module.Ed25519PrivateKey.from_private_bytes(octets)
        return library("cryptography.hazmat.primitives.asymmetric.ed448").Ed448PrivateKey.from_private_bytes(octets)


def _prime(draws: Draws, *name: object) -> int:
    """Return a prime of 512 bits whose top eight bits are set, and below which 65537 has an inverse."""
    candidate = draws.number(_PRIME_BITS, *name) | _TOP_BITS | 1
    while not _is_prime(candidate) or candidate % _RSA_EXPONENT == 1:
        candidate += 2
    return candidate


def _is_prime(number: int) -> bool:
    """Return whether a number of hundreds of bits is prime (Miller 1976, Rabin 1980)."""
    if any(number % small == 0 for small in _SMALL_PRIMES):
        return False
    odd = number - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    for base in _WITNESSES:
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True
