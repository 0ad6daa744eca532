"""RADIUS servers as stations with a queue, and the routers that ask them over a network with delay and loss.

A request waits for one of ``workers`` and is served for a time that is fixed or exponential. While a server is down
it hears nothing, and what it was working on is gone. It knows a repeated request by router and number and answers it
from memory, or drops it while the first copy is still being worked on (RFC 5080 2.2.2). A shared secret that differs
from the router's makes every answer one that the router cannot believe: it counts as none (RFC 2865 3).

What this leaves out: limits of a server's queue, the path of the packets through the underlay (it is as long as
``latency_s``), the router's CPU beyond one look-up for each answer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal

from ..models.aaa.client import Outcome, Reply, Transmission
from ..models.aaa.directory import Directory
from ..models.aaa.service import AaaService, AaaStep
from ..models.aaa.settings import AaaSettings
from ..models.addresses import IpAddress
from ..models.ikev2.enquiries import AccountingRecord, Answer, Enquiry, Question
from ..models.ikev2.sa import NS_PER_S, nanoseconds
from ..models.randomness import Stream, make_key
from ..models.secret import Secret
from ..models.values import RECOLLECTION, Ledger, Value
from .agenda import Agenda, Rank
from .queues import FifoQueue, QueueStatistics

if TYPE_CHECKING:
    import pandas as pd

    from .records import Row

ServiceLaw = Literal["fixed", "exponential"]

#: What is taken of a server of which nothing is said.
DEFAULT_LATENCY = Value(value=0.005, unit="s", kind="assumed", source=RECOLLECTION, range=(0.0005, 0.05))
DEFAULT_SERVICE = Value(value=0.002, unit="s", kind="assumed", source=RECOLLECTION, range=(0.0002, 0.05))
DEFAULT_WORKERS = Value(value=5, kind="assumed", source=RECOLLECTION, range=(1, 32), note="threads of FreeRADIUS")
#: How long an answer is kept for repeated requests. [s]
_REMEMBERED_S = 30.0

REQUEST_COLUMNS: dict[str, str] = {
    "asked_s": "float64",
    "sent_s": "float64",
    "ended_s": "float64",
    "router": "str",
    "server": "str",
    "request": "str",
    "name": "str",
    "answer": "str",
    "transmissions": "int64",
    "request_bytes": "int64",
    "answer_bytes": "int64",
}
CLIENT_COLUMNS: dict[str, str] = {
    "router": "str",
    "server": "str",
    "address": "str",
    "requests": "int64",
    "retransmissions": "int64",
    "timeouts": "int64",
    "dead_marks": "int64",
    "late_answers": "int64",
}
SERVER_COLUMNS: dict[str, str] = {
    "server": "str",
    "workers": "int64",
    "packets": "int64",
    "served": "int64",
    "duplicates": "int64",
    "unheard": "int64",
    "utilisation": "float64",
    "mean_service_s": "float64",
    "mean_waiting_s": "float64",
    "p95_waiting_s": "float64",
    "max_waiting_s": "float64",
    "mean_response_s": "float64",
    "p95_response_s": "float64",
    "mean_length": "float64",
}
ACCOUNTING_COLUMNS: dict[str, str] = {
    "time_s": "float64",
    "router": "str",
    "record": "str",
    "session": "int64",
    "name": "str",
    "peer": "str",
    "address": "str",
    "session_s": "float64",
    "octets_in": "float64",
    "octets_out": "float64",
    "cause": "str",
}


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One RADIUS server. ``latency_s``: one way between it and any router; ``service_s``: mean service time. [s]

    ``outages``: (beginning, end) of the times at which it is down, in order. [s] ``secret``: None: the one of each
    router.
    """

    address: IPv4Address
    directory: Directory
    latency_s: float = DEFAULT_LATENCY.value
    loss: float = 0.0
    workers: int = int(DEFAULT_WORKERS.value)
    service_s: float = DEFAULT_SERVICE.value
    law: ServiceLaw = "exponential"
    outages: tuple[tuple[float, float], ...] = ()
    secret: Secret | None = None


def default_server(address: IPv4Address, ledger: Ledger) -> ServerPlan:
    """Return a server of which nothing is known, without accounts; its numbers are noted as assumed."""
    owner = f"RADIUS server {address}"
    latency_s = ledger.read(owner, "latency", DEFAULT_LATENCY)
    service_s = ledger.read(owner, "service time", DEFAULT_SERVICE)
    workers = int(ledger.read(owner, "workers", DEFAULT_WORKERS))
    return ServerPlan(address, Directory(), latency_s, workers=workers, service_s=service_s)


class RadiusStation:
    """One server in the simulation."""

    def __init__(self, plan: ServerPlan, agenda: Agenda, entity: int, random: tuple[int, int, int]) -> None:
        self.plan = plan
        self.queue = FifoQueue(f"RADIUS server {plan.address}", plan.workers)
        self.packets = self.duplicates = self.unheard = 0
        self.waiting_ns: list[int] = []
        self.response_ns: list[int] = []
        self._agenda = agenda
        self._entity = entity
        self._random = random
        self._streams: dict[tuple[str, str], Stream] = {}
        self._starts = 0
        #: By router and number of the request: when it came, and its answer once there is one.
        self._seen: OrderedDict[tuple[str, int], tuple[int, Reply | None]] = OrderedDict()
        for start_s, _ in plan.outages:
            agenda.at(nanoseconds(start_s), Rank.COMPLETION, entity, self._go_down)

    def send(self, transmission: Transmission, deliver: Callable[[Reply], None]) -> None:
        """Carry a packet to the server; ``deliver`` gets the answer at the router, if there is one."""
        if self._lost(transmission, "request"):
            return
        arrival_ns = self._agenda.now + nanoseconds(self.plan.latency_s)
        self._agenda.at(arrival_ns, Rank.ARRIVAL, self._entity, lambda: self._arrive(transmission, deliver))

    def statistics(self, duration_ns: int) -> QueueStatistics:
        """Return the figures of the queue."""
        return self.queue.statistics(duration_ns)

    def _arrive(self, transmission: Transmission, deliver: Callable[[Reply], None]) -> None:
        now = self._agenda.now
        self.packets += 1
        if any(start_s * NS_PER_S <= now < end_s * NS_PER_S for start_s, end_s in self.plan.outages):
            self.unheard += 1
            return
        if self.plan.secret is not None and transmission.server.key != self.plan.secret:
            self.unheard += 1
            return
        self._forget(now)
        key = (transmission.router, transmission.serial)
        if key in self._seen:
            self.duplicates += 1
            answered = self._seen[key][1]
            if answered is not None:
                self._return(transmission, answered, deliver)
            return
        self._seen[key] = (now, None)
        start_ns, end_ns = self.queue.serve(now, nanoseconds(self._service_s(transmission)))
        starts = self._starts

        def finish() -> None:
            if self._starts != starts:
                return
            self.waiting_ns.append(start_ns - now)
            self.response_ns.append(end_ns - now)
            assert isinstance(transmission.subject, Question)
            packet, content = self.plan.directory.answer(transmission.subject)
            reply = Reply(transmission.server, transmission.serial, packet, content)
            self._seen[key] = (now, reply)
            self._return(transmission, reply, deliver)

        self._agenda.at(end_ns, Rank.COMPLETION, self._entity, finish)

    def _return(self, transmission: Transmission, reply: Reply, deliver: Callable[[Reply], None]) -> None:
        if not self._lost(transmission, "answer"):
            at_ns = self._agenda.now + nanoseconds(self.plan.latency_s)
            self._agenda.at(at_ns, Rank.ARRIVAL, self._entity, lambda: deliver(reply))

    def _go_down(self) -> None:
        self._starts += 1
        self._seen.clear()
        self.plan.directory.forget()
        self.queue.clear(self._agenda.now)

    def _forget(self, now: int) -> None:
        while self._seen:
            key, (seen_ns, answered) = next(iter(self._seen.items()))
            if answered is None or now - seen_ns < nanoseconds(_REMEMBERED_S):
                return
            del self._seen[key]

    def _service_s(self, transmission: Transmission) -> float:
        if self.plan.law == "fixed":
            return self.plan.service_s
        return -self.plan.service_s * math.log(1.0 - self._uniform(transmission.router, "service"))

    def _lost(self, transmission: Transmission, direction: str) -> bool:
        return self.plan.loss > 0 and self._uniform(transmission.router, f"loss of {direction}") < self.plan.loss

    def _uniform(self, router: str, purpose: str) -> float:
        """Return the next draw of this server for one router and purpose: others shift nothing."""
        if (router, purpose) not in self._streams:
            seed, replication, draw = self._random
            name = f"{router}>radius {self.plan.address}"
            self._streams[(router, purpose)] = Stream(make_key(seed, name, purpose, replication=replication, draw=draw))
        return self._streams[(router, purpose)].uniform()


class RadiusPort:
    """The AAA of one router in the simulation. ``answer(token, answer)`` takes what it finds out."""

    def __init__(self, network: RadiusNetwork, router: str, settings: AaaSettings, entity: int) -> None:
        self.service = AaaService(router, settings)
        self._network = network
        self._router = router
        self._entity = entity
        self._agenda = network.agenda
        self._timer_ns: int | None = None
        self._answer: Callable[[int, Answer], None] = lambda _token, _answer: None

    def attach(self, answer: Callable[[int, Answer], None]) -> None:
        """Say who takes the answers."""
        self._answer = answer

    def ask(self, enquiry: Enquiry) -> None:
        """Take a question of the router's IKEv2. The answer comes later, if only in the same instant."""
        self._take(self.service.ask(enquiry.token, enquiry.question, self._agenda.now))

    def _receive(self, reply: Reply) -> None:
        self._take(self.service.receive(reply, self._agenda.now))

    def _on_timer(self, due_ns: int) -> None:
        if self._timer_ns == due_ns:
            self._timer_ns = None
            self._take(self.service.on_timer(self._agenda.now))

    def _take(self, step: AaaStep) -> None:
        now = self._agenda.now
        for transmission in step.transmissions:
            self._network.stations[transmission.server.address].send(transmission, self._receive)
        for question, outcome in step.outcomes:
            self._network.note(self._router, question, outcome)
        for entry in step.records:
            self._network.note_record(self._router, entry.kind, entry.record, entry.session_s)
        for token, answer in step.answers:
            action = self._answering(token, answer)
            self._agenda.at(now, Rank.COMPLETION, self._entity, action)
        due_ns = self.service.timer()
        if due_ns is not None and due_ns != self._timer_ns:
            self._timer_ns = due_ns
            self._agenda.at(max(due_ns, now), Rank.TIMER, self._entity, lambda: self._on_timer(due_ns))

    def _answering(self, token: int, answer: Answer) -> Callable[[], None]:
        return lambda: self._answer(token, answer)


@dataclass
class RadiusNetwork:
    """All RADIUS servers of a run, and what it leaves behind. ``random``: seed, replication and draw."""

    agenda: Agenda
    random: tuple[int, int, int]
    stations: dict[IPv4Address, RadiusStation] = field(default_factory=dict)
    ports: dict[str, RadiusPort] = field(default_factory=dict)
    requests: list[Row] = field(default_factory=list)
    accounting: list[Row] = field(default_factory=list)

    def add_servers(self, plans: Mapping[IPv4Address, ServerPlan], first_entity: int) -> None:
        """Add the servers; their places in the order of ties follow those of the routers."""
        for number, address in enumerate(sorted(plans)):
            self.stations[address] = RadiusStation(plans[address], self.agenda, first_entity + number, self.random)

    def add_router(self, router: str, settings: AaaSettings, entity: int) -> RadiusPort:
        """Add a router; every server that it names must be there."""
        self.ports[router] = RadiusPort(self, router, settings, entity)
        return self.ports[router]

    def note(self, router: str, question: Question, outcome: Outcome) -> None:
        """Note a request that is over."""
        reply = outcome.reply
        self.requests.append(
            {
                "asked_s": outcome.asked_ns / NS_PER_S,
                "sent_s": outcome.sent_ns / NS_PER_S if outcome.sent_ns >= 0 else float("nan"),
                "ended_s": self.agenda.now / NS_PER_S,
                "router": router,
                "server": outcome.server.name if outcome.server is not None else "",
                "request": outcome.packet.code.title,
                "name": getattr(question, "name", ""),
                "answer": reply.packet.code.title if reply is not None else "",
                "transmissions": outcome.transmissions,
                "request_bytes": outcome.packet.n_bytes,
                "answer_bytes": reply.packet.n_bytes if reply is not None else 0,
            }
        )

    def note_record(self, router: str, kind: str, record: AccountingRecord, session_s: float) -> None:
        """Note an accounting record; octets are known only after the packets have been simulated."""
        self.accounting.append(
            {
                "time_s": self.agenda.now / NS_PER_S,
                "router": router,
                "record": kind,
                "session": record.session,
                "name": record.name,
                "peer": str(record.peer),
                "address": str(record.address) if record.address is not None else "",
                "session_s": session_s,
                "octets_in": float("nan"),
                "octets_out": float("nan"),
                "cause": record.cause,
            }
        )

    def client_rows(self) -> list[Row]:
        """Return a row for each server of each router: what was asked and what became of it."""
        return [
            {
                "router": router,
                "server": server.name,
                "address": str(server.address),
                "requests": state.requests,
                "retransmissions": state.retransmissions,
                "timeouts": state.timeouts_total,
                "dead_marks": state.dead_marks,
                "late_answers": state.late_replies,
            }
            for router, port in sorted(self.ports.items())
            for server, state in port.service.client.states.items()
        ]

    def server_rows(self, duration_ns: int) -> list[Row]:
        """Return a row for each server: load, waiting and response time; times in s, NaN where nothing was served."""
        return [_server_row(station, duration_ns) for _, station in sorted(self.stations.items())]

    def tables(self, duration_ns: int) -> dict[str, pd.DataFrame]:
        """Return the tables ``radius``, ``radius_clients``, ``radius_servers`` and ``accounting``."""
        from .records import frame

        return {
            "radius": frame(self.requests, REQUEST_COLUMNS),
            "radius_clients": frame(self.client_rows(), CLIENT_COLUMNS),
            "radius_servers": frame(self.server_rows(duration_ns), SERVER_COLUMNS),
            "accounting": frame(self.accounting, ACCOUNTING_COLUMNS),
        }


def count_octets(accounting: list[Row], packet_rows: list[Row], owners: Mapping[IpAddress, str]) -> None:
    """Fill in the octets of the records that have them: what the flows between both routers carried by then.

    ``octets_in``: from the peer. Counted are inner bytes of packets that got through, in whole bins of the table of
    packets; bins that the record's time cuts count in proportion. Without simulated packets they stay unknown (NaN).
    """
    names = {str(address): router for address, router in owners.items()}
    for row in accounting:
        if row["record"] == "start" or not packet_rows:
            continue
        began_s = row["time_s"] - row["session_s"]
        peer = names.get(row["peer"], row["peer"])
        for column, ends in (("octets_in", (peer, row["router"])), ("octets_out", (row["router"], peer))):
            bins = [p for p in packet_rows if (p["sender"], p["receiver"]) == ends]
            row[column] = sum(_carried(p) * _share(p, began_s, row["time_s"]) for p in bins)


def _carried(row: Row) -> float:
    return float(row["inner_bytes"] * row["delivered"] / row["sent"]) if row["sent"] else 0.0


def _share(row: Row, from_s: float, to_s: float) -> float:
    """Return the part of a bin, from its first packet to its last one, that lies in a time."""
    length_s = row["end_s"] - row["time_s"]
    if length_s == 0:
        return float(from_s <= row["time_s"] <= to_s)
    overlap_s = min(row["end_s"], to_s) - max(row["time_s"], from_s)
    return max(0.0, float(overlap_s / length_s))


def _server_row(station: RadiusStation, duration_ns: int) -> Row:
    load = station.statistics(duration_ns)
    waiting = sorted(ns / NS_PER_S for ns in station.waiting_ns)
    response = sorted(ns / NS_PER_S for ns in station.response_ns)
    return {
        "server": str(station.plan.address),
        "workers": station.plan.workers,
        "packets": station.packets,
        "served": len(response),
        "duplicates": station.duplicates,
        "unheard": station.unheard,
        "utilisation": load.utilisation,
        "mean_service_s": load.mean_service_s,
        "mean_waiting_s": _mean(waiting),
        "p95_waiting_s": _quantile(waiting, 0.95),
        "max_waiting_s": waiting[-1] if waiting else math.nan,
        "mean_response_s": _mean(response),
        "p95_response_s": _quantile(response, 0.95),
        "mean_length": load.mean_length,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan
