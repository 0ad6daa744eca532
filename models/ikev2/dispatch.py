"""Which exchange a request, a task or a timer of an IKE SA belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import (
    configuration,
    followup,
    informational,
    intermediate,
    mobike,
    nat,
    new_child,
    rekey,
    responder,
    retransmission,
    revocation,
)
from .events import Refusal
from .message import Exchange, Message
from .sa import Cause, IkeSa, TimerName
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint


def process_request(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Work on a request that the window has room for, if the state of the SA has a place for it."""
    # Until the peer is authenticated nothing else is answered; a peer that is ahead of us repeats its request.
    if message.exchange in (Exchange.IKE_AUTH, Exchange.IKE_INTERMEDIATE):
        expected = _is_next(sa, message.exchange)
    else:
        # During EAP the initiator has seen who we are and may say that it does not accept us (RFC 7296 2.21.2).
        in_between = sa.eap is not None or sa.second is not None
        rejected = in_between and message.notify("AUTHENTICATION_FAILED") is not None
        expected = rejected or not sa.negotiating
    if expected and message.exchange in _HANDLERS:
        sa.processing_request_id = message.message_id
        _HANDLERS[message.exchange](ep, sa, message)


def _is_next(sa: IkeSa, exchange: Exchange) -> bool:
    """Return whether a half-open SA expects this exchange: additional key exchanges come first (RFC 9370 2.2.1)."""
    left = intermediate.pending(sa) is not None
    return sa.state is State.HALF_OPEN and left == (exchange is Exchange.IKE_INTERMEDIATE)


def begin_task(ep: Endpoint, sa: IkeSa) -> None:
    """Begin the exchange of the next task of an SA, if it is still wanted."""
    task = sa.tasks.popleft()
    if task.kind in ("rekey child", "rekey ike"):
        rekey.begin(ep, sa, task)
    elif task.kind == "check certificate":
        revocation.begin(ep, sa)
    elif task.kind == "new child":
        new_child.begin(ep, sa, task.group)
    elif task.kind == "set configuration":
        configuration.begin(ep, sa)
    elif task.kind in ("announce addresses", "probe path", "update addresses"):
        mobike.begin(ep, sa, task)
    else:
        informational.begin(ep, sa, task)


def fire(ep: Endpoint, sa: IkeSa, name: TimerName, key: int, now: int) -> None:
    """A timer of an SA is due."""
    if name == "retransmit":
        retransmission.time_out(ep, sa, key, now)
    elif name == "half_open":
        cause: Cause = "half-open for too long" if sa.negotiating else "redundant after a simultaneous rekey"
        ep.close(sa, Refusal(cause), now)
    elif name == "keepalive":
        nat.keep_alive(ep, sa, now)
    elif name == "dpd":
        informational.want_dpd(ep, sa, now)
    elif name == "certificate":
        revocation.fire(ep, sa, now)
    elif name in ("rekey", "retry", "volume"):
        rekey.want(sa, key)
    else:
        informational.expire(ep, sa, key, now)


_HANDLERS: dict[Exchange, Callable[[Endpoint, IkeSa, Message], None]] = {
    Exchange.IKE_INTERMEDIATE: intermediate.receive,
    Exchange.IKE_AUTH: responder.receive_auth,
    Exchange.CREATE_CHILD_SA: rekey.receive,
    Exchange.IKE_FOLLOWUP_KE: followup.receive,
    Exchange.INFORMATIONAL: informational.receive,
}
