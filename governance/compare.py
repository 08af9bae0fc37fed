"""Which of two models is better, on the very rows that both answered.

Two models' scores rise and fall together with the rows they are asked, so the difference of
their figures is known better than either figure. Resampling gives both models the same
draws of clusters, which keeps that advantage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from governance.comparison import judged
from governance.dataset import Labels
from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.statistics.bootstrap import DRAWS, ClusterBootstrap, percentile_interval
from governance.statistics.paired import mcnemar
from governance.statistics.scores import UNANSWERED, Auc, class_counts, class_scores, rarest

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS = ("accuracy", "balanced_accuracy", "f1", "auc")
"""What two models are compared by; the outcomes are named `quality.<metric>.difference`."""


@dataclass(frozen=True)
class Side:
    """One model's answers, as columns of length m.

    Attributes:
        name: the model.
        rows: positions in the set of rows that both models belong to, unique.
        predicted: class codes, shape (m,); `UNANSWERED` where the row failed.
        scores: shape (m, classes), NaN where there are none; None where the model gives none.
    """

    name: str
    rows: NDArray[np.int64]
    predicted: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None

    def take(self, index: NDArray[np.intp]) -> Side:
        """The answers at these places."""
        scores = None if self.scores is None else self.scores[index]
        return Side(self.name, self.rows[index], self.predicted[index], scores)

    def answered(self) -> Side:
        """The rows that have an answer."""
        return self.take(np.flatnonzero(self.predicted != UNANSWERED))


@dataclass(frozen=True)
class _Pair:
    """Both models on their shared rows; `truth` and `clusters` are those rows' own."""

    model: Side
    reference: Side
    truth: NDArray[np.int64]
    clusters: NDArray[np.int64]
    labels: Labels
    level: float
    draws: int
    seed: int
    task: str | None

    @property
    def positive(self) -> int | None:
        return self.labels.classes.index(str(self.labels.positive)) if self.labels.binary else None

    def take(self, index: NDArray[np.intp]) -> _Pair:
        return replace(
            self,
            model=self.model.take(index),
            reference=self.reference.take(index),
            truth=self.truth[index],
            clusters=self.clusters[index],
        )

    def boot(self) -> ClusterBootstrap:
        return ClusterBootstrap(self.clusters, draws=self.draws, seed=self.seed)

    def measured(
        self,
        metric: str,
        value: float,
        draws: NDArray[np.float64],
        *,
        clusters: int,
        counts: Mapping[str, float],
        answers: int | None = None,
    ) -> Measurement:
        about = judged(draws, value, clusters=clusters, level=self.level, p=counts.get("mcnemar_p"), answers=answers)
        bounds = percentile_interval(draws, value, level=self.level, clusters=clusters, reach=(-1.0, 1.0))
        return Measurement(
            metric=f"quality.{metric}.difference",
            value=value,
            low=bounds.low,
            high=bounds.high,
            level=self.level,
            n=len(self.truth),
            unit=Unit.DIFFERENCE,
            method=f"paired cluster bootstrap, {self.draws} draws",
            model=self.model.name,
            reference=self.reference.name,
            task=self.task,
            counts={"clusters": clusters, **counts, **about},
        )

    def missing(self, metric: str, reason: str) -> NotMeasured:
        return NotMeasured(
            metric=f"quality.{metric}.difference",
            reason=reason,
            model=self.model.name,
            reference=self.reference.name,
            task=self.task,
        )


def paired_differences(
    model: Side,
    reference: Side,
    truth: NDArray[np.int64],
    clusters: NDArray[np.int64],
    labels: Labels,
    *,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
    task: str | None = None,
) -> list[Outcome]:
    """Differences `model - reference` of accuracy, balanced accuracy, F1 and AUC on the rows that both answered.

    Rows that only one answered are left out; `n` and the counts say how many. Accuracy also counts the rows
    on which exactly one model is right, and McNemar's exact p where every row is a cluster of its own
    (it assumes independent rows); that is then its `p`. All others' `p` fits their interval (`governance.comparison`,
    which also says what `detectable` is, and adjusts `p` over several models).

    Args:
        model: the one that a positive difference favours.
        reference: the one that it is compared with.
        truth: class codes of all rows that `Side.rows` points into, shape (n,).
        clusters: cluster codes of those rows, shape (n,).
        labels: the task's classes.
        level: of the intervals.
        seed: of the resampling.
        draws: of the resampling.
        task: carried into the outcomes.

    Returns:
        One outcome per name in `METRICS`, in that order.
    """
    mine, theirs = model.answered(), reference.answered()
    shared, left, right = np.intersect1d(mine.rows, theirs.rows, assume_unique=True, return_indices=True)
    pair = _Pair(
        model=mine.take(left),
        reference=theirs.take(right),
        truth=truth[shared],
        clusters=clusters[shared],
        labels=labels,
        level=level,
        draws=draws,
        seed=seed,
        task=task,
    )
    if len(shared) == 0:
        return [pair.missing(metric, "no held-out row was answered by both models") for metric in METRICS]
    left_out = {"only_model": len(mine.rows) - len(shared), "only_reference": len(theirs.rows) - len(shared)}
    return [*_counted(pair, left_out), _auc(pair, left_out)]


def _counted(pair: _Pair, left_out: Mapping[str, float]) -> list[Outcome]:
    """Accuracy, balanced accuracy and F1, all from counts per cluster."""
    boot, classes = pair.boot(), len(pair.labels.classes)
    present = np.bincount(pair.truth, minlength=classes) > 0
    tables = [class_counts(pair.truth, side.predicted, classes, boot) for side in (pair.model, pair.reference)]
    resampled = [class_scores(boot.sums(table), present=present, positive=pair.positive) for table in tables]
    sample = [class_scores(table.sum(axis=0), present=present, positive=pair.positive) for table in tables]
    outcomes: list[Outcome] = []
    for metric in METRICS[:3]:
        value = float(sample[0][metric] - sample[1][metric])
        if metric == "accuracy":
            clusters, counts, answers = boot.count, {**left_out, **_discordance(pair, boot)}, len(pair.truth)
        elif present.sum() < 2:
            outcomes.append(pair.missing(metric, "the rows that both answered are of one class only"))
            continue
        elif not np.isfinite(value):
            outcomes.append(pair.missing(metric, "one of the models has no defined value on the shared rows"))
            continue
        else:
            clusters, counts, answers = rarest(pair.truth, boot.codes), dict(left_out), None
        draws = resampled[0][metric] - resampled[1][metric]
        outcomes.append(pair.measured(metric, value, draws, clusters=clusters, counts=counts, answers=answers))
    return outcomes


def _discordance(pair: _Pair, boot: ClusterBootstrap) -> dict[str, float]:
    mine, theirs = pair.model.predicted == pair.truth, pair.reference.predicted == pair.truth
    only_mine, only_theirs = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    counts: dict[str, float] = {"only_model_right": only_mine, "only_reference_right": only_theirs}
    if boot.count == len(pair.truth):
        counts["mcnemar_p"] = mcnemar(only_mine, only_theirs)
    return counts


def _auc(pair: _Pair, left_out: Mapping[str, float]) -> Outcome:
    mine, theirs = pair.model.scores, pair.reference.scores
    for side, scores in ((pair.model, mine), (pair.reference, theirs)):
        if scores is None:
            return pair.missing("auc", f"{side.name} gives labels without scores")
    assert mine is not None and theirs is not None  # noqa: S101 - narrows the types
    scored = np.flatnonzero(np.isfinite(mine).all(axis=1) & np.isfinite(theirs).all(axis=1))
    pair = pair.take(scored)
    if len(np.unique(pair.truth)) < 2:
        return pair.missing("auc", "the rows that both scored are not of two classes")
    boot = pair.boot()
    aucs = [Auc(scores[scored], pair.truth, pair.positive) for scores in (mine, theirs)]
    value = float(aucs[0]()[0] - aucs[1]()[0])
    draws = boot.rows(aucs[0]) - boot.rows(aucs[1])
    return pair.measured("auc", value, draws, clusters=rarest(pair.truth, boot.codes), counts=left_out)
