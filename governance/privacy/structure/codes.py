"""Spellings that stand for other characters, undone with a note of where each character came from.

Every pattern is anchored on a rare character and repeats within bounds, so time grows linearly with the text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html.entities import html5

Edit = tuple[int, int, str]
"""A stretch of a text, and what to read in its place."""

REFERENCE = re.compile(r"&(?:#(?:[0-9]{1,8}|[xX][0-9a-fA-F]{1,7});?|[A-Za-z][A-Za-z0-9]{1,31};)")
PERCENT = re.compile(
    "%[2-7][0-9a-fA-F]|%[cCdD][0-9a-fA-F]%[89abAB][0-9a-fA-F]"
    "|%[eE][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}|%[fF][0-4](?:%[89abAB][0-9a-fA-F]){3}"
)
"""One character in UTF-8, percent-encoded. Each is a stretch of its own, so that finds map back closely."""
UNICODE_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}")


def referenced(code: str) -> str | None:
    """What an HTML entity stands for; None: it names nothing.

    >>> referenced("&#64;"), referenced("&nbsp;"), referenced("&nosuch;")
    ('@', '\\xa0', None)
    """
    if code[1] != "#" and code[1:] not in html5:
        return None
    return html.unescape(code) or None


def percent(code: str) -> str | None:
    """The printable character that one percent-encoded sequence stands for, or None.

    >>> percent("%40"), percent("%E5%BC%A0"), percent("%C0%80")
    ('@', '张', None)
    """
    try:
        char = bytes.fromhex(code.replace("%", "")).decode()
    except UnicodeDecodeError:
        return None
    return char if char.isprintable() else None


def unicode_escape(code: str) -> str | None:
    """The character that a backslash, u and four digits stand for; None for half a surrogate pair.

    >>> unicode_escape("\\\\u5f20")
    '张'
    """
    number = int(code[2:], 16)
    return None if 0xD800 <= number < 0xE000 else chr(number)


def edits(pattern: re.Pattern[str], decode: Callable[[str], str | None], text: str) -> list[Edit]:
    """Where `pattern` stands in the text, and what it stands for; left out where `decode` says None."""
    return [
        (match.start(), match.end(), plain)
        for match in pattern.finditer(text)
        if (plain := decode(match[0])) is not None
    ]


@dataclass(frozen=True, slots=True, repr=False)
class Folded:
    """A text as recognisers read it.

    Attributes:
        text: the folded text.
        starts: position in the original where each folded character's spelling starts; None where they are the same.
        ends: position where it ends; None where every spelling is one character long.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A non-empty stretch of the folded text, as a stretch of the original.

        A stretch that touches one character of a longer spelling covers the whole spelling.
        """
        first = start if self.starts is None else self.starts[start]
        if self.ends is not None:
            return first, self.ends[end - 1]
        return first, end if self.starts is None else self.starts[end - 1] + 1

    def edited(self, changes: Iterable[Edit]) -> Folded:
        """This text with changes made; they are disjoint, in order, not empty, in positions of `text`."""
        starts: Sequence[int] = range(len(self.text)) if self.starts is None else self.starts
        ends: Sequence[int] | None = self.ends
        if ends is None:
            ends = range(1, len(self.text) + 1) if self.starts is None else [start + 1 for start in self.starts]
        out: list[str] = []
        new_starts: list[int] = []
        new_ends: list[int] = []
        position = 0
        for start, end, plain in changes:
            out += (self.text[position:start], plain)
            new_starts += starts[position:start]
            new_starts += [starts[start]] * len(plain)
            new_ends += ends[position:start]
            new_ends += [ends[end - 1]] * len(plain)
            position = end
        new_starts += starts[position:]
        new_ends += ends[position:]
        return Folded("".join([*out, self.text[position:]]), new_starts, new_ends)
