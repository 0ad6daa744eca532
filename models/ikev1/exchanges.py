"""The exchanges of IKEv1 with pre-shared keys, as messages with sizes and operations (RFC 2409 5.4, 5.5, 5.7).

Main mode (6 messages), aggressive mode (3), quick mode (3), deletion, and dead peer detection (RFC 3706). Each end does
its public-key work before it answers, as the recorded implementation does.

What this leaves out: losses and retransmission, NAT traversal beyond its detection, certificates, collisions,
negotiations that fail: the responder takes the first suite that is offered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import InputError
from ..ikev2.identity import Identity
from ..ikev2.proposals import EspSuite
from . import payloads as p
from . import work
from .implementation import ImplementationV1
from .payloads import IkeSuite, MessageV1, Payload
from .work import Operations

#: Exchange types (RFC 2408 3.1, RFC 2409 appendix A).
MAIN, AGGRESSIVE, INFORMATIONAL, QUICK = 2, 4, 5, 32
NAMES = {MAIN: "MAIN_MODE", AGGRESSIVE: "AGGRESSIVE", INFORMATIONAL: "INFORMATIONAL_V1", QUICK: "QUICK_MODE"}
#: Lifetime of an IPsec SA that nobody names (RFC 2407 4.5). [s]
DEFAULT_LIFETIME_S = 28800


@dataclass(frozen=True, slots=True)
class Peers:
    """What both ends agree on.

    ``ike``, ``esp``: offered suites, the first one is taken. ``traffic_id_bytes``: data of each ID of quick mode, 8 for
    a subnet, 4 for an address (RFC 2407 4.6.2).
    """

    initiator: Identity
    responder: Identity
    ike: tuple[IkeSuite, ...]
    esp: tuple[EspSuite, ...]
    implementation: ImplementationV1
    traffic_id_bytes: int = p.SUBNET_BYTES

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

    def composed(self, message: str) -> tuple[Payload, ...]:
        """Return the payloads of one message of phase 1; an odd number at its end: the initiator's."""
        initiator = message[-1] in "135"
        tokens: tuple[str, ...] = getattr(self.implementation.profile.compositions, message)
        return tuple(self._payload(token, initiator=initiator) for token in tokens)

    def _payload(self, token: str, *, initiator: bool) -> Payload:
        kind, _, name = token.partition(":")
        match kind:
            case "SA":
                return self.sa(initiator=initiator)
            case "KE":
                return p.key_exchange(self.suite.group)
            case "NONCE":
                return p.nonce(self.nonce_bytes)
            case "ID":
                return self.identity(initiator=initiator)
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
        return MessageV1(NAMES[exchange], exchange, initiator, carried, size, (*before, *sending), (*receiving, *after))


def main_mode(peers: Peers) -> list[MessageV1]:
    """Return the six messages of main mode (RFC 2409 5.4)."""
    suite = peers.suite
    nat = work.nat_detection(suite)
    keys = (*work.shared(suite.group), *work.phase_1_keys(suite, peers.nonces_bytes))
    hash_i, hash_r = peers.hash_of(initiator=True), peers.hash_of(initiator=False)
    effects: tuple[Operations, ...] = (
        (),
        (*work.keygen(suite.group), *nat),
        (*nat, *work.keygen(suite.group), *nat, *keys),
        (*nat, *keys, *hash_i),
        (*hash_i, *hash_r),
        hash_r,
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
    hash_i, hash_r = peers.hash_of(initiator=True), peers.hash_of(initiator=False)
    effects: tuple[Operations, ...] = (
        (*work.keygen(suite.group), *keys, *nat, *hash_r),
        (*nat, *keys, *hash_r, *hash_i, *nat),
        (*hash_i, *nat),
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
        *(p.identification(peers.traffic_id_bytes),) * 2,
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
