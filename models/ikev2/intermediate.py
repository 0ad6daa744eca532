"""Additional key exchanges, one IKE_INTERMEDIATE exchange each, between IKE_SA_INIT and IKE_AUTH (RFC 9242, RFC 9370).

Each is protected by the keys that the ones before it gave. Its shared secret then makes new keys from SK_d of the old
ones (RFC 9370 2.2.2), and both messages enter the octets that AUTH signs (RFC 9242 3.3.2): a PRF call for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..algorithms import PRFS, Group, KeyExchange
from . import work
from .message import Exchange, Message
from .operations import Operation, PrfCall
from .payloads import KePayload
from .sa import IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: What follows the last additional key exchange: the request of IKE_AUTH, after the work that is left to do.
Then = Callable[["Endpoint", IkeSa, list[Operation]], None]


def go_on(ep: Endpoint, sa: IkeSa, operations: list[Operation], then: Then) -> None:
    """Begin the initiator's next additional key exchange after ``operations``, or go on when there is none left."""
    method = pending(sa)
    if method is None:
        then(ep, sa, operations)
        return
    assert sa.suite is not None
    payload = request_payload(method)
    operations = [*operations, *work.additional_keygen(method), *work.protect(sa, payload.size)]

    def finish(now: int) -> None:
        sa.keys_ready = True
        on_response = partial(_receive_response, ep, sa, method, payload, then)
        ep.request(sa, Exchange.IKE_INTERMEDIATE, [payload], "intermediate", on_response, now)

    ep.begin(sa, sa.remote, operations, "IKE_INTERMEDIATE request", finish)


def pending(sa: IkeSa) -> KeyExchange | None:
    """Return the additional key exchange whose turn it is, or None when all are done."""
    methods = sa.suite.additional_exchanges if sa.suite is not None else ()
    return methods[sa.additional_done] if sa.additional_done < len(methods) else None


def receive(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Take the request of an additional key exchange as the responder."""
    method = pending(sa)
    assert sa.suite is not None and method is not None
    payload = response_payload(method)
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    operations: list[Operation] = [] if sa.keys_ready else list(work.shared_secret(sa.suite, nonces))
    operations += [*work.unprotect(sa, message), *work.additional_answer(method)]
    operations += _new_keys(sa, message.inner_bytes, payload.size)
    operations += work.protect(sa, payload.size)

    def finish(_now: int) -> None:
        sa.keys_ready = True
        sa.additional_done += 1
        ep.respond(sa, message, [payload])

    ep.begin(sa, sa.remote, operations, "IKE_INTERMEDIATE response", finish)


def _receive_response(
    ep: Endpoint, sa: IkeSa, method: KeyExchange, sent: KePayload, then: Then, message: Message
) -> None:
    operations = [*work.unprotect(sa, message), *work.additional_finish(method)]
    operations += _new_keys(sa, sent.size, message.inner_bytes)
    sa.additional_done += 1
    go_on(ep, sa, operations, then)


def _new_keys(sa: IkeSa, request_bytes: int, response_bytes: int) -> list[Operation]:
    """Return the work for new keys and for what AUTH will sign of both messages; note the length of the latter."""
    assert sa.suite is not None
    prf = sa.suite.prf
    # IntAuth of both directions, each time over the one before; the message ID of IKE_AUTH comes once.
    sa.intermediate_auth_bytes = 2 * PRFS[prf].output_bytes + 4
    signed = [PrfCall(prf, n_bytes + PRFS[prf].output_bytes) for n_bytes in (request_bytes, response_bytes)]
    return [*work.ike_keys(sa.suite, sa.nonce_local_bytes + sa.nonce_remote_bytes), *signed]


def request_payload(method: KeyExchange) -> KePayload:
    """Return what the initiator of an additional key exchange sends: a public key."""
    return KePayload(method.number, method.public_bytes)


def response_payload(method: KeyExchange) -> KePayload:
    """Return the answer: a ciphertext, or the public value of a group."""
    return KePayload(method.number, method.public_bytes if isinstance(method, Group) else method.ciphertext_bytes)
