"""Remote-access clients against FlexVPN servers: who connects as it comes, and what it takes."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .footer import LINE, assumed_lines
from .style import BLACK, GREEN, GREY, ORANGE, VERMILION, finish, house_style, milliseconds, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and hatch of each outcome, pale enough for black text.
LOOKS = {"yes": (GREEN, ""), "until the first rekey": (ORANGE, ".."), "no": (VERMILION, "//")}
LABELS = {"yes": "connects as it comes", "until the first rekey": "until the first rekey", "no": "does not connect"}
ALPHA = 0.28
#: Height of a line of a cell and of what is around them; of the axis of servers. [inch]
LINE_INCHES, CELL_INCHES, AXIS_INCHES = 0.15, 0.14, 0.45
#: Characters of small type in a cell, for all servers together.
CELL_CHARACTERS = 88
#: What has to be repaired at each stage, in a few words.
STAGES = {
    "proposal": "IKE proposal",
    "authentication": "authentication",
    "child": "transform set",
    "address": "address pool",
    "rekey": "PFS group",
}
CAUSES = {"identity is no EAP user name": "query-identity"}
LEANING_ON = ("nonce_bytes", "configuration attribute", "parameters.")

Row = dict[str, Any]


def draw(result: Row) -> Figure:
    """Draw outcomes as ``flexvpn-sim clients --json`` returns them, with all ``values`` that were read."""
    from matplotlib.patches import Patch

    rows: list[Row] = result["clients"]
    names = list(dict.fromkeys(row["client"] for row in rows))
    servers = list(dict.fromkeys(row["server"] for row in rows))
    cells = {(row["client"], row["server"]): _lines(row, len(servers)) for row in rows}
    heights = [LINE_INCHES * max(len(cells[name, server]) for server in servers) + CELL_INCHES for name in names]
    with house_style():
        figure = page(sum(heights) + AXIS_INCHES, title(rows), footer(result), subtitle=SUBTITLE)
        ax: Any = figure.subplots()
        edges = [0.0]
        for height in heights:
            edges.append(edges[-1] + height)
        for row in rows:
            number = names.index(row["client"])
            place = (servers.index(row["server"]), edges[number])
            _cell(ax, row, place, heights[number], cells[row["client"], row["server"]])
        ax.set_xlim(0, len(servers))
        ax.set_ylim(edges[-1], 0)
        ax.set_xticks([n + 0.5 for n in range(len(servers))], [_shown(server) for server in servers])
        ax.set_yticks([(a + b) / 2 for a, b in pairwise(edges)], names)
        ax.tick_params(length=0)
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set_visible(False)
        used = {row["connects"] for row in rows}
        handles = [
            Patch(facecolor=colour, hatch=hatch, edgecolor=GREY, alpha=ALPHA, label=LABELS[name])
            for name, (colour, hatch) in LOOKS.items()
            if name in used
        ]
        finish(figure, handles)
    return figure


SUBTITLE = (
    "Messages, bytes of IP packets and the server's CPU time of the set-up that works in the end; behind 'repair' what"
    " has to be configured for it, in the order in which it is found"
)


def title(rows: list[Row]) -> str:
    """Return the finding: how many connect as they come at each server."""
    told = []
    for server in dict.fromkeys(row["server"] for row in rows):
        own = [row for row in rows if row["server"] == server]
        told.append(f"{sum(row['connects'] == 'yes' for row in own)} of {len(own)} at {_shown(server)}")
    return f"Clients that work as they come: {', '.join(told)}"


def _shown(server: str) -> str:
    """Return a server's name as people write it; the name of a configuration stays."""
    return server.replace("ios-xe-", "IOS XE ")


def footer(result: Row) -> str:
    """Return what the figures lean on."""
    first = f"Server on {result['hardware']} · clients with their default proposals, one at a time, no loss"
    return "\n".join([*textwrap.wrap(first, LINE), *assumed_lines(result["values"], LEANING_ON)])


def _lines(row: Row, servers: int) -> list[str]:
    """Return the text of a cell."""
    width = CELL_CHARACTERS // servers
    shown = row["after_repair"] or row["as_configured"]
    figures = f"{shown['messages']} messages, {shown['bytes']} B, {milliseconds(shown['server_cpu_s'])}"
    lines = textwrap.wrap(figures, width, break_on_hyphens=False)
    repairs = [CAUSES.get(f["cause"], STAGES[f["stage"]]) for f in row["failures"] if f["repair"]]
    if repairs:
        lines += textwrap.wrap(f"repair: {', '.join(dict.fromkeys(repairs))}", width, break_on_hyphens=False)
    return lines if row["after_repair"] else [*lines, "nothing here helps"]


def _cell(ax: Axes, row: Row, place: tuple[float, float], height: float, lines: list[str]) -> None:
    from matplotlib.patches import Rectangle

    colour, hatch = LOOKS[row["connects"]]
    gap = 0.01
    box = (place[0] + gap, place[1] + gap), 1 - 2 * gap, height - 2 * gap
    ax.add_patch(Rectangle(*box, facecolor=colour, edgecolor=GREY, hatch=hatch, alpha=ALPHA, linewidth=0.5))
    middle = (place[0] + 0.5, place[1] + height / 2)
    background = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}
    ax.text(*middle, "\n".join(lines), ha="center", va="center", color=BLACK, bbox=background)
