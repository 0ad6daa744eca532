"""Packets per second, as a ratio to a plain SimPy model of the same station in the same run.

Absolute figures are printed (``pytest -s``), never asserted: they belong to a machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
import simpy
from numpy.typing import NDArray

from flexvpn_sim.models.traffic import Flow
from flexvpn_sim.simulate import kernels
from flexvpn_sim.simulate.kernels import FlowArrivals
from flexvpn_sim.simulate.packet_path import PacketPath, Servers

Floats = NDArray[np.float64]
Sizes = NDArray[np.int32]

#: Simple IMIX, 1 us + 8 ns/byte (mean 3.72 us), 80 % load, 20 waiting places: about 1 packet in 100 is dropped.
RATE_PPS = 0.8 / (1e-6 + 8e-9 * 4084 / 12)
PLACES = 20
WINDOW_S = 0.1


def service_s(lengths: NDArray[np.integer[Any]]) -> Floats:
    return 1e-6 + 8e-9 * lengths.astype(np.float64)


def imix(stop_s: float) -> FlowArrivals:
    return FlowArrivals(Flow("f", "HQ", "BR1", "imix", rate_pps=RATE_PPS, stop_s=stop_s), 1)


def simpy_waits(times_s: Floats, lengths: Sizes) -> Floats:
    """Return waiting times, nan for drops: a process for each packet and a Resource, as a tutorial would do it."""
    env = simpy.Environment()
    server = simpy.Resource(env, capacity=1)
    waits = np.full(times_s.size, np.nan)

    def packet(place: int, service: float) -> Generator[simpy.Event, None, None]:
        arrived = env.now
        with server.request() as turn:
            yield turn
            waits[place] = env.now - arrived
            yield env.timeout(service)

    def source() -> Generator[simpy.Event, None, None]:
        for place, (at_s, service) in enumerate(zip(times_s.tolist(), service_s(lengths).tolist(), strict=True)):
            yield env.timeout(at_s - env.now)
            if server.count == 0 or len(server.queue) < PLACES:
                env.process(packet(place, service))

    env.process(source())
    env.run()
    return waits


def kernel_waits(stop_s: float) -> Floats:
    """Return waiting times of a flow drawn and served window by window."""
    arrivals = imix(stop_s)
    free, waiting, tally = np.zeros(1), np.empty(0), kernels.new_tally()
    parts = []
    for window in range(1, round(stop_s / WINDOW_S) + 1):
        times_s, lengths = arrivals.take(window * WINDOW_S)
        services = service_s(lengths)
        departures = np.empty(times_s.size)
        waiting = kernels.fifo_station(times_s, services, free, PLACES, waiting, departures, tally)
        parts.append(departures - services - times_s)
    return np.concatenate(parts)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the best of three CPU times. [s]"""
    best_s = np.inf
    for _ in range(3):
        begun_s = time.process_time()
        result = work()
        best_s = min(best_s, time.process_time() - begun_s)
    return result, best_s


@pytest.mark.bench
def test_a_station_with_random_arrivals_is_60_times_as_fast_as_plain_simpy_and_gives_the_same_waits() -> None:
    """SimPy is given its arrivals ready-made; the kernel draws its own and serves ten times as many seconds."""
    times_s, lengths = imix(0.5).take(0.5)
    begun_s = time.process_time()
    expected = simpy_waits(times_s, lengths)
    simpy_pps = times_s.size / (time.process_time() - begun_s)
    waits, kernel_s = timed(lambda: kernel_waits(5.0))
    assert np.count_nonzero(np.isnan(expected)) > 100
    np.testing.assert_allclose(waits[: expected.size], expected, atol=1e-12)
    kernel_pps = waits.size / kernel_s
    print(f"\nSimPy {simpy_pps:,.0f} packet/s, kernel {kernel_pps:,.0f} packet/s: {kernel_pps / simpy_pps:.0f} x")
    assert kernel_pps > 60.0 * simpy_pps


@pytest.mark.bench
def test_ten_million_packets_through_a_path_of_one_station_are_40_times_as_fast_as_plain_simpy() -> None:
    """Latencies, drops and statistics of every packet; the arrivals are drawn beforehand."""
    times_s, lengths = imix(50.0).take(10e6 / RATE_PPS)
    path = PacketPath((Servers("core", lambda inner, _wire: service_s(inner), 1, PLACES),))
    begun_s = time.process_time()
    simpy_waits(times_s[:100_000], lengths[:100_000])
    simpy_pps = 100_000 / (time.process_time() - begun_s)
    result, path_s = timed(lambda: path.run(times_s, lengths))
    path_pps = times_s.size / path_s
    print(f"\nSimPy {simpy_pps:,.0f} packet/s, path {path_pps:,.0f} packet/s: {path_pps / simpy_pps:.0f} x")
    assert result.delivered + result.stations[0].drops == times_s.size
    assert path_pps > 40.0 * simpy_pps
