"""One conversation between two routers of the same kind, message by message: what each operation costs.

Two IKEv2 endpoints talk in memory, without delay, loss or queues; the hardware profile prices every operation. Each
piece of work is divided at the message that ends it: protecting and sending belong to that message's **sender**,
everything before to the **receiver** of the message that set it off. So the key pair of a responder counts as work
that the request causes, and no operation counts twice.

What this leaves out: fragments, losses and retransmissions, waiting for a busy core, unlike ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Literal, get_args

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.algorithms import SIGNATURES
from ..models.errors import InputError, unknown_name
from ..models.ikev2 import rekey
from ..models.ikev2.endpoint import Endpoint, Step
from ..models.ikev2.identity import Identity, IdentityMatch
from ..models.ikev2.message import Datagram
from ..models.ikev2.operations import HandleMessage, Operation, Protect
from ..models.ikev2.policy import (
    PRE_SHARED,
    Authentication,
    AuthMethod,
    Certificate,
    ChildPolicy,
    Credential,
    EapAccount,
    EndpointPolicy,
    IkePolicy,
    IkeProfile,
    KeyEntry,
    TunnelPolicy,
)
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.ikev2.sa import Work
from ..models.implementation import Implementation, load_implementation
from ..models.secret import Secret
from ..models.values import Ledger, Value
from ..simulate.records import operation_name

Scenario = Literal["setup", "init-only", "cookie", "rekey-child", "rekey-ike"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

#: A certificate authenticates both ends, or the responder alone while the initiator uses EAP.
EAP: AuthMethod = "eap-mschapv2"
AUTHENTICATIONS = ("psk", *SIGNATURES, *(f"{EAP}:{name}" for name in SIGNATURES))

#: What a certificate holds beside a public key and a signature: names, validity, extensions. The recorded ones have 280
#: (ECDSA) and 300 bytes (RSA), those of an IOS XE lab 390 to 410.
CERTIFICATE_FRAME = Value(value=300, unit="bytes", kind="assumed", source="testbed", range=(280, 410))
#: Longest IPv4 packet that strongSwan sends whole unless told otherwise. [bytes]
USUAL_FRAGMENT_BYTES = 1280

#: Addresses for documentation (RFC 5737).
INITIATOR, RESPONDER = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")
TUNNEL, PROFILE = "Tunnel0", "profile"
#: Any lifetime will do, because no time passes. [s]
LIFETIME_S = 3600.0
#: Values of an implementation that decide when and how often something happens, beside those in seconds: without time
#: they decide nothing.
_TIMING = ("rekey_jitter", "retransmit_factor", "retransmit_tries", "max_in_negotiation_incoming")
#: One request and its response.
ONE_EXCHANGE = 2


@dataclass(slots=True)
class Turn:
    """A message with the operations that it cost at both ends."""

    datagram: Datagram
    sender: list[Operation] = field(default_factory=list)
    receiver: list[Operation] = field(default_factory=list)

    @property
    def by_initiator(self) -> bool:
        """True when the end that began the first exchange has sent it."""
        return self.datagram.source == INITIATOR

    def operations_of(self, *, initiator: bool) -> list[Operation]:
        """Return what one end does for this message."""
        return self.sender if self.by_initiator == initiator else self.receiver


@dataclass(slots=True)
class _Talk:
    """Carries datagrams and finishes work, one thing after the other at time 0, so that no timer runs."""

    ends: dict[IPv4Address, Endpoint]
    turns: list[Turn] = field(default_factory=list)
    _arrived: dict[IPv4Address, Turn] = field(default_factory=dict)
    _agenda: deque[tuple[IPv4Address, Work | Turn]] = field(default_factory=deque)

    def take(self, at: IPv4Address, step: Step) -> None:
        """Queue what a step asks for; its datagrams become turns."""
        for datagram in step.datagrams:
            turn = Turn(datagram)
            self.turns.append(turn)
            self._agenda.append((datagram.destination, turn))
        self._agenda.extend((at, work) for work in step.works)

    def run(self, longest: int | None = None) -> None:
        """Go on until nothing is left to do, or until ``longest`` messages were sent in all."""
        while self._agenda and (longest is None or len(self.turns) < longest):
            at, item = self._agenda.popleft()
            if isinstance(item, Turn):
                self._arrived[at] = item
                self.take(at, self.ends[at].receive(item.datagram, 0))
            else:
                self._finish(at, item)

    def _finish(self, at: IPv4Address, work: Work) -> None:
        step = self.ends[at].done(work.token, 0)
        caused, sending = divide(work.operations)
        self.take(at, step)
        if step.datagrams:
            self.turns[-1].sender += sending
        if caused:
            self._arrived[at].receiver += caused


def divide(operations: list[Operation]) -> tuple[list[Operation], list[Operation]]:
    """Return the part of a work that an arriving message caused and the part that sends the next message.

    Work that begins without an arrival belongs to its message as a whole; work that sends nothing has no second part.
    """
    if not any(isinstance(o, HandleMessage) and o.direction == "in" for o in operations):
        return [], list(operations)
    cut = len(operations)
    while _sends(operations[cut - 1]):
        cut -= 1
    return operations[:cut], operations[cut:]


def _sends(operation: Operation) -> bool:
    return isinstance(operation, Protect) or (isinstance(operation, HandleMessage) and operation.direction == "out")


@dataclass(frozen=True, slots=True)
class Ends:
    """What both ends share beside their proposals.

    ``auth``: one of `AUTHENTICATIONS`. ``certificate_bytes``: DER length of the initiator's and the responder's
    certificate. ``authorities``: CAs that both trust. ``user``: name of the EAP client.
    """

    identities: tuple[str, str]
    auth: str = "psk"
    certificate_bytes: tuple[int, int] = (0, 0)
    authorities: int = 0
    user: str = ""
    fragmentation: bool = True

    @property
    def trusted(self) -> tuple[str, ...]:
        """Names of the CAs; the first one signs all certificates."""
        return tuple(f"CA {number}" for number in range(1, self.authorities + 1))

    def authentication(self, *, initiator: bool) -> Authentication:
        """Return how one end authenticates and what it takes from the other."""
        if self.auth == "psk":
            return PRE_SHARED
        method, _, algorithm = self.auth.rpartition(":")
        account = EapAccount(self.user, Secret("any password"))
        if method and initiator:
            return Authentication(EAP, ("certificate",), account=account)
        end = 0 if initiator else 1
        identity, der_bytes = self.identities[end], self.certificate_bytes[end]
        key = Secret(f"key of {identity}")
        certificate = Certificate(Identity("fqdn", identity), algorithm, der_bytes, self.trusted[0], algorithm, key)
        credential = Credential((certificate,), key)
        if method:
            return Authentication("certificate", (EAP,), credential, users=(account,))
        return Authentication("certificate", ("certificate",), credential)


def _endpoint(
    here: IPv4Address,
    ends: Ends,
    ike: IkeProposal,
    esp: EspProposal,
    implementation: Implementation,
    *,
    cookies: bool,
) -> Endpoint:
    initiator = here == INITIATOR
    own, peer = (Identity("fqdn", name) for name in (ends.identities if initiator else ends.identities[::-1]))
    there = RESPONDER if initiator else INITIATOR
    key = Secret("any key")
    profile = IkeProfile(
        PROFILE,
        own,
        (IdentityMatch("fqdn", peer.value),),
        (KeyEntry("peer", key, key, identity=peer),),
        LIFETIME_S,
        authentication=ends.authentication(initiator=initiator),
    )
    tunnel = TunnelPolicy(TUNNEL, here, there, PROFILE, ChildPolicy((esp,), LIFETIME_S))
    policy = EndpointPolicy(
        str(here),
        (IkePolicy("policy", (ike,)),),
        (profile,),
        (tunnel,),
        cookie_threshold=0 if cookies else None,
        forbids_fragmentation=not ends.fragmentation,
        trusted=ends.trusted,
    )
    return Endpoint(policy, implementation)


def converse(
    scenario: Scenario, ike: IkeProposal, esp: EspProposal, implementation: Implementation, ends: Ends
) -> list[Turn]:
    """Return the messages of a scenario.

    Of a rekey only its own exchange and the deletion of the old SA are returned; ``init-only`` ends with the
    responder's IKE_SA_INIT response and ``cookie`` with its stateless reply.
    """
    cookies = scenario == "cookie"
    initiator, responder = (
        _endpoint(here, ends, ike, esp, implementation, cookies=cookies) for here in (INITIATOR, RESPONDER)
    )
    talk = _Talk({INITIATOR: initiator, RESPONDER: responder})
    talk.take(INITIATOR, initiator.start(TUNNEL, 0))
    talk.run(ONE_EXCHANGE if scenario in ("init-only", "cookie") else None)
    if not scenario.startswith("rekey"):
        return talk.turns
    before = len(talk.turns)
    (sa,) = initiator.sas.values()
    (child,) = sa.children.values()
    rekey.want(sa, child.serial if scenario == "rekey-child" else 0)
    initiator.advance(sa)
    talk.take(INITIATOR, initiator.on_timer(0))
    talk.run()
    return talk.turns[before:]


def exchange(
    ike: IkeProposal,
    esp: EspProposal,
    hardware: HardwareProfile,
    *,
    implementation: str = "strongswan",
    scenario: str = "setup",
    initiator_id: str = "BR1.cptl.local",
    responder_id: str = "HQ.cptl.local",
    auth: str = "psk",
    certificate_bytes: tuple[int, int] | None = None,
    authorities: int | None = None,
    fragmentation: bool = True,
) -> dict[str, Any]:
    """Return a conversation and its CPU time at both ends as one JSON object.

    Parameters
    ----------
    ike, esp: what both ends propose; a group in ``esp`` is that of perfect forward secrecy.
    hardware: profile of both routers.
    implementation: name or file of an implementation profile.
    scenario: one of `SCENARIOS`.
    initiator_id, responder_id: FQDN identities; they decide lengths only. The first label of the initiator's is its
        EAP user name.
    auth: one of `AUTHENTICATIONS`.
    certificate_bytes: DER length of both certificates; None: key and signature and `CERTIFICATE_FRAME`. [bytes]
    authorities: CAs that both ends trust; None: one, or none with pre-shared keys.
    fragmentation: False: N(FRAGMENTATION_SUPPORTED) is not even sent where the implementation does so by itself.

    Raises InputError for an unknown scenario, authentication or implementation, and for a router without IKEv2.
    """
    if scenario not in SCENARIOS:
        raise unknown_name("scenario", scenario, SCENARIOS, "--scenario")
    if auth not in AUTHENTICATIONS:
        raise unknown_name("authentication", auth, AUTHENTICATIONS, "--auth")
    if not hardware.ikev2.supported:
        raise InputError(f"{hardware.title} cannot run IKEv2: {hardware.ikev2.reason}", "--hardware")
    for option, name in (("--initiator-id", initiator_id), ("--responder-id", responder_id)):
        if not name or name.split() != [name]:
            raise InputError(f"found '{name}', a name such as HQ.example.org is needed", option)
    if authorities is None:
        authorities = 0 if auth == "psk" else 1
    if authorities < (auth != "psk"):
        raise InputError("found 0, certificates need at least one CA that both ends trust", "--ca")
    ledger = Ledger()
    cost = CostModel(hardware, ledger)
    behaviour = Implementation(load_implementation(implementation), ledger)
    if auth != "psk" and certificate_bytes is None:
        signature = SIGNATURES[auth.rpartition(":")[2]]
        frame = ledger.read("certificates", "bytes beside key and signature", CERTIFICATE_FRAME)
        certificate_bytes = (round(frame) + signature.public_key_bytes + signature.signature_bytes,) * 2
    ends = Ends(
        (initiator_id, responder_id),
        auth,
        certificate_bytes or (0, 0),
        authorities,
        initiator_id.partition(".")[0],
        fragmentation,
    )
    turns = converse(scenario, ike, esp, behaviour, ends)
    totals = {
        name: sum(cost.service_s(turn.operations_of(initiator=initiator)) for turn in turns)
        for name, initiator in (("initiator_cpu_s", True), ("responder_cpu_s", False))
    }
    rows = [row for row in ledger.rows() if row["unit"] != "s" and row["name"] not in _TIMING]
    return {
        "scenario": scenario,
        "ike": str(ike),
        "esp": str(esp),
        "auth": auth,
        "certificate_bytes": None if auth == "psk" else list(ends.certificate_bytes),
        "authorities": authorities,
        "hardware": hardware.name,
        "implementation": behaviour.name,
        "initiator_id": initiator_id,
        "responder_id": responder_id,
        "messages": [_message(turn, cost) for turn in turns],
        **totals,
        "not_simulated": _not_simulated(turns, behaviour, ends),
        "values_read": len(rows),
        "assumed": [row for row in rows if row["kind"] == "assumed"],
    }


def _not_simulated(turns: list[Turn], behaviour: Implementation, ends: Ends) -> list[str]:
    """Return in what the messages differ from what such routers would send."""
    longest = max(turn.datagram.ip_len for turn in turns)
    if not (ends.fragmentation and behaviour.profile.announces_fragmentation and longest > USUAL_FRAGMENT_BYTES):
        return []
    return [
        f"messages go in fragments (RFC 7383) above {USUAL_FRAGMENT_BYTES} bytes; here the longest packet has {longest}"
    ]


def _message(turn: Turn, cost: CostModel) -> dict[str, Any]:
    message = turn.datagram.message
    return {
        "exchange": message.exchange.name,
        "msgid": message.message_id,
        "response": message.response,
        "direction": "i>r" if turn.by_initiator else "r>i",
        "ike_bytes": message.ike_bytes,
        "udp_len": turn.datagram.udp_len,
        "ip_len": turn.datagram.ip_len,
        "payloads": message.payload_text(),
        "sender_cpu_s": cost.service_s(turn.sender),
        "receiver_cpu_s": cost.service_s(turn.receiver),
        "sender_operations": _operations(turn.sender, cost),
        "receiver_operations": _operations(turn.receiver, cost),
    }


def _operations(operations: Iterable[Operation], cost: CostModel) -> list[dict[str, Any]]:
    """Return name, number of calls and time of all calls together; ``count`` is that of a PRF or an installation."""
    return [
        {
            "operation": operation_name(operation),
            "count": getattr(operation, "count", 1),
            "duration_s": cost.operation_s(operation),
        }
        for operation in operations
    ]
