"""What changed since an earlier run: paired where rows match, honest where they don't, corrected where it is a list."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from governance.audit import run_audit
from governance.baseline import SAME, changes_since
from governance.cli import main
from governance.conclude import last_terms
from governance.errors import ConfigError, RecordError
from governance.matching import read_rows
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Control, Policy, Status, judge, load_policy
from governance.record import RunRecord
from governance.statements import chance_beyond, failed_slices, families, improvements, worsened
from governance.statistics.intervals import quantile_interval, wilson
from tests.tiny import write_config, write_reviews
from tests.tworuns import Run, dataset, run


def found(changes: tuple[Outcome, ...], metric: str, **where: str) -> Outcome:
    [one] = [o for o in changes if o.metric == metric and o.slice == Slice.of(where)]
    return one


def since(now: Run, then: Run) -> tuple[Outcome, ...]:
    return changes_since(*now, *then)


def change(now: Run, then: Run, metric: str) -> Measurement:
    one = found(since(now, then), metric)
    assert isinstance(one, Measurement), one
    assert one.reference == "baseline"
    return one


def answers(rng: np.random.Generator, truth: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.where(rng.random(len(truth)) < right, truth, 1 - truth)


def figure(metric: str, value: float, low: float | None, high: float | None, **more: object) -> Measurement:
    fields = {"level": 0.95, "n": 500, "unit": Unit.SCORE, "method": "t", "model": "m", **more}
    return Measurement(metric=metric, value=value, low=low, high=high, **fields)  # type: ignore[arg-type]


def only(*outcomes: Outcome, digest: str = "sha256:x", weights: str | None = None) -> RunRecord:
    """A record of these figures alone."""
    from tests.test_policy import record

    made = record(*outcomes)
    models = tuple(entry.model_copy(update={"digest": weights}) for entry in made.models)
    return made.model_copy(update={"data": made.data.model_copy(update={"digest": digest}), "models": models})


# -- intervals ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_paired_and_unpaired_intervals_hold_the_truth_as_often_as_they_promise(tmp_path: Path) -> None:
    """One model is right on 85% of the rows, the earlier one on 80%; both find the same rows hard, up to some noise."""
    rng, runs, n = np.random.default_rng(0), 80, 300
    covered, width = {True: 0, False: 0}, {True: 0.0, False: 0.0}
    truth = rng.integers(0, 2, n)

    def made(name: str, hits: np.ndarray, digest: str) -> Run:
        low, high = wilson(int(hits.sum()), n)
        extra = [figure("quality.accuracy", hits.mean(), low, high, task="classification", unit=Unit.RATE)]
        said = np.where(hits, truth, 1 - truth).tolist()
        return run(tmp_path / name, dataset(truth), said, data=digest, measured=False, extra=extra)

    for i in range(runs):
        hard = rng.random((2, n))
        flips = rng.random((2, n)) < 0.1
        now = made(f"now{i}", (hard[0] < 0.85) ^ flips[0], "sha256:data")
        for paired in (True, False):
            hits = (hard[0 if paired else 1] < 0.8) ^ flips[1]
            then = made(f"then{paired}{i}", hits, "sha256:data" if paired else "sha256:other")
            one = change(now, then, "quality.accuracy.change")
            assert one.method.startswith("paired by row" if paired else "MOVER")
            assert one.low is not None
            assert one.high is not None
            covered[paired] += one.low <= 0.04 <= one.high  # 0.05 of the rows, 0.1 of which are flipped on both sides
            width[paired] += one.high - one.low
    assert binom.cdf(covered[True], runs, 0.94) > 0.001
    assert binom.cdf(covered[False], runs, 0.95) > 0.001
    assert width[True] < 0.85 * width[False]


def test_a_ratio_of_two_times_holds_the_truth_as_often_as_it_promises() -> None:
    """95th percentiles of log-normal times, of which the later ones take 1.3 times as long."""
    rng, runs, covered = np.random.default_rng(1), 200, 0
    for _ in range(runs):
        sides = []
        for scale in (1.3, 1.0):
            value, bounds = quantile_interval(scale * rng.lognormal(0, 0.5, 400), 0.95)
            sides.append(figure("quality.latency_p95", value, bounds.low, bounds.high, unit=Unit.SECONDS))
        one = change((only(sides[0]), Path()), (only(sides[1], digest="y"), Path()), "quality.latency_p95.change")
        assert one.unit is Unit.RELATIVE
        assert one.low is not None
        assert one.high is not None
        covered += one.low <= 0.3 <= one.high
    assert binom.cdf(covered, runs, 0.95) > 0.001


ENDS = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(sorted)


@given(now=ENDS, then=ENDS, unit=st.sampled_from([Unit.RATE, Unit.SECONDS, Unit.RATIO, Unit.NATS]))
def test_no_figures_make_a_change_without_its_value_in_its_interval(
    now: list[float], then: list[float], unit: Unit
) -> None:
    sides = [figure("x.y", value, low, high, unit=unit) for low, value, high in (now, then)]
    [one] = [o for o in since((only(sides[0]), Path()), (only(sides[1]), Path())) if o.metric == "x.y.change"]
    if isinstance(one, NotMeasured):
        assert then[1] < 1e-99
        return
    assert isinstance(one, Measurement)
    ends = (-math.inf if one.low is None else one.low, math.inf if one.high is None else one.high)
    slack = 1e-9 * (1 + abs(one.value))
    assert ends[0] - slack <= one.value <= ends[1] + slack


def test_an_open_end_stays_open() -> None:
    now, then = figure("q", 0.5, None, 0.6), figure("q", 0.4, 0.3, 0.5)
    one = change((only(now), Path()), (only(then), Path()), "q.change")
    assert one.low is None
    assert one.high == pytest.approx(0.1 + math.hypot(0.1, 0.1))
    slow = change((only(then), Path()), (only(now), Path()), "q.change")
    assert slow.high is None


def test_the_lower_level_of_the_two_is_claimed() -> None:
    now, then = figure("q", 0.5, 0.4, 0.6, level=0.99), figure("q", 0.5, 0.4, 0.6, level=0.9, n=7)
    one = change((only(now), Path()), (only(then), Path()), "q.change")
    assert (one.level, one.n) == (0.9, 7)


# -- rows that match ----------------------------------------------------------------------------------


def test_the_same_answers_to_the_same_rows_are_no_change_and_tightly_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 600)
    said = answers(rng, truth, np.full(600, 0.8)).tolist()
    runs = [run(tmp_path / name, dataset(truth), said, scores=rng.random(600).tolist()) for name in "ab"]
    again = since(runs[0], (runs[0][0], runs[1][1]))
    for metric in ("accuracy", "balanced_accuracy", "f1", "coverage", "accuracy_all"):
        one = found(again, f"quality.{metric}.change")
        assert isinstance(one, Measurement)
        assert one.value == 0
        assert -0.02 < (one.low or 0) < 0 < (one.high or 0) < 0.02


def test_the_change_is_that_of_the_shared_rows_and_tells_both_runs_own_figures(tmp_path: Path) -> None:
    truth = np.tile([0, 1], 50)
    now = run(tmp_path / "a", dataset(truth[:80], rows=range(80)), truth[:80].tolist())
    wrong = np.where(np.arange(20, 100) < 60, 1 - truth[20:], truth[20:])
    then = run(tmp_path / "b", dataset(truth[20:], rows=range(20, 100)), wrong.tolist())
    one = change(now, then, "quality.accuracy.change")
    assert (one.n, one.value) == (60, pytest.approx(40 / 60))
    assert (one.counts["now"], one.counts["before"]) == (1.0, 0.5)


def test_too_few_shared_rows_are_not_paired(tmp_path: Path) -> None:
    truth = np.tile([0, 1], 50)
    now = run(tmp_path / "a", dataset(truth[:60], rows=range(60)), truth[:60].tolist())
    then = run(tmp_path / "b", dataset(truth[40:], rows=range(40, 100)), truth[40:].tolist())
    assert change(now, then, "quality.accuracy.change").method.startswith("MOVER")


def test_rows_of_one_cluster_count_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    right, better = rng.random(60) < 0.7, rng.random(60) < 0.8
    truth = np.repeat(rng.integers(0, 2, 60), 10)
    widths = []
    for clusters in (np.repeat(np.arange(60), 10), np.arange(600)):
        sides = []
        for name, hits in (("a", better), ("b", right)):
            said = np.where(np.repeat(hits, 10), truth, 1 - truth).tolist()
            sides.append(run(tmp_path / f"{name}{clusters[1]}", dataset(truth, clusters=clusters), said))
        one = change(*sides, "quality.accuracy_all.change")  # type: ignore[arg-type]
        widths.append((one.high or 0) - (one.low or 0))
    assert widths[0] > 2.5 * widths[1]


def test_an_older_run_without_clusters_is_paired_only_where_each_row_is_one(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    truth = np.tile([0, 1], 100)
    for name, clusters in (("own", np.arange(200)), ("shared", np.arange(200) // 2)):
        now, folder = run(tmp_path / name, dataset(truth, clusters=clusters), truth.tolist())
        file = folder / "predictions" / "m.parquet"
        pq.write_table(pq.read_table(file).drop_columns(["cluster"]), file)
        asked = read_rows(now, folder, "m")
        assert asked is not None
        assert (asked.clusters is None) == (name == "shared")


def test_the_same_rows_with_other_true_classes_are_another_task(tmp_path: Path) -> None:
    truth = np.tile([0, 1], 50)
    now = run(tmp_path / "a", dataset(truth), truth.tolist())
    then = run(tmp_path / "b", dataset(1 - truth), truth.tolist())
    with pytest.raises(RecordError, match="another task: the same rows of the same data have other true classes"):
        since(now, then)


def test_a_predictions_file_of_another_kind_is_told(tmp_path: Path) -> None:
    truth = np.tile([0, 1], 50)
    now = run(tmp_path / "a", dataset(truth), truth.tolist())
    (tmp_path / "a" / "predictions" / "m.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(RecordError, match=r"m\.parquet: not answers that an audit wrote"):
        since(now, now)


# -- figures that match -------------------------------------------------------------------------------


def test_the_same_weights_on_the_same_rows_change_nothing_but_times() -> None:
    gap = figure("fairness.accuracy.difference", 0.04, 0.0, 0.12, slice=Slice.of(sex="*"))
    time = figure("quality.latency_p95", 0.2, 0.1, 0.3, unit=Unit.SECONDS)
    for weights, exact in (("sha256:w", True), (None, False)):
        same = (only(gap, time, weights=weights), Path())
        one = found(since(same, same), "fairness.accuracy.difference.change", sex="*")
        assert isinstance(one, Measurement)
        assert (one.low == one.high == 0.0) is exact
        assert (one.method == SAME) is exact
        assert change(same, same, "quality.latency_p95.change").method != SAME
    other = (only(gap, weights="sha256:v"), Path())
    mixed = found(since(other, (only(gap, weights="sha256:w"), Path())), "fairness.accuracy.difference.change", sex="*")
    assert isinstance(mixed, Measurement)
    assert mixed.high == pytest.approx(math.hypot(0.08, 0.04))


def test_exact_figures_change_exactly_and_a_control_can_test_it() -> None:
    sides = [
        only(Fact(metric="privacy.epsilon", value=v, unit=Unit.NATS, method="claim", model="m")) for v in (9.0, 8.0)
    ]
    changes = since((sides[0], Path()), (sides[1], Path()))
    one = found(changes, "privacy.epsilon.change")
    assert isinstance(one, Fact)
    assert (one.value, one.reference) == (1.0, "baseline")
    control = Control(
        id="c", says={"en": "s"}, metric="privacy.epsilon.change", reference="baseline", at_most=0.5, models="all"
    )
    policy = Policy(name="p", version="1", title={"en": "p"}, controls=(control,))
    assert judge(sides[0], policy, changes=changes, baseline="sha256:b").status is Status.FAIL
    assert "name one: --baseline RUN" in judge(sides[0], policy).of("m").findings[0].reason


def test_what_one_run_lacks_is_not_measured_and_says_which() -> None:
    here = only(figure("a", 0.5, 0.4, 0.6), NotMeasured(metric="b", reason="12 rows, 30 needed", model="m"))
    there = only(figure("b", 0.5, 0.4, 0.6), figure("c", 1, 1, 1))
    changes = since((here, Path()), (there, Path()))
    reasons = {o.metric: o.reason for o in changes if isinstance(o, NotMeasured)}
    assert reasons == {
        "a.change": "the baseline has no such figure",
        "b.change": "this run: 12 rows, 30 needed",
        "c.change": "this run has no such figure",
    }
    units = since(
        (only(figure("a", 0.5, 0.4, 0.6)), Path()), (only(figure("a", 0.5, 0.4, 0.6, unit=Unit.COUNT)), Path())
    )
    assert "counts it in score, the baseline in count" in getattr(units[0], "reason", "")
    nothing = since(
        (only(figure("a", 1, 1, 1, unit=Unit.MONEY)), Path()), (only(figure("a", 0, 0, 1, unit=Unit.MONEY)), Path())
    )
    assert "figure is 0" in getattr(nothing[0], "reason", "")


def test_slices_that_a_run_picks_itself_are_not_demanded_of_the_other() -> None:
    mine = figure("slices.error", 0.5, 0.4, 0.6, slice=Slice.of(sex="f"))
    assert since((only(mine), Path()), (only(), Path())) == ()


def test_candidates_are_compared_where_names_differ_and_other_models_are_told_missing() -> None:
    from tests.test_policy import record

    now = record(
        figure("q", 0.6, 0.5, 0.7, model="v2"), figure("q", 0.6, 0.5, 0.7, model="other"), models=("v2", "other")
    )
    then = record(figure("q", 0.5, 0.4, 0.6, model="v1"), models=("v1",))
    changes = since((now, Path()), (then, Path()))
    assert [(type(o), o.model) for o in changes] == [(Measurement, "v2"), (NotMeasured, "other")]
    assert getattr(changes[1], "reason", "") == "the baseline has no model 'other'"


def test_differences_from_other_models_are_left_out() -> None:
    one = figure("quality.auc.difference", 0.1, 0.0, 0.2, reference="incumbent-model")
    assert since((only(one), Path()), (only(one), Path())) == ()


@pytest.mark.parametrize(
    ("what", "update"),
    [
        ("another task: expected 'classification' as in this run, found 'ranking'", {"task": "ranking"}),
        ("another positive class: expected None as in this run, found 'yes'", {"data": {"positive": "yes"}}),
        ("none of its classes is one of this run's", {"data": {"labels": {"good": 3, "bad": 2}}}),
    ],
)
def test_runs_of_different_tasks_are_refused(what: str, update: dict[str, object]) -> None:
    good = only(figure("q", 0.5, 0.4, 0.6))
    data = good.data.model_copy(update=update.pop("data", {}))
    other = good.model_copy(update={**update, "data": data})
    with pytest.raises(RecordError, match=what.replace("'", ".")):
        since((good, Path()), (other, Path()))


# -- the shipped policy -------------------------------------------------------------------------------


def regression(now: Run, then: Run) -> dict[str, Status]:
    verdict = judge(now[0], load_policy("regression"), changes=since(now, then), baseline=then[0].digest())
    return {finding.control: finding.status for finding in verdict.of("m").findings}


@pytest.mark.slow
def test_a_worse_model_fails_and_an_equal_one_passes_once_there_are_rows_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)

    def made(name: str, n: int, right: float, *, noise: np.ndarray, truth: np.ndarray) -> Run:
        hit = noise[:n] < right
        scores = np.clip(0.5 + np.where(hit, 1, -1) * (2 * truth[:n] - 1) * 0.3 + 0.1 * rng.normal(size=n), 0, 1)
        said = np.where(hit, truth[:n], 1 - truth[:n]).tolist()
        return run(tmp_path / name, dataset(truth[:n]), said, scores=scores.tolist(), weights=f"sha256:{name}")

    noise, truth = rng.random(4000), rng.integers(0, 2, 4000)
    shared = {"noise": noise, "truth": truth}
    before = made("before", 4000, 0.85, **shared)
    worse = regression(made("worse", 4000, 0.78, **shared), before)
    assert {worse[f"regression.{name}"] for name in ("auc", "balanced-accuracy")} == {Status.FAIL}
    assert worse["regression.coverage"] is Status.PASS
    equal = regression(made("equal", 4000, 0.851, **shared), before)
    assert equal["regression.balanced-accuracy"] is Status.PASS
    few = regression(made("few", 150, 0.845, noise=rng.random(150), truth=truth), made("f", 150, 0.85, **shared))
    assert few["regression.balanced-accuracy"] is Status.UNPROVEN


def test_the_regression_policy_stands_beside_another(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("name: ours\nversion: '1'\ntitle: {en: ours}\nextends: [launch, regression]\ncontrols: []\n")
    policy = load_policy(path)
    ids = [control.id for control in policy.controls]
    assert {"quality.auc", "regression.auc"} <= set(ids)
    assert all(control.reference == "baseline" for control in load_policy("regression").controls)


# -- claims about many figures ------------------------------------------------------------------------


def normal_change(rng: np.random.Generator, metric: str, true: float, **more: object) -> Measurement:
    value, error = true + rng.normal(0, 0.01), 0.01 * 1.959964
    return figure(
        f"{metric}.change", value, value - error, value + error, reference="baseline", unit=Unit.DIFFERENCE, **more
    )


NAMES = ("coverage", "accuracy", "accuracy_all", "balanced_accuracy", "precision", "recall", "f1", "auc")


def test_nothing_improved_is_seldom_called_an_improvement() -> None:
    rng, runs = np.random.default_rng(5), 400
    alarms, bare = 0, 0
    for _ in range(runs):
        family = improvements([normal_change(rng, f"quality.{name}", 0.0) for name in NAMES], "m")
        assert family is not None
        assert family.correction == "Holm"
        alarms += bool(family.shown)
        bare += any(one.p <= 0.05 for one in family.statements)
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001
    assert bare > 0.25 * runs  # what the correction is for


def test_a_real_improvement_is_found_and_a_loss_is_none() -> None:
    rng = np.random.default_rng(6)
    changes = [normal_change(rng, f"quality.{name}", 0.05 if name == "auc" else -0.05) for name in NAMES]
    changes += [normal_change(rng, "quality.latency_p95", 0.5), normal_change(rng, "quality.auc", 0.5, model="other")]
    family = improvements(changes, "m")
    assert family is not None
    assert [one.metric for one in family.shown] == ["quality.auc.change"]
    assert len(family.statements) == len(NAMES)


def test_of_the_groups_called_worse_few_are_not() -> None:
    rng, runs, false = np.random.default_rng(7), 300, 0.0
    for _ in range(runs):
        worse = [normal_change(rng, "fairness.accuracy", -0.04, slice=Slice.of(g=str(i))) for i in range(4)]
        alike = [normal_change(rng, "fairness.true_positive_rate", 0.0, slice=Slice.of(g=str(i))) for i in range(16)]
        better = [normal_change(rng, "fairness.false_positive_rate", -0.1, slice=Slice.of(g="0"))]
        family = worsened([*worse, *alike, *better], "m")
        assert family is not None
        named = family.shown
        false += sum(one.metric != "fairness.accuracy.change" for one in named) / max(1, len(named))
    assert false / runs <= 0.05 + 3 * 0.2 / math.sqrt(runs)
    wider = normal_change(rng, "fairness.accuracy.difference", 0.1, slice=Slice.of(g="*"))
    narrower = normal_change(rng, "fairness.accuracy.ratio", 0.1, slice=Slice.of(g="*"))
    share = normal_change(rng, "fairness.selection_rate", 0.1, slice=Slice.of(g="a"))
    family = worsened([wider, narrower, share], "m")
    assert family is not None
    assert [one.metric for one in family.shown] == ["fairness.accuracy.difference.change"]
    assert len(family.statements) == 2  # nobody says whether more of a selection rate is worse


def test_which_slices_failed_is_corrected_for_how_many_were_tested() -> None:
    def rates(shares: list[float]) -> list[Outcome]:
        found = []
        for i, share in enumerate(shares):
            low, high = wilson(share * 200, 200)
            found.append(figure("fairness.accuracy", share, low, high, unit=Unit.RATE, slice=Slice.of(g=str(i))))
        return found

    control = Control(id="c", says={"en": "s"}, metric="fairness.accuracy", slice={"g": "*"}, at_least=0.8)
    policy = Policy(name="p", version="1", title={"en": "p"}, controls=(control,))
    family = failed_slices(only(*rates([0.5, 0.735, *[0.85] * 18])), policy)
    assert family is not None
    assert [one.slice.label() for one in family.shown] == ["g=0"]
    assert family.statements[1].p < 0.05 < family.statements[1].adjusted
    assert family.to_json()["shown"][0]["control"] == "c"
    assert failed_slices(only(), policy) is None


def test_a_p_value_is_that_of_the_interval_at_its_end() -> None:
    one = figure("q", 0.6, 0.5, 0.75)
    assert chance_beyond(one, 0.5, above=True) == pytest.approx(0.025)
    assert chance_beyond(one, 0.75, above=False) == pytest.approx(0.025)
    assert chance_beyond(one, 0.75, above=True) == pytest.approx(0.975)
    clustered = figure("q", 0.6, 0.5, 0.75, counts={"clusters": 5})
    assert chance_beyond(clustered, 0.5, above=True) == pytest.approx(0.025)
    assert chance_beyond(clustered, 0.4, above=True) > chance_beyond(one, 0.4, above=True)
    exact, unbounded = figure("q", 0.6, 0.6, 0.6), figure("q", 0.6, None, 0.7)
    assert [chance_beyond(exact, bound, above=True) for bound in (0.5, 0.6, 0.7)] == [0.0, 1.0, 1.0]
    assert chance_beyond(unbounded, 0.5, above=True) == 1.0


# -- the command --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same data audited twice, the second time with a model that sees five words."""
    folder = tmp_path_factory.mktemp("audits")
    write_reviews(folder / "reviews.csv", n=400)
    models = {"kind": "tfidf-logistic"}
    shared = {"evaluators": [{"name": "quality", "draws": 200}, "fairness"], "policy": "regression"}
    good = write_config(folder / "good.yaml", models={"baseline": models}, **shared)
    poor = write_config(folder / "poor.yaml", models={"baseline": {**models, "max_features": 5}}, **shared)
    return {name: run_audit(path, out=folder / "runs").directory for name, path in (("good", good), ("poor", poor))}


@pytest.mark.slow
def test_a_gate_against_a_baseline_tells_judges_and_keeps_what_changed(audits: dict[str, Path]) -> None:
    invoke = CliRunner().invoke
    done = invoke(main, ["gate", str(audits["poor"]), "--baseline", str(audits["good"]), "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 1
    assert told["baseline"] == json.loads((audits["poor"] / "latest" / "changes.json").read_bytes())["baseline"]
    assert {one["metric"] for one in told["changes"]} > {"quality.auc.change", "drift.length", "drift.evidence"}
    assert {one["correction"] for one in told["statements"]} == {"Holm", "Benjamini-Hochberg"}

    again = last_terms(audits["poor"])  # without the baseline
    from governance.record import load_record

    assert again.judge(load_record(audits["poor"])).model_dump(mode="json")["models"] == told["models"]
    for language, word in (("en", "Since the earlier run"), ("zh", "与之前运行相比")):
        assert invoke(main, ["report", str(audits["poor"]), "--lang", language]).exit_code == 0
        page = (audits["poor"] / "latest" / "report.html").read_text("utf-8")
        assert word in page
        assert word in (audits["poor"] / "latest" / "summary.md").read_text("utf-8")
    shown = invoke(main, ["gate", str(audits["poor"]), "--baseline", str(audits["good"])])
    assert "Holm" in shown.stdout
    assert "Benjamini-Hochberg" in shown.stdout

    same = invoke(main, ["gate", str(audits["good"]), "--baseline", str(audits["good"]), "--json"])
    statuses = {finding["status"] for finding in json.loads(same.stdout)["models"][0]["findings"]}
    assert statuses <= {"pass", "unproven"}
    assert same.exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baseline", "nowhere"], "no such run directory"),
        (["--state", "s.jsonl"], "--state: expected --baseline beside it"),
    ],
)
def test_what_a_gate_needs_is_told(audits: dict[str, Path], options: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["gate", str(audits["good"]), *options])
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_state_without_a_baseline_is_a_mistake_from_python_too() -> None:
    from governance.conclude import gate_run

    with pytest.raises(ConfigError, match="expected --baseline"):
        gate_run(Path("nowhere"), state=Path("s"), language="en")


def test_families_are_made_only_of_what_is_there() -> None:
    assert families(only(), load_policy("regression")) == ()
