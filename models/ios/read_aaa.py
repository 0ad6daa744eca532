"""The commands of AAA, RADIUS, IKEv2 authorization policies, name-manglers and address pools (facts C.11, E.2).

Ranges are those of the YANG models as far as facts C.11 and E.2 give them. What this leaves out: TACACS+ and LDAP
servers, AAA attribute lists, routes from access lists, IPv6 pools, source interfaces, load balancing.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ..aaa.settings import Method, Purpose
from .aaa_config import (
    AaaConfig,
    AuthorizationPolicyConfig,
    LocalPool,
    MethodListConfig,
    NameManglerConfig,
    RadiusServerConfig,
    ServerGroupConfig,
)
from .arguments import Arguments, NotUnderstood
from .config import Line, Profile, RouterConfig
from .modes import Mode, Section
from .read_ikev2 import PROFILE

SERVER = Mode("radius server")
GROUP = Mode("aaa group server radius")
POLICY = Mode("crypto ikev2 authorization policy")
MANGLER = Mode("crypto ikev2 name-mangler")

_METHODS = ("group", "local", "none")
#: Methods that IOS has and that ask nobody who is simulated.
_OTHER_METHODS = ("enable", "line", "local-case", "if-authenticated", "cache", "krb5", "passwd-expiry")
_FQDN_PARTS = ("all", "domain", "hostname")
_EMAIL_PARTS = ("all", "domain", "username")
_DN_PARTS = ("common-name", "organization", "organization-unit")


def _take_key(args: Arguments) -> Any:
    args.optional("0", "6", "7")
    args.word("the shared secret")
    return args.secret


# -- servers and groups ----------------------------------------------------------------------------------------


@SERVER.on("address ipv4", clears=("address", "auth_port", "acct_port"))
def _address(server: RadiusServerConfig, args: Arguments) -> None:
    server.address = args.address("server address")
    _take_options(server, args)


def _take_options(server: RadiusServerConfig, args: Arguments) -> None:
    """Take ports, timeout, retransmit and key as far as they are there."""
    while args.more:
        option = args.choice("option of a server", ("auth-port", "acct-port", "timeout", "retransmit", "key", "alias"))
        match option:
            case "auth-port":
                server.auth_port = args.number("auth-port", 0, 65535)
            case "acct-port":
                server.acct_port = args.number("acct-port", 0, 65535)
            case "timeout":
                server.timeout_s = args.number("timeout", 1, 1000)
            case "retransmit":
                server.retransmit = args.number("retransmit", 0, 100)
            case "key":
                server.key = _take_key(args)
                return
            case _:
                raise NotUnderstood


@SERVER.on("key", clears=("key",))
def _key(server: RadiusServerConfig, args: Arguments) -> None:
    server.key = _take_key(args)


@SERVER.on("timeout", clears=("timeout_s",))
def _timeout(server: RadiusServerConfig, args: Arguments) -> None:
    server.timeout_s = args.number("timeout", 1, 1000)


@SERVER.on("retransmit", clears=("retransmit",))
def _retransmit(server: RadiusServerConfig, args: Arguments) -> None:
    server.retransmit = args.number("retransmit", 0, 100)


SERVER.know("address ipv6", "automate-tester", "pac", "backoff", "non-standard")


@GROUP.on("server name", undo=True)
def _server_name(group: ServerGroupConfig, args: Arguments) -> None:
    _join(group, args.name("a server's name"), args)


@GROUP.on("server", undo=True)
def _server_address(group: ServerGroupConfig, args: Arguments) -> None:
    _join(group, str(args.address("server address")), args)


def _join(group: ServerGroupConfig, name: str, args: Arguments) -> None:
    group.servers = [kept for kept in group.servers if kept[0] != name]
    if not args.negated:
        group.servers.append((name, args.line))


@GROUP.on("server-private", undo=True)
def _server_private(group: ServerGroupConfig, args: Arguments) -> None:
    address = args.address("server address")
    name = str(address)
    group.servers = [kept for kept in group.servers if kept[0] != name]
    group.private.pop(name, None)
    if not args.negated:
        group.private[name] = RadiusServerConfig(name, args.line, address)
        _take_options(group.private[name], args)
        group.servers.append((name, args.line))


@GROUP.on("deadtime", clears=("deadtime_min",))
def _group_deadtime(group: ServerGroupConfig, args: Arguments) -> None:
    group.deadtime_min = args.number("deadtime in minutes", 0, 1440)


GROUP.accept("ip radius source-interface", "ip vrf forwarding", "vrf forwarding")
GROUP.know("load-balance", "accounting", "authorization", "attribute", "throttle")


def _radius_host(router: RouterConfig, args: Arguments) -> None:
    address = args.address("server address")
    router.aaa.servers.pop(str(address), None)
    if not args.negated:
        server = RadiusServerConfig(str(address), args.line, address)
        router.aaa.servers[server.name] = server
        _take_options(server, args)


def _on_aaa(attribute: str, what: str, low: int, high: int) -> Callable[[RouterConfig, Arguments], None]:
    """Return the handler of a global command that sets one number of AAA."""

    def handle(router: RouterConfig, args: Arguments) -> None:
        setattr(router.aaa, attribute, None if args.negated else args.number(what, low, high))

    return handle


def _radius_key(router: RouterConfig, args: Arguments) -> None:
    router.aaa.key = None if args.negated else _take_key(args)


def _dead_criteria(router: RouterConfig, args: Arguments) -> None:
    if args.negated:
        router.aaa.dead_time_s = router.aaa.dead_tries = None
        return
    while args.more:
        if args.choice("dead criterion", ("time", "tries")) == "time":
            router.aaa.dead_time_s = args.number("dead-criteria time", 1, 120)
        else:
            router.aaa.dead_tries = args.number("dead-criteria tries", 1, 100)


# -- method lists ----------------------------------------------------------------------------------------------


def _new_model(router: RouterConfig, args: Arguments) -> None:
    router.aaa.new_model = None if args.negated else args.line


def _list(purpose: Purpose) -> Callable[[RouterConfig, Arguments], None]:
    """Return the handler of a method list's line."""

    def handle(router: RouterConfig, args: Arguments) -> None:
        name = args.name("a list's name")
        if args.negated:
            router.aaa.lists.pop((purpose, name), None)
            return
        stop_only = False
        if purpose == "accounting":
            record = args.choice("kind of accounting", ("start-stop", "stop-only", "none"))
            stop_only = record == "stop-only"
            if record == "none":
                router.aaa.lists[(purpose, name)] = MethodListConfig(purpose, name, (), args.line)
                return
            args.optional("broadcast")
        router.aaa.lists[(purpose, name)] = MethodListConfig(purpose, name, _methods(args), args.line, stop_only)

    return handle


def _methods(args: Arguments) -> tuple[Method, ...]:
    methods: list[Method] = []
    while args.more or not methods:
        method = args.choice("method", (*_METHODS, *_OTHER_METHODS))
        if method in _OTHER_METHODS:
            raise NotUnderstood
        kind: Any = method
        methods.append((kind, args.name("a server group's name") if method == "group" else ""))
    return tuple(methods)


def _update(router: RouterConfig, args: Arguments) -> None:
    if args.negated:
        router.aaa.interim_min = None
        return
    args.optional("newinfo")
    if not args.optional("periodic"):
        raise NotUnderstood
    router.aaa.interim_min = args.number("accounting interval in minutes", 1, 71582)


# -- the IKEv2 profile -----------------------------------------------------------------------------------------


@PROFILE.on("keyring aaa", clears=("keyring_aaa", "keyring_aaa_line", "keyring_aaa_mangler"))
def _keyring_aaa(profile: Profile, args: Arguments) -> None:
    profile.keyring_aaa, profile.keyring_aaa_line = args.name("a AAA list's name"), args.line
    profile.keyring_aaa_mangler = args.name("a name-mangler's name") if args.optional("name-mangler") else ""


@PROFILE.on("aaa accounting", undo=True)
def _accounting(profile: Profile, args: Arguments) -> None:
    method = args.choice("peer's authentication", ("psk", "cert", "eap", "anyconnect-eap"))
    profile.accounting.pop(method, None)
    if not args.negated:
        profile.accounting[method] = (args.name("a AAA list's name"), args.line)


@PROFILE.on("aaa authentication eap", "aaa authentication anyconnect-eap", undo=True)
def _authentication(profile: Profile, args: Arguments) -> None:
    profile.authentication_eap = None if args.negated else (args.name("a AAA list's name"), args.line)


# -- authorization policies, manglers, pools -------------------------------------------------------------------


@POLICY.on("pool", clears=("pool", "pool_line"))
def _pool(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.pool, policy.pool_line = args.name("a pool's name"), args.line


@POLICY.on("netmask", clears=("netmask",))
def _netmask(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.netmask = IPv4Network((0, args.mask())).netmask


def _servers_of(attribute: str) -> Callable[[AuthorizationPolicyConfig, Arguments], None]:
    def handle(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
        found: list[IPv4Address] = []
        while args.more:
            found.append(args.address("server address"))
        if not found:
            args.address("server address")
        setattr(policy, attribute, found)

    return handle


POLICY.on("dns", clears=("dns",))(_servers_of("dns"))
POLICY.on("wins", clears=("wins",))(_servers_of("wins"))
POLICY.on("dhcp server", clears=("dhcp",))(_servers_of("dhcp"))


@POLICY.on("def-domain", clears=("def_domain",))
def _def_domain(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.def_domain = args.name("a domain")


@POLICY.on("split-dns", undo=True)
def _split_dns(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    domain = args.name("a domain")
    policy.split_dns = [kept for kept in policy.split_dns if kept != domain] + ([] if args.negated else [domain])


@POLICY.on("banner", clears=("banner",))
def _banner(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.banner = args.rest().strip("^C#\"' ")


@POLICY.on("backup-gateway", undo=True)
def _backup_gateway(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    name = args.name("a gateway")
    policy.backup_gateways = [kept for kept in policy.backup_gateways if kept != name]
    policy.backup_gateways += [] if args.negated else [name]


@POLICY.on("configuration url", clears=("config_url",))
def _config_url(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.config_url = args.word("a URL")


@POLICY.on("route set interface", undo=True)
def _route_set_interface(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.route_set_interface = not args.negated
    if args.more:
        # The address of another interface than the tunnel's own.
        raise NotUnderstood


@POLICY.on("route set local ipv4", undo=True)
def _route_set_local(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.routes = _routes(policy.routes, args)


@POLICY.on("route set remote ipv4", undo=True)
def _route_set_remote(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.remote_routes = _routes(policy.remote_routes, args)


def _routes(routes: list[IPv4Network], args: Arguments) -> list[IPv4Network]:
    network = args.network("network")
    return [kept for kept in routes if kept != network] + ([] if args.negated else [network])


@POLICY.on("route accept any", undo=True)
def _route_accept(policy: AuthorizationPolicyConfig, args: Arguments) -> None:
    policy.refuses_routes = args.negated
    while args.more:
        if args.choice("option of the routes", ("tag", "distance")) == "tag":
            policy.tag = args.number("tag", 1, 497777)
        else:
            policy.distance = args.number("distance", 1, 255)


POLICY.know("ipv6 pool", "dhcp giaddr", "dhcp timeout", "session-lifetime", "route set access-list", "pfs")
POLICY.know("include-local-lan", "aaa attribute list", "ipsec flow-limit", "subnet-acl", "route set interface ipv6")


def _mangles(kind: Any, parts: tuple[str, ...]) -> None:
    def handle(mangler: NameManglerConfig, args: Arguments) -> None:
        mangler.parts.pop(kind, None)
        if not args.negated:
            part: Any = args.choice(f"part of the {kind} identity", parts)
            mangler.parts[kind] = part

    MANGLER.on(kind, undo=True)(handle)


_mangles("fqdn", _FQDN_PARTS)
_mangles("email", _EMAIL_PARTS)
_mangles("dn", _DN_PARTS)
MANGLER.know("eap")


def _local_pool(router: RouterConfig, args: Arguments) -> None:
    name = args.name("a pool's name")
    if args.negated:
        router.aaa.pools.pop(name, None)
        return
    first = args.address("first address")
    last = args.address("last address") if args.more and args.peek()[0].isdigit() else first
    if last < first:
        raise args.error(f"pool {name} ends at {last}, before its first address {first}")
    router.aaa.pools[name] = LocalPool(name, first, int(last) - int(first) + 1, args.line)


def _section(
    mode: Mode, pattern: str, kind: Callable[[str, Line], Any], inner: Mode, store: Callable[[AaaConfig], Any]
) -> None:
    def enter(router: RouterConfig, args: Arguments) -> Section | None:
        name = args.name(f"the name of the {pattern.split()[-1]}")
        objects = store(router.aaa)
        if args.negated:
            objects.pop(name, None)
            return None
        if name not in objects:
            objects[name] = kind(name, args.line)
        return Section(inner, objects[name])

    mode.on(pattern, undo=True, strong=True)(enter)


def register(mode: Mode) -> None:
    """Add the commands of AAA to the global mode."""
    mode.on("aaa new-model", undo=True, strong=True)(_new_model)
    mode.on("aaa authentication login", undo=True, strong=True)(_list("login"))
    mode.on("aaa authorization network", undo=True, strong=True)(_list("network"))
    mode.on("aaa accounting network", undo=True, strong=True)(_list("accounting"))
    mode.on("aaa accounting update", undo=True, strong=True)(_update)
    mode.accept("aaa session-id")
    _section(mode, "radius server", RadiusServerConfig, SERVER, lambda aaa: aaa.servers)
    _section(mode, "aaa group server radius", ServerGroupConfig, GROUP, lambda aaa: aaa.groups)
    mode.on("radius-server host", undo=True, strong=True)(_radius_host)
    mode.on("radius-server key", undo=True, strong=True)(_radius_key)
    mode.on("radius-server timeout", undo=True, strong=True)(_on_aaa("timeout_s", "timeout", 1, 1000))
    mode.on("radius-server retransmit", undo=True, strong=True)(_on_aaa("retransmit", "retransmit", 0, 100))
    mode.on("radius-server deadtime", undo=True, strong=True)(_on_aaa("deadtime_min", "deadtime in minutes", 0, 1440))
    mode.on("radius-server dead-criteria", undo=True, strong=True)(_dead_criteria)
    mode.know(
        "radius-server attribute", "radius-server vsa", "radius-server source-ports", "radius-server load-balance"
    )
    _section(mode, "crypto ikev2 authorization policy", AuthorizationPolicyConfig, POLICY, lambda aaa: aaa.policies)
    _section(mode, "crypto ikev2 name-mangler", NameManglerConfig, MANGLER, lambda aaa: aaa.manglers)
    mode.on("ip local pool", undo=True, strong=True)(_local_pool)
