"""The upper part of the chart of a day: one lane for each kind of SA and for each kind of trouble, over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..selection import Row, between, records
from .style import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..result import Result

#: Event: the lane it is drawn in, what the legend calls it, marker, colour.
MARKS = {
    "attempt": ("attempts", "attempt", "o", BLUE),
    "attempt_failed": ("attempts", "attempt failed", "x", VERMILION),
    "refused": ("refusals", "refused", "X", ORANGE),
    "rejected_by_admission": ("refusals", "rejected by admission control", "v", BLACK),
    "cookie_demanded": ("refusals", "cookie demanded", "s", PURPLE),
    "retransmission": ("resends", "retransmission", "^", BLACK),
    "dpd": ("DPD", "DPD probe", "|", GREEN),
    "collision": ("rekey trouble", "rekey collision", "D", PURPLE),
    "rekey_failed": ("rekey trouble", "rekey failed", "P", VERMILION),
}
#: A generation is numbered when it lasts at least this fraction of the run.
NUMBERED = 0.025
HEIGHT = 0.36


@dataclass(slots=True)
class Lane:
    """One lane: (begin, end) of each generation, and marks as (event, time). [s]"""

    name: str
    spans: list[tuple[float, float]] = field(default_factory=list)
    marks: list[tuple[str, float]] = field(default_factory=list)


def lanes_of(result: Result, session: Row) -> list[Lane]:
    """Return the lanes of a tunnel as its initiator sees it; lanes of trouble only where there was some."""
    lanes = [
        Lane("IKE SA", _spans(result, session, "ike_sas", "established_s", "closed_s")),
        Lane("Child SA pair", _spans(result, session, "child_sas", "installed_s", "deleted_s")),
    ]
    quiet = {"attempt"} if session["up"] and session["attempts"] == 1 else set()
    marked: dict[str, Lane] = {}
    for event in between(result, "events", session):
        if event["event"] in MARKS and event["event"] not in quiet:
            name = f"{MARKS[event['event']][0]},\n{event['router']}"
            marked.setdefault(name, Lane(name)).marks.append((event["event"], event["time_s"]))
    return [*lanes, *(marked[name] for name in sorted(marked))]


def _spans(result: Result, session: Row, table: str, begin: str, end: str) -> list[tuple[float, float]]:
    ended_s = result.manifest["ended_s"]
    own = [
        row
        for row in between(result, table, session)
        if row["router"] == session["initiator"] and row["interface"] == session["initiator_interface"]
    ]
    return sorted((row[begin], ended_s if math.isnan(row[end]) else row[end]) for row in own)


def draw_lanes(ax: Axes, lanes: list[Lane], ended_s: float, unit_s: float) -> None:
    """Draw the lanes from the top down; generations alternate between two heights so that overlaps are seen."""
    labelled: set[str] = set()
    for place, lane in enumerate(lanes):
        for generation, (begin_s, end_s) in enumerate(lane.spans, start=1):
            _span(ax, place, generation, (begin_s / unit_s, end_s / unit_s), (end_s - begin_s) / ended_s)
        for kind in dict.fromkeys(kind for kind, _ in lane.marks):
            _, word, marker, colour = MARKS[kind]
            ax.plot(
                [time_s / unit_s for other, time_s in lane.marks if other == kind],
                [place] * sum(1 for other, _ in lane.marks if other == kind),
                linestyle="none",
                marker=marker,
                markersize=6,
                markerfacecolor="none" if marker == "o" else colour,
                markeredgecolor=colour,
                clip_on=False,
                label="_" + word if word in labelled else word,
            )
            labelled.add(word)
        if not lane.spans and not lane.marks:
            ax.text(ended_s / unit_s / 2, place, f"no {lane.name}", ha="center", va="center", color=VERMILION)
    ax.set_yticks(range(len(lanes)), [lane.name for lane in lanes])
    ax.set_ylim(len(lanes) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")


def _span(ax: Axes, place: int, generation: int, ends: tuple[float, float], share: float) -> None:
    odd = generation % 2 == 1
    low = place - HEIGHT - 0.02 if odd else place + 0.02
    begin, end = ends
    ax.broken_barh([(begin, end - begin)], (low, HEIGHT), facecolor=SKY if odd else PALE, edgecolor=GREY, linewidth=0.6)
    if share >= NUMBERED:
        ax.text((begin + end) / 2, low + HEIGHT / 2, str(generation), ha="center", va="center_baseline")


def packets_of(result: Result, session: Row) -> list[Row]:
    """Return the rows of the packets table of a tunnel's two routers."""
    pair = {session["initiator"], session["responder"]}
    return [row for row in records(result.tables["packets"]) if {row["sender"], row["receiver"]} == pair]
