"""Markdown: text, code, link targets and titles, table cells and HTML are its leaves; the markers stay.

The parser says which lines are what. Within lines, markers are read past; whatever is not a marker is text. No
marker holds a letter or digit but the known names of HTML tags and attributes, so nothing escapes reading.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from urllib.parse import quote

from markdown_it import MarkdownIt

from governance.privacy.overlaps import PLACEHOLDER
from governance.privacy.structure.codes import REFERENCE, Edit
from governance.privacy.structure.disguise import is_inline
from governance.privacy.structure.flow import Escape, Flow, Flows
from governance.privacy.structure.htmltext import html_flows, tag_flows

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_INDENT = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*")
_TARGET = r"(?:<(?P<angled>[^<>\n]*)>|(?P<target>[^\s()<][^\s()]*(?:\([^\s()]*\)[^\s()]*)*))"
_TITLE = r"""(?:[ \t]+(?:"(?P<title>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'))?"""
_MARKER = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    rf"|(?P<reference>{REFERENCE.pattern})"
    r"|(?P<ticks>`+)"
    r"|(?P<tag></?(?P<name>[A-Za-z][A-Za-z0-9-]*)(?:[\s/][^<>]*)?>|<!--[^<>]*-->)"
    r"|<(?P<auto>[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*|[^\s<>@]{1,64}@[^\s<>]{1,255})>"
    rf"|\]\([ \t]*{_TARGET}{_TITLE}[ \t]*\)"
    r"|(?P<emphasis>(?<!\*)(?:\*{2,3}|\*(?![0-9])|(?<![0-9])\*)(?!\*)|~~"
    r"|(?<![A-Za-z0-9_])_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?![A-Za-z0-9_]))"
    r"|(?P<bar>\|)"
)
_DEFINITION = re.compile(rf" {{0,3}}\[[^\]\[]{{1,999}}\]:[ \t]*{_TARGET}{_TITLE}[ \t]*(?=[\r\n]|\Z)")
_SPECIAL = re.compile(r"[\\`*<>|~\[\]&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


@cache
def _parser() -> MarkdownIt:
    # Blocks only: the parser has no positions within lines.
    return MarkdownIt("commonmark").enable("table").disable("inline")


def parse_markdown(raw: str) -> Flows:
    """The leaves of a Markdown text: one for its text and code, one for each link target, title and HTML attribute.

    >>> [leaf.text for leaf in parse_markdown("1**3**8 [me](/u/zhang 'hi')").leaves]
    ['138 [me]', '/u/zhang', 'hi']
    """
    reader = _Reader(raw)
    reader.read()
    return Flows(raw, reader.flows)


class _Text(Flow):
    """The running text of a document, and the markers that were read past."""

    def __init__(self, raw: str) -> None:
        super().__init__(raw, str)
        self.marks: list[tuple[int, int]] = []
        self.referenced = False
        self.code_spans: list[tuple[int, int]] = []

    def spelt(self, new: str, stretches: Sequence[tuple[int, int]]) -> str:
        """A stand-in that reads as itself, and is no markup."""
        if not stretches or not new:
            return new
        place = bisect.bisect_right(self.code_spans, stretches[0][0], key=lambda pair: pair[0]) - 1
        if place >= 0 and stretches[0][0] < self.code_spans[place][1]:
            return re.sub(r"[`\r\n]", " ", new)
        # A label holds no bare brackets, and must be spelt the same where it is defined and where it is used.
        if self.referenced or not PLACEHOLDER.fullmatch(new):
            return _SPECIAL.sub(r"\\\g<0>", re.sub(r"[\r\n]", " ", new))
        # Before these, a bracket would start a link or a definition and vanish.
        after = {self.raw[end : end + 1] for _, end in stretches}
        return f"\\{new}" if after & {"(", "[", ":"} else new

    def patches(self, changes: Sequence[Edit]) -> list[Edit]:
        """As of every flow, and markers that hold nothing any more, or would no longer be markers, seen to."""
        patches = super().patches(changes)
        gone = bytearray(len(self.raw) + 1)
        for start, end, new in patches:
            gone[start:end] = (b"\2" if new else b"\1") * (end - start)
        emptied: list[Edit] = []
        for (start, low), (high, end) in self._pairs():
            if gone.find(0, low, high) < 0 and gone.find(2, low, high) < 0:
                emptied += (start, low, ""), (high, end, "")
                gone[start:low] = b"\1" * (low - start)
                gone[high:end] = b"\1" * (end - high)
        return [*patches, *emptied, *self._spaces(patches, gone)]

    def _pairs(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Markers that belong together, inner ones first."""
        opened: list[tuple[int, int]] = []
        for mark in self.marks:
            if opened and self.raw[slice(*opened[-1])] == self.raw[slice(*mark)]:
                yield opened.pop(), mark
            else:
                opened.append(mark)

    def _spaces(self, patches: Sequence[Edit], gone: bytearray) -> Iterator[Edit]:
        # `**[PERSON]**你好` isn't bold: a marker between punctuation and a letter counts as text.
        pairs = [pair for pair in self._pairs() if self.raw[pair[0][0]] != "`" and not gone[pair[0][0]]]
        opening = {end: start for (start, end), _ in pairs}
        closing = {start: end for _, (start, end) in pairs}
        written = {start: new for start, _, new in patches if new}
        for start, end, new in patches:
            if not new:
                continue
            if start in opening and not new[0].isalnum() and self.raw[opening[start] - 1 : opening[start]].isalnum():
                yield opening[start], opening[start], " "
            if end in closing and not new[-1].isalnum():
                after = min(place for place in (gone.find(0, closing[end]), gone.find(2, closing[end])) if place >= 0)
                if (written.get(after) or self.raw[after : after + 1])[:1].isalnum():
                    yield closing[end], closing[end], " "


class _Reader:
    """Goes through a document line by line."""

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._text = _Text(raw)
        self.flows: list[Flow] = [self._text]
        self._code: set[int] = set()
        self._rows: set[int] = set()
        self._html: dict[int, int] = {}  # first line -> the line after the last
        self._soft: set[int] = set()  # lines that the next one goes on with
        # Where runs of backticks start, by length: to look for each one's closing would take n**1.5 steps.
        self._runs: dict[int, list[int]] = {}
        for run in re.finditer("`+", raw):
            self._runs.setdefault(len(run[0]), []).append(run.start())
        self._cell = 0  # where the last cell that was looked at ends

    def read(self) -> None:
        """Fill `flows`."""
        lines = [match.span() for match in _LINE.finditer(self._raw) if match[0]]
        self._blocks()
        number = 0
        start = 0
        while number < len(lines):
            after = self._html.get(number)
            if after is not None:
                after = min(after, len(lines))
                self.flows += html_flows(self._raw, lines[number][0], lines[after - 1][1])
                number = after
                continue
            start = max(start, lines[number][0])
            end = start + len(self._raw[start : lines[number][1]].rstrip("\r\n"))
            self._line(number, start, end)
            start = end
            if number in self._soft and number + 1 < len(lines):
                indent = _INDENT.match(self._raw, *lines[number + 1])
                start = indent.end() if indent else lines[number + 1][0]
                self._text.code(end, start, "\n")
            elif number + 1 < len(lines):
                self._text.code(end, end, "\n")
            number += 1

    def _blocks(self) -> None:
        for token in _parser().parse(self._raw):
            if token.map is None:
                continue
            first, after = token.map
            if token.type in ("fence", "code_block"):
                self._code.update(range(first, after))
            elif token.type == "html_block":
                self._html[first] = after
            elif token.type == "tr_open":
                self._rows.update(range(first, after))
            elif token.type == "inline":
                self._soft.update(range(first, after - 1))

    def _line(self, number: int, start: int, end: int) -> None:
        if number in self._code:
            self._text.code_spans.append((start, end))
            self._text.copy(start, end)
        elif definition := _DEFINITION.match(self._raw, start, end):
            self._text.referenced = True
            self._text.copy(start, definition.start("target" if definition["target"] else "angled"))
            self._link(definition)
        else:
            self._inline(start, end, row=number in self._rows)

    def _inline(self, start: int, end: int, *, row: bool) -> None:
        position = start
        while match := _MARKER.search(self._raw, position, end):
            self._text.copy(position, match.start())
            position = self._marker(match, end, row=row)
        self._text.copy(position, end)

    def _marker(self, match: re.Match[str], limit: int, *, row: bool) -> int:
        """Reads what a marker stands for; returns where to go on."""
        start, end = match.span()
        if match["escape"]:
            self._text.code(start, end, match[0][1])
        elif match["reference"]:
            self._text.references(start, end)
        elif match["ticks"]:
            return self._ticks(start, end, self._cell_end(end, limit) if row else limit)
        elif match["tag"]:
            leaves = tag_flows(self._raw, start, end)
            if leaves is None:
                self._text.copy(start, start + 1)
                return start + 1
            self.flows += leaves
            if match["name"] and not is_inline(match["name"]):
                self._text.code(start, start, " ")
        elif match["emphasis"]:
            self._text.marks.append((start, end))
        elif match["bar"]:
            if row:
                self._text.code(start, start, "\t")
            else:
                self._text.copy(start, end)
        elif match["auto"]:
            self._leaf(_in_target, *match.span("auto"))
        else:
            self._text.copy(start, start + 1)
            self._link(match)
        return end

    def _cell_end(self, position: int, limit: int) -> int:
        if self._cell < position:
            bar = self._raw.find("|", position, limit)
            self._cell = limit if bar < 0 else bar
        return self._cell

    def _ticks(self, start: int, end: int, limit: int) -> int:
        runs = self._runs.get(end - start, [])
        place = bisect.bisect_left(runs, end)
        if place == len(runs) or runs[place] >= limit:
            self._text.copy(start, end)
            return end
        closing = runs[place], runs[place] + end - start
        self._text.marks += [(start, end), closing]
        self._text.code_spans.append((end, closing[0]))
        self._text.copy(end, closing[0])
        return closing[1]

    def _link(self, match: re.Match[str]) -> None:
        for name, escape in (
            ("target", _in_target),
            ("angled", _in_target),
            ("title", _in_title),
            ("single", _in_title),
        ):
            if match[name]:
                self._leaf(escape, *match.span(name))

    def _leaf(self, escape: Escape, start: int, end: int) -> None:
        flow = Flow(self._raw, escape)
        flow.references(start, end)
        self.flows.append(flow)


def _in_target(new: str) -> str:
    return re.sub(r"[\s()<>\\]", lambda match: quote(match[0]), new)


def _in_title(new: str) -> str:
    return re.sub(r"[\r\n]", " ", re.sub(r"[\"'\\&]", r"\\\g<0>", new))
