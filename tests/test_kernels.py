"""Packet kernels against queueing theory, plain-Python references, and themselves cut into windows.

Theory is compared statistically: the formula lies inside the 99.9 % confidence interval of 40 batch means, and the
interval is narrower than 2 % either side. Seeds are fixed.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flexvpn_sim.models import randomness
from flexvpn_sim.simulate import kernels

Floats = NDArray[np.float64]

PACKETS = 4_000_000
BATCHES = 40
#: Student's t with 39 degrees of freedom, 0.9995 quantile.
T_39 = 3.558


def uniforms(purpose: str, count: int = PACKETS) -> Floats:
    bits = randomness.hash64_array(randomness.make_key(1, "queue", purpose), 0, count)
    return (bits >> np.uint64(11)).astype(np.float64) * randomness.UNIT


def exponentials(purpose: str, mean: float, count: int = PACKETS) -> Floats:
    return -np.log1p(-uniforms(purpose, count)) * mean


def poisson_arrivals(rate: float, count: int = PACKETS) -> Floats:
    return np.cumsum(exponentials("arrivals", 1.0 / rate, count))


class Station:
    """A FIFO station between windows."""

    def __init__(self, servers: int = 1, buffer_packets: int = -1) -> None:
        self.free = np.zeros(servers)
        self.buffer_packets = buffer_packets
        self.waiting = np.empty(0)
        self.tally = kernels.new_tally()

    def serve(self, arrivals: Floats, services: Floats) -> Floats:
        departures = np.empty(arrivals.size)
        self.waiting = kernels.fifo_station(
            arrivals, services, self.free, self.buffer_packets, self.waiting, departures, self.tally
        )
        return departures

    def stats(self) -> kernels.StationStats:
        kernels.drain(self.waiting, self.tally)
        return kernels.StationStats.of("station", self.free.size, self.tally, np.zeros(3), serves=True)


class Bucket:
    """A token bucket between windows."""

    def __init__(self, rate_bps: float, burst_bits: float, buffer_packets: int = -1) -> None:
        self.rate_bps, self.burst_bits, self.buffer_packets = rate_bps, burst_bits, buffer_packets
        self.bucket = np.array([burst_bits, 0.0])
        self.waiting = np.empty(0)
        self.tally = kernels.new_tally()

    def serve(self, arrivals: Floats, bits: Floats) -> Floats:
        departures = np.empty(arrivals.size)
        self.waiting = kernels.shaper_station(
            arrivals,
            bits,
            self.rate_bps,
            self.burst_bits,
            self.bucket,
            self.buffer_packets,
            self.waiting,
            departures,
            self.tally,
        )
        return departures


def assert_mean(observed: Floats, theory: float) -> None:
    """Theory inside the 99.9 % interval of batch means after a warm-up of one batch, and the interval narrow."""
    batches = observed[: observed.size // (BATCHES + 1) * (BATCHES + 1)].reshape(BATCHES + 1, -1)[1:].mean(axis=1)
    half_width = T_39 * batches.std(ddof=1) / math.sqrt(BATCHES)
    assert half_width < 0.02 * theory
    assert abs(batches.mean() - theory) < half_width


def waiting_times(servers: int, arrivals: Floats, services: Floats) -> Floats:
    return Station(servers).serve(arrivals, services) - services - arrivals


# Theory


@pytest.mark.parametrize("load", [0.5, 0.7])
def test_mean_waiting_time_of_m_m_1(load: float) -> None:
    """Wq = rho / (mu - lambda)."""
    waits = waiting_times(1, poisson_arrivals(load), exponentials("service", 1.0))
    assert_mean(waits, load / (1.0 - load))


def test_mean_waiting_time_of_m_d_1() -> None:
    """Wq = rho s / (2 (1 - rho))."""
    waits = waiting_times(1, poisson_arrivals(0.8), np.ones(PACKETS))
    assert_mean(waits, 0.8 / (2.0 * 0.2))


def test_mean_waiting_time_of_m_g_1_with_packet_lengths_of_an_imix() -> None:
    """Pollaczek-Khinchine, Wq = lambda E[S^2] / (2 (1 - rho)); service 1 us + 8 ns/byte, lengths 7:4:1."""
    lengths = np.select([uniforms("length") < 7 / 12, uniforms("length") < 11 / 12], [40.0, 576.0], 1500.0)
    services = 1.0 + 0.008 * lengths
    shares, values = np.array([7, 4, 1]) / 12, 1.0 + 0.008 * np.array([40.0, 576.0, 1500.0])
    rate = 0.7 / float(shares @ values)
    waits = waiting_times(1, poisson_arrivals(rate), services)
    assert_mean(waits, rate * float(shares @ values**2) / (2.0 * 0.3))


def test_mean_waiting_time_of_m_g_1_with_hyperexponential_service() -> None:
    """Pollaczek-Khinchine; with 0.9 mean 0.5 and with 0.1 mean 5.5: E[S] = 1, E[S^2] = 2 (0.9 0.25 + 0.1 30.25)."""
    means = np.where(uniforms("branch", 3 * PACKETS) < 0.9, 0.5, 5.5)
    services = means * exponentials("service", 1.0, 3 * PACKETS)
    waits = waiting_times(1, poisson_arrivals(0.5, 3 * PACKETS), services)
    assert_mean(waits, 0.5 * 2.0 * (0.9 * 0.25 + 0.1 * 30.25) / (2.0 * 0.5))


@pytest.mark.parametrize("servers", [2, 5])
def test_mean_waiting_time_of_m_m_c(servers: int) -> None:
    """Erlang C: Wq = C(c, a) / (c mu - lambda), a = lambda / mu."""
    load = 0.7
    erlangs = load * servers
    below = sum(erlangs**k / math.factorial(k) for k in range(servers))
    full = erlangs**servers / math.factorial(servers) / (1.0 - load)
    count = 2 * PACKETS
    waits = waiting_times(servers, poisson_arrivals(erlangs, count), exponentials("service", 1.0, count))
    assert_mean(waits, full / (below + full) / (servers - erlangs))


@pytest.mark.parametrize("load", [0.8, 1.0, 1.3])
def test_loss_of_m_m_1_k(load: float) -> None:
    """P(loss) = (1 - rho) rho^K / (1 - rho^(K+1)), 1 / (K + 1) at rho = 1; K = 5 of which 4 wait."""
    k = 5
    theory = 1.0 / (k + 1) if load == 1.0 else (1.0 - load) * load**k / (1.0 - load ** (k + 1))
    departures = Station(1, k - 1).serve(poisson_arrivals(load), exponentials("service", 1.0))
    assert_mean(np.isnan(departures).astype(np.float64), theory)


@pytest.mark.parametrize("deterministic", [False, True])
def test_loss_without_waiting_places_is_erlang_b_whatever_the_service_time_distribution(deterministic: bool) -> None:
    """Erlang B for M/M/3/3 and M/D/3/3: B = (a^c / c!) / sum a^k / k!, a = 2."""
    theory = (2.0**3 / 6.0) / sum(2.0**k / math.factorial(k) for k in range(4))
    services = np.ones(PACKETS) if deterministic else exponentials("service", 1.0)
    departures = Station(3, 0).serve(poisson_arrivals(2.0), services)
    assert_mean(np.isnan(departures).astype(np.float64), theory)


def test_a_token_bucket_passes_its_rate_in_the_long_run_and_the_offered_load_below_it() -> None:
    """Throughput = min(offered, rate); at most rate t + burst bits leave in t seconds."""
    bits = np.where(uniforms("length") < 0.5, 1_000.0, 12_000.0)
    for load in (0.6, 1.5):
        arrivals = poisson_arrivals(load * 1e8 / 6_500.0)
        shaper = Bucket(1e8, 120_000.0, 64)
        departures = shaper.serve(arrivals, bits)
        passed = ~np.isnan(departures)
        observed_bps = bits[passed].sum() / (departures[passed][-1] - arrivals[0])
        if load < 1.0:
            assert passed.all()
            assert observed_bps == pytest.approx(bits.sum() / (arrivals[-1] - arrivals[0]), rel=1e-4)
        else:
            assert observed_bps == pytest.approx(1e8, rel=1e-4)


@pytest.mark.parametrize(("servers", "buffer_packets", "load"), [(1, -1, 0.8), (3, -1, 0.8), (1, 6, 1.4), (4, 3, 1.1)])
def test_littles_law_holds_on_a_station_that_ran_empty(servers: int, buffer_packets: int, load: float) -> None:
    """Lq = lambda Wq exactly; Lq is counted event by event, here once more from sorted events."""
    count = 200_000
    arrivals, services = poisson_arrivals(load * servers, count), exponentials("service", 1.0, count)
    station = Station(servers, buffer_packets)
    departures = station.serve(arrivals, services)
    stats = station.stats()
    accepted = ~np.isnan(departures)
    starts = departures[accepted] - services[accepted]
    times = np.concatenate([arrivals[accepted], starts])
    steps = np.repeat([1, -1], starts.size)
    order = np.argsort(times, kind="stable")
    area = float(np.cumsum(steps[order])[:-1] @ np.diff(times[order]))
    assert stats.queue_area_packet_s == pytest.approx(area, rel=1e-9)
    assert stats.mean_queue_packets == pytest.approx(stats.accepted / stats.observed_s * stats.mean_waiting_s, rel=1e-9)
    assert stats.drops == np.count_nonzero(~accepted)
    assert stats.longest_waiting_s == pytest.approx(np.max(starts - arrivals[accepted]), rel=1e-9)
    assert stats.utilisation == pytest.approx(services[accepted].sum() / (servers * stats.observed_s), rel=1e-9)
    assert stats.utilisation < 1.0


# Plain-Python references


GRID = st.integers(0, 40).map(lambda quarter: quarter / 4.0)
TRAFFIC = st.lists(st.tuples(GRID, GRID), min_size=1, max_size=40)


def reference_fifo(arrivals: list[float], services: list[float], servers: int, places: int) -> list[float]:
    """First come first served, by looking at all earlier packets each time."""
    starts: list[float] = []
    ends: list[float] = []
    departures = []
    for now, service in zip(arrivals, services, strict=True):
        in_service_or_before = sorted(ends)[-servers:]
        free_at = in_service_or_before[0] if len(in_service_or_before) == servers else -math.inf
        if free_at > now and 0 <= places <= sum(start > now for start in starts):
            departures.append(math.nan)
            continue
        starts.append(max(now, free_at))
        ends.append(starts[-1] + service)
        departures.append(ends[-1])
    return departures


@given(traffic=TRAFFIC, servers=st.integers(1, 4), places=st.integers(-1, 3))
def test_a_station_serves_as_a_queue_on_paper_does(
    traffic: list[tuple[float, float]], servers: int, places: int
) -> None:
    """Times on a coarse grid, so that ties of arrivals, starts and departures are common."""
    arrivals = sorted(at for at, _ in traffic)
    services = [service for _, service in traffic]
    departures = Station(servers, places).serve(np.array(arrivals), np.array(services))
    np.testing.assert_array_equal(departures, reference_fifo(arrivals, services, servers, places))


@given(traffic=TRAFFIC, servers=st.integers(1, 4))
def test_one_more_server_makes_no_packet_later(traffic: list[tuple[float, float]], servers: int) -> None:
    arrivals = np.array(sorted(at for at, _ in traffic))
    services = np.array([service for _, service in traffic])
    fewer, more = (Station(n).serve(arrivals, services) for n in (servers, servers + 1))
    assert np.all(more <= fewer)


@given(traffic=TRAFFIC, burst_bits=st.integers(10, 30))
def test_a_shaper_sends_every_packet_at_the_earliest_time_that_the_bucket_allows(
    traffic: list[tuple[float, float]], burst_bits: int
) -> None:
    """In any interval no more than burst + rate t bits leave, and each packet leaves as early as that permits."""
    arrivals = np.array(sorted(at for at, _ in traffic))
    bits = np.array([length for _, length in traffic])
    rate_bps = 2.0
    departures = Bucket(rate_bps, float(burst_bits), -1).serve(arrivals, bits)
    expected: list[float] = []
    for i, now in enumerate(arrivals):
        earliest = max([now, *expected])
        for j in range(i):
            earliest = max(earliest, expected[j] + (bits[j : i + 1].sum() - burst_bits) / rate_bps)
        expected.append(earliest)
    np.testing.assert_allclose(departures, expected, rtol=1e-12)


def test_a_packet_longer_than_the_burst_waits_for_its_whole_length() -> None:
    """Bucket of 10 bits, 1 bit/s, full at 0: 25 bits need 15 s more; the next 10 bits start from an empty bucket."""
    departures = Bucket(1.0, 10.0).serve(np.array([0.0, 1.0]), np.array([25.0, 10.0]))
    assert departures.tolist() == [15.0, 25.0]


def test_a_shaper_without_a_free_place_drops_only_what_would_have_to_wait() -> None:
    """Two packets fit the burst, one waits, the next is dropped; after the wait there is a place again."""
    shaper = Bucket(1.0, 20.0, 1)
    departures = shaper.serve(np.array([0.0, 0.0, 0.0, 0.0, 10.5]), np.full(5, 10.0))
    np.testing.assert_array_equal(departures, [0.0, 0.0, 10.0, math.nan, 20.0])
    assert shaper.tally[kernels.DROPS] == 1.0


def test_a_link_loses_and_delays_by_the_packets_own_numbers_and_keeps_their_order() -> None:
    """Loss share within 4 standard errors; delay = constant + jitter u, raised to the arrival before."""
    count, loss = 100_000, 0.03
    sent = np.multiply(np.arange(count), 1e-4, dtype=np.float64)
    numbers = np.arange(count)[::-1].copy() * 3
    arrived, state = sent.copy(), np.zeros(3)
    kernels.propagation(arrived, numbers, 0.02, 0.005, False, loss, np.uint64(5), np.uint64(2**64 - 6), state)
    assert state[kernels.LOST] == np.count_nonzero(np.isnan(arrived))
    assert state[kernels.LOST] / count == pytest.approx(loss, abs=4 * math.sqrt(loss * (1 - loss) / count))
    latest = 0.0
    for i in range(2000):
        if randomness.uniform(5, int(numbers[i])) < loss:
            assert math.isnan(arrived[i])
            continue
        latest = max(latest, sent[i] + 0.02 + 0.005 * randomness.uniform(2**64 - 6, int(numbers[i])))
        assert arrived[i] == latest
    assert state[kernels.DELAYS_S] == pytest.approx(np.nansum(arrived - sent), rel=1e-9)


# Windows, random numbers, compilation


@settings(max_examples=50)
@given(cuts=st.lists(st.integers(0, 2000), max_size=8), servers=st.integers(1, 3), places=st.sampled_from([-1, 0, 5]))
def test_cutting_a_run_into_windows_changes_no_bit(cuts: list[int], servers: int, places: int) -> None:
    """Departures, statistics and what is carried are equal; packets in = out + dropped + still there at each cut."""
    count = 2000
    arrivals, services = poisson_arrivals(1.2 * servers, count), exponentials("service", 1.0, count)
    stations: list[tuple[Station | Bucket, Floats]] = [
        (Station(servers, places), services),
        (Bucket(1.0, 3.0, places), services * servers),
    ]
    for whole, work in stations:
        expected = whole.serve(arrivals, work)
        cut = Station(servers, places) if isinstance(whole, Station) else Bucket(1.0, 3.0, places)
        parts: list[Floats] = [np.empty(0)]
        for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), count], strict=True):
            parts.append(cut.serve(arrivals[first:last].copy(), work[first:last].copy()))
            if last:
                now = arrivals[last - 1]
                so_far = np.concatenate(parts)
                gone = np.count_nonzero(so_far <= now)
                busy = np.count_nonzero(so_far > now) - cut.waiting.size
                assert 0 <= busy <= servers
                assert last == gone + busy + cut.waiting.size + cut.tally[kernels.DROPS]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        np.testing.assert_array_equal(cut.tally, whole.tally)
        np.testing.assert_array_equal(cut.waiting, whole.waiting)


@given(key=st.integers(0, 2**64 - 1), n=st.integers(0, 2**63 - 1))
def test_compiled_random_numbers_are_those_of_the_models_bit_for_bit(key: int, n: int) -> None:
    assert int(kernels.hash64(np.uint64(key), np.uint64(n))) == randomness.hash64(key, n)
    assert kernels.uniform(np.uint64(key), n) == randomness.uniform(key, n)


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_kernels_work_where_nothing_can_be_cached(tmp_path: Path) -> None:
    """A copy of the package whose cache directories all lie below a file, which not even root can write to."""
    package = Path(kernels.__file__).parents[1]
    blocked = tmp_path / "file"
    blocked.write_text("")
    copy = tmp_path / "flexvpn_sim"
    (copy / "simulate").mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    (copy / "models").symlink_to(package / "models")
    for name in ("__init__.py", "kernels.py"):
        shutil.copy(package / "simulate" / name, copy / "simulate" / name)
    (copy / "simulate" / "__pycache__").write_text("")
    code = (
        "from flexvpn_sim.simulate import kernels\n"
        "import numpy as np\n"
        "print(kernels.__file__, type(kernels.hash64._cache).__name__, kernels.hash64(np.uint64(1), np.uint64(2)))"
    )
    nowhere = str(blocked / "below")
    printed = run_python(
        code,
        PYTHONPATH=str(tmp_path),
        NUMBA_CACHE_DIR=nowhere,
        XDG_CACHE_HOME=nowhere,
        HOME=nowhere,
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert printed == f"{copy / 'simulate' / 'kernels.py'} NullCache {randomness.hash64(1, 2)}"


def test_the_simulate_package_does_not_import_numba_by_itself() -> None:
    root = str(Path(kernels.__file__).parents[2]) if Path(kernels.__file__).parents[1].name == "flexvpn_sim" else ""
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    assert run_python("import flexvpn_sim.simulate, sys; print('numba' in sys.modules)", PYTHONPATH=path) == "False"
