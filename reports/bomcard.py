"""The `modelCard` of a model's bill of materials: its figures, and what to consider, as CycloneDX has them.

Types, slices and numbers are the record's own, for machines; sentences are in the reader's language. Where the record
says nothing (who the users are, what energy training took) the field is left out.

Source:
    CycloneDX 1.6, `definitions/modelCard` of bom-1.6.schema.json (Ecma International, ECMA-424).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice
from governance.policy import Status
from governance.vocabulary import since_baseline
from reports import chapter_bill, chapter_decision, chapter_rest
from reports.text import base_name, clean
from reports.view import ModelView, View

FIGURES = (
    "quality.",
    "own.",
    "imported.",
    "robustness.",
    "fairness.",
    "membership.",
    "canary.",
    "leakage.",
    "wording.",
)
"""Beginnings of metrics that measure one model by itself."""
FAMILIES = {"tfidf-logistic": "linear model on TF-IDF", "classifier": "transformer encoder", "hf": "transformer"}
ASKED = frozenset({"classification", "qa", "generation", "ranking", "description"})
"""Tasks in which texts are put to models."""
TEXT, TABLE = "text", "table"
OUTPUTS = {"classification": "label", "ranking": "ranking"}


def model_card(view: View, model: ModelView) -> dict[str, Any]:
    """One model's figures and considerations."""
    metrics, details = _metrics(view, model)
    return {
        "modelParameters": _parameters(view, model),
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": _considerations(view, model),
        "properties": details,
    }


def number(value: float) -> str:
    """A number as text that reads back as the same number."""
    return repr(float(value))


def _parameters(view: View, model: ModelView) -> dict[str, Any]:
    record, entry = view.record, model.entry
    found: dict[str, Any] = {}
    if entry.trained and (record.data.labels or entry.vendor):
        found["approach"] = {"type": "supervised"}
    found["task"] = clean(record.task, 60)
    if entry.kind in FAMILIES:
        found["architectureFamily"] = FAMILIES[entry.kind]
    found["datasets"] = [{"ref": "data"}]
    if record.task in ASKED and entry.kind not in chapter_decision.NOT_ASKED:
        found["inputs"] = [{"format": TEXT}]
        found["outputs"] = [{"format": OUTPUTS.get(record.task, TEXT)}]
        if record.task == "classification" and "scores" in entry.capabilities:
            found["outputs"].append({"format": "score of each label"})
    return found


def measured(view: View, model: ModelView) -> list[Measurement | Fact]:
    """What was measured of one model by itself, in the record's order: no differences from another model or run."""
    return [
        outcome
        for outcome in view.record.outcomes
        if not isinstance(outcome, NotMeasured)
        and outcome.model == model.name
        and outcome.reference is None
        and outcome.metric.startswith(FIGURES)
        and not since_baseline(outcome.metric)
    ]


def _metrics(view: View, model: ModelView) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The figures, and beside them what the schema has no field for: level, sample size and method of each."""
    metrics, details = [], []
    for outcome in measured(view, model):
        name, where = clean(outcome.metric, 120), clean(outcome.slice.label())
        one: dict[str, Any] = {"type": name, "value": number(outcome.value), "slice": where}
        method = clean(outcome.method)
        if isinstance(outcome, Measurement):
            ends = {"lowerBound": outcome.low, "upperBound": outcome.high}
            one["confidenceInterval"] = {end: number(value) for end, value in ends.items() if value is not None}
            method = f"level {outcome.level:g}; n {outcome.n}; {method}"
        metrics.append(one)
        details.append({"name": f"steelyard:figure:{name}:{where}", "value": f"{outcome.unit.value}; {method}"})
    return metrics, details


def _considerations(view: View, model: ModelView) -> dict[str, Any]:
    texts, record = view.texts, view.record
    use = texts(
        "card.use.text",
        question=clean(record.question),
        data=clean(record.data.name, 120),
        language=clean(texts.said(record.data.language), 40),
    )
    limits = [texts(f"limits.{name}") for name in chapter_rest.LIMITS]
    if model.entry.claim is not None:
        limits += [f"{texts('claim.not_covered.title')}: {clean(texts.said(x))}" for x in model.entry.claim.not_covered]
    found = {
        "useCases": [use],
        "technicalLimitations": limits,
        "performanceTradeoffs": [*chapter_decision.in_short(view, model), *chapter_bill.in_short(view, model)],
        "ethicalConsiderations": [*_scrubbing(view, model), *_unmet(view, model)],
        "fairnessAssessments": _fairness(view, model),
    }
    return {key: value for key, value in found.items() if value}


def _scrubbing(view: View, model: ModelView) -> list[dict[str, str]]:
    """What is left in a text without names, where texts were scrubbed here."""
    if model.entry.kind in chapter_decision.NOT_ASKED:
        return []
    kinds = chapter_rest.counts_of(view, view.record.data.scrubbed)
    done = view.texts("card.data.scrubbed", kinds=kinds)
    return [{"name": view.texts("privacy.anonymity.scrubbed"), "mitigationStrategy": done}]


def _unmet(view: View, model: ModelView) -> list[dict[str, str]]:
    """The controls that this model does not meet; somebody's waiver is the mitigation."""
    risks = []
    for control in view.controls:
        for item in control.of(model.name):
            if item.finding.status is Status.PASS:
                continue
            status = view.texts(f"status.{item.finding.status.value}")
            parts = (status, clean(control.says), f"{control.metric.title} ({item.where}): {item.full}", control.bound)
            risk = {"name": view.texts("list.long").join(parts)}
            if item.waived and item.waiver is not None:
                risk["mitigationStrategy"] = f"{item.waived}. {clean(item.waiver.waiver.reason)}"
            risks.append(risk)
    return risks


def _fairness(view: View, model: ModelView) -> list[dict[str, str]]:
    """Per group, or per column where all its groups are compared: the gaps that were found, or why none was."""
    texts, by_group = view.texts, defaultdict[Slice, list[Outcome]](list)
    for outcome in view.record.outcomes:
        gap = base_name(outcome.metric)[1].startswith(("difference", "ratio"))
        if outcome.model == model.name and outcome.metric.startswith("fairness.") and gap:
            by_group[outcome.slice].append(outcome)
    found = []
    for where, outcomes in by_group.items():
        told = [f"{texts.metric(one.metric).title}: {_figure(view, one)}" for one in outcomes]
        one = {"groupAtRisk": texts.slice(where), "harms": texts("list.long").join(told)}
        if model.entry.of is not None:
            one["mitigationStrategy"] = clean(model.entry.title)
        found.append(one)
    return found


def _figure(view: View, outcome: Outcome) -> str:
    if isinstance(outcome, NotMeasured):
        return view.texts("reason.not_measured", reason=clean(view.texts.said(outcome.reason))).rstrip(".。")
    return view.texts.figure(outcome)
