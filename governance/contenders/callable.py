"""A Python function of the config's author, run in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.contenders.base import Contender, Ring
from governance.modelconfig import CallableModel
from governance.record import ModelEntry
from governance.store import code_digest

_NOTE = "code of the config's author, run in the audit's process; what it sends elsewhere is not counted"


class Function(Contender):
    """A function that the config names and vouches for."""

    trained = False

    def __init__(self, name: str, config: CallableModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

    @property
    @override
    def protocol(self) -> str:
        return "function"

    @override
    def prepare(self) -> None:
        """Nothing: it is there already."""

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            "function": self.config.function,
            "source": self.ring.base[self.name][1],
            "batch": self.config.batch,
            "scores": self.config.scores,
            "code": code_digest("governance.backends.callable"),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.callable import CallableBackend, load_function

        function = load_function(self.config.function)
        return CallableBackend(function, self.ring.labels, batch=self.config.batch, scores=self.config.scores)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        return ModelEntry(
            **self._told(self.config, weighed_on, facts),
            title=self.config.title or "a Python function",
            source=self.config.function,
            licence=self.config.licence,
            note=self.config.note or _NOTE,
            settings={"batch": self.config.batch, "scores": self.config.scores},
            digest=self.ring.base[self.name][1],
        )
