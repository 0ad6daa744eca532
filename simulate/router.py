"""A router's control plane: its IKEv2 endpoint, driven by datagrams and timers, working on its control cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..hardware.cost import CostModel
from ..models.ikev2.endpoint import Endpoint, Step
from ..models.ikev2.enquiries import Answer, NoAnswer
from ..models.ikev2.message import Datagram
from ..models.ikev2.nat import Keepalive
from ..models.ikev2.sa import NS_PER_S, Work, nanoseconds
from ..models.pki import CertificateQuestion, RevocationServer
from .agenda import Agenda, Rank
from .queues import PriorityQueue
from .radius import RadiusPort
from .records import Recorder


class Router:
    """One router. ``entity`` is its place in the order of names: it breaks ties and nothing else."""

    def __init__(
        self,
        endpoint: Endpoint,
        cost: CostModel,
        agenda: Agenda,
        recorder: Recorder,
        send: Callable[[Datagram], None],
        entity: int,
        aaa: RadiusPort | None = None,
        keep_alive: Callable[[Keepalive], None] = lambda _keepalive: None,
        authorities: Mapping[str, RevocationServer] | None = None,
    ) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        self.cost = cost
        self.control_cpu = PriorityQueue(f"{endpoint.name} control CPU", cost.control_cores)
        self._levels = endpoint.implementation.profile.job_levels()
        self._agenda = agenda
        self._recorder = recorder
        self._send = send
        self._keep_alive = keep_alive
        self._entity = entity
        self._timer_ns: int | None = None
        self._aaa = aaa
        self._authorities = authorities or {}
        if aaa is not None:
            aaa.attach(self._answered)

    def start(self, tunnel: str) -> None:
        """Let the endpoint bring a tunnel up."""
        self._take(self.endpoint.start(tunnel, self._agenda.now))

    def receive(self, datagram: Datagram) -> None:
        """Take a datagram from the network."""
        self._take(self.endpoint.receive(datagram, self._agenda.now))

    def _serve(self, work: Work, now: int) -> None:
        """Let work wait for a core; it is noted when it begins."""
        durations_s = [(operation, self.cost.operation_s(operation)) for operation in work.operations]
        service_ns = nanoseconds(sum(duration_s for _, duration_s in durations_s))

        def begin(start_ns: int, end_ns: int) -> None:
            self._recorder.work(self.name, work, (now, start_ns, end_ns), durations_s)
            self._agenda.at(end_ns, Rank.COMPLETION, self._entity, lambda: self._done(work.token))

        level = self._levels.get(work.job)
        self.control_cpu.arrive(now, service_ns, self._levels["other"] if level is None else level, begin)

    def _done(self, token: int) -> None:
        self.control_cpu.release(self._agenda.now)
        self._take(self.endpoint.done(token, self._agenda.now))

    def _answered(self, token: int, answer: Answer) -> None:
        self._take(self.endpoint.answered(token, answer, self._agenda.now))

    def _ask_authority(self, token: int, question: CertificateQuestion) -> None:
        """Let the server of a CA answer; what no server is known for is not answered."""
        server, now = self._authorities.get(question.authority), self._agenda.now
        answer, delay_s = server.answer(question, now / NS_PER_S) if server is not None else (NoAnswer(), 0.0)
        action: Callable[[], None] = lambda: self._answered(token, answer)  # noqa: E731
        self._agenda.at(now + nanoseconds(delay_s), Rank.ARRIVAL, self._entity, action)

    def _on_timer(self, due_ns: int) -> None:
        if self._timer_ns == due_ns:
            self._timer_ns = None
            self._take(self.endpoint.on_timer(self._agenda.now))

    def _take(self, step: Step) -> None:
        now = self._agenda.now
        for event in step.events:
            self._recorder.event(self.name, event)
        for datagram in step.datagrams:
            self._send(datagram)
        for keepalive in step.keepalives:
            self._keep_alive(keepalive)
        for work in step.works:
            self._serve(work, now)
        for enquiry in step.enquiries:
            if isinstance(enquiry.question, CertificateQuestion):
                self._ask_authority(enquiry.token, enquiry.question)
                continue
            # Only a profile with AAA lists asks, and then the router has been given its AAA.
            assert self._aaa is not None
            self._aaa.ask(enquiry)
        due_ns = self.endpoint.timer()
        if due_ns is not None and due_ns != self._timer_ns:
            self._timer_ns = due_ns
            self._agenda.at(max(due_ns, now), Rank.TIMER, self._entity, lambda: self._on_timer(due_ns))
