"""Bytes on the wire of an ESP packet, and the largest inner packet that a path carries.

Outer IP packet = outer IP header + [UDP 8] + SPI 4 + sequence number 4 + IV + payload + padding + 2 + ICV (RFC 4303,
RFC 3948). The padding brings payload + pad length + next header to a multiple of the cipher's block and of 4; extended
sequence numbers add nothing. What the payload is depends on the encapsulation:

======================  =====================================================================
static VTI              ``mode="tunnel"``: the inner IP packet
GRE, transport mode     ``mode="transport", gre_bytes=4``: GRE header + inner packet; the outer header is GRE's
GRE, tunnel mode        ``mode="tunnel", gre_bytes=4``: GRE's own IP header + GRE header + inner packet
host-to-host transport  ``mode="transport"``: the inner packet without its IP header, which moves outside
======================  =====================================================================

``gre_bytes`` is 4, plus 4 each for key, sequence number and checksum (RFC 2784, RFC 2890).

What this leaves out: traffic flow confidentiality padding, IP options and link-layer framing; AH, L2TP and both
families together are in `encapsulation`.
All lengths are bytes; every function takes a whole number or an integer array and returns the same kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from . import algorithms
from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mode = Literal["tunnel", "transport"]

SPI_BYTES = 4
SEQUENCE_BYTES = 4
#: Pad length and next header, the two bytes between padding and ICV.
TRAILER_BYTES = 2
UDP_BYTES = 8
#: IPv4 header without options.
IP_BYTES = 20
#: RFC 4303 section 2.4: the ICV starts on a 4-byte boundary, whatever the cipher.
ALIGNMENT_BYTES = 4


def _icv_bytes(encryption: str, integrity: str) -> int:
    cipher = algorithms.encryption(encryption)
    if not integrity:
        if encryption == "null":
            raise InputError("ESP with null encryption needs an integrity algorithm (RFC 4303 section 3.2)")
        return cipher.icv_bytes
    if cipher.aead:
        raise InputError(f"{encryption} protects integrity itself: leave integrity empty, not '{integrity}'")
    return algorithms.integrity(integrity).icv_bytes


def _payload_extra_bytes(mode: str, outer_ip_bytes: int, gre_bytes: int) -> int:
    """Return payload length minus inner length."""
    if mode == "tunnel":
        return gre_bytes + outer_ip_bytes if gre_bytes else 0
    if mode == "transport":
        return gre_bytes or -outer_ip_bytes
    raise InputError(f"unknown ESP mode '{mode}'. Allowed: transport, tunnel")


def _fixed_bytes(encryption: str, integrity: str, nat_t: bool, outer_ip_bytes: int) -> int:
    """Return everything but the padded payload and its trailer."""
    udp = UDP_BYTES if nat_t else 0
    iv = algorithms.encryption(encryption).iv_bytes
    return outer_ip_bytes + udp + SPI_BYTES + SEQUENCE_BYTES + iv + _icv_bytes(encryption, integrity)


def _block_bytes(encryption: str) -> int:
    return max(algorithms.encryption(encryption).block_bytes, ALIGNMENT_BYTES)


@overload
def payload_padding(payload_bytes: int, encryption: str) -> int: ...
@overload
def payload_padding(payload_bytes: NDArray[np.integer], encryption: str) -> NDArray[np.integer]: ...
def payload_padding(payload_bytes: int | NDArray[np.integer], encryption: str) -> int | NDArray[np.integer]:
    """Return the padding bytes of an ESP payload, without the two trailer bytes.

    >>> payload_padding(1400, "aes-cbc-256")
    6
    """
    return -(payload_bytes + TRAILER_BYTES) % _block_bytes(encryption)


@overload
def esp_packet_bytes(
    inner_bytes: int,
    encryption: str,
    integrity: str,
    *,
    mode: Mode = "tunnel",
    nat_t: bool = False,
    outer_ip_bytes: int = IP_BYTES,
    gre_bytes: int = 0,
) -> int: ...
@overload
def esp_packet_bytes(
    inner_bytes: NDArray[np.integer],
    encryption: str,
    integrity: str,
    *,
    mode: Mode = "tunnel",
    nat_t: bool = False,
    outer_ip_bytes: int = IP_BYTES,
    gre_bytes: int = 0,
) -> NDArray[np.integer]: ...
def esp_packet_bytes(
    inner_bytes: int | NDArray[np.integer],
    encryption: str,
    integrity: str,
    *,
    mode: Mode = "tunnel",
    nat_t: bool = False,
    outer_ip_bytes: int = IP_BYTES,
    gre_bytes: int = 0,
) -> int | NDArray[np.integer]:
    """Return the length of the outer IP packet.

    Parameters
    ----------
    inner_bytes: length of the inner IP packet with its header, at least one IP header. [bytes]
    encryption, integrity: names in `algorithms`; integrity is empty for an AEAD cipher.
    nat_t: UDP encapsulation on port 4500.
    outer_ip_bytes: 20 for IPv4, 40 for IPv6. [bytes]
    gre_bytes: GRE header, 0 without GRE. [bytes]

    >>> esp_packet_bytes(1400, "aes-cbc-256", "sha512")
    1484
    """
    payload = inner_bytes + _payload_extra_bytes(mode, outer_ip_bytes, gre_bytes)
    padded = payload + payload_padding(payload, encryption) + TRAILER_BYTES
    return padded + _fixed_bytes(encryption, integrity, nat_t, outer_ip_bytes)


def max_inner_bytes(
    path_mtu: int,
    encryption: str,
    integrity: str,
    *,
    mode: Mode = "tunnel",
    nat_t: bool = False,
    outer_ip_bytes: int = IP_BYTES,
    gre_bytes: int = 0,
) -> int:
    """Return the longest inner IP packet whose ESP packet fits the path MTU: what a router prints as "plaintext mtu".

    >>> max_inner_bytes(1500, "aes-cbc-256", "sha512")
    1422
    """
    longest = payload_within(path_mtu, encryption, integrity, nat_t=nat_t, outer_ip_bytes=outer_ip_bytes)
    longest -= _payload_extra_bytes(mode, outer_ip_bytes, gre_bytes)
    if longest < IP_BYTES:
        raise InputError(f"path MTU {path_mtu} leaves no room for an inner packet in ESP with {encryption} {integrity}")
    return longest


def payload_within(
    packet_bytes: int, encryption: str, integrity: str, *, nat_t: bool = False, outer_ip_bytes: int = IP_BYTES
) -> int:
    """Return the longest payload of an ESP packet of at most ``packet_bytes``, negative when nothing fits. [bytes]"""
    room = packet_bytes - _fixed_bytes(encryption, integrity, nat_t, outer_ip_bytes)
    block = _block_bytes(encryption)
    return room // block * block - TRAILER_BYTES


def fragment_bytes(
    inner_bytes: NDArray[np.int64], longest_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut IPv4 packets into fragments no longer than ``longest_bytes``, as IOS does before encryption by default.

    All fragments but a packet's last carry the greatest multiple of 8 bytes (RFC 791); options are not counted.

    Returns the place of the packet in ``inner_bytes``, the number of the fragment in its packet, and its length with
    its IP header, one entry a fragment. Shape (m,) each. [-], [-], [bytes]
    """
    import numpy as np

    full = (longest_bytes - IP_BYTES) // 8 * 8
    if full <= 0:
        raise InputError(f"no fragment fits {longest_bytes} bytes: an IP header and 8 bytes are needed")
    payload = inner_bytes - IP_BYTES
    pieces = 1 + np.maximum(-((longest_bytes - inner_bytes) // full), 0)
    owner = np.repeat(np.arange(inner_bytes.size), pieces)
    piece = np.arange(owner.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    last = piece == pieces[owner] - 1
    return owner, piece, IP_BYTES + np.where(last, payload[owner] - piece * full, full)
