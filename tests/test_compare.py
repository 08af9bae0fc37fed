"""Paired differences: on shared rows only, with the precision of pairing, and absent where nothing can be compared."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from governance.compare import METRICS, Side, paired_differences
from governance.dataset import Labels
from governance.measure import Measurement, NotMeasured, Outcome, Unit

BINARY = Labels(("no", "yes"), "yes")
THREE = Labels(("差", "中", "好"), None)


def side(name: str, predicted: np.ndarray, scores: np.ndarray | None = None, rows: np.ndarray | None = None) -> Side:
    return Side(name, np.arange(len(predicted)) if rows is None else rows, predicted, scores)


def scored(name: str, chance: np.ndarray, rows: np.ndarray | None = None) -> Side:
    return side(name, (chance >= 0.5).astype(np.int64), np.stack([1 - chance, chance], axis=1), rows)


def by_metric(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.metric.split(".")[1]: outcome for outcome in outcomes}


def measured(outcome: Outcome) -> Measurement:
    assert isinstance(outcome, Measurement)
    return outcome


@pytest.fixture
def data() -> tuple[np.ndarray, Side, Side]:
    rng = np.random.default_rng(0)
    truth = (rng.random(200) < 0.6).astype(np.int64)
    chances = [1 / (1 + np.exp(-(2 * truth - 1) * pull - rng.normal(size=200))) for pull in (1.5, 0.5)]
    return truth, scored("new", chances[0]), scored("old", chances[1])


def test_figures_agree_with_scikit_learn(data) -> None:
    from sklearn import metrics

    truth, new, old = data
    found = by_metric(paired_differences(new, old, truth, np.arange(200), BINARY, task="classification"))
    assert tuple(found) == METRICS
    oracles = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1": metrics.f1_score,
    }
    for metric, oracle in oracles.items():
        assert measured(found[metric]).value == pytest.approx(
            oracle(truth, new.predicted) - oracle(truth, old.predicted)
        )
    auc = metrics.roc_auc_score
    assert measured(found["auc"]).value == pytest.approx(auc(truth, new.scores[:, 1]) - auc(truth, old.scores[:, 1]))
    for outcome in map(measured, found.values()):
        assert (outcome.model, outcome.reference, outcome.task, outcome.n) == ("new", "old", "classification", 200)
        assert outcome.unit is Unit.DIFFERENCE
        assert outcome.low <= outcome.value <= outcome.high


def test_swapping_the_models_mirrors_the_outcome(data) -> None:
    truth, new, old = data
    there = paired_differences(new, old, truth, np.arange(200) // 2, BINARY)
    back = paired_differences(old, new, truth, np.arange(200) // 2, BINARY)
    for a, b in zip(map(measured, there), map(measured, back), strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((-b.value, -b.high, -b.low), abs=1e-12)


def test_rows_that_only_one_answered_are_left_out_and_counted(data) -> None:
    truth, new, old = data
    rng = np.random.default_rng(1)
    some = np.sort(rng.choice(200, 60, replace=False))
    partly = old.take(some)
    failed = partly.predicted.copy()
    failed[:5] = -1
    partly = Side("old", some, failed, partly.scores)
    shared = some[5:]
    whole = by_metric(paired_differences(new, partly, truth, np.arange(200), BINARY))
    alone = by_metric(
        paired_differences(
            *(side("new", new.predicted[shared], new.scores[shared]), side("old", failed[5:], old.scores[shared])),
            *(truth[shared], shared, BINARY),
        )
    )
    for metric in METRICS:
        a, b = measured(whole[metric]), measured(alone[metric])
        assert (a.value, a.low, a.high, a.n) == (b.value, b.low, b.high, 55)
        assert (a.counts["only_model"], a.counts["only_reference"]) == (145, 0)


def test_rows_are_matched_by_position_not_by_order(data) -> None:
    truth, new, old = data
    mixed = new.take(np.random.default_rng(2).permutation(200))
    assert paired_differences(mixed, old, truth, np.arange(200), BINARY) == paired_differences(
        new, old, truth, np.arange(200), BINARY
    )


def test_discordant_rows_and_mcnemar(data) -> None:
    truth, new, old = data
    counts = measured(paired_differences(new, old, truth, np.arange(200), BINARY)[0]).counts
    right, wrong = new.predicted == truth, old.predicted == truth
    only_new, only_old = int((right & ~wrong).sum()), int((wrong & ~right).sum())
    assert (counts["only_model_right"], counts["only_reference_right"]) == (only_new, only_old)
    assert counts["mcnemar_p"] == pytest.approx(binomtest(only_new, only_new + only_old).pvalue)
    clustered = measured(paired_differences(new, old, truth, np.arange(200) // 2, BINARY)[0]).counts
    assert "mcnemar_p" not in clustered  # it would take rows of one cluster as independent
    assert clustered["clusters"] == 100


def test_two_models_that_always_agree_may_still_differ_a_little() -> None:
    truth = np.arange(50) % 2
    low, high = (
        measured(paired_differences(side("a", truth), side("b", truth), truth, np.arange(50), BINARY)[0]).low,
        measured(paired_differences(side("a", truth), side("b", truth), truth, np.arange(50), BINARY)[0]).high,
    )
    assert low == -high
    assert 0.03 < high < 0.1


def test_pairing_makes_the_interval_narrow() -> None:
    """Two models wrong on nearly the same rows: their difference is known ten times better than their accuracy."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 1000)
    base = np.where(rng.random(1000) < 0.7, truth, 1 - truth)
    other = np.where(rng.random(1000) < 0.01, 1 - base, base)
    found = measured(paired_differences(side("a", base), side("b", other), truth, np.arange(1000), BINARY)[0])
    assert found.high - found.low < 0.02


@pytest.mark.parametrize("same", [True, False])
def test_interval_covers_the_true_difference(same: bool) -> None:
    """Clusters of four, errors shared within them. Tolerance: 2.5 points below 95%, tested at 0.1%."""
    rng, runs, held = np.random.default_rng(4), 300, 0
    codes, truth = np.repeat(np.arange(50), 4), np.zeros(200, dtype=np.int64)
    for _ in range(runs):
        hard = rng.beta(2, 2, 50)[codes]  # chance that a row of this cluster is got wrong; mean 1/2
        a = (rng.random(200) < hard).astype(np.int64)
        b = (rng.random(200) < (hard if same else hard * 0.6)).astype(np.int64)
        found = measured(
            paired_differences(side("a", a), side("b", b), truth, codes, BINARY, draws=300)[0],
        )
        held += found.low <= (0.0 if same else -0.2) <= found.high
    assert binom.cdf(held, runs, 0.925) > 0.001


def test_three_classes_are_averaged() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 150)
    a, b = (np.where(rng.random(150) < p, truth, rng.integers(0, 3, 150)) for p in (0.8, 0.3))
    scores = [np.eye(3)[x] * 0.4 + 0.2 for x in (a, b)]
    found = by_metric(paired_differences(side("a", a, scores[0]), side("b", b, scores[1]), truth, truth, THREE))
    f1 = [metrics.f1_score(truth, x, average="macro") for x in (a, b)]
    auc = [metrics.roc_auc_score(truth, s, multi_class="ovr") for s in scores]
    assert measured(found["f1"]).value == pytest.approx(f1[0] - f1[1])
    assert measured(found["auc"]).value == pytest.approx(auc[0] - auc[1])


def reasons(outcomes: list[Outcome]) -> dict[str, str]:
    return {name: x.reason for name, x in by_metric(outcomes).items() if isinstance(x, NotMeasured)}


def test_no_shared_rows_is_no_difference(data) -> None:
    truth, new, old = data
    left, right = new.take(np.arange(100)), old.take(np.arange(100, 200))
    found = paired_differences(left, right, truth, np.arange(200), BINARY)
    assert reasons(found) == dict.fromkeys(METRICS, "no held-out row was answered by both models")
    assert {(x.model, x.reference) for x in found} == {("new", "old")}
    silent = side("old", np.full(200, -1))
    assert len(reasons(paired_differences(new, silent, truth, np.arange(200), BINARY))) == 4


def test_labels_without_scores_have_no_auc(data) -> None:
    truth, new, old = data
    for pair, name in (((new, side("old", old.predicted)), "old"), ((side("new", new.predicted), old), "new")):
        found = paired_differences(*pair, truth, np.arange(200), BINARY)
        assert reasons(found) == {"auc": f"{name} gives labels without scores"}


def test_auc_is_taken_where_both_have_scores(data) -> None:
    truth, new, old = data
    holes = old.scores.copy()
    holes[:80] = np.nan
    found = by_metric(paired_differences(new, side("old", old.predicted, holes), truth, np.arange(200), BINARY))
    assert (measured(found["auc"]).n, measured(found["accuracy"]).n) == (120, 200)


def test_one_class_only() -> None:
    truth = np.ones(30, dtype=np.int64)
    chance = np.linspace(0.2, 0.9, 30)
    found = paired_differences(scored("a", chance), scored("b", chance), truth, np.arange(30), BINARY)
    assert isinstance(found[0], Measurement)
    assert set(reasons(found)) == {"balanced_accuracy", "f1", "auc"}
    assert "one class only" in reasons(found)["balanced_accuracy"]
    assert "not of two classes" in reasons(found)["auc"]
