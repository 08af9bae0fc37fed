r"""Patterns for personal data, in English and Chinese text alike.

No pattern uses `\b`: Python counts Han characters as letters, so `\b` never matches in
`邮箱zhang.wei@qq.com谢谢`. Edges are ASCII look-arounds instead. All patterns run on every text,
whatever its language: a Chinese review may hold a US telephone number.

Repetitions are bounded and don't nest over the same characters, so time grows linearly with the text.
"""

from __future__ import annotations

import re

from governance.privacy import checks
from governance.privacy.rule import Rule

_EDGE = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"
_NOT_CJK = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = rf"[^\W{_NOT_CJK}]"  # a letter, digit or underscore of an alphabetic script


def _words(*words: str) -> re.Pattern[str]:
    """Context words: whole words where they are Latin ("lic" must not match "public"), anywhere where they are Han."""
    latin = [word for word in words if word.isascii()]
    han = [word for word in words if not word.isascii()]
    return re.compile("|".join([rf"(?<![A-Za-z])(?:{'|'.join(latin)})(?![A-Za-z])", *han]), re.IGNORECASE)


SHOP_WORDS = re.compile(
    "xxs|xs|s|m|l|xl|xxl|petite|regular|tall|plus|size|sizes|sizing|fit|fits|length|waist|hem|sleeve|sleeves|"
    "color|colour|colors|fabric|material|knit|denim|tunic|jacket|jackets|dress|dresses|skirt|skirts|shorts|pants|"
    "jeans|trousers|top|tops|blouse|sweater|cardigan|coat|coats|shirt|shirts|tee|romper|jumpsuit|boots|shoes|"
    "sandals|socks|retailer|store|online|gift|card|coupon|sale|order|item|sku|upc|app|refund|return|returns|"
    "review|reviews|beautifully|beautiful|cute|cozy|comfy|soft|stretchy|flowy|boxy|big|small|light|dark|grey|"
    "customer|service|shipping|tracking|pair"
)
"""Words that the small name model takes for names and that nobody is called: a find of such words alone is none."""

_digit = re.compile(r"\d").search
_capital = re.compile(r"[A-Z]").search

_CARD_WORDS = _words(
    "cards?",
    "visa",
    "mastercard",
    "amex",
    "maestro",
    "unionpay",
    "debit",
    "卡号",
    "银行卡",
    "信用卡",
    "储蓄卡",
    "借记卡",
)
_SSN_WORDS = _words("ssn", "social security", "itin", "taxpayer", "社会安全号", "社保号")
_PHONE_WORDS = _words(
    "phone|call|cell|mobile|tel|telephone|text me|whatsapp|fax|reach me|my number", "电话|手机|致电|联系|拨打|来电"
)
_STREETS = (
    "Street|St|Avenue|Ave|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Courts|Ct|Circle|Circles|Cir|Place|Pl|"
    "Square|Squares|Sq|Terrace|Ter|Trail|Trl|Parkway|Pkwy|Highway|Hwy|Way|Alley|Aly|Loop|Crescent|Close|Mews|"
    "Garden|Gardens|Row|Plaza|Turnpike|Route|Expressway|Annex|Arcade|Bayou|Beach|Bend|Bluff|Bluffs|Bottom|Branch|"
    "Bridge|Brook|Brooks|Burg|Burgs|Bypass|Camp|Canyon|Cape|Causeway|Center|Centers|Cliff|Cliffs|Club|Common|"
    "Commons|Corner|Corners|Course|Cove|Coves|Creek|Crest|Crossing|Crossroad|Curve|Dale|Dam|Divide|Estate|"
    "Estates|Extension|Fall|Falls|Ferry|Field|Fields|Flat|Flats|Ford|Fords|Forest|Forge|Forges|Fork|Forks|Fort|"
    "Freeway|Gateway|Glen|Glens|Green|Greens|Grove|Groves|Harbor|Harbors|Haven|Heights|Hill|Hills|Hollow|Inlet|"
    "Island|Islands|Isle|Junction|Junctions|Key|Keys|Knoll|Knolls|Lake|Lakes|Land|Landing|Light|Lights|Loaf|Lock|"
    "Locks|Lodge|Mall|Manor|Manors|Meadow|Meadows|Mill|Mills|Mission|Motorway|Mount|Mountain|Mountains|Neck|"
    "Orchard|Oval|Overpass|Park|Parks|Pass|Passage|Path|Pike|Pine|Pines|Plain|Plains|Point|Points|Port|Ports|"
    "Prairie|Radial|Ramp|Ranch|Rapid|Rapids|Rest|Ridge|Ridges|River|Roads|Run|Shoal|Shoals|Shore|Shores|Skyway|"
    "Spring|Springs|Spur|Spurs|Station|Stravenue|Stream|Streets|Summit|Throughway|Trace|Track|Trafficway|Tunnel|"
    "Underpass|Union|Unions|Valley|Valleys|Via|Viaduct|View|Views|Village|Villages|Ville|Vista|Walk|Walks|Wall|"
    "Ways|Well|Wells"
)
"""Street suffixes. Source: USPS Publication 28, appendix C1, and the British ones."""
_TOWN = r"(?:,?\s{1,2}[A-Z][A-Za-z.'-]{1,24}){0,3}"
_ZIP = r",?\s{1,2}[A-Z]{2}\s{1,2}\d{5}(?:-\d{4})?"
_UNIT = r"(?:,?\s{1,2}(?:Apartment|Apt|Suite|Ste|Unit|Floor|Room|Rm|#)\.?\s{0,2}#?[A-Za-z0-9-]{1,6})?"

RULES: tuple[Rule, ...] = (
    Rule(
        entity="EMAIL_ADDRESS",
        pattern=re.compile(
            rf"@(?:{_WORD}(?:{_WORD}|-){{0,62}}\.){{1,8}}(?:[^\W\d_{_NOT_CJK}]{{2,24}}|xn--[a-z0-9-]{{1,59}})",
            re.IGNORECASE,
        ),
        # Backwards from the @: a forward pattern is either slow on a long run of such characters or blind behind it.
        before=re.compile(rf"(?:{_WORD}|[.%+'&/=!#$*?^{{|}}~-])"),
        needs=lambda text: "@" in text,
        score=1.0,
    ),
    Rule(
        entity="URL",
        pattern=re.compile(
            rf"(?<![A-Za-z0-9])(?:https?://|ftp://|www\.)[^\s<>\"\[\]{_NOT_CJK}]{{2,2048}}", re.IGNORECASE
        ),
        needs=lambda text: "://" in text or "www." in text.lower(),
        check=checks.web_address,
        checked=0.6,
    ),
    Rule(
        entity="CREDIT_CARD",
        pattern=re.compile(
            rf"{_EDGE}(?:\d{{4}}(?:[ -]\d{{4}}){{2,3}}(?:[ -]\d{{1,4}})?|\d{{4}}[ -]\d{{6}}[ -]\d{{4,5}}"
            rf"|\d{{6}}[ -]\d{{13}}|\d{{12,19}}){_END}"
        ),
        needs=_digit,
        check=checks.card,
        checked=0.9,
        context=_CARD_WORDS,
        supported=0.6,
        shops_own=True,
    ),
    Rule(
        entity="IBAN_CODE",
        pattern=re.compile(rf"{_EDGE}[A-Z]{{2}}\d{{2}}(?:[ -]?[A-Z0-9]){{11,30}}{_END}", re.IGNORECASE),
        needs=_digit,
        check=checks.iban,
        checked=1.0,
        context=_words("iban", "bank", "account", "transfer", "refund", "银行", "账号", "账户", "汇款"),
        loose=checks.iban_format,
        supported=0.5,
    ),
    Rule(
        entity="IP_ADDRESS",
        pattern=re.compile(r"(?<![0-9.])(?<![vV])(?:\d{1,3}\.){3}\d{1,3}(?![0-9]|\.[0-9])"),
        needs=_digit,
        check=checks.ip_address,
        checked=0.6,
    ),
    Rule(
        entity="IP_ADDRESS",
        pattern=re.compile(
            r"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f:]{0,40}\d)(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])"
        ),
        needs=lambda text: text.count(":") > 1,
        check=checks.ip_address,
        checked=0.6,
    ),
    Rule(
        entity="US_SSN",
        pattern=re.compile(rf"{_EDGE}(?<!\d-)\d{{3}}(?:-\d{{2}}-| \d{{2}} |\.\d{{2}}\.)\d{{4}}{_END}(?!-\d)"),
        needs=_digit,
        check=checks.social_security,
        checked=0.5,
        context=_SSN_WORDS,
        loose=checks.social_security,
        supported=0.85,
        shops_own=True,
    ),
    Rule(
        entity="US_SSN",
        pattern=re.compile(rf"{_EDGE}\d{{9}}{_END}"),
        needs=_digit,
        context=_SSN_WORDS,
        loose=checks.social_security,
        supported=0.5,
    ),
    Rule(
        # A North American number by its shape. Its area code need not be in use: a mistyped number is still somebody's.
        entity="PHONE_NUMBER",
        pattern=re.compile(
            r"(?<![A-Za-z0-9])(?<!\d[-.])(?:(?:\+|00)?1[-. ]{0,2})?(?:\([2-9]\d{2}\)[-. ]{0,2}|[2-9]\d{2}[-. ]{1,2})"
            r"[2-9]\d{2}[-. ]{1,2}\d{4}(?: {0,2}(?:x|ext\.?|extension) {0,2}\d{1,6})?(?![A-Za-z0-9]|[-.]\d)",
            re.IGNORECASE,
        ),
        needs=_digit,
        score=0.6,
        context=_PHONE_WORDS,
        supported=0.75,
        shops_own=True,
    ),
    Rule(
        entity="PHONE_NUMBER",
        pattern=re.compile(rf"{_EDGE}[2-9]\d{{2}}[2-9]\d{{6}}{_END}"),
        needs=_digit,
        context=_PHONE_WORDS,
        supported=0.5,
    ),
    Rule(
        entity="PHONE_NUMBER",
        pattern=re.compile(rf"(?<![0-9.])(?<![A-Za-z])(?:(?:\+|00)?86[- ]?)?1[3-9]\d[- ]?\d{{4}}[- ]?\d{{4}}{_END}"),
        needs=_digit,
        score=0.7,
        context=_PHONE_WORDS,
        supported=0.85,
        shops_own=True,
    ),
    Rule(
        entity="PHONE_NUMBER",
        pattern=re.compile(rf"{_EDGE}(?:(?:\+|00)86[- ]?)?\(?0(?:10|2\d|[3-9]\d{{2}})\)?[- ]?[2-9]\d{{6,7}}{_END}"),
        needs=_digit,
        score=0.5,
        context=_PHONE_WORDS,
        supported=0.7,
        shops_own=True,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{_EDGE}[1-8]\d{{5}}[ -]?(?:18|19|20)\d{{6}}[ -]?\d{{3}}[0-9Xx]{_END}"),
        needs=_digit,
        # A mistyped digit must not save the rest: a real date in the middle is rare enough by chance.
        check=checks.resident_date,
        checked=0.8,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{_EDGE}[1-8]\d{{5}}[ -]?(?:18|19|20)\d{{6}}[ -]?\d{{3}}[0-9Xx]{_END}"),
        needs=_digit,
        check=checks.resident_id,
        checked=1.0,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{_EDGE}(?:[1-8]\d{{16}}[0-9Xx]|[1-8]\d{{14}}){_END}"),
        needs=_digit,
        context=_words("身份证", "证件号", "id card", "identity card"),
        supported=0.7,
    ),
    Rule(
        entity="WECHAT_ID",
        pattern=re.compile(
            r"(?:(?:微信|薇信|威信|v信|(?<![A-Za-z])(?:we\s?chat|wx|vx))(?:号码?|id|账号)?\s{0,2}(?:is|是|为|[:=])"
            r"|(?:微信|薇信|威信|v信|we\s?chat )(?:号码?|id|账号)|加(?:我|下|一下|个)?(?:微信|薇信|威信|v信?|vx|wx))"
            rf"\s{{0,3}}(?P<value>[A-Za-z][A-Za-z0-9_-]{{5,19}}|\d{{5,12}}){_END}",
            re.IGNORECASE,
        ),
        needs=re.compile(r"信|wechat|we chat|[wv]x|加", re.IGNORECASE).search,
        score=0.7,
    ),
    Rule(
        entity="QQ_ID",
        pattern=re.compile(
            r"(?:(?<![A-Za-z])QQ|扣扣|企鹅)(?:号码?|群)?\s{0,2}(?:is|是|为|[:=])?\s{0,2}(?P<value>[1-9]\d{4,10})"
            + _END,
            re.IGNORECASE,
        ),
        needs=_digit,
        score=0.7,
    ),
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(
            rf"{_EDGE}\d{{1,6}}[A-Za-z]?,?\s{{1,2}}(?:(?:[NSEW]{{1,2}}\.?|North|South|East|West)\s{{1,2}})?"
            rf"(?:(?:[A-Z][A-Za-z.'-]{{0,24}}|\d{{1,3}}(?:st|nd|rd|th))\s{{1,2}}){{1,4}}(?:{_STREETS})(?![A-Za-z])\.?"
            rf"{_UNIT}(?:{_TOWN}{_ZIP})?"
        ),
        needs=_digit,
        score=0.7,
    ),
    Rule(
        # Any street name, vouched for by the state and ZIP code behind it.
        entity="STREET_ADDRESS",
        pattern=re.compile(
            rf"{_EDGE}\d{{1,6}}[A-Za-z]?\s{{1,2}}[A-Z][A-Za-z.'-]{{0,24}}(?:\s{{1,2}}[A-Z][A-Za-z.'-]{{0,24}}){{0,3}}"
            rf"{_UNIT}{_TOWN}{_ZIP}"
        ),
        needs=_digit,
        score=0.7,
    ),
    Rule(
        entity="STREET_ADDRESS",
        pattern=re.compile(rf"{_EDGE}P\.?\s?O\.?\s?Box\s{{1,2}}\d{{1,6}}(?:{_TOWN}{_ZIP})?", re.IGNORECASE),
        needs=_digit,
        score=0.6,
    ),
    Rule(
        # A name after a title or an introduction, which the small model often misses.
        entity="PERSON",
        pattern=re.compile(
            r"(?<![A-Za-z])(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof)\.?\s{1,2}|(?:[Mm]y name is|[Mm]y name's)\s{1,2})"
            r"(?P<value>[A-Z][A-Za-z'-]{1,24}(?:\s{1,2}[A-Z][A-Za-z'-]{1,24}){0,2})"
        ),
        needs=_capital,
        score=0.7,
    ),
)
