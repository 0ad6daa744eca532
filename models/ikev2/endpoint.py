"""One router's IKEv2: it finds the SA of a message, keeps requests and responses in order, and runs the timers.

Sans-I/O and without a clock: ``receive``, ``on_timer``, ``start`` and ``done`` take the time and return a `Step`: work
for the router's CPU, datagrams to send, events. **Work takes time.** The state of an SA changes, its message appears
and its retransmission timer starts only when the driver calls ``done(token)``. An SA does one piece of work at a time;
what arrives meanwhile waits in its inbox. A response stops the retransmission timer when it arrives, because a timeout
that is queued behind the response finds the request answered.

The exchanges themselves are in ``initial``, ``rekey`` and ``informational``.

What this leaves out: request windows above one, cookies in any but IKE_SA_INIT, fragments, INVALID_IKE_SPI answers.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from ..implementation import Implementation
from ..randomness import Stream, make_key
from . import informational, initial, rekey, work
from .events import Event, EventKind, Refusal
from .message import Datagram, Exchange, Message
from .operations import Operation
from .payloads import NotifyPayload, Payload
from .policy import EndpointPolicy, TunnelPolicy
from .sa import Cause, ChildSa, ChildState, IkeSa, Outstanding, TimerName, Work, nanoseconds
from .states import State, Trigger

#: How long the response of a closed SA is kept to answer a repeated request. Assumed: the half-open time.
LAST_WORDS_S = 30.0


@dataclass(slots=True)
class Step:
    """What one call asks of the driver."""

    works: list[Work] = field(default_factory=list)
    datagrams: list[Datagram] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


class Endpoint:
    """IKEv2 of one router.

    Parameters
    ----------
    policy: what it is told to do.
    implementation: how it does it.
    seed, replication, draw: keys of its random numbers (nonces, SPIs, jitter).
    """

    def __init__(
        self, policy: EndpointPolicy, implementation: Implementation, seed: int = 1, replication: int = 0, draw: int = 0
    ) -> None:
        self.policy = policy
        self.implementation = implementation
        self.name = policy.name
        self.sas: dict[int, IkeSa] = {}
        self._random = (seed, replication, draw)
        self._streams: dict[tuple[IPv4Address, str], Stream] = {}
        self._by_init: dict[tuple[IPv4Address, int], IkeSa] = {}
        self._last_words: OrderedDict[int, tuple[int, Datagram]] = OrderedDict()
        self._works: dict[int, tuple[IkeSa | None, Callable[[int], None]]] = {}
        self._tokens = 0
        self._serials = 0
        self._timers: list[tuple[int, int, TimerName, int, int, IkeSa]] = []
        self._timer_pushes = 0
        self._wanted: dict[str, bool] = {}
        self._restarts: dict[str, int] = {}
        self._step = Step()

    # -- what the driver calls ---------------------------------------------------------------------------------

    def start(self, tunnel: str, now: int) -> Step:
        """Bring a tunnel up, unless an IKE SA with its peer exists or is being made. Raises KeyError."""
        policy = next((t for t in self.policy.tunnels if t.name == tunnel), None)
        if policy is None:
            raise KeyError(tunnel)
        self._wanted.setdefault(tunnel, False)
        self._restarts.pop(tunnel, None)
        if not self._live_with(policy.remote_address):
            self._wanted[tunnel] = True
            initial.start(self, policy, now)
        return self._take()

    def receive(self, datagram: Datagram, now: int) -> Step:
        """Take one datagram from the network."""
        message = datagram.message
        if message.exchange is Exchange.IKE_SA_INIT and not message.response:
            known = self._by_init.get((datagram.source, message.spi_i))
            if known is None:
                initial.receive_init(self, datagram, now)
                return self._take()
            self._deliver(known, datagram, now)
            return self._take()
        spi = message.spi_r if message.from_initiator else message.spi_i
        sa = self.sas.get(spi)
        if sa is not None:
            self._deliver(sa, datagram, now)
        elif not message.response and spi in self._last_words:
            self._repeat(self._last_words[spi][1], message)
        return self._take()

    def on_timer(self, now: int) -> Step:
        """Run every timer that is due."""
        while self._timers and self._timers[0][0] <= now:
            due, _, name, key, _, sa = heapq.heappop(self._timers)
            if sa.timers.get((name, key)) == due:
                del sa.timers[(name, key)]
                self._fire(sa, name, key, now)
                self.advance(sa)
        for tunnel in sorted(t for t, at in self._restarts.items() if at <= now):
            del self._restarts[tunnel]
            policy = next(t for t in self.policy.tunnels if t.name == tunnel)
            if not self._live_with(policy.remote_address):
                self._wanted[tunnel] = True
                initial.start(self, policy, now)
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

    def timer(self) -> int | None:
        """Return when ``on_timer`` is wanted next, in ns, or None."""
        while self._timers:
            due, _, name, key, _, sa = self._timers[0]
            if sa.timers.get((name, key)) == due:
                break
            heapq.heappop(self._timers)
        times = [self._timers[0][0]] if self._timers else []
        times += self._restarts.values()
        return min(times, default=None)

    # -- what the exchanges use --------------------------------------------------------------------------------

    def new_sa(
        self, local: IPv4Address, remote: IPv4Address, *, initiator: bool, now: int, spi: int | None = None
    ) -> IkeSa:
        """Return a new SA end with its own SPI (drawn unless given) and nonce."""
        self._serials += 1
        if spi is None:
            spi = self.stream(remote, "spi").bits() or 1
        sa = IkeSa(self._serials, local, remote, initiator, now, spi)
        self.draw_nonce(sa)
        self.sas[spi] = sa
        return sa

    def next_serial(self) -> int:
        """Return a number for a new Child SA."""
        self._serials += 1
        return self._serials

    def draw_nonce(self, sa: IkeSa) -> None:
        """Give the SA a fresh nonce of its own."""
        sa.nonce_local = self.stream(sa.remote, "nonce").bits()
        sa.nonce_local_bytes = self.implementation.count("nonce_bytes")

    def esp_spi(self, remote: IPv4Address) -> int:
        """Return a fresh inbound ESP SPI; the first 255 values are reserved (RFC 4303 2.1)."""
        return 256 + self.stream(remote, "esp spi").bits() % (2**32 - 256)

    def stream(self, remote: IPv4Address, purpose: str) -> Stream:
        """Return the random numbers of this end towards one peer for one purpose."""
        key = (remote, purpose)
        if key not in self._streams:
            seed, replication, draw = self._random
            entity = f"{self.name}>{remote}"
            self._streams[key] = Stream(make_key(seed, entity, purpose, replication=replication, draw=draw))
        return self._streams[key]

    def remember_init(self, sa: IkeSa) -> None:
        """Let repeated IKE_SA_INIT requests find this responder SA."""
        self._by_init[(sa.remote, sa.spi_i)] = sa

    def half_open_count(self) -> int:
        """Return how many SAs this end is negotiating as responder."""
        return sum(1 for sa in self.sas.values() if not sa.initiator and sa.negotiating)

    def begin(
        self,
        sa: IkeSa | None,
        remote: IPv4Address,
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

    def send(self, datagram: Datagram) -> None:
        """Hand a datagram to the driver."""
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

    def tell_of_stranger(self, kind: EventKind, remote: IPv4Address, now: int, refusal: Refusal | None = None) -> None:
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
    ) -> Message:
        """Send a request with the next message ID and start its retransmission timer."""
        suite = None if exchange is Exchange.IKE_SA_INIT else sa.suite
        message = Message(exchange, sa.spi_i, sa.spi_r, sa.next_request_id, False, sa.initiator, tuple(payloads), suite)
        sa.next_request_id += 1
        datagram = Datagram(sa.local, sa.remote, message)
        number = self.implementation.number
        first, factor, tries = nanoseconds(number("retransmit_first_s")), number("retransmit_factor"), -1
        if kind == "dpd" and self.implementation.profile.dpd_schedule == "retry" and sa.profile and sa.profile.dpd:
            first, factor = nanoseconds(sa.profile.dpd.retry_s), 1.0
            tries = self.implementation.count("dpd_sends") - 1
        if tries < 0:
            tries = self.implementation.count("retransmit_tries")
        sa.outstanding = Outstanding(datagram, on_response, kind, now, tries, first, factor)
        self.set_timer(sa, "retransmit", now + first)
        self.send(datagram)
        return message

    def respond(self, sa: IkeSa, request: Message, payloads: Sequence[Payload], now: int) -> Message:
        """Send the response to ``request``, keep it for repeated requests and expect the next message ID."""
        suite = None if request.exchange is Exchange.IKE_SA_INIT else sa.suite
        message = Message(
            request.exchange, sa.spi_i, sa.spi_r, request.message_id, True, sa.initiator, tuple(payloads), suite
        )
        datagram = Datagram(sa.local, sa.remote, message)
        sa.cached_response = datagram
        sa.processing_request_id = -1
        sa.expected_request_id = request.message_id + 1
        self.send(datagram)
        while self._last_words and next(iter(self._last_words.values()))[0] < now - nanoseconds(LAST_WORDS_S):
            self._last_words.popitem(last=False)
        return message

    def answer_without_state(self, request: Datagram, payload: NotifyPayload) -> None:
        """Answer an IKE_SA_INIT request with one notification and keep nothing (RFC 7296 2.6)."""
        asked = request.message
        message = Message(Exchange.IKE_SA_INIT, asked.spi_i, 0, 0, True, False, (payload,))
        self.send(Datagram(request.destination, request.source, message))

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
        if sa.cached_response is not None:
            self._last_words[sa.local_spi] = (now, sa.cached_response)
        self.tell("attempt_failed" if failed_attempt else "ike_closed", sa, now, refusal=refusal)
        if sa.successor is None:
            self._want_again(sa, refusal.cause, now)

    def remove_child(self, sa: IkeSa, child: ChildSa, cause: Cause, now: int) -> None:
        """Take a Child SA out of the data plane."""
        sa.children.pop(child.spi_in, None)
        child.state = ChildState.DELETED
        self.clear_timer(sa, "rekey", child.serial)
        self.clear_timer(sa, "expire", child.serial)
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

    def _live_with(self, remote: IPv4Address) -> bool:
        return any(sa.remote == remote and sa.state is not State.DELETING for sa in self.sas.values())

    def _want_again(self, sa: IkeSa, cause: Cause, now: int) -> None:
        if not self.implementation.profile.restarts or self._live_with(sa.remote):
            return
        for tunnel in self.policy.tunnels:
            if tunnel.remote_address != sa.remote or not tunnel.initiates or tunnel.name not in self._wanted:
                continue
            if not self._wanted[tunnel.name]:
                wait = 0.0
            elif cause in ("no answer", "lifetime ended", "deleted by the peer", "peer started afresh"):
                wait = self.implementation.number("restart_after_timeout_s")
            else:
                wait = self.implementation.number("restart_after_refusal_s")
            self._restarts.setdefault(tunnel.name, now + nanoseconds(wait))

    def _deliver(self, sa: IkeSa, datagram: Datagram, now: int) -> None:
        message = datagram.message
        waiting = any(
            d.message.response == message.response and d.message.message_id == message.message_id for d in sa.inbox
        )
        if waiting or (not message.response and message.message_id == sa.processing_request_id):
            return
        outstanding = sa.outstanding
        if message.response and outstanding is not None and self._answers(outstanding, message):
            outstanding.answered = True
            self.clear_timer(sa, "retransmit")
        if sa.profile is not None and sa.profile.dpd is not None and sa.state is State.ESTABLISHED:
            self.set_timer(sa, "dpd", now + nanoseconds(sa.profile.dpd.interval_s))
        sa.inbox.append(datagram)
        self.advance(sa)

    @staticmethod
    def _answers(outstanding: Outstanding, message: Message) -> bool:
        asked = outstanding.datagram.message
        return asked.message_id == message.message_id and asked.exchange is message.exchange

    def _process(self, sa: IkeSa, datagram: Datagram) -> None:
        message = datagram.message
        if message.response:
            outstanding = sa.outstanding
            if outstanding is not None and outstanding.answered and self._answers(outstanding, message):
                sa.outstanding = None
                outstanding.on_response(message)
            return
        if message.message_id == sa.expected_request_id:
            sa.processing_request_id = message.message_id
            if message.exchange is Exchange.IKE_AUTH:
                initial.receive_auth(self, sa, message)
            elif message.exchange is Exchange.CREATE_CHILD_SA:
                rekey.receive(self, sa, message)
            elif message.exchange is Exchange.INFORMATIONAL:
                informational.receive(self, sa, message)
        elif message.message_id == sa.expected_request_id - 1 and sa.cached_response is not None:
            self._repeat(sa.cached_response, message)

    def _repeat(self, cached: Datagram, request: Message) -> None:
        if cached.message.message_id != request.message_id:
            return
        again = replace(cached, transmission=cached.transmission + 1)
        operations = [*work.RECEIVE, *work.SEND]
        self.begin(None, cached.destination, operations, "repeat response", lambda _now: self.send(again))

    def _begin_task(self, sa: IkeSa) -> None:
        task = sa.tasks.popleft()
        if task.kind in ("rekey child", "rekey ike"):
            rekey.begin(self, sa, task)
        else:
            informational.begin(self, sa, task)

    def _fire(self, sa: IkeSa, name: TimerName, key: int, now: int) -> None:
        if name == "retransmit":
            self._retransmit(sa, now)
        elif name == "half_open":
            self.close(sa, Refusal("half-open for too long"), now)
        elif name == "dpd":
            informational.want_dpd(sa)
        elif name in ("rekey", "retry"):
            rekey.want(sa, key)
        else:
            informational.expire(self, sa, key, now)

    def _retransmit(self, sa: IkeSa, now: int) -> None:
        outstanding = sa.outstanding
        if outstanding is None or outstanding.answered:
            return
        if outstanding.tries == 0:
            self.close(sa, Refusal("no answer"), now)
            return
        outstanding.tries -= 1
        outstanding.next_timeout_ns = round(outstanding.next_timeout_ns * outstanding.factor)
        wait = outstanding.next_timeout_ns
        if outstanding.tries == 0 and outstanding.kind == "dpd" and self.implementation.profile.dpd_schedule == "retry":
            wait = nanoseconds(self.implementation.number("dpd_final_wait_s"))
        self.set_timer(sa, "retransmit", now + wait)
        outstanding.datagram = replace(outstanding.datagram, transmission=outstanding.datagram.transmission + 1)
        again = outstanding.datagram
        self.tell("retransmission", sa, now, detail=again.message.exchange.name)
        self.begin(None, sa.remote, list(work.SEND), "retransmit request", lambda _now: self.send(again))

    def tunnel_for(self, local: IPv4Address, remote: IPv4Address) -> TunnelPolicy | None:
        """Return the tunnel interface between these addresses, or None."""
        for tunnel in self.policy.tunnels:
            if tunnel.local_address == local and tunnel.remote_address == remote:
                return tunnel
        return None
