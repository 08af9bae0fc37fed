"""The list of metrics is what evaluators make: every outcome is in it, and every entry is made by somebody."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from evaluators.base import Subject
from evaluators.claim import Claim
from evaluators.fairness import GroupGaps
from evaluators.slices import WorstSlices
from governance.audit import run_audit
from governance.config import EVALUATORS
from governance.configfile import shipped
from governance.measure import ANY, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Terms, load_policy
from governance.record import RunRecord
from governance.tableconfig import KINDS
from governance.taskconfig import TASKS
from governance.vocabulary import Entry, vocabulary
from reports.text import LANGUAGES, Texts
from tests.sample_record import CLAIM
from tests.sample_record import record as sample_record
from tests.taskruns import of_every_task
from tests.test_fairness import THREE, setting, shop, subject
from tests.tiny import write_config, write_reviews

N = 1_200
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "classification": {"truth": "said", "prediction": "right", "score": "chance"},
    "generation": {"quality": "x", "toxicity": "chance", "sentiment": "x", "output": "text"},
    "prices": {"price": "amount", "product": "item", "time": "month", "reference_price": "list", "willingness": "list"},
    "ranking": {"query": "query", "item": "item", "rank": "rank", "relevance": "relevance", "popularity": "amount"},
    "regression": {"truth": "amount", "prediction": "list"},
    "selection": {"selected": "hired", "score": "chance"},
}
REVIEWS = {
    "path": "reviews.csv", "positive": "yes", "groups": ["department"], "cluster": "customer", "test_share": 0.6,
    "bands": {"age_band": {"column": "age", "edges": [40]}},
}  # fmt: skip
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "classification": {"controls": ["region"]},
    "ranking": {"provider": "seller", "user": "region", "draws": 200},
    "regression": {"draws": 200},
    "selection": {"sex": "sex", "race": "region"},
}


def table() -> pa.Table:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(N // 6), 6)
    rank = np.tile(np.arange(1, 7), N // 6)
    words = np.array(["no", "yes"])
    amount = rng.lognormal(3, 0.2, N)
    amount[0] = np.nan
    chance = rng.random(N)
    return pa.table(
        {
            "sex": rng.choice(["f", "m"], N),
            "region": np.repeat(rng.choice(["north", "south"], N // 6), 6),
            "seller": rng.choice(["small", "large"], N),
            "said": words[rng.integers(0, 2, N)],
            "right": words[rng.integers(0, 2, N)],
            "chance": chance,
            "hired": (rng.random(N) < 0.4).astype(float),
            "x": rng.normal(0, 1, N),
            "text": rng.choice(["All right.", "Sorry, I can't help with that.", "Sure, here is more of it."], N),
            "amount": amount,
            "list": rng.lognormal(3, 0.2, N),
            "item": rng.choice([f"i{k}" for k in range(12)], N),
            "month": rng.choice(["1", "2"], N),
            "query": query.astype(str),
            "rank": rank.astype(float),
            "relevance": (rng.random(N) < 0.5).astype(float) + 0.1,
        }
    )


def of_table(folder: Path, kind: str, **changes: Any) -> tuple[Outcome, ...]:
    pq.write_table(table(), folder / "table.parquet")
    config = {
        "audit": kind,
        "table": {
            "path": "table.parquet", "kind": kind, "columns": dict(COLUMNS[kind]),
            "groups": ["sex", "region", "seller"], **({"positive": "yes"} if kind == "classification" else {}),
            **changes,
        },
        "settings": dict(SETTINGS.get(kind, {})),
    }  # fmt: skip
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(config))
    return run_audit(path, out=folder / "runs").record.outcomes


def of_models(folder: Path) -> tuple[RunRecord, Path]:
    """A short audit with every evaluator."""
    write_reviews(folder / "reviews.csv", 800)
    mitigated = {"kind": "mitigated", "of": "baseline", "method": "threshold-optimizer"}
    config = write_config(
        folder / "c.yaml",
        data=REVIEWS,
        models={
            "baseline": {"kind": "tfidf-logistic", "price_per_hour": 0.1},
            "student": {"kind": "variant", "of": "baseline", "by": "distilled", "price_per_hour": 0.1},
            "asked": {
                "kind": "scripted", "prompt": "recommend.en.v1", "other_prompts": ["recommend.en.v2"],
                "answers": ["Yes", "No"], "rows": 60,
            },
            "fairer": {**mitigated, "constraint": "demographic-parity", "group": "department"},
            "said": {"kind": "scripted", "prompt": "recommend.en.v1", "answers": ["Yes", "No"], "rows": 20},
        },
        candidate="fairer",
        incumbent="baseline",
        evaluators=[
            {"name": "quality", "draws": 200}, {"name": "fairness", "controls": ["age_band"], "min_rows": 10}, "claim",
            "explanation", "anonymity", {"name": "membership", "draws": 200, "min_rows": 10},
            {"name": "mitigation", "draws": 200, "min_rows": 10, "min_class_rows": 5},
            {"name": "personal-data", "samples": 5}, {"name": "slices", "min_rows": 10},
            {"name": "twins", "draws": 200, "min_rows": 10, "min_class_rows": 5}, {"name": "wording", "draws": 200},
            {"name": "drivers", "min_rows": 10},
        ],
    )  # fmt: skip
    done = run_audit(config, out=folder / "runs")
    return done.record, done.directory


def of_rows() -> Iterator[Outcome]:
    """What a short audit's few rows don't show, and a claim."""
    truth, predicted, groups = shop(4_000)
    wrong = [said if age != "40+" else "no" for said, age in zip(truth, groups["age"], strict=True)]
    for evaluator, said in ((GroupGaps(), predicted), (WorstSlices(), wrong)):
        yield from evaluator.measure([subject(said)], setting(truth, groups))
    classes = np.random.default_rng(1).choice(THREE.classes, (2, 4_000)).tolist()
    yield from GroupGaps().measure([subject(classes[0])], setting(classes[1], groups, THREE))
    private = Subject(name="private", capabilities=frozenset(), answers={}, trained=True, claim=CLAIM)
    yield from Claim().measure([private], setting(truth, groups))


def since(folder: Path, record: RunRecord, directory: Path) -> tuple[tuple[Outcome, ...], tuple[Outcome, ...]]:
    """What changed since an earlier run on other rows, and how far its inputs have moved."""
    from governance.baseline import changes_since
    from governance.drift import drift_since
    from governance.nightly import evidence_since

    (folder / "earlier").mkdir()
    write_reviews(folder / "earlier/reviews.csv", 800, seed=1)
    evaluators = [{"name": "quality", "draws": 200}, "fairness"]
    config = write_config(folder / "earlier/c.yaml", data=REVIEWS, evaluators=evaluators)
    earlier = run_audit(config, out=folder / "earlier/runs")
    runs = (record, directory, earlier.record, earlier.directory)
    return changes_since(*runs), (*drift_since(*runs), *evidence_since(*runs, folder / "nights.jsonl"))


def shown(record: RunRecord, terms: Terms, directory: Path, **_: Any) -> SimpleNamespace:
    """In place of `conclude`: the records are enough, and rendering them would take most of the time."""
    return SimpleNamespace(record=record, directory=directory)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Outcome]]:
    """Maker -> outcomes."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("audit", "tableaudit", "taskaudit"):
            patch.setattr(f"governance.{module}.conclude", shown)
        found = {f"table:{kind}": list(of_table(folder, kind)) for kind in KINDS}
        found["table:classification"] += of_table(
            folder, "classification", positive=None, columns={"truth": "said", "prediction": "right"}
        )
        record, directory = of_models(folder)
        changes, drift = since(folder, record, directory)
        found |= of_every_task(folder)
    return {**found, "evaluators": [*record.outcomes, *of_rows()], "changes": list(changes), "baseline": list(drift)}


def entries(outcome: Outcome, maker: str) -> list[Entry]:
    """The entries that an outcome may be of."""
    makers = set(EVALUATORS) if maker in ("evaluators", "changes") else {maker}
    return [entry for entry in vocabulary().of(outcome.metric) if makers & set(entry.by)]


def fits(outcome: Measurement | Fact, entry: Entry) -> bool:
    """Whether unit, range, kind, reference, model and slice of an outcome are what an entry says."""
    low, high = entry.ends
    numbers = [outcome.value]
    if isinstance(outcome, Measurement):
        numbers += [end for end in (outcome.low, outcome.high) if end is not None]
    return (
        outcome.unit in entry.unit
        and all(low - 1e-12 <= number <= high + 1e-12 for number in numbers)
        and outcome.kind in entry.kind
        and (getattr(outcome, "reference", None) is None) is (entry.reference is None)
        and (outcome.model is None) is (entry.about == "data")
        and place(outcome.slice, entry)
    )


def place(where: Slice, entry: Entry) -> bool:
    own = {column: value for column, value in where if column != "(class)"}
    if entry.columns:
        return own.keys() == set(entry.columns)
    stars, n = sum(value == ANY for value in own.values()), len(own)
    shapes = {
        "everyone": n == 0, "group": n == 1 and stars == 0, "groups": n == 1 and stars == 1,
        "cell": n > 1 and stars == 0, "cells": n > 1 and stars == n, "group-within": n == 2 and stars == 0,
        "groups-within": n == 2 and stars == 1, "identifiers": n > 0 and stars == n,
    }  # fmt: skip
    return any(shapes[shape] for shape in entry.slices)


@pytest.mark.slow
def test_every_outcome_is_one_that_the_vocabulary_knows(made: Mapping[str, list[Outcome]]) -> None:
    wrong = []
    for maker, outcomes in made.items():
        for outcome in outcomes:
            known = entries(outcome, maker)
            good = known if isinstance(outcome, NotMeasured) else [one for one in known if fits(outcome, one)]
            if outcome.task not in {task(one, maker) for one in good}:
                wrong.append((maker, outcome))
    assert wrong == []


def task(entry: Entry, maker: str) -> str | None:
    return vocabulary().task(entry, maker if maker in entry.by else entry.by[0])


@pytest.mark.slow
def test_every_entry_is_made_by_each_of_its_makers(made: Mapping[str, list[Outcome]]) -> None:
    elsewhere = {"imported.*", "own.*"}  # whatever another tool or the user calls them
    for name, known in vocabulary().entries.items():
        if name in elsewhere:
            continue
        for entry in known:
            for maker in entry.by:
                outcomes = made[maker if maker in made else "evaluators"]
                measured = [o for o in outcomes if o.metric == name and not isinstance(o, NotMeasured)]
                assert any(fits(one, entry) for one in measured), (name, maker)


def test_the_sample_record_and_the_policies_name_metrics_that_there_are() -> None:
    names = {outcome.metric for outcome in sample_record().outcomes}
    names |= {control.metric for name in shipped("policies") for control in load_policy(name).controls}
    assert {name for name in names if not vocabulary().of(name)} == set()


def test_makers_are_those_of_configs() -> None:
    makers = vocabulary().makers
    tables, tasks = {f"table:{kind}" for kind in KINDS}, {f"task:{task}" for task in TASKS}
    assert set(makers) == {*EVALUATORS, *tables, *tasks, "baseline", "import"}
    assert {makers[f"table:{kind}"] for kind in KINDS} == set(KINDS)
    assert {makers[f"task:{task}"] for task in TASKS} == set(TASKS)
    for known in vocabulary().entries.values():
        assert all(maker in makers for entry in known for maker in entry.by)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_metric_has_a_title_and_a_meaning(language: str) -> None:
    texts = Texts(language)
    missing = []
    for name in vocabulary().entries:
        shown = texts.metric(name)
        if not name.endswith(".*") and (not shown.says or "." in shown.title):
            missing.append(name)
    assert missing == []


def test_changes_are_those_of_two_runs() -> None:
    rate, cost, gap = (
        vocabulary().of(f"{name}.change")[0]
        for name in ("quality.accuracy", "quality.cost", "fairness.accuracy.difference")
    )
    assert (rate.ends, rate.unit, rate.reference) == ((-1, 1), (Unit.DIFFERENCE,), "baseline")
    assert (cost.ends, cost.unit) == ((-1, math.inf), (Unit.RELATIVE,))
    assert (gap.ends, gap.unit, gap.slices) == ((-1, 1), (Unit.DIFFERENCE,), ("groups", "cells", "groups-within"))
    for nobody in ("quality.auc.difference.change", "quality.auc.change.change", "drift.length.change"):
        assert vocabulary().of(nobody) == ()


def test_a_misspelt_name_gets_the_nearest() -> None:
    assert "'quality.accuracy'" in vocabulary().suggest("quality.acuracy")
    assert "'quality.accuracy.change'" in vocabulary().suggest("quality.acuracy.change")
    assert "docs/policies.md" in vocabulary().suggest("zzz")
    assert vocabulary().of("imported.") == ()
    assert vocabulary().of("imported") == ()
