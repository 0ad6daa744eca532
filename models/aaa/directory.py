"""The RADIUS server's side: the accounts of users and groups, and the answer to each question (RFC 2865 4).

An account may have a pre-shared key, rights as AV-pairs, and a password for EAP and logins. A name without an account
gets Access-Reject, and so does a request for a key where there is none.

What this leaves out: proxies, policies by time or port, limits of sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..ikev2.enquiries import (
    AccountingRecord,
    AuthorisationQuestion,
    EapAnswer,
    EapQuestion,
    KeyQuestion,
    LoginQuestion,
    Question,
)
from ..secret import Secret
from . import packets
from .eap_server import EapBackend
from .packets import Attribute, Code, Packet

#: Names of the AV-pairs that carry the two halves of a pre-shared key, as the peer is seen from the router.
_LOCAL_PAIR, _REMOTE_PAIR = "ipsec:ikev2-password-local=", "ipsec:ikev2-password-remote="
#: Length of State in a challenge. RFC 2865 5.24 leaves it to the server; assumed after FreeRADIUS, 8 to 32. [bytes]
STATE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Account:
    """A user or a group. ``local_key`` is what the router proves itself with, ``remote_key`` the peer's own key.

    ``key_bytes``: their lengths. Equal keys travel once, in Tunnel-Password, else in two AV-pairs. ``pairs``: the
    rights. ``password``: for EAP.
    """

    name: str
    local_key: Secret | None = None
    remote_key: Secret | None = None
    key_bytes: tuple[int, int] = (0, 0)
    pairs: tuple[str, ...] = ()
    password: Secret | None = None

    def key_attributes(self) -> list[Attribute]:
        """Return the attributes of Access-Accept that carry the key."""
        if self.local_key is None or self.remote_key is None:
            return []
        if self.local_key == self.remote_key:
            return [packets.tunnel_password(self.key_bytes[0])]
        return [
            packets.av_pair(len(_LOCAL_PAIR) + self.key_bytes[0]),
            packets.av_pair(len(_REMOTE_PAIR) + self.key_bytes[1]),
        ]

    def right_attributes(self) -> list[Attribute]:
        """Return the attributes of Access-Accept that carry the rights."""
        return [packets.av_pair(len(pair.encode())) for pair in self.pairs]


@dataclass(frozen=True, slots=True)
class Directory:
    """The accounts of a server by name, and its EAP method, if it has one."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    eap: EapBackend | None = None

    def forget(self) -> None:
        """Lose what only lives in memory: the server has stopped."""
        if self.eap is not None:
            self.eap.forget()

    def answer(self, question: Question) -> tuple[Packet, Account | EapAnswer | None]:
        """Return the answering packet, and what it says: an account, an EAP packet, or nothing."""
        if isinstance(question, AccountingRecord):
            return packets.packet(Code.ACCOUNTING_RESPONSE), None
        if isinstance(question, EapQuestion):
            return self._answer_eap(question)
        if isinstance(question, LoginQuestion):
            return self._answer_login(question)
        assert isinstance(question, KeyQuestion | AuthorisationQuestion)
        account = self.accounts.get(question.name)
        if account is None:
            return packets.packet(Code.ACCESS_REJECT), None
        keys = account.key_attributes()
        if isinstance(question, KeyQuestion) and not keys:
            return packets.packet(Code.ACCESS_REJECT), None
        # The server knows a name, not what it is asked for: everything that the account has comes along.
        return packets.packet(Code.ACCESS_ACCEPT, keys, account.right_attributes()), account

    def _answer_login(self, question: LoginQuestion) -> tuple[Packet, Account | None]:
        account = self.accounts.get(question.name)
        if account is None or account.password is None or account.password.proof("form") != question.proof:
            return packets.packet(Code.ACCESS_REJECT), None
        return packets.packet(Code.ACCESS_ACCEPT, account.right_attributes()), account

    def _answer_eap(self, question: EapQuestion) -> tuple[Packet, EapAnswer | None]:
        said = self.eap.answer(question) if self.eap is not None else None
        if said is None:
            return packets.packet(Code.ACCESS_REJECT), None
        code = {"challenge": Code.ACCESS_CHALLENGE, "accept": Code.ACCESS_ACCEPT, "reject": Code.ACCESS_REJECT}
        parts = [*packets.eap_message(said.packet.packet.n_bytes), packets.message_authenticator()]
        if said.verdict == "challenge":
            parts.append(Attribute("State", STATE_BYTES))
        if said.verdict == "accept" and said.msk is not None:
            # MS-MPPE-Recv-Key and MS-MPPE-Send-Key, each with salt, length and 32 octets in blocks (RFC 2548 2.4).
            parts += [packets.av_pair(2 + 48), packets.av_pair(2 + 48)]
        account = self.accounts.get(question.name)
        if said.verdict == "accept" and account is not None:
            parts += account.right_attributes()
        return packets.packet(code[said.verdict], parts), said
