"""Spans: which finds become which placeholders, and a text with them put in.

Finds that overlap become one span over all of them, named after the best (checksum before pattern before
model, then the longest): no character that any recogniser flagged is left beside a placeholder.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from governance.privacy.entities import ENTITIES

UNREADABLE = "UNREADABLE"
"""Stands, in brackets and counts, for a whole text that the scrubber gave up on: not one piece of it is passed on."""

LITERAL = "LITERAL"
"""Stands, with a number, for a stretch of an input that looks like a token of the vault."""

_LABELS = "|".join(sorted([*ENTITIES, UNREADABLE, LITERAL], key=len, reverse=True))
PLACEHOLDER = re.compile(rf"\[(?:{_LABELS})(?:_\d{{1,6}}|#[a-p]{{16}}|~[a-p]{{58,4000}})?\]")
"""What stands in a text for personal data: `[PERSON]`, numbered `[PERSON_2]`, hashed `[PERSON#…]`, encrypted
`[PERSON~…]`. In an input it is harmless: bytes are spelt with the letters a to p, and a number has at most six
digits, fewer than nearly all that is looked for."""


MODEL, PATTERN, CHECKSUM = range(3)
"""How a find was made, in ascending order of what it's worth against another that overlaps it."""


@dataclass(frozen=True, slots=True)
class Find:
    """What one recogniser flagged, how sure it is, and how it knows (`MODEL`, `PATTERN` or `CHECKSUM`)."""

    entity: str
    start: int
    end: int
    score: float
    rank: int = PATTERN


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """One piece of personal data in a text: where it is and what kind, never the value."""

    start: int
    end: int
    entity: str


def resolve(finds: Iterable[Find]) -> list[Span]:
    """Disjoint spans, in order, that cover every character of every find.

    >>> resolve([Find("PERSON", 0, 9, 0.85, MODEL), Find("EMAIL_ADDRESS", 5, 21, 0.6)])
    [Span(start=0, end=21, entity='EMAIL_ADDRESS')]
    """
    spans: list[Span] = []
    group: list[Find] = []
    reach = -1
    for find in sorted(finds, key=lambda find: (find.start, find.end)):
        if find.start >= reach and group:
            spans.append(_merged(group))
            group = []
        reach = max(reach, find.end) if group else find.end
        group.append(find)
    return [*spans, _merged(group)] if group else spans


def _merged(group: Sequence[Find]) -> Span:
    best = max(group, key=lambda find: (find.rank, find.end - find.start, find.score, -find.start, find.entity))
    return Span(min(find.start for find in group), max(find.end for find in group), best.entity)


def without_placeholders(text: str) -> str:
    """The text with spaces in the place of placeholders, so that every position stays.

    >>> without_placeholders("a [URL] b")
    'a       b'
    """
    return PLACEHOLDER.sub(lambda match: " " * len(match[0]), text) if "[" in text else text


def outside_placeholders(text: str, finds: Iterable[Find]) -> list[Find]:
    """The parts of finds that placeholders don't already stand for, trimmed of space; those with a letter or digit."""
    taken = [match.span() for match in PLACEHOLDER.finditer(text)]
    parts = [part for find in finds for part in _minus(find, taken)]
    return [trimmed for part in parts if (trimmed := _trimmed(text, part)) is not None]


def _minus(find: Find, taken: Sequence[tuple[int, int]]) -> list[Find]:
    # Bisection: a hostile text may hold a hundred thousand look-alikes.
    parts, start = [], find.start
    first = max(0, bisect.bisect_right(taken, find.start, key=lambda pair: pair[0]) - 1)
    for low, high in taken[first : bisect.bisect_left(taken, find.end, key=lambda pair: pair[0])]:
        if high <= start:
            continue
        if low > start:
            parts.append(replace(find, start=start, end=low))
        start = high
    if start < find.end:
        parts.append(replace(find, start=start))
    return parts


def _trimmed(text: str, find: Find) -> Find | None:
    value = text[find.start : find.end]
    if not any(char.isalnum() for char in value):
        return None
    start = find.start + len(value) - len(value.lstrip())
    return replace(find, start=start, end=start + len(value.strip()))


@dataclass(frozen=True, slots=True, repr=False)
class Redacted:
    """A text with stand-ins put in, and where its other parts come from.

    Attributes:
        text: the redacted text.
        pieces: (start in `text`, start in the original, length) of each stretch that was kept.
    """

    text: str
    pieces: tuple[tuple[int, int, int], ...]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of kept text, in positions of the original."""
        here, there, length = self.pieces[bisect.bisect_right(self.pieces, start, key=lambda piece: piece[0]) - 1]
        if end > here + length:
            raise ValueError("expected a stretch within one kept piece")
        return there + start - here, there + end - here


def redact(text: str, spans: Sequence[Span], stand_ins: Sequence[str] | None = None) -> Redacted:
    """Put a stand-in where each span is; `spans` disjoint and in order, stand-ins placeholders unless given."""
    labels = [f"[{span.entity}]" for span in spans] if stand_ins is None else stand_ins
    out: list[str] = []
    pieces: list[tuple[int, int, int]] = []
    position = length = 0
    for span, label in zip(spans, labels, strict=True):
        kept = text[position : span.start]
        pieces.append((length, position, len(kept)))
        out += [kept, label]
        length += len(kept) + len(label)
        position = span.end
    pieces.append((length, position, len(text) - position))
    return Redacted("".join([*out, text[position:]]), tuple(pieces))
