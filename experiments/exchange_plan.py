"""What both ends of a conversation are told, as `EndpointPolicy` of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Literal

from ..models.addresses import IpAddress
from ..models.errors import InputError
from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.identity import Identity, IdentityMatch
from ..models.ikev2.payloads import ANY_IPV4, Selector
from ..models.ikev2.policy import (
    PRE_SHARED,
    AddressPool,
    Authentication,
    AuthMethod,
    AuthorizationPolicy,
    Certificate,
    ChildPolicy,
    Credential,
    EapAccount,
    EndpointPolicy,
    IkePolicy,
    IkeProfile,
    KeyEntry,
    Ppk,
    ResumptionPolicy,
    TunnelPolicy,
)
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.implementation import Implementation
from ..models.secret import Secret
from .exchange_authentication import BY_DEFAULT, WITHOUT_CHAIN, EapChoice, Intermediates, eap_method
from .exchange_certificates import CertificateLife


@dataclass(frozen=True, slots=True)
class Addresses:
    """Who talks from where; ``elsewhere``: another address of the initiator, ``gateway``: another responder."""

    initiator: IpAddress
    responder: IpAddress
    elsewhere: IpAddress
    gateway: IpAddress


#: Addresses for documentation by IP version (RFC 5737, RFC 3849).
ADDRESSES: dict[int, Addresses] = {
    4: Addresses(*map(IPv4Address, ("192.0.2.1", "198.51.100.1", "192.0.2.2", "198.51.100.2"))),
    6: Addresses(*map(IPv6Address, ("2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::2", "2001:db8:2::2"))),
}
#: Networks behind both ends, which they announce where a scenario wants it.
SPOKE = AuthorizationPolicy("spoke", routes=(IPv4Network("10.1.0.0/16"),))
HUB = AuthorizationPolicy(
    "hub",
    netmask=IPv4Address("255.255.255.0"),
    dns=(IPv4Address("10.0.0.53"),),
    def_domain="cptl.local",
    banner="Welcome",
    routes=(IPv4Network("10.0.0.0/16"), IPv4Network("10.2.0.0/16")),
)
#: What a responder gives to clients: one address each, and a name server.
POOL = AddressPool(IPv4Address("10.9.0.1"), 254, (IPv4Address("10.9.0.254"),))
TUNNEL, PROFILE = "Tunnel0", "profile"
#: Longer than any conversation. [s]
LIFETIME_S = 86400.0


#: Limits of ``fragment_bytes``. [bytes]
FRAGMENT_MIN_BYTES, FRAGMENT_MAX_BYTES = 256, 65535


def check_fragment_bytes(n_bytes: int, where: str) -> None:
    """Raise InputError for a longest packet that leaves no room for content or that IP does not have."""
    if not FRAGMENT_MIN_BYTES <= n_bytes <= FRAGMENT_MAX_BYTES:
        allowed = f"{FRAGMENT_MIN_BYTES} to {FRAGMENT_MAX_BYTES} bytes are allowed"
        raise InputError(f"found {n_bytes}, {allowed}", where)


#: Limits of a path MTU: what IPv4 lets every link carry (RFC 791), and the longest packet. [bytes]
PATH_MTU_MIN_BYTES, PATH_MTU_MAX_BYTES = 68, 65535


def check_path(mtu_bytes: int | None, *, drops_fragments: bool) -> int | None:
    """Return the path MTU. Raises InputError for one that no path has, and for drops without one."""
    if mtu_bytes is None:
        if drops_fragments:
            raise InputError(
                "needs the path MTU above which packets become fragments: add --path-mtu", "--drops-fragments"
            )
    elif not PATH_MTU_MIN_BYTES <= mtu_bytes <= PATH_MTU_MAX_BYTES:
        allowed = f"{PATH_MTU_MIN_BYTES} to {PATH_MTU_MAX_BYTES} bytes are allowed"
        raise InputError(f"found {mtu_bytes}, {allowed}", "--path-mtu")
    return mtu_bytes


def check_sends(count: int | None) -> int | None:
    """Return after how many sends smaller pieces are tried. Raises InputError for none."""
    if count is not None and count < 1:
        raise InputError(f"found {count}, 1 or more sends are needed", "--smaller-fragments-after")
    return count


@dataclass(frozen=True, slots=True)
class End:
    """What one end is by itself: identity, proposals, implementation and selectors of its own side and the peer's."""

    identity: Identity
    ike: tuple[IkeProposal, ...]
    esp: tuple[EspProposal, ...]
    implementation: Implementation
    selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]] = ((ANY_IPV4,), (ANY_IPV4,))


@dataclass(frozen=True, slots=True)
class Plan:
    """What both ends are told.

    ``auth``: as `exchange_authentication` lists it. ``certificate_bytes``: DER length of the initiator's and the
    responder's certificate. ``authorities``: CAs that both trust. ``user``: name of the EAP client. ``fragments``:
    False: nobody announces fragmentation. ``fragment_bytes``: longest IP packet that is sent whole; None: the
    implementation's.
    """

    initiator: End
    responder: End
    auth: str = "psk"
    certificate_bytes: tuple[int, int] = (0, 0)
    authorities: int = 0
    user: str = ""
    fragments: bool = True
    fragment_bytes: int | None = None
    mode: Literal["tunnel", "transport"] = "tunnel"
    #: IP version in which both ends talk.
    ip_version: Literal[4, 6] = 4
    #: What a scenario changes.
    demands_cookie: bool = False
    keys_differ: bool = False
    encapsulation: bool = False
    #: Pause before a NAT keepalive of the initiator; None: as its implementation does it. [s]
    nat_keepalive_s: float | None = None
    childless: bool = False
    #: Volume after which a Child SA ends; 0: no limit. [KB]
    lifetime_kilobytes: int = 0
    virtual_address: bool = False
    mobike: bool = False
    #: Path MTU, None: as long as a packet may be; whether IP fragments are dropped on the way. [bytes]
    path_mtu_bytes: int | None = None
    drops_fragments: bool = False
    #: Sends after which the initiator tries smaller pieces (RFC 7383 2.5.2); None: never.
    smaller_fragments_after: int | None = None
    redirected: bool = False
    redirects_in: Literal["init", "auth", "session"] = "init"
    #: What both ends announce to each other once they are authenticated, the initiator's first; None: nothing.
    authorizations: tuple[AuthorizationPolicy | None, AuthorizationPolicy | None] = (None, None)
    responder_reachable: bool = True
    #: Post-quantum pre-shared keys of both ends, the initiator's first (RFC 8784); None: none.
    ppks: tuple[Ppk | None, Ppk | None] = (None, None)
    #: Tickets by which sessions are resumed (RFC 5723); None: none.
    resumption: ResumptionPolicy | None = None
    #: How the initiator proves itself once more (RFC 4739); None: once is enough.
    second: AuthMethod | None = None
    #: Dates and revocation of certificates; None: they are good for ever and nobody asks.
    life: CertificateLife | None = None
    eap: EapChoice = BY_DEFAULT
    intermediates: Intermediates = WITHOUT_CHAIN

    @property
    def trusted(self) -> tuple[str, ...]:
        """Names of the CAs; the first one signs all certificates."""
        return tuple(f"CA {number}" for number in range(1, self.authorities + 1))

    @property
    def issuer(self) -> str:
        """The CA that signs the certificates of both ends, whose revocations are looked up: the lowest one."""
        return self.intermediates.issuer(self.trusted[0])

    def end(self, *, initiator: bool) -> End:
        """Return one of the ends."""
        return self.initiator if initiator else self.responder

    def authentication(self, *, initiator: bool) -> Authentication:
        """Return how one end authenticates and what it takes from the other."""
        if self.auth == "psk":
            return PRE_SHARED
        method, algorithm = eap_method(self.auth), self.auth.rpartition(":")[2]
        account = EapAccount(self.user, Secret("any password"))
        if method is not None and method != "eap-tls" and initiator:
            return Authentication(method, ("certificate",), account=account)
        identity = self.end(initiator=initiator).identity
        key = Secret(f"key of {identity}")
        # A responder that knows another user of this name, or a certificate that is not its key's, will not do.
        signing = Secret("another key") if self.keys_differ and initiator and self.second is None else key
        der_bytes = self.certificate_bytes[0 if initiator else 1]
        serial = self.serial(initiator=initiator)
        certificate = Certificate(identity, algorithm, der_bytes, self.trusted[0], algorithm, key, serial)
        if self.life is not None and serial == self.doubtful:
            dates = self.life.not_before_s, self.life.not_after_s
            certificate = replace(certificate, not_before_s=dates[0], not_after_s=dates[1])
        credential = Credential(self.intermediates.chain(certificate, self.trusted[0]), signing)
        if method is not None and initiator:
            version = self.eap.tls_version
            return Authentication(method, ("certificate",), credential, account, tls_version=version)
        if method is not None:
            known = EapAccount(self.user, Secret("another password")) if self.keys_differ else account
            return Authentication(
                "certificate",
                self.eap.offered or (method,),
                credential,
                users=(known,),
                queries_identity=self.eap.queries_identity,
                tls_version=self.eap.tls_version,
            )
        known = EapAccount(self.user, Secret("another password")) if self.keys_differ else account
        then = None
        if self.second is not None:
            ours = Authentication(self.second, (), account=account)
            theirs = Authentication(remote=(self.second,), users=(known,))
            then = ours if initiator else theirs
        return Authentication("certificate", ("certificate",), credential, then=then)

    @staticmethod
    def serial(*, initiator: bool) -> int:
        """Return the serial number of the certificate of one end."""
        return 1 if initiator else 2

    @property
    def doubtful(self) -> int:
        """Serial number of the certificate that ``life`` is about: the initiator's, if it has one."""
        return self.serial(initiator=":" not in self.auth)

    def _ppks(self, peer: End, *, initiator: bool) -> tuple[Ppk, ...]:
        own = self.ppks[0 if initiator else 1]
        return () if own is None else (replace(own, peer=peer.identity),)

    @property
    def addresses(self) -> Addresses:
        """Where both ends are."""
        return ADDRESSES[self.ip_version]

    def endpoint(self, *, initiator: bool, gateway: IpAddress | None = None) -> Endpoint:
        """Return one end, told what this plan says; ``gateway``: the responder's address, where it is another one."""
        own, peer = self.end(initiator=initiator), self.end(initiator=not initiator)
        addresses = self.addresses
        gateway = gateway or addresses.responder
        here, there = (addresses.initiator, gateway) if initiator else (gateway, addresses.initiator)
        key = Secret("any key")
        expected = Secret("another key") if self.keys_differ and not initiator else key
        profile = IkeProfile(
            PROFILE,
            own.identity,
            (IdentityMatch(peer.identity.kind, peer.identity.value),),
            (KeyEntry("peer", key, expected, identity=peer.identity),),
            LIFETIME_S,
            authentication=self.authentication(initiator=initiator),
            ppks=self._ppks(peer, initiator=initiator),
            ends_with_certificate=self.life is not None and self.life.ends,
            virtual_address=self.virtual_address and initiator,
            authorization=self.authorizations[0 if initiator else 1],
            pool=POOL if self.virtual_address and not initiator else None,
        )
        local, remote = own.selectors
        redirects = self.redirected and self.redirects_in != "session"
        child = ChildPolicy(own.esp, LIFETIME_S, self.lifetime_kilobytes, self.mode, local, remote)
        policy = EndpointPolicy(
            str(here),
            (IkePolicy("policy", own.ike),),
            (profile,),
            (TunnelPolicy(TUNNEL, here, there, PROFILE, child, childless=self.childless),),
            cookie_threshold=0 if self.demands_cookie and not initiator else None,
            fragmentation=self.fragments and self.fragment_bytes is not None,
            forbids_fragmentation=not self.fragments,
            fragment_bytes=self.fragment_bytes,
            smaller_fragments_after=self.smaller_fragments_after if initiator else None,
            trusted=self.trusted,
            revocation={self.issuer: self.life.methods} if self.life and self.life.methods else {},
            disconnects_revoked=self.life is not None and self.life.ends,
            resumption=self.resumption,
            clock_ahead_s=self.life.clock_ahead_s if self.life is not None and not initiator else 0.0,
            mobike=self.mobike,
            redirects_to=addresses.gateway if redirects and here == addresses.responder else None,
            redirects_in="auth" if self.redirects_in == "auth" else "init",
            follows_redirects=self.redirected and initiator,
            forces_encapsulation=self.encapsulation and initiator,
            nat_keepalive_s=self.nat_keepalive_s if initiator else None,
        )
        return Endpoint(policy, own.implementation)
