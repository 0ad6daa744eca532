"""From an IOS configuration to the policy of an IKEv2 endpoint, with the defaults of the implementation.

What this leaves out is refused, tunnel by tunnel, with the line that asks for it: EAP, keys from AAA, IKEv1, IPv6
transport, crypto maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from ..addresses import IpAddress
from ..algorithms import ENCRYPTIONS, INTEGRITIES, PRFS
from ..errors import InputError, unknown_name
from ..ikev2.identity import Identity, IdentityMatch
from ..ikev2.payloads import ANY_IPV4, Selector
from ..ikev2.policy import (
    PRE_SHARED,
    Authentication,
    AuthMethod,
    ChildPolicy,
    DpdPolicy,
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
from .certificates import Certificates, trusted
from .config import Interface, IpsecProfile, KeyringPeer, Line, Profile, RouterConfig
from .identities import SIGNATURE_KEYS, accepted, local_identity, source_address, where

#: IP protocol number of GRE; a GRE tunnel protects exactly that between its end points (fact sheet A.10).
GRE_PROTOCOL = 47


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
                gre = interface.tunnel_mode in (None, "gre ip")
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
        cookie_threshold=config.cookie_challenge,
        max_in_negotiation_incoming=config.max_in_negotiation.get("incoming"),
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
    default = implementation.profile.default_proposal
    own = config.proposals.get(name)
    if own is None:
        return _combine(default.encryption, default.integrity, default.prf, default.groups)
    encryption = own.encryption or default.encryption
    integrity = own.integrity or ([] if all(ENCRYPTIONS[e].aead for e in encryption) else default.integrity)
    prf = own.prf or integrity
    if not prf:
        raise InputError(
            f"proposal {name} has an AEAD cipher and no prf; allowed: prf {'|'.join(PRFS)}", where(own.line)
        )
    return _combine(encryption, integrity, prf, own.groups or default.groups)


def _combine(encryption: list[str], integrity: list[str], prf: list[str], groups: list[int]) -> IkeProposal:
    known = [i for i in integrity if i in INTEGRITIES]
    return IkeProposal(tuple(encryption), tuple(known), tuple(prf), tuple(groups))


# -- profiles and keys -----------------------------------------------------------------------------------------


def _profile(
    config: RouterConfig, profile: Profile, implementation: Implementation, certificates: Certificates
) -> IkeProfile | InputError:
    """Return the profile, or the reason why it cannot be simulated."""
    methods = [(profile.auth_local, profile.auth_local_line)]
    methods += [(method, profile.auth_remote_line) for method in profile.auth_remote]
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
    if profile.keyring_aaa is not None:
        return InputError(f"keyring aaa of profile {profile.name} is not simulated yet", where(profile.line))
    if not profile.match_identity_remote and profile.match_certificate is None:
        return InputError(
            f"profile {profile.name} has no match identity remote and no match certificate", where(profile.line)
        )
    try:
        local = local_identity(config, profile)
        accepts = tuple(accepted(rule) for rule in profile.match_identity_remote)
        admitted = certificates.admitted(config, profile)
        keys = _keys(config, profile)
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
        authentication=authentication,
        authorises=_authorises(profile),
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
    taken: dict[AuthMethod, None] = {
        "certificate" if method in SIGNATURE_KEYS else "pre-share": None for method in profile.auth_remote
    }
    if not signs and "certificate" not in taken:
        return PRE_SHARED
    return Authentication(
        "certificate" if signs else "pre-share",
        tuple(taken),
        certificates.credential(config, profile, identity) if signs else None,
    )


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
        peer.network,
        identity,
        str(peer.local_key_line or peer.line),
        str(peer.remote_key_line or peer.line),
    )


def _key(secret: Secret | None, line: Line | None) -> Secret | None:
    """Return a key for comparison. An encrypted key (type 6) differs on every router: such keys are taken to agree."""
    encrypted = line is not None and line.text.endswith(" 6 <secret>")
    return Secret("encrypted") if secret is not None and encrypted else secret


# -- tunnels ---------------------------------------------------------------------------------------------------


def _destination(interface: Interface) -> IPv4Address | None:
    try:
        return IPv4Address(interface.tunnel_destination or "")
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
        raise InputError(f"tunnel destination {found} of {interface.name}: an IPv4 address is needed", where(line))
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
    ours, theirs = _selectors(interface, local, destination)
    gre = ours[0].protocol == GRE_PROTOCOL
    child = _child(config, ipsec, implementation, ours, theirs, gre=gre)
    initiates = not ipsec.responder_only
    return TunnelPolicy(interface.name, local, destination, profile.name, child, initiates, str(interface.line))


def _selectors(
    interface: Interface, local: IPv4Address, remote: IPv4Address
) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    mode = interface.tunnel_mode or "gre ip"
    line = interface.tunnel_mode_line or interface.line
    if mode == "ipsec ipv4":
        return (ANY_IPV4,), (ANY_IPV4,)
    if mode == "gre ip":
        return (
            (Selector(GRE_PROTOCOL, str(local), str(local)),),
            (Selector(GRE_PROTOCOL, str(remote), str(remote)),),
        )
    raise InputError(f"tunnel mode {mode} is not simulated yet; allowed: gre ip, ipsec ipv4", where(line))


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
    proposals = []
    mode = "tunnel"
    default = implementation.profile.default_transform_set
    for name in ipsec.transform_sets or ["default"]:
        if name in config.transform_sets:
            transform = config.transform_sets[name]
            encryption, integrity, mode, esn = (
                transform.encryption or "null",
                transform.integrity,
                transform.mode,
                transform.esn,
            )
            if transform.ah:
                raise InputError(f"AH in transform-set {name} is not simulated yet", where(transform.line))
        elif name == "default":
            encryption, integrity, mode, esn = default.encryption, default.integrity, default.mode, False
        else:
            line = ipsec.transform_set_line or ipsec.line
            raise unknown_name("transform-set", name, config.transform_sets, where(line))
        proposals.append(EspProposal(encryption, integrity, esn, groups))
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
