"""IKE over IPv6, selectors of both families, and tunnels of IOS whose underlay is IPv6."""

from __future__ import annotations

import json
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import flexvpn_sim as fv
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.encapsulation import Encapsulation
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.payloads import ANY_IPV4, ANY_IPV6, Selector, TsPayload
from flexvpn_sim.models.ikev2.wire import packet as wire
from flexvpn_sim.models.ikev2.wire.draws import Draws
from flexvpn_sim.models.ikev2.wire.translate import identity_octets, nat_hash, plain_payload
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.ios.config import RouterConfig
from flexvpn_sim.models.ios.reader import read_folder
from flexvpn_sim.models.ios.to_ikev2 import Translation, to_ikev2
from flexvpn_sim.models.values import Ledger

SUITES = ("--ike", "aes256-sha512-modp2048", "--esp", "aes256-sha512", "--hardware", "linux-strongswan-openssl")


def exchange(*options: str) -> Any:
    return CliRunner().invoke(app, ["exchange", *SUITES, *options, "--json"])


def played(*options: str) -> list[dict[str, Any]]:
    done = exchange(*options)
    assert done.exit_code == 0, done.output
    messages: list[dict[str, Any]] = json.loads(done.stdout)["messages"]
    return messages


# -- Sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selectors", "size"),
    [
        # Fact sheet A.10.
        ((ANY_IPV4,), 24),
        ((ANY_IPV6,), 48),
        ((ANY_IPV4, ANY_IPV6), 64),
        ((Selector(47, "2001:db8::1", "2001:db8::1"),), 48),
    ],
)
def test_a_selector_of_ipv6_has_40_bytes(selectors: tuple[Selector, ...], size: int) -> None:
    payload = TsPayload("TSi", selectors)
    assert payload.size == size
    body = plain_payload(payload, Draws(1), 1)
    assert isinstance(body, wire.TsBody) and body.size == size
    assert [field.kind for field in body.selectors] == [{4: 7, 6: 8}[s.version] for s in selectors]


def test_addresses_of_ipv6_as_identity_and_in_nat_detection() -> None:
    address = IPv6Address("2001:db8::1")
    identity = Identity("address", str(address))
    # RFC 7296 3.5: type 5, 16 octets.
    assert identity.data_bytes() == 16
    assert identity_octets(identity) == (5, address.packed)
    assert nat_hash(1, 2, int(address) << 16 | 500, 20) != nat_hash(1, 2, int(address) << 16 | 501, 20)


def test_every_datagram_is_20_bytes_longer_in_ipv6_and_nothing_else_changes() -> None:
    over4, over6 = (played("--ip", version, "--scenario", "cookie,rekey-child,rekey-ike,delete") for version in "46")
    assert [m["payloads"] for m in over4] == [m["payloads"] for m in over6]
    assert [m["ip_len"] + 20 for m in over4] == [m["ip_len"] for m in over6]


def test_certificates_are_cut_into_pieces_of_1280_bytes_of_ipv6() -> None:
    messages = played("--ip", "6", "--auth", "rsa2048", "--cert-bytes", "812,810", "--implementation", "ios-xe-16.9")
    pieces = [m for m in messages if m["fragments"] > 1]
    longest = max(m["ip_len"] for m in messages if m["exchange"] != "IKE_SA_INIT")
    # IOS does not announce fragmentation by itself.
    assert not pieces and longest > 1280
    cut = played("--ip", "6", "--auth", "rsa2048", "--cert-bytes", "812,810")
    lengths = [m["ip_len"] for m in cut if m["fragments"] > 1]
    # CBC: the last block that fits ends at most 15 bytes before the limit.
    assert lengths and 1264 < max(lengths) <= 1280


def test_behind_a_nat_ipv6_has_port_4500_and_the_marker_too() -> None:
    plain, moved = (played("--ip", "6", *options) for options in ((), ("--nat",)))
    assert [m["ip_len"] - p["ip_len"] for p, m in zip(plain, moved, strict=True)] == [0, 0, 4, 4]


@pytest.mark.parametrize(
    ("ts", "sizes"),
    [
        ("any-dual", (64, 64)),
        ("any-ipv6", (48, 48)),
        ("10.1.0.0/24,2001:db8:1::/64=10.2.0.0/16", (64, 24)),
        ("2001:db8:1::/64,2001:db8:2::/64=2001:db8:3::/48", (88, 48)),
    ],
)
def test_selectors_of_the_command_line(ts: str, sizes: tuple[int, int]) -> None:
    request = played("--ts", ts)[2]["payloads"]
    assert f"TSi({sizes[0]}) TSr({sizes[1]})" in request


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ip", "5"], "--ip: found 5, 4 or 6 is needed"),
        (["--ts", "2001:db8::1/64=any"], "--ts: found '2001:db8::1/64=any', any, any-ipv6, any-dual or networks"),
        (["--initiator-id", "ipv6:2001:db8::g"], "--initiator-id: found '2001:db8::g', an address such as"),
    ],
)
def test_wrong_input_is_one_line(options: list[str], message: str) -> None:
    done = exchange(*options)
    assert done.exit_code == 2 and done.stderr.startswith(f"flexvpn-sim: {message}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("scenario", ["setup", "mobike-move,delete", "redirect-init,delete", "nat,rekey-child,delete"])
def test_a_capture_over_ipv6_is_read_back(scenario: str, tmp_path: Path) -> None:
    pytest.importorskip("dpkt")
    file = tmp_path / "a.pcap"
    identity = ("--initiator-id", "2001:db8:1::1", "--ts", "any-dual")
    messages = played("--ip", "6", "--scenario", scenario, *identity, "--pcap", str(file))
    import dpkt

    with file.open("rb") as capture:
        packets = [octets for _, octets in dpkt.pcap.Reader(capture)]
    assert [len(packet) for packet in packets] == [m["ip_len"] for m in messages]
    for octets, message in zip(packets, messages, strict=True):
        ip = dpkt.ip6.IP6(octets)
        assert (ip.v, ip.plen, ip.nxt, ip.data.dport) == (6, len(octets) - 40, 17, message["destination_port"])
        # RFC 8200 8.1: the checksum over the pseudo-header is right.
        pseudo = ip.src + ip.dst + len(ip.data).to_bytes(4, "big") + bytes((0, 0, 0, 17))
        assert dpkt.in_cksum(pseudo + bytes(ip.data)) == 0


# -- IOS -------------------------------------------------------------------------------------------------------

ROUTER = """hostname {name}
interface GigabitEthernet0/0/0
 ipv6 address 2001:db8:{own}::1/64
ipv6 route ::/0 2001:db8:{own}::ffff
crypto ikev2 keyring K
 peer OTHER
  address 2001:db8:{other}::1/128
  pre-shared-key lab
crypto ikev2 profile P
 match identity remote address 2001:db8:{other}::1/128
 authentication remote pre-share
 authentication local pre-share
 keyring local K
crypto ipsec profile default
 set ikev2-profile P
interface Tunnel0
 ip address 10.0.0.{own} 255.255.255.252
 tunnel source GigabitEthernet0/0/0
 tunnel mode {mode}
 tunnel destination 2001:db8:{other}::1
 tunnel protection ipsec profile default
"""


def translated(router: RouterConfig) -> Translation:
    return to_ikev2(router, Implementation(load_implementation("ios-xe-16.9"), Ledger()))


def pair(folder: Path, mode: str) -> Path:
    for name, own, other in (("LEFT", 1, 2), ("RIGHT", 2, 1)):
        (folder / f"{name}.cfg").write_text(ROUTER.format(name=name, own=own, other=other, mode=mode))
    return folder


@pytest.mark.parametrize(
    ("mode", "selectors"),
    [
        ("ipsec ipv6", (ANY_IPV6,)),
        ("ipsec dual-overlay", (ANY_IPV4, ANY_IPV6)),
        ("gre ipv6", (Selector(47, "2001:db8:1::1", "2001:db8:1::1"),)),
    ],
)
def test_a_tunnel_of_ios_comes_up_over_ipv6(mode: str, selectors: tuple[Selector, ...], tmp_path: Path) -> None:
    result = fv.run(pair(tmp_path, mode), duration_s=30, traffic=False)
    (left, *_) = read_folder(tmp_path)
    told = translated(left)
    policy = told.policy
    assert not told.faults
    assert policy.tunnels[0].child.local_selectors == selectors
    # By default an IOS router is called by its address (fact 13).
    assert policy.profiles[0].local_identity == Identity("address", "2001:db8:1::1")
    sessions = result.sessions
    assert len(sessions) == 1 and sessions["up"].all()


def test_a_mode_for_the_other_family_is_refused_with_its_line(tmp_path: Path) -> None:
    (left, *_) = read_folder(pair(tmp_path, "ipsec ipv4"))
    (fault,) = translated(left).faults
    assert str(fault).endswith(
        "LEFT.cfg:19: tunnel mode ipsec ipv4 cannot reach 2001:db8:2::1; allowed: gre ipv6, ipsec ipv6, "
        "ipsec dual-overlay"
    )


def test_a_source_without_an_address_of_the_family_is_named(tmp_path: Path) -> None:
    pair(tmp_path, "gre ipv6")
    file = tmp_path / "LEFT.cfg"
    file.write_text(file.read_text().replace(" ipv6 address 2001:db8:1::1/64", " ip address 192.0.2.1 255.255.255.0"))
    left = next(router for router in read_folder(tmp_path) if router.hostname == "LEFT")
    (fault,) = translated(left).faults
    assert "tunnel source GigabitEthernet0/0/0 has no IPv6 address" in str(fault)


def test_an_ipv6_route_needs_a_next_hop(tmp_path: Path) -> None:
    pair(tmp_path, "gre ipv6")
    file = tmp_path / "LEFT.cfg"
    file.write_text(file.read_text().replace("ipv6 route ::/0 2001:db8:1::ffff", "ipv6 route ::/0"))
    with pytest.raises(InputError, match=r"LEFT.cfg:4: .*a next hop or an interface is missing"):
        read_folder(tmp_path)


def test_packets_over_ipv6_are_20_bytes_longer_and_shown_with_prefixes(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    folder = tmp_path / "routers"
    folder.mkdir()
    pair(folder, "ipsec dual-overlay")
    flow = "{from: LEFT, to: RIGHT, kind: constant, size: 1000 B, rate: 80 kbps}"
    scenario.write_text(f"scenario: 1\nconfigurations: {folder}\nduration: 30 s\ntraffic:\n  - {flow}\n")
    result = fv.run(scenario)
    packets = result.packets[result.packets["sent"] > 0]
    esp = Encapsulation("aes-cbc-128", "sha1", outer=6)
    assert set(packets["wire_bytes"] / packets["sent"]) == {float(esp.packet_bytes(1000))}
    shown = result.show("LEFT", "crypto ipsec sa")
    assert "local  ident (addr/mask/prot/port): (0.0.0.0/0.0.0.0/0/0)" in shown
    assert "local  ident (addr/mask/prot/port): (::/0/0/0)" in shown
    heading, rows = result.show("LEFT", "crypto ikev2 sa").split(" IPv6 Crypto IKEv2  SA ")
    assert "2001:db8:2::1/500" in rows and "READY" not in heading


@pytest.mark.parametrize(("line", "after"), [("after-encryption", True), ("before-encryption", False)])
def test_fragmentation_after_encryption_is_read(line: str, after: bool, tmp_path: Path) -> None:
    pair(tmp_path, "gre ipv6")
    file = tmp_path / "LEFT.cfg"
    file.write_text(f"crypto ipsec fragmentation {line}\n{file.read_text()}")
    left = next(router for router in read_folder(tmp_path) if router.hostname == "LEFT")
    assert left.fragments_after_encryption is after
