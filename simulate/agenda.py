"""The order of events: SimPy is the clock, ties are ordered by meaning and never by insertion.

Actions wait in one heap ordered by (time, rank, entity, sequence); a single SimPy event is armed for its head. Time is
in integer nanoseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum

import simpy


class Rank(IntEnum):
    """Order of events at the same instant: work ends before a datagram arrives before a timer runs out."""

    COMPLETION = 0
    ARRIVAL = 1
    TIMER = 2
    START = 3


Action = Callable[[], None]


class Agenda:
    """Actions in the order of their time."""

    def __init__(self) -> None:
        self.environment = simpy.Environment(initial_time=0)
        #: The present, which is SimPy's, as an integer. [ns]
        self.now = 0
        self._heap: list[tuple[int, int, int, int, Action]] = []
        self._sequences: dict[int, int] = {}
        self._armed_ns = -1

    def at(self, time_ns: int, rank: Rank, entity: int, action: Action) -> None:
        """Do ``action`` at ``time_ns``; ``entity`` is the number of the router that it belongs to.

        Raises ValueError for a time in the past.
        """
        if time_ns < self.now:
            raise ValueError(f"time {time_ns} ns lies before the present, {self.now} ns")
        sequence = self._sequences.get(entity, 0)
        self._sequences[entity] = sequence + 1
        heapq.heappush(self._heap, (time_ns, rank, entity, sequence, action))
        self._arm()

    def run(self, until_ns: int, progress: Callable[[int], None] | None = None) -> None:
        """Run until ``until_ns``; ``progress(now_ns)`` is called after each instant."""
        self._progress = progress
        self._until_ns = until_ns
        self._arm()
        self.environment.run(until=until_ns)
        self.now = until_ns

    def _arm(self) -> None:
        if not self._heap or (self._armed_ns >= 0 and self._armed_ns <= self._heap[0][0]):
            return
        head_ns = self._heap[0][0]
        self._armed_ns = head_ns
        event = simpy.Event(self.environment)
        event._ok = True
        event._value = None
        event.callbacks.append(self._fire)
        self.environment.schedule(event, delay=head_ns - self.now)

    def _fire(self, _event: simpy.Event) -> None:
        self.now = now = int(self.environment.now)
        if self._armed_ns != now:
            # An earlier action was added after this event was armed; that one's event did the work.
            return
        self._armed_ns = -1
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[4]()
        if self._progress is not None:
            self._progress(now)
        self._arm()

    _progress: Callable[[int], None] | None = None
    _until_ns: int = 0
