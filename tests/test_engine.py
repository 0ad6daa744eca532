"""The engine: order of events, queues against closed forms, determinism of whole runs."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flexvpn_sim as fv
from flexvpn_sim.models.randomness import GOLDEN, MASK64, Stream, Streams, hash64, hash64_array, make_key, uniform
from flexvpn_sim.simulate.agenda import Agenda, Rank
from flexvpn_sim.simulate.queues import FifoQueue

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
NS = 1_000_000_000


# -- agenda ----------------------------------------------------------------------------------------------------


def test_actions_happen_in_the_order_of_their_time() -> None:
    agenda, log = Agenda(), []
    for time_ns in (30, 10, 20):
        agenda.at(time_ns, Rank.TIMER, 0, lambda t=time_ns: log.append((t, agenda.now)))
    agenda.run(100)
    assert log == [(10, 10), (20, 20), (30, 30)]


def test_ties_are_ordered_by_rank_and_entity_and_never_by_insertion() -> None:
    wanted = [(Rank.COMPLETION, 2), (Rank.ARRIVAL, 0), (Rank.ARRIVAL, 1), (Rank.TIMER, 0)]
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        agenda, log = Agenda(), []
        for place in order:
            rank, entity = wanted[place]
            agenda.at(5, rank, entity, lambda key=wanted[place], log=log: log.append(key))
        agenda.run(10)
        assert log == wanted


def test_an_earlier_action_added_later_comes_first() -> None:
    agenda, log = Agenda(), []
    agenda.at(50, Rank.TIMER, 0, lambda: log.append("late"))
    agenda.at(10, Rank.TIMER, 0, lambda: agenda.at(20, Rank.TIMER, 0, lambda: log.append("early")))
    agenda.run(100)
    assert log == ["early", "late"]


def test_nothing_is_scheduled_in_the_past() -> None:
    agenda = Agenda()
    agenda.at(10, Rank.TIMER, 0, lambda: agenda.at(5, Rank.TIMER, 0, lambda: None))
    with pytest.raises(ValueError, match="lies before the present"):
        agenda.run(100)


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_every_action_before_the_end_happens_once_and_in_order(times: list[int]) -> None:
    agenda, log = Agenda(), []
    for time_ns in times:
        agenda.at(time_ns, Rank.TIMER, 0, lambda: log.append(agenda.now))
    agenda.run(1001)
    assert log == sorted(times)


# -- queues ----------------------------------------------------------------------------------------------------


def waits(arrivals_s: np.ndarray, services_s: np.ndarray, servers: int = 1) -> tuple[np.ndarray, FifoQueue]:
    queue = FifoQueue("q", servers)
    waiting = np.empty(arrivals_s.size)
    for n, (arrival, service) in enumerate(zip(arrivals_s, services_s, strict=True)):
        now = round(arrival * NS)
        waiting[n] = queue.serve(now, round(service * NS))[0] - now
    return waiting / NS, queue


def batch_means(values: np.ndarray, batches: int = 25) -> tuple[float, float]:
    """Return the mean after warm-up and the half width of its 99.9 % confidence interval."""
    kept = values[values.size // 10 :]
    means = kept[: kept.size // batches * batches].reshape(batches, -1).mean(axis=1)
    # 99.95 % quantile of Student's t with 24 degrees of freedom.
    return float(means.mean()), 3.745 * float(means.std(ddof=1)) / math.sqrt(batches)


@pytest.mark.parametrize("utilisation", [0.5, 0.8])
def test_waiting_time_is_that_of_m_m_1(utilisation: float) -> None:
    """Wq = rho / (1 - rho) * E[S]."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1.0, 400_000))
    waiting, _ = waits(arrivals, rng.exponential(utilisation, arrivals.size))
    mean, half_width = batch_means(waiting)
    theory = utilisation / (1 - utilisation) * utilisation
    assert abs(mean - theory) < half_width < 0.1 * theory


def test_waiting_time_is_that_of_m_d_1() -> None:
    """Wq = rho / (2 (1 - rho)) * S."""
    rng = np.random.default_rng(2)
    arrivals = np.cumsum(rng.exponential(1.0, 400_000))
    waiting, _ = waits(arrivals, np.full(arrivals.size, 0.8))
    mean, half_width = batch_means(waiting)
    assert abs(mean - 0.8 / (2 * 0.2) * 0.8) < half_width < 0.08


def test_waiting_time_follows_pollaczek_and_khinchine() -> None:
    """M/G/1 with two service times: Wq = lambda E[S^2] / (2 (1 - rho))."""
    rng = np.random.default_rng(3)
    arrivals = np.cumsum(rng.exponential(1.0, 400_000))
    services = np.where(rng.random(arrivals.size) < 0.9, 0.4, 2.4)
    rho, second_moment = 0.9 * 0.4 + 0.1 * 2.4, 0.9 * 0.4**2 + 0.1 * 2.4**2
    waiting, _ = waits(arrivals, services)
    mean, half_width = batch_means(waiting)
    assert abs(mean - second_moment / (2 * (1 - rho))) < half_width < 0.1


def test_waiting_time_of_several_servers_is_that_of_erlang_c() -> None:
    """M/M/3: Wq = C(3, a) / (c mu - lambda)."""
    rng = np.random.default_rng(4)
    arrivals = np.cumsum(rng.exponential(1.0, 400_000))
    load = 2.4
    waiting, _ = waits(arrivals, rng.exponential(load, arrivals.size), servers=3)
    terms = [load**k / math.factorial(k) for k in range(3)]
    last = load**3 / math.factorial(3) * 3 / (3 - load)
    theory = last / (sum(terms) + last) / (3 / load - 1)
    mean, half_width = batch_means(waiting)
    assert abs(mean - theory) < half_width < 0.1 * theory


def test_the_queue_reports_littles_law_and_its_utilisation() -> None:
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(1.0, 20_000))
    waiting, queue = waits(arrivals, np.full(arrivals.size, 0.6))
    span_s = float(arrivals[-1])
    statistics = queue.statistics(round(span_s * NS))
    assert statistics.mean_length == pytest.approx(waiting.sum() / span_s, rel=1e-9)
    assert statistics.mean_length == pytest.approx(statistics.arrivals / span_s * statistics.mean_waiting_s, rel=1e-9)
    assert statistics.utilisation == pytest.approx(20_000 * 0.6 / span_s, rel=1e-6)


# -- random numbers --------------------------------------------------------------------------------------------


@given(st.integers(0, MASK64), st.integers(0, 1 << 40))
def test_scalar_and_array_draws_are_the_same_bits(key: int, first: int) -> None:
    assert [hash64(key, first + n) for n in range(5)] == [int(v) for v in hash64_array(key, first, 5)]


def test_draws_are_uniform() -> None:
    """Chi-square over 100 cells of 200,000 draws stays below its 99.9 % quantile (149.4 for 99 degrees)."""
    draws = (hash64_array(make_key(1, "HQ", "test"), 0, 200_000) >> np.uint64(11)).astype(float) * 2.0**-53
    counts = np.histogram(draws, bins=100, range=(0.0, 1.0))[0]
    assert float(((counts - 2000.0) ** 2 / 2000.0).sum()) < 149.4


def test_streams_of_different_entities_are_not_correlated() -> None:
    one, other = (hash64_array(make_key(1, name, "p"), 0, 100_000).astype(float) for name in ("HQ", "icpedger02"))
    assert abs(float(np.corrcoef(one, other)[0, 1])) < 0.011


def test_both_ends_of_a_tunnel_draw_their_rekeys_independently() -> None:
    """Which of two ends is first, for two SAs over 20,000 seeds: four equal cells within 4 standard errors."""
    first = np.zeros((20_000, 2), np.bool_)
    for seed, row in enumerate(first):
        ends = [Streams(make_key(seed, entity, "IKE")) for entity in ("0:1>2", "1:2>1")]
        for sa in range(2):
            row[sa] = ends[0].uniform("IKE SA rekey") < ends[1].uniform("IKE SA rekey")
    cells = np.bincount(2 * first[:, 0] + first[:, 1], minlength=4) / len(first)
    assert np.abs(cells - 0.25).max() < 4 * math.sqrt(0.25 * 0.75 / len(first))


def test_a_stream_counts_on() -> None:
    stream = Stream(GOLDEN)
    assert [stream.uniform() for _ in range(3)] == [uniform(GOLDEN, n) for n in range(3)]


# -- whole runs ------------------------------------------------------------------------------------------------


def same(one: fv.Result, other: fv.Result, tables: tuple[str, ...]) -> bool:
    return all(one.tables[name].equals(other.tables[name]) for name in tables)


TABLES = ("messages", "works", "operations", "ike_sas", "child_sas", "events", "sessions")


def test_two_runs_of_one_seed_are_equal_in_every_table() -> None:
    one, other = (fv.run(WORKING, duration_s=9000, seed=3) for _ in range(2))
    assert same(one, other, (*TABLES, "packets", "queues"))


def test_traffic_changes_nothing_of_the_control_plane() -> None:
    assert same(fv.run(WORKING, duration_s=9000), fv.run(WORKING, duration_s=9000, traffic=False), TABLES)


def test_an_unrelated_pair_changes_nothing_for_the_first(tmp_path: Path) -> None:
    """Two more routers in the folder shift none of the draws of the others."""
    for path in WORKING.iterdir():
        text = path.read_text()
        (tmp_path / path.name).write_text(text)
        renamed = text.replace("158.83.133.", "158.84.133.").replace("hostname HQ", "hostname A9")
        renamed = renamed.replace("hostname icpedger02", "hostname B9")
        (tmp_path / f"other-{path.name}").write_text(renamed)
    alone, together = fv.run(WORKING, duration_s=9000, traffic=False), fv.run(tmp_path, duration_s=9000, traffic=False)
    assert len(together.sessions) == 2
    ours = together.messages[together.messages["sender"].isin(["HQ", "icpedger02"])].reset_index(drop=True)
    assert ours.equals(alone.messages)


def test_work_accounts_for_every_instant_between_messages() -> None:
    """Without queueing, set-up = work at both ends + four one-way delays: an analytic check of the whole engine."""
    result = fv.run(WORKING, duration_s=10, traffic=False)
    works = result.works.iloc[1:5]
    busy_s = float((works["end_s"] - works["start_s"]).sum())
    flight_s = float((result.messages["arrival_s"] - result.messages["time_s"]).iloc[:4].sum())
    assert float(result.sessions["setup_s"].iloc[0]) == pytest.approx(busy_s + flight_s, abs=1e-6)


def test_retransmissions_follow_the_schedule_when_the_link_loses_everything(tmp_path: Path) -> None:
    path = tmp_path / "dead.yaml"
    path.write_text(
        f"scenario: 1\nconfigurations: {WORKING}\nduration: 100 s\nlinks:\n  HQ: {{loss: 0.999999}}\nstagger: 90 s\n"
    )
    result = fv.run(path, traffic=False)
    sends = result.messages[(result.messages["sender"] == "HQ")]["time_s"]
    gaps = sends.diff().dropna().round(2).tolist()
    assert gaps[:5] == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert not result.up


def test_rekeys_leave_no_moment_without_a_common_child_sa() -> None:
    result = fv.run(WORKING, traffic=False)
    children = result.child_sas
    for router in ("HQ", "icpedger02"):
        own = children[children["router"] == router].sort_values("installed_s")
        ends = own["deleted_s"].fillna(math.inf).to_numpy()
        starts = own["installed_s"].to_numpy()
        assert (starts[1:] < ends[:-1]).all()


def test_the_child_sa_is_rekeyed_before_its_lifetime_and_the_old_one_is_deleted() -> None:
    children = fv.run(WORKING, traffic=False).child_sas
    ended = children.dropna(subset=["deleted_s"])
    ages = ended["deleted_s"] - ended["installed_s"]
    assert len(ended) >= 48
    assert ages.max() < 3600
    assert ages.min() > 3600 * 0.95 - 30 - 1
    assert set(ended["cause"]) == {"replaced by a rekey"}


def test_every_child_sa_has_a_mirror_at_the_other_end() -> None:
    children = fv.run(WORKING, traffic=False).child_sas
    pairs = {(c.router, c.spi_in, c.spi_out) for c in children.itertuples()}
    other = {"HQ": "icpedger02", "icpedger02": "HQ"}
    assert all((other[router], spi_out, spi_in) in pairs for router, spi_in, spi_out in pairs)
