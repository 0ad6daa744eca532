"""``flexvpn-sim hardware compare``: routers side by side, as tables and as a chart."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.errors import InputError
from ..cli_common import reports_bad_input
from .options import AsJson, Folders

if TYPE_CHECKING:
    from rich.table import Table

#: Width for pipes; wider when many routers are compared. A column of a router needs about so many characters.
REPORT_WIDTH, ITEM_WIDTH, ROUTER_WIDTH = 100, 44, 34
#: Work that lasts longer than this shows its progress. [s]
PROGRESS_AFTER_S = 2.0
SAMPLES = 200
FORMATS = (".png", ".svg")
PNG_DPI = 200


@reports_bad_input
def compare(
    profile: Annotated[list[str], typer.Argument(help="Hardware profiles, as isr4321 isr4451.", metavar="PROFILE...")],
    chart: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the comparison (.png or .svg).")] = None,
    implementation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="IKEv2 implementation of all (default: IOS, on Linux strongSwan)."),
    ] = None,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Parameter sets drawn from each profile's ranges; 0: no bands.")
    ] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 1,
    profiles: Folders = None,
    as_json: AsJson = False,
) -> None:
    """Compare routers: key exchanges, authentications, ciphers, IKEv2 set-ups a second, ESP throughput.

    Bands are the 5 % and 95 % quantiles over parameter sets drawn from the profiles' ranges.
    """
    from ...hardware.profile_files import load_profile
    from .compare import compare as compute

    file_format = None if chart is None else _check_file(chart, profile)
    found = [load_profile(name, profiles or ()) for name in profile]
    progress = _progress(len(found) * samples)
    result = compute(found, implementation=implementation, samples=samples, seed=seed, progress=progress)
    if chart is not None and file_format is not None:
        _draw(result, chart, file_format)
    if as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
        return
    _report(result)
    if chart is not None:
        typer.echo(f"Chart: {chart}")


def _check_file(path: Path, names: Sequence[str]) -> str:
    from ..charts.hardware import check_count

    check_count(names)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"'{path.suffix}' is no format of a chart; allowed: {', '.join(FORMATS)}", str(path))
    if not path.absolute().parent.is_dir():
        raise InputError(f"no such folder: {path.parent}", str(path))
    return path.suffix.lower()[1:]


def _progress(steps: int) -> Callable[[float], None] | None:
    if not steps:
        return None
    from tqdm import tqdm

    bar = tqdm(total=steps, desc="parameter sets", delay=PROGRESS_AFTER_S, file=sys.stderr, leave=False, disable=None)

    def tick(fraction: float) -> None:
        bar.update(round(fraction * steps) - bar.n)
        if fraction >= 1.0:
            bar.close()

    return tick


def _draw(result: dict[str, Any], path: Path, file_format: str) -> None:
    from ..charts.hardware import draw
    from ..charts.style import render

    data = render(draw(result), "svg" if file_format == "svg" else "png", PNG_DPI)
    staging = path.with_name(f".{path.name}.part")
    try:
        staging.write_bytes(data)
        staging.replace(path)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", str(path)) from None


def _report(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    names = [row["name"] for row in result["profiles"]]
    width = None if sys.stdout.isatty() else max(REPORT_WIDTH, ITEM_WIDTH + ROUTER_WIDTH * len(names))
    console = Console(width=width, highlight=False, soft_wrap=False)

    def show(heading: str, table: Table) -> None:
        console.print(Text(heading, style="bold"))
        console.print(table)

    console.print(_introduction(result), soft_wrap=True, markup=False)
    console.print()
    show("Key exchange, CPU of the responder", _key_exchanges(result, names))
    show("Authentication at one end: proof made, proof and certificate checked", _times(result, names))
    show("ESP, one packet: cipher, HMAC and I/O (us)", _ciphers(result, names))
    show("IKEv2 set-ups a second: control cores over the responder's CPU time", _handshakes(result, names))
    show("ESP in one direction, Mbit/s of inner packets: what the cores carry", _throughput(result, names))
    show("ESP in one direction, Mbit/s of inner packets: what licences let through", _licences(result, names))
    for row in result["profiles"]:
        for line in row["missing"]:
            console.print(f"{row['name']} {line} ('-' above)")


def _introduction(result: dict[str, Any]) -> str:
    lines = [
        f"{row['name']}: {row['title']}, licence {row['licence']} ({_rate(row['licence_bps'])}), "
        f"IKEv2 of {row['implementation']}, {row['assumed_share']:.0%} of its values assumed"
        for row in result["profiles"]
    ]
    bands = f"in brackets: 5 % and 95 % of {result['samples']} parameter sets from the stated ranges, seed"
    lines.append(f"{bands} {result['seed']}" if result["samples"] else "the profiles' values, without their ranges")
    return "\n".join(lines)


def _rate(bps: float | None) -> str:
    return "not throttled" if bps is None else f"{bps / 1e6:g} Mbit/s"


def _key_exchanges(result: dict[str, Any], names: Sequence[str]) -> Table:
    return _table(result["key_exchanges"], ("method",), names, lambda row: _banded(row, "responder", "s", 1e3, " ms"))


def _times(result: dict[str, Any], names: Sequence[str]) -> Table:
    return _table(result["authentications"], ("method",), names, lambda row: _banded(row, "total", "s", 1e3, " ms"))


def _ciphers(result: dict[str, Any], names: Sequence[str]) -> Table:
    """One row a suite; the times at the three lengths, the band of the longest."""
    sizes = list(dict.fromkeys(row["packet_bytes"] for row in result["ciphers"]))
    by_suite: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result["ciphers"]:
        by_suite.setdefault((row["suite"], row["profile"]), []).append(row)
    rows = [{"suite": suite, "profile": profile, "rows": rows} for (suite, profile), rows in by_suite.items()]

    def text(entry: dict[str, Any]) -> str:
        *short, last = entry["rows"]
        return "  ".join([*(_number(row["packet_s"] * 1e6) for row in short), _banded(last, "packet", "s", 1e6, "")])

    return _table(rows, ("suite",), names, text, note=f"{', '.join(map(str, sizes))} bytes")


def _handshakes(result: dict[str, Any], names: Sequence[str]) -> Table:
    return _table(result["handshakes"], ("auth", "ike"), names, lambda row: _banded(row, "per", "s", 1.0, ""))


def _throughput(result: dict[str, Any], names: Sequence[str]) -> Table:
    def text(row: dict[str, Any]) -> str:
        return f"{_banded(row, 'cores', 'bps', 1e-6, '')} {row['cores_bottleneck']}"

    return _table(result["throughput"], ("suite", "packet_bytes"), names, text)


def _licences(result: dict[str, Any], names: Sequence[str]) -> Table:
    levels = {row["name"]: row["licence"] for row in result["profiles"]}

    def text(row: dict[str, Any]) -> str:
        parts = []
        if row["licence_bps"] is not None:
            parts.append(f"{levels[row['profile']]} {_number(row['licence_bps'] / 1e6)}")
        if row["hsec_bps"] is not None:
            parts.append(f"without HSEC {_number(row['hsec_bps'] / 1e6)}")
        return ", ".join(parts) or "no limit"

    # A rate on the wire: the shortest and the longest packets tell it all.
    lengths = [row["packet_bytes"] for row in result["throughput"]]
    rows = [row for row in result["throughput"] if row["packet_bytes"] in (min(lengths), max(lengths))]
    return _table(rows, ("suite", "packet_bytes"), names, text)


def _table(
    rows: list[dict[str, Any]],
    items: Sequence[str],
    names: Sequence[str],
    text: Callable[[dict[str, Any]], str],
    note: str = "",
) -> Table:
    """Return a table with one row an item and one column a router."""
    from rich import box
    from rich.table import Table

    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        item = tuple(str(row[part]) for part in items)
        cells.setdefault(item, {})[row["profile"]] = text(row)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for part in items:
        table.add_column(part.replace("packet_bytes", "bytes"), no_wrap=True)
    for name in names:
        table.add_column(f"{name} ({note})" if note else name, no_wrap=True)
    for item, by_router in cells.items():
        table.add_row(*item, *(by_router.get(name, "-") for name in names))
    return table


def _banded(row: dict[str, Any], stem: str, unit: str, scale: float, symbol: str) -> str:
    """Return ``8.68 (3.94-36.7) ms``."""
    low, high = row[f"{stem}_low_{unit}"], row[f"{stem}_high_{unit}"]
    band = "" if low is None or high is None else f" ({_number(low * scale)}-{_number(high * scale)})"
    value = row[f"{stem}_{unit}"]
    return ("-" if value is None else _number(value * scale)) + band + symbol


def _number(value: float) -> str:
    """Return three digits, without an exponent.

    >>> _number(0.012345), _number(8.6849), _number(1331.43)
    ('0.0123', '8.68', '1331')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
