"""Queues whose completions are computed on arrival (first come, first served, service time known).

For c identical servers the job goes to the server that is free first (Kiefer and Wolfowitz); one event stands at the
visible effect only. What this leaves out: priorities, reneging, changing speed.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from ..models.ikev2.sa import NS_PER_S


@dataclass(slots=True)
class QueueStatistics:
    """What a queue did. Times in s; ``mean_length`` is the time average of the number waiting (Little's law)."""

    name: str
    servers: int
    arrivals: int
    utilisation: float
    mean_waiting_s: float
    max_waiting_s: float
    mean_service_s: float
    mean_length: float
    drops: int = 0


class FifoQueue:
    """``servers`` identical servers and one queue without limit."""

    def __init__(self, name: str, servers: int = 1) -> None:
        self.name = name
        self.servers = servers
        self._free_ns = [0] * servers
        self._arrivals = 0
        self._busy_ns = 0
        self._waiting_ns = 0
        self._max_waiting_ns = 0

    def serve(self, now_ns: int, service_ns: int) -> tuple[int, int]:
        """Return (start, end) of the service of a job that arrives now. [ns]

        Jobs must arrive in order of time.
        """
        free_ns = heapq.heappop(self._free_ns)
        start_ns = max(now_ns, free_ns)
        end_ns = start_ns + service_ns
        heapq.heappush(self._free_ns, end_ns)
        self._arrivals += 1
        self._busy_ns += service_ns
        self._waiting_ns += start_ns - now_ns
        self._max_waiting_ns = max(self._max_waiting_ns, start_ns - now_ns)
        return start_ns, end_ns

    def statistics(self, duration_ns: int) -> QueueStatistics:
        """Return the figures of the whole run."""
        jobs = max(self._arrivals, 1)
        span = max(duration_ns, 1)
        return QueueStatistics(
            self.name,
            self.servers,
            self._arrivals,
            self._busy_ns / (span * self.servers),
            self._waiting_ns / jobs / NS_PER_S,
            self._max_waiting_ns / NS_PER_S,
            self._busy_ns / jobs / NS_PER_S,
            self._waiting_ns / span,
        )
