"""flexvpn-sim: a discrete-event simulator of Cisco FlexVPN deployments and of the routers that carry them.

>>> import flexvpn_sim as fv
>>> fv.run.__name__
'run'

Importing this package has no side effect and loads nothing heavy: names are resolved when they are used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flexvpn_sim.experiments.exchange import exchange
    from flexvpn_sim.experiments.result import Result, load_result
    from flexvpn_sim.experiments.routers.compare import compare
    from flexvpn_sim.experiments.run import rerun, run
    from flexvpn_sim.experiments.scenario import Scenario, read_scenario
    from flexvpn_sim.hardware.profile_files import load_profile, profile_names
    from flexvpn_sim.models.errors import InputError

__version__ = "0.1.0"

_HOMES = {
    "InputError": "models.errors",
    "Result": "experiments.result",
    "Scenario": "experiments.scenario",
    "compare": "experiments.routers.compare",
    "exchange": "experiments.exchange",
    "load_profile": "hardware.profile_files",
    "load_result": "experiments.result",
    "profile_names": "hardware.profile_files",
    "read_scenario": "experiments.scenario",
    "rerun": "experiments.run",
    "run": "experiments.run",
}

__all__ = [
    "InputError",
    "Result",
    "Scenario",
    "__version__",
    "compare",
    "exchange",
    "load_profile",
    "load_result",
    "profile_names",
    "read_scenario",
    "rerun",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'flexvpn_sim' has no attribute '{name}'")
    return getattr(import_module(f"flexvpn_sim.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
