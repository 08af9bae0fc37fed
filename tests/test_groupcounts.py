"""The counts engine: Fairlearn's figures from counters, and counters that add up whoever counted them."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equal_opportunity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score

from governance.groups.counts import MISSING, GroupCounts, codes_of
from governance.groups.metrics import (
    EQUALIZED_ODDS,
    RATES,
    auc,
    calibration_error,
    difference,
    macro,
    outcomes,
    rate,
    ratio,
    right,
    share,
)

FAIRLEARN = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "precision": lambda y_true, y_pred: precision_score(y_true, y_pred, zero_division=0),
    "accuracy": accuracy_score,
}


@st.composite
def tables(draw, columns: int = 1, classes: int = 2):
    """Rows of truth, prediction and group columns; small, so that empty cells and single groups are common."""
    n = draw(st.integers(1, 60))
    row = st.tuples(
        st.integers(0, classes - 1),
        st.integers(0, classes - 1),
        *(st.sampled_from(["a", "b", "组", "d\n", ""]) for _ in range(columns)),
    )
    rows = draw(st.lists(row, min_size=n, max_size=n))
    truth, predicted, *groups = (list(column) for column in zip(*rows, strict=True))
    return np.array(truth), np.array(predicted), groups


def counted(truth, predicted, groups, classes: int = 2, **scores) -> GroupCounts:
    coded = {f"g{place}": codes_of(values) for place, values in enumerate(groups)}
    return GroupCounts.of(coded, truth, predicted, [str(code) for code in range(classes)], **scores)


@settings(max_examples=150, deadline=None)
@given(tables())
def test_figures_equal_metric_frame_wherever_fairlearn_defines_them(table) -> None:
    truth, predicted, (groups,) = table
    counts = counted(truth, predicted, [groups])
    confusion = outcomes(counts.counts, 1)
    frame = MetricFrame(metrics=FAIRLEARN, y_true=truth, y_pred=predicted, sensitive_features=groups)
    for metric in RATES:
        successes, rows = rate(confusion, metric)
        values = share(successes, rows)
        assert np.isnan(values).tolist() == (rows == 0).tolist()
        for (cell,), value, n in zip(counts.cells, values, rows, strict=True):
            if n:
                assert value == frame.by_group[metric][cell]
        if (rows > 0).all():
            assert difference(values) == frame.difference(method="between_groups")[metric]
            expected = frame.ratio(method="between_groups")[metric]
            assert ratio(values) == pytest.approx(expected, abs=0, nan_ok=True)


@settings(max_examples=150, deadline=None)
@given(tables())
def test_named_metrics_equal_fairlearns(table) -> None:
    truth, predicted, (groups,) = table
    confusion = outcomes(counted(truth, predicted, [groups]).counts, 1)
    found = {metric: rate(confusion, metric) for metric in RATES}
    if any((rows == 0).any() for metric, (_, rows) in found.items() if metric != "precision"):
        return  # Fairlearn takes an undefined rate for 0
    values = {metric: share(*pair) for metric, pair in found.items()}
    arguments = {"y_true": truth, "y_pred": predicted, "sensitive_features": groups}
    named = {
        "selection_rate": (demographic_parity_difference, demographic_parity_ratio),
        "true_positive_rate": (equal_opportunity_difference, equal_opportunity_ratio),
    }
    for metric, (gap, quotient) in named.items():
        assert difference(values[metric]) == gap(**arguments)
        if values[metric].max() > 0:
            assert ratio(values[metric]) == quotient(**arguments)
    assert max(difference(values[m]) for m in EQUALIZED_ODDS) == equalized_odds_difference(**arguments)
    if all(values[m].max() > 0 for m in EQUALIZED_ODDS):
        assert min(ratio(values[m]) for m in EQUALIZED_ODDS) == equalized_odds_ratio(**arguments)


@settings(max_examples=60, deadline=None)
@given(tables(columns=2), st.integers(1, 5))
def test_shards_add_up_to_the_whole(table, shards: int) -> None:
    truth, predicted, groups = table
    scores = (np.arange(len(truth)) * 37 % 101) / 100
    whole = counted(truth, predicted, groups, scores=scores, positive=1)
    parts = [
        counted(
            truth[i::shards], predicted[i::shards], [g[i::shards] for g in groups], scores=scores[i::shards], positive=1
        )
        for i in range(min(shards, len(truth)))
    ]
    merged = parts[0].merge(*parts[1:])
    assert merged.cells == whole.cells
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.scores is not None
    assert whole.scores is not None
    assert merged.scores.tolist() == whole.scores.tolist()
    assert merged.score_sums == pytest.approx(whole.score_sums)


@settings(max_examples=60, deadline=None)
@given(tables(columns=3, classes=3))
def test_intersections_come_from_the_same_counts(table) -> None:
    truth, predicted, groups = table
    whole = counted(truth, predicted, groups, classes=3)
    for columns in (["g1"], ["g2", "g0"], []):
        chosen = [groups[int(name[1])] for name in columns]
        direct = GroupCounts.of(
            dict(zip(columns, map(codes_of, chosen), strict=True)), truth, predicted, ["0", "1", "2"]
        )
        found = whole.over(columns)
        assert (found.cells, found.counts.tolist()) == (direct.cells, direct.counts.tolist())
    value = groups[0][0]
    here = [i for i, other in enumerate(groups[0]) if other == value]
    assert whole.where("g0", value).rows == len(here)
    assert whole.without("g0", value).rows == len(truth) - len(here)


@settings(max_examples=60, deadline=None)
@given(tables(classes=3))
def test_averages_over_classes_equal_scikit_learns(table) -> None:
    truth, predicted, (groups,) = table
    counts = counted(truth, predicted, [groups], classes=3)
    hits, rows = right(counts.counts)
    for place, (cell,) in enumerate(counts.cells):
        here = np.array([group == cell for group in groups])
        assert hits[place] / rows[place] == accuracy_score(truth[here], predicted[here])
        recall = macro(counts.counts[place], "true_positive_rate")
        if len(set(truth[here])) == 3:
            assert recall == pytest.approx(recall_score(truth[here], predicted[here], average="macro"))
        else:
            assert np.isnan(recall)


def test_auc_from_bins_is_scikit_learns_up_to_ties_within_a_bin() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 20_000)
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    groups = rng.choice(["a", "b"], 20_000).tolist()
    counts = counted(truth, (scores > 0.5).astype(int), [groups], scores=scores, positive=1)
    assert counts.scores is not None
    for place, (cell,) in enumerate(counts.cells):
        here = np.array(groups) == cell
        assert auc(counts.scores[place]) == pytest.approx(roc_auc_score(truth[here], scores[here]), abs=5e-5)
    assert np.isnan(auc(np.zeros((2, 1_000), dtype=np.int64)))


def test_calibration_error_by_hand() -> None:
    truth, scores = np.array([1, 0, 1, 1]), np.array([0.91, 0.95, 0.11, 0.99])
    counts = counted(truth, truth, [["a"] * 4], scores=scores, positive=1)
    assert counts.scores is not None
    assert counts.score_sums is not None
    # Bin 0.9-1.0: 2 of 3 positive, said 2.85; bin 0.1-0.2: 1 of 1, said 0.11.
    assert calibration_error(counts.scores, counts.score_sums) == pytest.approx((abs(2 - 2.85) + abs(1 - 0.11)) / 4)
    assert np.isnan(calibration_error(np.zeros((2, 1_000), dtype=np.int64), np.zeros(1_000)))


def test_rows_without_a_value_are_a_group() -> None:
    values, codes = codes_of(["x", None, "x", "组"])
    assert values == (MISSING, "x", "组")
    assert codes.tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.array([0, 2])}, "truth: expected codes from 0 to 1"),
        ({"predicted": np.array([0, -1])}, "predicted: expected codes from 0 to 1"),
        ({"predicted": np.array([0])}, r"predicted: expected one code per row, shape \(2,\)"),
        ({"scores": np.array([0.1, np.nan]), "positive": 1}, "one score in"),
        ({"scores": np.array([0.1, 1.2]), "positive": 1}, "one score in"),
        ({"scores": np.array([0.1, 0.2])}, "scores need the class"),
    ],
)
def test_nonsense_is_refused(change, message: str) -> None:
    given = {"truth": np.array([0, 1]), "predicted": np.array([0, 1]), "classes": ["n", "y"]} | change
    with pytest.raises(ValueError, match=message):
        GroupCounts.of({"g": codes_of(["a", "b"])}, **given)


def test_tables_of_other_columns_do_not_merge() -> None:
    one = counted(np.array([0]), np.array([1]), [["a"]])
    other = GroupCounts.of({"x": codes_of(["a"])}, np.array([0]), np.array([1]), ["0", "1"])
    with pytest.raises(ValueError, match="same columns and classes"):
        one.merge(other)
    with pytest.raises(ValueError, match="columns among g0, got x"):
        one.over(["x"])


def test_many_columns_cost_no_more_than_their_cells() -> None:
    """Thirty columns of ten values have 10^30 combinations, and these rows forty of them at most."""
    rng = np.random.default_rng(1)
    groups = {f"c{i}": codes_of([f"v{j}" for j in rng.integers(0, 10, 40)]) for i in range(30)}
    counts = GroupCounts.of(groups, rng.integers(0, 2, 40), rng.integers(0, 2, 40), ["0", "1"])
    assert len(counts.cells) <= 40
    assert counts.rows == 40
    assert counts.over(["c3"]).rows == 40
