"""NAT detection, and the move to port 4500 that follows it (RFC 7296 section 2.23).

Each end sends hashes of the addresses and ports as it sees them. Where one differs from what the other end sees, a NAT
stands between them; an end that forces encapsulation sends a hash that fits nothing. The initiator moves to port 4500
with its next request, and IKE messages have a non-ESP marker from then on.

What this leaves out: keepalives, mappings that time out, following a peer whose address changes without MOBIKE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import IpAddress
from .message import NAT_T_PORT, Message
from .payloads import NotifyPayload
from .sa import IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

SOURCE, DESTINATION = "NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP"
_TOKENS = (f"N:{SOURCE}", f"N:{DESTINATION}")
#: A SHA-1 hash. [bytes]
HASH_BYTES = 20
#: The hash of no address.
_FAKE = 0


def _hash(address: IpAddress, port: int) -> int:
    """Return what stands for the hash of an address and a port."""
    return int(address) << 16 | port


def payloads(ep: Endpoint, local: tuple[IpAddress, int], remote: tuple[IpAddress, int]) -> dict[str, NotifyPayload]:
    """Return both notifications of a message, by token. ``local``, ``remote``: address and port of both ends."""
    source = _FAKE if ep.policy.forces_encapsulation else _hash(*local)
    return {
        _TOKENS[0]: NotifyPayload(SOURCE, HASH_BYTES, value=source),
        _TOKENS[1]: NotifyPayload(DESTINATION, HASH_BYTES, value=_hash(*remote)),
    }


def detect(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Note whether there is a NAT, from a message of IKE_SA_INIT, whose ports and addresses ``sa`` has."""
    sa.behind_nat = ep.policy.forces_encapsulation
    for payload in message.payloads:
        if isinstance(payload, NotifyPayload):
            if payload.type == SOURCE:
                sa.behind_nat |= payload.value != _hash(sa.remote, sa.remote_port)
            elif payload.type == DESTINATION:
                sa.behind_nat |= payload.value != _hash(sa.local, sa.local_port)


def move(sa: IkeSa) -> None:
    """Let all further messages of an initiator use port 4500."""
    sa.local_port = sa.remote_port = NAT_T_PORT
