"""States of one end of an IKE SA and the transitions between them: the only place that knows them.

Each transition names the section of RFC 7296 that asks for it. `mermaid` draws the diagram of the documentation from
this table.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """State of one end of an IKE SA."""

    # Members are looked up all the time; each is one object.
    __hash__ = object.__hash__

    IDLE = "idle"
    INIT_SENT = "IKE_SA_INIT sent"
    AUTH_SENT = "IKE_AUTH sent"
    HALF_OPEN = "half-open"
    ESTABLISHED = "established"
    REKEYED = "rekeyed"
    DELETING = "deleting"
    CLOSED = "closed"


class Trigger(Enum):
    """What moves an IKE SA from one state to another."""

    __hash__ = object.__hash__

    SEND_INIT = "send IKE_SA_INIT request"
    REPEAT_INIT = "cookie or other group demanded"
    SEND_AUTH = "send IKE_AUTH request"
    ANSWER_INIT = "send IKE_SA_INIT response"
    AUTHENTICATE = "peer authenticated"
    INHERIT = "created by a rekey"
    REPLACE = "replaced by a rekey"
    SEND_DELETE = "send Delete"
    CLOSE = "closed"


TRANSITIONS: dict[tuple[State, Trigger], tuple[State, str]] = {
    (State.IDLE, Trigger.SEND_INIT): (State.INIT_SENT, "1.2"),
    (State.INIT_SENT, Trigger.REPEAT_INIT): (State.INIT_SENT, "1.2, 2.6"),
    (State.INIT_SENT, Trigger.SEND_AUTH): (State.AUTH_SENT, "1.2"),
    (State.AUTH_SENT, Trigger.AUTHENTICATE): (State.ESTABLISHED, "1.2"),
    (State.IDLE, Trigger.ANSWER_INIT): (State.HALF_OPEN, "1.2"),
    (State.HALF_OPEN, Trigger.AUTHENTICATE): (State.ESTABLISHED, "1.2"),
    (State.IDLE, Trigger.INHERIT): (State.ESTABLISHED, "1.3.2"),
    (State.ESTABLISHED, Trigger.REPLACE): (State.REKEYED, "2.8"),
    (State.ESTABLISHED, Trigger.SEND_DELETE): (State.DELETING, "1.4.1"),
    (State.REKEYED, Trigger.SEND_DELETE): (State.DELETING, "2.8"),
    **{(state, Trigger.CLOSE): (State.CLOSED, "1.4.1, 2.4, 2.21") for state in State if state is not State.CLOSED},
}


class LocalProtocolError(RuntimeError):
    """The caller asked for something that the state does not allow; nothing happened."""


def next_state(state: State, trigger: Trigger) -> State:
    """Return the state after ``trigger``. Raises LocalProtocolError for a transition that does not exist."""
    try:
        return TRANSITIONS[(state, trigger)][0]
    except KeyError:
        raise LocalProtocolError(f"an IKE SA that is {state.value} cannot: {trigger.value}") from None


def mermaid() -> str:
    """Return the state diagram as Mermaid text, one line for each transition of the table."""
    lines = ["stateDiagram-v2", "    [*] --> IDLE"]
    for (state, trigger), (target, section) in TRANSITIONS.items():
        lines.append(f"    {state.name} --> {target.name}: {trigger.value} (RFC 7296 {section})")
    lines.append("    CLOSED --> [*]")
    return "\n".join(lines)
