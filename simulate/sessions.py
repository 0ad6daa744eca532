"""What became of each tunnel: up or down, set-up time, messages and bytes, and the reason in one sentence."""

from __future__ import annotations

import math
from typing import Any

from ..models.ikev2.identity import IdentityMatch
from ..models.ikev2.policy import EndpointPolicy
from .deployment import Deployment, Tunnel
from .records import Recorder, Row

COLUMNS: dict[str, str] = {
    "initiator": "str",
    "initiator_interface": "str",
    "responder": "str",
    "responder_interface": "str",
    "up": "bool",
    "reason": "str",
    "setup_s": "float64",
    "message_count": "int64",
    "ike_bytes": "int64",
    "retransmissions": "int64",
    "attempts": "int64",
    "child_rekeys": "int64",
    "ike_rekeys": "int64",
}


def session_rows(deployment: Deployment, recorder: Recorder) -> list[Row]:
    """Return one row a tunnel, in the order of the deployment.

    ``setup_s`` runs from the first IKE_SA_INIT sent to the Child SA installed at the initiator. ``message_count`` and
    ``ike_bytes`` belong to the attempt that came up, else to the first one; repeated messages are counted in
    ``retransmissions`` alone.
    """
    return [_row(deployment, recorder, tunnel) for tunnel in deployment.tunnels]


def _row(deployment: Deployment, recorder: Recorder, tunnel: Tunnel) -> Row:
    row: Row = {
        "initiator": tunnel.first.router,
        "initiator_interface": tunnel.first.interface,
        "responder": tunnel.second.router,
        "responder_interface": tunnel.second.interface,
        "up": False,
        "reason": tunnel.fault,
        "setup_s": math.nan,
        "message_count": 0,
        "ike_bytes": 0,
        "retransmissions": 0,
        "attempts": 0,
        "child_rekeys": 0,
        "ike_rekeys": 0,
    }
    if tunnel.fault:
        return row
    ends = {(tunnel.first.router, tunnel.second.router), (tunnel.second.router, tunnel.first.router)}
    events = [e for e in recorder.rows["events"] if (e["router"], e["peer"]) in ends]
    messages = [m for m in recorder.rows["messages"] if (m["sender"], m["receiver"]) in ends]
    attempts = [e for e in events if e["event"] == "attempt"]
    row["attempts"] = len(attempts)
    installed = [e for e in events if e["event"] == "child_installed"]
    success = next(
        (e for e in installed if any(a["spi_local"] == e["spi_local"] for a in attempts)),
        None,
    )
    deciding = success or (attempts[0] if attempts else None)
    if deciding is None:
        row["reason"] = "no end started"
        return row
    row["initiator"], row["responder"] = deciding["router"], deciding["peer"]
    if deciding["router"] != tunnel.first.router:
        row["initiator_interface"], row["responder_interface"] = tunnel.second.interface, tunnel.first.interface
    until_s = success["time_s"] if success is not None else math.inf
    attempt = [m for m in messages if m["spi_i"] == deciding["spi_local"] and m["time_s"] <= until_s]
    first_sends = [m for m in attempt if m["transmission"] == 0]
    row["message_count"] = len(first_sends)
    row["ike_bytes"] = sum(m["ike_bytes"] for m in first_sends)
    row["retransmissions"] = len(attempt) - len(first_sends)
    if success is not None:
        sent = min(m["time_s"] for m in messages if m["exchange"] == "IKE_SA_INIT" and m["sender"] == success["router"])
        row["setup_s"] = success["time_s"] - sent
    row["up"] = _up(recorder, ends)
    row["reason"] = "" if row["up"] else _reason(deployment, events, deciding)
    replaced = [e for e in events if e["event"] == "child_deleted" and e["cause"] == "replaced by a rekey"]
    row["child_rekeys"] = sum(1 for e in replaced if e["router"] == tunnel.first.router)
    row["ike_rekeys"] = sum(1 for e in events if e["event"] == "ike_rekeyed" and e["router"] == tunnel.first.router)
    return row


def _up(recorder: Recorder, ends: set[tuple[str, str]]) -> bool:
    """A tunnel is up when both ends hold the same pair of ESP SAs."""
    live = [c for c in recorder.rows["child_sas"] if (c["router"], c["peer"]) in ends and math.isnan(c["deleted_s"])]
    return any(
        one["router"] != other["router"] and one["spi_in"] == other["spi_out"] and one["spi_out"] == other["spi_in"]
        for one in live
        for other in live
    )


def _reason(deployment: Deployment, events: list[Row], deciding: Row) -> str:
    initiator, responder = deciding["router"], deciding["peer"]
    refusals = [e for e in events if e["event"] == "refused" and e["router"] == responder]
    if refusals:
        return _refusal_sentence(deployment, refusals[0], initiator, responder)
    failures = [e for e in events if e["event"] == "attempt_failed" and e["router"] == initiator]
    if failures:
        return _failure_sentence(deployment, failures[0], initiator, responder)
    closed = [e for e in events if e["event"] == "ike_closed"]
    if closed:
        return f"the tunnel came up and went down: {closed[-1]['cause']} at {closed[-1]['router']}"
    return f"the attempt of {initiator} had not ended when the run did"


def _policy(deployment: Deployment, router: str) -> EndpointPolicy:
    return deployment.routers[router].policy


def _identity_lines(sender: EndpointPolicy, judge: EndpointPolicy) -> tuple[str, str, str]:
    """Return how ``sender`` calls itself, what ``judge`` accepts, and what differs."""
    profile = sender.profiles[0]
    rules: list[tuple[IdentityMatch, str]] = [
        (rule, origin) for p in judge.profiles for rule, origin in zip(p.accepts, p.accepts_origins, strict=False)
    ]
    identity = profile.local_identity
    same_value = [r for r, _ in rules if r.value.lower() == identity.value.lower() and r.kind != identity.kind]
    if same_value:
        difference = f"the identity type differs ({identity.kind} sent, {same_value[0].kind} accepted)"
    else:
        difference = "the identities differ"
    accepted = ", ".join(origin for _, origin in rules) or "no identity"
    return f"{identity} ({profile.local_identity_origin})", accepted, difference


def _refusal_sentence(deployment: Deployment, event: Row, initiator: str, responder: str) -> str:
    cause, notify = event["cause"], event["notify"]
    asked, judge = _policy(deployment, initiator), _policy(deployment, responder)
    if cause == "no profile accepts the identity":
        sent, accepted, difference = _identity_lines(asked, judge)
        return f"{notify}: {initiator} calls itself {sent}, but {responder} accepts only {accepted}: {difference}"
    if cause == "wrong key":
        return f"{notify}: {_key_lines(asked, judge, initiator, responder)}"
    if cause == "no key for the peer":
        return f"{notify}: {responder} has no pre-shared key for {initiator}"
    if cause == "no IKE proposal in common":
        return f"{notify}: {_offers(deployment, initiator)}, {_offers(deployment, responder)}"
    return f"{notify}: {cause} at {responder}"


def _key_lines(asked: EndpointPolicy, judge: EndpointPolicy, sender: str, judging: str) -> str:
    local = asked.profiles[0].keys[0].local_origin if asked.profiles and asked.profiles[0].keys else ""
    remote = judge.profiles[0].keys[0].remote_origin if judge.profiles and judge.profiles[0].keys else ""
    return f"the key with which {sender} signs ({local}) is not the one by which {judging} checks it ({remote})"


def _offers(deployment: Deployment, router: str) -> str:
    proposals: list[Any] = [p for policy in _policy(deployment, router).policies[:1] for p in policy.proposals]
    return f"{router} proposes {' or '.join(str(p) for p in proposals)}"


def _failure_sentence(deployment: Deployment, event: Row, initiator: str, responder: str) -> str:
    cause = event["cause"]
    judge, sender = _policy(deployment, initiator), _policy(deployment, responder)
    if cause == "identity of the responder not accepted":
        sent, accepted, difference = _identity_lines(sender, judge)
        return f"{responder} calls itself {sent}, but {initiator} accepts only {accepted}: {difference}"
    if cause == "wrong key":
        return _key_lines(sender, judge, responder, initiator)
    if cause == "no answer":
        return f"{responder} did not answer {initiator}"
    return f"{cause} at {initiator}"
