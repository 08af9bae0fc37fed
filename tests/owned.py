"""A metric of a user's own, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evaluators.tasks.base import Item, Reply


@dataclass
class Long:
    """Whether an answer is long."""

    least: int = 5
    name: ClassVar[str] = "long"

    def score(self, item: Item, reply: Reply, language: str) -> float:
        return float(len(reply.words or "") >= self.least)
