"""What a configuration says about AAA: servers, groups, method lists, authorization policies, pools, name-manglers."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Literal

from ..aaa.settings import Method, Purpose
from ..ikev2.aaa import NamePart
from ..secret import Secret

if TYPE_CHECKING:
    from .config import Line


@dataclass(slots=True)
class RadiusServerConfig:
    """``radius server NAME``; ``radius-server host ADDRESS`` makes one that is called after its address."""

    name: str
    line: Line
    address: IPv4Address | None = None
    auth_port: int | None = None
    acct_port: int | None = None
    key: Secret | None = None
    timeout_s: int | None = None
    retransmit: int | None = None


@dataclass(slots=True)
class ServerGroupConfig:
    """``aaa group server radius NAME``: names or addresses of servers with the lines that name them."""

    name: str
    line: Line
    servers: list[tuple[str, Line]] = field(default_factory=list)
    #: ``server-private``: servers of this group alone.
    private: dict[str, RadiusServerConfig] = field(default_factory=dict)
    deadtime_min: int | None = None


@dataclass(frozen=True, slots=True)
class MethodListConfig:
    """``aaa authentication|authorization|accounting ... NAME METHOD...``."""

    purpose: Purpose
    name: str
    methods: tuple[Method, ...]
    line: Line
    stop_only: bool = False


@dataclass(slots=True)
class AuthorizationPolicyConfig:
    """``crypto ikev2 authorization policy NAME``."""

    name: str
    line: Line
    pool: str | None = None
    pool_line: Line | None = None
    netmask: IPv4Address | None = None
    dns: list[IPv4Address] = field(default_factory=list)
    wins: list[IPv4Address] = field(default_factory=list)
    dhcp: list[IPv4Address] = field(default_factory=list)
    def_domain: str = ""
    split_dns: list[str] = field(default_factory=list)
    banner: str = ""
    backup_gateways: list[str] = field(default_factory=list)
    config_url: str = ""
    route_set_interface: bool = False
    routes: list[IPv4Network] = field(default_factory=list)
    remote_routes: list[IPv4Network] = field(default_factory=list)
    #: ``no route accept any``.
    refuses_routes: bool = False
    distance: int | None = None
    tag: int | None = None


@dataclass(frozen=True, slots=True)
class LocalPool:
    """``ip local pool NAME FIRST [LAST]``."""

    name: str
    first: IPv4Address
    size: int
    line: Line


@dataclass(slots=True)
class NameManglerConfig:
    """``crypto ikev2 name-mangler NAME``: the part of an identity that makes the name, by the identity's kind."""

    name: str
    line: Line
    parts: dict[Literal["fqdn", "email", "dn"], NamePart] = field(default_factory=dict)


@dataclass(slots=True)
class AaaConfig:
    """Everything of AAA in one configuration. ``None``: the default of IOS. Times as IOS writes them: s, min."""

    new_model: Line | None = None
    servers: dict[str, RadiusServerConfig] = field(default_factory=dict)
    groups: dict[str, ServerGroupConfig] = field(default_factory=dict)
    lists: dict[tuple[Purpose, str], MethodListConfig] = field(default_factory=dict)
    key: Secret | None = None
    timeout_s: int | None = None
    retransmit: int | None = None
    deadtime_min: int | None = None
    dead_tries: int | None = None
    dead_time_s: int | None = None
    interim_min: int | None = None
    policies: dict[str, AuthorizationPolicyConfig] = field(default_factory=dict)
    pools: dict[str, LocalPool] = field(default_factory=dict)
    manglers: dict[str, NameManglerConfig] = field(default_factory=dict)
