"""Raw rows of tasks whose answers are words or rankings: several texts and lists of texts per row.

Nothing here hands a text to a model; the only way onwards is through the scrubber.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.dataset import NOTHING, ScrubbedItems, ScrubbedText
from governance.dialogues import read_dialogues
from governance.errors import DataError
from governance.formats import known_columns, read_columns
from governance.sources import group_values, label_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

MAX_LISTED = 1_000  # texts in one cell
_BETWEEN = re.compile(r"\s*[;；\n]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which column is what. A role is the name by which a task knows a column.

    Attributes:
        texts: role -> column of one text per row.
        lists: role -> column of several texts per row: a list, an object (then "name: value"), or one text in which
            they stand between semicolons or on lines of their own.
        needed: roles without which a row can't be asked.
        groups: sensitive columns, bands included.
        bands: new column -> (numeric column, ascending edges).
        cluster: rows that share a value are not independent.
        gather: role of `texts`: rows that agree in it are one, whose lists are put together; for files with one
            candidate per row.
        right: with `gather`, (role of `lists`, column): what the column marks with 1 or "true" is in that list too.
    """

    texts: Mapping[str, str]
    lists: Mapping[str, str]
    needed: frozenset[str]
    groups: tuple[str, ...] = ()
    bands: Mapping[str, tuple[str, Sequence[float]]]
    cluster: str | None = None
    gather: str | None = None
    right: tuple[str, str] | None = None

    def columns(self) -> dict[str, str]:
        """Key of the config -> column."""
        found = {f"data.columns.{role}": column for role, column in {**self.texts, **self.lists}.items()}
        found |= {f"data.groups.{i}": name for i, name in enumerate(self.groups) if name not in self.bands}
        found |= {f"data.bands.{name}.column": column for name, (column, _) in self.bands.items()}
        if self.right is not None:
            found["data.right"] = self.right[1]
        return found | ({"data.cluster": self.cluster} if self.cluster else {})


class Items:
    """Raw rows. Its `repr` shows sizes only.

    Attributes:
        rows: position of each row in the source; of gathered ones, of the first.
        groups: column -> values, None where missing.
        clusters: shape (n,), codes.
        read: rows in the source.
        empty: rows left out since a part that a model needs was empty.
        repeated: rows left out since another row agrees with them in every part.
    """

    def __init__(
        self,
        *,
        texts: Mapping[str, Sequence[str]],
        lists: Mapping[str, Sequence[tuple[str, ...]]],
        rows: NDArray[np.int64],
        groups: Mapping[str, tuple[str | None, ...]],
        clusters: NDArray[np.int64],
        read: int,
        empty: int,
        repeated: int,
    ) -> None:
        self._texts, self._lists = texts, lists
        self.rows, self.groups, self.clusters = rows, groups, clusters
        self.read, self.empty, self.repeated = read, empty, repeated

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Items(<{len(self)} rows>)"

    def raw_parts(self, index: NDArray[np.int64], roles: Sequence[str]) -> list[str]:
        """Unscrubbed parts of rows run together: to be counted before anything is paid for, and for nothing else."""
        parts = [self._texts[role] for role in roles if role in self._texts]
        several = [self._lists[role] for role in roles if role in self._lists]
        return [
            "\n".join([*(values[i] for values in parts), *(text for values in several for text in values[i])])
            for i in index
        ]

    def sample(self, rows: int | None, seed: int) -> NDArray[np.int64]:
        """Positions of at most so many rows, chosen by a seeded hash of what they say, whatever the file's order."""
        if rows is None or rows >= len(self):
            return np.arange(len(self))
        key = seed.to_bytes(8, "big")
        digests = [hashlib.blake2b(self._print(i), key=key, digest_size=16).digest() for i in range(len(self))]
        return np.sort(np.argsort(np.array(digests, dtype="S16"), kind="stable")[:rows])

    def _print(self, row: int) -> bytes:
        parts = [[values[row] for values in self._texts.values()], [values[row] for values in self._lists.values()]]
        return json.dumps(parts).encode()

    def scrubbed(self, index: NDArray[np.int64], scrub: Callable[[list[str]], Sequence[ScrubbedText]]) -> ScrubbedItems:
        """The rows at these positions, every text of theirs through the scrubber; equal ones once.

        Args:
            index: positions.
            scrub: raw texts to scrubbed ones, in order.
        """
        chosen = index.tolist()
        found = {text: None for values in self._texts.values() for text in (values[i] for i in chosen)}
        found |= {text: None for values in self._lists.values() for i in chosen for text in values[i]}
        raw = [text for text in found if text]
        sealed = dict(zip(raw, scrub(raw), strict=True))
        sealed[""] = NOTHING
        return ScrubbedItems(
            rows=self.rows[index],
            texts={role: tuple(sealed[values[i]] for i in chosen) for role, values in self._texts.items()},
            lists={
                # Scrubbing can make two alike; none of them may count as another.
                role: tuple(tuple(dict.fromkeys(sealed[text] for text in values[i])) for i in chosen)
                for role, values in self._lists.items()
            },
            groups={name: tuple(values[i] for i in chosen) for name, values in self.groups.items()},
            clusters=self.clusters[index],
        )


def read_items(path: Path, wanted: Wanted, *, dialogues: bool = False) -> Items:
    """Read the columns that have a role.

    Args:
        path: of the data.
        wanted: which column is what.
        dialogues: it is a file of dialogues; see `governance.dialogues`.

    Raises:
        DataError: unreadable or empty; a column missing; no row that can be asked. No message quotes a cell.
    """
    columns = wanted.columns()
    table = read_dialogues(path) if dialogues else read_columns(path, sorted(set(columns.values())), columns)
    for key, column in columns.items() if dialogues else ():
        if column not in table.column_names:
            raise DataError(f"{path}: {key}: no column '{column}'. {known_columns(column, table.column_names)}")
    if table.num_rows == 0:
        raise DataError(f"{path}: no rows")
    texts = {role: [_text(value) for value in table[column].to_pylist()] for role, column in wanted.texts.items()}
    lists = {
        role: _listed(path, table, column, role, whole=wanted.gather is not None)
        for role, column in wanted.lists.items()
    }
    places = np.arange(table.num_rows)
    if wanted.gather is not None:
        texts, lists, places = _gathered(table, wanted, texts, lists)
    kept, empty, repeated = _kept(texts, lists, wanted.needed)
    if not kept:
        raise DataError(f"{path}: no row has all of {', '.join(sorted(wanted.needed))}")
    rows = places[kept]
    return Items(
        texts={role: [values[i] for i in kept] for role, values in texts.items()},
        lists={role: [values[i] for i in kept] for role, values in lists.items()},
        rows=rows,
        groups={name: group_values(path, table, name, wanted.bands, rows) for name in wanted.groups},
        clusters=_clusters(table, wanted.cluster, rows),
        read=table.num_rows,
        empty=empty,
        repeated=repeated,
    )


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124 - NaN differs from itself


def _listed(path: Path, table: pa.Table, column: str, role: str, *, whole: bool) -> list[tuple[str, ...]]:
    """A column's cells as several texts; `whole`: a cell of text is one, whatever stands in it."""
    found = [
        tuple(filter(None, (_text(value),))) if whole and isinstance(value, str) else _several(value)
        for value in table[column].to_pylist()
    ]
    if any(len(texts) > MAX_LISTED for texts in found):
        raise DataError(f"{path}: data.columns.{role}: expected at most {MAX_LISTED} texts in a cell of '{column}'")
    return found


def _several(value: Any) -> tuple[str, ...]:
    """A cell as several texts.

    >>> _several("red; blue"), _several({"colour": "red", "size": None}), _several(["a", " ", "a"]), _several(None)
    (('red', 'blue'), ('colour: red',), ('a',), ())
    >>> _several([("colour", "red")]), _several('["a; b"]')
    (('colour: red',), ('a; b',))
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):  # a text that begins so
            value = json.loads(value)
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, list | tuple):
        cells = [_pair(*each) if isinstance(each, tuple) and len(each) == 2 else _text(each) for each in value]
    else:
        cells = _BETWEEN.split(_text(value))
    return tuple(dict.fromkeys(cell for cell in cells if cell))


def _pair(name: Any, value: Any) -> str:
    return f"{_text(name)}: {_text(value)}" if _text(value) else ""


def _gathered(
    table: pa.Table, wanted: Wanted, texts: dict[str, list[str]], lists: dict[str, list[tuple[str, ...]]]
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, ...]]], NDArray[np.int64]]:
    """Rows that agree in one text as one row: its other texts are the first row's, its lists all of theirs."""
    members: dict[str, list[int]] = {}
    for row, text in enumerate(texts[wanted.gather or ""]):
        members.setdefault(text, []).append(row)
    groups = list(members.values())
    found = {
        role: [tuple(dict.fromkeys(text for row in rows for text in values[row]))[:MAX_LISTED] for rows in groups]
        for role, values in lists.items()
    }
    if wanted.right is not None:
        role, column = wanted.right
        marked = [(label_of(value) or "").casefold() in ("1", "true", "yes") for value in table[column].to_pylist()]
        source = lists["candidates"]
        found[role] = [
            tuple(dict.fromkeys(text for row in rows if marked[row] for text in source[row])) for rows in groups
        ]
    firsts = np.array([rows[0] for rows in groups], dtype=np.int64)
    return {role: [values[row] for row in firsts] for role, values in texts.items()}, found, firsts


def _kept(
    texts: Mapping[str, Sequence[str]], lists: Mapping[str, Sequence[tuple[str, ...]]], needed: frozenset[str]
) -> tuple[list[int], int, int]:
    """Rows that can be asked, each content once; how many were left out for want of a part, and as repetitions."""
    parts = {**texts, **lists}
    kept, empty, repeated, seen = [], 0, 0, set[tuple[Any, ...]]()
    for row in range(len(next(iter(parts.values())))):
        content = tuple(values[row] for values in parts.values())
        if not all(parts[role][row] for role in needed):
            empty += 1
        elif content in seen:
            repeated += 1
        else:
            seen.add(content)
            kept.append(row)
    return kept, empty, repeated


def _clusters(table: pa.Table, column: str | None, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if column is None:
        return np.arange(len(rows))
    values = table[column].to_pylist()
    # A row without a cluster stands alone: the row number can't collide, being of another type.
    named = [label_of(values[row]) or int(row) for row in rows]
    codes = {value: code for code, value in enumerate(dict.fromkeys(named))}
    return np.array([codes[value] for value in named], dtype=np.int64)
