"""The set-ups that the study compares, with the same suites and identities: IKEv2, IKEv1, L2TP/IPsec, PPTP, GRE.

IKEv2 comes from its state machines, IKEv1 from its messages, the others from the shortest exchange that their RFCs
allow. A crypto map needs a pair of SAs for each line of its access list, a tunnel interface one pair for everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..models.baselines import tunnels
from ..models.baselines.procedure import Packet, Procedure, chain
from ..models.esp import esp_packet_bytes
from ..models.ikev1 import exchanges
from ..models.ikev1.payloads import ADDRESS_BYTES, MessageV1
from ..models.ikev2 import children
from ..models.ikev2.identity import Identity
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.implementation import Implementation, load_implementation
from ..models.values import Ledger
from . import ikev1
from .conversation import Talk
from .exchange_plan import End, Plan
from .exchange_scenarios import SETUP, converse, prepare

#: IKEv2 and IKEv1 of the same maker: name, IKEv2 profile, IKEv1 profile.
IMPLEMENTATIONS = (("IOS XE", "ios-xe-16.9", "ios"), ("strongSwan", "strongswan", "strongswan"))
INITIATOR, RESPONDER = Identity("fqdn", "icpedger02.cptl.local"), Identity("fqdn", "HQ.cptl.local")
#: Lines of the access list of a crypto map that is compared. A tunnel interface needs none.
CRYPTO_MAP_LINES = 4
CRYPTO_MAP = f"crypto map, {CRYPTO_MAP_LINES} lines"


@dataclass(frozen=True, slots=True)
class Suites:
    """What every set-up proposes."""

    ike: IkeProposal
    esp: EspProposal


def ikev2_talk(suites: Suites, implementation: str, ledger: Ledger, *steps: str, auth: str = "psk") -> Talk:
    """Return a conversation of two IKEv2 ends: the set-up and the steps behind it, names of `exchange_scenarios`.

    ``auth``: ``psk``, or EAP with a server certificate of 1000 bytes as ``eap-mschapv2:rsa2048``.
    """
    behaviour = Implementation(load_implementation(implementation), ledger)
    first, second = (End(name, (suites.ike,), (suites.esp,), behaviour) for name in (INITIATOR, RESPONDER))
    certified = auth != "psk"
    plan = Plan(
        first, second, auth, (1000, 1000) if certified else (0, 0), int(certified), INITIATOR.value.split(".")[0]
    )
    names = [SETUP, *steps]
    return converse(prepare(plan, names), names, lambda _: 0.0)


def completes(talk: Talk) -> bool:
    """Return whether both ends installed a Child SA."""
    return {initiator for initiator, event in talk.events if event.kind == "child_installed"} == {True, False}


def ikev2(suites: Suites, implementation: str, ledger: Ledger, *steps: str, auth: str = "psk") -> Procedure:
    """Return the packets of `ikev2_talk`; user packets pass after the last."""
    talk = ikev2_talk(suites, implementation, ledger, *steps, auth=auth)
    packets = chain(
        "IKEv2",
        [
            (
                turn.datagram.message.exchange.name,
                turn.by_initiator,
                turn.datagram.ip_len,
                tuple(turn.sender),
                tuple(turn.receiver),
            )
            for turn in talk.turns
        ],
    )
    return Procedure("IKEv2", tuple(packets), (len(packets) - 1,))


def part(whole: Procedure, first: Procedure) -> Procedure:
    """Return what a longer procedure adds to the one that it begins with."""
    added = whole.packets[first.messages :]
    kept = [Packet(p.layer, p.name, p.from_initiator, p.ip_bytes, (), p.sender, p.receiver) for p in added]
    return Procedure(whole.name, tuple(kept), tuple(range(len(kept))))


def ikev1_peers(
    suites: Suites, implementation: str, ledger: Ledger, traffic_id_bytes: int | None = None
) -> exchanges.Peers:
    """Return the two ends of IKEv1 with the identities of all set-ups."""
    return ikev1.peers(
        suites.ike,
        suites.esp,
        implementation,
        ledger,
        initiator=INITIATOR,
        responder=RESPONDER,
        traffic_id_bytes=traffic_id_bytes,
    )


def packets_of(messages: Sequence[MessageV1]) -> list[Packet]:
    """Return IKEv1 messages as packets that wait for one another."""
    return chain("IKEv1", [(m.exchange, m.from_initiator, m.ip_len, m.sender, m.receiver) for m in messages])


def ikev1_set_up(suites: Suites, implementation: str, ledger: Ledger, mode: ikev1.Mode) -> Procedure:
    """Return main or aggressive mode with quick mode; user packets pass when its third message is processed."""
    messages = [m for _, m in ikev1.phases(ikev1_peers(suites, implementation, ledger), mode, ())]
    return Procedure(f"IKEv1 {mode}", tuple(packets_of(messages)), (len(messages) - 1,))


def l2tp(suites: Suites, implementation: str, ledger: Ledger) -> Procedure:
    """Return L2TP over IPsec (RFC 3193): IKEv1 main and quick mode for UDP port 1701 of hosts, then L2TP and PPP."""
    ends = ikev1_peers(suites, implementation, ledger, ADDRESS_BYTES)
    ike = packets_of([m for _, m in ikev1.phases(ends, "main", ())])
    esp = children.suite_of(suites.esp)
    return tunnels.l2tp(ike, (esp.encryption, esp.integrity), ledger)


def crypto_map(suites: Suites, implementation: str, ledger: Ledger, lines: int = CRYPTO_MAP_LINES) -> Procedure:
    """Return IKEv2 under a crypto map: a CREATE_CHILD_SA exchange for each further line of its access list."""
    own = ikev2(suites, implementation, ledger, *["second-child"] * (lines - 1))
    return Procedure(CRYPTO_MAP, own.packets, own.ready)


def packet_bytes(suites: Suites) -> dict[str, Callable[[int], int]]:
    """Return by protocol the length of the outer IP packet around an inner one. [bytes]"""
    suite = children.suite_of(suites.esp)
    encryption, integrity = suite.encryption, suite.integrity

    def esp(inner: int) -> int:
        return esp_packet_bytes(inner, encryption, integrity)

    return {
        "IKEv2": esp,
        "IKEv2, GRE inside": lambda inner: esp_packet_bytes(
            inner, encryption, integrity, mode="transport", gre_bytes=tunnels.GRE_BYTES
        ),
        CRYPTO_MAP: esp,
        "IKEv1 main": esp,
        "IKEv1 aggressive": esp,
        "L2TP/IPsec": lambda inner: tunnels.l2tp_packet_bytes(inner, (encryption, integrity)),
        "PPTP": tunnels.pptp_packet_bytes,
        "GRE": tunnels.gre_packet_bytes,
    }
