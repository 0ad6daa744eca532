"""``flexvpn-sim hardware calibrate | measure``: the user's own measurements become a profile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.errors import InputError
from ..cli_common import reports_bad_input
from .options import AsJson, Folders

if TYPE_CHECKING:
    from ...hardware.calibration import FittedRow, Parameter
    from .calibrate import Outcome

REPORT_WIDTH = 140
#: Values that are named where many are meant.
NAMED = 6
#: Seconds before a bar shows that work is going on.
PATIENCE_S = 2.0
#: Base of a measured host, and its least and greatest time a measurement. [s]
HOST_BASE = "linux-strongswan-openssl"
SHORTEST_S, LONGEST_S = 0.02, 10.0

Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Profile to write, as mine.yaml.")]


@reports_bad_input
def calibrate(
    base: Annotated[str, typer.Option("--base", metavar="PROFILE", help="Profile to begin with.")],
    output: Output,
    openssl: Annotated[
        Path | None, typer.Option("--openssl", metavar="FILE", help="Output of 'openssl speed' on the router's CPU.")
    ] = None,
    rates: Annotated[
        Path | None, typer.Option("--rates", metavar="CSV", help="IKEv2 set-ups a second, or CPU ms of one.")
    ] = None,
    throughput: Annotated[
        Path | None, typer.Option("--throughput", metavar="CSV", help="ESP at saturation, by packet size.")
    ] = None,
    show: Annotated[
        list[Path] | None, typer.Option("--show", metavar="FILE", help="Outputs of show commands; may be repeated.")
    ] = None,
    more_show: Annotated[
        list[Path] | None, typer.Argument(metavar="[SHOW FILE]...", help="More files of --show.")
    ] = None,
    implementation: Annotated[
        str | None,
        typer.Option(
            metavar="PROFILE", help="IKEv2 implementation of the rates; that of the router's family if missing."
        ),
    ] = None,
    profiles: Folders = None,
    as_json: AsJson = False,
) -> None:
    """Fit a profile to your measurements and write it, with ranges, correlations and sources."""
    from .calibrate import Files, calibrate_files, check_output

    if more_show and not show:
        raise InputError(f"found '{more_show[0]}'; files are given after --show, --openssl, --rates or --throughput")
    files = Files(openssl, rates, throughput, (*(show or ()), *(more_show or ())))
    if files == Files():
        raise InputError("nothing to calibrate with: give --openssl, --rates, --throughput or --show")
    check_output(output, base)
    with _progress("fit") as step:
        outcome = calibrate_files(
            base, files, _today(), profiles=profiles or (), implementation=implementation, progress=step
        )
    _finish(outcome, output, profiles or [], as_json)


@reports_bad_input
def measure(
    output: Output,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="Time of each measurement; by default all take 40 s together."),
    ] = None,
    with_tool: Annotated[
        str | None, typer.Option("--with", metavar="TOOL", help="openssl or cryptography; by default what is there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the cryptography of this machine and write a profile of it."""
    from ...hardware.measurement import measure_host
    from .calibrate import calibrate_host, check_output

    check_output(output, HOST_BASE)
    if seconds is not None and not SHORTEST_S <= seconds <= LONGEST_S:
        raise InputError(f"found {seconds:g}, {SHORTEST_S:g} to {LONGEST_S:g} s are possible", "--seconds")
    with _steps() as progress:
        host = measure_host(seconds, with_tool, progress)
    with _progress("fit") as step:
        outcome = calibrate_host(HOST_BASE, host, _today(), progress=step)
    _finish(outcome, output, [], as_json)


def _today() -> str:
    import datetime

    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


@contextmanager
def _progress(what: str) -> Iterator[Callable[[], None]]:
    from tqdm import tqdm

    with tqdm(desc=what, unit=" evaluations", delay=PATIENCE_S, leave=False, file=sys.stderr) as bar:

        def step() -> None:
            bar.update()

        yield step


@contextmanager
def _steps() -> Iterator[Callable[[str, int], None]]:
    """Yield what a measurement calls before each step, with its name and how many there are."""
    from tqdm import tqdm

    with ExitStack() as stack:
        bars: list[Any] = []

        def step(name: str, total: int) -> None:
            if not bars:
                form = "{l_bar}{bar}| {n_fmt}/{total_fmt}"
                bars.append(stack.enter_context(tqdm(total=total, leave=False, file=sys.stderr, bar_format=form)))
            bars[0].set_description_str(f"{name:34}", refresh=False)
            bars[0].update()

        yield step


def _finish(outcome: Outcome, output: Path, profiles: list[Path], as_json: bool) -> None:
    """Write profile and chart, both or none, and print what came out."""
    from ..output_files import write_atomically
    from .calibrate import as_json as to_json
    from .calibrate import check_loads, profile_yaml

    text = profile_yaml(outcome, output.stem, "Written by flexvpn-sim; it extends another profile.")
    check_loads(text, output.stem, profiles)
    files = {output: text.encode()}
    charts = []
    if outcome.fit is not None:
        from ..charts.calibration import draw
        from ..charts.style import render

        figure = draw(outcome)
        charts = [output.with_suffix(".png"), output.with_suffix(".svg")]
        files |= {charts[0]: render(figure, "png", 200), charts[1]: render(figure, "svg")}
    write_atomically(files)
    if as_json:
        typer.echo(json.dumps(to_json(outcome, output, charts), indent=1, allow_nan=False))
        return
    _print_outcome(outcome)
    beside = f", chart {charts[0]} and {charts[1].name}" if charts else ""
    typer.echo(f"Profile {output}{beside}.")
    folder = "".join(f" --profiles {profile}" for profile in profiles)
    typer.echo(f"Look at it with: flexvpn-sim hardware diff {outcome.base.name} {output}{folder}")


def _print_outcome(outcome: Outcome) -> None:
    fit = outcome.fit
    if fit is not None:
        _print(f"Measured and fitted ({len(fit.rows)} rows)", _rows_table(fit.rows))
        quality = f"Chi-squared {fit.chi2:.1f} for {len(fit.rows)} rows."
        if fit.scatter > 1.0:
            quality += f" They scatter {fit.scatter:.1f} times as much as they state: all errors are widened by that."
        typer.echo(quality + "\n")
        _print(f"Fitted values of {outcome.base.name} (ranges from 5 to 95 %)", _parameters_table(fit.parameters))
        followers = [p.path.removeprefix("parameters.") for p in fit.parameters if p.follows]
        if followers:
            what = f"{len(followers)} more values move with these, by the correlations of {outcome.base.name}"
            _print(what, f"{', '.join(followers[:NAMED])}{' ...' if followers[NAMED:] else ''}; they stay assumed")
    if outcome.findings:
        _print("What the router shows", _table(["where", "what", "use", "why"], _findings(outcome)))
    if outcome.unused:
        rows = [(u.where, u.text, u.reason) for u in outcome.unused]
        _print("Read but not used", _table(["where", "what", "why"], rows))
    if outcome.notes:
        _print("Decisions", "\n".join(f"- {note}" for note in dict.fromkeys(outcome.notes)))
    _print(*_assumed(outcome))


def _assumed(outcome: Outcome) -> tuple[str, str]:
    """Return what is still assumed, in groups: names below one place of the profile."""
    groups: dict[str, int] = {}
    for path in outcome.assumed():
        group = ".".join(path.split(".")[1:3])
        groups[group] = groups.get(group, 0) + 1
    total = sum(p.startswith("parameters.") for p in outcome.profile.values())
    text = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in groups.items())
    return f"Still assumed: {sum(groups.values())} of {total} parameters", text


def _rows_table(rows: tuple[FittedRow, ...]) -> Any:
    cells = [
        (
            row.name,
            Path(row.where).name,
            _number(row.measured),
            _number(row.fitted),
            row.unit,
            f"{row.residual:+.1%}",
            f"{row.sd:.0%}",
        )
        for row in rows
    ]
    columns = ["row", "where", "measured", "fitted", "unit", "residual", "sd"]
    if not any(row.where for row in rows):
        return _table([c for c in columns if c != "where"], [(name, *rest) for name, _, *rest in cells])
    return _table(columns, cells)


def _parameters_table(parameters: tuple[Parameter, ...]) -> Any:
    cells = []
    for p in (p for p in parameters if not p.follows):
        before = "-" if p.base is None else _number(p.base.value)
        was = "-" if p.base is None or p.base.range is None else _range(p.base.range)
        now = _range(p.value.range) if p.value.range else "-"
        mark = " at its bound" if p.at_bound else ""
        kind = p.value.kind + mark
        name = p.path.removeprefix("parameters.")
        cells.append((name, before, _number(p.value.value), p.value.unit, was, now, kind))
    return _table(["value", "base", "fitted", "unit", "range before", "range after", "is now"], cells)


def _range(ends: tuple[float, float]) -> str:
    return f"{_number(ends[0])} to {_number(ends[1])}"


def _number(value: float) -> str:
    return f"{value:.4g}" if value < 1e4 else f"{value:.0f}"


def _findings(outcome: Outcome) -> list[tuple[str, ...]]:
    order = {"used": 0, "unverified": 1, "not used": 2}
    found = sorted(outcome.findings, key=lambda f: order[f.use])
    return [(_short_place(f.where), f.text, f.use, f.reason) for f in found]


def _short_place(where: str) -> str:
    return Path(where).name


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    from rich import box
    from rich.table import Table

    right = {"measured", "fitted", "residual", "sd", "base"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _print(heading: str, content: Any) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False, markup=False)
    console.print(Text(heading, style="bold"))
    console.print(Text(content) if isinstance(content, str) else content)
    console.print()
