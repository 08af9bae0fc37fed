"""How well scores rank and how far they can be taken at their word, group by group: AUC and calibration error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from governance.groups.asked import Asked
from governance.groups.clusters import Counted, table_of
from governance.groups.counts import BINS
from governance.groups.metrics import CALIBRATION_BINS, auc, calibration_error
from governance.measure import ANY, Outcome, Slice, Unit
from governance.statistics.bootstrap import ClusterBootstrap, Ranking, percentile_interval
from governance.statistics.intervals import Bounds, spread_interval
from governance.statistics.multiplicity import sidak
from governance.statistics.resample import multinomial_draws
from governance.statistics.scores import rarest

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2_000
METRICS = ("auc", "calibration_error")
_METHOD = f"cluster bootstrap, {DRAWS} draws"
_GAP = f"between groups; Šidák-simultaneous {_METHOD}"


@dataclass(frozen=True)
class Scored:
    """Rows of one group column with their scores; arrays of shape (n,).

    Attributes:
        names: values of the column.
        codes: value of each row.
        positive: whether the row is of the positive class.
        scores: of the positive class; None: the model gives none. NaN where a row has none.
        clusters: rows with one code are not independent.
        seed: of the resampling.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    positive: NDArray[np.bool_]
    scores: NDArray[np.float64] | None
    clusters: NDArray[np.int64]
    seed: int


def score_outcomes(scored: Scored, column: str, asked: Asked) -> list[Outcome]:
    """AUC and expected calibration error of every group, and the largest gap of each."""
    found: list[Outcome] = []
    everyone = asked.slice({column: ANY})
    if scored.scores is None:
        none = "the model gives labels without scores"
        return [asked.missing(f"{metric}.difference", everyone, none) for metric in METRICS]
    resampled = {metric: dict[int, _Resampled]() for metric in METRICS}
    for code, name in enumerate(scored.names):
        rows = np.flatnonzero((scored.codes == code) & np.isfinite(scored.scores))
        if reason := _small(len(rows), int(scored.positive[rows].sum()), asked):
            found += [asked.missing(metric, asked.slice({column: name}), reason) for metric in METRICS]
            continue
        for metric, one in _resample(scored, rows).items():
            resampled[metric][code] = one
            found.append(_one(metric, asked.slice({column: name}), one, asked))
    return found + _gaps(resampled, len(scored.names), everyone, asked)


@dataclass(frozen=True)
class _Resampled:
    value: float
    draws: NDArray[np.float64]
    clusters: int
    rows: int

    def bounds(self, level: float) -> Bounds:
        return percentile_interval(self.draws, self.value, level=level, clusters=self.clusters)


def _small(rows: int, positives: int, asked: Asked) -> str | None:
    if rows < asked.min_rows:
        return f"{rows} rows, {asked.min_rows} needed"
    for kind, count in (("positive", positives), ("negative", rows - positives)):
        if count < asked.min_class_rows:
            return f"{count} {kind} rows among {rows}, {asked.min_class_rows} needed"
    return None


def _one(metric: str, where: Slice, one: _Resampled, asked: Asked) -> Outcome:
    counts = {"rows": one.rows, "clusters": one.clusters}
    ends = one.bounds(asked.level)
    return asked.measured(metric, where, one.value, ends, n=one.rows, unit=Unit.SCORE, method=_METHOD, counts=counts)


def _gaps(
    resampled: Mapping[str, Mapping[int, _Resampled]], groups: int, everyone: Slice, asked: Asked
) -> list[Outcome]:
    found: list[Outcome] = []
    for metric, large in resampled.items():
        if len(large) < 2:
            held = f"{len(large)} of {groups} groups large enough, 2 needed"
            found.append(asked.missing(f"{metric}.difference", everyone, held))
            continue
        bounds = [one.bounds(sidak(asked.level, len(large))) for one in large.values()]
        values = [one.value for one in large.values()]
        found.append(
            asked.measured(
                f"{metric}.difference", everyone, max(values) - min(values), spread_interval(bounds),
                n=sum(one.rows for one in large.values()), unit=Unit.DIFFERENCE, method=_GAP,
                counts={"groups": len(large), "groups_too_small": groups - len(large)},
            )
        )  # fmt: skip
    return found


def _resample(scored: Scored, rows: NDArray[np.int64]) -> dict[str, _Resampled]:
    assert scored.scores is not None  # noqa: S101 - narrows the type
    scores, positive = scored.scores[rows], scored.positive[rows]
    boot = ClusterBootstrap(scored.clusters[rows], draws=DRAWS, seed=scored.seed)
    ranking = Ranking(scores, positive)
    ranked = _Resampled(
        float(ranking.auc()[0]), boot.rows(ranking.auc), rarest(positive.astype(np.int64), boot.codes), len(rows)
    )
    # Per cluster and tenth of the scale: positives minus what was said; the error needs nothing else of them.
    tenth = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    short = (np.arange(CALIBRATION_BINS) == tenth[:, None]) * (positive - scores)[:, None]
    gaps = boot.table(np.column_stack([short, np.ones(len(rows))]))
    draws = boot.sums(gaps)
    error = np.abs(draws[:, :-1]).sum(axis=1) / draws[:, -1]
    value = float(np.abs(gaps[:, :-1].sum(axis=0)).sum() / len(rows))
    return {"auc": ranked, "calibration_error": _Resampled(value, error, boot.count, len(rows))}


def histogram_outcomes(counted: Counted, asked: Asked, seed: int) -> list[Outcome]:
    """The same from counts alone: histograms of scores, resampled as independent rows."""
    table = table_of(counted)
    (column,) = table.columns
    everyone = asked.slice({column: ANY})
    if table.scores is None or table.score_sums is None:
        none = "the model gives labels without scores"
        return [asked.missing(f"{metric}.difference", everyone, none) for metric in METRICS]
    if counted is not table:
        none = "rows come in clusters, and histograms of scores don't know them"
        return [asked.missing(f"{metric}.difference", everyone, none) for metric in METRICS]
    found: list[Outcome] = []
    resampled = {metric: dict[int, _Resampled]() for metric in METRICS}
    for cell, (name,) in enumerate(table.cells):
        histogram, sums = table.scores[cell], table.score_sums[cell]
        if reason := _small(int(histogram.sum()), int(histogram[1].sum()), asked):
            found += [asked.missing(metric, asked.slice({column: name}), reason) for metric in METRICS]
            continue
        for metric, one in _from_histogram(histogram, sums, seed + cell).items():
            resampled[metric][cell] = one
            found.append(_one(metric, asked.slice({column: name}), one, asked))
    return found + _gaps(resampled, len(table.cells), everyone, asked)


def _from_histogram(histogram: NDArray[np.int64], sums: NDArray[np.float64], seed: int) -> dict[str, _Resampled]:
    draws = multinomial_draws(histogram, DRAWS, seed)
    rows = histogram.sum(axis=0)
    mean = np.divide(
        sums, rows, out=np.zeros(BINS), where=rows > 0
    )  # a resampled row of a bin has the bin's mean score
    n, rarest_class = int(rows.sum()), int(histogram.sum(axis=1).min())
    return {
        "auc": _Resampled(float(auc(histogram)), auc(draws), rarest_class, n),
        "calibration_error": _Resampled(
            float(calibration_error(histogram, sums)), calibration_error(draws, draws.sum(axis=1) * mean), n, n
        ),
    }
