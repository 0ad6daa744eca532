"""CSV files that users write: a header, comments after ``#``; every complaint names file and line."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...models.errors import InputError, unknown_name
from ...models.yaml_input import read_text

#: Fewer rows have nothing to be checked against.
LEAST_ROWS = 2


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row: cells by column, without blanks around them; columns that the file does not have are empty."""

    where: str
    cells: Mapping[str, str]

    def text(self, column: str, default: str = "") -> str:
        """Return a cell, or the default where it is empty."""
        return self.cells[column] or default

    def word(self, column: str, allowed: Collection[str], default: str = "") -> str:
        """Return a cell that holds one of these words. Raises InputError with the nearest one."""
        found = self.text(column, default)
        if found not in allowed:
            raise unknown_name(column, found, allowed, self.where)
        return found

    def number(self, column: str, default: float | None = None) -> float:
        """Return a positive number. Raises InputError for anything else, and for an empty cell without default."""
        found = self.cells[column]
        if not found and default is not None:
            return default
        try:
            number = float(found)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0.0):
            raise InputError(f"{column}: found '{found}', a positive number is needed", self.where)
        return number

    def count(self, column: str) -> int | None:
        """Return a whole number of at least 1, None for an empty cell. Raises InputError for anything else."""
        if not self.cells[column]:
            return None
        number = self.number(column)
        if number != int(number):
            raise InputError(f"{column}: found '{self.cells[column]}', a whole number is needed", self.where)
        return int(number)


def read_rows(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[CsvRow]:
    """Return the rows of a CSV file with these columns, in any order.

    Raises InputError for a file that is missing or empty, an unknown, repeated or missing column, a row of another
    length, and for fewer than two rows.
    """
    lines = [
        (number, line)
        for number, line in enumerate(read_text(path).splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise InputError("is empty, a header and rows are needed", str(path))
    header = [cell.strip().lower() for cell in next(csv.reader([lines[0][1]]))]
    where = f"{path}:{lines[0][0]}"
    for name in header:
        if name not in (*required, *optional):
            raise unknown_name("column", name, (*required, *optional), where)
        if header.count(name) > 1:
            raise InputError(f"names the column {name} twice", where)
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(f"has no column {', '.join(missing)}; needed: {', '.join(required)}", where)
    rows = []
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if len(cells) != len(header):
            raise InputError(f"has {len(cells)} cells, the header {len(header)}", f"{path}:{number}")
        rows.append(CsvRow(f"{path}:{number}", dict.fromkeys(optional, "") | dict(zip(header, cells, strict=True))))
    if len(rows) < LEAST_ROWS:
        raise InputError(
            f"has {len(rows)} row{'' if len(rows) == 1 else 's'}; at least {LEAST_ROWS} are needed, one has nothing to "
            "be checked against",
            str(path),
        )
    return rows
