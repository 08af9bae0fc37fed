"""Are people of all groups answered alike? Length, refusals, and what the shop's own scorers say of each answer.

Answers are judged by columns that the table brings: a quality, a toxicity, a sentiment per answer. Steelyard
ships no scorer of its own, and a figure that it can't stand behind is `NotMeasured`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.bygroup import mean_outcomes, rate_outcomes
from evaluators.cuts import NO_GROUPS, Cut, left_out, no_gaps
from evaluators.refusals import refuses
from evaluators.table import Rows
from governance.measure import Outcome, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORES = ("quality", "toxicity", "sentiment")
REFUSAL = "fairness.refusal_rate"
LENGTH = "fairness.output_length"


@dataclass(frozen=True)
class OutputGaps:
    """By group, for each group column: means of the scores given, length of the answers, share refused; and the gaps.

    Each figure speaks of the rows that have its value; how many lack it is counted, by group too.

    Attributes:
        min_rows: rows that a group needs.

    Source:
        Liang et al. (2022), Holistic Evaluation of Language Models, arXiv:2211.09110, section 4 (toxicity and accuracy
        by group); Röttger et al. (2023), XSTest, arXiv:2308.01263 (refusals recognised by phrases, and their limits).
    """

    min_rows: int = 30

    task: ClassVar[str] = "generation"
    numbers: ClassVar[Mapping[str, bool]] = {"quality": False, "toxicity": False, "sentiment": False, "refused": False}
    names: ClassVar[Mapping[str, bool]] = {"output": False}

    def __post_init__(self) -> None:
        if self.min_rows < 2:
            raise ValueError(f"min_rows: expected at least 2, got {self.min_rows}")

    def measure(self, rows: Rows) -> Sequence[Outcome]:
        """Every figure of every group and every gap, measured or not."""
        found: list[Outcome] = []
        for role in SCORES:
            found += self._means(rows, f"fairness.{role}", role, rows.columns.get(role), Unit.UNITS)
        lengths = None
        if "output" in rows.columns:
            texts = rows.columns["output"].tolist()
            lengths = np.array([np.nan if text is None else float(len(text)) for text in texts], dtype=float)
        found += self._means(rows, LENGTH, "output", lengths, Unit.COUNT)
        return [*found, *self._refusals(rows)]

    def _means(
        self, rows: Rows, metric: str, role: str, values: NDArray[np.float64] | None, unit: Unit
    ) -> list[Outcome]:
        columns = sorted(rows.groups)
        if values is None:
            return no_gaps(rows, (metric,), self.task, f"the table has no column {role}", columns)
        kept = np.isfinite(values)
        found = left_out(rows, kept, self.task, f"{metric}.rows_left_out")
        if not columns or not kept.any():
            none = f"no row has a value of {role}" if columns else NO_GROUPS
            return [*found, *no_gaps(rows, (metric,), self.task, none, columns)]
        reach = (0.0, None) if metric == LENGTH else (None, None)
        for column in columns:
            cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
            found += mean_outcomes(cut, metric, values[kept], unit=unit, reach=reach)
        return found

    def _refusals(self, rows: Rows) -> list[Outcome]:
        columns = sorted(rows.groups)
        given, texts = rows.columns.get("refused"), rows.columns.get("output")
        if given is not None:
            kept = np.isfinite(given)
            refused, role, how = given == 1, "refused", ""
            if not np.isin(given[kept], (0, 1)).all():
                other = "refused holds numbers other than 0 and 1"
                return no_gaps(rows, (REFUSAL,), self.task, other, columns)
        elif texts is not None:
            kept = np.array([text is not None for text in texts], dtype=bool)
            refused = np.array([text is not None and refuses(text) for text in texts], dtype=bool)
            role, how = "output", "refusals recognised by phrases"
        else:
            return no_gaps(rows, (REFUSAL,), self.task, "the table has no column refused and no column output", columns)
        found = left_out(rows, kept, self.task, f"{REFUSAL}.rows_left_out")
        if not columns or not kept.any():
            none = f"no row has a value of {role}" if columns else NO_GROUPS
            return [*found, *no_gaps(rows, (REFUSAL,), self.task, none, columns)]
        for column in columns:
            cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
            found += rate_outcomes(cut, REFUSAL, refused[kept], how=how)
        return found
