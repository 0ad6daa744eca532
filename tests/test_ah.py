"""AH instead of ESP: proposals and deletions byte by byte, keys, NAT, configurations, what ``show`` prints."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capture_files import read_capture
from typer.testing import CliRunner

import flexvpn_sim as fv
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models import notation
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.payloads import DeletePayload, NotifyPayload, SaPayload
from flexvpn_sim.models.ikev2.proposals import EspProposal, EspSuite, choose_esp
from flexvpn_sim.models.ikev2.wire import packet as wire
from flexvpn_sim.models.ikev2.wire import translate
from flexvpn_sim.models.ikev2.wire.draws import Draws
from flexvpn_sim.models.values import Ledger

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
AH_SET = "crypto ipsec transform-set TSET ah-sha256-hmac"


def command(*options: str) -> Any:
    fixed = ["exchange", "--ike", "aes256-sha256-modp2048", "--hardware", "isr4321", "--implementation", "strongswan"]
    return CliRunner().invoke(app, [*fixed, *options])


def conversation(*options: str) -> dict[str, Any]:
    run = command(*options, "--json")
    assert run.exit_code == 0, run.output
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def length(row: dict[str, Any], name: str) -> int:
    found = re.search(rf"\b{name}\((\d+)\)", row["payloads"])
    assert found, f"{name} is not in {row['payloads']}"
    return int(found.group(1))


# Proposals


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("sha256", EspProposal((), ("sha256",))),
        ("sha256-sha1-modp2048-esn", EspProposal((), ("sha256", "sha1"), (True,), (14,))),
        ("ah-sha512-hmac", EspProposal((), ("sha512",))),
        ("AH-SHA-HMAC", EspProposal((), ("sha1",))),
    ],
)
def test_ah_is_proposed_with_integrity_groups_and_esn(text: str, proposal: EspProposal) -> None:
    assert notation.parse_ah(text) == proposal
    assert proposal.protocol == "AH" and str(proposal).startswith("AH ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("aes256-sha256", "aes-cbc-256 is for ESP, and AH does not encrypt"),
        ("modp2048", "an integrity algorithm is missing, as sha256"),
        ("sha256-prfsha256", "a PRF is for IKE alone"),
        ("sha256-ke1_mlkem768", "additional key exchanges are simulated for IKE alone"),
        ("sha265", "did you mean 'sha256'"),
    ],
)
def test_what_is_no_ah_proposal_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        notation.parse_ah(text, "--ah")


def test_an_ah_proposal_on_the_wire_has_no_encryption_transform() -> None:
    """RFC 7296 3.3: protocol 2, SPI of 4 octets, INTEG 12 (HMAC-SHA2-256-128) and ESN."""
    payload = SaPayload((EspProposal((), ("sha256",), (False,)),), 4, 0x01020304)
    octets = translate.sa_body(payload).body()
    integrity, esn = bytes.fromhex("03000008 0300000c"), bytes.fromhex("00000008 05000000")
    assert octets == bytes.fromhex("0000001c 01 02 04 02 01020304") + integrity + esn
    assert payload.size == 4 + len(octets)


@pytest.mark.parametrize(("protocol", "number"), [("ESP", 3), ("AH", 2)])
def test_deletions_and_rekeys_name_the_protocol_of_the_sa(protocol: Any, number: int) -> None:
    delete = translate.plain_payload(DeletePayload((0x01020304,), protocol), Draws(1))
    assert delete is not None and delete.body() == bytes([number, 4, 0, 1, 1, 2, 3, 4])
    notify = NotifyPayload("REKEY_SA", spi_bytes=4, value=0x01020304, protocol=protocol)
    body = translate.plain_payload(notify, Draws(1))
    assert body is not None and body.body() == bytes([number, 4]) + (16393).to_bytes(2, "big") + bytes([1, 2, 3, 4])


def test_ah_and_esp_have_no_suite_in_common() -> None:
    ah, null = EspProposal((), ("sha256",)), EspProposal(("null",), ("sha256",))
    assert choose_esp([ah], [null]) is None and choose_esp([null], [ah]) is None
    assert choose_esp([null, ah], [ah]) == EspSuite("", "sha256")


def test_keymat_of_ah_is_two_integrity_keys() -> None:
    assert EspSuite("", "sha256").key_material_bytes() == 2 * 32
    assert EspSuite("", "sha512").key_material_bytes() == 2 * 64


# Conversations


def test_the_sa_payload_is_smaller_by_the_encryption_transform() -> None:
    """Generic header 4, proposal 8 + SPI 4, transforms of 8 (12 with a key length)."""
    ah = conversation("--ah", "sha256")["messages"][2]
    esp = conversation("--esp", "aes256-sha256")["messages"][2]
    assert length(ah, "SA") == 4 + 12 + 2 * 8
    assert length(esp, "SA") == 4 + 12 + 12 + 2 * 8


def test_an_ah_sa_is_rekeyed_with_pfs_and_deleted() -> None:
    result = conversation("--ah", "sha256-modp2048", "--scenario", "rekey-child,delete-child-then-ike")
    assert [m["exchange"] for m in result["messages"]] == (
        ["IKE_SA_INIT"] * 2 + ["IKE_AUTH"] * 2 + ["CREATE_CHILD_SA"] * 2 + ["INFORMATIONAL"] * 6
    )
    rekey = result["messages"][4]
    assert length(rekey, "SA") == 4 + 12 + 3 * 8 and length(rekey, "N:REKEY_SA") == 12
    assert result["sas"] == {"initiator": {"ike": 0, "child": 0}, "responder": {"ike": 0, "child": 0}}
    assert result["esp"] == "AH sha256 pfs modp2048"


def test_a_nat_ends_an_ah_conversation_with_a_sentence() -> None:
    result = conversation("--ah", "sha256", "--nat")
    assert [m["exchange"] for m in result["messages"]] == ["IKE_SA_INIT"] * 2
    assert [e["cause"] for e in result["events"] if e["cause"]] == ["AH cannot pass a NAT"]
    # Without AH the same path does.
    assert conversation("--esp", "null-sha256", "--nat")["sas"]["responder"] == {"ike": 1, "child": 1}


def test_a_responder_with_esp_alone_refuses_ah() -> None:
    result = conversation("--ah", "sha256", "--responder-esp", "aes256-sha256")
    assert ("refused", "no IPsec proposal in common") in [(e["event"], e["cause"]) for e in result["events"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ah", "sha256", "--esp", "aes256-sha256"], "--ah: AH and ESP in one Child SA are not simulated"),
        ([], "--esp: what protects the packets is missing"),
        (["--ah", "sha256", "--ike-version", "1"], "--ah: does not go with --ike-version 1"),
        (["--ah", "aes256"], "--ah: 'aes256' is no AH proposal"),
        (["--ah", "sha256-modp2048", "--pfs", "ecp256"], "--pfs: 'ecp256' differs from the group"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: list[str], message: str) -> None:
    run = command(*options)
    assert run.exit_code == 2 and run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"flexvpn-sim: {message}")


def test_a_capture_of_an_ah_conversation_has_its_protocol_in_every_message(tmp_path: Path) -> None:
    path = tmp_path / "ah.pcap"
    conversation("--ah", "sha256", "--scenario", "rekey-child", "--pcap", str(path))
    bodies = [body for datagram in read_capture(path)[2:] for body in datagram.payloads]
    proposals = [p.protocol for body in bodies if isinstance(body, wire.SaBody) for p in body.proposals]
    deletes = [body.protocol for body in bodies if isinstance(body, wire.DeleteBody)]
    rekeys = [body.protocol for body in bodies if isinstance(body, wire.NotifyBody) and body.spi]
    assert proposals == [2] * 4 and deletes == [2, 2] and rekeys == [2]


# Configurations


def ah_tunnel(folder: Path, transforms: str = AH_SET) -> Path:
    """Put the working configurations into ``folder``, with another transform set."""
    for source in WORKING.glob("*.cfg"):
        text, count = re.subn(r"(?m)^crypto ipsec transform-set .*$", transforms, source.read_text())
        assert count == 1
        (folder / source.name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def ah_run(tmp_path_factory: pytest.TempPathFactory) -> fv.Result:
    folder = tmp_path_factory.mktemp("ah")
    scenario = folder / "ah.yaml"
    flow = "{from: HQ, to: icpedger02, kind: constant, size: 1000 B, packets: 100 /s}"
    text = f"scenario: 1\nconfigurations: {ah_tunnel(folder)}\nduration: 5 s\ntraffic:\n  - {flow}\n"
    scenario.write_text(text)
    return fv.run(scenario)


def test_a_transform_set_of_ah_protects_packets_without_encryption(ah_run: fv.Result) -> None:
    """Outer IPv4 header 20, AH 12 + 16, the packet itself (RFC 4302)."""
    sent = ah_run.packets[ah_run.packets["sent"] > 0]
    assert sent["wire_bytes"].sum() == sent["sent"].sum() * (1000 + 20 + 28)
    assert set(ah_run.child_sas["encryption"]) == {""} and set(ah_run.child_sas["integrity"]) == {"sha256"}


def test_show_has_the_sas_in_the_sections_of_ah(ah_run: fv.Result) -> None:
    text = ah_run.show("HQ", "crypto ipsec sa")
    assert re.search(r"inbound esp sas:\n\n     inbound ah sas:\n      spi: 0x", text)
    assert "transform: ah-sha256-hmac ," in text and "IV size" not in text
    # 1500 - 20 - 28.
    assert "plaintext mtu 1452," in text
    assert re.search(r"#pkts encaps: [1-9]\d*, #pkts encrypt: 0, #pkts digest: [1-9]", text)
    session = ah_run.show("HQ", "crypto ikev2 session detailed")
    assert re.search(r"ESP spi in/out: 0x0/0x0 +\n +AH spi in/out: 0x\w{2,}/0x\w{2,}", session)
    assert "ah_hmac: SHA256" in session


def test_ah_costs_integrity_alone(ah_run: fv.Result) -> None:
    cost = CostModel(load_profile("isr4321"), Ledger())
    row = ah_run.queues[ah_run.queues["name"].str.startswith("HQ crypto core")].iloc[0]
    assert row["mean_service_s"] == pytest.approx(float(cost.crypto_s(np.array([1048]), "null", "sha256")[0]), rel=1e-9)
    assert row["mean_service_s"] < float(cost.crypto_s(np.array([1048]), "aes-cbc-256", "sha256")[0])


def test_an_ah_sa_is_rekeyed_by_volume(tmp_path: Path) -> None:
    """AH counts the packet itself: 2560 kB less the margin are passed by 1000 bytes x 2500/s about every second."""
    folder = ah_tunnel(tmp_path, f"{AH_SET}\n mode tunnel\ncrypto ipsec security-association lifetime kilobytes 2560")
    scenario = tmp_path / "bulk.yaml"
    flow = "{from: HQ, to: icpedger02, kind: constant, size: 1000 B, packets: 2500 /s}"
    scenario.write_text(f"scenario: 1\nconfigurations: {folder}\nduration: 4 s\ntraffic:\n  - {flow}\n")
    result = fv.run(scenario)
    carried = result.packets[result.packets["spi"] != 0].groupby("spi")["inner_bytes"].sum()
    # Both ends may begin at once: the SA that loses has carried little.
    assert len(carried) >= 4 and all(carried <= 2560 * 1024)


def test_ah_and_esp_in_one_transform_set_are_refused_with_the_line(tmp_path: Path) -> None:
    folder = ah_tunnel(tmp_path, "crypto ipsec transform-set TSET ah-sha256-hmac esp-aes 256")
    with pytest.raises(InputError, match="AH and ESP together in transform-set TSET are not simulated") as found:
        fv.run(folder, duration_s=5)
    assert re.search(r"HQ\.cfg:\d+$", found.value.where)
