"""Work of the control plane in order of priority: Cobham's waiting times, and a hub that many peers meet at once."""

from __future__ import annotations

import heapq
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flexvpn_sim as fv
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.sa import Work
from flexvpn_sim.models.implementation import JobPriorities, load_implementation
from flexvpn_sim.simulate.queues import FifoQueue, PriorityQueue

NS = 1_000_000_000


# -- The queue by itself ---------------------------------------------------------------------------------------


def serve(jobs: list[tuple[int, int, int]], servers: int = 1) -> tuple[list[tuple[int, int]], PriorityQueue]:
    """Return (start, end) of each job (arrival, service time, level), which arrive in order of time. [ns]"""
    queue = PriorityQueue("q", servers)
    times: list[tuple[int, int]] = [(-1, -1)] * len(jobs)
    ends: list[int] = []

    def release_until(now: int) -> None:
        while ends and ends[0] <= now:
            queue.release(heapq.heappop(ends))

    for number, (arrival, service, level) in enumerate(jobs):
        release_until(arrival)

        def begin(start: int, end: int, number: int = number) -> None:
            times[number] = start, end
            heapq.heappush(ends, end)

        queue.arrive(arrival, service, level, begin)
    release_until(2**63)
    return times, queue


JOBS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 2)), max_size=60).map(
    lambda jobs: sorted(jobs, key=lambda job: job[0])
)


@given(JOBS, st.integers(1, 3))
def test_with_one_level_it_is_first_come_first_served(jobs: list[tuple[int, int, int]], servers: int) -> None:
    fifo = FifoQueue("q", servers)
    expected = [fifo.serve(arrival, service) for arrival, service, _ in jobs]
    times, queue = serve([(arrival, service, 0) for arrival, service, _ in jobs], servers)
    assert times == expected
    assert queue.statistics(1000) == fifo.statistics(1000)


@given(JOBS, st.integers(1, 3))
def test_the_most_urgent_and_then_the_oldest_job_begins_and_no_server_rests(
    jobs: list[tuple[int, int, int]], servers: int
) -> None:
    times, queue = serve(jobs, servers)
    for number, ((arrival, service, level), (start, end)) in enumerate(zip(jobs, times, strict=True)):
        assert start >= arrival and end == start + service
        busy = sum(s < start < e or (s == start < e and n < number) for n, (s, e) in enumerate(times) if n != number)
        assert busy <= servers
        for other, ((earlier, _, more_urgent), (begun, _)) in enumerate(zip(jobs, times, strict=True)):
            if (more_urgent, other) < (level, number) and earlier < start:
                assert begun <= start
        # Whoever waits finds every server at work all the time.
        for instant in range(arrival, start):
            assert sum(s <= instant < e for s, e in times) == servers
    assert queue.statistics(1).arrivals == len(jobs)


def waiting_s(services_s: np.ndarray, arrivals_s: np.ndarray, levels: np.ndarray, servers: int = 1) -> np.ndarray:
    jobs = [
        (round(arrival * NS), round(service * NS), int(level))
        for arrival, service, level in zip(arrivals_s, services_s, levels, strict=True)
    ]
    times, _ = serve(jobs, servers)
    return np.array([start - job[0] for (start, _), job in zip(times, jobs, strict=True)]) / NS


def check(waits: np.ndarray, theory: float) -> None:
    """The theory lies in the 99.9 % confidence interval of batch means, and that is narrow."""
    kept = waits[waits.size // 10 :]
    means = kept[: kept.size // 25 * 25].reshape(25, -1).mean(axis=1)
    # 99.95 % quantile of Student's t with 24 degrees of freedom.
    half_width = 3.745 * float(means.std(ddof=1)) / math.sqrt(25)
    assert abs(float(means.mean()) - theory) < half_width < 0.12 * theory


@pytest.mark.parametrize("law", ["exponential", "fixed"])
def test_two_classes_wait_as_cobham_says(law: str) -> None:
    """W1 = R / (1 - rho1), W2 = R / ((1 - rho1)(1 - rho)), R = sum of lambda E[S^2] / 2 (Cobham 1954)."""
    rng = np.random.default_rng(11)
    size, share, service = 300_000, 0.4, (0.5, 0.9)
    levels = (rng.random(size) > share).astype(int)
    means = np.where(levels == 0, *service)
    services = rng.exponential(means) if law == "exponential" else means
    waits = waiting_s(services, np.cumsum(rng.exponential(1.0, size)), levels)
    factor = 2.0 if law == "exponential" else 1.0
    rates = (share, 1 - share)
    residual = sum(rate * factor * s**2 / 2 for rate, s in zip(rates, service, strict=True))
    rho1, rho = rates[0] * service[0], rates[0] * service[0] + rates[1] * service[1]
    check(waits[levels == 0], residual / (1 - rho1))
    check(waits[levels == 1], residual / ((1 - rho1) * (1 - rho)))


def test_two_classes_at_several_servers_share_the_wait_of_erlang_c() -> None:
    """M/M/3 with one service time: W1 = C / (3 mu (1 - rho1)), W2 = C / (3 mu (1 - rho1)(1 - rho))."""
    rng = np.random.default_rng(12)
    size, load, share = 300_000, 2.4, 0.5
    levels = (rng.random(size) > share).astype(int)
    waits = waiting_s(rng.exponential(load, size), np.cumsum(rng.exponential(1.0, size)), levels, servers=3)
    terms = [load**k / math.factorial(k) for k in range(3)]
    last = load**3 / math.factorial(3) * 3 / (3 - load)
    all_busy = last / (sum(terms) + last)
    rho1, rho = share * load / 3, load / 3
    first = all_busy * load / 3 / (1 - rho1)
    check(waits[levels == 0], first)
    check(waits[levels == 1], first / (1 - rho))


def test_the_work_is_conserved_whatever_its_order() -> None:
    """The mean waiting time weighted by service time is the same in every order (Kleinrock's conservation law)."""
    rng = np.random.default_rng(13)
    arrivals, services = np.cumsum(rng.exponential(1.0, 20_000)), rng.exponential(0.8, 20_000)
    levels = rng.integers(0, 2, 20_000)
    ordered, fifo = (waiting_s(services, arrivals, which) for which in (levels, np.zeros_like(levels)))
    # Of each sample path only the work in the system is the same, which both queues bring to zero at the same instants.
    assert max(arrivals + ordered + services) == pytest.approx(max(arrivals + fifo + services))
    assert (ordered * services).mean() == pytest.approx((fifo * services).mean(), rel=0.03)


def test_what_still_waits_at_the_end_counts_in_the_length() -> None:
    queue = PriorityQueue("q")
    for arrival in (0, 2 * NS, 4 * NS):
        queue.arrive(arrival, 100 * NS, 0, lambda _start, _end: None)
    statistics = queue.statistics(10 * NS)
    assert statistics.arrivals == 3 and statistics.mean_waiting_s == 0.0
    assert statistics.mean_length == pytest.approx((8 + 6) / 10)


# -- What an implementation says -------------------------------------------------------------------------------


def test_ios_serves_requests_of_strangers_last_and_strongswan_by_exchange() -> None:
    ios, strongswan = (load_implementation(name).job_levels() for name in ("ios-xe-17", "strongswan"))
    assert ios == {"other": 0, "new-peer": 1}
    assert strongswan["INFORMATIONAL"] < strongswan["other"] < strongswan["IKE_AUTH"]
    assert load_implementation("windows-10").job_levels() == {"other": 0}


def test_work_tells_what_it_is_by_its_step() -> None:
    step = "INFORMATIONAL request (dpd)"
    assert Work(1, [], step, None, None).job == "INFORMATIONAL"  # type: ignore[arg-type]
    assert Work(1, [], "IKE_SA_INIT response", None, None, stranger=True).job == "new-peer"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([["other"], ["IKE_AUTH", "other"]], "'other' is named twice"),
        ([["new-peer"]], "one of them must have 'other'"),
    ],
)
def test_classes_name_every_job_once(classes: list[list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JobPriorities.model_validate({"kind": "assumed", "source": "recollection", "classes": classes})


def test_an_unknown_job_is_refused_with_file_and_line(tmp_path: Path) -> None:
    own = variant(tmp_path, "[[other], [IKE_SA_INITIAL]]")
    with pytest.raises(InputError) as caught:
        load_implementation(own)
    assert caught.value.where.startswith(f"{own}:") and "new-peer" in caught.value.message


def variant(folder: Path, classes: str, name: str = "own") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"extends: ios-xe-16.9\nname: {name}\ntitle: another order\n"
        f"job_priorities:\n  kind: assumed\n  source: recollection\n  classes: {classes}\n"
    )
    return str(path)


# -- A hub that many peers meet at once ------------------------------------------------------------------------

SPOKES = 24
_COMMON = """\
version 16.9
hostname {name}
crypto ikev2 keyring KEYS
 peer ANY
  address 0.0.0.0 0.0.0.0
  pre-shared-key any-key
crypto ikev2 profile VPN
 match identity remote fqdn domain example.net
 identity local fqdn {name}.example.net
 authentication local pre-share
 authentication remote pre-share
 keyring local KEYS
{template}
crypto ipsec profile VPN
 set ikev2-profile VPN
interface GigabitEthernet0/0/0
 ip address 198.51.100.{host} 255.255.255.0
"""
_HUB = """\
interface Loopback0
 ip address 10.0.0.1 255.255.255.255
interface Virtual-Template1 type tunnel
 ip unnumbered Loopback0
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile VPN
"""
_SPOKE = """\
interface Tunnel0
 ip address 10.1.{host}.1 255.255.255.0
 tunnel source GigabitEthernet0/0/0
 tunnel mode ipsec ipv4
 tunnel destination 198.51.100.1
 tunnel protection ipsec profile VPN
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("storm")
    template = " virtual-template 1"
    (place / "hub.cfg").write_text(_COMMON.format(name="HUB", host=1, template=template) + _HUB)
    for host in range(10, 10 + SPOKES):
        text = _COMMON.format(name=f"SPOKE{host}", host=host, template="!") + _SPOKE.format(host=host)
        (place / f"spoke{host}.cfg").write_text(text)
    return place


def storm(folder: Path, implementation: str) -> tuple[list[dict[str, Any]], fv.Result]:
    """Return the hub's work while all spokes set their tunnels up at once."""
    result = fv.run(folder, implementation={"HUB": implementation}, duration_s=60.0, traffic=False)
    assert result.up
    works = result.works[result.works["router"] == "HUB"].to_dict("records")
    return works, result


def test_a_storm_of_new_peers_does_not_hold_up_those_that_authenticate(folder: Path, tmp_path: Path) -> None:
    works, ordered = storm(folder, "ios-xe-16.9")
    new = [w for w in works if w["step"] == "IKE_SA_INIT response"]
    others = [w for w in works if w["step"] != "IKE_SA_INIT response"]
    assert len(new) == SPOKES and len(others) >= SPOKES
    overtaken = 0
    for other in others:
        # No request of a stranger begins while something else waits.
        assert not any(other["arrival_s"] < w["start_s"] < other["start_s"] for w in new)
        overtaken += sum(w["arrival_s"] < other["arrival_s"] and w["start_s"] > other["start_s"] for w in new)
    assert overtaken > 0
    works, fifo = storm(folder, variant(tmp_path, "[[other]]", "fifo"))
    starts = [w["start_s"] for w in sorted(works, key=lambda w: (w["arrival_s"], w["work"]))]
    assert starts == sorted(starts)
    # The first tunnel comes up sooner, the last one at the same time: the hub's work is the same.
    times_s = [run.sessions["setup_s"] for run in (ordered, fifo)]
    assert times_s[0].min() < 0.5 * times_s[1].min()
    assert times_s[0].max() == pytest.approx(times_s[1].max(), rel=0.02)


def test_the_order_is_the_same_in_every_run(folder: Path) -> None:
    first, second = (storm(folder, "ios-xe-16.9")[1] for _ in range(2))
    assert first.works.equals(second.works) and first.sessions.equals(second.sessions)
