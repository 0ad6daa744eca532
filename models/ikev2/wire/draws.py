"""Octets and numbers drawn from the seed, by name: the same name gives the same value, whatever else is drawn."""

from __future__ import annotations

from ...randomness import hash64, make_key


class Draws:
    """Draws of one seed. A name is any number of words."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def octets(self, n_bytes: int, *name: object) -> bytes:
        """Return ``n_bytes`` octets."""
        key = make_key(self._seed, "wire", "\x1f".join(map(str, name)))
        words = (hash64(key, n).to_bytes(8, "big") for n in range(-(-n_bytes // 8)))
        return b"".join(words)[:n_bytes]

    def number(self, bits: int, *name: object) -> int:
        """Return an integer from 0 to ``2**bits - 1``."""
        n_bytes = -(-bits // 8)
        return int.from_bytes(self.octets(n_bytes, *name), "big") >> (8 * n_bytes - bits)

    def below(self, limit: int, *name: object) -> int:
        """Return an integer from 1 to ``limit - 1``; 128 bits more than needed are drawn, so none is favoured."""
        return 1 + self.number(limit.bit_length() + 128, *name) % (limit - 1)
