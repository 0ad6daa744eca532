"""Reading IOS configurations: every shape that real files have, every fault named with its line, no secret shown."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flexvpn_sim as fv
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ios.config import RouterConfig
from flexvpn_sim.models.ios.names import interface_name
from flexvpn_sim.models.ios.reader import read_folder, read_router
from flexvpn_sim.models.secret import Secret

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "experiments" / "paper"
LABS = ROOT.parent / "shared" / "data" / "configs"
needs_labs = pytest.mark.skipif(not LABS.is_dir(), reason="needs ../shared (third-party configurations)")

Read = Callable[..., RouterConfig]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads a configuration given as text."""

    def read_text(text: str, name: str = "R1.cfg") -> RouterConfig:
        path = tmp_path / name
        path.write_text(text)
        return read_router(path)

    return read_text


def refusal(read: Read, text: str) -> str:
    """Return the message with which a configuration is refused."""
    with pytest.raises(InputError) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the whole of a configuration -----------------------------------------------------------------------------------


def test_the_papers_headquarters_is_read_in_full() -> None:
    hq = read_router(PAPER / "working" / "HQ.cfg")
    assert (hq.hostname, hq.version, hq.domain_name) == ("HQ", "16.9", "cptl.local")
    assert hq.interfaces["GigabitEthernet0/0/0"].addresses == [IPv4Interface("158.83.133.194/30")]
    assert not hq.interfaces["GigabitEthernet0/0/0"].shutdown
    proposal = hq.proposals["IKEPROPOSAL"]
    assert (proposal.encryption, proposal.integrity, proposal.prf, proposal.groups) == (
        ["aes-cbc-256"],
        ["sha512"],
        [],
        [14],
    )
    assert hq.policies["IKEPOLICY"].match_address_local == [IPv4Address("158.83.133.194")]
    assert hq.policies["IKEPOLICY"].proposals == ["IKEPROPOSAL"]
    peer = hq.keyrings["KEYRING"].peers[0]
    assert peer.network == IPv4Network("158.83.133.225/32")
    assert (peer.identity.kind, peer.identity.value) == ("fqdn", "icpedger02.cptl.local")
    assert (peer.local_key, peer.remote_key) == (Secret("HQkey12345"), Secret("SITE1key12345"))
    profile = hq.profiles["IKEPROFILE"]
    assert (profile.identity_local.kind, profile.identity_local.value) == ("fqdn", "HQ.cptl.local")
    assert (profile.auth_local, profile.auth_remote, profile.keyring) == ("pre-share", ["pre-share"], "KEYRING")
    assert profile.dpd is None
    assert profile.lifetime_s is None
    transforms = hq.transform_sets["TSET"]
    assert (transforms.encryption, transforms.integrity, transforms.mode) == ("aes-cbc-256", "sha512", "tunnel")
    ipsec = hq.ipsec_profiles["IPSECPROFILE"]
    assert (ipsec.transform_sets, ipsec.ikev2_profile, ipsec.pfs_group) == (["TSET"], "IKEPROFILE", None)
    tunnel = hq.interfaces["Tunnel0"]
    assert (tunnel.unnumbered, tunnel.tunnel_source) == ("Loopback10", "GigabitEthernet0/0/0")
    assert (tunnel.tunnel_destination, tunnel.tunnel_mode) == ("158.83.133.225", "ipsec ipv4")
    assert (tunnel.tunnel_protection, tunnel.tunnel_path_mtu_discovery) == ("IPSECPROFILE", True)
    assert hq.routes[0].next_hop == IPv4Address("158.83.133.193")
    assert (hq.network_statements[0].protocol, hq.network_statements[0].prefix) == (
        "eigrp 10",
        IPv4Network("1.1.1.1/32"),
    )
    assert hq.unknown_lines == []


def test_every_setting_remembers_its_line() -> None:
    published = read_router(PAPER / "published" / "HQ.cfg")
    identity = published.profiles["IKEPROFILE"].identity_local
    assert str(identity.line) == f"HQ.cfg:{identity.line.number} 'identity local email HQ.cptl.local'"
    text = (PAPER / "published" / "HQ.cfg").read_text().splitlines()
    assert text[identity.line.number - 1].strip() == identity.line.text


FULL = """\
hostname HUB
crypto ikev2 proposal P
 encryption aes-gcm-256 aes-gcm-128
 prf sha512 sha384
 group 19 20
crypto ikev2 policy POL
 match fvrf any
 match address local 192.0.2.1
 match address local 192.0.2.2
 proposal P
 proposal Q
crypto ikev2 keyring K
 peer ONE
  address 10.0.0.0 255.255.255.0
  hostname one.example.net
  pre-shared-key both-ways
 peer SIX
  address 2001:db8::7/128
  pre-shared-key local 6 ABCDEF
  pre-shared-key remote hex 00ff
crypto ikev2 profile PROF
 match identity remote address 10.0.0.0 255.255.255.0
 match identity remote email domain example.net
 match identity remote key-id group1
 match identity remote any
 match certificate MAP
 match address local interface gi1
 identity local dn
 authentication remote rsa-sig
 authentication remote eap query-identity
 authentication local pre-share key inline-key
 keyring aaa LIST
 pki trustpoint TP
 pki trustpoint CA verify
 aaa authorization group override psk list LIST default password hidden
 aaa authorization user cert cached
 aaa authorization user eap list LIST name-mangler MANGLER
 lifetime 3600
 dpd 10 3 periodic
 virtual-template 4 mode auto
 no config-exchange request
 shutdown
crypto ikev2 dpd 30 5 on-demand
crypto ikev2 fragmentation mtu 1400
crypto ikev2 cookie-challenge 100
crypto ikev2 window 5
crypto ikev2 limit max-in-negotation-sa 60 incoming
crypto ikev2 limit max-in-negotation-sa 80 outgoing
crypto ikev2 limit max-sa 500
crypto ipsec security-association lifetime seconds 7200
crypto ipsec security-association lifetime kilobytes 10000
crypto ipsec security-association replay window-size 1024
crypto ipsec transform-set T esp-gcm 256
 mode transport require
 esn
crypto ipsec transform-set U ah-sha256-hmac esp-null
crypto ipsec profile I
 set transform-set T U
 set pfs group19
 set security-association lifetime seconds 600
 set security-association lifetime kilobytes disable
 set security-association replay disable
 set isakmp-profile OLD
 responder-only
crypto pki trustpoint TP
 enrollment terminal
 subject-name cn="hub.example.net";o=Example Networks, c=DE
 fqdn hub.example.net
 rsakeypair HUB-KEY 3072
 revocation-check crl none
 hash sha256
crypto ca trustpoint CA
 enrollment mode ra
 enrollment url HTTP://ca.example.net:80/
 eckeypair EC
 auto-enroll 80
crypto pki certificate map MAP 10
 subject-name co o = example networks
 issuer-name nc ou = guests
crypto pki certificate map MAP 20
 alt-subject-name eq spoke.example.net
crypto pki certificate chain TP
 certificate 0A
  30820102 03040506 0708
  090A0B
  quit
 certificate ca 01 nvram:CA.cer
crypto key generate ec keysize 384 label EC
interface Virtual-Template4 type tunnel
 vrf forwarding IN
 ip unnumbered Loopback1
 ip mtu 1400
 ip tcp adjust-mss 1360
 bandwidth 100000
 tunnel vrf OUT
 tunnel key 7
 tunnel mode gre ip
interface GigabitEthernet1
 ip address 192.0.2.1 255.255.255.0
 ip address 192.0.2.9 255.255.255.0 secondary
 ipv6 address 2001:db8::1/64
 shutdown
interface GigabitEthernet2
 ip address dhcp
ip route vrf OUT 0.0.0.0 0.0.0.0 GigabitEthernet1 192.0.2.254 250 name DEFAULT
"""


def test_the_whole_grammar_arrives_in_the_typed_objects(read: Read) -> None:
    hub = read(FULL)
    assert hub.proposals["P"].encryption == ["aes-gcm-256", "aes-gcm-128"]
    assert (hub.proposals["P"].prf, hub.proposals["P"].groups) == (["sha512", "sha384"], [19, 20])
    assert hub.policies["POL"].fvrf == "any"
    assert [str(a) for a in hub.policies["POL"].match_address_local] == ["192.0.2.1", "192.0.2.2"]
    assert hub.policies["POL"].proposals == ["P", "Q"]
    one, six = hub.keyrings["K"].peers
    assert (one.network, one.hostname) == (IPv4Network("10.0.0.0/24"), "one.example.net")
    assert one.local_key == one.remote_key == Secret("both-ways")
    assert six.network_v6 == IPv6Network("2001:db8::7/128")
    assert (six.local_key, six.remote_key) == (Secret("ABCDEF"), Secret(b"\x00\xff"))
    profile = hub.profiles["PROF"]
    assert [(r.kind, r.value, r.domain, r.mask) for r in profile.match_identity_remote] == [
        ("address", "10.0.0.0", False, "255.255.255.0"),
        ("email", "example.net", True, None),
        ("key-id", "group1", False, None),
        ("any", "", False, None),
    ]
    assert (profile.match_certificate, profile.match_address_local) == ("MAP", ["GigabitEthernet1"])
    assert (profile.identity_local.kind, profile.auth_local) == ("dn", "pre-share")
    assert (profile.inline_local_key, profile.auth_remote) == (Secret("inline-key"), ["rsa-sig", "eap"])
    assert (profile.keyring, profile.keyring_aaa) == (None, "LIST")
    assert [(use.name, use.use) for use in profile.trustpoints] == [("TP", ""), ("CA", "verify")]
    assert [(a.scope, a.method, a.aaa_list, a.name) for a in profile.authorizations] == [
        ("group", "psk", "LIST", "default"),
        ("user", "cert", "", ""),
        ("user", "eap", "LIST", ""),
    ]
    assert (profile.lifetime_s, profile.dpd.interval_s, profile.dpd.retry_s) == (3600, 10, 3)
    assert (profile.dpd.mode, profile.virtual_template, profile.virtual_template_mode_auto) == ("periodic", 4, True)
    assert (profile.config_exchange_request, profile.shutdown) == (False, True)
    assert (hub.dpd.interval_s, hub.fragmentation_mtu, hub.cookie_challenge, hub.window) == (30, 1400, 100, 5)
    assert (hub.max_in_negotiation, hub.max_sa) == ({"incoming": 60, "outgoing": 80}, 500)
    assert (hub.ipsec_lifetime_s, hub.ipsec_lifetime_kilobytes, hub.ipsec_replay_window) == (7200, 10000, 1024)
    transforms = hub.transform_sets["T"]
    assert (transforms.encryption, transforms.mode) == ("aes-gcm-256", "transport")
    assert (transforms.transport_required, transforms.esn) == (True, True)
    assert (hub.transform_sets["U"].encryption, hub.transform_sets["U"].ah) == ("null", "sha256")
    ipsec = hub.ipsec_profiles["I"]
    assert (ipsec.transform_sets, ipsec.pfs_group, ipsec.lifetime_s) == (["T", "U"], 19, 600)
    assert (ipsec.lifetime_kilobytes, ipsec.replay_window, ipsec.responder_only) == (0, 0, True)
    assert (ipsec.isakmp_profile, list(hub.trustpoints)) == ("OLD", ["TP", "CA"])
    tp, ca = hub.trustpoints.values()
    assert (tp.enrollment, tp.enrollment_url, tp.fqdn) == ("terminal", "", "hub.example.net")
    assert tp.subject_name == "cn=hub.example.net,o=Example Networks,c=DE"
    assert (tp.key.kind, tp.key.label, tp.key.size) == ("rsa", "HUB-KEY", 3072)
    assert tp.revocation_check == ["crl", "none"]
    assert (ca.enrollment_url, ca.key.kind, ca.key.size) == ("http://ca.example.net", "ecdsa", None)
    assert hub.key_pairs["ecdsa", "EC"].size == 384
    first, second = hub.certificate_maps["MAP"].entries.values()
    assert [(r.field, r.operator, r.value) for r in first.rules] == [
        ("subject-name", "co", "o = example networks"),
        ("issuer-name", "nc", "ou = guests"),
    ]
    assert [(r.field, r.operator) for r in second.rules] == [("alt-subject-name", "eq")]
    chain = hub.certificate_chains["TP"]
    assert [(c.kind, c.der_bytes) for c in chain.certificates] == [("identity", 13), ("ca", 0)]
    template = hub.interfaces["Virtual-Template4"]
    assert template.is_virtual_template
    assert (template.vrf, template.unnumbered, template.ip_mtu, template.adjust_mss) == ("IN", "Loopback1", 1400, 1360)
    assert (template.bandwidth_kbps, template.tunnel_vrf, template.tunnel_key) == (100000, "OUT", 7)
    assert template.tunnel_mode == "gre ip"
    outside = hub.interfaces["GigabitEthernet1"]
    assert [str(a) for a in outside.addresses] == ["192.0.2.1/24", "192.0.2.9/24"]
    assert (outside.addresses_v6, outside.shutdown) == ([IPv6Interface("2001:db8::1/64")], True)
    assert hub.interfaces["GigabitEthernet2"].address_dhcp
    route = hub.routes[0]
    assert (route.vrf, route.interface, str(route.next_hop), route.distance) == (
        "OUT",
        "GigabitEthernet1",
        "192.0.2.254",
        250,
    )
    assert [line.text for line in hub.unknown_lines] == ["auto-enroll 80"]


@pytest.mark.parametrize(
    ("transform", "encryption", "integrity"),
    [
        ("esp-aes 256 esp-sha512-hmac", "aes-cbc-256", "sha512"),
        ("esp-aes esp-sha-hmac", "aes-cbc-128", "sha1"),
        ("esp-aes 192 esp-sha384-hmac", "aes-cbc-192", "sha384"),
        ("esp-gcm", "aes-gcm-128", ""),
        ("esp-gcm 256", "aes-gcm-256", ""),
        ("esp-gmac 192", "aes-gmac-192", ""),
        ("esp-3des esp-md5-hmac", "3des", "md5"),
        ("esp-des esp-sha256-hmac", "des", "sha256"),
        ("esp-null esp-sha-hmac", "null", "sha1"),
    ],
)
def test_transforms_get_the_names_of_the_algorithms_module(
    read: Read, transform: str, encryption: str, integrity: str
) -> None:
    transforms = read(f"crypto ipsec transform-set T {transform}\n").transform_sets["T"]
    assert (transforms.encryption, transforms.integrity) == (encryption, integrity)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("g0/0/0", "GigabitEthernet0/0/0"),
        ("gi0/0.10", "GigabitEthernet0/0.10"),
        ("te1/0/1", "TenGigabitEthernet1/0/1"),
        ("fa0/0", "FastEthernet0/0"),
        ("e1/0", "Ethernet1/0"),
        ("l10", "Loopback10"),
        ("tun0", "Tunnel0"),
        ("virtual-template1", "Virtual-Template1"),
        ("vl12", "Vlan12"),
        ("s2/0", "Serial2/0"),
        ("po1", "Port-channel1"),
        ("outside", "outside"),
    ],
)
def test_interface_names_are_written_in_full(short: str, full: str) -> None:
    assert interface_name(short) == full


# --- shapes -----------------------------------------------------------------------------------------------------------

SHAPED = """\
crypto ikev2 keyring K
 peer A
  address 192.0.2.1
  pre-shared-key local one
  pre-shared-key remote two
 !
 peer B
  address 192.0.2.2
  pre-shared-key three

crypto ikev2 profile P
 match identity remote address 192.0.2.1
!
 authentication local pre-share
 authentication remote pre-share
 keyring local K
interface Tunnel0
 ip address 10.0.0.1 255.255.255.252
 tunnel source GigabitEthernet0/0
 tunnel destination 192.0.2.1
router eigrp 10
 network 10.0.0.0
hostname R9
"""


def shape_of(router: RouterConfig) -> tuple[object, ...]:
    """Return what SHAPED says, without line numbers."""
    tunnel, profile = router.interfaces["Tunnel0"], router.profiles["P"]
    peers = [(p.name, str(p.network), p.local_key, p.remote_key) for p in router.keyrings["K"].peers]
    statements = [(s.protocol, str(s.prefix)) for s in router.network_statements]
    rules = [r.value for r in profile.match_identity_remote]
    return (
        router.hostname,
        peers,
        (rules, profile.auth_local, profile.auth_remote, profile.keyring),
        (tunnel.addresses, tunnel.tunnel_source, tunnel.tunnel_destination),
        statements,
        [line.text for line in router.unknown_lines],
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n ", "\n\t").replace("\t ", "\t\t"),
        lambda text: "".join(f"    {line}\n" for line in text.splitlines()),
        lambda text: "".join(f"{line.strip()}\n" for line in text.splitlines()),
        lambda text: text.replace("  address", " address").replace("  pre-shared", " pre-shared"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: f"conf t\n{text.replace('interface', 'exit' + chr(10) + 'interface')}end\n",
        lambda text: (
            text.replace("pre-shared-key local", "pre-sh lo")
            .replace("interface Tunnel0", "int tun 0")
            .replace("ip address", "ip addr")
            .replace("tunnel sou", "tun sou")
            .replace("GigabitEthernet0/0", "gi0/0")
            .replace("destination", "dest")
            .replace("router eigrp", "router eig")
            .replace("authentication local pre-share", "auth loc pre-sh")
            .replace("hostname", "ho")
        ),
        lambda text: text.replace("keyring local K", "keyring local K   ! the keys"),
        lambda text: "banner motd ^C\nhostname WRONG\ninterface Tunnel0\n^C\n" + text,
        lambda text: "banner login #hostname WRONG#\n" + text,
        lambda text: "crypto pki certificate chain X\n certificate ca 01\n  30820122 300D0609\n  quit\n" + text,
    ],
    ids=[
        "tabs",
        "indented throughout",
        "no indentation",
        "peer at the depth of its commands",
        "carriage returns",
        "byte order mark",
        "exit, conf t and end",
        "abbreviations",
        "trailing comment",
        "banner",
        "banner on one line",
        "certificate",
    ],
)
def test_every_shape_says_the_same(read: Read, change: Callable[[str], str]) -> None:
    plain, shaped = shape_of(read(SHAPED)), shape_of(read(change(SHAPED)))
    certificate = ["crypto pki certificate chain X", "certificate ca 01"]
    assert [item for item in shaped[-1] if item not in certificate] == plain[-1]
    assert shaped[:-1] == plain[:-1]


def test_sections_entered_twice_are_merged(read: Read) -> None:
    router = read("interface Tunnel0\n ip mtu 1400\nhostname X\ninterface Tunnel0\n tunnel key 5\n")
    assert (router.interfaces["Tunnel0"].ip_mtu, router.interfaces["Tunnel0"].tunnel_key) == (1400, 5)
    assert router.interfaces["Tunnel0"].line.number == 1


def test_a_list_entered_again_replaces_the_old_one(read: Read) -> None:
    text = "crypto ikev2 proposal P\n encryption 3des\ncrypto ikev2 proposal P\n encryption aes-cbc-256 aes-cbc-192\n"
    assert read(text).proposals["P"].encryption == ["aes-cbc-256", "aes-cbc-192"]


def test_no_takes_back_what_was_configured(read: Read) -> None:
    router = read(FULL + REMOVALS)
    assert "P" not in router.proposals
    assert router.policies["POL"].proposals == ["Q"]
    assert [peer.name for peer in router.keyrings["K"].peers] == ["SIX"]
    assert router.keyrings["K"].peers[0].local_key is None
    assert [rule.kind for rule in router.profiles["PROF"].match_identity_remote] == ["address", "email", "key-id"]
    assert router.profiles["PROF"].dpd is None
    assert not router.profiles["PROF"].shutdown
    assert router.ipsec_profiles["I"].pfs_group is None
    assert router.ipsec_profiles["I"].lifetime_kilobytes is None
    assert "T" not in router.transform_sets
    assert router.interfaces["GigabitEthernet1"].addresses == []
    assert "GigabitEthernet2" not in router.interfaces
    assert (router.routes, router.fragmentation_mtu, list(router.trustpoints)) == ([], None, ["CA"])
    assert (router.certificate_chains, list(router.certificate_maps["MAP"].entries)) == ({}, [20])
    assert [use.name for use in router.profiles["PROF"].trustpoints] == ["TP"]
    assert [a.method for a in router.profiles["PROF"].authorizations] == ["psk", "eap"]


REMOVALS = """\
no crypto ikev2 proposal P
crypto ikev2 policy POL
 no proposal P
crypto ikev2 keyring K
 no peer ONE
 peer SIX
  no pre-shared-key local
crypto ikev2 profile PROF
 no match identity remote any
 no dpd 10 3 periodic
 no pki trustpoint CA verify
 no aaa authorization user cert cached
 no shutdown
crypto ipsec profile I
 no set pfs
 no set security-association lifetime kilobytes
no crypto ipsec transform-set T
no crypto ikev2 fragmentation
no crypto pki trustpoint TP
no crypto pki certificate chain TP
no crypto pki certificate map MAP 10
interface GigabitEthernet1
 no ip address
no interface GigabitEthernet2
no ip route vrf OUT 0.0.0.0 0.0.0.0
"""


def test_removed_smart_defaults_are_remembered_until_they_are_defined(read: Read) -> None:
    text = "no crypto ikev2 proposal default\nno crypto ipsec transform-set default\nno crypto ipsec profile default\n"
    assert read(text).removed_defaults == ["proposal", "transform-set", "ipsec profile"]
    assert read(text + "crypto ikev2 proposal default\n group 19\n").removed_defaults == [
        "transform-set",
        "ipsec profile",
    ]


def test_commands_of_sections_that_are_not_modelled_change_nothing(read: Read) -> None:
    text = (
        "crypto ikev2 proposal P\n group 19\ncrypto isakmp policy 10\n group 2\n encryption 3des\n"
        "router rip\n version 2\n"
        "interface Tunnel0\n service instance 1 ethernet\n  description inner\n description outer\n"
        "crypto map M 10 ipsec-isakmp\n description map\n set transform-set X\nline vty 0 4\n description line\n"
    )
    router = read(text)
    assert (router.proposals["P"].groups, router.proposals["P"].encryption, router.version) == ([19], [], None)
    assert router.interfaces["Tunnel0"].description == "outer"
    assert "description inner" in [line.text for line in router.unknown_lines]


def test_sections_without_indentation_end_at_a_global_command(read: Read) -> None:
    text = "interface Tunnel0\nip mtu 1400\nvrf definition RED\nline vty 0 4\ndescription line\n"
    router = read(text)
    assert router.interfaces["Tunnel0"].ip_mtu == 1400
    assert router.interfaces["Tunnel0"].description == ""
    assert router.unknown_lines[0].text == "vrf definition RED"


def test_a_host_name_inside_a_peer_is_not_the_routers(read: Read) -> None:
    flat = "hostname R1\ncrypto ikev2 keyring K\npeer A\naddress 192.0.2.1\nhostname spoke_1\npre-shared-key x\n"
    router = read(flat)
    assert (router.hostname, router.keyrings["K"].peers[0].hostname) == ("R1", "spoke_1")


def test_a_mask_in_the_place_of_a_wildcard_is_taken_as_a_mask(read: Read) -> None:
    text = "router ospf 1\n network 10.1.1.0 255.255.255.0 area 0\n network 10.2.0.0 0.0.255.255 area 0\n"
    assert [str(s.prefix) for s in read(text).network_statements] == ["10.1.1.0/24", "10.2.0.0/16"]


def test_network_statements_of_every_protocol(read: Read) -> None:
    text = (
        "router bgp 65000\n address-family ipv4\n  network 10.5.1.0 mask 255.255.255.0\n exit-address-family\n"
        "router eigrp NAME\n address-family ipv4 unicast autonomous-system 1\n  network 192.168.10.0\n"
        "  topology base\n  exit-af-topology\n  network 172.16.1.0 0.0.0.255\n"
    )
    router = read(text)
    assert [(s.protocol, str(s.prefix)) for s in router.network_statements] == [
        ("bgp 65000", "10.5.1.0/24"),
        ("eigrp NAME", "192.168.10.0/24"),
        ("eigrp NAME", "172.16.1.0/24"),
    ]
    assert router.routing_protocols == ["bgp 65000", "eigrp NAME"]


def test_0_0_0_0_without_a_mask_is_every_address(read: Read) -> None:
    assert read("crypto ikev2 keyring K\n peer A\n  address 0.0.0.0\n").keyrings["K"].peers[0].network == IPv4Network(
        "0.0.0.0/0"
    )


def test_a_router_without_hostname_is_called_after_its_file(read: Read) -> None:
    assert read("interface Tunnel0\n", "branch-7.cfg").hostname == "branch-7"


def test_holes_of_templates_are_listed_as_not_understood(read: Read) -> None:
    router = read(
        "crypto ikev2 keyring K\n peer A\n  address ${hub}\ninterface Tunnel0\n tunnel destination {{ hub }}\n"
    )
    assert [line.text for line in router.unknown_lines] == ["address ${hub}", "tunnel destination {{ hub }}"]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("crypto ikev2 proposal P\n encryption aes-cbc-265\n", ["aes-cbc-265", "did you mean 'aes-cbc-256'", "3des"]),
        ("crypto ikev2 proposal P\n integrity sha-512\n", ["sha-512", "did you mean 'sha512'"]),
        ("crypto ikev2 proposal P\n group 22\n", ["group '22'", "Allowed: 1, 14"]),
        ("crypto ikev2 keyring K\n peer A\n  address 192.0.2.256\n", ["192.0.2.256", "IPv4 address"]),
        ("crypto ikev2 keyring K\n peer A\n  address 10.0.0.0 255.0.255.0\n", ["255.0.255.0", "gaps"]),
        ("crypto ikev2 keyring K\n peer A\n  pre-shared-key local\n", ["key is missing"]),
        ("crypto ikev2 keyring K\n peer A\n  identity ip 1.2.3.4\n", ["identity type 'ip'", "address, email, fqdn"]),
        ("crypto ikev2 profile P\n lifetime 60\n", ["'60'", "120 to 86400"]),
        ("crypto ikev2 profile P\n dpd 5 2 periodic\n", ["'5'", "10 to 3600"]),
        ("crypto ikev2 profile P\n dpd 10 2 sometimes\n", ["sometimes", "on-demand, periodic"]),
        ("crypto ikev2 profile P\n authentication local psk\n", ["'psk'", "pre-share"]),
        ("crypto ikev2 profile P\n virtual-template 5000\n", ["5000", "1 to 4095"]),
        ("crypto pki trustpoint T\n enrollment urll http://ca\n", ["'urll'", "did you mean 'url'"]),
        ("crypto pki certificate map M 0\n", ["'0'", "1 to 65535"]),
        ("crypto pki certificate map M 10\n subject-name has x\n", ["operator 'has'", "co, eq"]),
        ("crypto pki certificate map M 10\n subject-name co\n", ["incomplete"]),
        ("crypto ikev2 profile P\n pki trustpoint T seal\n", ["'seal'", "sign, verify"]),
        ("crypto ikev2 profile P\n aaa authorization user tls cached\n", ["'tls'", "psk"]),
        ("crypto ikev2 fragmentation mtu 9000\n", ["9000", "68 to 1500"]),
        ("crypto ikev2 cookie-challenge many\n", ["'many'", "0 to 1000"]),
        ("crypto ipsec transform-set T esp-aes 265 esp-sha-hmac\n", ["'265'", "did you mean '256'"]),
        ("crypto ipsec transform-set T esp-sha265-hmac\n", ["did you mean 'esp-sha256-hmac'"]),
        ("crypto ipsec transform-set T\n", ["incomplete"]),
        ("crypto ipsec profile I\n set pfs group3\n", ["'group3'", "group14"]),
        ("crypto ipsec profile I\n set security-association lifetime seconds 60\n", ["'60'", "120 to 2592000"]),
        ("interface Gi1\n ip address 10.0.0.1 255.255.0.255\n", ["255.255.0.255", "gaps"]),
        ("interface Gi1\n ip address 10.0.0.1\n", ["incomplete", "network mask"]),
        ("interface Gi1\n ipv6 address 2001:db8::1::2/64\n", ["IPv6 address", "2001:db8::1::2/64"]),
        ("interface Tunnel0\n tunnel destination 10.0.0.300\n", ["10.0.0.300"]),
        ("interface Tunnel0\n tunnel mode ipsec ipv5\n", ["'ipv5'", "ipv4"]),
        ("interface Tunnel0\n tunnel mode gre4 ip\n", ["gre4 ip", "did you mean 'gre ip'"]),
        ("ip route 10.0.0.1 255.255.255.0 192.0.2.1\n", ["10.0.0.1", "10.0.0.0/24"]),
        ("ip route 10.0.0.0 255.255.255.0\n", ["incomplete", "next hop"]),
        ("router eigrpp 10\n", ["eigrpp", "did you mean 'eigrp'"]),
    ],
)
def test_a_bad_value_is_refused_with_its_line_and_the_cure(read: Read, text: str, parts: list[str]) -> None:
    message = refusal(read, text)
    number = len(text.splitlines())
    assert f"R1.cfg:{number}: " in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "text", ["", "\n\n!\n", "Dear Sir,\nthe tunnel is down again.\n", "set vpn ipsec options flexvpn\n"]
)
def test_a_file_without_any_command_of_ios_is_refused(read: Read, text: str) -> None:
    assert "is not an IOS configuration" in refusal(read, text)


def test_a_folder_is_read_in_the_order_of_its_names_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("b.cfg", "a.txt", "c.CONF", "d.ios"):
        (tmp_path / name).write_text(f"hostname {name}\n")
    (tmp_path / "vyos.peer").write_text("set interfaces\n")
    (tmp_path / "README.md").write_text("# notes\n")
    (tmp_path / ".hidden.cfg").write_text("not IOS\n")
    (tmp_path / "folder.cfg").mkdir()
    assert [router.file for router in read_folder(tmp_path)] == ["a.txt", "b.cfg", "c.CONF", "d.ios"]


def folder_refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_missing_a_file_or_empty_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in folder_refusal(tmp_path / "nowhere")
    (tmp_path / "one.cfg").write_text("hostname ONE\n")
    assert "a folder of configurations is needed" in folder_refusal(tmp_path / "one.cfg")
    (tmp_path / "empty").mkdir()
    assert ".cfg, .conf, .ios, .txt" in folder_refusal(tmp_path / "empty")


def test_two_files_with_one_host_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("hostname HUB\n")
    (tmp_path / "b.cfg").write_text("hostname hub\n")
    assert "a.cfg and b.cfg are both called 'hub'" in folder_refusal(tmp_path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(b"hostname A\n\x00\x01")
    assert "binary file" in folder_refusal(tmp_path)


def test_reading_one_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_router(tmp_path / "nobody.cfg")


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRET = "Tr0ub4dor"
SECRET_LINES = [
    f"pre-shared-key {SECRET}",
    f"pre-shared-key local {SECRET}",
    f"pre-shared-key local {SECRET} and more {SECRET}",
    f"pre-shared-key remote 0 {SECRET}",
    f"pre-shared-key 6 {SECRET}",
    f"pre-share rem {SECRET}",
    f"pr {SECRET}",
    f"no pre-shared-key {SECRET}",
    f"pre-shared-key hex {SECRET}",
    f"pre-shared-key address 192.0.2.1 key {SECRET}",
    f"pre-shared-key hostname hub key 6 {SECRET}",
    f"authentication local pre-share key {SECRET}",
    f"authentication remote pre-share key 6 {SECRET}",
    f"authentication local eap mschapv2 username u password {SECRET}",
    f"ppk manual id X key {SECRET}",
    f"ppk manual id X key hex {SECRET} required",
    f"keyring aaa LIST password {SECRET}",
    f"crypto isakmp key {SECRET} address 192.0.2.1",
    f"crypto isakmp key 6 {SECRET} hostname hub",
    f"enable secret {SECRET}",
    f"enable secret 9 {SECRET}",
    f"enable password level 15 7 {SECRET}",
    f"ena sec {SECRET}",
    f"username bob privilege 15 password 0 {SECRET}",
    f"username bob algorithm-type scrypt secret {SECRET}",
    f"username bob pass {SECRET}",
    f"user bob priv 15 se {SECRET}",
    f"snmp-server community {SECRET} RO",
    f"snmp-server host 192.0.2.1 version 2c {SECRET}",
    f"snmp-server user u g v3 auth sha {SECRET} priv aes 128 {SECRET}",
    f"neighbor 192.0.2.1 password {SECRET}",
    f"neighbor 192.0.2.1 password 7 {SECRET}",
    f"password {SECRET}",
    f"key {SECRET}",
    f"key 7 {SECRET}",
    f"key-string {SECRET}",
    f"key-string 7 {SECRET}",
    f"tacacs-server key {SECRET}",
    f"radius-server host 192.0.2.1 key 7 {SECRET}",
    f"client 192.0.2.1 server-key {SECRET}",
    f"ip nhrp authentication {SECRET}",
    f"ip nhrp auth {SECRET}",
    f"ip ospf authentication-key {SECRET}",
    f"ip ospf message-digest-key 1 md5 {SECRET}",
    f"ntp authentication-key 1 md5 {SECRET} 7",
    f"standby 1 authentication {SECRET}",
    f"standby 1 authentication md5 key-string {SECRET}",
    f"ppp chap password 0 {SECRET}",
    f"key config-key password-encrypt {SECRET}",
    f"set session-key inbound esp 256 cipher {SECRET} authenticator {SECRET}",
    f"aaa authorization group psk list L NAME password {SECRET}",
    f"ikev2 local-authentication pre-shared-key {SECRET}",
    f"description the password is {SECRET}",
    f"set vpn ipsec authentication psk x secret '{SECRET}'",
]
SECTIONS = [
    "",
    "crypto ikev2 keyring K\n peer A\n  ",
    "crypto ikev2 profile P\n ",
    "interface Tunnel0\n ",
    "router bgp 65000\n ",
    "crypto keyring OLD\n ",
    "line vty 0 4\n ",
]


@pytest.mark.parametrize("line", SECRET_LINES)
def test_a_secret_appears_in_no_object_and_no_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "R1.cfg"
    for section in SECTIONS:
        path.write_text(f"hostname R1\n{section}{line}\n")
        try:
            shown = repr(read_router(path))
        except InputError as error:
            shown = f"{error} {error!r} {error.args}"
        assert SECRET not in shown
        assert "R1" in shown


def test_the_keys_of_the_paper_appear_nowhere() -> None:
    for variant in ("working", "published"):
        shown = repr(read_folder(PAPER / variant))
        assert "key12345" not in shown
        assert "pre-shared-key local <secret>" in shown


def test_a_comment_behind_a_key_is_not_part_of_it(read: Read) -> None:
    text = "crypto ikev2 keyring K\n peer A\n  pre-shared-key pa!ss  ! the old one\n"
    assert read(text).keyrings["K"].peers[0].local_key == Secret("pa!ss")


def test_a_comment_that_speaks_of_a_key_hides_nothing_of_the_command(read: Read) -> None:
    router = read("crypto ikev2 proposal P\n group 14 19 ! the key was too short\nno !\n0 ! PRE-SHARED- 0\n")
    assert router.proposals["P"].groups == [14, 19]


def test_tunnel_keys_and_key_chains_are_no_secrets(read: Read) -> None:
    router = read("interface Tunnel0\n tunnel key 7\nkey chain CHAIN\ncrypto key generate rsa\n")
    assert router.interfaces["Tunnel0"].tunnel_key == 7
    assert [line.text for line in router.unknown_lines] == ["key chain CHAIN", "crypto key generate rsa"]


# --- robustness -------------------------------------------------------------------------------------------------------

VOCABULARY = """
no default exit end quit conf t interface Tunnel0 gi0/0 crypto ikev2 ipsec proposal policy keyring profile peer address
identity local remote match fqdn email domain any dn key-id pre-shared-key hex 6 encryption group 14 99 aes-cbc-256
integrity prf sha512 dpd 10 2 periodic lifetime virtual-template transform-set esp-aes 256 esp-gcm mode transport set
pfs group19 security-association kilobytes seconds disable replay ip ipv6 route 0.0.0.0 10.0.0.1 255.255.255.0 1.2.3
2001:db8::1/64 :: network mask router eigrp bgp 65000 tunnel source destination gre ipsec ipv4 protection ! # banner ^C
certificate 0A pki trustpoint chain map subject-name co rsakeypair
authorization cert list key generate modulus vrf ${x} <x> \u00b2 \u0663 secret
"""
commands = st.lists(st.sampled_from(VOCABULARY.split()), min_size=1, max_size=8).map(" ".join)
indented = st.tuples(st.sampled_from(["", " ", "  ", "\t"]), commands).map("".join)
any_text = st.one_of(st.text(), st.lists(indented, max_size=25).map("\n".join))


def outcome(path: Path, data: bytes) -> RouterConfig | str:
    """Return the router that a file holds, or the message with which it is refused."""
    path.write_bytes(data)
    try:
        return read_router(path)
    except InputError as error:
        return str(error)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=any_text)
def test_any_text_is_a_router_or_a_refusal_of_one_line(tmp_path: Path, text: str) -> None:
    result = outcome(tmp_path / "R1.cfg", text.encode("utf-8", "surrogatepass"))
    assert isinstance(result, RouterConfig) or (result and "\n" not in result)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_router_or_a_refusal_of_one_line(tmp_path: Path, data: bytes) -> None:
    result = outcome(tmp_path / "R1.cfg", data)
    assert isinstance(result, RouterConfig) or (result and "\n" not in result)


#: The real laboratories that authenticate by certificates: what becomes of their tunnels.
WITH_CERTIFICATES = {
    "18": "unknown trustpoint 'CA'",  # an excerpt: the trustpoint is not shown
    "21": "no link leads from R1 to R2",  # the router between them is not shown
    "24": "only one router",
    "27": "all up",
    "39": "only one router",
}


@needs_labs
def test_all_real_configurations_are_read() -> None:
    folders = sorted(folder for folder in LABS.iterdir() if folder.is_dir())
    routers = [router for folder in folders for router in read_folder(folder)]
    assert len(folders) == 25
    assert len(routers) == 59  # the one of another vendor has another ending
    assert all(router.interfaces or router.profiles or router.unknown_lines for router in routers)
    for lab, outcome in WITH_CERTIFICATES.items():
        folder = next(LABS.glob(f"{lab}-*"))
        if outcome == "all up":
            assert fv.run(folder, duration_s=60, traffic=False).sessions["up"].all(), lab
        else:
            with pytest.raises(InputError, match=outcome):
                fv.run(folder, duration_s=60, traffic=False)


@needs_labs
def test_a_real_configuration_of_another_vendor_is_refused() -> None:
    path = next(LABS.glob("*/*.peer"))
    with pytest.raises(InputError, match="is not an IOS configuration"):
        read_router(path)
