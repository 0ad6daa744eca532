"""Admission: attempts that wait for their turn, a full queue of IKE_SA_INIT, a second try of a rekey (RFC 7296 1.3)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import LEFT, RIGHT, Pair, agree, changed, endpoint, ike

from flexvpn_sim.models.ikev2.admission import Outgoing
from flexvpn_sim.models.ikev2.endpoint import Endpoint, Step
from flexvpn_sim.models.ikev2.message import Datagram, Exchange
from flexvpn_sim.models.ikev2.payloads import KePayload
from flexvpn_sim.models.ikev2.sa import Task, nanoseconds

IOS = "ios-xe-16.9"
FIRST, SECOND = ike("aes-cbc-256", "sha512", "sha512", 14), ike("aes-cbc-256", "sha512", "sha512", 15)
BOTH = ike("aes-cbc-256", "sha512", "sha512", 14, 15)


# -- Attempts of this end --------------------------------------------------------------------------------------


def branch_office(limit: int, peers: int) -> Endpoint:
    """Return an end with a tunnel to each of several peers."""
    end = endpoint("left", changed(IOS, restarts=False))
    (tunnel,) = end.policy.tunnels
    tunnels = tuple(
        replace(tunnel, name=f"Tunnel{n}", remote_address=IPv4Address("10.2.0.1") + n) for n in range(peers)
    )
    policy = replace(end.policy, tunnels=tunnels, max_in_negotiation_outgoing=limit)
    return Endpoint(policy, end.implementation)


def collect(steps: list[Step], end: Endpoint, now: int) -> list[Datagram]:
    """Let an end do all its work at once; return what it sends."""
    sent: list[Datagram] = []
    while steps:
        step = steps.pop(0)
        sent += step.datagrams
        steps += [end.done(work.token, now) for work in step.works]
    return sent


def test_no_more_attempts_run_than_the_limit_allows_and_the_others_wait_their_turn() -> None:
    end = branch_office(2, 5)
    sent = collect([end.start(f"Tunnel{n}", 0) for n in range(5)], end, 0)
    assert [str(d.destination) for d in sent] == ["10.2.0.1", "10.2.0.2"]
    assert list(end.outgoing.waiting) == ["Tunnel2", "Tunnel3", "Tunnel4"]
    # Nobody answers: two more begin when the first two are given up, after 2 + 4 + ... + 64 s (assumed for IOS).
    begun: list[tuple[float, str]] = []
    while (due := end.timer()) is not None:
        sent = collect([end.on_timer(due)], end, due)
        begun += [(due / 1e9, str(d.destination)) for d in sent if d.transmission == 0]
    assert begun == [(126.0, "10.2.0.3"), (126.0, "10.2.0.4"), (252.0, "10.2.0.5")]
    assert not end.outgoing.waiting


def test_a_tunnel_that_came_up_makes_room_and_one_that_waits_does_so_once() -> None:
    right = endpoint("right", IOS)
    left = branch_office(1, 2)
    pair = Pair(left, right)
    pair.take(left, left.start("Tunnel0", 0))
    for _ in range(3):
        pair.take(left, left.start("Tunnel1", 0))
    assert pair.kinds("left").count("attempt_waits") == 1
    pair.run(0.5)
    # Set-up takes two round trips of 20 ms; then the other tunnel begins.
    assert pair.times_s("left", "attempt") == [0.0, pytest.approx(0.040)]


def test_a_redirected_or_rekeyed_sa_is_no_attempt_that_waits() -> None:
    pair = Pair(branch_office(1, 1), endpoint("right", IOS))
    pair.take(pair.left, pair.left.start("Tunnel0", 0))
    pair.run(1)
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(2)
    assert agree(pair) and not pair.left.outgoing.full


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=40))
def test_attempts_are_counted_once_each(limit: int, moves: list[tuple[bool, int]]) -> None:
    outgoing, running = Outgoing(limit), set()
    for begins, serial in moves:
        if begins:
            outgoing.began(serial)
            running.add(serial)
        else:
            outgoing.ended(serial)
            running.discard(serial)
        assert outgoing.full == (len(running) >= limit)


# -- Requests of others ----------------------------------------------------------------------------------------


def request() -> Datagram:
    left = endpoint("left", IOS)
    (datagram,) = collect([left.start("Tunnel0", 0)], left, 0)
    return datagram


def test_requests_beyond_the_queue_are_dropped_until_the_cpu_has_caught_up() -> None:
    right = endpoint("right", IOS)
    right = Endpoint(replace(right.policy, init_queue=100, cookie_threshold=0), right.implementation)
    asked = request()
    works: list[int] = []
    kinds: list[str] = []
    for n in range(120):
        step = right.receive(replace(asked, source=LEFT + n), 0)
        works += [work.token for work in step.works]
        kinds += [event.kind for event in step.events]
    assert len(works) == 100 and right.waiting_inits() == 100
    assert kinds.count("cookie_demanded") == 100 and kinds.count("rejected_by_admission") == 20
    right.done(works[0], 1)
    assert right.waiting_inits() == 99
    assert right.receive(replace(asked, source=LEFT + 500), 2).works


def test_the_queue_of_ios_holds_5000_and_strongswan_has_none() -> None:
    for implementation, most in ((IOS, 5000), ("strongswan", 5100)):
        right = endpoint("right", implementation, cookie_threshold=0)
        asked = request()
        begun = sum(len(right.receive(replace(asked, source=LEFT + n), 0).works) for n in range(5100))
        assert begun == most


# -- A second try of a rekey -----------------------------------------------------------------------------------


def rekeyed(right_proposals: tuple[object, ...]) -> Pair:
    """Return a pair whose responder takes another group since the SA was made."""
    pair = Pair(
        endpoint("left", ike_proposals=(BOTH,)),
        endpoint("right", ike_proposals=(FIRST,)),
    )
    pair.start(pair.left)
    pair.run(1)
    (policy,) = pair.right.policy.policies
    pair.right.policy = replace(pair.right.policy, policies=(replace(policy, proposals=right_proposals),))
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(3)
    return pair


def test_a_rekey_of_the_ike_sa_is_tried_once_more_with_the_group_that_is_demanded() -> None:
    pair = rekeyed((SECOND,))
    messages = [
        line.datagram.message for line in pair.log[4:] if line.datagram.message.exchange is Exchange.CREATE_CHILD_SA
    ]
    first, refusal, second, answer = messages
    assert first.get(KePayload).group == 14 and second.get(KePayload).group == 15
    notify = refusal.notify("INVALID_KE_PAYLOAD")
    assert notify is not None and (notify.value, notify.size) == (15, 10)
    assert answer.get(KePayload).group == 15
    assert agree(pair)
    assert pair.ike(pair.left).generation == 1 and pair.ike(pair.left).group == 15
    assert not pair.times_s("left", "rekey_failed")


def test_a_lost_second_try_is_repeated() -> None:
    pair = Pair(endpoint("left", ike_proposals=(BOTH,)), endpoint("right", ike_proposals=(FIRST,)))
    pair.start(pair.left)
    pair.run(1)
    (policy,) = pair.right.policy.policies
    pair.right.policy = replace(pair.right.policy, policies=(replace(policy, proposals=(SECOND,)),))
    pair.loses = lambda n, _d: n == 6
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(20)
    assert agree(pair) and pair.ike(pair.left).group == 15


def test_a_group_that_was_not_offered_or_a_second_demand_ends_the_rekey() -> None:
    pair = rekeyed((ike("aes-cbc-256", "sha512", "sha512", 16),))
    assert pair.causes("left", "rekey_failed") == ["no IKE proposal in common"]
    assert pair.ike(pair.left).generation == 0 and agree(pair)


def test_a_responder_that_changes_its_mind_again_is_not_followed() -> None:
    pair = Pair(endpoint("left", ike_proposals=(BOTH,)), endpoint("right", ike_proposals=(FIRST,)))
    pair.start(pair.left)
    pair.run(1)
    (policy,) = pair.right.policy.policies
    told = [replace(pair.right.policy, policies=(replace(policy, proposals=(p,)),)) for p in (SECOND, FIRST)]
    receive = pair.right.receive

    def fickle(datagram: Datagram, now: int) -> Step:
        if datagram.message.exchange is Exchange.CREATE_CHILD_SA and told:
            pair.right.policy = told.pop(0)
        return receive(datagram, now)

    pair.right.receive = fickle  # type: ignore[method-assign]
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(nanoseconds(5) / 1e9)
    assert pair.causes("left", "rekey_failed") == ["no IKE proposal in common"]
    assert agree(pair) and RIGHT in {sa.remote for sa in pair.left.sas.values()}
