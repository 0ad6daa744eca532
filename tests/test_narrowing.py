"""Traffic selectors: the responder narrows what it is offered to what it protects (RFC 7296 2.9)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import PAPER_ESP, Pair, agree, endpoint

from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.narrowing import contains, intersection, narrow
from flexvpn_sim.models.ikev2.payloads import ANY_IPV4, ANY_IPV6, Selector, TsPayload
from flexvpn_sim.models.ikev2.policy import ChildPolicy
from flexvpn_sim.models.ikev2.sa import Task
from flexvpn_sim.models.ikev2.wire.decode import decode_payloads
from flexvpn_sim.models.ikev2.wire.draws import Draws
from flexvpn_sim.models.ikev2.wire.packet import encode_payloads
from flexvpn_sim.models.ikev2.wire.translate import plain_payload

IOS = "ios-xe-16.9"
LAN, WIDE = Selector(0, "10.1.0.0", "10.1.0.255"), Selector(0, "10.0.0.0", "10.255.255.255")
HUB = Selector(0, "10.2.0.0", "10.2.255.255")
HTTPS = Selector(6, "10.2.0.80", "10.2.0.80", 443, 443)

Side = tuple[Selector, ...]


def end(side: str, implementation: str, ours: Side, theirs: Side, **more: object) -> Endpoint:
    child = ChildPolicy((PAPER_ESP,), 3600, local_selectors=ours, remote_selectors=theirs)
    return endpoint(side, implementation, child=replace(child, **more))  # type: ignore[arg-type]


def up(left: Endpoint, right: Endpoint) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(1)
    return pair


def selectors(pair: Pair, who: Endpoint) -> tuple[Side, Side]:
    child = pair.child(who)
    return child.local_selectors, child.remote_selectors


# -- The rule --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (ANY_IPV4, LAN, LAN),
        (WIDE, LAN, LAN),
        (LAN, HUB, None),
        (ANY_IPV4, ANY_IPV6, None),
        (replace(LAN, protocol=6), LAN, replace(LAN, protocol=6)),
        (replace(LAN, protocol=6), replace(LAN, protocol=17), None),
        (HTTPS, replace(HUB, protocol=6, first_port=400, last_port=500), HTTPS),
        (HTTPS, replace(HUB, protocol=6, first_port=444), None),
        (
            Selector(0, "10.1.0.0", "10.1.0.200"),
            Selector(0, "10.1.0.100", "10.1.0.255"),
            Selector(0, "10.1.0.100", "10.1.0.200"),
        ),
    ],
)
def test_two_selectors_meet_in_what_both_select(one: Selector, other: Selector, both: Selector | None) -> None:
    assert intersection(one, other) == intersection(other, one) == both


small = st.builds(
    lambda protocol, a, b, p, q: Selector(protocol, f"10.0.0.{min(a, b)}", f"10.0.0.{max(a, b)}", min(p, q), max(p, q)),
    st.sampled_from([0, 6, 17]),
    st.integers(0, 7),
    st.integers(0, 7),
    st.integers(0, 3),
    st.integers(0, 3),
)


def packets(side: tuple[Selector, ...]) -> set[tuple[int, int, int]]:
    """Return (protocol, last octet, port) of all packets that selectors select, of a small world."""
    return {
        (protocol, octet, port)
        for s in side
        for protocol in ((6, 17) if s.protocol == 0 else (s.protocol,))
        for octet in range(int(ip_address(s.first)) & 255, (int(ip_address(s.last)) & 255) + 1)
        for port in range(s.first_port, s.last_port + 1)
    }


@given(st.lists(small, min_size=1, max_size=4).map(tuple), st.lists(small, min_size=1, max_size=4).map(tuple))
def test_narrowing_selects_exactly_the_packets_of_both_and_says_nothing_twice(offered: Side, own: Side) -> None:
    common = narrow(offered, own)
    assert packets(common) == packets(offered) & packets(own)
    assert not any(contains(a, b) for n, a in enumerate(common) for m, b in enumerate(common) if n != m)


@given(small)
def test_a_selector_with_ports_travels_in_16_octets_and_comes_back(selector: Selector) -> None:
    payload = TsPayload("TSi", (selector,))
    wire = plain_payload(payload, Draws(1), 0)
    assert wire is not None
    first, octets = encode_payloads([wire])
    assert len(octets) == payload.size == 4 + 4 + 16
    (body,) = decode_payloads(first, octets)
    field = body.selectors[0]  # type: ignore[attr-defined]
    assert (field.protocol, field.first_port, field.last_port) == (
        selector.protocol,
        selector.first_port,
        selector.last_port,
    )


# -- The responder ---------------------------------------------------------------------------------------------


def test_strongswan_narrows_to_its_networks_and_both_ends_install_the_same() -> None:
    pair = up(end("left", "strongswan", (ANY_IPV4,), (ANY_IPV4,)), end("right", "strongswan", (HUB, LAN), (LAN,)))
    assert agree(pair)
    assert selectors(pair, pair.left) == ((LAN,), (HUB, LAN))
    assert selectors(pair, pair.right) == ((HUB, LAN), (LAN,))
    # TSr has two selectors now: 8 + 2 * 16.
    sizes = {ts.role: ts.size for ts in pair.log[3].datagram.message.all(TsPayload)}
    assert sizes == {"TSi": 24, "TSr": 40}
    pair.ask(pair.left, Task("rekey child", pair.child(pair.left)))
    pair.run(3)
    assert agree(pair) and selectors(pair, pair.left) == ((LAN,), (HUB, LAN))


def test_ports_and_protocols_narrow_too() -> None:
    pair = up(end("left", "strongswan", (LAN,), (ANY_IPV4,)), end("right", "strongswan", (HTTPS,), (WIDE,)))
    assert selectors(pair, pair.left) == ((LAN,), (HTTPS,))


def test_ios_takes_its_own_selectors_and_no_others() -> None:
    pair = up(end("left", IOS, (ANY_IPV4,), (ANY_IPV4,)), end("right", IOS, (HUB,), (LAN,)))
    assert pair.causes("left", "attempt_failed")[0] == "traffic selectors differ"
    assert pair.log[3].datagram.message.notify("TS_UNACCEPTABLE") is not None


def test_nothing_in_common_is_refused() -> None:
    pair = up(end("left", "strongswan", (LAN,), (LAN,)), end("right", "strongswan", (HUB,), (LAN,)))
    assert pair.log[3].datagram.message.notify("TS_UNACCEPTABLE") is not None
    assert pair.causes("left", "attempt_failed") == ["traffic selectors differ"]
    assert len(pair.left.sas) == len(pair.right.sas) == 1 and not pair.children(pair.left)


def test_a_responder_that_wants_a_single_pair_says_so() -> None:
    left = end("left", "strongswan", (LAN,), (HUB,))
    pair = up(left, end("right", "strongswan", (HUB,), (LAN,), single_pair=True))
    notify = pair.log[3].datagram.message.notify("SINGLE_PAIR_REQUIRED")
    assert notify is not None and notify.size == 8
    assert pair.causes("left", "attempt_failed") == ["traffic selectors differ"]
    one, other = Selector(0, "10.1.0.1", "10.1.0.1"), Selector(0, "10.2.0.1", "10.2.0.1")
    left = end("left", "strongswan", (one,), (other,))
    assert agree(up(left, end("right", "strongswan", (HUB,), (LAN,), single_pair=True)))
