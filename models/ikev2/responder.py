"""IKE_SA_INIT and IKE_AUTH as the responder (RFC 7296 sections 1.2, 2.6, 2.15, 2.16, 2.21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..addresses import IpAddress
from ..implementation import Condition, Part
from ..randomness import make_key
from . import authentication, children, configuration, eap, fragmentation, mobike, nat, redirect, work
from .authentication import establish, init_conditions
from .compose import Supplied, compose, concluding, proving, without_child
from .events import Refusal
from .identity import Identity
from .message import Datagram, Message
from .operations import Authorise, CloneInterface, Operation
from .payloads import (
    AuthPayload,
    EapPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
    TsPayload,
)
from .policy import IkeProfile, KeyEntry
from .proposals import IkeProposal, choose_ike, proposal_of
from .sa import IkeSa, nanoseconds
from .states import Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


def receive_init(ep: Endpoint, datagram: Datagram, now: int) -> None:
    """Take an IKE_SA_INIT request of a new initiator: admission, cookie, proposal, group, then an SA."""
    message, remote, local = datagram.message, datagram.source, datagram.destination
    half_open = ep.half_open_count()
    limit = ep.policy.max_in_negotiation_incoming
    if half_open >= (ep.implementation.count("max_in_negotiation_incoming") if limit is None else limit):
        ep.tell_of_stranger("rejected_by_admission", remote, now)
        return
    if _is_full_for(ep, remote):
        ep.tell_of_stranger("rejected_by_admission", remote, now, Refusal("no room for another tunnel"))
        return
    receive: list[Operation] = list(work.RECEIVE)
    threshold = ep.policy.cookie_threshold
    if threshold is not None and half_open >= threshold:
        cookie = message.notify("COOKIE")
        expected = _cookie(message, remote)
        receive += work.cookie()
        if cookie is None or cookie.value != expected:
            answer = NotifyPayload("COOKIE", ep.implementation.count("cookie_bytes"), value=expected)
            ep.begin(
                None, remote, work.stateless_answer(), "cookie", lambda _t: ep.answer_without_state(datagram, answer)
            )
            ep.tell_of_stranger("cookie_demanded", remote, now)
            return
    if redirect.send_away(ep, datagram, receive, now):
        return
    offered = tuple(p for p in message.get(SaPayload).proposals if isinstance(p, IkeProposal))
    own = ep.policy.proposals_for(local)
    suite = choose_ike(offered, own)
    refusal = None
    if suite is None:
        refusal = NotifyPayload("NO_PROPOSAL_CHOSEN")
    elif suite.group != message.get(KePayload).group:
        refusal = NotifyPayload("INVALID_KE_PAYLOAD", 2, value=suite.group)
    if suite is None or refusal is not None:
        answer = refusal or NotifyPayload("NO_PROPOSAL_CHOSEN")
        step = f"refuse with {answer.type}"
        ep.begin(None, remote, [*receive, *work.SEND], step, lambda _t: ep.answer_without_state(datagram, answer))
        if suite is None:
            ep.tell_of_stranger("refused", remote, now, Refusal("no IKE proposal in common", answer.type))
        return
    sa = ep.new_sa(local, remote, initiator=False, now=now)
    own_nonce = ep.nonce(sa)
    sa.nonce_local, sa.nonce_local_bytes = own_nonce.value, own_nonce.n_bytes
    sa.remote_spi = message.spi_i
    sa.suite, sa.group = suite, suite.group
    nonce = message.get(NoncePayload)
    sa.nonce_remote, sa.nonce_remote_bytes = nonce.value, nonce.n_bytes
    sa.init_request = message
    sa.local_port, sa.remote_port = datagram.destination_port, datagram.source_port
    nat.detect(ep, sa, message)
    fragmentation.agree(ep, sa, announced_by_peer=message.notify(fragmentation.NOTIFY) is not None)
    sa.processing_request_id = 0
    ep.remember_init(sa)
    ep.set_timer(sa, "half_open", now + nanoseconds(ep.implementation.number("half_open_timeout_s")))
    operations = [*receive, *work.nat_detection(), *work.key_exchange_initiator(suite.group)]
    if ep.implementation.profile.eager_shared_secret:
        operations += work.shared_secret(suite, nonce.n_bytes + sa.nonce_local_bytes)
    operations += [*work.nat_detection(), *work.SEND]
    ep.begin(sa, remote, operations, "IKE_SA_INIT response", lambda t: _answer_init(ep, sa, message, t))


def _is_full_for(ep: Endpoint, remote: IpAddress) -> bool:
    """Return whether there is no room for this peer; one that has an IKE SA already (a rekey, a restart) has it."""
    most = ep.policy.max_sessions
    if most is None or len(ep.sas) < most:
        return False
    peers = {sa.remote for sa in ep.sas.values()}
    return len(peers) >= most and remote not in peers


def _cookie(message: Message, remote: IpAddress) -> int:
    """Return an initiator's cookie: a function of what it sent, so that nothing is kept (RFC 7296 2.6)."""
    nonce = message.get(NoncePayload)
    return make_key(0, f"{remote}:{message.spi_i}", f"cookie {nonce.value}")


def _answer_init(ep: Endpoint, sa: IkeSa, request: Message, now: int) -> None:
    assert sa.suite is not None
    suite = sa.suite
    supplied: dict[str, Supplied] = {
        "SA": SaPayload((proposal_of(suite),), 0),
        "KE": KePayload(suite.group),
        "Nonce": NoncePayload(sa.nonce_local, sa.nonce_local_bytes),
        "CERTREQ": authentication.certificate_request(ep),
        **nat.payloads(ep, (sa.local, sa.local_port), (sa.remote, sa.remote_port)),
    }
    compositions = ep.implementation.profile.compositions
    conditions = init_conditions(ep, intermediate=bool(suite.additional_exchanges))
    payloads = compose(compositions.ike_sa_init_response, ep.implementation, supplied, conditions)
    sa.move(Trigger.ANSWER_INIT)
    sa.keys_ready = ep.implementation.profile.eager_shared_secret
    sa.init_response = ep.respond(sa, request, payloads)
    ep.tell("half_open", sa, now)


# -- IKE_AUTH --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Judgement:
    """What the responder makes of an IKE_AUTH request; ``operations`` is the work that this took."""

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
    assert sa.suite is not None
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    operations = [] if sa.keys_ready else work.shared_secret(sa.suite, nonces)
    operations += work.unprotect(sa, message)
    judgement = _judge(ep, sa, message)
    operations += judgement.operations
    if judgement.refusal is not None:
        _refuse_auth(ep, sa, message, judgement.refusal, operations, NotifyPayload("AUTHENTICATION_FAILED"))
        return
    profile = judgement.profile
    assert profile is not None
    operations += authentication.make_operations(sa, profile)
    auth = authentication.make(sa, profile, judgement.key)
    if judgement.wants_eap:
        sa.eap = eap.EapServer(profile, judgement.key, message)
        _begin_eap(ep, sa, profile, auth, message, operations)
    else:
        _conclude(ep, sa, _Peer(judgement.identity, profile, judgement.key), message, message, auth, operations)


def _judge(ep: Endpoint, sa: IkeSa, message: Message) -> _Judgement:
    identity = next(p.identity for p in message.all(IdPayload) if p.role == "IDi")
    judgement = _Judgement(identity)
    profile = next((p for p in ep.policy.profiles if p.matches(identity)), None)
    if profile is None:
        own = tuple(origin for p in ep.policy.profiles for origin in p.accepts_origins)
        judgement.refusal = Refusal("no profile accepts the identity", "AUTHENTICATION_FAILED", identity, own)
        return judgement
    judgement.profile = profile
    judgement.key = profile.key_for(identity, sa.remote)
    if profile.authentication.local == "pre-share" and (judgement.key is None or judgement.key.local_key is None):
        judgement.refusal = authentication.refusal(sa, "no key for the peer", identity, profile.name)
    elif message.find(AuthPayload) is None and "eap-mschapv2" in profile.authentication.remote:
        judgement.wants_eap = True
    else:
        verdict = authentication.check(ep, sa, profile, judgement.key, message, identity)
        judgement.refusal, judgement.operations = verdict.refusal, verdict.operations
    return judgement


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


def _conclude(
    ep: Endpoint,
    sa: IkeSa,
    peer: _Peer,
    first: Message,
    request: Message,
    auth: AuthPayload,
    operations: list[Operation],
) -> None:
    """Answer the last ``request`` of IKE_AUTH; the ``first`` one, which EAP puts off, asked for the Child SA."""
    assert sa.suite is not None
    ep.clear_timer(sa, "half_open")
    # Without an SA payload the initiator wants no Child SA yet (RFC 6023).
    child = children.agree(ep, sa, peer.profile, first) if first.find(SaPayload) is not None else None
    pool = peer.profile.pool
    if pool is not None and configuration.asks_for_address(first):
        # Taken at once too. Without an address there is no Child SA (RFC 7296 3.15.4).
        sa.virtual_address = ep.addresses.take(pool)
        if sa.virtual_address is None:
            child = Refusal("no address left in the pool", "INTERNAL_ADDRESS_FAILURE")
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
    payloads = _answer_payloads(ep, sa, peer.profile, child, auth, spi, after_eap=first is not request)
    operations += work.protect(sa, sum(p.size for p in payloads))

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
            return
        sa.tunnel = child.tunnel
        establish(ep, sa, now)
        selectors = (child.responder_selectors, child.initiator_selectors)
        peer_spi = first.get(SaPayload).spi
        children.install(ep, sa, child.suite, child.policy, spi, peer_spi, selectors, initiator=False, now=now)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def _answer_payloads(
    ep: Endpoint,
    sa: IkeSa,
    profile: IkeProfile,
    child: children.Agreement | Refusal | None,
    auth: AuthPayload,
    spi: int,
    *,
    after_eap: bool,
) -> tuple[Payload, ...]:
    """Return the last response of IKE_AUTH: identity and certificate unless EAP came in between, AUTH, the Child SA."""
    parts: Sequence[Part | str] = ep.implementation.profile.compositions.ike_auth_response
    supplied = _proof(profile, auth)
    conditions: set[Condition] = set()
    if sa.virtual_address is not None and profile.pool is not None:
        supplied["CP"] = configuration.reply(profile.pool, sa.virtual_address)
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
    supplied["TSi"] = TsPayload("TSi", child.initiator_selectors)
    supplied["TSr"] = TsPayload("TSr", child.responder_selectors)
    if child.policy.mode == "transport":
        conditions.add("transport")
    return compose(parts, ep.implementation, supplied, frozenset(conditions))


def _proof(profile: IkeProfile, auth: AuthPayload, packet: EapPayload | None = None) -> dict[str, Supplied]:
    return {
        "IDr": IdPayload("IDr", profile.local_identity),
        "CERT": authentication.certificates(profile),
        "AUTH": auth,
        "EAP": packet,
    }


# -- EAP -------------------------------------------------------------------------------------------------------


def _begin_eap(
    ep: Endpoint, sa: IkeSa, profile: IkeProfile, auth: AuthPayload, request: Message, operations: list[Operation]
) -> None:
    """Prove who we are and ask for the EAP identity (RFC 7296 2.16)."""
    parts = proving(ep.implementation.profile.compositions.ike_auth_response)
    payloads = compose(parts, ep.implementation, _proof(profile, auth, eap.identity_request()))
    _answer_round(ep, sa, request, payloads, operations)


def _receive_eap(ep: Endpoint, sa: IkeSa, server: eap.EapServer, message: Message) -> None:
    assert sa.suite is not None
    identity = next(p.identity for p in server.first.all(IdPayload) if p.role == "IDi")
    operations = work.unprotect(sa, message)
    packet, auth = message.find(EapPayload), message.find(AuthPayload)
    if packet is not None:
        more, answer = eap.next_request(ep, sa, server, packet)
        operations += more
        if answer.kind == "failure":
            refusal = authentication.refusal(sa, "wrong EAP password", identity, server.profile.name)
            _refuse_auth(ep, sa, message, refusal, operations, answer)
        else:
            _answer_round(ep, sa, message, (answer,), operations)
        return
    if sa.msk is None or auth is None or auth.proof != authentication.bind(sa.msk, sa, identity, mine=False):
        refusal = authentication.refusal(sa, "wrong EAP password", identity, server.profile.name)
        _refuse_auth(ep, sa, message, refusal, operations, NotifyPayload("AUTHENTICATION_FAILED"))
        return
    local = server.profile.local_identity
    operations += authentication.shared_key_operations(sa, identity, mine=False)
    operations += authentication.shared_key_operations(sa, local, mine=True)
    own = authentication.shared_key_auth(sa, sa.msk, local)
    _conclude(ep, sa, _Peer(identity, server.profile, server.key), server.first, message, own, operations)


def _answer_round(
    ep: Endpoint, sa: IkeSa, request: Message, payloads: tuple[Payload, ...], operations: list[Operation]
) -> None:
    """Answer one request of an EAP exchange; the SA stays half-open, so that its timer goes on."""
    assert sa.suite is not None

    def finish(_now: int) -> None:
        sa.keys_ready = True
        ep.respond(sa, request, payloads)

    operations = [*operations, *work.protect(sa, sum(p.size for p in payloads))]
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)
