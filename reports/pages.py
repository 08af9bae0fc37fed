"""A page beside the report, in its style and under its policy: chapters of text, charts and tables, and no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from governance.policy import Status
from reports.blocks import Chapter, Table
from reports.html import Tile, environment
from reports.text import Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page says.

    Attributes:
        title: of the window.
        product: what kind of page this is.
        aside: beside it, in small print.
        heading: the one `h1`.
        question: under it.
        first: what the contents call the first section.
        headline: of the first section.
        lead: under the headline.
        badges: statuses above the headline, an arrow between them; the last gives the colour.
        tiles: figures in the first section.
        tables: under them.
        chapters: the other sections.
        footer: how the page came to be.
    """

    title: str
    product: str
    aside: str
    heading: str
    question: str = ""
    first: str
    headline: str
    lead: str
    badges: Sequence[Status] = ()
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    chapters: Sequence[Chapter] = ()
    footer: str


def render(texts: Texts, page: Page) -> bytes:
    """The page as one file, UTF-8."""
    return environment().get_template("page.html").render(t=texts, p=page, svg=Markup).encode()
