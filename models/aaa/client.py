"""A RADIUS client: repeats requests, gives servers up, and passes dead ones over (RFC 2865 2.4 and 2.5, RFC 2866 2).

Sans-I/O and without a clock, as the IKEv2 endpoint is: ``ask``, ``receive`` and ``on_timer`` take the time in ns and
return a `ClientStep`: packets to send and requests that are over.

A request goes to the servers of its group in order. Each one gets it ``1 + retransmit`` times, ``timeout_s`` apart;
then the next one is asked, and at the end the request has failed. Repeated packets keep their identifier, which the
server knows them by (RFC 5080 2.2.2). An identifier has eight bits: what finds none free on its source port waits, and
its timeout has not begun. A server that lets ``dead_tries`` transmissions in a row run out, and has answered nothing
for ``dead_time_s``, is dead: requests on their way go on, new ones pass it over for the group's deadtime. With every
server of its group dead a request fails at once.

What this leaves out: automated tests of a dead server, ``retry method reorder``, source ports beyond one for access
and one for accounting, Acct-Delay-Time (which would give a repeated packet an identifier of its own, RFC 2866 5.2).
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

from .packets import Code, Packet
from .settings import AaaSettings, RadiusServer, ServerGroup

NS_PER_S = 1_000_000_000
#: Values of the identifier (RFC 2865 3), each in use for one request at a time on one source port.
IDENTIFIERS = 256


@dataclass(frozen=True, slots=True)
class Transmission:
    """A packet on its way to a server. ``identifier`` and ``serial`` stand for identifier and authenticator.

    ``serial`` numbers the requests of a client; with ``router`` it tells a server what it has seen before.
    """

    router: str
    server: RadiusServer
    packet: Packet
    identifier: int
    serial: int
    number: int
    subject: object = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer to the request ``serial``; ``content`` is what it says, for whoever asked."""

    server: RadiusServer
    serial: int
    packet: Packet
    content: object = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request that is over. ``reply`` None: no server answered. Times in ns.

    ``asked_ns``: when it was asked for; ``sent_ns``: when it first left, -1 where every server was dead.
    """

    serial: int
    reply: Reply | None
    packet: Packet
    asked_ns: int
    sent_ns: int
    transmissions: int
    server: RadiusServer | None


@dataclass(slots=True)
class ClientStep:
    """What one call asks of the driver. ``dead``: servers that were given up just now."""

    transmissions: list[Transmission] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    dead: list[RadiusServer] = field(default_factory=list)


@dataclass(slots=True)
class ServerState:
    """What a client knows of a server. ``timeouts``: transmissions in a row that have run out."""

    timeouts: int = 0
    heard_ns: int = -1
    dead_since_ns: int = -1
    #: Counts of the whole run.
    requests: int = 0
    retransmissions: int = 0
    timeouts_total: int = 0
    dead_marks: int = 0
    late_replies: int = 0


@dataclass(slots=True)
class _Request:
    serial: int
    group: ServerGroup
    packet: Packet
    subject: object
    asked_ns: int
    position: int = -1
    identifier: int = -1
    sent_ns: int = -1
    transmissions: int = 0
    at_server: int = 0
    due_ns: int = -1

    @property
    def server(self) -> RadiusServer:
        return self.group.servers[self.position]


class RadiusClient:
    """The RADIUS client of one router."""

    def __init__(self, router: str, settings: AaaSettings) -> None:
        self.router = router
        self.settings = settings
        self.states: dict[RadiusServer, ServerState] = {server: ServerState() for server in settings.servers()}
        self._requests: dict[int, _Request] = {}
        self._free = {True: deque(range(IDENTIFIERS)), False: deque(range(IDENTIFIERS))}
        self._waiting: dict[bool, deque[_Request]] = {True: deque(), False: deque()}
        self._timers: list[tuple[int, int]] = []
        self._serials = 0
        self._step = ClientStep()

    def ask(self, group: str, packet: Packet, subject: object, now: int) -> tuple[int, ClientStep]:
        """Send a request to a group; return its number and what to do. Raises KeyError for an unknown group."""
        self._serials += 1
        request = _Request(self._serials, self.settings.groups[group], packet, subject, now)
        self._requests[request.serial] = request
        self._waiting[self._accounts(request)].append(request)
        return request.serial, self._take(now)

    def receive(self, reply: Reply, now: int) -> ClientStep:
        """Take a server's answer; one that comes after its server was given up is counted and dropped."""
        request = self._requests.get(reply.serial)
        state = self.states[reply.server]
        state.timeouts, state.heard_ns, state.dead_since_ns = 0, now, -1
        if request is None or request.position < 0 or request.server != reply.server:
            state.late_replies += 1
        else:
            self._end(request, reply)
        return self._take(now)

    def on_timer(self, now: int) -> ClientStep:
        """Repeat or give up what was not answered in time."""
        while self._timers and self._timers[0][0] <= now:
            due, serial = heapq.heappop(self._timers)
            request = self._requests.get(serial)
            if request is not None and request.due_ns == due:
                self._time_out(request, now)
        return self._take(now)

    def timer(self) -> int | None:
        """Return when ``on_timer`` is wanted next, in ns, or None."""
        while self._timers:
            due, serial = self._timers[0]
            request = self._requests.get(serial)
            if request is not None and request.due_ns == due:
                return due
            heapq.heappop(self._timers)
        return None

    def waiting(self) -> int:
        """Return how many requests wait for an identifier."""
        return sum(len(queue) for queue in self._waiting.values())

    def outstanding(self) -> int:
        """Return how many requests are on their way."""
        return len(self._requests) - self.waiting()

    # -- inside ------------------------------------------------------------------------------------------------

    def _take(self, now: int) -> ClientStep:
        for accounts, queue in self._waiting.items():
            while queue and self._free[accounts]:
                self._begin(queue.popleft(), now)
        step, self._step = self._step, ClientStep()
        return step

    @staticmethod
    def _accounts(request: _Request) -> bool:
        return request.packet.code is Code.ACCOUNTING_REQUEST

    def _begin(self, request: _Request, now: int) -> None:
        request.identifier = self._free[self._accounts(request)].popleft()
        self._go_on(request, now)

    def _go_on(self, request: _Request, now: int) -> None:
        """Ask the next server that is not dead, or give the request up."""
        while request.position + 1 < len(request.group.servers):
            request.position += 1
            request.at_server = 0
            if not self._passed_over(request, now):
                self._send(request, now)
                return
        self._end(request, None)

    def _passed_over(self, request: _Request, now: int) -> bool:
        state = self.states[request.server]
        return state.dead_since_ns >= 0 and now < state.dead_since_ns + round(request.group.deadtime_s * NS_PER_S)

    def _send(self, request: _Request, now: int) -> None:
        if request.sent_ns < 0:
            request.sent_ns = now
        request.transmissions += 1
        request.at_server += 1
        state = self.states[request.server]
        if request.at_server > 1:
            state.retransmissions += 1
        else:
            state.requests += 1
        request.due_ns = now + round(request.server.timeout_s * NS_PER_S)
        heapq.heappush(self._timers, (request.due_ns, request.serial))
        self._step.transmissions.append(
            Transmission(
                self.router,
                request.server,
                request.packet,
                request.identifier,
                request.serial,
                request.transmissions,
                request.subject,
            )
        )

    def _time_out(self, request: _Request, now: int) -> None:
        server = request.server
        state = self.states[server]
        state.timeouts += 1
        state.timeouts_total += 1
        silent = state.heard_ns < 0 or now - state.heard_ns >= round(self.settings.dead_time_s * NS_PER_S)
        if state.timeouts >= self.settings.dead_tries and silent:
            state.timeouts, state.dead_since_ns = 0, now
            state.dead_marks += 1
            self._step.dead.append(server)
        if request.at_server <= server.retransmit:
            self._send(request, now)
        else:
            self._go_on(request, now)

    def _end(self, request: _Request, reply: Reply | None) -> None:
        del self._requests[request.serial]
        self._step.outcomes.append(
            Outcome(
                request.serial,
                reply,
                request.packet,
                request.asked_ns,
                request.sent_ns,
                request.transmissions,
                request.server if request.sent_ns >= 0 else None,
            )
        )
        self._free[self._accounts(request)].append(request.identifier)
