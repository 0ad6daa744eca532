"""Questions that a router asks a AAA server while an IKE SA waits for the answer.

The endpoint hands a question to its driver and gets the answer back; how long that takes and who answers is the
driver's business. Nobody answers: the driver says so with `NoAnswer`. The half-open time of the SA goes on meanwhile.

An EAP server outside (RFC 7296 2.16, RFC 3579) is asked with one `EapQuestion` for every EAP packet of the peer. The
answer's ``packet`` is the EAP packet that goes back to the peer, whatever the ``verdict``: ``challenge`` (the exchange
goes on, and ``state`` comes back in the next question, RFC 2865 5.24), ``accept`` (EAP-Success, with the MSK where the
method has one) or ``reject`` (EAP-Failure).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..addresses import IpAddress
from ..secret import Secret

if TYPE_CHECKING:
    from ..eap.rules import EapCause
    from .payloads import EapPayload
    from .policy import AuthorizationPolicy, KeyEntry
    from .sa import IkeSa


class Question:
    """Base of all questions. ``shared``: SAs that ask the same while an answer is on its way get that one."""

    __slots__ = ()
    shared = False


class Answer:
    """Base of all answers."""

    __slots__ = ()


@dataclass(slots=True)
class Enquiry:
    """A question of one SA. The driver gives ``token`` back with the answer; 0: none is wanted (accounting)."""

    token: int
    question: Question
    sa: IkeSa


# -- Questions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyQuestion(Question):
    """Which pre-shared key has ``name`` (``keyring aaa``)? Answer: `KeyAnswer`."""

    aaa_list: str
    name: str
    peer: IpAddress


@dataclass(frozen=True, slots=True)
class AuthorisationQuestion(Question):
    """What may ``name``, a user or a group? Answer: `AuthorisationAnswer`."""

    scope: Literal["user", "group"]
    aaa_list: str
    name: str
    peer: IpAddress


@dataclass(frozen=True, slots=True)
class EapQuestion(Question):
    """What does the EAP server say to the peer's ``packet``? Answer: `EapAnswer`.

    ``name``: the EAP identity, or the IKE identity as long as that is not known. ``state``: that of the last answer,
    None in the first question.
    """

    aaa_list: str
    name: str
    peer: IpAddress
    packet: EapPayload
    state: object = None


@dataclass(frozen=True, slots=True)
class LoginQuestion(Question):
    """Is this the password of ``name`` (``aaa authentication login``)? Answer: `LoginAnswer`.

    ``proof``: of the password, as the peer's form has it (`Secret.proof`); its length in octets.
    """

    aaa_list: str
    name: str
    peer: IpAddress
    proof: bytes = field(repr=False)
    password_bytes: int


@dataclass(frozen=True, slots=True)
class AccountingRecord(Question):
    """A session begins or ends (RFC 2866 2). No answer is waited for.

    ``session`` is the same at both ends of a session and after a rekey of its IKE SA. ``address``: the one that the
    peer was given. ``cause``: why it ended.
    """

    status: Literal["start", "stop"]
    aaa_list: str
    session: int
    name: str
    peer: IpAddress
    address: IpAddress | None = None
    cause: str = ""


# -- Answers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoAnswer(Answer):
    """No server of the list has answered in time."""


@dataclass(frozen=True, slots=True)
class Rejected(Answer):
    """The server, or the router's own list, does not know the name or refuses it. ``reason`` is for people."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class KeyAnswer(Answer):
    """The key, and the rights that came with it, which ``cached`` authorization uses."""

    key: KeyEntry
    rights: AuthorizationPolicy | None = None


@dataclass(frozen=True, slots=True)
class AuthorisationAnswer(Answer):
    """What the user or group may have."""

    rights: AuthorizationPolicy


@dataclass(frozen=True, slots=True)
class LoginAnswer(Answer):
    """It is, and these rights came with the answer, which ``cached`` authorization uses."""

    rights: AuthorizationPolicy | None = None


@dataclass(frozen=True, slots=True)
class EapAnswer(Answer):
    """The EAP server's next packet and its verdict. ``cause``: why it rejects, which only the server itself knows."""

    verdict: Literal["challenge", "accept", "reject"]
    packet: EapPayload
    state: object = None
    msk: Secret | None = None
    rights: AuthorizationPolicy | None = None
    cause: EapCause | Literal[""] = ""
