"""Cisco AV-pairs of FlexVPN authorization, and what they let a peer have.

Names: appendix "FlexVPN RADIUS attributes" of the FlexVPN configuration guide and facts C.11; the names of pool,
DNS, WINS, domain, netmask and banner are assumed after those of Easy VPN. A pair with a name that is not known here
travels, counts with its octets and is followed by nobody, as ``ip:inacl#1``.

What this leaves out: ``ip:interface-config``, access lists, QoS, attributes for IPv6 pools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from ..addresses import IpAddress
from ..errors import InputError, unknown_name
from ..ikev2.policy import AddressPool, AuthorizationPolicy

_Change = Callable[[AuthorizationPolicy, str, Mapping[str, AddressPool]], AuthorizationPolicy]


def rights_of(pairs: Sequence[str], pools: Mapping[str, AddressPool] | None) -> AuthorizationPolicy:
    """Return what AV-pairs say; ``pools`` are those of the router, None: any pool will do.

    Raises InputError for a pair without ``protocol:name=value``, for a value that does not parse, and for a pool that
    the router does not have.
    """
    rights = AuthorizationPolicy()
    for pair in pairs:
        name, value = split_pair(pair)
        change = _CHANGES.get(name)
        if change is None:
            continue
        try:
            rights = change(rights, value, _AnyPool() if pools is None else pools)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"AV-pair '{pair}': {error}") from None
    return rights


def split_pair(pair: str) -> tuple[str, str]:
    """Return name and value of ``protocol:name=value`` (``*`` for an optional one). Raises InputError."""
    at = min((place for mark in "=*" if (place := pair.find(mark)) > 0), default=-1)
    name, value = pair[:at].strip().lower(), pair[at + 1 :].strip()
    if at < 0 or ":" not in name or not value:
        raise InputError(f"AV-pair '{pair}': protocol:name=value is needed, such as ipsec:addr-pool=POOL")
    return name, value


class _AnyPool(dict[str, AddressPool]):
    """Stands for the pools of a router that is not known yet."""

    def __missing__(self, name: str) -> AddressPool:
        return AddressPool(IPv4Address(0), 0)


def _pool(rights: AuthorizationPolicy, value: str, pools: Mapping[str, AddressPool]) -> AuthorizationPolicy:
    try:
        return replace(rights, pool=pools[value])
    except KeyError:
        raise unknown_name("pool", value, pools, "ipsec:addr-pool") from None


def _route_set(rights: AuthorizationPolicy, value: str, _pools: Mapping[str, AddressPool]) -> AuthorizationPolicy:
    kind, _, rest = value.partition(" ")
    if kind == "interface":
        return replace(rights, announces_interface=True)
    if kind == "prefix":
        return replace(rights, routes=(*rights.routes, IPv4Network(rest.strip(), strict=False)))
    raise ValueError("'interface' or 'prefix A.B.C.D/N' is needed")


def _route_accept(rights: AuthorizationPolicy, value: str, _pools: Mapping[str, AddressPool]) -> AuthorizationPolicy:
    words = value.split()
    if words[0] not in ("any", "none"):
        raise ValueError("'any' or 'none' is needed")
    return replace(rights, accepts_routes=words[0] == "any")


def _addresses(value: str) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(word) for word in value.replace(",", " ").split())


def _dns(rights: AuthorizationPolicy, value: str, _pools: Mapping[str, AddressPool]) -> AuthorizationPolicy:
    servers: tuple[IpAddress, ...] = _addresses(value)
    return replace(rights, dns=servers)


_CHANGES: dict[str, _Change] = {
    "ipsec:addr-pool": _pool,
    "ip:addr-pool": _pool,
    "ipsec:route-set": _route_set,
    "ipsec:route-accept": _route_accept,
    "ipsec:dns-servers": _dns,
    "ipsec:wins-servers": lambda rights, value, _p: replace(rights, wins=_addresses(value)),
    "ipsec:netmask": lambda rights, value, _p: replace(rights, netmask=IPv4Address(value)),
    "ipsec:default-domain": lambda rights, value, _p: replace(rights, def_domain=value),
    "ipsec:split-dns": lambda rights, value, _p: replace(rights, split_dns=(*rights.split_dns, value)),
    "ipsec:banner": lambda rights, value, _p: replace(rights, banner=value),
}
