"""NAT: keepalives, mappings that time out, peers that come from another port (RFC 7296 2.23, RFC 3948, RFC 4787)."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import LEFT, RIGHT, Pair, agree, endpoint
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.ikev2.endpoint import Endpoint, Step
from flexvpn_sim.models.ikev2.message import Datagram
from flexvpn_sim.models.ikev2.nat import Keepalive
from flexvpn_sim.models.ikev2.policy import DpdPolicy
from flexvpn_sim.models.ikev2.sa import NS_PER_S, Task, nanoseconds
from flexvpn_sim.models.nat_device import FIRST_PORT, UDP_TIMEOUT, NatDevice

PUBLIC = IPv4Address("203.0.113.1")
IOS = "ios-xe-16.9"


class Natted(Pair):
    """The left end stands behind a NAT."""

    device: NatDevice
    keepalives: list[tuple[float, Keepalive]]

    def take(self, end: Endpoint, step: Step) -> None:
        for number, datagram in enumerate(step.datagrams):
            if end is self.left:
                port = self.device.outbound((datagram.source, datagram.source_port), self.now)
                step.datagrams[number] = replace(datagram, source=PUBLIC, source_port=port)
        for keepalive in step.keepalives:
            self.keepalives.append((self.now / NS_PER_S, keepalive))
            if end is self.left:
                self.device.outbound((keepalive.source, keepalive.source_port), self.now)
        super().take(end, step)

    def _arrive(self, datagram: Datagram) -> None:
        if datagram.destination == PUBLIC:
            inside = self.device.inbound(datagram.destination_port, self.now)
            if inside is None:
                return
            datagram = replace(datagram, destination=inside[0], destination_port=inside[1])
        super()._arrive(datagram)


def told(side: str, implementation: str = "strongswan", *, dpd: DpdPolicy | None = None, **policy: object) -> Endpoint:
    end = endpoint(side, implementation, dpd=dpd)
    return Endpoint(replace(end.policy, **policy), end.implementation)  # type: ignore[arg-type]


def up(left: Endpoint, right: Endpoint, timeout_s: float = 60, until_s: float = 1) -> Natted:
    # The responder knows its client by tunnel, which is there for the NAT's address.
    tunnel = replace(right.policy.tunnels[0], remote_address=PUBLIC)
    right = Endpoint(replace(right.policy, tunnels=(tunnel,)), right.implementation)
    pair = Natted(left, right)
    pair.device, pair.keepalives = NatDevice(nanoseconds(timeout_s)), []
    pair.start(left)
    pair.run(until_s)
    return pair


# -- The device ------------------------------------------------------------------------------------------------


def test_a_mapping_lives_while_packets_go_out_and_then_gets_another_port() -> None:
    device = NatDevice(nanoseconds(60))
    host = (LEFT, 4500)
    assert device.outbound(host, 0) == FIRST_PORT
    assert device.outbound(host, nanoseconds(59)) == FIRST_PORT
    assert device.inbound(FIRST_PORT, nanoseconds(118)) == host
    # What comes in does not refresh it (RFC 4787 REQ-6).
    assert device.inbound(FIRST_PORT, nanoseconds(119)) is None
    assert device.outbound(host, nanoseconds(119)) == FIRST_PORT + 1
    assert device.inbound(FIRST_PORT, nanoseconds(119)) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=40))
def test_no_two_hosts_share_a_port_and_every_answer_finds_its_host(packets: list[tuple[int, int]]) -> None:
    device, now = NatDevice(nanoseconds(30)), 0
    for host, pause_s in packets:
        now += nanoseconds(pause_s)
        inside = (LEFT, 4500 + host)
        port = device.outbound(inside, now)
        assert device.inbound(port, now) == inside
        assert device.inbound(port, now + nanoseconds(29)) == inside
        assert device.inbound(port, now + nanoseconds(30)) is None


def test_the_assumed_timeout_has_a_range() -> None:
    assert UDP_TIMEOUT.kind == "assumed" and UDP_TIMEOUT.range == (30, 300)


# -- Detection and keepalives ----------------------------------------------------------------------------------


def test_each_end_knows_before_whom_the_nat_stands() -> None:
    pair = up(told("left"), told("right"))
    left, right = pair.ike(pair.left), pair.ike(pair.right)
    assert (left.nat_here, left.nat_there, right.nat_here, right.nat_there) == (True, False, False, True)
    assert (right.remote, right.remote_port) == (PUBLIC, FIRST_PORT + 1)
    assert agree(pair)


def test_an_end_behind_a_nat_sends_one_octet_after_20_s_of_silence() -> None:
    pair = up(told("left"), told("right"), until_s=101)
    times = [t for t, _ in pair.keepalives]
    # IKE_AUTH is answered at 40 ms; the last packet of the left end left at 20 ms, its wait begins when the SA stands.
    assert times == pytest.approx([20.04, 40.04, 60.04, 80.04, 100.04])
    keepalive = pair.keepalives[0][1]
    # One octet, UDP 8, IPv4 20 (RFC 3948 2.3).
    assert (keepalive.udp_len, keepalive.ip_len) == (1, 29)
    assert (keepalive.source_port, keepalive.destination_port) == (4500, 4500)
    assert len(pair.log) == 4


def test_a_packet_puts_the_keepalive_off() -> None:
    pair = up(told("left"), told("right"), until_s=15)
    pair.ask(pair.left, Task("dpd"))
    pair.run(36)
    assert [t for t, _ in pair.keepalives] == [pytest.approx(35.0)]


def test_without_a_nat_and_on_ios_without_a_command_nobody_sends_keepalives() -> None:
    pair = Pair(told("left"), told("right"))
    pair.start(pair.left)
    pair.run(100)
    assert not pair.times_s("left", "keepalive") and not pair.times_s("right", "keepalive")
    assert not up(told("left", IOS), told("right"), until_s=100).keepalives
    pair = up(told("left", IOS, nat_keepalive_s=10), told("right"), until_s=35)
    assert [round(t) for t, _ in pair.keepalives] == [10, 20, 30]
    assert not up(told("left", nat_keepalive_s=0), told("right"), until_s=100).keepalives


def test_keepalives_go_on_after_a_rekey_and_end_with_the_sa() -> None:
    pair = up(told("left"), told("right"))
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(50)
    assert len(pair.keepalives) == 2
    pair.ask(pair.left, Task("delete ike"))
    pair.run(200)
    assert len(pair.keepalives) == 2


# -- Mappings that time out ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval_s", "stays"), [(20, True), (59, True), (60, False), (0, False)])
def test_keepalives_below_the_timeout_keep_the_path_and_above_it_breaks(interval_s: float, stays: bool) -> None:
    pair = up(told("left", nat_keepalive_s=interval_s), told("right"), timeout_s=60, until_s=500.5)
    before = pair.ike(pair.right).remote_port
    pair.ask(pair.right, Task("dpd"))
    pair.run(501)
    answered = not pair.ike(pair.right).outstanding
    assert answered == stays
    if stays:
        assert pair.ike(pair.right).remote_port == before
    else:
        # The probe runs into the dead mapping until the peer is given up: 4 s and five more sends (strongSwan).
        pair.run(800)
        assert not pair.right.sas
        assert pair.causes("right", "ike_closed") == ["no answer"]


def test_a_peer_that_comes_from_a_new_port_is_followed() -> None:
    pair = up(told("left", nat_keepalive_s=0), told("right"), timeout_s=60, until_s=300)
    pair.ask(pair.left, Task("dpd"))
    pair.run(301)
    (moved,) = [event for who, event in pair.events if event.kind == "peer_moved"]
    assert moved.detail == f"{PUBLIC}:{FIRST_PORT + 2}"
    # From here on the responder reaches its peer by itself.
    pair.ask(pair.right, Task("rekey ike"))
    pair.run(302)
    assert agree(pair) and pair.ike(pair.right).remote_port == FIRST_PORT + 2


def test_a_probe_that_ran_into_a_dead_mapping_arrives_once_the_peer_has_shown_its_new_port() -> None:
    pair = up(told("left", nat_keepalive_s=0), told("right"), timeout_s=60, until_s=300)
    pair.ask(pair.right, Task("dpd"))
    pair.run(302)
    assert pair.ike(pair.right).outstanding
    pair.ask(pair.left, Task("dpd"))
    pair.run(310)
    # Its next copy, after 4 s, goes to the new port.
    assert not pair.ike(pair.right).outstanding
    assert pair.kinds("right").count("retransmission") == 1
    assert agree(pair)


def test_a_response_that_is_asked_for_again_goes_to_the_new_port() -> None:
    pair = up(told("left", nat_keepalive_s=0), told("right"), timeout_s=60, until_s=300)
    pair.device.timeout_ns = nanoseconds(3)
    first = len(pair.log) + 1
    pair.loses = lambda n, _d: n == first
    pair.ask(pair.left, Task("dpd"))
    pair.run(310)
    assert not pair.ike(pair.left).outstanding
    repeated = pair.log[-1].datagram
    assert repeated.transmission == 1 and repeated.destination_port == FIRST_PORT + 3


def test_dead_peer_detection_finds_a_mapping_that_died_under_a_silent_peer() -> None:
    dpd = DpdPolicy(30, 2)
    pair = up(told("left", nat_keepalive_s=0), told("right", IOS, dpd=dpd), timeout_s=10, until_s=100)
    assert not pair.right.sas
    # 30 s of silence, five probes 2 s apart and 2 s more (assumed for IOS).
    assert pair.times_s("right", "ike_closed")[0] == pytest.approx(30 + 10, abs=0.5)


def test_an_end_behind_a_nat_does_not_follow_its_peer() -> None:
    pair = up(told("left"), told("right"))
    sa = pair.ike(pair.left)
    request = pair.log[-1].datagram
    moved = replace(request, source=IPv4Address("198.51.100.7"), source_port=9999)
    pair.ask(pair.left, Task("dpd"))
    pair.run(2)
    pair.left.receive(moved, pair.now)
    assert (sa.remote, sa.remote_port) == (RIGHT, 4500)


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
{dpd}crypto ipsec transform-set T esp-aes 256 esp-sha256-hmac
 mode tunnel
crypto ipsec profile I
 set transform-set T
 set ikev2-profile P
interface Tunnel0
 ip address 10.0.0.{host} 255.255.255.252
 tunnel source GigabitEthernet0/0/0
 tunnel destination {peer}
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile I
interface GigabitEthernet0/0/0
 ip address {own} 255.255.255.0
{more}"""


def run(folder: Path, link: str, more: str = "") -> Any:
    folder.mkdir()
    # The end that is not behind the NAT looks for dead peers.
    only = {"A": {"dpd": "", "more": more}, "B": {"dpd": " dpd 60 5 periodic\n", "more": ""}}
    for name, own, peer, host in (("A", "192.0.2.1", "192.0.2.2", 1), ("B", "192.0.2.2", "192.0.2.1", 2)):
        text = CONFIG.format(name=name, own=own, peer=peer, host=host, **only[name])
        (folder / f"{name}.cfg").write_text(text)
    scenario = folder / "s.yaml"
    scenario.write_text(
        "configurations: .\nduration: 1 h\ninitiator: A\ntraffic: []\n"
        f"routers: {{A: {{hardware: isr4321}}, B: {{hardware: isr4321}}}}\nlinks:\n  A: {link}\n"
    )
    return CliRunner().invoke(app, ["run", str(scenario), "--json", "--output", str(folder / "out")])


def test_a_router_behind_a_nat_of_a_scenario_needs_keepalives(tmp_path: Path) -> None:
    silent = run(tmp_path / "silent", "{nat: true, nat_timeout: 30 s}")
    assert silent.exit_code == 0, silent.output
    (broken,) = json.loads(silent.stdout)["tunnels"]
    kept = run(tmp_path / "kept", "{nat: true, nat_timeout: 30 s}", "crypto ikev2 nat keepalive 20\n")
    (alive,) = json.loads(kept.stdout)["tunnels"]
    assert (alive["up"], alive["attempts"]) == (True, 1)
    # B's probes run into the dead mapping, and what B begins itself has no mapping to come in by.
    assert broken["attempts"] > 1


def test_a_timeout_that_is_not_stated_is_assumed(tmp_path: Path) -> None:
    done = run(tmp_path / "assumed", "{nat: true}")
    assert "NAT: timeout of UDP mappings" in json.loads(done.stdout)["assumed"]


@pytest.mark.parametrize(("link", "text"), [("{nat_timeout: 30 s}", "nat_timeout"), ("{nat: yep}", "nat")])
def test_a_wrong_nat_in_a_scenario_is_one_line(tmp_path: Path, link: str, text: str) -> None:
    done = run(tmp_path / "bad", link)
    assert done.exit_code == 2 and text in done.stderr and "Traceback" not in done.stderr
