"""``flexvpn-sim hardware list | show | diff | compare``: what is known about each router, and what is only assumed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..cli_common import reports_bad_input
from .calibrate_cli import calibrate, measure
from .compare_cli import compare
from .options import AsJson, Folders
from .validate_cli import validate

if TYPE_CHECKING:
    from ...hardware.profile import HardwareProfile
    from ...models.values import Value

hardware_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at hardware profiles.")
hardware_app.command()(compare)
hardware_app.command()(validate)

#: Where families without a name stand.
NO_FAMILY = "other"
#: Width of running text.
LINE = 110


@hardware_app.command("list")
@reports_bad_input
def list_profiles(profiles: Folders = None, as_json: AsJson = False) -> None:
    """List every profile by family with its cores, licence and share of assumed values."""
    from ...hardware.profile_files import load_profile, profile_names

    rows = [_row(load_profile(name, profiles or ())) for name in profile_names(profiles or ())]
    if as_json:
        typer.echo(json.dumps({"profiles": rows}, indent=1))
        return
    cells = {
        row["name"]: (
            f"  {row['name']}",
            row["title"],
            f"{row['control_cores']}/{row['packet_cores']}/{row['crypto_cores']}" if row["ikev2"] else "no IKEv2",
            _licence(row["licence"], row["licence_bps"]) if row["ikev2"] else "",
            f"{row['assumed_share']:.0%}",
        )
        for row in rows
    }
    heading = ("family and name", "title", "control/packet/crypto cores", "default licence", "assumed")
    widths = _widths([heading, *cells.values()])
    typer.echo(_aligned(heading, widths))
    for family, group in groupby(sorted(rows, key=_family), key=_family):
        members = list(group)
        typer.echo(family)
        for row in members:
            typer.echo(_aligned(cells[row["name"]], widths))
        for reason in dict.fromkeys(row["reason"] for row in members if not row["ikev2"]):
            typer.echo(textwrap.fill(reason, LINE, initial_indent="    ", subsequent_indent="    "))


def _row(profile: HardwareProfile) -> dict[str, Any]:
    values = list(profile.values().values())
    cores, licence = profile.architecture, profile.licences[profile.default_licence]
    return {
        "name": profile.name,
        "title": profile.title,
        "family": profile.family,
        "ikev2": profile.ikev2.supported,
        "reason": profile.ikev2.reason,
        "control_cores": int(cores.control_cores.value),
        "packet_cores": int(cores.packet_cores.value),
        "crypto_cores": int(cores.crypto_cores.value),
        "licence": profile.default_licence,
        "licence_bps": None if licence is None else licence.value,
        "assumed_share": sum(v.kind == "assumed" for v in values) / len(values),
    }


def _family(row: dict[str, Any]) -> str:
    return row["family"] or NO_FAMILY


def _licence(level: str, bps: float | None) -> str:
    return f"{level} (not throttled)" if bps is None else f"{level} ({bps / 1e6:g} Mbit/s)"


@hardware_app.command()
@reports_bad_input
def show(
    profile: str,
    cite: Annotated[bool, typer.Option(help="Number the sources and print them, with conditions and notes.")] = False,
    profiles: Folders = None,
    as_json: AsJson = False,
) -> None:
    """Print every value of a profile with unit, kind, range and source."""
    from ...hardware.profile_files import load_profile
    from .citations import references_of

    found = load_profile(profile, profiles or ())
    references = references_of(found, profile, profiles or ()) if cite else []
    numbers = {reference["id"]: reference["number"] for reference in references}
    if as_json:
        values = {name: value.model_dump(mode="json") for name, value in found.values().items()}
        if cite:
            values = {name: {**value, "reference": numbers.get(value["source"])} for name, value in values.items()}
        head = {**_row(found), "note": found.note, "licences": _levels(found)}
        typer.echo(json.dumps({**head, "values": values, **({"references": references} if cite else {})}, indent=1))
        return
    for line in (*_head(found), "", *_value_lines(found, numbers, notes=cite)):
        typer.echo(line)
    if cite:
        from .citations import reference_lines

        typer.echo("\nReferences")
        for line in reference_lines(references):
            typer.echo(line)


def _levels(profile: HardwareProfile) -> dict[str, float | None]:
    return {level: None if rate is None else rate.value for level, rate in profile.licences.items()}


def _head(profile: HardwareProfile) -> Iterable[str]:
    """Yield what a profile says of itself beside its values."""
    yield f"{profile.name}: {profile.title}" + (f" ({profile.family})" if profile.family else "")
    if not profile.ikev2.supported:
        yield f"cannot run IKEv2: {profile.ikev2.reason}"
    if profile.note:
        yield profile.note
    levels = ", ".join(_licence(level, bps) for level, bps in _levels(profile).items())
    yield f"licences: {levels}; {profile.default_licence} unless told otherwise"
    kinds = [value.kind for value in profile.values().values()]
    yield ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("measured", "published", "derived", "assumed"))


def _value_lines(profile: HardwareProfile, numbers: dict[str, int], *, notes: bool) -> Iterable[str]:
    heading = ("path", "value", "unit", "kind", "5 % to 95 %", "source")
    cells = [heading]
    for name, value in profile.values().items():
        spread = value.spread().removesuffix(f" {value.unit}")
        source = f"[{numbers[value.source]}]" if value.source in numbers else value.source
        cells.append((name, f"{value.value:.6g}", value.unit, value.kind, spread, source))
    widths = _widths(cells)
    yield _aligned(cells[0], widths)
    for row, value in zip(cells[1:], profile.values().values(), strict=True):
        yield _aligned(row, widths)
        if notes and value.note:
            yield f"    {value.note}"


@hardware_app.command()
@reports_bad_input
def diff(a: str, b: str, profiles: Folders = None, as_json: AsJson = False) -> None:
    """Print the values in which two profiles differ, or their ranges; the ratio is that of the second to the first."""
    from ...hardware.profile_files import load_profile

    one, other = (load_profile(name, profiles or ()) for name in (a, b))
    left, right = one.values(), other.values()
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    if as_json:
        rows = {n: [v.model_dump(mode="json") if (v := side.get(n)) else None for side in (left, right)] for n in names}
        typer.echo(json.dumps({"a": a, "b": b, "differences": rows}, indent=1))
        return
    cells: list[Sequence[str]] = [("path", one.name, other.name, "ratio", "unit")]
    for name in names:
        pair = [side.get(name) for side in (left, right)]
        texts = [_known(v) if v else "-" for v in pair]
        unit = next((v.unit for v in pair if v and v.unit), "")
        x, y = (v.value if v else 0.0 for v in pair)
        cells.append((name, *texts, f"{y / x:.3g}" if x and y else "", unit))
    widths = _widths(cells)
    for row in cells:
        typer.echo(_aligned(row, widths))
    typer.echo(f"{len(names)} values differ, {len({**left, **right}) - len(names)} do not")


def _known(value: Value) -> str:
    spread = value.spread().removesuffix(f" {value.unit}")
    return f"{value.value:.6g} ({value.kind}{', ' * bool(spread)}{spread})"


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


hardware_app.command()(calibrate)
hardware_app.command()(measure)
