"""``flexvpn-sim exchange --pcap``: the conversation as a capture that can be decrypted; what is not real is said."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from capture_files import TABLE, Seen, read_capture, udp_packets
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flexvpn_sim.experiments import capture, exchange
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.conversation import Talk
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.algorithms import GROUPS, PRFS
from flexvpn_sim.models.ikev2.wire import packet as wire
from flexvpn_sim.models.ikev2.wire.draws import Draws
from flexvpn_sim.models.ikev2.wire.groups import KeyPair
from flexvpn_sim.models.ikev2.wire.keys import IkeKeys
from flexvpn_sim.models.ikev2.wire.session import Session
from flexvpn_sim.models.notation import parse_esp_list, parse_ike_list

DATA = Path(__file__).parent / "data"
PSK = "--ike aes256-sha512-modp2048 --esp aes256-sha512"
CASES = {
    row["case"]: row["options"]
    for row in csv.DictReader(
        line for line in (DATA / "cases.csv").read_text().splitlines() if not line.startswith("#")
    )
    # IKEv1 conversations are not written as captures.
    if "--ike-version 1" not in row["options"]
}
#: What the recorded cases do not have.
OTHERS = {
    "x25519 and ecp521": "--ike aes128-sha256-x25519 --esp aes128-sha256-ecp521 --scenario rekey-child",
    "gcm and ecp384": "--ike aes256gcm16-prfsha384-ecp384 --esp aes256gcm16 --scenario rekey-ike,delete",
    "AH": "--ike aes256-sha256-modp2048 --ah sha256-modp2048 --scenario rekey-child,delete-child-then-ike",
    "chacha": "--ike chacha20poly1305-prfsha256-ecp256 --esp chacha20poly1305",
    "fragments of an AEAD cipher": "--ike aes128gcm16-prfsha256-ecp256 --esp aes128gcm16 --auth rsa3072 --fragment 576",
    "ML-KEM": "--ike aes256-sha256-x25519-ke1_mlkem768 --esp aes256gcm16",
    "two ML-KEMs in fragments, rekeyed": "--ike aes256gcm16-prfsha384-ecp384-ke1_mlkem512-ke2_modp2048 "
    "--esp aes256gcm16 --fragment 600 --scenario rekey-ike,delete",
    "ML-DSA": f"{PSK} --auth mldsa44",
    "Ed25519": f"{PSK} --auth ed25519",
    "EAP with a wrong password": f"{PSK} --auth eap-mschapv2:ecdsa256 --scenario auth-failed",
    "IOS": f"{PSK} --implementation ios-xe-16.9 --auth ecdsa384 --scenario rekey-child,delete",
    "names": f"{PSK} --auth rsa2048 --initiator-id 'C=IT, O=cptl, E=a@example.org, CN=BR1' --responder-id 192.0.2.9",
    "nobody there": f"{PSK} --scenario peer-unreachable",
}


def run(options: str, *more: str) -> Any:
    command = ["exchange", *shlex.split(options), "--hardware", "linux-strongswan-openssl", *more]
    return CliRunner().invoke(app, command)


def play(options: str, path: Path, *more: str) -> tuple[dict[str, Any], list[Seen]]:
    """Return the report of a command and what its capture holds."""
    done = run(options, "--json", "--pcap", str(path), *more)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), (read_capture(path) if "ke1" not in options and "chacha" not in options else [])


def shown(row: dict[str, Any]) -> str:
    """Return the payloads of a message that goes whole as the decoder names them: it knows no vendor."""
    inside = re.sub(r"^SK\(\d+\)\{(.*)\}$", r"\1", row["payloads"])
    return re.sub(r"VID:[^(]*\(", "VID(", inside)


# -- The capture is the conversation ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*CASES, *OTHERS])
def test_a_capture_has_every_datagram_of_the_conversation(case: str, tmp_path: Path) -> None:
    options = CASES.get(case) or OTHERS[case]
    report, seen = play(options, tmp_path / "a.pcap")
    assert report["capture"]["packets"] == len(report["messages"])
    for (time_s, ip), row in zip(udp_packets(tmp_path / "a.pcap"), report["messages"], strict=True):
        assert (ip.len, len(ip.data.data)) == (row["ip_len"], row["udp_len"])
        assert (ip.data.sport, ip.data.dport) == (row["source_port"], row["destination_port"])
        assert time_s == pytest.approx(row["t_s"], abs=1e-9)
    if not seen:
        return
    # All of it is decrypted with the table; the payloads are those of the report.
    for datagram, row in zip(seen, report["messages"], strict=True):
        assert datagram.packet.exchange_name == row["exchange"]
        assert (datagram.packet.message_id, datagram.packet.response) == (row["msgid"], row["response"])
        if row["fragments"] > 1:
            assert row["payloads"].startswith(datagram.packet.payload_text())
            continue
        assert datagram.text == shown(row)


def test_the_fragments_of_a_message_hold_the_payloads_of_the_whole(tmp_path: Path) -> None:
    report, seen = play(f"{PSK} --auth rsa2048 --fragment 576", tmp_path / "a.pcap")
    whole = [row for row in report["messages"] if row["fragments"] > 1 and row["fragment"] == 1]
    last = [d for d, row in zip(seen, report["messages"], strict=True) if row["fragment"] == row["fragments"] > 1]
    assert len(whole) == len(last) == 2
    # RFC 7383 2.5: Next Payload is that of the first payload inside, and 0 behind the first fragment.
    bodies = [d.packet.payloads[0] for d in seen if d.packet.payload_text().startswith("SKF")]
    assert all((body.first != 0) == (body.number == 1) for body in bodies)  # type: ignore[attr-defined]
    for row, datagram in zip(whole, last, strict=True):
        assert row["payloads"].endswith("{" + datagram.text + "}")


def test_the_same_seed_gives_the_same_file_and_another_one_another(tmp_path: Path) -> None:
    options = f"{PSK} --auth eap-mschapv2:ecdsa256 --fragment 576"
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        play(options, tmp_path / f"{name}.pcap", "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.pcap").read_bytes() for name in "abc")
    assert a == b != c and len(a) == len(c)
    tables = [(tmp_path / f"{name}{TABLE}").read_text() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]


ike_proposals = st.builds(
    lambda cipher, prf, group: f"{cipher.format(prf)}-{group}",
    st.sampled_from(["aes128-{}", "aes256-{}", "3des-{}", "aes128gcm16-prf{}", "aes256gcm16-prf{}"]),
    st.sampled_from(["sha1", "sha256", "sha384", "sha512"]),
    st.sampled_from(["ecp256", "ecp384", "ecp521", "x25519", "modp1024", "modp2048", "modp2048s256"]),
)
names = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,30}(\.[a-z]{2,5}){1,2}", fullmatch=True),
    st.from_regex(r"[a-z]{1,20}@[a-z]{1,20}\.org", fullmatch=True),
    st.from_regex(r"C=[A-Z]{2}, O=[A-Za-z ]{1,70}, CN=[a-z]{1,60}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
)


@settings(max_examples=60)
@given(
    st.lists(ike_proposals, min_size=1, max_size=2),
    names,
    names,
    st.sampled_from(["psk", "ecdsa256", "ecdsa521", "ed25519", "rsa1024", "mldsa44", "eap-mschapv2:ecdsa384"]),
    st.sampled_from(["setup", "rekey-child,rekey-ike,delete", "nat,dpd", "virtual-ip", "auth-failed", "childless"]),
    st.sampled_from([None, 300, 576, 1500]),
    st.sampled_from(["strongswan", "ios-xe-16.9"]),
    st.integers(1, 2**31),
)
def test_the_size_model_is_the_length_of_the_octets_in_any_conversation(
    ike: list[str],
    initiator: str,
    responder: str,
    auth: str,
    scenario: str,
    fragment_bytes: int | None,
    implementation: str,
    seed: int,
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        report = exchange.exchange(
            parse_ike_list(",".join(ike), ""),
            parse_esp_list("aes256-sha256-ecp256", ""),
            load_profile("linux-strongswan-openssl", ()),
            implementation=implementation,
            initiator_id=initiator,
            responder_id=responder,
            auth=auth,
            scenario=scenario,
            fragment_bytes=fragment_bytes,
            seed=seed,
            pcap=path,
        )
        seen = read_capture(path)
    assert [len(d.octets) for d in seen] == [row["ike_bytes"] for row in report["messages"]]
    assert [d.ip_bytes for d in seen] == [row["ip_len"] for row in report["messages"]]
    for datagram, row in zip(seen, report["messages"], strict=True):
        assert datagram.packet.encode() == datagram.octets
        if row["fragments"] == 1:
            assert datagram.text == shown(row)


#: Payloads that chance or the testbed's addresses decide; of the others every octet is known.
BY_CHANCE = (
    "KE",
    "Nonce",
    "AUTH",
    "CERT",
    "CERTREQ",
    "EAP",
    "TSi",
    "TSr",
    "N:NAT_",
    "N:COOKIE2",
    "N:ADDITIONAL",
    "N:REDI",
)


def without_choices(body: wire.WirePayload) -> wire.WirePayload:
    """Return the body with zeros for SPIs and for the name server, which the testbed chose."""
    if isinstance(body, wire.CpBody):
        return wire.CpBody(body.cfg_type, tuple((t, bytes(len(v)) if t == 3 else v) for t, v in body.attributes))
    if isinstance(body, wire.SaBody):
        return wire.SaBody(tuple(replace(p, spi=bytes(len(p.spi))) for p in body.proposals))
    return body


@pytest.mark.parametrize("path", sorted((DATA / "captures").glob("*.pcap")), ids=lambda path: path.stem)
def test_what_chance_does_not_decide_is_octet_for_octet_what_strongswan_sent(path: Path, tmp_path: Path) -> None:
    options = CASES[path.stem].replace("C=IT, O=cptl", "C=GR, O=CPTL")
    _, seen = play(options, tmp_path / "a.pcap")
    compared = 0
    for theirs, ours in zip(read_capture(path), seen, strict=True):
        assert (theirs.packet.response, theirs.packet.from_initiator) == (
            ours.packet.response,
            ours.packet.from_initiator,
        )
        for body, own in zip(theirs.payloads, ours.payloads, strict=True):
            if not body.name.startswith(BY_CHANCE) or body.name == "N:REDIRECT_SUPPORTED":
                assert without_choices(own) == without_choices(body)
                compared += 1
    assert compared >= 15


def test_packets_of_eap_are_numbered_and_laid_out_as_strongswan_does(tmp_path: Path) -> None:
    case = "eap-mschapv2-rsa2048-nofrag"
    _, seen = play(CASES[case], tmp_path / "a.pcap")
    conversations = []
    for datagrams in (read_capture(DATA / "captures" / f"{case}.pcap"), seen):
        packets = [p.data for d in datagrams for p in d.payloads if isinstance(p, wire.EapBody)]
        # Code, length, type, operation, MS-Length and value size; identifiers as distances from those of the challenge.
        challenge = next(p for p in packets if len(p) > 6 and p[4] == 26)
        fields = [(p[0], len(p), p[4:6] if len(p) > 5 and p[4] == 26 else p[4:5]) for p in packets]
        methods = [(p[6] - challenge[6], p[7:9]) for p in packets if len(p) > 8 and p[4] == 26]
        numbers = [p[1] - challenge[1] for p in packets if p[4:5] != b"\x01"]
        conversations.append(
            (fields, methods, numbers, [p[9] for p in packets if len(p) > 9 and p[5:6] in b"\x01\x02"])
        )
    assert conversations[0] == conversations[1]


# -- The cryptography is real ----------------------------------------------------------------------------------


def talk_of(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Return the conversation behind a report."""
    talks: list[Talk] = []
    converse = exchange.converse

    def keep(*arguments: Any) -> Talk:
        talks.append(converse(*arguments))
        return talks[-1]

    monkeypatch.setattr(exchange, "converse", keep)
    ike, esp = parse_ike_list(options.pop("ike", "aes256-sha512-modp2048"), ""), parse_esp_list("aes256-sha512", "")
    exchange.exchange(ike, esp, load_profile("linux-strongswan-openssl", ()), **options)
    return talks[0]


class Decoded:
    """A conversation's octets, decrypted with the keys of the session that made them."""

    def __init__(self, talk: Talk) -> None:
        from capture_files import Reader

        self.session = Session(1, capture._prover(talk.initiator), capture._prover(talk.responder))
        self.octets: list[bytes] = []
        self.packets: list[wire.Packet] = []
        self.payloads: list[dict[str, Any]] = []
        reader = Reader()
        for turn in talk.turns:
            octets = self.session.datagrams(turn.datagram.message)[max(turn.datagram.fragment - 1, 0)]
            reader.keys = {spis: history[-1] for spis, history in self.session.sas().items()}
            if turn.datagram.message.exchange.name == "IKE_INTERMEDIATE" and turn.datagram.message.response:
                # This response was the last one under the keys before.
                reader.keys = {spis: history[-2] for spis, history in self.session.sas().items()}
            packet, payloads, _ = reader.read(octets)
            self.octets.append(octets)
            self.packets.append(packet)
            self.payloads.append({p.name: p for p in payloads})

    def of(self, exchange_name: str, *, response: bool) -> int:
        """Return the place of the first such message."""
        return next(
            n
            for n, p in enumerate(self.packets)
            if p.exchange_name == exchange_name and p.response == response and "AUTH" in self.payloads[n]
        )


def signed_octets(decoded: Decoded, *, by_initiator: bool, more: bytes = b"") -> tuple[bytes, int, str]:
    """Return what AUTH signs (RFC 7296 2.15), worked out anew; the place of AUTH, and the PRF's hash."""
    init = [n for n, p in enumerate(decoded.packets) if p.exchange_name == "IKE_SA_INIT"]
    request, response = init[-2:]
    own, peer = (request, response) if by_initiator else (response, request)
    place = decoded.of("IKE_AUTH", response=not by_initiator)
    keys = next(iter(decoded.session.sas().values()))[-1]
    name = PRFS[keys.suite.prf].hash
    identity = decoded.payloads[place]["IDi" if by_initiator else "IDr"].body()
    mac = hmac.digest(keys.proof[0 if by_initiator else 1], identity, name)
    return decoded.octets[own] + decoded.payloads[peer]["Nonce"].data + mac + more, place, name


def all_keys(keys: IkeKeys) -> bytes:
    return b"".join((keys.derivation, *keys.integrity, *keys.encryption, *keys.proof))


def test_the_keys_of_an_ike_sa_and_of_its_successor_follow_from_what_was_exchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ike = "aes256-sha256-x25519-ke1_ecp384"
    decoded = Decoded(talk_of({"ike": ike, "scenario": "rekey-ike", "fragmentation": False}, monkeypatch))
    (first, second), (fourth,) = decoded.session.sas().values()
    packets = {(p.exchange_name, p.response): n for n, p in reversed(list(enumerate(decoded.packets)))}

    def shared(name: str, group: int) -> bytes:
        """Return the secret of an exchange from the initiator's private value and what the responder sent."""
        request, response = packets[name, False], packets[name, True]
        packet = decoded.packets[request]
        of = (name, packet.spi_i, packet.spi_r, packet.message_id, packet.from_initiator, "request")
        pair = KeyPair(GROUPS[group], Draws(1), *of)
        assert decoded.payloads[request]["KE"].value == pair.public()
        return pair.shared(decoded.payloads[response]["KE"].value)

    def nonces(name: str) -> bytes:
        return b"".join(decoded.payloads[packets[name, response]]["Nonce"].data for response in (False, True))

    def expand(seed: bytes, name: str, spis: bytes) -> bytes:
        # prf+ is HKDF-Expand.
        length = first.suite.key_material_bytes()
        return HKDFExpand(hashes.SHA256(), length, nonces(name) + spis).derive(seed)

    # RFC 7296 2.14: prf(Ni | Nr, g^ir).
    spis = decoded.octets[packets["IKE_SA_INIT", True]][:16]
    seed = hmac.digest(nonces("IKE_SA_INIT"), shared("IKE_SA_INIT", 31), "sha256")
    assert all_keys(first) == expand(seed, "IKE_SA_INIT", spis)
    # RFC 9370 2.2.2: prf(SK_d, SK(1) | Ni | Nr).
    secret = shared("IKE_INTERMEDIATE", 20) + nonces("IKE_SA_INIT")
    assert all_keys(second) == expand(hmac.digest(first.derivation, secret, "sha256"), "IKE_SA_INIT", spis)
    # RFC 9370 2.2.4: prf(SK_d, g^ir | Ni | Nr | SK(1)), with the new SPIs.
    new = b"".join(decoded.payloads[packets["CREATE_CHILD_SA", r]]["SA"].proposals[0].spi for r in (False, True))
    secret = shared("CREATE_CHILD_SA", 31) + nonces("CREATE_CHILD_SA") + shared("IKE_FOLLOWUP_KE", 20)
    assert all_keys(fourth) == expand(hmac.digest(second.derivation, secret, "sha256"), "CREATE_CHILD_SA", new)


@pytest.mark.parametrize("by_initiator", [True, False])
@pytest.mark.parametrize("scenario", ["setup", "cookie", "invalid-ke"])
def test_auth_by_a_shared_key_is_computed_as_the_rfc_says(
    scenario: str, by_initiator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = talk_of({"scenario": scenario, "ike": "aes256-sha512-modp2048-ecp256"}, monkeypatch)
    octets, place, name = signed_octets(decoded := Decoded(talk), by_initiator=by_initiator)
    key = talk.initiator.policy.profiles[0].keys[0].local_key
    assert key is not None
    padded = hmac.digest(key.proof("pre-shared key of a capture"), b"Key Pad for IKEv2", name)
    assert decoded.payloads[place]["AUTH"].method == 2
    assert decoded.payloads[place]["AUTH"].data == hmac.digest(padded, octets, name)


def test_auth_by_a_certificate_is_verified_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = Decoded(talk_of({"auth": "rsa2048", "fragmentation": False}, monkeypatch))
    for by_initiator in (True, False):
        octets, place, _ = signed_octets(decoded, by_initiator=by_initiator)
        certificate = load_der_x509_certificate(decoded.payloads[place]["CERT"].data)
        auth = decoded.payloads[place]["AUTH"]
        assert auth.method == 14 and auth.data[0] == 15
        public: Any = certificate.public_key()
        public.verify(auth.data[16:], octets, padding.PKCS1v15(), hashes.SHA256())


def test_a_signature_with_another_key_is_not_that_of_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.exceptions import InvalidSignature

    talk = talk_of({"auth": "rsa2048", "fragmentation": False, "scenario": "auth-failed"}, monkeypatch)
    decoded = Decoded(talk)
    octets, place, _ = signed_octets(decoded, by_initiator=True)
    public: Any = load_der_x509_certificate(decoded.payloads[place]["CERT"].data).public_key()
    with pytest.raises(InvalidSignature):
        public.verify(decoded.payloads[place]["AUTH"].data[16:], octets, padding.PKCS1v15(), hashes.SHA256())


def test_an_additional_key_exchange_makes_new_keys_and_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"ike": "aes256-sha256-x25519-ke1_mlkem768-ke2_ecp256", "fragmentation": False}
    talk = talk_of(options, monkeypatch)
    decoded = Decoded(talk)
    (history,) = decoded.session.sas().values()
    assert len({keys.derivation for keys in history}) == 3
    # RFC 9242 3.3.2: A is the header and the generic header of SK with lengths as if nothing was encrypted.
    macs = [b"", b""]
    for number, packet in enumerate(decoded.packets):
        if packet.exchange_name != "IKE_INTERMEDIATE":
            continue
        first, content = wire.encode_payloads(tuple(decoded.payloads[number].values()))
        octets = decoded.octets[number]
        length = (28 + 4 + len(content)).to_bytes(4, "big")
        a = octets[:24] + length + bytes((first, 0)) + (4 + len(content)).to_bytes(2, "big")
        by = 0 if packet.from_initiator else 1
        keys = history[packet.message_id - 1]
        macs[by] = hmac.digest(keys.proof[by], macs[by] + a + content, "sha256")
    more = b"".join(macs) + (3).to_bytes(4, "big")
    octets, place, name = signed_octets(decoded, by_initiator=True, more=more)
    key = talk.initiator.policy.profiles[0].keys[0].local_key
    assert key is not None
    padded = hmac.digest(key.proof("pre-shared key of a capture"), b"Key Pad for IKEv2", name)
    assert decoded.payloads[place]["AUTH"].data == hmac.digest(padded, octets, name)


def test_nat_detection_names_the_real_addresses_unless_a_nat_is_feigned(tmp_path: Path) -> None:
    for scenario, real in (("setup", True), ("nat", False)):
        _, seen = play(f"{PSK} --scenario {scenario}", tmp_path / "a.pcap")
        first = seen[0].packet
        found = {p.name: p for p in first.payloads if isinstance(p, wire.NotifyBody)}
        spis = first.spi_i.to_bytes(8, "big") + bytes(8)
        address = bytes((192, 0, 2, 1)) + (500).to_bytes(2, "big")
        assert (found["N:NAT_DETECTION_SOURCE_IP"].data == hashlib.sha1(spis + address).digest()) is real


def test_a_redirection_repeats_the_nonce_of_the_client(tmp_path: Path) -> None:
    _, seen = play(f"{PSK} --scenario redirect-init", tmp_path / "a.pcap")
    nonce = next(p.data for p in seen[0].packet.payloads if isinstance(p, wire.NonceBody))
    (redirect,) = seen[1].packet.payloads
    assert isinstance(redirect, wire.NotifyBody)
    assert redirect.data == bytes((1, 4, 198, 51, 100, 2)) + nonce


def test_no_secret_stands_in_what_is_written(tmp_path: Path) -> None:
    report, _ = play(f"{PSK} --auth eap-mschapv2:rsa2048", tmp_path / "a.pcap")
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + json.dumps(report).encode()
    for secret in (b"any key", b"any password"):
        assert secret not in written and secret.hex().encode() not in written


# -- What is said about it -------------------------------------------------------------------------------------


def test_what_is_not_real_is_said(tmp_path: Path) -> None:
    report, _ = play(OTHERS["ML-KEM"], tmp_path / "a.pcap")
    assert any("drawn octets" in note and "ML-KEM" in note for note in report["capture"]["notes"])
    names = [Path(table).name for table in report["capture"]["tables"]]
    assert names == [f"a{TABLE}", f"a.intermediate-1{TABLE}"]
    report, _ = play(OTHERS["chacha"], tmp_path / "b.pcap")
    assert any("does not decrypt chacha20poly1305" in note for note in report["capture"]["notes"])
    report, _ = play(PSK, tmp_path / "c.pcap")
    assert report["capture"]["notes"] == []


def test_the_report_names_both_files(tmp_path: Path) -> None:
    done = run(PSK, "--pcap", str(tmp_path / "a.pcap"))
    assert done.exit_code == 0
    assert "4 packets in" in done.stdout and "a.ikev2_decryption_table" in done.stdout.replace("\n", "")
    assert "any key" not in done.stdout


# -- Bad input -------------------------------------------------------------------------------------------------


def test_a_folder_that_does_not_exist_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    done = run(PSK, "--pcap", str(tmp_path / "none" / "a.pcap"))
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "folder.pcap").mkdir()
    done = run(PSK, "--pcap", str(tmp_path / "folder.pcap"))
    assert done.exit_code == 2 and "Is a directory" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["folder.pcap"]


def test_the_name_of_the_table_is_not_taken_by_the_capture(tmp_path: Path) -> None:
    done = run(PSK, "--pcap", str(tmp_path / "a.ikev2_decryption_table"))
    assert done.exit_code == 2 and "another ending is needed" in done.stderr


def test_a_message_that_no_datagram_holds_is_refused(tmp_path: Path) -> None:
    options = f"{PSK} --auth mldsa87 --cert-bytes 60000,60000 --fragment off --initiator-id {'x' * 2000}"
    done = run(options, "--pcap", str(tmp_path / "a.pcap"))
    assert done.exit_code == 2 and "--fragment" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["dpkt", "cryptography"])
def test_a_missing_package_is_named_with_the_extra_that_has_it(package: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from flexvpn_sim.experiments.cli import app\n"
        f"app({['exchange', *shlex.split(PSK), '--hardware', 'isr4321', '--pcap', str(tmp_path / 'a.pcap')]!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"--pcap: a capture needs the package {package}" in done.stderr
    assert "flexvpn-sim[pcap]" in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_capture_no_package_of_the_extra_is_loaded() -> None:
    code = (
        "import sys\nfrom flexvpn_sim.experiments.cli import app\n"
        f"app({['exchange', *shlex.split(PSK), '--hardware', 'isr4321', '--json']!r}, standalone_mode=False)\n"
        "print([m for m in ('dpkt', 'cryptography') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


# -- Wireshark -------------------------------------------------------------------------------------------------

TSHARK = shutil.which("tshark")


def tshark(path: Path, table: str = TABLE) -> str:
    """Return what tshark says about a capture with one of its decryption tables."""
    assert TSHARK is not None
    settings_folder = path.with_name(f"settings{table}")
    settings_folder.mkdir(exist_ok=True)
    shutil.copy(path.with_name(path.stem + table), settings_folder / "ikev2_decryption_table")
    environment = {**os.environ, "WIRESHARK_CONFIG_DIR": str(settings_folder)}
    done = subprocess.run([TSHARK, "-r", str(path), "-V"], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


@pytest.mark.skipif(TSHARK is None, reason="the program tshark is not here")
def test_tshark_shows_every_payload_and_no_malformed_packet(tmp_path: Path) -> None:
    for case, options in {**CASES, **OTHERS}.items():
        if "ML-KEM" in case or case == "chacha":
            continue
        report, _ = play(options, tmp_path / "a.pcap")
        said = tshark(tmp_path / "a.pcap")
        for complaint in ("Malformed", "Expert Info", "incorrect", "BER Error", "Unreassembled"):
            assert complaint not in said, case
        encrypted = [row for row in report["messages"] if row["payloads"].startswith("SK")]
        assert said.count("[correct]") == len(encrypted), case
        # A fragmented message is shown whole once.
        first = [row["payloads"] for row in report["messages"] if row["fragment"] == 1]
        names = [name for text in first for name in re.findall(r"([A-Za-z0-9:_-]+)\(\d+\)", text)]
        expected = [name for name in names if name not in ("SK", "SKF")]
        lines = re.findall(r"^ *Payload: (.*)$", said, re.MULTILINE)
        inside = [line for line in lines if not line.startswith(("Encrypted", "Proposal", "Transform"))]
        assert len(inside) == len(expected), case


@pytest.mark.skipif(TSHARK is None, reason="the program tshark is not here")
def test_tshark_decrypts_intermediate_exchanges_with_the_table_of_their_own(tmp_path: Path) -> None:
    play(f"{OTHERS['ML-KEM']} --fragment off", tmp_path / "a.pcap")
    for table, correct in ((TABLE, [5, 6]), (f".intermediate-1{TABLE}", [3, 4])):
        frames = tshark(tmp_path / "a.pcap", table).split("\nFrame ")
        assert [n for n, frame in enumerate(frames, start=1) if "[correct]" in frame] == correct
