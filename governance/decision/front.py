"""The Pareto set where figures have intervals: on it, off it, or not to be told.

A spread says how good a model may be on one criterion; more is better. What isn't known may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Spread:
    """How good a model is on one criterion; more is better.

    Attributes:
        value: what was measured.
        low: the least that the evidence allows; None: it sets no end.
        high: the most; None likewise.
        level: confidence of low and high; 1 where they are exact.
    """

    value: float
    low: float | None
    high: float | None
    level: float

    @property
    def exact(self) -> bool:
        """Whether it can be one number only."""
        return self.low == self.high == self.value


class Told(StrEnum):
    """What the evidence says of a claim."""

    YES = "yes"
    OPEN = "open"
    NO = "no"


def dominates(one: Sequence[Spread | None], other: Sequence[Spread | None]) -> Told:
    """Whether a model is at least as good on every criterion, and better on one.

    Args:
        one: a spread per criterion; None: not known.
        other: the same of the other model.

    Returns:
        YES: wherever in their intervals the figures lie. OPEN: somewhere in them. NO: nowhere.
    """
    surely = [(_ends(a)[0], _ends(b)[1]) for a, b in zip(one, other, strict=True)]
    if all(a >= b for a, b in surely) and any(a > b for a, b in surely):
        return Told.YES
    perhaps = [(_ends(a)[1], _ends(b)[0]) for a, b in zip(one, other, strict=True)]
    return Told.OPEN if all(a >= b for a, b in perhaps) and any(a > b for a, b in perhaps) else Told.NO


def _ends(spread: Spread | None) -> tuple[float, float]:
    if spread is None:
        return -math.inf, math.inf
    return -math.inf if spread.low is None else spread.low, math.inf if spread.high is None else spread.high


def front(
    models: Mapping[str, Mapping[str, Spread | None]],
) -> tuple[dict[str, Told], dict[str, dict[str, Told]]]:
    """Which models nobody dominates, and by whom the others are.

    Args:
        models: model -> criterion -> spread; all have the same criteria. One that is known of none says nothing.

    Returns:
        Model -> whether it is on the front: NO where one other surely dominates it, YES where none possibly does. And
        model -> the others that surely or possibly dominate it.
    """
    names = [name for name in _criteria(models) if any(spreads[name] is not None for spreads in models.values())]
    rows = {model: [spreads[name] for name in names] for model, spreads in models.items()}
    beaten: dict[str, dict[str, Told]] = {
        model: {
            other: found
            for other, its in rows.items()
            if other != model and (found := dominates(its, mine)) is not Told.NO
        }
        for model, mine in rows.items()
    }
    on = {model: Told.NO if Told.YES in by.values() else Told.OPEN if by else Told.YES for model, by in beaten.items()}
    return on, beaten


def _criteria(models: Mapping[str, Mapping[str, Spread | None]]) -> list[str]:
    return list(next(iter(models.values()), {}))
