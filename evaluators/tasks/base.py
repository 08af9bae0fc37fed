"""A shop's task whose answers are words or rankings: which columns it takes, and what each row of answers scores.

A task is one file and one config. It says what it needs of a table, and turns answers into sums per row; what
follows from those (figures with intervals, differences between models, gaps between groups) is the same for all
tasks and stands in `evaluators.tasks.sheet`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from governance.measure import Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Item:
    """One row, scrubbed: what models were given, and what their answers are held against.

    Attributes:
        texts: role -> text; "" where the row has none.
        lists: role -> texts ("answers", "candidates"; attributes as "name: value"); empty where the row has none.
    """

    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Reply:
    """What one model made of one row. A row that failed has neither words nor scores, and no task sees it.

    Attributes:
        words: what it wrote, scrubbed; "" where it says that the text holds no answer. None from a model that ranks.
        scores: per candidate, higher is better, shape (c,); None from a model that writes.
    """

    words: str | None = None
    scores: NDArray[np.float64] | None = None


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of a table [value, weight]: first sum over second, NaN where nothing was summed.

    Args:
        sums: shape (..., 2).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)


@dataclass(frozen=True)
class Scores:
    """One metric of n answered rows, as sums that resampling can add up.

    Attributes:
        metric: its name behind "quality.".
        table: what each row adds, shape (n, k); zeros where the metric isn't defined for the row.
        combine: sums, shape (..., k), to values, shape (...); NaN where there is none.
        unit: of the value.
        method: how a row is scored, with the library, its version and settings that matter.
        reach: the least and the most that the value can be; None: no end.
        hits: the metric is a share of rows: `table` is [hit, counted], both 0 or 1, and `combine` is `ratio`.
        better: "higher", "lower", or None where neither is.
    """

    metric: str
    table: NDArray[np.float64]
    method: str
    unit: Unit = Unit.SCORE
    combine: Callable[[NDArray[np.float64]], NDArray[np.float64]] = ratio
    reach: tuple[float | None, float | None] = (0.0, 1.0)
    hits: bool = False
    better: str | None = "higher"


def mean(metric: str, values: Sequence[float | None], *, method: str, **about: object) -> Scores:
    """A metric that is the mean of one value per row; None: not defined for the row, so not counted."""
    kept = np.array([value is not None for value in values], dtype=float)
    filled = np.array([0.0 if value is None else value for value in values], dtype=float)
    return Scores(metric=metric, table=np.column_stack([filled, kept]), method=method, **about)  # type: ignore[arg-type]


def share(metric: str, hits: Sequence[bool | None], *, method: str, better: str | None = "higher") -> Scores:
    """A metric that is the share of rows that hit; None: not defined for the row, so not counted."""
    found = mean(metric, [None if hit is None else float(hit) for hit in hits], method=method, better=better)
    return Scores(**{**vars(found), "unit": Unit.RATE, "hits": True})


class Task(Protocol):
    """A frozen dataclass whose fields are its settings. Same items and replies, same scores.

    Attributes:
        name: what outcomes and prompts call it.
        texts: roles of one text per row -> whether the table must have the column.
        lists: roles of several texts per row -> likewise.
        hidden: roles that no model is shown.
        main: the metric that stands for the task where there is room for one.
        ranks: models score the candidates in `lists["candidates"]`; else they write.
    """

    name: ClassVar[str]
    texts: ClassVar[Mapping[str, bool]]
    lists: ClassVar[Mapping[str, bool]]
    hidden: ClassVar[frozenset[str]]
    main: ClassVar[str]
    ranks: ClassVar[bool]

    def scores(self, items: Sequence[Item], replies: Sequence[Reply], *, language: str) -> Sequence[Scores]:
        """Every metric of the rows that one model answered, in a fixed order, each defined or not."""
        ...
