"""Why a certificate or a method of authentication is refused, as one sentence with the lines of both configurations."""

from __future__ import annotations

from .certificates import authority, trusted
from .config import Profile, RouterConfig
from .identities import SIGNATURE_KEYS, signing_trustpoint


def method_not_taken(speaker: RouterConfig, speaking: Profile, listener: RouterConfig, listening: Profile) -> str:
    """Return the sentence about an end that authenticates in a way that the other end does not take."""
    taken = " or ".join(listening.auth_remote)
    return (
        f"{speaker.hostname} authenticates by {speaking.auth_local} ({speaking.auth_local_line or speaking.line}),"
        f" but {listener.hostname} takes only {taken} ({listening.auth_remote_line or listening.line})"
    )


def signs_otherwise(speaker: RouterConfig, speaking: Profile, listener: RouterConfig, listening: Profile) -> str | None:
    """Return the sentence about a signature of a kind that the other end does not take; None where it does.

    An end that takes no certificate at all is not meant: that is refused when its turn comes.
    """
    taken = [method for method in listening.auth_remote if method in SIGNATURE_KEYS]
    if speaking.auth_local not in SIGNATURE_KEYS or not taken or speaking.auth_local in taken:
        return None
    return method_not_taken(speaker, speaking, listener, listening)


def authority_not_trusted(speaker: RouterConfig, speaking: Profile, listener: RouterConfig) -> str:
    """Return the sentence about a certificate of a CA that the other end does not know. Raises InputError."""
    trustpoint = signing_trustpoint(speaker, speaking)
    known = trusted(listener)
    lines = [str(t.line) for t in listener.trustpoints.values() if authority(listener, t) in known]
    trusts = f"trusts only {' and '.join(known)} ({', '.join(lines)})" if known else "has no trustpoint of a CA"
    rule = "; two trustpoints have one CA when their enrollment URL, or without one their name, is the same"
    return (
        f"the certificate of {speaker.hostname} is from {authority(speaker, trustpoint)} ({trustpoint.line}), but"
        f" {listener.hostname} {trusts}{'' if trustpoint.enrollment == 'selfsigned' else rule}"
    )
