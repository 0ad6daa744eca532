"""Every recorded conversation, as a command line makes it: each datagram in order, to the byte."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app

DATA = Path(__file__).parent / "data"


def rows(name: str) -> list[dict[str, str]]:
    lines = (DATA / name).read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


RECORDED: dict[str, list[dict[str, str]]] = {}
for row in rows("testbed_messages.csv"):
    RECORDED.setdefault(row["case"], []).append(row)
OPTIONS = {row["case"]: row["options"] for row in rows("cases.csv")}


def played(case: str) -> list[dict[str, Any]]:
    command = ["exchange", *shlex.split(OPTIONS[case]), "--hardware", "linux-strongswan-openssl", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    messages: list[dict[str, Any]] = json.loads(done.stdout)["messages"]
    return messages


def payloads(text: str) -> str:
    """Return the payloads inside, without IV, padding and ICV; of a fragment, which is not decrypted, its place."""
    if text.startswith("SKF"):
        return text.partition("{")[0]
    inside = re.sub(r"^SK\(\d+\)\{(?:iv=[^:]*: ?)?(.*)\}$", r"\1", text).strip()
    # The length of a DER signature varies (fact sheet A.7: AUTH has 91 to 93 bytes); ours is the commonest.
    return re.sub(r"AUTH\((91|92|93)\)", "AUTH(91..93)", inside)


def test_every_recorded_case_has_a_command_line() -> None:
    assert set(OPTIONS) == set(RECORDED)


@pytest.mark.parametrize("case", OPTIONS)
def test_every_datagram_is_the_recorded_one(case: str) -> None:
    messages = played(case)
    ours = [
        (m["exchange"], str(m["msgid"]), m["direction"], str(m["udp_len"]), str(m["ip_len"]), str(m["ike_bytes"]))
        for m in messages
    ]
    names = ("exchange", "msgid", "direction", "udp_len", "ip_len", "isakmp_len")
    assert ours == [tuple(row[name] for name in names) for row in RECORDED[case]]
    assert [payloads(m["payloads"]) for m in messages] == [payloads(row["payloads"]) for row in RECORDED[case]]
