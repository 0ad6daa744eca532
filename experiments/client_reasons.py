"""Why a client of a scenario has not connected: the sentences of ``flexvpn-sim clients``, from what a run recorded."""

from __future__ import annotations

import math

from ..models.ikev2.events import Refusal
from ..models.ikev2.policy import EAP_METHODS
from ..models.remote_access import served_by, usual_method
from ..simulate.clients import ClientPlan, outside_address
from ..simulate.deployment import Deployment, RouterPlan
from ..simulate.records import Recorder, Row
from .client_repairs import Diagnosis, Failure, Met, Stage, diagnose

#: What an end says that only heard of a refusal and does not know why.
_HEARSAY = ("deleted by the peer", "refused by the peer")
#: Causes that are the user's, whom the sentence then names.
_OF_USERS = ("wrong EAP password", "refused by AAA", "no answer from AAA")


def explain(rows: list[Row], deployment: Deployment, recorder: Recorder) -> None:
    """Give each session of a client that did not connect its reason, and take one without an address for down.

    A reason that says nothing about both ends' offers stays as it is: no answer, admission, what ended a tunnel.
    """
    events: dict[frozenset[str], list[Row]] = {}
    for event in recorder.rows["events"]:
        if event["router"] in deployment.clients or event["peer"] in deployment.clients:
            events.setdefault(frozenset((event["router"], event["peer"])), []).append(event)
    addresses: dict[str, str] = {}
    for sa in recorder.rows["ike_sas"]:
        if sa["router"] in deployment.clients and math.isnan(sa["closed_s"]):
            addresses[sa["router"]] = sa["virtual_address"]
    for row in rows:
        client = deployment.clients.get(row["initiator"])
        if client is None or not row["responder"]:
            continue
        own = events.get(frozenset((client.name, client.server)), [])
        if row["up"] and not addresses.get(client.name):
            failed: tuple[Stage, Refusal, bool] = ("address", Refusal("no address left in the pool"), True)
            row["up"] = False
            row["reason"] = _sentence(deployment, client, *failed)
        elif not row["up"]:
            found = _refusal(client, own)
            row["reason"] = _sentence(deployment, client, *found) if found is not None else row["reason"]


def _refusal(client: ClientPlan, events: list[Row]) -> tuple[Stage, Refusal, bool] | None:
    """Return at which stage a client was refused, why, and whether its server did so; None: it was not refused."""
    if any(event["event"] == "child_installed" for event in events):
        return None
    told = [e for e in events if e["event"] in ("refused", "attempt_failed", "ike_closed") and e["cause"]]
    by_server = [e for e in told if e["router"] == client.server and e["cause"] not in _HEARSAY]
    by_client = [e for e in told if e["router"] == client.name]
    if not by_server and not by_client:
        return None
    event = (by_server or by_client)[0]
    if event["cause"] == "no answer":
        return None
    established = any(e["event"] == "ike_established" for e in events)
    half_open = any(e["event"] == "half_open" for e in events)
    stage: Stage = "child" if established else "authentication" if half_open else "proposal"
    return stage, Refusal(event["cause"], event["notify"]), bool(by_server)


def _sentence(deployment: Deployment, client: ClientPlan, stage: Stage, refusal: Refusal, by_server: bool) -> str:
    """Return the reason in a sentence."""
    plan, server = deployment.routers[client.name], deployment.routers[client.server]
    user = client.account.user
    if refusal.cause in _OF_USERS:
        return f"{_notify(refusal)}user {user} of {client.name}: {refusal.cause}"
    identity = plan.policy.profiles[0].local_identity
    served = served_by(server.policy, identity)
    assert served is not None
    method = client.method or usual_method(client.implementation, served)
    address = outside_address(server.config)
    met = Met(server.config, server.policy, address, served.name, user, _proposed(deployment, server, served.name))
    failure = Failure(stage, refusal, identity, by_server=by_server)
    diagnosis: Diagnosis = diagnose(failure, plan.implementation, method, met)
    if diagnosis.general:
        return f"{_notify(refusal)}{refusal.cause} at {client.server if by_server else client.name}"
    return f"{_notify(refusal)}{client.name} {diagnosis.reason}"


def _notify(refusal: Refusal) -> str:
    return f"{refusal.notify}: " if refusal.notify else ""


def _proposed(deployment: Deployment, server: RouterPlan, profile: str) -> tuple[str, ...]:
    """Return the methods of EAP that a client meets: those of the RADIUS servers behind the profile, else its own."""
    told = server.policy.profile(profile)
    asked = told.aaa.eap if told.aaa is not None else ""
    settings = server.aaa
    if not asked or settings is None or "anyconnect-eap" in told.authentication.remote:
        return tuple(told.authentication.remote)
    found = settings.lists.get(("login", asked))
    groups = [settings.groups[name] for kind, name in (found.methods if found is not None else ()) if kind == "group"]
    directories = [deployment.radius[s.address].directory for group in groups for s in group.servers]
    methods = [name for directory in directories if directory.eap is not None for name in directory.eap.rules.methods]
    words = {method: word for word, method in EAP_METHODS.items()}
    return tuple(dict.fromkeys(words[name] for name in methods))
