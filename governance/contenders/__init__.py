"""One configured model on its way to being weighed: trained or started if need be, opened, described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from governance.contenders.anthropic import Anthropic
from governance.contenders.base import Contender, Ring, Trainable, facts_of, public_name
from governance.contenders.callable import Function
from governance.contenders.classifier import Classifier
from governance.contenders.hf import HF
from governance.contenders.mitigated import Mitigated
from governance.contenders.openai import OpenAI
from governance.contenders.predictions import Predictions
from governance.contenders.scripted import Scripted
from governance.contenders.sklearn import Sklearn
from governance.contenders.tfidf import Tfidf
from governance.contenders.variant import Distilled, Int8
from governance.modelconfig import (
    AnthropicModel,
    CallableModel,
    ClassifierModel,
    HFModel,
    MitigatedModel,
    OpenAIModel,
    PredictionsModel,
    ScriptedModel,
    SklearnModel,
    TfidfModel,
    VariantModel,
)

__all__ = ["Contender", "Ring", "contenders", "facts_of", "public_name"]

KINDS: dict[type, Callable[[str, Any, Ring], Contender]] = {
    TfidfModel: Tfidf,
    ClassifierModel: Classifier,
    OpenAIModel: OpenAI,
    AnthropicModel: Anthropic,
    ScriptedModel: Scripted,
    PredictionsModel: Predictions,
    CallableModel: Function,
    HFModel: HF,
    SklearnModel: Sklearn,
}


def contenders(models: Mapping[str, Any], ring: Ring) -> list[Contender]:
    """The contenders for the models of a config, in its order; one that is made from another shares it."""
    fills = any(getattr(config, "placeholders", "kept") == "filled" for config in models.values())
    rings = {"kept": ring, "filled": ring.with_filled() if fills else ring}
    made = {
        name: KINDS[type(config)](name, config, rings[getattr(config, "placeholders", "kept")])
        for name, config in models.items()
        if not isinstance(config, MitigatedModel | VariantModel)
    }
    return [made[name] if name in made else _made_from(name, config, made) for name, config in models.items()]


def _made_from(name: str, config: MitigatedModel | VariantModel, made: Mapping[str, Contender]) -> Contender:
    base = made[config.of]
    if isinstance(base, Trainable) and isinstance(config, MitigatedModel):
        return Mitigated(name, config, base.ring, base)
    if isinstance(base, Trainable) and isinstance(config, VariantModel) and config.by == "distilled":
        return Distilled(name, config, base)
    if isinstance(base, Classifier) and isinstance(config, VariantModel):
        return Int8(name, config, base)
    raise TypeError(f"models.{name}.of: {config.of}")  # `prepare` refused it with a better message
