"""A conversation as a capture for Wireshark: a pcap file with what is really encrypted, and the keys beside it.

The decryption table has the form that Wireshark reads (Preferences, Protocols, ISAKMP, "IKEv2 Decryption Table"; in
its folder of settings the file is called ``ikev2_decryption_table``). It holds session keys of the simulated exchange,
never a pre-shared key or password. Packets have no link layer (link type 101); times count from the start of the
conversation.

What this leaves out: IP fragments (a datagram is one packet, however long), NAT keepalives, ESP packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from ..models.errors import InputError
from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.message import NAT_T_PORT, NON_ESP_MARKER_BYTES, Datagram
from ..models.ikev2.proposals import Suite
from ..models.ikev2.sa import NS_PER_S
from ..models.ikev2.wire.keys import IkeKeys
from ..models.ikev2.wire.library import library
from ..models.ikev2.wire.session import Prover, Session
from .conversation import Talk
from .output_files import write_atomically

#: Ending of the table's file name, after the name of the capture.
TABLE_SUFFIX = ".ikev2_decryption_table"
#: LINKTYPE_RAW: packets begin with their IPv4 or IPv6 header.
_LINK_TYPE = 101
_SNAP_BYTES = 65535
_TTL = 64
#: Longest UDP payload of an IPv4 packet. [bytes]
_UDP_MAX_BYTES = 65535 - 28

#: Names of Wireshark's table (epan/dissectors/packet-isakmp.c, as strongSwan's own tables have them).
_ENCRYPTIONS = {
    "3des": "3DES [RFC2451]",
    "null": "NULL [RFC2410]",
    **{f"aes-cbc-{bits}": f"AES-CBC-{bits} [RFC3602]" for bits in (128, 192, 256)},
    **{f"aes-ctr-{bits}": f"AES-CTR-{bits} [RFC5930]" for bits in (128, 192, 256)},
    **{
        f"aes-{mode}{'' if icv == 16 else icv}-{bits}": f"AES-{mode.upper()}-{bits} with {icv} octet ICV [RFC5282]"
        for mode in ("gcm", "ccm")
        for icv in (8, 12, 16)
        for bits in (128, 192, 256)
    },
}
_INTEGRITIES = {
    "": "NONE [RFC4306]",
    "md5": "HMAC_MD5_96 [RFC2403]",
    "sha1": "HMAC_SHA1_96 [RFC2404]",
    "sha256": "HMAC_SHA2_256_128 [RFC4868]",
    "sha384": "HMAC_SHA2_384_192 [RFC4868]",
    "sha512": "HMAC_SHA2_512_256 [RFC4868]",
    "md5-128": "HMAC_MD5_128 [RFC4595]",
    "sha1-160": "HMAC_SHA1_160 [RFC4595]",
    "sha256-96": "HMAC_SHA2_256_96 [draft-ietf-ipsec-ciph-sha-256-00]",
}


@dataclass(frozen=True, slots=True)
class Capture:
    """What was written. ``notes`` say in sentences what is not real and what Wireshark will not show."""

    pcap: Path
    tables: tuple[Path, ...]
    packets: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        tables = [str(path) for path in self.tables]
        return {"pcap": str(self.pcap), "tables": tables, "packets": self.packets, "notes": list(self.notes)}


def write_capture(talk: Talk, path: Path, seed: int) -> Capture:
    """Write a conversation as ``path`` and its decryption tables beside it, all of them or none.

    With IKE_INTERMEDIATE an IKE SA has other keys after each exchange, and Wireshark takes one set for an SA: the table
    has the last one, and another table (``.intermediate-N``) those that protect the N-th IKE_INTERMEDIATE exchange.

    Raises InputError when the packages of the extra ``pcap`` are missing, when a message is too long for UDP, and when
    the files cannot be written.
    """
    for module in ("dpkt", "cryptography"):
        library(module)
    session = Session(seed, _prover(talk.initiator), _prover(talk.responder))
    content = BytesIO()
    writer = library("dpkt.pcap").Writer(content, snaplen=_SNAP_BYTES, linktype=_LINK_TYPE, nano=True)
    for packet, sent_ns in _packets(talk, session):
        writer.writepkt(packet, Decimal(sent_ns) / NS_PER_S)
    tables, notes = _tables(session)
    beside = {path.with_name(path.stem + ending): text.encode() for ending, text in tables.items()}
    if path in beside:
        raise InputError(f"'{path}' is the name of the decryption table, another ending is needed", "--pcap")
    write_atomically({path: content.getvalue(), **beside})
    return Capture(path, tuple(beside), len(talk.turns), (*session.notes, *notes))


def _prover(end: Endpoint) -> Prover:
    profile = end.policy.profiles[0]
    key = profile.keys[0].local_key if profile.keys else None
    ppk = profile.ppks[0].key if profile.ppks else None
    return Prover(key, profile.authentication.credential, ppk)


def _packets(talk: Talk, session: Session) -> Iterator[tuple[bytes, int]]:
    """Yield each IP packet with the time at which it is sent. [ns]"""
    for number, turn in enumerate(talk.turns, start=1):
        datagram = turn.datagram
        if datagram.udp_len > _UDP_MAX_BYTES:
            message = f"a message of {datagram.udp_len} bytes does not fit a UDP datagram: let --fragment cut it"
            raise InputError(message, "--pcap")
        octets = session.datagrams(datagram.message)[max(datagram.fragment - 1, 0)]
        yield ip_packet(datagram, octets, number), turn.sent_ns


def ip_packet(datagram: Datagram, ike: bytes, number: int) -> bytes:
    """Return the IP packet around an IKE message; ``number`` is its identification in IPv4."""
    dpkt = library("dpkt")
    ports = datagram.source_port, datagram.destination_port
    marker = bytes(NON_ESP_MARKER_BYTES) if NAT_T_PORT in ports else b""
    data = marker + ike
    udp = dpkt.udp.UDP(sport=ports[0], dport=ports[1], data=data, ulen=8 + len(data))
    if datagram.source.version == 6:
        # The checksum of UDP is no choice in IPv6 (RFC 8200 8.1); dpkt computes it with that of the packet.
        ip6 = dpkt.ip6.IP6(
            src=datagram.source.packed,
            dst=datagram.destination.packed,
            nxt=dpkt.ip.IP_PROTO_UDP,
            hlim=_TTL,
            plen=8 + len(data),
            data=udp,
        )
        ip6.extension_hdrs = {}
        return bytes(ip6)
    ip = dpkt.ip.IP(
        src=datagram.source.packed,
        dst=datagram.destination.packed,
        p=dpkt.ip.IP_PROTO_UDP,
        ttl=_TTL,
        id=number & 0xFFFF,
        data=udp,
    )
    ip.len = len(ip)
    return bytes(ip)


def table_line(spi_i: int, spi_r: int, keys: IkeKeys) -> str | None:
    """Return the line of Wireshark's table for one IKE SA; None for algorithms that Wireshark does not decrypt."""
    suite: Suite = keys.suite
    encryption, integrity = _ENCRYPTIONS.get(suite.encryption), _INTEGRITIES.get(suite.integrity)
    if encryption is None or integrity is None:
        return None
    e, a = keys.encryption, keys.integrity
    fields = (f"{spi_i:016x}", f"{spi_r:016x}", e[0].hex(), e[1].hex(), f'"{encryption}"')
    return ",".join((*fields, a[0].hex(), a[1].hex(), f'"{integrity}"'))


def _tables(session: Session) -> tuple[dict[str, str], list[str]]:
    """Return the text of each table by the ending of its file name, and what must be said about them."""
    lines: dict[str, list[str]] = {TABLE_SUFFIX: []}
    notes: list[str] = []
    for spis, history in session.sas().items():
        for number, keys in enumerate(reversed(history)):
            generation = len(history) - number
            ending = f".intermediate-{generation}{TABLE_SUFFIX}" if number else TABLE_SUFFIX
            line = table_line(*spis, keys)
            if line is None:
                names = " ".join(name for name in (keys.suite.encryption, keys.suite.integrity) if name)
                note = f"Wireshark does not decrypt {names}: the table has no line for this IKE SA."
                notes += [note] if note not in notes else []
            else:
                lines.setdefault(ending, []).append(line)
    if len(lines) > 1:
        notes.append(
            "Wireshark takes one set of keys for an IKE SA: the tables named intermediate-N decrypt the N-th "
            "IKE_INTERMEDIATE exchange, the main table what follows."
        )
    return {ending: "".join(f"{line}\n" for line in some) for ending, some in lines.items()}, notes
