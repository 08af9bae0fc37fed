"""Raw rows: read from a user's file, checked against their roles, sampled and split by content.

Nothing here hands a text to a model; the only way onwards is through the scrubber.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.dataset import Labels, Roles
from governance.errors import DataError
from governance.registry import nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

PACKAGE = "package:"
BLOCK = 16 << 20  # bytes that Arrow parses at once: the longest row it can read
MAX_CLASSES = 50
MAX_GROUPS = 100
ABSENT = frozenset({"", "na", "n/a", "nan", "none", "null", "-"})  # where a number should be
MIN_PER_CLASS = 4  # two on each side of the split


def locate(source: str, base: Path) -> Path:
    """The file or folder behind `package:module/path` or a path relative to `base`.

    A package is found without importing it: some demo packages run code when imported.

    Raises:
        DataError: there is no such package, file or folder.
    """
    if source.startswith(PACKAGE):
        module, _, inner = source.removeprefix(PACKAGE).partition("/")
        spec = importlib.util.find_spec(module) if module.isidentifier() else None
        roots = list(spec.submodule_search_locations or ()) if spec else []
        if not roots:
            raise DataError(
                f"{source}: package '{module}' is not installed; "
                "the demo assets are listed in configs/assets/demo.txt (`make assets` installs them)"
            )
        root = Path(roots[0]).resolve()
        path = (root / inner).resolve()
        if not path.is_relative_to(root):
            raise DataError(f"{source}: leads out of the package")
    else:
        path = (base / source).expanduser()
    if not path.exists():
        raise DataError(f"{source}: no such file or folder{'' if source.startswith(PACKAGE) else f' (from {base})'}")
    return path


@dataclass(frozen=True, slots=True)
class Split:
    """Positions in a `Dataset`: which rows train, which are held out."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    duplicates: int  # sampled rows that share their text with another sampled row


class Dataset:
    """Raw rows with a text and a label. Its `repr` shows sizes only.

    Attributes:
        rows: position of each kept row in the source.
        labels: classes as strings.
        groups: column -> values, None where missing.
        clusters: shape (n,), codes.
        read: rows in the source.
        empty: rows dropped since they had no text or no label.
    """

    def __init__(
        self,
        *,
        texts: Sequence[str],
        labels: Sequence[str],
        rows: NDArray[np.int64],
        groups: Mapping[str, tuple[str | None, ...]],
        clusters: NDArray[np.int64],
        read: int,
    ) -> None:
        self._texts = tuple(texts)
        self.labels = tuple(labels)
        self.rows = rows
        self.groups = groups
        self.clusters = clusters
        self.read = read
        self.empty = read - len(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        return f"Dataset(<{len(self)} rows>)"

    def raw_texts(self, index: NDArray[np.int64]) -> list[str]:
        """Unscrubbed texts at these positions: for the scrubber and for nothing else."""
        return [self._texts[i] for i in index]

    def split(self, *, rows: int | None, test_share: float, seed: int) -> Split:
        """Sample and split by content: rows with the same text (case and white space aside) stay together.

        Contents are ordered by a seeded hash of their text within each class, so the split is
        stratified and a row's side does not depend on the file's order.

        Raises:
            DataError: a class has fewer than two distinct texts.
        """
        content: dict[bytes, list[int]] = {}
        key = seed.to_bytes(8, "big")
        for position, text in enumerate(self._texts):
            folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
            digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()
            content.setdefault(digest, []).append(position)
        share = min(1.0, rows / len(self)) if rows else 1.0
        strata: dict[str, list[list[int]]] = {}
        for digest in sorted(content):
            strata.setdefault(self.labels[content[digest][0]], []).append(content[digest])
        train: list[int] = []
        test: list[int] = []
        duplicates = 0
        for label in sorted(strata):
            groups = strata[label][: max(2, round(share * len(strata[label])))]
            if len(groups) < 2:
                raise DataError(
                    f"data.label: class '{label}' has a single distinct text; at least two are needed, one to train on "
                    "and one to test on"
                )
            held_out = min(len(groups) - 1, max(1, round(test_share * len(groups))))
            test += [position for group in groups[:held_out] for position in group]
            train += [position for group in groups[held_out:] for position in group]
            duplicates += sum(len(group) for group in groups if len(group) > 1)
        return Split(np.array(sorted(train)), np.array(sorted(test)), duplicates)


def digest_source(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files."""
    from governance.files import digest_file, digest_of

    if path.is_file():
        return digest_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return "sha256:" + digest_of({file.relative_to(path).as_posix(): digest_file(file) for file in files})


def read_dataset(
    path: Path, roles: Roles, *, bands: Mapping[str, tuple[str, Sequence[float]]] | None = None
) -> Dataset:
    """Read the columns that have a role, and check that they can carry an audit.

    Args:
        path: CSV, JSONL, Parquet, or a folder that Hugging Face's `save_to_disk` wrote.
        roles: which column is what; groups may name bands.
        bands: new column -> (numeric column, ascending edges).

    Raises:
        DataError: unreadable or empty; a column missing; fewer than two classes; a sensitive
            column with no value at all. No message quotes a cell.
    """
    bands = bands or {}
    wanted = {
        "data.text": roles.text,
        "data.label": roles.label,
        **{f"data.groups.{i}": name for i, name in enumerate(roles.groups) if name not in bands},
        **{f"data.bands.{name}.column": column for name, (column, _) in bands.items()},
        **({"data.cluster": roles.cluster} if roles.cluster else {}),
    }
    table = _read_table(path, sorted(set(wanted.values())), wanted)
    if table.num_rows == 0:
        raise DataError(f"{path}: no rows")
    texts = [None if text is None else str(text) for text in table[roles.text].to_pylist()]
    labels = [_label(value) for value in table[roles.label].to_pylist()]
    keep = np.array(
        [i for i, (t, y) in enumerate(zip(texts, labels, strict=True)) if t and t.strip() and y is not None],
        dtype=np.int64,
    )
    if not len(keep):
        raise DataError(f"{path}: no row has both a text (column '{roles.text}') and a label ('{roles.label}')")
    groups = {name: _group(path, table, name, bands, keep) for name in roles.groups}
    if roles.cluster:
        # A row without a cluster stands alone: the row number can't collide, being of another type.
        values = [_label(value) or row for row, value in enumerate(table[roles.cluster].to_pylist())]
        codes = {value: code for code, value in enumerate(dict.fromkeys(values[i] for i in keep))}
        clusters = np.array([codes[values[i]] for i in keep], dtype=np.int64)
    else:
        clusters = np.arange(len(keep), dtype=np.int64)
    return Dataset(
        texts=[texts[i] or "" for i in keep],
        labels=[labels[i] or "" for i in keep],
        rows=keep,
        groups=groups,
        clusters=clusters,
        read=table.num_rows,
    )


def classes_of(path: Path, dataset: Dataset, roles: Roles, positive: str | None) -> Labels:
    """The task's classes, sorted; two classes without a declared positive one take the last.

    Raises:
        DataError: one class, too many, too few rows in one, or a positive class that isn't there.
    """
    names, counts = np.unique(np.array(dataset.labels, dtype=object).astype(str), return_counts=True)
    where = f"{path}: data.label: column '{roles.label}'"
    if len(names) < 2:
        raise DataError(f"{where}: expected at least two classes, found one; there is nothing to tell apart")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{where}: expected at most {MAX_CLASSES} classes, found {len(names)}; is it a label?")
    if counts.min() < MIN_PER_CLASS:
        raise DataError(
            f"{where}: expected at least {MIN_PER_CLASS} rows in every class, found one with {counts.min()}"
        )
    classes = tuple(str(name) for name in names)
    if positive is not None and positive not in classes:
        raise DataError(f"{path}: data.positive: no class '{positive}'. {nearest(positive, classes)}")
    return Labels(classes, positive or (classes[-1] if len(classes) == 2 else None))


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


def _label(value: Any) -> str | None:
    """A class name: 1, 1.0 and "1 " are one class; None and NaN are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _group(
    path: Path,
    table: pa.Table,
    name: str,
    bands: Mapping[str, tuple[str, Sequence[float]]],
    keep: NDArray[np.int64],
) -> tuple[str | None, ...]:
    column = bands[name][0] if name in bands else name
    values = table[column].to_pylist()
    try:
        made = [_band(values[i], bands[name][1]) if name in bands else _label(values[i]) for i in keep]
    except (TypeError, ValueError):
        raise DataError(f"{path}: data.bands.{name}.column: expected numbers in column '{column}'") from None
    if all(value is None for value in made):
        raise DataError(f"{path}: data.groups: sensitive column '{name}' has no value in any row; remove it or fill it")
    if len(set(made)) > MAX_GROUPS:
        raise DataError(
            f"{path}: data.groups: column '{name}' has {len(set(made))} values, at most {MAX_GROUPS} make groups; "
            "is it an identifier (data.cluster) or a number (data.bands)?"
        )
    return tuple(made)


def _band(value: Any, edges: Sequence[float]) -> str | None:
    """The band of a number.

    >>> [_band(v, [30, 40]) for v in (18, 30, 39, 40, None)]
    ['under 30', '30-39', '30-39', '40 and over', None]
    """
    if value is None or (isinstance(value, str) and value.strip().casefold() in ABSENT):
        return None
    number = float(value)
    if math.isnan(number):
        return None
    if number < edges[0]:
        return f"under {edges[0]:g}"
    for low, high in pairwise(edges):
        if low <= number < high:
            whole = float(low).is_integer() and float(high).is_integer() and number.is_integer()
            return f"{low:g}-{high - 1:g}" if whole else f"{low:g} to under {high:g}"
    return f"{edges[-1]:g} and over"


def _read_table(path: Path, columns: list[str], roles: Mapping[str, str]) -> pa.Table:
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


def _reading(path: Path, act: Callable[[], Any]) -> Any:
    """Do something to a file; what goes wrong is told without its cells."""
    import pyarrow as pa

    try:
        return act()
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read: {_without_cells(error)}") from None


def _open(path: Path) -> tuple[list[str], Any]:
    """Column names of a source, and a function that reads some of them."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.ipc
    import pyarrow.json
    import pyarrow.parquet as pq

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
        table = pa.json.read_json(path, read_options=pa.json.ReadOptions(block_size=BLOCK))
        return table.column_names, table.select
    raise DataError(f"{path}: expected .csv, .tsv, .jsonl, .parquet or a Hugging Face dataset folder")


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
    known = re.match(r"(CSV parse error: Expected \d+ columns, got \d+|Empty CSV file|JSON parse error)", str(error))
    if known:
        return known.group(1)
    if "UTF8" in str(error) or "UTF-8" in str(error) or isinstance(error, UnicodeDecodeError):
        return "expected UTF-8 text, found another encoding"
    return f"not a file of this format ({type(error).__name__})"
