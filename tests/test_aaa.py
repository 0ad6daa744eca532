"""AAA of a router: RADIUS packets to the octet, repetition and fail-over, method lists, rights, names."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.models.aaa import packets
from flexvpn_sim.models.aaa.client import IDENTIFIERS, NS_PER_S, ClientStep, RadiusClient, Reply, Transmission
from flexvpn_sim.models.aaa.directory import Account, Directory
from flexvpn_sim.models.aaa.packets import Code, Packet
from flexvpn_sim.models.aaa.rights import rights_of
from flexvpn_sim.models.aaa.service import AaaService, AaaStep
from flexvpn_sim.models.aaa.settings import AaaSettings, Method, MethodList, Purpose, RadiusServer, ServerGroup
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.aaa import Lookup, NameMangler
from flexvpn_sim.models.ikev2.authorisation import merge
from flexvpn_sim.models.ikev2.enquiries import (
    AccountingRecord,
    AuthorisationAnswer,
    AuthorisationQuestion,
    KeyAnswer,
    KeyQuestion,
    NoAnswer,
    Rejected,
)
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.policy import AddressPool, AuthorizationPolicy
from flexvpn_sim.models.secret import Secret

FIRST = RadiusServer("ONE", IPv4Address("192.0.2.10"), timeout_s=5, retransmit=3)
SECOND = RadiusServer("TWO", IPv4Address("192.0.2.11"), timeout_s=5, retransmit=3)
PEER = IPv4Address("198.51.100.11")
POOL = AddressPool(IPv4Address("10.255.1.1"), 250)
ACCEPT = packets.packet(Code.ACCESS_ACCEPT)


def at(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def settings(
    *servers: RadiusServer,
    deadtime_s: float = 0,
    tries: int = 10,
    interim_s: float = 0,
    methods: tuple[Method, ...] = (("group", "G"),),
) -> AaaSettings:
    purposes: tuple[Purpose, ...] = ("login", "network", "accounting")
    return AaaSettings(
        {"G": ServerGroup("G", servers or (FIRST, SECOND), deadtime_s)},
        {"branches": AuthorizationPolicy("branches", POOL)},
        {"SPOKES": POOL},
        {(purpose, "L"): MethodList(purpose, "L", methods) for purpose in purposes},
        dead_tries=tries,
        interim_s=interim_s,
    )


# --- packets (RFC 2865, 2866, 3579) -------------------------------------------------------------------------------


def test_an_access_request_by_hand() -> None:
    # RFC 2865 7.1: header 20, User-Name "nemo" 6, User-Password 18, NAS-IP-Address 6, NAS-Port 6: 56 octets.
    request = packets.packet(
        Code.ACCESS_REQUEST,
        packets.text("User-Name", "nemo"),
        packets.user_password(9),
        packets.number("NAS-IP-Address"),
        packets.number("NAS-Port"),
    )
    assert request.n_bytes == 56
    assert request.ip_len == 56 + 8 + 20


def test_an_access_accept_of_the_rfc_by_hand() -> None:
    # RFC 2865 7.1: Service-Type, Login-Service (a number as any other) and Login-IP-Host (an address): 38 octets.
    answer = packets.packet(Code.ACCESS_ACCEPT, [packets.number("Service-Type")] * 3)
    assert answer.n_bytes == 38


@pytest.mark.parametrize(("length", "octets"), [(0, 18), (1, 18), (16, 18), (17, 34), (128, 130), (200, 130)])
def test_a_user_password_is_hidden_in_blocks(length: int, octets: int) -> None:
    assert packets.user_password(length).n_bytes == octets


@pytest.mark.parametrize(("length", "octets"), [(1, 21), (15, 21), (16, 37), (18, 37), (31, 37)])
def test_a_tunnel_password_has_tag_salt_and_length(length: int, octets: int) -> None:
    # Type 1, length 1, tag 1, salt 2, and length octet and password padded to 16 (RFC 2868 3.5).
    assert packets.tunnel_password(length).n_bytes == octets


def test_an_av_pair_is_a_vendor_specific_attribute() -> None:
    assert packets.av_pair(len("ipsec:addr-pool=POOL")).n_bytes == 2 + 4 + 2 + 20


@given(st.integers(1, 3000))
def test_an_eap_packet_travels_in_pieces_of_253(length: int) -> None:
    pieces = packets.eap_message(length)
    assert sum(piece.value_bytes for piece in pieces) == length
    assert all(piece.value_bytes == 253 for piece in pieces[:-1])
    assert sum(piece.n_bytes for piece in pieces) == length + 2 * -(-length // 253)


def test_an_attribute_holds_at_most_253_octets() -> None:
    with pytest.raises(ValueError, match="1 to 253"):
        packets.Attribute("State", 254)
    assert packets.text("User-Name", "x" * 300).n_bytes == 255
    assert packets.message_authenticator().n_bytes == 18


def test_what_a_router_asks_for_a_key() -> None:
    step = AaaService("HUB", settings()).ask(1, KeyQuestion("L", "spoke1.example.net", PEER), 0)
    # Header 20, User-Name 2+18, User-Password 2+16, Calling-Station-Id 2+13, NAS-IP-Address 6.
    assert step.transmissions[0].packet.n_bytes == 20 + 20 + 18 + 15 + 6


@pytest.mark.parametrize(
    ("kind", "octets"),
    # 20, Acct-Status-Type 6, Acct-Session-Id 10, User-Name 8, Calling-Station-Id 15, NAS-IP-Address 6,
    # Acct-Delay-Time 6, Framed-IP-Address 6; then time and octets 18; then the cause 6.
    [("start", 77), ("interim", 95), ("stop", 101)],
)
def test_accounting_requests_by_hand(kind: str, octets: int) -> None:
    service = AaaService("HUB", settings(interim_s=60))
    address = IPv4Address("10.255.1.1")
    sent = {"start": service.ask(0, AccountingRecord("start", "L", 7, "spoke1", PEER, address), 0)}
    sent["interim"] = service.on_timer(at(60))
    sent["stop"] = service.ask(0, AccountingRecord("stop", "L", 7, "spoke1", PEER, address, "local decision"), at(61))
    lengths = [t.packet.n_bytes for t in sent[kind].transmissions if t.number == 1]
    assert lengths == [octets]


# --- the client: timeouts, fail-over, dead servers, identifiers --------------------------------------------------


class Driver:
    """A client and a clock; ``sent`` are (time in s, server) of every packet."""

    def __init__(self, told: AaaSettings) -> None:
        self.client = RadiusClient("HUB", told)
        self.now = 0
        self.sent: list[tuple[float, str]] = []
        self.outcomes: list[tuple[float, int, bool]] = []
        self.dead: list[tuple[float, str]] = []
        self.last: dict[int, Transmission] = {}

    def ask(self) -> int:
        serial, step = self.client.ask(
            "G", packets.packet(Code.ACCESS_REQUEST, packets.number("NAS-Port")), None, self.now
        )
        self._take(step)
        return serial

    def answer(self, serial: int, server: RadiusServer) -> None:
        self._take(self.client.receive(Reply(server, serial, ACCEPT), self.now))

    def run(self, until_s: float) -> None:
        while (due := self.client.timer()) is not None and due <= at(until_s):
            self.now = due
            self._take(self.client.on_timer(due))
        self.now = at(until_s)

    def _take(self, step: ClientStep) -> None:
        now_s = self.now / NS_PER_S
        for t in step.transmissions:
            self.sent.append((now_s, t.server.name))
            self.last[t.serial] = t
        self.outcomes += [(now_s, o.serial, o.reply is not None) for o in step.outcomes]
        self.dead += [(now_s, server.name) for server in step.dead]


def test_a_dead_server_costs_twenty_seconds_before_the_next_one() -> None:
    driver = Driver(settings())
    driver.ask()
    driver.run(100)
    assert driver.sent == [(t, "ONE") for t in (0, 5, 10, 15)] + [(t, "TWO") for t in (20, 25, 30, 35)]
    assert driver.outcomes == [(40, 1, False)]


def test_an_answer_ends_the_repetition() -> None:
    driver = Driver(settings())
    serial = driver.ask()
    driver.run(6)
    driver.answer(serial, FIRST)
    driver.run(100)
    assert driver.sent == [(0, "ONE"), (5, "ONE")]
    assert driver.outcomes == [(6, serial, True)]
    assert driver.client.outstanding() == 0 and driver.client.timer() is None


def test_repetitions_keep_their_identifier() -> None:
    driver = Driver(settings())
    serial = driver.ask()
    first = driver.last[serial]
    driver.run(12)
    assert driver.last[serial].identifier == first.identifier and driver.last[serial].number == 3


def test_the_answer_of_a_server_that_was_given_up_comes_too_late() -> None:
    driver = Driver(settings())
    serial = driver.ask()
    driver.run(21)
    driver.answer(serial, FIRST)
    assert driver.outcomes == [] and driver.client.states[FIRST].late_replies == 1
    driver.answer(serial, SECOND)
    assert driver.outcomes == [(21, serial, True)]
    driver.answer(serial, SECOND)
    assert driver.client.states[SECOND].late_replies == 1


def test_without_deadtime_every_request_pays_again() -> None:
    driver = Driver(settings(tries=4))
    driver.ask()
    driver.run(21)
    assert driver.dead == [(20, "ONE")]
    driver.ask()
    assert driver.sent[-1] == (21, "ONE")


def test_a_dead_server_is_passed_over_for_the_deadtime() -> None:
    driver = Driver(settings(tries=4, deadtime_s=60))
    serial = driver.ask()
    driver.run(20)
    driver.answer(serial, SECOND)
    for when_s, server in ((21, "TWO"), (79, "TWO"), (80, "ONE")):
        driver.run(when_s)
        serial = driver.ask()
        assert driver.sent[-1] == (when_s, server)
        driver.answer(serial, FIRST if server == "ONE" else SECOND)


def test_dead_needs_timeouts_in_a_row_and_silence() -> None:
    driver = Driver(settings(FIRST, tries=4, deadtime_s=60))
    for _ in range(3):
        serial = driver.ask()
        driver.run(driver.now / NS_PER_S + 11)
        driver.answer(serial, FIRST)
    assert driver.client.states[FIRST].timeouts_total == 6 and driver.dead == []


def test_with_every_server_dead_a_request_fails_at_once() -> None:
    driver = Driver(settings(FIRST, tries=4, deadtime_s=60))
    driver.ask()
    driver.run(20)
    assert driver.outcomes == [(20, 1, False)]
    sent = len(driver.sent)
    for _ in range(2000):
        driver.ask()
    assert len(driver.outcomes) == 2001 and len(driver.sent) == sent


def test_what_finds_no_identifier_waits() -> None:
    driver = Driver(settings())
    serials = [driver.ask() for _ in range(IDENTIFIERS + 2)]
    assert (driver.client.outstanding(), driver.client.waiting()) == (256, 2)
    assert len({driver.last[serial].identifier for serial in serials[:IDENTIFIERS]}) == 256
    driver.run(3)
    driver.answer(serials[40], FIRST)
    assert driver.sent[-1] == (3, "ONE")
    assert driver.last[serials[256]].identifier == driver.last[serials[40]].identifier
    # Its timeout has begun only now.
    driver.run(7.9)
    assert driver.last[serials[256]].number == 1
    driver.run(8)
    assert driver.last[serials[256]].number == 2


def test_a_thousand_requests_that_wait_while_their_server_dies_all_end() -> None:
    driver = Driver(settings(FIRST, tries=4, deadtime_s=3600))
    for _ in range(IDENTIFIERS + 1000):
        driver.ask()
    driver.run(1000)
    assert len(driver.outcomes) == IDENTIFIERS + 1000 and driver.client.outstanding() == 0


@given(st.lists(st.tuples(st.sampled_from(["ask", "one", "two", "wait"]), st.integers(0, 12)), max_size=60))
def test_every_request_is_over_once_and_identifiers_are_unique(steps: list[tuple[str, int]]) -> None:
    driver = Driver(settings(tries=3, deadtime_s=10))
    asked = 0
    for what, number in steps:
        if what == "ask":
            driver.ask()
            asked += 1
        elif what == "wait":
            driver.run(driver.now / NS_PER_S + number)
        elif asked:
            driver.answer(1 + number % asked, FIRST if what == "one" else SECOND)
        over = {serial for _, serial, _ in driver.outcomes}
        live = [driver.last[serial].identifier for serial in driver.last if serial not in over]
        assert len(live) == len(set(live))
    driver.run(driver.now / NS_PER_S + 1000)
    assert sorted(serial for _, serial, _ in driver.outcomes) == list(range(1, asked + 1))


# --- method lists, answers, rights -------------------------------------------------------------------------------

ACCOUNTS = {
    "spoke1": Account("spoke1", Secret("k"), Secret("k"), (18, 18), ("ipsec:addr-pool=SPOKES",)),
    "spoke2": Account("spoke2", Secret("a"), Secret("b"), (10, 12)),
    "branches": Account("branches", pairs=("ipsec:route-set=prefix 10.0.0.0/8", "ipsec:dns-servers=10.0.0.53")),
    "lost": Account("lost", pairs=("ipsec:addr-pool=NOWHERE",)),
}


def served(service: AaaService, step: AaaStep, now: int = 0) -> AaaStep:
    """Let the server answer what a step sends."""
    (sent,) = step.transmissions
    packet, content = Directory(ACCOUNTS).answer(sent.subject)  # type: ignore[arg-type]
    return service.receive(Reply(sent.server, sent.serial, packet, content), now)


def test_a_key_comes_with_its_rights() -> None:
    service = AaaService("HUB", settings())
    step = served(service, service.ask(9, KeyQuestion("L", "spoke1", PEER), 0))
    ((token, answer),) = step.answers
    assert token == 9 and isinstance(answer, KeyAnswer)
    assert answer.key.local_key == answer.key.remote_key == Secret("k")
    assert answer.rights is not None and answer.rights.pool == POOL


def test_the_lengths_of_the_answers() -> None:
    directory = Directory(ACCOUNTS)
    equal, _ = directory.answer(KeyQuestion("L", "spoke1", PEER))
    # Tunnel-Password of 18 octets 37, AV-pair 8 + 22.
    assert (equal.code, equal.n_bytes) == (Code.ACCESS_ACCEPT, 20 + 37 + 30)
    two, _ = directory.answer(KeyQuestion("L", "spoke2", PEER))
    assert two.n_bytes == 20 + (8 + len("ipsec:ikev2-password-local=") + 10) + (
        8 + len("ipsec:ikev2-password-remote=") + 12
    )
    assert directory.answer(KeyQuestion("L", "branches", PEER))[0] == packets.packet(Code.ACCESS_REJECT)
    assert directory.answer(KeyQuestion("L", "stranger", PEER))[0].n_bytes == 20


@pytest.mark.parametrize(("name", "part"), [("stranger", "Access-Reject by ONE"), ("lost", "unknown pool 'NOWHERE'")])
def test_a_refusal_is_final(name: str, part: str) -> None:
    service = AaaService("HUB", settings(methods=(("group", "G"), ("local", ""))))
    step = served(service, service.ask(1, AuthorisationQuestion("group", "L", name, PEER), 0))
    ((_, answer),) = step.answers
    assert isinstance(answer, Rejected) and part in answer.reason


def test_the_next_method_is_for_when_nobody_answers() -> None:
    service = AaaService("HUB", settings(FIRST, methods=(("group", "G"), ("local", ""))))
    service.ask(1, AuthorisationQuestion("group", "L", "branches", PEER), 0)
    answers = []
    while (due := service.timer()) is not None:
        answers += service.on_timer(due).answers
    ((_, answer),) = answers
    assert isinstance(answer, AuthorisationAnswer) and answer.rights.pool == POOL


def test_without_another_method_nobody_has_answered() -> None:
    service = AaaService("HUB", settings(FIRST))
    service.ask(1, AuthorisationQuestion("group", "L", "branches", PEER), 0)
    answers = []
    while (due := service.timer()) is not None:
        answers += [(due, answer) for _, answer in service.on_timer(due).answers]
    assert answers == [(at(20), NoAnswer())]


def test_a_local_list_knows_authorization_policies_and_no_keys() -> None:
    service = AaaService("HUB", settings(methods=(("local", ""),)))
    ((_, known),) = service.ask(1, AuthorisationQuestion("user", "L", "branches", PEER), 0).answers
    assert isinstance(known, AuthorisationAnswer)
    ((_, unknown),) = service.ask(2, AuthorisationQuestion("user", "L", "x", PEER), 0).answers
    assert isinstance(unknown, Rejected) and "authorization policy x" in unknown.reason
    ((_, key),) = service.ask(3, KeyQuestion("L", "branches", PEER), 0).answers
    assert isinstance(key, Rejected)


def test_interim_records_come_until_the_session_stops() -> None:
    service = AaaService("HUB", settings(interim_s=60))
    service.ask(0, AccountingRecord("start", "L", 1, "spoke1", PEER), at(5))
    records: list[tuple[float, str, float]] = []

    def run(until_s: float) -> None:
        while (due := service.timer()) is not None and due <= at(until_s):
            records.extend((due / NS_PER_S, e.kind, e.session_s) for e in service.on_timer(due).records)

    run(190)
    assert records == [(65, "interim", 60), (125, "interim", 120), (185, "interim", 180)]
    (stop,) = service.ask(0, AccountingRecord("stop", "L", 1, "spoke1", PEER), at(200)).records
    assert (stop.kind, stop.session_s) == ("stop", 195)
    run(1000)
    assert len(records) == 3


def test_what_av_pairs_say() -> None:
    rights = rights_of(
        [
            "ipsec:addr-pool=SPOKES",
            "ipsec:route-set=interface",
            "ipsec:route-set=prefix 10.0.0.0/8",
            "ipsec:route-set=prefix 172.16.0.0/12",
            "ipsec:route-accept=none",
            "ipsec:dns-servers=10.0.0.53 10.0.1.53",
            "ipsec:default-domain*example.net",
            "ip:inacl#1=permit ip any any",
        ],
        {"SPOKES": POOL},
    )
    assert rights == AuthorizationPolicy(
        pool=POOL,
        routes=(IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12")),
        announces_interface=True,
        accepts_routes=False,
        dns=(IPv4Address("10.0.0.53"), IPv4Address("10.0.1.53")),
        def_domain="example.net",
    )


@pytest.mark.parametrize(
    "pair", ["addr-pool", "ipsec:addr-pool", "ipsec:addr-pool=", "ipsec:route-set=10.0.0.0/8", "ipsec:dns-servers=ns1"]
)
def test_an_av_pair_that_does_not_parse_is_one_line(pair: str) -> None:
    with pytest.raises(InputError) as caught:
        rights_of([pair], None)
    assert pair in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_user_may_wins_over_what_its_group_may() -> None:
    group = AuthorizationPolicy("g", POOL, dns=(IPv4Address("10.0.0.53"),), def_domain="group", accepts_routes=False)
    user = AuthorizationPolicy("u", def_domain="user", routes=(IPv4Network("10.1.0.0/16"),))
    both = merge(group, user)
    assert (both.pool, both.dns, both.def_domain, both.accepts_routes) == (POOL, group.dns, "user", False)
    assert both.routes == user.routes
    assert merge(user, group).def_domain == "group"


@pytest.mark.parametrize(
    ("identity", "part", "name"),
    [
        (Identity("fqdn", "spoke1.example.net"), "hostname", "spoke1"),
        (Identity("fqdn", "spoke1.example.net"), "domain", "example.net"),
        (Identity("fqdn", "spoke1.example.net"), "all", "spoke1.example.net"),
        (Identity("fqdn", "spoke1"), "domain", ""),
        (Identity("email", "ann@example.net"), "username", "ann"),
        (Identity("email", "ann@example.net"), "domain", "example.net"),
        (Identity("dn", "CN=Spoke 1,OU=branches,O=Example"), "common-name", "Spoke 1"),
        (Identity("dn", "CN=Spoke 1,OU=branches,O=Example"), "organization-unit", "branches"),
        (Identity("address", "192.0.2.1"), "all", ""),
    ],
)
def test_the_name_that_an_identity_gives(identity: Identity, part: str, name: str) -> None:
    mangler = NameMangler("M", tuple((kind, part) for kind in ("fqdn", "email", "dn")))  # type: ignore[misc]
    assert mangler.apply(identity) == name
    assert Lookup("L").name_of(identity) == identity.value
    assert Lookup("L", "fixed", mangler).name_of(identity) == "fixed"


def test_no_secret_shows() -> None:
    account = Account("spoke1", Secret("hidden"), Secret("hidden"), (6, 6), password=Secret("hidden"))
    server = RadiusServer("ONE", IPv4Address("192.0.2.10"), Secret("hidden"))
    assert "hidden" not in repr(account) + repr(server) + repr(Directory({"a": account}))
    assert isinstance(ACCEPT, Packet)
