"""Planned rows against published figures, statsmodels, and simulated studies."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from governance.statistics.intervals import difference_interval, wilson
from governance.statistics.paired import paired_difference
from governance.statistics.power import (
    design_effect,
    paired_detectable,
    paired_rows,
    power_of_paired,
    power_of_rates,
    rate_detectable,
    rate_rows,
)


def test_the_published_example() -> None:
    """Facts, section 6: 0.02 at a variance of 0.10."""
    assert paired_rows(0.02, 0.10) == 1963
    assert paired_rows(-0.02, 0.10) == 1963
    assert paired_rows(0.02, 0.10, effect=2.0) == math.ceil(2 * 1962.22)


def test_a_design_effect_multiplies_the_rows() -> None:
    assert rate_rows(0.1, 0.05, effect=2.0) == (math.ceil(2 * 423.733),) * 2
    assert paired_detectable(1963, 0.1) == pytest.approx(0.02, rel=1e-3)
    assert paired_detectable(400, 0.1, effect=4.0) == pytest.approx(paired_detectable(100, 0.1))
    assert power_of_paired(400, 0.1, 0.1, effect=4.0) == pytest.approx(power_of_paired(100, 0.1, 0.1))


def test_the_edges_of_what_is_allowed() -> None:
    assert 0.05 < power_of_paired(1, 0.1, 0.1) < 0.1
    assert power_of_rates(0.0, 1.0, 1, 1) > 0.5
    assert paired_rows(0.1, 0.1, power=0.51) < paired_rows(0.1, 0.1, power=0.6)


def test_a_whole_number_of_rows_is_not_rounded_up() -> None:
    variance = 100 * 0.02**2 / (1.959963984540054 + 0.8416212335729143) ** 2
    assert paired_rows(0.02, variance) == 100


@pytest.mark.parametrize(("level", "power", "effect"), [(0.95, 0.8, 1.0), (0.99, 0.9, 1.0), (0.9, 0.7, 2.5)])
def test_rows_difference_and_power_are_inverse(level: float, power: float, effect: float) -> None:
    for difference, variance in ((0.02, 0.1), (0.1, 0.3), (1.5, 4.0)):
        rows = paired_rows(difference, variance, level=level, power=power, effect=effect)
        found = paired_detectable(rows, variance, level=level, power=power, effect=effect)
        assert found <= difference < paired_detectable(rows - 1, variance, level=level, power=power, effect=effect)
        assert power_of_paired(rows, found, variance, level=level, effect=effect) == pytest.approx(power, abs=1e-4)
        assert power_of_paired(rows, -found, variance, level=level, effect=effect) == pytest.approx(power, abs=1e-4)


def test_power_without_a_difference_is_the_false_alarm_rate() -> None:
    assert power_of_paired(500, 0.0, 0.1, level=0.9) == pytest.approx(0.1)
    assert power_of_rates(0.3, 0.3, 500, 100, level=0.9) == pytest.approx(0.1)
    assert power_of_paired(10**7, 0.1, 0.1) == pytest.approx(1.0)


@pytest.mark.slow  # imports statsmodels
@pytest.mark.parametrize(("rate", "other", "ratio"), [(0.1, 0.05, 1.0), (0.5, 0.6, 1.0), (0.8, 0.95, 3.0)])
def test_rates_agree_with_statsmodels(rate: float, other: float, ratio: float) -> None:
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_effectsize

    size = proportion_effectsize(rate, other)
    oracle = NormalIndPower().solve_power(abs(size), alpha=0.05, power=0.8, ratio=ratio)
    assert rate_rows(rate, other, ratio=ratio) == (math.ceil(oracle), math.ceil(oracle * ratio))
    assert power_of_rates(rate, other, 120, 260) == pytest.approx(NormalIndPower().power(size, 120, 0.05, 260 / 120))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.97])
@pytest.mark.parametrize("side", ["above", "below"])
def test_the_detectable_rate_is_found_with_the_power_asked_for(rate: float, side: str) -> None:
    other = rate_detectable(rate, 200, 90, side=side, power=0.9, effect=1.5)
    if other is None:
        extreme = 1.0 if side == "above" else 0.0
        assert power_of_rates(rate, extreme, 200, 90, effect=1.5) < 0.9
    else:
        assert (other > rate) == (side == "above")
        assert power_of_rates(rate, other, 200, 90, effect=1.5) == pytest.approx(0.9, abs=1e-4)


def test_a_rate_beyond_the_edge_can_not_be_detected() -> None:
    assert rate_detectable(0.97, 50, 50, side="above") is None
    assert rate_detectable(0.03, 50, 50, side="below") is None
    assert rate_detectable(0.03, 50, 50, side="above") is not None


def test_clusters_cost_rows() -> None:
    assert design_effect(np.ones(9), 0.7) == 1.0
    assert design_effect([4, 4, 4], 1.0) == 4.0
    assert design_effect([4, 4, 4], 0.0) == 1.0
    # Eldridge et al.: 1 + ((1 + cv^2) mean - 1) correlation, with the coefficient of variation of the sizes.
    sizes = np.array([1, 3, 8])
    cv2 = sizes.var() / sizes.mean() ** 2
    assert design_effect(sizes, 0.2) == pytest.approx(1 + ((1 + cv2) * sizes.mean() - 1) * 0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_rows(0, 0.1), "other than 0"),
        (lambda: paired_rows(math.nan, 0.1), "finite difference"),
        (lambda: paired_rows(0.1, 0.0), "variance > 0, got 0.0"),
        (lambda: paired_rows(0.1, math.inf), "variance > 0"),
        (lambda: paired_rows(0.1, 0.1, effect=0.9), "design effect >= 1, got 0.9"),
        (lambda: paired_rows(0.1, 0.1, power=0.5), r"power in \(0.5, 1\), got 0.5"),
        (lambda: paired_rows(0.1, 0.1, power=1.0), "got 1.0"),
        (lambda: paired_rows(0.1, 0.1, level=0.0), r"level in \(0, 1\), got 0.0"),
        (lambda: paired_detectable(0, 0.1), "at least one row, got 0"),
        (lambda: power_of_paired(0, 0.1, 0.1), "at least one row, got 0"),
        (lambda: power_of_paired(9, math.nan, 0.1), "finite difference"),
        (lambda: power_of_paired(9, 0.1, 0.1, level=1.0), "got 1.0"),
        (lambda: rate_rows(0.1, 0.1), "two different rates"),
        (lambda: rate_rows(-0.1, 0.1), r"rate in \[0, 1\], got -0.1"),
        (lambda: rate_rows(0.1, 1.1), "got 1.1"),
        (lambda: rate_rows(0.1, 0.2, ratio=0.0), "ratio > 0, got 0.0"),
        (lambda: rate_detectable(math.nan, 9, 9, side="above"), "got nan"),
        (lambda: power_of_rates(0.1, 0.2, 9, 0), "at least one row"),
        (lambda: design_effect([], 0.1), "cluster sizes"),
        (lambda: design_effect([0.5], 0.1), "at least 1"),
        (lambda: design_effect([2], 1.1), r"correlation in \[0, 1\], got 1.1"),
    ],
)
def test_nonsense_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def near(found: int, runs: int, power: float, slack: float) -> bool:
    """Whether a power within `slack` of this one survives a two-sided binomial test at 0.2%."""
    return bool(binom.cdf(found, runs, power - slack) > 0.001 and binom.sf(found - 1, runs, power + slack) > 0.001)


@pytest.mark.parametrize(("difference", "discordant"), [(0.05, 0.1), (0.1, 0.3), (0.03, 0.05)])
def test_paired_power_by_simulation(difference: float, discordant: float) -> None:
    """Answers right or wrong, independent rows: the interval excludes 0 as often as planned. Slack: 2 points."""
    rng, runs, found = np.random.default_rng(0), 1500, 0
    variance = discordant - difference**2
    rows = paired_rows(difference, variance, power=0.85)
    better, worse = (discordant + difference) / 2, (discordant - difference) / 2
    for _ in range(runs):
        drawn = rng.choice([1.0, -1.0, 0.0], size=rows, p=[better, worse, 1 - discordant])
        ours = paired_difference(drawn, np.zeros(rows))
        found += not ours.low <= 0 <= ours.high
    assert near(found, runs, 0.85, 0.02), found / runs


def test_paired_power_with_clusters_by_simulation() -> None:
    """Clusters of 5 rows correlated at 0.3. Slack: 2.5 points; without the design effect, power falls below 60%."""
    rng, runs, size, correlation, found, naive = np.random.default_rng(1), 1000, 5, 0.3, 0, 0
    effect = design_effect([size], correlation)
    for run in range(2 * runs):
        planned = paired_rows(0.1, 0.25, effect=effect if run < runs else 1.0)
        clusters = round(planned / size)
        shared = rng.normal(size=(clusters, 1)) * math.sqrt(correlation)
        drawn = 0.1 + 0.5 * (shared + rng.normal(size=(clusters, size)) * math.sqrt(1 - correlation)).ravel()
        codes = np.repeat(np.arange(clusters), size)
        ours = paired_difference(drawn, np.zeros(len(drawn)), clusters=codes, reach=None)
        found += run < runs and ours.low > 0
        naive += run >= runs and ours.low > 0
    assert near(found, runs, 0.8, 0.025), found / runs
    assert naive / runs < 0.6


@pytest.mark.parametrize(
    ("rate", "other", "ratio"), [(0.1, 0.05, 1.0), (0.5, 0.6, 1.0), (0.3, 0.2, 4.0), (0.1, 0.2, 4.0), (0.9, 0.95, 4.0)]
)
def test_power_of_rates_by_exact_summation(rate: float, other: float, ratio: float) -> None:
    """Newcombe's interval excludes 0 as often as planned, within 4 points (80% asked; 77 to 83% got)."""
    n, m = rate_rows(rate, other, ratio=ratio)
    left, right = [wilson(x, n) for x in range(n + 1)], [wilson(y, m) for y in range(m + 1)]
    chance_left, chance_right = binom.pmf(np.arange(n + 1), n, rate), binom.pmf(np.arange(m + 1), m, other)
    power = 0.0
    for x in np.flatnonzero(chance_left > 1e-7):
        for y in np.flatnonzero(chance_right > 1e-7):
            low, high = difference_interval(x / n, left[x], y / m, right[y])
            power += chance_left[x] * chance_right[y] * (not low <= 0 <= high)
    assert 0.76 < power < 0.84
