"""Patterns for telephone numbers by their shape; `phonenumbers` finds those in other shapes by the numbering plans.

A number need not be in use: a mistyped one is still somebody's, or was meant to be.
"""

from __future__ import annotations

import re

from governance.privacy import checks
from governance.privacy.rules.rule import Rule
from governance.privacy.rules.vocabulary import EDGE, END, words

_CONTEXT = words(
    "phones?|calls?|called|calling|cell|mobile|mob|tel|telephone|text|txt|texted|whatsapp|fax|reach|ring|rang|dial"
    "|sms|ph",
    "my number|number is|contact|landline|hit me up|signal|viber",
    "电话", "手机", "致电", "联系", "拨打", "来电", "打给", "座机", "号码", "短信", "热线", "微信同号",
)  # fmt: skip

_SHOPS = re.compile(
    r"(?:\+?1[-. ]?)?\(?8(?:00|33|44|55|66|77|88)\)?[-. ]|(?:\+44 ?|0)(?:800|808|84[345]|87[0-3]|3\d\d)"
    r"|[48]00[- ]?\d{3}[- ]?\d{4}$|[48]00\d[- ]\d{3}[- ]\d{3}$"
)
_APART = "(?:(?<![A-Z])|(?<=TEL)|(?<=PHONE)|(?<=MOB)|(?<=[VW]X))"
"""Capitals before a number make it a shop's, unless they say what it is."""
_DATE = re.compile(r"(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}")
_SIZES = re.compile(r"\d{2,3}-\d{2,3}/\d{2,3}-\d{2,3}|\d{4}(?:/\d{4}){2}")  # heights and weights, models of a device


def personal(value: str) -> int:
    """A number, and not a shop's (free of charge, shared cost, 400 in China), a date or a row of a table of sizes."""
    return 0 if any(one.match(value) for one in (_SHOPS, _DATE, _SIZES)) else len(value)


RULES: tuple[Rule, ...] = (
    Rule(  # North America
        entity="PHONE_NUMBER",
        region="US",
        pattern=re.compile(
            r"(?<![A-Za-z0-9])(?<!\d[-.])(?:(?:\+|00)?1[-. ]{0,2})?(?:\([2-9]\d{2}\)[-. ]{0,2}|[2-9]\d{2}[-. /]{1,3})"
            r"[2-9]\d{2}[-. ]{1,3}\d{4}(?: {0,2}(?:x|ext\.?|extension) {0,2}\d{1,6})?(?![A-Za-z0-9]|[-.]\d)",
            re.IGNORECASE,
        ),
        needs=lambda signs: signs.digits > 9,
        check=personal,
        checked=0.6,
        context=_CONTEXT,
        loose=personal,
        supported=0.75,
        shops_own=True,
    ),
    Rule(
        entity="PHONE_NUMBER",
        region="US",
        pattern=re.compile(rf"{EDGE}1?[2-9]\d{{2}}[2-9]\d{{6}}{END}"),
        needs=lambda signs: signs.digits > 9,
        context=_CONTEXT,
        supported=0.5,
    ),
    Rule(  # with a country code
        entity="PHONE_NUMBER",
        pattern=re.compile(rf"(?<![A-Za-z0-9+])\+(?:\d[-. ()]{{0,2}}){{7,14}}\d{END}"),
        needs=lambda signs: signs.digits > 7 and "+" in signs.text,
        check=checks.international,
        checked=0.6,
    ),
    Rule(  # United Kingdom
        entity="PHONE_NUMBER",
        region="GB",
        pattern=re.compile(
            rf"(?<![A-Za-z0-9+.-])(?:\(?0[1237]\d{{1,4}}\)?[- ]?\d{{3,4}}[- ]?\d{{3,4}}"
            rf"|07\d{{3}}[- ]?\d{{3}}[- ]?\d{{3}}){END}(?!-\d)"
        ),
        needs=lambda signs: signs.digits > 9 and "0" in signs.text,
        check=checks.british,
        checked=0.5,
        context=_CONTEXT,
        supported=0.7,
        loose=checks.british,
        shops_own=True,
    ),
    Rule(  # China, mobile. Words such as "tel" may touch it, capitals are part of a shop's number.
        entity="PHONE_NUMBER",
        region="CN",
        pattern=re.compile(
            r"(?<![0-9.A-Z])(?:(?:\+|00)?86[- ]?)?1[3-9]\d[- ]{0,2}\d{4}[- ]{0,2}\d{4}(?!\d|[A-Za-z]{1,3}\d)"
        ),
        needs=lambda signs: signs.digits > 10,
        score=0.7,
        context=_CONTEXT,
        supported=0.85,
        shops_own=True,
    ),
    Rule(
        entity="PHONE_NUMBER",
        region="CN",
        pattern=re.compile(rf"(?<![0-9.]){_APART}(?:(?:\+|00)?86[- ]?)?1[3-9]\d[- ]?\d{{3}}[- ]?\d{{5}}{END}"),
        needs=lambda signs: signs.digits > 10,
        score=0.6,
        context=_CONTEXT,
        supported=0.8,
        shops_own=True,
    ),
    Rule(  # China, landline
        entity="PHONE_NUMBER",
        region="CN",
        pattern=re.compile(
            rf"{EDGE}(?:(?:\+|00)86[- ]?)?\(?0(?:10|2\d|(?!80"
            rf"|84[345])[3-9]\d{{2}})\)?[- ]{{0,3}}[2-9]\d{{2,3}}[- ]?\d{{4}}(?:[-转]\d{{1,6}})?{END}"
        ),
        needs=lambda signs: signs.digits > 9,
        score=0.5,
        context=_CONTEXT,
        supported=0.7,
        shops_own=True,
    ),
    Rule(
        entity="PHONE_NUMBER",
        region="US",
        pattern=re.compile(rf"{EDGE}(?<!\d-)[2-9]\d{{2,3}}-?\d{{4}}{END}(?!-\d)"),
        needs=lambda signs: signs.han and signs.digits > 6,
        context=words("电话", "座机", "固话", "tel"),
        supported=0.5,
        shops_own=True,
    ),
)
"""North American, British, Chinese and international telephone numbers."""
