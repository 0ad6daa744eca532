"""Redirect: a gateway sends its clients to another one (RFC 5685).

- In IKE_SA_INIT the gateway keeps no state: it answers a client that has announced REDIRECT_SUPPORTED with the other
  gateway's identity and the client's nonce (section 3), and the client begins there, saying where it comes from.
- In IKE_AUTH both ends authenticate, and the gateway answers with the redirection in the place of a Child SA
  (section 6). The client deletes the IKE SA and begins at the other gateway.
- An established SA is redirected by INFORMATIONAL (section 5). The client acknowledges, deletes and begins anew.

A client that is sent away more than `MAX_REDIRECTS` times within `LOOP_PERIOD_S` goes round in circles and gives up.

What this leaves out: anycast, a gateway that closes an SA which the client does not delete.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ..addresses import IpAddress
from . import initiator, work
from .events import Refusal
from .message import Datagram, Message
from .operations import Operation
from .payloads import NoncePayload, NotifyPayload
from .sa import IkeSa, Task, nanoseconds

if TYPE_CHECKING:
    from .endpoint import Endpoint

SUPPORTED, REDIRECT, REDIRECTED_FROM = "REDIRECT_SUPPORTED", "REDIRECT", "REDIRECTED_FROM"
#: How often a client lets itself be redirected, and within what time (RFC 5685 3, fact sheet C.8). [1], [s]
MAX_REDIRECTS, LOOP_PERIOD_S = 5, 300.0
#: Types of a gateway's identity (section 9).
_IPV4, _IPV6, _FQDN = 1, 2, 3

#: A gateway is named by its address, or by a name that the client resolves.
Gateway = IpAddress | str


def identity_octets(gateway: Gateway) -> bytes:
    """Return a gateway's identity: type, length, address or name (section 9)."""
    if isinstance(gateway, str):
        name = gateway.encode()
        return bytes((_FQDN, len(name))) + name
    return bytes((_IPV4 if gateway.version == 4 else _IPV6, len(gateway.packed))) + gateway.packed


def gateway_of(notify: NotifyPayload) -> Gateway:
    """Return the gateway that a notification names; what stands behind its identity is the nonce."""
    kind, n_bytes = notify.data[:2]
    identity = notify.data[2 : 2 + n_bytes]
    return identity.decode() if kind == _FQDN else ip_address(identity)


def payload(gateway: Gateway, nonce_bytes: int = 0) -> NotifyPayload:
    """Return N(REDIRECT); in IKE_SA_INIT the client's nonce stands behind the identity."""
    octets = identity_octets(gateway)
    return NotifyPayload(REDIRECT, len(octets) + nonce_bytes, data=octets)


def origin(sa: IkeSa) -> tuple[NotifyPayload, ...]:
    """Return N(REDIRECTED_FROM) for the request of a client that was redirected, else nothing."""
    if sa.redirected_from is None:
        return ()
    octets = identity_octets(sa.redirected_from)
    return (NotifyPayload(REDIRECTED_FROM, len(octets), data=octets),)


# -- The gateway -----------------------------------------------------------------------------------------------


def send_away(ep: Endpoint, datagram: Datagram, receive: list[Operation], now: int) -> bool:
    """Redirect the client behind a request of IKE_SA_INIT, if this gateway does so; return whether it has."""
    gateway, message = ep.policy.redirects_to, datagram.message
    if gateway is None or ep.policy.redirects_in != "init" or message.notify(SUPPORTED) is None:
        return False
    answer = payload(gateway, message.get(NoncePayload).n_bytes)
    operations = [*receive, *work.SEND]
    ep.begin(None, datagram.source, operations, "redirect", lambda _t: ep.answer_without_state(datagram, answer))
    ep.tell_of_stranger("redirected", datagram.source, now)
    return True


def after_authentication(ep: Endpoint, sa: IkeSa) -> NotifyPayload | None:
    """Return what a gateway answers to an authenticated client in the place of a Child SA, if it redirects it."""
    gateway = ep.policy.redirects_to
    if gateway is None or ep.policy.redirects_in != "auth":
        return None
    assert sa.init_request is not None
    return payload(gateway) if sa.init_request.notify(SUPPORTED) is not None else None


# -- The client ------------------------------------------------------------------------------------------------


def follows(ep: Endpoint) -> bool:
    """Return whether this end lets itself be redirected: it is told to, or its implementation always does."""
    always = f"N:{SUPPORTED}" in ep.implementation.profile.compositions.ike_sa_init_request
    return ep.policy.follows_redirects or always


def follow(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Begin afresh with the gateway that a response of IKE_SA_INIT names, or give up."""
    notify = message.notify(REDIRECT)
    assert notify is not None
    gateway = gateway_of(notify)

    def finish(now: int) -> None:
        refusal = _begin_at(ep, sa, gateway, now) or Refusal("redirected", REDIRECT)
        ep.close(sa, refusal, now)

    ep.begin(sa, sa.remote, list(work.RECEIVE), "redirect", finish)


def leave(ep: Endpoint, sa: IkeSa, gateway: Gateway, now: int) -> None:
    """Leave an authenticated gateway for another one: delete the IKE SA and begin afresh.

    An end that has no tunnel of its own is no client, and one that goes round in circles stays where it is.
    """
    if sa.tunnel is None or not follows(ep):
        ep.tell("redirected", sa, now, detail=str(gateway))
        return
    refusal = _begin_at(ep, sa, gateway, now)
    if refusal is not None:
        ep.tell("redirected", sa, now, refusal=refusal, detail=str(gateway))
        return
    sa.tasks.append(Task("delete ike", cause="redirected"))


def _begin_at(ep: Endpoint, sa: IkeSa, gateway: Gateway, now: int) -> Refusal | None:
    """Begin with another gateway in the place of an SA, or return why not."""
    assert sa.tunnel is not None
    address = ep.policy.hosts.get(gateway) if isinstance(gateway, str) else gateway
    if address is None or address.version != sa.local.version:
        return Refusal("no usable address of the gateway", REDIRECT)
    earlier = ep.redirections.setdefault(sa.tunnel.name, deque())
    while earlier and earlier[0] <= now - nanoseconds(LOOP_PERIOD_S):
        earlier.popleft()
    if len(earlier) >= ep.policy.max_redirects:
        return Refusal("redirected too often", REDIRECT)
    earlier.append(now)
    ep.tell("redirected", sa, now, detail=str(gateway))
    new = initiator.start(ep, replace(sa.tunnel, remote_address=address), now)
    new.redirected_from = sa.remote
    sa.successor = new
    return None
