"""A model that plays a script instead of asking an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.contenders.base import Ring
from governance.contenders.closed import Closed
from governance.modelconfig import ScriptedModel
from governance.record import ModelEntry
from governance.store import code_digest

SOURCE = "a script in the config"
NOTE = "plays fixed answers: its figures say nothing of any model"


class Scripted(Closed):
    """A model that plays a script; see `governance.backends.scripted`."""

    def __init__(self, name: str, config: ScriptedModel, ring: Ring) -> None:
        super().__init__(name, config, ring)
        self.config = config

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            **self._asked_alike(),
            "script": self.config.model_dump(mode="json", include={"answers", "failing", "delay"}),
            "code": code_digest("governance.backends", "governance.privacy"),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.scripted import Script, ScriptedBackend

        config, settings = self.config, self._asking()
        for unused in ("api_key", "timeout", "max_retries"):
            settings.pop(unused)
        cache = self._cache()
        script = Script(config.answers, config.failing, config.delay)
        return ScriptedBackend(script, cache=cache, owned=(cache,), **settings)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or "scripted answers",
            source=SOURCE,
            licence=config.licence,
            note="; ".join(filter(None, (config.note, NOTE))),
            settings={"prompt": config.prompt, "answers": len(config.answers), **self._shown(facts)},
        )
