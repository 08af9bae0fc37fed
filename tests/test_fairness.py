"""Group gaps: Fairlearn's figures where groups are large enough, and absence where Fairlearn says 0.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.fairness import METRICS, GroupGaps
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.measure import Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.intervals import clustered_wilson

BINARY = Labels(("no", "yes"), "yes")
THREE = Labels(("差", "中", "好"), None)
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


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


def measured(outcome: Outcome) -> Measurement:
    assert isinstance(outcome, Measurement), outcome
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low - 1e-12 <= outcome.value <= outcome.high + 1e-12
    return outcome


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, NotMeasured), outcome
    return outcome.reason


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
    assert len(found) == len(METRICS) * (3 + 2 + 6 + 3 * 2)
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
    assert {reason(x) for x in everything.values()} == {"no held-out row was answered"}
    assert {where for _, where in everything} == {"g=*"}


def test_answers_are_matched_to_the_rows_asked() -> None:
    truth = ["yes"] * 60 + ["no"] * 60
    within = setting(truth, {"g": (["a"] * 30 + ["b"] * 30) * 2})
    asked = np.arange(0, 120, 2)
    predicted = [truth[i] for i in asked]
    outcomes = GroupGaps(min_rows=15).measure([subject(predicted, asked)], within)
    assert {x.value for x in outcomes if x.metric == "fairness.accuracy" and isinstance(x, Measurement)} == {1.0}


def test_several_classes_without_a_positive_one_have_accuracy_only() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(THREE.classes, 120).tolist()
    found = measure(truth, setting(truth, {"g": ["a", "b"] * 60}, THREE))
    assert measured(found["accuracy.difference", "g=*"]).value == 0.0
    for metric in RATES:
        for kind in ("difference", "ratio"):
            assert reason(found[f"{metric}.{kind}", "g=*"]) == "the task has 3 classes and none is declared positive"
    assert len(found) == 2 + 2 + 3 * 2


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
    assert set(found) == {(f"{m}.{kind}", "everyone") for m in METRICS for kind in ("difference", "ratio")}


def test_intersections_can_be_left_out() -> None:
    truth, predicted, groups = shop(300)
    found = measure(predicted, setting(truth, groups), intersections=False)
    assert {where for _, where in found if "*" in where} == {"age=*", "department=*"}


@pytest.mark.parametrize("name", ["min_rows", "min_class_rows"])
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
