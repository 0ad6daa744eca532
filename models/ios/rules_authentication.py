"""Rules about who the peers say they are and how they prove it: identities, keys, profiles, dead peers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from ..secret import Secret
from .arguments import looks_like_address
from .config import IdentityRule, Keyring, KeyringPeer, Line, Profile, RouterConfig
from .peers import (
    End,
    accepts,
    end_of,
    identity_sent,
    links,
    owners,
    pointed_tunnels,
    protected,
    select_peer,
    source_address,
)
from .rules_registry import Finding, fatal, rule, warning

#: What collectors write in the place of a key: nothing can be said about such keys.
_PLACEHOLDERS = frozenset(
    Secret(text)
    for text in ("REDACTED", "<REDACTED>", "<removed>", "<secret>", "******", "********", "XXXXXX", "xxxxxx")
)
_ENCRYPTED = " 6 <secret>"


def _say(identity: IdentityRule) -> str:
    """Return an identity in the words of IOS."""
    parts = [identity.kind, "domain" if identity.domain else "", identity.value, identity.mask or ""]
    return " ".join(part for part in parts if part)


@rule("L01")
def identity_not_accepted(routers: list[RouterConfig]) -> Iterator[Finding]:
    """The identity that one end sends is not what the other end's profile matches."""
    for link in links(routers):
        for speaker, listener, profiles in link.directions():
            identity = identity_sent(speaker)
            if identity is None or not profiles or any(accepts(p, identity) is not False for p in profiles):
                continue
            elsewhere = any(accepts(p, identity) for p in listener.router.profiles.values())
            make = warning if elsewhere else fatal
            wanted = [r for p in profiles for r in p.match_identity_remote]
            yield make("L01", _identity_message(speaker, listener, identity, wanted), identity.line, *_lines(wanted))


def _lines(rules: list[IdentityRule]) -> list[Line]:
    return [item.line for item in rules]


def _identity_message(speaker: End, listener: End, identity: IdentityRule, wanted: list[IdentityRule]) -> str:
    sent = f"the identity '{_say(identity)}' of {identity.line}"
    if speaker.profile is not None and speaker.profile.identity_local is None:
        sent = f"its address as identity, '{_say(identity)}', for {identity.line} sets no 'identity local'"
    accepted = " or ".join(f"'{_say(item)}' of {item.line}" for item in wanted)
    return (
        f"{speaker.router.hostname} sends {sent}, and {listener.router.hostname} accepts {accepted}: IKE_AUTH is "
        f"answered with AUTHENTICATION_FAILED; write {_identity_cure(speaker, listener, identity, wanted)}"
    )


def _identity_cure(speaker: End, listener: End, identity: IdentityRule, wanted: list[IdentityRule]) -> str:
    exact = [item for item in wanted if not item.domain and item.mask is None and item.kind != "address"]
    if len(wanted) == 1 and exact:
        return f"'identity local {_say(exact[0])}' on {speaker.router.hostname}"
    return f"'match identity remote {_say(identity)}' on {listener.router.hostname}"


@rule("L02")
def email_identity_without_at(routers: list[RouterConfig]) -> Iterator[Finding]:
    """An e-mail identity that is no e-mail address."""
    for router in routers:
        for profile in router.profiles.values():
            mine = [profile.identity_local] if profile.identity_local else []
            for identity in [*mine, *profile.match_identity_remote]:
                if identity.kind == "email" and not identity.domain and "@" not in identity.value:
                    message = (
                        f"'{identity.value}' is sent and matched as an e-mail identity though it has no '@', and never "
                        f"equals an FQDN: write 'fqdn {identity.value}' if a host name is meant"
                    )
                    yield warning("L02", message, identity.line)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The two keys that an end holds for its peer, with the lines that set them."""

    local: Secret | None
    local_line: Line | None
    remote: Secret | None
    remote_line: Line | None


def _keys(end: End, other: End) -> _Keys | None:
    """Return the keys that ``end`` uses towards ``other``; None when they are not in the configuration."""
    profile = end.profile
    if profile is None:
        return None
    keyring = end.router.keyrings.get(profile.keyring or "")
    peer = select_peer(keyring, _address_seen(end, other), identity_sent(other)) if keyring else None
    keys = _Keys(None, None, None, None)
    if peer is not None:
        keys = _Keys(peer.local_key, peer.local_key_line, peer.remote_key, peer.remote_key_line)
    return _Keys(
        profile.inline_local_key or keys.local,
        profile.auth_local_line if profile.inline_local_key else keys.local_line,
        profile.inline_remote_key or keys.remote,
        profile.auth_remote_line if profile.inline_remote_key else keys.remote_line,
    )


def _address_seen(end: End, other: End) -> str | None:
    """Return the address under which ``end`` knows ``other``."""
    destination = end.interface.tunnel_destination or ""
    return destination if looks_like_address(destination) else source_address(other.router, other.interface)


def _uses_key(speaker: End, listener: End) -> bool:
    """Return True when the speaker proves itself with a pre-shared key and the listener takes that."""
    if speaker.profile is None or listener.profile is None:
        return False
    return speaker.profile.auth_local == "pre-share" and "pre-share" in listener.profile.auth_remote


def _comparable(key: Secret | None, line: Line | None) -> bool:
    """Return True for keys in clear text; encrypted ones (type 6) look different on every router."""
    return key is not None and key not in _PLACEHOLDERS and line is not None and not line.text.endswith(_ENCRYPTED)


@rule("L03")
def keys_not_mirrored(routers: list[RouterConfig]) -> Iterator[Finding]:
    """The local key of one end is not the remote key of the other."""
    for link in links(routers):
        for speaker, listener, _ in link.directions():
            mine, theirs = _keys(speaker, listener), _keys(listener, speaker)
            if mine is None or theirs is None or not _uses_key(speaker, listener):
                continue
            comparable = _comparable(mine.local, mine.local_line) and _comparable(theirs.remote, theirs.remote_line)
            if comparable and mine.local != theirs.remote:
                message = (
                    f"{speaker.router.hostname} signs with the key of {mine.local_line} and "
                    f"{listener.router.hostname} verifies with another key, that of {theirs.remote_line}: "
                    "IKE_AUTH is answered with AUTHENTICATION_FAILED; the local key of one router must be the remote "
                    "key of the other, so exchange or correct them"
                )
                yield fatal("L03", message, mine.local_line, theirs.remote_line)


@rule("L04")
def no_key_for_the_peer(routers: list[RouterConfig]) -> Iterator[Finding]:
    """The keyring of a tunnel has no entry, or no key, for its destination."""
    index = owners(routers)
    identities = _identities_by_address(routers)
    for router, tunnel, destination in pointed_tunnels(routers):
        end = end_of(router, tunnel)
        keyring = _keyring_in_use(end)
        if keyring is None:
            continue
        known = [select_peer(keyring, destination, identity) for identity in identities.get(destination, [None])]
        peer = next((found for found in known if found is not None), None)
        if peer is not None:
            yield from _missing_keys(end, peer)
        elif not _open_entries(keyring, other_known=destination in index):
            message = (
                f"{end.name} finds no pre-shared key for {destination} in keyring {keyring.name}, so IKE_AUTH is never "
                f"sent: write 'address {destination}' in one of its peers, or correct 'tunnel destination'"
            )
            lines = [peer.address_line for peer in keyring.peers]
            yield fatal("L04", message, tunnel.tunnel_destination_line, *lines)
    yield from _hubs_without_key(routers)


def _keyring_in_use(end: End) -> Keyring | None:
    profile = end.profile
    if profile is None or profile.inline_local_key or profile.inline_remote_key:
        return None
    uses = profile.auth_local == "pre-share" or "pre-share" in profile.auth_remote
    return end.router.keyrings.get(profile.keyring or "") if uses else None


def _identities_by_address(routers: list[RouterConfig]) -> dict[str, list[IdentityRule | None]]:
    """Return which identities the tunnels and profiles at an address send."""
    found: dict[str, list[IdentityRule | None]] = defaultdict(list)
    for address, holders in owners(routers).items():
        for router in holders:
            found[address] += [p.identity_local for p in router.profiles.values() if p.identity_local] or [None]
    return found


def _open_entries(keyring: Keyring, *, other_known: bool) -> bool:
    """Return True when some entry could match by a name or an identity that is not known here."""
    for peer in keyring.peers:
        if peer.network is None and peer.network_v6 is None and (peer.identity is None or not other_known):
            return True
    return False


def _missing_keys(end: End, peer: KeyringPeer) -> Iterator[Finding]:
    profile = end.profile
    assert profile is not None
    needs_local = profile.auth_local == "pre-share" and peer.local_key is None
    needs_remote = "pre-share" in profile.auth_remote and peer.remote_key is None
    if needs_local or needs_remote:
        side = "local" if needs_local else "remote"
        message = (
            f"peer {peer.name} of {end.router.hostname} has no {side} pre-shared key, so authentication fails: write "
            f"'pre-shared-key {side} ...'"
        )
        yield fatal("L04", message, peer.line)


def _hubs_without_key(routers: list[RouterConfig]) -> Iterator[Finding]:
    for link in links(routers):
        keyring = _keyring_in_use(link.right)
        address = source_address(link.left.router, link.left.interface)
        if not link.to_hub or keyring is None or address is None or _open_entries(keyring, other_known=True):
            continue
        if select_peer(keyring, address, identity_sent(link.left)) is None:
            # A spoke with a private address reaches a public hub through NAT, under an address not known here.
            behind_nat = ip_address(address).is_private
            make = warning if behind_nat else fatal
            message = (
                f"{link.right.router.hostname} has no pre-shared key for {link.left.router.hostname} ({address}) in "
                f"keyring {keyring.name}: IKE_AUTH is answered with AUTHENTICATION_FAILED; add a peer with its address "
                "or identity"
            )
            yield make("L04", message, keyring.line, link.left.interface.tunnel_source_line)


@rule("L05")
def identity_matched_twice(routers: list[RouterConfig]) -> Iterator[Finding]:
    """Two profiles of a router match the same identity."""
    for router in routers:
        first: dict[str, tuple[Profile, IdentityRule]] = {}
        for profile in router.profiles.values():
            for item in profile.match_identity_remote:
                earlier, same = first.setdefault(_say(item), (profile, item))
                if earlier is not profile and earlier.match_address_local == profile.match_address_local:
                    message = (
                        f"profiles {earlier.name} and {profile.name} of {router.hostname} both match "
                        f"'{_say(item)}', so one of them is never used for it: make the matches differ"
                    )
                    yield warning("L05", message, same.line, item.line)


def _profiles_in_use(router: RouterConfig) -> list[Profile]:
    """Return the IKEv2 profiles that a tunnel or a virtual-template of the router uses."""
    used = [end_of(router, interface).profile for interface in protected(router)]
    names = {profile.name for profile in used if profile is not None}
    return [profile for profile in router.profiles.values() if profile.name in names]


@rule("L06")
def profile_incomplete(routers: list[RouterConfig]) -> Iterator[Finding]:
    """A profile without a match, or without both authentication methods, is not active."""
    for router in routers:
        used = _profiles_in_use(router)
        for profile in router.profiles.values():
            lacking = []
            if not profile.match_identity_remote and profile.match_certificate is None:
                lacking.append("'match identity remote' or 'match certificate'")
            lacking += [] if profile.auth_local else ["'authentication local'"]
            lacking += [] if profile.auth_remote else ["'authentication remote'"]
            if lacking:
                make = fatal if profile in used else warning
                message = (
                    f"profile {profile.name} of {router.hostname} stays inactive, for it has no "
                    f"{', no '.join(lacking)}: add what is missing"
                )
                yield make("L06", message, profile.line)


@rule("L07")
def one_key_for_everybody(routers: list[RouterConfig]) -> Iterator[Finding]:
    """One pre-shared key for all addresses together with a match of every identity."""
    for router in routers:
        for profile in router.profiles.values():
            keyring = router.keyrings.get(profile.keyring or "")
            anyone = [
                i for i in profile.match_identity_remote if i.kind == "any" or _say(i).startswith("address 0.0.0.0")
            ]
            wild = [p for p in keyring.peers if p.network is not None and p.network.prefixlen == 0] if keyring else []
            if anyone and wild and "pre-share" in profile.auth_remote:
                message = (
                    f"whoever holds the one key of peer {wild[0].name} can pass for any other router towards "
                    f"{router.hostname}: give each peer its own key and identity, or use certificates"
                )
                yield warning("L07", message, anyone[0].line, wild[0].address_line)


@rule("L16")
def dead_peers_unnoticed(routers: list[RouterConfig]) -> Iterator[Finding]:
    """No dead peer detection in a profile that is in use, nor globally."""
    for router in routers:
        for profile in _profiles_in_use(router):
            if profile.dpd is None and router.dpd is None:
                message = (
                    f"{router.hostname} does not notice through IKE that a peer of profile {profile.name} is gone, up "
                    "to the next rekey an hour later: write 'dpd 30 5 periodic' there, or rely on a routing protocol"
                )
                yield warning("L16", message, profile.line)


@rule("L35")
def keys_in_the_clear(routers: list[RouterConfig]) -> Iterator[Finding]:
    """Keys that stand in the configuration unencrypted."""
    for router in routers:
        keys: list[tuple[Secret | None, Line | None]] = []
        for keyring in router.keyrings.values():
            for peer in keyring.peers:
                keys += [(peer.local_key, peer.local_key_line), (peer.remote_key, peer.remote_key_line)]
        for profile in router.profiles.values():
            keys.append((profile.inline_local_key, profile.auth_local_line))
            keys.append((profile.inline_remote_key, profile.auth_remote_line))
        lines = dict.fromkeys(line for key, line in keys if _comparable(key, line))
        if lines:
            message = (
                f"anyone who sees the configuration of {router.hostname} can read its pre-shared keys: encrypt them "
                "with 'key config-key password-encrypt' and 'password encryption aes'"
            )
            yield warning("L35", message, *lines)
