"""Files of rows: CSV, JSON lines, Parquet, Hugging Face folders, a plain text for each class.

What goes wrong is told without a cell of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from governance.errors import DataError
from governance.registry import nearest

if TYPE_CHECKING:
    import pyarrow as pa

_ESCAPE = re.compile(  # in JSON: two halves of a surrogate pair; one half; any other
    rb"\\(?:u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}|(?P<half>u[Dd][89A-Fa-f][0-9A-Fa-f]{2})|.)"
)
BLOCK = 16 << 20  # bytes that Arrow parses at once: the longest row it can read
MOST_BYTES = 1 << 30  # of a plain text file, which is read whole
TEXT, LABEL = "text", "label"


@dataclass(frozen=True)
class ClassFiles:
    """A plain text file for each class, UTF-8, one text a line; read as a table of a text and its label.

    Equal lines, white space around them aside, are one row: such corpora repeat themselves. A line that stands under
    two classes says nothing of either, so it is left out.

    Attributes:
        files: class and its file, sorted by class.
    """

    files: tuple[tuple[str, Path], ...]

    def __str__(self) -> str:
        return ", ".join(str(path) for _, path in self.files)

    @property
    def place(self) -> Path:
        """The file beside which things that belong to the data are kept."""
        return self.files[0][1]

    @property
    def by_name(self) -> dict[str, Path]:
        """The files by their names in the deepest folder that holds them all, with `/`."""
        folder = Path(os.path.commonpath([path.absolute().parent for _, path in self.files]))
        return {path.absolute().relative_to(folder).as_posix(): path for _, path in self.files}

    @cached_property
    def table(self) -> pa.Table:
        """The rows, in the order of classes and lines.

        Raises:
            DataError: a file is not a text of this encoding, or too large.
        """
        import pyarrow as pa

        rows = [(line, name) for name, lines in self._lines.items() for line in lines if line not in self._disputed]
        texts, labels = ([row[column] for row in rows] for column in (0, 1))
        return pa.table({TEXT: pa.array(texts, pa.string()), LABEL: pa.array(labels, pa.string())})

    @property
    def found(self) -> dict[str, int]:
        """What was left out -> lines."""
        unique = sum(len(lines) for lines in self._lines.values())
        times = sum(n for lines in self._lines.values() for n in lines.values())
        counts = {"repeated lines": times - unique, "lines of two classes": len(self._disputed)}
        return {what: n for what, n in counts.items() if n}

    @cached_property
    def _lines(self) -> dict[str, dict[str, int]]:
        """Class -> line -> how often it stands in the class's file."""
        found: dict[str, dict[str, int]] = {}
        for name, path in self.files:
            lines = found[name] = {}
            for line in _text_of(path).split("\n"):
                if said := line.strip():
                    lines[said] = lines.get(said, 0) + 1
        return found

    @cached_property
    def _disputed(self) -> frozenset[str]:
        seen, twice = set[str](), set[str]()
        for lines in self._lines.values():
            twice |= seen & lines.keys()
            seen |= lines.keys()
        return frozenset(twice)


Source: TypeAlias = Path | ClassFiles


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: expected a text file, found a folder")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: expected at most {MOST_BYTES} bytes, found {path.stat().st_size}")
    data: bytes = _reading(path, path.read_bytes)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, found another encoding at byte {error.start}") from None


def read_columns(path: Source, columns: list[str], roles: Mapping[str, str]) -> pa.Table:
    """Only the named columns, whatever the format."""
    import pyarrow as pa

    names, load = _reading(path, lambda: _open(path))
    missing = {key: column for key, column in roles.items() if column not in names}
    if missing:
        key, column = next(iter(missing.items()))
        raise DataError(f"{path}: {key}: no column '{column}'. {known_columns(column, names)}")
    table = _reading(path, lambda: load(columns))
    for field in table.schema:
        if pa.types.is_binary(field.type):  # what Arrow makes of a CSV that isn't UTF-8
            raise DataError(f"{path}: column '{field.name}': expected UTF-8 text, found something else")
    return table


def read_whole(path: Source) -> pa.Table:
    """Every column, whatever is in it.

    Raises:
        DataError: it can't be read.
    """
    names, load = _reading(path, lambda: _open(path))
    return _reading(path, lambda: load(names))


def _reading(path: Source, act: Callable[[], Any]) -> Any:
    """Do something to a file; what goes wrong is told without its cells."""
    import pyarrow as pa

    try:
        return act()
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read: {_without_cells(error)}") from None


def _open(path: Source) -> tuple[list[str], Any]:
    """Column names of a source, and a function that reads some of them."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.ipc
    import pyarrow.json
    import pyarrow.parquet as pq

    if isinstance(path, ClassFiles):
        return path.table.column_names, path.table.select
    if path.is_dir():
        return _open_hugging_face(path)
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    if ".parquet" in path.suffixes:
        file = pq.ParquetFile(path)
        return file.schema_arrow.names, lambda columns: file.read(columns=columns)
    if path.suffix in (".csv", ".tsv"):
        parse = pa.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True)
        blocks = pa.csv.ReadOptions(block_size=BLOCK)
        with pa.csv.open_csv(path, read_options=blocks, parse_options=parse) as reader:
            names = reader.schema.names
        if len(set(names)) != len(names):
            raise DataError(f"{path}: a column name stands twice in the header")

        def load(columns: list[str]) -> pa.Table:
            # As text, all of it: "007", "NA" and "1.0" are what somebody wrote, not what Arrow makes of them.
            types = dict.fromkeys(columns, pa.string())
            convert = pa.csv.ConvertOptions(
                include_columns=columns, column_types=types, strings_can_be_null=True, null_values=[""]
            )
            return pa.csv.read_csv(path, read_options=blocks, parse_options=parse, convert_options=convert)

        return names, load
    if path.suffix in (".jsonl", ".ndjson"):
        table = _read_json_lines(path)
        return table.column_names, table.select
    raise DataError(f"{path}: expected .csv, .tsv, .jsonl, .parquet or a Hugging Face dataset folder")


def _read_json_lines(path: Path) -> pa.Table:
    """A file of JSON lines; an escape of half a surrogate pair, at which Arrow gives up, becomes U+FFFD."""
    import pyarrow as pa
    import pyarrow.json

    options = pa.json.ReadOptions(block_size=BLOCK)
    try:
        return pa.json.read_json(path, read_options=options)
    except pa.ArrowInvalid:
        data = path.read_bytes()
        mended = _ESCAPE.sub(lambda escape: b"\\ufffd" if escape["half"] else escape[0], data)
        if mended == data:
            raise
        return pa.json.read_json(pa.BufferReader(mended), read_options=options)


def _open_hugging_face(path: Path) -> tuple[list[str], Any]:
    """A folder that `datasets.Dataset.save_to_disk` wrote: Arrow streams named in state.json."""
    import pyarrow as pa

    state = path / "state.json"
    if not state.is_file():
        raise DataError(f"{path}: expected a Hugging Face dataset folder with state.json (name one split, not all)")
    try:
        files = [path / Path(entry["filename"]).name for entry in json.loads(state.read_bytes())["_data_files"]]
        tables = [pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files]
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: state.json is not one that Hugging Face's datasets wrote") from None
    table = pa.concat_tables(tables)
    return table.column_names, table.select


def _without_cells(error: Exception) -> str:
    """An Arrow message without the row that it quotes: rows hold personal data.

    >>> _without_cells(ValueError("CSV parse error: Expected 2 columns, got 3: Ann,5 Elm St,1"))
    'CSV parse error: Expected 2 columns, got 3'
    """
    said = re.sub(r"^(CSV parse error: )Row #\d+: ", r"\1", str(error))  # the row is told with one thread alone
    known = re.match(r"CSV parse error: Expected \d+ columns, got \d+|Empty CSV file|JSON parse error", said)
    if known:
        return known.group()
    if "UTF8" in str(error) or "UTF-8" in str(error) or isinstance(error, UnicodeDecodeError):
        return "expected UTF-8 text, found another encoding"
    return f"not a file of this format ({type(error).__name__})"


def column_names(path: Path) -> list[str]:
    """A file's column names.

    Raises:
        DataError: it can't be read.
    """
    return _reading(path, lambda: _open(path)[0])  # type: ignore[no-any-return]


def known_columns(column: str, names: Sequence[str]) -> str:
    """The nearest column and all of them; or, where a row of data stands for a header, their number alone.

    >>> known_columns("text", ["1", "I am Ann Smith, call 212-555-0187"])
    '2 columns, of which the first row names none; does the file have a header row?'
    """
    if any(len(name) > 40 or re.search(r"\d{5}|\d-\d|@|^[-\d.]*$|(\S+\s+){5}", name) for name in names):
        return f"{len(names)} columns, of which the first row names none; does the file have a header row?"
    return nearest(column, names)


def first_values(path: Path, column: str, count: int) -> list[str]:
    """The first values of a column, as strings.

    Raises:
        DataError: it can't be read.
    """
    table = _reading(path, lambda: _open(path)[1]([column]))
    return [str(value) for value in table[column].slice(0, count).to_pylist() if value is not None]
