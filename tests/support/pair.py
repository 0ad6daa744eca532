"""Two IKEv2 endpoints that talk in memory: a small driver without SimPy, queues or costs."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from flexvpn_sim.models.ikev2.endpoint import Endpoint, Step
from flexvpn_sim.models.ikev2.enquiries import Answer, Question
from flexvpn_sim.models.ikev2.events import Event
from flexvpn_sim.models.ikev2.identity import Identity, IdentityMatch
from flexvpn_sim.models.ikev2.message import Datagram
from flexvpn_sim.models.ikev2.operations import Operation
from flexvpn_sim.models.ikev2.policy import (
    PRE_SHARED,
    Authentication,
    Certificate,
    ChildPolicy,
    Credential,
    DpdPolicy,
    EndpointPolicy,
    IkePolicy,
    IkeProfile,
    KeyEntry,
    TunnelPolicy,
)
from flexvpn_sim.models.ikev2.proposals import EspProposal, IkeProposal
from flexvpn_sim.models.ikev2.sa import NS_PER_S, ChildSa, IkeSa, Task, nanoseconds
from flexvpn_sim.models.ikev2.states import State
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.secret import Secret
from flexvpn_sim.models.values import Ledger

LEFT, RIGHT = IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1")
PAPER_IKE = IkeProposal(("aes-cbc-256",), ("sha512",), ("sha512",), (14,))
PAPER_ESP = EspProposal(("aes-cbc-256",), ("sha512",))
#: Fragmentation is announced, but no packet is longer. [bytes]
WHOLE_BYTES = 65535
KEY = Secret("test key")


def ike(encryption: str, integrity: str, prf: str, *groups: int) -> IkeProposal:
    """Return a proposal with one algorithm of each kind."""
    return IkeProposal((encryption,), (integrity,) if integrity else (), (prf,), groups)


def changed(implementation: str, *, values: dict[str, float] | None = None, **choices: object) -> Implementation:
    """Return a shipped implementation with other numbers (``values``) or other choices."""
    profile = load_implementation(implementation)
    numbers = {
        name: getattr(profile.values, name).model_copy(update={"value": number})
        for name, number in (values or {}).items()
    }
    update = {"values": profile.values.model_copy(update=numbers), **choices}
    return Implementation(profile.model_copy(update=update), Ledger())


def credential(
    name: str, algorithm: str = "rsa2048", der_bytes: int = 800, issuer: str = "CA", private_key: Secret | None = None
) -> Credential:
    """Return a certificate for an FQDN with its private key, or with a key that does not belong to it."""
    key = Secret(f"key of {name}")
    certificate = Certificate(Identity("fqdn", name), algorithm, der_bytes, issuer, algorithm, key)
    return Credential((certificate,), private_key or key)


def endpoint(
    side: str,
    implementation: str | Implementation = "strongswan",
    *,
    identity: Identity | None = None,
    accepts: IdentityMatch | None = None,
    local_key: Secret = KEY,
    remote_key: Secret = KEY,
    ike_proposals: tuple[IkeProposal, ...] = (PAPER_IKE,),
    child: ChildPolicy | None = None,
    lifetime_s: float = 86400,
    dpd: DpdPolicy | None = None,
    cookie_threshold: int | None = None,
    fragmentation: bool = False,
    forbids_fragmentation: bool = False,
    fragment_bytes: int | None = None,
    authentication: Authentication = PRE_SHARED,
    trusted: tuple[str, ...] = (),
    tunnels: tuple[TunnelPolicy, ...] = (),
    seed: int = 1,
    boots: int = 0,
) -> Endpoint:
    """Return the ``left`` (BR1.cptl.local) or ``right`` (HQ.cptl.local) end of a tunnel, as on the testbed."""
    names = {"left": "BR1.cptl.local", "right": "HQ.cptl.local"}
    other = "right" if side == "left" else "left"
    here, there = (LEFT, RIGHT) if side == "left" else (RIGHT, LEFT)
    profile = IkeProfile(
        "profile",
        identity or Identity("fqdn", names[side]),
        (accepts or IdentityMatch("fqdn", names[other]),),
        (KeyEntry("peer", local_key, remote_key, identity=Identity("fqdn", names[other])),),
        lifetime_s,
        dpd,
        authentication=authentication,
    )
    policy = child or ChildPolicy((PAPER_ESP,), 3600)
    tunnel = TunnelPolicy("Tunnel0", here, there, "profile", policy)
    policies = (IkePolicy("policy", ike_proposals),)
    told = EndpointPolicy(
        side,
        policies,
        (profile,),
        (tunnel, *tunnels),
        fragmentation=fragmentation,
        forbids_fragmentation=forbids_fragmentation,
        fragment_bytes=fragment_bytes,
        cookie_threshold=cookie_threshold,
        trusted=trusted,
    )
    if isinstance(implementation, str):
        implementation = Implementation(load_implementation(implementation), Ledger())
    return Endpoint(told, implementation, seed, boots=boots)


@dataclass
class Line:
    """One datagram of the transcript."""

    time_ns: int
    sender: str
    datagram: Datagram

    @property
    def time_s(self) -> float:
        return self.time_ns / NS_PER_S

    @property
    def text(self) -> str:
        message = self.datagram.message
        return f"{message.exchange.name}{' response' if message.response else ''} {message.ike_bytes}"


@dataclass
class Pair:
    """Both ends, a one-way delay and a duration for every piece of work."""

    left: Endpoint
    right: Endpoint
    delay_s: float = 0.010
    work_s: Callable[[str], float] = lambda _step: 0.0
    #: Return True to lose the n-th datagram (from 0).
    loses: Callable[[int, Datagram], bool] = lambda _n, _d: False
    #: Return how much later than ``delay_s`` each copy of the n-th datagram arrives. [s]
    copies: Callable[[int, Datagram], Sequence[float]] = lambda _n, _d: (0.0,)
    #: The servers outside: the answer to a question of a time [s], and after how long it is there. [s]
    asks: Callable[[Question, float], tuple[Answer, float]] | None = None
    #: Called after everything that happens.
    watch: Callable[[], None] = lambda: None
    now: int = 0
    log: list[Line] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    #: What each end did, by its name.
    operations: dict[str, list[Operation]] = field(default_factory=lambda: {"left": [], "right": []})
    _agenda: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (time_ns, self._count, action))

    def start(self, end: Endpoint) -> None:
        self.take(end, end.start("Tunnel0", self.now))

    def ask(self, end: Endpoint, task: Task, sa: IkeSa | None = None) -> None:
        """Let an end do a task as soon as it can, on its current IKE SA unless another is given."""
        sa = sa or self.ike(end)
        sa.tasks.append(task)
        end.advance(sa)
        self.take(end, end.on_timer(self.now))

    def reboot(self, name: str, end: Endpoint) -> None:
        """Put a fresh endpoint in the place of one that has crashed; what that one had to do is forgotten."""
        setattr(self, name, end)

    def ike(self, end: Endpoint) -> IkeSa:
        """Return the only IKE SA of an end that is not replaced."""
        (sa,) = [s for s in end.sas.values() if s.successor is None]
        return sa

    def child(self, end: Endpoint) -> ChildSa:
        """Return the only Child SA of an end."""
        (child,) = self.children(end)
        return child

    def children(self, end: Endpoint) -> list[ChildSa]:
        return [child for sa in end.sas.values() for child in sa.children.values()]

    def take(self, end: Endpoint, step: Step) -> None:
        for event in step.events:
            self.events.append((end.name, event))
        for datagram in step.datagrams:
            number = len(self.log)
            self.log.append(Line(self.now, end.name, datagram))
            if self.loses(number, datagram):
                continue
            for later_s in self.copies(number, datagram):
                self.at(
                    self.now + nanoseconds(self.delay_s + later_s),
                    lambda datagram=datagram: self._arrive(datagram),
                )
        for enquiry in step.enquiries:
            assert self.asks is not None
            answer, delay_s = self.asks(enquiry.question, self.now / NS_PER_S)
            if not enquiry.token:
                continue
            self.at(
                self.now + nanoseconds(delay_s),
                lambda token=enquiry.token, answer=answer: self.take(end, end.answered(token, answer, self.now)),
            )
        for job in step.works:
            self.steps.append(f"{end.name}: {job.step}")
            self.operations[end.name] += job.operations
            self.at(
                self.now + nanoseconds(self.work_s(job.step)),
                lambda job=job: self._finish(end, job.token),
            )
        self.watch()

    def _arrive(self, datagram: Datagram) -> None:
        peer = self.left if datagram.destination == LEFT else self.right
        self.take(peer, peer.receive(datagram, self.now))

    def _finish(self, end: Endpoint, token: int) -> None:
        if end in (self.left, self.right):
            self.take(end, end.done(token, self.now))

    def run(self, until_s: float) -> None:
        until = nanoseconds(until_s)
        while True:
            times = [end.timer() for end in (self.left, self.right)]
            due = [t for t in times if t is not None]
            head = self._agenda[0][0] if self._agenda else None
            upcoming = min([*due, *([head] if head is not None else [])], default=None)
            if upcoming is None or upcoming > until:
                break
            self.now = max(self.now, upcoming)
            if head is not None and head <= self.now:
                heapq.heappop(self._agenda)[2]()
                continue
            for end in (self.left, self.right):
                at = end.timer()
                if at is not None and at <= self.now:
                    self.take(end, end.on_timer(self.now))
        self.now = until

    def texts(self, since: int = 0) -> list[str]:
        """Return the transcript from the datagram of this number on."""
        arrow = {"left": "->", "right": "<-"}
        return [f"{arrow[line.sender]} {line.text}" for line in self.log[since:]]

    def kinds(self, name: str) -> list[str]:
        return [event.kind for who, event in self.events if who == name]

    def causes(self, name: str, kind: str) -> list[str]:
        return [e.refusal.cause for who, e in self.events if who == name and e.kind == kind and e.refusal]

    def times_s(self, name: str, kind: str) -> list[float]:
        """Return when events of one kind happened at an end. [s]"""
        return [event.time_ns / NS_PER_S for who, event in self.events if who == name and event.kind == kind]


def spi_pairs(pair: Pair, end: Endpoint) -> set[tuple[int, int]]:
    """Return the inbound and outbound SPI of each Child SA of an end."""
    return {(child.spi_in, child.spi_out) for child in pair.children(end)}


def mirrored(pair: Pair) -> int:
    """Return how many Child SAs both ends have: what is inbound for one is outbound for the other."""
    return len(spi_pairs(pair, pair.left) & {(o, i) for i, o in spi_pairs(pair, pair.right)})


def agree(pair: Pair, count: int = 1) -> bool:
    """Return whether both ends have the same ``count`` IKE SAs and Child SAs and nothing else."""
    ends = (pair.left, pair.right)
    ike_spis = [{(sa.spi_i, sa.spi_r) for sa in end.sas.values()} for end in ends]
    alive = all(sa.state is State.ESTABLISHED for end in ends for sa in end.sas.values())
    return (
        alive
        and ike_spis[0] == ike_spis[1]
        and len(ike_spis[0]) == count == mirrored(pair)
        and ([len(pair.children(end)) for end in ends] == [count, count])
    )
