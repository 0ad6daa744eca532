"""What the flows of a run mean to a router's IKEv2: when a Child SA reaches its volume, when packets come and go.

The traffic is fluid: each flow carries its mean rate from its start to its stop, in both directions where it has
replies. For constant gaps the instants are exact up to one packet; arrivals at random scatter around them.

What this leaves out: the delay of the underlay, packets that are lost or dropped, fragments, flows that share a tunnel
between more than two routers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..models.addresses import HEADER_BYTES, IpAddress
from ..models.esp import TRAILER_BYTES, payload_padding
from ..models.ikev2.sa import NS_PER_S, ChildSa, IkeSa, nanoseconds
from ..models.ios.to_ikev2 import GRE_PROTOCOL
from ..models.traffic import IMIX, Flow

#: GRE without key, sequence number or checksum (RFC 2784). [bytes]
GRE_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A flow in one direction: packets of these lengths and shares at a rate, from start to stop. [s], [packet/s]"""

    start_s: float
    stop_s: float
    packets_per_s: float
    lengths: tuple[tuple[int, float], ...]


class TrafficMeter:
    """The traffic of one router, as `models.ikev2.volume.Traffic`; ``owners``: router of each address."""

    def __init__(self, router: str, flows: Sequence[Flow], owners: Mapping[IpAddress, str]) -> None:
        self._owners = owners
        self._out: dict[str, list[_Stretch]] = defaultdict(list)
        self._in: dict[str, list[_Stretch]] = defaultdict(list)
        for flow in flows:
            stretch = _Stretch(flow.start_s, flow.stop_s, flow.packets_per_s, _lengths(flow))
            for source, destination in ((flow.source, flow.destination), (flow.destination, flow.source)):
                if source == flow.source or flow.round_trip:
                    if router == source:
                        self._out[destination].append(stretch)
                    elif router == destination:
                        self._in[source].append(stretch)

    def carried_ns(self, sa: IkeSa, child: ChildSa, n_bytes: float, now: int) -> int | None:
        """Return when the busier direction of ``child`` will have carried ``n_bytes`` from ``now`` on. [ns]"""
        peer = self._owners.get(sa.remote, "")
        gre = all(s.protocol == GRE_PROTOCOL for s in child.local_selectors)
        times = []
        for stretches in (self._out.get(peer, []), self._in.get(peer, [])):
            means = (_mean_encrypted_bytes(s, child, sa.local.version, gre=gre) for s in stretches)
            rates = [(s, s.packets_per_s * mean) for s, mean in zip(stretches, means, strict=True)]
            times.append(_filled_s(rates, n_bytes, now / NS_PER_S))
        first_s = min(times)
        return nanoseconds(first_s) if first_s < math.inf else None

    def last_inbound_ns(self, sa: IkeSa, now: int) -> int | None:
        """Return when the last packet came from the peer of ``sa``: ``now`` while one of its flows goes on. [ns]"""
        stretches = self._in.get(self._owners.get(sa.remote, ""), [])
        times = [min(now, nanoseconds(s.stop_s) if s.stop_s < math.inf else now) for s in stretches if _begun(s, now)]
        return max(times, default=None)

    def next_outbound_ns(self, sa: IkeSa, now: int) -> int | None:
        """Return when the next packet goes to the peer of ``sa``. [ns]"""
        stretches = self._out.get(self._owners.get(sa.remote, ""), [])
        times = [max(now, nanoseconds(s.start_s)) for s in stretches if s.stop_s > now / NS_PER_S]
        return min(times, default=None)


def _begun(stretch: _Stretch, now: int) -> bool:
    return nanoseconds(stretch.start_s) <= now


def _lengths(flow: Flow) -> tuple[tuple[int, float], ...]:
    """Return the lengths of a flow's packets with their shares of all packets."""
    if flow.packet_bytes is not None:
        return ((flow.packet_bytes, 1.0),)
    mix = IMIX[flow.mix]
    total = sum(mix.weights)
    return tuple((n, weight / total) for n, weight in zip(mix.packet_bytes, mix.weights, strict=True))


def _mean_encrypted_bytes(stretch: _Stretch, child: ChildSa, version: int, *, gre: bool) -> float:
    """Return the mean of the octets of a packet that are encrypted: payload, padding and trailer (RFC 4303 2.4)."""
    extra = GRE_HEADER_BYTES if gre else 0
    if gre and child.policy.mode == "tunnel":
        extra += HEADER_BYTES[version]
    encryption = child.suite.encryption
    if not encryption:
        # AH encrypts nothing: the packet that it protects counts.
        return sum(share * (n + extra) for n, share in stretch.lengths)
    return sum(
        share * (n + extra + payload_padding(n + extra, encryption) + TRAILER_BYTES) for n, share in stretch.lengths
    )


def _filled_s(rates: Sequence[tuple[_Stretch, float]], n_bytes: float, now_s: float) -> float:
    """Return when stretches with these rates will have carried ``n_bytes`` from ``now_s`` on; inf: never. [s]

    The rate is constant between the starts and stops.
    """
    edges = sorted({now_s, *(t for s, _ in rates for t in (s.start_s, s.stop_s) if now_s < t < math.inf)})
    left = n_bytes
    for number, since_s in enumerate(edges):
        until_s = edges[number + 1] if number + 1 < len(edges) else math.inf
        rate = sum(r for s, r in rates if s.start_s <= since_s < s.stop_s)
        if rate and left <= rate * (until_s - since_s):
            return since_s + left / rate
        left -= rate * (until_s - since_s) if rate else 0.0
    return math.inf
