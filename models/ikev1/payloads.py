"""IKEv1 payloads and messages: what they carry and how many bytes they take (RFC 2407, RFC 2408, RFC 2409).

Sizes include the generic header of 4 bytes. A data attribute takes 4 bytes when its value fits into 16 bits (TV form,
RFC 2408 3.3), else 8 (a value of 32 bits). Encryption covers everything behind the ISAKMP header and adds padding to
the cipher's block alone: IKEv1 has neither an explicit IV nor a check value (RFC 2409 5; appendix B).

What this leaves out: public-key encryption modes, XAUTH and mode config, IPComp, AEAD ciphers for IKE itself, which
IKEv1 lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..algorithms import ENCRYPTIONS, GROUPS, PRFS
from ..errors import InputError
from ..ikev2.operations import Operation
from ..ikev2.proposals import EspSuite, IkeProposal

#: ISAKMP header (RFC 2408 3.1). [bytes]
ISAKMP_HEADER_BYTES = 28
UDP_HEADER_BYTES = 8
IPV4_HEADER_BYTES = 20
#: Generic payload header (RFC 2408 3.2). [bytes]
GENERIC_HEADER_BYTES = 4
#: DOI and situation of an SA payload (RFC 2407 4.6.1). [bytes]
SA_FIXED_BYTES = 8
#: Header of a proposal and of a transform payload (RFC 2408 3.5, 3.6). [bytes]
PROPOSAL_BYTES = 8
TRANSFORM_BYTES = 8
#: An attribute in TV form and with a value of 32 bits (RFC 2408 3.3). [bytes]
SHORT_ATTRIBUTE_BYTES, LONG_ATTRIBUTE_BYTES = 4, 8
SHORT_ATTRIBUTE_MAX = 0xFFFF
ESP_SPI_BYTES = 4
#: Both cookies, as the SPI of an ISAKMP SA (RFC 2408 3.14). [bytes]
COOKIES_BYTES = 16
#: Sequence number of R-U-THERE (RFC 3706 5.3). [bytes]
DPD_SEQUENCE_BYTES = 4
#: Encoding of a certificate, or its kind in a request (RFC 2408 3.9, 3.10). [bytes]
CERTIFICATE_ENCODING_BYTES = 1
#: Generic header, ID, number and flags of a piece of a message (Cisco's IKEv1 fragmentation). [bytes]
FRAGMENT_HEADER_BYTES = 8
#: Least content of a piece, where a limit leaves less. Ours. [bytes]
MIN_FRAGMENT_BYTES = 64
NON_ESP_MARKER_BYTES = 4
#: An IPv4 address, and an address with its mask (RFC 2407 4.6.2). [bytes]
ADDRESS_BYTES, SUBNET_BYTES = 4, 8


@dataclass(frozen=True, slots=True)
class IkeSuite:
    """The algorithms of an ISAKMP SA (RFC 2409 4). ``hash`` is that of the PRF too, which is its HMAC."""

    encryption: str
    hash: str
    group: int

    @property
    def hash_bytes(self) -> int:
        """Output of the hash and of its HMAC. [bytes]"""
        return PRFS[self.hash].output_bytes

    @property
    def block_bytes(self) -> int:
        """Block of the cipher. [bytes]"""
        return ENCRYPTIONS[self.encryption].block_bytes

    @property
    def public_bytes(self) -> int:
        """Length of a public value of the group. [bytes]"""
        return GROUPS[self.group].public_bytes


def suites_of(proposals: IkeProposal | tuple[IkeProposal, ...], where: str = "") -> tuple[IkeSuite, ...]:
    """Return every combination that these proposals allow, the preferred one first: IKEv1 names each in a transform.

    Raises InputError for an AEAD cipher, a PRF that is not the HMAC of the hash, and additional key exchanges.
    """
    suites = []
    for proposal in (proposals,) if isinstance(proposals, IkeProposal) else proposals:
        for encryption in proposal.encryption:
            if ENCRYPTIONS[encryption].aead:
                raise InputError(f"{encryption} cannot protect IKEv1 itself: combined modes came with IKEv2", where)
        if proposal.prf != proposal.integrity:
            raise InputError("IKEv1 negotiates one hash, the PRF is its HMAC: leave the PRF out", where)
        if any(proposal.additional):
            raise InputError("IKEv1 has no additional key exchanges: leave ke1_... out", where)
        suites += [
            IkeSuite(encryption, name, group)
            for encryption in proposal.encryption
            for name in proposal.integrity
            for group in proposal.groups
        ]
    return tuple(suites)


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload: its name in tables and its size in bytes, generic header included."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.name}({self.size})"


@dataclass(frozen=True, slots=True)
class MessageV1:
    """One IKEv1 message and what it costs both ends.

    ``protected_bytes``: length of the encrypted part, 0 when it goes in the clear. ``sender``: protecting and sending
    it; ``receiver``: everything that its arrival sets off up to the next message. ``floated``: it travels on port 4500
    (RFC 3947 4).
    """

    exchange: str
    exchange_number: int
    from_initiator: bool
    payloads: tuple[Payload, ...]
    protected_bytes: int
    sender: tuple[Operation, ...]
    receiver: tuple[Operation, ...]
    floated: bool = False

    @property
    def ike_bytes(self) -> int:
        """The Length field of the ISAKMP header. [bytes]"""
        return ISAKMP_HEADER_BYTES + (self.protected_bytes or inner_bytes(self.payloads))

    @property
    def udp_len(self) -> int:
        """UDP payload: on port 4500 a non-ESP marker stands in front. [bytes]"""
        return self.ike_bytes + self.marker_bytes

    @property
    def marker_bytes(self) -> int:
        """The non-ESP marker (RFC 3948 2.2), 0 on port 500. [bytes]"""
        return NON_ESP_MARKER_BYTES if self.floated else 0

    @property
    def ip_len(self) -> int:
        """The IPv4 packet. [bytes]"""
        return self.udp_len + UDP_HEADER_BYTES + IPV4_HEADER_BYTES

    def pieces(self, limit_bytes: int | None) -> tuple[int, ...]:
        """Return the ISAKMP length of each piece where the packet is longer than ``limit_bytes``, else nothing. [bytes]

        The whole message, encrypted as it is, is cut: pieces are neither encrypted nor checked by themselves.
        """
        if limit_bytes is None or self.ip_len <= limit_bytes:
            return ()
        header = ISAKMP_HEADER_BYTES + FRAGMENT_HEADER_BYTES
        room = limit_bytes - IPV4_HEADER_BYTES - UDP_HEADER_BYTES - self.marker_bytes - header
        full, rest = divmod(self.ike_bytes, max(room, MIN_FRAGMENT_BYTES))
        return tuple(header + n for n in [max(room, MIN_FRAGMENT_BYTES)] * full + ([rest] if rest else []))

    def payload_text(self) -> str:
        """Return the payloads with their sizes, inside ``ENC(n){...}`` when encrypted."""
        inner = " ".join(map(str, self.payloads))
        return f"ENC({self.protected_bytes}){{{inner}}}" if self.protected_bytes else inner


def inner_bytes(payloads: tuple[Payload, ...]) -> int:
    """Return the sum of the payload sizes. [bytes]"""
    return sum(p.size for p in payloads)


def padded_bytes(inner: int, block: int, *, whole_block: bool) -> int:
    """Return the length after padding to the block; ``whole_block``: a multiple of it gets another block.

    RFC 2409 appendix B pads to the nearest block; an implementation that always adds a pad length byte goes one
    further.

    >>> padded_bytes(96, 16, whole_block=False), padded_bytes(96, 16, whole_block=True)
    (96, 112)
    """
    return -(-(inner + whole_block) // block) * block


def attribute_bytes(value: int) -> int:
    """Return the bytes of an attribute with this number as its value (RFC 2408 3.3)."""
    return SHORT_ATTRIBUTE_BYTES if value <= SHORT_ATTRIBUTE_MAX else LONG_ATTRIBUTE_BYTES


def ike_sa(suites: tuple[IkeSuite, ...], lifetime_s: int) -> Payload:
    """Return the SA payload of phase 1: one proposal, a transform for each suite (RFC 2409 appendix A).

    Attributes: cipher, key length where it varies, hash, group, authentication method, life type, life duration.
    """
    size = GENERIC_HEADER_BYTES + SA_FIXED_BYTES + PROPOSAL_BYTES
    for suite in suites:
        short = 5 + ENCRYPTIONS[suite.encryption].has_key_length
        size += TRANSFORM_BYTES + short * SHORT_ATTRIBUTE_BYTES + attribute_bytes(lifetime_s)
    return Payload("SA", size)


def esp_sa(suites: tuple[EspSuite, ...], lifetime_s: int | None, lifetime_kilobytes: int | None) -> Payload:
    """Return the SA payload of quick mode: a proposal with an SPI and one transform for each suite (RFC 2407 4.5).

    Attributes: key length where it varies, HMAC (none with a combined mode, RFC 4106), encapsulation mode, group with
    PFS, extended sequence numbers (RFC 4304), and a life type with its duration for each limit that is named.
    """
    limits = [value for value in (lifetime_s, lifetime_kilobytes) if value is not None]
    lifetimes = sum(SHORT_ATTRIBUTE_BYTES + attribute_bytes(value) for value in limits)
    size = GENERIC_HEADER_BYTES + SA_FIXED_BYTES + PROPOSAL_BYTES + ESP_SPI_BYTES
    for suite in suites:
        cipher = ENCRYPTIONS[suite.encryption]
        short = 1 + cipher.has_key_length + bool(suite.integrity) + bool(suite.group) + suite.esn
        size += TRANSFORM_BYTES + short * SHORT_ATTRIBUTE_BYTES + lifetimes
    return Payload("SA", size)


def key_exchange(group: int) -> Payload:
    """Return a KE payload (RFC 2408 3.7)."""
    return Payload("KE", GENERIC_HEADER_BYTES + GROUPS[group].public_bytes)


def nonce(n_bytes: int) -> Payload:
    """Return a nonce payload (RFC 2408 3.13)."""
    return Payload("NONCE", GENERIC_HEADER_BYTES + n_bytes)


def identification(data_bytes: int) -> Payload:
    """Return an ID payload: type, protocol, port, data (RFC 2407 4.6.2)."""
    return Payload("ID", GENERIC_HEADER_BYTES + 4 + data_bytes)


def hash_payload(suite: IkeSuite) -> Payload:
    """Return a HASH payload (RFC 2408 3.11)."""
    return Payload("HASH", GENERIC_HEADER_BYTES + suite.hash_bytes)


def signature(n_bytes: int) -> Payload:
    """Return a SIG payload (RFC 2408 3.12)."""
    return Payload("SIG", GENERIC_HEADER_BYTES + n_bytes)


def certificate(der_bytes: int) -> Payload:
    """Return a CERT payload with one certificate (RFC 2408 3.9)."""
    return Payload("CERT", GENERIC_HEADER_BYTES + CERTIFICATE_ENCODING_BYTES + der_bytes)


def certificate_request(name_bytes: int) -> Payload:
    """Return a CERTREQ payload for one CA, whose name is DER: one payload each, unlike IKEv2 (RFC 2408 3.10)."""
    return Payload("CERTREQ", GENERIC_HEADER_BYTES + CERTIFICATE_ENCODING_BYTES + name_bytes)


def original_address() -> Payload:
    """Return a NAT-OA payload with an IPv4 address: ID type, reserved, address (RFC 3947 5.2)."""
    return Payload("NAT-OA", GENERIC_HEADER_BYTES + 4 + ADDRESS_BYTES)


def nat_detection(suite: IkeSuite) -> Payload:
    """Return a NAT-D payload, a hash of the negotiated kind (RFC 3947 3.2)."""
    return Payload("NAT-D", GENERIC_HEADER_BYTES + suite.hash_bytes)


def vendor_id(name: str, n_bytes: int) -> Payload:
    """Return a vendor ID payload (RFC 2408 3.16)."""
    return Payload(f"VID:{name}", GENERIC_HEADER_BYTES + n_bytes)


def notification(name: str, data_bytes: int = 0) -> Payload:
    """Return a notification about an ISAKMP SA: DOI, protocol, lengths, type, cookies, data (RFC 2408 3.14)."""
    return Payload(f"N:{name}", GENERIC_HEADER_BYTES + 8 + COOKIES_BYTES + data_bytes)


def delete_esp(count: int = 1) -> Payload:
    """Return the deletion of ``count`` inbound ESP SAs (RFC 2408 3.15)."""
    return Payload("D", GENERIC_HEADER_BYTES + 8 + count * ESP_SPI_BYTES)


def delete_isakmp() -> Payload:
    """Return the deletion of an ISAKMP SA, named by both cookies (RFC 2408 3.15)."""
    return Payload("D", GENERIC_HEADER_BYTES + 8 + COOKIES_BYTES)
