"""A run of the control plane: routers exchange IKEv2 messages over the underlay until the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.fragmentation import lost_on_path
from ..models.ikev2.message import Datagram
from ..models.ikev2.nat import Keepalive
from ..models.ikev2.sa import NS_PER_S, nanoseconds
from ..models.nat_device import NatDevice
from ..models.randomness import Stream, make_key
from ..models.traffic import Flow
from .agenda import Agenda, Rank
from .deployment import Deployment
from .queues import QueueStatistics
from .radius import RadiusNetwork
from .records import Recorder
from .router import Router
from .traffic_meter import TrafficMeter


@dataclass(slots=True)
class ControlPlaneRun:
    """What a run of the control plane produced. ``ended_s`` is earlier than asked when it was ``interrupted``."""

    recorder: Recorder
    queues: list[QueueStatistics]
    ended_s: float
    interrupted: bool
    #: The RADIUS servers and what became of their requests; None: no router has AAA.
    radius: RadiusNetwork | None = None


class _Underlay:
    """Carries datagrams between routers with delay, jitter, serialisation and loss; draws depend on the pair alone."""

    def __init__(self, deployment: Deployment, agenda: Agenda, recorder: Recorder) -> None:
        self._deployment = deployment
        self._agenda = agenda
        self._recorder = recorder
        self._routers: dict[str, tuple[Router, int]] = {}
        self._streams: dict[tuple[str, str], Stream] = {}
        self._nats = {name: NatDevice(nanoseconds(timeout_s)) for name, timeout_s in deployment.nat_timeouts_s.items()}

    def attach(self, router: Router, entity: int) -> None:
        """Let a router receive."""
        self._routers[router.name] = (router, entity)

    def send(self, datagram: Datagram) -> None:
        """Carry a datagram to the router that owns its destination, or lose it."""
        now = self._agenda.now
        sender = self._deployment.owners[datagram.source]
        receiver = self._deployment.owners[datagram.destination]
        if sender in self._nats:
            inside = (datagram.source, datagram.source_port)
            datagram = replace(datagram, source_port=self._nats[sender].outbound(inside, now))
        way = self._deployment.paths[(sender, receiver)]
        delay_s = way.delay_s + datagram.ip_len * 8 / way.rate_bps
        if way.jitter_s:
            delay_s += way.jitter_s * self._uniform(sender, receiver, "jitter")
        lost = way.loss > 0 and self._uniform(sender, receiver, "loss") < way.loss
        if way.whole_bytes is not None:
            reason = lost_on_path(datagram, way.whole_bytes, drops_fragments=True)
            if reason:
                lost = True
                self._recorder.swallowed(sender, receiver, reason, now)
        arrival_ns = now + nanoseconds(delay_s)
        if receiver in self._nats and not lost:
            place = self._nats[receiver].inbound(datagram.destination_port, arrival_ns)
            lost = place is None
            if place is not None:
                datagram = replace(datagram, destination=place[0], destination_port=place[1])
        self._recorder.message(datagram, now, arrival_ns, lost=lost)
        if not lost:
            router, entity = self._routers[receiver]
            self._agenda.at(arrival_ns, Rank.ARRIVAL, entity, lambda: router.receive(datagram))

    def keep_alive(self, keepalive: Keepalive) -> None:
        """Let a keepalive pass the NAT of its sender; what it keeps alive ends there, and the peer ignores it."""
        device = self._nats.get(self._deployment.owners[keepalive.source])
        if device is not None:
            device.outbound((keepalive.source, keepalive.source_port), self._agenda.now)

    def _uniform(self, sender: str, receiver: str, purpose: str) -> float:
        key = (f"{sender}>{receiver}", purpose)
        if key not in self._streams:
            d = self._deployment
            self._streams[key] = Stream(make_key(d.seed, *key, replication=d.replication, draw=d.draw))
        return self._streams[key].uniform()


def run_control_plane(
    deployment: Deployment,
    duration_s: float,
    progress: Callable[[float], None] | None = None,
    flows: Sequence[Flow] = (),
) -> ControlPlaneRun:
    """Run the control plane of a deployment for ``duration_s``.

    ``flows`` is the traffic of its tunnels, which decides lifetimes by volume and DPD on demand and does nothing else
    here. ``progress(now_s)`` is called as time passes. Ctrl-C ends the run early and keeps what is finished.
    """
    agenda = Agenda()
    recorder = Recorder(deployment.owners)
    underlay = _Underlay(deployment, agenda, recorder)
    routers: dict[str, Router] = {}
    radius = _radius(deployment, agenda)
    authorities = {name: replace(server, asked=0) for name, server in deployment.authorities.items()}
    for entity, name in enumerate(sorted(deployment.routers)):
        plan = deployment.routers[name]
        endpoint = Endpoint(plan.policy, plan.implementation, deployment.seed, deployment.replication, deployment.draw)
        if flows:
            endpoint.traffic = TrafficMeter(name, flows, deployment.owners)
        aaa = radius.add_router(name, plan.aaa, entity) if radius is not None and plan.aaa is not None else None
        servers = aaa, underlay.keep_alive, authorities
        routers[name] = Router(endpoint, plan.cost, agenda, recorder, underlay.send, entity, *servers)
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
    return ControlPlaneRun(recorder, queues, ended_ns / NS_PER_S, interrupted, radius)


def _radius(deployment: Deployment, agenda: Agenda) -> RadiusNetwork | None:
    """Return the RADIUS servers of a deployment, which has none where no router has AAA."""
    if all(plan.aaa is None for plan in deployment.routers.values()):
        return None
    radius = RadiusNetwork(agenda, (deployment.seed, deployment.replication, deployment.draw))
    radius.add_servers(deployment.radius, first_entity=len(deployment.routers))
    return radius


def _starter(router: Router, interface: str) -> Callable[[], None]:
    return lambda: router.start(interface)
