"""From scores to outcomes: every imported figure with its own interval, or why it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from governance.errors import RecordError
from governance.imports.logs import NO_SAMPLES, RESERVED, Column, Log, Reported, slug
from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.statistics.intervals import Bounds, clustered_wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX, COVERAGE, DIFFERENCE = "imported.", "coverage", "difference"


def names(log: Log) -> Mapping[str, str]:
    """Scorer or metric of a log -> the outcome's name.

    Raises:
        RecordError: two of them would get one name.
    """
    made: dict[str, str] = {}
    for score in log.scores:
        part = slug(score)
        made[score] = f"{PREFIX}{slug(log.task)}.{f'{part}-score' if part in RESERVED else part}"
    if len(set(made.values())) < len(made):
        raise RecordError(f"task {slug(log.task)}: two of its scorers or metrics would both be called alike")
    return made


def figures(logs: Sequence[tuple[str, Log]], *, level: float, pairs: Sequence[tuple[str, str]] = ()) -> list[Outcome]:
    """All figures of several logs, and how models differ on the tasks that both have.

    Args:
        logs: what the record calls the model, and its log.
        level: of the intervals.
        pairs: a model and the one that it is compared with.

    Raises:
        RecordError: one model has two logs of one task, or two scorers would get one name.
    """
    by_task: dict[tuple[str, str], Log] = {}
    for model, log in logs:
        if by_task.setdefault((model, slug(log.task)), log) is not log:
            raise RecordError(f"two files hold model {model} on task {slug(log.task)}; give one of them, or name them")
    found = [outcome for model, log in logs for outcome in measure(log, model=model, level=level)]
    for model, reference in pairs:
        for (own, task), log in by_task.items():
            other = by_task.get((reference, task))
            if own == model and other is not None:
                found += differences(log, other, model=model, reference=reference, level=level)
    return found


def measure(log: Log, *, model: str, level: float) -> list[Outcome]:
    """All figures of a log, its coverage first.

    Args:
        log: one model on one task.
        model: what the record calls it.
        level: of the intervals.

    Raises:
        RecordError: two of its scorers would get one name.
    """
    found: Mapping[str, Column | Reported | str] = {
        f"{PREFIX}{slug(log.task)}.{COVERAGE}": log.coverage,
        **{name: log.scores[score] for score, name in names(log).items()},
    }
    return [_figure(metric, score, log, model, level) for metric, score in found.items()]


def _figure(metric: str, score: Column | Reported | str, log: Log, model: str, level: float) -> Outcome:
    found = _of_column(score, level) if isinstance(score, Column) else _of_report(score, level)
    if isinstance(found, str):
        return NotMeasured(metric=metric, model=model, reason=found)
    return _measurement(log, metric, found, model=model, level=level)


_Found = tuple[float, Bounds, str, Unit, int, Mapping[str, float]]
"""Value, interval, how it was made, unit, samples, counts."""


def _measurement(
    log: Log, metric: str, found: _Found, *, model: str, level: float, reference: str | None = None
) -> Measurement:
    value, bounds, how, unit, n, counts = found
    return Measurement(
        metric=metric,
        model=model,
        reference=reference,
        value=value,
        low=bounds.low,
        high=bounds.high,
        level=level,
        n=n,
        unit=unit,
        method=f"imported from {log.source}: {how}",
        counts=counts,
    )


def _of_column(column: Column, level: float) -> _Found | str:
    """Wilson's interval for scores of 0 and 1, a t interval for others; both know about clusters."""
    n = len(column.values)
    if n == 0:
        return "no sample has a score"
    codes = column.codes
    clusters = int(codes.max()) + 1
    if column.binary:
        rate = clustered_wilson(np.bincount(codes, column.values), np.bincount(codes), level)
        how = "Wilson on the effective sample size (Rao-Scott)" if clusters < n else "Wilson interval"
        return rate.value, rate.bounds, how, Unit.RATE, n, {"clusters": clusters}
    if clusters < 2:
        return "scores of one sample alone say nothing about other samples"
    if float(np.ptp(column.values)) == 0:
        return f"all {n} scores are alike, and nothing says what else they could be"
    from governance.statistics.means import group_means

    (mean,) = group_means(column.values, np.zeros(n, dtype=np.int64), codes, level=level)
    # Scores that were seen between 0 and 1 may be able to leave it: nothing says what their scale is.
    return mean.value, mean.bounds, "t interval over samples", Unit.UNITS, n, {"clusters": clusters}


def _of_report(score: Reported | str, level: float) -> _Found | str:
    """A normal interval from what is stated, which nobody can check."""
    if isinstance(score, str):
        return score
    stated = f"reported as {score.value:.4g}"
    if score.error is None:
        return f"{stated}, without a standard error or the scores to take one from"
    if score.n is None:
        return f"{stated}, without the number of samples"
    if score.n < 2 or score.error == 0:
        spread = f"a standard error of {score.error:.4g} from {score.n} samples"
        return f"{stated} with {spread}, which would claim certainty"
    from scipy.special import ndtri

    half = float(ndtri(0.5 + level / 2)) * score.error
    how = "normal interval from the standard error that it reports"
    return score.value, Bounds(score.value - half, score.value + half), how, Unit.UNITS, score.n, {}


def differences(log: Log, other: Log, *, model: str, reference: str, level: float) -> list[Outcome]:
    """How much higher one log's scores are than another's, on the samples that both have.

    Args:
        log: of the model that a difference above 0 favours, where more is better.
        other: of the model that it is compared with, on the same task.
        model: what the record calls the one.
        reference: what it calls the other.
        level: of the intervals.
    """
    theirs = {name: other.scores[score] for score, name in names(other).items()}
    return list(_differences(log, theirs, model, reference, level))


def _differences(
    log: Log, theirs: Mapping[str, Column | Reported | str], model: str, reference: str, level: float
) -> Iterator[Outcome]:
    for score, name in names(log).items():
        if name not in theirs:
            continue
        metric, found = f"{name}.{DIFFERENCE}", _difference(log.scores[score], theirs[name], level)
        if isinstance(found, str):
            yield NotMeasured(metric=metric, model=model, reference=reference, reason=found)
            continue
        yield _measurement(log, metric, found, model=model, level=level, reference=reference)


def _difference(mine: Column | Reported | str, theirs: Column | Reported | str, level: float) -> _Found | str:
    from governance.statistics.paired import paired_difference

    if not (isinstance(mine, Column) and isinstance(theirs, Column)):
        return NO_SAMPLES
    place = {key: at for at, key in enumerate(theirs.keys)}
    left = np.array([at for at, key in enumerate(mine.keys) if key in place], dtype=np.int64)
    if len(left) == 0:
        return "the two files share no sample"
    right = np.array([place[mine.keys[at]] for at in left], dtype=np.int64)
    codes: NDArray[np.int64] = mine.codes[left]
    clusters = len(np.unique(codes))
    if clusters < 2:
        return "one shared sample says nothing about other samples"
    binary = mine.binary and theirs.binary
    gap = mine.values[left] - theirs.values[right]
    if not binary and float(np.ptp(gap)) == 0:
        return "all differences are alike, and nothing says what else they could be"
    found = paired_difference(
        mine.values[left],
        theirs.values[right],
        clusters=codes,
        level=level,
        reach=(-1.0, 1.0) if binary else None,
    )
    unit = Unit.DIFFERENCE if binary else Unit.UNITS
    left_out = {"only_model": len(mine.keys) - len(left), "only_reference": len(theirs.keys) - len(left)}
    how = "paired by sample; t interval over clusters"
    return found.value, found.bounds, how, unit, found.n, {"clusters": clusters, **left_out}
