"""One end's view of an IKE SA and its Child SAs: state, identifiers, timers, requests. No rule of an exchange."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal

from ..addresses import IpAddress
from ..secret import Secret
from .identity import Identity
from .message import IKE_PORT, Datagram, Message
from .operations import Operation
from .payloads import Selector
from .policy import ChildPolicy, IkeProfile, KeyEntry, TunnelPolicy
from .proposals import EspSuite, Suite
from .states import State, Trigger, next_state

if TYPE_CHECKING:
    from .eap import EapServer
    from .events import Refusal
    from .followup import FollowUp

NS_PER_S = 1_000_000_000

#: Why an SA ended or an attempt failed.
Cause = Literal[
    "no answer",
    "no IKE proposal in common",
    "no IPsec proposal in common",
    "no profile accepts the identity",
    "no key for the peer",
    "wrong key",
    "identity of the responder not accepted",
    "no tunnel interface for the peer",
    "traffic selectors differ",
    "half-open for too long",
    "refused by the peer",
    "deleted by the peer",
    "replaced by a rekey",
    "lifetime ended",
    "peer started afresh",
    "local decision",
    "no key exchange group in common",
    "redundant after a simultaneous rekey",
    "authentication method not accepted",
    "certificate not trusted",
    "certificate of another identity",
    "wrong signature",
    "wrong EAP password",
    "no room for another tunnel",
    "no address left in the pool",
    "redirected",
    "redirected too often",
]

TimerName = Literal["retransmit", "half_open", "dpd", "rekey", "expire", "retry"]

#: Timers of a Child SA; they run at its IKE SA.
CHILD_TIMERS: tuple[TimerName, ...] = ("rekey", "expire", "retry")

TaskKind = Literal[
    "new child",
    "rekey child",
    "rekey ike",
    "delete child",
    "delete spi",
    "delete ike",
    "dpd",
    "announce addresses",
    "probe path",
    "update addresses",
    "redirect",
]


def nanoseconds(seconds: float) -> int:
    """Return a duration in integer nanoseconds."""
    return round(seconds * NS_PER_S)


class ChildState(Enum):
    """State of one end of a Child SA."""

    INSTALLED = "installed"
    REKEYED = "rekeyed"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(slots=True, eq=False)
class ChildSa:
    """A pair of ESP SAs as one end sees it. ``initiator``: this end began the exchange that made it."""

    serial: int
    tunnel: str
    spi_in: int
    spi_out: int
    suite: EspSuite
    policy: ChildPolicy
    local_selectors: tuple[Selector, ...]
    remote_selectors: tuple[Selector, ...]
    initiator: bool
    installed_ns: int
    state: ChildState = ChildState.INSTALLED
    #: This end has a rekey request for it on the way.
    rekeying: bool = False
    #: What the peer's colliding rekey of this one made, and the lowest nonce of that exchange (RFC 7296 2.8.1).
    collision: tuple[ChildSa, int] | None = None
    #: It lost a collision: its initiator deletes it, the tunnel keeps the other one.
    redundant: bool = False


@dataclass(slots=True)
class Outstanding:
    """The request that waits for its response. ``timeouts_ns`` has a wait for each time that it is sent."""

    datagram: Datagram
    on_response: Callable[[Message], None]
    kind: str
    timeouts_ns: tuple[int, ...]
    #: Why the SA is closed when the last wait ends without a response.
    unanswered: Refusal
    answered: bool = False


@dataclass(slots=True)
class Work:
    """Work that a router must do before the protocol goes on. ``step`` names it in tables."""

    token: int
    operations: list[Operation]
    step: str
    sa: IkeSa | None
    remote: IpAddress


@dataclass(slots=True)
class Task:
    """A request that waits for its turn: one exchange at a time is started by each end."""

    kind: TaskKind
    child: ChildSa | None = None
    #: Why something is deleted, for the record.
    cause: Cause = "local decision"
    #: Inbound ESP SPI that the peer must forget, of a Child SA that this end does not have.
    spi: int = 0
    #: Key exchange group that the peer has demanded instead of the one that was tried first; 0: none yet.
    group: int = 0
    #: Where the peer is sent to (RFC 5685).
    address: IpAddress | None = None
    #: Only if the IKE SA has no Child SA in use when its turn comes.
    if_empty: bool = False


@dataclass(slots=True, eq=False)
class IkeSa:
    """One end of an IKE SA. ``initiator`` is the role in the exchange that created it (the Initiator flag)."""

    serial: int
    local: IpAddress
    remote: IpAddress
    initiator: bool
    created_ns: int
    local_spi: int
    remote_spi: int = 0
    state: State = State.IDLE
    tunnel: TunnelPolicy | None = None
    #: Interface in tables: the tunnel's name, or the virtual-access that the responder cloned.
    interface: str = ""
    profile: IkeProfile | None = None
    key: KeyEntry | None = None
    suite: Suite | None = None
    local_identity: Identity | None = None
    remote_identity: Identity | None = None
    nonce_local: int = 0
    nonce_remote: int = 0
    nonce_local_bytes: int = 0
    nonce_remote_bytes: int = 0
    init_request: Message | None = None
    init_response: Message | None = None
    keys_ready: bool = False
    #: Additional key exchanges that are done, and what IKE_INTERMEDIATE adds to the signed octets (RFC 9242 3.3.2).
    additional_done: int = 0
    intermediate_auth_bytes: int = 0
    #: The EAP exchange of a responder, and the key that EAP gave to either end (RFC 7296 2.16).
    eap: EapServer | None = None
    msk: Secret | None = None
    #: UDP ports of both ends; 4500 once the initiator has moved there (RFC 7296 2.23).
    local_port: int = IKE_PORT
    remote_port: int = IKE_PORT
    #: A NAT stands between both ends, or one of them says so.
    behind_nat: bool = False
    #: Both ends can move to other addresses (RFC 4555); those of this end beside the one in use.
    mobike: bool = False
    other_addresses: tuple[IpAddress, ...] = ()
    #: Addresses that the peer has announced beside ``remote``.
    peer_addresses: tuple[IpAddress, ...] = ()
    #: Where the request came from that is being answered; None: from ``remote``.
    answer_to: IpAddress | None = None
    #: The gateway that has sent this client away, and how often that has happened (RFC 5685).
    redirected_from: IpAddress | None = None
    redirects: int = 0
    #: Address that the responder gave to the initiator.
    virtual_address: IPv4Address | None = None
    #: Longest IP packet that this end sends whole (RFC 7383); 0: every message goes whole. [bytes]
    fragment_bytes: int = 0
    #: Numbers of the pieces that have arrived, by (response, message ID) of the message that is not complete yet.
    pieces: dict[tuple[bool, int], set[int]] = field(default_factory=dict)
    #: The piece that completed the message which is being worked on; 0: it came whole.
    completed_by: int = 0
    established_ns: int = -1
    group: int = 0
    cookie: int | None = None
    init_repeats: int = 0
    children: dict[int, ChildSa] = field(default_factory=dict)
    next_request_id: int = 0
    expected_request_id: int = 0
    outstanding: Outstanding | None = None
    cached_response: Datagram | None = None
    #: Message ID of the peer's request that is being worked on; -1: none.
    processing_request_id: int = -1
    tasks: deque[Task] = field(default_factory=deque)
    inbox: deque[Datagram] = field(default_factory=deque)
    busy: bool = False
    timers: dict[tuple[TimerName, int], int] = field(default_factory=dict)
    #: The IKE SA that replaces this one.
    successor: IkeSa | None = None
    #: This end has a rekey request for it on the way.
    rekeying: bool = False
    #: What the peer's colliding rekey of this one made, and the lowest nonce of that exchange (RFC 7296 2.8.2).
    collision: tuple[IkeSa, int] | None = None
    #: The peer's rekey that waits for its additional key exchanges.
    follow_up: FollowUp | None = None
    #: The SA that has this one as its ``collision``, until that is settled; it still holds the Child SAs.
    rival_of: IkeSa | None = None
    generation: int = 0

    @property
    def in_use(self) -> bool:
        """True while a Child SA carries traffic: one that is installed and neither replaced nor being deleted."""
        return any(child.state is ChildState.INSTALLED for child in self.children.values())

    def belongs_to(self, tunnel: TunnelPolicy) -> bool:
        """Return whether this is an SA of a tunnel: by name, which outlasts a change of address, else by addresses."""
        if self.tunnel is not None:
            return self.tunnel.name == tunnel.name
        return tunnel.remote_address == self.remote and tunnel.local_address == self.local

    @property
    def spi_i(self) -> int:
        """SPI of the end that is the initiator."""
        return self.local_spi if self.initiator else self.remote_spi

    @property
    def spi_r(self) -> int:
        """SPI of the end that is the responder."""
        return self.remote_spi if self.initiator else self.local_spi

    @property
    def alive(self) -> bool:
        """True until the SA is closed."""
        return self.state is not State.CLOSED

    @property
    def negotiating(self) -> bool:
        """True before both ends are authenticated."""
        return self.state in (State.IDLE, State.INIT_SENT, State.AUTH_SENT, State.HALF_OPEN)

    def move(self, trigger: Trigger) -> None:
        """Go to the next state. Raises LocalProtocolError and changes nothing when the table does not allow it."""
        self.state = next_state(self.state, trigger)
