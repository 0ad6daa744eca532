"""IKE_SA_INIT and IKE_AUTH, both roles, with pre-shared keys (RFC 7296 sections 1.2, 2.6, 2.15, 2.21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..algorithms import PRFS
from ..implementation import Condition
from . import children, work
from .compose import compose
from .events import Refusal
from .identity import Identity
from .message import Datagram, Exchange, Message
from .operations import Operation
from .payloads import (
    AuthPayload,
    ConfigurationPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
    TsPayload,
)
from .policy import IkeProfile, KeyEntry, TunnelPolicy
from .proposals import EspProposal, IkeProposal, Suite, choose_ike
from .sa import IkeSa, Task, nanoseconds
from .states import State, Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: How often a request may be repeated because of a cookie or another group before the peer is given up (RFC 7296 2.6
#: warns of endless exchanges; the number is ours).
MAX_INIT_REPEATS = 4


def _conditions(ep: Endpoint) -> frozenset[Condition]:
    return frozenset({"fragmentation"}) if ep.policy.fragmentation else frozenset()


# -- initiator: IKE_SA_INIT ------------------------------------------------------------------------------------


def start(ep: Endpoint, tunnel: TunnelPolicy, now: int) -> None:
    """Begin a first exchange with the peer of ``tunnel``."""
    sa = ep.new_sa(tunnel.local_address, tunnel.remote_address, initiator=True, now=now)
    sa.tunnel, sa.interface = tunnel, tunnel.name
    sa.profile = ep.policy.profile(tunnel.profile)
    sa.local_identity = sa.profile.local_identity
    sa.started_ns = now
    proposals = ep.policy.proposals_for(sa.local)
    sa.group = proposals[0].groups[0]
    ep.tell("attempt", sa, now)
    operations = [*work.key_exchange_initiator(sa.group), *work.nat_detection(), *work.SEND]
    ep.begin(sa, sa.remote, operations, "IKE_SA_INIT request", lambda t: _send_init(ep, sa, t))


def _send_init(ep: Endpoint, sa: IkeSa, now: int) -> None:
    supplied: dict[str, Payload | None] = {
        "SA": SaPayload(ep.policy.proposals_for(sa.local), 0),
        "KE": KePayload(sa.group),
        "Nonce": NoncePayload(sa.nonce_local, sa.nonce_local_bytes),
    }
    compositions = ep.implementation.profile.compositions
    payloads = compose(compositions.ike_sa_init_request, ep.implementation, supplied, _conditions(ep))
    if sa.cookie is not None:
        payloads = (NotifyPayload("COOKIE", ep.implementation.count("cookie_bytes"), value=sa.cookie), *payloads)
    sa.move(Trigger.SEND_INIT if sa.state is State.IDLE else Trigger.REPEAT_INIT)
    sa.next_request_id = 0
    sa.init_request = ep.request(
        sa, Exchange.IKE_SA_INIT, payloads, "init", lambda m: _receive_init_response(ep, sa, m), now
    )


def _receive_init_response(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    cookie = message.notify("COOKIE")
    wrong_group = message.notify("INVALID_KE_PAYLOAD")
    proposals = ep.policy.proposals_for(sa.local)
    if cookie is not None or wrong_group is not None:
        offered = {g for p in proposals for g in p.groups}
        usable = wrong_group is None or wrong_group.value in offered
        sa.init_repeats += 1
        if not usable or sa.init_repeats > MAX_INIT_REPEATS:
            _refused(ep, sa, Refusal("no key exchange group in common", "INVALID_KE_PAYLOAD"))
            return
        operations: list[Operation] = [*work.RECEIVE, *work.SEND]
        if cookie is not None:
            sa.cookie = cookie.value
        if wrong_group is not None:
            sa.group = wrong_group.value
            operations = [*work.RECEIVE, *work.key_exchange_initiator(sa.group), *work.SEND]
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT request again", lambda t: _send_init(ep, sa, t))
        return
    if message.notify("NO_PROPOSAL_CHOSEN") is not None:
        own = tuple(str(p) for p in proposals)
        _refused(ep, sa, Refusal("no IKE proposal in common", "NO_PROPOSAL_CHOSEN", own=own))
        return
    chosen = message.get(SaPayload).proposals[0]
    assert isinstance(chosen, IkeProposal)
    integrity = chosen.integrity[0] if chosen.integrity else ""
    suite = Suite(chosen.encryption[0], integrity, chosen.prf[0], chosen.groups[0])
    nonce = message.get(NoncePayload)
    profile = sa.profile
    assert profile is not None and sa.init_request is not None
    key = profile.key_for(profile.expected_identity(), sa.remote)
    nonces = sa.nonce_local_bytes + nonce.n_bytes
    operations = [*work.RECEIVE, *work.nat_detection(), *work.shared_secret(suite, nonces)]
    if key is None or key.local_key is None:
        refusal = Refusal("no key for the peer", own=(profile.name,))
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT response", lambda t: ep.close(sa, refusal, t))
        return
    identity = IdPayload("IDi", profile.local_identity)
    operations += work.psk_auth(suite.prf, sa.init_request, nonce.n_bytes, identity.size - 4)

    def finish(t: int) -> None:
        sa.suite, sa.key = suite, key
        sa.remote_spi = message.spi_r
        sa.nonce_remote, sa.nonce_remote_bytes = nonce.value, nonce.n_bytes
        sa.init_response, sa.keys_ready = message, True
        _send_auth(ep, sa, key, t)

    # The size of the request is known now: its protection is a part of this work.
    inner = _auth_request_bytes(ep, sa, suite)
    ep.begin(sa, sa.remote, operations + work.protect(suite, inner), "IKE_AUTH request", finish)


def _refused(ep: Endpoint, sa: IkeSa, refusal: Refusal) -> None:
    ep.begin(sa, sa.remote, list(work.RECEIVE), "refusal", lambda t: ep.close(sa, refusal, t))


# -- initiator: IKE_AUTH ---------------------------------------------------------------------------------------


def _proof(key: KeyEntry, sa: IkeSa, identity: Identity, *, mine: bool, by_initiator: bool) -> bytes:
    secret = key.local_key if mine else key.remote_key
    if secret is None:
        return b""
    nonces = (sa.nonce_local, sa.nonce_remote) if sa.initiator else (sa.nonce_remote, sa.nonce_local)
    return secret.proof(by_initiator, sa.spi_i, sa.spi_r, *nonces, identity)


def _auth_payloads(
    ep: Endpoint, sa: IkeSa, suite: Suite, profile: IkeProfile, tunnel: TunnelPolicy, proof: bytes, spi: int
) -> tuple[Payload, ...]:
    conditions: set[Condition] = set()
    if profile.config_request and ep.implementation.profile.config_request:
        conditions.add("config_request")
    if not any(s.remote == sa.remote and s.state is State.ESTABLISHED for s in ep.sas.values() if s is not sa):
        conditions.add("initial_contact")
    if tunnel.child.mode == "transport":
        conditions.add("transport")
    expected = profile.expected_identity()
    if expected is not None:
        conditions.add("expected_peer")
    supplied: dict[str, Payload | None] = {
        "IDi": IdPayload("IDi", profile.local_identity),
        "IDr": IdPayload("IDr", expected) if expected is not None else None,
        "AUTH": AuthPayload(PRFS[suite.prf].output_bytes, proof),
        "CP": ConfigurationPayload("REQUEST", tuple(ep.implementation.config_attributes())),
        "SA": SaPayload(tuple(p.without_groups() for p in tunnel.child.proposals), 4, spi),
        "TSi": TsPayload("TSi", tunnel.child.local_selectors),
        "TSr": TsPayload("TSr", tunnel.child.remote_selectors),
    }
    compositions = ep.implementation.profile.compositions
    return compose(compositions.ike_auth_request, ep.implementation, supplied, frozenset(conditions))


def _auth_request_bytes(ep: Endpoint, sa: IkeSa, suite: Suite) -> int:
    assert sa.profile is not None and sa.tunnel is not None
    return sum(p.size for p in _auth_payloads(ep, sa, suite, sa.profile, sa.tunnel, b"", 0))


def _send_auth(ep: Endpoint, sa: IkeSa, key: KeyEntry, now: int) -> None:
    assert sa.profile is not None and sa.tunnel is not None and sa.suite is not None
    spi = ep.esp_spi(sa.remote)
    proof = _proof(key, sa, sa.profile.local_identity, mine=True, by_initiator=True)
    payloads = _auth_payloads(ep, sa, sa.suite, sa.profile, sa.tunnel, proof, spi)
    sa.move(Trigger.SEND_AUTH)
    ep.request(sa, Exchange.IKE_AUTH, payloads, "auth", lambda m: _receive_auth_response(ep, sa, m, spi), now)


def _receive_auth_response(ep: Endpoint, sa: IkeSa, message: Message, spi: int) -> None:
    assert sa.suite is not None and sa.profile is not None and sa.tunnel is not None and sa.key is not None
    error = message.error()
    identity = message.find(IdPayload)
    if identity is None:
        refusal = Refusal("refused by the peer", error.type if error else "")
        ep.begin(sa, sa.remote, work.unprotect(message), "IKE_AUTH response", lambda t: ep.close(sa, refusal, t))
        return
    operations = work.unprotect(message)
    assert sa.init_response is not None
    id_bytes = identity.size - 4
    operations += work.psk_auth(sa.suite.prf, sa.init_response, sa.nonce_local_bytes, id_bytes)
    sa.remote_identity = identity.identity
    proof = _proof(sa.key, sa, identity.identity, mine=False, by_initiator=False)
    rejection: Refusal | None = None
    if not sa.profile.matches(identity.identity):
        own = sa.profile.accepts_origins
        rejection = Refusal("identity of the responder not accepted", identity=identity.identity, own=own)
    elif not proof or proof != message.get(AuthPayload).proof:
        rejection = Refusal("wrong key", identity=identity.identity, own=(sa.key.remote_origin,))
    if rejection is not None:
        refused = rejection
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _reject_responder(ep, sa, refused, t))
        return
    if error is not None:
        refusal = Refusal(_child_cause(error.type), error.type)
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _no_child(ep, sa, refusal, spi, t))
        return
    chosen = message.get(SaPayload)
    proposal = chosen.proposals[0]
    assert isinstance(proposal, EspProposal)
    suite = children.suite_of(proposal)
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    operations += [*work.child_keys(sa.suite.prf, suite, nonces), *work.install()]
    policy = sa.tunnel.child

    def finish(t: int) -> None:
        establish(ep, sa, t)
        selectors = (message_selectors(message, "TSi"), message_selectors(message, "TSr"))
        children.install(ep, sa, suite, policy, spi, chosen.spi, selectors, initiator=True, now=t)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def message_selectors(message: Message, role: str) -> tuple[children.Selector, ...]:
    """Return the selectors of TSi or TSr."""
    return next(ts.selectors for ts in message.all(TsPayload) if ts.role == role)


def _child_cause(notify: str) -> children.Cause:
    return "traffic selectors differ" if notify == "TS_UNACCEPTABLE" else "no IPsec proposal in common"


def _reject_responder(ep: Endpoint, sa: IkeSa, refusal: Refusal, now: int) -> None:
    if ep.implementation.profile.reports_rejected_responder:
        payload = NotifyPayload("AUTHENTICATION_FAILED")
        ep.request(sa, Exchange.INFORMATIONAL, [payload], "report", lambda _m: _close_later(ep, sa, refusal), now)
    else:
        ep.close(sa, refusal, now)


def _close_later(ep: Endpoint, sa: IkeSa, refusal: Refusal) -> None:
    ep.begin(sa, sa.remote, list(work.RECEIVE), "INFORMATIONAL response", lambda t: ep.close(sa, refusal, t))


def _no_child(ep: Endpoint, sa: IkeSa, refusal: Refusal, spi: int, now: int) -> None:
    """The peer is authenticated but refused the first Child SA: keep the IKE SA, or delete both and try again."""
    establish(ep, sa, now)
    ep.tell("attempt_failed", sa, now, refusal=refusal)
    if ep.implementation.profile.deletes_ike_sa_without_child:
        sa.tasks.append(Task(f"delete spi {spi}"))
        sa.tasks.append(Task("delete ike"))


def establish(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Both ends are authenticated: start the timers of the IKE SA."""
    sa.move(Trigger.AUTHENTICATE)
    ep.clear_timer(sa, "half_open")
    children.start_ike_timers(ep, sa, now)
    ep.tell("ike_established", sa, now)


# -- responder -------------------------------------------------------------------------------------------------


def receive_init(ep: Endpoint, datagram: Datagram, now: int) -> None:
    """Take an IKE_SA_INIT request of a new initiator: admission, cookie, proposal, group, then an SA."""
    message, remote, local = datagram.message, datagram.source, datagram.destination
    half_open = ep.half_open_count()
    limit = ep.policy.max_in_negotiation_incoming
    if half_open >= (ep.implementation.count("max_in_negotiation_incoming") if limit is None else limit):
        ep.tell_of_stranger("rejected_by_admission", remote, now)
        return
    threshold = ep.policy.cookie_threshold
    if threshold is not None and half_open >= threshold:
        cookie = message.notify("COOKIE")
        expected = hash_cookie(message, remote)
        if cookie is None or cookie.value != expected:
            answer = NotifyPayload("COOKIE", ep.implementation.count("cookie_bytes"), value=expected)
            operations: list[Operation] = [*work.RECEIVE, *work.nat_detection()[:1], *work.SEND]
            ep.begin(None, remote, operations, "cookie", lambda _t: ep.answer_without_state(datagram, answer))
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
        ep.begin(None, remote, [*work.RECEIVE, *work.SEND], step, lambda _t: ep.answer_without_state(datagram, answer))
        if suite is None:
            ep.tell_of_stranger("refused", remote, now, Refusal("no IKE proposal in common", answer.type))
        return
    sa = ep.new_sa(local, remote, initiator=False, now=now)
    sa.remote_spi = message.spi_i
    sa.suite, sa.group = suite, suite.group
    nonce = message.get(NoncePayload)
    sa.nonce_remote, sa.nonce_remote_bytes = nonce.value, nonce.n_bytes
    sa.init_request = message
    sa.processing_request_id = 0
    ep.remember_init(sa)
    ep.set_timer(sa, "half_open", now + nanoseconds(ep.implementation.number("half_open_timeout_s")))
    operations = [*work.RECEIVE, *work.nat_detection(), *work.key_exchange_initiator(suite.group)]
    if ep.implementation.profile.eager_shared_secret:
        operations += work.shared_secret(suite, nonce.n_bytes + sa.nonce_local_bytes)
    operations += [*work.nat_detection(), *work.SEND]
    ep.begin(sa, remote, operations, "IKE_SA_INIT response", lambda t: _answer_init(ep, sa, message, t))


def hash_cookie(message: Message, remote: object) -> int:
    """Return an initiator's cookie: a function of what it sent, so that nothing is kept (RFC 7296 2.6)."""
    from ..randomness import make_key

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
    payloads = compose(compositions.ike_sa_init_response, ep.implementation, supplied, _conditions(ep))
    sa.move(Trigger.ANSWER_INIT)
    sa.keys_ready = ep.implementation.profile.eager_shared_secret
    sa.init_response = ep.respond(sa, request, payloads, now)
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
    spi = ep.esp_spi(sa.remote)
    if judgement.child is not None:
        operations += [*work.child_keys(suite.prf, judgement.child.suite, nonces), *work.install()]
    payloads = _auth_answer(ep, sa, judgement, spi, b"")
    operations += work.protect(suite, sum(p.size for p in payloads))
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _accept_auth(ep, sa, message, judgement, spi, t))


def _judge(ep: Endpoint, sa: IkeSa, message: Message) -> _Judgement:
    identity = message.get(IdPayload).identity
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
    expected = _proof(key, sa, identity, mine=False, by_initiator=True)
    if message.get(AuthPayload).proof != expected:
        judgement.refusal = Refusal("wrong key", "AUTHENTICATION_FAILED", identity, (key.remote_origin,))
        return judgement
    child = children.agree(ep, sa, profile, message)
    if isinstance(child, Refusal):
        judgement.child_refusal = child
    else:
        judgement.child = child
    return judgement


def _refuse_auth(ep: Endpoint, sa: IkeSa, request: Message, judgement: _Judgement, now: int) -> None:
    assert judgement.refusal is not None
    sa.remote_identity = judgement.identity
    ep.respond(sa, request, [NotifyPayload("AUTHENTICATION_FAILED")], now)
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
    proof = _proof(judgement.key, sa, judgement.profile.local_identity, mine=True, by_initiator=False)
    if request.notify("INITIAL_CONTACT") is not None:
        children.forget_stale(ep, sa, judgement.identity, now)
    ep.respond(sa, request, _auth_answer(ep, sa, judgement, spi, proof), now)
    child = judgement.child
    if child is not None:
        sa.tunnel, sa.interface = child.tunnel, child.interface
    establish(ep, sa, now)
    if child is None:
        assert judgement.child_refusal is not None
        ep.tell("refused", sa, now, refusal=judgement.child_refusal)
        return
    selectors = (child.responder_selectors, child.initiator_selectors)
    peer_spi = request.get(SaPayload).spi
    children.install(ep, sa, child.suite, child.policy, spi, peer_spi, selectors, initiator=False, now=now)
