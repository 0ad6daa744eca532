"""``flexvpn-sim hardware`` as a user runs it, and ``extends``."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flexvpn_sim as fv
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.errors import InputError


@pytest.mark.parametrize("command", [["list"], ["show", "isr4331"], ["diff", "isr4331", "isr4451"]])
def test_commands_answer_in_text_and_json(command: list[str]) -> None:
    assert CliRunner().invoke(app, ["hardware", *command]).exit_code == 0
    done = CliRunner().invoke(app, ["hardware", *command, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)


def test_unknown_profile_is_refused() -> None:
    assert CliRunner().invoke(app, ["hardware", "show", "isr4312"]).exit_code == 2


def test_child_changes_only_what_it_gives(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: isr4321\nname: mine\ntitle: Mine\n")
    assert load_profile("mine", [tmp_path]).values() == load_profile("isr4321").values()


def test_cycle_and_unknown_base_are_told_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nextends: b\n")
    (tmp_path / "b.yaml").write_text("name: b\nextends: a\n")
    (tmp_path / "c.yaml").write_text("name: c\nextends: isr4312\n")
    with pytest.raises(InputError, match=r"b\.yaml:2: extends: 'a' extends itself"):
        load_profile("a", [tmp_path])
    with pytest.raises(InputError, match=r"c\.yaml:2: .*did you mean 'isr4321'"):
        load_profile("c", [tmp_path])


@pytest.mark.parametrize("name", ["isr4221", "isr4331", "isr4351", "isr4431", "isr4451"])
def test_relatives_of_the_isr4321_run_the_papers_deployment(name: str) -> None:
    """The tunnel comes up as fast as on the ISR4321, whose control-plane times they share, and carries more."""
    paper = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
    base = fv.run(paper, duration_s=30, esp=True)
    other = fv.run(paper, duration_s=30, esp=True, hardware={"HQ": name, "icpedger02": name})
    assert other.sessions["setup_s"].equals(base.sessions["setup_s"])
    large = (result.throughput.set_index("packet_bytes").loc[1400, "throughput_bps"] for result in (base, other))
    smaller, greater = large
    assert greater >= 0.5 * smaller if name == "isr4221" else greater > smaller


def test_show_prints_kind_and_source_of_every_value() -> None:
    done = CliRunner().invoke(app, ["hardware", "show", "isr4331", "--json"])
    values = json.loads(done.stdout)["values"]
    assert values["architecture.packet_cores"]["source"] == "tac-217135"
    assert all(v["kind"] != "assumed" or v["range"] or v["sd"] for v in values.values())
