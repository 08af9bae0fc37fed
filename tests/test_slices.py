"""Worst slices: found where one is planted, not found where none is, and never told from the rows that chose them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.slices import WorstSlices
from governance.groups.counts import codes_of
from governance.groups.slices import confirm, halves, search
from governance.measure import Fact, Measurement, NotMeasured


def shop(n: int, seed: int, planted: float = 0.0):
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.choice(["18-29", "30-49", "50-64", "65+"], n),
        "部门": rng.choice(["Dresses", "Intimates", "上衣"], n),
        "city": rng.choice(list("abcdefgh"), n),
        "device": rng.choice(["phone", "web"], n),
    }
    bad = (columns["age"] == "65+") & (columns["部门"] == "Intimates")
    wrong = rng.random(n) < np.where(bad, 0.15 + planted, 0.15)
    return {name: codes_of(values.tolist()) for name, values in columns.items()}, wrong, bad


def part(features, rows):
    return {name: (values, codes[rows]) for name, (values, codes) in features.items()}


def found(n: int, seed: int, planted: float, clusters=None):
    features, wrong, _ = shop(n, seed, planted)
    clusters = np.arange(n) if clusters is None else clusters
    half = halves(clusters, seed)
    candidates, looked = search(part(features, half), wrong[half])
    assert looked > 50
    return confirm(candidates, part(features, ~half), wrong[~half], clusters[~half], level=0.95)


def test_a_search_scores_what_a_loop_scores() -> None:
    """A slow oracle: every conjunction of up to three features, one boolean mask each."""
    features, wrong, _ = shop(800, 0, 0.3)
    expected = []
    looked = 0
    for size in (1, 2, 3):
        for columns in itertools.combinations(features, size):
            for values in itertools.product(*(features[name][0] for name in columns)):
                inside = np.ones(800, dtype=bool)
                for name, value in zip(columns, values, strict=True):
                    inside &= np.array(features[name][0], dtype=object)[features[name][1]] == value
                rows = int(inside.sum())
                if rows >= 20:
                    looked += 1
                    score = 0.95 * (wrong[inside].mean() / wrong.mean() - 1) - 0.05 * (800 / rows - 1)
                    expected.append((score, dict(zip(columns, values, strict=True)), rows, int(wrong[inside].sum())))
    expected.sort(key=lambda one: -one[0])
    candidates, count = search(features, wrong, min_rows=20, most=15)
    assert count == looked
    assert [one.score for one in candidates] == pytest.approx([score for score, *_ in expected if score > 0][:15])
    assert (candidates[0].where, candidates[0].rows, candidates[0].errors) == expected[0][1:]


def test_a_planted_slice_is_found_with_its_error() -> None:
    _, wrong, bad = shop(6_000, 1, 0.25)
    slices = found(6_000, 1, 0.25)
    named = next(one for one in slices if one.where == {"age": "65+", "部门": "Intimates"})
    assert named.inside.low < 0.4 < named.inside.high
    assert named.outside.high < named.inside.low
    assert named.p < 0.001
    half = halves(np.arange(6_000), 1)
    assert named.inside.value == wrong[bad & ~half].mean()  # of the rows that did not choose it
    assert named.inside.n == (bad & ~half).sum()


def test_no_slice_is_reported_where_all_are_alike() -> None:
    """False discoveries: an audit that reports any slice here is wrong; at most one in twenty may be."""
    runs = 120
    alarms = sum(bool(found(2_000, seed, 0.0)) for seed in range(runs))
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001


def test_rows_repeated_within_clusters_are_no_new_evidence() -> None:
    """Ten copies of each row: ten times the rows, and not one more slice found."""
    alarms, runs = 0, 60
    for seed in range(runs):
        features, wrong, _ = shop(300, seed)
        clusters = np.repeat(np.arange(300), 10)
        copied = {name: (values, np.repeat(codes, 10)) for name, (values, codes) in features.items()}
        half = halves(clusters, seed)
        candidates, _ = search(part(copied, half), np.repeat(wrong, 10)[half])
        alarms += bool(
            confirm(candidates, part(copied, ~half), np.repeat(wrong, 10)[~half], clusters[~half], level=0.95)
        )
    # Few clusters make the robust error small by chance now and then: twice the nominal rate is allowed here.
    assert binom.sf(alarms - 1, runs, 0.10) > 0.001


def test_clusters_stay_on_one_side() -> None:
    clusters = np.random.default_rng(0).integers(0, 50, 1_000)
    half = halves(clusters, 3)
    assert not set(clusters[half]) & set(clusters[~half])
    assert len(set(clusters[half])) == 25
    assert (half == halves(clusters, 3)).all()


@pytest.mark.parametrize("wrong", [np.zeros(100, dtype=bool), np.ones(100, dtype=bool), np.zeros(0, dtype=bool)])
def test_where_nothing_or_everything_is_wrong_no_slice_is_worse(wrong) -> None:
    features = {"a": codes_of(["x", "y"] * (len(wrong) // 2))}
    assert search(features, wrong) == ([], 0)
    assert confirm([], features, wrong, np.arange(len(wrong)), level=0.95) == []


def test_an_audit_tells_the_slice_in_figures() -> None:
    from tests.test_fairness import setting, subject

    features, wrong, bad = shop(6_000, 1, 0.25)
    groups = {name: [values[code] for code in codes] for name, (values, codes) in features.items()}
    truth = ["yes"] * 6_000
    predicted = [("no" if one else "yes") for one in wrong]
    within = setting(truth, groups)
    found = WorstSlices().measure([subject(predicted)], within)
    count, *slices = found
    assert isinstance(count, Fact)
    assert count.value >= 1
    assert "slices searched on 3000 rows" in count.method
    named = next(one for one in slices if dict(one.slice) == {"age": "65+", "部门": "Intimates"})
    assert isinstance(named, Measurement)
    assert named.value == wrong[bad & ~halves(np.arange(6_000), within.seed)].mean()
    assert named.counts["elsewhere"] == pytest.approx(0.15, abs=0.02)
    assert found == WorstSlices().measure([subject(predicted)], within)


def test_an_audit_without_groups_or_rows_says_why() -> None:
    from tests.test_fairness import setting, subject

    for within, reason in (
        (setting(["yes"] * 200, {}), "the config declares no group columns"),
        (setting(["yes"] * 50, {"g": ["a"] * 50}), "50 rows, 120 needed"),
        (
            setting(["yes"] * 200, {"g": ["a"] * 200}, clusters=np.zeros(200)),
            "the rows are of one cluster, so none is left to confirm a slice",
        ),
    ):
        (outcome,) = WorstSlices().measure([subject(["yes"] * len(within.test))], within)
        assert isinstance(outcome, NotMeasured)
        assert outcome.reason == reason
    perfect = WorstSlices().measure([subject(["yes"] * 200)], setting(["yes"] * 200, {"g": ["a", "b"] * 100}))
    assert [one.value for one in perfect if isinstance(one, Fact)] == [0]
    with pytest.raises(ValueError, match="depth: expected at least 1, got 0"):
        WorstSlices(depth=0)
