"""Certificates and EAP in IKE_AUTH: who is accepted, who is not, what it costs and how long it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import WHOLE_BYTES, Pair, agree, changed, credential, endpoint

from flexvpn_sim.models.algorithms import SIGNATURES
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.message import Exchange
from flexvpn_sim.models.ikev2.operations import CheckCertificate, CloneInterface, Operation, Sign, Verify
from flexvpn_sim.models.ikev2.payloads import AuthPayload, CertPayload, CertReqPayload, EapPayload
from flexvpn_sim.models.ikev2.policy import (
    Authentication,
    AuthMethod,
    Certificate,
    ChildPolicy,
    Credential,
    EapAccount,
    EndpointPolicy,
)
from flexvpn_sim.models.ikev2.states import State
from flexvpn_sim.models.implementation import Implementation
from flexvpn_sim.models.secret import Secret

IOS = "ios-xe-16.9"
LEFT, RIGHT = "BR1.cptl.local", "HQ.cptl.local"
ACCOUNT = EapAccount("BR1", Secret("password"))
SIGNED = Authentication("certificate", ("certificate",))


def certified(
    side: str, own: Credential | None = None, implementation: str | Implementation = "strongswan"
) -> Endpoint:
    """Return an end that has a certificate and wants one."""
    given = own or credential(LEFT if side == "left" else RIGHT)
    told = replace(SIGNED, credential=given)
    return endpoint(side, implementation, authentication=told, trusted=("CA",), fragment_bytes=WHOLE_BYTES)


def eap_client(account: EapAccount = ACCOUNT) -> Endpoint:
    return endpoint(
        "left", authentication=Authentication("eap-mschapv2", ("certificate",), account=account), trusted=("CA",)
    )


def eap_server(*users: EapAccount, remote: tuple[AuthMethod, ...] = ("eap-mschapv2",)) -> Endpoint:
    told = Authentication("certificate", remote, credential(RIGHT), users=users or (ACCOUNT,))
    return endpoint("right", authentication=told, trusted=("CA",))


def joined(left: Endpoint, right: Endpoint, until_s: float = 1) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(until_s)
    return pair


def counted(pair: Pair, end: str, kind: type[Operation]) -> int:
    return sum(isinstance(operation, kind) for operation in pair.operations[end])


# -- Certificates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["strongswan", IOS])
def test_both_ends_are_authenticated_by_certificate_in_four_messages(implementation: str) -> None:
    pair = joined(certified("left", None, implementation), certified("right", None, implementation))
    assert agree(pair)
    assert len(pair.log) == 4
    (left,), (right,) = pair.left.sas.values(), pair.right.sas.values()
    assert (left.remote_identity, right.remote_identity) == (Identity("fqdn", RIGHT), Identity("fqdn", LEFT))


@pytest.mark.parametrize("algorithm", SIGNATURES)
def test_every_signature_algorithm_works_and_its_length_is_that_of_rfc_7427(algorithm: str) -> None:
    pair = joined(certified("left", credential(LEFT, algorithm)), certified("right", credential(RIGHT, algorithm)))
    assert agree(pair)
    signature = SIGNATURES[algorithm]
    for line in pair.log[2:]:
        auth = line.datagram.message.get(AuthPayload)
        assert (auth.method, auth.size) == (
            14,
            8 + 1 + signature.algorithm_identifier_bytes + signature.signature_bytes,
        )


@pytest.mark.parametrize(
    ("algorithm", "method", "size"),
    # Fact sheet A.7: the methods before RFC 7427, which announces hash algorithms; ECDSA has raw values there.
    [("rsa2048", 1, 264), ("rsa4096", 1, 520), ("ecdsa256", 9, 72), ("ecdsa384", 10, 104), ("ecdsa521", 11, 140)],
)
@pytest.mark.parametrize("right", ["strongswan", IOS])
def test_an_end_that_announces_no_hash_algorithms_gets_the_older_methods(
    algorithm: str, method: int, size: int, right: str
) -> None:
    pair = joined(
        certified("left", credential(LEFT, algorithm), IOS), certified("right", credential(RIGHT, algorithm), right)
    )
    assert agree(pair)
    found = {(a.method, a.size) for line in pair.log[2:4] for a in line.datagram.message.all(AuthPayload)}
    assert found == {(method, size)}


def test_ed25519_and_mldsa_have_no_method_but_that_of_rfc_7427() -> None:
    for algorithm in ("ed25519", "mldsa65"):
        ends = (certified(s, credential(n, algorithm), IOS) for s, n in (("left", LEFT), ("right", RIGHT)))
        assert joined(*ends).log[2].datagram.message.get(AuthPayload).method == 14


def test_each_end_signs_once_and_checks_the_peers_certificate_and_signature() -> None:
    ends = (certified("left", credential(LEFT, "ecdsa256")), certified("right", credential(RIGHT, "rsa3072")))
    pair = joined(*ends)
    assert Sign("ecdsa256") in pair.operations["left"] and Sign("rsa3072") in pair.operations["right"]
    for end, peers in (("left", "rsa3072"), ("right", "ecdsa256")):
        assert [o for o in pair.operations[end] if isinstance(o, Verify)] == [Verify(peers)]
        assert (counted(pair, end, Sign), counted(pair, end, CheckCertificate)) == (1, 1)


def test_without_a_cache_the_signature_of_each_certificate_is_checked_too() -> None:
    careful = changed("strongswan", caches_issuer_check=False)
    below = Certificate(Identity("fqdn", LEFT), "ecdsa256", 400, "Sub CA", "rsa4096", Secret("key"))
    middle = Certificate(Identity("dn", "Sub CA"), "rsa4096", 1500, "CA", "rsa8192", Secret("sub"))
    chain = Credential((below, middle), Secret("key"))
    pair = joined(certified("left", chain), certified("right", None, careful))
    assert agree(pair)
    checks = [o for o in pair.operations["right"] if isinstance(o, Verify)]
    assert checks == [Verify("rsa4096"), Verify("rsa8192"), Verify("ecdsa256")]
    request = pair.log[2].datagram.message
    assert [p.size for p in request.all(CertPayload)] == [405, 1505]


def test_certificate_requests_name_every_ca_of_the_end_that_asks() -> None:
    ends = [
        endpoint(
            s,
            authentication=replace(SIGNED, credential=credential(n)),
            trusted=("CA", "B", "C"),
            fragment_bytes=WHOLE_BYTES,
        )
        for s, n in (("left", LEFT), ("right", RIGHT))
    ]
    pair = joined(*ends)
    sizes = [[p.size for p in line.datagram.message.all(CertReqPayload)] for line in pair.log]
    # The responder asks in IKE_SA_INIT, the initiator in IKE_AUTH (RFC 7296 1.2).
    assert sizes == [[], [65], [65], []]


def test_ios_announces_lookup_by_url_beside_its_certificate_request() -> None:
    # Fact sheet A.19: 539 bytes with one CA, 506 without.
    with_ca = joined(certified("left", None, IOS), certified("right", None, IOS))
    without = joined(endpoint("left", IOS), endpoint("right", IOS))
    assert [p.log[1].datagram.message.ike_bytes for p in (with_ca, without)] == [539, 506]


@pytest.mark.parametrize(
    ("chain", "cause"),
    [
        (credential(LEFT, issuer="Mallory"), "certificate not trusted"),
        (credential("BR2.cptl.local"), "certificate of another identity"),
        (credential(LEFT, private_key=Secret("stolen certificate, no key")), "wrong signature"),
    ],
)
def test_a_responder_refuses_a_bad_certificate_and_installs_nothing(chain: Credential, cause: str) -> None:
    pair = joined(certified("left", chain), certified("right"))
    assert pair.causes("right", "refused") == [cause]
    assert pair.causes("left", "attempt_failed") == ["refused by the peer"]
    assert "N:AUTHENTICATION_FAILED" in pair.log[3].datagram.message.payload_text()
    assert not pair.right.sas and not pair.left.sas


@pytest.mark.parametrize(
    ("chain", "cause"),
    [
        (credential(RIGHT, issuer="Mallory"), "certificate not trusted"),
        (credential("HQ2.cptl.local"), "certificate of another identity"),
        (credential(RIGHT, private_key=Secret("stolen certificate, no key")), "wrong signature"),
    ],
)
def test_an_initiator_reports_a_bad_certificate_and_both_ends_forget_the_sa(chain: Credential, cause: str) -> None:
    pair = joined(certified("left"), certified("right", chain))
    assert pair.causes("left", "attempt_failed") == [cause]
    assert pair.log[4].datagram.message.exchange is Exchange.INFORMATIONAL
    assert not pair.right.sas and not pair.left.sas


def test_a_chain_that_is_not_linked_is_not_trusted() -> None:
    below = Certificate(Identity("fqdn", LEFT), "rsa2048", 800, "Other CA", "rsa2048", Secret("key"))
    above = Certificate(Identity("dn", "Sub CA"), "rsa2048", 800, "CA", "rsa2048", Secret("sub"))
    pair = joined(certified("left", Credential((below, above), Secret("key"))), certified("right"))
    assert pair.causes("right", "refused") == ["certificate not trusted"]


def test_an_untrusted_certificate_costs_no_signature_check() -> None:
    pair = joined(certified("left", credential(LEFT, issuer="Mallory")), certified("right"))
    assert (counted(pair, "right", Verify), counted(pair, "right", CheckCertificate)) == (0, 1)
    assert counted(pair, "right", Sign) == 0


def test_each_end_may_authenticate_in_its_own_way() -> None:
    left = endpoint("left", authentication=Authentication("pre-share", ("certificate",)), trusted=("CA",))
    right = endpoint("right", authentication=Authentication("certificate", ("pre-share",), credential(RIGHT)))
    pair = joined(left, right)
    assert agree(pair)
    assert [line.datagram.message.get(AuthPayload).method for line in pair.log[2:4]] == [2, 14]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (endpoint("left"), certified("right")),
        (certified("left"), endpoint("right")),
        (eap_client(), certified("right")),
    ],
    ids=["psk at a certificate end", "certificate at a psk end", "eap at a certificate end"],
)
def test_a_method_that_the_profile_does_not_name_is_refused(left: Endpoint, right: Endpoint) -> None:
    pair = joined(left, right)
    assert pair.causes("right", "refused") == ["authentication method not accepted"]
    assert not pair.left.sas and not pair.right.sas


# -- EAP -------------------------------------------------------------------------------------------------------


def test_eap_takes_four_more_exchanges_and_ends_with_auth_from_its_key() -> None:
    pair = joined(eap_client(), eap_server())
    assert agree(pair)
    assert [line.datagram.message.message_id for line in pair.log] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    kinds = [p.kind for line in pair.log for p in line.datagram.message.all(EapPayload)]
    assert kinds == [
        "identity request",
        "identity",
        "challenge",
        "response",
        "success request",
        "success response",
        "success",
    ]
    assert pair.log[2].datagram.message.find(AuthPayload) is None
    assert [line.datagram.message.get(AuthPayload).method for line in pair.log[-2:]] == [2, 2]


def test_with_eap_only_the_responder_signs_and_only_the_initiator_checks_a_certificate() -> None:
    pair = joined(eap_client(), eap_server())
    assert [counted(pair, end, Sign) for end in ("left", "right")] == [0, 1]
    assert [counted(pair, end, Verify) for end in ("left", "right")] == [1, 0]
    assert [counted(pair, end, CheckCertificate) for end in ("left", "right")] == [1, 0]


@pytest.mark.parametrize(
    "user", [EapAccount("BR1", Secret("wrong")), EapAccount("nobody", Secret("password"))], ids=["password", "user"]
)
def test_a_wrong_password_or_user_ends_in_eap_failure(user: EapAccount) -> None:
    pair = joined(eap_client(user), eap_server())
    assert pair.causes("right", "refused") == ["wrong EAP password"]
    assert pair.causes("left", "attempt_failed") == ["refused by the peer"]
    assert pair.log[-1].datagram.message.get(EapPayload).kind == "failure"
    assert not pair.left.sas and not pair.right.sas


def test_a_server_whose_certificate_is_not_trusted_gets_no_password() -> None:
    told = Authentication("certificate", ("eap-mschapv2",), credential(RIGHT, issuer="Mallory"), users=(ACCOUNT,))
    pair = joined(eap_client(), endpoint("right", authentication=told, trusted=("CA",)))
    assert pair.causes("left", "attempt_failed") == ["certificate not trusted"]
    assert [p.kind for line in pair.log for p in line.datagram.message.all(EapPayload)] == ["identity request"]


def test_an_initiator_that_stops_in_the_middle_of_eap_is_forgotten_after_the_half_open_time() -> None:
    pair = Pair(eap_client(), eap_server(), loses=lambda number, _: number >= 6)
    pair.start(pair.left)
    pair.run(29)
    assert pair.right.half_open_count() == 1
    pair.run(31)
    assert not pair.right.sas and pair.causes("right", "ike_closed") == ["half-open for too long"]


@pytest.mark.parametrize("lost", range(12))
def test_any_one_lost_message_of_an_eap_exchange_is_repeated(lost: int) -> None:
    pair = Pair(eap_client(), eap_server(), loses=lambda number, _: number == lost)
    pair.start(pair.left)
    pair.run(20)
    assert agree(pair)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    eap=st.booleans(),
    lost=st.sets(st.integers(0, 40), max_size=30),
    copies=st.dictionaries(st.integers(0, 40), st.floats(0, 60), max_size=8),
)
def test_any_losses_and_copies_end_in_agreement_or_in_no_answer(
    eap: bool, lost: set[int], copies: dict[int, float]
) -> None:
    pair = Pair(
        eap_client() if eap else certified("left"),
        eap_server() if eap else certified("right"),
        loses=lambda n, _d: n in lost,
        copies=lambda n, _d: (0.0, *([copies[n]] if n in copies else [])),
    )
    pair.start(pair.left)
    pair.run(900)
    if pair.left.sas:
        assert agree(pair)
    else:
        assert pair.causes("left", "attempt_failed") == ["no answer"]
    assert pair.right.half_open_count() == 0


def test_a_refused_child_sa_leaves_an_authenticated_ike_sa_after_eap() -> None:
    right = eap_server()
    right.policy = replace(right.policy, tunnels=())
    pair = joined(eap_client(), right)
    last = pair.log[11].datagram.message
    assert last.payload_text().endswith("{AUTH(72) N:TS_UNACCEPTABLE(8)}")
    assert pair.causes("left", "attempt_failed") == ["traffic selectors differ"]
    assert pair.ike(pair.left).state is State.ESTABLISHED


# -- What follows ----------------------------------------------------------------------------------------------


def test_a_responder_that_clones_its_interface_from_a_template_pays_for_it_once() -> None:
    right = endpoint("right")
    profile = replace(right.policy.profiles[0], accepts_any_tunnel=True, virtual_template="Virtual-Template1")
    child: ChildPolicy = right.policy.tunnels[0].child
    told: EndpointPolicy = replace(
        right.policy, profiles=(profile,), tunnels=(), templates={"Virtual-Template1": child}
    )
    right.policy = told
    pair = joined(endpoint("left"), right)
    assert agree(pair)
    assert (counted(pair, "left", CloneInterface), counted(pair, "right", CloneInterface)) == (0, 1)
    assert pair.ike(right).interface == "Virtual-Access1"


def test_a_tunnel_interface_of_its_own_is_not_cloned() -> None:
    pair = joined(endpoint("left"), endpoint("right"))
    assert counted(pair, "right", CloneInterface) == 0
