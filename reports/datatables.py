"""The statistics of a record's texts as tables: for the page and for the data card."""

from __future__ import annotations

from collections.abc import Mapping

from governance.datafacts import FEW, Axis, CrossTable, DataStatistics, Side
from reports.blocks import Block, Cell, Table, present
from reports.text import Texts, clean
from reports.view import View

LONG = 12  # rows of a table that still stand open


def blocks(view: View) -> list[Block]:
    """What the record says of its texts; long tables are folded. Empty for records without statistics."""
    found, texts = view.record.data.statistics, view.texts
    if found is None:
        return []
    tables = [*texts_tables(view, found), *suspect_tables(view, found), *group_tables(view, found)]
    short = [table for table in tables if len(table.rows) <= LONG]
    long = [table for table in tables if len(table.rows) > LONG]
    made = [Block(title=texts("stats.title"), text=notes(view, found), tables=short)]
    return [*made, *(Block(title=table.caption, tables=[table], folded=texts("fold.tables")) for table in long)]


def notes(view: View, found: DataStatistics) -> list[str]:
    """How the statistics are to be read, and that no privacy claim covers them."""
    texts = view.texts
    private = texts("list").join(model.label for model in view.charted if model.entry.claim)
    lines = [texts("stats.text", few=FEW), texts.said(found.privacy)]
    if private:
        lines.append(texts("stats.raw", models=private))
    if found.suspects is not None:
        lines.append(texts("stats.suspects.text", folds=found.suspects.folds))
    elif found.no_suspects is not None:
        lines.append(texts("stats.suspects.none", reason=texts.said(found.no_suspects)))
    return lines


def texts_tables(view: View, found: DataStatistics) -> list[Table]:
    """Lengths, scripts and repeats."""
    sides = {name: side for name, side in (("train", found.train), ("test", found.test)) if side is not None}
    if not sides:
        return []
    return present([_lengths(view.texts, sides), _scripts(view.texts, sides), _repeats(view.texts, sides, found)])


def _lengths(texts: Texts, sides: Mapping[str, Side]) -> Table | None:
    shares = sorted({share for side in sides.values() for share in side.characters}, key=float)
    if not shares:
        return None
    rows = [
        [
            Cell(texts(f"data.rows.{name}"), small=texts(f"stats.unit.{unit}")),
            *(_count(texts, lengths.get(share)) for share in shares),
        ]
        for name, side in sides.items()
        for unit, lengths in (("characters", side.characters), ("words", side.words))
    ]
    head = [Cell(texts("stats.side")), *(Cell(texts("stats.share", share=_percent(share))) for share in shares)]
    return Table(texts("stats.lengths"), head, rows)


def _scripts(texts: Texts, sides: Mapping[str, Side]) -> Table:
    names = dict.fromkeys(name for side in sides.values() for name in side.scripts)
    rows = [
        [Cell(clean(texts.said(name), 40)), *(_count(texts, side.scripts.get(name)) for side in sides.values())]
        for name in names
    ]
    if any(side.scripts_few for side in sides.values()):
        rows.append([Cell(texts("stats.rest")), *(_count(texts, side.scripts_few) for side in sides.values())])
    return Table(texts("stats.scripts"), [Cell(texts("stats.script")), *_sides(texts, sides)], rows)


def _repeats(texts: Texts, sides: Mapping[str, Side], found: DataStatistics) -> Table:
    rows = [
        [Cell(texts(f"data.rows.{name}"), small=texts("stats.repeated")), _count(texts, side.repeated)]
        for name, side in sides.items()
    ]
    if found.overlap is not None:
        compared = texts(
            "stats.near.how",
            rows=texts.count(found.overlap.rows),
            known=texts.count(found.overlap.known),
            share=_percent(found.overlap.share),
        )
        rows.append([Cell(texts("stats.near"), small=compared), _count(texts, found.overlap.near)])
    if found.conflicting is not None:
        rows.append([Cell(texts("stats.conflicting")), _count(texts, found.conflicting)])
    return Table(texts("stats.repeats"), [Cell(texts("table.item")), Cell(texts("table.value"))], rows)


def suspect_tables(view: View, found: DataStatistics) -> list[Table]:
    """Labels in doubt by class; empty where none were judged."""
    texts, suspects = view.texts, found.suspects
    if suspects is None:
        return []
    rows = [
        [Cell(clean(label, 60)), _count(texts, n), _count(texts, suspects.suspected.get(label))]
        for label, n in suspects.examined.items()
    ]
    names = ("table.class", "stats.examined", "stats.suspected")
    return [Table(texts("stats.suspects"), [Cell(texts(name)) for name in names], rows)]


def group_tables(view: View, found: DataStatistics) -> list[Table]:
    """Rows by group and label, a table for each column."""
    return [_group_table(view.texts, table) for table in found.tables]


def _group_table(texts: Texts, table: CrossTable) -> Table:
    down, across = table.groups, table.labels
    column = clean(down.column or "", 60)
    cells = list(zip(*table.counts, strict=True))
    rows = [
        [Cell(name), *(_count(texts, n, hidden=True) for n in line)]
        for name, line in zip(_names(texts, down), cells, strict=True)
    ]
    head = [Cell(column), *(Cell(name) for name in _names(texts, across))]
    return Table(texts("stats.groups", column=column), head, rows)


def _names(texts: Texts, axis: Axis) -> list[str]:
    nothing = texts("stats.all" if axis.column is None else "stats.missing")
    names = [nothing if name is None else clean(name, 60) for name in axis.names]
    return [*names, texts("stats.merged", n=texts.count(axis.merged))] if axis.merged else names


def _sides(texts: Texts, sides: Mapping[str, Side]) -> list[Cell]:
    return [Cell(texts(f"data.rows.{name}")) for name in sides]


def _count(texts: Texts, n: int | None, *, hidden: bool = False) -> Cell:
    if n is None:
        return Cell(texts("stats.hidden" if hidden else "missing"), kind="missing")
    return Cell(texts.count(n), kind="number")


def _percent(share: str | float) -> str:
    return f"{float(share) * 100:g}%"
