"""Who is treated how: rates by group, gaps between groups, and where groups meet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from governance.measure import ANY, Measurement, NotMeasured, Outcome, Slice, reading_order
from reports.blocks import Block, Cell, Chapter, Panel, Shelf, Table, axis_of, cell, generic, matrix, present, scaled
from reports.charts import Point, forest
from reports.frontier import frontier
from reports.groupwise import against_rest, tolerated, worst_slices
from reports.text import base_name, clean, scale_of
from reports.view import ModelView, View

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "accuracy")
GAPS = (*RATES, "equalized_odds")
SCORES = ("auc", "calibration_error")
DRAWN = 4
"""Models that fit into one chart of groups."""
GROUPS = 14
"""Groups that fit into one chart; the table has all."""


def chapter(shelf: Shelf) -> Chapter:
    """The chapter on fairness; says so where nothing was measured."""
    view, texts = shelf.view, shelf.view.texts
    columns, pairs = _columns(view)
    blocks = []
    for place, column in enumerate(columns):
        blocks.append(_column(shelf, column, f"c{place}"))
        blocks += present_blocks([against_rest(shelf, column, f"c{place}", _drawn(view)[:2])])
    for pair in pairs:
        blocks += _crossings(shelf, pair)
    blocks += present_blocks([worst_slices(shelf)])
    blocks += frontier(shelf)
    blocks += _gone(view)
    rest = shelf.rest(lambda metric: metric.startswith(("fairness.", "slices.")))
    if rest:
        title = texts("more.fairness")
        blocks.append(Block(title=texts("more"), tables=[generic(view, rest, title)], folded=title))
    lead = texts("fairness.lead") if columns else texts("fairness.none")
    return Chapter("fairness", texts("fairness.title"), lead, blocks)


def _columns(view: View) -> tuple[list[str], list[tuple[str, str]]]:
    """Sensitive columns and pairs of them, in the record's order."""
    single: dict[str, None] = {}
    pairs: dict[tuple[str, str], None] = {}
    for outcome in view.record.outcomes:
        if outcome.metric.startswith("fairness."):
            names = [column for column, _ in outcome.slice]
            if len(names) == 1:
                single[names[0]] = None
            elif len(names) == 2:
                pairs[names[0], names[1]] = None
    return list(single), list(pairs)


def _metrics(view: View, columns: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What was measured by these columns, group by group, and of which gaps: the usual rates first, then the rest."""
    plain = dict.fromkeys(f"fairness.{rate}" for rate in (*RATES, *SCORES))
    gaps = dict.fromkeys(f"fairness.{rate}.{made}" for rate in GAPS for made in ("difference", "ratio"))
    for outcome in view.record.outcomes:
        if outcome.metric.startswith("fairness.") and tuple(column for column, _ in outcome.slice) == columns:
            stem, made = base_name(outcome.metric)
            if made in ("difference", "ratio"):
                gaps.setdefault(outcome.metric)
            elif not made and stem != "fairness.missing":
                plain.setdefault(outcome.metric)
    return list(plain), list(gaps)


def present_blocks(blocks: Sequence[Block | None]) -> list[Block]:
    """Those that hold anything."""
    return [block for block in blocks if block is not None]


def _by_slice(view: View, metric: str, model: ModelView, columns: tuple[str, ...]) -> dict[Slice, Outcome]:
    """One model's outcomes over the groups of these columns."""
    return {
        outcome.slice: outcome
        for outcome in view.all(metric, model.name)
        if tuple(c for c, _ in outcome.slice) == columns and all(value != ANY for _, value in outcome.slice)
    }


def _drawn(view: View) -> list[ModelView]:
    """The models of a group chart: the candidate, the incumbent, then the others."""
    return sorted(view.charted, key=lambda model: (not model.candidate, not model.incumbent))[:DRAWN]


def _gap_table(shelf: Shelf, columns: tuple[str, ...]) -> Table | None:
    texts = shelf.view.texts
    named = texts("slice.and").join(clean(column, 60) for column in columns)
    where = Slice.of(dict.fromkeys(columns, ANY))
    return matrix(
        shelf, _metrics(shelf.view, columns)[1], caption=texts("fairness.gaps.title", columns=named), where=where
    )


def _gap_panel(view: View, column: str, name: str) -> Panel | None:
    """The widest gaps, each with what the policy tolerates."""
    texts, where = view.texts, Slice.of({column: ANY})
    points = []
    for rate in GAPS:
        metric = f"fairness.{rate}.difference"
        bound = tolerated(view, metric, where, view.controls_on(metric))
        for model in _drawn(view):
            outcome = view.find(metric, model.name, where)
            if isinstance(outcome, Measurement):
                points.append(Point(texts(f"fairness.short.{rate}"), model.mark, *scaled(outcome), bound=bound))
    if not points:
        return None
    title = texts("fairness.gaps.title", columns=clean(column, 60))
    svg = forest(points, name=f"gap-{name}", title=title, axis=texts("axis.points"), zero=0.0)
    return Panel(title, texts("fairness.gaps.panel"), svg, any(point.bound is not None for point in points))


def _column(shelf: Shelf, column: str, name: str) -> Block:
    """One sensitive column: its gaps, then every rate by group."""
    view, texts = shelf.view, shelf.view.texts
    gap = _gap_panel(view, column, name)
    panels = [gap] if gap else []
    tables = present([_gap_table(shelf, (column,))])
    for metric in _metrics(view, (column,))[0]:
        found = {model.name: _by_slice(view, metric, model, (column,)) for model in view.charted}
        slices = sorted(
            {where for outcomes in found.values() for where in outcomes},
            key=lambda where: reading_order(where.pairs[0][1]),
        )
        if not slices:
            continue
        for outcomes in found.values():
            shelf.take(outcomes.values())
        head = [Cell(clean(column, 60)), *(Cell(model.label, model=model) for model in view.charted)]
        rows = [
            [
                Cell(where.pairs[0][1]),
                *(cell(view, found[model.name].get(where), size=True) for model in view.charted),
            ]
            for where in slices
        ]
        title = texts.metric(metric)
        tables.append(Table(title.title, head, rows))
        panel = _group_panel(view, metric, column, slices[:GROUPS], f"{_id(metric)}-{name}")
        if panel:
            panels.append(panel)
    return Block(
        title=texts("fairness.groups.title", column=clean(column, 60)),
        text=[texts("fairness.groups.text"), *_sizes(view, column)],
        panels=panels,
        tables=tables,
        folded=texts("fold.tables"),
        key=_drawn(view),
    )


def _sizes(view: View, column: str) -> list[str]:
    """How many held-out rows each group has, and how many have no value."""
    sizes = view.record.data.groups.get(column)
    if not sizes:
        return []
    shown = view.texts("list").join(
        view.texts("fairness.size", group=clean(group, 40), n=view.texts.count(n))
        for group, n in list(sizes.items())[:40]
    )
    missing = view.texts.count(view.record.data.groups_missing.get(column, 0))
    return [view.texts("fairness.sizes", sizes=shown, missing=missing)]


def _id(metric: str) -> str:
    """A metric's name as an id of the page may hold it."""
    return re.sub(r"[^a-z0-9]+", "-", metric.removeprefix("fairness.").lower())


def _group_panel(view: View, metric: str, column: str, slices: Sequence[Slice], name: str) -> Panel | None:
    points, unit = list[Point](), None
    for where in slices:
        before = len(points)
        for model in _drawn(view)[:2]:
            outcome = view.find(metric, model.name, where)
            if isinstance(outcome, Measurement):
                unit = outcome.unit
                points.append(Point(where.pairs[0][1], model.mark, *scaled(outcome)))
        if len(points) == before:
            points.append(Point(where.pairs[0][1], view.candidate.mark, None, gone=view.texts("not_measured")))
    if unit is None:
        return None
    found = view.texts.metric(metric)
    bounds = [
        view.policy.bound(control) * scale_of(metric, unit)
        for control in view.controls_on(metric)
        if isinstance(control.slice, dict) and set(control.slice) == {column}
    ]
    title = view.texts("chart.by", title=found.title, column=clean(column, 60))
    svg = forest(points, name=name, title=title, axis=axis_of(view.texts, metric, unit), bounds=bounds)
    return Panel(found.title, found.says, svg, bool(bounds))


def _crossings(shelf: Shelf, pair: tuple[str, str]) -> list[Block]:
    """The gaps, then a heat map per rate: the candidate's first one stands open, the others fold."""
    view, texts = shelf.view, shelf.view.texts
    names = texts("slice.and").join(clean(column, 60) for column in pair)
    head = Block(
        title=texts("fairness.cross.title", columns=names),
        text=[texts("fairness.cross.text")],
        tables=present([_gap_table(shelf, pair)]),
    )
    blocks = [head]
    for model in view.charted:
        tables = []
        for rate in RATES:
            found = _by_slice(view, f"fairness.{rate}", model, pair)
            if found:
                shelf.take(found.values())
                tables.append(_heat(view, found, texts.metric(f"fairness.{rate}").title, pair))
        if not tables:
            continue
        if model.candidate:
            blocks.append(Block(text=[texts("fairness.cross.model", model=model.label)], tables=tables[:1]))
            tables = tables[1:]
        if tables:
            key = "fairness.cross.more" if model.candidate else "fairness.cross.fold"
            blocks.append(Block(tables=tables, folded=texts(key, model=model.label)))
    return blocks


def _heat(view: View, found: dict[Slice, Outcome], caption: str, pair: tuple[str, str]) -> Table:
    values = [outcome.value for outcome in found.values() if isinstance(outcome, Measurement)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    down = sorted({where.pairs[0][1] for where in found}, key=reading_order)
    across = sorted({where.pairs[1][1] for where in found}, key=reading_order)
    by_pair = {(where.pairs[0][1], where.pairs[1][1]): outcome for where, outcome in found.items()}

    def shaded(outcome: Outcome | None) -> Cell:
        plain = cell(view, outcome, size=True)
        if not isinstance(outcome, Measurement):
            return plain
        tint = round(100 * (outcome.value - low) / (high - low)) if high > low else 50
        return Cell(plain.text, plain.small, "number", tint=tint)

    head = [Cell(" × ".join(clean(column, 60) for column in pair)), *(Cell(value) for value in across)]
    rows = [[Cell(value), *(shaded(by_pair.get((value, other))) for other in across)] for value in down]
    return Table(caption, head, rows)


def _gone(view: View) -> list[Block]:
    """What was not measured, gathered by its reason."""
    texts = view.texts
    gathered: dict[tuple[Slice, str], dict[str, None]] = defaultdict(dict)
    for outcome in view.record.outcomes:
        if isinstance(outcome, NotMeasured) and outcome.metric.startswith("fairness."):
            model = view.model(outcome.model or "")
            gathered[outcome.slice, outcome.reason][model.label if model else ""] = None
    if not gathered:
        return []
    title = texts("fairness.gone.title")
    head = [Cell(texts("table.slice")), Cell(texts("table.reason")), Cell(texts("table.model"))]
    rows = [
        [Cell(texts.slice(where)), Cell(texts.said(reason)), Cell(texts("list").join(models))]
        for (where, reason), models in gathered.items()
    ]
    fold = texts("fairness.gone.fold", n=texts.count(len(rows)))
    return [Block(title=title, text=[texts("fairness.gone.text")], tables=[Table(title, head, rows)], folded=fold)]
