"""Predictions that another system wrote: matched by key, trusted in nothing, weighed beside a model that is asked."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.base import Probe, Setting, Subject
from governance import run_audit
from governance.audit import Result
from governance.backends.base import Answer, Capability
from governance.backends.predictions import Columns, Given, PredictionsBackend, read_predictions, row_keys
from governance.dataset import Labels, SyntheticText
from governance.errors import ConfigError, DataError
from governance.files import digest_file
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from governance.policy.scope import lacking, sources
from governance.policyscope import scope_of
from governance.prepare import prepare
from governance.record import RunRecord
from governance.vocabulary import vocabulary
from tests.test_policycheck import control
from tests.tiny import write_config, write_reviews

LABELS = Labels(("no", "yes"), "yes")
PLAIN = Columns(id="id", label="label", scores={})
SCORED = Columns(id="id", label="label", scores={"no": "p0", "yes": "p1"}, seconds="s", failure="f")
KEYS = {"a": 0, "b": 1, "c": 2}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


WRITERS = {".csv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet}


def read_rows(folder: Path, rows: Sequence[Mapping[str, Any]], columns: Columns = PLAIN) -> Given:
    return read_predictions(write_csv(folder / "p.csv", rows), columns, KEYS, LABELS)


def scored_row(key: str, p1: Any = 0.75, **changes: Any) -> dict[str, Any]:
    p0 = 1 - p1 if isinstance(p1, float) else 0.25
    return {"id": key, "label": "yes", "p0": p0, "p1": p1, "s": 0.5, "f": None, **changes}


# -- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_says_the_same(tmp_path: Path, ending: str) -> None:
    rows = [scored_row("a"), scored_row("b", 0.25, label="no", f="timeout"), scored_row("c", 0.5, s=2.0)]
    found = read_predictions(WRITERS[ending](tmp_path / f"p{ending}", rows), SCORED, KEYS, LABELS)
    assert found.scored
    assert found.found == {"rows": 3}
    assert dict(found.answers) == {
        0: Answer(label="yes", scores=(0.25, 0.75), seconds=0.5),
        1: Answer(failure="the file says that it failed", seconds=0.5),
        2: Answer(label="yes", scores=(0.5, 0.5), seconds=2.0),
    }


def test_what_is_wrong_with_rows_is_counted_and_fails_them_alone(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "label": "yes"},
        {"id": "a", "label": "yes"},
        {"id": "b", "label": "no"},
        {"id": "b", "label": "yes"},
        {"id": "c", "label": "maybe Ann Smith"},
        {"id": "z", "label": "yes"},
        {"id": "", "label": "yes"},
    ]
    found = read_rows(tmp_path, rows)
    assert found.found == {
        "rows": 7,
        "unknown rows": 2,
        "unknown labels": 1,
        "repeated rows": 2,
        "rows with different predictions": 1,
    }
    assert found.answers[0].label == "yes"
    assert found.answers[1].failure == "the file has different predictions for this row"
    assert found.answers[2].failure == "the label in the file is none of the classes"


def test_the_same_label_with_other_scores_is_another_prediction(tmp_path: Path) -> None:
    found = read_rows(tmp_path, [scored_row("a", 0.75), scored_row("a", 0.8), scored_row("b")], SCORED)
    assert found.answers[0].failure == "the file has different predictions for this row"
    assert found.answers[1].scores == (0.25, 0.75)


def test_a_failure_is_told_without_its_words(tmp_path: Path) -> None:
    found = read_rows(
        tmp_path, [scored_row("a", f="no answer for ann@example.org"), scored_row("b", f="false")], SCORED
    )
    assert "ann" not in repr(found)
    assert found.answers[1].label == "yes"


@pytest.mark.parametrize("p1", [math.nan, math.inf, 1.5, -0.1, "high", None, 0.75001])
def test_scores_are_probabilities_or_none_is_kept(tmp_path: Path, p1: Any) -> None:
    found = read_rows(tmp_path, [scored_row("a"), scored_row("b", p1=p1, p0=0.25)], SCORED)
    assert not found.scored
    assert found.found["rows whose scores are no probabilities"] == 1
    assert [found.answers[row].scores for row in (0, 1)] == [None, None]
    assert [found.answers[row].label for row in (0, 1)] == ["yes", "yes"]
    assert PredictionsBackend(found).capabilities == {Capability.ROWS}


def test_scores_of_failed_rows_are_nobodys_business(tmp_path: Path) -> None:
    found = read_rows(tmp_path, [scored_row("a"), scored_row("b", p1=None, f="down")], SCORED)
    assert found.scored
    assert PredictionsBackend(found).capabilities == {Capability.ROWS, Capability.SCORES}


@pytest.mark.parametrize("share", [0.75 + 9e-7, 0.75 - 9e-7])
def test_rounded_scores_are_taken(tmp_path: Path, share: float) -> None:
    assert read_rows(tmp_path, [scored_row("a", p1=share, p0=0.25)], SCORED).scored


@pytest.mark.parametrize("seconds", ["", "soon", math.nan, -1.0, 1e300])
def test_a_time_that_is_none_is_counted(tmp_path: Path, seconds: Any) -> None:
    found = read_rows(tmp_path, [scored_row("a"), scored_row("b", s=seconds)], SCORED)
    assert found.found["rows without a time"] == 1
    assert [found.answers[row].seconds for row in (0, 1)] == [0.5, 0.0]


def test_numbers_are_keys_and_labels_in_any_type(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "p.parquet", [{"id": 1.0, "label": 1}, {"id": 0.0, "label": 0}])
    keys = row_keys(path, None, np.array([0, 1]), 2)
    found = read_predictions(path, PLAIN, keys, Labels(("0", "1"), "1"))
    assert {row: answer.label for row, answer in found.answers.items()} == {1: "1", 0: "0"}


def test_a_file_about_other_rows_is_refused_without_a_cell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 values of column 'id' is the key of a row") as error:
        read_rows(tmp_path, [{"id": "ann@example.org", "label": "yes"}])
    assert "ann" not in str(error.value)
    with pytest.raises(DataError, match=r"label: no column 'label'. Did you mean 'lable'\?"):
        read_rows(tmp_path, [{"id": "a", "lable": "yes"}])


def test_keys_of_the_data_are_its_own(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "d.csv", [{"k": "a"}, {"k": "a"}, {"k": ""}, {"k": "b"}])
    with pytest.raises(DataError, match=r"data.id: expected another value of column 'k' in every row, 1 repeat"):
        row_keys(path, "k", np.array([0, 1, 2, 3]), 4)
    assert row_keys(path, "k", np.array([0, 2, 3]), 4) == {"a": 0, "b": 3}  # row 1 isn't used
    assert row_keys(path, None, np.array([0]), 3) == {"0": 0, "1": 1, "2": 2}


cells = st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["a", "b", "yes", "no", "0.5", "1", "nan", "-1"]))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries(dict.fromkeys(("id", "label", "p0", "p1", "s", "f"), cells)), max_size=8))
def test_whatever_is_in_the_file_answers_hold(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("p") / "p.parquet"
    schema = pa.schema([(name, pa.string()) for name in ("id", "label", "p0", "p1", "s", "f")])
    table = [{name: None if value is None else str(value) for name, value in scored_row("c").items()}, *rows]
    pq.write_table(pa.Table.from_pylist(table, schema=schema), path)
    found = read_predictions(path, SCORED, KEYS, LABELS)
    for answer in found.answers.values():
        assert answer.label in (None, *LABELS.classes)
        assert 0 <= answer.seconds <= 1e9
        assert (answer.scores is not None) == (found.scored and answer.label is not None)
        assert answer.scores is None or abs(sum(answer.scores) - 1) <= 1e-6
    named = {row["id"] for row in table} & KEYS.keys()
    assert found.answers.keys() == {KEYS[str(name)] for name in named}


def test_texts_have_no_predictions(tmp_path: Path) -> None:
    backend = PredictionsBackend(read_rows(tmp_path, [{"id": "a", "label": "yes"}]))
    assert [answer.failure for answer in backend.classify([SyntheticText("a")])] == ["no prediction in the file"]
    assert [answer.label for answer in backend.classify_rows([1, 0])] == [None, "yes"]


# -- the audit ---------------------------------------------------------------------------------


class MadeUp:
    """An evaluator that asks texts of its own; stands in for another package's."""

    def probes(self, setting: Setting) -> Sequence[Probe]:
        return (Probe("made-up", (SyntheticText("a lovely dress"),)),)

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        return [
            Fact(metric="made.up", value=1, unit=Unit.COUNT, method="m", model=subject.name)
            if "made-up" in subject.answers
            else NotMeasured(metric="made.up", reason="can't be asked", model=subject.name)
            for subject in subjects
        ]


def predicted(folder: Path, *, wrong: int = 5, positive: str = "yes", negative: str = "no") -> list[dict[str, Any]]:
    """What a system that errs on every `wrong`-th row says of `reviews.csv`, by row number."""
    with (folder / "reviews.csv").open(encoding="utf-8") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    rows = []
    for i, label in enumerate(truth):
        good = (label == positive) != (i % wrong == 0)
        p1 = 0.75 if good else 0.25
        said = positive if good else negative
        rows.append({"id": i, "label": said, "p0": 1 - p1, "p1": p1, "s": 0.01 * (1 + i % 3)})
    return rows


MODEL = {"kind": "predictions", "scores": {"no": "p0", "yes": "p1"}, "seconds": "s", "price_per_hour": 1.0}


def audit(folder: Path, file: Path, *, model: Mapping[str, Any] = MODEL, **changes: Any) -> Result:
    models = {"tfidf": {"kind": "tfidf-logistic"}, "theirs": {**model, "path": file.name}}
    evaluators = [{"name": "quality", "draws": 200}, "fairness", "membership", "explanation", "claim", "slices"]
    defaults: dict[str, Any] = {"models": models, "candidate": "theirs", "incumbent": "tfidf"}
    config = write_config(
        folder / "c.yaml", **{**defaults, "evaluators": [*evaluators, "personal-data", "anonymity"], **changes}
    )
    return run_audit(config, out=folder / "runs")


def outcome(record: RunRecord, metric: str, model: str = "theirs") -> Any:
    [found] = [o for o in record.outcomes if (o.metric, o.model) == (metric, model) and not o.slice.pairs]
    return found


def test_a_file_is_weighed_beside_a_model_that_is_asked(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    file = write_parquet(tmp_path / "theirs.parquet", predicted(tmp_path))
    result = audit(tmp_path, file)
    record = result.record
    difference = outcome(record, "quality.accuracy.difference")
    assert isinstance(difference, Measurement)
    assert (difference.reference, difference.n) == ("tfidf", record.data.rows_test)
    assert isinstance(outcome(record, "quality.auc.difference"), Measurement)
    assert outcome(record, "quality.coverage").value == 1.0
    [answers] = (tmp_path / "runs/small").glob("*/predictions/theirs.parquet")
    rows = pq.read_table(answers).to_pylist()
    hits = [row["predicted"] == row["label"] for row in rows]
    assert hits == [row["row"] % 5 != 0 for row in rows]  # each row has its own prediction
    assert outcome(record, "quality.accuracy").value == pytest.approx(np.mean(hits))
    assert outcome(record, "quality.latency_p50").value == pytest.approx(0.02)
    assert isinstance(outcome(record, "quality.cost"), Measurement)
    for metric in ("membership.auc", "membership.tpr_at_1pct_fpr"):
        assert outcome(record, metric).reason == "not trained by this audit, so its training data are unknown"
    entry = record.model("theirs")
    assert (entry.kind, entry.source, entry.trained) == ("predictions", "theirs.parquet", False)
    assert entry.digest == digest_file(file) == record.lineage.bases["theirs"]
    assert set(entry.capabilities) == {"rows", "scores"}
    assert entry.settings == {"rows in the file": 240}
    assert "theirs.parquet" in (result.out / "report.html").read_text()


def test_missing_rows_lower_coverage_and_no_figure_is_made_up_of_them(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    rows = [row for row in predicted(tmp_path) if row["id"] % 4]
    record = audit(tmp_path, write_csv(tmp_path / "theirs.csv", rows)).record
    coverage = outcome(record, "quality.coverage")
    assert 0.6 < coverage.value < 0.9
    difference = outcome(record, "quality.accuracy.difference")
    assert difference.n == coverage.counts["successes"] < record.data.rows_test
    assert outcome(record, "quality.latency_p50").value > 0  # rows that nobody answered took no time
    assert outcome(record, "quality.latency_p50").n == difference.n


def test_labels_alone_give_no_scores_and_no_times(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    file = write_jsonl(tmp_path / "theirs.jsonl", predicted(tmp_path))
    record = audit(tmp_path, file, model={"kind": "predictions"}).record
    assert outcome(record, "quality.auc").reason == "gives labels without scores"
    for metric in ("quality.latency_p50", "quality.latency_p95", "quality.cost"):
        assert isinstance(outcome(record, metric), NotMeasured)
    assert isinstance(outcome(record, "quality.accuracy.difference"), Measurement)


def test_another_file_is_another_run(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    first = audit(tmp_path, write_csv(tmp_path / "theirs.csv", predicted(tmp_path))).record
    second = audit(tmp_path, write_csv(tmp_path / "theirs.csv", predicted(tmp_path, wrong=3))).record
    assert first.run != second.run
    assert outcome(first, "quality.accuracy").value > outcome(second, "quality.accuracy").value


def test_chinese_labels_and_keys_of_the_data(tmp_path: Path) -> None:
    said = [("质量很好非常喜欢", "好") if i % 3 else ("太差了我要退货", "差") for i in range(150)]
    data = [{"编号": f"评论{i}", "text": f"{text}第{i}件", "label": label} for i, (text, label) in enumerate(said)]
    write_csv(tmp_path / "reviews.csv", data)
    rows = [{"key": row["编号"], "预测": row["label"]} for row in reversed(data)]  # in another order
    rows[0]["预测"] = rows[1]["预测"] = "中"
    record = audit(
        tmp_path,
        write_csv(tmp_path / "theirs.csv", rows),
        model={"kind": "predictions", "id": "key", "label": "预测"},
        language="zh",
        data={"path": "reviews.csv", "positive": "好", "id": "编号"},
    ).record
    assert outcome(record, "quality.accuracy").value == 1.0
    assert record.model("theirs").settings == {"rows in the file": 150, "unknown labels": 2}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())
    assert "评论7".encode() not in kept  # keys may tell who somebody is


def test_an_evaluator_that_makes_up_texts_learns_that_nobody_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    file = write_csv(tmp_path / "theirs.csv", predicted(tmp_path))
    monkeypatch.setattr("governance.prepare.evaluator_of", lambda *_, **__: MadeUp())
    record = audit(tmp_path, file, evaluators=["quality"]).record
    assert outcome(record, "made.up", "tfidf").value == 1
    assert outcome(record, "made.up").reason == "can't be asked"


# -- the config --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scores": {"yes": "p1"}}, ConfigError, r"models.theirs.scores: expected a column for each class \(no, yes\)"),
        ({"scores": {"no": "p0", "yes": "p9"}}, DataError, "models.theirs: .*scores.yes: no column 'p9'"),
        ({"seconds": None}, ConfigError, "price_per_hour: expected seconds beside it"),
        ({"path": "gone.csv"}, DataError, "models.theirs.path: .*no such file"),
        ({"path": "."}, ConfigError, "models.theirs.path: expected a file, found a folder"),
    ],
)
def test_what_a_config_gets_wrong_is_told_before_anything_runs(
    tmp_path: Path, changes: Mapping[str, Any], error: type[Exception], message: str
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    write_csv(tmp_path / "theirs.csv", predicted(tmp_path))
    models = {"theirs": {**MODEL, "path": "theirs.csv", **changes}}
    config = write_config(tmp_path / "c.yaml", models=models, candidate="theirs")
    with pytest.raises(error, match=message):
        prepare(str(config))


def test_keys_that_the_data_has_not_are_told(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    config = write_config(tmp_path / "c.yaml", data={"path": "reviews.csv", "id": "custmer"})
    with pytest.raises(DataError, match=r"data\.id: no column 'custmer'\. Did you mean 'customer'"):
        prepare(str(config))


def test_no_fairer_version_is_made_of_a_file(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    write_csv(tmp_path / "theirs.csv", predicted(tmp_path))
    fairer = {"kind": "mitigated", "of": "theirs", "method": "reweighing", "group": "department"}
    models = {"theirs": {**MODEL, "path": "theirs.csv"}, "fairer": fairer}
    config = write_config(tmp_path / "c.yaml", models=models, candidate="theirs")
    with pytest.raises(
        ConfigError, match=r"expected a model that this audit trains, found 'theirs' of kind predictions"
    ):
        prepare(str(config))


def test_a_policy_is_told_what_a_file_cannot_say(tmp_path: Path) -> None:
    models = {
        "full": {**MODEL, "path": "p.csv"},
        "labels": {"kind": "predictions", "path": "p.csv"},
        "code": {"kind": "callable", "function": "m:f", "code": True},
    }
    evaluators = ["quality", "membership", "explanation"]
    config = write_config(tmp_path / "c.yaml", models=models, candidate="full", evaluators=evaluators)
    scope = scope_of(str(config))
    assert scope.models == {"full": {"scores", "seconds", "price"}, "labels": set(), "code": {"seconds"}}

    def told(metric: str) -> list[str | None]:
        found = sources(control(metric=metric, at_least=0), vocabulary(), scope)
        assert not isinstance(found, str)
        return [lacking(found, model, scope) for model in models]

    assert told("membership.auc") == ["it isn't trained by this audit"] * 3
    assert told("quality.auc") == [None, "it gives labels without scores", "it gives labels without scores"]
    assert told("quality.latency_p95") == [None, "nobody says how long its rows took", None]
    assert told("explanation.placeholders") == ["its weights can't be read"] * 3
