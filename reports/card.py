"""One model card per model, in the Hugging Face format, with the comparison of all models in each.

The metadata is built by huggingface_hub's own classes, so its own loader reads it back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome
from reports import chapter_bill, chapter_decision, chapter_privacy, chapter_rest, criteria, vendor, waivers, wordings
from reports.blocks import Cell, Table, cell, generic, metric_cell
from reports.findings import aside
from reports.markdown import Md, environment, fill
from reports.tables import comparison, counted
from reports.text import base_name, clean
from reports.view import ModelView, View

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

GATHERED = ("quality.", "membership.")
LICENCES = frozenset({"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "gpl-3.0", "openrail"})
"""Identifiers that the hub knows; any other licence goes by its name."""


def render(view: View, model: ModelView) -> bytes:
    """One model's card, UTF-8 Markdown with YAML metadata."""
    template = environment().get_template("card.md")
    texts, trained = view.texts, model.entry.vendor
    body = template.render(
        t=texts,
        f=partial(fill, texts),
        v=view,
        m=model,
        comparison=comparison(view),
        counts=counted(texts, model),
        choice=chapter_decision.in_short(view, model),
        criteria=criteria.criteria_table(view, [model]),
        metrics=metrics_table(view, model),
        claim=claim_table(view, model),
        attack=attack_table(view, model),
        departures=vendor.departures(texts, [model]),
        statement=trained and vendor.statement(texts, model, trained),
        bill=trained and vendor.bill(texts, model, trained),
        gaps=fairness_table(view, model, gaps=True),
        groups=fairness_table(view, model, gaps=False),
        price=_price(view, model),
        twin=chapter_bill.in_short(view, model),
        twin_table=chapter_bill.table(view, model),
        spread=wordings.in_short(view, model),
        prompts=wordings.table(view, model),
        words=_words(view, model),
        controls=controls_table(view, model),
        waivers=waivers.table(view),
        limits=[texts(f"limits.{name}") for name in chapter_rest.LIMITS],
        settings=chapter_rest.settings_of(model),
        labels=chapter_rest.counts_of(view, view.record.data.labels),
        scrubbed=chapter_rest.counts_of(view, view.record.data.scrubbed),
        anonymity=chapter_privacy.anonymity_line(view),
        verify=Md(chapter_rest.VERIFY),
        run=f"runs/{clean(view.record.audit, 60)}/{clean(view.record.run, 60)}",
    )
    return f"---\n{_metadata(view, model)}\n---\n{body}".encode()


def _metadata(view: View, model: ModelView) -> str:
    from huggingface_hub import ModelCardData

    licence = clean(model.entry.licence or "", 60)
    known = licence.lower() in LICENCES
    data = ModelCardData(
        language=view.record.data.language if re.fullmatch(r"[a-z]{2,3}", view.record.data.language) else "en",
        license=licence.lower() if known else "other",
        license_name=None if known else (licence or "not-stated"),
        model_name=clean(model.name, 80),
        pipeline_tag="text-classification" if view.record.task == "classification" else None,
        tags=["steelyard", f"verdict-{model.status.value}"],
        eval_results=eval_results(view, model) or None,
    )
    return str(data.to_yaml(line_break="\n")).rstrip("\n")


def eval_results(view: View, model: ModelView) -> list[EvalResult]:
    """A model's measurements over all rows, each with its interval in its name and its arguments."""
    from huggingface_hub import EvalResult

    texts, data = view.texts, view.record.data
    slug = re.sub(r"[^a-z0-9]+", "-", clean(data.name, 80).lower()).strip("-") or "data"
    return [
        EvalResult(
            task_type="text-classification" if view.record.task == "classification" else clean(view.record.task, 60),
            task_name=clean(view.record.question),
            dataset_type=slug,
            dataset_name=clean(data.name, 120),
            dataset_split="held-out",
            dataset_revision=clean(data.digest, 80),
            metric_type=outcome.metric,
            metric_name=texts(
                "card.interval",
                title=texts.metric(outcome.metric).title,
                level=f"{outcome.level * 100:.4g}%",
                span=texts.interval(outcome),
                n=texts.count(outcome.n),
            ),
            metric_value=outcome.value,
            metric_args={
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


def _own(view: View, model: ModelView) -> list[Outcome]:
    return [outcome for outcome in view.record.outcomes if outcome.model == model.name]


def metrics_table(view: View, model: ModelView) -> Table:
    """Everything measured over all rows that no other section of the card shows."""
    texts = view.texts
    elsewhere = ("fairness.", "mitigation.", "twin.", "wording.", "explanation.weight", "privacy.", "membership.")
    rows = []
    for outcome in _own(view, model):
        if outcome.metric.startswith(elsewhere):
            continue
        reference = getattr(outcome, "reference", None)
        row = [metric_cell(texts, outcome.metric, reference=reference), cell(view, outcome)]
        row += [Cell(texts.count(outcome.n) if isinstance(outcome, Measurement) else "")]
        row += [Cell("" if isinstance(outcome, NotMeasured) else texts.said(outcome.method))]
        rows.append(row)
    head = [Cell(texts(f"table.{name}")) for name in ("metric", "value", "n", "method")]
    return Table(texts("card.metrics.title"), head, rows)


def claim_table(view: View, model: ModelView) -> Table | None:
    """What private training promised, and by which assumptions."""
    claim, texts = model.entry.claim, view.texts
    if claim is None:
        return None
    rows = [[Cell(title, small=says), Cell(value)] for title, value, says in chapter_privacy.claim_rows(texts, claim)]
    head = [Cell(texts("table.claim")), Cell(texts("table.value"))]
    return Table(texts("privacy.claim.title"), head, rows)


def attack_table(view: View, model: ModelView) -> Table | None:
    """What the membership attack found."""
    found = [outcome for outcome in _own(view, model) if outcome.metric.startswith("membership.")]
    return generic(view, found, view.texts("privacy.attack.title")) if found else None


def fairness_table(view: View, model: ModelView, *, gaps: bool) -> Table | None:
    """Gaps and rates by one column; where two columns meet, the report's page has the cells."""
    texts = view.texts
    found = [
        outcome
        for outcome in _own(view, model)
        if outcome.metric.startswith("fairness.")
        and (base_name(outcome.metric)[1] if gaps else not base_name(outcome.metric)[1])
        and not base_name(outcome.metric)[1].endswith(("_rest", "_best"))  # the page has each group beside others
        and (gaps or len(outcome.slice.pairs) <= 1)
    ]
    if not found:
        return None
    head = [Cell(texts(f"table.{name}")) for name in ("metric", "slice", "value", "n")]
    rows = [
        [
            Cell(texts.metric(outcome.metric).title),
            Cell(texts.slice(outcome.slice)),
            cell(view, outcome),
            Cell(texts.count(outcome.n) if isinstance(outcome, Measurement) else ""),
        ]
        for outcome in found
    ]
    return Table(texts("card.fairness.title"), head, rows)


def _price(view: View, model: ModelView) -> Table | None:
    """How a model made fairer differs from the one that it was made from."""
    found = [o for o in _own(view, model) if o.metric.startswith("mitigation.") and getattr(o, "reference", None)]
    return generic(view, found, view.texts("card.price.title")) if found else None


def _words(view: View, model: ModelView) -> Table | None:
    texts = view.texts
    rows = [
        [Cell(clean(label, 60)), Cell(texts("list").join(_word(view, fact) for fact in facts[: chapter_rest.WORDS]))]
        for label, facts in chapter_rest.words_of(view, model).items()
    ]
    head = [Cell(texts("table.class")), Cell(texts("table.word"))]
    return Table(texts("card.words.title"), head, rows) if rows else None


def _word(view: View, fact: Fact) -> str:
    return f"{clean(chapter_rest.word_of(fact.slice), 40)} ({view.texts.value(fact)})"


def controls_table(view: View, model: ModelView) -> Table:
    """What each control found about one model, and why."""
    texts = view.texts
    rows: list[Sequence[Cell]] = [
        [
            Cell(texts(f"status.{item.finding.status.value}"), small=item.waived),
            Cell(control.says, small=aside(texts, control, item)),
            Cell(control.metric.title, small=item.where),
            Cell(item.figure, small=item.interval),
            Cell(control.bound),
            Cell(item.reason),
        ]
        for control in view.controls
        for item in control.of(model.name)
    ]
    names = ("status", "control", "metric", "value", "bound", "reason")
    return Table(texts("card.controls.title"), [Cell(texts(f"table.{name}")) for name in names], rows)
