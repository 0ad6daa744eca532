"""EAP: lengths by hand from the RFCs, both ends of every method, Nak, wrong secrets, fragments; inside IKE_AUTH."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import Pair, agree, changed, credential, endpoint
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.aaa.eap_server import EapBackend
from flexvpn_sim.models.algorithms import SIGNATURES
from flexvpn_sim.models.eap import tls
from flexvpn_sim.models.eap.packets import EapPacket, identity_response, length
from flexvpn_sim.models.eap.peer import EapPeer
from flexvpn_sim.models.eap.rules import EapRules, Surroundings, TlsVersion
from flexvpn_sim.models.eap.server import EapServer
from flexvpn_sim.models.ikev2.aaa import ProfileAaa
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.enquiries import Answer, EapQuestion, NoAnswer, Question, Rejected
from flexvpn_sim.models.ikev2.operations import DhShared, Hash, Operation, Sign, Verify
from flexvpn_sim.models.ikev2.payloads import EapPayload
from flexvpn_sim.models.ikev2.policy import (
    EAP_METHODS,
    Authentication,
    AuthMethod,
    Certificate,
    Credential,
    EapAccount,
)
from flexvpn_sim.models.secret import Secret

ACCOUNT = EapAccount("BR1", Secret("password"))
#: source: numbers of the tests themselves; strongSwan's EAP-TLS fragments have 1024 bytes by default
NUMBERS = {
    "eap_server_name_bytes": 10,
    "eap_success_text_bytes": 64,
    "eap_tls_fragment_bytes": 1024,
    "tls_session_id_bytes": 32,
    "tls_cipher_suites": 20,
    "tls_signature_algorithms": 12,
    "tls_groups": 5,
    "anyconnect_hello_bytes": 120,
    "anyconnect_init_bytes": 900,
    "anyconnect_form_bytes": 700,
    "anyconnect_reply_bytes": 800,
    "anyconnect_complete_bytes": 1200,
    "anyconnect_acknowledgement_bytes": 250,
}
METHODS = list(EAP_METHODS)


class Zeros:
    """Octets for packets."""

    def octets(self, n_bytes: int, *_name: object) -> bytes:
        return bytes(n_bytes)

    def certificate(self, certificate: Certificate) -> bytes:
        return bytes(certificate.der_bytes)


def counter(first: int) -> Callable[[], int]:
    numbers = iter(range(first, first + 1000))
    return lambda: next(numbers)


def rules(*methods: AuthMethod, **changes: Any) -> EapRules:
    given: dict[str, Any] = {
        "users": (ACCOUNT,),
        "account": ACCOUNT,
        "credential": credential("HQ"),
        "trusted": ("CA",),
    }
    return EapRules(tuple(EAP_METHODS[m] for m in methods), **given | changes)


class Talk:
    """A peer and a server, packet by packet."""

    def __init__(self, peer: EapRules, server: EapRules, numbers: dict[str, int] | None = None) -> None:
        told = NUMBERS | (numbers or {})
        self.peer = EapPeer(peer, Surroundings(told.__getitem__, counter(1)))
        self.server = EapServer(server, Surroundings(told.__getitem__, counter(5001)))
        self.packets: list[EapPacket] = []
        self.work: dict[str, list[Operation]] = {"peer": [], "server": []}

    def run(self) -> Talk:
        packet = self.server.identity_request()
        while True:
            self.packets.append(packet)
            work, answer = self.peer.answer(packet)
            self.work["peer"] += work
            if answer is None:
                return self
            self.packets.append(answer)
            work, packet = self.server.next_request(answer)
            self.work["server"] += work

    @property
    def kinds(self) -> list[str]:
        return [packet.kind for packet in self.packets]

    @property
    def lengths(self) -> list[int]:
        return [packet.n_bytes for packet in self.packets]

    def count(self, end: str, kind: type[Operation]) -> int:
        return sum(isinstance(operation, kind) for operation in self.work[end])


def talk(*methods: AuthMethod, numbers: dict[str, int] | None = None, **changes: Any) -> Talk:
    told = rules(*methods, **changes)
    return Talk(replace(told, credential=credential("BR1")), told, numbers).run()


def authenticated(played: Talk) -> bool:
    return played.server.succeeded and played.peer.done and played.packets[-1].code == "success"


# -- Lengths by hand -------------------------------------------------------------------------------------------


def test_mschapv2_has_the_lengths_of_its_draft() -> None:
    played = talk("eap-mschapv2")
    assert played.kinds[2:] == ["challenge", "response", "success request", "success response", "success"]
    # Identity: 5, 5 + user; challenge: 4 + 1 + 4 + 1 + 16 + name; response: 4 + 1 + 4 + 1 + 49 + user;
    # success: 9 + text; its answer: 6; EAP-Success: 4.
    assert played.lengths == [5, 8, 36, 62, 73, 6, 4]
    assert played.server.msk == played.peer.msk is not None


def test_gtc_and_md5_have_the_lengths_of_rfc_3748_and_no_key() -> None:
    gtc = talk("eap-gtc")
    assert gtc.lengths == [5, 8, 5 + len("Password: "), 5 + len("password"), 4]
    md5 = talk("eap-md5")
    assert md5.lengths == [5, 8, 22 + 10, 22 + 3, 4]
    assert authenticated(gtc) and authenticated(md5)
    assert gtc.peer.msk is gtc.server.msk is md5.peer.msk is md5.server.msk is None


def hello_13_bytes() -> int:
    """ClientHello of RFC 8446 with 23 suites, 5 groups, 12 signature algorithms and a P-256 key share."""
    extensions = (4 + 2 + 10) + (4 + 2) + (4 + 2 + 24) + 4 + (4 + 1) + (4 + 1 + 4) + (4 + 2 + 2 + 2 + 65)
    return 5 + 4 + 2 + 32 + 1 + (2 + 46) + 2 + (2 + extensions)


def test_tls_1_2_flights_are_as_long_as_rfc_5246_says() -> None:
    played = talk("eap-tls")
    extensions = (4 + 2 + 10) + (4 + 2) + (4 + 2 + 24) + 4 + (4 + 1)
    hello = 5 + 4 + 2 + 32 + 1 + (2 + 40) + 2 + (2 + extensions)
    name = len(b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x13\x02CA")
    server = 5 + sum(
        (
            4 + 2 + 32 + 33 + 2 + 1 + 2 + (4 + 2) + 4 + (4 + 1),  # ServerHello
            4 + 3 + 3 + 800,  # Certificate
            4 + 1 + 2 + 1 + 65 + 2 + 2 + 256,  # ServerKeyExchange
            4 + 3 + (2 + 24) + (2 + 2 + name),  # CertificateRequest
            4,  # ServerHelloDone
        )
    )
    finished = 6 + (5 + 8 + 16 + 16)
    client = 5 + (4 + 3 + 3 + 800) + (4 + 1 + 65) + (4 + 2 + 2 + 256) + finished
    flights = {p.flight.name: p.flight.n_bytes for p in played.packets if p.flight is not None}
    assert flights == {"ClientHello": hello, "ServerHello": server, "Certificate": client, "Finished": finished}


def test_tls_1_3_flights_are_as_long_as_rfc_8446_says() -> None:
    played = talk("eap-tls", tls_version="1.3")
    name = 15
    inside = sum(
        (
            4 + 2,  # EncryptedExtensions
            4 + 1 + 2 + (4 + 2 + 24) + (4 + 2 + 2 + name),  # CertificateRequest
            4 + 1 + 3 + 3 + 800 + 2,  # Certificate
            4 + 2 + 2 + 256,  # CertificateVerify
            4 + 48,  # Finished
        )
    )
    hello = 5 + 4 + 2 + 32 + 1 + 2 + 1 + 2 + (4 + 2) + (4 + 2 + 2 + 65)
    client = (4 + 1 + 3 + 3 + 800 + 2) + (4 + 2 + 2 + 256) + (4 + 48)
    flights = {p.flight.name: p.flight.n_bytes for p in played.packets if p.flight is not None}
    assert flights == {
        "ClientHello": hello_13_bytes(),
        "ServerHello": hello + 5 + inside + 17,
        "Certificate": 5 + client + 17,
        "protected success": 5 + 1 + 17,
    }


# -- Both ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_authenticates_the_peer_and_its_packets_are_as_long_as_their_octets(
    method: AuthMethod, version: TlsVersion
) -> None:
    played = talk(method, tls_version=version)
    assert authenticated(played)
    assert played.server.msk == played.peer.msk
    assert (played.server.msk is not None) == (method in ("eap-mschapv2", "eap-tls"))
    for packet in played.packets:
        octets = packet.encode(Zeros())
        assert len(octets) == packet.n_bytes == int.from_bytes(octets[2:4], "big")
    # A request and its response have the same number, success that of the last response (RFC 3748 4.1, 4.2).
    numbers = [packet.identifier for packet in played.packets]
    requests = [n for packet, n in zip(played.packets, numbers, strict=True) if packet.code == "request"]
    assert requests == list(range(1, len(requests) + 1))
    assert numbers[-1] == requests[-1]
    assert all(a == b for a, b in zip(numbers[0::2][: len(requests)], numbers[1::2], strict=True))


@pytest.mark.parametrize("method", ["eap-mschapv2", "eap-gtc", "eap-md5", "anyconnect-eap"])
@pytest.mark.parametrize("user", [EapAccount("BR1", Secret("wrong")), EapAccount("nobody", Secret("password"))])
def test_a_wrong_password_or_user_fails(method: AuthMethod, user: EapAccount) -> None:
    played = Talk(rules(method, account=user), rules(method)).run()
    assert played.packets[-1].code == "failure" and not played.server.succeeded
    assert (played.server.cause, played.peer.cause) == ("wrong EAP password", "refused by the peer")


def test_mschapv2_acknowledges_its_failure() -> None:
    played = Talk(rules("eap-mschapv2", account=EapAccount("BR1", Secret("wrong"))), rules("eap-mschapv2")).run()
    assert played.kinds[-3:] == ["failure request", "failure response", "failure"]
    # "E=691 R=0 C=" and 32 digits behind 9 bytes (draft-kamath-pppext-eap-mschapv2 2.3).
    assert played.lengths[-3:] == [9 + 12 + 32, 6, 4]


def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    class Impostor(EapServer):
        def next_request(self, packet: EapPacket) -> tuple[list[Operation], EapPacket]:
            work, said = super().next_request(packet)
            return work, replace(said, proof=b"guessed") if said.kind == "success request" else said

    played = Talk(rules("eap-mschapv2"), rules("eap-mschapv2"))
    played.server = Impostor(rules("eap-mschapv2"), Surroundings(NUMBERS.__getitem__, counter(1)))
    assert played.run().packets[-1].kind == "success request"
    assert not played.peer.done and played.peer.cause == "wrong EAP password"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_either_end_of_tls_refuses_a_certificate_or_a_signature_of_the_other(version: TlsVersion) -> None:
    good = rules("eap-tls", tls_version=version)
    for wrong, cause in (
        (credential("X", issuer="Mallory"), "certificate not trusted"),
        (credential("X", private_key=Secret("another")), "wrong signature"),
    ):
        bad_peer = Talk(replace(good, credential=wrong), good).run()
        assert (bad_peer.server.cause, bad_peer.packets[-3].kind) == (cause, "tls alert")
        bad_server = Talk(good, replace(good, credential=wrong)).run()
        assert (bad_server.peer.cause, bad_server.packets[-2].kind) == (cause, "tls alert")
        # Plain: 5 + 2; protected, with its type and tag: 5 + 2 + 17.
        alert = 10 + (7 if version == "1.2" else 24)
        assert bad_peer.packets[-3].n_bytes == bad_server.packets[-2].n_bytes == alert
    nothing = Talk(replace(good, credential=None), good).run()
    assert nothing.server.cause == "certificate not trusted"


def test_the_lower_version_of_both_ends_is_spoken() -> None:
    for peer, server in (("1.2", "1.3"), ("1.3", "1.2")):
        told = rules("eap-tls", tls_version=peer)
        played = Talk(told, replace(told, tls_version=server)).run()
        assert authenticated(played)
        assert {p.flight.version for p in played.packets[6:] if p.flight is not None} == {"1.2"}


def test_what_tls_costs_is_a_signature_a_key_exchange_and_the_checks_of_the_chain() -> None:
    for version in ("1.2", "1.3"):
        played = talk("eap-tls", tls_version=version)
        for end in ("peer", "server"):
            assert [played.count(end, kind) for kind in (Sign, Verify, DhShared)] == [1, 2, 1]
    assert not talk("eap-gtc").count("peer", Hash)


# -- Nak -------------------------------------------------------------------------------------------------------


def test_a_peer_asks_for_its_own_method_and_gets_it() -> None:
    played = Talk(rules("eap-gtc"), rules("eap-mschapv2", "eap-md5", "eap-gtc")).run()
    assert played.kinds[2:] == ["challenge", "nak", "password request", "password", "success"]
    assert played.packets[3].encode(Zeros())[4:] == bytes((3, 6))
    assert authenticated(played)


def test_without_a_method_in_common_eap_fails() -> None:
    played = Talk(rules("eap-gtc"), rules("eap-mschapv2")).run()
    assert played.kinds[2:] == ["challenge", "nak", "failure"]
    assert played.server.cause == "no EAP method in common"


def test_a_nak_in_the_middle_of_a_method_ends_it() -> None:
    server = EapServer(rules("eap-tls", "eap-gtc"), Surroundings(NUMBERS.__getitem__, counter(1)))
    peer = EapPeer(rules("eap-tls"), Surroundings(NUMBERS.__getitem__, counter(50)))
    _, start = server.next_request(identity_response("BR1"))
    hello = peer.answer(start)[1]
    assert hello is not None
    server.next_request(hello)
    _, said = server.next_request(EapPacket("response", "nak", "nak", (b"\x06",), wanted=("gtc",)))
    assert said.code == "failure"


def test_success_before_the_method_is_over_is_not_believed() -> None:
    peer = EapPeer(rules("eap-mschapv2"), Surroundings(NUMBERS.__getitem__, counter(1)))
    assert peer.answer(EapPacket("success", "success"))[1] is None
    assert not peer.done


# -- Fragments -------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    most_bytes=st.integers(40, 1500),
    version=st.sampled_from(["1.2", "1.3"]),
    algorithm=st.sampled_from(["rsa2048", "ecdsa256", "ed25519"]),
    der_bytes=st.integers(300, 3000),
)
def test_fragments_carry_the_flight_and_are_acknowledged_one_by_one(
    most_bytes: int, version: TlsVersion, algorithm: str, der_bytes: int
) -> None:
    own = credential("BR1", algorithm, der_bytes)
    played = talk("eap-tls", numbers={"eap_tls_fragment_bytes": most_bytes}, tls_version=version, credential=own)
    assert authenticated(played)
    assert max(played.lengths[3:]) <= most_bytes
    sent: dict[str, int] = {"request": 0, "response": 0}
    for packet, following in zip(played.packets[3:], played.packets[4:], strict=False):
        data = length(packet.parts) - 1
        if data:
            first = sent[packet.code] == 0
            sent[packet.code] += data - (4 if first else 0)
        if packet.more:
            assert (following.kind, following.n_bytes) == ("tls acknowledgement", 6)
            assert packet.n_bytes == most_bytes
        elif packet.flight is not None:
            assert sent[packet.code] == packet.flight.n_bytes == length(packet.flight.parts)
            sent[packet.code] = 0


def test_the_octets_of_all_fragments_are_those_of_the_flight() -> None:
    class Numbered(Zeros):
        def octets(self, n_bytes: int, *name: object) -> bytes:
            return bytes((sum(map(ord, str(name))) + n) % 256 for n in range(n_bytes))

    played = talk("eap-tls", numbers={"eap_tls_fragment_bytes": 100})
    source, whole = Numbered(), b""
    for packet in played.packets:
        if packet.kind.startswith("tls ServerHello"):
            octets = packet.encode(source)
            whole += octets[10 if octets[5] & 0x80 else 6 :]
            if packet.flight is not None:
                assert whole == EapPacket("request", "", "", packet.flight.parts).encode(source)[4:]
                return
    raise AssertionError("no ServerHello")


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    version=st.sampled_from(["1.2", "1.3"]),
    algorithm=st.sampled_from(list(SIGNATURES)),
    chain=st.lists(st.integers(100, 20_000), min_size=1, max_size=4),
    authorities=st.lists(st.text("abcdef", min_size=1, max_size=60), max_size=3),
    group=st.sampled_from(list(tls.NAMED_GROUPS)),
)
def test_lengths_of_flights_are_those_of_their_octets(
    version: TlsVersion, algorithm: str, chain: list[int], authorities: list[str], group: int
) -> None:
    if version == "1.2" and SIGNATURES[algorithm].kind == "mldsa":
        return
    offer = tls.offer_of(NUMBERS.__getitem__)
    certificates = tuple(credential("X", algorithm, n).chain[0] for n in chain)
    for flight in (
        tls.client_hello(version, group, offer, 1),
        tls.server_flight(version, group, offer, 2, certificates, tuple(authorities), b""),
        tls.client_flight(version, group, 1, certificates, b""),
        tls.last_flight(version, 2),
    ):
        octets = EapPacket("request", "", "", flight.parts).encode(Zeros())[4:]
        assert len(octets) == flight.n_bytes
        # Records follow one after the other, none longer than TLS allows.
        position = 0
        while position < len(octets):
            n_bytes = int.from_bytes(octets[position + 3 : position + 5], "big")
            assert n_bytes <= (1 << 14) + 256
            position += 5 + n_bytes
        assert position == len(octets)


# -- Inside IKE_AUTH -------------------------------------------------------------------------------------------


def client(method: AuthMethod, version: TlsVersion = "1.2", own: Credential | None = None) -> Endpoint:
    told = Authentication(method, ("certificate",), own or credential("BR1.cptl.local"), ACCOUNT, tls_version=version)
    return endpoint("left", authentication=told, trusted=("CA",))


def server(*methods: AuthMethod, version: TlsVersion = "1.2", queries: bool = True, user: str = "BR1") -> Endpoint:
    told = Authentication(
        "certificate",
        methods,
        credential("HQ.cptl.local"),
        users=(EapAccount(user, Secret("password")),),
        queries_identity=queries,
        tls_version=version,
    )
    return endpoint("right", authentication=told, trusted=("CA",))


def joined(left: Endpoint, right: Endpoint, **changes: Any) -> Pair:
    pair = Pair(left, right, **changes)
    pair.start(left)
    pair.run(900)
    return pair


def exchanges(pair: Pair) -> int:
    """Return the number of IKE_AUTH exchanges."""
    return sum(1 for line in pair.log[2:] if not line.datagram.message.response and line.datagram.fragment <= 1)


#: source: facts B.4, exchanges of IKE_AUTH with an identity query
EXCHANGES = {"eap-mschapv2": (5, 5), "eap-gtc": (4, 4), "eap-md5": (4, 4), "eap-tls": (7, 10), "anyconnect-eap": (4, 6)}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_the_exchanges_that_are_known_of_it(method: AuthMethod) -> None:
    pair = joined(client(method), server(method))
    assert agree(pair)
    least, most = EXCHANGES[method]
    assert least <= exchanges(pair) <= most


@pytest.mark.parametrize(("method", "count"), [("eap-mschapv2", 4), ("eap-gtc", 3), ("eap-md5", 3)])
def test_without_a_query_the_user_is_who_the_ike_identity_says(method: AuthMethod, count: int) -> None:
    account = EapAccount("BR1.cptl.local", Secret("password"))
    told = Authentication(method, ("certificate",), account=account)
    left = endpoint("left", authentication=told, trusted=("CA",))
    pair = joined(left, server(method, queries=False, user="BR1.cptl.local"))
    assert agree(pair) and exchanges(pair) == count
    kinds = [p.kind for line in pair.log for p in line.datagram.message.all(EapPayload)]
    assert "identity" not in kinds and "identity request" not in kinds


def test_after_a_method_without_a_key_auth_is_bound_to_the_ike_sa() -> None:
    keys = []
    for delay_s in (0.01, 0.02):
        left = client("eap-gtc")
        left._random = (round(delay_s * 1000), 0, 0)
        pair = joined(left, server("eap-gtc"), delay_s=delay_s)
        assert pair.ike(pair.left).msk == pair.ike(pair.right).msk is not None
        keys.append(pair.ike(pair.left).msk)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("method", ["eap-gtc", "eap-tls"])
@pytest.mark.parametrize("lost", range(20))
def test_any_one_lost_message_is_repeated(method: AuthMethod, lost: int) -> None:
    pair = joined(client(method), server(method), loses=lambda number, _: number == lost)
    assert agree(pair)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    method=st.sampled_from(METHODS),
    version=st.sampled_from(["1.2", "1.3"]),
    lost=st.sets(st.integers(0, 60), max_size=40),
    copies=st.dictionaries(st.integers(0, 60), st.floats(0, 60), max_size=8),
)
def test_any_losses_and_copies_end_in_agreement_or_in_no_answer(
    method: AuthMethod, version: TlsVersion, lost: set[int], copies: dict[int, float]
) -> None:
    pair = joined(
        client(method, version),
        server(method, version=version),
        loses=lambda n, _d: n in lost,
        copies=lambda n, _d: (0.0, *([copies[n]] if n in copies else [])),
    )
    if pair.left.sas:
        assert agree(pair)
    else:
        assert pair.causes("left", "attempt_failed") == ["no answer"]
    assert pair.right.half_open_count() == 0


def test_smaller_fragments_take_more_exchanges() -> None:
    counts = []
    for n_bytes in (1400, 1024, 600, 300):
        behaviour = changed("strongswan", values={"eap_tls_fragment_bytes": n_bytes})
        left, right = client("eap-tls"), server("eap-tls")
        left.implementation = right.implementation = behaviour
        pair = joined(left, right)
        assert agree(pair)
        counts.append(exchanges(pair))
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_an_end_whose_tls_certificate_is_not_trusted_is_refused_by_name() -> None:
    pair = joined(client("eap-tls", own=credential("BR1.cptl.local", issuer="Mallory")), server("eap-tls"))
    assert pair.causes("right", "refused") == ["certificate not trusted"]
    assert pair.causes("left", "attempt_failed") == ["refused by the peer"]
    assert not pair.left.sas and not pair.right.sas


def test_ios_waits_for_each_next_request_and_others_for_the_whole() -> None:
    # source: 90 s is assumed of IOS, 30 s half-open of strongSwan
    for implementation, own_s, waits_s in (
        ("strongswan", None, 30),
        ("ios-xe-16.9", None, 90),
        ("strongswan", 45.0, 45),
    ):
        right = server("eap-gtc")
        right.implementation = changed(implementation)
        (profile,) = right.policy.profiles
        told = replace(profile.authentication, eap_timeout_s=own_s)
        right.policy = replace(right.policy, profiles=(replace(profile, authentication=told),))
        pair = Pair(client("eap-gtc"), right, loses=lambda number, _: number >= 6)
        pair.start(pair.left)
        pair.run(waits_s - 1)
        assert pair.right.half_open_count() == 1
        pair.run(waits_s + 1)
        assert pair.causes("right", "ike_closed") == ["half-open for too long"]


# -- A AAA server ----------------------------------------------------------------------------------------------


def passed_on(*methods: AuthMethod) -> Endpoint:
    """Return a responder that passes EAP to the servers of a list."""
    right = server(*methods)
    (profile,) = right.policy.profiles
    right.policy = replace(right.policy, profiles=(replace(profile, aaa=ProfileAaa(eap="LIST")),))
    return right


@pytest.mark.parametrize("method", [method for method in METHODS if method != "anyconnect-eap"])
def test_a_aaa_server_speaks_eap_through_the_router(method: AuthMethod) -> None:
    backend = EapBackend(rules(method), Surroundings(NUMBERS.__getitem__, counter(9000)))
    names: list[str] = []

    def asks(question: Question, _now_s: float) -> tuple[Answer, float]:
        assert isinstance(question, EapQuestion)
        names.append(question.name)
        answer = backend.answer(question)
        assert answer is not None
        return answer, 0.004

    pair = joined(client(method), passed_on(method), asks=asks)
    assert agree(pair)
    assert exchanges(pair) == exchanges(joined(client(method), server(method)))
    # The router asks for the identity itself, and every packet of the client is a question.
    packets = [p for line in pair.log if line.sender == "left" for p in line.datagram.message.all(EapPayload)]
    assert len(names) == len(packets)
    assert set(names) == {"BR1"}


@pytest.mark.parametrize(
    ("answer", "cause"), [(NoAnswer(), "no answer from AAA"), (Rejected("unknown"), "refused by AAA")]
)
def test_a_aaa_server_that_is_silent_or_says_no_ends_eap(answer: Answer, cause: str) -> None:
    def asks(_question: Question, _now_s: float) -> tuple[Answer, float]:
        return answer, 20.0

    left, right = client("eap-gtc"), passed_on("eap-gtc")
    pair = Pair(left, right, asks=asks)
    pair.start(left)
    pair.run(25)
    assert pair.causes("right", "refused") == [cause]
    assert pair.log[-1].datagram.message.get(EapPayload).kind == "failure"
    assert not right.sas


def test_a_server_without_a_certificate_proposes_another_method_than_tls() -> None:
    told = rules("eap-tls", "eap-gtc", credential=None)
    assert Talk(rules("eap-gtc"), told).run().kinds[2] == "password request"
    assert Talk(rules("eap-tls"), rules("eap-tls", credential=None)).run().server.cause == "no EAP method in common"


def test_an_end_that_is_a_client_of_eap_does_not_accept_anybody() -> None:
    told = Authentication("eap-gtc", ("certificate",), account=ACCOUNT)
    signed = Authentication("certificate", ("certificate",), credential("BR1.cptl.local"))
    left = endpoint("left", authentication=signed, trusted=("CA",))
    pair = joined(left, endpoint("right", authentication=told, trusted=("CA",)))
    assert pair.causes("right", "refused")[0] == "authentication method not accepted"


# -- The command line ------------------------------------------------------------------------------------------

COMMAND = "exchange --hardware linux-strongswan-openssl --ike aes256-sha256-ecp256 --esp aes256-sha256"


def played(options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*shlex.split(f"{COMMAND} {options}"), "--json"])
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.output)
    return result


def auth_requests(result: dict[str, Any]) -> int:
    rows = result["messages"]
    return sum(r["exchange"] == "IKE_AUTH" and not r["response"] and r["fragment"] == 1 for r in rows)


def test_the_scenario_eap_is_a_set_up_with_eap() -> None:
    result = played("--scenario eap")
    assert result["auth"] == "eap-mschapv2:rsa2048" and auth_requests(result) == 5
    assert played("--auth eap-gtc:ecdsa256 --scenario eap")["auth"] == "eap-gtc:ecdsa256"


@pytest.mark.parametrize("method", METHODS)
def test_authentication_fails_with_every_method(method: str) -> None:
    result = played(f"--auth {method}:rsa2048 --scenario auth-failed")
    assert result["sas"] == {"initiator": {"ike": 0, "child": 0}, "responder": {"ike": 0, "child": 0}}
    causes = {e["cause"] for e in result["events"] if e["end"] == "responder"} - {""}
    assert causes == {"wrong signature" if method == "eap-tls" else "wrong EAP password"}


def test_the_responder_may_propose_what_the_initiator_does_not_have() -> None:
    assert played("--auth eap-gtc:rsa2048 --eap-offer eap-mschapv2,eap-gtc")["sas"]["responder"]["ike"] == 1
    assert played("--auth eap-gtc:rsa2048 --eap-offer eap-tls")["sas"]["responder"]["ike"] == 0


def test_tls_1_3_and_the_query_are_chosen_on_the_command_line() -> None:
    lengths = [[row["ip_len"] for row in played(f"--auth eap-tls:rsa2048 {o}")["messages"]] for o in ("", "--tls 1.3")]
    assert lengths[0] != lengths[1]
    assert auth_requests(played("--auth eap-mschapv2:rsa2048 --eap-identity none")) == 4


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--auth eap-tsl:rsa2048", "--auth: unknown authentication 'eap-tsl:rsa2048', did you mean 'eap-tls:rsa2048'"),
        ("--auth rsa2048 --tls 1.3", "--tls: it is about EAP, and --auth rsa2048 is not EAP"),
        ("--auth eap-tls:rsa2048 --tls 1.1", "--tls: unknown TLS version '1.1'"),
        ("--auth eap-tls:mldsa44", "--tls: mldsa44 is for TLS 1.3 alone"),
        ("--auth eap-gtc:rsa2048 --eap-identity no", "--eap-identity: unknown way to learn the EAP identity 'no'"),
        ("--auth eap-gtc:rsa2048 --eap-offer eap-ttls", "--eap-offer: unknown EAP method 'eap-ttls', did you mean"),
    ],
)
def test_wrong_options_are_told_in_one_line(options: str, line: str) -> None:
    done = CliRunner().invoke(app, shlex.split(f"{COMMAND} {options}"))
    assert done.exit_code == 2
    assert line in done.output and done.output.count("\n") == 1
