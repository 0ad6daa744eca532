"""From the AAA lines of a configuration to what its AAA and its IKEv2 profiles are told.

A list ``default`` that no line defines is the router's own (``local``), as the group ``radius`` is every server. What
is named and does not exist is an `InputError` at the line that names it; only of a configuration without
``aaa new-model``, whose AAA lines were left out, authorization lists count as local ones. A profile whose lists are
all local and whose names are fixed needs no question: its authorization policy is known beforehand.

What this leaves out: the contents of the built-in authorization policy ``default`` where it is not configured
(``route set interface``, ``route accept any``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..aaa.settings import (
    ACCT_PORT,
    AUTH_PORT,
    DEAD_TIME,
    DEAD_TRIES,
    DEADTIME,
    RETRANSMIT,
    TIMEOUT,
    AaaSettings,
    MethodList,
    Purpose,
    RadiusServer,
    ServerGroup,
    note_defaults,
)
from ..errors import InputError, unknown_name
from ..ikev2.aaa import Authorisation, Lookup, NameMangler, PeerMethod, ProfileAaa
from ..ikev2.authorisation import merge
from ..ikev2.policy import AddressPool, AuthorizationPolicy
from ..values import Ledger
from .aaa_config import AuthorizationPolicyConfig, MethodListConfig, RadiusServerConfig
from .config import Authorization, Line, Profile, RouterConfig
from .identities import SIGNATURE_KEYS, where

#: The group of every server, and the list and authorization policy that exist without a line.
_EVERY_SERVER, _DEFAULT = "radius", "default"
_S_PER_MIN = 60
_EAP_METHODS = frozenset({"eap", "anyconnect-eap"})


# -- the router ------------------------------------------------------------------------------------------------


def aaa_settings(config: RouterConfig, profiles: Iterable[ProfileAaa], ledger: Ledger) -> AaaSettings | None:
    """Return what a router's AAA is told for the lists that its profiles use, None where they use none.

    Defaults of IOS that it leans on are noted. Raises InputError.
    """
    used = list(dict.fromkeys(key for profile in profiles for key in _lists_of(profile)))
    if not used:
        return None
    aaa = config.aaa
    found = {key: aaa.lists[key] for key in used if key in aaa.lists}
    lists = {key: MethodList(one.purpose, one.name, one.methods, one.stop_only) for key, one in found.items()}
    for key in used:
        lists.setdefault(key, MethodList(*key, (("local", ""),)))
    named = {group: one.line for one in found.values() for kind, group in one.methods if kind == "group"}
    groups = {name: server_group(config, name, line) for name, line in named.items()}
    policies = {_DEFAULT: AuthorizationPolicy(_DEFAULT)}
    if any(kind == "local" for one in lists.values() for kind, _ in one.methods):
        policies |= {name: authorization_policy(config, policy) for name, policy in aaa.policies.items()}
    servers = [_server_config(config, member, line) for name in named for member, line in _members(config, name)]
    note_defaults(
        ledger,
        config.hostname,
        {
            "RADIUS timeout": aaa.timeout_s is None and any(s.timeout_s is None for s in servers),
            "RADIUS retransmit": aaa.retransmit is None and any(s.retransmit is None for s in servers),
            "RADIUS deadtime": any(_deadtime_min(config, name) is None for name in named),
            "RADIUS dead-criteria tries": bool(groups) and aaa.dead_tries is None,
            "RADIUS dead-criteria time": bool(groups) and aaa.dead_time_s is None,
        },
    )
    return AaaSettings(
        groups,
        policies,
        {name: AddressPool(pool.first, pool.size) for name, pool in aaa.pools.items()},
        lists,
        int(DEAD_TRIES.value) if aaa.dead_tries is None else aaa.dead_tries,
        DEAD_TIME.value if aaa.dead_time_s is None else aaa.dead_time_s,
        (aaa.interim_min or 0) * _S_PER_MIN,
        dict(config.users),
    )


def _lists_of(profile: ProfileAaa) -> list[tuple[Purpose, str]]:
    lookups = [profile.keys, *(one.lookup for one in profile.authorisations)]
    names: list[tuple[Purpose, str]] = [("network", lookup.aaa_list) for lookup in lookups if lookup is not None]
    names += [("accounting", name) for _, name in profile.accounting]
    return names + ([("login", profile.eap)] if profile.eap else [])


def server_group(config: RouterConfig, name: str, line: Line) -> ServerGroup:
    """Return a group by its name with its servers. Raises InputError at the ``line`` that names it."""
    group = config.aaa.groups.get(name)
    if group is None and name != _EVERY_SERVER:
        raise unknown_name("server group", name, [*config.aaa.groups, _EVERY_SERVER], where(line))
    members = _members(config, name)
    if not members:
        raise InputError(f"server group {name} has no server; write 'server name ...' in it", where(line))
    minutes = _deadtime_min(config, name)
    deadtime_s = DEADTIME.value if minutes is None else minutes * _S_PER_MIN
    return ServerGroup(name, tuple(_server(config, member, place) for member, place in members), deadtime_s)


def _deadtime_min(config: RouterConfig, name: str) -> int | None:
    group = config.aaa.groups.get(name)
    return config.aaa.deadtime_min if group is None or group.deadtime_min is None else group.deadtime_min


def _members(config: RouterConfig, name: str) -> list[tuple[str, Line]]:
    group = config.aaa.groups.get(name)
    return group.servers if group is not None else [(s.name, s.line) for s in config.aaa.servers.values()]


def _server_config(config: RouterConfig, name: str, line: Line) -> RadiusServerConfig:
    """Return a server by its name or address: that of a group alone, else one of all. Raises InputError."""
    for group in config.aaa.groups.values():
        if (name, line) in group.servers and name in group.private:
            return group.private[name]
    servers = config.aaa.servers
    found = servers.get(name) or next((s for s in servers.values() if str(s.address) == name), None)
    if found is None:
        raise unknown_name("radius server", name, servers, where(line))
    return found


def _server(config: RouterConfig, name: str, line: Line) -> RadiusServer:
    said = _server_config(config, name, line)
    if said.address is None:
        raise InputError(f"radius server {name} has no address; write 'address ipv4 ...' in it", where(said.line))
    aaa = config.aaa
    timeout_s = said.timeout_s if said.timeout_s is not None else aaa.timeout_s
    retransmit = said.retransmit if said.retransmit is not None else aaa.retransmit
    return RadiusServer(
        said.name,
        said.address,
        said.key or aaa.key,
        AUTH_PORT if said.auth_port is None else said.auth_port,
        ACCT_PORT if said.acct_port is None else said.acct_port,
        TIMEOUT.value if timeout_s is None else timeout_s,
        int(RETRANSMIT.value) if retransmit is None else retransmit,
    )


def authorization_policy(config: RouterConfig, policy: AuthorizationPolicyConfig) -> AuthorizationPolicy:
    """Return an authorization policy with its pool; one without addresses where the pool does not exist."""
    pool = None
    if policy.pool is not None:
        found = config.aaa.pools.get(policy.pool)
        pool = AddressPool(found.first, found.size) if found is not None else None
    return AuthorizationPolicy(
        policy.name,
        pool,
        netmask=policy.netmask,
        dns=tuple(policy.dns),
        wins=tuple(policy.wins),
        dhcp=tuple(policy.dhcp),
        def_domain=policy.def_domain,
        split_dns=tuple(policy.split_dns),
        banner=policy.banner,
        backup_gateways=tuple(policy.backup_gateways),
        config_url=policy.config_url,
        routes=tuple(policy.routes),
        announces_interface=policy.route_set_interface,
        remote_routes=tuple(policy.remote_routes),
        accepts_routes=not policy.refuses_routes,
        distance=policy.distance,
        tag=1 if policy.tag is None else policy.tag,
    )


# -- a profile -------------------------------------------------------------------------------------------------


def profile_aaa(config: RouterConfig, profile: Profile) -> tuple[ProfileAaa | None, AuthorizationPolicy | None]:
    """Return what a profile asks AAA servers, and the authorization policy that it has without asking.

    Raises InputError for a list, group, server, authorization policy, pool or name-mangler that does not exist.
    """
    for _, error in faults(config, profile):
        raise error
    methods = _peer_methods(profile)
    authorizations = [a for a in profile.authorizations if a.method in methods]
    keys = None
    if profile.keyring_aaa is not None:
        line = profile.keyring_aaa_line or profile.line
        keys = Lookup(profile.keyring_aaa, "", _mangler(config, profile.keyring_aaa_mangler, line), str(line))
    accounting = {
        _kind(method): name
        for method, (name, line) in profile.accounting.items()
        if method in methods and _list(config, "accounting", name, line).methods
    }
    eap = ""
    if profile.authentication_eap is not None and methods & _EAP_METHODS:
        eap = profile.authentication_eap[0]
    asked: tuple[Authorisation, ...] = ()
    own = None
    if all(_is_known(config, one) for one in authorizations):
        own = _own(config, authorizations)
    else:
        asked = tuple(_authorisation(config, one) for one in authorizations)
    if keys is None and not asked and not accounting and not eap:
        return None, own
    return ProfileAaa(keys, asked, tuple(accounting.items()), eap), own


def faults(config: RouterConfig, profile: Profile) -> Iterator[tuple[Line, InputError]]:
    """Yield what the AAA lines of a profile name and what does not exist, with the line at fault."""
    methods = _peer_methods(profile)
    checks: list[tuple[Line, Callable[[], object]]] = [
        (one.line, partial(_check, config, one)) for one in profile.authorizations if one.method in methods
    ]
    if profile.keyring_aaa is not None:
        line = profile.keyring_aaa_line or profile.line
        checks.append((line, partial(_list, config, "network", profile.keyring_aaa, line)))
        checks.append((line, partial(_mangler, config, profile.keyring_aaa_mangler, line)))
    for method, (name, line) in profile.accounting.items():
        if method in methods:
            checks.append((line, partial(_list, config, "accounting", name, line)))
    if profile.authentication_eap is not None and methods & _EAP_METHODS:
        name, line = profile.authentication_eap
        checks.append((line, partial(_list, config, "login", name, line)))
    for line, check in checks:
        try:
            check()
        except InputError as error:
            yield line, error


def _kind(method: str) -> PeerMethod:
    """Return how a peer is authenticated that the AAA lines call by this method."""
    kinds: dict[str, PeerMethod] = {"psk": "psk", "cert": "cert"}
    return kinds.get(method, "eap")


def _peer_methods(profile: Profile) -> frozenset[str]:
    """Return the methods of the peer as the AAA lines name them."""
    return frozenset(
        "cert" if method in SIGNATURE_KEYS else {"pre-share": "psk"}.get(method, method)
        for method in profile.auth_remote
    )


def _list(config: RouterConfig, purpose: Purpose, name: str, line: Line) -> MethodListConfig:
    """Return a method list; its groups are there. Raises InputError."""
    found = config.aaa.lists.get((purpose, name))
    if found is None:
        if name == _DEFAULT and purpose == "network":
            return MethodListConfig(purpose, name, (("local", ""),), line)
        command = {"login": "authentication login", "network": "authorization network"}
        known = [other for kind, other in config.aaa.lists if kind == purpose]
        if known:
            raise unknown_name(f"AAA {purpose} list", name, known, where(line))
        line_for_it = f"aaa {command.get(purpose, 'accounting network')} {name}"
        raise InputError(f"unknown AAA {purpose} list '{name}': {config.file} has no '{line_for_it} ...'", where(line))
    for kind, group in found.methods:
        if kind == "group":
            server_group(config, group, found.line)
    return found


def is_excerpt(config: RouterConfig) -> bool:
    """Return whether the AAA lines of a configuration are left out: IOS takes none of a profile without this one."""
    return config.aaa.new_model is None


def _rights_list(config: RouterConfig, name: str, line: Line) -> MethodListConfig:
    """Return a list of a profile's authorization; one that an excerpt leaves out is taken for the router's own."""
    if is_excerpt(config) and ("network", name) not in config.aaa.lists:
        return MethodListConfig("network", name, (("local", ""),), line)
    return _list(config, "network", name, line)


def _check(config: RouterConfig, one: Authorization) -> None:
    if one.mangler:
        _mangler(config, one.mangler, one.line)
    if not one.aaa_list:
        return
    methods = _rights_list(config, one.aaa_list, one.line).methods
    named = one.name in (*config.aaa.policies, _DEFAULT, "")
    if methods == (("local", ""),) and not named and not is_excerpt(config):
        names = [*config.aaa.policies, _DEFAULT]
        raise unknown_name("crypto ikev2 authorization policy", one.name, names, where(one.line))


def _mangler(config: RouterConfig, name: str, line: Line) -> NameMangler | None:
    if not name:
        return None
    if name not in config.aaa.manglers:
        raise unknown_name("crypto ikev2 name-mangler", name, config.aaa.manglers, where(line))
    return NameMangler(name, tuple(config.aaa.manglers[name].parts.items()))


def _is_known(config: RouterConfig, one: Authorization) -> bool:
    """Return whether a look-up needs no question: the router's own list and a fixed name."""
    if not one.aaa_list:
        return False
    methods = _rights_list(config, one.aaa_list, one.line).methods
    return methods == (("local", ""),) and (bool(one.name) or is_excerpt(config))


def _own(config: RouterConfig, authorizations: list[Authorization]) -> AuthorizationPolicy | None:
    """Return the router's own policies together: the user's over the group's, the overriding one last."""
    merged = None
    for one in sorted(authorizations, key=lambda a: (a.override, a.scope == "user")):
        if one.name in config.aaa.policies:
            policy = authorization_policy(config, config.aaa.policies[one.name])
            merged = policy if merged is None else merge(merged, policy)
    return merged


def _authorisation(config: RouterConfig, one: Authorization) -> Authorisation:
    method = _kind(one.method)
    if not one.aaa_list:
        return Authorisation(one.scope, method, None, one.override)
    lookup = Lookup(one.aaa_list, one.name, _mangler(config, one.mangler, one.line), str(one.line))
    return Authorisation(one.scope, method, lookup, one.override)
