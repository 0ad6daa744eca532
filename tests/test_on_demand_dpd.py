"""DPD on demand: a probe while there is traffic to send and nothing comes back (fact sheet C.2)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pair import Pair, agree, endpoint

from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.policy import DpdPolicy
from flexvpn_sim.models.ikev2.sa import NS_PER_S, ChildSa, IkeSa, Task, nanoseconds
from flexvpn_sim.models.traffic import Flow
from flexvpn_sim.simulate.traffic_meter import TrafficMeter

IOS = "ios-xe-16.9"
ON_DEMAND = DpdPolicy(10, 2, periodic=False)


@dataclass
class Told:
    """Traffic that leaves in [``sends_s``), and comes until ``heard_until_s``."""

    sends_s: tuple[float, float] | None
    heard_until_s: float | None = None

    def carried_ns(self, _sa: IkeSa, _child: ChildSa, _n_bytes: float, _now: int) -> int | None:
        return None

    def last_inbound_ns(self, _sa: IkeSa, now: int) -> int | None:
        return None if self.heard_until_s is None else min(now, nanoseconds(self.heard_until_s))

    def next_outbound_ns(self, _sa: IkeSa, now: int) -> int | None:
        if self.sends_s is None or now >= nanoseconds(self.sends_s[1]):
            return None
        return max(now, nanoseconds(self.sends_s[0]))


def talking(traffic: Told | None, until_s: float, dpd: DpdPolicy = ON_DEMAND) -> Pair:
    left: Endpoint = endpoint("left", IOS, dpd=dpd)
    left.traffic = traffic
    pair = Pair(left, endpoint("right", IOS))
    pair.start(left)
    pair.run(1)
    # From here on the peer is dead: it hears nothing and says nothing.
    pair.loses = lambda _n, _d: True
    pair.run(until_s)
    return pair


def test_a_dead_peer_is_found_while_there_is_traffic_for_it() -> None:
    pair = talking(Told((0, 1e6), heard_until_s=1.0), 60)
    # The last packet came at 1 s: 10 s of silence, five probes 2 s apart, and 2 s more.
    assert pair.times_s("left", "dpd") == [pytest.approx(11.0)]
    assert pair.times_s("left", "ike_closed")[0] == pytest.approx(21.0)


@pytest.mark.parametrize("traffic", [Told(None), None])
def test_without_traffic_and_without_a_driver_that_knows_it_nobody_is_probed(traffic: Told | None) -> None:
    pair = talking(traffic, 600)
    assert not pair.times_s("left", "dpd") and len(pair.left.sas) == 1


def test_traffic_that_begins_later_brings_the_probe_at_once() -> None:
    pair = talking(Told((100, 200)), 150)
    assert pair.times_s("left", "dpd") == [pytest.approx(100.0)]


def test_esp_from_the_peer_puts_the_probe_off_to_the_last_packet_and_the_interval() -> None:
    pair = talking(Told((0, 1e6), heard_until_s=43.5), 100)
    assert pair.times_s("left", "dpd") == [pytest.approx(53.5)]


def test_traffic_that_ends_before_the_interval_is_over_asks_for_no_probe() -> None:
    pair = talking(Told((0, 12), heard_until_s=5.0), 100)
    assert not pair.times_s("left", "dpd")


def test_while_packets_come_and_go_there_is_no_probe() -> None:
    pair = talking(Told((0, 1e6), heard_until_s=1e6), 1000)
    assert not pair.times_s("left", "dpd")


def test_periodic_probes_do_not_depend_on_traffic() -> None:
    for traffic in (None, Told(None), Told((0, 1e6), 1e6)):
        pair = talking(traffic, 30, DpdPolicy(10, 2))
        assert len(pair.times_s("left", "dpd")) >= 1


def test_a_live_peer_answers_the_probe_and_the_wait_begins_again() -> None:
    left = endpoint("left", IOS, dpd=ON_DEMAND)
    left.traffic = Told((0, 1e6))
    pair = Pair(left, endpoint("right", IOS))
    pair.start(left)
    pair.run(35)
    # Traffic goes one way only, so that every interval after an answer, 20 ms later, has its probe.
    times = pair.times_s("left", "dpd")
    assert times == pytest.approx([10.04, 20.06, 30.08])
    assert agree(pair)


def test_an_ike_message_counts_as_life_too() -> None:
    left = endpoint("left", IOS, dpd=ON_DEMAND)
    left.traffic = Told((0, 1e6))
    pair = Pair(left, endpoint("right", IOS))
    pair.start(left)
    pair.run(5)
    pair.ask(pair.right, Task("rekey child", pair.child(pair.right)))
    pair.run(14)
    assert not pair.times_s("left", "dpd")


# -- The traffic of a run --------------------------------------------------------------------------------------


def test_the_flows_of_a_run_tell_when_packets_come_and_go() -> None:
    pair = talking(None, 1)
    sa = pair.ike(pair.left)
    flows = [
        Flow("ping", "A", "B", "ping", 100, 1.0, start_s=10, stop_s=20),
        Flow("down", "B", "A", "constant", 100, 1.0, start_s=30, stop_s=40),
    ]
    meter = TrafficMeter("A", flows, {sa.remote: "B"})
    second = NS_PER_S
    assert meter.next_outbound_ns(sa, 0) == 10 * second
    assert meter.next_outbound_ns(sa, 15 * second) == 15 * second
    assert meter.next_outbound_ns(sa, 20 * second) is None
    assert meter.last_inbound_ns(sa, 5 * second) is None
    # Replies of the ping come as long as it goes.
    assert meter.last_inbound_ns(sa, 15 * second) == 15 * second
    assert meter.last_inbound_ns(sa, 25 * second) == 20 * second
    assert meter.last_inbound_ns(sa, 35 * second) == 35 * second
    assert meter.last_inbound_ns(sa, 90 * second) == 40 * second
