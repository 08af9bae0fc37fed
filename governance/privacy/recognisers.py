"""Our rules and models as Presidio recognisers, in a Presidio engine. A heavy module: import it on use.

Presidio's own telephone recogniser takes part, through `phonenumbers`. Its patterns don't: they end at `\\b`, which
never matches beside Han characters, some fire on every order number, and a pattern that times out is only a warning.

`Analyser` runs the same recognisers without the engine's loop; a test holds the two to identical results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from governance.privacy.entities import LANGUAGES, Language
from governance.privacy.models import NameModels, chunks
from governance.privacy.overlaps import Find
from governance.privacy.policy import REGIONS, ScrubPolicy
from governance.privacy.quiet import light_import
from governance.privacy.rules import RULES, Finder, all_finds, phones
from governance.privacy.rules.rule import BEFORE, ORDER_NUMBER
from governance.privacy.rules.signs import Signs

with light_import():
    from phonenumbers.phonenumbermatcher import _PATTERN
    from presidio_analyzer import (
        AnalysisExplanation,
        AnalyzerEngine,
        LocalRecognizer,
        RecognizerRegistry,
        RecognizerResult,
    )
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
    from presidio_analyzer.predefined_recognizers.generic.phone_recognizer import PhoneRecognizer

_LEAST_DIGITS = 5
"""No number that `phonenumbers` calls valid has fewer, an international one's country code included."""
_PART, _OVERLAP = 20_000, 200
RANK = "rank"
"""Where a result's metadata says how it was found."""


@dataclass(frozen=True, slots=True, repr=False)
class _Name:
    """A name that a model found, in the shape that Presidio's artefacts have."""

    label_: str
    start_char: int
    end_char: int
    find: Find


class RuleRecogniser(LocalRecognizer):  # type: ignore[misc]
    """All our rules for one entity, as one Presidio recogniser."""

    def __init__(self, entity: str, finders: Sequence[Finder], language: Language) -> None:
        self._rules = tuple(finders)
        super().__init__(supported_entities=[entity], supported_language=language, name=f"{entity} rules")

    def load(self) -> None:
        """Nothing to load: patterns compile when their module is imported."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None) -> list[Any]:  # noqa: ARG002 - Presidio's signature
        """Presidio results for one folded text."""
        return [result(self, find) for find in all_finds(self._rules, Signs(text))]


class NameRecogniser(LocalRecognizer):  # type: ignore[misc]
    """Names that the models read."""

    def __init__(self, language: Language) -> None:
        super().__init__(supported_entities=["PERSON"], supported_language=language, name="PERSON model")

    def load(self) -> None:
        """Nothing to load: the engine reads the text."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None) -> list[Any]:  # noqa: ARG002 - Presidio's signature
        """Presidio results for one folded text.

        Raises:
            ValueError: the text was not read by the engine, which must not pass for a text without names.
        """
        if nlp_artifacts is None:
            raise ValueError("expected the engine's artefacts")
        return [result(self, name.find) for name in nlp_artifacts.entities]


class PhoneRecogniser(PhoneRecognizer):  # type: ignore[misc]
    """Presidio's, skipped where a text can't hold a number, and deaf to order numbers."""

    entity = "PHONE_NUMBER"

    def __init__(self, regions: Sequence[str], language: Language = "en") -> None:
        super().__init__(supported_regions=tuple(regions), supported_language=language)
        self.context: list[str] = []  # the rules for telephone numbers look at what is around them

    def needs(self, signs: Signs) -> bool:
        """Whether some stretch that `phonenumbers` would look at has digits enough."""
        if signs.digits < _LEAST_DIGITS:
            return False
        return any(sum(map(str.isdigit, match[0])) >= _LEAST_DIGITS for match in _PATTERN.finditer(signs.words))

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text, placeholders apart: the numbers in them would only be looked at for nothing."""
        seen = set()
        # By parts: `phonenumbers` gives a text up without a word after 65,535 numbers that are none.
        for offset, part in chunks(signs.words, _PART, _OVERLAP):
            for found in super().analyze(part, ["PHONE_NUMBER"]):
                start, end = offset + found.start, offset + found.end
                shops = ORDER_NUMBER.search(signs.text, max(0, start - BEFORE), start)
                if (start, end) not in seen and not shops and phones.personal(signs.text[start:end]):
                    seen.add((start, end))
                    yield Find(found.entity_type, start, end, found.score)

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None) -> list[Any]:  # noqa: ARG002 - Presidio's signature
        """Presidio results for one folded text."""
        return [result(self, find) for find in all_finds([self], Signs(text))]


class NoContext(ContextAwareEnhancer):  # type: ignore[misc]
    """Leaves scores alone: our rules look for context themselves, in both languages."""

    def __init__(self) -> None:
        super().__init__(
            context_similarity_factor=0,
            min_score_with_context_similarity=0,
            context_prefix_count=0,
            context_suffix_count=0,
        )

    def enhance_using_context(self, text: str, raw_results: list[Any], *_: Any, **__: Any) -> list[Any]:  # noqa: ARG002 - Presidio's signature
        """The results as they are."""
        return raw_results


class NameReader(NlpEngine):  # type: ignore[misc]
    """The models as Presidio's NLP engine: they are all that it is asked for."""

    def __init__(self, models: NameModels) -> None:
        self._models = models

    def load(self) -> None:
        """Nothing to load: the models came loaded."""

    def is_loaded(self) -> bool:
        """Always."""
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """Artefacts of one text; the same as within a batch."""
        return next(artefacts for _, artefacts in self.process_batch([text], language))

    def process_batch(self, texts: Iterable[str], language: str, **_: Any) -> Iterator[tuple[str, NlpArtifacts]]:
        """(text, artefacts) for each text, in order."""
        read = list(texts)
        for text, finds in zip(read, self._models.read(read), strict=True):
            found = [_Name("PERSON", find.start, find.end, find) for find in finds]
            yield (
                text,
                NlpArtifacts(
                    entities=found, tokens=None, tokens_indices=[], lemmas=[], nlp_engine=self, language=language
                ),
            )

    def is_stopword(self, word: str, language: str) -> bool:  # noqa: ARG002 - Presidio's signature
        """Never asked: there are no lemmas."""
        return False

    def is_punct(self, word: str, language: str) -> bool:  # noqa: ARG002 - Presidio's signature
        """Never asked: there are no lemmas."""
        return False

    def get_supported_entities(self) -> list[str]:
        """Names alone."""
        return ["PERSON"]

    def get_supported_languages(self) -> list[str]:
        """Both: stretches of a text are routed by their script."""
        return list(LANGUAGES)


def finders(policy: ScrubPolicy) -> list[Finder]:
    """All that finds without a model what a policy asks for."""
    found = _rules(policy)
    if (phone := policy.entities.get("PHONE_NUMBER")) is not None:
        found.append(PhoneRecogniser(phone.regions or REGIONS))
    return found


def _rules(policy: ScrubPolicy) -> list[Finder]:
    phone = policy.entities.get("PHONE_NUMBER")
    regions = ("", *((phone.regions if phone else None) or REGIONS))
    return [rule for rule in RULES if rule.entity in policy.entities and getattr(rule, "region", "") in regions]


def engine(policy: ScrubPolicy) -> AnalyzerEngine:
    """A Presidio engine with the recognisers and models of a policy: one text at a time."""
    models = NameModels(policy.ner, policy.language, fast=policy.profile == "fast")
    registry = RecognizerRegistry(
        recognizers=[found for language in LANGUAGES for found in _recognisers(policy, language)],
        supported_languages=list(LANGUAGES),
    )
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=NameReader(models),
        supported_languages=list(LANGUAGES),
        context_aware_enhancer=NoContext(),
    )


def _recognisers(policy: ScrubPolicy, language: Language) -> list[Any]:
    by_entity: dict[str, list[Finder]] = {}
    for rule in _rules(policy):
        by_entity.setdefault(rule.entity, []).append(rule)
    found: list[Any] = [RuleRecogniser(entity, chosen, language) for entity, chosen in by_entity.items()]
    if (phone := policy.entities.get("PHONE_NUMBER")) is not None:
        found.append(PhoneRecogniser(phone.regions or REGIONS, language))
    if any(policy.ner.values()):
        found.append(NameRecogniser(language))
    return found


def result(recogniser: Any, find: Find) -> RecognizerResult:
    """A find as Presidio's results are."""
    metadata = {
        RecognizerResult.RECOGNIZER_NAME_KEY: recogniser.name,
        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recogniser.id,
        RANK: find.rank,
    }
    explanation = AnalysisExplanation(recognizer=recogniser.name, original_score=find.score)
    return RecognizerResult(find.entity, find.start, find.end, find.score, explanation, metadata)
