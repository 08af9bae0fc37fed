"""What changed since an earlier run, with intervals: the same figures of two records, side by side.

Where both runs asked the very same rows, the two models are compared on those rows, which is far more precise than
comparing their figures. Everywhere else the two figures count as measured on independent rows; where the rows are
in truth the same, their errors rise and fall together and the interval is wider than it had to be, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from governance.matching import check_comparable, counterpart, level_of, paired_changes
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy.model import BASELINE
from governance.record import ModelEntry, RunRecord
from governance.statistics.intervals import Interval
from governance.vocabulary import CHANGE, CHANGE_UNITS

CHOSEN = ("slices.error", "explanation.weight")
"""Figures of slices that each run picks for itself: no slice is demanded of the other run."""
EXACT = "difference of two exact figures"
INDEPENDENT = "MOVER from the two runs' own intervals, as of independent rows"
SAME = "the same model on the same rows gives the same figure"
_TINY = 1e-100  # what is divided by less may be no number
_MOST = 700.0  # e**700 is finite

Place: TypeAlias = tuple[str, str | None, Slice]
"""Metric, task and slice: what one model's figure is found by."""


def changes_since(
    record: RunRecord, directory: Path, baseline: RunRecord, baseline_directory: Path
) -> tuple[Outcome, ...]:
    """The change of every figure since an earlier run, named `<metric>.change`, with reference "baseline".

    Models are matched by name, and the candidates with each other where their names differ. Differences between two
    models of one run are left out. Changes are told in the figure's unit; of rates, scores and ratios as differences;
    of times and money relative to the earlier run's.

    Args:
        record: this run's.
        directory: where it and its predictions are.
        baseline: the earlier run's.
        baseline_directory: where that one is.

    Returns:
        An outcome per figure of either run; `NotMeasured`, with the reason, where one of them lacks it.

    Raises:
        RecordError: the runs are of different tasks, or predictions can't be read.
    """
    check_comparable(record, baseline)
    level = level_of(record)
    found = [*_changes(record, baseline, None, None)]
    for entry in record.models:
        before = counterpart(entry, record, baseline)
        if before is None:
            found += _unmatched(record, entry, f"the baseline has no model '{entry.name}'")
            continue
        paired = {
            (change.metric, change.task, change.slice): change
            for change in paired_changes(record, directory, entry, baseline, baseline_directory, before, level=level)
        }
        same = _same_model(record, entry, baseline, before)
        for change in _changes(record, baseline, entry, before, same=same):
            on_rows = paired.get((change.metric, change.task, change.slice))
            exact = isinstance(change, Measurement) and change.method == SAME
            found.append(change if on_rows is None or exact else _with_ends(on_rows, change))
    return tuple(found)


def _same_model(record: RunRecord, entry: ModelEntry, baseline: RunRecord, before: ModelEntry) -> bool:
    """Whether two entries are one model that was asked the same data: then equal figures are no coincidence."""
    return (
        entry.digest is not None
        and entry.digest == before.digest
        and (entry.kind, entry.settings) == (before.kind, before.settings)
        and record.data.digest == baseline.data.digest
        and record.lineage.policy == baseline.lineage.policy
    )


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure and its ends; those of a fact are itself."""

    value: float
    low: float | None
    high: float | None
    level: float | None
    n: int | None

    @classmethod
    def of(cls, outcome: Measurement | Fact) -> _Figure:
        if isinstance(outcome, Fact):
            return cls(outcome.value, outcome.value, outcome.value, None, None)
        return cls(outcome.value, outcome.low, outcome.high, outcome.level, outcome.n)


def _figures(record: RunRecord, entry: ModelEntry | None) -> dict[Place, Outcome]:
    """One model's figures, or those of no model; comparisons with other models are none."""
    name = None if entry is None else entry.name
    return {
        (one.metric, one.task, one.slice): one
        for one in record.outcomes
        if one.model == name and getattr(one, "reference", None) is None
    }


def _changes(
    record: RunRecord,
    baseline: RunRecord,
    entry: ModelEntry | None,
    before: ModelEntry | None,
    *,
    same: bool = False,
) -> Iterator[Outcome]:
    now, then = _figures(record, entry), _figures(baseline, before)
    model = None if entry is None else entry.name
    for place in dict.fromkeys((*now, *then)):
        one, other = now.get(place), then.get(place)
        if place[0] in CHOSEN and (one is None or other is None):
            continue
        yield _change(place, model, one, other, same=same)


def _unmatched(record: RunRecord, entry: ModelEntry, reason: str) -> Iterable[Outcome]:
    return [_missing(place, entry.name, reason) for place in _figures(record, entry) if place[0] not in CHOSEN]


def _missing(place: Place, model: str | None, reason: str) -> NotMeasured:
    metric, task, where = place
    return NotMeasured(metric=metric + CHANGE, reason=reason, model=model, reference=BASELINE, task=task, slice=where)


def _change(place: Place, model: str | None, now: Outcome | None, then: Outcome | None, *, same: bool) -> Outcome:
    """How much one figure changed, from the two figures alone."""
    for side, outcome in (("this run", now), ("the baseline", then)):
        if outcome is None:
            return _missing(place, model, f"{side} has no such figure")
        if isinstance(outcome, NotMeasured):
            return _missing(place, model, f"{side}: {outcome.reason}")
    assert isinstance(now, Measurement | Fact) and isinstance(then, Measurement | Fact)  # noqa: S101 - narrows
    unit = CHANGE_UNITS.get(now.unit, now.unit)
    relative = unit is Unit.RELATIVE and now.unit is not Unit.RELATIVE
    mine, theirs = _Figure.of(now), _Figure.of(then)
    if now.unit != then.unit:
        return _missing(place, model, f"this run counts it in {now.unit}, the baseline in {then.unit}")
    if relative and theirs.value < _TINY:
        return _missing(place, model, "the baseline's figure is 0, so nothing can be told relative to it")
    value = mine.value / theirs.value - 1 if relative else mine.value - theirs.value
    shared: dict[str, Any] = {"metric": place[0] + CHANGE, "task": place[1], "slice": place[2], "model": model}
    shared |= {"value": value, "unit": unit, "reference": BASELINE}
    if isinstance(now, Fact) and isinstance(then, Fact):
        return Fact(method=EXACT, **shared)
    if same and mine == theirs and now.unit not in (Unit.SECONDS, Unit.MONEY):
        bounds, method = Interval(0.0, 0.0), SAME
    else:
        bounds, method = (_ratio if relative else _difference)(mine, theirs), INDEPENDENT
    return Measurement(
        low=bounds.low,
        high=bounds.high,
        level=min(level for level in (mine.level, theirs.level) if level is not None),
        n=min(n for n in (mine.n, theirs.n) if n is not None),
        method=method,
        counts={"now": mine.value, "before": theirs.value},
        **shared,
    )


def _difference(now: _Figure, then: _Figure) -> Interval:
    """Interval of `now - then` from the two sides' own; an end is None where what it is made of is.

    Source:
        Newcombe (1998), Stat. Med. 17, method 10; Zou and Donner (2008), Stat. Med. 27 (MOVER).
    """
    difference = now.value - then.value

    def off(mine: float | None, theirs: float | None) -> float | None:
        return None if mine is None or theirs is None else math.hypot(now.value - mine, then.value - theirs)

    below, above = off(now.low, then.high), off(now.high, then.low)
    return Interval(None if below is None else difference - below, None if above is None else difference + above)


def _ratio(now: _Figure, then: _Figure) -> Interval:
    """Interval of `now / then - 1` for quantities >= 0 and `then` above 0: that of the difference of their logarithms.

    Source:
        Zou and Donner (2008), Stat. Med. 27, section 3.
    """

    def log(value: float | None) -> float | None:
        return math.log(value) if value is not None and value > 0 else None

    if now.value <= 0:
        return Interval(-1.0, None if now.high is None or not then.low else now.high / then.low - 1)
    sides = (replace(side, value=math.log(side.value), low=log(side.low), high=log(side.high)) for side in (now, then))
    low, high = _difference(*sides)
    return Interval(
        -1.0 if low is None else math.expm1(min(low, _MOST)),
        None if high is None or high > _MOST else math.expm1(high),
    )


def _with_ends(paired: Outcome, unpaired: Outcome) -> Outcome:
    """The change on the shared rows, beside what either run reports of all its rows."""
    if isinstance(paired, Measurement) and isinstance(unpaired, Measurement):
        return replace(paired, counts={**unpaired.counts, **paired.counts})
    return unpaired if isinstance(paired, NotMeasured) else paired
