"""NAT: its detection, the move to port 4500, keepalives, and peers whose mapping changes (RFC 7296 2.23, RFC 3948).

Each end sends hashes of the addresses and ports as it sees them. Where one differs from what the other end sees, a NAT
stands before the end that sent it; an end that forces encapsulation sends a hash that fits nothing. The initiator moves
to port 4500 with its next request, and IKE messages have a non-ESP marker from then on.

An end behind a NAT keeps its mapping alive: when it has sent nothing for a while it sends one octet, which the peer
ignores (RFC 3948 2.3). An end with a peer behind a NAT sends to where the peer's last authenticated packet came from,
unless MOBIKE takes care of that.

What this leaves out: keepalives that ESP makes needless where the driver does not know the traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..addresses import HEADER_BYTES, IpAddress
from .message import NAT_T_PORT, UDP_HEADER_BYTES, Datagram, Message
from .operations import HandleMessage, Operation
from .payloads import NotifyPayload
from .sa import IkeSa, nanoseconds
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint

SOURCE, DESTINATION = "NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP"
_SOURCE_TOKEN, _DESTINATION_TOKEN = f"N:{SOURCE}", f"N:{DESTINATION}"
#: A SHA-1 hash. [bytes]
HASH_BYTES = 20
#: The hash of no address.
_FAKE = 0


def _hash(address: IpAddress, port: int) -> int:
    """Return what stands for the hash of an address, of either family, and a port."""
    return int(address) << 16 | port


def payloads(ep: Endpoint, local: tuple[IpAddress, int], remote: tuple[IpAddress, int]) -> dict[str, NotifyPayload]:
    """Return both notifications of a message, by token. ``local``, ``remote``: address and port of both ends."""
    source = _FAKE if ep.policy.forces_encapsulation else _hash(*local)
    return {
        _SOURCE_TOKEN: NotifyPayload(SOURCE, HASH_BYTES, value=source),
        _DESTINATION_TOKEN: NotifyPayload(DESTINATION, HASH_BYTES, value=_hash(*remote)),
    }


def detect(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Note before which end there is a NAT, from a message of IKE_SA_INIT, whose ports and addresses ``sa`` has."""
    source, destination = message.notify(SOURCE), message.notify(DESTINATION)
    sa.nat_there = source is not None and source.value != _hash(sa.remote, sa.remote_port)
    sa.nat_here = ep.policy.forces_encapsulation or (
        destination is not None and destination.value != _hash(sa.local, sa.local_port)
    )
    sa.behind_nat = sa.nat_here or sa.nat_there


def move(sa: IkeSa) -> None:
    """Let all further messages of an initiator use port 4500."""
    sa.local_port = sa.remote_port = NAT_T_PORT


# -- Mappings that change --------------------------------------------------------------------------------------


def follow_peer(ep: Endpoint, sa: IkeSa, datagram: Datagram, now: int) -> None:
    """Send to where an authenticated packet of a peer behind a NAT came from.

    An end that is behind a NAT itself does not: its peer has no mapping that could change (RFC 7296 2.23).
    """
    if sa.nat_here or sa.mobike:
        return
    before = sa.remote, sa.remote_port
    if datagram.source != sa.remote:
        ep.directory.follow(sa, datagram.source)
    sa.remote_port = datagram.source_port
    if (sa.remote, sa.remote_port) != before and not sa.negotiating:
        ep.tell("peer_moved", sa, now, detail=f"{sa.remote}:{sa.remote_port}")


# -- Keepalives ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keepalive:
    """A UDP packet of one octet, 0xFF, that keeps the mapping of a NAT alive (RFC 3948 2.3)."""

    source: IpAddress
    destination: IpAddress
    source_port: int
    destination_port: int
    udp_len = 1

    @property
    def ip_len(self) -> int:
        """The IP packet: 29 octets in IPv4. [bytes]"""
        return self.udp_len + UDP_HEADER_BYTES + HEADER_BYTES[self.source.version]


def keepalive_s(ep: Endpoint, sa: IkeSa) -> float:
    """Return after how long without a packet a keepalive is sent; 0: never. [s]"""
    told = sa.profile.nat_keepalive_s if sa.profile is not None else None
    if told is None:
        told = ep.policy.nat_keepalive_s
    if told is not None:
        return told
    return ep.implementation.number("nat_keepalive_s") if ep.implementation.profile.values.nat_keepalive_s else 0.0


def start_keepalives(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Begin to keep the mapping alive, where a NAT stands before this end."""
    interval_s = keepalive_s(ep, sa)
    if interval_s:
        sa.sent_ns = now
        ep.set_timer(sa, "keepalive", now + nanoseconds(interval_s))


def keep_alive(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Send a keepalive if nothing was sent for the interval, and wait for the next one."""
    if sa.state not in (State.ESTABLISHED, State.DELETING):
        return
    interval_ns = nanoseconds(keepalive_s(ep, sa))
    if ep.traffic is not None and ep.traffic.next_outbound_ns(sa, now) == now:
        sa.sent_ns = now
    due = sa.sent_ns + interval_ns
    if due > now:
        ep.set_timer(sa, "keepalive", due)
        return

    def finish(t: int) -> None:
        keepalive = Keepalive(sa.local, sa.remote, sa.local_port, sa.remote_port)
        ep.send_keepalive(keepalive)
        ep.tell("keepalive", sa, t, detail=f"{keepalive.ip_len} bytes to {sa.remote}:{sa.remote_port}")
        sa.sent_ns = t
        ep.set_timer(sa, "keepalive", t + interval_ns)

    # It keeps no request waiting: it is no message.
    operations: list[Operation] = [HandleMessage("out", stateless=True)]
    ep.begin(None, sa.remote, operations, "NAT keepalive", lambda t: finish(t) if sa.alive else None)
