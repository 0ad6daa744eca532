"""Hardware profiles: what one router model is made of and how fast, every number with kind, source and range.

A profile is one YAML file; its keys are the fields below. Field names end in their unit. `profile_files` finds, merges
and checks the files.

What this leaves out: line cards, power, several crypto engines of different kinds. A profile describes one chassis; two
of them do not share anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..models.values import Kind, Value


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


class SourceFile(_Strict):
    """Content of a ``sources.yaml``."""

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
    """Which cores do what.

    ``io_crypto``: ESP runs on an I/O-and-crypto core of its own, on the packet cores, or on an offload engine with
    ``crypto_cores`` parallel lanes.
    """

    control_cores: Count
    packet_cores: Count
    crypto_cores: Count
    io_crypto: Literal["own-core", "packet-cores", "engine"]

    @model_validator(mode="after")
    def _core_counts_fit(self) -> Self:
        if (self.crypto_cores.value > 0) != (self.io_crypto != "packet-cores"):
            raise ValueError(
                "crypto_cores must be at least 1 with io_crypto 'own-core' or 'engine' and 0 with 'packet-cores'"
            )
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


class WithoutHsec(_Strict):
    """What a box may encrypt without the export licence (HSECK9); a profile that lacks this needs no such licence."""

    crypto_bps_per_direction: Amount = Field(description="encrypted, and again decrypted; the excess is dropped")
    burst_bytes: Amount | None = Field(
        default=None, description="what may pass at once after a silence; missing: the burst of the licence's shaper"
    )
    tunnels: Count


class Limits(_Strict):
    """What the platform holds; missing: no limit is known."""

    tunnels: Count | None = Field(default=None, description="IPsec tunnels at a time")
    in_negotiation: Count | None = Field(default=None, description="IKE SAs in negotiation, of peers that began")
    memory_bytes: Amount | None = Field(default=None, description="memory of the control plane")
    session_bytes: Amount | None = Field(default=None, description="memory of one tunnel in the control plane")


class Modexp(_Strict):
    """Modular exponentiation, ``k * e * n^2 * (2048 / n)^drift``, and how the implementation uses it.

    ``exponent_bits`` holds the private exponent's length by group. ``validation_factor`` is the cost of checking the
    peer's value relative to one exponentiation as long as the group's order: 1 for a full check, 0 for a range check;
    it grows with a drift of its own where that is known, because exponents that are no secret allow other code.
    """

    k_fs: Amount = Field(description="fs per exponent bit and squared modulus bit, at 2048 bits")
    drift: Amount
    validation_factor: Amount
    validation_drift: Amount | None = None
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


class SignatureSteps(_Strict):
    """Cost of a signature relative to a P-256 shared secret in assembly code."""

    sign: Amount
    verify: Amount


class SignatureTimes(_Strict):
    """Cost of a signature whose size has code of its own, outside the power law."""

    sign_us: Amount
    verify_us: Amount


class Rsa(_Strict):
    """RSA: ``t(n) = t(2048) * (n / 2048)^exponent``; moduli in ``own_code`` (as ``rsa2048``) have their own times."""

    sign2048_us: Amount
    sign_exponent: Amount
    verify2048_us: Amount
    verify_exponent: Amount
    own_code: dict[str, SignatureTimes] = {}


class KemSteps(_Strict):
    """Cost of the steps of a key encapsulation relative to key generation of ML-KEM-768."""

    keygen: Amount
    encapsulate: Amount
    decapsulate: Amount


class MlKem(_Strict):
    """ML-KEM (FIPS 203): one speed, then a ratio a parameter set and step."""

    keygen768_us: Amount
    ratios: dict[str, KemSteps]


class MlDsaSteps(_Strict):
    """Cost of an ML-DSA signature relative to signing with ML-DSA-65; signing time varies, this is its mean."""

    sign: Amount
    verify: Amount


class MlDsa(_Strict):
    """ML-DSA (FIPS 204): one speed, then a ratio a parameter set and step."""

    sign65_us: Amount
    ratios: dict[str, MlDsaSteps]


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
    stateless_us: Amount = Field(description="receive or send a cookie message or a further fragment: no work on an SA")
    install_sa_us: Amount = Field(description="install one pair of ESP SAs and bring the interface up")
    certificate_us: Amount = Field(description="parse a peer's certificate and build its chain, without signatures")
    virtual_access_us: Amount = Field(description="clone a virtual-access interface from its template")
    authorisation_us: Amount = Field(description="look up a peer in the router's own AAA lists")
    route_us: Amount = Field(description="install one route")


class Forwarding(_Strict):
    """What a packet costs beside cryptography."""

    packet_us: Amount = Field(description="features, lookup and encapsulation on a packet core")
    byte_ns: Amount
    io_us: Amount = Field(description="receive, hand over and send one ESP packet, on the core that does crypto")


class Engine(_Strict):
    """An offload engine for ESP: what the packet core spends to hand a packet over, and the engine's own time.

    ``ciphers``: by the name of the cipher, together with any integrity algorithm.
    """

    submit_us: Amount
    ciphers: dict[str, Linear]


class Parameters(_Strict):
    """Speeds: what calibration fits."""

    modexp: Modexp
    ecdh: Ecdh
    rsa: Rsa
    signatures: dict[str, SignatureSteps]
    mlkem: MlKem
    mldsa: MlDsa
    symmetric: Symmetric
    control: Control
    forwarding: Forwarding
    engine: Engine | None = None


#: Which factor of `Scale` a time follows, by the beginning of its path and its unit.
_SCALED_BY = {
    "parameters.modexp.k_": "public_key",
    "parameters.ecdh.p256_": "public_key",
    "parameters.rsa.": "public_key",
    "parameters.mlkem.keygen768_": "public_key",
    "parameters.mldsa.sign65_": "public_key",
    "parameters.symmetric.": "symmetric",
    "parameters.control.": "control",
    "parameters.forwarding.": "forwarding",
    "parameters.engine.": "engine",
}


class Scale(_Strict):
    """How many times longer a box takes than the one that its profile extends; public-key and symmetric work apart.

    Missing: the same. Scaling one box to another by a single factor is wrong by up to an order of magnitude, because
    instructions for AES, SHA and long integers come and go with the generations.
    """

    public_key: Amount | None = None
    symmetric: Amount | None = None
    control: Amount | None = None
    forwarding: Amount | None = None
    engine: Amount | None = None

    def factor(self, path: str) -> Value | None:
        """Return the factor for the value at this dotted path; None for what is no time or is not scaled."""
        if not path.endswith(("_fs", "_ns", "_us")):
            return None
        field = next((field for start, field in _SCALED_BY.items() if path.startswith(start)), None)
        found: Value | None = getattr(self, field) if field else None
        return found


class Correlation(_Strict):
    """Values that err together: their rank correlation, the same for every two or as a matrix.

    ``values``: dotted paths; ``*`` stands for any one name, as in ``parameters.symmetric.*.*.byte_ns``.
    """

    values: list[str]
    correlation: float | list[list[float]]
    kind: Kind
    source: str
    note: str = ""


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
    without_hsec: WithoutHsec | None = None
    limits: Limits = Limits()
    parameters: Parameters
    correlations: list[Correlation] = []
    #: Sources of this file alone, beside those that ship: a calibrated profile carries its own.
    sources: dict[str, Source] = {}

    @model_validator(mode="after")
    def _licences_fit(self) -> Self:
        if self.default_licence not in self.licences:
            raise ValueError(f"default_licence '{self.default_licence}' is not one of {', '.join(self.licences)}")
        if self.shaper is None and any(rate is not None for rate in self.licences.values()):
            raise ValueError("a licence with a rate needs a shaper")
        return self

    @model_validator(mode="after")
    def _engine_fits(self) -> Self:
        if (self.parameters.engine is not None) != (self.architecture.io_crypto == "engine"):
            raise ValueError("parameters.engine is needed with io_crypto 'engine', and only with it")
        return self

    def values(self) -> dict[str, Value]:
        """Return every sourced number by its dotted path, for instance ``parameters.modexp.k_fs``."""
        return {".".join(location): value for location, value in located(self)}

    def sample(self, n: int, seed: int) -> list[HardwareProfile]:
        """Return ``n`` parameter sets drawn from ranges and correlations; see `hardware.uncertainty`."""
        from .uncertainty import sample

        return sample(self, n, seed)

    def with_values(self, values: Mapping[str, Value]) -> Self:
        """Return the profile with the values at these dotted paths replaced. Raises KeyError for an unknown path."""
        known = {".".join(location): location for location, _ in located(self)}
        tree: dict[str, Any] = {}
        for path, value in values.items():
            node = tree
            for key in known[path][:-1]:
                node = node.setdefault(key, {})
            node[known[path][-1]] = value
        changed: Self = _replaced(self, tree)
        return changed

    @property
    def digest(self) -> str:
        """The profile's content as a hash, for manifests; it changes with any number, source or note."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return blake2b(content.encode(), digest_size=16).hexdigest()


def count_fields(model: type[BaseModel]) -> set[str]:
    """Return the names of the fields of a part of a profile that count something: whole numbers."""
    found = set()
    for name, field in model.model_fields.items():
        marks = [*field.metadata, *(m for arm in get_args(field.annotation) for m in getattr(arm, "__metadata__", ()))]
        if any(getattr(mark, "func", None) is _whole for mark in marks):
            found.add(name)
    return found


def _replaced(node: Any, tree: Any) -> Any:
    if isinstance(tree, Value):
        return tree
    if isinstance(node, dict):
        return node | {name: _replaced(node[name], inner) for name, inner in tree.items()}
    return node.model_copy(update={name: _replaced(getattr(node, name), inner) for name, inner in tree.items()})


def located(node: object, location: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield every value below ``node`` with the keys that lead to it; a key may hold a dot (a licence ``2.5g``)."""
    if isinstance(node, Value):
        yield location, node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from located(getattr(node, name), (*location, name))
    elif isinstance(node, dict):
        for name, inner in node.items():
            yield from located(inner, (*location, name))
