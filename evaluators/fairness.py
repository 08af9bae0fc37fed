"""Do groups of people fare alike? Fairlearn's figures, with what they lack: intervals, minimum sizes, absence.

Fairlearn calls the gap of one group 0.0 and the true-positive rate of a group without positives 0.0; here both are
`NotMeasured`. Rows are counted once, over all group columns together; every rate, gap, intersection and control is
computed from those counts (`governance.groups`). AUC and calibration need the scores, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluators.base import HELD_OUT, Probe, Setting, Subject
from governance.errors import ConfigError
from governance.groups.asked import Asked
from governance.groups.clusters import ClusterCounts, Counted, table_of
from governance.groups.counts import MISSING, GroupCounts, codes_of
from governance.groups.gaps import combined, gaps_within, group_outcomes, none_measured
from governance.groups.scored import Scored, score_outcomes
from governance.measure import Fact, Outcome, Slice, Unit
from governance.registry import nearest
from governance.statistics.scores import UNANSWERED, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"


@dataclass(frozen=True)
class GroupGaps:
    """Rates by group and the gaps between groups, for each group column and each combination of columns.

    Rows that a model failed on are left out; `quality.coverage` counts them. A gap speaks of the groups that are large
    enough; its counts say how many are not, and each of those stands as `NotMeasured`.

    Attributes:
        min_rows: answered rows that a group needs.
        min_class_rows: positives (negatives, selected rows) that its true-positive (false-positive) rate (precision)
            needs.
        depth: how many columns an intersection combines at most; 1: none.
        controls: group columns that gaps are also measured within: are people of one age treated alike whatever they
            buy?
        missing: "group": rows without a value are a group of their own, "(missing)"; "exclude": they are left
            out where the column is. Either way they are counted.
    """

    min_rows: int = 30
    min_class_rows: int = 10
    depth: int = 2
    controls: tuple[str, ...] = ()
    missing: Literal["group", "exclude"] = "group"

    def __post_init__(self) -> None:
        for name in ("min_rows", "min_class_rows", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.missing not in ("group", "exclude"):
            raise ValueError(f"missing: expected 'group' or 'exclude', got {self.missing!r}")

    def probes(self, setting: Setting) -> Sequence[Probe]:
        """None: the held-out rows are all it needs. A control that is no group column is complained about here.

        Raises:
            ConfigError: there is no such group column.
        """
        for name in self.controls:
            if name not in setting.test.groups:
                known = nearest(name, setting.test.groups)
                raise ConfigError(f"evaluator 'fairness': controls: no group column '{name}'. {known}")
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Every rate of every group and every gap, measured or not, for every subject."""
        columns = sorted(setting.test.groups)
        outcomes: list[Outcome] = []
        for subject in subjects:
            asked = self._asked(subject, setting)
            if not columns:
                outcomes += none_measured((), asked, "the config declares no group columns")
                continue
            answered = _Answered.of(subject, setting, columns)
            for chosen in combined(columns, self.depth):
                outcomes += self._by(answered, chosen, asked)
            for control in self.controls:
                outcomes += self._within(answered, control, columns, asked)
            outcomes += self._left_out(answered, columns, asked)
        return outcomes

    def _asked(self, subject: Subject, setting: Setting) -> Asked:
        labels = setting.labels
        return Asked(
            model=subject.name,
            task=TASK,
            level=setting.level,
            positive=None if labels.positive is None else labels.classes.index(labels.positive),
            min_rows=self.min_rows,
            min_class_rows=self.min_class_rows,
        )

    def _by(self, answered: _Answered, columns: tuple[str, ...], asked: Asked) -> list[Outcome]:
        counted = self._known(answered.counted.over(columns), columns)
        found = group_outcomes(counted, asked)
        if len(columns) == 1 and asked.positive is not None:
            found += score_outcomes(answered.scored(columns[0], exclude=self.missing == "exclude"), columns[0], asked)
        return found

    def _within(self, answered: _Answered, control: str, columns: Sequence[str], asked: Asked) -> list[Outcome]:
        """The gaps of every other column, within each value of a control."""
        found: list[Outcome] = []
        for column in columns:
            if column == control:
                continue
            both = self._known(answered.counted.over((control, column)), (column,))
            found += gaps_within(both, control, asked)
        return found

    def _known(self, counted: Counted, columns: Sequence[str]) -> Counted:
        """Without the rows that have no value, if they are to be left out."""
        if self.missing == "exclude":
            for column in columns:
                counted = counted.without(column, MISSING)
        return counted

    def _left_out(self, answered: _Answered, columns: Sequence[str], asked: Asked) -> list[Outcome]:
        """How many answered rows have no value, column by column."""
        how = "left out of the groups" if self.missing == "exclude" else "a group of their own"
        found: list[Outcome] = []
        for column in columns:
            table = table_of(answered.counted).over((column,))
            rows = sum(int(n.sum()) for (value,), n in zip(table.cells, table.counts, strict=True) if value == MISSING)
            found.append(
                Fact(
                    metric="fairness.missing", value=rows, unit=Unit.COUNT, method=how, model=asked.model,
                    task=asked.task, slice=Slice.of({column: MISSING}),
                )
            )  # fmt: skip
        return found


@dataclass(frozen=True)
class _Answered:
    """One model's answered rows, counted over all group columns, and their scores."""

    counted: Counted
    codes: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]]
    clusters: NDArray[np.int64]
    positive: NDArray[np.bool_]
    scores: NDArray[np.float64] | None
    seed: int

    @classmethod
    def of(cls, subject: Subject, setting: Setting, columns: Sequence[str]) -> _Answered:
        answers, labels, test = subject.answers[HELD_OUT], setting.labels, setting.test
        predicted = class_codes(answers.labels, labels.classes)
        kept = np.flatnonzero(predicted != UNANSWERED)
        rows, predicted = answers.index[kept], predicted[kept]
        truth = labels.codes(test.labels)[rows]
        codes = {column: codes_of([test.groups[column][row] for row in rows]) for column in columns}
        code = -1 if labels.positive is None else labels.classes.index(labels.positive)
        clusters = test.clusters[rows]
        scores = None
        if answers.scores is not None and code >= 0:
            scores = answers.scores[kept, code]
        counted = _counted(GroupCounts.of(codes, truth, predicted, labels.classes), codes, truth, predicted, clusters)
        return cls(counted, codes, clusters, truth == code, scores, setting.seed)

    def scored(self, column: str, *, exclude: bool) -> Scored:
        """The rows by one column, with their scores."""
        names, codes = self.codes[column]
        kept = codes != names.index(MISSING) if exclude and MISSING in names else np.ones(len(codes), dtype=bool)
        scores = None if self.scores is None else self.scores[kept]
        return Scored(names, codes[kept], self.positive[kept], scores, self.clusters[kept], self.seed)


def _counted(
    table: GroupCounts,
    codes: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]],
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    clusters: NDArray[np.int64],
) -> Counted:
    """The table, with its clusters where some of them hold several rows."""
    keys, inverse = np.unique(clusters, return_inverse=True)
    if len(keys) == len(clusters):
        return table
    return ClusterCounts.of(
        table, keys, inverse, table.places(codes, truth, predicted), np.ones(len(truth), dtype=np.int64)
    )
