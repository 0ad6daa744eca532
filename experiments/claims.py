"""The study's claims against figures: what each claim compares, how it is judged, and the verdict.

A claim is general as the study states it, so that one comparison that fails makes it false. A comparison that leans on
service times is made for every parameter set, and with the cost model in error for the claim and against it, by
`MODEL_ERROR` on either side. It holds when it does so in at least `SURE` of the sets with the error against it; it
fails when it does in at most 1 - `SURE` with the error for it; else the inputs do not decide. The claims themselves
stand in `claim_list`.

What this leaves out: losses on the path and retransmission; prices; whether an algorithm is secure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.baselines import tunnels
from ..models.baselines.procedure import Procedure, Service
from ..models.errors import InputError
from ..models.notation import parse_esp, parse_ike
from ..models.values import Ledger
from . import baselines
from .bands import band

Sense = Literal["less", "equal", "at least"]
Verdict = Literal["true", "false", "not decidable"]
#: Share of the parameter sets in which a comparison must come out the same to count as decided.
SURE = 0.95
#: Largest error of the cost model against recorded CPU times of set-ups (`docs/hardware_validation.md`, handshake-cpu).
MODEL_ERROR = 0.15
#: The suites of the study's configuration.
IKE, ESP = "aes256-sha512-modp2048", "aes256-sha512"
#: Round-trip times of paths over the internet: one country, a continent, a satellite or another continent. [s]
RTTS_S = (0.02, 0.1, 0.3)
#: Lengths of inner packets whose outer length is compared. [bytes]
INNER_BYTES = (64, 576, 1400)
#: Whose IKEv2 and IKEv1 the table of protocols shows.
MAKER = "IOS XE"
LONGEST_RTT_S = 10.0
MS = 1e3


@dataclass(frozen=True, slots=True)
class Side:
    """One of two figures, with the 5 % and 95 % quantiles over the parameter sets where it leans on them."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the claim says of two figures: ``ours`` is ``less`` than, ``equal`` to or ``at least`` ``theirs``.

    ``share``: of the parameter sets in which that is so; ``share_worst``, ``share_best``: when the cost model errs
    against the claim, and for it. None for figures that do not depend on service times.
    """

    what: str
    unit: str
    sense: Sense
    ours: Side
    theirs: Side
    share: float | None = None
    share_worst: float | None = None
    share_best: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is so; None: the inputs do not decide."""
        if self.share_worst is None or self.share_best is None:
            return compare(self.ours.value, self.theirs.value, self.sense)
        if self.share_worst >= SURE:
            return True
        return False if self.share_best <= 1 - SURE else None


def compare(ours: float, theirs: float, sense: Sense) -> bool:
    """Return whether two numbers stand as a claim says."""
    if sense == "less":
        return ours < theirs
    return ours == theirs if sense == "equal" else ours >= theirs


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the study in our words, with its section, the experiment, and what either outcome means.

    ``measure`` None: no simulation can tell, for the reason ``undecidable``.
    """

    name: str
    section: str
    claim: str
    experiment: str
    measure: Callable[[Study], Measured] | None = None
    when_true: str = ""
    when_false: str = ""
    undecidable: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """The comparisons of a claim and what else there is to say of the figures."""

    comparisons: tuple[Comparison, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its figures."""

    claim: Claim
    measured: Measured

    @property
    def verdict(self) -> Verdict:
        """True when every comparison holds, false when one fails, else not decidable."""
        holds = [c.holds for c in self.measured.comparisons]
        if False in holds:
            return "false"
        return "true" if holds and all(holds) else "not decidable"

    @property
    def reason(self) -> str:
        """What the verdict rests on."""
        if self.claim.measure is None:
            return self.claim.undecidable
        failing = [c.what for c in self.measured.comparisons if c.holds is False]
        open_ones = [c.what for c in self.measured.comparisons if c.holds is None]
        match self.verdict:
            case "true":
                return self.claim.when_true
            case "false":
                return f"{self.claim.when_false} Fails for: {'; '.join(failing)}."
            case _:
                sure = [c.what for c in self.measured.comparisons if c.holds]
                held = f"Holds for: {'; '.join(sure)}. " if sure else ""
                return f"{held}The inputs do not decide: {'; '.join(open_ones)}."

    def to_json(self) -> dict[str, Any]:
        """Return the finding as one JSON object."""
        return {
            "name": self.claim.name,
            "section": self.claim.section,
            "claim": self.claim.claim,
            "experiment": self.claim.experiment,
            "verdict": self.verdict,
            "reason": self.reason,
            "note": self.measured.note,
            "comparisons": [
                {
                    "what": c.what,
                    "unit": c.unit,
                    "sense": c.sense,
                    "holds": c.holds,
                    "share": c.share,
                    "share_worst": c.share_worst,
                    "share_best": c.share_best,
                    **{key: _side(side) for key, side in (("ours", c.ours), ("theirs", c.theirs))},
                }
                for c in self.measured.comparisons
            ],
        }


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "value": side.value, "low": side.low, "high": side.high}


@dataclass
class Study:
    """The inputs of all experiments: two equal routers, a path, the suites; what was read stands in ``ledger``.

    ``services``: durations of operations for the profile's values, then for each parameter set.
    """

    hardware: HardwareProfile
    rtts_s: tuple[float, ...] = RTTS_S
    samples: int = 0
    seed: int = 1
    ike: str = IKE
    esp: str = ESP
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise InputError(f"found {self.samples}, 0 (no bands) or more parameter sets are needed", "--samples")
        if not self.rtts_s or not all(0 <= rtt_s <= LONGEST_RTT_S for rtt_s in self.rtts_s):
            raise InputError(f"round-trip times of 0 to {LONGEST_RTT_S:g} s are needed", "--rtt")
        if not self.hardware.ikev2.supported:
            raise InputError(f"{self.hardware.title} cannot run IKEv2: {self.hardware.ikev2.reason}", "--hardware")

    @cached_property
    def suites(self) -> baselines.Suites:
        """The suites of every set-up."""
        return baselines.Suites(parse_ike(self.ike, "--ike"), parse_esp(self.esp, "--esp"))

    @cached_property
    def services(self) -> list[Service]:
        """Durations of operations: the profile's own first."""
        own = CostModel(self.hardware, self.ledger)
        drawn = self.hardware.sample(self.samples, self.seed) if self.samples else []
        return [own.service_s, *(CostModel(one, Ledger()).service_s for one in drawn)]

    @cached_property
    def set_ups(self) -> dict[str, dict[str, Procedure]]:
        """Every set-up by maker and name."""
        found = {}
        for maker, second, first in baselines.IMPLEMENTATIONS:
            of_maker = [
                baselines.ikev2(self.suites, second, self.ledger),
                baselines.ikev1_set_up(self.suites, first, self.ledger, "main"),
                baselines.ikev1_set_up(self.suites, first, self.ledger, "aggressive"),
                baselines.l2tp(self.suites, first, self.ledger),
                tunnels.pptp(self.ledger),
                baselines.crypto_map(self.suites, second, self.ledger),
                Procedure("GRE", (), ()),
            ]
            found[maker] = {procedure.name: procedure for procedure in of_maker}
        return found

    def set_up(self, name: str, maker: str = MAKER) -> Procedure:
        """Return a set-up by its name."""
        return self.set_ups[maker][name]

    def numbers(self, of: Callable[[Service], float]) -> list[float]:
        """Return a figure for the profile's values and for each parameter set."""
        return [of(service_s) for service_s in self.services]

    def compared(
        self,
        what: str,
        unit: str,
        ours: tuple[str, Callable[[Service], float]],
        theirs: tuple[str, Callable[[Service], float]],
        *,
        scale: float = 1.0,
        sense: Sense = "less",
    ) -> Comparison:
        """Return a comparison of two times, made with the same parameter sets on both sides."""
        mine, other = ([scale * n for n in self.numbers(of)] for _, of in (ours, theirs))
        # Without parameter sets the profile's own values are the only one.
        drawn = slice(1, None) if self.samples else slice(None)

        def share(error: float) -> float:
            more, less = _scaled(1.0 + error), _scaled(1.0 - error)
            pairs = [(ours[1](more(s)), theirs[1](less(s))) for s in self.services[drawn]]
            return sum(compare(a, b, sense) for a, b in pairs) / len(pairs)

        sides = _with_band(ours[0], mine), _with_band(theirs[0], other)
        return Comparison(what, unit, sense, *sides, share(0.0), share(MODEL_ERROR), share(-MODEL_ERROR))


def _scaled(factor: float) -> Callable[[Service], Service]:
    return lambda service_s: lambda operations: factor * service_s(operations)


def _with_band(name: str, numbers: Sequence[float]) -> Side:
    if len(numbers) == 1:
        return Side(name, numbers[0])
    low, high = band(numbers[1:])
    return Side(name, numbers[0], low, high)


def judge(study: Study, claims: Sequence[Claim], progress: Callable[[], object] | None = None) -> list[Finding]:
    """Return every claim with its figures, measured now. ``progress`` is called after each."""
    findings = []
    for claim in claims:
        findings.append(Finding(claim, Measured(()) if claim.measure is None else claim.measure(study)))
        if progress is not None:
            progress()
    return findings


def protocol_rows(study: Study) -> list[dict[str, Any]]:
    """Return one row a protocol: messages, bytes, round trips, set-up times, CPU times, lengths of packets.

    ``setup``: by round-trip time, in seconds, with low and high over the parameter sets. ``packet_bytes``: outer length
    by inner length.
    """
    lengths = baselines.packet_bytes(study.suites)
    rows = []
    for name, procedure in study.set_ups[MAKER].items():
        setups = []
        for rtt_s in study.rtts_s:
            side = _with_band(name, study.numbers(lambda s, p=procedure, r=rtt_s: p.setup_s(r, s)))  # type: ignore[misc]
            setups.append({"rtt_s": rtt_s, "setup_s": side.value, "setup_low_s": side.low, "setup_high_s": side.high})
        cpu = {
            f"{end}_cpu_s": procedure.cpu_s(study.services[0], initiator=end == "initiator")
            for end in ("initiator", "responder")
        }
        rows.append(
            {
                "protocol": name,
                "implementation": MAKER if procedure.packets else "",
                "messages": procedure.messages,
                "layers": _layers(procedure),
                "ip_bytes": procedure.ip_bytes,
                "round_trips": procedure.round_trips(),
                "setup": setups,
                **cpu,
                "packet_bytes": {str(n): lengths[name](n) for n in INNER_BYTES},
            }
        )
    return rows


def _layers(procedure: Procedure) -> dict[str, dict[str, int]]:
    """Return messages and bytes of each layer, in the order in which they begin."""
    layers: dict[str, dict[str, int]] = {}
    for packet in procedure.packets:
        own = layers.setdefault(packet.layer, {"messages": 0, "ip_bytes": 0})
        own["messages"] += 1
        own["ip_bytes"] += packet.ip_bytes
    return layers


def crossing_rtt_s(ours: Procedure, theirs: Procedure, service_s: Service) -> float:
    """Return the round-trip time from which ``ours`` is ready first: 0 when always, infinite when never. [s]"""

    def lead_s(rtt_s: float) -> float:
        return theirs.setup_s(rtt_s, service_s) - ours.setup_s(rtt_s, service_s)

    low_s, high_s = 0.0, LONGEST_RTT_S
    if lead_s(low_s) > 0:
        return 0.0
    if lead_s(high_s) <= 0:
        return math.inf
    while high_s - low_s > 1e-6:
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (low_s, middle_s) if lead_s(middle_s) > 0 else (middle_s, high_s)
    return high_s


def result(study: Study, findings: Sequence[Finding], protocols: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return everything as one JSON object."""
    rows = study.ledger.rows()
    verdicts = [finding.verdict for finding in findings]
    return {
        "hardware": study.hardware.name,
        "ike": str(study.suites.ike),
        "esp": str(study.suites.esp),
        "rtts_s": list(study.rtts_s),
        "samples": study.samples,
        "seed": study.seed,
        "claims": [finding.to_json() for finding in findings],
        "protocols": list(protocols),
        "verdicts": {verdict: verdicts.count(verdict) for verdict in ("true", "false", "not decidable")},
        "values": rows,
        "assumed": [row for row in rows if row["kind"] == "assumed"],
    }
