"""Secrets that cannot leak: they compare and authenticate, and never print."""

from __future__ import annotations

from hashlib import blake2b


class Secret:
    """A pre-shared key or password. ``repr``, ``str``, formatting and pickling never show it."""

    __slots__ = ("_keyed", "_value")

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else value
        #: The digest with the key taken in; every proof goes on from a copy of it.
        self._keyed: blake2b | None = None

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not stored")

    @property
    def n_bytes(self) -> int:
        """Length, which whoever sends the secret itself gives away (EAP-GTC, RFC 3748 5.6). [bytes]"""
        return len(self._value)

    def proof(self, *signed: object) -> bytes:
        """Return a keyed digest over ``signed``: whoever holds the same key can recompute it, nobody can invert it.

        It stands for the AUTH data of RFC 7296 2.15; captures compute AUTH from octets of the same digest.
        """
        return self.proof_over("\x1f".join(map(str, signed)).encode())

    def proof_over(self, octets: bytes) -> bytes:
        """Return such a digest over octets."""
        if self._keyed is None:
            self._keyed = blake2b(key=blake2b(self._value).digest())
        digest = self._keyed.copy()
        digest.update(octets)
        return digest.digest()
