"""A metric of the user's own: one class, named in the config, that scores one row's answer at a time."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluators.tasks.base import Item, Reply, Scores, mean, share
from governance.errors import ConfigError
from governance.measure import Unit

FAMILY = "own"
_MOST = 1e300  # finite, and its sums too


class Metric(Protocol):
    """What the class must have; a dataclass's fields are its settings.

    `name` (letters, digits, underscores) is what the record calls it, behind "own.". Optional: `unit`, one of
    `governance.measure.Unit`'s values, "score" otherwise; "rate" for scores of 0 and 1. `better`: "higher" (the
    default), "lower" or None. `reach`: the least and the most that it can be, (0, 1) otherwise.
    """

    name: str

    def score(self, item: Item, reply: Reply, language: str) -> float | None:
        """One row's score; None: not defined for it."""
        ...


@dataclass(frozen=True)
class Own:
    """The metric as the sheet calls it."""

    metric: Metric

    def __call__(self, items: Sequence[Item], replies: Sequence[Reply], *, language: str) -> Scores:
        """The metric of answered rows.

        Raises:
            ConfigError: the class raised, or answered with something else than a number. No message quotes a row.
        """
        said = type(self.metric).__name__
        try:
            values = [self._score(item, reply, language) for item, reply in zip(items, replies, strict=True)]
        except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
            raise ConfigError(f"metric '{said}': score raised {type(error).__name__}") from None
        if not all(value is None or (isinstance(value, int | float) and abs(value) <= _MOST) for value in values):
            raise ConfigError(f"metric '{said}': score answered with something that is neither a number nor None")
        name, method = f"{FAMILY}.{self.metric.name}", f"the user's own: {said}"
        better = getattr(self.metric, "better", "higher")
        if self.unit is Unit.RATE:
            if not {0.0, 1.0} >= {float(value) for value in values if value is not None}:
                raise ConfigError(f"metric '{said}': unit 'rate' wants scores of 0 and 1")
            return share(
                name, [None if value is None else bool(value) for value in values], method=method, better=better
            )
        found = mean(name, values, method=method, unit=self.unit, better=better, reach=self.reach)
        low, high = self.reach
        if any(v is not None and ((low is not None and v < low) or (high is not None and v > high)) for v in values):
            raise ConfigError(f"metric '{said}': a score lies outside its reach")
        return found

    def _score(self, item: Item, reply: Reply, language: str) -> float | None:
        """One row's score. The class gets copies: what it changed would change other metrics' figures."""
        scores = None if reply.scores is None else reply.scores.copy()
        return self.metric.score(Item(dict(item.texts), dict(item.lists)), Reply(reply.words, scores), language)

    @property
    def unit(self) -> Unit:
        """What it counts."""
        return Unit(getattr(self.metric, "unit", "score"))

    @property
    def reach(self) -> tuple[float | None, float | None]:
        """The least and the most that it can be."""
        low, high = getattr(self.metric, "reach", (0.0, 1.0))
        # So that NaN is refused too.
        if not (-math.inf if low is None else low) < (math.inf if high is None else high):
            raise ValueError("reach")
        return low, high


def load_own(name: str, settings: Mapping[str, Any]) -> Own:
    """A metric by the name of its class, "module:Class". This runs the module.

    Raises:
        ConfigError: there is no such class, or it isn't a metric, or its settings don't fit.
    """
    module, _, called = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), called, None)
    except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
        raise ConfigError(f"name: importing module '{module}' raised {type(error).__name__}") from None
    if not isinstance(made, type):
        raise ConfigError(f"name: module '{module}' has no class '{called}'")
    try:
        built = made(**settings)
    except Exception as error:  # noqa: BLE001 - likewise
        told = f": {error}" if isinstance(error, TypeError | ValueError) else f" raised {type(error).__name__}"
        raise ConfigError(f"metric '{called}': making it{told}") from None
    return own(built)


def own(made: object) -> Own:
    """An object of the user's class, looked at before anything is paid for.

    Raises:
        ConfigError: it lacks what `Metric` demands.
    """
    said, name = type(made).__name__, getattr(made, "name", None)
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise ConfigError(f"metric '{said}': expected a `name` of letters, digits and underscores")
    if not callable(getattr(made, "score", None)):
        raise ConfigError(f"metric '{said}': expected a method `score(item, reply, language)`")
    if getattr(made, "better", "higher") not in ("higher", "lower", None):
        raise ConfigError(f"metric '{said}': better: expected 'higher', 'lower' or None")
    found = Own(made)  # type: ignore[arg-type]
    try:
        found.unit, found.reach  # noqa: B018 - read for what they raise
    except (ValueError, TypeError):
        known = ", ".join(unit.value for unit in Unit)
        raise ConfigError(f"metric '{said}': unit: expected one of {known}; reach: expected two numbers") from None
    return found
