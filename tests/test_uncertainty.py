"""Parameter sets drawn from a profile: the stated quantiles, the stated correlations, and the same draws every time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.hardware.profile import Correlation, HardwareProfile
from flexvpn_sim.hardware.profile_files import load_profile, profile_names
from flexvpn_sim.hardware.uncertainty import (
    Q95,
    copula_correlation,
    correlation_factors,
    quantile_function,
    rank_correlation,
    sample,
)
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.values import Value

CALL = "parameters.symmetric.hmacs.sha384.call_ns"
BYTE = "parameters.symmetric.hmacs.sha384.byte_ns"
K = "parameters.modexp.k_fs"


def with_correlations(*correlations: tuple[list[str], Any]) -> HardwareProfile:
    stated = [
        Correlation(values=values, correlation=correlation, kind="assumed", source="recollection")
        for values, correlation in correlations
    ]
    return load_profile("isr4321").model_copy(update={"correlations": stated})


def drawn(profile: HardwareProfile, path: str, n: int = 4000, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return n draws of one value; the others are held so that it is quick."""
    values = profile.values()
    kept = {p for c in profile.correlations for p in c.values} | {path}
    held = {p: v.model_copy(update={"range": (v.value, v.value)}) for p, v in values.items() if p not in kept}
    return np.array([s.values()[path].value for s in sample(profile.with_values(held), n, seed)])


def spearman(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    ranks = [np.argsort(np.argsort(x)) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize(
    ("path", "share_below_median"),
    [(K, 0.5), ("parameters.ecdh.ratios.ecp384.keygen", 0.5), ("parameters.ecdh.ratios.curve25519.validate_peer", 0.5)],
)
def test_draws_have_the_stated_quantiles(path: str, share_below_median: float) -> None:
    """Of 4000 draws as many lie below each quantile as a binomial distribution allows (four standard deviations)."""
    profile = load_profile("isr4321")
    value = profile.values()[path]
    draws = drawn(profile, path)
    assert value.range is not None
    for limit, share in ((value.range[0], 0.05), (value.value, share_below_median), (value.range[1], 0.95)):
        below = np.mean(draws <= limit)
        assert abs(below - share) < 4 * math.sqrt(share * (1 - share) / draws.size)


def test_a_value_at_the_lower_end_of_its_range_stays_there_in_half_of_the_draws() -> None:
    """Whether the peer's value is validated in full: 0 in half of the draws, up to 1 and more in the rest."""
    draws = drawn(load_profile("isr4321"), "parameters.modexp.validation_factor")
    assert np.mean(draws == 0.0) == pytest.approx(0.5, abs=0.032)
    assert np.mean(draws <= 1.0) == pytest.approx(0.95, abs=0.014)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 2.0])
def test_a_standard_deviation_is_that_of_the_draws(ratio: float) -> None:
    """The log-normal's own standard deviation, by numerical integration over its quantiles."""
    value = Value(value=8.0, kind="assumed", source="recollection", sd=8.0 * ratio)
    z = np.linspace(-12, 12, 400001)
    x, density = quantile_function(value, z), np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    step = z[1] - z[0]
    mean = np.sum(x * density) * step
    assert math.sqrt(np.sum((x - mean) ** 2 * density) * step) == pytest.approx(8.0 * ratio, rel=1e-6)
    assert float(quantile_function(value, np.zeros(1))[0]) == 8.0


@given(
    value=st.floats(0.0, 1e9),
    down=st.floats(0.0, 1.0),
    up=st.floats(1.0, 1e3),
    z=st.lists(st.floats(-8.3, 8.3), min_size=2),
)
def test_every_value_keeps_its_quantiles_and_is_monotone_and_not_negative(
    value: float, down: float, up: float, z: list[float]
) -> None:
    stated = Value(value=value, kind="assumed", source="recollection", range=(value * down, value * up))
    assert stated.range is not None
    low, median, high = quantile_function(stated, np.array([-Q95, 0.0, Q95]))
    # Of a lower end of 0 rounding leaves a trace.
    assert low == pytest.approx(stated.range[0], rel=1e-9, abs=1e-15 * value)
    assert median == value
    assert high == pytest.approx(stated.range[1], rel=1e-9)
    numbers = quantile_function(stated, np.sort(np.array(z)))
    assert np.all(numbers >= 0.0) and np.all(np.isfinite(numbers))
    # Two numbers that differ in the last bit may change places.
    assert np.all(np.diff(numbers) >= -1e-12 * numbers[1:])


@pytest.mark.parametrize("name", profile_names())
def test_draws_of_every_shipped_profile_pass_the_schema(name: str) -> None:
    profile = load_profile(name)
    values = profile.values()
    for one in profile.sample(20, seed=3):
        HardwareProfile.model_validate(one.model_dump(mode="json"))
        for path, value in one.values().items():
            stated = values[path]
            assert value.value >= 0.0
            assert (value.kind, value.source, value.unit, value.note) == (
                stated.kind,
                stated.source,
                stated.unit,
                stated.note,
            )
            if stated.range is None and stated.sd is None:
                assert value == stated


def test_cores_and_packets_are_whole_and_there_is_always_a_core() -> None:
    for one in load_profile("isr4321").sample(300, seed=1):
        architecture = one.architecture
        assert architecture.control_cores.value in range(1, 20)
        assert one.buffers.crypto_packets.value == round(one.buffers.crypto_packets.value) >= 1


def test_a_box_without_crypto_cores_gets_none() -> None:
    profile = load_profile("linux-strongswan-openssl")
    uncertain = Value(value=0, kind="assumed", source="recollection", range=(0, 3))
    changed = profile.with_values({"architecture.crypto_cores": uncertain})
    assert {one.architecture.crypto_cores.value for one in changed.sample(50, seed=1)} == {0.0}


def test_draws_are_the_same_whatever_their_number_and_different_for_another_seed() -> None:
    profile = with_correlations(([CALL, BYTE, K], 0.7))
    many = profile.sample(33, seed=5)
    for n in (1, 2, 7, 16):
        assert profile.sample(n, seed=5) == many[:n]
    assert profile.sample(1, seed=6)[0] != many[0]
    assert len({one.digest for one in many}) == 33


def test_a_sample_is_known_exactly() -> None:
    one = load_profile("isr4321").sample(1, seed=1)[0]
    assert one.sample(3, seed=9) == [one] * 3


def test_a_new_value_changes_no_other() -> None:
    profile = load_profile("isr4321")
    fewer = profile.with_values({K: Value(value=1430, unit="fs", kind="published", source="denverton")})
    for path, value in fewer.sample(2, seed=1)[1].values().items():
        if path != K:
            assert value == profile.sample(2, seed=1)[1].values()[path], path


def test_relatives_share_what_is_not_known_of_the_family() -> None:
    path = "parameters.modexp.exponent_bits.modp2048"
    here, there = (load_profile(name).sample(5, seed=1) for name in ("isr4321", "isr4451"))
    assert [s.values()[path].value for s in here] == [s.values()[path].value for s in there]


@pytest.mark.parametrize("rank", [-0.9, -0.4, 0.3, 0.8, 1.0])
def test_the_stated_rank_correlation_is_recovered(rank: float) -> None:
    profile = with_correlations(([CALL, BYTE], rank))
    # The standard error of Spearman's coefficient is at most about 1 / sqrt(n).
    assert spearman(drawn(profile, CALL), drawn(profile, BYTE)) == pytest.approx(rank, abs=4 / math.sqrt(4000))


def test_rank_and_normal_correlation_are_inverse() -> None:
    for rank in np.linspace(-1, 1, 21):
        assert rank_correlation(copula_correlation(float(rank))) == pytest.approx(rank)


def test_correlated_values_keep_their_own_quantiles() -> None:
    profile = with_correlations(([CALL, BYTE, K], 0.9))
    for path in (CALL, BYTE, K):
        value = profile.values()[path]
        assert value.range is not None
        assert np.mean(drawn(profile, path) <= value.range[1]) == pytest.approx(0.95, abs=0.014)


def test_groups_are_combined_and_an_exact_value_in_a_pattern_does_no_harm() -> None:
    """K with CALL by one statement, CALL with BYTE by another: one group of three."""
    profile = with_correlations(([K, CALL], 0.6), ([CALL, BYTE], [[1, 0.5], [0.5, 1]]))
    ((paths, factor),) = correlation_factors(profile)
    assert paths == [K, CALL, BYTE]
    matrix = factor @ factor.T
    assert matrix[0, 1] == pytest.approx(copula_correlation(0.6))
    assert matrix[1, 2] == pytest.approx(copula_correlation(0.5))
    exact = profile.with_values({K: Value(value=1430, kind="published", source="denverton")})
    assert correlation_factors(exact)[0][0] == [CALL, BYTE]


def test_a_star_stands_for_any_one_name() -> None:
    profile = with_correlations((["parameters.symmetric.hmacs.*.byte_ns"], 0.9))
    ((paths, _),) = correlation_factors(profile)
    assert paths == [f"parameters.symmetric.hmacs.{h}.byte_ns" for h in ("md5", "sha1", "sha256", "sha384", "sha512")]
    asr = load_profile("asr1001-x")
    uncertain = asr.model_copy(
        update={"correlations": [Correlation(values=["licences.*"], correlation=0.5, kind="assumed", source="x")]}
    )
    ranges = {
        f"licences.{level}": rate.model_copy(update={"range": (rate.value / 2, rate.value * 2)})
        for level, rate in asr.licences.items()
        if rate is not None
    }
    ((paths, _),) = correlation_factors(uncertain.with_values(ranges))
    assert "licences.2.5g" in paths, "a name may hold a dot"


def test_a_matrix_that_rounding_made_impossible_becomes_the_nearest() -> None:
    """0.9, 0.9 and 0.6 are just impossible together (0.62 is the least)."""
    profile = with_correlations(([K, CALL, BYTE], [[1, 0.9, 0.6], [0.9, 1, 0.9], [0.6, 0.9, 1]]))
    ((_, factor),) = correlation_factors(profile)
    matrix = factor @ factor.T
    assert np.allclose(np.diagonal(matrix), 1.0)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12
    assert np.abs(matrix - copula_correlation(0.9)).max() < 0.32


@pytest.mark.parametrize(
    ("correlations", "message"),
    [
        ([(["parameters.modexp.k_sf", K], 0.5)], r"correlations\.0: no value matches .*did you mean '.*k_fs'"),
        ([(["parameters.modexp.*.byte_ns", K], 0.5)], "no value matches"),
        ([([K], 0.5)], "correlates 1 value, at least 2"),
        ([([K, K], 0.5)], "names parameters.modexp.k_fs twice"),
        ([([K, CALL], 1.5)], r"found 1\.5, a correlation lies between -1 and 1"),
        ([([K, CALL], [[1, 0.5]])], "2 values need a matrix of 2 rows"),
        ([([K, CALL], [[1, 0.5], [0.4, 1]])], "symmetric"),
        ([([K, CALL], [[2, 0.5], [0.5, 1]])], "diagonal"),
        ([([K, CALL], 0.5), ([CALL, K], 0.4)], r"correlations\.1: says 0\.4 .* correlations\.0 says 0\.5"),
        ([([K, CALL, BYTE], -1.0)], "contradict each other: -1 between"),
    ],
)
def test_impossible_statements_are_refused_with_their_place(correlations: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_correlations(*correlations).sample(1, seed=1)


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="found 0, at least 1"):
        load_profile("isr4321").sample(0, seed=1)


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_whatever_is_stated_the_draws_follow_a_possible_matrix_or_it_is_refused(ranks: list[float]) -> None:
    paths = [K, CALL, BYTE, "parameters.forwarding.io_us"]
    matrix = np.eye(4)
    matrix[np.tril_indices(4, -1)] = ranks
    matrix = matrix + np.tril(matrix, -1).T
    profile = with_correlations((paths, matrix.tolist()))
    if np.linalg.eigvalsh(2 * np.sin(np.pi * matrix / 6)).min() < -1.0:
        # An eigenvalue that far below 0 moves some correlation by more than the tolerance.
        with pytest.raises(InputError, match="contradict each other"):
            correlation_factors(profile)
        return
    try:
        groups = correlation_factors(profile)
    except InputError:
        return
    for _, factor in groups:
        assert np.allclose(np.sum(factor**2, axis=1), 1.0, atol=1e-6)
        assert np.allclose(factor, np.tril(factor))
