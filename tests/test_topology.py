"""From configurations to an underlay and to IKEv2 policies."""

from __future__ import annotations

from importlib.resources import files
from ipaddress import IPv4Address
from pathlib import Path

import pytest

import flexvpn_sim as fv
from flexvpn_sim.models.ikev2.identity import Identity, IdentityMatch
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.ios.config import RouterConfig
from flexvpn_sim.models.ios.reader import read_folder
from flexvpn_sim.models.ios.to_ikev2 import to_ikev2
from flexvpn_sim.models.topology import LinkSettings, build_topology, has_route, nominal_rate_bps, path
from flexvpn_sim.models.values import Ledger

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"

HUB = """hostname HUB
interface GigabitEthernet0/0/0
 ip address 198.51.100.1 255.255.255.252
interface Loopback0
 ip address 10.0.0.1 255.255.255.255
ip route 0.0.0.0 0.0.0.0 198.51.100.2
crypto ikev2 keyring K
 peer ANY
  address 0.0.0.0 0.0.0.0
  pre-shared-key lab
crypto ikev2 profile P
 match identity remote fqdn domain lab.example
 identity local fqdn hub.lab.example
 authentication remote pre-share
 authentication local pre-share
 keyring local K
 virtual-template 1
crypto ipsec profile default
 set ikev2-profile P
interface Virtual-Template1 type tunnel
 ip unnumbered Loopback0
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile default
"""

SPOKE = """hostname SPOKE{n}
interface GigabitEthernet0/0/0
 ip address 203.0.113.{address} 255.255.255.252
ip route 0.0.0.0 0.0.0.0 203.0.113.{gateway}
crypto ikev2 keyring K
 peer HUB
  address 198.51.100.1
  pre-shared-key lab
crypto ikev2 profile P
 match identity remote fqdn hub.lab.example
 identity local fqdn spoke{n}.lab.example
 authentication remote pre-share
 authentication local pre-share
 keyring local K
crypto ipsec profile default
 set ikev2-profile P
interface Tunnel0
 ip address 10.0.1.{n} 255.255.255.0
 tunnel source GigabitEthernet0/0/0
 tunnel destination 198.51.100.1
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile default
"""


@pytest.fixture
def hub_and_spokes(tmp_path: Path) -> Path:
    (tmp_path / "hub.cfg").write_text(HUB)
    for n in range(1, 4):
        (tmp_path / f"spoke{n}.cfg").write_text(SPOKE.format(n=n, address=4 * n + 1, gateway=4 * n + 2))
    return tmp_path


def paper() -> list[RouterConfig]:
    return read_folder(WORKING)


def test_routers_whose_next_hop_nobody_has_hang_on_the_internet() -> None:
    graph = build_topology(paper(), Ledger())
    assert sorted(graph.nodes) == ["HQ", "icpedger02", "internet"]
    assert path(graph, "HQ", "icpedger02") == ["HQ", "internet", "icpedger02"]


def test_an_unknown_delay_is_assumed_and_noted() -> None:
    ledger = Ledger()
    build_topology(paper(), ledger)
    assert ledger.assumed() == [
        "topology: one-way delay of the link HQ - internet",
        "topology: one-way delay of the link icpedger02 - internet",
    ]


def test_a_given_delay_is_not_assumed() -> None:
    ledger = Ledger()
    links = {name: LinkSettings(delay_s=0.01) for name in ("HQ", "icpedger02")}
    graph = build_topology(paper(), ledger, links)
    assert ledger.rows() == []
    assert graph.edges["HQ", "internet"]["delay_s"] == 0.01


def test_routers_in_one_subnet_are_neighbours() -> None:
    routers = paper()
    for router, address in zip(routers, ("192.0.2.1", "192.0.2.2"), strict=True):
        interface = router.interfaces["GigabitEthernet0/0/0"]
        interface.addresses = [type(interface.addresses[0])(f"{address}/30")]
    graph = build_topology(routers, Ledger())
    assert path(graph, "HQ", "icpedger02") == ["HQ", "192.0.2.0/30", "icpedger02"]


def test_a_route_is_a_subnet_a_static_route_or_a_protocol_on_the_interface() -> None:
    hq = paper()[0]
    far, source = IPv4Address("158.83.133.225"), IPv4Address("158.83.133.194")
    assert has_route(hq, far, source)
    hq.routes = []
    assert not has_route(hq, far, source)
    assert has_route(hq, IPv4Address("158.83.133.193"), source)


def test_interface_names_promise_a_speed() -> None:
    assert [nominal_rate_bps(n) for n in ("TenGigabitEthernet0/0/0", "GigabitEthernet1", "FastEthernet0/0")] == [
        10e9,
        1e9,
        100e6,
    ]


def test_the_papers_configuration_becomes_the_policy_that_it_says() -> None:
    hq = paper()[0]
    policy = to_ikev2(hq, Implementation(load_implementation("ios-xe-16.9"), Ledger())).policy
    (tunnel,), (profile,) = policy.tunnels, policy.profiles
    assert str(policy.proposals_for(tunnel.local_address)[0]) == "aes-cbc-256 sha512 prf sha512 modp2048"
    assert profile.local_identity == Identity("fqdn", "HQ.cptl.local")
    assert profile.matches(Identity("fqdn", "icpedger02.cptl.local"))
    assert not profile.matches(Identity("email", "icpedger02.cptl.local"))
    assert (profile.lifetime_s, tunnel.child.lifetime_s, tunnel.child.lifetime_kilobytes) == (86400, 3600, 4608000)
    assert str(tunnel.child.proposals[0]) == "aes-cbc-256 sha512"


@pytest.mark.parametrize(
    ("rule", "identity", "accepted"),
    [
        (IdentityMatch("fqdn", "lab.example", domain=True), Identity("fqdn", "spoke.lab.example"), True),
        (IdentityMatch("fqdn", "lab.example", domain=True), Identity("fqdn", "lab.example"), False),
        (IdentityMatch("email", "lab.example", domain=True), Identity("email", "a@lab.example"), True),
        (IdentityMatch("fqdn", "HQ.CPTL.local"), Identity("fqdn", "hq.cptl.LOCAL"), True),
        (IdentityMatch("any", ""), Identity("key-id", "x"), True),
        (IdentityMatch("fqdn", "a"), Identity("email", "a"), False),
    ],
)
def test_identities_match_by_type_and_value(rule: IdentityMatch, identity: Identity, accepted: bool) -> None:
    assert rule.matches(identity) is accepted


def test_a_hub_takes_every_spoke_on_a_virtual_access_of_its_own(hub_and_spokes: Path) -> None:
    result = fv.run(hub_and_spokes, duration_s=30, traffic=False)
    assert result.up
    assert len(result.sessions) == 3
    assert sorted(result.sessions["responder_interface"]) == [f"Virtual-Access{n}" for n in (1, 2, 3)]


def test_work_of_several_spokes_queues_at_the_hub(hub_and_spokes: Path) -> None:
    result = fv.run(hub_and_spokes, duration_s=30, traffic=False)
    queue = result.queues.set_index("name").loc["HUB control CPU"]
    assert queue["max_waiting_s"] > 0
    # Little's law over the whole run.
    assert queue["mean_length"] == pytest.approx(queue["arrivals"] / 30 * queue["mean_waiting_s"], rel=1e-9)


def test_a_profile_that_is_not_simulated_is_named_with_its_line(hub_and_spokes: Path) -> None:
    hub = hub_and_spokes / "hub.cfg"
    hub.write_text(hub.read_text().replace(" keyring local K\n", " keyring aaa LIST\n"))
    with pytest.raises(fv.InputError, match=r"hub.cfg:\d+: unknown AAA network list 'LIST'"):
        fv.run(hub_and_spokes, duration_s=10)


def test_one_tunnel_that_cannot_be_tried_does_not_stop_the_others(hub_and_spokes: Path) -> None:
    spoke = hub_and_spokes / "spoke2.cfg"
    spoke.write_text(spoke.read_text().replace("tunnel destination 198.51.100.1", "tunnel destination 198.51.100.9"))
    result = fv.run(hub_and_spokes, duration_s=10, traffic=False)
    down = result.sessions[~result.sessions["up"]]
    assert list(down["initiator"]) == ["SPOKE2"]
    assert "spoke2.cfg:20: tunnel destination 198.51.100.9 belongs to no router here" in down["reason"].iloc[0]


def test_a_gre_tunnel_meets_no_ipsec_interface(tmp_path: Path) -> None:
    for source in WORKING.iterdir():
        text = source.read_text()
        if source.name == "HQ.cfg":
            text = text.replace(" tunnel mode ipsec ipv4\n", "")
        (tmp_path / source.name).write_text(text)
    result = fv.run(tmp_path, duration_s=10, traffic=False)
    assert result.sessions["reason"].iloc[0] == "TS_UNACCEPTABLE: traffic selectors differ at icpedger02"


def test_a_gre_hub_agrees_to_transport_mode(hub_and_spokes: Path) -> None:
    """The default transform set of IOS is in transport mode, which GRE can use and an IPsec interface cannot."""
    for file in hub_and_spokes.iterdir():
        file.write_text(file.read_text().replace(" tunnel mode ipsec ipv4\n", ""))
    result = fv.run(hub_and_spokes, duration_s=10, traffic=False)
    assert result.up
    assert set(result.child_sas["mode"]) == {"transport"}


def test_an_ipsec_hub_uses_tunnel_mode_whatever_the_transform_set_says(hub_and_spokes: Path) -> None:
    assert set(fv.run(hub_and_spokes, duration_s=10, traffic=False).child_sas["mode"]) == {"tunnel"}
