"""Noisy histograms: noise as planned, sensitivity as claimed, an attack below the claim, a forest that learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.sparse import csr_matrix

from governance.budget.accounting import Spent, cross_checked
from governance.errors import BackendError, BudgetExceeded, ConfigError
from governance.training.dp.draws import Owners
from governance.training.dp.sums import NoisySums, contributions
from governance.training.recipes.features import Inputs
from governance.training.recipes.tree import PARTIAL, Counted, Forest, random_tree, shares
from tests.smallrecipes import BOUNDS, Killed, Purse, customers, plan, setting, table

CLASSES = ("no", "yes")


def forest(**changes: Any) -> Forest:
    return Forest(
        **{"classes": CLASSES, "bounds": BOUNDS, "categories": {"kind": ("shop", "web")}, "trees": 24} | changes
    )


def accuracy(folder: Path, rows: Any) -> float:
    found = Forest.load(folder / "model").predict(Inputs.of(rows))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    return float(np.mean(np.array(CLASSES)[found.argmax(1)] == np.array(rows.labels["label"])))


def lower_bound(shifted: np.ndarray, unshifted: np.ndarray, threshold: float, delta: float) -> float:
    """Epsilon that an attack rules out at 97.5%: Clopper-Pearson bounds of both rates."""

    def low(hits: int, n: int) -> float:
        return float(stats.beta.ppf(0.0125, hits, n - hits + 1)) if hits else 0.0

    m = len(shifted)
    true, false = int((shifted >= threshold).sum()), int((unshifted >= threshold).sum())
    false_high = 1 - low(m - false, m)
    return math.log(max(low(true, m) - delta, 1e-12) / max(false_high, 1e-12))


# The mechanism.


def test_noise_is_what_the_plan_says() -> None:
    sums = NoisySums(plan(50, steps=3, sigma=0.7), Purse(), sensitivity=2.5, releases=3, what="x")
    drawn = np.concatenate([sums.noisy(np.full(40_000, 3.0)) - 3.0 for _ in sums.steps(0, "refuse")])
    assert sums.noise == pytest.approx(1.75)
    assert drawn.std() == pytest.approx(1.75, rel=0.01)
    assert stats.kstest(drawn / 1.75, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(drawn[:40_000], drawn[40_000:80_000])[0, 1]) < 0.02  # no seed is used twice


def test_no_release_without_payment() -> None:
    sums = NoisySums(plan(50, steps=2), Purse(), sensitivity=1.0, releases=2, what="x")
    with pytest.raises(ValueError, match="not paid for"):
        sums.noisy(np.zeros(3))
    next(sums.steps(0, "refuse"))
    with pytest.raises(ValueError, match="not finite"):
        sums.noisy(np.array([np.nan]))
    sums.noisy(np.zeros(3))
    with pytest.raises(ValueError, match="not paid for"):
        sums.noisy(np.zeros(3))
    with pytest.raises(ConfigError, match="sample_rate 1"):
        NoisySums(plan(50, steps=2, sample_rate=0.5), Purse(), sensitivity=1.0, releases=2, what="x")
    with pytest.raises(ConfigError, match="expected 3 steps"):
        NoisySums(plan(50, steps=2), Purse(), sensitivity=1.0, releases=3, what="x")


VECTORS = hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(-1, 1, width=32))


@settings(deadline=None, max_examples=60)
@given(VECTORS, st.integers(0, 2**16), st.integers(1, 6))
def test_a_row_moves_one_count_of_a_tree_by_one(vectors: np.ndarray, seed: int, depth: int) -> None:
    """Every neighbour of the data set: L2 distance exactly 1, whatever the tree."""
    bounds = np.array([[-1.0, 1.0], [0.0, 1.0], [-0.1, 0.1]])
    tree = random_tree(bounds, depth, np.random.default_rng(seed))
    n, codes = len(vectors), np.arange(len(vectors)) % 2

    def histogram(kept: np.ndarray) -> np.ndarray:
        return Counted(csr_matrix(vectors), codes, 2, kept, np.ones(len(kept))).histogram(tree)

    whole = histogram(np.arange(n))
    assert whole.sum() == n
    assert not whole[tree.children[:, 0] >= 0].any()  # inner nodes hold nobody
    for left_out in range(n):
        assert np.linalg.norm(whole - histogram(np.delete(np.arange(n), left_out))) == 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 3))
def test_a_drawn_user_weighs_at_most_one(units: list[int], cap: int) -> None:
    rows = table(["yes"] * len(units), units=units)
    users = len(set(units))
    owners = Owners(np.unique(units, return_inverse=True)[1], cap)
    private = plan(len(units), steps=1, unit="user", drawn="user", units=users, cap=cap)
    index, weights = contributions(rows, private, owners, what="x")
    total = np.bincount(np.array(units)[index], weights, minlength=5)
    assert (total <= 1).all()
    assert total[list(set(units))].min() > 0.99


def test_a_user_of_drawn_records_has_no_more_than_the_plan_pays_for() -> None:
    private = plan(5, steps=1, unit="user", drawn="record", units=2, cap=2)
    with pytest.raises(ConfigError, match="at most 2 rows of each user"):
        contributions(table(["yes"] * 5, units=[0, 0, 0, 1, 1]), private, None, what="x")
    assert len(contributions(table(["yes"] * 4, units=[0, 0, 1, 1]), private, None, what="x")[0]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1.0, 0.25])
def test_an_attack_on_a_forest_stays_below_its_claim(noise: float) -> None:
    """The attacker knows every row but one, and adds up the counts of the leaves that it would lie in."""
    trees, runs, sigma, delta = 4, 2500, 2.5, 1e-3
    vectors = csr_matrix(np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32))
    codes = np.arange(50) % 2
    bounds = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    grown = [random_tree(bounds, 3, np.random.default_rng(i)) for i in range(trees)]
    at = [int(tree.leaves(vectors[:1].toarray())[0]) for tree in grown]

    def exact(kept: np.ndarray) -> list[np.ndarray]:
        return [Counted(vectors, codes, 2, kept, np.ones(len(kept))).histogram(tree) for tree in grown]

    known = sum(world[leaf, codes[0]] for world, leaf in zip(exact(np.arange(1, 50)), at, strict=True))

    def scores(world: list[np.ndarray]) -> np.ndarray:
        found = np.empty(runs)
        for run in range(runs):
            sums = NoisySums(plan(50, steps=trees, sigma=sigma), Purse(), sensitivity=1.0, releases=trees, what="x")
            sums.noise *= noise
            found[run] = sum(sums.noisy(world[i])[at[i], codes[0]] for i in sums.steps(0, "refuse")) - known
        return found

    claimed = cross_checked([Spent(sigma, 1.0, trees)], delta).epsilon
    # To the right of the middle, where few are accused and fewer wrongly; chosen before any score is seen.
    threshold = trees / 2 + noise * sigma * math.sqrt(trees)
    found = lower_bound(scores(exact(np.arange(50))), scores(exact(np.arange(1, 50))), threshold, delta)
    assert (found <= claimed) == (noise == 1.0)
    assert found > claimed / 5  # an attack that finds nothing would pass anything


# The forest.


def test_learns_openly(tmp_path: Path) -> None:
    found = forest().fit(customers(400), tmp_path, setting())
    assert found.claim is None
    assert accuracy(tmp_path, customers(300, seed=1)) > 0.93


def test_counts_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """Trees are theirs, counts are ours: with no shrinkage to speak of, so are the probabilities."""
    from sklearn.ensemble import ExtraTreesClassifier

    rows = customers(200)
    forest(shrinkage=1e-9, depth=4).fit(rows, tmp_path, setting(seed=3))
    model = Forest.load(tmp_path / "model")
    vectors = model._reader.vectors(Inputs.of(rows))
    theirs = ExtraTreesClassifier(n_estimators=24, max_depth=4, random_state=3).fit(vectors, rows.labels["label"])
    np.testing.assert_allclose(model.predict(Inputs.of(rows)), theirs.predict_proba(vectors), atol=1e-6)


def test_learns_privately_and_claims_what_it_paid(tmp_path: Path) -> None:
    purse = Purse()
    found = forest(depth=4).fit(customers(800), tmp_path, setting(plan(800, steps=24, sigma=4.0), purse=purse))
    claim = found.claim
    assert claim is not None
    assert (claim.steps, claim.sample_rate, claim.clipping, claim.normaliser, purse.charged) == (24, 1.0, 1.0, 1.0, 24)
    assert claim.epsilon == pytest.approx(cross_checked([Spent(4.0, 1.0, 24)], 1e-3).epsilon)
    # All histograms together: one Gaussian release of sensitivity sqrt(trees).
    assert claim.epsilon == pytest.approx(cross_checked([Spent(4.0 / math.sqrt(24), 1.0, 1)], 1e-3).epsilon, rel=0.02)
    assert "histogram" in claim.covers or "counts" in claim.covers
    assert accuracy(tmp_path, customers(300, seed=1)) > 0.75
    assert not (tmp_path / PARTIAL).exists()


def test_splits_of_a_private_forest_read_no_row(tmp_path: Path) -> None:
    found = []
    for number, rows in enumerate((customers(100), customers(100, seed=9))):
        folder = tmp_path / str(number)
        folder.mkdir()
        forest(trees=3).fit(rows, folder, setting(plan(100, steps=3), seed=5))
        found.append(Forest.load(folder / "model")._trees)
    for one, other in zip(*found, strict=True):
        for part in ("column", "threshold", "children"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_noise_of_a_resumed_or_repeated_run_is_fresh(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        forest(trees=2).fit(customers(100), folder, setting(plan(100, steps=2), seed=5))
        found.append(load_file(folder / "model" / "model.safetensors")["0.counts"])
    assert (found[0] != found[1]).all()


def test_a_kill_loses_a_tree_that_stays_paid_for(tmp_path: Path) -> None:
    private = plan(100, steps=24)
    with pytest.raises(Killed):
        forest().fit(customers(100), tmp_path, setting(private, purse=Purse(dies_after=10)))
    again = Purse(charged=10)
    found = forest().fit(customers(100), tmp_path, setting(private, purse=again))
    assert again.charged == 24
    assert found.facts["trees"] == 23  # the tenth was paid for and lost
    assert found.claim is not None
    assert found.claim.steps == 24


@pytest.mark.slow
def test_budget_refuses_or_stops(tmp_path: Path) -> None:
    private = plan(100, steps=24)
    found = forest().fit(customers(100), tmp_path, setting(private, purse=Purse(limit=7), on_budget="stop"))
    assert (found.facts["trees"], found.ran.stopped) == (7, "the data set's privacy budget")
    for limit, how in ((7, "refuse"), (0, "stop")):
        folder = tmp_path / how
        folder.mkdir()
        with pytest.raises(BudgetExceeded):
            forest().fit(customers(100), folder, setting(private, purse=Purse(limit=limit), on_budget=how))


def test_noise_below_zero_and_empty_leaves_say_little() -> None:
    counts = np.array([[0.0, 0.0], [-3.0, 1.0], [50.0, 0.0], [9.0, 9.0]])
    leaf = np.array([True, True, True, False])
    found = shares(counts, leaf, np.array([0.3, 0.7]), 2.0)
    np.testing.assert_allclose(found, [[0.3, 0.7], [0.6 / 3, 2.4 / 3], [50.6 / 52, 1.4 / 52], [0, 0]])


def test_flags_are_asked_for_once_on_the_way() -> None:
    tree = random_tree(np.array([[0.0, 1.0]] * 3), 10, np.random.default_rng(0))
    every = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=np.float32)
    assert len(set(tree.leaves(every).tolist())) == 8  # three flags tell eight rows apart, and no split is spent twice
    assert len(tree.column) == 15


def test_what_is_refused(tmp_path: Path) -> None:
    private = plan(100, steps=24)
    with pytest.raises(ConfigError, match="bounds: 'age' has none"):
        forest(bounds={}).fit(customers(100), tmp_path, setting(private))
    with pytest.raises(ConfigError, match=r"tree\.classes: a private run"):
        forest(classes=()).fit(customers(100), tmp_path, setting(private))
    with pytest.raises(ConfigError, match="depth from 1 to 20"):
        forest(depth=30).fit(customers(100), tmp_path, setting())
    with pytest.raises(BackendError, match="not a tree"):
        Forest.load(tmp_path)
