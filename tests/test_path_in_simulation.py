"""A middlebox of a scenario that drops IP fragments: the tunnel stays down, and the run says why and what helps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flexvpn_sim.experiments.run import run

EXAMPLE = Path(__file__).parents[1] / "examples" / "certificates"
SCENARIO = """scenario: 1
configurations: .
duration: 200 s
traffic: []
initiator: BRANCH
links:
  HUB: {mtu: 1000 B, drops_fragments: %s}
"""


def simulated(folder: Path, *, drops: bool, fragmentation: bool) -> Any:
    for name in ("hub.cfg", "branch.cfg"):
        shutil.copy(EXAMPLE / name, folder / name)
        text = (folder / name).read_text()
        if fragmentation:
            text = text.replace("crypto ikev2", "crypto ikev2 fragmentation mtu 576\ncrypto ikev2", 1)
        (folder / name).write_text(text)
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO % ("true" if drops else "false"))
    return run(scenario)


@pytest.mark.parametrize(
    ("drops", "fragmentation", "up"), [(False, False, True), (True, False, False), (True, True, True)]
)
def test_only_ike_fragmentation_gets_certificates_past_the_middlebox(
    tmp_path: Path, drops: bool, fragmentation: bool, up: bool
) -> None:
    result = simulated(tmp_path, drops=drops, fragmentation=fragmentation)
    assert result.up == up
    messages, events = result.tables["messages"], result.tables["events"]
    long = messages[messages["ip_len"] > 1000]
    assert bool(len(long)) == (not fragmentation)
    assert bool(long["lost"].all()) == drops or fragmentation
    told = list(events[events["event"] == "fragments_dropped"]["detail"])
    assert bool(told) == (not up)
    if not up:
        (reason,) = result.tables["sessions"]["reason"]
        assert "exceeds the path MTU 1,000 and its IP fragments are dropped" in reason
        assert "crypto ikev2 fragmentation" in reason
