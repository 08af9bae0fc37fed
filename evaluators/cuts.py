"""A table cut by group columns: which groups there are, which are large enough, and outcomes that speak of them.

Not an evaluator: what the evaluators of tables share, so that all of them cut alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.table import Rows
from governance.groups.counts import MISSING
from governance.measure import ANY, EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.intervals import Bounds, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_GROUPS = "the config declares no group columns"
LEFT_OUT = "rows that lack a usable value of a column that is needed"
TOO_LARGE = "numbers too large to compute with"


def coded(values: NDArray) -> tuple[NDArray[np.int64], tuple[str, ...]]:  # type: ignore[type-arg]
    """Names in order, and each row's place among them; -1 where there is no value (None or NaN)."""
    raw = values.tolist()
    index = {value: 0 for value in raw if value is not None and value == value}  # noqa: PLR0124 - NaN differs from itself
    named = {value: str(value) for value in index}
    names = tuple(sorted(set(named.values())))
    place = {name: number for number, name in enumerate(names)}
    index = {value: place[name] for value, name in named.items()}
    return np.array([index.get(value, -1) for value in raw], dtype=np.int64).reshape(len(raw)), names


def distinct(codes: NDArray[np.int64]) -> int:
    """How many different codes there are, each 0 or above."""
    return int(np.count_nonzero(np.bincount(codes)))


@dataclass(frozen=True)
class Cut:
    """The rows that count, by one group column or several.

    Attributes:
        task: of the outcomes.
        model: of the outcomes.
        level: of the intervals.
        seed: of everything random.
        min_rows: rows that a group needs.
        columns: group columns.
        names: group code -> its values, one per column.
        codes: group of each row, shape (n,).
        clusters: cluster of each row, renumbered from 0, shape (n,).
        things: what a row is called.
    """

    task: str
    model: str
    level: float
    seed: int
    min_rows: int
    columns: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    codes: NDArray[np.int64]
    clusters: NDArray[np.int64]
    things: str = "rows"

    @classmethod
    def of(
        cls,
        rows: Rows,
        columns: Sequence[str],
        kept: NDArray[np.bool_],
        *,
        task: str,
        min_rows: int,
        things: str = "rows",
    ) -> Cut:
        """Cut the rows kept; a row without a value of a column has the value "(missing)". No columns: one group."""
        codes, named = np.zeros(len(rows), dtype=np.int64), list[list[str]]()
        for column in columns:
            own, values = coded(rows.groups[column])
            # "*" in a slice means all groups, so no group may be called that.
            shown = [f"({value})" if value == ANY else value for value in values]
            names = sorted({*shown, MISSING})
            place = {name: number for number, name in enumerate(names)}
            codes = codes * len(names) + np.array([place[name] for name in (*shown, MISSING)], dtype=np.int64)[own]
            named.append(names)
        found, codes = np.unique(codes[kept], return_inverse=True)
        cells = list[tuple[str, ...]]([()] * len(found))
        if columns:
            parts = np.unravel_index(found, [len(names) for names in named])
            cells = [
                tuple(names[part] for names, part in zip(named, cell, strict=True)) for cell in zip(*parts, strict=True)
            ]
        _, clusters = np.unique(rows.clusters[kept], return_inverse=True)
        return cls(
            task=task,
            model=rows.model,
            level=rows.level,
            seed=rows.seed,
            min_rows=min_rows,
            columns=tuple(columns),
            names=tuple(cells),
            codes=codes.astype(np.int64),
            clusters=clusters.astype(np.int64),
            things=things,
        )

    @property
    def everywhere(self) -> Slice:
        """All groups."""
        return Slice.of(dict.fromkeys(self.columns, ANY))

    def slice(self, group: int) -> Slice:
        """One group."""
        return Slice.of(dict(zip(self.columns, self.names[group], strict=True)))

    def too_small(self, *, clusters: int = 1) -> dict[int, str]:
        """Groups that are too small to speak of, and why.

        Args:
            clusters: how many a group needs; an interval of a mean needs two.
        """
        sizes, reasons = np.bincount(self.codes, minlength=len(self.names)), dict[int, str]()
        for group, n in enumerate(sizes.tolist()):
            if n < self.min_rows:
                reasons[group] = f"{n} {self.things}, {self.min_rows} needed"
            elif clusters > 1 and distinct(self.clusters[self.codes == group]) < clusters:
                reasons[group] = f"1 cluster, {clusters} needed"
        return reasons

    def large(self, *, clusters: int = 1) -> list[int]:
        """Groups that are large enough."""
        small = self.too_small(clusters=clusters)
        return [group for group in range(len(self.names)) if group not in small]

    def too_few(self, large: Sequence[int]) -> str:
        """Why there is no gap between so few groups."""
        return f"{len(large)} of {len(self.names)} groups large enough, 2 needed"

    def measured(
        self,
        metric: str,
        where: Slice,
        value: float,
        ends: Bounds | Interval,
        *,
        n: int,
        unit: Unit,
        method: str,
        counts: Mapping[str, float],
    ) -> Outcome:
        """One number, or, where arithmetic came to its end, why there is none."""
        if not all(end is None or np.isfinite(end) for end in (value, *ends)):
            return self.missing(metric, where, TOO_LARGE)
        return Measurement(
            metric=metric,
            value=float(value),
            low=ends.low,
            high=ends.high,
            level=self.level,
            n=int(n),
            unit=unit,
            method=method,
            model=self.model,
            task=self.task,
            slice=where,
            counts=counts,
        )

    def missing(self, metric: str, where: Slice, reason: str) -> NotMeasured:
        """Why there is no number."""
        return NotMeasured(metric=metric, reason=reason, model=self.model, task=self.task, slice=where)

    def fact(self, metric: str, where: Slice, value: float, unit: Unit, method: str) -> Fact:
        """An exact number."""
        return Fact(
            metric=metric, value=float(value), unit=unit, method=method, model=self.model, task=self.task, slice=where
        )


def left_out(rows: Rows, kept: NDArray[np.bool_], task: str, metric: str = "fairness.rows_left_out") -> list[Outcome]:
    """How many rows could not be used, over all and in each group that lost some."""

    def fact(where: Slice, count: int) -> Fact:
        return Fact(
            metric=metric, value=count, unit=Unit.COUNT, method=LEFT_OUT, model=rows.model, task=task,
            slice=where,
        )  # fmt: skip

    found: list[Outcome] = [fact(EVERYONE, int((~kept).sum()))]
    for column in sorted(rows.groups) if not kept.all() else ():
        cut = Cut.of(rows, (column,), ~kept, task=task, min_rows=1)
        sizes = np.bincount(cut.codes, minlength=len(cut.names))
        found += [fact(cut.slice(group), int(n)) for group, n in enumerate(sizes)]
    return found


def no_gaps(rows: Rows, metrics: Sequence[str], task: str, reason: str, columns: Sequence[str] = ()) -> list[Outcome]:
    """Every gap, not measured, for each column, or for everyone where there is no column."""
    places = [Slice.of({column: ANY}) for column in columns] or [EVERYONE]
    return [
        NotMeasured(metric=f"{metric}.difference", reason=reason, model=rows.model, task=task, slice=where)
        for where in places
        for metric in metrics
    ]
