"""IKE_SA_INIT and IKE_AUTH as the responder, with pre-shared keys (RFC 7296 sections 1.2, 2.6, 2.15, 2.21)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from ..algorithms import PRFS
from ..implementation import Condition
from ..randomness import make_key
from . import children, work
from .authentication import auth_data, establish, init_conditions
from .compose import compose
from .events import Refusal
from .identity import Identity
from .message import Datagram, Message
from .operations import Operation
from .payloads import (
    AuthPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
    TsPayload,
)
from .policy import IkeProfile, KeyEntry
from .proposals import IkeProposal, choose_ike
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
    receive: list[Operation] = list(work.RECEIVE)
    threshold = ep.policy.cookie_threshold
    if threshold is not None and half_open >= threshold:
        cookie = message.notify("COOKIE")
        expected = _cookie(message, remote)
        # Made or checked, a cookie is one short hash; that of NAT detection has the right size.
        receive += work.nat_detection()[:1]
        if cookie is None or cookie.value != expected:
            answer = NotifyPayload("COOKIE", ep.implementation.count("cookie_bytes"), value=expected)
            ep.begin(
                None, remote, [*receive, *work.SEND], "cookie", lambda _t: ep.answer_without_state(datagram, answer)
            )
            ep.tell_of_stranger("cookie_demanded", remote, now)
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
    sa.processing_request_id = 0
    ep.remember_init(sa)
    ep.set_timer(sa, "half_open", now + nanoseconds(ep.implementation.number("half_open_timeout_s")))
    operations = [*receive, *work.nat_detection(), *work.key_exchange_initiator(suite.group)]
    if ep.implementation.profile.eager_shared_secret:
        operations += work.shared_secret(suite, nonce.n_bytes + sa.nonce_local_bytes)
    operations += [*work.nat_detection(), *work.SEND]
    ep.begin(sa, remote, operations, "IKE_SA_INIT response", lambda t: _answer_init(ep, sa, message, t))


def _cookie(message: Message, remote: IPv4Address) -> int:
    """Return an initiator's cookie: a function of what it sent, so that nothing is kept (RFC 7296 2.6)."""
    nonce = message.get(NoncePayload)
    return make_key(0, f"{remote}:{message.spi_i}", f"cookie {nonce.value}")


def _answer_init(ep: Endpoint, sa: IkeSa, request: Message, now: int) -> None:
    assert sa.suite is not None
    suite = sa.suite
    integrity = (suite.integrity,) if suite.integrity else ()
    chosen = IkeProposal((suite.encryption,), integrity, (suite.prf,), (suite.group,))
    supplied: dict[str, Payload | None] = {
        "SA": SaPayload((chosen,), 0),
        "KE": KePayload(suite.group),
        "Nonce": NoncePayload(sa.nonce_local, sa.nonce_local_bytes),
    }
    compositions = ep.implementation.profile.compositions
    payloads = compose(compositions.ike_sa_init_response, ep.implementation, supplied, init_conditions(ep))
    sa.move(Trigger.ANSWER_INIT)
    sa.keys_ready = ep.implementation.profile.eager_shared_secret
    sa.init_response = ep.respond(sa, request, payloads)
    ep.tell("half_open", sa, now)


@dataclass(slots=True)
class _Judgement:
    """What the responder makes of an IKE_AUTH request."""

    identity: Identity
    profile: IkeProfile | None = None
    key: KeyEntry | None = None
    refusal: Refusal | None = None
    child: children.Agreement | None = None
    child_refusal: Refusal | None = None


def receive_auth(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take an IKE_AUTH request: profile by identity, key, AUTH, then the Child SA (RFC 7296 2.15, 2.21.2)."""
    assert sa.suite is not None and sa.init_request is not None and sa.init_response is not None
    ep.clear_timer(sa, "half_open")
    judgement = _judge(ep, sa, message)
    suite = sa.suite
    operations: list[Operation] = []
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    if not sa.keys_ready:
        operations += work.shared_secret(suite, nonces)
    operations += work.unprotect(message)
    id_bytes = 4 + judgement.identity.data_bytes()
    if judgement.key is not None:
        operations += work.psk_auth(suite.prf, sa.init_request, sa.nonce_local_bytes, id_bytes)
    if judgement.refusal is not None:
        inner = NotifyPayload("AUTHENTICATION_FAILED").size
        operations += work.protect(suite, inner)
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _refuse_auth(ep, sa, message, judgement, t))
        return
    assert judgement.profile is not None and judgement.key is not None
    own_bytes = 4 + judgement.profile.local_identity.data_bytes()
    operations += work.psk_auth(suite.prf, sa.init_response, sa.nonce_remote_bytes, own_bytes)
    spi = ep.esp_spi(sa)
    if judgement.child is not None:
        operations += [*work.child_keys(suite.prf, judgement.child.suite, nonces), *work.install()]
    payloads = _auth_answer(ep, sa, judgement, spi, b"")
    operations += work.protect(suite, sum(p.size for p in payloads))
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _accept_auth(ep, sa, message, judgement, spi, t))


def _judge(ep: Endpoint, sa: IkeSa, message: Message) -> _Judgement:
    identity = next(p.identity for p in message.all(IdPayload) if p.role == "IDi")
    judgement = _Judgement(identity)
    profile = next((p for p in ep.policy.profiles if p.matches(identity)), None)
    if profile is None:
        own = tuple(origin for p in ep.policy.profiles for origin in p.accepts_origins)
        judgement.refusal = Refusal("no profile accepts the identity", "AUTHENTICATION_FAILED", identity, own)
        return judgement
    judgement.profile = profile
    key = profile.key_for(identity, sa.remote)
    if key is None or key.remote_key is None or key.local_key is None:
        judgement.refusal = Refusal("no key for the peer", "AUTHENTICATION_FAILED", identity, (profile.name,))
        return judgement
    judgement.key = key
    expected = auth_data(key, sa, identity, mine=False, by_initiator=True)
    if message.get(AuthPayload).proof != expected:
        judgement.refusal = Refusal("wrong key", "AUTHENTICATION_FAILED", identity, (key.remote_origin,))
        return judgement
    child = children.agree(ep, sa, profile, message)
    if isinstance(child, Refusal):
        judgement.child_refusal = child
    else:
        # Taken at once: the next request may be judged before this one is answered.
        sa.interface = child.interface
        judgement.child = child
    return judgement


def _refuse_auth(ep: Endpoint, sa: IkeSa, request: Message, judgement: _Judgement, now: int) -> None:
    assert judgement.refusal is not None
    sa.remote_identity = judgement.identity
    ep.respond(sa, request, [NotifyPayload("AUTHENTICATION_FAILED")])
    ep.tell("refused", sa, now, refusal=judgement.refusal)
    ep.close(sa, judgement.refusal, now)


def _auth_answer(ep: Endpoint, sa: IkeSa, judgement: _Judgement, spi: int, proof: bytes) -> tuple[Payload, ...]:
    assert judgement.profile is not None and sa.suite is not None
    supplied: dict[str, Payload | None] = {
        "IDr": IdPayload("IDr", judgement.profile.local_identity),
        "AUTH": AuthPayload(PRFS[sa.suite.prf].output_bytes, proof),
    }
    compositions = ep.implementation.profile.compositions
    child = judgement.child
    if child is None:
        refusal = judgement.child_refusal
        assert refusal is not None
        keep = [
            p for p in compositions.ike_auth_response if isinstance(p, str) and p.startswith(("VID:", "ID", "AUTH"))
        ]
        return (*compose(keep, ep.implementation, supplied), NotifyPayload(refusal.notify))
    supplied["SA"] = SaPayload((child.proposal,), 4, spi)
    supplied["TSi"] = TsPayload("TSi", child.initiator_selectors)
    supplied["TSr"] = TsPayload("TSr", child.responder_selectors)
    conditions: frozenset[Condition] = frozenset({"transport"} if child.policy.mode == "transport" else ())
    return compose(compositions.ike_auth_response, ep.implementation, supplied, conditions)


def _accept_auth(ep: Endpoint, sa: IkeSa, request: Message, judgement: _Judgement, spi: int, now: int) -> None:
    assert judgement.profile is not None and judgement.key is not None
    sa.profile, sa.key = judgement.profile, judgement.key
    sa.local_identity, sa.remote_identity = judgement.profile.local_identity, judgement.identity
    sa.keys_ready = True
    proof = auth_data(judgement.key, sa, judgement.profile.local_identity, mine=True, by_initiator=False)
    if request.notify("INITIAL_CONTACT") is not None:
        children.forget_stale(ep, sa, judgement.identity, now)
    ep.respond(sa, request, _auth_answer(ep, sa, judgement, spi, proof))
    child = judgement.child
    if child is not None:
        sa.tunnel = child.tunnel
    establish(ep, sa, now)
    if child is None:
        assert judgement.child_refusal is not None
        ep.tell("refused", sa, now, refusal=judgement.child_refusal)
        return
    selectors = (child.responder_selectors, child.initiator_selectors)
    peer_spi = request.get(SaPayload).spi
    children.install(ep, sa, child.suite, child.policy, spi, peer_spi, selectors, initiator=False, now=now)
