"""One configured model on its way to being weighed: trained or started if need be, opened, described."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from governance.config import ClassifierModel, OpenAIModel, TfidfModel
from governance.contenders.base import Contender, Ring, facts_of, public_name
from governance.contenders.classifier import Classifier
from governance.contenders.openai import OpenAI
from governance.contenders.tfidf import Tfidf

__all__ = ["Contender", "Ring", "contender", "facts_of", "public_name"]

KINDS: dict[type, Callable[[str, Any, Ring], Contender]] = {
    TfidfModel: Tfidf,
    ClassifierModel: Classifier,
    OpenAIModel: OpenAI,
}


def contender(name: str, config: Any, ring: Ring) -> Contender:
    """The contender for a model of the config."""
    return KINDS[type(config)](name, config, ring)
