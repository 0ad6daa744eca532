"""INFORMATIONAL exchanges: Delete, dead peer detection, reports; and the end of lifetimes (RFC 7296 section 1.4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from . import work
from .events import Refusal
from .message import Exchange, Message
from .payloads import DeletePayload, Payload
from .sa import Cause, ChildSa, ChildState, IkeSa, Task
from .states import State, Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


def want_dpd(sa: IkeSa) -> None:
    """Queue a probe, unless a request is on its way already: its answer proves the peer alive too."""
    if sa.state is State.ESTABLISHED and sa.outstanding is None and not any(t.kind == "dpd" for t in sa.tasks):
        sa.tasks.append(Task("dpd"))


def expire(ep: Endpoint, sa: IkeSa, key: int, now: int) -> None:
    """The lifetime of the IKE SA (``key`` 0) or of one Child SA is over: delete it at both ends."""
    child = next((c for c in sa.children.values() if c.serial == key), None)
    if child is not None:
        sa.tasks.append(Task("delete child", child))
        # Without its Child SA the tunnel is down; a new start from IKE_SA_INIT brings both back.
        if not any(c is not child and c.state is ChildState.INSTALLED for c in sa.children.values()):
            sa.tasks.append(Task("delete ike"))
    elif key == 0 and sa.state in (State.ESTABLISHED, State.REKEYED):
        if sa.outstanding is not None:
            ep.close(sa, Refusal("lifetime ended"), now)
        else:
            sa.tasks.appendleft(Task("delete ike"))


def begin(ep: Endpoint, sa: IkeSa, task: Task) -> None:
    """Start the exchange of a queued task."""
    payloads: list[Payload] = []
    on_response = partial(_nothing_more, ep, sa)
    kind = task.kind
    if kind == "delete child":
        child = task.child
        if child is None or child.spi_in not in sa.children:
            return
        child.state = ChildState.DELETING
        payloads.append(DeletePayload((child.spi_in,)))
        on_response = partial(_child_gone, ep, sa, child, task.cause)
    elif kind.startswith("delete spi "):
        payloads.append(DeletePayload((int(kind.rpartition(" ")[2]),)))
    elif kind == "delete ike":
        if sa.state not in (State.ESTABLISHED, State.REKEYED):
            return
        payloads.append(DeletePayload())
        on_response = partial(_ike_gone, ep, sa, replaced=sa.state is State.REKEYED)
        sa.move(Trigger.SEND_DELETE)
    assert sa.suite is not None
    operations = work.protect(sa.suite, sum(p.size for p in payloads))

    def finish(t: int) -> None:
        if kind == "dpd":
            ep.tell("dpd", sa, t)
        ep.request(sa, Exchange.INFORMATIONAL, payloads, kind, on_response, t)

    ep.begin(sa, sa.remote, operations, f"INFORMATIONAL request ({kind.split(' spi')[0]})", finish)


def _nothing_more(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    ep.begin(sa, sa.remote, work.unprotect(message), "INFORMATIONAL response", lambda _t: None)


def _child_gone(ep: Endpoint, sa: IkeSa, child: ChildSa, cause: Cause, message: Message) -> None:
    def finish(t: int) -> None:
        if child.spi_in in sa.children:
            ep.remove_child(sa, child, cause, t)

    ep.begin(sa, sa.remote, work.unprotect(message), "INFORMATIONAL response", finish)


def _ike_gone(ep: Endpoint, sa: IkeSa, message: Message, *, replaced: bool) -> None:
    refusal = Refusal("replaced by a rekey" if replaced else "local decision")
    ep.begin(sa, sa.remote, work.unprotect(message), "INFORMATIONAL response", lambda t: ep.close(sa, refusal, t))


def receive(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take an INFORMATIONAL request and answer it."""
    assert sa.suite is not None
    delete = next(iter(message.all(DeletePayload)), None)
    failed = message.notify("AUTHENTICATION_FAILED")
    doomed = [c for c in sa.children.values() if delete is not None and c.spi_out in delete.esp_spis]
    # Both ends may delete the same pair at once: then neither names it in its response (RFC 7296 1.4.1).
    named = tuple(c.spi_in for c in doomed if c.state is not ChildState.DELETING)
    answer: list[Payload] = [DeletePayload(named)] if named else []
    operations = [*work.unprotect(message), *work.protect(sa.suite, sum(p.size for p in answer))]

    def finish(t: int) -> None:
        ep.respond(sa, message, answer, t)
        for child in doomed:
            if child.spi_in in sa.children:
                replaced = any(c is not child and c.state is ChildState.INSTALLED for c in sa.children.values())
                ep.remove_child(sa, child, "replaced by a rekey" if replaced else "deleted by the peer", t)
        if failed is not None:
            ep.close(sa, Refusal("refused by the peer", "AUTHENTICATION_FAILED"), t)
        elif delete is not None and not delete.esp_spis:
            replaced = sa.state is State.REKEYED or sa.successor is not None
            ep.close(sa, Refusal("replaced by a rekey" if replaced else "deleted by the peer"), t)

    ep.begin(sa, sa.remote, operations, "INFORMATIONAL response", finish)
