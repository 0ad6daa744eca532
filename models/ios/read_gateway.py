"""Commands of ``crypto ikev2`` about NAT, redirection, configuration exchange and the queue of IKE_SA_INIT requests.

Ranges are those of facts E.2.

What this leaves out: ``redirect gateway``, whose target a cluster of gateways tells.
"""

from __future__ import annotations

from .arguments import Arguments
from .config import Profile, RouterConfig
from .modes import Mode
from .read_ikev2 import PROFILE

_KEEPALIVE_S = ("NAT keepalive interval", 5, 3600)


@PROFILE.on("nat keepalive", clears=("nat_keepalive_s",))
def _profile_keepalive(profile: Profile, args: Arguments) -> None:
    profile.nat_keepalive_s = args.number(*_KEEPALIVE_S)


@PROFILE.on("nat force-encap", undo=True)
def _force_encapsulation(profile: Profile, args: Arguments) -> None:
    profile.nat_force_encap = not args.negated


@PROFILE.on("config-exchange set send", undo=True)
def _set_send(profile: Profile, args: Arguments) -> None:
    profile.config_set_send = not args.negated


@PROFILE.on("config-exchange set accept", undo=True)
def _set_accept(profile: Profile, args: Arguments) -> None:
    profile.config_set_accept = not args.negated


def register(mode: Mode) -> None:
    """Add the global commands."""
    mode.on("crypto ikev2 nat keepalive", clears=("nat_keepalive_s",), strong=True)(_keepalive)
    mode.on("crypto ikev2 redirect client", clears=("max_redirects",), strong=True)(_redirect_client)
    mode.on("crypto ikev2 limit queue sa-init", clears=("sa_init_queue",), strong=True)(_sa_init_queue)


def _keepalive(router: RouterConfig, args: Arguments) -> None:
    router.nat_keepalive_s = args.number(*_KEEPALIVE_S)


def _redirect_client(router: RouterConfig, args: Arguments) -> None:
    router.max_redirects = args.number("max-redirects", 1, 255) if args.optional("max-redirects") else MAX_REDIRECTS


def _sa_init_queue(router: RouterConfig, args: Arguments) -> None:
    router.sa_init_queue = args.number("sa-init queue", 100, 100000)


#: Redirections that a client follows unless it is told otherwise (RFC 5685 3).
MAX_REDIRECTS = 5
