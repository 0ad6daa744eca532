"""MOBIKE: an initiator that changes its address keeps its SAs (RFC 4555).

The initiator announces its other addresses, probes the path from a new one, and then lets the responder send there
(UPDATE_SA_ADDRESSES), with NAT detection and a COOKIE2 that proves that the answer came over the same path.

What this leaves out: responders with several addresses, trying pairs of addresses one after the other, NO_NATS_ALLOWED.
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from . import nat, work
from .message import Exchange, Message
from .payloads import NotifyPayload, Payload
from .sa import IkeSa, Task
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint

SUPPORTED, UPDATE, COOKIE2 = "MOBIKE_SUPPORTED", "UPDATE_SA_ADDRESSES", "COOKIE2"
#: What the length of COOKIE2 is here, of 8 to 64 that are allowed (RFC 4555 4.2.5); strongSwan's. [bytes]
COOKIE2_BYTES = 16
#: How an address of each family is announced (RFC 4555 4.2.2).
_ADDITIONAL: dict[int, str] = {4: "ADDITIONAL_IP4_ADDRESS", 6: "ADDITIONAL_IP6_ADDRESS"}


def offered(ep: Endpoint) -> bool:
    """Return whether this end offers MOBIKE: it is told to, and its implementation can."""
    return ep.policy.mobike and ep.implementation.profile.has_mobike()


def begin(ep: Endpoint, sa: IkeSa, task: Task) -> None:
    """Start an exchange of a queued task: announce addresses, probe a path, or update the addresses of the SA."""
    if sa.state is not State.ESTABLISHED or not sa.mobike:
        return
    payloads: list[Payload] = []
    cookie = 0
    if task.kind == "update addresses":
        cookie = sa.streams.bits("cookie2")
        payloads += [NotifyPayload(UPDATE), *_nat_detection(ep, sa)]
        payloads.append(NotifyPayload(COOKIE2, COOKIE2_BYTES, value=cookie))
    if task.kind != "probe path":
        payloads += _announced(sa)
    operations = [*work.protect(sa, sum(p.size for p in payloads))]
    if task.kind == "update addresses":
        operations = [*work.nat_detection(), *operations]
    then = partial(_answered, ep, sa, cookie)

    def finish(t: int) -> None:
        ep.request(sa, Exchange.INFORMATIONAL, payloads, task.kind, then, t)

    ep.begin(sa, sa.remote, operations, f"INFORMATIONAL request ({task.kind})", finish)


def _announced(sa: IkeSa) -> list[Payload]:
    if not sa.other_addresses:
        return [NotifyPayload("NO_ADDITIONAL_ADDRESSES")]
    return [NotifyPayload(_ADDITIONAL[a.version], len(a.packed), value=int(a)) for a in sa.other_addresses]


def _nat_detection(ep: Endpoint, sa: IkeSa) -> list[NotifyPayload]:
    return list(nat.payloads(ep, (sa.local, sa.local_port), (sa.remote, sa.remote_port)).values())


def _answered(ep: Endpoint, sa: IkeSa, cookie: int, message: Message) -> None:
    operations = work.unprotect(sa, message)
    echoed = message.notify(COOKIE2)
    if echoed is not None and echoed.value == cookie:
        nat.detect(ep, sa, message)
        operations += work.nat_detection()
    ep.begin(sa, sa.remote, operations, "INFORMATIONAL response", lambda _t: None)


def answer(ep: Endpoint, sa: IkeSa, message: Message) -> list[Payload]:
    """Return what a responder answers to a request that may announce or update addresses; it sends there from now on.

    The NAT detection of the answer is about the new address.
    """
    if not sa.mobike:
        return []
    announced = [p for p in message.payloads if isinstance(p, NotifyPayload)]
    kinds = _ADDITIONAL.values()
    if any(p.type in (*kinds, "NO_ADDITIONAL_ADDRESSES") for p in announced):
        sa.peer_addresses = tuple(
            IPv4Address(p.value) if p.type == _ADDITIONAL[4] else IPv6Address(p.value)
            for p in announced
            if p.type in kinds
        )
    if message.notify(UPDATE) is None:
        return []
    if sa.answer_to is not None:
        ep.directory.follow(sa, sa.answer_to)
    nat.detect(ep, sa, message)
    cookie = message.notify(COOKIE2)
    return [*_nat_detection(ep, sa), *([cookie] if cookie is not None else [])]
