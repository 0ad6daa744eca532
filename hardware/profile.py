"""Hardware profiles: what one router model is made of and how fast, every number with kind, source and range.

A profile is one YAML file; its keys are the fields below. Field names end in their unit. `load_profile` refuses a file
whose values name an unknown source, and everything that pydantic refuses, with file and line.

What this leaves out: correlations between values, crypto accelerators with a queue of their own, memory, line cards,
power. A profile describes one chassis; two of them do not share anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..models.errors import InputError, unknown_name
from ..models.values import RECOLLECTION, Value
from ..models.yaml_input import load_yaml, place, read_yaml, validate


def _not_negative(value: Value) -> Value:
    lowest = value.value if value.range is None else value.range[0]
    if not (math.isfinite(value.value) and lowest >= 0):
        raise ValueError(f"must be a finite number and not negative, found {lowest:g}")
    return value


def _whole(value: Value) -> Value:
    if value.value != int(value.value):
        raise ValueError(f"must be a whole number, found {value.value:g}")
    return value


Amount = Annotated[Value, AfterValidator(_not_negative)]
Count = Annotated[Value, AfterValidator(_not_negative), AfterValidator(_whole)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where a number comes from. ``address`` is missing where only a document number or our own work can be named."""

    title: str
    address: str | None = None
    date: str
    conditions: str


class _SourceFile(_Strict):
    sources: dict[str, Source]


class Ikev2Support(_Strict):
    """Whether the model runs IKEv2 at all, and why not."""

    supported: bool
    reason: str = ""

    @model_validator(mode="after")
    def _refusal_has_a_reason(self) -> Self:
        if not self.supported and not self.reason:
            raise ValueError("a model without IKEv2 needs a reason")
        return self


class Architecture(_Strict):
    """Which cores do what. ``io_crypto``: ESP runs on an I/O-and-crypto core of its own, or on the packet cores."""

    control_cores: Count
    packet_cores: Count
    crypto_cores: Count
    io_crypto: Literal["own-core", "packet-cores"]

    @model_validator(mode="after")
    def _core_counts_fit(self) -> Self:
        if (self.crypto_cores.value > 0) != (self.io_crypto == "own-core"):
            raise ValueError("crypto_cores must be at least 1 with io_crypto 'own-core' and 0 with 'packet-cores'")
        if min(self.control_cores.value, self.packet_cores.value) < 1:
            raise ValueError("control_cores and packet_cores must be at least 1")
        return self


class Shaper(_Strict):
    """The licence's token bucket at the egress of encrypted traffic."""

    burst_bytes: Amount
    buffer_packets: Count


class Buffers(_Strict):
    """Waiting places in front of the cores."""

    packet_core_packets: Count
    crypto_packets: Count


class Limits(_Strict):
    """What a box without an export (HSEC) licence may encrypt; missing: no such limit."""

    crypto_bps_per_direction: Amount | None = None
    tunnels: Count | None = None


class Modexp(_Strict):
    """Modular exponentiation, ``k * e * n^2 * (2048 / n)^drift``, and how the implementation uses it.

    ``exponent_bits`` holds the private exponent's length by group. ``validation_factor`` is the cost of checking the
    peer's value relative to one exponentiation as long as the group's order: 1 for a full check, 0 for a range check.
    """

    k_fs: Amount = Field(description="fs per exponent bit and squared modulus bit, at 2048 bits")
    drift: Amount
    validation_factor: Amount
    exponent_bits: dict[str, Amount]


class CurveSteps(_Strict):
    """Cost of the three steps of an ECDH exchange relative to a P-256 shared secret in assembly code."""

    keygen: Amount
    validate_peer: Amount
    shared: Amount


class Ecdh(_Strict):
    """Elliptic curves: one speed, then a ratio a curve, because curves have implementation classes and no size law."""

    p256_us: Amount = Field(description="one P-256 shared secret with assembly code")
    ratios: dict[str, CurveSteps]


class Linear(_Strict):
    """A fixed time a call and a time a byte."""

    call_ns: Amount
    byte_ns: Amount


class Symmetric(_Strict):
    """Ciphers by the name of the transform, HMAC and plain hashes by the name of the hash function."""

    ciphers: dict[str, Linear]
    hmacs: dict[str, Linear]
    hashes: dict[str, Linear]


class Control(_Strict):
    """What IKE costs beside cryptography."""

    message_us: Amount = Field(description="receive or send one message: parse, look up, build, schedule")
    install_sa_us: Amount = Field(description="install one pair of ESP SAs and bring the interface up")


class Forwarding(_Strict):
    """What a packet costs beside cryptography."""

    packet_us: Amount = Field(description="features, lookup and encapsulation on a packet core")
    byte_ns: Amount
    io_us: Amount = Field(description="receive, hand over and send one ESP packet, on the core that does crypto")


class Parameters(_Strict):
    """Speeds: what calibration fits."""

    modexp: Modexp
    ecdh: Ecdh
    symmetric: Symmetric
    control: Control
    forwarding: Forwarding


class HardwareProfile(_Strict):
    """One router model. ``licences``: throughput [bit/s] by level, null for an unthrottled one."""

    name: str
    title: str
    family: str = ""
    note: str = ""
    ikev2: Ikev2Support
    architecture: Architecture
    licences: dict[str, Amount | None]
    default_licence: str
    shaper: Shaper | None = None
    buffers: Buffers
    limits: Limits = Limits()
    parameters: Parameters

    @model_validator(mode="after")
    def _licences_fit(self) -> Self:
        if self.default_licence not in self.licences:
            raise ValueError(f"default_licence '{self.default_licence}' is not one of {', '.join(self.licences)}")
        if self.shaper is None and any(rate is not None for rate in self.licences.values()):
            raise ValueError("a licence with a rate needs a shaper")
        return self

    def values(self) -> dict[str, Value]:
        """Return every sourced number by its dotted path, for instance ``parameters.modexp.k_fs``."""
        return {".".join(location): value for location, value in _values(self, ())}

    @property
    def digest(self) -> str:
        """The profile's content as a hash, for manifests; it changes with any number, source or note."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return blake2b(content.encode(), digest_size=16).hexdigest()


def _values(node: object, location: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Value]]:
    if isinstance(node, Value):
        yield location, node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from _values(getattr(node, name), (*location, name))
    elif isinstance(node, dict):
        for name, inner in node.items():
            yield from _values(inner, (*location, name))


def load_sources(folder: Path | None = None) -> dict[str, Source]:
    """Return the shipped sources by id, and those of a ``sources.yaml`` in ``folder`` when there is one."""
    sources = dict(read_yaml(Path(str(files(__package__) / "sources.yaml")), _SourceFile).sources)
    if folder is not None and (folder / "sources.yaml").is_file():
        sources |= read_yaml(folder / "sources.yaml", _SourceFile).sources
    return sources


def _profile_files(search: Sequence[Path]) -> dict[str, Path]:
    """Return the YAML file of every profile name; earlier folders win, shipped profiles come last."""
    shipped = Path(str(files(__package__) / "profiles"))
    found: dict[str, Path] = {}
    for folder in (*search, shipped):
        if not folder.is_dir():
            raise InputError("no such folder with hardware profiles", str(folder))
        for path in sorted(folder.glob("*.yaml")):
            if path.name != "sources.yaml":
                found.setdefault(path.stem, path)
    return found


def profile_names(search: Sequence[Path] = ()) -> list[str]:
    """Return the names of all profiles in the folders of ``search`` and of those that are shipped, sorted."""
    return sorted(_profile_files(search))


def load_profile(name: str, search: Sequence[Path] = ()) -> HardwareProfile:
    """Return the profile of this name; a name that ends in ``.yaml`` is the path of a file.

    Raises InputError with the nearest valid name, or with the file and line of a fault.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        known = _profile_files(search)
        if name not in known:
            raise unknown_name("hardware profile", name, known)
        path = known[name]
    document, chain = _merged(path, search, ())
    profile = validate(document, HardwareProfile, path)
    _check_sources(profile, chain)
    return profile


def _merged(path: Path, search: Sequence[Path], children: tuple[Path, ...]) -> tuple[Any, tuple[Path, ...]]:
    """Return the document of ``path`` over those that it extends, and all their files, the given one first."""
    document = load_yaml(path)
    if not isinstance(document, dict) or "extends" not in document:
        return document, (path,)
    where = place(path, ("extends",))
    base = document.pop("extends")
    known = _profile_files(search)
    if not isinstance(base, str) or base not in known:
        raise unknown_name("hardware profile", str(base), known, where)
    line = (*children, path)
    if known[base].resolve() in {child.resolve() for child in line}:
        raise InputError(f"extends: '{base}' extends itself", where)
    below, chain = _merged(known[base], search, line)
    if not children and known[base] != path:
        # Faults of the base are told with the base's file and line; what is left is the child's.
        validate(below, HardwareProfile, known[base])
    return _over(below, document), (path, *chain)


def _over(below: Any, above: Any, key: str = "") -> Any:
    """Return ``above`` merged over ``below``; a value, and the whole set of licence levels, is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)) or key == "licences":
        return above
    if "kind" in above or "kind" in below:
        return above
    return below | {name: _over(below.get(name), inner, name) for name, inner in above.items()}


def _check_sources(profile: HardwareProfile, chain: Sequence[Path]) -> None:
    path = chain[0]
    sources: dict[str, Source] = {}
    for folder in dict.fromkeys(file.parent for file in reversed(chain)):
        sources |= load_sources(folder)
    for location, value in _values(profile, ()):
        if value.source == RECOLLECTION and value.kind != "assumed":
            message = f"{'.'.join(location)}: what is only remembered is assumed, not {value.kind}"
            raise InputError(message, place(path, (*location, "source")))
        if value.source != RECOLLECTION and value.source not in sources:
            where = place(path, (*location, "source"))
            raise unknown_name("source", value.source, [*sources, RECOLLECTION], where)
