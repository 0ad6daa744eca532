"""Parameter sets drawn from what a profile says about its own ignorance: ranges, standard deviations, correlations.

Each value is drawn from a distribution with the value as its median. ``range`` gives the 5 % and 95 % quantiles of a
two-piece log-normal (each half has its own log-standard deviation), or of a two-piece normal cut at 0 where the lower
end is 0; ``sd`` gives a log-normal of that standard deviation; neither means known exactly. Counts are rounded. Values
depend on each other by a Gaussian copula from ``correlations``: an independent normal number is drawn for every path,
then those of one connected group are combined by the lower triangular factor of its correlation matrix.

Numbers are counter-based: the normal number of a value depends on seed, family, path and draw alone. So draw i is the
same whatever n, a new value changes no other, and profiles of one family share what is not known of the family. In a
group the factor goes by the order of the values in ``correlations``: one added at the end changes none before it.

What this leaves out: correlation between families; tails that are known better than two quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from ..models.errors import InputError, nearest
from ..models.randomness import UNIT, hash64_array, make_key
from ..models.values import Value
from .profile import Correlation, HardwareProfile, count_fields, located

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: 95 % quantile of the normal distribution.
Q95 = NormalDist().inv_cdf(0.95)
#: How far a stated correlation may be from the nearest possible one; beyond it the statements contradict each other.
TOLERANCE = 0.1
#: Rounding of a sum of squares.
EPSILON = 1e-9


def sample(profile: HardwareProfile, n: int, seed: int) -> list[HardwareProfile]:
    """Return ``n`` parameter sets of a profile, each a profile whose values are known exactly.

    The first sets are the same for every ``n``. A drawn value keeps unit, kind, source and note, its range is the drawn
    number alone. Raises InputError for ``n`` below 1 and for correlations that name no value or contradict each other.
    """
    if n < 1:
        raise InputError(f"found {n}, at least 1 parameter set is needed", "samples")
    values = profile.values()
    counts = count_paths(profile)
    unknown = {path: value for path, value in values.items() if not _exact(profile, path, value)}
    normals = {path: _normal_numbers(seed, profile.family or profile.name, path, n) for path in unknown}
    for paths, factor in correlation_factors(profile):
        normals |= dict(zip(paths, _combined(factor, [normals[path] for path in paths]), strict=True))
    drawn = {path: _drawn(value, normals[path], path in counts) for path, value in unknown.items()}
    return [profile.with_values({path: _known(values[path], drawn[path][i]) for path in drawn}) for i in range(n)]


def quantile_function(value: Value, normal: Floats) -> Floats:
    """Return the value at standard normal numbers: ``F^-1(Phi(z))``, not negative, monotone in z. Shape of ``normal``.

    With ``sd`` the log-normal has median ``value`` and standard deviation ``sd``: for w = exp(s^2) the variance of
    value * exp(s z) is value^2 * w * (w - 1).
    """
    if value.range is None:
        sd = value.sd or 0.0
        if value.value == 0.0:
            return np.maximum(sd * normal, 0.0)
        w = (1.0 + math.sqrt(1.0 + 4.0 * (sd / value.value) ** 2)) / 2.0
        return np.asarray(value.value * np.exp(math.sqrt(math.log(w)) * normal))
    low, high = value.range
    if low > 0.0:
        middle = math.log(value.value)
        log_sd = np.where(normal < 0.0, middle - math.log(low), math.log(high) - middle) / Q95
        return np.asarray(value.value * np.exp(log_sd * normal))
    sd_by_half = np.where(normal < 0.0, value.value - low, high - value.value) / Q95
    return np.maximum(value.value + sd_by_half * normal, 0.0)


def copula_correlation(rank: float) -> float:
    """Return the correlation of the normal numbers whose rank correlation (Spearman's) is this: 2 sin(pi rank / 6).

    Pearson, "On further methods of determining correlation", 1907; exact for the bivariate normal distribution.
    """
    return 2.0 * math.sin(math.pi * rank / 6.0)


def rank_correlation(normal: float) -> float:
    """Return the rank correlation for a correlation of normal numbers, as of logarithms that a fit found."""
    return 6.0 / math.pi * math.asin(normal / 2.0)


def correlation_factors(profile: HardwareProfile) -> list[tuple[list[str], Floats]]:
    """Return each group of values that depend on each other: their paths and the lower triangular factor. Shape (k, k).

    Several correlations are combined; a matrix that cannot be (a negative eigenvalue) becomes the nearest that can.
    Raises InputError for a path that matches nothing, a matrix of the wrong shape, and contradictions.
    """
    values = profile.values()
    locations = {".".join(location): location for location, _ in located(profile)}
    pairs: dict[frozenset[str], tuple[float, int]] = {}
    order: dict[str, None] = {}
    for number, correlation in enumerate(profile.correlations):
        where = f"hardware profile '{profile.name}': correlations.{number}"
        paths = [path for pattern in correlation.values for path in _matches(pattern, locations, where)]
        double = next((path for path in paths if paths.count(path) > 1), None)
        if double is not None:
            raise InputError(f"names {double} twice", where)
        matrix = _matrix(correlation, len(paths), where)
        for i, a in enumerate(paths):
            for j, b in enumerate(paths[:i]):
                rank, before = pairs.setdefault(frozenset((a, b)), (matrix[i][j], number))
                if rank != matrix[i][j]:
                    message = f"says {matrix[i][j]:g} for {b} and {a}, correlations.{before} says {rank:g}"
                    raise InputError(message, where)
        order |= dict.fromkeys(path for path in paths if not _exact(profile, path, values[path]))
    groups = _connected(list(order), pairs)
    return [(group, _factor(group, pairs, f"hardware profile '{profile.name}': correlations")) for group in groups]


def count_paths(profile: HardwareProfile) -> set[str]:
    """Return the paths of the values that count something: cores, packets, tunnels."""
    return {".".join(location) for location in _counts(profile, ())}


def _counts(model: BaseModel, location: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    counted = count_fields(type(model))
    for name in type(model).model_fields:
        inner = getattr(model, name)
        if isinstance(inner, Value):
            if name in counted:
                yield (*location, name)
        elif isinstance(inner, BaseModel):
            yield from _counts(inner, (*location, name))


def _exact(profile: HardwareProfile, path: str, value: Value) -> bool:
    # Without cores of their own for crypto there are none, whatever the range.
    if path == "architecture.crypto_cores" and profile.architecture.io_crypto == "packet-cores":
        return True
    return value.range == (value.value, value.value) or (value.range is None and not value.sd)


def _normal_numbers(seed: int, family: str, path: str, n: int) -> Floats:
    bits = hash64_array(make_key(seed, family, f"parameter {path}"), 0, n) >> np.uint64(11)
    inverse = NormalDist().inv_cdf
    # In the middle of its interval, so that neither 0 nor 1 comes up.
    return np.array([inverse((float(b) + 0.5) * UNIT) for b in bits])


def _combined(factor: Floats, normals: Sequence[Floats]) -> list[Floats]:
    # Term by term: a matrix product adds in an order that depends on n, and so in other last bits.
    together = []
    for row in factor:
        total = np.zeros_like(normals[0])
        for weight, normal in zip(row, normals, strict=True):
            total = total + weight * normal
        together.append(total)
    return together


def _drawn(value: Value, normal: Floats, count: bool) -> Floats:
    numbers = quantile_function(value, normal)
    return np.maximum(np.rint(numbers), min(value.value, 1.0)) if count else numbers


def _known(value: Value, number: float) -> Value:
    drawn = float(number)
    return value.model_copy(update={"value": drawn, "range": (drawn, drawn), "sd": None})


def _matches(pattern: str, locations: Mapping[str, tuple[str, ...]], where: str) -> list[str]:
    """Return the paths that a pattern names; ``*`` stands for any one name, which may hold a dot (a licence)."""
    parts = pattern.split(".")
    found = [path for path, location in locations.items() if path == pattern or _fits(location, parts)]
    if not found:
        near = nearest(pattern, locations)
        raise InputError(f"no value matches '{pattern}'" + (f", did you mean '{near}'?" if near else ""), where)
    return found


def _fits(location: Sequence[str], parts: Sequence[str]) -> bool:
    return len(location) == len(parts) and all(part in ("*", key) for part, key in zip(parts, location, strict=True))


def _matrix(correlation: Correlation, k: int, where: str) -> Sequence[Sequence[float]]:
    """Return the rank correlations of ``k`` values. Shape (k, k)."""
    if k < 2:
        raise InputError(f"correlates {k} value, at least 2 are needed", where)
    rank = correlation.correlation
    matrix = [[1.0 if i == j else rank for j in range(k)] for i in range(k)] if isinstance(rank, float) else rank
    if [len(row) for row in matrix] != [k] * k:
        raise InputError(f"{k} values need a matrix of {k} rows and {k} columns, found {len(matrix)} rows", where)
    for i in range(k):
        if matrix[i][i] != 1.0:
            raise InputError(f"the diagonal of a correlation matrix is 1, found {matrix[i][i]:g} in row {i + 1}", where)
        for j in range(i):
            if matrix[i][j] != matrix[j][i]:
                raise InputError(f"a correlation matrix is symmetric; row {i + 1}, column {j + 1} is not", where)
            if not -1.0 <= matrix[i][j] <= 1.0:
                raise InputError(f"found {matrix[i][j]:g}, a correlation lies between -1 and 1", where)
    return matrix


def _connected(paths: list[str], pairs: dict[frozenset[str], tuple[float, int]]) -> list[list[str]]:
    """Return the groups of paths that some correlation other than 0 joins, each in the order of ``paths``."""
    group_of = {path: place for place, path in enumerate(paths)}
    for a, b in (tuple(sorted(pair)) for pair, (rank, _) in pairs.items() if rank != 0.0):
        if a in group_of and b in group_of and group_of[a] != group_of[b]:
            low, high = sorted((group_of[a], group_of[b]))
            group_of = {path: low if group == high else group for path, group in group_of.items()}
    groups: dict[int, list[str]] = {}
    for path, group in group_of.items():
        groups.setdefault(group, []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _factor(paths: list[str], pairs: dict[frozenset[str], tuple[float, int]], where: str) -> Floats:
    k = len(paths)
    matrix = np.eye(k)
    for i, a in enumerate(paths):
        for j, b in enumerate(paths[:i]):
            matrix[i, j] = matrix[j, i] = copula_correlation(pairs.get(frozenset((a, b)), (0.0, 0))[0])
    factor = _triangular(matrix)
    if factor is not None:
        return factor
    possible = _nearest_possible(matrix)
    off = np.abs(possible - matrix)
    if off.max() > TOLERANCE:
        i, j = divmod(int(off.argmax()), k)
        stated, could = (rank_correlation(float(m[i, j])) for m in (matrix, possible))
        message = f"contradict each other: {stated:.2g} between {paths[j]} and {paths[i]} cannot be, {could:.2g} could"
        raise InputError(message, where)
    # A hair inside, so that rounding does not make it impossible again.
    return np.asarray(np.linalg.cholesky((1.0 - EPSILON) * possible + EPSILON * np.eye(k)))


def _triangular(matrix: Floats) -> Floats | None:
    """Return L with ``L @ L.T == matrix`` (Cholesky, semidefinite matrices included), None when there is none.

    Written out: the result does not depend on a library's order of summation or on its threads.
    """
    k = len(matrix)
    factor = np.zeros((k, k))
    for j in range(k):
        rest = matrix[j:, j] - np.array([math.fsum(factor[i, :j] * factor[j, :j]) for i in range(j, k)])
        if rest[0] > EPSILON:
            factor[j:, j] = rest / math.sqrt(rest[0])
        elif np.any(np.abs(rest) > math.sqrt(EPSILON)):
            return None
    return factor


def _nearest_possible(matrix: Floats) -> Floats:
    """Return a correlation matrix without negative eigenvalues: those are cut at 0, then the diagonal is made 1."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    cut = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diagonal(cut))
    return np.asarray(cut * np.outer(scale, scale))
