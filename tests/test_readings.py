"""Files that users bring: ``openssl speed`` of several versions, CSV, ``show`` outputs; and profiles made of them."""

from __future__ import annotations

import contextlib
import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.hardware.calibration import Calibration, calibrate
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.hardware.public_key import modexp_s, rsa_s
from flexvpn_sim.hardware.readings.openssl_speed import (
    Reading,
    parse_openssl_speed,
    read_openssl_speed,
    symmetric_name,
)
from flexvpn_sim.hardware.readings.primitives import EXPONENT_BITS, from_readings
from flexvpn_sim.hardware.readings.show import parse_show, read_show
from flexvpn_sim.hardware.readings.tables import read_rates, read_throughput
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.operations import DhShared, KemStep, Sign, Verify
from flexvpn_sim.models.values import Ledger

DATA = Path(__file__).parent / "data" / "calibration"
BASES = ("isr4321", "linux-strongswan-openssl")


def readings(name: str) -> dict[tuple[str, str, int], float]:
    """Return the times of a sample in microseconds, by name, step and bytes."""
    found, _ = read_openssl_speed(DATA / name)
    return {(r.name, r.step, r.n_bytes): r.time_s * 1e6 for r in found}


# -- openssl speed -------------------------------------------------------------------------------------------------


def test_tables_of_openssl_3_are_read_as_printed() -> None:
    times = readings("openssl_3.0.txt")
    assert times["rsa2048", "sign", 0] == pytest.approx(1e6 / 1484.0)
    assert times["rsa4096", "verify", 0] == pytest.approx(1e6 / 14453.0)
    assert times["ecdsa384", "verify", 0] == pytest.approx(1e6 / 1331.3)
    assert times["ed25519", "sign", 0] == pytest.approx(1e6 / 22627.0)
    assert times["curve25519", "", 0] == pytest.approx(1e6 / 27005.0)
    assert times["modp3072", "", 0] == pytest.approx(1e6 / 1221.0)
    assert times["aes-gcm-256", "", 1024] == pytest.approx(1024 / 1431.86022)
    assert times["3des", "", 16] == pytest.approx(16 / 26.54723)


def test_machine_lines_say_the_same_as_tables() -> None:
    """Two runs of one machine: within 6 %."""
    table, machine = readings("openssl_3.0.txt"), readings("openssl_3.0_mr.txt")
    both = table.keys() & machine.keys()
    assert {name for name, _, _ in both} >= {"rsa2048", "ecdsa256", "ecp256", "curve25519", "ed25519", "modp2048"}
    for key in both:
        assert machine[key] == pytest.approx(table[key], rel=0.06), key


def test_kem_and_signature_tables_of_openssl_3_5_and_four_columns_of_rsa() -> None:
    times = readings("openssl_3.5_kem.txt")
    assert times["mlkem768", "encapsulate", 0] == pytest.approx(19.489, rel=1e-4)
    assert times["mldsa65", "sign", 0] == pytest.approx(300.03, rel=1e-4)
    assert times["rsa2048", "sign", 0] == pytest.approx(1e6 / 2308.8)
    assert ("mldsa65", "keygen", 0) not in times
    assert not any(name == "curve25519" for name, _, _ in times)


def test_words_of_openssl_1_0_and_what_no_profile_has() -> None:
    found, unused = read_openssl_speed(DATA / "openssl_1.0.txt")
    assert {r.name for r in found} == {"aes-cbc-256", "rsa2048", "rsa4096", "ecdsa256"}
    assert {u.text for u in unused} == {"camellia-128 cbc", "dsa 2048 bits", "571 bit ecdsa (nistk571)"}
    assert all(u.where.startswith(str(DATA / "openssl_1.0.txt:")) for u in unused)


def test_several_processes_at_once_are_refused() -> None:
    with pytest.raises(InputError, match=r"openssl_3\.0_multi\.txt:2: comes from -multi"):
        read_openssl_speed(DATA / "openssl_3.0_multi.txt")


@pytest.mark.parametrize("text", ["", "hello\n", "+F3:2:2048:3677.380952:4182.828283\n"])
def test_a_text_without_a_usable_result_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^x: holds no result of 'openssl speed'"):
        parse_openssl_speed(text, "x")


def test_a_spoilt_machine_line_is_told_with_its_place() -> None:
    with pytest.raises(InputError, match=r"^x:1: found '\+F2:2:2048', which is no machine line"):
        parse_openssl_speed("+F2:2:2048\n", "x")


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    found: list[Reading] = []
    with contextlib.suppress(InputError):
        found, _ = parse_openssl_speed(text, "x")
    assert all(math.isfinite(r.time_s) and r.time_s > 0 for r in found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AES-128-CBC", ("cipher", "aes-cbc-128")),
        ("id-aes192-GCM", ("cipher", "aes-gcm-192")),
        ("des ede3", ("cipher", "3des")),
        ("ChaCha20-Poly1305", ("cipher", "chacha20poly1305")),
        ("SHA2-384", ("hash", "sha384")),
        ("hmac(sha1)", ("hmac", "sha1")),
        ("aes-128-ige", None),
        ("hmac(sm3)", None),
    ],
)
def test_ciphers_by_any_name(text: str, name: tuple[str, str] | None) -> None:
    assert symmetric_name(text) == name


# -- Primitives in a profile ---------------------------------------------------------------------------------------


def fit(base: str, rows: list[Reading]) -> Calibration:
    primitives = from_readings(load_profile(base), rows, "s")
    return calibrate(primitives.profile, primitives.observations, "s", original=load_profile(base))


def published() -> dict[tuple[str, str], dict[int, float]]:
    """Return times by machine and operation, by size. [s]"""
    lines = [line for line in (DATA / "openssl_published.csv").read_text().splitlines() if line[0] != "#"]
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in csv.DictReader(lines):
        found.setdefault((row["machine"], row["operation"]), {})[int(row["size"])] = float(row["us"]) * 1e-6
    return found


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("machine", sorted({m for m, operation in published() if operation == "rsa"}))
def test_rsa_2048_alone_tells_3072_and_4096_within_15_percent(base: str, machine: str) -> None:
    times = published()[machine, "rsa"]
    rsa = fit(base, [Reading("rsa", "rsa2048", "sign", times[2048], "")]).profile.parameters.rsa
    for bits, time_s in times.items():
        told_s = rsa_s(rsa.sign2048_us.value * 1e-6, bits, rsa.sign_exponent.value)
        assert told_s == pytest.approx(time_s, rel=0.15), bits


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("machine", sorted({m for m, operation in published() if operation == "ffdh"}))
def test_ffdh_2048_alone_tells_3072_to_8192_within_20_percent(base: str, machine: str) -> None:
    times = published()[machine, "ffdh"]
    modexp = fit(base, [Reading("ffdh", "modp2048", "", times[2048], "")]).profile.parameters.modexp
    for bits, time_s in times.items():
        told_s = modexp_s(modexp.k_fs.value * 1e-15, EXPONENT_BITS[f"modp{bits}"], bits, modexp.drift.value)
        assert told_s == pytest.approx(time_s, rel=0.20), bits


@pytest.mark.parametrize("base", BASES)
def test_mlkem_768_alone_tells_512_and_1024_within_20_percent(base: str) -> None:
    steps = ("keygen", "encapsulate", "decapsulate")
    times = {step: published()["vdukhovni", step] for step in steps}
    result = fit(base, [Reading("mlkem", "mlkem768", step, times[step][768], "") for step in steps])
    cost = CostModel(result.profile, Ledger())
    for bits in (512, 768, 1024):
        for step in steps:
            told_s = cost.operation_s(KemStep(f"mlkem{bits}", step))  # type: ignore[arg-type]
            assert told_s == pytest.approx(times[step][bits], rel=0.20), (bits, step)


def test_a_whole_run_is_reproduced_by_the_cost_model() -> None:
    """Every public-key row of the sample, from the written values: curves exactly, power laws within 3 %."""
    found, _ = read_openssl_speed(DATA / "openssl_3.0.txt")
    cost = CostModel(fit("isr4321", found).profile, Ledger())
    curve = {"ecp256": 19, "ecp384": 20, "curve25519": 31}
    for r in found:
        if r.kind == "ecdh":
            assert cost.operation_s(DhShared(curve[r.name])) == pytest.approx(r.time_s, rel=1e-3), r.label
        elif r.kind in ("rsa", "signature"):
            told_s = cost.operation_s(Sign(r.name) if r.step == "sign" else Verify(r.name))
            assert told_s == pytest.approx(r.time_s, rel=0.03), r.label


def test_a_modulus_with_special_code_gets_times_of_its_own() -> None:
    """The testbed's RSA-2048 is twice as fast as the law of its other moduli (AVX-512 IFMA)."""
    rows = [Reading("rsa", f"rsa{b}", "sign", us * 1e-6, "") for b, us in ((2048, 223.8), (3072, 1449), (4096, 3333))]
    result = fit("isr4321", rows)
    rsa = result.profile.parameters.rsa
    assert rsa.own_code["rsa2048"].sign_us.value == pytest.approx(223.8, rel=1e-3)
    assert rsa.sign2048_us.value == pytest.approx(448, rel=0.10)
    assert CostModel(result.profile, Ledger()).operation_s(Sign("rsa2048")) == pytest.approx(223.8e-6, rel=1e-3)
    assert max(abs(row.residual) for row in result.rows) < 0.03


def test_ffdh_tells_special_code_where_one_modulus_was_measured() -> None:
    rows = [Reading("rsa", "rsa2048", "sign", 223.8e-6, ""), Reading("ffdh", "modp2048", "", 225.2e-6, "")]
    rsa = fit("isr4321", rows).profile.parameters.rsa
    assert rsa.own_code["rsa2048"].sign_us.value == pytest.approx(223.8, rel=1e-3)
    assert rsa.sign2048_us.value == pytest.approx(448, rel=0.16)


def test_a_cpu_without_special_code_loses_that_of_the_base() -> None:
    rows = [Reading("rsa", f"rsa{b}", "sign", us * 1e-6, "") for b, us in ((2048, 674), (3072, 2045), (4096, 4742))]
    result = fit("linux-strongswan-openssl", rows)
    assert CostModel(result.profile, Ledger()).operation_s(Sign("rsa2048")) == pytest.approx(674e-6, rel=0.02)


def test_what_was_not_measured_keeps_the_ratio_to_its_relative() -> None:
    base = load_profile("linux-strongswan-openssl").parameters
    rows = [Reading("ecdh", "ecp256", "", 66e-6, ""), Reading("ecdh", "ecp384", "", 300e-6, "")]
    rows += [Reading("hash", "sha512", "", t * 1e-9, "", n) for n, t in ((64, 500 + 64 * 2), (1024, 500 + 1024 * 2))]
    after = fit("linux-strongswan-openssl", rows).profile.parameters
    old, new = base.ecdh.ratios["ecp384"], after.ecdh.ratios["ecp384"]
    assert new.keygen.value / new.shared.value == pytest.approx(old.keygen.value / old.shared.value, rel=1e-3)
    assert new.validate_peer.value / new.shared.value == pytest.approx(
        old.validate_peer.value / old.shared.value, rel=1e-3
    )
    assert after.symmetric.hashes["sha512"].byte_ns.value == pytest.approx(2.0, rel=0.01)
    grown = 2.0 / base.symmetric.hashes["sha512"].byte_ns.value
    for section, name in (("hmacs", "sha512"), ("hmacs", "sha384"), ("hashes", "sha384")):
        before_ns, after_ns = (getattr(p.symmetric, section)[name].byte_ns.value for p in (base, after))
        assert after_ns / before_ns == pytest.approx(grown, rel=0.01), (section, name)
    assert after.ecdh.ratios["curve25519"] == base.ecdh.ratios["curve25519"]


def test_rsa_tells_ffdh_where_that_was_not_measured() -> None:
    """Two exponentiations of half the length: k = 4 t / n^3."""
    k_fs = fit("isr4321", [Reading("rsa", "rsa2048", "sign", 1e-3, "")]).profile.parameters.modexp.k_fs
    assert k_fs.value == pytest.approx(4 * 1e-3 / 2048**3 * 1e15, rel=0.01)


# -- CSV -----------------------------------------------------------------------------------------------------------


def test_rates_and_throughput_are_read_with_their_defaults() -> None:
    rates, throughput = read_rates(DATA / "rates.csv"), read_throughput(DATA / "throughput.csv")
    assert [row.scenario for row in rates] == ["setup", "setup", "setup", "rekey-child"]
    assert [row.sd for row in rates] == [0.05] * 4
    assert [row.cores for row in rates] == [None, None, 1, None]
    assert rates[0].where == f"{DATA / 'rates.csv'}:3"
    assert [row.packet_bytes for row in throughput] == [64, 1400, 1400]


def test_columns_may_be_left_out_and_stand_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "value, unit, esp, ike\n5,ms,aes256-sha256,aes256-sha256-ecp256\n7,ms,aes256-sha256,aes128-sha1-2\n"
    )
    with pytest.raises(InputError, match=r"r\.csv:3: unknown word of a proposal '2'"):
        read_rates(path)
    path.write_text(path.read_text().replace("sha1-2", "sha1-modp1024"))
    assert [(row.scenario, row.auth, row.value) for row in read_rates(path)] == [
        ("setup", "psk", 5),
        ("setup", "psk", 7),
    ]


GOOD_RATE = "aes256-sha256-ecp256,aes256-sha256,20,ms\n"
GOOD_FLOW = "aes256-sha256,1400,300,Mbit/s\n"


@pytest.mark.parametrize(
    ("reader", "text", "told"),
    [
        ("rates", "", "x.csv: is empty"),
        ("rates", "ike,esp,value,unit\n" + GOOD_RATE, "x.csv: has 1 row; at least 2 are needed"),
        ("rates", "ike,esp,value,unti\n", "x.csv:1: unknown column 'unti', did you mean 'unit'?"),
        ("rates", "ike,esp,value,unit,unit\n", "x.csv:1: names the column unit twice"),
        ("rates", "ike,value,unit\n", "x.csv:1: has no column esp"),
        ("rates", "ike,esp,value,unit\na,b\n", "x.csv:2: has 2 cells, the header 4"),
        (
            "rates",
            "ike,esp,value,unit\n" + GOOD_RATE * 2 + GOOD_RATE.replace("20", "-20"),
            "x.csv:4: value: found '-20'",
        ),
        (
            "rates",
            "ike,esp,value,unit\n" + GOOD_RATE * 2 + GOOD_RATE.replace("20", "nan"),
            "x.csv:4: value: found 'nan'",
        ),
        (
            "rates",
            "ike,esp,value,unit\n" + GOOD_RATE + GOOD_RATE.replace("ms", "mss"),
            "x.csv:3: unknown unit 'mss', did",
        ),
        (
            "rates",
            "ike,esp,value,unit\n" + GOOD_RATE + GOOD_RATE.replace("ecp256", "ecp255"),
            "x.csv:3: unknown word of a proposal 'ecp255', did you mean 'ecp256'?",
        ),
        (
            "rates",
            "ike,esp,value,unit,cores\n" + GOOD_RATE.strip() + ",1.5\n" + GOOD_RATE.strip() + ",1\n",
            "x.csv:2: cores",
        ),
        ("throughput", "esp,packet_bytes,value,unit\n" + GOOD_FLOW, "x.csv: has 1 row"),
        (
            "throughput",
            "esp,packet_bytes,value,unit\n" + GOOD_FLOW + GOOD_FLOW.replace("Mbit/s", "Mbits"),
            "x.csv:3: unknown unit 'Mbits', did you mean 'Mbit/s'?",
        ),
        (
            "throughput",
            "esp,packet_bytes,value,unit\n" + GOOD_FLOW + GOOD_FLOW.replace("1400", "14000"),
            "x.csv:3: packet_bytes: found 14000, 20 to 9000 bytes are possible",
        ),
        (
            "throughput",
            "esp,packet_bytes,value,unit,mode\n" + (GOOD_FLOW.strip() + ",tunel\n") * 2,
            "x.csv:2: unknown mode 'tunel', did you mean 'tunnel'?",
        ),
    ],
)
def test_a_wrong_cell_is_told_with_file_and_line(tmp_path: Path, reader: str, text: str, told: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_rates(path) if reader == "rates" else read_throughput(path)
    assert told in str(caught.value)


# -- show ----------------------------------------------------------------------------------------------------------


def test_sessions_of_a_loaded_router_tell_that_a_tunnel_has_two() -> None:
    shown = read_show([DATA / "show_crypto_eli_all.txt"], "s")
    assert shown.limits["tunnels"].value == 40958 // 2
    assert shown.limits["tunnels"].kind == "derived"


def test_without_tunnels_the_limit_is_assumed_with_a_range() -> None:
    tunnels = read_show([DATA / "show_crypto_eli.txt"], "s").limits["tunnels"]
    assert (tunnels.value, tunnels.kind, tunnels.range) == (8000, "assumed", (8000, 16000))


def test_admission_is_the_limit_of_sas_in_negotiation() -> None:
    shown = read_show([DATA / "show_crypto_ikev2_stats.txt"], "s")
    assert shown.limits["in_negotiation"].value == 40
    assert {"tunnels"}.isdisjoint(shown.limits)
    assert any("14 accepted" in f.text for f in shown.findings)


def test_performance_without_samples_says_so_and_sets_nothing() -> None:
    shown = read_show([DATA / "show_crypto_ikev2_performance.txt"], "s")
    assert shown.limits == {}
    assert any(f.text == "9 statistics without a sample" for f in shown.findings)
    assert all(f.use == "not used" for f in shown.findings)


def test_cpu_time_of_a_set_up_needs_both_outputs_and_is_never_more_than_unverified() -> None:
    both = read_show([DATA / "show_crypto_eli_all.txt", DATA / "show_processes_cpu.txt"], "s")
    (each,) = [f for f in both.findings if "set-ups" in f.text and f.text.endswith("each")]
    assert each.text == "640000 ms of IKEv2 processes for 319288 set-ups: 2 ms each"
    assert each.use == "unverified"
    alone = read_show([DATA / "show_processes_cpu.txt"], "s")
    assert alone.limits == {}
    assert not any(f.text.endswith("each") for f in alone.findings)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader_of_show_outputs(text: str) -> None:
    told = ""
    try:
        parse_show([("x", text)], "s")
    except InputError as error:
        told = str(error)
    assert not told or told.startswith("x: holds no output of")
