"""Audits of tables: decisions in a file, measured by group, recorded, judged and rendered like any other audit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from governance.audit import run_audit
from governance.cli import main
from governance.configfile import shipped
from governance.errors import ConfigError, DataError
from governance.measure import Fact, Measurement, Slice
from governance.record import load_record
from governance.tableconfig import KINDS


def decisions(folder: Path, n: int = 2_400) -> Path:
    rng = np.random.default_rng(0)
    sex = np.array(["女", "男", None], dtype=object)[rng.choice(3, n, p=[0.5, 0.45, 0.05])]
    truth = rng.random(n) < 0.5
    score = np.clip(rng.normal(0.35 + 0.3 * truth - 0.1 * (sex == "女"), 0.2), 0, 1)
    words = np.array(["bad", "good"])
    table = {
        "sex": pa.array(sex),
        "age": rng.integers(18, 80, n),
        "true": words[truth.astype(int)],
        "said": words[(score > 0.5).astype(int)],
        "score": score,
        "customer": [f"c{i}" for i in rng.integers(0, n // 2, n)],
        "note": ["private note of somebody"] * n,
    }
    pq.write_table(pa.table(table), folder / "decisions.parquet")
    return folder / "decisions.parquet"


def config(folder: Path, **changes) -> Path:
    table = {
        "path": "decisions.parquet",
        "kind": "classification",
        "columns": {"truth": "true", "prediction": "said", "score": "score"},
        "positive": "good",
        "groups": ["sex"],
        "bands": {"age_band": {"column": "age", "edges": [30, 50]}},
    } | changes.pop("table", {})
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump({"audit": "credit", "table": table, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_decisions_end_in_a_verdict_and_a_page(tmp_path: Path, language: str) -> None:
    decisions(tmp_path)
    done = CliRunner().invoke(
        main,
        ["audit", str(config(tmp_path)), "--out", str(tmp_path / "runs"), "--lang", language, "--json", "--quiet"],
    )
    assert done.exit_code in (0, 1, 3), done.output
    verdict = json.loads(done.stdout)
    assert verdict["candidate"] == "decisions"
    run = next((tmp_path / "runs/credit").glob("*/record.json")).parent
    record = load_record(run)
    assert (record.task, record.data.rows_used, record.data.rows_empty) == ("classification", 2_400, 0)
    assert record.data.groups["sex"].keys() == {"女", "男"}
    assert record.data.groups_missing["sex"] > 0
    found = {(one.metric, one.slice.label()): one for one in record.outcomes}
    gap = found["fairness.selection_rate.difference", "sex=*"]
    assert isinstance(gap, Measurement)
    assert gap.low is not None
    assert gap.low > 0
    assert isinstance(found["fairness.auc.difference", "sex=*"], Measurement)
    assert isinstance(found["fairness.selection_rate.difference_to_rest", "sex=女"], Measurement)
    page = next(run.glob("out/*/report.html")).read_text("utf-8")
    assert "女" in page
    assert "private note" not in page + (run / "record.json").read_text("utf-8")
    shown = json.dumps([one.method for one in record.outcomes if not isinstance(one, Fact) and hasattr(one, "method")])
    assert language == "en" or "Rao-Scott" in shown


def test_clusters_widen_and_a_rerun_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decisions(tmp_path)
    plain = run_audit(config(tmp_path), out=tmp_path / "runs")
    again = run_audit(config(tmp_path), out=tmp_path / "runs")
    assert again.directory == plain.directory
    clustered = run_audit(config(tmp_path, table={"cluster": "customer"}), out=tmp_path / "runs")
    assert clustered.directory != plain.directory
    assert clustered.record.data.clusters_test < 2_400

    def width(result) -> float:
        where = Slice.of({"sex": "女"})
        one = next(x for x in result.record.outcomes if x.metric == "fairness.accuracy" and x.slice == where)
        return one.high - one.low

    assert width(clustered) >= width(plain)


def test_every_kind_has_an_evaluator_and_a_policy() -> None:
    from governance.registry import load

    for kind in KINDS:
        assert f"table-{kind}" in shipped("policies")
        evaluator = load("table kind", kind, KINDS)
        assert evaluator.task == kind
        assert evaluator.numbers.keys().isdisjoint(evaluator.names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": {"kind": "price"}}, r"table.kind: no 'price'. Did you mean 'prices'\?"),
        ({"table": {"columns": {"truth": "true", "scores": "score"}}}, "no such role. Did you mean 'score'"),
        ({"table": {"columns": {"truth": "true"}}}, "table.columns.prediction: this role is required"),
        ({"table": {"groups": [], "bands": {}}}, "at least one sensitive column"),
        ({"settings": {"depht": 2}}, "unknown key 'depht'. Did you mean 'depth'"),
        ({"settings": {"depth": 0}}, "expected at least 1, got 0"),
        ({"settings": {"controls": ["sexx"]}}, "no group column 'sexx'. Did you mean 'sex'"),
        ({"table": {"path": "decision.parquet"}}, "table.path"),
        ({"table": {"positive": "gut"}}, r"table.positive: no row is of the class 'gut'\..* Known: bad, good\."),
        ({"table": {"columns": {"truth": "tru", "prediction": "said"}}}, r"truth: no column 'tru'\. Did you mean"),
        ({"table": {"groups": ["sexx"]}}, r"table.groups.0: no column 'sexx'\. Did you mean 'sex'"),
        ({"table": {"cluster": "client"}}, r"table\.cluster: no column 'client'"),
        ({"policy": "tables"}, "no 'tables' in configs/policies"),
        ({"tabel": {}}, "unknown key 'tabel'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_file_and_key(tmp_path: Path, changes, message: str) -> None:
    decisions(tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        run_audit(config(tmp_path, **changes), out=tmp_path / "runs")


def test_numbers_that_are_none_are_told_without_their_values(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"a": ["1", "2 secret"], "b": [1.0, float("inf")], "g": ["x", "y"]}), tmp_path / "r.parquet"
    )
    for truth, message in (("a", "expected numbers in column 'a'"), ("b", "expected finite numbers in column 'b'")):
        table = {"path": "r.parquet", "kind": "regression", "columns": {"truth": truth, "prediction": truth}}
        path = tmp_path / "regression.yaml"
        path.write_text(yaml.safe_dump({"audit": "r", "table": {**table, "groups": ["g"]}}), encoding="utf-8")
        with pytest.raises(DataError, match=message) as told:
            run_audit(path, out=tmp_path / "runs")
        assert "secret" not in str(told.value)


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    column = '<script>alert(1)</script>"; DROP'
    values = np.array(['<img src=x onerror="1">', "\u202eevil", "'; --"], dtype=object)[rng.integers(0, 3, 600)]
    said = np.array(["a", "b"])[rng.integers(0, 2, 600)]
    pq.write_table(pa.table({column: values, "t": said, "p": said}), tmp_path / "decisions.parquet")
    table = {"columns": {"truth": "t", "prediction": "p"}, "positive": "a", "groups": [column], "bands": {}}
    result = run_audit(config(tmp_path, table=table), out=tmp_path / "runs")
    page = (result.out / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\u202e" not in page
