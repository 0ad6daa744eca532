"""Configuration payloads: addresses, name servers and routes that two ends tell each other (RFC 7296 2.19, 3.15).

An initiator asks in IKE_AUTH (CFG_REQUEST) and is answered there (CFG_REPLY). What it has to say itself, the networks
behind it, follows in an INFORMATIONAL exchange (CFG_SET, CFG_ACK), as IOS does it. A network that the peer announces
is a route through the tunnel for as long as the IKE SA and its successors live.

What this leaves out: lifetimes of addresses, INTERNAL_IP6_LINK and prefixes (RFC 5739), DNSSEC anchors (RFC 8598).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from ..addresses import IpAddress, IpNetwork
from . import work
from .events import Refusal
from .message import Exchange, Message
from .operations import InstallRoute, Operation
from .payloads import ConfigurationAttribute, ConfigurationPayload, Payload
from .policy import AddressPool, AuthorizationPolicy, IkeProfile
from .sa import IkeSa, Task
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: Attribute types by name (RFC 7296 3.15.1, RFC 8598; from 28672 on those of Cisco Unity, fact sheet A.11).
ATTRIBUTES: dict[str, int] = {
    "INTERNAL_IP4_ADDRESS": 1,
    "INTERNAL_IP4_NETMASK": 2,
    "INTERNAL_IP4_DNS": 3,
    "INTERNAL_IP4_NBNS": 4,
    "INTERNAL_IP4_DHCP": 6,
    "APPLICATION_VERSION": 7,
    "INTERNAL_IP6_ADDRESS": 8,
    "INTERNAL_IP6_DNS": 10,
    "INTERNAL_IP6_DHCP": 12,
    "INTERNAL_IP4_SUBNET": 13,
    "SUPPORTED_ATTRIBUTES": 14,
    "INTERNAL_IP6_SUBNET": 15,
    "INTERNAL_DNS_DOMAIN": 25,
    "BANNER": 28672,
    "DEF_DOMAIN": 28674,
    "SPLIT_DNS": 28675,
    "SPLIT_INCLUDE": 28676,
    "BACKUP_GATEWAY": 28681,
    "CONFIG_URL": 28692,
}
_NAMES = {number: name for name, number in ATTRIBUTES.items()}
_ADDRESS, _ADDRESS6 = ATTRIBUTES["INTERNAL_IP4_ADDRESS"], ATTRIBUTES["INTERNAL_IP6_ADDRESS"]
_SUBNETS = (ATTRIBUTES["INTERNAL_IP4_SUBNET"], ATTRIBUTES["INTERNAL_IP6_SUBNET"])
_SUPPORTED = ATTRIBUTES["SUPPORTED_ATTRIBUTES"]
#: The reply of an end that has nothing to tell.
_NOTHING = ConfigurationPayload("REPLY", ())
#: Prefix length of an address that is one client's alone.
_HOST6 = 128


def attribute(name: str, value: bytes = b"") -> ConfigurationAttribute:
    """Return an attribute of `ATTRIBUTES` with its value; without one it asks, or acknowledges."""
    return ConfigurationAttribute(name, ATTRIBUTES[name], len(value), value)


class Addresses:
    """Addresses of pools that are in use at one endpoint."""

    def __init__(self) -> None:
        self._taken: set[IpAddress] = set()
        #: No address of the pool below this number is free.
        self._lowest: dict[AddressPool, int] = {}

    def take(self, pool: AddressPool) -> IpAddress | None:
        """Return the lowest free address of a pool, or None when it is exhausted."""
        for number in range(self._lowest.get(pool, 0), pool.size):
            address = pool.first + number
            if address not in self._taken:
                self._taken.add(address)
                self._lowest[pool] = number + 1
                return address
        self._lowest[pool] = pool.size
        return None

    def release(self, address: IpAddress) -> None:
        """Give an address back."""
        self._taken.discard(address)
        for pool, lowest in self._lowest.items():
            if pool.first.version == address.version:
                number = int(address) - int(pool.first)
                if 0 <= number < lowest:
                    self._lowest[pool] = number


# -- The initiator's request and what it gets ------------------------------------------------------------------


def request(ep: Endpoint, profile: IkeProfile) -> ConfigurationPayload | None:
    """Return what an initiator asks for; None when it asks for nothing."""
    listed = ep.implementation.config_attributes() if profile.config_request else ()
    return _request(listed, profile.virtual_address, profile.virtual_address6)


@lru_cache(maxsize=256)
def _request(listed: tuple[tuple[str, int, int], ...], wants4: bool, wants6: bool) -> ConfigurationPayload | None:
    attributes = [ConfigurationAttribute(*asked) for asked in listed]
    if wants4 and not any(a.number == _ADDRESS for a in attributes):
        attributes.insert(0, attribute("INTERNAL_IP4_ADDRESS"))
    if wants6 and not any(a.number == _ADDRESS6 for a in attributes):
        attributes.append(attribute("INTERNAL_IP6_ADDRESS"))
    return ConfigurationPayload("REQUEST", tuple(attributes)) if attributes else None


def take(sa: IkeSa, reply: ConfigurationPayload) -> list[Operation]:
    """Take the addresses of a reply at once; return the work of installing the routes in it."""
    for given in reply.attributes:
        if given.number == _ADDRESS and given.value:
            sa.virtual_address = IPv4Address(given.value)
        elif given.number == _ADDRESS6 and given.value:
            sa.virtual_address6 = IPv6Address(given.value[:16])
    sa.configured = reply.attributes
    return install_operations(_acceptable(sa, reply))


def settle(ep: Endpoint, sa: IkeSa, received: ConfigurationPayload | None, now: int, *, told: bool = False) -> None:
    """IKE_AUTH is over: follow the routes of the ``received`` payload, and announce this end's own unless it was told.

    Called with the profile of the SA set. Nothing happens without an authorization policy or routes.
    """
    policy = authorization(sa)
    if policy is not None and policy.remote_routes:
        install(ep, sa, policy.remote_routes, now)
    if received is not None:
        install(ep, sa, _acceptable(sa, received), now)
    if policy is None or told or sa.profile is None or not sa.profile.sends_configuration:
        return
    if _own_networks(ep, sa, policy):
        sa.tasks.append(Task("set configuration"))


# -- The responder's reply -------------------------------------------------------------------------------------


def authorization(sa: IkeSa, profile: IkeProfile | None = None) -> AuthorizationPolicy | None:
    """Return what the peer of an SA may have: by AAA for itself, else by its ``profile`` (that of the SA)."""
    if sa.authorization is not None:
        return sa.authorization
    profile = profile or sa.profile
    return profile.authorization if profile is not None else None


def reply(ep: Endpoint, sa: IkeSa, profile: IkeProfile, asked: ConfigurationPayload) -> ConfigurationPayload | Refusal:
    """Return the responder's answer to a request: addresses of its pools and what the peer's policy has.

    The attributes stand in the order of the request; what was not asked for follows where the implementation tells it
    too. A client that wants an address and can be given none is refused (RFC 7296 3.15.4). A reply may be empty: then
    it is not sent.
    """
    policy = authorization(sa, profile)
    numbers = list(_numbers(asked.attributes))
    if policy is None and profile.pool is None and _SUPPORTED not in numbers:
        return _NOTHING
    policy = policy or AuthorizationPolicy(announces_interface=False)
    pools = {_ADDRESS: policy.pool or profile.pool, _ADDRESS6: policy.pool6}
    wanted = [number for number in numbers if pools.get(number) is not None]
    for number in wanted:
        pool = pools[number]
        address = ep.addresses.take(pool) if pool is not None else None
        if isinstance(address, IPv4Address):
            sa.virtual_address = address
        else:
            sa.virtual_address6 = address or sa.virtual_address6
    if wanted and sa.virtual_address is None and sa.virtual_address6 is None:
        return Refusal("no address left in the pool", "INTERNAL_ADDRESS_FAILURE")
    values = _values(ep, sa, profile, policy)
    if not ep.implementation.profile.answers_only_what_is_asked:
        numbers += [number for number in values if number not in numbers]
    return ConfigurationPayload(
        "REPLY", tuple(attribute(_NAMES[n], value) for n in numbers if n in values for value in values[n])
    )


@lru_cache(maxsize=256)
def _numbers(attributes: tuple[ConfigurationAttribute, ...]) -> tuple[int, ...]:
    """Return the number of each attribute once."""
    return tuple(dict.fromkeys(a.number for a in attributes))


def _values(ep: Endpoint, sa: IkeSa, profile: IkeProfile, policy: AuthorizationPolicy) -> dict[int, list[bytes]]:
    """Return the values of each attribute that this end can tell a client, by number, in a fixed order."""
    pool = policy.pool or profile.pool
    addresses = list(policy.dns) or [
        server for chosen in (pool, policy.pool6) if chosen is not None for server in chosen.name_servers
    ]
    networks = _own_networks(ep, sa, policy, profile)
    of: Callable[[Iterable[IpAddress], int], list[bytes]] = lambda some, version: [  # noqa: E731
        a.packed for a in some if a.version == version
    ]
    text: Callable[..., list[bytes]] = lambda *some: [s.encode() for s in some if s]  # noqa: E731
    found: list[tuple[str, list[bytes]]] = [
        ("INTERNAL_IP4_ADDRESS", [sa.virtual_address.packed] if sa.virtual_address is not None else []),
        (
            "INTERNAL_IP6_ADDRESS",
            [sa.virtual_address6.packed + bytes((_HOST6,))] if sa.virtual_address6 is not None else [],
        ),
        ("INTERNAL_IP4_NETMASK", [policy.netmask.packed] if policy.netmask is not None else []),
        ("INTERNAL_IP4_DNS", of(addresses, 4)),
        ("INTERNAL_IP6_DNS", of(addresses, 6)),
        ("INTERNAL_IP4_NBNS", of(policy.wins, 4)),
        ("INTERNAL_IP4_DHCP", of(policy.dhcp, 4)),
        ("INTERNAL_IP6_DHCP", of(policy.dhcp, 6)),
        ("INTERNAL_IP4_SUBNET", [network_octets(n) for n in networks if isinstance(n, IPv4Network)]),
        ("INTERNAL_IP6_SUBNET", [network_octets(n) for n in networks if isinstance(n, IPv6Network)]),
        ("BANNER", text(policy.banner)),
        ("DEF_DOMAIN", text(policy.def_domain)),
        ("INTERNAL_DNS_DOMAIN", text(policy.def_domain)),
        ("SPLIT_DNS", text(*policy.split_dns)),
        ("SPLIT_INCLUDE", [_split(n) for n in networks if isinstance(n, IPv4Network)]),
        ("BACKUP_GATEWAY", text(*policy.backup_gateways)),
        ("CONFIG_URL", text(policy.config_url)),
        ("SUPPORTED_ATTRIBUTES", [b"".join(number.to_bytes(2, "big") for number in sorted(_NAMES))]),
    ]
    values = {ATTRIBUTES[name]: value for name, value in found if value}
    if not ep.implementation.profile.answers_only_what_is_asked:
        # What only a client that knows it asks for is never told unasked.
        for name in ("INTERNAL_DNS_DOMAIN", "SPLIT_INCLUDE", "SUPPORTED_ATTRIBUTES"):
            values.pop(ATTRIBUTES[name], None)
    return values


def network_octets(network: IpNetwork) -> bytes:
    """Return the value of a SUBNET attribute: address and mask, in IPv6 address and prefix length (RFC 7296 3.15.1)."""
    if isinstance(network, IPv4Network):
        return network.network_address.packed + network.netmask.packed
    return network.network_address.packed + bytes((network.prefixlen,))


def _split(network: IPv4Network) -> bytes:
    """Return one entry of UNITY_SPLIT_INCLUDE: address, mask and six octets that are not used, 14 in all."""
    return network.network_address.packed + network.netmask.packed + bytes(6)


def networks_of(attributes: Iterable[ConfigurationAttribute]) -> tuple[IpNetwork, ...]:
    """Return the networks that SUBNET attributes name; host bits count for nothing."""
    networks: list[IpNetwork] = []
    for given in attributes:
        if given.number == _SUBNETS[0] and len(given.value) == 8:
            mask = IPv4Address(given.value[4:])
            networks.append(IPv4Network((IPv4Address(given.value[:4]), str(mask)), strict=False))
        elif given.number == _SUBNETS[1] and len(given.value) == 17:
            networks.append(IPv6Network((IPv6Address(given.value[:16]), given.value[16]), strict=False))
    return tuple(networks)


# -- Routes ----------------------------------------------------------------------------------------------------


def begin(ep: Endpoint, sa: IkeSa) -> None:
    """Announce this end's networks: CFG_SET in an INFORMATIONAL exchange."""
    policy = authorization(sa)
    if sa.state is not State.ESTABLISHED or policy is None:
        return
    names = {4: "INTERNAL_IP4_SUBNET", 6: "INTERNAL_IP6_SUBNET"}
    attributes = tuple(attribute(names[n.version], network_octets(n)) for n in _own_networks(ep, sa, policy))
    payloads: list[Payload] = [ConfigurationPayload("SET", attributes)]
    then = partial(_acknowledged, ep, sa)

    def finish(now: int) -> None:
        ep.request(sa, Exchange.INFORMATIONAL, payloads, "set configuration", then, now)

    operations = work.protect(sa, payloads[0].size)
    ep.begin(sa, sa.remote, operations, "INFORMATIONAL request (set configuration)", finish)


def _acknowledged(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    ep.begin(sa, sa.remote, work.unprotect(sa, message), "INFORMATIONAL response", lambda _now: None)


def answer(sa: IkeSa, told: ConfigurationPayload | None) -> tuple[list[Payload], tuple[IpNetwork, ...]]:
    """Return the answer to a request of INFORMATIONAL that may hold CFG_SET, and the routes to install.

    An acknowledgement names what was taken without repeating the values (RFC 7296 3.15).
    """
    if told is None or told.kind != "SET":
        return [], ()
    routes = _acceptable(sa, told)
    taken = tuple(attribute(_NAMES[a.number]) for a in told.attributes if routes and a.number in _SUBNETS)
    return [ConfigurationPayload("ACK", taken)], routes


def install_operations(routes: tuple[IpNetwork, ...]) -> list[Operation]:
    """Return the work of installing routes."""
    return [InstallRoute(len(routes))] if routes else []


def withdraw(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Take the routes of an SA away: it is closed, and no successor keeps them."""
    for route in sa.routes:
        ep.tell("route_withdrawn", sa, now, detail=f"{route} via {sa.interface}")
    sa.routes = ()


def _own_networks(
    ep: Endpoint, sa: IkeSa, policy: AuthorizationPolicy, profile: IkeProfile | None = None
) -> tuple[IpNetwork, ...]:
    """Return what this end announces: its interface's addresses (or the one that it was given), then its networks."""
    if not policy.announces_interface:
        return policy.routes
    profile = profile or sa.profile
    own: tuple[IpAddress, ...] = ()
    tunnel = sa.tunnel or ep.tunnel_of(sa)
    if tunnel is not None and (profile is None or tunnel.profile == profile.name):
        own = tunnel.inner_addresses
    elif profile is not None:
        own = ep.policy.template_addresses.get(profile.virtual_template, ())
    if sa.initiator and not own and sa.virtual_address is not None:
        own = (sa.virtual_address,)
    return (*(_host(address) for address in own), *policy.routes)


def _host(address: IpAddress) -> IpNetwork:
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)


def _acceptable(sa: IkeSa, told: ConfigurationPayload) -> tuple[IpNetwork, ...]:
    """Return the routes of a payload that this end follows: ``route accept any`` of its policy, which is needed."""
    policy = authorization(sa)
    if policy is None or not policy.accepts_routes:
        return ()
    if told.kind == "SET" and sa.profile is not None and not sa.profile.accepts_configuration:
        return ()
    return networks_of(told.attributes)


def install(ep: Endpoint, sa: IkeSa, routes: tuple[IpNetwork, ...], now: int) -> None:
    """Install routes through the tunnel, each once."""
    policy = authorization(sa)
    assert policy is not None or not routes
    for route in routes:
        if route not in sa.routes and policy is not None:
            sa.routes = (*sa.routes, route)
            distance = policy.distance
            if distance is None and ep.implementation.profile.values.route_distance is not None:
                distance = ep.implementation.count("route_distance")
            how = "" if distance is None else f" [{distance}/0]"
            ep.tell("route_installed", sa, now, detail=f"{route}{how} via {sa.interface}")
