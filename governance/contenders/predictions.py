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


class FromFile(Contender):
    """What another system answered, from the file that it wrote.

    Attributes:
        title: of one that the config gives none.
        note: likewise.
    """

    trained = False
    title = "answers of another system"
    note = "known by a file of its answers alone; nothing was asked of it"

    def __init__(self, name: str, config: PredictionsModel, ring: Ring, found: Mapping[str, int]) -> None:
        """Get ready.

        Args:
            name: in the config.
            config: its settings.
            ring: what all are given.
            found: what was counted in the file, "rows" among it.
        """
        super().__init__(name, ring)
        self.config, self._found = config, found

    @property
    @override
    def protocol(self) -> str:
        return "file"

    @override
    def prepare(self) -> None:
        """Tell what was counted in the file beside its rows."""
        told = [f"{n} {what}" for what, n in self._found.items() if what != "rows"]
        if told:
            self.ring.progress.say(f"  {self.name}: of {self._found['rows']} rows in the file: {', '.join(told)}")

    @override
    def identity(self) -> Mapping[str, object]:
        return {"file": self.ring.base[self.name][1], "columns": self.config.columns}

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or self.title,
            source=public_name(config.path),
            licence=config.licence,
            note=config.note or self.note,
            settings={"rows in the file" if what == "rows" else what: n for what, n in self._found.items()},
            digest=self.ring.base[self.name][1],
        )


class Predictions(FromFile):
    """Labels, or scores of classes."""

    title = "predictions of another system"
    note = "known by a file of its predictions alone; nothing was asked of it"

    def __init__(self, name: str, config: PredictionsModel, ring: Ring) -> None:
        self.given = ring.given[name]
        super().__init__(name, config, ring, self.given.found)

    @override
    def identity(self) -> Mapping[str, object]:
        code = code_digest("governance.backends.predictions")
        return {**super().identity(), "matching": self.given.matching, "code": code}

    @override
    def open(self) -> Backend:
        return PredictionsBackend(self.given)
