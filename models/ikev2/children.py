"""Child SAs: what both ends agree on, their installation and lifetimes (RFC 7296 sections 2.8, 2.9 and 2.17)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from .compose import Supplied, compose
from .events import Refusal
from .identity import Identity
from .message import Message
from .payloads import KePayload, NoncePayload, Payload, SaPayload, Selector, TsPayload
from .policy import ChildPolicy, IkeProfile, TunnelPolicy
from .proposals import EspProposal, EspSuite, choose_esp
from .sa import Cause, ChildSa, IkeSa, nanoseconds

if TYPE_CHECKING:
    from .endpoint import Endpoint


@dataclass(slots=True)
class Agreement:
    """A Child SA that the responder accepts; ``policy`` has the mode that both ends want."""

    suite: EspSuite
    proposal: EspProposal
    policy: ChildPolicy
    tunnel: TunnelPolicy | None
    interface: str
    initiator_selectors: tuple[Selector, ...]
    responder_selectors: tuple[Selector, ...]


def suite_of(proposal: EspProposal) -> EspSuite:
    """Return the suite of a chosen proposal, which names one algorithm of each type."""
    return EspSuite(proposal.encryption, proposal.integrity, proposal.esn, proposal.groups[0] if proposal.groups else 0)


def proposal_of(suite: EspSuite) -> EspProposal:
    """Return the proposal that names exactly this suite."""
    return EspProposal(suite.encryption, suite.integrity, suite.esn, (suite.group,) if suite.group else ())


def payloads(
    ep: Endpoint,
    mode: Literal["tunnel", "transport"],
    selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]],
    proposals: tuple[EspProposal, ...],
    spi: int,
    nonce: NoncePayload,
    group: int,
    *,
    request: bool,
) -> tuple[Payload, ...]:
    """Return the payloads of CREATE_CHILD_SA for a Child SA. ``selectors``: this end's, then the peer's."""
    ours, theirs = selectors
    supplied: dict[str, Supplied] = {
        "SA": SaPayload(proposals, 4, spi),
        "Nonce": nonce,
        "KE": KePayload(group) if group else None,
        "TSi": TsPayload("TSi", ours if request else theirs),
        "TSr": TsPayload("TSr", theirs if request else ours),
    }
    compositions = ep.implementation.profile.compositions
    parts = compositions.create_child_sa_request if request else compositions.create_child_sa_response
    return compose(parts, ep.implementation, supplied, frozenset({"transport"}) if mode == "transport" else frozenset())


def agree(ep: Endpoint, sa: IkeSa, profile: IkeProfile, message: Message, *, first: bool = True) -> Agreement | Refusal:
    """Return a new Child SA as the responder takes it, or why it refuses it. The ``first`` one has no group."""
    tunnel = ep.tunnel_of(sa)
    if tunnel is not None and tunnel.profile == profile.name:
        policy, interface = tunnel.child, tunnel.name
    elif profile.accepts_any_tunnel and profile.virtual_template in ep.policy.templates:
        tunnel, policy = None, ep.policy.templates[profile.virtual_template]
        interface = ""
    else:
        return Refusal("no tunnel interface for the peer", "TS_UNACCEPTABLE")
    offered = tuple(p for p in message.get(SaPayload).proposals if isinstance(p, EspProposal))
    suite = choose_esp(offered, [p.without_groups() if first else p for p in policy.proposals])
    if suite is None:
        own = tuple(str(p) for p in policy.proposals)
        return Refusal("no IPsec proposal in common", "NO_PROPOSAL_CHOSEN", own=own)
    by_role = {ts.role: ts.selectors for ts in message.all(TsPayload)}
    theirs, ours = by_role["TSi"], by_role["TSr"]
    # A template without selectors takes what the peer asks for; an interface protects exactly its own.
    if policy.local_selectors and (ours != policy.local_selectors or theirs != policy.remote_selectors):
        own = tuple(str(s) for s in policy.local_selectors)
        return Refusal("traffic selectors differ", "TS_UNACCEPTABLE", own=own)
    # Transport mode needs both ends, else the Child SA has tunnel mode (RFC 7296 1.3.1).
    if policy.mode == "transport" and message.notify("USE_TRANSPORT_MODE") is None:
        policy = replace(policy, mode="tunnel")
    interface = interface or sa.interface or ep.clones.clone()
    return Agreement(suite, proposal_of(suite), policy, tunnel, interface, theirs, ours)


def cause_of(notify: str) -> Cause:
    """Return why a Child SA was refused with this notification."""
    causes: dict[str, Cause] = {
        "TS_UNACCEPTABLE": "traffic selectors differ",
        "INVALID_KE_PAYLOAD": "no key exchange group in common",
        "INTERNAL_ADDRESS_FAILURE": "no address left in the pool",
    }
    return causes.get(notify, "no IPsec proposal in common")


def soft_lifetime_s(ep: Endpoint, sa: IkeSa, lifetime_s: float, purpose: str) -> float:
    """Return after how long an SA of ``lifetime_s`` is rekeyed: margin and random advance before its end. [s]

    Never before half of the lifetime, so that a short lifetime does not rekey without pause.
    """
    number = ep.implementation.number
    jitter = number("rekey_jitter") * ep.stream(sa.local, sa.remote, purpose).uniform() * lifetime_s
    return max(lifetime_s - number("rekey_margin_s") - jitter, lifetime_s / 2)


def start_ike_timers(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Start rekey, expiry and dead peer detection of an established IKE SA."""
    assert sa.profile is not None
    sa.established_ns = now
    lifetime_s = sa.profile.lifetime_s
    ep.set_timer(sa, "rekey", now + nanoseconds(soft_lifetime_s(ep, sa, lifetime_s, "IKE SA rekey")))
    ep.set_timer(sa, "expire", now + nanoseconds(lifetime_s))
    ep.hear_from(sa, now)


def install(
    ep: Endpoint,
    sa: IkeSa,
    suite: EspSuite,
    policy: ChildPolicy,
    spi_in: int,
    spi_out: int,
    selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]],
    *,
    initiator: bool,
    now: int,
) -> ChildSa:
    """Put a Child SA into the data plane and start its timers. ``selectors``: this end's, then the peer's."""
    child = ChildSa(
        ep.next_serial(), sa.interface, spi_in, spi_out, suite, policy, selectors[0], selectors[1], initiator, now
    )
    sa.children[spi_in] = child
    soft = soft_lifetime_s(ep, sa, policy.lifetime_s, "Child SA rekey")
    ep.set_timer(sa, "rekey", now + nanoseconds(soft), child.serial)
    ep.set_timer(sa, "expire", now + nanoseconds(policy.lifetime_s), child.serial)
    ep.tell("child_installed", sa, now, child=child)
    return child


def forget_stale(ep: Endpoint, sa: IkeSa, identity: Identity, now: int) -> None:
    """INITIAL_CONTACT: drop older IKE SAs with the same identity without telling the peer (RFC 7296 2.4).

    Only those that were established before this one began: an SA that is made at the same moment from the other end
    is none that the peer has forgotten.
    """
    for other in ep.authenticated_with(identity):
        if other.established_ns <= sa.created_ns:
            ep.close(other, Refusal("peer started afresh"), now)
