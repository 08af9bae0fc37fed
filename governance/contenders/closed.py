"""What all models behind an API have in common, whoever their vendor."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from typing_extensions import override

from governance.atrest import record_key
from governance.backends.limits import Limits
from governance.contenders.base import Contender, Ring
from governance.modelconfig import ClosedModel, OpenAIModel

if TYPE_CHECKING:
    from governance.backends.cache import AnswerCache


class Closed(Contender):
    """A model behind an API."""

    trained = False

    def __init__(self, name: str, config: ClosedModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.closed = config

    @property
    @override
    def protocol(self) -> str:
        return "written"

    @override
    def prepare(self) -> None:
        """Nothing is trained here."""

    def _api_key(self) -> SecretStr | None:
        return SecretStr(os.environ[self.closed.api_key_env]) if self.closed.api_key_env else None

    def _cache(self) -> AnswerCache:
        from governance.backends.cache import AnswerCache

        return AnswerCache(self.ring.store.root / "answers.sqlite", secret=record_key())

    def _asked_alike(self) -> Mapping[str, object]:
        """What its answers depend on, whoever the vendor is."""
        return {
            "model": self.closed.model,
            "endpoint": self.closed.base_url,
            "prompt": self.ring.prompts[self.name].digest(),
            "max_tokens": self.closed.max_tokens,
            # Rows that a budget left out are asked once it is raised.
            **({} if self.closed.budget is None else {"budget": self.closed.budget}),
            **_reading(self.closed),
        }

    def _asking(self) -> dict[str, Any]:
        """What every backend is told."""
        config, price = self.closed, self.closed.price_per_million_tokens
        return {
            "api_key": self._api_key(),
            "prompt": self.ring.prompts[self.name],
            "gate": self.ring.gate,
            "concurrency": config.concurrency,
            "timeout": config.timeout,
            "max_retries": config.max_retries,
            "max_tokens": config.max_tokens,
            "limits": Limits(
                price=(price.read, price.written) if price else None,
                budget=config.budget,
                requests_per_minute=config.requests_per_minute,
                tokens_per_minute=config.tokens_per_minute,
            ),
        }

    def _shown(self, facts: Mapping[str, Any]) -> dict[str, str | int | float | None]:
        """Settings of the limits that were kept, what was spent under them, and how answers are read."""
        config = self.closed
        limits = {name: getattr(config, name) for name in ("requests_per_minute", "tokens_per_minute", "budget")}
        shown: dict[str, str | int | float | None] = {}
        if self.wordings:
            shown["other_prompts"] = ", ".join(one.prompt.name for one in self.wordings)
        shown |= {name: value for name, value in limits.items() if value is not None}
        if config.budget is not None and facts.get("spent") is not None:
            shown["spent"] = round(facts["spent"], 6)
        shown |= _reading(config)
        if facts.get("unscored"):
            shown["answers_without_scores"] = facts["unscored"]
        return shown


def _reading(config: ClosedModel) -> dict[str, bool | int]:
    """Settings of what an endpoint is asked for beside words, where it is."""
    asked: dict[str, bool | int] = {"structured": True} if config.structured else {}
    if isinstance(config, OpenAIModel) and config.logprobs:
        asked["top_logprobs"] = config.top_logprobs
    return asked


def noted(note: str | None, facts: Mapping[str, Any]) -> str | None:
    """A model's note, and that it changed under way if it did.

    >>> noted("a trial", {"versions": {"m-1": 90, "m-2": 10}})
    'a trial; its endpoint reported 2 versions in one run: m-1 (90 messages), m-2 (10 messages)'
    """
    versions = facts.get("versions") or {}
    if len(versions) < 2:
        return note
    listed = ", ".join(f"{version} ({n} messages)" for version, n in versions.items())
    return "; ".join(filter(None, (note, f"its endpoint reported {len(versions)} versions in one run: {listed}")))


def host_of(url: str) -> str:
    """Scheme and host of an endpoint, without credentials or query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
