"""IKE_SA_INIT as the responder (RFC 7296 sections 1.2, 2.6 and 2.7): who is let in, on which terms.

What this leaves out: a cookie that changes its secret while it is on its way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..addresses import IpAddress
from ..randomness import make_key
from . import authentication, fragmentation, nat, ppk, redirect, work
from .authentication import init_conditions
from .compose import Supplied, compose
from .events import Refusal
from .message import Datagram, Message
from .operations import Operation
from .payloads import KePayload, NoncePayload, NotifyPayload, SaPayload, key_exchange
from .proposals import choose_ike, proposal_of
from .sa import IkeSa, nanoseconds
from .states import Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


def receive(ep: Endpoint, datagram: Datagram, now: int) -> None:
    """Take an IKE_SA_INIT request of a new initiator: admission, cookie, proposal, group, then an SA."""
    message, remote, local = datagram.message, datagram.source, datagram.destination
    queue = ep.policy.init_queue
    if queue is None and ep.implementation.profile.values.init_queue is not None:
        queue = ep.implementation.count("init_queue")
    if queue is not None and ep.waiting_inits() >= queue:
        ep.tell_of_stranger("rejected_by_admission", remote, now, Refusal("queue of IKE_SA_INIT full"))
        return
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
    suite = choose_ike(message.get(SaPayload).proposals, ep.policy.proposals_for(local))
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
    sa.ppk_agreed = ep.has_ppks and message.notify(ppk.USE) is not None
    sa.local_port, sa.remote_port = datagram.destination_port, datagram.source_port
    nat.detect(ep, sa, message)
    fragmentation.agree(ep, sa, announced_by_peer=message.notify(fragmentation.NOTIFY) is not None)
    sa.processing_request_id = 0
    ep.directory.opened(sa)
    ep.set_timer(sa, "half_open", now + nanoseconds(ep.implementation.number("half_open_timeout_s")))
    operations = [*receive, *work.nat_detection(), *work.key_exchange_initiator(suite.group)]
    if ep.implementation.profile.eager_shared_secret:
        operations += work.shared_secret(suite, nonce.n_bytes + sa.nonce_local_bytes)
    operations += [*work.nat_detection(), *work.SEND]
    ep.begin(sa, remote, operations, "IKE_SA_INIT response", partial(_answer_init, ep, sa, message))


def _is_full_for(ep: Endpoint, remote: IpAddress) -> bool:
    """Return whether there is no room for this peer; one that has an IKE SA already (a rekey, a restart) has it."""
    most = ep.policy.max_sessions
    return most is not None and ep.directory.peer_count() >= most and not ep.directory.with_peer(remote)


def _cookie(message: Message, remote: IpAddress) -> int:
    """Return an initiator's cookie: a function of what it sent, so that nothing is kept (RFC 7296 2.6)."""
    nonce = message.get(NoncePayload)
    return make_key(0, f"{remote}:{message.spi_i}", f"cookie {nonce.value}")


def _answer_init(ep: Endpoint, sa: IkeSa, request: Message, now: int) -> None:
    assert sa.suite is not None
    suite = sa.suite
    supplied: dict[str, Supplied] = {
        "SA": SaPayload((proposal_of(suite),), 0),
        "KE": key_exchange(suite.group),
        "Nonce": NoncePayload(sa.nonce_local, sa.nonce_local_bytes),
        "CERTREQ": authentication.certificate_request(ep),
        **nat.payloads(ep, (sa.local, sa.local_port), (sa.remote, sa.remote_port)),
    }
    compositions = ep.implementation.profile.compositions
    conditions = init_conditions(ep, intermediate=bool(suite.additional_exchanges), ppk=sa.ppk_agreed)
    payloads = compose(compositions.ike_sa_init_response, ep.implementation, supplied, conditions)
    sa.move(Trigger.ANSWER_INIT)
    sa.keys_ready = ep.implementation.profile.eager_shared_secret
    sa.init_response = ep.respond(sa, request, payloads)
    ep.tell("half_open", sa, now)
