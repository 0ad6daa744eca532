"""The exchanges of IKEv1 as messages with sizes and operations (RFC 2409 5.1, 5.4, 5.5, 5.7).

Main mode (6 messages), aggressive mode (3), quick mode (3), deletion, and dead peer detection (RFC 3706). Each end does
its public-key work before it answers, as the recorded implementation does. Pre-shared keys or RSA signatures; behind a
NAT both ends move to port 4500 with the fifth message of main mode, the third of aggressive mode (RFC 3947 4).

What this leaves out: losses, collisions, authentication by encrypted nonces, negotiations that fail: the responder
takes the first suite that is offered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..algorithms import SIGNATURES
from ..errors import InputError
from ..ikev2.identity import Identity
from ..ikev2.operations import CheckCertificate, Sign, Verify
from ..ikev2.proposals import EspSuite
from . import payloads as p
from . import work
from .implementation import ImplementationV1
from .payloads import IkeSuite, MessageV1, Payload
from .work import Operations

#: Exchange types (RFC 2408 3.1, RFC 2409 appendix A).
MAIN, AGGRESSIVE, INFORMATIONAL, QUICK = 2, 4, 5, 32
NAMES = {MAIN: "MAIN_MODE", AGGRESSIVE: "AGGRESSIVE", INFORMATIONAL: "INFORMATIONAL_V1", QUICK: "QUICK_MODE"}
#: How an end announces that it can put pieces together.
CUTS = "VID:FRAGMENTATION"
#: Lifetime of an IPsec SA that nobody names (RFC 2407 4.5). [s]
DEFAULT_LIFETIME_S = 28800


@dataclass(frozen=True, slots=True)
class Certificates:
    """RSA certificates of both ends: ``algorithm`` as ``rsa2048``, DER lengths in bytes, CAs that both ask for."""

    algorithm: str
    initiator_bytes: int
    responder_bytes: int
    authorities: int = 1


@dataclass(frozen=True, slots=True)
class Peers:
    """What both ends agree on.

    ``ike``, ``esp``: offered suites, the first one is taken. ``traffic_id_bytes``: data of each ID of quick mode, 8 for
    a subnet, 4 for an address (RFC 2407 4.6.2). ``certificates``: None: pre-shared keys. ``nat``: a NAT is between
    them, or one end says so. ``transport``: the mode of the ESP SAs. ``cuts``: they announce fragmentation.
    """

    initiator: Identity
    responder: Identity
    ike: tuple[IkeSuite, ...]
    esp: tuple[EspSuite, ...]
    implementation: ImplementationV1
    traffic_id_bytes: int | tuple[int, int] = p.SUBNET_BYTES
    certificates: Certificates | None = None
    nat: bool = False
    transport: bool = False
    cuts: bool = True

    def __post_init__(self) -> None:
        if not self.ike or not self.esp:
            raise InputError("IKEv1 needs at least one suite for itself and one for ESP")
        if len({suite.group for suite in self.esp}) > 1:
            raise InputError("all transforms of a quick mode share one group for PFS (RFC 2409 5.5)")

    @property
    def suite(self) -> IkeSuite:
        """The suite of the ISAKMP SA."""
        return self.ike[0]

    @property
    def nonce_bytes(self) -> int:
        """One nonce. [bytes]"""
        return self.implementation.number("nonce_bytes")

    @property
    def nonces_bytes(self) -> int:
        """Both nonces. [bytes]"""
        return 2 * self.nonce_bytes

    def identity(self, *, initiator: bool) -> Payload:
        """Return the ID payload of one end."""
        return p.identification((self.initiator if initiator else self.responder).data_bytes())

    def sa(self, *, initiator: bool) -> Payload:
        """Return the SA payload of phase 1: all suites, or the one that was chosen."""
        offered = self.ike if initiator else self.ike[:1]
        return p.ike_sa(offered, self.implementation.number("ike_lifetime_s"))

    def hash_of(self, *, initiator: bool) -> Operations:
        """Return the work of HASH_I or HASH_R, which cover the initiator's SA and the end's own ID."""
        covered = self.sa(initiator=True).size + self.identity(initiator=initiator).size - 2 * p.GENERIC_HEADER_BYTES
        return work.phase_1_hash(self.suite, covered)

    def proof(self, *, initiator: bool) -> Operations:
        """Return how one end makes its proof: a hash, and its signature with certificates."""
        made = self.hash_of(initiator=initiator)
        return (*made, Sign(self.certificates.algorithm)) if self.certificates is not None else made

    def check(self, *, initiator: bool) -> Operations:
        """Return how the other end checks the proof of this one, and the certificate behind it."""
        made = self.hash_of(initiator=initiator)
        if self.certificates is None:
            return made
        algorithm = self.certificates.algorithm
        return (CheckCertificate(), Verify(algorithm), *made, Verify(algorithm))

    def traffic_ids(self) -> tuple[Payload, Payload]:
        """Return what a quick mode protects: the initiator's side and the responder's."""
        lengths = self.traffic_id_bytes
        first, second = (lengths, lengths) if isinstance(lengths, int) else lengths
        return p.identification(first), p.identification(second)

    def composed(self, message: str) -> tuple[Payload, ...]:
        """Return the payloads of one message of phase 1; an odd number at its end: the initiator's."""
        initiator = message[-1] in "135"
        tokens: tuple[str, ...] = getattr(self.implementation.profile.compositions, message)
        carried = []
        for token in tokens:
            if token == "CERTREQ":
                carried += self._requests()
            elif not (token == "CERT" and self.certificates is None) and (self.cuts or token != CUTS):
                carried.append(self._payload(token, initiator=initiator))
        return tuple(carried)

    def _requests(self) -> list[Payload]:
        if self.certificates is None:
            return []
        return [
            p.certificate_request(self.implementation.number("authority_name_bytes"))
        ] * self.certificates.authorities

    def _payload(self, token: str, *, initiator: bool) -> Payload:
        kind, _, name = token.partition(":")
        own = self.certificates
        match kind:
            case "SA":
                return self.sa(initiator=initiator)
            case "KE":
                return p.key_exchange(self.suite.group)
            case "NONCE":
                return p.nonce(self.nonce_bytes)
            case "ID":
                return self.identity(initiator=initiator)
            case "CERT" if own is not None:
                return p.certificate(own.initiator_bytes if initiator else own.responder_bytes)
            case "HASH" if own is not None:
                return p.signature(SIGNATURES[own.algorithm].signature_bytes)
            case "HASH":
                return p.hash_payload(self.suite)
            case "NAT-D":
                return p.nat_detection(self.suite)
            case "VID":
                return p.vendor_id(name, self.implementation.vendor_id_bytes(name))
            case "N":
                return p.notification(name)
        raise InputError(f"unknown payload '{token}' in the compositions of {self.implementation.name}")

    def message(
        self,
        exchange: int,
        carried: tuple[Payload, ...],
        *,
        initiator: bool,
        encrypted: bool,
        before: Operations = (),
        after: Operations = (),
    ) -> MessageV1:
        """Return a message; ``before``: what its sender does by itself, ``after``: what its arrival sets off."""
        size = 0
        sending, receiving = work.SEND, work.RECEIVE
        if encrypted:
            whole = self.implementation.profile.pads_whole_block
            size = p.padded_bytes(p.inner_bytes(carried), self.suite.block_bytes, whole_block=whole)
            sending, receiving = work.protect(self.suite, size), work.unprotect(self.suite, size)
        # Phase 1 is encrypted from the message on with which it moves to port 4500.
        floated = self.nat and encrypted
        return MessageV1(
            NAMES[exchange], exchange, initiator, carried, size, (*before, *sending), (*receiving, *after), floated
        )


def main_mode(peers: Peers) -> list[MessageV1]:
    """Return the six messages of main mode (RFC 2409 5.4)."""
    suite = peers.suite
    nat = work.nat_detection(suite)
    keys = (*work.shared(suite.group), *work.phase_1_keys(suite, peers.nonces_bytes))
    made_i, made_r = (peers.proof(initiator=end) for end in (True, False))
    checked_i, checked_r = (peers.check(initiator=end) for end in (True, False))
    effects: tuple[Operations, ...] = (
        (),
        (*work.keygen(suite.group), *nat),
        (*nat, *work.keygen(suite.group), *nat, *keys),
        (*nat, *keys, *made_i),
        (*checked_i, *made_r),
        checked_r,
    )
    return [
        peers.message(MAIN, peers.composed(f"main_{n}"), initiator=n % 2 == 1, encrypted=n > 4, after=effects[n - 1])
        for n in range(1, 7)
    ]


def aggressive_mode(peers: Peers) -> list[MessageV1]:
    """Return the three messages of aggressive mode (RFC 2409 5.4): identities in the clear, the third encrypted."""
    suite = peers.suite
    nat = work.nat_detection(suite)
    keys = (*work.shared(suite.group), *work.phase_1_keys(suite, peers.nonces_bytes))
    made_i, made_r = (peers.proof(initiator=end) for end in (True, False))
    checked_i, checked_r = (peers.check(initiator=end) for end in (True, False))
    effects: tuple[Operations, ...] = (
        (*work.keygen(suite.group), *keys, *nat, *made_r),
        (*nat, *keys, *checked_r, *made_i, *nat),
        (*checked_i, *nat),
    )
    return [
        peers.message(
            AGGRESSIVE,
            peers.composed(f"aggressive_{n}"),
            initiator=n != 2,
            encrypted=n == 3,
            before=work.keygen(suite.group) if n == 1 else (),
            after=effects[n - 1],
        )
        for n in range(1, 4)
    ]


def quick_mode(peers: Peers) -> list[MessageV1]:
    """Return the three messages of quick mode (RFC 2409 5.5): a first pair of ESP SAs, or a new one in its place."""
    suite, esp, implementation = peers.suite, peers.esp[0], peers.implementation
    life_s = implementation.optional("child_lifetime_s")
    life_kilobytes = implementation.optional("child_lifetime_kilobytes")
    answered_s = life_s
    if life_s is None and implementation.profile.names_default_lifetime:
        answered_s = DEFAULT_LIFETIME_S
    exchange = (p.key_exchange(esp.group),) if esp.group else ()
    hashed = p.hash_payload(suite)
    rest = (
        p.nonce(peers.nonce_bytes),
        *exchange,
        *peers.traffic_ids(),
        # In transport mode the checksums of TCP and UDP need the addresses in front of the NAT.
        *(p.original_address(),) * (2 if peers.nat and peers.transport else 0),
    )
    first = (hashed, p.esp_sa(peers.esp, life_s, life_kilobytes), *rest)
    second = (hashed, p.esp_sa(peers.esp[:1], answered_s, life_kilobytes), *rest)
    iv = work.new_iv(suite)
    hash_1 = work.phase_2_hash(suite, p.inner_bytes(first[1:]))
    hash_2 = work.phase_2_hash(suite, peers.nonce_bytes + p.inner_bytes(second[1:]))
    hash_3 = work.phase_2_hash(suite, 1 + peers.nonces_bytes)
    shared_bytes = exchange[0].size - p.GENERIC_HEADER_BYTES if exchange else 0
    keys = (*work.keymat(suite, esp, peers.nonces_bytes, shared_bytes), *work.INSTALL)
    group = esp.group
    return [
        peers.message(
            QUICK,
            first,
            initiator=True,
            encrypted=True,
            before=(*iv, *work.keygen(group), *hash_1),
            after=(*iv, *hash_1, *work.keygen(group), *work.shared(group), *hash_2),
        ),
        peers.message(
            QUICK, second, initiator=False, encrypted=True, after=(*hash_2, *work.shared(group), *hash_3, *keys)
        ),
        peers.message(QUICK, (hashed,), initiator=True, encrypted=True, after=(*hash_3, *keys)),
    ]


def _informational(peers: Peers, payload: Payload, *, initiator: bool, answers: bool = False) -> MessageV1:
    """Return one informational message; making an answer is work that the question caused, not counted here."""
    hashed = _informational_hash(peers, payload)
    carried = (p.hash_payload(peers.suite), payload)
    before = () if answers else hashed
    return peers.message(INFORMATIONAL, carried, initiator=initiator, encrypted=True, before=before, after=hashed)


def _informational_hash(peers: Peers, payload: Payload) -> Operations:
    return (*work.new_iv(peers.suite), *work.phase_2_hash(peers.suite, payload.size))


def delete(peers: Peers, *, children: int = 1, initiator: bool = True) -> list[MessageV1]:
    """Return the deletion of each pair of ESP SAs and of the ISAKMP SA; nobody answers (RFC 2409 5.7)."""
    esp = [_informational(peers, p.delete_esp(), initiator=initiator) for _ in range(children)]
    return [*esp, _informational(peers, p.delete_isakmp(), initiator=initiator)]


def dead_peer_detection(peers: Peers, *, initiator: bool = True) -> list[MessageV1]:
    """Return R-U-THERE and its acknowledgement (RFC 3706 5.3); an ``initiator`` of False: the responder asks."""
    ask, answer = (p.notification(name, p.DPD_SEQUENCE_BYTES) for name in ("R_U_THERE", "R_U_THERE_ACK"))
    question = _informational(peers, ask, initiator=initiator)
    question = replace(question, receiver=(*question.receiver, *_informational_hash(peers, answer)))
    return [question, _informational(peers, answer, initiator=not initiator, answers=True)]
