"""Rules about addresses and routes: MTU, duplicates, other people's addresses, what the tunnel carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address

from .config import Interface, Line, NetworkStatement, RouterConfig, StaticRoute
from .peers import links, overlay_address, protected
from .rules_registry import Finding, note, rule, warning

#: Addresses that everybody's traffic goes to.
PUBLIC_RESOLVERS = {
    "1.0.0.1": "Cloudflare",
    "1.1.1.1": "Cloudflare",
    "4.2.2.1": "Lumen",
    "4.2.2.2": "Lumen",
    "8.8.4.4": "Google",
    "8.8.8.8": "Google",
    "9.9.9.9": "Quad9",
    "149.112.112.112": "Quad9",
    "208.67.220.220": "OpenDNS",
    "208.67.222.222": "OpenDNS",
}
#: Lines that bring routes into a tunnel in ways that are not modelled: then nothing is said about missing routes.
_OTHER_ROUTING = re.compile(
    r"ipv6 ospf \S+ area|ipv6 (eigrp|router|route) |ip router |route set |route accept |redistribute |"
    r"aggregate-address |default-information |.*default-originate|ip summary-address |set reverse-route|ip policy "
)


@rule("L23")
def mtu_not_set(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A tunnel without ``ip mtu`` or without ``ip tcp adjust-mss``."""
    for router in routers:
        for interface in protected(router):
            lacking = ["ip mtu 1400"] if interface.ip_mtu is None else []
            lacking += ["ip tcp adjust-mss 1360"] if interface.adjust_mss is None else []
            if lacking and _carries_ipv4(interface):
                wanted = "' and '".join(lacking)
                message = (
                    f"large packets through {router.hostname} {interface.name} are fragmented or, where ICMP is "
                    f"filtered, vanish: write '{wanted}'"
                )
                yield warning("L23", message, interface.line)


def _carries_ipv4(interface: Interface) -> bool:
    return bool(interface.addresses or interface.address_negotiated or interface.unnumbered)


@rule("L25")
def same_overlay_address(routers: list[RouterConfig]) -> Iterator[Finding]:
    """Both ends of a tunnel have the same tunnel or loopback address."""
    seen: set[tuple[str, str, str]] = set()
    for link in links(routers):
        one, other = link.left.router, link.right.router
        mine, theirs = _overlay_addresses(one), _overlay_addresses(other)
        for address in sorted(mine.keys() & theirs.keys(), key=int):
            names = sorted((one.hostname, other.hostname))
            if (pair := (names[0], names[1], str(address))) not in seen:
                seen.add(pair)
                message = (
                    f"{one.hostname} {mine[address].name} and {other.hostname} {theirs[address].name} both have "
                    f"{address}, so each drops the other's packets as its own and router ids collide: change one"
                )
                yield warning("L25", message, mine[address].address_line, theirs[address].address_line)


def _overlay_addresses(router: RouterConfig) -> dict[IPv4Address, Interface]:
    found: dict[IPv4Address, Interface] = {}
    for interface in router.interfaces.values():
        if _is_overlay(interface) and not interface.shutdown:
            found.update({address.ip: interface for address in interface.addresses})
    return found


def _is_overlay(interface: Interface) -> bool:
    return interface.is_tunnel or interface.is_virtual_template or interface.name.startswith("Loopback")


@rule("L26")
def no_lan_in_the_tunnel(routers: list[RouterConfig]) -> Iterator[Finding]:
    """No LAN prefix is routed into the tunnel."""
    for router in routers:
        tunnels = [i for i in protected(router) if i.is_tunnel and i.tunnel_mode != "gre multipoint"]
        if not tunnels or any(_OTHER_ROUTING.match(line.text) for line in router.unknown_lines):
            continue
        statements = router.network_statements
        if any(_routes_into_tunnel(router, route) for route in router.routes) or _announces_lan(router, statements):
            continue
        message = (
            f"no LAN prefix of {router.hostname} goes through {tunnels[0].name}: its LAN traffic leaves in the clear "
            "or is dropped; route the LANs into the tunnel, or add them to the routing protocol"
        )
        if statements:
            prefixes = ", ".join(str(statement.prefix) for statement in statements)
            message = f"the routing protocol announces only {prefixes}, and " + message
        yield warning("L26", message, *(statement.line for statement in statements), tunnels[0].line)


def _routes_into_tunnel(router: RouterConfig, route: StaticRoute) -> bool:
    """Return True for a static route by a tunnel, or by a next hop on a tunnel's network."""
    for interface in router.interfaces.values():
        if not interface.is_tunnel:
            continue
        overlay = overlay_address(router, interface)
        if route.interface == interface.name:
            return True
        if route.next_hop is not None and overlay is not None and route.next_hop in overlay[1]:
            return True
    return False


def _announces_lan(router: RouterConfig, statements: list[NetworkStatement]) -> bool:
    """Return True when a statement covers an inside interface, or a network that is on no interface shown."""
    outside = {i.tunnel_source for i in router.interfaces.values()}
    for statement in statements:
        covered = [i for i in router.interfaces.values() if any(a.ip in statement.prefix for a in i.addresses)]
        if not covered or any(not _is_overlay(i) and i.name not in outside for i in covered):
            return True
    return False


@rule("L27")
def public_overlay_address(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A tunnel or loopback address that belongs to somebody on the Internet."""
    for router in routers:
        for address, interface in _overlay_addresses(router).items():
            if not address.is_global:
                continue
            owner = PUBLIC_RESOLVERS.get(str(address))
            whose = f"a public resolver's address ({owner})" if owner else "in public address space"
            message = (
                f"{address} of {router.hostname} {interface.name} is {whose}: unless it is yours, traffic to its owner "
                "is captured here; take a private address, such as 10.255.0.1"
            )
            yield warning("L27", message, interface.address_line)


@rule("L28")
def next_hop_out_of_reach(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A static route whose next hop is on no connected network, or is no host of it."""
    for router in routers:
        for route in router.routes:
            fault = _next_hop_fault(router, route)
            if fault:
                message = (
                    f"{router.hostname} cannot use the route to {route.prefix}, for its next hop {route.next_hop} "
                    f"{fault}: correct the next hop or the interface's address"
                )
                yield warning("L28", message, route.line)


def _next_hop_fault(router: RouterConfig, route: StaticRoute) -> str:
    """Return what is wrong with a next hop; empty when nothing is, or when the interfaces are not all known."""
    hop = route.next_hop
    if hop is None or route.interface is not None:
        return ""
    connected = [i for i in router.interfaces.values() if i.vrf == route.vrf]
    if any(i.address_dhcp or i.address_negotiated for i in connected) or not any(
        i.addresses for i in router.interfaces.values()
    ):
        return ""
    for address in (address for interface in connected for address in interface.addresses):
        if hop in address.network:
            if hop == address.ip:
                return "is the router's own address"
            edge = hop in {address.network.network_address, address.network.broadcast_address}
            return f"is no host of {address.network}" if edge and address.network.prefixlen < 31 else ""
    recursive = any(hop in other.prefix and other.prefix.prefixlen > 0 for other in router.routes if other is not route)
    where = f"VRF {route.vrf}" if route.vrf else "the global table"
    return "" if recursive else f"is on no connected network of {where}"


@rule("L40")
def mask_in_place_of_wildcard(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A ``network`` statement of OSPF or EIGRP with a mask where a wildcard belongs."""
    for router in routers:
        for statement in router.network_statements:
            if _ends_in_mask(statement.line):
                message = (
                    f"a wildcard belongs behind the address, and this is a mask, which {router.hostname} may read "
                    f"otherwise than meant: write '{statement.prefix.hostmask}'"
                )
                yield note("L40", message, statement.line)


def _ends_in_mask(line: Line) -> bool:
    words = line.text.split()
    return len(words) > 2 and words[2].startswith("255.") and words[2] != "255.255.255.255"
