"""Errors of predictions against public figures: one line a section, one mark a figure, targets as bands."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from .footer import LINE
from .style import BLACK, BLUE, GREY, ORANGE, SKY, finish, house_style, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..routers.validation import Section, Validation

LINE_INCHES, BASE_INCHES = 0.30, 0.55
#: Half the height of a target's band, and of the strip over which marks of a section are spread. [lines]
BAND, STRIP = 0.36, 0.24
TITLE_CHARACTERS = 44


def draw(validation: Validation) -> Figure:
    """Draw the errors of every section that has some."""
    sections = [s for s in validation.sections if any(s.errors(use) for use in ("unused", "fit", "interpolation"))]
    unused = [error for section in sections for error in section.errors()]
    with house_style():
        figure = page(
            BASE_INCHES + LINE_INCHES * len(sections),
            f"Predicted against measured: {len(unused)} public figures that set no parameter, "
            f"the worst {max(unused) * 100:.0f} % off",
            _footer(validation),
        )
        ax = figure.subplots()
        _marks(ax, sections)
        finish(figure, ax.get_legend_handles_labels()[0])
    return figure


def _footer(validation: Validation) -> str:
    rows = [row for section in validation.sections for row in section.rows]
    counts = {use: sum(row.use == use for row in rows) for use in ("fit", "interpolation", "order", "excluded")}
    sentences = (
        f"Fitted or known: {counts['fit']} figures set a parameter or are the known point, so they prove nothing; "
        f"{counts['interpolation']} are interpolated. {counts['order']} further figures give an order only, "
        f"{counts['excluded']} are excluded for a stated reason.",
        "Where several sources show a law, what predicts one of them was fitted on the others. No chance, so no seed.",
    )
    return "\n".join(line for sentence in sentences for line in textwrap.wrap(sentence, LINE))


def _marks(ax: Axes, sections: list[Section]) -> None:
    kinds = (
        ("unused", "not used for a fit", "o", BLUE, BLUE, 4.0),
        ("fit", "set a parameter, or the known point", "o", "none", GREY, 3.5),
        ("interpolation", "interpolation", "s", "none", ORANGE, 4.0),
    )
    for line, section in enumerate(sections):
        if section.target.worst is not None:
            bound = section.target.worst * 100
            ax.fill_betweenx(
                [line - BAND, line + BAND],
                -bound,
                bound,
                color=SKY,
                alpha=0.3,
                linewidth=0,
                label="target" if section is next(s for s in sections if s.target.worst is not None) else None,
            )
            ax.vlines([-bound, bound], line - BAND, line + BAND, color=BLUE, linewidth=0.8)
        if section.median_error is not None and section.worst_error is not None:
            ax.text(
                1.01,
                line,
                f"{section.median_error * 100:.1f} / {section.worst_error * 100:.1f}",
                transform=ax.get_yaxis_transform(),
                va="center",
                color=BLACK if section.met is not False else ORANGE,
            )
    for use, label, marker, face, edge, size in kinds:
        points = [
            (error * 100, line + _spread(place, len(errors)))
            for line, section in enumerate(sections)
            for errors in [[row.error for row in section.rows if row.use == use and row.error is not None]]
            for place, error in enumerate(errors)
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            ax.plot(
                xs,
                ys,
                linestyle="none",
                marker=marker,
                markersize=size,
                markerfacecolor=face,
                markeredgecolor=edge,
                markeredgewidth=0.8,
                label=label,
            )
    ax.axvline(0, color=BLACK, linewidth=0.8)
    labels = ["\n".join(textwrap.wrap(section.title, TITLE_CHARACTERS, break_on_hyphens=False)) for section in sections]
    ax.set_yticks(range(len(sections)), labels)
    ax.set_ylim(len(sections) - 0.5, -0.9)
    ax.grid(axis="y", visible=False)
    ax.text(1.01, -0.72, "median / worst [%]", transform=ax.get_yaxis_transform(), va="center", color=GREY)
    ax.set_xlabel("(predicted - measured) / measured [%]")


def _spread(place: int, count: int) -> float:
    """Return how far from its line a mark stands, so that marks of equal error do not hide each other. [lines]"""
    return 0.0 if count < 2 else STRIP * (2 * place / (count - 1) - 1)
