"""A remote-access client as its user sets it up: from an implementation's habits to what its IKEv2 is told.

The user has installed the CA of the server's certificate, or the server's pre-shared key, and tells the client where
the server is and who it is. What else it offers is in its implementation profile.

What this leaves out: what a client does with the routes and name servers that it gets, profiles that change its offer
(write an implementation profile that ``extends`` it), machine certificates before the user's.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from .ikev2.identity import Identity, IdentityMatch
from .ikev2.payloads import ANY_IPV4, ANY_IPV6, Selector
from .ikev2.policy import (
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
from .implementation import ClientHabits, ClientMethod, ImplementationProfile
from .secret import Secret

#: Names of the client's one tunnel and of its profile.
TUNNEL = "VPN"
#: Longer than a server lets any SA live, which therefore rekeys first. [s]
LIFETIME_S = 86400.0
#: Length of a client's own RSA-2048 certificate; any other would do as well. [bytes]
CERTIFICATE_BYTES = 900


@dataclass(frozen=True, slots=True)
class UserSetUp:
    """What a user types into a client.

    ``key``: the pre-shared key. ``authority``: the CA of the client's own certificate; empty: that of the server's.
    ``trusts``: CAs that it has installed beside that of the server's certificate.
    """

    server: IPv4Address
    account: EapAccount
    key: Secret
    authority: str = ""
    trusts: tuple[str, ...] = ()


def habits_of(client: ImplementationProfile) -> ClientHabits:
    """Return the habits of a client, which only a client has."""
    assert client.client is not None
    return client.client


def usual_method(client: ImplementationProfile, served: IkeProfile) -> ClientMethod:
    """Return how the user lets the client authenticate: the first way that the server takes, else the usual one."""
    methods = habits_of(client).methods
    return next((m for m in methods if m in served.authentication.remote), methods[0])


def identity_of(client: ImplementationProfile, address: IPv4Address, user: str) -> Identity:
    """Return what a client calls itself."""
    habits = habits_of(client)
    if habits.identity == "address":
        return Identity("address", str(address))
    return Identity("key-id", habits.key_id) if habits.identity == "key-id" else Identity("email", user)


def served_by(server: EndpointPolicy, identity: Identity) -> IkeProfile | None:
    """Return the profile that a client meets: the first that takes its identity, else the first for clients."""
    profiles = [p for p in server.profiles if p.accepts_any_tunnel]
    return next((p for p in profiles if p.matches(identity)), profiles[0] if profiles else None)


def client_policy(
    name: str,
    client: ImplementationProfile,
    address: IPv4Address,
    served: IkeProfile,
    method: ClientMethod,
    user: UserSetUp,
) -> EndpointPolicy:
    """Return what the IKEv2 of a client at ``address`` is told that meets this profile of its server."""
    habits = habits_of(client)
    own, peer = identity_of(client, address, user.account.user), served.local_identity
    profile = IkeProfile(
        TUNNEL,
        own,
        (IdentityMatch(peer.kind, peer.value),),
        (KeyEntry("server", user.key, user.key, identity=peer),),
        LIFETIME_S,
        authentication=_authentication(name, habits, own, served, method, user),
    )
    families: dict[str, Selector] = {"ipv4": ANY_IPV4, "ipv6": ANY_IPV6}
    selectors = tuple(families[family] for family in habits.families)
    child = ChildPolicy(
        client.esp_proposals(),
        LIFETIME_S,
        mode=client.default_esp.mode,
        local_selectors=selectors,
        remote_selectors=selectors,
    )
    credential = served.authentication.credential
    by_server = (credential.chain[-1].issuer,) if credential is not None else ()
    return EndpointPolicy(
        name,
        (IkePolicy("default", client.ike_proposals()),),
        (profile,),
        (TunnelPolicy(TUNNEL, address, user.server, TUNNEL, child),),
        trusted=tuple(dict.fromkeys((*by_server, *user.trusts))),
        mobike=client.has_mobike(),
    )


def _authentication(
    name: str, habits: ClientHabits, own: Identity, served: IkeProfile, method: ClientMethod, user: UserSetUp
) -> Authentication:
    if method == "pre-share":
        return Authentication()
    by_server: tuple[AuthMethod, ...] = tuple(habits.server_proves_by)
    if method not in ("certificate", "eap-tls"):
        return Authentication(method, by_server, account=user.account)
    signed = served.authentication.credential
    authority = user.authority or (signed.chain[-1].issuer if signed is not None else "the client's own CA")
    key = Secret(f"private key of {name}")
    certificate = Certificate(own, "rsa2048", CERTIFICATE_BYTES, authority, "rsa2048", key)
    account = None if method == "certificate" else user.account
    return Authentication(method, by_server, Credential((certificate,), key), account=account)
