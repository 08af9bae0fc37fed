"""A run in Every Eval Ever's schema (version 0.3.0), so that its figures can stand beside other people's.

Only figures of which it is known whether more or less is better have a place in that schema; the others are counted.

Source:
    eval.schema.json of the package every-eval-ever 0.3.0 (EvalEval Coalition, MIT).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from governance.measure import ANY, Fact, Measurement, NotMeasured, Outcome, Unit
from governance.record import ModelEntry, RunRecord
from reports.view import slug

SCHEMA = "0.3.0"
LESS = ("quality.latency", "quality.cost", "membership.", "leakage.", "privacy.epsilon", "privacy.delta")
MORE = ("quality.", "imported.", "scrubber.recall")
"""Beginnings of metrics of which less, or more, is better; the first that fits counts."""
SCALES: Mapping[Unit, tuple[float | str, float | str]] = {
    Unit.RATE: (0, 1),
    Unit.SCORE: (0, 1),
    Unit.PROBABILITY: (0, 1),
    Unit.SECONDS: (0, "Infinity"),
    Unit.MONEY: (0, "Infinity"),
    Unit.COUNT: (0, "Infinity"),
    Unit.NATS: (0, "Infinity"),
    Unit.RATIO: (0, "Infinity"),
    Unit.DIFFERENCE: (-1, 1),
}
UNITS: Mapping[Unit, str] = {Unit.RATE: "proportion", Unit.SCORE: "points", Unit.SECONDS: "seconds"}


class Exported(NamedTuple):
    """One model's file: JSON in UTF-8, its figures, and how many of the model's outcomes have no place in it."""

    content: bytes
    figures: int
    left_out: int


def render(record: RunRecord, *, organization: str = "unknown", relationship: str = "other") -> Mapping[str, Exported]:
    """A run as files of that schema, which has one model in each.

    Args:
        record: the run.
        organization: who ran the evaluation.
        relationship: of that organization to the models: first_party, third_party, collaborative or other.

    Returns:
        File name, made of a-z, 0-9 and hyphens -> content.
    """
    taken = set[str]()
    return {
        f"{slug(model.name, taken)}.json": _model(record, model, organization, relationship) for model in record.models
    }


def _model(record: RunRecord, model: ModelEntry, organization: str, relationship: str) -> Exported:
    own = [outcome for outcome in record.outcomes if outcome.model == model.name]
    results = [result for outcome in own if (result := _result(record, model, outcome)) is not None]
    moment = str(int(datetime.fromisoformat(record.created).timestamp()))
    library, _, version = model.source.rpartition(" ")
    if model.kind != "imported" or " and " in model.source:
        library, version = "steelyard", record.lineage.versions.get("steelyard", "unknown")
    whole = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{record.audit}/{model.name}/{moment}",
        "retrieved_timestamp": moment,
        "source_metadata": {
            "source_name": f"steelyard run {record.audit}/{record.run}",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
            "additional_details": {"record": record.digest(), "code": record.lineage.code},
        },
        "eval_library": {"name": library, "version": version},
        "model_info": {
            "name": model.name,
            "id": model.title if model.kind == "imported" else f"{record.audit}/{model.name}",
            "additional_details": {
                "deployment_type": _deployment(model),
                "model_availability": "unknown",
                "kind": model.kind,
                "source": model.source,
                **({"digest": model.digest} if model.digest else {}),
            },
        },
        "evaluation_results": results,
    }
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    return Exported(text.encode() + b"\n", len(results), len(own) - len(results))


def _deployment(model: ModelEntry) -> str:
    if model.kind in ("imported", "table"):
        return "unknown"
    return "externally_managed" if model.remote else "self_deployed"


def _result(record: RunRecord, model: ModelEntry, outcome: Outcome) -> dict[str, Any] | None:
    """One figure; None where there is none, where it is of two models, or where it has no better side."""
    lower = lower_is_better(outcome, model)
    if isinstance(outcome, NotMeasured) or lower is None:
        return None
    low, high = SCALES.get(outcome.unit, ("-Infinity", "Infinity"))
    where = "" if not outcome.slice.pairs else f" [{outcome.slice.label()}]"
    return {
        "evaluation_result_id": f"{model.name}/{outcome.metric}{where}",
        "evaluation_name": f"{outcome.metric}{where}",
        "source_data": {
            "dataset_name": record.data.name,
            "source_type": "other",
            "additional_details": {"digest": record.data.digest, "source": record.data.source},
        },
        "metric_config": {
            "metric_id": f"steelyard.{outcome.metric}",
            "metric_name": outcome.metric,
            "metric_unit": UNITS.get(outcome.unit, outcome.unit.value),
            "lower_is_better": lower,
            "score_type": "continuous",
            "min_score": low,
            "max_score": high,
            "additional_details": {"method": outcome.method},
        },
        "score_details": {"score": outcome.value, **_uncertainty(outcome)},
    }


def _uncertainty(outcome: Measurement | Fact) -> dict[str, Any]:
    if isinstance(outcome, Fact):
        return {"details": {"exact": "true"}}
    if outcome.low is None or outcome.high is None:  # the schema has no one-sided interval
        ends = {"low": outcome.low, "high": outcome.high}
        details = {name: repr(end) for name, end in ends.items() if end is not None} | {"level": repr(outcome.level)}
        return {"details": details, "uncertainty": {"num_samples": outcome.n}}
    return {
        "uncertainty": {
            "confidence_interval": {
                "lower": outcome.low,
                "upper": outcome.high,
                "confidence_level": outcome.level,
                "method": outcome.method,
            },
            "num_samples": outcome.n,
        }
    }


def lower_is_better(outcome: Outcome, model: ModelEntry) -> bool | None:
    """Whether less of it is better; None: that can't be said of it alone."""
    metric = outcome.metric
    if getattr(outcome, "reference", None) is not None:
        return None
    if metric.startswith("fairness."):  # gaps between groups; what a group gets has no better side of its own
        gap = any(value == ANY for _, value in outcome.slice)
        return {"difference": True, "ratio": False}.get(metric.rpartition(".")[2]) if gap else None
    if metric.startswith("imported.") and model.settings.get(f"{metric}.lower_is_better") is True:
        return True
    return True if metric.startswith(LESS) else False if metric.startswith(MORE) else None
