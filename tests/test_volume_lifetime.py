"""Lifetimes by volume: a Child SA is rekeyed before it has carried its limit and ends there (RFC 4301 4.4.2.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import PAPER_ESP, Pair, agree, changed, endpoint, mirrored
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.policy import ChildPolicy
from flexvpn_sim.models.ikev2.sa import NS_PER_S, ChildSa, IkeSa, Task, nanoseconds
from flexvpn_sim.models.ikev2.volume import limits_bytes
from flexvpn_sim.models.implementation import Implementation
from flexvpn_sim.models.traffic import Flow
from flexvpn_sim.simulate.traffic_meter import TrafficMeter

IOS = "ios-xe-16.9"
KILOBYTES = 10_000
#: Without jitter the instants are exact.
CALM = changed(IOS, values={"rekey_jitter": 0.0})


@dataclass
class Steady:
    """Traffic at one rate. [byte/s]"""

    rate: float

    def carried_ns(self, _sa: IkeSa, _child: ChildSa, n_bytes: float, now: int) -> int | None:
        return now + nanoseconds(n_bytes / self.rate) if self.rate else None

    def last_inbound_ns(self, _sa: IkeSa, now: int) -> int | None:
        return now

    def next_outbound_ns(self, _sa: IkeSa, now: int) -> int | None:
        return now


def limited(side: str, rate: float, kilobytes: int = KILOBYTES, implementation: Implementation = CALM) -> Endpoint:
    end = endpoint(side, implementation, child=ChildPolicy((PAPER_ESP,), 3600, kilobytes))
    end.traffic = Steady(rate)
    return end


def up(left: Endpoint, right: Endpoint, until_s: float = 1) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(until_s)
    return pair


def rekeys_s(pair: Pair, name: str = "left") -> list[float]:
    return pair.times_s(name, "child_installed")[1:]


def test_the_child_sa_is_rekeyed_256_kilobytes_before_its_limit() -> None:
    # 100 kB/s; the responder knows no traffic, so that the initiator begins.
    pair = up(limited("left", 100_000), endpoint("right", CALM), until_s=150)
    installed = pair.times_s("left", "child_installed")
    # (10,000 - 256) KB of 1,024 octets at 100,000 octets a second, and one exchange of 20 ms.
    assert installed[1] - installed[0] == pytest.approx((KILOBYTES - 256) * 1024 / 100_000 + 0.020, abs=1e-6)
    assert pair.causes("left", "child_deleted") == ["replaced by a rekey"]
    assert agree(pair)


def test_every_child_sa_has_a_volume_of_its_own() -> None:
    pair = up(limited("left", 1_000_000), endpoint("right", CALM), until_s=100)
    gaps = [b - a for a, b in zip(rekeys_s(pair), rekeys_s(pair)[1:], strict=False)]
    assert len(gaps) >= 7
    assert gaps == pytest.approx([(KILOBYTES - 256) * 1024 / 1e6 + 0.020] * len(gaps), abs=1e-6)
    assert agree(pair)


@pytest.mark.parametrize(("rate", "kilobytes"), [(0.0, KILOBYTES), (1e6, 0), (1000.0, KILOBYTES)])
def test_time_comes_first_without_traffic_without_a_limit_and_with_little_traffic(rate: float, kilobytes: int) -> None:
    pair = up(limited("left", rate, kilobytes), endpoint("right", CALM), until_s=3600)
    # The soft lifetime of 3,570 s.
    assert [round(t) for t in rekeys_s(pair)] == [3570]


def test_a_child_sa_that_cannot_be_rekeyed_ends_at_its_limit() -> None:
    pair = up(limited("left", 100_000), endpoint("right", CALM))
    pair.loses = lambda _n, _d: True
    pair.run(110)
    (ended,) = pair.times_s("left", "child_deleted")
    installed = pair.times_s("left", "child_installed")[0]
    assert ended - installed == pytest.approx(KILOBYTES * 1024 / 100_000, abs=1e-6)
    assert pair.causes("left", "child_deleted") == ["lifetime ended"]


def test_the_volume_of_a_replaced_child_sa_ends_nothing() -> None:
    """The old Child SA's Delete is lost for long: traffic has left it, so that its limit does not come."""
    pair = up(limited("left", 100_000), endpoint("right", CALM))
    pair.run(99.7)
    before = len(pair.log)
    # The rekey's two messages pass, what follows is lost until the limit of the old one is over.
    pair.loses = lambda n, _d: n >= before + 2 and pair.now < nanoseconds(104)
    pair.run(103.9)
    assert mirrored(pair) == 2
    pair.run(120)
    assert agree(pair) and pair.causes("left", "child_deleted") == ["replaced by a rekey"]


def test_both_ends_that_reach_the_margin_at_once_settle_the_collision() -> None:
    # The responder installs its Child SA 10 ms earlier; so the initiator, a little busier, begins 5 ms after it.
    pair = up(limited("left", 1.0005e6), limited("right", 1e6), until_s=60)
    assert pair.kinds("left").count("collision") >= 1
    pair.left.traffic = pair.right.traffic = None
    pair.run(200)
    assert agree(pair)


def test_a_rekeyed_ike_sa_takes_the_volume_along() -> None:
    pair = up(limited("left", 100_000), endpoint("right", CALM))
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(150)
    installed = pair.times_s("left", "child_installed")
    assert installed[1] - installed[0] == pytest.approx((KILOBYTES - 256) * 1024 / 100_000 + 0.020, abs=1e-6)


@given(st.integers(1, 5_000_000), st.floats(0, 0.1))
def test_the_margin_never_reaches_below_half_of_the_limit(kilobytes: int, jitter: float) -> None:
    pair = Pair(*(endpoint(side, changed(IOS, values={"rekey_jitter": jitter})) for side in ("left", "right")))
    pair.start(pair.left)
    pair.run(1)
    child = pair.child(pair.left)
    child.policy = replace(child.policy, lifetime_kilobytes=kilobytes)
    soft, hard = limits_bytes(pair.left, pair.ike(pair.left), child)
    assert hard == kilobytes * 1024 and hard / 2 <= soft <= hard


# -- The traffic of a run --------------------------------------------------------------------------------------


def flow(**more: object) -> Flow:
    values = {"name": "f", "source": "A", "destination": "B", "kind": "constant", "packet_bytes": 1400}
    return Flow(**{**values, "rate_pps": 100.0, **more})  # type: ignore[arg-type]


def metered(*flows: Flow, router: str = "A") -> tuple[TrafficMeter, IkeSa, ChildSa]:
    pair = up(endpoint("left"), endpoint("right"))
    sa = pair.ike(pair.left)
    return TrafficMeter(router, flows, {sa.remote: "B" if router == "A" else "A"}), sa, pair.child(pair.left)


def test_a_packet_counts_with_padding_and_trailer() -> None:
    meter, sa, child = metered(flow())
    # 1,400 octets, 6 of padding and 2 of trailer are 88 blocks of AES; 100 packets a second.
    assert meter.carried_ns(sa, child, 1408 * 100 * 7, 0) == 7 * NS_PER_S


def test_the_busier_direction_counts_and_other_peers_do_not() -> None:
    there, back = flow(), flow(name="g", source="B", destination="A", rate_pps=300.0)
    meter, sa, child = metered(there, back, flow(name="h", destination="C", rate_pps=9999.0))
    assert meter.carried_ns(sa, child, 1408 * 300, 0) == NS_PER_S
    meter, sa, child = metered(there, back, router="B")
    assert meter.carried_ns(sa, child, 1408 * 300, 0) == NS_PER_S


def test_flows_that_begin_and_end_fill_the_volume_piece_by_piece() -> None:
    meter, sa, child = metered(flow(start_s=10, stop_s=20), flow(name="g", start_s=15, stop_s=30))
    # From 10 s 100 packets a second, from 15 s 200, from 20 s 100 again, until 30 s: 2,500 in all.
    for packets, at_s in ((100, 11), (500, 15), (700, 16), (1500, 20), (1600, 21), (2500, 30)):
        assert meter.carried_ns(sa, child, 1408 * packets, 0) == pytest.approx(at_s * NS_PER_S, abs=2)
    assert meter.carried_ns(sa, child, 1408 * 2501, 0) is None
    assert meter.carried_ns(sa, child, 1408 * 100, 29 * NS_PER_S) == 30 * NS_PER_S
    assert meter.carried_ns(sa, child, 1408, 30 * NS_PER_S) is None


def test_a_peer_without_flows_fills_nothing() -> None:
    meter, sa, child = metered(flow(destination="C"))
    assert meter.carried_ns(sa, child, 1, 0) is None
    sa.remote = IPv4Address("203.0.113.9")
    assert meter.carried_ns(sa, child, 1, 0) is None


# -- The command line ------------------------------------------------------------------------------------------

CONFIG = """version 16.9
hostname {name}
crypto ikev2 keyring K
 peer P
  address {peer}
  pre-shared-key test
crypto ikev2 profile P
 match identity remote address {peer} 255.255.255.255
 authentication local pre-share
 authentication remote pre-share
 keyring local K
crypto ipsec transform-set T esp-aes 256 esp-sha256-hmac
 mode tunnel
crypto ipsec profile I
 set transform-set T
 set ikev2-profile P
{lifetime}interface Tunnel0
 ip address 10.0.0.{host} 255.255.255.252
 tunnel source GigabitEthernet0/0/0
 tunnel destination {peer}
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile I
interface GigabitEthernet0/0/0
 ip address {own} 255.255.255.0
"""


def test_traffic_of_a_run_makes_routers_rekey_by_volume(tmp_path: Path) -> None:
    lifetime = " set security-association lifetime kilobytes 2560\n"
    for name, own, peer, host in (("A", "192.0.2.1", "192.0.2.2", 1), ("B", "192.0.2.2", "192.0.2.1", 2)):
        text = CONFIG.format(name=name, own=own, peer=peer, host=host, lifetime=lifetime if name == "A" else "")
        (tmp_path / f"{name}.cfg").write_text(text)
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "configurations: .\nduration: 100 s\ninitiator: A\n"
        "routers: {A: {hardware: isr4321}, B: {hardware: isr4321}}\n"
        "traffic:\n  - {name: load, from: A, to: B, kind: constant, size: 1000, rate: 800 kbit/s}\n"
    )
    done = CliRunner().invoke(app, ["run", str(scenario), "--json", "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    (session,) = json.loads(done.stdout)["tunnels"]
    # 100 packets of 1,008 octets a second: (2,560 - 256) KB less up to 5 % are full after 22.1 to 23.4 s.
    assert session["up"] and session["child_rekeys"] == 4
