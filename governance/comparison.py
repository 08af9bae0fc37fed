"""What may be claimed of paired differences: how surprising each is, all of them together, and what was in reach.

The family. A shop that weighs k models against its incumbent and ships whichever looks better has k chances to be
fooled, so "some model is better on this metric" needs Holm's correction over the k. The family is therefore all models
compared with one reference on one metric: the metric that a decision is made by is chosen before the run, and a
decision on whichever of several metrics looks best is not covered. "Every control must pass" needs no correction:
more controls make a false pass less likely, so policies go on judging plain intervals.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from governance.measure import Measurement, Outcome, Slice
from governance.statistics.multiplicity import holm
from governance.statistics.power import paired_detectable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

POWER = 0.8
P, HOLM, COMPARISONS, DETECTABLE = "p", "p_holm", "comparisons", "detectable"
"""Keys of `Measurement.counts`; records of earlier versions have none of them."""
_ALIKE = 1e-12  # a spread of draws that is rounding

Family: TypeAlias = tuple[str, str | None, str, Slice]
"""Metric, task, reference and rows that the comparisons of a family share."""


def paired_p(draws: ArrayLike, value: float, *, clusters: int) -> float:
    """Two-sided p of "the true difference is 0" from a paired cluster bootstrap.

    It inverts `percentile_interval`: if p is at most alpha, the interval of level 1 - alpha from the same draws leaves
    0 out. An interval and a p that contradict each other would leave a reader to choose, so the normal test on the
    clustered standard error is not used, although it holds its level too. Undefined draws count against the
    difference, and the observed one counts among the draws. Where no draw lies beyond 0, how far beyond the draws 0
    lies is told by their spread, so that Holm's correction over many models does not end at what b draws can resolve.

    For shares of rows that are independent, `governance.statistics.paired.mcnemar` is exact and is to be used instead.

    Args:
        draws: resampled differences, shape (b,), NaN where undefined.
        value: the sample's own difference.
        clusters: independent clusters behind it (of the rarest class, where there are classes), as the interval's.

    Returns:
        In [0, 1]; 1.0 for a single cluster, which says nothing about how clusters differ.

    Raises:
        ValueError: no draws, no clusters, or a value that is not finite.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 15.4; Hesterberg (2015), Am. Stat. 69
        (few clusters); Phipson and Smyth (2010), SAGMB 9 (the observed value counts).
    """
    from scipy.special import ndtr, ndtri, stdtr

    resampled = _checked(draws, clusters)
    if not math.isfinite(value):
        raise ValueError("expected a finite difference")
    if clusters == 1:
        return 1.0
    # Negated, so that an undefined draw lies on both sides.
    beyond = min(int((~(resampled > 0)).sum()), int((~(resampled < 0)).sum()))
    tail, spread = float(ndtri((beyond + 1) / (len(resampled) + 1))), _spread(resampled)
    if beyond == 0 and spread > _ALIKE:
        tail = min(tail, -abs(value) / float(np.nanstd(resampled)))
    p = min(1.0, 2 * float(stdtr(clusters - 1, math.sqrt((clusters - 1) / clusters) * tail)))
    size = abs(value)
    if spread <= _ALIKE and size < 1:  # the interval is Wilson's for "never seen", and so is p
        p = max(p, 2 * float(ndtr(-math.sqrt(clusters * size / (1 - size)))))
    return p


def detectable(draws: ArrayLike, *, clusters: int, level: float, answers: int | None = None) -> float | None:
    """The smallest true difference that this comparison finds four times out of five: its interval excludes 0.

    From the observed spread of the paired difference between clusters, so it is itself an estimate; with few
    clusters it allows for their wider intervals.

    Args:
        draws: resampled differences, shape (b,), NaN where undefined.
        clusters: as for `paired_p`.
        level: of the interval.
        answers: rows, where each is right or wrong: models whose shares differ by d must differ on at least a share d
            of rows, so the spread is at least that of d, however alike the models look; None for other scores.

    Returns:
        Above 0, in the difference's own unit; None where nothing can be told: one or two clusters, or no spread at all.

    Raises:
        ValueError: no draws or no clusters.

    Source:
        Miller (2024), arXiv:2411.00640, section 5; the bound of a McNemar table's variance by its difference.
    """
    from scipy.special import ndtr, stdtrit

    resampled = _checked(draws, clusters)
    if clusters == 1:
        return None
    # As wide as the t interval: the level whose normal quantile is the t quantile.
    own_level = 1 - 2 * float(ndtr(stdtrit(clusters - 1, (1 - level) / 2)))
    if not 0 < own_level < 1:
        return None
    found = 0.0
    spread = _spread(resampled)
    if spread > _ALIKE:
        variance = float(np.nanvar(resampled)) * clusters**2 / (clusters - 1)  # of one cluster; draws leave n - 1 out
        found = paired_detectable(clusters, variance, level=own_level, power=POWER)
    if answers is not None:
        per_row = paired_detectable(answers, 1.0, level=own_level, power=POWER) ** 2  # d**2 = per_row * (d - d**2)
        found = max(found, per_row / (1 + per_row))
    return found or None


def judged(
    draws: ArrayLike, value: float, *, clusters: int, level: float, p: float | None = None, answers: int | None = None
) -> dict[str, float]:
    """What a difference's counts say of it: `p`, and `detectable` where that can be told.

    Args:
        draws: resampled differences, shape (b,), NaN where undefined.
        value: the sample's own difference.
        clusters: independent clusters behind it.
        level: of its interval.
        p: an exact one, such as McNemar's; None: `paired_p`.
        answers: as for `detectable`.
    """
    found = {P: paired_p(draws, value, clusters=clusters) if p is None else p}
    least = detectable(draws, clusters=clusters, level=level, answers=answers)
    return found if least is None else {**found, DETECTABLE: least}


def holm_adjusted(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same outcomes in the same order; each with a `p` gets `p_holm` and `comparisons`, how many its family holds.

    A family is all models compared with one reference, on one metric of one task over the same rows. What was not
    measured can't be mistaken for an improvement, so it isn't counted.
    """
    families = defaultdict[Family, list[int]](list)
    for place, one in enumerate(outcomes):
        if isinstance(one, Measurement) and one.reference is not None and P in one.counts:
            families[one.metric, one.task, one.reference, one.slice].append(place)
    adjusted = list(outcomes)
    for places in families.values():
        members = [one for place in places if isinstance(one := outcomes[place], Measurement)]
        for place, one, p in zip(places, members, holm([one.counts[P] for one in members]), strict=True):
            counts = {**one.counts, HOLM: float(p), COMPARISONS: len(members)}
            adjusted[place] = replace(one, counts=counts)
    return adjusted


def _checked(draws: ArrayLike, clusters: int) -> np.ndarray:
    resampled = np.asarray(draws, dtype=float)
    if resampled.ndim != 1 or len(resampled) == 0 or clusters < 1:
        raise ValueError("expected draws, and at least one cluster")
    return resampled


def _spread(draws: np.ndarray) -> float:
    defined = draws[np.isfinite(draws)]
    return float(np.ptp(defined)) if len(defined) else 0.0
