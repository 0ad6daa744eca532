"""IKE_AUTH as the responder (RFC 7296 sections 1.2, 2.15, 2.16 and 2.21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ..implementation import Condition, Part
from . import (
    authentication,
    authorisation,
    children,
    client_selectors,
    configuration,
    eap,
    mobike,
    multiple_authentication,
    ppk,
    redirect,
    resumption,
    revocation,
    work,
)
from .authentication import establish
from .compose import Supplied, compose, concluding, proving, without_child
from .events import Refusal
from .identity import Identity
from .message import Message, size_of
from .operations import Authorise, CloneInterface, Operation
from .payloads import (
    AuthPayload,
    ConfigurationPayload,
    EapPayload,
    IdPayload,
    NotifyPayload,
    Payload,
    SaPayload,
    identification,
    identity_of,
    traffic_selectors,
)
from .policy import EAP_METHODS, IkeProfile, KeyEntry
from .sa import IkeSa, nanoseconds

if TYPE_CHECKING:
    from .endpoint import Endpoint


@dataclass(slots=True)
class _Judgement:
    """What the responder makes of an IKE_AUTH request; ``operations`` is the work that this took.

    ``profile``: the first that accepts the identity, if any.
    """

    identity: Identity
    profile: IkeProfile | None = None
    key: KeyEntry | None = None
    refusal: Refusal | None = None
    operations: list[Operation] = field(default_factory=list)
    #: The initiator has left AUTH out because it wants EAP, and its profile allows that.
    wants_eap: bool = False


def receive_auth(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take an IKE_AUTH request: profile by identity, AUTH or EAP, then the Child SA (RFC 7296 2.15, 2.16, 2.21.2)."""
    if sa.eap is not None:
        _receive_eap(ep, sa, sa.eap, message)
        return
    if sa.second is not None:
        _receive_second(ep, sa, sa.second, message)
        return
    assert sa.suite is not None
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    operations: list[Operation] = [] if sa.keys_ready else list(work.shared_secret(sa.suite, nonces))
    operations += work.unprotect(sa, message)
    judgement = _Judgement(identity_of(message.payloads, "IDi"))
    judgement.profile = profile = ep.policy.profile_of(judgement.identity)
    if profile is not None and sa.resumed is None and authorisation.lacks_key(sa, profile, judgement.identity, message):
        proceed, refuse = partial(_judge_first, ep, sa, message, judgement), partial(_refuse, ep, sa, message)
        authorisation.fetch_key(ep, sa, profile, judgement.identity, operations, proceed, refuse)
    else:
        _judge_first(ep, sa, message, judgement, operations)


def _refuse(ep: Endpoint, sa: IkeSa, request: Message, refusal: Refusal, operations: list[Operation]) -> None:
    _refuse_auth(ep, sa, request, refusal, operations, NotifyPayload("AUTHENTICATION_FAILED"))


def _judge_first(ep: Endpoint, sa: IkeSa, message: Message, judgement: _Judgement, operations: list[Operation]) -> None:
    """Judge the first request of IKE_AUTH, with the keys at hand; ``operations`` is the work that is left to do."""
    _judge(ep, sa, message, judgement)
    operations += judgement.operations
    if judgement.refusal is not None:
        _refuse_auth(ep, sa, message, judgement.refusal, operations, NotifyPayload("AUTHENTICATION_FAILED"))
        return
    if sa.peer_chain:
        revocation.look(ep, sa, operations, partial(_answer_first, ep, sa, message, judgement))
    else:
        _answer_first(ep, sa, message, judgement, None, operations)


def _answer_first(
    ep: Endpoint,
    sa: IkeSa,
    message: Message,
    judgement: _Judgement,
    refusal: Refusal | None,
    operations: list[Operation],
) -> None:
    """Answer the first request of IKE_AUTH of a peer that is accepted unless its certificate is no good any more."""
    if refusal is not None:
        _refuse(ep, sa, message, refusal, operations)
        return
    profile = judgement.profile
    assert profile is not None
    if sa.resumed is not None:
        auth, making = resumption.prove(sa)
        peer = _Peer(judgement.identity, profile, None)
        _authorise(ep, sa, peer, message, message, auth, [*operations, *making])
        return
    operations = [*operations, *authentication.make_operations(sa, profile)]
    auth = authentication.make(sa, profile, judgement.key)
    if profile.authentication.then is not None:
        _ask_for_second(ep, sa, message, judgement, auth, operations)
        return
    if judgement.wants_eap:
        sa.eap = eap.exchange(ep, sa, profile, judgement.key, message, judgement.identity)
        _begin_eap(ep, sa, sa.eap, auth, operations)
    else:
        _authorise(ep, sa, _Peer(judgement.identity, profile, judgement.key), message, message, auth, operations)


def _ask_for_second(
    ep: Endpoint, sa: IkeSa, message: Message, judgement: _Judgement, auth: AuthPayload, operations: list[Operation]
) -> None:
    """Answer the first of two proofs with this end's own, or refuse an initiator that has only one (RFC 4739 2.1)."""
    profile = judgement.profile
    assert profile is not None
    if message.notify(multiple_authentication.ANOTHER) is None:
        peer = judgement.identity
        refusal = authentication.refusal(sa, "authentication method not accepted", peer, profile.name)
        _refuse(ep, sa, message, refusal, operations)
        return
    parts = proving(ep.implementation.profile.compositions.ike_auth_response)
    payloads = compose(parts, ep.implementation, _proof(profile, auth))
    if sa.ppk is not None:
        payloads = (*payloads, ppk.accepted())
    second = multiple_authentication.second(profile)
    sa.second = multiple_authentication.SecondRound(second, judgement.key, message)
    _answer_round(ep, sa, message, payloads, operations)


def _receive_second(ep: Endpoint, sa: IkeSa, second: multiple_authentication.SecondRound, message: Message) -> None:
    """Take the second proof, or begin EAP; the identity must be that of the first."""
    operations = work.unprotect(sa, message)
    identity = identity_of(second.first.payloads, "IDi")
    named = message.find(IdPayload)
    if named is None or named.identity != identity:
        refusal = authentication.refusal(sa, "no profile accepts the identity", identity, second.profile.name)
        _refuse(ep, sa, message, refusal, operations)
        return
    if message.find(AuthPayload) is None and second.profile.authentication.eap_methods(local=False):
        server = sa.eap = eap.exchange(ep, sa, second.profile, second.key, second.first, identity)

        def answer(left: list[Operation], packet: EapPayload) -> None:
            _answer_round(ep, sa, message, (packet,), left)

        request = eap.identity_request(server)
        if request is not None:
            answer(operations, request)
        else:
            eap.ask(ep, sa, server, eap.synthetic_identity(server), operations, answer)
        return
    verdict = authentication.check(ep, sa, second.profile, second.key, message, identity)
    operations += verdict.operations
    if verdict.refusal is not None:
        _refuse(ep, sa, message, verdict.refusal, operations)
        return
    _authorise(ep, sa, _Peer(identity, second.profile, second.key), second.first, message, None, operations)


def _judge(ep: Endpoint, sa: IkeSa, message: Message, judgement: _Judgement) -> None:
    identity, profile = judgement.identity, judgement.profile
    if profile is None:
        own = tuple(origin for p in ep.policy.profiles for origin in p.accepts_origins)
        judgement.refusal = Refusal("no profile accepts the identity", "AUTHENTICATION_FAILED", identity, own)
        return
    if sa.resumed is not None:
        verdict = resumption.check(sa, message, identity)
        judgement.refusal, judgement.operations = verdict.refusal, verdict.operations
        return
    judgement.key = sa.key or profile.key_for(identity, sa.remote)
    if ep.has_ppks and message.find(AuthPayload) is not None:
        judgement.refusal, mixing = ppk.take(sa, profile, message, identity)
        judgement.operations += mixing
        if judgement.refusal is not None:
            return
    if profile.authentication.local == "pre-share" and (judgement.key is None or judgement.key.local_key is None):
        judgement.refusal = authentication.refusal(sa, "no key for the peer", identity, profile.name)
    elif profile.authentication.local in EAP_METHODS:
        # Only an initiator can be a client of EAP (RFC 7296 2.16).
        judgement.refusal = authentication.refusal(sa, "authentication method not accepted", identity, profile.name)
    elif message.find(AuthPayload) is None and profile.authentication.eap_methods(local=False):
        judgement.wants_eap = True
        if identity.kind == "address" and eap.lacks_user(ep, profile):
            judgement.refusal = authentication.refusal(sa, "identity is no EAP user name", identity, profile.name)
    else:
        verdict = authentication.check(ep, sa, profile, judgement.key, message, identity)
        judgement.refusal = verdict.refusal
        judgement.operations += verdict.operations


def _refuse_auth(
    ep: Endpoint, sa: IkeSa, request: Message, refusal: Refusal, operations: list[Operation], answer: Payload
) -> None:
    """Answer that the initiator is not who it says, and forget it (RFC 7296 2.21.2)."""
    assert sa.suite is not None
    ep.clear_timer(sa, "half_open")

    def finish(now: int) -> None:
        sa.remote_identity = refusal.identity
        ep.respond(sa, request, [answer])
        ep.tell("refused", sa, now, refusal=refusal)
        ep.close(sa, refusal, now)

    operations = [*operations, *work.protect(sa, answer.size)]
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


@dataclass(frozen=True, slots=True)
class _Peer:
    """An initiator that has proven its identity."""

    identity: Identity
    profile: IkeProfile
    key: KeyEntry | None


def _authorise(
    ep: Endpoint,
    sa: IkeSa,
    peer: _Peer,
    first: Message,
    request: Message,
    auth: AuthPayload | None,
    operations: list[Operation],
) -> None:
    """Find out what the authenticated peer may have, then answer the last request of IKE_AUTH (fact 17)."""
    subject = authorisation.Subject(peer.identity, peer.profile, authorisation.method_of(first, request))
    proceed = partial(_conclude, ep, sa, peer, first, request, auth)
    authorisation.authorise(ep, sa, subject, operations, proceed, partial(_refuse, ep, sa, request))


def _conclude(
    ep: Endpoint,
    sa: IkeSa,
    peer: _Peer,
    first: Message,
    request: Message,
    auth: AuthPayload | None,
    operations: list[Operation],
) -> None:
    """Answer the last ``request`` of IKE_AUTH; the ``first`` one, which EAP puts off, asked for the Child SA."""
    assert sa.suite is not None
    ep.clear_timer(sa, "half_open")
    away = redirect.after_authentication(ep, sa)
    if away is not None:
        _redirect(ep, sa, peer, request, (auth, away), operations, after_eap=first is not request)
        return
    # Without an SA payload the initiator wants no Child SA yet (RFC 6023).
    child = children.agree(ep, sa, peer.profile, first) if first.find(SaPayload) is not None else None
    asked, given = first.find(ConfigurationPayload), None
    if asked is not None:
        # Addresses are taken at once too. Without one there is no Child SA (RFC 7296 3.15.4).
        reply = configuration.reply(ep, sa, peer.profile, asked)
        if isinstance(reply, Refusal):
            child = reply
        else:
            given = reply
    if isinstance(child, children.Agreement):
        child = client_selectors.confine(ep, sa, child)
    sa.mobike = mobike.offered(ep) and first.notify(mobike.SUPPORTED) is not None
    spi = ep.esp_spi(sa)
    operations = list(operations)
    if peer.profile.authorises:
        operations.append(Authorise())
    if isinstance(child, children.Agreement):
        # Taken at once: the next request may be judged before this one is answered.
        sa.interface = child.interface
        if child.tunnel is None:
            operations.append(CloneInterface())
        nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
        operations += [*work.child_keys(sa.suite.prf, child.suite, nonces), *work.install()]
    payloads = _answer_payloads(ep, sa, peer.profile, child, auth, spi, given, after_eap=first is not request)
    if sa.ppk is not None:
        payloads = (*payloads, ppk.accepted())
    if ep.resumption is not None:
        tickets = resumption.give(ep, sa, first, peer.identity, peer.profile.local_identity)
        payloads = (*payloads, *tickets)
        operations += resumption.sealing(tickets)
    operations += work.protect(sa, size_of(payloads))

    def finish(now: int) -> None:
        sa.profile, sa.key, sa.keys_ready, sa.eap = peer.profile, peer.key, True, None
        sa.local_identity, sa.remote_identity = peer.profile.local_identity, peer.identity
        if first.notify("INITIAL_CONTACT") is not None:
            children.forget_stale(ep, sa, peer.identity, now)
        ep.respond(sa, request, payloads)
        if isinstance(child, Refusal):
            establish(ep, sa, now)
            ep.tell("refused", sa, now, refusal=child)
            return
        if child is None:
            establish(ep, sa, now)
            configuration.settle(ep, sa, None, now, told=given is not None)
            return
        ep.directory.assign(sa, child.tunnel)
        establish(ep, sa, now)
        selectors = (child.responder_selectors, child.initiator_selectors)
        peer_spi = first.get(SaPayload).spi
        children.install(ep, sa, child.suite, child.policy, spi, peer_spi, selectors, initiator=False, now=now)
        configuration.settle(ep, sa, None, now, told=given is not None)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def _redirect(
    ep: Endpoint,
    sa: IkeSa,
    peer: _Peer,
    request: Message,
    answer: tuple[AuthPayload | None, NotifyPayload],
    operations: list[Operation],
    *,
    after_eap: bool,
) -> None:
    """Answer an authenticated initiator with AUTH and a redirection, without a Child SA (RFC 5685 section 6)."""
    auth, away = answer
    parts = proving(ep.implementation.profile.compositions.ike_auth_response)
    composed = compose(concluding(parts) if after_eap else parts, ep.implementation, _proof(peer.profile, auth))
    payloads = (*composed, away)

    def finish(now: int) -> None:
        sa.profile, sa.key, sa.keys_ready, sa.eap = peer.profile, peer.key, True, None
        sa.local_identity, sa.remote_identity = peer.profile.local_identity, peer.identity
        ep.respond(sa, request, payloads)
        establish(ep, sa, now)
        ep.tell("redirected", sa, now, detail=str(redirect.gateway_of(away)))

    operations = [*operations, *work.protect(sa, sum(p.size for p in payloads))]
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def _answer_payloads(
    ep: Endpoint,
    sa: IkeSa,
    profile: IkeProfile,
    child: children.Agreement | Refusal | None,
    auth: AuthPayload | None,
    spi: int,
    given: ConfigurationPayload | None,
    *,
    after_eap: bool,
) -> tuple[Payload, ...]:
    """Return the last response of IKE_AUTH: identity and certificate unless EAP came in between, AUTH, the Child SA."""
    parts: Sequence[Part | str] = ep.implementation.profile.compositions.ike_auth_response
    supplied = {**_proof(profile, auth), **authentication.request_window(ep)}
    if sa.resumed is not None:
        supplied["CERT"] = None
    conditions: set[Condition] = set()
    if given is not None and given.attributes:
        supplied["CP"] = given
        conditions.add("config_request")
    if sa.mobike:
        conditions.add("mobike")
    if after_eap:
        parts = concluding(parts)
    if child is None:
        return compose(without_child(parts), ep.implementation, supplied, frozenset(conditions))
    if isinstance(child, Refusal):
        return (*compose(proving(parts), ep.implementation, supplied), NotifyPayload(child.notify))
    supplied["SA"] = SaPayload((child.proposal,), 4, spi)
    supplied["TSi"] = traffic_selectors("TSi", child.initiator_selectors)
    supplied["TSr"] = traffic_selectors("TSr", child.responder_selectors)
    if child.policy.mode == "transport":
        conditions.add("transport")
    return compose(parts, ep.implementation, supplied, frozenset(conditions))


def _proof(profile: IkeProfile, auth: AuthPayload | None, packet: EapPayload | None = None) -> dict[str, Supplied]:
    return {
        "IDr": identification("IDr", profile.local_identity),
        "CERT": authentication.certificates(profile),
        "AUTH": auth,
        "EAP": packet,
    }


# -- EAP -------------------------------------------------------------------------------------------------------


def _begin_eap(
    ep: Endpoint, sa: IkeSa, server: eap.EapExchange, auth: AuthPayload, operations: list[Operation]
) -> None:
    """Prove who we are and ask for the EAP identity, or begin the first method at once (RFC 7296 2.16)."""
    parts = proving(ep.implementation.profile.compositions.ike_auth_response)

    def answer(left: list[Operation], packet: EapPayload) -> None:
        if packet.packet.code == "failure":
            _fail_eap(ep, sa, server, server.first, packet, left)
            return
        payloads = compose(parts, ep.implementation, _proof(server.profile, auth, packet))
        _answer_round(ep, sa, server.first, payloads, left)

    request = eap.identity_request(server)
    if request is not None:
        answer(operations, request)
    else:
        eap.ask(ep, sa, server, eap.synthetic_identity(server), operations, answer)


def _fail_eap(
    ep: Endpoint,
    sa: IkeSa,
    server: eap.EapExchange,
    message: Message,
    packet: EapPayload,
    operations: list[Operation],
) -> None:
    refusal = authentication.refusal(sa, server.cause, server.identity, server.profile.name)
    _refuse_auth(ep, sa, message, refusal, operations, packet)


def _receive_eap(ep: Endpoint, sa: IkeSa, server: eap.EapExchange, message: Message) -> None:
    assert sa.suite is not None
    identity = server.identity
    operations = work.unprotect(sa, message)
    packet, auth = message.find(EapPayload), message.find(AuthPayload)
    if packet is not None:

        def answer(left: list[Operation], said: EapPayload) -> None:
            if said.packet.code == "failure":
                _fail_eap(ep, sa, server, message, said, left)
            else:
                _answer_round(ep, sa, message, (said,), left)

        eap.ask(ep, sa, server, packet, operations, answer)
        return
    if ep.has_ppks:
        missing, mixing = ppk.take(sa, server.profile, message, identity)
        operations += mixing
        if missing is not None:
            _refuse_auth(ep, sa, message, missing, operations, NotifyPayload("AUTHENTICATION_FAILED"))
            return
        auth = ppk.auth_of(sa, message)
    if sa.msk is None or auth is None or auth.proof != authentication.bind(sa.msk, sa, identity, mine=False):
        refusal = authentication.refusal(sa, "wrong EAP password", identity, server.profile.name)
        _refuse_auth(ep, sa, message, refusal, operations, NotifyPayload("AUTHENTICATION_FAILED"))
        return
    local = server.profile.local_identity
    operations += authentication.shared_key_operations(sa, identity, mine=False)
    operations += authentication.shared_key_operations(sa, local, mine=True)
    own = authentication.shared_key_auth(sa, sa.msk, local)
    _authorise(ep, sa, _Peer(identity, server.profile, server.key), server.first, message, own, operations)


def _answer_round(
    ep: Endpoint, sa: IkeSa, request: Message, payloads: tuple[Payload, ...], operations: list[Operation]
) -> None:
    """Answer a request of EAP, or the first of two proofs; the SA stays half-open, its timer goes on or begins anew."""
    assert sa.suite is not None
    timeout_s = eap.timeout_s(ep, sa.eap) if sa.eap is not None else None

    def finish(now: int) -> None:
        sa.keys_ready = True
        if timeout_s is not None:
            ep.set_timer(sa, "half_open", now + nanoseconds(timeout_s))
        ep.respond(sa, request, payloads)

    operations = [*operations, *work.protect(sa, sum(p.size for p in payloads))]
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)
