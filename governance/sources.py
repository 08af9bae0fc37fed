"""Raw rows: read from a user's file, checked against their roles, sampled and split by content.

Nothing here hands a text to a model; the only way onwards is through the scrubber.
"""

from __future__ import annotations

import bisect
import hashlib
import importlib.util
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from governance.dataset import Labels, Roles
from governance.errors import DataError
from governance.formats import ClassFiles, Source, read_columns
from governance.registry import nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_Print = TypeVar("_Print")
PACKAGE = "package:"
MAX_CLASSES = 50
MAX_GROUPS = 100
ABSENT = frozenset({"", "na", "n/a", "nan", "none", "null", "-"})  # where a number should be
NO_UNIT = -1  # code of rows that say nothing of whose they are
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
        units: shape (n,), codes of whose row it is, -1 where the source doesn't say; None: no such column.
        read: rows in the source.
        empty: rows dropped since they had no text or no label.
        found: what cleaning and reading counted; None: neither had anything to.
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
        units: NDArray[np.int64] | None = None,
        empty: int | None = None,
        found: Mapping[str, int] | None = None,
    ) -> None:
        self._texts = tuple(texts)
        self.labels = tuple(labels)
        self.rows = rows
        self.groups = groups
        self.clusters = clusters
        self.units = units
        self.read = read
        self.empty = read - len(self._texts) if empty is None else empty
        self.found = found

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        return f"Dataset(<{len(self)} rows>)"

    def cleaned(
        self, index: NDArray[np.int64], texts: Sequence[str], labels: Sequence[str], found: Mapping[str, int]
    ) -> Dataset:
        """The rows at these positions, with what cleaning made of their texts and labels."""
        return Dataset(
            texts=texts,
            labels=labels,
            rows=self.rows[index],
            groups={column: tuple(values[i] for i in index) for column, values in self.groups.items()},
            clusters=self.clusters[index],
            read=self.read,
            units=None if self.units is None else self.units[index],
            empty=self.empty,
            found={**(self.found or {}), **found},
        )

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


def digest_source(path: Source) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files; files of classes are as a folder of them."""
    from governance.files import digest_file, digest_of

    if isinstance(path, ClassFiles):
        return "sha256:" + digest_of({name: digest_file(file) for name, file in path.by_name.items()})
    if path.is_file():
        return digest_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return "sha256:" + digest_of({file.relative_to(path).as_posix(): digest_file(file) for file in files})


def read_dataset(
    path: Source, roles: Roles, *, bands: Mapping[str, tuple[str, Sequence[float]]] | None = None
) -> Dataset:
    """Read the columns that have a role, and check that they can carry an audit.

    Args:
        path: CSV, JSONL, Parquet, a folder that Hugging Face's `save_to_disk` wrote, or a text file for each class.
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
        **({"data.unit": roles.unit} if roles.unit else {}),
    }
    table = read_columns(path, sorted(set(wanted.values())), wanted)
    if table.num_rows == 0:
        raise DataError(f"{path}: no rows")
    texts = [None if text is None else str(text) for text in table[roles.text].to_pylist()]
    labels = [label_of(value) for value in table[roles.label].to_pylist()]
    keep = np.array(
        [i for i, (t, y) in enumerate(zip(texts, labels, strict=True)) if t and t.strip() and y is not None],
        dtype=np.int64,
    )
    if not len(keep):
        raise DataError(f"{path}: no row has both a text (column '{roles.text}') and a label ('{roles.label}')")
    groups = {name: group_values(path, table, name, bands, keep) for name in roles.groups}
    if roles.cluster:
        # A row without a cluster stands alone: the row number can't collide, being of another type.
        values = [label_of(value) or row for row, value in enumerate(table[roles.cluster].to_pylist())]
        codes = {value: code for code, value in enumerate(dict.fromkeys(values[i] for i in keep))}
        clusters = np.array([codes[values[i]] for i in keep], dtype=np.int64)
    else:
        clusters = np.arange(len(keep), dtype=np.int64)
    owners = [label_of(value) for value in table[roles.unit].to_pylist()] if roles.unit else None
    return Dataset(
        texts=[texts[i] or "" for i in keep],
        labels=[labels[i] or "" for i in keep],
        rows=keep,
        groups=groups,
        clusters=clusters,
        read=table.num_rows,
        found=path.found if isinstance(path, ClassFiles) else None,
        units=None if owners is None else unit_codes([owners[i] for i in keep]),
    )


def classes_of(path: Source, dataset: Dataset, roles: Roles, positive: str | None) -> Labels:
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


def label_of(value: Any) -> str | None:
    """A class name: 1, 1.0 and "1 " are one class; None and NaN are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def unit_codes(values: Sequence[str | None]) -> NDArray[np.int64]:
    """Codes in order of appearance; `NO_UNIT` where there is no value.

    >>> unit_codes(["ann", None, "bob", "ann"]).tolist()
    [0, -1, 1, 0]
    """
    codes = {value: code for code, value in enumerate(dict.fromkeys(value for value in values if value is not None))}
    return np.array([NO_UNIT if value is None else codes[value] for value in values], dtype=np.int64)


def group_values(
    path: Source,
    table: pa.Table,
    name: str,
    bands: Mapping[str, tuple[str, Sequence[float]]],
    keep: NDArray[np.int64],
    *,
    key: str = "data",
) -> tuple[str | None, ...]:
    """The values of a group column or band in some rows.

    Raises:
        DataError: no value, too many, or a band of what isn't a number; `key` is the config's section that names it.
    """
    column = bands[name][0] if name in bands else name
    values = table[column].to_pylist()
    try:
        made = [_band(values[i], bands[name][1]) if name in bands else label_of(values[i]) for i in keep]
    except (TypeError, ValueError):
        raise DataError(f"{path}: {key}.bands.{name}.column: expected numbers in column '{column}'") from None
    if all(value is None for value in made):
        raise DataError(
            f"{path}: {key}.groups: sensitive column '{name}' has no value in any row; remove it or fill it"
        )
    if len(set(made)) > MAX_GROUPS:
        raise DataError(
            f"{path}: {key}.groups: column '{name}' has {len(set(made))} values, at most {MAX_GROUPS} make groups; "
            f"is it an identifier ({key}.cluster) or a number ({key}.bands)?"
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
    place = bisect.bisect_right(edges, number)
    return band_label(edges, place, whole=number.is_integer())


def band_label(edges: Sequence[float], place: int, *, whole: bool) -> str:
    """The name of the band below `edges[place]`, or above the last edge; whole numbers have a last one in each.

    >>> [band_label([30, 40], place, whole=True) for place in range(3)], band_label([30, 40], 1, whole=False)
    (['under 30', '30-39', '40 and over'], '30 to under 40')
    """
    if place == 0:
        return f"under {edges[0]:g}"
    if place == len(edges):
        return f"{edges[-1]:g} and over"
    low, high = edges[place - 1], edges[place]
    if whole and float(low).is_integer() and float(high).is_integer():
        return f"{low:g}-{high - 1:g}"
    return f"{low:g} to under {high:g}"
