"""The command line: ``flexvpn-sim run | show | lint | rerun | demo``.

Exit codes: 0 the answer is yes, 1 the answer is no (a tunnel stays down, a fatal finding, a table that differs), 2 bad
input, in one line on standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.errors import InputError
from .claims_cli import paper_app
from .cli_common import reports_bad_input
from .clients_cli import clients
from .exchange_cli import exchange
from .overhead_cli import overhead
from .protocol_cli import protocol
from .routers.cli import hardware_app

if TYPE_CHECKING:
    from .result import Result

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate Cisco FlexVPN deployments and the routers that carry them.",
)
app.add_typer(hardware_app, name="hardware")
app.add_typer(paper_app, name="paper")

#: Work that lasts longer than this shows its progress. [s]
PROGRESS_AFTER_S = 2.0
REPORT_WIDTH = 150


class _Progress:
    """A bar on standard error for work that takes its time; nothing for quick work."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=100,
            delay=PROGRESS_AFTER_S,
            file=sys.stderr,
            leave=False,
            # A bar is for eyes: none where standard error is a file or a pipe.
            disable=None,
            bar_format="{desc}{percentage:3.0f} %|{bar}| about {remaining} left",
        )
        self._what = ""

    def __call__(self, what: str, fraction: float) -> None:
        if what != self._what:
            self._what = what
            self._bar.reset(total=100)
            self._bar.set_description(what, refresh=False)
        step = int(fraction * 100) - self._bar.n
        if step > 0:
            self._bar.update(step)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


def _pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """Return ``ROUTER=PROFILE`` options as a dictionary; a bare PROFILE holds for every router (``*``)."""
    pairs = {}
    for value in values:
        router, found, profile = value.partition("=")
        if not found:
            router, profile = "*", value
        if not router or not profile:
            raise InputError(f"found '{value}', ROUTER=PROFILE is needed", option)
        pairs[router] = profile
    return pairs


def _duration(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    from ..models.units import seconds

    return seconds(text, option)


def _print(heading: str, content: Any) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False, soft_wrap=False)
    console.print(Text(heading, style="bold"))
    console.print(Text(content) if isinstance(content, str) else content)
    console.print()


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"flexvpn-sim {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Simulate Cisco FlexVPN deployments and the routers that carry them."""


@app.command()
@reports_bad_input
def run(
    path: Annotated[
        Path,
        typer.Argument(help="Folder of IOS configurations (a scenario.yaml in it is used), or a scenario (.yaml)."),
    ],
    seed: Annotated[int | None, typer.Option(help="Seed of every random number (default 1).")] = None,
    duration: Annotated[str | None, typer.Option(help="How long to simulate, as 90s or 24h (default 24h).")] = None,
    hardware: Annotated[
        list[str] | None, typer.Option(metavar="ROUTER=PROFILE", help="Hardware profile of a router (default isr4321).")
    ] = None,
    implementation: Annotated[
        list[str] | None,
        typer.Option(metavar="[ROUTER=]PROFILE", help="IKEv2 implementation (default: by the version line)."),
    ] = None,
    initiator: Annotated[
        str | None, typer.Option(metavar="ROUTER", help="Router that starts first; 'all': every end at once.")
    ] = None,
    hsec: Annotated[
        list[str] | None, typer.Option(metavar="ROUTER", help="Router with the HSEC licence; '*': all of them.")
    ] = None,
    profiles: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder with hardware profiles of your own.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Result directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    esp: Annotated[bool | None, typer.Option(help="ESP latency and throughput curves (default: only with -o).")] = None,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Parameter sets drawn from the hardware's ranges, for bands of ignorance.")
    ] = 0,
    traffic: Annotated[bool, typer.Option(help="Packets over the tunnels.")] = True,
) -> None:
    """Simulate a deployment: exit code 0 when every tunnel is up at the end, 1 when one is not."""
    from .result import check_place
    from .run import run as simulate
    from .scenario import scenario_file

    if output is not None:
        check_place(output)
    used = scenario_file(path)
    if used != path:
        typer.echo(f"{path} is a folder with a scenario: {used} is used.", err=as_json)
    progress = _Progress()
    try:
        result = simulate(
            used,
            seed=seed,
            duration_s=_duration(duration, "--duration"),
            hardware=_pairs(hardware or [], "--hardware"),
            implementation=_pairs(implementation or [], "--implementation"),
            initiator=initiator,
            hsec=hsec or [],
            traffic=traffic,
            esp=esp if esp is not None else output is not None,
            profiles=tuple(str(p) for p in profiles or []),
            samples=samples,
            progress=progress,
        )
        if output is not None:
            _save(result, output)
    finally:
        progress.close()
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=1, allow_nan=False))
    else:
        _report(result)
    raise typer.Exit(0 if result.up else 1)


def _save(result: Result, output: Path) -> None:
    from .charts import charts_of

    result.save(output, charts_of(result))


def _report(result: Result) -> None:
    from .report import sections

    for heading, content in sections(result):
        _print(heading, content)
    if result.directory is not None:
        charts = [
            str(result.directory / "charts" / name) for name in result.manifest["charts"] if name.endswith(".png")
        ]
        _print("Written", "\n".join([f"tables and manifest: {result.directory}", *charts]))
    else:
        typer.echo("Nothing was written; -o DIR keeps tables and charts.")


@app.command()
@reports_bad_input
def show(
    result: Annotated[Path, typer.Argument(help="Result directory.")],
    router: Annotated[str, typer.Argument(help="Router on which the command is given.")],
    command: Annotated[str, typer.Argument(help="As 'crypto ikev2 session detailed' or 'crypto ipsec sa'.")],
    at: Annotated[str | None, typer.Option(help="Time in the run, as 90s or 2h (default: its end).")] = None,
) -> None:
    """Print what a show command prints on a router at a time of the run."""
    from .result import load_result

    typer.echo(load_result(result).show(router, command, _duration(at, "--at")))


@app.command()
@reports_bad_input
def lint(
    path: Annotated[Path, typer.Argument(help="Folder of IOS configurations, or one configuration.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Find faults in configurations: exit code 1 when one of them keeps a tunnel down."""
    from ..models.ios.lint import lint as check
    from ..models.ios.reader import read_folder, read_router

    findings = check(read_folder(path) if path.is_dir() else [read_router(path)])
    if as_json:
        rows = [
            {
                "rule": f.rule,
                "severity": f.severity,
                "message": f.message,
                "lines": [{"file": line.file, "line": line.number, "text": line.text} for line in f.lines],
            }
            for f in findings
        ]
        typer.echo(json.dumps({"findings": rows}, indent=1))
    else:
        for finding in findings:
            typer.echo(f"{finding.severity:7} {finding.rule}  {finding.message}")
            for line in finding.lines:
                typer.echo(f"             {line}")
        fatal = sum(1 for f in findings if f.severity == "fatal")
        typer.echo(f"{fatal} fatal, {sum(1 for f in findings if f.severity == 'warning')} warnings")
    raise typer.Exit(1 if any(f.severity == "fatal" for f in findings) else 0)


@app.command()
@reports_bad_input
def rerun(
    result: Annotated[Path, typer.Argument(help="Result directory.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write the new result.")] = None,
) -> None:
    """Run a result's scenario again: exit code 0 when every table is the same bit for bit, 1 when one differs."""
    from .run import rerun as again

    progress = _Progress()
    try:
        new, different = again(result, progress)
    finally:
        progress.close()
    if output is not None:
        _save(new, output)
    for name in sorted(new.tables):
        typer.echo(f"{name:12} {'DIFFERENT' if name in different else 'identical'}")
    raise typer.Exit(1 if different else 0)


@app.command()
@reports_bad_input
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Result directory.")] = Path(
        "results/the-paper"
    ),
    seed: Annotated[int, typer.Option(help="Seed of every random number.")] = 1,
) -> None:
    """Run the paper's deployment: as published (it cannot come up) and with the least repair (a day of its tunnel)."""
    from . import paper_demo

    progress = _Progress()
    try:
        published, working = paper_demo.results(seed, progress)
        _save(working, output)
    finally:
        progress.close()
    for heading, content in paper_demo.sections(published, working):
        _print(heading, content)
    charts = [str(output / "charts" / name) for name in working.manifest["charts"] if name.endswith(".png")]
    _print("Written", "\n".join([f"tables and manifest: {output}", *charts, "(each chart as SVG too)"]))
    raise typer.Exit(0 if working.up and not published.up else 1)


app.command()(exchange)
app.command()(overhead)
app.command()(protocol)
app.command()(clients)


def main() -> None:
    """Entry point of the ``flexvpn-sim`` command."""
    try:
        app()
    except BrokenPipeError:
        # The reader of our output has left, as ``head`` does; that is no fault of the run.
        sys.stderr.close()
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
