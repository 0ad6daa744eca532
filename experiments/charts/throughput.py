"""ESP throughput by packet length, inside the tunnel and on the wire, and what limits it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from ..selection import Row, records
from .footer import footer
from .style import BLACK, BLUE, GREY, ORANGE, VERMILION, finish, house_style, own_figure, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

LEANING_ON = ("parameters.forwarding.", "parameters.symmetric.ciphers", "parameters.symmetric.hmacs", "shaper.")
AXES_INCHES = 2.5
#: An ESP packet that is longer leaves as two fragments. [bytes]
ETHERNET_MTU = 1500


def draw(result: Result, ax: Axes | None) -> Figure:
    """Draw the throughput table; see `Plot.throughput`."""
    rows = records(result.tables["throughput"])
    if ax is not None:
        _curves(ax, rows, result)
        return own_figure(ax)
    with house_style():
        figure = page(AXES_INCHES, title(rows), footer(result, LEANING_ON))
        own = figure.subplots()
        _curves(own, rows, result)
        finish(figure, own.get_legend_handles_labels()[0])
    return figure


def title(rows: list[Row]) -> str:
    """Return the finding: the bottleneck, by packet length where it changes."""
    parts = []
    for station, group in groupby(rows, key=lambda row: str(row["bottleneck"])):
        lengths = [row["packet_bytes"] for row in group]
        parts.append(
            (station, f" at {lengths[0]} to {lengths[-1]} bytes" if lengths[1:] else f" at {lengths[0]} bytes")
        )
    found = parts[0][0] if len(parts) == 1 else ", ".join(station + where for station, where in parts)
    most = max(rows, key=lambda row: row["throughput_bps"])
    ends = f"ESP {rows[0]['sender']} → {rows[0]['receiver']}"
    return f"{ends}: at most {most['throughput_bps'] / 1e6:.1f} Mbit/s inside; bottleneck {found}"


def _curves(ax: Axes, rows: list[Row], result: Result) -> None:
    lengths = [row["packet_bytes"] for row in rows]
    shaper = [row["shaper_bps"] / 1e6 for row in rows]
    if shaper[0] == shaper[0]:
        ax.axhline(
            shaper[0],
            color=ORANGE,
            linestyle="-",
            linewidth=4,
            alpha=0.6,
            label=f"licence shaper, {shaper[0]:g} Mbit/s",
        )
    wire = [row["wire_bps"] / 1e6 for row in rows]
    inner = [row["throughput_bps"] / 1e6 for row in rows]
    analytic = [row["analytic_bps"] / 1e6 for row in rows]
    high = [row["throughput_high_bps"] / 1e6 for row in rows]
    if high[0] == high[0]:
        low = [row["throughput_low_bps"] / 1e6 for row in rows]
        label = f"ignorance: 5 % to 95 % of {result.manifest['options']['samples']} parameter sets"
        ax.fill_between(lengths, low, high, color=BLUE, alpha=0.2, linewidth=0, label=label)
    ax.plot(
        lengths, wire, color=BLACK, linestyle="--", marker="s", label="on the wire (ESP packets, outer IP included)"
    )
    ax.plot(lengths, inner, color=BLUE, marker="o", label="inside the tunnel (inner IP packets)")
    ax.plot(
        lengths,
        analytic,
        color=VERMILION,
        linestyle="none",
        marker="+",
        markersize=8,
        label="inside, computed from the service times alone",
    )
    for row in rows:
        if row["esp_bytes"] > ETHERNET_MTU:
            place = (row["packet_bytes"], row["throughput_bps"] / 1e6)
            ax.annotate("two fragments", place, (0, -9), textcoords="offset points", ha="right", va="top", color=GREY)
    ax.set_ylim(0, 1.08 * max(*wire, *inner, *(rate for rate in (*shaper, *high) if rate == rate)))
    ax.set_xlabel("length of the inner packet (bytes)")
    ax.set_ylabel("throughput (Mbit/s)")
