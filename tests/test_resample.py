"""Fast bootstraps against naive resampling of rows, and the promises that pairing rests on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import binom, chi2, poisson

from governance.statistics import resample
from governance.statistics.bootstrap import ClusterBootstrap, percentile_interval
from governance.statistics.resample import POISSON, PoissonBootstrap, count_table, multinomial_draws


def weights_of(boot: PoissonBootstrap) -> np.ndarray:
    """Weight of each cluster in each draw, shape (draws, clusters)."""
    return boot.sums(np.eye(boot.count))


def test_count_draws_keep_their_total_and_their_empty_cells() -> None:
    counts = np.array([[3, 0, 7], [0, 5, 1]])
    drawn = multinomial_draws(counts, 300, 0)
    assert drawn.shape == (300, 2, 3)
    assert (drawn.sum(axis=(1, 2)) == 16).all()
    assert (drawn[:, counts == 0] == 0).all()
    assert len(np.unique(drawn[:, 0].sum(axis=1))) > 5  # groups' totals vary
    assert (drawn == multinomial_draws(counts, 300, 0)).all()
    assert (drawn != multinomial_draws(counts, 300, 1)).any()
    assert multinomial_draws(counts, 1, 0).shape == (1, 2, 3)


@pytest.mark.parametrize("within", [0, 1, (0, 2), (2, 0), (0, 1, 2)])
def test_stratified_draws_keep_the_totals_along_their_axes(within: int | tuple[int, ...]) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (3, 4, 2))
    kept = (within,) if isinstance(within, int) else within
    drawn = multinomial_draws(counts, 50, 1, within=within)
    rest = tuple(axis for axis in range(3) if axis not in kept)
    assert drawn.shape == (50, 3, 4, 2)
    assert (drawn.sum(axis=tuple(axis + 1 for axis in rest)) == counts.sum(axis=rest)).all()
    assert (drawn == counts).all() == (len(kept) == 3)


def test_a_stratum_without_rows_stays_empty() -> None:
    assert (multinomial_draws([[0, 0], [2, 2]], 20, 0, within=0)[:, 0] == 0).all()


@pytest.mark.parametrize("within", [(), 0])
def test_counts_are_distributed_as_those_of_resampled_rows(within: tuple[int, ...] | int) -> None:
    """A cell's count over 4,000 draws of 12 rows against 4,000 naive resamples: chi-square at 0.1%, eight cells."""
    counts, draws = np.array([[2, 3], [6, 1]]), 4000
    rows = np.repeat(np.arange(4), counts.ravel())
    rng, naive = np.random.default_rng(1), np.zeros((draws, 4), dtype=int)
    strata = [rows] if within == () else [rows[rows < 2], rows[rows >= 2]]
    for draw in range(draws):
        picked = np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])
        naive[draw] = np.bincount(picked, minlength=4)
    ours = multinomial_draws(counts, draws, 2, within=within).reshape(draws, 4)
    for cell in range(4):
        seen = np.stack([np.bincount(table[:, cell], minlength=13) for table in (ours, naive)])
        seen = seen[:, seen.sum(axis=0) >= 20]
        statistic = ((seen[0] - seen[1]) ** 2 / seen.sum(axis=0)).sum()
        assert statistic < chi2.isf(0.001 / 8, seen.shape[1])
    assert np.cov(ours.T) == pytest.approx(np.cov(naive.T), abs=0.25)  # the cells' dependence, too


@pytest.mark.parametrize(
    ("counts", "draws", "within", "message"),
    [
        ([], 5, (), "whole numbers"),
        ([0, 0], 5, (), "at least one above 0"),
        ([1, -1], 5, (), "whole numbers >= 0"),
        ([1.5, 1], 5, (), "whole numbers"),
        ([math.nan, 1], 5, (), "whole numbers"),
        ([math.inf, 1], 5, (), "whole numbers"),
        ([1, 1], 0, (), "at least one draw, got 0"),
        ([1, 1], 5, 1, r"axes among 0…0, got \(1,\)"),
        ([1, 1], 5, -1, "distinct axes"),
        ([1, 1], 5, (0, 0), "distinct axes"),
    ],
)
def test_what_can_not_be_drawn_from_is_refused(counts: list[float], draws: int, within: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        multinomial_draws(counts, draws, 0, within=within)


def test_the_table_of_weights_is_as_close_to_poisson_as_it_says() -> None:
    ours, values = np.array(POISSON) / 65536, np.arange(len(POISSON))
    truth = poisson.pmf(values, 1)
    assert sum(POISSON) == 65536
    assert sum(value * times for value, times in enumerate(POISSON)) == 65536  # mean 1
    assert sum(value * value * times for value, times in enumerate(POISSON)) == 2 * 65536  # variance 1
    assert (values**3 @ ours) == pytest.approx(5, abs=3.1e-5)
    assert np.abs(np.array(POISSON) - 65536 * truth).max() < 2
    distance = (np.abs(ours - truth).sum() + poisson.sf(values[-1], 1)) / 2
    assert distance < 3.8e-5


def test_weights_are_poisson_and_independent() -> None:
    """400 clusters, 2,500 draws: frequencies by chi-square at 0.1%; no correlation between draws or clusters."""
    weights = weights_of(PoissonBootstrap(400, draws=2500, seed=3))
    seen = np.bincount(weights.astype(int).ravel(), minlength=9)
    expected = np.append(poisson.pmf(np.arange(7), 1), poisson.sf(6, 1)) * weights.size
    seen = np.append(seen[:7], seen[7:].sum())
    assert ((seen - expected) ** 2 / expected).sum() < chi2.isf(0.001, 7)
    for table in (weights, weights.T):
        correlations = np.corrcoef(table[:60])[np.triu_indices(60, 1)]
        assert np.abs(correlations).max() < 5 / math.sqrt(table.shape[1])
        assert np.mean(correlations) == pytest.approx(0, abs=5 / math.sqrt(table.shape[1] * len(correlations)))


@pytest.mark.parametrize("draws", [1, 7, 64])
def test_neither_chunks_nor_tables_change_a_weight(draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = PoissonBootstrap(50, draws=draws, seed=5)
    whole = weights_of(boot)
    assert whole.shape == (draws, 50)
    table = np.random.default_rng(0).integers(0, 5, (50, 3)).astype(float)
    assert (boot.sums(table) == whole @ table).all()
    assert (boot.sums(csr_array(table)) == whole @ table).all()
    for cells in (1, 130, 999):
        monkeypatch.setattr(resample, "_WEIGHTS", cells)
        assert (weights_of(boot) == whole).all()
    assert (weights_of(PoissonBootstrap(50, draws=draws, seed=6)) != whole).any()
    # More clusters of the same seed: those that were there keep their weights.
    assert (weights_of(PoissonBootstrap(80, draws=draws, seed=5))[:, :50] == whole).all()


def test_large_counts_and_fractions_lose_nothing() -> None:
    """Sums past 2**24 would be rounded in single precision."""
    boot = PoissonBootstrap(40, draws=30, seed=1)
    weights = weights_of(boot)
    large = np.full((40, 1), 2.0**24 + 1)
    assert (boot.sums(large) == weights @ large).all()
    nearly = np.full((40, 1), 2**24 // (8 * 40) + 1.0)  # past the bound only if every weight were the largest
    assert (boot.sums(nearly) == weights @ nearly).all()
    fractions = np.random.default_rng(2).random((40, 2))
    assert boot.sums(fractions) == pytest.approx(weights @ fractions, rel=1e-14)
    negative = -np.arange(40.0)[:, None]
    assert (boot.sums(negative) == weights @ negative).all()


def test_rows_are_counted_by_cluster_and_cell() -> None:
    clusters, cells = [2, 0, 2, 2, 1], [1, 0, 1, 0, 3]
    table = count_table(clusters, cells, shape=(3, 4))
    assert table.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [1, 2, 0, 0]]
    assert table.nnz == 4
    halves = count_table(clusters[:2], cells[:2], shape=(3, 4)) + count_table(clusters[2:], cells[2:], shape=(3, 4))
    assert (halves.toarray() == table.toarray()).all()
    assert count_table([], [], shape=(3, 4)).nnz == 0
    for wrong, message in (
        (([1], [1, 2]), "one length"),
        (([3], [0]), "cluster codes in 0…2, got 3 to 3"),
        (([-1], [0]), "cluster codes"),
        (([0], [4]), "cell codes in 0…3, got 4 to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            count_table(*wrong, shape=(3, 4))


@pytest.mark.parametrize(
    ("clusters", "draws", "message"), [(0, 5, "at least one cluster"), (5, 0, "at least one draw, got 0")]
)
def test_an_empty_bootstrap_is_refused(clusters: int, draws: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoissonBootstrap(clusters, draws=draws)


def test_one_cluster_and_one_draw_will_do() -> None:
    assert PoissonBootstrap(1, draws=1, seed=2).sums(np.ones((1, 1))) in np.arange(9)


def test_a_table_of_other_clusters_is_refused() -> None:
    for table, message in ((np.ones((4, 2)), "a table of 5 clusters"), (np.full((5, 1), np.nan), "finite entries")):
        with pytest.raises(ValueError, match=message):
            PoissonBootstrap(5, draws=3).sums(table)


def test_spread_agrees_with_the_exact_cluster_bootstrap() -> None:
    """Standard errors of five cells' shares over 3,000 clusters; two bootstraps of 2,000 draws differ by 6% at most."""
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(3000), rng.integers(1, 20, 3000))
    cells = (rng.integers(0, 5, 3000)[codes] + (rng.random(len(codes)) < 0.3)) % 5
    table = count_table(codes, cells, shape=(3000, 5))
    exact = ClusterBootstrap(codes, draws=2000).sums(table.toarray())
    ours = PoissonBootstrap(3000, draws=2000).sums(table)
    spread = [(sums / sums.sum(axis=1, keepdims=True)).std(axis=0) for sums in (ours, exact)]
    assert spread[0] == pytest.approx(spread[1], rel=0.07)


def test_models_on_the_same_clusters_are_paired() -> None:
    """Differences of two models that agree on most rows vary far less than either."""
    rng = np.random.default_rng(5)
    codes, right = np.repeat(np.arange(2000), 5), rng.random(10_000) < 0.8
    other = right ^ (rng.random(10_000) < 0.02)
    rates = []
    for answers in (right, other):
        sums = PoissonBootstrap(2000, draws=500, seed=9).sums(count_table(codes, answers.astype(int), shape=(2000, 2)))
        rates.append(sums[:, 1] / sums.sum(axis=1))
    assert (rates[0] - rates[1]).std() < 0.5 * rates[0].std()


def test_interval_of_a_clustered_rate_covers() -> None:
    """Beta-binomial clusters of 1 to 11 rows. Tolerance: 1.5 points below 95%, tested at 0.1%."""
    rng, runs, held, naive, clusters = np.random.default_rng(6), 500, 0, 0, 200
    for run in range(runs):
        rows = rng.integers(1, 12, clusters)
        hits = rng.binomial(rows, rng.beta(1.6, 0.4, clusters))
        table = np.stack([hits, rows], axis=1).astype(float)
        total = table.sum(axis=0)
        for independent in (False, True):
            if independent:
                split = multinomial_draws([total[0], total[1] - total[0]], 500, run)
                draws = split[:, 0] / total[1]
            else:
                sums = PoissonBootstrap(clusters, draws=500, seed=run).sums(table)
                draws = sums[:, 0] / sums[:, 1]
            low, high = percentile_interval(draws, total[0] / total[1], clusters=clusters)
            if independent:
                naive += low <= 0.8 <= high
            else:
                held += low <= 0.8 <= high
    assert binom.cdf(held, runs, 0.935) > 0.001, held / runs
    assert naive / runs < 0.85  # the control: rows taken as independent
