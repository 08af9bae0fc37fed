"""The comparison of all models: one table for the page, the cards, the summary and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from governance.measure import Measurement, NotMeasured, Outcome
from governance.policy import Status
from reports.blocks import Cell, Table, cell
from reports.chapter_privacy import promise
from reports.criteria import protocol_cell
from reports.findings import Standing
from reports.text import Texts, clean
from reports.view import ModelView, View

HEADLINES = (
    "quality.balanced_accuracy", "quality.auc", "quality.token_f1", "quality.mrr", "quality.rouge_l",
    "quality.attribute_precision", "quality.attribute_coverage",
)  # fmt: skip
"""What tells a task's quality at a glance, the most telling first; a record has few of them."""


def comparison(view: View) -> Table:
    """All models side by side: what a reader compares before anything else."""
    texts = view.texts
    levels = headlines(view)
    reference = view.record.incumbent
    paired = f"{levels[0]}.difference" if levels and reference else ""
    head = [Cell(texts("table.model")), Cell(texts("table.verdict"))]
    head += [Cell(texts("protocol.title")), Cell(texts("table.rows"))]
    head += [Cell(texts.metric(metric).title) for metric in levels]
    if paired:
        head.append(Cell(texts.metric(paired, reference=view.incumbent.label if view.incumbent else "").title))
    lasts = ("quality.latency_p50", "quality.cost", "membership.auc")
    head += [Cell(texts.metric(metric).title) for metric in lasts[:2]]
    head += [Cell(texts("table.privacy")), Cell(texts.metric(lasts[2]).title)]
    rows = [_comparison_row(view, model, levels, paired, lasts) for model in view.charted]
    if not any(view.find(lasts[2], model.name) for model in view.charted):  # nothing was trained here, say
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table(texts("compare.caption"), head, rows)


def headlines(view: View) -> list[str]:
    """The metrics that tell quality at a glance; for a task without them, its first two."""
    usual = [metric for metric in HEADLINES if view.unit_of(metric)]
    names = dict.fromkeys(o.metric for o in view.record.outcomes if not o.slice.pairs and view.unit_of(o.metric))
    levels = [name for name in names if name.startswith("quality.") and name.count(".") == 1]
    imported = [name for name in names if name.startswith("imported.") and name.count(".") == 2]
    others = [name for name in imported if not name.endswith(".coverage")]
    return usual[:2] or levels[:2] or others[:2]


def _comparison_row(
    view: View, model: ModelView, levels: Sequence[str], paired: str, lasts: Sequence[str]
) -> list[Cell]:
    texts, reference = view.texts, view.record.incumbent
    row = [
        Cell(model.label, small=clean(model.entry.title, 120), model=model),
        Cell(texts(f"status.{model.status.value}"), small=counted(texts, model), status=model.status),
        protocol_cell(view, model),
        Cell(texts.count(model.entry.weighed_on), kind="number"),
    ]
    row += [_status_cell(view, view.find(metric, model.name), model) for metric in levels]
    if paired and model.name == reference:
        row.append(Cell(texts("compare.self"), kind="missing"))
    elif paired:
        row.append(_status_cell(view, view.find(paired, model.name, reference=reference), model))
    row += [_plain_cell(view, view.find(metric, model.name)) for metric in lasts[:2]]
    return [*row, promise(texts, model), _status_cell(view, view.find(lasts[2], model.name), model)]


def _plain_cell(view: View, outcome: Outcome | None) -> Cell:
    """A cost: its method stands in the chapter on quality."""
    full = cell(view, outcome)
    if outcome is None or isinstance(outcome, NotMeasured):
        return full
    small = view.texts.interval(outcome) if isinstance(outcome, Measurement) else ""
    return Cell(full.text, small=small, kind=full.kind)


def counted(texts: Texts, model: ModelView) -> str:
    """A model's blocking controls by what they come to, in words."""
    counts = {one.value: texts.count(n) for one, n in model.counts.items()}
    rare = [one for one in (Standing.WAIVED, Standing.SHOWN) if model.counts[one]]
    return texts("counts", **counts) + "".join(texts(f"counted.{one.value}", n=counts[one.value]) for one in rare)


def _status_cell(view: View, outcome: Outcome | None, model: ModelView) -> Cell:
    """A figure, and what the controls on it say of this model."""
    plain = cell(view, outcome)
    if outcome is None or isinstance(outcome, NotMeasured):
        return Cell(plain.text, kind="missing", small=plain.small)
    return Cell(plain.text, plain.small, "number", status=status_of(view, outcome, model))


def status_of(view: View, outcome: Outcome, model: ModelView) -> Status | None:
    """What the first control on this very outcome says of this model."""
    for control in view.controls:
        for item in control.of(model.name):
            if item.outcome is outcome:
                return item.finding.status
    return None
