"""From configurations to a deployment that can run: endpoints, hardware, underlay paths, tunnels, first starts."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.addresses import IpAddress
from ..models.errors import InputError, unknown_name
from ..models.ikev2.policy import EndpointPolicy, TunnelPolicy
from ..models.implementation import Implementation, ImplementationProfile
from ..models.ios.certificates import Certificates
from ..models.ios.config import RouterConfig
from ..models.ios.identities import where
from ..models.ios.refusals import signs_otherwise
from ..models.ios.to_ikev2 import Translation, TunnelFault, to_ikev2
from ..models.topology import LinkSettings, address_owners, build_topology, has_route, path
from ..models.values import Ledger, Value

if TYPE_CHECKING:
    import networkx as nx

#: How much later the other end of a tunnel starts by itself: two routers are never configured in the same second.
DEFAULT_STAGGER = Value(value=1.0, unit="s", kind="assumed", source="recollection", range=(0.1, 60))


@dataclass(frozen=True, slots=True)
class UnderlayPath:
    """The way between two routers: what a datagram meets. Delays and jitter are one way. [s], [bit/s]"""

    nodes: tuple[str, ...]
    delay_s: float
    jitter_s: float
    loss: float
    rate_bps: float


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """One end of a tunnel; ``interface`` is empty where the responder clones a virtual-access."""

    router: str
    interface: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel between two routers. ``first`` starts by itself; ``second`` too when it has an interface of its own."""

    first: TunnelEnd
    second: TunnelEnd
    fault: str = ""


@dataclass(slots=True)
class RouterPlan:
    """One router of a deployment."""

    name: str
    config: RouterConfig
    translation: Translation
    implementation: Implementation
    cost: CostModel
    #: What this router's IKEv2 is told to do: its configuration's translation with the limits of its platform.
    policy: EndpointPolicy = field(init=False)

    def __post_init__(self) -> None:
        policy, limit = self.translation.policy, self.tunnel_limit
        negotiating = policy.max_in_negotiation_incoming
        self.policy = replace(
            policy,
            max_sessions=limit[0] if limit is not None else None,
            max_in_negotiation_incoming=self.cost.in_negotiation_limit if negotiating is None else negotiating,
        )

    @property
    def in_negotiation_limit(self) -> int:
        """Most IKE SAs in negotiation of peers that began, by configuration, platform or implementation."""
        limit = self.policy.max_in_negotiation_incoming
        # Looked up and not read: an end that only initiates does not use it.
        return round(self.implementation.profile.values.max_in_negotiation_incoming.value) if limit is None else limit

    @property
    def tunnel_limit(self) -> tuple[int, str] | None:
        """Most peers with an IKE SA at a time, by configuration or platform, and the limit's name; None: no limit."""
        limits = [limit for limit in (self.cost.tunnel_limit,) if limit is not None]
        if self.config.max_sa is not None:
            limits.append((self.config.max_sa, f"crypto ikev2 limit max-sa {self.config.max_sa}"))
        return min(limits, default=None)


@dataclass(slots=True)
class Deployment:
    """Everything that a run needs."""

    routers: dict[str, RouterPlan]
    graph: nx.Graph[str]
    paths: dict[tuple[str, str], UnderlayPath]
    owners: dict[IpAddress, str]
    tunnels: list[Tunnel]
    #: (time in s, router, tunnel interface) of every first start.
    starts: list[tuple[float, str, str]]
    ledger: Ledger
    seed: int = 1
    replication: int = 0
    draw: int = 0


def build(
    configs: Sequence[RouterConfig],
    *,
    hardware: Mapping[str, HardwareProfile],
    implementations: Mapping[str, ImplementationProfile],
    licences: Mapping[str, str] | None = None,
    hsec: Collection[str] = (),
    links: Mapping[str, LinkSettings] | None = None,
    initiator: str | None = None,
    stagger_s: float | None = None,
    seed: int = 1,
) -> Deployment:
    """Return the deployment of these routers.

    Parameters
    ----------
    configs: one configuration a router, in the order in which they start.
    hardware, implementations: the profile of every router by its name.
    licences: licence level by router; the profile's default otherwise.
    hsec: routers with the export licence (HSECK9).
    links: access link by router.
    initiator: this router starts first in each of its tunnels; ``all``: every end starts at once.
    stagger_s: how much later the other end starts. [s]

    Raises InputError when there is no tunnel that both ends could bring up.
    """
    ledger = Ledger()
    names = [config.hostname for config in configs]
    if initiator not in (None, "all", *names):
        raise unknown_name("router", str(initiator), [*names, "all"], "--initiator")
    routers: dict[str, RouterPlan] = {}
    faults: list[TunnelFault] = []
    certificates = Certificates(configs, ledger)
    for config in configs:
        name = config.hostname
        profile = hardware[name]
        if not profile.ikev2.supported:
            raise InputError(f"{profile.title} cannot run IKEv2: {profile.ikev2.reason}", f"hardware of {name}")
        implementation = Implementation(implementations[name], ledger)
        translation = to_ikev2(config, implementation, certificates)
        faults.extend(translation.faults)
        cost = CostModel(profile, ledger, (licences or {}).get(name), hsec=name in hsec)
        routers[name] = RouterPlan(name, config, translation, implementation, cost)
    graph = build_topology(configs, ledger, links)
    owners = address_owners(configs)
    paths: dict[tuple[str, str], UnderlayPath] = {}
    tunnels, faults = _pair_up(routers, owners, graph, paths, faults)
    if not any(not t.fault for t in tunnels):
        raise _nothing_to_run(routers, faults)
    tunnels += [Tunnel(TunnelEnd(f.router, f.interface), TunnelEnd("", ""), str(f)) for f in faults]
    if stagger_s is None:
        stagger_s = 0.0 if initiator == "all" else ledger.read("start", "stagger of the other end", DEFAULT_STAGGER)
    starts, tunnels = _starts(tunnels, routers, initiator, stagger_s)
    return Deployment(routers, graph, paths, owners, tunnels, starts, ledger, seed)


def _pair_up(
    routers: dict[str, RouterPlan],
    owners: dict[IpAddress, str],
    graph: nx.Graph[str],
    paths: dict[tuple[str, str], UnderlayPath],
    faults: list[TunnelFault],
) -> tuple[list[Tunnel], list[TunnelFault]]:
    tunnels: list[Tunnel] = []
    faults = list(faults)
    seen: set[tuple[str, str]] = set()
    for plan in routers.values():
        for policy in plan.policy.tunnels:
            if (plan.name, policy.name) in seen:
                continue
            fault = _fault(plan, policy, routers, owners, graph, paths)
            if fault is not None:
                faults.append(fault)
                continue
            peer = routers[owners[policy.remote_address]]
            back = next(
                (
                    t
                    for t in peer.policy.tunnels
                    if t.remote_address == policy.local_address and t.local_address == policy.remote_address
                ),
                None,
            )
            fault = _left_out(plan, policy, peer) or _signed_otherwise(plan, policy, peer)
            if fault is not None:
                faults.append(fault)
                continue
            template = any(p.accepts_any_tunnel for p in peer.policy.profiles)
            if back is None and not template:
                message = (
                    f"{peer.name} has no tunnel back to {policy.local_address} and no virtual-template that takes it"
                )
                faults.append(_at(plan, policy, message))
                continue
            seen.add((plan.name, policy.name))
            if back is not None:
                seen.add((peer.name, back.name))
            second = TunnelEnd(peer.name, back.name if back is not None else "")
            tunnels.append(Tunnel(TunnelEnd(plan.name, policy.name), second))
    return tunnels, faults


def _left_out(plan: RouterPlan, policy: TunnelPolicy, peer: RouterPlan) -> TunnelFault | None:
    """Return the fault of a tunnel whose peer would serve it by a profile that is not simulated."""
    identity = plan.policy.profile(policy.profile).local_identity
    if any(profile.matches(identity) for profile in peer.policy.profiles):
        return None
    for rules, reason in peer.translation.excluded:
        if any(rule.matches(identity) for rule in rules):
            return TunnelFault(plan.name, policy.name, policy.remote_address, reason.message, reason.where)
    return None


def _signed_otherwise(plan: RouterPlan, policy: TunnelPolicy, peer: RouterPlan) -> TunnelFault | None:
    """Return the fault of a tunnel one end of which signs by a kind of key that the other does not take."""
    identity = plan.policy.profile(policy.profile).local_identity
    served = next((profile for profile in peer.policy.profiles if profile.matches(identity)), None)
    if served is None:
        return None
    ends = ((plan, policy.profile, peer, served.name), (peer, served.name, plan, policy.profile))
    for speaker, speaking, listener, listening in ends:
        profile = speaker.config.profiles[speaking]
        message = signs_otherwise(speaker.config, profile, listener.config, listener.config.profiles[listening])
        if message is not None:
            place = where(profile.auth_local_line or profile.line)
            return TunnelFault(plan.name, policy.name, policy.remote_address, message, place)
    return None


def _at(plan: RouterPlan, policy: TunnelPolicy, message: str) -> TunnelFault:
    interface = plan.config.interfaces[policy.name]
    place = where(interface.tunnel_destination_line or interface.line)
    return TunnelFault(plan.name, policy.name, policy.remote_address, message, place)


def _fault(
    plan: RouterPlan,
    policy: TunnelPolicy,
    routers: dict[str, RouterPlan],
    owners: dict[IpAddress, str],
    graph: nx.Graph[str],
    paths: dict[tuple[str, str], UnderlayPath],
) -> TunnelFault | None:
    remote, local = policy.remote_address, policy.local_address
    if remote not in owners:
        known = {str(a): name for a, name in owners.items() if name != plan.name}
        near = difflib.get_close_matches(str(remote), known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]} of {known[near[0]]}?" if near else ""
        return _at(plan, policy, f"tunnel destination {remote} belongs to no router here{hint}")
    if owners[remote] == plan.name:
        return _at(plan, policy, f"tunnel destination {remote} is an address of {plan.name} itself")
    peer = routers[owners[remote]]
    for here, there, source in ((plan, remote, local), (peer, local, remote)):
        if not has_route(here.config, there, source):
            message = f"{here.name} has no route to {there}; an ip route, a connected subnet or a routing protocol on"
            return _at(plan, policy, f"{message} {source} is needed")
    try:
        for source_name, target_name in ((plan.name, peer.name), (peer.name, plan.name)):
            if (source_name, target_name) not in paths:
                paths[(source_name, target_name)] = _underlay(graph, source_name, target_name)
    except InputError as error:
        return _at(plan, policy, error.message)
    return None


def _underlay(graph: nx.Graph[str], source: str, target: str) -> UnderlayPath:
    nodes = path(graph, source, target)
    edges = [graph.edges[a, b] for a, b in pairwise(nodes)]
    kept = 1.0
    for edge in edges:
        kept *= 1.0 - edge["loss"]
    return UnderlayPath(
        tuple(nodes),
        sum(e["delay_s"] for e in edges),
        sum(e["jitter_s"] for e in edges),
        1.0 - kept,
        min(e["rate_bps"] for e in edges),
    )


def _nothing_to_run(routers: dict[str, RouterPlan], faults: list[TunnelFault]) -> InputError:
    files = ", ".join(plan.config.file for plan in routers.values())
    if faults:
        alone = "; only one router is here, a tunnel needs the configurations of both its ends"
        return InputError(faults[0].message + (alone if len(routers) == 1 else ""), faults[0].where)
    if len(routers) == 1:
        return InputError("only one router: a tunnel needs the configurations of both its ends", files)
    return InputError("no tunnel interface with 'tunnel protection ipsec profile' and a destination", files)


def _starts(
    tunnels: list[Tunnel], routers: dict[str, RouterPlan], initiator: str | None, stagger_s: float
) -> tuple[list[tuple[float, str, str]], list[Tunnel]]:
    starts: list[tuple[float, str, str]] = []
    ordered: list[Tunnel] = []
    for tunnel in tunnels:
        if tunnel.fault:
            ordered.append(tunnel)
            continue
        ends = [tunnel.first, tunnel.second]
        active = [e for e in ends if e.interface and _policy(routers, e).initiates]
        if initiator is not None and any(e.router == initiator for e in active):
            active.sort(key=lambda e: e.router != initiator)
        for position, end in enumerate(active):
            starts.append((0.0 if position == 0 or initiator == "all" else stagger_s, end.router, end.interface))
        first = active[0] if active else tunnel.first
        second = next(e for e in ends if e != first)
        ordered.append(Tunnel(first, second))
    return starts, ordered


def _policy(routers: dict[str, RouterPlan], end: TunnelEnd) -> TunnelPolicy:
    return next(t for t in routers[end.router].policy.tunnels if t.name == end.interface)
