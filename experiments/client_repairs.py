"""Why a client fails, in a sentence, and the lines of a server's configuration that repair it.

Both follow from what the state machines said (`Refusal`) and from what both ends have: nothing here knows a client by
name. The offer of a client that is nearest to what the server accepts tells which algorithms are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..models.addresses import IpAddress
from ..models.algorithms import GROUPS
from ..models.ikev2.events import Refusal
from ..models.ikev2.identity import Identity
from ..models.ikev2.policy import EndpointPolicy
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.implementation import ClientHabits, ClientMethod, Implementation
from ..models.ios.config import IpsecProfile, Profile, RouterConfig
from ..models.remote_access import habits_of
from .client_servers import (
    AAA_LINES,
    AUTHENTICATION_LINES,
    POOL_LINES,
    TRUSTPOINT,
    ipsec_profile,
    proposal_name,
    trustpoint_lines,
)

Stage = Literal["proposal", "authentication", "child", "address", "rekey"]

#: What IOS can be told to accept, the best ciphers and groups first.
_ENCRYPTION = ("aes-gcm-256", "aes-gcm-128", "aes-cbc-256", "aes-cbc-192", "aes-cbc-128", "3des", "des")
_HASHES = ("sha512", "sha384", "sha256", "sha1", "md5")
_GROUPS = (21, 20, 19, 16, 15, 14, 24, 5, 2, 1)
#: Ciphers as a transform set names them.
_TRANSFORMS = {
    **{f"aes-cbc-{bits}": f"esp-aes {bits}" for bits in (256, 192, 128)},
    **{f"aes-gcm-{bits}": f"esp-gcm {bits}" for bits in (256, 192, 128)},
    "3des": "esp-3des",
    "des": "esp-des",
}
_TRANSFORM_HASHES = {name: f"esp-{name.replace('sha1', 'sha')}-hmac" for name in _HASHES}


@dataclass(frozen=True)
class Failure:
    """What went wrong, at which stage, with which identity of the client; ``by_server``: who refused."""

    stage: Stage
    refusal: Refusal
    identity: Identity
    by_server: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """A failure in words, and lines of IOS that repair it; none: nothing in the server's configuration does."""

    failure: Failure
    reason: str
    repair: tuple[str, ...] = ()
    #: The reason says no more than the cause.
    general: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "stage": self.failure.stage,
            "cause": self.failure.refusal.cause,
            "notify": self.failure.refusal.notify,
            "refused_by": "server" if self.failure.by_server else "client",
            "reason": self.reason,
            "repair": list(self.repair),
        }


@dataclass(frozen=True)
class Met:
    """What a client has met: the server's configuration, its IKEv2 and the IKEv2 profile of this client.

    ``user``: the user's name. ``eap``: methods of EAP that the server, or the RADIUS server behind it, proposes.
    """

    config: RouterConfig
    policy: EndpointPolicy
    address: IpAddress
    profile: str
    user: str
    eap: tuple[str, ...]


def diagnose(failure: Failure, client: Implementation, method: ClientMethod, met: Met) -> Diagnosis:
    """Return why ``client`` failed and what to enter at the server; ``method``: how the client authenticates."""
    config, policy = met.config, met.policy
    profile = config.profiles[met.profile]
    if failure.stage == "proposal":
        return _proposal(failure, client, config, policy.proposals_for(met.address))
    if failure.stage == "child" and failure.refusal.cause == "no IPsec proposal in common":
        return _transform_set(failure, client, config, profile, policy)
    if failure.stage == "rekey":
        return _forward_secrecy(failure, client, ipsec_profile(config, profile.name))
    if failure.stage == "address":
        return _pool(failure, config, profile)
    if failure.stage == "authentication":
        return _authentication(failure, client, method, met, profile)
    return _unknown(failure)


def _unknown(failure: Failure) -> Diagnosis:
    who = "the server" if failure.by_server else "the client"
    notify = f" ({failure.refusal.notify})" if failure.refusal.notify else ""
    return Diagnosis(failure, f"{who} gives up: {failure.refusal.cause}{notify}", general=True)


# -- IKE proposals ---------------------------------------------------------------------------------------------


def _proposal(
    failure: Failure, client: Implementation, config: RouterConfig, accepted: tuple[IkeProposal, ...]
) -> Diagnosis:
    """Name what the nearest offer lacks, and let the server's proposal have it."""
    offered = client.profile.ike_proposals()
    pairs = [(offer, own) for offer in offered for own in accepted if bool(offer.integrity) == bool(own.integrity)]
    if not pairs:
        return Diagnosis(failure, f"offers {_names(offered)}; the server takes {_names(accepted)}")
    offer, own = min(pairs, key=lambda pair: (len(_lacking(*pair)), _rank(pair[0])))
    lacking = _lacking(offer, own)
    everything = {kind: {a for o in offered for a in _algorithms(o)[kind]} for kind in lacking}
    parts = []
    for kind, word in (("encryption", "cipher"), ("integrity", "hash"), ("prf", "PRF"), ("groups", "group")):
        if kind not in lacking or (kind == "prf" and "integrity" in lacking):
            continue
        mine, theirs = _algorithms(offer)[kind], _algorithms(own)[kind]
        only = everything[kind].isdisjoint(theirs)
        shown = list(dict.fromkeys(x for o in offered for x in _algorithms(o)[kind])) if only else mine
        parts.append(
            f"{'offers only' if only else 'its nearest offer has'} {word} {_list(shown)};"
            f" the server accepts {_list(theirs)}"
        )
    lines = [f"crypto ikev2 proposal {proposal_name(config)}"]
    for kind, word, known in (
        ("encryption", "encryption", _ENCRYPTION),
        ("integrity", "integrity", _HASHES),
        ("prf", "prf", _HASHES),
        ("groups", "group", tuple(map(str, _GROUPS))),
    ):
        if kind not in lacking or (kind == "prf" and not _has_prf(config) and own.integrity):
            continue
        ours = [_word(a) for a in _algorithms(own)[kind]]
        # What the client likes best of what IOS has: then its first guess of a group is right.
        new = next((word for word in map(_word, _algorithms(offer)[kind]) if word in known), None)
        if new is None:
            return Diagnosis(failure, ", ".join(parts))
        lines.append(f" {word} {' '.join([*ours, new])}")
    return Diagnosis(failure, "; ".join(parts), tuple(lines))


def _algorithms(proposal: IkeProposal) -> dict[str, tuple[str | int, ...]]:
    return {
        "encryption": proposal.encryption,
        "integrity": proposal.integrity,
        "prf": proposal.prf,
        "groups": proposal.groups,
    }


def _lacking(offer: IkeProposal, own: IkeProposal) -> list[str]:
    """Return the types of transforms that an offer and a proposal have not in common."""
    mine, theirs = _algorithms(offer), _algorithms(own)
    return [kind for kind in mine if mine[kind] and set(mine[kind]).isdisjoint(theirs[kind])]


def _rank(offer: IkeProposal) -> tuple[int, int]:
    """Return how far down the lists of IOS the best cipher and group of an offer are; what IOS lacks is last."""
    cipher = min((_ENCRYPTION.index(e) for e in offer.encryption if e in _ENCRYPTION), default=len(_ENCRYPTION))
    group = min((_GROUPS.index(g) for g in offer.groups if g in _GROUPS), default=len(_GROUPS))
    return cipher, group


def _has_prf(config: RouterConfig) -> bool:
    """Return whether the proposal names a PRF; without one IOS takes the hash of the integrity algorithm."""
    proposal = config.proposals.get(proposal_name(config))
    return proposal is not None and bool(proposal.prf)


def _word(algorithm: str | int) -> str:
    return str(algorithm)


def _list(algorithms: Iterable[str | int]) -> str:
    return ", ".join(GROUPS[a].name if isinstance(a, int) else a for a in algorithms)


def _names(proposals: Sequence[IkeProposal | EspProposal]) -> str:
    return "; ".join(dict.fromkeys(map(str, proposals)))


# -- Child SAs -------------------------------------------------------------------------------------------------


def _transform_set(
    failure: Failure, client: Implementation, config: RouterConfig, profile: Profile, policy: EndpointPolicy
) -> Diagnosis:
    """Give the IPsec profile a further transform set: the client's first offer that IOS has."""
    offered = [p.without_groups() for p in client.profile.esp_proposals()]
    template = f"Virtual-Template{profile.virtual_template}"
    accepted = [p.without_groups() for p in policy.templates[template].proposals]
    reason = _esp_reason(offered, accepted)
    for offer in offered:
        cipher = next((e for e in offer.encryption if e in _TRANSFORMS), None)
        integrity = next((i for i in offer.integrity if i in _TRANSFORM_HASHES), None)
        if cipher is None or (offer.integrity and integrity is None):
            continue
        name = "-".join(filter(None, (cipher.replace("-cbc-", "").replace("-gcm-", "GCM"), integrity))).upper()
        transforms = " ".join(filter(None, (_TRANSFORMS[cipher], integrity and _TRANSFORM_HASHES[integrity])))
        ipsec = ipsec_profile(config, profile.name)
        known = list(ipsec.transform_sets) if ipsec is not None and ipsec.transform_sets else ["default"]
        lines = (
            f"crypto ipsec transform-set {name} {transforms}",
            " mode tunnel",
            f"crypto ipsec profile {ipsec.name if ipsec is not None else 'default'}",
            f" set transform-set {' '.join([*known, name])}",
        )
        return Diagnosis(failure, reason, lines)
    return Diagnosis(failure, reason)


def _esp_reason(offered: Sequence[EspProposal], accepted: Sequence[EspProposal]) -> str:
    """Return which ciphers or hashes the two have not in common, or, where each is in some offer, all offers."""
    for word, mine, theirs in (
        ("cipher", [e for p in offered for e in p.encryption], [e for p in accepted for e in p.encryption]),
        ("hash", [i for p in offered for i in p.integrity], [i for p in accepted for i in p.integrity]),
    ):
        if theirs and set(mine).isdisjoint(theirs):
            only = f"offers only {word} {_list(dict.fromkeys(mine))} for ESP"
            return f"{only}; the server's transform set has {_list(theirs)}"
    return f"offers ESP with {_names(offered)}; the server's transform set has {_names(accepted)}"


def _forward_secrecy(failure: Failure, client: Implementation, ipsec: IpsecProfile | None) -> Diagnosis:
    """The rekey of the Child SA has failed: one end wants perfect forward secrecy and the other does not."""
    wanted = client.profile.esp_proposals()[0].groups
    own = ipsec.pfs_group if ipsec is not None else None
    name = ipsec.name if ipsec is not None else "default"
    reason = f"fails at the first rekey of the Child SA: it asks for {_pfs(wanted)}"
    reason += f", the server's IPsec profile {f'demands group {own}' if own else 'has no PFS group'}"
    group = next((g for g in wanted if g in _GROUPS), None)
    if group is not None:
        return Diagnosis(failure, reason, (f"crypto ipsec profile {name}", f" set pfs group{group}"))
    return Diagnosis(failure, reason, () if wanted else (f"crypto ipsec profile {name}", " no set pfs"))


def _pfs(groups: Sequence[int]) -> str:
    return f"perfect forward secrecy with {_list(groups)}" if groups else "none"


def _pool(failure: Failure, config: RouterConfig, profile: Profile) -> Diagnosis:
    """Give the profile an authorization policy with a pool."""
    method = next((m for m in profile.auth_remote if "eap" in m), "cert")
    method = "psk" if "pre-share" in profile.auth_remote else method
    lines = (
        *_aaa(config),
        *POOL_LINES,
        f"crypto ikev2 profile {profile.name}",
        f" aaa authorization group {method} list CLIENTS CLIENTS",
    )
    reason = "gets no address: the server's profile has no authorization policy with a pool"
    return Diagnosis(failure, reason, lines)


def _aaa(config: RouterConfig) -> tuple[str, ...]:
    """Return the lists that the lines of a repair name, unless they are there."""
    there = ("login", "CLIENTS") in config.aaa.lists and ("network", "CLIENTS") in config.aaa.lists
    return () if there else AAA_LINES


# -- Authentication --------------------------------------------------------------------------------------------


def _authentication(
    failure: Failure, client: Implementation, method: ClientMethod, met: Met, profile: Profile
) -> Diagnosis:
    habits, config = habits_of(client.profile), met.config
    block = f"crypto ikev2 profile {profile.name}"
    cause = failure.refusal.cause
    if cause == "no profile accepts the identity":
        rules = _list(
            f"{r.kind} {'domain ' if r.domain else ''}{r.value}".strip() for r in profile.match_identity_remote
        )
        reason = f"calls itself {failure.identity}; the server's profile {profile.name} matches {rules or 'nobody'}"
        return Diagnosis(failure, reason, (block, f" match identity remote {_match(failure.identity)}"))
    if cause == "no EAP method in common":
        return _eap_methods(failure, habits, config, profile, met.eap)
    if cause == "authentication method not accepted":
        return _methods(failure, habits, method, config, profile)
    asks = not profile.eap_query_identity and "eap" in profile.auth_remote and method.startswith("eap")
    if asks and failure.identity.value != met.user:
        reason = (
            f"calls itself {failure.identity}, which is no user of the RADIUS server, and the server does not ask for"
            " the EAP identity"
        )
        return Diagnosis(failure, reason, (block, " authentication remote eap query-identity"))
    return _unknown(failure)


def _match(identity: Identity) -> str:
    return "address 0.0.0.0" if identity.kind == "address" else f"{identity.kind} {identity.value}"


def _methods(
    failure: Failure, habits: ClientHabits, method: ClientMethod, config: RouterConfig, profile: Profile
) -> Diagnosis:
    """The two ends do not authenticate in the same way: let the server do it in the client's."""
    takes = _list(profile.auth_remote)
    block = f"crypto ikev2 profile {profile.name}"
    known = next(iter(config.trustpoints), None)
    if not failure.by_server and profile.auth_local == "pre-share" and method.startswith("eap"):
        needed = trustpoint_lines() if known is None else ()
        reason = f"needs a {_list(habits.server_proves_by)} of the server, which proves itself with a pre-shared key"
        signs = (" authentication local rsa-sig", f" pki trustpoint {known or TRUSTPOINT}")
        return Diagnosis(failure, reason, (*needed, block, *signs))
    if failure.by_server:
        reason = f"proves its user by {method}; the server's profile {profile.name} takes {takes}"
    else:
        reason = f"proves its user by {method}, and the server, which takes {takes}, does not let it"
    return Diagnosis(failure, reason, _usual(habits, config, profile))


def _eap_methods(
    failure: Failure, habits: ClientHabits, config: RouterConfig, profile: Profile, proposed: tuple[str, ...]
) -> Diagnosis:
    """EAP has found no method: take the other EAP of IOS, or tell that it is up to the RADIUS server."""
    known = [m for m in habits.methods if "eap" in m]
    reason = f"knows {_list(known)}; the server proposes {_list(proposed)}"
    if (habits.methods[0] == "anyconnect-eap") == ("anyconnect-eap" in proposed):
        return Diagnosis(failure, f"{reason}, which is up to its RADIUS server")
    return Diagnosis(failure, reason, _usual(habits, config, profile))


def _usual(habits: ClientHabits, config: RouterConfig, profile: Profile) -> tuple[str, ...]:
    """Return the lines by which a profile takes clients that authenticate in this client's usual way."""
    block = f"crypto ikev2 profile {profile.name}"
    known = next(iter(config.trustpoints), None)
    usual = habits.methods[0]
    kind = {"pre-share": "psk", "certificate": "certificate", "anyconnect-eap": "anyconnect-eap"}.get(usual, "eap")
    lines = [line.replace(TRUSTPOINT, known or TRUSTPOINT) for line in AUTHENTICATION_LINES[kind]]
    needed = trustpoint_lines() if known is None and kind != "psk" else ()
    needed += () if kind in ("psk", "certificate") else _aaa(config)
    if kind == "eap":
        lines = [f"{line} query-identity" if line == " authentication remote eap" else line for line in lines]
    return (*needed, block, *lines)
