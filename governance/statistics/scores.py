"""Classification scores as functions of counts per class, the same for a sample and for its resamples.

The summary of n rows is three counts per class: right answers, answers, rows. It adds up
over clusters, shards and draws, so a score over 2,000 draws is one matrix product away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.bootstrap import ClusterBootstrap, Ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNANSWERED = -1


def class_codes(labels: Sequence[str | None], classes: Sequence[str]) -> NDArray[np.int64]:
    """Class per row, shape (n,); `UNANSWERED` where there is no label, or one that is no class of the task."""
    index = {name: code for code, name in enumerate(classes)}
    return np.array([UNANSWERED if x is None else index.get(x, UNANSWERED) for x in labels], dtype=np.int64)


def class_counts(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, boot: ClusterBootstrap
) -> NDArray[np.float64]:
    """Counts per cluster, shape (clusters, 3 * classes): right answers, answers, rows, each by class."""
    table = np.zeros((boot.count, 3 * classes))
    right = truth == predicted
    np.add.at(table, (boot.codes[right], truth[right]), 1)
    np.add.at(table, (boot.codes, classes + predicted), 1)
    np.add.at(table, (boot.codes, 2 * classes + truth), 1)
    return table


def class_scores(
    counts: NDArray[np.float64], *, present: NDArray[np.bool_], positive: int | None
) -> Mapping[str, NDArray[np.float64]]:
    """Scores from class counts: (…, 3 * classes) -> (…) each, NaN where undefined.

    Args:
        counts: as `class_counts` makes them, summed over clusters.
        present: classes that the sample has rows of, shape (classes,); averages go over these, so that a resample
            that misses one is undefined rather than an average over fewer.
        positive: the class that precision, recall and F1 speak of; None: their unweighted mean over classes.
    """
    right, answers, rows = np.split(counts, 3, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / answers, right / rows
        f1 = 2 * right / (answers + rows)
        accuracy = right.sum(axis=-1) / rows.sum(axis=-1)

    def summary(per_class: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = per_class[..., present].mean(axis=-1) if positive is None else per_class[..., positive]
        return np.asarray(chosen, dtype=float)

    return {
        "accuracy": accuracy,
        "balanced_accuracy": recall[..., present].mean(axis=-1),
        "precision": summary(precision),
        "recall": summary(recall),
        "f1": summary(f1),
    }


class Auc:
    """AUC of one set of scored rows: of the positive class, or the unweighted mean of one class against the rest.

    Args:
        scores: shape (n, classes), finite.
        truth: class per row, shape (n,), at least two classes among them.
        positive: the positive class of a binary task; None: all classes that have rows.
    """

    def __init__(self, scores: NDArray[np.float64], truth: NDArray[np.int64], positive: int | None) -> None:
        codes = [int(code) for code in np.unique(truth)] if positive is None else [positive]
        self._rankings = [Ranking(scores[:, code], truth == code) for code in codes]

    def __call__(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """AUC per draw: (b, n) -> (b,); without weights the sample's own, shape (1,)."""
        per_class = np.stack([ranking.auc(weights) for ranking in self._rankings])
        return np.asarray(per_class.mean(axis=0), dtype=float)


def rarest(groups: NDArray[np.int64], clusters: NDArray[np.int64]) -> int:
    """The smallest number of clusters that any one class of rows stands in: what an average over classes rests on."""
    return min(len(np.unique(clusters[groups == group])) for group in np.unique(groups))
