"""What do unhappy reviews speak of, and would the model that reads them tell the shop the same story?

Topics overlap: a review speaks of several, so each topic's rows are held against all rows that don't speak of it. A
difference says what dissatisfaction goes together with, not what causes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import HELD_OUT, Probe, Setting, Subject
from evaluators.topics import Topics
from governance.dataset import Labels
from governance.errors import ConfigError
from governance.groups.gaps import WILSON
from governance.measure import Measurement, NotMeasured, Outcome, Slice, Unit
from governance.registry import nearest
from governance.statistics.combined import combined_rates
from governance.statistics.intervals import clustered_wilson
from governance.statistics.multiplicity import sidak
from governance.statistics.scores import UNANSWERED, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # Rows that speak of a topic, and a level -> value, ends and counts.
    _Combined = Callable[[NDArray[np.bool_], float], tuple[float, float, float, dict[str, float]]]

TASK = "classification"
OF_DATA = ("drivers.share", "drivers.negative_rate", "drivers.difference")
OF_MODEL = ("drivers.predicted_difference", "drivers.distortion", "drivers.largest_distortion")
NO_NEGATIVE = "several classes, and none is said to be negative (the setting 'negative')"
_DIFFERENCE, _DISTORTION = (1, -1), (1, -1, -1, 1)


@dataclass(frozen=True)
class Drivers:
    """Share and negatives of each topic, by the true labels and by each model's, on held-out rows.

    Attributes:
        topics: a file of topics, by its path beside the config, or one that ships; see `configs/topics`.
        min_rows: rows that speak of a topic, and rows that don't, that its differences need.
        negative: classes that stand for dissatisfaction; none: all but the positive one.
    """

    topics: str | Topics = "reviews"
    min_rows: int = 30
    negative: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.min_rows < 1:
            raise ValueError(f"min_rows: expected at least 1, got {self.min_rows}")
        if not isinstance(self.negative, tuple) or not all(isinstance(name, str) for name in self.negative):
            raise ValueError("negative: expected a list of class names (numbers in quotes)")

    def read(self, folder: Path, language: str) -> Drivers:
        """See `Reads`."""
        topics = self.topics if isinstance(self.topics, Topics) else Topics.load(self.topics, folder, language)
        return replace(self, topics=topics)

    def digests(self) -> Mapping[str, str]:
        """See `Reads`."""
        return {"topics": self.topics.digest} if isinstance(self.topics, Topics) else {}

    def names(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """See `Reads`."""
        return {"topic": self.topics.titles} if isinstance(self.topics, Topics) else {}

    def probes(self, setting: Setting) -> Sequence[Probe]:
        """None: the held-out rows are all it needs. A class that isn't there is complained about here.

        Raises:
            ConfigError: there is no such class, or no other one is left.
        """
        classes = setting.labels.classes
        for name in self.negative:
            if name not in classes:
                raise ConfigError(f"evaluator 'drivers': negative: no class '{name}'. {nearest(name, classes)}")
        if set(self.negative) == set(classes):
            raise ConfigError(
                "evaluator 'drivers': negative: expected at least one class that isn't, found all of them"
            )
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Figures of each topic by the true labels and by each model's, and each model's widest, measured or not."""
        negative = self._negative(setting.labels)
        if not negative or not len(setting.test):
            reason = "no held-out row was asked" if negative else NO_NEGATIVE
            models = [(metric, subject.name) for metric in OF_MODEL for subject in subjects]
            wanted = [*((metric, None) for metric in OF_DATA), *models]
            return [NotMeasured(metric=metric, reason=reason, model=model, task=TASK) for metric, model in wanted]
        topics = self.read(Path(), setting.language).topics
        assert isinstance(topics, Topics)  # noqa: S101 - `read` made it one
        counted = np.isin(setting.labels.classes, list(negative))
        spoken = topics.spoken(text.text for text in setting.test.texts)
        truth = counted[setting.labels.codes(setting.test.labels)]
        every = _Rows(None, list(topics.titles), spoken, truth, truth, setting.test.clusters, setting, self.min_rows)
        outcomes = every.levels() + every.differences("drivers.difference")
        for subject in subjects:
            answers = subject.answers[HELD_OUT]
            predicted = class_codes(answers.labels, setting.labels.classes)
            kept = np.flatnonzero(predicted != UNANSWERED)
            rows = every.of_model(subject.name, answers.index[kept], counted[predicted[kept]])
            outcomes += rows.differences("drivers.predicted_difference") + rows.distortions()
        return outcomes

    def _negative(self, labels: Labels) -> tuple[str, ...]:
        others = () if labels.positive is None else tuple(name for name in labels.classes if name != labels.positive)
        return self.negative or others


@dataclass(frozen=True)
class _Rows:
    """Rows, what they speak of, and which of them are negative by somebody's account.

    Attributes:
        model: whose account; None: the data's own.
        names: of the topics.
        spoken: shape (n, topics).
        truth: whether a row is negative, shape (n,).
        said: whether it is by this account, shape (n,).
        clusters: of the rows, shape (n,).
    """

    model: str | None
    names: Sequence[str]
    spoken: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    said: NDArray[np.bool_]
    clusters: NDArray[np.int64]
    setting: Setting
    min_rows: int

    def of_model(self, model: str, rows: NDArray[np.int64], said: NDArray[np.bool_]) -> _Rows:
        """The rows that a model answered, by its account."""
        return replace(
            self, model=model, spoken=self.spoken[rows], truth=self.truth[rows], said=said, clusters=self.clusters[rows]
        )

    def levels(self) -> list[Outcome]:
        """How many rows speak of each topic, and how many of those are negative."""
        found: list[Outcome] = []
        everyone = np.ones(len(self.said), dtype=bool)
        for name, own in zip(self.names, self.spoken.T, strict=True):
            found.append(self._rate("drivers.share", name, own, everyone))
            if own.sum() < self.min_rows:
                reason = f"{int(own.sum())} rows, {self.min_rows} needed"
                found.append(self._missing("drivers.negative_rate", name, reason))
            else:
                found.append(self._rate("drivers.negative_rate", name, self.said, own))
        return found

    def differences(self, metric: str) -> list[Outcome]:
        """Negatives among the rows that speak of a topic, minus those among the others."""
        one_sided = self.said.all() or not self.said.any()
        reason = f"the {len(self.said)} rows are all negative, or all not" if one_sided else None

        def combined(own: NDArray[np.bool_], level: float) -> tuple[float, float, float, dict[str, float]]:
            made = combined_rates(
                np.stack([self.said, self.said], axis=1), np.stack([own, ~own], axis=1), _DIFFERENCE,
                clusters=self.clusters, level=level,
            )  # fmt: skip
            counts = {"speaking": made.rates[0], "others": made.rates[1], "clusters": made.clusters}
            return made.value, *made.bounds, counts

        return self._simultaneous(metric, combined, reason)

    def distortions(self) -> list[Outcome]:
        """How far the model's difference is from the truth's, on the rows that it answered.

        By its errors: what it wrongly calls negative, minus the negatives that it misses, among the rows that speak of
        a topic and among the others.
        """
        wrongly, missed = self.said & ~self.truth, ~self.said & self.truth

        def combined(own: NDArray[np.bool_], level: float) -> tuple[float, float, float, dict[str, float]]:
            made = combined_rates(
                np.stack([wrongly, missed, wrongly, missed], axis=1), np.stack([own, own, ~own, ~own], axis=1),
                _DISTORTION, clusters=self.clusters, level=level,
            )  # fmt: skip
            kinds = ("speaking_wrongly", "speaking_missed", "others_wrongly", "others_missed")
            return made.value, *made.bounds, {**dict(zip(kinds, made.rates, strict=True)), "clusters": made.clusters}

        found = self._simultaneous("drivers.distortion", combined, None)
        return [*found, self._largest([one for one in found if isinstance(one, Measurement)])]

    def _largest(self, found: Sequence[Measurement]) -> Outcome:
        """The largest distortion of any topic, whatever its sign; its ends come from intervals that hold together."""
        metric = "drivers.largest_distortion"
        if not found:
            reason = f"no topic has {self.min_rows} rows"
            return NotMeasured(metric=metric, reason=reason, model=self.model, task=TASK)
        ends = [(one.low or 0.0, one.high or 0.0) for one in found]
        return Measurement(
            metric=metric, value=max(abs(one.value) for one in found),
            low=max(max(0.0, low, -high) for low, high in ends), high=max(max(-low, high) for low, high in ends),
            level=self.setting.level, n=len(self.said),
            unit=Unit.DIFFERENCE, method=found[0].method, model=self.model, task=TASK,
            counts={"topics": len(found), "left_out": len(self.names) - len(found)},
        )  # fmt: skip

    def _simultaneous(self, metric: str, combined: _Combined, reason: str | None) -> list[Outcome]:
        """A figure of each topic that has rows enough; their intervals hold together."""
        own, n = self.spoken.sum(axis=0), len(self.said)
        fit = (own >= self.min_rows) & (n - own >= self.min_rows)
        level = sidak(self.setting.level, max(1, int(fit.sum())))
        found: list[Outcome] = []
        for place, name in enumerate(self.names):
            if not fit[place]:
                fewer = int(min(own[place], n - own[place]))
                side = "" if own[place] <= n - own[place] else " that don't speak of it"
                found.append(self._missing(metric, name, f"{fewer} rows{side}, {self.min_rows} needed"))
            elif reason is not None:
                found.append(self._missing(metric, name, reason))
            else:
                value, low, high, counts = combined(self.spoken[:, place], level)
                method = f"MOVER from Clopper-Pearson with the rates' correlations; Šidák over {int(fit.sum())} topics"
                found.append(self._measured(metric, name, value, low, high, n=n, method=method, counts=counts))
        return found

    def _rate(self, metric: str, name: str, hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Outcome:
        _, codes = np.unique(self.clusters[among], return_inverse=True)
        rate = clustered_wilson(np.bincount(codes, hits[among]), np.bincount(codes), self.setting.level)
        counts = {"rows": int(hits[among].sum()), "clusters": rate.clusters}
        return self._measured(
            metric, name, rate.value, rate.low, rate.high, n=rate.n, method=WILSON, counts=counts, unit=Unit.RATE
        )

    def _measured(
        self,
        metric: str,
        name: str,
        value: float,
        low: float,
        high: float,
        *,
        n: int,
        method: str,
        counts: Mapping[str, float],
        unit: Unit = Unit.DIFFERENCE,
    ) -> Measurement:
        return Measurement(
            metric=metric, value=value, low=low, high=high, level=self.setting.level, n=n, unit=unit, method=method,
            model=self.model, task=TASK, slice=Slice.of(topic=name), counts=counts,
        )  # fmt: skip

    def _missing(self, metric: str, name: str, reason: str) -> NotMeasured:
        return NotMeasured(metric=metric, reason=reason, model=self.model, task=TASK, slice=Slice.of(topic=name))
