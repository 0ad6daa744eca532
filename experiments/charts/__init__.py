"""Charts of a result: drawn from its tables, on axes of one's own or as figures that say what they lean on.

Importing this package loads no matplotlib; nothing here uses pyplot or leaves a global setting changed. Equal results
give equal bytes with one version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..selection import check_table, session_of, set_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

#: Every chart, in the order of the study.
CHARTS = ("sequence", "latency", "throughput", "day", "topology")
#: Resolution of the files. [dots per inch]
PNG_DPI = 200


class Plot:
    """Charts of one result.

    Without ``ax`` a chart is a `Figure` of the width of a page, with a title, a legend and a footer that names the
    seed, the profiles and the assumed inputs. With ``ax`` only the data and the labels of the axes are drawn there;
    the artists carry labels, so ``ax.legend()`` works.
    """

    def __init__(self, result: Result) -> None:
        self._result = result

    def available(self) -> list[str]:
        """Return the names of the charts for which this result has data."""
        tables, manifest = self._result.tables, self._result.manifest
        has = {
            "sequence": len(tables["sessions"]) > 0 and bool(set_up(self._result, 0).messages),
            "latency": len(tables.get("latency", ())) > 0,
            "throughput": len(tables.get("throughput", ())) > 0,
            "day": len(tables["sessions"]) > 0,
            "topology": bool(manifest["topology"]["nodes"]),
        }
        return [name for name in CHARTS if has[name]]

    def sequence(self, ax: Axes | None = None, tunnel: int = 0) -> Figure:
        """Draw the messages of the set-up of a tunnel and the work behind them, time downwards.

        Raises InputError when there is no such tunnel or it sent no message.
        """
        from . import sequence

        return sequence.draw(self._result, set_up(self._result, tunnel), ax)

    def latency(self, ax: Axes | Sequence[Axes] | None = None, packets: str | None = None) -> Figure:
        """Draw the ESP latency and the loss against the offered load.

        ``packets`` chooses one packet length of the table, as ``"1400 B"``. ``ax``: one axes for each length, or
        twice as many when the loss is wanted too. Raises InputError when the result has no such data.
        """
        from . import latency

        check_table(self._result, "latency")
        return latency.draw(self._result, ax, packets)

    def throughput(self, ax: Axes | None = None) -> Figure:
        """Draw the ESP throughput by packet length. Raises InputError when the result has no such data."""
        from . import throughput

        check_table(self._result, "throughput")
        return throughput.draw(self._result, ax)

    def day(self, ax: Axes | Sequence[Axes] | None = None, tunnel: int = 0) -> Figure:
        """Draw the life of a tunnel: its SAs, its packets and their latency over the time of the run.

        ``ax``: one axes (only the SAs) or three. Raises InputError when there is no such tunnel.
        """
        from . import day

        return day.draw(self._result, session_of(self._result, tunnel), ax)

    def topology(self, ax: Axes | None = None) -> Figure:
        """Draw the underlay: routers, networks between them, delay and rate of each link."""
        from . import topology

        return topology.draw(self._result, ax)


def charts_of(result: Result) -> dict[str, bytes]:
    """Return every chart that the result has data for, as PNG and SVG, by file name."""
    from .style import render

    plot = Plot(result)
    files = {}
    for name in plot.available():
        figure = getattr(plot, name)()
        files[f"{name}.png"] = render(figure, "png", PNG_DPI)
        files[f"{name}.svg"] = render(figure, "svg")
    return files
