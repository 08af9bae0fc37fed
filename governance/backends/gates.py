"""The scrubber as those who ask models see it: one text, or many at once, and what it can't vouch for told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from governance.errors import ScrubError

if TYPE_CHECKING:
    from governance.privacy.scrubber import Scrubber

Direction = Literal["prompt", "output"]
Passed: TypeAlias = tuple[str, dict[str, int]]
"""A scrubbed text, and pieces replaced by entity."""
Gate = Callable[[str, Direction], Passed]
"""The scrubber for one text. Raises `ScrubError` where it can't vouch for it."""


class ScrubGate:
    """A scrubber as a `Gate` that also takes many texts at once, which its models read faster than one by one."""

    def __init__(self, scrubber: Callable[[], Scrubber]) -> None:
        """Nothing is loaded yet.

        Args:
            scrubber: gives the scrubber, each time the same one.
        """
        self._scrubber = scrubber

    def __call__(self, text: str, direction: Direction) -> Passed:
        """One text; see `Gate`."""
        return self._scrubber().scrub_one(text, direction)

    def many(self, texts: Sequence[str], direction: Direction) -> list[Passed | None]:
        """What each text becomes, in order, as if they came one by one; None: the scrubber can't vouch for it."""
        if not texts:
            return []
        try:
            return [(one.text.text, dict(one.counts)) for one in self._scrubber().scrub_many(texts, direction)]
        except ScrubError:
            if len(texts) == 1:
                return [None]
        # It refuses a batch for one text's sake, without saying which: halves leave that one alone.
        middle = len(texts) // 2
        return [*self.many(texts[:middle], direction), *self.many(texts[middle:], direction)]


def through(gate: Gate, texts: Sequence[str], direction: Direction) -> list[Passed | None]:
    """What each text becomes, in order; None: the scrubber can't vouch for it."""
    return (
        gate.many(texts, direction) if isinstance(gate, ScrubGate) else [_one(gate, text, direction) for text in texts]
    )


def _one(gate: Gate, text: str, direction: Direction) -> Passed | None:
    try:
        return gate(text, direction)
    except ScrubError:
        return None
