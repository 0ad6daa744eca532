"""Certificates in IOS configurations: who is let in, what the messages hold, what is assumed, what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flexvpn_sim as fv
from flexvpn_sim.models.algorithms import SIGNATURES
from flexvpn_sim.models.certificate_length import IOS_FRAME
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.policy import Certificate, IkeProfile
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.ios import refusals
from flexvpn_sim.models.ios.certificates import Certificates, authority, trusted
from flexvpn_sim.models.ios.config import RouterConfig
from flexvpn_sim.models.ios.reader import read_folder
from flexvpn_sim.models.ios.to_ikev2 import to_ikev2
from flexvpn_sim.models.values import Ledger

EXAMPLE = Path(__file__).parents[1] / "examples" / "certificates"
HUB_KEY, BRANCH_KEY = " rsakeypair HUB-KEY 3072", " rsakeypair BRANCH-KEY 2048"
LOCAL, REMOTE = " authentication local rsa-sig", " authentication remote rsa-sig"
PRE_SHARED = "pre-share key the-one-key"
USED = "\n pki trustpoint EXAMPLE-CA"
STORED = re.compile(r"crypto pki certificate chain.*?quit\n", re.DOTALL)


def change(folder: Path, router: str, *edits: tuple[str, str]) -> None:
    path = folder / f"{router}.cfg"
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def run(folder: Path, duration_s: float = 60) -> fv.Result:
    return fv.run(folder, duration_s=duration_s, traffic=False)


def reason(folder: Path) -> str:
    """Return why the only tunnel did not come up, in a run that tried."""
    (session,) = run(folder).sessions.to_dict("records")
    assert not session["up"]
    assert session["attempts"] > 0
    return str(session["reason"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example's configurations."""
    target = tmp_path / "lab"
    target.mkdir()
    for path in EXAMPLE.glob("*.cfg"):
        shutil.copy(path, target)
    return target


@pytest.fixture(scope="module")
def result() -> fv.Result:
    return fv.run(EXAMPLE / "scenario.yaml")


def translated(folder: Path, router: str) -> tuple[IkeProfile, Ledger]:
    """Return the one profile of a router, and the ledger of what was assumed of all certificates."""
    ledger = Ledger()
    configs = read_folder(folder)
    certificates = Certificates(configs, ledger)
    implementation = Implementation(load_implementation("ios-xe-16.9"), Ledger())
    config = next(c for c in configs if c.hostname == router)
    translation = to_ikev2(config, implementation, certificates)
    assert [str(error) for _, error in translation.excluded] == []
    return translation.policy.profiles[0], ledger


def certificate(folder: Path, router: str = "BRANCH") -> tuple[Certificate, list[str]]:
    """Return the certificate that a router sends, and what was assumed."""
    profile, ledger = translated(folder, router)
    credential = profile.authentication.credential
    assert credential is not None
    return credential.chain[0], ledger.assumed()


# -- The run ---------------------------------------------------------------------------------------------------


def test_the_example_comes_up_with_certificates_in_both_directions(result: fv.Result) -> None:
    assert list(result.sessions["up"]) == [True]
    setup = result.messages[result.messages["message_id"] <= 1].head(4)
    init, answer, request, response = setup["payloads"]
    assert ("CERTREQ" in init, "CERTREQ(25)" in answer) == (False, True)
    # The branch's certificate is stored with 912 bytes; the hub's is estimated: 390 bytes, a key and a signature.
    for payload in ("IDi(66)", "CERT(917)", "CERTREQ(25)", "AUTH(264)"):
        assert payload in request
    for payload in ("IDr(23)", f"CERT({5 + 390 + 384 + 256})", "AUTH(392)"):
        assert payload in response


def test_each_router_signs_once_and_checks_once(result: fv.Result) -> None:
    table = result.operations.merge(result.works, on="work")
    for router, own, peer in (("BRANCH", "rsa2048", "rsa3072"), ("HUB", "rsa3072", "rsa2048")):
        done = list(table[table["router"] == router]["operation"])
        assert done.count(f"Sign {own}") == 1
        assert done.count("CheckCertificate") == 1
        # One signature is the CA's on the certificate, the other one the peer's.
        checks = [text for text in done if text.startswith("Verify ")]
        assert checks == ["Verify rsa2048", f"Verify {peer}"]


def test_a_signature_costs_more_with_a_longer_key(folder: Path) -> None:
    times = {}
    for bits in (2048, 4096):
        change(folder, "branch", (" rsakeypair BRANCH-KEY 2048", f" rsakeypair BRANCH-KEY {bits}"))
        operations = run(folder).operations
        times[bits] = operations[operations["operation"] == f"Sign rsa{bits}"]["duration_s"].iloc[0]
    # Cubic in the modulus at most (schoolbook multiplication).
    assert 4 < times[4096] / times[2048] <= 8.01


def test_a_set_up_is_repeated_bit_by_bit_from_what_a_result_keeps(result: fv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "out")
    _, different = fv.rerun(tmp_path / "out")
    assert different == []


def test_nothing_that_is_kept_or_shown_holds_the_certificate(result: fv.Result, tmp_path: Path, folder: Path) -> None:
    assert "08090A0B" in (EXAMPLE / "branch.cfg").read_text()  # a word of the stored body
    assert "08090A0B" not in repr(read_folder(folder))
    result.save(tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert b"08090A0B" not in path.read_bytes(), path


# -- show ------------------------------------------------------------------------------------------------------


def methods(result: fv.Result, router: str, at_s: float | None = None) -> list[tuple[str, str]]:
    text = result.show(router, "crypto ikev2 session detailed", at_s)
    return re.findall(r"Auth sign: (\w+), Auth verify: (\w+)\n", text)


def test_show_names_rsa_at_both_ends(result: fv.Result) -> None:
    assert methods(result, "HUB") == methods(result, "BRANCH") == [("RSA", "RSA")]
    assert "Remote id: CN=branch.example.net,O=Example Networks" in result.show("HUB", "crypto ikev2 sa detailed")


def test_show_tells_the_methods_of_both_directions_apart(folder: Path) -> None:
    change(folder, "hub", (HUB_KEY, " eckeypair HUB-KEY"), (LOCAL, " authentication local ecdsa-sig"))
    change(folder, "hub", (REMOTE, f" authentication remote {PRE_SHARED}"))
    change(folder, "hub", (" match certificate BRANCHES", " match identity remote fqdn branch.example.net"))
    change(folder, "branch", (LOCAL, f" authentication local {PRE_SHARED}"))
    change(folder, "branch", (REMOTE, " authentication remote ecdsa-sig"))
    change(folder, "branch", (" identity local dn", " identity local fqdn branch.example.net"))
    mixed = run(folder)
    assert (methods(mixed, "HUB"), methods(mixed, "BRANCH")) == ([("ECDSA", "PSK")], [("PSK", "ECDSA")])


def test_an_ike_sa_that_was_rekeyed_keeps_its_methods_in_show(folder: Path) -> None:
    for router in ("hub", "branch"):
        change(folder, router, (" dpd 30 5 periodic", " dpd 30 5 periodic\n lifetime 120"))
    rekeyed = run(folder, 600)
    assert rekeyed.ike_sas["generation"].max() >= 2
    assert methods(rekeyed, "HUB", 500) == [("RSA", "RSA")]


# -- What a configuration does not say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "local", "algorithm", "assumed"),
    [
        (" rsakeypair BRANCH-KEY 3072", "rsa-sig", "rsa3072", False),
        (" rsakeypair BRANCH-KEY", "rsa-sig", "rsa2048", True),
        (" rsakeypair RSA-4096", "rsa-sig", "rsa4096", True),
        ("", "rsa-sig", "rsa2048", True),
        (" eckeypair BRANCH-KEY", "ecdsa-sig", "ecdsa256", True),
        (" eckeypair EC384", "ecdsa-sig", "ecdsa384", True),
        (" eckeypair EC\ncrypto key generate ec keysize 521 label EC", "ecdsa-sig", "ecdsa521", False),
        ("crypto key generate rsa general-keys modulus 4096", "rsa-sig", "rsa4096", False),
        (" mldsakeypair PQ 87", "mldsa-sig", "mldsa87", False),
    ],
)
def test_the_algorithm_follows_from_the_key_pair_and_is_assumed_where_its_size_is_not_said(
    folder: Path, key: str, local: str, algorithm: str, *, assumed: bool
) -> None:
    change(folder, "branch", (BRANCH_KEY, key), (LOCAL, f" authentication local {local}"))
    own, notes = certificate(folder)
    assert own.algorithm == algorithm
    assert any("key of BRANCH for trustpoint EXAMPLE-CA" in note for note in notes) is assumed


def test_a_stored_certificate_has_its_own_length_and_another_one_an_estimate(folder: Path) -> None:
    stored, notes = certificate(folder)
    assert (stored.der_bytes, any("beside key and signature" in note for note in notes)) == (912, False)
    path = folder / "branch.cfg"
    path.write_text(STORED.sub("", path.read_text()))
    estimated, notes = certificate(folder)
    assert estimated.der_bytes == 390 + 256 + 256
    assert "certificates: bytes beside key and signature" in notes


@pytest.mark.parametrize(
    ("algorithm", "published_bytes"),
    # source: certificates of an IOS XE 26.2 laboratory with RSA, ECDSA and ML-DSA, github.com/juliogomez/pqc
    [("rsa2048", 920), ("ecdsa256", 528), ("mldsa44", 4118), ("mldsa65", 5647), ("mldsa87", 7605)],
)
def test_the_estimated_length_is_near_that_of_certificates_of_a_router(algorithm: str, published_bytes: int) -> None:
    signature = SIGNATURES[algorithm]
    rest_bytes = published_bytes - signature.public_key_bytes - signature.signature_bytes
    assert rest_bytes == pytest.approx(IOS_FRAME.value, abs=20)
    low, high = IOS_FRAME.range or (0, 0)
    assert low <= rest_bytes <= high


def test_a_router_without_identity_local_calls_itself_by_its_certificate(folder: Path) -> None:
    change(
        folder, "branch", (" identity local dn\n", ""), (" subject-name CN=branch.example.net,O=Example Networks\n", "")
    )
    change(folder, "hub", ("subject-name co o = example networks", "subject-name co example.net"))
    profile, _ = translated(folder, "BRANCH")
    assert profile.local_identity == Identity("dn", "hostname=BRANCH.example.net")
    assert list(run(folder).sessions["up"]) == [True]


# -- Trust -----------------------------------------------------------------------------------------------------


def authorities(folder: Path) -> tuple[str, str]:
    hub, branch = sorted(read_folder(folder), key=lambda c: c.hostname, reverse=True)
    return tuple(authority(c, c.trustpoints["EXAMPLE-CA"]) for c in (hub, branch))  # type: ignore[return-value]


@pytest.mark.parametrize("url", ["http://192.0.2.10:80/", "HTTP://192.0.2.10", "http://192.0.2.10/"])
def test_the_same_enrollment_url_is_the_same_ca_however_it_is_written(folder: Path, url: str) -> None:
    change(folder, "branch", ("enrollment url http://192.0.2.10", f"enrollment url {url}"))
    one, other = authorities(folder)
    assert one == other


@pytest.mark.parametrize("url", ["http://192.0.2.10:8080", "https://192.0.2.10", "http://192.0.2.10/other"])
def test_another_enrollment_url_is_another_ca(folder: Path, url: str) -> None:
    change(folder, "branch", ("enrollment url http://192.0.2.10", f"enrollment url {url}"))
    one, other = authorities(folder)
    assert one != other
    assert reason(folder).startswith("AUTHENTICATION_FAILED: ")


@pytest.mark.parametrize("enrollment", ["terminal", "pkcs12", "terminal pem"])
def test_without_a_url_trustpoints_of_one_name_have_one_ca_which_is_noted(folder: Path, enrollment: str) -> None:
    change(folder, "hub", ("enrollment url http://192.0.2.10:80", f"enrollment {enrollment}"))
    change(folder, "branch", ("enrollment url http://192.0.2.10", "enrollment pkcs12"))
    trial = run(folder)
    assert list(trial.sessions["up"]) == [True]
    noted = [v for v in trial.manifest["values"] if v["name"] == "CAs behind the trustpoints called EXAMPLE-CA"]
    assert [(v["value"], v["kind"], v["spread"]) for v in noted] == [(1, "assumed", "1 to 2")]


def test_a_certificate_signed_by_the_router_itself_is_trusted_by_nobody(folder: Path) -> None:
    change(folder, "branch", ("enrollment url http://192.0.2.10", "enrollment selfsigned"))
    assert trusted(next(c for c in read_folder(folder) if c.hostname == "BRANCH")) == ()
    assert reason(folder).startswith("AUTHENTICATION_FAILED: ")


def test_a_responder_names_each_ca_of_its_trustpoints_once(folder: Path) -> None:
    more = "crypto pki trustpoint {}\n enrollment {}\n!\ncrypto ikev2 proposal STRONG"
    for name, enrollment in (("TWIN", "url http://192.0.2.10"), ("OTHER", "terminal"), ("WEB", "selfsigned")):
        change(folder, "hub", ("crypto ikev2 proposal STRONG", more.format(name, enrollment)))
    messages = run(folder).messages
    assert f"CERTREQ({5 + 20 * 2})" in messages[messages["response"]]["payloads"].iloc[0]


# -- Certificate maps ------------------------------------------------------------------------------------------


def lets_in(folder: Path, *tests: str) -> bool:
    """Return whether the hub's certificate map with these lines lets the branch in."""
    change(folder, "hub", (" subject-name co o = example networks", "\n".join(tests)))
    profile, _ = translated(folder, "HUB")
    return profile.matches(Identity("dn", "CN=branch.example.net,O=Example Networks"))


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ([" subject-name co CN = branch"], True),
        ([" subject-name nc cn = hub"], True),
        ([" subject-name eq cn=branch.example.net, o=example networks"], True),
        ([" subject-name eq cn=branch.example.net"], False),
        ([" subject-name ne cn=branch.example.net"], True),
        ([" issuer-name co 192.0.2.10"], True),
        ([" subject-name co cn = branch", " issuer-name co somebody else"], False),
        ([" subject-name co nobody", "crypto pki certificate map BRANCHES 20", " subject-name co branch"], True),
        ([" subject-name co nobody", "crypto pki certificate map OTHER 20", " subject-name co branch"], False),
    ],
)
def test_a_map_lets_in_whom_all_tests_of_one_entry_fit(folder: Path, tests: list[str], *, expected: bool) -> None:
    assert lets_in(folder, *tests) is expected


@given(text=st.text("abcdefgno=., ", min_size=1, max_size=6).filter(str.strip))
def test_a_test_and_its_opposite_never_agree(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    for positive, negative in (("co", "nc"), ("eq", "ne")):
        answers = []
        for operator in (positive, negative):
            folder = tmp_path_factory.mktemp("map")
            for path in EXAMPLE.glob("*.cfg"):
                shutil.copy(path, folder)
            answers.append(lets_in(folder, f" subject-name {operator} {text}"))
        assert answers[0] is not answers[1]


# -- Refused ---------------------------------------------------------------------------------------------------


def refused(folder: Path) -> str:
    """Run the command; return the one line by which bad input is refused."""
    command = [sys.executable, "-m", "flexvpn_sim.experiments.cli", "run", str(folder), "--duration", "60s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.strip().splitlines()
    assert "the-one-key" not in line
    return line


@pytest.mark.parametrize(
    ("router", "edit", "parts"),
    [
        (
            "branch",
            (USED, ""),
            ["branch.cfg:56: ", "needs a certificate", "pki trustpoint NAME"],
        ),
        ("branch", (USED, USED.replace("EXAMPLE-CA", "CA")), ["branch.cfg:58: unknown trustpoint 'CA'"]),
        (
            "branch",
            (USED, f"{USED} verify"),
            ["branch.cfg:56: ", "no trustpoint to sign with"],
        ),
        ("branch", (BRANCH_KEY, " eckeypair EC"), ["branch.cfg:11: ", "has an ECDSA key", "signs with RSA"]),
        ("branch", (BRANCH_KEY, " rsakeypair K 1000"), ["branch.cfg:11: RSA key of size 1000", "2048"]),
        ("branch", (LOCAL, " authentication local ecdsa-sig"), ["branch.cfg:11: ", "has an RSA key"]),
        ("branch", (LOCAL, f" authentication local {PRE_SHARED}"), ["branch.cfg:55: identity local dn needs"]),
        (
            "hub",
            (REMOTE, " authentication remote ecdsa-sig"),
            ["branch.cfg:56: ", "hub.cfg:28 'authentication remote ecd"],
        ),
        ("hub", (" match certificate BRANCHES", " match certificate B"), ["hub.cfg:25: unknown certificate map 'B'"]),
        ("hub", ("subject-name co o = example networks", "serial-number eq 1"), ["hub.cfg:15: 'serial-number eq 1'"]),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(
    folder: Path, router: str, edit: tuple[str, str], parts: list[str]
) -> None:
    change(folder, router, edit)
    line = refused(folder)
    for part in parts:
        assert part in line


def test_a_peer_that_no_map_lets_in_is_refused_by_the_responder_with_both_lines(folder: Path) -> None:
    change(folder, "hub", ("co o = example networks", "co o = others"))
    text = reason(folder)
    for part in ("AUTHENTICATION_FAILED", "branch.cfg:55", "hub.cfg:25", "hub.cfg:15 'subject-name co o = others'"):
        assert part in text


def test_a_method_that_the_other_end_does_not_take_ends_the_attempt(folder: Path) -> None:
    change(folder, "hub", (LOCAL, f" authentication local {PRE_SHARED}"))
    assert "BRANCH" in reason(folder)
    hub, branch = configs(folder)
    text = refusals.method_not_taken(hub, hub.profiles["BRANCHES"], branch, branch.profiles["HUB"])
    assert text.startswith("HUB authenticates by pre-share (hub.cfg:27 'authentication local pre-share key <secret>')")
    assert text.endswith("but BRANCH takes only rsa-sig (branch.cfg:57 'authentication remote rsa-sig')")


def test_the_sentence_about_an_unknown_ca_names_both_trustpoints(folder: Path) -> None:
    change(folder, "branch", ("enrollment url http://192.0.2.10", "enrollment url http://192.0.2.11"))
    hub, branch = configs(folder)
    text = refusals.authority_not_trusted(branch, branch.profiles["HUB"], hub)
    for part in ("the CA at http://192.0.2.11 (branch.cfg:7 ", "only the CA at http://192.0.2.10 (hub.cfg:7 "):
        assert part in text


def configs(folder: Path) -> tuple[RouterConfig, RouterConfig]:
    by_name = {config.hostname: config for config in read_folder(folder)}
    return by_name["HUB"], by_name["BRANCH"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_of_a_configuration_with_certificates_is_translated_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    for path in EXAMPLE.glob("*.cfg"):
        lines = [line for line in path.read_text().splitlines() if line.strip("! ")]
        kept = data.draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines)))
        part = [line for line, keep in zip(lines, kept, strict=True) if keep]
        (tmp_path / path.name).write_text("\n".join([f"hostname {path.stem}", *part]))
    implementation = Implementation(load_implementation("ios-xe-16.9"), Ledger())
    # What is left of a line may be refused; whatever comes out is a refusal with a file, and no other error.
    with suppress(InputError):
        routers = read_folder(tmp_path)
        for config in routers:
            translation = to_ikev2(config, implementation, Certificates(routers, Ledger()))
            assert all(".cfg:" in str(error) for _, error in translation.excluded)
            assert all(".cfg:" in fault.where for fault in translation.faults)


# -- Long certificates -----------------------------------------------------------------------------------------


def test_certificates_of_ml_dsa_travel_in_fragments_of_the_configured_length(folder: Path) -> None:
    for router, key in (("hub", HUB_KEY), ("branch", BRANCH_KEY)):
        change(folder, router, (key, " mldsakeypair PQ 65"), (LOCAL, " authentication local mldsa-sig"))
        limit = "!\ncrypto ikev2 fragmentation mtu 1300\ninterface Loopback0"
        change(folder, router, (REMOTE, " authentication remote mldsa-sig"), ("!\ninterface Loopback0", limit))
    trial = run(folder)
    assert list(trial.sessions["up"]) == [True]
    assert methods(trial, "HUB") == [("MLDSA", "MLDSA")]
    auth = trial.messages[trial.messages["exchange"] == "IKE_AUTH"]
    assert auth["ip_len"].max() <= 1300
    assert len(auth) > 8
