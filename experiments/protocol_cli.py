"""``flexvpn-sim protocol``: what the simulation says of the protocol that it speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cli_common import reports_bad_input


@reports_bad_input
def protocol(
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page of the documentation (.md).")
    ] = None,
) -> None:
    """Print messages, notifications, algorithms, timers, causes and scenarios from the tables of the simulation."""
    from .output_files import PAGES, check_output, write_atomically
    from .protocol_page import page

    if markdown is None:
        typer.echo(page(), nl=False)
        return
    check_output(markdown, PAGES)
    write_atomically({markdown: page().encode()})
    typer.echo(f"Page: {markdown}")
