"""A figure's whole course, for charts: how far a model can be taken at its word, how well an attack ranks.

Nothing is judged by a curve: what a policy tests stands among the outcomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

MOST_POINTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One curve of one model, binned: at most 20 points, so that no point speaks of one person.

    Attributes:
        kind: "reliability": (mean confidence in the label given, share of these labels that are right) by bins of
            confidence; "membership-roc": (false-positive rate, true-positive rate) of the membership attack.
        points: both in [0, 1], the first ascending.
        rows: behind each point, for "reliability"; empty for a rate of all rows.
        n: rows behind the curve.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    kind: Literal["reliability", "membership-roc"]
    model: str
    points: tuple[tuple[float, float], ...]
    n: int
    method: str
    rows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.points) <= MOST_POINTS:
            raise ValueError(f"curve: expected 1 to {MOST_POINTS} points, got {len(self.points)}")
        if not all(math.isfinite(number) and 0 <= number <= 1 for point in self.points for number in point):
            raise ValueError("curve: expected points in [0, 1]")
        if [x for x, _ in self.points] != sorted(x for x, _ in self.points):
            raise ValueError("curve: expected points from left to right")
        if self.rows and len(self.rows) != len(self.points):
            raise ValueError(f"curve: expected rows of {len(self.points)} points, got {len(self.rows)}")
