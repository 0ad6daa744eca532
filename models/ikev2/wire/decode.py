"""Bytes of an IKEv2 message back into a `Packet` (RFC 7296 section 3). Whatever is wrong with them is an `InputError`.

Reserved fields are ignored, as the RFC wants it; a payload of an unknown type is kept as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ...errors import InputError
from ..message import IKE_HEADER_BYTES
from ..payloads import GENERIC_HEADER_BYTES
from .packet import (
    AUTH,
    CERT,
    CERTREQ,
    CONFIGURATION,
    DELETE,
    EAP,
    ENCRYPTED,
    ENCRYPTED_FRAGMENT,
    ID_I,
    ID_R,
    INITIATOR,
    KE,
    NAMES,
    NONCE,
    NOTIFY,
    RESPONSE,
    SA,
    TS_ADDRESS_BYTES,
    TS_I,
    TS_R,
    VENDOR_ID,
    AuthBody,
    CertBody,
    CertReqBody,
    CpBody,
    DeleteBody,
    EapBody,
    EncryptedBody,
    IdBody,
    KeBody,
    NonceBody,
    NotifyBody,
    Packet,
    Proposal,
    SaBody,
    SelectorField,
    Transform,
    TsBody,
    UnknownBody,
    VendorIdBody,
    WirePayload,
)


class _Reader:
    """Octets that are taken one field after the other; running out of them is an `InputError`."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.position = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.position

    def fields(self, layout: str, what: str) -> tuple[int, ...]:
        """Return the integers of a layout of `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def take(self, n_bytes: int, what: str) -> bytes:
        """Return the next octets."""
        if n_bytes > self.left:
            raise InputError(f"{what} needs {n_bytes} bytes, {self.left} are left", self.where)
        self.position += n_bytes
        return self.data[self.position - n_bytes : self.position]

    def rest(self) -> bytes:
        """Return all octets that are left."""
        return self.take(self.left, "the rest")

    def part(self, n_bytes: int, what: str) -> _Reader:
        """Return a reader of the next octets."""
        return _Reader(self.take(n_bytes, what), self.where)

    def end(self, what: str) -> None:
        """Raise InputError when something is left behind ``what``."""
        if self.left:
            raise InputError(f"{self.left} bytes are left behind {what}", self.where)


def decode(data: bytes, where: str = "IKE message") -> Packet:
    """Return the message in ``data``, a UDP payload without the non-ESP marker.

    Raises InputError for anything that is no IKEv2 message.
    """
    reader = _Reader(data, where)
    spi_i, spi_r, first, version, exchange, flags, message_id, length = reader.fields("!QQBBBBII", "the IKE header")
    if version >> 4 != 2:
        raise InputError(f"IKE version {version >> 4} found, only version 2 is decoded", where)
    if length != len(data):
        raise InputError(f"the header tells {length} bytes, {len(data)} are here", where)
    payloads = decode_payloads(first, data[IKE_HEADER_BYTES:], where)
    return Packet(spi_i, spi_r, exchange, message_id, bool(flags & RESPONSE), bool(flags & INITIATOR), payloads)


def decode_payloads(first: int, data: bytes, where: str = "IKE payloads") -> tuple[WirePayload, ...]:
    """Return a chain of payloads that begins with type ``first`` (0: none). Raises InputError."""
    reader = _Reader(data, where)
    payloads: list[WirePayload] = []
    kind = first
    while kind:
        place = f"{where}, payload {len(payloads) + 1} ({NAMES.get(kind, kind)})"
        following, critical, length = reader.fields("!BBH", "a payload header")
        if length < GENERIC_HEADER_BYTES:
            raise InputError(f"its length is {length} bytes, its header alone has {GENERIC_HEADER_BYTES}", place)
        body = _Reader(reader.take(length - GENERIC_HEADER_BYTES, "the payload"), place)
        if kind in (ENCRYPTED, ENCRYPTED_FRAGMENT):
            payloads.append(_encrypted(kind, following, body))
            break
        read = _READERS.get(kind)
        payloads.append(UnknownBody(kind, bool(critical & 0x80), body.rest()) if read is None else read(kind, body))
        body.end("its fields")
        kind = following
    reader.end("the last payload")
    return tuple(payloads)


def _encrypted(kind: int, first: int, body: _Reader) -> EncryptedBody:
    if kind == ENCRYPTED:
        return EncryptedBody(first, body.rest())
    number, total = body.fields("!HH", "the fragment number")
    # All but the first fragment have no Next Payload (RFC 7383 2.5).
    if not 1 <= number <= total:
        raise InputError(f"fragment {number} of {total} cannot be", body.where)
    return EncryptedBody(first, body.rest(), number, total)


def _sa(_kind: int, body: _Reader) -> SaBody:
    proposals: list[Proposal] = []
    more = 2
    while more:
        more, length, number, protocol, spi_bytes, count = body.fields("!BxHBBBB", "a proposal")
        if more not in (0, 2) or length < 8:
            raise InputError(
                f"a proposal begins with {more} and has {length} bytes, 0 or 2 and 8 are needed", body.where
            )
        inside = body.part(length - 8, "a proposal")
        spi = inside.take(spi_bytes, "an SPI")
        transforms = tuple(_transform(inside, last=n == count) for n in range(1, count + 1))
        inside.end("the transforms of a proposal")
        proposals.append(Proposal(number, protocol, spi, transforms))
    return SaBody(tuple(proposals))


def _transform(body: _Reader, *, last: bool) -> Transform:
    more, length, kind, number = body.fields("!BxHBxH", "a transform")
    if more != (0 if last else 3) or length < 8:
        message = f"a transform begins with {more} and has {length} bytes, {0 if last else 3} and 8 are needed"
        raise InputError(message, body.where)
    return Transform(kind, number, body.take(length - 8, "the attributes of a transform"))


def _ke(_kind: int, body: _Reader) -> KeBody:
    (group,) = body.fields("!Hxx", "the method")
    return KeBody(group, body.rest())


def _id(kind: int, body: _Reader) -> IdBody:
    (id_type,) = body.fields("!Bxxx", "the type of the identity")
    return IdBody(kind, id_type, body.rest())


def _cert(_kind: int, body: _Reader) -> CertBody:
    return CertBody(body.take(1, "the encoding")[0], body.rest())


def _certreq(_kind: int, body: _Reader) -> CertReqBody:
    return CertReqBody(body.take(1, "the encoding")[0], body.rest())


def _auth(_kind: int, body: _Reader) -> AuthBody:
    (method,) = body.fields("!Bxxx", "the method")
    return AuthBody(method, body.rest())


def _nonce(_kind: int, body: _Reader) -> NonceBody:
    return NonceBody(body.rest())


def _notify(_kind: int, body: _Reader) -> NotifyBody:
    protocol, spi_bytes, number = body.fields("!BBH", "the type of the notification")
    spi = body.take(spi_bytes, "an SPI")
    return NotifyBody(number, body.rest(), protocol, spi)


def _delete(_kind: int, body: _Reader) -> DeleteBody:
    protocol, spi_bytes, count = body.fields("!BBH", "the protocol")
    if count and not spi_bytes:
        raise InputError(f"{count} SPIs of no bytes", body.where)
    return DeleteBody(protocol, tuple(body.take(spi_bytes, "an SPI") for _ in range(count)))


def _vendor_id(_kind: int, body: _Reader) -> VendorIdBody:
    return VendorIdBody(body.rest())


def _ts(kind: int, body: _Reader) -> TsBody:
    (count,) = body.fields("!Bxxx", "the number of selectors")
    return TsBody(kind, tuple(_selector(body) for _ in range(count)))


def _selector(body: _Reader) -> SelectorField:
    kind, protocol, length, first_port, last_port = body.fields("!BBHHH", "a traffic selector")
    n_bytes = TS_ADDRESS_BYTES.get(kind)
    if n_bytes is None:
        raise InputError(f"traffic selector type {kind} found, 7 (IPv4) and 8 (IPv6) are decoded", body.where)
    if length != 8 + 2 * n_bytes:
        raise InputError(f"a traffic selector has {length} bytes, {8 + 2 * n_bytes} are needed", body.where)
    first, last = (body.take(n_bytes, "an address") for _ in range(2))
    return SelectorField(kind, protocol, first_port, last_port, first, last)


def _cp(_kind: int, body: _Reader) -> CpBody:
    (cfg_type,) = body.fields("!Bxxx", "the type of the configuration")
    attributes = []
    while body.left:
        kind, length = body.fields("!HH", "an attribute")
        # The first bit is reserved (RFC 7296 3.15.1).
        attributes.append((kind & 0x7FFF, body.take(length, "the value of an attribute")))
    return CpBody(cfg_type, tuple(attributes))


def _eap(_kind: int, body: _Reader) -> EapBody:
    data = body.rest()
    if len(data) < 4 or int.from_bytes(data[2:4], "big") != len(data):
        raise InputError(f"an EAP packet whose length is not {len(data)} bytes", body.where)
    return EapBody(data)


_READERS: dict[int, Callable[[int, _Reader], WirePayload]] = {
    SA: _sa,
    KE: _ke,
    ID_I: _id,
    ID_R: _id,
    CERT: _cert,
    CERTREQ: _certreq,
    AUTH: _auth,
    NONCE: _nonce,
    NOTIFY: _notify,
    DELETE: _delete,
    VENDOR_ID: _vendor_id,
    TS_I: _ts,
    TS_R: _ts,
    CONFIGURATION: _cp,
    EAP: _eap,
}
