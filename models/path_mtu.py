"""What leaves a tunnel router for an inner packet that may be too long: whole, in pieces, or not at all.

The router knows the MTU of its own link, and that of the whole path once ICMP has told it (``discovers``: path MTU
discovery of the tunnel or of the SA, RFC 1191, RFC 8201, RFC 4301 section 8), unless it is filtered. Steps, in order:

1. ``ip mtu`` of the tunnel interface: a longer packet is cut, or refused with ICMP "fragmentation needed" (IPv4 with
   DF) or "packet too big" (IPv6, which no router cuts).
2. Fragmentation ``before`` encryption (the default of IOS): the length after encryption is known in advance, so the
   inner packet is cut as above to what the known path carries; the end host reassembles. ``after``: the ESP packet is
   cut, and the peer router must reassemble it before it can decrypt.
3. The path: what is longer than the path that nobody has discovered is cut on its way where the outer DF is clear, and
   vanishes where it is set or where the outer packet is IPv6: a black hole. So do fragments of outer packets where a
   middlebox drops them.

The outer DF is a copy of the inner one, set or clear (``crypto ipsec df-bit``); with ``clear`` the router ignores the
inner one too. GRE without ``tunnel path-mtu-discovery`` clears it. IPv6 needs 1280 bytes of every tunnel: a shorter
inner packet is never refused but cut after encryption (RFC 8200 section 5, RFC 2473 section 7).

What this leaves out: that IOS looks ahead behind GRE, at the GRE packet, and in transport mode not at all: here the
inner packet is what is cut; packets that are lost until ICMP has come; IP options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from .addresses import HEADER_BYTES
from .encapsulation import Encapsulation, IpVersion
from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DfPolicy = Literal["copy", "set", "clear"]
When = Literal["before", "after"]
#: ``too big``: refused with ICMP; ``black hole``: lost on the path without a word.
Fate = Literal["sent", "too big", "black hole"]

#: Least MTU of IPv6 (RFC 8200 section 5), fragment header of IPv6 (section 4.5). [bytes]
IPV6_MIN_MTU, IPV6_FRAGMENT_BYTES = 1280, 8
#: Longest IP packet, and headers of TCP without options. [bytes]
IP_MAX_BYTES, TCP_BYTES = 65535, 20


@dataclass(frozen=True, slots=True)
class TunnelPath:
    """A tunnel and the path below it.

    Parameters
    ----------
    link_mtu: of the router's own link. [bytes]
    path_mtu: of the narrowest link. [bytes]
    discovers: whether the router asks for ``path_mtu``: it copies DF (GRE) and listens to ICMP.
    icmp: whether the ICMP messages of the path come through; without them it learns nothing.
    drops_fragments: a middlebox drops the fragments of outer packets, wherever they were cut.
    ip_mtu: of the tunnel interface; None: what fits the known path when fragmenting before encryption, else no limit
        of its own. [bytes]

    Raises InputError for an MTU that carries nothing or a path wider than the link.
    """

    encapsulation: Encapsulation
    link_mtu: int = 1500
    path_mtu: int = 1500
    discovers: bool = True
    ip_mtu: int | None = None
    fragment: When = "before"
    df: DfPolicy = "copy"
    icmp: bool = True
    drops_fragments: bool = False

    def __post_init__(self) -> None:
        if self.path_mtu > self.link_mtu:
            raise InputError(f"the path carries {self.path_mtu} bytes, more than the first link ({self.link_mtu})")
        self.encapsulation.max_inner_bytes(self.path_mtu)
        smallest = self.encapsulation.smallest_inner_bytes + 8
        if self.ip_mtu is not None and not smallest <= self.ip_mtu <= IP_MAX_BYTES:
            raise InputError(f"ip mtu {self.ip_mtu}: {smallest} to {IP_MAX_BYTES} bytes are allowed")

    @property
    def known_mtu(self) -> int:
        """What the router believes the path to carry. [bytes]"""
        return self.path_mtu if self.discovers and self.icmp else self.link_mtu

    @property
    def inner_limit(self) -> int:
        """The longest inner packet that is not cut or refused before encryption. [bytes]"""
        own = IP_MAX_BYTES if self.ip_mtu is None else self.ip_mtu
        return min(own, self.encapsulation.max_inner_bytes(self.known_mtu)) if self.fragment == "before" else own

    def outer_df(self, *, df: bool) -> bool:
        """Return whether the outer packet around one with this DF may not be cut."""
        if self.df != "copy":
            return self.df == "set"
        return df and (self.encapsulation.carrier != "gre" or self.discovers)


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of an inner packet.

    Parameters
    ----------
    inner: lengths of what was encrypted, one entry an ESP packet. [bytes]
    outer: for each of them the lengths of the IP packets that arrive. [bytes]
    told_mtu: MTU in the ICMP message to the sender; 0: no message. [bytes]
    """

    fate: Fate
    inner: tuple[int, ...] = ()
    outer: tuple[tuple[int, ...], ...] = ()
    told_mtu: int = 0

    @property
    def reassembled_by(self) -> str:
        """Who puts the packet together: ``nobody``, ``end host``, ``peer router`` or both of them."""
        who = ["end host"] if len(self.inner) > 1 else []
        who += ["peer router"] if any(len(pieces) > 1 for pieces in self.outer) else []
        return " and ".join(who) or "nobody"


def passage(tunnel: TunnelPath, inner_bytes: int, *, df: bool = False, version: IpVersion = 4) -> Passage:
    """Return what becomes of one inner packet of this length, DF bit and IP version.

    >>> paper = Encapsulation("aes-cbc-256", "sha512")
    >>> passage(TunnelPath(paper), 1500).outer
    ((1500,), (188,))
    >>> passage(TunnelPath(paper, fragment="after"), 1500).outer
    ((1500, 100),)
    >>> passage(TunnelPath(paper), 1500, df=True).told_mtu
    1422
    """
    limit = tunnel.inner_limit
    # IPv6 has no DF bit: no packet of it is cut by a router.
    whole = version == 6 or (df and tunnel.df != "clear")
    pieces: tuple[int, ...] = (inner_bytes,)
    if inner_bytes > limit:
        if not whole:
            pieces = fragments(inner_bytes, limit)
        elif version == 4 or inner_bytes > IPV6_MIN_MTU:
            return Passage("too big", told_mtu=max(limit, IPV6_MIN_MTU) if version == 6 else limit)
    outer_df = tunnel.outer_df(df=df or version == 6)
    outer = []
    for piece in pieces:
        length = tunnel.encapsulation.packet_bytes(piece)
        if length > tunnel.known_mtu and outer_df and not (version == 6 and piece <= IPV6_MIN_MTU):
            longest = tunnel.encapsulation.max_inner_bytes(tunnel.known_mtu)
            return Passage("too big", told_mtu=max(longest, IPV6_MIN_MTU) if version == 6 else longest)
        sent = fragments(length, tunnel.known_mtu, tunnel.encapsulation.outer)
        arrived: list[int] = []
        for packet in sent:
            if packet > tunnel.path_mtu and (outer_df or tunnel.encapsulation.outer == 6):
                return Passage("black hole", pieces)
            arrived += fragments(packet, tunnel.path_mtu)
        if tunnel.drops_fragments and len(arrived) > 1:
            return Passage("black hole", pieces)
        outer.append(tuple(arrived))
    return Passage("sent", pieces, tuple(outer))


def fragments(packet_bytes: int, mtu: int, version: IpVersion = 4) -> tuple[int, ...]:
    """Return the lengths of the fragments of one IP packet with their headers (RFC 791; RFC 8200 section 4.5). [bytes]

    >>> fragments(1580, 1500), fragments(1580, 1500, 6), fragments(1500, 1500)
    ((1500, 100), (1496, 140), (1500,))

    Raises InputError when no fragment fits.
    """
    if packet_bytes <= mtu:
        return (packet_bytes,)
    header = HEADER_BYTES[version]
    around = header + (IPV6_FRAGMENT_BYTES if version == 6 else 0)
    full = _full_bytes(mtu, version)
    whole, rest = divmod(packet_bytes - header, full)
    # The last fragment need not be a multiple of 8: one that just fits the MTU is not cut again.
    if whole and around + full + rest <= mtu:
        whole, rest = whole - 1, full + rest
    return (around + full,) * whole + ((around + rest,) if rest else ())


@overload
def fragment_count(packet_bytes: int, mtu: int, version: IpVersion = 4) -> int: ...
@overload
def fragment_count(packet_bytes: NDArray[np.integer], mtu: int, version: IpVersion = 4) -> NDArray[np.integer]: ...
def fragment_count(
    packet_bytes: int | NDArray[np.integer], mtu: int, version: IpVersion = 4
) -> int | NDArray[np.integer]:
    """Return into how many fragments IP packets are cut, 1 for those that fit; whole numbers or an array."""
    full = _full_bytes(mtu, version)
    around = HEADER_BYTES[version] + (IPV6_FRAGMENT_BYTES if version == 6 else 0)
    slack = mtu - around - full
    payload = packet_bytes - HEADER_BYTES[version]
    cut = (payload - slack + full - 1) // full
    return 1 + (cut - 1) * (packet_bytes > mtu)


def fragmented_bytes(packet_bytes: NDArray[np.int64], mtu: int, version: IpVersion = 4) -> NDArray[np.int64]:
    """Return the lengths of all fragments of each IP packet together; of those that fit their own. Shape (n,). [bytes]

    >>> import numpy as np
    >>> fragmented_bytes(np.array([1500, 1580]), 1500).tolist(), sum(fragments(1580, 1500))
    ([1500, 1600], 1600)
    """
    pieces = fragment_count(packet_bytes, mtu, version)
    extra = IPV6_FRAGMENT_BYTES if version == 6 else 0
    together: NDArray[np.int64] = packet_bytes + (pieces - 1) * HEADER_BYTES[version] + extra * pieces * (pieces > 1)
    return together


def _full_bytes(mtu: int, version: IpVersion) -> int:
    """Return what each fragment but the last carries: the greatest multiple of 8. [bytes]"""
    room = mtu - HEADER_BYTES[version] - (IPV6_FRAGMENT_BYTES if version == 6 else 0)
    if room < 8:
        raise InputError(f"no fragment fits {mtu} bytes: headers and 8 bytes are needed")
    return room // 8 * 8


@dataclass(frozen=True, slots=True)
class Advice:
    """Settings with which nothing is cut: ``ip mtu`` and ``ip tcp adjust-mss`` of the tunnel. [bytes]"""

    ip_mtu: int
    adjust_mss: int


def advice(tunnel: TunnelPath) -> Advice:
    """Return the greatest ``ip mtu`` that the path carries whole, and the segment of TCP that fits it (RFC 9293 3.7.1).

    The segment is that of the family with the longer header among those that the tunnel carries.

    >>> advice(TunnelPath(Encapsulation("aes-cbc-256", "sha512")))
    Advice(ip_mtu=1422, adjust_mss=1382)
    """
    longest = tunnel.encapsulation.max_inner_bytes(tunnel.path_mtu)
    headers = max(HEADER_BYTES[version] for version in tunnel.encapsulation.inner) + TCP_BYTES
    return Advice(longest, longest - headers)
