"""One look for all charts: palette, type, page with title, legend and footer; how a figure becomes bytes.

The palette is Okabe and Ito's, which colour-blind readers tell apart; line styles, markers and hatches differ as well,
so that a grey print is legible.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .figure import ChartFigure

BLACK, GREY, PALE = "#000000", "#595959", "#D9D9D9"
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"

#: Width of a printed page of two columns. [inch]
PAGE_INCHES = 7.16
MARGIN_INCHES, GAP_INCHES = 0.08, 0.04
#: Smallest type. [point]
SMALL = 8
TITLE = 10
#: Decimals of the places of axes, in fractions of the figure.
PLACES = 5
#: Height of a line of text. [inch for one point]
LEADING = 1.3 / 72
TITLE_CHARACTERS = 84
SUBTITLE_CHARACTERS = 112
#: Width of a character of small type, and of everything else that an entry of a legend needs. [point]
CHARACTER_POINTS, LEGEND_POINTS = 4.5, 38.0

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "axes.labelsize": SMALL,
    "axes.titlesize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
    # Real text, that readers can search and editors change; and the same ids in every run.
    "svg.fonttype": "none",
    "svg.hashsalt": "flexvpn-sim",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in this style whatever the user's settings are, and give those back."""
    import matplotlib

    settings: Any = matplotlib.rcParams
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings.update(STYLE)
        yield


def render(figure: Figure, file_format: Literal["png", "svg"], dpi: float = 100) -> bytes:
    """Return a figure as the bytes of a file; equal figures give equal bytes."""
    buffer = BytesIO()
    with house_style():
        metadata = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=file_format, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def page(axes_inches: float, title: str, footer: str, *, subtitle: str = "") -> ChartFigure:
    """Return a figure whose axes share a room of this height; `finish` adds what stands above and below."""
    from .figure import ChartFigure

    figure = ChartFigure(figsize=(PAGE_INCHES, axes_inches), layout="constrained")
    figure.axes_inches = axes_inches
    figure.above = (_balanced(title, TITLE_CHARACTERS), "\n".join(textwrap.wrap(subtitle, SUBTITLE_CHARACTERS)))
    figure.below = footer
    return figure


def finish(figure: ChartFigure, handles: Sequence[Artist] = (), **layout: float) -> None:
    """Add title, legend and footer in strips of their own, where no data are, and fix the places of the axes.

    The solver of the layout adds its terms in an order that depends on memory addresses, so its results differ in the
    last bits from one drawing to the next; rounded, they do not.
    """
    title, subtitle = figure.above
    columns = legend_columns([str(handle.get_label()) for handle in handles])
    strips = [_lines(title) * TITLE * LEADING + GAP_INCHES, _lines(subtitle) * SMALL * LEADING]
    strips.append(math.ceil(len(handles) / columns) * (SMALL * LEADING + GAP_INCHES))
    bottom = MARGIN_INCHES + _lines(figure.below) * SMALL * LEADING + 2 * GAP_INCHES
    height = MARGIN_INCHES + sum(strips) + figure.axes_inches + bottom
    figure.set_size_inches(PAGE_INCHES, height)
    left, top = MARGIN_INCHES / PAGE_INCHES, 1 - MARGIN_INCHES / height
    figure.text(left, top, title, fontsize=TITLE, fontweight="bold", va="top", gid="title")
    figure.text(left, top - strips[0] / height, subtitle, va="top", gid="subtitle")
    figure.text(left, MARGIN_INCHES / height, figure.below, color=GREY, va="bottom", gid="footer")
    if handles:
        figure.legend(
            handles=list(handles),
            loc="upper left",
            bbox_to_anchor=(left, top - (strips[0] + strips[1]) / height),
            ncols=columns,
            borderaxespad=0.3,
            borderpad=0.0,
            handlelength=2.4,
            columnspacing=1.4,
        )
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, bottom / height, 1, figure.axes_inches / height), **layout)
    engine.execute(figure)
    figure.set_layout_engine("none")
    for ax in figure.axes:
        x, y, across, up = (round(value, PLACES) for value in ax.get_position().bounds)
        ax.set_position((x, y, across, up))


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _balanced(text: str, characters: int) -> str:
    """Return the text in as few lines as fit, about equally long."""
    lines = textwrap.wrap(text, characters)
    narrower = lines
    while len(narrower) == len(lines):
        lines, characters = narrower, characters - 1
        narrower = textwrap.wrap(text, characters)
    return "\n".join(lines)


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns of these labels fit into the width of a page.

    >>> legend_columns(["p50", "p95", "p99"]), legend_columns(["x" * 60, "y" * 60])
    (3, 1)
    """
    for rows in range(1, len(labels) + 1):
        columns = math.ceil(len(labels) / rows)
        # Columns are filled one after the other; the first ones take what is left over.
        full = len(labels) % columns or columns
        ends = [n * rows if n <= full else full * rows + (n - full) * (rows - 1) for n in range(columns + 1)]
        widest = [max(map(len, labels[a:b])) for a, b in pairwise(ends)]
        if sum(LEGEND_POINTS + CHARACTER_POINTS * characters for characters in widest) < PAGE_INCHES * 72:
            return columns
    return 1


def given_axes(ax: Axes | Sequence[Axes], counts: Sequence[int], what: str) -> list[Axes]:
    """Return the user's axes as a list. Raises InputError when their number does not fit."""
    from ...models.errors import InputError

    many: Any = [ax] if hasattr(ax, "plot") else getattr(ax, "flat", ax)
    axes: list[Axes] = list(many)
    if len(axes) not in counts:
        wanted = " or ".join(str(c) for c in counts)
        raise InputError(f"found {len(axes)} axes, {wanted} are needed: {what}", "ax")
    return axes


def own_figure(ax: Axes) -> Figure:
    """Return the figure on which the user's axes stand."""
    figure: Any = ax.get_figure()
    return figure  # type: ignore[no-any-return]


def milliseconds(value_s: float) -> str:
    """Return a duration as a label shows it.

    >>> milliseconds(0.01006), milliseconds(0.000674), milliseconds(62.1962)
    ('10.1 ms', '0.67 ms', '62.2 s')
    """
    if value_s >= 1.0:
        return f"{value_s:.3g} s"
    value_ms = value_s * 1e3
    return f"{value_ms:.3g} ms" if value_ms >= 1 else f"{value_ms:.2g} ms"


def time_unit(duration_s: float) -> tuple[float, str]:
    """Return the unit in which a run of this length is drawn: its length in seconds and its symbol."""
    if duration_s >= 7200.0:
        return 3600.0, "h"
    return (60.0, "min") if duration_s > 120.0 else (1.0, "s")
