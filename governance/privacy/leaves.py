"""Structured values, rewritten leaf by leaf: what holds personal data changes, and the syntax around it stays.

A value that can't be parsed as its kind is read as text: nothing is passed on unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from governance.privacy.normalise import repair
from governance.privacy.overlaps import Span
from governance.privacy.structure.codes import Edit
from governance.privacy.structure.flow import Layout, Leaf, plain
from governance.privacy.structure.htmltext import parse_html
from governance.privacy.structure.jsontext import parse_json
from governance.privacy.structure.urltext import parse_url

Kind = Literal["text", "json", "html", "markdown", "url"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """One piece of personal data in a value, as a reader sees it: decoded, without markup."""

    entity: str
    value: str


@dataclass(frozen=True, slots=True, repr=False)
class Rewritten:
    """A value with its personal data replaced, and what was found, in reading order."""

    text: str
    entities: tuple[str, ...]


FindAll = Callable[[Sequence[str]], Sequence[Sequence[Span]]]
Replace = Callable[[Sequence[Found]], Sequence[str]]


def rewrite(values: Sequence[str], kind: Kind, find: FindAll, replace: Replace) -> list[Rewritten]:
    """Replace the personal data in structured values; one result each, in order.

    Leaves are read decoded, each with the key, attribute or parameter that names it as its left context. Stand-ins are
    written in the spelling of the place: escaped in HTML, percent-encoded in a URL, a string where JSON had a number.

    Args:
        values: texts of that kind.
        kind: how to take them apart.
        find: called once, with the leaves of all values; spans of each leaf, disjoint and in order, in its positions.
        replace: called once for each value that holds a find, with all of its finds; a stand-in for each, in order.

    Raises:
        ValueError: `find` or `replace` gave more or fewer answers than it was asked for.

    >>> phones = lambda leaves: [[Span(7, 14, "PHONE_NUMBER")] if "phone: " in leaf else [] for leaf in leaves]
    >>> labels = lambda found: [f"[{piece.entity}]" for piece in found]
    >>> rewrite(['{"phone": 5550123, "n": 1e400}'], "json", phones, labels)[0].text
    '{"phone": "[PHONE_NUMBER]", "n": 1e400}'
    """
    layouts = [_taken_apart(repair(value), kind) for value in values]
    leaves = [layout.leaves for layout in layouts]
    texts = [leaf.context + leaf.text for group in leaves for leaf in group]
    spans = find(texts)
    if len(spans) != len(texts):
        raise ValueError(f"expected the finds of {len(texts)} leaves, found those of {len(spans)}")
    each = iter(spans)
    return [
        _rewritten(layout, group, [next(each) for _ in group], replace)
        for layout, group in zip(layouts, leaves, strict=True)
    ]


def _taken_apart(value: str, kind: Kind) -> Layout:
    if kind == "json":
        return parse_json(value) or plain(value)
    if kind == "url":
        return parse_url(value) or plain(value)
    if kind == "html":
        return parse_html(value)
    if kind == "markdown":
        # The parser takes a moment to import, and most runs need none.
        from governance.privacy.structure.markdowntext import parse_markdown

        return parse_markdown(value)
    return plain(value)


def _rewritten(layout: Layout, leaves: Sequence[Leaf], spans: Sequence[Sequence[Span]], replace: Replace) -> Rewritten:
    finds = [list(_within(leaf, found)) for leaf, found in zip(leaves, spans, strict=True)]
    pieces = [
        Found(span.entity, leaf.text[span.start : span.end])
        for leaf, found in zip(leaves, finds, strict=True)
        for span in found
    ]
    stand_ins = replace(pieces) if pieces else ()
    if len(stand_ins) != len(pieces):
        raise ValueError(f"expected {len(pieces)} stand-ins, found {len(stand_ins)}")
    new = iter(stand_ins)
    changes: list[list[Edit]] = [[(span.start, span.end, next(new)) for span in found] for found in finds]
    return Rewritten(layout.written(changes), tuple(piece.entity for piece in pieces))


def _within(leaf: Leaf, spans: Sequence[Span]) -> Iterator[Span]:
    """Spans in positions of the leaf alone, without what reaches into the context and what is left without a value."""
    shift = len(leaf.context)
    for span in spans:
        start = max(span.start - shift, 0)
        end = span.end - shift
        if start < end and any(char.isalnum() for char in leaf.text[start:end]):
            yield Span(start, end, span.entity)
