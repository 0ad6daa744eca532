"""What is to be simulated: a folder of router configurations, or a YAML file that names one and says more."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..models.errors import InputError
from ..models.traffic import Flow, Kind
from ..models.units import bits_per_second, octets, quantity, seconds
from ..models.yaml_input import load_yaml, validate

Seconds = Annotated[float, BeforeValidator(lambda v: seconds(v)), Field(ge=0, allow_inf_nan=False)]
Bps = Annotated[float, BeforeValidator(lambda v: bits_per_second(v)), Field(gt=0, allow_inf_nan=False)]
Octets = Annotated[float, BeforeValidator(lambda v: octets(v)), Field(gt=0, allow_inf_nan=False)]
PerSecond = Annotated[float, BeforeValidator(lambda v: quantity(v, "1 / second")), Field(gt=0, allow_inf_nan=False)]

DAY_S = 86400.0
#: Length of a packet when a flow does not say: what ``ping`` of IOS sends. [bytes]
DEFAULT_PACKET_BYTES = 100


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RouterSettings(_Strict):
    """What a configuration does not say about a router. None: the default of its IOS version or of the hardware."""

    hardware: str | None = None
    licence: str | None = None
    #: Whether it has the export licence (HSECK9); None: no, as a router is sold.
    hsec: bool | None = None
    implementation: str | None = None


class LinkYaml(_Strict):
    """The access link of a router; one way. A key that is left out is assumed and noted as such."""

    delay: Seconds | None = None
    jitter: Seconds = 0.0
    loss: float = Field(default=0.0, ge=0, lt=1)
    rate: Bps | None = None


class TrafficYaml(_Strict):
    """One flow between the networks behind two routers."""

    source: str = Field(alias="from")
    destination: str = Field(alias="to")
    name: str = ""
    kind: Kind = "ping"
    size: Octets | None = None
    interval: Seconds | None = None
    packets: PerSecond | None = None
    rate: Bps | None = None
    mix: str = "simple"
    start: Seconds = 0.0
    stop: Seconds | None = None

    def flow(self) -> Flow:
        """Return the flow. Raises InputError when its parts do not fit together."""
        rate_pps = self.packets
        if self.interval is not None:
            rate_pps = 1.0 / self.interval if self.interval > 0 else None
        if rate_pps is None and self.rate is None and self.kind == "ping":
            rate_pps = 1.0
        default = None if self.kind == "imix" else DEFAULT_PACKET_BYTES
        size = default if self.size is None else round(self.size)
        return Flow(
            self.name or f"{self.kind} {self.source}-{self.destination}",
            self.source,
            self.destination,
            self.kind,
            size,
            rate_pps,
            self.rate,
            self.start,
            math.inf if self.stop is None else self.stop,
            self.mix,
        )


class Scenario(_Strict):
    """A scenario. Durations may be written with units (``20 ms``, ``24 h``), rates too (``2 Gbps``)."""

    scenario: Literal[1] = Field(default=1, description="version of this format")
    name: str = ""
    configurations: str = Field(description="folder of router configurations, relative to the scenario file")
    seed: int = 1
    duration: Annotated[float, BeforeValidator(lambda v: seconds(v)), Field(gt=0, allow_inf_nan=False)] = DAY_S
    initiator: str | None = None
    stagger: Seconds | None = None
    routers: dict[str, RouterSettings] = {}
    links: dict[str, LinkYaml] = {}
    #: None: a ping a second over every tunnel; an empty list: no traffic.
    traffic: list[TrafficYaml] | None = None
    #: Folders with hardware profiles of the user's own.
    profiles: list[str] = []

    @model_validator(mode="after")
    def _flows_have_their_own_names(self) -> Scenario:
        names = [t.flow().name for t in self.traffic or []]
        double = next((n for n in names if names.count(n) > 1), None)
        if double is not None:
            raise ValueError(f"two flows are called '{double}'; give one a name of its own")
        return self


def read_scenario(path: Path) -> Scenario:
    """Return the scenario of a YAML file, or of a folder of configurations.

    The path of the configurations becomes absolute or relative to the present folder. Raises InputError.
    """
    if path.is_dir():
        return Scenario(name=path.resolve().name, configurations=str(path))
    if not path.exists():
        raise InputError("no such file or folder", str(path))
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError("a folder of router configurations or a scenario (.yaml) is needed", str(path))
    scenario = validate(load_yaml(path), Scenario, path)
    return scenario.model_copy(
        update={
            "name": scenario.name or path.stem,
            "configurations": str(path.parent / scenario.configurations),
            "profiles": [str(path.parent / p) for p in scenario.profiles],
        }
    )
