"""Paired differences against statsmodels, scipy, naive permutation, and known truths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, ttest_1samp

from governance.statistics import paired
from governance.statistics.intervals import clopper_pearson
from governance.statistics.paired import (
    PairedDifference,
    mcnemar,
    non_inferiority,
    non_inferiority_p,
    paired_difference,
    permutation_test,
)


def clustered_scores(rng: np.random.Generator, clusters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 0 and 1 of two equally good models; rows of a cluster share which of the two they favour."""
    codes = np.repeat(np.arange(clusters), rng.integers(1, 9, clusters))
    lean = rng.beta(1, 1, clusters)[codes]
    return (rng.random(len(codes)) < lean) * 1.0, (rng.random(len(codes)) < 1 - lean) * 1.0, codes


@pytest.mark.slow  # imports statsmodels
def test_clustered_interval_agrees_with_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    for clusters in (2, 9, 40):
        a, b, codes = clustered_scores(rng, clusters)
        fit = sm.OLS(a - b, np.ones(len(a))).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
        ours = paired_difference(a, b, clusters=codes * 7 - 3, level=0.9, reach=None)
        assert ours.value == pytest.approx(fit.params[0])
        assert ours.standard_error == pytest.approx(fit.bse[0])
        assert ours.bounds == pytest.approx(tuple(fit.conf_int(0.1)[0]))
        assert (ours.n, ours.clusters) == (len(a), clusters)


def test_independent_rows_give_the_paired_t_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(30), rng.random(30)
    oracle = ttest_1samp(a - b, 0).confidence_interval(0.95)
    ours = paired_difference(a, b)
    assert ours.bounds == pytest.approx((oracle.low, oracle.high))
    assert ours.standard_error == pytest.approx(np.std(a - b, ddof=1) / math.sqrt(30))
    assert ours == paired_difference(a, b, clusters=np.arange(30)[::-1])


def test_ends_stay_within_reach() -> None:
    ours = paired_difference([1, 1, 1, 0], [0, 0, 0, 0])
    assert (ours.value, ours.high) == (0.75, 1.0)
    assert paired_difference([1, 1, 1, 0], [0, 0, 0, 0], reach=None).high > 1
    assert paired_difference([0, 0, 0, 0], [1, 1, 1, 0]).low == -1.0


def test_models_that_answer_alike_are_not_certainly_equal() -> None:
    ours = paired_difference(np.ones(20), np.ones(20))
    unseen = clopper_pearson(0, 20).high
    assert (ours.value, ours.standard_error) == (0.0, 0.0)
    assert ours.bounds == pytest.approx((-unseen, unseen))
    ahead = paired_difference(np.full(20, 0.6), np.full(20, 0.1), clusters=np.arange(20) // 2)
    unseen = clopper_pearson(0, 10).high
    assert ahead.bounds == pytest.approx((0.5 - 1.5 * unseen, 0.5 + 0.5 * unseen))
    for n in range(3, 20):  # the mean of equal numbers is not always exactly theirs
        assert paired_difference(np.full(n, 1e9 / 3), np.zeros(n), reach=(-1e9, 1e9)).standard_error == 0.0
    with pytest.raises(ValueError, match="give `reach` to bound what was unseen"):
        paired_difference(np.ones(20), np.ones(20), reach=None)


@pytest.mark.parametrize(
    ("a", "b", "more", "message"),
    [
        ([1, 0], [1], {}, "two vectors of one length"),
        ([], [], {}, "at least 1"),
        ([[1, 0]], [[0, 1]], {}, "two vectors"),
        ([1, math.nan], [1, 0], {}, "finite scores"),
        ([1, 0], [1, math.inf], {}, "finite scores"),
        ([1, 0], [0, 0], {"clusters": [1]}, "a cluster per row"),
        ([1, 0], [0, 0], {"clusters": [1, 1]}, "at least two clusters"),
        ([1], [0], {}, "at least two clusters"),
        ([1, 3], [0, 0], {}, r"differences within \(-1.0, 1.0\)"),
        ([1, 0], [0, 2], {}, r"differences within \(-1.0, 1.0\)"),
        ([1, 0], [0, 0], {"level": 1.0}, "got 1.0"),
        ([1, 0], [0, 0], {"level": 0.0}, "got 0.0"),
        ([1, 0], [0, 0], {"level": math.nan}, "got nan"),
    ],
)
def test_nonsense_is_refused(a: list[float], b: list[float], more: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(a, b, **more)


def test_clustered_interval_covers_where_the_plain_one_does_not() -> None:
    """40 clusters that lean together, no true difference. Tolerance: 1.5 points below 95%, tested at 0.1%."""
    rng, runs, held, naive = np.random.default_rng(2), 1000, 0, 0
    for _ in range(runs):
        a, b, codes = clustered_scores(rng, 40)
        ours, plain = paired_difference(a, b, clusters=codes), paired_difference(a, b)
        held += ours.low <= 0 <= ours.high
        naive += plain.low <= 0 <= plain.high
    assert binom.cdf(held, runs, 0.935) > 0.001, held / runs
    assert naive / runs < 0.85  # the control: this test can fail


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (5, 5), (3, 12), (12, 3), (40, 61)])
def test_mcnemar_agrees_with_the_binomial_test(only_a: int, only_b: int) -> None:
    oracle = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(oracle)


def test_negative_counts_are_refused() -> None:
    for pair in ((-1, 3), (3, -1)):
        with pytest.raises(ValueError, match="counts >= 0"):
            mcnemar(*pair)


def naive_permutation(differences: np.ndarray, codes: np.ndarray) -> float:
    """All sign patterns of the clusters, one by one, in whole hundredths so that ties are exact."""
    sums = [round(100 * differences[codes == code].sum()) for code in np.unique(codes)]
    patterns = list(itertools.product((-1, 1), repeat=len(sums)))
    extreme = [abs(sum(s * t for s, t in zip(signs, sums, strict=True))) >= abs(sum(sums)) for signs in patterns]
    return float(np.mean(extreme))


@pytest.mark.parametrize("levels", [1, 100])
def test_exact_permutation_agrees_with_trying_all_patterns(levels: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        codes = np.repeat(np.arange(8), rng.integers(1, 4, 8))
        a, b = rng.integers(0, levels + 1, (2, len(codes))) / levels
        oracle = naive_permutation(a - b, codes)
        assert permutation_test(a, b, clusters=codes, draws=256) == pytest.approx(oracle)
        sampled = permutation_test(a, b, clusters=codes, draws=255, seed=1)  # one too few for all patterns
        assert sampled == pytest.approx(oracle, abs=4 * math.sqrt(0.25 / 255) + 1 / 256)


def test_permutation_of_independent_answers_is_mcnemars_test() -> None:
    a, b = np.repeat([1, 0, 1, 0], [9, 2, 50, 30]), np.repeat([0, 1, 1, 0], [9, 2, 50, 30])
    assert permutation_test(a, b) == pytest.approx(mcnemar(9, 2))
    many_a, many_b = np.repeat([1, 0], [60, 35]), np.repeat([0, 1], [60, 35])
    p = mcnemar(60, 35)
    assert permutation_test(many_a, many_b, draws=40_000) == pytest.approx(p, abs=5 * math.sqrt(p / 40_000))


def test_a_sampled_p_is_never_zero_and_chunks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.linspace(0.5, 1, 60), np.zeros(60)
    assert permutation_test(a, b, draws=99) == 0.01
    rng = np.random.default_rng(4)
    a, b = rng.random(40) + 0.1, rng.random(40)
    whole = permutation_test(a, b, draws=999, seed=5)
    monkeypatch.setattr(paired, "_CELLS", 130)
    assert permutation_test(a, b, draws=999, seed=5) == whole
    assert permutation_test(a, b, draws=999, seed=6) != whole
    balanced = np.concatenate([a, -a])  # a mean of 0: every draw is as extreme, and each is counted once
    assert permutation_test(balanced, np.zeros(80), draws=1000) == 1.0
    assert permutation_test(balanced, np.zeros(80), draws=1) == 1.0


def test_models_that_never_differ_give_a_p_of_one() -> None:
    assert permutation_test(np.ones(50), np.ones(50)) == 1.0
    with pytest.raises(ValueError, match="at least one draw, got 0"):
        permutation_test([1], [0], draws=0)


def test_permutation_holds_its_level_where_rows_taken_as_independent_do_not() -> None:
    """Models interchangeable within clusters: p <= 0.05 at most 5% of the time, tested at 0.1%."""
    rng, runs, alarms, naive = np.random.default_rng(5), 600, 0, 0
    for run in range(runs):
        a, b, codes = clustered_scores(rng, 30)
        alarms += permutation_test(a, b, clusters=codes, draws=199, seed=run) <= 0.05
        naive += permutation_test(a, b, draws=199, seed=run) <= 0.05
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001, alarms / runs
    assert naive / runs > 0.12  # the control: this test can fail


@pytest.mark.parametrize(
    ("low", "high", "margin", "standing"),
    [
        (-0.02, 0.03, 0.02, "shown"),
        (-0.021, 0.03, 0.02, "open"),
        (-0.05, -0.02, 0.02, "open"),
        (-0.05, -0.021, 0.02, "refuted"),
        (0.0, 0.1, 0.0, "shown"),
        (None, 0.1, 0.02, "open"),
        (None, -0.1, 0.02, "refuted"),
        (-0.1, None, 0.02, "open"),
        (0.1, None, 0.02, "shown"),
        (None, None, 0.02, "open"),
    ],
)
def test_non_inferiority_has_three_answers(low: float | None, high: float | None, margin: float, standing: str) -> None:
    assert non_inferiority((low, high), margin) == standing


@pytest.mark.parametrize("margin", [-0.01, math.nan, math.inf])
def test_a_margin_is_a_number_from_zero_up(margin: float) -> None:
    difference = PairedDifference(0.0, -0.1, 0.1, 0.05, 20, 20)
    for call in (lambda: non_inferiority((0.0, 0.1), margin), lambda: non_inferiority_p(difference, margin)):
        with pytest.raises(ValueError, match="finite margin >= 0"):
            call()
    with pytest.raises(ValueError, match="numbers or None"):
        non_inferiority((math.nan, 0.1), 0.02)


def test_non_inferiority_p_agrees_with_a_one_sided_t_test() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.random(25), rng.random(25)
    oracle = ttest_1samp(a - b, -0.05, alternative="greater").pvalue
    assert non_inferiority_p(paired_difference(a, b), 0.05) == pytest.approx(oracle)


@pytest.mark.parametrize("alike", [False, True])
def test_p_and_interval_say_the_same(alike: bool) -> None:
    """The margin at which the interval's end lies has p = (1 - level) / 2, also where no row differs."""
    rng = np.random.default_rng(7)
    a = np.full(30, 0.52) if alike else rng.random(30)
    for level in (0.8, 0.95, 0.99):
        difference = paired_difference(a, np.full(30, 0.5), level=level)
        margin = -difference.low
        assert non_inferiority_p(difference, margin) == pytest.approx((1 - level) / 2)
        assert non_inferiority(difference.bounds, margin + 1e-9) == "shown"
        assert non_inferiority(difference.bounds, margin - 1e-9) == "open"


def test_p_without_variation() -> None:
    alike = paired_difference(np.zeros(20), np.zeros(20))
    assert non_inferiority_p(alike, 0.0) == 1.0
    assert non_inferiority_p(alike, 0.1) == pytest.approx(0.9**20)
    varied = paired_difference([0, 0, 0, 1], [1, 1, 1, 0])
    for difference in (alike, varied):
        assert non_inferiority_p(difference, 1.0) == 0.0  # no difference is worse than that
    assert non_inferiority_p(varied, 0.99) > 0.05
    worse = paired_difference(np.zeros(20), np.full(20, 0.5))
    assert non_inferiority_p(worse, 0.4) == 1.0
    with pytest.raises(ValueError, match="supports no t test"):
        non_inferiority_p(alike, 0.1, reach=None)
