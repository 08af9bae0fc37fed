"""How much hangs on the wording: one model, the same rows, several prompts.

A model that was asked in the words that suit it best looks better than it is beside one that was asked once. So each
prompt's figures stand beside each other, and the spread says how far apart they are. The largest of several figures
minus the smallest is above 0 by chance alone, and its bootstrap more so; what is bounded instead are all differences
of two prompts at once, and the spread is the largest of these.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import Predictions, Probe, Setting, Subject
from governance.measure import EVERYONE, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS, ClusterBootstrap, percentile_interval
from governance.statistics.intervals import clustered_wilson
from governance.statistics.multiplicity import sidak
from governance.statistics.scores import class_codes, class_counts, class_scores, rarest

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"
SPREAD = "wording.balanced_accuracy.spread"
_WILSON = "Wilson on the effective sample size (Rao-Scott)"


@dataclass(frozen=True)
class WordingSpread:
    """Coverage, accuracy and balanced accuracy by prompt, and how far the prompts are apart.

    Attributes:
        draws: resamples behind the intervals that have no closed form.
    """

    draws: int = DRAWS

    def __post_init__(self) -> None:
        if self.draws < LEAST_DRAWS:
            raise ValueError(f"draws: expected at least {LEAST_DRAWS}, got {self.draws}")

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the audit asks held-out rows by every prompt that the config names."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Every prompt of every model that has several; nothing where none has."""
        asked = [subject for subject in subjects if len(subject.wordings) > 1]
        return [outcome for subject in asked for outcome in _Sheet(subject, setting, self.draws).outcomes()]


@dataclass(frozen=True)
class _Sheet:
    """One model's answers by prompt."""

    subject: Subject
    setting: Setting
    draws: int

    def outcomes(self) -> list[Outcome]:
        found = [one for prompt, name in self.subject.wordings.items() for one in self._prompt(prompt, name)]
        return [*found, self._spread()]

    @cached_property
    def _truth(self) -> NDArray[np.int64]:
        return self.setting.labels.codes(self.setting.test.labels)

    def _prompt(self, prompt: str, name: str) -> list[Outcome]:
        answers, where = self.subject.answers[name], Slice.of(prompt=prompt)
        if len(answers) == 0:
            names = ("coverage", "accuracy", "balanced_accuracy")
            return [self._missing(f"wording.{one}", "no held-out row was asked", where) for one in names]
        rows = answers.index
        coverage = self._rate("wording.coverage", answers.answered, rows, where)
        rows = rows[answers.answered]
        if len(rows) == 0:
            reason = f"none of the {len(answers)} rows asked was answered"
            gone = [self._missing(f"wording.{one}", reason, where) for one in ("accuracy", "balanced_accuracy")]
            return [coverage, *gone]
        right = np.equal(self._said(answers)[answers.answered], self._truth[rows])
        return [coverage, self._rate("wording.accuracy", right, rows, where), self._balanced(answers, rows, where)]

    def _said(self, answers: Predictions) -> NDArray[np.int64]:
        return class_codes(answers.labels, self.setting.labels.classes)

    def _balanced(self, answers: Predictions, rows: NDArray[np.int64], where: Slice) -> Outcome:
        metric, found = "wording.balanced_accuracy", self._resampled([answers], rows)
        if isinstance(found, str):
            return self._missing(metric, found, where)
        [value], [draws], clusters = found
        ends = percentile_interval(draws, value, level=self.setting.level, clusters=clusters)
        method = f"cluster bootstrap, {self.draws} draws"
        return self._measured(metric, value, ends, len(rows), Unit.SCORE, method, where, {"clusters": clusters})

    def _spread(self) -> Outcome:
        """Largest minus smallest over the prompts, on the rows that were answered to all of them."""
        sides = [self.subject.answers[name] for name in self.subject.wordings.values()]
        rows = sides[0].index[sides[0].answered]
        for side in sides[1:]:
            rows = np.intersect1d(rows, side.index[side.answered], assume_unique=True)
        if len(rows) == 0:
            return self._missing(SPREAD, "no held-out row was answered to every prompt")
        found = self._resampled(sides, rows)
        if isinstance(found, str):
            return self._missing(SPREAD, found)
        values, draws, clusters = found
        pairs = list(itertools.combinations(range(len(sides)), 2))
        level, lows, highs = sidak(self.setting.level, len(pairs)), [0.0], [0.0]
        for one, other in pairs:
            change = values[one] - values[other]
            low, high = percentile_interval(
                draws[one] - draws[other], change, level=level, clusters=clusters, reach=(-1.0, 1.0)
            )
            lows += [low, -high]
            highs += [high, -low]
        method = f"simultaneous differences of {len(sides)} prompts; paired cluster bootstrap, {self.draws} draws"
        counts = {"prompts": len(sides), "clusters": clusters}
        ends, value = (max(lows), max(highs)), max(values) - min(values)
        return self._measured(SPREAD, value, ends, len(rows), Unit.DIFFERENCE, method, EVERYONE, counts)

    def _resampled(
        self, sides: Sequence[Predictions], rows: NDArray[np.int64]
    ) -> tuple[list[float], list[NDArray[np.float64]], int] | str:
        """Balanced accuracy of each on these rows, its draws (the same for all), and clusters of the rarest class."""
        truth, classes = self._truth[rows], len(self.setting.labels.classes)
        present = np.bincount(truth, minlength=classes) > 0
        if present.sum() < 2:
            return f"the {len(rows)} answered rows are of one class only"
        boot = ClusterBootstrap(self.setting.test.clusters[rows], draws=self.draws, seed=self.setting.seed)
        values: list[float] = []
        draws: list[NDArray[np.float64]] = []
        for side in sides:
            said = self._said(side)[np.searchsorted(side.index, rows)]  # rows of a side ascend
            table = class_counts(truth, said, classes, boot)
            sample = class_scores(table.sum(axis=0), present=present, positive=None)
            values.append(float(sample["balanced_accuracy"]))
            draws.append(class_scores(boot.sums(table), present=present, positive=None)["balanced_accuracy"])
        return values, draws, rarest(truth, boot.codes)

    def _rate(self, metric: str, hits: NDArray[np.bool_], rows: NDArray[np.int64], where: Slice) -> Outcome:
        _, codes = np.unique(self.setting.test.clusters[rows], return_inverse=True)
        rate = clustered_wilson(np.bincount(codes, hits), np.bincount(codes), self.setting.level)
        counts = {"successes": int(hits.sum()), "clusters": rate.clusters}
        return self._measured(metric, rate.value, (rate.low, rate.high), rate.n, Unit.RATE, _WILSON, where, counts)

    def _measured(
        self,
        metric: str,
        value: float,
        ends: Sequence[float],
        n: int,
        unit: Unit,
        method: str,
        where: Slice,
        counts: Mapping[str, float],
    ) -> Measurement:
        low, high = ends
        return Measurement(
            metric=metric,
            value=value,
            low=min(low, value),
            high=max(high, value),
            level=self.setting.level,
            n=n,
            unit=unit,
            method=method,
            model=self.subject.name,
            task=TASK,
            slice=where,
            counts=counts,
        )

    def _missing(self, metric: str, reason: str, where: Slice = EVERYONE) -> NotMeasured:
        return NotMeasured(metric=metric, reason=reason, model=self.subject.name, task=TASK, slice=where)
