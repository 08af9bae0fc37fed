"""Whether a fresh sample's inputs look like those of the audited run: lengths, scripts, categories, the texts as such.

What is compared are the summaries that both runs keep (`governance.inputs`). An older run, and a table of decisions,
keep none; then the categories that the record itself counts are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from governance.inputs import LABEL, LEAST, MISSING, Histogram, Inputs, load_inputs, paired_bins
from governance.matching import check_comparable, level_of
from governance.measure import EVERYONE, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy.model import BASELINE
from governance.record import RunRecord
from governance.statistics.distances import (
    Distance,
    Shares,
    jensen_shannon,
    kolmogorov,
    mean_shift,
    population_stability,
    total_variation,
)

NO_SUMMARY = "no summary of the texts is kept by {side}"
METRICS = ("drift.length", "drift.script", "drift.category", "drift.embedding")
"""The figures; those on counts are also told as `.psi` and `.divergence`."""


def drift_since(
    record: RunRecord, directory: Path, baseline: RunRecord, baseline_directory: Path
) -> tuple[Outcome, ...]:
    """How far a run's inputs are from an earlier run's, with reference "baseline"; of no model in particular.

    - `drift.length` (by measure: characters, tokens): largest difference of the shares of rows up to a length.
    - `drift.script`, `drift.category` (by column; "(label)" is the true class): total variation, the share of rows
      that would have to change.
    - `drift.embedding`: half the distance between the mean vectors of hashed character n-grams (MMD), its p of no
      shift among the counts.

    Those on counts are also told as `.psi` (population stability index) and `.divergence` (Jensen-Shannon, bits).

    Raises:
        RecordError: the runs are of different tasks, or a summary is damaged.
    """
    check_comparable(record, baseline)
    level, seed = level_of(record), record.lineage.seed
    now, then = load_inputs(record, directory), load_inputs(baseline, baseline_directory)
    found: list[Outcome] = []
    if now is None or then is None:
        reason = NO_SUMMARY.format(side="this run" if now is None else "the baseline")
        for metric in ("drift.length", "drift.script", "drift.embedding"):
            found.append(_missing(metric, reason))
        categories = _counted(record), _counted(baseline)
    else:
        for name, histogram in now.lengths.items():
            where = Slice.of(measure=name)
            found += _distances("drift.length", where, histogram, then.lengths.get(name), level, seed)
        found += _distances("drift.script", EVERYONE, now.script, then.script, level, seed)
        found.append(_embedding(now, then, level, seed))
        categories = now.categories, then.categories
    return (*found, *_categories(*categories, level, seed))


def _counted(record: RunRecord) -> Mapping[str, Histogram]:
    """Categories as a record counts them; where rows come in clusters, each counts as one row."""
    data = record.data
    share = data.clusters_test / data.rows_test if data.rows_test else 1.0
    columns = {name: {**values, MISSING: data.groups_missing.get(name, 0)} for name, values in data.groups.items()}
    if data.labels:
        columns[LABEL] = dict(data.labels)
    found = {}
    for name, counts in columns.items():
        rows = sum(counts.values())
        if rows:
            told = {value: n for value, n in counts.items() if n >= 5}
            found[name] = Histogram(counts=told, few=rows - sum(told.values()), effective=min(rows, rows * share))
    return found


def _categories(
    now: Mapping[str, Histogram], then: Mapping[str, Histogram], level: float, seed: int
) -> Iterator[Outcome]:
    if not now and not then:
        yield _missing("drift.category", "neither run has labels or group columns")
    for name in dict.fromkeys((*now, *then)):
        where, mine = Slice.of(column=name), now.get(name)
        if mine is None:
            yield _missing("drift.category", f"this run has no column '{name}'", where)
        else:
            yield from _distances("drift.category", where, mine, then.get(name), level, seed)


def _distances(
    metric: str, where: Slice, now: Histogram, then: Histogram | None, level: float, seed: int
) -> Iterator[Outcome]:
    """One figure on counts in its three forms."""
    if then is None:
        yield _missing(metric, "the baseline counts no such thing", where)
        return
    if now.order != then.order:
        yield _missing(metric, "the baseline counts in other bins", where)
        return
    bins = paired_bins(now, then)
    norm, said = (kolmogorov, "Kolmogorov-Smirnov") if now.order else (total_variation, "total variation")
    forms = (
        (metric, norm(*bins, level=level, seed=seed), Unit.SCORE, f"{said} of binned counts; resampled errors"),
        (f"{metric}.psi", population_stability(*bins, level=level), Unit.NATS, _NONCENTRAL),
        (f"{metric}.divergence", jensen_shannon(*bins, level=level), Unit.SCORE, _NONCENTRAL),
    )
    for name, distance, unit, method in forms:
        yield _measured(name, distance, where, unit, method, level, now.rows, _sizes(now, then, bins))


_NONCENTRAL = "of binned counts; noncentral chi-squared interval"


def _sizes(now: Histogram, then: Histogram, bins: tuple[Shares, Shares]) -> Mapping[str, float]:
    return {
        "rows_before": then.rows,
        "effective": now.effective,
        "effective_before": then.effective,
        "bins": len(bins[0].counts),
    }


def _embedding(now: Inputs, then: Inputs, level: float, seed: int) -> Outcome:
    metric = "drift.embedding"
    for side, inputs in (("this run", now), ("the baseline", then)):
        if inputs.features is None:
            return _missing(metric, f"{side} has too few independent rows, {LEAST} needed")
    assert now.features is not None and then.features is not None  # noqa: S101 - narrows
    if now.features.made != then.features.made:
        return _missing(metric, "the baseline's features are made in another way")
    distance, p = mean_shift(now.features.vector, then.features.vector, level=level, seed=seed)
    method = "half the distance of mean vectors of hashed character n-grams (MMD); Gaussian limit"
    return _measured(
        metric, distance, EVERYONE, Unit.SCORE, method, level, now.rows, {"rows_before": then.rows, "p": p}
    )


def _measured(
    metric: str,
    distance: Distance,
    where: Slice,
    unit: Unit,
    method: str,
    level: float,
    n: int,
    counts: Mapping[str, float],
) -> Measurement:
    return Measurement(
        metric=metric,
        value=distance.value,
        low=distance.low,
        high=distance.high,
        level=level,
        n=n,
        unit=unit,
        method=method,
        reference=BASELINE,
        slice=where,
        counts=counts,
    )


def _missing(metric: str, reason: str, where: Slice = EVERYONE) -> NotMeasured:
    return NotMeasured(metric=metric, reason=reason, reference=BASELINE, slice=where)
