"""What is to be simulated: a folder of router configurations, or a YAML file that names one and says more."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..models.errors import InputError
from ..models.pki import RevocationSettings
from ..models.traffic import Flow, Kind
from ..models.units import bits_per_second, octets, quantity, seconds
from ..models.yaml_input import load_yaml, validate
from .client_scenario import ClientsYaml, with_users
from .radius_scenario import RadiusYaml, with_accounts

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
    #: A NAT before the router translates its UDP ports (it keeps the address, which the peers' configurations name).
    nat: bool = False
    #: Longest IP packet; whether a middlebox drops the IP fragments of longer ones.
    mtu: Annotated[float, BeforeValidator(lambda v: octets(v)), Field(ge=68, le=65535)] | None = None
    drops_fragments: bool = False
    #: ICMP that tells of a smaller MTU is filtered; packets overtake each other within ``jitter``.
    blocks_icmp: bool = False
    reorders: bool = False
    nat_timeout: Annotated[float, BeforeValidator(lambda v: seconds(v)), Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _a_timeout_needs_a_nat(self) -> LinkYaml:
        if self.nat_timeout is not None and not self.nat:
            raise ValueError("nat_timeout is given without 'nat: true'")
        if self.reorders and not self.jitter:
            raise ValueError("reorders is given without jitter: packets with equal delays keep their order")
        return self


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
    df: bool = False
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
            self.df,
        )


class OutageYaml(_Strict):
    """When a server does not answer."""

    start: Seconds = Field(alias="from")
    stop: Seconds = Field(default=math.inf, alias="to")


class CrlYaml(_Strict):
    """The servers of the CAs, which tell the status of certificates. A key that is left out is assumed and noted."""

    delay: Seconds | None = None
    timeout: Seconds | None = None
    lifetime: Annotated[float, BeforeValidator(lambda v: seconds(v)), Field(gt=0, allow_inf_nan=False)] | None = None
    entries: int = Field(default=0, ge=0)
    outages: list[OutageYaml] = []
    #: When the certificates of a router are revoked.
    revoked: dict[str, Seconds] = {}

    def settings(self) -> RevocationSettings:
        """Return what the simulation is told."""
        outages = tuple((outage.start, outage.stop) for outage in self.outages)
        return RevocationSettings(self.delay, self.timeout, self.lifetime, self.entries, outages, dict(self.revoked))


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
    #: None: nobody asks for the status of certificates.
    crl: CrlYaml | None = None
    #: RADIUS servers by address.
    radius: dict[str, RadiusYaml] = {}
    #: Remote-access clients that connect while it runs.
    clients: list[ClientsYaml] = []
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


def scenario_file(path: Path) -> Path:
    """Return what a path stands for: of a folder that holds a ``scenario.yaml`` that file, else the path itself.

    Other YAML files of a folder, such as accounts or further scenarios, are used when they are named. Raises
    InputError for a folder with ``scenario.yaml`` and ``scenario.yml``.
    """
    found = [file for name in ("scenario.yaml", "scenario.yml") if (file := path / name).is_file()]
    if len(found) > 1:
        raise InputError(f"found {found[0].name} and {found[1].name}; name one of them", str(path))
    return found[0] if found else path


def read_scenario(path: Path) -> Scenario:
    """Return the scenario of a YAML file, or of a folder: that of its ``scenario.yaml``, else of its configurations.

    The path of the configurations becomes absolute or relative to the present folder. Raises InputError.
    """
    path = scenario_file(path)
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
            "radius": with_accounts(scenario.radius, path),
            "clients": with_users(scenario.clients, path),
            "profiles": [str(path.parent / p) for p in scenario.profiles],
        }
    )
