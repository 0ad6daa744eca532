"""What a router shows: ``show crypto eli``, ``... ikev2 stats``, ``... ikev2 performance``, ``show processes cpu``.

Several outputs may stand in one file. Every line that is known becomes a `Finding` that says whether a profile can use
it, and why not. Layouts follow captured outputs; that of ``show processes cpu``, and which of its processes is IKEv2,
follow documentation alone, and the findings say so.

What this leaves out: anything that needs two outputs of different times, for rates; ``show`` does not say when its
counters were cleared, nor which algorithms the peers used, so that CPU time a set-up is told but never fitted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...models.errors import InputError
from ...models.values import Value
from ...models.yaml_input import read_text

Use = Literal["used", "not used", "unverified"]
#: SAs of one tunnel, one each way.
SESSIONS_A_TUNNEL = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an output says: where, what, and what came of it."""

    where: str
    text: str
    use: Use
    reason: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What all outputs say together. ``limits``: values of a profile's ``limits`` by name."""

    limits: dict[str, Value]
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _State:
    """What the lines before said."""

    engine: str = ""
    section: str = ""
    idle_rows: int = 0
    sessions: tuple[str, int] | None = None
    software: tuple[str, int] | None = None
    ikev2_active: int = 0
    ipsec_active: int = 0
    set_ups: int = 0
    negotiating: tuple[str, int] | None = None
    ikev2_ms: int = 0
    ikev2_processes: int = 0
    cpu_where: str = ""


Reader = Callable[[re.Match[str], _State, str], Finding | None]


def read_show(paths: list[Path], source: str) -> Shown:
    """Return what the outputs in these files say; ``source``: id that the values name.

    Raises InputError for a file that cannot be read or holds none of the four outputs.
    """
    return parse_show([(str(path), read_text(path)) for path in paths], source)


def parse_show(texts: list[tuple[str, str]], source: str) -> Shown:
    """Return what these texts, each with the name of its file, say together. Raises InputError as `read_show`."""
    state = _State()
    findings: list[Finding] = []
    for name, text in texts:
        before = len(findings), state.idle_rows
        for number, line in enumerate(text.splitlines(), start=1):
            for pattern, reader in _READERS:
                if found := pattern.search(line):
                    finding = reader(found, state, f"{name}:{number}")
                    if finding is not None:
                        findings.append(finding)
                    break
        if (len(findings), state.idle_rows) == before:
            known = "'show crypto eli', 'show crypto ikev2 stats', '... performance' or 'show processes cpu'"
            raise InputError(f"holds no output of {known}", name)
    limits: dict[str, Value] = {}
    findings += [*_tunnels(state, source, limits), *_negotiations(state, source, limits), *_together(state)]
    return Shown(limits, tuple(findings))


def _tunnels(state: _State, source: str, limits: dict[str, Value]) -> list[Finding]:
    found = state.sessions or state.software
    if found is None:
        return []
    where, most = found
    ratio = state.ipsec_active / state.ikev2_active if state.ikev2_active else 0.0
    if 0.9 * SESSIONS_A_TUNNEL < ratio < 1.1 * SESSIONS_A_TUNNEL:
        kind, bounds = "derived", None
        why = f"the same output has {state.ipsec_active} sessions for {state.ikev2_active} IKEv2 SAs"
    else:
        kind, bounds = "assumed", (float(most // SESSIONS_A_TUNNEL), float(most))
        why = "that a session is one SA, two a tunnel, is not said here"
    limits["tunnels"] = Value(
        value=most // SESSIONS_A_TUNNEL,
        unit="tunnels",
        kind="derived" if kind == "derived" else "assumed",
        source=source,
        range=bounds,
        note=f"half of {most} IPsec sessions; {why}",
    )
    return [Finding(where, f"{most} IPsec sessions", "used", f"limits.tunnels = {most // SESSIONS_A_TUNNEL}; {why}")]


def _negotiations(state: _State, source: str, limits: dict[str, Value]) -> list[Finding]:
    if state.negotiating is None:
        return []
    where, incoming = state.negotiating
    limits["in_negotiation"] = Value(
        value=incoming, unit="SAs", kind="measured", source=source, note="call admission, incoming, as shown"
    )
    return [Finding(where, f"{incoming} in negotiation, incoming", "used", f"limits.in_negotiation = {incoming}")]


def _together(state: _State) -> list[Finding]:
    found = []
    if state.idle_rows:
        text = f"{state.idle_rows} statistics without a sample"
        found.append(Finding("show crypto ikev2 performance", text, "not used", "the router measured nothing"))
    if state.ikev2_processes and state.set_ups:
        each = state.ikev2_ms / state.set_ups
        text = f"{state.ikev2_ms} ms of IKEv2 processes for {state.set_ups} set-ups: {each:.3g} ms each"
        reason = (
            "rekeys, failed attempts and dead-peer detection are in it, and when both were cleared is not shown; "
            "as a row of --rates (unit ms) it is an upper limit"
        )
        found.append(Finding(state.cpu_where, text, "unverified", reason))
    return found


def _engine(found: re.Match[str], state: _State, _where: str) -> None:
    state.engine = found[1].strip()


def _session(found: re.Match[str], state: _State, where: str) -> Finding | None:
    kind, active, most, failed, created = found[1], *(int(found[n]) for n in (2, 3, 4, 5))
    software = state.engine.startswith("Software")
    text = f"{kind} sessions of {state.engine or 'an engine'}: {active} active, {most} at most, {created} created"
    text += f", {failed} failed"
    if kind == "IPSec":
        if software:
            state.software = (where, most)
            return Finding(where, text, "not used", "the engine of the platform counts, not the one in software")
        state.sessions, state.ipsec_active = (where, most), active
        return None
    if kind == "IKEv2":
        state.ikev2_active = active
        state.set_ups = max(state.set_ups, created)
    return Finding(where, text, "not used", "a profile has no value for it")


def _pairs(found: re.Match[str], _state: _State, where: str) -> Finding:
    return Finding(
        where, f"{found[1]} key pairs made ahead", "not used", "the cost model makes each key pair when asked"
    )


def _dh(found: re.Match[str], _state: _State, where: str) -> Finding:
    return Finding(where, " ".join(found[0].split()), "not used", "a count without the time that it took")


def _admission(found: re.Match[str], state: _State, where: str) -> Finding | None:
    state.negotiating = (where, int(found[1]))
    if found[2] is None:
        return None
    return Finding(where, f"{found[2]} in negotiation, outgoing", "not used", "only incoming ones are admitted by it")


def _sa_count(found: re.Match[str], _state: _State, where: str) -> Finding:
    text = f"{found[2]} {found[1]} IKEv2 SAs, {found[3]} active, {found[4]} negotiating"
    return Finding(where, text, "not used", "a state, not a limit or a time")


def _requests(found: re.Match[str], state: _State, where: str) -> Finding:
    if found[1] == "Incoming":
        state.set_ups = max(state.set_ups, int(found[3]))
    text = f"{found[1].lower()} requests: {found[2]}, {found[3]} accepted, {found[4]} rejected"
    return Finding(where, text, "not used", "a count; with the time of the IKEv2 processes it bounds the cost of one")


def _section(found: re.Match[str], state: _State, _where: str) -> None:
    state.section = found[1]


def _statistic(found: re.Match[str], state: _State, where: str) -> Finding | None:
    if not state.section:
        return None
    name, samples, mean = found[1].strip(), int(found[2]), found[3]
    if samples == 0:
        state.idle_rows += 1
        return None
    unit = {"microseconds": "us", "milliseconds": "ms"}.get(state.section, state.section)
    reason = "elapsed, not CPU time, and the output does not name the algorithms"
    return Finding(where, f"{name}: {mean} {unit} on average of {samples}", "not used", reason)


def _utilisation(found: re.Match[str], _state: _State, where: str) -> Finding:
    text = f"CPU {found[1]} % over 5 s ({found[2]} % in interrupts), {found[3]} % over 1 min, {found[4]} % over 5 min"
    reason = "layout from documentation; with a constant rate of set-ups over it, give the rate in --rates"
    return Finding(where, text, "unverified", reason)


def _process(found: re.Match[str], state: _State, where: str) -> Finding | None:
    name = found[6].strip()
    if not re.search(r"crypto|ikev?2?\b|ipsec", name, re.IGNORECASE):
        return None
    text = f"process {name}: {found[2]} ms in {found[3]} runs, {found[5]} % over 5 min"
    if "ikev2" not in name.lower():
        return Finding(where, text, "not used", "whether it works for IKEv2 is not known")
    state.ikev2_ms += int(found[2])
    state.ikev2_processes += 1
    state.cpu_where = where
    return Finding(where, text, "unverified", "that this process does all of IKEv2 follows from its name alone")


_PERCENT = r"(\d+(?:\.\d+)?)%"
_READERS: list[tuple[re.Pattern[str], Reader]] = [
    (re.compile(r"^\s*(?:CryptoEngine|crypto engine \d+:)\s*(.+?)(?:\(\d+\))?(?: details:.*)?$"), _engine),
    (
        re.compile(r"^\s*(\w+)-Session\s*:\s*(\d+) active,\s*(\d+) max,\s*(\d+) failed,\s*(\d+) created"),
        _session,
    ),
    (re.compile(r"Number of DH's pregenerated = (\d+)"), _pairs),
    (re.compile(r"(?:DH calculations:|DH in use/freeing/free|^\s*DH\s+:).*\d"), _dh),
    # IKEv1 has a line of its own with other words.
    (re.compile(r"Max IKEv2 SAs:.*Max in nego\S*:\s*(\d+)(?:/(\d+))?"), _admission),
    (
        re.compile(r"Total (incoming|outgoing) IKEv2 SA Count:\s*(\d+)\s+active:\s*(\d+)\s+negotiating:\s*(\d+)"),
        _sa_count,
    ),
    (re.compile(r"(Incoming|Outgoing) IKEv2 Requests:\s*(\d+)\s+accepted:\s*(\d+)\s+rejected:\s*(\d+)"), _requests),
    (re.compile(r"^.*Stats \((microseconds|milliseconds|tps|pps)\):"), _section),
    (re.compile(r"^Summary \(()"), _section),
    (
        re.compile(
            rf"CPU utilization for five seconds: {_PERCENT}/{_PERCENT}; one minute: {_PERCENT}; "
            rf"five minutes: {_PERCENT}"
        ),
        _utilisation,
    ),
    (
        re.compile(rf"^\s*(\d+)\s+(\d+)\s+(\d+)\s+\d+\s+{_PERCENT}\s+[\d.]+%\s+{_PERCENT}\s+\d+\s+(\S.*)$"),
        _process,
    ),
    (re.compile(r"^\s*(\S.*?)\s{2,}(\d+)\s+(\d+)\s+\d+\s+\d+(?:\s+\d+\s+\d+\s+\d+)?\s*$"), _statistic),
]
