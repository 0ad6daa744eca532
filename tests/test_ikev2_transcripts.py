"""IKEv2 as protocol transcripts: two endpoints in memory, no SimPy, explicit times.

``->`` is what the left end sends, ``<-`` what the right one does, each with the length of the IKE message. Facts are
those of RFC 7296 and of recordings of strongSwan 5.9.8; numbers of IOS are the assumed ones of its profile.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import LEFT, PAPER_ESP, PAPER_IKE, RIGHT, Pair, agree, changed, endpoint, ike, mirrored, spi_pairs

from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.identity import Identity, IdentityMatch
from flexvpn_sim.models.ikev2.message import Datagram
from flexvpn_sim.models.ikev2.payloads import ANY_IPV6, DeletePayload, NoncePayload, Selector
from flexvpn_sim.models.ikev2.policy import ChildPolicy, DpdPolicy, TunnelPolicy
from flexvpn_sim.models.ikev2.proposals import EspProposal, IkeProposal
from flexvpn_sim.models.ikev2.sa import ChildState, Task
from flexvpn_sim.models.ikev2.states import State
from flexvpn_sim.models.ikev2.virtual_access import VirtualAccess
from flexvpn_sim.models.secret import Secret

IOS, STRONGSWAN = "ios-xe-16.9", "strongswan"
SET_UP = ["-> IKE_SA_INIT 464", "<- IKE_SA_INIT response 472", "-> IKE_AUTH 336", "<- IKE_AUTH response 288"]
OTHER_ESP = EspProposal(("aes-cbc-128",), ("sha256",))


def established(implementation: str = STRONGSWAN, until_s: float = 1.0, **both: object) -> Pair:
    """Return two ends that were brought up by the left one."""
    pair = Pair(endpoint("left", implementation, **both), endpoint("right", implementation, **both))  # type: ignore[arg-type]
    pair.start(pair.left)
    pair.run(until_s)
    return pair


def requests(pair: Pair, name: str, *, first_sends: bool = True) -> list[Datagram]:
    sent = [line.datagram for line in pair.log if line.sender == name and not line.datagram.message.response]
    return [d for d in sent if d.transmission == 0] if first_sends else sent


def send_times_s(pair: Pair, name: str) -> list[float]:
    return [line.time_s for line in pair.log if line.sender == name]


# -- set-up ----------------------------------------------------------------------------------------------------


def test_set_up_takes_four_messages_and_two_round_trips() -> None:
    pair = established()
    assert pair.texts() == SET_UP
    assert [line.time_s for line in pair.log] == [0.0, 0.01, 0.02, 0.03]
    assert pair.times_s("left", "child_installed") == [0.04]
    assert agree(pair)


def test_each_end_tells_what_happens_in_the_order_of_the_exchange() -> None:
    pair = established()
    assert pair.kinds("left") == ["attempt", "ike_established", "child_installed"]
    assert pair.kinds("right") == ["half_open", "ike_established", "child_installed"]
    assert pair.right.half_open_count() == 0


def test_what_is_inbound_for_one_end_is_outbound_for_the_other() -> None:
    pair = established()
    left, right = pair.child(pair.left), pair.child(pair.right)
    assert (left.spi_in, left.spi_out) == (right.spi_out, right.spi_in)
    assert left.spi_in > 255
    assert pair.ike(pair.left).spi_i == pair.ike(pair.right).spi_i != 0


def test_no_repr_shows_a_key() -> None:
    secret = Secret("do not tell")
    pair = Pair(endpoint("left", local_key=secret, remote_key=secret), endpoint("right", local_key=secret))
    pair.start(pair.left)
    pair.run(1)
    shown = [repr(vars(end)) + repr(end.policy) + repr(list(end.sas.values())) for end in (pair.left, pair.right)]
    shown += [repr(event) for _, event in pair.events] + [repr(line) for line in pair.log]
    assert any("<secret>" in text for text in shown)
    assert not any("do not tell" in text for text in shown)


def test_work_of_ten_seconds_a_message_delays_retransmissions_and_the_tunnel_still_comes_up() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), work_s=lambda _step: 10.0)
    pair.start(pair.left)
    pair.run(400)
    assert agree(pair)
    sent = {}
    for line in pair.log:
        message = line.datagram.message
        key = (line.sender, message.exchange, message.message_id, message.response)
        if line.datagram.transmission == 0:
            sent[key] = line.time_s
        elif not message.response:
            assert line.time_s >= sent[key] + 4.0
    assert pair.times_s("left", "child_installed") == [50.0 + 0.04]


def test_a_retransmission_that_waits_for_the_cpu_is_not_sent_once_the_answer_is_there() -> None:
    pair = Pair(endpoint("left"), endpoint("right"))
    pair.delay_s = 2.5
    pair.work_s = lambda step: 2.0 if step == "retransmit request" else 0.0
    pair.start(pair.left)
    pair.run(60)
    assert agree(pair)
    assert pair.texts() == SET_UP
    assert "left: retransmit request" in pair.steps
    assert "retransmission" not in pair.kinds("left")


def test_the_end_that_is_asked_for_an_unknown_tunnel_says_so() -> None:
    with pytest.raises(KeyError, match="Tunnel9"):
        endpoint("left").start("Tunnel9", 0)


# -- retransmission --------------------------------------------------------------------------------------------


def recorded_retransmissions() -> dict[str, list[dict[str, str]]]:
    lines = (Path(__file__).parent / "data" / "testbed_retransmit.csv").read_text().splitlines()
    cases: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        cases.setdefault(row["case"], []).append(row)
    return cases


@pytest.mark.parametrize(("case", "rows"), recorded_retransmissions().items())
def test_a_black_hole_is_tried_and_given_up_as_it_was_recorded(case: str, rows: list[dict[str, str]]) -> None:
    first = rows[0]
    values = {
        "retransmit_first_s": float(first["retransmit_timeout_s"]),
        "retransmit_factor": float(first["base"]),
        "retransmit_tries": float(first["tries"]),
    }
    pair = Pair(endpoint("left", changed(STRONGSWAN, values=values)), endpoint("right"), loses=lambda _n, _d: True)
    pair.start(pair.left)
    pair.run(1000)
    sends = [float(row["t_s"]) for row in rows if row["event"] == "send"]
    (gives_up,) = [float(row["t_s"]) for row in rows if row["event"] == "give_up"]
    # The timers of the recorded process were up to 2.5 ms late.
    assert send_times_s(pair, "left") == pytest.approx(sends, abs=0.003), case
    assert pair.times_s("left", "attempt_failed") == pytest.approx([gives_up], abs=0.003), case
    assert {line.datagram.udp_len for line in pair.log} == {464}
    assert pair.causes("left", "attempt_failed") == ["no answer"]


def test_ios_doubles_its_timeout_from_two_seconds() -> None:
    pair = Pair(endpoint("left", IOS), endpoint("right", IOS), loses=lambda _n, _d: True)
    pair.start(pair.left)
    pair.run(126.5)
    assert send_times_s(pair, "left") == [0, 2, 6, 14, 30, 62]
    assert pair.times_s("left", "attempt_failed") == [126]


def test_the_next_timeout_begins_when_the_repeated_request_is_sent() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda _n, _d: True)
    pair.work_s = lambda step: 3.0 if step == "retransmit request" else 0.0
    pair.start(pair.left)
    pair.run(34)
    # 4.0 + 3, then 7.2 + 3, then 12.96 + 3 later.
    assert send_times_s(pair, "left") == pytest.approx([0, 7.0, 17.2, 33.16])


def test_ios_starts_again_ten_seconds_after_no_answer_with_a_new_spi() -> None:
    pair = Pair(endpoint("left", IOS), endpoint("right", IOS), loses=lambda _n, _d: True)
    pair.start(pair.left)
    pair.run(140)
    assert pair.times_s("left", "attempt") == [0, 136]
    first, second = requests(pair, "left")
    assert first.message.spi_i != second.message.spi_i


def test_strongswan_does_not_start_again_by_itself() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda _n, _d: True)
    pair.start(pair.left)
    pair.run(3600)
    assert pair.times_s("left", "attempt") == [0]
    assert pair.left.timer() is None


@pytest.mark.parametrize("lost", [1, 3])
def test_a_lost_response_is_replayed_from_the_cache_and_nothing_is_installed_twice(lost: int) -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda n, _d: n == lost)
    pair.start(pair.left)
    pair.run(10)
    assert pair.texts() == [*SET_UP[: lost + 1], *SET_UP[lost - 1 :]]
    repeated = [line.datagram for line in pair.log if line.datagram.transmission == 1]
    assert [d.message.response for d in repeated] == [False, True]
    assert repeated[1].message is pair.log[lost].datagram.message
    assert pair.kinds("right") == ["half_open", "ike_established", "child_installed"]
    assert agree(pair)


def test_a_response_that_is_asked_for_three_times_counts_its_transmissions() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda n, _d: n in (1, 3))
    pair.start(pair.left)
    pair.run(20)
    init_responses = [line.datagram.transmission for line in pair.log if line.text == "IKE_SA_INIT response 472"]
    assert init_responses == [0, 1, 2]


def test_a_delete_is_answered_again_from_the_last_words_of_the_closed_sa() -> None:
    pair = established()
    pair.loses = lambda n, _d: n == 5
    pair.ask(pair.left, Task("delete ike"))
    pair.run(10)
    assert pair.texts(since=4) == ["-> INFORMATIONAL 96", "<- INFORMATIONAL response 96"] * 2
    assert pair.left.sas == pair.right.sas == {}


def test_an_initiator_that_is_not_yet_sure_of_its_peer_answers_no_request() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda n, _d: n == 3)
    pair.start(pair.left)
    pair.run(0.5)
    pair.ask(pair.right, Task("rekey child", pair.child(pair.right)))
    pair.run(4)
    assert pair.texts(since=4) == ["<- CREATE_CHILD_SA 240"]
    pair.run(10)
    # IKE_AUTH is repeated after 4.02 s, the rekey after 4.5 s.
    assert pair.texts(since=5)[:4] == [*SET_UP[2:], "<- CREATE_CHILD_SA 240", "-> CREATE_CHILD_SA response 224"]
    assert agree(pair)


def test_a_second_copy_of_every_datagram_changes_nothing() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), copies=lambda _n, _d: (0.0, 0.003, 5.0))
    pair.start(pair.left)
    pair.run(20)
    assert pair.kinds("left") == ["attempt", "ike_established", "child_installed"]
    assert pair.kinds("right") == ["half_open", "ike_established", "child_installed"]
    assert agree(pair)


def one_request_at_a_time(pair: Pair) -> None:
    """Assert that each end numbers its requests of an SA without a gap and waits for each response."""
    expected: dict[tuple[str, int], int] = {}
    responses: set[tuple[str, int, int]] = set()
    for line in pair.log:
        message = line.datagram.message
        if message.response:
            responses.add((line.sender, message.spi_i, message.message_id))
        elif line.datagram.transmission == 0:
            key = (line.sender, message.spi_i)
            number = expected.get(key, 0)
            assert message.message_id == number
            peer = "right" if line.sender == "left" else "left"
            assert number == 0 or (peer, message.spi_i, number - 1) in responses
            expected[key] = number + 1


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    lost=st.sets(st.integers(0, 23), max_size=24),
    late_s=st.dictionaries(st.integers(0, 23), st.floats(0, 30), max_size=8),
    copies=st.dictionaries(st.integers(0, 23), st.floats(0, 60), max_size=8),
)
def test_any_losses_delays_and_copies_end_in_agreement_or_in_no_answer(
    lost: set[int], late_s: dict[int, float], copies: dict[int, float]
) -> None:
    pair = Pair(
        endpoint("left"),
        endpoint("right"),
        loses=lambda n, _d: n in lost,
        copies=lambda n, _d: (late_s.get(n, 0.0), *([copies[n]] if n in copies else [])),
    )
    pair.start(pair.left)
    pair.run(500)
    one_request_at_a_time(pair)
    if pair.left.sas:
        assert mirrored(pair) == len(pair.children(pair.left)) == 1
        assert pair.ike(pair.left).state is State.ESTABLISHED
    else:
        assert pair.causes("left", "attempt_failed") == ["no answer"]
    if len(lost) <= 5 and not late_s:
        assert agree(pair)


# -- refusals --------------------------------------------------------------------------------------------------


def refused(left: Endpoint, right: Endpoint, until_s: float = 5.0) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(until_s)
    return pair


def test_a_wrong_key_is_refused_after_the_identity_was_accepted() -> None:
    pair = refused(endpoint("left", local_key=Secret("other")), endpoint("right"))
    assert pair.texts() == [*SET_UP[:3], "<- IKE_AUTH response 96"]
    assert pair.causes("right", "refused") == ["wrong key"]
    assert pair.causes("left", "attempt_failed") == ["refused by the peer"]
    assert pair.left.sas == pair.right.sas == {}


def test_an_email_identity_is_not_an_fqdn_of_the_same_text() -> None:
    email = Identity("email", "BR1.cptl.local")
    pair = refused(endpoint("left", identity=email), endpoint("right"))
    assert pair.texts()[3:] == ["<- IKE_AUTH response 96"]
    (event,) = [e for who, e in pair.events if who == "right" and e.kind == "refused"]
    assert event.refusal is not None
    assert (event.refusal.cause, event.refusal.notify) == ("no profile accepts the identity", "AUTHENTICATION_FAILED")
    assert event.refusal.identity == email


def test_a_peer_without_a_key_is_refused_like_one_with_a_wrong_key() -> None:
    anyone = IdentityMatch("any", "")
    pair = refused(endpoint("left", identity=Identity("fqdn", "BR9.cptl.local")), endpoint("right", accepts=anyone))
    assert pair.texts()[3:] == ["<- IKE_AUTH response 96"]
    assert pair.causes("right", "refused") == ["no key for the peer"]


def test_no_common_proposal_ends_the_attempt_with_the_first_response() -> None:
    pair = refused(endpoint("left"), endpoint("right", ike_proposals=(ike("aes-cbc-128", "sha256", "sha256", 14),)))
    assert pair.texts() == ["-> IKE_SA_INIT 464", "<- IKE_SA_INIT response 36"]
    assert pair.causes("right", "refused") == pair.causes("left", "attempt_failed") == ["no IKE proposal in common"]
    assert pair.right.timer() is None


def test_another_group_costs_two_more_messages() -> None:
    both = IkeProposal(PAPER_IKE.encryption, PAPER_IKE.integrity, PAPER_IKE.prf, (19, 14))
    pair = refused(endpoint("left", ike_proposals=(both,)), endpoint("right"))
    first = ["-> IKE_SA_INIT 280", "<- IKE_SA_INIT response 38", "-> IKE_SA_INIT 472"]
    assert pair.texts() == [*first, *SET_UP[1:]]
    assert pair.log[0].datagram.message.spi_i == pair.log[2].datagram.message.spi_i
    assert [line.datagram.message.message_id for line in pair.log] == [0, 0, 0, 0, 1, 1]
    assert agree(pair)


def test_a_cookie_costs_two_more_messages_and_the_responder_no_state() -> None:
    pair = Pair(endpoint("left"), endpoint("right", cookie_threshold=0))
    pair.start(pair.left)
    pair.run(0.015)
    assert pair.right.sas == {}
    pair.run(1)
    first = ["-> IKE_SA_INIT 464", "<- IKE_SA_INIT response 60", "-> IKE_SA_INIT 496"]
    assert pair.texts() == [*first, *SET_UP[1:]]
    assert pair.kinds("right") == ["cookie_demanded", "half_open", "ike_established", "child_installed"]
    assert agree(pair)


def test_a_cookie_and_another_group_cost_four_more_messages() -> None:
    both = IkeProposal(PAPER_IKE.encryption, PAPER_IKE.integrity, PAPER_IKE.prf, (19, 14))
    pair = refused(endpoint("left", ike_proposals=(both,)), endpoint("right", cookie_threshold=0))
    assert [line.datagram.message.ike_bytes for line in pair.log] == [280, 60, 312, 38, 504, 472, 336, 288]
    assert agree(pair)


def test_a_late_copy_of_a_refused_group_does_not_answer_the_repeated_request() -> None:
    both = IkeProposal(PAPER_IKE.encryption, PAPER_IKE.integrity, PAPER_IKE.prf, (19, 14))
    pair = Pair(endpoint("left", ike_proposals=(both,)), endpoint("right"))
    # The copy of INVALID_KE_PAYLOAD comes while the second request is under way.
    pair.copies = lambda n, _d: (0.0, 0.005) if n == 1 else (0.0,)
    pair.start(pair.left)
    pair.run(1)
    assert len(pair.log) == 6
    assert agree(pair)


def test_a_late_copy_of_a_cookie_does_not_answer_the_repeated_request() -> None:
    pair = Pair(endpoint("left"), endpoint("right", cookie_threshold=0))
    pair.copies = lambda n, _d: (0.0, 0.005) if n == 1 else (0.0,)
    pair.start(pair.left)
    pair.run(1)
    assert len(pair.log) == 6
    assert agree(pair)


@pytest.mark.parametrize(("implementation", "kept"), [(IOS, 0), (STRONGSWAN, 1)])
def test_a_refused_child_sa_is_deleted_with_its_ike_sa_by_ios_and_outlived_by_strongswans(
    implementation: str, kept: int
) -> None:
    child = ChildPolicy((OTHER_ESP,), 3600)
    pair = refused(endpoint("left", implementation, child=child), endpoint("right", implementation))
    deletes = ["-> INFORMATIONAL 96", "<- INFORMATIONAL response 96"] * 2
    assert pair.texts(since=4) == ([] if kept else deletes)
    assert pair.causes("right", "refused") == pair.causes("left", "attempt_failed") == ["no IPsec proposal in common"]
    assert [len(end.sas) for end in (pair.left, pair.right)] == [kept, kept]
    assert mirrored(pair) == 0


def test_ios_deletes_the_spi_of_the_refused_child_sa_before_the_ike_sa() -> None:
    pair = refused(endpoint("left", IOS, child=ChildPolicy((OTHER_ESP,), 3600)), endpoint("right", IOS))
    deletes = [d.message.get(DeletePayload).spis for d in requests(pair, "left")[2:]]
    assert [len(spis) for spis in deletes] == [1, 0]


def test_ios_tries_a_refused_child_sa_again_thirty_seconds_after_the_ike_sa_is_gone() -> None:
    left = endpoint("left", IOS, child=ChildPolicy((OTHER_ESP,), 3600))
    pair = refused(left, endpoint("right", IOS), until_s=60.2)
    # Set-up 0.04 s, two deletes 0.04 s.
    assert pair.times_s("left", "attempt") == pytest.approx([0, 30.08, 60.16])
    assert pair.causes("left", "ike_closed") == ["no IPsec proposal in common"] * 2


def test_ios_tries_again_thirty_seconds_after_each_refusal() -> None:
    pair = refused(endpoint("left", IOS, local_key=Secret("other")), endpoint("right", IOS), until_s=100)
    assert pair.times_s("left", "attempt") == pytest.approx([0, 30.04, 60.08, 90.12])


def test_strongswan_does_not_try_again_after_a_refusal() -> None:
    pair = refused(endpoint("left", local_key=Secret("other")), endpoint("right"), until_s=3600)
    assert pair.times_s("left", "attempt") == [0]


def test_different_selectors_are_refused_as_such() -> None:
    own = (Selector(0, "10.7.0.0", "10.7.0.255"),)
    other = ChildPolicy((PAPER_ESP,), 3600, local_selectors=own, remote_selectors=own)
    # The initiator wants everything in IPv6: with everything in IPv4 a network would be the common part (RFC 7296 2.9).
    asked = ChildPolicy((PAPER_ESP,), 3600, local_selectors=(ANY_IPV6,), remote_selectors=(ANY_IPV6,))
    pair = refused(endpoint("left", child=asked), endpoint("right", child=other))
    assert pair.causes("right", "refused") == ["traffic selectors differ"]


def rejecting(implementation: str) -> Pair:
    """Return a pair whose left end does not accept what the right one calls itself."""
    email = Identity("email", "HQ.cptl.local")
    return refused(endpoint("left", implementation), endpoint("right", implementation, identity=email))


def test_an_ios_initiator_leaves_a_responder_that_it_rejects_half_open() -> None:
    pair = rejecting(IOS)
    assert len(pair.log) == 4
    assert pair.causes("left", "attempt_failed") == ["identity of the responder not accepted"]
    assert pair.left.sas == {}
    assert pair.ike(pair.right).state is State.ESTABLISHED
    assert len(pair.children(pair.right)) == 1


def test_the_next_attempt_of_the_ios_initiator_replaces_the_half_open_sa_by_initial_contact() -> None:
    pair = rejecting(IOS)
    pair.run(35)
    assert pair.times_s("left", "attempt") == pytest.approx([0, 30.04])
    assert pair.causes("right", "ike_closed") == ["peer started afresh"]
    assert len(pair.right.sas) == 1


def test_a_strongswan_initiator_reports_the_rejection_and_both_ends_are_clean() -> None:
    pair = rejecting(STRONGSWAN)
    assert pair.texts(since=4) == ["-> INFORMATIONAL 96", "<- INFORMATIONAL response 96"]
    assert pair.causes("left", "attempt_failed") == ["identity of the responder not accepted"]
    assert pair.causes("right", "ike_closed") == ["refused by the peer"]
    assert pair.left.sas == pair.right.sas == {}


def test_a_rejection_whose_report_is_lost_keeps_its_reason() -> None:
    email = Identity("email", "HQ.cptl.local")
    pair = Pair(endpoint("left"), endpoint("right", identity=email), loses=lambda n, _d: n >= 4)
    pair.start(pair.left)
    pair.run(300)
    assert pair.causes("left", "attempt_failed") == ["identity of the responder not accepted"]


def test_a_half_open_sa_is_given_up_after_thirty_seconds() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda n, _d: n >= 2)
    pair.start(pair.left)
    pair.run(40)
    assert pair.causes("right", "ike_closed") == ["half-open for too long"]
    assert pair.times_s("right", "ike_closed") == [30.01]
    assert pair.right.half_open_count() == 0


def test_transport_mode_needs_both_ends_and_falls_back_to_tunnel_mode() -> None:
    modes = {}
    for left, right in itertools.product(("tunnel", "transport"), repeat=2):
        policies = [ChildPolicy((PAPER_ESP,), 3600, mode=mode) for mode in (left, right)]  # type: ignore[arg-type]
        pair = refused(endpoint("left", child=policies[0]), endpoint("right", child=policies[1]))
        notified = [line.datagram.message.notify("USE_TRANSPORT_MODE") is not None for line in pair.log[2:]]
        modes[left, right] = (notified, pair.child(pair.left).policy.mode, pair.child(pair.right).policy.mode)
    assert modes == {
        ("tunnel", "tunnel"): ([False, False], "tunnel", "tunnel"),
        ("tunnel", "transport"): ([False, False], "tunnel", "tunnel"),
        ("transport", "tunnel"): ([True, False], "tunnel", "tunnel"),
        ("transport", "transport"): ([True, True], "transport", "transport"),
    }


# -- two starts, crashes, several tunnels ----------------------------------------------------------------------


def hub_with_template() -> Endpoint:
    """Return a right end without a tunnel interface, which clones a virtual-access for whoever has a key."""
    hub = endpoint("right", accepts=IdentityMatch("fqdn", "cptl.local", domain=True))
    (profile,) = hub.policy.profiles
    key = replace(profile.keys[0], identity=Identity("fqdn", "BR2.cptl.local"))
    profile = replace(profile, keys=(*profile.keys, key), accepts_any_tunnel=True, virtual_template="1")
    templates = {"1": ChildPolicy((PAPER_ESP,), 3600, local_selectors=(), remote_selectors=())}
    hub.policy = replace(hub.policy, profiles=(profile,), tunnels=(), templates=templates)
    return hub


@pytest.mark.parametrize("implementation", [IOS, STRONGSWAN])
@pytest.mark.parametrize("later_s", [0.0, 0.004, 0.0099])
def test_both_ends_that_start_at_once_keep_both_ike_sas(implementation: str, later_s: float) -> None:
    pair = Pair(endpoint("left", implementation), endpoint("right", implementation))
    pair.start(pair.left)
    pair.run(later_s)
    pair.start(pair.right)
    pair.run(5)
    assert agree(pair, count=2)
    assert "ike_closed" not in pair.kinds("left") + pair.kinds("right")


def test_a_late_initial_contact_spares_the_ike_sa_that_was_made_meanwhile() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), loses=lambda n, _d: n == 4)
    pair.start(pair.left)
    pair.start(pair.right)
    pair.run(5)
    assert pair.log[4].text == "IKE_AUTH 336" == pair.log[-2].text
    assert pair.log[4].datagram.message.notify("INITIAL_CONTACT") is not None
    assert agree(pair, count=2)
    assert "ike_closed" not in pair.kinds("right")


def test_an_end_that_has_the_peers_attempt_does_not_start_its_own() -> None:
    pair = Pair(endpoint("left"), endpoint("right"))
    pair.start(pair.left)
    pair.run(0.011)
    pair.start(pair.right)
    pair.run(5)
    assert pair.texts() == SET_UP


def test_an_end_whose_start_gave_way_starts_at_once_when_the_peers_attempt_fails() -> None:
    pair = Pair(endpoint("left", IOS, local_key=Secret("other")), endpoint("right", IOS))
    pair.start(pair.left)
    pair.run(0.011)
    pair.start(pair.right)
    pair.run(5)
    assert pair.times_s("right", "attempt") == [0.03]


@pytest.mark.parametrize("implementation", [IOS, STRONGSWAN])
@pytest.mark.parametrize("crashed", ["left", "right"])
def test_a_restart_after_a_crash_makes_the_survivor_drop_the_stale_sa(implementation: str, crashed: str) -> None:
    pair = established(implementation, until_s=10)
    stale = {sa.local_spi for sa in pair.left.sas.values()} | {sa.local_spi for sa in pair.right.sas.values()}
    pair.reboot(crashed, endpoint(crashed, implementation, boots=1))
    pair.start(pair.left if crashed == "left" else pair.right)
    pair.run(20)
    survivor = "right" if crashed == "left" else "left"
    assert pair.causes(survivor, "ike_closed") == pair.causes(survivor, "child_deleted") == ["peer started afresh"]
    assert agree(pair)
    assert not stale & set(pair.left.sas)


def test_initial_contact_is_not_sent_for_a_second_tunnel_to_another_address_of_the_same_peer() -> None:
    second = IPv4Address("10.2.0.2")
    child = ChildPolicy((PAPER_ESP,), 3600)
    pair = Pair(
        endpoint("left", tunnels=(TunnelPolicy("Tunnel1", LEFT, second, "profile", child),)),
        endpoint("right", tunnels=(TunnelPolicy("Tunnel1", second, LEFT, "profile", child),)),
    )
    pair.start(pair.left)
    pair.run(1)
    pair.take(pair.left, pair.left.start("Tunnel1", pair.now))
    pair.run(2)
    contacts = [d.message.notify("INITIAL_CONTACT") is not None for d in requests(pair, "left")]
    assert contacts == [False, True, False, False]
    assert agree(pair, count=2)


def test_initial_contact_is_sent_again_by_a_router_that_calls_itself_something_else() -> None:
    second = IPv4Address("10.2.0.2")
    left = endpoint("left", tunnels=(TunnelPolicy("Tunnel1", LEFT, second, "other", ChildPolicy((PAPER_ESP,), 3600)),))
    other = replace(left.policy.profiles[0], name="other", local_identity=Identity("fqdn", "BR2.cptl.local"))
    left.policy = replace(left.policy, profiles=(*left.policy.profiles, other))
    pair = Pair(left, hub_with_template())
    pair.start(left)
    pair.run(1)
    pair.take(left, left.start("Tunnel1", pair.now))
    pair.run(2)
    contacts = [d.message.notify("INITIAL_CONTACT") is not None for d in requests(pair, "left")]
    assert contacts == [False, True, False, True]
    assert agree(pair, count=2)


def test_virtual_access_numbers_are_the_lowest_free_ones_and_live_as_long_as_their_sas() -> None:
    clones = VirtualAccess()
    names = [clones.clone() for _ in range(3)]
    assert names == ["Virtual-Access1", "Virtual-Access2", "Virtual-Access3"]
    clones.share("Virtual-Access2")
    clones.release("Virtual-Access2")
    clones.release("Virtual-Access1")
    clones.release("Tunnel0")
    assert [clones.clone(), clones.clone()] == ["Virtual-Access1", "Virtual-Access4"]


def test_spokes_that_are_judged_at_the_same_time_get_different_virtual_accesses() -> None:
    hub = hub_with_template()
    spokes = {
        LEFT: endpoint("left"),
        IPv4Address("10.3.0.1"): endpoint("left", identity=Identity("fqdn", "BR2.cptl.local")),
    }
    for address, spoke in spokes.items():
        tunnel = replace(spoke.policy.tunnels[0], local_address=address)
        spoke.policy = replace(spoke.policy, tunnels=(tunnel,))
    asked = []
    for spoke in spokes.values():
        (work,) = spoke.start("Tunnel0", 0).works
        (request,) = spoke.done(work.token, 0).datagrams
        (work,) = hub.receive(request, 0).works
        (response,) = hub.done(work.token, 0).datagrams
        (work,) = spoke.receive(response, 0).works
        asked += spoke.done(work.token, 0).datagrams
    # The hub has both IKE_AUTH requests before it has finished with either.
    works = [work for request in asked for work in hub.receive(request, 0).works]
    for work in works:
        hub.done(work.token, 0)
    children = [child for sa in hub.sas.values() for child in sa.children.values()]
    assert [child.tunnel for child in children] == ["Virtual-Access1", "Virtual-Access2"]


def test_a_virtual_access_outlives_a_rekey_and_is_free_after_the_delete() -> None:
    hub = hub_with_template()
    pair = Pair(endpoint("left"), hub)
    pair.start(pair.left)
    pair.run(1)
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(2)
    assert pair.ike(hub).interface == "Virtual-Access1"
    assert hub.clones.clone() == "Virtual-Access2"
    pair.ask(pair.left, Task("delete ike"))
    pair.run(3)
    assert hub.clones.clone() == "Virtual-Access1"


# -- rekeys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "arrows"), [("left", ("->", "<-")), ("right", ("<-", "->"))])
def test_either_end_rekeys_the_child_sa_in_four_messages(side: str, arrows: tuple[str, str]) -> None:
    pair = established()
    before = spi_pairs(pair, pair.left)
    pair.ask(getattr(pair, side), Task("rekey child", pair.child(getattr(pair, side))))
    pair.run(2)
    ask, answer = arrows
    assert pair.texts(since=4) == [
        f"{ask} CREATE_CHILD_SA 240",
        f"{answer} CREATE_CHILD_SA response 224",
        f"{ask} INFORMATIONAL 96",
        f"{answer} INFORMATIONAL response 96",
    ]
    assert agree(pair)
    assert not before & spi_pairs(pair, pair.left)
    assert pair.causes("left", "child_deleted") == pair.causes("right", "child_deleted") == ["replaced by a rekey"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_either_end_rekeys_the_ike_sa_and_the_child_sas_move(side: str) -> None:
    pair = established()
    children = spi_pairs(pair, pair.left)
    old_spis = set(pair.left.sas)
    pair.ask(getattr(pair, side), Task("rekey ike"))
    pair.run(2)
    assert [line.text.rpartition(" ")[0] for line in pair.log[4:]] == [
        "CREATE_CHILD_SA",
        "CREATE_CHILD_SA response",
        "INFORMATIONAL",
        "INFORMATIONAL response",
    ]
    assert agree(pair)
    assert spi_pairs(pair, pair.left) == children
    assert not old_spis & set(pair.left.sas)
    # Who asks for the rekey is the initiator of the new IKE SA.
    assert pair.ike(getattr(pair, side)).initiator
    assert pair.causes("left", "ike_closed") == pair.causes("right", "ike_closed") == ["replaced by a rekey"]


def test_message_ids_restart_at_zero_after_a_rekey_of_the_ike_sa() -> None:
    pair = established()
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(2)
    pair.ask(pair.left, Task("rekey child", pair.child(pair.left)))
    pair.run(3)
    assert [(line.text.split()[0], line.datagram.message.message_id) for line in pair.log[8:]] == [
        ("CREATE_CHILD_SA", 0),
        ("CREATE_CHILD_SA", 0),
        ("INFORMATIONAL", 1),
        ("INFORMATIONAL", 1),
    ]


def test_the_shorter_lifetime_initiates_the_rekey() -> None:
    ios = changed(IOS, values={"rekey_jitter": 0})
    left = endpoint("left", ios, child=ChildPolicy((PAPER_ESP,), 3600))
    pair = Pair(left, endpoint("right", ios, child=ChildPolicy((PAPER_ESP,), 1800)))
    pair.start(left)
    pair.run(1800)
    # The responder installs after 0.03 s and rekeys 30 s before the end of its lifetime.
    assert [(line.time_s, line.sender) for line in pair.log[4:5]] == [(1770.03, "right")]
    assert {line.sender for line in pair.log[4:] if not line.datagram.message.response} == {"right"}
    assert agree(pair)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(["left", "right"]), st.sampled_from(["rekey child", "rekey ike"]), st.floats(0, 0.3)),
        min_size=1,
        max_size=4,
    ),
    delay_s=st.floats(0, 0.5),
    durations_s=st.lists(st.floats(0, 1), min_size=1, max_size=7),
)
def test_a_rekey_never_leaves_an_end_without_a_child_sa_that_its_peer_has_too(
    kinds: list[tuple[str, str, float]], delay_s: float, durations_s: list[float]
) -> None:
    pair = established()
    durations = itertools.cycle(durations_s)
    pair.delay_s, pair.work_s = delay_s, lambda _step: next(durations)
    counts: list[int] = []
    pair.watch = lambda: counts.append(mirrored(pair))
    for side, kind, after_s in kinds:
        end: Endpoint = getattr(pair, side)
        sa = next(sa for sa in end.sas.values() if sa.state is State.ESTABLISHED)
        child = next(iter(sa.children.values()), None)
        if kind == "rekey ike" or child is not None:
            pair.ask(end, Task(kind, child if kind == "rekey child" else None), sa)  # type: ignore[arg-type]
        pair.run(pair.now / 1e9 + after_s)
    pair.run(120)
    assert min(counts) >= 1
    assert agree(pair)


def collide(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    nonces: dict[str, tuple[int, ...]],
    lost: Iterable[int] = (),
    ends: tuple[Endpoint, Endpoint] | None = None,
) -> Pair:
    """Let both ends rekey at 1 s; ``nonces``: what each end draws for its request, its response and what follows."""
    pair = Pair(*(ends or (endpoint("left"), endpoint("right"))))
    pair.start(pair.left)
    pair.run(1)
    numbers = set(lost)
    pair.loses = lambda n, _d: n in numbers
    for name, values in nonces.items():
        end: Endpoint = getattr(pair, name)
        queue = iter(values)
        monkeypatch.setattr(end, "nonce", lambda _sa, queue=queue: NoncePayload(next(queue), 32))
    for end in (pair.left, pair.right):
        pair.ask(end, Task(kind, pair.child(end) if kind == "rekey child" else None))  # type: ignore[arg-type]
    return pair


def deleted_by(pair: Pair, name: str) -> list[DeletePayload]:
    return [d.message.get(DeletePayload) for d in requests(pair, name) if d.message.find(DeletePayload) is not None]


@pytest.mark.parametrize(
    ("nonces", "loser"),
    [({"left": (10, 50), "right": (30, 40)}, "left"), ({"left": (30, 40), "right": (20, 50)}, "right")],
)
def test_the_child_sa_with_the_lowest_nonce_is_deleted_by_its_maker_and_the_old_one_by_the_winner(
    monkeypatch: pytest.MonkeyPatch, nonces: dict[str, tuple[int, int]], loser: str
) -> None:
    pair = collide(monkeypatch, "rekey child", nonces)
    old = {"left": pair.child(pair.left), "right": pair.child(pair.right)}
    winner = "right" if loser == "left" else "left"
    # Both have settled after a round trip; of three Child SAs one is in use, at both ends the same.
    pair.run(1.025)
    in_use = [[c for c in pair.children(end) if c.state is ChildState.INSTALLED] for end in (pair.left, pair.right)]
    assert [len(pair.children(pair.left)), *map(len, in_use)] == [3, 1, 1]
    assert (in_use[0][0].spi_in, in_use[0][0].spi_out) == (in_use[1][0].spi_out, in_use[1][0].spi_in)
    pair.run(2)
    assert agree(pair)
    assert pair.child(getattr(pair, winner)).initiator
    (by_winner,), (by_loser,) = deleted_by(pair, winner), deleted_by(pair, loser)
    assert by_winner.spis == (old[winner].spi_in,)
    assert by_loser.spis != (old[loser].spi_in,)
    both = ["redundant after a simultaneous rekey", "replaced by a rekey"]
    assert sorted(pair.causes("left", "child_deleted")) == sorted(pair.causes("right", "child_deleted")) == both
    details = {who: e.detail for who, e in pair.events if e.kind == "collision"}
    assert details == {winner: "Child SA, our exchange stays", loser: "Child SA, the peer's exchange stays"}


def test_a_responders_nonce_decides_a_collision_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # The right end's answer to the left end's request has the lowest nonce of all: the left exchange loses.
    pair = collide(monkeypatch, "rekey child", {"left": (60, 50), "right": (70, 1)})
    pair.run(2)
    assert agree(pair)
    assert pair.child(pair.right).initiator


@pytest.mark.parametrize("kind", ["rekey child", "rekey ike"])
@pytest.mark.parametrize("low", ["left", "right"])
def test_the_end_whose_request_was_lost_gives_way_whatever_the_nonces(
    monkeypatch: pytest.MonkeyPatch, kind: str, low: str
) -> None:
    nonces = {name: (10, 20) if name == low else (30, 40) for name in ("left", "right")}
    pair = collide(monkeypatch, kind, nonces, lost=[4])
    pair.run(20)
    assert agree(pair)
    survivor = pair.child(pair.right) if kind == "rekey child" else pair.ike(pair.right)
    assert survivor.initiator
    # The right end never knew of the collision and answers the repeated request with an error, if at all.
    assert "collision" not in pair.kinds("right")
    errors = [line.datagram.message.error() for line in pair.log if line.sender == "right"]
    assert [e.type for e in errors if e] == (["CHILD_SA_NOT_FOUND"] if kind == "rekey child" else [])
    assert "rekey_failed" not in pair.kinds("left")
    assert set(pair.causes("left", "child_deleted")) <= {"replaced by a rekey"}


def test_the_end_that_gives_way_uses_the_new_child_sa_before_the_old_one_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Request of the left end and Delete of the right one are lost; the request is repeated first.
    pair = collide(monkeypatch, "rekey child", {"left": (10, 20), "right": (30, 40)}, lost=[4, 7])
    pair.run(5.025)
    assert [error.type for line in pair.log if (error := line.datagram.message.error())] == ["TEMPORARY_FAILURE"]
    (in_use,) = [c for c in pair.children(pair.left) if c.state is ChildState.INSTALLED]
    assert not in_use.initiator
    pair.run(20)
    assert agree(pair)
    assert pair.children(pair.left) == [in_use]


@pytest.mark.parametrize(
    ("nonces", "loser"),
    [({"left": (10, 50), "right": (30, 40)}, "left"), ({"left": (30, 40), "right": (20, 50)}, "right")],
)
def test_the_ike_sa_with_the_lowest_nonce_is_deleted_by_its_maker_and_the_old_one_by_the_winner(
    monkeypatch: pytest.MonkeyPatch, nonces: dict[str, tuple[int, int]], loser: str
) -> None:
    pair = collide(monkeypatch, "rekey ike", nonces)
    children = spi_pairs(pair, pair.left)
    old_spi_i = pair.ike(pair.left).spi_i
    pair.run(2)
    winner = "right" if loser == "left" else "left"
    assert agree(pair)
    assert spi_pairs(pair, pair.left) == children
    assert pair.ike(getattr(pair, winner)).initiator
    ends = {
        d.message.spi_i: who for who in ("left", "right") for d in requests(pair, who) if d.message.find(DeletePayload)
    }
    assert ends.pop(old_spi_i) == winner
    assert list(ends.values()) == [loser]
    both = ["redundant after a simultaneous rekey", "replaced by a rekey"]
    assert sorted(pair.causes("left", "ike_closed")) == sorted(pair.causes("right", "ike_closed")) == both
    # One rekey for the record, although two exchanges took place.
    assert pair.kinds("left").count("ike_rekeyed") == pair.kinds("right").count("ike_rekeyed") == 1


def test_a_redundant_ike_sa_that_its_maker_has_forgotten_ends_after_the_half_open_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = (endpoint("left", IOS, dpd=DpdPolicy(10, 2)), endpoint("right", IOS))
    pair = collide(monkeypatch, "rekey ike", {"left": (30, 40), "right": (10, 20)}, ends=ends)
    # The left end wins; its Delete of the old SA overtakes its response to the right end's request.
    pair.copies = lambda _n, d: (
        (0.5,) if d.message.response and d.source == LEFT and d.message.message_id == 0 else (0.0,)
    )
    pair.run(20)
    assert [len(end.sas) for end in (pair.left, pair.right)] == [2, 1]
    pair.run(40)
    assert agree(pair)
    assert pair.causes("left", "ike_closed")[-1] == "redundant after a simultaneous rekey"


def unsettled(monkeypatch: pytest.MonkeyPatch, task: str) -> Pair:
    """Return a pair whose right end did not notice the collision and uses the new IKE SA for ``task`` at once.

    The left end's request is lost, and the Delete that would tell the left end which IKE SA stays.
    """
    pair = collide(monkeypatch, "rekey ike", {"left": (10, 20, 21), "right": (30, 40, 41)}, lost=[4, 8])
    pair.ask(pair.right, Task(task, pair.child(pair.right)))  # type: ignore[arg-type]
    return pair


def test_a_child_rekey_on_an_ike_sa_that_may_not_stay_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = unsettled(monkeypatch, "rekey child")
    spis = spi_pairs(pair, pair.left)
    pair.run(1.1)
    assert [error.type for line in pair.log if (error := line.datagram.message.error())] == ["TEMPORARY_FAILURE"]
    # The repeated request of the left end, 4 s later, meets an IKE SA that is being deleted: its rekey is forgotten.
    pair.run(5.025)
    assert spi_pairs(pair, pair.left) == spis == {(o, i) for i, o in spi_pairs(pair, pair.right)}
    assert pair.ike(pair.left).generation == pair.ike(pair.right).generation == 1
    pair.run(20)
    assert agree(pair)
    assert pair.causes("left", "child_deleted") == ["replaced by a rekey"]


def test_a_child_delete_on_an_ike_sa_that_may_not_stay_finds_its_child_sa(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = unsettled(monkeypatch, "delete child")
    pair.run(1.1)
    assert pair.children(pair.left) == pair.children(pair.right) == []


def test_a_peer_that_dies_in_a_collision_leaves_no_ike_sa_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = collide(monkeypatch, "rekey ike", {"left": (10, 20), "right": (30, 40)}, lost=[4, *range(7, 100)])
    pair.run(10)
    assert len(pair.left.sas) == 2
    pair.run(200)
    assert pair.left.sas == {}
    assert pair.causes("left", "child_deleted") == ["no answer"]


@pytest.mark.parametrize("noticed", [True, False])
def test_a_collision_whose_other_ike_sa_has_died_loses_no_child_sa_silently(
    monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    ends = (endpoint("left", IOS, dpd=DpdPolicy(10, 2)), endpoint("right", IOS))
    nonces = {"left": tuple(range(10, 20)), "right": tuple(range(30, 40))}
    pair = collide(monkeypatch, "rekey ike", nonces, ends=ends)
    # The left end hears the right end's request and nothing more for 30 s: its probes of the other IKE SA fail.
    pair.loses = lambda n, d: (n == 4 and not noticed) or (n > 5 and d.source == RIGHT and pair.now < 31e9)
    pair.run(30)
    assert pair.causes("left", "ike_closed") == ["no answer"]
    pair.run(60)
    installed = [e.child for who, e in pair.events if who == "left" and e.kind == "child_installed"]
    deleted = [e.child for who, e in pair.events if who == "left" and e.kind == "child_deleted"]
    assert {id(c) for c in installed} - {id(c) for c in deleted} == {id(c) for c in pair.children(pair.left)}


def test_a_rekey_of_the_ike_sa_that_meets_one_of_the_child_sa_is_put_off_at_both_ends() -> None:
    pair = established()
    pair.ask(pair.left, Task("rekey ike"))
    pair.ask(pair.right, Task("rekey child", pair.child(pair.right)))
    pair.run(2)
    errors = {line.sender: error.type for line in pair.log if (error := line.datagram.message.error())}
    assert errors == {"left": "TEMPORARY_FAILURE", "right": "TEMPORARY_FAILURE"}
    assert agree(pair)
    generation, spis = pair.ike(pair.left).generation, spi_pairs(pair, pair.left)
    pair.run(20)
    assert agree(pair)
    assert pair.ike(pair.left).generation == generation + 1
    assert not spis & spi_pairs(pair, pair.left)
    # Both try again, at random in the second half of ten seconds.
    again = [line.time_s - 1.02 for line in pair.log if line.text.startswith("CREATE_CHILD_SA") and line.time_s > 2]
    assert all(5 <= wait_s <= 10.1 for wait_s in again)


def test_a_child_rekey_on_an_ike_sa_that_is_being_deleted_is_put_off() -> None:
    pair = established()
    pair.ask(pair.left, Task("delete ike"))
    pair.ask(pair.right, Task("rekey child", pair.child(pair.right)))
    pair.run(1.025)
    (error,) = [error.type for line in pair.log if (error := line.datagram.message.error())]
    assert error == "TEMPORARY_FAILURE"
    pair.run(2)
    assert pair.left.sas == pair.right.sas == {}


def test_a_child_sa_that_the_peer_does_not_have_takes_the_tunnel_down_and_ios_starts_it_afresh() -> None:
    pair = established(IOS)
    pair.right.remove_child(pair.ike(pair.right), pair.child(pair.right), "local decision", pair.now)
    pair.ask(pair.left, Task("rekey child", pair.child(pair.left)))
    pair.run(5)
    assert [e.type for line in pair.log if (e := line.datagram.message.error())] == ["CHILD_SA_NOT_FOUND"]
    assert pair.left.sas == pair.right.sas == {}
    pair.run(20)
    # Rekey and Delete took 0.04 s; the pause without a refusal is 10 s.
    assert pair.times_s("left", "attempt") == pytest.approx([0, 11.04])
    assert agree(pair)


def test_a_rekey_that_meets_the_end_of_its_child_sa_deletes_it_once() -> None:
    pair = established()
    gone = pair.child(pair.right)
    pair.right.remove_child(pair.ike(pair.right), gone, "lifetime ended", pair.now)
    pair.ask(pair.right, Task("delete spi", spi=gone.spi_in))
    pair.ask(pair.left, Task("rekey child", pair.child(pair.left)))
    pair.run(2)
    assert [error.type for line in pair.log if (error := line.datagram.message.error())] == ["CHILD_SA_NOT_FOUND"]
    assert pair.causes("left", "child_deleted") == ["deleted by the peer"]


def test_a_rekey_that_is_answered_after_the_lifetime_saves_the_tunnel() -> None:
    ios = changed(IOS, values={"rekey_jitter": 0})
    pair = Pair(endpoint("left", ios, child=ChildPolicy((PAPER_ESP,), 120)), endpoint("right", ios))
    # Sent after 90.04 s, answered after 121 s.
    pair.copies = lambda n, _d: (30.95,) if n == 5 else (0.0,)
    pair.loses = lambda n, _d: n > 5 and pair.now < 121e9
    pair.start(pair.left)
    pair.run(150)
    assert pair.times_s("left", "child_deleted") == [120.04]
    assert agree(pair)
    assert "ike_closed" not in pair.kinds("left")


def test_a_rekey_of_the_ike_sa_does_not_put_off_the_end_of_a_tunnel_without_child_sas() -> None:
    pfs = ChildPolicy((EspProposal(("aes-cbc-256",), ("sha512",), groups=(14,)),), 120)
    pair = Pair(endpoint("left", IOS, child=pfs), endpoint("right", IOS))
    pair.start(pair.left)
    pair.run(120)
    pair.delay_s = 0.5
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(130)
    assert "ike_rekeyed" in pair.kinds("left")
    assert pair.causes("left", "child_deleted") == ["lifetime ended"]
    assert pair.left.sas == {}


def test_different_pfs_groups_show_at_the_first_rekey_and_the_tunnel_starts_afresh_at_the_lifetime() -> None:
    ios = changed(IOS, values={"rekey_jitter": 0})
    pfs = ChildPolicy((EspProposal(("aes-cbc-256",), ("sha512",), groups=(14,)),), 120)
    pair = Pair(endpoint("left", ios, child=pfs), endpoint("right", ios, child=ChildPolicy((PAPER_ESP,), 3600)))
    pair.start(pair.left)
    pair.run(89)
    assert agree(pair)
    pair.run(119)
    assert pair.times_s("left", "rekey_failed") == pytest.approx([90.06])
    assert mirrored(pair) == 1
    pair.run(125)
    assert pair.causes("left", "ike_closed") == ["lifetime ended"]
    assert pair.left.sas == pair.right.sas == {}
    pair.run(135)
    assert pair.times_s("left", "attempt") == pytest.approx([0, 130.08])
    assert agree(pair)


@pytest.mark.parametrize("implementation", [IOS, STRONGSWAN])
def test_a_day_without_jitter_ends_with_one_ike_sa_and_one_child_sa(implementation: str) -> None:
    pair = Pair(*(endpoint(side, changed(implementation, values={"rekey_jitter": 0})) for side in ("left", "right")))
    counts: list[int] = []
    pair.start(pair.left)
    pair.run(1)
    pair.watch = lambda: counts.append(mirrored(pair))
    pair.run(86400)
    assert min(counts) == 1
    assert agree(pair)
    assert pair.ike(pair.left).generation == 1
    margin_s = 30 if implementation == IOS else 360
    assert len(pair.causes("left", "child_deleted")) == int(86400 / (3600 - margin_s))


@pytest.mark.parametrize("duration_s", [0.0, 0.02])
def test_lifetimes_of_120_seconds_for_both_sas_keep_the_tunnel_up(duration_s: float) -> None:
    ios = changed(IOS, values={"rekey_jitter": 0})
    ends = (endpoint(side, ios, lifetime_s=120, child=ChildPolicy((PAPER_ESP,), 120)) for side in ("left", "right"))
    pair = Pair(*ends, work_s=lambda _step: duration_s)
    counts: list[int] = []
    pair.start(pair.left)
    pair.run(1)
    pair.watch = lambda: counts.append(mirrored(pair))
    pair.run(3600)
    assert min(counts) >= 1
    assert agree(pair)
    # Every 90 s: 120 s less the margin of 30 s.
    assert pair.ike(pair.left).generation == 39
    assert {*pair.causes("left", "ike_closed")} == {"replaced by a rekey"}


def test_a_child_sa_carries_nothing_after_its_lifetime_even_when_the_peer_is_gone() -> None:
    pair = established(IOS, child=ChildPolicy((PAPER_ESP,), 120))
    pair.loses = lambda _n, _d: True
    pair.run(121)
    assert pair.children(pair.left) == []
    assert pair.causes("left", "child_deleted") == ["lifetime ended"]
    assert pair.times_s("left", "child_deleted") == [120.04]


def test_an_ike_sa_whose_peer_owes_an_answer_ends_with_its_lifetime() -> None:
    pair = established(IOS, lifetime_s=120)
    pair.loses = lambda _n, _d: True
    pair.run(121)
    assert pair.causes("left", "ike_closed") == ["lifetime ended"]
    assert pair.times_s("left", "ike_closed") == [120.04]


def test_deletes_of_the_same_child_sa_that_cross_name_it_once_each() -> None:
    pair = established()
    for end in (pair.left, pair.right):
        pair.ask(end, Task("delete child", pair.child(end)))
    pair.run(2)
    answers = [line.datagram.message.find(DeletePayload) for line in pair.log[4:] if line.datagram.message.response]
    assert answers == [None, None]
    assert pair.children(pair.left) == pair.children(pair.right) == []


# -- dead peer detection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay_s", "timeout_s", "base", "tries", "detect_s"),
    [(2, 1.0, 1.0, 2, 5.0), (10, 2.0, 1.0, 5, 22.0), (5, 1.0, 1.0, 3, 9.0), (10, 2.0, 1.5, 3, 26.25)],
)
def test_strongswan_detects_a_dead_peer_after_the_delay_and_the_sum_of_its_timeouts(
    delay_s: float, timeout_s: float, base: float, tries: int, detect_s: float
) -> None:
    """Settings and expectations of the fail-over recordings (testbed, 2026): last inbound + delay + timeouts."""
    values = {"retransmit_first_s": timeout_s, "retransmit_factor": base, "retransmit_tries": float(tries)}
    pair = Pair(endpoint("left", changed(STRONGSWAN, values=values), dpd=DpdPolicy(delay_s, 1)), endpoint("right"))
    pair.start(pair.left)
    pair.run(1)
    pair.loses = lambda _n, _d: True
    pair.run(100)
    last_inbound_s = 0.04
    assert pair.times_s("left", "dpd") == [last_inbound_s + delay_s]
    assert pair.times_s("left", "ike_closed") == pytest.approx([last_inbound_s + detect_s], abs=1e-6)
    assert pair.causes("left", "ike_closed") == ["no answer"]


def test_ios_sends_five_probes_at_the_retry_interval_and_waits_once_more() -> None:
    pair = Pair(endpoint("left", IOS, dpd=DpdPolicy(10, 2)), endpoint("right", IOS))
    pair.start(pair.left)
    pair.run(1)
    pair.loses = lambda _n, _d: True
    pair.run(25)
    assert send_times_s(pair, "left")[2:] == [10.04, 12.04, 14.04, 16.04, 18.04]
    assert pair.times_s("left", "ike_closed") == [20.04]


def test_an_end_that_finds_its_peer_dead_starts_again_after_ten_seconds() -> None:
    pair = Pair(endpoint("left", IOS, dpd=DpdPolicy(10, 2)), endpoint("right", IOS))
    pair.start(pair.left)
    pair.run(1)
    pair.reboot("right", endpoint("right", IOS, boots=1))
    pair.run(40)
    assert pair.times_s("left", "attempt") == [0, 30.04]
    assert agree(pair)


def test_a_probe_that_is_answered_keeps_the_tunnel_and_starts_the_next_silence() -> None:
    pair = Pair(endpoint("left", dpd=DpdPolicy(10, 2)), endpoint("right"))
    pair.start(pair.left)
    pair.run(35)
    # Ten seconds after IKE_AUTH at 0.04 s, then after each answer, which takes 0.02 s.
    assert pair.times_s("left", "dpd") == pytest.approx([10.04, 20.06, 30.08])
    assert agree(pair)


def test_no_probe_is_sent_while_messages_flow() -> None:
    pair = Pair(endpoint("left", dpd=DpdPolicy(10, 2)), endpoint("right", dpd=DpdPolicy(4, 2)))
    pair.start(pair.left)
    pair.run(100)
    assert "dpd" not in pair.kinds("left")
    assert len(pair.times_s("right", "dpd")) == 24


def test_a_probe_that_had_to_wait_is_not_sent_once_the_peer_was_heard() -> None:
    pair = Pair(endpoint("left", dpd=DpdPolicy(10, 2)), endpoint("right"))
    # The probe is due at 10.04 s, in the middle of the work for a request.
    pair.work_s = lambda step: 5.0 if step == "CREATE_CHILD_SA request (Child SA)" else 0.0
    pair.start(pair.left)
    pair.run(8)
    pair.ask(pair.left, Task("rekey child", pair.child(pair.left)))
    pair.run(23)
    assert pair.times_s("left", "dpd") == []
    pair.run(24)
    assert pair.times_s("left", "dpd") == [23.04]


def test_copies_of_old_messages_do_not_prove_a_peer_alive() -> None:
    pair = Pair(endpoint("left"), endpoint("right", dpd=DpdPolicy(10, 2)))
    # IKE_SA_INIT and IKE_AUTH requests come again and again; only fresh messages count (RFC 7296 2.4).
    pair.copies = lambda n, _d: tuple(range(12)) if n in (0, 2) else (0.0,)
    pair.start(pair.left)
    pair.run(11)
    assert pair.times_s("right", "dpd") == [10.03]


def test_on_demand_detection_does_not_probe_a_silent_peer() -> None:
    pair = established(STRONGSWAN, until_s=2000, dpd=DpdPolicy(10, 2, periodic=False))
    assert pair.texts() == SET_UP


def test_the_half_open_sa_of_a_rejected_responder_ends_by_its_dead_peer_detection() -> None:
    email = Identity("email", "HQ.cptl.local")
    left = endpoint("left", changed(IOS, restarts=False))
    pair = Pair(left, endpoint("right", IOS, identity=email, dpd=DpdPolicy(10, 2)))
    pair.start(left)
    pair.run(25)
    assert pair.times_s("right", "ike_closed") == [20.03]
    assert pair.causes("right", "ike_closed") == ["no answer"]


# -- determinism -----------------------------------------------------------------------------------------------


def busy_hour(seed: int) -> list[str]:
    ends = (
        endpoint(side, IOS, lifetime_s=900, child=ChildPolicy((PAPER_ESP,), 300), dpd=DpdPolicy(10, 2), seed=seed)
        for side in ("left", "right")
    )
    pair = Pair(*ends, loses=lambda n, _d: n % 17 == 5)
    pair.start(pair.left)
    pair.start(pair.right)
    pair.run(3600)
    return [f"{line.time_ns} {line.sender} {line.datagram}" for line in pair.log]


def test_the_same_seed_gives_the_same_transcript_bit_for_bit() -> None:
    first = busy_hour(1)
    assert len(first) > 500
    assert first == busy_hour(1)
    assert first != busy_hour(2)


@pytest.mark.parametrize("other", [("10.1.0.1", "10.9.0.1"), ("10.1.0.9", "10.2.0.1")])
def test_another_tunnel_of_an_end_changes_no_spi_and_no_nonce_of_the_first(other: tuple[str, str]) -> None:
    local, remote = (IPv4Address(address) for address in other)
    tunnel = TunnelPolicy("Tunnel1", local, remote, "profile", ChildPolicy((PAPER_ESP,), 3600))
    alone, both = endpoint("left"), endpoint("left", tunnels=(tunnel,))
    transcripts = []
    for left in (alone, both):
        pair = Pair(left, endpoint("right"))
        if left is both:
            pair.take(left, left.start("Tunnel1", 0))
        pair.start(left)
        pair.run(3)
        sent = [
            line.datagram for line in pair.log if {line.datagram.source, line.datagram.destination} == {LEFT, RIGHT}
        ]
        transcripts.append([repr(d.message) for d in sent])
    assert len(transcripts[0]) == 4
    assert transcripts[0] == transcripts[1]


def test_an_end_that_restarts_draws_other_spis_than_before() -> None:
    spis = [requests(refused(endpoint("left", boots=b), endpoint("right")), "left")[0].message.spi_i for b in (0, 1, 2)]
    assert len(set(spis)) == 3
