"""Points of curves: how often answers of some confidence are right, and what an attack finds at some cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.bootstrap import Ranking

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BINS = 20
LEAST = 10
"""Rows that a bin needs: a share of fewer is noise, and speaks of a few people."""
RATES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def reliability(said: ArrayLike, right: ArrayLike, *, least: int = LEAST) -> list[tuple[float, float, int]]:
    """Mean confidence, share that is right, and rows, in bins of confidence of equal width; small bins are left out.

    Args:
        said: confidence in the label given, in [0, 1], shape (n,); rows that are not finite are left out.
        right: whether that label is right, shape (n,).
        least: rows that a bin needs.

    Source:
        Guo et al. (2017), arXiv:1706.04599.
    """
    values, hits = np.asarray(said, dtype=float), np.asarray(right, dtype=float)
    kept = np.isfinite(values)
    values, hits = values[kept], hits[kept]
    places = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(places, minlength=BINS)
    sums, found = np.bincount(places, values, BINS), np.bincount(places, hits, BINS)
    return [
        (float(sums[place] / rows[place]), float(found[place] / rows[place]), int(rows[place]))
        for place in np.flatnonzero(rows >= max(least, 1))
    ]


def roc(scores: ArrayLike, positive: ArrayLike) -> list[tuple[float, float]]:
    """False-positive rate and the largest true-positive rate at it, at fixed rates: nothing is interpolated.

    Args:
        scores: shape (n,); higher means "positive".
        positive: truth, shape (n,).

    Raises:
        ValueError: as `Ranking`.
    """
    ranking = Ranking(scores, positive)
    return [(rate, float(ranking.tpr_at_fpr(rate)[0])) for rate in RATES]
