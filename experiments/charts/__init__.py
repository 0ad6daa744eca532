"""Charts of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..result import Result


class Plot:
    """Charts of one result."""

    def __init__(self, result: Result) -> None:
        self._result = result
