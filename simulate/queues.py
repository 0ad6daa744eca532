"""Queues of identical servers with known service times: first come, first served, and with priorities.

`FifoQueue` computes completions on arrival: the job goes to the server that is free first (Kiefer and Wolfowitz); one
event stands at the visible effect only. With priorities a job does not know its beginning when it arrives:
`PriorityQueue` says when it begins, and is told when it has ended. What this leaves out: preemption, reneging, changing
speed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
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

    def clear(self, now_ns: int) -> None:
        """Forget the jobs that are waiting or in service; what they would have taken from now on is not busy time."""
        self._busy_ns -= sum(max(0, free_ns - now_ns) for free_ns in self._free_ns)
        self._free_ns = [min(free_ns, now_ns) for free_ns in self._free_ns]
        heapq.heapify(self._free_ns)

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


#: Takes (start, end) of the service of a job. [ns]
Begin = Callable[[int, int], None]


class PriorityQueue:
    """``servers`` identical servers; of the waiting jobs the one of the lowest level begins first, then the oldest.

    A job in service is not interrupted (non-preemptive, Cobham 1954). With one level only this is a `FifoQueue`.
    """

    def __init__(self, name: str, servers: int = 1) -> None:
        self.name = name
        self.servers = servers
        self._free = servers
        #: (level, number, arrival, service time, begin) of the jobs that wait. [ns]
        self._waiting: list[tuple[int, int, int, int, Begin]] = []
        self._arrivals = 0
        self._begun = 0
        self._busy_ns = 0
        self._waited_ns = 0
        self._max_waiting_ns = 0

    def arrive(self, now_ns: int, service_ns: int, level: int, begin: Begin) -> None:
        """Take a job; ``begin(start, end)`` is called when its service begins, now or in some `release`. [ns]"""
        self._arrivals += 1
        if self._free:
            self._free -= 1
            self._begin(now_ns, now_ns, service_ns, begin)
        else:
            heapq.heappush(self._waiting, (level, self._arrivals, now_ns, service_ns, begin))

    def release(self, now_ns: int) -> None:
        """Tell that a job has ended, at the end that its ``begin`` was told; the next one begins. [ns]"""
        if self._waiting:
            _, _, arrival_ns, service_ns, begin = heapq.heappop(self._waiting)
            self._begin(now_ns, arrival_ns, service_ns, begin)
        else:
            self._free += 1

    def _begin(self, now_ns: int, arrival_ns: int, service_ns: int, begin: Begin) -> None:
        waited_ns = now_ns - arrival_ns
        self._begun += 1
        self._busy_ns += service_ns
        self._waited_ns += waited_ns
        self._max_waiting_ns = max(self._max_waiting_ns, waited_ns)
        begin(now_ns, now_ns + service_ns)

    def statistics(self, duration_ns: int) -> QueueStatistics:
        """Return the figures of the whole run; what waits at its end counts in ``mean_length`` and in no other mean."""
        jobs, span = max(self._begun, 1), max(duration_ns, 1)
        unserved_ns = sum(max(duration_ns - arrival_ns, 0) for _, _, arrival_ns, _, _ in self._waiting)
        return QueueStatistics(
            self.name,
            self.servers,
            self._arrivals,
            self._busy_ns / (span * self.servers),
            self._waited_ns / jobs / NS_PER_S,
            self._max_waiting_ns / NS_PER_S,
            self._busy_ns / jobs / NS_PER_S,
            (self._waited_ns + unserved_ns) / span,
        )
