"""Whether a text is about goods and nobody: styles, shades and brands are called like people."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from functools import cached_property

from governance.privacy.rules.vocabulary import word_list

_ASKED = "".join(
    rf"(?<!{word} )" for word in ("can", "do", "if", "will", "may", "should", "could", "must", "did", "when")
)
_SOMEBODY = re.compile(
    rf"(?<![A-Za-z'’])(?:{_ASKED}i|i['’](?:m|ve|d|ll)|im|me|my|mine|myself|he|she|him|her|his|hers"
    r"|please|(?:can|could|would) you|(?:the|your|an?) orders?|parcels?|refund|exchange|dear|regards|sincerely|signed"
    r"|addressee|recipient|card ?holder|account holder|attn|c/o|on behalf of|deliver to"
    r"|ship to|bill to|invoice to|claim from|ssn|dob|passport|billing name|identity"
    r"|congratulations|was|were|wasn't|weren't|didn't|hasn't|came|told|said|spoke|rang|bought|wore|helped|emailed"
    r"|arrived|got|gave|left|took|asked|wrote|thanked|recommended|promised|loved|went|met|has not|lol|pls|thx|cheers"
    r"|hi|hello)(?![A-Za-z'’])",
    re.IGNORECASE,
)
"""A first or third person, and not the one who asks in a shop's answers to questions ("How do I return it?"); a
greeting; somebody who asks for something; or something that happened, since what shops say of goods holds now."""
_REACH = re.compile(
    r"@|\+\d{2}|\(\d{3}\)|\d{3}-\d{3,4}-\d{4}|(?<!\d)07\d{3} ?\d{6}"
    r"|(?<!\d)\d{1,5} [A-Z][a-z]+ (?:St|Street|Rd|Road|Ave|Avenue|Lane|Ln|Drive|Dr|Close|Way|Court)(?![A-Za-z])"
)
"""A way to reach somebody."""


@functools.cache
def _goods() -> re.Pattern[str]:
    goods = "|".join(sorted(word_list("products.en")))
    return re.compile(
        rf"(?<![A-Za-z])(?:{goods}|polyester|satin|colou?rs?|colou?rway|navy|beige"
        r"|sizes?|fits?|available|bestsell\w+|new in|back in stock|sold out|wash|washed|save|deals?|free (?:delivery"
        r"|shipping|returns?)|designed|crafted|handmade|features?|ingredients?|recipe|flavou?rs?|scent|notes|fragrance"
        r"|spf|pack of|set of|waterproof|lined|trim|buttons?|sleeves?|hem|waist|petite|tall|wide|styles?|shades?"
        r"|brands?|icon|classic|in stock|out of stock|oos"
        r"|pre-?orders?|vouchers?|discounts?|offers?|(?:double|loyalty) points|inspired|named after)(?![A-Za-z])"
        r"|\d ?(?:ml|g|kg|cm|mm|m|oz|inch|in|l|w|v|gb|tb|mah|hz|mp)(?![A-Za-z])|\d ?%",
        re.IGNORECASE,
    )


class Sells:
    """What is asked of a text as a whole, at most once: the names in it may be many.

    Args:
        text: the text.
        judge: tells whether it sells; the one for texts in Latin letters if none is given.
    """

    def __init__(self, text: str, judge: Callable[[str], bool] | None = None) -> None:
        self._text = text
        self._judge = judge or sells

    def __call__(self) -> bool:
        """Whether the text is about goods and nobody."""
        return self._sells

    @cached_property
    def _sells(self) -> bool:
        return self._judge(self._text)

    @cached_property
    def small(self) -> bool:
        """Whether the text begins with a small letter, or has none."""
        return not next((char for char in self._text if char.isalpha()), "").isupper()


def sells(text: str) -> bool:
    """Whether a text in Latin letters is about goods, and neither begins in small letters nor speaks of somebody.

    >>> sells("Why we love Frances: a heel you can walk in"), sells("Frances told me the heel is back in stock")
    (True, False)
    """
    first = next((char for char in text if char.isalpha()), "")
    about_people = first.islower() or _SOMEBODY.search(text) or _REACH.search(text)
    return not about_people and _goods().search(text) is not None
