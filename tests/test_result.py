"""Results: written whole or not at all, read back as they were, described in the documentation."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

import flexvpn_sim as fv
from flexvpn_sim.experiments.result import check_place

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
DOCUMENTED = Path(__file__).parents[1] / "docs" / "tables.md"


@pytest.fixture(scope="module")
def result() -> fv.Result:
    return fv.run(WORKING, duration_s=600, esp=True, samples=2)


def test_a_result_is_read_back_as_it_was_written(result: fv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "r")
    again = fv.load_result(tmp_path / "r")
    assert again.tables.keys() == result.tables.keys()
    assert all(again.tables[name].equals(table) for name, table in result.tables.items())
    assert again.manifest["values"] == json.loads(json.dumps(result.manifest["values"]))


def test_writing_twice_gives_the_same_bytes(result: fv.Result, tmp_path: Path) -> None:
    for name in ("a", "b"):
        result.save(tmp_path / name)
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / n).glob("*") if p.is_file()} for n in ("a", "b"))
    assert one == other


def test_an_older_result_is_replaced_and_nothing_else_is_left(result: fv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "r")
    (tmp_path / "r" / "stale.txt").write_text("old")
    result.save(tmp_path / "r")
    assert not (tmp_path / "r" / "stale.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_failed_write_leaves_nothing_behind(result: fv.Result, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(fv.InputError):
        result.save(tmp_path / "file" / "r")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(fv.InputError, match="holds other files"):
        check_place(tmp_path)


def test_a_damaged_manifest_is_refused(result: fv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "r")
    (tmp_path / "r" / "manifest.json").write_text("{")
    with pytest.raises(fv.InputError, match="is damaged"):
        fv.load_result(tmp_path / "r")


def test_a_result_of_another_schema_is_refused(result: fv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "r")
    path = tmp_path / "r" / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 99'))
    with pytest.raises(fv.InputError, match="has schema 99"):
        fv.load_result(tmp_path / "r")


def test_a_missing_table_is_named_with_those_that_are_there(result: fv.Result) -> None:
    with pytest.raises(AttributeError, match="tables: child_sas"):
        _ = result.nothing


def test_json_holds_the_tunnels_and_no_number_that_json_cannot_hold(result: fv.Result) -> None:
    text = json.dumps(result.to_json(), allow_nan=False)
    (tunnel,) = json.loads(text)["tunnels"]
    assert {"initiator", "responder", "up", "reason", "setup_s", "message_count", "ike_bytes"} <= tunnel.keys()


def test_the_manifest_names_every_assumed_value_with_its_range(result: fv.Result) -> None:
    assumed = [v for v in result.manifest["values"] if v["kind"] == "assumed"]
    assert len(result.assumed) == len(assumed) > 0
    assert all(v["spread"] and v["source"] for v in assumed)


def test_no_secret_is_in_a_result(result: fv.Result) -> None:
    everything = json.dumps(result.manifest) + "".join(result.inputs.values())
    everything += "".join(t.to_csv() for t in result.tables.values())
    assert "key12345" not in everything


def test_every_column_is_documented_and_every_documented_column_exists(result: fv.Result) -> None:
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\|(.*)\|$", DOCUMENTED.read_text(), re.MULTILINE))
    documented = {name: set(re.findall(r"`(\w+)`", text)) for name, text in rows.items()}
    assert documented == {name: set(table.columns) for name, table in result.tables.items()}
