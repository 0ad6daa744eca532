"""Chains of certificates from the command line: a CERT payload for each, what it costs, and what is refused."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from capture_files import read_capture
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import WHOLE_BYTES, Pair, agree, credential, endpoint
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.exchange_authentication import Intermediates
from flexvpn_sim.models.ikev2.policy import Authentication, Credential
from flexvpn_sim.models.ikev2.wire import packet as wire

COMMAND = "exchange --hardware linux-strongswan-openssl --ike aes256-sha256-ecp256 --esp aes256-sha256"


def invoke(options: str) -> Any:
    return CliRunner().invoke(app, shlex.split(f"{COMMAND} {options}"))


def played(options: str) -> dict[str, Any]:
    done = invoke(f"{options} --json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.output)
    return result


def certificates(result: dict[str, Any]) -> list[list[int]]:
    """Return the lengths of the CERT payloads in each message of IKE_AUTH that has some."""
    found = [[int(n) for n in re.findall(r"CERT\((\d+)\)", row["payloads"])] for row in result["messages"]]
    return [
        lengths
        for row, lengths in zip(result["messages"], found, strict=True)
        if lengths and "AUTH(" in row["payloads"]
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_each_certificate_of_a_chain_is_a_payload_of_its_own(count: int) -> None:
    chain = f"--chain {count} --chain-bytes 900" if count else ""
    result = played(f"--auth rsa2048 --cert-bytes 812,810 {chain}")
    # Generic header 4, encoding 1.
    assert certificates(result) == [[817, *[905] * count], [815, *[905] * count]]
    assert result["chain"] == count
    assert result["sas"]["responder"] == {"ike": 1, "child": 1}


def test_without_a_length_the_certificates_of_the_cas_are_estimated() -> None:
    # 300 bytes of frame, 256 of key and 256 of signature.
    assert certificates(played("--auth rsa2048 --chain 1 --cert-bytes 700,700")) == [[705, 817], [705, 817]]


def test_a_chain_costs_a_check_of_a_signature_for_each_certificate_where_none_is_remembered() -> None:
    checks = []
    for count in (0, 2):
        options = f"--auth ecdsa256 --chain {count} --implementation ios-xe-16.9"
        rows = played(options)["messages"]
        operations = [o["operation"] for row in rows for o in row["receiver_operations"]]
        checks.append(sum("Verify" in operation for operation in operations))
    # Both ends: the certificate and AUTH; then two more certificates each.
    assert checks == [4, 8]


def test_a_longer_chain_takes_more_bytes_and_more_fragments() -> None:
    totals = []
    for count in range(4):
        rows = played(f"--auth rsa2048 --chain {count}")["messages"]
        totals.append((len(rows), sum(row["ip_len"] for row in rows)))
    assert totals == sorted(totals) and len(set(totals)) == 4


def test_eap_sends_the_chain_of_the_responder_alone_and_tls_that_of_both_inside() -> None:
    assert certificates(played("--auth eap-mschapv2:rsa2048 --cert-bytes 812,810 --chain 1 --chain-bytes 900")) == [
        [815, 905]
    ]
    lengths = [len(played(f"--auth eap-tls:rsa2048 --chain {count}")["messages"]) for count in range(3)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[2]


def test_a_chain_that_ends_at_an_unknown_ca_or_has_a_gap_is_not_trusted() -> None:
    leaf = credential("BR1.cptl.local").chain[0]
    whole = Intermediates(2, 900).chain(leaf, "CA")
    assert [c.issuer for c in whole] == ["CN=Intermediate CA 1", "CN=Intermediate CA 2", "CA"]
    for chain, trusted in ((whole, True), (whole[:2], False), ((whole[0], whole[2]), False), (whole[::-1], False)):
        told = Authentication("certificate", ("certificate",), Credential(chain, leaf.key))
        left = endpoint("left", authentication=told, trusted=("CA",), fragment_bytes=WHOLE_BYTES)
        right = endpoint(
            "right",
            authentication=replace(told, credential=credential("HQ.cptl.local")),
            trusted=("CA",),
            fragment_bytes=WHOLE_BYTES,
        )
        pair = Pair(left, right)
        pair.start(left)
        pair.run(5)
        assert (
            agree(pair)
            if trusted
            else "certificate not trusted" in pair.causes("right", "refused") or not pair.right.sas
        )


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    auth=st.sampled_from(
        ["ecdsa256", "ed25519", "eap-gtc:ecdsa256", "eap-md5:ed25519", "eap-tls:ecdsa256", "eap-mschapv2:ecdsa384"]
    ),
    chain=st.integers(0, 3),
    tls=st.sampled_from(["", "--tls 1.3"]),
    fragment=st.sampled_from(["", "--fragment off", "--fragment 576"]),
)
def test_captures_have_the_lengths_of_the_simulation(
    tmp_path_factory: pytest.TempPathFactory, auth: str, chain: int, tls: str, fragment: str
) -> None:
    path = tmp_path_factory.mktemp("capture") / "a.pcap"
    if not auth.startswith("eap"):
        tls = ""
    result = played(f"--auth {auth} --chain {chain} {tls} {fragment} --pcap {path}")
    seen = read_capture(path)
    assert [d.ip_bytes for d in seen] == [row["ip_len"] for row in result["messages"]]
    sent = [n for lengths in certificates(result) for n in lengths]
    assert [p.size for d in seen for p in d.payloads if isinstance(p, wire.CertBody)] == sent


def test_the_chain_of_a_capture_is_a_real_one(tmp_path: Path) -> None:
    x509 = pytest.importorskip("cryptography.x509")
    path = tmp_path / "a.pcap"
    played(f"--auth ecdsa256 --chain 2 --pcap {path}")
    bodies = [p for d in read_capture(path) for p in d.payloads if isinstance(p, wire.CertBody)]
    chain = [x509.load_der_x509_certificate(body.data) for body in bodies[:3]]
    for below, above in pairwise(chain):
        below.verify_directly_issued_by(above)
    assert chain[-1].issuer.rfc4514_string() == "CN=CA 1"


def test_revocations_are_those_of_the_issuing_ca() -> None:
    result = played("--auth rsa2048 --chain 1 --scenario certificate-revoked")
    assert "certificate revoked" in {e["cause"] for e in result["events"]}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--auth rsa2048 --chain 9", "--chain: found 9, 0 to 8 intermediate CAs are allowed"),
        ("--auth rsa2048 --chain -1", "--chain: found -1, 0 to 8 intermediate CAs are allowed"),
        ("--chain 1", "--chain: a chain needs certificates, and --auth is psk"),
        ("--auth rsa2048 --chain-bytes 900", "--chain-bytes: a length without a chain: give --chain too"),
        ("--auth rsa2048 --chain 1 --chain-bytes 5", "--chain-bytes: found 5, 100 to 60000 bytes are allowed"),
    ],
)
def test_wrong_options_are_told_in_one_line(options: str, line: str) -> None:
    done = invoke(options)
    assert done.exit_code == 2
    assert line in done.output and done.output.count("\n") == 1
