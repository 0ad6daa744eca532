"""The figure that the charts return. The only module here that loads matplotlib: import it inside functions."""

from __future__ import annotations

from matplotlib.figure import Figure

#: Resolution in a notebook. [dots per inch]
NOTEBOOK_DPI = 110


class ChartFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    #: Where the strip of the legend begins, in fractions of the figure's height.
    legend_top: float = 1.0

    def _repr_png_(self) -> bytes:
        from .style import render

        return render(self, "png", NOTEBOOK_DPI)
