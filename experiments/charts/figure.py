"""The figure that the charts return. The only module here that loads matplotlib: import it inside functions."""

from __future__ import annotations

from matplotlib.figure import Figure

#: Resolution in a notebook. [dots per inch]
NOTEBOOK_DPI = 110


class ChartFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    #: Bottom and top of the room for axes. [inch]
    room_inches: tuple[float, float] = (0.0, 0.0)

    def _repr_png_(self) -> bytes:
        from .style import render

        return render(self, "png", NOTEBOOK_DPI)
