"""A router's control plane: its IKEv2 endpoint, driven by datagrams and timers, working on its control cores."""

from __future__ import annotations

from collections.abc import Callable

from ..hardware.cost import CostModel
from ..models.ikev2.endpoint import Endpoint, Step
from ..models.ikev2.message import Datagram
from ..models.ikev2.sa import nanoseconds
from .agenda import Agenda, Rank
from .queues import FifoQueue
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
    ) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        self.cost = cost
        self.control_cpu = FifoQueue(f"{endpoint.name} control CPU", cost.control_cores)
        self._agenda = agenda
        self._recorder = recorder
        self._send = send
        self._entity = entity
        self._timer_ns: int | None = None

    def start(self, tunnel: str) -> None:
        """Let the endpoint bring a tunnel up."""
        self._take(self.endpoint.start(tunnel, self._agenda.now))

    def receive(self, datagram: Datagram) -> None:
        """Take a datagram from the network."""
        self._take(self.endpoint.receive(datagram, self._agenda.now))

    def _done(self, token: int) -> None:
        self._take(self.endpoint.done(token, self._agenda.now))

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
        for work in step.works:
            durations_s = [(operation, self.cost.operation_s(operation)) for operation in work.operations]
            service_ns = nanoseconds(sum(duration_s for _, duration_s in durations_s))
            start_ns, end_ns = self.control_cpu.serve(now, service_ns)
            self._recorder.work(self.name, work, (now, start_ns, end_ns), durations_s)
            token = work.token
            self._agenda.at(end_ns, Rank.COMPLETION, self._entity, lambda token=token: self._done(token))  # type: ignore[misc]
        due_ns = self.endpoint.timer()
        if due_ns is not None and due_ns != self._timer_ns:
            self._timer_ns = due_ns
            self._agenda.at(max(due_ns, now), Rank.TIMER, self._entity, lambda: self._on_timer(due_ns))
