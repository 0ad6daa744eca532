"""Options that every ``flexvpn-sim hardware`` command understands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folders = Annotated[list[Path] | None, typer.Option("--profiles", metavar="DIR", help="Folder with your profiles.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
