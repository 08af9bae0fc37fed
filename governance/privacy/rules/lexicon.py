"""What the lists say of a word of Latin letters: a name, an ordinary word, or one that no dictionary has."""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from governance.privacy.rules.vocabulary import word_list

LETTER = "[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"  # of the Latin script
_TOKEN = re.compile(rf"{LETTER}+(?:['’-]{LETTER}+)*")
_CONTRACTION = re.compile(
    r"(?:n['’]t|['’](?:ll|re|ve|d|m)|^(?:are|could|did|does|do|had|has|have|is|should|was|were|would)nt)$"
)
_POSSESSIVE = re.compile(r"['’]s?$")
_DOUBLED = re.compile(r"(\w+(\w))\2(?:ed|ing|er)$")  # "shipped", "fitting"
_BEFORE = re.compile(r"(?:un|re|pre|non|over|mis|dis|out|under|anti|multi|semi|sub|super|ultra)-?(?=[a-z]{4})")
_ENDINGS = (
    ("s", ""), ("es", ""), ("ies", "y"), ("d", ""), ("ed", ""), ("ied", "y"), ("ing", ""), ("ing", "e"), ("ly", ""),
    ("er", ""), ("er", "e"), ("ers", ""), ("y", ""), ("ness", ""), ("ful", ""), ("less", ""), ("able", ""),
    ("able", "e"), ("est", ""), ("ment", ""),
)  # fmt: skip
FREQUENT = 1_500
"""Of the ordinary words: those that are no name in small letters, whatever introduces them."""
PROMINENT = 400
"""Of the given names: those that are names even where a dictionary has them as words, such as "john"."""
CENSUS = 5_164
"""Of the given names: those of the US census. The rest are names of all the world, and some are English words."""
USUAL_FAMILY, USUAL_GIVEN, PROMINENT_FAMILY = 5_000, 1_500, 600
"""Of the names: those that count although they are ordinary words (the last two: places) too."""
_CACHED = 20_000


class Lists:
    """Which lists have a word: bits of a plain number, since `enum.Flag` is slow and texts are read word by word."""

    GIVEN, FAMILY, ORDINARY, SPELT, FREQUENT, CALENDAR, CONTRACTION = (1 << bit for bit in range(7))
    NAME = 1 << 7
    """A name and nothing else, or one that everybody knows for a name."""
    OPENS, OPENS_WITH_CAPITAL = 1 << 8, 1 << 9
    """A name may begin with it, however it is written, or with a capital alone."""
    PLACE = 1 << 10
    """A town, a state or a country, and no usual name."""


@lru_cache(_CACHED)  # bounded: hostile texts must not fill the memory with words that nobody uses
def lists(word: str) -> int:
    """Which lists have a word, as it stands in a text."""
    word = plain(word)
    if _CONTRACTION.search(word):
        return Lists.ORDINARY | Lists.SPELT | Lists.CONTRACTION
    service, calendar = word_list("service.en"), word_list("calendar.en")
    in_dictionary, ordinary = spelt(word), _ordinary(word)
    found = 0
    found |= Lists.GIVEN if word in word_list("given.en", CENSUS if in_dictionary else None) else 0
    found |= Lists.FAMILY if word in word_list("family.en", USUAL_FAMILY if ordinary else None) else 0
    found |= Lists.CALENDAR if word in calendar else 0
    compound = "-" in word and all(_ordinary(part) for part in word.split("-") if part)
    found |= Lists.ORDINARY if ordinary or compound else 0
    found |= Lists.SPELT if found & Lists.ORDINARY or in_dictionary else 0
    found |= Lists.FREQUENT if word in word_list("words.en", FREQUENT) or word in service else 0
    usual = word in word_list("given.en", USUAL_GIVEN) or word in word_list("family.en", PROMINENT_FAMILY)
    found |= Lists.PLACE if word in word_list("places.en") and not usual else 0
    known = not found & Lists.SPELT or word in word_list("given.en", PROMINENT)
    if found & (Lists.GIVEN | Lists.FAMILY) and known and not found & (Lists.ORDINARY | Lists.CALENDAR):
        found |= Lists.NAME
    if len(word) > 1 and not found & (Lists.FREQUENT | Lists.CALENDAR):
        found |= Lists.OPENS if found & Lists.NAME or not found & Lists.SPELT else 0
        found |= Lists.OPENS_WITH_CAPITAL if found & Lists.GIVEN else 0
    return found


def _ordinary(word: str) -> bool:
    return len(word) == 1 or any(word in word_list(name) for name in ("words.en", "service.en", "calendar.en"))


def spelt(word: str) -> bool:
    """Whether an English word, in small letters, is in the dictionary or made of a word that is: "unopened"."""
    prefix = _BEFORE.match(word)
    return _inflected(word) or (prefix is not None and _inflected(word[prefix.end() :]))


def _inflected(word: str) -> bool:
    stems = word_list("spelt.en")
    if word in stems or _ordinary(word):
        return True
    if any(word.endswith(ending) and word[: -len(ending)] + instead in stems for ending, instead in _ENDINGS):
        return True
    doubled = _DOUBLED.match(word)
    return doubled is not None and doubled[1] in stems


def plain(word: str) -> str:
    """A word in small letters, without accents and without a possessive.

    >>> plain("Chloé's")
    'chloe'
    """
    lowered = _POSSESSIVE.sub("", word.lower())
    if lowered.isascii():
        return lowered
    return "".join(char for char in unicodedata.normalize("NFKD", lowered) if not unicodedata.combining(char))


class Word(NamedTuple):
    """One word of a text, where it is, and which lists have it."""

    text: str
    start: int
    end: int
    lists: int

    @property
    def title(self) -> bool:
        """Begins with a capital."""
        return self.text[0].isupper()

    def among(self, some: int) -> bool:
        """Whether one of these lists has it."""
        return bool(self.lists & some)


def words(text: str, start: int, end: int) -> list[Word]:
    """The words of a stretch of a text."""
    return [Word(found[0], found.start(), found.end(), lists(found[0])) for found in _TOKEN.finditer(text, start, end)]


def may_hold_name(text: str) -> bool:
    """Whether a text holds a word that isn't ordinary, or two with capitals that could be a name: else none is found.

    >>> may_hold_name("I love this dress, it fits so well."), may_hold_name("thanks to gregory")
    (False, True)
    """
    found = _TOKEN.findall(text)
    if not all(lists(word) & Lists.ORDINARY for word in found):
        return True
    names = Lists.GIVEN | Lists.FAMILY
    return any(
        first[0].isupper() and last[0].isupper() and lists(first) & names and lists(last) & names
        for first, last in itertools.pairwise(found)
    )


INTRODUCING = frozenset("name names surname mr mrs ms miss mx dr prof professor mister called".split())
"""Words after which even an ordinary word is a name."""
_closed: set[str] = set()
"""Stretches between spaces in which no name begins and none is introduced: most of most texts, told at once."""
_SHORT = 24


def openings(text: str) -> tuple[list[Word], bool]:
    """The words of a text with which a name may begin, and whether some word is `INTRODUCING`."""
    if len(_closed) > _CACHED:
        _closed.clear()
    opening: set[str] = set()
    introduced = False
    for stretch in set(text.split()) - _closed:
        found = _TOKEN.findall(stretch)
        opens = [word for word in found if _opens(word)]
        introduces = any(word.lower() in INTRODUCING for word in found)
        opening.update(opens)
        introduced |= introduces
        if not opens and not introduces and len(stretch) <= _SHORT:
            _closed.add(stretch)
    if not opening:
        return [], introduced
    matches = (match for match in _TOKEN.finditer(text) if match[0] in opening)
    return [Word(match[0], match.start(), match.end(), lists(match[0])) for match in matches], introduced


def _opens(word: str) -> bool:
    found = lists(word)
    return bool(found & Lists.OPENS or (found & Lists.OPENS_WITH_CAPITAL and word[0].isupper()))
