"""What an IOS configuration says, as typed objects. Every setting remembers the line that it came from.

A field is None (or an empty list) when the configuration does not set it; defaults of the platform belong to the
implementation profile and to ``to_ikev2``, so that "not configured" stays visible to the linter and to ``show``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal

from ..secret import Secret
from .aaa_config import AaaConfig

IdentityKind = Literal["address", "fqdn", "email", "dn", "key-id", "any"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a configuration; ``text`` has every secret replaced by ``<secret>``."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number} '{self.text}'"


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """``identity local ...`` or one ``match identity remote ...``.

    ``domain`` is True for ``fqdn domain X`` / ``email domain X``; ``mask`` only for addresses.
    """

    kind: IdentityKind
    value: str
    line: Line
    domain: bool = False
    mask: str | None = None


@dataclass(slots=True)
class Proposal:
    """``crypto ikev2 proposal NAME``; algorithm names as in ``models/algorithms.py`` (``aes-cbc-256``, ``sha512``)."""

    name: str
    line: Line
    encryption: list[str] = field(default_factory=list)
    integrity: list[str] = field(default_factory=list)
    prf: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Policy:
    """``crypto ikev2 policy NAME``."""

    name: str
    line: Line
    fvrf: str | None = None
    match_address_local: list[IPv4Address] = field(default_factory=list)
    proposals: list[str] = field(default_factory=list)
    proposal_lines: dict[str, Line] = field(default_factory=dict)


@dataclass(slots=True)
class KeyringPeer:
    """``peer NAME`` of a keyring. ``network`` and ``network_v6`` None: no address. Keys None: not set."""

    name: str
    line: Line
    network: IPv4Network | None = None
    hostname: str | None = None
    identity: IdentityRule | None = None
    local_key: Secret | None = None
    remote_key: Secret | None = None
    local_key_line: Line | None = None
    remote_key_line: Line | None = None
    address_line: Line | None = None
    network_v6: IPv6Network | None = None
    #: ``ppk manual id ID key KEY [required]``; ``ppk_dynamic``: keys from a SKIP server instead.
    ppk_id: str = ""
    ppk_key: Secret | None = None
    ppk_required: bool = False
    ppk_dynamic: bool = False
    ppk_line: Line | None = None


@dataclass(slots=True)
class Keyring:
    """``crypto ikev2 keyring NAME``."""

    name: str
    line: Line
    peers: list[KeyringPeer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dpd:
    """``dpd INTERVAL RETRY MODE``. [s], [s]"""

    interval_s: int
    retry_s: int
    mode: Literal["periodic", "on-demand"]
    line: Line


KeyKind = Literal["rsa", "ecdsa", "mldsa"]
#: Fields of a certificate that a certificate map can test.
CertificateField = Literal[
    "subject-name",
    "issuer-name",
    "alt-subject-name",
    "unstructured-subject-name",
    "name",
    "serial-number",
    "expires-on",
    "valid-start",
]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``rsakeypair LABEL [BITS]``, ``eckeypair LABEL``, ``mldsakeypair LABEL [SET]`` of a trustpoint, or ``crypto key
    generate``. ``size``: modulus, curve or parameter set (44, 65, 87); None: not said.
    """

    kind: KeyKind
    label: str
    size: int | None
    line: Line


@dataclass(slots=True)
class Trustpoint:
    """``crypto pki trustpoint NAME``: a CA, and the certificate that the router has from it.

    ``enrollment`` is the word behind it (``url``, ``terminal``, ``pkcs12``, ``selfsigned`` ...), ``enrollment_url``
    where the CA is; both empty: not said. ``fqdn`` ``none``: left out of the certificate.
    """

    name: str
    line: Line
    enrollment: str = ""
    enrollment_url: str = ""
    subject_name: str = ""
    fqdn: str | None = None
    key: KeyPair | None = None
    revocation_check: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One ``certificate [ca|self-signed] SERIAL`` of a chain. ``der_bytes``: its length; 0: the body is not there."""

    kind: Literal["identity", "ca", "self-signed"]
    der_bytes: int
    line: Line


@dataclass(slots=True)
class CertificateChain:
    """``crypto pki certificate chain NAME``: what a trustpoint of this name holds. Contents are not kept."""

    name: str
    line: Line
    certificates: list[StoredCertificate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """One test of a certificate map: ``eq`` equal, ``ne`` not equal, ``co`` contains, ``nc`` does not contain."""

    field: CertificateField
    operator: Literal["eq", "ne", "co", "nc", "lt", "ge"]
    value: str
    line: Line


@dataclass(slots=True)
class CertificateMapEntry:
    """``crypto pki certificate map NAME SEQUENCE``: all of its rules must hold."""

    sequence: int
    line: Line
    rules: list[CertificateRule] = field(default_factory=list)


@dataclass(slots=True)
class CertificateMap:
    """All entries of a certificate map, by sequence number; one that holds is enough."""

    name: str
    line: Line
    entries: dict[int, CertificateMapEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrustpointUse:
    """``pki trustpoint NAME [sign|verify]`` of a profile; ``use`` empty: for both."""

    name: str
    use: Literal["", "sign", "verify"]
    line: Line


@dataclass(frozen=True, slots=True)
class Authorization:
    """``aaa authorization {user|group} METHOD ...`` of a profile: where a peer's rights are looked up.

    ``aaa_list`` is empty for ``cached``; ``name`` is empty when a name-mangler makes it of the peer's identity.
    """

    scope: Literal["user", "group"]
    method: Literal["psk", "cert", "eap", "anyconnect-eap"]
    aaa_list: str
    name: str
    line: Line
    #: Name of the name-mangler, empty without one.
    mangler: str = ""
    #: ``override``: these rights win over those of the other scope.
    override: bool = False


@dataclass(frozen=True, slots=True)
class EapLogin:
    """``authentication local eap METHOD username U password P``; empty or None: not said."""

    method: str = ""
    user: str = ""
    password: Secret | None = None


@dataclass(slots=True)
class Profile:
    """``crypto ikev2 profile NAME``.

    ``auth_remote``/``auth_local`` hold the method words (``pre-share``, ``rsa-sig``, ``ecdsa-sig``, ``eap`` ...);
    ``inline_local_key``/``inline_remote_key`` are ``authentication ... pre-share key``.
    """

    name: str
    line: Line
    match_identity_remote: list[IdentityRule] = field(default_factory=list)
    #: ``match certificate MAP``: alternatives to ``match_identity_remote``.
    match_certificate: str | None = None
    match_certificate_line: Line | None = None
    match_address_local: list[str] = field(default_factory=list)
    identity_local: IdentityRule | None = None
    auth_local: str | None = None
    auth_local_line: Line | None = None
    auth_remote: list[str] = field(default_factory=list)
    auth_remote_line: Line | None = None
    #: ``authentication remote eap query-identity``: the user is who EAP-Identity says, not the IKE identity.
    eap_query_identity: bool = False
    #: ``authentication remote eap timeout``.
    eap_timeout_s: int | None = None
    eap_login: EapLogin = EapLogin()
    inline_local_key: Secret | None = None
    inline_remote_key: Secret | None = None
    keyring: str | None = None
    keyring_line: Line | None = None
    keyring_aaa: str | None = None
    keyring_ppk: str | None = None
    keyring_ppk_line: Line | None = None
    keyring_aaa_line: Line | None = None
    keyring_aaa_mangler: str = ""
    #: ``aaa accounting METHOD LIST`` by method, and ``aaa authentication eap LIST``.
    accounting: dict[str, tuple[str, Line]] = field(default_factory=dict)
    authentication_eap: tuple[str, Line] | None = None
    trustpoints: list[TrustpointUse] = field(default_factory=list)
    authorizations: list[Authorization] = field(default_factory=list)
    lifetime_s: int | None = None
    #: ``lifetime certificate``: the IKE SA ends with the peer's certificate.
    lifetime_certificate: bool = False
    dpd: Dpd | None = None
    virtual_template: int | None = None
    virtual_template_line: Line | None = None
    config_exchange_request: bool | None = None
    #: ``config-exchange set send`` and ``accept``; ``nat keepalive``, ``nat force-encap``. None: not said.
    config_set_send: bool | None = None
    config_set_accept: bool | None = None
    nat_keepalive_s: int | None = None
    nat_force_encap: bool = False
    shutdown: bool = False
    #: ``virtual-template N mode auto``: the tunnel mode (GRE or IPsec, IPv4 or IPv6) follows what the peer asks for.
    virtual_template_mode_auto: bool = False


@dataclass(slots=True)
class TransformSet:
    """``crypto ipsec transform-set NAME ...``; ``encryption`` and ``integrity`` as in ``models/algorithms.py``.

    ``integrity`` is empty for an AEAD cipher; ``ah`` is the integrity name of an AH transform, else empty.
    """

    name: str
    line: Line
    encryption: str = ""
    integrity: str = ""
    ah: str = ""
    mode: Literal["tunnel", "transport"] = "tunnel"
    transport_required: bool = False
    esn: bool = False


@dataclass(slots=True)
class IpsecProfile:
    """``crypto ipsec profile NAME``. ``replay_window`` 0: disabled; ``lifetime_kilobytes`` 0: disabled."""

    name: str
    line: Line
    transform_sets: list[str] = field(default_factory=list)
    transform_set_line: Line | None = None
    ikev2_profile: str | None = None
    ikev2_profile_line: Line | None = None
    pfs_group: int | None = None
    pfs_line: Line | None = None
    lifetime_s: int | None = None
    lifetime_kilobytes: int | None = None
    replay_window: int | None = None
    responder_only: bool = False
    #: ``set isakmp-profile``: this IPsec profile is keyed by IKEv1.
    isakmp_profile: str | None = None


@dataclass(slots=True)
class Interface:
    """``interface NAME``; tunnels and virtual-templates are interfaces with ``tunnel_*`` set.

    ``name`` is the full name (``GigabitEthernet0/0/0``, ``Tunnel0``, ``Virtual-Template1``).
    ``tunnel_mode`` None: not configured (the default of IOS is ``gre ip``).
    ``tunnel_source`` is an interface name, an address or ``dynamic``; ``tunnel_destination`` an address, a name or
    ``dynamic``.
    """

    name: str
    line: Line
    description: str = ""
    addresses: list[IPv4Interface] = field(default_factory=list)
    addresses_v6: list[IPv6Interface] = field(default_factory=list)
    address_negotiated: bool = False
    unnumbered: str | None = None
    unnumbered_line: Line | None = None
    address_line: Line | None = None
    vrf: str | None = None
    shutdown: bool = False
    bandwidth_kbps: int | None = None
    ip_mtu: int | None = None
    adjust_mss: int | None = None
    tunnel_source: str | None = None
    tunnel_source_line: Line | None = None
    tunnel_destination: str | None = None
    tunnel_destination_line: Line | None = None
    tunnel_mode: str | None = None
    tunnel_mode_line: Line | None = None
    tunnel_vrf: str | None = None
    tunnel_key: int | None = None
    tunnel_protection: str | None = None
    tunnel_protection_line: Line | None = None
    tunnel_path_mtu_discovery: bool = False
    #: ``ip address dhcp``: the address is not in the configuration (``address_negotiated`` is for IKEv2 and PPP).
    address_dhcp: bool = False
    #: ``ip ospf N area A``: this interface's networks belong to the routing protocol, as by ``network``.
    ospf_process: str | None = None
    ospf_line: Line | None = None

    @property
    def is_tunnel(self) -> bool:
        """True for ``interface TunnelN``."""
        return self.name.startswith("Tunnel")

    @property
    def is_virtual_template(self) -> bool:
        """True for ``interface Virtual-TemplateN``."""
        return self.name.startswith("Virtual-Template")


@dataclass(frozen=True, slots=True)
class StaticRouteV6:
    """``ipv6 route PREFIX/N [IF] [NEXTHOP]``; a distance is not kept."""

    prefix: IPv6Network
    next_hop: IPv6Address | None
    interface: str | None
    line: Line


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """``ip route PREFIX MASK NEXTHOP|INTERFACE [distance]``."""

    prefix: IPv4Network
    next_hop: IPv4Address | None
    interface: str | None
    distance: int
    vrf: str | None
    line: Line


@dataclass(frozen=True, slots=True)
class NetworkStatement:
    """``network ADDRESS [WILDCARD]`` under a routing protocol (``eigrp 10``, ``bgp 65000``, ``ospf 1``).

    ``ip ospf N area A`` of an interface is one for each of its networks.
    """

    protocol: str
    prefix: IPv4Network
    line: Line


@dataclass(slots=True)
class RouterConfig:
    """One router's configuration. Dictionaries keep the order of the file."""

    file: str
    hostname: str
    hostname_line: Line | None = None
    version: str | None = None
    domain_name: str | None = None
    interfaces: dict[str, Interface] = field(default_factory=dict)
    routes: list[StaticRoute] = field(default_factory=list)
    routes_v6: list[StaticRouteV6] = field(default_factory=list)
    #: ``username NAME ... password|secret``: the router's own users.
    users: dict[str, Secret] = field(default_factory=dict)
    network_statements: list[NetworkStatement] = field(default_factory=list)
    routing_protocols: list[str] = field(default_factory=list)
    proposals: dict[str, Proposal] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    keyrings: dict[str, Keyring] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    transform_sets: dict[str, TransformSet] = field(default_factory=dict)
    ipsec_profiles: dict[str, IpsecProfile] = field(default_factory=dict)
    dpd: Dpd | None = None
    fragmentation_mtu: int | None = None
    cookie_challenge: int | None = None
    disconnect_revoked_peers: bool = False
    window: int | None = None
    max_in_negotiation: dict[str, int] = field(default_factory=dict)
    #: ``crypto ikev2 limit queue sa-init``; ``crypto ikev2 nat keepalive``; redirections that it follows. [1], [s], [1]
    sa_init_queue: int | None = None
    nat_keepalive_s: int | None = None
    max_redirects: int | None = None
    max_sa: int | None = None
    ipsec_lifetime_s: int | None = None
    ipsec_lifetime_kilobytes: int | None = None
    ipsec_replay_window: int | None = None
    #: ``crypto ipsec fragmentation after-encryption``; by default packets are cut before encryption.
    fragments_after_encryption: bool = False
    #: ``crypto ipsec df-bit``: DF of the outer packet.
    df_bit: Literal["copy", "set", "clear"] = "copy"
    trustpoints: dict[str, Trustpoint] = field(default_factory=dict)
    certificate_chains: dict[str, CertificateChain] = field(default_factory=dict)
    certificate_maps: dict[str, CertificateMap] = field(default_factory=dict)
    #: ``crypto key generate`` of paste scripts, by kind and label; the label is empty for the router's own key.
    key_pairs: dict[tuple[KeyKind, str], KeyPair] = field(default_factory=dict)
    #: Smart defaults that were switched off: ``proposal``, ``policy``, ``transform-set``, ``ipsec profile``.
    removed_defaults: list[str] = field(default_factory=list)
    aaa: AaaConfig = field(default_factory=AaaConfig)
    #: Lines that were read and not understood, in order; they are listed by ``lint`` as notes, never silently lost.
    unknown_lines: list[Line] = field(default_factory=list)
