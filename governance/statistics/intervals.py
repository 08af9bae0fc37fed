"""Intervals that keep their promise at rates near 0 and 1, for few rows, and for rows that come in clusters.

All rates are Wilson intervals on an effective sample size; differences and ratios are built from
the two sides' own intervals (MOVER), so they inherit the good behaviour at the edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A range of values that the data don't contradict; None: unbounded on that side."""

    low: float | None
    high: float | None


class Bounds(NamedTuple):
    """An interval that has both ends."""

    low: float
    high: float


def open_ends(bounds: tuple[float | None, float | None]) -> Interval:
    """Bounds with None for an end that is infinite."""
    low, high = (end if end is not None and math.isfinite(end) else None for end in bounds)
    return Interval(low, high)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of rows, with an interval that knows about clusters.

    Attributes:
        value: successes / total.
        low: lower end, >= 0.
        high: upper end, <= 1.
        n: rows.
        clusters: clusters that hold at least one of the rows.
        effective_n: independent rows that would say as much, <= n.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    effective_n: float

    @property
    def bounds(self) -> Bounds:
        """Both ends of the interval."""
        return Bounds(self.low, self.high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")


def _check_counts(successes: float, total: float) -> None:
    if not (math.isfinite(successes) and math.isfinite(total)):
        raise ValueError("expected finite counts")
    if not (total > 0 and 0 <= successes <= total):
        raise ValueError(f"expected 0 <= successes <= total and total > 0, got {successes} of {total}")


def wilson(successes: float, total: float, level: float = 0.95) -> Bounds:
    """Wilson's score interval for a rate; counts may be fractional (an effective sample size).

    Raises:
        ValueError: no rows, more successes than rows, not finite, or a level outside (0, 1).

    Source:
        Wilson (1927), JASA 22; recommended by Brown, Cai and DasGupta (2001), Stat. Sci. 16.

    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    from scipy.special import ndtri

    _check_level(level)
    _check_counts(successes, total)
    z = float(ndtri(0.5 + level / 2))
    rate = successes / total
    scale = 1 + z * z / total
    centre = (rate + z * z / (2 * total)) / scale
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / scale
    # At the edges the algebra gives exactly 0 and 1; floating point would miss them by 1e-17.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == total else min(1.0, centre + half)
    return Bounds(low, high)


def clopper_pearson(successes: float, total: float, level: float = 0.95) -> Bounds:
    """The exact binomial interval: covers at least `level` at every rate, and is wider for it.

    Fractional counts (an effective sample size) interpolate between the whole ones.

    Raises:
        ValueError: as for `wilson`.

    Source:
        Clopper and Pearson (1934), Biometrika 26.
    """
    from scipy.special import betaincinv

    _check_level(level)
    _check_counts(successes, total)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, total - successes + 1, tail))
    high = 1.0 if successes == total else float(betaincinv(successes + 1, total - successes, 1 - tail))
    return Bounds(low, high)


def clustered_wilson(successes: ArrayLike, totals: ArrayLike, level: float = 0.95) -> Rate:
    """Wilson's interval on an effective sample size, for rows that come in clusters.

    The design effect is the cluster-robust variance of the ratio over that of independent rows, never below 1
    (a lucky sample must not buy precision), and the effective size shrinks further where
    few clusters make that variance itself uncertain (t against normal quantiles). At a rate of 0 or 1 the
    variance can't be seen, and each cluster counts as one row.

    Args:
        successes: successes per cluster, shape (c,).
        totals: rows per cluster, shape (c,); clusters without rows are ignored.
        level: confidence level.

    Raises:
        ValueError: shapes differ, no rows, or successes outside [0, total].

    Source:
        Rao and Scott (1992), Biometrics 48; Korn and Graubard (1998), Survey Methodology 24 (the t factor).
    """
    _check_level(level)
    hits, rows = np.asarray(successes, dtype=float), np.asarray(totals, dtype=float)
    if hits.shape != rows.shape or hits.ndim != 1:
        raise ValueError(f"expected two vectors of one length, got shapes {hits.shape} and {rows.shape}")
    if not (np.all(hits >= 0) and np.all(hits <= rows)):
        raise ValueError("expected 0 <= successes <= total in every cluster")
    hits, rows = hits[rows > 0], rows[rows > 0]
    clusters, n, total_hits = len(rows), float(rows.sum()), float(hits.sum())
    _check_counts(total_hits, n)
    rate = total_hits / n
    effective = _effective_n(hits, rows, rate, level)
    # The edges are passed on as exact counts: rate * effective may differ from effective by rounding.
    low, high = wilson(effective if total_hits == n else rate * effective, effective, level)
    return Rate(value=rate, low=low, high=high, n=int(n), clusters=clusters, effective_n=effective)


def _effective_n(hits: np.ndarray, rows: np.ndarray, rate: float, level: float) -> float:
    clusters, n = len(rows), float(rows.sum())
    if clusters == 1:
        return 1.0  # nothing is known about how clusters differ
    if rate in (0.0, 1.0):
        return float(clusters)
    from scipy.special import stdtrit

    robust = float(((hits - rate * rows) ** 2).sum()) * clusters / (clusters - 1) / n**2
    independent = rate * (1 - rate) / (n - 1)
    design_effect = max(1.0, robust / independent)
    upper = 0.5 + level / 2
    shrink = float(stdtrit(n - 1, upper) / stdtrit(clusters - 1, upper))
    return n / design_effect * min(1.0, shrink) ** 2


def difference_interval(value: float, bounds: Bounds, other: float, other_bounds: Bounds) -> Bounds:
    """Interval of `value - other` from the two sides' own intervals, independent of each other.

    Source:
        Newcombe (1998), Stat. Med. 17, method 10; Zou and Donner (2008), Stat. Med. 27 (MOVER).
    """
    difference = value - other
    low = difference - math.hypot(value - bounds.low, other_bounds.high - other)
    high = difference + math.hypot(bounds.high - value, other - other_bounds.low)
    return Bounds(low, high)


def ratio_interval(value: float, bounds: Bounds, other: float, other_bounds: Bounds) -> Interval:
    """Interval of `value / other` for quantities >= 0, from the two sides' own intervals, independent of each other.

    Returns:
        The upper end is None where the denominator's interval reaches 0: no finite ratio is ruled out.

    Raises:
        ValueError: a negative end, or a denominator whose interval is [0, 0].

    Source:
        Donner and Zou (2012), Stat. Methods Med. Res. 21 (MOVER-R), its lower end written
        by the conjugate, which stays finite where the published form divides 0 by 0.
    """
    if min(bounds.low, other_bounds.low) < 0 or other_bounds.high <= 0:
        raise ValueError("expected ends >= 0 and a denominator that may be above 0")
    product = value * other
    below = bounds.low * (2 * value - bounds.low)
    above = other_bounds.high * (2 * other - other_bounds.high)
    low = 0.0
    if below > 0:
        low = below / (product + math.sqrt(max(0.0, product**2 - below * above)))
    if other_bounds.low <= 0:
        return Interval(low, None)
    beneath = other_bounds.low * (2 * other - other_bounds.low)
    top = bounds.high * (2 * value - bounds.high)
    return Interval(low, (product + math.sqrt(max(0.0, product**2 - top * beneath))) / beneath)


def spread_interval(groups: Sequence[Bounds]) -> Bounds:
    """Interval of the largest minus the smallest value, from intervals that hold for all groups at once.

    The plug-in gap is biased upwards, and a bootstrap doubles the bias; these
    bounds hold whenever all the groups' intervals do, so they keep their joint level.

    Args:
        groups: one interval per group, simultaneous (see `multiplicity.sidak`).

    Raises:
        ValueError: fewer than two groups: one group has no gap, which is not a gap of 0.
    """
    low, high = _ends(groups)
    beyond = low[:, None] - high[None, :]
    within = high[:, None] - low[None, :]
    apart = ~np.eye(len(low), dtype=bool)
    return Bounds(max(0.0, float(beyond[apart].max())), float(within[apart].max()))


def least_ratio_interval(groups: Sequence[Bounds]) -> Bounds:
    """Interval of the smallest over the largest value, from simultaneous intervals of quantities >= 0.

    Raises:
        ValueError: fewer than two groups, a negative end, or an upper end of 0.
    """
    low, high = _ends(groups)
    if low.min() < 0 or high.min() <= 0:
        raise ValueError("expected ends >= 0 and upper ends above 0")
    apart = ~np.eye(len(low), dtype=bool)
    least = float((low[:, None] / high[None, :])[apart].min())
    with np.errstate(divide="ignore"):  # high / 0 is infinite: no ratio up to 1 is ruled out
        most = float((high[:, None] / low[None, :])[apart].min())
    return Bounds(least, min(1.0, most))


def _ends(groups: Sequence[Bounds]) -> tuple[np.ndarray, np.ndarray]:
    if len(groups) < 2:
        raise ValueError(f"expected at least two groups, got {len(groups)}")
    ends = np.array(groups, dtype=float)
    return ends[:, 0], ends[:, 1]


def quantile_interval(values: ArrayLike, quantile: float, level: float = 0.95) -> tuple[float, Interval]:
    """A quantile and its distribution-free interval: two order statistics, whatever the distribution.

    Args:
        values: shape (n,), finite, independent.
        quantile: in (0, 1).
        level: confidence level.

    Returns:
        The sample quantile (itself an observed value) and its interval; an end is None where n is too small for one.

    Raises:
        ValueError: no values, not finite, or a quantile or level outside (0, 1).

    Source:
        Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    from scipy.stats import binom

    _check_level(level)
    ordered = np.sort(np.asarray(values, dtype=float))
    if ordered.ndim != 1 or len(ordered) == 0 or not np.isfinite(ordered).all():
        raise ValueError("expected a vector of finite values, at least one")
    if not 0 < quantile < 1:
        raise ValueError(f"expected a quantile in (0, 1), got {quantile}")
    n, tail = len(ordered), (1 - level) / 2
    below = binom.cdf(np.arange(n), n, quantile)  # below[r - 1] = P(value of rank r lies above the quantile)
    rank = int(np.searchsorted(below, tail, side="right"))  # the largest rank that errs at most `tail`
    above = binom.sf(np.arange(n), n, quantile)  # above[s - 1] = P(value of rank s lies below the quantile)
    fits = np.flatnonzero(above <= tail)
    low = float(ordered[rank - 1]) if rank > 0 else None
    high = float(ordered[fits[0]]) if len(fits) else None
    return float(np.quantile(ordered, quantile, method="inverted_cdf")), Interval(low, high)
