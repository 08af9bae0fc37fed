"""What one thing costs: a model against the same model but for privacy, scrubbing, its size or its teacher.

Two models that differ in many things tell nothing of any one of them. Twins differ in one, which the config names, and
are asked the same rows: so whatever is gained or lost is the price of that. Quality, speed, money, gaps between groups
and what an attacker learns are each told with an interval, on the rows that both answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluators.attack import MEMBERS, Attacked, confidence, members, why_not
from evaluators.base import HELD_OUT, Predictions, Probe, Setting, Subject
from evaluators.costs import prices_of, row_costs
from evaluators.gapchanges import GAPS, GapSettings, gap_change
from evaluators.pairs import Pair
from governance.compare import METRICS, Side, paired_differences
from governance.comparison import holm_adjusted, judged
from governance.dataset import ScrubbedDataset
from governance.measure import ANY, EVERYONE, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.bootstrap import ClusterBootstrap, percentile_interval
from governance.statistics.intervals import clustered_wilson
from governance.statistics.scores import class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"
FAR = (float("-inf"), float("inf"))


@dataclass(frozen=True)
class TwinPrice(GapSettings):
    """How every model that has a twin differs from it: `model - twin`, or their ratio."""

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the held-out rows, and those that the membership attack asks about, are all it needs."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Every change, measured or not; nothing where no subject has a twin."""
        by_name = {subject.name: subject for subject in subjects}
        outcomes: list[Outcome] = []
        for subject in subjects:
            if subject.twin_of is not None:
                outcomes += _Sheet(self, subject, by_name.get(subject.twin_of), setting).outcomes()
        return holm_adjusted(outcomes)


@dataclass(frozen=True)
class _Sheet:
    """One model's figures against its twin."""

    settings: TwinPrice
    subject: Subject
    twin: Subject | None
    setting: Setting

    def outcomes(self) -> list[Outcome]:
        """All of them, in the order in which they are told."""
        named = [f"{metric}.difference" for metric in METRICS]
        plain = [*named, "agreement", "latency_p50.ratio", "cost.difference", "membership_auc.difference"]
        gaps = [f"{gap}.difference" for gap in GAPS]
        reason = self._nothing()
        if reason is not None:
            everywhere = [(name, EVERYONE) for name in plain]
            everywhere += [(name, Slice.of({column: ANY})) for column in self._columns() for name in gaps]
            return [self._missing(name, reason, where) for name, where in everywhere]
        return [*self._quality(), self._agreement(), self._latency(), self._cost(), self._attack(), *self._gaps()]

    def _nothing(self) -> str | None:
        """Why nothing can be measured, if so."""
        if self.twin is None:
            return f"'{self.subject.twin_of}' is not among the models that were run"
        return None if len(self._shared[0]) else "no held-out row was answered by both models"

    @property
    def _sides(self) -> tuple[Predictions, Predictions]:
        """Answers of the model and of its twin to the held-out rows."""
        assert self.twin is not None  # noqa: S101 - narrows the type; `_nothing` looked
        return self.subject.answers[HELD_OUT], self.twin.answers[HELD_OUT]

    @cached_property
    def _shared(self) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
        """Held-out rows that both answered, and where each model's answers have them."""
        mine, theirs = (np.flatnonzero(side.answered) for side in self._sides)
        one, other = self._sides
        rows, left, right = np.intersect1d(one.index[mine], other.index[theirs], True, return_indices=True)
        return rows, mine[left], theirs[right]

    def _quality(self) -> list[Outcome]:
        classes, setting = self.setting.labels.classes, self.setting
        names = self.subject.name, str(self.subject.twin_of)
        mine, theirs = [
            Side(name, side.index, class_codes(side.labels, classes), side.scores)
            for name, side in zip(names, self._sides, strict=True)
        ]
        found = paired_differences(
            mine,
            theirs,
            setting.labels.codes(setting.test.labels),
            setting.test.clusters,
            setting.labels,
            level=setting.level,
            seed=setting.seed,
            draws=self.settings.draws,
            task=TASK,
        )
        return [replace(one, metric=one.metric.replace("quality.", "twin.", 1)) for one in found]

    def _agreement(self) -> Outcome:
        """How often both say the same, be it right or wrong."""
        rows, left, right = self._shared
        mine, theirs = self._sides
        same = np.array([mine.labels[i] == theirs.labels[j] for i, j in zip(left, right, strict=True)], dtype=bool)
        _, codes = np.unique(self.setting.test.clusters[rows], return_inverse=True)
        rate = clustered_wilson(np.bincount(codes, same), np.bincount(codes), self.setting.level)
        return self._measured(
            "agreement",
            rate.value,
            (rate.low, rate.high),
            n=rate.n,
            unit=Unit.RATE,
            method="share of rows with one label; Wilson on the effective sample size (Rao-Scott)",
            counts={"successes": int(same.sum()), "clusters": rate.clusters},
        )

    def _latency(self) -> Outcome:
        """The ratio of median times, failed rows left out: of those, each model may have others."""
        rows, left, right = self._shared
        mine, theirs = (side.seconds[at] for side, at in zip(self._sides, (left, right), strict=True))
        timed = (mine > 0) & (theirs > 0)
        if not timed.any():
            return self._missing("latency_p50.ratio", "no row carries times of both models")
        boot = ClusterBootstrap(
            self.setting.test.clusters[rows[timed]], draws=self.settings.draws, seed=self.setting.seed
        )
        halves = [_Median(seconds[timed]) for seconds in (mine, theirs)]
        draws, value = boot.rows(halves[0]) / boot.rows(halves[1]), halves[0].plain / halves[1].plain
        ends = percentile_interval(
            draws, value, level=self.setting.level, clusters=boot.count, reach=(0.0, float("inf"))
        )
        return self._measured(
            "latency_p50.ratio",
            value,
            ends,
            n=int(timed.sum()),
            unit=Unit.RATIO,
            method=f"ratio of medians, rows that both answered; paired cluster bootstrap, {self.settings.draws} draws",
            counts={"after": halves[0].plain, "before": halves[1].plain, "clusters": boot.count},
        )

    def _cost(self) -> Outcome:
        """Money per 1,000 rows, of all rows that both were asked."""
        assert self.twin is not None  # noqa: S101 - narrows the type
        (mine, theirs), metric = self._sides, "cost.difference"
        costs = tuple(
            row_costs(prices_of(subject), seconds=side.seconds, tokens_in=side.tokens_in, tokens_out=side.tokens_out)
            for subject, side in ((self.subject, mine), (self.twin, theirs))
        )
        for subject, cost in zip((self.subject, self.twin), costs, strict=True):
            if isinstance(cost, str):
                return self._missing(metric, f"{subject.name}: {cost}")
        if self.subject.currency != self.twin.currency:
            return self._missing(metric, f"prices in {self.subject.currency} and {self.twin.currency}")
        each, known = (tuple(getattr(cost, name) for cost in costs) for name in ("each", "known"))
        at = [np.flatnonzero(one) for one in known]
        rows, left, right = np.intersect1d(mine.index[at[0]], theirs.index[at[1]], True, return_indices=True)
        if len(rows) == 0:
            return self._missing(metric, "no held-out row's cost is known of both models")
        change = 1000 * (each[0][at[0]][left] - each[1][at[1]][right])
        boot = ClusterBootstrap(self.setting.test.clusters[rows], draws=self.settings.draws, seed=self.setting.seed)
        total, n = boot.sums(boot.table(np.stack([change, np.ones_like(change)], axis=1))).T
        value = float(change.mean())
        # A constant difference per row has no spread to resample, and needs none: it is known.
        ends: Sequence[float] = (value, value)
        if np.ptp(change) > 1e-12 * np.abs(change).max():
            ends = percentile_interval(total / n, value, level=self.setting.level, clusters=boot.count, reach=FAR)
        method = (
            f"mean per 1,000 rows, in {self.subject.currency}; paired cluster bootstrap, {self.settings.draws} draws"
        )
        return self._measured(metric, value, ends, n=len(rows), unit=Unit.MONEY, method=method)

    def _attack(self) -> Outcome:
        """The membership attack on both, about the same people."""
        assert self.twin is not None  # noqa: S101 - narrows the type
        metric, both = "membership_auc.difference", (self.subject, self.twin)
        for subject in both:
            if reason := why_not(subject):
                return self._missing(metric, f"{subject.name}: {reason}")
        sizes = {len(subject.answers[MEMBERS]) for subject in both}
        if len(sizes) != 1:
            return self._missing(metric, "the two were asked about different training rows")
        asked = members(self.setting, sizes.pop())
        inside = [_scored(subject.answers[MEMBERS], asked, self.setting) for subject in both]
        outside = [_scored(subject.answers[HELD_OUT], self.setting.test, self.setting) for subject in both]
        ins, outs = (sorted(side[0].keys() & side[1].keys()) for side in (inside, outside))
        if not ins or not outs:
            return self._missing(metric, f"{len(ins)} training and {len(outs)} held-out rows with scores of both")
        clusters = np.concatenate([asked.clusters[ins], self.setting.test.clusters[outs]])
        member = np.arange(len(ins) + len(outs)) < len(ins)
        attacks = [
            Attacked(np.array([i[row] for row in ins] + [o[row] for row in outs]), clusters, member)
            for i, o in zip(inside, outside, strict=True)
        ]
        boot = ClusterBootstrap(clusters, draws=self.settings.draws, seed=self.setting.seed)
        rankings, few = [attack.ranking() for attack in attacks], attacks[0].fewest
        values = [float(ranking.auc()[0]) for ranking in rankings]
        draws, value = boot.rows(rankings[0].auc) - boot.rows(rankings[1].auc), values[0] - values[1]
        ends = percentile_interval(draws, value, level=self.setting.level, clusters=few, reach=(-1.0, 1.0))
        about = judged(draws, value, clusters=few, level=self.setting.level)
        return self._measured(
            metric,
            value,
            ends,
            n=len(member),
            unit=Unit.DIFFERENCE,
            method=f"loss-threshold attack on both; paired cluster bootstrap, {self.settings.draws} draws",
            counts={"after": values[0], "before": values[1], "members": len(ins), "held_out": len(outs), **about},
        )

    def _gaps(self) -> list[Outcome]:
        """How far the largest gap between groups is another one, by every column."""
        assert self.twin is not None  # noqa: S101 - narrows the type
        pair, labels, found = Pair(self.subject, self.twin, self.setting), self.setting.labels, list[Outcome]()
        sizes = {"min_rows": self.settings.min_rows, "min_class_rows": self.settings.min_class_rows}
        why = f"the task has {len(labels.classes)} classes and none is declared positive"
        for column, gap in itertools.product(self._columns(), GAPS):
            name, where = f"{gap}.difference", Slice.of({column: ANY})
            cut = pair.cut(column, **sizes) if labels.binary else None
            change = why if cut is None else gap_change(pair, gap, cut, draws=self.settings.draws)
            if isinstance(change, str):
                found.append(self._missing(name, change, where))
                continue
            n, method, counts = change.n, change.method, change.counts
            found.append(
                self._measured(
                    name,
                    change.value,
                    change.ends,
                    n=n,
                    unit=Unit.DIFFERENCE,
                    method=method,
                    counts=counts,
                    where=where,
                )
            )
        return found

    def _columns(self) -> list[str]:
        return sorted(self.setting.test.groups)

    def _measured(
        self,
        name: str,
        value: float,
        ends: Sequence[float],
        *,
        n: int,
        unit: Unit,
        method: str,
        counts: Mapping[str, float] | None = None,
        where: Slice = EVERYONE,
    ) -> Measurement:
        low, high = ends
        return Measurement(
            metric=f"twin.{name}",
            value=value,
            low=min(low, value) if np.isfinite(low) else None,
            high=max(high, value) if np.isfinite(high) else None,
            level=self.setting.level,
            n=n,
            unit=unit,
            method=method,
            model=self.subject.name,
            reference=self.subject.twin_of,
            task=TASK,
            slice=where,
            counts=counts or {},
        )

    def _missing(self, name: str, reason: str, where: Slice = EVERYONE) -> NotMeasured:
        return NotMeasured(
            metric=f"twin.{name}",
            reason=reason,
            model=self.subject.name,
            reference=self.subject.twin_of,
            task=TASK,
            slice=where,
        )


class _Median:
    """The median of some seconds, in many resamples at once."""

    def __init__(self, seconds: NDArray[np.float64]) -> None:
        self._order = np.argsort(seconds, kind="stable")
        self._sorted = seconds[self._order]

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest value that half of the weight does not exceed: (b, n) -> (b,)."""
        below = np.cumsum(weights[:, self._order], axis=1)
        return np.asarray(self._sorted[(below >= below[:, -1:] / 2).argmax(axis=1)])

    @property
    def plain(self) -> float:
        """Of the sample itself."""
        return float(self(np.ones((1, len(self._sorted))))[0])


def _scored(answers: Predictions, asked: ScrubbedDataset, setting: Setting) -> dict[int, float]:
    """Row of the set -> what the attacker ranks it by."""
    scores, rows = confidence(answers, asked, setting.labels)
    return dict(zip(rows.tolist(), scores.tolist(), strict=True))
