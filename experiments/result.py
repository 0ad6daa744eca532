"""A result: tidy tables and a manifest, in memory or as a directory of Parquet files, written whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from .charts import Plot

#: Version of the layout of a result directory.
RESULT_SCHEMA = 2
MANIFEST = "manifest.json"
INPUTS = "inputs"


@dataclass
class Result:
    """What a run produced.

    ``tables`` holds one DataFrame a name; column names carry the unit (``_s``, ``_bytes``, ``_bps``). ``manifest``
    says what was run and which values it leaned on. ``inputs`` are the configurations, every secret replaced.
    """

    tables: dict[str, pd.DataFrame]
    manifest: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None

    def __getattr__(self, name: str) -> pd.DataFrame:
        tables = self.__dict__.get("tables", {})
        if name in tables:
            frame: pd.DataFrame = tables[name]
            return frame
        raise AttributeError(f"a result has no table '{name}'; tables: {', '.join(sorted(tables))}")

    def __repr__(self) -> str:
        return f"<Result {self.manifest.get('name', '')}: {self.verdict()}>"

    @property
    def up(self) -> bool:
        """True when every tunnel is up at the end of the run."""
        return bool(self.tables["sessions"]["up"].all())

    @property
    def assumed(self) -> list[str]:
        """``owner: name`` of every assumed value that the run read."""
        return [f"{v['owner']}: {v['name']}" for v in self.manifest["values"] if v["kind"] == "assumed"]

    @property
    def plot(self) -> Plot:
        """Charts of this result: ``result.plot.sequence()``, ``.latency()``, ``.throughput()``, ``.day()``."""
        from .charts import Plot

        return Plot(self)

    def show(self, router: str, command: str, at_s: float | None = None) -> str:
        """Return the output of a ``show`` command on a router at a time of the run; its end by default."""
        from .show import show

        return show(self, router, command, at_s)

    def verdict(self) -> str:
        """Return one sentence: what is up and what is not."""
        sessions = self.tables["sessions"]
        up = int(sessions["up"].sum())
        noun = "tunnel is" if len(sessions) == 1 else "tunnels are"
        cut = " (interrupted)" if self.manifest["interrupted"] else ""
        return f"{up} of {len(sessions)} {noun} up at the end of {self.manifest['ended_s']:g} s{cut}"

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints: the tunnels, the verdict and how sure it is."""
        tunnels = [
            {key: _plain(value) for key, value in row.items()} for row in self.tables["sessions"].to_dict("records")
        ]
        kinds: dict[str, int] = {}
        for value in self.manifest["values"]:
            kinds[value["kind"]] = kinds.get(value["kind"], 0) + 1
        return {
            "name": self.manifest["name"],
            "verdict": self.verdict(),
            "up": self.up,
            "seed": self.manifest["seed"],
            "duration_s": self.manifest["ended_s"],
            "interrupted": self.manifest["interrupted"],
            "tunnels": tunnels,
            "routers": self.manifest["routers"],
            "queues": [{k: _plain(v) for k, v in row.items()} for row in self.tables["queues"].to_dict("records")],
            "values_read": kinds,
            "assumed": self.assumed,
            "directory": str(self.directory) if self.directory else None,
            **({"setup_bands": self._plain_rows("setup_bands")} if "setup_bands" in self.tables else {}),
        }

    def _plain_rows(self, name: str) -> list[dict[str, Any]]:
        return [{str(k): _plain(v) for k, v in row.items()} for row in self.tables[name].to_dict("records")]

    def save(self, directory: Path, charts: Mapping[str, bytes] | None = None) -> None:
        """Write the result directory; an older result there is replaced, anything else is left alone.

        Raises InputError when the place is taken by something else or cannot be written.
        """
        check_place(directory)
        files = {f"{name}.parquet": to_parquet(frame) for name, frame in self.tables.items()}
        files.update({f"{INPUTS}/{name}": text.encode() for name, text in self.inputs.items()})
        files.update({f"charts/{name}": data for name, data in (charts or {}).items()})
        self.manifest["tables"] = {
            name: {"rows": len(frame), "blake2b": digest(files[f"{name}.parquet"])}
            for name, frame in self.tables.items()
        }
        self.manifest["charts"] = sorted(charts or {})
        files[MANIFEST] = (json.dumps(self.manifest, indent=1, default=_plain) + "\n").encode()
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            # Beside the target, so that the last step is one rename on one file system.
            staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", str(directory)) from None
        try:
            staging.chmod(0o755)
            for name, data in files.items():
                path = staging / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            if directory.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
                directory.replace(old / "result")
                staging.replace(directory)
                shutil.rmtree(old)
            else:
                staging.replace(directory)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", str(directory)) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self.directory = directory


def check_place(directory: Path) -> None:
    """Refuse a place that holds something else than a result. Raises InputError."""
    if directory.is_file():
        raise InputError("is a file, a folder for the result is needed", str(directory))
    if directory.is_dir() and any(directory.iterdir()) and not (directory / MANIFEST).is_file():
        raise InputError("holds other files and no result; give an empty or a new folder", str(directory))


def load_result(directory: Path) -> Result:
    """Read a result directory. Raises InputError when it is none."""
    import pandas as pd

    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"is no result directory: {MANIFEST} is not there", str(directory))
    try:
        manifest = json.loads(path.read_text())
    except ValueError:
        raise InputError("is damaged", str(path)) from None
    if manifest.get("schema") != RESULT_SCHEMA:
        raise InputError(f"has schema {manifest.get('schema')}; this version reads {RESULT_SCHEMA}", str(path))
    tables = {}
    for name in manifest["tables"]:
        file = directory / f"{name}.parquet"
        try:
            tables[name] = pd.read_parquet(file)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read: {str(error).splitlines()[0]}", str(file)) from None
    inputs = {p.name: p.read_text() for p in sorted((directory / INPUTS).glob("*")) if p.is_file()}
    return Result(tables, manifest, inputs, directory)


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return a table as Parquet; equal tables give equal bytes with one version of pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """Return a short digest for the manifest."""
    return blake2b(data, digest_size=16).hexdigest()


def router_or_error(result: Result, router: str) -> str:
    """Return the router's name as the result spells it. Raises InputError with the nearest valid name."""
    names = list(result.manifest["routers"])
    for name in names:
        if name.lower() == router.lower():
            return str(name)
    raise unknown_name("router", router, names)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
