"""Payloads of the simulation as they travel, where the payload itself says all.

Tokens become octets: the 64 bits that stand for a nonce or a cookie are its first eight, drawn ones follow. What needs
keys, certificates or the conversation so far is in `session`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import ip_address

from ...algorithms import ENCRYPTIONS, INTEGRITIES, PRFS
from ..identity import Identity
from ..payloads import (
    NOTIFY_TYPES,
    ConfigurationPayload,
    DeletePayload,
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
    PROTOCOL_AH,
    PROTOCOL_ESP,
    PROTOCOL_IKE,
    TS_I,
    TS_R,
    CpBody,
    DeleteBody,
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
ID_IPV6 = 5
#: Hash algorithms in the order in which strongSwan announces them, then SHA-1 (RFC 7427 7, RFC 8420: 5 is Identity).
_HASH_ALGORITHMS = (2, 3, 4, 5, 1)
#: Traffic selector types by IP version (RFC 7296 3.13.1).
_SELECTOR_TYPES = {4: 7, 6: 8}
_PROTOCOLS = {"ESP": PROTOCOL_ESP, "AH": PROTOCOL_AH}
_CFG_TYPES = {"REQUEST": 1, "REPLY": 2, "SET": 3, "ACK": 4}
_APPLICATION_VERSION = 7
#: Length of a token of the simulation. [bytes]
_TOKEN_BYTES = 8


def octets_of(value: int, n_bytes: int, draws: Draws, *name: object) -> bytes:
    """Return ``n_bytes`` that begin with the 64 bits of ``value``; its last ones where there is no room for all."""
    token = value.to_bytes(_TOKEN_BYTES, "big")
    if n_bytes <= _TOKEN_BYTES:
        return token[_TOKEN_BYTES - n_bytes :]
    return token + draws.octets(n_bytes - _TOKEN_BYTES, "filler", value, *name)


def plain_payload(payload: Payload, draws: Draws, chosen: int = 1) -> WirePayload | None:
    """Return what travels; None for a payload that `session` must make.

    Parameters
    ----------
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
            spis = tuple(spi.to_bytes(4, "big") for spi in payload.spis)
            return DeleteBody(_PROTOCOLS[payload.protocol] if spis else PROTOCOL_IKE, spis)
        case VendorIdPayload():
            return VendorIdBody(_vendor_id(payload.vendor, payload.n_bytes))
        case TsPayload():
            return _selectors(payload)
        case _:
            return None


def sa_body(payload: SaPayload, first_number: int = 1) -> SaBody:
    """Return an SA payload; its proposals are numbered from ``first_number``."""
    spi = payload.spi.to_bytes(payload.spi_bytes, "big") if payload.spi_bytes else b""
    proposals: Sequence[IkeProposal | EspProposal] = payload.proposals
    return SaBody(tuple(_proposal(p, spi, number) for number, p in enumerate(proposals, start=first_number)))


def _proposal(proposal: IkeProposal | EspProposal, spi: bytes, number: int) -> Proposal:
    if isinstance(proposal, EspProposal):
        transforms = [_encryption(name) for name in proposal.encryption]
        transforms += [Transform(INTEG, INTEGRITIES[name].number) for name in proposal.integrity]
        transforms += [Transform(KE_METHOD, group) for group in proposal.groups]
        transforms += [Transform(ESN, int(extended)) for extended in proposal.esn]
        return Proposal(number, _PROTOCOLS[proposal.protocol], spi, tuple(transforms))
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
        address = ip_address(identity.value)
        return (ID_TYPES["address"] if address.version == 4 else ID_IPV6), address.packed
    data = der.name(identity.value) if identity.kind == "dn" else identity.value.encode()
    return ID_TYPES[identity.kind], data


def _notify(payload: NotifyPayload, draws: Draws) -> NotifyBody:
    number, n_bytes = NOTIFY_TYPES[payload.type], payload.n_bytes
    if payload.spi_bytes:
        return NotifyBody(number, b"", _PROTOCOLS[payload.protocol], payload.value.to_bytes(payload.spi_bytes, "big"))
    if payload.type == "SIGNATURE_HASH_ALGORITHMS":
        hashes = b"".join(hash_number.to_bytes(2, "big") for hash_number in _HASH_ALGORITHMS)
        # More than there are: zeros are reserved.
        return NotifyBody(number, hashes[:n_bytes].ljust(n_bytes, b"\0"))
    if payload.type in ("TICKET_LT_OPAQUE", "TICKET_OPAQUE"):
        lifetime = (payload.value & 0xFFFFFFFF).to_bytes(4, "big") if payload.type == "TICKET_LT_OPAQUE" else b""
        filler_bytes = max(n_bytes - len(lifetime) - len(payload.data), 0)
        ticket = payload.data + draws.octets(filler_bytes, "ticket", payload.data.hex())
        return NotifyBody(number, (lifetime + ticket)[:n_bytes])
    if payload.data and len(payload.data) == n_bytes:
        return NotifyBody(number, payload.data)
    if payload.type in ("NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP"):
        # The hash has the SPIs of the message in it, which `session` knows.
        return NotifyBody(number, bytes(n_bytes))
    if payload.type in ("ADDITIONAL_IP4_ADDRESS", "ADDITIONAL_IP6_ADDRESS"):
        return NotifyBody(number, payload.value.to_bytes(n_bytes, "big"))
    return NotifyBody(number, octets_of(payload.value, n_bytes, draws, payload.type))


def nat_hash(spi_i: int, spi_r: int, value: int, n_bytes: int) -> bytes:
    """Return the data of a NAT detection notification: SHA-1 of SPIs, address and port (RFC 7296 2.23).

    ``value``: address and port as `nat` puts them together; 0 stands for no address at all, as an end sends it that
    wants a NAT to be seen.
    """
    spis = spi_i.to_bytes(8, "big") + spi_r.to_bytes(8, "big")
    # An IPv4 address is shorter than any IPv6 address of the simulation.
    octets = spis + value.to_bytes(6 if value < 1 << 48 else 18, "big")
    return hashlib.sha1(octets, usedforsecurity=False).digest()[:n_bytes]


def _vendor_id(vendor: str, n_bytes: int) -> bytes:
    """Return a vendor ID: the name itself where it is as long, else its MD5 hash, as most vendors make theirs."""
    text = vendor.encode()
    if len(text) == n_bytes:
        return text
    return hashlib.md5(text, usedforsecurity=False).digest().ljust(n_bytes, b"\0")[:n_bytes]


def _selectors(payload: TsPayload) -> TsBody:
    fields = (
        SelectorField(
            _SELECTOR_TYPES[s.version],
            s.protocol,
            s.first_port,
            s.last_port,
            ip_address(s.first).packed,
            ip_address(s.last).packed,
        )
        for s in payload.selectors
    )
    return TsBody(TS_I if payload.role == "TSi" else TS_R, tuple(fields))


def configuration_body(payload: ConfigurationPayload) -> CpBody:
    """Return a configuration payload; zeros stand for values that the simulation does not have."""
    attributes = []
    for _, number, n_bytes, value in payload.attributes:
        if number == _APPLICATION_VERSION and not value:
            value = b"A simulated router of flexvpn-sim".ljust(n_bytes)
        attributes.append((number, value[:n_bytes].ljust(n_bytes, b"\0")))
    return CpBody(_CFG_TYPES[payload.kind], tuple(attributes))
