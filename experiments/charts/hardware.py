"""Routers side by side: what key exchanges, authentications, ciphers, set-ups and ESP throughput cost on each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...models.errors import InputError
from .footer import LINE, assumed_lines
from .style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, finish, house_style, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: What a router is drawn with: colour, marker, line style.
LOOKS: tuple[tuple[str, str, Any], ...] = (
    (BLUE, "o", "-"),
    (VERMILION, "s", "--"),
    (GREEN, "^", "-."),
    (BLACK, "D", ":"),
    (PURPLE, "v", "-"),
    (ORANGE, "P", "--"),
    (SKY, "X", "-."),
)
#: Height of a row of a panel and of the panel around it; of the lowest panels. [inch]
ROW_INCHES, PANEL_INCHES, CURVES_INCHES = 0.2, 0.55, 2.2
#: Packet length of the panel of ciphers. [bytes]
CIPHER_BYTES = 1400
#: Suites of the panels of throughput.
CURVES = ("aes-gcm-256", "aes-cbc-256 sha512")
#: Authentication and proposal that the title tells.
TITLED = ("psk", "aes256-sha256-modp2048")
LEANING_ON = (
    "parameters.modexp.exponent_bits.modp2048",
    "parameters.control.",
    "parameters.ecdh.",
    "parameters.forwarding.",
    "parameters.symmetric.",
)
#: Section, quantity and unit of a panel of rows, its scale, its title and the label of its axis.
PANELS: tuple[tuple[str, str, str, float, str, str], ...] = (
    ("key_exchanges", "responder", "s", 1e3, "key exchange", "CPU of the responder (ms)"),
    ("authentications", "total", "s", 1e3, "authentication and certificate", "CPU of one end (ms)"),
    ("ciphers", "packet", "s", 1e6, f"ESP, a packet of {CIPHER_BYTES} bytes", "time of the core or engine (µs)"),
    ("handshakes", "per", "s", 1.0, "IKEv2 set-ups", "set-ups a second (1/s)"),
)

#: A longer name of key exchanges stands on a line of its own. [characters]
LONG, NEW_LINE = 12, "\n"
#: An axis that spans less is short.
SHORT = 50.0

Row = dict[str, Any]


def check_count(names: Sequence[str]) -> None:
    """Refuse more routers than one chart can tell apart. Raises InputError."""
    if len(names) > len(LOOKS):
        raise InputError(f"found {len(names)} routers, a chart holds at most {len(LOOKS)}", "--chart")


def draw(result: dict[str, Any]) -> Figure:
    """Draw a comparison as `experiments.routers.compare.compare` returns it. Raises InputError for too many routers."""
    names = [row["name"] for row in result["profiles"]]
    check_count(names)
    panels = [(spec, _chosen(result[spec[0]])) for spec in PANELS]
    rows = [[len({_item(row) for row in own}) for _, own in panels[i : i + 2]] for i in (0, 2)]
    # Many routers need more room for each method.
    row_inches = ROW_INCHES * max(1.0, len(names) / 3)
    heights = [PANEL_INCHES + row_inches * max(pair) for pair in rows] + [CURVES_INCHES]
    with house_style():
        figure = page(sum(heights), title(result), footer(result))
        grid: Any = figure.subplots(3, 2, height_ratios=heights)
        for ax, (spec, own) in zip(grid.flat, panels, strict=False):
            _rows(ax, own, spec, names)
        for ax, suite in zip(grid[2], CURVES, strict=True):
            _curves(ax, [row for row in result["throughput"] if row["suite"] == suite], names)
            ax.set_title(f"ESP, {suite}")
        _same_scale(grid[2])
        finish(figure, _handles(result, names), hspace=0.02, w_pad=0.05)
    return figure


def title(result: dict[str, Any]) -> str:
    """Return the finding: set-ups a second, with the bands."""
    own = [row for row in result["handshakes"] if (row["auth"], row["ike"]) == TITLED]
    what = "IKEv2 set-ups a second (pre-shared keys, modp2048)"
    if not own:
        return what
    told = [f"{row['profile']} {_told(row)}" for row in own]
    if len(told) > 3:
        order = sorted(range(len(own)), key=lambda i: own[i]["per_s"])
        return f"{what}: from {told[order[0]]} to {told[order[-1]]}"
    return f"{what}: {', '.join(told)}"


def _told(row: Row) -> str:
    band = "" if row["per_low_s"] is None else f" ({row['per_low_s']:.3g} to {row['per_high_s']:.3g})"
    return f"{row['per_s']:.3g}{band}"


def footer(result: dict[str, Any]) -> str:
    """Return what the figures lean on: draws, implementation, licences, assumed inputs."""
    draws = f"seed {result['seed']}, {result['samples']} parameter sets of each profile" if result["samples"] else ""
    routers = "; ".join(f"{row['name']} {_licence(row)}, IKEv2 {row['implementation']}" for row in result["profiles"])
    first = f"{draws or 'No ranges drawn'} · licences: {routers}"
    return "\n".join(
        [
            *textwrap.wrap(first[0].upper() + first[1:], LINE, break_on_hyphens=False),
            *assumed_lines(result["values"], LEANING_ON),
        ]
    )


def _licence(row: Row) -> str:
    rate = "not throttled" if row["licence_bps"] is None else f"{row['licence_bps'] / 1e6:g} Mbit/s"
    hsec = "" if row["without_hsec_bps"] is None else f", without HSEC {row['without_hsec_bps'] / 1e6:g}"
    return f"{row['licence']} ({rate}{hsec})"


def _chosen(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.get("packet_bytes", CIPHER_BYTES) == CIPHER_BYTES]


def _item(row: Row) -> str:
    if "ike" in row:
        proposal = row["ike"].split("-", 2)[2].replace("-ke1_", "+")
        return f"{row['auth']},{NEW_LINE if len(proposal) > LONG else ' '}{proposal}"
    return str(row.get("method") or row["suite"])


def _rows(ax: Axes, rows: list[Row], spec: tuple[str, str, str, float, str, str], names: Sequence[str]) -> None:
    """Draw one marker a router beside each item, with the band as a bar."""
    _, stem, unit, scale, heading, label = spec
    items = list(dict.fromkeys(_item(row) for row in rows))
    places = {item: n for n, item in enumerate(items)}
    for number, name in enumerate(names):
        own = [row for row in rows if row["profile"] == name]
        offset = 0.7 * ((number + 0.5) / len(names) - 0.5)
        y = [places[_item(row)] + offset for row in own]
        x = [row[f"{stem}_{unit}"] * scale for row in own]
        colour, marker, _ = LOOKS[number]
        for place, row in zip(y, own, strict=True):
            low, high = row[f"{stem}_low_{unit}"], row[f"{stem}_high_{unit}"]
            if low is not None:
                ax.plot((low * scale, high * scale), (place, place), color=colour, linewidth=1.6, alpha=0.45)
        ax.plot(x, y, color=colour, marker=marker, linestyle="none", label=name)
    ax.set_xscale("log")
    _plain_ticks(ax.xaxis)
    ax.set_ylim(len(items) - 0.4, -0.6)
    ax.set_yticks(range(len(items)), items)
    ax.set_title(heading)
    ax.set_xlabel(label)


def _curves(ax: Axes, rows: list[Row], names: Sequence[str]) -> None:
    """Draw what the cores carry by packet length, its band, and what the licence leaves of it."""
    for number, name in enumerate(names):
        own = [row for row in rows if row["profile"] == name]
        if not own:
            continue
        colour, marker, line = LOOKS[number]
        lengths = [row["packet_bytes"] for row in own]
        if own[0]["cores_low_bps"] is not None:
            low, high = ([row[f"cores_{end}_bps"] / 1e6 for row in own] for end in ("low", "high"))
            ax.fill_between(lengths, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(lengths, [row["cores_bps"] / 1e6 for row in own], color=colour, marker=marker, linestyle=line)
        for limit, symbol in LIMITS.items():
            if own[0][f"{limit}_bps"] is not None:
                rates = [row[f"{limit}_bps"] / 1e6 for row in own]
                ax.plot(lengths, rates, color=colour, marker=symbol, linestyle="none", fillstyle="none", markersize=6)
    ax.set_yscale("log")
    _plain_ticks(ax.yaxis)
    ax.set_xlabel("length of the inner packet (bytes)")
    ax.set_ylabel("throughput (Mbit/s)")


#: Markers of what licences let through.
LIMITS = {"licence": "_", "hsec": "x"}


def _plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, at 2 and 5 too where it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    if high < SHORT * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _same_scale(axes: Sequence[Axes]) -> None:
    limits = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _handles(result: dict[str, Any], names: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour, marker=marker, linestyle=line, label=name)
        for name, (colour, marker, line) in zip(names, LOOKS, strict=False)
    ]
    if result["samples"]:
        handles.append(Patch(color=BLACK, alpha=0.3, linewidth=0, label="ignorance: 5 % to 95 % of the parameter sets"))
    labels = {"licence": "licence lets through", "hsec": "let through without HSEC"}
    for limit, symbol in LIMITS.items():
        if any(row[f"{limit}_bps"] is not None for row in result["throughput"]):
            handles.append(
                Line2D(
                    [], [], color=BLACK, marker=symbol, linestyle="none", fillstyle="none", markersize=6,
                    label=labels[limit],
                )
            )  # fmt: skip
    return handles
