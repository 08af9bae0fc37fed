"""Files of rows, read shard by shard in bounded memory, so that their texts can be replaced and nothing else touched.

A shard's boundaries depend on the file alone: a second reading cuts at the same places, which is what lets a
killed run go on. A row that can't be read is never passed on and never stops the others: it is told by line and
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from governance.errors import DataError
from governance.formats import known_columns

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["jsonl", "csv", "tsv", "parquet"]
SHARD_ROWS = 500
SHARD_BYTES = 1 << 20
"""A shard ends at whichever comes first."""
LIMIT = 16 << 20
"""Bytes of the longest line or row that is read; a longer one is dropped, and said to be."""
_BOM = b"\xef\xbb\xbf"
LIMIT_WORDS = f"{LIMIT >> 20} MiB"
_ENDINGS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that can't be passed on as it is: where, why, and whether the rest of it was kept.

    Attributes:
        place: line (text files) or row (Parquet), from 1.
        reason: in words, without any of its content.
        kept: the row stays, its text `[UNREADABLE]`; otherwise it is left out.
    """

    place: int
    reason: str
    kept: bool


@dataclass(frozen=True, slots=True, repr=False)
class Shard:
    """Some rows of a file, in order.

    Attributes:
        texts: every text of every row, large_string, shape (k,).
        places: line or row of each text.
        rows: rows that stay.
        bad: rows that can't be read, or not their text.
        consumed: bytes of the file up to the shard's end, about.
        render: scrubbed texts -> the shard's rows with them, in the file's own format.
    """

    texts: pa.Array
    places: Sequence[int]
    rows: int
    bad: tuple[Bad, ...]
    consumed: int
    render: Callable[[pa.Array], bytes]


class RowFile(Protocol):
    """A file of rows, opened for its texts."""

    path: Path
    format: Format
    unit: Literal["line", "row"]

    def shards(self) -> Iterator[Shard]:
        """All rows, shard by shard; the same cuts on every call."""

    def head(self) -> bytes:
        """What stands before the first row, in the file's own format."""


def format_of(path: Path) -> Format | None:
    """The format that a name's ending stands for; None: none that we read."""
    if ".parquet" in path.suffixes:
        return "parquet"
    return _ENDINGS.get(path.suffix)


def open_rows(path: Path, columns: Sequence[str]) -> RowFile:
    """Open a file for the texts of some columns.

    Raises:
        DataError: not a format that we read, damaged from its start, or without one of the columns; a text
            column that isn't text.
    """
    match format_of(path):
        case "jsonl":
            from governance.privacy.files.jsonrows import JsonRows

            return JsonRows(path, columns)
        case "csv" | "tsv":
            from governance.privacy.files.csvrows import CsvRows

            return CsvRows(path, columns)
        case "parquet":
            from governance.privacy.files.parquetrows import ParquetRows

            return ParquetRows(path, columns)
        case None:
            raise DataError(f"{path}: expected .jsonl, .ndjson, .csv, .tsv or .parquet")


def byte_order_mark(path: Path) -> bytes:
    """The byte-order mark that a text file begins with, or nothing."""
    with path.open("rb") as file:
        return _BOM if file.read(len(_BOM)) == _BOM else b""


def check_columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """Check that a file has the columns that hold texts.

    Raises:
        DataError: it lacks one; the nearest is suggested.
    """
    for column in columns:
        if column not in names:
            raise DataError(f"{path}: --text: no column '{column}'. {known_columns(column, names)}")
