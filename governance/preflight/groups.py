"""Rows for figures of groups: the rate of each, and the gap between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from governance.groups.gaps import combined
from governance.groups.metrics import AMONG, EQUALIZED_ODDS
from governance.measure import ANY, Slice
from governance.preflight.held import Group, HeldOut, groups_of
from governance.preflight.plan import Aim, Plan
from governance.statistics.planning import Cells, gap_times, rows_past


@dataclass(frozen=True)
class Fairness:
    """The groups of held-out rows as the evaluator `fairness` will count them.

    Attributes:
        held: the rows.
        aim: what is asked of a rate or gap.
        wants: whether the control speaks of a slice.
        settings: the evaluator's.
    """

    held: HeldOut
    aim: Aim
    wants: Callable[[Slice], bool]
    settings: Mapping[str, object]

    def plans(self, name: str, made: str) -> Iterator[Plan]:
        """One plan per slice that the control speaks of; none for figures that nobody can plan.

        Args:
            name: "accuracy", "equalized_odds".
            made: "difference" or "ratio" of the groups; "" for each group's own rate.
        """
        rates, wanted = self._rates(), EQUALIZED_ODDS if name == "equalized_odds" else (name,)
        if not all(one in rates for one in wanted):
            return
        if made and (made == "ratio") is not self.aim.upper:
            for columns in combined(sorted(self.held.groups), self._setting("depth", 2)):
                where = Slice.of(dict.fromkeys(columns, ANY))
                if self.wants(where):
                    yield self._gap(columns, {one: rates[one] for one in wanted}, where, ratio=made == "ratio")
        elif not made:
            yield from self._each(name)

    def _rates(self) -> Mapping[str, float]:
        """Rates that can be planned -> what is assumed of each in every group."""
        rate, share = self.aim.assumed.rate, self.held.share
        if share is None:
            return {"accuracy": rate}
        others = {"true_positive_rate": rate, "false_positive_rate": 1 - rate, "precision": rate}
        return {"accuracy": rate, "selection_rate": share, **others}

    def _setting(self, name: str, default: int) -> int:
        return int(str(self.settings.get(name, default)))

    def _large(self, columns: Sequence[str], rate: str) -> tuple[list[Group], int]:
        """Groups that are large enough for a rate, and how many there are in all."""
        groups = groups_of(self.held, columns, missing=self.settings.get("missing", "group") == "group")
        large = [group for group in groups if group.rows >= self._setting("min_rows", 30)]
        if rate in AMONG:
            large = [group for group in large if group.among(rate) >= self._setting("min_class_rows", 10)]
        return large, len(groups)

    def _size(self, group: Group, rate: str) -> float | None:
        return group.effective(rate, self.aim.assumed.correlation, self.aim.level)

    def _gap(self, columns: Sequence[str], rates: Mapping[str, float], where: Slice, *, ratio: bool) -> Plan:
        parts, total = list[Cells](), 0
        for name, rate in rates.items():
            large, total = self._large(columns, name)
            parts.append(Cells(tuple(size for group in large if (size := self._size(group, name))), rate))
        groups = min(len(part.sizes) for part in parts)
        if groups < 2:
            return Plan(rows=None, says=f"{groups} of {total} groups large enough, 2 needed", where=where)
        at = " and ".join(f"{rate:.3g}" for rate in rates.values())
        says = f"if {groups} of {total} groups are alike, at {at}"
        times = gap_times(parts, self.aim.bound, ratio=ratio, level=self.aim.level, power=self.aim.assumed.power)
        if times is None:
            return Plan(rows=None, says=f"no number of rows does, even {says}", where=where, never=True)
        return Plan(rows=math.ceil(times * len(self.held)), says=says, where=where)

    def _each(self, name: str) -> Iterator[Plan]:
        truth = self.aim.inside
        if truth is None:
            return
        for columns in combined(sorted(self.held.groups), self._setting("depth", 2)):
            for group in self._large(columns, name)[0]:
                where = Slice.of(dict(zip(columns, group.values, strict=True)))
                size = self._size(group, name)
                if self.wants(where) and size:
                    rows = rows_past(self.aim.bound, truth, level=self.aim.level, power=self.aim.assumed.power)
                    says = f"if it is truly {truth:.4g} on {group.among(name)} rows"
                    yield Plan(rows=math.ceil(rows / size * len(self.held)), says=says, where=where)
