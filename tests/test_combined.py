"""Sums of rates: against intervals that are known, and by simulation against a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from governance.statistics.combined import combined_rates
from governance.statistics.intervals import clopper_pearson, difference_interval
from governance.statistics.multiplicity import sidak

DIFFERENCE, DISTORTION = (1, -1), (1, -1, -1, 1)


def sides(said: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([said, said], axis=1), np.stack([own, ~own], axis=1)


def test_of_independent_rows_a_difference_is_that_of_two_sides() -> None:
    rng = np.random.default_rng(0)
    own, said = rng.random(300) < 0.3, rng.random(300) < 0.2
    made = combined_rates(*sides(said, own), DIFFERENCE, clusters=np.arange(300))
    rates = said[own].mean(), said[~own].mean()
    ends = [clopper_pearson(float(said[side].sum()), float(side.sum())) for side in (own, ~own)]
    known = difference_interval(rates[0], ends[0], rates[1], ends[1])
    assert made.value == pytest.approx(rates[0] - rates[1])
    assert made.rates == pytest.approx(rates)
    assert made.bounds == pytest.approx(known, abs=0.01)  # the design effect of a sample may be above 1


def test_of_the_same_rows_nothing_is_left() -> None:
    """A rate minus itself is known to be 0: the correlation must be seen."""
    said = np.random.default_rng(0).random(200) < 0.3
    both = np.stack([said, said], axis=1)
    made = combined_rates(both, np.ones((200, 2), dtype=bool), DIFFERENCE, clusters=np.arange(200))
    assert made.value == 0
    assert max(abs(end) for end in made.bounds) < 0.02


def test_at_the_edges_nobody_is_certain() -> None:
    own = np.arange(60) < 20
    made = combined_rates(*sides(own, own), DIFFERENCE, clusters=np.arange(60))
    assert (made.value, made.bounds.high) == (1, 1)
    assert 0.7 < made.bounds.low < 0.9


def test_what_makes_no_sense_is_refused() -> None:
    said = np.zeros((4, 2), dtype=bool)
    with pytest.raises(ValueError, match="expected rows in every rate"):
        combined_rates(said, said, DIFFERENCE, clusters=np.arange(4))
    with pytest.raises(ValueError, match="expected tables of one shape"):
        combined_rates(said, ~said, (1, -1, 1), clusters=np.arange(4))
    with pytest.raises(ValueError, match="expected a cluster per row, got 3 for 4 rows"):
        combined_rates(said, ~said, DIFFERENCE, clusters=np.arange(3))


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "each"), [(300, 1), (20, 15), (60, 10)])
@pytest.mark.parametrize("kind", ["alike", "apart", "rare"])
def test_intervals_cover_the_truth(clusters: int, each: int, kind: str) -> None:
    """Clusters that raise both sides together, that raise one and lower the other, and rates near 0."""
    rng, level, runs, missed = np.random.default_rng(1), sidak(0.95, 5), 300, np.zeros(2, dtype=int)
    codes = np.repeat(np.arange(clusters), each)
    base = {"alike": (0.3, 0.15), "apart": (0.4, 0.4), "rare": (0.03, 0.02)}[kind]
    for _ in range(runs):
        own, shift = rng.random(len(codes)) < 0.2, (rng.beta(2, 2, clusters) - 0.5)[codes]
        rate = np.where(own, *base)
        rate = {"alike": rate * (1 + shift), "apart": rate + np.where(own, 0.6, -0.6) * shift, "rare": rate}[kind]
        truth = rng.random(len(codes)) < rate
        said = truth ^ (rng.random(len(codes)) < np.where(own, 0.15, 0.08))
        made = combined_rates(*sides(truth, own), DIFFERENCE, clusters=codes, level=level)
        missed[0] += not made.bounds.low <= base[0] - base[1] <= made.bounds.high
        errors = np.stack([said & ~truth, truth & ~said] * 2, axis=1)
        made = combined_rates(errors, np.stack([own, own, ~own, ~own], axis=1), DISTORTION, clusters=codes, level=level)
        known = 0.15 * (1 - 2 * base[0]) - 0.08 * (1 - 2 * base[1])
        missed[1] += not made.bounds.low <= known <= made.bounds.high
    assert all(binom.sf(missed - 1, runs, 1 - level) > 0.001)
