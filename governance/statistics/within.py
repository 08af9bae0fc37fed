"""How groups differ within cells: the same product in the same week, say, bought by these people and by others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.intervals import Bounds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-12  # of the largest value


@dataclass(frozen=True, slots=True)
class WithinEffect:
    """The difference between two sides, cells compared with themselves alone.

    Attributes:
        value: how much higher the one side is.
        standard_error: robust to clusters.
        freedom: degrees of freedom of its t distribution.
        exact: whether side and cell determine every value, so that there is no error to speak of.
        n: rows in cells that hold both sides.
        own: rows among them of the one side.
        cells: cells that hold both sides.
        clusters: clusters of those rows.
    """

    value: float
    standard_error: float
    freedom: float
    exact: bool
    n: int
    own: int
    cells: int
    clusters: int

    def bounds(self, level: float) -> Bounds:
        """A t interval."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 0.5 + level / 2)) * self.standard_error
        return Bounds(self.value - half, self.value + half)


def in_shared_cells(side: NDArray[np.bool_], cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of cells that hold both sides; the others say nothing of their difference."""
    count = int(cells.max(initial=-1)) + 1
    own, rows = np.bincount(cells, side, count), np.bincount(cells, minlength=count)
    shared: NDArray[np.bool_] = ((own > 0) & (own < rows))[cells]
    return shared


def within_effect(values: ArrayLike, side: ArrayLike, cells: ArrayLike, clusters: ArrayLike) -> WithinEffect:
    """Least squares on a dummy of one side with a fixed effect per cell, by demeaning within cells.

    The standard error is that of statsmodels' `cov_type="cluster"` with all dummies written out, except that cells
    within one cluster cost no degrees of freedom (they would be counted twice). The t distribution's
    degrees of freedom count the clusters of the rarer side by how much they weigh, minus one.

    Args:
        values: shape (n,), finite.
        side: whether a row is of the one side.
        cells: cell of each row, integers >= 0.
        clusters: cluster of each row, any integers.

    Raises:
        ValueError: values that are not finite, shapes that differ, no cell with both sides, a side with one cluster
            only, or as many cells as rows can tell.

    Source:
        Cameron and Miller (2015), J. Human Resources 50, section III; Carter, Schnepel and Steigerwald (2017), Rev.
        Econ. Stat. 99.
    """
    y, own = np.asarray(values, dtype=float), np.asarray(side, dtype=bool)
    cell, group = np.asarray(cells, dtype=np.int64), np.asarray(clusters, dtype=np.int64)
    if not (y.shape == own.shape == cell.shape == group.shape and y.ndim == 1):
        raise ValueError("expected four vectors of one length")
    if not np.isfinite(y).all():
        raise ValueError("expected finite values")
    shared = in_shared_cells(own, cell)
    if not shared.any():
        raise ValueError("expected a cell with both sides")
    y, own = y[shared], own[shared]
    cell, group = _renumbered(cell[shared]), _renumbered(group[shared])
    n, count, places = len(y), int(group.max()) + 1, int(cell.max()) + 1
    if min(int(np.count_nonzero(np.bincount(group[half]))) for half in (own, ~own)) < 2:
        raise ValueError("expected at least two clusters on either side")
    dummy, level = _demeaned(own.astype(float), cell), _demeaned(y, cell)
    weight = float((dummy**2).sum())
    value = float((dummy * level).sum()) / weight
    residual = level - value * dummy
    first = np.empty(places, dtype=np.int64)
    first[cell] = group  # some row's cluster; a cell lies within one if all its rows have that
    nested = int((np.bincount(cell, group != first[cell], places) == 0).sum())
    free = n - 1 - (places - nested) - (1 if nested else 0)
    if free < 1:
        raise ValueError(f"expected more rows than {n} for {places} cells")
    scores = np.bincount(group, dummy * residual, count)
    factor = count / (count - 1) * (n - 1) / free
    error = math.sqrt(factor * float((scores**2).sum())) / weight
    exact = float(np.abs(residual).max()) <= _ROUNDING * max(1.0, float(np.abs(y).max()))
    effective = min(_effective(dummy[half] ** 2, group[half]) for half in (own, ~own))
    return WithinEffect(
        value=value,
        standard_error=0.0 if exact else error,
        freedom=max(1.0, effective - 1),
        exact=exact,
        n=n,
        own=int(own.sum()),
        cells=places,
        clusters=count,
    )


def explained_within(values: ArrayLike, groups: ArrayLike, cells: ArrayLike) -> float | None:
    """Share of the variance within cells that groups account for: R squared of group dummies, all demeaned by cell.

    Chance alone gives about (groups - 1) / (rows - cells). None where nothing varies within a cell.

    Args:
        values: shape (n,), finite.
        groups: group of each row, 0…k - 1.
        cells: cell of each row, integers >= 0.
    """
    from scipy.sparse import coo_array

    y, group = np.asarray(values, dtype=float), np.asarray(groups, dtype=np.int64)
    _, cell = np.unique(np.asarray(cells), return_inverse=True)
    level = _demeaned(y, cell)
    total = float((level**2).sum())
    if float(np.abs(level).max()) <= _ROUNDING * max(1.0, float(np.abs(y).max())):
        return None
    sizes = np.bincount(cell).astype(float)
    width = int(group.max()) + 1
    counts = coo_array((np.ones(len(y)), (cell, group)), shape=(len(sizes), width)).tocsr()
    shares = coo_array((1 / sizes[cell], (cell, group)), shape=(len(sizes), width)).tocsr()
    normal = np.diag(np.bincount(group, minlength=width).astype(float)) - (counts.T @ shares).toarray()
    sums = np.bincount(group, level, width)
    explained = float(sums @ np.linalg.pinv(normal, hermitian=True) @ sums) / total
    return min(1.0, max(0.0, explained))


def least_mean_elsewhere(values: ArrayLike, groups: ArrayLike, cells: ArrayLike) -> NDArray[np.float64]:
    """Per row, the lowest of the other groups' means in its cell; infinite where no other group is there.

    Args:
        values: shape (n,), finite.
        groups: group of each row, integers >= 0.
        cells: cell of each row, integers >= 0.
    """
    x, group = np.asarray(values, dtype=float), np.asarray(groups, dtype=np.int64)
    cell, width = np.asarray(cells, dtype=np.int64), int(np.asarray(groups).max(initial=0)) + 1
    places, where, rows = np.unique(cell * width + group, return_inverse=True, return_counts=True)
    means = np.bincount(where, x, len(places)) / rows
    owner = places // width
    order = np.lexsort((means, owner))
    first = np.searchsorted(owner[order], owner[order])  # where each cell starts in the order
    lowest = order[np.unique(first)]
    second = np.full(len(lowest), np.inf)
    has_more = np.bincount(np.searchsorted(owner[lowest], owner)) > 1
    second[has_more] = means[order[np.unique(first)[has_more] + 1]]
    at = np.searchsorted(owner[lowest], cell)
    return np.where(places[lowest][at] % width == group, second[at], means[lowest][at])


def _demeaned(values: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values - (np.bincount(cells, values) / np.bincount(cells))[cells]
    return centred


def _renumbered(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same codes as 0…k - 1; without sorting, where they are small enough to count."""
    if codes.min() >= 0 and codes.max() < 4 * len(codes) + 1_000_000:
        place = np.cumsum(np.bincount(codes) > 0) - 1
        return place[codes].astype(np.int64)
    _, inverse = np.unique(codes, return_inverse=True)
    return inverse.astype(np.int64)


def _effective(weights: NDArray[np.float64], clusters: NDArray[np.int64]) -> float:
    """Clusters of equal weight that would tell as much."""
    sums = np.bincount(clusters, weights)
    return float(sums.sum() ** 2 / (sums**2).sum())
