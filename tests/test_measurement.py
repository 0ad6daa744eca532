"""``flexvpn-sim hardware measure``: with the openssl program, with the package cryptography, with neither."""

from __future__ import annotations

import json
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.hardware import measurement
from flexvpn_sim.hardware.measurement import Host, cores, cpu_name, measure_host, with_openssl
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.hardware.readings.openssl_speed import Reading
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.wire.groups import modp_prime

BASE = "linux-strongswan-openssl"

#: A stand-in for the openssl program: it prints tables of OpenSSL's layout for what it is asked, at a known speed.
FAKE = """#!/bin/sh
[ "$1" = version ] && { echo "OpenSSL 3.0.99 1 Jan 2026 (Library: OpenSSL 3.0.99)"; exit 0; }
echo "$*" >> "$(dirname "$0")/calls"
case "$*" in
*rsa2048) printf '%s\\n' '                  sign    verify    sign/s verify/s' \\
  'rsa 2048 bits 0.001000s 0.000030s   1000.0  33333.3' ;;
*ecdhp256) printf '%s\\n' '                              op      op/s' ' 256 bits ecdh (nistp256)   0.0001s  10000.0' ;;
*"-bytes 64 -evp aes-128-gcm") printf '%s\\n' 'type             64 bytes' 'AES-128-GCM    160000.00k' ;;
*"-bytes 1024 -evp aes-128-gcm") printf '%s\\n' 'type           1024 bytes' 'AES-128-GCM   1280000.00k' ;;
*) echo "speed: Unknown algorithm" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake openssl alone on the PATH of programs, with the shell's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "openssl"
    program.write_text(FAKE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["hardware", "measure", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_what_openssl_prints_becomes_a_profile(tmp_path: Path, fake: Path) -> None:
    path = tmp_path / "host.yaml"
    code, out, told = run("-o", path, "--seconds", 1, "--json")
    assert code == 0, told
    read = load_profile(str(path)).parameters
    assert read.ecdh.p256_us.value == pytest.approx(100, rel=1e-3)
    assert (read.ecdh.p256_us.kind, read.ecdh.p256_us.source) == ("measured", "primitives")
    assert read.rsa.sign2048_us.value == pytest.approx(1000, rel=1e-3)
    line = read.symmetric.ciphers["aes-gcm-128"]
    # 64 bytes in 400 ns, 1024 in 800: 0.417 ns a byte and 373 ns a call.
    assert line.byte_ns.value == pytest.approx(400 / 960, rel=0.03)
    assert line.call_ns.value == pytest.approx(400 - 64 * 400 / 960, rel=0.03)
    found = json.loads(out)
    assert {row["name"] for row in found["rows"]} >= {"rsa2048 sign", "ECDH ecp256", "aes-gcm-128 64 B"}
    assert all("-seconds 1 " in call for call in (fake.parent / "calls").read_text().splitlines())


def test_what_was_not_measured_is_assumed_with_wider_ranges(tmp_path: Path, fake: Path) -> None:
    assert fake.exists()
    path = tmp_path / "host.yaml"
    code, out, _ = run("-o", path)
    assert code == 0
    assert "control plane and forwarding were not measured" in out
    read, base = load_profile(str(path)), load_profile(BASE)
    message, before = read.parameters.control.message_us, base.parameters.control.message_us
    assert (message.kind, message.value) == ("assumed", before.value)
    assert before.range is not None
    assert message.range == pytest.approx((before.range[0] / 3, before.range[1] * 3))
    assert read.architecture.control_cores.value == cores()
    ratios, old = read.parameters.ecdh.ratios["ecp256"], base.parameters.ecdh.ratios["ecp256"]
    assert ratios.validate_peer.value / ratios.shared.value == pytest.approx(
        old.validate_peer.value / old.shared.value, rel=1e-3
    )


def test_progress_names_each_step(fake: Path) -> None:
    steps: list[tuple[str, int]] = []
    with_openssl(str(fake), None, lambda name, total: steps.append((name, total)), [("rsa2048",), ("ecdhp256",)])
    assert steps == [("openssl rsa2048", 2), ("openssl ecdhp256", 2)]


def test_an_openssl_without_results_is_told_with_its_complaint(fake: Path) -> None:
    with pytest.raises(InputError, match=r"gives no result \(version 'OpenSSL 3\.0\.99.*Unknown algorithm"):
        with_openssl(str(fake), 1, lambda *_: None, [("ffdh2048",)])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program")
def test_the_real_openssl_is_understood() -> None:
    """Two of the jobs, in two seconds of three operations."""
    readings, how = with_openssl(
        str(shutil.which("openssl")), 1, lambda *_: None, [("ecdhx25519",), ("-bytes", "64", "-evp", "sha256")]
    )
    assert [(r.kind, r.name, r.n_bytes) for r in readings] == [("ecdh", "curve25519", 0), ("hash", "sha256", 64)]
    assert all(1e-9 < r.time_s < 1e-2 for r in readings)
    assert "speed, 1 s each" in how


@pytest.mark.skipif(find_spec("cryptography") is None, reason="package cryptography is not installed")
def test_the_package_measures_too(tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    code, out, told = run("-o", path, "--with", "cryptography", "--seconds", 0.02, "--json")
    assert code == 0, told
    rows = {row["name"]: row["measured"] for row in json.loads(out)["rows"]}
    assert rows["FFDH modp2048"] < rows["FFDH modp3072"] < rows["FFDH modp4096"]
    assert rows["rsa2048 verify"] < rows["rsa2048 sign"] < rows["rsa4096 sign"]
    # Short exponents: the group was recognised; full ones would take as long as signing with RSA-4096 several times.
    assert rows["FFDH modp4096"] < rows["rsa4096 sign"]
    assert "cryptography" in load_profile(str(path)).sources["primitives"].conditions


def test_the_primes_are_those_of_rfc_3526() -> None:
    for bits in (2048, 3072, 4096):
        prime = modp_prime(bits)
        assert prime.bit_length() == bits
        assert hex(prime).startswith("0xffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1")
        assert hex(prime).endswith("ffffffffffffffff")
        # Fermat, of the prime and of (p - 1) / 2: safe.
        assert pow(2, prime - 1, prime) == 1
        half = (prime - 1) // 2
        assert pow(3, half - 1, half) == 1


def test_without_either_tool_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(measurement, "find_spec", lambda _: None)
    code, out, told = run("-o", tmp_path / "host.yaml")
    assert (code, out) == (2, "")
    (line,) = told.strip().splitlines()
    assert "install OpenSSL 1.1.1 or newer, or pip install 'flexvpn-sim[measure]'" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--with", "opensll"], "unknown tool 'opensll', did you mean 'openssl'?"),
        (["--seconds", "-1"], "--seconds: found -1, 0.02 to 10 s are possible"),
        (["--seconds", "nan"], "--seconds: found nan, 0.02 to 10 s are possible"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, arguments: list[str], told: str) -> None:
    code, out, error = run("-o", tmp_path / "host.yaml", *arguments)
    assert (code, out) == (2, "")
    assert told in error


def test_host_says_how_it_was_measured() -> None:
    host = Host((Reading("ecdh", "ecp256", "", 1e-4, ""),), "OpenSSL 3 speed, 1 s each", "A CPU", 4)
    source = host.source("2026-11-24")
    assert source.title == "flexvpn-sim hardware measure on A CPU"
    assert source.conditions.startswith("OpenSSL 3 speed, 1 s each; one of 4 cores")
    assert cpu_name()


def test_an_unknown_tool_is_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match="unknown tool"):
        measure_host(1, "gnutls", lambda *_: pytest.fail("ran"))
