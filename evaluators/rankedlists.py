"""Ranked lists as columns: which make sense, what each row's rank exposes it to, and how good each list is.

Not an evaluator: what `evaluators.ranking` reads a table with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evaluators.cuts import coded
from evaluators.table import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RankedLists:
    """The rows of readable queries, in the order of their queries.

    Attributes:
        rows: the table; clusters are those of the queries, so that a query is never torn apart.
        kept: which rows of the table as it came they are.
        broken: queries left out, because a rank is no whole number from 1 on or stands twice.
        query: query of each row, 0…q - 1, shape (n,).
        starts: first row of each query, shape (q,).
        rank: NaN where a candidate was not shown.
        exposure: 1 / log2(rank + 1); 0 where a candidate was not shown.
    """

    rows: Rows
    kept: NDArray[np.bool_]
    broken: int
    query: NDArray[np.int64]
    starts: NDArray[np.int64]
    rank: NDArray[np.float64]
    exposure: NDArray[np.float64]

    @classmethod
    def of(cls, table: Rows) -> RankedLists:
        """Read a table; rows without a query, and queries whose ranks make no sense, are left out."""
        query, names = coded(table.columns["query"])
        rank = table.columns["rank"]
        wrong = (query >= 0) & ~np.isnan(rank) & ~((rank >= 1) & np.isfinite(rank) & (np.floor(rank) == rank))
        placed = np.flatnonzero((query >= 0) & np.isfinite(rank))
        order = placed[np.lexsort((rank[placed], query[placed]))]
        twice = (np.diff(query[order]) == 0) & (np.diff(rank[order]) == 0)
        broken = np.zeros(len(names) + 1, dtype=bool)  # the last is that of rows without a query
        broken[query[wrong]] = True
        broken[query[order[1:][twice]]] = True
        kept = (query >= 0) & ~broken[query]
        chosen = np.flatnonzero(kept)
        chosen = chosen[np.argsort(query[chosen], kind="stable")]
        _, starts, codes = np.unique(query[chosen], return_index=True, return_inverse=True)
        rank = rank[chosen]
        exposure = 1 / np.log2(np.where(np.isnan(rank), np.inf, rank) + 1)
        rows = replace(
            table,
            columns={name: values[chosen] for name, values in table.columns.items()},
            groups={name: values[chosen] for name, values in table.groups.items()},
            clusters=table.clusters[chosen][starts][codes],
        )
        return cls(rows, kept, int(broken.sum()), codes.astype(np.int64), starts, rank, exposure)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Cluster of each query: that of its first row."""
        found: NDArray[np.int64] = self.rows.clusters[self.starts]
        return found

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Totals per query."""
        return np.bincount(self.query, values, len(self)).astype(float)

    def top(self, k: int) -> NDArray[np.bool_]:
        """Rows that were shown at rank k or above."""
        found: NDArray[np.bool_] = np.isfinite(self.rank) & (self.rank <= k)
        return found

    def relevance(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Queries whose candidates all have a relevance >= 0, one of them above 0; relevance over a query's largest.

        None where the table has no such column.
        """
        if "relevance" not in self.rows.columns:
            return None
        values = self.rows.columns["relevance"]
        usable = np.isfinite(values) & (values >= 0)
        largest = np.zeros(len(self))
        np.maximum.at(largest, self.query[usable], values[usable])
        known = (largest > 0) & (self.sums(~usable) == 0)
        scale = np.where(known, largest, 1.0)[self.query]
        return known, np.where(known[self.query], np.where(usable, values, 0.0) / scale, 0.0)

    def ndcg(self, relevance: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Per query: gains (the relevance itself) discounted by rank, over the best order's; NaN without gains."""
        gained = self.sums(relevance * self.exposure * self.top(k))
        order = np.lexsort((-relevance, self.query))
        place = np.arange(len(order)) - self.starts[self.query] if len(order) else order
        best = self.sums(np.where(place < k, relevance[order] / np.log2(place + 2.0), 0.0))
        return np.minimum(over(gained, best), 1.0)

    def recall(self, relevance: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Per query: share of the relevant candidates that stand in the top k; NaN where none is relevant."""
        relevant = relevance > 0
        return over(self.sums((relevant & self.top(k)).astype(float)), self.sums(relevant.astype(float)))

    def asked_by(self, column: str) -> tuple[NDArray, NDArray[np.bool_]]:  # type: ignore[type-arg]
        """Per query, the group of the user who asked, and whether all its rows agree on one."""
        values = self.rows.groups[column]
        codes, _ = coded(values)
        least = np.minimum.reduceat(codes, self.starts) if len(self) else codes
        most = np.maximum.reduceat(codes, self.starts) if len(self) else codes
        return values[self.starts], least == most


def over(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotients; NaN where there is nothing to divide by."""
    quotient = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient
