"""Do people of some groups pay more for the same at the same time? Prices within product and period, envy, burden.

A shop whose customers buy different things, or at different times, has price gaps that say nothing of its prices; so
every comparison here is between rows of one product and one period.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.bygroup import ALIKE, T, mean_outcomes, rate_outcomes
from evaluators.cuts import NO_GROUPS, Cut, coded, distinct, left_out, no_gaps
from evaluators.table import Rows
from governance.groups.gaps import WILSON
from governance.measure import Outcome, Unit
from governance.statistics.intervals import Bounds, clustered_wilson
from governance.statistics.means import group_means
from governance.statistics.multiplicity import sidak
from governance.statistics.within import (
    WithinEffect,
    explained_within,
    in_shared_cells,
    least_mean_elsewhere,
    within_effect,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRICE, ENVY, AMOUNT = "fairness.price", "fairness.envy_share", "fairness.envy_amount"
BURDENS = {"reference_price": "fairness.reference_burden", "willingness": "fairness.willingness_burden"}
_OLS = "log price, fixed effects of product and period; t intervals robust to clusters, Šidák-simultaneous"
_EXACT = "exact: product, period and group determine every price"
_PAIRS = f"largest difference between two groups; {_OLS}"
_EXPLAINED = "share of the variance of log prices within product and period that groups account for"
_CELLS = "products and periods in which one group alone bought"
_ROWS = "rows of products and periods in which one group alone bought"
_APART = "no two groups share products and periods"
_NONE = "no row has a price above 0, a product and a period"
_NO_OTHER = "no row shares product and period with another group that is large enough"


@dataclass(frozen=True)
class PriceGaps:
    """Price differences, envy and burden by group, for each group column.

    - Price: how many percent a group pays more than everybody else for the same product in the same period (geometric
      means; least squares on log prices with a fixed effect per product and period), and the largest
      such difference between two groups.
    - Envy: the share of rows that would have paid less at another group's mean price for that product and period, and
      how much less, on average over all rows. Prices that vary at random make envy too: the gaps between
      groups tell, not the level.
    - Burden: the price as a share of a reference price, or of what the customer was willing to pay.

    Rows without a price above 0, a product and (where the table has periods) a period are left out and counted; so are
    products and periods in which one group alone bought, which can't tell.

    Attributes:
        min_rows: rows that a group needs; of those for prices, that share product and period with others.

    Source:
        Cohen, Elmachtoub and Lei (2022), Price discrimination with fairness constraints, Management Science 68 (price
        fairness); Kallus and Zhou (2021), Fairness, welfare, and equity in personalized pricing, FAccT (price burden,
        envy); Foley (1967), Resource allocation and the public sector, Yale Economic Essays 7 (envy-freeness).
    """

    min_rows: int = 30

    task: ClassVar[str] = "prices"
    numbers: ClassVar[Mapping[str, bool]] = {"price": True, "reference_price": False, "willingness": False}
    names: ClassVar[Mapping[str, bool]] = {"product": True, "time": False}

    def __post_init__(self) -> None:
        if self.min_rows < 2:
            raise ValueError(f"min_rows: expected at least 2, got {self.min_rows}")

    def measure(self, rows: Rows) -> Sequence[Outcome]:
        """Every figure, measured or not."""
        price, columns = rows.columns["price"], sorted(rows.groups)
        cell, _ = coded(rows.columns["product"])
        if "time" in rows.columns:
            time, periods = coded(rows.columns["time"])
            cell = np.where((cell >= 0) & (time >= 0), cell * max(1, len(periods)) + time, -1)
        sold = np.isfinite(price) & (price > 0)
        kept = sold & (cell >= 0)
        found = left_out(rows, kept, self.task)
        if not columns or not kept.any():
            found += no_gaps(rows, (PRICE, ENVY, AMOUNT), self.task, _NONE if columns else NO_GROUPS, columns)
        else:
            _, cells = np.unique(cell[kept], return_inverse=True)
            for column in columns:
                cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
                found += self._prices(cut, np.log(price[kept]), cells)
                found += self._envy(rows, column, np.flatnonzero(kept), cells)
        for role, metric in BURDENS.items():
            found += self._burden(rows, metric, role, sold)
        return found

    def _prices(self, cut: Cut, logs: NDArray[np.float64], cells: NDArray[np.int64]) -> list[Outcome]:
        effects, found = dict[int, WithinEffect](), _about_cells(cut, logs, cells)
        for group in range(len(cut.names)):
            effect = self._effect(cut, logs, cells, cut.codes == group)
            if isinstance(effect, str):
                found.append(cut.missing(f"{PRICE}.difference_to_rest", cut.slice(group), effect))
            else:
                effects[group] = effect
        for group, effect in effects.items():
            ends = effect.bounds(sidak(cut.level, len(effects)))
            found.append(self._told(cut, group, effect, ends))
        return [*found, self._largest(cut, logs, cells)]

    def _effect(
        self, cut: Cut, logs: NDArray[np.float64], cells: NDArray[np.int64], side: NDArray[np.bool_]
    ) -> WithinEffect | str:
        """One side against the other within product and period, or why that can't be told."""
        shared = in_shared_cells(side, cells)
        total, own, rest = int(side.sum()), int((shared & side).sum()), int((shared & ~side).sum())
        if total < self.min_rows:
            return f"{total} rows, {self.min_rows} needed"
        if min(own, rest) < self.min_rows:
            return f"{min(own, rest)} rows that share product and period with other groups, {self.min_rows} needed"
        if min(distinct(cut.clusters[shared & half]) for half in (side, ~side)) < 2:
            return "1 cluster, 2 needed"
        try:
            effect = within_effect(logs, side, cells, cut.clusters)
        except ValueError:
            return "as many products and periods as rows can tell"
        return ALIKE if effect.standard_error == 0 and not effect.exact else effect

    def _told(self, cut: Cut, group: int, effect: WithinEffect, ends: Bounds) -> Outcome:
        metric, where = f"{PRICE}.difference_to_rest", cut.slice(group)
        if effect.exact:
            return cut.fact(metric, where, _percent(effect.value), Unit.RELATIVE, _EXACT)
        counts = {
            "rows": effect.own,
            "other_rows": effect.n - effect.own,
            "cells": effect.cells,
            "clusters": effect.clusters,
        }
        bounds = Bounds(_percent(ends.low), _percent(ends.high))
        return cut.measured(
            metric, where, _percent(effect.value), bounds, n=effect.n, unit=Unit.RELATIVE, method=_OLS, counts=counts
        )

    def _largest(self, cut: Cut, logs: NDArray[np.float64], cells: NDArray[np.int64]) -> Outcome:
        """The largest difference between two groups, from intervals that hold for all pairs at once."""
        metric, large = f"{PRICE}.difference", cut.large()
        if len(large) < 2:
            return cut.missing(metric, cut.everywhere, cut.too_few(large))
        effects, pairs = list[WithinEffect](), list(combinations(large, 2))
        for one, other in pairs:
            both = np.isin(cut.codes, (one, other))
            part = replace(cut, codes=cut.codes[both], clusters=cut.clusters[both])
            effect = self._effect(part, logs[both], cells[both], part.codes == one)
            if isinstance(effect, WithinEffect):
                effects.append(effect)
        if not effects:
            return cut.missing(metric, cut.everywhere, _APART)
        value = max(abs(effect.value) for effect in effects)
        if all(effect.exact for effect in effects):
            return cut.fact(metric, cut.everywhere, _percent(value), Unit.RELATIVE, _EXACT)
        level = sidak(cut.level, len(effects))
        ends = [effect.bounds(level) for effect in effects]
        low = max(max(0.0, end.low, -end.high) for end in ends)
        high = max(max(abs(end.low), abs(end.high)) for end in ends)
        counts = {
            "groups": len(large),
            "groups_too_small": len(cut.names) - len(large),
            "pairs": len(effects),
            "pairs_apart": len(pairs) - len(effects),
        }
        n = int(np.isin(cut.codes, large).sum())
        bounds = Bounds(_percent(low), _percent(high))
        return cut.measured(
            metric, cut.everywhere, _percent(value), bounds, n=n, unit=Unit.RELATIVE, method=_PAIRS, counts=counts
        )

    def _envy(self, rows: Rows, column: str, chosen: NDArray[np.int64], cells: NDArray[np.int64]) -> list[Outcome]:
        kept = np.zeros(len(rows), dtype=bool)
        kept[chosen] = True
        cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
        large = np.isin(cut.codes, cut.large())
        price = rows.columns["price"][chosen[large]]
        scale = float(price.max(initial=0.0)) or 1.0  # so that no sum overflows
        other = scale * least_mean_elsewhere(price / scale, cut.codes[large], cells[large])
        compared = np.isfinite(other)
        if not compared.any():
            why = cut.too_few(cut.large()) if len(cut.large()) < 2 else _NO_OTHER
            return no_gaps(rows, (ENVY, AMOUNT), self.task, why, [column])
        kept[:] = False
        kept[chosen[large][compared]] = True
        price, other = price[compared], other[compared]
        amount = np.where(price - other > 1e-9 * price, price - other, 0.0)
        cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
        found, reach = rate_outcomes(cut, ENVY, amount > 0), (0.0, float(price.max()))
        found += mean_outcomes(cut, AMOUNT, amount, unit=Unit.UNITS, reach=reach)
        envy = clustered_wilson(np.bincount(cut.clusters, amount > 0), np.bincount(cut.clusters), cut.level)
        counts = {"successes": round(envy.value * envy.n), "rows": envy.n, "clusters": envy.clusters}
        found.append(
            cut.measured(
                ENVY, cut.everywhere, envy.value, envy.bounds, n=envy.n, unit=Unit.RATE, method=WILSON, counts=counts
            )
        )
        if envy.clusters < 2:
            return [*found, cut.missing(AMOUNT, cut.everywhere, "1 cluster, 2 needed")]
        mean = group_means(amount, np.zeros(len(amount), dtype=int), cut.clusters, level=cut.level, reach=reach)[0]
        counts = {"rows": mean.n, "clusters": mean.clusters}
        found.append(
            cut.measured(
                AMOUNT, cut.everywhere, mean.value, mean.bounds, n=mean.n, unit=Unit.UNITS, method=T, counts=counts
            )
        )
        return found

    def _burden(self, rows: Rows, metric: str, role: str, sold: NDArray[np.bool_]) -> list[Outcome]:
        columns, reference = sorted(rows.groups), rows.columns.get(role)
        if reference is None:
            return no_gaps(rows, (metric,), self.task, f"the table has no column {role}", columns)
        usable = sold & np.isfinite(reference) & (reference > 0)
        with np.errstate(over="ignore"):
            burden = np.divide(rows.columns["price"], reference, out=np.full(len(rows), np.nan), where=usable)
        kept = np.isfinite(burden)
        found = left_out(rows, kept, self.task, f"{metric}.rows_left_out")
        if not columns or not kept.any():
            none = f"no row has a price and a {role} above 0" if columns else NO_GROUPS
            return [*found, *no_gaps(rows, (metric,), self.task, none, columns)]
        for column in columns:
            cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
            found += mean_outcomes(
                cut, metric, burden[kept], unit=Unit.RATIO, difference=Unit.DIFFERENCE, reach=(0.0, None)
            )
        return found


def _about_cells(cut: Cut, logs: NDArray[np.float64], cells: NDArray[np.int64]) -> list[Outcome]:
    """How much of the table can tell anything, and how much of the prices the groups account for."""
    count = int(cells.max()) + 1
    pairs = np.unique(cells * len(cut.names) + cut.codes)
    alone = np.bincount(pairs // len(cut.names), minlength=count) == 1
    found: list[Outcome] = [
        cut.fact("fairness.price_cells_of_one_group", cut.everywhere, int(alone.sum()), Unit.COUNT, _CELLS),
        cut.fact("fairness.price_rows_of_one_group", cut.everywhere, int(alone[cells].sum()), Unit.COUNT, _ROWS),
    ]
    shared, metric = ~alone[cells], "fairness.price_explained"
    if not shared.any():
        return [*found, cut.missing(metric, cut.everywhere, _APART)]
    explained = explained_within(logs[shared], cut.codes[shared], cells[shared])
    if explained is None:
        return [*found, cut.missing(metric, cut.everywhere, "prices don't differ within product and period")]
    return [*found, cut.fact(metric, cut.everywhere, explained, Unit.RATE, _EXPLAINED)]


def _percent(logs: float) -> float:
    """How much more that is, 0.05 for 5%; infinite where it leaves the range of numbers."""
    return math.expm1(logs) if logs < 700 else math.inf
