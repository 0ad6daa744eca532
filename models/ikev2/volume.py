"""What ESP traffic does to an endpoint: lifetimes by volume (RFC 4301 4.4.2.1) and DPD on demand.

The endpoint sees no ESP packet. Its driver, which knows the traffic, answers three questions (`Traffic`); where the
rate is constant the instants are exact. Without a driver that knows traffic, volume limits nothing and nobody is probed
on demand: there is nothing to send.

A Child SA is rekeyed when it has carried its limit less a margin, and ends at the limit. As with lifetimes in seconds
nothing is negotiated, the end whose margin and jitter come first begins.

What this leaves out: traffic of an SA that its successor has replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .sa import ChildSa, IkeSa, nanoseconds
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: A kilobyte of ``set security-association lifetime kilobytes``, assumed. [bytes]
KILOBYTE_BYTES = 1024


class Traffic(Protocol):
    """What a driver knows of the ESP traffic of its router. Times in ns."""

    def carried_ns(self, sa: IkeSa, child: ChildSa, n_bytes: float, now: int) -> int | None:
        """Return when ``child`` will have carried ``n_bytes`` from ``now`` on, in its busier direction; None: never."""

    def last_inbound_ns(self, sa: IkeSa, now: int) -> int | None:
        """Return when the last ESP packet came from the peer of ``sa``, or None."""

    def next_outbound_ns(self, sa: IkeSa, now: int) -> int | None:
        """Return when the next packet leaves for the peer of ``sa``: ``now`` while there is traffic; None: never."""


def limits_bytes(ep: Endpoint, sa: IkeSa, child: ChildSa) -> tuple[float, float]:
    """Return after how many octets a Child SA is rekeyed, and after how many it ends. [bytes]

    Never before half of the limit, as with lifetimes in seconds. An implementation without a margin does not rekey
    before the limit, where the Child SA ends.
    """
    limit = child.policy.lifetime_kilobytes * KILOBYTE_BYTES
    values, number = ep.implementation.profile.values, ep.implementation.number
    margin = 0.0
    if values.rekey_margin_kilobytes is not None:
        margin = number("rekey_margin_kilobytes") * KILOBYTE_BYTES
    elif values.rekey_margin_volume is not None:
        margin = number("rekey_margin_volume") * limit
    margin += number("rekey_jitter") * sa.streams.uniform("Child SA volume") * limit
    return max(limit - margin, limit / 2), limit


def watch(ep: Endpoint, sa: IkeSa, child: ChildSa, now: int) -> None:
    """Set the timers of a new Child SA that has a limit of volume, if its driver knows the traffic."""
    if ep.traffic is None or not child.policy.lifetime_kilobytes:
        return
    soft, hard = limits_bytes(ep, sa, child)
    for name, n_bytes in (("volume", soft), ("volume end", hard)):
        at = ep.traffic.carried_ns(sa, child, n_bytes, now)
        if at is not None:
            ep.set_timer(sa, name, at, child.serial)  # type: ignore[arg-type]


def probes_on_demand(ep: Endpoint, sa: IkeSa, now: int) -> bool:
    """Return whether it is time for a probe on demand; if not, set the timer for when it may be.

    A probe is wanted while there is traffic to send and nothing, neither IKE nor ESP, has come for the interval of the
    policy (fact sheet C.2). The timer is set when IKE is heard, so that only ESP has to be asked for.
    """
    dpd = sa.profile.dpd if sa.profile is not None else None
    if dpd is None or ep.traffic is None or sa.state is not State.ESTABLISHED:
        return False
    heard = ep.traffic.last_inbound_ns(sa, now)
    quiet_until = now if heard is None else max(heard + nanoseconds(dpd.interval_s), now)
    sends = ep.traffic.next_outbound_ns(sa, quiet_until)
    if sends is None:
        return False
    if sends > now:
        ep.set_timer(sa, "dpd", sends)
        return False
    return True
