"""Public figures against which the cost models are checked: numbers with their source, one CSV a kind.

What this leaves out: figures that nothing here predicts. `sources.csv` names the address and the conditions of each
source.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from ...models.errors import unknown_name

#: Every table, without ``sources``.
TABLES = (
    "gateways",
    "handshake_cpu",
    "handshake_latency",
    "message_sizes",
    "mlkem",
    "modexp",
    "public_key",
    "retransmissions",
    "symmetric",
)


@cache
def figures(table: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a table as text by column. Raises InputError for an unknown table."""
    if table not in TABLES:
        raise unknown_name("table of public figures", table, TABLES)
    return _read(table)


@cache
def sources() -> dict[str, dict[str, str]]:
    """Return title, kind, address and conditions of every source by its id."""
    return {row.pop("id"): row for row in _read("sources")}


def _read(table: str) -> tuple[dict[str, str], ...]:
    text = (files(__name__) / f"{table}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
