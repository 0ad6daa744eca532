"""Bands of ignorance: the same run with parameter sets drawn from the ranges of its hardware profiles.

All routers of one profile get the same set: what is not known is a property of the model. Every draw meets the same
random numbers of losses, jitter and arrivals (the seed's), so that a band tells ignorance alone; chance has its own
intervals. Low and high are the 5 % and 95 % quantiles over the draws.

What this leaves out: ignorance about links, IKEv2 implementations and traffic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.errors import InputError
from ..models.values import Ledger
from ..simulate import sessions
from ..simulate.control_plane import run_control_plane
from ..simulate.deployment import Deployment
from ..simulate.records import Recorder, Row

SETUP_COLUMNS: dict[str, str] = {
    "initiator": "str",
    "initiator_interface": "str",
    "responder": "str",
    "responder_interface": "str",
    "draws": "int64",
    "up_share": "float64",
    "setup_s": "float64",
    "setup_median_s": "float64",
    "setup_low_s": "float64",
    "setup_high_s": "float64",
    "initiator_cpu_s": "float64",
    "initiator_cpu_median_s": "float64",
    "initiator_cpu_low_s": "float64",
    "initiator_cpu_high_s": "float64",
    "responder_cpu_s": "float64",
    "responder_cpu_median_s": "float64",
    "responder_cpu_low_s": "float64",
    "responder_cpu_high_s": "float64",
}

QUANTITIES = ("setup", "initiator_cpu", "responder_cpu")
#: How long each draw is simulated: this often the time at which the last tunnel came up, and at least so long. [s]
WINDOW_FACTOR, WINDOW_S = 4.0, 60.0


def drawn(deployment: Deployment, samples: int) -> list[Deployment]:
    """Return the deployment with each of ``samples`` parameter sets of its hardware profiles, the seed as it is.

    Raises InputError for negative samples, and for correlations of a profile that cannot be.
    """
    if samples < 0:
        raise InputError(f"found {samples}, 0 (no bands) or more parameter sets are needed", "--samples")
    if not samples:
        return []
    sets: dict[str, list[HardwareProfile]] = {}
    for plan in deployment.routers.values():
        profile = plan.cost.profile
        if profile.name not in sets:
            sets[profile.name] = profile.sample(samples, deployment.seed)
    deployments = []
    for n in range(samples):
        routers = {}
        for name, plan in deployment.routers.items():
            one = sets[plan.cost.profile.name][n]
            cost = CostModel(one, Ledger(), plan.cost.licence, hsec=plan.cost.hsec)
            routers[name] = replace(plan, cost=cost)
        deployments.append(replace(deployment, routers=routers))
    return deployments


def band(numbers: ArrayLike) -> tuple[float, float]:
    """Return the 5 % and 95 % quantiles over draws, each one of the numbers; nan, the worst, counts as infinite."""
    worst_last = np.nan_to_num(np.asarray(numbers, dtype=np.float64), nan=math.inf, posinf=math.inf)
    if not worst_last.size:
        return math.nan, math.nan
    low, high = (_finite(q) for q in np.quantile(worst_last, (0.05, 0.95), method="inverted_cdf"))
    return low, high


def _finite(number: float) -> float:
    return float(number) if math.isfinite(number) else math.nan


def setup_rows(
    deployment: Deployment,
    recorder: Recorder,
    draws: Sequence[Deployment],
    duration_s: float,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[Row], bool]:
    """Return rows of the table ``setup_bands``, one a tunnel, and whether the user interrupted it.

    Parameters
    ----------
    deployment, recorder: the run with the profiles' values and what it recorded.
    draws: the deployment by parameter set.
    duration_s: of the run; a draw is simulated no longer, and only a while after the last set-up. [s]
    progress: called with the fraction done.

    A draw in which a tunnel does not come up in that time counts as the longest of all.
    """
    own = _set_ups(deployment, recorder)
    last_s = max((entry["up_at"] for entry in own if entry["up_at"] < math.inf), default=0.0)
    window_s = min(duration_s, max(WINDOW_S, WINDOW_FACTOR * last_s))
    by_draw: list[list[dict[str, float]]] = []
    interrupted = False
    for number, one in enumerate(draws, start=1):
        run = run_control_plane(one, window_s)
        if run.interrupted:
            interrupted = True
            break
        by_draw.append(_set_ups(one, run.recorder))
        if progress is not None:
            progress(number / len(draws))
    rows = []
    for place, (session, nominal) in enumerate(zip(sessions.session_rows(deployment, recorder), own, strict=True)):
        found = [draw[place] for draw in by_draw]
        row: Row = {column: session[column] for column in list(SETUP_COLUMNS)[:4]}
        row["draws"] = len(found)
        row["up_share"] = sum(entry["up_at"] < math.inf for entry in found) / len(found) if found else math.nan
        for quantity in QUANTITIES:
            numbers = [entry[quantity] for entry in found]
            low, high = band(numbers)
            median = _finite(float(np.median(np.nan_to_num(numbers, nan=math.inf)))) if numbers else math.nan
            row |= {f"{quantity}_s": nominal[quantity], f"{quantity}_median_s": median}
            row |= {f"{quantity}_low_s": low, f"{quantity}_high_s": high}
        rows.append(row)
    return rows, interrupted


def _set_ups(deployment: Deployment, recorder: Recorder) -> list[dict[str, float]]:
    """Return for each tunnel the time of its set-up, the CPU time that both ends spent on it, and when it was up.

    nan, and up at infinity, for a tunnel that did not come up. CPU time is that of all work for the IKE SA up to the
    Child SA's installation at the initiator, without attempts that failed before.
    """
    first: dict[tuple[str, str], Row] = {}
    for event in recorder.rows["events"]:
        if event["event"] == "child_installed":
            first.setdefault((event["router"], event["interface"]), event)
    works: dict[str, list[Row]] = {}
    for work in recorder.rows["works"]:
        works.setdefault(work["spi_i"], []).append(work)
    found = []
    for session in sessions.session_rows(deployment, recorder):
        up = first.get((session["initiator"], session["initiator_interface"]))
        entry = {"setup": session["setup_s"], "initiator_cpu": math.nan, "responder_cpu": math.nan, "up_at": math.inf}
        if up is not None and not math.isnan(session["setup_s"]):
            entry["up_at"] = up["time_s"]
            for end in ("initiator", "responder"):
                entry[f"{end}_cpu"] = math.fsum(
                    work["end_s"] - work["start_s"]
                    for work in works.get(up["spi_i"], [])
                    if work["router"] == session[end] and work["end_s"] <= up["time_s"]
                )
        found.append(entry)
    return found


def cpu_bands(drawn: Sequence[dict[str, float]], samples: int, seed: int) -> dict[str, float]:
    """Return median, low and high of ``initiator_cpu_s`` and ``responder_cpu_s`` over conversations that were priced
    with ``samples`` parameter sets, in seconds."""
    bands: dict[str, float] = {"samples": samples, "seed": seed}
    for end in ("initiator", "responder"):
        times_s = [times[f"{end}_cpu_s"] for times in drawn]
        low_s, high_s = band(times_s)
        median_s = float(np.median(times_s))
        bands |= {f"{end}_cpu_median_s": median_s, f"{end}_cpu_low_s": low_s, f"{end}_cpu_high_s": high_s}
    return bands
