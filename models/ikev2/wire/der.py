"""DER of names and certificates (X.690, RFC 5280), as far as IKE carries them."""

from __future__ import annotations

from ipaddress import ip_address

from ..identity import Identity

#: Attribute types of X.520 and others that a name may have, as object identifiers.
_ATTRIBUTES = {
    "CN": "2.5.4.3",
    "SN": "2.5.4.4",
    "SERIALNUMBER": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "STREET": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "T": "2.5.4.12",
    "GN": "2.5.4.42",
    "G": "2.5.4.42",
    "E": "1.2.840.113549.1.9.1",
    "EMAILADDRESS": "1.2.840.113549.1.9.1",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
}
#: An attribute type that is not in the table: description.
_OTHER = "2.5.4.13"
_PRINTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_SUBJECT_ALT_NAME, _COMMENT = "2.5.29.17", "2.16.840.1.113730.1.13"
_VERSION_3 = 2
#: Validity of all certificates: nobody checks it. UTCTime.
_FROM, _UNTIL = b"250101000000Z", b"490101000000Z"
_SERIAL_BYTES = range(8, 17)
_UTF8, _PRINTABLE_STRING, _IA5, _UTC_TIME = 0x0C, 0x13, 0x16, 0x17


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return a value with its tag and length."""
    content = b"".join(parts)
    n_bytes = len(content)
    if n_bytes < 0x80:
        return bytes((tag, n_bytes)) + content
    length = n_bytes.to_bytes((n_bytes.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bit_string(content: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return tlv(0x03, b"\0", content)


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    octets = bytearray()
    for number in (40 * first + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | (number & 0x7F))
        octets += bytes(reversed(septets))
    return tlv(0x06, bytes(octets))


def name(text: str) -> bytes:
    """Return the distinguished name of a text such as ``C=IT, O=cptl, CN=HQ``; parts without ``=`` are descriptions."""
    return sequence(*(tlv(0x31, _attribute(part)) for part in text.split(",")))


def _attribute(text: str) -> bytes:
    kind, equals, value = text.partition("=")
    kind = kind.strip().upper()
    value = (value if equals else text).strip()
    tag = _PRINTABLE_STRING if set(value) <= _PRINTABLE else _UTF8
    if kind in ("E", "EMAILADDRESS", "DC") and value.isascii():
        tag = _IA5
    return sequence(oid(_ATTRIBUTES.get(kind, _OTHER) if equals else _OTHER), tlv(tag, value.encode()))


def certificate(
    subject: Identity,
    issuer: str,
    key_info: bytes,
    algorithm: bytes,
    serial: bytes,
    der_bytes: int,
    signature_bytes: int,
) -> bytes | None:
    """Return what the CA signs (TBSCertificate, RFC 5280 4.1) of a certificate that has ``der_bytes`` in all.

    A comment of the right length fills it up; `signed` puts the signature to it. None when ``der_bytes`` are too few.

    Parameters
    ----------
    issuer: name of the CA, its common name unless it has the form of a distinguished name.
    key_info: SubjectPublicKeyInfo.
    algorithm: AlgorithmIdentifier of the CA's signature, which has ``signature_bytes``.
    serial: at least 16 octets, of which the serial number is made.
    """
    for alternative in (_alternative_name(subject), b""):
        for serial_bytes in _SERIAL_BYTES:
            head = _head(subject, issuer, key_info, algorithm, serial[:serial_bytes])
            fitting = _fill(head, alternative, algorithm, der_bytes, signature_bytes)
            if fitting is not None:
                return fitting
    return None


def _head(subject: Identity, issuer: str, key_info: bytes, algorithm: bytes, serial: bytes) -> bytes:
    """Return the fields of a TBSCertificate up to its extensions."""
    # A positive serial number of a fixed length.
    number = tlv(0x02, bytes((serial[0] & 0x3F | 0x40,)) + serial[1:])
    subject_name = name(subject.value if subject.kind == "dn" else f"CN={subject.value}")
    issuer_name = name(issuer if "=" in issuer else f"CN={issuer}")
    validity = sequence(tlv(_UTC_TIME, _FROM), tlv(_UTC_TIME, _UNTIL))
    version = tlv(0xA0, integer(_VERSION_3))
    return version + number + algorithm + issuer_name + validity + subject_name + key_info


def signed(to_be_signed: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a certificate of its signed part and its signature."""
    return sequence(to_be_signed, algorithm, bit_string(signature))


def _fill(head: bytes, alternative: bytes, algorithm: bytes, der_bytes: int, signature_bytes: int) -> bytes | None:
    """Return the TBSCertificate with a comment that makes the whole as long as wanted; None when none does."""

    def build(comment_bytes: int) -> tuple[bytes, int]:
        extensions = alternative
        if comment_bytes:
            text = b"made for a capture of flexvpn-sim".ljust(comment_bytes)[:comment_bytes]
            extensions += sequence(oid(_COMMENT), tlv(0x04, tlv(_IA5, text)))
        whole = sequence(head, tlv(0xA3, sequence(extensions)) if extensions else b"")
        return whole, len(signed(whole, algorithm, bytes(signature_bytes)))

    plain, n_bytes = build(0)
    if n_bytes == der_bytes:
        return plain
    # Each length that grows by an octet on the way costs the comment one: at most some 40 with its own header.
    for comment_bytes in range(max(der_bytes - n_bytes - 40, 1), max(der_bytes - n_bytes, 0) + 1):
        filled, n_bytes_filled = build(comment_bytes)
        if n_bytes_filled == der_bytes:
            return filled
    return None


def _alternative_name(subject: Identity) -> bytes:
    """Return the extension subjectAltName with an identity (RFC 5280 4.2.1.6); nothing for a DN or a key ID."""
    if subject.kind == "fqdn":
        general = tlv(0x82, subject.value.encode())
    elif subject.kind == "email":
        general = tlv(0x81, subject.value.encode())
    elif subject.kind == "address":
        general = tlv(0x87, ip_address(subject.value).packed)
    else:
        return b""
    return sequence(oid(_SUBJECT_ALT_NAME), tlv(0x04, sequence(general)))
