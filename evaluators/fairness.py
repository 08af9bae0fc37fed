"""Do groups of people fare alike? Fairlearn's figures, with what they lack: intervals, minimum sizes, absence.

Fairlearn calls the gap of one group 0.0 and the true-positive rate of a group without positives 0.0; here both are
`NotMeasured`. The plug-in gap grows with the number of groups even where all are alike, so the
interval of a gap is built from intervals that hold for all groups at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.base import HELD_OUT, Probe, Setting, Subject
from governance.measure import ANY, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.intervals import Bounds, Rate, clustered_wilson, least_ratio_interval, spread_interval
from governance.statistics.multiplicity import sidak
from governance.statistics.scores import UNANSWERED, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"
MISSING = "(missing)"
METRICS = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
_KINDS = ("difference", "ratio")
_AMONG = {"true_positive_rate": "positive", "false_positive_rate": "negative"}
_METHOD = "Wilson on the effective sample size (Rao-Scott)"


@dataclass(frozen=True)
class GroupGaps:
    """Rates by group and the gaps between groups, for each group column and each pair of columns.

    Rows without a group value are a group of their own, "(missing)". Rows that a model failed on are left
    out; `quality.coverage` counts them. A gap speaks of the groups that are large enough; its counts say how
    many are not, and each of those stands as `NotMeasured`.

    Attributes:
        min_rows: answered rows that a group needs.
        min_class_rows: positives (negatives) that its true-positive (false-positive) rate needs.
        intersections: whether pairs of columns are measured too.
    """

    min_rows: int = 30
    min_class_rows: int = 10
    intersections: bool = True

    def __post_init__(self) -> None:
        for name in ("min_rows", "min_class_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the held-out rows are all it needs."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Every rate of every group and every gap, measured or not, for every subject."""
        columns = sorted(setting.test.groups)
        lattice: list[tuple[str, ...]] = [(column,) for column in columns]
        if self.intersections:
            lattice += combinations(columns, 2)
        outcomes: list[Outcome] = []
        for subject in subjects:
            if not lattice:
                outcomes += _no_gaps(subject, METRICS, (), "the config declares no group columns")
            for chosen in lattice:
                outcomes += self._by_groups(_Table.of(subject, setting, chosen))
        return outcomes

    def _by_groups(self, table: _Table) -> list[Outcome]:
        if len(table.truth) == 0:
            return _no_gaps(table.subject, METRICS, table.columns, "no held-out row was answered")
        outcomes: list[Outcome] = []
        for metric in METRICS:
            if table.selected is None and metric != "accuracy":
                none = f"the task has {table.classes} classes and none is declared positive"
                outcomes += _no_gaps(table.subject, (metric,), table.columns, none)
                continue
            large: list[int] = []
            for group in range(len(table.names)):
                reason = self._too_small(table, metric, group)
                if reason is None:
                    large.append(group)
                else:
                    outcomes.append(table.missing(f"fairness.{metric}", table.slice(group), reason))
            outcomes += _rates(table, metric, large) + _gaps(table, metric, large)
        return outcomes

    def _too_small(self, table: _Table, metric: str, group: int) -> str | None:
        here = table.group == group
        if here.sum() < self.min_rows:
            return f"{int(here.sum())} rows, {self.min_rows} needed"
        kind = _AMONG.get(metric)
        count = int(table.among(metric)[here].sum())
        if kind is not None and count < self.min_class_rows:
            return f"{count} {kind} rows among {int(here.sum())}, {self.min_class_rows} needed"
        return None


@dataclass(frozen=True)
class _Table:
    """One model's answered rows, as columns of length n, cut by one or two group columns.

    Attributes:
        group: code of each row's group.
        names: group code -> its values, one per column.
        clusters: cluster code of each row.
        truth: class code of each row.
        predicted: class code of each answer.
        positive: whether the row is of the positive class; None where no class is.
        selected: whether the answer is the positive class; None where no class is.
    """

    subject: Subject
    level: float
    classes: int
    columns: tuple[str, ...]
    group: NDArray[np.int64]
    names: tuple[tuple[str, ...], ...]
    clusters: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    positive: NDArray[np.bool_] | None
    selected: NDArray[np.bool_] | None
    frames: dict[tuple[bool, tuple[int, ...]], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, subject: Subject, setting: Setting, columns: tuple[str, ...]) -> _Table:
        answers, labels, test = subject.answers[HELD_OUT], setting.labels, setting.test
        predicted = class_codes(answers.labels, labels.classes)
        rows = answers.index[predicted != UNANSWERED]
        predicted = predicted[predicted != UNANSWERED]
        truth = labels.codes(test.labels)[rows]
        code = None if labels.positive is None else labels.classes.index(labels.positive)
        values = [
            tuple(MISSING if (value := test.groups[column][row]) is None else value for column in columns)
            for row in rows
        ]
        names = tuple(sorted(set(values)))
        index = {name: number for number, name in enumerate(names)}
        return cls(
            subject=subject,
            level=setting.level,
            classes=len(labels.classes),
            columns=columns,
            group=np.array([index[value] for value in values], dtype=np.int64),
            names=names,
            clusters=test.clusters[rows],
            truth=truth,
            predicted=predicted,
            positive=None if code is None else truth == code,
            selected=None if code is None else predicted == code,
        )

    def slice(self, group: int) -> Slice:
        return Slice.of(dict(zip(self.columns, self.names[group], strict=True)))

    def among(self, metric: str) -> NDArray[np.bool_]:
        """The rows that a metric is a share of."""
        if metric not in _AMONG or self.positive is None:
            return np.ones(len(self.truth), dtype=bool)
        return self.positive if metric == "true_positive_rate" else ~self.positive

    def hits(self, metric: str) -> NDArray[np.bool_]:
        return self.truth == self.predicted if metric == "accuracy" or self.selected is None else self.selected

    def rate(self, metric: str, group: int, level: float) -> Rate:
        rows = (self.group == group) & self.among(metric)
        _, codes = np.unique(self.clusters[rows], return_inverse=True)
        return clustered_wilson(np.bincount(codes, self.hits(metric)[rows]), np.bincount(codes), level)

    def frame(self, metric: str, groups: Sequence[int]) -> Any:
        """Fairlearn's MetricFrame over these groups alone: its gaps know no minimum size."""
        key = (metric == "accuracy", tuple(groups))
        if key not in self.frames:
            self.frames[key] = _metric_frame(self, metric, np.isin(self.group, groups))
        return self.frames[key]

    def measured(
        self,
        metric: str,
        where: Slice,
        value: float,
        bounds: Bounds,
        *,
        n: int,
        unit: Unit,
        method: str,
        counts: Mapping[str, float],
    ) -> Measurement:
        return Measurement(
            metric=metric,
            value=value,
            low=bounds.low,
            high=bounds.high,
            level=self.level,
            n=n,
            unit=unit,
            method=method,
            model=self.subject.name,
            task=TASK,
            slice=where,
            counts=counts,
        )

    def missing(self, metric: str, where: Slice, reason: str) -> NotMeasured:
        return NotMeasured(metric=metric, reason=reason, model=self.subject.name, task=TASK, slice=where)


def _metric_frame(table: _Table, metric: str, rows: NDArray[np.bool_]) -> Any:
    """Fairlearn's own figures: accuracy on class codes, the three rates on "positive or not"."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    truth, predicted, functions = table.truth, table.predicted, {"accuracy": accuracy_score}
    if metric != "accuracy" and table.positive is not None and table.selected is not None:
        truth, predicted = table.positive.astype(int), table.selected.astype(int)
        functions = {
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
        }
    return MetricFrame(
        metrics=functions, y_true=truth[rows], y_pred=predicted[rows], sensitive_features=table.group[rows]
    )


def _rates(table: _Table, metric: str, groups: Sequence[int]) -> list[Outcome]:
    """One rate per group, each with an interval of its own."""
    if not groups:
        return []
    figures = table.frame(metric, groups).by_group[metric]
    outcomes: list[Outcome] = []
    for group in groups:
        rate = table.rate(metric, group, table.level)
        outcomes.append(
            table.measured(
                f"fairness.{metric}",
                table.slice(group),
                float(figures[group]),
                rate.bounds,
                n=rate.n,
                unit=Unit.RATE,
                method=f"MetricFrame; {_METHOD}",
                counts={"successes": round(rate.value * rate.n), "rows": rate.n, "clusters": rate.clusters},
            )
        )
    return outcomes


def _gaps(table: _Table, metric: str, groups: Sequence[int]) -> list[Outcome]:
    """Largest minus smallest, and smallest over largest, over the groups that are large enough."""
    where = _everywhere(table.columns)
    if len(groups) < 2:
        held = f"{len(groups)} of {len(table.names)} groups large enough, 2 needed"
        return [table.missing(f"fairness.{metric}.{kind}", where, held) for kind in _KINDS]
    level = sidak(table.level, len(groups))
    rates = [table.rate(metric, group, level) for group in groups]
    bounds, frame = [rate.bounds for rate in rates], table.frame(metric, groups)
    difference, ratio = (float(getattr(frame, kind)(method="between_groups")[metric]) for kind in _KINDS)

    def measured(kind: str, value: float, ends: Bounds, unit: Unit) -> Measurement:
        return table.measured(
            f"fairness.{metric}.{kind}",
            where,
            value,
            ends,
            n=sum(rate.n for rate in rates),
            unit=unit,
            method=f"MetricFrame between groups; Šidák-simultaneous {_METHOD}",
            counts={"groups": len(groups), "groups_too_small": len(table.names) - len(groups)},
        )

    outcomes: list[Outcome] = [measured("difference", difference, spread_interval(bounds), Unit.DIFFERENCE)]
    if not np.isfinite(ratio):
        reason = "the rate is 0 in every group, so no ratio is defined"
        return [*outcomes, table.missing(f"fairness.{metric}.ratio", where, reason)]
    return [*outcomes, measured("ratio", ratio, least_ratio_interval(bounds), Unit.RATIO)]


def _everywhere(columns: Sequence[str]) -> Slice:
    return Slice.of(dict.fromkeys(columns, ANY))


def _no_gaps(subject: Subject, metrics: Sequence[str], columns: Sequence[str], reason: str) -> list[Outcome]:
    return [
        NotMeasured(
            metric=f"fairness.{metric}.{kind}",
            reason=reason,
            model=subject.name,
            task=TASK,
            slice=_everywhere(columns),
        )
        for metric in metrics
        for kind in _KINDS
    ]
