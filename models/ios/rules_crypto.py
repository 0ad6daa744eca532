"""Rules about what the peers negotiate: proposals, transform sets, tunnel modes, perfect forward secrecy."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from ..algorithms import ENCRYPTIONS
from .config import IpsecProfile, Line, Policy, Proposal, RouterConfig, TransformSet
from .peers import End, end_of, links, protected, source_address, unanswered
from .rules_registry import Finding, fatal, note, rule, warning

WEAK_ENCRYPTION = frozenset({"des", "3des", "null"})
WEAK_INTEGRITY = frozenset({"md5", "sha1"})
#: Group 24 has an unproven structure (RFC 8247), the others are too small.
WEAK_GROUPS = frozenset({1, 2, 5, 24})

_NOWHERE = Line("", 0, "")
#: The most that the smart default proposal offers in any release (facts C.6); which release it is does not matter
#: here, since only a proposal that meets none of them is called fatal.
_SMART_PROPOSAL = Proposal(
    "default",
    _NOWHERE,
    encryption=["aes-cbc-256", "aes-cbc-192", "aes-cbc-128"],
    integrity=["sha512", "sha384", "sha256", "sha1", "md5"],
    groups=[19, 14, 21, 5, 2],
)
_SMART_TRANSFORM_SET = TransformSet("default", _NOWHERE, "aes-cbc-128", "sha1", mode="transport")


def _is_aead(encryption: str) -> bool:
    return ENCRYPTIONS[encryption].aead


@rule("L08")
def proposal_without_policy(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A proposal that no policy refers to."""
    for router in routers:
        referred = {name for policy in router.policies.values() for name in policy.proposals}
        for proposal in router.proposals.values():
            if proposal.name not in referred and proposal.name != "default":
                message = (
                    f"{router.hostname} never offers proposal {proposal.name}, because no 'crypto ikev2 policy' names "
                    f"it and the default is used instead: write a policy with 'proposal {proposal.name}'"
                )
                yield warning("L08", message, proposal.line)


@rule("L09")
def policy_for_another_address(routers: list[RouterConfig]) -> Iterator[Finding]:
    """No policy matches the address that the tunnel sends from."""
    for router in routers:
        for interface in protected(router):
            source = source_address(router, interface)
            policies = list(router.policies.values())
            if source is None or ":" in source or not policies:
                continue
            if all(p.match_address_local and IPv4Address(source) not in p.match_address_local for p in policies):
                message = (
                    f"no policy of {router.hostname} matches {source}, the source of {interface.name}, so the default "
                    f"policy and proposal are used: write 'match address local {source}'"
                )
                yield warning("L09", message, policies[0].line, interface.tunnel_source_line)


@rule("L10")
def proposal_refused_by_the_router(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A proposal that IOS does not accept: AEAD without PRF or with integrity, or with a part missing."""
    for router in routers:
        for proposal in router.proposals.values():
            fault = _fault_of(proposal)
            if fault:
                message = f"IOS does not use proposal {proposal.name} of {router.hostname} as it stands: {fault}"
                yield warning("L10", message, proposal.line)


def _fault_of(proposal: Proposal) -> str:
    aead = [name for name in proposal.encryption if _is_aead(name)]
    if aead and not proposal.prf:
        return f"{aead[0]} has no integrity algorithm to take the PRF from; add 'prf sha512' or another"
    if aead and proposal.integrity:
        return (
            f"{aead[0]} protects integrity itself; remove 'integrity', or put the other ciphers in their own proposal"
        )
    lacking = [word for word, value in (("encryption", proposal.encryption), ("group", proposal.groups)) if not value]
    lacking += ["integrity"] if proposal.encryption and not aead and not proposal.integrity else []
    return f"it has no {' and no '.join(lacking)}; add that" if lacking else ""


@rule("L11")
def weak_algorithms(routers: list[RouterConfig]) -> Iterator[Finding]:
    """Algorithms that should not be used any more."""
    for router in routers:
        for proposal in router.proposals.values():
            weak = [n for n in proposal.encryption if n in WEAK_ENCRYPTION]
            weak += [n for n in dict.fromkeys([*proposal.integrity, *proposal.prf]) if n in WEAK_INTEGRITY]
            weak += [f"group {n}" for n in proposal.groups if n in WEAK_GROUPS]
            yield from _weak(router, f"proposal {proposal.name}", weak, proposal.line)
        for transforms in router.transform_sets.values():
            weak = [transforms.encryption] if transforms.encryption in WEAK_ENCRYPTION else []
            weak += [n for n in (transforms.integrity, transforms.ah) if n in WEAK_INTEGRITY]
            yield from _weak(router, f"transform set {transforms.name}", weak, transforms.line)


def _weak(router: RouterConfig, what: str, weak: list[str], line: Line) -> Iterator[Finding]:
    if weak:
        message = (
            f"{what} of {router.hostname} allows {', '.join(weak)}, too weak for new tunnels: use aes-cbc-256 or "
            "aes-gcm-256, sha256 or longer, and group 14, 19, 20 or 21"
        )
        yield warning("L11", message, line)


@rule("L20")
def tunnel_modes_differ(routers: list[RouterConfig]) -> Iterator[Finding]:
    """One end runs GRE over IPsec, the other IPsec alone."""
    for link in links(routers):
        automatic = link.to_hub and any(p.virtual_template_mode_auto for p in link.profiles)
        left, right = _kind(link.left), _kind(link.right)
        if left != right and not automatic:
            message = (
                f"{link.left.name} runs {_mode(link.left)} and {link.right.name} {_mode(link.right)}, so the traffic "
                "selectors are answered with TS_UNACCEPTABLE: write the same 'tunnel mode' at both ends"
            )
            if link.to_hub:
                message += ", or 'mode auto' behind the hub's 'virtual-template'"
            yield fatal("L20", message, *(_mode_line(end) for end in (link.left, link.right)))


def _mode(end: End) -> str:
    """Return the tunnel mode; without the command IOS runs GRE."""
    return end.interface.tunnel_mode or "gre ip"


def _kind(end: End) -> str:
    return _mode(end).split()[0]


def _mode_line(end: End) -> Line:
    return end.interface.tunnel_mode_line or end.interface.line


@rule("L21")
def nothing_in_common(routers: list[RouterConfig]) -> Iterator[Finding]:
    """The two ends share no IKE proposal, or no transform set."""
    for link in links(routers):
        if link.left.profile is not None and link.right.profile is not None:
            yield from _no_common_proposal(link.left, link.right)
        if link.left.ipsec is not None and link.right.ipsec is not None:
            yield from _no_common_transforms(link.left, link.right)


def _offered(end: End) -> list[Proposal]:
    """Return the proposals that an end may offer; more than one policy's worth where IOS's choice is not certain."""
    router = end.router
    source = source_address(router, end.interface)
    fitting = [p for p in router.policies.values() if _fits(p, source, end.interface.tunnel_vrf)]
    names = [name for policy in fitting for name in policy.proposals]
    # A policy without "match fvrf" may not serve a front-door VRF; then the default policy does.
    certain = any(p.fvrf is not None or end.interface.tunnel_vrf is None for p in fitting)
    if not certain and "policy" not in router.removed_defaults:
        names.append("default")
    built_in = [] if "proposal" in router.removed_defaults else [_SMART_PROPOSAL]
    found: list[Proposal] = []
    for name in dict.fromkeys(names):
        if name in router.proposals:
            found.append(router.proposals[name])
        elif name == "default":
            found += built_in
    return found


def _fits(policy: Policy, source: str | None, vrf: str | None) -> bool:
    here = [str(address) for address in policy.match_address_local]
    return (not here or source is None or source in here) and policy.fvrf in {None, "any", vrf}


def _missing_in_common(one: Proposal, other: Proposal) -> list[str]:
    """Return the kinds of transform that two proposals do not share; empty when an IKE SA can be agreed on."""
    encryption = set(one.encryption) & set(other.encryption)
    missing = [] if encryption else ["encryption"]
    if not any(_is_aead(name) for name in encryption) and not set(one.integrity) & set(other.integrity):
        missing.append("integrity")
    if not set(one.prf or one.integrity) & set(other.prf or other.integrity):
        missing.append("prf")
    if not set(one.groups) & set(other.groups):
        missing.append("group")
    return missing


def _no_common_proposal(left: End, right: End) -> Iterator[Finding]:
    mine, theirs = _offered(left), _offered(right)
    pairs = [(_missing_in_common(one, other), one, other) for one in mine for other in theirs]
    consequence = "IKE_SA_INIT is answered with NO_PROPOSAL_CHOSEN"
    for end, proposals in ((left, mine), (right, theirs)):
        if not proposals and not _refers_to_nothing(end.router):
            message = (
                f"{end.name} has no IKEv2 proposal to offer, because the defaults were removed and no policy fits: "
                f"{consequence}; add a policy that matches its source"
            )
            yield fatal("L21", message, end.interface.line)
    if pairs and all(missing for missing, _, _ in pairs):
        missing, one, other = min(pairs, key=lambda pair: len(pair[0]))
        message = (
            f"{left.router.hostname} (proposal {one.name}) and {right.router.hostname} (proposal {other.name}) share "
            f"no {' and no '.join(missing)}, so {consequence}: give both a common one"
        )
        yield fatal("L21", message, *(proposal.line for proposal in (one, other) if proposal.line.number))


def _refers_to_nothing(router: RouterConfig) -> bool:
    """Return True when a policy names a proposal that does not exist: another rule reports that."""
    return any(name not in router.proposals for policy in router.policies.values() for name in policy.proposals)


def transform_sets_of(router: RouterConfig, profile: IpsecProfile) -> list[TransformSet]:
    """Return the transform sets of an IPsec profile, the smart default when it names none."""
    if profile.transform_sets:
        known = {"default": _SMART_TRANSFORM_SET, **router.transform_sets}
        return [known[name] for name in profile.transform_sets if name in known]
    if "default" in router.transform_sets:
        return [router.transform_sets["default"]]
    return [] if "transform-set" in router.removed_defaults else [_SMART_TRANSFORM_SET]


def _protections(end: End) -> dict[tuple[str, str, str], TransformSet]:
    assert end.ipsec is not None
    return {(t.encryption, t.integrity, t.ah): t for t in transform_sets_of(end.router, end.ipsec)}


def _no_common_transforms(left: End, right: End) -> Iterator[Finding]:
    mine, theirs = _protections(left), _protections(right)
    if mine and theirs and not mine.keys() & theirs.keys():
        message = (
            f"{left.name} offers {_say_all(mine)} and {right.name} {_say_all(theirs)}, so the Child SA is refused and "
            "the IKE SA deleted, over and over: give both one transform set in common"
        )
        sets = [*mine.values(), *theirs.values()]
        yield fatal("L21", message, *(t.line for t in sets if t.line.number))


def _say_all(protections: dict[tuple[str, str, str], TransformSet]) -> str:
    return " or ".join("/".join(part for part in parts if part) for parts in protections)


@rule("L22")
def pfs_differs(routers: list[RouterConfig]) -> Iterator[Finding]:
    """Perfect forward secrecy at one end only, or with different groups."""
    for link in links(routers):
        one, other = link.left.ipsec, link.right.ipsec
        if one is not None and other is not None and one.pfs_group != other.pfs_group:
            message = (
                f"{link.left.name} rekeys with {_say_pfs(one)} and {link.right.name} with {_say_pfs(other)}: the "
                "tunnel comes up and drops at the first rekey; write the same 'set pfs' at both ends"
            )
            yield warning("L22", message, one.pfs_line or one.line, other.pfs_line or other.line)


def _say_pfs(profile: IpsecProfile) -> str:
    return "no PFS" if profile.pfs_group is None else f"PFS group {profile.pfs_group}"


@rule("L31")
def nobody_answers(routers: list[RouterConfig]) -> Iterator[Finding]:
    """The destination router has no tunnel back and no virtual-template that could take the tunnel."""
    for end, other in unanswered(routers):
        if any(line.text.startswith("crypto map") for line in other.unknown_lines):
            continue
        message = (
            f"{other.hostname} has no tunnel back to {end.name} and no profile with a virtual-template, so no Child SA "
            f"can be made: write a tunnel, or 'virtual-template N' in an IKEv2 profile, on {other.hostname}"
        )
        yield fatal("L31", message, end.interface.tunnel_destination_line)


@rule("L38")
def no_pfs(routers: list[RouterConfig]) -> Iterator[Finding]:
    """IPsec profiles in use without perfect forward secrecy."""
    for router in routers:
        ends = [end_of(router, interface) for interface in protected(router)]
        profiles = {end.ipsec.name: end.ipsec for end in ends if end.ipsec is not None}
        for profile in profiles.values():
            if profile.pfs_group is None:
                message = (
                    f"rekeyed keys of IPsec profile {profile.name} of {router.hostname} derive from the IKE SA's only "
                    "secret: write 'set pfs group19' at both ends if that matters"
                )
                yield note("L38", message, profile.line)
