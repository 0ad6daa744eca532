"""From measured primitives to a profile: where the fit begins, and the rows that it fits.

A time that has no law of size is a value or a ratio of its own. What was not measured keeps the base's ratio to what
was measured of the same algorithm: key generation and validation to the shared secret of the curve, a step of one
ML-KEM parameter set to the same step of another, an HMAC to its hash, one AES key length to another. FFDH and RSA
follow the power laws of `hardware.public_key`, ciphers and hashes a straight line over packet sizes.

RSA moduli with code of their own (AVX-512 IFMA makes 2048 bits twice as fast as the law) are told by the other moduli,
or by FFDH of 2048 bits: an RSA signature is two exponentiations of half the length. A single modulus without FFDH is
taken to follow the law.

What this leaves out: the difference between RFC 7919 and RFC 3526 groups of one size, encryption against decryption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...models import algorithms
from ...models.ikev2.operations import DhShared, KemStep, Operation, Sign, Verify
from ...models.values import Value
from ..calibration import DEFAULT_SD, Observation
from ..cost import CostModel
from ..profile import HardwareProfile, SignatureTimes
from ..public_key import modexp_s, rsa_s
from ..uncertainty import Q95
from .openssl_speed import Reading

#: Length of OpenSSL's private exponents in RFC 7919 groups (its appendix A; 2048 and 3072 bits checked). [bit]
EXPONENT_BITS = {"modp2048": 225, "modp3072": 275, "modp4096": 325, "modp6144": 375, "modp8192": 400}
#: How well a straight line over packet sizes, and the laws of FFDH and RSA, hold: relative standard deviations.
LINE_SD, FFDH_SD, RSA_SD = 0.06, 0.08, 0.05
#: Longer buffers are no packets; they count only where nothing shorter was measured. [bytes]
LONGEST_BYTES = 2048
#: Moduli between which one power law holds within 4 %; others count only where none of these was measured. [bit]
RSA_LAW_BITS = (2048, 4096)
#: A modulus that is faster than the law by more than this has code of its own.
OWN_CODE = 0.25
#: Growth with the modulus before several sizes tell it: value, 5 % and 95 % quantile. The middle of published CPUs,
#: from which none is further than 15 % (RSA, 2048 to 4096 bits) or 20 % (FFDH, 2048 to 8192 bits).
RSA_GROWTH = {"sign": (2.7, 2.5, 2.95), "verify": (1.82, 1.74, 1.93)}
FFDH_DRIFT = (0.25, 0.1, 0.37)
#: FFDH tells RSA within 16 % on three sources, and the other way round. Faster than this fraction of it, RSA-2048 has
#: code of its own.
RSA_BY_FFDH_SD = 0.1
FASTER_THAN_FFDH = 0.65
#: Least time a call or a byte where a line through the rows would give none. [ns]
LEAST_NS = {"call_ns": 0.5, "byte_ns": 0.005}


@dataclass(slots=True)
class Primitives:
    """What a file of primitives gives.

    ``profile``: the base with measured values to begin with; ``measured``: paths of values that are times of one row,
    not laws or ratios; ``notes``: what was decided, one sentence each.
    """

    profile: HardwareProfile
    observations: list[Observation] = field(default_factory=list)
    measured: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def from_readings(base: HardwareProfile, readings: Sequence[Reading], source: str) -> Primitives:
    """Return where to begin and what to fit, from readings of one machine.

    ``source``: id of the file or the measurement. Rows whose algorithm the base has no value for are left out with a
    note.
    """
    builder = _Builder(base, source)
    by_kind: dict[str, list[Reading]] = {}
    for reading in readings:
        by_kind.setdefault(reading.kind, []).append(reading)
    builder.elliptic_curves(by_kind.get("ecdh", []), by_kind.get("signature", []))
    builder.steps("mlkem", "parameters.mlkem.keygen768_us", "mlkem768", "keygen", by_kind.get("mlkem", []))
    builder.steps("mldsa", "parameters.mldsa.sign65_us", "mldsa65", "sign", by_kind.get("mldsa", []))
    builder.ffdh(by_kind.get("ffdh", []))
    builder.rsa(by_kind.get("rsa", []), by_kind.get("ffdh", []))
    builder.symmetric([r for r in readings if r.kind in ("cipher", "hmac", "hash")])
    return builder.done()


class _Builder:
    def __init__(self, base: HardwareProfile, source: str) -> None:
        self.base, self.source = base, source
        self.values = base.values()
        self.changes: dict[str, Value] = {}
        self.own_code: dict[str, tuple[float, float]] = {}
        self.observations: list[Observation] = []
        self.notes: list[str] = []

    def done(self) -> Primitives:
        profile = self.base
        if self.own_code:
            rsa = profile.parameters.rsa
            entries = {name: self._own_code(*times) for name, times in self.own_code.items()}
            rsa = rsa.model_copy(update={"own_code": rsa.own_code | entries})
            parameters = profile.parameters.model_copy(update={"rsa": rsa})
            profile = profile.model_copy(update={"parameters": parameters})
        single = ("p256_us", "keygen768_us", "sign65_us", "sign_us", "verify_us")
        paths = {path for observation in self.observations for path in observation.measures}
        measured = {path for path in paths if path.endswith(single)}
        return Primitives(profile.with_values(self.changes), self.observations, measured, self.notes)

    # -- curves and signatures ---------------------------------------------------------------------------------

    def elliptic_curves(self, shared: Sequence[Reading], signatures: Sequence[Reading]) -> None:
        """P-256 sets the speed, everything else is a ratio to it."""
        speed = "parameters.ecdh.p256_us"
        curves = {f"parameters.ecdh.ratios.{r.name}.shared": r for r in shared}
        signed = {f"parameters.signatures.{r.name}.{r.step}": r for r in signatures}
        times = {path: _mean(shared, curves[path]) for path in self._known(curves)}
        times |= {path: _mean(signatures, signed[path]) for path in self._known(signed)}
        if not times:
            return
        own = "parameters.ecdh.ratios.ecp256.shared"
        if own in times:
            p256_s = times[own]
        else:
            p256_s = self._factor(times, lambda path: self.values[path].value * self.values[speed].value * 1e-6)
            p256_s *= self.values[speed].value * 1e-6
            self.notes.append("P-256 was not measured: its speed follows the other curves and signatures")
        self._change(speed, p256_s * 1e6, exact=False)
        for path, time_s in times.items():
            ratio = time_s / p256_s
            factor = ratio / self.values[path].value if self.values[path].value else 0.0
            self._change(path, ratio, exact=path == own)
            if path in curves:
                start = path.removesuffix("shared")
                for step in ("keygen", "validate_peer"):
                    self._scale(f"{start}{step}", factor)
        for reading in (*shared, *signatures):
            path = next(p for p, r in (curves | signed).items() if (r.name, r.step) == (reading.name, reading.step))
            if path in times:
                self._observe(reading, _operation(reading), speed if path == own else path)

    # -- lattices ----------------------------------------------------------------------------------------------

    def steps(self, family: str, speed: str, reference: str, first: str, readings: Sequence[Reading]) -> None:
        """One step of one parameter set sets the speed; a step that was measured of some sets scales it in all."""
        paths = {f"parameters.{family}.ratios.{r.name}.{r.step}": r for r in readings}
        times = {path: _mean(readings, paths[path]) for path in self._known(paths)}
        if not times:
            return
        own = f"parameters.{family}.ratios.{reference}.{first}"
        base_s = self.values[speed].value * 1e-6
        if own in times:
            speed_s = times[own]
        else:
            speed_s = base_s * self._factor(times, lambda path: self.values[path].value * base_s)
        self._change(speed, speed_s * 1e6, exact=False)
        for path, time_s in times.items():
            self._change(path, time_s / speed_s, exact=path == own)
        for step in {path.rpartition(".")[2] for path in times}:
            measured = [path for path in times if path.endswith(f".{step}")]
            factor = _geometric_mean(self.changes[path].value / self.values[path].value for path in measured)
            start = f"parameters.{family}.ratios."
            for path in self.values:
                if path.startswith(start) and path.endswith(f".{step}") and path not in times and path != own:
                    self._scale(path, factor)
        for reading in readings:
            path = f"parameters.{family}.ratios.{reading.name}.{reading.step}"
            if path in times:
                self._observe(reading, _operation(reading), speed if path == own else path)

    # -- laws of size ------------------------------------------------------------------------------------------

    def ffdh(self, readings: Sequence[Reading]) -> None:
        """One exponentiation each, with OpenSSL's exponent lengths."""
        known = [r for r in readings if r.name in EXPONENT_BITS]
        if not known:
            return
        speed, drift = "parameters.modexp.k_fs", "parameters.modexp.drift"
        growth = self._usual(drift, FFDH_DRIFT, {r.name for r in known})
        ks = [r.time_s / modexp_s(1.0, EXPONENT_BITS[r.name], _bits(r), growth) for r in known]
        self._change(speed, _geometric_mean(ks) * 1e15, exact=False)
        for reading in known:

            def predict(cost: CostModel, reading: Reading = reading) -> float:
                modexp = cost.profile.parameters.modexp
                exponent = EXPONENT_BITS[reading.name]
                return modexp_s(modexp.k_fs.value * 1e-9, exponent, _bits(reading), modexp.drift.value)

            self._observe(reading, predict, speed, sd=FFDH_SD)
        bits = ", ".join(sorted({f"{EXPONENT_BITS[r.name]}" for r in known}))
        self.notes.append(
            f"FFDH rows were made with OpenSSL's exponents ({bits} bits); the lengths that {self.base.name} uses are "
            "not told by them and stay"
        )

    def rsa(self, readings: Sequence[Reading], ffdh: Sequence[Reading]) -> None:
        """A power law, and moduli with code of their own."""
        low, high = RSA_LAW_BITS
        inside = [r for r in readings if low <= _bits(r) <= high]
        used = inside or list(readings)
        if not used:
            return
        if len(used) < len(readings):
            self.notes.append(f"RSA of less than {low} or more than {high} bits was left out: another power law")
        special = _own_code_bits(used)
        implied_s = _rsa2048_by_ffdh(ffdh)
        signs = {_bits(r): _mean(used, r) for r in used if r.step == "sign"}
        if not special and set(signs) == {2048} and implied_s and signs[2048] < FASTER_THAN_FFDH * implied_s:
            special = {2048}
            self._change("parameters.rsa.sign2048_us", implied_s * 1e6, exact=False, sd=RSA_BY_FFDH_SD)
            self.notes.append("RSA-2048 has code of its own here; its law is told by FFDH of 2048 bits (within 16 %)")
        for bits in special:
            self.notes.append(f"rsa{bits} is faster than the law by more than {OWN_CODE:.0%}: it gets times of its own")
        new: dict[str, float] = {}
        for step in ("sign", "verify"):
            rows = [r for r in used if r.step == step and not (step == "sign" and _bits(r) in special)]
            new[step] = self._rsa_law(step, rows)
        self._own_codes(used, special, new)
        if not ffdh and "parameters.rsa.sign2048_us" in self.changes:
            k_s = 4.0 * self.changes["parameters.rsa.sign2048_us"].value * 1e-6 / 2048.0**3
            self._change("parameters.modexp.k_fs", k_s * 1e15, exact=False, sd=RSA_BY_FFDH_SD)
            self.notes.append(
                "FFDH was not measured: its speed is told by RSA (two exponentiations of half the length)"
            )

    def _rsa_law(self, step: str, rows: Sequence[Reading]) -> float:
        """Observe the rows of the law; return the factor by which its time at 2048 bits changes."""
        speed, growth = f"parameters.rsa.{step}2048_us", f"parameters.rsa.{step}_exponent"
        if not rows:
            return self.changes[speed].value / self.values[speed].value if speed in self.changes else 1.0
        exponent = self._usual(growth, RSA_GROWTH[step], {r.name for r in rows})
        at_2048_s = _geometric_mean(r.time_s / rsa_s(1.0, _bits(r), exponent) for r in rows)
        self._change(speed, at_2048_s * 1e6, exact=False)
        for reading in rows:

            def predict(cost: CostModel, reading: Reading = reading) -> float:
                rsa = cost.profile.parameters.rsa
                at_2048_us: Value = getattr(rsa, f"{reading.step}2048_us")
                power: Value = getattr(rsa, f"{reading.step}_exponent")
                return rsa_s(at_2048_us.value, _bits(reading), power.value)

            self._observe(reading, predict, speed, sd=RSA_SD)
        return at_2048_s * 1e6 / self.values[speed].value

    def _own_codes(self, used: Sequence[Reading], special: set[int], law: dict[str, float]) -> None:
        """Give times of their own to special moduli; those of the base follow the law, or are measured."""
        known = {f"rsa{bits}" for bits in special} & set(algorithms.SIGNATURES)
        for name in sorted(known | set(self.base.parameters.rsa.own_code)):
            mine = {r.step: _mean(used, r) for r in used if r.name == name}
            old = self.base.parameters.rsa.own_code.get(name)
            times = []
            for step in ("sign", "verify"):
                if step in mine:
                    times.append(mine[step] * 1e6)
                elif old is not None:
                    before: Value = getattr(old, f"{step}_us")
                    times.append(before.value * law[step])
                else:
                    speed, growth = f"parameters.rsa.{step}2048_us", f"parameters.rsa.{step}_exponent"
                    at_2048 = self.changes.get(speed, self.values[speed]).value
                    times.append(rsa_s(at_2048, int(name[3:]), self.values[growth].value))
            self.own_code[name] = (times[0], times[1])
            for reading in used:
                if reading.name == name and int(name[3:]) in special and reading.step == "sign":
                    self._observe(reading, _operation(reading), f"parameters.rsa.own_code.{name}.sign_us")

    # -- ciphers and hashes ------------------------------------------------------------------------------------

    def symmetric(self, readings: Sequence[Reading]) -> None:
        """A straight line for each; relatives that were not measured go along."""
        sections = {"cipher": "ciphers", "hmac": "hmacs", "hash": "hashes"}
        lines: dict[str, list[Reading]] = {}
        for reading in readings:
            lines.setdefault(f"parameters.symmetric.{sections[reading.kind]}.{reading.name}", []).append(reading)
        moved: dict[str, dict[str, float]] = {}
        for path, rows in lines.items():
            if f"{path}.call_ns" not in self.values:
                self.notes.append(f"{rows[0].label}: {self.base.name} has no value for it")
                continue
            short = [r for r in rows if r.n_bytes <= LONGEST_BYTES]
            moved[path] = self._line(path, short or rows)
        for path, factors in _relatives(moved, self.values):
            for name, factor in factors.items():
                self._scale(f"{path}.{name}", factor)

    def _line(self, path: str, rows: Sequence[Reading]) -> dict[str, float]:
        call, byte = f"{path}.call_ns", f"{path}.byte_ns"
        sizes, times_ns = np.array([r.n_bytes for r in rows]), np.array([r.time_s * 1e9 for r in rows])
        if len(set(sizes.tolist())) > 1:
            (a, b), *_ = np.linalg.lstsq(np.stack([1 / times_ns, sizes / times_ns], axis=1), np.ones(len(rows)))
            a, b = max(float(a), LEAST_NS["call_ns"]), max(float(b), LEAST_NS["byte_ns"])
            measures = (call, byte)
        else:
            # One size cannot tell the two apart: both change alike.
            before_ns = self.values[call].value + self.values[byte].value * sizes[0]
            factor = _geometric_mean(times_ns.tolist()) / before_ns
            a, b = self.values[call].value * factor, self.values[byte].value * factor
            measures = (byte, byte) if self.values[byte].value * sizes[0] > self.values[call].value else (call, call)
        self._change(call, a, exact=False)
        self._change(byte, b, exact=False)
        for reading in rows:

            def predict(cost: CostModel, reading: Reading = reading) -> float:
                section = getattr(cost.profile.parameters.symmetric, path.split(".")[2])
                line = section[reading.name]
                return float(line.call_ns.value + line.byte_ns.value * reading.n_bytes) * 1e-3

            self._observe(reading, predict, *dict.fromkeys(measures), sd=LINE_SD)
        return {"call_ns": a / self.values[call].value, "byte_ns": b / self.values[byte].value}

    # -- what all share ----------------------------------------------------------------------------------------

    def _known(self, paths: Iterable[str]) -> list[str]:
        known = []
        for path in paths:
            if path in self.values:
                known.append(path)
            else:
                self.notes.append(f"{self.base.name} has no value for {path}")
        return known

    def _factor(self, times_s: dict[str, float], before_s: Callable[[str], float]) -> float:
        return _geometric_mean(time_s / before_s(path) for path, time_s in times_s.items() if before_s(path) > 0.0)

    def _change(self, path: str, number: float, *, exact: bool, sd: float = DEFAULT_SD) -> None:
        ends = (1.0, 1.0) if exact else (math.exp(-Q95 * sd), math.exp(Q95 * sd))
        self.changes[path] = Value(
            value=number,
            unit=self.values[path].unit,
            kind="derived",
            source=self.source,
            range=(number * ends[0], number * ends[1]),
            note="the unit of the others" if exact else "",
        )

    def _usual(self, path: str, growth: tuple[float, float, float], sizes: set[str]) -> float:
        """Begin with the growth of published CPUs, because the base is another machine; one size does not move it."""
        number, low, high = growth
        note = "the middle of published CPUs"
        self.changes[path] = Value(value=number, kind="assumed", source=self.source, range=(low, high), note=note)
        if len(sizes) == 1:
            self.notes.append(f"one size tells no growth: {path.removeprefix('parameters.')} is {number:g}, {note}")
        return number

    def _scale(self, path: str, factor: float) -> None:
        """Let a value that was not measured follow one that was, with its own uncertainty."""
        before = self.values.get(path)
        if before is None or factor <= 0.0:
            return
        self.changes[path] = Value(
            value=before.value * factor,
            unit=before.unit,
            kind="assumed" if before.kind == "assumed" else "derived",
            source=self.source,
            range=None if before.range is None else (before.range[0] * factor, before.range[1] * factor),
            sd=None if before.sd is None else before.sd * factor,
            note=f"not measured: {before.value:g} of {self.base.name} times {factor:.3g}, as its relative that was",
        )

    def _observe(
        self, reading: Reading, predict_us: Callable[[CostModel], float], *measures: str, sd: float = DEFAULT_SD
    ) -> None:
        self.observations.append(
            Observation(reading.label, reading.time_s * 1e6, "us", predict_us, sd, reading.where, measures)
        )

    def _own_code(self, sign_us: float, verify_us: float) -> SignatureTimes:
        def value(number: float) -> Value:
            ends = (number * math.exp(-Q95 * DEFAULT_SD), number * math.exp(Q95 * DEFAULT_SD))
            return Value(value=number, unit="us", kind="derived", source=self.source, range=ends)

        return SignatureTimes(sign_us=value(sign_us), verify_us=value(verify_us))


def _operation(reading: Reading) -> Callable[[CostModel], float]:
    """Return the prediction of one operation of the cost model. [us]"""
    operation: Operation
    if reading.kind == "ecdh":
        number = next(n for n, group in algorithms.GROUPS.items() if group.name == reading.name)
        operation = DhShared(number)
    elif reading.kind == "mlkem":
        steps: dict[str, KemStep] = {}
        for step in ("keygen", "encapsulate", "decapsulate"):
            steps[step] = KemStep(reading.name, step)
        operation = steps[reading.step]
    else:
        operation = Sign(reading.name) if reading.step == "sign" else Verify(reading.name)
    return lambda cost: cost.operation_s(operation) * 1e6


def _own_code_bits(readings: Sequence[Reading]) -> set[int]:
    """Return the modulus that signs faster than the power law of the others by more than `OWN_CODE`, if there is one.

    Each is left out in turn; the law of the others has the usual growth, moved by them as far as they tell it.
    """
    times = {_bits(r): _mean(readings, r) for r in readings if r.step == "sign"}
    found: dict[int, float] = {}
    for bits in times:
        others = [b for b in times if b != bits]
        if not others:
            continue
        growth, low, high = RSA_GROWTH["sign"]
        growth_sd = (high - low) / (2.0 * Q95)
        # Two unknowns, the level and the growth: normal equations with the growth's prior.
        rows = [[1.0 / RSA_SD, math.log(b / 2048) / RSA_SD] for b in others] + [[0.0, 1.0 / growth_sd]]
        right = [math.log(times[b]) / RSA_SD for b in others] + [growth / growth_sd]
        (level, power), *_ = np.linalg.lstsq(np.array(rows), np.array(right))
        misfit = float(np.sum((np.array(rows) @ [level, power] - right) ** 2))
        expected = math.exp(float(level) + float(power) * math.log(bits / 2048))
        if times[bits] < expected * (1.0 - OWN_CODE):
            found[bits] = misfit
    return {min(found, key=lambda bits: found[bits])} if found else set()


def _rsa2048_by_ffdh(ffdh: Sequence[Reading]) -> float | None:
    """Return the time of an RSA-2048 signature that FFDH of 2048 bits tells, n / (4 e) of it; None without. [s]"""
    times = [r.time_s for r in ffdh if r.name == "modp2048"]
    return _geometric_mean(times) * 2048 / (4 * EXPONENT_BITS["modp2048"]) if times else None


def _relatives(moved: dict[str, dict[str, float]], values: dict[str, Value]) -> list[tuple[str, dict[str, float]]]:
    """Return the lines that were not measured but follow one that was, with the factors of both coefficients."""
    found = []
    lines = sorted({path.rpartition(".")[0] for path in values if path.startswith("parameters.symmetric.")})
    for path in lines:
        if path in moved:
            continue
        section, name = path.split(".")[2:4]
        for family in _families(section, name):
            factors = [moved[p] for p in moved if tuple(p.split(".")[2:4]) in family]
            if factors:
                mean = {key: _geometric_mean(f[key] for f in factors) for key in ("call_ns", "byte_ns")}
                found.append((path, mean))
                break
    return found


def _families(section: str, name: str) -> list[set[tuple[str, str]]]:
    """Return the lines that one follows, the nearest relatives first."""
    same = {"sha384", "sha512"} if name in ("sha384", "sha512") else {name}
    if section == "ciphers":
        mode, _, bits = name.rpartition("-")
        return [{(section, f"{mode}-{b}") for b in (128, 192, 256)}] if bits.isdigit() and "gmac" not in name else []
    other = "hashes" if section == "hmacs" else "hmacs"
    return [{(section, n) for n in same}, {(other, n) for n in same}]


def _bits(reading: Reading) -> int:
    return int(reading.name.removeprefix("rsa").removeprefix("modp"))


def _mean(readings: Sequence[Reading], like: Reading) -> float:
    """Return the mean time of all readings of one operation. [s]"""
    return _geometric_mean(r.time_s for r in readings if (r.name, r.step) == (like.name, like.step))


def _geometric_mean(numbers: Iterable[float]) -> float:
    logs = [math.log(number) for number in numbers]
    return math.exp(sum(logs) / len(logs))
