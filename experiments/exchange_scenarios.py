"""What may happen in a conversation: settings that change the set-up, and steps that follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..models.algorithms import GROUPS
from ..models.errors import InputError, unknown_name
from ..models.ikev2 import rekey, volume
from ..models.ikev2.events import Refusal
from ..models.ikev2.fragmentation import lost_on_path
from ..models.ikev2.operations import Operation
from ..models.ikev2.payloads import ANY_IPV4, Selector
from ..models.ikev2.policy import AuthorizationPolicy, Ppk, ResumptionPolicy
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.ikev2.resumption import BY_VALUE_BYTES, Tickets
from ..models.ikev2.sa import ChildSa, ChildState, IkeSa, Task, nanoseconds
from ..models.ikev2.states import State
from ..models.secret import Secret
from ..models.values import Ledger
from .conversation import Talk
from .exchange_certificates import CertificateLife
from .exchange_plan import ADDRESSES, HUB, SPOKE, TUNNEL, Plan, check_fragment_bytes

OPTION = "--scenario"
#: The phase of a conversation that ends with both ends' IKE SA; a scenario's own messages have other phases.
SETUP = "setup"
#: With a length behind it a setting too: the longest packet that is sent whole.
FRAGMENT = "fragment="
#: How long a ticket is good for. [s]
TICKET_S = 3600.0
#: How long a session lasts before its certificate expires or is revoked. [s]
SESSION_S = 3600.0
#: The least volume that IOS takes for the life of a Child SA, and traffic that fills it in a fifth of a second.
SMALL_VOLUME_KILOBYTES, STEADY_BPS = 2560, 100e6
#: Keepalives of the scenario ``nat-idle``, and the pause before each where the implementation has none. [1], [s]
KEEPALIVES, KEEPALIVE_S = 3, 20.0
#: A network that the other end does not protect.
FOREIGN = Selector(0, "10.7.0.0", "10.7.0.255")
#: Networks of the initiator and of the responder.
BRANCH_LAN, HUB_LAN = Selector(0, "10.1.0.0", "10.1.0.255"), Selector(0, "10.2.0.0", "10.2.0.255")


# -- Settings --------------------------------------------------------------------------------------------------


def _cookie(plan: Plan) -> Plan:
    return replace(plan, demands_cookie=True)


def _invalid_ke(plan: Plan) -> Plan:
    """Let the responder accept the last offered group alone, so that the initiator's first guess is wrong."""
    offered = [group for proposal in plan.initiator.ike for group in proposal.groups]
    if len(set(offered)) < 2:
        example = "as aes256-sha512-modp4096-modp2048"
        raise InputError(f"invalid-ke needs two key exchange groups in --ike, {example}", OPTION)
    last = offered[-1]
    if plan.responder.ike != plan.initiator.ike:
        return plan
    accepted = tuple(replace(p, groups=(last,)) for p in plan.responder.ike if last in p.groups)
    return replace(plan, responder=replace(plan.responder, ike=accepted))


def _no_proposal(plan: Plan) -> Plan:
    """Let the responder accept another group only, unless it has proposals of its own."""
    if plan.responder.ike != plan.initiator.ike:
        return plan
    offered = {group for proposal in plan.initiator.ike for group in proposal.groups}
    other = next(group for group in GROUPS if group not in offered)
    accepted: tuple[IkeProposal, ...] = tuple(replace(p, groups=(other,)) for p in plan.responder.ike)
    return replace(plan, responder=replace(plan.responder, ike=accepted))


def _no_proposal_child(plan: Plan) -> Plan:
    """Let the responder accept another ESP cipher only, unless it has proposals of its own."""
    if plan.responder.esp != plan.initiator.esp:
        return plan
    offered = {name for proposal in plan.initiator.esp for name in proposal.encryption}
    other = next(name for name in ("aes-gcm-128", "aes-gcm-256", "chacha20poly1305") if name not in offered)
    return replace(plan, responder=replace(plan.responder, esp=(EspProposal((other,), ()),)))


def _ts_unacceptable(plan: Plan) -> Plan:
    """Let the responder protect another network; everything would have a part in common with it."""
    if plan.initiator.selectors == ((ANY_IPV4,), (ANY_IPV4,)):
        plan = replace(plan, initiator=replace(plan.initiator, selectors=((BRANCH_LAN,), (HUB_LAN,))))
    return replace(plan, responder=replace(plan.responder, selectors=((FOREIGN,), (FOREIGN,))))


def _auth_failed(plan: Plan) -> Plan:
    return replace(plan, keys_differ=True)


def _nat(plan: Plan) -> Plan:
    return replace(plan, encapsulation=True)


def _nat_idle(plan: Plan) -> Plan:
    """As ``nat``; where the implementation sends keepalives only when it is told to, tell it."""
    own = plan.initiator.implementation.profile.values.nat_keepalive_s
    told = KEEPALIVE_S if own is None or not own.value else None
    return replace(_nat(plan), nat_keepalive_s=told)


def _childless(plan: Plan) -> Plan:
    return replace(plan, childless=True)


def _rekey_volume_limit(plan: Plan) -> Plan:
    return replace(plan, lifetime_kilobytes=SMALL_VOLUME_KILOBYTES)


def _virtual_ip(plan: Plan) -> Plan:
    return replace(plan, virtual_address=True)


def _mobike(plan: Plan) -> Plan:
    for end in (plan.initiator, plan.responder):
        if not end.implementation.profile.has_mobike():
            raise InputError(f"{end.implementation.name} has no MOBIKE", OPTION)
    return replace(plan, mobike=True)


def _redirect_init(plan: Plan) -> Plan:
    return replace(plan, redirected=True)


def _redirect_auth(plan: Plan) -> Plan:
    return replace(plan, redirected=True, redirects_in="auth")


def _redirect_session(plan: Plan) -> Plan:
    return replace(plan, redirected=True, redirects_in="session")


def _route_push(plan: Plan) -> Plan:
    """Let the responder tell its networks and what else it has for clients; IOS asks for all that by itself."""
    return replace(plan, authorizations=(plan.authorizations[0] or AuthorizationPolicy("spoke"), HUB))


def _config_set(plan: Plan) -> Plan:
    """Let the initiator announce the network behind it."""
    return replace(plan, authorizations=(SPOKE, plan.authorizations[1] or AuthorizationPolicy("hub")))


def _ppk(plan: Plan) -> Plan:
    """Give both ends the same PPK, unless ``--ppk`` has done so."""
    for end in (plan.initiator, plan.responder):
        if not end.implementation.profile.has_ppk():
            raise InputError(f"{end.implementation.name} has no post-quantum pre-shared keys", OPTION)
    own = plan.ppks[0] or Ppk("ppk1", Secret("any PPK"))
    return replace(plan, ppks=(own, plan.ppks[1] or own))


def _ppk_unknown(plan: Plan) -> Plan:
    """Let the responder know a PPK of another name only."""
    own = _ppk(plan).ppks[0]
    assert own is not None
    return replace(plan, ppks=(own, replace(own, identity=f"not {own.identity}")))


def _life(plan: Plan, **changes: Any) -> Plan:
    """Change what the plan says about certificates; ``methods`` only where ``--revocation`` says nothing."""
    if plan.auth == "psk":
        raise InputError("this scenario needs certificates, as by --auth ecdsa256", OPTION)
    life = plan.life or CertificateLife()
    if life.methods:
        changes.pop("methods", None)
    return replace(plan, life=replace(life, **changes))


def _crl(plan: Plan) -> Plan:
    return _life(plan, methods=("crl",))


def _crl_unreachable(plan: Plan) -> Plan:
    return _life(plan, methods=("crl",), reachable=False)


def _certificate_revoked(plan: Plan) -> Plan:
    return _life(plan, methods=("crl",), revoked_s=-1.0)


def _certificate_expired(plan: Plan) -> Plan:
    return _life(plan, not_after_s=-1.0)


def _clock_skew(plan: Plan) -> Plan:
    """Let the responder's clock be slow by more than the age of the certificate."""
    return _life(plan, not_before_s=-SESSION_S, clock_ahead_s=-2 * SESSION_S)


def _certificate_expires(plan: Plan) -> Plan:
    return _life(plan, not_after_s=SESSION_S, ends=True)


def _certificate_revoked_later(plan: Plan) -> Plan:
    return _life(plan, methods=("crl",), revoked_s=SESSION_S / 2, lifetime_s=SESSION_S, ends=True)


def _resumable(plan: Plan) -> Plan:
    """Let both ends use tickets, by value unless ``--resumption`` says otherwise."""
    for end in (plan.initiator, plan.responder):
        if not end.implementation.profile.session_resumption:
            message = f"{end.implementation.name} has no session resumption (RFC 5723); --resumption lets it"
            raise InputError(message, OPTION)
    return replace(plan, resumption=plan.resumption or ResumptionPolicy(TICKET_S, round(BY_VALUE_BYTES.value)))


def _unreachable(plan: Plan) -> Plan:
    return replace(plan, responder_reachable=False)


def _eap(plan: Plan) -> Plan:
    """Nothing to change: the plan has EAP by now."""
    return plan


SETTINGS: dict[str, Callable[[Plan], Plan]] = {
    "eap": _eap,
    "cookie": _cookie,
    "invalid-ke": _invalid_ke,
    "no-proposal": _no_proposal,
    "no-proposal-child": _no_proposal_child,
    "ts-unacceptable": _ts_unacceptable,
    "auth-failed": _auth_failed,
    "peer-unreachable": _unreachable,
    "nat": _nat,
    "nat-idle": _nat_idle,
    "childless": _childless,
    "virtual-ip": _virtual_ip,
    "rekey-volume": _rekey_volume_limit,
    "route-push": _route_push,
    "config-set": _config_set,
    "redirect-init": _redirect_init,
    "redirect-auth": _redirect_auth,
    "redirect-session": _redirect_session,
    "crl": _crl,
    "crl-unreachable": _crl_unreachable,
    "certificate-revoked": _certificate_revoked,
    "certificate-expired": _certificate_expired,
    "clock-skew": _clock_skew,
    "certificate-expires": _certificate_expires,
    "certificate-revoked-later": _certificate_revoked_later,
    "ticket": _resumable,
    "resume": _resumable,
    "resume-refused": _resumable,
    "ppk": _ppk,
    "ppk-unknown": _ppk_unknown,
    "mobike": _mobike,
    "mobike-move": _mobike,
}


# -- Steps -----------------------------------------------------------------------------------------------------


def _established(talk: Talk, name: str, *, initiator: bool = True) -> IkeSa:
    sa = talk.sa(initiator=initiator)
    if sa is None or sa.state is not State.ESTABLISHED:
        raise InputError(f"{name} needs an IKE SA, but there is none any more at this point", OPTION)
    return sa


def _child(sa: IkeSa, name: str) -> ChildSa:
    child = next(reversed(sa.children.values()), None)
    if child is None:
        raise InputError(f"{name} needs a Child SA, but there is none any more at this point", OPTION)
    return child


def _ask(
    talk: Talk,
    sa: IkeSa,
    phase: str,
    *tasks: Task,
    initiator: bool = True,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Let an end do tasks one after the other, ``until`` something has happened."""
    talk.phase = phase
    endpoint = talk.end(initiator=initiator)
    sa.tasks.extend(tasks)
    endpoint.advance(sa)
    talk.take(endpoint.on_timer(talk.now_ns), initiator=initiator)
    talk.run(until)


def _rekey_child(talk: Talk) -> None:
    sa = _established(talk, "rekey-child")
    rekey.want(sa, _child(sa, "rekey-child").serial)
    _ask(talk, sa, "rekey")


def _stay_idle(talk: Talk) -> None:
    """Let the initiator send three keepalives."""
    _established(talk, "nat-idle")
    talk.run_timers(lambda: sum(event.kind == "keepalive" for _, event in talk.events) >= KEEPALIVES)


class _Steady:
    """Traffic that goes on at one rate for ever. [byte/s]"""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s

    def carried_ns(self, _sa: IkeSa, _child: ChildSa, n_bytes: float, now: int) -> int:
        return now + nanoseconds(n_bytes / self._bytes_per_s)

    def last_inbound_ns(self, _sa: IkeSa, now: int) -> int:
        return now

    def next_outbound_ns(self, _sa: IkeSa, now: int) -> int:
        return now


def _rekey_volume(talk: Talk) -> None:
    """Let traffic fill the Child SA until the initiator rekeys it."""
    sa = _established(talk, "rekey-volume")
    child = _child(sa, "rekey-volume")
    talk.phase = "rekey"
    talk.initiator.traffic = _Steady(STEADY_BPS / 8)
    volume.watch(talk.initiator, sa, child, talk.now_ns)
    talk.run_timers(lambda: child.state is not ChildState.INSTALLED)
    talk.run()


def _rekey_ike(talk: Talk) -> None:
    sa = _established(talk, "rekey-ike")
    rekey.want(sa, 0)
    _ask(talk, sa, "rekey")


def _dpd(talk: Talk) -> None:
    _ask(talk, _established(talk, "dpd"), "dpd", Task("dpd"))


def _delete(talk: Talk) -> None:
    _ask(talk, _established(talk, "delete"), "delete", Task("delete ike"))


def _delete_by_responder(talk: Talk) -> None:
    sa = _established(talk, "delete-by-responder", initiator=False)
    _ask(talk, sa, "delete", Task("delete ike"), initiator=False)


def _delete_child(talk: Talk) -> None:
    sa = _established(talk, "delete-child")
    _ask(talk, sa, "delete", Task("delete child", _child(sa, "delete-child")))


def _delete_child_then_ike(talk: Talk) -> None:
    _delete_child(talk)
    _delete(talk)


def _second_child(talk: Talk) -> None:
    _ask(talk, _established(talk, "second-child"), "second-child", Task("new child"))


def _mobike_move(talk: Talk) -> None:
    """Let the initiator get a second address, then lose the first one."""
    sa = _established(talk, "mobike-move")
    elsewhere = ADDRESSES[sa.local.version].elsewhere
    sa.other_addresses = (elsewhere,)
    _ask(talk, sa, "mobike-move", Task("announce addresses"))
    sa.local, sa.other_addresses = elsewhere, ()
    _ask(talk, sa, "mobike-move", Task("probe path"), Task("update addresses"))


def _redirect(talk: Talk) -> None:
    """Redirect the initiator until it has acknowledged: what it does then is for the other gateway to see."""
    sa = _established(talk, "redirect", initiator=False)
    last = len(talk.turns) + 2
    task = Task("redirect", address=ADDRESSES[sa.local.version].gateway)
    _ask(talk, sa, "redirect", task, initiator=False, until=lambda: len(talk.turns) >= last)


def _redirect_away(talk: Talk) -> None:
    sa = _established(talk, "redirect-session", initiator=False)
    task = Task("redirect", address=ADDRESSES[sa.local.version].gateway)
    _ask(talk, sa, "redirect", task, initiator=False)


def _wait_for_certificate(talk: Talk) -> None:
    """Let time pass until an end ends the session because of the other's certificate."""
    _established(talk, "waiting for a certificate's end")
    talk.phase = "certificate"
    while talk.initiator.sas and talk.responder.sas:
        due_ns = {i: timer for i in (True, False) if (timer := talk.end(initiator=i).timer()) is not None}
        if not due_ns:
            return
        initiator = min(due_ns, key=lambda i: due_ns[i])
        talk.now_ns = max(talk.now_ns, due_ns[initiator])
        talk.take(talk.end(initiator=initiator).on_timer(talk.now_ns), initiator=initiator)
        talk.run()


def _resume(talk: Talk) -> None:
    """Let the initiator lose its IKE SA without a word, and come back with its ticket."""
    sa = _established(talk, "resume")
    talk.phase = "resume"
    talk.initiator.close(sa, Refusal("local decision"), talk.now_ns)
    talk.take(talk.initiator.start(TUNNEL, talk.now_ns), initiator=True)
    talk.run()


def _resume_refused(talk: Talk) -> None:
    """As `_resume`, but the responder has another key for its tickets since, and has forgotten all of them."""
    _established(talk, "resume-refused")
    talk.responder.tickets = Tickets(Secret("another ticket key"))
    _resume(talk)


STEPS: dict[str, Callable[[Talk], None]] = {
    "resume": _resume,
    "resume-refused": _resume_refused,
    "certificate-expires": _wait_for_certificate,
    "certificate-revoked-later": _wait_for_certificate,
    "rekey-child": _rekey_child,
    "rekey-ike": _rekey_ike,
    "rekey-volume": _rekey_volume,
    "nat-idle": _stay_idle,
    "dpd": _dpd,
    "delete": _delete,
    "delete-by-responder": _delete_by_responder,
    "delete-child": _delete_child,
    "delete-child-then-ike": _delete_child_then_ike,
    "second-child": _second_child,
    "mobike-move": _mobike_move,
    "redirect": _redirect,
    "redirect-session": _redirect_away,
}

#: Scenarios in which both ends ask for the status of certificates.
ASKING = frozenset({"crl", "crl-unreachable", "certificate-revoked", "certificate-revoked-later"})
#: Scenarios about certificates.
OF_CERTIFICATES = ASKING | {"certificate-expired", "clock-skew", "certificate-expires"}
SCENARIOS = tuple(dict.fromkeys((SETUP, "init-only", *SETTINGS, *STEPS)))


# -- Conversations ---------------------------------------------------------------------------------------------


def scenario_names(text: str) -> list[str]:
    """Return the scenarios of a list with commas. Raises InputError for one that is not simulated."""
    names = [word.strip() for word in text.split(",")]
    for name in names:
        if name.startswith(FRAGMENT):
            _fragment_bytes(name)
        elif name not in SCENARIOS:
            raise unknown_name("scenario", name, SCENARIOS, OPTION)
    return names


def prepare(plan: Plan, names: list[str]) -> Plan:
    """Return the plan as the scenarios change it."""
    for name in names:
        if name in SETTINGS:
            plan = SETTINGS[name](plan)
        elif name.startswith(FRAGMENT):
            plan = replace(plan, fragment_bytes=_fragment_bytes(name))
    return plan


def _fragment_bytes(name: str) -> int:
    """Return the longest packet that ``fragment=576`` names. [bytes]"""
    text = name.removeprefix(FRAGMENT)
    if not text.isdecimal():
        raise InputError(f"found '{name}', a length in bytes such as fragment=576 is needed", OPTION)
    check_fragment_bytes(int(text), OPTION)
    return int(text)


def converse(
    plan: Plan, names: list[str], service_s: Callable[[list[Operation]], float], ledger: Ledger | None = None
) -> Talk:
    """Play the set-up of a plan that is prepared, then the steps among ``names`` in their order.

    Without steps the conversation ends with the set-up, ``init-only`` with IKE_SA_INIT. ``ledger`` notes the values of
    servers outside.
    """
    ends = plan.endpoint(initiator=True), plan.endpoint(initiator=False)
    talk = Talk(*ends, service_s, reachable=plan.responder_reachable)
    if plan.life is not None and plan.life.methods:
        algorithm = plan.auth.rpartition(":")[2]
        talk.ask = plan.life.server(plan.issuer, algorithm, plan.doubtful, ledger or Ledger()).answer
    gateway = plan.addresses.gateway
    talk.gateways = {gateway: plan.endpoint(initiator=False, gateway=gateway)} if plan.redirected else {}
    away = plan.redirected and plan.redirects_in != "session"
    if plan.path_mtu_bytes is not None:
        path_mtu_bytes, drops = plan.path_mtu_bytes, plan.drops_fragments
        talk.swallows = lambda datagram: lost_on_path(datagram, path_mtu_bytes, drops_fragments=drops)
    first = "cookie" if plan.demands_cookie else "redirect" if away else SETUP
    talk.phase = first
    talk.take(talk.initiator.start(TUNNEL, 0), initiator=True)
    if first != SETUP and plan.responder_reachable:
        length = 4 if away and plan.redirects_in == "auth" else 2
        talk.run(lambda: len(talk.turns) >= length)
        talk.phase = SETUP
    if "init-only" in names:
        talk.run(lambda: any(event.kind == "half_open" for _, event in talk.events))
        return talk
    talk.run()
    if not plan.responder_reachable:
        talk.run_timers(lambda: not talk.initiator.sas)
    for name in names:
        if name in STEPS:
            STEPS[name](talk)
    return talk
