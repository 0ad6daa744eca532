"""IKE fragmentation (RFC 7383): a long message travels in pieces that are protected one by one.

Both ends announce it in IKE_SA_INIT, which itself is never cut. A message whose IP packet would be longer than the
sender's limit becomes SKF payloads; all pieces but the last are as full as the limit and the cipher's block allow. A
lost piece costs a retransmission of the whole request; pieces that have arrived are kept (section 2.6). A repeated
request is answered again when its first piece comes (section 2.6.1). An initiator may try smaller pieces when nothing
answers (2.5.2): the responder forgets the larger ones, and answers in pieces of that length from then on.

What this leaves out: Cisco's older method, forged pieces.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
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
#: Longest packet that every link of IPv6 carries (RFC 8200 5). [bytes]
IPV6_MIN_BYTES = 1280
#: Packets that any path carries, by IP version: what is tried when longer ones are not answered (RFC 7383 2.5.1).
#: [bytes]
SMALLEST_IP_BYTES = {4: 576, 6: 1280}
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
        if limit is None:
            # Every path of IPv6 carries 1280 bytes (RFC 7383 2.5.1).
            least = IPV6_MIN_BYTES if sa.local.version == 6 else 0
            limit = max(ep.implementation.count("fragment_ip_bytes"), least)
        sa.fragment_bytes = limit


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


def shorter(ep: Endpoint, sa: IkeSa, datagram: Datagram, sends: int) -> Datagram:
    """Return a request that was sent ``sends`` times without an answer as it is sent next: once in smaller pieces.

    The same one where this end does not try that, or has nothing smaller (RFC 7383 2.5.2).
    """
    after, least = ep.policy.smaller_fragments_after, SMALLEST_IP_BYTES[sa.local.version]
    message = datagram.message
    if after is None or sends < after or message.suite is None or not sa.fragment_bytes:
        return datagram
    sa.fragment_bytes = min(sa.fragment_bytes, least)
    return _cut_again(sa, datagram)


def _cut_again(sa: IkeSa, datagram: Datagram) -> Datagram:
    """Return a datagram whose message is cut by the limit that holds now; the same one when that changes nothing."""
    message = datagram.message
    pieces = cut(sa, message.suite, message.inner_bytes) if message.suite is not None else ()
    if pieces == message.fragments:
        return datagram
    again = copy(message)
    again.fragments = pieces
    return replace(datagram, message=again)


def follow(sa: IkeSa, request: Datagram) -> None:
    """Answer a request that was repeated in smaller pieces in such pieces from now on (RFC 7383 2.5.2)."""
    if not request.transmission or not request.fragment or not sa.fragment_bytes:
        return
    # The first piece is as full as its sender's limit allows.
    longest = replace(request, fragment=1).ip_len
    if longest <= sa.fragment_bytes:
        sa.fragment_bytes = longest
        cached = sa.responses.get(request.message.message_id)
        if cached is not None:
            sa.responses[request.message.message_id] = _cut_again(sa, cached)


def lost_on_path(datagram: Datagram, path_mtu_bytes: int, *, drops_fragments: bool) -> str:
    """Return why a path swallows a datagram, nothing when it carries it.

    A datagram above the path MTU becomes IP fragments; a middlebox that drops those lets none of it arrive (RFC 7383
    1).
    """
    if not drops_fragments or datagram.ip_len <= path_mtu_bytes:
        return ""
    message = datagram.message
    kind = "response" if message.response else "request"
    what = f"{message.exchange.name} {kind} of {datagram.ip_len:,} bytes"
    excess = f"exceeds the path MTU {path_mtu_bytes:,} and its IP fragments are dropped"
    if message.suite is None:
        return f"{what} {excess}: an {message.exchange.name} is never sent in pieces, only a smaller key exchange helps"
    advice = "configure smaller pieces" if message.fragments else "configure IKE fragmentation at both ends"
    return f"{what} {excess}: {advice} (crypto ikev2 fragmentation mtu ...)"


def completes(ep: Endpoint, sa: IkeSa, datagram: Datagram) -> bool:
    """Take one piece of a message that is awaited; return whether it was the last one missing.

    A piece that completes nothing is checked and kept as it arrives; one that is here already is only received.
    """
    message = datagram.message
    key = (message.response, message.message_id, len(message.fragments))
    # Other pieces of this message were cut in another way: the newest way counts (2.6).
    for other in [k for k in sa.pieces if k[:2] == key[:2] and k != key]:
        del sa.pieces[other]
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
