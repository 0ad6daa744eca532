"""Traffic selectors that both ends can agree on: the responder narrows what it is offered (RFC 7296 2.9).

What this leaves out: a first selector that is the packet which set off the exchange, ADDITIONAL_TS_POSSIBLE, a check by
the initiator that it got a part of what it has offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from .payloads import Selector


def intersection(one: Selector, other: Selector) -> Selector | None:
    """Return the selector of all packets that both select, or None: none is selected by both.

    Protocol 0 is any protocol. Ports count whatever the protocol is: where it has none, all are selected.
    """
    if one.version != other.version or (one.protocol and other.protocol and one.protocol != other.protocol):
        return None
    first, last = max(_bounds(one)[0], _bounds(other)[0]), min(_bounds(one)[1], _bounds(other)[1])
    first_port, last_port = max(one.first_port, other.first_port), min(one.last_port, other.last_port)
    if first > last or first_port > last_port:
        return None
    kind = type(ip_address(one.first))
    return Selector(one.protocol or other.protocol, str(kind(first)), str(kind(last)), first_port, last_port)


def contains(outer: Selector, inner: Selector) -> bool:
    """Return whether every packet that ``inner`` selects is selected by ``outer`` too."""
    return intersection(outer, inner) == inner


def narrow(offered: Sequence[Selector], own: Sequence[Selector]) -> tuple[Selector, ...]:
    """Return what the initiator has ``offered`` of a side and the responder's ``own`` policy allows there.

    In the order of the offer, without selectors that another one contains; empty: nothing in common.
    """
    common = [both for o in offered for p in own if (both := intersection(o, p)) is not None]
    kept: list[Selector] = []
    for place, selector in enumerate(common):
        others = common[:place] + common[place + 1 :]
        doubled = selector in kept
        if not doubled and not any(contains(other, selector) and other != selector for other in others):
            kept.append(selector)
    return tuple(kept)


def is_single_pair(ours: Sequence[Selector], theirs: Sequence[Selector]) -> bool:
    """Return whether selectors name one address on each side, as SINGLE_PAIR_REQUIRED wants it."""
    return all(len(side) == 1 and side[0].first == side[0].last for side in (ours, theirs))


def _bounds(selector: Selector) -> tuple[int, int]:
    return int(ip_address(selector.first)), int(ip_address(selector.last))
