"""The packages that only a capture needs, imported when one is asked for."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ...errors import InputError


def library(module: str) -> ModuleType:
    """Return a module of an optional package. Raises InputError that names the extra when it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        message = f"a capture needs the package {package}, which is not installed: pip install 'flexvpn-sim[pcap]'"
        raise InputError(message, "--pcap") from None
