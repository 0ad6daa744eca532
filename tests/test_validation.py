"""``flexvpn-sim hardware validate``: targets over the computed rows, honesty of the split, laws, command and page."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from flexvpn_sim.experiments.charts.style import render
from flexvpn_sim.experiments.charts.validation import draw
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.routers import (
    validation,
    validation_network,
    validation_public_key,
    validation_testbed,
    validation_text,
)
from flexvpn_sim.experiments.routers.validation import Comparison, Section, Target, Validation
from flexvpn_sim.hardware import scaling
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.hardware.public_figures import TABLES, figures, sources
from flexvpn_sim.models.errors import InputError

PAGE = Path(__file__).parents[1] / "docs" / "hardware_validation.md"
#: What the project promises: bounds of the median and of the worst absolute error of what set no parameter.
PROMISED: dict[str, tuple[float | None, float]] = {
    "handshake-cpu": (0.08, 0.15),
    "exponentiations": (None, 0.20),
    "ffdh": (None, 0.20),
    "rsa": (None, 0.15),
    "curves": (None, 0.10),
    "mlkem": (None, 0.20),
    "gateway": (None, 0.10),
    "azure-cbc": (None, 0.08),
    "azure-3des": (None, 0.30),
    "message-sizes": (None, 0.001),
    "delayed": (None, 0.03),
    "lossy": (None, 0.06),
    "retransmissions": (None, 0.05),
}


@pytest.fixture(scope="module")
def result() -> Validation:
    return validation.validate()


@pytest.fixture(scope="module")
def sections(result: Validation) -> dict[str, Section]:
    return {section.name: section for section in result.sections}


def command(*words: object) -> Result:
    return CliRunner().invoke(app, ["hardware", "validate", *map(str, words)])


# -- Targets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROMISED)
def test_errors_of_what_set_no_parameter_stay_within_the_promise(sections: dict[str, Section], name: str) -> None:
    median_bound, worst_bound = PROMISED[name]
    rows = [row for row in sections[name].rows if row.use == "unused"]
    errors = sorted(abs(row.predicted / row.measured - 1) for row in rows if row.predicted and row.measured)
    assert len(errors) == len(rows) > 0
    assert errors[-1] < worst_bound
    assert median_bound is None or errors[len(errors) // 2] < median_bound
    assert sections[name].target == Target(worst=worst_bound, median=median_bound)
    assert sections[name].met


def test_only_sections_without_a_promise_have_no_target(sections: dict[str, Section]) -> None:
    assert {name for name, s in sections.items() if s.target.worst is None} == set(sections) - set(PROMISED)


def test_every_handshake_that_is_simulated_is_predicted(sections: dict[str, Section]) -> None:
    rows = {row.figure: row for row in sections["handshake-cpu"].rows}
    assert {name for name, row in rows.items() if row.predicted is None} == {"v1-main-psk-modp2048 (openssl)"}
    assert {row.figure.partition("(")[2] for row in rows.values() if row.use == "unused"} == {
        "openssl)",
        "gmp)",
        "gmp-short)",
    }


@pytest.mark.parametrize("anchor", [cell for cell in validation_network._cells() if cell[2] == "100ping"], ids=" ".join)
def test_any_delayed_cell_tells_the_round_trip_time_of_the_others(anchor: tuple[str, str, str]) -> None:
    for cell, row in validation_network._cells().items():
        if cell[2] == "100ping":
            predicted_s = validation_network.predicted_set_up_s(cell[0], cell[1], anchor)
            assert predicted_s == pytest.approx(float(row["median_ms"]) * 1e-3, rel=0.03)


# -- Honesty of the split --------------------------------------------------------------------------------------


def test_at_most_three_constants_serve_set_ups_and_rekeys() -> None:
    stateless = {"cookie-only-modp2048"}
    constants = [note for case, note in validation_testbed.FITTED.items() if case not in stateless]
    assert len(constants) == 3
    known = load_profile("linux-strongswan-openssl").values()
    assert all(note.removeprefix("set ") in known for note in validation_testbed.FITTED.values())


def test_fitted_handshakes_are_reproduced_and_count_for_no_target(sections: dict[str, Section]) -> None:
    rows = [row for name in ("handshake-cpu", "without-state") for row in sections[name].rows if row.use == "fit"]
    assert {row.figure.partition(" ")[0] for row in rows} == set(validation_testbed.FITTED)
    assert all(row.error is not None and abs(row.error) < 0.03 for row in rows)
    assert sections["without-state"].met is None


def test_two_points_through_two_parameters_are_interpolation(sections: dict[str, Section]) -> None:
    section = sections["two-points"]
    assert {row.use for row in section.rows} == {"interpolation"}
    assert section.median_error is None and section.met is None


def test_what_cannot_be_judged_is_left_out_with_a_reason(sections: dict[str, Section]) -> None:
    left_out = [row for s in sections.values() for row in s.rows if row.use in ("excluded", "not predicted")]
    assert left_out and all(row.note for row in left_out)
    figure = "C2558, FreeBSD 13 IPsec, VTI: cbc256-sha256"
    assert next(row for row in sections["gateway"].rows if row.figure == figure).use == "excluded"
    delays = [row for row in sections["lossy"].rows if "200ping" in row.figure]
    assert delays and {row.use for row in delays} == {"excluded"}


def test_cpus_with_code_of_their_own_for_2048_bits_are_told_by_the_rule(sections: dict[str, Section]) -> None:
    special = {row.source for row in sections["rsa"].rows if row.use == "excluded"}
    assert special == {"old102g", "testbed"}
    # A law of cubes cannot explain them: the rule, which looks at 2048 bits alone, is right about both.
    for source in special:
        points = {
            r["size"]: float(r["us"])
            for r in figures("public_key")
            if r["source"] == source and "sign" in r["operation"]
        }
        longer = min(size for size in points if size != "2048")
        assert scaling.growth((2048, points["2048"]), (int(longer), points[longer])) > scaling.STEEPEST_RSA_SIGN


@pytest.mark.parametrize(
    ("maker", "known", "source"),
    [
        ("ffdh", "2048", "testbed"),
        ("ffdh", "2048", "oqsdemo34"),
        ("rsa", "2048", "ruslandoga"),
        ("rsa", "2048", "bitofhope"),
        ("mlkem", "768", "itzmeanjan"),
        ("mlkem", "768", "vdukhovni"),
    ],
)
def test_predictions_of_a_source_do_not_look_at_what_they_predict(
    monkeypatch: pytest.MonkeyPatch, maker: str, known: str, source: str
) -> None:
    def predicted() -> list[float | None]:
        return [row.predicted for row in getattr(validation_public_key, maker)().rows if row.source == source]

    def changed(name: str) -> list[dict[str, str]]:
        return [
            row | {"us": str(3 * float(row["us"]))} if row["source"] == source and row["size"] != known else row
            for row in figures(name)
        ]

    before = predicted()
    assert len(before) > 1
    monkeypatch.setattr(validation_public_key, "figures", changed)
    assert predicted() == before


def test_p384_costs_more_than_p521_only_across_classes(sections: dict[str, Section]) -> None:
    orders = [row for row in sections["curves"].rows if row.use == "order"]
    assert {row.holds for row in orders} == {True}
    assert sum(row.measured is not None and row.measured > 1 for row in orders) == 3


def test_a_profile_that_is_missing_makes_a_row_without_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(validation_testbed.PROFILES, "gmp", "linux-strongswan-gpm")
    row = next(r for r in validation_testbed.handshake_cpu().rows if r.figure == "psk-modp2048-gmp (gmp)")
    assert (row.use, row.predicted, row.error) == ("not predicted", None, None)
    assert "unknown hardware profile 'linux-strongswan-gpm'" in row.note


def test_a_missed_target_or_a_wrong_order_is_told() -> None:
    def section(*rows: Comparison) -> Section:
        return Section("s", "S", Target(worst=0.1), rows)

    def row(predicted: float, use: validation.Use = "unused", holds: bool | None = None) -> Comparison:
        return Comparison("f", "s", 1.0, predicted, use, "law", "testbed", holds=holds)

    assert section(row(1.09)).met is True
    assert section(row(1.09), row(0.89)).met is False
    assert section(row(5.0, "fit")).met is None
    assert section(row(1.0), row(1.0, "order", holds=False)).met is False
    assert not Validation((section(row(1.0)), section(row(2.0)))).met


# -- Laws ------------------------------------------------------------------------------------------------------

MODULI = st.lists(st.integers(1024, 16384), min_size=2, max_size=6, unique=True)


@given(drift=st.floats(0, 0.5), moduli=MODULI, k=st.floats(1e-16, 1e-12))
def test_drift_of_a_law_is_found_again(drift: float, moduli: list[int], k: float) -> None:
    times = [(n / 8, n, k * n / 8 * n**2 * (2048 / n) ** drift) for n in moduli]
    assert scaling.ffdh_drift(times) == pytest.approx(drift, abs=1e-6)


@given(
    base=st.tuples(st.floats(100, 8192), st.integers(1024, 8192)),
    wanted=st.tuples(st.floats(100, 8192), st.integers(1024, 8192)),
    drift=st.floats(0, 0.5),
    code=st.sampled_from(["schoolbook", "subquadratic"]),
)
def test_a_prediction_back_and_forth_returns_to_the_known_time(
    base: tuple[float, int], wanted: tuple[float, int], drift: float, code: scaling.Multiplication
) -> None:
    there_s = scaling.ffdh_from(1e-3, base, wanted, drift, code)
    assert scaling.ffdh_from(there_s, wanted, base, drift, code) == pytest.approx(1e-3)


def test_subquadratic_code_is_the_same_up_to_4096_bits_and_cheaper_beyond() -> None:
    for bits in (3072, 4096, 6144, 8192):
        plain, fast = (
            scaling.ffdh_from(1.0, (225, 2048), (400, bits), 0.2, code) for code in ("schoolbook", "subquadratic")
        )
        assert fast == plain if bits <= 4096 else fast < plain
    # Toom and Cook: three times the length, five times the work.
    assert scaling.ffdh_from(1.0, (1, 4096), (1, 3 * 4096), 0.2, "subquadratic") == pytest.approx(5)


@given(exponent=st.floats(0.1, 4), small=st.integers(256, 4096), factor=st.floats(1.1, 8), seconds=st.floats(1e-9, 10))
def test_growth_and_power_law_are_inverse(exponent: float, small: int, factor: float, seconds: float) -> None:
    large = math.ceil(small * factor)
    there_s = scaling.power_law((small, seconds), large, exponent)
    assert scaling.growth((small, seconds), (large, there_s)) == pytest.approx(exponent)


def test_special_code_is_told_from_2048_bits_or_from_an_impossible_growth() -> None:
    # A published output of a server CPU: 3122 signatures a second at 2048 bits, 508 at 3072.
    fast = {2048: 1 / 3122, 3072: 1 / 508}
    assert scaling.has_special_2048(fast, {})
    assert scaling.has_special_2048(fast, {2048: 1 / 60000})
    assert not scaling.has_special_2048({2048: 1.0, 3072: 1.5**2.9}, {})
    assert not scaling.has_special_2048({2048: 1.0}, {2048: 1 / 35})
    assert not scaling.has_special_2048({}, {})


@given(a=st.floats(1e-9, 1e-6), b=st.floats(1e-11, 1e-7))
def test_line_through_exact_points_is_found(a: float, b: float) -> None:
    found = scaling.line_through({size: a + b * size for size in (16, 64, 256, 1024, 8192)})
    assert found == pytest.approx((a, b), rel=1e-6)


@given(
    bps=st.floats(1e6, 1e11),
    frame=st.floats(64, 9000),
    added_s=st.floats(1e-12, 1e-7),
    cores=st.integers(1, 16),
)
def test_a_dearer_cipher_slows_a_gateway_and_more_cores_soften_it(
    bps: float, frame: float, added_s: float, cores: int
) -> None:
    slower = scaling.gateway_bps(bps, frame, added_s, frame, cores)
    assert slower < bps
    assert scaling.gateway_bps(bps, frame, 0.0, frame, cores) == pytest.approx(bps)
    assert slower <= scaling.gateway_bps(bps, frame, added_s, frame, cores + 1)
    # Time a packet is additive.
    assert scaling.packet_s(slower, frame) - scaling.packet_s(bps, frame) == pytest.approx(
        added_s * frame / cores, rel=1e-3
    )


@pytest.mark.parametrize(
    ("ike_bytes", "count"), [(1168, 1), (1264, 1), (3168, 3), (3200, 3), (4608, 4), (9104, 7), (9008, 7)]
)
def test_fragments_are_those_of_a_recorded_conversation(ike_bytes: int, count: int) -> None:
    # source: strongX509/docker, pq-strongswan, commit b2c05f4d: fragment_size 1480, AES-256-CBC, HMAC-SHA-256, NAT-T.
    assert scaling.datagrams(ike_bytes, 1480) == count


@given(length=st.integers(80, 60000), fragment=st.integers(576, 1500))
def test_longer_messages_and_shorter_fragments_never_need_fewer_datagrams(length: int, fragment: int) -> None:
    assert scaling.datagrams(length, fragment) <= scaling.datagrams(length + 16, fragment)
    assert scaling.datagrams(length, fragment) <= scaling.datagrams(length, fragment - 16)


def test_waiting_times_are_those_of_a_simulated_timer() -> None:
    loss, exchanges, tries, rng = 0.05, [2, 3, 6], 40000, random.Random(7)
    seen: Counter[float] = Counter()
    for _ in range(tries):
        wait_s = 0.0
        for count in exchanges:
            failures = 0
            while any(rng.random() < loss for _ in range(count)):
                wait_s += 4.0 * 1.8**failures
                failures += 1
        seen[round(wait_s, 6)] += 1
    law: Counter[float] = Counter()
    for wait_s, p in scaling.waiting_times(loss, exchanges, longest=7):
        law[round(wait_s, 6)] += p
    assert sum(law.values()) == pytest.approx(1, abs=1e-3)
    assert law[0.0] == pytest.approx(scaling.no_loss(loss, sum(exchanges)))
    for wait_s in (0.0, 4.0, 8.0, 11.2):
        deviation = (law[wait_s] * (1 - law[wait_s]) / tries) ** 0.5
        assert seen[wait_s] / tries == pytest.approx(law[wait_s], abs=4 * deviation)


@given(loss=st.floats(0.001, 0.1), share=st.floats(0.5, 0.99))
def test_quantile_of_the_waiting_time_brackets_its_share(loss: float, share: float) -> None:
    wait_s, below, up_to = scaling.waiting_quantile(loss, [2, 4], share)
    assert wait_s >= 0 and below < share <= up_to


# -- Figures ---------------------------------------------------------------------------------------------------


def test_every_table_tells_its_source_and_every_row_a_known_one() -> None:
    for table in (*TABLES, "sources"):
        text = (files("flexvpn_sim.hardware.public_figures") / f"{table}.csv").read_text()
        assert text.startswith("# source: ")
    used = {row["source"] for table in TABLES for row in figures(table)}
    assert used == set(sources())
    assert all(source["title"] and (source["address"] or name == "testbed") for name, source in sources().items())


def test_tables_tell_each_other_apart() -> None:
    with pytest.raises(InputError, match="unknown table of public figures 'mlkme', did you mean 'mlkem'"):
        figures("mlkme")


def test_every_figure_is_compared_or_helps_to_predict(result: Validation) -> None:
    assert set(result.cited()) | {r["source"] for r in figures("symmetric")} == set(sources())


# -- Command and page ------------------------------------------------------------------------------------------


def test_json_is_one_object_with_the_split(result: Validation) -> None:
    done = command("--json")
    assert done.exit_code == 0
    read = json.loads(done.stdout)
    assert read["targets_met"] is True
    rows = [row for section in read["sections"] for row in section["rows"]]
    assert len(rows) == sum(len(section.rows) for section in result.sections) > 150
    assert {row["use"] for row in rows} == set(validation.USES)
    assert all(row["source"] in read["sources"] and row["law"] for row in rows)
    assert all(row["error"] is None for row in rows if row["predicted"] is None)


def test_text_has_every_section_with_its_errors_and_target(result: Validation) -> None:
    done = command()
    assert done.exit_code == 0
    for section in result.sections:
        assert section.title in done.stdout
    assert "median < 8 %, worst < 15 %" in done.stdout
    assert "Every target is met." in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 150


def test_a_missed_target_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Comparison("f", "s", 1.0, 2.0, "unused", "law", "testbed")
    missed = Validation((Section("s", "S", Target(worst=0.1), (row,)),))
    monkeypatch.setattr(validation, "validate", lambda: missed)
    done = command()
    assert done.exit_code == 1
    assert "A target is missed." in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--chart", "{}/v.pdf"), "'.pdf' is no format of this file; allowed: .png, .svg"),
        (("--markdown", "{}/v.html"), "'.html' is no format of this file; allowed: .md"),
        (("--chart", "{}/no/v.png"), "no such folder"),
        (("--chart", "{}/v.png", "--markdown", "{}/no/v.md"), "no such folder"),
    ],
)
def test_wrong_files_are_refused_and_nothing_is_written(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = command(*(word.format(tmp_path) for word in words))
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_chart_and_page_are_written_whole(tmp_path: Path) -> None:
    assert command("--chart", tmp_path / "v.png", "--markdown", tmp_path / "v.md", "--json").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.md", "v.png"]
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")


def test_chart_is_the_same_every_time_and_says_what_is_fitted(result: Validation) -> None:
    first, second = (render(draw(result), "svg") for _ in range(2))
    assert first == second
    text = first.decode()
    for part in ("not used for a fit", "interpolation", "target", "Fitted or known"):
        assert part in text


def test_the_page_of_the_documentation_is_fresh(result: Validation) -> None:
    assert PAGE.read_text() == validation_text.page(result), f"stale; run: {validation_text.REGENERATE}"


def test_percentages_and_quantities_round_as_a_reader_expects() -> None:
    assert [validation_text.percent(e, sign=True) for e in (-0.0004, 0.0006, -0.097)] == ["0.0 %", "+0.1 %", "-9.7 %"]
    sizes = [validation_text.quantity(v, "s") for v in (2e-6, 2e-3, 2.0)]
    assert sizes == ["2 us", "2 ms", "2 s"]
    assert all(a != b for a, b in pairwise(sizes))
