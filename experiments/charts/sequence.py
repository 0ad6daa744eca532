"""The set-up of a tunnel as a message sequence: two lifelines, time downwards, the work beside each.

Waits for a timer are shortened and say so; everything else is to scale.
"""

from __future__ import annotations

import math
import statistics
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from ..selection import Row, SetUp
from .footer import footer
from .style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LEADING,
    ORANGE,
    PALE,
    SKY,
    SMALL,
    VERMILION,
    finish,
    house_style,
    milliseconds,
    own_figure,
    page,
)
from .timescale import TimeScale, spread, time_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

LEANING_ON = ("parameters.control.", "parameters.modexp.", "topology: ", "parameters.ecdh.", "retransmit")
#: Kind of work: colour, hatch, and the operations that belong to it.
WORK: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "Diffie-Hellman": (ORANGE, "///", ("DhKeygen", "DhValidate", "DhShared")),
    "PRF, hashes, encryption": (SKY, "...", ("PrfCall", "Hash", "Protect", "Unprotect")),
    "message handling": (PALE, "", ("HandleMessage",)),
    "SA installation": (GREEN, "xxx", ("InstallSa",)),
}
WORDS = {
    "DhKeygen": "DH key pair",
    "DhValidate": "DH check",
    "DhShared": "shared secret",
    "PrfCall": "PRF",
    "Hash": "hashes",
    "Protect": "encryption",
    "Unprotect": "decryption",
    "HandleMessage": "message handling",
    "InstallSa": "SA installation",
}
#: An operation is named beside its work from this share of it on.
DOMINANT = 0.1
BAR_WIDTH = 0.045
LABEL_CHARACTERS = 29
#: Where the arrow of a lost message ends, as a fraction of its way.
LOST_AT = 0.8
#: Where an arrow is labelled, as a fraction of its way: nearer to the sender, away from the answer.
LABEL_AT = 0.46
X_LIMITS = (-0.98, 1.98)
#: Heights of the axes, the names of the routers included; a work and a wait need so much of it.
LEAST_INCHES, MOST_INCHES, HEADING_INCHES, WORK_INCHES, WAIT_INCHES = 4.2, 7.9, 0.25, 0.55, 0.28


def draw(result: Result, set_up: SetUp, ax: Axes | None) -> Figure:
    """Draw the set-up; see `Plot.sequence`. Raises InputError when no message was sent."""
    if not set_up.messages:
        from ...models.errors import InputError

        raise InputError(f"no message was sent: {set_up.session['reason']}", "tunnel")
    usual_s = _usual_flight_s(result, set_up)
    if ax is not None:
        inches = own_figure(ax).get_size_inches()[1] * ax.get_position().height
        _draw(ax, set_up, usual_s, inches)
        return own_figure(ax)
    with house_style():
        again = sum(1 for m in set_up.messages if m["transmission"])
        height = min(max(LEAST_INCHES, WORK_INCHES * len(set_up.works) + WAIT_INCHES * again), MOST_INCHES)
        figure = page(height, title(set_up), footer(result, LEANING_ON), subtitle=set_up.session["reason"])
        own = figure.subplots()
        _draw(own, set_up, usual_s, height - HEADING_INCHES)
        handles, labels = own.get_legend_handles_labels()
        found = dict(zip(labels, handles, strict=True))
        finish(figure, [found[name] for name in WORK if name in found])
    return figure


def title(set_up: SetUp) -> str:
    """Return the finding: up after how long, or refused and by what."""
    session = set_up.session
    ends = f"{session['initiator']} → {session['responder']}"
    count = sum(1 for m in set_up.messages if m["transmission"] == 0)
    n_bytes = sum(m["ike_bytes"] for m in set_up.messages if m["transmission"] == 0)
    again = len(set_up.messages) - count
    what = f"{_counted(count, 'message')}, {n_bytes} bytes of IKE" + (
        f", {_counted(again, 'retransmission')}" if again else ""
    )
    if set_up.installed.get(session["initiator"]) is not None:
        return f"{ends}: up {milliseconds(session['setup_s'])} after the first message ({what})"
    why = f"refused, {set_up.notify}" if set_up.notify else "no tunnel"
    return f"{ends}: {why}; attempt {set_up.attempt} of {session['attempts']} ({what})"


def _counted(count: int, noun: str) -> str:
    return f"{count}\u00a0{noun}" + ("" if count == 1 else "s")


def _usual_flight_s(result: Result, set_up: SetUp) -> float:
    """Return how long a lost message would have been under way: as the others, else the delay of its links. [s]"""
    known = [m["arrival_s"] - m["time_s"] for m in set_up.messages if not m["lost"]]
    if known:
        return float(statistics.median(known))
    ends = {set_up.session["initiator"], set_up.session["responder"]}
    return math.fsum(link["delay_s"] for link in result.manifest["topology"]["links"] if ends & set(link["ends"]))


def _draw(ax: Axes, set_up: SetUp, usual_s: float, inches: float) -> None:
    flights = [(m, m["time_s"] + usual_s if m["lost"] else m["arrival_s"]) for m in set_up.messages]
    active = [(m["time_s"], arrival_s) for m, arrival_s in flights]
    active += [(w["arrival_s"], w["end_s"]) for w in set_up.works]
    scale = time_scale(active, WAIT_INCHES / inches)
    session = set_up.session
    sides = {session["initiator"]: 0.0, session["responder"]: 1.0}
    for router, x in sides.items():
        ax.plot([x, x], [scale.heights[0], scale.heights[-1]], color=BLACK, linewidth=0.8, zorder=1)
        ax.text(x, 1.01, router, transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontweight="bold")
    for message, arrival_s in flights:
        _arrow(ax, message, arrival_s, scale, sides, set_up.notify)
    _waits(ax, scale)
    margin = 0.02 * scale.heights[-1]
    line = SMALL * LEADING / inches * (scale.heights[-1] + 2 * margin)
    for router, x in sides.items():
        _works(ax, [w for w in set_up.works if w["router"] == router], x, scale, line, set_up)
    _axes(ax, scale, margin)


def _axes(ax: Axes, scale: TimeScale, margin: float) -> None:
    ticks = scale.ticks_s()
    # Milliseconds get too long to be read where whole seconds are waited for.
    unit_s, unit = (1.0, "s") if scale.knots_s[-1] - scale.knots_s[0] > 1.0 else (1e-3, "ms")
    ax.set_yticks([scale(t) for t in ticks], [f"{t / unit_s:.2f}" if unit == "s" else f"{t / unit_s:g}" for t in ticks])
    ax.set_ylim(scale.heights[-1] + margin, scale.heights[0] - margin)
    ax.set_xlim(*X_LIMITS)
    ax.set_xticks([])
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.set_ylabel(f"time in the run ({unit}); waits shortened" if scale.waits else f"time in the run ({unit})")


def _arrow(ax: Axes, message: Row, arrival_s: float, scale: TimeScale, sides: dict[str, float], notify: str) -> None:
    from matplotlib.transforms import ScaledTranslation

    x0, x1 = sides[message["sender"]], sides[message["receiver"]]
    y0, y1 = scale(message["time_s"]), scale(arrival_s)
    failed = bool(notify) and f"N:{notify}" in message["payloads"]
    colour, line = (VERMILION, (0, (5, 1.5))) if failed else (GREY, (0, (2, 1.5))) if message["lost"] else (BLUE, "-")
    if message["lost"]:
        x1, y1 = x0 + LOST_AT * (x1 - x0), y0 + LOST_AT * (y1 - y0)
        ax.plot([x1], [y1], marker="X", markersize=8, color=VERMILION, zorder=4)
    ax.annotate(
        "",
        (x1, y1),
        (x0, y0),
        arrowprops={"arrowstyle": "-|>", "color": colour, "linestyle": line, "shrinkA": 0, "shrinkB": 0, "lw": 1.3},
        zorder=3,
    )
    kind = "response" if message["response"] else "request"
    above = f"{message['exchange']} {kind}, ID {message['message_id']}"
    below = f"{message['ike_bytes']} bytes"
    below += f", send {message['transmission'] + 1}" if message["transmission"] else ""
    below += f", {notify}" if failed else ", lost" if message["lost"] else ""
    slope = math.degrees(math.atan2((y1 - y0) * math.copysign(1.0, x1 - x0), abs(x1 - x0)))
    place = 0.5 if message["lost"] else LABEL_AT
    for text, side, points in ((above, "bottom", 1.5), (below, "top", -2.5)):
        ax.text(
            x0 + place * (x1 - x0),
            y0 + place * (y1 - y0),
            text,
            transform=ax.transData + ScaledTranslation(0, points / 72, own_figure(ax).dpi_scale_trans),
            ha="center",
            va=side,
            rotation=slope,
            rotation_mode="anchor",
            transform_rotates_text=True,
            color=VERMILION if failed else BLACK,
            zorder=5,
        )


def _waits(ax: Axes, scale: TimeScale) -> None:
    for begin_s, end_s in scale.waits:
        low, high = scale(begin_s), scale(end_s)
        ax.axhspan(low, high, facecolor="#F4F4F4", edgecolor=PALE, hatch="....", zorder=0)
        ax.text(
            0.5,
            (low + high) / 2,
            f"{milliseconds(end_s - begin_s)} without a message",
            ha="center",
            va="center",
            color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )


def _works(ax: Axes, works: list[Row], x: float, scale: TimeScale, line: float, set_up: SetUp) -> None:
    labels = [_label(work, set_up) for work in works]
    centres = [(scale(w["start_s"]) + scale(w["end_s"])) / 2 for w in works]
    sizes = [line * (label.count("\n") + 1.25) for label in labels]
    places = spread(centres, sizes, scale.heights[0] - line / 2, scale.heights[-1] + line / 2)
    outwards = -1.0 if x == 0.0 else 1.0
    for work, label, centre, place in zip(works, labels, centres, places, strict=True):
        _bar(ax, work, x, scale)
        edge = x + outwards * BAR_WIDTH / 2
        ax.plot([edge, edge + outwards * 0.035], [centre, place], color=GREY, linewidth=0.6)
        ax.text(
            edge + outwards * 0.045,
            place,
            label,
            ha="right" if x == 0.0 else "left",
            va="center",
            linespacing=1.15,
        )


def _label(work: Row, set_up: SetUp) -> str:
    took_s = work["end_s"] - work["start_s"]
    named: dict[str, float] = {}
    for operation, duration_s in work["operations"]:
        kind = operation.split()[0]
        word = WORDS.get(kind, kind)
        named[word] = named.get(word, 0.0) + duration_s
    large = sorted((item for item in named.items() if item[1] >= DOMINANT * took_s), key=lambda item: -item[1])
    lines = [f"{work['step']}: {milliseconds(took_s)}"]
    if len(named) > 1:
        lines += textwrap.wrap(", ".join(f"{word} {milliseconds(s)}" for word, s in large), LABEL_CHARACTERS)
    waited_s = work["start_s"] - work["arrival_s"]
    if waited_s > DOMINANT * took_s:
        lines.append(f"waited {milliseconds(waited_s)} for the CPU")
    if set_up.installed.get(work["router"]) == work["end_s"]:
        lines.append("→ ESP SAs installed")
    return "\n".join(lines)


def _bar(ax: Axes, work: Row, x: float, scale: TimeScale) -> None:
    from matplotlib.patches import Rectangle

    known = set(ax.get_legend_handles_labels()[1])
    left = x - BAR_WIDTH / 2
    begin_s = work["start_s"]
    for kind, group in groupby(work["operations"], key=lambda operation: _kind(operation[0])):
        end_s = begin_s + sum(duration_s for _, duration_s in group)
        low, high = scale(begin_s), scale(end_s)
        colour, hatch, _ = WORK[kind]
        part = Rectangle(
            (left, low), BAR_WIDTH, high - low, facecolor=colour, hatch=hatch, edgecolor=GREY, linewidth=0.3
        )
        part.set_zorder(2)
        part.set_label("" if kind in known else kind)
        ax.add_patch(part)
        known.add(kind)
        begin_s = end_s
    low, high = scale(work["start_s"]), scale(work["end_s"])
    frame = Rectangle((left, low), BAR_WIDTH, high - low, fill=False, edgecolor=BLACK, linewidth=0.7, zorder=3)
    ax.add_patch(frame)


def _kind(operation: str) -> str:
    name = operation.split()[0]
    return next((kind for kind, (_, _, names) in WORK.items() if name in names), "message handling")
