"""CREATE_CHILD_SA: rekeying Child SAs and IKE SAs, with collisions (RFC 7296 sections 1.3, 2.8 and 2.25).

When both ends rekey the same SA at once, two new ones exist for a moment. The one that was made with the lowest of the
four nonces is deleted by the end that began its exchange; the other exchange's initiator deletes the old SA. When one
end has not noticed (the other's request was lost), it refuses that request later, and its own exchange stays.

With additional key exchanges (RFC 9370) two rekeys of the IKE SA never run at once: the second one is refused for now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import children, followup, new_child, work
from .events import Refusal
from .message import Exchange, Message
from .operations import Operation
from .payloads import KePayload, NoncePayload, NotifyPayload, Payload, SaPayload
from .proposals import EspProposal, IkeProposal, Suite, choose_esp, choose_ike, proposal_of, suite_of
from .sa import CHILD_TIMERS, Cause, ChildSa, ChildState, IkeSa, Task, TimerName, nanoseconds
from .states import State, Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


#: Exchanges that create, rekey or close a Child SA; while one is open the IKE SA is not rekeyed (RFC 7296 2.25.2).
CHILD_EXCHANGES = ("new child", "rekey child", "delete child", "delete spi")

#: Of a Child SA that another one has replaced: it is not rekeyed, and the traffic takes the new one.
RETIRED_TIMERS: tuple[TimerName, ...] = ("rekey", "retry", "volume", "volume end")

REDUNDANT: Cause = "redundant after a simultaneous rekey"


#: In the place of a Child SA's serial number: one that is to be made.
NEW_CHILD = -1


def want(sa: IkeSa, key: int) -> None:
    """Queue the rekey of the IKE SA (``key`` 0) or of the Child SA with this serial number, or `NEW_CHILD`."""
    if key == NEW_CHILD:
        sa.tasks.append(Task("new child"))
        return
    if key == 0:
        sa.tasks.append(Task("rekey ike"))
        return
    child = next((c for c in sa.children.values() if c.serial == key), None)
    if child is not None:
        sa.tasks.append(Task("rekey child", child))


def begin(ep: Endpoint, sa: IkeSa, task: Task) -> None:
    """Start the exchange of a queued rekey, if it is still wanted."""
    if sa.state is not State.ESTABLISHED:
        return
    if task.child is None:
        # Not while the peer is about to replace this SA (RFC 9370 2.2.4).
        if sa.follow_up is None:
            _begin_ike(ep, sa, task.group)
    elif task.child.spi_in in sa.children and task.child.state is ChildState.INSTALLED:
        _begin_child(ep, sa, task.child, task.group)


def receive(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take a CREATE_CHILD_SA request."""
    proposals = message.get(SaPayload).proposals
    if isinstance(proposals[0], IkeProposal):
        _receive_ike(ep, sa, message)
    else:
        _receive_child(ep, sa, message)


def refuse(ep: Endpoint, sa: IkeSa, request: Message, answer: NotifyPayload, operations: list[Operation]) -> None:
    """Answer a CREATE_CHILD_SA request with a notification and change nothing."""
    operations = [*operations, *work.protect(sa, answer.size)]
    step = f"CREATE_CHILD_SA response ({answer.type})"

    def finish(_now: int) -> None:
        ep.respond(sa, request, (answer,))

    ep.begin(sa, sa.remote, operations, step, finish)


def try_later(ep: Endpoint, sa: IkeSa, key: int, now: int) -> None:
    """Try again (``want``) after TEMPORARY_FAILURE: at random in the second half of the implementation's pause.

    Two ends that have refused each other would do so again if both waited for the same time (RFC 7296 2.25).
    """
    share = 1 - sa.streams.uniform("retry") / 2
    ep.set_timer(sa, "retry", now + nanoseconds(share * ep.implementation.number("temporary_failure_wait_s")), key)


# -- Child SAs -------------------------------------------------------------------------------------------------


def demanded_group(message: Message, proposals: Iterable[EspProposal | IkeProposal]) -> int:
    """Return the group that INVALID_KE_PAYLOAD demands, if it was offered, else 0 (RFC 7296 1.3)."""
    demanded = message.notify("INVALID_KE_PAYLOAD")
    offered = demanded is not None and any(demanded.value in p.groups for p in proposals)
    return demanded.value if demanded is not None and offered else 0


def _begin_child(ep: Endpoint, sa: IkeSa, old: ChildSa, demanded: int) -> None:
    assert sa.suite is not None
    proposals = old.policy.proposals
    group = demanded or (proposals[0].groups[0] if proposals[0].groups else 0)
    nonce, spi = ep.nonce(sa), ep.esp_spi(sa)
    selectors = (old.local_selectors, old.remote_selectors)
    asked = children.payloads(ep, old.policy.mode, selectors, proposals, spi, nonce, group, request=True)
    payloads = (NotifyPayload("REKEY_SA", spi_bytes=4, value=old.spi_in, protocol=old.suite.protocol), *asked)
    operations = [*work.key_exchange_initiator(group), *work.protect(sa, sum(p.size for p in payloads))]

    def finish(now: int) -> None:
        old.rekeying = True
        ep.request(
            sa,
            Exchange.CREATE_CHILD_SA,
            payloads,
            "rekey child",
            lambda m: _receive_child_response(ep, sa, old, m, spi, nonce, demanded),
            now,
        )

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA request (Child SA)", finish)


def _receive_child_response(
    ep: Endpoint, sa: IkeSa, old: ChildSa, message: Message, spi: int, nonce: NoncePayload, demanded: int
) -> None:
    assert sa.suite is not None
    error = message.error()
    operations = work.unprotect(sa, message)
    if error is not None:
        notify = error.type
        # A responder that demands one group after the other is not followed.
        again = 0 if demanded else demanded_group(message, old.policy.proposals)
        step = "CREATE_CHILD_SA response"
        ep.begin(sa, sa.remote, operations, step, lambda t: _child_failed(ep, sa, old, notify, t, again))
        return
    chosen = message.get(SaPayload)
    proposal = chosen.proposals[0]
    assert isinstance(proposal, EspProposal)
    suite = children.suite_of(proposal)
    peer_nonce = message.get(NoncePayload)
    operations += work.key_exchange_finish(suite.group)
    operations += work.child_keys(sa.suite.prf, suite, nonce.n_bytes + peer_nonce.n_bytes)
    operations += work.install()

    selectors = (old.local_selectors, old.remote_selectors)

    def finish(t: int) -> None:
        new = children.install(ep, sa, suite, old.policy, spi, chosen.spi, selectors, initiator=True, now=t)
        _settle_child(ep, sa, old, new, min(nonce.value, peer_nonce.value), t)

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA response", finish)


def _settle_child(ep: Endpoint, sa: IkeSa, old: ChildSa, new: ChildSa, lowest_nonce: int, now: int) -> None:
    old.rekeying = False
    _retire(ep, sa, old)
    if old.collision is None:
        sa.tasks.append(Task("delete child", old, "replaced by a rekey"))
        return
    theirs, their_nonce = old.collision
    ours_stays = lowest_nonce > their_nonce
    loser = theirs if ours_stays else new
    loser.redundant = True
    _retire(ep, sa, loser)
    stays = "our" if ours_stays else "the peer's"
    ep.tell("collision", sa, now, child=new, detail=f"Child SA, {stays} exchange stays")
    if ours_stays:
        sa.tasks.append(Task("delete child", old, "replaced by a rekey"))
    else:
        sa.tasks.append(Task("delete child", new, REDUNDANT))


def _retire(ep: Endpoint, sa: IkeSa, child: ChildSa) -> None:
    """Another Child SA has taken the place of this one: it is not rekeyed any more and waits for its Delete."""
    if child.state is ChildState.INSTALLED:
        child.state = ChildState.REKEYED
    for name in RETIRED_TIMERS:
        ep.clear_timer(sa, name, child.serial)


def _child_failed(ep: Endpoint, sa: IkeSa, old: ChildSa, notify: str, now: int, again: int) -> None:
    """Give way, try later or once more with the group ``again``, or let the old SA live on."""
    old.rekeying = False
    if old.collision is not None:
        # The peer had rekeyed it already when our request came: its exchange stays (RFC 7296 2.8.1).
        _retire(ep, sa, old)
    elif old.spi_in not in sa.children:
        return
    elif notify == "CHILD_SA_NOT_FOUND":
        ep.remove_child(sa, old, "deleted by the peer", now)
        sa.tasks.append(Task("delete ike", cause="deleted by the peer", if_empty=True))
    elif notify == "TEMPORARY_FAILURE":
        try_later(ep, sa, old.serial, now)
    elif again:
        sa.tasks.appendleft(Task("rekey child", old, group=again))
    else:
        # The old SA lives on until its lifetime ends; then the tunnel starts afresh.
        ep.tell("rekey_failed", sa, now, child=old, refusal=Refusal("no IPsec proposal in common", notify))


def _receive_child(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    assert sa.suite is not None
    operations = work.unprotect(sa, message)
    replaced = message.notify("REKEY_SA")
    spi_named = replaced.value if replaced is not None else 0
    old = next((c for c in sa.children.values() if c.spi_out == spi_named), None)
    # In doubt which of two new IKE SAs stays, the Child SAs have no place yet.
    if sa.state is not State.ESTABLISHED or sa.rekeying or sa.rival_of is not None:
        refuse(ep, sa, message, NotifyPayload("TEMPORARY_FAILURE"), operations)
        return
    if replaced is None:
        new_child.receive(ep, sa, message, operations)
        return
    if old is None and any(o.kind in ("new child", "rekey child") for o in sa.outstanding.values()):
        # The peer may mean the one that this end has asked for and does not know yet.
        refuse(ep, sa, message, NotifyPayload("TEMPORARY_FAILURE"), operations)
        return
    if old is None:
        protocol = replaced.protocol
        not_found = NotifyPayload("CHILD_SA_NOT_FOUND", spi_bytes=4, value=spi_named, protocol=protocol)
        refuse(ep, sa, message, not_found, operations)
        return
    if old.state is not ChildState.INSTALLED:
        refuse(ep, sa, message, NotifyPayload("TEMPORARY_FAILURE"), operations)
        return
    offered = tuple(p for p in message.get(SaPayload).proposals if isinstance(p, EspProposal))
    suite = choose_esp(offered, children.passing(sa, old.policy.proposals))
    if suite is None:
        refuse(ep, sa, message, NotifyPayload("NO_PROPOSAL_CHOSEN"), operations)
        return
    exchange = message.find(KePayload)
    if suite.group and (exchange is None or exchange.group != suite.group):
        refuse(ep, sa, message, NotifyPayload("INVALID_KE_PAYLOAD", 2, value=suite.group), operations)
        return
    nonce, peer_nonce = ep.nonce(sa), message.get(NoncePayload)
    spi = ep.esp_spi(sa)
    selectors = (old.local_selectors, old.remote_selectors)
    proposals = (children.proposal_of(suite),)
    answer = children.payloads(ep, old.policy.mode, selectors, proposals, spi, nonce, suite.group, request=False)
    operations += work.key_exchange_initiator(suite.group) + work.key_exchange_finish(suite.group)
    operations += work.child_keys(sa.suite.prf, suite, nonce.n_bytes + peer_nonce.n_bytes)
    operations += work.install() + work.protect(sa, sum(p.size for p in answer))

    def finish(now: int) -> None:
        ep.respond(sa, message, answer)
        spi_out = message.get(SaPayload).spi
        new = children.install(ep, sa, suite, old.policy, spi, spi_out, selectors, initiator=False, now=now)
        if old.rekeying:
            old.collision = (new, min(nonce.value, peer_nonce.value))
        else:
            _retire(ep, sa, old)

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA response", finish)


# -- IKE SAs ---------------------------------------------------------------------------------------------------


def _begin_ike(ep: Endpoint, sa: IkeSa, demanded: int) -> None:
    assert sa.suite is not None
    proposals = ep.policy.proposals_for(sa.local)
    group = demanded or sa.suite.group
    nonce, spi = ep.nonce(sa), ep.ike_spi(sa.streams)
    payloads = (SaPayload(proposals, 8, spi), nonce, KePayload(group))
    operations = [*work.key_exchange_initiator(group), *work.protect(sa, sum(p.size for p in payloads))]

    def finish(now: int) -> None:
        sa.rekeying = True
        ep.request(
            sa,
            Exchange.CREATE_CHILD_SA,
            payloads,
            "rekey ike",
            lambda m: _receive_ike_response(ep, sa, m, spi, nonce, demanded),
            now,
        )

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA request (IKE SA)", finish)


def _receive_ike_response(
    ep: Endpoint, sa: IkeSa, message: Message, spi: int, nonce: NoncePayload, demanded: int
) -> None:
    assert sa.suite is not None
    error = message.error()
    operations = work.unprotect(sa, message)
    if error is not None:
        notify = error.type
        # A responder that demands one group after the other is not followed.
        again = 0 if demanded else demanded_group(message, ep.policy.proposals_for(sa.local))
        step = "CREATE_CHILD_SA response"
        ep.begin(sa, sa.remote, operations, step, lambda t: _ike_failed(ep, sa, notify, t, again))
        return
    chosen = message.get(SaPayload)
    proposal = chosen.proposals[0]
    assert isinstance(proposal, IkeProposal)
    suite = suite_of(proposal)
    peer_nonce = message.get(NoncePayload)
    operations += work.key_exchange_finish(suite.group)

    def settle(t: int) -> None:
        new = _inherit(ep, sa, spi, chosen.spi, suite, initiator=True, now=t)
        _settle_ike(ep, sa, new, min(nonce.value, peer_nonce.value), t)

    def finish(done: list[Operation]) -> None:
        keys = work.ike_keys(suite, nonce.n_bytes + peer_nonce.n_bytes)
        step = "IKE_FOLLOWUP_KE response" if suite.additional_exchanges else "CREATE_CHILD_SA response"
        ep.begin(sa, sa.remote, [*done, *keys], step, settle)

    plan = followup.Rekey(suite, finish, lambda notify, t: _ike_failed(ep, sa, notify, t))
    followup.go_on(ep, sa, plan, 0, message, operations)


def _settle_ike(ep: Endpoint, sa: IkeSa, new: IkeSa, lowest_nonce: int, now: int) -> None:
    sa.rekeying = False
    if sa.collision is None:
        _adopt(ep, sa, new, now)
        sa.tasks.append(Task("delete ike", cause="replaced by a rekey"))
        return
    theirs, their_nonce = sa.collision
    sa.collision = theirs.rival_of = None
    ours_stays = lowest_nonce > their_nonce or not theirs.alive
    stays, loser = (new, theirs) if ours_stays else (theirs, new)
    whose = "our" if ours_stays else "the peer's"
    ep.tell("collision", sa, now, detail=f"IKE SA, {whose} exchange stays")
    loser.successor = stays
    ep.clear_timer(loser, "rekey")
    ep.clear_timer(loser, "dpd")
    _adopt(ep, sa, stays, now)
    if ours_stays:
        # Its maker deletes it, or knows nothing of it when our Delete of the old SA overtakes our response.
        ep.set_timer(loser, "half_open", now + nanoseconds(ep.implementation.number("half_open_timeout_s")))
        sa.tasks.append(Task("delete ike", cause="replaced by a rekey"))
    else:
        loser.tasks.append(Task("delete ike", cause=REDUNDANT))
        ep.advance(loser)


def concede_ike(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Let the peer's colliding rekey of the IKE SA stay, because the peer did not notice ours (RFC 7296 2.8.2)."""
    if sa.collision is not None and sa.collision[0].alive:
        theirs = sa.collision[0]
        sa.collision = theirs.rival_of = None
        sa.rekeying = False
        _adopt(ep, sa, theirs, now)


def _ike_failed(ep: Endpoint, sa: IkeSa, notify: str, now: int, again: int = 0) -> None:
    """Give way, try later or once more with the group ``again``, or let the old SA live on."""
    sa.rekeying = False
    if sa.collision is not None:
        concede_ike(ep, sa, now)
    elif notify == "TEMPORARY_FAILURE":
        try_later(ep, sa, 0, now)
    elif again:
        sa.tasks.appendleft(Task("rekey ike", group=again))
    else:
        ep.tell("rekey_failed", sa, now, refusal=Refusal("no IKE proposal in common", notify))


def _receive_ike(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    assert sa.suite is not None
    operations = work.unprotect(sa, message)
    child_exchange = any(o.kind in CHILD_EXCHANGES for o in sa.outstanding.values())
    if sa.state is not State.ESTABLISHED or child_exchange:
        refuse(ep, sa, message, NotifyPayload("TEMPORARY_FAILURE"), operations)
        return
    asked = message.get(SaPayload)
    offered = tuple(p for p in asked.proposals if isinstance(p, IkeProposal))
    suite = choose_ike(offered, ep.policy.proposals_for(sa.local))
    group = message.get(KePayload).group
    if suite is None or suite.group != group:
        notify = "NO_PROPOSAL_CHOSEN" if suite is None else "INVALID_KE_PAYLOAD"
        value = 0 if suite is None else suite.group
        refuse(ep, sa, message, NotifyPayload(notify, 2 if value else 0, value=value), operations)
        return
    if suite.additional_exchanges and (sa.rekeying or sa.follow_up is not None):
        refuse(ep, sa, message, NotifyPayload("TEMPORARY_FAILURE"), operations)
        return
    nonce, peer_nonce = ep.nonce(sa), message.get(NoncePayload)
    spi = ep.ike_spi(sa.streams)
    answer: list[Payload] = [SaPayload((proposal_of(suite),), 8, spi), nonce, KePayload(group)]
    nonces_bytes = nonce.n_bytes + peer_nonce.n_bytes
    operations += [*work.key_exchange_initiator(group), *work.key_exchange_finish(group)]
    if suite.additional_exchanges:
        answer.append(followup.link_payload(ep, spi))
    else:
        operations += work.ike_keys(suite, nonces_bytes)
    operations += work.protect(sa, sum(p.size for p in answer))

    def create(t: int) -> None:
        new = _inherit(ep, sa, spi, asked.spi, suite, initiator=False, now=t)
        if sa.rekeying:
            sa.collision, new.rival_of = (new, min(nonce.value, peer_nonce.value)), sa
        else:
            _adopt(ep, sa, new, t)

    def finish(t: int) -> None:
        ep.respond(sa, message, answer)
        if suite.additional_exchanges:
            sa.follow_up = followup.FollowUp(suite, spi, nonces_bytes, create)
        else:
            create(t)

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA response", finish)


def _inherit(ep: Endpoint, old: IkeSa, spi: int, peer_spi: int, suite: Suite, *, initiator: bool, now: int) -> IkeSa:
    new = ep.new_sa(old.local, old.remote, initiator=initiator, now=now, spi=spi)
    new.remote_spi = peer_spi
    ep.directory.assign(new, old.tunnel)
    new.interface, new.profile, new.key = old.interface, old.profile, old.key
    new.local_identity, new.remote_identity, new.eap_user = old.local_identity, old.remote_identity, old.eap_user
    new.suite, new.group, new.keys_ready = suite, suite.group, True
    new.generation, new.ppk, new.peer_chain = old.generation + 1, old.ppk, old.peer_chain
    new.nat_here, new.nat_there = old.nat_here, old.nat_there
    new.behind_nat, new.mobike, new.other_addresses = old.behind_nat, old.mobike, old.other_addresses
    new.local_port, new.remote_port, new.fragment_bytes = old.local_port, old.remote_port, old.fragment_bytes
    new.move(Trigger.INHERIT)
    ep.clones.share(new.interface)
    ep.authenticated(new)
    children.start_ike_timers(ep, new, now)
    return new


def _adopt(ep: Endpoint, old: IkeSa, new: IkeSa, now: int) -> None:
    """Move the Child SAs, their timers and what was queued for them to the IKE SA that replaces the old one."""
    for spi, child in old.children.items():
        new.children[spi] = child
        for name in CHILD_TIMERS:
            due = old.timers.pop((name, child.serial), None)
            if due is not None:
                ep.set_timer(new, name, due, child.serial)
    old.children.clear()
    retry = old.timers.pop(("retry", NEW_CHILD), None)
    if retry is not None:
        ep.set_timer(new, "retry", retry, NEW_CHILD)
    new.virtual_address, old.virtual_address = old.virtual_address, None
    new.virtual_address6, old.virtual_address6 = old.virtual_address6, None
    new.routes, old.routes = old.routes, ()
    new.configured, new.authorization = old.configured, old.authorization
    new.accounting, old.accounting = old.accounting, None
    # The end of a tunnel that has lost its last Child SA is not put off by the rekey.
    new.tasks.extend(t for t in old.tasks if t.kind in (*CHILD_EXCHANGES, "set configuration") or t.if_empty)
    old.tasks.clear()
    ep.clear_timer(old, "rekey")
    ep.clear_timer(old, "retry")
    ep.clear_timer(old, "dpd")
    ep.clear_timer(old, "keepalive")
    old.move(Trigger.REPLACE)
    old.successor = new
    ep.tell("ike_rekeyed", new, now)
    ep.advance(new)
