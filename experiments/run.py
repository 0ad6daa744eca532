"""One run of a scenario: configurations in, result out."""

from __future__ import annotations

import math
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..hardware.profile import HardwareProfile
from ..hardware.profile_files import load_profile
from ..models.errors import InputError, unknown_name
from ..models.ikev2.sa import nanoseconds
from ..models.implementation import implementation_for_version, load_implementation
from ..models.ios.config import RouterConfig
from ..models.ios.pseudonyms import pseudonymous_copies
from ..models.ios.reader import read_folder
from ..models.topology import LINK_MTU_BYTES, LinkSettings
from ..models.traffic import Flow
from ..simulate import sessions, shared_limits
from ..simulate.control_plane import run_control_plane
from ..simulate.deployment import Deployment, RouterPlan, build
from ..simulate.flows import PACKET_COLUMNS, carries_gre, check_flow
from ..simulate.queues import QueueStatistics
from ..simulate.radius import count_octets
from ..simulate.records import Row, frame
from . import bands
from .client_reasons import explain
from .client_scenario import client_plans, stored
from .radius_scenario import Pseudonyms, server_plans, with_pseudonyms
from .result import INPUTS, RESULT_SCHEMA, Result, load_result
from .scenario import LinkYaml, RouterSettings, Scenario, TrafficYaml, read_scenario

#: Hardware of a router when nothing is said: the paper's.
DEFAULT_HARDWARE = "isr4321"

QUEUE_COLUMNS: dict[str, str] = {
    "name": "str",
    "servers": "int64",
    "arrivals": "int64",
    "utilisation": "float64",
    "mean_waiting_s": "float64",
    "max_waiting_s": "float64",
    "mean_service_s": "float64",
    "mean_length": "float64",
    "drops": "int64",
}

Progress = Callable[[str, float], None]


def run(
    scenario: str | Path | Scenario,
    *,
    seed: int | None = None,
    duration_s: float | None = None,
    hardware: Mapping[str, str] | None = None,
    implementation: Mapping[str, str] | str | None = None,
    initiator: str | None = None,
    hsec: Sequence[str] = (),
    traffic: bool = True,
    esp: bool = False,
    profiles: tuple[str, ...] = (),
    samples: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Simulate a folder of router configurations or a scenario file.

    Parameters
    ----------
    scenario: folder of IOS configurations, YAML file, or `Scenario`.
    seed, duration_s, initiator: override the scenario. [s]
    hardware: hardware profile by router name.
    implementation: IKEv2 implementation profile, for all routers or by router name.
    hsec: routers with the export licence (HSECK9), beside those of the scenario; ``*``: all.
    traffic: False leaves the packets out.
    esp: True adds the tables ``latency`` and ``throughput`` of the first tunnel that came up.
    profiles: folders with hardware profiles of one's own.
    samples: parameter sets drawn from the ranges of the hardware profiles: adds the table ``setup_bands`` and, with
        ``esp``, bands of ignorance to its tables.
    progress: called with (what, fraction done).

    Returns a `Result`. Raises InputError for bad input.
    """
    if not isinstance(scenario, Scenario):
        scenario = read_scenario(Path(scenario))
    asked = _override(scenario, seed, duration_s, hardware, implementation, initiator, hsec, profiles)
    configs = read_folder(Path(asked.configurations))
    deployment = _deploy(asked, configs)
    result = _simulate(asked, deployment, traffic=traffic, esp=esp, samples=samples, progress=progress)
    names: dict[str, str] = {}
    result.inputs = pseudonymous_copies(Path(asked.configurations), [c.file for c in configs], names)
    renamed = Pseudonyms(names)
    kept = {"radius": with_pseudonyms(asked.radius, renamed), "clients": stored(asked.clients, renamed)}
    document = asked.model_copy(update=kept).model_dump(mode="json", by_alias=True)
    result.manifest["scenario"] |= {name: document[name] for name in kept}
    return result


def rerun(directory: Path, progress: Progress | None = None) -> tuple[Result, list[str]]:
    """Run the scenario of a result directory again.

    Returns the new result and the names of the tables that differ in any bit (none, unless the versions differ).
    """
    from .result import digest, to_parquet

    old = load_result(directory)
    if old.manifest["interrupted"]:
        raise InputError("was interrupted, so that it cannot be repeated; run its scenario again", str(directory))
    scenario = Scenario.model_validate(old.manifest["scenario"])
    with tempfile.TemporaryDirectory() as folder:
        for name, text in old.inputs.items():
            (Path(folder) / name).write_text(text)
        asked = scenario.model_copy(update={"configurations": folder})
        configs = read_folder(Path(folder))
        deployment = _deploy(asked, configs)
        options = old.manifest["options"]
        wanted = {"traffic": options["traffic"], "esp": options["esp"], "samples": options.get("samples", 0)}
        result = _simulate(asked, deployment, **wanted, progress=progress)
    result.inputs = old.inputs
    result.manifest["scenario"] = old.manifest["scenario"]
    different = [
        name
        for name, entry in old.manifest["tables"].items()
        if name not in result.tables or digest(to_parquet(result.tables[name])) != entry["blake2b"]
    ]
    return result, different


def _override(
    scenario: Scenario,
    seed: int | None,
    duration_s: float | None,
    hardware: Mapping[str, str] | None,
    implementation: Mapping[str, str] | str | None,
    initiator: str | None,
    hsec: Sequence[str],
    profiles: tuple[str, ...],
) -> Scenario:
    update: dict[str, Any] = {}
    if seed is not None:
        update["seed"] = seed
    if duration_s is not None:
        if not 0 < duration_s < math.inf:
            raise InputError(f"found {duration_s:g} s, a duration above 0 is needed", "--duration")
        update["duration"] = duration_s
    if initiator is not None:
        update["initiator"] = initiator
    if profiles:
        update["profiles"] = [*profiles, *scenario.profiles]
    routers = dict(scenario.routers)
    for key, by_router in (("hardware", hardware), ("implementation", implementation)):
        if isinstance(by_router, str):
            routers["*"] = routers.get("*", RouterSettings()).model_copy(update={key: by_router})
        else:
            for name, value in (by_router or {}).items():
                routers[name] = routers.get(name, RouterSettings()).model_copy(update={key: value})
    for name in (*routers, *hsec) if "*" in hsec else hsec:
        routers[name] = routers.get(name, RouterSettings()).model_copy(update={"hsec": True})
    update["routers"] = routers
    return scenario.model_copy(update=update)


def _deploy(scenario: Scenario, configs: list[RouterConfig]) -> Deployment:
    names = [config.hostname for config in configs]
    for name in scenario.routers:
        if name not in (*names, "*"):
            raise unknown_name("router", name, names)
    everyone = scenario.routers.get("*", RouterSettings())
    search = [Path(p) for p in scenario.profiles]
    loaded: dict[str, HardwareProfile] = {}
    hardware, implementations, licences = {}, {}, {}
    with_hsec = set()
    for config in configs:
        name = config.hostname
        own = scenario.routers.get(name, RouterSettings())
        profile = own.hardware or everyone.hardware or DEFAULT_HARDWARE
        if profile not in loaded:
            loaded[profile] = _hardware(name, profile, search)
        hardware[name] = loaded[profile]
        chosen = own.implementation or everyone.implementation or implementation_for_version(config.version)
        implementations[name] = load_implementation(chosen)
        licence = own.licence or everyone.licence
        if licence is not None:
            licences[name] = licence
        if everyone.hsec if own.hsec is None else own.hsec:
            with_hsec.add(name)
    return build(
        configs,
        hardware=hardware,
        implementations=implementations,
        licences=licences,
        hsec=with_hsec,
        links={name: _link(link) for name, link in scenario.links.items()},
        initiator=scenario.initiator,
        stagger_s=scenario.stagger,
        seed=scenario.seed,
        radius=lambda ledger: server_plans(scenario.radius, ledger, scenario.seed),
        revocation=scenario.crl.settings() if scenario.crl is not None else None,
        clients=client_plans(scenario.clients, scenario.radius, configs, search, scenario.seed),
    )


def _hardware(router: str, profile: str, search: list[Path]) -> HardwareProfile:
    try:
        return load_profile(profile, search)
    except InputError as error:
        if error.where:
            raise
        raise InputError(error.message, f"hardware of {router}") from None


def _link(link: LinkYaml) -> LinkSettings:
    mtu_bytes = LINK_MTU_BYTES if link.mtu is None else round(link.mtu)
    own = (link.nat, link.nat_timeout, mtu_bytes, link.drops_fragments, link.blocks_icmp, link.reorders)
    return LinkSettings(link.delay, link.jitter, link.loss, link.rate, *own)


def _flows(scenario: Scenario, deployment: Deployment) -> list[Flow]:
    if scenario.traffic is not None:
        return [entry.flow() for entry in scenario.traffic]
    return [
        TrafficYaml.model_validate({"from": t.first.router, "to": t.second.router}).flow()
        for t in deployment.tunnels
        if not t.fault and t.first.router not in deployment.clients
    ]


def _simulate(
    scenario: Scenario, deployment: Deployment, *, traffic: bool, esp: bool, samples: int, progress: Progress | None
) -> Result:
    duration_s = scenario.duration
    draws = bands.drawn(deployment, samples)
    flows = _flows(scenario, deployment) if traffic else []
    for flow in flows:
        check_flow(deployment, flow)
    tick = (lambda now_s: progress("control plane", now_s / duration_s)) if progress else None
    control = run_control_plane(deployment, duration_s, tick, flows)
    recorder = control.recorder
    child_rows = recorder.rows["child_sas"]
    queues: list[QueueStatistics] = list(control.queues)
    packet_rows: list[Row] = []
    exceeded: list[Row] = []
    if flows:
        # The packet kernels are compiled code: half a second that only packets should pay for.
        from ..simulate.data_plane import run_traffic

        if progress:
            progress("packets", 0.0)
        # About 1,440 bins a run: a minute each over a day.
        bin_s = max(control.ended_s / 1440, 1.0)
        packet_rows, stations = run_traffic(deployment, child_rows, flows, control.ended_s, bin_s)
        queues += stations
        exceeded = shared_limits.exceeded(deployment, packet_rows, bin_s)
    tables = recorder.tables()
    session_rows = sessions.session_rows(deployment, recorder)
    explain(session_rows, deployment, recorder)
    tables["sessions"] = frame(session_rows, sessions.COLUMNS)
    tables["packets"] = frame(packet_rows, PACKET_COLUMNS)
    if control.radius is not None:
        count_octets(control.radius.accounting, packet_rows, deployment.owners)
        tables.update(control.radius.tables(nanoseconds(control.ended_s)))
    interrupted = control.interrupted
    if draws and not interrupted:
        draws_tick = (lambda done: progress("parameter sets", done)) if progress else None
        rows, interrupted = bands.setup_rows(deployment, recorder, draws, control.ended_s, draws_tick)
        tables["setup_bands"] = frame(rows, bands.SETUP_COLUMNS)
    if esp and not interrupted:
        curves, interrupted = _esp_tables(deployment, child_rows, draws, progress)
        tables.update(curves)
    tables["queues"] = frame([_queue_row(q) for q in queues], QUEUE_COLUMNS)
    memory = {name: _memory(plan, recorder.rows["ike_sas"]) for name, plan in deployment.routers.items()}
    manifest = _manifest(scenario, deployment, control.ended_s, {"traffic": traffic, "esp": esp, "samples": samples})
    for name, entry in manifest["routers"].items():
        entry["memory"] = memory[name]
    manifest["exceeded_together"] = exceeded
    manifest["interrupted"] = interrupted
    return Result(tables, manifest)


def _queue_row(queue: QueueStatistics) -> Row:
    return {column: getattr(queue, column) for column in QUEUE_COLUMNS}


def _esp_tables(
    deployment: Deployment, child_rows: list[Row], draws: list[Deployment], progress: Progress | None
) -> tuple[dict[str, Any], bool]:
    """Return the tables of the ESP study, and whether it was interrupted."""
    from . import esp_study

    latency: list[Row] = []
    throughput: list[Row] = []
    interrupted = False
    child = next((c for c in child_rows if c["initiator"]), None)
    if child is not None:
        choice = esp_study.TunnelChoice(
            child["router"],
            child["peer"],
            child["encryption"],
            child["integrity"],
            child["mode"],
            carries_gre(child),
        )
        total = len(esp_study.LATENCY_SIZES) * len(esp_study.LOADS) + len(esp_study.THROUGHPUT_SIZES)
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress:
                progress("ESP study", done / total)

        # The cheaper table first, so that an interrupted study leaves at least that.
        try:
            throughput = esp_study.throughput_rows(deployment, choice, draws=draws, progress=tick)
            latency = esp_study.latency_rows(deployment, choice, draws=draws, progress=tick)
        except KeyboardInterrupt:
            interrupted = True
    curves = {
        "latency": frame(latency, esp_study.LATENCY_COLUMNS),
        "throughput": frame(throughput, esp_study.THROUGHPUT_COLUMNS),
    }
    return curves, interrupted


def _manifest(scenario: Scenario, deployment: Deployment, ended_s: float, options: dict[str, int]) -> dict[str, Any]:
    nodes: Any = deployment.graph.nodes(data=True)
    edges: Any = deployment.graph.edges(data=True)
    digests = {cost: cost.profile.digest for cost in {plan.cost for plan in deployment.routers.values()}}
    return {
        "schema": RESULT_SCHEMA,
        "name": scenario.name,
        "seed": scenario.seed,
        "duration_s": scenario.duration,
        "ended_s": ended_s,
        "scenario": {**scenario.model_dump(mode="json"), "configurations": INPUTS},
        "options": options,
        "routers": {
            name: {
                "hardware": plan.cost.profile.name,
                "hardware_title": plan.cost.profile.title,
                "hardware_digest": digests[plan.cost],
                "licence": plan.cost.licence,
                "hsec": plan.cost.hsec,
                "implementation": plan.implementation.name,
                "ikev2": _ikev2(plan),
                "interfaces": _interfaces(plan, deployment),
                **({"clients": deployment.clients[name].group} if name in deployment.clients else {}),
            }
            for name, plan in deployment.routers.items()
        },
        "topology": {
            "nodes": [{"name": n, **data} for n, data in sorted(nodes, key=lambda n: n[0])],
            "links": [{"ends": sorted((a, b)), **data} for a, b, data in sorted(edges, key=lambda e: e[:2])],
        },
        "values": deployment.ledger.rows(),
        "versions": _versions(),
    }


def _memory(plan: RouterPlan, ike_rows: list[Row]) -> dict[str, Any] | None:
    """Return the most tunnels that a router had at a time and their share of its memory; None: that is not known."""
    if plan.cost.memory_share(0) is None:
        return None
    # A rekey makes a second IKE SA with the same peer: peers are counted.
    own = [row for row in ike_rows if row["router"] == plan.name]
    ends = [(row["closed_s"], -1, row["peer"]) for row in own if not math.isnan(row["closed_s"])]
    changes = sorted([(row["established_s"], 1, row["peer"]) for row in own] + ends)
    sas: Counter[str] = Counter()
    peers = most = 0
    for _, change, peer in changes:
        peers += (sas[peer] + change > 0) - (sas[peer] > 0)
        sas[peer] += change
        most = max(most, peers)
    return {"tunnels": most, "share": plan.cost.memory_share(most)}


def _ikev2(plan: RouterPlan) -> dict[str, int]:
    """Return what ``show`` prints of a router's IKEv2 settings; 0 SAs: no limit is configured."""
    values, most = plan.implementation.profile.values, plan.config.max_in_negotiation
    return {
        "window": plan.config.window or round(values.window.value),
        "max_in_negotiation_incoming": plan.in_negotiation_limit,
        "max_in_negotiation_outgoing": most.get("outgoing", round(values.max_in_negotiation_outgoing.value)),
        "max_sa": plan.config.max_sa or 0,
    }


def _interfaces(plan: RouterPlan, deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Return what ``show`` needs of each protected interface and cannot find in a table."""
    tunnels = {tunnel.name: tunnel for tunnel in plan.policy.tunnels}
    found = {}
    for interface in plan.config.interfaces.values():
        if interface.tunnel_protection is not None:
            tunnel = tunnels.get(interface.name)
            peer = deployment.owners.get(tunnel.remote_address) if tunnel else None
            way = deployment.paths.get((plan.name, peer)) if peer else None
            found[interface.name] = {
                "source": interface.tunnel_source,
                "local_address": str(tunnel.local_address) if tunnel else None,
                "remote_address": str(tunnel.remote_address) if tunnel else None,
                "path_mtu": way.mtu_bytes if way is not None and not way.blocks_icmp else LINK_MTU_BYTES,
                "fragmentation_mtu": plan.config.fragmentation_mtu,
            }
    return found


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("flexvpn-sim", "numpy", "numba", "pandas", "simpy", "networkx", "pyarrow"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
