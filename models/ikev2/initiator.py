"""IKE_SA_INIT and IKE_AUTH as the initiator (RFC 7296 sections 1.2, 2.6, 2.15, 2.16, 2.21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..eap.peer import EapPeer
from ..implementation import Condition, Part
from . import (
    authentication,
    children,
    configuration,
    eap,
    fragmentation,
    intermediate,
    mobike,
    multiple_authentication,
    nat,
    ppk,
    redirect,
    resumption,
    revocation,
    work,
)
from .authentication import establish, init_conditions
from .compose import Supplied, compose, without_child
from .events import Refusal
from .identity import Identity
from .message import Exchange, Message, size_of
from .operations import Operation
from .payloads import (
    AuthPayload,
    ConfigurationPayload,
    EapPayload,
    IdPayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
    identification,
    key_exchange,
    selectors_of,
    traffic_selectors,
)
from .policy import EAP_METHODS, IkeProfile, TunnelPolicy
from .proposals import EspProposal, IkeProposal, suite_of
from .sa import IkeSa, Task
from .states import State, Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: How often a request may be repeated because of a cookie or another group before the peer is given up (RFC 7296 2.6
#: warns of endless exchanges; the number is ours).
MAX_INIT_REPEATS = 4


# -- IKE_SA_INIT -----------------------------------------------------------------------------------------------


def start(ep: Endpoint, tunnel: TunnelPolicy, now: int) -> IkeSa:
    """Begin a first exchange with the peer of ``tunnel``; return the new SA."""
    sa = ep.new_sa(tunnel.local_address, tunnel.remote_address, initiator=True, now=now)
    ep.directory.assign(sa, tunnel)
    sa.interface = tunnel.name
    sa.profile = ep.policy.profile(tunnel.profile)
    sa.local_identity = sa.profile.local_identity
    nonce = ep.nonce(sa)
    sa.nonce_local, sa.nonce_local_bytes = nonce.value, nonce.n_bytes
    proposals = ep.policy.proposals_for(sa.local)
    sa.group = proposals[0].groups[0]
    ep.outgoing.began(sa.serial)
    ep.tell("attempt", sa, now)
    ticket = ep.tickets.usable(tunnel, now) if ep.resumption is not None else None
    if ticket is not None:
        resumption.begin(ep, sa, ticket, _send_init, _begin_auth)
        return sa
    operations = [*work.key_exchange_initiator(sa.group), *work.nat_detection(), *work.SEND]
    ep.begin(sa, sa.remote, operations, "IKE_SA_INIT request", partial(_send_init, ep, sa))
    return sa


def _send_init(ep: Endpoint, sa: IkeSa, now: int) -> None:
    proposals = ep.policy.proposals_for(sa.local)
    supplied: dict[str, Supplied] = {
        "SA": SaPayload(proposals, 0),
        "KE": key_exchange(sa.group),
        "Nonce": NoncePayload(sa.nonce_local, sa.nonce_local_bytes),
        **nat.payloads(ep, (sa.local, sa.local_port), (sa.remote, sa.remote_port)),
    }
    conditions = init_conditions(
        ep, intermediate=any(p.additional for p in proposals), ppk=ep.has_ppks and ppk.offered(sa)
    )
    compositions = ep.implementation.profile.compositions
    payloads = (
        *compose(compositions.ike_sa_init_request, ep.implementation, supplied, conditions),
        *redirect.origin(sa),
    )
    if sa.cookie is not None:
        payloads = (NotifyPayload("COOKIE", ep.implementation.count("cookie_bytes"), value=sa.cookie), *payloads)
    sa.move(Trigger.SEND_INIT if sa.state is State.IDLE else Trigger.REPEAT_INIT)
    sa.next_request_id = 0
    sa.init_request = ep.request(
        sa, Exchange.IKE_SA_INIT, payloads, "init", partial(_receive_init_response, ep, sa), now
    )


def says_something_new(sa: IkeSa, message: Message) -> bool:
    """Return whether a response to IKE_SA_INIT is none of a request that was repeated since.

    All of them have message ID 0: a late copy that demands the cookie or the group of the request that is on its way
    must not answer it.
    """
    cookie, group = message.notify("COOKIE"), message.notify("INVALID_KE_PAYLOAD")
    if cookie is not None:
        return cookie.value != sa.cookie
    return group is None or group.value != sa.group


def _receive_init_response(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    cookie = message.notify("COOKIE")
    wrong_group = message.notify("INVALID_KE_PAYLOAD")
    proposals = ep.policy.proposals_for(sa.local)
    if cookie is not None or wrong_group is not None:
        offered = {g for p in proposals for g in p.groups}
        usable = wrong_group is None or wrong_group.value in offered
        sa.init_repeats += 1
        if not usable or sa.init_repeats > MAX_INIT_REPEATS:
            _refused(ep, sa, Refusal("no key exchange group in common", "INVALID_KE_PAYLOAD"))
            return
        operations: list[Operation] = [*work.RECEIVE, *work.SEND]
        if cookie is not None:
            sa.cookie = cookie.value
        if wrong_group is not None:
            sa.group = wrong_group.value
            operations = [*work.RECEIVE, *work.key_exchange_initiator(sa.group), *work.SEND]
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT request again", partial(_send_init, ep, sa))
        return
    if message.notify(redirect.REDIRECT) is not None:
        redirect.follow(ep, sa, message)
        return
    error = message.error()
    if error is not None:
        own = tuple(str(p) for p in proposals)
        _refused(ep, sa, Refusal("no IKE proposal in common", error.type, own=own))
        return
    chosen = message.get(SaPayload).proposals[0]
    profile = sa.profile
    assert isinstance(chosen, IkeProposal) and profile is not None
    nonce = message.get(NoncePayload)
    fragmentation.agree(ep, sa, announced_by_peer=message.notify(fragmentation.NOTIFY) is not None)
    nat.detect(ep, sa, message)
    # A NAT may come with any later address (RFC 4555 3.3).
    if sa.behind_nat or mobike.offered(ep):
        nat.move(sa)
    sa.suite, sa.remote_spi, sa.init_response = suite_of(chosen), message.spi_r, message
    sa.nonce_remote, sa.nonce_remote_bytes = nonce.value, nonce.n_bytes
    sa.key = profile.key_for(profile.expected_identity(), sa.remote)
    operations = [*work.RECEIVE, *work.nat_detection()]
    operations += work.shared_secret(sa.suite, sa.nonce_local_bytes + nonce.n_bytes)
    if profile.authentication.local == "pre-share" and (sa.key is None or sa.key.local_key is None):
        refusal = Refusal("no key for the peer", own=(profile.name,))
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT response", lambda t: ep.close(sa, refusal, t))
        return
    missing = ppk.agree(sa) if ep.has_ppks else None
    if missing is not None:
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT response", partial(_give_up, ep, sa, missing))
        return
    if profile.authentication.then is not None:
        lacking = multiple_authentication.lacking(sa)
        if lacking is not None:
            ep.begin(sa, sa.remote, operations, "IKE_SA_INIT response", partial(_give_up, ep, sa, lacking))
            return
    assert sa.tunnel is not None
    if not children.passing(sa, sa.tunnel.child.proposals):
        refusal = Refusal("AH cannot pass a NAT", own=tuple(map(str, sa.tunnel.child.proposals)))
        ep.begin(sa, sa.remote, operations, "IKE_SA_INIT response", partial(_give_up, ep, sa, refusal))
        return
    intermediate.go_on(ep, sa, operations, _begin_auth)


def _give_up(ep: Endpoint, sa: IkeSa, refusal: Refusal, now: int) -> None:
    ep.close(sa, refusal, now)


def _refused(ep: Endpoint, sa: IkeSa, refusal: Refusal) -> None:
    ep.begin(sa, sa.remote, list(work.RECEIVE), "refusal", lambda t: ep.close(sa, refusal, t))


# -- IKE_AUTH --------------------------------------------------------------------------------------------------


def _begin_auth(ep: Endpoint, sa: IkeSa, operations: list[Operation]) -> None:
    """Make AUTH and send the first request of IKE_AUTH; a client of EAP leaves AUTH out (RFC 7296 2.16)."""
    assert sa.profile is not None and sa.suite is not None
    auth: AuthPayload | None = None
    named: tuple[Payload, ...] = ()
    making: Sequence[Operation]
    if sa.resumed is not None:
        auth, making = resumption.prove(sa)
        operations = [*operations, *making]
    elif sa.profile.authentication.local not in EAP_METHODS:
        making = authentication.make_operations(sa, sa.profile)
        if sa.ppk_agreed:
            make = partial(authentication.make, sa, sa.profile, sa.key)
            auth, named, making = ppk.prove(sa, make, making)
        else:
            auth = authentication.make(sa, sa.profile, sa.key)
        operations = [*operations, *making]
    # The size of the request is known now: its protection is a part of this work.
    spi = ep.esp_spi(sa)
    if ep.resumption is not None:
        named = (*named, *resumption.wish(ep))
    if sa.profile.authentication.then is not None and sa.resumed is None:
        named = (*named, *multiple_authentication.announce())
    payloads = (*_auth_payloads(ep, sa, auth, spi), *named)
    operations = [*operations, *work.protect(sa, size_of(payloads))]
    ep.begin(sa, sa.remote, operations, "IKE_AUTH request", partial(_send_auth, ep, sa, payloads, spi))


def _auth_payloads(ep: Endpoint, sa: IkeSa, auth: AuthPayload | None, spi: int) -> tuple[Payload, ...]:
    profile, tunnel = sa.profile, sa.tunnel
    assert profile is not None and tunnel is not None
    conditions: set[Condition] = set()
    configuration_request = configuration.request(ep, profile)
    if configuration_request is not None:
        conditions.add("config_request")
    if mobike.offered(ep):
        conditions.add("mobike")
    if not _known_to(ep, sa, profile):
        conditions.add("initial_contact")
    if tunnel.child.mode == "transport":
        conditions.add("transport")
    expected = profile.expected_identity()
    if expected is not None:
        conditions.add("expected_peer")
    # Certificates are asked for where one of the peer's is accepted (RFC 7296 3.7).
    asks = sa.resumed is None and "certificate" in profile.authentication.remote
    supplied: dict[str, Supplied] = {
        "IDi": identification("IDi", profile.local_identity),
        "CERT": authentication.certificates(profile) if sa.resumed is None else None,
        "CERTREQ": authentication.certificate_request(ep) if asks else None,
        "IDr": identification("IDr", expected) if expected is not None else None,
        "AUTH": auth,
        "CP": configuration_request,
        "SA": SaPayload(tunnel.child.first_proposals, 4, spi),
        "TSi": traffic_selectors("TSi", tunnel.child.local_selectors),
        "TSr": traffic_selectors("TSr", tunnel.child.remote_selectors),
        **authentication.request_window(ep),
    }
    parts: Sequence[Part | str] = ep.implementation.profile.compositions.ike_auth_request
    if _is_childless(sa):
        parts = without_child(parts)
    return compose(parts, ep.implementation, supplied, frozenset(conditions))


def _is_childless(sa: IkeSa) -> bool:
    """Return whether IKE_AUTH makes no Child SA: this end wants none, and the responder can do so (RFC 6023)."""
    assert sa.tunnel is not None and sa.init_response is not None
    return sa.tunnel.childless and sa.init_response.notify("CHILDLESS_IKEV2_SUPPORTED") is not None


def _known_to(ep: Endpoint, sa: IkeSa, profile: IkeProfile) -> bool:
    """Return whether this end has an IKE SA with the same peer already, which INITIAL_CONTACT would end (RFC 7296 2.4).

    The same peer is the one at this address, or the one that has the expected identity at another address.
    """
    by_identity = ep.directory.authenticated_with(profile.expected_identity())
    known = (*by_identity, *ep.directory.with_peer(sa.remote))
    return any(s.state is State.ESTABLISHED and s.local_identity == profile.local_identity for s in known)


def _send_auth(ep: Endpoint, sa: IkeSa, payloads: tuple[Payload, ...], spi: int, now: int) -> None:
    sa.keys_ready = True
    sa.move(Trigger.SEND_AUTH)
    ep.request(sa, Exchange.IKE_AUTH, payloads, "auth", partial(_receive_auth_response, ep, sa, spi), now)


def _receive_auth_response(ep: Endpoint, sa: IkeSa, spi: int, message: Message) -> None:
    """Take the first response of IKE_AUTH: who is the responder, and does EAP follow?"""
    assert sa.profile is not None
    operations = work.unprotect(sa, message)
    identity = message.find(IdPayload)
    if identity is None:
        _refused_by_peer(ep, sa, message, operations)
        return
    peer = identity.identity
    without = ppk.confirm(sa, message) if sa.ppk is not None else None
    if without is not None:
        _reject_responder(ep, sa, without, operations)
        return
    if sa.resumed is not None:
        verdict = resumption.check(sa, message, peer)
    else:
        key = sa.key or sa.profile.key_for(peer, sa.remote)
        verdict = authentication.check(ep, sa, sa.profile, key, message, peer)
    operations += verdict.operations
    rejection = verdict.refusal
    if not sa.profile.matches(peer):
        own = sa.profile.accepts_origins
        rejection = Refusal("identity of the responder not accepted", identity=peer, own=own)
    if rejection is not None:
        _reject_responder(ep, sa, rejection, operations)
    elif sa.peer_chain:
        revocation.look(ep, sa, operations, partial(_go_on, ep, sa, message, spi, peer))
    else:
        _go_on(ep, sa, message, spi, peer, None, operations)


def _go_on(
    ep: Endpoint,
    sa: IkeSa,
    message: Message,
    spi: int,
    peer: Identity,
    rejection: Refusal | None,
    operations: list[Operation],
) -> None:
    """Answer EAP, or conclude, unless the responder's certificate is no good any more."""
    assert sa.profile is not None
    if rejection is not None:
        _reject_responder(ep, sa, rejection, operations)
        return
    if sa.profile.authentication.then is not None and sa.resumed is None:
        if message.find(SaPayload) is not None:
            # It has passed over that another authentication follows, and holds this end for whom it says it is.
            ignored = authentication.refusal(sa, "authentication method not accepted", peer)
            _reject_responder(ep, sa, ignored, operations)
        else:
            multiple_authentication.begin(ep, sa, operations, partial(_receive_second, ep, sa, spi, peer))
        return
    account = sa.profile.authentication.account
    packet = message.find(EapPayload)
    if packet is not None and account is not None:
        _answer_eap(ep, sa, eap.client(ep, sa, account), peer, packet, operations, spi)
    elif sa.resumed is None and sa.profile.authentication.local in EAP_METHODS:
        _reject_responder(ep, sa, authentication.refusal(sa, "authentication method not accepted", peer), operations)
    else:
        _conclude(ep, sa, peer, message, operations, spi)


def _receive_second(ep: Endpoint, sa: IkeSa, spi: int, peer: Identity, message: Message) -> None:
    """Take the answer to the second proof (RFC 4739): EAP goes on, or the responder concludes."""
    operations = work.unprotect(sa, message)
    if message.notify("AUTHENTICATION_FAILED") is not None:
        _refused_by_peer(ep, sa, message, operations)
    else:
        _go_on(ep, sa, message, spi, peer, None, operations)


def _refused_by_peer(ep: Endpoint, sa: IkeSa, message: Message, operations: list[Operation]) -> None:
    error = message.error()
    refusal = Refusal("refused by the peer", error.type if error else "")
    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: ep.close(sa, refusal, t))


def _conclude(ep: Endpoint, sa: IkeSa, peer: Identity, message: Message, operations: list[Operation], spi: int) -> None:
    """The responder is authenticated: install the first Child SA, or note that it was refused."""
    sa.mobike = mobike.offered(ep) and message.notify(mobike.SUPPORTED) is not None
    if ep.resumption is not None:
        resumption.keep(ep, sa, message, peer)
    given = message.find(ConfigurationPayload)
    if given is not None:
        operations = [*operations, *configuration.take(sa, given)]
    assert sa.suite is not None and sa.tunnel is not None
    redirected = message.notify(redirect.REDIRECT)
    if redirected is not None:
        gateway = redirect.gateway_of(redirected)
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _redirected(ep, sa, peer, gateway, t))
        return
    error = message.error()
    if error is not None:
        refusal = Refusal(children.cause_of(error.type), error.type)
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _no_child(ep, sa, peer, refusal, spi, t))
        return
    if _is_childless(sa):
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: _childless(ep, sa, peer, given, t))
        return
    chosen = message.get(SaPayload)
    proposal = chosen.proposals[0]
    assert isinstance(proposal, EspProposal)
    suite = children.suite_of(proposal)
    nonces = sa.nonce_local_bytes + sa.nonce_remote_bytes
    operations += [*work.child_keys(sa.suite.prf, suite, nonces), *work.install()]
    # A responder that does not repeat USE_TRANSPORT_MODE wants tunnel mode (RFC 7296 1.3.1).
    policy = sa.tunnel.child
    if policy.mode == "transport" and message.notify("USE_TRANSPORT_MODE") is None:
        policy = replace(policy, mode="tunnel")

    def finish(t: int) -> None:
        sa.remote_identity = peer
        establish(ep, sa, t)
        selectors = (selectors_of(message.payloads, "TSi"), selectors_of(message.payloads, "TSr"))
        children.install(ep, sa, suite, policy, spi, chosen.spi, selectors, initiator=True, now=t)
        configuration.settle(ep, sa, given, t)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def _redirected(ep: Endpoint, sa: IkeSa, peer: Identity, gateway: redirect.Gateway, now: int) -> None:
    """The responder is authenticated and sends this end to another gateway (RFC 5685 section 6)."""
    sa.remote_identity = peer
    establish(ep, sa, now)
    redirect.leave(ep, sa, gateway, now)


def _childless(ep: Endpoint, sa: IkeSa, peer: Identity, given: ConfigurationPayload | None, now: int) -> None:
    """The IKE SA is up without a Child SA: create it."""
    sa.remote_identity = peer
    establish(ep, sa, now)
    sa.tasks.append(Task("new child"))
    configuration.settle(ep, sa, given, now)


# -- EAP -------------------------------------------------------------------------------------------------------


def _answer_eap(
    ep: Endpoint,
    sa: IkeSa,
    client: EapPeer,
    peer: Identity,
    packet: EapPayload,
    operations: list[Operation],
    spi: int,
) -> None:
    """Answer one EAP packet, or prove by its key who we are once EAP has succeeded (RFC 7296 2.16)."""
    assert sa.suite is not None and sa.profile is not None
    payload: Payload | None
    named: tuple[Payload, ...] = ()
    if packet.packet.code == "success" and client.done:
        sa.msk = eap.key_of(sa, client.msk)
        local = sa.profile.local_identity
        making: Sequence[Operation] = authentication.shared_key_operations(sa, local, mine=True)
        if sa.ppk_agreed:
            make = partial(authentication.shared_key_auth, sa, sa.msk, local)
            payload, named, making = ppk.prove(sa, make, making)
        else:
            payload = authentication.shared_key_auth(sa, sa.msk, local)
        operations = [*operations, *making]
    else:
        more, answer = client.answer(packet.packet)
        payload = EapPayload(answer) if answer is not None else None
        operations = [*operations, *more]
    if payload is None:
        refusal = Refusal(client.cause or "refused by the peer", identity=peer)
        ep.begin(sa, sa.remote, operations, "IKE_AUTH response", lambda t: ep.close(sa, refusal, t))
        return
    sent = (payload, *named)
    operations += work.protect(sa, sum(p.size for p in sent))

    def finish(now: int) -> None:
        then = partial(_receive_eap, ep, sa, client, peer, spi)
        ep.request(sa, Exchange.IKE_AUTH, sent, "auth", then, now)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH request", finish)


def _receive_eap(ep: Endpoint, sa: IkeSa, client: EapPeer, peer: Identity, spi: int, message: Message) -> None:
    operations = work.unprotect(sa, message)
    packet, auth = message.find(EapPayload), message.find(AuthPayload)
    if packet is not None:
        _answer_eap(ep, sa, client, peer, packet, operations, spi)
    elif auth is None or sa.msk is None:
        _refused_by_peer(ep, sa, message, operations)
    elif sa.ppk is not None and (without := ppk.confirm(sa, message)) is not None:
        _reject_responder(ep, sa, without, operations)
    else:
        operations += authentication.shared_key_operations(sa, peer, mine=False)
        if auth.proof == authentication.bind(sa.msk, sa, peer, mine=False):
            _conclude(ep, sa, peer, message, operations, spi)
        else:
            _reject_responder(ep, sa, authentication.refusal(sa, "wrong EAP password", peer), operations)


# -- Afterwards ------------------------------------------------------------------------------------------------


def _reject_responder(ep: Endpoint, sa: IkeSa, refusal: Refusal, operations: list[Operation]) -> None:
    """This end does not accept the responder; whether it says so is up to the implementation (RFC 7296 2.21.2)."""

    def finish(now: int) -> None:
        if ep.implementation.profile.reports_rejected_responder:
            payload = NotifyPayload("AUTHENTICATION_FAILED")
            then = partial(_reported, ep, sa, refusal)
            ep.request(sa, Exchange.INFORMATIONAL, [payload], "report", then, now, unanswered=refusal)
        else:
            ep.close(sa, refusal, now)

    ep.begin(sa, sa.remote, operations, "IKE_AUTH response", finish)


def _reported(ep: Endpoint, sa: IkeSa, refusal: Refusal, message: Message) -> None:
    ep.begin(sa, sa.remote, work.unprotect(sa, message), "INFORMATIONAL response", lambda t: ep.close(sa, refusal, t))


def _no_child(ep: Endpoint, sa: IkeSa, peer: Identity, refusal: Refusal, spi: int, now: int) -> None:
    """The peer is authenticated but refused the first Child SA: keep the IKE SA, or delete both and try again."""
    sa.remote_identity = peer
    establish(ep, sa, now)
    ep.tell("attempt_failed", sa, now, refusal=refusal)
    if ep.implementation.profile.deletes_ike_sa_without_child:
        protocol = sa.tunnel.child.proposals[0].protocol if sa.tunnel is not None else "ESP"
        sa.tasks.append(Task("delete spi", cause=refusal.cause, spi=spi, protocol=protocol))
        sa.tasks.append(Task("delete ike", cause=refusal.cause))
