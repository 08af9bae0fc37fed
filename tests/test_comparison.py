"""What is claimed of differences: p values that hold their level and fit their intervals, and differences in reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as second_mcnemar
from statsmodels.stats.multitest import multipletests

from governance.compare import METRICS, Side, paired_differences
from governance.comparison import detectable, holm_adjusted, judged, paired_p
from governance.dataset import Labels
from governance.measure import Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import judge
from governance.statistics.bootstrap import ClusterBootstrap, percentile_interval
from reports import render
from reports.text import Texts
from tests.sample_record import POLICY, record
from tests.test_classification import dataset as rows_of
from tests.test_classification import measure, noisy, predictions, setting, subject

BINARY = Labels(("no", "yes"), "yes")
TOLERATED = 0.001  # chance that a simulation fails although the promise is kept


def difference(p: float | None, *, model: str = "a", metric: str = "auc", reference: str | None = "old") -> Measurement:
    return Measurement(
        metric=f"quality.{metric}.difference", value=0.1, low=-0.1, high=0.3, level=0.95, n=100, unit=Unit.DIFFERENCE,
        method="m", model=model, reference=reference, task="t", counts={} if p is None else {"p": p},
    )  # fmt: skip


def resampled(differences: np.ndarray, codes: np.ndarray, draws: int = 1000) -> tuple[np.ndarray, float, int]:
    """Draws of a mean difference, its value, its clusters."""
    boot = ClusterBootstrap(codes, draws=draws)
    sums = boot.sums(boot.table(np.stack([differences, np.ones(len(codes))], axis=1)))
    return sums[:, 0] / sums[:, 1], float(differences.mean()), boot.count


# -- Holm ------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)  # statsmodels takes 50 ms for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_statsmodels(ps: list[float]) -> None:
    found = holm_adjusted([difference(p, model=f"m{i}") for i, p in enumerate(ps)])
    assert [one.counts["p_holm"] for one in found] == pytest.approx(multipletests(ps, method="holm")[1])
    assert {one.counts["comparisons"] for one in found} == {len(ps)}


def test_a_family_is_all_models_against_one_reference_on_one_metric() -> None:
    missing = NotMeasured(metric="quality.auc.difference", reason="no scores", model="c", reference="old", task="t")
    other = replace(difference(0.01, model="a"), slice=Slice.of(lang="zh"))
    outcomes: list[Outcome] = [
        difference(0.01), difference(0.02, metric="f1"), missing, difference(0.04, model="b"), other,
        difference(None, model="d"), difference(0.03, reference="second"), difference(0.03, reference=None),
    ]  # fmt: skip
    found = holm_adjusted(outcomes)
    assert [getattr(one, "counts", {}).get("p_holm") for one in found] == [
        0.02, 0.02, None, 0.04, 0.01, None, 0.03, None,
    ]  # fmt: skip
    assert found[2] is missing
    assert [replace(one, counts={}) for one in found if isinstance(one, Measurement)] == [
        replace(one, counts={}) for one in outcomes if isinstance(one, Measurement)
    ]


def test_an_audit_adjusts_over_its_models() -> None:
    truth, one, scores = noisy(BINARY, 300, 0.8, seed=1)
    _, other, _ = noisy(BINARY, 300, 0.6, seed=2)
    within = setting(BINARY, rows_of(truth), incumbent="old")
    subjects = [subject("new", predictions(one, scores)), subject("worse", predictions(other, scores))]
    found = measure(*subjects, subject("old", predictions(truth, scores)), within=within)
    for metric in METRICS:
        outcome = found[f"{metric}.difference"]
        assert isinstance(outcome, Measurement)
        assert outcome.counts["comparisons"] == 2
        assert outcome.counts["p"] <= outcome.counts["p_holm"] <= min(1.0, 2 * outcome.counts["p"])


# -- p ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=4, max_size=40),
    st.integers(2, 12),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_a_small_p_never_contradicts_its_interval(values: list[float], clusters: int, level: float) -> None:
    draws, value, count = resampled(np.array(values), np.arange(len(values)) % clusters, 200)
    low, high = percentile_interval(draws, value, level=level, clusters=count, reach=(-1.0, 1.0))
    if paired_p(draws, value, clusters=count) <= 1 - level:
        assert low > 0 or high < 0


def test_p_is_near_that_of_the_clustered_standard_error() -> None:
    """Statsmodels' t test on a mean with cov_type="cluster", over differences of all sizes."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(60), 3)
    for shift in (0.0, 0.05, 0.1, 0.2):
        differences = rng.normal(size=60)[codes] * 0.3 + rng.normal(size=180) * 0.4 + shift
        draws, value, count = resampled(differences, codes, 4000)
        fit = OLS(differences, np.ones(180)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
        assert paired_p(draws, value, clusters=count) == pytest.approx(float(fit.pvalues[0]), abs=0.02)


def test_far_from_0_p_goes_below_what_the_draws_resolve() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.5, 1, 400)
    draws, value, count = resampled(differences, np.arange(400), 500)
    fit = OLS(differences, np.ones(400)).fit()
    assert np.log10(paired_p(draws, value, clusters=count)) == pytest.approx(np.log10(fit.pvalues[0]), rel=0.2)
    assert paired_p(-draws, -value, clusters=count) == pytest.approx(paired_p(draws, value, clusters=count))


def test_undefined_draws_count_against_a_difference() -> None:
    draws = np.full(1000, 0.3) + np.linspace(0, 0.1, 1000)
    holes = draws.copy()
    holes[:100] = np.nan
    assert paired_p(draws, 0.35, clusters=50) < 0.001
    assert paired_p(holes, 0.35, clusters=50) > 0.15
    assert paired_p(np.full(10, np.nan), 0.35, clusters=50) == 1.0


def test_one_cluster_proves_nothing_and_models_that_agree_are_no_surprise() -> None:
    assert paired_p(np.full(100, 0.4), 0.4, clusters=1) == 1.0
    assert detectable(np.linspace(0, 1, 100), clusters=1, level=0.95) is None
    assert detectable(np.linspace(0, 1, 100), clusters=2, level=0.95) is None
    assert paired_p(np.zeros(100), 0.0, clusters=30) == 1.0
    assert paired_p(np.full(100, 0.1), 0.1, clusters=30) > 0.05  # alike in every draw, but the interval holds 0
    assert judged(np.zeros(100), 0.0, clusters=30, level=0.95) == {"p": 1.0}


@pytest.mark.parametrize(("draws", "clusters"), [([], 3), ([0.1], 0)])
def test_nothing_to_judge_is_refused(draws: list[float], clusters: int) -> None:
    with pytest.raises(ValueError, match="expected draws, and at least one cluster"):
        paired_p(draws, 0.1, clusters=clusters)
    with pytest.raises(ValueError, match="expected draws"):
        detectable(draws, clusters=clusters, level=0.95)
    with pytest.raises(ValueError, match="finite difference"):
        paired_p([0.1], float("nan"), clusters=3)


def test_accuracy_of_independent_rows_takes_mcnemars_p() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 120)
    sides = [Side(name, np.arange(120), np.where(rng.random(120) < p, truth, 1 - truth)) for name, p in MODELS]
    accuracy = paired_differences(*sides, truth, np.arange(120), BINARY)[0]
    right = [side.predicted == truth for side in sides]
    table = [[int((a & b).sum()) for b in (right[1], ~right[1])] for a in (right[0], ~right[0])]
    assert isinstance(accuracy, Measurement)
    assert accuracy.counts["p"] == pytest.approx(second_mcnemar(table, exact=True).pvalue)
    assert accuracy.counts["p"] == accuracy.counts["mcnemar_p"]
    clustered = paired_differences(*sides, truth, np.arange(120) // 2, BINARY)[0]
    assert isinstance(clustered, Measurement)
    assert clustered.counts["p"] != accuracy.counts["p"]


MODELS = (("new", 0.8), ("old", 0.7))


# -- simulations with a known truth ------------------------------------------------------------------


def contest(rng: np.random.Generator, n: int, size: int, models: int, draws: int = 300) -> list[Outcome]:
    """Models that are all as good as the incumbent, on rows that are hard or easy for all, in clusters that are."""
    codes, truth = np.repeat(np.arange(n // size), size), (rng.random(n) < 0.6).astype(np.int64)
    shared = 0.7 * rng.normal(size=n // size)[codes] + 0.7 * rng.normal(size=n)

    def side(name: str) -> Side:
        chance = 1 / (1 + np.exp(-((2 * truth - 1) + shared + rng.normal(size=n))))
        return Side(name, np.arange(n), (chance >= 0.5).astype(np.int64), np.stack([1 - chance, chance], axis=1))

    incumbent, found = side("old"), list[Outcome]()
    for name in map(str, range(models)):
        found += paired_differences(side(name), incumbent, truth, codes, BINARY, draws=draws)
    return holm_adjusted(found)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), [(100, 1), (160, 4)])
def test_four_models_that_are_no_better_raise_a_false_alarm_as_seldom_as_promised(n: int, size: int) -> None:
    rng, runs = np.random.default_rng(0), 300
    single, family = dict.fromkeys(METRICS, 0), dict.fromkeys(METRICS, 0)
    for _ in range(runs):
        found = contest(rng, n, size, models=4)
        for place, metric in enumerate(METRICS):
            ps = [one.counts for one in found[place :: len(METRICS)] if isinstance(one, Measurement)]
            assert len(ps) == 4
            single[metric] += ps[0]["p"] <= 0.05  # one of the four: runs are independent
            family[metric] += min(one["p_holm"] for one in ps) <= 0.05
    for alarms in (*single.values(), *family.values()):
        assert binom.sf(alarms - 1, runs, 0.05) > TOLERATED / len(METRICS)
    assert sum(single.values()) > 0  # p that is never small would pass too


def answers(rng: np.random.Generator, codes: np.ndarray, difference: float) -> Iterator[np.ndarray]:
    """Right answers of two models: the first is right more often by exactly this much on average."""
    n, clusters = len(codes), int(codes.max()) + 1
    hard = rng.beta(4, 4, clusters)[codes] * 0.4  # chance that the models differ at all; 0.2 on average
    differ, first = rng.random(n) < hard, rng.random(n) < 0.5 + difference / 0.4
    both = rng.random(n) < 0.8
    yield np.where(differ, first, both)
    yield np.where(differ, ~first, both)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4])
def test_a_difference_that_is_in_reach_is_found_four_times_out_of_five(size: int) -> None:
    codes, planted, runs = np.repeat(np.arange(400 // size), size), 0.0, 400
    truth = np.ones(400, dtype=np.int64)

    def once(rng: np.random.Generator) -> Measurement:
        sides = [
            Side(name, np.arange(400), right.astype(np.int64))
            for name, right in zip("ab", answers(rng, codes, planted), strict=True)
        ]
        found = paired_differences(*sides, truth, codes, BINARY, draws=400)[0]
        assert isinstance(found, Measurement)
        return found

    rng = np.random.default_rng(3)
    planted = float(np.mean([once(rng).counts["detectable"] for _ in range(50)]))
    found = [once(rng) for _ in range(runs)]
    assert np.mean([one.value for one in found]) == pytest.approx(planted, abs=0.004)
    shown = sum(one.low > 0 for one in found if one.low is not None)
    # The promise is a normal approximation: 5 points are allowed for it, the rest is chance.
    assert binom.sf(shown - 1, runs, 0.85) > TOLERATED
    assert binom.cdf(shown, runs, 0.75) > TOLERATED


def test_models_that_look_alike_could_still_differ_by_so_many_rows() -> None:
    """McNemar needs six rows that one model alone has right; with eight expected, it has them four times in five."""
    truth = np.ones(400, dtype=np.int64)
    alike = Side("a", np.arange(400), truth), Side("b", np.arange(400), truth)
    accuracy = paired_differences(*alike, truth, np.arange(400), BINARY)[0]
    assert isinstance(accuracy, Measurement)
    assert accuracy.counts["p"] == 1.0
    least = accuracy.counts["detectable"]
    assert least == pytest.approx(7.85 / 407.85, abs=3e-4)
    assert 0.75 < binom.sf(5, 400, least) < 0.85


# -- shown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "wanted"), [("en", "Could it be chance?"), ("zh", "会不会是偶然？")])
def test_the_report_shows_p_and_what_was_in_reach(language: str, wanted: str) -> None:
    made = record()
    html = render(made, judge(made, POLICY), POLICY, language=language)["report.html"].decode()
    assert wanted in html
    counts = next(
        one.counts for one in made.outcomes if isinstance(one, Measurement) and one.metric == "quality.auc.difference"
    )
    texts = Texts(language)
    assert f"p = {texts.number(counts['p'], Unit.PROBABILITY)}" in html
    assert texts.number(counts["p_holm"], Unit.PROBABILITY) in html
    assert texts.number(counts["detectable"], Unit.DIFFERENCE, "quality.auc.difference") in html


def test_a_record_of_before_is_shown_without() -> None:
    made = record()
    before = tuple(replace(one, counts={}) if isinstance(one, Measurement) else one for one in made.outcomes)
    made = made.model_copy(update={"outcomes": before})
    assert "Could it be chance?" not in render(made, judge(made, POLICY), POLICY, language="en")["report.html"].decode()
