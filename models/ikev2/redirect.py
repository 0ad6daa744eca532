"""Redirect: a gateway sends its clients to another one (RFC 5685).

In IKE_SA_INIT the gateway keeps no state: it answers a client that has announced REDIRECT_SUPPORTED with the other
address and the client's nonce (section 3), and the client begins there, saying where it comes from. An established SA
is redirected by INFORMATIONAL; that is answered and told as an event, and what follows is up to the caller (section 5).

What this leaves out: gateways named by FQDN or IPv6, redirection in IKE_AUTH, the period of the limit of redirections.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ..addresses import IpAddress
from . import initiator, work
from .events import Refusal
from .message import Datagram, Message
from .operations import Operation
from .payloads import NoncePayload, NotifyPayload
from .sa import IkeSa

if TYPE_CHECKING:
    from .endpoint import Endpoint

SUPPORTED, REDIRECT, REDIRECTED_FROM = "REDIRECT_SUPPORTED", "REDIRECT", "REDIRECTED_FROM"
#: How often a client lets itself be redirected: 5 times in 300 s (fact sheet C.8).
MAX_REDIRECTS = 5


def gateway_bytes(gateway: IpAddress) -> int:
    """Return the length of a gateway identity: type, length and address (section 9). [bytes]"""
    return 2 + len(gateway.packed)


def payload(gateway: IpAddress, nonce_bytes: int = 0) -> NotifyPayload:
    """Return N(REDIRECT); in IKE_SA_INIT the client's nonce stands behind the address."""
    return NotifyPayload(REDIRECT, gateway_bytes(gateway) + nonce_bytes, value=int(gateway))


def origin(sa: IkeSa) -> tuple[NotifyPayload, ...]:
    """Return N(REDIRECTED_FROM) for the request of a client that was redirected, else nothing."""
    if sa.redirected_from is None:
        return ()
    return (NotifyPayload(REDIRECTED_FROM, gateway_bytes(sa.redirected_from), value=int(sa.redirected_from)),)


def send_away(ep: Endpoint, datagram: Datagram, receive: list[Operation], now: int) -> bool:
    """Redirect the client behind a request of IKE_SA_INIT, if this gateway does so; return whether it has."""
    gateway, message = ep.policy.redirects_to, datagram.message
    if gateway is None or message.notify(SUPPORTED) is None:
        return False
    answer = payload(gateway, message.get(NoncePayload).n_bytes)
    operations = [*receive, *work.SEND]
    ep.begin(None, datagram.source, operations, "redirect", lambda _t: ep.answer_without_state(datagram, answer))
    ep.tell_of_stranger("redirected", datagram.source, now)
    return True


def follow(ep: Endpoint, sa: IkeSa, message: Message) -> None:
    """Begin afresh with the gateway that a response of IKE_SA_INIT names, or give up after too many of them."""
    notify, tunnel = message.notify(REDIRECT), sa.tunnel
    assert notify is not None and tunnel is not None
    gateway = ip_address(notify.value)

    def finish(now: int) -> None:
        if sa.redirects == MAX_REDIRECTS:
            ep.close(sa, Refusal("redirected too often", REDIRECT), now)
            return
        ep.tell("redirected", sa, now, detail=str(gateway))
        new = initiator.start(ep, replace(tunnel, remote_address=gateway), now)
        new.redirected_from, new.redirects = sa.remote, sa.redirects + 1
        sa.successor = new
        ep.close(sa, Refusal("redirected", REDIRECT), now)

    ep.begin(sa, sa.remote, list(work.RECEIVE), "redirect", finish)
