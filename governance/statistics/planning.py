"""How many rows an interval needs to keep clear of a bound, before anything is measured.

Normal approximations, as in `governance.statistics.power`. Variances are those of one row: a figure's standard error is
the root of variance over rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.multiplicity import sidak

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RUNS = 400
_MOST = 4096.0
"""Times as many rows as there are: groups that need more are said to need too many."""


def rows_past(bound: float, truth: float, *, level: float = 0.95, power: float = 0.8, effect: float = 1.0) -> int:
    """Rows for Wilson's interval of a rate to lie wholly on the truth's side of a bound.

    Args:
        bound: what the interval must keep clear of, in (0, 1).
        truth: the true rate, in [0, 1], not the bound.
        level: of the two-sided interval.
        power: chance that it does.
        effect: design effect of the clusters, >= 1.

    Raises:
        ValueError: a parameter out of range.

    Source:
        Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, section 2.5: Wilson's interval is
        the score test turned round, so its error is the bound's.

    >>> rows_past(0.75, 0.80)
    563
    """
    from scipy.special import ndtri

    if not (0 < bound < 1 and 0 <= truth <= 1 and bound != truth):
        raise ValueError(f"expected a bound in (0, 1) and another rate as truth, got {bound} and {truth}")
    if not (0 < level < 1 and 0 < power < 1 and effect >= 1):
        raise ValueError("expected level and power in (0, 1) and a design effect >= 1")
    error = ndtri(0.5 + level / 2) * math.sqrt(bound * (1 - bound)) + ndtri(power) * math.sqrt(truth * (1 - truth))
    return math.ceil(float(error / (truth - bound)) ** 2 * effect)


def balanced_variance(rate: float, shares: Sequence[float]) -> float:
    """Of balanced accuracy, if each class is recognised at this rate.

    Args:
        rate: in [0, 1].
        shares: of the rows, by class, each above 0.
    """
    return sum(rate * (1 - rate) / share for share in shares) / len(shares) ** 2


def f1_variance(f1: float, share: float) -> float:
    """Of F1 where precision and recall are equal; `share` of the rows is positive. By the delta method."""
    return f1 * (1 - f1) * (2 - f1) / (2 * share)


def auc_variance(auc: float, share: float) -> float:
    """Of AUC where `share` of the rows is positive.

    Source:
        Hanley and McNeil (1982), Radiology 143, for exponential scores.
    """
    return (auc / (2 - auc) - auc**2) / (1 - share) + (2 * auc**2 / (1 + auc) - auc**2) / share


def quantile_rows(quantile: float, level: float = 0.95) -> int:
    """Rows without which a quantile's interval has no upper end.

    >>> quantile_rows(0.95)
    72
    """
    return math.ceil(math.log((1 - level) / 2) / math.log(quantile))


@dataclass(frozen=True, slots=True)
class Cells:
    """Groups of rows that share one true rate.

    Attributes:
        sizes: rows per group, effective ones where they come in clusters; at least two groups.
        rate: the rate of every group, in [0, 1].
    """

    sizes: tuple[float, ...]
    rate: float


def gap_power(
    parts: Sequence[Cells], bound: float, *, ratio: bool, times: float = 1.0, level: float = 0.95, seed: int = 0
) -> float:
    """Chance that groups which are all alike are shown to be: by simulation of the intervals that a gap is made of.

    Šidák-simultaneous Wilson intervals over all groups of all parts (equalised odds has two); the gap's far end is the
    widest distance, or the smallest ratio, between the intervals of any two.

    Args:
        parts: what is compared; the gap is the worst of them.
        bound: that the gap's far end must keep: at most a difference, at least a ratio.
        ratio: which of these.
        times: so many times as many rows in every group.
        level: of the gap's interval.
        seed: same seed, same chance.
    """
    each = sidak(level, sum(len(part.sizes) for part in parts))
    shown, rng = np.ones(_RUNS, dtype=bool), np.random.default_rng(seed)
    for part in parts:
        rows = np.maximum(1, np.round(np.array(part.sizes) * times))
        # The same draws of chance at any `times`, so that more rows are hardly ever worse.
        hits = _hits(rows, part.rate, rng)
        low, high = _wilson(hits, rows, each)
        apart = ~np.eye(len(rows), dtype=bool)
        if ratio:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.where(high[:, None, :] > 0, low[:, :, None] / high[:, None, :], 0.0)
            shown &= ratios[:, apart].min(axis=1) >= bound
        else:
            shown &= (high[:, :, None] - low[:, None, :])[:, apart].max(axis=1) <= bound
    return float(shown.mean())


def gap_times(
    parts: Sequence[Cells], bound: float, *, ratio: bool, level: float = 0.95, power: float = 0.8, seed: int = 0
) -> float | None:
    """How many times the rows there are would show groups alike with this chance; None: more than anybody has.

    Arguments as for `gap_power`.
    """
    low, high = 1 / 64, _MOST

    def enough(times: float) -> bool:
        return gap_power(parts, bound, ratio=ratio, times=times, level=level, seed=seed) >= power

    if not enough(high):
        return None
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _hits(rows: NDArray[np.float64], rate: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Counts of hits, shape (runs, groups), from one normal number each: whole ones, as groups may be small."""
    drawn = rows * rate + np.sqrt(rows * rate * (1 - rate)) * rng.standard_normal((_RUNS, len(rows)))
    return np.asarray(np.clip(np.round(drawn), 0, rows), dtype=float)


def _wilson(
    hits: NDArray[np.float64], rows: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of many intervals at once; as `governance.statistics.intervals.wilson`, which a test holds it to."""
    from scipy.special import ndtri

    z = float(ndtri(0.5 + level / 2))
    rate, scale = hits / rows, 1 + z * z / rows
    centre = (rate + z * z / (2 * rows)) / scale
    half = z * np.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows)) / scale
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)
