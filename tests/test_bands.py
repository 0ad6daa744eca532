"""Bands of ignorance: the same run with parameter sets drawn from the hardware's ranges."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import flexvpn_sim as fv
from flexvpn_sim.experiments.bands import band
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.report import sections
from flexvpn_sim.experiments.run import rerun
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.ikev2.operations import DhKeygen, DhShared, DhValidate
from flexvpn_sim.models.values import Ledger

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
SAMPLES = 12


@pytest.fixture(scope="module")
def result() -> fv.Result:
    return fv.run(WORKING, duration_s=60, esp=True, samples=SAMPLES)


@pytest.fixture(scope="module")
def plain() -> fv.Result:
    return fv.run(WORKING, duration_s=60, esp=True)


def test_bands_change_nothing_else(result: fv.Result, plain: fv.Result) -> None:
    """Losses, arrivals, quantiles and intervals are those of a run without parameter sets."""
    for name, table in plain.tables.items():
        own = [column for column in table.columns if "_low" not in column and "_high" not in column]
        assert result.tables[name][own].equals(table[own]), name
    assert "setup_bands" not in plain.tables
    assert plain.latency["p95_low_s"].isna().all()


def test_set_up_bands_agree_with_the_costs_of_the_drawn_sets(result: fv.Result) -> None:
    """Of 12 draws the first is the 5 % quantile and the twelfth the 95 %; CPU time is more than its Diffie-Hellman."""
    (row,) = result.setup_bands.to_dict("records")
    assert row["draws"] == SAMPLES and row["up_share"] == 1.0
    assert row["setup_s"] == result.sessions["setup_s"].iloc[0]
    sets = load_profile("isr4321").sample(SAMPLES, seed=result.manifest["seed"])
    group = [DhKeygen(14), DhValidate(14), DhShared(14)]
    costs = sorted(CostModel(one, Ledger()).service_s(group) for one in sets)
    assert costs[0] < row["initiator_cpu_low_s"] < row["initiator_cpu_median_s"] < row["initiator_cpu_high_s"]
    assert row["initiator_cpu_high_s"] > costs[-1]
    assert row["setup_low_s"] > row["initiator_cpu_low_s"]
    events = result.events[result.events["event"] == "child_installed"]
    up_s = events[events["router"] == row["initiator"]]["time_s"].iloc[0]
    works = result.works[result.works["end_s"] <= up_s]
    spent = (works["end_s"] - works["start_s"]).groupby(works["router"]).sum()
    assert row["initiator_cpu_s"] == pytest.approx(spent[row["initiator"]])
    assert row["responder_cpu_s"] == pytest.approx(spent[row["responder"]])


def test_throughput_bands_end_at_the_licence_and_hold_the_value(result: fv.Result) -> None:
    table = result.throughput
    assert (table["throughput_low_bps"] <= table["throughput_high_bps"]).all()
    # The licence is known exactly, and it is the bottleneck of large packets in every draw.
    large = table[table["packet_bytes"] == 1400].iloc[0]
    assert large["throughput_low_bps"] == large["throughput_high_bps"] == pytest.approx(large["analytic_bps"])


def test_latency_bands_hold_most_values_and_widen_at_saturation(result: fv.Result) -> None:
    table = result.latency
    for name in ("p50", "p95", "p99"):
        assert (table[f"{name}_low_s"] <= table[f"{name}_high_s"]).all()
        quiet = table[table["load"] < 0.9]
        inside = (quiet[f"{name}_low_s"] <= quiet[f"{name}_s"]) & (quiet[f"{name}_s"] <= quiet[f"{name}_high_s"])
        assert inside.mean() > 0.9
    assert (table["loss_low"] <= table["loss_high"]).all() and table["loss_high"].max() <= 1.0
    small = table[table["packets"] == "100 B"].set_index("load")
    width = small["p95_high_s"] - small["p95_low_s"]
    assert width[1.0] > 10 * width[0.1]


def test_more_parameter_sets_keep_the_first_ones(result: fv.Result) -> None:
    """With one set low, median and high are that draw; it is the first of twelve."""
    one = fv.run(WORKING, duration_s=60, samples=1).setup_bands.iloc[0]
    assert one["setup_low_s"] == one["setup_median_s"] == one["setup_high_s"]
    many = result.setup_bands.iloc[0]
    assert many["setup_low_s"] <= one["setup_low_s"] <= many["setup_high_s"]


def test_what_is_known_exactly_has_no_band(tmp_path: Path) -> None:
    profile = load_profile("linux-strongswan-openssl")
    exact = profile.sample(1, seed=1)[0]
    (tmp_path / "exact.yaml").write_text(exact.model_copy(update={"name": "exact"}).model_dump_json())
    run = fv.run(WORKING, duration_s=60, samples=3, hardware={"*": "exact"}, profiles=(str(tmp_path),))
    row = run.setup_bands.iloc[0]
    assert row["setup_low_s"] == row["setup_high_s"] == row["setup_s"]


def test_a_tunnel_that_stays_down_has_no_band_and_a_share_of_zero() -> None:
    published = Path(str(files("flexvpn_sim.experiments.paper"))) / "published"
    run = fv.run(published, duration_s=60, samples=2)
    row = run.setup_bands.iloc[0]
    assert row["up_share"] == 0.0 and math.isnan(row["setup_high_s"]) and math.isnan(row["setup_s"])
    told = json.loads(json.dumps(run.to_json(), allow_nan=False))
    assert told["setup_bands"][0]["draws"] == 2 and told["setup_bands"][0]["setup_high_s"] is None
    assert sections(run)


def test_rerun_draws_the_same_sets(tmp_path: Path) -> None:
    first = fv.run(WORKING, duration_s=60, samples=3)
    first.save(tmp_path / "r")
    assert first.manifest["options"]["samples"] == 3
    again, different = rerun(tmp_path / "r")
    assert not different and "setup_bands" in again.tables


def test_the_command_takes_the_option_and_shows_the_bands(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", str(WORKING), "--duration", "60s", "--samples", "2", "--no-esp"])
    assert done.exit_code == 0
    assert "2 parameter sets from the hardware's ranges" in done.stdout and "CPU of the responder" in done.stdout
    done = CliRunner().invoke(app, ["run", str(WORKING), "--samples", "-1", "-o", str(tmp_path / "r")])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
    assert "--samples: found -1" in done.stderr


def test_bands_are_two_of_the_numbers_and_what_never_came_up_is_the_longest() -> None:
    numbers = np.arange(1.0, 101.0)
    assert band(numbers) == (5.0, 95.0)
    assert band([3.0]) == (3.0, 3.0)
    low, high = band([1.0] * 9 + [math.nan])
    assert low == 1.0 and math.isnan(high)
    assert all(math.isnan(end) for end in band([]))


def test_exchange_gives_bands_of_cpu_time() -> None:
    arguments = ["exchange", "--ike", "aes256-sha256-modp2048", "--esp", "aes256-sha256", "--hardware", "isr4321"]
    plain = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    told = json.loads(CliRunner().invoke(app, [*arguments, "--samples", "20", "--seed", "2", "--json"]).stdout)
    assert told["responder_cpu_s"] == plain["responder_cpu_s"] and "responder_cpu_low_s" not in plain
    costs = [CostModel(one, Ledger()) for one in load_profile("isr4321").sample(20, seed=2)]
    group = sorted(cost.service_s([DhKeygen(14), DhValidate(14), DhShared(14)]) for cost in costs)
    assert group[0] < told["responder_cpu_low_s"] < told["responder_cpu_median_s"] < told["responder_cpu_high_s"]
    text = CliRunner().invoke(app, [*arguments, "--samples", "20"]).stdout
    assert "over 20 parameter sets" in text
    refused = CliRunner().invoke(app, [*arguments, "--samples", "-3"])
    assert refused.exit_code == 2 and "--samples: found -3" in refused.stderr
