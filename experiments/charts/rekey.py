"""One rekey of a Child SA in milliseconds: which end holds the old and the new pair, and for how long both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..selection import Row, between
from .style import GREEN, GREY, PALE, milliseconds, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..result import Result

#: Room before and after, as a fraction of the time between the first change and the last.
ROOM = 0.35


@dataclass(frozen=True, slots=True)
class Rekey:
    """When each router installed the new pair and deleted the old one. [s]"""

    installed_s: dict[str, float]
    deleted_s: dict[str, float]

    @property
    def overlap_s(self) -> float:
        """How long both ends held both pairs; negative when there was a gap. [s]"""
        return min(self.deleted_s.values()) - max(self.installed_s.values())


def first_rekey(result: Result, session: Row) -> Rekey | None:
    """Return the first rekey of a tunnel that both ends finished, if there was one."""
    children = between(result, "child_sas", session)
    routers = (session["initiator"], session["responder"])
    by_pair = {(c["router"], c["spi_in"]): c for c in children}
    for old in (c for c in children if c["router"] == routers[0] and c["cause"] == "replaced by a rekey"):
        other = by_pair.get((routers[1], old["spi_out"]))
        if other is None or other["cause"] != old["cause"]:
            continue
        new = next((c for c in children if c["router"] == routers[0] and c["installed_s"] > old["installed_s"]), None)
        new_other = by_pair.get((routers[1], new["spi_out"])) if new else None
        if new is not None and new_other is not None:
            installed = {routers[0]: new["installed_s"], routers[1]: new_other["installed_s"]}
            return Rekey(installed, {routers[0]: old["deleted_s"], routers[1]: other["deleted_s"]})
    return None


def zoom(ax: Axes, rekey: Rekey, ended_s: float) -> None:
    """Draw the rekey, one row for each pair at each end."""
    zero_s = min(rekey.installed_s.values())
    last_ms = (max(rekey.deleted_s.values()) - zero_s) * 1e3
    low, high = -ROOM * last_ms, (1 + ROOM) * last_ms
    names = []
    for place, router in enumerate(rekey.installed_s):
        new_ms = (rekey.installed_s[router] - zero_s) * 1e3
        old_ms = (rekey.deleted_s[router] - zero_s) * 1e3
        ax.barh(2 * place, old_ms - low, 0.7, low, color=PALE, edgecolor=GREY, linewidth=0.6)
        ax.barh(2 * place + 1, high - new_ms, 0.7, new_ms, color=GREEN, edgecolor=GREY, linewidth=0.6)
        names += [f"{router}, old pair", f"{router}, new pair"]
    both = sorted((max(rekey.installed_s.values()), min(rekey.deleted_s.values())))
    for time_s in both:
        ax.axvline((time_s - zero_s) * 1e3, color=GREY, linestyle="--", linewidth=0.8)
    ax.set_xlim(low, high)
    ax.set_ylim(2 * len(rekey.installed_s) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("time since the first end installed the new pair (ms)")
    unit_s, unit = time_unit(ended_s)
    overlap = milliseconds(abs(rekey.overlap_s))
    held = f"both ends hold both pairs for {overlap}" if rekey.overlap_s > 0 else f"a gap of {overlap}"
    ax.set_title(f"the first Child SA rekey, at {zero_s / unit_s:.2f} {unit}: {held}", loc="left")
