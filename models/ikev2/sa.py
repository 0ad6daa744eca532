"""One end's view of an IKE SA and its Child SAs: state, identifiers, timers, requests. No rule of an exchange."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal

from ..addresses import IpAddress, IpNetwork
from ..randomness import Streams
from ..secret import Secret
from .identity import Identity
from .message import IKE_PORT, Datagram, Message
from .operations import Operation
from .payloads import ConfigurationAttribute, Selector
from .policy import AuthorizationPolicy, Certificate, ChildPolicy, IkeProfile, KeyEntry, Ppk, TunnelPolicy
from .proposals import EspSuite, IpsecProtocol, Suite
from .states import State, Trigger, next_state

if TYPE_CHECKING:
    from .eap import EapExchange
    from .events import Refusal
    from .followup import FollowUp
    from .multiple_authentication import SecondRound
    from .resumption import Ticket

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
    "no PPK in common",
    "redundant after a simultaneous rekey",
    "authentication method not accepted",
    "certificate not trusted",
    "certificate of another identity",
    "certificate not yet valid",
    "certificate expired",
    "certificate revoked",
    "revocation status unknown",
    "wrong signature",
    "wrong EAP password",
    "no EAP method in common",
    "identity is no EAP user name",
    "no room for another tunnel",
    "queue of IKE_SA_INIT full",
    "no address left in the pool",
    "redirected",
    "redirected too often",
    "no usable address of the gateway",
    "no answer from AAA",
    "refused by AAA",
    "no name for AAA in the identity",
    "AH cannot pass a NAT",
]

TimerName = Literal[
    "retransmit",
    "half_open",
    "dpd",
    "rekey",
    "expire",
    "retry",
    "certificate",
    "volume",
    "volume end",
    "keepalive",
]

#: Timers of a Child SA; they run at its IKE SA.
CHILD_TIMERS: tuple[TimerName, ...] = ("rekey", "expire", "retry", "volume", "volume end")

TaskKind = Literal[
    "check certificate",
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
    "set configuration",
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
    """A pair of ESP or AH SAs as one end sees it. ``initiator``: this end began the exchange that made it."""

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
    #: Its keys are safe from a quantum computer: a KEM or a PPK stands behind them (RFC 9370, RFC 8784).
    quantum_resistant: bool = False


@dataclass(slots=True)
class Outstanding:
    """A request that waits for its response. ``timeouts_ns`` has a wait for each time that it is sent."""

    datagram: Datagram
    on_response: Callable[[Message], None]
    kind: str
    timeouts_ns: tuple[int, ...]
    #: Why the SA is closed when the last wait ends without a response.
    unanswered: Refusal
    answered: bool = False


@dataclass(slots=True)
class Work:
    """Work that a router must do before the protocol goes on.

    ``step`` names it in tables and begins with its exchange, if it has one. ``stranger``: it is the first request of a
    peer that is not known.
    """

    token: int
    operations: list[Operation]
    step: str
    sa: IkeSa | None
    remote: IpAddress
    stranger: bool = False

    @property
    def job(self) -> str:
        """What it is for an order of priority: ``new-peer``, or the first word of its step."""
        return "new-peer" if self.stranger else self.step.partition(" ")[0]


@dataclass(slots=True)
class Task:
    """A request that waits for its turn."""

    kind: TaskKind
    child: ChildSa | None = None
    #: Why something is deleted, for the record.
    cause: Cause = "local decision"
    #: Inbound SPI that the peer must forget, of a Child SA that this end does not have, and its protocol.
    spi: int = 0
    protocol: IpsecProtocol = "ESP"
    #: Key exchange group that the peer has demanded instead of the one that was tried first; 0: none yet.
    group: int = 0
    #: Where the peer is sent to (RFC 5685): an address, or a name that it resolves.
    address: IpAddress | str | None = None
    #: Only if the IKE SA has no Child SA in use when its turn comes.
    if_empty: bool = False


@dataclass(slots=True)
class AccountingSession:
    """What a AAA server is told about a session: the list, the session's number, the name; once it has ``started``."""

    aaa_list: str
    number: int
    name: str
    started: bool = False


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
    #: True until the SA is closed.
    alive: bool = True
    tunnel: TunnelPolicy | None = None
    #: Interface in tables: the tunnel's name, or the virtual-access that the responder cloned.
    interface: str = ""
    profile: IkeProfile | None = None
    key: KeyEntry | None = None
    suite: Suite | None = None
    local_identity: Identity | None = None
    remote_identity: Identity | None = None
    #: The peer's user after EAP, who is authenticated beside the identity (RFC 7296 2.16).
    eap_user: str = ""
    nonce_local: int = 0
    nonce_remote: int = 0
    nonce_local_bytes: int = 0
    nonce_remote_bytes: int = 0
    init_request: Message | None = None
    init_response: Message | None = None
    keys_ready: bool = False
    #: Both ends have said USE_PPK; the PPK that is mixed into the keys (RFC 8784).
    ppk_agreed: bool = False
    ppk: Ppk | None = None
    #: The certificates by which the peer has proven its identity, its own first.
    peer_chain: tuple[Certificate, ...] = ()
    #: The ticket that this SA resumes an earlier one by (RFC 5723).
    resumed: Ticket | None = None
    #: The second proof that a responder waits for (RFC 4739).
    second: SecondRound | None = None
    #: Additional key exchanges that are done, and what IKE_INTERMEDIATE adds to the signed octets (RFC 9242 3.3.2).
    additional_done: int = 0
    intermediate_auth_bytes: int = 0
    #: The EAP exchange of a responder, and the key that EAP gave to either end (RFC 7296 2.16).
    eap: EapExchange | None = None
    msk: Secret | None = None
    #: UDP ports of both ends; 4500 once the initiator has moved there (RFC 7296 2.23).
    local_port: int = IKE_PORT
    remote_port: int = IKE_PORT
    #: A NAT stands between both ends, or one of them says so.
    behind_nat: bool = False
    #: It stands before this end, or before the peer.
    nat_here: bool = False
    nat_there: bool = False
    #: When this end has sent something, kept where a NAT stands before it. [ns]
    sent_ns: int = 0
    #: Both ends can move to other addresses (RFC 4555); those of this end beside the one in use.
    mobike: bool = False
    other_addresses: tuple[IpAddress, ...] = ()
    #: Addresses that the peer has announced beside ``remote``.
    peer_addresses: tuple[IpAddress, ...] = ()
    #: Where the request came from that is being answered; None: from ``remote``.
    answer_to: IpAddress | None = None
    #: The gateway that has sent this client away (RFC 5685).
    redirected_from: IpAddress | None = None
    #: Address that the responder gave to the initiator.
    virtual_address: IPv4Address | None = None
    virtual_address6: IPv6Address | None = None
    #: What the responder told the initiator in its configuration reply.
    configured: tuple[ConfigurationAttribute, ...] = ()
    #: What AAA lets the peer have, in the place of what the profile says (``crypto ikev2 authorization policy``).
    authorization: AuthorizationPolicy | None = None
    #: The rights that came with its key or its EAP exchange; the session of which AAA keeps account.
    cached_rights: AuthorizationPolicy | None = None
    accounting: AccountingSession | None = None
    #: Routes to networks of the peer, which live as long as this SA and its successors.
    routes: tuple[IpNetwork, ...] = ()
    #: Longest IP packet that this end sends whole (RFC 7383); 0: every message goes whole. [bytes]
    fragment_bytes: int = 0
    #: Numbers of the pieces that have arrived, by (response, message ID, pieces in all) of the message that is not
    #: complete yet.
    pieces: dict[tuple[bool, int, int], set[int]] = field(default_factory=dict)
    #: The piece that completed the message which is being worked on; 0: it came whole.
    completed_by: int = 0
    established_ns: int = -1
    group: int = 0
    cookie: int | None = None
    init_repeats: int = 0
    children: dict[int, ChildSa] = field(default_factory=dict)
    next_request_id: int = 0
    #: The lowest message ID of a request of the peer that is not answered yet.
    expected_request_id: int = 0
    #: Requests that wait for their response, and responses for requests that are repeated, by message ID.
    outstanding: dict[int, Outstanding] = field(default_factory=dict)
    responses: dict[int, Datagram] = field(default_factory=dict)
    #: How many requests each end has said that it takes before it has answered the first (RFC 7296 2.3).
    local_window: int = 1
    remote_window: int = 1
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
    #: Random numbers of this end between the two addresses at which the SA was made.
    streams: Streams = field(init=False, repr=False)

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
    def spis(self) -> tuple[int, int]:
        """SPIs of the end that is the initiator, and of the responder."""
        return (self.local_spi, self.remote_spi) if self.initiator else (self.remote_spi, self.local_spi)

    @property
    def spi_i(self) -> int:
        """SPI of the end that is the initiator."""
        return self.local_spi if self.initiator else self.remote_spi

    @property
    def spi_r(self) -> int:
        """SPI of the end that is the responder."""
        return self.remote_spi if self.initiator else self.local_spi

    @property
    def negotiating(self) -> bool:
        """True before both ends are authenticated."""
        return self.state in (State.IDLE, State.INIT_SENT, State.AUTH_SENT, State.HALF_OPEN)

    def move(self, trigger: Trigger) -> None:
        """Go to the next state. Raises LocalProtocolError and changes nothing when the table does not allow it."""
        self.state = next_state(self.state, trigger)
        self.alive = self.state is not State.CLOSED
