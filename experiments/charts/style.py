"""One look for all charts: palette, type, page with title, legend and footer, and how a figure becomes bytes.

The palette is Okabe and Ito's, which colour-blind readers tell apart; line styles, markers and hatches differ as well,
so that a grey print is legible.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
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
MARGIN_INCHES = 0.08
#: Smallest type. [point]
SMALL = 8
TITLE = 10
#: Height of a line of text. [inch for one point]
LEADING = 1.3 / 72
TITLE_CHARACTERS = 84
SUBTITLE_CHARACTERS = 112

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

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def render(figure: Figure, file_format: Literal["png", "svg"], dpi: float = 100) -> bytes:
    """Return a figure as the bytes of a file; equal figures give equal bytes."""
    buffer = BytesIO()
    with house_style():
        metadata = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=file_format, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def page(
    height_inches: float, title: str, footer: str, *, subtitle: str = "", legend_rows: int = 0, **layout: float
) -> ChartFigure:
    """Return a figure with its title and footer; the axes that are added share the room between them.

    ``legend_rows`` lines are kept free beneath the title, for `legend`.
    """
    from .figure import ChartFigure

    figure = ChartFigure(figsize=(PAGE_INCHES, height_inches), layout="constrained")
    titles = "\n".join(textwrap.wrap(title, TITLE_CHARACTERS))
    subtitles = "\n".join(textwrap.wrap(subtitle, SUBTITLE_CHARACTERS))
    left = MARGIN_INCHES / PAGE_INCHES
    top = height_inches - MARGIN_INCHES
    figure.text(left, top / height_inches, titles, fontsize=TITLE, fontweight="bold", va="top", gid="title")
    top -= (titles.count("\n") + 1) * TITLE * LEADING + 0.03
    if subtitles:
        figure.text(left, top / height_inches, subtitles, fontsize=SMALL, va="top", gid="subtitle")
        top -= (subtitles.count("\n") + 1) * SMALL * LEADING
    figure.legend_top = top / height_inches
    top -= legend_rows * (SMALL * LEADING + 0.05)
    bottom = MARGIN_INCHES
    figure.text(left, bottom / height_inches, footer, fontsize=SMALL, color=GREY, va="bottom", gid="footer")
    bottom += (footer.count("\n") + 1) * SMALL * LEADING + 0.06
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, bottom / height_inches, 1, (top - bottom) / height_inches), **layout)
    return figure


def legend(figure: ChartFigure, handles: Sequence[Artist], columns: int) -> None:
    """Put the legend into the strip beneath the title, where no data are."""
    figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(MARGIN_INCHES / PAGE_INCHES, figure.legend_top),
        ncols=columns,
        borderaxespad=0.3,
        borderpad=0.0,
        handlelength=2.4,
        columnspacing=1.4,
    )


def given_axes(ax: Axes | Sequence[Axes], counts: Sequence[int], what: str) -> list[Axes]:
    """Return the user's axes as a list. Raises InputError when their number does not fit."""
    from ...models.errors import InputError

    flat: Any = getattr(ax, "flat", ax)
    axes: list[Axes] = [ax] if hasattr(ax, "plot") else list(flat)
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
