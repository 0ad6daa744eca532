"""Laws that predict one figure of a CPU, a gateway or a path from another one. Pure functions, no tables of answers.

Each law holds within a class: code of one kind on one processor. The rules that tell the classes apart look at what is
known before the prediction, never at the figure that is predicted.

What this leaves out: caches, clock boost, contention; what a law cannot reach is said at the law.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from statistics import median
from typing import Literal

import numpy as np

from .public_key import modexp_s

# -- Finite-field Diffie-Hellman --------------------------------------------------------------------------------

Multiplication = Literal["schoolbook", "subquadratic"]
#: GMP multiplies by Toom and Cook's method in three parts from about 65 limbs of 64 bits on (MUL_TOOM33_THRESHOLD of
#: common x86-64 processors); OpenSSL and GMP's constant-time exponentiation stay with schoolbook multiplication.
TOOM3_BITS = 4096
#: Five products of a third of the length each: the time grows as n^(log 5 / log 3).
TOOM3_GROWTH = math.log(5) / math.log(3)


def ffdh_from(
    base_s: float,
    base: tuple[float, int],
    wanted: tuple[float, int],
    drift: float,
    code: Multiplication = "schoolbook",
) -> float:
    """Return the time of an exponentiation from that of another one on the same CPU. [s]

    Up to `TOOM3_BITS` both kinds of code follow ``k * e * n^2 * (2048 / n)^drift``; beyond, a multiplication of
    subquadratic code grows by `TOOM3_GROWTH` only.

    Parameters
    ----------
    base_s: the known time. [s]
    base, wanted: length of the exponent and of the modulus. [bit]
    drift: departure from the square law, see `modexp_s`; fit it on other CPUs by `ffdh_drift`.
    code: how long numbers are multiplied.
    """

    def steps(exponent_bits: float, modulus_bits: int) -> float:
        if code == "schoolbook" or modulus_bits <= TOOM3_BITS:
            return float(modexp_s(1.0, exponent_bits, modulus_bits, drift))
        beyond = (modulus_bits / TOOM3_BITS) ** TOOM3_GROWTH
        return float(modexp_s(1.0, exponent_bits, TOOM3_BITS, drift) * beyond)

    return float(base_s * steps(*wanted) / steps(*base))


def ffdh_drift(times_s: Sequence[tuple[float, int, float]]) -> float:
    """Return the drift of one CPU: the median over its moduli, each against the shortest.

    ``times_s``: length of the exponent [bit], of the modulus [bit], time [s]; two moduli at least.
    """
    exponent0, modulus0, base_s = min(times_s, key=lambda row: row[1])
    return median(
        math.log(modexp_s(1.0, e, n, 0.0) / modexp_s(1.0, exponent0, modulus0, 0.0) * base_s / t_s)
        / math.log(n / modulus0)
        for e, n, t_s in times_s
        if n != modulus0
    )


# -- RSA --------------------------------------------------------------------------------------------------------

#: With Chinese remainders a signature is two exponentiations of half the length, so its time grows as n^3 at most.
STEEPEST_RSA_SIGN = 3.0
#: Checks per signature at 2048 bits: ordinary code makes 31 to 45 (an exponent of 17 bits against two of 1024 bits
#: with moduli of half the length). Fewer: signing has code of its own for this length, which checking lacks.
LEAST_VERIFY_PER_SIGN = 27.0
#: Growth of a signature on ARM: published openssl outputs have 2.51 to 2.64, x86 2.62 to 2.91. Their rows do not ship,
#: so nothing here checks it.
ARM_RSA_SIGN_GROWTH = 2.58


def growth(small: tuple[int, float], large: tuple[int, float]) -> float:
    """Return the exponent g of ``t ~ n^g`` through two points of length and time."""
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])


def power_law(known: tuple[int, float], wanted: int, exponent: float) -> float:
    """Return the time at another length from a known point and a growth; unit as the known time."""
    return float(known[1] * (wanted / known[0]) ** exponent)


def has_special_2048(sign_s: dict[int, float], verify_s: dict[int, float]) -> bool:
    """Return whether a CPU and build have code of their own for signatures with 2048 bits (RSAZ, AVX2 or AVX-512).

    Told from the 2048-bit times alone: fewer than `LEAST_VERIFY_PER_SIGN` checks per signature. Where checking was
    not measured, a growth to the next length that schoolbook multiplication cannot have tells it.

    Parameters
    ----------
    sign_s, verify_s: times by length of the modulus. [s]
    """
    if 2048 in sign_s and 2048 in verify_s:
        return sign_s[2048] / verify_s[2048] < LEAST_VERIFY_PER_SIGN
    longer = [bits for bits in sign_s if bits > 2048]
    if 2048 not in sign_s or not longer:
        return False
    return growth((2048, sign_s[2048]), (min(longer), sign_s[min(longer)])) > STEEPEST_RSA_SIGN + 0.1


# -- Elliptic curves --------------------------------------------------------------------------------------------

CurveClass = Literal["fast", "medium", "generic"]
#: Growth of a curve's time with its length within one class: brainpool's three curves, always generic, show 1.7 to 2.2.
CURVE_GROWTH = 2.15
#: Time over that of P-256 in assembly, both at the same length: code for one prime has 0.7 to 1.8 (P-256, P-521 and
#: tuned P-384), untuned code for one prime about 4, code for any curve 6.5 to 10.
FAST_RATIO, MEDIUM_RATIO = 2.5, 5.0


def curve_class(bits: int, ratio: float) -> CurveClass:
    """Return the implementation class of a prime curve from its time relative to P-256 in assembly code.

    Curves of one class grow with their length; across classes P-384 may cost more than P-521.
    """
    at_256_bits = ratio / (bits / 256) ** CURVE_GROWTH
    if at_256_bits <= FAST_RATIO:
        return "fast"
    return "medium" if at_256_bits <= MEDIUM_RATIO else "generic"


# -- ML-KEM -----------------------------------------------------------------------------------------------------

#: Rank of the module, by parameter set (FIPS 203, table 2).
MLKEM_RANK = {"512": 2, "768": 3, "1024": 4}


def mlkem_from(at_768_s: float, parameter_set: str, exponent: float) -> float:
    """Return the time of a step from that of ML-KEM-768: it grows as a power of the module's rank. [s]

    Making the matrix grows as the square of the rank, transforms and hashes of the key as the rank, and some work is
    fixed; so the exponent is 1.1 to 1.6 where the matrix is made and 0.4 to 1.0 where it is kept with the key.
    """
    return float(at_768_s * (MLKEM_RANK[parameter_set] / 3) ** exponent)


def mlkem_exponent(parameter_set: str, ratio: float) -> float:
    """Return the exponent that a time relative to ML-KEM-768 shows."""
    return math.log(ratio) / math.log(MLKEM_RANK[parameter_set] / 3)


# -- Symmetric algorithms and gateways --------------------------------------------------------------------------


def line_through(times: dict[int, float]) -> tuple[float, float]:
    """Return a and b of ``a + b * bytes`` by least squares of relative errors; units as the times."""
    sizes = np.array(sorted(times), dtype=np.float64)
    measured = np.array([times[int(size)] for size in sizes])
    design = np.stack([1 / measured, sizes / measured], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(sizes)), rcond=None)
    return float(a), float(b)


def aes_128_from_256(byte_s: float) -> float:
    """Return the time a byte of AES-CBC with 128 bits from that with 256: 10 rounds instead of 14 (FIPS 197). [s]"""
    return byte_s * 10 / 14


def packet_s(bps: float, frame_bytes: float) -> float:
    """Return the time a packet of a saturated gateway. [s]"""
    return 8 * frame_bytes / bps


def gateway_bps(known_bps: float, frame_bytes: float, added_byte_s: float, cipher_bytes: float, cores: int) -> float:
    """Return the rate of a saturated gateway with other algorithms: each packet takes longer by their difference.

    Parameters
    ----------
    known_bps: rate with the known algorithms. [bit/s]
    frame_bytes: length to which both rates refer. [bytes]
    added_byte_s: difference of the algorithms on one core. [s / byte]
    cipher_bytes: bytes of a packet that they touch.
    cores: how many share the packets.
    """
    return 8 * frame_bytes / (packet_s(known_bps, frame_bytes) + added_byte_s * cipher_bytes / cores)


# -- Time of a set-up across a network --------------------------------------------------------------------------


def set_up_s(at_no_delay_s: float, exchanges: int, rtt_s: float) -> float:
    """Return the time of a set-up: its computing, and a round trip an exchange. [s]"""
    return at_no_delay_s + exchanges * rtt_s


def rtt_from(set_up: float, at_no_delay_s: float, exchanges: int) -> float:
    """Return the round-trip time that one delayed set-up shows. [s]"""
    return (set_up - at_no_delay_s) / exchanges


#: RFC 7383 and 7296: IP and UDP, non-ESP marker, IKE header, SKF header; IV and ICV of AES-CBC with HMAC-SHA-256-128.
_IP_UDP, _MARKER, _IKE, _SK, _SKF, _BLOCK, _ICV = 28, 4, 28, 4, 8, 16, 16


def datagrams(ike_bytes: int, fragment_bytes: int = 1280) -> int:
    """Return into how many datagrams an encrypted IKE message is cut (RFC 7383).

    Parameters
    ----------
    ike_bytes: length of the whole message, with AES-CBC and HMAC-SHA-256-128. [bytes]
    fragment_bytes: longest IP packet; strongSwan's default is 1280. [bytes]
    """
    if _IP_UDP + _MARKER + ike_bytes <= fragment_bytes:
        return 1
    room = fragment_bytes - _IP_UDP - _MARKER - _IKE - _SKF - _BLOCK - _ICV
    data = room // _BLOCK * _BLOCK - 1
    # At least one byte of padding length is in the whole message.
    return math.ceil((ike_bytes - _IKE - _SK - _BLOCK - _ICV - 1) / data)


def no_loss(loss: float, count: int) -> float:
    """Return the probability that none of ``count`` datagrams is lost."""
    return float((1 - loss) ** count)


def waiting_times(
    loss: float, exchanges: Sequence[int], timeout_s: float = 4.0, base: float = 1.8, longest: int = 3
) -> Iterator[tuple[float, float]]:
    """Yield the time that a set-up waits for retransmissions and its probability. [s]

    An exchange fails when any of its datagrams is lost; its request, and so the response, is then sent again as a whole
    after ``timeout_s * base^i`` (strongSwan: 4.0 s and 1.8).

    Parameters
    ----------
    loss: probability that a datagram is lost.
    exchanges: datagrams of each exchange, both ways.
    longest: failures of one exchange beyond which no case is counted.
    """
    waits = [sum(timeout_s * base**i for i in range(failures)) for failures in range(longest + 1)]
    for failures in product(range(longest + 1), repeat=len(exchanges)):
        p = 1.0
        for count, failed in zip(exchanges, failures, strict=True):
            arrives = no_loss(loss, count)
            p *= arrives * (1 - arrives) ** failed
        yield sum(waits[failed] for failed in failures), p


def waiting_quantile(loss: float, exchanges: Sequence[int], share: float) -> tuple[float, float, float]:
    """Return a quantile of the waiting time and the cumulated probability below and up to it. [s, 1, 1]"""
    reached = 0.0
    cases: dict[float, float] = {}
    for wait_s, p in waiting_times(loss, exchanges):
        cases[round(wait_s, 9)] = cases.get(round(wait_s, 9), 0.0) + p
    for wait_s in sorted(cases):
        if reached + cases[wait_s] >= share:
            return wait_s, reached, reached + cases[wait_s]
        reached += cases[wait_s]
    return math.inf, reached, 1.0
