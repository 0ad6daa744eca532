"""Quantities as people write them (``20 ms``, ``2 Gbps``, ``1400 B``) turned into SI numbers, at the edge only."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import pint

_EXAMPLES = {"second": "20 ms", "bit / second": "50 Mbps", "byte": "1400 B", "1 / second": "50 / s"}


@cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(cache_folder=None)
    registry.define("pps = 1 / second")
    return registry


def quantity(text: object, unit: str, where: str = "") -> float:
    """Return ``text`` in ``unit``; a bare number is taken to be in that unit already.

    Raises InputError when it is no quantity of that kind.

    >>> quantity("20 ms", "second")
    0.02
    >>> quantity(3600, "second")
    3600.0
    """
    if isinstance(text, bool) or not isinstance(text, (int, float, str)):
        raise InputError(f"found {text!r}, a quantity such as {_EXAMPLES.get(unit, unit)!r} is needed", where)
    if isinstance(text, (int, float)):
        return float(text)
    try:
        return float(text)
    except ValueError:
        pass
    try:
        parsed: Any = _registry().Quantity(text)
        # Frequencies may be written as counts per second.
        return float(round(parsed.to(unit).magnitude, 15))
    except Exception:
        example = _EXAMPLES.get(unit, unit)
        raise InputError(f"found {text!r}, a quantity such as {example!r} is needed", where) from None


def seconds(text: object, where: str = "") -> float:
    """Return a duration in seconds."""
    return quantity(text, "second", where)


def bits_per_second(text: object, where: str = "") -> float:
    """Return a rate in bit/s."""
    return quantity(text, "bit / second", where)


def octets(text: object, where: str = "") -> float:
    """Return a size in bytes."""
    return quantity(text, "byte", where)
