"""The underlay as a NetworkX graph: routers, the subnets that they share, and the internet between them.

A router whose next hop belongs to no other router hangs on the node ``internet`` by an access link. Links carry
``rate_bps``, ``delay_s`` (one way), ``jitter_s`` and ``loss`` as edge attributes.

What this leaves out: routing protocols of the underlay are not run; a protocol that covers the interface of the tunnel
source counts as a route. VRFs are told apart only by the routes that name them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING

from .addresses import IpAddress
from .errors import InputError
from .ios.config import Interface, RouterConfig, StaticRoute, StaticRouteV6
from .values import Ledger, Value

if TYPE_CHECKING:
    import networkx as nx

INTERNET = "internet"

#: One-way delay of an access link when nothing is known. The paper's routers stood on one ISP.
DEFAULT_ACCESS_DELAY = Value(
    value=0.0025, unit="s", kind="assumed", source="recollection", range=(0.00025, 0.025), note="5 ms between two sites"
)
#: One-way delay inside one subnet.
DEFAULT_SUBNET_DELAY = Value(value=0.0001, unit="s", kind="assumed", source="recollection", range=(0.00001, 0.001))

#: Longest IP packet of a link unless said otherwise: Ethernet's. [bytes]
LINK_MTU_BYTES = 1500

_NOMINAL_RATE_BPS = {
    "TenGigabitEthernet": 10e9,
    "TwentyFiveGigE": 25e9,
    "FortyGigabitEthernet": 40e9,
    "HundredGigE": 100e9,
    "GigabitEthernet": 1e9,
    "FastEthernet": 100e6,
    "Ethernet": 10e6,
    "Serial": 1.544e6,
}


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What is known of one router's access link; None: not said, a default holds."""

    delay_s: float | None = None
    jitter_s: float = 0.0
    loss: float = 0.0
    rate_bps: float | None = None
    #: A NAT stands before the router; how long its UDP mappings live, None: not said.
    nat: bool = False
    nat_timeout_s: float | None = None
    #: Longest IP packet [bytes], and whether a middlebox drops the fragments of longer ones.
    mtu_bytes: int = LINK_MTU_BYTES
    drops_fragments: bool = False
    #: ICMP "too big" of the path does not come through; packets with less jitter overtake others.
    blocks_icmp: bool = False
    reorders: bool = False


def nominal_rate_bps(interface: str) -> float:
    """Return the speed that an interface's name promises. [bit/s]; 1 Gbit/s for an unknown kind."""
    return next((rate for kind, rate in _NOMINAL_RATE_BPS.items() if interface.startswith(kind)), 1e9)


def physical_interfaces(router: RouterConfig) -> list[Interface]:
    """Return the interfaces that lead out of the router: no tunnels, templates, loopbacks or disabled ones."""
    return [
        i
        for i in router.interfaces.values()
        if own_addresses(i) and not i.shutdown and not i.is_tunnel and not i.is_virtual_template
        if not i.name.startswith("Loopback")
    ]


def own_addresses(interface: Interface) -> list[IPv4Interface | IPv6Interface]:
    """Return the addresses of an interface, IPv4 first."""
    return [*interface.addresses, *interface.addresses_v6]


def static_routes(router: RouterConfig) -> list[StaticRoute | StaticRouteV6]:
    """Return the static routes of both families."""
    return [*router.routes, *router.routes_v6]


def address_owners(routers: Sequence[RouterConfig]) -> dict[IpAddress, str]:
    """Return the router of every address outside tunnels."""
    owners: dict[IpAddress, str] = {}
    for router in routers:
        for interface in router.interfaces.values():
            if not interface.is_tunnel and not interface.is_virtual_template and not interface.shutdown:
                for address in own_addresses(interface):
                    owners[address.ip] = router.hostname
    return owners


def build_topology(
    routers: Sequence[RouterConfig], ledger: Ledger, links: Mapping[str, LinkSettings] | None = None
) -> nx.Graph[str]:
    """Return the underlay of these routers. ``links`` sets the access link of a router by its name.

    Raises InputError when ``links`` names a router that is not there.
    """
    import networkx as nx

    links = links or {}
    names = [router.hostname for router in routers]
    for name in links:
        if name not in names:
            from .errors import unknown_name

            raise unknown_name("router", name, names, "links")
    graph: nx.Graph[str] = nx.Graph()
    for router in routers:
        graph.add_node(router.hostname, kind="router")
    subnets: dict[str, list[tuple[str, Interface]]] = {}
    for router in routers:
        for interface in physical_interfaces(router):
            # Two routers on one wire are one link; which family they share does not matter.
            for address in interface.addresses or interface.addresses_v6:
                subnets.setdefault(str(address.network), []).append((router.hostname, interface))
    for subnet, members in subnets.items():
        if len({name for name, _ in members}) > 1:
            graph.add_node(subnet, kind="subnet")
            for name, interface in members:
                settings = links.get(name, LinkSettings())
                _add_link(graph, name, subnet, interface, settings, ledger, DEFAULT_SUBNET_DELAY)
        elif len(members) == 1 and _leads_out(routers, *members[0]):
            name, interface = members[0]
            graph.add_node(INTERNET, kind="internet")
            _add_link(graph, name, INTERNET, interface, links.get(name, LinkSettings()), ledger, DEFAULT_ACCESS_DELAY)
    return graph


def _add_link(
    graph: nx.Graph[str],
    router: str,
    other: str,
    interface: Interface,
    settings: LinkSettings,
    ledger: Ledger,
    default_delay: Value,
) -> None:
    if graph.has_edge(router, other):
        return
    delay_s = settings.delay_s
    if delay_s is None:
        delay_s = ledger.read("topology", f"one-way delay of the link {router} - {other}", default_delay)
    rate_bps = settings.rate_bps or nominal_rate_bps(interface.name)
    graph.add_edge(
        router,
        other,
        interface=interface.name,
        delay_s=delay_s,
        jitter_s=settings.jitter_s,
        loss=settings.loss,
        rate_bps=rate_bps,
        mtu_bytes=settings.mtu_bytes,
        drops_fragments=settings.drops_fragments,
        blocks_icmp=settings.blocks_icmp,
        reorders=settings.reorders,
    )


def _leads_out(routers: Sequence[RouterConfig], name: str, interface: Interface) -> bool:
    """Return whether an interface that shares its subnet with nobody is an access link and no LAN."""
    router = next(r for r in routers if r.hostname == name)
    networks = [a.network for a in own_addresses(interface)]
    by_route = any(
        (route.next_hop is not None and any(route.next_hop in n for n in networks)) or route.interface == interface.name
        for route in static_routes(router)
    )
    sources = {i.tunnel_source for i in router.interfaces.values() if i.tunnel_source}
    by_tunnel = interface.name in sources or any(str(a.ip) in sources for a in own_addresses(interface))
    return by_route or by_tunnel


def has_route(router: RouterConfig, destination: IpAddress, source: IpAddress) -> bool:
    """Return whether ``router`` can send to ``destination`` from its address ``source``."""
    for interface in physical_interfaces(router):
        if any(destination in address.network for address in own_addresses(interface)):
            return True
    for route in static_routes(router):
        if destination in route.prefix:
            return True
    return any(source in statement.prefix for statement in router.network_statements)


def path(graph: nx.Graph[str], source: str, target: str) -> list[str]:
    """Return the nodes of the path with the least delay. Raises InputError when there is none."""
    import networkx as nx

    if graph.has_edge(source, target) and 1 in (graph.degree[source], graph.degree[target]):
        return [source, target]
    # The search begins behind the access link: from a spoke it would look at all the others.
    first, last = source, target
    if source != target:
        first, last = _behind_access_link(graph, source), _behind_access_link(graph, target)
    try:
        nodes: list[str] = nx.shortest_path(graph, first, last, weight="delay_s")
    except (nx.NetworkXNoPath, nx.NodeNotFound):
        raise InputError(f"no link leads from {source} to {target}") from None
    return [*([source] if first != source else []), *nodes, *([target] if last != target else [])]


def _behind_access_link(graph: nx.Graph[str], node: str) -> str:
    """Return the only neighbour of a node that has one, else the node itself."""
    if node in graph and graph.degree[node] == 1:
        return next(iter(graph.adj[node]))
    return node
