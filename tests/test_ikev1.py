"""IKEv1 against recordings to the byte, against vectors of others, and against what RFC 2409 says of any suite."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flexvpn_sim.experiments import ikev1
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.exchange import exchange
from flexvpn_sim.experiments.ikev1 import ikev1_conversation
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.algorithms import ENCRYPTIONS, GROUPS, PRFS
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev1 import exchanges
from flexvpn_sim.models.ikev1.implementation import ImplementationV1, load, names
from flexvpn_sim.models.ikev1.payloads import MessageV1, padded_bytes
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.operations import DhKeygen, DhShared, DhValidate, InstallSa
from flexvpn_sim.models.ikev2.proposals import EspProposal, EspSuite, IkeProposal
from flexvpn_sim.models.notation import parse_esp, parse_ike
from flexvpn_sim.models.values import Ledger

RECORDED = Path(__file__).parent / "data" / "testbed_messages_v1.csv"
#: Mode and steps of each recorded case.
CASES = {
    "v1-main-psk-modp2048": ("main", "delete"),
    "v1-aggr-psk-modp2048": ("aggressive", "delete"),
    "v1-rekey-child-modp2048": ("main", "rekey-child,delete"),
    "v1-dpd": ("main", "dpd,dpd,delete"),
}
#: Names of payloads where the recording's differ from ours.
RECORDED_NAMES = {"SAv1": "SA", "KEv1": "KE", "No": "NONCE", "N(DPD)": "N:R_U_THERE", "N(DPD_ACK)": "N:R_U_THERE_ACK"}
#: source: testbed handshake_cpu.csv, v1-main-psk-modp2048, setup+delete. [s]
RECORDED_CPU_S = 2.7859e-3
PAPER_IKE, PAPER_ESP = "aes256-sha512-modp2048", "aes256-sha512"
BR1, HQ = Identity("fqdn", "BR1.cptl.local"), Identity("fqdn", "HQ.cptl.local")
CBC = sorted(name for name, cipher in ENCRYPTIONS.items() if name != "null" and not cipher.aead)


def recorded() -> dict[str, list[dict[str, str]]]:
    lines = [line for line in RECORDED.read_text().splitlines() if not line.startswith("#")]
    cases: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(lines):
        cases.setdefault(row["case"], []).append(row)
    return cases


def conversation(ike: str, esp: str, **more: Any) -> dict[str, Any]:
    return ikev1_conversation(parse_ike(ike), parse_esp(esp), load_profile("linux-strongswan-openssl"), **more)


def ends(
    ike: IkeProposal, esp: EspProposal, implementation: str = "strongswan", responder: Identity = HQ
) -> exchanges.Peers:
    return ikev1.peers(ike, esp, implementation, Ledger(), initiator=BR1, responder=responder)


def named(text: str) -> list[str]:
    """Return the names of the payloads of a recorded message, as ours."""
    inner = text.partition("{")[2].removesuffix("}") or text
    words = [re.sub(r"\(\d+\)$", "", word) for word in inner.split()]
    return [RECORDED_NAMES.get(word, word).replace("N(INITIAL_CONTACT)", "N:INITIAL_CONTACT") for word in words]


@pytest.mark.parametrize("case", CASES)
def test_every_recorded_message_has_its_length_and_payloads(case: str) -> None:
    rows = recorded()[case]
    mode, steps = CASES[case]
    messages = conversation(rows[0]["ike_proposal"], rows[0]["esp_proposal"], mode=mode, scenario=steps)["messages"]
    assert len(messages) == len(rows)
    for row, message in zip(rows, messages, strict=True):
        told = (message["exchange"], message["direction"], message["ike_bytes"], message["udp_len"], message["ip_len"])
        lengths = (int(row[name]) for name in ("isakmp_len", "udp_len", "ip_len"))
        assert told == (row["exchange"], row["direction"], *lengths)
        ours = [re.sub(r"^VID:.*", "VID", name) for name in named(message["payloads"])]
        assert ours == named(row["payloads"])
        # Sizes of single payloads are recorded for what went in the clear.
        if "{" not in row["payloads"]:
            assert re.findall(r"\((\d+)\)", message["payloads"]) == re.findall(r"\((\d+)\)", row["payloads"])
        else:
            assert message["payloads"].partition("{")[0] == row["payloads"].partition("{")[0]


def test_all_recorded_cases_are_played() -> None:
    assert set(recorded()) == set(CASES)


def test_message_ids_tell_exchanges_apart_as_the_recording_does() -> None:
    for case, rows in recorded().items():
        mode, steps = CASES[case]
        messages = conversation(PAPER_IKE, rows[0]["esp_proposal"], mode=mode, scenario=steps)["messages"]
        ours, theirs = [m["msgid"] for m in messages], [row["msgid"] for row in rows]
        assert [a == b for a in ours for b in ours] == [a == b for a in theirs for b in theirs]
        assert [n == 0 for n in ours] == [n == "0" for n in theirs]


@pytest.mark.parametrize(
    ("implementation", "message", "length"),
    [
        ("ios", 4, 368),  # source: github.com/Azure/Azure-vpn-config-samples issue 25
        ("strongswan", 3, 308),
        ("strongswan", 6, 76),  # the responder's identity is an IPv4 address
    ],
)
def test_messages_that_others_published_have_their_length(implementation: str, message: int, length: int) -> None:
    peers = ends(
        parse_ike("aes256-sha1-modp1536"), parse_esp("aes256-sha1"), implementation, Identity("address", "192.0.2.1")
    )
    assert exchanges.main_mode(peers)[message - 1].ike_bytes == length


def test_cpu_of_a_recorded_set_up_with_deletion_is_within_the_error_of_the_cost_model() -> None:
    result = conversation(PAPER_IKE, PAPER_ESP, scenario="delete")
    cpu_s = sum(times["responder_cpu_s"] for times in result["phases"].values())
    assert cpu_s == pytest.approx(RECORDED_CPU_S, rel=0.15)


@pytest.mark.parametrize("mode", ikev1.MODES)
@pytest.mark.parametrize("pfs", [False, True])
def test_each_end_makes_one_key_exchange_and_another_with_pfs(mode: str, pfs: bool) -> None:
    esp = parse_esp("aes256-sha512-ecp256" if pfs else "aes256-sha512")
    messages = [m for _, m in ikev1.phases(ends(parse_ike(PAPER_IKE), esp), mode, ())]
    for initiator in (True, False):
        work = [o for m in messages for o in (m.sender if m.from_initiator == initiator else m.receiver)]
        for kind in (DhKeygen, DhValidate, DhShared):
            assert [o.group for o in work if isinstance(o, kind)] == ([14, 19] if pfs else [14])
        assert sum(isinstance(o, InstallSa) for o in work) == 1


def proposals() -> st.SearchStrategy[IkeProposal]:
    return st.builds(
        lambda encryption, name, group: IkeProposal((encryption,), (name,), (name,), (group,)),
        st.sampled_from(CBC),
        st.sampled_from(sorted(PRFS)),
        st.sampled_from(sorted(GROUPS)),
    )


def children() -> st.SearchStrategy[EspProposal]:
    suites = [("aes-cbc-256", "sha512"), ("aes-gcm-128", ""), ("3des", "sha1"), ("null", "sha256")]
    return st.builds(
        lambda suite, groups: EspProposal((suite[0],), tuple(filter(None, suite[1:])), groups=groups),
        st.sampled_from(suites),
        st.sampled_from([(), (2,), (14,), (19,)]),
    )


def all_messages(peers: exchanges.Peers) -> list[MessageV1]:
    parts = (exchanges.main_mode, exchanges.aggressive_mode, exchanges.quick_mode, exchanges.dead_peer_detection)
    return [m for part in parts for m in part(peers)] + exchanges.delete(peers)


@given(proposals(), children(), st.sampled_from(names()))
def test_encryption_pads_to_the_block_and_to_no_more_than_one(
    ike: IkeProposal, esp: EspProposal, implementation: str
) -> None:
    block = ENCRYPTIONS[ike.encryption[0]].block_bytes
    for message in all_messages(ends(ike, esp, implementation)):
        inner = sum(payload.size for payload in message.payloads)
        if message.protected_bytes:
            assert message.protected_bytes % block == 0
            assert inner <= message.protected_bytes <= inner + block
        assert message.ip_len == 28 + 28 + (message.protected_bytes or inner)


@given(proposals(), children(), st.sampled_from(names()), st.sampled_from(sorted(GROUPS)))
def test_bytes_grow_with_the_group_by_its_public_values_alone(
    ike: IkeProposal, esp: EspProposal, implementation: str, other: int
) -> None:
    """Main mode sends two public values in the clear; everything else in it does not know the group."""
    larger = IkeProposal(ike.encryption, ike.integrity, ike.prf, (other,))
    one, two = (sum(m.ike_bytes for m in exchanges.main_mode(ends(p, esp, implementation))) for p in (ike, larger))
    assert two - one == 2 * (GROUPS[other].public_bytes - GROUPS[ike.groups[0]].public_bytes)


@given(proposals(), children())
def test_pfs_adds_a_public_value_and_an_attribute_to_two_messages(ike: IkeProposal, esp: EspProposal) -> None:
    plain = EspProposal(esp.encryption, esp.integrity)
    secret = EspProposal(esp.encryption, esp.integrity, groups=(14,))
    without, with_pfs = (exchanges.quick_mode(ends(ike, one)) for one in (plain, secret))
    inner = [[sum(p.size for p in m.payloads) for m in part] for part in (without, with_pfs)]
    assert [b - a for a, b in zip(*inner, strict=True)] == [4 + 256 + 4, 4 + 256 + 4, 0]


def test_every_combination_that_is_offered_is_a_transform_and_one_is_taken() -> None:
    offered = parse_ike("aes256-aes128-sha512-sha256-modp2048")
    peers = ends(offered, parse_esp(PAPER_ESP))
    first, second = exchanges.main_mode(peers)[:2]
    # 8 bytes of transform, six attributes of 4 bytes and a short life duration: 36 each.
    assert first.payloads[0].size == 20 + 4 * 36
    assert second.payloads[0].size == 20 + 36


def test_a_lifetime_beyond_16_bits_takes_four_bytes_more() -> None:
    strongswan, ios = (ends(parse_ike(PAPER_IKE), parse_esp(PAPER_ESP), name) for name in ("strongswan", "ios"))
    assert exchanges.main_mode(ios)[0].payloads[0].size == exchanges.main_mode(strongswan)[0].payloads[0].size + 4


def test_a_multiple_of_the_block_is_left_alone_unless_the_implementation_adds_a_block() -> None:
    assert (padded_bytes(96, 16, whole_block=False), padded_bytes(96, 16, whole_block=True)) == (96, 112)
    assert padded_bytes(95, 16, whole_block=False) == padded_bytes(95, 16, whole_block=True) == 96


def test_rows_have_the_keys_of_an_ikev2_conversation() -> None:
    hardware = load_profile("isr4321")
    second = exchange(parse_ike(PAPER_IKE), parse_esp(PAPER_ESP), hardware)
    first = ikev1_conversation(parse_ike(PAPER_IKE), parse_esp(PAPER_ESP), hardware)
    assert set(first["messages"][0]) <= set(second["messages"][0])
    assert {"exchange", "msgid", "direction", "udp_len", "ip_len", "payloads", "t_s"} <= set(first["messages"][0])
    assert first["implementation"] == "ios"
    named = ikev1_conversation(parse_ike(PAPER_IKE), parse_esp(PAPER_ESP), hardware, implementation="ios-xe-16.9")
    assert named == first
    times = [m["t_s"] for m in first["messages"]]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("ike", "more", "told"),
    [
        ("aes256gcm16-prfsha512-modp2048", {}, "--ike: aes-gcm-256 cannot protect IKEv1 itself"),
        ("aes256-sha512-prfsha256-modp2048", {}, "--ike: IKEv1 negotiates one hash"),
        ("aes256-sha512-modp2048-ke1_mlkem768", {}, "--ike: IKEv1 has no additional key exchanges"),
        (PAPER_IKE, {"mode": "agressive"}, "--mode: unknown IKEv1 mode 'agressive', did you mean 'aggressive'"),
        (PAPER_IKE, {"scenario": "rekey-chld"}, "--scenario: unknown .* did you mean 'rekey-child'"),
        (PAPER_IKE, {"auth": "ecdsa256"}, "--auth: unknown authentication of IKEv1 'ecdsa256'"),
        (PAPER_IKE, {"auth": "rsa2048", "authorities": 0}, "--ca: found 0, certificates need at least one CA"),
        (PAPER_IKE, {"scenario": "delete,dpd"}, "--scenario: dpd needs an ISAKMP SA"),
        (PAPER_IKE, {"implementation": "ios", "fragment_bytes": 576}, "--fragment: IKEv1 of ios"),
        (PAPER_IKE, {"implementation": "strongswn"}, "did you mean 'strongswan'"),
    ],
)
def test_what_ikev1_does_not_know_is_refused_in_one_line(ike: str, more: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        conversation(ike, PAPER_ESP, **more)


def test_transforms_of_one_quick_mode_share_their_group() -> None:
    behaviour = ImplementationV1(load("ios"), Ledger())
    suites = tuple(EspSuite("aes-cbc-256", "sha256", group=group) for group in (14, 19))
    with pytest.raises(InputError, match="share one group"):
        exchanges.Peers(BR1, HQ, ends(parse_ike(PAPER_IKE), parse_esp(PAPER_ESP)).ike, suites, behaviour)


def lengths(**more: Any) -> list[int]:
    return [m["ike_bytes"] for m in conversation(PAPER_IKE, PAPER_ESP, **more)["messages"]]


def test_signatures_replace_the_hash_and_certificates_are_asked_for_by_name() -> None:
    """RFC 2409 5.1: SIG for HASH. 68 - 260 bytes for the proof, CERT 5 + DER, CERTREQ 5 + 53 (the CA's name)."""
    plain = lengths()
    signed = lengths(auth="rsa2048", certificate_bytes=(812, 810), fragmentation=False)
    assert [m - n for m, n in zip(signed[:4], plain[:4], strict=True)] == [-24, -24, 0, 58]
    # Encrypted, with padding that always adds a byte.
    fifth, sixth = 22 + 817 + 260 + 58 + 28, 21 + 815 + 260
    assert signed[4:6] == [28 + (fifth // 16 + 1) * 16, 28 + (sixth // 16 + 1) * 16]
    assert signed[6:] == plain[6:]


def test_signing_and_checking_are_work_at_both_ends() -> None:
    psk, rsa = (conversation(PAPER_IKE, PAPER_ESP, auth=auth) for auth in ("psk", "rsa2048"))
    for end in ("initiator", "responder"):
        assert rsa[f"{end}_cpu_s"] > psk[f"{end}_cpu_s"] + 1e-4


@pytest.mark.parametrize(("mode", "before"), [("main", 4), ("aggressive", 2)])
def test_behind_a_nat_port_4500_is_used_once_messages_are_encrypted(mode: str, before: int) -> None:
    messages = conversation(PAPER_IKE, PAPER_ESP, mode=mode, scenario="nat,dpd")["messages"]
    assert [m["source_port"] for m in messages] == [500] * before + [4500] * (len(messages) - before)
    assert {m["udp_len"] - m["ike_bytes"] for m in messages[before:]} == {4}
    plain = conversation(PAPER_IKE, PAPER_ESP, mode=mode, scenario="dpd")["messages"]
    assert [m["ike_bytes"] for m in messages] == [m["ike_bytes"] for m in plain]


def test_transport_mode_behind_a_nat_names_the_original_addresses() -> None:
    messages = conversation(PAPER_IKE, PAPER_ESP, scenario="nat", transport=True)["messages"]
    quick = [m["payloads"].count("NAT-OA(12)") for m in messages if m["exchange"] == "QUICK_MODE"]
    assert quick == [2, 2, 0]


@given(st.integers(200, 60_000), st.integers(256, 1500), st.booleans())
def test_pieces_of_a_long_message_fit_and_hold_all_of_it(certificate: int, limit: int, nat: bool) -> None:
    whole, cut = (
        conversation(
            PAPER_IKE,
            PAPER_ESP,
            auth="rsa2048",
            certificate_bytes=(certificate, 200),
            scenario="nat" if nat else "setup",
            **more,
        )["messages"]
        for more in ({"fragmentation": False}, {"fragment_bytes": limit})
    )
    pieces = [m for m in cut if m["direction"] == "i>r" and m["message_bytes"] == whole[4]["ike_bytes"]]
    assert all(m["ip_len"] <= limit for m in cut)
    if len(pieces) > 1:
        # 28 bytes of ISAKMP header and 8 of the fragment payload in front of each piece.
        assert sum(m["ike_bytes"] - 36 for m in pieces) == whole[4]["ike_bytes"]
        assert [m["fragment"] for m in pieces] == list(range(1, pieces[0]["fragments"] + 1))


def test_an_unreachable_peer_is_tried_at_the_recorded_times() -> None:
    lines = (RECORDED.parent / "testbed_retransmit_v1.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    result = conversation(PAPER_IKE, PAPER_ESP, scenario="peer-unreachable")
    first_s = result["messages"][0]["t_s"]
    times_s = [m["t_s"] - first_s for m in result["messages"]] + [result["events"][0]["t_s"] - first_s]
    assert times_s == pytest.approx([float(row["t_s"]) for row in rows], abs=0.01)
    assert {m["udp_len"] for m in result["messages"]} == {180}
    assert result["sas"]["initiator"] == {"ike": 0, "child": 0}


def command(*options: str) -> Any:
    common = ("exchange", "--ike", PAPER_IKE, "--esp", PAPER_ESP, "--hardware", "isr4321")
    return CliRunner().invoke(app, [*common, *options])


@pytest.mark.parametrize("option", [("--mobike",), ("--pcap", "x.pcap"), ("--ppk", "one"), ("--ke", "a:1:1:1:1:1")])
def test_options_of_ikev2_alone_are_refused_with_those_that_ikev1_takes(option: tuple[str, ...]) -> None:
    done = command("--ike-version", "1", *option)
    assert done.exit_code == 2
    assert f"{option[0]}: does not go with --ike-version 1, which takes --ike, --esp" in done.stderr


def test_the_mode_belongs_to_ikev1() -> None:
    done = command("--mode", "aggressive")
    assert (done.exit_code, done.stderr) == (2, "flexvpn-sim: --mode: belongs to IKEv1: add --ike-version 1\n")


@pytest.mark.parametrize("shape", [(), ("--json",), ("--mermaid",)])
@pytest.mark.parametrize("auth", ["psk", "rsa2048"])
def test_ikev1_is_printed_as_ikev2_is(shape: tuple[str, ...], auth: str) -> None:
    done = command("--ike-version", "1", "--mode", "aggressive", "--auth", auth, *shape)
    assert done.exit_code == 0, done.output
    assert "AGGRESSIVE" in done.stdout
