"""What an endpoint is told to do: proposals, profiles, keys, tunnels. Built from a configuration or by hand.

``origin`` fields name the configuration line behind a rule, so that a refusal can name the line at fault; they decide
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Literal

from ..addresses import IpAddress, IpNetwork
from ..eap.packets import EapMethod
from ..eap.rules import TlsVersion
from ..secret import Secret
from .aaa import ProfileAaa
from .identity import Identity, IdentityMatch
from .payloads import ANY_IPV4, Selector
from .proposals import EspProposal, IkeProposal


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One peer of a keyring. Looked up by identity first, then by address (fact sheet E.3, assumed order)."""

    name: str
    local_key: Secret | None
    remote_key: Secret | None
    network: IpNetwork | None = None
    identity: Identity | None = None
    local_origin: str = ""
    remote_origin: str = ""


@dataclass(frozen=True, slots=True)
class Ppk:
    """A post-quantum pre-shared key (RFC 8784): its name on the wire, and whose it is by identity or address.

    ``required``: without it there is no IKE SA with this peer.
    """

    identity: str
    key: Secret
    required: bool = False
    network: IpNetwork | None = None
    peer: Identity | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 certificate as far as length, cost and trust go (RFC 7296 3.6).

    ``key`` stands for the key pair: a signature is checked against it. ``issuer`` names the CA that signed it with
    ``issuer_algorithm``; algorithms as in `algorithms.SIGNATURES`.
    """

    subject: Identity
    algorithm: str
    der_bytes: int
    issuer: str
    issuer_algorithm: str
    key: Secret
    #: By which its CA revokes it.
    serial: int = 0
    #: From when to when it is valid, in s of simulated time; None: no limit is known.
    not_before_s: float | None = None
    not_after_s: float | None = None

    @property
    def is_limited(self) -> bool:
        """True when a date can make it invalid."""
        return self.not_before_s is not None or self.not_after_s is not None


#: How the status of a certificate is looked up (``revocation-check`` of IOS); ``none``: it is taken as good.
RevocationMethod = Literal["crl", "ocsp", "none"]
REVOCATION_METHODS: tuple[RevocationMethod, ...] = ("crl", "ocsp", "none")


@dataclass(frozen=True, slots=True)
class Credential:
    """A private key and its certificate, with the CA certificates below the trust anchor behind it."""

    chain: tuple[Certificate, ...]
    private_key: Secret


def chain_is_trusted(chain: Sequence[Certificate], authorities: tuple[str, ...]) -> bool:
    """Return whether every certificate is signed by the next one and the last one by a CA that is trusted."""
    linked = all(below.issuer == above.subject.value for below, above in pairwise(chain))
    return linked and chain[-1].issuer in authorities


@dataclass(frozen=True, slots=True)
class EapAccount:
    """A user of EAP; with EAP-TLS the password is not used."""

    user: str
    password: Secret


#: EAP as ``local`` makes this end the client, which only an initiator can be (RFC 7296 2.16).
AuthMethod = Literal["pre-share", "certificate", "eap-mschapv2", "eap-gtc", "eap-md5", "eap-tls", "anyconnect-eap"]
#: The methods of EAP behind them.
EAP_METHODS: dict[AuthMethod, EapMethod] = {
    "eap-mschapv2": "mschapv2",
    "eap-gtc": "gtc",
    "eap-md5": "md5",
    "eap-tls": "tls",
    "anyconnect-eap": "anyconnect",
}


@dataclass(frozen=True, slots=True)
class Authentication:
    """How this end proves its identity and by what it lets the peer do so; each end decides for itself.

    ``account`` is that of an EAP client, ``users`` those that an EAP server knows. Pre-shared keys are in the keyring.
    An EAP server proposes the methods of ``remote`` in their order. ``credential`` is also that of either end of
    EAP-TLS. ``queries_identity``: a server begins with an EAP-Identity request (``query-identity`` of IOS), else the
    user is who the IKE identity says. ``eap_timeout_s``: how long a server waits for the next request of IKE_AUTH;
    None: as the implementation does it. ``tls_version``: the highest of EAP-TLS.
    """

    local: AuthMethod = "pre-share"
    remote: tuple[AuthMethod, ...] = ("pre-share",)
    credential: Credential | None = None
    account: EapAccount | None = None
    users: tuple[EapAccount, ...] = ()
    queries_identity: bool = True
    eap_timeout_s: float | None = None
    tls_version: TlsVersion = "1.2"
    #: The initiator proves itself once more by these (RFC 4739); the responder does so in the first round alone.
    then: Authentication | None = None

    def eap_methods(self, *, local: bool) -> tuple[EapMethod, ...]:
        """Return the methods that this end has as a client (``local``), or that it proposes as a server."""
        methods = (self.local,) if local else self.remote
        return tuple(EAP_METHODS[method] for method in methods if method in EAP_METHODS)


PRE_SHARED = Authentication()


@dataclass(frozen=True, slots=True)
class AddressPool:
    """Addresses that a responder gives to clients (``ip local pool`` of IOS), and the name servers it tells them."""

    first: IpAddress
    size: int
    name_servers: tuple[IpAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationPolicy:
    """What an authenticated peer gets, and which routes go to and fro (``crypto ikev2 authorization policy`` of IOS).

    Addresses of either family go into the attributes of their family. ``routes`` are announced to the peer, and with
    ``announces_interface`` the address of the tunnel interface; ``remote_routes`` lead to the peer without its saying
    so; what the peer announces is followed where ``accepts_routes``. ``distance``: None: the implementation's.
    """

    name: str = "default"
    pool: AddressPool | None = None
    pool6: AddressPool | None = None
    netmask: IPv4Address | None = None
    dns: tuple[IpAddress, ...] = ()
    wins: tuple[IPv4Address, ...] = ()
    dhcp: tuple[IpAddress, ...] = ()
    def_domain: str = ""
    split_dns: tuple[str, ...] = ()
    banner: str = ""
    backup_gateways: tuple[str, ...] = ()
    config_url: str = ""
    routes: tuple[IpNetwork, ...] = ()
    announces_interface: bool = False
    remote_routes: tuple[IpNetwork, ...] = ()
    accepts_routes: bool = True
    distance: int | None = None
    tag: int = 1


@dataclass(frozen=True, slots=True)
class ResumptionPolicy:
    """Session resumption (RFC 5723): tickets are asked for and given. ``lifetime_s`` of one [s], its length [bytes].

    ``by_value``: the ticket holds the state itself, sealed; else it names what the gateway keeps.
    """

    lifetime_s: float
    ticket_bytes: int
    by_value: bool = True


@dataclass(frozen=True, slots=True)
class DpdPolicy:
    """Dead peer detection: a probe every ``interval_s`` of silence, repeated every ``retry_s``. [s]"""

    interval_s: float
    retry_s: float
    periodic: bool = True


@dataclass(frozen=True, slots=True)
class IkeProfile:
    """One IKEv2 profile. ``accepts`` rules are alternatives. ``accepts_any_tunnel``: has a virtual-template."""

    name: str
    local_identity: Identity
    accepts: tuple[IdentityMatch, ...]
    keys: tuple[KeyEntry, ...]
    lifetime_s: float
    dpd: DpdPolicy | None = None
    accepts_any_tunnel: bool = False
    virtual_template: str = ""
    config_request: bool = True
    #: As initiator: ask for an address; as responder: give one of these.
    virtual_address: bool = False
    virtual_address6: bool = False
    pool: AddressPool | None = None
    #: What a peer of this profile gets unless AAA says otherwise, and which routes are exchanged with it; None: none.
    authorization: AuthorizationPolicy | None = None
    #: As `EndpointPolicy.nat_keepalive_s`, for SAs of this profile; None: as the endpoint does it. [s]
    nat_keepalive_s: float | None = None
    #: Announce own routes by CFG_SET once the SA is up, take those of the peer (``config-exchange set`` of IOS).
    sends_configuration: bool = True
    accepts_configuration: bool = True
    authentication: Authentication = PRE_SHARED
    ppks: tuple[Ppk, ...] = ()
    #: The IKE SA ends with the peer's certificate (``lifetime certificate`` of IOS).
    ends_with_certificate: bool = False
    #: As responder: look up in the router's AAA lists what an authenticated peer may do.
    authorises: bool = False
    #: As responder: what AAA servers are asked about a peer; None: nothing.
    aaa: ProfileAaa | None = None
    local_identity_origin: str = ""
    accepts_origins: tuple[str, ...] = ()
    _expected: Identity | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_expected", _the_only_one(self.accepts))

    def matches(self, identity: Identity) -> bool:
        """Return whether a peer that calls itself ``identity`` belongs to this profile."""
        for rule in self.accepts:  # noqa: SIM110 - a loop is faster than a generator
            if rule.matches(identity):
                return True
        return False

    def key_for(self, identity: Identity | None, address: IpAddress) -> KeyEntry | None:
        """Return the keyring entry of a peer, by identity, then by the longest matching address."""
        for entry in self.keys:
            if identity is not None and entry.identity == identity:
                return entry
        best, longest = None, -1
        for entry in self.keys:
            network = entry.network
            if network is not None and network.prefixlen > longest and address in network:
                best, longest = entry, network.prefixlen
        return best

    def expected_identity(self) -> Identity | None:
        """Return the one identity that this profile accepts, or None when there are several or a pattern."""
        return self._expected


def _the_only_one(accepts: tuple[IdentityMatch, ...]) -> Identity | None:
    if len(accepts) != 1:
        return None
    rule = accepts[0]
    many = rule.network is not None and rule.network.prefixlen < rule.network.max_prefixlen
    if rule.kind == "any" or rule.domain or many:
        return None
    return Identity(rule.kind, rule.value)


@dataclass(frozen=True, slots=True)
class ChildPolicy:
    """What a tunnel's Child SAs must look like. Lifetimes in s and kilobytes; 0 kilobytes: no volume limit."""

    proposals: tuple[EspProposal, ...]
    lifetime_s: float
    lifetime_kilobytes: int = 0
    mode: Literal["tunnel", "transport"] = "tunnel"
    local_selectors: tuple[Selector, ...] = (ANY_IPV4,)
    remote_selectors: tuple[Selector, ...] = (ANY_IPV4,)
    #: As responder: take one address on each side and nothing wider (SINGLE_PAIR_REQUIRED).
    single_pair: bool = False
    #: The proposals as IKE_AUTH carries them, without groups (RFC 7296 1.2).
    first_proposals: tuple[EspProposal, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_proposals", tuple(p.without_groups() for p in self.proposals))


@dataclass(frozen=True, slots=True)
class TunnelPolicy:
    """One tunnel interface that protects traffic to ``remote_address``."""

    name: str
    local_address: IpAddress
    remote_address: IpAddress
    profile: str
    child: ChildPolicy
    initiates: bool = True
    origin: str = ""
    #: Authenticate without a Child SA where the responder can, and create it afterwards (RFC 6023).
    childless: bool = False
    #: Addresses of the interface itself, which ``route set interface`` announces.
    inner_addresses: tuple[IpAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class IkePolicy:
    """``crypto ikev2 policy``: proposals for the local addresses it matches (empty: all)."""

    name: str
    proposals: tuple[IkeProposal, ...]
    local_addresses: tuple[IpAddress, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Everything that one router's IKEv2 is told.

    ``templates``: Child SA policy of each virtual-template. ``trusted``: names of the CAs whose certificates it
    accepts; each is a hash in CERTREQ.
    """

    name: str
    policies: tuple[IkePolicy, ...]
    profiles: tuple[IkeProfile, ...]
    tunnels: tuple[TunnelPolicy, ...]
    templates: dict[str, ChildPolicy] = field(default_factory=dict)
    #: Addresses of the interfaces that are cloned from a virtual-template, by its name.
    template_addresses: dict[str, tuple[IpAddress, ...]] = field(default_factory=dict)
    fragmentation: bool = False
    #: Not even where the implementation announces fragmentation by itself (``fragmentation = no`` of strongSwan).
    forbids_fragmentation: bool = False
    #: Longest IP packet that is sent whole (RFC 7383); None: as the implementation does it. [bytes]
    fragment_bytes: int | None = None
    #: After so many sends without an answer a request is cut into smaller pieces (RFC 7383 2.5.2); None: never, as
    #: strongSwan; what IOS does is not known.
    smaller_fragments_after: int | None = None
    trusted: tuple[str, ...] = ()
    #: By CA: how the status of its certificates is looked up, in this order; a CA that is missing here is not asked.
    revocation: dict[str, tuple[RevocationMethod, ...]] = field(default_factory=dict)
    #: Delete sessions of peers whose certificates are revoked since (``crypto ikev2 disconnect-revoked-peers``).
    disconnects_revoked: bool = False
    #: Resume sessions by tickets, where the implementation can; None: never.
    resumption: ResumptionPolicy | None = None
    #: What this end's clock shows beyond the simulated time; negative: it is slow. [s]
    clock_ahead_s: float = 0.0
    #: Pretend to be behind a NAT, so that both ends use port 4500 and UDP encapsulation (``nat force-encap`` of IOS).
    forces_encapsulation: bool = False
    #: Send a keepalive after this long without a packet where a NAT stands before this end; 0: never, None: as the
    #: implementation does it. [s]
    nat_keepalive_s: float | None = None
    #: Offer MOBIKE (RFC 4555), where the implementation has it.
    mobike: bool = False
    #: The gateway to which new clients are sent; whether this end lets itself be sent away where its implementation
    #: does not do so by itself (``crypto ikev2 redirect client`` of IOS).
    redirects_to: IpAddress | str | None = None
    #: The exchange in which it sends them away; an established SA is redirected when its driver wants it.
    redirects_in: Literal["init", "auth"] = "init"
    follows_redirects: bool = False
    #: Redirections within 300 s that a client follows (RFC 5685 3), and addresses of the names it can resolve.
    max_redirects: int = 5
    hosts: dict[str, IpAddress] = field(default_factory=dict)
    #: Half-open SAs from which on a cookie is demanded; None: never.
    cookie_threshold: int | None = None
    max_in_negotiation_incoming: int | None = None
    #: IKE SAs that it has begun and negotiates at a time; what begins beyond waits. None: as the implementation does.
    max_in_negotiation_outgoing: int | None = None
    #: Requests of IKE_SA_INIT that may wait for the CPU, beyond which they are dropped; None: the implementation's.
    init_queue: int | None = None
    #: Requests that the peer may have on their way at once (``crypto ikev2 window``); None: what the implementation
    #: announces. One that announces nothing takes no notice.
    request_window: int | None = None
    #: Peers with an IKE SA, made or in the making, beyond which new ones get no answer; None: no limit.
    max_sessions: int | None = None
    #: Where profiles and tunnels stand: a hub has thousands of tunnels. The first one of a name or between two
    #: addresses counts.
    _profiles: dict[str, IkeProfile] = field(init=False, repr=False, compare=False)
    _tunnels: dict[str, TunnelPolicy] = field(init=False, repr=False, compare=False)
    _tunnels_between: dict[tuple[IpAddress, IpAddress], TunnelPolicy] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_profiles", {p.name: p for p in reversed(self.profiles)})
        object.__setattr__(self, "_tunnels", {t.name: t for t in reversed(self.tunnels)})
        between = {(t.local_address, t.remote_address): t for t in reversed(self.tunnels)}
        object.__setattr__(self, "_tunnels_between", between)

    def proposals_for(self, local: IpAddress) -> tuple[IkeProposal, ...]:
        """Return the proposals of the first policy that names this local address, else of the first without one."""
        for policy in self.policies:
            if local in policy.local_addresses:
                return policy.proposals
        for policy in self.policies:
            if not policy.local_addresses:
                return policy.proposals
        return ()

    def profile(self, name: str) -> IkeProfile:
        """Return the profile of this name. Raises KeyError."""
        return self._profiles[name]

    def profile_of(self, identity: Identity) -> IkeProfile | None:
        """Return the first profile that accepts a peer that calls itself ``identity``, or None."""
        for profile in self.profiles:
            if profile.matches(identity):
                return profile
        return None

    def tunnel(self, name: str) -> TunnelPolicy:
        """Return the tunnel of this name. Raises KeyError."""
        return self._tunnels[name]

    def tunnel_named(self, name: str) -> TunnelPolicy | None:
        """Return the tunnel of this name, or None."""
        return self._tunnels.get(name)

    def tunnel_between(self, local: IpAddress, remote: IpAddress) -> TunnelPolicy | None:
        """Return the tunnel between two addresses, or None."""
        return self._tunnels_between.get((local, remote)) if self.tunnels else None
