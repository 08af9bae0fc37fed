"""A model behind an API, and the local server that may stand in for a vendor's."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from typing_extensions import override

from governance.backends.base import Backend
from governance.config import OpenAIModel
from governance.contenders.base import Contender, Ring, public_name
from governance.files import digest_of
from governance.record import ModelEntry
from governance.store import code_digest, versions

if TYPE_CHECKING:
    from governance.backends.launch import Server


class OpenAI(Contender):
    """A model behind an OpenAI-compatible API: a vendor's, or one on loopback that stands in for it."""

    trained = False

    def __init__(self, name: str, config: OpenAIModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

    @override
    def prepare(self) -> None:
        """A closed model is not trained here."""

    @override
    def identity(self) -> Mapping[str, object]:
        launch = self.config.launch
        return {
            "model": self.config.model,
            "endpoint": self.config.base_url,
            "launched": [launch.server, self.ring.base[self.name][1]] if launch else None,
            "prompt": self.ring.prompts[self.name].bind(self.ring.labels).digest(),
            "max_tokens": self.config.max_tokens,
            "code": code_digest("governance.backends", "governance.privacy"),
            "versions": dict(versions("openai", "transformers") if launch else versions("openai")),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.api import OpenAIBackend
        from governance.backends.cache import AnswerCache

        config, server = self.config, self._launch()
        cache = AnswerCache(self.ring.store.root / "answers.sqlite")
        return OpenAIBackend(
            base_url=server.base_url if server else config.base_url or "",
            identity=f"launched:{digest_of(self.identity()['launched'])}" if server else None,
            model=server.served_model if server else config.model or "",
            api_key=SecretStr(os.environ[config.api_key_env]) if config.api_key_env else None,
            prompt=self.ring.prompts[self.name],
            labels=self.ring.labels,
            gate=self.ring.gate,
            cache=cache,
            concurrency=config.concurrency,
            timeout=config.timeout,
            max_retries=config.max_retries,
            max_tokens=config.max_tokens,
            seed=self.ring.seed,
            owned=(cache, server) if server else (cache,),
        )

    def _launch(self) -> Server | None:
        """Start the server that stands in for a vendor, converting its weights the first time."""
        from governance.backends.gguf import convert
        from governance.backends.launch import Server, transformers_serve

        launch = self.config.launch
        if launch is None:
            return None
        base, digest = self.ring.base[self.name]
        progress = self.ring.progress
        if base.is_file():
            folder = self.ring.store.root / f"model-{digest[-16:]}" / base.stem
            with progress.stage(f"convert {base.name} for {launch.server}"):
                base = convert(base, folder)
        with progress.stage(f"start {launch.server} for {self.name}"):
            return Server(transformers_serve(base), timeout=launch.timeout)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config, launch = self.config, self.config.launch
        return ModelEntry(
            name=self.name,
            kind=config.kind,
            title=config.title or "model behind an API",
            source=f"{public_name(launch.model)} through {launch.server}" if launch else host_of(config.base_url or ""),
            licence=config.licence,
            note=config.note or ("on loopback; stands in for a vendor's model" if launch else None),
            trained=False,
            weighed_on=weighed_on,
            settings={
                "model": facts.get("reported_model") or config.model,
                "prompt": config.prompt,
                "temperature": 0.0,
                "max_tokens": config.max_tokens,
                "concurrency": config.concurrency,
            },
            digest=self.ring.base[self.name][1] if launch else None,
            capabilities=tuple(facts["capabilities"]),
            remote=True,
            sent=facts.get("sent", {}),
        )


def host_of(url: str) -> str:
    """Scheme and host of an endpoint, without credentials or query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
