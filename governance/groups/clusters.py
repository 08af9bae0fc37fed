"""Counts by cluster: rows of one customer, product or conversation are not independent, and intervals must know.

The same counters as `GroupCounts`, kept apart by cluster: one entry per cluster, cell, truth and prediction that
occur together. Entries add up like the counters, so shards merge; a cluster that two shards share becomes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from governance.groups.counts import GroupCounts
from governance.groups.metrics import RATES, outcomes, rate, right
from governance.statistics.intervals import Rate, clustered_wilson, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClusterCounts:
    """A table of counts and who stands behind each of them.

    Attributes:
        table: all rows.
        keys: name of each cluster, unique, any dtype that sorts; shape (clusters,).
        cluster: place in `keys` of each entry, shape (entries,).
        place: flat place in `table.counts` of each entry, ascending, shape (entries,).
        rows: rows of each entry, > 0, shape (entries,).
    """

    table: GroupCounts
    keys: NDArray[np.generic]
    cluster: NDArray[np.int64]
    place: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        table: GroupCounts,
        keys: NDArray[np.generic],
        cluster: NDArray[np.integer],
        place: NDArray[np.integer],
        rows: NDArray[np.integer],
    ) -> ClusterCounts:
        """From entries in any order, some of them perhaps for one cluster and place; the arrays are as above."""
        return cls(table, keys, *_added(len(keys), cluster, place, rows))

    def over(self, columns: Sequence[str]) -> ClusterCounts:
        """The same rows by fewer columns."""
        table = self.table.over(columns)
        index = {cell: number for number, cell in enumerate(table.cells)}
        places = [self.table.columns.index(name) for name in columns]
        moved = np.array([index[tuple(cell[i] for i in places)] for cell in self.table.cells], dtype=np.int64)
        return self._moved(table, moved)

    def without(self, column: str, value: str) -> ClusterCounts:
        """The cells with any other value of a column."""
        table = self.table.without(column, value)
        index = {cell: number for number, cell in enumerate(table.cells)}
        return self._moved(table, np.array([index.get(cell, -1) for cell in self.table.cells], dtype=np.int64))

    def where(self, column: str, value: str) -> ClusterCounts:
        """The cells with one value of a column, that column gone."""
        table = self.table.where(column, value)
        index = {cell: number for number, cell in enumerate(table.cells)}
        at = self.table.columns.index(column)
        moved = [index[cell[:at] + cell[at + 1 :]] if cell[at] == value else -1 for cell in self.table.cells]
        return self._moved(table, np.array(moved, dtype=np.int64))

    def merge(self, *others: ClusterCounts) -> ClusterCounts:
        """The counts of several tables; clusters of one key are one cluster."""
        tables = (self, *others)
        table = self.table.merge(*(one.table for one in others))
        keys, inverse = np.unique(np.concatenate([one.keys for one in tables]), return_inverse=True)
        index, k = {cell: number for number, cell in enumerate(table.cells)}, len(table.classes) ** 2
        clusters, places, first = [], [], 0
        for one in tables:
            moved = np.array([index[cell] for cell in one.table.cells], dtype=np.int64)
            clusters.append(inverse[first + one.cluster])
            places.append(moved[one.place // k] * k + one.place % k)
            first += len(one.keys)
        rows = np.concatenate([one.rows for one in tables])
        return ClusterCounts(table, keys, *_added(len(keys), np.concatenate(clusters), np.concatenate(places), rows))

    def _moved(self, table: GroupCounts, moved: NDArray[np.int64]) -> ClusterCounts:
        """Entries of cell i go to cell `moved[i]`, or, where that is -1, away."""
        k = len(table.classes) ** 2
        cell = moved[self.place // k] if len(moved) else self.place
        kept = cell >= 0
        place = cell[kept] * k + self.place[kept] % k
        return ClusterCounts(table, self.keys, *_added(len(self.keys), self.cluster[kept], place, self.rows[kept]))

    def tally(self, weights: NDArray[np.integer], cell: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of one cell that count, per cluster that has some.

        Args:
            weights: what a row of each truth and prediction counts as, shape (kinds, classes ** 2).
            cell: which.

        Returns:
            Sums, shape (kinds, clusters with rows of this cell), and those clusters.
        """
        k = len(self.table.classes) ** 2
        first, last = np.searchsorted(self.place, (cell * k, (cell + 1) * k))
        here, codes = np.unique(self.cluster[first:last], return_inverse=True)
        local, rows = self.place[first:last] - cell * k, self.rows[first:last]
        sums = [np.bincount(codes, weight[local] * rows, len(here)) for weight in weights]
        return np.array(sums, dtype=np.int64), here


Counted = GroupCounts | ClusterCounts


def table_of(counted: Counted) -> GroupCounts:
    """The plain counts."""
    return counted if isinstance(counted, GroupCounts) else counted.table


def rates(counted: Counted, metric: str, *, positive: int | None, level: float) -> list[Rate | None]:
    """A metric of `RATES` in every cell, with an interval of its own; None where no row is there to count.

    Args:
        counted: what was counted; with clusters, intervals are wider for rows that go together.
        metric: its name.
        positive: class that is selected; None: accuracy over all classes is meant.
        level: of each interval.
    """
    table = table_of(counted)
    if positive is None:
        successes, rows = right(table.counts)
    else:
        successes, rows = rate(outcomes(table.counts, positive), metric)
    if isinstance(counted, GroupCounts):
        return [_plain(int(hits), int(n), level) for hits, n in zip(successes, rows, strict=True)]
    weights = _weights(len(table.classes), metric, positive)
    found: list[Rate | None] = []
    for cell, n in enumerate(rows):
        sums, _ = counted.tally(weights, cell)
        found.append(clustered_wilson(sums[0], sums[1], level) if n else None)
    return found


def per_group(
    counted: Counted, metric: str, *, positive: int | None, cells: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Successes and rows of a metric in some cells: shape (cells,) each, or, with clusters, (clusters, cells)."""
    table = table_of(counted)
    if isinstance(counted, GroupCounts):
        pair = right(table.counts) if positive is None else rate(outcomes(table.counts, positive), metric)
        return pair[0][list(cells)], pair[1][list(cells)]
    weights = _weights(len(table.classes), metric, positive)
    sums = np.zeros((2, len(counted.keys), len(cells)), dtype=np.int64)
    for number, cell in enumerate(cells):
        found, clusters = counted.tally(weights, cell)
        sums[:, clusters, number] = found
    return sums[0], sums[1]


def _plain(hits: int, rows: int, level: float) -> Rate | None:
    if not rows:
        return None
    low, high = wilson(hits, rows, level)
    return Rate(value=hits / rows, low=low, high=high, n=rows, clusters=rows, effective_n=float(rows))


def _weights(classes: int, metric: str, positive: int | None) -> NDArray[np.int64]:
    """Of each truth and prediction: does it count as a success, and among the rows? Shape (2, classes ** 2)."""
    if positive is None:
        return np.stack([np.eye(classes, dtype=np.int64).ravel(), np.ones(classes**2, dtype=np.int64)])
    unit = np.eye(classes**2, dtype=np.int64).reshape(classes**2, classes, classes)
    kinds = outcomes(unit, positive)  # row: which of the four outcomes a pair is
    successes, among = RATES[metric]
    return np.stack([kinds[:, list(successes)].sum(axis=1), kinds[:, list(among)].sum(axis=1)])


def _added(
    clusters: int, cluster: NDArray[np.integer], place: NDArray[np.integer], rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Entries by place, then by cluster, equal ones added up."""
    both = place.astype(np.int64) * max(clusters, 1) + cluster
    taken, inverse = np.unique(both, return_inverse=True)
    total = np.bincount(inverse, weights=rows, minlength=len(taken)).astype(np.int64)
    return taken % max(clusters, 1), taken // max(clusters, 1), total
