"""The cluster bootstrap against naive resampling, scikit-learn, and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from governance.statistics import bootstrap
from governance.statistics.bootstrap import ClusterBootstrap, Ranking, percentile_interval
from governance.statistics.intervals import wilson
from governance.statistics.scores import Auc, class_codes, class_counts, class_scores, rarest


def weights_of(boot: ClusterBootstrap) -> np.ndarray:
    """How often each cluster was drawn, shape (draws, clusters)."""
    return boot.sums(np.eye(boot.count))


def test_a_draw_takes_as_many_clusters_as_there_are() -> None:
    boot = ClusterBootstrap([7, 7, 3, 9, 9, 9, 1], draws=500)
    weights = weights_of(boot)
    assert boot.count == 4
    assert (weights.sum(axis=1) == 4).all()
    assert weights_of(ClusterBootstrap([1, 2], draws=1)).shape == (1, 2)
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.15
    assert weights.var() == pytest.approx(3 / 4, abs=0.1)  # binomial(4, 1/4), not Poisson's 1


def test_totals_agree_with_resampling_the_rows_themselves() -> None:
    rng = np.random.default_rng(0)
    clusters, values = rng.integers(0, 12, 80), rng.random((80, 3))
    boot = ClusterBootstrap(clusters, draws=40)
    drawn = weights_of(boot)
    naive = []
    for draw in drawn:
        rows = [row for code, times in enumerate(draw) for _ in range(int(times)) for row in values[boot.codes == code]]
        naive.append(np.sum(rows, axis=0))
    assert boot.sums(boot.table(values)) == pytest.approx(np.array(naive))
    assert boot.rows(lambda w: w @ values[:, 0]) == pytest.approx(np.array(naive)[:, 0])


def test_neither_chunks_nor_memory_change_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = np.arange(50) // 2
    whole = weights_of(ClusterBootstrap(clusters, draws=101, seed=5))
    monkeypatch.setattr(bootstrap, "_CELLS", 60)
    chunked = weights_of(ClusterBootstrap(clusters, draws=101, seed=5))
    monkeypatch.setattr(bootstrap, "_KEPT", 0)
    streamed = weights_of(ClusterBootstrap(clusters, draws=101, seed=5))
    assert (whole == chunked).all()
    assert (whole == streamed).all()
    assert (whole != weights_of(ClusterBootstrap(clusters, draws=101, seed=6))).any()


def test_work_arrays_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CELLS", 1000)
    seen: list[tuple[int, ...]] = []
    boot = ClusterBootstrap(np.arange(100), draws=55)
    boot.rows(lambda w: (seen.append(w.shape), w.sum(axis=1))[1])
    assert {shape[0] for shape in seen} == {10, 5}
    assert sum(shape[0] for shape in seen) == 55


@pytest.mark.parametrize(("clusters", "draws", "message"), [([], 5, "at least one"), ([1, 2], 0, "at least one draw")])
def test_an_empty_bootstrap_is_refused(clusters: list[int], draws: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterBootstrap(clusters, draws=draws)


@pytest.mark.parametrize("levels", [3, 1000])
def test_weighted_auc_agrees_with_scikit_learn(levels: int) -> None:
    """With three levels nearly all pairs are tied; with a thousand hardly any."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    truth = rng.random(120) < 0.3
    scores = np.floor((truth * 0.2 + rng.random(120)) * levels)
    ranking, weights = Ranking(scores, truth), rng.integers(0, 4, (25, 120)).astype(float)
    oracle = [roc_auc_score(truth, scores, sample_weight=row) for row in weights]
    assert ranking.auc(weights) == pytest.approx(oracle)
    assert ranking.auc() == pytest.approx(roc_auc_score(truth, scores))


def test_auc_by_hand() -> None:
    assert Ranking([0.9, 0.8], [True, False]).auc().tolist() == [1.0]
    assert Ranking([0.8, 0.9], [True, False]).auc().tolist() == [0.0]
    assert Ranking([0.5, 0.5], [True, False]).auc().tolist() == [0.5]
    assert math.isnan(Ranking([0.9, 0.8], [True, False]).auc(np.array([[2.0, 0.0]]))[0])


@pytest.mark.parametrize("levels", [8, 1000])
@pytest.mark.parametrize("fpr", [0.0, 0.1, 0.25])
def test_tpr_at_fpr_agrees_with_the_roc_curve(levels: int, fpr: float) -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(2)
    truth = np.arange(80) < 40
    scores = np.floor((truth * 0.3 + rng.random(80)) * levels)
    weights = rng.integers(0, 4, (20, 80)).astype(float)
    oracle = []
    for row in weights:
        false, true, _ = roc_curve(truth, scores, sample_weight=row, drop_intermediate=False)
        oracle.append(true[false <= fpr + 1e-12].max())
    assert Ranking(scores, truth).tpr_at_fpr(fpr, weights) == pytest.approx(oracle)


def test_a_false_positive_rate_met_exactly_is_met() -> None:
    scores, truth = [5, 4, 3, 2, 1, 0], [True, False, True, False, False, False]
    ranking = Ranking(scores, truth)
    assert ranking.tpr_at_fpr(0.25).tolist() == [1.0]
    assert ranking.tpr_at_fpr(0.2499).tolist() == [0.5]
    assert np.isnan(ranking.tpr_at_fpr(0.1, np.array([[1.0, 0, 1, 0, 0, 0], [0, 1.0, 0, 1, 1, 1]]))).all()


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ([1, 2], [True], "one length"),
        ([1, math.nan], [True, False], "finite scores"),
        ([1, 2], [True, True], "both classes"),
        ([], [], "both classes"),
    ],
)
def test_what_can_not_be_ranked_is_refused(scores: list[float], truth: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ranking(scores, truth)


def test_an_undefined_draw_counts_against_both_ends() -> None:
    draws = np.concatenate([np.full(90, np.nan), np.linspace(0.4, 0.6, 910)])
    assert percentile_interval(draws, 0.5, clusters=1000) == (0.0, 1.0)
    few = np.concatenate([np.full(5, np.nan), np.linspace(0.4, 0.6, 995)])
    low, high = percentile_interval(few, 0.5, clusters=1000)
    assert 0.4 < low < 0.41
    assert 0.59 < high < 0.6
    assert percentile_interval(np.full(10, np.nan), 0.5, clusters=4) == (0.0, 1.0)
    assert percentile_interval(np.array([np.nan, 0.5, 0.5]), 0.5, clusters=400) == (0.0, 1.0)


def test_draws_that_never_differ_are_no_certainty() -> None:
    low, high = percentile_interval(np.ones(100), 1.0, clusters=20)
    assert (low, high) == (pytest.approx(1 - wilson(0, 20).high), 1.0)
    low, high = percentile_interval(np.zeros(100), 0.0, clusters=20, reach=(-1, 1))
    assert (low, high) == (pytest.approx(-wilson(0, 20).high), pytest.approx(wilson(0, 20).high))
    assert percentile_interval(np.full(9, 0.3), 0.3, clusters=1) == pytest.approx((0.0, 1.0), abs=0.1)


def test_the_interval_holds_its_own_value() -> None:
    assert percentile_interval(np.linspace(0.4, 0.6, 100), 0.9, clusters=50).high == 0.9
    assert percentile_interval(np.linspace(0.4, 0.6, 100), 0.1, clusters=50).low == 0.1


@pytest.mark.parametrize(
    ("draws", "value", "more"),
    [
        ([], 0.5, {}),
        ([0.5], math.nan, {}),
        ([0.5], 0.5, {"clusters": 0}),
        ([0.5], 0.5, {"level": 1.0}),
        ([0.5], 0.5, {"level": 0.0}),
    ],
)
def test_percentile_nonsense_is_refused(draws: list[float], value: float, more: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"expected draws, at least one cluster|expected a level in \(0, 1\)"):
        percentile_interval(draws, value, **({"clusters": 5} | more))


@pytest.mark.parametrize("clusters", [12, 50])
def test_interval_of_a_clustered_mean_covers(clusters: int) -> None:
    """Cluster effects as large as the noise. Tolerance: 2.5 points below 95%, tested at 0.1%."""
    rng, runs, held, naive = np.random.default_rng(3), 400, 0, 0
    codes = np.repeat(np.arange(clusters), 6)
    for _ in range(runs):
        y = 0.5 + 0.05 * (rng.normal(size=clusters)[codes] + rng.normal(size=len(codes)))
        for seed, groups in ((0, codes), (1, np.arange(len(codes)))):
            boot = ClusterBootstrap(groups, draws=400, seed=seed)
            total, rows = boot.sums(boot.table(np.stack([y, np.ones_like(y)], axis=1))).T
            low, high = percentile_interval(total / rows, y.mean(), clusters=boot.count)
            if seed:
                naive += low <= 0.5 <= high
            else:
                held += low <= 0.5 <= high
    assert binom.cdf(held, runs, 0.925) > 0.001
    assert naive / runs < 0.85  # the control: rows taken as independent


@pytest.mark.slow
def test_interval_of_auc_covers() -> None:
    """Two normals one standard deviation apart: AUC = Phi(1/sqrt 2). Tolerance: 2.5 points, tested at 0.1%."""
    from scipy.stats import norm

    rng, runs, held = np.random.default_rng(4), 300, 0
    codes, truth = np.repeat(np.arange(60), 2), np.arange(120) % 3 == 0
    for _ in range(runs):
        scores = truth + rng.normal(size=120)
        ranking, boot = Ranking(scores, truth), ClusterBootstrap(codes, draws=500)
        low, high = percentile_interval(boot.rows(ranking.auc), float(ranking.auc()[0]), clusters=40)
        held += low <= norm.cdf(1 / math.sqrt(2)) <= high
    assert binom.cdf(held, runs, 0.925) > 0.001


@pytest.mark.parametrize("classes", [2, 5])
def test_class_scores_agree_with_scikit_learn(classes: int) -> None:
    from sklearn import metrics

    rng = np.random.default_rng(5)
    truth = rng.integers(0, classes, 300)
    predicted = np.where(rng.random(300) < 0.6, truth, rng.integers(0, classes, 300))
    boot = ClusterBootstrap(np.arange(300) // 3)
    counts = class_counts(truth, predicted, classes, boot).sum(axis=0)
    for positive, average in ((None, "macro"), (1, "binary")):
        if average == "binary" and classes > 2:
            continue
        ours = class_scores(counts, present=np.ones(classes, dtype=bool), positive=positive)
        assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
        assert ours["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
        for name in ("precision", "recall", "f1"):
            oracle = getattr(metrics, f"{name}_score")(truth, predicted, average=average)
            assert ours[name] == pytest.approx(oracle)


def test_a_class_without_rows_makes_a_resample_undefined() -> None:
    counts = np.array([[1.0, 0, 1, 0, 1, 0]])  # two classes, nothing of the second
    both, one = np.array([True, True]), np.array([True, False])
    assert math.isnan(class_scores(counts, present=both, positive=None)["balanced_accuracy"][0])
    assert class_scores(counts, present=one, positive=None)["balanced_accuracy"].tolist() == [1.0]


def test_multi_class_auc_is_the_mean_of_one_against_the_rest() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(6)
    truth, scores = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    oracle = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert Auc(scores, truth, None)() == pytest.approx(oracle)


def test_labels_that_are_no_class_are_unanswered() -> None:
    assert class_codes(["好", None, "坏", "unknown"], ("好", "坏")).tolist() == [0, -1, 1, -1]


def test_the_rarest_class_is_counted_in_clusters() -> None:
    assert rarest(np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 3, 7, 7, 8])) == 2
