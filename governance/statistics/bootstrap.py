"""The cluster bootstrap on tables of counts: resample clusters, never rows, and never re-read the data.

A draw is a vector of multinomial weights over the clusters: how often each was drawn in C draws with replacement.
Multinomial rather than Poisson: that is the bootstrap itself, its number of clusters fixed, where Poisson
weights let it vary and only approximate it for few clusters (they earn their keep on data
too large for one machine). Statistics of counts cost draws x clusters, whatever the rows.

The weights depend on nothing but (clusters, draws, seed): two models resampled over the same
rows get the same weights, so their difference is paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.intervals import Bounds, wilson

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEAST_DRAWS = 200  # fewer make intervals of chance
DRAWS = 2000
_CELLS = 2_000_000  # cells of one chunk, 16 MB in float64
_KEPT = 20_000_000  # cells of a weight matrix worth keeping, 40 MB in uint16


class ClusterBootstrap:
    """Seeded draws over the clusters of a set of rows.

    Args:
        clusters: cluster code per row, shape (n,); any integers.
        draws: number of resamples.
        seed: same seed, same draws.

    Attributes:
        codes: cluster per row, renumbered 0…count-1, shape (n,).
        count: number of clusters.

    Raises:
        ValueError: no rows, or no draws.
    """

    def __init__(self, clusters: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> None:
        _, codes = np.unique(np.asarray(clusters), return_inverse=True)
        if codes.ndim != 1 or len(codes) == 0:
            raise ValueError("expected a vector of cluster codes, at least one")
        if draws < 1:
            raise ValueError(f"expected at least one draw, got {draws}")
        self.codes: NDArray[np.int64] = codes.astype(np.int64)
        self.count = int(codes.max()) + 1
        self.draws = draws
        self.seed = seed

    def table(self, columns: ArrayLike) -> NDArray[np.float64]:
        """Sums per cluster of row-wise columns: (n, k) -> (count, k)."""
        rows = np.asarray(columns, dtype=float)
        return np.stack([np.bincount(self.codes, column, self.count) for column in rows.T], axis=1)

    def sums(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Resampled totals of a per-cluster table: (count, k) -> (draws, k)."""
        return np.concatenate([chunk.astype(float) @ table for chunk in self._weights(self.count)])

    def rows(self, statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
        """A statistic that needs every row: called with row weights (b, n), answers (b,). Returns (draws,)."""
        width = max(self.count, len(self.codes))
        return np.concatenate([statistic(chunk[:, self.codes].astype(float)) for chunk in self._weights(width)])

    def _weights(self, width: int) -> Iterator[NDArray[np.uint16]]:
        """Chunks of the weight matrix, (b, count), small enough for work arrays of `width` columns."""
        step = max(1, _CELLS // width)
        if self.draws * self.count <= _KEPT:
            kept = _kept_weights(self.count, self.draws, self.seed)
            for start in range(0, self.draws, step):
                yield kept[start : start + step]
            return
        for start in range(0, self.draws, step):
            yield _draw(self.count, range(start, min(start + step, self.draws)), self.seed)


@lru_cache(maxsize=2)
def _kept_weights(count: int, draws: int, seed: int) -> NDArray[np.uint16]:
    weights = _draw(count, range(draws), seed)
    weights.setflags(write=False)
    return weights


def _draw(count: int, which: range, seed: int) -> NDArray[np.uint16]:
    """Weights of these draws; each draw has its own stream, so chunking can't change them."""
    weights = np.empty((len(which), count), dtype=np.uint16)
    for row, number in enumerate(which):
        picked = np.random.default_rng((seed, number)).integers(0, count, size=count)
        weights[row] = np.bincount(picked, minlength=count)
    return weights


class Ranking:
    """Rows in the order of a score, ready for weighted ranking statistics over many draws at once.

    Args:
        scores: shape (n,), finite; higher means "positive".
        positive: truth per row, shape (n,).

    Raises:
        ValueError: shapes differ, a score that is not finite, or a class without rows.
    """

    def __init__(self, scores: ArrayLike, positive: ArrayLike) -> None:
        values, truth = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
        if values.shape != truth.shape or values.ndim != 1:
            raise ValueError(f"expected two vectors of one length, got shapes {values.shape} and {truth.shape}")
        if not np.isfinite(values).all():
            raise ValueError("expected finite scores")
        if truth.all() or not truth.any():
            raise ValueError("expected rows of both classes")
        self._order = np.argsort(-values, kind="stable")
        ordered = values[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self._positive = truth[self._order].astype(float)

    def _levels(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight of positives and of negatives at each distinct score, highest score first: (b, levels) each."""
        ordered = weights[:, self._order]
        positives = np.add.reduceat(ordered * self._positive, self._starts, axis=1)
        return positives, np.add.reduceat(ordered, self._starts, axis=1) - positives

    def auc(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Area under the ROC curve, ties counted half: (b, n) -> (b,), NaN where a draw lacks a class.

        Without weights, the sample's own AUC, shape (1,).
        """
        positives, negatives = self._levels(self._ones() if weights is None else weights)
        below = negatives.sum(axis=1, keepdims=True) - np.cumsum(negatives, axis=1) + negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return _divide((positives * below).sum(axis=1), pairs)

    def tpr_at_fpr(self, fpr: float, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Largest true-positive rate of a threshold whose false-positive rate is at most `fpr`: (b, n) -> (b,).

        No interpolation: only rates that some threshold reaches.
        """
        positives, negatives = self._levels(self._ones() if weights is None else weights)
        total = negatives.sum(axis=1)
        allowed = np.cumsum(negatives, axis=1) <= (fpr * total + 1e-9)[:, None]
        found = np.where(allowed, np.cumsum(positives, axis=1), 0.0).max(axis=1)
        # A draw without negatives has no false-positive rate to hold.
        return _divide(found, np.where(total > 0, positives.sum(axis=1), 0.0))

    def _ones(self) -> NDArray[np.float64]:
        return np.ones((1, len(self._order)))


def _divide(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    quotient = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient


def percentile_interval(
    draws: ArrayLike,
    value: float,
    *,
    level: float = 0.95,
    clusters: int,
    reach: tuple[float, float] = (0.0, 1.0),
) -> Bounds:
    """Interval of a statistic from its resampled values.

    Three ways in which a plain percentile interval claims too much are closed: its levels are widened for few
    clusters (t against normal quantiles, and the n-1); an undefined draw (NaN: a class was
    not drawn) counts as the worst value for the lower end and the best for the upper; and where no draw differs from
    another (all answers right), the ends are Wilson's for "never seen in this many clusters".

    Args:
        draws: resampled values, shape (b,), NaN where undefined.
        value: the sample's own value; the interval always holds it.
        level: confidence level.
        clusters: independent clusters behind the value (of the rarest class, where there are classes).
        reach: smallest and largest possible value.

    Raises:
        ValueError: no draws, no clusters, a value that is not finite, or a level outside (0, 1).

    Source:
        Hesterberg (2015), Am. Stat. 69, the expanded percentile interval.
    """
    from scipy.special import ndtr, stdtrit

    resampled = np.asarray(draws, dtype=float)
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")
    if resampled.ndim != 1 or len(resampled) == 0 or clusters < 1 or not math.isfinite(value):
        raise ValueError("expected draws, at least one cluster, and a finite value")
    undefined, tail = ~np.isfinite(resampled), 0.0
    if clusters > 1:
        quantile = float(stdtrit(clusters - 1, (1 - level) / 2))
        tail = float(ndtr(math.sqrt(clusters / (clusters - 1)) * quantile))
    low = float(np.quantile(np.where(undefined, reach[0], resampled), tail, method="inverted_cdf"))
    high = -float(np.quantile(-np.where(undefined, reach[1], resampled), tail, method="inverted_cdf"))
    if (clusters == 1 or undefined.all()) and not np.isfinite(reach).all():
        return Bounds(*reach)  # of how clusters differ nothing is known, and nothing bounds it
    if undefined.all() or np.ptp(resampled[~undefined]) <= 1e-12:
        unseen = wilson(0, clusters, level).high
        low, high = min(low, max(reach[0], value - unseen)), max(high, min(reach[1], value + unseen))
    return Bounds(min(low, value), max(high, value))
