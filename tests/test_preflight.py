"""Before money is spent: rows that are said to do do, costs are what servers see, and who can't pass is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from evaluators.fairness import GroupGaps
from governance.audit import run_audit
from governance.backends.limits import Limits, most
from governance.cli import main
from governance.compare import Side, paired_differences
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.measure import Measurement, Outcome
from governance.policy import Control, Policy
from governance.policy.scope import Scope
from governance.preflight import Assumed, HeldOut, Need, Standing, api_bill, needs, sizes_of
from governance.statistics.bootstrap import Ranking
from governance.statistics.intervals import clustered_wilson, wilson
from governance.statistics.planning import Cells, auc_variance, f1_variance, gap_power, quantile_rows, rows_past
from governance.training.vendor.examples import estimate_tokens
from tests.fakeserver import Fake, Play, fake_server
from tests.test_classification import measure, predictions, setting, subject
from tests.tiny import write_config, write_reviews

BINARY = Labels(("no", "yes"), "yes")
MODELS = {"new": frozenset({"trained", "scores", "seconds"}), "old": frozenset({"trained", "scores"})}
EXACT = Assumed(correlation=0.0)


def control(metric: str, *, id: str = "c", **more: Any) -> Control:
    return Control.model_validate({"id": id, "says": {"en": "s"}, "metric": metric, "models": "candidate", **more})


def policy(*controls: Control, **more: Any) -> Policy:
    return Policy(name="p", version="1", title={"en": "P"}, controls=controls, **more)


def scope(groups: tuple[str, ...] = (), **more: Any) -> Scope:
    makers: dict[str, Any] = {"quality": {}, "fairness": {"depth": 1}, "membership": {}, "claim": {}}
    return Scope(
        audit="a", candidate="new", incumbent="old", models=MODELS, makers=makers, groups=groups, level=0.95,
        positive=True, **more,
    )  # fmt: skip


def rows(n: int, *, share: float = 0.5, size: int = 1, **groups: tuple[str | None, ...]) -> HeldOut:
    positive = round(n * share)
    return HeldOut(np.arange(n) // size, ("yes",) * positive + ("no",) * (n - positive), "yes", groups)


def planned(one: Control, held: HeldOut, assumed: Assumed = EXACT, **more: Any) -> list[Need]:
    named = tuple(held.groups)
    return needs(policy(one), scope(named, **more), {"new": held, "old": held}, assumed)


def needed(one: Control, assumed: Assumed = EXACT, *, share: float = 0.5, size: int = 1) -> int:
    """Rows, all else alike, where there are very many."""
    (found,) = planned(one, rows(60_000, share=share, size=size), assumed)
    assert found.needs is not None
    assert found.standing is Standing.ENOUGH
    return found.needs


# -- rows: pins and simulations --------------------------------------------------------------------


def test_pins() -> None:
    smaller = control("quality.accuracy.difference", reference="incumbent", at_least=0.0)
    assert needed(smaller, Assumed(margin=0.02, variance=0.10, correlation=0)) == 1963  # Miller (2024)
    assert needed(control("quality.accuracy", at_least=0.75)) == 563
    assert needed(control("quality.accuracy", at_least=0.75), Assumed(correlation=0.1), size=5) == 787  # x 1.4
    assert quantile_rows(0.95) == 72
    assert auc_variance(0.5, 0.5) == pytest.approx(1 / 3)  # no signal: (1/12) (1/p + 1/(1 - p))


def test_variances_agree_with_simulations() -> None:
    """AUC of two exponentials, for which Hanley and McNeil's formula is exact, and F1 of errors that balance."""
    rng, n, share = np.random.default_rng(0), 400, 0.3
    truth = (np.arange(n) < share * n).astype(int)
    aucs = [Ranking(rng.exponential(np.where(truth, 4.0, 1.0)), truth).auc()[0] for _ in range(1500)]
    assert np.mean(aucs) == pytest.approx(0.8, abs=0.01)
    assert np.var(aucs) * n == pytest.approx(auc_variance(0.8, share), rel=0.12)
    scores = []
    for _ in range(1500):
        truth = (rng.random(n) < share).astype(int)
        wrong = np.where(truth, 0.2, 0.2 * share / (1 - share))
        given = np.where(rng.random(n) < wrong, 1 - truth, truth)
        scores.append(2 * (given & truth).sum() / (given.sum() + truth.sum()))
    assert np.var(scores) * n == pytest.approx(f1_variance(0.8, share), rel=0.12)


@pytest.mark.parametrize(("bound", "truth"), [(0.75, 0.8), (0.9, 0.95), (0.3, 0.25), (0.98, 1.0), (0.05, 0.01)])
def test_that_many_rows_prove_a_rate_as_often_as_promised(bound: float, truth: float) -> None:
    n = rows_past(bound, truth)
    ends = [wilson(hits, n) for hits in range(n + 1)]
    proven = [end.low >= bound if truth > bound else end.high <= bound for end in ends]
    chance = float(binom.pmf(np.arange(n + 1), n, truth) @ proven)
    assert chance == pytest.approx(1.0 if truth == 1 else 0.8, abs=0.045)  # whole rows, and an approximation


def test_that_many_rows_in_clusters_prove_a_rate_as_often_as_promised() -> None:
    n = needed(control("quality.accuracy", at_least=0.75), Assumed(correlation=0.15), size=6)
    rng, correlation, runs, proven = np.random.default_rng(1), 0.15, 400, 0
    clusters = n // 6
    scale = 1 / correlation - 1
    for _ in range(runs):
        hits = rng.binomial(6, rng.beta(0.8 * scale, 0.2 * scale, clusters))
        proven += clustered_wilson(hits, np.full(clusters, 6)).low >= 0.75
    assert 0.74 < proven / runs < 0.86


def weighed(rng: np.random.Generator, n: int, right: float) -> dict[str, Outcome]:
    """A model that recognises both classes so often, with scores of that AUC."""
    truth = np.where(rng.random(n) < 0.3, "yes", "no")
    given = np.where(rng.random(n) < right, truth, np.where(truth == "yes", "no", "yes"))
    signal = rng.exponential(np.where(truth == "yes", right / (1 - right), 1.0))
    chance = signal / (1 + signal)
    found = predictions(list(given), np.stack([1 - chance, chance], axis=1))
    test = ScrubbedDataset(np.arange(n), (ScrubbedText("t"),) * n, tuple(truth), {}, np.arange(n))
    return measure(subject("new", found), within=setting(BINARY, test))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["balanced_accuracy", "auc"])
def test_that_many_rows_prove_a_score_as_often_as_promised(name: str) -> None:
    n = needed(control(f"quality.{name}", at_least=0.75), share=0.3)
    rng, runs = np.random.default_rng(2), 200
    lows = [outcome.low for _ in range(runs) if isinstance(outcome := weighed(rng, n, 0.8)[name], Measurement)]
    proven = sum(low >= 0.75 for low in lows if low is not None)
    assert 0.70 < proven / runs < 0.90


def test_that_many_rows_prove_a_difference_as_often_as_promised() -> None:
    one = control("quality.accuracy.difference", reference="incumbent", at_least=-0.05)
    n = needed(one)
    rng, runs, proven, truth = np.random.default_rng(3), 300, 0, np.zeros(n, dtype=np.int64)
    for _ in range(runs):
        differ, first = rng.random(n) < 0.10, rng.random(n) < 0.5
        wrong = rng.random(n) < 0.2
        a = np.where(differ, first, wrong).astype(np.int64)
        b = np.where(differ, ~first, wrong).astype(np.int64)
        sides = Side("new", np.arange(n), a), Side("old", np.arange(n), b)
        found = paired_differences(*sides, truth, np.arange(n), BINARY, draws=300)[0]
        proven += isinstance(found, Measurement) and found.low is not None and found.low >= -0.05
    assert 0.72 < proven / runs < 0.88


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "bound"),
    [("accuracy.difference", {"at_most": 0.15}), ("selection_rate.ratio", {"at_least": 0.8})],
)
def test_that_many_rows_show_that_groups_are_alike_as_often_as_promised(metric: str, bound: dict[str, float]) -> None:
    """With the evaluator itself, on groups of half, a third and a sixth of the rows."""

    def groups(n: int) -> tuple[str, ...]:
        return ("a",) * (n // 2) + ("b",) * (n // 3) + ("c",) * (n - n // 2 - n // 3)

    held = rows(3000, share=0.6, group=groups(3000))
    (found,) = planned(control(f"fairness.{metric}", slice="any", **bound), held)
    assert found.needs is not None
    n, rng, runs, proven = found.needs, np.random.default_rng(4), 150, 0
    for _ in range(runs):
        truth = np.where(rng.random(n) < 0.6, "yes", "no")
        given = np.where(rng.random(n) < 0.85, truth, np.where(truth == "yes", "no", "yes"))
        if metric.startswith("selection"):  # as planned: selected as often as rows are positive
            given = np.where(rng.random(n) < 0.6, "yes", "no")
        test = ScrubbedDataset(np.arange(n), (ScrubbedText("t"),) * n, tuple(truth), {"group": groups(n)}, np.arange(n))
        outcomes = GroupGaps(depth=1).measure([subject("new", predictions(list(given)))], setting(BINARY, test))
        gap = next(one for one in outcomes if one.metric == f"fairness.{metric}")
        assert isinstance(gap, Measurement)
        assert gap.low is not None
        assert gap.high is not None
        proven += gap.high <= 0.15 if "at_most" in bound else gap.low >= 0.8
    assert 0.68 < proven / runs < 0.92


def test_planned_intervals_of_groups_are_wilsons() -> None:
    from governance.statistics.planning import _wilson

    hits, sizes = np.array([[0.0, 3.0, 10.0]]), np.array([7.0, 9.0, 10.0])
    low, high = _wilson(hits, sizes, 0.97)
    for place, (k, n) in enumerate(zip(hits[0], sizes, strict=True)):
        assert (low[0, place], high[0, place]) == pytest.approx(wilson(k, n, 0.97), abs=1e-12)


def test_more_rows_show_more() -> None:
    cells = [Cells((40, 60, 100), 0.8)]
    chances = [gap_power(cells, 0.2, ratio=False, times=times) for times in (1, 2, 4, 8)]
    assert chances == sorted(chances)
    assert (chances[0], chances[-1]) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))


# -- what a control comes to -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "standing", "says"),
    [
        (control("quality.accuracy", at_least=0.75), Standing.SHORT, "if it is truly 0.8"),
        (control("quality.accuracy", at_least=0.3, end="value"), Standing.ENOUGH, "the figure itself"),
        (control("quality.coverage", at_least=0.97), Standing.ENOUGH, "if it is truly 1"),
        (control("quality.recall", at_least=0.8), Standing.SHORT, "if it is truly 0.85"),
        (control("quality.f1", at_least=0.2), Standing.SHORT, "if it is truly 0.25"),
        (control("quality.accuracy", at_least=1.0), Standing.NEVER, "no interval keeps such a bound"),
        (control("quality.latency_p95", at_most=2), Standing.ENOUGH, "no upper end"),
        (control("quality.cost", at_most=2), Standing.NEVER, "no price is stated for it"),
        (control("privacy.epsilon", at_most=8), Standing.NEVER, "it isn't trained with differential privacy"),
        (control("data.shared_texts", at_most=0), Standing.OTHER, "an exact figure"),
        (control("membership.auc", at_most=0.6), Standing.OTHER, "not a matter of how many rows"),
        (control("fairness.accuracy.difference", slice="any", at_most=0.1), Standing.NEVER, "no group columns"),
        (control("quality.auc.change", reference="baseline", at_least=0), Standing.OTHER, "not a matter"),
    ],
)  # fmt: skip
def test_what_a_control_comes_to(one: Control, standing: Standing, says: str) -> None:
    (found,) = planned(one, rows(300, share=0.4))
    assert (found.standing, says in found.says) == (standing, True), found


def test_rows_of_a_class_and_of_a_smaller_sample_count_as_such() -> None:
    whole, few = rows(4000, share=0.25), rows(100)
    accuracy, recall = (needed(control(f"quality.{name}", at_least=0.8), share=0.25) for name in ("accuracy", "recall"))
    assert recall == pytest.approx(4 * accuracy, abs=4)
    both = control("quality.accuracy.difference", reference="incumbent", at_least=-0.05)
    (found,) = needs(policy(both), scope(), {"new": whole, "old": few})
    assert (found.has, found.standing) == (100, Standing.SHORT)


def test_one_cluster_says_nothing() -> None:
    (found,) = planned(control("quality.accuracy", at_least=0.5), rows(300, size=300))
    assert (found.standing, found.needs) == (Standing.SHORT, None)
    assert "one cluster" in found.says


def test_groups_that_are_too_few_too_small_or_wanted_alone() -> None:
    column = ("北京",) * 200 + ("上海",) * 150 + (None,) * 20
    held = HeldOut(np.arange(370), ("yes", "no") * 185, "yes", {"city": column})
    gap = control("fairness.accuracy.difference", slice={"city": "*"}, at_most=0.2)
    (found,) = planned(gap, held)
    assert (found.slice, found.standing) == ("city=*", Standing.ENOUGH)
    assert "2 of 3 groups" in found.says
    (alone,) = planned(
        gap, HeldOut(np.arange(60), ("yes", "no") * 30, "yes", {"city": ("北京",) * 50 + ("上海",) * 10})
    )
    assert (alone.standing, alone.needs, alone.says) == (
        Standing.SHORT, None, "1 of 2 groups large enough, 2 needed",
    )  # fmt: skip
    (one,) = planned(control("fairness.accuracy", slice={"city": "上海"}, at_least=0.8), held)
    # 500 rows for .85 above .80; of 370 rows, 150 are of the group.
    assert one.needs == pytest.approx(rows_past(0.8, 0.85) * 370 / 150, rel=0.03)  # and t quantiles for 150 clusters


def test_a_parameter_nobody_confirmed_and_a_level_nobody_makes_never_do() -> None:
    unsure = policy(control("quality.accuracy", at_least="x"), parameters={"x": {"value": 0.5, "says": {"en": "x"}}})
    (found,) = needs(unsure, scope(), {"new": rows(900), "old": rows(900)})
    assert (found.standing, "nobody has confirmed" in found.says) == (Standing.NEVER, True)
    strict = policy(control("quality.accuracy", at_least=0.5), level=0.99)
    (found,) = needs(strict, scope(), {"new": rows(900), "old": rows(900)})
    assert (found.standing, "level: 0.99" in found.says) == (Standing.NEVER, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"margin": 0.0}, "margin"), ({"power": 0.5}, "power"), ({"correlation": 1.5}, "correlation"),
     ({"variance": float("nan")}, "variance"), ({"rate": 1.0}, "rate")],
)  # fmt: skip
def test_assumptions_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}: expected a number"):
        Assumed(**change)


# -- costs -----------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.text(max_size=40), max_size=5))
def test_about_never_exceeds_at_most_and_equal_texts_are_asked_once(system: str, shell: str, texts: list[str]) -> None:
    sizes = sizes_of(system.replace("\ud800", ""), shell.replace("\ud800", ""), texts)
    assert len(sizes) == len(set(texts))
    assert all(size.about <= size.most for size in sizes)


def test_a_bill_by_hand() -> None:
    sizes = sizes_of("系统", "问：", ["很好", "very good", "很好"])
    around, reserved = 4 + 4 + 11, 6 + 6 + 64
    assert [size.about for size in sizes] == [around + 4, around + 3]
    assert [size.most for size in sizes] == [reserved + 6, reserved + 9]
    limits = Limits(price=(10.0, 100.0), budget=0.00625, requests_per_minute=1, tokens_per_minute=10)
    bill = api_bill("m", 3, sizes, max_tokens=20, limits=limits, concurrency=1)
    read = 2 * around + 7
    assert (bill.requests, bill.rows, bill.about.read, bill.about.written) == (2, 3, read, 40)
    assert bill.cost == pytest.approx((read * 10 + 40 * 100) / 1e6)
    assert bill.cost_most == pytest.approx(((2 * reserved + 15) * 10 + 40 * 100) / 1e6)
    assert bill.minutes == pytest.approx((read + 40) / 10 - 1)
    # One request under way holds its most beside what is spent: here that is more than all can cost.
    assert bill.cost_most < 0.00625
    assert bill.covered
    tight = api_bill("m", 3, sizes, max_tokens=20, limits=Limits(price=(10.0, 100.0), budget=0.004), concurrency=1)
    assert not tight.covered
    assert tight.says == "set budget to at least 0.0057, or rows to fewer"
    assert api_bill("m", 3, sizes, max_tokens=20, limits=Limits()).cost is None


# -- the command -----------------------------------------------------------------------------------


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def closed(url: str, **changes: Any) -> dict[str, Any]:
    price = {"read": 1.0, "written": 2.0}
    return {
        "kind": "openai", "base_url": url, "model": "x", "prompt": "recommend.en.v1", "concurrency": 1,
        "price_per_million_tokens": price, **changes,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_reviews(tmp_path / "reviews.csv", 200)
    write_policy(tmp_path, {"quality.coverage": 0.5})
    return tmp_path


def write_policy(folder: Path, bounds: dict[str, float], **more: Any) -> None:
    controls = [
        {"id": metric, "says": {"en": "s"}, "metric": metric, "at_least": bound, **more}
        for metric, bound in bounds.items()
    ]
    made = {"name": "own", "version": "1", "title": {"en": "Own"}, "controls": controls}
    (folder / "own.yaml").write_text(yaml.safe_dump(made))


def config(folder: Path, **changes: Any) -> Path:
    wanted = {"policy": "own.yaml", "evaluators": [{"name": "quality", "draws": 200}], **changes}
    return write_config(folder / "audit.yaml", **wanted)


GENEROUS = ("--margin", "0.4")
"""With it, the fifty rows of the tests' data can decide `quality.coverage` at 0.5."""


def told(folder: Path, **changes: Any) -> tuple[dict[str, Any], int]:
    result = run("preflight", config(folder, **changes), "--json", *GENEROUS)
    return json.loads(result.stdout), result.exit_code


def counting(message: str, _before: int) -> Play:
    """Charges what the estimate thinks, and answers of full length."""
    read = estimate_tokens(message)
    return Play("Yes", extra={"usage": {"prompt_tokens": read, "completion_tokens": 8, "total_tokens": read + 8}})


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server(counting) as fake:
        yield fake


@pytest.mark.slow
def test_the_server_is_asked_what_was_planned_and_the_budget_named_will_do(folder: Path, server: Fake) -> None:
    models = {"m": closed(server.url, rows=20)}
    (bill,) = told(folder, models=models, candidate="m")[0]["bills"]
    budget = bill["cost"] + 2 * bill["most"]["read"] / bill["requests"] / 1e6 + 16 / 1e6
    models["m"]["budget"] = budget
    plan, code = told(folder, models=models, candidate="m")
    assert (code, plan["bills"][0]["covered"]) == (0, True)
    result = run_audit(config(folder, models=models, candidate="m"), out=folder / "runs")
    coverage = next(one for one in result.record.outcomes if one.metric == "quality.coverage")
    assert isinstance(coverage, Measurement)
    assert coverage.value == 1.0
    assert bill["requests"] == len(server.messages) == coverage.n
    asked = [[part["content"] for part in body["messages"]] for body in server.bodies]
    data = result.record.data
    assert plan["rows"] == {
        "held_out": data.rows_test, "trained_on": data.rows_train, "clusters": data.clusters_test,
    }  # fmt: skip
    # No text here holds personal data, so the bytes that left are the very bytes that were counted.
    assert bill["most"]["read"] == sum(most(system, message, 0).read for system, message in asked)
    # "About" adds what stands between messages, and rounds every part up.
    real = sum(estimate_tokens(system) + estimate_tokens(message) for system, message in asked)
    assert 0 < bill["about"]["read"] - real <= 13 * len(asked)
    assert bill["about"]["written"] == 8 * len(asked)


@pytest.mark.slow
def test_a_budget_that_is_said_to_be_too_small_is(folder: Path, server: Fake) -> None:
    models = {"m": closed(server.url)}
    cost = told(folder, models=models, candidate="m")[0]["bills"][0]["cost"]
    models["m"]["budget"] = cost * 0.5
    result = run("preflight", config(folder, models=models, candidate="m"))
    assert result.exit_code == 3
    assert "models.m.budget:" in result.stdout
    ended = run_audit(config(folder, models=models, candidate="m"), out=folder / "runs")
    coverage = next(one for one in ended.record.outcomes if one.metric == "quality.coverage")
    assert isinstance(coverage, Measurement)
    assert coverage.value < 1


def test_nothing_is_asked_needed_or_quoted(folder: Path, server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    models = {"m": closed(server.url, api_key_env="NO_SUCH_KEY")}
    result = run("preflight", config(folder, models=models, candidate="m"), *GENEROUS)
    assert result.exit_code == 0, result.output
    assert server.messages == []
    for line in (folder / "reviews.csv").read_text().splitlines()[1:]:
        assert line.split(",")[0] not in result.output


def test_exit_codes_and_what_to_do(folder: Path) -> None:
    fine = run("preflight", config(folder), *GENEROUS)
    assert fine.exit_code == 0, fine.output
    assert "baseline can pass with these rows, if it is as good as assumed." in fine.stdout
    write_policy(folder, {"quality.accuracy": 0.8})
    short = run("preflight", config(folder))
    assert short.exit_code == 3
    assert "Set data.rows or data.test_share higher" in short.stdout
    assert "NO: if it is truly 0.85" in " ".join(short.stdout.split())
    write_policy(folder, {"quality.accuracy": 0.8}, severity="warn")
    warned = run("preflight", config(folder))
    assert (warned.exit_code, "NO (only warns)" in warned.stdout) == (0, True)
    write_policy(folder, {"quality.cost": 0.0}, models="all")
    plan, code = told(folder, models={"baseline": {"kind": "tfidf-logistic"}})
    assert code == 3
    assert plan["undecided"] == ["quality.cost: everyone"]
    assert plan["controls"][0]["standing"] == "never"


def test_only_the_candidate_decides_the_exit_code_and_all_shows_the_others(folder: Path) -> None:
    write_policy(folder, {"quality.accuracy": 0.3})
    models = {"baseline": {"kind": "tfidf-logistic"}, "other": {"kind": "tfidf-logistic", "rows": 4}}
    found = run("preflight", config(folder, models=models), *GENEROUS)
    assert found.exit_code == 0, found.output
    assert "other, not the candidate: 1 of 1 can't be decided" in found.stdout
    assert "Rows that other needs" not in found.stdout
    assert "Rows that other needs" in run("preflight", config(folder, models=models), "--all").stdout
    assert run("preflight", config(folder, models=models, candidate="other")).exit_code == 3


def test_assumptions_can_be_set(folder: Path) -> None:
    write_policy(folder, {"quality.accuracy": 0.5})
    wide, narrow = (
        json.loads(run("preflight", config(folder), "--json", "--margin", margin).stdout)["controls"][0]["needs"]
        for margin in ("0.2", "0.1")
    )
    assert narrow > 3 * wide
    assert json.loads(run("preflight", config(folder), "--json", "--power", "0.9").stdout)["assumed"]["power"] == 0.9


def test_a_vendors_training_is_priced(folder: Path) -> None:
    tuned = {"base": "b", "epochs": 2, "budget": 100, "price_per_million_tokens": 10.0}
    model = closed("http://127.0.0.1:9/v1", model=None, fine_tune=tuned)
    plan, code = told(folder, models={"m": model}, candidate="m")
    (training,) = plan["trainings"]
    assert training["cost"] == pytest.approx(training["tokens"] * 2 * 10 / 1e6)
    assert (training["rows"], training["covered"], code) == (plan["rows"]["trained_on"], True, 0)
    model["fine_tune"] = {**tuned, "budget": training["cost"] / 2}
    refused = run("preflight", config(folder, models={"m": model}, candidate="m"))
    assert (refused.exit_code, "models.m.fine_tune.budget" in refused.stdout) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--margin", "2"], {}, "--margin: expected a number above 0 and below 1, got 2"),
        ([], {"sede": 1}, "sede: unknown key 'sede'. Did you mean 'seed'?"),
        ([], {"policy": "nowhere.yaml"}, "policy: "),
        ([], {"data": {"path": "nowhere.csv"}}, "data.path: nowhere.csv: no such file"),
        ([], {"models": {"m": closed("http://127.0.0.1:9/v1", prompt="no.such.v1")}, "candidate": "m"},
         "models.m.prompt: "),
    ],
)  # fmt: skip
def test_bad_configs_are_told(folder: Path, arguments: list[str], changes: dict[str, Any], message: str) -> None:
    result = run("preflight", config(folder, **changes), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_table_asks_nobody(folder: Path) -> None:
    columns = {"label": "label", "predicted": "label"}
    table = {"path": "reviews.csv", "kind": "classification", "columns": columns, "groups": ["department"]}
    (folder / "table.yaml").write_text(yaml.safe_dump({"audit": "t", "model": "m", "table": table}))
    result = run("preflight", folder / "table.yaml")
    assert result.exit_code == 2
    assert "an audit of a table asks no models" in result.stderr
