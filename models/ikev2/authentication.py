"""What both roles of the first exchanges share: how AUTH is made and checked, and what follows it.

Sources: RFC 7296 sections 1.2, 2.15 and 2.16, RFC 7427 (digital signatures), RFC 4754 (ECDSA without it), RFC 4945
section 3.1 (the identity is that of the certificate), RFC 9242 section 3.3.2 (IKE_INTERMEDIATE is signed too).

What this leaves out: which hash algorithms the peer announced. Dates and revocation: `revocation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING

from ..algorithms import PRFS, SIGNATURES
from ..implementation import Condition
from ..secret import Secret
from . import authorisation, children, fragmentation, ppk, work
from .compose import Supplied
from .events import Refusal
from .identity import Identity
from .message import Message
from .operations import CheckCertificate, Operation, Sign, Verify
from .payloads import (
    DIGITAL_SIGNATURE,
    SHARED_KEY_MIC,
    SIGNATURE_METHODS,
    AuthPayload,
    CertPayload,
    CertReqPayload,
    NotifyPayload,
)
from .policy import Credential, IkeProfile, KeyEntry, chain_is_trusted
from .sa import Cause, IkeSa
from .states import Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


def init_conditions(ep: Endpoint, *, intermediate: bool, ppk: bool = False) -> frozenset[Condition]:
    """Return the conditions under which optional payloads of IKE_SA_INIT are sent."""
    conditions: set[Condition] = set()
    if fragmentation.announces(ep):
        conditions.add("fragmentation")
    if ep.policy.trusted:
        conditions.add("certificate_request")
    if ep.policy.follows_redirects:
        conditions.add("redirect")
    if intermediate:
        conditions.add("intermediate")
    if ppk:
        conditions.add("ppk")
    return frozenset(conditions)


def certificate_request(ep: Endpoint) -> CertReqPayload | None:
    """Return the payload that names the CAs this end trusts, if any (RFC 7296 3.7)."""
    return CertReqPayload(ep.policy.trusted) if ep.policy.trusted else None


def request_window(ep: Endpoint) -> dict[str, Supplied]:
    """Return N(SET_WINDOW_SIZE) by token, where the configuration sets the window."""
    window = ep.policy.request_window
    return {} if window is None else {"N:SET_WINDOW_SIZE": NotifyPayload("SET_WINDOW_SIZE", 4, value=window)}


def certificates(profile: IkeProfile) -> Supplied:
    """Return a CERT payload for each certificate that this end sends, its own first."""
    if profile.authentication.local != "certificate":
        return None
    return tuple(CertPayload(certificate) for certificate in _credential(profile).chain)


#: What stands for the signed octets: the signer's role, the SPIs and the nonces of both ends.
_SIGNED = Struct("!?4Q")


# -- AUTH of this end ------------------------------------------------------------------------------------------


def make_operations(sa: IkeSa, profile: IkeProfile) -> Sequence[Operation]:
    """Return the work for this end's own AUTH: a signature, or PRF calls with the pre-shared key."""
    if profile.authentication.local != "certificate":
        return shared_key_operations(sa, profile.local_identity, mine=True)
    algorithm = _credential(profile).chain[0].algorithm
    prf, signed = signed_octets(sa, mine=True)
    return [*work.signed_digest(prf, signed, _id_bytes(profile.local_identity), algorithm), Sign(algorithm)]


def make(sa: IkeSa, profile: IkeProfile, key: KeyEntry | None) -> AuthPayload:
    """Return this end's own AUTH. Raises LookupError without a key, which the caller has made sure of."""
    if profile.authentication.local != "certificate":
        if key is None or key.local_key is None:
            raise LookupError(f"profile {profile.name} has no key for the peer")
        return shared_key_auth(sa, key.local_key, profile.local_identity)
    credential = _credential(profile)
    method, n_bytes = _signature_form(sa, credential.chain[0].algorithm)
    return AuthPayload(n_bytes, bind(credential.private_key, sa, profile.local_identity, mine=True), method)


def shared_key_operations(sa: IkeSa, identity: Identity, *, mine: bool) -> work.Operations:
    """Return the work for an AUTH by a shared key, made (``mine``) or checked."""
    prf, signed = signed_octets(sa, mine=mine)
    return work.psk_auth(prf, signed, 4 + identity.data_bytes())


def shared_key_auth(sa: IkeSa, secret: Secret, identity: Identity) -> AuthPayload:
    """Return this end's AUTH by a pre-shared key, or by the key that EAP gave (RFC 7296 2.15, 2.16)."""
    assert sa.suite is not None
    return AuthPayload(PRFS[sa.suite.prf].output_bytes, bind(secret, sa, identity, mine=True))


def bind(secret: Secret, sa: IkeSa, identity: Identity, *, mine: bool) -> bytes:
    """Return the content of AUTH as this end makes it (``mine``) or expects it from the peer.

    It binds what RFC 7296 2.15 signs: the SPIs and nonces of the first exchange, the signer's role and its identity.
    """
    by_initiator = sa.initiator == mine
    nonces = (sa.nonce_local, sa.nonce_remote) if sa.initiator else (sa.nonce_remote, sa.nonce_local)
    # SK_p enters AUTH, and a PPK enters SK_p (RFC 8784 3).
    mixed = b"" if sa.ppk is None else sa.ppk.key.proof("PPK")
    return secret.proof_over(_SIGNED.pack(by_initiator, *sa.spis, *nonces) + mixed + str(identity).encode())


# -- AUTH of the peer ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    """What checking the peer's AUTH took, and why it is refused, if it is."""

    operations: list[Operation] = field(default_factory=list)
    refusal: Refusal | None = None


def check(
    ep: Endpoint, sa: IkeSa, profile: IkeProfile, key: KeyEntry | None, message: Message, peer: Identity
) -> Verdict:
    """Judge the peer's AUTH by the methods that the profile allows."""
    auth = ppk.auth_of(sa, message) if sa.ppk_agreed else message.find(AuthPayload)
    method = "pre-share" if auth is not None and auth.method == SHARED_KEY_MIC else "certificate"
    if auth is None or method not in profile.authentication.remote:
        return Verdict([], refusal(sa, "authentication method not accepted", peer, profile.name))
    if method == "certificate":
        return _check_signature(ep, sa, auth, message, peer)
    if key is None or key.remote_key is None:
        return Verdict([], refusal(sa, "no key for the peer", peer, profile.name))
    verdict = Verdict(list(shared_key_operations(sa, peer, mine=False)))
    if auth.proof != bind(key.remote_key, sa, peer, mine=False):
        verdict.refusal = refusal(sa, "wrong key", peer, key.remote_origin)
    return verdict


def refusal(sa: IkeSa, cause: Cause, peer: Identity, *own: str) -> Refusal:
    """Return why the peer is refused; only a responder answers with a notification (RFC 7296 2.21.2)."""
    return Refusal(cause, "" if sa.initiator else "AUTHENTICATION_FAILED", peer, own)


def _check_signature(ep: Endpoint, sa: IkeSa, auth: AuthPayload, message: Message, peer: Identity) -> Verdict:
    chain = [p.certificate for p in message.all(CertPayload)]
    verdict = Verdict([CheckCertificate()])
    if not chain or not chain_is_trusted(chain, ep.policy.trusted):
        verdict.refusal = refusal(sa, "certificate not trusted", peer, *ep.policy.trusted)
        return verdict
    if not ep.implementation.profile.caches_issuer_check:
        verdict.operations += [Verify(certificate.issuer_algorithm) for certificate in chain]
    if chain[0].subject != peer:
        verdict.refusal = refusal(sa, "certificate of another identity", peer, str(chain[0].subject))
        return verdict
    algorithm = chain[0].algorithm
    prf, signed = signed_octets(sa, mine=False)
    verdict.operations += [*work.signed_digest(prf, signed, _id_bytes(peer), algorithm), Verify(algorithm)]
    if auth.proof != bind(chain[0].key, sa, peer, mine=False):
        verdict.refusal = refusal(sa, "wrong signature", peer)
    else:
        sa.peer_chain = tuple(chain)
    return verdict


# -- Details ---------------------------------------------------------------------------------------------------


def _credential(profile: IkeProfile) -> Credential:
    credential = profile.authentication.credential
    if credential is None:
        raise LookupError(f"profile {profile.name} has no certificate")
    return credential


def _signature_form(sa: IkeSa, algorithm: str) -> tuple[int, int]:
    """Return the authentication method and the length of the data in AUTH.

    RFC 7427 (an algorithm identifier, then the signature) is for peers that both announced hash algorithms; RSA and
    ECDSA have methods of their own without it.
    """
    assert sa.init_request is not None and sa.init_response is not None
    signature = SIGNATURES[algorithm]
    both = all(m.notify("SIGNATURE_HASH_ALGORITHMS") is not None for m in (sa.init_request, sa.init_response))
    plain = SIGNATURE_METHODS.get("rsa" if signature.kind == "rsa" else algorithm)
    if plain is not None and not both:
        return plain, signature.plain_bytes
    return DIGITAL_SIGNATURE, 1 + signature.algorithm_identifier_bytes + signature.signature_bytes


def signed_octets(sa: IkeSa, *, mine: bool) -> tuple[str, int]:
    """Return the PRF and the length of the signed octets: a whole message, the other's nonce, MACedID. [bytes]"""
    assert sa.suite is not None and sa.init_request is not None and sa.init_response is not None
    message = sa.init_request if sa.initiator == mine else sa.init_response
    nonce_bytes = sa.nonce_remote_bytes if mine else sa.nonce_local_bytes
    prf = sa.suite.prf
    return prf, message.ike_bytes + nonce_bytes + PRFS[prf].output_bytes + sa.intermediate_auth_bytes


def _id_bytes(identity: Identity) -> int:
    return 4 + identity.data_bytes()


# -- Afterwards ------------------------------------------------------------------------------------------------


def establish(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Both ends are authenticated: start the timers of the IKE SA."""
    sa.move(Trigger.AUTHENTICATE)
    ep.authenticated(sa)
    if sa.resumed is not None:
        # What is resumed is over, and its peer knows that (RFC 5723 4.3.4).
        old = ep.sas.get(sa.resumed.local_spi)
        if old is not None:
            ep.close(old, Refusal("peer started afresh"), now)
    children.start_ike_timers(ep, sa, now)
    ep.tell("ike_established", sa, now)
    if sa.accounting is not None:
        authorisation.start_accounting(ep, sa)
