"""Two runs beside each other, as a page, as Markdown for a pull request, and on a terminal.

A pure rendering of two judged records and of the changes between them: no figure is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from governance.measure import EVERYONE, Fact, Measurement
from governance.vocabulary import CHANGE
from reports import pages
from reports.blocks import Block, Cell, Chapter, Panel, Table, axis_of, generic, scaled
from reports.chapter_changes import sentences
from reports.charts import Point, forest, short
from reports.ci import marked
from reports.comparisontables import (
    change_table,
    difference_table,
    reasons,
    short_digest,
    state_name,
    turn_table,
    waiver_table,
)
from reports.differences import Compared, Difference, ModelDifference
from reports.markdown import environment, fill
from reports.tables import counted
from reports.terminal import aligned
from reports.text import Texts, clean

MOST = 400
"""Rows of a table on the page."""
DRAWN = 24  # changes in one chart
LABEL = 16  # widths of a label: words need more room than names of models
SHORT = {"turns": 6, "figures": 10, "gone": 4, "differences": 10}
"""Rows of what a pull request shows."""


def page(two: Compared) -> bytes:
    """The comparison as one self-contained page, UTF-8."""
    texts, now = two.now.texts, two.now
    return pages.render(
        texts,
        pages.Page(
            title=texts("comparison.title", audit=clean(now.record.audit, 80), turn=_turned(two)),
            product=texts("comparison.product"),
            aside=f"{clean(two.before.record.run, 60)} → {clean(now.record.run, 60)}",
            heading=now.record.title,
            question=now.record.question,
            first=texts("comparison.first"),
            headline=headline(two),
            lead=summary(two),
            badges=two.verdict,
            tables=[_runs(two)],
            chapters=[
                _verdicts(two),
                _figures(two),
                _gone(two),
                _data(two),
                _models(two),
                _settings(two),
                _waivers(two),
            ],
            footer=texts("comparison.footer", before=two.before.record.digest(), now=now.record.digest()),
        ),
    )


def markdown(two: Compared) -> bytes:
    """The comparison for a pull request: what the verdict did, what changed for certain, what nobody can tell."""
    texts, before, now = two.now.texts, two.before.record, two.now.record
    models = [_named(model, one) for model in two.models for one in model.differences]
    details = [*two.data, *models, *two.settings]
    made = (
        environment()
        .get_template("comparison.md")
        .render(
            t=texts,
            f=partial(fill, texts),
            audit=clean(now.audit, 60),
            turn=" → ".join(marked(two.now, status) for status in dict.fromkeys(two.verdict)),
            headline=headline(two),
            summary=summary(two),
            turns=turn_table(two, two.turns[: SHORT["turns"]]),
            figures=change_table(two, two.certain[: SHORT["figures"]], brief=True),
            gone=reasons(two)[: SHORT["gone"]],
            details=difference_table(texts, details[: SHORT["differences"]], texts("comparison.details")),
            drift=[_drifted(two, one) for one in _moved(two)[:3]],
            waivers=waiver_table(two, most=3),
            left={
                "turns": texts.count(max(0, len(two.turns) - SHORT["turns"])),
                "figures": texts.count(max(0, len(two.certain) - SHORT["figures"])),
                "differences": texts.count(max(0, len(details) - SHORT["differences"])),
            },
            before=f"{clean(before.run, 40)} ({short_digest(before.digest())})",
            now=f"{clean(now.run, 40)} ({short_digest(now.digest())})",
        )
    )
    return made.encode()


def _named(model: ModelDifference, one: Difference) -> Difference:
    """With the model's name, where several stand in one table."""
    label = model.told.label
    return replace(one, name=f"{label}: {clean(one.name, 60)}" if one.name else label)


def terminal(two: Compared) -> str:
    """The comparison in a few lines of plain text."""
    texts = two.now.texts
    lines = [headline(two), summary(two)]
    for one in two.turns[: SHORT["turns"]]:
        lines.append(texts("comparison.line", control=one.control.control.id, model=one.model.label, where=one.where,
                           before=state_name(texts, one.before), now=state_name(texts, one.now)))  # fmt: skip
    table = change_table(two, two.certain[: SHORT["figures"]], brief=True)
    if table is not None:
        rows = [[f"{one.text} ({one.small})" if one.small else one.text for one in row] for row in table.rows]
        lines += ["", *aligned([[one.text for one in table.head], *rows])]
    return "\n".join([*lines, *([""] if two.gone else []), *reasons(two)[: SHORT["gone"]]])


def headline(two: Compared) -> str:
    """What became of the verdict, in a sentence."""
    before, now = two.verdict
    key = "comparison.headline.same" if before == now else "comparison.headline.turned"
    texts, model = two.now.texts, two.now.candidate.label
    return texts(key, model=model, before=texts(f"status.{before.value}"), now=texts(f"status.{now.value}"))


def summary(two: Compared) -> str:
    """How much changed, in a sentence."""
    texts = two.now.texts
    if two.unchanged:
        return texts("comparison.unchanged", all=texts.count(len(two.figures)))
    counts = {
        "turns": len(two.turns),
        "certain": len(two.certain),
        "all": len(two.figures),
        "gone": sum(map(len, two.gone)),
    }
    return texts("comparison.changed", **{name: texts.count(n) for name, n in counts.items()})


def _turned(two: Compared) -> str:
    return " → ".join(two.now.texts(f"status.{status.value}") for status in dict.fromkeys(two.verdict))


def _runs(two: Compared) -> Table:
    texts, views = two.now.texts, (two.before, two.now)
    rows = [
        [
            Cell(texts("comparison.run")),
            *(Cell(clean(v.record.run, 80), small=clean(v.record.audit, 80)) for v in views),
        ],
        [Cell(texts("comparison.created")), *(Cell(texts.date(v.record.created)) for v in views)],
        [Cell(texts("comparison.candidate")), *(Cell(v.candidate.label, model=v.candidate) for v in views)],
        [Cell(texts("comparison.policy")), *(Cell(clean(f"{v.policy.name} {v.policy.version}", 80)) for v in views)],
        [Cell(texts("comparison.controls")), *(Cell(counted(texts, v.candidate)) for v in views)],
    ]
    head = [Cell(""), Cell(texts("changes.before")), Cell(texts("changes.now"))]
    return Table(texts("comparison.runs"), head, rows)


def _verdicts(two: Compared) -> Chapter:
    texts = two.now.texts
    rows = []
    for one in two.models:
        sides = [
            Cell(texts("comparison.absent"), kind="missing")
            if view is None
            else Cell(texts(f"status.{view.status.value}"), small=counted(texts, view), status=view.status)
            for view in (one.before, one.now)
        ]
        renamed = one.before is not None and one.before.name != one.told.name
        small = texts("comparison.was", name=one.before.label) if renamed and one.before else ""
        rows.append([Cell(one.told.label, small=small, model=one.told), *sides])
    head = [Cell(texts(key)) for key in ("table.model", "changes.before", "changes.now")]
    blocks = [Block(tables=[Table(texts("comparison.verdicts.models"), head, rows[:MOST])])]
    table = turn_table(two, two.turns[:MOST])
    blocks.append(Block(tables=[table]) if table else Block(text=[texts("comparison.verdicts.none")]))
    return Chapter("verdicts", texts("comparison.verdicts.title"), texts("comparison.verdicts.lead"), blocks)


def _figures(two: Compared) -> Chapter:
    texts = two.now.texts
    table, certain = change_table(two, two.certain[:MOST]), {id(one) for one in two.certain}
    blocks = [
        Block(
            title=texts("comparison.figures.certain"),
            text=[] if table else [texts("comparison.figures.none", all=texts.count(len(two.figures)))],
            tables=[table] if table else [],
            items=sentences(two.now, ("improved", "worsened")),
        )
    ]
    panels = _panels(two)
    if panels:
        blocks.append(Block(title=texts("changes.candidate"), panels=panels))
    rest = [one for one in two.figures if id(one) not in certain]
    other = change_table(two, rest[:MOST])
    if other is not None:
        title = texts("comparison.figures.rest")
        text = [texts("comparison.most", n=texts.count(MOST), all=texts.count(len(rest)))] if len(rest) > MOST else []
        blocks.append(Block(title=texts("more"), text=text, tables=[other], folded=title))
    return Chapter("figures", texts("comparison.figures.title"), texts("comparison.figures.lead"), blocks)


def _panels(two: Compared) -> list[Panel]:
    """The candidate's changes on all rows, a chart for each axis."""
    texts, candidate = two.now.texts, two.now.candidate
    axes: dict[str, list[Point]] = {}
    for one in two.figures:
        if isinstance(one, Fact) or one.model != candidate.name or one.slice != EVERYONE:
            continue
        points = axes.setdefault(axis_of(texts, one.metric, one.unit), [])
        title = texts.metric(one.metric.removesuffix(CHANGE)).title
        if len(points) < DRAWN and short(title, LABEL) not in {point.label for point in points}:
            points.append(Point(short(title, LABEL), candidate.mark, *scaled(one)))
    return [
        Panel(title, texts("comparison.figures.panel"),
              forest(points, name=f"changes-{place}", title=title, axis=axis, zero=0.0))
        for place, (axis, points) in enumerate(axes.items())
        for title in [texts("comparison.figures.axis", axis=axis)]
    ]  # fmt: skip


def _gone(two: Compared) -> Chapter:
    texts = two.now.texts
    items = reasons(two)[:MOST] or [texts("comparison.gone.none")]
    return Chapter("gone", texts("comparison.gone.title"), texts("comparison.gone.lead"), [Block(items=items)])


def _data(two: Compared) -> Chapter:
    texts = two.now.texts
    blocks = [_block(texts, two.data, texts("comparison.data.title"))]
    if two.drift:
        text = [texts("changes.drift.text")]
        title = texts("changes.drift")
        blocks.append(Block(title=title, text=text, tables=[generic(two.now, two.drift[:MOST], title)]))
    return Chapter("data", texts("comparison.data.title"), texts("comparison.data.lead"), blocks)


def _moved(two: Compared) -> list[Measurement]:
    """Of how far the inputs moved, what is shown to be more than nothing, each in its first form alone."""
    found = [one for one in two.drift if isinstance(one, Measurement) and one.metric.count(".") == 1]
    return [one for one in found if one.low is not None and one.low > 0]


def _drifted(two: Compared, one: Measurement) -> str:
    texts = two.now.texts
    return texts("comparison.drifted", metric=texts.metric(one.metric).title, where=texts.slice(one.slice),
                 figure=texts.figure(one))  # fmt: skip


def _models(two: Compared) -> Chapter:
    texts, blocks = two.now.texts, []
    for one in two.models:
        label = one.told.label
        if one.before is None or one.now is None:
            blocks.append(
                Block(text=[texts("comparison.models.new" if one.now else "comparison.models.gone", name=label)])
            )
        elif one.differences:
            blocks.append(_block(texts, one.differences, label))
    if not blocks:
        blocks = [Block(text=[texts("comparison.same")])]
    return Chapter("models", texts("comparison.models.title"), texts("comparison.models.lead"), blocks[:MOST])


def _settings(two: Compared) -> Chapter:
    texts = two.now.texts
    title = texts("comparison.settings.title")
    return Chapter("settings", title, texts("comparison.settings.lead"), [_block(texts, two.settings, title)])


def _block(texts: Texts, differences: Sequence[Difference], caption: str) -> Block:
    table = difference_table(texts, differences[:MOST], caption)
    more = [texts("comparison.most", n=texts.count(MOST), all=texts.count(len(differences)))]
    if table is None:
        return Block(text=[texts("comparison.same")])
    return Block(tables=[table], text=more if len(differences) > MOST else [])


def _waivers(two: Compared) -> Chapter:
    texts = two.now.texts
    table = waiver_table(two, most=MOST)
    block = Block(tables=[table]) if table else Block(text=[texts("comparison.same")])
    return Chapter("waivers", texts("waiver.title"), texts("comparison.waivers.lead"), [block])
