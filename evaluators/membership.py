"""Can an outsider tell whose review a model was trained on? The simplest attack: a confident answer means "trained on".

The attack guesses "member" where -log p(true label) is low. It is weak, so a low figure proves little, and a
high one is a leak beyond doubt. TPR at 1% FPR is the figure that matters: the share of people who are exposed
with near certainty (Carlini et al. 2022, arXiv 2112.03570).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import HELD_OUT, Predictions, Probe, Setting, Subject
from governance.backends.base import Capability
from governance.dataset import ScrubbedDataset
from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS, ClusterBootstrap, Ranking, percentile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.dataset import Labels

MEMBERS = "members"
FPR = 0.01
_UNITS = {"membership.auc": Unit.SCORE, "membership.tpr_at_1pct_fpr": Unit.RATE}


@dataclass(frozen=True)
class LossThreshold:
    """Loss-threshold attack on models trained here: training rows against held-out rows.

    Intervals resample clusters, members and non-members of one cluster together: rows about one product are
    alike on both sides of the split. Where the two sides share no cluster this is two independent resamples.

    Attributes:
        rows: training rows that are asked, at most; drawn once by the setting's seed.
        draws: resamples behind the intervals.
    """

    rows: int = 2000
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows: expected at least 1, got {self.rows}")
        if self.draws < LEAST_DRAWS:
            raise ValueError(f"draws: expected at least {LEAST_DRAWS}, got {self.draws}")

    def probes(self, setting: Setting) -> Sequence[Probe]:
        """A sample of training rows, for trained models that give scores."""
        if len(setting.train) == 0:
            return ()
        texts = self._members(setting).texts
        return (Probe(MEMBERS, texts, trained_only=True, needs=frozenset({Capability.SCORES})),)

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """AUC and TPR at 1% FPR of the attack on each model."""
        members = self._members(setting)
        return [outcome for subject in subjects for outcome in self._attack(subject, members, setting)]

    def _members(self, setting: Setting) -> ScrubbedDataset:
        """The rows of the probe; the same in both moments, since they depend on the setting alone."""
        n = len(setting.train)
        picked = np.random.default_rng(setting.seed).choice(n, size=min(self.rows, n), replace=False)
        return setting.train.take(np.sort(picked))

    def _attack(self, subject: Subject, members: ScrubbedDataset, setting: Setting) -> list[Outcome]:
        reason = _why_not(subject)
        if reason is not None:
            return _missing(subject, reason)
        inside = _confidence(subject.answers[MEMBERS], members, setting.labels)
        outside = _confidence(subject.answers[HELD_OUT], setting.test, setting.labels)
        if len(inside[0]) == 0 or len(outside[0]) == 0:
            return _missing(subject, f"{len(inside[0])} training and {len(outside[0])} held-out rows with scores")
        scores, clusters = (np.concatenate(pair) for pair in zip(inside, outside, strict=True))
        member = np.arange(len(scores)) < len(inside[0])
        return self._measure(subject, setting, scores, clusters.astype(np.int64), member)

    def _measure(
        self,
        subject: Subject,
        setting: Setting,
        scores: NDArray[np.float64],
        clusters: NDArray[np.int64],
        member: NDArray[np.bool_],
    ) -> list[Outcome]:
        boot = ClusterBootstrap(clusters, draws=self.draws, seed=setting.seed)
        ranking = Ranking(scores, member)
        others = int((~member).sum())
        few = min(len(np.unique(clusters[side])) for side in (member, ~member))
        counts = {"members": int(member.sum()), "held_out": others, "clusters": boot.count}

        def measured(metric: str, value: float, draws: NDArray[np.float64]) -> Outcome:
            bounds = percentile_interval(draws, value, level=setting.level, clusters=few)
            return Measurement(
                metric=metric,
                value=value,
                low=bounds.low,
                high=bounds.high,
                level=setting.level,
                n=len(scores),
                unit=_UNITS[metric],
                method=f"loss-threshold attack; cluster bootstrap, {self.draws} draws",
                model=subject.name,
                counts=counts,
            )

        auc, tpr = _UNITS
        outcomes = [measured(auc, float(ranking.auc()[0]), boot.rows(ranking.auc))]
        if others * FPR < 1:
            reason = f"{others} held-out rows, {round(1 / FPR)} needed to see a false-positive rate of 1%"
            return [*outcomes, NotMeasured(metric=tpr, reason=reason, model=subject.name)]
        draws = boot.rows(lambda weights: ranking.tpr_at_fpr(FPR, weights))
        return [*outcomes, measured(tpr, float(ranking.tpr_at_fpr(FPR)[0]), draws)]


def _why_not(subject: Subject) -> str | None:
    if not subject.trained:
        return "not trained by this audit, so its training data are unknown"
    if Capability.SCORES not in subject.capabilities or subject.answers[HELD_OUT].scores is None:
        return "gives labels without scores"
    if MEMBERS not in subject.answers or subject.answers[MEMBERS].scores is None:
        return "was not asked about its training rows"
    return None


def _confidence(
    answers: Predictions, asked: ScrubbedDataset, labels: Labels
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """log p(true label) and cluster of each row with scores."""
    assert answers.scores is not None  # noqa: S101 - narrows the type; `_why_not` looked
    truth = labels.codes(asked.labels)[answers.index]
    chance = answers.scores[np.arange(len(truth)), truth]
    scored = np.isfinite(chance)
    # A probability that underflowed to 0 still ranks lowest, without an infinite loss.
    return np.log(np.maximum(chance[scored], np.finfo(float).tiny)), asked.clusters[answers.index][scored]


def _missing(subject: Subject, reason: str) -> list[Outcome]:
    return [NotMeasured(metric=metric, reason=reason, model=subject.name) for metric in _UNITS]
