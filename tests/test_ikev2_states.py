"""The state table of an IKE SA: what is allowed, what is not, and the diagram that is drawn from it."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from pair import Pair, endpoint

from flexvpn_sim.models.ikev2.sa import IkeSa, Task
from flexvpn_sim.models.ikev2.states import TRANSITIONS, LocalProtocolError, State, Trigger, mermaid, next_state

PAGE = Path(__file__).parents[1] / "docs" / "ikev2_states.md"
ILLEGAL = [(state, trigger) for state in State for trigger in Trigger if (state, trigger) not in TRANSITIONS]


def sa_in(state: State) -> IkeSa:
    sa = IkeSa(1, IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1"), True, 0, 1)
    sa.state = state
    return sa


@pytest.mark.parametrize(("state", "trigger"), ILLEGAL, ids=lambda part: part.name)
def test_an_illegal_transition_raises_an_error_and_nothing_changes(state: State, trigger: Trigger) -> None:
    sa = sa_in(state)
    before = repr(sa)
    with pytest.raises(LocalProtocolError, match=f"an IKE SA that is {state.value} cannot: {trigger.value}"):
        sa.move(trigger)
    assert repr(sa) == before


@pytest.mark.parametrize(("state", "trigger"), TRANSITIONS, ids=lambda part: part.name)
def test_a_legal_transition_leads_to_the_state_of_the_table(state: State, trigger: Trigger) -> None:
    sa = sa_in(state)
    sa.move(trigger)
    assert sa.state is TRANSITIONS[state, trigger][0]


def test_every_state_can_be_reached_from_idle() -> None:
    reached, waiting = {State.IDLE}, [State.IDLE]
    while waiting:
        state = waiting.pop()
        following = {target for (source, _), (target, _) in TRANSITIONS.items() if source is state}
        waiting += following - reached
        reached |= following
    assert reached == set(State)


def test_every_state_but_closed_can_be_left_and_closed_is_final() -> None:
    left = {source for source, _ in TRANSITIONS}
    assert left == set(State) - {State.CLOSED}
    assert all(next_state(state, Trigger.CLOSE) is State.CLOSED for state in left)


def test_a_tunnel_that_is_set_up_rekeyed_and_deleted_passes_through_every_state() -> None:
    pair = Pair(endpoint("left"), endpoint("right"), work_s=lambda _step: 0.001)
    seen: set[State] = set()
    known: dict[int, IkeSa] = {}

    def watch() -> None:
        for end in (pair.left, pair.right):
            known.update((id(sa), sa) for sa in end.sas.values())
        seen.update(sa.state for sa in known.values())

    pair.watch = watch
    pair.start(pair.left)
    pair.run(1)
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(2)
    pair.ask(pair.right, Task("delete ike"))
    pair.run(3)
    assert seen == set(State)


def test_the_diagram_has_one_line_for_each_transition_with_its_section() -> None:
    lines = mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> IDLE"]
    assert lines[-1] == "    CLOSED --> [*]"
    assert lines[2:-1] == [
        f"    {source.name} --> {target.name}: {trigger.value} (RFC 7296 {section})"
        for (source, trigger), (target, section) in TRANSITIONS.items()
    ]


def test_the_page_holds_exactly_the_generated_diagram() -> None:
    assert f"```mermaid\n{mermaid()}\n```\n" in PAGE.read_text(encoding="utf-8")


def test_the_page_lists_every_transition_with_its_section() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = [(row[0].removeprefix("| "), row[1], row[2], row[3].split(" |")[0]) for row in rows]
    assert listed == [
        (f"`{source.name}`", trigger.value, f"`{target.name}`", section)
        for (source, trigger), (target, section) in TRANSITIONS.items()
    ]
