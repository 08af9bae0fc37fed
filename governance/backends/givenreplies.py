"""Words or rankings of somebody else's system, from a file or a function: untrusted, scrubbed, matched by row."""

from __future__ import annotations

import itertools
import math
import numbers
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from governance.backends.asking import Gate
from governance.backends.base import Answer, Capability, Request
from governance.backends.callable import type_name
from governance.backends.predictions import MAX_BYTES, NO_PREDICTION, SAYS_FAILED, told
from governance.errors import DataError, ScrubError
from governance.files import digest_of
from governance.formats import read_columns
from governance.sources import label_of

_TABLES = (".csv", ".tsv")
MAX_WORDS = 20_000  # characters of one answer
_NO_WORDS = "its answer is no text"
_NO_SCORES = "its answer is no list of finite numbers"
_TOO_LONG = f"its answer is longer than {MAX_WORDS} characters"
_OTHER_TASK = "the function answers something else"
_UNVOUCHED = "the scrubber can't vouch for the answer"

Function = Callable[[list[dict[str, Any]]], Iterable[Any]]


def said(value: object, *, ranks: bool, gate: Gate) -> Answer:
    """What a stranger's system said of one row, as an answer.

    Args:
        value: words, or a score per candidate.
        ranks: which of the two is expected.
        gate: the scrubber.
    """
    if ranks:
        scores = _scores(value)
        return Answer(failure=_NO_SCORES) if scores is None else Answer(scores=scores)
    if not isinstance(value, str):
        return Answer(failure=_NO_WORDS)
    if len(value) > MAX_WORDS:
        return Answer(failure=_TOO_LONG)
    try:
        words, pieces = gate(value.encode(errors="replace").decode(), "output") if value else ("", {})
    except ScrubError:
        return Answer(failure=_UNVOUCHED)
    return Answer(output=words, personal=sum(pieces.values()))


def _scores(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        return None
    if not all(isinstance(score, numbers.Real) and not isinstance(score, bool) for score in value):
        return None
    try:
        scores = tuple(float(score) for score in value)
    except OverflowError:
        return None
    return scores if all(map(math.isfinite, scores)) else None


@dataclass(frozen=True)
class Replies:
    """What a file says: an answer per row of the data, and what was counted on the way."""

    answers: Mapping[int, Answer]
    found: Mapping[str, int]
    paired: str  # digest of which row each line of the file speaks of


def read_replies(
    path: Path,
    *,
    key: str,
    column: str,
    seconds: str | None,
    failure: str | None,
    keys: Mapping[str, int],
    ranks: bool,
    gate: Gate,
) -> Replies:
    """Read a file of answers and match it with the data.

    Args:
        path: Parquet, CSV, TSV or JSON lines.
        key: column of a row's key.
        column: of the answer: words, or a list of scores in the order of the row's candidates.
        seconds: column of the time that each row took; None: there is none.
        failure: column; rows in which it says anything have failed. None: there is none.
        keys: key -> row number.
        ranks: whether answers are scores.
        gate: the scrubber.

    Raises:
        DataError: too large, unreadable, without a column, or not about this data at all. No message quotes a cell.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES >> 30} GiB")
    named = {"id": key, "label": column, "seconds": seconds, "failure": failure}
    wanted = {role: name for role, name in named.items() if name is not None}
    table = read_columns(path, sorted(set(wanted.values())), wanted)
    places = [keys.get(name) if (name := label_of(value)) else None for value in table[key].to_pylist()]
    if not any(row is not None for row in places):
        raise DataError(
            f"{path}: id: none of the {len(places)} values of column '{key}' is the key of a row of the data; a row's "
            "key is its value of data.id or, where the config names no such column, its number from 0"
        )
    times = table[seconds].to_pylist() if seconds else [0.0] * len(places)
    faults = [told(value) for value in table[failure].to_pylist()] if failure else [False] * len(places)
    words = table[column].to_pylist()
    if not ranks and path.suffix in _TABLES:  # where a blank cell is all that says "no answer"
        words = ["" if value is None else value for value in words]
    answers: dict[int, Answer] = {}
    repeated = 0
    for row, value, spent, failed in zip(places, words, times, faults, strict=True):
        if row is None:
            continue
        if row in answers:
            repeated += 1
            continue
        timed = isinstance(spent, int | float) and math.isfinite(spent) and spent >= 0
        answer = Answer(failure=SAYS_FAILED) if failed else said(value, ranks=ranks, gate=gate)
        answers[row] = replace(answer, seconds=float(spent) if timed else 0.0)
    found = {"rows": len(places), "unknown rows": places.count(None), "repeated rows": repeated}
    return Replies(answers, {name: n for name, n in found.items() if n}, digest_of(places))


class RepliesBackend:
    """Answers rows of the data by what the file says of them. Implements `Backend` and `ByRow`."""

    capabilities = frozenset({Capability.ROWS})

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    def classify(self, texts: Sequence[Any]) -> Sequence[Answer]:
        """See `Backend`: texts have no answers, only rows do."""
        return [Answer(failure=NO_PREDICTION) for _ in texts]

    def classify_rows(self, rows: Sequence[int]) -> Sequence[Answer]:
        """See `ByRow`."""
        return [self._replies.answers.get(row, Answer(failure=NO_PREDICTION)) for row in rows]

    def close(self) -> None:
        """See `Backend`: nothing to free."""


class FunctionBackend:
    """Answers requests by a function: a list of rows in, one answer per row out. Implements `Writes` or `Ranks`.

    Args:
        function: called with a new list each time, of {part: text}; with `ranks`, "candidates" holds a list.
        ranks: whether it answers with a score per candidate; else with words.
        batch: rows at a time, at most.
        gate: the scrubber.
    """

    def __init__(self, function: Function, *, ranks: bool, batch: int, gate: Gate) -> None:
        self._function, self._ranks, self._batch, self._gate = function, ranks, batch, gate

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        return frozenset({Capability.RANK if self._ranks else Capability.WRITE})

    def classify(self, texts: Sequence[Any]) -> Sequence[Answer]:
        """See `Backend`: it was named for another task."""
        return [Answer(failure="the function answers requests, not texts")] * len(texts)

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Writes`."""
        return [Answer(failure=_OTHER_TASK)] * len(requests) if self._ranks else self._asked(requests)

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Ranks`."""
        return self._asked(requests) if self._ranks else [Answer(failure=_OTHER_TASK)] * len(requests)

    def close(self) -> None:
        """See `Backend`: nothing to free."""

    def _asked(self, requests: Sequence[Request]) -> list[Answer]:
        return [
            answer
            for start in range(0, len(requests), self._batch)
            for answer in self._one_batch(requests[start : start + self._batch])
        ]

    def _one_batch(self, requests: Sequence[Request]) -> list[Answer]:
        n, began = len(requests), time.perf_counter()
        failure, found = None, list[Any]()
        try:
            answered = self._function([_row(request) for request in requests])
            if isinstance(answered, str | bytes | Mapping | Set) or not isinstance(answered, Iterable):
                failure = "the function returned no list"
            else:
                found = list(itertools.islice(answered, n + 1))  # a generator may have no end
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code may raise anything
            failure = f"the function raised {type_name(error)}"
        if failure is None and len(found) != n:
            failure = f"the function returned {'more' if len(found) > n else 'fewer'} answers than rows"
        seconds = (time.perf_counter() - began) / n
        if failure is not None:
            return [Answer(failure=failure, seconds=seconds)] * n
        return [replace(said(value, ranks=self._ranks, gate=self._gate), seconds=seconds) for value in found]


def _row(request: Request) -> dict[str, Any]:
    row: dict[str, Any] = {part: text.text for part, text in request.fields.items()}
    return {**row, "candidates": [text.text for text in request.candidates]} if request.candidates else row
