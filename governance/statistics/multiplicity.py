"""Many statements at once: levels and p-values that hold for all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def sidak(level: float, count: int) -> float:
    """Level of each of `count` intervals such that all hold together with probability `level`.

    Exact for independent intervals, and conservative for two-sided normal ones however they depend on each other.

    Raises:
        ValueError: level outside (0, 1) or no intervals.

    Source:
        Šidák (1967), JASA 62.

    >>> round(sidak(0.95, 10), 4)
    0.9949
    """
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")
    if count < 1:
        raise ValueError(f"expected at least one interval, got {count}")
    return float(level ** (1 / count))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values, in the order given: rejecting those at or below alpha errs once with chance alpha.

    Raises:
        ValueError: not a vector of numbers in [0, 1].

    Source:
        Holm (1979), Scand. J. Stat. 6.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values that bound the false discovery rate, in the order given.

    Of the statements rejected at or below q, a share of at most q is false on average. Holds for independent
    p-values and for positively dependent ones (overlapping slices of one test, say); for others, `benjamini_yekutieli`.

    Raises:
        ValueError: not a vector of numbers in [0, 1].

    Source:
        Benjamini and Hochberg (1995), JRSS B 57; Benjamini and Yekutieli (2001), Ann. Stat. 29 (dependence).

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.04, 0.04]
    """
    return _step_up(_checked(p_values), 1.0)


def benjamini_yekutieli(p_values: ArrayLike) -> NDArray[np.float64]:
    """As `benjamini_hochberg`, but valid however the p-values depend on each other, at the price of a factor.

    Raises:
        ValueError: not a vector of numbers in [0, 1].

    Source:
        Benjamini and Yekutieli (2001), Ann. Stat. 29.

    >>> benjamini_yekutieli([0.01, 0.04, 0.03]).round(3).tolist()
    [0.055, 0.073, 0.073]
    """
    p = _checked(p_values)
    return _step_up(p, float((1 / np.arange(1, len(p) + 1)).sum()))


def _step_up(p: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    order = np.argsort(p, kind="stable")[::-1]
    steps = np.minimum(1.0, factor * p[order] * len(p) / np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(steps)
    return adjusted


def _checked(p_values: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(p_values, dtype=float)
    # Negated, so that NaN is refused too.
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("expected a vector of p-values in [0, 1]")
    return p
