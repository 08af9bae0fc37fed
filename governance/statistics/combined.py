"""Sums and differences of rates whose rows may overlap or share clusters: who speaks of a thing, and who doesn't.

Each rate keeps an interval of its own, exact at the edges (Clopper-Pearson on the effective sample size); the intervals
are joined with the rates' correlations (MOVER), which come from sums within clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.intervals import Bounds, clopper_pearson, clustered_wilson

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Combination:
    """A weighted sum of rates.

    Attributes:
        value: the sum.
        bounds: its interval.
        rates: the rates themselves.
        clusters: clusters that hold a row of any of them.
    """

    value: float
    bounds: Bounds
    rates: tuple[float, ...]
    clusters: int


def combined_rates(
    hits: ArrayLike, among: ArrayLike, weights: ArrayLike, *, clusters: ArrayLike, level: float = 0.95
) -> Combination:
    """`sum(weight * rate)` of k rates, each a share of its own rows.

    Args:
        hits: whether a row counts as a success of each rate, shape (n, k); looked at where it is `among` its rows.
        among: whether a row belongs to each rate, shape (n, k). Rates may have rows in common, or none.
        weights: of the rates, shape (k,): 1 and -1 for a difference.
        clusters: cluster code per row, shape (n,), any integers.
        level: confidence level.

    Raises:
        ValueError: shapes differ, a rate without rows, or a level outside (0, 1).

    Source:
        Zou and Donner (2008), Stat. Med. 27, and Zou, Huang and Zhang (2009), Comput. Stat. Data Anal. 53, for MOVER
        with correlations; Rao and Scott (1992), Biometrics 48, for the effective sample size.
    """
    inside, weight = np.asarray(among, dtype=bool), np.asarray(weights, dtype=float)
    right = np.asarray(hits, dtype=bool) & inside
    if right.shape != inside.shape or inside.ndim != 2 or weight.shape != inside.shape[1:]:
        raise ValueError(f"expected tables of one shape (n, k) and k weights, got {right.shape} and {weight.shape}")
    if len(np.asarray(clusters)) != len(inside):
        raise ValueError(f"expected a cluster per row, got {len(np.asarray(clusters))} for {len(inside)} rows")
    _, codes = np.unique(np.asarray(clusters)[inside.any(axis=1)], return_inverse=True)
    won, rows = _by_cluster(right[inside.any(axis=1)], codes), _by_cluster(inside[inside.any(axis=1)], codes)
    if not rows.size or not rows.sum(axis=0).all():
        raise ValueError("expected rows in every rate")
    rates = won.sum(axis=0) / rows.sum(axis=0)
    ends = np.array([_ends(won[:, place], rows[:, place], level) for place in range(len(weight))])
    value = float(weight @ rates)
    together = _correlations((won - rates * rows) / rows.sum(axis=0))
    # Towards the lower end a rate with a positive weight goes down and one with a negative weight goes up.
    down, up = rates - ends[:, 0], ends[:, 1] - rates
    low = weight * np.where(weight > 0, down, up)
    high = weight * np.where(weight > 0, up, down)
    reach = float(np.minimum(weight, 0).sum()), float(np.maximum(weight, 0).sum())
    bounds = Bounds(
        max(reach[0], value - math.sqrt(max(0.0, float(low @ together @ low)))),
        min(reach[1], value + math.sqrt(max(0.0, float(high @ together @ high)))),
    )
    return Combination(value, bounds, tuple(float(rate) for rate in rates), len(rows))


def _by_cluster(table: NDArray[np.bool_], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums within clusters, shape (clusters, k)."""
    count = int(codes.max(initial=-1)) + 1
    return np.stack([np.bincount(codes, column, count) for column in table.T], axis=1)


def _ends(won: NDArray[np.float64], rows: NDArray[np.float64], level: float) -> Bounds:
    rate = clustered_wilson(won, rows, level)
    size = rate.effective_n
    # The edges are passed on as exact counts: value * size may differ from size by rounding.
    return clopper_pearson(size if rate.value == 1 else rate.value * size, size, level)


def _correlations(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of rates, from what each cluster adds to their errors; 0 where a rate doesn't vary."""
    covariance = residuals.T @ residuals
    spread = np.sqrt(np.diag(covariance))
    scale = np.outer(spread, spread)
    found: NDArray[np.float64] = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    np.fill_diagonal(found, 1.0)
    return found
