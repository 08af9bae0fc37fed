"""JSON lines: only the text's value within a line is rewritten, the rest of the line stays byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from governance.errors import DataError
from governance.privacy.files.batch import LOST
from governance.privacy.files.rowfiles import (
    LIMIT,
    LIMIT_WORDS,
    SHARD_BYTES,
    SHARD_ROWS,
    Bad,
    Format,
    Shard,
    byte_order_mark,
    check_columns,
)
from governance.privacy.normalise import repair

if TYPE_CHECKING:
    import pyarrow as pa

_PROBED = 1_000  # lines in which a text column must show
_SPACE = re.compile(r"[ \t\n\r]*")
# Numbers are kept as they are spelt: their values don't matter, and 1e400 or a million digits have none in Python.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_KINDS = {"{": "an object", "[": "a list", "t": "true or false", "f": "true or false"}


class BadLine(ValueError):
    """A line that is no row; the message says why without quoting it."""


@dataclass(frozen=True, slots=True, repr=False)
class _Slot:
    """Where a text's value stands in a line; `text` is None where it is no string."""

    line: int
    start: int
    end: int
    text: str | None


@dataclass(slots=True, repr=False)
class _Lines:
    """Lines of the shard under way."""

    lines: list[str] = field(default_factory=list)
    slots: list[_Slot] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    size: int = 0


class JsonRows:
    """A JSON-lines file, opened for its texts."""

    format: Format = "jsonl"
    unit: Literal["line", "row"] = "line"

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = frozenset(columns)
        names: dict[str, None] = {}
        readable = seen = 0
        with path.open("rb") as file:
            file.seek(len(self.head()))
            for seen, (_, line) in enumerate(_lines(file), 1):
                try:
                    names |= dict.fromkeys(key for key, _, _ in _members(_text(line)))
                    readable += 1
                except BadLine:
                    pass  # told in the quarantine file, once there is a readable line at all
                if seen == _PROBED:
                    break
        if seen and not readable:
            raise DataError(f"{path}: expected a JSON object on each line, found none in the first {seen}")
        if seen:
            check_columns(path, columns, list(names))

    def head(self) -> bytes:
        """A byte-order mark, if there is one."""
        return byte_order_mark(self.path)

    def shards(self) -> Iterator[Shard]:
        """All rows, shard by shard."""
        now = _Lines()
        with self.path.open("rb") as file:
            file.seek(len(self.head()))
            for place, line in _lines(file):
                self._take(now, place, line)
                if len(now.lines) + len(now.bad) >= SHARD_ROWS or now.size >= SHARD_BYTES:
                    yield _shard(now, file.tell())
                    now = _Lines()
            if now.lines or now.bad:
                yield _shard(now, file.tell())

    def _take(self, now: _Lines, place: int, line: bytes | None) -> None:
        now.size += len(line or b"")
        try:
            text = _text(line)
            members = [member for member in _members(text) if member[0] in self._columns]
        except BadLine as error:
            now.bad.append(Bad(place, str(error), kept=False))
            return
        for _, start, end in members:
            value = text[start:end]
            if value == "null":
                continue
            if value[0] == '"':
                now.slots.append(_Slot(len(now.lines), start, end, scanstring(text, start + 1, False)[0]))
                now.places.append(place)
            else:
                now.slots.append(_Slot(len(now.lines), start, end, None))
                now.bad.append(Bad(place, f"the text is {_KINDS.get(value[0], 'a number')}, not a string", kept=True))
        now.lines.append(text)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) of all lines that aren't blank; None for one that is too long to be read."""
    number = 0
    while line := file.readline(LIMIT + 1):
        number += 1
        if len(line) > LIMIT:
            while line and not line.endswith(b"\n"):
                line = file.readline(LIMIT)
            yield number, None
        elif not line.isspace():
            yield number, line


def _text(line: bytes | None) -> str:
    if line is None:
        raise BadLine(f"the line is longer than {LIMIT_WORDS}")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise BadLine("the line is not UTF-8") from None


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """(key, start, end) of each value in an object, in order; a key that stands twice comes twice.

    Raises:
        BadLine: the line isn't a JSON object.
    """
    try:
        yield from _scan(text)
    except (StopIteration, ValueError, IndexError, RuntimeError) as error:
        deep = isinstance(error, RecursionError)
        raise BadLine("the line is nested too deeply" if deep else "the line is not a JSON object") from None


def _scan(text: str) -> Iterator[tuple[str, int, int]]:
    place = _expect(text, "{", 0)
    if text[place] == "}":
        _finish(text, place + 1)
        return
    while True:
        key, place = scanstring(text, _expect(text, '"', place, space=False), False)
        place = _expect(text, ":", place)
        _, end = _DECODER.scan_once(text, place)  # type: ignore[attr-defined]
        yield key, place, end
        end = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text[end] == "}":
            _finish(text, end + 1)
            return
        place = _expect(text, ",", end)


def _expect(text: str, char: str, place: int, *, space: bool = True) -> int:
    """The place after a character and the white space around it."""
    place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
    if text[place] != char:
        raise BadLine
    return _SPACE.match(text, place + 1).end() if space else place + 1  # type: ignore[union-attr]


def _finish(text: str, place: int) -> None:
    if _SPACE.fullmatch(text, place) is None:
        raise BadLine


def _shard(now: _Lines, consumed: int) -> Shard:
    import pyarrow as pa

    texts = pa.array([repair(slot.text) for slot in now.slots if slot.text is not None], pa.large_string())

    def render(scrubbed: pa.Array) -> bytes:
        values = iter(scrubbed.to_pylist())
        pieces: list[str] = []
        slots = iter([*now.slots, None])
        slot = next(slots)
        for number, line in enumerate(now.lines):
            place = 0
            while slot is not None and slot.line == number:
                value = LOST if slot.text is None else next(values)
                if value != slot.text:
                    spelt = json.dumps(value, ensure_ascii=line.isascii())
                    pieces += [line[place : slot.start], spelt]
                    place = slot.end
                slot = next(slots)
            pieces.append(line[place:])
        return "".join(pieces).encode()

    return Shard(texts, now.places, len(now.lines), tuple(now.bad), consumed, render)
