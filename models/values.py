"""A number together with how well it is known.

Every value that a result leans on carries a kind, a source and a range (design: "says where it is assumed").
A `Ledger` collects the values that a run really read, so that footers and manifests are computed and never written
by hand.

What this leaves out: correlations between values; they belong to the hardware profile that holds them.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Source of what is only remembered; such a value is always assumed.
RECOLLECTION = "recollection"

Kind = Literal["measured", "published", "derived", "assumed"]


class Value(BaseModel):
    """One sourced number.

    ``range`` holds the 5 % and 95 % quantiles; ``sd`` a standard deviation. An assumed value must have one of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    kind: Kind
    source: str = Field(description="id in sources.yaml, or 'recollection' for what is only remembered")
    unit: str = ""
    range: tuple[float, float] | None = None
    sd: float | None = None
    note: str = ""

    @model_validator(mode="after")
    def _spread_is_sensible(self) -> Self:
        if self.kind == "assumed" and self.range is None and self.sd is None:
            raise ValueError("an assumed value needs a range or an sd")
        if self.range is not None and not self.range[0] <= self.value <= self.range[1]:
            raise ValueError(f"value {self.value} lies outside its range {self.range[0]} to {self.range[1]}")
        return self

    def spread(self) -> str:
        """Return the spread as text, for instance ``5 to 120 s``; empty when none is stated."""
        unit = f" {self.unit}" if self.unit else ""
        if self.range is not None:
            return f"{self.range[0]:g} to {self.range[1]:g}{unit}"
        return f"sd {self.sd:g}{unit}" if self.sd is not None else ""


class Ledger:
    """The values that a run read, by owner and name, in a stable order."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], Value] = {}

    def read(self, owner: str, name: str, value: Value) -> float:
        """Note that ``value`` was used and return its number."""
        self._read[(owner, name)] = value
        return value.value

    def rows(self) -> list[dict[str, object]]:
        """Return one row a value: owner, name, value, unit, kind, source, spread; sorted by owner and name."""
        return [
            {
                "owner": owner,
                "name": name,
                "value": v.value,
                "unit": v.unit,
                "kind": v.kind,
                "source": v.source,
                "spread": v.spread(),
            }
            for (owner, name), v in sorted(self._read.items())
        ]

    def assumed(self) -> list[str]:
        """Return ``owner: name`` of every assumed value that was read."""
        return [f"{owner}: {name}" for (owner, name), v in sorted(self._read.items()) if v.kind == "assumed"]
