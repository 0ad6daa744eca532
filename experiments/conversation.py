"""Two IKEv2 endpoints that talk in memory, and what each message costs at either end.

Each piece of work is divided at the message that ends it: protecting and sending belong to that message's **sender**,
everything before to the **receiver** of the message that set it off. So the key pair of a responder counts as work
that the request causes, and no operation counts twice.

Time passes by work alone: each end has one core, the network is without delay. Timers run only when they are asked for
(`Talk.run_timers`), so a slow router does not repeat a request that is on its way.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from ..models.addresses import IpAddress
from ..models.ikev2.endpoint import Endpoint, Step
from ..models.ikev2.enquiries import Answer, NoAnswer, Question
from ..models.ikev2.events import Event
from ..models.ikev2.message import Datagram
from ..models.ikev2.operations import HandleMessage, Operation, Protect
from ..models.ikev2.sa import NS_PER_S, IkeSa, Work, nanoseconds


@dataclass(slots=True)
class Turn:
    """A datagram with the operations that it cost at both ends."""

    datagram: Datagram
    by_initiator: bool
    phase: str
    sent_ns: int
    arrived: bool = True
    #: Why it did not arrive, where the path swallowed it.
    swallowed: str = ""
    sender: list[Operation] = field(default_factory=list)
    receiver: list[Operation] = field(default_factory=list)

    def operations_of(self, *, initiator: bool) -> list[Operation]:
        """Return what one end does for this datagram."""
        return self.sender if self.by_initiator == initiator else self.receiver


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers to an enquiry."""

    token: int
    answer: Answer


def nobody(_question: Question, _now_s: float) -> tuple[Answer, float]:
    """Return the answer of a server that does not exist."""
    return NoAnswer(), 0.0


@dataclass(slots=True)
class Talk:
    """A conversation. ``service_s``: duration of operations. [s] ``phase`` names what the next messages belong to."""

    initiator: Endpoint
    responder: Endpoint
    service_s: Callable[[list[Operation]], float]
    phase: str = "setup"
    #: Other gateways by address; the first message to one makes it the responder.
    gateways: dict[IpAddress, Endpoint] = field(default_factory=dict)
    #: Whether the responder receives anything.
    reachable: bool = True
    #: Why the path swallows a datagram, nothing when it carries it.
    swallows: Callable[[Datagram], str] | None = None
    #: The servers outside: the answer to a question of a time [s], and after how long it is there. [s]
    ask: Callable[[Question, float], tuple[Answer, float]] = nobody
    now_ns: int = 0
    turns: list[Turn] = field(default_factory=list)
    #: What happened, with the end at which it did: True for the initiator.
    events: list[tuple[bool, Event]] = field(default_factory=list)
    _arrived: dict[bool, Turn] = field(default_factory=dict)
    _free_ns: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _agenda: list[tuple[int, int, bool, Turn | tuple[Endpoint, Work | Reply], Turn | None]] = field(
        default_factory=list
    )
    #: Responders by the address at which they have received something: a redirection does not end the first one.
    _at: dict[IpAddress, Endpoint] = field(default_factory=dict)
    _count: int = 0

    def end(self, *, initiator: bool) -> Endpoint:
        """Return one of the ends."""
        return self.initiator if initiator else self.responder

    def sa(self, *, initiator: bool) -> IkeSa | None:
        """Return an end's newest IKE SA, if it has one."""
        return next(reversed(self.end(initiator=initiator).sas.values()), None)

    def take(
        self, step: Step, *, initiator: bool, cause: Turn | None = None, end: Endpoint | None = None
    ) -> list[Turn]:
        """Queue what a step of one end asks for; return its datagrams. ``cause``: the arrival behind the work."""
        end = end or self.end(initiator=initiator)
        self.events += [(initiator, event) for event in step.events]
        arrives = not initiator or self.reachable
        turns = [Turn(datagram, initiator, self.phase, self.now_ns, arrives) for datagram in step.datagrams]
        self.turns += turns
        for turn in turns:
            if self.swallows is not None:
                turn.swallowed = self.swallows(turn.datagram)
                turn.arrived = arrives and not turn.swallowed
            if turn.arrived:
                self._queue(self.now_ns, not initiator, turn)
        for work in step.works:
            start_ns = max(self.now_ns, self._free_ns[initiator])
            self._free_ns[initiator] = start_ns + nanoseconds(self.service_s(work.operations))
            self._queue(self._free_ns[initiator], initiator, (end, work), cause)
        for enquiry in step.enquiries:
            answer, delay_s = self.ask(enquiry.question, self.now_ns / NS_PER_S)
            if enquiry.token:
                self._queue(self.now_ns + nanoseconds(delay_s), initiator, (end, Reply(enquiry.token, answer)), cause)
        return turns

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Go on until nothing is left to do, or ``until`` something has happened.

        Where the path swallows datagrams, timers run too while a request is not answered.
        """
        self._work(until)
        while self.swallows is not None and self._waits() and not until():
            due = [(at, end) for end in (True, False) if (at := self.end(initiator=end).timer()) is not None]
            at_ns, end = min(due, key=lambda pair: pair[0])
            self.now_ns = max(self.now_ns, at_ns)
            self.take(self.end(initiator=end).on_timer(self.now_ns), initiator=end)
            self._work(until)

    def _waits(self) -> bool:
        sas = [sa for end in (self.initiator, self.responder) for sa in end.sas.values()]
        return any(not o.answered for sa in sas for o in sa.outstanding.values())

    def _work(self, until: Callable[[], bool]) -> None:
        while self._agenda and not until():
            self.now_ns, _, initiator, item, cause = heapq.heappop(self._agenda)
            if isinstance(item, Turn):
                self._arrived[initiator] = item
                end = self.initiator if initiator else self._responder_at(item.datagram.destination)
                self.take(end.receive(item.datagram, self.now_ns), initiator=initiator, cause=item, end=end)
            else:
                self._finish(*item, cause, initiator=initiator)

    def run_timers(self, until: Callable[[], bool]) -> None:
        """Let the initiator's timers run too, ``until`` something has happened or none is left."""
        self.run()
        while not until():
            due_ns = self.initiator.timer()
            if due_ns is None:
                return
            self.now_ns = max(self.now_ns, due_ns)
            self.take(self.initiator.on_timer(self.now_ns), initiator=True)
            self.run()

    def _responder_at(self, address: IpAddress) -> Endpoint:
        if address in self.gateways:
            self.responder = self.gateways.pop(address)
        return self._at.setdefault(address, self.responder)

    def _queue(
        self, at_ns: int, initiator: bool, item: Turn | tuple[Endpoint, Work | Reply], cause: Turn | None = None
    ) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at_ns, self._count, initiator, item, cause))

    def _finish(self, end: Endpoint, work: Work | Reply, cause: Turn | None, *, initiator: bool) -> None:
        if isinstance(work, Reply):
            self.take(end.answered(work.token, work.answer, self.now_ns), initiator=initiator, cause=cause, end=end)
            return
        # What waited behind this work was set off by what has arrived meanwhile.
        latest = self._arrived.get(initiator)
        turns = self.take(end.done(work.token, self.now_ns), initiator=initiator, cause=latest, end=end)
        caused, sending = divide(work.operations)
        if not turns and not caused:
            # What follows the answer of a server and sends nothing belongs to the arrival before the question.
            caused, sending = sending, []
        if caused and cause is not None:
            cause.receiver += caused
        for turn, operations in zip(turns, parts(sending, len(turns)), strict=True):
            turn.sender += operations


def divide(operations: list[Operation]) -> tuple[list[Operation], list[Operation]]:
    """Return the part of a work that an arriving message caused and the part that sends the next message.

    Work that begins without an arrival belongs to its message as a whole; work that sends nothing has no second part.
    """
    if not any(isinstance(o, HandleMessage) and o.direction == "in" for o in operations):
        return [], list(operations)
    cut = len(operations)
    while _sends(operations[cut - 1]):
        cut -= 1
    return operations[:cut], operations[cut:]


def parts(operations: list[Operation], count: int) -> list[list[Operation]]:
    """Return the operations that send each of ``count`` datagrams; what comes before the first belongs to it."""
    divided: list[list[Operation]] = [[] for _ in range(count)]
    number = 0
    for operation in operations:
        if number < count:
            divided[number].append(operation)
        if isinstance(operation, HandleMessage) and operation.direction == "out":
            number += 1
    return divided


def _sends(operation: Operation) -> bool:
    return isinstance(operation, Protect) or (isinstance(operation, HandleMessage) and operation.direction == "out")
