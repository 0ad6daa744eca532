"""IKE_SA_INIT and IKE_AUTH as the initiator, with pre-shared keys (RFC 7296 sections 1.2, 2.6, 2.15, 2.21)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..algorithms import PRFS
from ..implementation import Condition
from . import children, work
from .authentication import auth_data, establish, init_conditions
from .compose import compose
from .events import Refusal
from .identity import Identity
from .message import Exchange, Message
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
    Selector,
    TsPayload,
)
from .policy import IkeProfile, KeyEntry, TunnelPolicy
from .proposals import EspProposal, IkeProposal, Suite
from .sa import Cause, IkeSa, Task
from .states import State, Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: How often a request may be repeated because of a cookie or another group before the peer is given up (RFC 7296 2.6
#: warns of endless exchanges; the number is ours).
MAX_INIT_REPEATS = 4


# -- IKE_SA_INIT -----------------------------------------------------------------------------------------------


def start(ep: Endpoint, tunnel: TunnelPolicy, now: int) -> None:
    """Begin a first exchange with the peer of ``tunnel``."""
    sa = ep.new_sa(tunnel.local_address, tunnel.remote_address, initiator=True, now=now)
    sa.tunnel, sa.interface = tunnel, tunnel.name
    sa.profile = ep.policy.profile(tunnel.profile)
    sa.local_identity = sa.profile.local_identity
    nonce = ep.nonce(sa)
    sa.nonce_local, sa.nonce_local_bytes = nonce.value, nonce.n_bytes
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
    payloads = compose(compositions.ike_sa_init_request, ep.implementation, supplied, init_conditions(ep))
    if sa.cookie is not None:
        payloads = (NotifyPayload("COOKIE", ep.implementation.count("cookie_bytes"), value=sa.cookie), *payloads)
    sa.move(Trigger.SEND_INIT if sa.state is State.IDLE else Trigger.REPEAT_INIT)
    sa.next_request_id = 0
    sa.init_request = ep.request(
        sa, Exchange.IKE_SA_INIT, payloads, "init", lambda m: _receive_init_response(ep, sa, m), now
    )


def says_something_new(sa: IkeSa, message: Message) -> bool:
    """Return whether a response to IKE_SA_INIT is none of a request that was repeated since.

    All of them have message ID 0: a late copy that demands the cookie or the group of the request that is on its way
    must not answer it.
    """
    cookie, group = message.notify("COOKIE"), message.notify("INVALID_KE_PAYLOAD")
    if cookie is not None:
        return cookie.value != sa.cookie
    return group is None or group.value != sa.group


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
    error = message.error()
    if error is not None:
        own = tuple(str(p) for p in proposals)
        _refused(ep, sa, Refusal("no IKE proposal in common", error.type, own=own))
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


# -- IKE_AUTH --------------------------------------------------------------------------------------------------


def _auth_payloads(
    ep: Endpoint, sa: IkeSa, suite: Suite, profile: IkeProfile, tunnel: TunnelPolicy, proof: bytes, spi: int
) -> tuple[Payload, ...]:
    conditions: set[Condition] = set()
    if profile.config_request and ep.implementation.profile.config_request:
        conditions.add("config_request")
    if not _known_to(ep, sa, profile):
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


def _known_to(ep: Endpoint, sa: IkeSa, profile: IkeProfile) -> bool:
    """Return whether this end has an IKE SA with the same peer already, which INITIAL_CONTACT would end (RFC 7296 2.4).

    The same peer is the one at this address, or the one that has the expected identity at another address.
    """
    by_identity = ep.authenticated_with(profile.expected_identity())
    by_address = (s for s in ep.sas.values() if s.remote == sa.remote)
    return any(
        s.state is State.ESTABLISHED and s.local_identity == profile.local_identity for s in (*by_identity, *by_address)
    )


def _auth_request_bytes(ep: Endpoint, sa: IkeSa, suite: Suite) -> int:
    assert sa.profile is not None and sa.tunnel is not None
    return sum(p.size for p in _auth_payloads(ep, sa, suite, sa.profile, sa.tunnel, b"", 0))


def _send_auth(ep: Endpoint, sa: IkeSa, key: KeyEntry, now: int) -> None:
    assert sa.profile is not None and sa.tunnel is not None and sa.suite is not None
    spi = ep.esp_spi(sa)
    proof = auth_data(key, sa, sa.profile.local_identity, mine=True, by_initiator=True)
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
    proof = auth_data(sa.key, sa, identity.identity, mine=False, by_initiator=False)
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
    peer = identity.identity
    if error is not None:
        refusal = Refusal(_child_cause(error.type), error.type)
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _no_child(ep, sa, peer, refusal, spi, t))
        return
    chosen = message.get(SaPayload)
    proposal = chosen.proposals[0]
    assert isinstance(proposal, EspProposal)
    suite = children.suite_of(proposal)
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    operations += [*work.child_keys(sa.suite.prf, suite, nonces), *work.install()]
    # A responder that does not repeat USE_TRANSPORT_MODE wants tunnel mode (RFC 7296 1.3.1).
    accepted = message.notify("USE_TRANSPORT_MODE") is not None
    policy = sa.tunnel.child if accepted else replace(sa.tunnel.child, mode="tunnel")

    def finish(t: int) -> None:
        sa.remote_identity = peer
        establish(ep, sa, t)
        selectors = (_selectors(message, "TSi"), _selectors(message, "TSr"))
        children.install(ep, sa, suite, policy, spi, chosen.spi, selectors, initiator=True, now=t)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def _selectors(message: Message, role: str) -> tuple[Selector, ...]:
    return next(ts.selectors for ts in message.all(TsPayload) if ts.role == role)


def _child_cause(notify: str) -> Cause:
    return "traffic selectors differ" if notify == "TS_UNACCEPTABLE" else "no IPsec proposal in common"


def _reject_responder(ep: Endpoint, sa: IkeSa, refusal: Refusal, now: int) -> None:
    if ep.implementation.profile.reports_rejected_responder:
        payload = NotifyPayload("AUTHENTICATION_FAILED")
        then = partial(_reported, ep, sa, refusal)
        ep.request(sa, Exchange.INFORMATIONAL, [payload], "report", then, now, unanswered=refusal)
    else:
        ep.close(sa, refusal, now)


def _reported(ep: Endpoint, sa: IkeSa, refusal: Refusal, message: Message) -> None:
    ep.begin(sa, sa.remote, work.unprotect(message), "INFORMATIONAL response", lambda t: ep.close(sa, refusal, t))


def _no_child(ep: Endpoint, sa: IkeSa, peer: Identity, refusal: Refusal, spi: int, now: int) -> None:
    """The peer is authenticated but refused the first Child SA: keep the IKE SA, or delete both and try again."""
    sa.remote_identity = peer
    establish(ep, sa, now)
    ep.tell("attempt_failed", sa, now, refusal=refusal)
    if ep.implementation.profile.deletes_ike_sa_without_child:
        sa.tasks.append(Task("delete spi", cause=refusal.cause, spi=spi))
        sa.tasks.append(Task("delete ike", cause=refusal.cause))
