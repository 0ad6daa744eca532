"""``flexvpn-sim hardware validate``: predicted against measured for every public figure that ships."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..cli_common import reports_bad_input
from ..output_files import CHARTS, PAGES, check_output, write_atomically
from .options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from .validation import Validation

REPORT_WIDTH = 150
PNG_DPI = 200
MISSED = 1


@reports_bad_input
def validate(
    chart: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the errors (.png or .svg).")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page of the documentation (.md).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with every public figure that ships: which were used for a fit, which were not, the errors.

    Exit code 1 when a stated target is missed.
    """
    from . import validation

    for path, formats in ((chart, CHARTS), (markdown, PAGES)):
        if path is not None:
            check_output(path, formats)
    result = validation.validate()
    if chart is not None:
        from ..charts.style import render
        from ..charts.validation import draw

        write_atomically({chart: render(draw(result), "svg" if chart.suffix.lower() == ".svg" else "png", PNG_DPI)})
    if markdown is not None:
        from .validation_text import page

        write_atomically({markdown: page(result).encode()})
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=1, allow_nan=False))
    else:
        _report(result)
        for name, path in (("Chart", chart), ("Page", markdown)):
            if path is not None:
                typer.echo(f"{name}: {path}")
    if not result.met:
        raise typer.Exit(MISSED)


def _report(result: Validation) -> None:
    from rich.console import Console
    from rich.text import Text

    from . import validation_text as text

    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False, soft_wrap=False)
    for section in result.sections:
        console.print(Text(section.title, style="bold"))
        console.print(Text(section.note))
        console.print(_table(text.COLUMNS, map(text.cells, section.rows), right=("measured", "predicted", "error")))
    console.print(Text("Errors of what was not used for a fit", style="bold"))
    numbers = ("not used", "median", "worst", "fitted")
    console.print(_table(text.SUMMARY, map(text.summary, result.sections), right=numbers))
    console.print(Text("Every target is met." if result.met else "A target is missed."))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        side = column in right
        table.add_column(column, justify="right" if side else "left", no_wrap=side, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
