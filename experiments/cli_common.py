"""What every command shares: bad input becomes one line and exit code 2."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from ..models.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


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
