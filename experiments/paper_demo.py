"""The study's deployment as printed and as it works, with its two figures."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..models.ios.lint import lint
from ..models.ios.reader import read_folder
from . import report
from .result import Result
from .run import Progress, run

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The printed configuration is tried for this long: enough for several restarts. [s]
PUBLISHED_S = 300.0


def configurations(version: Literal["published", "working"]) -> Path:
    """Return the folder of the paper's two configurations, as published or with the least repair."""
    return Path(str(files(__package__) / "paper" / version))


def results(seed: int = 1, progress: Progress | None = None) -> tuple[Result, Result]:
    """Return the runs of the configurations as published and as working; the latter is a day with ESP curves."""
    published = run(configurations("published"), seed=seed, duration_s=PUBLISHED_S, traffic=False)
    working = run(configurations("working"), seed=seed, esp=True, progress=progress)
    return published, working


def sections(published: Result, working: Result) -> list[tuple[str, RenderableType]]:
    """Return (heading, content) of the demonstration."""
    findings = lint(read_folder(configurations("published")))
    fatal = "\n".join(f"  fatal {f.rule}  {f.message}" for f in findings if f.severity == "fatal")
    parts: list[tuple[str, RenderableType]] = [
        ("The two configurations as the paper prints them", report.verdict_text(published)),
        ("What the linter says of them", fatal),
    ]
    parts += [(f"As working: {heading}", content) for heading, content in report.sections(working)]
    figures = [("HQ", "crypto ikev2 session"), ("icpedger02", "crypto ikev2 stats"), ("HQ", "crypto ipsec sa")]
    shows = [(f"{router}#show {command}", working.show(router, command, 7200.0)) for router, command in figures]
    return [*parts[:-1], *shows, parts[-1]]
