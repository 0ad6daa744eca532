"""Offered traffic: flows of packets between two routers' networks, and the packet mixes that testers use.

A flow says how many packets of which size are offered and when it starts and stops. The arrivals themselves are drawn
by the compiled generators in ``simulate/kernels.py``.

What this leaves out: TCP (a flow does not slow down when packets are lost nor send shorter ones when ICMP asks for it,
so that ``ip tcp adjust-mss`` has nothing to do), burstiness beyond Poisson, correlation between successive sizes, and a
random phase: constant flows with one rate and one start are in step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import InputError, unknown_name

Kind = Literal["ping", "constant", "poisson", "imix"]

#: IP header + ICMP or UDP header: the shortest packet that a flow can be made of. [bytes]
SHORTEST_PACKET_BYTES = 28
LONGEST_PACKET_BYTES = 65535


@dataclass(frozen=True, slots=True)
class Mix:
    """A packet mix: IP packet lengths and how often each occurs (weights need not add up to anything)."""

    name: str
    packet_bytes: tuple[int, ...]
    weights: tuple[float, ...]
    source: str

    @property
    def mean_packet_bytes(self) -> float:
        """Mean IP packet length. [bytes]"""
        return sum(b * w for b, w in zip(self.packet_bytes, self.weights, strict=True)) / sum(self.weights)


#: RFC 6985 gives a notation for mixes and no mix. Most tables give Ethernet frames; a frame is an IP packet + 18 bytes.
IMIX: dict[str, Mix] = {
    mix.name: mix
    for mix in [
        Mix(
            "simple",
            (40, 576, 1500),
            (7, 4, 1),
            "classical 'simple IMIX' in IP bytes: ratio 7:4:1 in every table found, sizes from recollection; CAIDA's"
            " NASA Ames packet lengths of 1999-2000 have 40, 576 and 1500 as 25, 75 and 95 % points"
            " (www.caida.org/research/traffic-analysis/AIX/plen_hist)",
        ),
        Mix(
            "simple-frames",
            (46, 576, 1500),
            (7, 4, 1),
            "7:4:1 of Ethernet frames of 64, 594, 1518 bytes (ostinato.org/blog/imix)",
        ),
        Mix(
            "csit",
            (46, 552, 1500),
            (28, 16, 4),
            "IMIX_v4_1 of FD.io CSIT: Ethernet frames 28 x 64, 16 x 570, 4 x 1518 bytes (CSIT methodology, NDR and"
            " PDR); mean frame 354 bytes",
        ),
        Mix(
            "ipsec",
            (72, 74, 576, 1400),
            (58.67, 2.0, 23.66, 15.67),
            "'IPSec IMIX' of the Open Traffic Generator API (snappi): Ethernet frames 90, 92, 594, 1418 bytes",
        ),
    ]
}


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets offered in one direction; a ping also has its reply.

    Parameters
    ----------
    name: unique in a scenario; the random numbers of the flow hang on it.
    source, destination: names of routers.
    kind: ``ping`` (echo request at every interval, reply of the same length), ``constant`` (equal gaps, the first
        packet at ``start_s``), ``poisson`` (exponential gaps, one length), ``imix`` (exponential gaps, lengths drawn
        independently from ``mix``).
    packet_bytes: inner IP packet length; not for ``imix``. [bytes]
    rate_pps, rate_bps: offered load, exactly one of them; ``rate_bps`` counts inner IP bits. [packet/s], [bit/s]
    start_s, stop_s: packets are offered in [start_s, stop_s). [s]
    mix: name in `IMIX`; only for ``imix``.
    df: IPv4 packets have the Don't Fragment bit, as those of TCP with path MTU discovery (RFC 1191).
    """

    name: str
    source: str
    destination: str
    kind: Kind
    packet_bytes: int | None = None
    rate_pps: float | None = None
    rate_bps: float | None = None
    start_s: float = 0.0
    stop_s: float = math.inf
    mix: str = "simple"
    df: bool = False

    def __post_init__(self) -> None:
        where = f"flow '{self.name}'"
        if self.kind not in get_args(Kind):
            raise unknown_name("kind of flow", self.kind, get_args(Kind), where)
        if self.kind == "imix":
            if self.packet_bytes is not None:
                raise InputError("packet_bytes does not go with kind 'imix': the mix gives the lengths", where)
            if self.mix not in IMIX:
                raise unknown_name("packet mix", self.mix, IMIX, where)
        elif self.packet_bytes is None or not SHORTEST_PACKET_BYTES <= self.packet_bytes <= LONGEST_PACKET_BYTES:
            raise InputError(
                f"packet_bytes is {self.packet_bytes}; kind '{self.kind}' needs"
                f" {SHORTEST_PACKET_BYTES} to {LONGEST_PACKET_BYTES} bytes",
                where,
            )
        rates = [rate for rate in (self.rate_pps, self.rate_bps) if rate is not None]
        if len(rates) != 1:
            raise InputError(f"{len(rates)} rates given; give exactly one of rate_pps and rate_bps", where)
        if not 0.0 < rates[0] < math.inf:
            raise InputError(f"the rate is {rates[0]:g}; it must be greater than 0 and finite", where)
        if not 0.0 <= self.start_s < self.stop_s:
            raise InputError(f"start_s {self.start_s:g} must be at least 0 and before stop_s {self.stop_s:g}", where)

    @property
    def mean_packet_bytes(self) -> float:
        """Mean inner IP packet length. [bytes]"""
        return IMIX[self.mix].mean_packet_bytes if self.packet_bytes is None else float(self.packet_bytes)

    @property
    def packets_per_s(self) -> float:
        """Mean offered packet rate. [packet/s]"""
        if self.rate_pps is not None:
            return self.rate_pps
        assert self.rate_bps is not None
        return self.rate_bps / (8.0 * self.mean_packet_bytes)

    @property
    def round_trip(self) -> bool:
        """True when every packet that arrives is answered by one of the same length."""
        return self.kind == "ping"
