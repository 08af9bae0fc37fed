"""How far the largest gap between groups is another one under another model: of one gap, by one column.

Not an evaluator: what evaluators of pairs share, be the other model a fairer one or the same one but for one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.pairs import Cut, Pair
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS
from governance.statistics.gapchange import MOST_RATES, PairedRates
from governance.statistics.intervals import Bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAPS = {"demographic_parity": ("selection_rate",), "equalized_odds": ("true_positive_rate", "false_positive_rate")}
"""Gap -> the rates in any of which it is the largest difference between two groups."""


@dataclass(frozen=True)
class GapSettings:
    """Settings of evaluators that measure how gaps change.

    Attributes:
        min_rows: answered rows that a group needs.
        min_class_rows: positives (negatives) that its true-positive (false-positive) rate needs.
        draws: resamples behind the intervals of changes.
    """

    min_rows: int = 30
    min_class_rows: int = 10
    draws: int = DRAWS

    def __post_init__(self) -> None:
        for name, least in (("min_rows", 1), ("min_class_rows", 1), ("draws", LEAST_DRAWS)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class GapChange:
    """A gap under a model minus that under the one that it is held against.

    Attributes:
        value: of the sample.
        ends: its interval.
        n: rows behind it.
        method: in words.
        counts: groups, and both gaps.
    """

    value: float
    ends: Bounds
    n: int
    method: str
    counts: Mapping[str, float]


def gap_change(pair: Pair, gap: str, cut: Cut, *, draws: int) -> GapChange | str:
    """The change of one gap by one column; or why there is none.

    Args:
        pair: the model and the one that it is held against.
        gap: one of `GAPS`.
        cut: the pair's rows by a column.
        draws: of the resampling.
    """
    rates = GAPS[gap]
    held = [(part, group) for part, rate in enumerate(rates) for group in cut.large(rate)]
    reason = cut.too_few(rates)
    if reason is None and len(held) > MOST_RATES:
        reason = f"{len(held)} rates of groups, at most {MOST_RATES} can be compared pair by pair"
    if reason is not None:
        return reason
    # True- and false-positive rates are shares of different rows, so each row has its place in one of them.
    cells = np.full(len(pair.rows), -1)
    for place, (part, group) in enumerate(held):
        cells[pair.among(rates[part]) & (cut.codes == group)] = place
    found, parts = resampled(pair, rates[0], cells, len(held), draws=draws), np.array([part for part, _ in held])
    after, before = (
        max(float(np.ptp(side[parts == part])) for part in range(len(rates))) for side in (found.after, found.before)
    )
    return GapChange(
        value=after - before,
        ends=found.gap_change(pair.setting.level, parts=parts),
        n=int(found.rows.sum()),
        method=f"bounds from simultaneous differences of rates; paired cluster bootstrap, {draws} draws",
        counts={**cut.counts(rates), "before": before, "after": after},
    )


def resampled(pair: Pair, rate: str, cells: NDArray[np.int64], count: int, *, draws: int) -> PairedRates:
    """What a rate counts in each of `count` cells of the pair's rows, under both models."""
    after, before = pair.hits(rate)
    return PairedRates.of(before, after, cells, pair.clusters, count=count, draws=draws, seed=pair.setting.seed)
