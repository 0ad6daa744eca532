"""What an endpoint is told to do: proposals, profiles, keys, tunnels. Built from a configuration or by hand.

``origin`` fields name the configuration line behind a rule, so that a refusal can name the line at fault; they decide
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from ..addresses import IpAddress
from ..secret import Secret
from .identity import Identity, IdentityMatch
from .payloads import ANY_IPV4, Selector
from .proposals import EspProposal, IkeProposal


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One peer of a keyring. Looked up by identity first, then by address (fact sheet E.3, assumed order)."""

    name: str
    local_key: Secret | None
    remote_key: Secret | None
    network: IPv4Network | None = None
    identity: Identity | None = None
    local_origin: str = ""
    remote_origin: str = ""


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


@dataclass(frozen=True, slots=True)
class Credential:
    """A private key and its certificate, with the CA certificates below the trust anchor behind it."""

    chain: tuple[Certificate, ...]
    private_key: Secret


@dataclass(frozen=True, slots=True)
class EapAccount:
    """A user of EAP-MSCHAPv2."""

    user: str
    password: Secret


#: ``eap-mschapv2``: as ``local`` it makes this end the EAP client, which only an initiator can be (RFC 7296 2.16).
AuthMethod = Literal["pre-share", "certificate", "eap-mschapv2"]


@dataclass(frozen=True, slots=True)
class Authentication:
    """How this end proves its identity and by what it lets the peer do so; each end decides for itself.

    ``account`` is that of an EAP client, ``users`` those that an EAP server knows. Pre-shared keys are in the keyring.
    """

    local: AuthMethod = "pre-share"
    remote: tuple[AuthMethod, ...] = ("pre-share",)
    credential: Credential | None = None
    account: EapAccount | None = None
    users: tuple[EapAccount, ...] = ()


PRE_SHARED = Authentication()


@dataclass(frozen=True, slots=True)
class AddressPool:
    """Addresses that a responder gives to clients (``ip local pool`` of IOS), and the name servers it tells them."""

    first: IPv4Address
    size: int
    name_servers: tuple[IPv4Address, ...] = ()


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
    pool: AddressPool | None = None
    authentication: Authentication = PRE_SHARED
    #: As responder: look up in the router's AAA lists what an authenticated peer may do.
    authorises: bool = False
    local_identity_origin: str = ""
    accepts_origins: tuple[str, ...] = ()

    def matches(self, identity: Identity) -> bool:
        """Return whether a peer that calls itself ``identity`` belongs to this profile."""
        return any(rule.matches(identity) for rule in self.accepts)

    def key_for(self, identity: Identity | None, address: IpAddress) -> KeyEntry | None:
        """Return the keyring entry of a peer, by identity, then by the longest matching address."""
        for entry in self.keys:
            if identity is not None and entry.identity == identity:
                return entry
        by_address = [e for e in self.keys if e.network is not None and address in e.network]
        return max(by_address, key=lambda e: e.network.prefixlen if e.network else 0, default=None)

    def expected_identity(self) -> Identity | None:
        """Return the one identity that this profile accepts, or None when there are several or a pattern."""
        if len(self.accepts) != 1:
            return None
        rule = self.accepts[0]
        if rule.kind == "any" or rule.domain or (rule.network is not None and rule.network.prefixlen < 32):
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
    fragmentation: bool = False
    #: Not even where the implementation announces fragmentation by itself (``fragmentation = no`` of strongSwan).
    forbids_fragmentation: bool = False
    #: Longest IP packet that is sent whole (RFC 7383); None: as the implementation does it. [bytes]
    fragment_bytes: int | None = None
    trusted: tuple[str, ...] = ()
    #: Pretend to be behind a NAT, so that both ends use port 4500 and UDP encapsulation (``nat force-encap`` of IOS).
    forces_encapsulation: bool = False
    #: Offer MOBIKE (RFC 4555), where the implementation has it.
    mobike: bool = False
    #: The gateway to which new clients are sent; whether this end lets itself be sent away where its implementation
    #: does not do so by itself (``crypto ikev2 redirect client`` of IOS).
    redirects_to: IpAddress | None = None
    follows_redirects: bool = False
    #: Half-open SAs from which on a cookie is demanded; None: never.
    cookie_threshold: int | None = None
    max_in_negotiation_incoming: int | None = None
    #: Peers with an IKE SA, made or in the making, beyond which new ones get no answer; None: no limit.
    max_sessions: int | None = None

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
        for profile in self.profiles:
            if profile.name == name:
                return profile
        raise KeyError(name)

    def tunnel(self, name: str) -> TunnelPolicy:
        """Return the tunnel of this name. Raises KeyError."""
        for tunnel in self.tunnels:
            if tunnel.name == name:
                return tunnel
        raise KeyError(name)
