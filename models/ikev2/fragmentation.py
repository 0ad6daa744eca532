"""IKE fragmentation (RFC 7383): a long message travels in pieces that are protected one by one.

Both ends announce it in IKE_SA_INIT, which itself is never cut. A message whose IP packet would be longer than the
sender's limit becomes SKF payloads; all pieces but the last are as full as the limit and the cipher's block allow. A
lost piece costs a retransmission of the whole request; pieces that have arrived are kept (section 2.6). A repeated
request is answered again when its first piece comes (section 2.6.1).

What this leaves out: trying a smaller size after a loss (2.5.2), Cisco's older method, forged pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import HEADER_BYTES
from .message import IKE_HEADER_BYTES, NAT_T_PORT, NON_ESP_MARKER_BYTES, UDP_HEADER_BYTES, Datagram
from .operations import HandleMessage, Operation, Unprotect
from .proposals import Suite
from .sa import IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

NOTIFY = "FRAGMENTATION_SUPPORTED"
#: An SKF payload has fragment number and total behind the generic header of SK (RFC 7383 2.5). [bytes]
NUMBERS_BYTES = 4
#: The least room for the content of a piece, where a limit leaves less. Ours. [bytes]
MIN_ROOM_BYTES = 64


def announces(ep: Endpoint) -> bool:
    """Return whether this end announces fragmentation in IKE_SA_INIT."""
    wanted = ep.policy.fragmentation or ep.implementation.profile.announces_fragmentation
    return wanted and not ep.policy.forbids_fragmentation


def agree(ep: Endpoint, sa: IkeSa, *, announced_by_peer: bool) -> None:
    """Note how long this end's packets may be, once both ends have announced fragmentation (RFC 7383 2.3)."""
    if announced_by_peer and announces(ep):
        limit = ep.policy.fragment_bytes
        sa.fragment_bytes = ep.implementation.count("fragment_ip_bytes") if limit is None else limit


def cut(sa: IkeSa, suite: Suite, inner_bytes: int) -> tuple[int, ...]:
    """Return the size of each SKF payload around ``inner_bytes`` of payloads; nothing when the message goes whole.

    All but the last hold ``floor(room / block) * block - 1`` bytes of them, ``room`` being what the limit leaves beside
    headers, IV and ICV.
    """
    if not sa.fragment_bytes:
        return ()
    marker = NON_ESP_MARKER_BYTES if sa.remote_port == NAT_T_PORT else 0
    room = sa.fragment_bytes - HEADER_BYTES[sa.local.version] - UDP_HEADER_BYTES - marker - IKE_HEADER_BYTES
    if suite.protected_bytes(inner_bytes) <= room:
        return ()
    most = suite.inner_bytes_within(room - NUMBERS_BYTES, MIN_ROOM_BYTES)
    full, rest = divmod(inner_bytes, most)
    pieces = [most] * full + ([rest] if rest else [])
    return tuple(suite.protected_bytes(n) + NUMBERS_BYTES for n in pieces)


def completes(ep: Endpoint, sa: IkeSa, datagram: Datagram) -> bool:
    """Take one piece of a message that is awaited; return whether it was the last one missing.

    A piece that completes nothing is checked and kept as it arrives; one that is here already is only received.
    """
    message = datagram.message
    key = (message.response, message.message_id)
    held = sa.pieces.setdefault(key, set())
    operations: list[Operation] = [HandleMessage("in", stateless=True)]
    if datagram.fragment not in held:
        held.add(datagram.fragment)
        if len(held) == len(message.fragments):
            del sa.pieces[key]
            return True
        assert message.suite is not None
        suite, n_bytes = message.suite, message.fragments[datagram.fragment - 1]
        operations.append(Unprotect(suite.encryption, suite.integrity, n_bytes))
    ep.begin(None, sa.remote, operations, f"{message.exchange.name} fragment", lambda _now: None)
    return False
