"""AnyConnect-EAP: "aggregate authentication", XML in packets of Cisco's expanded type (RFC 3748 5.7).

Cisco publishes neither its packets nor its lengths nor a key: the order of the documents is that of the same XML over
HTTPS (hello, init, form, reply, complete), each length is an assumed value with its range, and AUTH is made as after a
method without a key (RFC 7296 2.16). It asks for no EAP identity, because the form does.
"""

from __future__ import annotations

from ..ikev2.operations import Hash
from ..secret import Secret
from .packets import HEADER_BYTES, EapPacket
from .rules import EapCause, EapRules, Surroundings, Turn

#: Vendor number of Cisco and a vendor type, which is not published.
_VENDOR = b"\0\0\x09" + bytes(4)
_WRONG: EapCause = "wrong EAP password"


def _packet(request: bool, kind: str, document: str, n_bytes: int, **fields: object) -> EapPacket:
    """Return a packet of ``n_bytes``: the beginning of a document, filled up with spaces."""
    room = max(n_bytes - HEADER_BYTES - 1 - len(_VENDOR), 0)
    xml = f'<?xml version="1.0"?><config-auth client="vpn" type="{document}">'.encode()
    parts = (_VENDOR, xml[:room].ljust(room))
    name = f"anyconnect {kind}"
    return EapPacket("request" if request else "response", name, "anyconnect", parts, **fields)  # type: ignore[arg-type]


class AnyConnectServer:
    """The gateway."""

    def __init__(self, rules: EapRules, surroundings: Surroundings, _user: str) -> None:
        self.msk: Secret | None = None
        self._rules = rules
        self._count = surroundings.count
        self._accepted = False

    def begin(self, _identifier: int) -> Turn:
        """Return the hello."""
        return Turn([], _packet(True, "hello", "hello", self._count("anyconnect_hello_bytes")))

    def receive(self, packet: EapPacket, _identifier: int) -> Turn:
        """Take the client's documents one after the other."""
        if packet.kind == "anyconnect init":
            form = self._count("anyconnect_form_bytes")
            return Turn([], _packet(True, "form", "auth-request", form))
        if packet.kind == "anyconnect acknowledgement" and self._accepted:
            return Turn()
        if self._rules.admits is not None:
            known = self._rules.admits(packet.user)
        else:
            account = self._rules.user(packet.user)
            known = account is not None and packet.proof == account.password.proof("form")
        work = [Hash("sha1", packet.n_bytes)]
        if packet.kind != "anyconnect reply" or not known:
            return Turn([*work], cause=_WRONG)
        self._accepted = True
        return Turn([*work], _packet(True, "complete", "complete", self._count("anyconnect_complete_bytes")))


class AnyConnectPeer:
    """The client."""

    def __init__(self, rules: EapRules, surroundings: Surroundings) -> None:
        assert rules.account is not None
        self.msk: Secret | None = None
        self.done = False
        self._account = rules.account
        self._count = surroundings.count

    def receive(self, packet: EapPacket) -> Turn:
        """Take the gateway's documents."""
        if packet.kind == "anyconnect hello":
            return Turn([], _packet(False, "init", "init", self._count("anyconnect_init_bytes")))
        if packet.kind == "anyconnect form":
            password = self._account.password
            said = {"user": self._account.user, "proof": password.proof("form"), "password_bytes": password.n_bytes}
            reply = _packet(False, "reply", "auth-reply", self._count("anyconnect_reply_bytes"), **said)
            return Turn([], reply)
        self.done = True
        n_bytes = self._count("anyconnect_acknowledgement_bytes")
        return Turn([], _packet(False, "acknowledgement", "ack", n_bytes))
