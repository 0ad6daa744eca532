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


def test_show_cite_numbers_every_source_and_lists_it() -> None:
    done = CliRunner().invoke(app, ["hardware", "show", "isr4321", "--cite", "--json"])
    told = json.loads(done.stdout)
    numbers = {entry["id"]: entry["number"] for entry in told["references"]}
    assert sorted(numbers.values()) == list(range(1, len(numbers) + 1))
    for value in told["values"].values():
        assert value["reference"] == numbers.get(value["source"])
        assert value["reference"] or value["source"] == "recollection"
    assert all(entry["title"] and entry["date"] and entry["conditions"] for entry in told["references"])
    text = CliRunner().invoke(app, ["hardware", "show", "isr4321", "--cite"]).stdout
    values, references = text.split("\nReferences\n")
    for entry in told["references"]:
        assert f"[{entry['number']}]" in values
        words = " ".join(references.split())
        assert f"[{entry['number']}] {entry['title']}" in words and f"({entry['id']})." in words
    assert "1.66 GB" in values, "the note of a value stands below it"


def test_show_cite_finds_the_sources_of_a_file_and_of_its_folder(tmp_path: Path) -> None:
    entry = "{title: My bench, date: '2026-11', conditions: idle}"
    value = "{value: 9, unit: us, kind: measured, source: bench}"
    (tmp_path / "mine.yaml").write_text(
        f"extends: isr4321\nname: mine\ntitle: Mine\nparameters:\n  forwarding:\n    packet_us: {value}\n"
    )
    (tmp_path / "sources.yaml").write_text(f"sources:\n  bench: {entry}\n")
    for how in (["mine", "--profiles", str(tmp_path)], [str(tmp_path / "mine.yaml")]):
        done = CliRunner().invoke(app, ["hardware", "show", *how, "--cite"])
        assert done.exit_code == 0, done.stderr
        assert "My bench. 2026-11. idle (bench)." in done.stdout


def test_list_groups_by_family_and_gives_the_reason_of_platforms_without_ikev2() -> None:
    lines = CliRunner().invoke(app, ["hardware", "list"]).stdout.splitlines()
    assert lines.index("ISR 4000") < next(n for n, line in enumerate(lines) if line.startswith("  isr4321"))
    row = next(n for n, line in enumerate(lines) if line.startswith("  isr2811"))
    assert "no IKEv2" in lines[row]
    assert "first-generation" in lines[row + 1]
    assert max(map(len, lines)) <= 150


def test_columns_are_aligned() -> None:
    lines = CliRunner().invoke(app, ["hardware", "show", "linux-strongswan-gmp-short"]).stdout.splitlines()
    heading = next(line for line in lines if line.startswith("path"))
    for line in lines[lines.index(heading) + 1 :]:
        assert line[: heading.index("value")].strip() and line[heading.index("value") - 2 :].startswith("  ")


def test_show_of_a_platform_without_ikev2_says_so_first() -> None:
    done = CliRunner().invoke(app, ["hardware", "show", "isr1841"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].startswith("cannot run IKEv2: FlexVPN")


def test_diff_gives_ratios_and_counts() -> None:
    done = CliRunner().invoke(app, ["hardware", "diff", "isr4321", "isr4331"])
    lines = done.stdout.splitlines()
    row = next(line for line in lines if line.startswith("architecture.packet_cores"))
    assert row.split()[1:] == ["1", "(published)", "3", "(published)", "3", "cores"]
    differ, rest = int(lines[-1].split()[0]), int(lines[-1].split()[3])
    assert differ == len(lines) - 2
    assert differ + rest == len({**load_profile("isr4321").values(), **load_profile("isr4331").values()})
