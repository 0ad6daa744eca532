"""Flows over the tunnels of a run: who may send to whom, and which ESP SA carries a packet when.

Nothing here touches a packet, so that it costs nothing to load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..models.encapsulation import IpVersion
from ..models.errors import InputError
from ..models.ios.to_ikev2 import GRE_PROTOCOL
from ..models.traffic import Flow
from .deployment import Deployment
from .records import Row

PACKET_COLUMNS: dict[str, str] = {
    "time_s": "float64",
    "end_s": "float64",
    "flow": "str",
    "sender": "str",
    "receiver": "str",
    "spi": "int64",
    "offered": "int64",
    "no_sa": "int64",
    "too_big": "int64",
    "sent": "int64",
    "delivered": "int64",
    "black_hole": "int64",
    "replay_dropped": "int64",
    "inner_bytes": "int64",
    "wire_bytes": "int64",
    "latency_p50_s": "float64",
    "latency_p95_s": "float64",
    "latency_p99_s": "float64",
}


@dataclass(frozen=True, slots=True)
class SaStep:
    """From ``since_s`` on the sender uses this outbound SPI; 0: none."""

    since_s: float
    spi: int
    encryption: str
    integrity: str
    mode: str
    gre: bool = False
    #: IP version of the packets that it carries; GRE carries both.
    version: IpVersion = 4


def outbound_steps(child_rows: Sequence[Row], sender: str, receiver: str) -> list[SaStep]:
    """Return which SA carries the packets from ``sender`` to ``receiver``, as steps in time."""
    ours = [c for c in child_rows if c["router"] == sender and c["peer"] == receiver]
    theirs = {c["spi_in"]: c for c in child_rows if c["router"] == receiver and c["peer"] == sender}
    spans = []
    for child in ours:
        other = theirs.get(child["spi_out"])
        if other is None:
            continue
        until_s = min(_end_s(child), _end_s(other))
        spans.append((max(child["installed_s"], other["installed_s"]), until_s, child))
    spans.sort(key=lambda span: span[0])
    steps: list[SaStep] = []
    for place, (since_s, until_s, child) in enumerate(spans):
        suite = (child["encryption"], child["integrity"], child["mode"])
        gre = carries_gre(child)
        version: IpVersion = 4 if gre or "." in child["local_selectors"] else 6
        steps.append(SaStep(since_s, child["spi_out"], *suite, gre=gre, version=version))
        next_s = spans[place + 1][0] if place + 1 < len(spans) else math.inf
        if until_s < next_s:
            steps.append(SaStep(until_s, 0, "", "", ""))
    return steps


def carries_gre(child: Row) -> bool:
    """Return whether a Child SA protects GRE (protocol 47) and nothing else."""
    return str(child["local_selectors"]).endswith(f"/{GRE_PROTOCOL}")


def _end_s(child: Row) -> float:
    ended: float = child["deleted_s"]
    return math.inf if math.isnan(ended) else ended


def check_flow(deployment: Deployment, flow: Flow) -> None:
    """Raise InputError for a flow between routers that no tunnel joins."""
    pairs = {(t.first.router, t.second.router) for t in deployment.tunnels if not t.fault}
    if (flow.source, flow.destination) not in pairs and (flow.destination, flow.source) not in pairs:
        known = ", ".join(f"{a} - {b}" for a, b in sorted(pairs))
        raise InputError(
            f"no tunnel joins {flow.source} and {flow.destination}; tunnels: {known}", f"flow '{flow.name}'"
        )
