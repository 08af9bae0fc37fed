"""Leaves as a reader sees them, and the way back: what is written over a stretch lands on the raw characters of it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from governance.privacy.structure.codes import REFERENCE, Edit, edits, referenced

Escape = Callable[[str], str]
"""How a stand-in is spelt where a flow stands."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.:\[\]]+")
_TELLING = 64
"""Characters of a name that are kept as context: a page of it before each of a thousand values would never end."""


def words(*names: str) -> str:
    """Keys, attributes and the like as a left context in words, the end of each if it is long; "" where there are none.

    >>> words("customer", "phoneNumber"), words("")
    ('customer phone Number: ', '')
    """
    spoken = " ".join(plain for name in names if (plain := _HUMP.sub(" ", name[-_TELLING:]).strip()))
    return f"{spoken}: " if spoken else ""


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """A text to read in one go, with what stands to its left for context only."""

    text: str
    context: str = ""


class Layout(Protocol):
    """A value taken apart: its leaves, and the value with other things written in them."""

    @property
    def leaves(self) -> Sequence[Leaf]:
        """What to read, in a fixed order."""
        ...

    def written(self, changes: Sequence[Sequence[Edit]]) -> str:
        """The value with changes made: for each leaf disjoint edits, in order, in positions of its text."""
        ...


def applied(text: str, changes: Iterable[Edit]) -> str:
    """A text with disjoint edits made, in order.

    >>> applied("call John now", [(5, 9, "[PERSON]")])
    'call [PERSON] now'
    """
    out: list[str] = []
    position = 0
    for start, end, new in changes:
        out += (text[position:start], new)
        position = end
    return "".join([*out, text[position:]])


class Flow:
    """One leaf of a raw text, put together from pieces of it.

    Args:
        raw: the whole raw text.
        escape: how to spell a stand-in here.
        context: see `Leaf`.
        wrap: written around the flow once anything in it changes (quotes around a bare attribute value).
    """

    def __init__(self, raw: str, escape: Escape, *, context: str = "", wrap: str = "") -> None:
        self.escape = escape
        self.wrap = wrap
        self.raw = raw
        self._context = context
        self._texts: list[str] = []
        self._places: list[int] = []  # of each piece, in the text of the leaf
        self._pieces: list[tuple[int, int, bool]] = []  # raw start, raw end, spelt character by character
        self._length = 0

    @property
    def leaf(self) -> Leaf:
        """What to read."""
        return Leaf("".join(self._texts), self._context)

    def copy(self, start: int, end: int) -> None:
        """Add a raw stretch as it is."""
        if start >= end:
            return
        if self._pieces and self._pieces[-1][1:] == (start, True):
            self._texts.append(self.raw[start:end])
            self._pieces[-1] = self._pieces[-1][0], end, True
            self._length += end - start
        else:
            self._add(self.raw[start:end], start, end, exact=True)

    def code(self, start: int, end: int, plain: str) -> None:
        """Add what a raw stretch stands for; with an empty stretch, a gap that only readers see."""
        self._add(plain, start, end, exact=False)

    def references(self, start: int, end: int) -> None:
        """Add a raw stretch in which HTML entities stand for characters."""
        self.decoded(start, end, REFERENCE, referenced)

    def decoded(self, start: int, end: int, pattern: re.Pattern[str], decode: Callable[[str], str | None]) -> None:
        """Add a raw stretch in which a pattern stands for other characters."""
        position = start
        for low, high, plain in edits(pattern, decode, self.raw[start:end]):
            self.copy(position, start + low)
            self.code(start + low, start + high, plain)
            position = start + high
        self.copy(position, end)

    def _add(self, text: str, start: int, end: int, *, exact: bool) -> None:
        self._texts.append(text)
        self._places.append(self._length)
        self._pieces.append((start, end, exact))
        self._length += len(text)

    def stretches(self, start: int, end: int) -> list[tuple[int, int]]:
        """The raw stretches that a stretch of the leaf is spelt with, in order; gaps have none."""
        found: list[tuple[int, int]] = []
        piece = bisect.bisect_right(self._places, start) - 1
        while piece < len(self._places) and (place := self._places[piece]) < end:
            low, high, exact = self._pieces[piece]
            piece += 1
            if exact:
                low, high = max(low, low + start - place), min(high, low + end - place)
            if found and found[-1][1] == low:
                found[-1] = found[-1][0], high
            elif low < high:
                found.append((low, high))
        return found

    def spelt(self, new: str, stretches: Sequence[tuple[int, int]]) -> str:  # noqa: ARG002 - for flows that look around
        """A stand-in as it is written over these raw stretches."""
        return self.escape(new)

    def patches(self, changes: Sequence[Edit]) -> list[Edit]:
        """Edits of the leaf, as edits of the raw text.

        The first stretch of each is rewritten, the others are emptied.
        """
        patches: list[Edit] = []
        for start, end, new in changes:
            stretches = [pair for pair in self.stretches(start, end) if not patches or pair[1] > patches[-1][1]]
            spelt = self.spelt(new, stretches)
            for low, high in stretches:
                patches.append((max(low, patches[-1][1]) if patches else low, high, spelt))
                spelt = ""
        if patches and self.wrap:
            edge = self._pieces[0][0], self._pieces[-1][1]
            return [(edge[0], edge[0], self.wrap), *patches, (edge[1], edge[1], self.wrap)]
        return patches


@dataclass(frozen=True, slots=True, repr=False)
class Flows:
    """A raw text with flows in it, whose pieces don't overlap."""

    raw: str
    flows: Sequence[Flow]

    @property
    def leaves(self) -> Sequence[Leaf]:
        """See `Layout`."""
        return [flow.leaf for flow in self.flows]

    def written(self, changes: Sequence[Sequence[Edit]]) -> str:
        """See `Layout`."""
        patches: list[Edit] = []
        for flow, edited in zip(self.flows, changes, strict=True):
            if edited:
                patches += flow.patches(edited)
        # Stable: a wrap before its value stays before it.
        return applied(self.raw, sorted(patches, key=lambda patch: patch[:2]))


def plain(raw: str) -> Flows:
    """A text without syntax: one leaf.

    >>> plain("hi").leaves[0].text
    'hi'
    """
    flow = Flow(raw, str)
    flow.copy(0, len(raw))
    return Flows(raw, [flow])
