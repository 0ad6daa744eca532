"""What a profile's types cannot say: the unit of each number and the names of the algorithms that have a cost.

What this leaves out: algorithms without a cost. A profile need not price what nobody uses; the cost model refuses the
first use of one, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..models import algorithms
from ..models.errors import InputError, unknown_name
from ..models.yaml_input import place
from .profile import HardwareProfile, located
from .stand_ins import CIPHER_MACS

#: Unit of a number by the end of its field's name; what is not here is a ratio and has none.
_UNITS = {
    "_fs": "fs",
    "_ns": "ns",
    "_us": "us",
    "_bps": "bit/s",
    "_bps_per_direction": "bit/s",
    "_bytes": "bytes",
    "_packets": "packets",
    "_cores": "cores",
    "tunnels": "tunnels",
    "in_negotiation": "SAs",
}
#: Unit of every number below one of these keys, whose names are not fields.
_UNITS_BELOW = {"licences": "bit/s", "exponent_bits": "bit"}


def expected_unit(location: tuple[str, ...]) -> str:
    """Return the unit of the number at this key path; empty for a ratio.

    >>> expected_unit(("parameters", "control", "message_us"))
    'us'
    """
    below = next((unit for key, unit in _UNITS_BELOW.items() if key in location[:-1]), None)
    return below or next((unit for ending, unit in _UNITS.items() if location[-1].endswith(ending)), "")


def check_units(profile: HardwareProfile, path: Path) -> None:
    """Raise InputError with file and line for the first number of another unit than its field's name says."""
    for location, value in located(profile):
        unit = expected_unit(location)
        if value.unit != unit:
            found = f"found '{value.unit}'" if value.unit else "has none"
            needed = f"'{unit}' is needed" if unit else "a number without unit is needed"
            raise InputError(f"{'.'.join(location)}.unit: {found}, {needed}", place(path, (*location, "unit")))


def check_algorithms(profile: HardwareProfile, path: Path) -> None:
    """Raise InputError with file, line and the nearest valid name for the first algorithm that there is not."""
    for location, (kind, found, allowed) in _algorithms(profile).items():
        for name in found:
            if name not in allowed:
                raise unknown_name(kind, name, allowed, place(path, (*location, name)))


def _algorithms(profile: HardwareProfile) -> dict[tuple[str, ...], tuple[str, Mapping[str, object], set[str]]]:
    """Return what kind of algorithm is priced at each key path, what is there, and what may be."""
    p = profile.parameters
    ciphers = set(algorithms.ENCRYPTIONS) - {"null"}
    hashes = {a.hash for a in algorithms.PRFS.values()} | {a.hash for a in algorithms.INTEGRITIES.values()}
    hashes -= set(CIPHER_MACS)
    modp = {g.name for g in algorithms.GROUPS.values() if g.kind == "modp"}
    curves = {g.name for g in algorithms.GROUPS.values() if g.kind != "modp"}
    priced: dict[tuple[str, ...], tuple[str, Mapping[str, object], set[str]]] = {
        ("modexp", "exponent_bits"): ("MODP group", p.modexp.exponent_bits, modp),
        ("ecdh", "ratios"): ("curve", p.ecdh.ratios, curves),
        ("rsa", "own_code"): ("RSA key", p.rsa.own_code, _signatures("rsa")),
        ("signatures",): ("signature algorithm", p.signatures, _signatures("ecdsa", "eddsa")),
        ("mlkem", "ratios"): ("key encapsulation", p.mlkem.ratios, set(algorithms.KEMS)),
        ("mldsa", "ratios"): ("signature algorithm", p.mldsa.ratios, _signatures("mldsa")),
        ("symmetric", "ciphers"): ("encryption algorithm", p.symmetric.ciphers, ciphers),
        ("symmetric", "hmacs"): ("hash function", p.symmetric.hmacs, hashes),
        ("symmetric", "hashes"): ("hash function", p.symmetric.hashes, hashes),
    }
    if p.engine is not None:
        priced["engine", "ciphers"] = ("encryption algorithm", p.engine.ciphers, ciphers)
    return {("parameters", *location): entry for location, entry in priced.items()}


def _signatures(*kinds: str) -> set[str]:
    return {s.name for s in algorithms.SIGNATURES.values() if s.kind in kinds}
