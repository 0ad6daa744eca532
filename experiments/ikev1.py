"""A conversation of IKEv1, message by message, with what each operation costs: rows as those of `exchange`.

The network is without delay and loss; each end has one core and does its work as the messages set it off.

What this leaves out: refusals, losses but those of a peer that cannot be reached (`models.ikev1`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Literal

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.algorithms import SIGNATURES
from ..models.certificate_length import STRONGSWAN_FRAME, estimated_der_bytes
from ..models.errors import InputError, unknown_name
from ..models.ikev1 import exchanges
from ..models.ikev1.implementation import ImplementationV1, load
from ..models.ikev1.payloads import (
    IPV4_HEADER_BYTES,
    ISAKMP_HEADER_BYTES,
    UDP_HEADER_BYTES,
    MessageV1,
    suites_of,
)
from ..models.ikev2.identity import Identity
from ..models.ikev2.message import IKE_PORT, NAT_T_PORT
from ..models.ikev2.operations import HandleMessage, Operation
from ..models.ikev2.payloads import Selector
from ..models.ikev2.proposals import EspProposal, EspSuite, IkeProposal
from ..models.values import Ledger
from ..simulate.records import operation_name

Mode = Literal["main", "aggressive"]
MODES: tuple[Mode, ...] = ("main", "aggressive")
INITIATOR, RESPONDER = Identity("fqdn", "BR1.cptl.local"), Identity("fqdn", "HQ.cptl.local")
#: What may follow the set-up.
STEPS = ("rekey-child", "dpd", "delete", "delete-by-responder")
UNREACHABLE, NAT = "peer-unreachable", "nat"
SCENARIOS = ("setup", *STEPS, UNREACHABLE, NAT)
#: IKEv1 signs without naming an algorithm, with the key of the certificate (RFC 2409 5.1).
AUTHENTICATIONS = ("psk", *(name for name, signature in SIGNATURES.items() if signature.kind == "rsa"))


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
    suites = tuple(
        EspSuite(cipher, integrity, e.esn[0], group)
        for e in children
        for group in e.groups or (0,)
        for cipher in e.encryption
        for integrity in e.integrity or ("",)
    )
    behaviour = ImplementationV1(load(implementation), ledger)
    ends = exchanges.Peers(initiator, responder, suites_of(offered, "--ike"), suites, behaviour)
    return ends if traffic_id_bytes is None else replace(ends, traffic_id_bytes=traffic_id_bytes)


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
            raise unknown_name("scenario of IKEv1", step, SCENARIOS, "--scenario")
        if not children:
            raise InputError(f"{step} needs an ISAKMP SA, but there is none any more at this point", "--scenario")
        if step == "rekey-child":
            # The old pair stays until its lifetime ends, or the ISAKMP SA does.
            added, children = exchanges.quick_mode(ends), children + 1
        elif step == "dpd":
            added = exchanges.dead_peer_detection(ends)
        else:
            added, children = exchanges.delete(ends, children=children, initiator=step == "delete"), 0
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
    certificate_bytes: tuple[int, int] | None = None,
    authorities: int | None = None,
    selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]] | None = None,
    transport: bool = False,
    fragmentation: bool = True,
    fragment_bytes: int | None = None,
    samples: int = 0,
    seed: int = 1,
) -> dict[str, Any]:
    """Return an IKEv1 conversation and its CPU time at both ends as one JSON object, as `exchange.exchange` does.

    ``messages`` has the same keys as there; ``msgid`` numbers the exchanges of phase 2 from 1 (on the wire it is
    random), ``response`` is True for what comes from the responder.

    Parameters
    ----------
    ike, esp: what is offered; a group in ``esp`` is that of perfect forward secrecy.
    hardware: profile of both routers.
    mode: ``main`` or ``aggressive``.
    scenario: names of `SCENARIOS` with commas between them.
    implementation: name of an IKEv1 implementation, or of an IKEv2 profile of the same maker; None:
        `implementation_for` the hardware.
    auth: one of `AUTHENTICATIONS`.
    certificate_bytes: DER length of both certificates; None: an estimate. [bytes]
    authorities: CAs that both ends ask for; None: one, or none with pre-shared keys.
    selectors: one network of either side; None: all of IPv4.
    transport: the mode of the ESP SAs.
    fragmentation: False: neither end announces that it cuts long messages.
    fragment_bytes: longest IP packet that is sent whole; None: the implementation's. [bytes]
    samples, seed: as those of `exchange.exchange`.

    Raises InputError for an unknown mode, scenario or implementation, and for what IKEv1 cannot negotiate.
    """
    if auth not in AUTHENTICATIONS:
        raise unknown_name("authentication of IKEv1", auth, AUTHENTICATIONS, "--auth")
    ledger = Ledger()
    cost = CostModel(hardware, ledger)
    name = implementation or implementation_for(hardware)
    # Profiles of IKEv2 tell releases apart, for IKEv1 no difference is known.
    name = "ios" if name.startswith("ios-") else name
    steps = [word.strip() for word in scenario.split(",")]
    ends = replace(
        peers(ike, esp, name, ledger, initiator=initiator, responder=responder),
        certificates=_certificates(auth, certificate_bytes, authorities, ledger),
        nat=NAT in steps,
        transport=transport,
        cuts=fragmentation,
    )
    if selectors is not None:
        ends = replace(ends, traffic_id_bytes=_traffic_id_bytes(selectors))
    limit_bytes = _limit_bytes(ends.implementation, fragment_bytes) if fragmentation else None
    messages = phases(ends, mode, [step for step in steps if step not in ("setup", NAT, UNREACHABLE)])
    rows = _rows(messages, cost, limit_bytes)
    events: list[dict[str, Any]] = []
    if UNREACHABLE in steps:
        messages = messages[:1]
        rows, events = _unanswered(_rows(messages, cost, limit_bytes), ends.implementation)
    children = 0 if UNREACHABLE in steps or any(step.startswith("delete") for step in steps) else 1
    left = {"ike": min(children, 1), "child": children + steps.count("rekey-child") if children else 0}
    own = [row for row in rows if row["phase"] != "setup"] or rows
    values = [row for row in ledger.rows() if events or not str(row["name"]).startswith("retransmit")]
    certificates = ends.certificates
    lengths = None if certificates is None else [certificates.initiator_bytes, certificates.responder_bytes]
    return {
        "ike_version": 1,
        "mode": mode,
        "scenario": scenario,
        "ike": ", ".join(map(str, (ike,) if isinstance(ike, IkeProposal) else ike)),
        "esp": ", ".join(map(str, (esp,) if isinstance(esp, EspProposal) else esp)),
        "auth": auth,
        "certificate_bytes": lengths,
        "chain": 0,
        "authorities": 0 if certificates is None else certificates.authorities,
        "hardware": hardware.name,
        "implementation": name,
        "responder_implementation": name,
        "initiator_id": initiator.value,
        "responder_id": responder.value,
        "messages": rows,
        **_cpu_s(own),
        **_bands(messages, hardware, samples, seed),
        "phases": {
            phase: _cpu_s([row for row in rows if row["phase"] == phase])
            for phase in dict.fromkeys(p for p, _ in messages)
        },
        "events": events,
        "sas": {"initiator": left, "responder": dict(left)},
        "values_read": len(values),
        "assumed": [row for row in values if row["kind"] == "assumed"],
    }


def _certificates(
    auth: str, lengths: tuple[int, int] | None, authorities: int | None, ledger: Ledger
) -> exchanges.Certificates | None:
    if auth == "psk":
        return None
    if authorities == 0:
        raise InputError("found 0, certificates need at least one CA that both ends trust", "--ca")
    if lengths is None:
        frame = ledger.read("certificates", "bytes beside key and signature", STRONGSWAN_FRAME)
        lengths = (estimated_der_bytes(frame, auth, auth),) * 2
    return exchanges.Certificates(auth, *lengths, authorities or 1)


def _traffic_id_bytes(selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]]) -> tuple[int, int]:
    """Return the data of the ID of either side: an address alone, or a network with its mask (RFC 2407 4.6.2)."""
    lengths = []
    for side in selectors:
        if len(side) != 1:
            raise InputError(f"found {len(side)} networks on one side, a quick mode protects one", "--ts")
        address = len(ip_address(side[0].first).packed)
        lengths.append(address if side[0].first == side[0].last else 2 * address)
    return lengths[0], lengths[1]


def _limit_bytes(implementation: ImplementationV1, wanted: int | None) -> int | None:
    """Return the longest IP packet that is sent whole, None where an implementation never cuts. [bytes]"""
    own = implementation.optional("fragment_ip_bytes")
    if wanted is not None and own is None:
        raise InputError(
            f"IKEv1 of {implementation.name} is simulated without fragmentation: off is allowed", "--fragment"
        )
    return wanted if wanted is not None else own


def _unanswered(
    rows: list[dict[str, Any]], implementation: ImplementationV1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return every time at which the first message is sent, and when the peer is given up."""
    first = rows[0] | {"arrived": False, "receiver_cpu_s": 0.0, "receiver_operations": []}
    again = [o for o in first["sender_operations"] if o["operation"] == operation_name(HandleMessage("out"))]
    cheap = {"sender_operations": again, "sender_cpu_s": sum(o["duration_s"] for o in again)}
    sent, now_s = [first], first["t_s"]
    timeouts_s = implementation.timeouts_s()
    for number, timeout_s in enumerate(timeouts_s[:-1], start=1):
        now_s += timeout_s + cheap["sender_cpu_s"]
        sent.append(first | cheap | {"t_s": now_s, "transmission": number})
    told = {"t_s": now_s + timeouts_s[-1], "end": "initiator", "event": "attempt_failed", "cause": "no answer"}
    return sent, [told | {"notify": "", "detail": ""}]


def _bands(
    messages: Sequence[tuple[str, MessageV1]], hardware: HardwareProfile, samples: int, seed: int
) -> dict[str, float]:
    """Return median, low and high CPU time of both ends over drawn parameter sets. [s]"""
    if samples < 0:
        raise InputError(f"found {samples}, 0 (no bands) or more parameter sets are needed", "--samples")
    if not samples:
        return {}
    # numpy is slow to load.
    from .bands import cpu_bands

    own = [pair for pair in messages if pair[0] != "setup"] or list(messages)
    drawn = [_cpu_s(_rows(own, CostModel(one, Ledger()))) for one in hardware.sample(samples, seed)]
    return cpu_bands(drawn, samples, seed)


def _rows(
    messages: Sequence[tuple[str, MessageV1]], cost: CostModel, limit_bytes: int | None = None
) -> list[dict[str, Any]]:
    free_s = {True: 0.0, False: 0.0}
    rows: list[dict[str, Any]] = []
    # Messages of phase 1 have the ID 0, the three of a quick mode share one.
    msgid = left = 0
    for phase, message in messages:
        if message.exchange_number in (exchanges.QUICK, exchanges.INFORMATIONAL):
            if not left:
                msgid, left = msgid + 1, 3 if message.exchange_number == exchanges.QUICK else 1
            left -= 1
        pieces = message.pieces(limit_bytes)
        count = max(len(pieces), 1)
        # The first piece carries the sender's work, the last one lets the receiver begin.
        sending = [message.sender, *[(HandleMessage("out", stateless=True),)] * (count - 1)]
        receiving = [*[(HandleMessage("in", stateless=True),)] * (count - 1), message.receiver]
        end = message.from_initiator
        for number in range(count):
            ike_bytes = pieces[number] if pieces else message.ike_bytes
            sender_s, receiver_s = cost.service_s(sending[number]), cost.service_s(receiving[number])
            free_s[end] += sender_s
            sent_s = free_s[end]
            free_s[not end] = max(free_s[not end], sent_s) + receiver_s
            port = NAT_T_PORT if message.floated else IKE_PORT
            udp_len = ike_bytes + message.marker_bytes
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
                    "fragment": number + 1,
                    "fragments": count,
                    "message_bytes": message.ike_bytes,
                    "ike_bytes": ike_bytes,
                    "udp_len": udp_len,
                    "ip_len": udp_len + UDP_HEADER_BYTES + IPV4_HEADER_BYTES,
                    "source_port": port,
                    "destination_port": port,
                    "payloads": _piece_text(message, number, pieces),
                    "sender_cpu_s": sender_s,
                    "receiver_cpu_s": receiver_s,
                    "sender_operations": _operations(sending[number], cost),
                    "receiver_operations": _operations(receiving[number], cost),
                }
            )
    return rows


def _piece_text(message: MessageV1, number: int, pieces: tuple[int, ...]) -> str:
    """Return the payloads of a message, and in front of them the piece that this is."""
    if not pieces:
        return message.payload_text()
    place = f"FRAG({pieces[number] - ISAKMP_HEADER_BYTES}) {number + 1}/{len(pieces)}"
    return f"{place} {message.payload_text()}" if number == len(pieces) - 1 else place


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
