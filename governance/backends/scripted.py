"""A backend that plays a script: fixed answers, faults and delays, for tests of whatever asks models."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from governance.backends.base import Answer, Capability
from governance.dataset import ModelText

Step = str | Answer | Exception
"""A label, a whole answer (a failure, say), or an exception to raise: a backend that breaks."""


@dataclass
class ScriptedBackend:
    """Plays `script` row by row, over and over, or asks a rule. Implements `Backend`.

    >>> from governance.dataset import SyntheticText
    >>> backend = ScriptedBackend(["yes", Answer(failure="HTTP 500 after 5 tries")])
    >>> [answer.label for answer in backend.classify([SyntheticText("a")] * 3)]
    ['yes', None, 'yes']

    Attributes:
        script: steps in turn, or what a text is answered with.
        capabilities: what it claims to be able to do.
        delay: seconds that each row takes, really.
        asked: all texts so far; sealed, so safe to print.
        closed: how often it was closed.
    """

    script: Sequence[Step] | Callable[[str], Step]
    capabilities: frozenset[Capability] = frozenset({Capability.CLASSIFY})
    delay: float = 0.0
    asked: list[ModelText] = field(default_factory=list)
    closed: int = 0

    def __post_init__(self) -> None:
        if not callable(self.script) and not self.script:
            raise ValueError("script: expected at least one step")
        self._steps = None if callable(self.script) else itertools.cycle(self.script)

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """One answer per text, in order.

        Raises:
            Exception: whatever the script says.
        """
        return [self._play(text) for text in texts]

    def close(self) -> None:
        """Counts that it was called."""
        self.closed += 1

    def _play(self, text: ModelText) -> Answer:
        self.asked.append(text)
        if self.delay:
            time.sleep(self.delay)
        step = self.script(text.text) if callable(self.script) else next(self._steps or iter(()))
        if isinstance(step, Exception):
            raise step
        return Answer(label=step, seconds=self.delay) if isinstance(step, str) else step
