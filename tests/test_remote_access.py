"""Remote-access clients of a scenario: who connects, with which address, and why one does not; logins and EAP-TLS by
RADIUS; users with equal IKE identities."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from pair import Pair, agree, credential, endpoint

import flexvpn_sim as fv
from flexvpn_sim.experiments.charts.topology import underlay
from flexvpn_sim.experiments.clients import clients as try_clients
from flexvpn_sim.experiments.scenario import read_scenario, scenario_file
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.aaa.directory import Account, Directory
from flexvpn_sim.models.aaa.service import AaaService
from flexvpn_sim.models.aaa.settings import AaaSettings, MethodList
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.aaa import ProfileAaa
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.enquiries import Answer, LoginAnswer, LoginQuestion, NoAnswer, Question, Rejected
from flexvpn_sim.models.ikev2.policy import Authentication, EapAccount
from flexvpn_sim.models.secret import Secret

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "remote_access"
HUB = (EXAMPLE / "hub.cfg").read_text()
RADIUS = """\
radius:
  10.255.0.20:
    latency: 4 ms
    workers: 2
    service: 5 ms
    law: fixed
    eap: [mschapv2]
    accounts:
      alice@example.net: {password: example-password-1}
      bob@example.net: {password: example-password-2}
"""


def scenario(folder: Path, clients: str, *, hub: str = HUB, radius: str = RADIUS, more: str = "") -> Path:
    """Write a hub and a scenario with these clients into a folder."""
    (folder / "hub.cfg").write_text(hub)
    path = folder / "remote.yaml"
    path.write_text(f"scenario: 1\nconfigurations: .\nduration: 120 s\n{radius}clients:\n{clients}{more}")
    return path


def run(folder: Path, clients: str, **changes: Any) -> fv.Result:
    return fv.run(scenario(folder, clients, **changes), traffic=False)


def sessions(result: fv.Result) -> dict[str, dict[str, Any]]:
    return {row["initiator"]: row for row in result.sessions.to_dict("records")}


def reasons(result: fv.Result) -> dict[str, str]:
    return {name: row["reason"] for name, row in sessions(result).items()}


def flexvpn(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flexvpn_sim.experiments.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# -- The examples ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd() -> fv.Result:
    return fv.run(EXAMPLE / "scenario.yaml", traffic=False)


@pytest.fixture(scope="module")
def defaults() -> fv.Result:
    return fv.run(EXAMPLE / "defaults" / "scenario.yaml", traffic=False)


def test_everyone_connects_to_the_server_that_is_made_for_it(crowd: fv.Result) -> None:
    assert crowd.up and len(crowd.sessions) == 20 + 15 + 5 + 2 + 10
    assert (crowd.sessions["responder"] == "VPN").all()
    # One virtual-access for each, and one address of the pool for each.
    assert crowd.sessions["responder_interface"].str.startswith("Virtual-Access").all()
    assert crowd.sessions["responder_interface"].is_unique
    own = crowd.ike_sas[crowd.ike_sas["initiator"]]
    addresses = [IPv4Address(text) for text in own["virtual_address"]]
    assert sorted(addresses) == [IPv4Address("10.9.0.1") + n for n in range(52)]
    theirs = crowd.ike_sas[~crowd.ike_sas["initiator"]]
    assert set(theirs["virtual_address"]) == set(own["virtual_address"])


def test_clients_come_when_the_scenario_says(crowd: fv.Result) -> None:
    events = crowd.events[crowd.events["event"] == "attempt"]
    times = {row["router"]: row["time_s"] for row in events.to_dict("records")}
    assert [times[f"laptop-{n:02}"] for n in range(1, 21)] == pytest.approx([1 + 0.5 * n for n in range(20)])
    gaps = [times[f"iphone-{n + 1:02}"] - times[f"iphone-{n:02}"] for n in range(1, 15)]
    # Poisson with 2 a second: 14 exponential gaps of 0.5 s; their sum has a standard deviation of sqrt(14) * 0.5 s.
    assert min(gaps) > 0 and len({round(gap, 6) for gap in gaps}) == 14
    assert abs(sum(gaps) - 7) < 3 * math.sqrt(14) * 0.5


def test_clients_behind_a_nat_go_on_at_port_4500(crowd: fv.Result) -> None:
    sent = crowd.messages[(crowd.messages["exchange"] == "IKE_AUTH") & (crowd.messages["receiver"] == "VPN")]
    marker = sent["udp_len"] - sent["ike_bytes"]
    natted = sent["sender"].str.startswith(("laptop", "iphone"))
    assert set(marker[natted]) == {4} and set(marker[~natted & sent["sender"].str.startswith("desktop")]) == {0}


def test_every_client_is_an_access_accept_and_anyconnect_is_one_request(crowd: fv.Result) -> None:
    counts = crowd.radius.groupby("answer").size().to_dict()
    assert counts["Access-Accept"] == 52 and set(counts) == {"Access-Accept", "Access-Challenge"}
    logins = crowd.radius[crowd.radius["name"].str.startswith("desk") & (crowd.radius["answer"] == "Access-Accept")]
    assert len(logins) == 20 + 10
    assert int(crowd.radius_servers["served"].iloc[0]) == len(crowd.radius)
    # A name of 18 octets, a password of 15 in one block, Calling-Station-Id 100.64.0.52, NAS-IP-Address (RFC 2865 5).
    anyconnect = 20 + (2 + 18) + (2 + 16) + (2 + 11) + (2 + 4)
    assert int(logins["request_bytes"].min()) == anyconnect
    assert sum(logins["request_bytes"] == anyconnect) == 10


def test_the_same_seed_gives_the_same_crowd(crowd: fv.Result) -> None:
    again = fv.run(EXAMPLE / "scenario.yaml", traffic=False)
    assert all(again.tables[name].equals(crowd.tables[name]) for name in ("messages", "works", "sessions", "radius"))


def test_the_folder_runs_from_the_command_line() -> None:
    done = flexvpn("run", EXAMPLE, "--no-traffic", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["up"]
    assert done.stderr.splitlines()[0] == f"{EXAMPLE} is a folder with a scenario: {EXAMPLE / 'scenario.yaml'} is used."


def test_a_server_of_defaults_refuses_with_the_reason_and_exit_code_1() -> None:
    done = flexvpn("run", EXAMPLE / "defaults" / "scenario.yaml", "--no-traffic", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["verdict"] == "3 of 9 tunnels are up at the end of 600 s"
    assert "example-password" not in done.stdout and "mistyped" not in done.stdout


def test_reasons_are_those_of_the_command_clients(defaults: fv.Result) -> None:
    told = reasons(defaults)
    outcomes, _ = try_clients(load_profile("isr4321"), (), ("ios-xe-17",))
    expected = {o.client: o.diagnoses[0].reason for o in outcomes if o.diagnoses}
    assert told["iphone"] == f"NO_PROPOSAL_CHOSEN: iphone {expected['apple']}"
    assert told["laptop-2"] == f"NO_PROPOSAL_CHOSEN: laptop-2 {expected['windows-10']}"
    assert told["phone"] == f"NO_PROPOSAL_CHOSEN: phone {expected['android-native']}"
    up = {name for name, row in sessions(defaults).items() if row["up"]}
    assert up == {"android", "android-with-certificate", "desktop"}


def test_a_wrong_password_is_named_with_its_user(defaults: fv.Result) -> None:
    user = "user dora@example.net of android-with-wrong-password"
    assert reasons(defaults)["android-with-wrong-password"] == f"AUTHENTICATION_FAILED: {user}: wrong EAP password"


# -- Secrets ---------------------------------------------------------------------------------------------------


def test_passwords_are_in_no_output_and_no_stored_file(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("name,password\nalice@example.net,typed-Pa55word\n")
    path = scenario(
        tmp_path,
        "  - {name: app, profile: android-strongswan, server: VPN, users: users.csv}\n"
        "  - {name: mac, profile: apple, server: VPN, users: [{name: bob@example.net, password: example-password}]}\n"
        # Here the password itself goes over the wire, so that its length counts.
        "  - {name: token, profile: android-strongswan, server: VPN, auth: eap-gtc, users: [bob@example.net]}\n",
        radius=RADIUS.replace("[mschapv2]", "[mschapv2, gtc]"),
    )
    done = flexvpn("run", path, "--no-traffic", "--no-esp", "-o", tmp_path / "out")
    assert done.returncode == 1
    secrets = (b"typed-Pa55word", b"example-password")
    stored = [file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert not any(
        secret in text for secret in secrets for text in (*stored, done.stdout.encode(), done.stderr.encode())
    )
    assert "Pa55word" not in repr(read_scenario(path))
    rerun = flexvpn("rerun", tmp_path / "out")
    assert rerun.returncode == 0, rerun.stdout


@pytest.mark.parametrize(
    "text", ["name,password\nalice\n", "name,password\nalice,a,secret-word\n", "name,password\nbob,\n"]
)
def test_a_fault_in_a_file_of_users_has_its_line_and_repeats_no_password(tmp_path: Path, text: str) -> None:
    (tmp_path / "users.csv").write_text(text)
    path = scenario(tmp_path, "  - {name: app, profile: apple, server: VPN, users: users.csv}\n")
    with pytest.raises(InputError) as caught:
        read_scenario(path)
    assert caught.value.where.endswith("users.csv:2") and "secret-word" not in str(caught.value)


# -- Who gets in -----------------------------------------------------------------------------------------------


def test_the_second_client_with_the_same_user_and_identity_drives_the_first_one_out(tmp_path: Path) -> None:
    one = "profile: anyconnect, server: VPN, auth: anyconnect-eap"
    text = f"  - {{name: desk, count: 3, {one}, users: [alice@example.net, bob@example.net], every: 5 s}}\n"
    found = sessions(run(tmp_path, text))
    # All three call themselves *$AnyConnectClient$*; the third one is the first one's user.
    assert [found[f"desk-{n}"]["up"] for n in (1, 2, 3)] == [False, True, True]
    assert found["desk-1"]["reason"] == "the tunnel came up and went down: peer started afresh at VPN"


def test_a_client_without_an_address_is_down(tmp_path: Path) -> None:
    hub = HUB.replace("10.9.0.1 10.9.0.250", "10.9.0.1 10.9.0.2")
    text = "  - {name: laptop, count: 3, profile: windows-10, server: VPN, every: 2 s}\n"
    found = sessions(run(tmp_path, text, hub=hub))
    assert [found[f"laptop-{n}"]["up"] for n in (1, 2, 3)] == [True, True, False]
    assert "no address left in the pool" in found["laptop-3"]["reason"]
    without = HUB.replace(" aaa authorization group eap list CLIENTS CLIENTS\n", "")
    found = sessions(run(tmp_path, text, hub=without))
    assert not any(row["up"] for row in found.values())
    assert "gets no address: the server's profile has no authorization policy" in found["laptop-1"]["reason"]


def test_clients_with_a_pre_shared_key_need_no_user_and_a_wrong_key_is_refused(tmp_path: Path) -> None:
    hub = HUB.replace(" authentication local rsa-sig\n authentication remote eap query-identity\n", _PSK).replace(
        " aaa authentication eap CLIENTS\n aaa authorization group eap", " aaa authorization group psk"
    )
    text = (
        "  - {name: right, profile: apple, server: VPN, auth: psk, key: the-key-of-all, users: [alice@example.net]}\n"
        "  - {name: wrong, profile: apple, server: VPN, auth: psk, key: another-key, users: [bob@example.net]}\n"
    )
    result = run(tmp_path, text, hub=hub)
    found = sessions(result)
    assert found["right"]["up"] and not found["wrong"]["up"]
    assert found["wrong"]["reason"] == "AUTHENTICATION_FAILED: wrong key at VPN"
    assert "the-key-of-all" not in json.dumps(result.manifest)


_PSK = " authentication local pre-share key the-key-of-all\n authentication remote pre-share key the-key-of-all\n"


def test_another_group_does_not_move_the_first_one(tmp_path: Path) -> None:
    first = "  - {name: mac, count: 4, profile: apple, server: VPN, rate: 1 / s, users: [alice@example.net]}\n"
    alone = run(tmp_path, first)
    both = run(tmp_path, first + "  - {name: other, profile: windows-10, server: VPN, start: 60 s, rate: 3 / s}\n")

    def attempts(result: fv.Result) -> list[float]:
        rows = result.events[(result.events["event"] == "attempt") & result.events["router"].str.startswith("mac")]
        return list(rows["time_s"])

    assert attempts(alone) == attempts(both)


def test_clients_have_traffic_when_it_is_named(tmp_path: Path) -> None:
    text = "  - {name: mac, profile: apple, server: VPN, users: [alice@example.net]}\n"
    more = "traffic:\n  - {from: mac, to: VPN, interval: 1 s, start: 10 s}\n"
    result = fv.run(scenario(tmp_path, text, more=more))
    packets = result.packets[result.packets["sender"] == "mac"]
    assert packets["delivered"].sum() == packets["sent"].sum() > 100


# -- Logins and EAP-TLS by RADIUS ------------------------------------------------------------------------------

ACCOUNT = EapAccount("alice", Secret("any password"))


def anyconnect(answer: Callable[[LoginQuestion], Answer], password: str = "any password") -> Pair:
    """Return the conversation of an AnyConnect client with a router whose list gives this answer."""
    account = EapAccount("alice", Secret(password))
    own = Authentication("anyconnect-eap", ("certificate",), account=account)
    left = endpoint("left", authentication=own, trusted=("CA",))
    right = endpoint(
        "right", authentication=Authentication("certificate", ("anyconnect-eap",), credential("HQ.cptl.local"))
    )
    (profile,) = right.policy.profiles
    told = replace(right.policy, profiles=(replace(profile, aaa=ProfileAaa(eap="LIST")),))
    right = Endpoint(told, right.implementation)

    def asks(question: Question, _now_s: float) -> tuple[Answer, float]:
        assert isinstance(question, LoginQuestion)
        return answer(question), 0.004

    pair = Pair(left, right, asks=asks)
    pair.start(left)
    pair.run(5)
    return pair


def test_a_login_list_is_asked_once_for_user_and_password() -> None:
    asked: list[LoginQuestion] = []

    def answer(question: LoginQuestion) -> Answer:
        asked.append(question)
        return LoginAnswer()

    pair = anyconnect(answer)
    assert agree(pair)
    assert [(q.aaa_list, q.name, q.password_bytes) for q in asked] == [("LIST", "alice", 12)]
    assert asked[0].proof == ACCOUNT.password.proof("form") and "any password" not in repr(asked[0])
    assert [sa.eap_user for sa in pair.right.sas.values()] == ["alice"]


@pytest.mark.parametrize(
    ("answer", "cause"), [(NoAnswer(), "no answer from AAA"), (Rejected("Access-Reject"), "refused by AAA")]
)
def test_a_login_that_is_refused_or_not_answered_ends_anyconnect_eap(answer: Answer, cause: str) -> None:
    pair = anyconnect(lambda _question: answer)
    assert pair.causes("right", "refused") == [cause]
    assert not pair.right.sas


def test_radius_judges_a_login_by_the_password() -> None:
    directory = Directory({"alice": Account("alice", password=ACCOUNT.password, pairs=("ipsec:addr-pool=P",))})

    def question(name: str, password: str) -> LoginQuestion:
        return LoginQuestion("LIST", name, IPv4Address("192.0.2.1"), Secret(password).proof("form"), len(password))

    right, wrong, unknown = (
        directory.answer(question(*who))[0]
        for who in (("alice", "any password"), ("alice", "another one"), ("bob", "any password"))
    )
    assert (right.code.title, wrong.code.title, unknown.code.title) == (
        "Access-Accept",
        "Access-Reject",
        "Access-Reject",
    )
    # Header, and an AV-pair of 17 octets in Vendor-Specific with type, length, vendor number, vendor type and length.
    assert (right.n_bytes, wrong.n_bytes) == (20 + 2 + 4 + 2 + 17, 20)


def test_the_routers_own_users_answer_a_local_login_list() -> None:
    lists = {("login", "LIST"): MethodList("login", "LIST", (("local", ""),))}
    service = AaaService("HUB", AaaSettings(lists=lists, users={"alice": ACCOUNT.password}))  # type: ignore[arg-type]

    def answer(name: str, password: str) -> Answer:
        proof = Secret(password).proof("form")
        step = service.ask(1, LoginQuestion("LIST", name, IPv4Address("192.0.2.1"), proof, len(password)), 0)
        ((token, found),) = step.answers
        assert token == 1 and not step.transmissions
        return found

    assert isinstance(answer("alice", "any password"), LoginAnswer)
    assert isinstance(answer("alice", "wrong"), Rejected) and isinstance(answer("bob", "any password"), Rejected)


TLS = RADIUS.replace(
    "eap: [mschapv2]", 'eap: [tls]\n    certificate: {authority: "http://192.0.2.10:80", bytes: 1000}\n    tls: "1.3"'
)
CARD = "  - {name: card, profile: android-strongswan, server: VPN, auth: eap-tls, users: [alice@example.net]%s}\n"


def test_eap_tls_with_a_radius_server(tmp_path: Path) -> None:
    result = run(tmp_path, CARD % "", radius=TLS)
    assert result.up
    answers = list(result.radius["answer"])
    assert answers == ["Access-Challenge"] * (len(answers) - 1) + ["Access-Accept"] and len(answers) >= 5
    # Two keys of 32 octets with salt and length in AV-pairs (RFC 2548 2.4) come with the last one.
    assert result.radius["answer_bytes"].iloc[-1] == 20 + (2 + 4) + (2 + 16) + 2 * (2 + 4 + 2 + 50)


@pytest.mark.parametrize(
    ("radius", "client", "where"),
    [
        # The client has the CA of the hub alone; the server's certificate is from another one.
        (TLS.replace("http://192.0.2.10:80", "OTHER-CA"), "", "card"),
        # The server trusts its own CA alone; the client's certificate is from another one.
        (TLS, ", authority: CARDS", "VPN"),
    ],
)
def test_a_certificate_of_another_ca_is_refused_by_whoever_does_not_know_it(
    tmp_path: Path, radius: str, client: str, where: str
) -> None:
    (reason,) = reasons(run(tmp_path, CARD % client, radius=radius)).values()
    assert reason.endswith(f"certificate not trusted at {where}")
    assert run(tmp_path, CARD % f"{client}, trusts: [OTHER-CA]", radius=_trusting(radius)).up


def _trusting(radius: str) -> str:
    return radius.replace('tls: "1.3"', 'tls: "1.3"\n    trusts: ["http://192.0.2.10", CARDS]')


# -- Bad input -------------------------------------------------------------------------------------------------

GOOD = "  - {name: laptop, profile: windows-10, server: VPN}\n"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("windows-10", "windows-11", ("unknown client 'windows-11'", "windows-10", "clients: laptop: profile")),
        ("windows-10", "ios-xe-17", ("ios-xe-17", "client")),
        ("server: VPN", "server: VPM", ("unknown router 'VPM'", "VPN")),
        ("}", ", auth: eap-gtc}", ("windows-10 cannot authenticate by eap-gtc", "eap-mschapv2")),
        ("}", ", auth: eap}", ("auth", "eap-mschapv2")),
        ("}", ", every: 1 s, rate: 2 / s}", ("every or rate, not both",)),
        ("}", ", coutn: 3}", ("unknown key 'coutn'", "count")),
        ("}", ", count: 0}", ("count",)),
        ("}", ", users: [carol@example.net]}", ("unknown RADIUS account with a password 'carol@example.net'",)),
        ("}", ", users: []}", ("at least one user",)),
        ("}", ", users: nobody.csv}", ("nobody.csv",)),
        ("}", ", hardware: isr9999}", ("isr9999",)),
        ("}", ", access: {nat_timeout: 30 s}}", ("nat_timeout is given without 'nat: true'",)),
        ("windows-10, server: VPN", "apple, server: VPN, auth: psk", ("needs the key of the server",)),
        ("laptop", "VPN", ("already a router or client 'VPN'",)),
        ("laptop", "lap top", ("name",)),
    ],
)
def test_a_fault_in_the_section_is_one_line(tmp_path: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    path = scenario(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        fv.run(path, traffic=False)
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text


def test_clients_without_any_user_are_told_where_to_write_them(tmp_path: Path) -> None:
    path = scenario(tmp_path, GOOD, radius="radius:\n  10.255.0.20: {eap: [mschapv2]}\n")
    done = flexvpn("run", path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "has no user: give users, or accounts with a password" in done.stderr


def test_two_groups_of_one_name_are_refused(tmp_path: Path) -> None:
    path = scenario(tmp_path, GOOD + GOOD.replace("VPN}", "VPN, count: 2}"))
    with pytest.raises(InputError, match="two groups are called 'laptop'"):
        fv.run(path, traffic=False)


def test_eap_tls_of_a_radius_server_needs_its_certificate(tmp_path: Path) -> None:
    path = scenario(tmp_path, GOOD, radius=RADIUS.replace("[mschapv2]", "[mschapv2, tls]"))
    with pytest.raises(InputError, match="tls needs a certificate of the server"):
        read_scenario(path)


# -- A folder with a scenario ----------------------------------------------------------------------------------


def test_a_folder_stands_for_its_scenario_if_it_has_one(tmp_path: Path) -> None:
    assert scenario_file(tmp_path) == tmp_path
    (tmp_path / "accounts.yaml").write_text("accounts: {}\n")
    assert scenario_file(tmp_path) == tmp_path
    (tmp_path / "scenario.yml").write_text("scenario: 1\n")
    assert scenario_file(tmp_path) == tmp_path / "scenario.yml"
    (tmp_path / "scenario.yaml").write_text("scenario: 1\n")
    with pytest.raises(InputError, match=r"found scenario\.yaml and scenario\.yml; name one of them"):
        read_scenario(tmp_path)


def test_the_topology_tells_which_access_delays_are_assumed(crowd: fv.Result) -> None:
    links = underlay(crowd).edges(data="assumed")
    ends = {(a if b == "internet" else b): assumed for a, b, assumed in links}
    # Only the iPhones' delay is given.
    assert {name for name, assumed in ends.items() if not assumed} == {f"iphone-{n:02}" for n in range(1, 16)}
    assert len(ends) == 53
