"""A time axis that is to scale where something happens and short where two routers only wait for a timer."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

#: A wait longer than this fraction of all the active time is shortened;
LONG = 0.3
#: all of them together take at most this fraction of the height.
MOST = 0.6


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Maps seconds to heights on the page, in seconds of active time.

    ``knots_s`` and ``heights`` are the corners of the mapping; ``waits`` the (begin, end) that are shortened. [s]
    """

    knots_s: tuple[float, ...]
    heights: tuple[float, ...]
    waits: tuple[tuple[float, float], ...]

    def __call__(self, time_s: float) -> float:
        """Return the height of an instant."""
        place = min(max(bisect_right(self.knots_s, time_s) - 1, 0), len(self.knots_s) - 2)
        (t0, t1), (h0, h1) = self.knots_s[place : place + 2], self.heights[place : place + 2]
        return h0 + (time_s - t0) * (h1 - h0) / (t1 - t0)

    def ticks_s(self, count: int = 9) -> list[float]:
        """Return instants worth a label: round numbers at one distance, at least one between two waits."""
        active = [(a, b) for a, b in pairwise(self.knots_s) if (a, b) not in self.waits]
        step = _round_step(self.heights[-1] / count)
        ticks: list[float] = []
        for begin, end in active:
            inside = [n * step for n in range(math.ceil(begin / step - 1e-9), math.floor(end / step + 1e-9) + 1)]
            ticks += inside or [begin]
        return ticks


def time_scale(active: list[tuple[float, float]], wait_share: float) -> TimeScale:
    """Return the scale for these (begin, end) in which something happens. [s]

    ``wait_share``: a shortened wait takes this fraction of the whole height.
    """
    merged: list[list[float]] = []
    for begin, end in sorted(active):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    total_s = sum(end - begin for begin, end in merged) or 1.0
    waits = [(a[1], b[0]) for a, b in pairwise(merged) if b[0] - a[1] > LONG * total_s]
    knots = sorted({merged[0][0], merged[-1][1], *(t for wait in waits for t in wait)})
    if len(knots) == 1:
        knots.append(knots[0] + total_s)
    share = min(wait_share, MOST / max(len(waits), 1))
    drawn_s = sum(end - begin for begin, end in pairwise(knots) if (begin, end) not in waits)
    short = drawn_s * share / (1 - len(waits) * share)
    heights = [0.0]
    for begin, end in pairwise(knots):
        heights.append(heights[-1] + (short if (begin, end) in waits else end - begin))
    return TimeScale(tuple(knots), tuple(heights), tuple(waits))


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def spread(centres: list[float], sizes: list[float], lowest: float, highest: float) -> list[float]:
    """Return places near ``centres`` (ascending) at which labels of these sizes do not overlap.

    >>> spread([0.0, 1.0, 1.0], [1.0, 1.0, 1.0], -0.5, 9.0)
    [0.0, 1.0, 2.0]
    """
    places: list[float] = []
    edge = lowest
    for centre, size in zip(centres, sizes, strict=True):
        places.append(max(centre, edge + size / 2))
        edge = places[-1] + size / 2
    edge = highest
    for n in range(len(places) - 1, -1, -1):
        places[n] = min(places[n], edge - sizes[n] / 2)
        edge = places[n] - sizes[n] / 2
    return places
