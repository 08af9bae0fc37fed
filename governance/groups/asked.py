"""What is asked of counts, and how an answer becomes an outcome: model, task, level and least sizes in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.measure import EVERYONE, Measurement, NotMeasured, Slice
from governance.statistics.intervals import Bounds, Interval

CLASS = "(class)"
"""In a slice: which class a rate speaks of, where a task has several and none is declared positive."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of the counts.

    Attributes:
        model: whose answers were counted.
        task: carried into the outcomes.
        level: of the intervals.
        positive: code of the positive class; None: none is declared.
        min_rows: rows that a group needs.
        min_class_rows: positives (negatives, selected rows) that its true-positive (false-positive) rate (precision)
            needs.
        within: the rows that all this speaks of: the value of a control feature.
        about: the class that the rates speak of, if there are several.
    """

    model: str
    task: str
    level: float
    positive: int | None
    min_rows: int = 30
    min_class_rows: int = 10
    within: Slice = EVERYONE
    about: str | None = None

    def slice(self, pairs: Mapping[str, str]) -> Slice:
        """A slice within the control's, of the class spoken of."""
        own = {CLASS: self.about} if self.about is not None else {}
        return Slice.of({**dict(self.within), **own, **pairs})

    def measured(self, metric: str, where: Slice, value: float, ends: Bounds | Interval, **more: object) -> Measurement:
        """One number."""
        return Measurement(
            metric=f"fairness.{metric}", value=value, low=ends.low, high=ends.high, level=self.level,
            model=self.model, task=self.task, slice=where, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    def missing(self, metric: str, where: Slice, reason: str) -> NotMeasured:
        """Why there is none."""
        return NotMeasured(metric=f"fairness.{metric}", reason=reason, model=self.model, task=self.task, slice=where)
