"""EAP inside IKE_AUTH: the responder passes packets between the initiator and an EAP server (RFC 7296 2.16).

The server is the responder itself, as strongSwan is with its own accounts, or a AAA server. Once EAP has succeeded both
ends prove by AUTH that they hold the key that the method gave them, or where it gives none, SK_pi and SK_pr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ..eap.packets import EapPacket, identity_response
from ..eap.peer import EapPeer
from ..eap.rules import EapRules, Surroundings
from ..eap.server import EapServer
from ..secret import Secret
from .enquiries import Answer, EapAnswer, EapQuestion, LoginAnswer, LoginQuestion, NoAnswer, Rejected
from .identity import Identity
from .message import Message
from .operations import Authorise, Operation
from .payloads import EapPayload
from .policy import EapAccount, IkeProfile, KeyEntry
from .sa import Cause, IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: Goes on with the work that is left to do and the server's packet.
Proceed = Callable[[list[Operation], EapPayload], None]


@dataclass(slots=True)
class EapExchange:
    """A responder's side: the server, and the first request of IKE_AUTH, which is answered at the end.

    ``server`` is None where a AAA server does the EAP. ``name``: the EAP identity, or the IKE identity until it is
    known. ``cause``: why the server has refused the peer.
    """

    profile: IkeProfile
    key: KeyEntry | None
    first: Message
    identity: Identity
    server: EapServer | None
    name: str
    cause: Cause = "wrong EAP password"
    state: object = field(default=None, repr=False)
    #: Users whose password a AAA server has accepted, where it is asked for nothing else; None: nobody is asked.
    logins: set[str] | None = None


def _surroundings(ep: Endpoint, sa: IkeSa) -> Surroundings:
    return Surroundings(ep.implementation.count, partial(sa.streams.bits, "eap"))


# -- The responder ---------------------------------------------------------------------------------------------


def exchange(
    ep: Endpoint, sa: IkeSa, profile: IkeProfile, key: KeyEntry | None, first: Message, identity: Identity
) -> EapExchange:
    """Return a new exchange with an initiator that wants EAP."""
    told = profile.authentication
    server, logins = None, None
    by_aaa = profile.aaa is not None and bool(profile.aaa.eap)
    if by_aaa and told.eap_methods(local=False)[:1] == ("anyconnect",):
        # The router speaks AnyConnect-EAP itself and has the list judge user and password alone.
        logins = set[str]()
    if not by_aaa or logins is not None:
        rules = EapRules(
            told.eap_methods(local=False),
            told.users,
            credential=told.credential,
            trusted=ep.policy.trusted,
            tls_version=told.tls_version,
            admits=logins.__contains__ if logins is not None else None,
        )
        server = EapServer(rules, _surroundings(ep, sa))
    return EapExchange(profile, key, first, identity, server, identity.value, logins=logins)


def lacks_user(ep: Endpoint, profile: IkeProfile) -> bool:
    """Return whether a peer that calls itself by an address has no user name for this end, which IOS refuses then.

    AnyConnect-EAP and a server that asks for the EAP identity do not need the IKE identity.
    """
    told = profile.authentication
    asks = told.queries_identity or told.eap_methods(local=False)[:1] == ("anyconnect",)
    return not asks and ep.implementation.profile.refuses_address_as_eap_user


def identity_request(told: EapExchange) -> EapPayload | None:
    """Return the question who is there (RFC 3748 5.1), or None where the server is told the IKE identity.

    AnyConnect-EAP has a form of its own for the user.
    """
    authentication = told.profile.authentication
    methods = authentication.eap_methods(local=False)
    if not authentication.queries_identity or methods[:1] == ("anyconnect",):
        return None
    if told.server is not None:
        return EapPayload(told.server.identity_request())
    return EapPayload(EapPacket("request", "identity request", "identity"))


def timeout_s(ep: Endpoint, told: EapExchange) -> float | None:
    """Return how long the responder waits for each next request; None: until the half-open time has passed. [s]"""
    own = told.profile.authentication.eap_timeout_s
    if own is None and ep.implementation.profile.values.eap_timeout_s is not None:
        return ep.implementation.number("eap_timeout_s")
    return own


def synthetic_identity(told: EapExchange) -> EapPayload:
    """Return the answer to a question that was not asked: the IKE identity (RFC 3579 2.1)."""
    return EapPayload(identity_response(told.name))


def ask(
    ep: Endpoint, sa: IkeSa, told: EapExchange, packet: EapPayload, operations: list[Operation], proceed: Proceed
) -> None:
    """Give the server a packet; go on with its next one. The key is in ``sa.msk`` after success.

    The ``operations`` that are left to do are done before a AAA server is asked.
    """
    sa.eap_user = packet.packet.user or sa.eap_user
    if packet.packet.type == "identity":
        told.name = packet.packet.user or told.name
    if told.server is not None and told.logins is not None and packet.packet.password_bytes:
        _log_in(ep, sa, told, told.server, packet, operations, proceed)
        return
    if told.server is not None:
        more, answer = told.server.next_request(packet.packet)
        if told.server.succeeded:
            sa.msk = key_of(sa, told.server.msk)
        told.cause = told.server.cause or told.cause
        proceed([*operations, *more], EapPayload(answer))
        return
    aaa = told.profile.aaa
    assert aaa is not None
    question = EapQuestion(aaa.eap, told.name, sa.remote, packet, told.state)

    def take(answer: Answer, _now: int) -> None:
        proceed([Authorise()], _from_aaa(sa, told, packet, answer))

    def enquire(_now: int) -> None:
        sa.keys_ready = True
        ep.enquire(sa, question, take)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH request (EAP by AAA)", enquire)


def _log_in(
    ep: Endpoint,
    sa: IkeSa,
    told: EapExchange,
    server: EapServer,
    packet: EapPayload,
    operations: list[Operation],
    proceed: Proceed,
) -> None:
    """Have the AAA list judge the user and the password of a form, then let the server go on."""
    aaa, said, logins = told.profile.aaa, packet.packet, told.logins
    assert aaa is not None and logins is not None
    question = LoginQuestion(aaa.eap, said.user, sa.remote, said.proof, said.password_bytes)

    def take(answer: Answer, _now: int) -> None:
        if isinstance(answer, LoginAnswer):
            logins.add(said.user)
            told.name, sa.cached_rights = said.user, answer.rights
        else:
            told.cause = "no answer from AAA" if isinstance(answer, NoAnswer) else "refused by AAA"
        more, request = server.next_request(said)
        proceed([Authorise(), *more], EapPayload(request))

    def enquire(_now: int) -> None:
        sa.keys_ready = True
        ep.enquire(sa, question, take)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH request (login by AAA)", enquire)


def _from_aaa(sa: IkeSa, told: EapExchange, asked: EapPayload, answer: Answer) -> EapPayload:
    if isinstance(answer, EapAnswer):
        told.state = answer.state
        if answer.verdict == "accept":
            sa.msk, sa.cached_rights = key_of(sa, answer.msk), answer.rights
        told.cause = answer.cause or told.cause
        return answer.packet
    told.cause = "no answer from AAA" if isinstance(answer, NoAnswer) else "refused by AAA"
    assert isinstance(answer, NoAnswer | Rejected)
    return EapPayload(EapPacket("failure", "failure", identifier=asked.packet.identifier))


# -- The initiator ---------------------------------------------------------------------------------------------


def client(ep: Endpoint, sa: IkeSa, account: EapAccount) -> EapPeer:
    """Return the initiator's side of a new exchange."""
    assert sa.profile is not None
    told = sa.profile.authentication
    rules = EapRules(
        told.eap_methods(local=True),
        account=account,
        credential=told.credential,
        trusted=ep.policy.trusted,
        tls_version=told.tls_version,
    )
    return EapPeer(rules, _surroundings(ep, sa))


# -- Both ------------------------------------------------------------------------------------------------------


def key_of(sa: IkeSa, msk: Secret | None) -> Secret:
    """Return the key of AUTH after EAP: the MSK, or what only both ends of this IKE SA have (RFC 7296 2.16)."""
    if msk is not None:
        return msk
    nonces = (sa.nonce_local, sa.nonce_remote) if sa.initiator else (sa.nonce_remote, sa.nonce_local)
    return Secret(f"SK_p {sa.spi_i} {sa.spi_r} {nonces}")
