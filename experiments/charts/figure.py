"""The figure that the charts return. The only module here that loads matplotlib: import it inside functions."""

from __future__ import annotations

from matplotlib.figure import Figure

#: Resolution in a notebook. [dots per inch]
NOTEBOOK_DPI = 110


class ChartFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    #: Height of the room for axes. [inch]
    axes_inches: float = 0.0
    #: Title and subtitle, wrapped.
    above: tuple[str, str] = ("", "")
    #: The footer, wrapped.
    below: str = ""

    def _repr_png_(self) -> bytes:
        from .style import render

        return render(self, "png", NOTEBOOK_DPI)
