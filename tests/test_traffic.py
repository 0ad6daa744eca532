"""Flows: what may be offered, and that the packets drawn are those."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.randomness import make_key, uniform
from flexvpn_sim.models.traffic import IMIX, Flow
from flexvpn_sim.simulate.kernels import FlowArrivals


def flow(**changes: Any) -> Flow:
    settings: dict[str, Any] = {
        "name": "f",
        "source": "HQ",
        "destination": "BR1",
        "kind": "poisson",
        "packet_bytes": 500,
        "stop_s": 9.0,
    }
    settings |= changes
    if "rate_bps" not in settings:
        settings.setdefault("rate_pps", 1000.0)
    return Flow(**settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "poison"}, "did you mean 'poisson'. Allowed: constant, imix, ping, poisson"),
        ({"packet_bytes": 20}, "needs 28 to 65535 bytes"),
        ({"packet_bytes": None}, "kind 'poisson' needs"),
        ({"kind": "imix"}, "the mix gives the lengths"),
        ({"kind": "imix", "packet_bytes": None, "mix": "simpel"}, "did you mean 'simple'.*Allowed: csit, ipsec"),
        ({"rate_pps": 5.0, "rate_bps": 1e6}, "2 rates given; give exactly one of rate_pps and rate_bps"),
        ({"rate_pps": None}, "0 rates given"),
        ({"rate_pps": 0.0}, "must be greater than 0"),
        ({"rate_pps": math.nan}, "must be greater than 0"),
        ({"start_s": 9.0}, "before stop_s 9"),
        ({"start_s": -1.0}, "at least 0"),
    ],
)
def test_a_flow_that_cannot_be_names_itself_and_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        flow(**changes)
    assert str(caught.value).startswith("flow 'f': ")


def test_offered_bits_count_inner_packets() -> None:
    assert flow(packet_bytes=1250, rate_bps=1e6).packets_per_s == 100.0
    assert flow(kind="imix", packet_bytes=None, rate_bps=8e3).packets_per_s == pytest.approx(1000.0 / (4084 / 12))


@pytest.mark.parametrize(
    ("mix", "mean_bytes"),
    [("simple", 340.33), ("simple-frames", 343.83), ("csit", 335.83), ("ipsec", 399.38)],
)
def test_mean_length_of_a_mix(mix: str, mean_bytes: float) -> None:
    """Simple IMIX: (7 x 40 + 4 x 576 + 1500) / 12; frames are packets + 18 bytes (CSIT's mean frame is 353.83)."""
    assert IMIX[mix].mean_packet_bytes == pytest.approx(mean_bytes, abs=0.005)
    assert IMIX[mix].source


def test_only_a_ping_is_answered() -> None:
    assert flow(kind="ping", rate_pps=1.0).round_trip
    assert not flow().round_trip


@pytest.mark.parametrize("kind", ["ping", "constant"])
def test_constant_packets_come_at_multiples_of_the_gap_without_drift(kind: str) -> None:
    """The 900,000th packet of a flow of 100 packet/s comes at start + 9,000 s, not at the sum of 900,000 gaps."""
    times_s, lengths = FlowArrivals(flow(kind=kind, rate_pps=100.0, start_s=0.5, stop_s=9001.0), 1).take(math.inf)
    np.testing.assert_array_equal(times_s, 0.5 + np.arange(900_050) * 0.01)
    assert set(lengths.tolist()) == {500}


def test_poisson_arrivals_are_the_sums_of_scalar_draws() -> None:
    """gap n = -ln(1 - u(key, n)) / rate, drawn here with ``models.randomness`` and ``math``."""
    times_s, _ = FlowArrivals(flow(), 7, replication=2).take(0.5)
    key = make_key(7, "f", "gap", replication=2)
    expected, now = [], 0.0
    for n in range(times_s.size):
        now = now - math.log(1.0 - uniform(key, n)) * (1.0 / 1000.0)
        expected.append(now)
    assert times_s.tolist() == expected
    assert now - math.log(1.0 - uniform(key, times_s.size)) / 1000.0 >= 0.5


@pytest.mark.parametrize("kind", ["constant", "poisson", "imix"])
def test_cutting_time_into_windows_changes_no_packet(kind: str) -> None:
    offered = flow(kind=kind, packet_bytes=None if kind == "imix" else 200, start_s=0.25)
    whole_s, whole_bytes = FlowArrivals(offered, 3).take(9.0)
    for windows in (np.arange(0.1, 9.1, 0.1), [0.2, 0.2, 0.25, 3.3333, 20.0]):
        arrivals = FlowArrivals(offered, 3)
        parts = [arrivals.take(until_s) for until_s in windows]
        np.testing.assert_array_equal(np.concatenate([times_s for times_s, _ in parts]), whole_s)
        np.testing.assert_array_equal(np.concatenate([lengths for _, lengths in parts]), whole_bytes)


def test_packets_keep_to_start_and_stop() -> None:
    times_s, _ = FlowArrivals(flow(start_s=2.0, stop_s=3.0), 1).take(100.0)
    assert times_s[0] >= 2.0
    assert times_s[-1] < 3.0
    with pytest.raises(InputError, match="flow 'f': it never stops"):
        FlowArrivals(flow(stop_s=math.inf), 1).take(math.inf)


def test_gaps_and_lengths_of_a_mix_have_the_right_moments_and_do_not_depend_on_each_other() -> None:
    """Exponential gap: mean and standard deviation 1/rate; shares 7:4:1; all within 4 standard errors."""
    times_s, lengths = FlowArrivals(flow(kind="imix", packet_bytes=None, stop_s=1000.0), 11).take(1000.0)
    n = times_s.size
    assert abs(n - 1_000_000) < 4 * math.sqrt(1_000_000)
    gaps_s = np.diff(times_s)
    assert gaps_s.mean() == pytest.approx(1e-3, abs=4 * 1e-3 / math.sqrt(n))
    assert gaps_s.std() == pytest.approx(1e-3, abs=4 * 1e-3 * math.sqrt(2.0 / n))
    for length, weight in zip(IMIX["simple"].packet_bytes, IMIX["simple"].weights, strict=True):
        share = weight / 12.0
        assert np.mean(lengths == length) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))
    assert abs(np.corrcoef(gaps_s, lengths[1:])[0, 1]) < 4 / math.sqrt(n)
    assert abs(np.corrcoef(gaps_s[1:], gaps_s[:-1])[0, 1]) < 4 / math.sqrt(n)


def test_flows_are_independent_and_a_seed_repeats_them() -> None:
    first, _ = FlowArrivals(flow(stop_s=100.0), 1).take(100.0)
    again, _ = FlowArrivals(flow(stop_s=100.0), 1).take(100.0)
    other, _ = FlowArrivals(flow(stop_s=100.0, name="g"), 1).take(100.0)
    np.testing.assert_array_equal(first, again)
    n = min(first.size, other.size) - 1
    assert abs(np.corrcoef(np.diff(first)[: n - 1], np.diff(other)[: n - 1])[0, 1]) < 4 / math.sqrt(n)


def test_a_length_or_a_rate_changes_no_draw_of_another_purpose() -> None:
    """Common random numbers: the same gaps with another mix; gaps in proportion with another rate."""
    simple_s, _ = FlowArrivals(flow(kind="imix", packet_bytes=None), 1).take(9.0)
    ipsec_s, _ = FlowArrivals(flow(kind="imix", packet_bytes=None, mix="ipsec"), 1).take(9.0)
    np.testing.assert_array_equal(simple_s, ipsec_s)
    slow_s, _ = FlowArrivals(flow(rate_pps=500.0, stop_s=18.0), 1).take(18.0)
    np.testing.assert_allclose(slow_s, 2.0 * simple_s, rtol=1e-12)
