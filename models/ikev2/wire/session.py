"""A simulated conversation as it would travel: real key exchanges, real keys, really encrypted payloads.

`Session.datagrams` takes the messages in the order in which they are sent and keeps what the protocol keeps: nonces,
key exchange values, the messages that AUTH signs, and the keys of every IKE SA.

What this leaves out: keys of Child SAs; the methods of EAP (what they compute is drawn); ML-KEM, because the
``cryptography`` library cannot encapsulate with a seed (values and shared secrets are drawn). `Session.notes` says
which of these occurred.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ...algorithms import GROUPS
from ...eap.packets import METHODS_WITH_KEY
from ...secret import Secret
from ..message import IKE_HEADER_BYTES, Exchange, Message
from ..payloads import (
    DIGITAL_SIGNATURE,
    GENERIC_HEADER_BYTES,
    SHARED_KEY_MIC,
    AuthPayload,
    CertPayload,
    CertReqPayload,
    ConfigurationPayload,
    EapPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
)
from ..policy import Certificate, Credential
from ..proposals import IkeProposal, Suite, suite_of
from . import cipher, der, groups, keys, modes, translate
from .draws import Draws
from .groups import KeyPair
from .keys import IkeKeys
from .packet import (
    ENCRYPTED,
    ID_I,
    ID_R,
    AuthBody,
    CertBody,
    CertReqBody,
    EapBody,
    IdBody,
    KeBody,
    NotifyBody,
    Packet,
    WirePayload,
    encode_payloads,
)
from .signatures import SigningKey

#: X.509 certificate for signatures (RFC 7296 3.6).
_X509 = 4
_MSK_BYTES = 64
_NAT_DETECTION = ("NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP")
NOTE_KEM = (
    "ML-KEM and other KEMs: values and shared secrets are drawn octets; the library cannot encapsulate with a seed."
)
NOTE_GROUP = "Brainpool P-224: values and shared secrets are drawn octets; the library does not have the curve."
NOTE_CIPHER = (
    "Serpent and Twofish: the library has neither; the content is masked with SHAKE-256, no other program decrypts it."
)
NOTE_EAP = (
    "EAP: answers to challenges, passwords, the MSK, and in TLS public values, signatures and all that is encrypted "
    "are drawn octets."
)
NOTE_SIGNATURE = "ML-DSA: public keys and signatures are drawn octets; the library cannot sign with a seed."
NOTE_CERTIFICATE = "Certificates are made for this capture, with keys of the seed that protect nothing."
NOTE_SHORT = "A certificate is too short for its key and names: it is an OCTET STRING of drawn octets."


@dataclass(frozen=True, slots=True)
class Prover:
    """What one end proves its identity with.

    The octets of its pre-shared key are a digest of ``shared_key``, those of its PPK (RFC 8784) one of ``ppk``.
    """

    shared_key: Secret | None = None
    credential: Credential | None = None
    ppk: Secret | None = None


@dataclass(slots=True)
class _Sa:
    """What both ends keep of an IKE SA; pairs are (initiator's, responder's). ``history``: all keys it has had."""

    keys: IkeKeys
    nonces: tuple[bytes, bytes]
    init: tuple[bytes, bytes] = (b"", b"")
    identities: list[bytes] = field(default_factory=lambda: [b"", b""])
    intermediate: list[bytes] = field(default_factory=lambda: [b"", b""])
    history: list[IkeKeys] = field(default_factory=list)
    #: The key that EAP gives, once a packet of EAP has been seen.
    msk: bytes = b""
    #: It was made from a ticket.
    resumed: bool = False
    by_eap: bool = False


@dataclass(frozen=True, slots=True)
class _EapSource:
    """Where the packets of EAP take their octets from."""

    draws: Draws
    certificates: Callable[[Certificate], bytes]

    def octets(self, n_bytes: int, *name: object) -> bytes:
        """Return drawn octets."""
        return self.draws.octets(n_bytes, "EAP", *name)

    def certificate(self, certificate: Certificate) -> bytes:
        """Return a certificate in DER."""
        return self.certificates(certificate)


@dataclass(slots=True)
class _Rekey:
    """A rekey of an IKE SA that waits for additional key exchanges."""

    suite: Suite
    nonces: bytes
    spis: tuple[int, int]
    shared: list[bytes]


class Session:
    """Octets of a conversation.

    Parameters
    ----------
    seed: everything that is random follows from it.
    initiator, responder: how the ends of the first IKE SA prove their identities.
    """

    def __init__(
        self,
        seed: int,
        initiator: Prover | None = None,
        responder: Prover | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._draws = Draws(seed)
        self._provers = (initiator or Prover(), responder or Prover())
        self._sas: dict[tuple[int, int], _Sa] = {}
        self._requests: dict[tuple[int, int, int, bool], Message] = {}
        self._init_requests: dict[int, bytes] = {}
        self._rekeys: dict[tuple[int, int, bool], _Rekey] = {}
        self._signing: dict[str, SigningKey] = {}
        #: Keys of the IKE SA for which a ticket stands.
        self._tickets: dict[bytes, IkeKeys] = {}
        self._certificates: dict[int, bytes] = {}
        # A message that is sent again has the same octets; it is kept so that its identity stays its own.
        self._sent: dict[int, tuple[Message, list[bytes]]] = {}

    def datagrams(self, message: Message) -> list[bytes]:
        """Return the IKE message, or each of its fragments, without the non-ESP marker of port 4500.

        Messages must come in the order in which they are sent for the first time. Raises LookupError for one that is
        protected by keys that no message before has made, InputError when the library is missing.
        """
        known = self._sent.get(id(message))
        if known is None:
            known = self._sent[id(message)] = (message, self._encode(message))
        return known[1]

    def sas(self) -> dict[tuple[int, int], list[IkeKeys]]:
        """Return all keys of each IKE SA by its SPIs, oldest first: one entry, and one for each IKE_INTERMEDIATE."""
        return {spis: sa.history for spis, sa in self._sas.items()}

    # -- Messages ----------------------------------------------------------------------------------------------

    def _encode(self, message: Message) -> list[bytes]:
        spis = message.spi_i, message.spi_r
        sa = self._sas[spis] if message.suite is not None else None
        if not message.response:
            self._requests[(*self._spis_of_request(message), message.message_id, message.from_initiator)] = message
        chosen = self._chosen(message)
        payloads: list[WirePayload] = []
        for payload in message.payloads:
            plain = translate.plain_payload(payload, self._draws, chosen)
            if isinstance(plain, IdBody) and sa is not None and plain.kind == self._own_id(message):
                sa.identities[_by(message)] = plain.body()
            payloads.append(plain if plain is not None else self._payload(payload, message, sa))
        payloads = [self._in_context(p, body, message) for p, body in zip(message.payloads, payloads, strict=True)]
        eap = message.find(EapPayload)
        if sa is not None and eap is not None:
            sa.by_eap = True
            sa.msk = self._draws.octets(_MSK_BYTES, "MSK", *spis) if eap.packet.type in METHODS_WITH_KEY else sa.msk
            self._note(NOTE_EAP)
        packet = Packet(
            *spis, message.exchange, message.message_id, message.response, message.from_initiator, tuple(payloads)
        )
        if sa is None:
            octets = [packet.encode()]
            if not message.response:
                self._init_requests[message.spi_i] = octets[0]
        else:
            octets = self._protect(packet, message, sa)
        given = message.notify("TICKET_LT_OPAQUE")
        if message.response:
            if sa is not None and message.notify("PPK_IDENTITY") is not None:
                # The responder uses the PPK: whatever is derived from now on comes from the mixed keys.
                sa.keys = sa.history[-1] = self._mixed(sa, 0)
            self._after_response(message, octets[0])
            if sa is not None and given is not None:
                self._tickets[given.data] = sa.keys
        return octets

    def _protect(self, packet: Packet, message: Message, sa: _Sa) -> list[bytes]:
        first, inner = encode_payloads(packet.payloads)
        if message.exchange is Exchange.IKE_INTERMEDIATE:
            self._sign_intermediate(packet, first, inner, sa)
        suite = sa.keys.suite
        if not modes.is_real(suite.encryption):
            self._note(NOTE_CIPHER)
        iv_bytes = cipher.iv_bytes(suite)
        name = (packet.spi_i, packet.spi_r, packet.exchange, packet.message_id, packet.response, packet.from_initiator)
        if not message.fragments:
            return [cipher.protect(packet, sa.keys, first, inner, self._draws.octets(iv_bytes, "IV", *name))]
        octets = []
        total = len(message.fragments)
        for number, size in enumerate(message.fragments, start=1):
            most = cipher.content_bytes(suite, size)
            piece, inner = (inner[:most], inner[most:]) if number < total else (inner, b"")
            iv = self._draws.octets(iv_bytes, "IV", *name, number)
            octets.append(cipher.protect(packet, sa.keys, first, piece, iv, (number, total)))
            first = 0
        return octets

    def _sign_intermediate(self, packet: Packet, first: int, inner: bytes, sa: _Sa) -> None:
        """Let AUTH sign a message: headers as if it was neither encrypted nor cut, and content (RFC 9242 3.3.2)."""
        sk_bytes = GENERIC_HEADER_BYTES + len(inner)
        headers = (
            packet.header(ENCRYPTED, IKE_HEADER_BYTES + sk_bytes) + bytes((first, 0)) + sk_bytes.to_bytes(2, "big")
        )
        by = 0 if packet.from_initiator else 1
        octets = sa.intermediate[by] + headers + inner
        sa.intermediate[by] = keys.prf(sa.keys.suite.prf, sa.keys.proof[by], octets)

    @staticmethod
    def _spis_of_request(message: Message) -> tuple[int, int]:
        """Return the SPIs under which a request is found: the responder's is not known yet in IKE_SA_INIT."""
        return message.spi_i, 0 if message.suite is None else message.spi_r

    def _request_of(self, message: Message) -> Message | None:
        return self._requests.get(
            (*self._spis_of_request(message), message.message_id, not message.from_initiator), None
        )

    @staticmethod
    def _own_id(message: Message) -> int:
        """Return the type of the ID payload by which the sender names itself; an initiator may name its peer too."""
        return ID_I if message.from_initiator else ID_R

    def _chosen(self, message: Message) -> int:
        """Return the number of the proposal that a response accepts (RFC 7296 3.3.1); 1 for anything else."""
        request = self._request_of(message) if message.response else None
        offer = request.find(SaPayload) if request is not None else None
        answer = message.find(SaPayload)
        if offer is None or answer is None or not answer.proposals:
            return 1
        own = translate.sa_body(answer).proposals[0].transforms
        for proposal in translate.sa_body(offer).proposals:
            if set(own) <= set(proposal.transforms):
                return proposal.number
        return 1

    # -- Keys --------------------------------------------------------------------------------------------------

    def _after_response(self, message: Message, octets: bytes) -> None:
        """Make the keys that a response completes."""
        request = self._request_of(message)
        if request is not None and message.exchange is Exchange.IKE_SESSION_RESUME:
            self._resume(request, message, octets)
            return
        asked = request.find(KePayload) if request is not None else None
        answer = message.find(KePayload)
        if request is None or asked is None or answer is None:
            return
        spis = message.spi_i, message.spi_r
        if message.exchange is Exchange.IKE_SA_INIT:
            suite = _suite(message)
            nonces = self._nonce(request), self._nonce(message)
            seed = keys.first_seed(suite, nonces, self._shared(request, message))
            made = keys.ike_keys(suite, seed, b"".join(nonces), *spis)
            self._sas[spis] = _Sa(made, nonces, (self._init_requests[message.spi_i], octets), history=[made])
        elif message.exchange is Exchange.IKE_INTERMEDIATE:
            sa = self._sas[spis]
            nonces_joined = b"".join(sa.nonces)
            seed = keys.next_seed(sa.keys, nonces_joined, self._shared(request, message))
            sa.keys = keys.ike_keys(sa.keys.suite, seed, nonces_joined, *spis)
            sa.history.append(sa.keys)
        elif message.exchange is Exchange.IKE_FOLLOWUP_KE:
            waiting = self._rekeys[(*spis, request.from_initiator)]
            waiting.shared.append(self._shared(request, message))
            self._rekey_if_complete(self._sas[spis], waiting)
        elif _rekeys_ike(message):
            new = request.get(SaPayload).spi, message.get(SaPayload).spi
            nonces_joined = self._nonce(request) + self._nonce(message)
            waiting = _Rekey(_suite(message), nonces_joined, new, [self._shared(request, message)])
            self._rekeys[(*spis, request.from_initiator)] = waiting
            self._rekey_if_complete(self._sas[spis], waiting)

    def _resume(self, request: Message, message: Message, octets: bytes) -> None:
        """Make the keys of a resumed SA: SKEYSEED from SK_d of the old one and both nonces (RFC 5723 section 5.1)."""
        ticket = request.notify("TICKET_OPAQUE")
        if ticket is None or message.find(NoncePayload) is None:
            return
        old, spis = self._tickets[ticket.data], (message.spi_i, message.spi_r)
        nonces = self._nonce(request), self._nonce(message)
        seed = keys.prf(old.suite.prf, old.derivation, b"Resumption" + b"".join(nonces))
        made = keys.ike_keys(old.suite, seed, b"".join(nonces), *spis)
        init = (self._init_requests[message.spi_i], octets)
        self._sas[spis] = _Sa(made, nonces, init, history=[made], resumed=True)

    def _rekey_if_complete(self, old: _Sa, rekey: _Rekey) -> None:
        if len(rekey.shared) <= len(rekey.suite.additional_exchanges):
            return
        seed = keys.next_seed(old.keys, rekey.nonces, *rekey.shared)
        made = keys.ike_keys(rekey.suite, seed, rekey.nonces, *rekey.spis)
        self._sas[rekey.spis] = _Sa(made, (b"", b""), history=[made])

    def _nonce(self, message: Message) -> bytes:
        payload = message.get(NoncePayload)
        return translate.octets_of(payload.value, payload.n_bytes, self._draws, "nonce")

    def _shared(self, request: Message, response: Message) -> bytes:
        """Return the shared secret of a key exchange; a KEM's is drawn."""
        number = response.get(KePayload).group
        if number not in GROUPS or not groups.is_real(GROUPS[number]):
            return self._draws.octets(32, "KEM secret", *_exchange_name(response))
        pair = KeyPair(GROUPS[number], self._draws, *_exchange_name(request))
        return pair.shared(KeyPair(GROUPS[number], self._draws, *_exchange_name(response)).public())

    # -- Payloads ----------------------------------------------------------------------------------------------

    def _payload(self, payload: Payload, message: Message, sa: _Sa | None) -> WirePayload:
        match payload:
            case KePayload():
                return self._key_exchange(payload, message)
            case CertPayload():
                return CertBody(_X509, self._certificate(payload.certificate))
            case CertReqPayload():
                hashes = (
                    hashlib.sha1(self._authority(a).key_info(), usedforsecurity=False) for a in payload.authorities
                )
                return CertReqBody(_X509, b"".join(h.digest() for h in hashes))
            case ConfigurationPayload():
                return translate.configuration_body(payload)
            case EapPayload():
                return EapBody(payload.packet.encode(_EapSource(self._draws, self._certificate)))
            case AuthPayload() if sa is not None:
                by_ppk = message.notify("PPK_IDENTITY") is not None
                used = self._mixed(sa, _by(message)) if by_ppk else sa.keys
                return AuthBody(payload.method, self._auth(payload, message, sa, used))
            case _:
                raise LookupError(f"{payload.name} in {message.exchange.name} has no encoding")

    def _in_context(self, payload: Payload, body: WirePayload, message: Message) -> WirePayload:
        """Return the body; NAT detection hashes the SPIs of the message, REDIRECT repeats the nonce of the request."""
        if not isinstance(payload, NotifyPayload) or not isinstance(body, NotifyBody):
            return body
        if payload.type == "NO_PPK_AUTH" and (sa := self._sas.get((message.spi_i, message.spi_r))) is not None:
            return NotifyBody(body.number, self._auth(message.get(AuthPayload), message, sa, sa.keys))
        if payload.type in _NAT_DETECTION:
            data = translate.nat_hash(message.spi_i, message.spi_r, payload.value, payload.n_bytes)
            return NotifyBody(body.number, data)
        request = self._request_of(message) if message.response else None
        if payload.type == "REDIRECT" and request is not None and request.find(NoncePayload) is not None:
            octets = payload.data + self._nonce(request)
            return NotifyBody(body.number, octets[: payload.n_bytes].ljust(payload.n_bytes, b"\0"))
        return body

    def _key_exchange(self, payload: KePayload, message: Message) -> KeBody:
        group = GROUPS.get(payload.group)
        if group is None or not groups.is_real(group):
            self._note(NOTE_KEM if group is None else NOTE_GROUP)
            n_bytes = payload.size - GENERIC_HEADER_BYTES - 4
            return KeBody(payload.group, self._draws.octets(n_bytes, "KEM", *_exchange_name(message)))
        return KeBody(payload.group, KeyPair(group, self._draws, *_exchange_name(message)).public())

    def _mixed(self, sa: _Sa, by: int) -> IkeKeys:
        """Return the keys of an SA with the PPK of one end in them."""
        ppk = self._provers[by].ppk
        assert ppk is not None
        return keys.mixed(sa.keys, ppk.proof("PPK of a capture"))

    def _auth(self, payload: AuthPayload, message: Message, sa: _Sa, used: IkeKeys) -> bytes:
        """Return the AUTH data by the keys ``used``: a MAC with the pre-shared key or the MSK, or a signature.

        RFC 7296 2.15 and 2.16.
        """
        by = _by(message)
        more = b""
        if any(sa.intermediate):
            # The message ID of the first IKE_AUTH request comes last (RFC 9242 3.3.2).
            first = min(i for (*spis, i, _), m in self._requests.items() if _is_auth(m, spis, message))
            more = b"".join(sa.intermediate) + first.to_bytes(4, "big")
        octets = keys.signed_octets(used, sa.init[by], sa.nonces[1 - by], sa.identities[by], by, more)
        prover = self._provers[by]
        if sa.resumed:
            return keys.prf(used.suite.prf, used.proof[by], octets)
        if payload.method == SHARED_KEY_MIC:
            # After EAP both ends prove that they hold the key that it gave, or SK_pi and SK_pr (RFC 7296 2.16).
            secret = sa.msk or (used.proof[by] if sa.by_eap else b"")
            if not secret:
                assert prover.shared_key is not None
                secret = prover.shared_key.proof("pre-shared key of a capture")
            return keys.shared_key_auth(used, secret, octets)
        assert prover.credential is not None
        key = self._signing_key(prover.credential.chain[0].algorithm, prover.credential.private_key)
        if payload.method == DIGITAL_SIGNATURE:
            identifier = key.algorithm_identifier()
            return bytes((len(identifier),)) + identifier + key.sign(octets)
        return key.sign_plainly(octets)

    # -- Certificates ------------------------------------------------------------------------------------------

    def _certificate(self, certificate: Certificate) -> bytes:
        found = self._certificates.get(id(certificate))
        if found is None:
            found = self._certificates[id(certificate)] = self._make_certificate(certificate)
        return found

    def _make_certificate(self, certificate: Certificate) -> bytes:
        self._note(NOTE_CERTIFICATE)
        key = self._signing_key(certificate.algorithm, certificate.key)
        issuer = self._authority(certificate.issuer, certificate.issuer_algorithm)
        name = (certificate.subject, certificate.issuer, certificate.der_bytes)
        algorithm = issuer.algorithm_identifier()
        body = der.certificate(
            certificate.subject,
            certificate.issuer,
            key.key_info(),
            algorithm,
            self._draws.octets(16, "serial number", *name),
            certificate.der_bytes,
            issuer.signature.signature_bytes,
        )
        if body is None:
            self._note(NOTE_SHORT)
            header = len(der.tlv(0x04, bytes(certificate.der_bytes))) - certificate.der_bytes
            return der.tlv(0x04, self._draws.octets(certificate.der_bytes - header, "certificate", *name)).ljust(
                certificate.der_bytes, b"\0"
            )
        return der.signed(body, algorithm, issuer.sign(body))

    def _signing_key(self, algorithm: str, key: Secret) -> SigningKey:
        """Return the key pair that a secret stands for."""
        return self._named_key(algorithm, key.proof("key pair of a capture").hex())

    def _authority(self, name: str, algorithm: str = "") -> SigningKey:
        """Return the key pair of a CA: that of its certificate in a chain, else one drawn for its name.

        ``algorithm``: where no certificate that it has signed tells it, as in CERTREQ; Ed25519 in doubt.
        """
        chains = (p.credential.chain for p in self._provers if p.credential is not None)
        for certificate in (c for chain in chains for c in chain):
            if certificate.subject.value == name:
                return self._signing_key(certificate.algorithm, certificate.key)
            if certificate.issuer == name:
                algorithm = certificate.issuer_algorithm
        return self._named_key(algorithm or "ed25519", f"CA {name}")

    def _named_key(self, algorithm: str, name: str) -> SigningKey:
        key = self._signing.get(name)
        if key is None:
            key = self._signing[name] = SigningKey(algorithm, self._draws, name)
        if not key.real:
            self._note(NOTE_SIGNATURE)
        return key

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _by(message: Message) -> int:
    """Return 0 for a message of the initiator of the IKE SA, 1 for one of the responder."""
    return 0 if message.from_initiator else 1


def _is_auth(request: Message, spis: Iterable[int], message: Message) -> bool:
    return request.exchange is Exchange.IKE_AUTH and tuple(spis) == (message.spi_i, message.spi_r)


def _exchange_name(message: Message) -> tuple[object, ...]:
    """Return what tells the key pair of a message from all others; a repeated IKE_SA_INIT keeps its key pair."""
    role = "response" if message.response else "request"
    return message.exchange.name, message.spi_i, message.spi_r, message.message_id, message.from_initiator, role


def _rekeys_ike(message: Message) -> bool:
    answer = message.find(SaPayload)
    return answer is not None and isinstance(answer.proposals[0], IkeProposal)


def _suite(message: Message) -> Suite:
    """Return the suite that a response has chosen."""
    proposal = message.get(SaPayload).proposals[0]
    assert isinstance(proposal, IkeProposal)
    return suite_of(proposal)
