"""From an IOS configuration to the policy of an IKEv2 endpoint, with the defaults of the implementation.

What this leaves out is refused, tunnel by tunnel, with the line that asks for it: EAP without anybody who knows the
users, keys from AAA for an initiator, IKEv1, IPv6 transport, crypto maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_address

from ..addresses import IpAddress
from ..algorithms import ENCRYPTIONS, INTEGRITIES, PRFS
from ..errors import InputError, unknown_name
from ..ikev2.identity import Identity, IdentityMatch
from ..ikev2.payloads import ANY_IPV4, ANY_IPV6, Selector
from ..ikev2.policy import (
    PRE_SHARED,
    Authentication,
    AuthMethod,
    ChildPolicy,
    DpdPolicy,
    EapAccount,
    EndpointPolicy,
    IkePolicy,
    IkeProfile,
    KeyEntry,
    TunnelPolicy,
)
from ..ikev2.proposals import EspProposal, IkeProposal
from ..implementation import Implementation
from ..secret import Secret
from ..values import Ledger
from .certificates import Certificates, revocation, trusted
from .config import Interface, IpsecProfile, KeyringPeer, Line, Profile, RouterConfig
from .identities import SIGNATURE_KEYS, accepted, local_identity, source_address, where
from .read_gateway import MAX_REDIRECTS
from .to_aaa import profile_aaa
from .to_ppk import ppks

#: IP protocol number of GRE; a GRE tunnel protects exactly that between its end points (fact sheet A.10).
GRE_PROTOCOL = 47


#: Methods of EAP by which a profile lets in clients. What the RADIUS server behind ``eap`` asks for is not in any
#: configuration: the method that every client has is taken.
REMOTE_EAP: dict[str, AuthMethod] = {"eap": "eap-mschapv2", "anyconnect-eap": "anyconnect-eap"}
#: Methods by which a router that begins proves itself; without one it takes any, and servers begin with MSCHAPv2.
LOCAL_EAP: dict[str, AuthMethod] = {"gtc": "eap-gtc", "md5": "eap-md5", "mschapv2": "eap-mschapv2", "": "eap-mschapv2"}


GRE_MODES = ("gre ip", "gre ipv6")
#: IP versions below a tunnel of each mode.
_UNDERLAYS: dict[str, tuple[int, ...]] = {
    "gre ip": (4,),
    "gre ipv6": (6,),
    "ipsec ipv4": (4,),
    "ipsec ipv6": (6,),
    "ipsec dual-overlay": (4, 6),
}
#: What an IPsec interface protects: one family, or both with a selector for each.
_PROTECTED: dict[str, tuple[Selector, ...]] = {
    "ipsec ipv4": (ANY_IPV4,),
    "ipsec ipv6": (ANY_IPV6,),
    "ipsec dual-overlay": (ANY_IPV4, ANY_IPV6),
}


@dataclass(frozen=True, slots=True)
class TunnelFault:
    """A tunnel that cannot even be tried, and the line that says why."""

    router: str
    interface: str
    remote: IpAddress | None
    message: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Translation:
    """The policy of one router, and what was left out of it: tunnels, and profiles with the identities they take."""

    policy: EndpointPolicy
    faults: tuple[TunnelFault, ...]
    excluded: tuple[tuple[tuple[IdentityMatch, ...], InputError], ...]


def to_ikev2(
    config: RouterConfig, implementation: Implementation, certificates: Certificates | None = None
) -> Translation:
    """Return what this router's IKEv2 is told to do.

    ``certificates``: those of all routers of the deployment; None: this router is alone, and what is assumed of its
    own is not noted.
    """
    known = certificates or Certificates([config], Ledger())
    profiles = {name: _profile(config, profile, implementation, known) for name, profile in config.profiles.items()}
    usable = {name: p for name, p in profiles.items() if isinstance(p, IkeProfile)}
    tunnels, faults = [], []
    for interface in config.interfaces.values():
        if not interface.is_tunnel or interface.tunnel_protection is None or interface.shutdown:
            continue
        try:
            tunnels.append(_tunnel(config, interface, profiles, implementation))
        except InputError as error:
            remote = _destination(interface)
            place = error.where or where(interface.line)
            faults.append(TunnelFault(config.hostname, interface.name, remote, error.message, place))
    templates = {}
    for interface in config.interfaces.values():
        if interface.is_virtual_template and interface.tunnel_protection is not None:
            try:
                ipsec = _ipsec_profile(config, interface)
                gre = (interface.tunnel_mode or "gre ip") in GRE_MODES
                templates[interface.name] = _child(config, ipsec, implementation, (), (), gre=gre)
            except InputError:
                continue
    policy = EndpointPolicy(
        config.hostname,
        _policies(config, implementation),
        tuple(usable.values()),
        tuple(tunnels),
        templates,
        fragmentation=config.fragmentation_mtu is not None,
        fragment_bytes=config.fragmentation_mtu,
        trusted=trusted(config),
        revocation=revocation(config),
        disconnects_revoked=config.disconnect_revoked_peers,
        cookie_threshold=config.cookie_challenge,
        max_in_negotiation_incoming=config.max_in_negotiation.get("incoming"),
        max_in_negotiation_outgoing=config.max_in_negotiation.get("outgoing"),
        init_queue=config.sa_init_queue,
        request_window=config.window,
        template_addresses={name: _inner_addresses(config, config.interfaces[name]) for name in templates},
        forces_encapsulation=any(profile.nat_force_encap for profile in config.profiles.values()),
        nat_keepalive_s=config.nat_keepalive_s,
        follows_redirects=config.max_redirects is not None,
        max_redirects=config.max_redirects or MAX_REDIRECTS,
    )
    excluded = tuple(
        (tuple(_accepted(config, config.profiles[name], known)), reason)
        for name, reason in profiles.items()
        if isinstance(reason, InputError)
    )
    return Translation(policy, tuple(faults), excluded)


# -- IKE proposals ---------------------------------------------------------------------------------------------


def _policies(config: RouterConfig, implementation: Implementation) -> tuple[IkePolicy, ...]:
    policies = []
    for policy in config.policies.values():
        proposals = []
        for name in policy.proposals:
            line = policy.proposal_lines.get(name, policy.line)
            if name not in config.proposals and name != "default":
                raise unknown_name("IKEv2 proposal", name, config.proposals, where(line))
            proposals.append(_proposal(config, name, implementation))
        if proposals:
            addresses = tuple(policy.match_address_local)
            policies.append(IkePolicy(policy.name, tuple(proposals), addresses, str(policy.line)))
    if "default" not in config.policies:
        policies.append(IkePolicy("default", (_proposal(config, "default", implementation),)))
    return tuple(policies)


def _proposal(config: RouterConfig, name: str, implementation: Implementation) -> IkeProposal:
    default = implementation.profile.ike_proposals()[0]
    own = config.proposals.get(name)
    if own is None:
        return default
    encryption = own.encryption or default.encryption
    integrity = own.integrity or ([] if all(ENCRYPTIONS[e].aead for e in encryption) else default.integrity)
    prf = own.prf or integrity
    if not prf:
        raise InputError(
            f"proposal {name} has an AEAD cipher and no prf; allowed: prf {'|'.join(PRFS)}", where(own.line)
        )
    return _combine(encryption, integrity, prf, own.groups or default.groups)


def _combine(
    encryption: Sequence[str], integrity: Sequence[str], prf: Sequence[str], groups: Sequence[int]
) -> IkeProposal:
    known = [i for i in integrity if i in INTEGRITIES]
    return IkeProposal(tuple(encryption), tuple(known), tuple(prf), tuple(groups))


# -- profiles and keys -----------------------------------------------------------------------------------------


def _profile(
    config: RouterConfig, profile: Profile, implementation: Implementation, certificates: Certificates
) -> IkeProfile | InputError:
    """Return the profile, or the reason why it cannot be simulated."""
    methods = [(profile.auth_local, profile.auth_local_line)] if profile.auth_local != "eap" else []
    methods += [(method, profile.auth_remote_line) for method in profile.auth_remote if method not in REMOTE_EAP]
    allowed = ("pre-share", *SIGNATURE_KEYS)
    for method, line in methods:
        if method is not None and method not in allowed:
            why = ", which needs a remote-access client," if "eap" in method else ""
            return InputError(
                f"authentication {method} of profile {profile.name}{why} is not simulated yet;"
                f" allowed: {', '.join(allowed)}",
                where(line or profile.line),
            )
    if profile.auth_local is None or not profile.auth_remote:
        return InputError(
            f"profile {profile.name} lacks authentication local or authentication remote", where(profile.line)
        )
    if not profile.match_identity_remote and profile.match_certificate is None:
        return InputError(
            f"profile {profile.name} has no match identity remote and no match certificate", where(profile.line)
        )
    try:
        local = local_identity(config, profile)
        accepts = tuple(accepted(rule) for rule in profile.match_identity_remote)
        admitted = certificates.admitted(config, profile)
        keys = _keys(config, profile)
        quantum_keys = ppks(config, profile)
        aaa, authorization = profile_aaa(config, profile)
        authentication = _authentication(config, profile, local, certificates)
    except InputError as error:
        return error
    lifetime_s = profile.lifetime_s or implementation.number("default_ike_lifetime_s")
    dpd = profile.dpd or config.dpd
    template = f"Virtual-Template{profile.virtual_template}" if profile.virtual_template is not None else ""
    return IkeProfile(
        profile.name,
        local,
        (*accepts, *admitted),
        keys,
        lifetime_s,
        DpdPolicy(dpd.interval_s, dpd.retry_s, dpd.mode == "periodic") if dpd else None,
        accepts_any_tunnel=bool(template),
        virtual_template=template,
        config_request=profile.config_exchange_request is not False,
        virtual_address=_negotiates_address(config, profile),
        sends_configuration=profile.config_set_send is not False,
        accepts_configuration=profile.config_set_accept is not False,
        nat_keepalive_s=profile.nat_keepalive_s,
        authentication=authentication,
        ppks=quantum_keys,
        ends_with_certificate=profile.lifetime_certificate,
        authorises=_authorises(profile) and (aaa is None or not aaa.authorisations),
        authorization=authorization,
        aaa=aaa,
        local_identity_origin=str(profile.identity_local.line if profile.identity_local else profile.line),
        accepts_origins=(
            *(str(rule.line) for rule in profile.match_identity_remote),
            *(certificates.admission_origin(config, profile) for _ in admitted[:1]),
        ),
    )


def _authentication(
    config: RouterConfig, profile: Profile, identity: Identity, certificates: Certificates
) -> Authentication:
    """Return how the profile proves its identity and what it takes from the peer. Raises InputError."""
    signs = profile.auth_local in SIGNATURE_KEYS
    login = _eap_login(profile) if profile.auth_local == "eap" else None
    _check_eap_list(config, profile)
    taken: dict[AuthMethod, None] = {
        REMOTE_EAP.get(method, "certificate" if method in SIGNATURE_KEYS else "pre-share"): None
        for method in profile.auth_remote
    }
    if login is not None:
        method, account = login
        return Authentication(method, tuple(taken), account=account)
    if not signs and set(taken) == {"pre-share"}:
        return PRE_SHARED
    return Authentication(
        "certificate" if signs else "pre-share",
        tuple(taken),
        certificates.credential(config, profile, identity) if signs else None,
        users=tuple(EapAccount(name, password) for name, password in config.users.items())
        if "anyconnect-eap" in profile.auth_remote
        else (),
        queries_identity=profile.eap_query_identity,
        eap_timeout_s=profile.eap_timeout_s,
    )


def _check_eap_list(config: RouterConfig, profile: Profile) -> None:
    """Raise InputError where EAP has nobody who answers: IOS passes it to RADIUS, and answers AnyConnect-EAP itself."""
    kind = next((method for method in profile.auth_remote if method in REMOTE_EAP), None)
    if kind is None:
        return
    place = where(profile.auth_remote_line or profile.line)
    if profile.authentication_eap is None:
        raise InputError(
            f"authentication remote {kind} of profile {profile.name} names nobody who knows the users: write"
            f" 'aaa authentication {kind} LIST' in the profile",
            place,
        )
    name, line = profile.authentication_eap
    methods = config.aaa.lists[("login", name)].methods if ("login", name) in config.aaa.lists else ()
    if kind == "eap" and methods and all(source == "local" for source, _ in methods):
        raise InputError(
            f"list {name} is the router's own, and IOS is no EAP server: write 'aaa authentication login {name} group"
            " radius', or let clients in by 'authentication remote anyconnect-eap'",
            where(line),
        )


def _eap_login(profile: Profile) -> tuple[AuthMethod, EapAccount]:
    """Return by which method of EAP, and as whom, a router that begins proves itself. Raises InputError."""
    login, line = profile.eap_login, profile.auth_local_line or profile.line
    if any(method not in SIGNATURE_KEYS for method in profile.auth_remote):
        raise InputError(
            f"authentication local eap of profile {profile.name} needs a server that proves itself by a certificate:"
            f" authentication remote {'|'.join(SIGNATURE_KEYS)}",
            where(line),
        )
    if not login.user or login.password is None:
        raise InputError(
            f"authentication local eap of profile {profile.name} asks somebody at the terminal for a user: write"
            " 'username NAME password PASSWORD' behind it",
            where(line),
        )
    return LOCAL_EAP[login.method], EapAccount(login.user, login.password)


def _authorises(profile: Profile) -> bool:
    """Return whether a AAA list is looked up for a peer; ``cached`` looks nothing up (fact sheet C.11)."""
    methods = {"cert" if method in SIGNATURE_KEYS else "psk" for method in profile.auth_remote}
    return any(a.aaa_list and a.method in methods for a in profile.authorizations)


def _accepted(config: RouterConfig, profile: Profile, certificates: Certificates) -> Iterator[IdentityMatch]:
    """Yield the identities of a profile as far as they can be read."""
    for rule in profile.match_identity_remote:
        try:
            yield accepted(rule)
        except InputError:
            continue
    try:
        yield from certificates.admitted(config, profile)
    except InputError:
        # Whom a map lets in that cannot be judged is not known: it may be anybody.
        yield IdentityMatch("any", "")


def _keys(config: RouterConfig, profile: Profile) -> tuple[KeyEntry, ...]:
    entries = []
    if profile.keyring is not None:
        line = profile.keyring_line or profile.line
        if profile.keyring not in config.keyrings:
            raise unknown_name("keyring", profile.keyring, config.keyrings, where(line))
        entries = [_key_entry(peer) for peer in config.keyrings[profile.keyring].peers]
    if profile.inline_local_key is not None or profile.inline_remote_key is not None:
        local = profile.inline_local_key or profile.inline_remote_key
        remote = profile.inline_remote_key or profile.inline_local_key
        everyone = IPv4Network("0.0.0.0/0")
        local_origin = str(profile.auth_local_line or profile.line)
        remote_origin = str(profile.auth_remote_line or profile.line)
        entries.append(KeyEntry(profile.name, local, remote, everyone, None, local_origin, remote_origin))
    return tuple(entries)


def _key_entry(peer: KeyringPeer) -> KeyEntry:
    identity = None
    if peer.identity is not None and peer.identity.kind != "any" and not peer.identity.domain:
        identity = Identity(peer.identity.kind, peer.identity.value)
    return KeyEntry(
        peer.name,
        _key(peer.local_key, peer.local_key_line),
        _key(peer.remote_key, peer.remote_key_line),
        peer.network or peer.network_v6,
        identity,
        str(peer.local_key_line or peer.line),
        str(peer.remote_key_line or peer.line),
    )


def _key(secret: Secret | None, line: Line | None) -> Secret | None:
    """Return a key for comparison. An encrypted key (type 6) differs on every router: such keys are taken to agree."""
    encrypted = line is not None and line.text.endswith(" 6 <secret>")
    return Secret("encrypted") if secret is not None and encrypted else secret


# -- tunnels ---------------------------------------------------------------------------------------------------


def _destination(interface: Interface) -> IpAddress | None:
    try:
        return ip_address(interface.tunnel_destination or "")
    except ValueError:
        return None


def _ipsec_profile(config: RouterConfig, interface: Interface) -> IpsecProfile:
    name = interface.tunnel_protection or ""
    line = interface.tunnel_protection_line or interface.line
    if name not in config.ipsec_profiles:
        if name == "default":
            return IpsecProfile("default", line, ikev2_profile="default" if "default" in config.profiles else None)
        raise unknown_name("ipsec profile", name, config.ipsec_profiles, where(line))
    return config.ipsec_profiles[name]


def _tunnel(
    config: RouterConfig,
    interface: Interface,
    profiles: dict[str, IkeProfile | InputError],
    implementation: Implementation,
) -> TunnelPolicy:
    destination = _destination(interface)
    line = interface.tunnel_destination_line or interface.line
    if interface.tunnel_mode == "gre multipoint":
        where_mode = where(interface.tunnel_mode_line or line)
        raise InputError(f"tunnel mode gre multipoint (DMVPN) of {interface.name} is not simulated yet", where_mode)
    if destination is None:
        found = interface.tunnel_destination or "none"
        raise InputError(f"tunnel destination {found} of {interface.name}: an IP address is needed", where(line))
    local = source_address(config, interface)
    ipsec = _ipsec_profile(config, interface)
    if ipsec.ikev2_profile is None:
        raise InputError(
            f"ipsec profile {ipsec.name} names no ikev2-profile; IKEv1 is not simulated yet", where(ipsec.line)
        )
    if ipsec.ikev2_profile not in profiles:
        line = ipsec.ikev2_profile_line or ipsec.line
        raise unknown_name("ikev2 profile", ipsec.ikev2_profile, profiles, where(line))
    profile = profiles[ipsec.ikev2_profile]
    if isinstance(profile, InputError):
        raise profile
    if profile.aaa is not None and profile.aaa.keys is not None and not profile.keys and not ipsec.responder_only:
        line = config.profiles[profile.name].keyring_aaa_line or interface.line
        raise InputError(
            f"keyring aaa is asked about peers that begin, and {interface.name} begins by itself: give profile"
            f" {profile.name} a 'keyring local' too, or write 'responder-only' in ipsec profile {ipsec.name}",
            where(line),
        )
    ours, theirs = _selectors(interface, local, destination)
    gre = ours[0].protocol == GRE_PROTOCOL
    child = _child(config, ipsec, implementation, ours, theirs, gre=gre)
    initiates = not ipsec.responder_only
    inner = _inner_addresses(config, interface)
    origin = str(interface.line)
    return TunnelPolicy(
        interface.name, local, destination, profile.name, child, initiates, origin, inner_addresses=inner
    )


def _inner_addresses(config: RouterConfig, interface: Interface) -> tuple[IpAddress, ...]:
    """Return the addresses of a tunnel interface, those of another interface where it has none (``ip unnumbered``)."""
    lender = config.interfaces.get(interface.unnumbered or "")
    inner = (lender if lender is not None else interface).addresses
    return (*(a.ip for a in inner), *(a.ip for a in interface.addresses_v6))


def _negotiates_address(config: RouterConfig, profile: Profile) -> bool:
    """Return whether a tunnel interface of a profile asks for its address (``ip address negotiated``)."""
    using = {p.name for p in config.ipsec_profiles.values() if p.ikev2_profile == profile.name}
    tunnels = (i for i in config.interfaces.values() if i.is_tunnel and not i.shutdown)
    return any(i.address_negotiated and i.tunnel_protection in using for i in tunnels)


def _selectors(
    interface: Interface, local: IpAddress, remote: IpAddress
) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    """Return what a tunnel protects. Raises InputError when its mode is for the other family than its addresses."""
    mode = interface.tunnel_mode or "gre ip"
    line = interface.tunnel_mode_line or interface.line
    if mode not in _UNDERLAYS:
        raise InputError(f"tunnel mode {mode} is not simulated yet; allowed: {', '.join(_UNDERLAYS)}", where(line))
    if local.version != remote.version:
        line = interface.tunnel_source_line or line
        message = f"{interface.name} has source {local} and destination {remote}: one family is needed"
        raise InputError(message, where(line))
    if remote.version not in _UNDERLAYS[mode]:
        fitting = ", ".join(name for name, versions in _UNDERLAYS.items() if remote.version in versions)
        raise InputError(f"tunnel mode {mode} cannot reach {remote}; allowed: {fitting}", where(line))
    if mode in _PROTECTED:
        return _PROTECTED[mode], _PROTECTED[mode]
    return (
        (Selector(GRE_PROTOCOL, str(local), str(local)),),
        (Selector(GRE_PROTOCOL, str(remote), str(remote)),),
    )


def _child(
    config: RouterConfig,
    ipsec: IpsecProfile,
    implementation: Implementation,
    ours: tuple[Selector, ...],
    theirs: tuple[Selector, ...],
    *,
    gre: bool,
) -> ChildPolicy:
    groups = (ipsec.pfs_group,) if ipsec.pfs_group is not None else ()
    proposals: list[EspProposal] = []
    mode = "tunnel"
    for name in ipsec.transform_sets or ["default"]:
        if name in config.transform_sets:
            transform = config.transform_sets[name]
            integrity = (transform.integrity,) if transform.integrity else ()
            cipher: tuple[str, ...] = (transform.encryption or "null",)
            if transform.ah:
                if transform.encryption or transform.integrity:
                    message = f"AH and ESP together in transform-set {name} are not simulated; one of them is needed"
                    raise InputError(message, where(transform.line))
                integrity, cipher = (transform.ah,), ()
            proposals.append(EspProposal(cipher, integrity, (transform.esn,), groups))
            mode = transform.mode
        elif name == "default":
            proposals += [replace(proposal, groups=groups) for proposal in implementation.profile.esp_proposals()]
            mode = implementation.profile.default_esp.mode
        else:
            line = ipsec.transform_set_line or ipsec.line
            raise unknown_name("transform-set", name, config.transform_sets, where(line))
    lifetime_s = ipsec.lifetime_s or config.ipsec_lifetime_s
    kilobytes = ipsec.lifetime_kilobytes if ipsec.lifetime_kilobytes is not None else config.ipsec_lifetime_kilobytes
    return ChildPolicy(
        tuple(proposals),
        lifetime_s or implementation.number("default_child_lifetime_s"),
        implementation.count("default_child_lifetime_kilobytes") if kilobytes is None else kilobytes,
        # An IPsec interface protects any-to-any, where transport mode is impossible: IOS then uses tunnel mode.
        mode="transport" if mode == "transport" and gre else "tunnel",
        local_selectors=ours,
        remote_selectors=theirs,
    )
