"""Limits of a whole router that its flows exceed together, though each of them was simulated alone.

The licence's shaper and the limit without HSEC licence count the bits of all tunnels of a router. A run passes each
flow through them by itself; where the flows of a router together exceed such a limit, more is lost than the run shows,
and this finds it. What this leaves out: how much more, and excess that is shorter than a bin of time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .deployment import Deployment
from .records import Row


def exceeded(deployment: Deployment, packet_rows: Sequence[Row], bin_s: float) -> list[Row]:
    """Return a row for each limit that several flows exceed together in some bin, sorted by router.

    ``router``; ``direction``: ``encrypts`` or ``decrypts``; ``bps``: the most that its flows send together [bit/s];
    ``limit_bps``; ``limit``: its name.
    """
    bits: dict[tuple[str, str], dict[int, dict[tuple[str, str], float]]] = defaultdict(lambda: defaultdict(dict))
    for row in packet_rows:
        place, flow = int(row["time_s"] // bin_s), (row["flow"], row["sender"])
        for router, direction in ((row["sender"], "encrypts"), (row["receiver"], "decrypts")):
            by_flow = bits[(router, direction)][place]
            by_flow[flow] = by_flow.get(flow, 0.0) + 8.0 * row["wire_bytes"]
    found: list[Row] = []
    for (router, direction), bins in sorted(bits.items()):
        together = [sum(by_flow.values()) / bin_s for by_flow in bins.values() if len(by_flow) > 1]
        cost = deployment.routers[router].cost
        limits = [("HSEC limit", cost.hsec_bps)]
        if direction == "encrypts":
            limits.append(("licence shaper", cost.shaper_bps()))
        for name, limit_bps in limits:
            if together and limit_bps is not None and max(together) > limit_bps:
                what = {"bps": max(together), "limit_bps": limit_bps, "limit": name}
                found.append({"router": router, "direction": direction, **what})
    return found
