"""RADIUS servers as queues, IKEv2 sessions that wait for them, and the commands and scenarios that describe them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pair import LEFT, RIGHT, Pair, endpoint

import flexvpn_sim as fv
from flexvpn_sim.models.aaa import packets
from flexvpn_sim.models.aaa.client import Reply, Transmission
from flexvpn_sim.models.aaa.directory import Account, Directory
from flexvpn_sim.models.aaa.eap_server import EapBackend
from flexvpn_sim.models.aaa.packets import Code
from flexvpn_sim.models.aaa.service import AaaService
from flexvpn_sim.models.aaa.settings import AaaSettings, MethodList, RadiusServer, ServerGroup
from flexvpn_sim.models.eap.packets import identity_response
from flexvpn_sim.models.eap.peer import EapPeer
from flexvpn_sim.models.eap.rules import EapRules, Surroundings
from flexvpn_sim.models.ikev2.aaa import Authorisation, Lookup, ProfileAaa
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.enquiries import (
    AccountingRecord,
    Answer,
    AuthorisationAnswer,
    AuthorisationQuestion,
    EapAnswer,
    EapQuestion,
    KeyAnswer,
    KeyQuestion,
    NoAnswer,
    Question,
    Rejected,
)
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.payloads import EapPayload
from flexvpn_sim.models.ikev2.policy import AddressPool, AuthorizationPolicy, EapAccount, KeyEntry
from flexvpn_sim.models.ikev2.sa import NS_PER_S, Task, nanoseconds
from flexvpn_sim.models.ios.reader import read_router
from flexvpn_sim.models.randomness import Stream, make_key
from flexvpn_sim.models.secret import Secret
from flexvpn_sim.simulate.agenda import Agenda, Rank
from flexvpn_sim.simulate.radius import RadiusStation, ServerPlan

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "radius"
ADDRESS = IPv4Address("192.0.2.10")
PEER = IPv4Address("198.51.100.11")
SERVER = RadiusServer("ONE", ADDRESS)
QUESTION = KeyQuestion("L", "spoke1", PEER)
DIRECTORY = Directory({"spoke1": Account("spoke1", Secret("k"), Secret("k"), (1, 1))})


# --- the server as a queue ----------------------------------------------------------------------------------------


def transmission(serial: int, number: int = 1, key: str = "") -> Transmission:
    server = replace(SERVER, key=Secret(key)) if key else SERVER
    return Transmission("HUB", server, packets.packet(Code.ACCESS_REQUEST), serial % 256, serial, number, QUESTION)


def station(agenda: Agenda, **plan: Any) -> RadiusStation:
    return RadiusStation(ServerPlan(ADDRESS, DIRECTORY, **plan), agenda, 1, (1, 0, 0))


def waiting_times_s(law: str, workers: int, rate: float, count: int = 40_000) -> list[float]:
    """Return the waiting times at a server with Poisson arrivals and a mean service time of 10 ms. [s]"""
    agenda = Agenda()
    server = station(agenda, latency_s=0.0, workers=workers, service_s=0.01, law=law)
    draws = Stream(make_key(7, "arrivals", law))
    now_s = 0.0
    for serial in range(count):
        now_s -= math.log(1.0 - draws.uniform()) / rate
        sent = transmission(serial)
        agenda.at(nanoseconds(now_s), Rank.START, 0, lambda sent=sent: server.send(sent, lambda _reply: None))  # type: ignore[misc]
    agenda.run(nanoseconds(now_s + 60))
    figures = server.statistics(nanoseconds(now_s))
    assert figures.utilisation == pytest.approx(rate * 0.01 / workers, rel=0.03)
    assert figures.mean_length == pytest.approx(figures.arrivals / now_s * figures.mean_waiting_s, rel=1e-6)
    return [ns / NS_PER_S for ns in server.waiting_ns]


def mean_and_error(values: list[float], batches: int = 30) -> tuple[float, float]:
    """Return the mean without warm-up, and its standard error by batch means."""
    kept = values[len(values) // 20 :]
    size = len(kept) // batches
    means = [sum(kept[i * size : (i + 1) * size]) / size for i in range(batches)]
    mean = sum(means) / batches
    return mean, math.sqrt(sum((m - mean) ** 2 for m in means) / (batches - 1) / batches)


@pytest.mark.parametrize(
    ("law", "workers", "rate", "expected_s"),
    [
        # M/M/1: W = rho / (mu - lambda); M/D/1: half of it (Pollaczek and Khinchine).
        ("exponential", 1, 60.0, 0.6 / (100 - 60)),
        ("fixed", 1, 60.0, 0.6 / (2 * (100 - 60))),
        # M/M/2, rho = 0.7: Erlang C = 2 rho^2 / (1 + rho), W = C / (2 mu - lambda).
        ("exponential", 2, 140.0, 2 * 0.7**2 / 1.7 / (200 - 140)),
    ],
)
def test_waiting_at_the_server_is_that_of_theory(law: str, workers: int, rate: float, expected_s: float) -> None:
    mean_s, error_s = mean_and_error(waiting_times_s(law, workers, rate))
    assert error_s < 0.06 * expected_s
    assert abs(mean_s - expected_s) < 3.3 * error_s


def replies(server_plan: dict[str, Any], sends: list[tuple[float, Transmission]]) -> list[tuple[float, int]]:
    """Return (time in s, serial) of each answer that reaches the router."""
    agenda = Agenda()
    server = station(agenda, **server_plan)
    heard: list[tuple[float, int]] = []

    def deliver(reply: Reply) -> None:
        heard.append((round(agenda.now / NS_PER_S, 6), reply.serial))

    for at_s, sent in sends:
        agenda.at(nanoseconds(at_s), Rank.START, 0, lambda sent=sent: server.send(sent, deliver))  # type: ignore[misc]
    agenda.run(nanoseconds(1000))
    return heard


FIXED: dict[str, Any] = {"latency_s": 0.1, "workers": 1, "service_s": 1.0, "law": "fixed"}


def test_an_answer_takes_the_way_there_the_service_and_the_way_back() -> None:
    assert replies(FIXED, [(0, transmission(1)), (0.5, transmission(2))]) == [(1.2, 1), (2.2, 2)]


def test_a_repeated_request_is_dropped_while_it_is_served_and_answered_from_memory_afterwards() -> None:
    sends = [(0, transmission(1)), (0.5, transmission(1, 2)), (3, transmission(1, 3))]
    assert replies(FIXED, sends) == [(1.2, 1), (3.2, 1)]


def test_a_server_that_is_down_hears_nothing_and_loses_what_it_had() -> None:
    down = {**FIXED, "outages": ((0.5, 10.0),)}
    # The first is in service when the server stops; the second comes while it is down; the third finds it idle.
    assert replies(down, [(0, transmission(1)), (5, transmission(2)), (10, transmission(3))]) == [(11.2, 3)]


def test_another_shared_secret_is_as_good_as_no_server() -> None:
    plan = {**FIXED, "secret": Secret("right")}
    assert replies(plan, [(0, transmission(1, key="wrong")), (1, transmission(2, key="right"))]) == [(2.2, 2)]


def test_lost_packets_are_lost_in_both_directions() -> None:
    heard = replies({**FIXED, "loss": 0.5, "service_s": 0.0}, [(n, transmission(n)) for n in range(1, 900)])
    # A quarter comes through: 225 of 899, standard deviation 13.
    assert abs(len(heard) - 225) < 40


def test_eap_passes_through_in_requests_and_challenges_of_the_right_length() -> None:
    numbers = {"eap_server_name_bytes": 10, "eap_success_text_bytes": 64}
    account = EapAccount("ann", Secret("password"))
    surroundings = Surroundings(numbers.__getitem__, Stream(1).bits)
    directory = Directory({}, EapBackend(EapRules(("mschapv2",), (account,)), surroundings))
    client = EapPeer(EapRules(("mschapv2",), account=account), surroundings)
    service = AaaService(
        "HUB",
        AaaSettings(
            {"G": ServerGroup("G", (SERVER,))}, lists={("login", "L"): MethodList("login", "L", (("group", "G"),))}
        ),
    )
    packet, state = identity_response("ann"), None
    codes, now, answer = [], 0, None
    while answer is None or answer.verdict == "challenge":
        now += NS_PER_S
        (sent,) = service.ask(1, EapQuestion("L", "ann", PEER, EapPayload(packet), state), now).transmissions
        # User-Name 5, Service-Type 6, Calling-Station-Id 15, NAS-IP-Address 6, EAP-Message, Message-Authenticator 18.
        assert sent.packet.n_bytes == 20 + 5 + 6 + 15 + 6 + 2 + packet.n_bytes + (18 if state else 0) + 18
        reply, content = directory.answer(sent.subject)  # type: ignore[arg-type]
        codes.append(reply.code)
        ((_, answer),) = service.receive(Reply(SERVER, sent.serial, reply, content), now).answers
        assert isinstance(answer, EapAnswer)
        state, told = answer.state, answer.packet.packet
        if answer.verdict == "challenge":
            assert reply.n_bytes == 20 + 2 + told.n_bytes + 18 + 18
            _, said = client.answer(told)
            assert said is not None
            packet = said
    # Identity, response, acknowledgement of the success: three round trips (facts B.4).
    assert codes == [Code.ACCESS_CHALLENGE, Code.ACCESS_CHALLENGE, Code.ACCESS_ACCEPT]
    assert answer.verdict == "accept" and answer.msk == client.msk
    directory.forget()
    lost, _ = directory.answer(EapQuestion("L", "ann", PEER, EapPayload(packet), 1))
    assert lost == packets.packet(Code.ACCESS_REJECT)


# --- an IKEv2 responder that asks ---------------------------------------------------------------------------------

RIGHTS = AuthorizationPolicy("branches", AddressPool(IPv4Address("10.255.1.1"), 9), routes=(IPv4Network("10.0.0.0/8"),))
ASKS = ProfileAaa(
    Lookup("KEYS"),
    (Authorisation("user", "psk", Lookup("RIGHTS")), Authorisation("group", "psk", Lookup("RIGHTS", "branches"))),
    (("psk", "ACCOUNT"),),
)


def server_of(aaa: ProfileAaa = ASKS, **options: Any) -> Endpoint:
    """Return the right end without a keyring: all that it knows of its peer is in AAA."""
    made = endpoint("right", "ios-xe-16.9", **options)
    (profile,) = made.policy.profiles
    made.policy = replace(made.policy, profiles=(replace(profile, keys=(), aaa=aaa),))
    return Endpoint(made.policy, made.implementation)


class Aaa:
    """A AAA server in memory: it notes what it is asked and when, and answers after a time."""

    def __init__(self, delay_s: float = 0.0, **answers: Answer) -> None:
        self.delay_s = delay_s
        self.answers = answers
        self.asked: list[tuple[float, Question]] = []

    def __call__(self, question: Question, now_s: float) -> tuple[Answer, float]:
        self.asked.append((round(now_s, 6), question))
        if isinstance(question, AuthorisationQuestion):
            return self.answers.get(question.scope, AuthorisationAnswer(RIGHTS)), self.delay_s
        key = KeyEntry("left", Secret("test key"), Secret("test key"))
        return self.answers.get("key", KeyAnswer(key)), self.delay_s

    def kinds(self) -> list[str]:
        names = {KeyQuestion: "key", AuthorisationQuestion: "rights", AccountingRecord: "accounting"}
        return [names[type(question)] for _, question in self.asked]  # type: ignore[index]


def session(aaa: Aaa, until_s: float = 60, told: ProfileAaa = ASKS, **options: Any) -> Pair:
    pair = Pair(endpoint("left", "ios-xe-16.9"), server_of(told, **options), asks=aaa)
    pair.start(pair.left)
    pair.run(until_s)
    return pair


def test_the_order_is_key_then_group_then_user_then_the_session() -> None:
    aaa = Aaa()
    pair = session(aaa)
    assert len(pair.children(pair.left)) == len(pair.children(pair.right)) == 1
    assert aaa.kinds() == ["key", "rights", "rights", "accounting"]
    questions = [question for _, question in aaa.asked]
    assert questions[0] == KeyQuestion("KEYS", "BR1.cptl.local", LEFT)
    assert questions[1] == AuthorisationQuestion("group", "RIGHTS", "branches", LEFT)
    assert questions[2] == AuthorisationQuestion("user", "RIGHTS", "BR1.cptl.local", LEFT)
    (sa,) = pair.right.sas.values()
    assert sa.authorization is not None and sa.authorization.routes == RIGHTS.routes


def test_the_messages_are_those_of_a_local_key_and_come_later() -> None:
    told = ProfileAaa(Lookup("KEYS"))
    pair = session(Aaa(0.7), told=told)
    local = Pair(endpoint("left", "ios-xe-16.9"), endpoint("right", "ios-xe-16.9"))
    local.start(local.left)
    local.run(60)
    assert pair.texts()[:4] == local.texts()[:4]
    assert pair.log[3].time_s == pytest.approx(local.log[3].time_s + 0.7)


def test_both_ends_do_the_same_work_with_a_key_from_aaa() -> None:
    told = ProfileAaa(Lookup("KEYS"))
    pair = session(Aaa(), until_s=10, told=told)
    local = Pair(endpoint("left", "ios-xe-16.9"), endpoint("right", "ios-xe-16.9"))
    local.start(local.left)
    local.run(10)
    extra = [type(o).__name__ for o in pair.operations["right"]]
    for name in [type(o).__name__ for o in local.operations["right"]]:
        extra.remove(name)
    assert extra == ["Authorise"]


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ({"key": NoAnswer()}, "no answer from AAA"),
        ({"key": Rejected()}, "no key for the peer"),
        ({"group": NoAnswer()}, "no answer from AAA"),
        ({"user": Rejected("Access-Reject by ONE")}, "refused by AAA"),
        ({"key": KeyAnswer(KeyEntry("left", Secret("other"), Secret("other")))}, "wrong key"),
    ],
)
def test_whatever_fails_ends_the_session(answers: dict[str, Answer], cause: str) -> None:
    aaa = Aaa(0.1, **answers)
    pair = session(aaa, until_s=1.5)
    assert pair.causes("right", "refused") == [cause]
    assert pair.log[3].datagram.message.notify("AUTHENTICATION_FAILED") is not None
    assert not pair.right.sas and pair.right.half_open_count() == 0
    assert "accounting" not in aaa.kinds()


def test_an_identity_without_a_name_is_not_asked_about() -> None:
    from flexvpn_sim.models.ikev2.aaa import NameMangler

    told = ProfileAaa(Lookup("KEYS", mangler=NameMangler("M", (("email", "all"),))))
    aaa = Aaa()
    pair = session(aaa, until_s=1.5, told=told)
    assert pair.causes("right", "refused") == ["no name for AAA in the identity"] and aaa.asked == []


def test_the_half_open_time_goes_on_while_the_server_is_asked() -> None:
    aaa = Aaa(35.0)
    pair = session(aaa, until_s=33)
    assert pair.causes("right", "ike_closed") == ["half-open for too long"]
    # Repeated requests of the waiting initiator are not asked about again.
    assert aaa.kinds() == ["key"]
    pair.run(200)
    assert all(not sa.in_use for sa in pair.right.sas.values())


def test_a_waiting_session_counts_as_one_in_negotiation() -> None:
    pair = session(Aaa(5.0), until_s=4)
    assert pair.right.half_open_count() == 1
    pair.run(60)
    assert pair.right.half_open_count() == 0 and len(pair.children(pair.right)) == 1


def test_cached_rights_come_with_the_key() -> None:
    told = ProfileAaa(Lookup("KEYS"), (Authorisation("user", "psk", None),))
    key = KeyEntry("left", Secret("test key"), Secret("test key"))
    aaa = Aaa(key=KeyAnswer(key, RIGHTS))
    pair = session(aaa, told=told)
    (sa,) = pair.right.sas.values()
    assert aaa.kinds() == ["key"] and sa.authorization is not None and sa.authorization.pool == RIGHTS.pool


@pytest.mark.parametrize(("override", "domain"), [(False, "user"), (True, "group")])
def test_override_lets_the_group_win(override: bool, domain: str) -> None:
    told = ProfileAaa(
        None,
        (Authorisation("group", "psk", Lookup("R", "g"), override), Authorisation("user", "psk", Lookup("R"))),
    )
    answers: dict[str, Answer] = {
        "group": AuthorisationAnswer(AuthorizationPolicy("g", def_domain="group", banner="hello")),
        "user": AuthorisationAnswer(AuthorizationPolicy("u", def_domain="user")),
    }
    pair = Pair(endpoint("left"), endpoint("right"), asks=Aaa(**answers))
    (profile,) = pair.right.policy.profiles
    pair.right.policy = replace(pair.right.policy, profiles=(replace(profile, aaa=told),))
    pair.right = Endpoint(pair.right.policy, pair.right.implementation)
    pair.start(pair.left)
    pair.run(10)
    (sa,) = pair.right.sas.values()
    assert sa.authorization is not None
    assert (sa.authorization.def_domain, sa.authorization.banner) == (domain, "hello")


def test_accounting_spans_a_rekey_and_stops_once() -> None:
    aaa = Aaa()
    pair = session(aaa, until_s=10)
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(20)
    assert aaa.kinds().count("accounting") == 1
    pair.ask(pair.left, Task("delete ike", cause="local decision"))
    pair.run(25)
    start, stop, *_ = [q for _, q in aaa.asked if isinstance(q, AccountingRecord)]
    assert (start.status, stop.status) == ("start", "stop") and start.session == stop.session
    assert (start.name, start.peer, stop.cause) == ("BR1.cptl.local", LEFT, "deleted by the peer")


def test_a_peer_with_a_keyring_entry_is_not_asked_about() -> None:
    made = endpoint("right", "ios-xe-16.9")
    (profile,) = made.policy.profiles
    made.policy = replace(made.policy, profiles=(replace(profile, aaa=ProfileAaa(Lookup("KEYS"))),))
    aaa = Aaa()
    pair = Pair(endpoint("left", "ios-xe-16.9"), Endpoint(made.policy, made.implementation), asks=aaa)
    pair.start(pair.left)
    pair.run(10)
    assert aaa.asked == [] and len(pair.children(pair.right)) == 1
    assert pair.right.policy.profiles[0].local_identity == Identity("fqdn", "HQ.cptl.local")
    assert pair.ike(pair.right).local == RIGHT


# --- configurations -----------------------------------------------------------------------------------------------


def test_what_the_example_says() -> None:
    hub = read_router(EXAMPLE / "hub.cfg")
    assert hub.unknown_lines == []
    aaa = hub.aaa
    assert [(s.name, str(s.address), s.auth_port, s.acct_port) for s in aaa.servers.values()] == [
        ("RADIUS-1", "192.0.2.10", 1812, 1813),
        ("RADIUS-2", "192.0.2.11", 1812, 1813),
    ]
    assert [name for name, _ in aaa.groups["VPN-AAA"].servers] == ["RADIUS-1", "RADIUS-2"]
    assert aaa.lists[("network", "VPN-KEYS")].methods == (("group", "VPN-AAA"),)
    assert aaa.interim_min == 1 and aaa.manglers["SITE"].parts == {"fqdn": "hostname"}
    assert (aaa.pools["SPOKES"].first, aaa.pools["SPOKES"].size) == (IPv4Address("10.255.1.1"), 250)
    profile = hub.profiles["SPOKES"]
    assert profile.keyring_aaa == "VPN-KEYS" and profile.accounting["psk"][0] == "VPN-ACCOUNT"
    assert "Secret1" not in repr(hub)


def test_every_command_of_aaa_and_what_undoes_it(tmp_path: Path) -> None:
    text = """hostname R
aaa new-model
radius server A
 address ipv4 192.0.2.1
 key secret1
 timeout 7
 retransmit 2
radius-server host 192.0.2.2 auth-port 1645 acct-port 1646 timeout 3 key secret2
radius-server timeout 4
radius-server retransmit 1
radius-server deadtime 10
radius-server dead-criteria time 30 tries 4
radius-server key secret3
aaa group server radius G
 server name A
 server 192.0.2.2
 server-private 192.0.2.3 auth-port 1812 key secret4
 deadtime 5
aaa authentication login L group G local
aaa authorization network L group radius none
aaa accounting network L stop-only group G
aaa accounting update newinfo periodic 15
crypto ikev2 authorization policy P
 pool POOL
 netmask 255.255.255.0
 dns 192.0.2.53 192.0.2.54
 wins 192.0.2.60
 def-domain example.net
 split-dns a.example.net
 banner welcome to all
 backup-gateway gw2
 route set interface
 route set local ipv4 10.0.0.0 255.0.0.0
 route set remote ipv4 172.16.0.0 255.240.0.0
 no route accept any
crypto ikev2 name-mangler M
 email username
 dn common-name
ip local pool POOL 10.0.0.1 10.0.0.100
"""
    path = tmp_path / "r.cfg"
    path.write_text(text)
    router = read_router(path)
    aaa, policy = router.aaa, router.aaa.policies["P"]
    assert router.unknown_lines == []
    assert (aaa.timeout_s, aaa.retransmit, aaa.deadtime_min, aaa.dead_time_s, aaa.dead_tries) == (4, 1, 10, 30, 4)
    assert (aaa.servers["A"].timeout_s, aaa.servers["A"].retransmit, aaa.servers["192.0.2.2"].timeout_s) == (7, 2, 3)
    assert [name for name, _ in aaa.groups["G"].servers] == ["A", "192.0.2.2", "192.0.2.3"]
    assert aaa.lists[("login", "L")].methods == (("group", "G"), ("local", ""))
    assert aaa.lists[("accounting", "L")].stop_only and aaa.interim_min == 15
    assert (policy.pool, str(policy.netmask), policy.def_domain, policy.banner) == (
        "POOL",
        "255.255.255.0",
        "example.net",
        "welcome to all",
    )
    assert policy.route_set_interface and policy.refuses_routes and policy.routes == [IPv4Network("10.0.0.0/8")]
    assert aaa.manglers["M"].parts == {"email": "username", "dn": "common-name"}
    assert not any(f"secret{n}" in repr(router) for n in (1, 2, 3, 4))
    path.write_text(
        text + "no radius server A\nno radius-server timeout\nno ip local pool POOL\nno aaa accounting update\n"
    )
    undone = read_router(path).aaa
    assert "A" not in undone.servers and undone.timeout_s is None and not undone.pools and undone.interim_min is None


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (
            "keyring aaa VPN-KEYS",
            "keyring aaa VPN-KEY",
            r"hub.cfg:\d+: unknown AAA network list 'VPN-KEY', did you mean",
        ),
        ("list VPN-RIGHTS branches", "list RIGHT branches", r"unknown AAA network list 'RIGHT'"),
        (
            "accounting psk VPN-ACCOUNT",
            "accounting psk X",
            r"unknown AAA accounting list 'X', did you mean|Allowed: VPN-A",
        ),
        ("name-mangler SITE\n aaa acc", "name-mangler SITES\n aaa acc", r"name-mangler 'SITES', did you mean 'SITE'"),
        ("VPN-KEYS group VPN-AAA", "VPN-KEYS group VPN", r"hub.cfg:19: unknown server group 'VPN'"),
        (" server name RADIUS-2", " server name RADIUS-3", r"hub.cfg:17: unknown radius server 'RADIUS-3'"),
        (" address ipv4 192.0.2.11 auth-port 1812 acct-port 1813\n", "", r"radius server RADIUS-2 has no address"),
        (" server name RADIUS-1\n server name RADIUS-2\n", "", r"server group VPN-AAA has no server"),
        ("auth-port 1812", "auth-port 70000", r"hub.cfg:8: auth-port '70000' is not a whole number from 0 to 65535"),
        ("address ipv4 192.0.2.10", "address ipv4 192.0.2", r"'192.0.2' is not an IPv4 address"),
        ("10.255.1.1 10.255.1.250", "10.255.1.9 10.255.1.1", r"pool SPOKES ends at 10.255.1.1"),
        ("fqdn hostname", "fqdn username", r"unknown part of the fqdn identity 'username'"),
    ],
)
def test_what_is_named_and_missing_is_one_line(tmp_path: Path, old: str, new: str, part: str) -> None:
    folder = copy(tmp_path)
    text = (folder / "hub.cfg").read_text()
    assert old in text
    (folder / "hub.cfg").write_text(text.replace(old, new, 1))
    line = refused(folder / "scenario.yaml")
    assert re.search(part, line), line


# --- runs ---------------------------------------------------------------------------------------------------------


def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "radius"
    folder.mkdir()
    for file in EXAMPLE.iterdir():
        (folder / file.name).write_text(file.read_text())
    return folder


def refused(scenario: Path) -> str:
    """Return the one line by which a scenario is refused."""
    with pytest.raises(fv.InputError) as caught:
        fv.run(scenario, duration_s=1, traffic=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flexvpn(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flexvpn_sim.experiments.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keys_rights_and_accounting_from_radius() -> None:
    result = fv.run(EXAMPLE / "scenario.yaml", traffic=False)
    assert result.up
    requests = result.radius
    counts = requests.groupby(["request", "answer"]).size().to_dict()
    # A key, the group's rights, the user's rights for each spoke; a start and, at 60, 120, 180 and 240 s, an interim.
    assert counts == {
        ("Access-Request", "Access-Accept"): 6,
        ("Accounting-Request", "Accounting-Response"): 10,
    }
    assert (requests["transmissions"] == 1).all()
    # Nothing is faster than the way there and back.
    assert ((requests["ended_s"] - requests["sent_s"]) >= 0.016 - 1e-9).all()
    assert result.accounting["record"].value_counts().to_dict() == {"start": 2, "interim": 8}
    interim = result.accounting[result.accounting["record"] == "interim"]
    assert sorted(interim["session_s"].round(6).unique()) == [60, 120, 180, 240]
    events = result.events
    assert {"route_installed"} <= set(events["event"])
    (server, other) = result.radius_servers.to_dict("records")
    assert (server["packets"], server["served"], other["packets"]) == (16, 16, 0)


def test_octets_of_the_sessions_are_those_of_the_flows() -> None:
    result = fv.run(EXAMPLE / "scenario.yaml")
    last = result.accounting[result.accounting["record"] == "interim"].iloc[-1]
    # A ping a second of 100 bytes from the spoke and its answer: about 240 of each by 240 s.
    assert last["octets_in"] == pytest.approx(100 * last["session_s"], rel=0.05)
    assert last["octets_out"] == pytest.approx(100 * last["session_s"], rel=0.05)


def test_a_dead_server_delays_every_look_up_by_twenty_seconds_and_the_half_open_time_runs_out() -> None:
    result = fv.run(EXAMPLE / "dead-server.yaml", traffic=False)
    requests = result.radius
    first = requests[requests["asked_s"] < 100]
    assert (first["transmissions"] == 5).all() and (first["ended_s"] - first["asked_s"] > 20).all()
    causes = set(result.events[(result.events["router"] == "HUB") & (result.events["event"] == "ike_closed")]["cause"])
    assert causes == {"half-open for too long"}
    assert result.up and (result.sessions["setup_s"] > 120).all()


def test_a_deadtime_lets_the_second_server_answer(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    hub = folder / "hub.cfg"
    lines = "aaa new-model\nradius-server dead-criteria tries 4\nradius-server deadtime 5\n"
    hub.write_text(hub.read_text().replace("aaa new-model\n", lines))
    result = fv.run(folder / "dead-server.yaml", traffic=False)
    assert result.up and (result.sessions["setup_s"] < 25).all()
    marks = result.radius_clients.set_index("server")["dead_marks"]
    assert marks["RADIUS-1"] >= 1 and marks["RADIUS-2"] == 0


def test_with_all_servers_dead_the_sessions_are_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    scenario = folder / "dead-server.yaml"
    second = "  192.0.2.11:\n"
    scenario.write_text(
        scenario.read_text()
        .replace("to: 120 s", "to: 9000 s")
        .replace(second, f"{second}    outages: [{{from: 0, to: 1h}}]\n")
    )
    hub = folder / "hub.cfg"
    hub.write_text(hub.read_text().replace("aaa new-model\n", "aaa new-model\nradius-server timeout 2\n"))
    result = fv.run(scenario, traffic=False)
    assert not result.up
    refused = result.events[(result.events["router"] == "HUB") & (result.events["event"] == "refused")]
    # Two servers, four packets each, 2 s apart.
    assert set(refused["cause"]) == {"no answer from AAA"} and set(refused["notify"]) == {"AUTHENTICATION_FAILED"}
    over = result.radius["ended_s"] - result.radius["asked_s"]
    assert over.to_list() == pytest.approx([16.0] * len(over))
    assert (result.accounting["record"] == "start").sum() == 0


def test_a_spoke_without_an_account_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    accounts = folder / "accounts.yaml"
    accounts.write_text(accounts.read_text().replace("  spoke2.spokes", "  spoke3.spokes"))
    result = fv.run(folder / "scenario.yaml", traffic=False, duration_s=30)
    up = result.sessions.set_index("initiator")["up"]
    assert up["SPOKE1"] and not up["SPOKE2"]
    assert "no key for the peer" in set(result.events["cause"])


def test_a_run_repeats_to_the_bit(tmp_path: Path) -> None:
    result = tmp_path / "result"
    assert flexvpn("run", EXAMPLE / "dead-server.yaml", "--no-esp", "--duration", "150s", "-o", result).returncode == 0
    stored = "".join(p.read_bytes().decode("latin-1") for p in sorted(result.rglob("*")) if p.is_file())
    assert "ExampleKey" not in stored and "ExampleShared" not in stored
    manifest = json.loads((result / "manifest.json").read_text())
    key = manifest["scenario"]["radius"]["192.0.2.10"]["accounts"]["spoke1.spokes.example.net"]["psk"]
    assert key["bytes"] == 18 and key["pseudonym"].startswith("secret-")
    again = flexvpn("rerun", result)
    assert again.returncode == 0, again.stdout


def test_the_report_tells_what_radius_did() -> None:
    done = flexvpn("run", EXAMPLE / "dead-server.yaml", "--no-traffic", "--no-esp")
    assert done.returncode == 0
    assert "timeouts, marked dead" in done.stdout and "accounting: 2 start" in done.stdout
    assert "RADIUS timeout = 5 s" in done.stdout


def test_a_folder_alone_has_no_accounts(tmp_path: Path) -> None:
    for config in EXAMPLE.glob("*.cfg"):
        (tmp_path / config.name).write_text(config.read_text())
    done = flexvpn("run", tmp_path)
    assert done.returncode == 2
    assert "nothing is known of radius server RADIUS-1 (192.0.2.10)" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("latency: 8 ms", "latncy: 8 ms", "unknown key 'latncy', did you mean 'latency'"),
        ("workers: 2", "workers: 0", "radius.192.0.2.10.workers"),
        ("service: 3 ms", "service: 3 ms\n    law: uniform", "law"),
        (
            "service: 3 ms",
            "service: 3 ms\n    eap: [mschap]",
            "unknown EAP method of a RADIUS server 'mschap', did you mean 'mschapv2'",
        ),
        ("service: 3 ms", "service: 3 ms\n    outages: [{from: 5 s, to: 2 s}]", "ends at 2 s"),
        ("192.0.2.10:", "radius1.example.net:", "the IPv4 address of a server is needed"),
        ("accounts.yaml", "account.yaml", "account.yaml: no such file"),
    ],
)
def test_a_scenario_that_does_not_fit_is_one_line(tmp_path: Path, old: str, new: str, part: str) -> None:
    folder = copy(tmp_path)
    file = folder / "scenario.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert part in refused(file)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (
            "    psk: ExampleKeyOfSpoke1",
            "    psk: 12345",
            "accounts.spoke1.spokes.example.net.psk: a text of 1 to 128 octets",
        ),
        (
            "    psk: ExampleKeyOfSpoke1",
            "    psk-local: ExampleKeyOfSpoke1",
            "psk-local and psk-remote need each other",
        ),
        ("ipsec:addr-pool=SPOKES", "addr-pool", "protocol:name=value is needed"),
        ("ipsec:dns-servers=10.255.0.53", "ipsec:dns-servers=dns", "ipsec:dns-servers=dns"),
        ("ipsec:dns-servers=10.255.0.53", "ipsec:ikev2-password-local=ExampleKey", "a key does not belong in reply"),
    ],
)
def test_accounts_that_do_not_fit_are_one_line_without_a_secret(tmp_path: Path, old: str, new: str, part: str) -> None:
    folder = copy(tmp_path)
    file = folder / "accounts.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    line = refused(folder / "scenario.yaml")
    assert part in line and "ExampleKey" not in line


def test_a_list_of_the_router_itself_needs_no_server(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    hub = folder / "hub.cfg"
    text = (
        hub.read_text()
        .replace("VPN-RIGHTS group VPN-AAA", "VPN-RIGHTS local")
        .replace(" aaa accounting psk VPN-ACCOUNT\n", "")
    )
    text = text.replace(" keyring aaa VPN-KEYS\n", " keyring local K\n")
    text = text.replace(
        "crypto ikev2 profile SPOKES",
        "crypto ikev2 authorization policy branches\n pool SPOKES\n dns 10.255.0.53\n"
        "crypto ikev2 authorization policy spoke1\n def-domain one.example.net\n"
        "crypto ikev2 keyring K\n peer S1\n  address 198.51.100.11\n  pre-shared-key ExampleKeyOfSpoke1\n"
        " peer S2\n  address 198.51.100.12\n  pre-shared-key ExampleKeyOfSpoke2\n"
        "crypto ikev2 profile SPOKES",
    )
    hub.write_text(text)
    result = fv.run(folder, traffic=False, duration_s=30)
    up = result.sessions.set_index("initiator")["up"]
    # The second spoke has no authorization policy of its own, which the profile asks for.
    assert up["SPOKE1"] and not up["SPOKE2"]
    assert "refused by AAA" in set(result.events["cause"])
    assert len(result.radius) == 0
