"""Rules about AAA: lists, groups, servers, authorization policies, pools and name-manglers that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

from .config import RouterConfig
from .rules_registry import Finding, fatal, rule, warning
from .to_aaa import faults


@rule("L30")
def aaa_names_nothing(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A AAA line of an IKEv2 profile that leads to nothing: the session ends after IKE_AUTH."""
    for router in routers:
        for profile in router.profiles.values():
            for line, error in faults(router, profile):
                message = f"{router.hostname} ends every session of profile {profile.name} after AUTH: {error.message}"
                yield fatal("L30", message, line)
        for policy in router.aaa.policies.values():
            if policy.pool is not None and policy.pool not in router.aaa.pools:
                message = (
                    f"{router.hostname} has no pool '{policy.pool}', so clients of authorization policy {policy.name}"
                    " that ask for an address get none: write 'ip local pool ...'"
                )
                yield warning("L30", message, policy.pool_line)
