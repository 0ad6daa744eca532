"""A user's measurements in, a calibrated profile out: observations, provenance, the YAML file.

Rates are predicted from the operations of the responder in the same conversation, throughput from the service times of
the stations of one box. Everything that the files change is written over the base with ``extends``; it names the files,
their content and the day.

What this leaves out: the licence and the encryption limit (rows are measured without them), the initiator's side.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...hardware.calibration import Calibration, Observation, calibrate
from ...hardware.cost import CostModel
from ...hardware.measurement import Host
from ...hardware.profile import HardwareProfile, Source, located
from ...hardware.profile_files import load_profile, load_sources
from ...hardware.readings.openssl_speed import Unused, read_openssl_speed
from ...hardware.readings.primitives import Primitives, from_readings
from ...hardware.readings.show import Finding, read_show
from ...hardware.readings.tables import RateRow, ThroughputRow, read_rates, read_throughput
from ...models.errors import InputError, unknown_name
from ...models.ikev2.children import suite_of
from ...models.values import Ledger, Value

if TYPE_CHECKING:
    from ...models.esp import Mode
    from ...models.ikev2.operations import Operation

CALIBRATION, PRIMITIVES, SHOWN = "calibration", "primitives", "router-output"
#: Rate of the link in the prediction of throughput: never the bottleneck. [bit/s]
LINK_BPS = 1e15
#: GRE header without key, sequence number and checksum. [bytes]
GRE_BYTES = 4
#: Identities of the ends in the conversations of rates; they decide lengths alone.
NAMES = ("branch.example.org", "hub.example.org")


@dataclass(frozen=True, slots=True)
class Files:
    """What a user measured; missing parts are None or empty."""

    openssl: Path | None = None
    rates: Path | None = None
    throughput: Path | None = None
    show: tuple[Path, ...] = ()


@dataclass(slots=True)
class Outcome:
    """A calibrated profile with how it came about.

    ``changed``: what differs from the base, by path; ``fit`` is None when there was nothing to fit.
    """

    base: HardwareProfile
    profile: HardwareProfile
    fit: Calibration | None
    changed: dict[str, Value]
    sources: dict[str, Source]
    notes: list[str] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    title: str = ""

    def assumed(self) -> list[str]:
        """Return the paths of the parameters that are still assumed."""
        return [p for p, v in self.profile.values().items() if p.startswith("parameters.") and v.kind == "assumed"]


def calibrate_files(
    base_name: str,
    files: Files,
    today: str,
    *,
    profiles: Sequence[Path] = (),
    implementation: str | None = None,
    progress: Callable[[], None] | None = None,
) -> Outcome:
    """Return the base fitted to the files.

    Parameters
    ----------
    base_name: a profile of the search path, not a file.
    today: ISO date of the new sources.
    profiles: folders with profiles of the user's own.
    implementation: IKEv2 implementation that played the conversations of ``rates``; the usual one of the family when
        not given.
    progress: called after each evaluation of the model.

    Raises InputError for anything wrong in the files, and when they contradict the model.
    """
    base = load_base(base_name, profiles)
    ids = _source_ids(base, profiles)
    primitives = Primitives(base)
    unused: list[Unused] = []
    if files.openssl is not None:
        readings, unused = read_openssl_speed(files.openssl)
        primitives = from_readings(base, readings, ids[PRIMITIVES])
    observations = list(primitives.observations)
    if files.rates is not None:
        from ..exchange import implementation_for

        name = implementation or implementation_for(base)
        observations += rate_observations(read_rates(files.rates), name)
    if files.throughput is not None:
        observations += [throughput_observation(row) for row in read_throughput(files.throughput)]
    shown = read_show(list(files.show), ids[SHOWN]) if files.show else None
    fit, profile = None, primitives.profile
    if observations:
        fit = fitted(base, primitives, observations, ids, progress)
        profile = fit.profile
    changed = _changed(base, profile) | {f"limits.{name}": v for name, v in (shown.limits if shown else {}).items()}
    if shown:
        profile = profile.model_copy(update={"limits": profile.limits.model_copy(update=dict(shown.limits))})
    all_files = [p for p in (files.openssl, files.rates, files.throughput, *files.show) if p is not None]
    described = {
        ids[CALIBRATION]: _source(
            "Calibration by the user's measurements", today, f"{base.name} fitted with priors to", all_files
        ),
        ids[PRIMITIVES]: _source("Output of openssl speed", today, "measured by the user:", [files.openssl]),
        ids[SHOWN]: _source("Output of show commands of the user's router", today, "read from", files.show),
    }
    used = {value.source for value in changed.values()} | {c.source for c in profile.correlations}
    sources = {name: source for name, source in described.items() if name in used}
    findings = shown.findings if shown else ()
    return Outcome(base, profile, fit, changed, sources, primitives.notes, unused, findings)


def calibrate_host(base_name: str, host: Host, today: str, *, progress: Callable[[], None] | None = None) -> Outcome:
    """Return the base with the measured primitives of a machine; what was not measured keeps the base's values."""
    base = load_base(base_name, ())
    ids = dict.fromkeys(_source_ids(base, ()), PRIMITIVES)
    primitives = from_readings(host.prepared(base, PRIMITIVES), host.readings, PRIMITIVES)
    fit = fitted(base, primitives, primitives.observations, ids, progress)
    sources = {PRIMITIVES: host.source(today)}
    changed = _changed(base, fit.profile)
    notes = [*primitives.notes, "control plane and forwarding were not measured: the base's, with wider ranges"]
    return Outcome(base, fit.profile, fit, changed, sources, notes, title=f"{host.cpu}, measured")


def fitted(
    base: HardwareProfile,
    primitives: Primitives,
    observations: Sequence[Observation],
    ids: Mapping[str, str],
    progress: Callable[[], None] | None,
) -> Calibration:
    """Return the fit that begins at the measured primitives. Raises InputError for a contradiction."""
    measured = dict.fromkeys(primitives.measured, ids[PRIMITIVES])
    return calibrate(
        primitives.profile, observations, ids[CALIBRATION], original=base, measured=measured, progress=progress
    )


def load_base(name: str, profiles: Sequence[Path]) -> HardwareProfile:
    """Return the profile that will be extended. Raises InputError for a file, which ``extends`` cannot name."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        raise InputError(
            f"found the file '{name}', the name of a profile is needed: --base {path.stem} --profiles {path.parent}",
            "--base",
        )
    base = load_profile(name, profiles)
    if not base.ikev2.supported:
        raise InputError(f"{base.title} cannot run IKEv2: {base.ikev2.reason}", "--base")
    return base


# -- Predictions ---------------------------------------------------------------------------------------------------


def responder_operations(row: RateRow, implementation: str) -> list[Operation]:
    """Return what the responder does in the conversation that a row measures. Raises InputError with its place.

    The only place that asks `exchange` for a conversation. As there, a scenario that adds something to the set-up is
    that addition alone.
    """
    from ...models.certificate_length import STRONGSWAN_FRAME, estimated_der_bytes
    from ...models.ikev2.identity import Identity
    from ...models.implementation import Implementation, load_implementation
    from ..exchange_authentication import AUTHENTICATIONS
    from ..exchange_plan import End, Plan
    from ..exchange_scenarios import SCENARIOS, SETUP, converse, prepare

    if row.scenario not in SCENARIOS:
        raise unknown_name("scenario", row.scenario, SCENARIOS, row.where)
    if row.auth not in AUTHENTICATIONS:
        raise unknown_name("authentication", row.auth, AUTHENTICATIONS, row.where)
    length = 0
    if row.auth != "psk":
        algorithm = row.auth.rpartition(":")[2]
        length = estimated_der_bytes(STRONGSWAN_FRAME.value, algorithm, algorithm)
    behaviour = Implementation(load_implementation(implementation), Ledger())
    ends = [End(Identity("fqdn", name), (row.ike,), (row.esp,), behaviour) for name in NAMES]
    plan = Plan(ends[0], ends[1], row.auth, (length, length), int(row.auth != "psk"), NAMES[0].partition(".")[0])
    # Which operations there are does not depend on how long they take.
    talk = converse(prepare(plan, [row.scenario]), [row.scenario], lambda operations: 1e-3 * len(operations))
    phases = {turn.phase for turn in talk.turns} - {SETUP} or {SETUP}
    turns = [turn for turn in talk.turns if turn.phase in phases]
    return [operation for turn in turns for operation in turn.operations_of(initiator=False)]


def rate_observations(rows: Sequence[RateRow], implementation: str) -> list[Observation]:
    """Return one observation a row: CPU time of the responder, or how many its cores finish in a second."""
    found = []
    for row in rows:
        operations = responder_operations(row, implementation)

        def predict(cost: CostModel, row: RateRow = row, operations: list[Operation] = operations) -> float:
            service_s = cost.service_s(operations)
            if row.unit == "ms":
                return service_s * 1e3
            return (row.cores if row.cores is not None else cost.control_cores) / service_s

        found.append(Observation(row.name, row.value, row.unit, predict, row.sd, row.where))
    return found


def throughput_observation(row: ThroughputRow) -> Observation:
    """Return the observation of one row: the rate that the busiest station of the box can serve, in one direction."""
    from ...simulate.packet_path import LinkSpec, Servers, saturation_pps
    from ...simulate.tunnel_stations import tunnel_path

    mode: Mode = "tunnel" if row.mode == "tunnel" else "transport"
    link = LinkSpec(delay_s=0.0, rate_bps=LINK_BPS)
    suite = suite_of(row.esp)

    def predict(cost: CostModel) -> float:
        path = tunnel_path(
            cost,
            cost,
            encryption=suite.encryption,
            integrity=suite.integrity,
            link=link,
            mode=mode,
            gre_bytes=GRE_BYTES if row.mode == "gre" else 0,
        )
        capacity = saturation_pps(path, row.packet_bytes)
        pps = min(capacity[station.name] for station in path.stations if isinstance(station, Servers))
        return pps if row.unit == "packets/s" else pps * row.packet_bytes * 8e-6

    return Observation(row.name, row.value, row.unit, predict, row.sd, row.where)


# -- The file ------------------------------------------------------------------------------------------------------


def check_output(path: Path, base: str) -> None:
    """Refuse a place where the profile cannot be written. Raises InputError."""
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"found '{path}', a file that ends in .yaml is needed", "-o")
    if path.stem == base:
        raise InputError(f"'{base}' cannot extend itself; give the file another name", "-o")
    if path.is_dir():
        raise InputError("is a folder, a file is needed", str(path))
    if not path.parent.is_dir():
        raise InputError("no such folder", str(path.parent))


def profile_yaml(outcome: Outcome, name: str, comment: str) -> str:
    """Return the file of the calibrated profile: what differs from its base, with the sources."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    def flat(content: Mapping[str, Any]) -> CommentedMap:
        node = CommentedMap(content)
        node.fa.set_flow_style()
        return node

    document = CommentedMap({"extends": outcome.base.name, "name": name, "title": outcome.title or _title(outcome)})
    document["note"] = f"calibrated; {len(outcome.changed)} values differ from {outcome.base.name}"
    places = {".".join(place): place for place, _ in located(outcome.profile)}
    for path, value in outcome.changed.items():
        node = document
        for key in places[path][:-1]:
            node = node.setdefault(key, CommentedMap())
        content = value.model_dump(mode="json", exclude_none=True)
        node[places[path][-1]] = flat({k: v for k, v in content.items() if v != ""})
    if outcome.sources:
        document["sources"] = {
            key: source.model_dump(mode="json", exclude_none=True) for key, source in outcome.sources.items()
        }
    if outcome.profile.correlations != outcome.base.correlations:
        document["correlations"] = [
            _correlation(c.model_dump(mode="json"), CommentedMap, CommentedSeq) for c in outcome.profile.correlations
        ]
    document.yaml_set_start_comment(comment)
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 400
    yaml.dump(document, text)
    return text.getvalue()


def check_loads(text: str, name: str, profiles: Sequence[Path]) -> None:
    """Load a profile from its text, so that what is written is known to be whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        load_profile(str(path), profiles)


def _title(outcome: Outcome) -> str:
    return f"{outcome.base.title.removesuffix(', calibrated')}, calibrated"


def _correlation(content: dict[str, Any], mapping: Any, sequence: Any) -> Any:
    def flat(items: list[Any]) -> Any:
        node = sequence(items)
        node.fa.set_flow_style()
        return node

    matrix = content["correlation"]
    if isinstance(matrix, list):
        content["correlation"] = [flat(row) for row in matrix]
    return mapping({key: value for key, value in content.items() if value != ""})


def _changed(base: HardwareProfile, profile: HardwareProfile) -> dict[str, Value]:
    before = base.values()
    return {path: value for path, value in profile.values().items() if value != before.get(path)}


def _source_ids(base: HardwareProfile, profiles: Sequence[Path]) -> dict[str, str]:
    """Return ids for our sources that nothing in the base uses."""
    taken = set(base.sources) | set(load_sources()) | {value.source for value in base.values().values()}
    for folder in profiles:
        taken |= set(load_sources(folder))
    found = {}
    for name in (CALIBRATION, PRIMITIVES, SHOWN):
        number = 1
        while (wanted := name if number == 1 else f"{name}-{number}") in taken:
            number += 1
        found[name] = wanted
    return found


def _source(title: str, today: str, what: str, files: Sequence[Path | None]) -> Source:
    named = ", ".join(
        f"{path.name} (blake2b {blake2b(path.read_bytes(), digest_size=8).hexdigest()})" for path in files if path
    )
    return Source(title=title, date=today, conditions=f"{what} {named}")


def as_json(outcome: Outcome, output: Path, charts: Sequence[Path]) -> dict[str, Any]:
    """Return what ``--json`` prints. Numbers are finite."""
    fit = outcome.fit
    rows = [
        {
            "name": row.name,
            "where": row.where,
            "unit": row.unit,
            "measured": row.measured,
            "fitted": float(f"{row.fitted:.6g}"),
            "residual": round(row.residual, 5),
            "sd": row.sd,
        }
        for row in (fit.rows if fit else ())
    ]
    parameters = [
        {
            "path": p.path,
            "unit": p.value.unit,
            "base": None if p.base is None else p.base.value,
            "base_range": None if p.base is None else p.base.range,
            "value": p.value.value,
            "range": p.value.range,
            "kind": p.value.kind,
            "informed": p.informed,
            "follows_by_correlation": p.follows,
            "at_bound": p.at_bound,
        }
        for p in (fit.parameters if fit else ())
    ]
    return {
        "base": outcome.base.name,
        "profile": str(output),
        "charts": [str(path) for path in charts],
        "rows": rows,
        "parameters": parameters,
        "covariance_of_logarithms": [[float(f"{x:.6g}") for x in row] for row in fit.covariance] if fit else [],
        "chi2": round(fit.chi2, 4) if fit and math.isfinite(fit.chi2) else None,
        "errors_widened_by": round(fit.scatter, 4) if fit else 1.0,
        "changed": {path: value.model_dump(mode="json") for path, value in outcome.changed.items()},
        "still_assumed": outcome.assumed(),
        "notes": outcome.notes,
        "not_used": [{"where": u.where, "text": u.text, "reason": u.reason} for u in outcome.unused],
        "shown": [{"where": f.where, "text": f.text, "use": f.use, "reason": f.reason} for f in outcome.findings],
    }
