"""A card's metadata as the Hugging Face hub reads it: built by its own classes, so its own loader reads it back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from governance.measure import EVERYONE, Measurement
from reports.chapter_decision import NOT_ASKED
from reports.origin import origin, spdx
from reports.text import clean
from reports.view import ModelView, View

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

GATHERED = ("quality.", "own.", "imported.", "robustness.", "membership.")
"""Beginnings of metrics that stand in the model index."""
LICENCES = frozenset({"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "gpl-3.0", "openrail"})
"""Identifiers that the hub knows; any other licence goes by its name."""
PIPELINES = {
    "classification": "text-classification",
    "qa": "question-answering",
    "generation": "text-generation",
    "description": "text-generation",
    "ranking": "text-ranking",
}
"""Task -> the hub's name for it, where texts were put to models."""
METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "auc": "roc_auc",
    "exact_match": "exact_match",
    "token_f1": "f1",  # as SQuAD's
    "rouge_l": "rouge",
    "bleu": "bleu",
    "chrf": "chrf",
    "perplexity": "perplexity",
    "mrr": "mrr",
    "recall_at_1": "recall_at_1",
    "recall_at_5": "recall_at_5",
    "ndcg_at_10": "ndcg_at_10",
}
"""Figures of quality -> their ids at the hub; what has none there keeps its own name."""
RELATIONS = frozenset({"finetune", "quantized"})
"""How a model can be made of another one, in the hub's words; it has none for a student of a teacher."""


def metadata(view: View, model: ModelView) -> str:
    """The YAML between a card's two lines of hyphens."""
    from huggingface_hub import ModelCardData

    licence, language = clean(model.entry.licence or "", 60), view.record.data.language
    known = (spdx(model.entry.licence) or licence).lower()
    known = known if known in LICENCES else ""
    results = eval_results(view, model)
    data = ModelCardData(
        language=language if re.fullmatch(r"[a-z]{2,3}", language) else None,
        license=known or "other",
        license_name=None if known else (licence or "not-stated"),
        model_name=clean(model.name, 80),
        pipeline_tag=pipeline(view, model),
        tags=_tags(model),
        metrics=list(dict.fromkeys(one.metric_type for one in results if one.metric_type in METRICS.values())) or None,
        eval_results=results or None,
        **_base(model),
    )
    return str(data.to_yaml(line_break="\n")).rstrip("\n")


def pipeline(view: View, model: ModelView) -> str | None:
    """What the hub calls the task; None where the answers came from a table or another tool, whose input is unknown."""
    return None if model.entry.kind in NOT_ASKED else PIPELINES.get(view.record.task)


def _tags(model: ModelView) -> list[str]:
    made = origin(model.entry)
    tags = ["steelyard", f"verdict-{model.status.value}"]
    if model.entry.claim is not None:
        tags.append("differential-privacy")
    return [*tags, made.relation] if made and made.relation in ("quantized", "distilled") else tags


def _base(model: ModelView) -> dict[str, Any]:
    """The model that this one was made from, where its name can be one of the hub's."""
    made = origin(model.entry)
    if made is None or made.inside or made.hub_id is None or made.relation == "mitigated":
        return {}
    return {
        "base_model": made.hub_id,
        **({"base_model_relation": made.relation} if made.relation in RELATIONS else {}),
    }


def eval_results(view: View, model: ModelView) -> list[EvalResult]:
    """A model's measurements over all rows, each with its interval in its name and its arguments."""
    from huggingface_hub import EvalResult

    texts, data = view.texts, view.record.data
    slug = re.sub(r"[^a-z0-9]+", "-", clean(data.name, 80).lower()).strip("-") or "data"
    return [
        EvalResult(
            task_type=pipeline(view, model) or clean(view.record.task, 60),
            task_name=clean(view.record.question),
            dataset_type=slug,
            dataset_name=clean(data.name, 120),
            dataset_split="held-out",
            dataset_revision=clean(data.digest, 80),
            metric_type=metric_id(outcome.metric),
            metric_name=texts(
                "card.interval",
                title=texts.metric(outcome.metric).title,
                level=f"{outcome.level * 100:.4g}%",
                span=texts.interval(outcome),
                n=texts.count(outcome.n),
            ),
            metric_value=outcome.value,
            metric_args={
                "figure": clean(outcome.metric, 120),  # by its name here; scores are from 0 to 1
                "low": outcome.low,
                "high": outcome.high,
                "level": outcome.level,
                "n": outcome.n,
                "method": clean(outcome.method),
            },
        )
        for outcome in view.record.outcomes
        if isinstance(outcome, Measurement)
        and outcome.model == model.name
        and outcome.reference is None
        and outcome.slice == EVERYONE
        and outcome.metric.startswith(GATHERED)
    ]


def metric_id(metric: str) -> str:
    """A figure's name at the hub.

    >>> metric_id("quality.rouge_l"), metric_id("quality.coverage"), metric_id("own.f1")
    ('rouge', 'quality.coverage', 'own.f1')
    """
    stem, _, name = metric.partition(".")
    return METRICS.get(name, clean(metric, 120)) if stem == "quality" else clean(metric, 120)
