"""Within one implementation class more work is never cheaper: larger groups, longer keys and packets, slower boxes.

Classes are those of `hardware/scaling.py`: P-384 may cost more than P-521 where its code is of a slower class, and a
modulus with code of its own (``rsa.own_code``) may be cheaper than the law of the others, never dearer.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flexvpn_sim.hardware import scaling
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile import Scale
from flexvpn_sim.hardware.profile_files import load_profile, profile_names
from flexvpn_sim.hardware.public_key import modexp_s, rsa_s
from flexvpn_sim.models.algorithms import ENCRYPTIONS, INTEGRITIES, Encryption
from flexvpn_sim.models.ikev2.operations import (
    DhKeygen,
    DhShared,
    DhValidate,
    HandleMessage,
    InstallSa,
    KemStep,
    Operation,
    PrfCall,
    Protect,
    Sign,
    Verify,
)
from flexvpn_sim.models.values import Ledger

NAMES = sorted(profile_names())
profiles = st.sampled_from(NAMES)
dh_steps: st.SearchStrategy[type[DhKeygen | DhValidate | DhShared]] = st.sampled_from([DhKeygen, DhValidate, DhShared])
#: MODP groups by growing modulus, NIST curves by growing field, and their lengths.
MODP = (1, 2, 5, 14, 15, 16, 17, 18)
CURVES = {19: 256, 20: 384, 21: 521}
STEP_NAMES = {DhKeygen: "keygen", DhValidate: "validate_peer", DhShared: "shared"}
CLASSES = get_args(scaling.CurveClass)


@cache
def costs(name: str) -> CostModel:
    return CostModel(load_profile(name), Ledger())


def seconds(name: str, operation: Operation) -> float:
    return costs(name).operation_s(operation)


def never_cheaper(times: list[float]) -> bool:
    return all(small <= large for small, large in pairwise(times))


# -- The laws, for any parameter -------------------------------------------------------------------------------


@given(
    exponents=st.tuples(st.floats(1, 8192), st.floats(1, 8192)).map(sorted),
    moduli=st.tuples(st.integers(768, 8192), st.integers(768, 8192)).map(sorted),
    drift=st.floats(0, 1),
    code=st.sampled_from(["schoolbook", "subquadratic"]),
)
def test_longer_exponents_and_moduli_are_never_cheaper(
    exponents: list[float], moduli: list[int], drift: float, code: scaling.Multiplication
) -> None:
    short, long = exponents
    small, large = moduli
    assert modexp_s(1e-15, short, small, drift) <= modexp_s(1e-15, long, large, drift)
    assert scaling.ffdh_from(1.0, (short, small), (long, large), drift, code) >= 1.0 - 1e-12


@given(lengths=st.tuples(st.integers(1024, 16384), st.integers(1024, 16384)).map(sorted), exponent=st.floats(0, 4))
def test_longer_rsa_keys_are_never_cheaper(lengths: list[int], exponent: float) -> None:
    assert rsa_s(1e-3, lengths[0], exponent) <= rsa_s(1e-3, lengths[1], exponent)


# -- The shipped profiles --------------------------------------------------------------------------------------


@given(name=profiles, step=dh_steps, groups=st.sets(st.sampled_from(MODP), min_size=2).map(sorted))
def test_a_larger_modp_group_is_never_cheaper(
    name: str, step: type[DhKeygen | DhValidate | DhShared], groups: list[int]
) -> None:
    assert never_cheaper([seconds(name, step(group)) for group in groups])


@given(name=profiles, step=dh_steps, pair=st.sampled_from(list(combinations(CURVES, 2))))
def test_a_longer_curve_is_cheaper_only_where_its_code_is_of_a_faster_class(
    name: str, step: type[DhKeygen | DhValidate | DhShared], pair: tuple[int, int]
) -> None:
    times = [seconds(name, step(group)) for group in pair]
    if times[1] < times[0]:
        # A shared secret tells the class: keygen has tables and a check of the peer's value is often none.
        ratios = [seconds(name, DhShared(group)) / seconds(name, DhShared(19)) for group in pair]
        short, long = (
            CLASSES.index(scaling.curve_class(CURVES[group], ratio)) for group, ratio in zip(pair, ratios, strict=True)
        )
        assert long < short


def test_the_exception_exists_and_is_explained() -> None:
    name = "linux-strongswan-openssl"
    p256_s, p384_s, p521_s = (seconds(name, DhShared(group)) for group in CURVES)
    assert p384_s > p521_s > p256_s
    assert scaling.curve_class(384, p384_s / p256_s) == "generic"
    assert scaling.curve_class(521, p521_s / p256_s) == "fast"


@given(bits=st.tuples(st.integers(256, 640), st.integers(256, 640)).map(sorted), speed=st.floats(0.5, 40))
def test_within_a_class_a_longer_curve_of_equal_code_keeps_its_class(bits: list[int], speed: float) -> None:
    ratios = [speed * (length / 256) ** scaling.CURVE_GROWTH for length in bits]
    margin = [abs(speed - bound) / bound for bound in (scaling.FAST_RATIO, scaling.MEDIUM_RATIO)]
    assume(min(margin) > 1e-9)
    assert len({scaling.curve_class(length, ratio) for length, ratio in zip(bits, ratios, strict=True)}) == 1
    assert ratios[0] <= ratios[1]


@given(name=profiles, operation=st.sampled_from([Sign, Verify]))
def test_a_longer_signature_key_is_never_cheaper(name: str, operation: type[Sign | Verify]) -> None:
    for family in (("rsa2048", "rsa3072", "rsa4096"), ("mldsa44", "mldsa65", "mldsa87")):
        assert never_cheaper([seconds(name, operation(algorithm)) for algorithm in family])


@pytest.mark.parametrize("name", NAMES)
def test_code_of_its_own_for_a_modulus_is_never_dearer_than_the_law(name: str) -> None:
    values = {path: value.value for path, value in costs(name).profile.values().items()}
    own = [path for path in values if path.startswith("parameters.rsa.own_code.rsa2048.")]
    for path in own:
        step = path.rpartition(".")[2].removesuffix("_us")
        # Within the spread of a measurement.
        assert values[path] <= values[f"parameters.rsa.{step}2048_us"] * 1.01


@given(name=profiles, step=st.sampled_from(["keygen", "encapsulate", "decapsulate"]))
def test_a_larger_mlkem_is_never_cheaper(name: str, step: str) -> None:
    times = [seconds(name, KemStep(method, step)) for method in ("mlkem512", "mlkem768", "mlkem1024")]
    assert never_cheaper(times)


@given(name=profiles, mode=st.sampled_from(["aes-cbc", "aes-gcm"]), n_bytes=st.integers(16, 9000))
def test_a_longer_aes_key_is_never_cheaper(name: str, mode: str, n_bytes: int) -> None:
    # From one block on: CBC pads to 16 bytes, and fitted times a call differ by tenths of a nanosecond.
    integrity = "sha256" if mode == "aes-cbc" else ""
    ciphers = [f"{mode}-{bits}" for bits in (128, 192, 256)]
    assert never_cheaper([seconds(name, Protect(cipher, integrity, n_bytes)) for cipher in ciphers])
    sizes = np.array([float(n_bytes)])
    assert never_cheaper([float(costs(name).crypto_s(sizes, cipher, integrity)[0]) for cipher in ciphers])


@given(
    name=profiles,
    cipher=st.sampled_from(sorted(ENCRYPTIONS.values(), key=lambda cipher: cipher.name)),
    integrity=st.sampled_from(sorted(INTEGRITIES)),
    lengths=st.tuples(st.integers(0, 9000), st.integers(0, 9000)).map(sorted),
)
def test_a_bigger_packet_is_never_cheaper(name: str, cipher: Encryption, integrity: str, lengths: list[int]) -> None:
    second_pass = "" if cipher.aead else integrity
    sizes = np.array(lengths, dtype=np.float64)
    for times in (costs(name).packet_core_s(sizes), costs(name).crypto_s(sizes, cipher.name, second_pass)):
        assert 0 <= times[0] <= times[1]
    assert never_cheaper([seconds(name, Protect(cipher.name, second_pass, n_bytes)) for n_bytes in lengths])


# -- Slower boxes ----------------------------------------------------------------------------------------------

WORK: tuple[Operation, ...] = (
    *(step(group) for group in (*MODP, *CURVES, 31) for step in (DhKeygen, DhValidate, DhShared)),
    *(operation(algorithm) for algorithm in ("rsa2048", "ecdsa384", "mldsa65") for operation in (Sign, Verify)),
    KemStep("mlkem768", "encapsulate"),
    PrfCall("sha512", 64),
    Protect("aes-cbc-256", "sha512", 1400),
    Protect("aes-gcm-128", "", 64),
    HandleMessage("in"),
    InstallSa(),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_slower_cpu_is_never_cheaper(name: str, tmp_path: Path) -> None:
    factor = 1.25
    fields = sorted(Scale.model_fields)
    if costs(name).profile.parameters.engine is None:
        fields.remove("engine")
    amount = f"{{value: {factor}, kind: assumed, source: recollection, range: [{factor}, {factor}]}}"
    scale = "\n".join(f"  {field}: {amount}" for field in fields)
    (tmp_path / "slower.yaml").write_text(f"extends: {name}\nname: slower\ntitle: Slower\nscale:\n{scale}\n")
    slower = CostModel(load_profile("slower", [tmp_path]), Ledger())
    for operation in WORK:
        assert slower.operation_s(operation) == pytest.approx(factor * seconds(name, operation)), operation
    sizes = np.array([64.0, 352.0, 1400.0])
    for quick, slow in (
        (costs(name).packet_core_s(sizes), slower.packet_core_s(sizes)),
        (costs(name).crypto_s(sizes, "aes-cbc-256", "sha512"), slower.crypto_s(sizes, "aes-cbc-256", "sha512")),
    ):
        assert np.all(slow >= quick * (1 - 1e-12))
