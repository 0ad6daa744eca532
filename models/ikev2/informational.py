"""INFORMATIONAL exchanges: Delete, dead peer detection, reports; and the end of lifetimes (RFC 7296 section 1.4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from . import configuration, mobike, redirect, rekey, volume, work
from .events import Refusal
from .message import Exchange, Message
from .payloads import ConfigurationPayload, DeletePayload, Payload
from .sa import Cause, ChildSa, ChildState, IkeSa, Task
from .states import State, Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


def want_dpd(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Queue a probe, unless a request is on its way already: its answer proves the peer alive too (RFC 7296 2.4)."""
    dpd = sa.profile.dpd if sa.profile is not None else None
    if dpd is not None and not dpd.periodic and not volume.probes_on_demand(ep, sa, now):
        return
    if sa.state is State.ESTABLISHED and not sa.outstanding and not any(t.kind == "dpd" for t in sa.tasks):
        sa.tasks.append(Task("dpd"))


def expire(ep: Endpoint, sa: IkeSa, key: int, now: int) -> None:
    """The lifetime of the IKE SA (``key`` 0) or of one Child SA is over: delete it at both ends.

    A Child SA carries nothing from this moment on. An IKE SA whose peer owes an answer is closed without a word.
    """
    child = next((c for c in sa.children.values() if c.serial == key), None)
    if child is not None:
        ep.remove_child(sa, child, _cause_of_delete(sa, child, "lifetime ended"), now)
        sa.tasks.append(Task("delete spi", cause="lifetime ended", spi=child.spi_in, protocol=child.suite.protocol))
        # Without it the tunnel is down; a new start from IKE_SA_INIT brings it back.
        sa.tasks.append(Task("delete ike", cause="lifetime ended", if_empty=True))
    elif key == 0 and sa.state in (State.ESTABLISHED, State.REKEYED):
        cause: Cause = "lifetime ended" if sa.state is State.ESTABLISHED else "replaced by a rekey"
        if sa.outstanding:
            ep.close(sa, Refusal(cause), now)
        else:
            sa.tasks.appendleft(Task("delete ike", cause=cause))


def begin(ep: Endpoint, sa: IkeSa, task: Task) -> None:
    """Start the exchange of a queued task."""
    payloads: list[Payload] = []
    on_response = partial(_nothing_more, ep, sa)
    kind, child = task.kind, task.child
    if kind == "dpd" and ("dpd", 0) in sa.timers:
        # Something arrived while the probe waited: the next silence has begun already.
        return
    if kind == "delete child":
        if child is None or child.spi_in not in sa.children:
            return
        payloads.append(DeletePayload((child.spi_in,), child.suite.protocol))
        on_response = partial(_child_gone, ep, sa, child, task.cause)
    elif kind == "redirect" and task.address is not None:
        payloads.append(redirect.payload(task.address))
    elif kind == "delete spi":
        payloads.append(DeletePayload((task.spi,), task.protocol))
    elif kind == "delete ike":
        if sa.state not in (State.ESTABLISHED, State.REKEYED) or (task.if_empty and sa.in_use):
            return
        payloads.append(DeletePayload())
        on_response = partial(_ike_gone, ep, sa, task.cause)
    assert sa.suite is not None
    operations = work.protect(sa, sum(p.size for p in payloads))

    def finish(t: int) -> None:
        if kind == "dpd":
            ep.tell("dpd", sa, t)
        elif kind == "delete ike":
            sa.move(Trigger.SEND_DELETE)
        elif kind == "delete child" and child is not None and child.spi_in in sa.children:
            child.state = ChildState.DELETING
        ep.request(sa, Exchange.INFORMATIONAL, payloads, kind, on_response, t)

    ep.begin(sa, sa.remote, operations, f"INFORMATIONAL request ({kind})", finish)


def _nothing_more(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    ep.begin(sa, sa.remote, work.unprotect(sa, message), "INFORMATIONAL response", lambda _t: None)


def _child_gone(ep: Endpoint, sa: IkeSa, child: ChildSa, cause: Cause, message: Message) -> None:
    def finish(t: int) -> None:
        if child.spi_in in sa.children:
            ep.remove_child(sa, child, cause, t)

    ep.begin(sa, sa.remote, work.unprotect(sa, message), "INFORMATIONAL response", finish)


def _ike_gone(ep: Endpoint, sa: IkeSa, cause: Cause, message: Message) -> None:
    refusal = Refusal(cause)
    ep.begin(sa, sa.remote, work.unprotect(sa, message), "INFORMATIONAL response", lambda t: ep.close(sa, refusal, t))


def _cause_of_delete(sa: IkeSa, child: ChildSa, otherwise: Cause) -> Cause:
    """Return why a Child SA goes that was not deleted for a reason of this end's own."""
    rivals = [c.collision[0] for c in sa.children.values() if c.collision is not None and c.rekeying]
    if child.redundant or child in rivals:
        return "redundant after a simultaneous rekey"
    if any(c is not child and c.state is ChildState.INSTALLED for c in sa.children.values()):
        return "replaced by a rekey"
    return otherwise


def _cause_of_end(sa: IkeSa) -> Cause:
    """Return why the peer deletes an IKE SA."""
    if sa.state is State.REKEYED:
        return "replaced by a rekey"
    if sa.successor is not None or sa.rival_of is not None:
        return "redundant after a simultaneous rekey"
    return "deleted by the peer"


def receive(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take an INFORMATIONAL request and answer it."""
    assert sa.suite is not None
    delete = next(iter(message.all(DeletePayload)), None)
    failed = message.notify("AUTHENTICATION_FAILED")
    holder = sa.rival_of or sa
    doomed = [c for c in holder.children.values() if delete is not None and c.spi_out in delete.spis]
    # Both ends may delete the same pair at once: then neither names it in its response (RFC 7296 1.4.1).
    named = tuple(c.spi_in for c in doomed if c.state is not ChildState.DELETING)
    answer: list[Payload] = [DeletePayload(named, doomed[0].suite.protocol)] if named else []
    updates = mobike.answer(ep, sa, message)
    answer += updates
    acknowledged, routes = configuration.answer(sa, message.find(ConfigurationPayload))
    answer += acknowledged
    redirected = message.notify(redirect.REDIRECT)
    operations = work.unprotect(sa, message)
    if updates:
        operations += work.nat_detection() * 2
    operations += configuration.install_operations(routes)
    operations += work.protect(sa, sum(p.size for p in answer))

    def finish(t: int) -> None:
        ep.respond(sa, message, answer)
        configuration.install(ep, sa, routes, t)
        if redirected is not None:
            redirect.leave(ep, sa, redirect.gateway_of(redirected), t)
        for child in doomed:
            if child.spi_in in holder.children:
                ep.remove_child(holder, child, _cause_of_delete(holder, child, "deleted by the peer"), t)
        if failed is not None:
            ep.close(sa, Refusal("refused by the peer", "AUTHENTICATION_FAILED"), t)
        elif delete is not None and not delete.spis:
            rekey.concede_ike(ep, sa, t)
            ep.close(sa, Refusal(_cause_of_end(sa)), t)

    ep.begin(sa, sa.remote, operations, "INFORMATIONAL response", finish)
