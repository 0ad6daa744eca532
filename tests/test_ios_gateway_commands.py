"""IOS commands about NAT, redirection, configuration exchange and admission, and what they make of an endpoint."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.policy import EndpointPolicy
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.ios.reader import parse_router
from flexvpn_sim.models.ios.to_ikev2 import to_ikev2
from flexvpn_sim.models.values import Ledger

BASE = """hostname HUB
crypto ikev2 keyring K
 peer P
  address 0.0.0.0 0.0.0.0
  pre-shared-key test
crypto ikev2 profile P
 match identity remote any
 authentication local pre-share
 authentication remote pre-share
 keyring local K
 virtual-template 1
{profile}crypto ipsec profile I
 set ikev2-profile P
interface Loopback0
 ip address 10.255.0.1 255.255.255.255
interface GigabitEthernet0/0/0
 ip address 192.0.2.1 255.255.255.0
interface Virtual-Template1 type tunnel
 ip unnumbered Loopback0
 tunnel protection ipsec profile I
interface Tunnel0
{tunnel} tunnel source GigabitEthernet0/0/0
 tunnel destination 192.0.2.2
 tunnel protection ipsec profile I
{more}"""


def policy(profile: str = "", tunnel: str = " ip address negotiated\n", more: str = "") -> EndpointPolicy:
    config = parse_router(BASE.format(profile=profile, tunnel=tunnel, more=more), Path("hub.cfg"))
    assert not config.unknown_lines
    return to_ikev2(config, Implementation(load_implementation("ios-xe-16.9"), Ledger())).policy


def test_without_commands_the_implementation_decides() -> None:
    told = policy(tunnel=" ip address 10.0.0.1 255.255.255.252\n ipv6 address 2001:db8::1/64\n")
    (profile,) = told.profiles
    assert (told.nat_keepalive_s, told.init_queue, told.max_in_negotiation_outgoing) == (None, None, None)
    assert not told.follows_redirects and not told.forces_encapsulation and not profile.virtual_address
    assert profile.sends_configuration and profile.accepts_configuration and profile.nat_keepalive_s is None
    # What "route set interface" announces: the tunnel's addresses, and of a template those that it borrows.
    assert told.tunnels[0].inner_addresses == (IPv4Address("10.0.0.1"), IPv6Address("2001:db8::1"))
    assert told.template_addresses == {"Virtual-Template1": (IPv4Address("10.255.0.1"),)}


def test_the_commands_reach_the_endpoint() -> None:
    told = policy(
        " nat keepalive 30\n nat force-encap\n no config-exchange set send\n no config-exchange set accept\n",
        more="crypto ikev2 nat keepalive 20\ncrypto ikev2 redirect client max-redirects 3\n"
        "crypto ikev2 limit queue sa-init 200\ncrypto ikev2 limit max-in-negotation-sa 7 outgoing\n",
    )
    (profile,) = told.profiles
    assert (told.nat_keepalive_s, profile.nat_keepalive_s, told.forces_encapsulation) == (20, 30, True)
    assert (told.follows_redirects, told.max_redirects) == (True, 3)
    assert (told.init_queue, told.max_in_negotiation_outgoing) == (200, 7)
    assert not profile.sends_configuration and not profile.accepts_configuration
    assert profile.virtual_address


def test_what_is_taken_back_is_as_if_it_had_not_been_said() -> None:
    told = policy(
        " nat force-encap\n no nat force-encap\n",
        more="crypto ikev2 redirect client\nno crypto ikev2 redirect client\n"
        "crypto ikev2 nat keepalive 20\nno crypto ikev2 nat keepalive\n",
    )
    assert (told.follows_redirects, told.nat_keepalive_s, told.forces_encapsulation) == (False, None, False)
    assert policy(more="crypto ikev2 redirect client\n").max_redirects == 5


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("crypto ikev2 nat keepalive 4", "5 to 3600"),
        ("crypto ikev2 redirect client max-redirects 256", "1 to 255"),
        ("crypto ikev2 limit queue sa-init 99", "100 to 100000"),
    ],
)
def test_a_value_out_of_range_names_the_line_and_the_range(line: str, allowed: str) -> None:
    with pytest.raises(InputError, match=allowed) as refused:
        policy(more=f"{line}\n")
    assert "hub.cfg:" in str(refused.value)
