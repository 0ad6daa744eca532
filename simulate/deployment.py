"""From configurations to a deployment that can run: endpoints, hardware, underlay paths, tunnels, first starts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import pairwise
from typing import TYPE_CHECKING

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.aaa.settings import AaaSettings
from ..models.addresses import IpAddress
from ..models.errors import InputError, unknown_name
from ..models.ikev2.policy import EndpointPolicy, TunnelPolicy
from ..models.implementation import Implementation, ImplementationProfile
from ..models.ios.certificates import Certificates, serial_of
from ..models.ios.config import RouterConfig
from ..models.ios.identities import where
from ..models.ios.refusals import signs_otherwise
from ..models.ios.to_aaa import aaa_settings
from ..models.ios.to_ikev2 import Translation, TunnelFault, to_ikev2
from ..models.nat_device import UDP_TIMEOUT
from ..models.pki import RevocationServer, RevocationSettings
from ..models.topology import LINK_MTU_BYTES, LinkSettings, address_owners, build_topology, has_route, path
from ..models.values import Ledger, Value
from .clients import ClientPlan, access_of, end_of
from .radius import ServerPlan, default_server

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
    #: Longest IP packet up to the first middlebox that drops fragments, None: nothing drops them. [bytes]
    whole_bytes: int | None = None
    #: Longest IP packet of the first link, and of all. [bytes]
    link_mtu_bytes: int = LINK_MTU_BYTES
    mtu_bytes: int = LINK_MTU_BYTES
    #: A filter drops the ICMP messages that would tell so; packets overtake each other.
    blocks_icmp: bool = False
    reorders: bool = False


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
    #: What its AAA is told; None: its IKEv2 asks no server.
    aaa: AaaSettings | None = None
    #: Whether there are servers of CAs that it can ask for the status of certificates.
    asks_authorities: bool = False
    #: What this router's IKEv2 is told to do: its configuration's translation with the limits of its platform.
    policy: EndpointPolicy = field(init=False)

    def __post_init__(self) -> None:
        policy, limit = self.translation.policy, self.tunnel_limit
        negotiating = policy.max_in_negotiation_incoming
        self.policy = replace(
            policy,
            revocation=policy.revocation if self.asks_authorities else {},
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
    #: Routers behind a NAT, and how long its UDP mappings live. [s]
    nat_timeouts_s: dict[str, float] = field(default_factory=dict)
    #: Every RADIUS server that a router asks.
    radius: dict[IPv4Address, ServerPlan] = field(default_factory=dict)
    #: The servers of the CAs by name; empty: nobody asks for the status of certificates.
    authorities: dict[str, RevocationServer] = field(default_factory=dict)
    #: Those of the routers that are remote-access clients.
    clients: dict[str, ClientPlan] = field(default_factory=dict)


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
    radius: Callable[[Ledger], Mapping[IPv4Address, ServerPlan]] | None = None,
    revocation: RevocationSettings | None = None,
    clients: Sequence[ClientPlan] = (),
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
    revocation: the servers of CAs; None: nobody asks for the status of certificates.
    radius: makes the RADIUS servers by address and notes what it assumes of them; a server that is asked for
        accounting only need not be there.
    clients: remote-access clients of these routers.

    Raises InputError when there is no tunnel that both ends could bring up.
    """
    ledger = Ledger()
    names = [config.hostname for config in configs]
    if initiator not in (None, "all", *names):
        raise unknown_name("router", str(initiator), [*names, "all"], "--initiator")
    routers: dict[str, RouterPlan] = {}
    faults: list[TunnelFault] = []
    certificates = Certificates(configs, ledger)
    # Routers of one kind share what is worked out about it.
    kinds: dict[int, Implementation] = {}
    costs: dict[tuple[int, str | None, bool], CostModel] = {}
    for config in configs:
        name = config.hostname
        profile = hardware[name]
        if not profile.ikev2.supported:
            raise InputError(f"{profile.title} cannot run IKEv2: {profile.ikev2.reason}", f"hardware of {name}")
        implementation = kinds.setdefault(id(implementations[name]), Implementation(implementations[name], ledger))
        translation = to_ikev2(config, implementation, certificates)
        faults.extend(translation.faults)
        model = id(profile), (licences or {}).get(name), name in hsec
        if model not in costs:
            costs[model] = CostModel(profile, ledger, model[1], hsec=model[2])
        asking = [profile.aaa for profile in translation.policy.profiles if profile.aaa is not None]
        aaa = aaa_settings(config, asking, ledger)
        routers[name] = RouterPlan(name, config, translation, implementation, costs[model], aaa, revocation is not None)
    routers |= _client_routers(clients, routers, ledger)
    links = {**(links or {}), **{client.name: access_of(client, ledger) for client in clients}}
    everyone = [plan.config for plan in routers.values()]
    graph = build_topology(everyone, ledger, links)
    owners = address_owners(everyone)
    paths: dict[tuple[str, str], UnderlayPath] = {}
    tunnels, faults = _pair_up(routers, owners, graph, paths, faults)
    if not any(not t.fault for t in tunnels):
        raise _nothing_to_run(routers, faults)
    tunnels += [Tunnel(TunnelEnd(f.router, f.interface), TunnelEnd("", ""), str(f)) for f in faults]
    if stagger_s is None:
        stagger_s = 0.0 if initiator == "all" else ledger.read("start", "stagger of the other end", DEFAULT_STAGGER)
    starts, tunnels = _starts(tunnels, routers, initiator, stagger_s)
    begins_s = {client.name: client.start_s for client in clients}
    starts = [(begins_s.get(router, time_s), router, interface) for time_s, router, interface in starts]
    servers = _radius_servers(routers, radius(ledger) if radius is not None else {}, ledger)
    authorities = _authorities(routers, configs, revocation, ledger) if revocation is not None else {}
    nats = {name: _nat_timeout_s(settings, ledger) for name, settings in links.items() if settings.nat}
    return Deployment(
        routers,
        graph,
        paths,
        owners,
        tunnels,
        starts,
        ledger,
        seed,
        radius=servers,
        authorities=authorities,
        nat_timeouts_s=nats,
        clients={client.name: client for client in clients},
    )


def _client_routers(
    clients: Sequence[ClientPlan], routers: Mapping[str, RouterPlan], ledger: Ledger
) -> dict[str, RouterPlan]:
    """Return the clients as ends of the deployment. Raises InputError for a server that is not there."""
    plans = {}
    #: What the clients of a group have in common.
    shared: dict[str, tuple[Implementation, CostModel]] = {}
    for client in clients:
        if client.server not in routers:
            raise unknown_name("router", client.server, routers, f"{client.where}: server")
        server = routers[client.server]
        config, translation = end_of(client, server.config, server.policy)
        if client.group not in shared:
            shared[client.group] = Implementation(client.implementation, ledger), CostModel(client.hardware, ledger)
        plans[client.name] = RouterPlan(client.name, config, translation, *shared[client.group])
    return plans


def _nat_timeout_s(settings: LinkSettings, ledger: Ledger) -> float:
    if settings.nat_timeout_s is not None:
        return settings.nat_timeout_s
    return ledger.read("NAT", "timeout of UDP mappings", UDP_TIMEOUT)


def _authorities(
    routers: dict[str, RouterPlan], configs: Sequence[RouterConfig], settings: RevocationSettings, ledger: Ledger
) -> dict[str, RevocationServer]:
    """Return the server of each CA that a router asks. Raises InputError for a holder who is no router."""
    for holder in settings.revoked:
        if holder not in routers:
            raise unknown_name("router", holder, routers, "crl: revoked")
    serials = {config.hostname: serial_of(config, configs) for config in configs}
    proofs = [p.authentication.credential for plan in routers.values() for p in plan.policy.profiles]
    signs = {c.issuer: c.issuer_algorithm for proof in proofs if proof is not None for c in proof.chain}
    asked = {authority for plan in routers.values() for authority in plan.policy.revocation}
    return {name: settings.server(name, signs[name], serials, ledger) for name in sorted(asked) if name in signs}


def _radius_servers(
    routers: dict[str, RouterPlan], known: Mapping[IPv4Address, ServerPlan], ledger: Ledger
) -> dict[IPv4Address, ServerPlan]:
    """Return the servers that routers ask. Raises InputError where accounts are needed and nothing is said of them."""
    asked: dict[IPv4Address, ServerPlan] = {}
    for plan in routers.values():
        for key, one in (plan.aaa.lists if plan.aaa is not None else {}).items():
            groups = [plan.aaa.groups[name] for kind, name in one.methods if plan.aaa is not None and kind == "group"]
            for server in (server for group in groups for server in group.servers):
                address = server.address
                if address not in known and key[0] != "accounting":
                    message = (
                        f"nothing is known of radius server {server.name} ({address}): a scenario is needed whose"
                        f" section 'radius:' gives the accounts of {address}"
                    )
                    line = plan.config.aaa.lists[key].line
                    raise InputError(message, where(line))
                if address not in asked:
                    asked[address] = known[address] if address in known else default_server(address, ledger)
    return asked


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
    if served is None or policy.profile not in plan.config.profiles:
        # No profile takes it, or it is a client, which has no configuration.
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
    line = interface.tunnel_destination_line or interface.line
    # A client has no lines; its place is that of its group in the scenario.
    place = where(line) if line.number else line.file
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
        min(e["mtu_bytes"] for e in edges) if any(e["drops_fragments"] for e in edges) else None,
        edges[0]["mtu_bytes"],
        min(e["mtu_bytes"] for e in edges),
        any(e["blocks_icmp"] for e in edges),
        any(e["reorders"] for e in edges),
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
