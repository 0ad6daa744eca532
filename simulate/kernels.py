"""Compiled packet kernels: arrivals, queues, shaper, link. Arrays in, arrays out, state carried between windows.

Every kernel goes through its packets once, in order of arrival, and leaves its state in the arrays that it was given,
so a run cut into windows gives the same bits as a run in one piece. A dropped packet departs at ``nan``.

- `fifo_station`: c identical servers, first come first served (Lindley 1952 for one server, Kiefer and Wolfowitz 1955
  for several), with a finite number of waiting places.
- `shaper_station`: token bucket that delays the excess, then drops it.
- `propagation`: loss and delay of a link after its serialiser (the serialiser is a `fifo_station` of one server).
- `draw_arrivals`: arrival times and lengths of a flow; `FlowArrivals` is its face.

Random numbers are `hash64` of ``models/randomness.py`` in compiled form; transcendental functions are scalar ``math``
functions, as NumPy's differ in the last bit. No fastmath: a re-ordered sum would break the equality of windows.

The departures of a station with several servers are not in order of time; sort them (stable) before the next station.

What this leaves out: priorities, service that depends on the state at its start, speeds that change during a window,
reordering by a link, and servers that belong to one SA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba as nb
import numpy as np

from ..models import randomness
from ..models.errors import InputError
from ..models.randomness import GOLDEN, MIX_1, MIX_2, UNIT
from ..models.traffic import IMIX, Flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Sizes = NDArray[np.int32]

Function = TypeVar("Function", bound=Callable[..., object])

# Places in a station's tally, an array that `new_tally` makes. Counts are exact in a float up to 2**53.
ARRIVALS = 0
DROPS = 1
#: Sum of the service times begun. [s]
BUSY_S = 2
WAITING_S = 3
LONGEST_WAITING_S = 4
#: Time integral of the number of waiting packets up to LAST_EVENT_S, counted event by event. [packet s]
QUEUE_AREA_S = 5
FIRST_ARRIVAL_S = 6
#: Time up to which QUEUE_AREA_S is counted. [s]
LAST_EVENT_S = 7
#: Latest end of service so far. [s]
LAST_DEPARTURE_S = 8
TALLY_PLACES = 9

# Places in the state of `propagation`: latest arrival at the far end, sum of the delays, lost packets.
LATEST_S, DELAYS_S, LOST = 0, 1, 2


def compiled(signature: str) -> Callable[[Function], Function]:
    """Compile for this signature at import, without the interpreter lock, from the disk cache where there is one.

    numba raises RuntimeError when it finds no directory to keep its cache in (read-only installation, no home).
    """

    def decorate(function: Function) -> Function:
        result: Any
        try:
            result = nb.njit(signature, cache=True, nogil=True)(function)
        except (RuntimeError, OSError):
            result = nb.njit(signature, nogil=True)(function)
        return cast("Function", result)

    return decorate


_GOLDEN = np.uint64(GOLDEN)
_MIX_1 = np.uint64(MIX_1)
_MIX_2 = np.uint64(MIX_2)
_ONE = np.uint64(1)
_11, _27, _30, _31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


@compiled("uint64(uint64, uint64)")
def hash64(key: np.uint64, n: np.uint64) -> np.uint64:
    """Return 64 pseudorandom bits for counter ``n`` of stream ``key``; equal to ``models.randomness.hash64``."""
    z = key + (n + _ONE) * _GOLDEN
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@compiled("float64(uint64, int64)")
def uniform(key: np.uint64, n: int) -> float:
    """Return a number in [0, 1) for counter ``n`` of stream ``key``; equal to ``models.randomness.uniform``."""
    return float(hash64(key, np.uint64(n)) >> _11) * UNIT


def new_tally() -> Floats:
    """Return the empty tally of a station."""
    return np.zeros(TALLY_PLACES)


@dataclass(frozen=True, slots=True)
class StationStats:
    """What a station did, observed from its first arrival to its last end of service.

    Counts are packets, times are sums over packets. [s] ``drops`` found no waiting place, ``lost`` were lost on the
    wire. ``busy_s`` of a shaper is the time that the bits take at its rate (a burst may bring its utilisation above
    1), ``service_s`` is what packets really spend in service: nothing in a shaper.
    """

    name: str
    servers: int
    arrivals: int
    drops: int
    lost: int
    observed_s: float
    busy_s: float
    service_s: float
    waiting_s: float
    longest_waiting_s: float
    propagation_s: float
    queue_area_packet_s: float

    @classmethod
    def of(cls, name: str, servers: int, tally: Floats, wire: Floats, *, serves: bool) -> StationStats:
        """Return the stats of a tally and the state of a `propagation`; a shaper does not serve."""
        return cls(
            name=name,
            servers=servers,
            arrivals=int(tally[ARRIVALS]),
            drops=int(tally[DROPS]),
            lost=int(wire[LOST]),
            observed_s=max(float(tally[LAST_DEPARTURE_S] - tally[FIRST_ARRIVAL_S]), 0.0),
            busy_s=float(tally[BUSY_S]),
            service_s=float(tally[BUSY_S]) if serves else 0.0,
            waiting_s=float(tally[WAITING_S]),
            longest_waiting_s=float(tally[LONGEST_WAITING_S]),
            propagation_s=float(wire[DELAYS_S]),
            queue_area_packet_s=float(tally[QUEUE_AREA_S]),
        )

    @property
    def accepted(self) -> int:
        """Packets that were not dropped for want of a waiting place."""
        return self.arrivals - self.drops

    @property
    def utilisation(self) -> float:
        """Share of the servers' time that was used; 0 when nothing was observed."""
        return self.busy_s / (self.servers * self.observed_s) if self.observed_s > 0.0 else 0.0

    @property
    def mean_waiting_s(self) -> float:
        """Mean waiting time of the accepted packets. [s]"""
        return self.waiting_s / max(self.accepted, 1)

    @property
    def mean_time_s(self) -> float:
        """Mean time of an accepted packet here: waiting, service and propagation. [s]"""
        return (self.waiting_s + self.service_s + self.propagation_s) / max(self.accepted, 1)

    @property
    def mean_queue_packets(self) -> float:
        """Time average of the number of waiting packets, counted independently of the waiting times."""
        return self.queue_area_packet_s / self.observed_s if self.observed_s > 0.0 else 0.0


@compiled("int64(float64, float64[::1], int64, int64, float64[::1])")
def _leave_queue(now: float, starts: Floats, head: int, tail: int, tally: Floats) -> int:
    """Count the queue up to ``now``; return the new head, the first packet whose service starts after ``now``."""
    last = tally[LAST_EVENT_S]
    area = tally[QUEUE_AREA_S]
    while head < tail and starts[head] <= now:
        area += (tail - head) * (starts[head] - last)
        last = starts[head]
        head += 1
    tally[QUEUE_AREA_S] = area + (tail - head) * (now - last)
    tally[LAST_EVENT_S] = now
    return head


@compiled("float64[::1](float64[::1], float64[::1], float64[::1])")
def _begin_window(arrivals: Floats, waiting: Floats, tally: Floats) -> Floats:
    """Count the arrivals; return room for the service starts of a window, those of waiting packets filled in."""
    starts = np.empty(waiting.size + arrivals.size)
    starts[: waiting.size] = waiting
    if arrivals.size and tally[ARRIVALS] == 0.0:
        tally[FIRST_ARRIVAL_S] = tally[LAST_EVENT_S] = arrivals[0]
    tally[ARRIVALS] += arrivals.size
    return starts


@compiled("float64[::1](float64[::1], float64[::1], int64, int64, float64[::1])")
def _end_window(arrivals: Floats, starts: Floats, head: int, tail: int, tally: Floats) -> Floats:
    """Return the service starts of the packets that still wait after the last arrival."""
    if arrivals.size:
        head = _leave_queue(arrivals[-1], starts, head, tail, tally)
    return starts[head:tail].copy()


@compiled("void(float64[::1], float64[::1])")
def drain(waiting: Floats, tally: Floats) -> None:
    """Count the queue until the last waiting packet has started: the end of a run."""
    if waiting.size:
        _leave_queue(waiting[-1], waiting, 0, waiting.size, tally)


@compiled("float64[::1](float64[::1], float64[::1], float64[::1], int64, float64[::1], float64[::1], float64[::1])")
def fifo_station(
    arrivals: Floats,
    services: Floats,
    free: Floats,
    buffer_packets: int,
    waiting: Floats,
    departures: Floats,
    tally: Floats,
) -> Floats:
    """Pass packets through c identical servers with one queue.

    Parameters
    ----------
    arrivals: arrival times, not decreasing, none before those of the window before. Shape (n,). [s]
    services: service times. Shape (n,). [s]
    free: times at which the servers become free, as a binary heap, the earliest first; in and out. Shape (c,). [s]
    buffer_packets: waiting places; negative for no limit. A packet that finds no free server and no place is dropped.
    waiting: service starts of the packets that were waiting at the end of the window before. [s]
    departures: out. Shape (n,). [s]
    tally: in and out, see `new_tally`.

    Returns ``waiting`` for the next window.
    """
    starts = _begin_window(arrivals, waiting, tally)
    head, tail = 0, waiting.size
    servers = free.size
    for i in range(arrivals.size):
        now = arrivals[i]
        earliest = free[0]
        head = _leave_queue(now, starts, head, tail, tally)
        if earliest > now and 0 <= buffer_packets <= tail - head:
            departures[i] = math.nan
            tally[DROPS] += 1.0
            continue
        start = max(now, earliest)
        departure = start + services[i]
        departures[i] = departure
        starts[tail] = start
        tail += 1
        tally[BUSY_S] += services[i]
        tally[WAITING_S] += start - now
        tally[LONGEST_WAITING_S] = max(tally[LONGEST_WAITING_S], start - now)
        tally[LAST_DEPARTURE_S] = max(tally[LAST_DEPARTURE_S], departure)
        # The earliest server takes the packet: sift its new time down the heap.
        place, child = 0, 1
        while child < servers:
            if child + 1 < servers and free[child + 1] < free[child]:
                child += 1
            if free[child] >= departure:
                break
            free[place] = free[child]
            place, child = child, 2 * child + 1
        free[place] = departure
    return _end_window(arrivals, starts, head, tail, tally)


@compiled(
    "float64[::1](float64[::1], float64[::1], float64, float64, float64[::1], int64,"
    " float64[::1], float64[::1], float64[::1])"
)
def shaper_station(
    arrivals: Floats,
    bits: Floats,
    rate_bps: float,
    burst_bits: float,
    bucket: Floats,
    buffer_packets: int,
    waiting: Floats,
    departures: Floats,
    tally: Floats,
) -> Floats:
    """Pass packets through a token bucket in front of which they wait.

    Tokens (bits) come in at ``rate_bps`` up to ``burst_bits``; a packet leaves as soon as all before it have left and
    the bucket holds its length. A packet longer than the burst waits until its whole length has come in.

    ``bucket`` holds the tokens and the time at which they were counted, in and out; the other parameters are those of
    `fifo_station`. BUSY_S is the time that the bits would take at ``rate_bps``.
    """
    starts = _begin_window(arrivals, waiting, tally)
    head, tail = 0, waiting.size
    tokens, counted = bucket[0], bucket[1]
    for i in range(arrivals.size):
        now = arrivals[i]
        head = _leave_queue(now, starts, head, tail, tally)
        first = max(now, counted)
        filled = min(burst_bits, tokens + rate_bps * (first - counted))
        missing = bits[i] - filled
        departure = first + missing / rate_bps if missing > 0.0 else first
        if departure > now and 0 <= buffer_packets <= tail - head:
            departures[i] = math.nan
            tally[DROPS] += 1.0
            continue
        tokens = max(-missing, 0.0)
        counted = departure
        departures[i] = departure
        starts[tail] = departure
        tail += 1
        tally[BUSY_S] += bits[i] / rate_bps
        tally[WAITING_S] += departure - now
        tally[LONGEST_WAITING_S] = max(tally[LONGEST_WAITING_S], departure - now)
    bucket[0], bucket[1] = tokens, counted
    tally[LAST_DEPARTURE_S] = max(tally[LAST_DEPARTURE_S], counted)
    return _end_window(arrivals, starts, head, tail, tally)


@compiled("void(float64[::1], int64[::1], float64, float64, boolean, float64, uint64, uint64, float64[::1])")
def propagation(
    departures: Floats,
    serials: Integers,
    delay_s: float,
    jitter_s: float,
    reorders: bool,
    loss: float,
    loss_key: np.uint64,
    jitter_key: np.uint64,
    state: Floats,
) -> None:
    """Turn departures from a serialiser into arrivals at the far end, in place.

    Each packet is lost with probability ``loss`` (it becomes nan), else delayed by ``delay_s`` + uniform [0, jitter_s).
    It never overtakes, as a wide area path is a chain of FIFO queues, unless the link ``reorders``. ``serials`` are the
    packets' own numbers, so that a packet's fate does not depend on what was dropped before it. ``state`` is in and
    out. Shape (3,).
    """
    for i in range(departures.size):
        if math.isnan(departures[i]):
            continue
        if loss > 0.0 and uniform(loss_key, serials[i]) < loss:
            departures[i] = math.nan
            state[LOST] += 1.0
            continue
        jitter = jitter_s * uniform(jitter_key, serials[i]) if jitter_s > 0.0 else 0.0
        arrival = departures[i] + delay_s + jitter
        if not reorders:
            arrival = max(state[LATEST_S], arrival)
        state[LATEST_S] = max(state[LATEST_S], arrival)
        state[DELAYS_S] += arrival - departures[i]
        departures[i] = arrival


@compiled(
    "Tuple((float64[::1], int32[::1]))"
    "(float64, float64, float64, boolean, int32[::1], float64[::1], uint64, uint64, float64[::1], int64[::1])"
)
def draw_arrivals(
    start_s: float,
    until_s: float,
    gap_s: float,
    exponential: bool,
    lengths: Sizes,
    shares: Floats,
    gap_key: np.uint64,
    length_key: np.uint64,
    next_s: Floats,
    counter: Integers,
) -> tuple[Floats, Sizes]:
    """Return the arrival times and packet lengths of a flow from where it stands until before ``until_s``.

    Parameters
    ----------
    start_s: time of the first constant packet; a Poisson flow has its first packet one gap later. [s]
    gap_s: mean gap between packets. [s]
    exponential: gaps are exponential, else constant; constant times are multiples, so errors do not add up.
    lengths, shares: packet lengths [bytes] and their cumulative shares, the last one 1. Shape (m,).
    next_s, counter: time of the next packet and its number, in and out. Shape (1,).
    """
    room = 1024
    times = np.empty(room)
    sizes = np.empty(room, np.int32)
    count = 0
    n = counter[0]
    now = next_s[0]
    while now < until_s:
        if count == room:
            room *= 2
            longer_times, longer_sizes = np.empty(room), np.empty(room, np.int32)
            longer_times[:count], longer_sizes[:count] = times, sizes
            times, sizes = longer_times, longer_sizes
        times[count] = now
        kind = 0
        if lengths.size > 1:
            u = uniform(length_key, n)
            while kind + 1 < lengths.size and u >= shares[kind]:
                kind += 1
        sizes[count] = lengths[kind]
        count += 1
        n += 1
        now = now - math.log(1.0 - uniform(gap_key, n)) * gap_s if exponential else start_s + n * gap_s
    counter[0] = n
    next_s[0] = now
    return times[:count].copy(), sizes[:count].copy()


class FlowArrivals:
    """The packets of one flow, window by window; how the time is cut does not matter."""

    def __init__(self, flow: Flow, seed: int, *, replication: int = 0, draw: int = 0) -> None:
        gaps = randomness.make_key(seed, flow.name, "gap", replication=replication, draw=draw)
        lengths = randomness.make_key(seed, flow.name, "length", replication=replication, draw=draw)
        self.flow = flow
        if flow.packet_bytes is None:
            mix = IMIX[flow.mix]
            sizes, shares = np.array(mix.packet_bytes, np.int32), np.cumsum(mix.weights) / sum(mix.weights)
        else:
            sizes, shares = np.array([flow.packet_bytes], np.int32), np.ones(1)
        gap_s = 1.0 / flow.packets_per_s
        exponential = flow.kind in ("poisson", "imix")
        first_gap_s = -math.log(1.0 - randomness.uniform(gaps, 0)) * gap_s if exponential else 0.0
        next_s, counter = np.array([flow.start_s + first_gap_s]), np.zeros(1, np.int64)
        keys = np.uint64(gaps), np.uint64(lengths)
        self._state = (gap_s, exponential, sizes, shares, *keys, next_s, counter)

    def take(self, until_s: float) -> tuple[Floats, Sizes]:
        """Return arrival times [s] and inner packet lengths [bytes] from the last call's end to before ``until_s``."""
        until_s = min(until_s, self.flow.stop_s)
        if math.isinf(until_s):
            raise InputError("it never stops: give it a stop_s or ask for a finite time", f"flow '{self.flow.name}'")
        return draw_arrivals(self.flow.start_s, until_s, *self._state)
