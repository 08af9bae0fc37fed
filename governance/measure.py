"""What an audit can say about a system: a measurement, an exact fact, or why there is neither.

Absence is its own value, never 0.0 and never NaN, so no policy can mistake
"we did not look" for "we looked and found nothing".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

ANY = "*"


class Unit(StrEnum):
    """What a number counts; decides how it is printed."""

    RATE = "rate"  # a share in [0, 1]
    DIFFERENCE = "difference"  # of two rates or scores, in [-1, 1]
    RATIO = "ratio"  # of two rates, >= 0
    SCORE = "score"  # e.g. AUC, F1, in [0, 1]
    SECONDS = "seconds"
    MONEY = "money"  # per 1,000 rows, in the currency that the fact's method names
    COUNT = "count"
    NATS = "nats"  # epsilon
    PROBABILITY = "probability"  # delta
    WEIGHT = "weight"  # a coefficient; log-odds per unit
    UNITS = "units"  # the data's own unit: minutes, yuan, points of somebody's score
    RELATIVE = "relative"  # how much more or less than something else, > -1: 0.05 is 5% more


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows a number speaks of: column -> value; `"*"` means "across all groups of this column".

    >>> Slice.of(age_band="30-39").label()
    'age_band=30-39'
    >>> Slice().label()
    'everyone'
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, mapping: Mapping[str, str] | None = None, /, **columns: str) -> Slice:
        """Build a slice from a mapping; the order of columns doesn't matter."""
        return cls(tuple(sorted({**(mapping or {}), **columns}.items())))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def label(self) -> str:
        """A short name for tables and file output."""
        return ", ".join(f"{column}={value}" for column, value in self.pairs) or "everyone"


EVERYONE = Slice()


def reading_order(value: str) -> tuple[bool, float, bool, str]:
    """Sorts the values of a column as people read them: bands by their numbers, then names, then "(missing)".

    >>> sorted(["60 and over", "(missing)", "30-39", "Tops", "under 30"], key=reading_order)
    ['under 30', '30-39', '60 and over', 'Tops', '(missing)']
    """
    number = re.match(r"(under )?(-?\d+(?:\.\d+)?)", value)
    if number is None:
        return True, math.inf, value.startswith("("), value
    return False, float(number[2]), number[1] is None, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number, with the interval and sample size needed to believe it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    metric: str
    value: float
    low: float | None  # None: unbounded on this side (a one-sided bound)
    high: float | None
    level: float
    n: int
    unit: Unit
    method: str
    model: str | None = None
    reference: str | None = None  # the other side of a paired difference
    task: str | None = None
    slice: Slice = EVERYONE
    counts: Mapping[str, float] = field(default_factory=dict)
    kind: Literal["measurement"] = "measurement"

    def __post_init__(self) -> None:
        # isfinite first: NaN passes `low > high` checks, and JSON turns it into null.
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.metric}: expected a finite {name}, got {number}")
        for name, number in self.counts.items():
            if not math.isfinite(number):
                raise ValueError(f"{self.metric}: expected finite counts, got {number} for '{name}'")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.metric}: expected low <= high, got {self.low} > {self.high}")
        if not 0 < self.level < 1:
            raise ValueError(f"{self.metric}: expected a level in (0, 1), got {self.level}")
        if self.n < 0:
            raise ValueError(f"{self.metric}: expected n >= 0, got {self.n}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """An exact number: a claimed epsilon, a count, a coefficient of the model itself, or the change of one of them."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    metric: str
    value: float
    unit: Unit
    method: str
    model: str | None = None
    # What it is a change from. Left out where there is nothing: older records keep their digests.
    reference: Annotated[str | None, Field(exclude_if=lambda reference: reference is None)] = None
    task: str | None = None
    slice: Slice = EVERYONE
    kind: Literal["fact"] = "fact"

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.metric}: expected a finite value, got {self.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMeasured:
    """Why there is no number. A policy reads it as "unproven", never as a pass."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    metric: str
    reason: str
    model: str | None = None
    reference: str | None = None
    task: str | None = None
    slice: Slice = EVERYONE
    kind: Literal["not-measured"] = "not-measured"

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError(f"{self.metric}: a missing measurement needs a reason")


Outcome: TypeAlias = Measurement | Fact | NotMeasured
