"""Counter-based random numbers: u = hash(key, n), with no state anywhere.

``key`` is 64 bits of BLAKE2b over (seed, replication, draw, entity, purpose) and ``n`` counts messages, attempts or
packets. One more peer or message therefore shifts nobody else's draws: runs share common random numbers by
construction. The mixing function is SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014) applied to ``key + (n + 1) * golden``.

`hash64` (scalar), `hash64_array` (NumPy) and the compiled form in ``simulate/kernels.py`` give the same bits.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
#: 2**-53: maps the upper 53 bits of a 64-bit integer to [0, 1).
UNIT = 1.0 / (1 << 53)


def make_key(seed: int, entity: str, purpose: str, *, replication: int = 0, draw: int = 0) -> int:
    """Return the 64-bit key of one stream.

    >>> make_key(1, "HQ", "nonce") == make_key(1, "HQ", "nonce")
    True
    >>> make_key(1, "HQ", "nonce") == make_key(2, "HQ", "nonce")
    False
    """
    text = "\x1f".join((str(seed), str(replication), str(draw), entity, purpose))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def hash64(key: int, n: int) -> int:
    """Return 64 pseudorandom bits for counter ``n`` of stream ``key``."""
    z = (key + (n + 1) * GOLDEN) & MASK64
    z = ((z ^ (z >> 30)) * MIX_1) & MASK64
    z = ((z ^ (z >> 27)) * MIX_2) & MASK64
    return z ^ (z >> 31)


def uniform(key: int, n: int) -> float:
    """Return a number in [0, 1) for counter ``n`` of stream ``key``."""
    return (hash64(key, n) >> 11) * UNIT


def hash64_array(key: int, first: int, count: int) -> NDArray[np.uint64]:
    """Return `hash64` for the counters ``first`` to ``first + count - 1``. Shape (count,)."""
    import numpy as np

    with np.errstate(over="ignore"):
        n = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        z = np.uint64(key) + n * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
        return z ^ (z >> np.uint64(31))


class Stream:
    """Successive draws of one entity for one purpose; the position is the only state."""

    __slots__ = ("_key", "_next")

    def __init__(self, key: int, first: int = 0) -> None:
        self._key = key
        self._next = first

    def bits(self) -> int:
        """Return the next 64 bits."""
        value = hash64(self._key, self._next)
        self._next += 1
        return value

    def uniform(self) -> float:
        """Return the next number in [0, 1)."""
        return (self.bits() >> 11) * UNIT


@lru_cache(maxsize=1024)
def _purpose_key(purpose: str) -> int:
    return make_key(0, "", purpose)


class Streams:
    """Successive draws of one entity for several purposes; what one purpose draws shifts no other.

    One key serves all of them: each has a constant of its own, which changes about half of the bits.
    """

    __slots__ = ("_drawn", "_key")

    def __init__(self, key: int) -> None:
        self._key = key
        self._drawn: dict[str, int] = {}

    def bits(self, purpose: str) -> int:
        """Return the next 64 bits for this purpose."""
        n = self._drawn[purpose] = self._drawn.get(purpose, 0) + 1
        # `hash64` of n - 1, written out: nothing is drawn more often.
        z = ((self._key ^ _purpose_key(purpose)) + n * GOLDEN) & MASK64
        z = ((z ^ (z >> 30)) * MIX_1) & MASK64
        z = ((z ^ (z >> 27)) * MIX_2) & MASK64
        return z ^ (z >> 31)

    def uniform(self, purpose: str) -> float:
        """Return the next number in [0, 1) for this purpose."""
        return (self.bits(purpose) >> 11) * UNIT
