"""Post-quantum pre-shared keys: a secret beside the key exchange, mixed into the keys of the IKE SA (RFC 8784).

Both ends say USE_PPK in IKE_SA_INIT. The initiator names its PPK with the AUTH that it has made with the mixed keys
and, where it can do without, adds NO_PPK_AUTH: the same AUTH by the keys before the mixing. A responder that has the
PPK says so with an empty PPK_IDENTITY. With EAP all of this is in the last exchange of IKE_AUTH, and the AUTH by which
the responder begins is made without a PPK (RFC 8784 section 4).

SK_d, SK_pi and SK_pr are mixed, not the keys that encrypt the IKE SA: what travels by it is protected against a quantum
computer from its first rekey on, its Child SAs from the beginning.

What this leaves out: PPKs that are used once (PPK_ID_OPAQUE), keys from a server (``ppk dynamic`` of IOS).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..addresses import IpAddress
from ..algorithms import PRFS, Kem
from . import work
from .events import Refusal
from .identity import Identity
from .message import Message
from .operations import Operation
from .payloads import AuthPayload, NotifyPayload
from .policy import IkeProfile, Ppk
from .sa import IkeSa

USE, IDENTITY, WITHOUT = "USE_PPK", "PPK_IDENTITY", "NO_PPK_AUTH"
#: Type of an identity that both ends know beforehand, PPK_ID_FIXED (RFC 8784 section 5.1); one octet before it.
FIXED = 2


def of_peer(profile: IkeProfile, identity: Identity | None, address: IpAddress) -> Ppk | None:
    """Return the PPK of a peer: by identity, else by the longest matching address, as its pre-shared key is found."""
    for one in profile.ppks:
        if one.peer is not None and one.peer == identity:
            return one
    by_address = [p for p in profile.ppks if p.network is not None and address in p.network]
    return max(by_address, key=lambda p: p.network.prefixlen if p.network else 0, default=None)


# -- IKE_SA_INIT -----------------------------------------------------------------------------------------------


def offered(sa: IkeSa) -> bool:
    """Return whether the initiator of this SA has a PPK for its peer and says so."""
    profile = sa.profile
    return profile is not None and of_peer(profile, profile.expected_identity(), sa.remote) is not None


def agree(sa: IkeSa) -> Refusal | None:
    """Note as initiator whether both ends use PPKs; return why this end gives up when it must and the peer does not."""
    profile = sa.profile
    assert profile is not None and sa.init_response is not None
    own = of_peer(profile, profile.expected_identity(), sa.remote)
    if own is None:
        return None
    sa.ppk_agreed = sa.init_response.notify(USE) is not None
    if own.required and not sa.ppk_agreed:
        return Refusal("no PPK in common", own=(own.origin or own.identity,))
    return None


# -- IKE_AUTH as initiator -------------------------------------------------------------------------------------


def prove(
    sa: IkeSa, make: Callable[[], AuthPayload], operations: Sequence[Operation]
) -> tuple[AuthPayload, tuple[NotifyPayload, ...], list[Operation]]:
    """Mix the initiator's PPK into the keys of an SA whose ends have agreed to use one, and make AUTH.

    ``make`` returns an AUTH by the keys as they are, which takes ``operations``. Returns the AUTH, what is sent with
    it (the name of the PPK and, where this end can do without, the AUTH by the keys before), and the work of all that.
    """
    assert sa.profile is not None
    own = of_peer(sa.profile, sa.profile.expected_identity(), sa.remote)
    assert own is not None
    without = None if own.required else make()
    sa.ppk = own
    name = bytes((FIXED,)) + own.identity.encode()
    named = NotifyPayload(IDENTITY, len(name), data=name)
    if without is None:
        return make(), (named,), [*_mixing(sa), *operations]
    plain = NotifyPayload(WITHOUT, without.n_bytes, data=without.proof)
    return make(), (named, plain), [*operations, *_mixing(sa), *operations]


def confirm(sa: IkeSa, message: Message) -> Refusal | None:
    """Take from the last response whether the responder uses the PPK; return why this end cannot do without it."""
    if sa.ppk is None or message.notify(IDENTITY) is not None:
        return None
    if sa.ppk.required:
        return Refusal("no PPK in common", own=(sa.ppk.origin or sa.ppk.identity,))
    sa.ppk = None
    return None


# -- IKE_AUTH as responder -------------------------------------------------------------------------------------


def take(sa: IkeSa, profile: IkeProfile, message: Message, peer: Identity) -> tuple[Refusal | None, list[Operation]]:
    """Use the PPK that an initiator names with its AUTH, or do without (RFC 8784 section 3, table 1).

    Returns why the initiator is refused, if it is, and the work.
    """
    if sa.ppk is not None:
        # It has been named with the first of two proofs (RFC 4739).
        return None, []
    own = of_peer(profile, peer, sa.remote)
    mandatory = own is not None and own.required
    refusal = Refusal("no PPK in common", "AUTHENTICATION_FAILED", peer, (own.origin,) if own and own.origin else ())
    if not sa.ppk_agreed:
        return (refusal if mandatory else None), []
    named = message.notify(IDENTITY)
    name = named.data[1:].decode(errors="replace") if named is not None and named.data[:1] == bytes((FIXED,)) else ""
    known = next((p for p in profile.ppks if p.identity == name), None)
    if known is not None:
        sa.ppk = known
        return None, _mixing(sa)
    if message.notify(WITHOUT) is None or mandatory:
        return refusal, []
    return None, []


def auth_of(sa: IkeSa, message: Message) -> AuthPayload | None:
    """Return the AUTH of a message that counts: the one in NO_PPK_AUTH for a responder that has not the PPK."""
    auth = message.find(AuthPayload)
    without = message.notify(WITHOUT) if not sa.initiator and sa.ppk is None else None
    if auth is None or without is None:
        return auth
    return AuthPayload(without.n_bytes, without.data, auth.method)


def accepted() -> NotifyPayload:
    """Return what a responder says when it uses the PPK: PPK_IDENTITY without data."""
    return NotifyPayload(IDENTITY)


# -- Details ---------------------------------------------------------------------------------------------------


def _mixing(sa: IkeSa) -> list[Operation]:
    """Return the work of mixing: prf+ with the PPK as key for SK_d, SK_pi and SK_pr (RFC 8784 section 3)."""
    assert sa.suite is not None
    output = PRFS[sa.suite.prf].output_bytes
    return work.prf_plus(sa.suite.prf, output, output) * 3


def protects_ike(sa: IkeSa) -> bool:
    """Return whether what travels by this IKE SA is safe from a quantum computer.

    By a KEM in its own key exchanges, or by a PPK that was mixed into the SK_d from which a rekey made its keys.
    """
    return (sa.ppk is not None and sa.generation > 0) or _by_kem(sa)


def protects_children(sa: IkeSa) -> bool:
    """Return whether the Child SAs that this IKE SA makes are: their keys come from SK_d, into which a PPK is mixed."""
    return sa.ppk is not None or _by_kem(sa)


def _by_kem(sa: IkeSa) -> bool:
    if sa.suite is None or not sa.suite.additional:
        return False
    return any(isinstance(method, Kem) for method in sa.suite.additional_exchanges)
