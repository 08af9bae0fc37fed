"""Group metrics as functions of counts: the same for a sample, for a shard and for a resample.

Every point figure equals Fairlearn's MetricFrame and named metrics wherever Fairlearn's is defined (a contract test
over random tables); where a denominator is empty Fairlearn says 0.0 and these say NaN, which no outcome can hold, so
that a caller has to say why there is no figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from governance.groups.counts import BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

TN, FP, FN, TP = range(4)

RATES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "selection_rate": ((FP, TP), (TN, FP, FN, TP)),
    "true_positive_rate": ((TP,), (FN, TP)),
    "false_positive_rate": ((FP,), (TN, FP)),
    "precision": ((TP,), (FP, TP)),
    "accuracy": ((TN, TP), (TN, FP, FN, TP)),
}
"""Metric -> the cells that count as successes, and the cells that it is a share of. Every one is a binomial rate."""
AMONG: Mapping[str, str] = {
    "true_positive_rate": "positive",
    "false_positive_rate": "negative",
    "precision": "selected",
}
"""Metric -> what the rows are called that it is a share of; absent: all rows."""
EQUALIZED_ODDS = ("true_positive_rate", "false_positive_rate")
"""Equalised odds: the larger of the two gaps, the smaller of the two ratios."""
CALIBRATION_BINS = 10


def outcomes(counts: NDArray[np.integer], positive: int) -> NDArray[np.int64]:
    """Confusion tables, one class against the rest: (…, classes, classes) -> (…, 4) in the order TN, FP, FN, TP."""
    hit = counts[..., positive, positive]
    missed = counts[..., positive, :].sum(axis=-1) - hit
    false = counts[..., :, positive].sum(axis=-1) - hit
    rest = counts.sum(axis=(-2, -1)) - hit - missed - false
    return np.stack([rest, false, missed, hit], axis=-1).astype(np.int64, copy=False)


def rate(confusion: NDArray[np.integer], metric: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Successes and rows of a metric of `RATES`: (…, 4) -> (…) each."""
    successes, among = RATES[metric]
    return (
        confusion[..., list(successes)].sum(axis=-1).astype(np.int64, copy=False),
        confusion[..., list(among)].sum(axis=-1).astype(np.int64, copy=False),
    )


def right(counts: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right answers and rows over all classes: (…, classes, classes) -> (…) each."""
    hits = np.trace(counts, axis1=-2, axis2=-1)
    return np.asarray(hits, dtype=np.int64), np.asarray(counts.sum(axis=(-2, -1)), dtype=np.int64)


def share(successes: NDArray[np.integer], rows: NDArray[np.integer]) -> NDArray[np.float64]:
    """Successes over rows, NaN where there are no rows."""
    found = np.full(np.broadcast(successes, rows).shape, np.nan)
    np.divide(successes, rows, out=found, where=np.asarray(rows) > 0)
    return found


def macro(counts: NDArray[np.integer], metric: str) -> NDArray[np.float64]:
    """Unweighted mean over classes of a rate, each class against the rest: (…, classes, classes) -> (…).

    NaN where a class has no row that the rate is a share of: an average over fewer classes is another figure.
    """
    classes = counts.shape[-1]
    per_class = [share(*rate(outcomes(counts, code), metric)) for code in range(classes)]
    return np.asarray(np.mean(per_class, axis=0), dtype=float)


def auc(scores: NDArray[np.integer]) -> NDArray[np.float64]:
    """Area under the ROC curve from histograms: (…, 2, bins) -> (…); NaN without rows of both classes.

    Pairs within one bin count half, as ties do.
    """
    negatives, positives = scores[..., 0, :].astype(float), scores[..., 1, :].astype(float)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = negatives.sum(axis=-1) * positives.sum(axis=-1)
    found = np.full(pairs.shape, np.nan)
    np.divide((positives * below).sum(axis=-1), pairs, out=found, where=pairs > 0)
    return found


def calibration_error(scores: NDArray[np.integer], sums: NDArray[np.floating]) -> NDArray[np.float64]:
    """Expected calibration error over ten bins of equal width: (…, 2, bins) and (…, bins) -> (…); NaN without rows.

    Source:
        Naeini, Cooper and Hauskrecht (2015), AAAI; Guo et al. (2017), arXiv:1706.04599.
    """
    wide = (*scores.shape[:-1], CALIBRATION_BINS, BINS // CALIBRATION_BINS)
    pooled = scores.reshape(wide).sum(axis=-1).astype(float)
    said = sums.reshape(*sums.shape[:-1], *wide[-2:]).sum(axis=-1)
    gaps = np.abs(pooled[..., 1, :] - said).sum(axis=-1)
    rows = pooled.sum(axis=(-2, -1))
    found = np.full(rows.shape, np.nan)
    np.divide(gaps, rows, out=found, where=rows > 0)
    return found


def difference(values: NDArray[np.floating]) -> float:
    """Largest minus smallest: Fairlearn's `between_groups`."""
    return float(values.max() - values.min())


def ratio(values: NDArray[np.floating]) -> float:
    """Smallest over largest, NaN where all are 0: Fairlearn's `between_groups`."""
    return float(values.min() / values.max()) if values.max() > 0 else float("nan")
