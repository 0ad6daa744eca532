"""Reliability: requests are repeated until they are answered, responses only when they are asked for again (RFC 7296
sections 2.1 and 2.4).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ..implementation import Implementation
from . import fragmentation, work
from .message import Datagram
from .sa import IkeSa, nanoseconds

if TYPE_CHECKING:
    from .endpoint import Endpoint


def timeouts_ns(ep: Endpoint, sa: IkeSa, kind: str) -> tuple[int, ...]:
    """Return the wait after each time that a request is sent; when the last one ends the peer is given up. [ns]"""
    implementation = ep.implementation
    dpd = sa.profile.dpd if sa.profile is not None else None
    if kind == "dpd" and dpd is not None and implementation.profile.dpd_schedule == "retry":
        between = [dpd.retry_s] * (implementation.count("dpd_sends") - 1)
        return tuple(nanoseconds(s) for s in (*between, implementation.number("dpd_final_wait_s")))
    return _growing_timeouts_ns(implementation)


@lru_cache(maxsize=256)
def _growing_timeouts_ns(implementation: Implementation) -> tuple[int, ...]:
    first_s, factor = implementation.number("retransmit_first_s"), implementation.number("retransmit_factor")
    return tuple(nanoseconds(first_s * factor**i) for i in range(implementation.count("retransmit_tries") + 1))


def time_out(ep: Endpoint, sa: IkeSa, message_id: int, now: int) -> None:
    """Send a request again, or give the peer up.

    The next wait begins when the copy is sent. A response that arrives while the copy waits for the CPU stops it.
    """
    outstanding = sa.outstanding.get(message_id)
    if outstanding is None or outstanding.answered:
        return
    number = outstanding.datagram.transmission + 1
    if number == len(outstanding.timeouts_ns):
        ep.close(sa, outstanding.unanswered, now)
        return
    again = replace(fragmentation.shorter(ep, sa, outstanding.datagram, number), transmission=number)
    if sa.nat_there:
        # The peer's mapping may have changed since.
        again = replace(again, destination=sa.remote, destination_port=sa.remote_port)

    def finish(t: int) -> None:
        if sa.outstanding.get(message_id) is not outstanding or outstanding.answered:
            return
        outstanding.datagram = again
        ep.set_timer(sa, "retransmit", t + outstanding.timeouts_ns[number], message_id)
        ep.send(again)
        ep.tell("retransmission", sa, t, detail=again.message.exchange.name)

    ep.begin(None, sa.remote, work.send(again.message), "retransmit request", finish)


def repeat_response(ep: Endpoint, cached: Datagram) -> Datagram:
    """Send a response once more for a request that came once more; return the copy, which counts the repetition."""
    again = replace(cached, transmission=cached.transmission + 1)
    operations = [*work.RECEIVE, *work.send(again.message)]
    ep.begin(None, cached.destination, operations, "repeat response", lambda _now: ep.send(again))
    return again
