"""Child SAs: what both ends agree on, their installation and lifetimes (RFC 7296 sections 2.8, 2.9 and 2.17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ..implementation import Implementation
from . import narrowing, nat, ppk, revocation, volume
from .compose import Supplied, compose
from .events import Refusal
from .identity import Identity
from .message import Message
from .payloads import KePayload, NoncePayload, Payload, SaPayload, Selector, TsPayload, selectors_of
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


@lru_cache(maxsize=4096)
def suite_of(proposal: EspProposal) -> EspSuite:
    """Return the suite of a chosen proposal, which names one algorithm of each type."""
    integrity = proposal.integrity[0] if proposal.integrity else ""
    group = proposal.groups[0] if proposal.groups else 0
    encryption = proposal.encryption[0] if proposal.encryption else ""
    return EspSuite(encryption, integrity, proposal.esn[0], group)


@lru_cache(maxsize=4096)
def proposal_of(suite: EspSuite) -> EspProposal:
    """Return the proposal that names exactly this suite."""
    integrity = (suite.integrity,) if suite.integrity else ()
    encryption = (suite.encryption,) if suite.encryption else ()
    return EspProposal(encryption, integrity, (suite.esn,), (suite.group,) if suite.group else ())


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
    offered = message.get(SaPayload).proposals
    allowed = passing(sa, policy.first_proposals if first else policy.proposals)
    suite = choose_esp(offered, allowed)
    if suite is None:
        own = tuple(str(p) for p in policy.proposals)
        passes = passing(sa, [p for p in offered if isinstance(p, EspProposal)])
        cause: Cause = "no IPsec proposal in common" if passes else "AH cannot pass a NAT"
        return Refusal(cause, "NO_PROPOSAL_CHOSEN", own=own)
    theirs, ours = selectors_of(message.payloads, "TSi"), selectors_of(message.payloads, "TSr")
    if policy.single_pair and not narrowing.is_single_pair(ours, theirs):
        return Refusal("traffic selectors differ", "SINGLE_PAIR_REQUIRED")
    # A template without selectors takes what the peer asks for; an interface protects its own, all or in common.
    if policy.local_selectors and ep.implementation.profile.narrows_selectors:
        if (theirs, ours) != (policy.remote_selectors, policy.local_selectors):
            ours = narrowing.narrow(ours, policy.local_selectors)
            theirs = narrowing.narrow(theirs, policy.remote_selectors)
        if not ours or not theirs:
            own = tuple(str(s) for s in policy.local_selectors)
            return Refusal("traffic selectors differ", "TS_UNACCEPTABLE", own=own)
    elif policy.local_selectors and (ours != policy.local_selectors or theirs != policy.remote_selectors):
        own = tuple(str(s) for s in policy.local_selectors)
        return Refusal("traffic selectors differ", "TS_UNACCEPTABLE", own=own)
    # Transport mode needs both ends, else the Child SA has tunnel mode (RFC 7296 1.3.1).
    if policy.mode == "transport" and message.notify("USE_TRANSPORT_MODE") is None:
        policy = replace(policy, mode="tunnel")
    interface = interface or sa.interface or ep.clones.clone()
    return Agreement(suite, proposal_of(suite), policy, tunnel, interface, theirs, ours)


def passing(sa: IkeSa, proposals: Iterable[EspProposal]) -> tuple[EspProposal, ...]:
    """Return the proposals that work on the way to the peer: AH protects the addresses, which a NAT changes."""
    return tuple(p for p in proposals if p.protocol == "ESP") if sa.behind_nat else tuple(proposals)


def cause_of(notify: str) -> Cause:
    """Return why a Child SA was refused with this notification."""
    causes: dict[str, Cause] = {
        "TS_UNACCEPTABLE": "traffic selectors differ",
        "SINGLE_PAIR_REQUIRED": "traffic selectors differ",
        "INVALID_KE_PAYLOAD": "no key exchange group in common",
        "INTERNAL_ADDRESS_FAILURE": "no address left in the pool",
    }
    return causes.get(notify, "no IPsec proposal in common")


def soft_lifetime_s(ep: Endpoint, sa: IkeSa, lifetime_s: float, purpose: str) -> float:
    """Return after how long an SA of ``lifetime_s`` is rekeyed: margin and random advance before its end. [s]

    Never before half of the lifetime, so that a short lifetime does not rekey without pause.
    """
    margin_s, largest = _rekey_advance(ep.implementation)
    jitter_s = largest * sa.streams.uniform(purpose) * lifetime_s
    return max(lifetime_s - margin_s - jitter_s, lifetime_s / 2)


@lru_cache(maxsize=256)
def _rekey_advance(implementation: Implementation) -> tuple[float, float]:
    """Return the margin before the end of a lifetime [s] and the largest random advance, as a fraction of it."""
    return implementation.number("rekey_margin_s"), implementation.number("rekey_jitter")


def start_ike_timers(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Start rekey, expiry and dead peer detection of an established IKE SA."""
    assert sa.profile is not None
    sa.established_ns = now
    lifetime_s = sa.profile.lifetime_s
    ep.set_timer(sa, "rekey", now + nanoseconds(soft_lifetime_s(ep, sa, lifetime_s, "IKE SA rekey")))
    ep.set_timer(sa, "expire", now + nanoseconds(lifetime_s))
    if sa.peer_chain:
        revocation.watch(ep, sa, now)
    ep.hear_from(sa, now)
    if sa.nat_here:
        nat.start_keepalives(ep, sa, now)


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
    child.quantum_resistant = ppk.protects_children(sa)
    sa.children[spi_in] = child
    soft = soft_lifetime_s(ep, sa, policy.lifetime_s, "Child SA rekey")
    ep.set_timer(sa, "rekey", now + nanoseconds(soft), child.serial)
    ep.set_timer(sa, "expire", now + nanoseconds(policy.lifetime_s), child.serial)
    volume.watch(ep, sa, child, now)
    ep.tell("child_installed", sa, now, child=child)
    return child


def forget_stale(ep: Endpoint, sa: IkeSa, identity: Identity, now: int) -> None:
    """INITIAL_CONTACT: drop older IKE SAs with the same identity without telling the peer (RFC 7296 2.4).

    After EAP the user is what tells peers apart that call themselves the same, as every AnyConnect does.

    Only those that were established before this one began: an SA that is made at the same moment from the other end
    is none that the peer has forgotten.
    """
    for other in ep.directory.authenticated_with(identity):
        if other.established_ns <= sa.created_ns and other.eap_user == sa.eap_user:
            ep.close(other, Refusal("peer started afresh"), now)
