"""Session resumption: an IKE SA from a ticket of an earlier one, without a key exchange (RFC 5723).

The initiator asks for a ticket in IKE_AUTH and gets it in the last response. When the session is lost it sends the
ticket in IKE_SESSION_RESUME, both ends derive SKEYSEED from SK_d of the old SA and the new nonces (section 5.1), and
IKE_AUTH follows with AUTH by the new SK_p, without certificates and EAP. A ticket is used once; a gateway that does not
take it answers TICKET_NACK, and a full exchange follows.

A ticket is the state itself, sealed by a key of the gateway (by value), or a handle to what the gateway keeps (by
reference): the latter dies with the gateway's memory.

What this leaves out: TICKET_ACK and tickets in INFORMATIONAL, cookies in IKE_SESSION_RESUME, gateways that share a key,
the length of the state in a ticket by value beyond a fixed estimate; a resumed SA counts as made without a PPK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..algorithms import PRFS
from ..secret import Secret
from ..values import RECOLLECTION, Value
from . import authentication, nat, work
from .identity import Identity
from .message import Datagram, Exchange, Message
from .operations import Operation, PrfCall, Protect, Unprotect
from .payloads import AuthPayload, NoncePayload, NotifyPayload, Payload
from .policy import Certificate, TunnelPolicy
from .proposals import Suite
from .sa import NS_PER_S, IkeSa, nanoseconds
from .states import Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint

REQUEST, GIVEN, REFUSED, TICKET = "TICKET_REQUEST", "TICKET_LT_OPAQUE", "TICKET_NACK", "TICKET_OPAQUE"
#: What goes on after a refused ticket and after an accepted one.
Full = Callable[["Endpoint", IkeSa, int], None]
Authenticate = Callable[["Endpoint", IkeSa, list[Operation]], None]
#: Lifetime in seconds before the ticket in TICKET_LT_OPAQUE (RFC 5723 section 7.2). [bytes]
LIFETIME_BYTES = 4
#: Length of a ticket: by value the state of appendix A of the RFC (identities, SPIs, proposal, SK_d) with IV and ICV,
#: by reference a handle.
BY_VALUE_BYTES = Value(value=256, unit="bytes", kind="assumed", source=RECOLLECTION, range=(160, 600))
BY_REFERENCE_BYTES = Value(value=16, unit="bytes", kind="assumed", source=RECOLLECTION, range=(8, 64))
#: The cipher that seals tickets by value. Assumed: any authenticated one.
_SEAL = "aes-gcm-256"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an end needs to resume a session. ``derivation`` stands for SK_d; ``octets`` name it on the wire.

    ``identities``: of the initiator, then of the responder. ``local_spi``: of the holder's end of the old SA.
    """

    octets: bytes
    n_bytes: int
    expires_ns: int
    suite: Suite
    derivation: Secret
    identities: tuple[Identity, Identity]
    local_spi: int
    peer_chain: tuple[Certificate, ...] = ()
    #: What the holder of a ticket by value hands back: the gateway's own ticket, sealed by its key.
    sealed: Ticket | None = None
    seal: Secret | None = None


@dataclass(slots=True)
class TicketPayload(NotifyPayload):
    """TICKET_LT_OPAQUE or TICKET_OPAQUE. ``sealed``: what a ticket by value holds, for whoever has the ``seal``."""

    sealed: Ticket | None = None
    seal: Secret | None = None


class Tickets:
    """Tickets of one end: those it holds by tunnel, those it keeps for others, and the key that seals its own."""

    def __init__(self, seal: Secret) -> None:
        self.held: dict[str, Ticket] = {}
        self.kept: dict[bytes, Ticket] = {}
        self.used: set[bytes] = set()
        self.seal = seal

    def usable(self, tunnel: TunnelPolicy, now: int) -> Ticket | None:
        """Return the ticket of a tunnel if it has not expired; it is not held any more (section 4.3.2)."""
        ticket = self.held.pop(tunnel.name, None)
        return ticket if ticket is not None and now < ticket.expires_ns else None

    def opened(self, payload: TicketPayload, now: int) -> Ticket | None:
        """Return what a ticket of this end stands for; None when it is another's, expired or used."""
        if payload.sealed is not None:
            ticket = payload.sealed if payload.seal == self.seal else None
        else:
            ticket = self.kept.get(payload.data)
        if ticket is None or now >= ticket.expires_ns or ticket.octets in self.used:
            return None
        return ticket

    def spend(self, ticket: Ticket) -> None:
        """Note that a ticket has been used."""
        self.kept.pop(ticket.octets, None)
        self.used.add(ticket.octets)


# -- Getting a ticket ------------------------------------------------------------------------------------------


def wish(ep: Endpoint) -> tuple[Payload, ...]:
    """Return what an initiator adds to the first request of IKE_AUTH."""
    return (NotifyPayload(REQUEST),) if ep.resumption is not None else ()


def give(ep: Endpoint, sa: IkeSa, first: Message, initiator: Identity, responder: Identity) -> list[TicketPayload]:
    """Return a ticket for an initiator that has asked for one in its ``first`` request of IKE_AUTH."""
    policy = ep.resumption
    if policy is None or sa.suite is None or first.notify(REQUEST) is None:
        return []
    octets = sa.streams.bits("ticket").to_bytes(8, "big")
    expires_ns = sa.created_ns + nanoseconds(policy.lifetime_s)
    ticket = Ticket(
        octets,
        policy.ticket_bytes,
        expires_ns,
        sa.suite,
        derivation(sa),
        (initiator, responder),
        sa.local_spi,
        sa.peer_chain,
    )
    n_bytes, lifetime_s = LIFETIME_BYTES + ticket.n_bytes, round(policy.lifetime_s)
    if policy.by_value:
        return [TicketPayload(GIVEN, n_bytes, value=lifetime_s, data=octets, sealed=ticket, seal=ep.tickets.seal)]
    ep.tickets.kept[octets] = ticket
    return [TicketPayload(GIVEN, n_bytes, value=lifetime_s, data=octets)]


def sealing(tickets: list[TicketPayload]) -> list[Operation]:
    """Return the work of sealing tickets by value."""
    return [Protect(_SEAL, "", t.n_bytes - LIFETIME_BYTES) for t in tickets if t.sealed is not None]


def keep(ep: Endpoint, sa: IkeSa, message: Message, peer: Identity) -> None:
    """Keep the ticket of the last response of IKE_AUTH, as initiator."""
    given = message.notify(GIVEN)
    if not isinstance(given, TicketPayload) or sa.tunnel is None or sa.suite is None or sa.local_identity is None:
        return
    ep.tickets.held[sa.tunnel.name] = Ticket(
        given.data,
        given.n_bytes - LIFETIME_BYTES,
        sa.created_ns + given.value * NS_PER_S,
        sa.suite,
        derivation(sa),
        (sa.local_identity, peer),
        sa.local_spi,
        sa.peer_chain,
        given.sealed,
        given.seal,
    )


def derivation(sa: IkeSa) -> Secret:
    """Return what stands for SK_d of an SA: both ends know it, and no other SA has it."""
    nonces = (sa.nonce_local, sa.nonce_remote) if sa.initiator else (sa.nonce_remote, sa.nonce_local)
    old = sa.resumed.derivation if sa.resumed is not None else Secret("a shared secret")
    return Secret(old.proof("SK_d", sa.spi_i, sa.spi_r, *nonces))


# -- IKE_SESSION_RESUME ----------------------------------------------------------------------------------------


def begin(ep: Endpoint, sa: IkeSa, ticket: Ticket, full: Full, authenticate: Authenticate) -> None:
    """Send a ticket instead of a key exchange. The SA has its nonce, profile and tunnel already.

    ``full`` sends IKE_SA_INIT when the ticket is refused, ``authenticate`` begins IKE_AUTH when it is not.
    """
    sa.resumed = ticket
    shown = TicketPayload(TICKET, ticket.n_bytes, data=ticket.octets, sealed=ticket.sealed, seal=ticket.seal)

    def finish(now: int) -> None:
        payloads = (NoncePayload(sa.nonce_local, sa.nonce_local_bytes), shown, *_addresses(ep, sa))
        sa.move(Trigger.SEND_INIT)
        then = partial(_receive_response, ep, sa, full, authenticate)
        sa.init_request = ep.request(sa, Exchange.IKE_SESSION_RESUME, payloads, "init", then, now)

    ep.begin(sa, sa.remote, [*work.nat_detection(), *work.SEND], "IKE_SESSION_RESUME request", finish)


def _receive_response(ep: Endpoint, sa: IkeSa, full: Full, authenticate: Authenticate, message: Message) -> None:
    assert sa.resumed is not None and sa.profile is not None
    nonce = message.find(NoncePayload)
    if nonce is None:
        # The gateway does not take the ticket: begin from the beginning (section 4.3.2).
        sa.resumed = None
        operations = [*work.RECEIVE, *work.key_exchange_initiator(sa.group), *work.nat_detection(), *work.SEND]
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT request", lambda t: full(ep, sa, t))
        return
    nat.detect(ep, sa, message)
    if sa.behind_nat:
        nat.move(sa)
    sa.suite, sa.group = sa.resumed.suite, sa.resumed.suite.group
    sa.additional_done = len(sa.suite.additional_exchanges)
    sa.remote_spi, sa.init_response = message.spi_r, message
    sa.nonce_remote, sa.nonce_remote_bytes = nonce.value, nonce.n_bytes
    operations = [*work.RECEIVE, *work.nat_detection(), *_keys(sa)]
    authenticate(ep, sa, operations)


def receive(ep: Endpoint, datagram: Datagram, now: int) -> None:
    """Take an IKE_SESSION_RESUME request of a new initiator."""
    message, remote = datagram.message, datagram.source
    half_open, limit = ep.half_open_count(), ep.policy.max_in_negotiation_incoming
    if half_open >= (ep.implementation.count("max_in_negotiation_incoming") if limit is None else limit):
        ep.tell_of_stranger("rejected_by_admission", remote, now)
        return
    shown = message.notify(TICKET)
    ticket = ep.tickets.opened(shown, now) if isinstance(shown, TicketPayload) and ep.resumption is not None else None
    opening = [Unprotect(_SEAL, "", shown.n_bytes)] if isinstance(shown, TicketPayload) and shown.sealed else []
    if ticket is None:
        answer = NotifyPayload(REFUSED)
        operations = [*work.RECEIVE, *opening, *work.SEND]
        ep.begin(None, remote, operations, "refuse a ticket", lambda _t: ep.answer_without_state(datagram, answer))
        return
    ep.tickets.spend(ticket)
    sa = ep.new_sa(datagram.destination, remote, initiator=False, now=now)
    own, nonce = ep.nonce(sa), message.get(NoncePayload)
    sa.nonce_local, sa.nonce_local_bytes = own.value, own.n_bytes
    sa.nonce_remote, sa.nonce_remote_bytes = nonce.value, nonce.n_bytes
    sa.remote_spi, sa.init_request, sa.resumed = message.spi_i, message, ticket
    sa.local_port, sa.remote_port = datagram.destination_port, datagram.source_port
    sa.processing_request_id = 0
    nat.detect(ep, sa, message)
    ep.directory.opened(sa)
    ep.set_timer(sa, "half_open", now + nanoseconds(ep.implementation.number("half_open_timeout_s")))

    def finish(t: int) -> None:
        sa.move(Trigger.ANSWER_INIT)
        sa.init_response = ep.respond(sa, message, (own, *_addresses(ep, sa)))
        # From here on: the answer itself travels in the clear.
        sa.suite, sa.group, sa.keys_ready = ticket.suite, ticket.suite.group, True
        sa.additional_done = len(ticket.suite.additional_exchanges)
        ep.tell("half_open", sa, t)

    operations = [*work.RECEIVE, *opening, *work.nat_detection()]
    keys = work.ike_keys(ticket.suite, nonce.n_bytes + own.n_bytes)
    ep.begin(sa, remote, [*operations, *keys, *work.nat_detection(), *work.SEND], "IKE_SESSION_RESUME response", finish)


# -- IKE_AUTH --------------------------------------------------------------------------------------------------


def prove(sa: IkeSa) -> tuple[AuthPayload, list[Operation]]:
    """Return this end's AUTH, prf(SK_px, octets) (section 5.1), and its work: MACedID and AUTH, a PRF call each."""
    assert sa.suite is not None
    mine = _identity(sa, mine=True)
    proof = authentication.bind(derivation(sa), sa, mine, mine=True)
    return AuthPayload(PRFS[sa.suite.prf].output_bytes, proof), _operations(sa, mine, mine=True)


def check(sa: IkeSa, message: Message, peer: Identity) -> authentication.Verdict:
    """Judge the peer's AUTH: by SK_p, and for the identity that it had in the old SA."""
    assert sa.resumed is not None
    verdict = authentication.Verdict(_operations(sa, peer, mine=False))
    auth = message.find(AuthPayload)
    expected = authentication.bind(derivation(sa), sa, peer, mine=False)
    if auth is None or auth.proof != expected or peer != _identity(sa, mine=False):
        verdict.refusal = authentication.refusal(sa, "wrong key", peer)
    else:
        sa.peer_chain = sa.resumed.peer_chain
    return verdict


# -- Details ---------------------------------------------------------------------------------------------------


def _identity(sa: IkeSa, *, mine: bool) -> Identity:
    assert sa.resumed is not None
    return sa.resumed.identities[0 if sa.initiator == mine else 1]


def _operations(sa: IkeSa, identity: Identity, *, mine: bool) -> list[Operation]:
    prf, signed_bytes = authentication.signed_octets(sa, mine=mine)
    return [PrfCall(prf, 4 + identity.data_bytes()), PrfCall(prf, signed_bytes)]


def _keys(sa: IkeSa) -> list[Operation]:
    assert sa.suite is not None
    return list(work.ike_keys(sa.suite, sa.nonce_local_bytes + sa.nonce_remote_bytes))


def _addresses(ep: Endpoint, sa: IkeSa) -> list[Payload]:
    """Return what detects a NAT (RFC 7296 2.23): it may be another one than that of the old SA."""
    made = nat.payloads(ep, (sa.local, sa.local_port), (sa.remote, sa.remote_port))
    return [made["N:NAT_DETECTION_SOURCE_IP"], made["N:NAT_DETECTION_DESTINATION_IP"]]
