"""CREATE_CHILD_SA for a Child SA that replaces none: a second one, or the first after a childless set-up (RFC 7296
section 1.3.1, RFC 6023).

What this leaves out: a limit (NO_ADDITIONAL_SAS).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import children, rekey, work
from .events import Refusal
from .message import Exchange, Message
from .operations import CloneInterface, Operation
from .payloads import KePayload, NoncePayload, NotifyPayload, SaPayload, selectors_of
from .policy import ChildPolicy
from .proposals import EspProposal
from .sa import IkeSa, Task
from .states import State

if TYPE_CHECKING:
    from .endpoint import Endpoint


def begin(ep: Endpoint, sa: IkeSa, demanded: int) -> None:
    """Ask for one more Child SA of the tunnel; an end without a tunnel interface of its own has nothing to ask for.

    ``demanded``: the group that the peer wants instead of the first one, or 0.
    """
    if sa.state is not State.ESTABLISHED or sa.tunnel is None:
        return
    policy = sa.tunnel.child
    group = demanded or (policy.proposals[0].groups[0] if policy.proposals[0].groups else 0)
    nonce, spi = ep.nonce(sa), ep.esp_spi(sa)
    selectors = (policy.local_selectors, policy.remote_selectors)
    asked = children.payloads(ep, policy.mode, selectors, policy.proposals, spi, nonce, group, request=True)
    operations = [*work.key_exchange_initiator(group), *work.protect(sa, sum(p.size for p in asked))]

    def finish(now: int) -> None:
        ep.request(
            sa,
            Exchange.CREATE_CHILD_SA,
            asked,
            "new child",
            lambda m: _receive_response(ep, sa, policy, m, spi, nonce, demanded),
            now,
        )

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA request (Child SA)", finish)


def _receive_response(
    ep: Endpoint, sa: IkeSa, policy: ChildPolicy, message: Message, spi: int, nonce: NoncePayload, demanded: int
) -> None:
    assert sa.suite is not None
    error = message.error()
    operations = work.unprotect(sa, message)
    step = "CREATE_CHILD_SA response"
    if error is not None:
        notify = error.type
        again = 0 if demanded else rekey.demanded_group(message, policy.proposals)
        ep.begin(sa, sa.remote, operations, step, lambda t: _failed(ep, sa, notify, t, again))
        return
    chosen = message.get(SaPayload)
    proposal = chosen.proposals[0]
    assert isinstance(proposal, EspProposal)
    suite = children.suite_of(proposal)
    operations += work.key_exchange_finish(suite.group)
    operations += work.child_keys(sa.suite.prf, suite, nonce.n_bytes + message.get(NoncePayload).n_bytes)
    operations += work.install()
    # A responder that does not repeat USE_TRANSPORT_MODE wants tunnel mode (RFC 7296 1.3.1).
    accepted = policy if message.notify("USE_TRANSPORT_MODE") is not None else replace(policy, mode="tunnel")
    selectors = (selectors_of(message.payloads, "TSi"), selectors_of(message.payloads, "TSr"))

    def finish(t: int) -> None:
        children.install(ep, sa, suite, accepted, spi, chosen.spi, selectors, initiator=True, now=t)

    ep.begin(sa, sa.remote, operations, step, finish)


def _failed(ep: Endpoint, sa: IkeSa, notify: str, now: int, again: int) -> None:
    if again:
        sa.tasks.appendleft(Task("new child", group=again))
    elif notify == "TEMPORARY_FAILURE":
        rekey.try_later(ep, sa, rekey.NEW_CHILD, now)
    else:
        ep.tell("attempt_failed", sa, now, refusal=Refusal(children.cause_of(notify), notify))


def receive(ep: Endpoint, sa: IkeSa, message: Message, operations: list[Operation]) -> None:
    """Take a request for a new Child SA, which ``operations`` have decrypted."""
    assert sa.suite is not None and sa.profile is not None
    child = children.agree(ep, sa, sa.profile, message, first=False)
    if isinstance(child, Refusal):
        rekey.refuse(ep, sa, message, NotifyPayload(child.notify), operations)
        return
    exchange = message.find(KePayload)
    suite = child.suite
    if suite.group and (exchange is None or exchange.group != suite.group):
        rekey.refuse(ep, sa, message, NotifyPayload("INVALID_KE_PAYLOAD", 2, value=suite.group), operations)
        return
    if child.tunnel is None and not sa.interface:
        operations = [*operations, CloneInterface()]
    nonce, spi = ep.nonce(sa), ep.esp_spi(sa)
    selectors = (child.responder_selectors, child.initiator_selectors)
    proposals = (child.proposal,)
    answer = children.payloads(ep, child.policy.mode, selectors, proposals, spi, nonce, suite.group, request=False)
    operations = [*operations, *work.key_exchange_initiator(suite.group), *work.key_exchange_finish(suite.group)]
    operations += work.child_keys(sa.suite.prf, suite, nonce.n_bytes + message.get(NoncePayload).n_bytes)
    operations += work.install() + work.protect(sa, sum(p.size for p in answer))

    def finish(now: int) -> None:
        ep.respond(sa, message, answer)
        ep.directory.assign(sa, child.tunnel)
        sa.interface = child.interface
        peer_spi = message.get(SaPayload).spi
        children.install(ep, sa, suite, child.policy, spi, peer_spi, selectors, initiator=False, now=now)

    ep.begin(sa, sa.remote, operations, "CREATE_CHILD_SA response", finish)
