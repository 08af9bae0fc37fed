"""Which words a readable model goes by, and whether it goes by the traces of personal data.

A weight on a scrubber's placeholder means that the model has learnt from the fact that somebody was named,
which no shop would want to decide by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from evaluators.base import Probe, Setting, Subject
from governance.backends.base import Capability, Explains, WordWeight
from governance.measure import Fact, NotMeasured, Outcome, Slice, Unit
from governance.privacy.entities import ENTITIES

# With an optional counter, as a scrubber writes that tells people apart: [PERSON_2].
_BRACKETED = re.compile(r"\[([^\[\]]+?)(?:_\d+)?\]")


@dataclass(frozen=True)
class WordWeights:
    """The weightiest words of each class, for models whose weights can be read.

    Attributes:
        per_class: words listed for each class.
        placeholders: what the scrubber writes in brackets instead of personal data, in any case. Only
            bracketed words count: a customer may well write "person".
    """

    per_class: int = 15
    placeholders: tuple[str, ...] = tuple(ENTITIES)

    def __post_init__(self) -> None:
        if self.per_class < 1:
            raise ValueError(f"per_class: expected at least 1, got {self.per_class}")

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: weights are read, not asked for."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:  # noqa: ARG002 - the protocol's
        """The words of each model that has readable weights, and how many of them are placeholders."""
        return [outcome for subject in subjects for outcome in self._explain(subject)]

    def _explain(self, subject: Subject) -> list[Outcome]:
        if Capability.WEIGHTS not in subject.capabilities or subject.model is None:
            metrics = ("explanation.weight", "explanation.words", "explanation.placeholders")
            return [NotMeasured(metric=metric, reason="no readable weights", model=subject.name) for metric in metrics]
        model = subject.model()
        try:
            weights = cast("Explains", model).weights(self.per_class)
        finally:
            model.close()
        outcomes: list[Outcome] = [_fact(subject, weight) for weight in weights]
        words = {weight.word for weight in weights}
        found = sum(self._is_placeholder(word) for word in words)
        method = f"distinct words among the {self.per_class} weightiest of each class"
        outcomes += [
            Fact(metric="explanation.words", value=len(words), unit=Unit.COUNT, method=method, model=subject.name),
            Fact(
                metric="explanation.placeholders",
                value=found,
                unit=Unit.COUNT,
                method=f"{method} that hold a scrubber's placeholder",
                model=subject.name,
            ),
        ]
        return outcomes

    def _is_placeholder(self, word: str) -> bool:
        known = {name.casefold() for name in self.placeholders}
        return any(match.group(1).casefold() in known for match in _BRACKETED.finditer(word))


def _fact(subject: Subject, weight: WordWeight) -> Fact:
    return Fact(
        metric="explanation.weight",
        value=weight.weight,
        unit=Unit.WEIGHT,
        method="log-odds per unit of the word's feature",
        model=subject.name,
        slice=Slice.of({"class": weight.label, "word": weight.word}),
    )
