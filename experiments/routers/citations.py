"""The sources of a profile as a numbered list of references, in the order in which its values first name them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...hardware.profile import HardwareProfile, Source
from ...hardware.profile_files import load_sources, user_folder

#: Width of the printed list.
LINE = 110


def sources_of(profile: HardwareProfile, name: str, search: Sequence[Path]) -> dict[str, Source]:
    """Return every source that the profile may name, by id: what ships, then the user's folders, then its own file's.

    ``name``: as it was loaded, a name or the path of a file.
    """
    beside = [Path(name).parent] if name.endswith((".yaml", ".yml")) else []
    sources: dict[str, Source] = load_sources()
    for folder in (user_folder(), *reversed(search), *beside):
        sources |= load_sources(folder)
    return sources | profile.sources


def references_of(profile: HardwareProfile, name: str, search: Sequence[Path]) -> list[dict[str, Any]]:
    """Return one entry a source that the profile's values or correlations name: number, id, title, address and so on.

    What is only remembered has none.
    """
    known = sources_of(profile, name, search)
    named = [value.source for value in profile.values().values()] + [c.source for c in profile.correlations]
    used = [source for source in dict.fromkeys(named) if source in known]
    return [{"number": n, "id": source, **known[source].model_dump()} for n, source in enumerate(used, start=1)]


def reference_lines(references: Iterable[dict[str, Any]]) -> Iterable[str]:
    """Yield the list as text: ``[1] Title. Address. Date. Conditions (id).``"""
    for entry in references:
        parts = [entry["title"], entry["address"] or "", entry["date"], entry["conditions"]]
        text = ". ".join(part.rstrip(".") for part in parts if part) + f" ({entry['id']})."
        indent = f"[{entry['number']}] "
        # An address is never broken.
        yield from textwrap.wrap(
            text, LINE, initial_indent=indent, subsequent_indent=" " * len(indent), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
