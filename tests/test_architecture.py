"""Imports point one way: experiments -> simulate -> hardware -> models; the root package loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flexvpn_sim

PACKAGE = Path(flexvpn_sim.__file__).parent
LAYERS = ["models", "hardware", "simulate", "experiments"]
#: Modules that cost too much to be loaded by ``import flexvpn_sim`` or ``flexvpn-sim --help``.
HEAVY = ["pandas", "numpy", "matplotlib", "numba", "networkx", "simpy", "pint", "pyarrow", "pydantic"]


def modules() -> list[Path]:
    return [p for layer in LAYERS for p in sorted((PACKAGE / layer).rglob("*.py"))]


def imported(path: Path) -> list[str]:
    """Return the modules of this package that a module imports, as paths below the package."""
    here = path.relative_to(PACKAGE).parent.parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1]
            found.append(".".join((*base, *(node.module or "").split("."))))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flexvpn_sim"):
            found.append((node.module or "").removeprefix("flexvpn_sim."))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_its_own_layer_and_those_below(path: Path) -> None:
    layer = LAYERS.index(path.relative_to(PACKAGE).parts[0])
    for name in imported(path):
        top = name.split(".")[0]
        if top in LAYERS:
            assert LAYERS.index(top) <= layer, f"{path.name} imports {name}"


@pytest.mark.parametrize("layer", ["models", "hardware"])
def test_lower_layers_do_not_know_the_event_engine(layer: str) -> None:
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert "simpy" not in names, path


def test_the_check_of_import_directions_can_fail() -> None:
    source = PACKAGE / "models" / "errors.py"
    assert "simulate.router" not in imported(source)
    assert "models.ikev2.sa" in imported(PACKAGE / "simulate" / "router.py")


@pytest.mark.parametrize("statement", ["import flexvpn_sim", "import flexvpn_sim.experiments.cli"])
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_is_longer_than_600_lines() -> None:
    long = {p.name: n for p in modules() if (n := len(p.read_text().splitlines())) > 600}
    assert long == {}
