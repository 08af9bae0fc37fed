"""The membership attack: finds what is there, claims nothing where nothing is, and says when it can't look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.attack import members
from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.membership import MEMBERS, LossThreshold
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.measure import Measurement, NotMeasured, Outcome, Unit

LABELS = Labels(("差评", "好评"), "好评")
ALL = frozenset({Capability.CLASSIFY, Capability.SCORES})
NAMES = ("membership.auc", "membership.tpr_at_1pct_fpr")


def dataset(n: int, start: int, clusters=None) -> ScrubbedDataset:
    return ScrubbedDataset(
        rows=np.arange(n) + start,
        texts=tuple(ScrubbedText(f"第{start + i}条") for i in range(n)),
        labels=tuple(LABELS.classes[i % 2] for i in range(n)),
        groups={},
        clusters=np.arange(n) + start if clusters is None else np.asarray(clusters),
    )


def setting(members: int, others: int, **more) -> Setting:
    train, test = dataset(members, 0), dataset(others, 10_000)
    return Setting(labels=LABELS, train=train, test=test, find_personal=lambda _: [], **more)


def answers(asked: ScrubbedDataset, chance: np.ndarray, index: np.ndarray | None = None) -> Predictions:
    """Answers that give the true label this probability; NaN: the row failed."""
    index = np.arange(len(asked)) if index is None else index
    truth = LABELS.codes(asked.labels)[index]
    scores = np.stack([1 - chance, 1 - chance], axis=1)
    scores[np.arange(len(truth)), truth] = chance
    failed = np.isnan(chance)
    return Predictions(
        index=index,
        labels=tuple(None if bad else "好评" for bad in failed),
        scores=scores,
        failures=tuple("timed out" if bad else None for bad in failed),
        seconds=np.zeros(len(index)),
        tokens_in=None,
        tokens_out=None,
        outputs=None,
        personal=np.zeros(len(index), dtype=np.int64),
    )


def attack(within: Setting, inside: np.ndarray, outside: np.ndarray, **settings) -> dict[str, Outcome]:
    evaluator = LossThreshold(**({"draws": 300} | settings))
    asked = members(within, evaluator.rows)
    found = evaluator.measure(
        [Subject("m", ALL, {HELD_OUT: answers(within.test, outside), MEMBERS: answers(asked, inside)}, trained=True)],
        within,
    )
    assert tuple(x.metric for x in found) == NAMES
    assert {x.model for x in found} == {"m"}
    return {x.metric.removeprefix("membership."): x for x in found}


def measured(outcome: Outcome) -> Measurement:
    assert isinstance(outcome, Measurement), outcome
    assert outcome.low <= outcome.value <= outcome.high
    return outcome


def test_figures_agree_with_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    rng = np.random.default_rng(0)
    inside, outside = rng.beta(4, 2, 150), rng.beta(3, 2, 200)
    found = attack(setting(150, 200), inside, outside)
    member, chance = np.arange(350) < 150, np.concatenate([inside, outside])
    assert measured(found["auc"]).value == pytest.approx(roc_auc_score(member, chance))
    false, true, _ = roc_curve(member, chance, drop_intermediate=False)
    assert measured(found["tpr_at_1pct_fpr"]).value == pytest.approx(true[false <= 0.01].max())
    assert (found["auc"].unit, found["tpr_at_1pct_fpr"].unit) == (Unit.SCORE, Unit.RATE)
    assert found["auc"].n == 350
    assert found["auc"].counts == {"members": 150, "held_out": 200, "clusters": 350}


def test_a_model_that_remembers_is_caught() -> None:
    rng = np.random.default_rng(1)
    found = attack(setting(200, 200), rng.uniform(0.95, 1.0, 200), rng.uniform(0.3, 0.9, 200))
    assert measured(found["auc"]).value == 1.0
    assert 0.97 < found["auc"].low < 1.0
    assert measured(found["tpr_at_1pct_fpr"]).low > 0.9


def test_a_model_that_learnt_nothing_is_not_accused() -> None:
    """AUC is 1/2; the lower end may exceed it in 2.5% of runs. Tolerance: 2 points, tested at 0.1%."""
    rng, runs = np.random.default_rng(2), 200
    within = setting(80, 120)
    above = sum(measured(attack(within, rng.random(80), rng.random(120))["auc"]).low > 0.5 for _ in range(runs))
    assert binom.sf(above - 1, runs, 0.045) > 0.001


def test_clusters_shared_by_both_sides_are_resampled_together() -> None:
    """A product that is easy to judge lifts its members and non-members alike: that says nothing of membership."""
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(30), 10)
    easy = rng.random(30)[codes]
    within = replace(setting(300, 300), train=dataset(300, 0, codes), test=dataset(300, 10_000, codes))
    apart = replace(within, test=dataset(300, 10_000, codes + 30))
    inside, outside = (np.clip(easy + 0.05 * rng.normal(size=300), 0.01, 0.99) for _ in range(2))
    together, separate = (measured(attack(w, inside, outside)["auc"]) for w in (within, apart))
    assert together.value == separate.value
    assert together.high - together.low < 0.6 * (separate.high - separate.low)
    assert (together.counts["clusters"], separate.counts["clusters"]) == (30, 60)


def test_a_probability_of_zero_ranks_lowest_and_ties_count_half() -> None:
    found = attack(setting(2, 2), np.array([0.0, 0.5]), np.array([0.0, 0.5]))
    assert measured(found["auc"]).value == 0.5
    assert measured(attack(setting(2, 2), np.array([0.5, 0.5]), np.array([0.0, 0.1]))["auc"]).value == 1.0


@pytest.mark.parametrize(("others", "enough"), [(99, False), (100, True)])
def test_one_percent_needs_a_hundred_held_out_rows(others: int, enough: bool) -> None:
    rng = np.random.default_rng(4)
    outcome = attack(setting(50, others), rng.random(50), rng.random(others))["tpr_at_1pct_fpr"]
    if enough:
        measured(outcome)
    else:
        assert isinstance(outcome, NotMeasured)
        assert outcome.reason == "99 held-out rows, 100 needed to see a false-positive rate of 1%"


def test_failed_rows_are_left_out() -> None:
    inside, outside = np.full(20, 0.9), np.full(120, 0.5)
    inside[:15] = outside[:20] = np.nan
    found = attack(setting(20, 120), inside, outside)
    assert measured(found["auc"]).counts["members"] == 5
    assert measured(found["tpr_at_1pct_fpr"]).counts["held_out"] == 100
    nothing = attack(setting(20, 120), np.full(20, np.nan), outside)
    assert {x.reason for x in nothing.values() if isinstance(x, NotMeasured)} == {
        "0 training and 100 held-out rows with scores"
    }


def test_the_probe_is_a_seeded_sample_of_training_rows() -> None:
    within = setting(50, 10)
    [probe] = LossThreshold(rows=20).probes(within)
    assert (probe.name, probe.trained_only, probe.needs) == (MEMBERS, True, frozenset({Capability.SCORES}))
    assert len(set(probe.texts)) == 20
    assert set(probe.texts) < set(within.train.texts)
    assert LossThreshold(rows=20).probes(within) == LossThreshold(rows=20).probes(within)
    assert LossThreshold(rows=20).probes(replace(within, seed=1)) != LossThreshold(rows=20).probes(within)
    assert members(within, 20).texts == probe.texts  # what is measured is what was asked
    [everything] = LossThreshold(rows=500).probes(within)
    assert everything.texts == within.train.texts
    assert LossThreshold().probes(setting(0, 10)) == ()


def test_only_some_members_may_be_asked() -> None:
    within, evaluator = setting(50, 100), LossThreshold(draws=200)
    some = np.array([3, 8, 40])
    found = evaluator.measure(
        [
            Subject(
                "m",
                ALL,
                {
                    HELD_OUT: answers(within.test, np.full(100, 0.5)),
                    MEMBERS: answers(within.train, np.array([0.9, 0.8, 0.7]), some),
                },
                trained=True,
            )
        ],
        within,
    )
    assert measured(found[0]).value == 1.0
    assert measured(found[0]).counts["members"] == 3


def test_why_there_is_no_figure() -> None:
    within = setting(30, 100)
    held_out, members = answers(within.test, np.full(100, 0.5)), answers(within.train, np.full(30, 0.5))
    both = {HELD_OUT: held_out, MEMBERS: members}
    cases = {
        "not trained by this audit, so its training data are unknown": Subject("m", ALL, both, trained=False),
        "gives labels without scores": Subject("m", frozenset({Capability.CLASSIFY}), both, trained=True),
        "was not asked about its training rows": Subject("m", ALL, {HELD_OUT: held_out}, trained=True),
    }
    for reason, subject in cases.items():
        found = LossThreshold().measure([subject], within)
        assert [(x.metric, x.model) for x in found] == [(name, "m") for name in NAMES]
        assert {x.reason for x in found if isinstance(x, NotMeasured)} == {reason}
    unscored = replace(held_out, scores=None)
    found = LossThreshold().measure([Subject("m", ALL, {HELD_OUT: unscored, MEMBERS: members}, trained=True)], within)
    assert {x.reason for x in found if isinstance(x, NotMeasured)} == {"gives labels without scores"}


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="rows: expected at least 1, got 0"):
        LossThreshold(rows=0)
    [probe] = LossThreshold(rows=1).probes(setting(5, 5))
    assert len(probe.texts) == 1


def test_whose_membership_is_easier_to_tell() -> None:
    """Group b is memorised, group 甲 is not, and one group is too small to say."""
    rng = np.random.default_rng(0)
    within = setting(600, 600)
    names = np.array(["甲", "b", "few"], dtype=object)[rng.choice(3, 1_200, p=[0.49, 0.49, 0.02])]
    names[0] = None
    train = replace(within.train, groups={"g": tuple(names[:600])})
    test = replace(within.test, groups={"g": tuple(names[600:])})
    within = replace(within, train=train, test=test)
    inside = np.where(names[:600] == "b", rng.uniform(0.7, 1, 600), rng.uniform(0.4, 1, 600))
    outside = rng.uniform(0.4, 1, 600)
    evaluator = LossThreshold(draws=300)
    asked = members(within, evaluator.rows)
    inside = inside[asked.rows]
    given = {HELD_OUT: answers(within.test, outside), MEMBERS: answers(asked, inside)}
    found = {
        (x.metric, x.slice.label()): x for x in evaluator.measure([Subject("m", ALL, given, trained=True)], within)
    }
    told, hidden = (measured(found["membership.auc", f"g={name}"]) for name in ("b", "甲"))
    assert told.low is not None
    assert told.low > 0.6
    assert hidden.low is not None
    assert hidden.high is not None
    assert hidden.low < 0.5 < hidden.high
    gap = measured(found["membership.auc.difference", "g=*"])
    assert gap.value == pytest.approx(told.value - hidden.value)
    assert gap.low is not None
    assert gap.low > 0
    assert gap.counts == {"groups": 2, "groups_too_small": 2}
    small = found["membership.auc", "g=few"]
    assert isinstance(small, NotMeasured)
    assert small.reason.endswith("rows on one side, 50 needed")
    assert ("membership.auc", "g=(missing)") in found


def test_the_roc_passes_through_the_figures_and_speaks_of_models_that_can_be_attacked() -> None:
    rng = np.random.default_rng(3)
    within, inside, outside = setting(150, 200), rng.beta(4, 2, 150), rng.beta(3, 2, 200)
    evaluator = LossThreshold(draws=300)
    asked = members(within, evaluator.rows)
    given = {HELD_OUT: answers(within.test, outside), MEMBERS: answers(asked, inside)}
    others = [Subject("closed", ALL, given, trained=False), Subject("labels", frozenset(), given, trained=True)]
    subjects = [Subject("m", ALL, given, trained=True), *others]
    [curve] = evaluator.curves(subjects, within)
    found = {outcome.metric: outcome for outcome in evaluator.measure(subjects[:1], within)}
    assert (curve.kind, curve.model, curve.n) == ("membership-roc", "m", 350)
    assert dict(curve.points)[0.01] == found["membership.tpr_at_1pct_fpr"].value  # type: ignore[union-attr]
    assert curve.points[-1] == (1.0, 1.0)
