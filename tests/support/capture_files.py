"""Captures and their decryption tables, read for tests by means of the decoder under test."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dpkt

from flexvpn_sim.experiments.capture import _ENCRYPTIONS, _INTEGRITIES
from flexvpn_sim.models.ikev2.proposals import Suite
from flexvpn_sim.models.ikev2.wire import cipher
from flexvpn_sim.models.ikev2.wire.decode import decode, decode_payloads
from flexvpn_sim.models.ikev2.wire.keys import IkeKeys
from flexvpn_sim.models.ikev2.wire.packet import EncryptedBody, Packet, WirePayload

ENCRYPTIONS = {text: name for name, text in _ENCRYPTIONS.items()}
INTEGRITIES = {text: name for name, text in _INTEGRITIES.items()}
TABLE = ".ikev2_decryption_table"


@dataclass
class Seen:
    """One datagram: what it says, and its payloads, decrypted; a fragment but the last has none."""

    octets: bytes
    packet: Packet
    payloads: tuple[WirePayload, ...]
    ip_bytes: int
    udp_bytes: int
    ports: tuple[int, int]
    time_s: float
    inner: bytes = b""

    @property
    def text(self) -> str:
        return " ".join(map(str, self.payloads))


@dataclass
class Reader:
    """Reads datagrams of a conversation with the keys of a table."""

    keys: dict[tuple[int, int], IkeKeys] = field(default_factory=dict)
    pieces: dict[tuple[object, ...], dict[int, tuple[int, bytes]]] = field(default_factory=dict)

    def read(self, octets: bytes) -> tuple[Packet, tuple[WirePayload, ...], bytes]:
        packet = decode(octets)
        body = packet.payloads[-1] if packet.payloads else None
        if not isinstance(body, EncryptedBody):
            return packet, packet.payloads, b""
        inner = cipher.unprotect(octets, packet, self.keys[packet.spi_i, packet.spi_r])
        if not body.total:
            return packet, decode_payloads(body.first, inner), inner
        key = (packet.spi_i, packet.spi_r, packet.message_id, packet.response)
        pieces = self.pieces.setdefault(key, {})
        pieces[body.number] = body.first, inner
        if len(pieces) < body.total:
            return packet, (), inner
        whole = b"".join(pieces[number][1] for number in sorted(pieces))
        return packet, decode_payloads(pieces[1][0], whole), whole


def read_table(path: Path) -> dict[tuple[int, int], IkeKeys]:
    """Return the keys in a decryption table; what it does not hold is empty."""
    found = {}
    for row in csv.reader(path.read_text().splitlines()):
        e_i, e_r, a_i, a_r = (bytes.fromhex(row[column]) for column in (2, 3, 5, 6))
        suite = Suite(ENCRYPTIONS[row[4]], INTEGRITIES[row[7]], "sha256", 14)
        found[int(row[0], 16), int(row[1], 16)] = IkeKeys(suite, b"", (a_i, a_r), (e_i, e_r), (b"", b""))
    return found


def udp_packets(path: Path) -> Iterator[tuple[float, dpkt.ip.IP]]:
    """Yield time and IPv4 packet of everything in UDP."""
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        for time_s, octets in reader:
            ip = dpkt.ip.IP(octets) if reader.datalink() == 101 else dpkt.ethernet.Ethernet(octets).data
            if isinstance(ip, dpkt.ip.IP) and isinstance(ip.data, dpkt.udp.UDP):
                yield float(time_s), ip


def read_capture(path: Path) -> list[Seen]:
    """Return every IKE datagram of a capture, decrypted by the table beside it, if there is one."""
    table = path.with_name(path.stem + TABLE)
    reader = Reader(read_table(table) if table.exists() else {})
    seen = []
    for time_s, ip in udp_packets(path):
        data = bytes(ip.data.data)
        ports = ip.data.sport, ip.data.dport
        if 4500 in ports:
            if data[:4] != bytes(4):
                continue
            octets = data[4:]
        else:
            octets = data
        packet, payloads, inner = reader.read(octets)
        seen.append(Seen(octets, packet, payloads, ip.len, len(data), ports, time_s, inner))
    return seen
