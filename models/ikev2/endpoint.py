"""One router's IKEv2: it finds the SA of a message, keeps requests and responses in order, and runs the timers.

Sans-I/O and without a clock: ``receive``, ``on_timer``, ``start`` and ``done`` take the time and return a `Step`: work
for the router's CPU, datagrams to send, events. **Work takes time.** The state of an SA changes, its message appears
and its retransmission timer starts only when the driver calls ``done(token)``. An SA does one piece of work at a time;
what arrives meanwhile waits in its inbox. A response stops the retransmission timer when it arrives, because a timeout
that is queued behind the response finds the request answered.

The exchanges themselves are in ``initiator``, ``responder``, ``rekey`` and ``informational``.

What this leaves out: request windows above one, cookies in any but IKE_SA_INIT, INVALID_IKE_SPI answers.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..addresses import IpAddress
from ..implementation import Implementation
from ..randomness import Stream, make_key
from . import (
    followup,
    fragmentation,
    informational,
    initiator,
    intermediate,
    mobike,
    new_child,
    rekey,
    responder,
    retransmission,
)
from .configuration import Addresses
from .enquiries import Answer, Enquiry, Question
from .events import Event, EventKind, Refusal
from .identity import Identity
from .message import Datagram, Exchange, Message
from .operations import Operation
from .payloads import NoncePayload, NotifyPayload, Payload
from .policy import EndpointPolicy, TunnelPolicy
from .restarts import Restarts
from .sa import CHILD_TIMERS, Cause, ChildSa, ChildState, IkeSa, Outstanding, TimerName, Work, nanoseconds
from .states import State, Trigger
from .virtual_access import VirtualAccess

#: How long the response of a closed SA is kept to answer a repeated request. Assumed: the half-open time.
LAST_WORDS_S = 30.0


@dataclass(slots=True)
class Step:
    """What one call asks of the driver."""

    works: list[Work] = field(default_factory=list)
    datagrams: list[Datagram] = field(default_factory=list)
    enquiries: list[Enquiry] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


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
        self.sas: dict[int, IkeSa] = {}
        self.clones = VirtualAccess()
        self.addresses = Addresses()
        self._random = (seed, replication, draw)
        self._entity = f"{policy.name}#{boots}" if boots else policy.name
        self._streams: dict[tuple[IpAddress, IpAddress, str], Stream] = {}
        self._by_init: dict[tuple[IpAddress, int], IkeSa] = {}
        self._half_open: set[int] = set()
        self._by_identity: dict[Identity, dict[int, IkeSa]] = {}
        self._last_words: OrderedDict[int, tuple[int, Datagram]] = OrderedDict()
        self._works: dict[int, tuple[IkeSa | None, Callable[[int], None]]] = {}
        self._enquiries: dict[int, tuple[IkeSa, Callable[[Answer, int], None]]] = {}
        self._tokens = 0
        self._serials = 0
        self._timers: list[tuple[int, int, TimerName, int, int, IkeSa]] = []
        self._timer_pushes = 0
        self._restarts = Restarts(implementation)
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
            known = self._by_init.get((datagram.source, message.spi_i))
            if known is None:
                responder.receive_init(self, datagram, now)
                return self._take()
            self._deliver(known, datagram, now)
            return self._take()
        spi = message.spi_r if message.from_initiator else message.spi_i
        sa = self.sas.get(spi)
        if sa is not None:
            self._deliver(sa, datagram, now)
        elif not message.response and spi in self._last_words:
            closed_ns, last = self._last_words[spi]
            recent = now - closed_ns <= nanoseconds(LAST_WORDS_S) and datagram.fragment <= 1
            if recent and last.message.message_id == message.message_id:
                self._last_words[spi] = (closed_ns, retransmission.repeat_response(self, last))
        return self._take()

    def on_timer(self, now: int) -> Step:
        """Run every timer that is due."""
        while self._timers and self._timers[0][0] <= now:
            due, _, name, key, _, sa = heapq.heappop(self._timers)
            if sa.timers.get((name, key)) == due:
                del sa.timers[(name, key)]
                self._fire(sa, name, key, now)
                self.advance(sa)
        for tunnel in self._restarts.take_due(now):
            self._start_unless_live(self.policy.tunnel(tunnel), now)
        return self._take()

    def done(self, token: int, now: int) -> Step:
        """Tell that the router has finished a piece of work. Raises KeyError for an unknown token."""
        sa, finish = self._works.pop(token)
        if sa is None:
            finish(now)
        else:
            sa.busy = False
            if sa.alive:
                finish(now)
            self.advance(sa)
        return self._take()

    def answered(self, token: int, answer: Answer, now: int) -> Step:
        """Tell what a server has answered. Raises KeyError for an unknown token."""
        sa, finish = self._enquiries.pop(token)
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
        if spi is None:
            spi = self.ike_spi(local, remote)
        sa = IkeSa(self.next_serial(), local, remote, initiator, now, spi)
        self.sas[spi] = sa
        return sa

    def next_serial(self) -> int:
        """Return a number for a new SA."""
        self._serials += 1
        return self._serials

    def ike_spi(self, local: IpAddress, remote: IpAddress) -> int:
        """Return a fresh IKE SPI, which is never zero (RFC 7296 3.1)."""
        return self.stream(local, remote, "spi").bits() or 1

    def esp_spi(self, sa: IkeSa) -> int:
        """Return a fresh inbound ESP SPI; the first 255 values are reserved (RFC 4303 2.1)."""
        return 256 + self.stream(sa.local, sa.remote, "esp spi").bits() % (2**32 - 256)

    def nonce(self, sa: IkeSa) -> NoncePayload:
        """Return a fresh nonce."""
        return NoncePayload(self.stream(sa.local, sa.remote, "nonce").bits(), self.implementation.count("nonce_bytes"))

    def stream(self, local: IpAddress, remote: IpAddress, purpose: str) -> Stream:
        """Return the random numbers of this end between two addresses for one purpose."""
        key = (local, remote, purpose)
        if key not in self._streams:
            seed, replication, draw = self._random
            entity = f"{self._entity}:{local}>{remote}"
            self._streams[key] = Stream(make_key(seed, entity, purpose, replication=replication, draw=draw))
        return self._streams[key]

    def remember_init(self, sa: IkeSa) -> None:
        """Let repeated IKE_SA_INIT requests find this responder SA, and count it as half-open."""
        self._by_init[(sa.remote, sa.spi_i)] = sa
        self._half_open.add(sa.serial)

    def follow(self, sa: IkeSa, remote: IpAddress) -> None:
        """Send to another address of the peer from now on (RFC 4555 3.5)."""
        if self._by_init.pop((sa.remote, sa.spi_i), None) is sa:
            self._by_init[(remote, sa.spi_i)] = sa
        sa.remote = remote

    def half_open_count(self) -> int:
        """Return how many SAs this end is negotiating as responder."""
        return len(self._half_open)

    def authenticated(self, sa: IkeSa) -> None:
        """Note that the identity of this SA's peer is proven."""
        assert sa.remote_identity is not None
        self._half_open.discard(sa.serial)
        self._by_identity.setdefault(sa.remote_identity, {})[sa.serial] = sa
        tunnel = self.tunnel_of(sa)
        if tunnel is not None:
            self._restarts.tried(tunnel.name)

    def authenticated_with(self, identity: Identity | None) -> list[IkeSa]:
        """Return the SAs whose peer has proven this identity, oldest first."""
        return list(self._by_identity.get(identity, {}).values()) if identity is not None else []

    def hear_from(self, sa: IkeSa, now: int) -> None:
        """Start the wait for the next dead peer probe: something fresh arrived, the peer is alive."""
        dpd = sa.profile.dpd if sa.profile is not None else None
        if dpd is not None and dpd.periodic and sa.state is State.ESTABLISHED:
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
        self._tokens += 1
        self._enquiries[self._tokens] = (sa, finish)
        sa.busy = True
        self._step.enquiries.append(Enquiry(self._tokens, question, sa))

    def send(self, datagram: Datagram) -> None:
        """Hand a message to the driver, each of its pieces in a datagram of its own."""
        pieces = datagram.message.fragments
        if pieces:
            self._step.datagrams += [replace(datagram, fragment=n) for n in range(1, len(pieces) + 1)]
        else:
            self._step.datagrams.append(datagram)

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
        message = Message(exchange, sa.spi_i, sa.spi_r, sa.next_request_id, False, sa.initiator, tuple(payloads), suite)
        sa.next_request_id += 1
        if suite is not None:
            message.fragments = fragmentation.cut(sa, suite, message.inner_bytes)
        datagram = Datagram(sa.local, sa.remote, message, sa.local_port, sa.remote_port)
        timeouts_ns = retransmission.timeouts_ns(self, sa, kind)
        sa.outstanding = Outstanding(datagram, on_response, kind, timeouts_ns, unanswered or Refusal("no answer"))
        self.set_timer(sa, "retransmit", now + timeouts_ns[0])
        self.send(datagram)
        return message

    def respond(self, sa: IkeSa, request: Message, payloads: Sequence[Payload]) -> Message:
        """Send the response to ``request``, keep it for repeated requests and expect the next message ID."""
        suite = None if request.exchange is Exchange.IKE_SA_INIT else sa.suite
        message = Message(
            request.exchange, sa.spi_i, sa.spi_r, request.message_id, True, sa.initiator, tuple(payloads), suite
        )
        if suite is not None:
            message.fragments = fragmentation.cut(sa, suite, message.inner_bytes)
        datagram = Datagram(sa.local, sa.answer_to or sa.remote, message, sa.local_port, sa.remote_port)
        sa.cached_response = datagram
        sa.processing_request_id = -1
        sa.expected_request_id = request.message_id + 1
        self.send(datagram)
        return message

    def answer_without_state(self, request: Datagram, payload: NotifyPayload) -> None:
        """Answer an IKE_SA_INIT request with one notification and keep nothing (RFC 7296 2.6)."""
        asked = request.message
        message = Message(Exchange.IKE_SA_INIT, asked.spi_i, 0, 0, True, False, (payload,))
        ports = (request.destination_port, request.source_port)
        self.send(Datagram(request.destination, request.source, message, *ports))

    def tunnel_of(self, sa: IkeSa) -> TunnelPolicy | None:
        """Return the tunnel interface of an SA: the one that it has, else the one between its addresses, or None."""
        for tunnel in self.policy.tunnels:
            if sa.belongs_to(tunnel):
                return tunnel
        return None

    def set_timer(self, sa: IkeSa, name: TimerName, at: int, key: int = 0) -> None:
        """Set a timer of an SA; ``key`` tells the timers of its Child SAs apart."""
        sa.timers[(name, key)] = at
        self._timer_pushes += 1
        heapq.heappush(self._timers, (at, sa.serial, name, key, self._timer_pushes, sa))

    def clear_timer(self, sa: IkeSa, name: TimerName, key: int = 0) -> None:
        """Cancel a timer; nothing happens when it is not set."""
        sa.timers.pop((name, key), None)

    def close(self, sa: IkeSa, refusal: Refusal, now: int) -> None:
        """Close an SA with its Child SAs, and want the tunnel again if it should be up."""
        if not sa.alive:
            return
        failed_attempt = sa.initiator and sa.negotiating
        for child in list(sa.children.values()):
            self.remove_child(sa, child, refusal.cause, now)
        sa.move(Trigger.CLOSE)
        sa.timers.clear()
        sa.tasks.clear()
        sa.inbox.clear()
        sa.outstanding = None
        self.sas.pop(sa.local_spi, None)
        self._by_init.pop((sa.remote, sa.spi_i), None)
        self._half_open.discard(sa.serial)
        if sa.remote_identity is not None:
            self._by_identity.get(sa.remote_identity, {}).pop(sa.serial, None)
        self.clones.release(sa.interface)
        if sa.virtual_address is not None:
            self.addresses.release(sa.virtual_address)
        self._keep_last_words(sa, now)
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
        while sa.alive and not sa.busy:
            if sa.inbox:
                self._process(sa, sa.inbox.popleft())
            elif sa.tasks and sa.outstanding is None:
                self._begin_task(sa)
            else:
                return

    # -- inside ------------------------------------------------------------------------------------------------

    def _take(self) -> Step:
        step, self._step = self._step, Step()
        return step

    def _start_unless_live(self, tunnel: TunnelPolicy, now: int) -> None:
        if not self._live_with(tunnel):
            self._restarts.tried(tunnel.name)
            initiator.start(self, tunnel, now)

    def _live_with(self, tunnel: TunnelPolicy) -> bool:
        return any(sa.belongs_to(tunnel) and sa.state is not State.DELETING for sa in self.sas.values())

    def _keep_last_words(self, sa: IkeSa, now: int) -> None:
        words = self._last_words
        while words and next(iter(words.values()))[0] < now - nanoseconds(LAST_WORDS_S):
            words.popitem(last=False)
        if sa.cached_response is not None:
            words[sa.local_spi] = (now, sa.cached_response)

    def _deliver(self, sa: IkeSa, datagram: Datagram, now: int) -> None:
        message, outstanding = datagram.message, sa.outstanding
        if message.response:
            # Also a second copy, or one of a request that was repeated with a cookie or another group since.
            if outstanding is None or outstanding.answered or not self._answers(sa, outstanding, message):
                return
            if datagram.fragment and not fragmentation.completes(self, sa, datagram):
                return
            outstanding.answered = True
            self.clear_timer(sa, "retransmit")
        elif message.message_id == sa.processing_request_id or any(
            not d.message.response and d.message.message_id == message.message_id for d in sa.inbox
        ):
            return
        elif datagram.fragment:
            awaited = message.message_id == sa.expected_request_id
            if not (fragmentation.completes(self, sa, datagram) if awaited else datagram.fragment == 1):
                return
        if message.response or message.message_id == sa.expected_request_id:
            self.hear_from(sa, now)
        sa.inbox.append(datagram)
        self.advance(sa)

    @staticmethod
    def _answers(sa: IkeSa, outstanding: Outstanding, message: Message) -> bool:
        asked = outstanding.datagram.message
        if asked.message_id != message.message_id or asked.exchange is not message.exchange:
            return False
        return message.exchange is not Exchange.IKE_SA_INIT or initiator.says_something_new(sa, message)

    def _process(self, sa: IkeSa, datagram: Datagram) -> None:
        message, outstanding = datagram.message, sa.outstanding
        sa.completed_by = datagram.fragment
        if message.response:
            assert outstanding is not None
            sa.outstanding = None
            outstanding.on_response(message)
        elif message.message_id == sa.expected_request_id:
            # The initiator may have moved to port 4500 (RFC 7296 2.23).
            sa.local_port, sa.remote_port = datagram.destination_port, datagram.source_port
            sa.answer_to = datagram.source
            self._process_request(sa, message)
        elif message.message_id == sa.expected_request_id - 1 and sa.cached_response is not None:
            sa.cached_response = retransmission.repeat_response(self, sa.cached_response)

    def _process_request(self, sa: IkeSa, message: Message) -> None:
        # Until the peer is authenticated nothing else is answered; a peer that is ahead of us repeats its request.
        if message.exchange in (Exchange.IKE_AUTH, Exchange.IKE_INTERMEDIATE):
            expected = self._is_next(sa, message.exchange)
        else:
            # During EAP the initiator has seen who we are and may say that it does not accept us (RFC 7296 2.21.2).
            rejected = sa.eap is not None and message.notify("AUTHENTICATION_FAILED") is not None
            expected = rejected or not sa.negotiating
        if expected and message.exchange in _HANDLERS:
            sa.processing_request_id = message.message_id
            _HANDLERS[message.exchange](self, sa, message)

    @staticmethod
    def _is_next(sa: IkeSa, exchange: Exchange) -> bool:
        """Return whether a half-open SA expects this exchange: additional key exchanges come first (RFC 9370 2.2.1)."""
        left = intermediate.pending(sa) is not None
        return sa.state is State.HALF_OPEN and left == (exchange is Exchange.IKE_INTERMEDIATE)

    def _begin_task(self, sa: IkeSa) -> None:
        task = sa.tasks.popleft()
        if task.kind in ("rekey child", "rekey ike"):
            rekey.begin(self, sa, task)
        elif task.kind == "new child":
            new_child.begin(self, sa, task.group)
        elif task.kind in ("announce addresses", "probe path", "update addresses"):
            mobike.begin(self, sa, task)
        else:
            informational.begin(self, sa, task)

    def _fire(self, sa: IkeSa, name: TimerName, key: int, now: int) -> None:
        if name == "retransmit":
            retransmission.time_out(self, sa, now)
        elif name == "half_open":
            cause: Cause = "half-open for too long" if sa.negotiating else "redundant after a simultaneous rekey"
            self.close(sa, Refusal(cause), now)
        elif name == "dpd":
            informational.want_dpd(sa)
        elif name in ("rekey", "retry"):
            rekey.want(sa, key)
        else:
            informational.expire(self, sa, key, now)


_HANDLERS: dict[Exchange, Callable[[Endpoint, IkeSa, Message], None]] = {
    Exchange.IKE_INTERMEDIATE: intermediate.receive,
    Exchange.IKE_AUTH: responder.receive_auth,
    Exchange.CREATE_CHILD_SA: rekey.receive,
    Exchange.IKE_FOLLOWUP_KE: followup.receive,
    Exchange.INFORMATIONAL: informational.receive,
}
