"""TLS flights as EAP-TLS carries them: handshake messages, records and their lengths (RFC 5246, RFC 8446, RFC 9190).

One cipher suite a version is negotiated: ECDHE with AES-256-GCM and SHA-384. Handshake messages of one flight under the
same protection share records of up to 2^14 bytes (RFC 5246 6.2.1), as strongSwan packs them; a library that gives each
message its own takes 5 bytes more for each. A client offers the extensions that the handshake needs (RFC 8422 5.1,
RFC 8446 9.2, RFC 7627, RFC 5746) and no session of before.

What this leaves out: resumption and tickets, HelloRetryRequest, OCSP stapling, RSA key exchange, server names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..algorithms import GROUPS, SIGNATURES
from ..ikev2.wire import der
from .packets import CertificateDer, Drawn, Part, Parts, Piece, length, prefixed
from .rules import EapCause, TlsVersion

if TYPE_CHECKING:
    from ..ikev2.policy import Certificate

#: Cipher and hash of the suites below.
ENCRYPTION, HASH, HASH_BYTES = "aes-gcm-256", "sha384", 48
#: TLS_ECDHE_RSA/ECDSA_WITH_AES_256_GCM_SHA384, TLS_AES_256_GCM_SHA384.
_SUITE_RSA, _SUITE_ECDSA, _SUITE_13 = b"\xc0\x30", b"\xc0\x2c", b"\x13\x02"
#: Suites that a client of TLS 1.3 offers beside the others (RFC 8446 B.4, without CCM).
_SUITES_13 = 3
#: Record header, longest content of a record, random of a hello, verify_data of TLS 1.2. [bytes]
_RECORD_BYTES, _RECORD_MOST, _RANDOM_BYTES, _VERIFY_BYTES = 5, 1 << 14, 32, 12
#: GCM in TLS 1.2 sends 8 bytes of its nonce; TLS 1.3 hides the content type in the ciphertext. [bytes]
_NONCE_BYTES, _TAG_BYTES, _INNER_TYPE_BYTES = 8, 16, 1
#: Content types of records.
_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION = 20, 21, 22, 23
#: Alerts (RFC 5246 7.2): unknown_ca, decrypt_error, handshake_failure.
_ALERTS: dict[EapCause, int] = {"certificate not trusted": 48, "wrong signature": 51}
_HANDSHAKE_FAILURE = 40
#: Handshake messages.
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE, _SERVER_KEY_EXCHANGE, _CERTIFICATE_REQUEST = 1, 2, 11, 12, 13
_SERVER_HELLO_DONE, _CERTIFICATE_VERIFY, _CLIENT_KEY_EXCHANGE, _FINISHED, _ENCRYPTED_EXTENSIONS = 14, 15, 16, 20, 8
#: Extensions.
_GROUPS, _POINT_FORMATS, _SIGNATURE_ALGORITHMS, _EXTENDED_MASTER_SECRET = 10, 11, 13, 23
_VERSIONS, _AUTHORITIES, _KEY_SHARE, _RENEGOTIATION = 43, 47, 51, 0xFF01
#: Numbers of the elliptic curves in TLS by that of IKEv2 (RFC 8446 4.2.7).
NAMED_GROUPS = {19: 23, 20: 24, 21: 25, 31: 29, 32: 30}
#: Signature schemes (RFC 8446 4.2.3, draft-ietf-tls-mldsa); RSA is PKCS #1 in TLS 1.2 and PSS in TLS 1.3.
_SCHEMES = {
    "ecdsa256": 0x0403,
    "ecdsa384": 0x0503,
    "ecdsa521": 0x0603,
    "ed25519": 0x0807,
    "ed448": 0x0808,
    "mldsa44": 0x0904,
    "mldsa65": 0x0905,
    "mldsa87": 0x0906,
}
_RSA_PKCS1, _RSA_PSS = 0x0401, 0x0804


@dataclass(frozen=True, slots=True)
class Flight:
    """What one end sends before it waits: records, and what the other end reads in them.

    ``protected``: lengths of what is encrypted, record by record. [bytes] ``random``: 64 bits of a hello. ``proof``: a
    signature, which the key of ``chain[0]`` can recompute.
    """

    name: str
    parts: Parts
    n_bytes: int
    version: TlsVersion = "1.2"
    group: int = 0
    random: int = 0
    chain: tuple[Certificate, ...] = ()
    proof: bytes = b""
    protected: tuple[int, ...] = ()
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """How many algorithms an end names: suites, signature algorithms and groups; length of a session ID. [bytes]"""

    suites: int
    signatures: int
    groups: int
    session_id_bytes: int


def offer_of(count: Callable[[str], int]) -> Offer:
    """Return what the implementation names."""
    names = ("tls_cipher_suites", "tls_signature_algorithms", "tls_groups", "tls_session_id_bytes")
    return Offer(*(max(count(name), least) for name, least in zip(names, (1, 1, 1, 0), strict=True)))


# -- Records and messages --------------------------------------------------------------------------------------


def _records(kind: int, parts: Parts) -> Parts:
    """Return plain records; content longer than a record goes on in the next one."""
    n_bytes = length(parts)
    if n_bytes <= _RECORD_MOST:
        return (bytes((kind, 3, 3)), *prefixed(2, *parts))
    pieces = (Piece(parts, start, min(_RECORD_MOST, n_bytes - start)) for start in range(0, n_bytes, _RECORD_MOST))
    return tuple(part for piece in pieces for part in (bytes((kind, 3, 3)), *prefixed(2, piece)))


def _encrypted(version: TlsVersion, content_bytes: int, name: tuple[object, ...]) -> tuple[Parts, tuple[int, ...]]:
    """Return protected records and how much is encrypted in each (RFC 5288, RFC 8446 5.2)."""
    parts: list[Part] = []
    lengths = []
    kind = _APPLICATION if version == "1.3" else _HANDSHAKE
    beside = _TAG_BYTES + (_INNER_TYPE_BYTES if version == "1.3" else _NONCE_BYTES)
    for start in range(0, content_bytes, _RECORD_MOST):
        n_bytes = min(_RECORD_MOST, content_bytes - start)
        lengths.append(n_bytes)
        parts += [bytes((kind, 3, 3)), *prefixed(2, Drawn(n_bytes + beside, (*name, start)))]
    return tuple(parts), tuple(lengths)


def _message(kind: int, *parts: Part) -> Parts:
    return (bytes((kind,)), *prefixed(3, *parts))


def _extension(number: int, *parts: Part) -> Parts:
    return (number.to_bytes(2, "big"), *prefixed(2, *parts))


def _numbers(first: int, count: int) -> bytes:
    """Return a list of numbers of two octets: the one that is used, then reserved ones (GREASE, RFC 8701)."""
    others = (0x0A0A + 0x1010 * (n % 16) for n in range(count - 1))
    return b"".join(number.to_bytes(2, "big") for number in (first, *others))


def _point(group: int, *name: object) -> Drawn:
    """Return a public value; that of a NIST curve is an uncompressed point (RFC 8422 5.4.1)."""
    row = GROUPS[group]
    return Drawn(row.public_bytes + (row.kind == "ecp"), ("point", group, *name))


def _scheme(version: TlsVersion, algorithm: str) -> int:
    if SIGNATURES[algorithm].kind == "rsa":
        return _RSA_PSS if version == "1.3" else _RSA_PKCS1
    return _SCHEMES[algorithm]


def _certificate_message(version: TlsVersion, chain: Sequence[Certificate]) -> Parts:
    """Return Certificate (RFC 5246 7.4.2, RFC 8446 4.4.2: a context, and extensions of each certificate)."""
    entries: list[Part] = []
    for certificate in chain:
        entries += prefixed(3, CertificateDer(certificate))
        if version == "1.3":
            entries.append(b"\0\0")
    context = (b"\0",) if version == "1.3" else ()
    return _message(_CERTIFICATE, *context, *prefixed(3, *entries))


def _signature(version: TlsVersion, algorithm: str, *name: object) -> Parts:
    drawn = Drawn(SIGNATURES[algorithm].signature_bytes, ("TLS signature", *name))
    return (_scheme(version, algorithm).to_bytes(2, "big"), *prefixed(2, drawn))


def _certificate_request(version: TlsVersion, authorities: tuple[str, ...], offer: Offer) -> Parts:
    """Return CertificateRequest with the names of the CAs (RFC 5246 7.4.4, RFC 8446 4.3.2)."""
    names = [der.name(name if "=" in name else f"CN={name}") for name in authorities]
    listed = prefixed(2, *(part for name in names for part in prefixed(2, name)))
    schemes = prefixed(2, _numbers(_RSA_PSS if version == "1.3" else _RSA_PKCS1, offer.signatures))
    if version == "1.3":
        extensions = (*_extension(_SIGNATURE_ALGORITHMS, *schemes), *_extension(_AUTHORITIES, *listed))
        return _message(_CERTIFICATE_REQUEST, b"\0", *prefixed(2, *extensions))
    return _message(_CERTIFICATE_REQUEST, *prefixed(1, b"\x01\x40"), *schemes, *listed)


# -- Flights ---------------------------------------------------------------------------------------------------


def client_hello(version: TlsVersion, group: int, offer: Offer, random: int) -> Flight:
    """Return the first flight."""
    extensions: list[Part] = [
        *_extension(_GROUPS, *prefixed(2, _numbers(NAMED_GROUPS[group], offer.groups))),
        *_extension(_POINT_FORMATS, b"\x01\x00"),
        *_extension(_SIGNATURE_ALGORITHMS, *prefixed(2, _numbers(_RSA_PKCS1, offer.signatures))),
        *_extension(_EXTENDED_MASTER_SECRET),
        *_extension(_RENEGOTIATION, b"\0"),
    ]
    suites = _numbers(0xC030, offer.suites)
    if version == "1.3":
        share = (NAMED_GROUPS[group].to_bytes(2, "big"), *prefixed(2, _point(group, "client", random)))
        extensions += _extension(_VERSIONS, b"\x04\x03\x04\x03\x03")
        extensions += _extension(_KEY_SHARE, *prefixed(2, *share))
        suites = _numbers(0x1302, _SUITES_13) + suites
    hello = _message(
        _CLIENT_HELLO,
        b"\x03\x03",
        Drawn(_RANDOM_BYTES, ("client random", random)),
        b"\0",
        *prefixed(2, suites),
        b"\x01\x00",
        *prefixed(2, *extensions),
    )
    parts = _records(_HANDSHAKE, hello)
    return Flight("ClientHello", parts, length(parts), version, group, random)


def _server_hello(version: TlsVersion, group: int, offer: Offer, random: int, algorithm: str) -> Parts:
    if version == "1.3":
        share = (NAMED_GROUPS[group].to_bytes(2, "big"), *prefixed(2, _point(group, "server", random)))
        suite = _SUITE_13
        session: Parts = (b"\0",)
        extensions = (*_extension(_VERSIONS, b"\x03\x04"), *_extension(_KEY_SHARE, *share))
    else:
        suite = _SUITE_RSA if SIGNATURES[algorithm].kind == "rsa" else _SUITE_ECDSA
        session = prefixed(1, Drawn(offer.session_id_bytes, ("session ID", random)))
        extensions = (
            *_extension(_POINT_FORMATS, b"\x01\x00"),
            *_extension(_EXTENDED_MASTER_SECRET),
            *_extension(_RENEGOTIATION, b"\0"),
        )
    drawn = Drawn(_RANDOM_BYTES, ("server random", random))
    return _message(_SERVER_HELLO, b"\x03\x03", drawn, *session, suite, b"\0", *prefixed(2, *extensions))


def server_flight(
    version: TlsVersion,
    group: int,
    offer: Offer,
    random: int,
    chain: tuple[Certificate, ...],
    authorities: tuple[str, ...],
    proof: bytes,
) -> Flight:
    """Return the answer to ClientHello: the server's certificate and signature, and that it wants the client's."""
    algorithm = chain[0].algorithm
    hello = _server_hello(version, group, offer, random, algorithm)
    request = _certificate_request(version, authorities, offer)
    if version == "1.2":
        point = (b"\x03", NAMED_GROUPS[group].to_bytes(2, "big"), *prefixed(1, _point(group, "server", random)))
        exchange = _message(_SERVER_KEY_EXCHANGE, *point, *_signature(version, algorithm, "server", random))
        done = _message(_SERVER_HELLO_DONE)
        parts = _records(_HANDSHAKE, (*hello, *_certificate_message(version, chain), *exchange, *request, *done))
        return Flight("ServerHello", parts, length(parts), version, group, random, chain, proof)
    inside = (
        *_message(_ENCRYPTED_EXTENSIONS, b"\0\0"),
        *request,
        *_certificate_message(version, chain),
        *_message(_CERTIFICATE_VERIFY, *_signature(version, algorithm, "server", random)),
        *_message(_FINISHED, Drawn(HASH_BYTES, ())),
    )
    hidden, lengths = _encrypted(version, length(inside), ("server flight", random))
    parts = (*_records(_HANDSHAKE, hello), *hidden)
    return Flight("ServerHello", parts, length(parts), version, group, random, chain, proof, lengths)


def client_flight(version: TlsVersion, group: int, random: int, chain: tuple[Certificate, ...], proof: bytes) -> Flight:
    """Return the client's certificate, its signature and Finished; without a certificate no signature."""
    verify: Parts = ()
    if chain:
        verify = _message(_CERTIFICATE_VERIFY, *_signature(version, chain[0].algorithm, "client", random))
    certificate = _certificate_message(version, chain)
    if version == "1.3":
        inside = (*certificate, *verify, *_message(_FINISHED, Drawn(HASH_BYTES, ())))
        parts, lengths = _encrypted(version, length(inside), ("client flight", random))
    else:
        exchange = _message(_CLIENT_KEY_EXCHANGE, *prefixed(1, _point(group, "client", random)))
        finished, lengths = _finished(("client Finished", random))
        parts = (*_records(_HANDSHAKE, (*certificate, *exchange, *verify)), *finished)
    return Flight("Certificate", parts, length(parts), version, group, random, chain, proof, lengths)


def _finished(name: tuple[object, ...]) -> tuple[Parts, tuple[int, ...]]:
    """Return ChangeCipherSpec and Finished of TLS 1.2."""
    hidden, lengths = _encrypted("1.2", 4 + _VERIFY_BYTES, name)
    return (*_records(_CHANGE_CIPHER_SPEC, (b"\x01",)), *hidden), lengths


def last_flight(version: TlsVersion, random: int) -> Flight:
    """Return the server's Finished (TLS 1.2), or that it sends no more, one octet (RFC 9190 2.1.1)."""
    if version == "1.3":
        parts, lengths = _encrypted(version, 1, ("success", random))
        return Flight("protected success", parts, length(parts), version, protected=lengths)
    parts, lengths = _finished(("server Finished", random))
    return Flight("Finished", parts, length(parts), version, protected=lengths)


def alert(version: TlsVersion, random: int, cause: EapCause, *, protected: bool) -> Flight:
    """Return a fatal alert: two octets (RFC 5246 7.2)."""
    if protected:
        parts, lengths = _encrypted(version, 2, ("alert", random))
        return Flight("alert", parts, length(parts), version, protected=lengths, alert=True)
    parts = _records(_ALERT, (bytes((2, _ALERTS.get(cause, _HANDSHAKE_FAILURE))),))
    return Flight("alert", parts, length(parts), version, alert=True)
