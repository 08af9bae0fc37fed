"""Texts and what surrounds them: raw rows on one side of the scrubber, sealed rows on the other.

`Dataset` holds raw rows and has no method that hands a text to a model. `ScrubbedText` is
what the scrubber returns; `SyntheticText` is text that we made ourselves. Backends take these
two and nothing else, so the type checker sees a leak path before a test does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _SealedText:
    """Text that may reach a model. Its `repr` never shows it: reprs end up in logs."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{len(self.text)} characters>)"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.text == other.text

    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def within(self, before: str, after: str) -> Self:
        """The same seal around this text and what ships with us on both sides of it: a filled prompt."""
        return type(self)(before + self.text + after)


class ScrubbedText(_SealedText):
    """Text that has passed the scrubber.

    Only `governance.privacy` and `ScrubbedDataset.load` make one; a test walks the source for others.
    """


class SyntheticText(_SealedText):
    """Text made by us (probes, canaries, declared-public sets): not scrubbed, since it holds nobody's data."""


NOTHING = ScrubbedText("")
"""Where a row has no text there is nothing to scrub."""
ModelText = ScrubbedText | SyntheticText
"""What a backend accepts."""


def joined(parts: Sequence[str | ModelText]) -> ModelText:
    """Texts in a row, with what ships with us between them; synthetic only where nothing in it was ever raw."""
    text = "".join(part if isinstance(part, str) else part.text for part in parts)
    return ScrubbedText(text) if any(isinstance(part, ScrubbedText) for part in parts) else SyntheticText(text)


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column is what. Only `text` ever reaches a model."""

    text: str
    label: str
    groups: tuple[str, ...] = ()  # sensitive features, derived bands included
    cluster: str | None = None  # rows that share a value are not independent
    unit: str | None = None  # whose row it is, for privacy by user


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of a task, in the order of the score columns."""

    classes: tuple[str, ...]
    positive: str | None  # the class that rates and fairness speak of; None: more than two, none declared

    @property
    def binary(self) -> bool:
        """Two classes, one of which is the positive one."""
        return len(self.classes) == 2 and self.positive is not None

    def codes(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Class indices, shape (n,)."""
        index = {name: code for code, name in enumerate(self.classes)}
        return np.array([index[label] for label in labels], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class ScrubbedDataset:
    """Sealed rows. All sequences have length n; `clusters` and `units` are codes, so no raw key is kept.

    Attributes:
        rows: position of each row in the source file, unique.
        texts: what a model may see; scrubbed, and synthetic where placeholders were filled in.
        labels: true class of each row.
        groups: column -> one value per row; None where the source has none.
        clusters: shape (n,), int64; rows with the same code are not independent.
        units: shape (n,), int64: rows with the same code belong to one user, -1 where the source doesn't say; None:
            it says so of no row.
    """

    rows: NDArray[np.int64]
    texts: tuple[ModelText, ...]
    labels: tuple[str, ...]
    groups: Mapping[str, tuple[str | None, ...]]
    clusters: NDArray[np.int64]
    units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.texts)
        lengths = {len(self.rows), len(self.labels), len(self.clusters), *(len(v) for v in self.groups.values())}
        if self.units is not None:
            lengths.add(len(self.units))
        if lengths != {n}:
            raise ValueError(f"expected every column to have {n} rows, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: NDArray[np.int64]) -> ScrubbedDataset:
        """The rows at these positions, in this order."""
        return ScrubbedDataset(
            rows=self.rows[index],
            texts=tuple(self.texts[i] for i in index),
            labels=tuple(self.labels[i] for i in index),
            groups={column: tuple(values[i] for i in index) for column, values in self.groups.items()},
            clusters=self.clusters[index],
            units=None if self.units is None else self.units[index],
        )

    def save(self, path: Path | BinaryIO) -> None:
        """Write as Parquet."""
        columns: dict[str, object] = {
            "row": self.rows,
            "text": [text.text for text in self.texts],
            "label": list(self.labels),
            "cluster": self.clusters,
        }
        columns |= {f"group:{name}": list(values) for name, values in self.groups.items()}
        _write(columns, self.units, path)

    @classmethod
    def load(cls, path: Path | BinaryIO) -> ScrubbedDataset:
        """Read what `save` wrote. The caller vouches for the file: it comes from our own stage store."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        names = [name.removeprefix("group:") for name in table.column_names if name.startswith("group:")]
        return cls(
            rows=table["row"].to_numpy(),
            texts=tuple(ScrubbedText(text) for text in table["text"].to_pylist()),
            labels=tuple(table["label"].to_pylist()),
            groups={name: tuple(table[f"group:{name}"].to_pylist()) for name in names},
            clusters=table["cluster"].to_numpy(),
            units=table["unit"].to_numpy() if "unit" in table.column_names else None,
        )


@dataclass(frozen=True, slots=True)
class ScrubbedTable:
    """Sealed rows of several columns, for recipes. All columns have length n.

    Attributes:
        rows: position of each row in the source file, unique.
        texts: column -> what a model may see.
        labels: column -> class names or ids, which a model sees as numbers only.
        numbers: column -> values, shape (n,); NaN where the source has none.
        units: shape (n,), int64: rows with the same code belong to one user; None where nobody says.
    """

    rows: NDArray[np.int64]
    texts: Mapping[str, tuple[ScrubbedText, ...]]
    labels: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, NDArray[np.float64]]
    units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        columns = (*self.texts.values(), *self.labels.values(), *self.numbers.values())
        lengths = {len(column) for column in columns}
        if self.units is not None:
            lengths.add(len(self.units))
        if lengths - {len(self.rows)}:
            raise ValueError(f"expected every column to have {len(self.rows)} rows, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.int64]) -> ScrubbedTable:
        """The rows at these positions, in this order."""
        return ScrubbedTable(
            rows=self.rows[index],
            texts={name: tuple(values[i] for i in index) for name, values in self.texts.items()},
            labels={name: tuple(values[i] for i in index) for name, values in self.labels.items()},
            numbers={name: values[index] for name, values in self.numbers.items()},
            units=None if self.units is None else self.units[index],
        )

    def save(self, path: Path | BinaryIO) -> None:
        """Write as Parquet."""
        columns: dict[str, object] = {"row": self.rows}
        columns |= {f"text:{name}": [text.text for text in values] for name, values in self.texts.items()}
        columns |= {f"label:{name}": list(values) for name, values in self.labels.items()}
        columns |= {f"number:{name}": values for name, values in self.numbers.items()}
        _write(columns, self.units, path)

    @classmethod
    def load(cls, path: Path | BinaryIO) -> ScrubbedTable:
        """Read what `save` wrote. The caller vouches for the file: it comes from our own stage store."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)

        def named(kind: str) -> dict[str, str]:
            columns = [name for name in table.column_names if name.startswith(f"{kind}:")]
            return {name.removeprefix(f"{kind}:"): name for name in columns}

        return cls(
            rows=table["row"].to_numpy(),
            texts={
                name: tuple(ScrubbedText(text) for text in table[column].to_pylist())
                for name, column in named("text").items()
            },
            labels={name: tuple(table[column].to_pylist()) for name, column in named("label").items()},
            numbers={name: table[column].to_numpy() for name, column in named("number").items()},
            units=table["unit"].to_numpy() if "unit" in table.column_names else None,
        )


@dataclass(frozen=True, slots=True)
class ScrubbedItems:
    """Sealed rows of a task whose answers are words or rankings. All columns have length n.

    Attributes:
        rows: position of each row in the source file, unique.
        texts: role -> one text per row, "" where the source has none.
        lists: role -> several texts per row.
        groups: column -> one value per row; None where the source has none.
        clusters: shape (n,), int64; rows with the same code are not independent.
    """

    rows: NDArray[np.int64]
    texts: Mapping[str, tuple[ScrubbedText, ...]]
    lists: Mapping[str, tuple[tuple[ScrubbedText, ...], ...]]
    groups: Mapping[str, tuple[str | None, ...]]
    clusters: NDArray[np.int64]

    def __post_init__(self) -> None:
        columns = (*self.texts.values(), *self.lists.values(), *self.groups.values(), self.clusters)
        if {len(column) for column in columns} - {len(self.rows)}:
            raise ValueError(f"expected every column to have {len(self.rows)} rows")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.int64]) -> ScrubbedItems:
        """The rows at these positions, in this order."""
        return ScrubbedItems(
            rows=self.rows[index],
            texts={role: tuple(values[i] for i in index) for role, values in self.texts.items()},
            lists={role: tuple(values[i] for i in index) for role, values in self.lists.items()},
            groups={column: tuple(values[i] for i in index) for column, values in self.groups.items()},
            clusters=self.clusters[index],
        )

    def save(self, path: Path | BinaryIO) -> None:
        """Write as Parquet."""
        columns: dict[str, object] = {"row": self.rows, "cluster": self.clusters}
        columns |= {f"text:{role}": [text.text for text in values] for role, values in self.texts.items()}
        columns |= {f"list:{role}": _lists(values) for role, values in self.lists.items()}
        columns |= {f"group:{name}": list(values) for name, values in self.groups.items()}
        _write(columns, None, path)

    @classmethod
    def load(cls, path: Path | BinaryIO) -> ScrubbedItems:
        """Read what `save` wrote. The caller vouches for the file: it comes from our own stage store."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)

        def named(kind: str) -> dict[str, list[Any]]:
            columns = [name for name in table.column_names if name.startswith(f"{kind}:")]
            return {name.removeprefix(f"{kind}:"): table[name].to_pylist() for name in columns}

        return cls(
            rows=table["row"].to_numpy(),
            texts={role: tuple(ScrubbedText(text) for text in values) for role, values in named("text").items()},
            lists={
                role: tuple(tuple(ScrubbedText(text) for text in texts) for texts in values)
                for role, values in named("list").items()
            },
            groups={name: tuple(values) for name, values in named("group").items()},
            clusters=table["cluster"].to_numpy(),
        )


def _lists(values: Sequence[Sequence[ScrubbedText]]) -> object:
    import pyarrow as pa

    return pa.array([[text.text for text in texts] for texts in values], pa.list_(pa.string()))


def _write(columns: Mapping[str, object], units: NDArray[np.int64] | None, path: Path | BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({**columns, **({} if units is None else {"unit": units})}), path)
