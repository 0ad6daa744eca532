"""Whether a peer's certificate is still good: its dates, CRLs and OCSP, and what ends a session (RFC 5280 section 6).

Before an end concludes IKE_AUTH it checks the dates of every certificate of the peer's chain by its own clock and then
asks for the status of each whose CA it checks, by the methods in their order: one that cannot be had is passed over for
the next, ``none`` accepts (``revocation-check crl none`` of IOS), and with no method left the peer is refused. Answers
are kept until their next update. While the answer is on its way everything that arrives for the SA waits.

A session ends when the certificate of the peer does (``lifetime certificate``) or when a later list has it
(``crypto ikev2 disconnect-revoked-peers``): at the next update the list is fetched anew. A list that cannot be fetched
then ends nothing.

What this leaves out: lists before they are asked for (prefetch), the dates in the certificates of a capture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..pki import CrlFetch, OcspRequest, RevocationStatus
from .enquiries import Answer, Question
from .events import Refusal
from .operations import Hash, Operation, Verify
from .policy import Certificate, RevocationMethod
from .sa import NS_PER_S, Cause, IkeSa, Task, nanoseconds
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: When a list is asked for again that could not be fetched while a session is up. Assumed, 10 to 600. [s]
RETRY_S = 60.0

#: What follows the check: why the peer is refused, if it is, and the work that is left to do.
Then = Callable[[Refusal | None, list[Operation]], None]


class Statuses:
    """What one end knows about certificates of others: answers by CA, of OCSP by CA and serial number."""

    def __init__(self) -> None:
        self._known: dict[Question, RevocationStatus] = {}

    def keep(self, question: Question, status: RevocationStatus) -> bool:
        """Keep an answer; return whether it is new and so has to be checked itself."""
        new = self._known.get(question) is not status
        self._known[question] = status
        return new

    def fresh(self, question: Question, clock_s: float) -> RevocationStatus | None:
        """Return the answer to a question if it is still good."""
        status = self._known.get(question)
        return status if status is not None and clock_s < status.next_update_s else None

    def last(self, question: Question) -> RevocationStatus | None:
        """Return the last answer to a question, good or not."""
        return self._known.get(question)


def look(ep: Endpoint, sa: IkeSa, operations: list[Operation], then: Then) -> None:
    """Check the chain that the peer of an SA has sent, after ``operations``; ``then`` goes on, at once if it can."""
    if not ep.policy.revocation and not any(c.is_limited for c in sa.peer_chain):
        then(None, operations)
        return

    def check(now: int) -> None:
        outdated = _outdated(ep, sa, now)
        if outdated is not None:
            then(_refusal(sa, outdated), [])
        else:
            _Check(ep, sa, then, _to_check(ep, sa)).go(now)

    ep.begin(sa, sa.remote, operations, "certificate", check)


def watch(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Set the timer of an established SA for the next moment at which its peer's certificate may stop being good."""
    assert sa.profile is not None
    times_s = []
    if sa.profile.ends_with_certificate:
        times_s += [c.not_after_s - ep.policy.clock_ahead_s for c in sa.peer_chain if c.not_after_s is not None]
    if ep.policy.disconnects_revoked:
        for certificate, methods in _to_check(ep, sa):
            known = [ep.statuses.last(_question(m, certificate)) for m in methods if m != "none"]
            ends_s = [s.next_update_s - ep.policy.clock_ahead_s for s in known if s is not None]
            times_s += [t if t * NS_PER_S > now else now / NS_PER_S + RETRY_S for t in ends_s]
    if times_s:
        ep.set_timer(sa, "certificate", max(nanoseconds(min(times_s)), now))


def fire(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """The timer has run out: end the session of a certificate that has expired, else ask for its status again."""
    if sa.state is not State.ESTABLISHED:
        return
    assert sa.profile is not None
    if sa.profile.ends_with_certificate and _outdated(ep, sa, now) is not None:
        _end(ep, sa, "certificate expired", now)
    else:
        sa.tasks.append(Task("check certificate"))


def begin(ep: Endpoint, sa: IkeSa) -> None:
    """Ask for the status of the certificate of an established SA again."""

    def rechecked(refusal: Refusal | None, operations: list[Operation]) -> None:
        def conclude(now: int) -> None:
            if refusal is not None and refusal.cause == "certificate revoked":
                _end(ep, sa, refusal.cause, now)
            else:
                watch(ep, sa, now)

        ep.begin(sa, sa.remote, operations, "certificate", conclude)

    ep.begin(sa, sa.remote, [], "certificate", lambda now: _Check(ep, sa, rechecked, _to_check(ep, sa)).go(now))


@dataclass(slots=True)
class _Check:
    """The way through a chain: certificates that are left, each with the methods that are left for it."""

    ep: Endpoint
    sa: IkeSa
    then: Then
    left: list[tuple[Certificate, list[RevocationMethod]]]
    operations: list[Operation] = field(default_factory=list)

    def go(self, now: int) -> None:
        """Look at what is known, and ask for what is not."""
        while self.left:
            certificate, methods = self.left[0]
            if not methods:
                self.then(_refusal(self.sa, "revocation status unknown", certificate), self.operations)
                return
            if methods[0] != "none":
                question = _question(methods[0], certificate)
                status = self.ep.statuses.fresh(question, _clock_s(self.ep, now))
                if status is None:
                    self.ep.enquire(self.sa, question, self._take)
                    return
                if certificate.serial in status.revoked:
                    self.then(_refusal(self.sa, "certificate revoked", certificate), self.operations)
                    return
            del self.left[0]
        self.then(None, self.operations)

    def _take(self, answer: Answer, now: int) -> None:
        certificate, methods = self.left[0]
        question = _question(methods[0], certificate)
        if isinstance(answer, RevocationStatus):
            if self.ep.statuses.keep(question, answer):
                # Its signature is checked once (fact sheet B.5).
                self.operations += [Hash("sha256", answer.n_bytes), Verify(answer.algorithm)]
                _spread(self.ep, self.sa, answer, now)
            detail = f"{methods[0].upper()} of {answer.authority}, {answer.n_bytes} bytes"
        else:
            detail = f"no {methods[0].upper()} of {certificate.issuer}"
        self.ep.tell("revocation_checked", self.sa, now, detail=detail)
        if self.ep.statuses.fresh(question, _clock_s(self.ep, now)) is None:
            del methods[0]
        self.go(now)


def _spread(ep: Endpoint, asking: IkeSa, status: RevocationStatus, now: int) -> None:
    """End the sessions of other peers whose certificates a new list has."""
    if not ep.policy.disconnects_revoked or not status.revoked:
        return
    for sa in list(ep.sas.values()):
        revoked = any(c.issuer == status.authority and c.serial in status.revoked for c in sa.peer_chain)
        if revoked and sa is not asking and sa.state is State.ESTABLISHED:
            _end(ep, sa, "certificate revoked", now)
            ep.advance(sa)


def _end(ep: Endpoint, sa: IkeSa, cause: Cause, now: int) -> None:
    """Delete an IKE SA at both ends; one whose peer owes an answer is closed without a word."""
    if sa.outstanding:
        ep.close(sa, Refusal(cause), now)
    else:
        sa.tasks.appendleft(Task("delete ike", cause=cause))


def _to_check(ep: Endpoint, sa: IkeSa) -> list[tuple[Certificate, list[RevocationMethod]]]:
    """Return the certificates of the peer's chain whose CA is checked, with the methods for each."""
    return [(c, list(ep.policy.revocation[c.issuer])) for c in sa.peer_chain if c.issuer in ep.policy.revocation]


def _question(method: RevocationMethod, certificate: Certificate) -> Question:
    if method == "crl":
        return CrlFetch(certificate.issuer)
    return OcspRequest(certificate.issuer, certificate.serial)


def _outdated(ep: Endpoint, sa: IkeSa, now: int) -> Cause | None:
    """Return what is wrong with the dates of the peer's certificates, by this end's clock (RFC 5280 6.1.3)."""
    clock_s = _clock_s(ep, now)
    for certificate in sa.peer_chain:
        if certificate.not_before_s is not None and clock_s < certificate.not_before_s:
            return "certificate not yet valid"
        if certificate.not_after_s is not None and clock_s >= certificate.not_after_s:
            return "certificate expired"
    return None


def _clock_s(ep: Endpoint, now: int) -> float:
    """Return what the clock of this end shows. [s]"""
    return now / NS_PER_S + ep.policy.clock_ahead_s


def _refusal(sa: IkeSa, cause: Cause, certificate: Certificate | None = None) -> Refusal:
    """Return why the peer is refused; only a responder answers with a notification (RFC 7296 2.21.2)."""
    own = (certificate or sa.peer_chain[0]).issuer
    return Refusal(cause, "" if sa.initiator else "AUTHENTICATION_FAILED", sa.peer_chain[0].subject, (own,))
