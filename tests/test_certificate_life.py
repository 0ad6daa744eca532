"""Certificates that expire or are revoked: dates, CRLs and OCSP, what they cost and which sessions they end."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pair import Pair, agree, credential, endpoint
from typer.testing import CliRunner

import flexvpn_sim as fv
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.show import show
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.enquiries import NoAnswer
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.operations import Hash, Verify
from flexvpn_sim.models.ikev2.policy import Authentication, Certificate, RevocationMethod
from flexvpn_sim.models.ios.certificates import revocation
from flexvpn_sim.models.ios.reader import parse_router
from flexvpn_sim.models.pki import CrlFetch, OcspRequest, RevocationServer, RevocationStatus

NAMES = {"left": "BR1.cptl.local", "right": "HQ.cptl.local"}
SERIALS = {"left": 1, "right": 2}


def certificate(side: str, **dates: Any) -> Certificate:
    (own,) = credential(NAMES[side], "ecdsa256", 500).chain
    return replace(own, serial=SERIALS[side], **dates)


def end(
    side: str,
    *methods: RevocationMethod,
    ends: bool = False,
    clock_ahead_s: float = 0.0,
    implementation: str = "strongswan",
    **dates: Any,
) -> Endpoint:
    """Return an end whose certificate has these dates and which looks up that of the other by ``methods``."""
    own = certificate(side, **dates)
    proof = Authentication(
        "certificate", ("certificate",), replace(credential(NAMES[side]), chain=(own,), private_key=own.key)
    )
    plain = endpoint(side, implementation, authentication=proof, trusted=("CA",))
    (profile,) = plain.policy.profiles
    policy = replace(
        plain.policy,
        profiles=(replace(profile, ends_with_certificate=ends),),
        revocation={"CA": methods} if methods else {},
        disconnects_revoked=ends,
        clock_ahead_s=clock_ahead_s,
    )
    return Endpoint(policy, plain.implementation)


def server(**changes: Any) -> RevocationServer:
    return replace(RevocationServer("CA", "rsa2048", 0.2, 10.0, 3600.0, 450, 37, 1500), **changes)


def met(left: Endpoint, right: Endpoint, ca: RevocationServer | None = None, until_s: float = 30) -> Pair:
    pair = Pair(left, right, asks=ca.answer if ca is not None else None)
    pair.start(left)
    pair.run(until_s)
    return pair


# -- The server ------------------------------------------------------------------------------------------------


def test_a_crl_has_what_was_revoked_before_it_was_issued_and_ocsp_knows_it_at_once() -> None:
    ca = server(revoked={1: 1000.0}, entries=10)
    listed = [ca.answer(CrlFetch("CA"), t)[0] for t in (999.0, 1001.0, 3600.0)]
    assert [(a.revoked, a.next_update_s, a.n_bytes) for a in listed if isinstance(a, RevocationStatus)] == [
        (frozenset(), 3600.0, 450 + 10 * 37),
        (frozenset(), 3600.0, 450 + 10 * 37),
        (frozenset({1}), 7200.0, 450 + 11 * 37),
    ]
    asked = [ca.answer(OcspRequest("CA", 1), t)[0] for t in (999.0, 1001.0)]
    assert [a.revoked for a in asked if isinstance(a, RevocationStatus)] == [frozenset(), frozenset({1})]
    other, _ = ca.answer(OcspRequest("CA", 2), 5000.0)
    assert isinstance(other, RevocationStatus) and not other.revoked


def test_nobody_answers_in_an_outage_and_that_is_known_after_the_timeout() -> None:
    ca = server(outages=((10.0, 20.0),))
    assert [ca.answer(CrlFetch("CA"), t)[1] for t in (9.9, 10.0, 19.9, 20.0)] == [0.2, 10.0, 10.0, 0.2]
    assert isinstance(ca.answer(CrlFetch("CA"), 15.0)[0], NoAnswer)


# -- IKE_AUTH --------------------------------------------------------------------------------------------------


def test_each_end_fetches_the_crl_before_it_concludes() -> None:
    ca = server()
    pair = met(end("left", "crl"), end("right", "crl"), ca)
    assert agree(pair) and ca.asked == 2
    # Two ways of 10 ms, then the request's own way; the answer waits for the CRL.
    assert [line.time_s for line in pair.log] == pytest.approx([0, 0.01, 0.02, 0.23])
    assert pair.times_s("left", "ike_established") == pytest.approx([0.44])
    for name in ("left", "right"):
        # One signature of the peer's certificate's CA on the list, one in AUTH (strongSwan caches the chain's check).
        assert [o for o in pair.operations[name] if isinstance(o, Verify)] == [Verify("ecdsa256"), Verify("rsa2048")]
        assert Hash("sha256", 450) in pair.operations[name]


def test_a_list_is_fetched_once_until_its_next_update() -> None:
    ca = server()
    hub = end("right", "crl")
    pair = met(end("left"), hub, ca)
    assert ca.asked == 1
    for number, at_s in ((1, 1000), (2, 3500), (3, 3700)):
        pair.reboot("left", Endpoint(pair.left.policy, pair.left.implementation, boots=number))
        pair.run(at_s)
        pair.start(pair.left)
        pair.run(at_s + 10)
        assert pair.ike(pair.left).remote_identity == Identity("fqdn", NAMES["right"])
        assert ca.asked == (1 if at_s < 3600 else 2)


def test_requests_that_are_repeated_during_the_fetch_are_not_answered_twice() -> None:
    pair = met(end("left"), end("right", "crl"), server(delay_s=9.0), until_s=60)
    sent = [(line.sender, line.datagram.message.message_id, line.datagram.transmission) for line in pair.log]
    # strongSwan repeats after 4 s; the next wait of 7.2 s outlasts the fetch.
    assert sent == [("left", 0, 0), ("right", 0, 0), ("left", 1, 0), ("left", 1, 1), ("right", 1, 0)]
    assert agree(pair)


def test_a_responder_forgets_an_initiator_when_the_fetch_outlasts_the_half_open_time() -> None:
    pair = met(end("left"), end("right", "crl"), server(delay_s=40.0), until_s=39)
    assert pair.causes("right", "ike_closed") == ["half-open for too long"]
    pair.run(400)
    assert not pair.right.sas and not pair.left.sas


@pytest.mark.parametrize(
    ("methods", "up", "asked"),
    [
        (("crl",), False, 1),
        (("crl", "none"), True, 1),
        (("ocsp", "crl"), False, 2),
        (("ocsp", "crl", "none"), True, 2),
        (("none",), True, 0),
    ],
)
def test_a_method_that_gets_no_answer_is_passed_over_for_the_next(
    methods: tuple[RevocationMethod, ...], up: bool, asked: int
) -> None:
    ca = server(outages=((0.0, 1e9),), timeout_s=1.0)
    pair = met(end("left"), end("right", *methods), ca)
    assert (agree(pair), ca.asked) == (up, asked)
    if not up:
        assert pair.causes("right", "refused") == ["revocation status unknown"]
        assert pair.log[-1].datagram.message.notify("AUTHENTICATION_FAILED") is not None
        # Everything is answered: nobody is left half-open.
        assert not pair.right.sas and not pair.left.sas


@pytest.mark.parametrize("method", ["crl", "ocsp"])
def test_a_revoked_initiator_is_refused(method: RevocationMethod) -> None:
    pair = met(end("left"), end("right", method), server(revoked={1: -1.0}))
    assert pair.causes("right", "refused") == ["certificate revoked"]
    assert pair.causes("left", "attempt_failed") == ["refused by the peer"]


def test_a_revoked_responder_is_told_so_by_an_initiator_that_reports() -> None:
    pair = met(end("left", "crl"), end("right"), server(revoked={2: -1.0}))
    assert pair.causes("left", "attempt_failed") == ["certificate revoked"]
    assert pair.log[-2].text.startswith("INFORMATIONAL")
    assert not pair.right.sas and not pair.left.sas


DATES = [
    ({"not_after_s": -1.0}, 0.0, "certificate expired"),
    ({"not_before_s": 100.0}, 0.0, "certificate not yet valid"),
    ({"not_before_s": 100.0, "not_after_s": 200.0}, 150.0, None),
    ({"not_before_s": -100.0}, -3600.0, "certificate not yet valid"),
    ({"not_after_s": 1000.0}, 3600.0, "certificate expired"),
]


@pytest.mark.parametrize(("dates", "clock_ahead_s", "cause"), DATES)
def test_dates_are_judged_by_the_clock_of_the_judge(
    dates: dict[str, float], clock_ahead_s: float, cause: str | None
) -> None:
    pair = met(end("left", **dates), end("right", clock_ahead_s=clock_ahead_s))
    assert pair.causes("right", "refused") == ([] if cause is None else [cause])
    assert agree(pair) is (cause is None)


def test_a_wrong_clock_of_an_ios_initiator_leaves_the_responder_with_an_sa() -> None:
    left = end("left", clock_ahead_s=-3600.0, implementation="ios-xe-16.9")
    pair = met(left, end("right", not_before_s=-100.0, implementation="ios-xe-16.9"), until_s=5)
    assert pair.causes("left", "attempt_failed")[0] == "certificate not yet valid"
    assert len(pair.right.sas) == 1 and not pair.causes("right", "refused")


@pytest.mark.parametrize("lost", range(4))
def test_both_ends_agree_whichever_message_is_lost(lost: int) -> None:
    pair = Pair(end("left", "crl"), end("right", "crl"), asks=server().answer, loses=lambda number, _: number == lost)
    pair.start(pair.left)
    pair.run(60)
    assert agree(pair)


# -- While a session is up -------------------------------------------------------------------------------------


def test_a_session_ends_with_the_peers_certificate_where_the_profile_says_so() -> None:
    pair = met(end("left", not_after_s=1000.0), end("right", ends=True), until_s=999)
    assert agree(pair)
    pair.run(1001)
    assert pair.causes("right", "ike_closed") == ["certificate expired"]
    assert pair.times_s("right", "ike_closed") == pytest.approx([1000.02])
    assert pair.causes("left", "ike_closed") == ["deleted by the peer"]
    assert not pair.left.sas and not pair.right.sas
    forever = met(end("left", not_after_s=1000.0), end("right"), until_s=2000)
    assert agree(forever)


def test_the_timer_outlives_a_rekey_of_the_ike_sa() -> None:
    left = end("left", not_after_s=1000.0)
    (profile,) = left.policy.profiles
    left = Endpoint(replace(left.policy, profiles=(replace(profile, lifetime_s=500.0),)), left.implementation)
    pair = met(left, end("right", ends=True), until_s=900)
    assert agree(pair) and pair.kinds("left").count("ike_rekeyed") >= 1
    pair.run(1001)
    assert pair.causes("right", "ike_closed")[-1] == "certificate expired"


def test_a_session_of_a_revoked_peer_ends_at_the_next_update_of_the_list() -> None:
    ca = server(revoked={1: 1000.0})
    pair = met(end("left"), end("right", "crl", ends=True), ca, until_s=3599)
    assert agree(pair) and ca.asked == 1
    pair.run(3700)
    assert ca.asked == 2
    assert pair.causes("right", "ike_closed") == ["certificate revoked"]
    # Fetched in 0.2 s; Delete and its answer take 10 ms each.
    assert pair.times_s("right", "ike_closed") == pytest.approx([3600.22])
    assert not pair.left.sas


def test_a_list_that_cannot_be_fetched_anew_ends_nothing_and_is_tried_again() -> None:
    ca = server(revoked={1: 1000.0}, outages=((3600.0, 3650.0),))
    pair = met(end("left"), end("right", "crl", ends=True), ca, until_s=3660)
    assert agree(pair)
    # The wait of 10 s, then a minute.
    pair.run(3671)
    assert pair.times_s("right", "ike_closed") == pytest.approx([3670.22])


def test_sas_that_ask_the_same_at_once_share_one_answer() -> None:
    hub = end("right", "crl", ends=True)
    ca = server(revoked={1: 1000.0})
    pair = met(end("left"), hub, ca)
    (sa,) = hub.sas.values()
    other = hub.new_sa(sa.local, sa.remote, initiator=False, now=pair.now)
    got: list[float] = []
    for one in (sa, other):
        hub.enquire(one, CrlFetch("CA"), lambda _answer, now: got.append(now))
    step = hub.on_timer(pair.now)
    assert len(step.enquiries) == 1 and sa.busy and other.busy
    hub.answered(step.enquiries[0].token, NoAnswer(), 7)
    assert got == [7, 7] and not sa.busy and not other.busy


def test_a_session_is_not_ended_by_dates_that_nobody_looks_at_and_a_pre_shared_key_has_none() -> None:
    pair = Pair(endpoint("left"), endpoint("right"))
    pair.start(pair.left)
    pair.run(10)
    assert agree(pair) and all(("certificate", 0) not in pair.ike(e).timers for e in (pair.left, pair.right))


# -- The command line ------------------------------------------------------------------------------------------


def run(options: str) -> Any:
    options = f"--ike aes256-sha256-ecp256 --esp aes256-sha256 --hardware linux-strongswan-openssl {options}"
    return CliRunner().invoke(app, ["exchange", *shlex.split(options)])


def report(options: str) -> dict[str, Any]:
    done = run(f"{options} --json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def causes(result: dict[str, Any], event: str) -> list[str]:
    return [e["cause"] for e in result["events"] if e["event"] == event]


def test_the_delay_of_a_crl_delays_the_answer() -> None:
    plain, slow = report("--auth ecdsa256"), report("--auth ecdsa256 --crl-delay 1.5")
    assert [m["udp_len"] for m in plain["messages"]] == [m["udp_len"] for m in slow["messages"]]
    waits = [result["messages"][3]["t_s"] - result["messages"][2]["t_s"] for result in (plain, slow)]
    assert 1.5 < waits[1] - waits[0] + 1e-3 < 1.502
    assert any(row["name"] == "lifetime of a CRL" for row in slow["assumed"])
    assert not any(row["owner"] == "certification authority" for row in plain["assumed"])


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ("--scenario certificate-expired", "certificate expired"),
        ("--scenario certificate-revoked", "certificate revoked"),
        ("--scenario crl-unreachable", "revocation status unknown"),
        ("--scenario clock-skew", "certificate not yet valid"),
    ],
)
def test_a_scenario_ends_in_a_refusal(options: str, cause: str) -> None:
    result = report(f"--auth ecdsa256 {options}")
    assert causes(result, "refused") == [cause]
    assert [result["sas"][end]["ike"] for end in ("initiator", "responder")] == [0, 0]


def test_crl_none_lets_the_peer_in_without_an_answer() -> None:
    result = report("--auth ecdsa256 --scenario crl-unreachable --revocation crl,none")
    assert causes(result, "refused") == [] and result["sas"]["responder"] == {"ike": 1, "child": 1}


@pytest.mark.parametrize(
    ("scenario", "cause"),
    [("certificate-expires", "certificate expired"), ("certificate-revoked-later", "certificate revoked")],
)
def test_a_scenario_ends_a_session(scenario: str, cause: str) -> None:
    for auth in ("ecdsa256", "eap-mschapv2:ecdsa256"):
        result = report(f"--auth {auth} --scenario {scenario}")
        assert cause in causes(result, "ike_closed")
        (delete,) = [m for m in result["messages"] if "{D(8)}" in m["payloads"]]
        # The client of EAP has no certificate: it is the one that judges.
        assert delete["direction"] == ("r>i" if auth == "ecdsa256" else "i>r")
        assert 3600 <= delete["t_s"] < 3601


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--auth ecdsa256 --revocation crll", "--revocation: unknown method 'crll', did you mean 'crl'?"),
        (
            "--auth ecdsa256 --revocation crl,crl",
            "--revocation: found 'crl,crl', each of crl, ocsp, none may be there once",
        ),
        ("--auth ecdsa256 --crl-delay -1", "--crl-delay: found -1, a delay of 0 to 3600 s is needed"),
        ("--auth ecdsa256 --scenario crl-unreachabel", "did you mean 'crl-unreachable'?"),
    ],
)
def test_wrong_input_is_one_line(options: str, message: str) -> None:
    done = run(options)
    assert done.exit_code == 2 and message in done.output and "Traceback" not in done.output


# -- Configurations and scenarios ------------------------------------------------------------------------------

EXAMPLE = Path(__file__).parents[1] / "examples" / "certificates"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "lab"
    target.mkdir()
    for path in EXAMPLE.glob("*.cfg"):
        shutil.copy(path, target)
    return target


def simulated(folder: Path, section: str, duration_s: float = 60, lines: str = "") -> fv.Result:
    """Run the example's configurations with a section ``crl:``; ``lines`` come in front of the hub's."""
    hub = folder / "hub.cfg"
    hub.write_text(re.sub(r" revocation-check .*\n", "", lines + hub.read_text()))
    branch = folder / "branch.cfg"
    branch.write_text(re.sub(r" revocation-check .*\n", " revocation-check none\n", branch.read_text()))
    scenario = folder / "scenario.yaml"
    scenario.write_text(f"configurations: .\ninitiator: BRANCH\ntraffic: []\n{section}")
    return fv.run(scenario, duration_s=duration_s)


def test_without_a_section_crl_nobody_asks_and_with_it_the_fetch_delays_the_tunnel(folder: Path) -> None:
    plain = simulated(folder, "")
    slow = simulated(folder, "crl: {delay: 750 ms}")
    assert plain.sessions["up"].all() and slow.sessions["up"].all()
    assert slow.sessions["setup_s"][0] - plain.sessions["setup_s"][0] == pytest.approx(0.75, abs=0.02)
    (checked,) = slow.events[slow.events["event"] == "revocation_checked"].to_dict("records")
    assert checked["router"] == "HUB" and checked["detail"].startswith("CRL of the CA at http")
    shown = show(slow, "HUB", "show crypto ikev2 sa", 50)
    assert "Auth sign: RSA, Auth verify: RSA" in shown


def test_an_outage_keeps_the_tunnel_down_until_it_is_over(folder: Path) -> None:
    result = simulated(folder, "crl: {delay: 100 ms, timeout: 5 s, outages: [{from: 0 s, to: 20 s}]}", 120)
    refused = result.events[result.events["cause"] == "revocation status unknown"]
    assert len(refused) and refused["time_s"].max() < 30
    assert result.sessions["up"].all() and result.sessions["setup_s"][0] > 20


def test_a_revoked_branch_loses_its_session_at_the_next_update_where_the_hub_says_so(folder: Path) -> None:
    section = "crl: {delay: 100 ms, lifetime: 10 min, revoked: {BRANCH: 5 min}}"
    kept = simulated(folder, section, 900)
    assert kept.sessions["up"].all()
    ended = simulated(folder, section, 900, "crypto ikev2 disconnect-revoked-peers\n")
    assert not ended.sessions["up"].any()
    (closed,) = ended.events[
        (ended.events["event"] == "ike_closed")
        & (ended.events["cause"] == "certificate revoked")
        & (ended.events["time_s"] < 601)
    ].to_dict("records")
    assert closed["router"] == "HUB" and closed["time_s"] == pytest.approx(600.1, abs=0.05)
    assert "Total Deleted sessions of Cert Revoked Peers: 1 " in show(ended, "HUB", "show crypto ikev2 stats", 899)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("crl: {delay: -1 s}", "crl"),
        ("crl: {lifetime: 0 s}", "lifetime"),
        ("crl: {revoked: {BRANSH: 5 s}}", "unknown router 'BRANSH', did you mean 'BRANCH'?"),
        ("crl: {dealy: 5 s}", "dealy"),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(folder: Path, section: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        simulated(folder, section)


def test_revocation_check_of_ios_is_read_in_its_order_and_crl_by_default() -> None:
    text = "hostname A\ncrypto pki trustpoint T\n enrollment url http://192.0.2.1:80\n{}"
    for line, methods in (("", ("crl",)), (" revocation-check ocsp crl none\n", ("ocsp", "crl", "none")),
                          (" revocation-check none\n", ("none",))):  # fmt: skip
        config = parse_router(text.format(line), Path("a.cfg"))
        assert revocation(config) == {"the CA at http://192.0.2.1": methods}
    with pytest.raises(InputError, match=r"a\.cfg:4.*crll"):
        parse_router(text.format(" revocation-check crll\n"), Path("a.cfg"))


def test_lifetime_certificate_ends_a_session_with_the_certificate() -> None:
    text = "hostname A\ncrypto ikev2 profile P\n lifetime {}\n"
    assert parse_router(text.format("certificate"), Path("a.cfg")).profiles["P"].lifetime_certificate
    assert not parse_router(text.format("3600"), Path("a.cfg")).profiles["P"].lifetime_certificate
