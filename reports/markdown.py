"""Markdown in which nothing that a record holds can become markup.

Templates escape by `finalize`: what is not an `Md` is cleaned and escaped, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports.blocks import Cell, Table
from reports.text import Texts, clean

PROSE = 1500
_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_STARTS = re.compile(r"^(\d*)([#+=.)-])(?=[\s#+=-]|$)")  # would open a heading, list or rule


class Md(str):
    """A string that is Markdown already: ours, with every value in it escaped."""

    __slots__ = ()


def md(value: object, limit: int = PROSE) -> Md:
    r"""Any value as inert Markdown text.

    >>> md("a|b <img> `c`")
    'a\\|b &lt;img&gt; \\`c\\`'
    """
    if isinstance(value, Md):
        return value
    text = clean(value, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(r"\\\1", text)
    # Bare addresses and mentions turn into links on the sites that show these files.
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")
    return Md(_STARTS.sub(r"\1\\\2", text))


def code(value: object, limit: int = 160) -> Md:
    """A value as inline code; a backtick in it becomes an apostrophe, since code has no escapes."""
    return Md("`" + clean(value, limit).replace("`", "'").replace("|", "¦") + "`")


def fill(texts: Texts, key: str, **values: object) -> Md:
    """A string of ours, which may hold Markdown, with escaped values."""
    return Md(texts(key, **{name: md(value) for name, value in values.items()}))


def table(shown: Table) -> Md:
    """A GitHub table; small print follows its figure in brackets."""
    head = [_cell(cell) for cell in shown.head]
    lines = [_row(head), _row(["---"] * len(head))]
    lines += [_row([_cell(cell) for cell in row]) for row in shown.rows]
    return Md("\n".join(lines))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = code(cell.text) if cell.code else md(cell.text)
    return f"{text}<br><sub>{md(cell.small)}</sub>" if cell.small else str(text)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates whose every value passes `md`."""
    made = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=False,  # noqa: S701 - this is Markdown: `finalize` escapes instead
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=md,
    )
    made.filters |= {"code": code, "table": table}
    return made
