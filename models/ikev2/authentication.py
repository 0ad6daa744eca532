"""What both roles of the first exchanges share: the proof of identity and what follows it (RFC 7296 2.15, 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..implementation import Condition
from . import children
from .identity import Identity
from .policy import KeyEntry
from .sa import IkeSa
from .states import Trigger

if TYPE_CHECKING:
    from .endpoint import Endpoint


def init_conditions(ep: Endpoint) -> frozenset[Condition]:
    """Return the conditions under which optional payloads of IKE_SA_INIT are sent."""
    return frozenset({"fragmentation"}) if ep.policy.fragmentation else frozenset()


def auth_data(key: KeyEntry, sa: IkeSa, identity: Identity, *, mine: bool, by_initiator: bool) -> bytes:
    """Return the content of AUTH as this end makes it (``mine``) or expects it from the peer; empty without a key.

    It binds what RFC 7296 2.15 signs: the SPIs and nonces of the first exchange, the signer's role and its identity.
    """
    secret = key.local_key if mine else key.remote_key
    if secret is None:
        return b""
    nonces = (sa.nonce_local, sa.nonce_remote) if sa.initiator else (sa.nonce_remote, sa.nonce_local)
    return secret.proof(by_initiator, sa.spi_i, sa.spi_r, *nonces, identity)


def establish(ep: Endpoint, sa: IkeSa, now: int) -> None:
    """Both ends are authenticated: start the timers of the IKE SA."""
    sa.move(Trigger.AUTHENTICATE)
    ep.authenticated(sa)
    children.start_ike_timers(ep, sa, now)
    ep.tell("ike_established", sa, now)
