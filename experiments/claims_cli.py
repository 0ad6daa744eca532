"""``flexvpn-sim paper claims``: what the study claims, and what figures say to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_common import reports_bad_input
from .output_files import CHARTS, PAGES, check_output, write_atomically

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

paper_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Test what the study says.")

REPORT_WIDTH = 150
PNG_DPI = 200
#: Parameter sets unless told otherwise.
SAMPLES = 200
PROGRESS_AFTER_S = 2.0


@paper_app.callback()
def root() -> None:
    """Test what the study says."""


@paper_app.command()
@reports_bad_input
def claims(
    hardware: Annotated[str, typer.Option(metavar="PROFILE", help="Hardware profile of both routers.")] = "isr4321",
    rtt: Annotated[
        str, typer.Option(metavar="TIME[,TIME...]", help="Round-trip times of the path.")
    ] = "20ms,100ms,300ms",
    ike: Annotated[
        str, typer.Option(help="IKE proposal of all set-ups, one that IKEv1 knows too.")
    ] = "aes256-sha512-modp2048",
    esp: Annotated[str, typer.Option(help="ESP proposal of all set-ups.")] = "aes256-sha512",
    samples: Annotated[
        int, typer.Option(metavar="N", help="Parameter sets drawn from the hardware's ranges; 0: none.")
    ] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 1,
    profiles: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder with hardware profiles of your own.")
    ] = None,
    chart: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the protocols (.png or .svg).")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page of the documentation (.md).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Test every claim of the study: the figures of both sides, and whether it is true, false or not decidable.

    The exit code is 0 whatever the verdicts: that the table could be made is the answer, and a false claim is a finding
    about the study, not a failure of what was asked. 2: bad input.
    """
    from ..hardware.profile_files import load_profile
    from . import claims as tested
    from .claim_list import CLAIMS

    for path, formats in ((chart, CHARTS), (markdown, PAGES)):
        if path is not None:
            check_output(path, formats)
    study = tested.Study(
        load_profile(hardware, profiles or ()), _times(rtt), samples=samples, seed=seed, ike=ike, esp=esp
    )
    findings = _judged(study, CLAIMS)
    result = tested.result(study, findings, tested.protocol_rows(study))
    if chart is not None:
        from .charts.claims import draw
        from .charts.style import render

        write_atomically({chart: render(draw(result), "svg" if chart.suffix.lower() == ".svg" else "png", PNG_DPI)})
    if markdown is not None:
        from .claims_text import page

        write_atomically({markdown: page(result).encode()})
    if as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
        return
    _report(result)
    for name, path in (("Chart", chart), ("Page", markdown)):
        if path is not None:
            typer.echo(f"{name}: {path}")


def _judged(study: Any, claims: Sequence[Any]) -> list[Any]:
    from tqdm import tqdm

    from .claims import judge

    # A bar is for eyes: none where standard error is a file or a pipe.
    with tqdm(
        total=len(claims), delay=PROGRESS_AFTER_S, desc="claims", leave=False, file=sys.stderr, disable=None
    ) as bar:
        return judge(study, claims, lambda: bar.update())


def _times(text: str) -> tuple[float, ...]:
    """Return the durations of a list with commas. [s]"""
    from ..models.units import seconds

    return tuple(seconds(word.strip(), "--rtt") for word in text.split(","))


def _report(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from . import claims_text as text

    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False, soft_wrap=False)
    _section(console, "Protocols", text.protocol_note())
    console.print(_table(text.protocol_columns(result), map(text.protocol_cells, result["protocols"])))
    console.print(Text(text.inputs(result)))
    console.print()
    for claim in result["claims"]:
        heading = f"{claim['verdict'].upper()}  {claim['claim']} (section {claim['section']})"
        _section(console, heading, claim["reason"])
        if claim["comparisons"]:
            console.print(Padding(Text(f"Experiment: {claim['experiment']}."), (0, 0, 0, 2)))
            rows = map(text.figures, claim["comparisons"])
            console.print(Padding(_table(text.FIGURES, rows, right=("sets",)), (0, 0, 0, 2)))
        if claim["note"]:
            console.print(Padding(Text(claim["note"]), (0, 0, 0, 2)))
        console.print()
    counts = result["verdicts"]
    console.print(
        Text(f"{counts['true']} claims are true, {counts['false']} false, {counts['not decidable']} not decidable.")
    )


def _section(console: Console, heading: str, content: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(heading, style="bold"))
    console.print(Padding(Text(content), (0, 0, 0, 2)))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] | None = None) -> Table:
    """Return a table; ``right``: columns of numbers, None: all but the first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = column in right if right is not None else place > 0
        table.add_column(column, justify="right" if numeric else "left", no_wrap=not place, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
