"""Redirection: in IKE_SA_INIT, in IKE_AUTH and of an established SA; clients that go round in circles (RFC 5685)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import LEFT, RIGHT, Pair, agree, endpoint

from flexvpn_sim.models.addresses import IpAddress
from flexvpn_sim.models.ikev2 import redirect
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.message import Datagram, Exchange
from flexvpn_sim.models.ikev2.payloads import AuthPayload, DeletePayload, SaPayload
from flexvpn_sim.models.ikev2.sa import Task
from flexvpn_sim.models.ikev2.states import State
from flexvpn_sim.models.secret import Secret

ELSEWHERE, THIRD = IPv4Address("10.3.0.1"), IPv4Address("10.4.0.1")
IOS = "ios-xe-16.9"


class Gateways(Pair):
    """A client and gateways by address; ``right`` is the one at ``RIGHT``."""

    others: dict[IpAddress, Endpoint]

    def _arrive(self, datagram: Datagram) -> None:
        end = self.left if datagram.destination == LEFT else self.others.get(datagram.destination, self.right)
        self.take(end, end.receive(datagram, self.now))

    def _finish(self, end: Endpoint, token: int) -> None:
        self.take(end, end.done(token, self.now))


def gateway(address: IPv4Address, **policy: object) -> Endpoint:
    plain = endpoint("right").policy
    tunnel = replace(plain.tunnels[0], local_address=address)
    told = replace(plain, name=str(address), tunnels=(tunnel,), **policy)  # type: ignore[arg-type]
    return Endpoint(told, endpoint("right").implementation)


def client(implementation: str = "strongswan", **policy: object) -> Endpoint:
    end = endpoint("left", implementation)
    return Endpoint(replace(end.policy, **policy), end.implementation)  # type: ignore[arg-type]


def play(left: Endpoint, right: Endpoint, *others: Endpoint, until_s: float = 5) -> Gateways:
    pair = Gateways(left, right)
    pair.others = {end.policy.tunnels[0].local_address: end for end in others}
    for end in (right, *others):
        pair.operations[end.name] = []
    pair.start(left)
    pair.run(until_s)
    return pair


def at(pair: Gateways, address: IPv4Address) -> Pair:
    """Return the client with the gateway at another address in the place of the first one."""
    return Pair(pair.left, pair.others[address])


# -- IKE_SA_INIT -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "size"),
    [(ELSEWHERE, 14), (IPv6Address("2001:db8::1"), 26), ("gw2.cptl.local", 24)],
)
def test_a_gateway_is_named_by_address_of_either_family_or_by_name(target: redirect.Gateway, size: int) -> None:
    # Header 8 (A.8), type and length 2, then 4 or 16 octets or the name, then the nonce of 32 octets.
    assert redirect.payload(target, 32).size == size + 32
    assert redirect.gateway_of(redirect.payload(target, 32)) == target


@given(st.one_of(st.ip_addresses(), st.from_regex(r"[a-z]{1,60}\.[a-z]{2,9}", fullmatch=True)))
def test_every_gateway_comes_back_from_its_octets(target: redirect.Gateway) -> None:
    notify = redirect.payload(target)
    assert redirect.gateway_of(notify) == target and len(notify.data) == notify.n_bytes


def test_a_client_resolves_the_name_of_a_gateway_or_gives_up() -> None:
    hosts = {"gw2.cptl.local": ELSEWHERE}
    right = gateway(RIGHT, redirects_to="gw2.cptl.local")
    pair = play(client(hosts=hosts), right, gateway(ELSEWHERE))
    assert agree(at(pair, ELSEWHERE))
    pair = play(client(), gateway(RIGHT, redirects_to="gw2.cptl.local"))
    assert pair.causes("left", "attempt_failed") == ["no usable address of the gateway"] and not pair.left.sas


def test_a_gateway_of_another_address_family_is_none_for_a_client_without_it() -> None:
    pair = play(client(), gateway(RIGHT, redirects_to=IPv6Address("2001:db8::1")))
    assert pair.causes("left", "attempt_failed") == ["no usable address of the gateway"]


# -- IKE_AUTH --------------------------------------------------------------------------------------------------


def test_in_ike_auth_the_client_is_authenticated_and_gets_no_child_sa_before_it_goes() -> None:
    right = gateway(RIGHT, redirects_to=ELSEWHERE, redirects_in="auth")
    pair = play(client(), right, gateway(ELSEWHERE))
    answer = pair.log[3].datagram.message
    assert answer.find(AuthPayload) is not None and answer.find(SaPayload) is None
    notify = answer.notify("REDIRECT")
    # No nonce here: the answer is protected (RFC 5685 section 6).
    assert notify is not None and notify.size == 14
    assert agree(at(pair, ELSEWHERE)) and not right.sas
    exchanges = [(line.datagram.message.exchange, line.datagram.destination) for line in pair.log[4:]]
    assert (Exchange.INFORMATIONAL, RIGHT) in exchanges
    assert (Exchange.IKE_SA_INIT, ELSEWHERE) in exchanges
    came = next(m for m in (line.datagram.message for line in pair.log[4:]) if m.notify("REDIRECTED_FROM"))
    assert came.notify("REDIRECTED_FROM").data == bytes((1, 4)) + RIGHT.packed  # type: ignore[union-attr]
    # Four messages, four at the other gateway, two to delete.
    assert len(pair.log) == 10
    assert pair.causes("left", "ike_closed") == ["redirected"]


def test_a_wrong_key_is_refused_before_anybody_is_redirected() -> None:
    bad = endpoint("left", local_key=Secret("another"), remote_key=Secret("another"))
    pair = play(bad, gateway(RIGHT, redirects_to=ELSEWHERE, redirects_in="auth"), gateway(ELSEWHERE))
    assert pair.log[3].datagram.message.notify("AUTHENTICATION_FAILED") is not None
    assert not pair.times_s("left", "redirected")


def test_a_client_that_does_not_follow_is_served_in_ike_auth_too() -> None:
    right = gateway(RIGHT, redirects_to=ELSEWHERE, redirects_in="auth")
    pair = play(client(IOS), right, gateway(ELSEWHERE))
    assert agree(pair) and len(pair.log) == 4
    right = gateway(RIGHT, redirects_to=ELSEWHERE, redirects_in="auth")
    pair = play(client(IOS, follows_redirects=True), right, gateway(ELSEWHERE))
    assert agree(at(pair, ELSEWHERE)) and not right.sas


# -- Established SAs -------------------------------------------------------------------------------------------


def send_away(pair: Gateways, target: redirect.Gateway, until_s: float) -> None:
    pair.ask(pair.right, Task("redirect", address=target))
    pair.run(until_s)


def test_an_established_client_acknowledges_deletes_and_begins_anew() -> None:
    pair = play(client(), gateway(RIGHT), gateway(ELSEWHERE))
    send_away(pair, ELSEWHERE, 10)
    messages = [line.datagram.message for line in pair.log[4:]]
    request, acknowledgement = messages[:2]
    assert request.notify("REDIRECT") is not None and request.exchange is Exchange.INFORMATIONAL
    assert acknowledgement.response and acknowledgement.payloads == ()
    assert any(m.find(DeletePayload) for m in messages[2:])
    assert agree(at(pair, ELSEWHERE)) and not pair.right.sas
    # Redirect 2, delete 2, set-up 4.
    assert len(messages) == 8
    assert pair.causes("left", "child_deleted") == ["redirected"]


def test_a_client_whose_ike_sa_was_rekeyed_by_the_gateway_follows_too() -> None:
    pair = play(client(), gateway(RIGHT), gateway(ELSEWHERE))
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(6)
    send_away(pair, ELSEWHERE, 12)
    assert agree(at(pair, ELSEWHERE)) and not pair.right.sas


def test_a_gateway_that_goes_away_before_the_client_has_deleted_does_not_hold_it_back() -> None:
    pair = play(client(), gateway(RIGHT), gateway(ELSEWHERE))
    away = [False]
    pair.loses = lambda _n, d: away[0] and RIGHT in (d.source, d.destination)
    pair.ask(pair.right, Task("redirect", address=ELSEWHERE))
    pair.run(5.015)
    away[0] = True
    pair.run(400)
    assert len(pair.left.sas) == 1 and pair.children(pair.left)
    (sa,) = pair.left.sas.values()
    assert sa.remote == ELSEWHERE and sa.state is State.ESTABLISHED
    # The old SA ends when its Delete is not answered, and nobody wants it back.
    assert pair.causes("left", "ike_closed") == ["no answer"]
    assert pair.kinds("left").count("attempt") == 2


def test_a_lost_redirection_is_repeated_and_followed_once() -> None:
    pair = play(client(), gateway(RIGHT), gateway(ELSEWHERE))
    pair.loses = lambda n, _d: n in (4, 6)
    send_away(pair, ELSEWHERE, 60)
    assert agree(at(pair, ELSEWHERE))
    assert pair.kinds("left").count("redirected") == 1


def test_a_client_that_comes_to_another_gateway_and_loses_it_begins_where_it_is_configured() -> None:
    away = [False]
    pair = play(client(IOS, follows_redirects=True), gateway(RIGHT), gateway(ELSEWHERE))
    send_away(pair, ELSEWHERE, 10)
    pair.loses = lambda _n, d: away[0] and ELSEWHERE in (d.source, d.destination)
    away[0] = True
    pair.ask(pair.left, Task("dpd"), pair.ike(pair.left))
    pair.run(400)
    assert agree(pair)
    assert pair.ike(pair.left).remote == RIGHT


# -- Circles ---------------------------------------------------------------------------------------------------


def test_two_gateways_that_send_a_client_to_each_other_lose_it_after_five_times() -> None:
    pair = play(client(), gateway(RIGHT, redirects_to=ELSEWHERE), gateway(ELSEWHERE, redirects_to=RIGHT))
    assert pair.causes("left", "attempt_failed") == ["redirected"] * 5 + ["redirected too often"]
    assert not pair.left.sas
    # Each of the six requests was answered without state.
    assert len(pair.log) == 12


@pytest.mark.parametrize("most", [1, 3])
def test_a_client_may_be_told_to_follow_less_often(most: int) -> None:
    pair = play(
        client(max_redirects=most), gateway(RIGHT, redirects_to=ELSEWHERE), gateway(ELSEWHERE, redirects_to=RIGHT)
    )
    assert pair.causes("left", "attempt_failed") == ["redirected"] * most + ["redirected too often"]


@pytest.mark.parametrize(("apart_s", "followed"), [(59.0, 5), (76.0, 6)])
def test_the_limit_counts_the_redirections_of_the_last_300_seconds(apart_s: float, followed: int) -> None:
    """A client is redirected six times, at equal distances: the sixth falls into the period of the first or not."""
    gateways = [gateway(RIGHT), gateway(ELSEWHERE)]
    pair = play(client(), *gateways, until_s=1)
    for number in range(6):
        here, there = gateways[number % 2], (ELSEWHERE, RIGHT)[number % 2]
        if not here.sas:
            break
        pair.ask(here, Task("redirect", address=there), next(reversed(here.sas.values())))
        pair.run(1 + (number + 1) * apart_s)
    moved = [e for who, e in pair.events if who == "left" and e.kind == "redirected" and e.refusal is None]
    refused = [e for who, e in pair.events if who == "left" and e.kind == "redirected" and e.refusal is not None]
    assert (len(moved), len(refused)) == (followed, 6 - followed)
    # Who does not follow any more stays where it is.
    assert len(pair.left.sas) == 1 and len(pair.children(pair.left)) == 1
