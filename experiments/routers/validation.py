"""Predicted against measured, for every public figure that ships: what the cost models are worth where it can be told.

A row compares one figure; a section holds the rows of one kind and a target. Only rows that were not used for a fit
count for the target: a figure that set a parameter, or two points through which two parameters were drawn, prove
nothing.

What this leaves out: Cisco routers, of which no IKEv2 set-up rate and no throughput by cipher is published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from ...hardware.public_figures import sources

#: ``unused``: predicted, not used for a fit; ``fit``: set a parameter; ``interpolation``: as many parameters as points;
#: ``order``: only which one is larger; ``excluded`` and ``not predicted`` say why.
Use = Literal["unused", "fit", "interpolation", "order", "excluded", "not predicted"]
USES: tuple[Use, ...] = ("unused", "fit", "interpolation", "order", "excluded", "not predicted")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One public figure and what the models make of it.

    ``measured`` and ``predicted`` share ``unit``; ``predicted`` is None where nothing could be predicted. ``law``: how
    it was predicted, from what. ``note``: a reason or a remark. ``holds``: for ``order``, whether the order is right.
    """

    figure: str
    unit: str
    measured: float | None
    predicted: float | None
    use: Use
    law: str
    source: str
    note: str = ""
    holds: bool | None = None

    @property
    def kind(self) -> str:
        """Return whether the figure was measured by us or published by others."""
        return sources()[self.source]["kind"]

    @property
    def error(self) -> float | None:
        """Return (predicted - measured) / measured; None for an order and where one of them is missing."""
        if self.use == "order" or self.predicted is None or not self.measured:
            return None
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds of the absolute relative error over the rows that were not used for a fit; None: no bound."""

    worst: float | None = None
    median: float | None = None

    def __str__(self) -> str:
        parts = [("median", self.median), ("worst", self.worst)]
        return ", ".join(f"{name} < {bound * 100:g} %" for name, bound in parts if bound is not None) or "none"


@dataclass(frozen=True, slots=True)
class Section:
    """Comparisons of one kind; see `Comparison` and `Target`."""

    name: str
    title: str
    target: Target
    rows: tuple[Comparison, ...]
    note: str = ""

    def errors(self, use: Use = "unused") -> list[float]:
        """Return the absolute relative errors of the rows of one use."""
        return [abs(row.error) for row in self.rows if row.use == use and row.error is not None]

    @property
    def median_error(self) -> float | None:
        """Return the median absolute error of the rows that were not used for a fit."""
        errors = self.errors()
        return median(errors) if errors else None

    @property
    def worst_error(self) -> float | None:
        """Return the largest absolute error of the rows that were not used for a fit."""
        return max(self.errors(), default=None)

    @property
    def met(self) -> bool | None:
        """Return whether the target is met and every order is right; None when there is nothing to judge."""
        orders = [row.holds for row in self.rows if row.holds is not None]
        pairs = [(self.median_error, self.target.median), (self.worst_error, self.target.worst)]
        bounded = [(error, bound) for error, bound in pairs if error is not None and bound is not None]
        if not orders and not bounded:
            return None
        return all(orders) and all(error < bound for error, bound in bounded)


@dataclass(frozen=True, slots=True)
class Validation:
    """All sections."""

    sections: tuple[Section, ...]

    @property
    def met(self) -> bool:
        """Return whether no target is missed."""
        return all(section.met is not False for section in self.sections)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints; errors are fractions."""
        return {
            "targets_met": self.met,
            "sections": [
                {
                    "name": section.name,
                    "title": section.title,
                    "target": {"worst": section.target.worst, "median": section.target.median},
                    "median_error": section.median_error,
                    "worst_error": section.worst_error,
                    "met": section.met,
                    "note": section.note,
                    "rows": [asdict(row) | {"kind": row.kind, "error": row.error} for row in section.rows],
                }
                for section in self.sections
            ],
            "sources": {name: sources()[name] for name in self.cited()},
        }

    def cited(self) -> list[str]:
        """Return the ids of the sources of all rows."""
        return sorted({row.source for section in self.sections for row in section.rows})


def validate() -> Validation:
    """Compare every shipped public figure with its prediction."""
    from . import validation_network, validation_public_key, validation_testbed

    makers: Sequence[Callable[[], Section]] = (
        validation_testbed.handshake_cpu,
        validation_testbed.without_state,
        validation_testbed.profile_primitives,
        validation_testbed.exponentiations,
        validation_public_key.ffdh,
        validation_public_key.rsa,
        validation_public_key.curves,
        validation_public_key.mlkem,
        validation_network.gateway,
        validation_network.azure_cbc,
        validation_network.azure_3des,
        validation_network.two_points,
        validation_network.message_sizes,
        validation_network.delayed,
        validation_network.lossy,
        validation_network.undelayed,
        validation_network.retransmissions,
    )
    return Validation(tuple(make() for make in makers))
