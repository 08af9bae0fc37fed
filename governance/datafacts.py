"""What a record says of its texts beyond counts of rows: tables by group, lengths, scripts, repeats, suspect labels.

Figures of many rows alone: a cell with fewer than `FEW` rows is hidden, and so is a second one in its row and column,
lest the totals tell it. That is aggregation, not differential privacy, and the record says so (`privacy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

FEW = 5
UNCOVERED = "counted without noise: no privacy claim covers these figures"


Share = Annotated[str, Field(pattern=r"^(0?\.[0-9]{1,6}|1(\.0)?)$")]
"""A share as JSON's keys have it; reports sort by it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Axis(_Frozen):
    """One side of a table.

    Attributes:
        column: its name in the data; None: the labels.
        names: what stands in the column, as people count; None, the last: rows without a value, or without a label.
        merged: how many other names share the last place, being rare or too many to tell.
    """

    column: str | None
    names: tuple[str | None, ...]
    merged: int = Field(default=0, ge=0)

    def __len__(self) -> int:
        return len(self.names) + (self.merged > 0)


class CrossTable(_Frozen):
    """Rows by label and group: a line for each label, a place in it for each group; None: hidden."""

    labels: Axis
    groups: Axis
    counts: tuple[tuple[int | None, ...], ...]

    @model_validator(mode="after")
    def _fits(self) -> CrossTable:
        if len(self.counts) != len(self.labels) or any(len(line) != len(self.groups) for line in self.counts):
            raise ValueError("expected a count for each label and group")
        if not len(self.labels) or not len(self.groups):
            raise ValueError("expected a label and a group")
        if any(n is not None and n < FEW for line in self.counts for n in line):
            raise ValueError(f"expected at least {FEW} rows per cell")
        return self


class Side(_Frozen):
    """The texts on one side of the split.

    Attributes:
        characters: share of rows -> length that so many rows don't exceed; shares that few rows would settle are left
            out.
        words: the same of words; a Han or Kana character counts as one.
        scripts: script of most letters -> rows, at least `FEW`.
        scripts_few: rows of all other scripts.
        repeated: rows whose text is exactly that of an earlier row.
    """

    rows: int = Field(ge=1)
    characters: Mapping[Share, int]
    words: Mapping[Share, int]
    scripts: Mapping[str, int]
    scripts_few: int
    repeated: int


class Overlap(_Frozen):
    """Held-out texts that are nearly a training text.

    Attributes:
        share: of their character 4-grams in common (Jaccard) that makes two texts nearly the same.
        rows: held-out rows looked at.
        near: of these, rows with a near-double among the training rows.
        known: training rows compared with.
    """

    share: float
    rows: int
    near: int
    known: int


class Suspects(_Frozen):
    """Labels that a model which has not seen them doubts: "confident learning" (Northcutt et al. 2021).

    Attributes:
        examined: class -> training rows judged.
        suspected: class as labelled -> rows that look like another class.
        folds: of the cross-validation.
    """

    examined: Mapping[str, int]
    suspected: Mapping[str, int]
    folds: int

    @model_validator(mode="after")
    def _fits(self) -> Suspects:
        if set(self.suspected) != set(self.examined):
            raise ValueError("expected a count of suspects for every class that was examined")
        return self


class DataStatistics(_Frozen):
    """What the scrubbed rows of an audit look like.

    Attributes:
        privacy: that no privacy claim covers this.
        tables: rows of both sides by label and group, one table per group column.
        train: None: there are no such rows.
        test: likewise.
        conflicting: rows whose exact text stands elsewhere under another label; None: there are no labels.
        overlap: None: one side has no rows.
        suspects: None for `no_suspects`.
    """

    privacy: str = UNCOVERED
    tables: tuple[CrossTable, ...] = ()
    train: Side | None = None
    test: Side | None = None
    conflicting: int | None = None
    overlap: Overlap | None = None
    suspects: Suspects | None = None
    no_suspects: str | None = None
