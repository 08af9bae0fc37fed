"""Audits that ship: each config loads, and those of reviews run in a short form and end in a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from governance.audit import run_audit
from governance.config import load_config
from governance.configfile import find, shipped
from governance.measure import Measurement
from governance.policy import Status
from governance.tableconfig import load_table_config
from governance.taskconfig import load_task_config

OF_TASKS = [name for name in shipped("audits") if load_task_config(name)]
MAIN = {"qa": "token_f1", "generation": "rouge_l", "ranking": "mrr", "description": "attribute_precision"}
SHORT = {"reviews-zh": 600, "clothing-rating": 300, "clothing-department": 800}


@pytest.mark.parametrize("name", shipped("audits"))
def test_every_config_loads(name: str) -> None:
    config, path = load_table_config(name) or load_task_config(name) or load_config(name)
    assert config.audit == name
    assert path.name == f"{name}.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_a_short_form_ends_in_a_verdict(tmp_path: Path, name: str) -> None:
    raw: dict[str, Any] = yaml.safe_load(find("audits", name).read_text("utf-8"))
    raw["data"]["rows"] = SHORT[name]
    raw["scrub"] = {"policy": "patterns", "workers": 1}  # names take a language model, which other tests load
    raw["evaluators"] = [entry for entry in raw["evaluators"] if "personal-data" not in str(entry)]
    raw["data"]["test_share"] = 0.5
    if name == "clothing-department":  # its encoder is that of clothing-rating, and takes longest
        raw |= {"models": {"baseline": raw["models"]["baseline"]}, "candidate": "baseline"}
        del raw["incumbent"]
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    done = run_audit(path, out=tmp_path / "runs")
    assert done.verdict.status in (Status.PASS, Status.FAIL, Status.UNPROVEN)
    assert (done.directory / "latest" / "report.html").stat().st_size > 10_000
    measured = {o.metric for o in done.record.outcomes if isinstance(o, Measurement) and o.model == raw["candidate"]}
    assert {"quality.accuracy", "quality.balanced_accuracy", "quality.auc"} <= measured
    assert len(done.record.data.labels) == {"reviews-zh": 2, "clothing-rating": 5, "clothing-department": 6}[name]
    if "drivers" in str(raw["evaluators"]):
        assert {"drivers.distortion", "drivers.largest_distortion"} <= measured


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_TASKS)
def test_a_short_form_of_a_task_ends_in_a_verdict(tmp_path: Path, name: str) -> None:
    raw: dict[str, Any] = yaml.safe_load(find("audits", name).read_text("utf-8"))
    raw["data"]["rows"] = 24
    raw["scrub"] = {"policy": "patterns", "workers": 1}
    raw["draws"] = 200
    if name == "descriptions":  # its language model is that of policy-sentences, and takes longest to unpack
        raw |= {"models": {"rules": raw["models"]["rules"]}, "candidate": "rules", "incumbent": "rules"}
    for model in raw["models"].values():
        if model.get("head") == "causal":
            model.update(rows=2, max_tokens=8)
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    done = run_audit(path, out=tmp_path / "runs", language=raw["language"])
    assert done.verdict.status in (Status.PASS, Status.FAIL, Status.UNPROVEN)
    assert (done.directory / "latest" / "report.html").stat().st_size > 10_000
    measured = {(o.metric, o.model) for o in done.record.outcomes if isinstance(o, Measurement)}
    main = f"quality.{MAIN[raw['task']]}"
    assert {(main, model) for model in raw["models"]} <= measured
    assert done.record.data.rows_test == 24
