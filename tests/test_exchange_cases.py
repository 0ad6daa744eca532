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
for row in [*rows("testbed_messages.csv"), *rows("testbed_messages_v1.csv")]:
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
    if text.startswith("ENC"):
        return payloads_v1(text)
    text = re.sub(r"VID:[^(]*", "VID", text).replace("SAv1", "SA").replace("KEv1", "KE").replace("NONCE", "Nonce")
    inside = re.sub(r"^SK\(\d+\)\{(?:iv=[^:]*: ?)?(.*)\}$", r"\1", text).strip()
    # The length of a DER signature varies (fact sheet A.7: AUTH has 91 to 93 bytes); ours is the commonest.
    return re.sub(r"AUTH\((91|92|93)\)", "AUTH(91..93)", inside)


#: Names of payloads inside encrypted IKEv1 messages, as recorded and as ours.
NAMES_V1 = {"No": "NONCE", "N(DPD)": "N:R_U_THERE", "N(DPD_ACK)": "N:R_U_THERE_ACK"}


def payloads_v1(text: str) -> str:
    """Return length and payloads of an encrypted IKEv1 message; sizes of single payloads were not recorded."""
    length, _, inside = text.rstrip("}").partition("{")
    names = [NAMES_V1.get(name, re.sub(r"^N\((.*)\)$", r"N:\1", name)) for name in inside.split()]
    return f"{length} {' '.join(re.sub(r'[(][0-9]+[)]$', '', name) for name in names)}"


def exchanges(messages: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Return the exchange and number of each message: an ID of IKEv1 is random, its first use gives it a number."""
    numbers: dict[str, int] = {"0": 0}
    return [(name, numbers.setdefault(ident, len(numbers))) for name, ident in messages]


def test_every_recorded_case_has_a_command_line() -> None:
    assert set(OPTIONS) == set(RECORDED)


@pytest.mark.parametrize("case", OPTIONS)
def test_every_datagram_is_the_recorded_one(case: str) -> None:
    messages = played(case)
    if case.startswith("v1-"):
        asked = [(m["exchange"], str(m["msgid"])) for m in messages]
        assert exchanges(asked) == exchanges([(row["exchange"], row["msgid"]) for row in RECORDED[case]])
    else:
        assert [str(m["msgid"]) for m in messages] == [row["msgid"] for row in RECORDED[case]]
    ours = [(m["exchange"], m["direction"], str(m["udp_len"]), str(m["ip_len"]), str(m["ike_bytes"])) for m in messages]
    names = ("exchange", "direction", "udp_len", "ip_len", "isakmp_len")
    assert ours == [tuple(row[name] for name in names) for row in RECORDED[case]]
    assert [payloads(m["payloads"]) for m in messages] == [payloads(row["payloads"]) for row in RECORDED[case]]
