"""The tables of a comparison of two runs: what every form of it shows, long or short."""

from __future__ import annotations

import re
from collections.abc import Sequence

from governance.measure import EVERYONE, NotMeasured
from governance.policy import WaiverUse
from governance.vocabulary import CHANGE
from reports.blocks import Cell, Table, cell
from reports.differences import Change, Compared, Difference, Scalar, Turn
from reports.findings import Standing
from reports.text import Texts, clean

NAMED = 4  # figures that a sentence spells out
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{40,64}")
_DIGITS = 19  # "sha256:" and twelve digits


def turn_table(two: Compared, turns: Sequence[Turn]) -> Table | None:
    """Findings that changed; None where there are none."""
    texts = two.now.texts
    rows = [
        [
            Cell(clean(one.control.says, 160), small=texts("severity.warn") if not one.control.blocks else ""),
            Cell(one.model.label, small=one.where, model=one.model),
            Cell(f"{state_name(texts, one.before)} → {state_name(texts, one.now)}"),
            Cell(clean(one.reason, 160)),
        ]
        for one in turns
    ]
    head = [Cell(texts(f"table.{name}")) for name in ("control", "model", "status", "reason")]
    return Table(texts("comparison.verdicts.turns"), head, rows) if rows else None


def state_name(texts: Texts, state: Standing | None) -> str:
    """What a control came to, in words."""
    return texts("comparison.untested") if state is None else texts(f"status.{state.value}")


def change_table(two: Compared, changes: Sequence[Change], *, brief: bool = False) -> Table | None:
    """Changes with what either run reports; `brief` leaves the methods out. None where there are none."""
    texts, view = two.now.texts, two.now
    rows = []
    for one in changes:
        model = view.model(one.model) if one.model else None
        label = model.label if model else texts("model.none")
        title = Cell(texts.metric(one.metric.removesuffix(CHANGE)).title)
        sides = f"{two.side(one, two.before)} → {two.side(one, view)}"
        shown = cell(view, one)
        arrow = "" if one.value == 0 else "▲ " if one.value > 0 else "▼ "
        change = Cell(arrow + shown.text, small=shown.small, kind="number")
        where = "" if one.slice == EVERYONE else texts.slice(one.slice)
        row = [title, Cell(label, small=where, model=model), Cell(sides, kind="number"), change]
        rows.append(row if brief else [*row, Cell(texts.said(one.method))])
    keys = ["changes.figure", "table.model", "comparison.sides", "changes.change"]
    head = [Cell(texts(key)) for key in (keys if brief else [*keys, "changes.method"])]
    return Table(texts("comparison.figures.caption"), head, rows) if rows else None


def reasons(two: Compared) -> list[str]:
    """Why figures could not be compared: a line for each reason."""
    texts = two.now.texts
    lines = []
    for found in two.gone:
        names = list(dict.fromkeys(_name(texts, one) for one in found))
        shown = texts("list.long").join(names[:NAMED])
        more = texts("list.long") + texts("statement.more", n=texts.count(len(names) - NAMED)) if names[NAMED:] else ""
        told = clean(texts.said(found[0].reason), 160)
        if len({one.reason for one in found}) > 1:
            told = texts("comparison.gone.alike", reason=told)
        lines.append(texts("comparison.gone.line", reason=told, n=texts.count(len(found)), figures=shown + more))
    return lines


def _name(texts: Texts, one: NotMeasured) -> str:
    return texts.metric(one.metric.removesuffix(CHANGE)).title


def difference_table(texts: Texts, differences: Sequence[Difference], caption: str) -> Table | None:
    """Then and now of what the runs say differently; None where there is nothing."""
    rows = [
        [
            Cell(texts(f"differs.{one.part}.{one.field}"), small=clean(one.name, 80)),
            Cell(_told(texts, one.before)),
            Cell(_told(texts, one.now)),
        ]
        for one in differences
    ]
    head = [Cell(texts(key)) for key in ("comparison.what", "changes.before", "changes.now")]
    return Table(caption, head, rows) if rows else None


def _told(texts: Texts, value: Scalar | None) -> str:
    if value is None:
        return texts("missing")
    if isinstance(value, bool):
        return texts("comparison.yes" if value else "comparison.no")
    if isinstance(value, int):
        return texts.count(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return short_digest(value) if _DIGEST.fullmatch(value[:80]) else clean(value, 160)


def short_digest(digest: str) -> str:
    """Enough of a digest to tell it from another."""
    return f"{digest[:_DIGITS]}…" if digest.startswith("sha256:") else f"{digest[:12]}…"


def waiver_table(two: Compared, *, most: int) -> Table | None:
    """Waivers that differ, at most so many; None where there are none."""
    texts = two.now.texts

    def told(use: WaiverUse | None) -> Cell:
        if use is None:
            return Cell(texts("missing"), kind="missing")
        state = texts(f"waiver.state.{use.state.value}")
        return Cell(state, small=texts("comparison.waivers.until", date=use.waiver.expires.isoformat()))

    rows = []
    for before, now in two.waivers[:most]:
        use = now or before
        assert use is not None  # noqa: S101 - one of the two is there
        name = Cell(use.waiver.id, small=clean(use.waiver.control, 100))
        rows.append([name, told(before), told(now)])
    head = [Cell(texts(key)) for key in ("waiver.name", "changes.before", "changes.now")]
    return Table(texts("waiver.title"), head, rows) if rows else None
