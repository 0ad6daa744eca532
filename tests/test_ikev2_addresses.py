"""Addresses and ports: NAT detection, MOBIKE, and addresses that a responder gives (RFC 7296 2.23, 2.19, RFC 4555)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from pair import LEFT, RIGHT, Pair, agree, endpoint

from flexvpn_sim.models.ikev2.configuration import Addresses
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.message import NAT_T_PORT, Datagram
from flexvpn_sim.models.ikev2.policy import AddressPool
from flexvpn_sim.models.ikev2.sa import Task

POOL = AddressPool(IPv4Address("10.9.0.1"), 2, (IPv4Address("10.9.0.254"),))
ELSEWHERE = IPv4Address("10.3.0.1")


def told(end: Endpoint, *, profile: dict[str, object] | None = None, **policy: object) -> Endpoint:
    """Return an end that is told more."""
    (first,) = end.policy.profiles
    profiles = (replace(first, **(profile or {})),)  # type: ignore[arg-type]
    return Endpoint(replace(end.policy, profiles=profiles, **policy), end.implementation)  # type: ignore[arg-type]


def up(left: Endpoint, right: Endpoint) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(1)
    return pair


def ports(pair: Pair) -> list[int]:
    return [line.datagram.destination_port for line in pair.log]


# -- NAT detection ---------------------------------------------------------------------------------------------


def test_without_a_nat_everything_stays_on_port_500() -> None:
    pair = up(endpoint("left"), endpoint("right"))
    assert ports(pair) == [500] * 4
    assert not any(sa.behind_nat for end in (pair.left, pair.right) for sa in end.sas.values())


@pytest.mark.parametrize("forces", ["left", "right"])
def test_an_end_that_forces_encapsulation_moves_both_to_port_4500(forces: str) -> None:
    ends = {side: told(endpoint(side), forces_encapsulation=side == forces) for side in ("left", "right")}
    pair = up(ends["left"], ends["right"])
    assert agree(pair)
    assert ports(pair) == [500, 500, NAT_T_PORT, NAT_T_PORT]
    assert [line.datagram.udp_len - line.datagram.message.ike_bytes for line in pair.log] == [0, 0, 4, 4]
    assert all(sa.behind_nat for end in (pair.left, pair.right) for sa in end.sas.values())
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(2)
    assert agree(pair) and set(ports(pair)[4:]) == {NAT_T_PORT}


def test_a_source_port_that_somebody_changed_is_a_nat() -> None:
    right = endpoint("right")
    pair = Pair(endpoint("left"), right)
    receive = right.receive

    def translated(datagram: Datagram, now: int) -> object:
        return receive(replace(datagram, source_port=datagram.source_port + 1000), now)

    right.receive = translated  # type: ignore[method-assign, assignment]
    pair.start(pair.left)
    pair.run(1)
    assert agree(pair)
    # The answers go to the port that the responder has seen.
    assert ports(pair) == [500, 1500, NAT_T_PORT, NAT_T_PORT + 1000]


# -- Addresses from a pool -------------------------------------------------------------------------------------


def client() -> Endpoint:
    return told(endpoint("left"), profile={"virtual_address": True})


def server(pool: AddressPool | None = POOL) -> Endpoint:
    return told(endpoint("right"), profile={"pool": pool})


def test_a_client_gets_the_first_free_address_and_keeps_it_over_rekeys() -> None:
    pair = up(client(), server())
    for generation in (0, 1):
        assert pair.ike(pair.left).virtual_address == pair.ike(pair.right).virtual_address == POOL.first
        assert pair.ike(pair.left).generation == generation
        pair.ask(pair.left, Task("rekey ike"))
        pair.run(pair.now / 1e9 + 1)
    pair.ask(pair.left, Task("delete ike"))
    pair.run(5)
    assert pair.right.addresses.take(POOL) == POOL.first


def test_a_client_that_starts_again_gets_an_address_while_its_old_sa_holds_the_first_one() -> None:
    pair = up(client(), server())
    pair.reboot("left", Endpoint(pair.left.policy, pair.left.implementation, boots=1))
    pair.start(pair.left)
    pair.run(3)
    assert pair.ike(pair.right).virtual_address == POOL.first + 1
    # INITIAL_CONTACT has closed the old SA, and its address is free.
    assert pair.right.addresses.take(POOL) == POOL.first


def test_an_exhausted_pool_refuses_the_child_sa_and_keeps_the_ike_sa() -> None:
    pair = up(client(), server(replace(POOL, size=0)))
    assert pair.log[3].datagram.message.notify("INTERNAL_ADDRESS_FAILURE") is not None
    assert pair.causes("left", "attempt_failed") == ["no address left in the pool"]
    assert len(pair.left.sas) == len(pair.right.sas) == 1 and not pair.children(pair.left)


def test_a_server_without_a_pool_gives_nothing() -> None:
    pair = up(client(), server(None))
    assert agree(pair)
    assert pair.ike(pair.left).virtual_address is None


def test_every_address_of_a_pool_is_given_once() -> None:
    addresses = Addresses()
    assert [addresses.take(POOL) for _ in range(3)] == [POOL.first, POOL.first + 1, None]
    addresses.release(POOL.first)
    assert addresses.take(POOL) == POOL.first


# -- MOBIKE ----------------------------------------------------------------------------------------------------


def mobile(*sides: str) -> Pair:
    ends = [told(endpoint(side), mobike=side in sides) for side in ("left", "right")]
    return up(*ends)


def move(pair: Pair, address: IPv4Address) -> None:
    sa = pair.ike(pair.left)
    sa.local, sa.other_addresses = address, ()
    pair.ask(pair.left, Task("update addresses"))
    pair.run(pair.now / 1e9 + 1)


@pytest.mark.parametrize(("sides", "works"), [(("left", "right"), True), (("left",), False), (("right",), False)])
def test_both_ends_must_offer_mobike(sides: tuple[str, ...], works: bool) -> None:
    pair = mobile(*sides)
    assert agree(pair)
    assert [pair.ike(end).mobike for end in (pair.left, pair.right)] == [works, works]


def test_a_responder_follows_an_initiator_that_moves_and_not_before_it_is_told() -> None:
    pair = mobile("left", "right")
    sa = pair.ike(pair.left)
    sa.other_addresses = (ELSEWHERE,)
    pair.ask(pair.left, Task("announce addresses"))
    pair.run(2)
    assert pair.ike(pair.right).peer_addresses == (ELSEWHERE,) and pair.ike(pair.right).remote == LEFT
    sa.local = ELSEWHERE
    pair.ask(pair.left, Task("probe path"))
    pair.run(3)
    # The probe is answered to where it came from.
    assert pair.log[-1].datagram.destination == ELSEWHERE and pair.ike(pair.right).remote == LEFT


def test_an_ike_sa_that_has_moved_is_rekeyed_and_deleted_from_its_new_address() -> None:
    pair = mobile("left", "right")
    route = pair._arrive
    pair._arrive = lambda d: route(replace(d, destination=LEFT) if d.destination == ELSEWHERE else d)  # type: ignore[method-assign]
    move(pair, ELSEWHERE)
    assert pair.ike(pair.right).remote == ELSEWHERE
    pair.ask(pair.right, Task("new child"))
    pair.run(8)
    pair.ask(pair.left, Task("delete child", pair.children(pair.left)[0]))
    pair.run(9)
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(10)
    assert agree(pair)
    assert pair.ike(pair.right).remote == ELSEWHERE and pair.ike(pair.left).local == ELSEWHERE
    pair.ask(pair.right, Task("delete ike"))
    pair.run(20)
    assert not pair.left.sas and not pair.right.sas
    assert {line.datagram.source for line in pair.log if line.sender == "right"} == {RIGHT}


# -- Redirect --------------------------------------------------------------------------------------------------


class Gateways(Pair):
    """A client and a gateway that sends it to another one."""

    other: Endpoint

    def _arrive(self, datagram: Datagram) -> None:
        if datagram.destination == ELSEWHERE:
            self.right = self.other
        super()._arrive(datagram)


def redirected(client: Endpoint, to: IPv4Address = ELSEWHERE) -> Gateways:
    pair = Gateways(client, told(endpoint("right"), redirects_to=to))
    plain = endpoint("right").policy
    tunnel = replace(plain.tunnels[0], local_address=ELSEWHERE)
    pair.other = Endpoint(replace(plain, name="other", tunnels=(tunnel,)), client.implementation)
    pair.operations["other"] = []
    pair.start(client)
    pair.run(5)
    return pair


def test_a_redirected_client_sets_up_with_the_other_gateway_and_says_where_it_comes_from() -> None:
    pair = redirected(endpoint("left"))
    assert agree(pair) and pair.right is pair.other
    notify = pair.log[1].datagram.message.notify("REDIRECT")
    # Fact sheet A.8: 14 bytes and the nonce, here of 32 bytes.
    assert notify is not None and notify.size == 14 + 32
    came = pair.log[2].datagram.message.notify("REDIRECTED_FROM")
    assert came is not None and came.data == bytes((1, 4)) + RIGHT.packed
    assert pair.causes("left", "attempt_failed") == ["redirected"] and pair.kinds("left").count("attempt") == 2
    assert len(pair.log) == 6


def test_a_redirected_ios_client_that_is_not_told_to_follow_is_served_where_it_is() -> None:
    pair = redirected(endpoint("left", "ios-xe-16.9"))
    assert agree(pair) and len(pair.log) == 4
    follows = redirected(told(endpoint("left", "ios-xe-16.9"), follows_redirects=True))
    assert agree(follows) and follows.right is follows.other


def test_a_client_that_goes_round_in_circles_gives_up() -> None:
    pair = redirected(endpoint("left"), to=RIGHT)
    assert pair.causes("left", "attempt_failed") == ["redirected"] * 5 + ["redirected too often"]
    assert not pair.left.sas


def test_an_established_sa_that_is_redirected_says_so_and_stays_where_its_client_does_not_follow() -> None:
    pair = up(endpoint("left", "ios-xe-16.9"), endpoint("right"))
    pair.ask(pair.right, Task("redirect", address=ELSEWHERE))
    pair.run(2)
    (event,) = [e for who, e in pair.events if e.kind == "redirected"]
    assert event.detail == str(ELSEWHERE) and agree(pair)
