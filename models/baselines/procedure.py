"""A set-up as a graph of packets: messages, bytes, round trips, and when the first user packet can be sent.

Every packet waits for others: for those that came from the other end until they are processed, for its sender's own
until they are sent. Each end has one core; the path has a delay and no loss.

What this leaves out: losses and retransmission, the time to put bits on the wire, acknowledgements that are delayed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..ikev2.operations import Operation

Service = Callable[[Iterable[Operation]], float]


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of a set-up. ``after``: places of those that its sender needs. ``ip_bytes``: with the IPv4 header.

    ``sender``: what sending costs; ``receiver``: everything that its arrival sets off.
    """

    layer: str
    name: str
    from_initiator: bool
    ip_bytes: int
    after: tuple[int, ...] = ()
    sender: tuple[Operation, ...] = ()
    receiver: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Procedure:
    """The set-up of one protocol.

    ``ready``: the packets that both ends must have processed, or sent, before the initiator's first user packet passes.
    """

    name: str
    packets: tuple[Packet, ...]
    ready: tuple[int, ...]

    @property
    def messages(self) -> int:
        """Number of packets."""
        return len(self.packets)

    @property
    def ip_bytes(self) -> int:
        """Length of all packets with their IPv4 headers. [bytes]"""
        return sum(packet.ip_bytes for packet in self.packets)

    def round_trips(self) -> float:
        """Return the time until user packets pass, in round trips, when nothing costs time but the path."""
        return self.setup_s(1.0, lambda _: 0.0)

    def cpu_s(self, service_s: Service, *, initiator: bool) -> float:
        """Return the CPU time of one end for the whole set-up. [s]"""
        return sum(
            service_s(packet.sender if packet.from_initiator == initiator else packet.receiver)
            for packet in self.packets
        )

    def setup_s(self, rtt_s: float, service_s: Service) -> float:
        """Return the time from the first packet to the first user packet that is not in vain. [s]

        It may follow the initiator's last packet at once, unless the responder would not be ready when it arrives.

        Parameters
        ----------
        rtt_s: delay of the path, both ways together. [s]
        service_s: duration of operations at either end. [s]
        """
        if not self.packets:
            return 0.0
        processed_s = _processed_s(self.packets, rtt_s / 2, service_s)
        return max(
            processed_s[place] - (rtt_s / 2 if self.packets[place].from_initiator else 0.0) for place in self.ready
        )


def chain(
    layer: str, packets: Sequence[tuple[str, bool, int, tuple[Operation, ...], tuple[Operation, ...]]], first: int = 0
) -> list[Packet]:
    """Return packets of which each waits for the one before it, the first at the place ``first`` of its procedure.

    A packet is given as name, whether the initiator sends it, length in bytes, operations of sender and receiver.
    """
    return [
        Packet(layer, name, initiator, n_bytes, (place - 1,) if place else (), sender, receiver)
        for place, (name, initiator, n_bytes, sender, receiver) in enumerate(packets, start=first)
    ]


def _processed_s(packets: Sequence[Packet], one_way_s: float, service_s: Service) -> list[float]:
    """Return when the receiver of each packet had processed it. [s]"""
    processed_s = [0.0] * len(packets)
    free_s = {True: 0.0, False: 0.0}
    waiting = [set(packet.after) for packet in packets]
    # Work that is ready: time, place, whether it is the receiver's. Of equals the packet that comes first.
    agenda = [(0.0, place, False) for place, packet in enumerate(packets) if not packet.after]
    heapq.heapify(agenda)
    while agenda:
        at_s, place, receiving = heapq.heappop(agenda)
        packet = packets[place]
        end = packet.from_initiator != receiving
        done_s = max(at_s, free_s[end]) + service_s(packet.receiver if receiving else packet.sender)
        free_s[end] = done_s
        if receiving:
            processed_s[place] = done_s
        else:
            heapq.heappush(agenda, (done_s + one_way_s, place, True))
        for other, needed in enumerate(waiting):
            if place in needed and packets[other].from_initiator == end:
                needed.remove(place)
                if not needed:
                    heapq.heappush(agenda, (done_s, other, False))
    assert not any(waiting), "a packet waits for ever"
    return processed_s
