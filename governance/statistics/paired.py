"""Two models on the same rows: the difference of their scores, with what the rows and their clusters allow to be said.

Scores of two models rise and fall together with the rows, so the rows' differences vary less than
the scores do. Everything here works on those differences, summed within clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from governance.statistics.intervals import Bounds, clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Reach = tuple[float, float] | None
Standing = Literal["shown", "refuted", "open"]
_CELLS = 2_000_000  # cells of one chunk of sign flips


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of `a - b` over rows, with its t interval.

    Attributes:
        value: mean difference; above 0 where `a` scores higher.
        low: lower end.
        high: upper end.
        standard_error: of the mean, robust to clusters; 0 where no cluster differs from another.
        n: rows.
        clusters: independent clusters, the rows themselves where none were given.
    """

    value: float
    low: float
    high: float
    standard_error: float
    n: int
    clusters: int

    @property
    def bounds(self) -> Bounds:
        """Both ends of the interval."""
        return Bounds(self.low, self.high)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    reach: Reach = (-1.0, 1.0),
) -> PairedDifference:
    """Mean of `a - b` with a cluster-robust standard error and a t interval on clusters - 1 degrees of freedom.

    For scores of 0 and 1 it covers 93.5 to 96% from ten expected rows on which the models differ; with five, 91 to 99%.

    Where no cluster differs from another (two models that answer alike), the standard error is 0 and would
    claim certainty. The ends are then those of a share of clusters that may be otherwise, as far as `reach`
    lets them, though none was seen (Clopper-Pearson, so `non_inferiority_p` agrees with it).

    Args:
        a: scores of one model per row, shape (n,), finite.
        b: scores of the other on the same rows, shape (n,), finite.
        clusters: cluster code per row, shape (n,), any integers; None: rows are independent.
        level: confidence level.
        reach: smallest and largest possible difference, which the ends respect; None: unbounded scores.

    Raises:
        ValueError: shapes differ, a score that is not finite or a difference out of reach, fewer than two
            clusters, a level outside (0, 1), or no variation between clusters of unbounded scores.

    Source:
        Liang and Zeger (1986), Biometrika 73, with the correction C / (C - 1); Miller (2024), arXiv:2411.00640.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")
    differences, codes = _differences(a, b, clusters)
    n, count = len(differences), int(codes.max()) + 1
    if count < 2:
        raise ValueError("expected at least two clusters: one says nothing about how clusters differ")
    if reach is not None and not (reach[0] <= differences.min() and differences.max() <= reach[1]):
        raise ValueError(f"expected differences within {reach}; give `reach` what the scores allow, or None")
    value = float(differences.mean())
    residuals = np.bincount(codes, differences - value, count)
    error = math.sqrt(float((residuals**2).sum()) * count / (count - 1)) / n
    if error <= 1e-12 * max(1.0, float(np.abs(differences).max())):
        bounds = _unseen(value, count, level, reach)
        return PairedDifference(value, bounds.low, bounds.high, 0.0, n, count)
    half = float(stdtrit(count - 1, 0.5 + level / 2)) * error
    low, high = value - half, value + half
    if reach is not None:
        low, high = max(low, reach[0]), min(high, reach[1])
    return PairedDifference(value, low, high, error, n, count)


def _differences(
    a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Difference per row and cluster per row, renumbered from 0: (n,) each."""
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if left.shape != right.shape or left.ndim != 1 or len(left) == 0:
        raise ValueError(f"expected two vectors of one length, at least 1, got shapes {left.shape} and {right.shape}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("expected finite scores")
    if clusters is None:
        return left - right, np.arange(len(left))
    given = np.asarray(clusters)
    if given.shape != left.shape:
        raise ValueError(f"expected a cluster per row, got shape {given.shape} for {len(left)} rows")
    _, codes = np.unique(given, return_inverse=True)
    return left - right, codes.astype(np.int64)


def _unseen(value: float, clusters: int, level: float, reach: Reach) -> Bounds:
    if reach is None:
        raise ValueError("differences that are all alike have no standard error; give `reach` to bound what was unseen")
    share = clopper_pearson(0, clusters, level).high
    return Bounds(value - share * (value - reach[0]), value + share * (reach[1] - value))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p of "both models are right equally often", for independent rows.

    Args:
        only_a: rows that only the one answered right.
        only_b: rows that only the other answered right.

    Returns:
        The p-value; 1.0 where no row tells the models apart.

    Raises:
        ValueError: a negative count.

    Source:
        McNemar (1947), Psychometrika 12, in its exact binomial form.

    >>> mcnemar(1, 9)
    0.021484375
    """
    from scipy.special import bdtr

    if not (only_a >= 0 and only_b >= 0):
        raise ValueError(f"expected counts >= 0, got {only_a} and {only_b}")
    discordant = only_a + only_b
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5))) if discordant else 1.0


def permutation_test(
    a: ArrayLike, b: ArrayLike, *, clusters: ArrayLike | None = None, draws: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p of "the models are interchangeable": each cluster's differences change sign together, or don't.

    Exact where the clusters that differ at all have no more than `draws` sign patterns; else sampled, with the
    observed pattern counted among the draws, which keeps the test valid at any number of draws. Clusters of
    one absolute sum are flipped by a single binomial draw, so scores of 0 and 1 cost no more for more rows.

    Args:
        a: scores of one model per row, shape (n,), finite.
        b: scores of the other on the same rows, shape (n,), finite.
        clusters: cluster code per row, shape (n,), any integers; None: rows are independent.
        draws: sign patterns to try.
        seed: same seed, same p.

    Raises:
        ValueError: shapes differ, a score that is not finite, or no draws.

    Source:
        Fisher (1935), The Design of Experiments; Phipson and Smyth (2010), SAGMB 9 (the observed pattern counts).
    """
    if draws < 1:
        raise ValueError(f"expected at least one draw, got {draws}")
    differences, codes = _differences(a, b, clusters)
    sums = np.bincount(codes, differences)
    # Rounding far below any score: equal sums must count as equal, and a tie as at least as extreme.
    slack = 1e-9 * max(1.0, float(np.abs(differences).max()))
    sizes = np.round(np.abs(sums) / slack) * slack
    sizes = sizes[sizes > 0]
    observed = abs(float(sums.sum())) - slack * (len(sizes) + 1)
    if len(sizes) < draws.bit_length():  # 2**len(sizes) <= draws
        totals = np.zeros(1)
        for size in sizes:
            totals = np.concatenate([totals - size, totals + size])
        return float(np.mean(np.abs(totals) >= observed))
    rng, extreme = np.random.default_rng(seed), 0
    magnitudes, times = np.unique(sizes, return_counts=True)
    step = max(1, _CELLS // len(magnitudes))
    for start in range(0, draws, step):
        shape = (min(step, draws - start), len(magnitudes))
        flips = 2 * rng.binomial(times, 0.5, size=shape) - times
        extreme += int(np.sum(np.abs(flips @ magnitudes) >= observed))
    return (extreme + 1) / (draws + 1)


def non_inferiority(bounds: tuple[float | None, float | None], margin: float) -> Standing:
    """Whether an interval of `a - b` shows, refutes or leaves open that `a - b >= -margin`.

    Args:
        bounds: interval of the difference; None: unbounded on that side.
        margin: the loss that is still acceptable, >= 0.

    Raises:
        ValueError: a margin that is negative or not finite, or an end that is NaN.

    >>> non_inferiority((-0.01, 0.03), 0.02), non_inferiority((-0.03, 0.01), 0.02)
    ('shown', 'open')
    """
    _check_margin(margin)
    low, high = bounds
    if any(end is not None and math.isnan(end) for end in bounds):
        raise ValueError(f"expected ends that are numbers or None, got {low} and {high}")
    if low is not None and low >= -margin:
        return "shown"
    return "refuted" if high is not None and high < -margin else "open"


def non_inferiority_p(difference: PairedDifference, margin: float, *, reach: Reach = (-1.0, 1.0)) -> float:
    """One-sided p of "a - b is below -margin": small where non-inferiority is shown.

    At most (1 - level) / 2 exactly where the lower end of the two-sided interval of that level is at least -margin.

    Args:
        difference: as `paired_difference` gives it.
        margin: the loss that is still acceptable, >= 0.
        reach: as given to `paired_difference`.

    Raises:
        ValueError: a margin that is negative or not finite, or a standard error of 0 without `reach`.

    Source:
        Wellek (2010), Testing Statistical Hypotheses of Equivalence and Noninferiority, section 5.3.
    """
    from scipy.special import stdtr

    _check_margin(margin)
    if reach is not None and -margin <= reach[0]:
        return 0.0  # no difference is as bad as that
    distance = difference.value + margin
    if difference.standard_error > 0:
        return float(stdtr(difference.clusters - 1, -distance / difference.standard_error))
    if reach is None:
        raise ValueError("a standard error of 0 supports no t test; give `reach` to bound what was unseen")
    if distance <= 0:
        return 1.0
    # As many clusters as this would have to be at the worst value, and none of them was seen.
    return float((1 - distance / (difference.value - reach[0])) ** difference.clusters)


def _check_margin(margin: float) -> None:
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"expected a finite margin >= 0, got {margin}")
