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
from ..models.ikev2.events import Event
from ..models.ikev2.message import Datagram
from ..models.ikev2.operations import HandleMessage, Operation, Protect
from ..models.ikev2.sa import IkeSa, Work, nanoseconds


@dataclass(slots=True)
class Turn:
    """A datagram with the operations that it cost at both ends."""

    datagram: Datagram
    by_initiator: bool
    phase: str
    sent_ns: int
    arrived: bool = True
    sender: list[Operation] = field(default_factory=list)
    receiver: list[Operation] = field(default_factory=list)

    def operations_of(self, *, initiator: bool) -> list[Operation]:
        """Return what one end does for this datagram."""
        return self.sender if self.by_initiator == initiator else self.receiver


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
    now_ns: int = 0
    turns: list[Turn] = field(default_factory=list)
    #: What happened, with the end at which it did: True for the initiator.
    events: list[tuple[bool, Event]] = field(default_factory=list)
    _arrived: dict[bool, Turn] = field(default_factory=dict)
    _free_ns: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _agenda: list[tuple[int, int, bool, Turn | Work, Turn | None]] = field(default_factory=list)
    _count: int = 0

    def end(self, *, initiator: bool) -> Endpoint:
        """Return one of the ends."""
        return self.initiator if initiator else self.responder

    def sa(self, *, initiator: bool) -> IkeSa | None:
        """Return an end's newest IKE SA, if it has one."""
        return next(reversed(self.end(initiator=initiator).sas.values()), None)

    def take(self, step: Step, *, initiator: bool, cause: Turn | None = None) -> list[Turn]:
        """Queue what a step of one end asks for; return its datagrams. ``cause``: the arrival behind the work."""
        self.events += [(initiator, event) for event in step.events]
        arrives = not initiator or self.reachable
        turns = [Turn(datagram, initiator, self.phase, self.now_ns, arrives) for datagram in step.datagrams]
        self.turns += turns
        if arrives:
            for turn in turns:
                self._queue(self.now_ns, not initiator, turn)
        for work in step.works:
            start_ns = max(self.now_ns, self._free_ns[initiator])
            self._free_ns[initiator] = start_ns + nanoseconds(self.service_s(work.operations))
            self._queue(self._free_ns[initiator], initiator, work, cause)
        return turns

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Go on until nothing is left to do, or ``until`` something has happened."""
        while self._agenda and not until():
            self.now_ns, _, initiator, item, cause = heapq.heappop(self._agenda)
            if isinstance(item, Turn):
                self._arrived[initiator] = item
                if item.datagram.destination in self.gateways:
                    self.responder = self.gateways.pop(item.datagram.destination)
                step = self.end(initiator=initiator).receive(item.datagram, self.now_ns)
                self.take(step, initiator=initiator, cause=item)
            else:
                self._finish(item, cause, initiator=initiator)

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

    def _queue(self, at_ns: int, initiator: bool, item: Turn | Work, cause: Turn | None = None) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at_ns, self._count, initiator, item, cause))

    def _finish(self, work: Work, cause: Turn | None, *, initiator: bool) -> None:
        # What waited behind this work was set off by what has arrived meanwhile.
        latest = self._arrived.get(initiator)
        step = self.end(initiator=initiator).done(work.token, self.now_ns)
        turns = self.take(step, initiator=initiator, cause=latest)
        caused, sending = divide(work.operations)
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
