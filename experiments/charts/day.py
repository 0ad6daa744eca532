"""The life of a tunnel: its IKE and Child SAs, what went wrong, its packets and their latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ..selection import Row, between
from .footer import footer
from .lanes import draw_lanes, lanes_of, packets_of
from .rekey import first_rekey, zoom
from .style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    finish,
    given_axes,
    house_style,
    own_figure,
    page,
    time_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

LEANING_ON = ("rekey_", "topology: ", "retransmit", "parameters.control.", "start: ")
#: Colour, line style and width of the quantiles of each flow and direction: equal lines are seen through each other.
LATENCY = {
    "p50": ((BLUE, "-", 4.5), (SKY, "-", 3.0), (PURPLE, "-", 2.0), (GREEN, "-", 1.2)),
    "p99": ((VERMILION, "--", 1.6), (BLACK, ":", 1.4), (ORANGE, "-.", 1.2), (GREY, (0, (1, 1)), 1.0)),
}
#: Bins of packets are drawn at most so fine.
BINS = 144
LANE_INCHES, PACKETS_INCHES, LATENCY_INCHES, ZOOM_INCHES = 0.46, 1.25, 1.35, 1.6


def draw(result: Result, session: Row, ax: Axes | Sequence[Axes] | None) -> Figure:
    """Draw the life of a tunnel; see `Plot.day`."""
    if ax is not None:
        axes = given_axes(ax, (1, 3), "one for the SAs, two more for the packets and their latency")
        _panels(result, session, axes)
        return own_figure(axes[0])
    heights = [max(len(lanes_of(result, session)) * LANE_INCHES, 0.9)]
    packets = packets_of(result, session)
    if packets:
        heights += [PACKETS_INCHES, LATENCY_INCHES]
    rekey = first_rekey(result, session)
    extra = [ZOOM_INCHES] if rekey else []
    with house_style():
        figure = page(
            sum(heights + extra),
            title(result, session, packets),
            footer(result, LEANING_ON),
        )
        # The zoom has an axis of time of its own, the others share one.
        grid = figure.add_gridspec(len(heights + extra), 1, height_ratios=heights + extra)
        top = figure.add_subplot(grid[0])
        axes = [top, *(figure.add_subplot(grid[n], sharex=top) for n in range(1, len(heights)))]
        _panels(result, session, axes)
        if rekey:
            zoom(figure.add_subplot(grid[-1]), rekey, result.manifest["ended_s"])
        finish(figure, [handle for one in axes for handle in one.get_legend_handles_labels()[0]])
    return figure


def title(result: Result, session: Row, packets: list[Row]) -> str:
    """Return the finding: how often it was rekeyed or refused, and what the packets met."""
    ended_s = result.manifest["ended_s"]
    unit_s, unit = time_unit(ended_s)
    what = f"{session['initiator']} → {session['responder']}, {ended_s / unit_s:.3g} {unit}: "
    if session["up"]:
        what += f"{session['child_rekeys']} Child SA and {session['ike_rekeys']} IKE SA rekeys"
    else:
        notifies = {e["notify"] for e in between(result, "events", session) if e["event"] == "refused"}
        why = f", refused with {' or '.join(sorted(notifies))}" if notifies else ""
        what += f"down at the end, {session['attempts']} attempts{why}"
    if packets:
        offered, no_sa, sent, delivered = (
            sum(row[name] for row in packets) for name in ("offered", "no_sa", "sent", "delivered")
        )
        what += f"; of {offered:,} packets {no_sa:,} found no SA, "
        full = offered - no_sa - sent
        what += f"{full:,} were dropped by the sender, " if full else ""
        what += f"{sent - delivered:,} were lost on the way"
    return what


def _panels(result: Result, session: Row, axes: list[Axes]) -> None:
    ended_s = result.manifest["ended_s"]
    unit_s, unit = time_unit(ended_s)
    draw_lanes(axes[0], lanes_of(result, session), ended_s, unit_s)
    axes[0].set_xlim(0, ended_s / unit_s)
    if len(axes) > 1:
        packets = packets_of(result, session)
        _counts(axes[1], packets, ended_s, unit_s)
        _latency(axes[2], packets, ended_s, unit_s)
        for ax in axes[1:]:
            ax.set_xlim(0, ended_s / unit_s)
        for ax in axes[:-1]:
            ax.tick_params(labelbottom=False)
    axes[-1].set_xlabel(f"time in the run ({unit})")


def bin_edges_s(ended_s: float) -> list[float]:
    """Return the edges of at most `BINS` bins, each of them a whole number of the bins of the packets table. [s]"""
    # The table's bins are a second, or in long runs a 1,440th of the run.
    step_s = ended_s / BINS if ended_s >= 10 * BINS else math.ceil(ended_s / BINS)
    count = math.ceil(ended_s / step_s - 1e-9)
    return [n * step_s for n in range(count)] + [ended_s]


def _counts(ax: Axes, packets: list[Row], ended_s: float, unit_s: float) -> None:
    edges_s = bin_edges_s(ended_s)
    width_s = [b - a for a, b in pairwise(edges_s)]
    totals = {name: [0] * len(width_s) for name in ("offered", "sent", "delivered", "no_sa")}
    for row in packets:
        place = min(int(row["time_s"] / edges_s[1] + 1e-9), len(width_s) - 1)
        for name, counts in totals.items():
            counts[place] += row[name]
    rates = {name: [n / w for n, w in zip(counts, width_s, strict=True)] for name, counts in totals.items()}
    edges = [edge / unit_s for edge in edges_s]
    ax.stairs(rates["sent"], edges, fill=True, color=PALE, label="sent, both directions")
    ax.stairs(rates["delivered"], edges, baseline=None, color=BLACK, linewidth=1.2, label="delivered")
    full = [o - n - s for o, n, s in zip(rates["offered"], rates["no_sa"], rates["sent"], strict=True)]
    middles = [(a + b) / 2 for a, b in pairwise(edges)]
    for dropped, marker, colour, label in (
        (rates["no_sa"], "v", VERMILION, "dropped, no SA"),
        (full, "x", ORANGE, "dropped by the sender"),
    ):
        points = [(x, y) for x, y in zip(middles, dropped, strict=True) if y > 0]
        # An empty line breaks matplotlib's layout of the page.
        if points:
            ax.plot(
                *zip(*points, strict=True),
                color=colour,
                marker=marker,
                markersize=5,
                linestyle="none",
                clip_on=False,
                label=label,
            )
    ax.set_ylim(0, 1.2 * max(max(rate) for rate in (rates["sent"], rates["no_sa"], full)) or 1.0)
    ax.set_ylabel("packets/s")


def _latency(ax: Axes, packets: list[Row], ended_s: float, unit_s: float) -> None:
    flows: dict[tuple[str, str, str], list[Row]] = {}
    for row in packets:
        if not math.isnan(row["latency_p50_s"]):
            flows.setdefault((row["flow"], row["sender"], row["receiver"]), []).append(row)
    several = len({flow for flow, _, _ in flows}) > 1
    most_ms = 0.0
    for place, ((flow, sender, receiver), rows) in enumerate(flows.items()):
        for name, styles in LATENCY.items():
            colour, line, width = styles[place % len(styles)]
            own_ms = [row[f"latency_{name}_s"] * 1e3 for row in rows]
            label = f"{name} {flow + ', ' if several else ''}{sender} → {receiver}"
            times = [row["time_s"] / unit_s for row in rows]
            ax.plot(
                times, own_ms, color=colour, linestyle=line, linewidth=width, label=label, zorder=2 + (name == "p99")
            )
            most_ms = max(most_ms, *own_ms)
    if not flows:
        ax.text(ended_s / unit_s / 2, 0.5, "no packet was delivered", ha="center", va="center", color=GREY)
    ax.set_ylim(0, 1.2 * most_ms or 1.0)
    ax.set_ylabel("one-way\nlatency (ms)")
