"""What a certification authority answers: certificate revocation lists and OCSP (RFC 5280, RFC 6960).

Questions and answers travel outside IKE; the driver of an endpoint carries them and knows how long that takes.

What this leaves out: delta CRLs, indirect CRLs, OCSP responders with keys of their own, the connection's TCP and HTTP
(their time is a part of ``delay_s``), links that a long list fills.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .ikev2.enquiries import Answer, NoAnswer, Question
from .values import RECOLLECTION, Ledger, Value

#: Owner of these values in a ledger.
OWNER = "certification authority"

#: From the question to the whole answer where nothing is said: HTTP over a wide-area network. [s]
FETCH_DELAY_S = Value(value=0.2, unit="s", kind="assumed", source=RECOLLECTION, range=(0.01, 2.0))
#: After how long a router gives a server up that does not answer. [s]
FETCH_TIMEOUT_S = Value(value=10.0, unit="s", kind="assumed", source=RECOLLECTION, range=(3.0, 60.0))
#: How long a CRL, and an OCSP response, is good for. [s]
LIFETIME_S = Value(value=86400.0, unit="s", kind="assumed", source=RECOLLECTION, range=(3600.0, 604800.0))
#: A CRL without entries: names, dates, extensions and a signature by RSA-2048; an entry of it (RFC 5280 5.1). [bytes]
CRL_FRAME_BYTES = Value(value=450, unit="bytes", kind="assumed", source=RECOLLECTION, range=(300, 900))
CRL_ENTRY_BYTES = Value(value=37, unit="bytes", kind="assumed", source=RECOLLECTION, range=(20, 60))
#: An OCSP response with the responder's certificate. [bytes]
OCSP_BYTES = Value(value=1500, unit="bytes", kind="assumed", source=RECOLLECTION, range=(500, 2500))


@dataclass(frozen=True, slots=True)
class CertificateQuestion(Question):
    """A question to a CA. Whoever waits for the same answer gets the same one."""

    authority: str
    shared = True


@dataclass(frozen=True, slots=True)
class CrlFetch(CertificateQuestion):
    """Fetch the CRL of a CA."""


@dataclass(frozen=True, slots=True)
class OcspRequest(CertificateQuestion):
    """Ask whether one certificate is revoked."""

    serial: int


@dataclass(frozen=True, slots=True)
class RevocationStatus(Answer):
    """A signed answer: which serial numbers of a CA are revoked, among those that the question was about.

    ``next_update_s``: until when it is good [s of simulated time]; ``algorithm`` signs its ``n_bytes``.
    """

    authority: str
    revoked: frozenset[int]
    next_update_s: float
    algorithm: str
    n_bytes: int


@dataclass(slots=True)
class RevocationServer:
    """The CA ``authority`` as its CRL distribution point and its OCSP responder show it.

    Times in s of simulated time. A CRL is issued every ``lifetime_s`` from ``first_issue_s`` on and has what was
    revoked before; OCSP knows it at once. ``outages``: when nobody answers; a router then waits ``timeout_s``.
    ``revoked``: serial number and time. ``entries``: others in the list, which make it longer.
    """

    authority: str
    algorithm: str
    delay_s: float
    timeout_s: float
    lifetime_s: float
    frame_bytes: int
    entry_bytes: int
    ocsp_bytes: int
    first_issue_s: float = 0.0
    entries: int = 0
    outages: tuple[tuple[float, float], ...] = ()
    revoked: dict[int, float] = field(default_factory=dict)
    #: How many questions have been asked.
    asked: int = 0

    def answer(self, question: Question, now_s: float) -> tuple[Answer, float]:
        """Return the answer to a question of ``now_s``, and after how long it is there. [s]

        Raises TypeError for a question that is not about certificates.
        """
        self.asked += 1
        if any(start_s <= now_s < end_s for start_s, end_s in self.outages):
            return NoAnswer(), self.timeout_s
        if isinstance(question, OcspRequest):
            revoked = frozenset(n for n, t in self.revoked.items() if n == question.serial and t <= now_s)
            until_s = now_s + self.lifetime_s
            return RevocationStatus(self.authority, revoked, until_s, self.algorithm, self.ocsp_bytes), self.delay_s
        if isinstance(question, CrlFetch):
            number = math.floor((now_s - self.first_issue_s) / self.lifetime_s)
            issued_s = self.first_issue_s + number * self.lifetime_s
            listed = frozenset(serial for serial, time_s in self.revoked.items() if time_s <= issued_s)
            n_bytes = self.frame_bytes + self.entry_bytes * (self.entries + len(listed))
            until_s = issued_s + self.lifetime_s
            return RevocationStatus(self.authority, listed, until_s, self.algorithm, n_bytes), self.delay_s
        raise TypeError(f"{type(question).__name__} is no question about certificates")


@dataclass(frozen=True, slots=True)
class RevocationSettings:
    """What is known of the servers of CAs; None: not said, a default holds. Times in s, names of `RevocationServer`.

    ``revoked``: holder of a certificate and when it is revoked.
    """

    delay_s: float | None = None
    timeout_s: float | None = None
    lifetime_s: float | None = None
    entries: int = 0
    outages: tuple[tuple[float, float], ...] = ()
    revoked: dict[str, float] = field(default_factory=dict)

    def server(self, authority: str, algorithm: str, serials: Mapping[str, int], ledger: Ledger) -> RevocationServer:
        """Return the server of one CA; what is not said is noted in ``ledger``. ``serials``: numbers by holder."""

        def said(value: float | None, name: str, default: Value) -> float:
            return ledger.read(OWNER, name, default) if value is None else value

        return RevocationServer(
            authority,
            algorithm,
            said(self.delay_s, "delay of a fetch", FETCH_DELAY_S),
            said(self.timeout_s, "wait for a server that does not answer", FETCH_TIMEOUT_S),
            said(self.lifetime_s, "lifetime of a CRL", LIFETIME_S),
            round(said(None, "bytes of a CRL without entries", CRL_FRAME_BYTES)),
            round(said(None, "bytes of an entry of a CRL", CRL_ENTRY_BYTES)),
            round(said(None, "bytes of an OCSP response", OCSP_BYTES)),
            entries=self.entries,
            outages=self.outages,
            revoked={serials[name]: time_s for name, time_s in self.revoked.items() if name in serials},
        )
