"""What it is to be served by a model, whatever its task: how often it answers, how fast, and at what price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.costs import Prices, row_costs
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from governance.statistics.bootstrap import DRAWS, ClusterBootstrap, percentile_interval
from governance.statistics.intervals import Bounds, Interval, clustered_wilson, open_ends, quantile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTILES = {"quality.latency_p50": 0.5, "quality.latency_p95": 0.95}
WILSON = "Wilson on the effective sample size (Rao-Scott)"


@dataclass(frozen=True)
class Sheet:
    """Where a model's figures are written down: what they all say of themselves.

    Attributes:
        model: whose.
        task: of the outcomes.
        clusters: of the rows that it was asked, shape (n,).
        level: of the intervals.
        seed: of the resampling.
        draws: of the resampling.
    """

    model: str
    task: str
    clusters: NDArray[np.int64]
    level: float
    seed: int
    draws: int = DRAWS

    def rate(self, metric: str, hits: NDArray[np.bool_], among: NDArray[np.bool_], method: str = WILSON) -> Outcome:
        """A share of rows.

        Args:
            metric: its full name.
            hits: rows that count, shape (n,).
            among: rows that could, shape (n,); at least one.
            method: how it was found.
        """
        _, codes = np.unique(self.clusters[among], return_inverse=True)
        rate = clustered_wilson(np.bincount(codes, hits[among]), np.bincount(codes), self.level)
        counts = {"successes": int(hits[among].sum()), "rows": rate.n, "clusters": rate.clusters}
        bounds = Interval(rate.low, rate.high)
        return self.measured(metric, rate.value, bounds, n=rate.n, unit=Unit.RATE, method=method, counts=counts)

    def measured(
        self,
        metric: str,
        value: float,
        bounds: Interval | Bounds,
        *,
        n: int,
        unit: Unit,
        method: str,
        counts: Mapping[str, float],
        reference: str | None = None,
    ) -> Measurement:
        """One number."""
        return Measurement(
            metric=metric,
            value=value,
            low=bounds.low,
            high=bounds.high,
            level=self.level,
            n=n,
            unit=unit,
            method=method,
            model=self.model,
            reference=reference,
            task=self.task,
            counts=counts,
        )

    def missing(self, metric: str, reason: str, *, reference: str | None = None) -> NotMeasured:
        """Why there is no number."""
        return NotMeasured(metric=metric, reason=reason, model=self.model, reference=reference, task=self.task)


def latency(sheet: Sheet, seconds: NDArray[np.float64], answered: NDArray[np.bool_]) -> list[Outcome]:
    """Over all rows asked: a row that failed slowly was waited for too; one without a time was never asked."""
    timed = seconds > 0
    if not timed.any():
        return [sheet.missing(metric, "its answers carry no times") for metric in QUANTILES]
    outcomes: list[Outcome] = []
    for metric, quantile in QUANTILES.items():
        value, bounds = quantile_interval(seconds[timed], quantile, sheet.level)
        method = "order statistics over all rows asked, failed ones included; rows taken as independent"
        counts = {"failed": int((~answered & timed).sum()), "seconds": float(seconds[timed].sum())}
        outcomes.append(
            sheet.measured(metric, value, bounds, n=int(timed.sum()), unit=Unit.SECONDS, method=method, counts=counts)
        )
    return outcomes


def cost(
    sheet: Sheet,
    prices: Prices,
    *,
    seconds: NDArray[np.float64],
    tokens_in: NDArray[np.int64] | None,
    tokens_out: NDArray[np.int64] | None,
) -> Outcome:
    """Money per 1,000 rows asked, by tokens where they are priced and counted, else by time."""
    costs = row_costs(prices, seconds=seconds, tokens_in=tokens_in, tokens_out=tokens_out)
    if isinstance(costs, str):
        return sheet.missing("quality.cost", costs)
    each, clusters = costs.each[costs.known], sheet.clusters[costs.known]
    boot = ClusterBootstrap(clusters, draws=sheet.draws, seed=sheet.seed)
    table = boot.table(np.stack([each * 1000, np.ones_like(each)], axis=1))
    money, rows = boot.sums(table).T
    value = float(each.mean() * 1000)
    # A constant price per row has no spread to resample, and needs none: it is known.
    bounds: Interval | Bounds = Interval(value, value)
    if np.ptp(each) > 1e-12 * abs(each.mean()):
        reach = (0.0, float("inf"))
        bounds = percentile_interval(money / rows, value, level=sheet.level, clusters=boot.count, reach=reach)
    method = f"mean per 1,000 rows by {costs.basis}, in {prices.currency}; cluster bootstrap, {sheet.draws} draws"
    ends = open_ends(bounds)
    return sheet.measured("quality.cost", value, ends, n=len(each), unit=Unit.MONEY, method=method, counts={})


def versions_reported(versions: Mapping[str, int] | None, *, model: str, task: str) -> list[Outcome]:
    """How many different versions answered within the run: 1 is steady, more is a mixture. None: nobody could report.

    Args:
        versions: name and version that its endpoint reported -> messages; None: it is behind no endpoint.
        model: whose.
        task: of the outcome.
    """
    metric = "quality.versions_reported"
    if versions is None:
        return []
    if not versions:
        return [NotMeasured(metric=metric, reason="its endpoint reported no version", model=model, task=task)]
    method = "different names and versions that the endpoint reported of its model within this run"
    return [Fact(metric=metric, value=len(versions), unit=Unit.COUNT, method=method, model=model, task=task)]
