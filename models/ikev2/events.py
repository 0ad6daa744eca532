"""What an endpoint tells its driver: things that happened, and why something was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..addresses import IpAddress
from .identity import Identity
from .sa import Cause, ChildSa, IkeSa

EventKind = Literal[
    "attempt",
    "attempt_waits",
    "attempt_failed",
    "refused",
    "rejected_by_admission",
    "cookie_demanded",
    "half_open",
    "ike_established",
    "ike_rekeyed",
    "ike_closed",
    "child_installed",
    "child_deleted",
    "retransmission",
    "dpd",
    "collision",
    "rekey_failed",
    "redirected",
    "revocation_checked",
    "route_installed",
    "route_withdrawn",
    "peer_moved",
    "keepalive",
]


@dataclass(slots=True)
class Refusal:
    """Why one end refused the other. ``identity`` is what the peer called itself; ``own`` the rules it met."""

    cause: Cause
    notify: str = ""
    identity: Identity | None = None
    own: tuple[str, ...] = ()


@dataclass(slots=True)
class Event:
    """Something that happened at one endpoint."""

    time_ns: int
    kind: EventKind
    remote: IpAddress
    sa: IkeSa | None = None
    child: ChildSa | None = None
    refusal: Refusal | None = None
    detail: str = ""
