"""Rules about authentication by certificates: method, CA and revocation."""

from __future__ import annotations

from collections.abc import Iterator

from . import refusals
from .certificates import authority, trusted
from .config import Profile, RouterConfig, Trustpoint
from .identities import SIGNATURE_KEYS
from .peers import accepts, end_of, identity_sent, links, protected
from .rules_registry import Finding, fatal, note, rule, warning


@rule("L34")
def revocation_needs_a_ca_that_answers(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A trustpoint in use that takes nobody's certificate before it has a CRL or an OCSP answer."""
    for router in routers:
        seen: set[str] = set()
        for interface in protected(router):
            trustpoint = _trustpoint(router, end_of(router, interface).profile)
            if trustpoint is None or trustpoint.name in seen:
                continue
            seen.add(trustpoint.name)
            # Without a line of its own a trustpoint asks for a CRL.
            checks = trustpoint.revocation_check or ["crl"]
            if "none" not in checks:
                message = (
                    f"{router.hostname} lets in nobody while it has no answer by {' or '.join(checks)} about a "
                    f"certificate of trustpoint {trustpoint.name}, and a simulation leaves that fetch out: make sure "
                    f"that the CA answers outside the tunnel, or write 'revocation-check {' '.join(checks)} none'"
                )
                yield note("L34", message, trustpoint.line)


def _trustpoint(router: RouterConfig, profile: Profile | None) -> Trustpoint | None:
    """Return the trustpoint that a profile signs with, if it signs and the trustpoint is there."""
    if profile is None or profile.auth_local not in SIGNATURE_KEYS:
        return None
    use = next((use for use in profile.trustpoints if use.use != "verify"), None)
    return router.trustpoints.get(use.name) if use is not None else None


@rule("L41")
def method_not_taken(routers: list[RouterConfig]) -> Iterator[Finding]:
    """An end authenticates by a method that no profile of the other end takes from it."""
    for link in links(routers):
        for speaker, listener, profiles in link.directions():
            speaking, identity = speaker.profile, identity_sent(speaker)
            willing = [p for p in profiles if identity is None or accepts(p, identity) is not False]
            if speaking is None or speaking.auth_local is None or not willing:
                continue
            if any(speaking.auth_local in profile.auth_remote or not profile.auth_remote for profile in willing):
                continue
            sentence = refusals.method_not_taken(speaker.router, speaking, listener.router, willing[0])
            message = f"{sentence}, so IKE_AUTH fails: configure the same method at both ends"
            yield fatal("L41", message, speaking.auth_local_line, willing[0].auth_remote_line)


@rule("L42")
def authority_unknown_to_the_peer(routers: list[RouterConfig]) -> Iterator[Finding]:
    """An end signs with a certificate of a CA that, by URL or name, the other end has no trustpoint of."""
    for link in links(routers):
        for speaker, listener, profiles in link.directions():
            trustpoint = _trustpoint(speaker.router, speaker.profile)
            checks = any(method in SIGNATURE_KEYS for profile in profiles for method in profile.auth_remote)
            if speaker.profile is None or trustpoint is None or not checks or not listener.router.trustpoints:
                continue
            if authority(speaker.router, trustpoint) not in trusted(listener.router):
                sentence = refusals.authority_not_trusted(speaker.router, speaker.profile, listener.router)
                yield warning("L42", sentence, trustpoint.line)
