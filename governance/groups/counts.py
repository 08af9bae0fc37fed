"""The counts that group fairness is computed from: what was true and what was answered, per cell of the groups.

A row of a million-row table adds one to one counter. Whatever is asked afterwards (a metric, its interval, an
intersection of columns, a slice) is a sum over counters, so its cost doesn't depend on the rows; and counters of
shards, machines or parties add up, so nobody has to hand over rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 1_000
"""Of a histogram of scores: AUC from it is off by some 1e-5, since only pairs within one bin are unknown."""
MISSING = "(missing)"
"""The group of rows without a value."""


@dataclass(frozen=True)
class GroupCounts:
    """Counts per cell: one combination of values of the group columns that some row has.

    Attributes:
        columns: group columns, in order.
        cells: values of each cell, one per column; sorted, each once.
        classes: class names; `counts` is indexed by their places.
        counts: rows per cell, truth and prediction, shape (cells, classes, classes), int64.
        scores: rows per cell, truth (0: another class, 1: the positive one) and bin of the score, shape
            (cells, 2, BINS), int64; None where there are no scores.
        score_sums: sum of the scores in each bin, shape (cells, BINS); None where there are no scores.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    scores: NDArray[np.int64] | None = None
    score_sums: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.counts.sum())

    @classmethod
    def of(
        cls,
        groups: Mapping[str, tuple[Sequence[str], NDArray[np.integer]]],
        truth: NDArray[np.integer],
        predicted: NDArray[np.integer],
        classes: Sequence[str],
        *,
        scores: NDArray[np.floating] | None = None,
        positive: int | None = None,
    ) -> GroupCounts:
        """Count rows whose columns are codes already.

        Args:
            groups: column -> its values and each row's code, shape (n,).
            truth: class code per row, shape (n,).
            predicted: class code per row, shape (n,).
            classes: class names.
            scores: score of the positive class per row, in [0, 1], shape (n,).
            positive: code of the positive class; needed with scores.

        Raises:
            ValueError: a code or score out of range, or columns of different lengths.
        """
        k = len(classes)
        _check(groups, truth, predicted, k, scores, positive)
        cell, size = _cells(groups, len(truth))
        table = np.bincount((cell * k + truth) * k + predicted, minlength=size * k * k).reshape(size, k, k)
        kept = np.flatnonzero(table.sum(axis=(1, 2)))
        histogram = sums = None
        if scores is not None:
            histogram, sums = _histograms(cell, size, truth == positive, scores)
            histogram, sums = histogram[kept], sums[kept]
        witness = np.empty(size, dtype=np.int64)
        witness[cell] = np.arange(len(cell))  # some row of each cell: its values are the cell's
        names = [[str(values[i]) for i in codes[witness[kept]]] for values, codes in groups.values()]
        cells = tuple(zip(*names, strict=True)) if groups else tuple(() for _ in kept)
        return _sorted(cls(tuple(groups), cells, tuple(classes), table[kept], histogram, sums))

    def places(
        self,
        groups: Mapping[str, tuple[Sequence[str], NDArray[np.integer]]],
        truth: NDArray[np.integer],
        predicted: NDArray[np.integer],
    ) -> NDArray[np.int64]:
        """Flat place in `counts` of each of the rows that this table counted, shape (n,)."""
        index = {cell: number for number, cell in enumerate(self.cells)}
        number, _ = _cells(groups, len(truth))
        taken, first, inverse = np.unique(number, return_index=True, return_inverse=True)
        values = [[str(names[code]) for code in codes[first]] for names, codes in groups.values()]
        cells = zip(*values, strict=True) if groups else [()] * len(taken)
        cell = np.array([index[one] for one in cells], dtype=np.int64)[inverse]
        k = len(self.classes)
        return np.asarray((cell * k + truth) * k + predicted, dtype=np.int64)

    def merge(self, *others: GroupCounts) -> GroupCounts:
        """The counts of several tables of the same columns and classes, whoever counted them.

        Raises:
            ValueError: other columns or classes, or scores in some tables only.
        """
        tables = (self, *others)
        for table in others:
            if (table.columns, table.classes) != (self.columns, self.classes):
                raise ValueError("expected tables of the same columns and classes")
        if len({table.scores is None for table in tables}) > 1:
            raise ValueError("expected scores in all tables or in none")
        cells = [cell for table in tables for cell in table.cells]
        stacked = GroupCounts(
            self.columns,
            tuple(cells),
            self.classes,
            np.concatenate([table.counts for table in tables]),
            None if self.scores is None else np.concatenate([t.scores for t in tables if t.scores is not None]),
            None if self.score_sums is None else np.concatenate(
                [t.score_sums for t in tables if t.score_sums is not None]
            ),
        )  # fmt: skip
        return _added(stacked, cells)

    def over(self, columns: Sequence[str]) -> GroupCounts:
        """The same rows by fewer columns, in the order given.

        Raises:
            ValueError: a column that was not counted.
        """
        unknown = [name for name in columns if name not in self.columns]
        if unknown:
            raise ValueError(f"expected columns among {', '.join(self.columns)}, got {unknown[0]}")
        places = [self.columns.index(name) for name in columns]
        cells = [tuple(cell[place] for place in places) for cell in self.cells]
        kept = GroupCounts(tuple(columns), tuple(cells), self.classes, self.counts, self.scores, self.score_sums)
        return _added(kept, cells)

    def where(self, column: str, value: str) -> GroupCounts:
        """The cells with one value of a column, that column gone."""
        place = self.columns.index(column)
        return self._take([i for i, cell in enumerate(self.cells) if cell[place] == value]).over(
            [name for name in self.columns if name != column]
        )

    def without(self, column: str, value: str) -> GroupCounts:
        """The cells with any other value of a column: `without("sex", MISSING)` leaves unknown rows out."""
        place = self.columns.index(column)
        return self._take([i for i, cell in enumerate(self.cells) if cell[place] != value])

    def _take(self, kept: Sequence[int]) -> GroupCounts:
        index = np.array(kept, dtype=np.int64)
        return GroupCounts(
            self.columns,
            tuple(self.cells[i] for i in kept),
            self.classes,
            self.counts[index],
            None if self.scores is None else self.scores[index],
            None if self.score_sums is None else self.score_sums[index],
        )


def codes_of(values: Sequence[str | None]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """A column's values, sorted, and each row's code; rows without a value are `MISSING`.

    >>> codes_of(["b", None, "a"])
    (('(missing)', 'a', 'b'), array([2, 0, 1]))
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
    coded = pc.fill_null(pc.cast(column, pa.string()), MISSING).dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    names = coded.dictionary.to_pylist()
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return tuple(names[i] for i in order), rank[coded.indices.to_numpy()]


def _cells(groups: Mapping[str, tuple[Sequence[str], NDArray[np.integer]]], n: int) -> tuple[NDArray[np.int64], int]:
    """A number per row that tells its combination of values, and how many numbers there may be."""
    cell, size = np.zeros(n, dtype=np.int64), 1
    for values, codes in groups.values():
        cell = cell * len(values) + codes
        size *= len(values)
        if size > 4 * max(n, 1):  # many columns: most combinations have no row
            taken, cell = np.unique(cell, return_inverse=True)
            size = len(taken)
    return cell, max(size, 1)


def _check(
    groups: Mapping[str, tuple[Sequence[str], NDArray[np.integer]]],
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: int,
    scores: NDArray[np.floating] | None,
    positive: int | None,
) -> None:
    columns = [("truth", classes, truth), ("predicted", classes, predicted)]
    columns += [(name, len(values), codes) for name, (values, codes) in groups.items()]
    for name, size, codes in columns:
        if codes.shape != truth.shape or codes.ndim != 1:
            raise ValueError(f"{name}: expected one code per row, shape {truth.shape}, got {codes.shape}")
        if len(codes) and not 0 <= codes.min() <= codes.max() < size:
            raise ValueError(f"{name}: expected codes from 0 to {size - 1}")
    if scores is not None:
        if positive is None:
            raise ValueError("scores need the class that they speak of")
        if scores.shape != truth.shape or (len(scores) and not 0 <= scores.min() <= scores.max() <= 1):
            raise ValueError("expected one score in [0, 1] per row")  # NaN fails the comparison


def _histograms(
    cell: NDArray[np.int64], size: int, positive: NDArray[np.bool_], scores: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    histogram = np.bincount((cell * 2 + positive) * BINS + place, minlength=size * 2 * BINS)
    sums = np.bincount(cell * BINS + place, weights=scores, minlength=size * BINS)
    return histogram.reshape(size, 2, BINS).astype(np.int64, copy=False), sums.reshape(size, BINS).astype(
        float, copy=False
    )


def _added(table: GroupCounts, cells: Sequence[tuple[str, ...]]) -> GroupCounts:
    """Cells with equal values become one."""
    index: dict[tuple[str, ...], int] = {}
    places = np.array([index.setdefault(cell, len(index)) for cell in cells], dtype=np.int64)

    def summed(values: NDArray[np.generic]) -> NDArray[np.generic]:
        total = np.zeros((len(index), *values.shape[1:]), dtype=values.dtype)
        np.add.at(total, places, values)
        return total

    return _sorted(
        GroupCounts(
            table.columns,
            tuple(index),
            table.classes,
            summed(table.counts),  # type: ignore[arg-type]
            None if table.scores is None else summed(table.scores),  # type: ignore[arg-type]
            None if table.score_sums is None else summed(table.score_sums),  # type: ignore[arg-type]
        )
    )


def _sorted(table: GroupCounts) -> GroupCounts:
    order = sorted(range(len(table.cells)), key=lambda i: table.cells[i])
    return table if order == list(range(len(order))) else table._take(order)
