"""How far apart two samples are, from their summaries alone: counts per bin, or a mean and its covariance.

A plug-in distance is never 0, and its bootstrap is further off still, so nothing here resamples a distance. What is
resampled is what the distance is made of, whose error is centred: where a distance is a norm of a difference, it is
off by at most the norm of that error (the triangle inequality), whatever the truth. Divergences are no norms; near 0
they are multiples of a noncentral chi-squared variable, whose noncentrality has an exact interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

DRAWS = 4000
_HALF = 0.5  # a row added to every bin (Jeffreys): a bin that was not seen isn't impossible


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance with its interval; `value` lies in it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Shares:
    """Rows counted by bin.

    Attributes:
        counts: rows per bin, shape (k,), k >= 2.
        effective: independent rows that would say as much, at most the rows; see `effective_rows`.

    Raises:
        ValueError: fewer than two bins, a negative count, no rows, or more effective rows than rows.
    """

    counts: NDArray[np.float64]
    effective: float

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts, dtype=float)
        if counts.ndim != 1 or len(counts) < 2 or not np.all(counts >= 0) or not np.isfinite(counts).all():
            raise ValueError("expected counts >= 0 of at least two bins")
        if not 0 < self.effective <= counts.sum() * (1 + 1e-9):
            raise ValueError(f"expected 0 < effective <= {counts.sum():g} rows, got {self.effective}")
        object.__setattr__(self, "counts", counts)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of rows per bin, shape (k,)."""
        return np.asarray(self.counts / self.counts.sum())

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """The same, none of them 0, shape (k,)."""
        rows = self.shares * self.effective + _HALF
        return np.asarray(rows / rows.sum())

    def errors(self, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
        """How far shares of so many rows may be off, resampled: (draws, k)."""
        centre, rows = self.smoothed, max(1, int(self.effective))
        return np.asarray(rng.multinomial(rows, centre, size=draws) / rows - centre)


def effective_rows(codes: ArrayLike, clusters: ArrayLike) -> float:
    """Independent rows that would tell shares of bins as well as these rows, which come in clusters.

    The mean design effect over bins, never below 1; one cluster alone counts as one row.

    Args:
        codes: bin per row, 0…k-1, shape (n,).
        clusters: cluster per row, any integers, shape (n,).

    Raises:
        ValueError: no rows, or shapes that differ.

    Source:
        Rao and Scott (1981), JASA 76, the first-order correction.
    """
    bins, given = np.asarray(codes, dtype=np.int64), np.asarray(clusters)
    if bins.ndim != 1 or bins.shape != given.shape or len(bins) == 0:
        raise ValueError("expected a bin and a cluster per row, at least one row")
    keys, groups = np.unique(given, return_inverse=True)
    n, count, k = len(bins), len(keys), int(bins.max()) + 1
    if count == n:
        return float(n)
    if count == 1:
        return 1.0
    table = np.bincount(groups * k + bins, minlength=count * k).reshape(count, k).astype(float)
    share = table.sum(axis=0) / n
    seen = (share > 0) & (share < 1)
    if not seen.any():
        return float(count)  # how clusters differ can't be seen
    robust = ((table - table.sum(axis=1, keepdims=True) * share) ** 2).sum(axis=0) * count / (count - 1) / n**2
    effect = float((robust[seen] / share[seen]).sum() / ((1 - share[seen]) / n).sum())
    return n / max(1.0, effect)


def total_variation(now: Shares, before: Shares, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Distance:
    """Half the sum of absolute differences of shares, in [0, 1]: the share of rows that would have to move.

    Raises:
        ValueError: different bins, or a level outside (0, 1).
    """

    def norm(differences: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.abs(differences).sum(axis=-1) / 2)

    return _by_norm(now, before, norm, level, draws, seed)


def kolmogorov(now: Shares, before: Shares, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Distance:
    """The largest difference of the shares of rows up to a bin's end, in [0, 1]; for bins that have an order.

    Binned values can only hide some of it: the statistic of Kolmogorov and Smirnov over all values is at least this.

    Raises:
        ValueError: different bins, or a level outside (0, 1).
    """

    def norm(differences: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.abs(np.cumsum(differences, axis=-1)).max(axis=-1))

    return _by_norm(now, before, norm, level, draws, seed)


def _by_norm(
    now: Shares,
    before: Shares,
    norm: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    level: float,
    draws: int,
    seed: int,
) -> Distance:
    _check(now, before, level)
    rng = np.random.default_rng(seed)
    errors = norm(now.errors(rng, draws) - before.errors(rng, draws))
    return _around(float(norm(now.shares - before.shares)), float(np.quantile(errors, level, method="higher")))


def _around(value: float, off: float) -> Distance:
    value = min(1.0, value)  # rounding
    return Distance(value, max(0.0, value - off), min(1.0, value + off))


def population_stability(now: Shares, before: Shares, *, level: float = 0.95) -> Distance:
    """PSI, the sum of (p - q) ln(p / q) over bins, in nats: below 0.1 small, above 0.25 large by custom.

    Raises:
        ValueError: different bins, or a level outside (0, 1).

    Source:
        Yurdakul and Naranjo (2020), J. Risk Model Validation 14 (its chi-squared limit).
    """
    _check(now, before, level)
    p, q = now.smoothed, before.smoothed
    return _noncentral(float(((p - q) * np.log(p / q)).sum()), 1.0, now, before, level)


def jensen_shannon(now: Shares, before: Shares, *, level: float = 0.95) -> Distance:
    """The Jensen-Shannon divergence in bits, in [0, 1].

    Raises:
        ValueError: different bins, or a level outside (0, 1).

    Source:
        Lin (1991), IEEE Trans. Inf. Theory 37; the limit is that of PSI, of which it is an eighth near 0 (in nats).
    """
    _check(now, before, level)
    p, q = now.smoothed, before.smoothed
    middle = (p + q) / 2
    value = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2)
    found = _noncentral(value, 1 / (8 * math.log(2)), now, before, level)
    return Distance(min(1.0, found.value), min(1.0, found.low), min(1.0, found.high))


def _noncentral(value: float, scale: float, now: Shares, before: Shares, level: float) -> Distance:
    """Interval of a divergence that is `scale` times the sum of squared differences over shares, near 0."""
    from scipy.special import chdtr, chndtrinc

    unit = scale * (1 / now.effective + 1 / before.effective)
    freedom, tail = len(now.counts) - 1, (1 - level) / 2

    def at(found: float, chance: float) -> float:
        """The noncentrality under which so small a statistic has this chance; 0 where none is so large."""
        return 0.0 if chdtr(freedom, found) <= chance else float(chndtrinc(found, freedom, chance))

    low = at(value / unit, 1 - tail) * unit
    # Samples can be more alike than chance makes equal ones, which is no proof of equality: at least the mean counts.
    high = at(max(value / unit, float(freedom)), tail) * unit
    return Distance(value, min(low, value), max(high, value))


def _check(now: Shares, before: Shares, level: float) -> None:
    if len(now.counts) != len(before.counts):
        raise ValueError(f"expected the same bins, got {len(now.counts)} and {len(before.counts)}")
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")


@dataclass(frozen=True)
class MeanVector:
    """The mean of vectors of rows, and how far it may be off.

    Attributes:
        mean: shape (d,).
        covariance: of the mean, not of a row; robust to clusters; shape (d, d).
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: ArrayLike, clusters: ArrayLike) -> MeanVector:
        """From vectors of rows, shape (n, d), and the cluster of each.

        Raises:
            ValueError: fewer than two clusters.
        """
        rows = np.asarray(vectors, dtype=float)
        keys, groups = np.unique(np.asarray(clusters), return_inverse=True)
        if len(keys) < 2:
            raise ValueError(f"expected at least two clusters, got {len(keys)}")
        mean = rows.mean(axis=0)
        sums = np.zeros((len(keys), rows.shape[1]))
        np.add.at(sums, groups, rows - mean)
        return cls(mean, sums.T @ sums * len(keys) / (len(keys) - 1) / len(rows) ** 2)


def mean_shift(
    now: MeanVector, before: MeanVector, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[Distance, float]:
    """Half the distance between the mean vectors of two samples of unit vectors, in [0, 1], and the p of no shift.

    The maximum mean discrepancy (MMD) of the kernel that the vectors are features of, by its Gaussian limit.

    Raises:
        ValueError: vectors of other lengths, or a level outside (0, 1).

    Source:
        Gretton et al. (2012), JMLR 13.
    """
    if now.mean.shape != before.mean.shape or not 0 < level < 1:
        raise ValueError("expected vectors of one length and a level in (0, 1)")
    spread = np.clip(np.linalg.eigvalsh(now.covariance + before.covariance), 0.0, None)
    normal = np.random.default_rng(seed).standard_normal((draws, len(spread)))
    errors = np.sqrt((normal**2) @ spread) / 2
    value = float(np.linalg.norm(now.mean - before.mean)) / 2
    beyond = (1 + int((errors >= value).sum())) / (draws + 1)
    return _around(value, float(np.quantile(errors, level, method="higher"))), beyond
