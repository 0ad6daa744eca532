"""What a tunnel costs by protocol: messages, bytes and round trips of its set-up, and what it adds to a packet."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from .footer import LINE, assumed_lines
from .style import BLUE, GREEN, GREY, ORANGE, PALE, SKY, VERMILION, finish, house_style, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and hatch of each layer.
LAYERS = {
    "IKEv2": (BLUE, ""),
    "IKEv1": (SKY, "//"),
    "L2TP": (ORANGE, ".."),
    "TCP": (PALE, ""),
    "PPTP": (VERMILION, "\\\\"),
    "PPP": (GREEN, "xx"),
}
ROW_INCHES, PANEL_INCHES = 0.24, 0.62
#: Length of the packet whose overhead is shown. [bytes]
INNER = "1400"
#: Room for the figure at the end of the longest bar, as a fraction of it.
ROOM = 1.18
#: Inputs that decide the bytes; none of the times is shown.
LEANING_ON = ("configuration attribute APPLICATION", "vendor ID NAT-T", "text of", "host name", "options of")

Row = dict[str, Any]


def draw(result: Row) -> Figure:
    """Draw the protocols of a result of `experiments.claims.result`."""
    from matplotlib.patches import Patch

    rows = result["protocols"]
    panels = (
        ("messages", "messages of the set-up"),
        ("ip_bytes", "bytes of the set-up, with IPv4 headers"),
        ("round_trips", "round trips until user packets pass"),
        ("added", f"bytes added to a packet of {INNER}"),
    )
    used = dict.fromkeys(layer for row in rows for layer in row["layers"])
    with house_style():
        figure = page(2 * (PANEL_INCHES + ROW_INCHES * len(rows)), title(rows), footer(result))
        grid: Any = figure.subplots(2, 2, sharey=True)
        for ax, (quantity, label) in zip(grid.flat, panels, strict=True):
            _bars(ax, rows, quantity)
            ax.set_xlabel(label)
        handles = [
            Patch(facecolor=LAYERS[n][0], hatch=LAYERS[n][1], edgecolor=GREY, label=n) for n in LAYERS if n in used
        ]
        handles.append(Patch(facecolor=GREY, edgecolor=GREY, label="all together"))
        finish(figure, handles, hspace=0.04, wspace=0.04)
    return figure


def title(rows: list[Row]) -> str:
    """Return the finding, from the figures of the protocols that set up one pair of SAs or a session."""
    single = [row for row in rows if row["messages"] and not row["protocol"].startswith("crypto map")]
    told = ", ".join(f"{row['protocol']} {row['round_trips']:g}" for row in single)
    return f"Round trips to set up a tunnel: {told}"


def footer(result: Row) -> str:
    """Return what the figures lean on."""
    first = (
        f"IOS XE at both ends, IKE {result['ike']}, ESP {result['esp']}, pre-shared keys, no losses; L2TP and PPTP in "
        "the shortest form that their RFCs allow"
    )
    sized = [value for value in result["values"] if value["unit"] in ("bytes", "KB") or "lifetime" in value["name"]]
    return "\n".join([*textwrap.wrap(first, LINE), *assumed_lines(sized, LEANING_ON)])


def _bars(ax: Axes, rows: list[Row], quantity: str) -> None:
    places = range(len(rows))
    longest = 0.0
    for place, row in zip(places, rows, strict=True):
        total = _number(row, quantity)
        longest = max(longest, total)
        if quantity in ("messages", "ip_bytes"):
            left = 0.0
            for layer, own in row["layers"].items():
                colour, hatch = LAYERS[layer]
                ax.barh(place, own[quantity], left=left, color=colour, hatch=hatch, edgecolor=GREY, linewidth=0.4)
                left += own[quantity]
        else:
            ax.barh(place, total, color=GREY)
        ax.annotate(f"{total:g}", (total, place), xytext=(3, 0), textcoords="offset points", va="center", ha="left")
    ax.set_yticks(list(places), [row["protocol"] for row in rows])
    # Shared axes: only the first panel may turn them.
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_xlim(0, ROOM * longest)
    ax.grid(visible=False, axis="y")


def _number(row: Row, quantity: str) -> float:
    if quantity == "added":
        return float(row["packet_bytes"][INNER] - int(INNER))
    return float(row[quantity])
