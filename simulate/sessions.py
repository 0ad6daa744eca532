"""What became of each tunnel: up or down, set-up time, messages and bytes, and the reason in one sentence."""

from __future__ import annotations

import math

from ..models.addresses import IpAddress
from ..models.ikev2.identity import IdentityMatch
from ..models.ikev2.policy import EndpointPolicy, IkeProfile
from ..models.ios import refusals
from .deployment import Deployment, Tunnel, TunnelEnd
from .records import Recorder, Row

#: Causes of a refusal that the configurations explain (`models.ios.refusals`).
_OF_CERTIFICATES = ("authentication method not accepted", "certificate not trusted")

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
    messages: dict[str, list[Row]] = {}
    for message in recorder.rows["messages"]:
        messages.setdefault(message["spi_i"], []).append(message)
    events: dict[frozenset[str], list[Row]] = {}
    for event in recorder.rows["events"]:
        events.setdefault(frozenset((event["router"], event["peer"])), []).append(event)
    children: dict[frozenset[str], list[Row]] = {}
    for child in recorder.rows["child_sas"]:
        children.setdefault(frozenset((child["router"], child["peer"])), []).append(child)
    rows = []
    for tunnel in deployment.tunnels:
        pair = frozenset((tunnel.first.router, tunnel.second.router))
        rows.append(_row(deployment, tunnel, events.get(pair, []), children.get(pair, []), messages))
    return rows


def _row(
    deployment: Deployment, tunnel: Tunnel, events: list[Row], children: list[Row], messages: dict[str, list[Row]]
) -> Row:
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
    ends = {(e.router, e.interface) for e in (tunnel.first, tunnel.second) if e.interface}
    attempts = [e for e in events if e["event"] == "attempt" and (e["router"], e["interface"]) in ends]
    row["attempts"] = len(attempts)
    if not attempts:
        row["reason"] = "no end started"
        return row
    tried = {(a["router"], a["spi_local"]) for a in attempts}
    installed = (e for e in events if e["event"] == "child_installed" and (e["router"], e["spi_local"]) in tried)
    success = next(installed, None)
    deciding = success or attempts[0]
    initiator, responder = tunnel.first, tunnel.second
    if deciding["router"] != initiator.router:
        initiator, responder = responder, initiator
    row["initiator"], row["initiator_interface"] = initiator.router, initiator.interface
    row["responder"], row["responder_interface"] = responder.router, responder.interface
    until_s = success["time_s"] if success is not None else math.inf
    attempt = [m for m in messages.get(deciding["spi_local"], []) if m["time_s"] <= until_s]
    first_sends = [m for m in attempt if m["transmission"] == 0]
    # A message in fragments counts once (RFC 7383).
    row["message_count"] = sum(m["fragment"] <= 1 for m in first_sends)
    row["ike_bytes"] = sum(m["ike_bytes"] for m in first_sends)
    row["retransmissions"] = sum(m["transmission"] > 0 and m["fragment"] <= 1 for m in attempt)
    if success is not None:
        own = [m for a in attempts if a["router"] == initiator.router for m in messages.get(a["spi_local"], [])]
        row["setup_s"] = success["time_s"] - min(m["time_s"] for m in own)
        if not row["responder_interface"]:
            row["responder_interface"] = _cloned(children, success)
    ours = [c for c in children if (c["router"], c["interface"]) == (initiator.router, initiator.interface)]
    row["up"] = _up(ours, children)
    row["reason"] = "" if row["up"] else _reason(deployment, events, tried, deciding, initiator, responder)
    row["child_rekeys"] = sum(1 for c in ours if c["cause"] == "replaced by a rekey")
    rekeyed = [e for e in events if e["event"] == "ike_rekeyed" and e["router"] == initiator.router]
    row["ike_rekeys"] = sum(1 for e in rekeyed if e["interface"] == initiator.interface)
    return row


def _cloned(children: list[Row], success: Row) -> str:
    """Return the virtual-access that the responder cloned for the Child SA that came up."""
    own = next(c for c in children if c["router"] == success["router"] and c["installed_s"] == success["time_s"])
    return next((str(c["interface"]) for c in children if c["spi_in"] == own["spi_out"]), "")


def _up(ours: list[Row], all_children: list[Row]) -> bool:
    """A tunnel is up when both ends hold the same pair of ESP SAs."""
    live = {(c["spi_in"], c["spi_out"]) for c in all_children if math.isnan(c["deleted_s"])}
    return any(math.isnan(c["deleted_s"]) and (c["spi_out"], c["spi_in"]) in live for c in ours)


def _reason(
    deployment: Deployment,
    events: list[Row],
    tried: set[tuple[str, str]],
    deciding: Row,
    initiator: TunnelEnd,
    responder: TunnelEnd,
) -> str:
    spis = {spi for _, spi in tried}
    rejections = [e for e in events if e["event"] == "rejected_by_admission" and e["router"] == responder.router]
    if rejections and rejections[-1]["cause"]:
        return _admission_sentence(deployment, rejections[-1], initiator, responder)
    refusals = [e for e in events if e["event"] == "refused" and e["router"] == responder.router]
    for event in refusals:
        # A refusal of IKE_SA_INIT keeps no SA and so has no SPI; the pair of routers tells it then.
        if event["spi_i"] in spis or not event["spi_i"]:
            return _refusal_sentence(deployment, event, initiator, responder)
    for event in events:
        if event["event"] == "attempt_failed" and event["spi_local"] == deciding["spi_local"]:
            if event["cause"] == "no answer" and rejections:
                return _admission_sentence(deployment, rejections[-1], initiator, responder)
            dropped = [e["detail"] for e in events if e["event"] == "fragments_dropped"]
            if event["cause"] == "no answer" and dropped:
                return f"{responder.router} did not answer {initiator.router}: {dropped[-1]}"
            return _failure_sentence(deployment, event, initiator, responder)
    closed = [e for e in events if e["event"] == "ike_closed" and e["cause"] != "replaced by a rekey"]
    if closed:
        return f"the tunnel came up and went down: {closed[-1]['cause']} at {closed[-1]['router']}"
    if rejections and rejections[-1]["time_s"] > deciding["time_s"]:
        return _admission_sentence(deployment, rejections[-1], initiator, responder)
    return f"the attempt of {initiator.router} had not ended when the run did"


def _admission_sentence(deployment: Deployment, event: Row, initiator: TunnelEnd, responder: TunnelEnd) -> str:
    """Return the sentence about a request that the responder's admission control dropped."""
    plan = deployment.routers[responder.router]
    if event["cause"]:
        assert plan.tunnel_limit is not None
        limit = plan.tunnel_limit[1]
    else:
        limit = f"admission of {plan.in_negotiation_limit} IKE SAs in negotiation at a time"
    return f"{responder.router} did not answer {initiator.router}: {limit}"


def _policy(deployment: Deployment, end: TunnelEnd) -> EndpointPolicy:
    return deployment.routers[end.router].policy


def _profile(deployment: Deployment, end: TunnelEnd) -> IkeProfile:
    """Return the profile of this end's interface; of the first profile that serves templates without one."""
    policy = _policy(deployment, end)
    for tunnel in policy.tunnels:
        if tunnel.name == end.interface:
            return policy.profile(tunnel.profile)
    return next((p for p in policy.profiles if p.accepts_any_tunnel), policy.profiles[0])


def _identities(deployment: Deployment, sender: TunnelEnd, judge: TunnelEnd, profiles: tuple[IkeProfile, ...]) -> str:
    """Return the sentence about an identity that nobody accepts, with the lines of both configurations."""
    sent = _profile(deployment, sender)
    rules: list[tuple[IdentityMatch, str]] = [
        (rule, origin) for p in profiles for rule, origin in zip(p.accepts, p.accepts_origins, strict=False)
    ]
    identity = sent.local_identity
    other_type = [r for r, _ in rules if r.value.lower() == identity.value.lower() and r.kind != identity.kind]
    if other_type:
        difference = f"the identity type differs ({identity.kind} sent, {other_type[0].kind} accepted)"
    else:
        difference = "the identities differ"
    accepted = ", ".join(origin for _, origin in rules) or "no identity"
    return (
        f"{sender.router} calls itself {identity} ({sent.local_identity_origin}),"
        f" but {judge.router} accepts only {accepted}: {difference}"
    )


def _refusal_sentence(deployment: Deployment, event: Row, initiator: TunnelEnd, responder: TunnelEnd) -> str:
    cause, notify = event["cause"], event["notify"]
    if cause == "no profile accepts the identity":
        profiles = _policy(deployment, responder).profiles
        return f"{notify}: {_identities(deployment, initiator, responder, profiles)}"
    if cause == "wrong key":
        return f"{notify}: {_keys(deployment, initiator, responder)}"
    if cause == "no key for the peer":
        return f"{notify}: {responder.router} has no pre-shared key for {initiator.router}"
    if cause in _OF_CERTIFICATES and not _is_client(deployment, initiator, responder):
        return f"{notify}: {_certificates(deployment, cause, initiator, responder)}"
    if cause == "no IKE proposal in common":
        return f"{notify}: {_offers(deployment, initiator)}, {_offers(deployment, responder)}"
    return f"{notify}: {cause} at {responder.router}"


def _is_client(deployment: Deployment, *ends: TunnelEnd) -> bool:
    """Return whether one of the ends has no configuration that a sentence could name."""
    return any(end.router in deployment.clients for end in ends)


def _certificates(deployment: Deployment, cause: str, sender: TunnelEnd, judge: TunnelEnd) -> str:
    """Return the sentence about a method or a certificate that an end does not take."""
    speaker, listener = (deployment.routers[end.router].config for end in (sender, judge))
    speaking = speaker.profiles[_profile(deployment, sender).name]
    if cause == "certificate not trusted":
        return refusals.authority_not_trusted(speaker, speaking, listener)
    identity = _profile(deployment, sender).local_identity
    judging = next(p for p in _policy(deployment, judge).profiles if p.matches(identity))
    return refusals.method_not_taken(speaker, speaking, listener, listener.profiles[judging.name])


def _keys(deployment: Deployment, sender: TunnelEnd, judge: TunnelEnd) -> str:
    signing, checking = _profile(deployment, sender), _profile(deployment, judge)
    signed = signing.key_for(checking.local_identity, _address(deployment, judge))
    checked = checking.key_for(signing.local_identity, _address(deployment, sender))
    local = signed.local_origin if signed else "no line"
    remote = checked.remote_origin if checked else "no line"
    return (
        f"the key with which {sender.router} signs ({local})"
        f" is not the one by which {judge.router} checks it ({remote})"
    )


def _address(deployment: Deployment, end: TunnelEnd) -> IpAddress:
    """Return the address from which this end of a tunnel sends."""
    for tunnel in _policy(deployment, end).tunnels:
        if tunnel.name == end.interface:
            return tunnel.local_address
    return next(address for address, name in deployment.owners.items() if name == end.router)


def _offers(deployment: Deployment, end: TunnelEnd) -> str:
    policies = _policy(deployment, end).policies[:1]
    return f"{end.router} proposes {' or '.join(str(p) for policy in policies for p in policy.proposals)}"


def _failure_sentence(deployment: Deployment, event: Row, initiator: TunnelEnd, responder: TunnelEnd) -> str:
    cause = event["cause"]
    if cause == "identity of the responder not accepted":
        return _identities(deployment, responder, initiator, (_profile(deployment, initiator),))
    if cause == "wrong key":
        return _keys(deployment, responder, initiator)
    if cause in _OF_CERTIFICATES and not _is_client(deployment, initiator, responder):
        return _certificates(deployment, cause, responder, initiator)
    if cause == "no answer":
        return f"{responder.router} did not answer {initiator.router}"
    return f"{cause} at {initiator.router}"
