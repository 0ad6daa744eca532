"""Profiles in files: where they lie, what one takes over from another, and whether every source is known.

A profile is searched in the folders of the call, then in the user's configuration folder, then among those that ship.
``extends: NAME`` merges a file over another profile: a value, and the whole set of licence levels, is replaced.
``scale:`` multiplies the times of the profile below before that, kind by kind, for a box whose speed is only known, or
guessed, relative to another one.

What this leaves out: scaling one algorithm alone (give it its own value), and several profiles below one.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs

from ..models.errors import InputError, unknown_name
from ..models.values import RECOLLECTION, Value
from ..models.yaml_input import load_yaml, place, read_yaml, validate
from .profile import HardwareProfile, Scale, Source, SourceFile, located
from .profile_checks import check_algorithms, check_units

#: Quantiles of a normal distribution that `Value.range` states, in standard deviations: 5 % and 95 %.
RANGE_SD = 1.645


def user_folder() -> Path:
    """Return the folder of the user's own profiles; it need not exist (on Linux ``~/.config/flexvpn-sim/hardware``)."""
    return Path(platformdirs.user_config_dir("flexvpn-sim")) / "hardware"


def load_sources(folder: Path | None = None) -> dict[str, Source]:
    """Return the shipped sources by id, and those of a ``sources.yaml`` in ``folder`` when there is one."""
    sources = dict(read_yaml(Path(str(files(__package__) / "sources.yaml")), SourceFile).sources)
    if folder is not None and (folder / "sources.yaml").is_file():
        sources |= read_yaml(folder / "sources.yaml", SourceFile).sources
    return sources


def _profile_files(search: Sequence[Path]) -> dict[str, Path]:
    """Return the YAML file of every profile name; earlier folders win, then the user's, then what ships."""
    shipped = Path(str(files(__package__) / "profiles"))
    own = [user_folder()] if user_folder().is_dir() else []
    found: dict[str, Path] = {}
    for folder in (*search, *own, shipped):
        if not folder.is_dir():
            raise InputError("no such folder with hardware profiles", str(folder))
        for path in sorted(folder.glob("*.yaml")):
            if path.name != "sources.yaml":
                found.setdefault(path.stem, path)
    return found


def profile_names(search: Sequence[Path] = ()) -> list[str]:
    """Return the names of all profiles in the folders of ``search`` and of those that are shipped, sorted."""
    return sorted(_profile_files(search))


def load_profile(name: str, search: Sequence[Path] = ()) -> HardwareProfile:
    """Return the profile of this name; a name that ends in ``.yaml`` is the path of a file.

    Raises InputError with the nearest valid name, or with the file and line of a fault.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        known = _profile_files(search)
        if name not in known:
            raise unknown_name("hardware profile", name, known)
        path = known[name]
    document, chain = _merged(path, search, ())
    profile = _valid(document, path)
    _check_sources(profile, chain)
    return profile


def _valid(document: Any, path: Path) -> HardwareProfile:
    """Return the profile of a merged document; faults are told with the line of ``path``."""
    profile = validate(document, HardwareProfile, path)
    check_units(profile, path)
    check_algorithms(profile, path)
    return profile


def _merged(path: Path, search: Sequence[Path], children: tuple[Path, ...]) -> tuple[Any, tuple[Path, ...]]:
    """Return the document of ``path`` over those that it extends, and all their files, the given one first."""
    document = load_yaml(path)
    if not isinstance(document, dict) or "extends" not in document:
        return document, (path,)
    base = document.pop("extends")
    known = _profile_files(search)
    if not isinstance(base, str) or base not in known:
        raise unknown_name("hardware profile", str(base), known, place(path, ("extends",)))
    line = (*children, path)
    if known[base].resolve() in {child.resolve() for child in line}:
        raise InputError(f"extends: '{base}' extends itself", place(path, ("extends",)))
    below, chain = _merged(known[base], search, line)
    if not children and known[base] != path:
        # Faults of the base are told with the base's file and line; what is left is the child's.
        _valid(below, known[base])
    if "scale" in document:
        scale = validate(document.pop("scale"), Scale, path, ("scale",))
        below = _scaled(below, scale, base, ())
    return _over(below, document), (path, *chain)


def _scaled(node: Any, scale: Scale, base: str, location: tuple[str, ...]) -> Any:
    """Return the document of ``base`` with its times multiplied; provenance follows."""
    if not isinstance(node, dict):
        return node
    if "kind" in node and "value" in node:
        factor = scale.factor(".".join(location))
        return node if factor is None else times(Value(**node), factor, base).model_dump(mode="json")
    return {name: _scaled(inner, scale, base, (*location, name)) for name, inner in node.items()}


def times(value: Value, factor: Value, base: str) -> Value:
    """Return ``value`` of the profile ``base`` multiplied by ``factor``, with the ranges of both.

    The result is assumed when one of the two is, else derived; its source is the factor's. Ranges are multiplied end by
    end, which is the widest that they can be.
    """
    low, high = _range(value)
    factor_low, factor_high = _range(factor)
    return Value(
        value=value.value * factor.value,
        unit=value.unit,
        kind="assumed" if "assumed" in (value.kind, factor.kind) else "derived",
        source=factor.source,
        range=(low * factor_low, high * factor_high),
        note=f"{value.value:g} of {base} times {factor.value:g}",
    )


def _range(value: Value) -> tuple[float, float]:
    if value.range is not None:
        return value.range
    spread = RANGE_SD * (value.sd or 0.0)
    return max(value.value - spread, 0.0), value.value + spread


def _over(below: Any, above: Any, key: str = "") -> Any:
    """Return ``above`` merged over ``below``; a value, and the whole set of licence levels, is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)) or key == "licences":
        return above
    if "kind" in above or "kind" in below:
        return above
    return below | {name: _over(below.get(name), inner, name) for name, inner in above.items()}


def _check_sources(profile: HardwareProfile, chain: Sequence[Path]) -> None:
    path = chain[0]
    sources: dict[str, Source] = {}
    for folder in dict.fromkeys(file.parent for file in reversed(chain)):
        sources |= load_sources(folder)
    sources |= profile.sources
    for location, value in located(profile):
        if value.source == RECOLLECTION and value.kind != "assumed":
            message = f"{'.'.join(location)}: what is only remembered is assumed, not {value.kind}"
            raise InputError(message, place(path, (*location, "source")))
        if value.source != RECOLLECTION and value.source not in sources:
            where = place(path, (*location, "source"))
            raise unknown_name("source", value.source, [*sources, RECOLLECTION], where)
