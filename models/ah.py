"""Bytes on the wire of a packet with an Authentication Header (RFC 4302).

AH = next header 1, length 1, reserved 2, SPI 4, sequence number 4, ICV, and padding to a multiple of 4 bytes in IPv4
and of 8 in IPv6 (section 3.3.3.2.1). It protects the addresses of the outer header too, so no NAT may stand on the path
and there is no UDP encapsulation of it. AH may stand before ESP in one packet (transport adjacency, ``ah-sha-hmac`` and
``esp-aes`` in one transform set of IOS).

What this leaves out: AES-GMAC in AH (RFC 4543), extension headers of IPv6 that are mutable on the way.
"""

from __future__ import annotations

from .algorithms import integrity as integrity_algorithm

#: Everything before the ICV. [bytes]
FIXED_BYTES = 12
#: What the header's length is a multiple of, by IP version. [bytes]
_ALIGNMENT_BYTES = {4: 4, 6: 8}


def header_bytes(integrity: str, ip_version: int = 4) -> int:
    """Return the length of the header. ``ip_version``: of the IP header before it. [bytes]

    >>> header_bytes("sha1"), header_bytes("sha256", 4), header_bytes("sha256", 6)
    (24, 28, 32)

    Raises InputError for an unknown integrity algorithm.
    """
    length = FIXED_BYTES + integrity_algorithm(integrity).icv_bytes
    return length + -length % _ALIGNMENT_BYTES[ip_version]
