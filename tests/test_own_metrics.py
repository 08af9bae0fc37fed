"""A metric of the user's own: one class, in audits of labels and of words, in both languages; and wrong classes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from evaluators.own import OwnMetrics
from evaluators.tasks.own import load_own
from governance.audit import run_audit
from governance.errors import ConfigError
from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.record import RunRecord
from governance.store import code_digest
from tests.outcomes import measured, reason
from tests.test_fairness import BINARY, setting, subject
from tests.tiny import write_config, write_reviews

CODE = '''
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Kept:
    """Of rows that are truly good, those that the model keeps; a miss costs `price`."""
    price: float = 1.0
    name = "kept"
    unit = "units"
    reach = (None, None)

    def score(self, item, reply, language):
        if item.lists["label"] != ("yes",):
            return None
        return 1.0 if reply.words == "yes" else -self.price


class Right:
    name, unit = "right", "rate"

    def score(self, item, reply, language):
        return float(reply.words == item.lists["label"][0])


class Long:
    name, better, reach, unit = "long", None, (0, None), "count"

    def score(self, item, reply, language):
        return len(item.texts["text"] if language == "zh" else item.texts["text"].split())


class Words:
    name, reach, unit = "words", (0, None), "count"

    def score(self, item, reply, language):
        return len(reply.words) if language == "zh" else len(reply.words.split())


class Raises:
    name = "raises"

    def score(self, item, reply, language):
        raise RuntimeError(item.texts["text"])


class Nan:
    name = "nan"

    def score(self, item, reply, language):
        return math.nan


class Outside:
    name = "outside"

    def score(self, item, reply, language):
        return 2.0


class Nameless:
    def score(self, item, reply, language):
        return 1.0


class Mute:
    name = "mute"


class Unit:
    name, unit = "unit", "parsecs"

    def score(self, item, reply, language):
        return 1.0


class Broken:
    name = "broken"

    def __init__(self):
        raise OSError("no such disk")


number = 3
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "shop_metrics.py").write_text(CODE)
    (tmp_path / "shop_breaks.py").write_text("raise ValueError('secret')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("shop_metrics", "shop_breaks"):
        sys.modules.pop(name, None)


def made(*metrics: Any, **settings: Any) -> OwnMetrics:
    return OwnMetrics(metrics=metrics, code=True, draws=200, **settings).read(Path(), "en")


def measure(
    evaluator: OwnMetrics, predicted: dict[str, list[Any]], truth: list[str], **changes: Any
) -> dict[Any, Outcome]:
    within = replace(setting(truth, {}, BINARY), **changes)
    outcomes = evaluator.measure([subject(labels, name=name) for name, labels in predicted.items()], within)
    return {(o.metric, o.model): o for o in outcomes}


TRUTH = ["yes", "no"] * 50
ALL = {"a": ["yes"] * 100, "b": TRUTH, "c": [None] * 100}


def test_figures_equal_what_the_class_says_row_by_row() -> None:
    both = made({"name": "shop_metrics:Kept", "price": 3}, "shop_metrics:Right")
    said = {"a": ["yes"] * 40 + ["no"] * 40 + [None] * 20}
    found = measure(both, said, TRUTH)
    kept = measured(found["own.kept", "a"])
    assert kept.value == (20 * 1 - 20 * 3) / 40
    assert (kept.n, kept.unit, kept.task) == (40, Unit.UNITS, "classification")
    right = measured(found["own.right", "a"])
    assert (right.value, right.n, right.unit) == (0.5, 80, Unit.RATE)
    assert (right.low or 0) < 0.5 < (right.high or 0)


def test_differences_are_paired_with_the_incumbent() -> None:
    found = measure(made("shop_metrics:Right", "shop_metrics:Long"), ALL, TRUTH, incumbent="a")
    better = measured(found["own.right.difference", "b"])
    assert (better.value, better.n, better.reference, better.unit) == (0.5, 100, "a", Unit.DIFFERENCE)
    assert better.counts["mcnemar_p"] < 1e-9
    assert better.counts["only_model_right"] == 50
    assert reason(found["own.right", "c"]) == "no held-out row was answered"
    assert reason(found["own.right.difference", "c"]) == "no row was answered by both models"
    assert ("own.right.difference", "a") not in found
    assert not [key for key in found if key[0] == "own.long.difference"]  # neither side is better


def test_a_metric_knows_the_language() -> None:
    long = made("shop_metrics:Long")
    assert [
        measured(measure(long, ALL, TRUTH, language=language)["own.long", "a"]).value for language in ("en", "zh")
    ] == [1, 4]


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    mood = np.repeat(rng.random(20) < 0.5, 20)
    said = ["yes" if one else "no" for one in mood]
    alone, together = (
        measured(made("shop_metrics:Right").measure([subject(said)], setting(["yes"] * 400, {}, BINARY, clusters))[0])
        for clusters in (None, np.repeat(np.arange(20), 20))
    )
    assert (together.high or 0) - (together.low or 0) > 3 * ((alone.high or 0) - (alone.low or 0))


WRONG = {
    "Raises": "metric 'Raises': score raised RuntimeError$",
    "Nan": "metric 'Nan': score answered with something that is neither a number nor None",
    "Outside": "metric 'Outside': a score lies outside its reach",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_class_that_scores_wrongly_is_told_without_a_row(name: str) -> None:
    with pytest.raises(ConfigError, match=WRONG[name]):
        measure(made(f"shop_metrics:{name}"), ALL, TRUTH)


REFUSED = {
    "shop_metrics:Nameless": "metrics.0: metric 'Nameless': expected a `name`",
    "shop_metrics:Mute": "metrics.0: metric 'Mute': expected a method `score",
    "shop_metrics:Unit": "metrics.0: metric 'Unit': unit: expected one of",
    "shop_metrics:Broken": "metrics.0: metric 'Broken': making it raised OSError$",
    "shop_metrics:number": "metrics.0: name: module 'shop_metrics' has no class 'number'",
    "shop_metrics:Rihgt": "metrics.0: name: module 'shop_metrics' has no class 'Rihgt'",
    "shop_breaks:Right": "metrics.0: name: importing module 'shop_breaks' raised ValueError$",
    "no_such_shop:Right": "metrics.0: name: importing module 'no_such_shop' raised ModuleNotFoundError$",
    "Right": 'metrics.0: expected a class as "module:Class"',
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_is_none_is_refused_before_anything_is_run(name: str) -> None:
    with pytest.raises(ConfigError, match=REFUSED[name]):
        made(name)


def test_nothing_is_run_without_consent() -> None:
    with pytest.raises(ConfigError, match="code: expected true"):
        OwnMetrics(metrics=("shop_breaks:Right",)).read(Path(), "en")
    with pytest.raises(ConfigError, match="metrics: expected at least one class"):
        OwnMetrics(code=True).read(Path(), "en")
    with pytest.raises(ConfigError, match=r"metrics\.1: a metric named 'right' stands twice"):
        made("shop_metrics:Right", "shop_metrics:Right")
    with pytest.raises(ConfigError, match="unexpected keyword argument 'cost'"):
        made({"name": "shop_metrics:Kept", "cost": 1})
    with pytest.raises(TypeError, match="expected a list"):
        OwnMetrics(metrics="shop_metrics:Right")  # type: ignore[arg-type]


def figures(record: RunRecord) -> dict[Any, Outcome]:
    return {(o.metric, o.model): o for o in record.outcomes if o.metric.startswith("own.")}


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_audit_of_labels_holds_own_figures(tmp_path: Path, language: str) -> None:
    write_reviews(tmp_path / "reviews.csv")
    own = {"name": "own", "code": True, "draws": 200, "metrics": ["shop_metrics:Right", "shop_metrics:Long"]}
    models = {"a": {"kind": "tfidf-logistic"}, "b": {"kind": "tfidf-logistic", "regularisation": 0.01}}
    path = write_config(
        tmp_path / "c.yaml", language=language, models=models, candidate="a", incumbent="b",
        evaluators=[{"name": "quality", "draws": 200}, own],
    )  # fmt: skip
    done = run_audit(path, out=tmp_path / "runs")
    found = figures(done.record)
    accuracy = next(o for o in done.record.outcomes if (o.metric, o.model) == ("quality.accuracy", "a"))
    right = measured(found["own.right", "a"])
    assert (right.value, right.low, right.high) == (accuracy.value, accuracy.low, accuracy.high)  # type: ignore[union-attr]
    assert isinstance(found["own.right.difference", "a"], Measurement)
    assert done.record.lineage.parts["evaluator own right"] == code_digest("shop_metrics")
    assert "own.right" in (done.directory / "latest" / "report.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("language", "words"), [("en", "thirty days then"), ("zh", "三十天")])
def test_an_audit_of_words_holds_own_figures(tmp_path: Path, language: str, words: str) -> None:
    lines = [{"ask": f"Question {i}?", "text": f"You have {words}.", "gold": [words]} for i in range(12)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    scripted = {"kind": "scripted", "prompt": f"qa.{language}.v1", "answers": [words], "max_tokens": 8}
    config = {
        "audit": "words", "task": "qa", "language": language, "scrub": {"policy": "patterns", "workers": 1},
        "data": {"path": "q.jsonl", "columns": {"question": "ask", "context": "text", "answers": "gold"}},
        "models": {"a": scripted}, "candidate": "a", "draws": 200,
        "metrics": [{"name": "shop_metrics:Words", "code": True}],
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    found = figures(run_audit(tmp_path / "c.yaml", out=tmp_path / "runs").record)
    assert measured(found["own.words", "a"]).value == 3
    config["metrics"] = [{"name": "shop_metrics:Rihgt", "code": True}]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.yaml: metrics\.0: name: module 'shop_metrics' has no class 'Rihgt'"):
        run_audit(tmp_path / "c.yaml", out=tmp_path / "runs")


def test_a_metric_of_no_row_is_no_measurement() -> None:
    none = measure(made({"name": "shop_metrics:Kept"}), {"a": ["no"] * 10}, ["no"] * 10)
    assert isinstance(none["own.kept", "a"], NotMeasured)
    assert load_own("shop_metrics:Kept", {"price": 2}).reach == (None, None)
