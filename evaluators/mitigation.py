"""What it cost to make a model fairer: the fairer one against the one that it was made from, on the same held-out rows.

A gap can be closed by serving some people worse and nobody better, and closing one gap may open another. So every
change is measured side by side: accuracy, demographic parity, equalised odds, by every group column (not only the one
that was mended), and each group's own rates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import Probe, Setting, Subject
from evaluators.gapchanges import GAPS, GapSettings, gap_change, resampled
from evaluators.pairs import RATES, Cut, Pair
from governance.compare import paired_differences
from governance.groups.gaps import WILSON, WILSON_GAP
from governance.measure import ANY, EVERYONE, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.intervals import Bounds, Rate, clustered_wilson, spread_interval
from governance.statistics.multiplicity import sidak

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"
OVERALL = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class MitigationPrice(GapSettings):
    """Levels and paired changes of every mitigated model and of those that they stand on.

    Changes are `mitigated - base`. Intervals over groups hold for all of them at once, so that among many groups none
    looks harmed by chance alone; the change of a gap has bounds of its own (`statistics.gapchange`).
    """

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the held-out rows are all it needs."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Levels of all models concerned, then changes; nothing where no subject is mitigated."""
        by_name = {subject.name: subject for subject in subjects}
        mitigated = [subject for subject in subjects if subject.of is not None]
        stood_on = {subject.of for subject in mitigated}
        outcomes: list[Outcome] = []
        for subject in subjects:
            if subject.of is not None or subject.name in stood_on:
                outcomes += _Sheet(self, Pair(subject, subject, setting), None).levels()
        for subject in mitigated:
            base = by_name.get(str(subject.of))
            outcomes += _Sheet(self, Pair(subject, base or subject, setting), subject.of).changes()
        return outcomes


@dataclass(frozen=True)
class _Sheet:
    """One model's figures, alone (no reference) or against its base."""

    settings: MitigationPrice
    pair: Pair
    reference: str | None

    def levels(self) -> list[Outcome]:
        """Accuracy, and both gaps by every column, of one model alone."""
        reason = self._nothing("no held-out row was answered")
        if reason is not None:
            return self._none_of(("accuracy",), GAPS, reason)
        rate = self._rate(self.pair.hits("accuracy")[0], self.pair.among("accuracy"), self.pair.setting.level)
        found: list[Outcome] = [
            self._measured("accuracy", EVERYONE, rate.value, rate.bounds, rate.n, Unit.RATE, WILSON, {})
        ]
        return found + [self._gap(gap, column, self._cut(column)) for column in self._columns() for gap in GAPS]

    def _gap(self, gap: str, column: str, cut: Cut) -> Outcome:
        """The largest difference between two groups; of equalised odds, in either rate."""
        where, reason = Slice.of({column: ANY}), cut.too_few(GAPS[gap])
        if reason is not None:
            return self._missing(gap, where, reason)
        level = sidak(self.pair.setting.level, sum(len(cut.large(rate)) for rate in GAPS[gap]))
        spreads, values, n = list[Bounds](), list[float](), 0
        for rate in GAPS[gap]:
            hits, among = self.pair.hits(rate)[0], self.pair.among(rate)
            rates = [self._rate(hits, among & (cut.codes == group), level) for group in cut.large(rate)]
            spreads.append(spread_interval([one.bounds for one in rates]))
            values.append(max(one.value for one in rates) - min(one.value for one in rates))
            n += sum(one.n for one in rates)
        ends = Bounds(max(spread.low for spread in spreads), max(spread.high for spread in spreads))
        return self._measured(gap, where, max(values), ends, n, Unit.DIFFERENCE, WILSON_GAP, cut.counts(GAPS[gap]))

    def _rate(self, hits: NDArray[np.bool_], among: NDArray[np.bool_], level: float) -> Rate:
        _, codes = np.unique(self.pair.clusters[among], return_inverse=True)
        return clustered_wilson(np.bincount(codes, hits[among]), np.bincount(codes), level)

    def changes(self) -> list[Outcome]:
        """Every change against the base, measured or not."""
        reason = self._nothing("no held-out row was answered by both models")
        if self.pair.other.name != self.reference:
            reason = f"'{self.reference}' is not among the models that were run"
        if reason is not None:
            return self._none_of(
                [f"{name}.difference" for name in OVERALL], [f"{gap}.difference" for gap in GAPS], reason
            )
        setting = self.pair.setting
        paired = paired_differences(
            *self.pair.sides,
            setting.labels.codes(setting.test.labels),
            setting.test.clusters,
            setting.labels,
            level=setting.level,
            seed=setting.seed,
            draws=self.settings.draws,
            task=TASK,
        )
        wanted = {f"quality.{name}.difference": f"mitigation.{name}.difference" for name in OVERALL}
        found = [replace(one, metric=wanted[one.metric]) for one in paired if one.metric in wanted]
        for column in self._columns():
            cut = self._cut(column)
            found += [self._gap_change(gap, column, cut) for gap in GAPS]
            if column == self.pair.subject.mitigates:
                found += [one for rate in RATES for one in self._by_group(rate, column, cut)]
        return found

    def _gap_change(self, gap: str, column: str, cut: Cut) -> Outcome:
        name, where = f"{gap}.difference", Slice.of({column: ANY})
        found = gap_change(self.pair, gap, cut, draws=self.settings.draws)
        if isinstance(found, str):
            return self._missing(name, where, found)
        ends, counts = found.ends, found.counts
        return self._measured(name, where, found.value, ends, found.n, Unit.DIFFERENCE, found.method, counts)

    def _by_group(self, rate: str, column: str, cut: Cut) -> list[Outcome]:
        """The change of one rate in every group, or why there is none."""
        name, large = f"{rate}.difference", cut.large(rate)
        outcomes: list[Outcome] = [
            self._missing(name, Slice.of({column: cut.names[group]}), reason)
            for group, reason in cut.reasons(rate).items()
        ]
        if not large:
            return outcomes
        cells = np.full(len(self.pair.rows), -1)
        for place, group in enumerate(large):
            cells[self.pair.among(rate) & (cut.codes == group)] = place
        found = resampled(self.pair, rate, cells, len(large), draws=self.settings.draws)
        method = f"simultaneous over groups; paired cluster bootstrap, {self.settings.draws} draws"
        for place, ends in enumerate(found.changes(self.pair.setting.level)):
            after, before = float(found.after[place]), float(found.before[place])
            where, counts = Slice.of({column: cut.names[large[place]]}), {"before": before, "after": after}
            n = int(found.rows[place])
            outcomes.append(self._measured(name, where, after - before, ends, n, Unit.DIFFERENCE, method, counts))
        return outcomes

    def _columns(self) -> list[str]:
        return sorted(self.pair.setting.test.groups)

    def _cut(self, column: str) -> Cut:
        return self.pair.cut(column, min_rows=self.settings.min_rows, min_class_rows=self.settings.min_class_rows)

    def _nothing(self, unanswered: str) -> str | None:
        """Why nothing can be measured, if so."""
        labels = self.pair.setting.labels
        if not labels.binary:
            return f"the task has {len(labels.classes)} classes and none is declared positive"
        return unanswered if len(self.pair.rows) == 0 else None

    def _none_of(
        self, overall: Sequence[str], gaps: Sequence[str] | Mapping[str, object], reason: str
    ) -> list[Outcome]:
        found: list[Outcome] = [self._missing(name, EVERYONE, reason) for name in overall]
        return found + [
            self._missing(name, Slice.of({column: ANY}), reason) for column in self._columns() for name in gaps
        ]

    def _measured(
        self,
        name: str,
        where: Slice,
        value: float,
        ends: Bounds,
        n: int,
        unit: Unit,
        method: str,
        counts: Mapping[str, float],
    ) -> Measurement:
        return Measurement(
            metric=f"mitigation.{name}",
            value=value,
            low=min(ends.low, value),
            high=max(ends.high, value),
            level=self.pair.setting.level,
            n=n,
            unit=unit,
            method=method,
            model=self.pair.subject.name,
            reference=self.reference,
            task=TASK,
            slice=where,
            counts=counts,
        )

    def _missing(self, name: str, where: Slice, reason: str) -> NotMeasured:
        return NotMeasured(
            metric=f"mitigation.{name}",
            reason=reason,
            model=self.pair.subject.name,
            reference=self.reference,
            task=TASK,
            slice=where,
        )
