"""Child SAs by CREATE_CHILD_SA that replace none, and IKE SAs without one (RFC 7296 1.3.1, RFC 6023)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import PAPER_ESP, Pair, endpoint, mirrored

from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.message import Exchange
from flexvpn_sim.models.ikev2.operations import DhShared, InstallSa
from flexvpn_sim.models.ikev2.payloads import ANY_IPV6, KePayload
from flexvpn_sim.models.ikev2.policy import ChildPolicy
from flexvpn_sim.models.ikev2.proposals import EspProposal
from flexvpn_sim.models.ikev2.sa import Task

WITH_PFS = ChildPolicy((replace(PAPER_ESP, groups=(19,)),), 3600)


def childless(implementation: str = "strongswan", child: ChildPolicy | None = None) -> Endpoint:
    """Return an initiator that wants its IKE SA first."""
    end = endpoint("left", implementation, child=child)
    return Endpoint(replace(end.policy, tunnels=(replace(end.policy.tunnels[0], childless=True),)), end.implementation)


def up(left: Endpoint, right: Endpoint, until_s: float = 1) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(until_s)
    return pair


def children(pair: Pair) -> list[int]:
    return [len(pair.children(end)) for end in (pair.left, pair.right)]


def change_child(end: Endpoint, **changes: object) -> None:
    """Tell an end something new about the Child SAs of its tunnel."""
    (tunnel,) = end.policy.tunnels
    child = replace(tunnel.child, **changes)  # type: ignore[arg-type]
    end.policy = replace(end.policy, tunnels=(replace(tunnel, child=child),))


@pytest.mark.parametrize("asks", ["left", "right"])
def test_either_end_may_ask_for_a_second_child_sa(asks: str) -> None:
    pair = up(endpoint("left", child=WITH_PFS), endpoint("right", child=WITH_PFS))
    pair.ask(getattr(pair, asks), Task("new child"))
    pair.run(2)
    assert children(pair) == [2, 2] and mirrored(pair) == 2
    for side in ("left", "right"):
        # The first one comes with IKE_AUTH and has no key exchange of its own.
        assert sum(o == DhShared(19) for o in pair.operations[side]) == 1
        assert sum(isinstance(o, InstallSa) for o in pair.operations[side]) == 2


def test_each_of_two_child_sas_is_rekeyed_and_deleted_by_itself() -> None:
    pair = up(endpoint("left"), endpoint("right"))
    pair.ask(pair.left, Task("new child"))
    pair.run(2)
    first, second = pair.children(pair.left)
    pair.ask(pair.left, Task("rekey child", first))
    pair.run(3)
    assert children(pair) == [2, 2] and second in pair.children(pair.left)
    pair.ask(pair.left, Task("delete child", second))
    pair.run(4)
    assert children(pair) == [1, 1] and mirrored(pair) == 1


@pytest.mark.parametrize(
    ("changes", "notify", "cause"),
    [
        ({"proposals": (EspProposal(("3des",), ("sha1",)),)}, "NO_PROPOSAL_CHOSEN", "no IPsec proposal in common"),
        ({"local_selectors": (ANY_IPV6,)}, "TS_UNACCEPTABLE", "traffic selectors differ"),
    ],
)
def test_a_refused_second_child_sa_leaves_the_first_one(changes: dict[str, object], notify: str, cause: str) -> None:
    pair = up(endpoint("left"), endpoint("right"))
    change_child(pair.right, **changes)
    pair.ask(pair.left, Task("new child"))
    pair.run(2)
    assert children(pair) == [1, 1]
    assert pair.log[-1].datagram.message.notify(notify) is not None
    assert pair.causes("left", "attempt_failed") == [cause]


BOTH_GROUPS = ChildPolicy((replace(PAPER_ESP, groups=(14, 19)),), 3600)


@pytest.mark.parametrize("kind", ["new child", "rekey child"])
def test_the_group_that_the_responder_demands_is_tried_next(kind: str) -> None:
    pair = up(endpoint("left", child=BOTH_GROUPS), endpoint("right", child=WITH_PFS))
    rekeyed = pair.child(pair.left) if kind == "rekey child" else None
    pair.ask(pair.left, Task(kind, rekeyed))  # type: ignore[arg-type]
    pair.run(2)
    groups = [p.group for line in pair.log[4:] for p in line.datagram.message.all(KePayload)]
    assert groups == [14, 19, 19]
    refusal = pair.log[5].datagram.message.notify("INVALID_KE_PAYLOAD")
    assert refusal is not None and refusal.value == 19
    count = 2 if kind == "new child" else 1
    assert children(pair) == [count] * 2 and mirrored(pair) == count
    assert pair.children(pair.left)[-1].suite.group == 19


@pytest.mark.parametrize("kind", ["new child", "rekey child"])
def test_a_responder_that_demands_one_group_after_the_other_is_given_up(kind: str) -> None:
    pair = up(endpoint("left", child=BOTH_GROUPS), endpoint("right", child=WITH_PFS))
    wanted = [19, 14]

    def change_mind() -> None:
        demands = sum(line.datagram.message.notify("INVALID_KE_PAYLOAD") is not None for line in pair.log)
        change_child(pair.right, proposals=(replace(PAPER_ESP, groups=(wanted[min(demands, 1)],)),))
        for child in pair.children(pair.right):
            child.policy = pair.right.policy.tunnels[0].child

    pair.watch = change_mind
    rekeyed = pair.child(pair.left) if kind == "rekey child" else None
    pair.ask(pair.left, Task(kind, rekeyed))  # type: ignore[arg-type]
    pair.run(5)
    assert [p.group for line in pair.log[4:] for p in line.datagram.message.all(KePayload)] == [14, 19]
    assert children(pair) == [1, 1] and mirrored(pair) == 1
    assert ("attempt_failed" if kind == "new child" else "rekey_failed") in pair.kinds("left")


def test_a_request_that_meets_a_rekey_of_the_ike_sa_is_tried_again_on_the_new_one() -> None:
    pair = up(endpoint("left"), endpoint("right"))
    pair.ask(pair.right, Task("rekey ike"))
    pair.ask(pair.left, Task("new child"))
    pair.run(60)
    answers = [line.datagram.message.notify("TEMPORARY_FAILURE") for line in pair.log]
    assert any(answers)
    assert children(pair) == [2, 2] and mirrored(pair) == 2
    assert pair.ike(pair.left).generation == 1


def test_a_childless_set_up_makes_the_child_sa_afterwards() -> None:
    pair = up(childless(), endpoint("right"))
    names = [line.datagram.message.exchange for line in pair.log]
    assert names == [Exchange.IKE_SA_INIT] * 2 + [Exchange.IKE_AUTH] * 2 + [Exchange.CREATE_CHILD_SA] * 2
    for line in pair.log[2:4]:
        assert not {"SA", "TSi", "TSr"} & {p.name for p in line.datagram.message.payloads}
    assert children(pair) == [1, 1] and mirrored(pair) == 1


def test_the_child_sa_of_a_childless_set_up_may_have_its_own_key_exchange() -> None:
    pair = up(childless(child=WITH_PFS), endpoint("right", child=WITH_PFS))
    assert pair.child(pair.left).suite.group == pair.child(pair.right).suite.group == 19


def test_a_responder_that_does_not_announce_it_gets_an_ordinary_request() -> None:
    pair = up(childless(), endpoint("right", "ios-xe-16.9"))
    assert [line.datagram.message.exchange for line in pair.log[2:]] == [Exchange.IKE_AUTH] * 2
    assert children(pair) == [1, 1]


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(lost=st.sets(st.integers(0, 20), max_size=5))
def test_whatever_is_lost_of_a_childless_set_up_both_ends_agree_in_the_end(lost: set[int]) -> None:
    pair = Pair(childless(), endpoint("right"), loses=lambda n, _d: n in lost)
    pair.start(pair.left)
    pair.run(300)
    assert children(pair) == [1, 1] and mirrored(pair) == 1
