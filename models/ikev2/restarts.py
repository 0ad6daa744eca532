"""Which tunnels should be up, and when one that is down is tried again."""

from __future__ import annotations

import heapq

from ..implementation import Implementation
from .sa import Cause, nanoseconds

#: After these the peer was unreachable or lost its state; after every other cause it said no, or this end did.
_WITHOUT_REFUSAL: frozenset[Cause] = frozenset(
    {"no answer", "half-open for too long", "lifetime ended", "deleted by the peer", "peer started afresh"}
)


class Restarts:
    """The tunnels that the driver has asked for, by interface name."""

    def __init__(self, implementation: Implementation) -> None:
        self._implementation = implementation
        #: True once this end has tried, or the tunnel was up through the peer's attempt.
        self._tried: dict[str, bool] = {}
        self._due_ns: dict[str, int] = {}
        #: (end of the pause, tunnel); what `_due_ns` does not say any more counts for nothing.
        self._queue: list[tuple[int, str]] = []

    def want(self, tunnel: str) -> None:
        """The driver wants the tunnel up now."""
        self._tried.setdefault(tunnel, False)
        self._due_ns.pop(tunnel, None)

    def tried(self, tunnel: str) -> None:
        """Note that the tunnel is tried or up; nothing happens when nobody wants it."""
        if tunnel in self._tried:
            self._tried[tunnel] = True

    def went_down(self, tunnel: str, cause: Cause, now: int) -> None:
        """Try a wanted tunnel again after the pause that the implementation makes, if it makes attempts at all."""
        if not self._implementation.profile.restarts or tunnel not in self._tried:
            return
        number = self._implementation.number
        if not self._tried[tunnel]:
            # Its own start gave way to the peer's attempt, which has failed.
            wait_s = 0.0
        elif cause in _WITHOUT_REFUSAL:
            wait_s = number("restart_after_timeout_s")
        else:
            wait_s = number("restart_after_refusal_s")
        if tunnel not in self._due_ns:
            self._due_ns[tunnel] = at = now + nanoseconds(wait_s)
            heapq.heappush(self._queue, (at, tunnel))

    def take_due(self, now: int) -> list[str]:
        """Return the tunnels whose pause is over, in the order of their names, and forget the pauses."""
        due: list[str] = []
        while (at := self.next_ns()) is not None and at <= now:
            tunnel = heapq.heappop(self._queue)[1]
            del self._due_ns[tunnel]
            due.append(tunnel)
        return sorted(due)

    def next_ns(self) -> int | None:
        """Return when the next pause ends, or None."""
        while self._queue and self._due_ns.get(self._queue[0][1]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None
