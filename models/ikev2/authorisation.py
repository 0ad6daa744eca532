"""What a responder asks a AAA server about a peer: its pre-shared key, its rights, and the record of its session.

The order is that of a FlexVPN server (fact 17): authenticate, authorise, answer the configuration request, clone the
virtual-access, install the Child SA; what fails ends the session, and the peer is told AUTHENTICATION_FAILED. While the
server is asked the SA stays half-open: its timer goes on, and it counts as one in negotiation.

What this leaves out: keys from AAA for an initiator, change of authorization (RFC 5176), AAA for IKE SA rekeys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from .aaa import Authorisation, PeerMethod, ProfileAaa
from .enquiries import (
    AccountingRecord,
    Answer,
    AuthorisationAnswer,
    AuthorisationQuestion,
    KeyAnswer,
    KeyQuestion,
    NoAnswer,
    Rejected,
)
from .events import Refusal
from .identity import Identity
from .message import Message
from .operations import Authorise, Operation
from .payloads import SHARED_KEY_MIC, AuthPayload
from .policy import AuthorizationPolicy, IkeProfile
from .sa import AccountingSession, Cause, IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: Goes on with the work that is left to do, or refuses the peer with that work.
Proceed = Callable[[list[Operation]], None]
Refuse = Callable[[Refusal, list[Operation]], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """The peer that is asked about."""

    identity: Identity
    profile: IkeProfile
    method: PeerMethod


def method_of(first: Message, request: Message) -> PeerMethod:
    """Return how the peer proves its identity: the ``first`` request of IKE_AUTH, and the last if EAP came between."""
    auth = first.find(AuthPayload)
    if auth is None or first is not request:
        return "eap"
    return "psk" if auth.method == SHARED_KEY_MIC else "cert"


# -- The key ---------------------------------------------------------------------------------------------------


def lacks_key(sa: IkeSa, profile: IkeProfile, identity: Identity, request: Message) -> bool:
    """Return whether AAA has to be asked for the peer's key: it is needed and the keyring does not have it."""
    if profile.aaa is None or profile.aaa.keys is None or sa.key is not None:
        return False
    auth = request.find(AuthPayload)
    by_peer = auth is not None and auth.method == SHARED_KEY_MIC
    needed = by_peer or profile.authentication.local == "pre-share"
    return needed and profile.key_for(identity, sa.remote) is None


def fetch_key(
    ep: Endpoint,
    sa: IkeSa,
    profile: IkeProfile,
    identity: Identity,
    operations: list[Operation],
    proceed: Proceed,
    refuse: Refuse,
) -> None:
    """Do the ``operations`` of reading the request, ask for the key, and go on with ``sa.key`` set."""
    assert profile.aaa is not None and profile.aaa.keys is not None
    lookup = profile.aaa.keys
    name = lookup.name_of(identity)

    def take(answer: Answer, _now: int) -> None:
        if isinstance(answer, KeyAnswer):
            sa.key, sa.cached_rights = answer.key, answer.rights
            proceed([Authorise()])
        else:
            refuse(_refusal(answer, identity, "no key for the peer", lookup.origin), [Authorise()])

    def ask(_now: int) -> None:
        sa.keys_ready = True
        if name:
            ep.enquire(sa, KeyQuestion(lookup.aaa_list, name, sa.remote), take)
        else:
            refuse(Refusal("no name for AAA in the identity", "AUTHENTICATION_FAILED", identity, (lookup.origin,)), [])

    ep.begin(sa, sa.remote, operations, "IKE_AUTH request (key from AAA)", ask)


# -- The rights ------------------------------------------------------------------------------------------------


def authorise(
    ep: Endpoint, sa: IkeSa, subject: Subject, operations: list[Operation], proceed: Proceed, refuse: Refuse
) -> None:
    """Ask what an authenticated peer may have; what the user may wins over what its group may, unless told otherwise.

    The rights are in ``sa.authorization`` when it goes on. Without anything to ask it goes on at once.
    """
    aaa = subject.profile.aaa
    if aaa is None:
        proceed(operations)
        return
    _prepare_accounting(ep, sa, subject, aaa)
    asked = list(aaa.asked(subject.method))
    if not asked:
        proceed(operations)
        return
    found: list[tuple[Authorisation, AuthorizationPolicy]] = []
    work: list[Operation] = []

    def next_one(_now: int) -> None:
        if not asked:
            sa.authorization = _merged(subject.profile.authorization, found)
            proceed(work)
            return
        one = asked.pop(0)
        if one.lookup is None:
            if sa.cached_rights is not None:
                found.append((one, sa.cached_rights))
            next_one(_now)
            return
        name = one.lookup.name_of(subject.identity)
        if not name:
            cause: Cause = "no name for AAA in the identity"
            refuse(Refusal(cause, "AUTHENTICATION_FAILED", subject.identity, (one.lookup.origin,)), work)
            return
        origin = one.lookup.origin

        def take(answer: Answer, now: int) -> None:
            work.append(Authorise())
            if isinstance(answer, AuthorisationAnswer):
                found.append((one, answer.rights))
                next_one(now)
            else:
                refuse(_refusal(answer, subject.identity, "refused by AAA", origin), work)

        ep.enquire(sa, AuthorisationQuestion(one.scope, one.lookup.aaa_list, name, sa.remote), take)

    def begin(now: int) -> None:
        sa.keys_ready = True
        next_one(now)

    if operations:
        ep.begin(sa, sa.remote, operations, "IKE_AUTH request (authorise)", begin)
    else:
        begin(0)


def merge(under: AuthorizationPolicy, over: AuthorizationPolicy) -> AuthorizationPolicy:
    """Return ``under`` with everything that ``over`` says; what ``over`` leaves at its default it does not say."""
    silent = AuthorizationPolicy()
    said = {
        item.name: value
        for item in fields(AuthorizationPolicy)
        if item.name != "name" and (value := getattr(over, item.name)) != getattr(silent, item.name)
    }
    values = {item.name: said.get(item.name, getattr(under, item.name)) for item in fields(AuthorizationPolicy)}
    return AuthorizationPolicy(**values)


def _merged(
    local: AuthorizationPolicy | None, found: list[tuple[Authorisation, AuthorizationPolicy]]
) -> AuthorizationPolicy | None:
    """Return the rights together: the router's own below, then group and user, the overriding scope last."""
    merged = local
    for one, rights in sorted(found, key=lambda pair: (pair[0].overrides, pair[0].scope == "user")):
        del one
        merged = rights if merged is None else merge(merged, rights)
    return merged


def _refusal(answer: Answer, identity: Identity, rejected: Cause, origin: str) -> Refusal:
    if isinstance(answer, NoAnswer):
        return Refusal("no answer from AAA", "AUTHENTICATION_FAILED", identity, (origin,))
    assert isinstance(answer, Rejected)
    return Refusal(rejected, "AUTHENTICATION_FAILED", identity, tuple(text for text in (origin, answer.reason) if text))


# -- Accounting ------------------------------------------------------------------------------------------------


def _prepare_accounting(ep: Endpoint, sa: IkeSa, subject: Subject, aaa: ProfileAaa) -> None:
    aaa_list = dict(aaa.accounting).get(subject.method)
    if aaa_list is not None:
        sa.accounting = AccountingSession(aaa_list, ep.next_serial(), subject.identity.value)


def start_accounting(ep: Endpoint, sa: IkeSa) -> None:
    """Tell the accounting server, if there is one, that the session of an SA begins."""
    session = sa.accounting
    if session is not None:
        session.started = True
        ep.report(sa, _record(sa, session, "start", ""))


def stop_accounting(ep: Endpoint, sa: IkeSa, cause: Cause) -> None:
    """Tell that it has ended, if it had begun; a rekey has taken it from an SA that is replaced."""
    session, sa.accounting = sa.accounting, None
    if session is not None and session.started:
        ep.report(sa, _record(sa, session, "stop", cause))


def _record(sa: IkeSa, session: AccountingSession, status: Literal["start", "stop"], cause: str) -> AccountingRecord:
    address = sa.virtual_address or sa.virtual_address6
    return AccountingRecord(status, session.aaa_list, session.number, session.name, sa.remote, address, cause)
