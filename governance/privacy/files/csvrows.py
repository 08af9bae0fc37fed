"""CSV and TSV: only the text's field within a record is rewritten, the rest of the record stays byte for byte.

Where a record ends is decided as RFC 4180 has it: line breaks and separators within quotes belong to the field.
A record whose quotes are broken is left out up to where it ends with them; guessing where the next row starts
could pass a piece of a text off as another column.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from governance.errors import DataError
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

if TYPE_CHECKING:
    import pyarrow as pa

_READ = 1 << 18


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One record, or a stretch that is none.

    Attributes:
        place: its first line, from 1.
        raw: its bytes, line end included.
        fields: (start, end) of each field in `raw`, quotes included; empty where `bad`.
        bad: why it is no record.
    """

    place: int
    raw: bytes
    fields: Sequence[tuple[int, int]]
    bad: str = ""

    def value(self, column: int) -> str:
        """A field without its quotes.

        Raises:
            UnicodeDecodeError: it isn't UTF-8.
        """
        start, end = self.fields[column]
        text = self.raw[start:end].decode()
        return text[1:-1].replace('""', '"') if text[:1] == '"' else text


@dataclass(slots=True, repr=False)
class _Rows:
    """Records of the shard under way."""

    records: list[Record] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    size: int = 0


class CsvRows:
    """A CSV or TSV file with a header, opened for its texts."""

    unit: Literal["line", "row"] = "line"

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.format: Format = "tsv" if path.suffix == ".tsv" else "csv"
        header = next(self._records(), None)
        if header is None:
            raise DataError(f"{path}: the file is empty")
        try:
            self.names = [] if header.bad else [header.value(column) for column in range(len(header.fields))]
        except UnicodeDecodeError:
            raise DataError(f"{path}: expected UTF-8 text, found another encoding") from None
        if header.bad:
            raise DataError(f"{path}: the first row names no columns: {header.bad}")
        if len(set(self.names)) != len(self.names):
            raise DataError(f"{path}: a column name stands twice in the header")
        check_columns(path, columns, self.names)
        self._wanted = sorted({self.names.index(column) for column in columns})
        self._header = header.raw

    def head(self) -> bytes:
        """The header as it is spelt, ended."""
        mark = byte_order_mark(self.path)
        return mark + self._header + (b"" if self._header.endswith((b"\n", b"\r")) else b"\n")

    def shards(self) -> Iterator[Shard]:
        """All rows, shard by shard."""
        now = _Rows()
        consumed = 0
        for record in self._records():
            consumed += len(record.raw)
            if consumed == len(self._header):
                continue
            self._take(now, record)
            if len(now.records) + len(now.bad) >= SHARD_ROWS or now.size >= SHARD_BYTES:
                yield self._shard(now, consumed)
                now = _Rows()
        if now.records or now.bad:
            yield self._shard(now, consumed)

    def values(self, payload: bytes) -> Iterator[list[str]]:
        """The fields of each record of a shard that was rendered, without quotes."""
        for record in _Reader(io.BytesIO(payload), self.separator):
            yield [record.value(column) for column in range(len(record.fields))]

    @property
    def separator(self) -> bytes:
        """What stands between two fields."""
        return b"\t" if self.format == "tsv" else b","

    def _records(self) -> Iterator[Record]:
        with self.path.open("rb") as file:
            file.seek(len(byte_order_mark(self.path)))
            yield from _Reader(file, self.separator)

    def _take(self, now: _Rows, record: Record) -> None:
        now.size += len(record.raw)
        try:
            why = record.bad or self._miscounted(record)
            values = [] if why else [record.value(column) for column in self._wanted]
            record.raw.decode()
        except UnicodeDecodeError:
            why = "the row is not UTF-8"
        if why:
            now.bad.append(Bad(record.place, why, kept=False))
            return
        now.records.append(record)
        now.texts += values
        now.places += [record.place] * len(values)

    def _miscounted(self, record: Record) -> str:
        expected, found = len(self.names), len(record.fields)
        return "" if found == expected else f"expected {expected} fields, found {found}"

    def _shard(self, now: _Rows, consumed: int) -> Shard:
        import pyarrow as pa

        def render(scrubbed: pa.Array) -> bytes:
            values = zip(now.texts, scrubbed.to_pylist(), strict=True)
            return b"".join(piece for record in now.records for piece in self._rendered(record, values))

        texts = pa.array(now.texts, pa.large_string())
        return Shard(texts, now.places, len(now.records), tuple(now.bad), consumed, render)

    def _rendered(self, record: Record, values: Iterator[tuple[str, str]]) -> Iterator[bytes]:
        place = 0
        for column in self._wanted:
            before, after = next(values)
            if after != before:
                start, end = record.fields[column]
                yield record.raw[place:start]
                # Without quotes an only field that is empty would be a blank line, which is no row.
                quoted = record.raw[start : start + 1] == b'"' or (not after and len(self.names) == 1)
                yield _spelt(after, self.separator, quoted=quoted)
                place = end
        yield record.raw[place:]


def _spelt(value: str, separator: bytes, *, quoted: bool) -> bytes:
    raw = value.encode()
    if quoted or any(char in raw for char in (separator, b'"', b"\r", b"\n")):
        return b'"' + raw.replace(b'"', b'""') + b'"'
    return raw


class _Reader:
    """Splits bytes into records; holds one record and a block at a time."""

    def __init__(self, file: BinaryIO, separator: bytes) -> None:
        self._file = file
        self._separator = separator
        self._buffer = b""
        self._ended = False
        # Possessive, so that a hostile file can't make it try again: quotes, then what follows the closing one.
        self._field = re.compile(
            rb'(?:"[^"]*+(?:""[^"]*+)*+"(?!")([^%b\r\n]*+)|[^%b"\r\n][^%b\r\n]*+|)(%b|\r\n?+|\n|\Z)'
            % ((separator,) * 4)
        )

    def __iter__(self) -> Iterator[Record]:
        place, position = 1, 0
        while True:
            record = self._next(place, position)
            while record is None:  # it doesn't end within the buffer
                self._buffer = self._buffer[position:]
                position = 0
                if len(self._buffer) > LIMIT:
                    record = self._lost(place)
                elif not self._more():
                    if not self._buffer:
                        return
                    record = self._next(place, 0) or self._lost(place)
                else:
                    record = self._next(place, 0)
            position += len(record.raw)
            if record.raw.strip(b"\r\n"):
                yield record
            place += record.raw.count(b"\n") or record.raw.count(b"\r")

    def _more(self) -> bool:
        """Read on, twice as much as is held, so that a long record is looked at a few times only."""
        if self._ended:
            return False
        block = self._file.read(max(_READ, len(self._buffer)))
        self._ended = not block
        self._buffer += block
        return not self._ended

    def _next(self, place: int, start: int) -> Record | None:
        """The record that starts here; None: more must be read to tell."""
        fields: list[tuple[int, int]] = []
        broken = False
        position = start
        while found := self._field.match(self._buffer, position):
            end = found.end()
            if end == len(self._buffer) and not self._ended:
                return None
            broken = broken or bool(found[1])
            fields.append((position - start, found.start(2) - start))
            if found[2] != self._separator:
                if end == start:
                    return None
                raw = self._buffer[start:end]
                return Record(place, raw, () if broken else fields, "a quote closes within a field" if broken else "")
            position = end
        return None

    def _lost(self, place: int) -> Record:
        """A record without an end in reach: everything up to the file's end goes with it."""
        why = f"a quote opens that never closes, or the row is longer than {LIMIT_WORDS}; nothing after it is read"
        while self._file.read(_READ):
            pass
        self._ended = True
        return Record(place, self._buffer, (), why)
