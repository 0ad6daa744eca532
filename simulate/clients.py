"""Remote-access clients as ends of a deployment: each has an address, an access link and hardware of its own.

A client has no configuration; what stands for one here has an interface and a default route, so that the underlay and
the reasons of tunnels that fail treat it as any other end.

What this leaves out: clients that come again after they have gone, two clients behind one NAT, IPv6 underlays.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from ..hardware.profile import HardwareProfile
from ..models.addresses import IpAddress
from ..models.errors import InputError
from ..models.ikev2.policy import EapAccount, EndpointPolicy
from ..models.implementation import ClientMethod, ImplementationProfile
from ..models.ios.config import Interface, Line, RouterConfig, StaticRoute
from ..models.ios.to_ikev2 import Translation
from ..models.remote_access import TUNNEL, UserSetUp, client_policy, identity_of, served_by, usual_method
from ..models.secret import Secret
from ..models.topology import LinkSettings, physical_interfaces
from ..models.values import RECOLLECTION, Ledger, Value

#: One-way delay and rate of a client's access when nothing is known of it.
ACCESS_DELAY = Value(value=0.015, unit="s", kind="assumed", source=RECOLLECTION, range=(0.004, 0.06))
ACCESS_RATE = Value(value=20e6, unit="bit/s", kind="assumed", source=RECOLLECTION, range=(2e6, 500e6))

_ANYWHERE = IPv4Network("0.0.0.0/0")
_INTERFACE = "Internet"


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """One client. ``group``: the entry of the scenario that it comes from. ``start_s``: when it connects. [s]

    ``method``: how it authenticates; None: in the first of its ways that its server takes.
    """

    name: str
    group: str
    server: str
    address: IPv4Address
    implementation: ImplementationProfile
    hardware: HardwareProfile
    account: EapAccount
    key: Secret
    start_s: float
    link: LinkSettings
    method: ClientMethod | None = None
    authority: str = ""
    trusts: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place in the scenario, for messages."""
        return f"clients: {self.group}"


def outside_address(config: RouterConfig) -> IPv4Address:
    """Return the address at which clients meet a router: that of the interface of its default route, else the first.

    Raises InputError for a router without an IPv4 address.
    """
    hops = [route.next_hop for route in config.routes if route.prefix == _ANYWHERE and route.next_hop is not None]
    own = [address for interface in physical_interfaces(config) for address in interface.addresses]
    if not own:
        raise InputError(f"{config.hostname} has no IPv4 address that a client could reach", config.file)
    return next((address.ip for address in own if any(hop in address.network for hop in hops)), own[0].ip)


def addresses_from(first: IPv4Address, taken: Container[IpAddress]) -> Iterator[IPv4Address]:
    """Yield addresses that no router has, beginning with ``first``."""
    address = first
    while True:
        if address not in taken:
            yield address
        address += 1


def access_of(client: ClientPlan, ledger: Ledger) -> LinkSettings:
    """Return a client's access link; what is not said of it is noted as assumed."""
    link, owner = client.link, f"clients {client.group}"
    delay_s = ledger.read(owner, "access delay", ACCESS_DELAY) if link.delay_s is None else link.delay_s
    rate_bps = ledger.read(owner, "access rate", ACCESS_RATE) if link.rate_bps is None else link.rate_bps
    return replace(link, delay_s=delay_s, rate_bps=rate_bps)


def end_of(client: ClientPlan, server: RouterConfig, policy: EndpointPolicy) -> tuple[RouterConfig, Translation]:
    """Return what stands for the configuration of a client, and what its IKEv2 is told; ``policy``: its server's.

    Raises InputError for a server that has no profile for clients.
    """
    user = client.account.user
    served = served_by(policy, identity_of(client.implementation, client.address, user))
    if served is None:
        message = f"{client.server} has no ikev2 profile with a virtual-template, which clients need"
        raise InputError(message, client.where)
    method = client.method or usual_method(client.implementation, served)
    set_up = UserSetUp(outside_address(server), client.account, client.key, client.authority, client.trusts)
    told = client_policy(client.name, client.implementation, client.address, served, method, set_up)
    line = Line(client.where, 0, client.name)
    config = RouterConfig(client.where, client.name)
    config.interfaces[_INTERFACE] = Interface(_INTERFACE, line, addresses=[IPv4Interface(client.address)])
    config.interfaces[TUNNEL] = Interface(TUNNEL, line)
    config.routes.append(StaticRoute(_ANYWHERE, None, _INTERFACE, 1, None, line))
    return config, Translation(told, (), ())
