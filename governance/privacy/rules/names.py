"""Names of people in texts of Latin letters: by lists of names, and by words that introduce one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from governance.privacy.overlaps import Find
from governance.privacy.rules.goods import Sells
from governance.privacy.rules.lexicon import INTRODUCING, Lists, Word, lists, openings, words
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.weighing import LIKELY, UNSURE, introduced, judged

_PARTICLES = frozenset("de da del della di van von der den bin binti ibn al el la le dos das du st san y mac".split())
_FAR = 28
"""Characters before a name in which the words that introduce it stand."""
_LONGEST = 24
"""Letters of the longest word of a name."""
_LONG = 80
"""Characters of the longest stretch that is looked at for one name."""


class _Cue(Enum):
    """How strongly what stands before a word says that it's a name."""

    NAMED = auto()
    """Whatever follows is a name."""
    ADDRESSED = auto()
    """A person is spoken to or of: a word that no dictionary has is a name."""
    NEAR = auto()
    """A name may follow, if a list has it."""


def _before(cue: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z])(?:{cue})[,:!.]{{0,2}}\s{{1,2}}\Z", re.IGNORECASE)


_FAMILY = (
    r"sister(?:-in-law)?|brother(?:-in-law)?|mother(?:-in-law)?|father(?:-in-law)?|mom|mum|dad|wife|husband|hubby"
    r"|daughter"
    r"|son|niece|nephew|aunt|auntie|uncle|cousin|friend|bestie|mate|neighbou?r|colleague|coworker|roommate|flatmate"
    r"|boss"
    r"|boyfriend|girlfriend|partner|fianc[eé]e?|grandma|grandmother|grandpa|nan|gran"
)
_STAFF = r"agent|rep|advisor|driver|manager|stylist|assistant|clerk|lady|guy|nurse"
_NAMED = _before(
    r"my (?:full |first |last |given |real )?name(?:'s| is|s| was)|names? (?:is|was)|(?:full |first |last "
    r"|sur)?name\s?[:=]"
    r"|i am called|in the names? of|under the name(?: of)?|mr|mrs|ms|miss|(?-i:Mx|mx)|dr|prof|professor|mister"
)
_ADDRESSED = _before(
    r"i am|i'm|i’m|im|it's|its|it’s|it is|this is|hi|hiya|hey|hello|dear|thanks|thank you|thx|cheers|ask(?:s|ed"
    r"|ing)? for"
    r"|spoke (?:to|with)|spoken to|speak (?:to|with)|talk(?:ed|ing)? (?:to|with)|chatt(?:ed|ing) (?:to|with)|named"
    r"|met|tell|told"
    rf"|{_FAMILY}|{_STAFF}|regards|sincerely|xoxo|yours|faithfully|signed(?: for)?(?: by)?|sent by|recipient(?: is|:)"
    r"|attn\.?\s?:?|c/o|care of|account holder(?: is|:)?|card ?holder(?: is|:)?|owner:|addressed to"
    r"|on behalf of"
    r"|registered to|made out to|payable to|customer:|buyer:|seller:|contact:|from:|to:|ship to:?|deliver(?:ed)? to"
    r"|write to"
    r"|name|label says|left (?:it )?with|handed to|for my|ask|cust(?:omer)?|assigned to|escalated to|escalated by"
    r"|approved by|signed off by|prepared (?:by|for)|shipped to|sold to|according to|attention"
    r"|remittance from|recommended by|transferred (?:from bot )?to|merged:|blocked:|action:"
)
_NEAR = _before(
    r"with|by|from|for|to|and|via|please|contact|reach|called|best|xx|x|love|team|ty|man|woman|courier|that's|here is"
    r"|say hi to|till|store|counter|desk|shop|same|was|is"
)
_TRIGGERED = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(sorted(INTRODUCING))})(?![A-Za-z])", re.IGNORECASE)
_SAID = re.compile(
    r"\s(?:said|says|told|replied|promised|helped|emailed|confirmed|answered|signed|commented|wrote|called|rang|asked"
    r"|here(?=[,.!?]|\s*\Z)|is off|off sick|is out|lost|wants|needs|to (?:call|send|obtain|check|confirm|chase"
    r"|follow))(?![A-Za-z])",
    re.IGNORECASE,
)
_OWNED = re.compile(
    r"\s(?:orders?|account|parcels?|package|refund|deliver(?:y|ies)|address|e-?mail|card|complaint|ticket|invoice|cart"
    r"|basket|subscription|return|gift)(?![A-Za-z])",
    re.IGNORECASE,
)
"""What follows a name, and says that somebody is meant: what they did, and what is theirs."""
_INITIALS = re.compile(r"(?<![A-Za-z.])(?:[A-Z]\.\s?){1,3}\Z")
_OPENS = re.compile(r"(?:\A|[\n.!?,~-])[ \t]*[-–~]?\s?\Z")
_LISTED = re.compile(r",[^,.!?\n]*,\s\Z")
_CLOSES = re.compile(r"[.!]?\s*(?:x{1,3}|xo)?\s*\Z", re.IGNORECASE)

_FIELD = re.compile(r"(?:\A|\n|[|=:(/]|\s[-–—])[ \t]*\Z")
_FIELD_ENDS = re.compile(r"[ \t]*(?:\Z|[\n|;)/,.=&]|[-–—]\s)")
"""What bounds a field of a form, a log or a list."""
_OTHER_FIELD = re.compile(
    r"(?<![A-Za-z])(?:city|town|county|state|country|region|brand|label|make|model|fabric|material|supplier|vendor|store"
    r"|shop|branch|colou?r|shade|style|title|product|item|design|collection|shipping|carrier|courier|bank)\s?[:=]\s*\Z",
    re.IGNORECASE,
)
"""Fields that hold something else."""


@dataclass(frozen=True, slots=True)
class Names:
    """Finds names by lists and introductions."""

    entity: str = "PERSON"

    def needs(self, signs: Signs) -> bool:
        """Every text may hold a name."""
        return bool(signs.text)

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text."""
        text = signs.text
        opening, introduced = openings(text)
        small = bool(opening) and next(char for char in text if char.isalpha()).islower()
        sold = Sells(text)
        for word in opening:
            pair = _pair(text, word)
            yield from _judged(
                text, pair, sold, UNSURE if pair and _bare(text, pair, sold) else LIKELY
            )  # "Essie Nail Polish 13.5ml"
            for kept in (_introduced(text, word, sold), _alone(text, word), _typed(text, word, small)):
                yield from _judged(text, kept, sold)
        if not introduced:
            return
        for trigger in _TRIGGERED.finditer(text):
            # After "Mrs." or "my name is" even an ordinary word is a name.
            for word in words(text, trigger.end(), min(len(text), trigger.end() + _FAR))[:3]:
                if _NAMED.search(text, max(0, word.start - _FAR), word.start):
                    yield from _judged(text, _taken(text, word.start, _Cue.NAMED), sold)


def _bare(text: str, pair: Sequence[Word], sold: Sells) -> bool:
    """Whether a pair of names stands in a text about goods with nothing before it that introduces a person."""
    return sold() and not introduced(text, pair[0].start)


def _judged(text: str, kept: Sequence[Word], sold: Sells, score: float = LIKELY) -> Iterator[Find]:
    if not kept:
        return
    initials = _INITIALS.search(text, max(0, kept[0].start - 9), kept[0].start)
    start = initials.start() if initials else kept[0].start
    if (find := judged(text, start, kept[-1].end, score, sold)) is not None:
        yield find


def _introduced(text: str, word: Word, sold: Sells) -> Sequence[Word]:
    """The name that begins with a word, if something introduces it: more than "for" or "by" in a text that sells."""
    before = max(0, word.start - _FAR)
    if _ADDRESSED.search(text, before, word.start):
        return _taken(text, word.start, _Cue.ADDRESSED)
    owned = word.among(Lists.GIVEN) and word.text[-2:] in ("'s", "’s") and _OWNED.match(text, word.end)
    if owned or _SAID.match(text, word.end):
        return _taken(text, word.start, _Cue.ADDRESSED if word.title else _Cue.NEAR)[:1]
    listed = _LISTED.search(text, max(0, word.start - _LONG), word.start)  # the last of several, and no signature
    if _OPENS.search(text, max(0, word.start - 4), word.start) and len(text) - word.start < _LONG and not listed:
        kept = _taken(text, word.start, _Cue.ADDRESSED)
        if kept and _CLOSES.match(text, kept[-1].end):  # a signature, and not "Made in Portugal."
            return kept
    if _NEAR.search(text, before, word.start) and not sold():
        return _taken(text, word.start, _Cue.NEAR)
    return ()


def _taken(text: str, start: int, cue: _Cue) -> Sequence[Word]:
    """The words of the name that begins here; none if the first word is none."""
    kept: list[Word] = []
    for word in words(text, start, min(len(text), start + _LONG))[:4]:
        if kept and not _beside(text, kept[-1], word):
            break
        initial = len(word.text) == 1 and (word.title or bool(kept)) and word.text not in "iaIx"
        if initial or (kept and word.text.lower() in _PARTICLES) or _fits(word, kept, cue):
            kept.append(word)
        else:
            break
    while kept and (len(kept[-1].text) == len(kept) == 1 or kept[-1].text in _PARTICLES):
        kept.pop()
    if len(kept) == 1 and cue is not _Cue.NAMED and kept[0].among(Lists.PLACE):
        return ()  # "from Kent"
    return kept


def _fits(word: Word, kept: Sequence[Word], cue: _Cue) -> bool:
    """Whether a word goes on with a name, or begins one."""
    short = word.text.isupper() and 1 < len(word.text) < 4 and cue is not _Cue.NAMED and not kept  # "for SEO"
    if short or (word.text[0].islower() and word.text != word.text.lower()):  # "eSIM"
        return False
    if not 1 < len(word.text) < _LONGEST or len(set(word.text)) == 1 or word.among(Lists.CALENDAR | Lists.CONTRACTION):
        return False
    listed, spelt, ordinary = (
        word.among(Lists.GIVEN | Lists.FAMILY),
        word.among(Lists.SPELT),
        word.among(Lists.ORDINARY),
    )
    if kept:
        small = (word.among(Lists.FAMILY) and not word.among(Lists.FREQUENT)) or (
            word.among(Lists.GIVEN) and not ordinary
        )
        return (word.title and (listed or not spelt)) or (not kept[0].title and (small or not spelt))
    if cue is _Cue.NAMED:
        return (word.title and listed) or not ordinary
    if word.title:
        unknown = cue is _Cue.ADDRESSED and not spelt and word.text[1:].islower()
        return (listed and (not ordinary or (word.among(Lists.GIVEN) and not word.among(Lists.FREQUENT)))) or unknown
    unknown = cue is _Cue.ADDRESSED and not spelt and len(word.text) > (3 if listed else 4)
    return len(word.text) > 2 and ((word.among(Lists.NAME) and not (spelt and cue is _Cue.NEAR)) or unknown)


def _pair(text: str, word: Word) -> Sequence[Word]:
    """A given name and a family name side by side, of which this word is one, whatever stands before them."""
    around = words(text, max(0, word.start - 20), min(len(text), word.end + 40))
    place = next((i for i, one in enumerate(around) if one.start == word.start), None)
    if place is None:
        return ()
    for first in (place, place - 1):
        if first >= 0 and around[first].among(Lists.GIVEN):
            kept = _full_name(text, around[first:])
            if kept:
                return kept
    return ()


def _alone(text: str, word: Word) -> Sequence[Word]:
    """Two or three words with capitals that fill a field: "Order 4711 - Bukola Adeyemi - awaiting stock"."""
    if not (word.title and _FIELD.search(text, max(0, word.start - 4), word.start)):
        return ()
    if _OTHER_FIELD.search(text, max(0, word.start - _FAR), word.start):
        return ()
    kept: list[Word] = []
    for one in words(text, word.start, min(len(text), word.start + _LONG))[:3]:
        if not one.title or (kept and not _beside(text, kept[-1], one)) or one.among(Lists.FREQUENT | Lists.CALENDAR):
            break
        kept.append(one)
    unknown = [one for one in kept if not one.among(Lists.SPELT) and one.text[1:].islower()]
    named = [one for one in kept if one.among(Lists.GIVEN | Lists.FAMILY)]
    filled = len(kept) > 1 and _FIELD_ENDS.match(text, kept[-1].end)
    return kept if filled and unknown and len({*unknown, *named}) == len(kept) else ()


def _typed(text: str, word: Word, small: bool) -> Sequence[Word]:
    """A name in small letters in a text that begins with one, by words that no dictionary has."""
    if word.title or not small or word.among(Lists.SPELT) or not 2 < len(word.text) < _LONGEST:
        return ()
    around = words(text, word.end, min(len(text), word.end + 24))[:1]
    if around and _beside(text, word, around[0]) and not around[0].title:
        last = around[0]
        both = [word, last]
        if any(one.among(Lists.NAME) for one in both) and not last.among(Lists.SPELT) and len(last.text) > 2:
            return both
    return [word] if word.among(Lists.NAME) and word.among(Lists.GIVEN) and len(word.text) > 3 else ()


def _full_name(text: str, around: Sequence[Word]) -> Sequence[Word]:
    first, rest = around[0], list(around[1:])
    kept = [first]
    if rest and _beside(text, first, rest[0]) and (len(rest[0].text) == 1 or rest[0].text.lower() in _PARTICLES):
        kept.append(rest.pop(0))  # an initial, or "van"
    if not rest or not _beside(text, kept[-1], rest[0]) or not _family(first, rest[0]):
        return ()
    kept.append(rest.pop(0))
    further = rest[0] if rest else None
    if further is not None and _beside(text, kept[-1], further) and further.title == first.title:
        kept += [further] if further.among(Lists.FAMILY) and not further.among(Lists.ORDINARY) else []
    return kept


def _beside(text: str, word: Word, following: Word) -> bool:
    gap = text[word.end : following.start]
    spaced = gap in (" ", "  ") and word.text[-2:] not in ("'s", "’s")
    return spaced or (gap == ". " and len(word.text) == 1)


def _family(first: Word, last: Word) -> bool:
    if len(last.text) < 2 or len(first.text) < 2 or last.among(Lists.CONTRACTION | Lists.CALENDAR):
        return False
    if first.title and last.title:  # "Rose Tyler", and neither "Great Fit" nor "Will Return"
        return not last.among(Lists.SPELT) or (last.among(Lists.FAMILY) and not first.among(Lists.ORDINARY))
    small = not first.title and not last.title and not first.among(Lists.FREQUENT)
    return small and last.among(Lists.FAMILY) and not last.among(Lists.ORDINARY)


def known(value: str) -> bool:
    """Whether a list of names has one of the words."""
    return any(lists(word.text) & Lists.NAME for word in words(value, 0, len(value)))
