"""ESP latency and loss against the offered load, one panel for each packet length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...models.errors import unknown_name
from ..selection import Row, records
from .footer import footer
from .style import BLACK, BLUE, GREY, ORANGE, VERMILION, finish, given_axes, house_style, own_figure, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

LEANING_ON = ("shaper.", "parameters.forwarding.", "parameters.symmetric.ciphers", "buffers.", "parameters.symmetric")
#: Quantile: colour, line style, marker.
QUANTILES = {"p99": (VERMILION, "-", "^"), "p95": (ORANGE, "--", "s"), "p50": (BLUE, ":", "o")}
BAND, CAPACITY = "95 % interval (replications)", "capacity (load 1.0)"
#: Quantiles whose band over parameter sets is drawn, with its hatch.
IGNORANCE = {"p95": "////", "p50": "...."}
LEGEND = (*QUANTILES, BAND, CAPACITY)
#: Where an interval that reaches 0 is cut off, as a fraction of its mean: the scale is logarithmic.
LEAST = 0.3
AXES_INCHES = 3.0


def draw(result: Result, ax: Axes | Sequence[Axes] | None, packets: str | None) -> Figure:
    """Draw the latency table; see `Plot.latency`."""
    rows = records(result.tables["latency"])
    lengths = list(dict.fromkeys(row["packets"] for row in rows))
    if packets is not None:
        if packets not in lengths:
            raise unknown_name("packet length", packets, lengths)
        lengths = [packets]
    curves = [[row for row in rows if row["packets"] == length] for length in lengths]
    if ax is not None:
        n = len(curves)
        axes = given_axes(ax, (n, 2 * n), f"one for each packet length ({', '.join(lengths)}), then one for each loss")
        _panels(result, curves, axes[:n], axes[n:])
        return own_figure(axes[0])
    with house_style():
        figure = page(AXES_INCHES, title(rows), footer(result, LEANING_ON))
        grid: Any = figure.subplots(2, len(curves), sharey="row", sharex="col", squeeze=False, height_ratios=(3, 1))
        _panels(result, curves, list(grid[0]), list(grid[1]))
        handles, labels = grid[0][0].get_legend_handles_labels()
        # Of the bands, which share one label, the last stands for all.
        known = dict(zip(labels, handles, strict=True))
        ignorance = [name for name in known if name not in LEGEND]
        finish(figure, [known[name] for name in (*LEGEND, *ignorance)], hspace=0.03, w_pad=0.03)
    return figure


def title(rows: list[Row]) -> str:
    """Return the finding: which station saturates, and where."""
    full = [row for row in rows if row["load"] == 1.0]
    ends = f"ESP {rows[0]['sender']} → {rows[0]['receiver']}"
    stations = list(dict.fromkeys(row["bottleneck"] for row in full))
    found = []
    for station in stations:
        own = sorted((row for row in full if row["bottleneck"] == station), key=lambda row: row["offered_bps"])
        points = [f"{row['offered_bps'] / 1e6:.1f} Mbit/s ({row['packets']})" for row in own]
        found.append(f"{station}, full at {points[0]}" + (f" to {points[-1]}" if len(points) > 1 else ""))
    return f"{ends}: bottleneck {'; '.join(found)}" if found else f"{ends}: latency against load"


def _panels(result: Result, curves: list[list[Row]], tops: list[Axes], bottoms: list[Axes]) -> None:
    losses = [row[name] for rows in curves for row in rows for name in ("loss", "loss_high") if row[name] == row[name]]
    most_percent = max(losses) * 100
    for place, rows in enumerate(curves):
        _latency(tops[place], rows, result.manifest["options"].get("samples", 0))
        if place == 0:
            tops[0].set_ylabel(f"one-way latency less {_propagation(result, rows)}:\nrouters and queues (ms)")
        lowest = bottoms[place] if bottoms else tops[place]
        if bottoms:
            _loss(lowest, rows)
            lowest.set_ylim(0, max(1.1 * most_percent, 1.0))
            if place == 0:
                lowest.set_ylabel("loss (%)")
        lowest.set_xlabel("offered load (Mbit/s)")


def _propagation(result: Result, rows: list[Row]) -> str:
    guessed = sum(
        1 for v in result.manifest["values"] if v["kind"] == "assumed" and v["owner"] == "topology" and v["unit"] == "s"
    )
    how = " (assumed)" if guessed >= len(result.manifest["topology"]["links"]) else " (partly assumed)"
    return f"{rows[0]['propagation_s'] * 1e3:g} ms\npropagation{how if guessed else ''}"


def _latency(ax: Axes, rows: list[Row], samples: int) -> None:
    offered = [row["offered_bps"] / 1e6 for row in rows]
    _capacity(ax, rows)
    for name, (colour, line, marker) in QUANTILES.items():
        own = [(row[f"{name}_s"] - row["propagation_s"]) * 1e3 for row in rows]
        half = [row[f"{name}_ci_s"] * 1e3 for row in rows]
        low = [max(y - h, LEAST * y) for y, h in zip(own, half, strict=True)]
        high = [y + h for y, h in zip(own, half, strict=True)]
        ax.fill_between(offered, low, high, color=colour, alpha=0.25, linewidth=0, label=BAND)
        ax.plot(offered, own, color=colour, linestyle=line, marker=marker, label=name)
        if samples and name in IGNORANCE:
            _ignorance(ax, rows, name, colour, f"ignorance, {name}: 5 % to 95 % of {samples} parameter sets")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_title(f"{rows[0]['packets']} packets")


def _ignorance(ax: Axes, rows: list[Row], name: str, colour: str, label: str) -> None:
    """Draw the band over parameter sets where some were drawn; it ends where too many of them deliver nothing."""
    own = [row for row in rows if row[f"{name}_high_s"] == row[f"{name}_high_s"]]
    if own:
        low, high = ([(row[f"{name}_{end}_s"] - row["propagation_s"]) * 1e3 for row in own] for end in ("low", "high"))
        ax.fill_between(
            [row["offered_bps"] / 1e6 for row in own],
            low,
            high,
            facecolor="none",
            edgecolor=colour,
            alpha=0.6,
            linewidth=0.6,
            hatch=IGNORANCE[name],
            label=label,
        )


def _capacity(ax: Axes, rows: list[Row]) -> None:
    for row in rows:
        if row["load"] == 1.0:
            ax.axvline(row["offered_bps"] / 1e6, color=BLACK, linestyle="-.", linewidth=0.9, label=CAPACITY)


def _loss(ax: Axes, rows: list[Row]) -> None:
    offered = [row["offered_bps"] / 1e6 for row in rows]
    _capacity(ax, rows)
    low, high = ([row[f"loss_{end}"] * 100 for row in rows] for end in ("low", "high"))
    if high[0] == high[0]:
        ax.fill_between(offered, low, high, color=GREY, alpha=0.25, linewidth=0)
    ax.plot(offered, [row["loss"] * 100 for row in rows], color=GREY, marker="x", label="loss")
