"""Noisy Lloyd steps: sensitivity as claimed, an attack that stays below the claim, clusters that are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from governance.budget.accounting import Spent, cross_checked
from governance.errors import BackendError, BudgetExceeded, ConfigError
from governance.training.dp.sums import NoisySums, joint_sensitivity
from governance.training.recipes.clusters import Clusters, around, cut, means_of, nearest, released, shortened
from governance.training.recipes.features import Inputs
from tests.smallrecipes import Killed, Purse, plan, setting, table
from tests.test_private_tree import lower_bound

POINTS = hnp.arrays(np.float64, st.tuples(st.integers(1, 7), st.just(3)), elements=st.floats(-5, 5))
SQUARE = {"x": (-4.0, 4.0), "y": (-4.0, 4.0)}


def blobs(n: int = 600, *, seed: int = 0, units: bool = False) -> tuple[Any, np.ndarray]:
    """Points around three corners, and which."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(3, size=n)
    found = np.array([[3.0, 3.0], [-3.0, 3.0], [0.0, -3.0]])[corner] + rng.normal(0, 0.3, (n, 2))
    owner = list(range(n)) if units else None
    return table(numbers={"x": list(found[:, 0]), "y": list(found[:, 1])}, units=owner), corner


def clusters(**changes: Any) -> Clusters:
    return Clusters(**{"clusters": 3, "bounds": SQUARE, "bound": 1.5} | changes)


def agreement(found: np.ndarray, corner: np.ndarray) -> float:
    """Share of points that lie in the commonest corner of their cluster."""
    commonest = [np.bincount(corner[found == cluster]).max() for cluster in set(found.tolist())]
    return float(sum(commonest) / len(found))


@settings(deadline=None, max_examples=100)
@given(POINTS, st.floats(0.1, 3), st.floats(0.1, 2), st.integers(0, 2**16), st.data())
def test_one_point_moves_a_release_by_no_more_than_claimed(
    raw: np.ndarray, bound: float, count: float, seed: int, data: st.DataObject
) -> None:
    """Every neighbour of the data set, any centres, any weights up to 1."""
    points = shortened(csr_matrix(raw), bound)
    weights = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(raw), max_size=len(raw))))
    centres = np.random.default_rng(seed).normal(size=(4, 3))
    whole = released(points, weights, centres, count)
    for left_out in range(len(raw)):
        kept = np.delete(np.arange(len(raw)), left_out)
        moved = np.linalg.norm(whole - released(points[kept], weights[kept], centres, count))
        assert moved <= joint_sensitivity(bound, count) * (1 + 1e-9)


@given(POINTS, st.floats(0.1, 3))
def test_no_vector_is_longer_than_the_bound(raw: np.ndarray, bound: float) -> None:
    assert np.linalg.norm(shortened(csr_matrix(raw), bound).toarray(), axis=1).max() <= bound
    assert np.linalg.norm(cut(raw, bound), axis=1).max() <= bound * (1 + 1e-12)
    short = np.linalg.norm(raw, axis=1) < bound * 0.99
    np.testing.assert_allclose(shortened(csr_matrix(raw), bound).toarray()[short], raw[short])


@given(POINTS)
def test_releases_are_plain_sums_and_counts(raw: np.ndarray) -> None:
    centres = np.array([[0.0, 0, 0], [2, 2, 2]])
    found = released(csr_matrix(raw), np.ones(len(raw)), centres, 0.5)
    at = np.array([np.argmin([np.sum((p - c) ** 2) for c in centres]) for p in raw])
    ties = np.isclose(((raw - centres[0]) ** 2).sum(1), ((raw - centres[1]) ** 2).sum(1))
    if not ties.any():
        for cluster in (0, 1):
            np.testing.assert_allclose(found[cluster, :3], raw[at == cluster].sum(axis=0), atol=1e-9)
            assert found[cluster, 3] == 0.5 * np.sum(at == cluster)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1.0, 0.25])
def test_an_attack_on_the_steps_stays_below_the_claim(noise: float) -> None:
    """The attacker knows every point but one, which is as long as it may be, and looks along it in every step."""
    rng, steps, runs, bound, delta, sigma = np.random.default_rng(0), 3, 2500, 1.0, 1e-3, 2.0
    others, target = cut(rng.normal(size=(30, 4)), 0.3), np.array([[1.0, 0, 0, 0]])
    points, weights, count = shortened(csr_matrix(np.vstack([target, others])), bound), np.ones(31), bound / 2
    centres = around(np.zeros(4), 3, bound, rng)
    at, sensitivity = int(nearest(points[:1], centres)[0]), joint_sensitivity(bound, count)
    direction = np.append(target[0] * bound, count) / sensitivity
    worlds = released(points, weights, centres, count), released(points[1:], weights[1:], centres, count)
    base = float(worlds[1][at] @ direction) * steps

    def scores(world: np.ndarray) -> np.ndarray:
        found = np.empty(runs)
        for run in range(runs):
            sums = NoisySums(
                plan(31, steps=steps, sigma=sigma), Purse(), sensitivity=sensitivity, releases=None, what="x"
            )
            sums.noise *= noise
            found[run] = sum(float(sums.noisy(world)[at] @ direction) for _ in sums.steps(0, "refuse")) - base
        return found / sensitivity

    claimed = cross_checked([Spent(sigma, 1.0, steps)], delta).epsilon
    threshold = steps / 2 + noise * sigma * steps**0.5  # chosen before any score is seen
    found = lower_bound(scores(worlds[0]), scores(worlds[1]), threshold, delta)
    assert (found <= claimed) == (noise == 1.0)
    assert found > claimed / 5  # an attack that finds nothing would pass anything


def test_finds_groups_openly(tmp_path: Path) -> None:
    rows, corner = blobs()
    found = clusters().fit(rows, tmp_path, setting())
    assert found.claim is None
    test, corner = blobs(200, seed=1)
    assert agreement(Clusters.load(tmp_path / "model").predict(Inputs.of(test)), corner) == 1
    assert sum(int(found.facts[f"size_{i}"]) for i in range(3)) == 600


def test_finds_groups_privately(tmp_path: Path) -> None:
    rows, _ = blobs()
    purse = Purse()
    found = clusters().fit(rows, tmp_path, setting(plan(600, steps=8, sigma=4.0), purse=purse))
    claim = found.claim
    assert claim is not None
    assert (claim.steps, claim.sample_rate, claim.normaliser, purse.charged) == (8, 1.0, 1.0, 8)
    assert claim.clipping == pytest.approx(joint_sensitivity(1.5, 0.75))
    assert claim.epsilon == pytest.approx(cross_checked([Spent(4.0, 1.0, 8)], 1e-3).epsilon)
    test, corner = blobs(200, seed=1)
    assert agreement(Clusters.load(tmp_path / "model").predict(Inputs.of(test)), corner) > 0.6
    sizes, noise = [float(found.facts[f"size_{i}"]) for i in range(3)], float(found.facts["size_noise"])
    assert noise == pytest.approx(4.0 * claim.clipping / 0.75)
    assert abs(sum(sizes) - 600) < 6 * noise * 3**0.5
    assert not all(size.is_integer() for size in sizes)  # noisy, not counted


def test_words_describe_clusters_of_open_runs_alone(tmp_path: Path) -> None:
    texts = ["soft red dress"] * 30 + ["late parcel refund"] * 30
    rows = table(texts=texts, categories={"kind": ["a"] * 60})
    recipe = Clusters(clusters=2, text_buckets=32)
    open_facts = recipe.fit(rows, tmp_path, setting()).facts
    assert {open_facts["words_0"], open_facts["words_1"]} == {"dress red soft", "late parcel refund"}
    private = recipe.fit(rows, tmp_path, setting(plan(60, steps=3, sigma=4.0))).facts
    assert not [name for name in private if name.startswith("words")]
    everything = b"".join(path.read_bytes() for path in (tmp_path / "model").iterdir())
    assert b"parcel" not in everything


def test_a_customer_is_one_point_however_many_rows(tmp_path: Path) -> None:
    rows, _ = blobs(90)
    owned = table(numbers={k: list(v) for k, v in rows.numbers.items()}, units=[i // 3 for i in range(88)] + [-1, -1])
    means = means_of(csr_matrix(np.arange(8.0).reshape(4, 2)), np.array([5, 2, 5, 5])).toarray()
    np.testing.assert_allclose(means, [[2, 3], [10 / 3, 13 / 3]])
    found = clusters(of="customers").fit(owned, tmp_path, setting())
    assert sum(int(found.facts[f"size_{i}"]) for i in range(3)) == 30  # nobody's rows are no customer
    model = Clusters.load(tmp_path / "model")
    assert model.predict(Inputs.of(owned), owned.units).shape == (31,)
    with pytest.raises(ConfigError, match="set the unit to user"):
        clusters(of="customers").fit(owned, tmp_path, setting(plan(90, steps=3)))
    private = plan(90, steps=3, unit="user", drawn="user", units=30, cap=3, sigma=4.0)
    claim = clusters(of="customers").fit(owned, tmp_path, setting(private)).claim
    assert claim is not None
    assert (claim.unit, claim.units) == ("user", 30)
    with pytest.raises(ConfigError, match="names no column of units"):
        clusters(of="customers").fit(rows, tmp_path, setting())


def test_a_kill_loses_a_step_that_stays_paid_for(tmp_path: Path) -> None:
    rows, _ = blobs(100)
    private = plan(100, steps=8, sigma=4.0)
    with pytest.raises(Killed):
        clusters().fit(rows, tmp_path, setting(private, purse=Purse(dies_after=5)))
    again = Purse(charged=5)
    found = clusters().fit(rows, tmp_path, setting(private, purse=again))
    assert again.charged == 8
    assert found.claim is not None
    assert found.claim.steps == 8
    other = tmp_path / "other"
    other.mkdir()
    stopped = clusters().fit(rows, other, setting(private, purse=Purse(limit=4), on_budget="stop"))
    assert stopped.ran.stopped == "the data set's privacy budget"
    with pytest.raises(BudgetExceeded):
        clusters().fit(rows, other, setting(private, purse=Purse(limit=0), on_budget="stop"))


def test_what_is_refused(tmp_path: Path) -> None:
    rows, _ = blobs(100)
    with pytest.raises(ConfigError, match="expected clusters >= 2"):
        clusters(clusters=1).fit(rows, tmp_path, setting())
    with pytest.raises(ConfigError, match="positive finite bound"):
        clusters(bound=float("inf")).fit(rows, tmp_path, setting())
    with pytest.raises(ConfigError, match="bounds: 'x' has none"):
        clusters(bounds={}).fit(rows, tmp_path, setting(plan(100, steps=3)))
    with pytest.raises(ConfigError, match="200 clusters of 100 points"):
        clusters(clusters=200).fit(rows, tmp_path, setting())
    with pytest.raises(BackendError, match="not clusters"):
        Clusters.load(tmp_path)
