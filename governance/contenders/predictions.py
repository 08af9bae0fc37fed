"""A system that is known by a file of its predictions alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.backends.predictions import PredictionsBackend
from governance.contenders.base import Contender, Ring, public_name
from governance.modelconfig import PredictionsModel
from governance.record import ModelEntry
from governance.store import code_digest

_NOTE = "known by a file of its predictions alone; nothing was asked of it"


class Predictions(Contender):
    """What another system answered, from the file that it wrote."""

    trained = False

    def __init__(self, name: str, config: PredictionsModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config
        self.given = ring.given[name]

    @property
    @override
    def protocol(self) -> str:
        return "file"

    @override
    def prepare(self) -> None:
        """Tell what was counted in the file beside its rows."""
        told = [f"{n} {what}" for what, n in self.given.found.items() if what != "rows"]
        if told:
            self.ring.progress.say(f"  {self.name}: of {self.given.found['rows']} rows in the file: {', '.join(told)}")

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            "file": self.ring.base[self.name][1],
            "columns": self.config.columns,
            "matching": self.given.matching,
            "code": code_digest("governance.backends.predictions"),
        }

    @override
    def open(self) -> Backend:
        return PredictionsBackend(self.given)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or "predictions of another system",
            source=public_name(config.path),
            licence=config.licence,
            note=config.note or _NOTE,
            settings={"rows in the file" if what == "rows" else what: n for what, n in self.given.found.items()},
            digest=self.ring.base[self.name][1],
        )
