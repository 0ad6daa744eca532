"""Which tunnel meets which: the two ends of every protected tunnel of a folder, and what each end uses.

A tunnel meets the router that has its destination address. There it ends on the tunnel that points back, on a
multipoint tunnel, or on the virtual-template of a profile that accepts it. What this leaves out: crypto maps, NAT (an
address that no configuration shows belongs to nobody), and NHRP (multipoint tunnels are not followed to their peers).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address

from .arguments import is_hole, looks_like_address
from .config import IdentityRule, Interface, IpsecProfile, Keyring, KeyringPeer, Profile, RouterConfig


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel. ``ipsec`` and ``profile`` are None when they are missing or keyed by IKEv1."""

    router: RouterConfig
    interface: Interface
    ipsec: IpsecProfile | None
    profile: Profile | None

    @property
    def name(self) -> str:
        """The router and the interface, for messages."""
        return f"{self.router.hostname} {self.interface.name}"


@dataclass(frozen=True, slots=True)
class Link:
    """Two ends that belong together; ``right`` may be a hub's virtual-template, then ``profiles`` are what it has."""

    left: End
    right: End
    profiles: tuple[Profile, ...]

    @property
    def to_hub(self) -> bool:
        """True when the right end is a virtual-template."""
        return self.right.interface.is_virtual_template

    def directions(self) -> list[tuple[End, End, tuple[Profile, ...]]]:
        """Return (speaker, listener, the listener's profiles) for both directions."""
        back = (self.left.profile,) if self.left.profile else ()
        return [(self.left, self.right, self.profiles), (self.right, self.left, back)]


def protected(router: RouterConfig) -> list[Interface]:
    """Return the tunnels and virtual-templates that IPsec protects and that are not shut down."""
    return [i for i in router.interfaces.values() if i.tunnel_protection and not i.shutdown]


def end_of(router: RouterConfig, interface: Interface) -> End:
    """Return the end that this interface is."""
    ipsec = ipsec_profile_of(router, interface)
    return End(router, interface, ipsec, ikev2_profile_of(router, ipsec))


def ipsec_profile_of(router: RouterConfig, interface: Interface) -> IpsecProfile | None:
    """Return the IPsec profile of a tunnel; the smart default when it is called ``default`` and was not removed."""
    name = interface.tunnel_protection or ""
    built_in = name == "default" and "ipsec profile" not in router.removed_defaults
    if name in router.ipsec_profiles or not built_in or interface.tunnel_protection_line is None:
        return router.ipsec_profiles.get(name)
    return IpsecProfile("default", interface.tunnel_protection_line)


def ikev2_profile_of(router: RouterConfig, ipsec: IpsecProfile | None) -> Profile | None:
    """Return the IKEv2 profile of an IPsec profile; ``default`` uses the profile ``default`` without being told."""
    if ipsec is None:
        return None
    if ipsec.ikev2_profile is None and ipsec.name == "default" and ipsec.isakmp_profile is None:
        return router.profiles.get("default")
    return router.profiles.get(ipsec.ikev2_profile or "")


def interface_addresses(router: RouterConfig) -> list[str]:
    """Return the addresses of the interfaces, as text."""
    found: list[str] = []
    for interface in router.interfaces.values():
        found += [str(address.ip) for address in interface.addresses]
        found += [str(address.ip) for address in interface.addresses_v6]
    return found


def known_addresses(router: RouterConfig) -> list[str]:
    """Return the addresses that the configuration shows to be the router's own, interfaces first.

    Excerpts often lack the outside interface; a tunnel's source, ``match address local`` and ``identity local
    address`` then name its address.
    """
    found = interface_addresses(router)
    sources = [interface.tunnel_source or "" for interface in router.interfaces.values()]
    found += [source for source in sources if looks_like_address(source)]
    found += [str(a) for policy in router.policies.values() for a in policy.match_address_local]
    for profile in router.profiles.values():
        found += [word for word in profile.match_address_local if looks_like_address(word)]
        if profile.identity_local is not None and profile.identity_local.kind == "address":
            found.append(profile.identity_local.value)
    return list(dict.fromkeys(found))


def source_address(router: RouterConfig, tunnel: Interface) -> str | None:
    """Return the address that a tunnel sends from; None when the configuration does not tell."""
    source = tunnel.tunnel_source or ""
    if looks_like_address(source):
        return source
    interface = router.interfaces.get(source)
    if interface is None:
        return None
    addresses = [str(a.ip) for a in interface.addresses] or [str(a.ip) for a in interface.addresses_v6]
    return addresses[0] if addresses else None


def overlay_address(router: RouterConfig, tunnel: Interface) -> tuple[str, IPv4Network] | None:
    """Return the tunnel's own IPv4 address and network, following ``ip unnumbered``."""
    interface = router.interfaces.get(tunnel.unnumbered or "") if tunnel.unnumbered else tunnel
    if interface is None or not interface.addresses:
        return None
    return str(interface.addresses[0].ip), interface.addresses[0].network


def owners(routers: list[RouterConfig]) -> dict[str, list[RouterConfig]]:
    """Return which routers have which address."""
    index: dict[str, list[RouterConfig]] = defaultdict(list)
    for router in routers:
        for address in known_addresses(router):
            index[address].append(router)
    return index


def pointed_tunnels(routers: list[RouterConfig]) -> Iterator[tuple[RouterConfig, Interface, str]]:
    """Yield every protected tunnel that has an address as its destination."""
    for router in routers:
        for interface in protected(router):
            destination = interface.tunnel_destination or ""
            if interface.is_tunnel and looks_like_address(destination):
                yield router, interface, destination


def links(routers: list[RouterConfig]) -> list[Link]:
    """Return every pair of ends once, in the order of the routers."""
    index = owners(routers)
    found: list[Link] = []
    seen: set[frozenset[tuple[int, str]]] = set()
    for router, tunnel, destination in pointed_tunnels(routers):
        left = end_of(router, tunnel)
        found_links = [_link(left, other, destination) for other in index.get(destination, []) if other is not router]
        if destination not in index:
            found_links = [_link_by_identity(left, routers, index)]
        for link in found_links:
            if link is None:
                continue
            other = link.right.router
            pair = frozenset({(id(router), tunnel.name), (id(other), link.right.interface.name)})
            if pair not in seen:
                found.append(link)
            seen.add(pair)
    return found


def unanswered(routers: list[RouterConfig]) -> Iterator[tuple[End, RouterConfig]]:
    """Yield the tunnels whose destination router has nothing that could be the other end."""
    index = owners(routers)
    for router, tunnel, destination in pointed_tunnels(routers):
        for other in index.get(destination, []):
            if other is not router and _link(end_of(router, tunnel), other, destination) is None:
                yield end_of(router, tunnel), other


def _link(left: End, other: RouterConfig, destination: str) -> Link | None:
    back = _tunnel_back(left, other) or _multipoint(other, destination)
    if back is not None:
        right = end_of(other, back)
        return Link(left, right, (right.profile,) if right.profile else ())
    return _hub_link(left, other)


def _link_by_identity(left: End, routers: list[RouterConfig], index: dict[str, list[RouterConfig]]) -> Link | None:
    """Return the link of a tunnel whose destination nobody shows to have (NAT, or an excerpt).

    The peer is then the one router that sends exactly an identity which the tunnel's profile names.
    """
    if left.profile is None:
        return None
    named = {_exact(rule) for rule in left.profile.match_identity_remote} - {None}
    others = [
        other
        for other in routers
        if other is not left.router
        and any(p.identity_local is not None and _exact(p.identity_local) in named for p in other.profiles.values())
    ]
    if len(others) != 1:
        return None
    identity = identity_sent(left)
    for tunnel in protected(others[0]):
        right = end_of(others[0], tunnel)
        to_nobody = tunnel.is_tunnel and (tunnel.tunnel_destination or "") not in index
        if to_nobody and right.profile is not None and identity is not None and accepts(right.profile, identity):
            return Link(left, right, (right.profile,))
    return _hub_link(left, others[0])


def _exact(rule: IdentityRule) -> tuple[str, str] | None:
    """Return what can be compared of an identity that names one peer; None for domains, networks and holes."""
    one = not rule.domain and rule.mask in {None, "255.255.255.255"} and rule.value not in {"", "0.0.0.0"}
    return (rule.kind, rule.value.lower()) if one and not is_hole(rule.value) else None


def _tunnel_back(left: End, other: RouterConfig) -> Interface | None:
    """Return the tunnel of ``other`` that points at the left end, the most likely one where several do."""
    own = set(known_addresses(left.router))
    source = source_address(left.router, left.interface)
    overlay = overlay_address(left.router, left.interface)

    def likeness(tunnel: Interface) -> tuple[bool, bool, bool, bool]:
        theirs = overlay_address(other, tunnel)
        same_network = overlay is not None and theirs is not None and overlay[1] == theirs[1]
        same_key = tunnel.tunnel_key == left.interface.tunnel_key
        return tunnel.tunnel_destination == source, same_key, same_network, tunnel.name == left.interface.name

    candidates = [t for t in protected(other) if t.is_tunnel and t.tunnel_destination in own]
    return max(candidates, key=likeness, default=None)


def _multipoint(other: RouterConfig, destination: str) -> Interface | None:
    for tunnel in protected(other):
        if tunnel.tunnel_mode == "gre multipoint" and source_address(other, tunnel) in {destination, None}:
            return tunnel
    return None


def _hub_link(left: End, other: RouterConfig) -> Link | None:
    """Return the link to a virtual-template: that of the first profile which does not refuse the left identity."""
    profiles = tuple(p for p in other.profiles.values() if p.virtual_template is not None and not p.shutdown)
    identity = identity_sent(left)
    willing = [p for p in profiles if identity is None or accepts(p, identity) is not False]
    for profile in [*willing, *profiles]:
        template = other.interfaces.get(f"Virtual-Template{profile.virtual_template}")
        if template is not None and not template.shutdown:
            return Link(left, End(other, template, ipsec_profile_of(other, template), profile), profiles)
    return None


def identity_sent(end: End) -> IdentityRule | None:
    """Return the identity that an end sends: as configured, else with a pre-shared key its address; None: unknown."""
    profile = end.profile
    if profile is None:
        return None
    if profile.identity_local is not None:
        return None if is_hole(profile.identity_local.value) else profile.identity_local
    address = source_address(end.router, end.interface)
    if profile.auth_local != "pre-share" or address is None:
        return None
    return IdentityRule("address", address, profile.line)


def accepts(profile: Profile, identity: IdentityRule) -> bool | None:
    """Return whether the profile matches this identity of a peer; None when that cannot be told."""
    if identity.kind == "dn" or profile.match_certificate is not None:
        return None
    rules = profile.match_identity_remote
    if any(_matches(rule, identity) for rule in rules):
        return True
    return None if any(is_hole(rule.value) for rule in rules) or not rules else False


def _matches(rule: IdentityRule, identity: IdentityRule) -> bool:
    if rule.kind == "any":
        return True
    if rule.kind != identity.kind:
        return False
    if rule.kind == "address":
        return _address_matches(rule, identity.value)
    mine, theirs = rule.value.lower(), identity.value.lower()
    return mine == theirs or (rule.domain and theirs.endswith((f".{mine}", f"@{mine}")))


def _address_matches(rule: IdentityRule, address: str) -> bool:
    if is_hole(rule.value) or is_hole(address):
        return False
    wanted, found = ip_address(rule.value), ip_address(address)
    if not isinstance(wanted, IPv4Address) or not isinstance(found, IPv4Address):
        return wanted == found
    length = rule.mask or ("0.0.0.0" if int(wanted) == 0 else "255.255.255.255")
    return found in IPv4Network((str(wanted), length), strict=False)


def select_peer(keyring: Keyring, address: str | None, identity: IdentityRule | None) -> KeyringPeer | None:
    """Return the keyring's entry for a peer: by identity, else by the longest matching address."""
    for peer in keyring.peers:
        if identity is not None and peer.identity is not None and _matches(peer.identity, identity):
            return peer
    return _peer_of_address(keyring, address) if address else None


def _peer_of_address(keyring: Keyring, address: str) -> KeyringPeer | None:
    wanted = ip_address(address)
    best: tuple[int, KeyringPeer] | None = None
    for peer in keyring.peers:
        network = peer.network if wanted.version == 4 else peer.network_v6
        if network is not None and wanted in network and (best is None or network.prefixlen > best[0]):
            best = (network.prefixlen, peer)
    return best[1] if best else None
