"""Presidio's engine, set up so that it is quiet, offline and fails closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from governance.privacy.overlaps import Find
from governance.privacy.policy import LANGUAGES, Language, ScrubPolicy
from governance.privacy.quiet import light_import, silence

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine


class Analyser:
    """Recognisers of one policy over one text or many; not safe for use by two threads at once.

    Raises:
        ConfigError: a model that the policy names is not installed.
    """

    def __init__(self, policy: ScrubPolicy) -> None:
        policy.require_models()
        silence()
        self._policy = policy
        with light_import():
            self._engine = _build(policy)

    def analyse(self, texts: Sequence[str], language: Language) -> list[list[Find]]:
        """Finds at or above the policy's thresholds, one list per folded text, overlaps included."""
        artefacts = self._engine.nlp_engine.process_batch(texts, language)
        return [self._finds(text, language, artefact) for text, (_, artefact) in zip(texts, artefacts, strict=True)]

    def _finds(self, text: str, language: Language, artefacts: Any) -> list[Find]:
        results = self._engine.analyze(text, language, nlp_artifacts=artefacts, score_threshold=0.0)
        finds = (Find(result.entity_type, result.start, result.end, result.score) for result in results)
        return sorted(
            (find for find in finds if find.score >= self._policy.entities[find.entity].threshold),
            key=lambda find: (find.start, find.end, find.entity, find.score),
        )


def _build(policy: ScrubPolicy) -> AnalyzerEngine:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    from governance.privacy.recognisers import NameReader, NoContext, recognisers

    registry = RecognizerRegistry(
        recognizers=[found for language in LANGUAGES for found in recognisers(policy, language)],
        supported_languages=list(LANGUAGES),
    )
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=NameReader(policy.ner),
        supported_languages=list(LANGUAGES),
        context_aware_enhancer=NoContext(),
    )
