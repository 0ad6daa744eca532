"""What an IOS router calls itself and what it accepts, as identities of IKEv2.

What this leaves out: name-manglers.
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network

from ..addresses import IpAddress
from ..errors import InputError, unknown_name
from ..ikev2.identity import Identity, IdentityMatch
from .config import IdentityRule, Interface, Line, Profile, RouterConfig, Trustpoint

#: Methods that need a certificate, and the kind of its key.
SIGNATURE_KEYS = {"rsa-sig": "rsa", "ecdsa-sig": "ecdsa", "mldsa-sig": "mldsa"}


def where(line: Line) -> str:
    """Return ``file:line``."""
    return f"{line.file}:{line.number}"


def source_address(config: RouterConfig, interface: Interface) -> IpAddress:
    """Return the address that a tunnel sends from: of the family of its destination. Raises InputError."""
    source = interface.tunnel_source
    line = interface.tunnel_source_line or interface.line
    if source is None:
        raise InputError(f"{interface.name} has no tunnel source", where(interface.line))
    try:
        return ip_address(source)
    except ValueError:
        pass
    if source == "dynamic":
        raise InputError("tunnel source dynamic (FlexVPN client) is not simulated yet", where(line))
    if source not in config.interfaces:
        raise unknown_name("interface", source, config.interfaces, where(line))
    version = 6 if ":" in (interface.tunnel_destination or "") else 4
    known = config.interfaces[source]
    addresses: list[IpAddress] = [a.ip for a in (known.addresses_v6 if version == 6 else known.addresses)]
    if not addresses:
        raise InputError(f"tunnel source {source} has no IPv{version} address", where(line))
    return addresses[0]


def signing_trustpoint(config: RouterConfig, profile: Profile) -> Trustpoint:
    """Return the trustpoint whose certificate a profile sends.

    IKEv2 of IOS takes only a trustpoint that the profile names, unlike IKEv1 (Cisco, Security and VPN Configuration
    Guide 17.x, "Trust Points Configured Under IKEv2 Profile"). Raises InputError when it names none for signing, or one
    that is not there.
    """
    line = profile.auth_local_line or profile.line
    use = next((use for use in profile.trustpoints if use.use != "verify"), None)
    if use is None:
        raise InputError(
            f"authentication local {profile.auth_local} of profile {profile.name} needs a certificate, and the profile"
            " names no trustpoint to sign with; 'pki trustpoint NAME' is needed",
            where(line),
        )
    if use.name not in config.trustpoints:
        if not config.trustpoints:
            raise InputError(
                f"unknown trustpoint '{use.name}': {config.file} has no 'crypto pki trustpoint'", where(use.line)
            )
        raise unknown_name("trustpoint", use.name, config.trustpoints, where(use.line))
    return config.trustpoints[use.name]


def subject_name(config: RouterConfig, trustpoint: Trustpoint) -> str:
    """Return the distinguished name of a trustpoint's certificate.

    Without ``subject-name`` IOS asks for a name that holds the router's own, as ``hostname=R1.example.net``.
    """
    if trustpoint.subject_name:
        return trustpoint.subject_name
    own = f"{config.hostname}.{config.domain_name}" if config.domain_name else config.hostname
    return f"hostname={own if trustpoint.fqdn in (None, 'none') else trustpoint.fqdn}"


def local_identity(config: RouterConfig, profile: Profile) -> Identity:
    """Return what the router calls itself in this profile. Raises InputError.

    When nothing is said: with a certificate its distinguished name, else the address it sends from (fact sheet 0.13,
    A.5).
    """
    rule = profile.identity_local
    signs = profile.auth_local in SIGNATURE_KEYS
    if rule is not None and rule.kind == "dn" and not signs:
        methods = ", ".join(SIGNATURE_KEYS)
        raise InputError(
            f"identity local dn needs a certificate; allowed: authentication local {methods}", where(rule.line)
        )
    if rule is not None and rule.kind != "any" and rule.value:
        if rule.kind == "address":
            _address(rule)
        return Identity(rule.kind, rule.value)
    if signs:
        return Identity("dn", subject_name(config, signing_trustpoint(config, profile)))
    for interface in config.interfaces.values():
        if interface.is_tunnel and interface.tunnel_source is not None:
            try:
                return Identity("address", str(source_address(config, interface)))
            except InputError:
                continue
    addresses = [a.ip for i in config.interfaces.values() if not i.is_tunnel for a in i.addresses]
    return Identity("address", str(addresses[0]) if addresses else "0.0.0.0")


def accepted(rule: IdentityRule) -> IdentityMatch:
    """Return one ``match identity remote``. Raises InputError for what is no address."""
    if rule.kind == "address" and ":" in rule.value:
        prefix = f"{rule.value}/{rule.mask or 128}"
        return IdentityMatch("address", rule.value, network=ip_network(prefix, strict=False))
    if rule.kind == "address":
        _address(rule)
        # 0.0.0.0 without a mask stands for every address, any other address for itself.
        mask = rule.mask or ("0.0.0.0" if rule.value == "0.0.0.0" else "255.255.255.255")
        return IdentityMatch("address", rule.value, network=IPv4Network(f"{rule.value}/{mask}", strict=False))
    return IdentityMatch(rule.kind, rule.value, rule.domain)


def _address(rule: IdentityRule) -> IpAddress:
    try:
        return ip_address(rule.value)
    except ValueError:
        raise InputError(f"identity address {rule.value}: an IP address is needed", where(rule.line)) from None
