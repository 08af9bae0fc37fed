"""Errors of predicted numbers by group: a second implementation, planted truths, and what must not look fair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.bygroup import ALIKE
from evaluators.cuts import NO_GROUPS, TOO_LARGE
from evaluators.regression import METRICS, RegressionGaps
from evaluators.table import Rows
from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.statistics.multiplicity import sidak
from tests import outcomes
from tests.outcomes import by_name, fact, reason


def table(truth, prediction, groups: Mapping[str, Sequence[str | None]], clusters=None, **more) -> Rows:
    n = len(truth)
    return Rows(
        model="m",
        columns={"truth": np.asarray(truth, dtype=float), "prediction": np.asarray(prediction, dtype=float)},
        groups={name: np.array(values, dtype=object) for name, values in groups.items()},
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
        **more,
    )


def measure(rows: Rows, **settings) -> dict[tuple[str, str], Outcome]:
    return by_name(RegressionGaps(**settings).measure(rows), "regression")


def measured(outcome: Outcome) -> Measurement:
    found = outcomes.measured(outcome, within=1e-9)
    assert found.method
    assert found.n > 0
    return found


def shop(n: int, seed: int = 0, bias: float = 0.0, noise: float = 1.0) -> Rows:
    """Delivery times in three regions; in 西 predictions are `bias` too high and errors `noise` times as wide."""
    rng = np.random.default_rng(seed)
    region = rng.choice(["东", "西", "north"], n)
    truth = rng.gamma(4, 10, n)
    far = region == "西"
    return table(
        truth, truth + bias * far + rng.normal(size=n) * np.where(far, noise, 1.0), {"region": region.tolist()}
    )


def test_figures_equal_pandas_and_sklearn() -> None:
    import pandas as pd
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    rows = shop(600, bias=2.0)
    found = measure(rows)
    frame = pd.DataFrame({**rows.columns, "region": rows.groups["region"]})
    oracle = {
        "mean_error": lambda f: (f.prediction - f.truth).mean(),
        "mean_absolute_error": lambda f: mean_absolute_error(f.truth, f.prediction),
        "root_mean_squared_error": lambda f: root_mean_squared_error(f.truth, f.prediction),
        "mean_prediction": lambda f: f.prediction.mean(),
    }
    assert set(oracle) == set(METRICS)
    for metric, figure in oracle.items():
        by_group = {name: figure(part) for name, part in frame.groupby("region")}
        for name, value in by_group.items():
            here = measured(found[metric, f"region={name}"])
            assert here.value == pytest.approx(value)
            assert here.n == here.counts["rows"] == (frame.region == name).sum()
            rest = measured(found[f"{metric}.difference_to_rest", f"region={name}"])
            assert rest.value == pytest.approx(value - figure(frame[frame.region != name]))
        gap = measured(found[f"{metric}.difference", "region=*"])
        assert gap.value == pytest.approx(max(by_group.values()) - min(by_group.values()))
        assert gap.counts == {"groups": 3, "groups_too_small": 0}
        assert gap.n == 600
    by = [measured(found["mean_absolute_error", f"region={name}"]).value for name in ("东", "西", "north")]
    ratio = measured(found["mean_absolute_error.ratio", "region=*"])
    assert ratio.value == pytest.approx(min(by) / max(by))
    assert len(found) == 1 + len(METRICS) * (3 + 1 + 3) + 1  # absolute errors have a ratio
    assert {x.unit for x in found.values() if isinstance(x, Measurement)} == {Unit.UNITS, Unit.RATIO}
    assert fact(found["rows_left_out", "everyone"]) == 0


def test_root_mean_squared_error_agrees_with_the_row_bootstrap() -> None:
    """scipy's bootstrap, percentiles at the level that 40 rows widen ours to."""
    from scipy.stats import bootstrap

    rng = np.random.default_rng(1)
    error = rng.normal(size=40) * 3
    found = measured(measure(table(np.zeros(40), error, {"g": ["a"] * 40}))["root_mean_squared_error", "g=a"])
    oracle = bootstrap((error,), lambda x, axis: np.sqrt((x**2).mean(axis=axis)), method="percentile", rng=rng)
    width = oracle.confidence_interval.high - oracle.confidence_interval.low
    assert found.high - found.low == pytest.approx(width * 1.04, rel=0.08)
    assert found.counts["clusters"] == 40


def test_a_planted_bias_is_found_and_nothing_else() -> None:
    found = measure(shop(1500, bias=0.8))
    assert measured(found["mean_error.difference", "region=*"]).low > 0.3
    assert measured(found["mean_error.difference_to_rest", "region=西"]).low > 0.4
    assert measured(found["mean_error.difference_to_rest", "region=东"]).high < 0
    assert measured(found["mean_prediction.difference", "region=*"]).low == 0  # drowned by the truth's own spread


def test_larger_errors_without_bias_are_found() -> None:
    found = measure(shop(1500, noise=2.0))
    assert measured(found["mean_error.difference", "region=*"]).low == 0
    for metric in ("mean_absolute_error", "root_mean_squared_error"):
        assert measured(found[f"{metric}.difference", "region=*"]).low > 0.3
        assert measured(found[f"{metric}.difference_to_rest", "region=西"]).low > 0.3
        assert measured(found[f"{metric}.difference_to_rest", "region=东"]).high < 0


def test_no_gap_is_rarely_claimed_where_there_is_none() -> None:
    rng, runs = np.random.default_rng(2), 120
    alarms = dict.fromkeys(METRICS, 0)
    customers = np.repeat(np.arange(80), 3)
    for _ in range(runs):
        error = rng.normal(size=80)[customers] + rng.normal(size=240)
        truth = rng.normal(20, 5, 240)
        groups = [f"g{i % 4}" for i in customers]
        found = measure(table(truth, truth + error, {"g": groups}, customers), draws=400)
        for metric in METRICS:
            alarms[metric] += measured(found[f"{metric}.difference", "g=*"]).low > 0
    for metric, count in alarms.items():
        assert binom.sf(count - 1, runs, 0.05) > 0.001, metric


def test_coverage_of_the_root_mean_squared_error() -> None:
    rng, runs, own, rest = np.random.default_rng(3), 150, 0, 0
    groups = np.repeat(["a", "b"], 100).tolist()
    for _ in range(runs):
        error = rng.normal(size=200) * np.repeat([1.0, 2.0], 100)
        found = measure(table(np.zeros(200), error, {"g": groups}), draws=600)
        mean = measured(found["root_mean_squared_error", "g=b"])
        own += mean.low <= 2 <= mean.high
        contrast = measured(found["root_mean_squared_error.difference_to_rest", "g=b"])
        rest += contrast.low <= 1 <= contrast.high
    assert binom.cdf(own, runs, 0.95) > 0.001
    assert binom.cdf(rest, runs, sidak(0.95, 2)) > 0.001
    assert own < runs


def test_small_groups_are_not_measured() -> None:
    n = [40, 40, 12]
    groups = np.repeat(["a", "b", "c"], n).tolist()
    found = measure(table(np.zeros(92), np.random.default_rng(4).normal(size=92), {"组": groups}))
    for metric in METRICS:
        assert reason(found[metric, "组=c"]) == "12 rows, 30 needed"
        assert measured(found[f"{metric}.difference", "组=*"]).counts == {"groups": 2, "groups_too_small": 1}
        assert (f"{metric}.difference_to_rest", "组=c") not in found
    assert measured(measure(table(np.zeros(92), np.arange(92), {"组": groups}), min_rows=12)["mean_error", "组=c"])


@pytest.mark.parametrize(("groups", "held"), [(["a"] * 80, "1 of 1"), (["a"] * 60 + ["b"] * 20, "1 of 2")])
def test_one_group_has_no_gap(groups: list[str], held: str) -> None:
    found = measure(table(np.zeros(80), np.arange(80.0), {"g": groups}))
    for metric in METRICS:
        assert measured(found[metric, "g=a"])
        assert reason(found[f"{metric}.difference", "g=*"]) == f"{held} groups large enough, 2 needed"
        assert not any(name == f"{metric}.difference_to_rest" for name, _ in found)
    assert reason(found["mean_absolute_error.ratio", "g=*"]) == f"{held} groups large enough, 2 needed"


def test_a_group_of_one_customer_says_nothing_of_others() -> None:
    clusters = [0] * 40 + list(range(1, 41))
    found = measure(table(np.zeros(80), np.arange(80.0), {"g": ["a"] * 40 + ["b"] * 40}, clusters))
    for metric in METRICS:
        assert reason(found[metric, "g=a"]) == "1 cluster, 2 needed"
        assert reason(found[f"{metric}.difference", "g=*"]) == "1 of 2 groups large enough, 2 needed"


def test_a_model_without_errors_has_no_spread_to_speak_of() -> None:
    truth = np.arange(80.0)
    found = measure(table(truth, truth, {"g": ["a", "b"] * 40}))
    for metric in ("mean_error", "mean_absolute_error"):
        assert reason(found[metric, "g=a"]) == ALIKE
        assert reason(found[f"{metric}.difference", "g=*"]) == ALIKE
    assert measured(found["mean_prediction.difference", "g=*"])


def test_a_group_that_is_always_right_beside_one_that_is_not() -> None:
    """Its errors are all 0, and 40 rows of that don't prove that they always are."""
    error = np.concatenate([np.zeros(40), np.random.default_rng(5).normal(size=40)])
    found = measure(table(np.zeros(80), error, {"g": ["a"] * 40 + ["b"] * 40}))
    for metric in ("mean_error", "mean_absolute_error", "root_mean_squared_error"):
        own = measured(found[metric, "g=a"])
        assert own.value == 0
        assert own.high > 0.05


def test_rows_without_a_number_are_left_out_and_counted_by_group() -> None:
    truth = np.array([1.0, np.nan, 3.0, 4.0] * 40)
    prediction = np.array([1.5, 2.0, np.inf, 4.5] * 40)
    groups = ["a", "b", "c", None] * 40
    found = measure(table(truth, prediction, {"g": groups}))
    assert fact(found["rows_left_out", "everyone"]) == 80
    assert {
        where: fact(x) for (name, where), x in found.items() if name == "rows_left_out" and where != "everyone"
    } == {
        "g=b": 40,
        "g=c": 40,
    }
    assert {where for name, where in found if name == "mean_error"} == {"g=a", "g=(missing)"}


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_a_table_without_numbers(hole: float) -> None:
    found = measure(table([1.0] * 40, [hole] * 40, {"g": ["a", "b"] * 20}))
    gaps = {name: x for (name, where), x in found.items() if where == "g=*"}
    assert {reason(x) for x in gaps.values()} == {"no row has both a truth and a prediction"}
    assert set(gaps) == {f"{metric}.difference" for metric in METRICS}
    assert fact(found["rows_left_out", "everyone"]) == 40


def test_an_empty_table_and_one_without_groups() -> None:
    found = measure(table([], [], {"g": []}))
    assert fact(found["rows_left_out", "everyone"]) == 0
    assert reason(found["mean_error.difference", "g=*"]) == "no row has both a truth and a prediction"
    found = measure(table([1.0], [2.0], {}))
    assert {reason(found[f"{metric}.difference", "everyone"]) for metric in METRICS} == {NO_GROUPS}


def test_missing_and_hostile_group_values() -> None:
    groups = [None, "*", "=", "a, b=c"] * 40
    found = measure(table(np.zeros(160), np.arange(160.0), {"g": groups}))
    assert {where for name, where in found if name == "mean_error"} == {"g=(missing)", "g=(*)", "g==", "g=a, b=c"}
    assert measured(found["mean_error.difference", "g=*"]).counts["groups"] == 4


def test_numbers_too_large_for_arithmetic() -> None:
    rng = np.random.default_rng(6)
    huge = np.tile([-1.0, 1.0], 40) * rng.choice([1.6e308, 1.7e308], 80)
    found = measure(table(np.zeros(80), huge, {"g": ["a", "b"] * 40}))
    gone = {reason(x) for x in found.values() if isinstance(x, NotMeasured)}
    assert TOO_LARGE in gone
    assert gone <= {TOO_LARGE, ALIKE}
    tiny = measure(table(np.zeros(80), rng.normal(size=80) * 1e-300, {"g": ["a", "b"] * 40}))
    assert measured(tiny["root_mean_squared_error", "g=a"]).value > 0


def test_same_seed_same_figures() -> None:
    rows = shop(300)
    assert RegressionGaps().measure(rows) == RegressionGaps().measure(rows)


@pytest.mark.parametrize(("name", "least"), [("min_rows", 2), ("draws", 200)])
def test_settings_are_checked(name: str, least: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least {least}, got {least - 1}"):
        RegressionGaps(**{name: least - 1})
    RegressionGaps(**{name: least})
