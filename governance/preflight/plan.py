"""What is taken for granted where nothing is known yet, and what a plan for one control comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from governance.measure import EVERYONE, Slice


class Standing(StrEnum):
    """Whether a control can be decided."""

    ENOUGH = "enough"
    SHORT = "short"  # more rows would do
    NEVER = "never"  # no number of rows would
    OTHER = "other"  # rows held out don't decide it, or nobody can tell beforehand


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What is taken for granted.

    Attributes:
        margin: how much better than its bound a model truly is, in (0, 1).
        variance: of the rows' paired differences between two models' right answers: the share of rows on which they
            differ, nearly.
        correlation: of two rows of one cluster, in [0, 1]. Right answers to reviews of one product: 0.016, measured.
        rate: how often models are right, in (0, 1); for what a bound says nothing of.
        power: chance that a control which would pass with endless rows does pass, in (0.5, 1).
    """

    margin: float = 0.05
    variance: float = 0.10
    correlation: float = 0.02
    rate: float = 0.85
    power: float = 0.8

    def __post_init__(self) -> None:
        for name, low in (("margin", 0.0), ("variance", 0.0), ("rate", 0.0), ("power", 0.5)):
            if not low < getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number above {low:g} and below 1, got {getattr(self, name):g}")
        if not 0 <= self.correlation <= 1:
            raise ValueError(f"correlation: expected a number between 0 and 1, got {self.correlation:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a control asks of a figure, and what proves it.

    Attributes:
        bound: the number.
        upper: it is a most; else a least.
        level: of the interval that must keep it.
        assumed: about the truth.
    """

    bound: float
    upper: bool
    level: float
    assumed: Assumed

    @property
    def truth(self) -> float:
        """The true value that is better than the bound by the margin."""
        return self.bound + (-self.assumed.margin if self.upper else self.assumed.margin)

    @property
    def inside(self) -> float | None:
        """The same of a share or score, as far as there is room; None: no interval keeps such a bound."""
        truth = min(1.0, max(0.0, self.truth))
        return truth if 0 < self.bound < 1 and truth != self.bound else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a control needs of the rows held out.

    Attributes:
        rows: how many; None: that can't be told.
        says: what was assumed, or what is wrong.
        where: which rows it speaks of.
        never: no number of rows would do.
    """

    rows: int | None
    says: str
    where: Slice = EVERYONE
    never: bool = False

    def standing(self, has: int) -> Standing:
        """Whether so many rows do."""
        if self.rows is not None:
            return Standing.ENOUGH if self.rows <= has else Standing.SHORT
        return Standing.NEVER if self.never else Standing.SHORT


ONE_CLUSTER = Plan(rows=None, says="all rows are of one cluster, which says nothing about others")
NO_INTERVAL = Plan(rows=None, says="no interval keeps such a bound, its end included", never=True)
