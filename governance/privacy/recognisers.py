"""Recognisers as Presidio wants them. A heavy module: import it on use.

Presidio's own take part where they are sound (telephone numbers, through `phonenumbers`); the rest are
rules of ours, because Presidio's patterns end at `\\b`, which never matches beside Han characters, and
because it only warns when a pattern times out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.privacy.policy import Language, ScrubPolicy
from governance.privacy.quiet import light_import
from governance.privacy.rule import BEFORE, ORDER_NUMBER, Rule
from governance.privacy.rules import RULES, SHOP_WORDS

with light_import():
    import spacy
    from presidio_analyzer import EntityRecognizer, LocalRecognizer, RecognizerResult
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
    from presidio_analyzer.predefined_recognizers.generic.phone_recognizer import PhoneRecognizer

_UNUSED_PIPES = ("tagger", "attribute_ruler", "lemmatizer")
"""Lemmas serve Presidio's context words alone, and our rules bring context of their own. The parser stays:
its sentence boundaries bound names."""

NAME, UNCASED_NAME, SHOP_WORD = 0.85, 0.45, 0.1
"""Scores of a name found by spaCy, which gives none: with a capital letter, without one, and of shop words alone."""
CHUNK, OVERLAP = 20_000, 200
"""spaCy refuses a million characters and its memory grows with them: long texts are read in overlapping chunks."""
BATCH = 64
REGIONS = ("US", "GB", "CN")
_LEAST_DIGITS = 5  # no number that `phonenumbers` calls valid has fewer, an international one's country code included


@dataclass(frozen=True, slots=True, repr=False)
class _Name:
    """A name that spaCy found, in the shape that Presidio's artefacts have, but not tied to spaCy's memory."""

    label_: str
    start_char: int
    end_char: int
    score: float


class RuleRecogniser(LocalRecognizer):  # type: ignore[misc]
    """All our rules for one entity, as one Presidio recogniser."""

    def __init__(self, entity: str, rules: Sequence[Rule], language: Language) -> None:
        self._rules = tuple(rules)
        super().__init__(supported_entities=[entity], supported_language=language, name=f"{entity} rules")

    def load(self) -> None:
        """Nothing to load: patterns compile when their module is imported."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None) -> list[Any]:  # noqa: ARG002 - Presidio's signature
        """Presidio results for one folded text."""
        return [
            _result(self, find.entity, find.start, find.end, find.score)
            for rule in self._rules
            for find in rule.finds(text)
        ]


class NameRecogniser(LocalRecognizer):  # type: ignore[misc]
    """Names from spaCy; one without a capital letter counts less."""

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
        return [_result(self, "PERSON", name.start_char, name.end_char, name.score) for name in nlp_artifacts.entities]


class PhoneRecogniser(PhoneRecognizer):  # type: ignore[misc]
    """Presidio's, skipped where a text can't hold a number, and deaf to order numbers."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None) -> list[Any]:
        """Presidio results for one folded text."""
        if sum(map(text.count, "0123456789")) < _LEAST_DIGITS:
            return []
        results = super().analyze(text, entities, nlp_artifacts)
        return [
            result for result in results if not ORDER_NUMBER.search(text, max(0, result.start - BEFORE), result.start)
        ]


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
    """Reads names with the spaCy packages that a policy states; other languages are not read at all."""

    engine_name = "steelyard-names"
    is_available = True

    def __init__(self, packages: Mapping[Language, str | None]) -> None:
        self._packages = {language: package for language, package in packages.items() if package is not None}
        self._pipelines: dict[str, spacy.Language] | None = None

    def load(self) -> None:
        """Load the packages; they are installed, or `ScrubPolicy.require_models` has complained."""
        self._pipelines = {
            language: spacy.load(package, exclude=list(_UNUSED_PIPES)) for language, package in self._packages.items()
        }

    def is_loaded(self) -> bool:
        """Whether `load` has run."""
        return self._pipelines is not None

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """Artefacts of one text; the same as within a batch."""
        return next(artefacts for _, artefacts in self.process_batch([text], language))

    def process_batch(
        self,
        texts: Iterable[str],
        language: str,
        batch_size: int = BATCH,
        n_process: int = 1,  # noqa: ARG002 - Presidio's signature
        **_: Any,
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        """(text, artefacts) for each text, in order."""
        for text, names in self._names(list(texts), language, batch_size):
            yield (
                text,
                NlpArtifacts(
                    entities=names, tokens=None, tokens_indices=[], lemmas=[], nlp_engine=self, language=language
                ),
            )

    def _names(self, texts: list[str], language: str, batch_size: int) -> Iterator[tuple[str, list[_Name]]]:
        pipeline = (self._pipelines or {}).get(language)
        if pipeline is None:
            yield from ((text, []) for text in texts)
            return
        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            names: list[list[_Name]] = [[] for _ in batch]
            chunks = [(part, (row, offset)) for row, text in enumerate(batch) for offset, part in _chunks(text)]
            # The zone frees what spaCy remembers of rare words; without it a worker grows by 13 MB per 500 texts.
            with pipeline.memory_zone():
                for doc, (row, offset) in pipeline.pipe(chunks, as_tuples=True, batch_size=batch_size):
                    names[row] += [
                        _Name("PERSON", offset + found.start_char, offset + found.end_char, _name_score(found.text))
                        for found in doc.ents
                        if found.label_ in {"PERSON", "PER"}
                    ]
            yield from zip(batch, names, strict=True)

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
        """Languages with a package."""
        return list(self._packages)


def recognisers(policy: ScrubPolicy, language: Language) -> list[EntityRecognizer]:
    """All recognisers that a policy asks for, for texts of one language."""
    by_entity: dict[str, list[Rule]] = {}
    for rule in RULES:
        if rule.entity in policy.entities:
            by_entity.setdefault(rule.entity, []).append(rule)
    found: list[EntityRecognizer] = [RuleRecogniser(entity, rules, language) for entity, rules in by_entity.items()]
    if "PHONE_NUMBER" in policy.entities:
        found.append(PhoneRecogniser(supported_regions=REGIONS, supported_language=language))
    if "PERSON" in policy.entities and policy.ner.get(language):
        found.append(NameRecogniser(language))
    return found


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(offset, part): the text itself, or parts that overlap by more than a name's length."""
    for start in range(0, max(1, len(text) - OVERLAP), CHUNK - OVERLAP):
        yield start, text[start : start + CHUNK]


def _name_score(name: str) -> float:
    words = re.findall(r"\w+", name.lower())
    if all(SHOP_WORDS.fullmatch(word) or word.isdigit() for word in words):
        return SHOP_WORD
    # A script without capitals can't show that something is no name.
    return NAME if any(char.isupper() for char in name) or not any(char.islower() for char in name) else UNCASED_NAME


def _result(recogniser: EntityRecognizer, entity: str, start: int, end: int, score: float) -> RecognizerResult:
    metadata = {
        RecognizerResult.RECOGNIZER_NAME_KEY: recogniser.name,
        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recogniser.id,
    }
    return RecognizerResult(entity, start, end, score, recognition_metadata=metadata)
