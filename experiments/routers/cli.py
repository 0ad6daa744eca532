"""``flexvpn-sim hardware list | show | diff``: what is known about each router model, and what is only assumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..cli_common import reports_bad_input

hardware_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at hardware profiles.")

Folders = Annotated[list[Path] | None, typer.Option("--profiles", metavar="DIR", help="Folder with your profiles.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@hardware_app.command("list")
@reports_bad_input
def list_profiles(profiles: Folders = None, as_json: AsJson = False) -> None:
    """List every profile with its cores, licence and share of assumed values."""
    from ...hardware.profile_files import load_profile, profile_names

    rows = []
    for name in profile_names(profiles or ()):
        profile = load_profile(name, profiles or ())
        values = list(profile.values().values())
        cores = profile.architecture
        rows.append(
            {
                "name": name,
                "title": profile.title,
                "ikev2": profile.ikev2.supported,
                "control_cores": int(cores.control_cores.value),
                "packet_cores": int(cores.packet_cores.value),
                "crypto_cores": int(cores.crypto_cores.value),
                "licence": profile.default_licence,
                "assumed_share": sum(v.kind == "assumed" for v in values) / len(values),
            }
        )
    if as_json:
        typer.echo(json.dumps({"profiles": rows}, indent=1))
        return
    typer.echo(f"{'name':26}{'title':44}{'control/packet/crypto':23}{'licence':14}assumed")
    for row in rows:
        split = f"{row['control_cores']}/{row['packet_cores']}/{row['crypto_cores']}" if row["ikev2"] else "no IKEv2"
        typer.echo(f"{row['name']:26}{row['title']:44}{split:23}{row['licence']:14}{row['assumed_share']:.0%}")


@hardware_app.command()
@reports_bad_input
def show(profile: str, profiles: Folders = None, as_json: AsJson = False) -> None:
    """Print every value of a profile with unit, kind, range and source."""
    from ...hardware.profile_files import load_profile

    found = load_profile(profile, profiles or ())
    if as_json:
        values = {name: value.model_dump(mode="json") for name, value in found.values().items()}
        typer.echo(json.dumps({"name": found.name, "title": found.title, "values": values}, indent=1))
        return
    typer.echo(found.title if found.ikev2.supported else f"{found.title}: {found.ikev2.reason}")
    for name, value in found.values().items():
        typer.echo(f"{name:52}{value.value:<12g}{value.unit:9}{value.kind:10}{value.source:20}{value.spread()}")


@hardware_app.command()
@reports_bad_input
def diff(a: str, b: str, profiles: Folders = None, as_json: AsJson = False) -> None:
    """Print the values in which two profiles differ."""
    from ...hardware.profile_files import load_profile

    left, right = (load_profile(name, profiles or ()).values() for name in (a, b))
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    if as_json:
        rows = {n: [v.model_dump(mode="json") if (v := side.get(n)) else None for side in (left, right)] for n in names}
        typer.echo(json.dumps({"a": a, "b": b, "differences": rows}, indent=1))
        return
    for name in names:
        texts = [f"{v.value:g} ({v.kind})" if (v := side.get(name)) else "-" for side in (left, right)]
        typer.echo(f"{name:52}{texts[0]:24}{texts[1]}")
