"""``hardware compare``: its figures are those of the real machinery, its bands those of the draws."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from flexvpn_sim.experiments.charts.hardware import draw
from flexvpn_sim.experiments.charts.style import SMALL
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.exchange import exchange
from flexvpn_sim.experiments.routers.compare import HANDSHAKES, ITEMS, THROUGHPUT_SIZES, compare
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile, profile_names
from flexvpn_sim.models.algorithms import GROUPS, KEMS
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.operations import DhKeygen, DhShared, DhValidate, KemStep, Sign
from flexvpn_sim.models.notation import parse_esp, parse_ike
from flexvpn_sim.models.values import Ledger

OPENSSL = "linux-strongswan-openssl"
Result = dict[str, Any]


@pytest.fixture(scope="module")
def plain() -> Result:
    return compare([load_profile(name) for name in ("isr4321", OPENSSL)])


@pytest.fixture(scope="module")
def banded() -> Result:
    return compare([load_profile("isr4321")], samples=40, seed=3)


def row_of(result: Result, section: str, profile: str, *item: Any) -> dict[str, Any]:
    (found,) = [
        row for row in result[section] if (row["profile"], *(row[part] for part in ITEMS[section])) == (profile, *item)
    ]
    return found  # type: ignore[no-any-return]


def test_every_method_is_there_and_costs_what_its_steps_cost(plain: Result) -> None:
    cost = CostModel(load_profile("isr4321"), Ledger())
    for number, group in GROUPS.items():
        row = row_of(plain, "key_exchanges", "isr4321", group.name)
        steps = cost.service_s([DhKeygen(number), DhValidate(number), DhShared(number)])
        assert row["responder_s"] == pytest.approx(steps) == pytest.approx(row["initiator_s"])
    for name in KEMS:
        row = row_of(plain, "key_exchanges", "isr4321", name)
        assert row["responder_s"] == cost.operation_s(KemStep(name, "encapsulate"))
        both = cost.service_s([KemStep(name, "keygen"), KemStep(name, "decapsulate")])
        assert row["initiator_s"] == pytest.approx(both)


@pytest.mark.parametrize(("auth", "ike"), HANDSHAKES)
def test_set_ups_are_those_of_the_exchange_command(plain: Result, auth: str, ike: str) -> None:
    """The identities have other lengths there, which only hashing sees."""
    told = exchange(parse_ike(ike), parse_esp("aes256-sha256"), load_profile(OPENSSL), auth=auth)
    row = row_of(plain, "handshakes", OPENSSL, auth, ike)
    assert row["responder_cpu_s"] == pytest.approx(told["responder_cpu_s"], rel=0.01)
    assert row["per_s"] == pytest.approx(2 / told["responder_cpu_s"], rel=0.01)


def test_a_signature_is_most_of_what_rsa_costs_and_a_key_almost_nothing(plain: Result) -> None:
    rsa = row_of(plain, "authentications", "isr4321", "rsa4096")
    cost = CostModel(load_profile("isr4321"), Ledger())
    assert rsa["sign_s"] == pytest.approx(cost.operation_s(Sign("rsa4096")), rel=0.01)
    assert rsa["total_s"] == pytest.approx(rsa["sign_s"] + rsa["verify_s"] + rsa["certificate_s"])
    assert row_of(plain, "authentications", "isr4321", "psk")["total_s"] < 0.01 * rsa["total_s"]


def test_licence_and_hsec_limits_are_told_apart_from_the_cores(plain: Result) -> None:
    """Of an ESP packet of 1484 bytes 1400 are inner ones: 50 and 85 Mbit/s on the wire."""
    row = row_of(plain, "throughput", "isr4321", "aes-cbc-256 sha512", 1400)
    assert row["licence_bps"] == pytest.approx(50e6 * 1400 / 1484, rel=0.01)
    assert row["hsec_bps"] / row["licence_bps"] == pytest.approx(1.7)
    assert row["throughput_bps"] == row["licence_bps"] < row["hsec_bps"] < row["cores_bps"]
    assert (row["bottleneck"], row["cores_bottleneck"]) == ("licence shaper", "crypto core")
    free = row_of(plain, "throughput", OPENSSL, "aes-cbc-256 sha512", 1400)
    assert free["licence_bps"] is None and free["hsec_bps"] is None
    assert free["throughput_bps"] == free["cores_bps"] and free["bottleneck"] == "packet core"


def test_cores_carry_what_their_service_times_allow(plain: Result) -> None:
    cost = CostModel(load_profile(OPENSSL), Ledger())
    for size in THROUGHPUT_SIZES:
        row = row_of(plain, "throughput", OPENSSL, "aes-gcm-256", size)
        # RFC 4303 with GCM: 20 outer IP, 8 ESP, 8 IV, payload with two trailer bytes to a multiple of 4, 16 ICV.
        esp_bytes = np.array([52 + 4 * math.ceil((size + 2) / 4)])
        packet_s = cost.packet_core_s(np.array([size]))[0] + cost.crypto_s(esp_bytes, "aes-gcm-256", "")[0]
        assert row["cores_bps"] == pytest.approx(8 * size * cost.packet_cores / packet_s)


def test_bands_hold_nine_draws_of_ten(banded: Result) -> None:
    """5 % and 95 % of 40 draws: the second smallest and the second largest but for the definition of a quantile."""
    row = row_of(banded, "key_exchanges", "isr4321", "modp2048")
    drawn = sorted(
        CostModel(one, Ledger()).service_s([DhKeygen(14), DhValidate(14), DhShared(14)])
        for one in load_profile("isr4321").sample(40, seed=3)
    )
    assert (row["responder_low_s"], row["responder_high_s"]) == (drawn[1], drawn[37])
    for section in ITEMS:
        for entry in banded[section]:
            lows = [key for key in entry if "_low_" in key and entry[key] is not None]
            assert lows or section == "throughput"
            for key in lows:
                assert entry[key] <= entry[key.replace("_low_", "_high_")]


def test_the_same_seed_gives_the_same_bands_and_company_changes_nothing(banded: Result) -> None:
    both = compare([load_profile(OPENSSL), load_profile("isr4321")], samples=40, seed=3)
    for section in ITEMS:
        assert [row for row in both[section] if row["profile"] == "isr4321"] == banded[section]
    other = compare([load_profile("isr4321")], samples=40, seed=4)
    assert other["key_exchanges"] != banded["key_exchanges"]


@pytest.mark.parametrize("name", [n for n in profile_names() if load_profile(n).ikev2.supported])
def test_every_shipped_router_can_be_compared(name: str) -> None:
    result = compare([load_profile(name)], samples=2)
    assert result["profiles"][0]["missing"] == []
    json.dumps(result, allow_nan=False)
    assert all(row["per_s"] > 0 for row in result["handshakes"])


def test_the_command_prints_json_and_tables(tmp_path: Path) -> None:
    chart = tmp_path / "c.svg"
    done = CliRunner().invoke(app, ["hardware", "compare", "isr4321", "isr4451", "--samples", "3", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["samples"] == 3 and len(told["handshakes"]) == 2 * len(HANDSHAKES)
    done = CliRunner().invoke(
        app, ["hardware", "compare", "isr4321", "isr4451", "--samples", "0", "--chart", str(chart)]
    )
    assert done.exit_code == 0
    assert "modp2048" in done.stdout and "without HSEC" in done.stdout
    assert "isr4451" in chart.read_text() and [p.name for p in tmp_path.iterdir()] == ["c.svg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["isr4312"], "did you mean 'isr4321'"),
        (["isr4321", "isr1841"], "isr1841: Cisco 1841 cannot run IKEv2: FlexVPN"),
        (["isr4321", "isr4321"], "named twice"),
        (["isr4321", "--samples", "-1"], "--samples: found -1"),
        (["isr4321", "--implementation", "strongswam"], "did you mean 'strongswan'"),
        (["isr4321", "--chart", "{folder}/c.pdf"], "'.pdf' is no format of a chart"),
        (["isr4321", "--chart", "{folder}/no/c.png"], "no such folder"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    given = [argument.format(folder=tmp_path) for argument in arguments]
    done = CliRunner().invoke(app, ["hardware", "compare", *given])
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not done.stdout and not list(tmp_path.iterdir())


def test_more_routers_than_a_chart_can_tell_apart_are_refused(tmp_path: Path) -> None:
    names = [n for n in profile_names() if load_profile(n).ikev2.supported][:8]
    done = CliRunner().invoke(app, ["hardware", "compare", *names, "--chart", str(tmp_path / "c.png")])
    assert done.exit_code == 2 and "at most 7" in done.stderr


def test_the_chart_is_legible_and_says_what_it_leans_on(banded: Result) -> None:
    figure = draw(banded)
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    texts = [*figure.texts, *(t for one in figure.legends for t in one.get_texts())]
    texts += [t for ax in figure.axes for t in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels())]
    for text in texts:
        if text.get_text():
            box = text.get_window_extent()
            assert text.get_fontsize() >= SMALL
            assert box.x0 >= -0.5 and box.x1 <= width + 0.5 and box.y0 >= -0.5 and box.y1 <= height + 0.5, text
    footer = next(t.get_text() for t in figure.texts if t.get_gid() == "footer")
    assert "Seed 3, 40 parameter sets" in footer and "Assumed: " in footer
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "ignorance: 5 % to 95 % of the parameter sets" in legend


def test_a_router_without_ikev2_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(InputError, match="cannot run IKEv2"):
        compare([load_profile("isr2811")])
