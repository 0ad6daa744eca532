"""The underlay: routers, the networks between them, delay, rate and loss of each link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .footer import footer
from .selection import Row
from .style import BLACK, GREY, SKY, finish, house_style, own_figure, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

LEANING_ON = ("topology: ",)
#: More links than this are drawn without their figures.
LABELLED_LINKS = 12
SMALL_INCHES, LARGE_INCHES = 2.0, 5.5


def draw(result: Result, ax: Axes | None) -> Figure:
    """Draw the underlay; see `Plot.topology`."""
    if ax is not None:
        _draw(ax, result)
        return own_figure(ax)
    with house_style():
        routers = len(result.manifest["routers"])
        height = SMALL_INCHES if routers <= 2 else LARGE_INCHES
        figure = page(height, title(result), footer(result, LEANING_ON))
        _draw(figure.subplots(), result)
        finish(figure)
    return figure


def title(result: Result) -> str:
    """Return what is shown and how much of it is assumed."""
    links = result.manifest["topology"]["links"]
    guessed = sum(1 for link in links if _assumed(result, link))
    count = f"{guessed} of {len(links)}" if guessed else "none"
    return f"Underlay of {len(result.manifest['routers'])} routers; link delays assumed: {count} (dashed)"


def _assumed(result: Result, link: Row) -> bool:
    a, b = link["ends"]
    names = {v["name"] for v in result.manifest["values"] if v["owner"] == "topology" and v["kind"] == "assumed"}
    return any(name.endswith((f"{a} - {b}", f"{b} - {a}")) for name in names)


def _places(nodes: list[Row]) -> dict[str, tuple[float, float]]:
    """Put the networks in the middle and the routers around them; two routers left and right."""
    import networkx as nx

    routers = [n["name"] for n in nodes if n["kind"] == "router"]
    others = [n["name"] for n in nodes if n["kind"] != "router"]
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(routers)
    ring = nx.circular_layout(graph)
    # From the left on, and wider than high, as pages are.
    places = {name: (-float(xy[0]), float(xy[1])) for name, xy in ring.items()} if len(routers) > 1 else {}
    places |= {name: (-1.0, 0.0) for name in routers if name not in places}
    inner: nx.Graph[str] = nx.Graph()
    inner.add_nodes_from(others)
    middle = nx.circular_layout(inner, scale=0.35) if len(others) > 1 else dict.fromkeys(others, (0.0, 0.0))
    return places | {name: (float(xy[0]), float(xy[1])) for name, xy in middle.items()}


def _draw(ax: Axes, result: Result) -> None:
    nodes, links = result.manifest["topology"]["nodes"], result.manifest["topology"]["links"]
    places = _places(nodes)
    for link in links:
        (x0, y0), (x1, y1) = (places[end] for end in link["ends"])
        guessed = _assumed(result, link)
        ax.plot([x0, x1], [y0, y1], color=BLACK, linestyle="--" if guessed else "-", linewidth=1.2, zorder=1)
        if len(links) <= LABELLED_LINKS:
            _link_label(ax, link, ((x0 + x1) / 2, (y0 + y1) / 2), guessed)
    for node in nodes:
        router = node["kind"] == "router"
        ax.text(
            *places[node["name"]],
            _node_label(result, node),
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.5" if router else "ellipse,pad=0.5", "fc": SKY if router else "white"},
            zorder=3,
        )
    ax.set_axis_off()
    ax.set_xlim(-1.3, 1.3)
    high = max(abs(y) for _, y in places.values())
    ax.set_ylim(-high - 0.35, high + 0.35)


def _node_label(result: Result, node: Row) -> str:
    router = result.manifest["routers"].get(node["name"])
    return f"{node['name']}\n{router['hardware']}" if router else str(node["name"])


def _link_label(ax: Axes, link: Row, middle: tuple[float, float], guessed: bool) -> None:
    delay = f"{link['delay_s'] * 1e3:g} ms one way" + (" (assumed)" if guessed else "")
    if link["jitter_s"]:
        delay += f" ± {link['jitter_s'] * 1e3:g} ms"
    rate_bps = link["rate_bps"]
    rate = f"{rate_bps / 1e9:g} Gbit/s" if rate_bps >= 1e9 else f"{rate_bps / 1e6:g} Mbit/s"
    rate += f", loss {link['loss'] * 100:.3g} %" if link["loss"] else ""
    ax.text(
        *middle,
        f"{link['interface']}\n{delay}\n{rate}",
        ha="center",
        va="center",
        color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        zorder=2,
    )
