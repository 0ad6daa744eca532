"""The remaining global commands: names, static routes, routing protocols, and the commands that IOS has besides.

What this leaves out: everything about routing protocols but their name and ``network`` statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from .arguments import Arguments, NotUnderstood, is_hole, looks_like_address, prefix_length
from .config import NetworkStatement, RouterConfig, StaticRoute, StaticRouteV6
from .modes import Mode, Section

ROUTER = Mode("router")

_PROTOCOLS = ("eigrp", "bgp", "ospf", "ospfv3", "rip", "isis", "odr", "lisp")


@dataclass(frozen=True, slots=True)
class _Process:
    """The routing process whose section is being read."""

    router: RouterConfig
    protocol: str


def _hostname(router: RouterConfig, args: Arguments) -> None:
    router.hostname, router.hostname_line = args.name("the host name"), args.line


def _version(router: RouterConfig, args: Arguments) -> None:
    router.version = args.name("the version")


def _domain_name(router: RouterConfig, args: Arguments) -> None:
    if args.optional("vrf"):
        raise NotUnderstood
    router.domain_name = args.name("the domain name")


def _ip_route(router: RouterConfig, args: Arguments) -> None:
    route = _static_route(args)
    if not args.negated:
        router.routes.append(route)
        return
    gone = (route.prefix, route.next_hop, route.interface, route.vrf)
    any_hop = route.next_hop is None and route.interface is None
    router.routes = [
        kept
        for kept in router.routes
        if (kept.prefix, kept.next_hop, kept.interface, kept.vrf) != gone
        and not (any_hop and (kept.prefix, kept.vrf) == (route.prefix, route.vrf))
    ]


def _ipv6_route(router: RouterConfig, args: Arguments) -> None:
    """Take ``PREFIX/N [IF] [NEXTHOP] ...``."""
    if args.peek().lower() == "vrf" or is_hole(args.peek()):
        raise NotUnderstood
    prefix = args.ipv6_network("destination prefix")
    interface = args.interface() if args.more and ":" not in args.peek() else None
    next_hop = args.ipv6_address("next hop") if ":" in args.peek() else None
    if next_hop is None and interface is None and not args.negated:
        raise args.error(f"'{args.line.text}' is incomplete: a next hop or an interface is missing")
    router.routes_v6 = [kept for kept in router.routes_v6 if not args.negated or kept.prefix != prefix]
    if not args.negated:
        router.routes_v6.append(StaticRouteV6(prefix, next_hop, interface, args.line))


def _static_route(args: Arguments) -> StaticRoute:
    """Take ``[vrf V] PREFIX MASK [IF] [NEXTHOP] [distance] ...``."""
    vrf = args.name("a VRF name") if args.optional("vrf") else None
    prefix = _route_prefix(args)
    interface: str | None = None
    next_hop: IPv4Address | None = None
    if args.more and not looks_like_address(args.peek()):
        if is_hole(args.peek()) or args.peek().lower() == "dhcp":
            raise NotUnderstood
        interface = args.interface()
    if args.more and looks_like_address(args.peek()):
        next_hop = args.address("next hop")
    if next_hop is None and interface is None and not args.negated:
        raise args.error(f"'{args.line.text}' is incomplete: a next hop or an interface is missing")
    distance = args.number("distance", 1, 255) if args.peek().isdigit() else 1
    return StaticRoute(prefix, next_hop, interface, distance, vrf, args.line)


def _route_prefix(args: Arguments) -> IPv4Network:
    address = args.address("destination prefix")
    length = args.mask()
    try:
        return IPv4Network((int(address), length))
    except ValueError:
        network = IPv4Network((int(address), length), strict=False)
        raise args.error(f"destination prefix '{address}' has bits outside its mask; meant is {network}") from None


def _router(router: RouterConfig, args: Arguments) -> Section | None:
    kind = args.choice("routing protocol", _PROTOCOLS)
    name = f"{kind} {args.word('a process')}" if args.more else kind
    if args.negated:
        router.routing_protocols = [kept for kept in router.routing_protocols if kept != name]
        router.network_statements = [kept for kept in router.network_statements if kept.protocol != name]
        return None
    if name not in router.routing_protocols:
        router.routing_protocols.append(name)
    return Section(ROUTER, _Process(router, name))


@ROUTER.on("network", undo=True)
def _network(process: _Process, args: Arguments) -> None:
    address = args.address("network")
    statement = NetworkStatement(process.protocol, _statement_prefix(address, args), args.line)
    others = [kept for kept in process.router.network_statements if not _same(kept, statement)]
    process.router.network_statements = others if args.negated else [*others, statement]


def _same(one: NetworkStatement, other: NetworkStatement) -> bool:
    return (one.protocol, one.prefix) == (other.protocol, other.prefix)


def _statement_prefix(address: IPv4Address, args: Arguments) -> IPv4Network:
    """Return what a ``network`` statement covers: ``A``, ``A WILDCARD`` or ``A mask MASK``.

    A mask that stands in the place of a wildcard is taken as a mask, as IOS does.
    """
    if args.optional("mask"):
        return IPv4Network((int(address), args.mask()), strict=False)
    if not looks_like_address(args.peek()):
        return IPv4Network((int(address), _classful_length(address)), strict=False)
    wildcard = int(args.address("wildcard"))
    length = prefix_length(wildcard ^ 0xFFFFFFFF)
    if length is None:
        length = prefix_length(wildcard)
    if length is None:
        raise NotUnderstood  # a wildcard with gaps is legal and is no prefix
    return IPv4Network((int(address), length), strict=False)


def _classful_length(address: IPv4Address) -> int:
    """Return the prefix length of the address's class, which EIGRP, RIP and BGP use when none is given."""
    first = int(address) >> 24
    return 8 if first < 128 else 16 if first < 192 else 24


@ROUTER.on("address-family", "af-interface", "topology", "service-family")
def _router_block(process: _Process, _: Arguments) -> Section | None:
    return Section(ROUTER, process)


ROUTER.know("neighbor", "bgp", "eigrp", "passive-interface", "redistribute", "router-id", "version", "net")
ROUTER.know("default-information", "auto-summary", "area", "distance", "maximum-paths", "template", "timers")
ROUTER.know("summary-address", "split-horizon", "next-hop-self", "hello-interval", "hold-time", "shutdown")

#: Global commands that are recognised and not modelled; a file that has none of them is no IOS configuration.
_ELSEWHERE = (
    "aaa",
    "access-list",
    "archive",
    "banner",
    "boot-start-marker",
    "boot-end-marker",
    "boot system",
    "bridge-domain",
    "call-home",
    "cdp",
    "class-map",
    "clock",
    "config-register",
    "control-plane",
    "controller",
    "enable password",
    "enable secret",
    "event manager",
    "flow exporter",
    "flow monitor",
    "flow record",
    "identity policy",
    "identity profile",
    "ip access-list",
    "ip as-path",
    "ip cef",
    "ip dhcp",
    "ip domain",
    "ip forward-protocol",
    "ip host",
    "ip http",
    "ip name-server",
    "ip nat inside",
    "ip nat pool",
    "ip prefix-list",
    "ip radius",
    "ip routing",
    "ip scp",
    "ip sla",
    "ip ssh",
    "ip tftp",
    "ip vrf",
    "ipv6 access-list",
    "ipv6 cef",
    "ipv6 router",
    "ipv6 unicast-routing",
    "key chain",
    "license",
    "lldp",
    "logging",
    "login",
    "memory",
    "monitor",
    "multilink",
    "ntp",
    "object-group",
    "parser",
    "platform",
    "policy-map",
    "radius server",
    "radius-server",
    "redundancy",
    "route-map",
    "scheduler",
    "service",
    "snmp-server",
    "spanning-tree",
    "subscriber",
    "system",
    "tacacs server",
    "tacacs-server",
    "track",
    "vlan",
    "vtp",
    "zone",
    "zone-pair",
)


def _username(router: RouterConfig, args: Arguments) -> None:
    """Take a user of the router with its password; what else is said of it is of no interest here."""
    name = args.name("a user's name")
    router.users.pop(name, None)
    if not args.negated and args.secret is not None:
        router.users[name] = args.secret
    args.rest()


def register(mode: Mode) -> None:
    """Add the remaining commands to the global mode."""
    mode.know(*_ELSEWHERE)
    mode.know("line aux", "line con", "line console", "line vty", "vrf definition", "ip access-list", strong=True)
    mode.on("hostname")(_hostname)
    mode.on("username", undo=True)(_username)
    mode.on("version", clears=("version",))(_version)
    mode.on("ip domain name", "ip domain-name", clears=("domain_name",))(_domain_name)
    mode.on("ip route", undo=True, strong=True)(_ip_route)
    mode.on("ipv6 route", undo=True)(_ipv6_route)
    mode.on("router", undo=True, strong=True)(_router)
