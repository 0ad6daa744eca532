"""EAP behind a RADIUS server (RFC 3579): one EAP server for each authentication, found by the State of the request.

What this leaves out: the time that a method takes, beyond the service time that every request has.
"""

from __future__ import annotations

from typing import Literal

from ..eap.rules import EapRules, Surroundings
from ..eap.server import EapServer
from ..ikev2.enquiries import EapAnswer, EapQuestion
from ..ikev2.payloads import EapPayload


class EapBackend:
    """The EAP of one RADIUS server.

    ``rules``: methods and users. ``surroundings``: the numbers of its implementation, and its random bits.
    """

    def __init__(self, rules: EapRules, surroundings: Surroundings) -> None:
        self.rules = rules
        self._surroundings = surroundings
        self._sessions: dict[int, EapServer] = {}
        self._begun = 0

    def answer(self, question: EapQuestion) -> EapAnswer | None:
        """Return the next EAP packet; None for a State that is not known, which the server rejects."""
        number = question.state if isinstance(question.state, int) else 0
        if question.state is None:
            self._begun += 1
            number = self._begun
            self._sessions[number] = EapServer(self.rules, self._surroundings)
        server = self._sessions.get(number)
        if server is None:
            return None
        _, packet = server.next_request(question.packet.packet)
        payload = EapPayload(packet)
        if not server.succeeded and packet.code != "failure":
            return EapAnswer("challenge", payload, number)
        del self._sessions[number]
        verdict: Literal["accept", "reject"] = "accept" if server.succeeded else "reject"
        return EapAnswer(verdict, payload, None, server.msk, cause=server.cause)

    def forget(self) -> None:
        """Lose all authentications that are going on: the server has stopped."""
        self._sessions.clear()
