"""Quality: scikit-learn's figures on answered rows, nothing dropped in silence, nothing made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.tasks.classification import Quality
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome, Unit

BINARY = Labels(("no", "yes"), "yes")
FIVE = Labels(("很差", "差", "一般", "好", "很好"), None)
QUALITY = Quality(draws=200)
SCORES = ("balanced_accuracy", "precision", "recall", "f1", "auc")
PER_MODEL = {"coverage", "accuracy", "accuracy_all", *SCORES, "latency_p50", "latency_p95", "cost"}


def dataset(labels: Sequence[str], texts: Sequence[str] | None = None, clusters: Sequence[int] | None = None):
    n = len(labels)
    return ScrubbedDataset(
        rows=np.arange(n),
        texts=tuple(ScrubbedText(text) for text in (texts or [f"text {i}" for i in range(n)])),
        labels=tuple(labels),
        groups={},
        clusters=np.asarray(range(n) if clusters is None else clusters, dtype=np.int64),
    )


def setting(labels: Labels, test: ScrubbedDataset, train: ScrubbedDataset | None = None, **more) -> Setting:
    nothing = dataset([])
    return Setting(labels=labels, train=train or nothing, test=test, find_personal=lambda _: [], **more)


def predictions(labels: Sequence[str | None], scores=None, index=None, seconds=None, tokens=None) -> Predictions:
    n = len(labels)
    return Predictions(
        index=np.arange(n) if index is None else np.asarray(index, dtype=np.int64),
        labels=tuple(labels),
        scores=scores,
        failures=tuple(None if label else "timed out" for label in labels),
        seconds=np.zeros(n) if seconds is None else np.asarray(seconds, dtype=float),
        tokens_in=None if tokens is None else np.full(n, tokens[0]),
        tokens_out=None if tokens is None else np.full(n, tokens[1]),
        outputs=None,
        personal=np.zeros(n, dtype=np.int64),
    )


def subject(name: str, answers: Predictions, **more) -> Subject:
    return Subject(name, frozenset(Capability), {HELD_OUT: answers}, trained=True, **more)


def measure(*subjects: Subject, within: Setting, quality: Quality = QUALITY) -> dict[str, Outcome]:
    """Outcomes of the first subject (and of none), by metric without its prefix."""
    outcomes = quality.measure(subjects, within)
    return {x.metric.removeprefix("quality."): x for x in outcomes if x.model in (None, subjects[0].name)}


def value(outcome: Outcome) -> float:
    assert isinstance(outcome, Measurement), outcome
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low <= outcome.value <= outcome.high
    return outcome.value


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, NotMeasured), outcome
    return outcome.reason


def noisy(labels: Labels, n: int, right: float, seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    k = len(labels.classes)
    truth = rng.integers(0, k, n)
    scores = rng.dirichlet(np.ones(k), n) + right * np.eye(k)[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    return [labels.classes[i] for i in truth], [labels.classes[i] for i in predicted], scores


@pytest.mark.parametrize("labels", [BINARY, FIVE, Labels(("no", "yes"), None)])
def test_figures_agree_with_scikit_learn(labels: Labels) -> None:
    from sklearn import metrics

    truth, predicted, scores = noisy(labels, 300, 0.6)
    found = measure(subject("m", predictions(predicted, scores)), within=setting(labels, dataset(truth)))
    if labels.binary:
        average = {"average": "binary", "pos_label": "yes"}
        auc = metrics.roc_auc_score(np.array(truth) == "yes", scores[:, 1])
    else:
        average = {"average": "macro"}
        auc = np.mean([metrics.roc_auc_score(np.array(truth) == c, scores[:, i]) for i, c in enumerate(labels.classes)])
    assert value(found["accuracy"]) == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert value(found["balanced_accuracy"]) == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    for name in ("precision", "recall", "f1"):
        assert value(found[name]) == pytest.approx(getattr(metrics, f"{name}_score")(truth, predicted, **average))
    assert value(found["auc"]) == pytest.approx(auc)
    for name in ("coverage", "accuracy", "accuracy_all"):
        assert found[name].unit is Unit.RATE


def test_every_outcome_names_its_model_and_task() -> None:
    truth, predicted, scores = noisy(BINARY, 60, 0.5)
    outcomes = QUALITY.measure([subject("m", predictions(predicted, scores))], setting(BINARY, dataset(truth)))
    assert {x.metric for x in outcomes} == {f"quality.{name}" for name in PER_MODEL} | {"data.shared_texts"}
    for outcome in outcomes[1:]:
        assert (outcome.model, outcome.task, outcome.slice) == ("m", "classification", EVERYONE)


def test_unanswered_rows_are_counted_and_called_wrong_in_one_figure_only() -> None:
    labels = ["yes", "no", "yes", None, "yes", None, "perhaps", "no"]
    truth = ["yes", "no", "no", "yes", "yes", "no", "yes", "no"]
    found = measure(subject("m", predictions(labels)), within=setting(BINARY, dataset(truth)))
    assert value(found["coverage"]) == 5 / 8  # "perhaps" is no class of the task
    assert (value(found["accuracy"]), found["accuracy"].n) == (4 / 5, 5)
    assert (value(found["accuracy_all"]), found["accuracy_all"].n) == (4 / 8, 8)
    assert found["coverage"].counts == {"successes": 5, "rows": 8, "clusters": 8}
    assert (found["precision"].n, found["recall"].n) == (3, 2)


def test_a_model_weighed_on_fewer_rows_is_judged_on_those() -> None:
    truth = ["yes", "no"] * 20
    index = [1, 4, 7, 30]
    found = measure(
        subject("m", predictions([truth[i] for i in index], index=index)), within=setting(BINARY, dataset(truth))
    )
    assert (value(found["accuracy"]), found["coverage"].n) == (1.0, 4)
    assert found["accuracy"].low < 0.6


def test_clusters_widen_every_interval() -> None:
    truth, predicted, scores = noisy(BINARY, 120, 0.5)
    twice = [x for x in truth for _ in range(4)], [x for x in predicted for _ in range(4)], np.repeat(scores, 4, axis=0)
    answers = subject("m", predictions(twice[1], twice[2]))
    codes, many = np.repeat(np.arange(120), 4).tolist(), Quality(draws=2000)
    apart = measure(answers, within=setting(BINARY, dataset(twice[0])), quality=many)
    joined = measure(answers, within=setting(BINARY, dataset(twice[0], clusters=codes)), quality=many)
    for name in ("accuracy", *SCORES):
        ratio = (joined[name].high - joined[name].low) / (apart[name].high - apart[name].low)
        assert ratio == pytest.approx(2, rel=0.2), name


def test_labels_without_scores_have_no_auc() -> None:
    truth, predicted, _ = noisy(BINARY, 40, 0.5)
    found = measure(subject("m", predictions(predicted)), within=setting(BINARY, dataset(truth)))
    assert reason(found["auc"]) == "gives labels without scores"


def test_auc_leaves_out_rows_without_scores() -> None:
    truth, predicted, scores = noisy(BINARY, 40, 0.5)
    scores[:10] = math.nan
    found = measure(subject("m", predictions(predicted, scores)), within=setting(BINARY, dataset(truth)))
    assert (found["auc"].n, found["accuracy"].n) == (30, 40)


def test_reliability_speaks_of_the_label_given_in_bins_that_are_large_enough() -> None:
    truth = ["yes"] * 30 + ["no"] * 30
    scores = np.array([[0.08, 0.92]] * 40 + [[0.63, 0.37]] * 12 + [[0.83, 0.17]] * 8)
    answers = predictions(["yes"] * 40 + ["no"] * 20, scores)
    others = [subject("labels", predictions(truth)), subject("failed", predictions([None] * 60, scores))]
    [curve] = QUALITY.curves([subject("m", answers), *others], setting(BINARY, dataset(truth)))
    assert (curve.kind, curve.model, curve.n, curve.rows) == ("reliability", "m", 60, (12, 40))
    assert curve.points == (pytest.approx((0.63, 1.0)), pytest.approx((0.92, 0.75)))


def test_all_failed() -> None:
    found = measure(subject("m", predictions([None] * 9)), within=setting(BINARY, dataset(["yes", "no", "no"] * 3)))
    assert (value(found["coverage"]), value(found["accuracy_all"])) == (0.0, 0.0)
    for name in PER_MODEL - {"coverage", "accuracy_all"}:
        assert reason(found[name]) == "none of the 9 rows asked was answered"


def test_nothing_asked() -> None:
    found = measure(subject("m", predictions([])), within=setting(BINARY, dataset(["yes"])))
    assert {reason(found[name]) for name in PER_MODEL} == {"no held-out row was asked"}


def test_one_class_only() -> None:
    scores = np.tile([0.4, 0.6], (12, 1))
    answers = subject("m", predictions(["yes"] * 12, scores))
    positives = measure(answers, within=setting(BINARY, dataset(["yes"] * 12)))
    assert value(positives["recall"]) == value(positives["precision"]) == value(positives["f1"]) == 1.0
    assert positives["f1"].low < 0.9
    assert "one class only" in reason(positives["balanced_accuracy"])
    assert "not of two classes" in reason(positives["auc"])
    negatives = measure(answers, within=setting(BINARY, dataset(["no"] * 12)))
    assert value(negatives["precision"]) == 0.0
    assert reason(negatives["recall"]) == reason(negatives["f1"]) == "none of the 12 answered rows is positive"
    several = measure(answers, within=setting(Labels(("no", "yes", "so"), None), dataset(["yes"] * 12)))
    assert all("one class only" in reason(several[name]) for name in ("balanced_accuracy", "precision", "recall", "f1"))


def test_precision_of_what_is_never_answered_is_undefined() -> None:
    truth = ["yes", "no"] * 10
    found = measure(subject("m", predictions(["no"] * 20)), within=setting(BINARY, dataset(truth)))
    assert reason(found["precision"]) == "it never answers with the positive class on 20 rows"
    assert value(found["recall"]) == value(found["f1"]) == 0.0
    truth = list(FIVE.classes) * 6
    found = measure(subject("m", predictions(["好"] * 30)), within=setting(FIVE, dataset(truth)))
    assert reason(found["precision"]).startswith("it never answers with 4 of the 5 classes")
    assert value(found["balanced_accuracy"]) == pytest.approx(0.2)


def test_a_class_of_one_row_leaves_the_average_wide_open() -> None:
    truth = ["很差"] + ["好", "很好"] * 40
    found = measure(subject("m", predictions(truth)), within=setting(FIVE, dataset(truth)))
    assert value(found["balanced_accuracy"]) == 1.0
    assert found["balanced_accuracy"].low == 0.0
    assert found["accuracy"].low > 0.9


def test_latency_counts_failed_rows_too() -> None:
    seconds = np.arange(1.0, 101)
    labels = ["yes"] * 90 + [None] * 10  # the slowest timed out
    found = measure(subject("m", predictions(labels, seconds=seconds)), within=setting(BINARY, dataset(["yes"] * 100)))
    assert (value(found["latency_p50"]), value(found["latency_p95"])) == (50, 95)
    assert (found["latency_p95"].low, found["latency_p95"].high) == (90, 100)
    assert (found["latency_p50"].unit, found["latency_p50"].counts) == (Unit.SECONDS, {"failed": 10, "seconds": 5050})
    none = measure(subject("m", predictions(labels)), within=setting(BINARY, dataset(["yes"] * 100)))
    assert reason(none["latency_p50"]) == "its answers carry no times"


def test_cost_by_tokens_then_by_time_then_not_at_all() -> None:
    within = setting(BINARY, dataset(["yes", "no"] * 10))
    labels, seconds = ["yes"] * 20, np.arange(20) + 1.0
    tokens = predictions(labels, seconds=seconds, tokens=(100, 2))
    priced = {"price_per_million_tokens": (3.0, 15.0), "price_per_hour": 7.2, "currency": "CNY"}
    cost = measure(subject("m", tokens, **priced), within=within)["cost"]
    assert value(cost) == pytest.approx((100 * 3 + 2 * 15) / 1e6 * 1000)
    assert cost.high == cost.low  # every row costs the same
    assert (cost.unit, "by tokens, in CNY" in cost.method) == (Unit.MONEY, True)
    timed = measure(subject("m", predictions(labels, seconds=seconds), **priced), within=within)["cost"]
    assert value(timed) == pytest.approx(seconds.mean() * 7.2 / 3600 * 1000)
    assert timed.low < timed.value < timed.high
    assert "by time, in CNY" in timed.method
    free = measure(subject("m", tokens, price_per_hour=0.0), within=within)["cost"]
    assert (value(free), free.low, free.high) == (0.0, 0.0, 0.0)  # a price of nothing is a price
    unpriced = measure(subject("m", tokens), within=within)["cost"]
    assert reason(unpriced) == "no price stated in the config"
    blind = measure(subject("m", predictions(labels), **priced), within=within)["cost"]
    assert reason(blind) == "a price is stated, but its answers carry neither token counts nor times"


def test_differences_from_the_incumbent() -> None:
    truth, good, scores = noisy(BINARY, 200, 0.9)
    _, poor, _ = noisy(BINARY, 200, 0.0)
    within = setting(BINARY, dataset(truth), incumbent="old")
    old, new = subject("old", predictions(poor, scores)), subject("new", predictions(good, scores))
    outcomes = QUALITY.measure([old, new], within)
    paired = {x.metric: x for x in outcomes if x.metric.endswith(".difference")}
    assert set(paired) == {f"quality.{m}.difference" for m in ("accuracy", "balanced_accuracy", "f1", "auc")}
    assert {(x.model, x.reference, x.task) for x in paired.values()} == {("new", "old", "classification")}
    assert value(paired["quality.accuracy.difference"]) > 0.2
    assert value(paired["quality.auc.difference"]) == 0.0
    alone = QUALITY.measure([new], within)
    assert {reason(x) for x in alone if x.metric.endswith("difference")} == {
        "'old' is not among the models that were run"
    }
    free = QUALITY.measure([old, new], setting(BINARY, dataset(truth)))
    assert not [x for x in free if x.metric.endswith("difference")]


def test_texts_on_both_sides_of_the_split_are_counted() -> None:
    train = dataset(["yes"] * 3, ["Nice  dress", "很 好", "other"])
    test = dataset(["yes"] * 5, ["nice dress\n", "NICE DRESS", "很 好", "很好", "new"])
    fact = measure(subject("m", predictions(["yes"] * 5)), within=setting(BINARY, test, train))["data.shared_texts"]
    assert isinstance(fact, Fact)
    assert (fact.value, fact.unit, fact.model) == (3, Unit.COUNT, None)


def test_same_seed_same_figures() -> None:
    truth, predicted, scores = noisy(FIVE, 100, 0.4)
    within = setting(FIVE, dataset(truth))
    one = QUALITY.measure([subject("m", predictions(predicted, scores))], within)
    two = QUALITY.measure([subject("m", predictions(predicted, scores))], within)
    other = QUALITY.measure([subject("m", predictions(predicted, scores))], replace(within, seed=1))
    assert one == two != other
    assert QUALITY.probes(within) == ()
