"""What a find of a name is worth: brands and styles are called like people, and a model gives no score of its own."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import pairwise

from governance.privacy.overlaps import MODEL, Find
from governance.privacy.rules.goods import Sells
from governance.privacy.rules.lexicon import PROMINENT, USUAL_GIVEN, Lists, Word, lists, plain, words
from governance.privacy.rules.vocabulary import word_list

_QUOTES = tuple("'\"“”‘’«»")
_FAR = 12
"""Characters before a find in which a brand's name may begin: "Aunt Bessie's"."""
_HEADLINE = 140
"""Characters of the longest line that may be a title."""
_FIELD = re.compile(r"(?:[|:=/\t–—-]|(?<![a-z])(?:attn|by|cc|for|from|mrs?|ms|dr|to|via|with)\.?)\s*\Z", re.IGNORECASE)
_BY = re.compile(
    r"(?:(?<![A-Za-z])(?:by|for|from|to|with|caller|contact|illustrator|designer|artist|author|agent|driver|per|via|cc|attn)"
    r"|[|:(])\s*\Z",
    re.IGNORECASE,
)
_AND = re.compile(r"([A-Z][a-z]+)(?:,| or| and|, and|, or)\s\Z")
_OPENING = re.compile(r"(?:\A|[.!?\n>|]\s?)\s?\Z")
_SENTENCE = re.compile(r"[.!?]\s")
CERTAIN, LIKELY, POSSIBLE, UNSURE = 0.85, 0.6, 0.45, 0.35
"""Scores: a model's find with a capital, a rule's find, a model's find in small letters, and what is rather a thing's
name: below the shipped policies' threshold, so that a policy with a lower one takes it all the same."""

_BEFORE_STYLE = re.compile(
    r"(?<![A-Za-z])(?:the|this|shade|shade of|colou?r|these|those|my new|a|an|pair of|our|style|called the|in the|by"
    r"|brand|two|three|four|both|st\.?|saint|chatbot|robot|virtual assistant)\s\Z",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?<![A-Za-z])the\s\Z", re.IGNORECASE)


@functools.cache
def _products() -> re.Pattern[str]:
    """ "Harper dress", "Audrey's wide leg jeans": what follows says that clothes or goods are meant."""
    return re.compile(
        rf"['’]?s?\s(?:[a-z-]+\s){{0,2}}(?:{'|'.join(sorted(word_list('products.en')))})(?![A-Za-z])", re.IGNORECASE
    )


@functools.cache
def _brands() -> dict[str, list[str]]:
    """Brands by their first two characters, the longest first."""
    by_start: dict[str, list[str]] = {}
    for name in sorted(word_list("brands.en"), key=lambda name: (-len(name), name)):
        by_start.setdefault(name[:2], []).append(name)
    return by_start


@functools.cache
def _towns() -> frozenset[str]:
    """Places of several words: "milton keynes"."""
    return frozenset(name for name in word_list("places.en") if " " in name)


def _branded(text: str, start: int, end: int) -> bool:
    """Whether a brand that begins in or a little before a candidate covers half of it or more."""
    first = max(0, start - _FAR)
    around = text[first : end + 2 * _FAR].lower()
    if len(around) != len(text[first : end + 2 * _FAR]):
        return False  # a letter that is longer in lower case: no brand has one
    for place in range(start - first + 1):
        before = first + place - 1
        if before >= 0 and text[before].isalpha():
            continue
        for name in _brands().get(around[place : place + 2], ()):
            last = place + len(name)
            whole = around.startswith(name, place) and not around[last : last + 1].isalpha()
            people = " " in text[start:end] and lists(name) & Lists.GIVEN  # "Jordan Lee"
            if whole and not people and first + last - start > (end - start) / 2:
                return True
    return False


def judged(text: str, start: int, end: int, score: float, sold: Sells) -> Find | None:
    """A candidate, unless a brand or a style of clothes is meant."""
    if _branded(text, start, end) or plain(text[start:end]) in _towns():
        return None
    if _headline(text, start, end):
        score = UNSURE  # "Laura Ashley Josette Dove Grey Eyelet Curtains"
    if " " in text[start:end] and _ARTICLE.search(text, max(0, start - 5), start) and sold():
        score = UNSURE  # "the Ernest Hemingway": a thing that is called so
    if text[start - 1 : start] in _QUOTES and text[end : end + 1] in _QUOTES and start:
        return None  # a style or a title
    styled = _products().match(text, end) and text[end : end + 2].lower() not in ("'s", "’s")
    if styled and (_BEFORE_STYLE.search(text, max(0, start - 16), start) or " " not in text[start:end]):
        return None
    return Find("PERSON", start, end, score)


def _headline(text: str, start: int, end: int) -> bool:
    """Whether a candidate stands in what titles goods: a line of capitals, most of them words of the dictionary."""
    # Looked for within the longest line that counts: a line of a megabyte must not be searched for each of its names.
    first = text.rfind("\n", max(0, start - _HEADLINE), start) + 1 or max(0, start - _HEADLINE)
    last = text.find("\n", end, end + _HEADLINE)
    last = min(len(text), end + _HEADLINE) if last < 0 else last
    if last - first > _HEADLINE or _FIELD.search(text, max(first, start - 6), start):
        return False
    around = [word for word in (*words(text, first, start), *words(text, end, last)) if len(word.text) > 2]
    titled = sum(word.title for word in around)
    made = sum(word.title and word.among(Lists.SPELT) and not word.among(Lists.NAME) for word in around)
    return len(around) > 2 and titled == len(around) and made >= 0.5 * len(around)


def recased(text: str) -> str:
    """A text that begins with a small letter, with capitals where names may be: the models learned from the news.

    >>> recased("ask for kaleigh in the shop")
    'ask for Kaleigh in the shop'
    """
    first = next((char for char in text if char.isalpha()), "A")
    if first.isupper():
        return text
    pieces, position = [], 0
    for word in words(text, 0, len(text)):
        name = word.among(Lists.NAME) or not word.among(Lists.SPELT)
        if len(word.text) > 2 and name and not word.among(Lists.CALENDAR) and len(word.text[0].upper()) == 1:
            pieces += [text[position : word.start], word.text[0].upper()]
            position = word.start + 1
    return "".join([*pieces, text[position:]])


def weighed(text: str, start: int, end: int, sold: Sells) -> Find | None:
    """What a model's find is worth; None: it is no name."""
    if (over := _SENTENCE.search(text, start + 4, end)) is not None:
        end = over.start()  # a name that runs on into the next sentence; "Dr. Smith" doesn't
    found = _trimmed(words(text, start, end))
    if not found or _thing(text, found):
        return None
    start, end = found[0].start, found[-1].end
    if any(first.title and not last.title and _lower(last) for first, last in pairwise(found)):
        return None  # "Lavandula angustifolia"
    coded = any(char.isdigit() for char in text[start:end]) or re.match(r"[-_#]?\d", text[end : end + 2])
    candidate = judged(text, start, end, CERTAIN, sold)
    if coded or candidate is None:
        return None
    if len(found) == 1 and (_odd(found[0]) or _BEFORE_STYLE.search(text, max(0, start - 16), start)):
        return None
    score = min(_worth(found), candidate.score)
    if score and _doubtful(text, found, sold):
        score = UNSURE
    return Find("PERSON", start, end, score, MODEL) if score else None


def introduced(text: str, start: int) -> bool:
    """Whether what stands before a full name may introduce a person even in a text about goods."""
    return _BY.search(text, max(0, start - 14), start) is not None


def _doubtful(text: str, found: Sequence[Word], sold: Sells) -> bool:
    """Whether a model's find is rather a thing: no list of names has what it is called, or the text is about goods."""
    unknown = not any(word.among(Lists.GIVEN | Lists.FAMILY) for word in found)
    if sold() and (len(found) == 1 or unknown or not introduced(text, found[0].start)):
        return True
    opens = _OPENING.search(text, max(0, found[0].start - 4), found[0].start)
    return unknown and not sold.small and (len(found) == 1 or opens is not None)  # "Creatine isn't a steroid."


def _trimmed(found: list[Word]) -> list[Word]:
    """Without the words around a name that are none: "Beautiful Hudson", "Baker London", "Smith Trainers"."""
    kept = list(found)
    while kept and (_beyond(kept[0], Lists.SPELT | Lists.PLACE) or _article(kept[0])):
        kept.pop(0)
    while kept and (_beyond(kept[-1], Lists.SPELT) or (len(kept) > 1 and _after(kept[-2], kept[-1]))):
        kept.pop()
    return kept


def _lower(word: Word) -> bool:
    """Whether a word in small letters goes on with no name."""
    return len(word.text) > 3 and not word.among(Lists.GIVEN | Lists.FAMILY)


def _coordinate(text: str, start: int) -> bool:
    """Whether a place stands right before: "in London or Kent"."""
    before = _AND.search(text, max(0, start - 32), start)
    return before is not None and lists(before[1]) & Lists.PLACE > 0


def _article(word: Word) -> bool:
    """ "An", "My": names of all the world too, and never the first word of one in these texts."""
    return len(word.text) < 3 and word.among(Lists.FREQUENT)


def _beyond(word: Word, some: int) -> bool:
    """Whether a word is an abbreviation, or is on some lists and on none of names."""
    short = word.text.isupper() and 1 < len(word.text) < 5
    return (short or word.among(some)) and not word.among(Lists.GIVEN | Lists.FAMILY)


def _after(name: Word, place: Word) -> bool:
    """Whether a place follows a word: "Jack London" is a name, "Baker London" isn't."""
    word = len(name.text) > 1 and name.among(Lists.SPELT) and not name.among(Lists.GIVEN)
    return word and place.among(Lists.PLACE)


def _thing(text: str, found: Sequence[Word]) -> bool:
    """Whether words are a place, one word of the dictionary, or a brand and what it makes."""
    if len(found) == 1:
        opens = _OPENING.search(text, max(0, found[0].start - 4), found[0].start)  # "Cook from frozen."
        family = found[0].among(Lists.FAMILY) and not opens
        word = found[0].among(Lists.SPELT) and not family
        opening = opens and plain(found[0].text) not in word_list("given.en", PROMINENT)  # "Page 2 of 3"
        listed = found[0].among(Lists.GIVEN) and not (opening and found[0].among(Lists.SPELT))
        return ((word or found[0].among(Lists.PLACE)) and not listed) or _coordinate(text, found[0].start)
    whole = plain(text[found[0].start : found[-1].end])
    return any(whole.startswith(f"{name} ") and not lists(name) & Lists.GIVEN for name in _brands().get(whole[:2], ()))


def _odd(word: Word) -> bool:
    """An abbreviation, or a word such as "WiFi", and no name that is known."""
    if word.text.isupper() and len(word.text) < 4 and plain(word.text) not in word_list("given.en", PROMINENT):
        return True
    mixed = word.text[1:] != word.text[1:].lower() and not re.match(r"(?:Mc|Mac|O['’]|D['’])[A-Z]", word.text)
    return mixed and not word.among(Lists.NAME)


def _worth(found: Sequence[Word]) -> float:
    if all(word.among(Lists.CALENDAR) for word in found):
        return 0.0
    plain_words = Lists.SPELT if len(found) > 1 else Lists.ORDINARY
    if all((word.among(plain_words) and not word.among(Lists.NAME)) or len(word.text) == 1 for word in found):
        # "Will Young" is made of words, and is a name with its capitals alone.
        both = len(found) > 1 and all(word.title for word in found)
        named = both and found[0].among(Lists.GIVEN) and found[-1].among(Lists.FAMILY)
        usual = plain(found[0].text) in word_list(
            "given.en", PROMINENT if all(word.among(Lists.ORDINARY) for word in found) else USUAL_GIVEN
        )
        return (POSSIBLE if usual else UNSURE) if named else 0.0
    if any(word.title for word in found):
        return CERTAIN
    likely = any(word.among(Lists.NAME) for word in found)
    unknown = len(found) > 1 and not any(word.among(Lists.SPELT) for word in found)
    return POSSIBLE if likely or unknown else 0.0
