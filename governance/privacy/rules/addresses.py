"""Street addresses in English: a number and a street, and whatever flat, town, postcode and country go with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from governance.privacy.overlaps import Find
from governance.privacy.rules.rule import BEFORE, Rule
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.vocabulary import EDGE, END, word_list, words

_STREETS = (
    "Street|St|Avenue|Ave|Av|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Courts|Ct|Circle|Circles|Cir|Place|Pl|"
    "Square|Squares|Sq|Terrace|Ter|Trail|Trl|Parkway|Pkwy|Highway|Hwy|Way|Alley|Aly|Loop|Crescent|Close|Mews|"
    "Garden|Gardens|Row|Plaza|Turnpike|Tpke|Route|Expressway|Annex|Arcade|Bayou|Beach|Bend|Bluff|Bluffs|Bottom|Branch|"
    "Bridge|Brook|Brooks|Burg|Burgs|Bypass|Camp|Canyon|Cape|Causeway|Center|Centers|Cliff|Cliffs|(?<!Book )Club|Common|"
    "Commons|Corner|Corners|Course|Cove|Cv|Coves|Creek|Crest|Crossing|Xing|Crossroad|Curve|Dale|Dam|Divide|Estate|"
    "Estates|Extension|Fall|Falls|Ferry|Field|Fields|Flat|Flats|Ford|Fords|Forest|Forge|Forges|Fork|Forks|Fort|"
    "Freeway|Gateway|Glen|Glens|Green|Greens|Grove|Groves|Harbor|Harbors|Haven|Heights|Hill|Hills|Hollow|Inlet|"
    "Island|Islands|Isle|Junction|Junctions|Key|Keys|Knoll|Knolls|Lake|Lakes|Land|Landing|Light|Lights|Loaf|Lock|"
    "Locks|Lodge|Mall|Manor|Manors|Meadow|Meadows|Mill|Mills|Mission|Motorway|Mount|Mountain|Mountains|Neck|"
    "Orchard|Oval|Overpass|Park|Parks|Pass|Passage|Path|Pike|Pine|Pines|Plain|Plains|Point|Points|Port|Ports|"
    "Prairie|Radial|Ramp|Ranch|Rapid|Rapids|Rest|Ridge|Ridges|River|Roads|Run|Shoal|Shoals|Shore|Shores|Skyway|"
    "Spring|Springs|Spur|Spurs|Station|Stravenue|Stream|Streets|Summit|Throughway|Trace|Track|Trafficway|Tunnel|"
    "Underpass|Union|Unions|Valley|Valleys|Via|Viaduct|View|Views|Village|Villages|Ville|Vista|Walk|Walks|"
    "Wall(?! [A-Z][a-z]+r)|"  # not "Wall Planner"
    "Ways|Well|Wells|Wharf|Quay|Parade|Rise|Vale|Drove|Wynd|Broadway|Chase|Embankment|Yard|Esplanade|Promenade|Gate"
)
"""Street suffixes. Source: USPS Publication 28, appendix C1, and the British ones."""

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|"
    "PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}"
_SPACED_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}"
"""By itself: without the space it could be an article's number."""
_ZIP = rf"(?:{_STATES})\.?,?\s{{1,2}}\d{{5}}(?:-\d{{4}})?"
_SEP = r"(?:\s{0,2},\s{0,2}|\s{0,2}\n\s{0,2}|\s{1,2})"
_COUNTRY = (
    rf"(?:{_SEP}(?:USA|U\.S\.A\.|US|UK|U\.K\.|United Kingdom|United States|England|Scotland|Wales|GB)(?![A-Za-z]))?"
)
_TOWN = r"(?:[A-Z][A-Za-z'.’-]{1,24}(?:[ -](?:[A-Z][A-Za-z'.’-]{1,24}|upon|on|le|of|by|the|in)){0,3})"
_TAIL = (
    rf"(?:(?:{_SEP}{_TOWN}){{0,3}}{_SEP}(?:{_ZIP}|{_POSTCODE}|\d{{5}}(?:-\d{{4}})?){END}{_COUNTRY}"
    rf"|(?:,\s{{0,2}}{_TOWN}){{1,2}},\s{{0,2}}(?:{_STATES})(?![A-Za-z])|,\s{{0,2}}{_TOWN}{_COUNTRY})?"
)
_UNIT_WORD = r"(?:Apartment|Apt|Suite|Ste|Unit|Floor|Fl|Flat|Room|Rm|Bldg|Building|Lot|No|#)"
_UNIT = (
    rf"(?:,?\s{{1,2}}(?:{_UNIT_WORD}\.?\s{{0,2}}#?\s?[A-Za-z0-9-]{{1,6}}|\d{{1,2}}(?:st|nd|rd|th) (?:Floor|Fl))){{0,2}}"
)
_HOUSE = (
    r"(?:The\s)?(?:[A-Z][a-z'’]{1,20}\s){0,2}(?:House|Cottage|Barn|Bakery|Lodge|Farm|Farmhouse|Mill|Hall|Manor"
    r"|Villa|Bungalow|Grange|Rectory|Vicarage|Forge|Stables|Croft|Court|Tower|Mansions|Building|Apartments|Chapel"
    r"|Schoolhouse|Oast|Dairy|Gatehouse),?\s{1,2}"
)
_FLAT = rf"{_UNIT_WORD}\.?\s{{0,2}}#?\s?(?:[A-Za-z]?\d{{1,5}}[A-Za-z]?|[A-Z])\s{{0,2}},?\s{{1,2}}"
_PREFIX = re.compile(
    rf"{EDGE}(?:{_HOUSE}|{_FLAT}(?:{_HOUSE})?|{_HOUSE}{_FLAT}|(?:{_HOUSE})?{_UNIT_WORD}\.?\s{{0,2}}#?\s?)\Z",
    re.IGNORECASE,
)
_FAR = 80
"""What may stand before the number: a flat, a house by its name."""
_NAME = r"(?:[A-Z][A-Za-z.'’-]{0,24}|\d{1,3}(?:st|nd|rd|th|ST|ND|RD|TH)|of|the|de|la|del)"
_COMPASS = r"(?:(?:[NSEW]|NE|NW|SE|SW)\.?|North|South|East|West|Northeast|Northwest|Southeast|Southwest)"
_NUMBER = r"\d{1,6}(?:[A-Za-z]|[-/]\d{1,5}[A-Za-z]?)?"

_SURE_STREETS = (
    "street|avenue|ave|boulevard|blvd|road|rd|lane|ln|crescent|terrace|parkway|pkwy|highway|hwy|mews|st|dr|ct|cir"
    "|pl|grove|gardens"
)
_ANY_STREETS = (
    f"{_SURE_STREETS}|drive|court|circle|place|square|sq|close|way|trail|row|broadway|walk|hill|rise|loop|park|view"
)
_NOT_A_STREET = (
    "minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|times?|stars?|out|of|in|to|for|and|or|the|a|an|my|your|is"
    "|was|"
    "it|i|more|less|most|size|sizes|long|short|inches|inch|cm|mm|lbs?|pounds?|kg|feet|foot|ft|percent|off|different"
    "|other|"
    "people|items?|pairs?|pieces?|orders?|boxes|bags?|colou?rs?|at|on|by|with|from|this|that|down|up|all|which|no|one"
    "|two|both|"
    "dress|dresses|shirts?|tops?|shoes|seconds?|secs?|miles?|km|blocks?|dollars?|bucks|quid|pm|am|business|working"
    "|next|last|any|some|every|until|till|near|opposite|along|across|behind|between|only|through|via|beside|outside"
    "|inside|after|before|around"
)
_PLACE = words(
    "address|addresses|adress|adresses|adres|addy|ship|shipped|ships|shipping|deliver|delivered|delivery|live|lives|living|moved|moving|sent"
    "|send|sending|"
    "mail|mailed|drop|dropped|left|at|to|house|home|flat|apartment|apt|unit|building|neighbou?r|courier|driver|pick"
    "|collect|location|door"
)


_SMALL_WORD = rf"(?!(?:{_NOT_A_STREET})\s)[a-z][a-z'’.-]{{1,24}}"
_SMALL_TAIL = (
    rf"(?:{_SEP}{_SMALL_WORD}){{0,4}}{_SEP}(?:{_ZIP}|{_POSTCODE}|(?:{_STATES})(?![A-Za-z])(?:\s{{1,2}}\d{{5}})?"
    rf"|\d{{5}}){END}"
)


_SMALL_STREET = (
    rf"(?:(?:[nsew]|ne|nw|se|sw|north|south|east|west)\.?\s{{1,2}})?"
    rf"(?:{_SMALL_WORD}\s{{1,2}}|\d{{1,3}}(?:st|nd|rd|th)\s{{1,2}}){{1,3}}"
)
_EVERYDAY = 600
"""Of the ordinary words: those that are no town behind a street."""
_SMALL_TOWN = (
    r"(?P<tail>,\s{0,2}(?!(?:please|pls|plz|thanks?|thx|leave)(?![a-z]))"
    rf"(?P<town>{_SMALL_WORD})(?P<second>\s{_SMALL_WORD}(?=\s?[,.\n]|\Z))?)"
)
_STREET_ENDS = rf"(?![A-Za-z'’])\.?{_UNIT}"
_STARTS = re.compile(rf"{EDGE}{_NUMBER},?\s{{1,2}}(?=[A-Za-z0-9])")

_CAPITALS = tuple(
    re.compile(pattern)
    for pattern in (
        # a street by its suffix
        rf"(?!(?:of|the)\s)(?:{_COMPASS}\s{{1,2}})?(?:{_NAME}\s{{1,2}}){{1,4}}(?:{_STREETS})(?![A-Za-z'’])\.?"
        rf"(?:\s{{1,2}}{_COMPASS}(?![A-Za-z0-9.]))?{_UNIT}{_TAIL}",
        # Broadway, The Avenue, Highway 12, Avenue of the Americas, County Road 7, E 700 N
        rf"(?:{_COMPASS}\s{{1,2}})?(?:Broadway|(?:The|High|Church|Main|Park)\s(?:{_STREETS})"
        r"|(?:(?:State|County|US|Old|Farm to Market)\s)?(?:Highway|Hwy|Route|Rte|Road|Rd|Avenue|Ave|FM|CR)"
        r"\s(?:\d{1,4}|[A-Z]|of the [A-Z][a-z]+)"
        rf"|\d{{2,5}}\s{_COMPASS})(?![A-Za-z0-9]){_UNIT}{_TAIL}",
        # any street, vouched for by the state and ZIP code, or the postcode, behind it
        r"[A-Z0-9][A-Za-z0-9.'’-]{0,24}(?:\s{1,2}[A-Z0-9][A-Za-z0-9.'’-]{0,24}){0,4}"
        rf"{_UNIT}(?:{_SEP}{_TOWN}){{0,3}}{_SEP}(?:{_ZIP}|{_POSTCODE}){END}{_COUNTRY}",
    )
)
# As people chat: a sure street, or any street that a postcode or, at last, a word before it vouches for.
_SMALL = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_SMALL_STREET}(?:{_SURE_STREETS}){_STREET_ENDS}(?:{_SMALL_TAIL}|{_SMALL_TOWN})?",
        rf"{_SMALL_STREET}(?:{_ANY_STREETS}){_STREET_ENDS}{_SMALL_TAIL}",
    )
)
_SMALL_NEAR = re.compile(rf"{_SMALL_STREET}(?:{_ANY_STREETS}){_STREET_ENDS}(?:{_SMALL_TOWN})?", re.IGNORECASE)

_WORD = re.compile(r"[A-Za-z][\w'’.-]*")
_MONTH = re.compile(r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?,? +(?=[a-z])")
_CODE = re.compile(rf"{_ZIP}|{_POSTCODE}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Finds addresses that begin with a number, and what stands before it: a flat, a house by its name."""

    entity: str = "STREET_ADDRESS"

    def needs(self, signs: Signs) -> bool:
        """Whether there is a number."""
        return signs.digits > 0

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text."""
        text, reached = signs.text, 0
        for number in _STARTS.finditer(text):
            if number.start() < reached:
                continue
            end, score = _longest(signs, number.start(), number.end())
            if score:
                before = _PREFIX.search(text, max(0, number.start() - _FAR), number.start())
                reached = end
                yield Find(self.entity, before.start() if before else number.start(), end, score)


def _longest(signs: Signs, start: int, place: int) -> tuple[int, float]:
    """(end, score) of the longest address whose number stands before a place."""
    text = signs.text
    options = [(0, 0.0)]
    options += [(found.end(), 0.7) for pattern in _CAPITALS if (found := pattern.match(text, place))]
    options += [(_end(found), 0.5) for pattern in _SMALL if (found := pattern.match(text, place)) and _even(found[0])]
    near = _SMALL_NEAR.match(text, place)
    if near is not None and _even(near[0]) and _PLACE.search(signs.words, max(0, start - BEFORE), start):
        options.append((_end(near), 0.6))
    return max(options)


def _even(street: str) -> bool:
    """Whether a street is written in one way, or has a postcode: "13 Aug at Park Lane" is a day and a place."""
    first, *rest = _WORD.findall(_MONTH.sub("", street, count=1))
    mixed = first[0].islower() and any(word[0].isupper() for word in rest)
    return not mixed or _CODE.search(street) is not None


def _end(found: re.Match[str]) -> int:
    """Where an address ends: before a town that is an ordinary word, as in "12 oak road, please leave it"."""
    groups = found.groupdict()
    for group, part in (("town", "tail"), ("second", "second")):
        word = groups.get(group)
        if word and word.strip(" .") in word_list("words.en", _EVERYDAY):
            return found.start(part)
    return found.end()


RULES: tuple[Addresses | Rule, ...] = (
    Addresses(),
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(rf"{EDGE}P\.?\s?O\.?\s?Box\s{{1,2}}\d{{1,6}}{_TAIL}", re.IGNORECASE),
        needs=lambda signs: signs.digits > 0 and "box" in signs.lower,
        score=0.6,
    ),
    Rule(  # a town with its postcode or ZIP code alone
        entity="STREET_ADDRESS",
        pattern=re.compile(rf"{EDGE}(?:{_ZIP}|{_SPACED_POSTCODE}){END}"),
        prefix=re.compile(rf"(?<![A-Za-z0-9])(?:{_TOWN}(?:,\s{{0,2}}|\s)){{1,2}}\Z"),
        needs=lambda signs: signs.digits > 1,
        score=0.5,
    ),
    Rule(  # a postcode without its space could be an article's number, but for a word before it
        entity="STREET_ADDRESS",
        pattern=re.compile(rf"{EDGE}[A-Z]{{1,2}}\d[A-Z\d]?\d[A-Z]{{2}}{END}"),
        prefix=re.compile(rf"(?<![A-Za-z0-9])(?:{_TOWN}(?:,\s{{0,2}}|\s)){{1,2}}\Z"),
        needs=lambda signs: signs.digits > 1,
        context=words(
            "post ?codes?", "postal code", "delivery?", "deliver(?:ing|ed|s)?", "address", "live", "shipp?(?:ing|ed)?"
        ),
        reach=(BEFORE, 0),
        supported=0.5,
        shops_own=True,
    ),
)
"""Addresses with a number, post office boxes, and a town with its postcode."""
