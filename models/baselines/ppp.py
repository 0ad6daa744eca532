"""PPP over a tunnel: LCP, CHAP with MS-CHAPv2, IPCP, CCP with MPPE (RFC 1661, 1994, 2759, 1332, 1962, 3078).

The shortest negotiation that the RFCs allow when the server gives the client an address: each end's first request is
accepted, but for the client's address, which is told by Configure-Nak. Implementations negotiate more.

What this leaves out: rejected options, name servers (RFC 1877), echo requests, authentication of the server alone.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ikev2.operations import HandleMessage, Hash, Operation
from ..values import Value
from .procedure import Packet

#: Code, identifier, length (RFC 1661 5). [bytes]
CODE_BYTES = 4
#: LCP goes with address, control and protocol field whatever was agreed (RFC 1661 6.6). [bytes]
LCP_FRAME_BYTES = 4
#: Protocol field, once address and control may be left out (RFC 1661 6.6). [bytes]
FRAME_BYTES = 2
#: Options: MRU, magic number, address-and-control compression; authentication by CHAP (RFC 1661 6, RFC 1994 3). [bytes]
LCP_OPTIONS_BYTES, CHAP_OPTION_BYTES = 4 + 6 + 2, 5
#: Value size and challenge; value size and response (RFC 2759 3, 4). [bytes]
CHALLENGE_BYTES, RESPONSE_BYTES = 1 + 16, 1 + 49
#: "S=" and 40 hexadecimal digits, a space, "M=" (RFC 2759 5). [bytes]
SUCCESS_BYTES = 2 + 40 + 1 + 2
#: IP-Address (RFC 1332 3.3) and MPPE supported bits (RFC 3078 2). [bytes]
ADDRESS_OPTION_BYTES, MPPE_OPTION_BYTES = 6, 6

SERVER_NAME = Value(value=10, unit="bytes", kind="assumed", source="recollection", range=(1, 32))
USER_NAME = Value(value=5, unit="bytes", kind="assumed", source="recollection", range=(1, 32))
SUCCESS_TEXT = Value(value=14, unit="bytes", kind="assumed", source="recollection", range=(0, 64))

#: SHA-1 over both challenges and the name, then over hash and response (RFC 2759 8.2, 8.7); MD4 and DES have no price.
CHAP_WORK: tuple[Operation, ...] = (Hash("sha1", 37), Hash("sha1", 79), Hash("sha1", 69))
SEND: tuple[Operation, ...] = (HandleMessage("out"),)
RECEIVE: tuple[Operation, ...] = (HandleMessage("in"),)

#: Length of the IP packet around a PPP frame of a length. [bytes]
Carrier = Callable[[int], int]


def negotiation(
    first: int, client: int, server: int, carried: Carrier, *, server_name: int, user_name: int, text: int, mppe: bool
) -> tuple[list[Packet], tuple[int, ...]]:
    """Return the packets of a negotiation and the places of those after which the client may send.

    Parameters
    ----------
    first: place of the first packet in its procedure.
    client, server: place of the packet after which the client, and the server, may begin.
    carried: length of the IP packet around a PPP frame. [bytes]
    server_name, user_name, text: lengths of what travels in CHAP. [bytes]
    mppe: whether CCP agrees on encryption.
    """
    packets: list[Packet] = []

    def send(name: str, by_client: bool, n_bytes: int, *after: int, lcp: bool = False, chap: bool = False) -> int:
        frame = LCP_FRAME_BYTES if lcp else FRAME_BYTES
        work = CHAP_WORK if chap else ()
        ip_bytes = carried(frame + CODE_BYTES + n_bytes)
        packets.append(Packet("PPP", name, by_client, ip_bytes, after, SEND, (*RECEIVE, *work)))
        return first + len(packets) - 1

    asked = LCP_OPTIONS_BYTES + CHAP_OPTION_BYTES
    server_lcp = send("LCP Configure-Request", False, asked, server, lcp=True)
    client_lcp = send("LCP Configure-Request", True, LCP_OPTIONS_BYTES, client, lcp=True)
    client_ack = send("LCP Configure-Ack", True, asked, server_lcp, lcp=True)
    server_ack = send("LCP Configure-Ack", False, LCP_OPTIONS_BYTES, client_lcp, lcp=True)
    challenge = send("CHAP Challenge", False, CHALLENGE_BYTES + server_name, client_ack, server_ack)
    response = send("CHAP Response", True, RESPONSE_BYTES + user_name, challenge, chap=True)
    success = send("CHAP Success", False, SUCCESS_BYTES + text, response, chap=True)
    ready = []
    if mppe:
        client_ccp = send("CCP Configure-Request", True, MPPE_OPTION_BYTES, success)
        server_ccp = send("CCP Configure-Request", False, MPPE_OPTION_BYTES, success)
        ready.append(send("CCP Configure-Ack", False, MPPE_OPTION_BYTES, client_ccp))
        ready.append(send("CCP Configure-Ack", True, MPPE_OPTION_BYTES, server_ccp))
    asks = send("IPCP Configure-Request", True, ADDRESS_OPTION_BYTES, success)
    server_ipcp = send("IPCP Configure-Request", False, ADDRESS_OPTION_BYTES, success)
    told = send("IPCP Configure-Nak", False, ADDRESS_OPTION_BYTES, asks)
    again = send("IPCP Configure-Request", True, ADDRESS_OPTION_BYTES, told)
    ready.append(send("IPCP Configure-Ack", False, ADDRESS_OPTION_BYTES, again))
    ready.append(send("IPCP Configure-Ack", True, ADDRESS_OPTION_BYTES, server_ipcp))
    return packets, tuple(ready)
