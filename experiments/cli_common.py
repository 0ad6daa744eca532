"""What every command shares: bad input becomes one line and exit code 2; sections and tables of text."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..models.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])

#: Width of what is printed into a file or a pipe. [characters]
REPORT_WIDTH = 150

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def reports_bad_input(command: F) -> F:
    """Turn an `InputError` into one line and exit code 2."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            typer.echo(f"flexvpn-sim: {error}", err=True)
            raise typer.Exit(2) from None

    return guarded  # type: ignore[return-value]


def print_section(heading: str, content: str | Table) -> None:
    """Print a heading and a text or table below it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False, soft_wrap=False)
    console.print(Text(heading, style="bold"))
    console.print(Text(content) if isinstance(content, str) else content)
    console.print()


def plain_table(*columns: str, words: frozenset[str] = frozenset()) -> Table:
    """Return an empty table; the columns that are ``words`` stand to the left, numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", overflow="fold")
    return table
