"""Configuration payloads: what a client asks for and is told, and routes that both ends announce (RFC 7296 3.15)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import Pair, agree, changed, endpoint

from flexvpn_sim.models.addresses import IpAddress
from flexvpn_sim.models.ikev2 import configuration
from flexvpn_sim.models.ikev2.configuration import Addresses, attribute, network_octets, networks_of
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.message import Datagram, Exchange
from flexvpn_sim.models.ikev2.operations import InstallRoute
from flexvpn_sim.models.ikev2.payloads import ConfigurationAttribute, ConfigurationPayload
from flexvpn_sim.models.ikev2.policy import AddressPool, AuthorizationPolicy
from flexvpn_sim.models.ikev2.sa import Task
from flexvpn_sim.models.ikev2.wire.decode import decode_payloads
from flexvpn_sim.models.ikev2.wire.packet import encode_payloads
from flexvpn_sim.models.ikev2.wire.translate import configuration_body

IOS = "ios-xe-16.9"
POOL = AddressPool(IPv4Address("10.9.0.1"), 2)
POOL6 = AddressPool(IPv6Address("2001:db8:9::1"), 2)
LAN, LAN6 = IPv4Network("10.20.0.0/16"), IPv6Network("2001:db8:20::/48")
HUB = AuthorizationPolicy(
    "hub",
    POOL,
    netmask=IPv4Address("255.255.255.0"),
    dns=(IPv4Address("10.0.0.53"), IPv4Address("10.0.1.53")),
    wins=(IPv4Address("10.0.0.42"),),
    def_domain="cptl.local",
    split_dns=("cptl.local", "lab.cptl.local"),
    banner="Welcome",
    backup_gateways=("hub2.cptl.local",),
    config_url="http://h/c",
    routes=(LAN,),
)
SPOKE = AuthorizationPolicy("spoke", routes=(IPv4Network("10.30.1.0/24"), IPv4Network("10.30.2.0/24")))


def told(end: Endpoint, **profile: object) -> Endpoint:
    (first,) = end.policy.profiles
    profiles = (replace(first, **profile),)  # type: ignore[arg-type]
    return Endpoint(replace(end.policy, profiles=profiles), end.implementation)


def up(left: Endpoint, right: Endpoint, until_s: float = 1) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(until_s)
    return pair


def ios(side: str, **profile: object) -> Endpoint:
    return told(endpoint(side, IOS), **profile)


def reply_of(pair: Pair) -> ConfigurationPayload:
    return pair.log[3].datagram.message.get(ConfigurationPayload)


def routes(pair: Pair, name: str, kind: str = "route_installed") -> list[str]:
    return [event.detail for who, event in pair.events if who == name and event.kind == kind]


# -- The reply -------------------------------------------------------------------------------------------------


def test_the_reply_has_what_the_client_asked_for_and_the_policy_has_with_the_sizes_of_the_rfc() -> None:
    pair = up(ios("left", virtual_address=True), ios("right", authorization=HUB))
    asked = pair.log[2].datagram.message.get(ConfigurationPayload)
    # RFC 7296 3.15: header 8, each attribute 4 and its value; 11 attributes of IOS, one of them with 257 octets.
    assert asked.size == 8 + 4 + 11 * 4 + 257
    given = [(a.name, a.value) for a in reply_of(pair).attributes]
    assert given == [
        ("INTERNAL_IP4_ADDRESS", POOL.first.packed),
        ("SPLIT_DNS", b"cptl.local"),
        ("SPLIT_DNS", b"lab.cptl.local"),
        ("BANNER", b"Welcome"),
        ("CONFIG_URL", b"http://h/c"),
        ("BACKUP_GATEWAY", b"hub2.cptl.local"),
        ("DEF_DOMAIN", b"cptl.local"),
        ("INTERNAL_IP4_DNS", bytes((10, 0, 0, 53))),
        ("INTERNAL_IP4_DNS", bytes((10, 0, 1, 53))),
        ("INTERNAL_IP4_NBNS", bytes((10, 0, 0, 42))),
        ("INTERNAL_IP4_SUBNET", bytes((10, 20, 0, 0, 255, 255, 0, 0))),
    ]
    assert reply_of(pair).size == 8 + 11 * 4 + 4 + 10 + 14 + 7 + 10 + 15 + 10 + 4 + 4 + 4 + 8
    assert pair.ike(pair.left).virtual_address == POOL.first
    assert agree(pair)


def test_strongswan_tells_what_it_was_not_asked_for_and_ios_does_not() -> None:
    client = endpoint("left")
    for implementation, names in (
        ("strongswan", ["INTERNAL_IP4_ADDRESS", "INTERNAL_IP4_DNS"]),
        (IOS, ["INTERNAL_IP4_ADDRESS"]),
    ):
        pool = replace(POOL, name_servers=(IPv4Address("10.9.0.254"),))
        pair = up(told(client, virtual_address=True), told(endpoint("right", implementation), pool=pool))
        assert [a.name for a in reply_of(pair).attributes] == names


def test_a_client_of_both_families_gets_an_address_of_each_with_17_octets_in_ipv6() -> None:
    policy = AuthorizationPolicy(pool=POOL, pool6=POOL6, dns=(IPv6Address("2001:db8::53"),), routes=(LAN6,))
    client = told(endpoint("left"), virtual_address=True, virtual_address6=True)
    pair = up(client, told(endpoint("right"), authorization=policy))
    # Address 4+4, IPv6 address 4+17; unasked: IPv6 name server 4+16, IPv6 subnet 4+17.
    assert reply_of(pair).size == 8 + 8 + 21 + 20 + 21
    for end in (pair.left, pair.right):
        assert (pair.ike(end).virtual_address, pair.ike(end).virtual_address6) == (POOL.first, POOL6.first)
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(2)
    assert pair.ike(pair.right).virtual_address6 == POOL6.first
    pair.ask(pair.left, Task("delete ike"))
    pair.run(5)
    assert pair.right.addresses.take(POOL6) == POOL6.first


def test_one_family_without_addresses_does_not_refuse_the_other() -> None:
    policy = AuthorizationPolicy(pool=replace(POOL, size=0), pool6=POOL6)
    client = told(endpoint("left"), virtual_address=True, virtual_address6=True)
    pair = up(client, told(endpoint("right"), authorization=policy))
    assert agree(pair)
    assert pair.ike(pair.left).virtual_address is None
    assert pair.ike(pair.left).virtual_address6 == POOL6.first


def test_what_aaa_grants_comes_before_what_the_profile_says() -> None:
    right = ios("right", authorization=HUB)
    pair = Pair(ios("left"), right)
    other = replace(HUB, banner="Another one")
    begin = right.begin

    def grant(sa, *rest):  # type: ignore[no-untyped-def]
        if sa is not None and sa.authorization is None:
            sa.authorization = other
        begin(sa, *rest)

    right.begin = grant  # type: ignore[method-assign]
    pair.start(pair.left)
    pair.run(1)
    assert ("BANNER", b"Another one") in [(a.name, a.value) for a in reply_of(pair).attributes]


@given(st.lists(st.one_of(st.integers(0, 4), st.none()), max_size=30))
def test_the_lowest_free_address_of_a_pool_is_given_whatever_was_given_back(moves: list[int | None]) -> None:
    addresses, pool = Addresses(), AddressPool(IPv4Address("10.0.0.0"), 5)
    held: set[IpAddress] = set()
    for move in moves:
        if move is None:
            free = [pool.first + n for n in range(5) if pool.first + n not in held]
            taken = addresses.take(pool)
            assert taken == (free[0] if free else None)
            held |= {taken} if taken is not None else set()
        else:
            addresses.release(pool.first + move)
            held.discard(pool.first + move)


def test_pools_that_overlap_share_their_addresses() -> None:
    addresses = Addresses()
    wide, late = AddressPool(IPv4Address("10.0.0.0"), 4), AddressPool(IPv4Address("10.0.0.2"), 2)
    assert addresses.take(late) == late.first
    assert [addresses.take(wide) for _ in range(3)] == [wide.first, wide.first + 1, wide.first + 3]
    assert addresses.take(late) is None
    addresses.release(late.first)
    assert addresses.take(late) == late.first


# -- Routes ----------------------------------------------------------------------------------------------------


def test_both_ends_announce_their_networks_and_follow_those_of_the_other() -> None:
    pair = up(ios("left", authorization=SPOKE), ios("right", authorization=HUB))
    # The responder's in the reply; the initiator's own by CFG_SET, answered by CFG_ACK (fact sheet A.11).
    exchanges = [line.datagram.message.exchange for line in pair.log]
    assert exchanges[4:] == [Exchange.INFORMATIONAL] * 2
    told_, acknowledged = (line.datagram.message.get(ConfigurationPayload) for line in pair.log[4:])
    assert (told_.kind, told_.size) == ("SET", 8 + 2 * 12)
    assert (acknowledged.kind, acknowledged.size) == ("ACK", 8 + 2 * 4)
    # AES-CBC and SHA-512: IKE header 28, SK header 4, IV 16, 32 octets and a pad length octet in blocks of 16, ICV 32.
    assert pair.log[4].datagram.message.ike_bytes == 28 + 4 + 16 + 48 + 32
    assert routes(pair, "left") == ["10.20.0.0/16 [2/0] via Tunnel0"]
    assert routes(pair, "right") == ["10.30.1.0/24 [2/0] via Tunnel0", "10.30.2.0/24 [2/0] via Tunnel0"]
    assert InstallRoute(1) in pair.operations["left"] and InstallRoute(2) in pair.operations["right"]


def test_without_an_authorization_policy_nothing_is_announced_and_nothing_followed() -> None:
    assert len(up(ios("left"), ios("right")).log) == 4
    pair = up(ios("left", authorization=SPOKE), ios("right"))
    assert pair.log[5].datagram.message.get(ConfigurationPayload).attributes == ()
    assert not routes(pair, "right")


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_end_that_sends_or_accepts_no_configuration_exchanges_no_routes(side: str) -> None:
    flag = {"left": {"sends_configuration": False}, "right": {"accepts_configuration": False}}
    left = ios("left", authorization=SPOKE, **flag["left"] if side == "left" else {})
    right = ios("right", authorization=HUB, **flag["right"] if side == "right" else {})
    pair = up(left, right)
    assert len(pair.log) == (4 if side == "left" else 6)
    assert not routes(pair, "right") and routes(pair, "left")


def test_an_end_that_accepts_no_route_follows_none() -> None:
    pair = up(ios("left", authorization=replace(SPOKE, accepts_routes=False)), ios("right", authorization=HUB))
    assert not routes(pair, "left") and routes(pair, "right")


def test_a_responder_that_was_not_asked_announces_its_networks_itself() -> None:
    pair = up(ios("left", authorization=SPOKE, config_request=False), ios("right", authorization=HUB))
    assert pair.log[3].datagram.message.find(ConfigurationPayload) is None
    senders = [line.sender for line in pair.log[4:] if not line.datagram.message.response]
    assert sorted(senders) == ["left", "right"]
    assert routes(pair, "left") == ["10.20.0.0/16 [2/0] via Tunnel0"]


def test_a_lost_announcement_is_repeated_and_its_routes_stand_once() -> None:
    def loses(number: int, _datagram: Datagram) -> bool:
        return number in (4, 6)

    pair = Pair(ios("left", authorization=SPOKE), ios("right", authorization=HUB), loses=loses)
    pair.start(pair.left)
    pair.run(20)
    # The request is lost once, then its answer: two seconds and four seconds pass (IOS, assumed).
    assert pair.kinds("left").count("retransmission") == 2
    assert len(routes(pair, "right")) == 2
    assert agree(pair)


def test_routes_outlive_a_rekey_and_go_with_the_ike_sa() -> None:
    pair = up(ios("left", authorization=SPOKE), ios("right", authorization=HUB))
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(2)
    assert pair.ike(pair.right).generation == 1
    assert [str(n) for n in pair.ike(pair.right).routes] == ["10.30.1.0/24", "10.30.2.0/24"]
    assert not routes(pair, "right", "route_withdrawn")
    pair.ask(pair.left, Task("delete ike"))
    pair.run(3)
    assert routes(pair, "left", "route_withdrawn") == ["10.20.0.0/16 via Tunnel0"]
    assert len(routes(pair, "right", "route_withdrawn")) == 2
    assert len(routes(pair, "right")) == 2


def test_an_announcement_that_waits_while_the_ike_sa_is_rekeyed_goes_to_its_successor() -> None:
    pair = up(ios("left", authorization=SPOKE), ios("right", authorization=HUB))
    sa = pair.ike(pair.left)
    pair.ask(pair.left, Task("rekey ike"), sa)
    sa.tasks.append(Task("set configuration"))
    pair.run(3)
    last = [line.datagram.message for line in pair.log if line.datagram.message.find(ConfigurationPayload)][-1]
    assert last.spi_i == pair.ike(pair.left).spi_i


def test_the_address_of_the_interface_or_the_one_that_was_given_is_announced() -> None:
    policy = AuthorizationPolicy(announces_interface=True)
    left = ios("left", authorization=policy, virtual_address=True)
    pair = up(left, ios("right", authorization=replace(policy, pool=POOL)))
    assert routes(pair, "right") == [f"{POOL.first}/32 [2/0] via Tunnel0"]
    (tunnel,) = left.policy.tunnels
    inner = replace(tunnel, inner_addresses=(IPv4Address("172.16.0.7"), IPv6Address("2001:db8::7")))
    left = Endpoint(replace(left.policy, tunnels=(inner,)), left.implementation)
    pair = up(left, ios("right", authorization=replace(policy, pool=POOL)))
    assert routes(pair, "right") == ["172.16.0.7/32 [2/0] via Tunnel0", "2001:db8::7/128 [2/0] via Tunnel0"]


def test_a_route_to_the_peer_that_is_configured_needs_no_announcement() -> None:
    hub = AuthorizationPolicy(remote_routes=(LAN,), distance=7)
    pair = up(endpoint("left"), ios("right", authorization=hub))
    assert routes(pair, "right") == ["10.20.0.0/16 [7/0] via Tunnel0"]
    assert len(pair.log) == 4


def test_the_distance_of_a_route_is_the_implementations_unless_the_policy_says_another() -> None:
    right = told(endpoint("right", changed(IOS, values={"route_distance": 1})), authorization=HUB)
    pair = up(ios("left", authorization=SPOKE), right)
    assert routes(pair, "right")[0] == "10.30.1.0/24 [1/0] via Tunnel0"


# -- Octets ----------------------------------------------------------------------------------------------------

networks = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda n: IPv4Network(n, strict=False)),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda n: IPv6Network(n, strict=False)),
)


@given(st.lists(networks, max_size=5), st.sampled_from(["REQUEST", "REPLY", "SET", "ACK"]))
def test_networks_come_back_from_their_octets_and_the_size_is_their_length(nets: list, kind: str) -> None:  # type: ignore[type-arg]
    names = {4: "INTERNAL_IP4_SUBNET", 6: "INTERNAL_IP6_SUBNET"}
    attributes = tuple(attribute(names[n.version], network_octets(n)) for n in nets)
    payload = ConfigurationPayload(kind, attributes)  # type: ignore[arg-type]
    first, octets = encode_payloads([configuration_body(payload)])
    assert len(octets) == payload.size == 8 + sum(12 if n.version == 4 else 21 for n in nets)
    (body,) = decode_payloads(first, octets)
    read = [ConfigurationAttribute("", n, len(v), v) for n, v in body.attributes]  # type: ignore[attr-defined]
    assert networks_of(read) == tuple(nets)


def test_a_subnet_of_another_length_is_no_network() -> None:
    assert networks_of([attribute("INTERNAL_IP4_SUBNET", bytes(7)), attribute("INTERNAL_IP6_SUBNET", bytes(16))]) == ()


def test_every_attribute_has_a_number_of_its_own() -> None:
    assert len(set(configuration.ATTRIBUTES.values())) == len(configuration.ATTRIBUTES)
