"""Speed of the control plane as a ratio to plain SimPy in the same run; no absolute time is asserted."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import simpy

import flexvpn_sim as fv

PAPER = Path(str(files("flexvpn_sim.experiments.paper")))
HOUR_S = 3600.0

pytestmark = pytest.mark.bench


def cpu_s(action: Callable[[], object]) -> float:
    """Return the shortest CPU time of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def plain_simpy(exchanges: int) -> int:
    """Two processes pass messages through stores and CPUs: the bare skeleton of as many exchanges, no protocol."""
    environment = simpy.Environment()
    inboxes = [simpy.Store(environment), simpy.Store(environment)]
    cpus = [simpy.Resource(environment), simpy.Resource(environment)]
    handled = 0

    def deliver(to: int, message: int) -> simpy.events.ProcessGenerator:
        yield environment.timeout(0.005)
        yield inboxes[to].put(message)

    def router(me: int) -> simpy.events.ProcessGenerator:
        nonlocal handled
        while True:
            message = yield inboxes[me].get()
            with cpus[me].request() as turn:
                yield turn
                yield environment.timeout(0.004)
            handled += 1
            if message > 0:
                environment.process(deliver(1 - me, message - 1))

    environment.process(router(0))
    environment.process(router(1))
    environment.process(deliver(0, 2 * exchanges))
    environment.run()
    return handled


def test_protocol_detail_costs_a_bounded_multiple_of_plain_simpy() -> None:
    """As published: a set-up is tried and refused all the time, every message and operation recorded."""
    folder = PAPER / "published"
    messages = len(fv.run(folder, duration_s=HOUR_S, traffic=False).messages)
    ours = cpu_s(lambda: fv.run(folder, duration_s=HOUR_S, traffic=False)) - cpu_s(
        lambda: fv.run(folder, duration_s=1, traffic=False)
    )
    plain = cpu_s(lambda: plain_simpy(messages // 2))
    print(
        f"\n{messages} messages: {messages / ours:,.0f}/s with the protocol, {messages / plain:,.0f}/s of plain SimPy"
    )
    assert ours < 25 * plain


def test_an_idle_day_costs_no_more_than_its_messages() -> None:
    """Time that passes without messages is free: a day costs less than ten times an hour (24 times its length)."""
    folder = PAPER / "working"
    hour = cpu_s(lambda: fv.run(folder, duration_s=HOUR_S, traffic=False))
    day = cpu_s(lambda: fv.run(folder, duration_s=24 * HOUR_S, traffic=False))
    print(f"\nan hour {hour * 1e3:.0f} ms, a day {day * 1e3:.0f} ms")
    assert day < 10 * hour
