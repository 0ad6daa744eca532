"""Methods with a password: MSCHAPv2 (RFC 2759, draft-kamath-pppext-eap-mschapv2, RFC 3079), GTC and MD5 (RFC 3748 5).

GTC sends the password as it is, which the keys of IKE protect; neither GTC nor MD5 gives a key.

What this leaves out: new passwords, a second try after a wrong one (the server says R=0).
"""

from __future__ import annotations

from ..ikev2.operations import Hash, Operation, Protect
from ..ikev2.policy import EapAccount
from ..secret import Secret
from .packets import Drawn, EapPacket, Hexadecimal, Part, Parts
from .rules import EapCause, EapRules, Surroundings, Turn

#: Operations of MSCHAPv2 (draft-kamath-pppext-eap-mschapv2 2).
_CHALLENGE, _RESPONSE, _SUCCESS, _FAILURE = 1, 2, 3, 4
#: Lengths of a challenge, of an NT-Response and of what is reserved before it (RFC 2759 4). [bytes]
_CHALLENGE_BYTES, _NT_RESPONSE_BYTES, _RESERVED_BYTES = 16, 24, 8
#: "S=" and the authenticator response as digits (RFC 2759 5). [bytes]
_AUTHENTICATOR_BYTES = 20
#: What either end computes (RFC 2759 8, RFC 3079 3): the MD4 hash of the password (priced as MD5), three DES blocks,
#: SHA-1 of the challenges, of the authenticator response (2) and of the keys (3), over about 100 bytes each.
_MSCHAPV2_WORK: list[Operation] = [
    Hash("md5", 32),
    *[Protect("des", "", 8)] * 3,
    *[Hash("sha1", 100)] * 6,
]
_NAME = b"simulation"
_PROMPT = b"Password: "
WRONG: EapCause = "wrong EAP password"


def server_name(n_bytes: int) -> bytes:
    """Return the name of a server, of this length."""
    return (_NAME * (n_bytes // len(_NAME) + 1))[:n_bytes]


# -- MSCHAPv2 --------------------------------------------------------------------------------------------------


def _mschapv2(operation: int, identifier: int, *parts: Part) -> Parts:
    """Return the content of a packet; MS-Length counts from the operation on."""
    n_bytes = 4 + sum(len(p) if isinstance(p, bytes) else p.n_bytes for p in parts)
    return (bytes((operation, identifier & 0xFF)) + n_bytes.to_bytes(2, "big"), *parts)


def _nt_response(account: EapAccount, challenge: int, peer_challenge: int) -> bytes:
    return account.password.proof("response", challenge, peer_challenge, account.user)


def _msk(account: EapAccount, challenge: int, peer_challenge: int) -> Secret:
    return Secret(account.password.proof("MSK", challenge, peer_challenge, account.user))


class MsChapV2Server:
    """Challenge, then success or failure; the peer acknowledges either."""

    def __init__(self, rules: EapRules, surroundings: Surroundings, _user: str) -> None:
        self.msk: Secret | None = None
        self._rules = rules
        self._surroundings = surroundings
        self._challenge = 0
        self._first = 0

    def begin(self, identifier: int) -> Turn:
        """Return the challenge."""
        self._challenge = self._surroundings.draw()
        self._first = identifier
        name = server_name(self._surroundings.count("eap_server_name_bytes"))
        drawn = Drawn(_CHALLENGE_BYTES, ("challenge", self._challenge))
        parts = _mschapv2(_CHALLENGE, identifier, bytes((_CHALLENGE_BYTES,)), drawn, name)
        return Turn([], EapPacket("request", "challenge", "mschapv2", parts, challenge=self._challenge))

    def receive(self, packet: EapPacket, _identifier: int) -> Turn:
        """Take the response, or the acknowledgement of success or failure."""
        if packet.kind == "success response" and self.msk is not None:
            return Turn()
        if packet.kind != "response":
            return Turn(cause=WRONG)
        account = self._rules.user(packet.user)
        if account is None or packet.proof != _nt_response(account, self._challenge, packet.challenge):
            digits = Hexadecimal(Drawn(_CHALLENGE_BYTES, ("new challenge", self._challenge)))
            parts = _mschapv2(_FAILURE, self._first, b"E=691 R=0 C=", digits)
            return Turn(list(_MSCHAPV2_WORK), EapPacket("request", "failure request", "mschapv2", parts))
        self.msk = _msk(account, self._challenge, packet.challenge)
        digits = Hexadecimal(Drawn(_AUTHENTICATOR_BYTES, ("authenticator response", self._challenge)))
        spare = self._surroundings.count("eap_success_text_bytes") - 2 - digits.n_bytes
        parts = _mschapv2(_SUCCESS, self._first, b"S=", digits, b" M=OK".ljust(spare)[: max(spare, 0)])
        success = EapPacket("request", "success request", "mschapv2", parts, proof=self.msk.proof("success"))
        return Turn(list(_MSCHAPV2_WORK), success)


class MsChapV2Peer:
    """Answers the challenge; success must prove that the server knows the password too."""

    def __init__(self, rules: EapRules, surroundings: Surroundings) -> None:
        assert rules.account is not None
        self.msk: Secret | None = None
        self.done = False
        self._account = rules.account
        self._surroundings = surroundings

    def receive(self, packet: EapPacket) -> Turn:
        """Take a challenge, success or failure."""
        account = self._account
        if packet.kind == "challenge":
            own = self._surroundings.draw()
            self.msk = _msk(account, packet.challenge, own)
            parts = _mschapv2(
                _RESPONSE,
                packet.identifier,
                bytes((_CHALLENGE_BYTES + _RESERVED_BYTES + _NT_RESPONSE_BYTES + 1,)),
                Drawn(_CHALLENGE_BYTES, ("peer challenge", own)),
                bytes(_RESERVED_BYTES),
                Drawn(_NT_RESPONSE_BYTES, ("NT-Response", own)),
                b"\0",
                account.user.encode(),
            )
            proof = _nt_response(account, packet.challenge, own)
            response = EapPacket("response", "response", "mschapv2", parts, 0, account.user, own, proof)
            return Turn(list(_MSCHAPV2_WORK), response)
        if packet.kind == "success request" and self.msk is not None and packet.proof == self.msk.proof("success"):
            self.done = True
            return Turn([], EapPacket("response", "success response", "mschapv2", (bytes((_SUCCESS,)),)))
        if packet.kind == "failure request":
            return Turn([], EapPacket("response", "failure response", "mschapv2", (bytes((_FAILURE,)),)))
        return Turn(cause=WRONG)


# -- GTC -------------------------------------------------------------------------------------------------------


class GtcServer:
    """Asks for the password (RFC 3748 5.6)."""

    def __init__(self, rules: EapRules, _surroundings: Surroundings, user: str) -> None:
        self.msk: Secret | None = None
        self._account = rules.user(user)

    def begin(self, _identifier: int) -> Turn:
        """Return the prompt."""
        return Turn([], EapPacket("request", "password request", "gtc", (_PROMPT,)))

    def receive(self, packet: EapPacket, _identifier: int) -> Turn:
        """Take the password; a server stores a hash of it."""
        known = self._account is not None and packet.proof == self._account.password.proof("GTC")
        return Turn([Hash("sha1", packet.n_bytes)], cause="" if known else WRONG)


class GtcPeer:
    """Sends the password."""

    def __init__(self, rules: EapRules, _surroundings: Surroundings) -> None:
        assert rules.account is not None
        self.msk: Secret | None = None
        self.done = False
        self._account = rules.account

    def receive(self, _packet: EapPacket) -> Turn:
        """Take the prompt. The octets of a capture are drawn: a password is in no file."""
        self.done = True
        password = self._account.password
        parts = (Drawn(password.n_bytes, ("password", self._account.user)),)
        return Turn([], EapPacket("response", "password", "gtc", parts, proof=password.proof("GTC")))


# -- MD5 -------------------------------------------------------------------------------------------------------


def _md5_proof(account: EapAccount, challenge: int) -> bytes:
    return account.password.proof("MD5", challenge)


class Md5Server:
    """A challenge, as CHAP (RFC 3748 5.4, RFC 1994 4.1)."""

    def __init__(self, rules: EapRules, surroundings: Surroundings, user: str) -> None:
        self.msk: Secret | None = None
        self._account = rules.user(user)
        self._surroundings = surroundings
        self._challenge = 0

    def begin(self, _identifier: int) -> Turn:
        """Return the challenge."""
        self._challenge = self._surroundings.draw()
        drawn = Drawn(_CHALLENGE_BYTES, ("challenge", self._challenge))
        name = server_name(self._surroundings.count("eap_server_name_bytes"))
        parts = (bytes((_CHALLENGE_BYTES,)), drawn, name)
        return Turn([], EapPacket("request", "challenge", "md5", parts, challenge=self._challenge))

    def receive(self, packet: EapPacket, _identifier: int) -> Turn:
        """Take the response."""
        account = self._account
        known = account is not None and packet.proof == _md5_proof(account, self._challenge)
        return Turn([Hash("md5", _md5_bytes(account))], cause="" if known else WRONG)


class Md5Peer:
    """Answers the challenge."""

    def __init__(self, rules: EapRules, _surroundings: Surroundings) -> None:
        assert rules.account is not None
        self.msk: Secret | None = None
        self.done = False
        self._account = rules.account

    def receive(self, packet: EapPacket) -> Turn:
        """Take the challenge."""
        self.done = True
        account = self._account
        drawn = Drawn(16, ("response", packet.challenge))
        parts = (b"\x10", drawn, account.user.encode())
        response = EapPacket("response", "response", "md5", parts, proof=_md5_proof(account, packet.challenge))
        return Turn([Hash("md5", _md5_bytes(account))], response)


def _md5_bytes(account: EapAccount | None) -> int:
    """Return the length of what is hashed: identifier, password and challenge. [bytes]"""
    return 1 + (account.password.n_bytes if account is not None else 0) + _CHALLENGE_BYTES
