"""ESP through one tunnel: latency and loss against offered load, throughput by packet size, and the bottleneck.

Each point offers Poisson arrivals of one packet length (or a mix) to the stations of the tunnel, sender to receiver.
Quantiles are means over replications with a 95 % confidence interval (Student's t); the first fifth of the packets is
warm-up and not counted. Where parameter sets are drawn, each meets the arrivals of the first replication at the same
offered rate, and ``low`` and ``high`` are the 5 % and 95 % quantiles over the sets. What this leaves out: the reverse
direction is idle, see ``simulate/packet_path.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.traffic import IMIX, Flow, Kind
from ..simulate.data_plane import link_spec, tunnel_between
from ..simulate.deployment import Deployment
from ..simulate.flows import SaStep
from ..simulate.kernels import FlowArrivals
from ..simulate.packet_path import PacketPath, PathResult, bottleneck, saturation_pps
from ..simulate.records import Row
from ..simulate.tunnel_stations import encapsulated_path
from .bands import band

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATENCY_COLUMNS: dict[str, str] = {
    "sender": "str",
    "receiver": "str",
    "packets": "str",
    "packet_bytes": "float64",
    "load": "float64",
    "offered_pps": "float64",
    "offered_bps": "float64",
    "delivered_bps": "float64",
    "loss": "float64",
    "propagation_s": "float64",
    "p50_s": "float64",
    "p50_ci_s": "float64",
    "p50_low_s": "float64",
    "p50_high_s": "float64",
    "p95_s": "float64",
    "p95_ci_s": "float64",
    "p95_low_s": "float64",
    "p95_high_s": "float64",
    "p99_s": "float64",
    "p99_ci_s": "float64",
    "p99_low_s": "float64",
    "p99_high_s": "float64",
    "loss_low": "float64",
    "loss_high": "float64",
    "bottleneck": "str",
    "utilisation": "float64",
}

THROUGHPUT_COLUMNS: dict[str, str] = {
    "sender": "str",
    "receiver": "str",
    "packet_bytes": "int64",
    "esp_bytes": "int64",
    "throughput_bps": "float64",
    "throughput_low_bps": "float64",
    "throughput_high_bps": "float64",
    "throughput_pps": "float64",
    "wire_bps": "float64",
    "bottleneck": "str",
    "shaper_bps": "float64",
    "analytic_bps": "float64",
}

#: Offered load as a fraction of what the tunnel can carry.
LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.2)
#: Packet lengths of the latency curves: voice-like, the classical middle, a full packet after adjust-mss. [bytes]
LATENCY_SIZES: tuple[int | str, ...] = (100, 576, 1400, "simple")
THROUGHPUT_SIZES = (64, 128, 256, 384, 512, 576, 768, 1024, 1280, 1400, 1422, 1500)
REPLICATIONS = 5
PACKETS = 20000
#: 97.5 % quantile of Student's t with four degrees of freedom.
STUDENT_T_4 = 2.776


@dataclass(frozen=True, slots=True)
class TunnelChoice:
    """The direction of one tunnel and the ESP suite that it uses."""

    sender: str
    receiver: str
    encryption: str
    integrity: str
    mode: str
    gre: bool


def study_path(deployment: Deployment, choice: TunnelChoice, replication: int = 0) -> PacketPath:
    """Return the stations of this direction of the tunnel."""
    step = SaStep(0.0, 0, choice.encryption, choice.integrity, choice.mode, choice.gre)
    return encapsulated_path(
        deployment.routers[choice.sender].cost,
        deployment.routers[choice.receiver].cost,
        tunnel_between(deployment, choice.sender, choice.receiver, step),
        link=link_spec(deployment, choice.sender, choice.receiver),
        sender_name=choice.sender,
        receiver_name=choice.receiver,
        seed=deployment.seed,
        replication=replication,
        draw=deployment.draw,
    )


def capacity_pps(path: PacketPath, size: int | str) -> float:
    """Return the greatest rate that every station can serve, for one length or a mix. [packet/s]"""
    if isinstance(size, int):
        return min(saturation_pps(path, size).values())
    mix = IMIX[size]
    total = sum(mix.weights)
    per_station: dict[str, float] = {}
    for length, weight in zip(mix.packet_bytes, mix.weights, strict=True):
        for name, pps in saturation_pps(path, length).items():
            per_station[name] = per_station.get(name, 0.0) + weight / total / pps
    return 1.0 / max(per_station.values())


def _offer(
    deployment: Deployment,
    path: PacketPath,
    size: int | str,
    rate_pps: float,
    packets: int,
    replication: int,
    kind: Kind = "poisson",
    *,
    overload: bool = False,
) -> tuple[PathResult, NDArray[np.int32]]:
    what: dict[str, Any] = (
        {"kind": kind, "packet_bytes": size} if isinstance(size, int) else {"kind": "imix", "mix": size}
    )
    # One name for all loads: the same random numbers at every load make the curves comparable.
    flow = Flow(f"esp study {size}", "sender", "receiver", rate_pps=rate_pps, stop_s=packets / rate_pps, **what)
    arrivals = FlowArrivals(flow, deployment.seed, replication=replication, draw=deployment.draw)
    times_s, lengths = arrivals.take(packets / rate_pps)
    # A full bucket would outlast the warm-up: a limit that is sampled four times a second forgives seconds of excess.
    return path.run(times_s, lengths, empty_buckets=overload), lengths


def latency_rows(
    deployment: Deployment,
    choice: TunnelChoice,
    *,
    sizes: Sequence[int | str] = LATENCY_SIZES,
    loads: Sequence[float] = LOADS,
    packets: int = PACKETS,
    draws: Sequence[Deployment] = (),
    progress: Callable[[], None] | None = None,
) -> list[Row]:
    """Return latency and loss at every load, for each packet length. Rows of the latency table.

    ``draws``: the deployment by parameter set, for the bands; without any these are nan.
    """
    rows = []
    drawn_paths = [study_path(one, choice) for one in draws]
    for size in sizes:
        path = study_path(deployment, choice)
        limit_pps = capacity_pps(path, size)
        for load in loads:
            rate_pps = load * limit_pps
            row = _latency_row(deployment, choice, size, load, rate_pps, packets)
            rows.append(row | _latency_band(deployment, drawn_paths, size, rate_pps, packets))
            if progress is not None:
                progress()
    return rows


def _latency_band(
    deployment: Deployment, paths: Sequence[PacketPath], size: int | str, rate_pps: float, packets: int
) -> Row:
    """Return the columns of the bands: quantiles of the latency and loss over parameter sets, at one offered rate."""
    measured = np.empty((len(paths), 4))
    for place, path in enumerate(paths):
        result, lengths = _offer(deployment, path, size, rate_pps, packets, 0)
        kept = result.dropped_at < 0
        late = kept.copy()
        late[: lengths.size // 5] = False
        latency_s = result.latency_s[late]
        measured[place, :3] = np.quantile(latency_s, (0.5, 0.95, 0.99)) if latency_s.size else math.nan
        measured[place, 3] = 1.0 - np.count_nonzero(late) / (kept.size - lengths.size // 5)
    row: Row = {}
    for column, name in enumerate(("p50", "p95", "p99", "loss")):
        unit = "" if name == "loss" else "_s"
        low, high = band(measured[:, column])
        row |= {f"{name}_low{unit}": low, f"{name}_high{unit}": high}
    return row


def _latency_row(
    deployment: Deployment, choice: TunnelChoice, size: int | str, load: float, rate_pps: float, packets: int
) -> Row:
    quantiles = np.empty((REPLICATIONS, 3))
    lost = offered = 0
    delivered_bits = offered_bits = seconds = 0.0
    busiest: tuple[str, float] = ("", -1.0)
    for replication in range(REPLICATIONS):
        path = study_path(deployment, choice, replication)
        result, lengths = _offer(deployment, path, size, rate_pps, packets, replication, overload=load > 1.0)
        warm = slice(lengths.size // 5, None)
        kept = result.dropped_at[warm] < 0
        latency_s = result.latency_s[warm][kept]
        quantiles[replication] = np.quantile(latency_s, (0.5, 0.95, 0.99)) if latency_s.size else math.nan
        lost += int(np.count_nonzero(~kept))
        offered += kept.size
        offered_bits += 8.0 * float(lengths[warm].sum())
        delivered_bits += 8.0 * float(lengths[warm][kept].sum())
        seconds += kept.size / rate_pps
        busiest = max(busiest, bottleneck(result), key=lambda b: b[1])
    mean = quantiles.mean(axis=0)
    half_width = STUDENT_T_4 * quantiles.std(axis=0, ddof=1) / math.sqrt(REPLICATIONS)
    mean_bytes = float(size) if isinstance(size, int) else IMIX[size].mean_packet_bytes
    return {
        "sender": choice.sender,
        "receiver": choice.receiver,
        "packets": f"{size} B" if isinstance(size, int) else f"IMIX ({size})",
        "packet_bytes": mean_bytes,
        "load": load,
        "offered_pps": rate_pps,
        "offered_bps": offered_bits / seconds,
        "delivered_bps": delivered_bits / seconds,
        "loss": lost / offered,
        "propagation_s": deployment.paths[(choice.sender, choice.receiver)].delay_s,
        "p50_s": mean[0],
        "p50_ci_s": half_width[0],
        "p95_s": mean[1],
        "p95_ci_s": half_width[1],
        "p99_s": mean[2],
        "p99_ci_s": half_width[2],
        "bottleneck": busiest[0],
        # The burst of the token bucket counts as work done before its time; no station works more than all the time.
        "utilisation": min(busiest[1], 1.0),
    }


def throughput_rows(
    deployment: Deployment,
    choice: TunnelChoice,
    *,
    sizes: Sequence[int] = THROUGHPUT_SIZES,
    packets: int = 5 * PACKETS,
    draws: Sequence[Deployment] = (),
    progress: Callable[[], None] | None = None,
) -> list[Row]:
    """Return what gets through when the tunnel's capacity is offered at a constant rate, for each packet length.

    ``analytic_bps`` is that capacity from the service times alone; the simulated figure must agree with it. The band is
    that of the capacities of ``draws``, the deployment by parameter set; nan without any.
    """
    rows = []
    drawn_paths = [study_path(one, choice) for one in draws]
    cost = deployment.routers[choice.sender].cost
    for size in sizes:
        path = study_path(deployment, choice)
        limits = saturation_pps(path, size)
        limit_pps = min(limits.values())
        result, _ = _offer(deployment, path, size, limit_pps, packets, 0, kind="constant")
        esp_bytes = int(path.enter(np.zeros(1, np.int64), np.zeros(1), np.array([size])).wire_bytes.sum())
        # The first half fills the buffer and empties the token bucket.
        half = result.dropped_at.size // 2
        arrived = result.dropped_at[half:] < 0
        ends_s = (result.arrivals_s + result.latency_s)[half:][arrived]
        pps = (ends_s.size - 1) / float(ends_s.max() - ends_s.min())
        low_pps, high_pps = band([min(saturation_pps(one, size).values()) for one in drawn_paths])
        rows.append(
            {
                "sender": choice.sender,
                "receiver": choice.receiver,
                "packet_bytes": size,
                "esp_bytes": esp_bytes,
                "throughput_bps": pps * 8 * size,
                "throughput_low_bps": low_pps * 8 * size,
                "throughput_high_bps": high_pps * 8 * size,
                "throughput_pps": pps,
                "wire_bps": pps * 8 * esp_bytes,
                "bottleneck": min(limits, key=lambda name: limits[name]),
                "shaper_bps": cost.shaper_bps() or math.nan,
                "analytic_bps": limit_pps * 8 * size,
            }
        )
        if progress is not None:
            progress()
    return rows
