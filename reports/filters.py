"""Controls by model and result, chosen by radio buttons and hidden by CSS alone: the page runs no script.

A browser that doesn't know `:has()` shows every control, as does paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from governance.policy import Status
from reports.findings import ControlView
from reports.view import ModelView, View

ANY = "a"
LEAST = 4
"""Controls from which a filter is worth its room."""
MANY = 12
"""Models whose marks a control's line has room for; of more it tells counts."""
_LETTERS = {Status.FAIL: "f", Status.UNPROVEN: "u", Status.PASS: "p"}


@dataclass(frozen=True)
class Filter:
    """Which controls each choice shows.

    Attributes:
        view: the judged record.
    """

    view: View

    @property
    def shown(self) -> bool:
        """Whether there is enough to choose from."""
        return len(self.view.controls) >= LEAST

    @property
    def models(self) -> list[ModelView]:
        """Models to choose from; none where there is one alone."""
        return self.view.charted if len(self.view.models) > 1 else []

    @property
    def statuses(self) -> list[tuple[str, Status]]:
        """Results to choose from, by their letter."""
        return [(letter, status) for status, letter in _LETTERS.items()]

    def classes(self, control: ControlView) -> str:
        """What a control comes to for each model, as classes: `f2` fails for the model of mark 2, `fa` for any."""
        found = dict.fromkeys(f"{_LETTERS[status]}{ANY}" for status in control.statuses.values())
        marks = ((self.view.model(name), status) for name, status in control.statuses.items())
        found |= dict.fromkeys(f"{_LETTERS[status]}{model.mark}" for model, status in marks if model)
        return " ".join(found)

    def tally(self, control: ControlView) -> list[tuple[Status, int]]:
        """How many of the other models come to what; empty where their marks have room."""
        if len(self.view.models) <= MANY:
            return []
        candidate = self.view.candidate.name
        others = [status for name, status in control.statuses.items() if name != candidate]
        return [(status, others.count(status)) for status in _LETTERS if status in others]

    @cached_property
    def css(self) -> str:
        """The rules; made of letters and numbers of our own alone."""
        return "\n".join(self._rules())

    def _rules(self) -> Iterator[str]:
        held = {name for control in self.view.controls for name in self.classes(control).split()}
        for place in (ANY, *(str(model.mark) for model in self.models)):
            chosen = f"#controls:has(#fm-{place}:checked)" if self.models else "#controls"
            of_model = [f"{letter}{place}" for letter in _LETTERS.values()]
            if place != ANY:
                yield f"{chosen} .evidence tr[class]:not(.m{place}){{display:none}}"
                yield f"{chosen} .control:not(:is({','.join('.' + name for name in of_model)})){{display:none}}"
                if not held & set(of_model):
                    yield f"{chosen} .nothing{{display:block}}"
            for letter, name in zip(_LETTERS.values(), of_model, strict=True):
                both = f"{chosen}:has(#fs-{letter}:checked)"
                yield f"{both} .control:not(.{name}){{display:none}}"
                if name not in held:
                    yield f"{both} .nothing{{display:block}}"
