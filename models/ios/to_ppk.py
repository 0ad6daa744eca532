"""The post-quantum pre-shared keys of a profile (``keyring ppk``), as `Ppk` of RFC 8784."""

from __future__ import annotations

from ..errors import InputError, unknown_name
from ..ikev2.identity import Identity
from ..ikev2.policy import Ppk
from ..secret import Secret
from .config import KeyringPeer, Profile, RouterConfig
from .identities import where


def ppks(config: RouterConfig, profile: Profile) -> tuple[Ppk, ...]:
    """Return the PPKs of a profile's peers. Raises InputError for a keyring that is not there and for dynamic ones."""
    if profile.keyring_ppk is None:
        return ()
    if profile.keyring_ppk not in config.keyrings:
        line = profile.keyring_ppk_line or profile.line
        raise unknown_name("keyring", profile.keyring_ppk, config.keyrings, where(line))
    return tuple(_ppk(peer) for peer in config.keyrings[profile.keyring_ppk].peers if peer.ppk_line is not None)


def _ppk(peer: KeyringPeer) -> Ppk:
    line = peer.ppk_line or peer.line
    if peer.ppk_dynamic:
        message = f"ppk dynamic of peer {peer.name} (keys from a SKIP server) is not simulated"
        raise InputError(f"{message}; allowed: ppk manual id ID key KEY [required]", where(line))
    assert peer.ppk_key is not None
    # A key that is encrypted (type 6) differs on every router: such keys of one name are taken to agree.
    encrypted = line.text.split(" key ")[-1].startswith("6 ")
    key = Secret(f"encrypted {peer.ppk_id}") if encrypted else peer.ppk_key
    identity = None
    if peer.identity is not None and peer.identity.kind != "any" and not peer.identity.domain:
        identity = Identity(peer.identity.kind, peer.identity.value)
    return Ppk(peer.ppk_id, key, peer.ppk_required, peer.network, identity, str(line))
