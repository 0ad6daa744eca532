"""A router's AAA: which method of a list answers a question, and the RADIUS packet that asks it.

Sans-I/O and without a clock. A list's next method is for when nobody answers; a refusal is final (as in IOS).

The attributes of a request are those of the appendix "FlexVPN RADIUS attributes" (User-Name, User-Password of the
word ``cisco``, Calling-Station-Id, with EAP Service-Type, EAP-Message, Message-Authenticator) and NAS-IP-Address, of
which RFC 2865 4.1 demands it or NAS-Identifier. Which others IOS adds (NAS-Port, NAS-Port-Type, Acct-Session-Id) is
not known; those are assumed absent from Access-Request, up to 40 octets.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from ..errors import InputError
from ..ikev2.enquiries import (
    AccountingRecord,
    Answer,
    AuthorisationAnswer,
    AuthorisationQuestion,
    EapAnswer,
    EapQuestion,
    KeyAnswer,
    KeyQuestion,
    LoginAnswer,
    LoginQuestion,
    NoAnswer,
    Question,
    Rejected,
)
from ..ikev2.policy import AuthorizationPolicy, KeyEntry
from . import packets
from .client import NS_PER_S, ClientStep, Outcome, RadiusClient, Reply, Transmission
from .directory import STATE_BYTES, Account
from .packets import Attribute, Code, Packet
from .rights import rights_of
from .settings import AaaSettings, Method, Purpose, RadiusServer

#: Length of ``cisco``, the password with which the router asks for keys and rights. [bytes]
_PASSWORD_BYTES = 5
#: Acct-Session-Id as IOS writes it: eight hexadecimal digits (assumed). [bytes]
_SESSION_ID_BYTES = 8


@dataclass(slots=True)
class AccountingEntry:
    """One accounting record as it is sent. ``session_s``: how long the session lasts by then. [s]"""

    kind: str
    record: AccountingRecord
    session_s: float


@dataclass(slots=True)
class AaaStep:
    """What one call asks of the driver: packets to send, answers by token, requests that are over, dead servers."""

    transmissions: list[Transmission] = field(default_factory=list)
    answers: list[tuple[int, Answer]] = field(default_factory=list)
    outcomes: list[tuple[Question, Outcome]] = field(default_factory=list)
    records: list[AccountingEntry] = field(default_factory=list)
    dead: list[RadiusServer] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """A question that waits: its methods that have not been tried."""

    token: int
    question: Question
    packet: Packet
    methods: Iterator[Method]


class AaaService:
    """AAA of one router."""

    def __init__(self, router: str, settings: AaaSettings) -> None:
        self.settings = settings
        self.client = RadiusClient(router, settings)
        self._open: dict[int, _Open] = {}
        #: Sessions of which account is kept: the record, when it began and when its next interim record is due. [ns]
        self._sessions: dict[int, tuple[AccountingRecord, int, int]] = {}
        self._interims: list[tuple[int, int]] = []
        self._step = AaaStep()

    def ask(self, token: int, question: Question, now: int) -> AaaStep:
        """Look for the answer of a question, or take an accounting record (token 0)."""
        if isinstance(question, AccountingRecord):
            self._account(question, now)
        else:
            methods = iter(self._methods(question))
            self._try_next(_Open(token, question, _request(question), methods), now)
        return self._take()

    def receive(self, reply: Reply, now: int) -> AaaStep:
        """Take a packet of a server."""
        self._follow(self.client.receive(reply, now), now)
        return self._take()

    def on_timer(self, now: int) -> AaaStep:
        """Run what is due: repetitions, and interim accounting records."""
        self._follow(self.client.on_timer(now), now)
        while self._interims and self._interims[0][0] <= now:
            due, number = heapq.heappop(self._interims)
            session = self._sessions.get(number)
            if session is not None and session[2] == due:
                record, began, _ = session
                self._send_record("interim", record, now - began, now)
                self._expect_interim(record, began, now)
        return self._take()

    def timer(self) -> int | None:
        """Return when ``on_timer`` is wanted next, in ns, or None."""
        while self._interims:
            due, number = self._interims[0]
            session = self._sessions.get(number)
            if session is not None and session[2] == due:
                break
            heapq.heappop(self._interims)
        times = (self.client.timer(), self._interims[0][0] if self._interims else None)
        return min((t for t in times if t is not None), default=None)

    # -- questions ---------------------------------------------------------------------------------------------

    def _methods(self, question: Question) -> tuple[Method, ...]:
        assert isinstance(question, KeyQuestion | AuthorisationQuestion | EapQuestion | LoginQuestion)
        purpose: Purpose = "login" if isinstance(question, EapQuestion | LoginQuestion) else "network"
        found = self.settings.lists.get((purpose, question.aaa_list))
        return found.methods if found is not None else ()

    def _try_next(self, question: _Open, now: int) -> None:
        """Try the next method of the list; after the last one nobody has answered."""
        for kind, name in question.methods:
            if kind == "group":
                serial, step = self.client.ask(name, question.packet, question.question, now)
                self._open[serial] = question
                self._follow(step, now)
                return
            self._step.answers.append((question.token, self._own_answer(kind, question.question)))
            return
        self._step.answers.append((question.token, NoAnswer()))

    def _own_answer(self, kind: str, question: Question) -> Answer:
        """Return what the router itself knows: its policies and its users; ``none`` lets everything pass."""
        if isinstance(question, LoginQuestion):
            password = self.settings.users.get(question.name)
            known = password is not None and password.proof("form") == question.proof
            return LoginAnswer() if kind == "none" or known else Rejected(f"no user {question.name} or wrong password")
        if not isinstance(question, AuthorisationQuestion):
            return Rejected(f"the method {kind} has neither keys nor EAP")
        rights = AuthorizationPolicy(question.name) if kind == "none" else self.settings.policies.get(question.name)
        if rights is None:
            return Rejected(f"no crypto ikev2 authorization policy {question.name}")
        return AuthorisationAnswer(rights)

    def _follow(self, step: ClientStep, now: int) -> None:
        self._step.transmissions += step.transmissions
        self._step.dead += step.dead
        for outcome in step.outcomes:
            question = self._open.pop(outcome.serial, None)
            if question is None:
                continue
            self._step.outcomes.append((question.question, outcome))
            if isinstance(question.question, AccountingRecord):
                continue
            if outcome.reply is None:
                self._try_next(question, now)
            else:
                self._step.answers.append((question.token, self._judge(question.question, outcome.reply)))

    def _judge(self, question: Question, reply: Reply) -> Answer:
        content = reply.content
        if isinstance(content, EapAnswer):
            return content
        if not isinstance(content, Account):
            return Rejected(f"{reply.packet.code.title} by {reply.server.name}")
        try:
            rights = rights_of(content.pairs, self.settings.pools)
        except InputError as error:
            return Rejected(f"{error} from {reply.server.name}")
        if isinstance(question, KeyQuestion):
            origin = f"account {content.name} of {reply.server.name}"
            key = KeyEntry(content.name, content.local_key, content.remote_key, None, None, origin, origin)
            return KeyAnswer(key, rights)
        return LoginAnswer(rights) if isinstance(question, LoginQuestion) else AuthorisationAnswer(rights)

    # -- accounting --------------------------------------------------------------------------------------------

    def _account(self, record: AccountingRecord, now: int) -> None:
        if record.status == "start":
            self._send_record("start", record, 0, now)
            self._expect_interim(record, now, now)
        else:
            session = self._sessions.pop(record.session, None)
            began = session[1] if session is not None else now
            self._send_record("stop", record, now - began, now)

    def _expect_interim(self, record: AccountingRecord, began: int, now: int) -> None:
        due = now + round(self.settings.interim_s * NS_PER_S) if self.settings.interim_s else -1
        self._sessions[record.session] = (record, began, due)
        if due >= 0:
            heapq.heappush(self._interims, (due, record.session))

    def _send_record(self, kind: str, record: AccountingRecord, lasted_ns: int, now: int) -> None:
        found = self.settings.lists.get(("accounting", record.aaa_list))
        if found is not None and found.stop_only and kind != "stop":
            return
        self._step.records.append(AccountingEntry(kind, record, lasted_ns / NS_PER_S))
        # Records are lost where no server of the first group takes them: the list's other methods are not tried.
        group = next((name for method, name in found.methods if method == "group"), "") if found else ""
        if group:
            packet = _accounting_request(kind, record)
            serial, step = self.client.ask(group, packet, record, now)
            self._open[serial] = _Open(0, record, packet, iter(()))
            self._follow(step, now)

    def _take(self) -> AaaStep:
        step, self._step = self._step, AaaStep()
        return step


def _request(question: Question) -> Packet:
    assert isinstance(question, KeyQuestion | AuthorisationQuestion | EapQuestion | LoginQuestion)
    name = packets.text("User-Name", question.name)
    station = packets.text("Calling-Station-Id", str(question.peer))
    own = packets.number("NAS-IP-Address")
    if not isinstance(question, EapQuestion):
        length = question.password_bytes if isinstance(question, LoginQuestion) else _PASSWORD_BYTES
        return packets.packet(Code.ACCESS_REQUEST, name, packets.user_password(length), station, own)
    eap = packets.eap_message(question.packet.packet.n_bytes)
    state = [Attribute("State", STATE_BYTES)] if question.state is not None else []
    authenticator = packets.message_authenticator()
    service = packets.number("Service-Type")
    return packets.packet(Code.ACCESS_REQUEST, name, service, station, own, eap, state, authenticator)


def _accounting_request(kind: str, record: AccountingRecord) -> Packet:
    """Return an Accounting-Request (RFC 2866 4.1); octets and time are in all but the first record (5.3, 5.4, 5.7)."""
    parts = [
        packets.number("Acct-Status-Type"),
        Attribute("Acct-Session-Id", _SESSION_ID_BYTES),
        packets.text("User-Name", record.name),
        packets.text("Calling-Station-Id", str(record.peer)),
        packets.number("NAS-IP-Address"),
        packets.number("Acct-Delay-Time"),
    ]
    if isinstance(record.address, IPv4Address):
        parts.append(packets.number("Framed-IP-Address"))
    if kind != "start":
        parts += [packets.number(f"Acct-{what}") for what in ("Session-Time", "Input-Octets", "Output-Octets")]
    if kind == "stop":
        parts.append(packets.number("Acct-Terminate-Cause"))
    return packets.packet(Code.ACCOUNTING_REQUEST, parts)
