"""EAP-MSCHAPv2 inside IKE_AUTH: what each packet holds and what both sides compute (RFC 7296 2.16, RFC 2759, RFC 3079).

The responder is the EAP server itself, as strongSwan is. One challenge and its response stand for the protocol: the
response proves the password, the success request proves that the server knows it too, and both sides derive the MSK
that authenticates the last IKE_AUTH exchange.

What this leaves out: MD4 and DES (below a microsecond), the Failure request with its retry, servers that do not ask for
the EAP identity, other methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..secret import Secret
from .message import Message
from .operations import Hash, Operation
from .payloads import EapPayload
from .policy import EapAccount, IkeProfile, KeyEntry
from .sa import IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: EAP packets (RFC 3748 4, RFC 2759 as EAP type 26): header 4, type 1, opcode 1, identifier 1, length 2. [bytes]
_HEADER_BYTES, _TYPE_BYTES, _METHOD_BYTES = 4, 1, 4
#: Value size and challenge; value size, peer challenge, reserved, NT-Response and flags (RFC 2759 3, 4). [bytes]
_CHALLENGE_BYTES, _RESPONSE_BYTES = 1 + 16, 1 + 49
#: SHA-1 calls of the challenge hash, the authenticator response and the MSK, over about 100 bytes each.
_HASHES: list[Operation] = [Hash("sha1", 100)] * 6


@dataclass(slots=True)
class EapServer:
    """A responder's side of the exchange, with the first request of IKE_AUTH, which is answered at its end."""

    profile: IkeProfile
    key: KeyEntry | None
    first: Message
    challenge: int = 0
    account: EapAccount | None = None


def identity_request() -> EapPayload:
    """Return the first packet: who is there (RFC 3748 5.1)?"""
    return EapPayload("identity request", _HEADER_BYTES + _TYPE_BYTES)


def next_request(ep: Endpoint, sa: IkeSa, server: EapServer, packet: EapPayload) -> tuple[list[Operation], EapPayload]:
    """Return the server's work and its next packet; after the success request the MSK is in ``sa.msk``."""
    method_bytes = _HEADER_BYTES + _TYPE_BYTES + _METHOD_BYTES
    if packet.kind == "identity":
        users = server.profile.authentication.users
        server.account = next((user for user in users if user.user == packet.user), None)
        server.challenge = ep.stream(sa.local, sa.remote, "eap").bits()
        n_bytes = method_bytes + _CHALLENGE_BYTES + ep.implementation.count("eap_server_name_bytes")
        return [], EapPayload("challenge", n_bytes, challenge=server.challenge)
    if packet.kind == "success response":
        return [], EapPayload("success", _HEADER_BYTES)
    account = server.account
    if account is None or packet.proof != _response(account, server.challenge, packet.challenge):
        return list(_HASHES), EapPayload("failure", _HEADER_BYTES)
    sa.msk = _msk(account, server.challenge, packet.challenge)
    n_bytes = method_bytes + ep.implementation.count("eap_success_text_bytes")
    return list(_HASHES), EapPayload("success request", n_bytes, proof=sa.msk.proof("success"))


def answer(
    ep: Endpoint, sa: IkeSa, account: EapAccount, packet: EapPayload
) -> tuple[list[Operation], EapPayload | None]:
    """Return the client's work and its answer; None to a packet that ends the exchange or proves nothing."""
    name_bytes = len(account.user.encode())
    if packet.kind == "identity request":
        return [], EapPayload("identity", _HEADER_BYTES + _TYPE_BYTES + name_bytes, account.user)
    if packet.kind == "challenge":
        own = ep.stream(sa.local, sa.remote, "eap").bits()
        sa.msk = _msk(account, packet.challenge, own)
        n_bytes = _HEADER_BYTES + _TYPE_BYTES + _METHOD_BYTES + _RESPONSE_BYTES + name_bytes
        proof = _response(account, packet.challenge, own)
        return list(_HASHES), EapPayload("response", n_bytes, account.user, own, proof)
    if packet.kind == "success request" and sa.msk is not None and packet.proof == sa.msk.proof("success"):
        return [], EapPayload("success response", _HEADER_BYTES + _TYPE_BYTES + 1)
    return [], None


def _response(account: EapAccount, challenge: int, peer_challenge: int) -> bytes:
    return account.password.proof("response", challenge, peer_challenge, account.user)


def _msk(account: EapAccount, challenge: int, peer_challenge: int) -> Secret:
    return Secret(account.password.proof("MSK", challenge, peer_challenge, account.user))
