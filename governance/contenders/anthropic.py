"""A model behind Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.contenders.base import Ring
from governance.contenders.closed import Closed, host_of, noted
from governance.modelconfig import AnthropicModel
from governance.record import ModelEntry
from governance.store import code_digest, versions


class Anthropic(Closed):
    """A model behind Anthropic's Messages API: the vendor's own, or a gateway that speaks it."""

    def __init__(self, name: str, config: AnthropicModel, ring: Ring) -> None:
        super().__init__(name, config, ring)
        self.config = config

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            **self._asked_alike(),
            "api": self.config.kind,
            "thinking": self.config.thinking,
            "code": code_digest("governance.backends", "governance.privacy"),
            "versions": dict(versions("anthropic")),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.anthropic import VENDOR, AnthropicBackend

        settings = self._asking()  # whatever may be wrong with them is found before a file is opened
        cache = self._cache()
        return AnthropicBackend(
            model=self.config.model,
            base_url=self.config.base_url or VENDOR,
            thinking=self.config.thinking,
            structured=self.config.structured,
            cache=cache,
            owned=(cache,),
            **settings,
        )

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        from governance.backends.anthropic import VENDOR

        config = self.config
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or "model behind Anthropic's API",
            source=host_of(config.base_url or VENDOR),
            licence=config.licence,
            note=noted(config.note, facts),
            settings={
                "model": facts.get("reported_model") or config.model,
                "prompt": config.prompt,
                "max_tokens": config.max_tokens,
                "concurrency": config.concurrency,
                **({"thinking": config.thinking} if config.thinking else {}),
                **self._shown(facts),
            },
            remote=True,
            sent=facts.get("sent", {}),
        )
