"""Does a ranking treat those who offer and those who search fairly? Exposure by provider group, quality by user group.

A row is one candidate of one query (a search, a page of recommendations), with its rank. A row without a rank is a
candidate that was not shown: no exposure. What stands at rank r is exposed by 1 / log2(r + 1), as by Singh and
Joachims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.bygroup import mean_outcomes
from evaluators.cuts import Cut, coded, distinct, left_out
from evaluators.rankedlists import RankedLists, over
from evaluators.table import Rows
from governance.errors import ConfigError
from governance.measure import EVERYONE, Outcome, Unit
from governance.registry import nearest
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS, percentile_interval
from governance.statistics.intervals import Bounds, least_ratio_interval
from governance.statistics.means import resampled_sums
from governance.statistics.multiplicity import sidak

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE, LIFT = "fairness.exposure_share", "fairness.popularity_lift"
CANDIDATES, RELEVANCE = "fairness.exposure_to_candidates", "fairness.exposure_to_relevance"
NDCG, RECALL = "fairness.ndcg", "fairness.recall"
_BOOT = "bootstrap over queries"
_METHODS = {
    SHARE: f"share of all exposure, 1/log2(rank + 1) per row; {_BOOT}",
    CANDIDATES: f"exposure over what an even share of each query's exposure would be; {_BOOT}",
    RELEVANCE: f"exposure over what a share of each query's exposure by relevance would be; {_BOOT}",
    LIFT: f"mean popularity of the top k over that of all candidates, each query once; {_BOOT}",
}
_LEAST = f"smallest over largest; Šidák-simultaneous {_BOOT}"
_BROKEN = "queries with a rank that is no whole number from 1 on, or with a rank twice"
_UNJUDGED = "queries with a candidate of unknown relevance, or without anything relevant"
_NO_RANK = "no row has a rank"
_NO_RELEVANCE = "no query has a known relevance for all its candidates, one of them above 0"


@dataclass(frozen=True)
class RankingFairness:
    """Exposure of providers, quality for users, and how far popular items crowd out the others.

    A group's exposure is compared with what the same lists would have given it if each query's exposure were spread
    evenly over its candidates, or by relevance where the table has it (1.0: just that). Comparing within queries
    keeps long lists, where everybody has less, from passing for discrimination. NDCG (gain: the relevance
    itself, as in scikit-learn) and recall are means of queries; a query without anything relevant, or with a
    candidate of unknown relevance, has neither and is counted. Intervals resample queries, or, where the
    table has clusters, the users behind them.

    Attributes:
        provider: group column of the item's provider; None: exposure is not measured.
        user: group column of the user who asked; None: quality is not measured.
        k: how far down the list users look: for NDCG, recall, popularity and coverage.
        min_rows: candidate rows that a provider group needs, and queries that a user group needs.
        draws: resamples of the bootstrap.

    Source:
        Singh and Joachims (2018), Fairness of exposure in rankings, KDD (exposure by group size and by relevance);
        Järvelin and Kekäläinen (2002), ACM TOIS 20 (NDCG); Ekstrand et al. (2018), All the cool kids, FAT* (quality by
        user group); Abdollahpouri et al. (2019), The unfairness of popularity bias in recommendation, RMSE
        workshop; Herlocker et al. (2004), ACM TOIS 22 (coverage of the catalogue).
    """

    provider: str | None = None
    user: str | None = None
    k: int = 10
    min_rows: int = 30
    draws: int = DRAWS

    task: ClassVar[str] = "ranking"
    numbers: ClassVar[Mapping[str, bool]] = {"rank": True, "relevance": False, "popularity": False}
    names: ClassVar[Mapping[str, bool]] = {"query": True, "item": True}

    def __post_init__(self) -> None:
        if self.provider is None and self.user is None:
            raise ValueError("expected a group column as provider, as user, or both")
        for name, least in (("k", 1), ("min_rows", 2), ("draws", LEAST_DRAWS)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")

    def measure(self, rows: Rows) -> Sequence[Outcome]:
        """Every figure, measured or not.

        Raises:
            ConfigError: a group column that the table doesn't have.
        """
        for name in ("provider", "user"):
            column = getattr(self, name)
            if column is not None and column not in rows.groups:
                raise ConfigError(f"{name}: no group column '{column}'. {nearest(column, rows.groups)}")
        lists = RankedLists.of(rows)
        every = self._cut(lists.rows, None)
        hidden = int(np.isnan(lists.rank).sum())
        found = [
            *left_out(rows, lists.kept, self.task),
            every.fact("fairness.queries_left_out", EVERYONE, lists.broken, Unit.COUNT, _BROKEN),
            every.fact("fairness.candidates_not_shown", EVERYONE, hidden, Unit.COUNT, "candidates without a rank"),
        ]
        if self.provider is not None:
            found += self._exposure(lists, self.provider)
        if self.user is not None:
            found += self._quality(lists, self.user, every)
        return [*found, *self._popularity(lists, every), *self._catalogue(lists, every)]

    def _cut(self, rows: Rows, column: str | None, kept: NDArray[np.bool_] | None = None, things: str = "rows") -> Cut:
        whole = np.ones(len(rows), dtype=bool) if kept is None else kept
        columns = () if column is None else (column,)
        return Cut.of(rows, columns, whole, task=self.task, min_rows=self.min_rows, things=things)

    def _exposure(self, lists: RankedLists, provider: str) -> list[Outcome]:
        cut = self._cut(lists.rows, provider)
        if lists.exposure.sum() == 0:
            return [cut.missing(f"{metric}.ratio", cut.everywhere, _NO_RANK) for metric in (CANDIDATES, RELEVANCE)]
        total = lists.sums(lists.exposure)
        even = (total / np.bincount(lists.query))[lists.query]
        found = self._shares(cut, lists.exposure) + self._ratios(cut, CANDIDATES, lists.exposure, even)
        read = lists.relevance()
        if read is None or not (read[0] & (total > 0)).any():
            why = "the table has no column relevance" if read is None else _NO_RELEVANCE
            return [*found, cut.missing(f"{RELEVANCE}.ratio", cut.everywhere, why)]
        known, relevance = read
        rows = known[lists.query]
        due = (total / np.where(known, lists.sums(relevance), 1.0))[lists.query] * relevance
        cut = self._cut(lists.rows, provider, rows)
        return found + self._ratios(cut, RELEVANCE, lists.exposure[rows], due[rows])

    def _shares(self, cut: Cut, exposure: NDArray[np.float64]) -> list[Outcome]:
        large = cut.large()
        found: list[Outcome] = [cut.missing(SHARE, cut.slice(group), why) for group, why in cut.too_small().items()]
        drawn = _drawn(cut, large, exposure, exposure, self.draws)[:, : len(large) + 1]
        for number, group in enumerate(large):
            value = float(exposure[cut.codes == group].sum() / exposure.sum())
            draws, clusters = over(drawn[:, number], drawn.sum(axis=1)), _clusters(cut, group)
            ends = percentile_interval(draws, value, level=cut.level, clusters=clusters)
            found.append(_one(cut, SHARE, group, value, ends, Unit.RATE))
        return found

    def _ratios(self, cut: Cut, metric: str, exposure: NDArray[np.float64], due: NDArray[np.float64]) -> list[Outcome]:
        """Exposure over what was due, by group, and the smallest ratio over the largest."""
        groups = len(cut.names)
        had, dues, reasons = (
            np.bincount(cut.codes, exposure, groups),
            np.bincount(cut.codes, due, groups),
            cut.too_small(),
        )
        for group in np.flatnonzero(dues == 0).tolist():
            reasons.setdefault(group, "nothing was due to this group, so no ratio is defined")
        large = [group for group in range(groups) if group not in reasons]
        drawn, k = _drawn(cut, large, exposure, due, self.draws), len(large) + 1

        def bounds(number: int, level: float) -> Bounds:
            # In shares of all exposure, which are at most 1, and back.
            group, share = large[number], float(dues[large[number]] / dues.sum())
            draws = over(drawn[:, number], drawn[:, k + number]) * share
            value, clusters = float(had[group] / dues[group]) * share, _clusters(cut, group)
            low, high = percentile_interval(draws, value, level=level, clusters=clusters)
            return Bounds(low / share, high / share)

        found: list[Outcome] = [cut.missing(metric, cut.slice(group), why) for group, why in reasons.items()]
        values = [float(had[group] / dues[group]) for group in large]
        for number, group in enumerate(large):
            found.append(_one(cut, metric, group, values[number], bounds(number, cut.level), Unit.RATIO))
        if len(large) < 2:
            return [*found, cut.missing(f"{metric}.ratio", cut.everywhere, cut.too_few(large))]
        if max(values) == 0:
            none = "exposure is 0 in every group, so no ratio is defined"
            return [*found, cut.missing(f"{metric}.ratio", cut.everywhere, none)]
        each = sidak(cut.level, len(large))
        least = least_ratio_interval([bounds(number, each) for number in range(len(large))])
        n, counts = int(np.isin(cut.codes, large).sum()), {"groups": len(large), "groups_too_small": len(reasons)}
        value = min(values) / max(values)
        gap = cut.measured(
            f"{metric}.ratio", cut.everywhere, value, least, n=n, unit=Unit.RATIO, method=_LEAST, counts=counts
        )
        return [*found, gap]

    def _quality(self, lists: RankedLists, user: str, every: Cut) -> list[Outcome]:
        values, agreed = lists.asked_by(user)
        per_query = replace(lists.rows, columns={}, groups={user: values}, clusters=lists.clusters)
        read = lists.relevance()
        known = np.zeros(len(lists), dtype=bool) if read is None else read[0]
        mixed = "queries whose rows name several groups of users"
        found: list[Outcome] = [
            every.fact("fairness.queries_of_several_users", EVERYONE, int((~agreed).sum()), Unit.COUNT, mixed),
            every.fact("fairness.queries_not_judged", EVERYONE, int((~known).sum()), Unit.COUNT, _UNJUDGED),
        ]
        cut = self._cut(per_query, user, known & agreed, "queries")
        if read is None or not (known & agreed).any():
            why = "the table has no column relevance" if read is None else _NO_RELEVANCE
            return found + [cut.missing(f"{metric}.difference", cut.everywhere, why) for metric in (NDCG, RECALL)]
        for metric, figures in ((NDCG, lists.ndcg(read[1], self.k)), (RECALL, lists.recall(read[1], self.k))):
            found += mean_outcomes(
                cut, metric, figures[known & agreed], unit=Unit.SCORE, difference=Unit.DIFFERENCE, reach=(0.0, 1.0),
                counts={"k": self.k},
            )  # fmt: skip
        return found

    def _popularity(self, lists: RankedLists, every: Cut) -> list[Outcome]:
        if "popularity" not in lists.rows.columns:
            return [every.missing(LIFT, EVERYONE, "the table has no column popularity")]
        popularity = lists.rows.columns["popularity"]
        known = np.isfinite(popularity)
        if (popularity[known] < 0).any():
            return [every.missing(LIFT, EVERYONE, "popularity holds numbers below 0")]
        largest = float(popularity[known].max(initial=0.0)) or 1.0
        scaled, top = np.where(known, popularity, 0.0) / largest, known & lists.top(self.k)
        heads = over(lists.sums(scaled * top), lists.sums(top.astype(float)))
        alls = over(lists.sums(scaled), lists.sums(known.astype(float)))
        both = np.isfinite(heads) & np.isfinite(alls)
        heads, alls, clusters = heads[both], alls[both], lists.clusters[both]
        if alls.sum() == 0:
            return [every.missing(LIFT, EVERYONE, "no query has candidates of known popularity above 0 in its top k")]
        count, value, share = len(heads), float(heads.sum() / alls.sum()), float(alls.mean())
        drawn = resampled_sums(
            np.concatenate([heads, alls]), np.repeat([0, 1], count), np.tile(clusters, 2), width=2, draws=self.draws,
            seed=every.seed,
        )  # fmt: skip
        people = len(np.unique(clusters))
        # As a share of the largest popularity, which is at most 1, and back.
        low, high = percentile_interval(
            over(drawn[:, 0], drawn[:, 1]) * share, value * share, level=every.level, clusters=people
        )
        counts = {"queries": count, "clusters": people, "k": self.k}
        ends = Bounds(low / share, high / share)
        return [
            every.measured(LIFT, EVERYONE, value, ends, n=count, unit=Unit.RATIO, method=_METHODS[LIFT], counts=counts)
        ]

    def _catalogue(self, lists: RankedLists, every: Cut) -> list[Outcome]:
        """Facts of these queries, not estimates: both depend on how many queries there are, whatever the ranking."""
        gini, coverage = "fairness.exposure_gini", "fairness.catalogue_coverage"
        item, names = coded(lists.rows.columns["item"])
        named = item >= 0
        exposure = np.bincount(item[named], lists.exposure[named], len(names))
        if len(names) < 2 or exposure.sum() == 0:
            why = f"{len(names)} items, 2 needed" if len(names) < 2 else _NO_RANK
            return [every.missing(metric, EVERYONE, why) for metric in (gini, coverage)]
        n, ordered = len(names), np.sort(exposure)
        value = float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * ordered.sum()))
        seen = len(np.unique(item[named & lists.top(self.k)])) / n
        which = f"{n} items, of {len(lists)} queries"
        return [
            every.fact(gini, EVERYONE, max(0.0, value), Unit.SCORE, f"Gini coefficient of exposure over {which}"),
            every.fact(coverage, EVERYONE, seen, Unit.RATE, f"shown in the top {self.k} at least once; {which}"),
        ]


def _drawn(
    cut: Cut, large: Sequence[int], exposure: NDArray[np.float64], due: NDArray[np.float64], draws: int
) -> NDArray[np.float64]:
    """Resampled exposure of each large group and of all others, then the same of what was due: (draws, 2k + 2)."""
    k = len(large) + 1
    place = np.full(len(cut.names), k - 1, dtype=np.int64)
    place[list(large)] = np.arange(k - 1)
    columns = place[cut.codes]
    return resampled_sums(
        np.concatenate([exposure, due]), np.concatenate([columns, k + columns]), np.tile(cut.clusters, 2), width=2 * k,
        draws=draws, seed=cut.seed,
    )  # fmt: skip


def _clusters(cut: Cut, group: int) -> int:
    return distinct(cut.clusters[cut.codes == group])


def _one(cut: Cut, metric: str, group: int, value: float, ends: Bounds, unit: Unit) -> Outcome:
    n = int((cut.codes == group).sum())
    counts = {"rows": n, "clusters": _clusters(cut, group)}
    return cut.measured(metric, cut.slice(group), value, ends, n=n, unit=unit, method=_METHODS[metric], counts=counts)
