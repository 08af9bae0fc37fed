"""What every cut of a table yields: means and rates by group, the gaps between groups, and each group against the rest.

Not an evaluator: the evaluators of tables share it, so that a gap means the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluators.cuts import Cut
from governance.groups.gaps import MOVER, WILSON, WILSON_GAP
from governance.measure import Outcome, Unit
from governance.statistics.intervals import (
    Bounds,
    Rate,
    clustered_wilson,
    least_ratio_interval,
    spread_interval,
    wilson,
)
from governance.statistics.means import ANYWHERE, Mean, Reach, group_means, mean_gap, means_against_rest
from governance.statistics.multiplicity import sidak
from governance.statistics.simultaneous import against_rest

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE = "all values are alike, so nothing is known of their spread"
T = "mean; t interval robust to clusters (CR2)"
T_GAP = "largest minus smallest mean; Šidák-simultaneous t intervals robust to clusters (CR2)"
T_REST = "minus the mean of all other groups; Šidák-simultaneous t intervals robust to clusters (CR2)"
T_RATIO = "smallest over largest mean; Šidák-simultaneous t intervals robust to clusters (CR2)"


def mean_outcomes(
    cut: Cut,
    metric: str,
    values: NDArray[np.float64],
    *,
    unit: Unit,
    difference: Unit | None = None,
    reach: Reach = ANYWHERE,
    counts: Mapping[str, float] | None = None,
) -> list[Outcome]:
    """Means by group (`metric`), largest minus smallest (`.difference`), each and the rest (`.difference_to_rest`).

    Args:
        cut: the rows.
        metric: its full name.
        values: one per row of the cut, finite.
        unit: of the mean.
        difference: of differences of means; None: the same.
        reach: what values are possible.
        counts: more to be told of every number.
    """
    small, more = cut.too_small(clusters=2), dict(counts or {})
    large, apart = cut.large(clusters=2), difference or unit
    found: list[Outcome] = [cut.missing(metric, cut.slice(group), reason) for group, reason in small.items()]
    kept = np.isin(cut.codes, large)
    if large and None in reach and values[kept].min() == values[kept].max():
        found += [cut.missing(metric, cut.slice(group), ALIKE) for group in large]
        return [*found, *_no_gaps(cut, metric, ALIKE, ratio=reach[0] == 0)]
    chosen = values[kept], np.searchsorted(large, cut.codes[kept]), cut.clusters[kept]
    if large:
        for group, mean in zip(large, group_means(*chosen, level=cut.level, reach=reach), strict=True):
            own = {"rows": mean.n, "clusters": mean.clusters, **more}
            where = cut.slice(group)
            found.append(
                cut.measured(metric, where, mean.value, mean.bounds, n=mean.n, unit=unit, method=T, counts=own)
            )
    if len(large) < 2:
        return [*found, *_no_gaps(cut, metric, cut.too_few(large), ratio=reach[0] == 0)]
    with np.errstate(over="ignore"):  # what comes to infinity is told as such
        joint = group_means(*chosen, level=cut.level, reach=reach, joint=True)
        found += _mean_gaps(cut, metric, joint, apart, {"groups_too_small": len(small), **more}, ratio=reach[0] == 0)
    for group, one in zip(large, means_against_rest(*chosen, level=cut.level, reach=reach), strict=True):
        own = {"mean": one.mean, "other_mean": one.other, "rows": one.n, "clusters": one.clusters, **more}
        found.append(
            cut.measured(
                f"{metric}.difference_to_rest", cut.slice(group), one.value, one.bounds, n=one.n, unit=apart,
                method=T_REST, counts=own,
            )
        )  # fmt: skip
    return found


def _no_gaps(cut: Cut, metric: str, reason: str, *, ratio: bool) -> list[Outcome]:
    kinds = ("difference", "ratio") if ratio else ("difference",)
    return [cut.missing(f"{metric}.{kind}", cut.everywhere, reason) for kind in kinds]


def _mean_gaps(
    cut: Cut, metric: str, joint: Sequence[Mean], unit: Unit, counts: Mapping[str, float], *, ratio: bool
) -> list[Outcome]:
    """Largest minus smallest, and, of what can't be negative whatever its unit, smallest over largest."""
    gap = mean_gap(joint)
    sizes = {"groups": gap.groups, **counts}
    found = [
        cut.measured(
            f"{metric}.difference", cut.everywhere, gap.value, gap.bounds, n=gap.n, unit=unit, method=T_GAP,
            counts=sizes,
        )
    ]  # fmt: skip
    return [*found, _least_ratio(cut, metric, joint, sizes)] if ratio else found


def _least_ratio(cut: Cut, metric: str, means: Sequence[Mean], counts: Mapping[str, float]) -> Outcome:
    """The smallest mean over the largest."""
    values, name = [one.value for one in means], f"{metric}.ratio"
    if max(values) <= 0 or max(one.bounds.high for one in means) <= 0:
        return cut.missing(name, cut.everywhere, "the mean is 0 in every group, so no ratio is defined")
    ends = least_ratio_interval([Bounds(max(0.0, one.bounds.low), one.bounds.high) for one in means])
    n = sum(one.n for one in means)
    return cut.measured(
        name, cut.everywhere, min(values) / max(values), ends, n=n, unit=Unit.RATIO, method=T_RATIO, counts=counts
    )


def one_rate(cut: Cut, metric: str, group: int, one: Rate, method: str = WILSON) -> Outcome:
    """The rate of one group."""
    counts = {"successes": round(one.value * one.n), "rows": one.n, "clusters": one.clusters}
    where = cut.slice(group)
    return cut.measured(metric, where, one.value, one.bounds, n=one.n, unit=Unit.RATE, method=method, counts=counts)


def rate_outcomes(cut: Cut, metric: str, hits: NDArray[np.bool_], *, how: str = "") -> list[Outcome]:
    """Rates by group (`metric`), largest minus smallest (`.difference`), each and the rest (`.difference_to_rest`).

    Args:
        cut: the rows.
        metric: its full name.
        hits: which rows count, one per row of the cut.
        how: how that is known, where the reader must be told; starts every method.
    """
    small, large, said = cut.too_small(), cut.large(), f"{how}; " if how else ""
    found: list[Outcome] = [cut.missing(metric, cut.slice(group), reason) for group, reason in small.items()]
    successes, rows = tallies(cut, hits, large)

    def rates(level: float) -> list[Rate]:
        return [rate(successes[..., number], rows[..., number], level) for number in range(len(large))]

    found += [
        one_rate(cut, metric, group, one, said + WILSON) for group, one in zip(large, rates(cut.level), strict=True)
    ]
    if len(large) < 2:
        return [*found, cut.missing(f"{metric}.difference", cut.everywhere, cut.too_few(large))]
    joint = rates(sidak(cut.level, len(large)))
    values, ends = [one.value for one in joint], spread_interval([one.bounds for one in joint])
    found.append(
        cut.measured(
            f"{metric}.difference", cut.everywhere, max(values) - min(values), ends, n=sum(one.n for one in joint),
            unit=Unit.DIFFERENCE, method=said + WILSON_GAP,
            counts={"groups": len(large), "groups_too_small": len(small)},
        )
    )  # fmt: skip
    contrasts = against_rest(successes, rows, level=cut.level)
    for group, one, contrast in zip(large, joint, contrasts, strict=True):
        found.append(
            cut.measured(
                f"{metric}.difference_to_rest", cut.slice(group), contrast.difference, contrast.difference_bounds,
                n=one.n, unit=Unit.DIFFERENCE, method=said + MOVER,
                counts={"rate": contrast.rate, "other_rate": contrast.other},
            )
        )  # fmt: skip
    return found


def tallies(
    cut: Cut, hits: NDArray[np.bool_], groups: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hits and rows of some groups: (k,) of independent rows, (clusters, k) of others."""
    k = len(groups)
    kept = np.isin(cut.codes, groups)
    codes, marks = np.searchsorted(groups, cut.codes[kept]), hits[kept].astype(float)
    count = int(cut.clusters.max(initial=-1)) + 1
    if count == len(cut.clusters):
        return np.bincount(codes, marks, k).astype(float), np.bincount(codes, minlength=k).astype(float)
    place = cut.clusters[kept] * k + codes
    shape = count, k
    return (
        np.bincount(place, marks, count * k).astype(float).reshape(shape),
        np.bincount(place, minlength=count * k).astype(float).reshape(shape),
    )


def rate(successes: NDArray[np.float64], rows: NDArray[np.float64], level: float) -> Rate:
    """One group's rate from its part of the tallies."""
    if successes.ndim:
        return clustered_wilson(successes, rows, level)
    hits, n = float(successes), int(rows)
    low, high = wilson(hits, n, level)
    return Rate(value=hits / n, low=low, high=high, n=n, clusters=n, effective_n=float(n))
