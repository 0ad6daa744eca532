"""The underlay: routers, the networks between them, delay, rate and loss of each link.

Two routers stand left and right of their network. More of them stand one above the other, with a row for each link.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ..selection import Row
from .footer import footer
from .style import BLACK, GREY, SKY, finish, house_style, own_figure, page

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Result

LEANING_ON = ("topology: ",)
#: More links than this are counted, not drawn.
MOST_LINKS = 40
#: Longer names of hardware are broken between two routers, so that they do not cover the link.
HARDWARE_CHARACTERS = 14
#: Heights of the axes for two routers, and for each link of more.
PAIR_INCHES, LINK_INCHES = 1.0, 0.21


def draw(result: Result, ax: Axes | None) -> Figure:
    """Draw the underlay; see `Plot.topology`."""
    graph = underlay(result)
    if ax is not None:
        _draw(ax, result, graph)
        return own_figure(ax)
    with house_style():
        rows = min(graph.number_of_edges(), MOST_LINKS) + len(_names(graph, routers=False)) + 1
        height = PAIR_INCHES if _is_pair(graph) else LINK_INCHES * rows
        figure = page(height, title(result), footer(result, LEANING_ON))
        _draw(figure.subplots(), result, graph)
        finish(figure)
    return figure


def underlay(result: Result) -> nx.Graph[str]:
    """Return the graph that the run used; a link knows whether its delay is ``assumed``."""
    import networkx as nx

    # Clients of a group have one delay.
    groups = {v["owner"].removeprefix("clients ") for v in result.manifest["values"] if v["name"] == "access delay"}
    guessed = {v["name"] for v in result.manifest["values"] if v["owner"] == "topology" and v["kind"] == "assumed"}
    graph: nx.Graph[str] = nx.Graph()
    for node in result.manifest["topology"]["nodes"]:
        graph.add_node(node["name"], kind=node["kind"])
    for link in result.manifest["topology"]["links"]:
        a, b = link["ends"]
        assumed = any(name.endswith((f" {a} - {b}", f" {b} - {a}")) for name in guessed)
        assumed = assumed or any(result.manifest["routers"].get(end, {}).get("clients") in groups for end in (a, b))
        graph.add_edge(a, b, **link, assumed=assumed)
    return graph


def title(result: Result) -> str:
    """Return what is shown and how much of it is assumed."""
    graph = underlay(result)
    assumed = sum(1 for _, _, link in graph.edges(data=True) if link["assumed"])
    what = f"Underlay of {len(result.manifest['routers'])} routers, {graph.number_of_edges()} links"
    return f"{what}; the delay of {assumed} of them is assumed (dashed)" if assumed else what


def _names(graph: nx.Graph[str], *, routers: bool) -> list[str]:
    return [name for name, data in graph.nodes(data=True) if (data["kind"] == "router") == routers]


def _is_pair(graph: nx.Graph[str]) -> bool:
    return len(_names(graph, routers=True)) == 2 and graph.number_of_nodes() == 3


def _draw(ax: Axes, result: Result, graph: nx.Graph[str]) -> None:
    hardware = {name: str(router["hardware"]) for name, router in result.manifest["routers"].items()}
    ax.set_axis_off()
    ax.set_xlim(-1.35, 1.35)
    if _is_pair(graph):
        _draw_pair(ax, graph, hardware)
    else:
        _draw_rows(ax, graph, hardware)


def _draw_pair(ax: Axes, graph: nx.Graph[str], hardware: dict[str, str]) -> None:
    (network,) = _names(graph, routers=False)
    _box(ax, (0.0, 0.0), network, "white")
    for x, name in zip((-1.0, 1.0), _names(graph, routers=True), strict=True):
        _box(ax, (x, 0.0), "\n".join([name, *textwrap.wrap(hardware[name], HARDWARE_CHARACTERS)]), SKY)
        if graph.has_edge(name, network):
            link: Row = graph.edges[name, network]
            _line(ax, link, (0.0, x), 0.0)
            _label(ax, "\n".join(_figures(link)), (x / 2, 0.0))
    ax.set_ylim(-0.6, 0.6)


def _draw_rows(ax: Axes, graph: nx.Graph[str], hardware: dict[str, str]) -> None:
    """Draw a row for each link, from its router to the upright line of its network."""
    networks = _names(graph, routers=False)
    bars = {name: 0.5 + 0.8 * (n + 0.5) / len(networks) for n, name in enumerate(networks)}
    links = [(router, network) for router in _names(graph, routers=True) for network in graph.neighbors(router)]
    rows: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for row, (router, network) in enumerate(links[:MOST_LINKS]):
        link: Row = graph.edges[router, network]
        _line(ax, link, (-1.0, bars[network]), -row)
        _label(ax, ", ".join(_figures(link)), (-0.1, -row))
        ax.plot([bars[network]], [-row], marker="o", markersize=4, color=BLACK)
        rows.setdefault(router, []).append(-row)
        ends.setdefault(network, []).append(-row)
    for router, own in rows.items():
        ax.plot([-1.0, -1.0], [own[0], own[-1]], color=BLACK, linewidth=1.1, zorder=1)
        _box(ax, (-1.0, sum(own) / len(own)), f"{router}, {hardware[router]}", SKY)
    for place, (network, own) in enumerate(ends.items()):
        # Names stand one above the other: the lines are too near for long ones side by side.
        ax.plot([bars[network]] * 2, [own[-1] - 0.3, place + 0.9], color=BLACK, linewidth=2.5)
        _label(ax, network, (bars[network], place + 0.9))
    if len(links) > MOST_LINKS:
        _label(ax, f"and {len(links) - MOST_LINKS} more links", (-0.1, -MOST_LINKS))
    ax.set_ylim(-min(len(links), MOST_LINKS) - 0.3, len(ends) + 0.5)


def _box(ax: Axes, place: tuple[float, float], text: str, colour: str) -> None:
    style = "round,pad=0.3" if colour == SKY else "ellipse,pad=0.4"
    ax.text(*place, text, ha="center", va="center", bbox={"boxstyle": style, "facecolor": colour}, zorder=3)


def _line(ax: Axes, link: Row, x: tuple[float, float], y: float) -> None:
    ax.plot(x, [y, y], color=BLACK, linestyle="--" if link["assumed"] else "-", linewidth=1.1, zorder=1)


def _label(ax: Axes, text: str, place: tuple[float, float]) -> None:
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    ax.text(*place, text, ha="center", va="center", color=GREY, bbox=white, zorder=2)


def _figures(link: Row) -> list[str]:
    least_ms, most_ms = link["delay_s"] * 1e3, (link["delay_s"] + link["jitter_s"]) * 1e3
    delay = f"{least_ms:g}" + (f" to {most_ms:g}" if most_ms > least_ms else "") + " ms one way"
    delay += " (assumed)" if link["assumed"] else ""
    rate_bps = link["rate_bps"]
    rate = f"{rate_bps / 1e9:g} Gbit/s" if rate_bps >= 1e9 else f"{rate_bps / 1e6:g} Mbit/s"
    rate += f", loss {link['loss'] * 100:.3g} %" if link["loss"] else ""
    return [link["interface"], delay, rate]
