"""The shipped policy's fairness gates, simulated: whom they fail, and whom they miss.

Where no group is treated differently a gate may fail at most 5% of the audits (here: hardly any, since it needs a
whole interval beyond its bound); a group treated much worse must be found at least 95% of the time once there are
rows enough. What lies between is unproven, and blocks.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from governance.groups.asked import Asked
from governance.groups.counts import GroupCounts
from governance.groups.gaps import group_outcomes
from governance.measure import Outcome
from governance.policy import Control, Status, hold, load_policy, worst

GATES = {control.id: control for control in load_policy("launch").controls if control.metric.startswith("fairness.")}
RUNS = 200


def audit(rng: np.random.Generator, rows: np.ndarray, base: float, tpr: np.ndarray, fpr: np.ndarray) -> list[Outcome]:
    """One audit of groups with these rows, of which a share is positive and found at these rates."""
    positive = rng.binomial(rows, base)
    hit, false = rng.binomial(positive, tpr), rng.binomial(rows - positive, fpr)
    counts = np.stack([rows - positive - false, false, positive - hit, hit], axis=-1).reshape(-1, 2, 2)
    table = GroupCounts(("g",), tuple((f"{i:02}",) for i in range(len(rows))), ("no", "yes"), counts)
    return group_outcomes(table, Asked(model="m", task="t", level=0.95, positive=1))


def status(control: Control, outcomes: list[Outcome]) -> Status:
    """The worst of the findings that a control makes on these outcomes."""
    found = [hold(control, one, 0.95)[0] for one in outcomes if control.matches(one, incumbent=None)]
    assert found
    return worst(found)


def failures(control: Control, runs: int, **world) -> int:
    rng = np.random.default_rng(0)
    return sum(status(control, audit(rng, **world)) is Status.FAIL for _ in range(runs))


@pytest.mark.parametrize("gate", GATES)
def test_no_gap_fails_at_most_one_audit_in_twenty(gate: str) -> None:
    """4,000 rows in ten groups, all alike: the four-fifths rule alone would flag 87% of these."""
    world = {"rows": np.full(10, 400), "base": 0.5, "tpr": np.full(10, 0.7), "fpr": np.full(10, 0.2)}
    assert binom.sf(failures(GATES[gate], RUNS, **world) - 1, RUNS, 0.05) > 0.001


@pytest.mark.parametrize(
    ("gate", "tpr", "fpr"),
    [
        ("fairness.selection", 0.6, 0.6),  # both rates at 0.6 times the others': so is the selection rate
        ("fairness.true-positives", 0.6, 1.0),
        ("fairness.false-positives", 1.0, 2.0),
        ("fairness.accuracy", 0.6, 1.6),
    ],
)
def test_a_small_group_treated_much_worse_is_found(gate: str, tpr: float, fpr: float) -> None:
    """A group of 4% among 40,000 rows."""
    rows = np.array([1_600, *[38_400 // 9] * 9])
    world = {"rows": rows, "base": 0.5, "tpr": np.full(10, 0.8), "fpr": np.full(10, 0.4)}
    world["tpr"][0] *= tpr
    world["fpr"][0] *= fpr
    assert set(GATES) == {
        "fairness.selection", "fairness.true-positives", "fairness.false-positives", "fairness.accuracy"
    }  # fmt: skip
    assert binom.cdf(failures(GATES[gate], RUNS, **world), RUNS, 0.95) > 0.001


def test_too_few_rows_prove_nothing() -> None:
    """The same group among 1,000 rows: neither failed nor passed."""
    rows = np.array([40, *[960 // 9] * 9])
    outcomes = audit(np.random.default_rng(0), rows, 0.5, np.array([0.48, *[0.8] * 9]), np.array([0.24, *[0.4] * 9]))
    assert status(GATES["fairness.selection"], outcomes) is Status.UNPROVEN


@pytest.mark.parametrize("gate", GATES)
def test_equal_treatment_of_many_rows_passes(gate: str) -> None:
    world = {"rows": np.full(5, 8_000), "base": 0.5, "tpr": np.full(5, 0.8), "fpr": np.full(5, 0.4)}
    assert status(GATES[gate], audit(np.random.default_rng(1), **world)) is Status.PASS
