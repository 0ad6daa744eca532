"""The small print beneath every chart: seed, profiles, and which inputs are assumed, from what the run really read."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..selection import Row

if TYPE_CHECKING:
    from ..result import Result

#: Characters of 8 pt that fit into the width of a page.
LINE = 114
#: Lines that the assumed inputs may take.
ASSUMED_LINES = 2
#: Routers named one by one; the rest is counted.
NAMED_ROUTERS = 3


def footer(result: Result, leaning_on: Sequence[str]) -> str:
    """Return the footer of a chart.

    ``leaning_on``: beginnings of ``owner: name`` or of ``name`` of the inputs that decide this chart, in the order
    of their weight; the widest ranges of each come first.
    """
    first = f"Seed {result.manifest['seed']} · {'; '.join(_profiles(result))}"
    return "\n".join([*textwrap.wrap(first, LINE), *assumed_lines(result.manifest["values"], leaning_on)])


def _profiles(result: Result) -> list[str]:
    rates = {(v["owner"], v["name"]): v["value"] for v in result.manifest["values"]}
    groups: dict[str, list[str]] = {}
    for name, router in result.manifest["routers"].items():
        rate_bps = rates.get((router["hardware"], f"licences.{router['licence']}"))
        licence = router["licence"] + (f" ({rate_bps / 1e6:g} Mbit/s)" if rate_bps else "")
        text = f"hardware {router['hardware']}, licence {licence}, IKEv2 {router['implementation']}"
        groups.setdefault(text, []).append(name)
    return [f"{_named(names)}: {text}" for text, names in groups.items()]


def _named(names: list[str]) -> str:
    more = len(names) - NAMED_ROUTERS
    return ", ".join(names[:NAMED_ROUTERS]) + (f" and {more} more" if more > 0 else "")


def assumed_lines(values: list[Row], leaning_on: Sequence[str]) -> list[str]:
    """Return the lines that name the assumed ones among the inputs that were read, the weightiest of them by name."""
    assumed = [v for v in values if v["kind"] == "assumed"]
    if not assumed:
        return [f"None of the {len(values)} inputs is assumed."]
    shared = {name for name, count in Counter(v["name"] for v in assumed).items() if count > 1}
    named: list[str] = []
    lines: list[str] = []
    for value in by_weight(assumed, leaning_on):
        if named and _group(value, leaning_on) == len(leaning_on):
            break
        named.append(_text(value, value["name"] in shared))
        rest = len(assumed) - len(named)
        text = f"Assumed: {len(assumed)} of {len(values)} inputs, such as {'; '.join(named)}"
        attempt = textwrap.wrap(text + (f"; and {rest} more" if rest else ""), LINE, break_on_hyphens=False)
        if len(attempt) > ASSUMED_LINES and lines:
            break
        lines = attempt
    return lines


def by_weight(assumed: list[Row], leaning_on: Sequence[str]) -> list[Row]:
    """Return the assumed inputs, the most important first: in turns from each group, the widest range first."""
    groups: dict[int, list[Row]] = {}
    for value in assumed:
        groups.setdefault(_group(value, leaning_on), []).append(value)
    ranked = []
    for group, members in groups.items():
        members.sort(key=lambda v: (-_width(v), v["owner"], v["name"]))
        late = len(assumed) if group == len(leaning_on) else 0
        ranked += [(place + late, group, value) for place, value in enumerate(members)]
    return [value for _, _, value in sorted(ranked, key=lambda r: r[:2])]


def _group(value: Row, leaning_on: Sequence[str]) -> int:
    whole = f"{value['owner']}: {value['name']}"
    return next(
        (n for n, start in enumerate(leaning_on) if whole.startswith(start) or value["name"].startswith(start)),
        len(leaning_on),
    )


def _width(value: Row) -> float:
    """Return the width of the stated range as a fraction of the value; infinite for a value of 0."""
    ends = re.match(r"(\S+) to (\S+)", value["spread"])
    deviation = re.match(r"sd (\S+)", value["spread"])
    if ends:
        width = float(ends[2]) - float(ends[1])
    elif deviation:
        # From the 5 % to the 95 % quantile of a normal distribution, as ranges are.
        width = 3.29 * float(deviation[1])
    else:
        return 0.0
    return width / abs(value["value"]) if value["value"] else float("inf")


def _text(value: Row, ambiguous: bool) -> str:
    owner = f"{value['owner']} " if ambiguous else ""
    spread = f" ({value['spread']})" if value["spread"] else ""
    # Hard spaces keep a value and its range on one line.
    number = f"{value['value']:g}{spread}".replace(" ", "\u00a0")
    return f"{owner}{str(value['name']).removeprefix('parameters.')} {number}"
