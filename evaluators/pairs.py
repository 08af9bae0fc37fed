"""Two models on the held-out rows that both answered, cut by a group column.

Not an evaluator: the rows that an evaluator of pairs looks at. Groups, small ones and absent values are told apart as
`evaluators.fairness` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import HELD_OUT, Setting, Subject
from governance.compare import Side
from governance.groups.counts import MISSING
from governance.groups.metrics import AMONG
from governance.measure import ANY
from governance.statistics.scores import UNANSWERED, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


@dataclass(frozen=True)
class Pair:
    """A model beside another one on their shared rows; a model beside itself is that model alone.

    Attributes:
        subject: the model.
        other: what it is compared with.
        setting: of the audit; its task has two classes.
    """

    subject: Subject
    other: Subject
    setting: Setting

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """Answers of the model and of the other."""
        return self._side(self.subject), self._side(self.other)

    def _side(self, subject: Subject) -> Side:
        answers = subject.answers[HELD_OUT]
        return Side(subject.name, answers.index, class_codes(answers.labels, self.setting.labels.classes))

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Held-out rows that both answered, ascending."""
        mine, theirs = (side.rows[side.predicted != UNANSWERED] for side in self.sides)
        return np.intersect1d(mine, theirs, assume_unique=True)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """Cluster of each row."""
        return self.setting.test.clusters[self.rows]

    @cached_property
    def _truth(self) -> NDArray[np.int64]:
        return self.setting.labels.codes(self.setting.test.labels)[self.rows]

    @cached_property
    def _positive(self) -> int:
        return self.setting.labels.classes.index(str(self.setting.labels.positive))

    def hits(self, rate: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """What a rate counts, of the model and of the other."""
        mine, theirs = (self._hits(rate, side) for side in self.sides)
        return mine, theirs

    def _hits(self, rate: str, side: Side) -> NDArray[np.bool_]:
        predicted = side.predicted[np.searchsorted(side.rows, self.rows)]  # rows of a side ascend
        return np.asarray(predicted == (self._truth if rate == "accuracy" else self._positive), dtype=bool)

    def among(self, rate: str) -> NDArray[np.bool_]:
        """The rows that a rate is a share of."""
        if rate not in AMONG:
            return np.ones(len(self.rows), dtype=bool)
        return np.asarray((self._truth == self._positive) == (rate == "true_positive_rate"), dtype=bool)

    def cut(self, column: str, *, min_rows: int, min_class_rows: int) -> Cut:
        """The rows by one column."""
        values = [self.setting.test.groups[column][row] for row in self.rows]
        # "*" in a slice means all groups, so no group may be called that.
        shown = [MISSING if value is None else f"({ANY})" if value == ANY else value for value in values]
        names = tuple(sorted(set(shown)))
        place = {name: code for code, name in enumerate(names)}
        codes = np.array([place[value] for value in shown], dtype=np.int64)
        among = {rate: np.bincount(codes[self.among(rate)], minlength=len(names)) for rate in RATES}
        return Cut(names, codes, among, min_rows, min_class_rows)


@dataclass(frozen=True)
class Cut:
    """Rows by one column.

    Attributes:
        names: group code -> its value; a row without one is of the group "(missing)".
        codes: group of each row.
        among: rate -> rows per group that it is a share of.
        min_rows: rows that a group needs.
        min_class_rows: positives (negatives) that its true-positive (false-positive) rate needs.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    among: Mapping[str, NDArray[np.int64]]
    min_rows: int
    min_class_rows: int

    def reasons(self, rate: str) -> dict[int, str]:
        """Groups that are too small for a rate, and why."""
        found, sizes = {}, np.bincount(self.codes, minlength=len(self.names))
        for group, (n, share) in enumerate(zip(sizes.tolist(), self.among[rate].tolist(), strict=True)):
            if n < self.min_rows:
                found[group] = f"{n} rows, {self.min_rows} needed"
            elif rate in AMONG and share < self.min_class_rows:
                found[group] = f"{share} {AMONG[rate]} rows among {n}, {self.min_class_rows} needed"
        return found

    def large(self, rate: str) -> list[int]:
        """Groups that are large enough for a rate."""
        small = self.reasons(rate)
        return [group for group in range(len(self.names)) if group not in small]

    def too_few(self, rates: Sequence[str]) -> str | None:
        """Why these rates have no gap, if fewer than two groups are large enough."""
        few = min(len(self.large(rate)) for rate in rates)
        return f"{few} of {len(self.names)} groups large enough, 2 needed" if few < 2 else None

    def counts(self, rates: Sequence[str]) -> dict[str, float]:
        """How many groups a gap speaks of."""
        few = min(len(self.large(rate)) for rate in rates)
        return {"groups": few, "groups_too_small": len(self.names) - few}
