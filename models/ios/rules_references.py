"""Rules about names: what is referred to and does not exist, and what was not understood."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .arguments import looks_like_address
from .config import Interface, IpsecProfile, Line, Profile, RouterConfig
from .peers import ipsec_profile_of, known_addresses, owners, pointed_tunnels, protected
from .rules_crypto import transform_sets_of
from .rules_registry import Finding, fatal, note, rule, warning


@dataclass(frozen=True, slots=True)
class _Reference:
    """A name that a line refers to, among the names that exist."""

    kind: str
    name: str
    known: tuple[str, ...]
    line: Line | None
    vital: bool


@rule("L36")
def destination_is_nobodys(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A tunnel's destination that no router of the folder has, or that is the router's own."""
    index = owners(routers)
    for router, tunnel, destination in pointed_tunnels(routers):
        if router in index.get(destination, []):
            message = (
                f"{router.hostname} {tunnel.name} points at its own address {destination}, so it never comes up: "
                "correct 'tunnel destination'"
            )
            yield fatal("L36", message, tunnel.tunnel_destination_line)
        elif destination not in index and len(routers) > 1:
            others = [address for other in routers if other is not router for address in known_addresses(other)]
            message = (
                f"no router of this folder is known to have {destination}, where {router.hostname} {tunnel.name} "
                f"points{_nearest(destination, others, 0.75)}: correct 'tunnel destination' or add that router, unless "
                "the address is one that NAT gives"
            )
            yield warning("L36", message, tunnel.tunnel_destination_line)


def _nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" (the nearest is '{near[0]}')" if near else ""


@rule("L37")
def reference_to_nothing(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A name of a profile, transform set, keyring, proposal, interface, trustpoint or map that does not exist."""
    for router in routers:
        for reference in _references(router):
            if reference.name not in reference.known:
                make = fatal if reference.vital else warning
                consequence = "the tunnel cannot come up" if reference.vital else "the line has no effect"
                message = (
                    f"{router.hostname} has no {reference.kind} '{reference.name}'"
                    f"{_nearest(reference.name, reference.known)}, so {consequence}: define it or correct the name"
                )
                yield make("L37", message, reference.line)
        yield from _nothing_to_offer(router)


def _references(router: RouterConfig) -> Iterator[_Reference]:
    used = [ipsec_profile_of(router, interface) for interface in protected(router)]
    ipsec_names = {profile.name for profile in used if profile is not None}
    ike_names = {profile.ikev2_profile for profile in used if profile is not None}
    for interface in router.interfaces.values():
        yield from _of_interface(router, interface)
    for profile in router.ipsec_profiles.values():
        yield from _of_ipsec_profile(router, profile, in_use=profile.name in ipsec_names)
    for ike_profile in router.profiles.values():
        yield from _of_profile(router, ike_profile, in_use=ike_profile.name in ike_names)
    proposals = (*router.proposals, *_built_in(router, "proposal"))
    for policy in router.policies.values():
        for name in policy.proposals:
            yield _Reference("IKEv2 proposal", name, proposals, policy.proposal_lines.get(name), vital=False)


def _built_in(router: RouterConfig, what: str) -> tuple[str, ...]:
    return () if what in router.removed_defaults else ("default",)


def _of_interface(router: RouterConfig, interface: Interface) -> Iterator[_Reference]:
    if interface.tunnel_protection is not None:
        known = (*router.ipsec_profiles, *_built_in(router, "ipsec profile"))
        line = interface.tunnel_protection_line
        yield _Reference("IPsec profile", interface.tunnel_protection, known, line, vital=not interface.shutdown)
    if interface.unnumbered is not None:
        line = interface.unnumbered_line
        yield _Reference("interface", interface.unnumbered, tuple(router.interfaces), line, vital=False)
    source = interface.tunnel_source
    if source is not None and source != "dynamic" and not looks_like_address(source):
        yield _Reference("interface", source, tuple(router.interfaces), interface.tunnel_source_line, vital=False)


def _of_ipsec_profile(router: RouterConfig, profile: IpsecProfile, *, in_use: bool) -> Iterator[_Reference]:
    if profile.ikev2_profile is not None:
        line = profile.ikev2_profile_line
        yield _Reference("IKEv2 profile", profile.ikev2_profile, tuple(router.profiles), line, in_use)
    known = (*router.transform_sets, *_built_in(router, "transform-set"))
    none_exists = not any(name in known for name in profile.transform_sets)
    for name in profile.transform_sets:
        yield _Reference("transform set", name, known, profile.transform_set_line, in_use and none_exists)


def _of_profile(router: RouterConfig, profile: Profile, *, in_use: bool) -> Iterator[_Reference]:
    if profile.keyring is not None:
        vital = in_use and (profile.auth_local == "pre-share" or profile.auth_remote == ["pre-share"])
        yield _Reference("keyring", profile.keyring, tuple(router.keyrings), profile.keyring_line, vital)
    if profile.virtual_template is not None:
        name = f"Virtual-Template{profile.virtual_template}"
        yield _Reference("interface", name, tuple(router.interfaces), profile.virtual_template_line, vital=False)
    for use in profile.trustpoints:
        yield _Reference("trustpoint", use.name, tuple(router.trustpoints), use.line, vital=False)
    if profile.match_certificate is not None:
        line = profile.match_certificate_line
        known = tuple(router.certificate_maps)
        yield _Reference("certificate map", profile.match_certificate, known, line, vital=False)


def _nothing_to_offer(router: RouterConfig) -> Iterator[Finding]:
    for interface in protected(router):
        profile = ipsec_profile_of(router, interface)
        if profile is not None and not profile.transform_sets and not transform_sets_of(router, profile):
            message = (
                f"IPsec profile {profile.name} of {router.hostname} names no transform set and the default one was "
                f"removed, so {interface.name} cannot come up: write 'set transform-set ...'"
            )
            yield fatal("L37", message, profile.line, interface.tunnel_protection_line)


@rule("L39")
def lines_not_understood(routers: list[RouterConfig]) -> Iterator[Finding]:
    """Lines that were read and not used."""
    for router in routers:
        if router.unknown_lines:
            count = len(router.unknown_lines)
            what = "1 line was" if count == 1 else f"{count} lines were"
            message = f"{what} read and not used: what {router.file} says there plays no part in a simulation"
            yield note("L39", message, *router.unknown_lines)
