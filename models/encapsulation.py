"""How a tunnel wraps an IP packet: ESP, AH or both, tunnel or transport mode, GRE or L2TP inside, IPv4 or IPv6 outside.

=======================  ====================================================================
``native`` tunnel        outer IP | [UDP] | ESP ( inner IP packet )
``gre``, transport mode  outer IP | [UDP] | ESP ( GRE | inner IP packet )
``gre``, tunnel mode     outer IP | [UDP] | ESP ( GRE's own IP | GRE | inner IP packet )
``l2tp``, transport      outer IP | [UDP] | ESP ( UDP | L2TP | PPP | inner IP packet )
``host``, transport      outer IP | [UDP] | ESP ( what the inner IP packet carries )
=======================  ====================================================================

AH stands before ESP, or instead of it. The family of an inner packet changes no length but that of the smallest one;
which families a tunnel carries does depend on what it is: one pair of native IPsec SAs has selectors of one family,
both need a second selector in the same SA (dual overlay, ``any-dual``) or a second tunnel, and GRE carries both.

What this leaves out: traffic flow confidentiality padding, IP options and extension headers, link-layer framing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from . import ah, esp
from .addresses import HEADER_BYTES
from .errors import InputError
from .esp import Mode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IpVersion = Literal[4, 6]
Carrier = Literal["native", "gre", "l2tp", "host"]

#: GRE header, and each of its options (RFC 2784, RFC 2890). [bytes]
GRE_BYTES, GRE_OPTION_BYTES = 4, 4
#: UDP, the shortest L2TP data header, and the protocol field of PPP without its address field (RFC 2661, RFC 1661).
L2TP_BYTES = esp.UDP_BYTES + 6 + 2


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """One way to wrap a packet.

    Parameters
    ----------
    encryption, integrity: of ESP, names in `algorithms`; both empty: no ESP.
    ah: integrity algorithm of AH; empty: no AH. Without ESP and AH the packet is not protected, as plain GRE.
    carrier: what stands between protection and inner packet.
    mode: of the Child SA.
    gre_options: how many of key, sequence number and checksum the GRE header has.
    outer, inner: IP versions; ``inner`` may hold both.
    dual: a native tunnel has a selector of each family in one SA.
    nat_t: ESP in UDP on port 4500.

    Raises InputError for a combination that there is not.
    """

    encryption: str = ""
    integrity: str = ""
    ah: str = ""
    carrier: Carrier = "native"
    mode: Mode = "tunnel"
    gre_options: int = 0
    outer: IpVersion = 4
    inner: tuple[IpVersion, ...] = (4,)
    dual: bool = False
    nat_t: bool = False

    def __post_init__(self) -> None:
        if self.nat_t and self.ah:
            raise InputError("AH protects the outer addresses, which a NAT changes: it has no NAT traversal (RFC 3948)")
        if self.nat_t and not self.encryption:
            raise InputError("UDP encapsulation is for ESP, and there is no ESP")
        if self.carrier == "native" and self.mode == "transport":
            raise InputError("a native tunnel needs tunnel mode; in transport mode GRE, L2TP or the hosts are the ends")
        if self.carrier in ("l2tp", "host") and self.mode == "tunnel":
            raise InputError(f"{self.carrier} is protected in transport mode")
        if self.carrier == "native" and not self.encryption and not self.ah:
            raise InputError("a native tunnel needs ESP or AH")
        if self.carrier == "host" and self.inner != (self.outer,):
            raise InputError("between hosts the inner header is the outer one: inner and outer family must agree")
        if self.carrier == "native" and len(set(self.inner)) > 1 and not self.dual:
            raise InputError(
                "one pair of native IPsec SAs carries one family: use GRE, two tunnels, or both selectors in one SA "
                "(tunnel mode ipsec dual-overlay)"
            )
        if self.gre_options and self.carrier != "gre":
            raise InputError("key, sequence number and checksum are options of GRE, and there is no GRE")
        if not 0 <= self.gre_options <= 3:
            raise InputError(f"GRE has 3 options (key, sequence number, checksum), not {self.gre_options}")

    @property
    def outer_ip_bytes(self) -> int:
        """The outer IP header. [bytes]"""
        return HEADER_BYTES[self.outer]

    @property
    def smallest_inner_bytes(self) -> int:
        """The shortest inner packet: an IP header. [bytes]"""
        return min(HEADER_BYTES[version] for version in self.inner)

    @property
    def ah_bytes(self) -> int:
        """The Authentication Header, 0 without. [bytes]"""
        return ah.header_bytes(self.ah, self.outer) if self.ah else 0

    @property
    def carrier_bytes(self) -> int:
        """What stands before the inner packet, inside the protection; negative: its own header moves out. [bytes]"""
        if self.carrier == "gre":
            own_ip = self.outer_ip_bytes if self.mode == "tunnel" and (self.encryption or self.ah) else 0
            return own_ip + GRE_BYTES + GRE_OPTION_BYTES * self.gre_options
        if self.carrier == "l2tp":
            return L2TP_BYTES
        return -self.outer_ip_bytes if self.carrier == "host" else 0

    @overload
    def packet_bytes(self, inner_bytes: int) -> int: ...
    @overload
    def packet_bytes(self, inner_bytes: NDArray[np.integer]) -> NDArray[np.integer]: ...
    def packet_bytes(self, inner_bytes: int | NDArray[np.integer]) -> int | NDArray[np.integer]:
        """Return the length of the outer IP packet around inner IP packets. [bytes]

        >>> Encapsulation("aes-cbc-256", "sha512").packet_bytes(1400)
        1484
        >>> Encapsulation(ah="sha256", outer=6, inner=(6,)).packet_bytes(1400)
        1472
        """
        payload = inner_bytes + self.carrier_bytes
        around = self.outer_ip_bytes + self.ah_bytes
        if not self.encryption:
            return payload + around
        # Tunnel mode without GRE adds nothing inside ESP: what stands there is counted above.
        return self.ah_bytes + esp.esp_packet_bytes(
            payload, self.encryption, self.integrity, nat_t=self.nat_t, outer_ip_bytes=self.outer_ip_bytes
        )

    def max_inner_bytes(self, path_mtu: int) -> int:
        """Return the longest inner packet whose outer packet fits ``path_mtu``. [bytes]

        Raises InputError when none does.
        """
        room = path_mtu - self.ah_bytes
        if self.encryption:
            longest = esp.payload_within(
                room, self.encryption, self.integrity, nat_t=self.nat_t, outer_ip_bytes=self.outer_ip_bytes
            )
        else:
            longest = room - self.outer_ip_bytes
        longest -= self.carrier_bytes
        if longest < self.smallest_inner_bytes:
            raise InputError(f"path MTU {path_mtu} leaves no room for an inner packet in {self}")
        return longest

    def __str__(self) -> str:
        parts = [f"ESP {f'{self.encryption} {self.integrity}'.strip()}"] if self.encryption else []
        parts = [f"AH {self.ah}", *parts] if self.ah else parts
        carrier = {"native": "", "gre": "GRE", "l2tp": "L2TP", "host": "host to host"}[self.carrier]
        words = [" + ".join(parts), carrier, f"{self.mode} mode" if parts else "", f"over IPv{self.outer}"]
        return ", ".join(word for word in [*words, "NAT traversal" if self.nat_t else ""] if word)
