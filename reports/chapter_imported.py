"""What other tools measured: models side by side, and every figure with the tool that it comes from."""

from __future__ import annotations

from reports.blocks import Block, Chapter, Shelf, generic, matrix, present

PREFIX = "imported."


def chapter(shelf: Shelf) -> Chapter | None:
    """The chapter on imported figures; None where there are none."""
    view, texts = shelf.view, shelf.view.texts
    found = shelf.rest(lambda metric: metric.startswith(PREFIX))
    if not found:
        return None
    own = [outcome for outcome in found if not outcome.slice.pairs and not getattr(outcome, "reference", None)]
    title, every = texts("imported.levels"), texts("imported.every")
    table = matrix(shelf, list(dict.fromkeys(outcome.metric for outcome in own)), caption=title)
    shelf.take(found)
    blocks = [
        Block(title, [texts("imported.text")], tables=present([table])),
        Block(every, tables=[generic(view, found, every)]),
    ]
    return Chapter("imported", texts("imported.title"), texts("imported.lead"), blocks)
