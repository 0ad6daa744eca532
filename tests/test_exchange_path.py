"""A path that drops IP fragments: what IKE without and with fragmentation makes of it (RFC 7383)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app

PAPER = ("--ike", "aes256-sha512-modp2048", "--esp", "aes256-sha512", "--hardware", "isr4321")
LONG = (*PAPER, "--auth", "rsa2048", "--cert-bytes", "1500,1500")
DROPS = ("--path-mtu", "1400", "--drops-fragments")


def played(*options: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["exchange", *LONG, *options, "--json"])
    assert done.exit_code == code, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_path_that_carries_fragments_carries_everything() -> None:
    result = played("--path-mtu", "1400")
    assert all(m["arrived"] for m in result["messages"])
    assert max(m["ip_len"] for m in result["messages"]) > 1400


def test_without_ike_fragmentation_a_long_request_never_arrives_and_the_exit_code_is_1() -> None:
    result = played(*DROPS, code=1)
    lost = [m for m in result["messages"] if not m["arrived"]]
    assert {(m["exchange"], m["direction"], m["ip_len"] > 1400) for m in lost} == {("IKE_AUTH", "i>r", True)}
    assert [m["transmission"] for m in lost] == list(range(6))
    (reason,) = result["path"]["lost"]
    assert reason.startswith(f"IKE_AUTH request of {lost[0]['ip_len']:,} bytes exceeds the path MTU 1,400 and its IP")
    assert "configure IKE fragmentation" in reason
    assert result["sas"] == {"initiator": {"ike": 0, "child": 0}, "responder": {"ike": 0, "child": 0}}


def test_with_pieces_that_fit_everything_arrives() -> None:
    result = played(*DROPS, "--fragment", "1280")
    assert all(m["arrived"] and m["ip_len"] <= 1280 for m in result["messages"])
    assert result["sas"]["responder"] == {"ike": 1, "child": 1}


def test_pieces_that_are_too_long_for_the_path_are_repeated_in_vain() -> None:
    result = played(*DROPS, "--fragment", "1500", code=1)
    assert {m["fragment"] for m in result["messages"] if not m["arrived"]} == {1}
    assert "configure smaller pieces" in result["path"]["lost"][0]


@pytest.mark.parametrize("sends", [1, 2, 3])
def test_an_initiator_that_tries_smaller_pieces_gets_through_after_so_many_sends(sends: int) -> None:
    """RFC 7383 2.5.2: same message ID, more pieces; the responder forgets the larger ones and answers as small."""
    result = played(*DROPS, "--fragment", "1500", "--smaller-fragments-after", str(sends))
    auth = [m for m in result["messages"] if m["exchange"] == "IKE_AUTH"]
    assert {m["transmission"] for m in auth if not m["arrived"]} == set(range(sends))
    assert {m["msgid"] for m in auth} == {1}
    small = [m for m in auth if m["transmission"] == sends or m["direction"] == "r>i"]
    assert all(m["arrived"] and m["ip_len"] <= 576 for m in small)
    assert len({m["fragments"] for m in auth if m["direction"] == "i>r"}) == 2
    assert result["sas"]["responder"] == {"ike": 1, "child": 1}


def test_smaller_pieces_travel_in_the_capture_too(tmp_path: Any) -> None:
    where = tmp_path / "small.pcap"
    result = played(*DROPS, "--fragment", "1500", "--smaller-fragments-after", "1", "--pcap", str(where))
    assert result["capture"]["packets"] == len(result["messages"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--drops-fragments",), "--drops-fragments: needs the path MTU above which packets become fragments"),
        (("--path-mtu", "67"), "--path-mtu: found 67, 68 to 65535 bytes are allowed"),
        (("--smaller-fragments-after", "0"), "--smaller-fragments-after: found 0, 1 or more sends are needed"),
    ],
)
def test_a_path_that_cannot_be_is_refused_in_one_line(options: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(app, ["exchange", *LONG, *options])
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
