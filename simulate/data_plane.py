"""Traffic over the tunnels of a run: what the flows met, in bins of time, by the ESP or AH SA that carried them.

A packet takes the newest Child SA that both ends have installed; while there is none it is dropped at the sender. What
becomes of long packets follows from the sender's interface (``ip mtu``, ``tunnel path-mtu-discovery``), its ``crypto
ipsec`` settings and the links on the way: `models.path_mtu`. A flow has the shape of its first Child SA.

What this leaves out: ``ip tcp adjust-mss`` (no flow is one of TCP); the two directions of a tunnel and different flows
do not contend for the cores; traffic takes no core from the control plane (lifetimes by volume and DPD on demand:
`traffic_meter`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..models.errors import InputError
from ..models.path_mtu import TunnelPath
from ..models.traffic import Flow
from ..models.values import Value
from .deployment import Deployment
from .flows import SaStep, outbound_steps
from .packet_path import (
    LengthLimit,
    Link,
    LinkSpec,
    PacketPath,
    ReplayCheck,
    Shaper,
)
from .queues import QueueStatistics
from .records import Row
from .tunnel_stations import BLACK_HOLE, TOO_BIG, encapsulated_path, encapsulation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models.encapsulation import IpVersion
    from ..models.ios.config import Interface
    from .packet_path import Station

    Floats = NDArray[np.float64]

#: Waiting places in front of a link. Queues of that order are usual on router interfaces.
LINK_BUFFER = Value(value=256, unit="packets", kind="assumed", source="recollection", range=(64, 4096))

#: GRE without key, sequence number or checksum (RFC 2784). [bytes]
GRE_HEADER_BYTES = 4

#: Anti-replay window of a router that is told nothing. [packets]
DEFAULT_REPLAY_WINDOW = 64

#: More packets than this are not taken at once: they would need more memory than a laptop has.
MOST_PACKETS = 50_000_000


def run_traffic(
    deployment: Deployment, child_rows: Sequence[Row], flows: Sequence[Flow], duration_s: float, bin_s: float
) -> tuple[list[Row], list[QueueStatistics]]:
    """Pass every flow through its tunnel.

    Returns the rows of the packets table (one a bin, direction and SA; ``time_s`` and ``end_s`` are its first and last
    packet) and the statistics of every station.
    Raises InputError for a flow with too many packets.
    """
    rows: list[Row] = []
    statistics: list[QueueStatistics] = []
    for flow in flows:
        end_s = min(flow.stop_s, duration_s)
        if flow.packets_per_s * max(end_s - flow.start_s, 0.0) > MOST_PACKETS:
            raise InputError(f"more than {MOST_PACKETS:,} packets; shorten it or lower its rate", f"flow '{flow.name}'")
        from .kernels import FlowArrivals

        arrivals = FlowArrivals(flow, deployment.seed, replication=deployment.replication, draw=deployment.draw)
        times_s, lengths = arrivals.take(duration_s)
        there = outbound_steps(child_rows, flow.source, flow.destination)
        result = _direction(deployment, flow, flow.source, flow.destination, there, times_s, lengths)
        rows += _rows(flow, flow.source, flow.destination, times_s, lengths, there, result, bin_s)
        statistics += result.statistics if result else []
        if flow.round_trip and result is not None:
            arrived = ~np.isnan(result.latency_s)
            echoed_s = (times_s + result.latency_s)[arrived]
            order = np.argsort(echoed_s, kind="stable")
            echoed_s, echoed = echoed_s[order], lengths[arrived][order]
            back = outbound_steps(child_rows, flow.destination, flow.source)
            reply = _direction(deployment, flow, flow.destination, flow.source, back, echoed_s, echoed)
            rows += _rows(flow, flow.destination, flow.source, echoed_s, echoed, back, reply, bin_s)
            statistics += reply.statistics if reply else []
    return rows, statistics


@dataclass(slots=True)
class _Outcome:
    """Per packet of one direction. ``sent``: left the sender's crypto; ``latency_s`` nan: not delivered."""

    spi: NDArray[np.int64]
    sent: NDArray[np.bool_]
    latency_s: Floats
    wire_bytes: NDArray[np.int64]
    #: Why a packet was dropped: refused as too long, swallowed by the path, too old for the anti-replay window.
    too_big: NDArray[np.bool_]
    black_hole: NDArray[np.bool_]
    replay_dropped: NDArray[np.bool_]
    statistics: list[QueueStatistics]


def link_spec(deployment: Deployment, sender: str, receiver: str) -> LinkSpec:
    """Return the underlay between two routers as one link of the packet path."""
    way = deployment.paths[(sender, receiver)]
    buffer_packets = round(deployment.ledger.read("topology", "buffer of a link", LINK_BUFFER))
    return LinkSpec(way.rate_bps, way.delay_s, way.jitter_s, way.loss, buffer_packets, way.reorders)


def tunnel_between(deployment: Deployment, sender: str, receiver: str, step: SaStep) -> TunnelPath:
    """Return how ``sender`` wraps packets for ``receiver`` with a Child SA, and what it knows of the path.

    Raises InputError for links that carry no packet of the tunnel, or an ``ip mtu`` that is none.
    """
    config, way = deployment.routers[sender].config, deployment.paths[(sender, receiver)]
    interface = _interface(deployment, sender, receiver)
    wrapped = encapsulation(
        step.encryption,
        step.integrity,
        mode="transport" if step.mode == "transport" else "tunnel",
        gre_bytes=GRE_HEADER_BYTES if step.gre else 0,
        outer=_ip_version(deployment, sender, receiver),
        inner=step.version,
        nat_t=bool(step.encryption) and not deployment.nat_timeouts_s.keys().isdisjoint((sender, receiver)),
    )
    return TunnelPath(
        wrapped,
        way.link_mtu_bytes,
        way.mtu_bytes,
        # IPsec listens to ICMP by itself; GRE does when it is told to.
        discovers=not step.gre or (interface is not None and interface.tunnel_path_mtu_discovery),
        ip_mtu=interface.ip_mtu if interface is not None else None,
        fragment="after" if config.fragments_after_encryption else "before",
        df=config.df_bit,
        icmp=not way.blocks_icmp,
        drops_fragments=way.whole_bytes is not None,
    )


def _interface(deployment: Deployment, sender: str, receiver: str) -> Interface | None:
    """Return the tunnel interface that leads to ``receiver``, or the template of its virtual-access."""
    plan = deployment.routers[sender]
    for tunnel in plan.policy.tunnels:
        if deployment.owners.get(tunnel.remote_address) == receiver:
            return plan.config.interfaces[tunnel.name]
    templates = [i for i in plan.config.interfaces.values() if i.is_virtual_template and i.tunnel_protection]
    return templates[0] if len(templates) == 1 else None


def _replay_window(deployment: Deployment, sender: str, receiver: str) -> int:
    """Return the anti-replay window of ``receiver`` for packets from ``sender``; 0: none. [packets]"""
    config, interface = deployment.routers[receiver].config, _interface(deployment, receiver, sender)
    profile = config.ipsec_profiles.get(interface.tunnel_protection or "") if interface is not None else None
    windows = (profile.replay_window if profile is not None else None, config.ipsec_replay_window)
    return next((window for window in windows if window is not None), DEFAULT_REPLAY_WINDOW)


def _ip_version(deployment: Deployment, sender: str, receiver: str) -> IpVersion:
    """Return the IP version below the tunnel between two routers."""
    for here, there in ((sender, receiver), (receiver, sender)):
        for tunnel in deployment.routers[here].policy.tunnels:
            if deployment.owners.get(tunnel.remote_address) == there:
                return 6 if tunnel.remote_address.version == 6 else 4
    return 4


def _direction(
    deployment: Deployment,
    flow: Flow,
    sender: str,
    receiver: str,
    steps: list[SaStep],
    times_s: Floats,
    lengths: NDArray[np.int32],
) -> _Outcome | None:
    first = next((s for s in steps if s.spi), None)
    if first is None or times_s.size == 0:
        return None
    path = encapsulated_path(
        deployment.routers[sender].cost,
        deployment.routers[receiver].cost,
        tunnel_between(deployment, sender, receiver, first),
        link=link_spec(deployment, sender, receiver),
        df=flow.df,
        version=first.version,
        replay_window=_replay_window(deployment, sender, receiver),
        sender_name=sender,
        receiver_name=receiver,
        seed=deployment.seed,
        replication=deployment.replication,
        draw=deployment.draw,
    )
    since_s = np.array([s.since_s for s in steps])
    spis = np.array([s.spi for s in steps], np.int64)
    place = np.searchsorted(since_s, times_s, side="right") - 1
    spi = np.where(place >= 0, spis[np.maximum(place, 0)], 0)
    numbers = np.flatnonzero(spi)
    result = path.run(times_s[numbers], lengths[numbers], numbers=numbers)
    latency_s = np.full(times_s.size, math.nan)
    latency_s[numbers] = result.latency_s
    sent = np.zeros(times_s.size, np.bool_)
    sent[numbers] = (result.dropped_at < 0) | (result.dropped_at >= _stations_to_encryption(path))
    observed = [
        QueueStatistics(
            f"{s.name} ({flow.name})",
            s.servers,
            s.arrivals,
            s.utilisation,
            s.mean_waiting_s,
            s.longest_waiting_s,
            s.busy_s / max(s.accepted, 1),
            s.mean_queue_packets,
            s.drops + s.lost,
        )
        for s in result.stations
    ]

    def dropped(by: Callable[[Station], bool]) -> NDArray[np.bool_]:
        places = [place for place, station in enumerate(path.stations) if by(station)]
        found = np.zeros(times_s.size, np.bool_)
        found[numbers] = np.isin(result.dropped_at, places)
        return found

    return _Outcome(
        spi,
        sent,
        latency_s,
        _wire_bytes(path, lengths),
        dropped(lambda s: isinstance(s, LengthLimit) and s.name.endswith(TOO_BIG)),
        dropped(lambda s: isinstance(s, LengthLimit) and s.name.startswith(BLACK_HOLE)),
        dropped(lambda s: isinstance(s, ReplayCheck)),
        observed,
    )


def _stations_to_encryption(path: PacketPath) -> int:
    """Return how many stations of the path a packet passes before it is encrypted and counted as sent."""
    return next(place for place, station in enumerate(path.stations) if isinstance(station, Shaper | Link))


def _wire_bytes(path: PacketPath, lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the bytes on the wire of each packet, all its fragments together."""
    total = np.zeros(lengths.size, np.int64)
    for length in np.unique(lengths):
        packets = path.enter(np.zeros(1, np.int64), np.zeros(1), np.array([length]))
        total[lengths == length] = int(packets.wire_bytes.sum())
    return total


def _rows(
    flow: Flow,
    sender: str,
    receiver: str,
    times_s: Floats,
    lengths: NDArray[np.int32],
    steps: list[SaStep],
    outcome: _Outcome | None,
    bin_s: float,
) -> list[Row]:
    if times_s.size == 0:
        return []
    if outcome is None:
        nothing, never = np.zeros(times_s.size, np.int64), np.zeros(times_s.size, np.bool_)
        outcome = _Outcome(nothing, never, np.full(times_s.size, math.nan), nothing, never, never, never, [])
    bins = np.floor_divide(times_s, bin_s).astype(np.int64)
    # Bins are cut where the SA changes, so that counters of an SA are exact at those instants.
    since_s = np.array([s.since_s for s in steps])
    place = np.searchsorted(since_s, times_s, side="right")
    cuts = np.flatnonzero((np.diff(bins) != 0) | (np.diff(place) != 0)) + 1
    rows = []
    for chunk in np.split(np.arange(times_s.size), cuts):
        block = slice(int(chunk[0]), int(chunk[-1]) + 1)
        latency_s = outcome.latency_s[block]
        arrived = latency_s[~np.isnan(latency_s)]
        quantiles = np.quantile(arrived, (0.5, 0.95, 0.99)) if arrived.size else (math.nan,) * 3
        sent = outcome.sent[block]
        rows.append(
            {
                "time_s": float(times_s[block.start]),
                "end_s": float(times_s[block.stop - 1]),
                "flow": flow.name,
                "sender": sender,
                "receiver": receiver,
                "spi": int(outcome.spi[block.start]),
                "offered": int(chunk.size),
                "no_sa": int(np.count_nonzero(outcome.spi[block] == 0)),
                "too_big": int(np.count_nonzero(outcome.too_big[block])),
                "sent": int(np.count_nonzero(sent)),
                "delivered": int(arrived.size),
                "black_hole": int(np.count_nonzero(outcome.black_hole[block])),
                "replay_dropped": int(np.count_nonzero(outcome.replay_dropped[block])),
                "inner_bytes": int(lengths[block][sent].sum()),
                "wire_bytes": int(outcome.wire_bytes[block][sent].sum()),
                "latency_p50_s": float(quantiles[0]),
                "latency_p95_s": float(quantiles[1]),
                "latency_p99_s": float(quantiles[2]),
            }
        )
    return rows
