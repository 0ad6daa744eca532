"""Which AAA lists an IKEv2 profile asks about a peer, and by which name (``crypto ikev2 profile`` of IOS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .identity import Identity, IdKind

#: Which part of an identity makes the name: IOS names them by the kind of identity.
NamePart = Literal["all", "domain", "username", "hostname", "common-name", "organization", "organization-unit"]
#: Attribute types of X.520 behind the parts of a distinguished name.
_DN_TYPES = {"common-name": "CN", "organization": "O", "organization-unit": "OU"}


@dataclass(frozen=True, slots=True)
class NameMangler:
    """``crypto ikev2 name-mangler``: the part of an identity, by its kind; a kind that is not named gives no name."""

    name: str
    parts: tuple[tuple[IdKind, NamePart], ...]

    def apply(self, identity: Identity) -> str:
        """Return the name that an identity gives; empty when it gives none."""
        part = dict(self.parts).get(identity.kind)
        if part is None:
            return ""
        if part == "all":
            return identity.value
        if identity.kind == "dn":
            return _of_distinguished_name(identity.value, _DN_TYPES.get(part, ""))
        before, found, after = identity.value.partition("@" if identity.kind == "email" else ".")
        if part == "domain":
            return after if found else ""
        return before


def _of_distinguished_name(text: str, wanted: str) -> str:
    for attribute in text.split(","):
        kind, _, value = attribute.partition("=")
        if kind.strip().upper() == wanted:
            return value.strip()
    return ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One look-up of a list: by a fixed ``name``, else by what the mangler, if there is one, makes of the identity.

    ``origin``: the configuration line behind it.
    """

    aaa_list: str
    name: str = ""
    mangler: NameMangler | None = None
    origin: str = ""

    def name_of(self, identity: Identity) -> str:
        """Return the name that is looked up for a peer; empty when its identity gives none."""
        if self.name:
            return self.name
        return identity.value if self.mangler is None else self.mangler.apply(identity)


#: How a peer has been authenticated, which decides what is asked about it.
PeerMethod = Literal["psk", "cert", "eap"]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """``aaa authorization {user|group} METHOD``: ``lookup`` None: what came with the key or with EAP (``cached``).

    ``overrides``: these rights win over those of the other scope; else those of the user win.
    """

    scope: Literal["user", "group"]
    method: PeerMethod
    lookup: Lookup | None
    overrides: bool = False


@dataclass(frozen=True, slots=True)
class ProfileAaa:
    """The AAA lines of an IKEv2 profile. Lists that the router answers itself are not here.

    ``keys``: where the pre-shared key of a peer is asked for that the keyring does not have. ``eap``: the list whose
    servers speak EAP with the peer. ``accounting``: a list for each method of the peer.
    """

    keys: Lookup | None = None
    authorisations: tuple[Authorisation, ...] = ()
    accounting: tuple[tuple[PeerMethod, str], ...] = ()
    eap: str = ""

    def asked(self, method: PeerMethod) -> tuple[Authorisation, ...]:
        """Return what is asked about a peer, its group first."""
        chosen = [a for a in self.authorisations if a.method == method]
        return tuple(sorted(chosen, key=lambda a: a.scope != "group"))
