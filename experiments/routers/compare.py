"""Routers side by side: what key exchanges, signatures, ciphers, IKEv2 set-ups and ESP packets cost on each.

Every figure is computed for the profile's values and, when asked, for parameter sets drawn from its ranges: ``low`` and
``high`` are the 5 % and 95 % quantiles over the draws. Set-ups come from two endpoints that talk in memory, packets
from the stations of a tunnel, so nothing here has formulas of its own.

What this leaves out: queues and chance (set-ups per second are cores over CPU time, a bound); both directions of a
tunnel at a time; traffic that takes time from the control plane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...hardware.cost import CostModel
from ...hardware.profile import HardwareProfile
from ...models import esp
from ...models.algorithms import GROUPS, KEMS, KeyExchange
from ...models.certificate_length import STRONGSWAN_FRAME, estimated_der_bytes
from ...models.errors import InputError
from ...models.ikev2 import work
from ...models.ikev2.identity import Identity
from ...models.ikev2.operations import CheckCertificate, Operation, Sign, Verify
from ...models.implementation import Implementation, load_implementation
from ...models.notation import parse_esp, parse_ike
from ...models.values import Ledger
from ...simulate.packet_path import LinkSpec, Policer, Shaper, saturation_pps
from ...simulate.tunnel_stations import tunnel_path
from ..exchange import implementation_for
from ..exchange_plan import End, Plan
from ..exchange_scenarios import SETUP, converse

AUTHENTICATIONS = (
    "psk",
    *("rsa2048", "rsa3072", "rsa4096", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"),
    *("mldsa44", "mldsa65", "mldsa87"),
)
#: Octets that AUTH covers (an IKE_SA_INIT message, a nonce, MACedID) and an ID payload, as in usual set-ups. [bytes]
SIGNED_BYTES, ID_BYTES = 500, 20
#: PRF of the authentications above.
PRF = "sha256"

#: Cipher suites of ESP: encryption, integrity.
SUITES = (
    ("aes-gcm-128", ""),
    ("aes-gcm-192", ""),
    ("aes-gcm-256", ""),
    ("chacha20poly1305", ""),
    ("aes-gmac-256", ""),
    ("aes-cbc-128", "sha1"),
    ("aes-cbc-128", "sha256"),
    ("aes-cbc-192", "sha256"),
    ("aes-cbc-256", "sha256"),
    ("aes-cbc-256", "sha384"),
    ("aes-cbc-256", "sha512"),
    ("3des", "sha1"),
    ("des", "md5"),
    ("null", "sha256"),
)
CIPHER_SIZES = (64, 576, 1400)
THROUGHPUT_SUITES = (("aes-gcm-256", ""), ("aes-cbc-256", "sha256"), ("aes-cbc-256", "sha512"), ("3des", "sha1"))
THROUGHPUT_SIZES = (64, 256, 576, 1024, 1400)

ESP = "aes256-sha256"
#: Authentication and IKE proposal of each set-up.
HANDSHAKES = (
    ("psk", "aes256-sha256-modp2048"),
    ("psk", "aes256-sha256-modp4096"),
    ("psk", "aes256-sha256-ecp256"),
    ("psk", "aes256-sha384-ecp384"),
    ("psk", "aes256-sha256-curve25519"),
    ("psk", "aes256-sha256-curve25519-ke1_mlkem768"),
    ("rsa2048", "aes256-sha256-modp2048"),
    ("rsa2048", "aes256-sha256-ecp256"),
    ("rsa4096", "aes256-sha384-ecp384"),
    ("ecdsa256", "aes256-sha256-ecp256"),
    ("ecdsa384", "aes256-sha384-ecp384"),
    ("ed25519", "aes256-sha256-curve25519"),
    ("mldsa65", "aes256-sha256-curve25519-ke1_mlkem768"),
)

#: Section, item of it (as method or suite and length), quantity with its unit.
Key = tuple[str, tuple[Any, ...], str]
Figures = dict[Key, float]


@dataclass(frozen=True, slots=True)
class Handshake:
    """Operations of both ends of a set-up, in any order."""

    initiator: tuple[Operation, ...]
    responder: tuple[Operation, ...]


def handshake(auth: str, ike: str, implementation: Implementation) -> Handshake:
    """Return what a set-up costs both ends: PSK, or certificates of one CA at both ends."""
    certificate_bytes = 0
    if auth != "psk":
        certificate_bytes = estimated_der_bytes(STRONGSWAN_FRAME.value, auth, auth)
    branch, hub = (
        End(Identity("fqdn", name), (parse_ike(ike),), (parse_esp(ESP),), implementation)
        for name in ("branch.example.org", "hub.example.org")
    )
    plan = Plan(branch, hub, auth, (certificate_bytes,) * 2, authorities=int(auth != "psk"))
    # Times decide the order alone, and a set-up has only one.
    talk = converse(plan, [SETUP], lambda _: 0.0)
    initiator, responder = (
        tuple(operation for turn in talk.turns for operation in turn.operations_of(initiator=end))
        for end in (True, False)
    )
    return Handshake(initiator, responder)


def key_exchanges() -> dict[str, Handshake]:
    """Return the operations of every key exchange method; both ends do the same but for key encapsulations."""
    methods: list[KeyExchange] = [*GROUPS.values(), *KEMS.values()]
    return {
        method.name: Handshake(
            (*work.additional_keygen(method), *work.additional_finish(method)), tuple(work.additional_answer(method))
        )
        for method in methods
    }


def authentication(name: str) -> dict[str, list[Operation]]:
    """Return the operations of an authentication: make the proof, check the peer's, check the certificate.

    The certificate is signed by a CA with a key of the same kind; an implementation may keep the result of that check.
    """
    if name == "psk":
        proof = list(work.psk_auth(PRF, SIGNED_BYTES, ID_BYTES))
        return {"sign_s": proof, "verify_s": proof, "certificate_s": []}
    digest = work.signed_digest(PRF, SIGNED_BYTES, ID_BYTES, name)
    return {
        "sign_s": [*digest, Sign(name)],
        "verify_s": [*digest, Verify(name)],
        "certificate_s": [CheckCertificate(), Verify(name)],
    }


def suite_name(encryption: str, integrity: str) -> str:
    """Return ``aes-cbc-256 sha256``, or the cipher alone for an AEAD cipher."""
    return f"{encryption} {integrity}".strip()


class _Priced:
    """Figures of one parameter set; what the profile has no value for is left out and noted by its message."""

    def __init__(self, profile: HardwareProfile, ledger: Ledger) -> None:
        self.cost = CostModel(profile, ledger)
        self.figures: Figures = {}
        self.missing: dict[str, None] = {}

    def add(self, section: str, item: tuple[Any, ...], quantities: Callable[[], Mapping[str, float]]) -> None:
        try:
            found = quantities()
        except InputError as error:
            self.missing[error.message] = None
            return
        self.figures |= {(section, item, quantity): number for quantity, number in found.items()}


def figures(
    profile: HardwareProfile, handshakes: Mapping[tuple[str, str], Handshake], ledger: Ledger
) -> tuple[Figures, list[str]]:
    """Return every figure of one parameter set and what it has no value for.

    Parameters
    ----------
    profile: the parameter set; its default licence counts.
    handshakes: by authentication and IKE proposal.
    ledger: where values that are read are noted.
    """
    priced = _Priced(profile, ledger)
    cost = priced.cost
    for name, ends in key_exchanges().items():
        priced.add("key_exchanges", (name,), partial(_both, cost, ends))
    for name in AUTHENTICATIONS:
        priced.add("authentications", (name,), partial(_authentication, cost, name))
    for suite in SUITES:
        for size in CIPHER_SIZES:
            item = (suite_name(*suite), size)
            priced.add("ciphers", item, partial(_cipher, cost, *suite, size))
    for pair, ends in handshakes.items():
        priced.add("handshakes", pair, partial(_handshake, cost, ends))
    for suite in THROUGHPUT_SUITES:
        for size in THROUGHPUT_SIZES:
            item = (suite_name(*suite), size)
            priced.add("throughput", item, partial(_throughput, cost, *suite, size))
    return priced.figures, list(priced.missing)


def _both(cost: CostModel, ends: Handshake) -> dict[str, float]:
    return {"initiator_s": cost.service_s(ends.initiator), "responder_s": cost.service_s(ends.responder)}


def _authentication(cost: CostModel, name: str) -> dict[str, float]:
    parts = {quantity: float(cost.service_s(ops)) for quantity, ops in authentication(name).items()}
    return {**parts, "total_s": sum(parts.values())}


def _cipher(cost: CostModel, encryption: str, integrity: str, size: int) -> dict[str, float]:
    length = esp.esp_packet_bytes(np.array([size]), encryption, integrity)
    return {"packet_s": float(cost.crypto_s(length, encryption, integrity)[0])}


def _handshake(cost: CostModel, ends: Handshake) -> dict[str, float]:
    priced = _both(cost, ends)
    return {
        "initiator_cpu_s": priced["initiator_s"],
        "responder_cpu_s": priced["responder_s"],
        "per_s": cost.control_cores / priced["responder_s"],
    }


def stations_bps(cost: CostModel, encryption: str, integrity: str, size: int) -> dict[str, dict[str, float]]:
    """Return what each station of a tunnel between two such routers carries of inner packets, by kind. [bit/s]

    Kinds: ``cores`` (packet cores, crypto cores or engine), ``licence`` (the shaper) and ``hsec`` (the limit without
    HSEC licence); the link is left out.
    """
    link = LinkSpec(math.inf, 0.0)
    # Without a name of its own a router's stations are called by their kind.
    path = tunnel_path(cost, cost, encryption=encryption, integrity=integrity, link=link, sender_name="")
    kinds = {s.name: "licence" if isinstance(s, Shaper) else "hsec" for s in path.stations if _is_limit(s)}
    found: dict[str, dict[str, float]] = {"cores": {}, "licence": {}, "hsec": {}}
    for name, pps in saturation_pps(path, size).items():
        if not name.startswith(("link", "receiver")):
            found[kinds.get(name, "cores")][name.strip()] = 8.0 * size * pps
    return found


def _is_limit(station: object) -> bool:
    return isinstance(station, Shaper | Policer)


def _throughput(cost: CostModel, encryption: str, integrity: str, size: int) -> dict[str, float]:
    stations = stations_bps(cost, encryption, integrity, size)
    least = {f"{kind}_bps": min(rates.values(), default=math.inf) for kind, rates in stations.items()}
    return {**least, "throughput_bps": min(least.values())}


def bottlenecks(profile: HardwareProfile) -> dict[tuple[str, int], tuple[str, str]]:
    """Return by suite and packet length the slowest cores, and what limits under the default licence without HSEC."""
    cost = CostModel(profile, Ledger())
    found = {}
    for suite in THROUGHPUT_SUITES:
        for size in THROUGHPUT_SIZES:
            try:
                stations = stations_bps(cost, *suite, size)
            except InputError:
                continue
            cores = stations["cores"]
            everything = {name: bps for rates in stations.values() for name, bps in rates.items()}
            found[(suite_name(*suite), size)] = (_least(cores), _least(everything))
    return found


def _least(rates: Mapping[str, float]) -> str:
    return min(rates, key=lambda name: rates[name])


#: Names of the parts of an item, by section.
ITEMS = {
    "key_exchanges": ("method",),
    "authentications": ("method",),
    "ciphers": ("suite", "packet_bytes"),
    "handshakes": ("auth", "ike"),
    "throughput": ("suite", "packet_bytes"),
}


def compare(
    profiles: Sequence[HardwareProfile],
    *,
    implementation: str | None = None,
    samples: int = 0,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Return the figures of all profiles as one JSON object.

    Parameters
    ----------
    profiles: routers, each with IKEv2.
    implementation: name or file of the IKEv2 implementation of all; None: `implementation_for` each.
    samples: parameter sets drawn of each profile for the bands; 0: none.
    seed: of the draws.
    progress: called with the fraction done.

    Each section (`ITEMS`) is a list of rows, one a profile and item: ``quantity``, and ``quantity_low`` and
    ``quantity_high`` before the unit, as ``responder_cpu_s``, ``responder_cpu_low_s``; null: unlimited, or without
    bands. An item for which a profile has no value has no row there and a line in ``missing``.
    Raises InputError for a router without IKEv2, the same router twice, an unknown implementation, negative samples.
    """
    _check(profiles, samples)
    behaviours = {profile.name: implementation or implementation_for(profile) for profile in profiles}
    by_behaviour = {name: _handshakes(name) for name in dict.fromkeys(behaviours.values())}
    result: dict[str, Any] = {
        "esp": ESP,
        "samples": samples,
        "seed": seed if samples else None,
        "profiles": [],
        **{section: [] for section in ITEMS},
        "values": [],
    }
    ledger = Ledger()
    done, steps = 0, len(profiles) * (samples + 1)
    for profile in profiles:
        handshakes = by_behaviour[behaviours[profile.name]]
        nominal, missing = figures(profile, handshakes, ledger)
        draws = []
        for one in profile.sample(samples, seed) if samples else []:
            draws.append(figures(one, handshakes, Ledger())[0])
            done += 1
            if progress is not None:
                progress(done / steps)
        result["profiles"].append({**_profile_row(profile, missing), "implementation": behaviours[profile.name]})
        _add_rows(result, profile, nominal, draws)
    result["values"] = ledger.rows()
    return result


def _handshakes(implementation: str) -> dict[tuple[str, str], Handshake]:
    behaviour = Implementation(load_implementation(implementation), Ledger())
    return {(auth, ike): handshake(auth, ike, behaviour) for auth, ike in HANDSHAKES}


def _check(profiles: Sequence[HardwareProfile], samples: int) -> None:
    if samples < 0:
        raise InputError(f"found {samples}, 0 (no bands) or more parameter sets are needed", "--samples")
    names = [profile.name for profile in profiles]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"hardware profile '{double}' is named twice")
    for profile in profiles:
        if not profile.ikev2.supported:
            raise InputError(f"{profile.title} cannot run IKEv2: {profile.ikev2.reason}", profile.name)


def _profile_row(profile: HardwareProfile, missing: list[str]) -> dict[str, Any]:
    values = list(profile.values().values())
    licence, hsec = profile.licences[profile.default_licence], profile.without_hsec
    return {
        "name": profile.name,
        "title": profile.title,
        "family": profile.family,
        "licence": profile.default_licence,
        "licence_bps": None if licence is None else licence.value,
        "without_hsec_bps": None if hsec is None else hsec.crypto_bps_per_direction.value,
        "control_cores": int(profile.architecture.control_cores.value),
        "assumed_share": sum(v.kind == "assumed" for v in values) / len(values),
        "missing": missing,
    }


def _add_rows(result: dict[str, Any], profile: HardwareProfile, nominal: Figures, draws: list[Figures]) -> None:
    limits = bottlenecks(profile)
    rows: dict[tuple[str, tuple[Any, ...]], dict[str, Any]] = {}
    for (section, item, quantity), number in nominal.items():
        row = rows.setdefault(
            (section, item), {"profile": profile.name, **dict(zip(ITEMS[section], item, strict=True))}
        )
        low, high = _band(draw[(section, item, quantity)] for draw in draws)
        stem, _, unit = quantity.rpartition("_")
        row |= {quantity: _finite(number), f"{stem}_low_{unit}": low, f"{stem}_high_{unit}": high}
    for (section, item), row in rows.items():
        if section == "throughput":
            row["cores_bottleneck"], row["bottleneck"] = limits[(item[0], item[1])]
        result[section].append(row)


def _band(numbers: Iterable[float]) -> tuple[float | None, float | None]:
    drawn = np.array(list(numbers))
    if not drawn.size:
        return None, None
    low, high = np.quantile(drawn, (0.05, 0.95), method="inverted_cdf")
    return _finite(float(low)), _finite(float(high))


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
