"""Fit of a profile's values to measurements: least squares on logarithms, with what was known before as the prior.

Every value with a spread is log-normal around its number in the base profile: ``range`` holds its 5 % and 95 %
quantiles (the standard deviation of the logarithm is the geometric half-width), ``sd`` its standard deviation. A value
that is 0 with a range, for work that may or may not be done, is half-normal above 0, as in `uncertainty`. The
profile's ``correlations`` hold between values. A row of measurement has a relative standard deviation. The fit is the
mode of the posterior; its covariance is ``inv(J' J)`` with the Jacobian of all residuals, those of the prior included,
as for a linear model with normal errors. What is measured or published without a range is left alone, unless a row
measures it directly: then the prior is flat.

Rows that scatter more than they say widen all errors by their reduced chi-squared (Birge 1932); rows that contradict
the model are refused.

What this leaves out: posteriors of another shape than the log-normal (a value that sticks to its bound of four standard
deviations is marked), errors that rows share, such as one clock or one load generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..models.errors import InputError
from ..models.values import Ledger, Value
from .cost import CostModel
from .profile import Correlation, HardwareProfile
from .uncertainty import Q95, correlation_factors, rank_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Relative standard deviation of a row that states none.
DEFAULT_SD = 0.05
#: Prior of what a row measures directly, around an estimate from that row: a factor of 4.5. [natural logarithm]
FLAT_SD = 1.5
#: No value leaves this many standard deviations of its prior.
BOUND_SD = 4.0
#: A value that changes no prediction by this fraction of its own change is not fitted.
LEAST_SENSITIVITY = 1e-3
#: A row contradicts the model when it is off by more than both; all rows do when their scatter is.
CONTRADICTION_SD, CONTRADICTION = 3.0, 0.25
SCATTER_SD, SCATTER = 3.0, 0.10
#: Scatter beyond this probability widens the errors.
SURPRISE = 0.01
#: A value whose range narrows by less than this fraction stays what it was, assumed or derived; one that does not move
#: by this part of a standard deviation either keeps its number.
INFORMED, STILL = 0.05, 0.1
#: Posterior correlations that are kept.
LEAST_CORRELATION = 0.1
DIGITS = 6
#: Where the search begins for a value that is 0, in standard deviations.
ZERO_START = 0.3
#: Where the search stops, relative: far finer than any range.
CLOSE = 1e-6
#: Rows that a refusal names.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured number and how the model predicts it.

    ``sd`` is relative to ``measured``; ``predict`` returns the same unit. ``measures``: dotted paths of values that
    this row determines whatever the profile says. ``where`` is ``file:line``.
    """

    name: str
    measured: float
    unit: str
    predict: Callable[[CostModel], float]
    sd: float = DEFAULT_SD
    where: str = ""
    measures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FittedRow:
    """A measurement beside what the fitted profile predicts, in ``unit``."""

    name: str
    where: str
    unit: str
    measured: float
    fitted: float
    sd: float

    @property
    def residual(self) -> float:
        """By how much the fit is above the measurement, as a fraction of it."""
        return self.fitted / self.measured - 1.0

    @property
    def deviations(self) -> float:
        """The distance of the logarithms in standard deviations of the row."""
        return abs(math.log(self.fitted / self.measured)) / self.sd


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted value: before (``base``, None for one that is new) and after (``value``).

    ``direct``: a row measures it, its prior is flat. ``informed``: rows narrow its range. ``follows``: no row depends
    on it, it is correlated with one that some row depends on.
    """

    path: str
    base: Value | None
    value: Value
    direct: bool
    informed: bool
    follows: bool
    at_bound: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted profile. ``covariance``: of the natural logarithms, in the order of ``parameters``. Shape (k, k).

    Where the base has 0 it is that of the value over its standard deviation before. Values that the rows neither moved
    nor narrowed are not among the parameters.
    ``scatter``: factor by which the stated errors were widened; ``chi2`` is taken before that.
    """

    profile: HardwareProfile
    rows: tuple[FittedRow, ...]
    parameters: tuple[Parameter, ...]
    covariance: Floats
    chi2: float
    scatter: float


def log_sd(value: Value) -> float:
    """Return the standard deviation of a value's logarithm; 0 for a value that is taken as known, and for 0.

    With ``range`` it is the geometric half-width over the 95 % quantile of the normal distribution; where the lower
    end is 0, the upper half alone. With ``sd`` it is that of the log-normal with median ``value``.
    """
    if value.value <= 0.0:
        return 0.0
    if value.range is not None:
        low, high = value.range
        return math.log(high / low) / (2.0 * Q95) if low > 0.0 else math.log(high / value.value) / Q95
    if not value.sd:
        return 0.0
    return math.sqrt(math.log((1.0 + math.sqrt(1.0 + 4.0 * (value.sd / value.value) ** 2)) / 2.0))


def calibrate(
    base: HardwareProfile,
    observations: Sequence[Observation],
    source: str,
    *,
    original: HardwareProfile | None = None,
    measured: Mapping[str, str] | None = None,
    progress: Callable[[], None] | None = None,
) -> Calibration:
    """Return ``base`` fitted to the observations; fitted values are derived from ``source``.

    Parameters
    ----------
    base: centre of the prior, and where the search begins.
    source: id that the fitted values name; the caller adds it to ``sources``.
    original: what the values were before, where ``base`` was already changed by measured primitives.
    measured: sources of the values that are measured rather than derived, by path.
    progress: called after each evaluation of the model.

    Raises InputError when the observations contradict the model or each other.
    """
    from scipy.optimize import least_squares

    before = (original or base).values()
    direct = {path for observation in observations for path in observation.measures}
    values = base.values()
    # The unknowns are logarithms; of a value that is 0, multiples of its standard deviation.
    spread = {
        path: FLAT_SD if path in direct else (1.0 if _zero_sd(value) else log_sd(value))
        for path, value in values.items()
    }
    candidates = [
        path
        for path, value in values.items()
        if path.startswith("parameters.") and spread[path] > 0.0 and (value.value > 0.0 or _zero_sd(value))
    ]

    def predicted(logs: dict[str, float]) -> Floats:
        moved = {path: _moved(values[path], log) for path, log in logs.items()}
        cost = CostModel(base.with_values(moved), Ledger())
        if progress is not None:
            progress()
        return np.array([observation.predict(cost) for observation in observations])

    logs = np.log([observation.measured for observation in observations])
    sds = np.array([observation.sd for observation in observations])
    paths = _sensitive(candidates, spread, predicted)
    groups = [(group, factor @ factor.T) for group, factor in correlation_factors(base)]
    prior = _prior(paths, groups, direct, spread)
    factor = np.linalg.inv(np.linalg.cholesky(prior))
    width = np.sqrt(np.diagonal(prior))

    def solve(sds: Floats) -> tuple[Floats, Floats, float, tuple[FittedRow, ...]]:
        def residuals(x: Floats) -> Floats:
            data = (np.log(predicted(dict(zip(paths, x, strict=True)))) - logs) / sds
            return np.concatenate([data, factor @ x])

        edge = BOUND_SD * width
        least = np.where([values[path].value > 0.0 for path in paths], -edge, 0.0)
        # At its bound the search would stay there.
        start = np.where(least < 0.0, 0.0, ZERO_START)
        # This method finds values that stop at their bound, as those that are 0 often do.
        found = least_squares(
            residuals, start, bounds=(least, edge), x_scale=width, ftol=CLOSE, xtol=CLOSE, method="dogbox"
        )
        x, jacobian = np.asarray(found.x), np.asarray(found.jac)
        fitted = predicted(dict(zip(paths, x, strict=True)))
        rows = tuple(
            FittedRow(o.name, o.where, o.unit, o.measured, float(f), o.sd)
            for o, f in zip(observations, fitted, strict=True)
        )
        return x, np.linalg.inv(jacobian.T @ jacobian), 2.0 * float(found.cost), rows

    x, covariance, chi2, rows = solve(sds)
    _refuse_contradictions(rows, chi2)
    scatter = _scatter(chi2, len(rows))
    if scatter > 1.0:
        x, covariance, _, rows = solve(scatter * sds)
    followers = [
        path
        for group, _ in groups
        if any(p in paths and p not in direct for p in group)
        for path in group
        if path in candidates and path not in paths
    ]
    x, covariance = _with_followers(x, covariance, _prior([*paths, *followers], groups, direct, spread))
    posterior = np.sqrt(np.diagonal(covariance))
    parameters, kept = [], []
    for i, path in enumerate([*paths, *followers]):
        narrowed = bool(posterior[i] < (1.0 - INFORMED) * spread[path])
        if not narrowed and path not in direct and abs(x[i]) < STILL * spread[path]:
            continue
        follows = i >= len(paths)
        value = _fitted_value(values[path], before.get(path), float(x[i]), float(posterior[i]), source)
        if follows or not narrowed:
            why = "no row depends on it, it moves by its correlation" if follows else "the rows hardly depend on it"
            kind = "assumed" if values[path].kind == "assumed" else "derived"
            value = value.model_copy(update={"kind": kind, "note": f"{why}; {value.note}"})
        elif measured and path in measured:
            value = value.model_copy(update={"kind": "measured", "source": measured[path]})
        at_bound = not follows and bool(abs(x[i]) > 0.999 * BOUND_SD * width[i])
        informed = narrowed and not follows
        parameters.append(Parameter(path, before.get(path), value, path in direct, informed, follows, at_bound))
        kept.append(i)
    covariance = covariance[np.ix_(kept, kept)]
    profile = base.with_values({parameter.path: parameter.value for parameter in parameters})
    profile = profile.model_copy(update={"correlations": _correlations(base, parameters, covariance, source)})
    return Calibration(profile, rows, tuple(parameters), covariance, chi2, scatter)


def rounded(number: float) -> float:
    """Return a number with the digits that are kept: the last bits depend on the linear algebra library."""
    return float(f"{number:.{DIGITS}g}")


def _moved(value: Value, log: float) -> Value:
    number = value.value * math.exp(log) if value.value > 0.0 else _zero_sd(value) * max(log, 0.0)
    return value.model_copy(update={"value": number, "range": None})


def _zero_sd(value: Value) -> float:
    """Return the standard deviation of the half-normal prior of a value that is 0; 0 for any other."""
    if value.value != 0.0:
        return 0.0
    return value.range[1] / Q95 if value.range is not None else value.sd or 0.0


def _sensitive(
    candidates: Sequence[str], spread: dict[str, float], predicted: Callable[[dict[str, float]], Floats]
) -> list[str]:
    """Return the values that change a prediction.

    A step of one standard deviation is tried either way: a station that is idle now may become the bottleneck. Values
    are tried together and halved where something changes; most change nothing.
    """
    middle = np.log(predicted({}))
    step = {path: min(spread[path], 1.0) for path in candidates}

    def among(paths: Sequence[str]) -> list[str]:
        moves = [{path: sign * step[path] for path in paths} for sign in (1.0, -1.0)]
        shift = max(float(np.max(np.abs(np.log(predicted(move)) - middle))) for move in moves)
        if shift <= LEAST_SENSITIVITY * min(step[path] for path in paths):
            return []
        half = len(paths) // 2
        return list(paths) if half == 0 else [*among(paths[:half]), *among(paths[half:])]

    return among(candidates) if candidates else []


def _prior(
    paths: Sequence[str], groups: Sequence[tuple[list[str], Floats]], direct: set[str], spread: dict[str, float]
) -> Floats:
    """Return the prior covariance of the logarithms; what is measured directly has no correlation. Shape (k, k)."""
    place = {path: i for i, path in enumerate(paths)}
    correlation = np.eye(len(paths))
    for group, matrix in groups:
        held = [(k, place[path]) for k, path in enumerate(group) if path in place and path not in direct]
        for k, i in held:
            for m, j in held:
                correlation[i, j] = matrix[k, m]
    # Values that go together entirely would make it singular.
    correlation = (1.0 - 1e-6) * correlation + 1e-6 * np.eye(len(paths))
    width = np.array([spread[path] for path in paths])
    return np.asarray(correlation * np.outer(width, width))


def _with_followers(x: Floats, covariance: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return mode and covariance extended by values that no row depends on but that are correlated with fitted ones.

    Given the fitted ones they are what the prior says: normal with mean ``B x``, where ``B`` is their regression on
    the fitted ones. The first values of ``prior`` are the fitted ones.
    """
    k = len(x)
    if len(prior) == k:
        return x, covariance
    regression = np.linalg.solve(prior[:k, :k], prior[:k, k:]).T
    across = regression @ covariance
    own = prior[k:, k:] - regression @ prior[:k, k:] + across @ regression.T
    return np.concatenate([x, regression @ x]), np.block([[covariance, across.T], [across, own]])


def _fitted_value(value: Value, before: Value | None, log: float, posterior: float, source: str) -> Value:
    """Return a value moved by ``log``; ``posterior``: standard deviation of its logarithm after the fit."""
    number = _moved(value, log).value
    low, high = (_moved(value, log + sign * Q95 * posterior).value for sign in (-1.0, 1.0))
    was = "" if before is None else f"before: {before.value:g}" + (f" ({before.spread()})" if before.spread() else "")
    return Value(
        value=rounded(number),
        unit=value.unit,
        kind="derived",
        source=source,
        range=(min(rounded(low), rounded(number)), max(rounded(high), rounded(number))),
        note=was,
    )


def _scatter(chi2: float, rows: int) -> float:
    """Return the factor by which the stated errors are too small, 1 when the residuals are no surprise."""
    from scipy.stats import chi2 as distribution

    # The prior gives as many residuals as there are values to fit, so the degrees of freedom are the rows.
    return math.sqrt(chi2 / rows) if distribution.sf(chi2, rows) < SURPRISE else 1.0


def _refuse_contradictions(rows: Sequence[FittedRow], chi2: float) -> None:
    worst = sorted(rows, key=lambda row: -abs(math.log(row.fitted / row.measured)))
    wrong = [row for row in worst if row.deviations > CONTRADICTION_SD and abs(row.residual) > CONTRADICTION]
    typical = math.sqrt(sum(math.log(row.fitted / row.measured) ** 2 for row in rows) / len(rows))
    if not wrong and not (chi2 > SCATTER_SD**2 * len(rows) and typical > SCATTER):
        return
    named = (wrong or worst)[:NAMED]
    texts = [
        f"{row.where + ' ' if row.where else ''}{row.name}: measured {row.measured:.4g} {row.unit}, at best fitted "
        f"{row.fitted:.4g} ({row.residual:+.0%}, {row.deviations:.1f} sd)"
        for row in named
    ]
    more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    raise InputError(
        f"the rows contradict the model or each other (chi-squared {chi2:.0f} for {len(rows)}), nothing is written: "
        + "; ".join(texts)
        + more
    )


def _correlations(
    base: HardwareProfile, parameters: Sequence[Parameter], covariance: Floats, source: str
) -> list[Correlation]:
    """Return the profile's correlations: those of the fit, and of the base those between other values."""
    fitted = {parameter.path for parameter in parameters}
    values = base.values()
    kept: list[Correlation] = []
    for correlation in base.correlations:
        paths = [path for pattern in correlation.values for path in values if _fits(path, pattern)]
        rest = [path for path in paths if path not in fitted]
        if len(rest) == len(paths):
            kept.append(correlation)
        elif len(rest) > 1:
            matrix = correlation.correlation
            if not isinstance(matrix, float | int):
                places = [paths.index(path) for path in rest]
                matrix = [[matrix[i][j] for j in places] for i in places]
            kept.append(correlation.model_copy(update={"values": rest, "correlation": matrix}))
    sd = np.sqrt(np.diagonal(covariance))
    normal = np.clip(covariance / np.outer(sd, sd), -1.0, 1.0)
    for group in _groups(np.abs(normal) > LEAST_CORRELATION):
        matrix = [
            [1.0 if i == j else round(rank_correlation(float(normal[max(i, j), min(i, j)])), 3) for j in group]
            for i in group
        ]
        kept.append(
            Correlation(
                values=[parameters[i].path for i in group],
                correlation=matrix,
                kind="derived",
                source=source,
                note="posterior of the fit: the measurements know sums of these better than each of them",
            )
        )
    return kept


def _fits(path: str, pattern: str) -> bool:
    """Return whether a pattern of `Correlation` names this path; ``*`` is any one name."""
    names, parts = path.split("."), pattern.split(".")
    return len(names) == len(parts) and all(part in ("*", name) for part, name in zip(parts, names, strict=True))


def _groups(joined: NDArray[np.bool_]) -> list[list[int]]:
    """Return the connected groups of two and more, each in ascending order."""
    rest = set(range(len(joined)))
    groups = []
    while rest:
        group, edge = set(), {min(rest)}
        while edge:
            group |= edge
            edge = {j for i in edge for j in np.flatnonzero(joined[i]).tolist()} - group
        rest -= group
        if len(group) > 1:
            groups.append(sorted(group))
    return groups
