"""What a text speaks of: topics by their words, from a file that a shop can argue about and replace.

One pass from left to right over a text's units, whole words in English and characters in Chinese: at each place the
longest phrase wins, and its units speak of nothing else. Negation doesn't matter: "no delivery problems" speaks of
delivery, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance.configfile import find, read
from governance.errors import ConfigError
from governance.files import digest_file
from governance.privacy.overlaps import PLACEHOLDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

Language = Literal["en", "zh"]
MOST_TOPICS, MOST_WORDS = 50, 500
_WORD = re.compile(r"[^\W_]+")


def _units(text: str, language: str) -> tuple[str, ...]:
    """What phrases are made of: words, or characters where words have no spaces between them.

    >>> _units("Doesn't FIT: too-small", "en")
    ('doesn', 't', 'fit', 'too', 'small')
    >>> _units("不合适 ｏｋ", "zh")
    ('不', '合', '适', ' ', 'o', 'k')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return tuple(folded) if language == "zh" else tuple(_WORD.findall(folded))


class _Topic(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    title: Mapping[Language, Annotated[str, Field(min_length=1, max_length=80)]] = Field(min_length=1)
    words: list[Annotated[str, Field(min_length=1, max_length=60)]] = Field(min_length=1, max_length=MOST_WORDS)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    language: Language
    topics: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")], _Topic] = Field(
        min_length=1, max_length=MOST_TOPICS
    )

    @model_validator(mode="after")
    def _each_word_once(self) -> _File:
        owners: dict[tuple[str, ...], str] = {}
        for name, topic in self.topics.items():
            for word in topic.words:
                units = _units(word, self.language)
                if not any(unit.isalnum() for unit in units):
                    raise ValueError(f"topics.{name}.words: '{word}' holds no letter")
                if units in owners:
                    where = "here already" if owners[units] == name else f"under '{owners[units]}' too"
                    raise ValueError(f"topics.{name}.words: '{word}' stands {where}; a word speaks of one topic")
                owners[units] = name
        return self


@dataclass(frozen=True)
class Topics:
    """A file of topics, read.

    Attributes:
        language: of the words.
        titles: topic -> language -> its name for people.
        words: topic -> its words and phrases.
        digest: of the file.
    """

    language: str
    titles: Mapping[str, Mapping[str, str]]
    words: Mapping[str, Sequence[str]]
    digest: str

    @classmethod
    def load(cls, source: str, base: Path, language: str) -> Topics:
        """A user's file, by its path from `base`; or one that ships, by its name ("reviews") and the language.

        Raises:
            ConfigError: no such file, or not one of topics in this language; the message names file and key.
        """
        of_file = source.endswith((".yaml", ".yml")) or "/" in source
        path = find("topics", source if of_file else f"{source}.{language}", base)
        file = read(_File, path)
        if file.language != language:
            raise ConfigError(f"{path}: language: expected '{language}', the audit's, found '{file.language}'")
        titles = {name: {str(key): said for key, said in topic.title.items()} for name, topic in file.topics.items()}
        words = {name: tuple(topic.words) for name, topic in file.topics.items()}
        return cls(language, titles, words, digest_file(path))

    @cached_property
    def _phrases(self) -> Mapping[str, list[tuple[tuple[str, ...], int]]]:
        """First unit -> phrases that start with it, longest first, and the topic of each."""
        found: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for place, words in enumerate(self.words.values()):
            for word in words:
                units = _units(word, self.language)
                found.setdefault(units[0], []).append((units, place))
        return {first: sorted(phrases, key=lambda one: -len(one[0])) for first, phrases in found.items()}

    def spoken(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Which text speaks of which topic, shape (texts, topics)."""
        places = [self._of(text) for text in texts]
        table = np.zeros((len(places), len(self.titles)), dtype=bool)
        for row, found in enumerate(places):
            table[row, list(found)] = True
        return table

    def _of(self, text: str) -> set[int]:
        units, phrases = _units(PLACEHOLDER.sub(" ", text), self.language), self._phrases
        found, at = set[int](), 0
        while at < len(units):
            step = 1
            for phrase, place in phrases.get(units[at], ()):
                if units[at : at + len(phrase)] == phrase:
                    found.add(place)
                    step = len(phrase)
                    break
            at += step
        return found
