"""Can an outsider tell whose review a model was trained on? The simplest attack: a confident answer means "trained on".

The attack guesses "member" where -log p(true label) is low. It is weak, so a low figure proves little, and a
high one is a leak beyond doubt. TPR at 1% FPR is the figure that matters: the share of people who are exposed
with near certainty (Carlini et al. 2022, arXiv 2112.03570).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.attack import MEMBERS, Attacked, confidence, members, why_not
from evaluators.base import HELD_OUT, Probe, Setting, Subject
from governance.backends.base import Capability
from governance.curves import Curve
from governance.dataset import ScrubbedDataset
from governance.groups.counts import MISSING
from governance.measure import ANY, EVERYONE, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS, ClusterBootstrap, percentile_interval
from governance.statistics.curves import roc
from governance.statistics.intervals import spread_interval
from governance.statistics.multiplicity import sidak

if TYPE_CHECKING:
    from numpy.typing import NDArray

FPR = 0.01
AUC = "membership.auc"
_UNITS = {AUC: Unit.SCORE, "membership.tpr_at_1pct_fpr": Unit.RATE}


@dataclass(frozen=True)
class LossThreshold:
    """Loss-threshold attack on models trained here: training rows against held-out rows.

    Intervals resample clusters, members and non-members of one cluster together: rows about one product are
    alike on both sides of the split. Where the two sides share no cluster this is two independent resamples.

    Attributes:
        rows: training rows that are asked, at most; drawn once by the setting's seed.
        draws: resamples behind the intervals.
        min_rows: training rows, and as many held-out ones, that a group needs: is the membership of some
            people easier to tell than that of others?
    """

    rows: int = 2000
    draws: int = DRAWS
    min_rows: int = 50

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows: expected at least 1, got {self.rows}")
        if self.min_rows < 1:
            raise ValueError(f"min_rows: expected at least 1, got {self.min_rows}")
        if self.draws < LEAST_DRAWS:
            raise ValueError(f"draws: expected at least {LEAST_DRAWS}, got {self.draws}")

    def probes(self, setting: Setting) -> Sequence[Probe]:
        """A sample of training rows, for trained models that give scores."""
        if len(setting.train) == 0:
            return ()
        texts = members(setting, self.rows).texts
        return (Probe(MEMBERS, texts, trained_only=True, needs=frozenset({Capability.SCORES})),)

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """AUC and TPR at 1% FPR of the attack on each model."""
        asked = members(setting, self.rows)
        return [outcome for subject in subjects for outcome in self._attack(subject, asked, setting)]

    def curves(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Curve]:
        """What the attack finds at every false-positive rate, for each model that it can be run on."""
        asked, found = members(setting, self.rows), list[Curve]()
        for subject in subjects:
            if why_not(subject) is not None:
                continue
            inside, _ = confidence(subject.answers[MEMBERS], asked, setting.labels)
            outside, _ = confidence(subject.answers[HELD_OUT], setting.test, setting.labels)
            if len(inside) and len(outside):
                scores = np.concatenate([inside, outside])
                points = tuple(roc(scores, np.arange(len(scores)) < len(inside)))
                method = "loss-threshold attack"
                found.append(
                    Curve(kind="membership-roc", model=subject.name, points=points, n=len(scores), method=method)
                )
        return found

    def _attack(self, subject: Subject, asked: ScrubbedDataset, setting: Setting) -> list[Outcome]:
        reason = why_not(subject)
        if reason is not None:
            return _missing(subject, reason)
        inside = confidence(subject.answers[MEMBERS], asked, setting.labels)
        outside = confidence(subject.answers[HELD_OUT], setting.test, setting.labels)
        if len(inside[0]) == 0 or len(outside[0]) == 0:
            return _missing(subject, f"{len(inside[0])} training and {len(outside[0])} held-out rows with scores")
        sides = ((asked, inside[1]), (setting.test, outside[1]))
        clusters = np.concatenate([dataset.clusters[rows] for dataset, rows in sides])
        member = np.arange(len(clusters)) < len(inside[0])
        attacked = Attacked(np.concatenate([inside[0], outside[0]]), clusters.astype(np.int64), member)
        found = self._measure(subject, setting, attacked)
        for column in sorted(setting.test.groups):
            values = [dataset.groups[column][row] for dataset, rows in sides for row in rows]
            named = np.array([MISSING if value is None else value for value in values], dtype=object)
            found += self._by_group(subject, setting, attacked, column, named)
        return found

    def _by_group(
        self, subject: Subject, setting: Setting, attacked: Attacked, column: str, values: NDArray[np.object_]
    ) -> list[Outcome]:
        """The attack's AUC among the people of each group, and how far apart the groups are."""
        found: list[Outcome] = []
        resampled: list[tuple[float, NDArray[np.float64], int, int]] = []
        groups = sorted(set(values.tolist()))
        for group in groups:
            here = attacked.take(values == group)
            where = Slice.of({column: group})
            few = min(int(here.member.sum()), int((~here.member).sum()))
            if few < self.min_rows:
                reason = f"{few} rows on one side, {self.min_rows} needed"
                found.append(NotMeasured(metric=AUC, reason=reason, model=subject.name, slice=where))
                continue
            boot, ranking = ClusterBootstrap(here.clusters, draws=self.draws, seed=setting.seed), here.ranking()
            one = float(ranking.auc()[0]), boot.rows(ranking.auc), here.fewest, len(here.scores)
            resampled.append(one)
            found.append(self._measured(AUC, one, setting.level, subject, where, {"members": int(here.member.sum())}))
        everyone = Slice.of({column: ANY})
        if len(resampled) < 2:
            held = f"{len(resampled)} of {len(groups)} groups large enough, 2 needed"
            return [*found, NotMeasured(metric=f"{AUC}.difference", reason=held, model=subject.name, slice=everyone)]
        each = sidak(setting.level, len(resampled))
        ends = spread_interval(
            [percentile_interval(draws, value, level=each, clusters=few) for value, draws, few, _ in resampled]
        )
        gap = max(one[0] for one in resampled) - min(one[0] for one in resampled)
        found.append(
            Measurement(
                metric=f"{AUC}.difference", value=gap, low=ends.low, high=ends.high, level=setting.level,
                n=sum(one[3] for one in resampled), unit=Unit.DIFFERENCE, model=subject.name, slice=everyone,
                method=f"loss-threshold attack; Šidák-simultaneous cluster bootstrap, {self.draws} draws",
                counts={"groups": len(resampled), "groups_too_small": len(groups) - len(resampled)},
            )
        )  # fmt: skip
        return found

    def _measured(
        self,
        metric: str,
        one: tuple[float, NDArray[np.float64], int, int],
        level: float,
        subject: Subject,
        where: Slice,
        counts: Mapping[str, float],
    ) -> Outcome:
        value, draws, few, rows = one
        bounds = percentile_interval(draws, value, level=level, clusters=few)
        return Measurement(
            metric=metric, value=value, low=bounds.low, high=bounds.high, level=level, n=rows, unit=_UNITS[metric],
            method=f"loss-threshold attack; cluster bootstrap, {self.draws} draws", model=subject.name, slice=where,
            counts=counts,
        )  # fmt: skip

    def _measure(self, subject: Subject, setting: Setting, attacked: Attacked) -> list[Outcome]:
        boot = ClusterBootstrap(attacked.clusters, draws=self.draws, seed=setting.seed)
        ranking, others = attacked.ranking(), int((~attacked.member).sum())
        counts = {"members": int(attacked.member.sum()), "held_out": others, "clusters": boot.count}
        few, rows = attacked.fewest, len(attacked.scores)
        _, tpr = _UNITS

        def measured(metric: str, value: float, draws: NDArray[np.float64]) -> Outcome:
            return self._measured(metric, (value, draws, few, rows), setting.level, subject, EVERYONE, counts)

        outcomes = [measured(AUC, float(ranking.auc()[0]), boot.rows(ranking.auc))]
        if others * FPR < 1:
            reason = f"{others} held-out rows, {round(1 / FPR)} needed to see a false-positive rate of 1%"
            return [*outcomes, NotMeasured(metric=tpr, reason=reason, model=subject.name)]
        draws = boot.rows(lambda weights: ranking.tpr_at_fpr(FPR, weights))
        return [*outcomes, measured(tpr, float(ranking.tpr_at_fpr(FPR)[0]), draws)]


def _missing(subject: Subject, reason: str) -> list[Outcome]:
    return [NotMeasured(metric=metric, reason=reason, model=subject.name) for metric in _UNITS]
