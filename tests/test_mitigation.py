"""Fairer versions of a model: what is fitted, kept, refused, and done with people's group values."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.published import adult
from governance import run_audit
from governance.backends.base import Answer, Capability
from governance.backends.mitigated import MixtureBackend, ThresholdBackend
from governance.conclude import conclude
from governance.dataset import Labels, ModelText, SyntheticText
from governance.errors import BackendError, ConfigError, DataError
from governance.measure import EVERYONE
from governance.policy import Terms, load_policy
from governance.prepare import prepare
from governance.record import ModelEntry, RunRecord, load_record
from governance.training.decisions import Cut, Mixture, Rule, Thresholds, coins
from governance.training.mitigation import fit_mixture, fit_thresholds, large_groups, row_weights
from tests.test_audit import by_name, figures
from tests.tiny import BAD, FILLER, GOOD, write_config, write_encoder

ROOT = Path(__file__).parent.parent
LABELS = Labels(("no", "yes"), "yes")
METHODS: dict[str, dict[str, Any]] = {
    "threshold-optimizer": {"constraint": "equalized-odds"},
    "exponentiated-gradient": {"constraint": "demographic-parity"},
    "reweighing": {},
}


def texts_of(*texts: str) -> tuple[SyntheticText, ...]:
    return tuple(SyntheticText(text) for text in texts)


def people(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Scores that favour group "a", truth, and groups of which some are absent or tiny."""
    rng = np.random.default_rng(seed)
    groups: list[str | None] = [("a", "b", "b", None)[i % 4] for i in range(n)]
    groups[:3] = ["rare", "rare", "rare"]
    positive = rng.random(n) < 0.5
    favour = np.array([0.15 if group == "a" else 0.0 for group in groups])
    return np.clip(0.5 + 0.25 * (positive - 0.5) + favour + rng.normal(0, 0.2, n), 0.01, 0.99), positive, groups


# -- the figures that others published ---------------------------------------------------------


def census() -> tuple[Any, Any, np.ndarray, np.ndarray, list[str | None], list[str | None]]:
    """One-hot and scaled features without sex and the sampling weight; truth and sex; training and test rows."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.preprocessing import StandardScaler

    numbers = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
    sides = [adult("adult.data"), adult("adult.test")]
    assert [len(side) for side in sides] == [32561, 16281]
    scaler, coded = StandardScaler(), DictVectorizer()
    scaler.fit([[float(row[name]) for name in numbers] for row in sides[0]])
    features = []
    for side in sides:
        scaled = scaler.transform([[float(row[name]) for name in numbers] for row in side]).tolist()
        rows = [
            {name: value for name, value in row.items() if name not in (*numbers, "sex", "fnlwgt", "income")}
            | dict(zip(numbers, values, strict=True))
            for row, values in zip(side, scaled, strict=True)
        ]
        features.append(coded.fit_transform(rows) if side is sides[0] else coded.transform(rows))
    truth = [np.array([row["income"] == ">50K" for row in side]) for side in sides]
    sex = [[row["sex"] for row in side] for side in sides]
    return *features, *truth, *sex  # type: ignore[return-value]


def told(chance: np.ndarray, truth: np.ndarray, sex: Sequence[str | None]) -> tuple[float, float, float]:
    """Accuracy, demographic parity difference and equalised odds difference, expected over the rule's own chance."""
    women = np.array([value == "Female" for value in sex])

    def gap(rows: np.ndarray) -> float:
        return abs(float(chance[women & rows].mean() - chance[~women & rows].mean()))

    accuracy = float(np.where(truth, chance, 1 - chance).mean())
    return accuracy, gap(np.ones_like(truth)), max(gap(truth), gap(~truth))


@pytest.mark.slow
def test_published_prices_of_fairness_on_census_data() -> None:
    """Accuracy, demographic parity and equalised odds differences of Adult's test rows, for logistic regression.

    ExponentiatedGradient's published rows are those of a tolerance of 0.02 and 0.03; at Fairlearn's
    default of 0.01 it narrows more and costs more, as the last row holds fast.
    """
    from sklearn.linear_model import LogisticRegression

    x, z, y, truth, sex, others = census()
    model = LogisticRegression(max_iter=2000).fit(x, y)
    scores, held_out = model.predict_proba(x)[:, 1], model.predict_proba(z)[:, 1]

    def thresholds(constraint: Any) -> np.ndarray:
        rules = fit_thresholds(scores, y, sex, constraint=constraint, balanced=False)
        return rules.probability(held_out, others)

    def mixture(constraint: Any, tolerance: float) -> np.ndarray:
        return fit_mixture(x, y, sex, constraint=constraint, tolerance=tolerance).probability(z)

    found = {
        (0.8517, 0.167, 0.073): (held_out > 0.5).astype(float),
        (0.8304, 0.008, 0.334): thresholds("demographic-parity"),
        (0.8338, 0.083, 0.004): thresholds("equalized-odds"),
        (0.8363, 0.029, 0.240): mixture("demographic-parity", 0.02),
        (0.8506, 0.138, 0.053): mixture("equalized-odds", 0.03),
        (0.8337, 0.017, 0.260): mixture("demographic-parity", 0.01),
    }
    for published, chance in found.items():
        assert told(chance, truth, others) == pytest.approx(published, abs=0.01)
        drawn = (coins([str(row) for row in range(len(truth))], 0) < chance).astype(float)
        assert told(drawn, truth, others) == pytest.approx(told(chance, truth, others), abs=0.02)


# -- fitted against a second implementation ----------------------------------------------------


@pytest.mark.parametrize("constraint", ["demographic-parity", "equalized-odds"])
@pytest.mark.parametrize("balanced", [False, True])
def test_thresholds_decide_as_fairlearn_itself_does(constraint: Any, balanced: bool) -> None:
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.linear_model import LogisticRegression

    scores, positive, groups = people()
    known = np.array([group in ("a", "b") for group in groups])
    x = np.log(scores / (1 - scores))[:, None]
    model = LogisticRegression(C=1e6).fit(x[known], positive[known])
    chance = model.predict_proba(x)[:, 1]
    own = fit_thresholds(chance, positive, groups, constraint=constraint, balanced=balanced)
    theirs = ThresholdOptimizer(
        estimator=model, constraints=constraint.replace("-", "_"), prefit=True, predict_method="predict_proba",
        objective="balanced_accuracy_score" if balanced else "accuracy_score",
    )  # fmt: skip
    values = [group for group in groups if group in ("a", "b")]
    theirs.fit(x[known], positive[known].astype(int), sensitive_features=values)
    expected = theirs._pmf_predict(x[known], sensitive_features=values)[:, 1]
    assert own.probability(chance, groups)[known] == pytest.approx(expected)
    assert np.isnan(own.probability(chance, groups)[~known]).all()
    assert set(own.rules) == {"a", "b"}


def test_a_mixture_decides_as_fairlearn_itself_does() -> None:
    from fairlearn.reductions import DemographicParity, ErrorRate, ExponentiatedGradient
    from sklearn.linear_model import LogisticRegression

    scores, positive, _ = people()
    groups = ["a" if i % 4 == 0 else "b" for i in range(len(scores))]
    x = np.stack([scores, np.random.default_rng(1).normal(size=len(scores)) * 40 + 7], axis=1)
    costs = (2.0, 0.5)
    own = fit_mixture(x, positive, groups, constraint="demographic-parity", tolerance=0.02, costs=costs)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = ExponentiatedGradient(
        LogisticRegression(max_iter=1000), DemographicParity(difference_bound=0.02), eps=0.02,
        objective=ErrorRate(costs={"fp": costs[0], "fn": costs[1]}),
    )  # fmt: skip
    with pytest.warns(DeprecationWarning):
        theirs.fit(scaled, positive.astype(int), sensitive_features=groups)
    assert own.probability(x) == pytest.approx(theirs._pmf_predict(scaled)[:, 1])
    free = fit_mixture(x, positive, groups, constraint="demographic-parity", tolerance=0.99, costs=costs)
    shares = [[float(m.probability(x)[np.array(groups) == g].mean()) for g in "ab"] for m in (own, free)]
    assert np.ptp(shares[0]) <= 0.05 < np.ptp(shares[1])
    assert ((own.scores(x) > 0) & (own.scores(x) < 1)).all()


def test_row_weights_make_group_and_class_independent() -> None:
    _, positive, groups = people()
    weights = row_weights(positive, groups)
    for group in set(groups):
        here = np.array([value == group for value in groups])
        if len(set(positive[here])) == 2:
            assert weights[here & positive].sum() / weights[here].sum() == pytest.approx(positive.mean())
    n = len(groups)
    first = (groups[10], positive[10])
    count = sum((g, y) == first for g, y in zip(groups, positive, strict=True))
    assert weights[10] == pytest.approx(groups.count(groups[10]) * (positive == positive[10]).sum() / (n * count))


def test_small_and_absent_groups_bind_nobody() -> None:
    scores, positive, groups = people()
    assert large_groups(positive, groups) == ["a", "b"]
    with pytest.raises(DataError, match="at least two groups with 10 training rows of each class, found 1"):
        large_groups(positive, ["a" if group == "a" else None for group in groups])
    ten = np.arange(40) % 2 == 0
    assert large_groups(ten, ["a"] * 20 + ["b"] * 20) == ["a", "b"]
    with pytest.raises(DataError, match="found 1"):
        large_groups(ten, ["a"] * 21 + ["b"] * 19)
    with_rare = fit_thresholds(scores, positive, groups, constraint="equalized-odds", balanced=False)
    without = fit_thresholds(
        scores, positive, [None if g == "rare" else g for g in groups], constraint="equalized-odds", balanced=False
    )
    assert with_rare == without
    x = scores[:, None]
    shared: dict[str, Any] = {"constraint": "demographic-parity", "tolerance": 0.02}
    pooled = fit_mixture(x, positive, groups, **shared)
    named = ["rest" if g in ("rare", None) else g for g in groups]
    assert pooled.probability(x) == pytest.approx(fit_mixture(x, positive, named, **shared).probability(x))


# -- kept and read again -------------------------------------------------------------------------


def test_rules_and_mixtures_say_the_same_after_being_kept(tmp_path: Path) -> None:
    scores, positive, groups = people()
    named = [None if g is None else {"a": "三十岁以下", "b": '"},{"group":"x'}.get(g, g) for g in groups]
    rules = fit_thresholds(scores, positive, named, constraint="demographic-parity", balanced=False)
    ends = Rule(Cut(">", float("inf")), Cut("<", float("-inf")), 0.25, 0.5, 0.125)
    kept = Thresholds({**rules.rules, "*": ends})
    kept.save(tmp_path / "t.json")
    assert Thresholds.load(tmp_path / "t.json") == kept
    mixture = fit_mixture(scores[:, None], positive, named, constraint="equalized-odds", tolerance=0.05)
    mixture.save(tmp_path / "m.safetensors")
    again = Mixture.load(tmp_path / "m.safetensors")
    for name in ("probability", "scores"):
        assert np.array_equal(getattr(again, name)(scores[:, None]), getattr(mixture, name)(scores[:, None]))
    assert {path.name for path in tmp_path.iterdir()} == {"t.json", "m.safetensors"}


def test_a_classifier_that_always_answers_the_same_is_kept_too(tmp_path: Path) -> None:
    constant = Mixture(np.array([0.75, 0.25]), np.zeros((2, 1)), np.array([np.inf, -np.inf]))
    constant.save(tmp_path / "m")
    again = Mixture.load(tmp_path / "m")
    assert again.probability(np.ones((3, 1))).tolist() == again.scores(np.ones((3, 1))).tolist() == [0.75] * 3


ABOVE = '{"operator":">","threshold":0}'
DAMAGED = [
    "",
    "{",
    "[]",
    '{"rules":[{"group":"a"}]}',
    f'{{"rules":[{{"group":"a","first":{ABOVE},"second":{ABOVE},"share":7,"ignore":0,"coin":0}}]}}',
    f'{{"rules":[{{"group":"a","first":{ABOVE},"second":{ABOVE},"share":NaN,"ignore":0,"coin":0}}]}}',
    f'{{"rules":[{{"group":"a","first":{ABOVE.replace(">", "=")},"second":{ABOVE},"share":1,"ignore":0,"coin":0}}]}}',
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_rule_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "t").write_text(damage)
    with pytest.raises(BackendError, match="not thresholds that Steelyard fitted"):
        Thresholds.load(tmp_path / "t")
    with pytest.raises(BackendError, match="not a mixture that Steelyard fitted"):
        Mixture.load(tmp_path / "t")


def test_coins_are_even_and_belong_to_the_text() -> None:
    texts = [f"text {i}" for i in range(20_000)]
    drawn = coins(texts, 7)
    assert np.histogram(drawn, bins=10, range=(0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)
    assert np.array_equal(coins(texts[::-1], 7), drawn[::-1])
    assert abs(np.corrcoef(drawn, coins(texts, 8))[0, 1]) < 0.03
    assert coins(["\ud800", ""], 0).shape == (2,)


# -- answers -------------------------------------------------------------------------------------


class Base:
    """A model that scores a text by its first number, and remembers all it was ever given."""

    capabilities = frozenset({Capability.CLASSIFY, Capability.SCORES})

    def __init__(self) -> None:
        self.given: list[Any] = []

    def classify(self, texts: Sequence[ModelText]) -> list[Answer]:
        self.given += [text.text for text in texts]
        found = []
        for text in texts:
            score = float(text.text.split()[0])
            found.append(
                Answer(failure="no answer")
                if score < 0
                else Answer(label="yes" if score > 0.5 else "no", scores=(1 - score, score), seconds=1.0)
            )
        return found

    def features(self, texts: Sequence[ModelText]) -> tuple[Any, Any]:
        return np.array([[float(text.text.split()[0])] for text in texts]), np.ones(len(texts))

    def close(self) -> None:
        self.given.append("closed")


RULES = Thresholds({"x": Rule(Cut(">", 0.2), Cut(">", 0.2), 1.0), "y": Rule(Cut(">", 0.9), Cut(">", 0.1), 0.5)})


def test_a_group_value_reaches_the_rule_and_never_the_model() -> None:
    base = Base()
    backend = ThresholdBackend(base, RULES, LABELS, seed=0)
    asked = texts_of("0.3 a", "0.3 b", "0.3 c", "0.3 d", "-1 e", "-1 f")
    answers = backend.classify_in_groups(asked, ["x", "secret", None, "*", "x", None])
    assert [answer.label for answer in answers] == ["yes", "no", "no", "no", None, None]
    assert backend.fell_back == 3  # failures are no fall-backs
    assert all(answer.scores == (0.7, 0.3) for answer in answers[:4])
    assert answers[0].seconds == 1.0
    assert base.given == [text.text for text in asked]
    assert [answer.label for answer in backend.classify(asked[:4])] == ["no"] * 4
    assert backend.fell_back == 3
    backend.close()
    assert base.given[-1] == "closed"


def test_chance_is_the_same_for_the_same_text_in_any_order_and_batch() -> None:
    backend = ThresholdBackend(Base(), RULES, LABELS, seed=3)
    asked = texts_of(*(f"0.5 number {i}" for i in range(600)))
    whole = [answer.label for answer in backend.classify_in_groups(asked, ["y"] * 600)]
    parts = [backend.classify_in_groups(asked[i : i + 7], ["y"] * len(asked[i : i + 7])) for i in range(0, 600, 7)]
    assert [answer.label for part in parts for answer in part] == whole
    assert [answer.label for answer in backend.classify_in_groups(asked[::-1], ["y"] * 600)] == whole[::-1]
    assert 0.4 < whole.count("yes") / 600 < 0.6
    mixture = Mixture(np.array([0.5, 0.5]), np.array([[1.0], [-1.0]]), np.array([0.0, 0.0]))
    mixed = MixtureBackend(Base(), mixture, LABELS, seed=3)
    answers = mixed.classify(asked)
    assert [answer.label for answer in answers] == whole  # the same coins
    assert [answer.label for answer in mixed.classify(asked[300:])] == whole[300:]
    assert answers[0].scores == pytest.approx((0.5, 0.5))
    other = Labels(("yes", "zno"), "yes")
    assert MixtureBackend(Base(), mixture, other, seed=3).classify(asked[:1])[0].label in other.classes


# -- refusals ------------------------------------------------------------------------------------


def mitigated(**changes: Any) -> dict[str, Any]:
    made = {"kind": "mitigated", "of": "baseline", "method": "threshold-optimizer", "constraint": "equalized-odds",
            "group": "age_band", **changes}  # fmt: skip
    return {key: value for key, value in made.items() if value is not None}


PRIVATE = {"epsilon": 8, "delta": 1.0e-4, "sample_rate": 0.3, "steps": 4, "batch": 50}
OPENAI = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "prompt": "recommend.en.v1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"of": "baselin"}, r"models\.fair\.of: no model 'baselin'\. Did you mean 'baseline'\?"),
        ({"of": "fair"}, r"models\.fair\.of: expected a model that isn't mitigated itself, found 'fair'"),
        ({"of": "closed"}, r"models\.fair\.of: expected a model that this audit trains, found 'closed' of kind openai"),
        ({"of": "private"}, r"models\.fair\.of: expected a model trained without privacy, found 'private', whose "
                            r"privacy claim would not cover what is fitted here on the rows' labels and their values"),
        ({"group": "age"}, r"models\.fair\.group: no group column 'age'\. .*Known: age_band, department"),
        ({"constraint": None}, r"constraint: expected demographic-parity or equalized-odds with method threshold"),
        ({"constraint": "parity"}, r"models\.fair\.mitigated\.constraint: no 'parity'\. .*Known: demographic-parity"),
        ({"method": "reweighing"}, r"constraint: expected none with method reweighing, found 'equalized-odds'"),
        ({"tolerance": 0.1}, r"tolerance: expected none with method threshold-optimizer, found 0\.1"),
        ({"method": "magic"}, r"models\.fair\.mitigated\.method: no 'magic'"),
        ({"groups": "age_band"}, r"unknown key 'groups'.*Did you mean 'group'\?"),
    ],
)  # fmt: skip
def test_what_a_mitigated_model_can_not_stand_on_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    from tests.tiny import write_reviews

    write_reviews(tmp_path / "reviews.csv")
    write_encoder(tmp_path / "encoder")
    models = {
        "baseline": {"kind": "tfidf-logistic"},
        "private": {
            "kind": "classifier",
            "base": "encoder",
            "cached_layers": 1,
            "learning_rate": 0.1,
            "private": PRIVATE,
        },
        "closed": OPENAI,
        "fair": mitigated(**changes),
    }
    config = write_config(tmp_path / "c.yaml", models=models)
    with pytest.raises(ConfigError, match=message) as caught:
        prepare(str(config))
    assert str(caught.value).startswith(f"{config}: ")


def test_more_than_two_classes_are_refused(tmp_path: Path) -> None:
    rows = [f"word{i} {label},{label},{i % 2}\n" for i in range(40) for label in ("a", "b", "c")]
    (tmp_path / "reviews.csv").write_text("text,label,team\n" + "".join(rows))
    for positive in (None, "a"):
        config = write_config(
            tmp_path / "c.yaml",
            data={"path": "reviews.csv", "groups": ["team"], **({"positive": positive} if positive else {})},
            models={"baseline": {"kind": "tfidf-logistic"}, "fair": mitigated(group="team")},
        )
        with pytest.raises(ConfigError, match=r"models\.fair: expected a task of two classes, found 3"):
            prepare(str(config))


def test_groups_too_small_to_fit_are_the_users_to_mend(folder: Path) -> None:
    text = (folder / "reviews.csv").read_text().replace(",北", ",南")
    (folder / "reviews.csv").write_text(text)
    config = write_config(folder / "c.yaml", **shop({"fair": mitigated(group="城市")}))
    with pytest.raises(DataError, match=r"models\.fair\.group: column '城市': expected at least two groups .* found 1"):
        run_audit(config, out=folder / "runs")


# -- audits --------------------------------------------------------------------------------------


def write_shop(path: Path, n: int = 700, seed: int = 0) -> None:
    """Reviews that are harder to read in one city than in the other; some cities are unknown, one is rare and rude."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        good, city = rng.random() < 0.6, rng.choice(["北", "北", "南", "南", ""])
        city = '*</script>"\u202e' if i % 97 == 0 else city
        noise = 0.45 if city == "南" else 0.1
        words = [rng.choice(FILLER) for _ in range(6)]
        words += [rng.choice(GOOD if good == (rng.random() > noise) else BAD) for _ in range(2)]
        rows.append({"text": f"{' '.join(words)} {i}", "label": "yes" if good else "no", "城市": city, "customer": i})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def shop(models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "data": {"path": "reviews.csv", "positive": "yes", "groups": ["城市"], "cluster": "customer"},
        "models": {**models, "baseline": {"kind": "tfidf-logistic"}},
        "evaluators": [
            {"name": "quality", "draws": 200},
            "fairness",
            {"name": "mitigation", "draws": 200},
            "membership",
        ],
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shop(tmp_path / "reviews.csv")
    return tmp_path


ALL = {
    name: mitigated(group="城市", method=name, constraint=settings.get("constraint"))
    for name, settings in METHODS.items()
}


def cities(folder: Path) -> list[str]:
    with (folder / "reviews.csv").open(encoding="utf-8") as file:
        return [row["城市"] for row in csv.DictReader(file)]


def overall(record: RunRecord, metric: str, model: str) -> Any:
    [outcome] = [outcome for outcome in by_name(record, metric, model) if outcome.slice == EVERYONE]
    return outcome


def predictions(folder: Path, model: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    [path] = (folder / "runs/small").glob(f"*/predictions/{model}.parquet")
    return [row for row in pq.read_table(path).to_pylist() if row["set"] == "held-out"]


def test_each_method_is_a_model_of_its_own_audited_like_any_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mitigated models stand before their base in the config, and one of them is the candidate."""
    config = write_config(folder / "c.yaml", **shop(ALL, candidate="threshold-optimizer", incumbent="baseline"))
    result = run_audit(config, out=folder / "runs")
    record = result.record
    assert load_record(result.directory) == record
    assert {entry.name: entry.of for entry in record.models} == {**dict.fromkeys(METHODS, "baseline"), "baseline": None}
    assert len({entry.digest for entry in record.models}) == 4
    thresholds = record.model("threshold-optimizer")
    assert thresholds.note == "uses 城市 at decision time"
    assert record.model("reweighing").note is record.model("exponentiated-gradient").note is None
    assert record.model("reweighing").trained_parts == "all of it"
    # Cities that are unknown, or too rare for a rule, are counted, and answered by the base's own threshold.
    city = cities(folder)
    rows, base = (predictions(folder, name) for name in ("threshold-optimizer", "baseline"))
    outside = [i for i, row in enumerate(rows) if city[row["row"]] not in ("北", "南")]
    assert thresholds.settings["rows_without_a_rule"] == len(outside) > 20
    assert all(rows[i]["predicted"] == base[i]["predicted"] for i in outside)
    assert any(row["predicted"] != other["predicted"] for row, other in zip(rows, base, strict=True))
    assert all(row["score:yes"] == other["score:yes"] for row, other in zip(rows, base, strict=True))
    for name in METHODS:
        assert overall(record, "mitigation.accuracy.difference", name).reference == "baseline"
        assert by_name(record, "membership.auc", name)[0].value > 0.5
        assert {o.slice.label() for o in by_name(record, "mitigation.selection_rate.difference", name)} >= {"城市=北"}
    page = (result.out / "report.html").read_text("utf-8")
    assert "What a fairer baseline costs: 城市" in page
    assert "</script>" not in page
    assert "<bdi>" in page or "[U+202E]" in page

    for name in ("fit_thresholds", "fit_mixture", "row_weights"):
        monkeypatch.setattr(f"governance.training.mitigation.{name}", lambda *_, **__: pytest.fail("fitted again"))
    monkeypatch.setattr("governance.training.tfidf.train", lambda *_, **__: pytest.fail("trained again"))
    stages = sorted(path.name for path in (folder / "runs/small/.stages").iterdir())
    shutil.rmtree(result.directory)
    assert figures(run_audit(config, out=folder / "runs").record) == figures(record)
    assert sorted(path.name for path in (folder / "runs/small/.stages").iterdir()) == stages
    chinese = conclude(record, Terms(policy=load_policy("launch")), result.directory, language="zh")
    assert "让 baseline 更公平的代价：城市" in (chinese.out / "report.html").read_text("utf-8")


def test_stored_files_hold_numbers_and_no_objects(folder: Path) -> None:
    config = write_config(folder / "c.yaml", **shop(ALL))
    run_audit(config, out=folder / "runs")
    stages = [path for path in (folder / "runs/small/.stages").glob("mitigated-*") if path.is_dir()]
    kept = {path.name: path for stage in stages for path in stage.iterdir()}
    assert set(kept) == {"thresholds.json", "mixture.safetensors", "model.skops", "digest.txt"}
    rules = json.loads(kept["thresholds.json"].read_bytes())["rules"]
    assert [rule["group"] for rule in rules] == ["北", "南"]
    assert not any(b"\x80\x04\x95" in path.read_bytes() for path in kept.values())  # the head of a pickle


def test_a_new_seed_draws_other_coins_and_the_same_one_the_same(folder: Path) -> None:
    records = []
    evaluators = [{"name": "mitigation", "draws": 200}]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        models = shop({"fair": ALL["threshold-optimizer"]}, seed=seed, evaluators=evaluators)
        config = write_config(folder / f"{name}.yaml", **models)
        records.append(run_audit(config, out=folder / name).record)
    assert figures(records[0]) == figures(records[1])
    assert figures(records[2])["outcomes"] != figures(records[0])["outcomes"]


def test_a_model_weighed_on_fewer_rows_gets_its_own_rows_groups(folder: Path) -> None:
    fair = {**ALL["threshold-optimizer"], "rows": 60}
    record = run_audit(write_config(folder / "c.yaml", **shop({"fair": fair})), out=folder / "runs").record
    assert record.model("fair").weighed_on == 60
    city = cities(folder)
    outside = sum(city[row["row"]] not in ("北", "南") for row in predictions(folder, "fair"))
    assert record.model("fair").settings["rows_without_a_rule"] == outside
    assert overall(record, "mitigation.accuracy.difference", "fair").n == 60


@pytest.mark.slow
def test_an_encoder_can_be_mitigated_too(folder: Path) -> None:
    write_shop(folder / "reviews.csv", 320)
    write_encoder(folder / "encoder")
    encoder = {"kind": "classifier", "base": "encoder", "cached_layers": 1, "trained_layers": 1, "max_tokens": 16,
               "learning_rate": 1.0e-3, "epochs": 1, "class_weights": {"no": 2.0}}  # fmt: skip
    models = {"open": encoder, **{name: {**config, "of": "open"} for name, config in ALL.items()}}
    record = run_audit(write_config(folder / "c.yaml", **shop(models)), out=folder / "runs").record
    assert record.model("reweighing").trained_parts == record.model("open").trained_parts
    assert record.model("reweighing").digest != record.model("open").digest
    assert record.model("reweighing").curve
    for name in METHODS:
        [coverage] = by_name(record, "quality.coverage", name)
        assert coverage.value == 1.0, name
        assert overall(record, "mitigation.balanced_accuracy.difference", name).reference == "open"


@pytest.mark.slow
def test_rows_that_count_for_nothing_teach_an_encoder_nothing(tmp_path: Path) -> None:
    from dataclasses import replace

    from governance.backends.trained import ClassifierBackend
    from governance.files import digest_file
    from governance.training.classifier import train
    from governance.training.model import WEIGHTS
    from tests.test_training import features, plan, recipe
    from tests.test_training import rows as made

    data, settings = made(), recipe(trained_layers=0, epochs=12, learning_rate=1e-2)
    lower = features(tmp_path, write_encoder(tmp_path / "encoder"))
    kept = np.arange(len(data)) % 2 == 0
    wrong = tuple(
        label if keep else {"yes": "no", "no": "yes"}[label] for label, keep in zip(data.labels, kept, strict=True)
    )
    train(settings, replace(data, labels=wrong), LABELS, lower, tmp_path / "a", row_weights=kept.astype(float))
    answers = ClassifierBackend(tmp_path / "a", lower, LABELS).classify(data.texts)
    assert np.mean([answer.label == label for answer, label in zip(answers, data.labels, strict=True)]) > 0.9
    train(recipe(trained_layers=0, epochs=1), data, LABELS, lower, tmp_path / "b")
    train(recipe(trained_layers=0, epochs=1), data, LABELS, lower, tmp_path / "c", row_weights=np.ones(len(data)))
    assert digest_file(tmp_path / "b" / WEIGHTS) == digest_file(tmp_path / "c" / WEIGHTS)
    with pytest.raises(ValueError, match="a private run takes no row weights"):
        train(recipe(plan=plan(len(data))), data, LABELS, lower, tmp_path / "d", row_weights=np.ones(len(data)))


@pytest.mark.slow
def test_a_mitigated_audit_killed_again_and_again_ends_with_the_same_record(folder: Path) -> None:
    config = write_config(folder / "c.yaml", **shop(ALL))
    command = [sys.executable, "-m", "governance", "audit", str(config), "--out", str(folder / "runs"), "--quiet"]
    stages = folder / "runs/small/.stages"
    for _ in range(2):
        seen = {path.name for path in stages.glob("*-*")} if stages.exists() else set()
        child = subprocess.Popen([*command, "--exit-zero"], cwd=ROOT)
        while child.poll() is None and ({p.name for p in stages.glob("*-*")} if stages.exists() else set()) <= seen:
            time.sleep(0.02)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert subprocess.run([*command, "--exit-zero"], cwd=ROOT, check=False, timeout=200).returncode == 0
    [run] = (folder / "runs/small").glob("*/record.json")
    killed, whole = load_record(run.parent), run_audit(config, out=folder / "whole").record
    assert killed.models == whole.models
    assert figures(killed)["outcomes"] == figures(whole)["outcomes"]
    assert not list(stages.glob("*.part"))


# -- records -------------------------------------------------------------------------------------


def test_a_record_without_mitigated_models_is_what_it_was() -> None:
    entry = ModelEntry(name="a", kind="k", title="t", source="s", weighed_on=1)
    assert "of" not in entry.model_dump(mode="json")
    assert ModelEntry.model_validate(entry.model_dump()) == entry
    fair = entry.model_copy(update={"of": "a"})
    assert ModelEntry.model_validate_json(fair.model_dump_json()) == fair
    assert RunRecord.model_fields["schema_version"].default == 1
