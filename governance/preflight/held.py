"""What is known of held-out rows before any model is asked: labels, clusters and groups, as counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.power import design_effect

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = "(missing)"


@dataclass(frozen=True)
class HeldOut:
    """The rows that a model is weighed on, as columns of length n.

    Attributes:
        clusters: rows with the same code are not independent, shape (n,).
        labels: classes; None for a task whose answers are words or rankings.
        positive: the positive class, if one is declared.
        groups: column -> values, None where missing.
    """

    clusters: NDArray[np.int64]
    labels: tuple[str, ...] | None = None
    positive: str | None = None
    groups: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clusters)

    def take(self, index: NDArray[np.int64]) -> HeldOut:
        """The rows at these positions."""
        groups = {column: tuple(values[i] for i in index) for column, values in self.groups.items()}
        labels = None if self.labels is None else tuple(self.labels[i] for i in index)
        return HeldOut(self.clusters[index], labels, self.positive, groups)

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Of the rows, by class; none without classes."""
        return tuple(n / len(self) for n in Counter(self.labels).values()) if self.labels else ()

    @cached_property
    def share(self) -> float | None:
        """Of the rows that is positive; None where no class is declared so, or no row is of it."""
        if not self.labels or self.positive is None:
            return None
        return self.labels.count(self.positive) / len(self.labels) or None

    def effect(self, correlation: float, level: float) -> float | None:
        """How many of these rows say as much as one independent row; None where they are all of one cluster."""
        return effect_of(np.unique(self.clusters, return_counts=True)[1], correlation, level)


@dataclass(frozen=True)
class Group:
    """Rows that share their values in some columns.

    Attributes:
        values: one per column.
        clusters: of each row.
        positive: whether each row is of the positive class.
    """

    values: tuple[str, ...]
    clusters: NDArray[np.int64]
    positive: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """All of them."""
        return len(self.clusters)

    def _counted(self, rate: str) -> NDArray[np.bool_]:
        """Rows that a rate is a share of. A model that is good selects about those that are positive."""
        if rate in ("true_positive_rate", "precision"):
            return self.positive
        return ~self.positive if rate == "false_positive_rate" else np.ones(self.rows, dtype=bool)

    def among(self, rate: str) -> int:
        """How many rows a rate is a share of."""
        return int(self._counted(rate).sum())

    def effective(self, rate: str, correlation: float, level: float) -> float | None:
        """Independent rows that would say as much of a rate; None where they are all of one cluster."""
        sizes = np.unique(self.clusters[self._counted(rate)], return_counts=True)[1]
        effect = effect_of(sizes, correlation, level)
        return None if effect is None else float(sizes.sum()) / effect


def groups_of(held: HeldOut, columns: Sequence[str], *, missing: bool) -> list[Group]:
    """The groups that columns make together.

    Args:
        held: the rows.
        columns: of its groups.
        missing: rows without a value are a group of their own; else they are left out.
    """
    cells: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*(held.groups[column] for column in columns), strict=True)):
        if missing or None not in values:
            cells.setdefault(tuple(MISSING if value is None else value for value in values), []).append(row)
    positive = np.array([label == held.positive for label in held.labels or ()] or [False] * len(held), dtype=bool)
    return [Group(values, held.clusters[rows], positive[rows]) for values, rows in sorted(cells.items())]


def effect_of(sizes: NDArray[np.int64], correlation: float, level: float) -> float | None:
    """The design effect of clusters of these sizes, and the price of knowing their spread from few of them."""
    from scipy.special import ndtri, stdtrit

    if len(sizes) < 2:
        return None
    few = float(stdtrit(len(sizes) - 1, 0.5 + level / 2) / ndtri(0.5 + level / 2)) ** 2
    return max(1.0, design_effect(sizes, correlation)) * few
