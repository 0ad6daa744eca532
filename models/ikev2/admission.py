"""Admission: how many first exchanges an end begins and takes at a time (``crypto ikev2 limit``, fact sheet C.4).

What is taken is counted where it arrives: half-open SAs by the endpoint, requests of IKE_SA_INIT that wait for the CPU
here. What this end begins beyond its limit waits until one of its own attempts is authenticated or has failed.

What this leaves out: limits by CPU and memory (``call admission limit``), an order among the waiting but first come.
"""

from __future__ import annotations

from collections import deque


class Outgoing:
    """First exchanges that this end has begun, and tunnels that wait for their turn, by name."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: deque[str] = deque()
        self._negotiating: set[int] = set()

    @property
    def full(self) -> bool:
        """True while no further exchange may begin."""
        return len(self._negotiating) >= self.limit

    def began(self, serial: int) -> None:
        """Count the attempt with this SA."""
        self._negotiating.add(serial)

    def ended(self, serial: int) -> None:
        """The attempt is authenticated or closed; nothing happens for any other SA."""
        self._negotiating.discard(serial)

    def wait(self, tunnel: str) -> bool:
        """Let a tunnel wait; return whether it did not wait already."""
        new = tunnel not in self.waiting
        if new:
            self.waiting.append(tunnel)
        return new
