"""Packets through the stations of a tunnel: cores, offload engines, licences, link. No packet is a SimPy event.

A `PacketPath` is an ordered list of stations; `PacketPath.run` passes arrays of arrivals through it in blocks and
returns the latency of every packet, where packets were dropped, and what each station did. Working memory is bounded
by the block; results do not depend on the block in any bit. `tunnel_stations` builds the path of a tunnel.

A station with several servers, or a link that reorders, lets packets overtake. Its departures are sorted before the
next station (ties keep the order of arrival); those that a packet still to come might precede are held until the next
block.

What this leaves out: the two directions of a tunnel do not contend for the cores, and other tunnels of the same router
do not either (a later version merges their arrivals), nor for the bits of a licence (`shared_limits` finds where they
would); control traffic and rekeys; reassembly by end hosts (a packet fragmented before the first station counts as
delivered when its last fragment is); a router's parallel cores do not count as reordering for the anti-replay window,
as routers keep the order of a flow; link-layer framing on the serialiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..models import esp, replay
from ..models.errors import InputError
from . import kernels
from .kernels import StationStats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

#: A serial number is the packet's own number shifted by this, plus the number of the fragment.
FRAGMENT_BITS = 16


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A wide area link in one direction.

    Parameters
    ----------
    rate_bps: of the serialiser, in IP bits. [bit/s]
    delay_s: constant propagation delay. [s]
    jitter_s: added delay, uniform in [0, jitter_s). [s]
    reorders: a packet with less delay overtakes; else packets keep their order.
    loss: probability that a packet is lost after serialisation, independent of all others.
    buffer_packets: waiting places in front of the serialiser; negative for no limit.
    """

    rate_bps: float
    delay_s: float
    jitter_s: float = 0.0
    loss: float = 0.0
    buffer_packets: int = -1
    reorders: bool = False

    def __post_init__(self) -> None:
        if not self.rate_bps > 0.0:
            raise InputError(f"link rate_bps is {self.rate_bps:g}; it must be greater than 0")
        if not (0.0 <= self.delay_s < math.inf and 0.0 <= self.jitter_s < math.inf):
            raise InputError(f"link delay_s {self.delay_s:g} and jitter_s {self.jitter_s:g} must be at least 0, finite")
        if not 0.0 <= self.loss <= 1.0:
            raise InputError(f"link loss is {self.loss:g}; it must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Servers:
    """Identical servers with one FIFO queue; ``service_s(inner_bytes, wire_bytes)`` gives the service times. [s]"""

    name: str
    service_s: Callable[[Integers, Integers], Floats]
    servers: int = 1
    buffer_packets: int = -1


@dataclass(frozen=True, slots=True)
class Shaper:
    """A token bucket on the bits of the ESP packet; the excess waits, and is dropped when no place is free."""

    name: str
    rate_bps: float
    burst_bytes: float
    buffer_packets: int = -1


@dataclass(frozen=True, slots=True)
class Policer:
    """A token bucket on the bits of the ESP packet that lets nothing wait: the excess is dropped."""

    name: str
    rate_bps: float
    burst_bytes: float


@dataclass(frozen=True, slots=True)
class Link:
    """A serialiser with a finite buffer, then loss and delay, drawn with these two keys."""

    name: str
    spec: LinkSpec
    loss_key: int
    jitter_key: int


@dataclass(frozen=True, slots=True)
class LengthLimit:
    """Drops inner packets that are longer than this: a router refuses them, or the path swallows what they become."""

    name: str
    longest_inner_bytes: int


@dataclass(frozen=True, slots=True)
class ReplayCheck:
    """The anti-replay window of a receiver: drops packets whose number is ``window`` or more below the highest.

    Packets are numbered where they leave the sender, at the first shaper or link. The SAs of a tunnel share one count:
    what is late over a rekey would be judged by a window of its own.
    """

    name: str
    window: int


Station = Servers | Shaper | Policer | Link | LengthLimit | ReplayCheck


class Packets(NamedTuple):
    """Packets at one point of the path, in order of time. Shape (n,) each. [s], [bytes]

    ``sequence`` is the number that the sender's SA has given, once it has; only a `ReplayCheck` looks at it.
    """

    serials: Integers
    at_s: Floats
    inner_bytes: Integers
    wire_bytes: Integers
    sequence: Integers

    def take(self, chosen: NDArray[np.bool_] | Integers | slice) -> Packets:
        """Return the chosen packets."""
        lengths = self.inner_bytes[chosen], self.wire_bytes[chosen]
        serials = self.serials[chosen]
        # Before they are numbered both are one array.
        numbered = serials if self.sequence is self.serials else self.sequence[chosen]
        return Packets(serials, self.at_s[chosen], *lengths, numbered)

    def bits(self) -> Floats:
        """Return the lengths on the wire. [bit]"""
        return np.multiply(self.wire_bytes, 8.0, dtype=np.float64)

    def followed_by(self, other: Packets) -> Packets:
        """Return these packets and then the others."""
        serials = np.concatenate((self.serials, other.serials))
        unnumbered = self.sequence is self.serials and other.sequence is other.serials
        return Packets(
            serials,
            np.concatenate((self.at_s, other.at_s)),
            np.concatenate((self.inner_bytes, other.inner_bytes)),
            np.concatenate((self.wire_bytes, other.wire_bytes)),
            serials if unnumbered else np.concatenate((self.sequence, other.sequence)),
        )


_NONE = np.empty(0, np.int64)
NO_PACKETS = Packets(_NONE, np.empty(0), _NONE, _NONE, _NONE)


def _occupancy_s(station: Station, packets: Packets) -> Floats:
    """Return the time for which each packet occupies one server, or the rate, of a station. [s]"""
    if isinstance(station, Servers):
        return station.service_s(packets.inner_bytes, packets.wire_bytes)
    if isinstance(station, LengthLimit | ReplayCheck):
        return np.zeros(packets.at_s.size)
    return packets.bits() / (station.spec.rate_bps if isinstance(station, Link) else station.rate_bps)


class _Queue:
    """A station at work: what it carries from block to block."""

    def __init__(self, station: Station, *, empty_buckets: bool, numbers: bool = False) -> None:
        self.station = station
        self._numbers = numbers
        # Numbers given to packets that leave the sender; highest number that a window has seen.
        self._given = self._top = 0
        self.servers = station.servers if isinstance(station, Servers) else 1
        self._tally = kernels.new_tally()
        self._waiting = np.empty(0)
        self._free = np.zeros(self.servers)
        full_bits = 8.0 * station.burst_bytes if isinstance(station, Shaper | Policer) else 0.0
        self._bucket = np.array([0.0 if empty_buckets else full_bits, 0.0])
        self._wire = np.zeros(3)
        self._held = NO_PACKETS

    def pass_on(self, packets: Packets, until_s: float) -> tuple[Packets, Integers, float]:
        """Serve a block of arrivals; no later arrival comes before ``until_s``.

        Returns the packets that go on, the serials of those dropped or lost, and the time before which none goes on
        later.
        """
        if isinstance(self.station, LengthLimit | ReplayCheck):
            return (*self._sort_out(self.station, packets), until_s)
        if self._numbers:
            first, self._given = self._given + 1, self._given + packets.at_s.size
            packets = packets._replace(sequence=np.arange(first, self._given + 1))
        departures = np.empty(packets.at_s.size)
        earliest_s = self._serve(packets, departures)
        until_s = max(until_s, earliest_s)
        if isinstance(self.station, Link):
            spec, keys = self.station.spec, (np.uint64(self.station.loss_key), np.uint64(self.station.jitter_key))
            delays = (spec.delay_s, spec.jitter_s, spec.reorders)
            kernels.propagation(departures, packets.serials, *delays, spec.loss, *keys, self._wire)
            until_s += spec.delay_s
            if not spec.reorders:
                until_s = max(until_s, self._wire[kernels.LATEST_S])
        packets = packets._replace(at_s=departures)
        gone = np.isnan(departures)
        dropped = packets.serials[gone]
        if dropped.size:
            packets = packets.take(~gone)
        if self.servers > 1 or (isinstance(self.station, Link) and self.station.spec.reorders):
            packets = self._held.followed_by(packets)
            packets = packets.take(np.argsort(packets.at_s, kind="stable"))
            safe = int(np.searchsorted(packets.at_s, until_s, side="right"))
            packets, self._held = packets.take(slice(safe)), packets.take(slice(safe, None))
        return packets, dropped, until_s

    def _sort_out(self, station: LengthLimit | ReplayCheck, packets: Packets) -> tuple[Packets, Integers]:
        """Return the packets that go on at once, and the serials of the others."""
        if not packets.at_s.size:
            return packets, packets.serials
        if isinstance(station, LengthLimit):
            gone = packets.inner_bytes > station.longest_inner_bytes
        else:
            numbers = np.concatenate((np.array([self._top]), packets.sequence))
            gone = replay.dropped(numbers, station.window)[1:]
            self._top = int(numbers.max())
        if not self._tally[kernels.ARRIVALS]:
            self._tally[kernels.FIRST_ARRIVAL_S] = packets.at_s[0]
        self._tally[kernels.LAST_DEPARTURE_S] = packets.at_s[-1]
        self._tally[kernels.ARRIVALS] += gone.size
        self._tally[kernels.DROPS] += np.count_nonzero(gone)
        return packets.take(~gone), packets.serials[gone]

    def _serve(self, packets: Packets, departures: Floats) -> float:
        """Fill in ``departures``; return the time before which no later arrival departs. [s]"""
        station = self.station
        assert not isinstance(station, LengthLimit | ReplayCheck)
        if isinstance(station, Shaper | Policer):
            self._waiting = kernels.shaper_station(
                packets.at_s,
                packets.bits(),
                station.rate_bps,
                8.0 * station.burst_bytes,
                self._bucket,
                # A shaper without a waiting place polices.
                station.buffer_packets if isinstance(station, Shaper) else 0,
                self._waiting,
                departures,
                self._tally,
            )
            return float(self._bucket[1])
        self._waiting = kernels.fifo_station(
            packets.at_s,
            _occupancy_s(station, packets),
            self._free,
            station.spec.buffer_packets if isinstance(station, Link) else station.buffer_packets,
            self._waiting,
            departures,
            self._tally,
        )
        return float(self._free[0])

    def close(self) -> StationStats:
        """Let the queue run empty and return what the station did."""
        kernels.drain(self._waiting, self._tally)
        serves = isinstance(self.station, Servers | Link)
        return StationStats.of(self.station.name, self.servers, self._tally, self._wire, serves=serves)


@dataclass(frozen=True, slots=True, eq=False)
class PathResult:
    """What became of the packets offered to a path. Shape (n,) each.

    ``latency_s`` is the time from arrival to the end of the path, nan for packets that did not arrive; ``dropped_at``
    is the place of the station that dropped the packet, -1 for none (of two dropped fragments: the later station).
    """

    arrivals_s: Floats
    latency_s: Floats
    dropped_at: NDArray[np.int8]
    stations: tuple[StationStats, ...]

    @property
    def delivered(self) -> int:
        """Packets that arrived whole."""
        return int(np.count_nonzero(self.dropped_at < 0))

    @property
    def throughput_pps(self) -> float:
        """Rate of delivery between the first and the last packet delivered. [packet/s]"""
        if self.delivered < 2:
            return 0.0
        at_s = self.arrivals_s + self.latency_s
        return (self.delivered - 1) / float(np.nanmax(at_s) - np.nanmin(at_s))


@dataclass(frozen=True, slots=True)
class PacketPath:
    """Stations in the order in which packets meet them.

    ``wire_bytes`` turns inner lengths into ESP lengths; inner packets longer than ``longest_inner_bytes`` are
    fragmented before the first station.
    """

    stations: tuple[Station, ...]
    wire_bytes: Callable[[Integers], Integers] = lambda inner_bytes: inner_bytes
    longest_inner_bytes: int = 65535

    def __post_init__(self) -> None:
        names = [station.name for station in self.stations]
        if not names or len(set(names)) < len(names):
            raise InputError(f"a path needs at least one station and different names, not {names}")

    def run(
        self,
        times_s: Floats,
        packet_bytes: NDArray[np.integer],
        *,
        numbers: Integers | None = None,
        block_packets: int = 65536,
        empty_buckets: bool = False,
    ) -> PathResult:
        """Pass packets through all stations until the path is empty.

        Parameters
        ----------
        times_s: arrival times, not negative, not decreasing. Shape (n,). [s]
        packet_bytes: inner IP packet lengths. Shape (n,). [bytes]
        numbers: the packets' own numbers for the random draws of links, all different, small; their places when not
            given.
        block_packets: packets taken at a time; decides memory and speed, never the result.
        empty_buckets: token buckets are empty at time 0, as after long overload; else full, as after silence.
        """
        if times_s.size and (times_s[0] < 0.0 or np.any(times_s[1:] < times_s[:-1])):
            raise InputError("arrival times must not be negative and must not decrease")
        own = np.arange(times_s.size) if numbers is None else numbers
        places = int(own.max(initial=-1)) + 1
        end_s = np.zeros(places)
        dropped_at = np.full(places, -1, np.int8)
        # Where packets leave the sender they have their numbers; without a window nobody asks.
        checked = any(isinstance(station, ReplayCheck) for station in self.stations)
        out = next((s for s in self.stations if isinstance(s, Shaper | Link)), None) if checked else None
        queues = [_Queue(s, empty_buckets=empty_buckets, numbers=s is out) for s in self.stations]

        def advance(packets: Packets, until_s: float) -> None:
            for place, queue in enumerate(queues):
                packets, dropped, until_s = queue.pass_on(packets, until_s)
                lost = dropped >> FRAGMENT_BITS
                dropped_at[lost] = np.maximum(dropped_at[lost], place)
            # In order of time, so that the last fragment's end stays.
            end_s[packets.serials >> FRAGMENT_BITS] = packets.at_s

        for first in range(0, times_s.size, block_packets):
            block = slice(first, first + block_packets)
            packets = self.enter(own[block], times_s[block], packet_bytes[block])
            advance(packets, float(packets.at_s[-1]))
        advance(NO_PACKETS, math.inf)
        dropped_at = dropped_at[own]
        latency_s = np.where(dropped_at < 0, end_s[own] - times_s, math.nan)
        return PathResult(times_s, latency_s, dropped_at, tuple(queue.close() for queue in queues))

    def enter(self, numbers: Integers, times_s: Floats, packet_bytes: NDArray[np.integer]) -> Packets:
        """Return the packets or fragments with which the stations deal."""
        inner = packet_bytes.astype(np.int64)
        serials = numbers << FRAGMENT_BITS
        if np.any(inner > self.longest_inner_bytes):
            owner, piece, inner = esp.fragment_bytes(inner, self.longest_inner_bytes)
            serials, times_s = serials[owner] + piece, times_s[owner]
        return Packets(serials, times_s, inner, self.wire_bytes(inner), serials)


def bottleneck(result: PathResult) -> tuple[str, float]:
    """Return the station with the highest utilisation and that utilisation; of those within 1 % of it the first.

    Behind a station that is full, equal ones look just as busy, or more so by the accidents of the first packet.
    """
    highest = max(station.utilisation for station in result.stations)
    busiest = next(station for station in result.stations if station.utilisation >= 0.99 * highest)
    return busiest.name, busiest.utilisation


def saturation_pps(path: PacketPath, packet_bytes: int) -> dict[str, float]:
    """Return the capacity of each station for inner packets of one length: servers / service time, rate / bits."""
    packets = path.enter(np.zeros(1, np.int64), np.zeros(1), np.array([packet_bytes]))
    capacity: dict[str, float] = {}
    for station in path.stations:
        occupied_s = float(np.sum(_occupancy_s(station, packets)))
        servers = station.servers if isinstance(station, Servers) else 1
        capacity[station.name] = servers / occupied_s if occupied_s > 0.0 else math.inf
    return capacity
