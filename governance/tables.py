"""Raw rows of several columns: read from a user's file by what each column is, and sampled.

Like `governance.sources.Dataset`, nothing here hands a text to a model; the only way onwards is through the scrubber.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from governance.budget.fingerprint import row_bytes
from governance.errors import DataError
from governance.files import digest_bytes
from governance.formats import Source, read_columns, read_whole
from governance.sources import ABSENT, label_of, unit_codes

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Role = Literal["text", "label", "number", "id"]

_GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
_HAN = re.compile("[\u3400-\u9fff]")  # says as much as two letters, at least
LONG = 20  # letters
MOST_DIGESTED = 1_000_000  # rows
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A column to read.

    Attributes:
        column: its name in the file.
        role: what it is.
        required: a row without it is of no use.
        blank: an empty value says something.
        key: where the config names it, for messages.
    """

    column: str
    role: Role
    required: bool = True
    blank: bool = False
    key: str


@dataclass(frozen=True, slots=True, repr=False)
class RawTable:
    """Raw rows by what their columns are. All columns have length n.

    Attributes:
        rows: position of each row in the source.
        texts: name -> unscrubbed texts: for cleaning and the scrubber, and for nothing else.
        labels: name -> class names or ids.
        numbers: name -> values, shape (n,); NaN where there is none.
        units: shape (n,), codes of whose row it is; `NO_UNIT` where the source doesn't say. None: no such column.
        required: names that a row is of no use without.
        blank: names of which an empty value says something.
        unreadable: number column -> cells that hold something else than a number.
    """

    rows: NDArray[np.int64]
    texts: dict[str, list[str | None]]
    labels: dict[str, list[str | None]]
    numbers: dict[str, NDArray[np.float64]]
    units: NDArray[np.int64] | None = None
    required: frozenset[str] = frozenset()
    blank: frozenset[str] = frozenset()
    unreadable: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"RawTable(<{len(self)} rows>)"

    def take(self, index: NDArray[np.int64]) -> RawTable:
        """The rows at these positions, in this order."""
        return replace(
            self,
            rows=self.rows[index],
            texts={name: [values[i] for i in index] for name, values in self.texts.items()},
            labels={name: [values[i] for i in index] for name, values in self.labels.items()},
            numbers={name: values[index] for name, values in self.numbers.items()},
            units=None if self.units is None else self.units[index],
        )

    def said(self, row: int) -> tuple[object, ...]:
        """All that a row says, comparable."""
        numbers = (None if math.isnan(values[row]) else float(values[row]) for values in self.numbers.values())
        named = (values[row] for columns in (self.texts, self.labels) for values in columns.values())
        return (*named, *numbers, None if self.units is None else int(self.units[row]))


def read_table(
    path: Path, wanted: Mapping[str, Wanted], *, unit: str | None = None, rows: int | None = None, seed: int = 0
) -> tuple[RawTable, int]:
    """Read columns by what they are.

    Args:
        path: CSV, JSONL, Parquet, or a folder that Hugging Face's `save_to_disk` wrote.
        wanted: name in the result -> column.
        unit: column of a user's id; only its codes are kept.
        rows: at most so many, drawn by their positions alone.
        seed: of the draw.

    Returns:
        The rows, and how many the source has.

    Raises:
        DataError: unreadable or empty, or a column is missing. No message quotes a cell.
    """
    keys = {one.key: one.column for one in wanted.values()} | ({"data.unit": unit} if unit else {})
    columns = [one.column for one in wanted.values()] + ([unit] if unit else [])
    table = read_columns(path, list(dict.fromkeys(columns)), keys)
    if table.num_rows == 0:
        raise DataError(f"{path}: no rows")
    read = table.num_rows
    index = sampled(read, rows, seed)
    if len(index) < read:
        table = table.take(index)
    texts, labels, numbers, unreadable = {}, {}, {}, {}
    for name, one in wanted.items():
        values = table[one.column].to_pylist()
        if one.role == "text":
            texts[name] = [_text(value) for value in values]
        elif one.role == "number":
            made = [number_of(value) for value in values]
            numbers[name] = np.array([math.nan if value is None else value for value in made], dtype=np.float64)
            unreadable[name] = sum(
                value is None and not _absent(cell) for value, cell in zip(made, values, strict=True)
            )
            if len(made) == unreadable[name]:
                raise DataError(f"{path}: {one.key}: expected numbers in column '{one.column}', found none")
        else:
            labels[name] = [label_of(_text(value) if isinstance(value, list) else value) for value in values]
    raw = RawTable(
        rows=index,
        texts=texts,
        labels=labels,
        numbers=numbers,
        units=None if unit is None else unit_codes([label_of(value) for value in table[unit].to_pylist()]),
        required=frozenset(name for name, one in wanted.items() if one.required),
        blank=frozenset(name for name, one in wanted.items() if one.blank),
        unreadable=unreadable,
    )
    return raw, read


def sampled(read: int, rows: int | None, seed: int) -> NDArray[np.int64]:
    """Positions of at most `rows` of `read` rows, ascending: drawn without a look at them."""
    index = np.arange(read, dtype=np.int64)
    return index if rows is None or rows >= read else np.sort(np.random.default_rng(seed).permutation(index)[:rows])


def marks(path: Source, index: NDArray[np.int64]) -> Iterator[dict[str, Any] | str]:
    """What a privacy budget tells some rows of a source by: each row as a whole, and each long text in it by itself.

    So whatever columns two runs read, clean or scrub, the same rows are found to be the same; and a text is, beside
    other columns too. Short texts say nothing: many rows hold the same ones.
    """
    table = read_whole(path).take(index)
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield row
            yield from (value for value in row.values() if isinstance(value, str) and _says_something(value))


def rows_digest(batches: Iterable[pa.RecordBatch], rows: int) -> str | None:
    """SHA-256 of a source's rows, the same for any order of rows and columns and for any file format.

    Over the rows' digests in their own order. Their sum would do, but the difference of two sums, before and after a
    row joined, is that row's digest, against which guesses can be held.

    Args:
        batches: all of them; not looked at where they are too many.
        rows: how many.

    Returns:
        `sha256:<hex>`; None for more rows than `MOST_DIGESTED`, which would take minutes.
    """
    if rows > MOST_DIGESTED:
        return None
    digests = sorted(hashlib.sha256(row_bytes(row)).digest() for batch in batches for row in batch.to_pylist())
    return digest_bytes(b"".join(digests))


def _says_something(text: str) -> bool:
    return len(text) >= LONG or len(text) + len(_HAN.findall(text)) >= LONG


def number_of(value: Any) -> float | None:
    """A finite number, or none.

    A date or time is its seconds since 1970, UTC where it doesn't say.

    >>> [number_of(value) for value in (3, "4.5 ", "n/a", "1,200", "4,5", "inf", True, "1970-01-02")]
    [3.0, 4.5, None, 1200.0, None, None, 1.0, 86400.0]
    """
    try:
        if isinstance(value, str):
            value = value.strip()
            value = value.replace(",", "") if _GROUPED.fullmatch(value) else value
            value = datetime.datetime.fromisoformat(value) if _DATE.match(value) else value
        if isinstance(value, datetime.date):
            value = _seconds(value)
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: datetime.date) -> float:
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()


def _absent(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and value.strip().casefold() in ABSENT


def _text(value: Any) -> str | None:
    """A text; a list of words is one with a blank between any two."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list):
        return " ".join(str(word) for word in value)
    return str(value)
