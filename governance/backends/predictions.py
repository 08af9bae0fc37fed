"""What another system answered, read from a file that it wrote: TensorFlow's, a vendor's batch job, a spreadsheet's.

Rows are matched by key and kept by their number in the data's source, so no key outlives the matching. Nothing in
the file is taken on trust: keys may repeat, labels be of no class, scores be no probabilities. All of that is counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.backends.base import Answer, Capability
from governance.dataset import Labels, ModelText
from governance.errors import DataError
from governance.files import digest_of
from governance.formats import read_columns
from governance.sources import ABSENT, label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 2 << 30
SUM_WITHIN = 1e-6  # of the scores of a row, to 1
MOST_SECONDS = 1e9  # more is no time that a row took
NO_PREDICTION = "no prediction in the file"
_FALSE = ABSENT | {"false", "no", "0"}  # in a column that says what failed
SAYS_FAILED = "the file says that it failed"  # its own words may hold a text
_UNKNOWN_LABEL = "the label in the file is none of the classes"
_DIFFERENT = "the file has different predictions for this row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of a file of predictions mean; `scores` is class -> column."""

    id: str
    label: str
    scores: Mapping[str, str]
    seconds: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What a file of predictions says of the rows of a data set.

    Attributes:
        answers: row number in the data's source -> its answer; rows that the file doesn't name are absent.
        scored: whether every row with a label has scores that are probabilities; if not, no row keeps any.
        found: what was counted in the file, in words for people; only what there is.
        matching: digest of which row of the file speaks of which row of the data.
    """

    answers: Mapping[int, Answer]
    scored: bool
    found: Mapping[str, int]
    matching: str


def row_keys(path: Path, column: str | None, rows: NDArray[np.int64], read: int) -> dict[str, int]:
    """Key -> row number in the source; rows without a key are absent.

    Args:
        path: the data.
        column: of the keys; None: the row's number, 0 for the first, is its key.
        rows: numbers of the rows that are used.
        read: rows in the source.

    Raises:
        DataError: no such column, or two rows that are used share a key. No message quotes one.
    """
    if column is None:
        return {str(row): row for row in range(read)}
    values = [label_of(value) for value in read_columns(path, [column], {"data.id": column})[column].to_pylist()]
    used = [values[row] for row in rows.tolist() if values[row] is not None]
    if len(set(used)) < len(used):
        shared = len(used) - len(set(used))
        raise DataError(f"{path}: data.id: expected another value of column '{column}' in every row, {shared} repeat")
    keys = {value: row for row, value in enumerate(values) if value is not None}
    return keys | {str(values[row]): row for row in rows.tolist() if values[row] is not None}


def read_predictions(path: Path, columns: Columns, keys: Mapping[str, int], labels: Labels) -> Given:
    """Read a file and match it with the data.

    Args:
        path: Parquet, CSV, TSV or JSON lines.
        columns: what its columns mean; scores of all classes or of none.
        keys: key -> row number, as `row_keys` gives them.
        labels: the task's classes.

    Raises:
        DataError: too large, unreadable, without a column, or not about this data at all. No message quotes a cell.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES >> 30} GiB")
    plain = {"id": columns.id, "label": columns.label, "seconds": columns.seconds, "failure": columns.failure}
    wanted = {key: column for key, column in plain.items() if column is not None}
    wanted |= {f"scores.{name}": column for name, column in columns.scores.items()}
    table = read_columns(path, sorted(set(wanted.values())), wanted)
    places = [keys.get(key) if (key := label_of(value)) else None for value in table[columns.id].to_pylist()]
    known = [position for position, row in enumerate(places) if row is not None]
    if not known:
        raise DataError(
            f"{path}: id: none of the {len(places)} values of column '{columns.id}' is the key of a row of the data; "
            f"a row's key is its value of data.id or, where the config names no such column, its number from 0"
        )
    found = Counter({"rows": len(places), "unknown rows": len(places) - len(known)})
    stated = _stated(table, columns, labels, found, known)
    scores = _scores(table, columns, labels, len(places))
    answers: dict[int, Answer] = {}
    first: dict[int, int] = {}  # row -> its position in the file
    for position in known:
        row, answer = places[position], stated[position]
        assert row is not None  # noqa: S101 - narrows the type; `known` holds those alone
        if row not in first:
            first[row], answers[row] = position, answer
            continue
        found["repeated rows"] += 1
        before = stated[first[row]]
        same = scores is None or np.array_equal(scores[first[row]], scores[position], equal_nan=True)
        if not same or (before.label, before.failure) != (answer.label, answer.failure):
            answers[row] = Answer(failure=_DIFFERENT)
    found["rows with different predictions"] = sum(answer.failure == _DIFFERENT for answer in answers.values())
    answered = {row: first[row] for row, answer in answers.items() if answer.label is not None}
    scored = scores is not None and _probabilities(scores, answered.values(), found)
    if scores is not None and scored:
        for row, position in answered.items():
            answers[row] = replace(answers[row], scores=tuple(scores[position].tolist()))
    matching = digest_of(sorted(first.items()))
    return Given(answers, scored, {name: n for name, n in found.items() if n}, matching)


def _stated(
    table: Any, columns: Columns, labels: Labels, found: Counter[str], known: Sequence[int]
) -> dict[int, Answer]:
    """What each known row of the file says, without scores; position in the file -> answer."""
    said = table[columns.label].to_pylist()
    failed = table[columns.failure].to_pylist() if columns.failure else [None] * len(said)
    seconds = _numbers(table[columns.seconds].to_pylist()) if columns.seconds else np.zeros(len(said))
    times = np.isfinite(seconds) & (seconds >= 0) & (seconds <= MOST_SECONDS)
    answers = {}
    for position in known:
        label = label_of(said[position])
        failure = None
        if told(failed[position]):
            failure = SAYS_FAILED
        elif label is None:
            failure = NO_PREDICTION
        elif label not in labels.classes:
            failure = _UNKNOWN_LABEL
            found["unknown labels"] += 1
        if not times[position]:
            found["rows without a time"] += 1
        spent = float(seconds[position]) if times[position] else 0.0
        answers[position] = Answer(label=None if failure else label, failure=failure, seconds=spent)
    return answers


def told(value: Any) -> bool:
    """Whether a cell says that its row failed.

    >>> [told(cell) for cell in (None, "", False, "false", "timeout", True, float("nan"))]
    [False, False, False, False, True, True, False]
    """
    text = label_of(value)
    return text is not None and text.casefold() not in _FALSE


def _scores(table: Any, columns: Columns, labels: Labels, n: int) -> NDArray[np.float64] | None:
    """Scores in the order of classes, shape (n, classes), NaN where there is no number; None: no such columns."""
    if not columns.scores:
        return None
    found = [_numbers(table[columns.scores[name]].to_pylist()) for name in labels.classes]
    return np.stack(found, axis=1).reshape(n, len(labels.classes))


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _probabilities(scores: NDArray[np.float64], positions: Iterable[int], found: Counter[str]) -> bool:
    """Whether all these rows hold probabilities; those that don't are counted."""
    rows = scores[list(positions)]
    with np.errstate(invalid="ignore", over="ignore"):
        fine = np.isfinite(rows).all(axis=1) & (rows >= 0).all(axis=1) & (rows <= 1).all(axis=1)
        fine &= np.abs(rows.sum(axis=1) - 1) <= SUM_WITHIN
    found["rows whose scores are no probabilities"] = int((~fine).sum())
    return bool(len(rows) and fine.all())


class PredictionsBackend:
    """Answers rows of the data by what the file says of them. Implements `Backend` and `ByRow`."""

    def __init__(self, given: Given) -> None:
        self._given = given

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`. It can't classify: who wrote the file isn't here to be asked."""
        return frozenset({Capability.ROWS, Capability.SCORES} if self._given.scored else {Capability.ROWS})

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`: texts have no predictions, only rows do."""
        return [Answer(failure=NO_PREDICTION) for _ in texts]

    def classify_rows(self, rows: Sequence[int]) -> Sequence[Answer]:
        """See `ByRow`."""
        absent = Answer(failure=NO_PREDICTION)
        return [self._given.answers.get(row, absent) for row in rows]

    def close(self) -> None:
        """See `Backend`: nothing to free."""
