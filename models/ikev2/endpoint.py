"""One router's IKEv2: it takes datagrams, time and finished work, and asks for work, datagrams and events.

Sans-I/O and without a clock: ``receive``, ``on_timer``, ``start`` and ``done`` take the time and return a `Step`: work
for the router's CPU, datagrams to send, events. **Work takes time.** The state of an SA changes, its message appears
and its retransmission timer starts only when the driver calls ``done(token)``. An SA does one piece of work at a time;
what arrives meanwhile waits in its inbox. A response stops the retransmission timer when it arrives, because a timeout
that is queued behind the response finds the request answered.

Which SA a message belongs to is in ``directory``, the order of requests and responses in ``window``, the exchanges
themselves in ``initiator``, ``responder``, ``rekey``, ``informational`` and their like, which ``dispatch`` calls.

What this leaves out: cookies in any but IKE_SA_INIT, INVALID_IKE_SPI answers.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..addresses import IpAddress
from ..implementation import Implementation
from ..randomness import Streams, make_key
from ..secret import Secret
from . import (
    authorisation,
    configuration,
    dispatch,
    fragmentation,
    initiator,
    nat,
    responder_init,
    resumption,
    retransmission,
    revocation,
    window,
)
from .admission import Outgoing
from .configuration import Addresses
from .directory import Directory
from .enquiries import Answer, Enquiry, Question
from .events import Event, EventKind, Refusal
from .message import Datagram, Exchange, Message
from .operations import Operation
from .payloads import NoncePayload, NotifyPayload, Payload
from .policy import EndpointPolicy, TunnelPolicy
from .restarts import Restarts
from .sa import CHILD_TIMERS, Cause, ChildSa, ChildState, IkeSa, Outstanding, TimerName, Work, nanoseconds
from .states import State, Trigger
from .virtual_access import VirtualAccess
from .volume import Traffic

_NO_ANSWER = Refusal("no answer")


class Step:
    """What one call asks of the driver."""

    __slots__ = ("datagrams", "enquiries", "events", "keepalives", "works")

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.datagrams: list[Datagram] = []
        self.keepalives: list[nat.Keepalive] = []
        self.enquiries: list[Enquiry] = []
        self.events: list[Event] = []


class Endpoint:
    """IKEv2 of one router.

    Parameters
    ----------
    policy: what it is told to do.
    implementation: how it does it.
    seed, replication, draw: keys of its random numbers (nonces, SPIs, jitter).
    boots: how often the router has started before; one that comes back must not draw its old SPIs again.
    """

    def __init__(
        self,
        policy: EndpointPolicy,
        implementation: Implementation,
        seed: int = 1,
        replication: int = 0,
        draw: int = 0,
        boots: int = 0,
    ) -> None:
        self.policy = policy
        self.implementation = implementation
        self.name = policy.name
        self.directory = Directory()
        self.sas = self.directory.sas
        self.clones = VirtualAccess()
        self.addresses = Addresses()
        #: When this end was redirected, by tunnel. [ns]
        self.redirections: dict[str, deque[int]] = {}
        #: What the driver knows of the ESP traffic; None: nothing.
        self.traffic: Traffic | None = None
        #: Whether any peer has a post-quantum pre-shared key (RFC 8784) that this implementation can use.
        self.has_ppks = any(p.ppks for p in policy.profiles) and implementation.profile.has_ppk()
        self._random = (seed, replication, draw)
        self._entity = f"{policy.name}#{boots}" if boots else policy.name
        self._streams: dict[tuple[int, int], Streams] = {}
        self._last_words = window.LastWords()
        self._works: dict[int, tuple[IkeSa | None, Callable[[int], None]]] = {}
        self._enquiries: dict[int, list[tuple[IkeSa, Callable[[Answer, int], None]]]] = {}
        self._shared: dict[Question, int] = {}
        self.statuses = revocation.Statuses()
        self.resumption = policy.resumption if implementation.profile.session_resumption else None
        self.tickets = resumption.Tickets(Secret(f"ticket key of {policy.name}"))
        self._tokens = 0
        self._serials = 0
        self._timers: list[tuple[int, int, TimerName, int, int, IkeSa]] = []
        self._timer_pushes = 0
        self._restarts = Restarts(implementation)
        limit = policy.max_in_negotiation_outgoing
        self.outgoing = Outgoing(implementation.count("max_in_negotiation_outgoing") if limit is None else limit)
        #: Requests of IKE_SA_INIT whose work is not done yet, by token.
        self._init_works: set[int] = set()
        self._step = Step()

    # -- what the driver calls ---------------------------------------------------------------------------------

    def start(self, tunnel: str, now: int) -> Step:
        """Bring a tunnel up, unless an IKE SA with its peer exists or is being made. Raises KeyError."""
        policy = self.policy.tunnel(tunnel)
        self._restarts.want(tunnel)
        self._start_unless_live(policy, now)
        return self._take()

    def receive(self, datagram: Datagram, now: int) -> Step:
        """Take one datagram from the network."""
        message = datagram.message
        if message.exchange is Exchange.IKE_SA_INIT and not message.response:
            known = self.directory.opened_by(datagram.source, message.spi_i)
            if known is None:
                before = self._tokens
                responder_init.receive(self, datagram, now)
                if self._tokens != before:
                    self._init_works.add(self._tokens)
                    self._step.works[-1].stranger = True
                return self._take()
            window.deliver(self, known, datagram, now)
            return self._take()
        spi = message.spi_r if message.from_initiator else message.spi_i
        sa = self.sas.get(spi)
        if sa is not None:
            window.deliver(self, sa, datagram, now)
        elif message.exchange is Exchange.IKE_SESSION_RESUME and not message.response:
            known = self.directory.opened_by(datagram.source, message.spi_i)
            if known is None:
                resumption.receive(self, datagram, now)
            else:
                window.deliver(self, known, datagram, now)
        elif not message.response:
            self._last_words.repeat(self, spi, datagram, now)
        return self._take()

    def on_timer(self, now: int) -> Step:
        """Run every timer that is due."""
        while self._timers and self._timers[0][0] <= now:
            due, _, name, key, _, sa = heapq.heappop(self._timers)
            if sa.timers.get((name, key)) == due:
                del sa.timers[(name, key)]
                dispatch.fire(self, sa, name, key, now)
                self.advance(sa)
        for tunnel in self._restarts.take_due(now):
            self._start_unless_live(self.policy.tunnel(tunnel), now)
        if self.outgoing.waiting:
            self._admit(now)
        return self._take()

    def done(self, token: int, now: int) -> Step:
        """Tell that the router has finished a piece of work. Raises KeyError for an unknown token."""
        sa, finish = self._works.pop(token)
        if self._init_works:
            self._init_works.discard(token)
        if sa is None:
            finish(now)
        else:
            sa.busy = False
            if sa.alive:
                finish(now)
            self.advance(sa)
            if sa.nat_here and self._step.datagrams:
                sa.sent_ns = now
        if self.outgoing.waiting:
            self._admit(now)
        return self._take()

    def answered(self, token: int, answer: Answer, now: int) -> Step:
        """Tell what a server has answered. Raises KeyError for an unknown token."""
        waiting = self._enquiries.pop(token)
        self._shared = {question: t for question, t in self._shared.items() if t != token}
        for sa, finish in waiting:
            sa.busy = False
            if sa.alive:
                finish(answer, now)
            self.advance(sa)
        return self._take()

    def timer(self) -> int | None:
        """Return when ``on_timer`` is wanted next, in ns, or None."""
        while self._timers:
            due, _, name, key, _, sa = self._timers[0]
            if sa.timers.get((name, key)) == due:
                break
            heapq.heappop(self._timers)
        times = (self._timers[0][0] if self._timers else None, self._restarts.next_ns())
        return min((t for t in times if t is not None), default=None)

    # -- what the exchanges use --------------------------------------------------------------------------------

    def new_sa(
        self, local: IpAddress, remote: IpAddress, *, initiator: bool, now: int, spi: int | None = None
    ) -> IkeSa:
        """Return a new SA end with its own SPI, which is drawn unless given."""
        streams = self._streams_between(local, remote)
        if spi is None:
            spi = self.ike_spi(streams)
        sa = IkeSa(self.next_serial(), local, remote, initiator, now, spi)
        sa.streams = streams
        self.directory.add(sa)
        return sa

    def next_serial(self) -> int:
        """Return a number for a new SA."""
        self._serials += 1
        return self._serials

    def ike_spi(self, streams: Streams) -> int:
        """Return a fresh IKE SPI, which is never zero (RFC 7296 3.1)."""
        return streams.bits("spi") or 1

    def esp_spi(self, sa: IkeSa) -> int:
        """Return a fresh inbound ESP SPI; the first 255 values are reserved (RFC 4303 2.1)."""
        return 256 + sa.streams.bits("esp spi") % (2**32 - 256)

    def nonce(self, sa: IkeSa) -> NoncePayload:
        """Return a fresh nonce."""
        return NoncePayload(sa.streams.bits("nonce"), self.implementation.count("nonce_bytes"))

    def _streams_between(self, local: IpAddress, remote: IpAddress) -> Streams:
        """Return the random numbers of this end between two addresses; its SAs there share them, so none repeats."""
        pair = int(local), int(remote)
        streams = self._streams.get(pair)
        if streams is None:
            seed, replication, draw = self._random
            entity = f"{self._entity}:{pair[0]}>{pair[1]}"
            streams = self._streams[pair] = Streams(make_key(seed, entity, "IKE", replication=replication, draw=draw))
        return streams

    def waiting_inits(self) -> int:
        """Return how many requests of IKE_SA_INIT wait for the router's CPU, the one in service included."""
        return len(self._init_works)

    def half_open_count(self) -> int:
        """Return how many SAs this end is negotiating as responder."""
        return self.directory.half_open_count()

    def authenticated(self, sa: IkeSa) -> None:
        """Note that the identity of this SA's peer is proven."""
        self.directory.authenticated(sa)
        self.outgoing.ended(sa.serial)
        tunnel = self.tunnel_of(sa)
        if tunnel is not None:
            self._restarts.tried(tunnel.name)

    def hear_from(self, sa: IkeSa, now: int) -> None:
        """Start the wait for the next dead peer probe: something fresh arrived, the peer is alive."""
        dpd = sa.profile.dpd if sa.profile is not None else None
        wanted = dpd is not None and (dpd.periodic or self.traffic is not None)
        if dpd is not None and wanted and sa.state is State.ESTABLISHED:
            self.set_timer(sa, "dpd", now + nanoseconds(dpd.interval_s))

    def begin(
        self,
        sa: IkeSa | None,
        remote: IpAddress,
        operations: list[Operation],
        step: str,
        finish: Callable[[int], None],
    ) -> None:
        """Ask for work; ``finish(now)`` runs when it is done, unless the SA is closed by then."""
        self._tokens += 1
        self._works[self._tokens] = (sa, finish)
        if sa is not None:
            sa.busy = True
        self._step.works.append(Work(self._tokens, operations, step, sa, remote))

    def enquire(self, sa: IkeSa, question: Question, finish: Callable[[Answer, int], None]) -> None:
        """Ask a server; ``finish(answer, now)`` runs with its answer, and what arrives for the SA waits meanwhile."""
        sa.busy = True
        if question.shared and question in self._shared:
            self._enquiries[self._shared[question]].append((sa, finish))
            return
        self._tokens += 1
        self._enquiries[self._tokens] = [(sa, finish)]
        if question.shared:
            self._shared[question] = self._tokens
        self._step.enquiries.append(Enquiry(self._tokens, question, sa))

    def report(self, sa: IkeSa, record: Question) -> None:
        """Tell a server something that needs no answer."""
        self._step.enquiries.append(Enquiry(0, record, sa))

    def send(self, datagram: Datagram) -> None:
        """Hand a message to the driver, each of its pieces in a datagram of its own."""
        pieces = datagram.message.fragments
        if pieces:
            self._step.datagrams += [replace(datagram, fragment=n) for n in range(1, len(pieces) + 1)]
        else:
            self._step.datagrams.append(datagram)

    def send_keepalive(self, keepalive: nat.Keepalive) -> None:
        """Hand a NAT keepalive to the driver."""
        self._step.keepalives.append(keepalive)

    def tell(
        self,
        kind: EventKind,
        sa: IkeSa,
        now: int,
        *,
        child: ChildSa | None = None,
        refusal: Refusal | None = None,
        detail: str = "",
    ) -> None:
        """Record an event of one SA."""
        self._step.events.append(Event(now, kind, sa.remote, sa, child, refusal, detail))

    def tell_of_stranger(self, kind: EventKind, remote: IpAddress, now: int, refusal: Refusal | None = None) -> None:
        """Record an event of a peer for which nothing is kept."""
        self._step.events.append(Event(now, kind, remote, refusal=refusal))

    def request(
        self,
        sa: IkeSa,
        exchange: Exchange,
        payloads: Sequence[Payload],
        kind: str,
        on_response: Callable[[Message], None],
        now: int,
        unanswered: Refusal | None = None,
    ) -> Message:
        """Send a request with the next message ID and start its retransmission timer.

        ``unanswered`` is why the SA is closed when no response comes, if not for that alone.
        """
        suite = None if exchange is Exchange.IKE_SA_INIT else sa.suite
        message = Message(exchange, *sa.spis, sa.next_request_id, False, sa.initiator, tuple(payloads), suite)
        sa.next_request_id += 1
        if suite is not None and sa.fragment_bytes:
            message.fragments = fragmentation.cut(sa, suite, message.inner_bytes)
        datagram = Datagram(sa.local, sa.remote, message, sa.local_port, sa.remote_port)
        timeouts_ns = retransmission.timeouts_ns(self, sa, kind)
        request = Outstanding(datagram, on_response, kind, timeouts_ns, unanswered or _NO_ANSWER)
        sa.outstanding[message.message_id] = request
        self.set_timer(sa, "retransmit", now + timeouts_ns[0], message.message_id)
        window.announced(sa, message)
        self.send(datagram)
        return message

    def respond(self, sa: IkeSa, request: Message, payloads: Sequence[Payload]) -> Message:
        """Send the response to ``request`` and keep it for repeated requests."""
        suite = None if request.exchange is Exchange.IKE_SA_INIT else sa.suite
        message = Message(request.exchange, *sa.spis, request.message_id, True, sa.initiator, tuple(payloads), suite)
        if suite is not None and sa.fragment_bytes:
            message.fragments = fragmentation.cut(sa, suite, message.inner_bytes)
        datagram = Datagram(sa.local, sa.answer_to or sa.remote, message, sa.local_port, sa.remote_port)
        sa.processing_request_id = -1
        window.announced(sa, message)
        window.keep(sa, datagram)
        self.send(datagram)
        return message

    def answer_without_state(self, request: Datagram, payload: NotifyPayload) -> None:
        """Answer a first request with one notification and keep nothing (RFC 7296 2.6, RFC 5723 4.3.2)."""
        asked = request.message
        message = Message(asked.exchange, asked.spi_i, 0, 0, True, False, (payload,))
        ports = (request.destination_port, request.source_port)
        self.send(Datagram(request.destination, request.source, message, *ports))

    def tunnel_of(self, sa: IkeSa) -> TunnelPolicy | None:
        """Return the tunnel interface of an SA: the one that it has, else the one between its addresses, or None."""
        if sa.tunnel is not None:
            return self.policy.tunnel_named(sa.tunnel.name)
        return self.policy.tunnel_between(sa.local, sa.remote)

    def set_timer(self, sa: IkeSa, name: TimerName, at: int, key: int = 0) -> None:
        """Set a timer of an SA; ``key`` tells the timers of its Child SAs apart."""
        sa.timers[name, key] = at
        self._timer_pushes = pushes = self._timer_pushes + 1
        heapq.heappush(self._timers, (at, sa.serial, name, key, pushes, sa))

    def clear_timer(self, sa: IkeSa, name: TimerName, key: int = 0) -> None:
        """Cancel a timer; nothing happens when it is not set."""
        sa.timers.pop((name, key), None)

    def close(self, sa: IkeSa, refusal: Refusal, now: int) -> None:
        """Close an SA with its Child SAs, and want the tunnel again if it should be up."""
        if not sa.alive:
            return
        failed_attempt = sa.initiator and sa.negotiating
        self.outgoing.ended(sa.serial)
        for child in list(sa.children.values()):
            self.remove_child(sa, child, refusal.cause, now)
        sa.move(Trigger.CLOSE)
        sa.timers.clear()
        sa.tasks.clear()
        sa.inbox.clear()
        sa.outstanding.clear()
        self.directory.remove(sa)
        self.clones.release(sa.interface)
        if sa.virtual_address is not None:
            self.addresses.release(sa.virtual_address)
        if sa.virtual_address6 is not None:
            self.addresses.release(sa.virtual_address6)
        if sa.routes:
            configuration.withdraw(self, sa, now)
        self._last_words.keep(sa, now)
        if sa.accounting is not None:
            authorisation.stop_accounting(self, sa, refusal.cause)
        self.tell("attempt_failed" if failed_attempt else "ike_closed", sa, now, refusal=refusal)
        if sa.collision is not None:
            # Nobody will settle the collision any more: what the peer's rekey made has no Child SAs and never will.
            self.close(sa.collision[0], refusal, now)
        tunnel = self.tunnel_of(sa)
        if sa.successor is None and tunnel is not None and tunnel.initiates and not self._live_with(tunnel):
            self._restarts.went_down(tunnel.name, refusal.cause, now)

    def remove_child(self, sa: IkeSa, child: ChildSa, cause: Cause, now: int) -> None:
        """Take a Child SA out of the data plane."""
        sa.children.pop(child.spi_in, None)
        child.state = ChildState.DELETED
        for name in CHILD_TIMERS:
            self.clear_timer(sa, name, child.serial)
        self.tell("child_deleted", sa, now, child=child, refusal=Refusal(cause))

    def advance(self, sa: IkeSa) -> None:
        """Go on with what waits at this SA: first what arrived, then its own requests."""
        while not sa.busy and sa.alive:
            if sa.inbox:
                window.process(self, sa, sa.inbox.popleft())
            elif sa.tasks and (not sa.outstanding or window.may_begin(sa)):
                dispatch.begin_task(self, sa)
            else:
                return

    # -- inside ------------------------------------------------------------------------------------------------

    def _take(self) -> Step:
        step, self._step = self._step, Step()
        return step

    def _start_unless_live(self, tunnel: TunnelPolicy, now: int) -> None:
        if self._live_with(tunnel):
            return
        if self.outgoing.full:
            if self.outgoing.wait(tunnel.name):
                self.tell_of_stranger("attempt_waits", tunnel.remote_address, now)
            return
        self._restarts.tried(tunnel.name)
        initiator.start(self, tunnel, now)

    def _admit(self, now: int) -> None:
        """Begin with tunnels that waited, as far as this end may."""
        while self.outgoing.waiting and not self.outgoing.full:
            self._start_unless_live(self.policy.tunnel(self.outgoing.waiting.popleft()), now)

    def _live_with(self, tunnel: TunnelPolicy) -> bool:
        return any(sa.state is not State.DELETING for sa in self.directory.of_tunnel(tunnel))
