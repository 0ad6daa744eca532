"""EAP-TLS at both ends: flights in fragments, and what each flight costs (RFC 5216, RFC 9190 for TLS 1.3).

A fragment is acknowledged by an empty packet (RFC 5216 2.1.5); the first one of a flight tells its length, also where
there is no second (``include_length`` of strongSwan and FreeRADIUS is on by default). Both ends send certificates.

What this leaves out: a server that looks for the EAP identity in the peer's certificate (RFC 5216 5.2 leaves it to the
server; here every certificate of a CA that it trusts will do), revocation, an empty identity, resumption.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..ikev2.operations import (
    CheckCertificate,
    DhKeygen,
    DhShared,
    DhValidate,
    Hash,
    Operation,
    PrfCall,
    Protect,
    Sign,
    Unprotect,
    Verify,
)
from ..ikev2.policy import Certificate, Credential, chain_is_trusted
from ..secret import Secret
from . import tls
from .packets import EapPacket, Piece
from .rules import EapCause, EapRules, Surroundings, TlsVersion, Turn

#: Flags (RFC 5216 3.1), and what stands before the data: type and flags are in every packet. [bytes]
_LENGTH, _MORE, _START = 0x80, 0x40, 0x20
_FRAME_BYTES, _LENGTH_BYTES = 6, 4
#: MSK and EMSK (RFC 5216 2.3). [bytes]
_EXPORTED_BYTES = 128
#: Keys and implicit nonces of both directions with AES-256-GCM (RFC 5288). [bytes]
_KEY_BLOCK_BYTES = 2 * (32 + 4)
_MASTER_BYTES, _VERIFY_BYTES = 48, 12
#: HMACs of the TLS 1.3 key schedule (RFC 8446 7.1): three extractions and two derivations between them, a traffic
#: secret of each direction twice, a key and a nonce from each, and the exporter's secret.
_SCHEDULE_CALLS = 3 + 2 + 4 + 8 + 1
#: What HKDF-Expand-Label hashes: length, label, a transcript hash, a counter (RFC 8446 7.1). [bytes]
_LABEL_BYTES = 2 + 20 + 49 + 1


class Carrier:
    """Flights in EAP-TLS packets of one end."""

    def __init__(self, code: str, most_bytes: int) -> None:
        self._request = code == "request"
        self._most_bytes = most_bytes
        self._flight: tls.Flight | None = None
        self._sent = 0

    def packet(self, kind: str, parts: tuple[bytes | Piece, ...], **fields: object) -> EapPacket:
        """Return a packet of this end."""
        return EapPacket("request" if self._request else "response", kind, "tls", parts, **fields)  # type: ignore[arg-type]

    def send(self, flight: tls.Flight) -> EapPacket:
        """Return the first packet of a flight."""
        self._flight, self._sent = flight, 0
        return self._next()

    def go_on(self) -> EapPacket | None:
        """Return the next fragment once one was acknowledged, None when there is none."""
        return None if self._flight is None else self._next()

    def acknowledge(self) -> EapPacket:
        """Return an empty packet."""
        return self.packet("tls acknowledgement", (b"\0",))

    def _next(self) -> EapPacket:
        flight = self._flight
        assert flight is not None
        first = self._sent == 0
        room = self._most_bytes - _FRAME_BYTES - (_LENGTH_BYTES if first else 0)
        n_bytes = min(room, flight.n_bytes - self._sent)
        piece = Piece(flight.parts, self._sent, n_bytes)
        self._sent += n_bytes
        more = self._sent < flight.n_bytes
        flags = (_LENGTH if first else 0) | (_MORE if more else 0)
        head = bytes((flags,)) + (flight.n_bytes.to_bytes(_LENGTH_BYTES, "big") if first else b"")
        if not more:
            self._flight = None
        name = f"tls {flight.name}" + ("" if first and not more else " fragment")
        return self.packet(name, (head, piece), flight=None if more else flight, more=more)


class _End(ABC):
    """What both ends share."""

    def __init__(self, rules: EapRules, surroundings: Surroundings, code: str) -> None:
        self.msk: Secret | None = None
        self._rules = rules
        self._surroundings = surroundings
        self._carrier = Carrier(code, surroundings.count("eap_tls_fragment_bytes"))
        self._offer = tls.offer_of(surroundings.count)
        self._random = 0
        self._peer_random = 0
        self._version: TlsVersion = "1.2"
        self._group = rules.tls_group
        self._transcript_bytes = 0

    # -- work --------------------------------------------------------------------------------------------------

    def _prf(self, n_bytes: int) -> list[Operation]:
        """P_hash of TLS 1.2: two HMACs for each output (RFC 5246 5)."""
        count = 2 * -(-n_bytes // tls.HASH_BYTES)
        return [PrfCall(tls.HASH, tls.HASH_BYTES + 13 + 64, count)]

    def _keys(self) -> list[Operation]:
        """Shared secret and keys of the connection."""
        secret: list[Operation] = [DhValidate(self._group), DhShared(self._group)]
        if self._version == "1.3":
            return [*secret, PrfCall(tls.HASH, _LABEL_BYTES, _SCHEDULE_CALLS)]
        return [*secret, *self._prf(_MASTER_BYTES), *self._prf(_KEY_BLOCK_BYTES)]

    def _finished(self) -> list[Operation]:
        """verify_data, made or checked: hash of the handshake so far and a MAC."""
        transcript = Hash(tls.HASH, self._transcript_bytes)
        if self._version == "1.3":
            return [transcript, PrfCall(tls.HASH, _LABEL_BYTES), PrfCall(tls.HASH, tls.HASH_BYTES)]
        return [transcript, *self._prf(_VERIFY_BYTES)]

    def _export(self) -> list[Operation]:
        """MSK and EMSK (RFC 5216 2.3, RFC 9190 2.3)."""
        if self._version == "1.3":
            return [PrfCall(tls.HASH, _LABEL_BYTES, 1 + -(-_EXPORTED_BYTES // tls.HASH_BYTES))]
        return self._prf(_EXPORTED_BYTES)

    def _signing(self, algorithm: str) -> list[Operation]:
        return [Hash(tls.HASH, self._transcript_bytes), Sign(algorithm)]

    def _verifying(self, chain: tuple[Certificate, ...]) -> list[Operation]:
        issuers = [Verify(certificate.issuer_algorithm) for certificate in chain]
        return [CheckCertificate(), *issuers, Hash(tls.HASH, self._transcript_bytes), Verify(chain[0].algorithm)]

    @staticmethod
    def _sealing(flight: tls.Flight) -> list[Operation]:
        return [Protect(tls.ENCRYPTION, "", n_bytes) for n_bytes in flight.protected]

    @staticmethod
    def _opening(flight: tls.Flight) -> list[Operation]:
        return [Unprotect(tls.ENCRYPTION, "", n_bytes) for n_bytes in flight.protected]

    # -- proofs ------------------------------------------------------------------------------------------------

    def _signed(self, credential: Credential, *, mine: bool) -> bytes:
        return credential.private_key.proof("TLS", *self._randoms(), mine)

    def _judge(self, flight: tls.Flight, *, by_server: bool) -> EapCause | None:
        """Return why the other end's certificate or signature is not accepted."""
        if not flight.chain or not chain_is_trusted(flight.chain, self._rules.trusted):
            return "certificate not trusted"
        if flight.proof != flight.chain[0].key.proof("TLS", *self._randoms(), by_server):
            return "wrong signature"
        return None

    @abstractmethod
    def _randoms(self) -> tuple[int, int]:
        """Return the client's and the server's random."""

    def _master(self) -> Secret:
        return Secret("TLS {} {}".format(*self._randoms()))


class TlsServer(_End):
    """The server: start, its flight, its last words."""

    def __init__(self, rules: EapRules, surroundings: Surroundings, _user: str) -> None:
        super().__init__(rules, surroundings, "request")
        self._finishing = False
        self._cause: EapCause | None = None

    def _randoms(self) -> tuple[int, int]:
        return self._peer_random, self._random

    def begin(self, _identifier: int) -> Turn:
        """Return the start packet (RFC 5216 2.1.1)."""
        return Turn([], self._carrier.packet("tls start", (bytes((_START,)),)))

    def receive(self, packet: EapPacket, _identifier: int) -> Turn:
        """Take a fragment, an acknowledgement or a whole flight."""
        if packet.more:
            return Turn([], self._carrier.acknowledge())
        flight = packet.flight
        if flight is None:
            following = self._carrier.go_on()
            if following is not None:
                return Turn([], following)
            if self._finishing and self._cause is None:
                self.msk = self._master()
                return Turn()
            return Turn(cause=self._cause or "refused by the peer")
        self._transcript_bytes += flight.n_bytes
        if flight.alert:
            return Turn(self._opening(flight), cause="refused by the peer")
        if flight.name == "ClientHello":
            return self._answer_hello(flight)
        return self._answer_certificate(flight)

    def _answer_hello(self, hello: tls.Flight) -> Turn:
        credential = self._rules.credential
        assert credential is not None
        self._version = min(hello.version, self._rules.tls_version)
        self._group, self._peer_random = hello.group, hello.random
        self._random = self._surroundings.draw()
        operations: list[Operation] = [DhKeygen(self._group)]
        if self._version == "1.3":
            operations += self._keys()
        operations += self._signing(credential.chain[0].algorithm)
        proof = self._signed(credential, mine=True)
        flight = tls.server_flight(
            self._version,
            self._group,
            self._offer,
            self._random,
            credential.chain,
            self._rules.trusted,
            proof,
        )
        self._transcript_bytes += flight.n_bytes
        if self._version == "1.3":
            operations += [*self._finished(), *self._sealing(flight)]
        return Turn(operations, self._carrier.send(flight))

    def _answer_certificate(self, flight: tls.Flight) -> Turn:
        opening = self._opening(flight)
        operations = opening if self._version == "1.3" else [*self._keys(), *opening]
        cause = self._judge(flight, by_server=False)
        if flight.chain:
            operations += self._verifying(flight.chain)
        if cause is not None:
            self._cause = cause
            alert = tls.alert(self._version, self._random, cause, protected=self._version == "1.3")
            return Turn([*operations, *self._sealing(alert)], self._carrier.send(alert))
        operations += self._finished()
        last = tls.last_flight(self._version, self._random)
        if self._version == "1.2":
            operations += self._finished()
        self._finishing = True
        return Turn([*operations, *self._sealing(last), *self._export()], self._carrier.send(last))


class TlsPeer(_End):
    """The peer: hello, its certificate, and silence."""

    def __init__(self, rules: EapRules, surroundings: Surroundings) -> None:
        super().__init__(rules, surroundings, "response")
        assert rules.account is not None
        self.done = False
        self._credential = rules.credential

    def _randoms(self) -> tuple[int, int]:
        return self._random, self._peer_random

    def receive(self, packet: EapPacket) -> Turn:
        """Take the start, a fragment, an acknowledgement or a whole flight."""
        if packet.kind == "tls start":
            self._random = self._surroundings.draw()
            hello = tls.client_hello(self._rules.tls_version, self._group, self._offer, self._random)
            self._transcript_bytes += hello.n_bytes
            early: list[Operation] = [DhKeygen(self._group)] if hello.version == "1.3" else []
            return Turn(early, self._carrier.send(hello))
        if packet.more:
            return Turn([], self._carrier.acknowledge())
        flight = packet.flight
        if flight is None:
            following = self._carrier.go_on()
            return Turn(cause="refused by the peer") if following is None else Turn([], following)
        if flight.alert:
            return Turn(self._opening(flight), self._carrier.acknowledge())
        if flight.name == "ServerHello":
            return self._answer_server(flight)
        operations = self._opening(flight)
        if self._version == "1.2":
            operations += self._finished()
        self.done, self.msk = True, self._master()
        return Turn([*operations, *self._export()], self._carrier.acknowledge())

    def _answer_server(self, flight: tls.Flight) -> Turn:
        self._version, self._peer_random = flight.version, flight.random
        self._transcript_bytes += flight.n_bytes
        operations: list[Operation] = []
        if self._version == "1.3":
            operations += [*self._keys(), *self._opening(flight)]
        operations += self._verifying(flight.chain)
        cause = self._judge(flight, by_server=True)
        if cause is not None:
            alert = tls.alert(self._version, self._random, cause, protected=self._version == "1.3")
            return Turn([*operations, *self._sealing(alert)], self._carrier.send(alert), cause)
        chain = self._credential.chain if self._credential is not None else ()
        proof = self._signed(self._credential, mine=False) if self._credential is not None else b""
        if self._version == "1.3":
            operations += self._finished()
        else:
            # The key share that a hello of TLS 1.3 had is not used here.
            operations += [DhKeygen(self._group), *self._keys()]
        if chain:
            operations += self._signing(chain[0].algorithm)
        own = tls.client_flight(self._version, self._group, self._random, chain, proof)
        self._transcript_bytes += own.n_bytes
        return Turn([*operations, *self._finished(), *self._sealing(own)], self._carrier.send(own))
