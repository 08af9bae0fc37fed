"""Every figure that an audit can hold, by name: what it counts, what it can be, who makes it and what that takes.

A policy that is held against this before a run can't demand what nobody will ever measure. The list itself is
`configs/metrics.yaml`; a test holds it against what the evaluators make.
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from governance.configfile import read
from governance.measure import Unit

Place = Literal[
    "everyone", "group", "groups", "cell", "cells", "group-within", "groups-within", "identifiers", "any"
]  # fmt: skip
Range = tuple[float, float]
INF = math.inf
RANGES: Mapping[Unit, Range] = {
    Unit.RATE: (0, 1),
    Unit.DIFFERENCE: (-1, 1),
    Unit.RATIO: (0, INF),
    Unit.SCORE: (0, 1),
    Unit.SECONDS: (0, INF),
    Unit.MONEY: (0, INF),
    Unit.COUNT: (0, INF),
    Unit.NATS: (0, INF),
    Unit.PROBABILITY: (0, 1),
    Unit.WEIGHT: (-INF, INF),
    Unit.UNITS: (-INF, INF),
    Unit.RELATIVE: (-1, INF),
}
"""What a number of each unit can be, the ends of its interval included."""
CHANGE, DRIFT = ".change", "drift."
"""How the names end of what changed since an earlier run, and how those begin of how far its inputs have moved."""
CHANGE_UNITS: Mapping[Unit, Unit] = {
    Unit.RATE: Unit.DIFFERENCE,
    Unit.SCORE: Unit.DIFFERENCE,
    Unit.RATIO: Unit.DIFFERENCE,
    Unit.SECONDS: Unit.RELATIVE,
    Unit.MONEY: Unit.RELATIVE,
    Unit.PROBABILITY: Unit.RELATIVE,
}
"""Unit of a figure -> of its change; absent: the same."""


def since_baseline(metric: str) -> bool:
    """Whether a figure is one of two runs.

    >>> since_baseline("quality.auc.change"), since_baseline("drift.length"), since_baseline("quality.auc.difference")
    (True, True, False)
    """
    return metric.endswith(CHANGE) or metric.startswith(DRIFT)


class Entry(BaseModel):
    """One metric, of one kind of maker.

    Attributes:
        metric: its name; "imported.*" is every name that starts so.
        by: evaluators, or kinds of table as "table:ranking".
        unit: what it may count; empty: anything.
        range: what it and its interval can be, where that is narrower or wider than its unit's.
        kind: whether it has an interval.
        slices: which rows it speaks of; see `configs/metrics.yaml`.
        columns: names of its slices' columns, where they are not the data's.
        reference: what it is a difference from.
        about: the model, or the data (then no model is named).
        task: of its outcomes; "maker": its maker's.
        needs: what there must be to make it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    by: tuple[str, ...] = Field(min_length=1)
    unit: tuple[Unit, ...] = ()
    range: tuple[float | None, float | None] | None = None
    kind: tuple[Literal["measurement", "fact"], ...] = ("measurement",)
    slices: tuple[Place, ...] = ("everyone",)
    columns: tuple[str, ...] = ()
    reference: Literal["incumbent", "base", "twin", "baseline"] | None = None
    about: Literal["model", "data"] = "model"
    task: str | None = "maker"
    needs: tuple[str, ...] = ()

    @property
    def ends(self) -> Range:
        """The least and the greatest number that it can be."""
        if self.range is not None:
            low, high = self.range
            return -INF if low is None else low, INF if high is None else high
        ranges = [RANGES[unit] for unit in self.unit] or [(-INF, INF)]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    def change(self) -> Entry:
        """Its change since an earlier run."""
        low, high = self.ends
        unit = tuple(dict.fromkeys(CHANGE_UNITS.get(unit, unit) for unit in self.unit))
        reach: tuple[float | None, float | None] = (low - high, high - low) if high - low < INF else (None, None)
        if Unit.RELATIVE in unit and Unit.RELATIVE not in self.unit:
            reach = (-1, None)  # all of it, at most
        changed = {"metric": self.metric + CHANGE, "unit": unit, "range": reach, "reference": "baseline"}
        return self.model_copy(update={**changed, "kind": ("measurement", "fact")})


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    makers: Mapping[str, str | None]
    metrics: tuple[Entry, ...]


@dataclass(frozen=True)
class Vocabulary:
    """All metrics.

    Attributes:
        makers: evaluator or kind of table -> the task that its outcomes carry.
        entries: metric -> its entries, one or more.
    """

    makers: Mapping[str, str | None]
    entries: Mapping[str, tuple[Entry, ...]]

    def of(self, metric: str) -> tuple[Entry, ...]:
        """A metric's entries; none for a name that nobody makes.

        >>> [entry.by for entry in vocabulary().of("quality.accuracy")]
        [('quality', 'table:classification')]
        >>> vocabulary().of("quality.accuracy.change")[0].unit[0].value, vocabulary().of("quality.acuracy")
        ('difference', ())
        """
        if metric.endswith(CHANGE):  # of a figure, not of how it differs from another model's or another run's
            return tuple(one.change() for one in self.of(metric.removesuffix(CHANGE)) if one.reference is None)
        if metric in self.entries:
            return self.entries[metric]
        families = (name for name in self.entries if name.endswith(".*") and metric.startswith(name[:-1]))
        return next((self.entries[name] for name in families if len(metric) >= len(name)), ())

    def task(self, entry: Entry, maker: str) -> str | None:
        """The task that the outcomes of a metric carry."""
        return self.makers[maker] if entry.task == "maker" else entry.task

    def suggest(self, metric: str) -> str:
        """A sentence with the names that are nearest to one that nobody makes."""
        stem = metric.removesuffix(CHANGE)
        ending = metric[len(stem) :]
        known = [name for name in self.entries if not name.endswith(".*")]
        near = difflib.get_close_matches(stem, known, n=3, cutoff=0.6)
        if not near:
            return "docs/policies.md says where to find all names"
        return f"did you mean {' or '.join(repr(name + ending) for name in near)}?"


@functools.cache
def vocabulary() -> Vocabulary:
    """The metrics that ship, names written out."""
    file = read(_File, Path(str(importlib.resources.files("configs") / "metrics.yaml")))
    entries: dict[str, tuple[Entry, ...]] = {}
    for entry in file.metrics:
        for name, first in _written_out(entry.metric):
            needs = tuple(need.replace("{}", first) for need in entry.needs)
            made = entry.model_copy(update={"metric": name, "needs": needs})
            entries[name] = (*entries.get(name, ()), made)
    return Vocabulary(makers=file.makers, entries=entries)


def _written_out(pattern: str) -> list[tuple[str, str]]:
    """Every name that a pattern stands for, and what was chosen from its first braces.

    >>> _written_out("a.{b,c}.d")
    [('a.b.d', 'b'), ('a.c.d', 'c')]
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return [("".join(chosen), chosen[1] if len(chosen) > 1 else "") for chosen in itertools.product(*choices)]
