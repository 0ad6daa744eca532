"""The state of one router at one time of a run, rebuilt from the tables of a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.errors import InputError
from .result import Result, router_or_error

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and inner kilobytes of one Child SA up to the time of the snapshot."""

    sent: int
    received: int
    sent_kilobytes: int
    received_kilobytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one router holds at ``time_s``; SAs in the order of their making."""

    result: Result
    router: str
    time_s: float
    ike_sas: list[Row]
    child_sas: list[Row]

    def settings(self) -> Row:
        """Return the router's entry in the manifest."""
        entry: Row = self.result.manifest["routers"][self.router]
        return entry

    def children_of(self, ike: Row) -> list[Row]:
        """Return the Child SAs that an IKE SA carries: those with its peer on its interface."""
        newest = [s for s in self.ike_sas if (s["peer"], s["interface"]) == (ike["peer"], ike["interface"])]
        own = [c for c in self.child_sas if (c["peer"], c["interface"]) == (ike["peer"], ike["interface"])]
        if len(newest) == 1:
            return own
        # Two IKE SAs with one peer: each shows what it made; after a rekey the newer one has inherited the rest.
        mine = [c for c in own if c["ike_spi_local"] == ike["spi_local"]]
        orphans = [c for c in own if c["ike_spi_local"] not in {s["spi_local"] for s in newest}]
        return mine + (orphans if ike is newest[-1] else [])

    def message_ids(self, ike: Row) -> tuple[int, int]:
        """Return the next message IDs of this end's and of the peer's requests on an IKE SA."""
        messages = self.result.messages
        spi_i, spi_r = ike["spi_local"], ike["spi_remote"]
        if not ike["initiator"]:
            spi_i, spi_r = spi_r, spi_i
        ours = messages[(messages["spi_i"] == spi_i) & (messages["time_s"] <= self.time_s) & ~messages["response"]]
        # IKE_SA_INIT carries no responder SPI yet; it belongs to the SA of its initiator's SPI all the same.
        ours = ours[ours["spi_r"].isin((spi_r, "0" * 16))]
        return _next_id(ours[ours["sender"] == self.router]), _next_id(ours[ours["sender"] == ike["peer"]])

    def counters(self, child: Row) -> Counters:
        """Return the packets of a Child SA up to now."""
        return self._counted([child["spi_out"]], [child["spi_in"]])

    def interface_counters(self, interface: str) -> Counters:
        """Return the packets of an interface up to now: those of its present and of its past Child SAs."""
        table = self.result.child_sas
        own = table[(table["router"] == self.router) & (table["interface"] == interface)]
        return self._counted(list(own["spi_out"]), list(own["spi_in"]))

    def _counted(self, spis_out: list[int], spis_in: list[int]) -> Counters:
        packets = self.result.packets
        now = packets[packets["time_s"] <= self.time_s]
        out = now[(now["sender"] == self.router) & now["spi"].isin(spis_out)]
        into = now[(now["receiver"] == self.router) & now["spi"].isin(spis_in)]
        sent, sent_bytes = self._elapsed(out, "sent")
        received, received_bytes = self._elapsed(into, "delivered")
        return Counters(sent, received, sent_bytes // 1024, received_bytes // 1024)

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
    return Snapshot(result, name, time_s, ike, child)


def _alive(table: pd.DataFrame, router: str, time_s: float, since: str, until: str) -> list[Row]:
    chosen = (table["router"] == router) & (table[since] <= time_s) & ~(table[until] <= time_s)
    return [{str(k): v for k, v in row.items()} for row in table[chosen].to_dict("records")]
