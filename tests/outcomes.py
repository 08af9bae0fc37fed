"""What tests of evaluators ask of outcomes, and the columns that they are made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from governance.measure import Fact, Measurement, NotMeasured, Outcome


def column(values: Sequence[object]) -> np.ndarray:
    """An object array of these values; numpy would make strings of None and matrices of lists."""
    return np.array([*values, None], dtype=object)[:-1]


def by_name(outcomes: Sequence[Outcome], task: str) -> dict[tuple[str, str], Outcome]:
    """(metric without its "fairness.", slice) -> outcome, of one model and task."""
    found = {(x.metric.removeprefix("fairness."), x.slice.label()): x for x in outcomes}
    assert len(found) == len(outcomes)  # no metric stands twice
    assert {(x.model, x.task) for x in outcomes} == {("m", task)}
    return found


def measured(outcome: Outcome, within: float = 1e-12) -> Measurement:
    """A measurement with two ends that hold its value, up to rounding."""
    assert isinstance(outcome, Measurement), outcome
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low - within <= outcome.value <= outcome.high + within
    return outcome


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, NotMeasured), outcome
    return outcome.reason


def fact(outcome: Outcome) -> float:
    assert isinstance(outcome, Fact), outcome
    return outcome.value
