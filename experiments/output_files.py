"""Files that a command writes: checked before the work begins, then written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..models.errors import InputError

CHARTS = (".png", ".svg")
PAGES = (".md",)


def check_output(path: Path, formats: Sequence[str]) -> None:
    """Raise InputError when a file of one of these formats cannot be written to ``path``."""
    if path.suffix.lower() not in formats:
        raise InputError(f"'{path.suffix}' is no format of this file; allowed: {', '.join(formats)}", str(path))
    if not path.absolute().parent.is_dir():
        raise InputError(f"no such folder: {path.parent}", str(path))
    if path.is_dir():
        raise InputError("is a folder, a file is needed", str(path))


def write_atomically(files: Mapping[Path, bytes]) -> None:
    """Write all files, or none: each beside its place first, then moved there. Raises InputError."""
    staged: dict[Path, Path] = {}
    place: Path | None = None
    try:
        for place, data in files.items():
            if place.is_dir():
                raise IsADirectoryError(21, "Is a directory", str(place))
            handle, name = tempfile.mkstemp(prefix=f".{place.name}-", dir=place.parent)
            staged[place] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            staged[place].chmod(0o644)
        for place, temporary in staged.items():
            temporary.replace(place)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(place)) from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
