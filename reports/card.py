"""One model card per model, in the Hugging Face format, with the comparison of all models in each.

Its metadata is made in `hubmeta.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from governance.measure import Fact, Measurement, NotMeasured, Outcome
from reports import (
    chapter_bill,
    chapter_decision,
    chapter_privacy,
    chapter_rest,
    criteria,
    hubmeta,
    vendor,
    waivers,
    wordings,
)
from reports.blocks import Cell, Table, cell, generic, metric_cell
from reports.findings import aside
from reports.markdown import Md, environment, fill
from reports.tables import comparison, counted
from reports.text import base_name, clean
from reports.view import ModelView, View

ATTACKS = ("membership.", "canary.")
"""Beginnings of figures of attacks on privacy."""


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
        bounded=any(o.metric.startswith("canary.") and isinstance(o, Measurement) for o in _own(view, model)),
        departures=vendor.departures(texts, [model]),
        statement=trained and vendor.statement(texts, model, trained),
        bill=trained and vendor.bill(texts, model, trained),
        gaps=fairness_table(view, model, gaps=True),
        groups=fairness_table(view, model, gaps=False),
        price=_price(view, model),
        twin=chapter_bill.in_short(view, model),
        twin_table=chapter_bill.table(view, model),
        robustness=robustness_table(view, model),
        spread=wordings.in_short(view, model),
        prompts=wordings.table(view, model),
        words=_words(view, model),
        controls=controls_table(view, model),
        waivers=waivers.table(view),
        limits=[texts(f"limits.{name}") for name in chapter_rest.LIMITS],
        settings=chapter_rest.settings_of(model),
        labels=chapter_rest.counts_of(view, view.record.data.labels),
        licence=clean(view.record.data.licence or texts("unknown"), 120),
        scrubbed=chapter_rest.counts_of(view, view.record.data.scrubbed),
        unsought=texts("list.long").join(clean(texts.said(gap)) for gap in view.record.data.not_scrubbed),
        read_only=model.entry.kind in chapter_decision.NOT_ASKED,
        sent=chapter_privacy.sent(view, model) if model.entry.remote else None,
        made=made_with(view),
        anonymity=chapter_privacy.anonymity_line(view),
        verify=Md(chapter_rest.VERIFY),
        run=f"runs/{clean(view.record.audit, 60)}/{clean(view.record.run, 60)}",
    )
    return f"---\n{hubmeta.metadata(view, model)}\n---\n{body}".encode()


def _own(view: View, model: ModelView) -> list[Outcome]:
    return [outcome for outcome in view.record.outcomes if outcome.model == model.name]


def metrics_table(view: View, model: ModelView) -> Table:
    """Everything measured over all rows that no other section of the card shows."""
    texts = view.texts
    elsewhere = (
        "fairness.",
        "mitigation.",
        "twin.",
        "wording.",
        "explanation.weight",
        "robustness.",
        "privacy.",
        *ATTACKS,
    )
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
    """What attacks on its privacy found."""
    found = [outcome for outcome in _own(view, model) if outcome.metric.startswith(ATTACKS)]
    return generic(view, found, view.texts("privacy.attack.title")) if found else None


def robustness_table(view: View, model: ModelView) -> Table | None:
    """How it stands up to changed inputs; how much hangs on a prompt's wording has a table of its own."""
    found = [outcome for outcome in _own(view, model) if outcome.metric.startswith("robustness.")]
    return generic(view, found, view.texts("card.robustness.title")) if found else None


def made_with(view: View) -> str:
    """Libraries and their versions on one line."""
    versions = list(view.record.lineage.versions.items())[:40]
    return view.texts("list").join(f"{clean(name, 40)} {clean(version, 40)}" for name, version in versions)


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
