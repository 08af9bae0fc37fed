"""Exports, held against the official schema (tests/data/every-eval-ever, from the package every-eval-ever 0.3.0)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from governance.cli import main
from governance.measure import ANY, EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.record import RunRecord, save_record
from reports.everyeval import lower_is_better, render
from tests.sample_record import MODELS, record

DATA = Path(__file__).parent / "data"
SCHEMA = json.loads((DATA / "every-eval-ever/eval.schema.json").read_text("utf-8"))
LOG = next((DATA / "lm-eval/one").glob("results_*.json"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def check(raw: dict[str, Any]) -> dict[str, Any]:
    """As the official schema has it."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(raw)
    assert raw["schema_version"] == SCHEMA["version"]
    return raw


def exported(judged: RunRecord) -> dict[str, dict[str, Any]]:
    return {name: check(json.loads(file.content)) for name, file in render(judged).items()}


def figure(outcome: Outcome, model: str = "open") -> dict[str, Any] | None:
    found = exported(record([outcome]))[f"{model}.json"]["evaluation_results"]
    named = [one for one in found if one["metric_config"]["metric_name"] == outcome.metric]
    return named[-1] if named else None


def rate(**changes: Any) -> Measurement:
    given = {"metric": "quality.extra", "value": 0.5, "low": 0.4, "high": 0.6, "level": 0.9, "n": 80}
    return Measurement(**{**given, "unit": Unit.RATE, "method": "Wilson", "model": "open", **changes})


def test_a_whole_record_keeps_the_official_schema() -> None:
    files = exported(record())
    assert list(files) == [f"{model}.json" for model in MODELS]
    for model, raw in zip(MODELS, files.values(), strict=True):
        assert raw["evaluation_id"].startswith(f"quickstart/{model}/") and raw["model_info"]["name"] == model
        assert raw["eval_library"] == {"name": "steelyard", "version": "unknown"}  # the sample names none
    hosting = {name: raw["model_info"]["additional_details"]["deployment_type"] for name, raw in files.items()}
    assert hosting["closed.json"] == "externally_managed" and hosting["open.json"] == "self_deployed"


def test_every_figure_with_a_better_side_is_there_and_counted() -> None:
    judged = record()
    for model, file in zip(judged.models, render(judged).values(), strict=True):
        own = [outcome for outcome in judged.outcomes if outcome.model == model.name]
        told = [o for o in own if not isinstance(o, NotMeasured) and lower_is_better(o, model) is not None]
        results = json.loads(file.content)["evaluation_results"]
        assert (file.figures, file.left_out) == (len(told), len(own) - len(told)) and file.left_out > 0
        assert [one["score_details"]["score"] for one in results] == [outcome.value for outcome in told]
        assert len({one["evaluation_result_id"] for one in results}) == len(results)


def test_an_interval_is_exported_as_it_was_measured() -> None:
    found = figure(rate())
    assert found is not None
    assert found["score_details"]["uncertainty"] == {
        "confidence_interval": {"lower": 0.4, "upper": 0.6, "confidence_level": 0.9, "method": "Wilson"},
        "num_samples": 80,
    }
    assert (found["metric_config"]["min_score"], found["metric_config"]["max_score"]) == (0, 1)


def test_a_one_sided_interval_is_no_interval_of_that_schema() -> None:
    found = figure(rate(high=None))
    assert found is not None
    assert found["score_details"]["uncertainty"] == {"num_samples": 80}
    assert found["score_details"]["details"] == {"low": "0.4", "level": "0.9"}


def test_a_fact_has_no_uncertainty() -> None:
    found = figure(Fact(metric="quality.extra", value=2.0, unit=Unit.MONEY, method="USD", model="open"))
    assert found is not None and found["score_details"] == {"score": 2.0, "details": {"exact": "true"}}
    assert found["metric_config"]["max_score"] == "Infinity"


@pytest.mark.parametrize(
    ("metric", "where", "lower"),
    [
        ("quality.auc", EVERYONE, False),
        ("quality.latency_p95", EVERYONE, True),
        ("quality.cost", EVERYONE, True),
        ("membership.auc", EVERYONE, True),
        ("fairness.accuracy.difference", Slice.of(age=ANY), True),
        ("fairness.selection_rate.ratio", Slice.of(age=ANY), False),
        ("fairness.selection_rate", Slice.of(age="30-39"), None),
        ("fairness.accuracy.difference_to_rest", Slice.of(age="30-39"), None),
        ("explanation.words", EVERYONE, None),
        ("imported.t.acc", EVERYONE, False),
    ],
)
def test_which_side_is_better(metric: str, where: Slice, lower: bool | None) -> None:
    assert lower_is_better(rate(metric=metric, slice=where), record().model("open")) is lower


def test_what_is_of_two_models_or_missing_is_left_out() -> None:
    assert figure(rate(metric="quality.extra.difference", reference="baseline")) is None
    assert figure(NotMeasured(metric="quality.extra", reason="why", model="open")) is None


def test_hostile_names_stay_in_the_folder(tmp_path: Path) -> None:
    judged = record()
    names = ["../../etc", "Etc", "etc", "模型"]
    renamed = [entry.model_copy(update={"name": name}) for entry, name in zip(judged.models, names, strict=True)]
    bad = judged.model_copy(update={"models": tuple(renamed), "outcomes": (), "candidate": "etc", "incumbent": None})
    assert list(render(bad)) == ["etc.json", "etc-2.json", "etc-3.json", "model.json"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    judged = record().model_copy(update={"files": {}})
    (tmp_path / "run").mkdir()
    save_record(judged, tmp_path / "run")
    return tmp_path / "run"


def test_the_command_writes_a_file_per_model_and_replaces_nothing(tmp_path: Path, saved: Path) -> None:
    arguments = ("export", saved, tmp_path / "out", "--format", "every-eval-ever")
    named = ("--organization", "Shop", "--relationship", "first_party")
    done = run(*arguments, *named)
    assert done.exit_code == 0 and "outcomes have no place in that schema" in done.output, done.output
    raw = check(json.loads((tmp_path / "out/open.json").read_bytes()))
    source = raw["source_metadata"]
    assert (source["source_organization_name"], source["evaluator_relationship"]) == ("Shop", "first_party")
    assert run(*arguments, *named).exit_code == 0  # the same again
    other = run(*arguments)
    assert other.exit_code == 2 and "is there already and says something else" in other.output
    assert json.loads((tmp_path / "out/open.json").read_bytes()) == raw


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "no record.json here"),
        (["RUN", "RUN/record.json"], "expected a folder, found a file"),
    ],
)
def test_a_mistake_gets_one_message(tmp_path: Path, saved: Path, arguments: list[str], message: str) -> None:
    paths = [tmp_path / argument.replace("RUN", "run") for argument in arguments]
    done = run("export", *paths, "--format", "every-eval-ever")
    assert done.exit_code == 2 and message in done.output


def test_an_imported_run_names_the_tool_that_measured(tmp_path: Path) -> None:
    run("import", f"base={LOG}", "--out", tmp_path / "runs")
    (folder,) = (path for path in (tmp_path / "runs/imported").iterdir() if path.is_dir())
    done = run("export", folder, tmp_path / "out", "--format", "every-eval-ever")
    assert done.exit_code == 0, done.output
    raw = check(json.loads((tmp_path / "out/base.json").read_bytes()))
    assert raw["eval_library"] == {"name": "lm-eval", "version": "0.4.13"}
    accuracy = next(one for one in raw["evaluation_results"] if one["evaluation_name"] == "imported.shop_intent.acc")
    assert accuracy["score_details"]["score"] == pytest.approx(1 / 3)
    assert accuracy["metric_config"]["lower_is_better"] is False
