"""Additional key exchanges of a rekeyed IKE SA, one IKE_FOLLOWUP_KE exchange each (RFC 9370 section 2.2.4).

They follow the CREATE_CHILD_SA exchange on the old IKE SA. The new one exists once the last of them is done; its keys
come from all shared secrets at once. Every response but the last carries a link by which the responder finds the
exchange that goes on.

What this leaves out: additional key exchanges of a Child SA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..algorithms import KeyExchange
from . import work
from .intermediate import request_payload, response_payload
from .message import Exchange, Message
from .operations import Operation
from .payloads import NotifyPayload, Payload
from .proposals import Suite
from .sa import IkeSa
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint


@dataclass(slots=True)
class FollowUp:
    """A responder's rekey of the IKE SA that waits for IKE_FOLLOWUP_KE; ``create`` makes the new SA at the end."""

    suite: Suite
    link: int
    nonces_bytes: int
    create: Callable[[int], None]
    done: int = 0


@dataclass(frozen=True, slots=True)
class Rekey:
    """What an initiator does when the last exchange is done (``finish``) or refused (``fail``)."""

    suite: Suite
    finish: Callable[[list[Operation]], None]
    fail: Callable[[str, int], None]


def link_payload(ep: Endpoint, link: int) -> NotifyPayload:
    """Return N(ADDITIONAL_KEY_EXCHANGE)."""
    return NotifyPayload(
        "ADDITIONAL_KEY_EXCHANGE", ep.implementation.count("additional_key_exchange_link_bytes"), value=link
    )


def go_on(ep: Endpoint, sa: IkeSa, plan: Rekey, done: int, answer: Message, operations: list[Operation]) -> None:
    """Begin the initiator's next exchange after ``operations``, or end the rekey when all are ``done``."""
    methods = plan.suite.additional_exchanges
    if done == len(methods):
        plan.finish(operations)
        return
    assert sa.suite is not None
    link = answer.notify("ADDITIONAL_KEY_EXCHANGE")
    payloads: list[Payload] = [request_payload(methods[done])]
    if link is not None:
        payloads.append(link_payload(ep, link.value))
    operations = [*operations, *work.additional_keygen(methods[done])]
    operations += work.protect(sa, sum(p.size for p in payloads))

    def finish(now: int) -> None:
        then = partial(_receive_response, ep, sa, plan, methods[done], done + 1)
        ep.request(sa, Exchange.IKE_FOLLOWUP_KE, payloads, "rekey ike", then, now)

    ep.begin(sa, sa.remote, operations, "IKE_FOLLOWUP_KE request", finish)


def _receive_response(ep: Endpoint, sa: IkeSa, plan: Rekey, method: KeyExchange, done: int, message: Message) -> None:
    operations = work.unprotect(sa, message)
    error = message.error()
    if error is not None:
        notify = error.type
        ep.begin(sa, sa.remote, operations, "IKE_FOLLOWUP_KE response", lambda t: plan.fail(notify, t))
        return
    go_on(ep, sa, plan, done, message, [*operations, *work.additional_finish(method)])


def receive(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take a request as the responder; the last one makes the new IKE SA."""
    assert sa.suite is not None
    link, waiting = message.notify("ADDITIONAL_KEY_EXCHANGE"), sa.follow_up
    operations = work.unprotect(sa, message)
    payloads: list[Payload] = [NotifyPayload("STATE_NOT_FOUND")]
    create: Callable[[int], None] | None = None
    if waiting is not None and link is not None and link.value == waiting.link and sa.state is State.ESTABLISHED:
        method = waiting.suite.additional_exchanges[waiting.done]
        waiting.done += 1
        payloads = [response_payload(method)]
        operations += work.additional_answer(method)
        if waiting.done < len(waiting.suite.additional_exchanges):
            payloads.append(link_payload(ep, waiting.link))
        else:
            operations += work.ike_keys(waiting.suite, waiting.nonces_bytes)
            create = waiting.create
    operations += work.protect(sa, sum(p.size for p in payloads))

    def finish(now: int) -> None:
        ep.respond(sa, message, payloads)
        if create is not None:
            sa.follow_up = None
            create(now)

    ep.begin(sa, sa.remote, operations, "IKE_FOLLOWUP_KE response", finish)
