"""A run of the control plane: routers exchange IKEv2 messages over the underlay until the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.message import Datagram
from ..models.ikev2.sa import NS_PER_S, nanoseconds
from ..models.randomness import Stream, make_key
from .agenda import Agenda, Rank
from .deployment import Deployment
from .queues import QueueStatistics
from .records import Recorder
from .router import Router


@dataclass(slots=True)
class ControlPlaneRun:
    """What a run of the control plane produced. ``ended_s`` is earlier than asked when it was ``interrupted``."""

    recorder: Recorder
    queues: list[QueueStatistics]
    ended_s: float
    interrupted: bool


class _Underlay:
    """Carries datagrams between routers with delay, jitter, serialisation and loss; draws depend on the pair alone."""

    def __init__(self, deployment: Deployment, agenda: Agenda, recorder: Recorder) -> None:
        self._deployment = deployment
        self._agenda = agenda
        self._recorder = recorder
        self._routers: dict[str, tuple[Router, int]] = {}
        self._streams: dict[tuple[str, str], Stream] = {}

    def attach(self, router: Router, entity: int) -> None:
        """Let a router receive."""
        self._routers[router.name] = (router, entity)

    def send(self, datagram: Datagram) -> None:
        """Carry a datagram to the router that owns its destination, or lose it."""
        now = self._agenda.now
        sender = self._deployment.owners[datagram.source]
        receiver = self._deployment.owners[datagram.destination]
        way = self._deployment.paths[(sender, receiver)]
        delay_s = way.delay_s + datagram.ip_len * 8 / way.rate_bps
        if way.jitter_s:
            delay_s += way.jitter_s * self._uniform(sender, receiver, "jitter")
        lost = way.loss > 0 and self._uniform(sender, receiver, "loss") < way.loss
        arrival_ns = now + nanoseconds(delay_s)
        self._recorder.message(datagram, now, arrival_ns, lost=lost)
        if not lost:
            router, entity = self._routers[receiver]
            self._agenda.at(arrival_ns, Rank.ARRIVAL, entity, lambda: router.receive(datagram))

    def _uniform(self, sender: str, receiver: str, purpose: str) -> float:
        key = (f"{sender}>{receiver}", purpose)
        if key not in self._streams:
            d = self._deployment
            self._streams[key] = Stream(make_key(d.seed, *key, replication=d.replication, draw=d.draw))
        return self._streams[key].uniform()


def run_control_plane(
    deployment: Deployment, duration_s: float, progress: Callable[[float], None] | None = None
) -> ControlPlaneRun:
    """Run the control plane of a deployment for ``duration_s``.

    ``progress(now_s)`` is called as time passes. Ctrl-C ends the run early and keeps what is finished.
    """
    agenda = Agenda()
    recorder = Recorder({str(address): name for address, name in deployment.owners.items()})
    underlay = _Underlay(deployment, agenda, recorder)
    routers: dict[str, Router] = {}
    for entity, name in enumerate(sorted(deployment.routers)):
        plan = deployment.routers[name]
        endpoint = Endpoint(plan.policy, plan.implementation, deployment.seed, deployment.replication, deployment.draw)
        routers[name] = Router(endpoint, plan.cost, agenda, recorder, underlay.send, entity)
        underlay.attach(routers[name], entity)
    for time_s, name, interface in deployment.starts:
        entity = sorted(deployment.routers).index(name)
        action = _starter(routers[name], interface)
        agenda.at(nanoseconds(time_s), Rank.START, entity, action)
    tick = (lambda now_ns: progress(now_ns / NS_PER_S)) if progress else None
    ended_ns = nanoseconds(duration_s)
    interrupted = False
    try:
        agenda.run(ended_ns, tick)
    except KeyboardInterrupt:
        ended_ns, interrupted = agenda.now, True
    queues = [routers[name].control_cpu.statistics(ended_ns) for name in sorted(routers)]
    return ControlPlaneRun(recorder, queues, ended_ns / NS_PER_S, interrupted)


def _starter(router: Router, interface: str) -> Callable[[], None]:
    return lambda: router.start(interface)
