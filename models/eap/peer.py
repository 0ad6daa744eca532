"""An EAP peer: it says who it is, takes a method it has or names one, and believes a success only at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from ..ikev2.operations import Operation
from ..secret import Secret
from .anyconnect import AnyConnectPeer
from .packets import EapMethod, EapPacket, identity_response, nak
from .password import GtcPeer, Md5Peer, MsChapV2Peer
from .rules import EapCause, EapRules, PeerMethod, Surroundings
from .tls_method import TlsPeer

_METHODS: dict[EapMethod, Callable[[EapRules, Surroundings], PeerMethod]] = {
    "mschapv2": MsChapV2Peer,
    "gtc": GtcPeer,
    "md5": Md5Peer,
    "tls": TlsPeer,
    "anyconnect": AnyConnectPeer,
}


class EapPeer:
    """The peer's side of one authentication. ``msk``: the key, None where the method gives none."""

    def __init__(self, rules: EapRules, surroundings: Surroundings) -> None:
        assert rules.account is not None
        self.cause: EapCause | Literal[""] = ""
        self.method: EapMethod | None = None
        self._rules = rules
        self._surroundings = surroundings
        self._current: PeerMethod | None = None
        self._user = rules.account.user

    @property
    def msk(self) -> Secret | None:
        """The key of the method."""
        return self._current.msk if self._current is not None else None

    @property
    def done(self) -> bool:
        """True once an EAP-Success can be believed (RFC 3748 4.2)."""
        return self._current is not None and self._current.done

    def answer(self, packet: EapPacket) -> tuple[list[Operation], EapPacket | None]:
        """Return the peer's work and its answer; None to a packet that ends the exchange, ``cause`` says why."""
        if packet.code != "request" or packet.type in ("", "nak"):
            self.cause = self.cause or "refused by the peer"
            return [], None
        if packet.type == "identity":
            return [], identity_response(self._user, packet.identifier)
        if packet.type not in self._rules.methods:
            return [], nak(self._rules.methods, packet.identifier)
        if self.method != packet.type:
            self.method = packet.type
            self._current = _METHODS[packet.type](self._rules, self._surroundings)
        assert self._current is not None
        turn = self._current.receive(packet)
        self.cause = turn.cause or self.cause
        if turn.packet is None:
            return turn.operations, None
        return turn.operations, replace(turn.packet, identifier=packet.identifier)
