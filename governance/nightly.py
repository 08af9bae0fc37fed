"""Evidence over many nights: has the accuracy fallen below the baseline's? Looked at every night, without false alarms.

Each night's rows are bets against "at least as accurate as at the baseline". How accurate that was is not known either,
only measured: so whoever bets must also bet on the baseline's rows, and what counts is the product of both wealths
under the accuracy that suits the model best. If the model has not become worse, that product reaches 20 on any night,
ever, with a chance of at most 1 in 20.

A file beside the baseline keeps the bets: append-only, one line a night, sums only, no rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.errors import ConfigError, RecordError
from governance.journal import Journal
from governance.matching import check_comparable, counterpart, level_of, read_rows
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from governance.policy.model import BASELINE
from governance.record import ModelEntry, RunRecord
from governance.statistics.sequential import BettingProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
EVIDENCE, ACCURACY = "drift.evidence", "drift.accuracy"
NO_STATE = "no file keeps the evidence of earlier nights; name one: --state FILE"
_START = BettingProcess(null=0.5, reach=(0.0, 1.0))
_MOST = 700.0  # e**700 is finite


@dataclass(frozen=True)
class Pair:
    """Bets on one model's rows: the baseline's, and all nights' since.

    Attributes:
        before: on the baseline's rows.
        since: on the rows of all nights so far.
    """

    before: BettingProcess
    since: BettingProcess

    def log_e(self) -> float:
        """Log of the e-value against "the accuracy since is at least the baseline's"."""
        before, since = replace(self.before, alternative="greater"), replace(self.since, alternative="less")
        return _least(lambda mean: before.log_e(mean) + since.log_e(mean), 0.0, 1.0)

    def change(self, level: float) -> tuple[float, float, float]:
        """Accuracy since minus the baseline's, and ends that hold it on all nights together."""
        from scipy.optimize import brentq

        assert self.before.mean is not None and self.since.mean is not None  # noqa: S101 - the caller has observations
        centre = self.since.mean - self.before.mean
        threshold = -math.log1p(-level)

        def excess(change: float) -> float:
            low, high = max(0.0, -change), min(1.0, 1.0 - change)
            both = _least(lambda mean: self.before.log_e(mean) + self.since.log_e(_unit(mean + change)), low, high)
            return both - threshold

        low = float(brentq(excess, -1.0, centre)) if excess(-1.0) > 0 else -1.0
        high = float(brentq(excess, centre, 1.0)) if excess(1.0) > 0 else 1.0
        return centre, min(low, centre), max(high, centre)


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))  # rounding


def _least(log_wealth: Callable[[float], float], low: float, high: float) -> float:
    """The least of a convex function over an interval, its ends included."""
    from scipy.optimize import minimize_scalar

    ends = min(log_wealth(low), log_wealth(high))
    if high - low < 1e-12:
        return ends
    found = minimize_scalar(log_wealth, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    return min(ends, float(found.fun))


def evidence_since(
    record: RunRecord,
    directory: Path,
    baseline: RunRecord,
    baseline_directory: Path,
    state: Path | None,
) -> tuple[Outcome, ...]:
    """Add a night to the evidence and tell it: `drift.evidence`, an e-value, and `drift.accuracy`, the change so far.

    The same run again adds nothing and tells what it told; another run of the same data adds nothing either, since
    the same row again is no new observation.

    Args:
        record: the night's.
        directory: where it and its predictions are.
        baseline: the audited run's.
        baseline_directory: where that is.
        state: the file; made on the first night. None: nothing is told but that.

    Raises:
        ConfigError: the file belongs to another baseline.
        RecordError: the file is damaged, or the runs are of different tasks.
    """
    import filelock

    check_comparable(record, baseline)
    pairs = [(entry, counterpart(entry, record, baseline)) for entry in record.models]
    if state is None:
        return tuple(_missing(metric, e.name, NO_STATE) for e, old in pairs if old for metric in (EVIDENCE, ACCURACY))
    state.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{state}.lock"):
        book = _Book(Journal(state), baseline)
        night = book.night(record, directory, baseline_directory, pairs)
    found: list[Outcome] = []
    for entry, old in pairs:
        if old is not None:
            found += _told(entry.name, night.get(entry.name), level_of(record))
    return tuple(found)


@dataclass(frozen=True)
class _Book:
    """The file: a line on the baseline, then one a night with the sums so far."""

    journal: Journal
    baseline: RunRecord

    def __post_init__(self) -> None:
        if not self.journal.entries:
            return
        first = self.journal.entries[0]
        if first.get("kind") != "evidence" or first.get("schema") != SCHEMA:
            raise RecordError(f"{self.journal.path}: not a file of evidence that this version keeps")
        if first.get("baseline") != self.baseline.digest():
            raise ConfigError(
                f"{self.journal.path}: keeps the evidence against another baseline; name that one, or another file"
            )

    def night(
        self,
        record: RunRecord,
        directory: Path,
        baseline_directory: Path,
        pairs: list[tuple[ModelEntry, ModelEntry | None]],
    ) -> Mapping[str, Pair]:
        """The evidence as of a run, by its models' names; the run is added where it is new."""
        digest, data = record.digest(), record.data.digest
        nights = self.journal.entries[1:]
        known = next((line for line in nights if line.get("record") == digest), None)
        if known is None and data in {self.baseline.data.digest, *(line.get("data") for line in nights)}:
            known = nights[-1] if nights else {"models": {}}  # no new rows
        if known is not None:
            return self._pairs(known)
        if not nights and not self.journal.entries:
            self.journal.append({"kind": "evidence", "schema": SCHEMA, "baseline": self.baseline.digest()})
        last = dict(self._pairs(nights[-1])) if nights else {}
        for entry, old in pairs:
            if old is None or (fresh := observations(record, directory, entry.name)) is None:
                continue
            pair = last.get(entry.name)
            if pair is None:
                first = observations(self.baseline, baseline_directory, old.name)
                pair = None if first is None else Pair(_START.update(first), _START)
            if pair is not None:
                last[entry.name] = replace(pair, since=pair.since.update(fresh))
        models = {name: {"before": p.before.to_json(), "since": p.since.to_json()} for name, p in last.items()}
        self.journal.append({"record": digest, "data": data, "made": record.created, "models": models})
        return last

    def _pairs(self, line: Mapping[str, Any]) -> Mapping[str, Pair]:
        try:
            return {
                name: Pair(BettingProcess.from_json(kept["before"]), BettingProcess.from_json(kept["since"]))
                for name, kept in line["models"].items()
            }
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RecordError(f"{self.journal.path}: not evidence that was kept ({type(error).__name__})") from None


def observations(record: RunRecord, directory: Path, model: str) -> NDArray[np.float64] | None:
    """Right or wrong, 1 or 0, per independent row; the mean per cluster where rows come in clusters; shape (n,).

    A row without an answer is wrong. From the run's predictions, or, where it keeps none, from what its record counts;
    None where neither tells.

    Raises:
        RecordError: predictions can't be read.
    """
    asked = read_rows(record, directory, model)
    if asked is not None:
        if asked.clusters is None or len(asked.rows) == 0:
            return None
        _, codes = np.unique(asked.clusters, return_inverse=True)
        return np.asarray(np.bincount(codes, asked.right) / np.bincount(codes))
    for one in record.outcomes:
        alone = isinstance(one, Measurement) and (one.metric, one.model) == ("quality.accuracy", model)
        if alone and isinstance(one, Measurement) and one.counts.get("clusters") == one.n and not one.slice.pairs:
            return np.repeat([1.0, 0.0], [hits := round(one.value * one.n), one.n - hits])
    return None


def _told(model: str, pair: Pair | None, level: float) -> list[Outcome]:
    if pair is None or not pair.since.n or not pair.before.n:
        reason = "no night has told right from wrong for this model in independent rows"
        return [_missing(metric, model, reason) for metric in (EVIDENCE, ACCURACY)]
    value, low, high = pair.change(level)
    return [
        Fact(
            metric=EVIDENCE, value=math.exp(min(_MOST, pair.log_e())), unit=Unit.RATIO, model=model,
            reference=BASELINE, method="e-value against: at least as accurate as the baseline; over all nights so far",
        ),
        Measurement(
            metric=ACCURACY, value=value, low=low, high=high, level=level, n=pair.since.n, unit=Unit.DIFFERENCE,
            method="over all nights so far; the interval holds on all nights together", model=model,
            reference=BASELINE, counts={"now": pair.since.mean or 0.0, "before": pair.before.mean or 0.0,
                                        "n_before": pair.before.n},
        ),
    ]  # fmt: skip


def _missing(metric: str, model: str, reason: str) -> NotMeasured:
    return NotMeasured(metric=metric, reason=reason, model=model, reference=BASELINE)
