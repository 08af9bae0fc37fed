"""Intervals against second implementations, defining equations, and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from governance.statistics.intervals import (
    Bounds,
    Rate,
    clopper_pearson,
    clustered_wilson,
    difference_interval,
    least_ratio_interval,
    quantile_interval,
    ratio_interval,
    spread_interval,
    wilson,
)
from governance.statistics.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm, sidak


def enough(covered: int, runs: int, level: float, shortfall: float = 0.0) -> bool:
    """Whether a coverage of `level - shortfall` survives a one-sided binomial test at 0.1%."""
    return bool(binom.cdf(covered, runs, level - shortfall) > 0.001)


@pytest.mark.parametrize(("successes", "total"), [(0, 1), (1, 1), (0, 10), (3, 10), (9, 10), (10, 10), (41, 500)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_binomial_intervals_agree_with_a_second_implementation(successes: int, total: int, level: float) -> None:
    oracle = binomtest(successes, total)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        low, high = oracle.proportion_ci(level, method)
        assert ours(successes, total, level) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_edges_are_exact(interval) -> None:
    assert interval(0, 7).low == 0.0
    assert interval(7, 7).high == 1.0
    assert interval(1, 7).low > 0.0
    assert interval(6, 7).high < 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "0 <= successes <= total and total > 0, got 0 of 0"),
        ((3, 2), "got 3 of 2"),
        ((-1, 2), "got -1 of 2"),
        ((math.nan, 2), "finite counts"),
        ((1, math.inf), "finite counts"),
        ((1, 2, 1.0), r"level in \(0, 1\), got 1.0"),
        ((1, 2, 0.0), "got 0.0"),
        ((1, 2, math.nan), "got nan"),
    ],
)
def test_nonsense_is_refused(arguments: tuple[float, ...], message: str) -> None:
    for interval in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match=message):
            interval(*arguments)


def test_clusters_of_one_row_give_the_plain_interval() -> None:
    hits = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1.0])
    rate = clustered_wilson(hits, np.ones(10))
    assert (rate.low, rate.high) == pytest.approx(wilson(7, 10))
    assert (rate.n, rate.clusters, rate.effective_n) == (10, 10, pytest.approx(10))


def test_rows_repeated_within_their_clusters_add_nothing() -> None:
    hits = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1.0])
    once, thrice = clustered_wilson(hits, np.ones(10)), clustered_wilson(3 * hits, np.full(10, 3.0))
    assert thrice.n == 30
    # The t factor compares with 29 instead of 9 degrees of freedom, so that it is no tighter, and slightly wider.
    assert once.low - 0.06 < thrice.low <= once.low
    assert once.high <= thrice.high < once.high + 0.06


@pytest.mark.slow  # imports statsmodels
def test_effective_size_agrees_with_the_cluster_robust_variance_of_statsmodels() -> None:
    import statsmodels.api as sm
    from scipy.stats import t

    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(25), rng.integers(1, 12, 25))
    y = (rng.random(len(groups)) < rng.beta(1, 1, 25)[groups]).astype(float)
    robust = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": groups}).bse[0] ** 2
    n, p = len(y), y.mean()
    shrink = (t.ppf(0.975, n - 1) / t.ppf(0.975, 24)) ** 2
    rate = clustered_wilson(np.bincount(groups, y), np.bincount(groups))
    assert rate.effective_n == pytest.approx(p * (1 - p) / (n - 1) / robust * n * shrink)
    assert rate.effective_n < n / 2


def test_a_lucky_design_effect_below_one_buys_no_precision() -> None:
    rate = clustered_wilson(np.full(20, 2), np.full(20, 4))  # each cluster holds exactly half: variance 0
    assert rate.effective_n <= 80
    assert rate.low <= wilson(40, 80).low


@pytest.mark.parametrize(("hits", "ends"), [(0, (0.0, None)), (5, (None, 1.0))])
def test_at_the_edges_each_cluster_counts_as_one_row(hits: int, ends: tuple[float | None, float | None]) -> None:
    rate = clustered_wilson(np.full(6, hits), np.full(6, 5))
    assert rate.bounds == wilson(6 if hits else 0, 6)
    assert ends[0] in (None, rate.low)
    assert ends[1] in (None, rate.high)


def test_one_cluster_says_little() -> None:
    rate = clustered_wilson([150], [200])
    assert rate.effective_n == 1.0
    assert rate.high - rate.low > 0.8


def test_clusters_without_rows_are_ignored() -> None:
    assert clustered_wilson([1, 0, 2, 0], [2, 0, 3, 0]) == clustered_wilson([1, 2], [2, 3])


@pytest.mark.parametrize(
    ("hits", "rows", "message"),
    [
        ([1, 2], [3], "one length"),
        ([], [], "got 0"),
        ([0, 0], [0, 0], "got 0"),
        ([2, 0], [1, 3], "in every cluster"),
        ([math.nan], [1], "in every cluster"),
    ],
)
def test_clustered_nonsense_is_refused(hits: list[float], rows: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clustered_wilson(hits, rows)


@pytest.mark.parametrize(("clusters", "truth"), [(15, 0.8), (60, 0.5), (60, 0.9)])
def test_clustered_interval_covers_where_the_plain_one_does_not(clusters: int, truth: float) -> None:
    """Beta-binomial clusters of about six rows, correlation 1/3. Tolerance: 2 points below 95%, tested at 0.1%."""
    rng, runs = np.random.default_rng(0), 600
    held = naive = 0
    for _ in range(runs):
        rows = rng.integers(1, 12, clusters)
        hits = rng.binomial(rows, rng.beta(2 * truth, 2 * (1 - truth), clusters))
        rate, plain = clustered_wilson(hits, rows), wilson(hits.sum(), rows.sum())
        held += rate.low <= truth <= rate.high
        naive += plain.low <= truth <= plain.high
    assert enough(held, runs, 0.95, 0.02)
    assert naive / runs < 0.85  # the control: this test can fail


@pytest.mark.slow  # imports statsmodels
def test_difference_agrees_with_newcombe() -> None:
    from statsmodels.stats import proportion

    for a, n, b, m in ((56, 70, 48, 80), (10, 10, 0, 20), (5, 56, 0, 29)):
        oracle = proportion.confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")
        assert difference_interval(a / n, wilson(a, n), b / m, wilson(b, m)) == pytest.approx(oracle, abs=1e-6)


def test_difference_matches_newcombes_published_example() -> None:
    """Newcombe (1998), table II, method 10: 56/70 - 48/80 = 0.2 [0.0524, 0.3339]."""
    low, high = difference_interval(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(("a", "n", "b", "m"), [(56, 70, 48, 80), (3, 40, 2, 40), (40, 40, 1, 30), (1, 300, 29, 30)])
def test_ratio_ends_solve_their_defining_equation(a: int, n: int, b: int, m: int) -> None:
    """At its ends the MOVER interval of value - ratio * other just touches 0."""
    p, q, ends, other = a / n, b / m, wilson(a, n), wilson(b, m)
    low, high = ratio_interval(p, ends, q, other)
    assert high is not None
    assert p - low * q == pytest.approx(math.hypot(p - ends.low, low * (other.high - q)))
    assert high * q - p == pytest.approx(math.hypot(ends.high - p, high * (q - other.low)))
    assert low <= p / q <= high


def test_ratio_near_zero_stays_sound() -> None:
    none, some = wilson(0, 20), wilson(9, 20)
    assert ratio_interval(0.45, some, 0.0, none) == (pytest.approx(_root(some, none)), None)
    low, high = ratio_interval(0.0, none, 0.45, some)
    assert low == 0.0
    assert high == pytest.approx(none.high / 0.45, rel=0.6)
    assert ratio_interval(0.0, none, 0.0, none) == (0.0, None)
    with pytest.raises(ValueError, match="a denominator that may be above 0"):
        ratio_interval(0.5, some, 0.0, Bounds(0.0, 0.0))
    with pytest.raises(ValueError, match="ends >= 0"):
        ratio_interval(0.5, Bounds(-0.1, 0.6), 0.5, some)


def _root(some: Bounds, none: Bounds) -> float:
    """The lower end for a denominator seen 0 times: value^2 = (value - low)^2 + ratio^2 high^2."""
    return math.sqrt(0.45**2 - (0.45 - some.low) ** 2) / none.high


def test_ratio_is_finite_where_the_published_form_divides_zero_by_zero() -> None:
    low, high = ratio_interval(0.4, Bounds(0.3, 0.5), 0.25, Bounds(0.1, 0.5))  # high = 2 * other
    assert low == pytest.approx(0.3 * 0.5 / (2 * 0.4 * 0.25))
    assert high is not None
    assert math.isfinite(high)


@pytest.mark.parametrize(("p", "q"), [(0.6, 0.75), (0.1, 0.3), (0.05, 0.05)])
def test_ratio_covers(p: float, q: float) -> None:
    """Tolerance: 1.5 points below 95%, tested at 0.1%."""
    rng, runs, held = np.random.default_rng(1), 1000, 0
    for a, b in zip(rng.binomial(80, p, runs), rng.binomial(100, q, runs), strict=True):
        low, high = ratio_interval(a / 80, wilson(a, 80), b / 100, wilson(b, 100))
        held += low <= p / q and (high is None or p / q <= high)
    assert enough(held, runs, 0.95, 0.015)


def test_spread_and_ratio_by_hand() -> None:
    groups = [Bounds(0.1, 0.3), Bounds(0.5, 0.6), Bounds(0.2, 0.9)]
    assert spread_interval(groups) == pytest.approx((0.2, 0.8))
    assert least_ratio_interval(groups) == pytest.approx((0.1 / 0.9, 0.3 / 0.5))
    touching = [Bounds(0.1, 0.5), Bounds(0.5, 0.6)]
    assert spread_interval(touching).low == 0.0
    assert least_ratio_interval(touching).high == 1.0
    # One wide group overlaps itself: its own width is not a gap.
    assert spread_interval([Bounds(0.0, 0.9), Bounds(0.85, 0.9)]).high == pytest.approx(0.9)
    assert spread_interval([Bounds(0.4, 0.41), Bounds(0.4, 0.41)]).low == 0.0
    assert least_ratio_interval([Bounds(0.0, 0.2), Bounds(0.0, 0.3)]) == (0.0, 1.0)


def test_spread_holds_every_point_of_the_box() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        ends = np.sort(rng.random((4, 2)), axis=1)
        groups = [Bounds(*map(float, pair)) for pair in ends]
        gap, ratio = spread_interval(groups), least_ratio_interval(groups)
        points = ends[:, 0] + rng.random((50, 4)) * (ends[:, 1] - ends[:, 0])
        points[:16] = np.where(np.indices((2,) * 4).reshape(4, 16).T, ends[:, 1], ends[:, 0])  # the corners
        spreads, ratios = np.ptp(points, axis=1), points.min(axis=1) / points.max(axis=1)
        assert gap.low - 1e-12 <= spreads.min()
        assert gap.high + 1e-12 >= spreads.max()
        assert spreads[:16].max() == pytest.approx(gap.high)  # attained, so not wider than it need be
        assert ratio.low - 1e-12 <= ratios.min()
        assert ratio.high + 1e-12 >= ratios.max()


@pytest.mark.parametrize("interval", [spread_interval, least_ratio_interval])
def test_one_group_has_no_gap(interval) -> None:
    with pytest.raises(ValueError, match="at least two groups, got 1"):
        interval([Bounds(0.1, 0.2)])


def test_a_ratio_needs_something_to_divide_by() -> None:
    with pytest.raises(ValueError, match="upper ends above 0"):
        least_ratio_interval([Bounds(0.0, 0.0), Bounds(0.1, 0.2)])


@pytest.mark.parametrize("rates", [(0.7,) * 8, (0.5, 0.6, 0.7), (0.98, 0.99, 0.99, 0.95)])
def test_gap_bounds_hold_for_all_groups_together(rates: tuple[float, ...]) -> None:
    """Joint level 95%, no tolerance but the binomial one; where nothing differs, no gap is claimed."""
    rng, runs, n = np.random.default_rng(4), 400, 60
    truth, least, held = max(rates) - min(rates), min(rates) / max(rates), 0
    level = sidak(0.95, len(rates))
    for _ in range(runs):
        groups = [wilson(int(rng.binomial(n, rate)), n, level) for rate in rates]
        gap, ratio = spread_interval(groups), least_ratio_interval(groups)
        held += gap.low <= truth <= gap.high and ratio.low <= least <= ratio.high
    assert enough(held, runs, 0.95)


def test_quantile_ranks_agree_with_their_definition() -> None:
    values = np.arange(1.0, 41)
    value, (low, high) = quantile_interval(values, 0.5)
    assert value == 20
    assert low is not None
    assert high is not None
    # Rank r errs if fewer than r values lie below the quantile; rank s if at least s do.
    assert binom.cdf(low - 1, 40, 0.5) <= 0.025 < binom.cdf(low, 40, 0.5)
    assert binom.sf(high - 1, 40, 0.5) <= 0.025 < binom.sf(high - 2, 40, 0.5)


def test_quantile_level_that_is_met_exactly_is_met() -> None:
    _, (low, high) = quantile_interval([1, 2, 3, 4, 5], 0.5, 0.9375)  # 2 / 32 in the tails
    assert (low, high) == (1, 5)
    assert quantile_interval([1, 2, 3, 4, 5], 0.5, 0.9376)[1] == (None, None)


def test_few_values_leave_a_tail_unbounded() -> None:
    value, (low, high) = quantile_interval(np.arange(50.0), 0.95)
    assert (value, high) == (47, None)
    assert low is not None
    assert quantile_interval(np.arange(100.0), 0.95)[1].high is not None


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 25), (0.95, 200)])
def test_quantile_interval_covers(quantile: float, n: int) -> None:
    rng, runs, truth = np.random.default_rng(5), 1000, -math.log(1 - quantile)
    held = 0
    for _ in range(runs):
        _, (low, high) = quantile_interval(rng.exponential(size=n), quantile)
        held += (low is None or low <= truth) and (high is None or truth <= high)
    assert enough(held, runs, 0.95)


@pytest.mark.parametrize(
    ("values", "quantile", "message"),
    [([], 0.5, "at least one"), ([1, math.nan], 0.5, "finite values"), ([1], 1.0, "got 1.0"), ([1], 0.0, "got 0.0")],
)
def test_quantile_nonsense_is_refused(values: list[float], quantile: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantile_interval(values, quantile)


def test_sidak_is_exact_for_independent_intervals() -> None:
    assert sidak(0.95, 1) == 0.95
    assert sidak(0.95, 7) ** 7 == pytest.approx(0.95)
    for level, count, message in ((1.0, 2, "got 1.0"), (0.0, 2, "got 0.0"), (0.95, 0, "at least one interval, got 0")):
        with pytest.raises(ValueError, match=message):
            sidak(level, count)


@pytest.mark.slow  # imports statsmodels
@pytest.mark.parametrize(
    ("adjust", "method"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by")]
)
def test_adjusted_p_values_agree_with_statsmodels(adjust, method: str) -> None:
    from statsmodels.stats import multitest

    rng = np.random.default_rng(6)
    for count in (1, 2, 9, 9, 9, 40):
        p = np.round(rng.random(count) ** 3, 2)  # with ties
        assert adjust(p) == pytest.approx(multitest.multipletests(p, method=method)[1])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.02, 0.03]).tolist() == pytest.approx([0.03, 0.04, 0.04])
    assert holm([0.5, 0.5]).tolist() == [1.0, 1.0]
    assert holm([0.0, 1.0]).tolist() == [0.0, 1.0]


def test_false_discovery_rates_by_hand() -> None:
    assert benjamini_hochberg([0.03, 0.01, 0.02, 0.5]).tolist() == pytest.approx([0.04, 0.04, 0.04, 0.5])
    assert benjamini_hochberg([0.9, 0.02]).tolist() == pytest.approx([0.9, 0.04])
    assert benjamini_hochberg([0.0, 1.0]).tolist() == [0.0, 1.0]
    harmonic = 1 + 1 / 2 + 1 / 3
    assert benjamini_yekutieli([0.01, 0.02, 0.9]).tolist() == pytest.approx([0.03 * harmonic, 0.03 * harmonic, 1.0])
    assert benjamini_hochberg([]).tolist() == benjamini_yekutieli([]).tolist() == holm([]).tolist() == []


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg, benjamini_yekutieli])
def test_what_is_no_p_value_is_refused(adjust) -> None:
    for wrong in ([1.1], [-0.1], [math.nan], [[0.1]]):
        with pytest.raises(ValueError, match=r"p-values in \[0, 1\]"):
            adjust(wrong)


def false_discoveries(p: np.ndarray, null: np.ndarray, threshold: float = 0.1) -> float:
    """Share of the rejected statements (rows of p) that are false, averaged over samples."""
    rejected = p <= threshold
    return float(np.mean((rejected & null).sum(axis=1) / np.maximum(1, rejected.sum(axis=1))))


def test_false_discovery_rates_hold_their_promise() -> None:
    """40 one-sided z tests, 30 without an effect, 2,000 samples, at 10%; tolerance 1 point, four standard errors.

    For independent tests the rate of Benjamini and Hochberg is known exactly: 10% times the share without an effect.
    Unadjusted, a quarter of all discoveries is false; Holm's answer to another question finds fewer effects.
    """
    from scipy.special import ndtr

    rng, null = np.random.default_rng(7), np.arange(40) < 30
    effects = np.where(null, 0.0, 3.0)
    shared = rng.normal(size=(2000, 1))
    independent = ndtr(-(effects + rng.normal(size=(2000, 40))))
    positive = ndtr(-(effects + math.sqrt(0.5) * (shared + rng.normal(size=(2000, 40)))))
    opposed = ndtr(-(effects + np.where(np.arange(40) % 2, 1, -1) * shared))  # two bundles, each other's mirror image
    adjusted = np.apply_along_axis(benjamini_hochberg, 1, independent)
    assert false_discoveries(adjusted, null) == pytest.approx(0.075, abs=0.01)
    assert false_discoveries(np.apply_along_axis(benjamini_hochberg, 1, positive), null) < 0.11
    for sample in (independent, positive, opposed):
        assert false_discoveries(np.apply_along_axis(benjamini_yekutieli, 1, sample), null) < 0.11
    assert false_discoveries(independent, null) > 0.2  # the control
    familywise = np.apply_along_axis(holm, 1, independent)
    assert np.mean((familywise <= 0.1)[:, ~null]) < np.mean((adjusted <= 0.1)[:, ~null]) - 0.1


def test_a_rate_knows_its_bounds() -> None:
    assert Rate(value=0.5, low=0.1, high=0.9, n=4, clusters=4, effective_n=4.0).bounds == Bounds(0.1, 0.9)
