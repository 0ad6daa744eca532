"""The comparison of predictions with public figures as text: cells of tables, and the page of the documentation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from ...hardware.public_figures import sources
from .validation import USES, Comparison, Section, Validation

COLUMNS = ("figure", "source", "kind", "measured", "predicted", "error", "used", "law, or why not")
SUMMARY = ("section", "not used", "median", "worst", "target", "met", "fitted", "others")
#: Steps of a unit: from this size on, its name and what it divides by.
_TIMES = ((1.0, "s", 1.0), (1e-3, "ms", 1e-3), (0.0, "us", 1e-6))
_RATES = ((1e9, "Gbit/s", 1e9), (0.0, "Mbit/s", 1e6))
REGENERATE = "flexvpn-sim hardware validate --markdown docs/hardware_validation.md"


#: Width of the page's text.
PAGE_CHARACTERS = 120
INTRODUCTION = (
    "Every public figure that ships with this project beside what the cost models make of it. The laws are in "
    "`hardware/scaling.py`, the figures in `hardware/public_figures`, the comparisons in "
    "`experiments/routers/validation*.py`. This page is generated; a test fails when it is stale. To make it anew:",
    f"    {REGENERATE}",
    "**used**: *no*: predicted without it; *fit*: it set a parameter or is the known point; *interpolation*: as many "
    "parameters as points, which proves nothing; *order*: only which one is larger. Medians, worst errors and targets "
    "count *no* alone. Where several sources show a law, the parameter that predicts one comes from the others.",
    "What this does not prove: the classes of implementations, the forms of the laws and what is excluded were chosen "
    "with these figures in view; figures that nobody here has seen are the harder test. The targets of exponentiations "
    "of the testbed, curves, messages and retransmissions are ours, set with the figures at hand; the others were "
    "given before. The constants of a handshake come from the "
    "machine whose other handshakes they predict. No Cisco router is among the figures but the Catalyst 8300, and that "
    "is an interpolation: no IKEv2 set-up rate and no throughput by cipher of one is published.",
)


def quantity(value: float | None, unit: str, like: float | None = None) -> str:
    """Return a number with four digits and its unit, in the unit that fits ``like`` (the value itself by default).

    >>> quantity(0.0027177, "s"), quantity(9.5e-4, "s", like=0.0027), quantity(2.2e8, "bit/s"), quantity(None, "s")
    ('2.718 ms', '0.95 ms', '220 Mbit/s', '-')
    """
    if value is None:
        return "-"
    steps = {"s": _TIMES, "bit/s": _RATES}.get(unit)
    if steps is None:
        number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        return f"{number} {unit}" if unit in ("packets/s", "bytes") else number
    size = abs(value if like is None else like)
    _, name, divisor = next(step for step in steps if size >= step[0])
    return f"{value / divisor:.4g} {name}"


def percent(error: float | None, *, sign: bool = False) -> str:
    """Return an error as a percentage with a digit, ``-`` where there is none.

    >>> percent(0.0512), percent(-0.0512, sign=True), percent(0.0, sign=True), percent(None)
    ('5.1 %', '-5.1 %', '0.0 %', '-')
    """
    if error is None:
        return "-"
    rounded = round(error * 100, 1) + 0.0
    return f"{rounded:+.1f} %" if sign and rounded else f"{rounded:.1f} %"


def cells(row: Comparison) -> tuple[str, ...]:
    """Return the cells of a comparison under `COLUMNS`."""
    predicted = quantity(row.predicted, row.unit, row.measured)
    if row.use == "order":
        predicted = "order holds" if row.holds else "ORDER FAILS"
    why = "; ".join(part for part in (row.law if row.law != "none" else "", row.note) if part)
    return (
        row.figure,
        row.source,
        row.kind,
        quantity(row.measured, row.unit),
        predicted,
        percent(row.error, sign=True),
        {"unused": "no", "fit": "fit"}.get(row.use, row.use),
        why,
    )


def summary(section: Section) -> tuple[str, ...]:
    """Return the cells of a section under `SUMMARY`."""
    counts = {use: sum(row.use == use for row in section.rows) for use in USES}
    others = [f"{counts[use]} {use}" for use in USES[2:] if counts[use]]
    met = {True: "yes", False: "NO", None: "-"}[section.met]
    errors = percent(section.median_error), percent(section.worst_error)
    return (
        section.title,
        str(counts["unused"]),
        *errors,
        str(section.target),
        met,
        str(counts["fit"]),
        ", ".join(others) or "-",
    )


def page(validation: Validation) -> str:
    """Return the page of the documentation, Markdown."""
    return "\n".join(_page(validation)) + "\n"


def _page(validation: Validation) -> Iterator[str]:
    yield "# Predicted against measured"
    for paragraph in INTRODUCTION:
        yield ""
        yield from textwrap.wrap(paragraph, PAGE_CHARACTERS)  # keeps the indentation of code
    yield ""
    yield from _table(SUMMARY, (summary(section) for section in validation.sections))
    for section in validation.sections:
        yield ""
        yield f"## {section.title}"
        yield ""
        yield from textwrap.wrap(f"Target: {section.target}. {section.note}", PAGE_CHARACTERS)
        yield ""
        yield from _table(COLUMNS, map(cells, section.rows))
    yield ""
    yield "## Sources"
    yield ""
    rows = (
        (name, *(sources()[name][part] for part in ("title", "address", "conditions"))) for name in validation.cited()
    )
    yield from _table(("id", "title", "address", "conditions"), rows)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
