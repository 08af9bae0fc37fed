"""How easily a text reads: Flesch's formula in English, and how common its characters are in Chinese."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from evaluators.tasks.base import Scores, mean
from evaluators.tasks.tokens import library, words
from governance.measure import Unit
from governance.privacy.scripts import HAN

_SENTENCE = re.compile(r"[.!?]+(?=[\s\"'”’)]|$)|[。！？!?；…\n]+")
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)*")
_HAN = re.compile(HAN)


def sentences(text: str) -> list[str]:
    """Pieces between marks that end a sentence, those without a word left out.

    >>> sentences("Holds 1.5 litres. Nice! ...")
    ['Holds 1.5 litres', ' Nice']
    """
    return [piece for piece in _SENTENCE.split(text) if words(piece)]


def reading_ease(texts: Sequence[str], language: str) -> Scores:
    """Flesch reading ease per English text, mean of rows: about 0 (hard) to 100 (easy), and beyond at both ends.

    Source:
        Flesch (1948), A new readability yardstick, Journal of Applied Psychology 32(3).
    """
    english = language == "en"
    values = [_flesch(text) if english else None for text in texts]
    method = f"206.835 - 1.015 words per sentence - 84.6 syllables per word; syllables by syllapy {version('syllapy')}"
    about = method if english else "Flesch's formula is for English"
    return mean("reading_ease", values, method=about, unit=Unit.UNITS, reach=(None, None), better=None)


def _flesch(text: str) -> float | None:
    counted = [_WORD.findall(sentence.casefold()) for sentence in sentences(text)]
    spoken = [word for sentence in counted for word in sentence]
    if not spoken:
        return None
    per_sentence = len(spoken) / sum(1 for sentence in counted if sentence)
    return flesch(per_sentence, sum(map(syllables, spoken)) / len(spoken))


def flesch(words_per_sentence: float, syllables_per_word: float) -> float:
    """Flesch reading ease.

    >>> round(flesch(13, 24 / 13), 1)
    37.5
    """
    return 206.835 - 1.015 * words_per_sentence - 84.6 * syllables_per_word


def syllables(word: str) -> int:
    """Of an English word; at least 1."""
    return max(1, int(_counter().count(word)))


@cache
def _counter() -> Any:
    # It logs the words that it doesn't know, and those are a record's.
    logging.getLogger("syllapy").setLevel(logging.CRITICAL)
    return library("syllapy")


def common_characters(texts: Sequence[str], language: str) -> Scores:
    """Share of a Chinese text's characters that are among the 3,755 most common, mean of rows.

    Source:
        GB/T 2312-1980, level 1 (rows 16 to 55), as Python's codec has it. Traditional characters are not in it.
    """
    chinese = language == "zh"
    found = [_HAN.findall(text) if chinese else [] for text in texts]
    values = [sum(c in _common() for c in characters) / len(characters) if characters else None for characters in found]
    method = "of Chinese characters, those of level 1 of GB/T 2312, 3,755 simplified ones; mean of rows"
    about = method if chinese else "of Chinese texts"
    return mean("common_characters", values, method=about, unit=Unit.RATE, better=None)


@cache
def _common() -> frozenset[str]:
    codes = (bytes([row, cell]) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return frozenset("".join(code.decode("gb2312", errors="ignore") for code in codes))


def sentence_length(texts: Sequence[str], language: str) -> Scores:
    """Words (English) or characters (Chinese) per sentence, over all sentences."""
    table = np.array([[len(words(text)), len(sentences(text))] for text in texts], dtype=float).reshape(-1, 2)
    unit = "characters (a number or a Latin word counts as one)" if language == "zh" else "words"
    return Scores(
        metric="sentence_length",
        table=table,
        method=f"{unit} per sentence, over all sentences",
        unit=Unit.COUNT,
        reach=(0.0, None),
        better=None,
    )
