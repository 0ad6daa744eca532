"""IKEv2 bytes: recorded conversations are read to the last field, everything that is written is read back."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import re
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from capture_files import read_capture, udp_packets
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.x509 import load_der_x509_certificate
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flexvpn_sim.models.algorithms import ENCRYPTIONS, GROUPS, INTEGRITIES, KEMS, PRFS, SIGNATURES
from flexvpn_sim.models.eap.packets import TYPES, Drawn, EapPacket
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2 import payloads as simulated
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.message import Exchange, Message
from flexvpn_sim.models.ikev2.policy import Certificate, Credential
from flexvpn_sim.models.ikev2.proposals import EspProposal, IkeProposal, Suite
from flexvpn_sim.models.ikev2.wire import cipher, der, keys, translate
from flexvpn_sim.models.ikev2.wire import packet as wire
from flexvpn_sim.models.ikev2.wire.decode import decode, decode_payloads
from flexvpn_sim.models.ikev2.wire.draws import Draws
from flexvpn_sim.models.ikev2.wire.groups import KeyPair, is_real, modp
from flexvpn_sim.models.ikev2.wire.session import Prover, Session
from flexvpn_sim.models.ikev2.wire.signatures import SigningKey
from flexvpn_sim.models.secret import Secret

DATA = Path(__file__).parent / "data"
CAPTURES = sorted((DATA / "captures").glob("*.pcap"))
TESTBED = Path(__file__).parents[2] / "shared" / "data" / "testbed" / "pcap"
DRAWS = Draws(7)


def recorded_rows() -> dict[str, list[dict[str, str]]]:
    lines = (DATA / "testbed_messages.csv").read_text().splitlines()
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        found.setdefault(row["case"], []).append(row)
    return found


# -- What strongSwan sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_conversation_is_decrypted_and_read_payload_by_payload(path: Path) -> None:
    rows = recorded_rows()[path.stem]
    seen = read_capture(path)
    assert len(seen) == len(rows)
    for datagram, row in zip(seen, rows, strict=True):
        packet = datagram.packet
        assert (packet.exchange_name, packet.message_id) == (row["exchange"], int(row["msgid"]))
        assert (datagram.udp_bytes, datagram.ip_bytes) == (int(row["udp_len"]), int(row["ip_len"]))
        recorded = re.sub(r"^SK\(\d+\)\{(?:iv=[^:]*: ?)?(.*)\}$", r"\1", row["payloads"]).strip()
        if recorded.startswith("SKF"):
            assert recorded.startswith(packet.payload_text())
        else:
            assert datagram.text == recorded


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_message_is_encoded_to_the_same_octets_again(path: Path) -> None:
    for datagram in read_capture(path):
        assert datagram.packet.encode() == datagram.octets
        if datagram.inner and datagram.payloads:
            assert wire.encode_payloads(datagram.payloads)[1] == datagram.inner


@pytest.mark.skipif(not TESTBED.exists(), reason="the whole testbed recordings are not here")
def test_all_recordings_of_the_testbed_are_read() -> None:
    count = 0
    for path in sorted(TESTBED.glob("*.pcap")):
        if path.stem.startswith("v1"):
            continue
        for datagram in read_capture(path):
            count += 1
            assert datagram.packet.encode() == datagram.octets
    assert count > 2000


def test_fields_of_a_recorded_set_up_mean_what_strongswan_was_told() -> None:
    seen = read_capture(DATA / "captures" / "virtual-ip-cp.pcap")
    of = {payload.name: payload for datagram in seen[2:4] for payload in datagram.payloads}
    assert isinstance(of["IDr"], wire.IdBody) and of["IDr"].data == b"HQ.cptl.local" and of["IDr"].id_type == 2
    assert isinstance(of["CP"], wire.CpBody) and of["CP"].cfg_type == 2
    assert isinstance(of["SA"], wire.SaBody)
    (proposal,) = of["SA"].proposals
    assert proposal.protocol == wire.PROTOCOL_ESP and len(proposal.spi) == 4
    assert [(t.kind, t.number, t.key_bits) for t in proposal.transforms] == [(1, 12, 256), (3, 14, 0), (5, 0, 0)]


def test_the_name_of_a_recorded_identity_is_encoded_as_strongswan_does() -> None:
    seen = read_capture(DATA / "captures" / "rsa2048-dn-ids.pcap")
    identities = {p.name: p for d in seen for p in d.payloads if isinstance(p, wire.IdBody)}
    for role, host in (("IDi", "BR1"), ("IDr", "HQ")):
        ours = translate.identity_octets(Identity("dn", f"C=GR, O=CPTL, CN={host}.cptl.local"))
        assert (identities[role].id_type, identities[role].data) == ours


def test_a_wrong_key_or_a_changed_octet_is_noticed() -> None:
    for name in ("dpd-gcm", "psk-3des-sha1-modp1024"):
        datagram = next(d for d in read_capture(DATA / "captures" / f"{name}.pcap") if d.inner)
        suite = Suite("aes-gcm-256", "", "sha256", 14) if "gcm" in name else Suite("3des", "sha1", "sha1", 2)
        length = 36 if "gcm" in name else 24
        wrong = keys.IkeKeys(suite, b"", (bytes(20),) * 2, (bytes(length),) * 2, (b"", b""))
        with pytest.raises(InputError, match="ICV is wrong"):
            cipher.unprotect(datagram.octets, datagram.packet, wrong)


# -- Malformed bytes -------------------------------------------------------------------------------------------

RECORDED = [d.octets for path in CAPTURES for d in read_capture(path)]
RECORDED_INNER = [
    (d.packet.payloads[-1].first, d.inner)  # type: ignore[attr-defined]
    for path in CAPTURES
    for d in read_capture(path)
    if d.inner and d.payloads
]


def reads_or_refuses(octets: bytes) -> None:
    try:
        packet = decode(octets)
    except InputError:
        return
    assert decode(packet.encode()) == packet


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_read_but_never_break_the_decoder(octets: bytes) -> None:
    reads_or_refuses(octets)
    # Also behind a header that is right.
    length = (28 + len(octets)).to_bytes(4, "big")
    for first in (*range(33, 49), 53, 99):
        reads_or_refuses(bytes(16) + bytes((first, 0x20, 34, 0x08)) + bytes(4) + length + octets)


@settings(max_examples=300)
@given(st.sampled_from(RECORDED), st.data())
def test_recorded_messages_that_are_cut_or_changed_never_break_the_decoder(octets: bytes, data: st.DataObject) -> None:
    changed = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    reads_or_refuses(bytes(changed))
    end = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(InputError):
        decode(octets[:end])
    # Cut, with a header that says so.
    if end >= 28:
        reads_or_refuses(octets[:24] + end.to_bytes(4, "big") + octets[28:end])


@settings(max_examples=300)
@given(st.sampled_from(RECORDED_INNER), st.data())
def test_decrypted_payloads_that_are_cut_or_changed_never_break_the_decoder(
    recorded: tuple[int, bytes], data: st.DataObject
) -> None:
    first, inner = recorded
    changed = bytearray(inner)
    changed[data.draw(st.integers(0, len(inner) - 1))] = data.draw(st.integers(0, 255))
    for octets in (bytes(changed), inner[: data.draw(st.integers(0, len(inner) - 1))]):
        with suppress(InputError):
            decode_payloads(first, octets)


@settings(max_examples=200)
@given(st.binary(max_size=120), st.sampled_from(["aes-cbc-256", "3des", "null", "aes-gcm-128", "chacha20poly1305"]))
def test_an_encrypted_payload_of_random_bytes_is_refused(data: bytes, encryption: str) -> None:
    suite = Suite(encryption, "" if ENCRYPTIONS[encryption].aead else "sha256", "sha256", 19)
    octets = wire.Packet(1, 2, 35, 1, False, True, (wire.EncryptedBody(33, data),)).encode()
    with pytest.raises(InputError):
        cipher.unprotect(octets, decode(octets), keys.ike_keys(suite, b"seed", b"nonces", 1, 2))


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "the IKE header needs 28 bytes, 0 are left"),
        (bytes(16) + bytes((33, 0x10, 2, 0)) + bytes(4) + (28).to_bytes(4, "big"), "only version 2"),
        (bytes(16) + bytes((0, 0x20, 34, 8)) + bytes(4) + (40).to_bytes(4, "big"), "the header tells 40 bytes, 28 are"),
        (bytes(16) + bytes((41, 0x20, 34, 8)) + bytes(4) + (32).to_bytes(4, "big") + b"\0\0\0\x03", "payload 1 (N)"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(octets: bytes, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        decode(octets)


# -- Round trips -----------------------------------------------------------------------------------------------

octets16 = st.integers(0, 0xFFFF)
transforms = st.builds(
    wire.Transform, st.integers(1, 12), octets16, st.sampled_from([b"", bytes((0x80, 14, 1, 0)), b"\x00\x07\x00\x01z"])
)
proposals = st.integers(0, 8).flatmap(
    lambda n: st.builds(
        wire.Proposal,
        st.integers(1, 255),
        st.integers(1, 3),
        st.binary(min_size=n, max_size=n),
        st.lists(transforms, max_size=5).map(tuple),
    )
)
selector_fields = st.sampled_from([(7, 4), (8, 16)]).flatmap(
    lambda kind: st.builds(
        wire.SelectorField,
        st.just(kind[0]),
        st.integers(0, 255),
        octets16,
        octets16,
        st.binary(min_size=kind[1], max_size=kind[1]),
        st.binary(min_size=kind[1], max_size=kind[1]),
    )
)
eap_packets = st.binary(max_size=60).map(lambda data: b"\x01\x02" + (len(data) + 4).to_bytes(2, "big") + data)
spi_lists = st.sampled_from([4, 8]).flatmap(
    lambda n: st.lists(st.binary(min_size=n, max_size=n), max_size=4).map(tuple)
)
some_bytes = st.binary(max_size=80)
wire_payloads = st.one_of(
    st.builds(wire.SaBody, st.lists(proposals, min_size=1, max_size=4).map(tuple)),
    st.builds(wire.KeBody, octets16, some_bytes),
    st.builds(wire.IdBody, st.sampled_from([wire.ID_I, wire.ID_R]), st.integers(0, 255), some_bytes),
    st.builds(wire.CertBody, st.integers(0, 255), some_bytes),
    st.builds(wire.CertReqBody, st.integers(0, 255), some_bytes),
    st.builds(wire.AuthBody, st.integers(0, 255), some_bytes),
    st.builds(wire.NonceBody, some_bytes),
    st.builds(wire.NotifyBody, octets16, some_bytes, st.integers(0, 3), st.binary(max_size=8)),
    st.builds(wire.DeleteBody, st.integers(1, 3), spi_lists),
    st.builds(wire.VendorIdBody, some_bytes),
    st.builds(wire.TsBody, st.sampled_from([wire.TS_I, wire.TS_R]), st.lists(selector_fields, max_size=3).map(tuple)),
    st.builds(
        wire.CpBody,
        st.integers(1, 4),
        st.lists(st.tuples(st.integers(0, 0x7FFF), st.binary(max_size=20)), max_size=5).map(tuple),
    ),
    st.builds(wire.EapBody, eap_packets),
    st.builds(wire.UnknownBody, st.integers(100, 200), st.booleans(), some_bytes),
)
packets = st.builds(
    wire.Packet,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from([int(e) for e in Exchange]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.lists(wire_payloads, max_size=6).map(tuple),
)


@given(packets)
def test_any_packet_is_read_back_from_its_octets(packet: wire.Packet) -> None:
    octets = packet.encode()
    assert decode(octets) == packet
    assert len(octets) == 28 + sum(payload.size for payload in packet.payloads)


suites = st.builds(
    lambda encryption, integrity, prf: Suite(encryption, "" if ENCRYPTIONS[encryption].aead else integrity, prf, 19),
    st.sampled_from([name for name in ENCRYPTIONS if "gmac" not in name]),
    st.sampled_from(list(INTEGRITIES)),
    st.sampled_from(list(PRFS)),
)


@given(packets, suites, st.sampled_from([(0, 0), (2, 3)]))
def test_what_is_encrypted_has_the_length_of_the_size_model_and_is_decrypted(
    packet: wire.Packet, suite: Suite, fragment: tuple[int, int]
) -> None:
    secret = keys.ike_keys(suite, b"seed", b"nonces", packet.spi_i, packet.spi_r)
    first, inner = wire.encode_payloads(packet.payloads)
    iv = DRAWS.octets(cipher.iv_bytes(suite), "IV")
    octets = cipher.protect(packet, secret, first, inner, iv, fragment)
    numbers = 4 if fragment[1] else 0
    assert len(octets) == 28 + suite.protected_bytes(len(inner)) + numbers
    outside = decode(octets)
    body = outside.payloads[0]
    assert isinstance(body, wire.EncryptedBody) and (body.number, body.total) == fragment
    assert cipher.unprotect(octets, outside, secret) == inner
    assert decode_payloads(body.first, inner) == packet.payloads
    # Every octet counts: header, payload header, IV, content, ICV. The null cipher's too.
    spoilt = bytearray(octets)
    spoilt[DRAWS.number(16, len(octets)) % 8] ^= 1
    with pytest.raises(InputError, match="ICV is wrong"):
        cipher.unprotect(bytes(spoilt), outside, secret)


# -- Messages of the simulation --------------------------------------------------------------------------------

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=40)
dn_parts = st.tuples(
    st.sampled_from(["C", "ST", "L", "O", "OU", "CN", "E", "DC", "UID", "XY"]), st.text(max_size=40).map(str.strip)
).filter(lambda part: "," not in part[1] and part[1].isprintable())
identities = st.one_of(
    st.builds(Identity, st.just("fqdn"), names),
    st.builds(Identity, st.just("email"), names.map(lambda name: f"{name}@example.org")),
    st.builds(Identity, st.just("key-id"), st.text(min_size=1, max_size=30)),
    st.builds(Identity, st.just("address"), st.integers(0, 2**32 - 1).map(lambda n: str(IPv4Address(n)))),
    st.builds(
        Identity,
        st.just("dn"),
        st.lists(dn_parts, min_size=1, max_size=6).map(lambda parts: ", ".join(f"{k}={v}" for k, v in parts)),
    ),
)


def some(names: Any, n: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(list(names)), min_size=1, max_size=n, unique=True).map(tuple)


additional = st.lists(some([*KEMS.values(), GROUPS[19]]), max_size=3).map(tuple)
ike_proposals = st.builds(IkeProposal, some(ENCRYPTIONS), some(INTEGRITIES), some(PRFS), some(GROUPS), additional)
esp_proposals = st.builds(
    EspProposal,
    some(ENCRYPTIONS),
    some(INTEGRITIES),
    some([False, True]),
    st.one_of(st.just(()), some(GROUPS)),
)
selectors = st.builds(
    simulated.Selector,
    st.integers(0, 255),
    st.integers(0, 2**32 - 1).map(lambda n: str(IPv4Address(n))),
    st.integers(0, 2**32 - 1).map(lambda n: str(IPv4Address(n))),
)
eap_parts = st.lists(
    st.one_of(st.binary(max_size=40), st.builds(Drawn, st.integers(0, 300), st.just(("name",)))), max_size=4
).map(tuple)
plain_payloads = st.one_of(
    st.builds(simulated.SaPayload, st.lists(ike_proposals, min_size=1, max_size=3).map(tuple), st.sampled_from([0, 8])),
    st.builds(simulated.SaPayload, st.lists(esp_proposals, min_size=1, max_size=3).map(tuple), st.just(4)),
    st.builds(simulated.NoncePayload, st.integers(0, 2**64 - 1), st.integers(16, 256)),
    st.builds(simulated.IdPayload, st.sampled_from(["IDi", "IDr"]), identities),
    st.builds(simulated.NotifyPayload, st.sampled_from(list(simulated.NOTIFY_TYPES)), st.integers(0, 64), st.just(0)),
    st.builds(simulated.NotifyPayload, st.just("REKEY_SA"), st.just(0), st.just(4), st.integers(0, 2**32 - 1)),
    st.builds(simulated.DeletePayload, st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple)),
    st.builds(simulated.VendorIdPayload, names, st.integers(1, 64)),
    st.builds(
        simulated.TsPayload, st.sampled_from(["TSi", "TSr"]), st.lists(selectors, min_size=1, max_size=3).map(tuple)
    ),
    st.builds(
        simulated.ConfigurationPayload,
        st.sampled_from(["REQUEST", "REPLY", "SET", "ACK"]),
        st.lists(
            st.builds(
                simulated.ConfigurationAttribute,
                st.just("name"),
                st.sampled_from([1, 3, 7, 13]),
                st.sampled_from([0, 4, 300]),
                st.binary(max_size=8),
            ),
            max_size=4,
        ).map(tuple),
    ),
    st.builds(simulated.CertReqPayload, st.lists(names, min_size=1, max_size=3).map(tuple)),
    st.builds(simulated.KePayload, st.sampled_from([g for g in GROUPS if GROUPS[g].bits <= 2048])),
    st.builds(simulated.KePayload, st.sampled_from([35, 36, 37]), st.sampled_from([768, 800, 1568])),
    st.builds(
        simulated.EapPayload,
        st.builds(EapPacket, st.sampled_from(["request", "response"]), names, st.sampled_from(list(TYPES)), eap_parts),
    ),
)


@settings(max_examples=200)
@given(st.lists(plain_payloads, min_size=1, max_size=6).map(tuple), st.integers(0, 2**32 - 1))
def test_the_size_of_a_simulated_message_is_the_length_of_its_octets(
    payloads: tuple[simulated.Payload, ...], message_id: int
) -> None:
    message = Message(Exchange.IKE_SA_INIT, 1, 0, message_id, False, True, payloads)
    (octets,) = Session(3).datagrams(message)
    assert len(octets) == message.ike_bytes
    packet = decode(octets)
    assert packet.encode() == octets
    # The decoder knows no vendor by name; sizes and everything else are the simulation's.
    expected = re.sub(r"VID:[^(]*\(", "VID(", message.payload_text())
    assert packet.payload_text() == expected


def read_back(body: wire.WirePayload) -> simulated.Payload | None:
    """Return the payload of the simulation that octets say; None for one whose octets are hashes or drawn."""
    match body:
        case wire.SaBody():
            spi = body.proposals[0].spi
            found = tuple(_proposal(p) for p in body.proposals)
            return simulated.SaPayload(found, len(spi), int.from_bytes(spi, "big"))  # type: ignore[arg-type]
        case wire.KeBody():
            known = body.group in GROUPS and GROUPS[body.group].public_bytes == len(body.value)
            return simulated.KePayload(body.group, 0 if known else len(body.value))
        case wire.NonceBody():
            return simulated.NoncePayload(int.from_bytes(body.data[:8], "big"), len(body.data))
        case wire.IdBody() if body.id_type != 9:
            kinds: dict[int, Any] = {number: kind for kind, number in translate.ID_TYPES.items()}
            text = str(IPv4Address(body.data)) if body.id_type == 1 else body.data.decode()
            return simulated.IdPayload("IDi" if body.kind == wire.ID_I else "IDr", Identity(kinds[body.id_type], text))
        case wire.NotifyBody() if not body.name.startswith(("N:NAT", "N:SIG", "N:REDIRECT")):
            value = int.from_bytes(body.spi or body.data[:8], "big")
            return simulated.NotifyPayload(body.name.removeprefix("N:"), len(body.data), len(body.spi), value)
        case wire.DeleteBody():
            return simulated.DeletePayload(tuple(int.from_bytes(spi, "big") for spi in body.spis))
        case wire.TsBody():
            ranges = ((s.protocol, str(IPv4Address(s.first)), str(IPv4Address(s.last))) for s in body.selectors)
            role = "TSi" if body.kind == wire.TS_I else "TSr"
            return simulated.TsPayload(role, tuple(simulated.Selector(*one) for one in ranges))
        case _:
            return None


def _proposal(proposal: wire.Proposal) -> IkeProposal | EspProposal:
    def numbers(kind: int) -> list[wire.Transform]:
        return [t for t in proposal.transforms if t.kind == kind]

    def names(table: dict[str, Any], kind: int) -> tuple[str, ...]:
        by_number = {(a.number, getattr(a, "key_bits", 0)): name for name, a in table.items()}
        return tuple(by_number[t.number, t.key_bits] for t in numbers(kind))

    encryption, integrity = names(ENCRYPTIONS, wire.ENCR), names(INTEGRITIES, wire.INTEG)
    groups = tuple(t.number for t in numbers(wire.KE_METHOD))
    if proposal.protocol == wire.PROTOCOL_ESP:
        esn = tuple(bool(t.number) for t in numbers(wire.ESN))
        return EspProposal(encryption, integrity, esn, groups)
    methods = {m.number: m for m in (*GROUPS.values(), *KEMS.values())}
    additional = tuple(tuple(methods[t.number] for t in numbers(kind)) for kind in range(wire.ADDKE1, wire.ADDKE1 + 7))
    while additional and not additional[-1]:
        additional = additional[:-1]
    return IkeProposal(encryption, integrity, names(PRFS, wire.PRF), groups, additional)


@settings(max_examples=300)
@given(st.lists(plain_payloads, min_size=1, max_size=6).map(tuple))
def test_what_the_simulation_says_is_what_is_read_from_its_octets(payloads: tuple[simulated.Payload, ...]) -> None:
    (octets,) = Session(3).datagrams(Message(Exchange.IKE_SA_INIT, 1, 0, 0, False, True, payloads))
    for sent, body in zip(payloads, decode(octets).payloads, strict=True):
        found = read_back(body)
        assert found is None or found == sent


def test_a_response_gives_the_chosen_proposal_the_number_that_it_had() -> None:
    offered = [IkeProposal(("aes-cbc-256",), ("sha256",), ("sha256",), (group,)) for group in (14, 19, 31)]
    session = Session(1)
    nonce, exchanged = simulated.NoncePayload(5, 32), simulated.KePayload(14)
    request = (simulated.SaPayload(tuple(offered), 0), exchanged, nonce)
    session.datagrams(Message(Exchange.IKE_SA_INIT, 1, 0, 0, False, True, request))
    answer = (simulated.SaPayload((offered[1],), 0), simulated.KePayload(19), nonce)
    response = Message(Exchange.IKE_SA_INIT, 1, 2, 0, True, False, answer)
    (octets,) = session.datagrams(response)
    body = decode(octets).payloads[0]
    assert isinstance(body, wire.SaBody) and [p.number for p in body.proposals] == [2]


@given(identities)
def test_an_identity_is_as_long_as_the_simulation_counts(identity: Identity) -> None:
    assert len(translate.identity_octets(identity)[1]) == identity.data_bytes()


# -- Keys ------------------------------------------------------------------------------------------------------


@given(st.sampled_from(["sha1", "sha256", "sha384", "sha512"]), st.binary(min_size=1), st.binary(), st.integers(1, 500))
def test_prf_plus_is_hkdf_expand(name: str, key: bytes, seed: bytes, n_bytes: int) -> None:
    # RFC 5869 2.3 took over the construction of RFC 7296 2.13; the library checks its vectors.
    algorithm = {h.name: h for h in (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())}[name]
    assert keys.prf_plus(name, key, seed, n_bytes) == HKDFExpand(algorithm, n_bytes, seed).derive(key)


def test_prf_gives_the_published_vectors_of_hmac() -> None:
    # source: RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert keys.prf("sha256", b"Jefe", b"what do ya want for nothing?").hex() == expected


@given(suites)
def test_keys_have_their_lengths_and_use_up_the_key_material(suite: Suite) -> None:
    made = keys.ike_keys(suite, b"seed", b"nonces", 1, 2)
    parts = (made.derivation, *made.integrity, *made.encryption, *made.proof)
    stream = keys.prf_plus(suite.prf, b"seed", b"nonces" + bytes(7) + b"\1" + bytes(7) + b"\2", 2000)
    assert b"".join(parts) == stream[: suite.key_material_bytes()]
    assert "seed" not in repr(made) and made.derivation.hex() not in repr(made)


@pytest.mark.parametrize("number", [g for g in GROUPS if GROUPS[g].bits <= 4096 and is_real(GROUPS[g])])
def test_both_ends_of_a_key_exchange_find_the_same_secret(number: int) -> None:
    group = GROUPS[number]
    here, there = KeyPair(group, DRAWS, "here"), KeyPair(group, DRAWS, "there")
    assert len(here.public()) == group.public_bytes
    assert here.shared(there.public()) == there.shared(here.public())
    assert here.shared(there.public()) != there.shared(there.public())
    # The seed decides.
    assert KeyPair(group, Draws(7), "here").public() == here.public()
    assert KeyPair(group, Draws(8), "here").public() != here.public()


@pytest.mark.parametrize("number", [g for g in GROUPS if GROUPS[g].kind == "modp"])
def test_modp_primes_are_prime_with_the_generator_in_the_large_subgroup(number: int) -> None:
    prime, generator = modp(number)
    assert prime.bit_length() == GROUPS[number].bits
    # source: RFC 5114 2.1 to 2.3, the orders of the subgroups
    orders = {
        22: 0xF518AA8781A8DF278ABA4E7D64B7CB9D49462353,
        23: 0x801C0D34C58D93FE997177101F80535A4738CEBCBF389A99B36371EB,
        24: 0x8CF83642A709A097B447997640129DA299B1A47D1EB3750BA308B0FE64F5FBD3,
    }
    if number in orders:
        order = orders[number]
        assert (prime - 1) % order == 0 and pow(generator, order, prime) == 1
    elif GROUPS[number].bits <= 4096:
        # Safe primes, of which 2 is a quadratic residue: p = 7 mod 8.
        assert pow(2, prime - 1, prime) == 1 and pow(2, (prime - 1) // 2, prime) == 1
        assert pow(3, (prime - 1) // 2 - 1, (prime - 1) // 2) == 1
    # source: RFC 2409 6.2 and RFC 3526 3, ends of the hexadecimal numbers
    ends = {2: "ECE65381FFFFFFFFFFFFFFFF", 14: "8AACAA68FFFFFFFFFFFFFFFF"}
    assert f"{prime:X}".endswith(ends.get(number, ""))


# -- Signatures and certificates -------------------------------------------------------------------------------

SIGNING = [name for name, s in SIGNATURES.items() if s.kind != "mldsa" and s.bits <= 4096]


@pytest.mark.parametrize("algorithm", SIGNING)
def test_signatures_are_verified_by_the_library_and_have_their_lengths(algorithm: str) -> None:
    key, signature = SigningKey(algorithm, DRAWS, "end"), SIGNATURES[algorithm]
    public: Any = serialization.load_der_public_key(key.key_info())
    for octets in (b"one", b"another"):
        made, plain = key.sign(octets), None
        assert len(made) == signature.signature_bytes
        if signature.kind == "eddsa":
            public.verify(made, octets)
            continue
        plain = key.sign_plainly(octets)
        assert len(plain) == signature.plain_bytes
        if signature.kind == "rsa":
            public.verify(made, octets, padding.PKCS1v15(), hashes.SHA256())
            public.verify(plain, octets, padding.PKCS1v15(), hashes.SHA1())
        else:
            algorithm_hash = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[signature.bits]
            public.verify(made, octets, ec.ECDSA(algorithm_hash))
    assert len(key.algorithm_identifier()) == signature.algorithm_identifier_bytes
    assert SigningKey(algorithm, Draws(7), "end").sign(b"one") == key.sign(b"one")


@pytest.mark.parametrize("algorithm", ["rsa2048", "ecdsa256", "ecdsa384", "ed25519", "mldsa44"])
@pytest.mark.parametrize("subject", [Identity("fqdn", "HQ.cptl.local"), Identity("dn", "C=IT, O=cptl, CN=HQ")])
def test_a_certificate_has_the_length_that_was_asked_for_and_is_signed_by_its_ca(
    algorithm: str, subject: Identity
) -> None:
    signature = SIGNATURES[algorithm]
    least = signature.public_key_bytes + signature.signature_bytes + 280
    for der_bytes in (*range(least, least + 40, 7), 3000 + least, 65_000):
        certificate = Certificate(subject, algorithm, der_bytes, "CA 1", algorithm, Secret("key"))
        session = Session(1, Prover(credential=Credential((certificate,), Secret("key"))))
        message = Message(Exchange.IKE_SA_INIT, 1, 0, 0, False, True, (simulated.CertPayload(certificate),))
        (octets,) = session.datagrams(message)
        (body,) = decode(octets).payloads
        assert isinstance(body, wire.CertBody) and len(body.data) == der_bytes
        assert not any("too short" in note for note in session.notes)
        read = load_der_x509_certificate(body.data)
        assert "HQ" in read.subject.rfc4514_string() and read.issuer.rfc4514_string() == "CN=CA 1"
        if algorithm == "mldsa44":
            continue
        authority: Any = serialization.load_der_public_key(session._authority("CA 1").key_info())
        if signature.kind == "eddsa":
            authority.verify(read.signature, read.tbs_certificate_bytes)
        elif signature.kind == "rsa":
            authority.verify(read.signature, read.tbs_certificate_bytes, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert read.signature_hash_algorithm is not None
            authority.verify(read.signature, read.tbs_certificate_bytes, ec.ECDSA(read.signature_hash_algorithm))


def test_a_chain_leads_to_the_trust_anchor() -> None:
    middle = Certificate(Identity("dn", "O=cptl, CN=Sub CA"), "ecdsa384", 700, "Root", "ed25519", Secret("middle"))
    leaf = Certificate(Identity("fqdn", "HQ"), "ed25519", 600, "O=cptl, CN=Sub CA", "ecdsa384", Secret("leaf"))
    session = Session(1, Prover(credential=Credential((leaf, middle), Secret("leaf"))))
    payloads = tuple(simulated.CertPayload(certificate) for certificate in (leaf, middle))
    (octets,) = session.datagrams(Message(Exchange.IKE_SA_INIT, 1, 0, 0, False, True, payloads))
    below, above = (load_der_x509_certificate(p.body()[1:]) for p in decode(octets).payloads)
    below.verify_directly_issued_by(above)
    assert above.issuer.rfc4514_string() == "CN=Root"


def test_a_certificate_that_is_too_short_for_its_key_is_said_to_be_none() -> None:
    certificate = Certificate(Identity("fqdn", "HQ"), "rsa2048", 200, "CA 1", "rsa2048", Secret("key"))
    session = Session(1)
    message = Message(Exchange.IKE_SA_INIT, 1, 0, 0, False, True, (simulated.CertPayload(certificate),))
    (octets,) = session.datagrams(message)
    assert len(octets) == message.ike_bytes
    assert any("too short" in note for note in session.notes)


# -- Draws -----------------------------------------------------------------------------------------------------


@given(st.integers(2, 2**600), st.integers(0, 100))
def test_a_private_value_lies_below_its_limit(limit: int, name: int) -> None:
    assume(limit > 2)
    assert 1 <= DRAWS.below(limit, name) < limit


def test_draws_of_other_names_and_seeds_are_others() -> None:
    assert DRAWS.octets(20, "a", 1) != DRAWS.octets(20, "a", 2)
    assert DRAWS.octets(20, "a", 1) != Draws(8).octets(20, "a", 1)
    assert DRAWS.octets(20, "a", 1) == DRAWS.octets(30, "a", 1)[:20]


def test_der_lengths_take_the_long_form_where_they_must() -> None:
    # X.690 8.1.3: 127 in one octet, 128 and 256 in two and three.
    assert [len(der.tlv(4, bytes(n))) - n for n in (127, 128, 255, 256)] == [2, 3, 3, 4]
    assert der.oid("1.2.840.113549.1.1.11").hex() == "06092a864886f70d01010b"
    assert der.integer(128).hex() == "02020080"


def test_a_vendor_id_that_is_known_is_the_real_one() -> None:
    # source: the vendor ID of Cisco's fragmentation as seen on the wire is the MD5 hash of its name
    body = translate.plain_payload(simulated.VendorIdPayload("FRAGMENTATION", 16), DRAWS)
    assert isinstance(body, wire.VendorIdBody) and body.data.hex() == "4048b7d56ebce88525e7de7f00d6c2d3"
    named = translate.plain_payload(simulated.VendorIdPayload("FLEXVPN-SUPPORTED", 17), DRAWS)
    assert isinstance(named, wire.VendorIdBody) and named.data == b"FLEXVPN-SUPPORTED"


def test_nat_detection_is_the_hash_of_the_rfc() -> None:
    octets = (
        (5).to_bytes(8, "big") + (6).to_bytes(8, "big") + IPv4Address("192.0.2.1").packed + (500).to_bytes(2, "big")
    )
    value = int(IPv4Address("192.0.2.1")) << 16 | 500
    assert translate.nat_hash(5, 6, value, 20) == hashlib.sha1(octets).digest()


def test_nat_detection_of_strongswan_is_found_anew_from_its_addresses() -> None:
    path = DATA / "captures" / "mobike-move.pcap"
    (_, ip), seen = next(udp_packets(path)), read_capture(path)[0]
    found = {p.name: p for p in seen.payloads if isinstance(p, wire.NotifyBody)}
    for name, address, port in (("SOURCE", ip.src, ip.data.sport), ("DESTINATION", ip.dst, ip.data.dport)):
        value = int.from_bytes(address, "big") << 16 | port
        data = found[f"N:NAT_DETECTION_{name}_IP"].data
        assert data == translate.nat_hash(seen.packet.spi_i, seen.packet.spi_r, value, 20)


def test_reserved_bits_are_ignored() -> None:
    # RFC 7296 2.5 and 3.15.1: here the first bit of an attribute, and the critical bit of a payload that is known.
    octets = bytes((0, 0x80)) + (12).to_bytes(2, "big") + bytes((1, 0, 0, 0)) + bytes((0x80, 3, 0, 0))
    assert decode_payloads(wire.CONFIGURATION, octets) == (wire.CpBody(1, ((3, b""),)),)


def test_payload_classes_are_not_changed_once_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        wire.NonceBody(b"x").data = b"y"  # type: ignore[misc]
