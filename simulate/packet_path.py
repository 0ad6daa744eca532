"""Packets through the stations of a tunnel: cores, offload engines, licences, link. No packet is a SimPy event.

A `PacketPath` is an ordered list of stations; `PacketPath.run` passes arrays of arrivals through it in blocks and
returns the latency of every packet, where packets were dropped, and what each station did. Working memory is bounded
by the block; results do not depend on the block in any bit. `tunnel_path` builds the path of an ESP tunnel.

A station with several servers lets packets overtake. Its departures are sorted before the next station (ties keep the
order of arrival); those that a packet still to come might precede are held until the next block.

What this leaves out: the two directions of a tunnel do not contend for the cores, and other tunnels of the same router
do not either (a later version merges their arrivals), nor for the bits of a licence (`shared_limits` finds where they
would); the limit without HSEC licence counts whole ESP packets, which IOS does not say; control traffic and rekeys;
anti-replay; reassembly (a packet fragmented before encryption counts as delivered when its last fragment is); the
sender's packet core pays for each fragment as for a packet of its own; the Don't Fragment bit; link-layer framing on
the serialiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from ..models import esp
from ..models.errors import InputError
from ..models.randomness import make_key
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
    jitter_s: added delay, uniform in [0, jitter_s); packets keep their order. [s]
    loss: probability that a packet is lost after serialisation, independent of all others.
    buffer_packets: waiting places in front of the serialiser; negative for no limit.
    """

    rate_bps: float
    delay_s: float
    jitter_s: float = 0.0
    loss: float = 0.0
    buffer_packets: int = -1

    def __post_init__(self) -> None:
        if not self.rate_bps > 0.0:
            raise InputError(f"link rate_bps is {self.rate_bps:g}; it must be greater than 0")
        if not (0.0 <= self.delay_s < math.inf and 0.0 <= self.jitter_s < math.inf):
            raise InputError(f"link delay_s {self.delay_s:g} and jitter_s {self.jitter_s:g} must be at least 0, finite")
        if not 0.0 <= self.loss <= 1.0:
            raise InputError(f"link loss is {self.loss:g}; it must lie between 0 and 1")


class PacketCosts(Protocol):
    """What the path asks of a router's cost model. No core of its own for crypto: ``crypto_cores`` is 0.

    With ``has_engine`` these are the lanes of an offload engine, which does nothing for ``null`` encryption.
    """

    def packet_core_s(self, inner_bytes: Integers) -> Floats: ...
    def crypto_s(self, esp_bytes: Integers, encryption: str, integrity: str) -> Floats: ...
    def shaper_bps(self) -> float | None: ...
    @property
    def shaper_burst_bytes(self) -> float: ...
    @property
    def shaper_buffer_packets(self) -> int: ...
    @property
    def hsec_bps(self) -> float | None: ...
    @property
    def hsec_burst_bytes(self) -> float: ...
    @property
    def has_engine(self) -> bool: ...
    @property
    def packet_core_buffer_packets(self) -> int: ...
    @property
    def crypto_buffer_packets(self) -> int: ...
    @property
    def packet_cores(self) -> int: ...
    @property
    def crypto_cores(self) -> int: ...


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


Station = Servers | Shaper | Policer | Link


class Packets(NamedTuple):
    """Packets at one point of the path, in order of time. Shape (n,) each. [s], [bytes]"""

    serials: Integers
    at_s: Floats
    inner_bytes: Integers
    wire_bytes: Integers

    def take(self, chosen: NDArray[np.bool_] | Integers | slice) -> Packets:
        """Return the chosen packets."""
        return Packets(self.serials[chosen], self.at_s[chosen], self.inner_bytes[chosen], self.wire_bytes[chosen])

    def bits(self) -> Floats:
        """Return the lengths on the wire. [bit]"""
        return np.multiply(self.wire_bytes, 8.0, dtype=np.float64)

    def followed_by(self, other: Packets) -> Packets:
        """Return these packets and then the others."""
        return Packets(
            np.concatenate((self.serials, other.serials)),
            np.concatenate((self.at_s, other.at_s)),
            np.concatenate((self.inner_bytes, other.inner_bytes)),
            np.concatenate((self.wire_bytes, other.wire_bytes)),
        )


NO_PACKETS = Packets(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))


def _occupancy_s(station: Station, packets: Packets) -> Floats:
    """Return the time for which each packet occupies one server, or the rate, of a station. [s]"""
    if isinstance(station, Servers):
        return station.service_s(packets.inner_bytes, packets.wire_bytes)
    return packets.bits() / (station.spec.rate_bps if isinstance(station, Link) else station.rate_bps)


class _Queue:
    """A station at work: what it carries from block to block."""

    def __init__(self, station: Station, *, empty_buckets: bool) -> None:
        self.station = station
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
        departures = np.empty(packets.at_s.size)
        earliest_s = self._serve(packets, departures)
        until_s = max(until_s, earliest_s)
        if isinstance(self.station, Link):
            spec, keys = self.station.spec, (np.uint64(self.station.loss_key), np.uint64(self.station.jitter_key))
            kernels.propagation(departures, packets.serials, spec.delay_s, spec.jitter_s, spec.loss, *keys, self._wire)
            until_s = max(until_s + spec.delay_s, self._wire[kernels.LATEST_S])
        packets = packets._replace(at_s=departures)
        gone = np.isnan(departures)
        dropped = packets.serials[gone]
        if dropped.size:
            packets = packets.take(~gone)
        if self.servers > 1:
            packets = self._held.followed_by(packets)
            packets = packets.take(np.argsort(packets.at_s, kind="stable"))
            safe = int(np.searchsorted(packets.at_s, until_s, side="right"))
            packets, self._held = packets.take(slice(safe)), packets.take(slice(safe, None))
        return packets, dropped, until_s

    def _serve(self, packets: Packets, departures: Floats) -> float:
        """Fill in ``departures``; return the time before which no later arrival departs. [s]"""
        station = self.station
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
        bucket = isinstance(self.station, Shaper | Policer)
        return StationStats.of(self.station.name, self.servers, self._tally, self._wire, serves=not bucket)


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
        queues = [_Queue(station, empty_buckets=empty_buckets) for station in self.stations]

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
        return Packets(serials, times_s, inner, self.wire_bytes(inner))


def tunnel_path(
    sender: PacketCosts,
    receiver: PacketCosts,
    *,
    encryption: str,
    integrity: str,
    link: LinkSpec,
    path_mtu: int = 1500,
    mode: esp.Mode = "tunnel",
    nat_t: bool = False,
    gre_bytes: int = 0,
    sender_name: str = "sender",
    receiver_name: str = "receiver",
    seed: int = 1,
    replication: int = 0,
    draw: int = 0,
) -> PacketPath:
    """Return the path of an ESP tunnel over IPv4, in one direction.

    Stations: packet cores of the sender, its limit without HSEC licence, its crypto cores or offload engine, its
    licence shaper, the link; limit, engine or crypto cores, and packet cores of the receiver. What a router does not
    have is left out: one without crypto cores encrypts on its packet cores, and so does one with an engine when only
    integrity is asked for (``null`` encryption, RFC 2410). Encryption parameters are those of `esp.esp_packet_bytes`,
    random ones those of `make_key`.
    """

    def wire_bytes(inner: Integers) -> Integers:
        wire = esp.esp_packet_bytes(inner, encryption, integrity, mode=mode, nat_t=nat_t, gre_bytes=gre_bytes)
        return wire.astype(np.int64, copy=False)

    def packet_core(router: PacketCosts, name: str) -> Station:
        def packet_s(inner: Integers, wire: Integers) -> Floats:
            own = router.packet_core_s(inner)
            return own if _has_own_crypto(router, encryption) else own + router.crypto_s(wire, encryption, integrity)

        return Servers(f"{name} packet core", packet_s, router.packet_cores, router.packet_core_buffer_packets)

    def crypto(router: PacketCosts, name: str) -> list[Station]:
        # The licence is checked before the work: what it drops costs no cryptography.
        stations = _hsec_limit(router, name)
        if _has_own_crypto(router, encryption):
            stations.append(
                Servers(
                    f"{name} crypto {'engine' if router.has_engine else 'core'}",
                    lambda _inner, wire: router.crypto_s(wire, encryption, integrity),
                    router.crypto_cores,
                    router.crypto_buffer_packets,
                )
            )
        return stations

    stations = [packet_core(sender, sender_name), *crypto(sender, sender_name)]
    shaper_bps = sender.shaper_bps()
    if shaper_bps is not None:
        name = f"{sender_name} licence shaper"
        stations.append(Shaper(name, shaper_bps, sender.shaper_burst_bytes, sender.shaper_buffer_packets))
    name = f"link {sender_name}-{receiver_name}"
    loss_key, jitter_key = (
        make_key(seed, name, purpose, replication=replication, draw=draw) for purpose in ("loss", "jitter")
    )
    stations += [Link(name, link, loss_key, jitter_key), *crypto(receiver, receiver_name)]
    stations.append(packet_core(receiver, receiver_name))
    longest = esp.max_inner_bytes(path_mtu, encryption, integrity, mode=mode, nat_t=nat_t, gre_bytes=gre_bytes)
    return PacketPath(tuple(stations), wire_bytes, longest)


def _has_own_crypto(router: PacketCosts, encryption: str) -> bool:
    return router.crypto_cores > 0 and not (router.has_engine and encryption == "null")


def _hsec_limit(router: PacketCosts, name: str) -> list[Station]:
    rate_bps = router.hsec_bps
    if rate_bps is None:
        return []
    return [Policer(f"{name} HSEC limit {rate_bps / 1e6:g} Mbit/s", rate_bps, router.hsec_burst_bytes)]


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
