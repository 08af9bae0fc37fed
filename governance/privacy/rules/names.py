"""Names of people in texts of Latin letters: by lists of names, by words that introduce one, and what a model's find is worth.

A small model misses names in small letters and takes clothes for people. So its finds are weighed against lists
of names and of ordinary words, and names are also found by what stands before them.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from governance.privacy.overlaps import MODEL, Find
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.vocabulary import frequent, word_list

_LETTER = "[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"  # of the Latin script
_TOKEN = re.compile(rf"{_LETTER}+(?:['’-]{_LETTER}+)*")
_PARTICLES = frozenset("de da del della di van von der den bin binti ibn al el la le dos das du st san y o mac".split())
_PRODUCTS = (
    "dress|dresses|top|tops|tee|tees|blouse|shirt|shirts|skirt|skirts|jean|jeans|pants|trousers|shorts|sweater|cardigan|jacket|coat|"
    "romper|jumpsuit|tunic|boots?|shoes?|sandals?|sneakers?|trainers?|heels|flats|bag|bags|tote|purse|wallet|scarf|hat|belt|socks|"
    "lipstick|perfume|watch|sunglasses|earrings|necklace|bracelet|ring|sofa|chair|table|lamp|rug|mug|pan|blender|headphones|speaker|"
    "phone|laptop|tablet|case|collection|line|style|print|edition|series|range|model|fit|cut|midi|maxi|mini|bodysuit|swimsuit|bikini|bra|"
    "leggings|hoodie|parka|vest|blazer|knit|kimono|poncho|pumps?|loafers?|mules?|clogs?|backpack|duvet|quilt|candle|serum|cream|"
    "sweatshirt|gown|suit|denim|kit|set|bootie|booties|cap|gloves|outlet|store|sauce|coffee|tea|wine|beer"
)
_AFTER_PRODUCT = re.compile(rf"['’]?s?\s(?:[a-z-]+\s){{0,2}}(?:{_PRODUCTS})(?![A-Za-z])", re.IGNORECASE)
_BEFORE_PRODUCT = re.compile(
    r"(?:(?<![A-Za-z])(?:the|this|shade|shade of|colou?r|these|those|my new|a|an|pair of|our|style|called the|in the|by|from brand|brand)\s)$",
    re.IGNORECASE,
)
BRANDS = re.compile(
    r"calvin klein|ben sherman|aunt bessie'?s|burt'?s bees|ray[- ]ban|jo jo maman bebe|river island|dorothy perkins|miss selfridge|peter rabbit|paul mitchell|tommee tippee|joules|seraphine|tommy hilfiger|ralph lauren|michael kors|kate spade|tory burch|marc jacobs|levi'?s?(?: strauss)?|dr\.? martens|"
    r"doc martens|jimmy choo|stella mccartney|vera wang|eileen fisher|ann taylor|betsey johnson|nicole miller|donna karan|"
    r"christian dior|louis vuitton|coco chanel|hugo boss|giorgio armani|emporio armani|paul smith|ted baker|alexander wang|"
    r"alexander mcqueen|vivienne westwood|karl lagerfeld|steve madden|sam edelman|cole haan|stuart weitzman|kenneth cole|"
    r"christian louboutin|manolo blahnik|vince camuto|jessica simpson|johnston & murphy|oscar de la renta|diane von furstenberg|"
    r"isabel marant|rebecca minkoff|rebecca taylor|marchesa|laura ashley|abercrombie|hollister|charlotte tilbury|bobbi brown|"
    r"estee lauder|elizabeth arden|mary kay|jo malone|tom ford|yves saint laurent|philip morris|ben & jerry'?s?|johnny was|"
    r"lucky brand|victoria'?s secret|trader joe'?s?|black & decker|harley davidson|harry winston|tiffany(?: & co)?|jack daniel'?s?|"
    r"jim beam|johnnie walker|jack wills|jack & jones|fred perry|lacoste|barbour|clarks?|russell hobbs|george foreman|jamie oliver|"
    r"john lewis|marks & spencer|peter jones|harvey nichols|tommy bahama|jos\.? a\.? bank|brooks brothers|mercedes|lloyd|"
    r"martha stewart|rachael ray|sealy|la mer|prada|gucci|versace|valentino|burberry|hermes|fendi|moncler|patagonia|"
    r"adidas|puma|reebok|nike|jordan|air jordan|dyson|miele|bosch|siemens|samsung|tesla|wedgwood|royal doulton|emma bridgewater|"
    r"cath kidston|orla kiely|radley|mulberry|anya hindmarch|liz claiborne|perry ellis|tommy john|bonobos|jenni kayne|eddie bauer|"
    r"ll bean|l\.l\. bean|lands end|santa claus|father christmas|valentine|easter|google|amazon|apple|alexa|siri|royal mail|"
    r"frank green|stanley|yeti|thermos|hunter|ugg|birkenstock|teva|keds|vans|converse|crocs|toms|cartier|rolex|omega|seiko|fossil",
    re.IGNORECASE,
)
"""Brands that are called like people, or that a model takes for them."""
_SERVICE = frozenset(
    "courier parcel manager regards cheers team support agent everyone anybody anyone guys folks sir madam maam hello hey hi dear thanks "
    "thank sincerely best kind warm warmest yours faithfully sent via iphone android asap hotline mom mum dad mother father sister brother "
    "wife husband daughter son niece nephew aunt uncle friend neighbour neighbor colleague boss boyfriend girlfriend fiance grandma "
    "grandmother grandpa grandfather kids baby monday tuesday wednesday thursday friday saturday sunday january february march april june july "
    "august september october november december christmas easter america american england english british french italian spanish chinese paris "
    "london york boston chicago texas florida california washington usa uk europe india china japan germany france italy spain ireland "
    "scotland wales online customer service helpdesk order amazon fedex ups usps dhl hermes evri dpd paypal visa mastercard amex "
    "here there available going not just very really also still currently writing waiting happy sorry unable trying looking having getting "
    "calling contacting emailing missing broken lost late supposed meant gonna wanna lol omg pls plz please thx ty tysm btw fyi idk imo".split()
)
_NAME = rf"(?:{_LETTER}+(?:['’-]{_LETTER}+)*\.?(?:\s{{1,2}}{_LETTER}+(?:['’-]{_LETTER}+)*\.?){{0,3}})"
_NAMED = re.compile(  # what follows is a name, whatever it looks like
    r"(?<![A-Za-z])(?:my (?:full |first |last |given |real )?name(?:'s| is|s| was)|names? (?:is|was)|(?:full |first |last |sur)?name\s?[:=]|i am called|"
    r"in the name of|under the name(?: of)?|mr|mrs|ms|miss|mx|dr|prof|professor|mister)\.?\s{1,2}(?=(?P<value>"
    + _NAME
    + "))",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(  # a person is spoken to or of: a word that no dictionary has is a name
    r"(?<![A-Za-z])(?:i am|i'm|i’m|im|it's|its|it’s|it is|this is|hi|hiya|hey|hello|dear|thanks|thank you|thx|cheers|asks? for|asked for|asking for|spoke (?:to|with)|"
    r"speak (?:to|with)|talk(?:ed|ing)? (?:to|with)|chatt(?:ed|ing) (?:to|with)|named|met|tell|told|"
    r"sister(?:-in-law)?|brother(?:-in-law)?|mother(?:-in-law)?|father(?:-in-law)?|mom|mum|dad|wife|husband|hubby|daughter|son|niece|nephew|aunt|auntie|uncle|cousin|friend|bestie|mate|"
    r"neighbou?r|colleague|coworker|roommate|flatmate|boss|boyfriend|girlfriend|partner|fianc[eé]e?|grandma|grandmother|grandpa|nan|gran|agent|rep|advisor|driver|manager|stylist|"
    r"regards|sincerely|xoxo|yours|faithfully|signed(?: for)?(?: by)?|sent by|assistant|clerk|lady|guy|nurse|recipient(?: is|:)|attn\.?\s?:?|attention:|c/o|care of|"
    r"account holder(?: is|:)?|card ?holder(?: is|:)?|addressed to|on behalf of|registered to|made out to|payable to|customer:|buyer:|seller:|contact:|from:|to:|ship to:?|deliver(?:ed)? to|write to|name|label says|left (?:it )?with)[,:!.]{0,2}\s{1,2}"
    r"(?=(?P<value>" + _NAME + "))",
    re.IGNORECASE,
)
_NEAR = re.compile(  # a name may follow, if a list has it
    r"(?<![A-Za-z])(?:with|by|from|for|to|and|via|please|contact|reach|called|best|xx|x|love|team|ty|man|woman|courier|that's|here is|say hi to|at the (?:till|store|counter|desk|shop)|till|store|shop)[,:!.]{0,2}\s{1,2}"
    r"(?=(?P<value>" + _NAME + "))",
    re.IGNORECASE,
)
_SAID = re.compile(
    rf"(?<![^\W_])(?P<value>{_LETTER}{{3,}})\s(?:said|says|told|replied|promised|helped|emailed|confirmed|answered|signed)(?![A-Za-z])",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(
    rf"(?:^|[\n.!?,~-])[ \t]*[-–~]?\s?(?=(?P<value>{_NAME})[.!]?\s*(?:x{{1,3}}|xo)?\s*\Z)", re.IGNORECASE
)
_CONTRACTION = re.compile(r"n['’]t$|['’](?:ll|re|ve|d|m)$")
_POSSESSIVE = re.compile(r"['’]s?$", re.IGNORECASE)

_ENDINGS = (
    ("s", ""), ("es", ""), ("ies", "y"), ("d", ""), ("ed", ""), ("ied", "y"), ("ing", ""), ("ing", "e"), ("ly", ""), ("er", ""),
    ("er", "e"), ("ers", ""), ("y", ""), ("ness", ""), ("ful", ""), ("less", ""), ("able", ""), ("able", "e"), ("est", ""), ("ment", ""),
)  # fmt: skip
_DOUBLED = re.compile(r"(\w+(\w))\2(?:ed|ing|er)$")
_CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october "
    "november december mon tue tues wed thu thur thurs fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec christmas easter".split()
)
FREQUENT = 1_500
"""Of the ordinary words: those that are no name in small letters, whatever introduces them."""
PROMINENT = 400
"""Of the given names: those that are names even where a dictionary has them as words."""
CERTAIN, LIKELY, POSSIBLE, UNLIKELY = 0.85, 0.6, 0.45, 0.1
"""Scores. `POSSIBLE` is above the shipped policies' threshold, `UNLIKELY` below it."""


class _Cue(enum.Enum):
    """How strongly what stands before a word says that it's a name."""

    NAMED = enum.auto()
    ADDRESSED = enum.auto()
    NEAR = enum.auto()


@dataclass(frozen=True, slots=True)
class _Word:
    """One word of a text: where it is, and what the lists say of it."""

    text: str
    start: int
    end: int

    @property
    def plain(self) -> str:
        return _plain(self.text)

    @property
    def title(self) -> bool:
        return self.text[0].isupper()

    @property
    def given(self) -> bool:
        return self.plain in word_list("given.en")

    @property
    def family(self) -> bool:
        return self.plain in word_list("family.en")

    @property
    def ordinary(self) -> bool:
        return self.plain in word_list("words.en") or self.plain in _SERVICE

    @property
    def spelt(self) -> bool:
        """In the dictionary, as it is or as a form of a stem."""
        return spelt(self.plain)

    @property
    def frequent(self) -> bool:
        return self.plain in frequent("words.en", FREQUENT) or self.plain in _SERVICE

    @property
    def name(self) -> bool:
        """A name and nothing else, or one that everybody knows for a name, such as "john"."""
        return (
            (self.given or self.family)
            and not self.ordinary
            and (not self.spelt or self.plain in frequent("given.en", PROMINENT))
        )


def spelt(word: str) -> bool:
    """Whether an English word, in small letters, is in the dictionary or a plain form of a stem that is."""
    stems = word_list("spelt.en")
    if word in stems or word in word_list("words.en") or word in _SERVICE:
        return True
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and word[: -len(ending)] + instead in stems:
            return True
    doubled = _DOUBLED.match(word)  # "shipped", "fitting"
    return doubled is not None and doubled[1] in stems


def _plain(word: str) -> str:
    lowered = _POSSESSIVE.sub("", word.lower())
    if lowered.isascii():
        return lowered
    return "".join(char for char in unicodedata.normalize("NFKD", lowered) if not unicodedata.combining(char))


def _words(text: str, start: int, end: int) -> list[_Word]:
    return [_Word(match[0], *match.span()) for match in _TOKEN.finditer(text, start, end)]


@dataclass(frozen=True, slots=True)
class Names:
    """Finds names by lists and introductions."""

    entity: str = "PERSON"

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text."""
        text = signs.text
        for cue, pattern in ((_Cue.NAMED, _NAMED), (_Cue.ADDRESSED, _ADDRESSED), (_Cue.NEAR, _NEAR)):
            for match in pattern.finditer(text):
                yield from _introduced(text, *match.span("value"), cue)
        for match in _SAID.finditer(text):
            yield from (
                find
                for find in _introduced(text, *match.span("value"), _Cue.ADDRESSED)
                if find.end == match.end("value")
            )
        for match in _SIGNATURE.finditer(text):
            start, end = match.span("value")
            # The whole of it: "Made in Portugal." ends a text too.
            yield from (find for find in _introduced(text, start, end, _Cue.ADDRESSED) if find.end >= end - 1)
        yield from _pairs(text)


def _introduced(text: str, start: int, end: int, cue: _Cue) -> Iterator[Find]:
    """The name at the beginning of a stretch that an introduction precedes."""
    kept: list[_Word] = []
    for word in _words(text, start, end):
        if kept and text[kept[-1].end : word.start].strip(" .'’"):
            break
        initial = len(word.text) == 1 and (word.title or bool(kept)) and word.plain not in "iax"
        if initial or (kept and word.plain in _PARTICLES) or _fits(word, kept, cue):
            kept.append(word)
        else:
            break
    while kept and (
        (kept[-1].plain in _PARTICLES and not kept[-1].title) or (len(kept[-1].text) == 1 and len(kept) == 1)
    ):
        kept.pop()
    if kept and (find := judged(text, kept[0].start, kept[-1].end, LIKELY)) is not None:
        yield find


def _fits(word: _Word, kept: Sequence[_Word], cue: _Cue) -> bool:
    """Whether a word goes on with a name, or begins one."""
    if len(word.text) < 2 or word.plain in _CALENDAR or _CONTRACTION.search(word.plain):
        return False
    listed = word.given or word.family
    if kept:
        return (word.title and (listed or not word.spelt)) or (
            not kept[0].title
            and ((word.family and not word.frequent) or (word.given and not word.ordinary) or not word.spelt)
        )
    if cue is _Cue.NAMED:
        return (word.title and listed) or not word.ordinary
    if word.title:
        unknown = cue is _Cue.ADDRESSED and not word.spelt and word.text[1:].islower()
        return (listed and (not word.ordinary or word.given)) or unknown
    unknown = cue is _Cue.ADDRESSED and len(word.text) > 3 and not word.spelt and (listed or len(word.text) > 4)
    return len(word.text) > 2 and ((word.name and not (word.spelt and cue is _Cue.NEAR)) or unknown)


def _pairs(text: str) -> Iterator[Find]:
    """A given name and a family name side by side, whatever stands before them."""
    words = _words(text, 0, len(text))
    given, family = word_list("given.en"), word_list("family.en")
    place = 0
    while place < len(words) - 1:
        first = words[place]
        place += 1
        if first.plain not in given:
            continue
        last = words[place]
        between = text[first.end : last.start]
        if between not in (" ", "  ", ". "):
            continue
        through = last
        if (
            len(last.text) == 1
            and (last.title or not first.title)
            and place + 1 < len(words)
            and text[last.end : words[place + 1].start] in (". ", " ")
        ):
            through = words[place + 1]  # an initial
        elif last.plain in _PARTICLES and place + 1 < len(words) and text[last.end : words[place + 1].start] == " ":
            through = words[place + 1]
        if _pair(first, through, family):
            while place < len(words) and words[place].end <= through.end:
                place += 1
            further = words[place] if place < len(words) else None
            if (
                further is not None
                and text[through.end : further.start] == " "
                and further.title == first.title
                and further.family
                and not further.ordinary
            ):
                through = further
                place += 1
            if (find := judged(text, first.start, through.end, LIKELY)) is not None:
                yield find


def _pair(first: _Word, last: _Word, family: frozenset[str]) -> bool:
    if len(last.text) < 2 or len(first.text) < 2:
        return False
    if first.title and last.title:  # "Rose Tyler", and neither "Great Fit" nor "Will Return"
        return not last.ordinary or (last.plain in family and not first.ordinary)
    small = not first.title and not last.title
    return small and not first.frequent and not last.ordinary and last.plain in family


def known(value: str) -> bool:
    """Whether a list of names has one of the words."""
    return any(word.name for word in _words(value, 0, len(value)))


def judged(text: str, start: int, end: int, score: float) -> Find | None:
    """A candidate, unless a brand or a style of clothes is meant."""
    if (
        (brand := BRANDS.match(text, start)) is not None
        and brand.end() - start > (end - start) / 2
        and _ends(text, brand.end())
    ):
        return None
    styled = _AFTER_PRODUCT.match(text, end) and not text[end : end + 2].lower() in ("'s", "’s")
    named = _BEFORE_PRODUCT.search(text, max(0, start - 16), start)
    if styled and (named or " " not in text[start:end]):
        return None
    return Find("PERSON", start, end, score)


def recased(text: str) -> str:
    """A text that doesn't begin with one, with capitals where a name may be: a model that learned from news knows names by them.

    >>> recased("ask for kaleigh in the shop")
    'ask for Kaleigh in the shop'
    """
    first = next((char for char in text if char.isalpha()), "A")
    if first.isupper():
        return text
    pieces, position = [], 0
    for word in _words(text, 0, len(text)):
        if (
            len(word.text) > 2
            and (word.name or not word.spelt)
            and word.plain not in _CALENDAR
            and not _CONTRACTION.search(word.plain)
        ):
            pieces += [text[position : word.start], word.text[0].upper()]
            position = word.start + 1
    recapped = "".join([*pieces, text[position:]])
    return recapped if len(recapped) == len(text) else text


def _ends(text: str, place: int) -> bool:
    return not text[place : place + 1].isalnum()


def weighed(text: str, start: int, end: int) -> Find:
    """What a model's find is worth: it gives no score of its own."""
    words = _words(text, start, end)
    while len(words) > 1 and words[0].ordinary and not (words[0].given or words[0].family):
        words.pop(0)  # "Beautiful Hudson"
        start = words[0].start
    styled = judged(text, start, end, CERTAIN) is None
    introduced = len(words) == 1 and _BEFORE_PRODUCT.search(text, max(0, start - 16), start)
    coded = any(char.isdigit() for char in text[start:end]) or re.match(r"[-_#]?\d", text[end : end + 2])
    unlikely = not words or styled or introduced or coded or (len(words) == 1 and _odd(words[0]))
    return Find("PERSON", start, end, UNLIKELY if unlikely else _worth(words), MODEL)


def _odd(word: _Word) -> bool:
    """An abbreviation, or a word such as "WiFi", and no name that is known."""
    return not word.name and (
        word.text[1:] != word.text[1:].lower() and not re.match(r"(?:Mc|Mac|O['’]|D['’])[A-Z]", word.text)
    )


def _worth(words: Sequence[_Word]) -> float:
    if all(word.ordinary or len(word.text) == 1 for word in words):
        # "Will Young" is made of words, and is a name with its capitals alone.
        both = len(words) > 1 and all(word.title for word in words) and words[0].given and words[-1].family
        return POSSIBLE if both else UNLIKELY
    if not any(word.title for word in words):
        likely = any(word.name for word in words) or (len(words) > 1 and not any(word.spelt for word in words))
        return POSSIBLE if likely else UNLIKELY
    return UNLIKELY if all(word.plain in _CALENDAR for word in words) else CERTAIN
