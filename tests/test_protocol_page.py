"""The page of the protocol is that of the tables, and says what a reader needs of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flexvpn_sim.experiments import exchange_scenarios
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.exchange_words import MEANINGS
from flexvpn_sim.experiments.protocol_page import COMMAND, page
from flexvpn_sim.models.algorithms import ENCRYPTIONS, GROUPS, KEMS, SIGNATURES
from flexvpn_sim.models.implementation import implementation_names

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"


@pytest.fixture(scope="module")
def text() -> str:
    return page()


def test_the_page_of_the_documentation_is_what_the_command_writes(text: str) -> None:
    assert PAGE.read_text(encoding="utf-8") == text, f"stale: {COMMAND}"


def test_every_scenario_has_a_meaning_and_no_other() -> None:
    assert set(MEANINGS) == {*exchange_scenarios.SCENARIOS, exchange_scenarios.FRAGMENT + "BYTES"}


def test_the_page_names_every_implementation_algorithm_and_scenario(text: str) -> None:
    for name in implementation_names():
        assert f"### {name}: " in text
        assert f"### Values of {name}\n" in text
    for name in (*ENCRYPTIONS, *(g.name for g in GROUPS.values()), *KEMS, *SIGNATURES):
        assert f"| {name} |" in text
    for name in MEANINGS:
        assert f"| `{name}` |" in text


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("| 16388 | NAT_DETECTION_SOURCE_IP | status | 28 |", "8 bytes and a SHA-1 hash"),
        ("| 17 | INVALID_KE_PAYLOAD | error | 10 |", "8 bytes and a group number"),
        ("| 14 | modp2048 | modp | 2048 | 256 |", "RFC 3526"),
        ("| 20 | aes-gcm-128 | 128 | 4 | 8 | 1 | 16 |", "RFC 4106"),
        ("| retransmit_factor | 1.8 |  | measured | testbed |  |", "strongSwan's default"),
    ],
)
def test_lines_that_are_known_from_elsewhere_stand_there(text: str, row: str, why: str) -> None:
    assert row in text, why


def test_the_command_writes_a_page_and_refuses_another_format(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["protocol", "--markdown", str(tmp_path / "page.txt")])
    assert done.exit_code == 2
    assert "'.txt' is no format of this file; allowed: .md" in done.stderr
