"""A table of a classifier's decisions: the figures of `evaluators.fairness`, from counts alone, however many rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from governance.errors import ConfigError
from governance.groups.asked import Asked
from governance.groups.clusters import Counted, rates, table_of
from governance.groups.gaps import WILSON, combined, gaps_within, group_outcomes
from governance.groups.scored import histogram_outcomes
from governance.measure import Measurement, Outcome, Unit
from governance.registry import nearest


@dataclass(frozen=True)
class DecisionGaps:
    """Rates by group and the gaps between groups, and how often the decisions are right at all.

    Attributes:
        min_rows: rows that a group needs.
        min_class_rows: positives (negatives, selected rows) that its true-positive (false-positive) rate (precision)
            needs.
        depth: how many columns an intersection combines at most; 1: none.
        controls: group columns that gaps are also measured within.
    """

    min_rows: int = 30
    min_class_rows: int = 10
    depth: int = 2
    controls: tuple[str, ...] = ()

    task: ClassVar[str] = "classification"
    numbers: ClassVar[Mapping[str, bool]] = {"score": False}
    names: ClassVar[Mapping[str, bool]] = {"truth": True, "prediction": True}

    def __post_init__(self) -> None:
        for name in ("min_rows", "min_class_rows", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")

    def measure(self, counted: Counted, *, model: str, positive: str | None, level: float, seed: int) -> list[Outcome]:
        """Outcomes for every group column and combination of them.

        Raises:
            ConfigError: a control is no group column.
        """
        table = table_of(counted)
        for name in self.controls:
            if name not in table.columns:
                raise ConfigError(f"controls: no group column '{name}'. {nearest(name, table.columns)}")
        asked = Asked(
            model=model, task=self.task, level=level, min_rows=self.min_rows, min_class_rows=self.min_class_rows,
            positive=None if positive is None else table.classes.index(positive),
        )  # fmt: skip
        found = [_accuracy(counted, asked)]
        for columns in combined(table.columns, self.depth):
            chosen = counted.over(columns)
            found += group_outcomes(chosen, asked)
            if len(columns) == 1 and positive is not None:
                found += histogram_outcomes(chosen, asked, seed)
        for control in self.controls:
            for column in table.columns:
                if column != control:
                    found += gaps_within(counted.over((control, column)), control, asked)
        return found


def _accuracy(counted: Counted, asked: Asked) -> Outcome:
    whole = rates(counted.over(()), "accuracy", positive=None, level=asked.level)[0]
    assert whole is not None  # noqa: S101 - a scan without rows is an error
    return Measurement(
        metric="quality.accuracy", value=whole.value, low=whole.low, high=whole.high, level=asked.level, n=whole.n,
        unit=Unit.RATE, method=WILSON, model=asked.model, task=asked.task,
        counts={"clusters": whole.clusters},
    )  # fmt: skip
