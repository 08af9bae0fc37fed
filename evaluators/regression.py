"""Are numbers predicted equally well for all groups of people? Delivery times, demand, life-time value, credit limits.

A mean error (bias) above 0 says that a group is predicted too high; the mean absolute and the root mean squared error
say how far off predictions are, whichever way. A group may have no bias and large errors, so all are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.bygroup import mean_outcomes
from evaluators.cuts import NO_GROUPS, Cut, distinct, left_out, no_gaps
from evaluators.table import Rows
from governance.measure import Outcome, Unit
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS, percentile_interval
from governance.statistics.intervals import Bounds, spread_interval
from governance.statistics.means import resampled_sums
from governance.statistics.multiplicity import sidak

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS = ("mean_error", "mean_absolute_error", "root_mean_squared_error", "mean_prediction")
_BOOT = "cluster bootstrap, expanded percentiles"
_BOOT_GAP = "largest minus smallest; Šidák-simultaneous cluster bootstrap"
_BOOT_REST = "minus that of all other groups; Šidák-simultaneous cluster bootstrap"
_NONE = "no row has both a truth and a prediction"


@dataclass(frozen=True)
class RegressionGaps:
    """Errors by group, the largest gaps between groups, and each group against the rest, for each group column.

    Rows without a finite truth and prediction are left out and counted, by group too: a model that fails on one group
    alone must not look fair for it. The rest of a group are the other groups that are large enough.

    Attributes:
        min_rows: rows that a group needs.
        draws: resamples of the bootstrap.

    Source:
        Agarwal, Dudík and Wu (2019), Fair regression, ICML (bounded group loss: the errors by group); Calders et al.
        (2013), Controlling attribute effect in linear regression, ICDM (mean prediction and mean error by group).
    """

    min_rows: int = 30
    draws: int = DRAWS

    task: ClassVar[str] = "regression"
    numbers: ClassVar[Mapping[str, bool]] = {"truth": True, "prediction": True}
    names: ClassVar[Mapping[str, bool]] = {}

    def __post_init__(self) -> None:
        if self.min_rows < 2:
            raise ValueError(f"min_rows: expected at least 2, got {self.min_rows}")
        if self.draws < LEAST_DRAWS:
            raise ValueError(f"draws: expected at least {LEAST_DRAWS}, got {self.draws}")

    def measure(self, rows: Rows) -> Sequence[Outcome]:
        """Every figure of every group and every gap, measured or not."""
        metrics = [f"fairness.{metric}" for metric in METRICS]
        truth, prediction = rows.columns["truth"], rows.columns["prediction"]
        with np.errstate(over="ignore", invalid="ignore"):
            error = prediction - truth
        kept = np.isfinite(error) & np.isfinite(truth) & np.isfinite(prediction)
        found = left_out(rows, kept, self.task)
        if not rows.groups:
            return [*found, *no_gaps(rows, metrics, self.task, NO_GROUPS)]
        if not kept.any():
            return [*found, *no_gaps(rows, metrics, self.task, _NONE, sorted(rows.groups))]
        error = error[kept]
        for column in sorted(rows.groups):
            cut = Cut.of(rows, (column,), kept, task=self.task, min_rows=self.min_rows)
            found += mean_outcomes(cut, metrics[0], error, unit=Unit.UNITS)
            found += mean_outcomes(cut, metrics[1], np.abs(error), unit=Unit.UNITS, reach=(0.0, None))
            found += self._root_means(cut, metrics[2], error)
            found += mean_outcomes(cut, metrics[3], prediction[kept], unit=Unit.UNITS)
        return found

    def _root_means(self, cut: Cut, metric: str, error: NDArray[np.float64]) -> list[Outcome]:
        small, large = cut.too_small(clusters=2), cut.large(clusters=2)
        found: list[Outcome] = [cut.missing(metric, cut.slice(group), reason) for group, reason in small.items()]
        roots = _Roots.of(cut, error, large, self.draws) if large else None
        for number, group in enumerate(large):
            assert roots is not None  # noqa: S101 - there are large groups
            found.append(
                cut.measured(
                    metric, cut.slice(group), roots.value(number), roots.bounds(number, cut.level),
                    n=roots.rows[number], unit=Unit.UNITS, method=_BOOT,
                    counts={"rows": roots.rows[number], "clusters": roots.clusters[number]},
                )
            )  # fmt: skip
        if roots is None or len(large) < 2:
            return [*found, cut.missing(f"{metric}.difference", cut.everywhere, cut.too_few(large))]
        each, k = sidak(cut.level, len(large)), range(len(large))
        values = [roots.value(number) for number in k]
        found.append(
            cut.measured(
                f"{metric}.difference", cut.everywhere, max(values) - min(values),
                spread_interval([roots.bounds(number, each) for number in k]), n=sum(roots.rows), unit=Unit.UNITS,
                method=_BOOT_GAP, counts={"groups": len(large), "groups_too_small": len(small)},
            )
        )  # fmt: skip
        for number, group in enumerate(large):
            found.append(
                cut.measured(
                    f"{metric}.difference_to_rest", cut.slice(group), values[number] - roots.rest(number),
                    roots.against_rest(number, each), n=roots.rows[number], unit=Unit.UNITS, method=_BOOT_REST,
                    counts={"root": values[number], "other_root": roots.rest(number), "rows": roots.rows[number]},
                )
            )  # fmt: skip
        return found


@dataclass(frozen=True)
class _Roots:
    """Sums of squares and rows per group, as they are and resampled; squares are scaled to at most 1.

    Attributes:
        scale: largest absolute error.
        squares: per group, shape (k,).
        rows: per group.
        clusters: per group.
        apart: clusters with rows of any other group, per group.
        drawn: resampled squares and rows, shape (draws, 2k).
    """

    scale: float
    squares: NDArray[np.float64]
    rows: list[int]
    clusters: list[int]
    apart: list[int]
    drawn: NDArray[np.float64]

    @classmethod
    def of(cls, cut: Cut, error: NDArray[np.float64], large: Sequence[int], draws: int) -> _Roots:
        kept = np.isin(cut.codes, large)
        codes, k = np.searchsorted(large, cut.codes[kept]), len(large)
        clusters = cut.clusters[kept]
        scale = float(np.abs(error[kept]).max()) or 1.0
        squares = (error[kept] / scale) ** 2
        drawn = resampled_sums(
            np.concatenate([squares, np.ones(len(squares))]), np.concatenate([codes, k + codes]), np.tile(clusters, 2),
            width=2 * k, draws=draws, seed=cut.seed,
        )  # fmt: skip
        return cls(
            scale=scale,
            squares=np.bincount(codes, squares, k).astype(float),
            rows=[int(n) for n in np.bincount(codes, minlength=k)],
            clusters=[distinct(clusters[codes == group]) for group in range(k)],
            apart=[distinct(clusters[codes != group]) for group in range(k)],
            drawn=drawn,
        )

    def value(self, group: int) -> float:
        return self.scale * float(np.sqrt(self.squares[group] / self.rows[group]))

    def rest(self, group: int) -> float:
        others = np.arange(len(self.rows)) != group
        return self.scale * float(np.sqrt(self.squares[others].sum() / np.array(self.rows)[others].sum()))

    def bounds(self, group: int, level: float) -> Bounds:
        """Ends for one group; where no draw differs from another, those of errors as large as any seen."""
        drawn = _root(self.drawn[:, [group]], self.drawn[:, [len(self.rows) + group]])
        value = self.value(group) / self.scale
        low, high = percentile_interval(drawn, value, level=level, clusters=self.clusters[group])
        return Bounds(low * self.scale, high * self.scale)

    def against_rest(self, group: int, level: float) -> Bounds:
        k = len(self.rows)
        others = np.flatnonzero(np.arange(k) != group)
        own = _root(self.drawn[:, [group]], self.drawn[:, [k + group]])
        drawn = own - _root(self.drawn[:, others], self.drawn[:, k + others])
        value = (self.value(group) - self.rest(group)) / self.scale
        clusters = min(self.clusters[group], self.apart[group])
        low, high = percentile_interval(drawn, value, level=level, clusters=clusters, reach=(-1.0, 1.0))
        return Bounds(low * self.scale, high * self.scale)


def _root(squares: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of the mean of resampled groups taken together; NaN where a draw holds none of their rows."""
    total, n = squares.sum(axis=1), rows.sum(axis=1)
    mean = np.full(len(n), np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    roots: NDArray[np.float64] = np.sqrt(mean)
    return roots
