"""The path of a tunnel: stations add up, blocks do not matter, and saturation is what arithmetic says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models import esp
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.traffic import Flow
from flexvpn_sim.models.values import Ledger
from flexvpn_sim.simulate.kernels import FlowArrivals
from flexvpn_sim.simulate.packet_path import (
    LinkSpec,
    PacketPath,
    PathResult,
    Servers,
    bottleneck,
    saturation_pps,
)
from flexvpn_sim.simulate.tunnel_stations import tunnel_path

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

PAPER: dict[str, Any] = {"encryption": "aes-cbc-256", "integrity": "sha512"}
LINK = LinkSpec(rate_bps=1e9, delay_s=0.010)


@dataclass
class Router:
    """A cost model with round numbers: packet core 10 us + 1 ns/byte, crypto core 5 us + 10 ns/byte."""

    packet_cores: int = 1
    crypto_cores: int = 1
    licence_bps: float | None = 50e6
    shaper_burst_bytes: float = 15_000.0
    shaper_buffer_packets: int = 100
    packet_core_buffer_packets: int = 200
    crypto_buffer_packets: int = 200
    hsec_bps: float | None = None
    hsec_burst_bytes: float = 15_000.0
    has_engine: bool = False

    def packet_core_s(self, inner_bytes: Integers) -> Floats:
        return 10e-6 + 1e-9 * inner_bytes.astype(np.float64)

    def crypto_s(self, esp_bytes: Integers, encryption: str, integrity: str) -> Floats:
        assert encryption in (PAPER["encryption"], "null")
        assert integrity == PAPER["integrity"]
        return 5e-6 + 10e-9 * esp_bytes.astype(np.float64)

    def shaper_bps(self) -> float | None:
        return self.licence_bps


def path(sender: Router | None = None, receiver: Router | None = None, **options: Any) -> PacketPath:
    options = {"link": LINK, "sender_name": "HQ", "receiver_name": "BR1", **PAPER} | options
    return tunnel_path(sender or Router(), receiver or Router(), **options)


def packets(kind: str = "poisson", stop_s: float = 10.0, **changes: Any) -> tuple[Floats, NDArray[np.int32]]:
    if kind != "imix":
        changes.setdefault("packet_bytes", 1400)
    if "rate_bps" not in changes:
        changes.setdefault("rate_pps", 3000.0)
    return FlowArrivals(Flow("f", "HQ", "BR1", kind, stop_s=stop_s, **changes), 1).take(stop_s)  # type: ignore[arg-type]


def assert_same(result: PathResult, expected: PathResult) -> None:
    np.testing.assert_array_equal(result.latency_s, expected.latency_s)
    np.testing.assert_array_equal(result.dropped_at, expected.dropped_at)
    assert result.stations == expected.stations


def test_a_lone_packet_takes_the_sum_of_service_serialisation_and_delay() -> None:
    """1400 bytes inside are 1484 outside: 2 (10 us + 1.4 us) + 2 (5 us + 14.84 us) + 11.872 us + 10 ms."""
    result = path().run(np.array([1.0]), np.array([1400]))
    assert result.latency_s[0] == pytest.approx(2 * 11.4e-6 + 2 * 19.84e-6 + 11.872e-6 + 0.010, rel=1e-10)
    assert [station.name for station in result.stations] == [
        "HQ packet core",
        "HQ crypto core",
        "HQ licence shaper",
        "link HQ-BR1",
        "BR1 crypto core",
        "BR1 packet core",
    ]


def test_a_router_without_licence_limit_has_no_shaper_and_one_without_crypto_cores_encrypts_on_packet_cores() -> None:
    """Packet core 11.4 us and encryption 19.84 us in one service of 31.24 us."""
    big = Router(packet_cores=4, crypto_cores=0, licence_bps=None)
    result = path(big).run(np.array([0.0]), np.array([1400]))
    assert [station.name for station in result.stations][:2] == ["HQ packet core", "link HQ-BR1"]
    assert result.stations[0].service_s == pytest.approx(31.24e-6)


def test_an_engine_is_used_behind_the_packet_core_and_in_front_of_it_at_the_other_end() -> None:
    boxes = [Router(crypto_cores=2, licence_bps=None, hsec_bps=85e6, has_engine=True) for _ in range(2)]
    assert [station.name for station in path(*boxes).stations] == [
        "HQ packet core",
        "HQ HSEC limit 85 Mbit/s",
        "HQ crypto engine",
        "link HQ-BR1",
        "BR1 HSEC limit 85 Mbit/s",
        "BR1 crypto engine",
        "BR1 packet core",
    ]
    lanes = [station.servers for station in path(*boxes).stations if isinstance(station, Servers)]
    assert lanes == [1, 2, 2, 1]


def test_null_encryption_does_not_use_the_engine_but_its_hmac_costs_the_packet_core() -> None:
    """1400 bytes and a header of 20 + 8, 2 and padding to 4, and 32 of HMAC-SHA-512-256: 1464 bytes on the wire."""
    box = Router(crypto_cores=2, licence_bps=None, has_engine=True)
    result = path(box, box, encryption="null").run(np.array([0.0]), np.array([1400]))
    assert [station.name for station in result.stations] == ["HQ packet core", "link HQ-BR1", "BR1 packet core"]
    wire = int(esp.esp_packet_bytes(1400, "null", PAPER["integrity"]))
    assert result.stations[0].service_s == pytest.approx(11.4e-6 + 5e-6 + wire * 10e-9)
    assert [s.name for s in path(Router(licence_bps=None), encryption="null").stations][1] == "HQ crypto core"


def test_waiting_for_an_engine_of_several_lanes_is_that_of_m_d_c() -> None:
    """Cosmetatos (1975): Wq(M/D/c) = Wq(M/M/c) / 2 * (1 + (1 - r)(c - 1)(sqrt(4 + 5 c) - 2) / (16 r c)), within 2 %.

    The packet core in front has so many cores that nothing waits there, so arrivals at the engine stay Poisson.
    """
    lanes, load = 3, 0.85
    box = Router(packet_cores=64, crypto_cores=lanes, licence_bps=None, has_engine=True, crypto_buffer_packets=-1)
    service_s = 19.84e-6
    times_s, lengths = packets(rate_pps=load * lanes / service_s, stop_s=8.0)
    engine = path(box, Router(64, 64), link=LinkSpec(1e12, 0.0)).run(times_s, lengths).stations[1]
    offered = load * lanes
    terms = [offered**k / math.factorial(k) for k in range(lanes)]
    last = offered**lanes / math.factorial(lanes) / (1 - load)
    exponential_s = last / (sum(terms) + last) * service_s / (lanes * (1 - load))
    correction = 1 + (1 - load) * (lanes - 1) * (math.sqrt(4 + 5 * lanes) - 2) / (16 * load * lanes)
    assert engine.name == "HQ crypto engine"
    assert engine.mean_waiting_s == pytest.approx(exponential_s / 2 * correction, rel=0.03)


def test_the_limit_without_hsec_lets_a_burst_and_then_its_rate_pass_and_holds_nothing_up() -> None:
    """A bucket of 10 packets, filled again at 1000 packets a second; 2000 a second come for a second."""
    bits = 8 * 1484
    limited = Router(licence_bps=None, hsec_bps=1000 * bits, hsec_burst_bytes=10 * 1484)
    times_s, lengths = packets("constant", rate_pps=2000.0, stop_s=1.0)
    result = path(limited).run(times_s, lengths)
    limit = result.stations[1]
    assert limit.accepted == pytest.approx(1000 + 10, abs=1)
    assert limit.drops == np.count_nonzero(result.dropped_at == 1) == times_s.size - limit.accepted
    assert limit.waiting_s == limit.service_s == 0.0
    # After the burst every second packet passes.
    assert np.mean(result.dropped_at[-500:] == 1) == pytest.approx(0.5, abs=0.01)
    free = path(Router(licence_bps=None)).run(times_s, lengths).latency_s
    kept = result.dropped_at < 0
    np.testing.assert_allclose(result.latency_s[kept], free[kept], rtol=1e-12)
    after_overload = path(limited).run(times_s, lengths, empty_buckets=True).stations[1]
    assert after_overload.accepted == pytest.approx(1000, abs=1)


def test_a_packet_longer_than_the_burst_never_passes_the_limit() -> None:
    limited = Router(licence_bps=None, hsec_bps=85e6, hsec_burst_bytes=1483)
    assert path(limited).run(np.array([0.0, 100.0]), np.array([1400, 1400])).delivered == 0


@pytest.mark.parametrize("cores", [1, 3])
def test_block_size_changes_no_bit(cores: int) -> None:
    """Loss, jitter, drops, fragments, and packets that overtake each other on several cores."""
    times_s, lengths = packets("imix", rate_pps=25_000.0, stop_s=0.4)
    lengths[::7] = 4000
    link = LinkSpec(200e6, 0.003, jitter_s=0.001, loss=0.01, buffer_packets=50)
    tunnel = path(Router(cores, cores), Router(cores, cores, hsec_bps=40e6), link=link)
    whole = tunnel.run(times_s, lengths, block_packets=10**9)
    assert sum(station.drops for station in whole.stations) > 100
    assert whole.stations[3].lost > 10
    assert whole.stations[4].drops > 10
    for block_packets in (1000, 77, 1) if cores == 3 else (4096,):
        assert_same(tunnel.run(times_s, lengths, block_packets=block_packets), whole)


def test_packets_that_overtake_arrive_at_the_next_station_in_order_of_time() -> None:
    """Two cores, a long packet before a short one: the short one is first at the second station (one core, 1 s)."""
    lengths_are_seconds = Servers("two cores", lambda inner, _wire: inner.astype(np.float64), 2)
    then = Servers("one core", lambda inner, _wire: np.ones(inner.size))
    for block_packets in (1, 2, 3):
        result = PacketPath((lengths_are_seconds, then)).run(
            np.array([0.0, 1.0, 1.5]), np.array([10, 2, 7]), block_packets=block_packets
        )
        assert (result.arrivals_s + result.latency_s).tolist() == [11.0, 4.0, 12.0]


def test_every_packet_is_delivered_or_dropped_at_one_station() -> None:
    """in = out + dropped + lost on every station, and each hands on what it did not drop."""
    times_s, lengths = packets("imix", rate_bps=80e6, stop_s=5.0)
    lengths = np.minimum(lengths, 1400)
    result = path(link=LinkSpec(45e6, 0.01, loss=0.02, buffer_packets=20)).run(times_s, lengths)
    offered = times_s.size
    for place, station in enumerate(result.stations):
        assert station.arrivals == offered
        assert np.count_nonzero(result.dropped_at == place) == station.drops + station.lost
        offered -= station.drops + station.lost
    assert result.delivered == offered == np.count_nonzero(~np.isnan(result.latency_s))
    assert result.stations[2].drops > 0
    assert result.stations[3].drops > 0
    assert result.stations[3].lost > 0


def test_littles_law_holds_on_every_station() -> None:
    """Mean queue (counted event by event) = rate of accepted packets x mean waiting time."""
    times_s, lengths = packets("imix", rate_bps=60e6)
    tunnel = path(Router(2, 2), Router(2, 1), link=LinkSpec(52e6, 0.01, buffer_packets=20))
    result = tunnel.run(times_s, np.minimum(lengths, 1400))
    assert sum(station.waiting_s > 0.0 for station in result.stations) >= 5
    for station in result.stations:
        arrival_rate_pps = station.accepted / station.observed_s
        assert station.mean_queue_packets == pytest.approx(arrival_rate_pps * station.mean_waiting_s, rel=1e-9, abs=0)


def test_times_at_the_stations_add_up_to_the_latency() -> None:
    """Where the time goes: no drops, so the mean times of the stations sum to the mean latency."""
    times_s, lengths = packets(rate_pps=3500.0, stop_s=3.0)
    result = path(Router(licence_bps=45e6)).run(times_s, lengths)
    assert result.delivered == times_s.size
    assert sum(station.mean_time_s for station in result.stations) == pytest.approx(result.latency_s.mean(), rel=1e-9)


@pytest.mark.parametrize(
    ("sender", "receiver", "link_bps", "name", "capacity_pps"),
    [
        (Router(), Router(), 1e9, "HQ licence shaper", 50e6 / (8 * 1484)),
        (Router(licence_bps=None), Router(), 1e9, "HQ crypto core", 1 / 19.84e-6),
        (Router(crypto_cores=4, licence_bps=None), Router(crypto_cores=3), 1e10, "HQ packet core", 1 / 11.4e-6),
        (Router(4, 4, None), Router(2, 2), 1e10, "BR1 crypto core", 2 / 19.84e-6),
        (Router(), Router(), 20e6, "link HQ-BR1", 20e6 / (8 * 1484)),
        (Router(1, 3, None, has_engine=True), Router(2, 4), 1e10, "HQ packet core", 1 / 11.4e-6),
        (Router(4, 3, None, has_engine=True), Router(4, 4), 1e10, "HQ crypto engine", 3 / 19.84e-6),
        (Router(4, 4, None), Router(4, 2, has_engine=True), 1e10, "BR1 crypto engine", 2 / 19.84e-6),
        (Router(hsec_bps=40e6), Router(), 1e9, "HQ HSEC limit 40 Mbit/s", 40e6 / (8 * 1484)),
        (Router(licence_bps=None), Router(hsec_bps=85e6), 1e9, "BR1 HSEC limit 85 Mbit/s", 85e6 / (8 * 1484)),
    ],
)
def test_saturated_path_delivers_the_capacity_of_its_slowest_station(
    sender: Router, receiver: Router, link_bps: float, name: str, capacity_pps: float
) -> None:
    """Throughput = min over stations of servers / service time or rate / bits, within 1 %, at 1.5 times that load."""
    tunnel = path(sender, receiver, link=LinkSpec(link_bps, 0.01, buffer_packets=100))
    capacity = saturation_pps(tunnel, 1400)
    assert min(capacity, key=lambda station: capacity[station]) == name
    assert capacity[name] == pytest.approx(capacity_pps)
    times_s, lengths = packets(rate_pps=1.5 * capacity_pps, stop_s=20_000 / capacity_pps)
    result = tunnel.run(times_s, lengths)
    assert result.throughput_pps == pytest.approx(capacity_pps, rel=0.01)
    station, utilisation = bottleneck(result)
    assert station == name
    assert utilisation == pytest.approx(1.0, abs=0.01)


def test_a_long_packet_is_fragmented_before_encryption_and_arrives_with_its_last_fragment() -> None:
    """1500 bytes become 1420 + 100 inside and 1500 + 188 outside; the second fragment always waits for the first."""
    tunnel = path(Router(licence_bps=None))
    result = tunnel.run(np.array([0.0]), np.array([1500]))
    assert [station.arrivals for station in result.stations] == [2] * 5
    assert result.stations[2].busy_s == pytest.approx(8 * 1688 / 1e9)
    first_s = 11.42e-6 + 20e-6 + 12e-6 + 0.010 + 20e-6 + 11.42e-6
    assert result.latency_s[0] == pytest.approx(first_s + 10.1e-6, rel=1e-9)
    assert saturation_pps(tunnel, 1500)["HQ crypto core"] == pytest.approx(1 / (2 * 5e-6 + 1688 * 10e-9))


def test_a_packet_is_lost_when_one_of_its_fragments_is() -> None:
    """With loss p for each of two fragments, 1 - (1 - p)^2 of the packets are lost, within 4 standard errors."""
    times_s, lengths = packets(rate_pps=1000.0, packet_bytes=1500, stop_s=50.0)
    result = path(link=LinkSpec(1e9, 0.01, loss=0.1)).run(times_s, lengths)
    share = 1.0 - 0.9**2
    assert np.mean(np.isnan(result.latency_s)) == pytest.approx(share, abs=4 * math.sqrt(share * 0.81 / times_s.size))


def test_a_dropped_packet_changes_no_other_packets_fate_on_the_link() -> None:
    """Common random numbers: with and without drops at the shaper, the same packets are lost among those in both."""
    times_s, lengths = packets(rate_pps=6000.0, stop_s=3.0)
    link = LinkSpec(1e9, 0.01, loss=0.1)
    free, shaped = (path(Router(licence_bps=rate), link=link).run(times_s, lengths) for rate in (None, 50e6))
    assert shaped.stations[2].drops > 1000
    both = shaped.dropped_at != 2
    np.testing.assert_array_equal(np.isnan(free.latency_s)[both], np.isnan(shaped.latency_s)[both])


def test_jitter_of_a_quiet_link_has_its_mean_and_range() -> None:
    """Uniform in [0, j): mean j/2 within 4 standard errors, when packets are further apart than j."""
    times_s, lengths = packets("constant", rate_pps=100.0, packet_bytes=100, stop_s=100.0)
    steady = path().run(times_s, lengths).latency_s
    extra_s = path(link=LinkSpec(1e9, 0.01, jitter_s=0.005)).run(times_s, lengths).latency_s - steady
    assert extra_s.min() >= -1e-12
    assert extra_s.max() < 0.005
    assert extra_s.mean() == pytest.approx(0.0025, abs=4 * 0.005 / math.sqrt(12 * times_s.size))


def test_an_empty_run_is_an_empty_result() -> None:
    result = path().run(np.empty(0), np.empty(0, np.int32))
    assert result.delivered == 0
    assert result.throughput_pps == 0.0
    assert all(station.utilisation == station.mean_queue_packets == 0.0 for station in result.stations)


def test_the_isr4321_profile_makes_a_path_and_its_slowest_station_limits_it() -> None:
    """Saturation of the real cost model, every station's service or rate taken from it."""
    cost = CostModel(load_profile("isr4321"), Ledger())
    tunnel = path(cost, cost)  # type: ignore[arg-type]
    capacity = saturation_pps(tunnel, 1400)
    wire = np.array([esp.esp_packet_bytes(1400, **PAPER)])
    assert capacity["HQ packet core"] == pytest.approx(cost.packet_cores / cost.packet_core_s(np.array([1400]))[0])
    assert capacity["HQ crypto core"] == pytest.approx(cost.crypto_cores / cost.crypto_s(wire, **PAPER)[0])
    limit_pps = min(capacity.values())
    times_s, lengths = packets(rate_pps=1.5 * limit_pps, stop_s=20_000 / limit_pps)
    assert tunnel.run(times_s, lengths).throughput_pps == pytest.approx(limit_pps, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_bps": 0.0}, "rate_bps is 0; it must be greater than 0"),
        ({"delay_s": -0.1}, "must be at least 0"),
        ({"jitter_s": math.inf}, "must be at least 0, finite"),
        ({"loss": 1.5}, "loss is 1.5; it must lie between 0 and 1"),
    ],
)
def test_a_link_that_cannot_be_says_why(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LinkSpec(**{"rate_bps": 1e9, "delay_s": 0.01} | changes)  # type: ignore[arg-type]


def test_wrong_arrivals_and_names_are_refused() -> None:
    with pytest.raises(InputError, match="must not decrease"):
        path().run(np.array([1.0, 0.5]), np.array([100, 100]))
    with pytest.raises(InputError, match="different names"):
        path(sender_name="HQ", receiver_name="HQ")
