"""How good a classifier is: on what it answered, how often it answered, how fast, and at what price.

A row that a model failed on is never dropped in silence: `quality.coverage` counts it, `quality.accuracy_all`
calls it wrong, and every other figure states the rows it rests on. `quality.accuracy` and the
scores beside it speak of answered rows, so that they compare with published figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import HELD_OUT, Predictions, Probe, Setting, Subject
from evaluators.costs import prices_of
from evaluators.tasks.service import Sheet, cost, latency, versions_reported
from governance.compare import METRICS, Side, paired_differences
from governance.comparison import holm_adjusted
from governance.curves import Curve
from governance.dataset import ModelText
from governance.measure import Fact, NotMeasured, Outcome, Unit
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS, ClusterBootstrap, percentile_interval
from governance.statistics.curves import reliability
from governance.statistics.intervals import Interval
from governance.statistics.scores import UNANSWERED, Auc, class_codes, class_counts, class_scores, rarest

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"


@dataclass(frozen=True)
class Quality:
    """Coverage, correctness, latency and cost per model, and paired differences from the incumbent.

    Precision, recall and F1 speak of the positive class, or are unweighted means over the
    classes that have rows (`Labels.positive` is None); then AUC is the mean of one class against the rest.

    Attributes:
        draws: resamples behind the intervals that have no closed form.
    """

    draws: int = DRAWS

    def __post_init__(self) -> None:
        if self.draws < LEAST_DRAWS:
            raise ValueError(f"draws: expected at least {LEAST_DRAWS}, got {self.draws}")

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the held-out rows are all it needs."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Every metric for every subject, measured or not, and the texts that training and test share."""
        outcomes: list[Outcome] = [_shared_texts(setting)]
        for subject in subjects:
            outcomes += _Sheet(subject, setting, self.draws).outcomes()
            outcomes += versions_reported(subject.versions, model=subject.name, task=TASK)
        if setting.incumbent is not None:
            outcomes += _against(setting.incumbent, subjects, setting, self.draws)
        return outcomes

    def curves(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Curve]:
        """How often labels given with some confidence are right, for each model that gives scores."""
        found = [_Sheet(subject, setting, self.draws).reliability() for subject in subjects]
        return [curve for curve in found if curve is not None]


def _fold(text: ModelText) -> str:
    return " ".join(text.text.casefold().split())


def _shared_texts(setting: Setting) -> Fact:
    """Held-out rows whose text was also trained on: their figures are remembered, not generalised."""
    trained = {_fold(text) for text in setting.train.texts}
    return Fact(
        metric="data.shared_texts",
        value=sum(_fold(text) in trained for text in setting.test.texts),
        unit=Unit.COUNT,
        method="held-out rows whose text, case and whitespace folded, stands in the training rows",
    )


def _against(reference: str, subjects: Sequence[Subject], setting: Setting, draws: int) -> list[Outcome]:
    """Paired differences of every other model against one of them, their p values adjusted over the models."""
    sides = {subject.name: _side(subject, setting) for subject in subjects}
    others = [name for name in sides if name != reference]
    if reference not in sides:
        return [
            NotMeasured(
                metric=f"quality.{metric}.difference",
                reason=f"'{reference}' is not among the models that were run",
                model=name,
                reference=reference,
                task=TASK,
            )
            for name in others
            for metric in METRICS
        ]
    truth = setting.labels.codes(setting.test.labels)
    outcomes: list[Outcome] = []
    for name in others:
        outcomes += paired_differences(
            *(sides[name], sides[reference], truth, setting.test.clusters, setting.labels),
            level=setting.level,
            seed=setting.seed,
            draws=draws,
            task=TASK,
        )
    return holm_adjusted(outcomes)


def _side(subject: Subject, setting: Setting) -> Side:
    answers = subject.answers[HELD_OUT]
    return Side(subject.name, answers.index, class_codes(answers.labels, setting.labels.classes), answers.scores)


@dataclass(frozen=True)
class _Sheet:
    """One model's answers to the held-out rows, and the outcomes that they give."""

    subject: Subject
    setting: Setting
    draws: int

    @cached_property
    def answers(self) -> Predictions:
        return self.subject.answers[HELD_OUT]

    @cached_property
    def asked_truth(self) -> NDArray[np.int64]:
        return self.setting.labels.codes(self.setting.test.labels)[self.answers.index]

    @cached_property
    def asked_clusters(self) -> NDArray[np.int64]:
        return self.setting.test.clusters[self.answers.index]

    @cached_property
    def sheet(self) -> Sheet:
        setting = self.setting
        return Sheet(self.subject.name, TASK, self.asked_clusters, setting.level, setting.seed, self.draws)

    @cached_property
    def asked_predicted(self) -> NDArray[np.int64]:
        return class_codes(self.answers.labels, self.setting.labels.classes)

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        return np.not_equal(self.asked_predicted, UNANSWERED)

    @cached_property
    def positive(self) -> int | None:
        labels = self.setting.labels
        return labels.classes.index(str(labels.positive)) if labels.binary else None

    def reliability(self) -> Curve | None:
        """None for a model without scores, or with too few answers."""
        if self.answers.scores is None:
            return None
        kept = np.flatnonzero(self.answered)
        predicted = self.asked_predicted[kept]
        said = self.answers.scores[kept, predicted]
        bins = reliability(said, predicted == self.asked_truth[kept])
        if not bins:
            return None
        return Curve(
            kind="reliability",
            model=self.subject.name,
            points=tuple((confidence, share) for confidence, share, _ in bins),
            n=int(np.isfinite(said).sum()),
            method="20 bins of confidence; those of fewer than 10 rows are left out",
            rows=tuple(rows for _, _, rows in bins),
        )

    def outcomes(self) -> list[Outcome]:
        names = ["coverage", "accuracy", "accuracy_all", "balanced_accuracy", "precision", "recall", "f1", "auc"]
        names += ["latency_p50", "latency_p95", "cost"]
        if len(self.answers) == 0:
            return [self.sheet.missing(f"quality.{name}", "no held-out row was asked") for name in names]
        right = self.answered & (self.asked_predicted == self.asked_truth)
        asked = np.ones_like(right)
        outcomes = [
            self.sheet.rate("quality.coverage", self.answered, asked),
            self.sheet.rate("quality.accuracy_all", right, asked),
        ]
        if not self.answered.any():
            reason = f"none of the {len(asked)} rows asked was answered"
            return outcomes + [
                self.sheet.missing(f"quality.{name}", reason)
                for name in names
                if name not in ("coverage", "accuracy_all")
            ]
        outcomes.append(self.sheet.rate("quality.accuracy", right, self.answered))
        answers, sheet = self.answers, self.sheet
        tokens = {"tokens_in": answers.tokens_in, "tokens_out": answers.tokens_out}
        served = latency(sheet, answers.seconds, self.answered)
        served.append(cost(sheet, prices_of(self.subject), seconds=answers.seconds, **tokens))
        return outcomes + self._scores() + [self._auc()] + served

    def _scores(self) -> list[Outcome]:
        """Balanced accuracy, precision, recall and F1."""
        truth, predicted = self.asked_truth[self.answered], self.asked_predicted[self.answered]
        classes = len(self.setting.labels.classes)
        present = np.bincount(truth, minlength=classes) > 0
        boot = ClusterBootstrap(self.asked_clusters[self.answered], draws=self.draws, seed=self.setting.seed)
        table = class_counts(truth, predicted, classes, boot)
        sample = class_scores(table.sum(axis=0), present=present, positive=self.positive)
        draws = class_scores(boot.sums(table), present=present, positive=self.positive)
        clusters = rarest(truth, boot.codes)
        outcomes: list[Outcome] = []
        for name in ("balanced_accuracy", "precision", "recall", "f1"):
            metric, value = f"quality.{name}", float(sample[name])
            reason = self._undefined(name, truth, predicted)
            if reason is not None:
                outcomes.append(self.sheet.missing(metric, reason))
            elif self.positive is not None and name in ("precision", "recall"):
                hit = self.answered & (self.asked_predicted == self.positive) & (self.asked_truth == self.positive)
                among = self.asked_predicted if name == "precision" else self.asked_truth
                outcomes.append(self.sheet.rate(metric, hit, self.answered & (among == self.positive)))
            else:
                bounds = percentile_interval(draws[name], value, level=self.setting.level, clusters=clusters)
                counts = {"classes": int(present.sum()), "clusters": boot.count, "clusters_of_rarest_class": clusters}
                outcomes.append(self._score(metric, value, bounds, n=len(truth), counts=counts))
        return outcomes

    def _undefined(self, name: str, truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> str | None:
        """Why a score has no value on these rows, if it has none."""
        present = np.unique(truth)
        if self.positive is not None and name != "balanced_accuracy":
            if name in ("recall", "f1") and self.positive not in present:
                return f"none of the {len(truth)} answered rows is positive"
            if name == "precision" and self.positive not in predicted:
                return f"it never answers with the positive class on {len(truth)} rows"
            return None
        if len(present) < 2:
            return f"the {len(truth)} answered rows are of one class only"
        silent = len(np.setdiff1d(present, predicted))
        if name == "precision" and silent:
            return f"it never answers with {silent} of the {len(present)} classes, so their precision is undefined"
        return None

    def _auc(self) -> Outcome:
        metric, scores = "quality.auc", self.answers.scores
        if scores is None:
            return self.sheet.missing(metric, "gives labels without scores")
        scored = self.answered & np.isfinite(scores).all(axis=1)
        truth, clusters = self.asked_truth[scored], self.asked_clusters[scored]
        if len(np.unique(truth)) < 2:
            return self.sheet.missing(metric, f"the {len(truth)} rows with scores are not of two classes")
        boot = ClusterBootstrap(clusters, draws=self.draws, seed=self.setting.seed)
        auc, few = Auc(scores[scored], truth, self.positive), rarest(truth, boot.codes)
        value = float(auc()[0])
        bounds = percentile_interval(boot.rows(auc), value, level=self.setting.level, clusters=few)
        counts = {"clusters": boot.count, "clusters_of_rarest_class": few}
        if unscored := int(self.answered.sum()) - len(truth):
            counts["answered_without_scores"] = unscored
        return self._score(metric, value, bounds, n=len(truth), counts=counts)

    def _score(
        self, metric: str, value: float, bounds: tuple[float, float], *, n: int, counts: Mapping[str, float]
    ) -> Outcome:
        method = f"cluster bootstrap, {self.draws} draws"
        return self.sheet.measured(metric, value, Interval(*bounds), n=n, unit=Unit.SCORE, method=method, counts=counts)
