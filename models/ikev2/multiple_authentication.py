"""A second proof of the initiator in the same IKE_AUTH: a certificate, then EAP or a pre-shared key (RFC 4739).

Both ends say MULTIPLE_AUTH_SUPPORTED. The initiator adds ANOTHER_AUTH_FOLLOWS to its first AUTH and is answered with
the responder's own proof alone; then it names itself again and proves itself once more, or leaves AUTH out to begin
EAP. The Child SA comes with the last answer. What each round is done by stands in ``Authentication`` and its ``then``.

What this leaves out: more than two rounds, another identity in the second one, a second round of the responder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import authentication, work
from .events import Refusal
from .message import Exchange, Message
from .operations import Operation
from .payloads import CertPayload, IdPayload, NotifyPayload, Payload
from .policy import EAP_METHODS, IkeProfile, KeyEntry
from .sa import IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

SUPPORTED, ANOTHER = "MULTIPLE_AUTH_SUPPORTED", "ANOTHER_AUTH_FOLLOWS"


@dataclass(slots=True)
class SecondRound:
    """What a responder waits for: the second proof by ``profile``. The ``first`` request asked for the Child SA."""

    profile: IkeProfile
    key: KeyEntry | None
    first: Message


def second(profile: IkeProfile) -> IkeProfile:
    """Return a profile as it is in the second round."""
    assert profile.authentication.then is not None
    return replace(profile, authentication=profile.authentication.then)


def lacking(sa: IkeSa) -> Refusal | None:
    """Return why an initiator with two rounds gives up after IKE_SA_INIT: the responder knows of one alone."""
    assert sa.init_response is not None
    if sa.init_response.notify(SUPPORTED) is not None:
        return None
    return Refusal("authentication method not accepted", own=(SUPPORTED,))


def announce() -> tuple[Payload, ...]:
    """Return what an initiator adds to its first AUTH."""
    return (NotifyPayload(ANOTHER),)


def begin(ep: Endpoint, sa: IkeSa, operations: list[Operation], then: Callable[[Message], None]) -> None:
    """Send the initiator's second proof, or its identity alone where EAP is to follow; ``then`` takes the answer."""
    assert sa.profile is not None
    profile = sa.profile = second(sa.profile)
    payloads: list[Payload] = [IdPayload("IDi", profile.local_identity)]
    if profile.authentication.local not in EAP_METHODS:
        credential = profile.authentication.credential
        if profile.authentication.local == "certificate" and credential is not None:
            payloads += [CertPayload(certificate) for certificate in credential.chain]
        operations = [*operations, *authentication.make_operations(sa, profile)]
        payloads.append(authentication.make(sa, profile, sa.key))
    operations = [*operations, *work.protect(sa, sum(p.size for p in payloads))]

    def finish(now: int) -> None:
        ep.request(sa, Exchange.IKE_AUTH, payloads, "auth", then, now)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH request", finish)
