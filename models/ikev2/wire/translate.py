"""Payloads of the simulation as they travel, where the payload itself says all.

Tokens become octets: the 64 bits that stand for a nonce or a cookie are its first eight, drawn ones follow. What needs
keys, certificates or the conversation so far is in `session`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address

from ...algorithms import ENCRYPTIONS, INTEGRITIES, PRFS
from ..identity import Identity
from ..payloads import (
    NOTIFY_TYPES,
    ConfigurationPayload,
    DeletePayload,
    EapPayload,
    IdPayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
    TsPayload,
    VendorIdPayload,
)
from ..proposals import EspProposal, IkeProposal
from . import der
from .draws import Draws
from .packet import (
    ADDKE1,
    ENCR,
    ESN,
    ID_I,
    ID_R,
    INTEG,
    KE_METHOD,
    KEY_LENGTH,
    PRF,
    PROTOCOL_ESP,
    PROTOCOL_IKE,
    TS_I,
    TS_R,
    CpBody,
    DeleteBody,
    EapBody,
    IdBody,
    NonceBody,
    NotifyBody,
    Proposal,
    SaBody,
    SelectorField,
    Transform,
    TsBody,
    VendorIdBody,
    WirePayload,
)

#: Identification types (RFC 7296 3.5).
ID_TYPES = {"address": 1, "fqdn": 2, "email": 3, "dn": 9, "key-id": 11}
#: Hash algorithms in the order in which strongSwan announces them, then SHA-1 (RFC 7427 7, RFC 8420: 5 is Identity).
_HASH_ALGORITHMS = (2, 3, 4, 5, 1)
_CFG_TYPES = {"REQUEST": 1, "REPLY": 2, "SET": 3, "ACK": 4}
_IP4_ADDRESS, _IP4_DNS, _APPLICATION_VERSION = 1, 3, 7
#: EAP codes and types (RFC 3748 4, 5; MSCHAPv2 is 26), operations of MSCHAPv2 (RFC 2759).
_REQUEST, _RESPONSE, _SUCCESS, _FAILURE = 1, 2, 3, 4
_IDENTITY, _MSCHAPV2 = 1, 26
_OP_CHALLENGE, _OP_RESPONSE, _OP_SUCCESS = 1, 2, 3
#: Length of a token of the simulation. [bytes]
_TOKEN_BYTES = 8


def octets_of(value: int, n_bytes: int, draws: Draws, *name: object) -> bytes:
    """Return ``n_bytes`` that begin with the 64 bits of ``value``; its last ones where there is no room for all."""
    token = value.to_bytes(_TOKEN_BYTES, "big")
    if n_bytes <= _TOKEN_BYTES:
        return token[_TOKEN_BYTES - n_bytes :]
    return token + draws.octets(n_bytes - _TOKEN_BYTES, "filler", value, *name)


def plain_payload(payload: Payload, draws: Draws, message_id: int, chosen: int = 1) -> WirePayload | None:
    """Return what travels; None for a payload that `session` must make.

    Parameters
    ----------
    message_id: EAP packets are numbered by it.
    chosen: number of the only proposal of a response: that of the request which it accepts.
    """
    match payload:
        case SaPayload():
            return sa_body(payload, chosen)
        case NoncePayload():
            return NonceBody(octets_of(payload.value, payload.n_bytes, draws, "nonce"))
        case IdPayload():
            return IdBody(ID_I if payload.role == "IDi" else ID_R, *identity_octets(payload.identity))
        case NotifyPayload():
            return _notify(payload, draws)
        case DeletePayload():
            spis = tuple(spi.to_bytes(4, "big") for spi in payload.esp_spis)
            return DeleteBody(PROTOCOL_ESP if spis else PROTOCOL_IKE, spis)
        case VendorIdPayload():
            return VendorIdBody(_vendor_id(payload.vendor, payload.n_bytes))
        case TsPayload():
            return _selectors(payload)
        case EapPayload():
            return EapBody(_eap(payload, draws, message_id))
        case _:
            return None


def sa_body(payload: SaPayload, first_number: int = 1) -> SaBody:
    """Return an SA payload; its proposals are numbered from ``first_number``."""
    spi = payload.spi.to_bytes(payload.spi_bytes, "big") if payload.spi_bytes else b""
    proposals: Sequence[IkeProposal | EspProposal] = payload.proposals
    return SaBody(tuple(_proposal(p, spi, number) for number, p in enumerate(proposals, start=first_number)))


def _proposal(proposal: IkeProposal | EspProposal, spi: bytes, number: int) -> Proposal:
    if isinstance(proposal, EspProposal):
        transforms = [_encryption(proposal.encryption)]
        transforms += [Transform(INTEG, INTEGRITIES[name].number) for name in (proposal.integrity,) if name]
        transforms += [Transform(KE_METHOD, group) for group in proposal.groups]
        transforms.append(Transform(ESN, int(proposal.esn)))
        return Proposal(number, PROTOCOL_ESP, spi, tuple(transforms))
    # The order of the recorded proposals of strongSwan; any would do.
    transforms = [_encryption(name) for name in proposal.encryption]
    transforms += [Transform(INTEG, INTEGRITIES[name].number) for name in proposal.integrity]
    transforms += [Transform(PRF, PRFS[name].number) for name in proposal.prf]
    transforms += [Transform(KE_METHOD, group) for group in proposal.groups]
    for kind, methods in enumerate(proposal.additional, start=ADDKE1):
        transforms += [Transform(kind, method.number) for method in methods]
    return Proposal(number, PROTOCOL_IKE, spi, tuple(transforms))


def _encryption(name: str) -> Transform:
    cipher = ENCRYPTIONS[name]
    length = KEY_LENGTH.to_bytes(2, "big") + cipher.key_bits.to_bytes(2, "big") if cipher.has_key_length else b""
    return Transform(ENCR, cipher.number, length)


def identity_octets(identity: Identity) -> tuple[int, bytes]:
    """Return type and data of an identity (RFC 7296 3.5)."""
    if identity.kind == "address":
        data = IPv4Address(identity.value).packed
    elif identity.kind == "dn":
        data = der.name(identity.value)
    else:
        data = identity.value.encode()
    return ID_TYPES[identity.kind], data


def _notify(payload: NotifyPayload, draws: Draws) -> NotifyBody:
    number, n_bytes = NOTIFY_TYPES[payload.type], payload.n_bytes
    if payload.spi_bytes:
        return NotifyBody(number, b"", PROTOCOL_ESP, payload.value.to_bytes(payload.spi_bytes, "big"))
    if payload.type == "SIGNATURE_HASH_ALGORITHMS":
        hashes = b"".join(hash_number.to_bytes(2, "big") for hash_number in _HASH_ALGORITHMS)
        # More than there are: zeros are reserved.
        return NotifyBody(number, hashes[:n_bytes].ljust(n_bytes, b"\0"))
    if payload.type in ("REDIRECT", "REDIRECTED_FROM"):
        return NotifyBody(number, gateway_octets(payload.value)[:n_bytes].ljust(n_bytes, b"\0"))
    return NotifyBody(number, octets_of(payload.value, n_bytes, draws, payload.type))


def gateway_octets(address: int) -> bytes:
    """Return the identity of a gateway: type 1 is an IPv4 address, its length follows (RFC 5685 9)."""
    return bytes((1, 4)) + address.to_bytes(4, "big")


def nat_hash(spi_i: int, spi_r: int, value: int, n_bytes: int) -> bytes:
    """Return the data of a NAT detection notification: SHA-1 of SPIs, address and port (RFC 7296 2.23).

    ``value``: address and port as `nat` puts them together; 0 stands for no address at all, as an end sends it that
    wants a NAT to be seen.
    """
    spis = spi_i.to_bytes(8, "big") + spi_r.to_bytes(8, "big")
    octets = spis + value.to_bytes(6, "big")
    return hashlib.sha1(octets, usedforsecurity=False).digest()[:n_bytes]


def _vendor_id(vendor: str, n_bytes: int) -> bytes:
    """Return a vendor ID: the name itself where it is as long, else its MD5 hash, as most vendors make theirs."""
    text = vendor.encode()
    if len(text) == n_bytes:
        return text
    return hashlib.md5(text, usedforsecurity=False).digest().ljust(n_bytes, b"\0")[:n_bytes]


def _selectors(payload: TsPayload) -> TsBody:
    fields = (
        SelectorField(7, s.protocol, 0, 65535, IPv4Address(s.first).packed, IPv4Address(s.last).packed)
        for s in payload.selectors
    )
    return TsBody(TS_I if payload.role == "TSi" else TS_R, tuple(fields))


def configuration_body(payload: ConfigurationPayload, name_servers: Sequence[IPv4Address] = ()) -> CpBody:
    """Return a configuration payload; zeros stand for values that the simulation does not have."""
    servers = iter(name_servers)
    attributes = []
    for _, number, n_bytes in payload.attributes:
        value = b""
        if number == _IP4_ADDRESS and payload.address is not None:
            value = payload.address.packed
        elif number == _IP4_DNS and n_bytes:
            server = next(servers, None)
            value = server.packed if server is not None else b""
        elif number == _APPLICATION_VERSION:
            value = b"A simulated router of flexvpn-sim".ljust(n_bytes)
        attributes.append((number, value[:n_bytes].ljust(n_bytes, b"\0")))
    return CpBody(_CFG_TYPES[payload.kind], tuple(attributes))


def _eap(payload: EapPayload, draws: Draws, message_id: int) -> bytes:
    """Return an EAP packet of the length that the payload has.

    A request travels in a response of IKE_AUTH and is numbered by its message ID; what answers it, and the success that
    follows, have the number of what they answer (RFC 3748 4.1, 4.2). The answer to a challenge is drawn.
    """
    n_bytes, user = payload.n_bytes, payload.user.encode()
    answered = (message_id - 1) & 0xFF
    match payload.kind:
        case "identity request":
            return _eap_packet(_REQUEST, message_id & 0xFF, n_bytes, bytes((_IDENTITY,)))
        case "identity":
            return _eap_packet(_RESPONSE, answered, n_bytes, bytes((_IDENTITY,)) + user)
        case "challenge":
            challenge = b"\x10" + octets_of(payload.challenge, 16, draws, "challenge")
            body = _mschapv2(_OP_CHALLENGE, message_id & 0xFF, n_bytes, challenge + b"simulation")
            return _eap_packet(_REQUEST, message_id & 0xFF, n_bytes, body)
        case "response":
            own = octets_of(payload.challenge, 16, draws, "peer challenge")
            proof = draws.octets(24, "NT-Response", payload.challenge)
            body = _mschapv2(_OP_RESPONSE, answered, n_bytes, b"\x31" + own + bytes(8) + proof + b"\0" + user)
            return _eap_packet(_RESPONSE, answered, n_bytes, body)
        case "success request":
            text = f"S={draws.octets(20, 'authenticator response', message_id).hex().upper()} M=OK".encode()
            body = _mschapv2(_OP_SUCCESS, answered, n_bytes, text.ljust(n_bytes))
            return _eap_packet(_REQUEST, message_id & 0xFF, n_bytes, body)
        case "success response":
            return _eap_packet(_RESPONSE, answered, n_bytes, bytes((_MSCHAPV2, _OP_SUCCESS)))
        case "success":
            return _eap_packet(_SUCCESS, answered, n_bytes, b"")
        case "failure":
            return _eap_packet(_FAILURE, answered, n_bytes, b"")


def _eap_packet(code: int, identifier: int, n_bytes: int, body: bytes) -> bytes:
    return bytes((code, identifier)) + n_bytes.to_bytes(2, "big") + body[: n_bytes - 4].ljust(n_bytes - 4, b"\0")


def _mschapv2(operation: int, identifier: int, n_bytes: int, content: bytes) -> bytes:
    """Return type and body of an EAP-MSCHAPv2 packet of ``n_bytes`` in all; MS-Length counts from the operation on."""
    return bytes((_MSCHAPV2, operation, identifier)) + (n_bytes - 5).to_bytes(2, "big") + content
