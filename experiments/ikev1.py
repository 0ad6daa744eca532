"""A conversation of IKEv1, message by message, with what each operation costs: rows as those of `exchange`.

The network is without delay and loss; each end has one core and does its work as the messages set it off.

What this leaves out: retransmission, NAT traversal, certificates, refusals (`models.ikev1`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.errors import InputError, unknown_name
from ..models.ikev1 import exchanges
from ..models.ikev1.implementation import ImplementationV1, load
from ..models.ikev1.payloads import MessageV1, suites_of
from ..models.ikev2.identity import Identity
from ..models.ikev2.message import IKE_PORT
from ..models.ikev2.operations import Operation
from ..models.ikev2.proposals import EspProposal, EspSuite, IkeProposal
from ..models.values import Ledger
from ..simulate.records import operation_name

Mode = Literal["main", "aggressive"]
MODES: tuple[Mode, ...] = ("main", "aggressive")
INITIATOR, RESPONDER = Identity("fqdn", "BR1.cptl.local"), Identity("fqdn", "HQ.cptl.local")
#: What may follow the set-up.
STEPS = ("rekey-child", "dpd", "delete")


def implementation_for(hardware: HardwareProfile) -> str:
    """Return what speaks IKEv1 on a router unless told otherwise."""
    return "strongswan" if hardware.family == "Linux" else "ios"


def peers(
    ike: IkeProposal | Sequence[IkeProposal],
    esp: EspProposal | Sequence[EspProposal],
    implementation: str,
    ledger: Ledger,
    *,
    initiator: Identity,
    responder: Identity,
    traffic_id_bytes: int | None = None,
) -> exchanges.Peers:
    """Return two ends that agree on the first of these suites; ``traffic_id_bytes`` None: subnets.

    Raises InputError for what IKEv1 cannot negotiate and for an unknown implementation.
    """
    offered = (ike,) if isinstance(ike, IkeProposal) else tuple(ike)
    children = (esp,) if isinstance(esp, EspProposal) else tuple(esp)
    suites = tuple(EspSuite(e.encryption, e.integrity, e.esn, group) for e in children for group in e.groups or (0,))
    behaviour = ImplementationV1(load(implementation), ledger)
    more = {} if traffic_id_bytes is None else {"traffic_id_bytes": traffic_id_bytes}
    return exchanges.Peers(initiator, responder, suites_of(offered, "--ike"), suites, behaviour, **more)


def phases(ends: exchanges.Peers, mode: str, steps: Sequence[str]) -> list[tuple[str, MessageV1]]:
    """Return the messages of a set-up and of the steps behind it, each with its phase.

    Raises InputError for an unknown mode or step.
    """
    if mode not in MODES:
        raise unknown_name("IKEv1 mode", mode, MODES, "--mode")
    first = exchanges.main_mode(ends) if mode == "main" else exchanges.aggressive_mode(ends)
    messages = [("setup", message) for message in (*first, *exchanges.quick_mode(ends))]
    children = 1
    for step in steps:
        if step not in STEPS:
            raise unknown_name("scenario of IKEv1", step, ("setup", *STEPS), "--scenario")
        if step == "rekey-child":
            # The old pair stays until its lifetime ends, or the ISAKMP SA does.
            added, children = exchanges.quick_mode(ends), children + 1
        elif step == "dpd":
            added = exchanges.dead_peer_detection(ends)
        else:
            added, children = exchanges.delete(ends, children=children), 0
        messages += [(step, message) for message in added]
    return messages


def ikev1_conversation(
    ike: IkeProposal | Sequence[IkeProposal],
    esp: EspProposal | Sequence[EspProposal],
    hardware: HardwareProfile,
    *,
    mode: str = "main",
    scenario: str = "setup",
    implementation: str | None = None,
    initiator: Identity = INITIATOR,
    responder: Identity = RESPONDER,
    auth: str = "psk",
) -> dict[str, Any]:
    """Return an IKEv1 conversation and its CPU time at both ends as one JSON object, as `exchange.exchange` does.

    ``messages`` has the same keys as there; ``msgid`` numbers the exchanges of phase 2 from 1 (on the wire it is
    random), ``response`` is True for what comes from the responder.

    Parameters
    ----------
    ike, esp: what is offered; a group in ``esp`` is that of perfect forward secrecy.
    hardware: profile of both routers.
    mode: ``main`` or ``aggressive``.
    scenario: ``setup``, or names of `STEPS` with commas between them.
    implementation: name of an IKEv1 implementation, or of an IKEv2 profile of the same maker; None:
        `implementation_for` the hardware.
    auth: ``psk``, the only one that is simulated.

    Raises InputError for an unknown mode, scenario or implementation, and for what IKEv1 cannot negotiate.
    """
    if auth != "psk":
        raise InputError(f"found '{auth}', IKEv1 is simulated with pre-shared keys (psk) only", "--auth")
    ledger = Ledger()
    cost = CostModel(hardware, ledger)
    name = implementation or implementation_for(hardware)
    # Profiles of IKEv2 tell releases apart, for IKEv1 no difference is known.
    name = "ios" if name.startswith("ios-") else name
    ends = peers(ike, esp, name, ledger, initiator=initiator, responder=responder)
    steps = [word.strip() for word in scenario.split(",")]
    messages = phases(ends, mode, [step for step in steps if step != "setup"])
    rows = _rows(messages, cost)
    values = ledger.rows()
    return {
        "ike_version": 1,
        "mode": mode,
        "scenario": scenario,
        "ike": ", ".join(map(str, (ike,) if isinstance(ike, IkeProposal) else ike)),
        "esp": ", ".join(map(str, (esp,) if isinstance(esp, EspProposal) else esp)),
        "auth": auth,
        "hardware": hardware.name,
        "implementation": name,
        "initiator_id": str(initiator),
        "responder_id": str(responder),
        "messages": rows,
        **_cpu_s(rows),
        "phases": {
            phase: _cpu_s([row for row in rows if row["phase"] == phase])
            for phase in dict.fromkeys(p for p, _ in messages)
        },
        "values_read": len(values),
        "assumed": [row for row in values if row["kind"] == "assumed"],
    }


def _rows(messages: Sequence[tuple[str, MessageV1]], cost: CostModel) -> list[dict[str, Any]]:
    free_s = {True: 0.0, False: 0.0}
    rows: list[dict[str, Any]] = []
    # Messages of phase 1 have the ID 0, the three of a quick mode share one.
    msgid = left = 0
    for phase, message in messages:
        if message.exchange_number in (exchanges.QUICK, exchanges.INFORMATIONAL):
            if not left:
                msgid, left = msgid + 1, 3 if message.exchange_number == exchanges.QUICK else 1
            left -= 1
        sender_s, receiver_s = cost.service_s(message.sender), cost.service_s(message.receiver)
        end = message.from_initiator
        free_s[end] += sender_s
        sent_s = free_s[end]
        free_s[not end] = max(free_s[not end], sent_s) + receiver_s
        rows.append(
            {
                "exchange": message.exchange,
                "msgid": msgid,
                "response": not end,
                "direction": "i>r" if end else "r>i",
                "phase": phase,
                "t_s": sent_s,
                "transmission": 0,
                "arrived": True,
                "fragment": 1,
                "fragments": 1,
                "message_bytes": message.ike_bytes,
                "ike_bytes": message.ike_bytes,
                "udp_len": message.udp_len,
                "ip_len": message.ip_len,
                "source_port": IKE_PORT,
                "destination_port": IKE_PORT,
                "payloads": message.payload_text(),
                "sender_cpu_s": sender_s,
                "receiver_cpu_s": receiver_s,
                "sender_operations": _operations(message.sender, cost),
                "receiver_operations": _operations(message.receiver, cost),
            }
        )
    return rows


def _cpu_s(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        f"{end}_cpu_s": sum(
            row["sender_cpu_s" if (row["direction"] == "i>r") == initiator else "receiver_cpu_s"] for row in rows
        )
        for end, initiator in (("initiator", True), ("responder", False))
    }


def _operations(operations: Iterable[Operation], cost: CostModel) -> list[dict[str, Any]]:
    return [
        {
            "operation": operation_name(operation),
            "count": getattr(operation, "count", 1),
            "duration_s": cost.operation_s(operation),
        }
        for operation in operations
    ]
