"""What may happen in a conversation: settings that change the set-up, and steps that follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..models.algorithms import GROUPS
from ..models.errors import InputError, unknown_name
from ..models.ikev2 import rekey
from ..models.ikev2.operations import Operation
from ..models.ikev2.payloads import Selector
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.ikev2.sa import ChildSa, IkeSa, Task
from ..models.ikev2.states import State
from .conversation import Talk
from .exchange_plan import ELSEWHERE, GATEWAY, TUNNEL, Plan, check_fragment_bytes

OPTION = "--scenario"
#: The phase of a conversation that ends with both ends' IKE SA; a scenario's own messages have other phases.
SETUP = "setup"
#: With a length behind it a setting too: the longest packet that is sent whole.
FRAGMENT = "fragment="
#: A network that the other end does not protect.
FOREIGN = Selector(0, "10.7.0.0", "10.7.0.255")


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
    offered = {proposal.encryption for proposal in plan.initiator.esp}
    other = next(name for name in ("aes-gcm-128", "aes-gcm-256", "chacha20poly1305") if name not in offered)
    return replace(plan, responder=replace(plan.responder, esp=(EspProposal(other, ""),)))


def _ts_unacceptable(plan: Plan) -> Plan:
    return replace(plan, responder=replace(plan.responder, selectors=((FOREIGN,), (FOREIGN,))))


def _auth_failed(plan: Plan) -> Plan:
    return replace(plan, keys_differ=True)


def _nat(plan: Plan) -> Plan:
    return replace(plan, encapsulation=True)


def _childless(plan: Plan) -> Plan:
    return replace(plan, childless=True)


def _virtual_ip(plan: Plan) -> Plan:
    return replace(plan, virtual_address=True)


def _mobike(plan: Plan) -> Plan:
    for end in (plan.initiator, plan.responder):
        if not end.implementation.profile.has_mobike():
            raise InputError(f"{end.implementation.name} has no MOBIKE", OPTION)
    return replace(plan, mobike=True)


def _redirect_init(plan: Plan) -> Plan:
    return replace(plan, redirected=True)


def _unreachable(plan: Plan) -> Plan:
    return replace(plan, responder_reachable=False)


SETTINGS: dict[str, Callable[[Plan], Plan]] = {
    "cookie": _cookie,
    "invalid-ke": _invalid_ke,
    "no-proposal": _no_proposal,
    "no-proposal-child": _no_proposal_child,
    "ts-unacceptable": _ts_unacceptable,
    "auth-failed": _auth_failed,
    "peer-unreachable": _unreachable,
    "nat": _nat,
    "childless": _childless,
    "virtual-ip": _virtual_ip,
    "redirect-init": _redirect_init,
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


def _ask(talk: Talk, sa: IkeSa, phase: str, *tasks: Task, initiator: bool = True) -> None:
    """Let an end do tasks one after the other."""
    talk.phase = phase
    endpoint = talk.end(initiator=initiator)
    sa.tasks.extend(tasks)
    endpoint.advance(sa)
    talk.take(endpoint.on_timer(talk.now_ns), initiator=initiator)
    talk.run()


def _rekey_child(talk: Talk) -> None:
    sa = _established(talk, "rekey-child")
    rekey.want(sa, _child(sa, "rekey-child").serial)
    _ask(talk, sa, "rekey")


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
    sa.other_addresses = (ELSEWHERE,)
    _ask(talk, sa, "mobike-move", Task("announce addresses"))
    sa.local, sa.other_addresses = ELSEWHERE, ()
    _ask(talk, sa, "mobike-move", Task("probe path"), Task("update addresses"))


def _redirect(talk: Talk) -> None:
    sa = _established(talk, "redirect", initiator=False)
    _ask(talk, sa, "redirect", Task("redirect", address=GATEWAY), initiator=False)


STEPS: dict[str, Callable[[Talk], None]] = {
    "rekey-child": _rekey_child,
    "rekey-ike": _rekey_ike,
    "dpd": _dpd,
    "delete": _delete,
    "delete-by-responder": _delete_by_responder,
    "delete-child": _delete_child,
    "delete-child-then-ike": _delete_child_then_ike,
    "second-child": _second_child,
    "mobike-move": _mobike_move,
    "redirect": _redirect,
}

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


def converse(plan: Plan, names: list[str], service_s: Callable[[list[Operation]], float]) -> Talk:
    """Play the set-up of a plan that is prepared, then the steps among ``names`` in their order.

    Without steps the conversation ends with the set-up, ``init-only`` with IKE_SA_INIT.
    """
    ends = plan.endpoint(initiator=True), plan.endpoint(initiator=False)
    talk = Talk(*ends, service_s, reachable=plan.responder_reachable)
    talk.gateways = {GATEWAY: plan.endpoint(initiator=False, gateway=GATEWAY)} if plan.redirected else {}
    first = "cookie" if plan.demands_cookie else "redirect" if plan.redirected else SETUP
    talk.phase = first
    talk.take(talk.initiator.start(TUNNEL, 0), initiator=True)
    if first != SETUP and plan.responder_reachable:
        talk.run(lambda: len(talk.turns) > 1)
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
