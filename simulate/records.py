"""What a run leaves behind: rows while it runs, tidy tables at its end.

Times are in seconds from the start of the run, sizes in bytes. Nothing secret reaches a row: identities, SPIs and
lengths do, keys do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..models.addresses import IpAddress
from ..models.ikev2 import ppk
from ..models.ikev2.events import Event
from ..models.ikev2.message import Datagram
from ..models.ikev2.operations import Operation
from ..models.ikev2.sa import NS_PER_S, ChildSa, IkeSa, Work

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

#: Columns of each table, so that an empty table has them too.
COLUMNS: dict[str, dict[str, str]] = {
    "messages": {
        "time_s": "float64",
        "arrival_s": "float64",
        "sender": "str",
        "receiver": "str",
        "exchange": "str",
        "message_id": "int64",
        "response": "bool",
        "transmission": "int64",
        "fragment": "int64",
        "ike_bytes": "int64",
        "udp_len": "int64",
        "ip_len": "int64",
        "spi_i": "str",
        "spi_r": "str",
        "lost": "bool",
        "payloads": "str",
    },
    "works": {
        "work": "int64",
        "router": "str",
        "peer": "str",
        "step": "str",
        "spi_i": "str",
        "arrival_s": "float64",
        "start_s": "float64",
        "end_s": "float64",
    },
    "operations": {"work": "int64", "operation": "str", "count": "int64", "duration_s": "float64"},
    "ike_sas": {
        "router": "str",
        "peer": "str",
        "interface": "str",
        "spi_local": "str",
        "spi_remote": "str",
        "initiator": "bool",
        "generation": "int64",
        "established_s": "float64",
        "closed_s": "float64",
        "cause": "str",
        "local_address": "str",
        "remote_address": "str",
        "local_identity": "str",
        "remote_identity": "str",
        "virtual_address": "str",
        "encryption": "str",
        "integrity": "str",
        "prf": "str",
        "group": "int64",
        "lifetime_s": "float64",
        "dpd_interval_s": "float64",
        "dpd_retry_s": "float64",
        "ppk": "str",
        "quantum_resistant": "bool",
    },
    "child_sas": {
        "router": "str",
        "peer": "str",
        "interface": "str",
        "ike_spi_local": "str",
        "spi_in": "int64",
        "spi_out": "int64",
        "initiator": "bool",
        "installed_s": "float64",
        "deleted_s": "float64",
        "cause": "str",
        "encryption": "str",
        "integrity": "str",
        "mode": "str",
        "pfs_group": "int64",
        "lifetime_s": "float64",
        "lifetime_kilobytes": "int64",
        "local_selectors": "str",
        "remote_selectors": "str",
        "quantum_resistant": "bool",
    },
    "events": {
        "time_s": "float64",
        "router": "str",
        "peer": "str",
        "event": "str",
        "interface": "str",
        "spi_local": "str",
        "spi_i": "str",
        "cause": "str",
        "notify": "str",
        "detail": "str",
    },
}


#: Fields of an operation that say what it works on.
_WORDS = ("prf", "name", "encryption", "algorithm", "method", "step")


@lru_cache(maxsize=4096)
def operation_name(operation: Operation) -> str:
    """Return an operation as a table shows it: its name and what it works on, as ``DhKeygen modp2048``."""
    from ..models.algorithms import GROUPS

    words = [type(operation).__name__]
    group = getattr(operation, "group", 0)
    if group:
        words.append(GROUPS[group].name)
    words += [str(getattr(operation, name)) for name in _WORDS if hasattr(operation, name)]
    integrity = getattr(operation, "integrity", "")
    if integrity:
        words.append(str(integrity))
    if hasattr(operation, "direction"):
        words.append(operation.direction)
    if getattr(operation, "stateless", False):
        words.append("stateless")
    n_bytes = getattr(operation, "n_bytes", 0)
    if n_bytes:
        words.append(f"{n_bytes} B")
    return " ".join(words)


def _hex(spi: int) -> str:
    return f"{spi:016X}"


@dataclass
class Recorder:
    """Rows of one run."""

    router_of: dict[IpAddress, str]
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    _ike: dict[tuple[str, int], Row] = field(default_factory=dict)
    _child: dict[tuple[str, int], Row] = field(default_factory=dict)

    def message(self, datagram: Datagram, sent_ns: int, arrival_ns: int, *, lost: bool) -> None:
        """Note a datagram that was put on the wire."""
        message = datagram.message
        self.rows["messages"].append(
            {
                "time_s": sent_ns / NS_PER_S,
                "arrival_s": float("nan") if lost else arrival_ns / NS_PER_S,
                "sender": self._router(datagram.source),
                "receiver": self._router(datagram.destination),
                "exchange": message.exchange.name,
                "message_id": message.message_id,
                "response": message.response,
                "transmission": datagram.transmission,
                "fragment": datagram.fragment,
                "ike_bytes": datagram.ike_bytes,
                "udp_len": datagram.udp_len,
                "ip_len": datagram.ip_len,
                "spi_i": _hex(message.spi_i),
                "spi_r": _hex(message.spi_r),
                "lost": lost,
                "payloads": datagram.payload_text(),
            }
        )

    def swallowed(self, router: str, peer: str, reason: str, sent_ns: int) -> None:
        """Note a message that the path swallows for its length."""
        empty = dict.fromkeys(("interface", "spi_local", "spi_i", "cause", "notify"), "")
        row = {"time_s": sent_ns / NS_PER_S, "router": router, "peer": peer, "event": "fragments_dropped"}
        self.rows["events"].append(row | empty | {"detail": reason})

    def work(
        self, router: str, work: Work, times_ns: tuple[int, int, int], durations_s: list[tuple[Operation, float]]
    ) -> None:
        """Note a piece of work: arrival, start and end of its service, and the duration of each operation."""
        number = len(self.rows["works"])
        arrival, start, end = (t / NS_PER_S for t in times_ns)
        self.rows["works"].append(
            {
                "work": number,
                "router": router,
                "peer": self._router(work.remote),
                "step": work.step,
                "spi_i": _hex(work.sa.spi_i) if work.sa is not None else "",
                "arrival_s": arrival,
                "start_s": start,
                "end_s": end,
            }
        )
        for operation, duration_s in durations_s:
            self.rows["operations"].append(
                {
                    "work": number,
                    "operation": operation_name(operation),
                    "count": getattr(operation, "count", 1),
                    "duration_s": duration_s,
                }
            )

    def event(self, router: str, event: Event) -> None:
        """Note an event and keep the tables of SAs in step with it."""
        sa = event.sa
        refusal = event.refusal
        time_s = event.time_ns / NS_PER_S
        self.rows["events"].append(
            {
                "time_s": time_s,
                "router": router,
                "peer": self._router(event.remote),
                "event": event.kind,
                "interface": sa.interface if sa is not None else "",
                "spi_local": _hex(sa.local_spi) if sa is not None else "",
                "spi_i": _hex(sa.spi_i) if sa is not None else "",
                "cause": refusal.cause if refusal is not None else "",
                "notify": refusal.notify if refusal is not None else "",
                "detail": event.detail,
            }
        )
        if sa is None:
            return
        if event.kind in ("ike_established", "ike_rekeyed"):
            self._ike_up(router, sa, time_s)
        elif event.kind in ("ike_closed", "attempt_failed"):
            row = self._ike.get((router, sa.local_spi))
            if row is not None and row["closed_s"] != row["closed_s"] and not sa.alive:
                row["closed_s"], row["cause"] = time_s, refusal.cause if refusal is not None else ""
        elif event.kind == "child_installed" and event.child is not None:
            self._child_up(router, sa, event.child, time_s)
        elif event.kind == "child_deleted" and event.child is not None:
            row = self._child[(router, event.child.serial)]
            row["deleted_s"], row["cause"] = time_s, refusal.cause if refusal is not None else ""

    def _router(self, address: IpAddress) -> str:
        return self.router_of.get(address) or str(address)

    def _ike_up(self, router: str, sa: IkeSa, time_s: float) -> None:
        assert sa.suite is not None and sa.profile is not None
        row: Row = {
            "router": router,
            "peer": self._router(sa.remote),
            "interface": sa.interface,
            "spi_local": _hex(sa.local_spi),
            "spi_remote": _hex(sa.remote_spi),
            "initiator": sa.initiator,
            "generation": sa.generation,
            "established_s": time_s,
            "closed_s": float("nan"),
            "cause": "",
            "local_address": str(sa.local),
            "remote_address": str(sa.remote),
            "local_identity": sa.local_identity.value if sa.local_identity else "",
            "remote_identity": sa.remote_identity.value if sa.remote_identity else "",
            "virtual_address": str(sa.virtual_address or sa.virtual_address6 or ""),
            "encryption": sa.suite.encryption,
            "integrity": sa.suite.integrity,
            "prf": sa.suite.prf,
            "group": sa.suite.group,
            "lifetime_s": sa.profile.lifetime_s,
            "dpd_interval_s": sa.profile.dpd.interval_s if sa.profile.dpd else 0.0,
            "dpd_retry_s": sa.profile.dpd.retry_s if sa.profile.dpd else 0.0,
            "ppk": sa.ppk.identity if sa.ppk is not None else "",
            "quantum_resistant": ppk.protects_ike(sa),
        }
        self._ike[(router, sa.local_spi)] = row
        self.rows["ike_sas"].append(row)

    def _child_up(self, router: str, sa: IkeSa, child: ChildSa, time_s: float) -> None:
        row: Row = {
            "router": router,
            "peer": self._router(sa.remote),
            "interface": child.tunnel,
            "ike_spi_local": _hex(sa.local_spi),
            "spi_in": child.spi_in,
            "spi_out": child.spi_out,
            "initiator": child.initiator,
            "installed_s": time_s,
            "deleted_s": float("nan"),
            "cause": "",
            "encryption": child.suite.encryption,
            "integrity": child.suite.integrity,
            "mode": child.policy.mode,
            "pfs_group": child.suite.group,
            "lifetime_s": child.policy.lifetime_s,
            "lifetime_kilobytes": child.policy.lifetime_kilobytes,
            "local_selectors": " ".join(str(s) for s in child.local_selectors),
            "remote_selectors": " ".join(str(s) for s in child.remote_selectors),
            "quantum_resistant": child.quantum_resistant,
        }
        self._child[(router, child.serial)] = row
        self.rows["child_sas"].append(row)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table as a DataFrame with fixed columns and types."""
        return {name: frame(rows, COLUMNS[name]) for name, rows in self.rows.items()}


def frame(rows: list[Row], columns: dict[str, str]) -> pd.DataFrame:
    """Return rows as a DataFrame with exactly these columns and types."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
