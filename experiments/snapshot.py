"""The state of one router at one time of a run, rebuilt from the tables of a result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.errors import InputError
from .result import Result, router_or_error

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and inner kilobytes of one Child SA up to the time of the snapshot.

    ``late``: packets that came and were too old for the anti-replay window.
    """

    sent: int
    received: int
    sent_kilobytes: int
    received_kilobytes: int
    late: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one router holds at ``time_s``; SAs in the order of their making."""

    result: Result
    router: str
    time_s: float
    ike_sas: list[Row]
    child_sas: list[Row]
    #: Local SPI of the IKE SA that each rekeyed one has replaced.
    replaced: dict[str, str]

    def settings(self, router: str = "") -> Row:
        """Return the entry of a router in the manifest; this one's by default."""
        entry: Row = self.result.manifest["routers"][router or self.router]
        return entry

    def lineage(self, ike: Row) -> list[str]:
        """Return the local SPIs of an IKE SA and of those that it replaced, down to the one of the set-up."""
        line = [ike["spi_local"]]
        while line[-1] in self.replaced:
            line.append(self.replaced[line[-1]])
        return line

    def children_of(self, ike: Row) -> list[Row]:
        """Return the Child SAs that an IKE SA carries: its own and, once it has replaced another one, the other's."""
        if ike["spi_local"] in self.replaced.values():
            return []
        line = self.lineage(ike)
        return [child for child in self.child_sas if child["ike_spi_local"] in line]

    def message_ids(self, ike: Row) -> tuple[int, int]:
        """Return the next message IDs of this end's and of the peer's requests on an IKE SA."""
        messages = self.result.messages
        spi_i, spi_r = ike["spi_local"], ike["spi_remote"]
        if not ike["initiator"]:
            spi_i, spi_r = spi_r, spi_i
        requests = messages[(messages["spi_i"] == spi_i) & ~messages["response"]]
        # IKE_SA_INIT carries no responder SPI yet; it belongs to the SA of its initiator's SPI all the same.
        requests = requests[requests["spi_r"].isin((spi_r, "0" * 16))]
        sent = requests[(requests["sender"] == self.router) & (requests["time_s"] <= self.time_s)]
        received = requests[(requests["sender"] == ike["peer"]) & (requests["arrival_s"] <= self.time_s)]
        return _next_id(sent), _next_id(received)

    def counters(self, child: Row) -> Counters:
        """Return the packets of a Child SA up to now."""
        return self._counted([child["spi_out"]], [child["spi_in"]])

    def interface_counters(self, interface: str, peer: str) -> Counters:
        """Return the packets of an interface up to now: those of its present and of its past Child SAs.

        With a ``peer`` only its own: the number of a virtual-access goes to another one when its first has left.
        """
        table = self.result.child_sas
        own = table[(table["router"] == self.router) & (table["interface"] == interface)]
        own = own[own["peer"] == peer] if peer else own
        return self._counted(list(own["spi_out"]), list(own["spi_in"]))

    def _counted(self, spis_out: list[int], spis_in: list[int]) -> Counters:
        packets = self.result.packets
        now = packets[packets["time_s"] <= self.time_s]
        out = now[(now["sender"] == self.router) & now["spi"].isin(spis_out)]
        into = now[(now["receiver"] == self.router) & now["spi"].isin(spis_in)]
        sent, sent_bytes = self._elapsed(out, "sent")
        received, received_bytes = self._elapsed(into, "delivered")
        late, _ = self._elapsed(into, "replay_dropped")
        return Counters(sent, received, sent_bytes // 1024, received_bytes // 1024, late)

    def _elapsed(self, bins: pd.DataFrame, column: str) -> tuple[int, int]:
        """Return packets and inner bytes of these bins up to now; a bin that is not over counts in proportion."""
        packets = n_bytes = 0
        for row in bins.to_dict("records"):
            count = row[column]
            if row["end_s"] > self.time_s:
                passed = (self.time_s - row["time_s"]) / (row["end_s"] - row["time_s"])
                count = min(count, 1 + int((row[column] - 1) * passed))
            packets += count
            n_bytes += count * row["inner_bytes"] // max(row["sent"], 1)
        return packets, n_bytes

    def events(self, *kinds: str) -> pd.DataFrame:
        """Return this router's events of these kinds up to now."""
        events = self.result.events
        chosen = (events["router"] == self.router) & (events["time_s"] <= self.time_s) & events["event"].isin(kinds)
        return events[chosen]

    def cookie_bearers(self) -> set[str]:
        """Return the initiators' SPIs of the first messages that brought a cookie up to now."""
        messages = self.result.messages
        here = messages[(messages["receiver"] == self.router) & (messages["arrival_s"] <= self.time_s)]
        requests = here[(here["exchange"] == "IKE_SA_INIT") & ~here["response"]]
        return set(requests[requests["payloads"].str.startswith("N:COOKIE(")]["spi_i"])

    def session_id(self, ike: Row) -> int:
        """Return the number of a session: peers in the order in which they came up, kept over rekeys."""
        table = self.result.ike_sas
        own = table[(table["router"] == self.router) & (table["generation"] == 0)]
        keys = list(dict.fromkeys(zip(own["peer"], own["interface"], strict=True)))
        return keys.index((ike["peer"], ike["interface"])) + 1

    def tunnel_id(self, ike: Row) -> int:
        """Return the number of an IKE SA among those that were ever established here."""
        table = self.result.ike_sas
        own = list(table[table["router"] == self.router]["spi_local"])
        return own.index(ike["spi_local"]) + 1

    def conn_id(self, child: Row) -> int:
        """Return the connection number of a Child SA's inbound half; the outbound half has the next one."""
        table = self.result.child_sas
        own = list(table[table["router"] == self.router]["spi_in"])
        return 2001 + 2 * own.index(child["spi_in"])


def _next_id(requests: pd.DataFrame) -> int:
    return int(requests["message_id"].max()) + 1 if len(requests) else 0


def snapshot(result: Result, router: str, at_s: float | None) -> Snapshot:
    """Return the state of ``router`` at ``at_s``; at the end of the run by default.

    Raises InputError for an unknown router or a time outside the run.
    """
    name = router_or_error(result, router)
    end_s = float(result.manifest["ended_s"])
    time_s = end_s if at_s is None else at_s
    if not 0 <= time_s <= end_s:
        raise InputError(f"found {time_s:g} s; the run lasts from 0 to {end_s:g} s", "--at")
    ike = _alive(result.ike_sas, name, time_s, "established_s", "closed_s")
    child = _alive(result.child_sas, name, time_s, "installed_s", "deleted_s")
    return Snapshot(result, name, time_s, ike, child, _replaced(result.ike_sas, name, time_s))


def _alive(table: pd.DataFrame, router: str, time_s: float, since: str, until: str) -> list[Row]:
    chosen = (table["router"] == router) & (table[since] <= time_s) & ~(table[until] <= time_s)
    return _rows(table[chosen])


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _replaced(table: pd.DataFrame, router: str, time_s: float) -> dict[str, str]:
    """Return which IKE SA each rekeyed one of a router has replaced, by local SPI.

    The table does not say it. An SA is closed soon after its successor, one generation on, was made: of several
    with one peer the first to be closed from then on is the one that was rekeyed.
    """
    lines: dict[tuple[str, str, int], list[Row]] = {}
    replaced: dict[str, str] = {}
    table = table[(table["router"] == router) & (table["established_s"] <= time_s)]
    for row in _rows(table):
        lines.setdefault((row["peer"], row["interface"], row["generation"]), []).append(row)
        older = lines.get((row["peer"], row["interface"], row["generation"] - 1), [])
        open_then = [o for o in older if not o["closed_s"] < row["established_s"]]
        if open_then:
            old = min(open_then, key=lambda o: math.inf if math.isnan(o["closed_s"]) else o["closed_s"])
            older.remove(old)
            replaced[row["spi_local"]] = old["spi_local"]
    return replaced
