"""A FlexVPN server for remote-access clients: an IOS configuration, read as any other, and what stands behind it.

A server is the text of a configuration, so that a repair is lines of IOS that are added to it and read again. The
RADIUS server behind it is not simulated here: it knows the one user of `ACCOUNT`, has the router's certificate where
EAP-TLS needs one, grants no rights of its own and answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from ..models.errors import InputError, unknown_name
from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.policy import AuthMethod, EapAccount, IkeProfile
from ..models.implementation import (
    Implementation,
    implementation_for_version,
    implementation_names,
    load_implementation,
)
from ..models.ios.config import IpsecProfile, RouterConfig
from ..models.ios.reader import parse_router
from ..models.ios.to_ikev2 import to_ikev2
from ..models.secret import Secret
from ..models.values import Ledger
from ..models.yaml_input import read_text

#: The address of the server (RFC 5737).
SERVER = IPv4Address("198.51.100.1")
#: The user whom the RADIUS server knows.
ACCOUNT = EapAccount("alice@example.net", Secret("any password"))
KEY = "any-key"
#: What a RADIUS server can propose, and sizes of the server's RSA key. [bits]
RADIUS_METHODS: tuple[AuthMethod, ...] = ("eap-mschapv2", "eap-tls", "eap-gtc", "eap-md5")
RSA_BITS = (1024, 2048, 3072, 4096)
#: What servers of defaults want of their clients.
AUTHS = (
    "psk",
    *(f"rsa{bits}" for bits in RSA_BITS),
    *(f"{method}:rsa{bits}" for method in (*RADIUS_METHODS, "anyconnect-eap") for bits in RSA_BITS),
    "eap-mschapv2:psk",
)
#: Name of the trustpoint in the configurations that are made here.
TRUSTPOINT = "EXAMPLE-CA"

_TRUSTPOINT_LINES = (
    f"crypto pki trustpoint {TRUSTPOINT}",
    " enrollment url http://192.0.2.10:80",
    " fqdn vpn.example.net",
    " subject-name CN=vpn.example.net",
    " revocation-check none",
    " rsakeypair VPN-KEY {bits}",
)

#: A RADIUS server and the lists that ask it and the router itself; what clients get.
AAA_LINES = (
    "aaa new-model",
    "radius server CLIENTS",
    " address ipv4 192.0.2.20 auth-port 1812 acct-port 1813",
    " key any-radius-key",
    "aaa authentication login CLIENTS group radius",
    "aaa authorization network CLIENTS local",
)
POOL_LINES = (
    "ip local pool CLIENTS 10.9.0.1 10.9.0.250",
    "crypto ikev2 authorization policy CLIENTS",
    " pool CLIENTS",
    " dns 10.9.0.254",
)

_DEFAULT = """\
version {version}
hostname VPN
{aaa}
{trustpoint}
{pool}
crypto ikev2 profile CLIENTS
 match identity remote any
 identity local fqdn vpn.example.net
{authentication}
 virtual-template 1
crypto ipsec profile default
 set ikev2-profile CLIENTS
interface Loopback0
 ip address 10.9.0.254 255.255.255.0
interface GigabitEthernet0/0/0
 ip address {address} 255.255.255.0
interface Virtual-Template1 type tunnel
 ip unnumbered Loopback0
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile default
"""

#: What a server of defaults says of authentication, by method of its clients.
AUTHENTICATION_LINES: dict[str, tuple[str, ...]] = {
    "psk": (
        f" authentication local pre-share key {KEY}",
        f" authentication remote pre-share key {KEY}",
        " aaa authorization group psk list CLIENTS CLIENTS",
    ),
    "certificate": (
        " authentication local rsa-sig",
        " authentication remote rsa-sig",
        f" pki trustpoint {TRUSTPOINT}",
        " aaa authorization group cert list CLIENTS CLIENTS",
    ),
    "eap": (
        " authentication local rsa-sig",
        " authentication remote eap",
        f" pki trustpoint {TRUSTPOINT}",
        " aaa authentication eap CLIENTS",
        " aaa authorization group eap list CLIENTS CLIENTS",
    ),
    "eap-psk": (
        f" authentication local pre-share key {KEY}",
        " authentication remote eap",
        " aaa authentication eap CLIENTS",
        " aaa authorization group eap list CLIENTS CLIENTS",
    ),
    "anyconnect-eap": (
        " authentication local rsa-sig",
        " authentication remote anyconnect-eap aggregate",
        f" pki trustpoint {TRUSTPOINT}",
        " aaa authentication anyconnect-eap CLIENTS",
        " aaa authorization group anyconnect-eap list CLIENTS CLIENTS",
    ),
}


def trustpoint_lines(bits: int = 2048) -> tuple[str, ...]:
    """Return the lines of a trustpoint with an RSA key. [bits]"""
    return tuple(line.format(bits=bits) for line in _TRUSTPOINT_LINES)


@dataclass(frozen=True)
class Server:
    """A server by the text of its configuration, and the implementation that reads it; ``name`` for tables."""

    name: str
    text: str
    implementation: Implementation
    path: Path
    #: What the RADIUS server behind ``authentication remote eap`` proposes.
    eap: AuthMethod = "eap-mschapv2"

    def config(self) -> RouterConfig:
        """Return the configuration. Raises InputError for one that cannot be read."""
        return parse_router(self.text, self.path)

    def with_lines(self, lines: tuple[str, ...]) -> Server:
        """Return the server once these lines have been entered too."""
        return replace(self, text="\n".join([self.text.rstrip("\n"), *lines, ""]))

    def endpoint(self) -> Endpoint:
        """Return the server's IKEv2.

        Raises InputError, with file and line, when no profile with a virtual-template can be simulated.
        """
        translation = to_ikev2(self.config(), self.implementation)
        policy = translation.policy
        profiles = tuple(self._served(profile) for profile in policy.profiles)
        if not any(profile.accepts_any_tunnel for profile in profiles):
            if translation.excluded:
                raise translation.excluded[0][1]
            raise InputError("no ikev2 profile has a virtual-template, which clients need", str(self.path))
        return Endpoint(replace(policy, profiles=profiles), self.implementation, seed=2)

    def _served(self, profile: IkeProfile) -> IkeProfile:
        """Return a profile whose clients the RADIUS server knows, which answers within no time."""
        told = profile.authentication
        remote = tuple(self.eap if method == "eap-mschapv2" else method for method in told.remote)
        return replace(profile, aaa=None, authentication=replace(told, remote=remote, users=(ACCOUNT,)))


def default_server(name: str, auth: str, ledger: Ledger) -> Server:
    """Return a server of an IOS release that has nothing but what clients need; all algorithms are defaults.

    ``name``: an implementation profile. ``auth``: one of `AUTHS`. Raises InputError for an unknown profile and for one
    that is no IOS.
    """
    method, _, key = auth.rpartition(":")
    kind = method if method == "anyconnect-eap" else "eap" if method else "psk" if key == "psk" else "certificate"
    if key == "psk" and method:
        kind = "eap-psk"
    releases = [known for known in implementation_names() if load_implementation(known).selected_by_versions]
    if name not in releases:
        raise unknown_name("server", name, [*releases, "a configuration such as hub.cfg"], "--server")
    profile = load_implementation(name)
    text = _DEFAULT.format(
        version=profile.selected_by_versions[0],
        aaa="\n".join(AAA_LINES),
        pool="\n".join(POOL_LINES),
        trustpoint="\n".join(() if key == "psk" else trustpoint_lines(int(key.removeprefix("rsa")))) or "!",
        authentication="\n".join(AUTHENTICATION_LINES[kind]),
        address=SERVER,
    )
    return Server(name, text, Implementation(profile, ledger), Path(f"{name}.cfg"), eap_method(auth))


def eap_method(auth: str) -> AuthMethod:
    """Return the method of EAP that ``auth``, one of `AUTHS`, lets the RADIUS server propose."""
    method = auth.rpartition(":")[0]
    return next((m for m in RADIUS_METHODS if m == method), RADIUS_METHODS[0])


def configured_server(path: Path, auth: str, ledger: Ledger) -> Server:
    """Return the server of a configuration; ``auth`` tells what RADIUS proposes. Raises InputError."""
    text = read_text(path)
    version = parse_router(text, path).version
    implementation = Implementation(load_implementation(implementation_for_version(version)), ledger)
    return Server(path.name, text, implementation, path, eap_method(auth))


# -- What a repair must know of a configuration ----------------------------------------------------------------


def proposal_name(config: RouterConfig) -> str:
    """Return the IKEv2 proposal that clients meet: the first one of the first policy, else ``default``."""
    for policy in config.policies.values():
        if policy.proposals:
            return policy.proposals[0]
    return "default"


def ipsec_profile(config: RouterConfig, name: str) -> IpsecProfile | None:
    """Return the IPsec profile behind the virtual-template of an IKEv2 profile, if it has lines of its own."""
    interface = config.interfaces.get(f"Virtual-Template{config.profiles[name].virtual_template}")
    protection = interface.tunnel_protection if interface is not None else None
    return config.ipsec_profiles.get(protection or "default")
