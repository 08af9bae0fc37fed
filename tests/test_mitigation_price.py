"""What fairness costs, measured: changes against known truths, gaps whose change is bounded, and honest absences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.mitigation import MitigationPrice
from evaluators.pairs import Pair
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.measure import ANY, EVERYONE, Measurement, NotMeasured, Outcome, Slice
from governance.statistics.gapchange import MOST_RATES, PairedRates

LABELS = Labels(("no", "yes"), "yes")
EVERY = Slice.of(team=ANY)


def setting(truth: Sequence[bool], clusters: Sequence[int] | None = None, **groups: Sequence[str | None]) -> Setting:
    n = len(truth)

    def rows(count: int) -> ScrubbedDataset:
        return ScrubbedDataset(
            rows=np.arange(count),
            texts=tuple(ScrubbedText(f"text {i}") for i in range(count)),
            labels=tuple("yes" if truth[i] else "no" for i in range(count)),
            groups={name: tuple(values[:count]) for name, values in groups.items()},
            clusters=np.array(clusters if clusters is not None else range(n), dtype=np.int64)[:count],
        )

    return Setting(labels=LABELS, train=rows(0), test=rows(n), find_personal=lambda texts: [[] for _ in texts])


def subject(name: str, said: Sequence[bool | None], of: str | None = None, **more: Any) -> Subject:
    labels = tuple(None if one is None else "yes" if one else "no" for one in said)
    n = len(labels)
    answers = Predictions(
        index=np.arange(n), labels=labels, scores=None, failures=tuple("f" if x is None else None for x in labels),
        seconds=np.zeros(n), tokens_in=None, tokens_out=None, outputs=None, personal=np.zeros(n, dtype=np.int64),
    )  # fmt: skip
    mitigates = "team" if of else None
    return Subject(
        name, frozenset({Capability.CLASSIFY}), {HELD_OUT: answers}, True, of=of, **{"mitigates": mitigates, **more}
    )


def random_case(n: int = 900, seed: int = 0) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Truth, teams, and the answers of a base and of a fairer model."""
    rng = np.random.default_rng(seed)
    teams = [("a", "b", "c")[i % 3] for i in range(n)]
    truth = rng.random(n) < 0.5
    right = rng.random(n) < np.array([{"a": 0.9, "b": 0.8, "c": 0.7}[team] for team in teams])
    base = np.where(right, truth, ~truth)
    return truth, teams, base, np.where(rng.random(n) < 0.15, ~base, base)


def measure(subjects: Sequence[Subject], where: Setting, **settings: Any) -> list[Outcome]:
    return list(MitigationPrice(**{"draws": 400, **settings}).measure(subjects, where))


def find(outcomes: Sequence[Outcome], metric: str, model: str, where: Slice = EVERYONE) -> Any:
    [found] = [o for o in outcomes if (o.metric, o.model, o.slice) == (f"mitigation.{metric}", model, where)]
    return found


def test_values_are_fairlearns() -> None:
    from fairlearn.metrics import MetricFrame, demographic_parity_difference, equalized_odds_difference
    from fairlearn.metrics import selection_rate as selected
    from fairlearn.metrics import true_positive_rate as found
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    truth, teams, base, fair = random_case()
    outcomes = measure([subject("base", base), subject("fair", fair, "base")], setting(truth, team=teams))
    gaps = {"demographic_parity": demographic_parity_difference, "equalized_odds": equalized_odds_difference}
    for name, function in gaps.items():
        levels = [function(truth, said, sensitive_features=teams) for said in (base, fair)]
        assert find(outcomes, name, "base", EVERY).value == pytest.approx(levels[0])
        assert find(outcomes, name, "fair", EVERY).value == pytest.approx(levels[1])
        change = find(outcomes, f"{name}.difference", "fair", EVERY)
        assert change.value == pytest.approx(levels[1] - levels[0])
        assert (change.counts["before"], change.counts["after"]) == pytest.approx(tuple(levels))
        assert change.reference == "base"
    for name, score in (("accuracy", accuracy_score), ("balanced_accuracy", balanced_accuracy_score)):
        change = find(outcomes, f"{name}.difference", "fair")
        assert change.value == pytest.approx(score(truth, fair) - score(truth, base))
    for name, rate in (("accuracy", accuracy_score), ("selection_rate", selected), ("true_positive_rate", found)):
        frames = [MetricFrame(metrics=rate, y_true=truth, y_pred=x, sensitive_features=teams) for x in (base, fair)]
        for team in "abc":
            change = find(outcomes, f"{name}.difference", "fair", Slice.of(team=team))
            assert change.value == pytest.approx(frames[1].by_group[team] - frames[0].by_group[team])
            assert change.low <= change.value <= change.high
    assert all(o.low <= o.value <= o.high for o in outcomes if isinstance(o, Measurement))


def test_nothing_is_measured_where_nobody_is_mitigated() -> None:
    truth, teams, base, _ = random_case(90)
    assert measure([subject("base", base), subject("other", base)], setting(truth, team=teams)) == []


def test_a_model_that_answers_alike_changed_nothing_and_is_not_called_certain() -> None:
    truth, teams, base, _ = random_case()
    outcomes = measure([subject("base", base), subject("fair", base, "base")], setting(truth, team=teams))
    changes = [o for o in outcomes if o.metric.endswith(".difference") and isinstance(o, Measurement)]
    assert len(changes) == 4 + 4 * 3
    assert all(o.value == 0 and o.low < 0 < o.high for o in changes)  # type: ignore[operator]


def test_other_columns_are_looked_at_too_and_their_groups_are_not_listed() -> None:
    truth, teams, base, fair = random_case()
    where = setting(truth, team=teams, sex=[("x", "y")[i % 2] for i in range(len(teams))])
    outcomes = measure([subject("base", base), subject("fair", fair, "base")], where)
    assert isinstance(find(outcomes, "equalized_odds.difference", "fair", Slice.of(sex=ANY)), Measurement)
    listed = {column for o in outcomes for column, value in o.slice if value != ANY}
    assert listed == {"team"}


def test_a_side_that_failed_is_no_change_of_zero() -> None:
    truth, teams, base, _ = random_case(90)
    silent: list[bool | None] = [None] * 90
    for said in ((base, silent), (silent, base)):
        outcomes = measure([subject("base", said[0]), subject("fair", said[1], "base")], setting(truth, team=teams))
        changes = [o for o in outcomes if o.metric.endswith(".difference")]
        assert {type(o) for o in changes} == {NotMeasured}
        assert {o.reason for o in changes if isinstance(o, NotMeasured)} == {
            "no held-out row was answered by both models"
        }
        assert {o.metric for o in changes} == {
            f"mitigation.{name}.difference"
            for name in ("accuracy", "balanced_accuracy", "demographic_parity", "equalized_odds")
        }
    alone = measure([subject("fair", base, "gone")], setting(truth, team=teams))
    assert {o.reason for o in alone if isinstance(o, NotMeasured) and o.metric.endswith("e")} == {
        "'gone' is not among the models that were run"
    }


def test_only_rows_that_both_answered_are_compared() -> None:
    truth, teams, base, fair = random_case()
    partly: list[Any] = [None if i % 5 == 0 else bool(x) for i, x in enumerate(fair)]
    outcomes = measure([subject("base", base), subject("fair", partly, "base")], setting(truth, team=teams))
    kept = np.arange(900) % 5 != 0
    change = find(outcomes, "accuracy.difference", "fair")
    assert change.n == kept.sum() == find(outcomes, "demographic_parity.difference", "fair", EVERY).n
    assert change.value == pytest.approx(((fair == truth)[kept]).mean() - ((base == truth)[kept]).mean())
    assert find(outcomes, "accuracy", "base").n == 900


def test_small_groups_have_no_figure_and_say_why() -> None:
    truth, _, base, fair = random_case(300)
    teams: list[str | None] = ["a"] * 140 + ["b"] * 140 + ["tiny"] * 18 + [None, "*"]
    where = setting(truth, team=teams)
    outcomes = measure([subject("base", base), subject("fair", fair, "base")], where)
    gap = find(outcomes, "demographic_parity.difference", "fair", EVERY)
    assert (gap.counts["groups"], gap.counts["groups_too_small"]) == (2, 3)
    for team, n in (("tiny", 18), ("(missing)", 1), ("(*)", 1)):
        missing = find(outcomes, "accuracy.difference", "fair", Slice.of(team=team))
        assert missing.reason == f"{n} rows, 30 needed"
    exact = measure([subject("base", base), subject("fair", fair, "base")], where, min_rows=140)
    assert find(exact, "demographic_parity", "base", EVERY).counts["groups"] == 2
    lonely = measure([subject("base", base), subject("fair", fair, "base")], where, min_rows=141)
    assert find(lonely, "equalized_odds", "base", EVERY).reason == "0 of 5 groups large enough, 2 needed"
    few = measure([subject("base", base), subject("fair", fair, "base")], where, min_class_rows=1000)
    assert (
        "positive rows among 140, 1000 needed"
        in find(few, "true_positive_rate.difference", "fair", Slice.of(team="a")).reason
    )
    assert isinstance(find(few, "demographic_parity", "fair", EVERY), Measurement)
    assert isinstance(find(few, "equalized_odds", "fair", EVERY), NotMeasured)


def test_too_many_groups_for_every_pair_are_told() -> None:
    n = MOST_RATES + 1
    truth = np.arange(n * 2) % 2 == 0
    teams = [f"team {i // 2}" for i in range(n * 2)]
    outcomes = measure(
        [subject("base", truth), subject("fair", truth, "base")],
        setting(truth, team=teams),
        min_rows=1,
        min_class_rows=1,
    )
    reason = f"{n} rates of groups, at most {MOST_RATES} can be compared pair by pair"
    assert find(outcomes, "demographic_parity.difference", "fair", EVERY).reason == reason


@pytest.mark.parametrize("setting_", ["min_rows", "min_class_rows", "draws"])
def test_settings_out_of_range_are_refused(setting_: str) -> None:
    with pytest.raises(ValueError, match=f"{setting_}: expected at least"):
        MitigationPrice(**{setting_: 0})


def test_clusters_widen_what_is_said() -> None:
    truth, teams, base, fair = random_case()
    clusters = [int(i // 30) for i in range(900)]
    order = np.argsort([f"{t}{x}{y}" for t, x, y in zip(teams, base == truth, fair == truth, strict=True)])
    where = [setting(truth[order], c, team=[teams[i] for i in order]) for c in (None, clusters)]
    widths = []
    for one in where:
        found = find(
            measure([subject("base", base[order]), subject("fair", fair[order], "base")], one),
            "selection_rate.difference", "fair", Slice.of(team="a"),
        )  # fmt: skip
        widths.append(found.high - found.low)
    assert widths[1] > 1.5 * widths[0]


def test_a_pair_of_one_model_with_itself_is_that_model() -> None:
    truth, teams, base, _ = random_case(90)
    pair = Pair(subject("base", base), subject("base", base), setting(truth, team=teams))
    assert np.array_equal(pair.rows, np.arange(90))
    assert np.array_equal(*pair.hits("selection_rate"))
    assert pair.among("true_positive_rate").sum() + pair.among("false_positive_rate").sum() == 90


# -- the change of a gap -------------------------------------------------------------------------


def drawn(
    rng: np.random.Generator, sizes: Sequence[int], before: Sequence[float], after: Sequence[float], apart: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two rules' decisions on the same rows of groups; `apart` is how independently they decide."""
    p, q = np.array(before), np.array(after)
    cells = rng.choice(len(sizes), size=sum(sizes), p=np.array(sizes) / sum(sizes))
    both = np.minimum(p, q) * (1 - apart)
    chances = np.stack([both, p - both, q - both], axis=1)[cells].cumsum(axis=1)
    kind = (rng.random(len(cells))[:, None] > chances).sum(axis=1)
    return (kind == 0) | (kind == 1), (kind == 0) | (kind == 2), cells


@pytest.mark.parametrize(
    ("sizes", "before", "after", "apart"),
    [
        ([400] * 4, [0.4, 0.45, 0.55, 0.6], [0.5] * 4, 0.1),  # closed: where a bootstrap of the gap fails
        ([500, 300, 100, 60], [0.5] * 4, [0.4, 0.5, 0.5, 0.6], 0.2),  # opened
        ([900, 300], [0.3, 0.3], [0.3, 0.3], 0.3),  # none before or after
        ([200] * 6, [0.4, 0.6, 0.5, 0.5, 0.5, 0.5], [0.4] * 3 + [0.6] * 3, 0.1),  # as wide, but harder to see
        ([60, 40, 30, 20], [0.03, 0.02, 0.05, 0.3], [0.05] * 4, 0.2),  # few rows, rates near 0
    ],
)
def test_the_bounds_of_a_gaps_change_hold_the_truth_as_often_as_they_say(
    sizes: list[int], before: list[float], after: list[float], apart: float
) -> None:
    rng, runs = np.random.default_rng(5), 100
    truth, missed, wrong, changed = float(np.ptp(after) - np.ptp(before)), 0, 0, 0
    for run in range(runs):
        b, a, cells = drawn(rng, sizes, before, after, apart)
        if len(np.unique(cells)) < len(sizes):
            continue
        pairs = PairedRates.of(b, a, cells, np.arange(len(b)), count=len(sizes), draws=300, seed=run)
        low, high = pairs.gap_change(0.95)
        missed += not low - 1e-12 <= truth <= high + 1e-12
        wrong += (low > 0 and truth <= 0) or (high < 0 and truth >= 0)
        each = zip(pairs.changes(0.95), np.array(after) - np.array(before), strict=True)
        changed += any(not ends.low - 1e-12 <= true <= ends.high + 1e-12 for ends, true in each)
    assert max(missed, wrong, changed) <= 11  # of 100 at 95%: more is rarer than 1 in 200


def test_the_bounds_can_tell_and_narrow_with_rows() -> None:
    widths = []
    for n in (500, 8000):
        b, a, cells = drawn(np.random.default_rng(0), [n, n], [0.3, 0.5], [0.4, 0.4], 0.1)
        low, high = PairedRates.of(b, a, cells, np.arange(2 * n), count=2, draws=500).gap_change()
        assert high < 0
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_equalised_odds_compares_rates_of_one_kind_only() -> None:
    before = np.array([1, 1, 0, 0] * 100, dtype=bool)
    cells = np.repeat(np.arange(4), 100)
    shared: dict[str, Any] = {"count": 4, "draws": 300}
    pairs = PairedRates.of(before, before, cells, np.arange(400), **shared)
    assert pairs.gap_change(parts=[0, 0, 1, 1]).low <= 0 <= pairs.gap_change(parts=[0, 0, 1, 1]).high
    high = np.concatenate([np.ones(200, dtype=bool), np.zeros(200, dtype=bool)])
    apart = PairedRates.of(before, high, cells, np.arange(400), **shared)
    assert apart.gap_change().low > 0.5  # 1, 1, 0, 0: a gap of 1 over all
    assert apart.gap_change(parts=[0, 0, 1, 1]).high < 0.3  # and of none within either kind


def test_what_has_no_gap_or_no_rows_is_refused() -> None:
    yes = np.ones(4, dtype=bool)
    pairs = PairedRates.of(yes, yes, [0, 0, 1, 1], [0, 1, 2, 3], count=2, draws=20)
    with pytest.raises(ValueError, match="one alone has no gap"):
        pairs.gap_change(parts=[0, 1])
    with pytest.raises(ValueError, match="level in"):
        pairs.gap_change(1.0)
    with pytest.raises(ValueError, match="rows in each of 3 cells"):
        PairedRates.of(yes, yes, [0, 0, 1, 1], [0, 1, 2, 3], count=3)
    with pytest.raises(ValueError, match="one length"):
        PairedRates.of(yes, yes[:3], [0, 0, 1, 1], [0, 1, 2, 3], count=2)
    many = MOST_RATES + 1
    with pytest.raises(ValueError, match="at most 48 rates"):
        PairedRates.of(np.ones(many), np.ones(many), range(many), range(many), count=many, draws=2).gap_change()


def test_one_cluster_says_nothing() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(80) < 0.5, rng.random(80) < 0.5
    pairs = PairedRates.of(before, after, np.arange(80) % 2, np.zeros(80), count=2, draws=100)
    assert pairs.gap_change() == (-1.0, 1.0)
    assert set(pairs.changes()) == {(-1.0, 1.0)}
    cells = np.where(np.arange(80) < 10, -1, np.arange(80) % 2)
    ignored = PairedRates.of(before, after, cells, np.arange(80), count=2, draws=100)
    assert ignored.rows.tolist() == [35, 35]
