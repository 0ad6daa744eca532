"""Time of public-key operations from few parameters per CPU. Pure functions over scalars and arrays.

What this leaves out: timing noise; elliptic curves and lattices, which follow no law of size and are ratios in the
profile; special instructions that make one modulus size fast (AVX-512 IFMA does so for RSA-2048): such sizes have times
of their own in the profile.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Order of the subgroup of groups that have one (RFC 5114, sections 2.1 to 2.3). [bits]
SUBGROUP_BITS = {"modp1024s160": 160, "modp2048s224": 224, "modp2048s256": 256}


@overload
def modexp_s(k_s: float, exponent_bits: float, modulus_bits: float, drift: float) -> float: ...
@overload
def modexp_s(
    k_s: float | Floats, exponent_bits: float | Floats, modulus_bits: float | Floats, drift: float | Floats
) -> float | Floats: ...
def modexp_s(
    k_s: float | Floats, exponent_bits: float | Floats, modulus_bits: float | Floats, drift: float | Floats
) -> float | Floats:
    """Return the time of one modular exponentiation, ``k * e * n^2 * (2048 / n)^drift``. [s]

    One multiplication modulo n takes n^2 steps and about one is needed per exponent bit; long numbers fill the
    multiplier better, hence the drift. Against OpenSSL 3.0.19 on one machine (1536 to 8192 bits, exponents of 200 to
    400 bits) the law is within 12 %. The fixed cost of a short exponentiation and the growth of the window are left
    out: with k from short exponents, full-length ones are overestimated by 13 to 42 %, the more the shorter n.

    Parameters
    ----------
    k_s: speed of the CPU and its code at 2048 bits. [s / bit^3]
    exponent_bits: length of the exponent. [bit]
    modulus_bits: length of the modulus. [bit]
    drift: departure from the square law, about 0.2.
    """
    return k_s * exponent_bits * modulus_bits**2 * (2048.0 / modulus_bits) ** drift


def order_bits(group: str, modulus_bits: int) -> int:
    """Return the length of the group's order: of q where a subgroup is used, else of (p - 1) / 2. [bit]"""
    return SUBGROUP_BITS.get(group, modulus_bits - 1)


def rsa_s(at_2048_s: float, modulus_bits: int, exponent: float) -> float:
    """Return the time of an RSA signature, made or checked: ``t(2048) * (n / 2048)^exponent``. [s]

    Fourteen published CPUs have exponents of 2.5 (ARM) to 3.0 for signing and 1.74 to 1.89 for checking with the usual
    public exponent 65537; within 2048 to 4096 bits the law is within 4 % on each of them.

    Parameters
    ----------
    at_2048_s: time with a modulus of 2048 bits. [s]
    modulus_bits: length of the modulus. [bit]
    exponent: growth with the length.
    """
    return float(at_2048_s * (modulus_bits / 2048.0) ** exponent)
