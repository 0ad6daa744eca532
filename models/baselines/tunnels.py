"""Set-ups of L2TP over IPsec and of PPTP, and what each tunnel adds to a packet (RFC 2661, 3193, 2637, 2784, 3078).

Only what the RFCs make mandatory travels: mandatory attribute-value pairs, one acknowledgement of its own where nothing
else could carry it. Real set-ups take more packets and more bytes, so these figures favour L2TP and PPTP.

What this leaves out: NAT traversal of L2TP/IPsec, tunnel authentication, flow control, teardown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..esp import IP_BYTES, UDP_BYTES, esp_packet_bytes
from ..ikev2.operations import HandleMessage, Operation
from ..values import Ledger, Value
from . import ppp
from .procedure import Packet, Procedure, chain

#: Control header with tunnel, session, Ns, Nr (RFC 2661 3.1); header of an attribute-value pair (4.1). [bytes]
L2TP_CONTROL_BYTES, AVP_BYTES = 12, 6
#: Data header without the optional length, sequence and offset fields (RFC 2661 3.1). [bytes]
L2TP_DATA_BYTES = 6
#: Values of the mandatory attribute-value pairs of each message but the host name (RFC 2661 4.4, 6). [bytes]
L2TP_MESSAGES: tuple[tuple[str, bool, tuple[int, ...], bool], ...] = (
    # message type, protocol version, framing capabilities, assigned tunnel; and the host name
    ("SCCRQ", True, (2, 2, 4, 2), True),
    ("SCCRP", False, (2, 2, 4, 2), True),
    ("SCCCN", True, (2,), False),
    # message type, assigned session, call serial number
    ("ICRQ", True, (2, 2, 4), False),
    ("ICRP", False, (2, 2), False),
    # message type, connect speed, framing type
    ("ICCN", True, (2, 4, 4), False),
)
HOST_NAME = Value(value=10, unit="bytes", kind="assumed", source="recollection", range=(1, 32))

TCP_HEADER_BYTES = 20
#: Options of a SYN (maximum segment size, window scale, SACK permitted) and of other segments. [bytes]
SYN_OPTIONS = Value(value=12, unit="bytes", kind="assumed", source="recollection", range=(4, 20))
SEGMENT_OPTIONS = Value(value=0, unit="bytes", kind="assumed", source="recollection", range=(0, 12))
#: Length of PPTP's control messages (RFC 2637 2.1, 2.2, 2.7, 2.8, 2.15). [bytes]
PPTP_MESSAGES: tuple[tuple[str, bool, int], ...] = (
    ("Start-Control-Connection-Request", True, 156),
    ("Start-Control-Connection-Reply", False, 156),
    ("Outgoing-Call-Request", True, 168),
    ("Outgoing-Call-Reply", False, 32),
)
SET_LINK_INFO_BYTES = 24
#: Enhanced GRE with a sequence number, without an acknowledgement, which takes 4 more (RFC 2637 4.1). [bytes]
PPTP_GRE_BYTES = 12
#: Coherency count of MPPE (RFC 3078 3). [bytes]
MPPE_BYTES = 2
#: GRE without key, sequence number and checksum (RFC 2784). [bytes]
GRE_BYTES = 4

_TCP: tuple[Operation, ...] = (HandleMessage("in", stateless=True),)
_SENT_TCP: tuple[Operation, ...] = (HandleMessage("out", stateless=True),)


#: Encryption and integrity of an ESP SA; None: no IPsec at all.
Esp = tuple[str, str] | None


def l2tp_packet_bytes(inner_bytes: int, esp: Esp) -> int:
    """Return the outer IP packet of L2TP around an inner IP packet, in ESP (transport mode) or in the clear. [bytes]"""
    return _l2tp_frame(ppp.FRAME_BYTES + inner_bytes, esp)


def pptp_packet_bytes(inner_bytes: int) -> int:
    """Return the outer IP packet of PPTP with MPPE around an inner IP packet. [bytes]

    The protocol field of the inner packet is encrypted with it (RFC 3078 3), a second one stands in front.
    """
    return _in_pptp(ppp.FRAME_BYTES + MPPE_BYTES + ppp.FRAME_BYTES + inner_bytes)


def gre_packet_bytes(inner_bytes: int) -> int:
    """Return the outer IP packet of GRE without protection around an inner IP packet. [bytes]"""
    return IP_BYTES + GRE_BYTES + inner_bytes


def _in_udp(l2tp_bytes: int, esp: Esp) -> int:
    packet = IP_BYTES + UDP_BYTES + l2tp_bytes
    return packet if esp is None else esp_packet_bytes(packet, *esp, mode="transport")


def _in_pptp(frame_bytes: int) -> int:
    return IP_BYTES + PPTP_GRE_BYTES + frame_bytes


def _control_bytes(values: Sequence[int]) -> int:
    return L2TP_CONTROL_BYTES + sum(AVP_BYTES + n for n in values)


def l2tp(ike: Sequence[Packet], esp: Esp, ledger: Ledger) -> Procedure:
    """Return the set-up of L2TP: ``ike`` first, then a control connection, a session and PPP.

    ``esp``: what ``ike`` made; None, and no packets, without IPsec. The session is opened right behind SCCCN.
    """
    host_name = round(ledger.read("L2TP", "host name", HOST_NAME))
    packets = list(ike)
    control = [
        (
            name,
            initiator,
            _in_udp(_control_bytes((*values, host_name) if named else values), esp),
            ppp.SEND,
            ppp.RECEIVE,
        )
        for name, initiator, values, named in L2TP_MESSAGES
    ]
    packets += chain("L2TP", control, first=len(packets))
    iccn = len(packets) - 1
    acknowledged = _in_udp(L2TP_CONTROL_BYTES, esp)
    packets.append(Packet("L2TP", "ZLB", False, acknowledged, (iccn,), ppp.SEND, ppp.RECEIVE))
    more, ready = _ppp(len(packets), iccn, iccn, partial(_l2tp_frame, esp=esp), ledger, mppe=False)
    return Procedure("L2TP" if esp is None else "L2TP/IPsec", (*packets, *more), ready)


def _l2tp_frame(frame_bytes: int, esp: Esp) -> int:
    return _in_udp(L2TP_DATA_BYTES + frame_bytes, esp)


def pptp(ledger: Ledger) -> Procedure:
    """Return the set-up of PPTP: a TCP connection, the control connection, a call, PPP with MPPE."""
    segment = IP_BYTES + TCP_HEADER_BYTES + round(ledger.read("PPTP", "options of a TCP segment", SEGMENT_OPTIONS))
    syn = IP_BYTES + TCP_HEADER_BYTES + round(ledger.read("PPTP", "options of a TCP SYN", SYN_OPTIONS))
    tcp = [("SYN", True, syn), ("SYN ACK", False, syn), ("ACK", True, segment)]
    control = [(name, by_client, segment + n_bytes) for name, by_client, n_bytes in PPTP_MESSAGES]
    packets = chain("TCP", [(*packet, _SENT_TCP, _TCP) for packet in tcp])
    packets += chain("PPTP", [(*packet, ppp.SEND, ppp.RECEIVE) for packet in control], first=len(packets))
    reply = len(packets) - 1
    more, ready = _ppp(len(packets), reply, reply, _in_pptp, ledger, mppe=True)
    # What the link has agreed on is told to the server; nothing waits for it.
    agreed = next(n for n, packet in enumerate(more, start=len(packets)) if packet.name == "LCP Configure-Ack")
    told = Packet("PPTP", "Set-Link-Info", True, segment + SET_LINK_INFO_BYTES, (agreed,), ppp.SEND, ppp.RECEIVE)
    return Procedure("PPTP", (*packets, *more, told), ready)


def _ppp(
    first: int, client: int, server: int, carried: ppp.Carrier, ledger: Ledger, *, mppe: bool
) -> tuple[list[Packet], tuple[int, ...]]:
    return ppp.negotiation(
        first,
        client,
        server,
        carried,
        server_name=round(ledger.read("PPP", "name of the server", ppp.SERVER_NAME)),
        user_name=round(ledger.read("PPP", "name of the user", ppp.USER_NAME)),
        text=round(ledger.read("PPP", "text of the success message", ppp.SUCCESS_TEXT)),
        mppe=mppe,
    )
