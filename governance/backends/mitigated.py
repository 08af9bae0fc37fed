"""Models made fair on top of another one: its scores under a rule per group, or a mixture on what it sees."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from governance.backends.base import Answer, Backend, Capability, Featured
from governance.dataset import Labels, ModelText
from governance.training.decisions import Mixture, Thresholds, coins

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256


class ThresholdBackend:
    """Another model's scores, decided upon by a rule per group.

    The group value goes to the rule alone; the model sees texts, as ever. Scores stay the model's own, since the rules
    rank nobody. A text without a group, or of a group that has no rule, gets the answer that the model itself gives.

    Args:
        base: the model, which gives scores; closed with this one.
        thresholds: a rule per group.
        labels: the task's two classes.
        seed: of the coins that randomised rules need.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.SCORES})

    def __init__(self, base: Backend, thresholds: Thresholds, labels: Labels, *, seed: int) -> None:
        self._base = base
        self._thresholds = thresholds
        self._labels = labels
        self._seed = seed
        self.fell_back = 0
        """Rows, asked with their group, on which the model itself had to decide."""

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`: without groups, the model's own answers."""
        return self._base.classify(texts)

    def classify_in_groups(self, texts: Sequence[ModelText], groups: Sequence[str | None]) -> Sequence[Answer]:
        """See `DecidesByGroup`."""
        answers, place = self._base.classify(texts), _positive(self._labels)
        scores = np.array([np.nan if one.scores is None else one.scores[place] for one in answers], dtype=float)
        chances = self._thresholds.probability(scores, groups)
        chances[np.isnan(scores)] = np.nan
        answered = np.array([one.label is not None for one in answers], dtype=bool)
        self.fell_back += int((answered & np.isnan(chances)).sum())
        decided = _drawn(chances, texts, self._labels, self._seed)
        return [
            one if one.label is None or label is None else replace(one, label=label)
            for one, label in zip(answers, decided, strict=True)
        ]

    def close(self) -> None:
        """See `Backend`."""
        self._base.close()


class MixtureBackend:
    """A mixture of linear classifiers on what another model sees; needs no group to decide.

    A row's score is its expected chance of the positive class over the mixture. Its label is that of one classifier,
    drawn by the row's text: so the mixture's rates are those that were fitted, and a label may differ from what the
    score alone would say.

    Args:
        base: the model whose features are used; closed with this one.
        mixture: classifiers and their weights.
        labels: the task's two classes.
        seed: of the coins that draw a classifier per text.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.SCORES})

    def __init__(self, base: Featured, mixture: Mixture, labels: Labels, *, seed: int) -> None:
        self._base = base
        self._mixture = mixture
        self._labels = labels
        self._seed = seed

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`."""
        answers: list[Answer] = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            features, seconds = self._base.features(batch)
            began = time.perf_counter()
            scores = self._mixture.scores(features)
            decided = _drawn(self._mixture.probability(features), batch, self._labels, self._seed)
            own = (time.perf_counter() - began) / len(batch)
            answers += [
                Answer(label=label, scores=_pair(float(score), self._labels), seconds=float(spent) + own)
                for label, score, spent in zip(decided, scores, seconds, strict=True)
            ]
        return answers

    def close(self) -> None:
        """See `Backend`."""
        self._base.close()


def _positive(labels: Labels) -> int:
    return labels.classes.index(str(labels.positive))


def _pair(score: float, labels: Labels) -> tuple[float, ...]:
    """The positive class's score, and the other's, in the classes' order."""
    return (1 - score, score) if _positive(labels) else (score, 1 - score)


def _drawn(chances: NDArray[np.float64], texts: Sequence[ModelText], labels: Labels, seed: int) -> list[str | None]:
    """A label per row by its chance of the positive class and its text's coin; None where there is no chance."""
    place = _positive(labels)
    positive, negative = labels.classes[place], labels.classes[1 - place]
    hits = coins([text.text for text in texts], seed) < chances
    return [
        None if np.isnan(chance) else positive if hit else negative
        for chance, hit in zip(chances.tolist(), hits.tolist(), strict=True)
    ]
