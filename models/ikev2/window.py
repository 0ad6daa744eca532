"""The message-ID layer of an IKE SA: which request may be sent, which one is worked on, which is answered again.

An end may have as many requests on their way as its peer has said that it keeps state for (SET_WINDOW_SIZE, RFC 7296
section 2.3): request X is sent once all requests up to X - N are answered. The peer works on them as they come, also
out of order, and keeps its last N responses for requests that are repeated. The window is one until the initial
exchanges are over, and of every IKE SA that a rekey has made (section 1.3.2). What may travel beside what:

- a rekey or a Delete of the IKE SA, a change of addresses and the check of a certificate travel alone, so that no end
  rekeys the IKE SA twice, and nothing is asked of an SA that is about to end (section 2.25);
- exchanges about different Child SAs travel together, those about one Child SA one after the other, and one that the
  peer's colliding rekey has made waits until it is decided whether it stays (section 2.8.1);
- a probe waits: any other response proves the peer alive too (section 2.4);
- of everything else there is one of its kind at a time.

Tasks keep their order: what must wait holds up what is queued behind it. An implementation that announces no window of
its own sends one request at a time whatever its peer announces: strongSwan does, of the others this is assumed.

What this leaves out: INVALID_MESSAGE_ID (which is optional), windows announced for an IKE SA that a rekey makes, a
Delete that overtakes the response by which the peer gets to know its Child SA (it comes to nothing there).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from . import dispatch, fragmentation, initiator, nat, retransmission
from .message import Datagram, Exchange, Message
from .rekey import CHILD_EXCHANGES
from .sa import ChildSa, ChildState, IkeSa, Outstanding, nanoseconds

if TYPE_CHECKING:
    from .endpoint import Endpoint

NOTIFY = "SET_WINDOW_SIZE"
#: How long the responses of a closed SA are kept to answer repeated requests. Assumed: the half-open time. [s]
LAST_WORDS_S = 30.0
#: Requests that no other one of their end travels beside.
_ALONE = frozenset(
    {
        "init",
        "intermediate",
        "auth",
        "report",
        "rekey ike",
        "delete ike",
        "announce addresses",
        "probe path",
        "update addresses",
    }
)
#: Tasks that wait until nothing of their end is on its way.
_LAST = frozenset({*_ALONE, "check certificate", "dpd"})
#: Exchanges of an SA whose initial exchanges are over.
_LATER = (Exchange.INFORMATIONAL, Exchange.CREATE_CHILD_SA, Exchange.IKE_FOLLOWUP_KE)


# -- This end's requests ---------------------------------------------------------------------------------------


def announced(sa: IkeSa, message: Message) -> None:
    """Note the window that this end announces with a message."""
    notify = message.notify(NOTIFY)
    if notify is not None:
        sa.local_window = max(sa.local_window, notify.value)


def heed(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Note the window that the peer announces, if this end makes use of it; it never shrinks (RFC 7296 2.3)."""
    notify = message.notify(NOTIFY)
    if notify is not None and ep.implementation.profile.has_request_windows():
        sa.remote_window = max(sa.remote_window, notify.value)


def may_begin(sa: IkeSa) -> bool:
    """Return whether the next task of an SA may begin while requests are on their way."""
    task, outstanding = sa.tasks[0], sa.outstanding
    # Message IDs grow, so the first one is the oldest.
    if sa.next_request_id - next(iter(outstanding)) >= sa.remote_window or task.kind in _LAST:
        return False
    if task.child is not None and _is_open(sa, task.child):
        return False
    kinds = {o.kind for o in outstanding.values()}
    return kinds.isdisjoint(_ALONE) and (task.kind in CHILD_EXCHANGES or task.kind not in kinds)


def _is_open(sa: IkeSa, child: ChildSa) -> bool:
    """Return whether an exchange of this end about a Child SA is open, or one that decides whether it stays."""
    rivals = (c.collision[0] for c in sa.children.values() if c.rekeying and c.collision is not None)
    return child.rekeying or child.state is ChildState.DELETING or any(child is rival for rival in rivals)


def _answers(sa: IkeSa, outstanding: Outstanding, message: Message) -> bool:
    if outstanding.datagram.message.exchange is not message.exchange:
        return False
    return message.exchange is not Exchange.IKE_SA_INIT or initiator.says_something_new(sa, message)


# -- The peer's requests ---------------------------------------------------------------------------------------


def awaits(sa: IkeSa, message_id: int) -> bool:
    """Return whether the peer may send a request with this message ID, and it is not answered yet."""
    expected = sa.expected_request_id
    if message_id <= expected:
        return message_id == expected
    return message_id < expected + sa.local_window and message_id not in sa.responses


def keep(sa: IkeSa, response: Datagram) -> None:
    """Keep a response for a request that is repeated, and forget those that the peer must have received."""
    message, responses = response.message, sa.responses
    if message.exchange not in _LATER:
        # The window is one: whoever sent this request has the response to the one before.
        sa.responses = {message.message_id: response}
        sa.expected_request_id = message.message_id + 1
        return
    responses[message.message_id] = response
    while sa.expected_request_id in responses:
        sa.expected_request_id += 1
    if len(responses) > 1:
        received = max(responses) - sa.local_window
        for message_id in [n for n in responses if n <= received]:
            del responses[message_id]


class LastWords:
    """Responses of closed SAs by the SPI of this end, oldest first."""

    def __init__(self) -> None:
        self._words: OrderedDict[int, tuple[int, dict[int, Datagram]]] = OrderedDict()

    def keep(self, sa: IkeSa, now: int) -> None:
        """Keep the responses of an SA that is closed; forget those that are too old."""
        words = self._words
        while words and next(iter(words.values()))[0] < now - nanoseconds(LAST_WORDS_S):
            words.popitem(last=False)
        if sa.responses:
            words[sa.local_spi] = (now, sa.responses)

    def repeat(self, ep: Endpoint, spi: int, request: Datagram, now: int) -> None:
        """Answer a request once more that one of them has answered."""
        closed_ns, responses = self._words.get(spi, (0, {}))
        message_id = request.message.message_id
        recent = now - closed_ns <= nanoseconds(LAST_WORDS_S) and request.fragment <= 1
        if recent and message_id in responses:
            responses[message_id] = retransmission.repeat_response(ep, responses[message_id])


# -- What arrives ----------------------------------------------------------------------------------------------


def deliver(ep: Endpoint, sa: IkeSa, datagram: Datagram, now: int) -> None:
    """Take a datagram for an SA: what is new waits in the inbox, what is a copy is dropped."""
    message = datagram.message
    fresh = message.response
    if fresh:
        outstanding = sa.outstanding.get(message.message_id)
        # Also a second copy, or one of a request that was repeated with a cookie or another group since.
        if outstanding is None or outstanding.answered or not _answers(sa, outstanding, message):
            return
        if datagram.fragment and not fragmentation.completes(ep, sa, datagram):
            return
        outstanding.answered = True
        ep.clear_timer(sa, "retransmit", message.message_id)
    elif message.message_id == sa.processing_request_id or (
        sa.inbox and any(not d.message.response and d.message.message_id == message.message_id for d in sa.inbox)
    ):
        return
    else:
        fresh = awaits(sa, message.message_id)
        if datagram.fragment and not (fragmentation.completes(ep, sa, datagram) if fresh else datagram.fragment == 1):
            return
    if fresh:
        if sa.nat_there:
            nat.follow_peer(ep, sa, datagram, now)
        ep.hear_from(sa, now)
    sa.inbox.append(datagram)
    ep.advance(sa)


def process(ep: Endpoint, sa: IkeSa, datagram: Datagram) -> None:
    """Begin to work on what has waited in the inbox; a request beyond the window is forgotten."""
    message = datagram.message
    sa.completed_by = datagram.fragment
    if message.suite is not None:
        heed(ep, sa, message)
    if message.response:
        sa.outstanding.pop(message.message_id).on_response(message)
        return
    fragmentation.follow(sa, datagram)
    if awaits(sa, message.message_id):
        # The initiator may have moved to port 4500 (RFC 7296 2.23).
        sa.local_port, sa.remote_port = datagram.destination_port, datagram.source_port
        sa.answer_to = datagram.source
        dispatch.process_request(ep, sa, message)
    elif message.message_id in sa.responses:
        cached = sa.responses[message.message_id]
        if sa.nat_there:
            cached = replace(cached, destination=datagram.source, destination_port=datagram.source_port)
        sa.responses[message.message_id] = retransmission.repeat_response(ep, cached)
