"""Means of groups against statsmodels, scipy and simulated truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, ttest_1samp, ttest_ind

from governance.statistics.means import (
    Mean,
    group_means,
    mean_gap,
    means_against_rest,
    resampled_sums,
)
from governance.statistics.multiplicity import sidak


def enough(covered: int, runs: int, level: float) -> bool:
    """Whether a coverage of `level` survives a one-sided binomial test at 0.1%."""
    return bool(binom.cdf(covered, runs, level) > 0.001)


def one(values, clusters=None, **settings) -> Mean:
    return group_means(values, np.zeros(len(values), dtype=int), clusters, **settings)[0]


def test_independent_rows_give_students_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 40)
    oracle = ttest_1samp(values, 0).confidence_interval(0.9)
    mean = one(values, level=0.9)
    assert mean.bounds == pytest.approx((oracle.low, oracle.high))
    assert (mean.value, mean.n, mean.clusters) == (pytest.approx(values.mean()), 40, 40)
    assert mean.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(40))


def test_clusters_of_one_size_give_statsmodels_errors() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(25), 4)
    values = rng.normal(size=25)[clusters] + rng.normal(size=100)
    fit = sm.OLS(values, np.ones(100)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    mean = one(values, clusters)
    assert mean.standard_error == pytest.approx(float(fit.bse[0]))
    assert mean.bounds == pytest.approx(tuple(fit.conf_int()[0]))
    assert (mean.n, mean.clusters) == (100, 25)


def test_unequal_clusters_get_a_larger_error_than_the_usual_form() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(10), [1, 1, 1, 1, 1, 1, 2, 3, 30, 59])
    values = rng.normal(size=10)[clusters] + rng.normal(size=100)
    fit = sm.OLS(values, np.ones(100)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    mean = one(values, clusters)
    assert mean.standard_error > float(fit.bse[0])
    assert mean.bounds.high - mean.bounds.low > 1.5 * float(np.ptp(fit.conf_int()[0]))


def test_the_rest_is_welchs_interval_for_independent_rows() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 1, 2], [30, 50, 90])
    values = rng.normal(groups, 1 + groups)
    for group, contrast in enumerate(means_against_rest(values, groups)):
        own, rest = values[groups == group], values[groups != group]
        oracle = ttest_ind(own, rest, equal_var=False).confidence_interval(sidak(0.95, 3))
        assert contrast.bounds == pytest.approx((oracle.low, oracle.high))
        assert contrast.value == pytest.approx(own.mean() - rest.mean())
        assert (contrast.mean, contrast.other) == (pytest.approx(own.mean()), pytest.approx(rest.mean()))
        assert contrast.n == contrast.clusters == len(own)


def test_a_cluster_on_both_sides_is_paired() -> None:
    """Each customer has one row in either group, so the difference is the paired one."""
    rng = np.random.default_rng(4)
    customer = np.repeat(np.arange(60), 2)
    groups = np.tile([0, 1], 60)
    values = 3 * rng.normal(size=60)[customer] + 0.2 * rng.normal(size=120)
    contrast = means_against_rest(values, groups, customer)[0]
    paired = ttest_1samp(values[::2] - values[1::2], 0).confidence_interval(sidak(0.95, 2))
    width = contrast.bounds.high - contrast.bounds.low
    assert width == pytest.approx(paired.high - paired.low, rel=0.03)  # the degrees of freedom are Welch's
    apart = means_against_rest(values, groups)[0]
    assert apart.bounds.high - apart.bounds.low > 5 * width


def test_joint_intervals_are_wider_and_make_the_gap() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(4), 50)
    values = rng.normal(groups * 0.5, 1)
    single, joint = (group_means(values, groups, joint=joint) for joint in (False, True))
    for a, b in zip(single, joint, strict=True):
        assert b.bounds.low < a.bounds.low < a.bounds.high < b.bounds.high
    gap = mean_gap(joint)
    assert gap.value == pytest.approx(joint[3].value - joint[0].value)
    assert gap.bounds.low == pytest.approx(max(0, joint[3].bounds.low - joint[0].bounds.high))
    assert (gap.groups, gap.n) == (4, 200)


def test_one_group_has_no_gap() -> None:
    values = np.arange(10.0)
    with pytest.raises(ValueError, match="at least two groups, got 1"):
        mean_gap(group_means(values, np.zeros(10, dtype=int)))
    with pytest.raises(ValueError, match="at least two groups, got 1"):
        means_against_rest(values, np.zeros(10, dtype=int))


def test_values_alike_do_not_claim_certainty() -> None:
    """A share of clusters that was not seen may be anywhere in reach: 3.6% of 100, by Clopper and Pearson."""
    mean = one(np.zeros(100), reach=(0, 1))
    assert (mean.value, mean.standard_error, mean.bounds.low) == (0, 0, 0)
    assert mean.bounds.high == pytest.approx(1 - 0.025 ** (1 / 100))
    few = one(np.zeros(100), np.repeat(np.arange(10), 10), reach=(0, 1))
    assert few.bounds.high == pytest.approx(1 - 0.025 ** (1 / 10))
    # Without a reach, the other group's values show what is possible.
    flat, other = group_means(np.repeat([3.0, 0.0, 10.0], [100, 50, 50]), np.repeat([0, 1], 100))
    share = 1 - 0.025 ** (1 / 100)
    assert flat.bounds == pytest.approx((3 - 3 * share, 3 + 7 * share))
    assert other.standard_error > 0


def test_the_unseen_reaches_from_the_least_value_not_from_zero() -> None:
    flat, _ = group_means(np.repeat([3.0, 2.0, 10.0], [100, 50, 50]), np.repeat([0, 1], 100))
    share = 1 - 0.025 ** (1 / 100)
    assert flat.bounds == pytest.approx((3 - share, 3 + 7 * share))


@pytest.mark.parametrize(
    ("reach", "ends"), [((-2, 5), (-7, 7)), ((-2, None), None), ((None, 5), None), ((None, None), None)]
)
def test_differences_respect_a_full_reach(reach, ends) -> None:
    """Two customers each: t on one degree of freedom, and ends far beyond what is possible unless it is known."""
    values, groups = [-2.0, 5.0, -1.0, 4.0], [0, 0, 1, 1]
    bounds = means_against_rest(values, groups, reach=reach)[0].bounds
    if ends:
        assert bounds == pytest.approx(ends)
    else:
        assert bounds.low < -20
        assert bounds.high > 20


def test_a_rest_that_is_all_alike_does_not_claim_certainty() -> None:
    values, groups = np.repeat([3.0, 0.0, 10.0], [100, 50, 50]), np.repeat([0, 1], 100)
    for contrast in means_against_rest(values, groups):
        assert contrast.bounds.low < contrast.value < contrast.bounds.high
    # Each customer's two values agree, so their difference never varies.
    same = np.repeat(np.arange(40.0), 2)
    contrast = means_against_rest(same, np.tile([0, 1], 40), np.repeat(np.arange(40), 2))[0]
    assert contrast.bounds.low < 0 < contrast.bounds.high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, math.nan], [0, 0]), "finite values"),
        (([1.0, math.inf], [0, 0]), "finite values"),
        (([], []), "at least 1"),
        (([1.0, 2.0], [0]), r"shapes \(2,\) and \(1,\)"),
        (([1.0, 2.0], [0, 2]), "none in group 1"),
        (([1.0, 2.0], [0, 1]), "at least two clusters"),
        (([1.0, 2.0], [0, 0], [7, 7]), "at least two clusters"),
        (([1.0, 2.0], [0, 0], [7]), "a cluster per row"),
        (([2.0, 2.0], [0, 0]), "all alike"),
    ],
)
def test_nonsense_is_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_means(*arguments)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_levels_are_checked(level: float) -> None:
    with pytest.raises(ValueError, match="a level in"):
        one([1.0, 2.0], level=level)


@pytest.mark.parametrize("reach", [(1.5, None), (None, 1.5), (0, 1)])
def test_values_out_of_reach_are_refused(reach) -> None:
    with pytest.raises(ValueError, match="expected values within"):
        one([1.0, 2.0], reach=reach)


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_scale_changes_nothing(size: float) -> None:
    rng = np.random.default_rng(6)
    values, groups = rng.normal(size=60), np.repeat([0, 1], 30)
    plain, scaled = group_means(values, groups), group_means(values * size, groups)
    assert [x.bounds.low * size for x in plain] == pytest.approx([x.bounds.low for x in scaled], rel=1e-9)
    a, b = means_against_rest(values, groups), means_against_rest(values * size, groups)
    assert [x.bounds.high * size for x in a] == pytest.approx([x.bounds.high for x in b], rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=40),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 1000),
)
def test_intervals_hold_their_value_and_respect_reach(values: list[float], shift: float, seed: int) -> None:
    groups = np.arange(len(values)) % 2
    clusters = np.random.default_rng(seed).integers(0, 4, len(values)) * 2 + groups
    clusters[:4] = [0, 1, 2, 3]
    reach = (min(values) - abs(shift), max(values) + abs(shift))
    joint = group_means(values, groups, clusters, reach=reach, joint=True)
    slack = 1e-9 * max(1.0, *map(abs, values))
    for mean in joint:
        assert reach[0] - slack <= mean.bounds.low <= mean.value + slack
        assert mean.value - slack <= mean.bounds.high <= reach[1] + slack
    gap = mean_gap(joint)
    assert 0 <= gap.bounds.low <= gap.value + slack <= gap.bounds.high + 2 * slack
    for contrast in means_against_rest(values, groups, clusters, reach=reach):
        assert contrast.bounds.low - slack <= contrast.value <= contrast.bounds.high + slack


def shop(rng: np.random.Generator, groups: int, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Customers of unequal sizes, each in one group; rows of a customer go together."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    values = rng.normal(size=len(sizes))[clusters] + rng.normal(size=len(clusters))
    return values, (np.arange(len(sizes)) % groups)[clusters], clusters


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_joint_coverage_with_unequal_clusters(level: float) -> None:
    """Five groups of 12 customers of 1 to 40 rows, whose true means are 0."""
    rng, runs, means, rests, gaps = np.random.default_rng(7), 300, 0, 0, 0
    for _ in range(runs):
        sizes = np.maximum(1, np.exp(1.2 * rng.normal(size=60)).astype(int))
        values, groups, clusters = shop(rng, 5, sizes)
        joint = group_means(values, groups, clusters, level=level, joint=True)
        means += all(x.bounds.low <= 0 <= x.bounds.high for x in joint)
        rest = means_against_rest(values, groups, clusters, level=level)
        rests += all(x.bounds.low <= 0 <= x.bounds.high for x in rest)
        gaps += mean_gap(joint).bounds.low == 0
    assert enough(means, runs, level)
    assert enough(rests, runs, level)
    assert enough(gaps, runs, level)
    assert rests < runs  # an interval that always covers tells nothing


def test_ignoring_clusters_would_alarm() -> None:
    """The control of the test above."""
    rng, alarms = np.random.default_rng(8), 0
    for _ in range(100):
        values, groups, _ = shop(rng, 5, np.full(60, 12))
        alarms += any(not x.bounds.low <= 0 <= x.bounds.high for x in means_against_rest(values, groups))
    assert alarms > 30


def test_a_cluster_that_spans_groups_is_covered() -> None:
    """Products whose rows fall to both groups: errors shared by both sides cancel, and the interval knows."""
    rng, runs, covered, widths = np.random.default_rng(9), 300, 0, []
    for _ in range(runs):
        clusters = np.repeat(np.arange(30), 10)
        groups = rng.integers(0, 2, 300)
        values = 2 * rng.normal(size=30)[clusters] + rng.normal(size=300) + 0.5 * groups
        contrast = means_against_rest(values, groups, clusters)[1]
        covered += contrast.bounds.low <= 0.5 <= contrast.bounds.high
        widths.append(contrast.bounds.high - contrast.bounds.low)
    assert enough(covered, runs, 0.95)
    assert covered < runs


@pytest.mark.parametrize("count", [40, 4999, 5001, 20_000])
def test_resampled_sums_have_the_right_spread(count: int) -> None:
    rng = np.random.default_rng(10)
    clusters = np.repeat(np.arange(count) * 3 - 50, 2)
    values = rng.normal(1, 1, 2 * count)
    both = resampled_sums(
        np.concatenate([values, np.ones(2 * count)]),
        np.repeat([0, 1], 2 * count),
        np.tile(clusters, 2),
        width=2,
        draws=1000,
        seed=1,
    )
    assert both.shape == (1000, 2)
    drawn = both[:, 0] / both[:, 1]
    assert drawn.mean() == pytest.approx(values.mean(), abs=4 * drawn.std() / math.sqrt(1000))
    assert drawn.std() == pytest.approx(one(values, clusters).standard_error, rel=0.12)
    again = resampled_sums(values, np.zeros(2 * count, dtype=int), clusters, width=1, draws=1000, seed=1)
    assert np.allclose(again[:, 0], both[:, 0])


def test_pooling_clusters_keeps_rare_groups() -> None:
    """40 rows among 20,000 clusters: as uncertain as they are on their own."""
    rng = np.random.default_rng(11)
    values, rare = rng.normal(3, 1, 20_000), np.arange(20_000) < 40
    both = resampled_sums(
        np.concatenate([values * rare, rare.astype(float)]),
        np.repeat([0, 1], 20_000),
        np.tile(np.arange(20_000), 2),
        width=2,
        draws=1000,
        seed=2,
    )
    drawn = both[:, 0] / both[:, 1]
    assert drawn.std() == pytest.approx(one(values[rare]).standard_error, rel=0.15)
