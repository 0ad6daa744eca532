"""IP addresses of either family, and the length of the header that carries them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

#: Headers without options or extension headers, by IP version (RFC 791, RFC 8200). [bytes]
HEADER_BYTES = {4: 20, 6: 40}
