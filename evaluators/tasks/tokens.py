"""Texts as tokens, in English and Chinese: what metrics of words are made of."""

from __future__ import annotations

import importlib
import importlib.util
import re
import string
import unicodedata
from functools import lru_cache
from typing import Any

from governance.errors import MissingExtra
from governance.privacy.scripts import HAN

_RANGE = re.compile(r"(?<=\d)\s?[–—−~〜]\s?(?=\d)")
_JOINT = re.compile(r"(?<=\d)[-.:/](?=\d)")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_ONE_HAN = re.compile(f"({HAN})")
_WORD = re.compile(rf"{HAN}|(?:(?!{HAN})[^\W_]|(?<=\d)[.,:](?=\d))+|[%$€£¥]")


def fold(text: str) -> str:
    """One spelling of what reads the same: full-width as ASCII, no case, one dash in ranges of numbers.

    >>> fold("３～５天 FREE")
    '3-5天 free'
    """
    return _RANGE.sub("-", unicodedata.normalize("NFKC", text).casefold())


def words(text: str) -> list[str]:
    """Each Chinese character, each run of other letters and digits, and signs of money and per cent; no punctuation.

    >>> words("满199.50元，打9折 (iPhone 15)")
    ['满', '199.50', '元', '打', '9', '折', 'iphone', '15']
    """
    return _WORD.findall(fold(text))


def stands_in(piece: str, text: str) -> bool:
    """Whether a text holds a piece word by word, whatever the case, whitespace and punctuation; never half a number.

    >>> stands_in("30 Days.", "within 30 days of delivery"), stands_in("3天", "13天内")
    (True, False)
    """
    found = words(piece)
    return bool(found) and f" {' '.join(found)} " in f" {' '.join(words(text))} "


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def answer_tokens(text: str, language: str) -> list[str]:
    """A short answer as SQuAD and MLQA compare it: no case, punctuation or English articles, Chinese by character.

    Two departures. A point, colon, slash or dash between digits stays, since 19.99 isn't 1999 and 5-6 isn't 56. And
    where nothing would be left ("A" as a size, "+"), what would have gone stays; so only a blank text has no tokens.

    >>> answer_tokens("The A-line dress, $19.99!", "en"), answer_tokens("第《3》条：XL 码。", "zh")
    (['aline', 'dress', '19.99'], ['第', '3', '条', 'xl', '码'])

    Source:
        Rajpurkar et al. (2016), SQuAD, arXiv:1606.05250, and its evaluation script (version 2.0); for Chinese, Lewis et
        al. (2020), MLQA, arXiv:1910.07475, and mlqa_evaluation_v1.py (mixed segmentation).
    """
    folded = fold(text)
    joints = {match.start() for match in _JOINT.finditer(folded)}
    bare = "".join(c for i, c in enumerate(folded) if i in joints or not _is_mark(c))
    short = bare if language == "zh" else _ARTICLE.sub(" ", bare)
    return next((found for one in (short, bare, folded) if (found := _ONE_HAN.sub(r" \1 ", one).split())), [])


def need(*libraries: str) -> None:
    """Fail before a model is asked, rather than when its answers are scored.

    Raises:
        MissingExtra: a library isn't installed.
    """
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"this task's metrics need {', '.join(missing)}: pip install 'steelyard[text]'")


def library(module: str) -> Any:
    """A module of the extra `text`, imported when it is needed.

    Raises:
        MissingExtra: it isn't installed.
    """
    need(module.partition(".")[0])
    return importlib.import_module(module)
