"""Group gaps: Fairlearn's figures where groups are large enough, and absence where Fairlearn says 0.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.fairness import GroupGaps
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.errors import ConfigError
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.intervals import clustered_wilson
from tests.outcomes import measured, reason

BINARY = Labels(("no", "yes"), "yes")
THREE = Labels(("差", "中", "好"), None)
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
METRICS = (*RATES, "accuracy")
KINDS = ("difference", "ratio")


def setting(truth: Sequence[str], groups: Mapping[str, Sequence[str | None]], labels: Labels = BINARY, clusters=None):
    n = len(truth)
    rows = ScrubbedDataset(
        rows=np.arange(n),
        texts=tuple(ScrubbedText("text") for _ in truth),
        labels=tuple(truth),
        groups={column: tuple(values) for column, values in groups.items()},
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
    )
    return Setting(labels=labels, train=rows, test=rows, find_personal=lambda _: [])


def subject(predicted: Sequence[str | None], index=None, name: str = "m") -> Subject:
    n = len(predicted)
    answers = Predictions(
        index=np.arange(n) if index is None else np.asarray(index),
        labels=tuple(predicted),
        scores=None,
        failures=tuple(None if label else "timed out" for label in predicted),
        seconds=np.zeros(n),
        tokens_in=None,
        tokens_out=None,
        outputs=None,
        personal=np.zeros(n, dtype=np.int64),
    )
    return Subject(name, frozenset({Capability.CLASSIFY}), {HELD_OUT: answers}, trained=False)


def measure(predicted, within: Setting, **settings) -> dict[tuple[str, str], Outcome]:
    outcomes = GroupGaps(**settings).measure([subject(predicted)], within)
    found = {(x.metric.removeprefix("fairness."), x.slice.label()): x for x in outcomes}
    assert len(found) == len(outcomes)  # no metric stands twice
    return found


def shop(n: int, seed: int = 0) -> tuple[list[str], list[str], dict[str, list[str | None]]]:
    rng = np.random.default_rng(seed)
    age = rng.choice(["18-29", "30-39", "40+"], n)
    department = rng.choice(["连衣裙", "上衣"], n)
    truth = rng.random(n) < 0.6
    predicted = rng.random(n) < np.where(truth, 0.8, 0.3) - 0.2 * (age == "40+")
    words = np.array(["no", "yes"])
    groups = {"age": age.tolist(), "department": department.tolist()}
    return words[truth.astype(int)].tolist(), words[predicted.astype(int)].tolist(), groups


def test_figures_equal_metric_frame() -> None:
    """As a user of Fairlearn would call it: strings, one frame per cut, intersections by two columns."""
    import pandas as pd
    from fairlearn import metrics

    truth, predicted, groups = shop(900)
    found = measure(predicted, setting(truth, groups))
    y_true, y_pred = (np.array(x) == "yes" for x in (truth, predicted))
    functions = {name: getattr(metrics, name) for name in RATES} | {"accuracy": lambda t, p: (t == p).mean()}
    for columns in (["age"], ["department"], ["age", "department"]):
        frame = metrics.MetricFrame(
            metrics=functions, y_true=y_true, y_pred=y_pred, sensitive_features=pd.DataFrame(groups)[columns]
        )
        everywhere = Slice.of(dict.fromkeys(columns, "*")).label()
        for metric in METRICS:
            for key, expected in frame.by_group[metric].items():
                here = Slice.of(dict(zip(columns, key if isinstance(key, tuple) else (key,), strict=True))).label()
                assert measured(found[metric, here]).value == pytest.approx(expected)
            gap, ratio = found[f"{metric}.difference", everywhere], found[f"{metric}.ratio", everywhere]
            assert measured(gap).value == pytest.approx(frame.difference(method="between_groups")[metric])
            assert measured(ratio).value == pytest.approx(frame.ratio(method="between_groups")[metric])
            assert (gap.unit, ratio.unit) == (Unit.DIFFERENCE, Unit.RATIO)
    assert {(x.model, x.task) for x in found.values()} == {("m", "classification")}


def test_intervals_are_wilsons_on_the_rows_that_count() -> None:
    truth, predicted, groups = shop(600)
    clusters = np.random.default_rng(1).integers(0, 80, 600)
    found = measure(predicted, setting(truth, {"age": groups["age"]}, clusters=clusters))
    rows = (np.array(groups["age"]) == "40+") & (np.array(truth) == "yes")
    _, codes = np.unique(clusters[rows], return_inverse=True)
    rate = clustered_wilson(np.bincount(codes, np.array(predicted)[rows] == "yes"), np.bincount(codes))
    outcome = measured(found["true_positive_rate", "age=40+"])
    assert (outcome.low, outcome.high, outcome.n) == (rate.low, rate.high, int(rows.sum()))
    assert outcome.counts["clusters"] == len(np.unique(clusters[rows]))


def test_a_real_gap_is_found() -> None:
    truth, predicted, groups = shop(4000)
    gap = measured(measure(predicted, setting(truth, groups))["selection_rate.difference", "age=*"])
    assert gap.low > 0.05
    assert gap.n == 4000
    assert gap.counts == {"groups": 3, "groups_too_small": 0}


def two(n_a: int, n_b: int, truth_b: Sequence[str] | None = None) -> tuple[Setting, list[str]]:
    """Group a: half positive, all right. Group b: as given."""
    truth = ["yes", "no"] * (n_a // 2) + list(truth_b or ["yes", "no"] * (n_b // 2))
    return setting(truth, {"组": ["a"] * n_a + ["b"] * n_b}), truth


@pytest.mark.parametrize(("rows", "enough"), [(28, False), (30, True)])
def test_small_groups_are_not_measured(rows: int, enough: bool) -> None:
    within, truth = two(40, rows)
    found = measure(truth, within)
    for metric in METRICS:
        if enough:
            assert measured(found[metric, "组=b"]).n >= 15
            assert measured(found[f"{metric}.difference", "组=*"]).value == 0.0
        else:
            assert reason(found[metric, "组=b"]) == "28 rows, 30 needed"
            assert reason(found[f"{metric}.difference", "组=*"]) == "1 of 2 groups large enough, 2 needed"
            assert reason(found[f"{metric}.ratio", "组=*"]) == "1 of 2 groups large enough, 2 needed"


@pytest.mark.parametrize("positives", [0, 9, 10])
def test_fairlearns_zero_for_too_few_positives_never_surfaces(positives: int) -> None:
    within, truth = two(40, 50, ["yes"] * positives + ["no"] * (50 - positives))
    found = measure(truth, within)
    if positives >= 10:
        assert measured(found["true_positive_rate", "组=b"]).value == 1.0
        assert measured(found["true_positive_rate.difference", "组=*"]).value == 0.0
        return
    assert reason(found["true_positive_rate", "组=b"]) == f"{positives} positive rows among 50, 10 needed"
    assert "1 of 2 groups" in reason(found["true_positive_rate.difference", "组=*"])
    assert measured(found["false_positive_rate", "组=b"]).n == 50 - positives
    assert measured(found["accuracy.difference", "组=*"]).n == 90


def test_too_few_negatives() -> None:
    within, truth = two(40, 50, ["yes"] * 41 + ["no"] * 9)
    assert reason(measure(truth, within)["false_positive_rate", "组=b"]) == "9 negative rows among 50, 10 needed"


def test_a_gap_leaves_out_what_is_too_small_and_says_so() -> None:
    truth = ["yes", "no"] * 65
    groups = ["a"] * 60 + ["b"] * 60 + ["c"] * 10
    predicted = [*truth[:120], *(["no", "yes"] * 5)]  # c is all wrong, on ten rows
    gap = measured(measure(predicted, setting(truth, {"g": groups}))["accuracy.difference", "g=*"])
    assert (gap.value, gap.low, gap.n) == (0.0, 0.0, 120)
    assert gap.counts == {"groups": 2, "groups_too_small": 1}


def test_one_group_has_no_gap() -> None:
    truth = ["yes", "no"] * 40
    found = measure(truth, setting(truth, {"g": ["a"] * 80}))
    assert measured(found["accuracy", "g=a"]).value == 1.0
    assert reason(found["accuracy.difference", "g=*"]) == "1 of 1 groups large enough, 2 needed"


def test_a_rate_of_zero_everywhere_has_no_ratio() -> None:
    truth = ["yes", "no"] * 40
    found = measure(["no"] * 80, setting(truth, {"g": ["a", "a", "b", "b"] * 20}))
    assert measured(found["selection_rate.difference", "g=*"]).value == 0.0
    assert measured(found["selection_rate.difference", "g=*"]).high > 0.05
    assert reason(found["selection_rate.ratio", "g=*"]) == "the rate is 0 in every group, so no ratio is defined"


def test_missing_values_are_a_group() -> None:
    truth = ["yes", "no"] * 40
    found = measure(truth, setting(truth, {"g": ["a", "a", None, None] * 20}))
    assert measured(found["accuracy", "g=(missing)"]).n == 40
    assert measured(found["accuracy.difference", "g=*"]).counts["groups"] == 2


def test_failed_rows_are_left_out() -> None:
    truth = ["yes", "no"] * 50
    predicted = [None if i < 20 else label for i, label in enumerate(truth)]
    found = measure(predicted, setting(truth, {"g": ["a"] * 50 + ["b"] * 50}))
    assert measured(found["accuracy", "g=a"]).n == 30
    everything = measure([None] * 100, setting(truth, {"g": ["a"] * 100}))
    gone = {key: x for key, x in everything.items() if isinstance(x, NotMeasured)}
    assert {reason(x) for (metric, _), x in gone.items() if metric.split(".")[0] in (*METRICS, "equalized_odds")} == {
        "no held-out row was answered"
    }
    assert {where for _, where in gone} == {"g=*"}
    assert set(everything) - set(gone) == {("missing", "g=(missing)")}


def test_answers_are_matched_to_the_rows_asked() -> None:
    truth = ["yes"] * 60 + ["no"] * 60
    within = setting(truth, {"g": (["a"] * 30 + ["b"] * 30) * 2})
    asked = np.arange(0, 120, 2)
    predicted = [truth[i] for i in asked]
    outcomes = GroupGaps(min_rows=15).measure([subject(predicted, asked)], within)
    assert {x.value for x in outcomes if x.metric == "fairness.accuracy" and isinstance(x, Measurement)} == {1.0}


def test_several_classes_without_a_positive_one_are_each_held_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(THREE.classes, 240).tolist()
    predicted = [("中" if label == "差" else label) for label in truth]
    found = measure(predicted, setting(truth, {"g": ["a", "b"] * 120}, THREE))
    right = np.array(truth) == np.array(predicted)
    assert measured(found["accuracy", "g=a"]).value == pytest.approx(right[::2].mean())
    assert measured(found["true_positive_rate", "(class)=差, g=a"]).value == 0.0
    assert measured(found["true_positive_rate", "(class)=好, g=a"]).value == 1.0
    share = (np.array(truth)[::2] != "好").mean()
    assert measured(found["selection_rate", "(class)=中, g=a"]).value == pytest.approx(share)
    assert ("selection_rate", "g=a") not in found
    assert measured(found["macro_recall", "g=b"]).value == pytest.approx(2 / 3)
    gap = measured(found["macro_recall.difference", "g=*"])
    assert gap.value == 0.0
    assert gap.high > 0


def test_several_classes_with_a_positive_one_have_rates_and_their_own_accuracy() -> None:
    labels = Labels(THREE.classes, "好")
    truth = ["差", "中", "好"] * 40
    predicted = ["中", "差", "好"] * 40  # right on the positive class, wrong between the others
    found = measure(predicted, setting(truth, {"g": (["a"] * 3 + ["b"] * 3) * 20}, labels))
    assert measured(found["accuracy", "g=a"]).value == pytest.approx(1 / 3)
    assert measured(found["true_positive_rate", "g=a"]).value == 1.0
    assert measured(found["false_positive_rate", "g=a"]).value == 0.0
    assert measured(found["selection_rate", "g=a"]).value == pytest.approx(1 / 3)


def test_without_group_columns_nothing_is_claimed() -> None:
    found = measure(["yes"] * 40, setting(["yes"] * 40, {}))
    assert {reason(x) for x in found.values()} == {"the config declares no group columns"}
    assert {(f"{m}.{kind}", "everyone") for m in METRICS for kind in KINDS} <= set(found)


@pytest.mark.parametrize(("depth", "cuts"), [(1, 3), (2, 6), (3, 7)])
def test_intersections_go_as_deep_as_asked(depth: int, cuts: int) -> None:
    truth, predicted, groups = shop(900)
    groups["sex"] = ["f", "m", None] * 300
    found = measure(predicted, setting(truth, groups), depth=depth)
    assert len({where for metric, where in found if "*" in where and metric == "accuracy.difference"}) == cuts
    if depth == 3:
        rows = [i for i in range(900) if groups["sex"][i] == "f" and groups["age"][i] == "40+"]
        rows = [i for i in rows if groups["department"][i] == "上衣"]
        one = measured(found["selection_rate", "age=40+, department=上衣, sex=f"])
        assert one.n == len(rows)
        assert one.value == pytest.approx(np.mean([predicted[i] == "yes" for i in rows]))


def test_each_group_stands_against_the_rest_and_the_best() -> None:
    truth, predicted, groups = shop(2000)
    found = measure(predicted, setting(truth, {"age": groups["age"]}))
    yes, age = np.array(predicted) == "yes", np.array(groups["age"])
    rates = {value: yes[age == value].mean() for value in ("18-29", "30-39", "40+")}
    for value, rate in rates.items():
        rest = yes[age != value].mean()
        assert measured(found["selection_rate.difference_to_rest", f"age={value}"]).value == pytest.approx(rate - rest)
        ratio = measured(found["selection_rate.ratio_to_rest", f"age={value}"])
        assert ratio.value == pytest.approx(rate / rest)
        best = measured(found["selection_rate.ratio_to_best", f"age={value}"])
        assert best.value == pytest.approx(rate / max(rates.values()))
    assert measured(found["selection_rate.ratio_to_rest", "age=40+"]).high < 1  # the planted gap
    assert ("accuracy.ratio_to_best", "age=40+") not in found  # the impact ratio is of selections


def test_equalised_odds_is_the_worse_of_both() -> None:
    from fairlearn.metrics import equalized_odds_difference, equalized_odds_ratio

    truth, predicted, groups = shop(3000)
    found = measure(predicted, setting(truth, {"age": groups["age"]}))
    arguments = {
        "y_true": np.array(truth) == "yes",
        "y_pred": np.array(predicted) == "yes",
        "sensitive_features": groups["age"],
    }
    gap, ratio = (measured(found[f"equalized_odds.{kind}", "age=*"]) for kind in KINDS)
    assert gap.value == equalized_odds_difference(**arguments)
    assert ratio.value == equalized_odds_ratio(**arguments)
    parts = [measured(found[f"{metric}.difference", "age=*"]) for metric in RATES[1:]]
    assert gap.low <= max(part.low for part in parts)  # wider: it speaks of twice as many rates at once
    assert gap.high >= max(part.high for part in parts)


def test_a_control_explains_a_gap_away() -> None:
    """Women buy what is recommended rarely; within a department all are treated alike."""
    rng = np.random.default_rng(3)
    department = rng.choice(["衣", "鞋"], 4000)
    sex = np.where(rng.random(4000) < np.where(department == "衣", 0.8, 0.2), "f", "m")
    predicted = np.where(rng.random(4000) < np.where(department == "衣", 0.3, 0.7), "yes", "no").tolist()
    groups = {"sex": sex.tolist(), "department": department.tolist()}
    found = measure(predicted, setting(predicted, groups), controls=("department",))
    assert measured(found["selection_rate.difference", "sex=*"]).low > 0.1
    for value in ("衣", "鞋"):
        within = measured(found["selection_rate.difference", f"department={value}, sex=*"])
        assert within.value < 0.06
        rows = (department == value) & (sex == "f")
        rest = (department == value) & (sex == "m")
        yes = np.array(predicted) == "yes"
        contrast = measured(found["selection_rate.difference_to_rest", f"department={value}, sex=f"])
        assert contrast.value == pytest.approx(yes[rows].mean() - yes[rest].mean())
    with pytest.raises(ConfigError, match=r"controls: no group column 'shop'\. Known: department, sex"):
        GroupGaps(controls=("shop",)).probes(setting(predicted, groups))


def test_rows_without_a_value_can_be_left_out() -> None:
    truth = ["yes", "no"] * 60
    within = setting(truth, {"g": ["a", "a", "b", "b", None, None] * 20})
    for how, groups in (("group", 3), ("exclude", 2)):
        found = measure(truth, within, missing=how)
        assert measured(found["accuracy.difference", "g=*"]).counts["groups"] == groups
        fact = found["missing", "g=(missing)"]
        assert isinstance(fact, Fact)
        assert fact.value == 40
        assert (("accuracy", "g=(missing)") in found) == (how == "group")
    with pytest.raises(ValueError, match="expected 'group' or 'exclude'"):
        GroupGaps(missing="drop")


def scored(n: int = 1500) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    rng = np.random.default_rng(5)
    truth = rng.random(n) < 0.5
    group = rng.choice(["a", "b"], n)
    noise = np.where(group == "a", 0.12, 0.4)
    scores = np.clip(0.5 + (truth - 0.5) * 0.4 + rng.normal(0, noise), 0, 1)
    words = np.array(["no", "yes"])
    predicted = words[(scores > 0.5).astype(int)].tolist()
    return words[truth.astype(int)].tolist(), predicted, np.stack([1 - scores, scores], axis=1), group.tolist()


def test_ranking_and_calibration_by_group() -> None:
    from sklearn.metrics import roc_auc_score

    truth, predicted, scores, group = scored()
    within = setting(truth, {"g": group}, clusters=np.arange(1500) // 2)
    one = subject(predicted)
    one = replace(one, answers={HELD_OUT: replace(one.answers[HELD_OUT], scores=scores)})
    outcomes = GroupGaps().measure([one], within)
    found = {(x.metric.removeprefix("fairness."), x.slice.label()): x for x in outcomes}
    for name in ("a", "b"):
        rows = np.array(group) == name
        auc = measured(found["auc", f"g={name}"])
        assert auc.value == pytest.approx(roc_auc_score((np.array(truth) == "yes")[rows], scores[rows, 1]))
        assert auc.n == rows.sum()
    assert measured(found["auc.difference", "g=*"]).low > 0.05
    errors = [measured(found["calibration_error", f"g={name}"]).value for name in "ab"]
    assert measured(found["calibration_error.difference", "g=*"]).value == pytest.approx(abs(errors[0] - errors[1]))
    without = measure(predicted, within)
    assert reason(without["auc.difference", "g=*"]) == "the model gives labels without scores"


@pytest.mark.parametrize("name", ["min_rows", "min_class_rows", "depth"])
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        GroupGaps(**{name: 0})
    GroupGaps(**{name: 1})
    assert GroupGaps().probes(setting([], {})) == ()


@pytest.mark.slow
def test_no_gap_is_claimed_where_there_is_none() -> None:
    """Eight groups alike, clusters across groups. False alarms at most 5%, by a binomial test at 0.1%.

    The control: the plug-in four-fifths rule alarms in most of these runs.
    """
    rng, runs, alarms, plug_in = np.random.default_rng(7), 100, 0, 0
    groups = [f"g{i % 8}" for i in range(480)]
    clusters = np.repeat(np.arange(120), 4)
    for _ in range(runs):
        lean = 0.2 * rng.normal(size=120)[clusters]
        truth = rng.random(480) < 0.5
        predicted = rng.random(480) < np.clip(0.4 + 0.2 * truth + lean, 0.02, 0.98)
        words = np.array(["no", "yes"])
        within = setting(words[truth.astype(int)].tolist(), {"g": groups}, clusters=clusters)
        found = measure(words[predicted.astype(int)].tolist(), within)
        gap, ratio = (measured(found[f"selection_rate.{kind}", "g=*"]) for kind in ("difference", "ratio"))
        alarms += gap.low > 0 or ratio.high < 1
        plug_in += ratio.value < 0.8
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001
    assert plug_in / runs > 0.5
