"""What one thing costs: nothing where nothing differs, what was planted where it does, and intervals that hold."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm

from evaluators.attack import MEMBERS
from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.twins import TwinPrice
from governance import run_audit
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.errors import ConfigError
from governance.measure import EVERYONE, Measurement, NotMeasured, Outcome, Slice
from governance.prepare import prepare
from governance.privacy.checks import luhn
from governance.record import ModelEntry, RunRecord, Twin
from tests.tiny import write_config, write_encoder, write_reviews

LABELS = Labels(("no", "yes"), "yes")
ALL = frozenset({Capability.CLASSIFY, Capability.SCORES})
GROUPS = ("demographic_parity", "equalized_odds")
NAMES = {f"twin.{name}.difference" for name in ("accuracy", "balanced_accuracy", "f1", "auc", "cost", "membership_auc")}
NAMES |= {"twin.agreement", "twin.latency_p50.ratio"}


def rows(n: int, start: int = 0, clusters: int = 1) -> ScrubbedDataset:
    at = np.arange(n) + start
    return ScrubbedDataset(
        rows=at,
        texts=tuple(ScrubbedText(f"text {i}") for i in at),
        labels=tuple("yes" if i % 2 else "no" for i in at),
        groups={"team": tuple("ab"[(i // 2) % 2] for i in at)},
        clusters=at // clusters,
    )


def setting(held_out: int = 400, trained: int = 200, **more: Any) -> Setting:
    return Setting(
        labels=LABELS, train=rows(trained, 10_000), test=rows(held_out), find_personal=lambda _: [], **more
    )  # fmt: skip


def answers(asked: ScrubbedDataset, chance: np.ndarray, seconds: float | np.ndarray = 0.01, **more: Any) -> Predictions:
    """Answers that give the true label this probability; NaN: the row failed."""
    truth, n = LABELS.codes(asked.labels), len(asked)
    scores = np.stack([1 - chance, 1 - chance], axis=1)
    scores[np.arange(n), truth] = chance
    said = np.where(chance > 0.5, truth, 1 - truth)
    labels = tuple(None if np.isnan(c) else LABELS.classes[one] for c, one in zip(chance, said, strict=True))
    return Predictions(
        index=np.arange(n), labels=labels, scores=scores, failures=tuple("f" if x is None else None for x in labels),
        seconds=np.broadcast_to(np.asarray(seconds, dtype=float), n), outputs=None, personal=np.zeros(n, int),
        **{"tokens_in": None, "tokens_out": None, **more},
    )  # fmt: skip


def subject(name: str, held_out: Predictions, members: Predictions | None = None, **more: Any) -> Subject:
    given = {HELD_OUT: held_out, **({} if members is None else {MEMBERS: members})}
    return Subject(name, ALL, given, **{"trained": members is not None, "price_per_hour": 3.6, **more})


def measure(subjects: Sequence[Subject], where: Setting, **settings: Any) -> dict[tuple[str, Slice], Outcome]:
    found = TwinPrice(**{"draws": 300, **settings}).measure(subjects, where)
    return {(one.metric, one.slice): one for one in found}


def plain(found: dict[tuple[str, Slice], Outcome]) -> dict[str, Any]:
    return {metric: one for (metric, where), one in found.items() if where == EVERYONE}


def test_a_twin_that_answers_alike_costs_nothing_and_the_intervals_say_how_sure_that_is() -> None:
    where, rng = setting(), np.random.default_rng(0)
    chance, inside = rng.uniform(0.3, 0.9, 400), rng.uniform(0.3, 0.9, 200)
    one, other = (answers(where.test, chance), answers(where.train, inside)), (answers(where.test, chance), None)
    original = subject("a", other[0], answers(where.train, inside))
    found = measure([original, subject("b", *one, twin_of="a", twin_by="scrubbing")], where)
    assert {metric for metric, at in found if at == EVERYONE} == NAMES
    for (metric, _), outcome in found.items():
        assert isinstance(outcome, Measurement)
        assert (outcome.model, outcome.reference) == ("b", "a")
        assert outcome.value == (1.0 if metric in ("twin.agreement", "twin.latency_p50.ratio") else 0.0)
        if metric == "twin.cost.difference":  # a constant price per row is known
            assert (outcome.low, outcome.high) == (0, 0)
        elif metric == "twin.agreement":
            assert outcome.low < 1 == outcome.high
        else:
            assert outcome.low < outcome.value < outcome.high
    assert plain(found)["twin.accuracy.difference"].counts["p"] == 1.0


def test_what_was_planted_is_found() -> None:
    where, rng = setting(800, 400), np.random.default_rng(1)
    right = rng.random(800) < 0.9
    worse = right & (rng.random(800) < 0.85)
    original = subject(
        "a", answers(where.test, np.where(right, 0.8, 0.2), 0.02), answers(where.train, np.full(400, 0.95))
    )  # an attacker sees it
    private = subject(
        "b", answers(where.test, np.where(worse, 0.8, 0.2), 0.01),
        answers(where.train, np.where(np.arange(400) % 8, 0.8, 0.2)),
        twin_of="a", twin_by="differential-privacy",
    )  # fmt: skip
    found = plain(measure([private, original], where))
    accuracy = found["twin.accuracy.difference"]
    assert accuracy.value == pytest.approx(worse.mean() - right.mean())
    assert accuracy.high < -0.08
    assert accuracy.counts["p"] < 0.001
    assert "detectable" in accuracy.counts
    assert found["twin.agreement"].value == pytest.approx((worse == right).mean())
    time = found["twin.latency_p50.ratio"]
    assert time.value == pytest.approx(0.5)
    assert (time.counts["before"], time.counts["after"]) == (0.02, 0.01)
    assert found["twin.cost.difference"].value == pytest.approx(-0.01 * 1000 * 3.6 / 3600)
    attack = found["twin.membership_auc.difference"]
    assert attack.high < -0.2
    assert attack.value == pytest.approx(attack.counts["after"] - attack.counts["before"])


def test_groups_are_told_apart() -> None:
    """Twin b serves team b worse: its gap grows by what was planted."""
    where, rng = setting(2000), np.random.default_rng(2)
    team = np.array(where.test.groups["team"])
    right = rng.random(2000) < 0.95
    hurt = right & ~((team == "b") & (rng.random(2000) < 0.4))
    base, made = (subject(n, answers(where.test, np.where(r, 0.8, 0.2))) for n, r in (("a", right), ("b", hurt)))
    found = measure([base, replace(made, twin_of="a")], where)
    gap = found["twin.equalized_odds.difference", Slice.of(team="*")]
    assert isinstance(gap, Measurement)
    assert gap.low is not None
    assert gap.low > 0.2
    assert gap.value == pytest.approx(gap.counts["after"] - gap.counts["before"])


def test_only_rows_that_both_answered_are_compared() -> None:
    where = setting(100)
    mine, theirs = np.full(100, 0.8), np.full(100, 0.8)
    mine[:10], theirs[5:30] = np.nan, np.nan
    theirs[90:] = 0.2
    found = plain(
        measure(
            [subject("a", answers(where.test, theirs)), subject("b", answers(where.test, mine), twin_of="a")], where
        )
    )
    assert found["twin.accuracy.difference"].n == found["twin.agreement"].n == found["twin.latency_p50.ratio"].n == 70
    assert found["twin.accuracy.difference"].value == pytest.approx(10 / 70)
    assert found["twin.agreement"].value == pytest.approx(60 / 70)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_promise() -> None:
    """Two attacks whose AUCs are known, on scores that hang together; and the ratio of two medians."""
    runs, held, low, high = 120, {"attack": 0, "time": 0}, 0.9, 2.0
    truth = float(norm.cdf(0.2 / np.sqrt(2)) - norm.cdf(0.8 / np.sqrt(2)))
    where = setting(160, 160)
    for run in range(runs):
        rng = np.random.default_rng((7, run))
        shared = rng.normal(size=320)
        scores = [0.7 * shared + np.sqrt(1 - 0.49) * rng.normal(size=320) for _ in range(2)]
        busy = np.exp(rng.normal(size=160))
        sides = []
        for score, shift, factor in zip(scores, (0.8, 0.2), (low, high), strict=True):
            chance = norm.cdf(score + np.r_[np.full(160, shift), np.zeros(160)])
            inside, outside = np.clip(chance[:160], 1e-6, 1 - 1e-6), np.clip(chance[160:], 1e-6, 1 - 1e-6)
            seconds = factor * busy * np.exp(0.5 * rng.normal(size=160))
            sides.append((answers(where.test, outside, seconds), answers(where.train, inside)))
        pair = [subject("a", *sides[0]), subject("b", *sides[1], twin_of="a")]
        found = plain(measure(pair, replace(where, seed=run), draws=200))
        attack, time = found["twin.membership_auc.difference"], found["twin.latency_p50.ratio"]
        held["attack"] += attack.low <= truth <= attack.high
        held["time"] += time.low <= high / low <= time.high
    least = binom.ppf(0.005, runs, 0.95)
    assert min(held.values()) >= least, held


def test_why_there_is_nothing_is_said() -> None:
    where = setting(60, 30)
    fine = answers(where.test, np.full(60, 0.8))
    assert TwinPrice().measure([subject("a", fine)], where) == []
    gone = measure([subject("b", fine, twin_of="a")], where)
    assert {one.reason for one in gone.values() if isinstance(one, NotMeasured)} == {
        "'a' is not among the models that were run"
    }
    silent = answers(where.test, np.full(60, np.nan))
    none = measure([subject("a", silent), subject("b", fine, twin_of="a")], where)
    assert {getattr(one, "reason", "") for one in none.values()} == {"no held-out row was answered by both models"}
    assert len(none) == len(gone) == len(NAMES) + len(GROUPS)
    timeless = replace(fine, seconds=np.zeros(60), scores=None)
    odd = plain(
        measure([subject("a", fine, currency="EUR"), subject("b", timeless, twin_of="a", price_per_hour=None)], where)
    )
    reasons = {metric: one.reason for metric, one in odd.items() if isinstance(one, NotMeasured)}
    assert reasons == {
        "twin.auc.difference": "b gives labels without scores",
        "twin.latency_p50.ratio": "no row carries times of both models",
        "twin.cost.difference": "b: no price stated in the config",
        "twin.membership_auc.difference": "b: not trained by this audit, so its training data are unknown",
    }
    money = plain(measure([subject("a", fine, currency="EUR"), subject("b", fine, twin_of="a")], where))
    assert money["twin.cost.difference"].reason == "prices in USD and EUR"


def test_a_task_of_many_classes_has_no_gaps() -> None:
    where = setting(60)
    three = replace(where, labels=Labels(("no", "yes", "so-so"), None))
    side = answers(where.test, np.full(60, 0.8))
    side = replace(side, scores=np.column_stack([side.scores, np.zeros(60)]))  # type: ignore[list-item]
    found = measure([subject("a", side), subject("b", side, twin_of="a")], three)
    gaps = [one for (metric, _), one in found.items() if metric.split(".")[1] in GROUPS]
    assert {getattr(one, "reason", "") for one in gaps} == {"the task has 3 classes and none is declared positive"}
    assert isinstance(plain(found)["twin.accuracy.difference"], Measurement)


@pytest.mark.parametrize("wrong", [{"draws": 199}, {"min_rows": 0}, {"min_class_rows": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected at least"):
        TwinPrice(**wrong)


# -- in an audit -----------------------------------------------------------------------------------

TFIDF = {"kind": "tfidf-logistic", "price_per_hour": 0.1}
EVALUATORS = [{"name": "quality", "draws": 200}, {"name": "membership", "draws": 200}, {"name": "twins", "draws": 200}]


def write_telling(path: Path, language: str, n: int = 300) -> None:
    """Reviews whose class is told by whether a card or another number stands in them: placeholders give it away."""
    rng, lines = random.Random(0), ["text,label,team"]
    filler = {"en": ["dress", "size", "colour", "fabric", "seam"], "zh": ["裙子", "尺码", "颜色", "面料", "做工"]}[
        language
    ]
    for i in range(n):
        words, good = rng.choices(filler, k=6), rng.random() < 0.5
        card = f"4{rng.randrange(10**13, 10**14)}"
        card += next(digit for digit in "0123456789" if luhn(card + digit))
        words.append(card if good == (rng.random() < 0.95) else f"{rng.randrange(10**5, 10**6)}")
        lines.append(f"{' '.join(words)} {i},{'yes' if good else 'no'},{rng.choice('ab')}")
    path.write_text("\n".join(lines), encoding="utf-8")


def config(folder: Path, models: dict[str, Any], **more: Any) -> Path:
    data = {"path": "reviews.csv", "positive": "yes", "groups": ["team"]}
    return write_config(
        folder / "c.yaml", data=data, models=apart(models), candidate=next(iter(models)), evaluators=EVALUATORS, **more
    )  # fmt: skip


def apart(models: dict[str, Any]) -> dict[str, Any]:
    """The same, sharing nothing: YAML would write what two models share as an alias, which configs may not hold."""
    copied: dict[str, Any] = json.loads(json.dumps(models))
    return copied


def twin(of: str, by: str) -> dict[str, str]:
    return {"of": of, "by": by}


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_bill_of_scrubbing_is_shown(tmp_path: Path, language: str) -> None:
    """Placeholders give the class away and made-up cards don't, so here scrubbing "gains"; the page says it all."""
    write_telling(tmp_path / "reviews.csv", language)
    kept = {**TFIDF, "twin": twin("filled", "scrubbing")}
    models = {"kept": kept, "filled": {**TFIDF, "placeholders": "filled"}}
    source = config(tmp_path, models, language=language)
    done = run_audit(source, out=tmp_path / "runs", language=language)
    record: RunRecord = done.record
    assert record.model("kept").twin == Twin(of="filled", by="scrubbing")
    assert (record.model("kept").placeholders, record.model("filled").placeholders) == (None, "filled")
    [change] = [o for o in record.outcomes if o.metric == "twin.accuracy.difference"]
    assert isinstance(change, Measurement)
    assert change.low is not None
    assert change.low > 0.1
    page = next(done.directory.glob("out/*/report.html")).read_text("utf-8")
    card = next(done.directory.glob("out/*/card/kept.md")).read_text("utf-8")
    other = next(done.directory.glob("out/*/card/filled.md")).read_text("utf-8")
    told = {"en": ("What privacy costs", "not against the true ones"), "zh": ("隐私的代价", "而不是相对于真实值的代价")}
    assert all(said in page for said in told[language])
    assert told[language][1] in card
    assert told[language][1] not in other
    assert {"en": "Variants", "zh": "变体"}[language] not in page
    # To call two models twins, or not to, trains nothing and asks nothing again.
    stages = {path.name for path in (tmp_path / "runs/small/.stages").iterdir()}
    again = run_audit(config(tmp_path, {**models, "kept": TFIDF}, language=language), out=tmp_path / "runs")
    assert {path.name for path in (tmp_path / "runs/small/.stages").iterdir()} == stages
    assert again.record.run != record.run
    assert not [o for o in again.record.outcomes if o.metric.startswith("twin.")]
    assert {m.digest for m in again.record.models} == {m.digest for m in record.models}


def test_an_entry_without_a_twin_is_written_as_ever() -> None:
    entry = ModelEntry(name="a", kind="tfidf-logistic", title="t", source="s", weighed_on=1)
    assert {"twin", "placeholders"} & entry.model_dump().keys() == set()


PRIVATE = {"epsilon": 8, "delta": 1e-4, "sample_rate": 0.5, "steps": 2, "batch": 50}
HEAD = {"kind": "classifier", "base": "enc", "cached_layers": 1, "learning_rate": 0.1, "max_tokens": 8}
SCRIPT = {"kind": "scripted", "prompt": "recommend.en.v1", "answers": ["Yes"]}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({**TFIDF, "twin": twin("bbb", "scrubbing")}, r"models\.a\.twin\.of: no model 'bbb'\. Did you mean 'b'"),
        ({**TFIDF, "twin": twin("a", "distilled")}, r"a\.twin\.of: expected another model, found this one"),
        ({**TFIDF, "twin": twin("b", "scrubbing")}, r"a\.twin\.by: scrubbing: expected 'b' with `placeholders: fill"),
        ({**TFIDF, "twin": twin("b", "differential-privacy")}, r"a\.twin\.by: differential-privacy: expected this"),
        ({**HEAD, "twin": twin("b", "differential-privacy")}, r"a\.twin\.by: differential-privacy: expected this"),
        ({**TFIDF, "twin": twin("b", "luck")}, r"twin\.by: .*differential-privacy"),
        ({**TFIDF, "placeholders": "gone"}, r"placeholders: no 'gone'\. Known: filled, kept"),
        ({**TFIDF, "placeholders": "filled"}, r"a\.placeholders: filled: expected a scrub policy that leaves"),
    ],
)  # fmt: skip
def test_what_is_no_twin_is_refused(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    write_reviews(tmp_path / "reviews.csv", 40)
    write_encoder(tmp_path / "enc", layers=1)
    (tmp_path / "scrub.yaml").write_text("entities:\n  EMAIL_ADDRESS: {action: mask}\n")
    masks = {"scrub": {"policy": "scrub.yaml", "workers": 1}} if model.get("placeholders") == "filled" else {}
    path = write_config(tmp_path / "c.yaml", models=apart({"a": model, "b": TFIDF}), candidate="a", **masks)
    with pytest.raises(ConfigError, match=message):
        prepare(str(path))


def test_twins_that_are_may_be_prepared(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 40)
    write_encoder(tmp_path / "enc", layers=1)
    models = {
        "p": {**HEAD, "private": {**PRIVATE, "delta": 0.01}, "twin": twin("h", "differential-privacy")},
        "h": HEAD,
        "k": {**SCRIPT, "twin": twin("f", "scrubbing")},
        "f": {**SCRIPT, "placeholders": "filled"},
    }
    path = write_config(tmp_path / "c.yaml", models=apart(models), candidate="p")
    plan = prepare(str(path))
    assert [m.twin.by for m in plan.config.models.values() if m.twin] == ["differential-privacy", "scrubbing"]
