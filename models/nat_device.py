"""A NAT that translates UDP ports and forgets mappings that are not used (RFC 4787).

A mapping belongs to a private address and port, whatever the destination (endpoint-independent, REQ-1); packets from
inside refresh it (REQ-6), packets from outside are let through while it lives and do not. After the timeout the next
packet from inside gets a new port.

The public address is for the caller to put in. What this leaves out: filtering by sender, port preservation, exhausted
ports.
"""

from __future__ import annotations

from .addresses import IpAddress
from .values import Value

#: How long a UDP mapping lives without a packet. RFC 4787 REQ-5 wants 2 minutes at least and recommends 5.
UDP_TIMEOUT = Value(
    value=120,
    unit="s",
    kind="assumed",
    source="recollection",
    range=(30, 300),
    note="home routers were seen with 30 s and more, RFC 4787 wants at least 120 s",
)
#: The first port that a NAT gives. Ours.
FIRST_PORT = 1024

Place = tuple[IpAddress, int]


class NatDevice:
    """Translates the UDP packets of the hosts behind it.

    Parameters
    ----------
    timeout_ns: how long a mapping lives after the last packet from inside.
    """

    def __init__(self, timeout_ns: int, first_port: int = FIRST_PORT) -> None:
        self.timeout_ns = timeout_ns
        self._next_port = first_port
        self._by_inside: dict[Place, int] = {}
        self._by_port: dict[int, tuple[Place, int]] = {}

    def outbound(self, inside: Place, now: int) -> int:
        """Return the public port of a packet that a host sends now; ``inside``: its own address and port."""
        port = self._by_inside.get(inside)
        if port is None or self._is_over(port, now):
            if port is not None:
                del self._by_port[port]
            port = self._next_port
            self._next_port += 1
            self._by_inside[inside] = port
        self._by_port[port] = (inside, now)
        return port

    def inbound(self, port: int, now: int) -> Place | None:
        """Return for whom a packet to a public port is, or None: no mapping lives, the packet is lost."""
        if port not in self._by_port or self._is_over(port, now):
            return None
        return self._by_port[port][0]

    def _is_over(self, port: int, now: int) -> bool:
        return now - self._by_port[port][1] >= self.timeout_ns
