"""What both ends of a conversation are told, as `EndpointPolicy` of each."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from ..models.algorithms import SIGNATURES
from ..models.errors import InputError
from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.identity import Identity, IdentityMatch
from ..models.ikev2.payloads import ANY_IPV4, Selector
from ..models.ikev2.policy import (
    PRE_SHARED,
    AddressPool,
    Authentication,
    AuthMethod,
    Certificate,
    ChildPolicy,
    Credential,
    EapAccount,
    EndpointPolicy,
    IkePolicy,
    IkeProfile,
    KeyEntry,
    TunnelPolicy,
)
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.implementation import Implementation
from ..models.secret import Secret

#: A certificate authenticates both ends, or the responder alone while the initiator uses EAP.
EAP: AuthMethod = "eap-mschapv2"
AUTHENTICATIONS = ("psk", *SIGNATURES, *(f"{EAP}:{name}" for name in SIGNATURES))

#: Addresses for documentation (RFC 5737).
INITIATOR, RESPONDER = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")
#: Another address of the initiator, and another gateway.
ELSEWHERE, GATEWAY = IPv4Address("192.0.2.2"), IPv4Address("198.51.100.2")
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

    ``auth``: one of `AUTHENTICATIONS`. ``certificate_bytes``: DER length of the initiator's and the responder's
    certificate. ``authorities``: CAs that both trust. ``user``: name of the EAP client. ``fragments``: False: nobody
    announces fragmentation. ``fragment_bytes``: longest IP packet that is sent whole; None: the implementation's.
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
    #: What a scenario changes.
    demands_cookie: bool = False
    keys_differ: bool = False
    encapsulation: bool = False
    childless: bool = False
    virtual_address: bool = False
    mobike: bool = False
    redirected: bool = False
    responder_reachable: bool = True

    @property
    def trusted(self) -> tuple[str, ...]:
        """Names of the CAs; the first one signs all certificates."""
        return tuple(f"CA {number}" for number in range(1, self.authorities + 1))

    def end(self, *, initiator: bool) -> End:
        """Return one of the ends."""
        return self.initiator if initiator else self.responder

    def authentication(self, *, initiator: bool) -> Authentication:
        """Return how one end authenticates and what it takes from the other."""
        if self.auth == "psk":
            return PRE_SHARED
        method, _, algorithm = self.auth.rpartition(":")
        account = EapAccount(self.user, Secret("any password"))
        if method and initiator:
            return Authentication(EAP, ("certificate",), account=account)
        identity = self.end(initiator=initiator).identity
        key = Secret(f"key of {identity}")
        # A responder that knows another user of this name, or a certificate that is not its key's, will not do.
        signing = Secret("another key") if self.keys_differ and initiator else key
        der_bytes = self.certificate_bytes[0 if initiator else 1]
        certificate = Certificate(identity, algorithm, der_bytes, self.trusted[0], algorithm, key)
        credential = Credential((certificate,), signing)
        if method:
            known = EapAccount(self.user, Secret("another password")) if self.keys_differ else account
            return Authentication("certificate", (EAP,), credential, users=(known,))
        return Authentication("certificate", ("certificate",), credential)

    def endpoint(self, *, initiator: bool, gateway: IPv4Address = RESPONDER) -> Endpoint:
        """Return one end, told what this plan says; ``gateway``: the responder's address."""
        own, peer = self.end(initiator=initiator), self.end(initiator=not initiator)
        here, there = (INITIATOR, gateway) if initiator else (gateway, INITIATOR)
        key = Secret("any key")
        expected = Secret("another key") if self.keys_differ and not initiator else key
        profile = IkeProfile(
            PROFILE,
            own.identity,
            (IdentityMatch(peer.identity.kind, peer.identity.value),),
            (KeyEntry("peer", key, expected, identity=peer.identity),),
            LIFETIME_S,
            authentication=self.authentication(initiator=initiator),
            virtual_address=self.virtual_address and initiator,
            pool=POOL if self.virtual_address and not initiator else None,
        )
        local, remote = own.selectors
        child = ChildPolicy(own.esp, LIFETIME_S, mode=self.mode, local_selectors=local, remote_selectors=remote)
        policy = EndpointPolicy(
            str(here),
            (IkePolicy("policy", own.ike),),
            (profile,),
            (TunnelPolicy(TUNNEL, here, there, PROFILE, child, childless=self.childless),),
            cookie_threshold=0 if self.demands_cookie and not initiator else None,
            fragmentation=self.fragments and self.fragment_bytes is not None,
            forbids_fragmentation=not self.fragments,
            fragment_bytes=self.fragment_bytes,
            trusted=self.trusted,
            mobike=self.mobike,
            redirects_to=GATEWAY if self.redirected and here == RESPONDER else None,
            follows_redirects=self.redirected and initiator,
            forces_encapsulation=self.encapsulation and initiator,
        )
        return Endpoint(policy, own.implementation)
