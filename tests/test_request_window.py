"""Request windows above one (RFC 7296 2.3): several requests on their way, lost, repeated and out of order.

The left end asks. Work takes no time unless a test says so; a round trip is 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import Pair, agree, changed, endpoint, mirrored, spi_pairs

from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.message import Datagram, Exchange, Message
from flexvpn_sim.models.ikev2.payloads import NotifyPayload
from flexvpn_sim.models.ikev2.policy import ChildPolicy, DpdPolicy
from flexvpn_sim.models.ikev2.proposals import EspProposal
from flexvpn_sim.models.ikev2.sa import ChildSa, IkeSa, Task, TaskKind
from flexvpn_sim.models.ikev2.states import State
from flexvpn_sim.models.ikev2.window import heed
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.ios.reader import parse_router
from flexvpn_sim.models.ios.to_ikev2 import to_ikev2
from flexvpn_sim.models.values import Ledger

IOS, STRONGSWAN = "ios-xe-16.9", "strongswan"
#: When the left end of `tunnels` is asked for something. [s]
START_S = 2.0
#: How long IOS waits before it repeats a request (assumed in its profile). [s]
REPEAT_S = 2.0
#: Of the requests that the left end sends from `START_S` on: IKE_SA_INIT, IKE_AUTH and two more came first.
FIRST_ID = 4


def ios(window: int, side: str, **both: object) -> Endpoint:
    return endpoint(side, changed(IOS, values={"window": window}), **both)  # type: ignore[arg-type]


def tunnels(left: Endpoint, right: Endpoint, children: int = 3) -> Pair:
    """Return two ends with this many Child SAs, at `START_S`, with an empty log."""
    pair = Pair(left, right)
    pair.start(left)
    pair.run(1)
    for _ in range(children - 1):
        pair.ask(left, Task("new child"))
        pair.run(pair.now / 1e9 + 0.1)
    pair.run(START_S)
    assert len(pair.children(left)) == mirrored(pair) == children
    pair.log.clear()
    pair.events.clear()
    pair.steps.clear()
    return pair


def windowed(window: int = 5, children: int = 3) -> Pair:
    return tunnels(ios(window, "left"), ios(window, "right"), children)


def ask(pair: Pair, *tasks: Task) -> None:
    """Let the left end do several tasks that become due at one instant."""
    sa = pair.ike(pair.left)
    sa.tasks.extend(tasks)
    pair.left.advance(sa)
    pair.take(pair.left, pair.left.on_timer(pair.now))
    pair.run(pair.now / 1e9)


def rekey_all(pair: Pair) -> list[ChildSa]:
    old = list(pair.ike(pair.left).children.values())
    ask(pair, *(Task("rekey child", child) for child in old))
    return old


def after_s(pair: Pair, name: str, kind: str) -> list[float]:
    """Return how long after `START_S` events of one kind happened."""
    return [round(t - START_S, 9) for t in pair.times_s(name, kind)]


def sent(pair: Pair, name: str, *, response: bool = False) -> list[tuple[float, int]]:
    """Return when after `START_S` an end sent something, and its message ID."""
    return [
        (round(line.time_s - START_S, 9), line.datagram.message.message_id)
        for line in pair.log
        if line.sender == name and line.datagram.message.response == response
    ]


def settled(pair: Pair) -> bool:
    """Return whether both ends have the same SAs, and nothing that is still to come."""
    ends = (pair.left, pair.right)
    spis = [{(sa.spi_i, sa.spi_r) for sa in end.sas.values()} for end in ends]
    sas = [sa for end in ends for sa in end.sas.values()]
    idle = all(
        sa.state is State.ESTABLISHED
        and not (sa.outstanding or sa.tasks or sa.inbox or sa.busy or sa.pieces)
        and not any(name == "retransmit" for name, _ in sa.timers)
        for sa in sas
    )
    return (
        idle
        and spis[0] == spis[1]
        and spi_pairs(pair, pair.left) == {(o, i) for i, o in spi_pairs(pair, pair.right)}
        and pair.right.half_open_count() == pair.left.half_open_count() == 0
    )


# -- How long it takes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "requests_s", "installed_s", "deleted_s"),
    [
        # One after the other: three rekeys, then three Deletes of what they replaced.
        ((IOS, 1), (IOS, 1), [0, 0.02, 0.04, 0.06, 0.08, 0.1], [0.02, 0.04, 0.06], [0.08, 0.1, 0.12]),
        ((IOS, 5), (IOS, 1), [0, 0.02, 0.04, 0.06, 0.08, 0.1], [0.02, 0.04, 0.06], [0.08, 0.1, 0.12]),
        ((STRONGSWAN, 1), (STRONGSWAN, 1), [0, 0.02, 0.04, 0.06, 0.08, 0.1], [0.02, 0.04, 0.06], [0.08, 0.1, 0.12]),
        # An end that knows no windows makes no use of its peer's.
        ((STRONGSWAN, 1), (IOS, 5), [0, 0.02, 0.04, 0.06, 0.08, 0.1], [0.02, 0.04, 0.06], [0.08, 0.1, 0.12]),
        # Two at a time: the third rekey when the first is answered; its Delete has its turn after the others.
        ((IOS, 2), (IOS, 2), [0, 0, 0.02, 0.02, 0.04, 0.04], [0.02, 0.02, 0.04], [0.04, 0.06, 0.06]),
        ((IOS, 5), (IOS, 5), [0, 0, 0, 0.02, 0.02, 0.02], [0.02, 0.02, 0.02], [0.04, 0.04, 0.04]),
        ((IOS, 1), (IOS, 3), [0, 0, 0, 0.02, 0.02, 0.02], [0.02, 0.02, 0.02], [0.04, 0.04, 0.04]),
    ],
)
def test_three_rekeys_at_once_take_as_many_round_trips_as_the_peers_window_makes_them(
    left: tuple[str, int],
    right: tuple[str, int],
    requests_s: list[float],
    installed_s: list[float],
    deleted_s: list[float],
) -> None:
    ends = [
        endpoint(side, changed(name, values={"window": window}))
        for side, (name, window) in (("left", left), ("right", right))
    ]
    pair = tunnels(ends[0], ends[1])
    rekey_all(pair)
    pair.run(10)
    assert [t for t, _ in sent(pair, "left")] == requests_s
    assert after_s(pair, "left", "child_installed") == installed_s
    assert after_s(pair, "left", "child_deleted") == deleted_s
    assert len(pair.children(pair.left)) == 3 and settled(pair)


@pytest.mark.parametrize(("window", "installed_s"), [(1, [0.025, 0.05, 0.075]), (5, [0.025, 0.028, 0.031])])
def test_work_of_one_sa_is_done_one_piece_after_the_other_whatever_the_window(
    window: int, installed_s: list[float]
) -> None:
    # A request takes 3 ms to make, everything else 1 ms: 3 + 10 + 1 + 10 + 1 ms for one exchange.
    pair = windowed(window)
    pair.work_s = lambda step: 0.003 if step.startswith("CREATE_CHILD_SA request") else 0.001
    rekey_all(pair)
    pair.run(10)
    assert after_s(pair, "left", "child_installed") == installed_s
    assert settled(pair)


def test_both_ends_know_what_the_other_has_announced_once_they_are_authenticated() -> None:
    pair = Pair(ios(5, "left"), ios(3, "right"))
    pair.start(pair.left)
    pair.run(1)
    left, right = pair.ike(pair.left), pair.ike(pair.right)
    assert (left.local_window, left.remote_window) == (5, 3)
    assert (right.local_window, right.remote_window) == (3, 5)


def test_the_configuration_sets_the_window() -> None:
    lines = Path("hub.cfg"), "hostname HUB\ncrypto ikev2 window 3\n"
    implementation = Implementation(load_implementation(IOS), Ledger())
    assert to_ikev2(parse_router(lines[1], lines[0]), implementation).policy.request_window == 3
    assert to_ikev2(parse_router("hostname HUB\n", lines[0]), implementation).policy.request_window is None
    left, right = ios(5, "left"), ios(5, "right")
    left.policy = replace(left.policy, request_window=3)
    right.policy = replace(right.policy, request_window=20)
    pair = tunnels(left, right)
    assert (pair.ike(left).local_window, pair.ike(left).remote_window) == (3, 20)
    assert (pair.ike(right).local_window, pair.ike(right).remote_window) == (20, 3)


def test_an_announced_window_may_only_grow() -> None:
    pair = windowed(4)
    sa = pair.ike(pair.left)
    seen = []
    for announced in (2, 6, 5):
        notify = NotifyPayload("SET_WINDOW_SIZE", 4, value=announced)
        heed(pair.left, sa, Message(Exchange.INFORMATIONAL, sa.spi_i, sa.spi_r, 9, False, False, (notify,), sa.suite))
        seen.append(sa.remote_window)
    assert seen == [4, 6, 6]


def test_the_window_is_one_again_after_a_rekey_of_the_ike_sa() -> None:
    pair = windowed(5)
    ask(pair, Task("rekey ike"))
    pair.run(START_S + 1)
    pair.log.clear()
    rekey_all(pair)
    pair.run(START_S + 10)
    assert [t for t, _ in sent(pair, "left")] == [1.0, 1.02, 1.04, 1.06, 1.08, 1.1]
    assert settled(pair)


# -- What travels beside what ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("new child", "new child", 2),
        ("rekey 0", "rekey 1", 2),
        ("rekey 0", "rekey 0", 1),
        ("rekey 0", "delete child 0", 1),
        ("delete child 0", "rekey 1", 2),
        ("delete child 0", "delete child 0", 1),
        ("delete child 0", "delete child 1", 2),
        ("dpd", "rekey 0", 2),
        ("rekey 0", "dpd", 1),
        ("rekey 0", "rekey ike", 1),
        ("rekey ike", "rekey 0", 1),
        ("rekey ike", "rekey ike", 1),
        ("rekey ike", "dpd", 1),
        ("redirect", "redirect", 1),
        ("redirect", "rekey 0", 2),
        ("new child", "delete ike", 1),
        ("delete ike", "new child", 1),
    ],
)
def test_only_exchanges_that_do_not_touch_the_same_thing_travel_together(
    first: str, second: str, together: int
) -> None:
    pair = windowed(5)
    children = list(pair.ike(pair.left).children.values())

    def task(text: str) -> Task:
        words = text.split()
        if not words[-1].isdigit():
            return Task(text, address=IPv4Address("10.3.0.1"))  # type: ignore[arg-type]
        return Task("rekey child" if words[0] == "rekey" else "delete child", children[int(words[-1])])

    ask(pair, task(first), task(second))
    assert sent(pair, "left") == [(0.0, FIRST_ID), (0.0, FIRST_ID + 1)][:together]
    pair.run(20)
    assert settled(pair) or first == "delete ike" or second == "delete ike"


def test_a_rekey_of_the_ike_sa_waits_for_what_is_on_its_way_and_takes_the_rest_with_it() -> None:
    pair = windowed(5)
    first, second, third = pair.ike(pair.left).children.values()
    tasks = [Task("rekey child", first), Task("rekey ike"), Task("rekey child", second), Task("rekey child", third)]
    ask(pair, *tasks)
    pair.run(10)
    requests = [line for line in pair.log if line.sender == "left" and not line.datagram.message.response]
    kinds = [(line.time_s - START_S, line.datagram.message.exchange.name) for line in requests]
    assert kinds[:2] == [(0.0, "CREATE_CHILD_SA"), (pytest.approx(0.02), "CREATE_CHILD_SA")]
    # On the new IKE SA both rekeys, the Delete of the first Child SA, and the Deletes of the other two.
    new = [r.datagram.message for r in requests if r.datagram.message.spi_i == pair.ike(pair.left).spi_i]
    assert [m.message_id for m in new] == [0, 1, 2, 3, 4]
    assert settled(pair) and len(pair.children(pair.left)) == 3


def test_the_peers_rekey_of_the_ike_sa_is_put_off_while_any_of_several_requests_is_open() -> None:
    pair = windowed(5)
    rekey_all(pair)
    sa = pair.ike(pair.right)
    pair.ask(pair.right, Task("rekey ike"), sa)
    pair.run(START_S + 0.5)
    refusals = [
        (line.sender, line.datagram.message.message_id)
        for line in pair.log
        if line.datagram.message.notify("TEMPORARY_FAILURE") is not None
    ]
    # Each end refuses what the other has asked for.
    assert sorted(refusals) == [("left", 0), *(("right", FIRST_ID + k) for k in range(3))]
    pair.run(60)
    assert settled(pair) and len(pair.children(pair.left)) == 3
    assert pair.ike(pair.left).generation == 1


def test_the_peers_new_child_sa_is_not_rekeyed_before_it_is_decided_whether_it_stays() -> None:
    pair = windowed(5, children=1)
    old = pair.child(pair.left)
    # Both ends rekey it; the left end learns late how it ends.
    pair.copies = lambda n, _d: (0.5 if n > 1 and pair.log[n].sender == "right" else 0.0,)
    right = pair.ike(pair.right)
    right.tasks.append(Task("rekey child", pair.child(pair.right)))
    pair.right.advance(right)
    ask(pair, Task("rekey child", old))
    pair.take(pair.right, pair.right.on_timer(pair.now))
    pair.run(START_S + 0.1)
    assert old.collision is not None and old.rekeying
    ask(pair, Task("rekey child", old.collision[0]))
    assert len(sent(pair, "left")) == 1
    pair.run(20)
    assert settled(pair) and len(pair.children(pair.left)) == 1


def test_a_rekey_of_a_child_sa_that_is_still_being_made_is_put_off_not_refused_for_good() -> None:
    pair = windowed(5, children=1)
    # The right end has answered, and rekeys at once what it has made; its answer comes a second later.
    pair.copies = lambda n, _d: (1.0 if n == 1 else 0.0,)
    ask(pair, Task("new child"))
    pair.run(START_S + 0.1)
    new = next(c for c in pair.children(pair.right) if c.installed_ns > START_S * 1e9)
    pair.ask(pair.right, Task("rekey child", new))
    pair.run(START_S + 0.2)
    assert pair.log[-1].datagram.message.notify("TEMPORARY_FAILURE") is not None
    pair.run(60)
    assert settled(pair) and len(pair.children(pair.left)) == 2
    assert new not in pair.children(pair.right)


# -- Losses and reordering -------------------------------------------------------------------------------------


def test_requests_that_overtake_each_other_are_answered_as_they_come() -> None:
    pair = windowed()
    # The first of the three takes 5 ms more.
    pair.copies = lambda n, _d: (0.005 if n == 0 else 0.0,)
    rekey_all(pair)
    pair.run(10)
    assert sent(pair, "right", response=True)[:3] == [(0.01, FIRST_ID + 1), (0.01, FIRST_ID + 2), (0.015, FIRST_ID)]
    assert after_s(pair, "left", "child_installed") == [0.02, 0.02, 0.025]
    assert len(sent(pair, "left")) == 6
    assert settled(pair)


def test_responses_that_overtake_each_other_are_taken_as_they_come() -> None:
    pair = windowed()
    pair.copies = lambda n, _d: (0.005 if n == 3 else 0.0,)
    rekey_all(pair)
    pair.run(10)
    assert after_s(pair, "left", "child_installed") == [0.02, 0.02, 0.025]
    assert settled(pair)


def test_a_lost_request_holds_up_no_other_and_is_repeated_alone() -> None:
    pair = windowed()
    pair.loses = lambda n, _d: n == 1
    rekey_all(pair)
    pair.run(10)
    assert after_s(pair, "left", "child_installed") == [0.02, 0.02, REPEAT_S + 0.02]
    repeated = [line.datagram for line in pair.log if line.datagram.transmission]
    assert [(d.message.message_id, d.message.response) for d in repeated] == [(FIRST_ID + 1, False)]
    # The Deletes of the other two go on meanwhile: the oldest request is less than a window behind.
    assert after_s(pair, "left", "child_deleted") == [0.04, 0.04, REPEAT_S + 0.04]
    assert settled(pair)


def test_a_lost_request_stops_the_others_where_the_window_ends() -> None:
    pair = windowed(children=7)
    pair.loses = lambda n, _d: n == 0
    rekey_all(pair)
    pair.run(10)
    ids = [message_id for t, message_id in sent(pair, "left") if t < REPEAT_S]
    first = ids[0]
    assert ids == [first + k for k in range(5)]
    assert after_s(pair, "left", "child_installed") == [0.02] * 4 + [REPEAT_S + 0.02, REPEAT_S + 0.04, REPEAT_S + 0.04]
    assert settled(pair)


def test_a_lost_response_is_sent_again_from_the_cache_and_nothing_is_made_twice() -> None:
    pair = windowed()
    pair.loses = lambda n, _d: n == 4
    rekey_all(pair)
    pair.run(10)
    assert after_s(pair, "left", "child_installed") == [0.02, 0.02, REPEAT_S + 0.02]
    assert after_s(pair, "right", "child_installed") == [0.01, 0.01, 0.01]
    assert pair.steps.count("right: repeat response") == 1
    assert settled(pair)


def test_a_request_that_overtook_one_that_is_still_missing_is_answered_again_from_the_cache() -> None:
    pair = windowed(children=2)

    def loses(_n: int, datagram: Datagram) -> bool:
        message, sends = datagram.message, datagram.transmission
        return (message.message_id - FIRST_ID + 1, message.response, sends) in {
            (0, False, 0),
            (0, False, 1),
            (1, True, 0),
        }

    pair.loses = loses
    rekey_all(pair)
    pair.run(20)
    # At 2 s both are repeated: the older one is lost once more, the other one was answered at 0.01 s already.
    assert after_s(pair, "right", "child_installed") == [0.01, 3 * REPEAT_S + 0.01]
    assert after_s(pair, "left", "child_installed") == [REPEAT_S + 0.02, 3 * REPEAT_S + 0.02]
    assert pair.steps.count("right: repeat response") == 1
    assert settled(pair)


@pytest.mark.parametrize(("age", "answered"), [(0, True), (4, True), (5, False), (6, False)])
def test_as_many_responses_are_kept_as_the_window_promises(age: int, answered: bool) -> None:
    pair = windowed(children=2)
    requests: list[Datagram] = []
    for _ in range(8):
        ask(pair, Task("dpd"))
        pair.run(pair.now / 1e9 + 0.1)
        requests = [x.datagram for x in pair.log if x.sender == "left" and not x.datagram.message.response]
    assert len(pair.ike(pair.right).responses) == 5
    pair.log.clear()
    again = replace(requests[-1 - age], transmission=1)
    pair.take(pair.right, pair.right.receive(again, pair.now))
    pair.run(pair.now / 1e9 + 0.1)
    assert [m for _, m in sent(pair, "right", response=True)] == [again.message.message_id] * answered


def test_a_copy_of_a_request_that_is_being_worked_on_or_waits_is_dropped() -> None:
    pair = windowed()
    pair.work_s = lambda step: 0.1 if step == "CREATE_CHILD_SA response" else 0.0
    pair.copies = lambda n, _d: (0.0, 0.001, 0.002) if n < 3 else (0.0,)
    rekey_all(pair)
    pair.run(10)
    assert len(pair.children(pair.right)) == 3 and settled(pair)
    assert len(sent(pair, "right", response=True)) == 6


def test_a_request_beyond_the_window_is_ignored_until_it_is_inside() -> None:
    pair = windowed(children=6)
    sa = pair.ike(pair.left)
    first = sa.next_request_id
    # It takes more than it may, and the oldest of its requests is late.
    sa.remote_window = 6
    pair.copies = lambda n, _d: (0.005 if n == 0 else 0.0,)
    rekey_all(pair)
    assert [m for _, m in sent(pair, "left")] == [first + k for k in range(6)]
    pair.run(START_S + 0.012)
    assert sorted(m for _, m in sent(pair, "right", response=True)) == [first + k for k in (1, 2, 3, 4)]
    pair.run(START_S + 1)
    assert first + 5 not in [m for _, m in sent(pair, "right", response=True)]
    pair.run(10)
    assert after_s(pair, "left", "child_installed")[-1] == REPEAT_S + 0.02
    assert settled(pair)


def test_a_half_open_responder_takes_no_request_but_the_next() -> None:
    pair = Pair(ios(5, "left"), ios(5, "right"))
    pair.start(pair.left)
    pair.run(0.025)
    sa = pair.ike(pair.left)
    auth = pair.log[2].datagram
    assert auth.message.message_id == 1 and sa.suite is not None
    early = Message(Exchange.INFORMATIONAL, sa.spi_i, sa.spi_r, 2, False, True, (), sa.suite)
    before = pair.ike(pair.right).expected_request_id
    assert pair.right.receive(replace(auth, message=early), pair.now).works == []
    assert pair.ike(pair.right).expected_request_id == before == 1
    pair.run(1)
    assert agree(pair)


def test_each_request_has_its_own_timer_and_the_first_that_gives_up_ends_the_sa() -> None:
    pair = windowed()
    pair.loses = lambda _n, d: not d.message.response
    rekey_all(pair)
    pair.run(500)
    times = [t for t, _ in sent(pair, "left")]
    # 2, 4, 8 .. s; all three at the same instants, until the IKE SA is closed and the tunnel begins afresh.
    assert times[:18] == [t for t in (0.0, 2.0, 6.0, 14.0, 30.0, 62.0) for _ in range(3)]
    assert after_s(pair, "left", "ike_closed") == [126.0]
    assert pair.causes("left", "ike_closed") == ["no answer"]


def test_fragments_of_several_requests_are_kept_apart() -> None:
    both = {"fragmentation": True, "fragment_bytes": 200}
    pair = tunnels(ios(5, "left", **both), ios(5, "right", **both))
    # The pieces of all three requests arrive in the opposite order, each on its own.
    pair.copies = lambda n, _d: (max(0.0, 0.009 - n / 1000),)
    rekey_all(pair)
    assert [(line.datagram.message.message_id - FIRST_ID, line.datagram.fragment) for line in pair.log] == [
        (request, piece) for request in range(3) for piece in (1, 2)
    ]
    pair.run(20)
    assert settled(pair) and len(pair.children(pair.left)) == 3
    assert not any(line.datagram.transmission for line in pair.log)


def test_each_of_several_long_requests_is_tried_in_smaller_pieces() -> None:
    both = {"fragmentation": True, "fragment_bytes": 1400}
    child = ChildPolicy((EspProposal(("aes-cbc-256",), ("sha512",), groups=(16,)),), 3600)
    left, right = (ios(5, side, child=child, **both) for side in ("left", "right"))
    left.policy = replace(left.policy, smaller_fragments_after=1)
    pair = tunnels(left, right)
    pair.loses = lambda _n, d: d.ip_len > 576
    rekey_all(pair)
    pair.run(20)
    assert after_s(pair, "left", "child_installed") == [REPEAT_S + 0.02] * 3
    assert settled(pair)


# -- Anything --------------------------------------------------------------------------------------------------


class Rules:
    """What must hold after everything that happens."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def __call__(self) -> None:
        for end in (self.pair.left, self.pair.right):
            for sa in end.sas.values():
                self.of_requests(sa)
                assert len(sa.responses) <= sa.local_window
                assert all(m < sa.expected_request_id + sa.local_window for m in sa.responses)

    @staticmethod
    def of_requests(sa: IkeSa) -> None:
        if not sa.outstanding:
            return
        assert sa.next_request_id - min(sa.outstanding) <= sa.remote_window
        assert list(sa.outstanding) == sorted(sa.outstanding)
        kinds = [o.kind for o in sa.outstanding.values()]
        if {"rekey ike", "delete ike", "init", "auth"} & set(kinds):
            assert len(kinds) == 1
        assert kinds.count("dpd") <= 1


def act(pair: Pair, side: str, kind: TaskKind, which: int) -> None:
    """Let an end begin something on the newest of its IKE SAs, if it has one."""
    end: Endpoint = getattr(pair, side)
    sas = [sa for sa in end.sas.values() if sa.state is State.ESTABLISHED]
    if not sas:
        return
    sa = sas[-1]
    children = list(sa.children.values())
    if kind == "delete child":
        # A Delete of what the peer does not know yet comes to nothing; that race is not of the window's making.
        known = {(o, i) for i, o in spi_pairs(pair, pair.right if side == "left" else pair.left)}
        children = [c for c in children if (c.spi_in, c.spi_out) in known]
    child = children[which % len(children)] if children else None
    if child is not None or kind not in ("rekey child", "delete child"):
        pair.ask(end, Task(kind, child if kind in ("rekey child", "delete child") else None), sa)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["left", "right"]),
        st.sampled_from(["rekey child", "rekey child", "rekey ike", "dpd", "delete child", "new child", "delete ike"]),
        st.integers(0, 3),
        # Mostly at the same instant.
        st.one_of(st.just(0.0), st.floats(0, 0.03), st.floats(0, 5)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    windows=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    actions=ACTIONS,
    lost=st.sets(st.integers(0, 60), max_size=25),
    late_s=st.dictionaries(st.integers(0, 60), st.floats(0, 3), max_size=15),
    copies=st.dictionaries(st.integers(0, 60), st.floats(0, 20), max_size=10),
    durations_s=st.lists(st.floats(0, 0.03), min_size=1, max_size=5),
)
def test_whatever_is_lost_late_or_doubled_both_ends_agree_in_the_end(
    windows: tuple[int, int],
    actions: list[tuple[str, TaskKind, int, float]],
    lost: set[int],
    late_s: dict[int, float],
    copies: dict[int, float],
    durations_s: list[float],
) -> None:
    dpd = DpdPolicy(20, 3, periodic=True)
    pair = tunnels(ios(windows[0], "left", dpd=dpd), ios(windows[1], "right", dpd=dpd))
    number = [0]

    def duration_s(_step: str) -> float:
        number[0] += 1
        return durations_s[number[0] % len(durations_s)]

    def arrivals_s(n: int, _datagram: Datagram) -> Sequence[float]:
        return (late_s.get(n, 0.0), *([copies[n]] if n in copies else []))

    pair.work_s, pair.copies = duration_s, arrivals_s
    pair.loses = lambda n, _d: n in lost
    pair.watch = Rules(pair)
    for side, kind, which, pause_s in actions:
        act(pair, side, kind, which)
        pair.run(pair.now / 1e9 + pause_s)
    # Long enough to give up (126 s), to begin afresh (30 s) and to miss a peer that has given up (DPD).
    pair.run(pair.now / 1e9 + 700)
    assert between_probes(pair)
    assert len(pair.left.sas) <= 1


def between_probes(pair: Pair) -> bool:
    """Return whether both ends agree within 20 s, at a moment when no probe is on its way."""
    for _ in range(30):
        if settled(pair):
            return True
        pair.run(pair.now / 1e9 + 0.7)
    return False


@settings(max_examples=100, deadline=None)
@given(
    windows=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    actions=st.lists(
        st.tuples(
            st.sampled_from(["left", "right"]),
            st.sampled_from(["rekey child", "rekey child", "rekey ike"]),
            st.integers(0, 3),
            st.one_of(st.just(0.0), st.floats(0, 0.05)),
        ),
        min_size=1,
        max_size=8,
    ),
    late_s=st.lists(st.floats(0, 0.05), min_size=1, max_size=9),
)
def test_rekeys_in_any_order_never_leave_a_tunnel_without_a_child_sa_that_both_ends_have(
    windows: tuple[int, int], actions: list[tuple[str, TaskKind, int, float]], late_s: list[float]
) -> None:
    pair = tunnels(ios(windows[0], "left"), ios(windows[1], "right"))
    counts: list[int] = []
    rules: Callable[[], None] = Rules(pair)

    def watch() -> None:
        rules()
        counts.append(mirrored(pair))

    pair.watch = watch
    pair.copies = lambda n, _d: (late_s[n % len(late_s)],)
    for side, kind, which, pause_s in actions:
        act(pair, side, kind, which)
        pair.run(pair.now / 1e9 + pause_s)
    pair.run(200)
    assert min(counts) >= 3
    assert settled(pair) and len(pair.children(pair.left)) == 3
