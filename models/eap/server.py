"""An EAP server: who is there, a method that both ends accept, success or failure (RFC 3748 2, 4 and 5.3).

It runs where the accounts are: in the router itself, or in a RADIUS server that the router passes packets to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from ..ikev2.operations import Operation
from ..secret import Secret
from .anyconnect import AnyConnectServer
from .packets import EapMethod, EapPacket
from .password import GtcServer, Md5Server, MsChapV2Server
from .rules import EapCause, EapRules, ServerMethod, Surroundings
from .tls_method import TlsServer

_METHODS: dict[EapMethod, Callable[[EapRules, Surroundings, str], ServerMethod]] = {
    "mschapv2": MsChapV2Server,
    "gtc": GtcServer,
    "md5": Md5Server,
    "tls": TlsServer,
    "anyconnect": AnyConnectServer,
}


class EapServer:
    """The server's side of one authentication.

    ``next_request`` takes the peer's packets in turn. Packets of an authenticator that asks for no identity begin with
    one that it makes itself (`packets.identity_response`). ``msk``: the key after success, None where the method gives
    none. ``cause``: why it failed.
    """

    def __init__(self, rules: EapRules, surroundings: Surroundings) -> None:
        self.succeeded = False
        self.msk: Secret | None = None
        self.cause: EapCause | Literal[""] = ""
        self.user = ""
        self.method: EapMethod | None = None
        self._rules = rules
        self._surroundings = surroundings
        self._current: ServerMethod | None = None
        # Without a certificate of its own a server cannot do EAP-TLS.
        self._left = [name for name in rules.methods if name != "tls" or rules.credential is not None]
        self._answered = False
        self._identifier = 0

    def identity_request(self) -> EapPacket:
        """Return the first packet: who is there (RFC 3748 5.1)?"""
        return self._sent(EapPacket("request", "identity request", "identity"))

    def next_request(self, packet: EapPacket) -> tuple[list[Operation], EapPacket]:
        """Return the server's work and its next packet; success and failure are the last ones."""
        if packet.type == "identity":
            self.user = packet.user
            return self._propose(self._rules.methods)
        if packet.type == "nak":
            # Only an answer to the first request of a method can be a Nak (RFC 3748 5.3.1).
            return self._propose(packet.wanted) if not self._answered else self._fail([], "no EAP method in common")
        if self._current is None or packet.type != self.method:
            return self._fail([], "no EAP method in common")
        self._answered = True
        turn = self._current.receive(packet, self._identifier + 1)
        if turn.packet is not None:
            return turn.operations, self._sent(turn.packet)
        if turn.cause:
            return self._fail(turn.operations, turn.cause)
        self.succeeded, self.msk = True, self._current.msk
        return turn.operations, EapPacket("success", "success", identifier=self._identifier)

    def _propose(self, wanted: tuple[EapMethod, ...]) -> tuple[list[Operation], EapPacket]:
        """Begin the first method of the server's that is wanted and was not tried."""
        method = next((name for name in self._left if name in wanted), None)
        if method is None:
            return self._fail([], "no EAP method in common")
        self._left.remove(method)
        self.method = method
        self._current = _METHODS[method](self._rules, self._surroundings, self.user)
        turn = self._current.begin(self._identifier + 1)
        assert turn.packet is not None
        return turn.operations, self._sent(turn.packet)

    def _fail(self, operations: list[Operation], cause: EapCause) -> tuple[list[Operation], EapPacket]:
        self.cause = cause
        return operations, EapPacket("failure", "failure", identifier=self._identifier)

    def _sent(self, packet: EapPacket) -> EapPacket:
        """Return a request with the next number (RFC 3748 4.1)."""
        self._identifier += 1
        return replace(packet, identifier=self._identifier)
