"""A calibration: how far the fit is from each measured row, and what each value's range was before and after."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .footer import LINE
from .style import BLUE, GREY, ORANGE, PALE, finish, house_style, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...hardware.calibration import FittedRow, Parameter
    from ..routers.calibrate import Outcome
    from .figure import ChartFigure

#: Rows of either panel; of more, those that are furthest off, or that the measurements moved most, are drawn.
MOST_ROWS = 25
ROW_INCHES = 0.155
PANEL_INCHES = 0.55
#: Where 0 is drawn on the logarithmic axis.
LEAST = 0.05
#: Ends of a range, 5 % and 95 %, in standard deviations.
Q95 = 1.645
LABEL = 46


def draw(outcome: Outcome) -> ChartFigure:
    """Return the chart of an outcome that has a fit."""
    from matplotlib.lines import Line2D

    fit = outcome.fit
    if fit is None:
        raise ValueError("nothing was fitted")
    rows = sorted(fit.rows, key=lambda row: -abs(row.residual))[:MOST_ROWS]
    rows = [row for row in fit.rows if row in rows]
    informed = [p for p in fit.parameters if p.informed] or [p for p in fit.parameters if not p.follows]
    moved = sorted(informed, key=lambda p: -_change(p))[:MOST_ROWS]
    parameters = [p for p in fit.parameters if p in moved]
    heights = [PANEL_INCHES + ROW_INCHES * max(len(panel), 3) for panel in (rows, parameters)]
    with house_style():
        figure = page(sum(heights), _title(outcome), _footer(outcome))
        above, below = figure.subplots(2, 1, height_ratios=heights)
        _residuals(above, rows, fit.scatter, len(fit.rows))
        _ranges(below, parameters, len(informed))
        handles = [
            Line2D([], [], color=BLUE, marker="o", linestyle="none", label="fitted over measured"),
            Line2D([], [], color=PALE, linewidth=5, label="error of the row, 5 to 95 %"),
            Line2D([], [], color=ORANGE, linewidth=5, alpha=0.55, label="range before"),
            Line2D([], [], color=BLUE, linewidth=2, marker="o", label="value and range after"),
        ]
        finish(figure, handles)
    return figure


def _title(outcome: Outcome) -> str:
    fit = outcome.fit
    if fit is None:
        return ""
    worst = max(abs(row.residual) for row in fit.rows)
    informed = sum(p.informed for p in fit.parameters)
    return (
        f"{outcome.base.name} calibrated: {len(fit.rows)} measured rows set {informed} values; "
        f"the worst row is {worst:.0%} off"
    )


def _footer(outcome: Outcome) -> str:
    fit = outcome.fit
    values = outcome.profile.values()
    still = outcome.assumed()
    parts = [
        f"Base {outcome.base.name}. No random numbers. Of {len(values)} values in the profile {len(outcome.changed)} "
        f"changed; {len(still)} parameters are still assumed."
    ]
    if fit is not None and fit.scatter > 1.0:
        parts.append(f"The rows scatter {fit.scatter:.1f} times as much as they state; all errors were widened by it.")
    return "\n".join(textwrap.wrap(" ".join(parts), LINE))


def _residuals(ax: Axes, rows: Sequence[FittedRow], scatter: float, count: int) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        half = Q95 * row.sd * scatter
        ax.plot([100 * (math.exp(s * half) - 1) for s in (-1, 1)], [place, place], color=PALE, linewidth=5, zorder=1)
    ax.plot([100 * row.residual for row in rows], places, "o", color=BLUE, linestyle="none", zorder=3)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set_yticks(places, [_short(row.name) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("fitted above measured [%]")
    shown = f", the {len(rows)} furthest off of {count}" if len(rows) < count else ""
    ax.set_title(f"Measured rows{shown}", loc="left")
    ax.grid(axis="y", visible=False)


def _ranges(ax: Axes, parameters: Sequence[Parameter], count: int) -> None:
    places = range(len(parameters))
    for place, p in zip(places, parameters, strict=True):
        unit = _unit(p)
        if p.base is not None and p.base.range is not None:
            low, high = p.base.range
            ax.plot(
                [max(low / unit, LEAST), high / unit], [place, place], color=ORANGE, linewidth=5, alpha=0.55, zorder=1
            )
        low, high = p.value.range or (p.value.value, p.value.value)
        ax.plot([max(low / unit, LEAST), high / unit], [place, place], color=BLUE, linewidth=2, zorder=2)
        ax.plot([max(p.value.value / unit, LEAST)], [place], "o", color=BLUE, zorder=3)
    ax.axvline(1, color=GREY, linewidth=0.8)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(
        lambda value, _: f"{value:g}" if _few_decades(ax) and _leading(value) in (2, 5) else ""
    )
    ax.set_yticks(places, [_short(p.path.removeprefix("parameters.")) for p in parameters])
    ax.set_ylim(len(parameters) - 0.4, -0.6)
    zero = any(p.base is not None and p.base.value == 0.0 for p in parameters)
    where_zero = " (to the end of its range where it is 0)" if zero else ""
    ax.set_xlabel(f"relative to the base{where_zero}")
    shown = f", the {len(parameters)} that changed most of {count}" if len(parameters) < count else ""
    ax.set_title(f"Fitted values{shown}", loc="left")
    ax.grid(axis="y", visible=False)


def _unit(p: Parameter) -> float:
    """Return the number to which a value is drawn relative."""
    if p.base is None:
        return p.value.value
    return p.base.value or (p.base.range[1] if p.base.range else 0.0) or 1.0


def _few_decades(ax: Axes) -> bool:
    low, high = ax.get_xlim()
    return high / low < 1e3


def _leading(value: float) -> int:
    return round(value / 10.0 ** math.floor(math.log10(value) + 1e-9)) if value > 0 else 0


def _change(p: Parameter) -> float:
    """Return how much a value moved and its range narrowed, in logarithms."""
    if p.base is None:
        return math.inf
    if p.base.value <= 0.0:
        return p.value.value / _unit(p)
    moved = abs(math.log(p.value.value / p.base.value))
    if p.base.range is None or p.value.range is None or p.base.range[0] <= 0.0 or p.value.range[0] <= 0.0:
        return moved
    before, after = (math.log(r[1] / r[0]) for r in (p.base.range, p.value.range))
    return moved + max(before - after, 0.0)


def _short(text: str) -> str:
    return text if len(text) <= LABEL else text[: LABEL - 1] + "…"
