"""What of a result's tables a chart shows: one tunnel, the attempt that decided over it, the work behind that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from .result import Result

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SetUp:
    """The attempt that brought a tunnel up, else its first one.

    Every row of ``works`` has its operations as (name, duration in s) under ``operations``. ``notify`` names the
    error by which the attempt was refused.
    """

    session: Row
    messages: list[Row]
    works: list[Row]
    installed: dict[str, float]
    notify: str
    attempt: int


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a table."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def check_table(result: Result, name: str) -> None:
    """Raise InputError with the cure when an ESP table is not there."""
    if not len(result.tables.get(name, ())):
        raise InputError(f"this result has no {name} table; run it with esp=True (on the command line: --esp)", name)


def session_of(result: Result, tunnel: int) -> Row:
    """Return the row of a tunnel. Raises InputError when there is no such tunnel."""
    sessions = records(result.tables["sessions"])
    if not 0 <= tunnel < len(sessions):
        raise InputError(f"found {tunnel}, this result has the tunnels 0 to {len(sessions) - 1}", "tunnel")
    return sessions[tunnel]


def between(result: Result, table: str, session: Row) -> list[Row]:
    """Return the rows of a table that belong to the two routers of a tunnel."""
    pair = {session["initiator"], session["responder"]}
    return [row for row in records(result.tables[table]) if {row["router"], row["peer"]} == pair]


def set_up(result: Result, tunnel: int) -> SetUp:
    """Return the attempt that decided over a tunnel; without messages when nobody tried.

    Raises InputError when there is no such tunnel.
    """
    session = session_of(result, tunnel)
    events = between(result, "events", session)
    ends = {(session[end], session[f"{end}_interface"]) for end in ("initiator", "responder")}
    attempts = [e for e in events if e["event"] == "attempt" and (e["router"], e["interface"]) in ends]
    if not attempts:
        return SetUp(session, [], [], {}, "", 0)
    tried = [(e["router"], e["spi_local"]) for e in attempts]
    success = next((e for e in events if e["event"] == "child_installed" and _start(e) in tried), None)
    deciding = success or attempts[0]
    spi = deciding["spi_local"]
    own = [e for e in events if e["spi_i"] == spi]
    failed = next((e for e in own if e["event"] == "attempt_failed"), None)
    last = success or failed
    until_s = last["time_s"] if last else math.inf
    messages = [m for m in records(result.tables["messages"]) if m["spi_i"] == spi and m["time_s"] <= until_s]
    installed = {e["router"]: e["time_s"] for e in own if e["event"] == "child_installed" and e["time_s"] <= until_s}
    refusals = [e["notify"] for e in own if e["event"] in ("refused", "attempt_failed") and e["notify"]]
    notify = refusals[0] if refusals and success is None else ""
    works = _works(result, session, spi, messages, until_s)
    return SetUp(session, messages, works, installed, notify, tried.index(_start(deciding)) + 1)


def _start(event: Row) -> tuple[str, str]:
    return event["router"], event["spi_local"]


def _works(result: Result, session: Row, spi: str, messages: list[Row], until_s: float) -> list[Row]:
    # A message that is only repeated is no work of an SA; it is known by the instant at which it was sent.
    sent = {(m["sender"], m["time_s"]) for m in messages}
    works = [
        work
        for work in between(result, "works", session)
        if work["end_s"] <= until_s
        and (work["spi_i"] == spi or (not work["spi_i"] and (work["router"], work["end_s"]) in sent))
    ]
    operations: dict[int, list[tuple[str, float]]] = {work["work"]: [] for work in works}
    for row in records(result.tables["operations"]):
        if row["work"] in operations:
            operations[row["work"]].append((row["operation"], row["duration_s"]))
    return [{**work, "operations": operations[work["work"]]} for work in works]
