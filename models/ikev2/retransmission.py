"""Reliability: requests are repeated until they are answered, responses only when they are asked for again (RFC 7296
sections 2.1 and 2.4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import work
from .message import Datagram
from .sa import IkeSa, nanoseconds

if TYPE_CHECKING:
    from .endpoint import Endpoint


def timeouts_ns(ep: Endpoint, sa: IkeSa, kind: str) -> tuple[int, ...]:
    """Return the wait after each time that a request is sent; when the last one ends the peer is given up. [ns]"""
    number, count = ep.implementation.number, ep.implementation.count
    dpd = sa.profile.dpd if sa.profile is not None else None
    if kind == "dpd" and dpd is not None and ep.implementation.profile.dpd_schedule == "retry":
        between = [dpd.retry_s] * (count("dpd_sends") - 1)
        return tuple(nanoseconds(s) for s in (*between, number("dpd_final_wait_s")))
    first_s, factor = number("retransmit_first_s"), number("retransmit_factor")
    return tuple(nanoseconds(first_s * factor**i) for i in range(count("retransmit_tries") + 1))


def time_out(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Send the outstanding request again, or give the peer up.

    The next wait begins when the copy is sent. A response that arrives while the copy waits for the CPU stops it.
    """
    outstanding = sa.outstanding
    if outstanding is None or outstanding.answered:
        return
    number = outstanding.datagram.transmission + 1
    if number == len(outstanding.timeouts_ns):
        ep.close(sa, outstanding.unanswered, now)
        return
    again = replace(outstanding.datagram, transmission=number)

    def finish(t: int) -> None:
        if sa.outstanding is not outstanding or outstanding.answered:
            return
        outstanding.datagram = again
        ep.set_timer(sa, "retransmit", t + outstanding.timeouts_ns[number])
        ep.send(again)
        ep.tell("retransmission", sa, t, detail=again.message.exchange.name)

    ep.begin(None, sa.remote, work.send(again.message), "retransmit request", finish)


def repeat_response(ep: Endpoint, cached: Datagram) -> Datagram:
    """Send a response once more for a request that came once more; return the copy, which counts the repetition."""
    again = replace(cached, transmission=cached.transmission + 1)
    operations = [*work.RECEIVE, *work.send(again.message)]
    ep.begin(None, cached.destination, operations, "repeat response", lambda _now: ep.send(again))
    return again
