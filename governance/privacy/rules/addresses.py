"""Street addresses in English: a number and a street, and whatever flat, town, postcode and country go with them."""

from __future__ import annotations

import re

from governance.privacy.rules.rule import Rule
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.vocabulary import EDGE, END, words

_STREETS = (
    "Street|St|Avenue|Ave|Av|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Courts|Ct|Circle|Circles|Cir|Place|Pl|"
    "Square|Squares|Sq|Terrace|Ter|Trail|Trl|Parkway|Pkwy|Highway|Hwy|Way|Alley|Aly|Loop|Crescent|Close|Mews|"
    "Garden|Gardens|Row|Plaza|Turnpike|Tpke|Route|Expressway|Annex|Arcade|Bayou|Beach|Bend|Bluff|Bluffs|Bottom|Branch|"
    "Bridge|Brook|Brooks|Burg|Burgs|Bypass|Camp|Canyon|Cape|Causeway|Center|Centers|Cliff|Cliffs|Club|Common|"
    "Commons|Corner|Corners|Course|Cove|Cv|Coves|Creek|Crest|Crossing|Xing|Crossroad|Curve|Dale|Dam|Divide|Estate|"
    "Estates|Extension|Fall|Falls|Ferry|Field|Fields|Flat|Flats|Ford|Fords|Forest|Forge|Forges|Fork|Forks|Fort|"
    "Freeway|Gateway|Glen|Glens|Green|Greens|Grove|Groves|Harbor|Harbors|Haven|Heights|Hill|Hills|Hollow|Inlet|"
    "Island|Islands|Isle|Junction|Junctions|Key|Keys|Knoll|Knolls|Lake|Lakes|Land|Landing|Light|Lights|Loaf|Lock|"
    "Locks|Lodge|Mall|Manor|Manors|Meadow|Meadows|Mill|Mills|Mission|Motorway|Mount|Mountain|Mountains|Neck|"
    "Orchard|Oval|Overpass|Park|Parks|Pass|Passage|Path|Pike|Pine|Pines|Plain|Plains|Point|Points|Port|Ports|"
    "Prairie|Radial|Ramp|Ranch|Rapid|Rapids|Rest|Ridge|Ridges|River|Roads|Run|Shoal|Shoals|Shore|Shores|Skyway|"
    "Spring|Springs|Spur|Spurs|Station|Stravenue|Stream|Streets|Summit|Throughway|Trace|Track|Trafficway|Tunnel|"
    "Underpass|Union|Unions|Valley|Valleys|Via|Viaduct|View|Views|Village|Villages|Ville|Vista|Walk|Walks|Wall|"
    "Ways|Well|Wells|Wharf|Quay|Parade|Rise|Vale|Drove|Wynd|Broadway|Chase|Embankment|Yard|Esplanade|Promenade|Gate"
)
"""Street suffixes. Source: USPS Publication 28, appendix C1, and the British ones."""

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|"
    "PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}"
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
_HOUSE = r"(?:The\s)?(?:[A-Z][a-z'’]{1,20}\s){0,2}(?:House|Cottage|Barn|Bakery|Lodge|Farm|Farmhouse|Mill|Hall|Manor|Villa|Bungalow|Grange|Rectory|Vicarage|Forge|Stables|Croft|Court|Tower|Mansions|Building|Apartments|Chapel|Schoolhouse|Oast|Dairy|Gatehouse),?\s{1,2}"
_FLAT = rf"(?:{_HOUSE})?(?:{_UNIT_WORD}\.?\s{{0,2}}#?\s?(?:[A-Za-z]?\d{{1,5}}[A-Za-z]?|[A-Z])\s{{0,2}},?\s{{1,2}}(?:[A-Z][A-Za-z'’]{{1,20}}\s(?:House|Court|Building|Lodge|Mansions),?\s{{1,2}})?)?"
_NAME = r"(?:[A-Z][A-Za-z.'’-]{0,24}|\d{1,3}(?:st|nd|rd|th|ST|ND|RD|TH)|of|the|de|la|del)"
_COMPASS = r"(?:(?:[NSEW]|NE|NW|SE|SW)\.?|North|South|East|West|Northeast|Northwest|Southeast|Southwest)"
_NUMBER = r"\d{1,6}(?:[A-Za-z]|[-/]\d{1,5}[A-Za-z]?)?"

_SURE_STREETS = "street|avenue|ave|boulevard|blvd|road|rd|lane|ln|crescent|terrace|parkway|pkwy|highway|hwy|mews|st|dr|ct|cir|pl|grove|gardens"
_ANY_STREETS = (
    f"{_SURE_STREETS}|drive|court|circle|place|square|sq|close|way|trail|row|broadway|walk|hill|rise|loop|park|view"
)
_NOT_A_STREET = (
    "minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|times?|stars?|out|of|in|to|for|and|or|the|a|an|my|your|is|was|"
    "it|i|more|less|most|size|sizes|long|short|inches|inch|cm|mm|lbs?|pounds?|kg|feet|foot|ft|percent|off|different|other|"
    "people|items?|pairs?|pieces?|orders?|boxes|bags?|colou?rs?|at|on|by|with|from|this|that|down|up|all|which|no|one|two|both|"
    "dress|dresses|shirts?|tops?|shoes|seconds?|secs?|miles?|km|blocks?|dollars?|bucks|quid|pm|am|business|working|next|last|any|some|every"
)
_PLACE = words(
    "address|addresses|ship|shipped|ships|shipping|deliver|delivered|delivery|live|lives|living|moved|moving|sent|send|sending|"
    "mail|mailed|drop|dropped|left|at|to|house|home|flat|apartment|apt|unit|building|neighbou?r|courier|driver|pick|collect|location|door"
)


_SMALL_WORD = rf"(?!(?:{_NOT_A_STREET})\s)[a-z][a-z'’.-]{{1,24}}"
_SMALL_TAIL = rf"(?:{_SEP}{_SMALL_WORD}){{0,4}}{_SEP}(?:{_ZIP}|{_POSTCODE}|(?:{_STATES})(?![A-Za-z])(?:\s{{1,2}}\d{{5}})?|\d{{5}}){END}"


def _small(streets: str, tail: str) -> str:
    """A pattern for an address in which case says nothing."""
    return (
        rf"{EDGE}(?:{_HOUSE})?(?:{_UNIT_WORD}\.?\s{{0,2}}#?\s?\w{{1,4}},?\s{{1,2}})?{_NUMBER},?\s{{1,2}}(?:(?:[nsew]|ne|nw|se|sw|north|south|east|west)\.?\s{{1,2}})?"
        rf"(?:{_SMALL_WORD}\s{{1,2}}|\d{{1,3}}(?:st|nd|rd|th)\s{{1,2}}){{1,3}}(?:{streets})(?![A-Za-z'’])\.?{_UNIT}{tail}"
    )


def _number(signs: Signs) -> bool:
    return signs.digits > 0


RULES: tuple[Rule, ...] = (
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(
            rf"{EDGE}{_FLAT}{_NUMBER},?\s{{1,2}}(?:{_COMPASS}\s{{1,2}})?(?:{_NAME}\s{{1,2}}){{1,4}}(?:{_STREETS})(?![A-Za-z'’])\.?"
            rf"(?:\s{{1,2}}{_COMPASS}(?![A-Za-z.]))?{_UNIT}{_TAIL}"
        ),
        needs=_number,
        score=0.7,
    ),
    Rule(  # Broadway, The Avenue, Highway 12, Avenue of the Americas, County Road 7, E 700 N
        entity="STREET_ADDRESS",
        pattern=re.compile(
            rf"{EDGE}{_FLAT}{_NUMBER},?\s{{1,2}}(?:{_COMPASS}\s{{1,2}})?"
            rf"(?:Broadway|(?:The|High|Church|Main|Park)\s(?:{_STREETS})|(?:(?:State|County|US|Old|Farm to Market)\s)?(?:Highway|Hwy|Route|Rte|Road|Rd|Avenue|Ave|FM|CR)\s(?:\d{{1,4}}|[A-Z]|of the [A-Z][a-z]+)"
            rf"|\d{{2,5}}\s{_COMPASS})(?![A-Za-z0-9]){_UNIT}{_TAIL}"
        ),
        needs=_number,
        score=0.7,
    ),
    Rule(  # Any street name, vouched for by the state and ZIP code, or the postcode, behind it.
        entity="STREET_ADDRESS",
        pattern=re.compile(
            rf"{EDGE}{_FLAT}{_NUMBER},?\s{{1,2}}[A-Z0-9][A-Za-z0-9.'’-]{{0,24}}(?:\s{{1,2}}[A-Z0-9][A-Za-z0-9.'’-]{{0,24}}){{0,4}}"
            rf"{_UNIT}(?:{_SEP}{_TOWN}){{0,3}}{_SEP}(?:{_ZIP}|{_POSTCODE}){END}{_COUNTRY}"
        ),
        needs=lambda signs: signs.digits > 2,
        score=0.7,
    ),
    Rule(  # in small letters or capitals, as people chat
        entity="STREET_ADDRESS",
        pattern=re.compile(_small(_ANY_STREETS, rf"(?:{_SMALL_TAIL})?"), re.IGNORECASE),
        needs=_number,
        context=_PLACE,
        supported=0.6,
    ),
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(_small(_SURE_STREETS, rf"(?:{_SMALL_TAIL})?"), re.IGNORECASE),
        needs=_number,
        score=0.5,
    ),
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(_small(_ANY_STREETS, _SMALL_TAIL), re.IGNORECASE),
        needs=lambda signs: signs.digits > 2,
        score=0.6,
    ),
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(rf"{EDGE}P\.?\s?O\.?\s?Box\s{{1,2}}\d{{1,6}}{_TAIL}", re.IGNORECASE),
        needs=_number,
        score=0.6,
    ),
    Rule(  # a town with its postcode or ZIP code alone
        entity="STREET_ADDRESS",
        pattern=re.compile(rf"(?<![A-Za-z0-9])(?:{_TOWN}(?:,\s{{0,2}}|\s)){{0,2}}(?:{_ZIP}|{_POSTCODE}){END}"),
        needs=lambda signs: signs.digits > 1,
        score=0.5,
    ),
)
"""Addresses with a number, post office boxes, and a town with its postcode."""
