"""One configured model on its way to being weighed: trained or started if need be, opened, described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from governance.contenders.anthropic import Anthropic
from governance.contenders.base import Contender, Ring, Trainable, facts_of, public_name
from governance.contenders.callable import Function
from governance.contenders.classifier import Classifier
from governance.contenders.mitigated import Mitigated
from governance.contenders.openai import OpenAI
from governance.contenders.predictions import Predictions
from governance.contenders.tfidf import Tfidf
from governance.modelconfig import (
    AnthropicModel,
    CallableModel,
    ClassifierModel,
    MitigatedModel,
    OpenAIModel,
    PredictionsModel,
    TfidfModel,
)

__all__ = ["Contender", "Ring", "contenders", "facts_of", "public_name"]

KINDS: dict[type, Callable[[str, Any, Ring], Contender]] = {
    TfidfModel: Tfidf,
    ClassifierModel: Classifier,
    OpenAIModel: OpenAI,
    AnthropicModel: Anthropic,
    PredictionsModel: Predictions,
    CallableModel: Function,
}


def contenders(models: Mapping[str, Any], ring: Ring) -> list[Contender]:
    """The contenders for the models of a config, in its order; a mitigated one shares the one that it stands on."""
    made = {
        name: KINDS[type(config)](name, config, ring)
        for name, config in models.items()
        if not isinstance(config, MitigatedModel)
    }
    return [made[name] if name in made else _mitigated(name, config, made, ring) for name, config in models.items()]


def _mitigated(name: str, config: MitigatedModel, made: Mapping[str, Contender], ring: Ring) -> Mitigated:
    base = made[config.of]
    if not isinstance(base, Trainable):  # `prepare` refused it with a better message
        raise TypeError(f"models.{name}.of: {config.of} is not trained here")
    return Mitigated(name, config, ring, base)
