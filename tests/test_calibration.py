"""``flexvpn-sim hardware calibrate``: the fit against closed forms and hidden truths, the file, the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import flexvpn_sim as fv
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.routers.calibrate import Files, calibrate_files, profile_yaml, rate_observations
from flexvpn_sim.hardware.calibration import FLAT_SD, Observation, calibrate, log_sd
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile import HardwareProfile
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.hardware.readings.tables import RateRow, read_rates
from flexvpn_sim.hardware.uncertainty import Q95, copula_correlation
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.notation import parse_esp, parse_ike
from flexvpn_sim.models.values import Ledger, Value

DATA = Path(__file__).parent / "data" / "calibration"
RATES, THROUGHPUT = DATA / "rates.csv", DATA / "throughput.csv"
MESSAGE, INSTALL = "parameters.control.message_us", "parameters.control.install_sa_us"
ROUTE = "parameters.control.route_us"


def number(path: str) -> Observation:
    """Return an observation of one value itself, to be filled in."""
    return Observation(path, 1.0, "us", lambda cost: cost.profile.values()[path].value)


def seen(observation: Observation, measured: float, sd: float = 0.05, **more: object) -> Observation:
    return Observation(observation.name, measured, observation.unit, observation.predict, sd, "", **more)  # type: ignore[arg-type]


def alone(**values: Value) -> HardwareProfile:
    """Return a base without correlations, and with these control-plane values."""
    base = load_profile("isr4321").model_copy(update={"correlations": []})
    return base.with_values({f"parameters.control.{name}": value for name, value in values.items()})


def assumed(value: float, low: float, high: float) -> Value:
    return Value(value=value, kind="assumed", source="recollection", range=(low, high), unit="us")


# -- The fit -------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.floats(-1.0, 1.0), st.floats(0.01, 0.3), st.integers(1, 6))
def test_one_value_has_the_posterior_of_two_normal_distributions(shift: float, sd: float, n: int) -> None:
    """Prior N(0, s0), n rows N(x, sd): precision 1/s0^2 + n/sd^2, mean the weighted one. Logarithms throughout."""
    base = alone()
    before = base.values()[ROUTE]
    s0 = log_sd(before)
    rows = [seen(number(ROUTE), before.value * math.exp(shift), sd)] * n
    result = calibrate(base, rows, "s")
    if result.scatter > 1.0:
        sd *= result.scatter
    (p,) = result.parameters
    precision = 1 / s0**2 + n / sd**2
    assert p.path == ROUTE
    assert math.log(p.value.value / before.value) == pytest.approx(shift * n / sd**2 / precision, rel=1e-3, abs=1e-4)
    assert result.covariance[0, 0] == pytest.approx(1 / precision, rel=1e-3)
    assert p.value.range is not None
    assert math.log(p.value.range[1] / p.value.range[0]) == pytest.approx(2 * Q95 / math.sqrt(precision), rel=1e-3)


def test_a_sum_leaves_its_parts_anticorrelated() -> None:
    """Equal parts, equal priors s, a sum known within d: cov = s^2 (I - s^2 a a' / (d^2 + 2 s^2 / 4)), a = 1/2 each."""
    base = alone(message_us=assumed(1000, 500, 2000), install_sa_us=assumed(1000, 500, 2000))
    total = Observation(
        "sum", 2000, "us", lambda cost: sum(cost.profile.values()[path].value for path in (MESSAGE, INSTALL)), 0.05
    )
    result = calibrate(base, [total], "s")
    s2, d2 = math.log(2) ** 2 / Q95**2, 0.05**2
    expected = s2 * (np.eye(2) - s2 / 4 / (d2 + s2 / 2))
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-3)
    (correlation,) = result.profile.correlations
    assert sorted(correlation.values) == sorted([MESSAGE, INSTALL])
    assert isinstance(correlation.correlation, list)
    normal = expected[0, 1] / expected[0, 0]
    assert copula_correlation(correlation.correlation[0][1]) == pytest.approx(normal, abs=2e-3)


def test_a_value_that_no_row_depends_on_moves_by_its_correlation_alone() -> None:
    """The public-key speeds of the ISR4321 correlate with 0.8; regression on k_fs alone."""
    base = load_profile("isr4321")
    k, rsa = "parameters.modexp.k_fs", "parameters.rsa.sign2048_us"
    before = base.values()
    result = calibrate(base, [seen(number(k), before[k].value * 1.2, 0.02)], "s")
    after = result.profile.values()
    slope = copula_correlation(0.8) * log_sd(before[rsa]) / log_sd(before[k])
    moved = math.log(after[k].value / before[k].value)
    assert math.log(after[rsa].value / before[rsa].value) == pytest.approx(slope * moved, rel=1e-3)
    assert (after[k].kind, after[rsa].kind) == ("derived", "assumed")
    assert {p.path: p.follows for p in result.parameters}[rsa]


def test_what_is_known_without_a_range_is_not_fitted_unless_a_row_measures_it() -> None:
    base = alone(route_us=Value(value=200, kind="published", source="recollection", unit="us"))
    with_message = [seen(number(ROUTE), 210), seen(number(MESSAGE), 600)]
    assert [p.path for p in calibrate(base, with_message, "s").parameters] == [MESSAGE]
    direct = [seen(number(ROUTE), 2000, measures=(ROUTE,)), seen(number(MESSAGE), 600)]
    fitted = calibrate(base, direct, "s").profile.values()[ROUTE]
    pulled = 2000 * (200 / 2000) ** (0.05**2 / (0.05**2 + FLAT_SD**2))
    assert fitted.value == pytest.approx(pulled, rel=1e-3)


def test_work_that_may_not_be_done_is_fitted_upwards_from_zero() -> None:
    """A value of 0 with a range to 1: half-normal; a row 30 % above what 0 gives sets it, one below leaves it at 0."""
    base = load_profile("isr4321")
    path = "parameters.modexp.validation_factor"

    def predict(cost: CostModel) -> float:
        return 1.0 + cost.profile.parameters.modexp.validation_factor.value

    above = calibrate(base, [Observation("a", 1.3, "us", predict, 0.02)], "s").profile.values()[path]
    # The prior of 0.61 hardly pulls at a row of 0.02.
    assert above.value == pytest.approx(0.3, abs=0.002)
    assert above.range == pytest.approx((0.3 - Q95 * 0.026, 0.3 + Q95 * 0.026), abs=0.003)
    below = calibrate(base, [Observation("b", 0.97, "us", predict, 0.02)], "s").profile.values()[path]
    assert below.value == 0.0
    assert below.range is not None
    assert below.range[0] == 0.0 < below.range[1] < 0.1


def test_nothing_leaves_four_standard_deviations() -> None:
    base = alone(route_us=assumed(100, 90, 110))
    rows = [seen(number(ROUTE), 130, 0.2)] * 30
    value = calibrate(base, rows, "s").profile.values()[ROUTE].value
    assert value <= 100 * math.exp(4.001 * log_sd(base.values()[ROUTE]))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([MESSAGE, INSTALL, ROUTE]), st.floats(0.85, 1.18)), min_size=1, max_size=8))
def test_more_rows_never_widen_a_range_beyond_the_prior(rows: list[tuple[str, float]]) -> None:
    base = alone()
    before = base.values()
    observations = [seen(number(path), before[path].value * factor) for path, factor in rows]
    result = calibrate(base, observations, "s")
    for i, p in enumerate(result.parameters):
        assert math.sqrt(result.covariance[i, i]) <= log_sd(before[p.path]) * (1 + 1e-6)
    fewer = calibrate(base, observations[:1], "s")
    if result.scatter == 1.0:
        widths = {p.path: result.covariance[i, i] for i, p in enumerate(result.parameters)}
        assert widths[fewer.parameters[0].path] <= fewer.covariance[0, 0] * (1 + 1e-4)


def test_rows_that_contradict_each_other_are_told_with_their_residuals() -> None:
    rows = [seen(number(ROUTE), 200), seen(number(ROUTE), 400)]
    with pytest.raises(
        InputError, match=r"contradict .*route_us: measured 400 us, at best fitted 28\d.* sd\)"
    ) as caught:
        calibrate(alone(), rows, "s")
    assert "\n" not in str(caught.value)


def test_rows_that_scatter_more_than_they_say_widen_the_ranges() -> None:
    calm = calibrate(alone(), [seen(number(ROUTE), 200)] * 6, "s")
    wild = calibrate(alone(), [seen(number(ROUTE), 200 * f) for f in (0.85, 0.88, 0.9, 1.1, 1.13, 1.17)], "s")
    assert calm.scatter == 1.0
    assert wild.scatter > 2.0
    assert wild.covariance[0, 0] == pytest.approx(calm.covariance[0, 0] * wild.scatter**2, rel=0.05)


CONVERSATIONS = (
    ("setup", "aes256-sha512-modp2048", "aes256-sha512"),
    ("setup", "aes256-sha256-modp4096", "aes256-sha256"),
    ("setup", "aes256-sha256-ecp256", "aes256-sha256"),
    ("setup", "aes256-sha256-ecp384", "aes256-sha256"),
    ("rekey-child", "aes256-sha256-ecp256", "aes256-sha256"),
    ("init-only", "aes256-sha512-modp2048", "aes256-sha512"),
)


def test_a_hidden_router_lies_in_the_ranges_as_often_as_they_say() -> None:
    """Truths drawn from the base, rates of them with 5 % noise: 90 % of all values, measured or not.

    Values of one truth err together, so that the shares of 25 truths scatter by some per cent.
    """
    base = load_profile("isr4321")
    rows = [
        RateRow("", scenario, parse_ike(ike), parse_esp(esp), "psk", 1.0, "ms", 0.05, None, ike)
        for scenario, ike, esp in CONVERSATIONS
    ]
    observations = rate_observations(rows, "ios-xe-16.9")
    noise = np.random.Generator(np.random.PCG64(7))
    inside = []
    for truth in base.sample(25, seed=11):
        cost = CostModel(truth, Ledger())
        measured = [seen(o, o.predict(cost) * math.exp(0.05 * noise.standard_normal())) for o in observations]
        result = calibrate(base, measured, "s")
        values = truth.values()
        inside += [
            p.value.range[0] <= values[p.path].value <= p.value.range[1]
            for p in result.parameters
            if p.value.range is not None
        ]
    assert len(inside) > 500
    assert 0.84 < np.mean(inside) < 0.96


def test_a_hidden_router_is_predicted_within_its_noise_where_it_was_not_measured() -> None:
    """Six measured conversations predict a seventh, modp3072, far better than the base does."""
    base = load_profile("isr4321")
    rows = [
        RateRow("", scenario, parse_ike(ike), parse_esp(esp), "psk", 1.0, "ms", 0.05, None, ike)
        for scenario, ike, esp in (*CONVERSATIONS, ("setup", "aes256-sha512-modp3072", "aes256-sha512"))
    ]
    *known, hidden = rate_observations(rows, "ios-xe-16.9")
    errors = []
    for truth in base.sample(12, seed=5):
        cost = CostModel(truth, Ledger())
        result = calibrate(base, [seen(o, o.predict(cost)) for o in known], "s")
        told, real, blind = (hidden.predict(CostModel(p, Ledger())) for p in (result.profile, truth, base))
        errors.append((abs(math.log(told / real)), abs(math.log(blind / real))))
    fitted, unfitted = np.median(errors, axis=0)
    assert fitted < 0.5 * unfitted
    assert fitted < 0.15


# -- The file ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["hardware", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def calibrated(tmp_path: Path, *more: object) -> Path:
    path = tmp_path / "mine.yaml"
    code, _, told = run("calibrate", "--base", "isr4321", "--rates", RATES, *more, "-o", path)
    assert code == 0, told
    return path


def test_the_written_profile_is_what_was_fitted(tmp_path: Path) -> None:
    path = calibrated(tmp_path, "--throughput", THROUGHPUT, "--show", DATA / "show_crypto_ikev2_stats.txt")
    read = load_profile(str(path))
    outcome = calibrate_files(
        "isr4321", Files(rates=RATES, throughput=THROUGHPUT, show=(DATA / "show_crypto_ikev2_stats.txt",)), "2026-11-24"
    )
    assert read.values() == outcome.profile.values()
    assert read.correlations == outcome.profile.correlations
    assert read.limits.in_negotiation is not None
    assert read.limits.in_negotiation.value == 40
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "mine.svg").read_text()


def test_each_fitted_value_says_where_it_comes_from(tmp_path: Path) -> None:
    read = load_profile(str(calibrated(tmp_path)))
    k = read.parameters.modexp.k_fs
    assert (k.kind, k.source) == ("derived", "calibration")
    assert k.note == "before: 1430 (950 to 2850 fs)"
    assert read.sources["calibration"].conditions.startswith("isr4321 fitted with priors to rates.csv (blake2b ")
    assert str(tmp_path) not in (tmp_path / "mine.yaml").read_text()
    for correlation in read.correlations:
        assert correlation.source in {"calibration", "recollection"}


def test_the_written_profile_runs_and_draws_parameter_sets(tmp_path: Path) -> None:
    calibrated(tmp_path)
    paper = Path(str(fv.__path__[0])) / "experiments" / "paper" / "working"
    result = fv.run(paper, duration_s=30, hardware={"HQ": str(tmp_path / "mine.yaml")})
    assert result.up
    draws = load_profile("mine", [tmp_path]).sample(200, seed=1)
    sums = [d.parameters.control.message_us.value * 4 + d.parameters.control.install_sa_us.value for d in draws]
    parts = [d.parameters.control.install_sa_us.value for d in draws]
    assert np.std(np.log(sums)) < np.std(np.log(parts))


def test_a_calibrated_profile_can_be_calibrated_again(tmp_path: Path) -> None:
    calibrated(tmp_path)
    path = tmp_path / "again.yaml"
    files = ("--throughput", THROUGHPUT, "--profiles", tmp_path)
    code, _, told = run("calibrate", "--base", "mine", *files, "-o", path)
    assert code == 0, told
    read = load_profile("again", [tmp_path])
    assert read.parameters.forwarding.io_us.source == "calibration-2"
    assert set(read.sources) == {"calibration", "calibration-2"}
    assert read.parameters.modexp.k_fs.source == "calibration"


def test_the_same_files_give_the_same_file() -> None:
    outcomes = [calibrate_files("isr4321", Files(rates=RATES), "2026-11-24") for _ in range(2)]
    first, second = (profile_yaml(outcome, "mine", "c") for outcome in outcomes)
    assert first == second


def test_openssl_alone_sets_cryptography_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "cpu.yaml"
    code, out, told = run("calibrate", "--base", "isr4321", "--openssl", DATA / "openssl_3.0.txt", "-o", path)
    assert code == 0, told
    read, base = load_profile(str(path)), load_profile("isr4321")
    assert read.parameters.ecdh.p256_us.value == pytest.approx(1e6 / 19118, rel=1e-3)
    assert read.parameters.ecdh.p256_us.kind == "measured"
    assert read.parameters.ecdh.p256_us.source == "primitives"
    assert read.parameters.control == base.parameters.control
    assert read.parameters.modexp.exponent_bits == base.parameters.modexp.exponent_bits
    assert "Still assumed:" in out


def test_show_alone_writes_limits_and_no_chart(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    files = (DATA / "show_crypto_eli_all.txt", DATA / "show_processes_cpu.txt")
    code, out, told = run("calibrate", "--base", "isr4331", "--show", files[0], files[1], "-o", path)
    assert code == 0, told
    assert load_profile(str(path)).limits.tunnels is not None
    assert not path.with_suffix(".png").exists()
    assert "unverified" in out


def test_json_holds_rows_parameters_and_covariance(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    code, out, _ = run("calibrate", "--base", "isr4321", "--rates", RATES, "-o", path, "--json")
    assert code == 0
    found = json.loads(out, parse_constant=lambda text: pytest.fail(text))
    assert [row["unit"] for row in found["rows"]] == ["ms", "ms", "handshakes/s", "ms"]
    assert len(found["covariance_of_logarithms"]) == len(found["parameters"])
    assert found["profile"] == str(path)


def test_a_rate_with_all_cores_busy_is_cores_over_cpu_time(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    head = "scenario,ike,esp,value,unit,cores\n"
    rows = "setup,aes256-sha256-ecp256,aes256-sha256,"
    path.write_text(f"{head}{rows}16,ms,\n{rows}62.5,handshakes/s,1\n{rows}125,handshakes/s,2\n")
    cost = CostModel(load_profile("isr4321"), Ledger())
    ms, one, two = (o.predict(cost) for o in rate_observations(read_rates(path), "ios-xe-16.9"))
    assert one == pytest.approx(1e3 / ms)
    assert two == pytest.approx(2e3 / ms)


# -- Bad input -----------------------------------------------------------------------------------------------------

HEAD = "scenario,ike,esp,auth,value,unit\n"
ROW = "setup,aes256-sha256-ecp256,aes256-sha256,psk,16,ms\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + ROW, "has 1 row; at least 2 are needed"),
        (HEAD + ROW + ROW.replace("16", "160"), "contradict the model or each other"),
        (HEAD + ROW + ROW.replace("setup", "setpu"), "r.csv:3: unknown scenario 'setpu', did you mean 'setup'?"),
        (
            HEAD + ROW + ROW.replace("psk", "rsa2084"),
            "r.csv:3: unknown authentication 'rsa2084', did you mean 'rsa2048'?",
        ),
        (HEAD + ROW + ROW.replace("16", "-1"), "r.csv:3: value: found '-1', a positive number is needed"),
        (HEAD + ROW + ROW.replace("aes256-sha256,", "aes255-sha256,"), "r.csv:3: unknown word of a proposal 'aes255'"),
    ],
)
def test_bad_rates_are_told_in_one_line_and_nothing_is_written(tmp_path: Path, text: str, told: str) -> None:
    rates, output = tmp_path / "r.csv", tmp_path / "mine.yaml"
    rates.write_text(text)
    output.write_text("old")
    code, out, error = run("calibrate", "--base", "isr4321", "--rates", rates, "-o", output)
    assert code == 2
    assert out == ""
    (line,) = error.strip().splitlines()
    assert line.startswith("flexvpn-sim: ")
    assert told in line
    assert output.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.yaml", "r.csv"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--base", "isr4312", "--rates", RATES, "-o", "m.yaml"], "did you mean 'isr4321'?"),
        (["--base", "isr4321", "-o", "m.yaml"], "nothing to calibrate with"),
        (["--base", "isr4321", "--rates", "none.csv", "-o", "m.yaml"], "none.csv: no such file"),
        (["--base", "isr4321", "--rates", RATES, "-o", "m.txt"], "a file that ends in .yaml is needed"),
        (["--base", "isr4321", "--rates", RATES, "-o", "isr4321.yaml"], "'isr4321' cannot extend itself"),
        (["--base", "isr4321", "--rates", RATES, "-o", "none/m.yaml"], "none: no such folder"),
        (["--base", "a/mine.yaml", "--rates", RATES, "-o", "m.yaml"], "--base mine --profiles a"),
        (["--base", "isr4321", "--openssl", RATES, "-o", "m.yaml"], "holds no result of 'openssl speed'"),
        (["--base", "isr4321", "--show", RATES, "-o", "m.yaml"], "holds no output of 'show crypto eli'"),
        (["--base", "isr4321", "--rates", RATES, RATES, "-o", "m.yaml"], "files are given after --show"),
        (
            ["--base", "isr4321", "--rates", RATES, "--implementation", "strongswam", "-o", "m.yaml"],
            "did you mean 'strongswan'?",
        ),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, error = run("calibrate", *arguments)
    assert (code, out) == (2, "")
    (line,) = error.strip().splitlines()
    assert told in line
    assert list(tmp_path.iterdir()) == []


def test_an_older_profile_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("old")
    assert "extends: isr4321" in calibrated(tmp_path).read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.png", "mine.svg", "mine.yaml"]
