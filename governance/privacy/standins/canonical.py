"""When two spellings are one value: case, width, spaces and separators don't count, what tells values apart does.

Numbers, hashes and surrogates all ask here, so that they agree. The dots of an IP address and of an e-mail address
count: 1.12.3.4 is not 11.2.3.4.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

_INVISIBLE = ("Cf", "Cc")  # zero-width, bidi and control characters
_LITERAL = frozenset({"EMAIL_ADDRESS", "IP_ADDRESS", "URL", "CRYPTO"})  # their punctuation tells values apart
_COUNTRY = re.compile(r"(?:\+|00)?86(?P<cn>1[3-9]\d{9})|(?:\+|00|(?=12))1(?P<us>[2-9]\d{2}[2-9]\d{6}.*)")
DIALLED = re.compile(r"[\s(]*(?:\+|1[-. (])")
"""How a number with its country code begins: 1-381-234-5678, where 138 1234 5678 is Chinese."""
_HOST = re.compile(r"[^/?#]*(?://[^/?#]*)?")


def narrow(value: str) -> str:
    """The value with full-width characters made narrow and invisible ones dropped.

    >>> narrow("１３８\\u200b００１３")
    '1380013'
    """
    if value.isascii() and value.isprintable():
        return value
    visible = "".join(char for char in value if unicodedata.category(char) not in _INVISIBLE)
    return unicodedata.normalize("NFKC", visible)


def canonical(entity: str, value: str) -> str:
    """One spelling for all spellings of a value.

    >>> canonical("PHONE_NUMBER", "+86 138-0013-8000"), canonical("CREDIT_CARD", "４１１１ 1111 1111 1111")
    ('13800138000', '4111111111111111')
    >>> canonical("IP_ADDRESS", "2001:DB8::0001")
    '2001:db8::1'
    """
    text = narrow(value)
    if entity in _LITERAL:
        return _literal(entity, "".join(text.split()))
    compact = "".join(char for char in text.casefold() if char.isalnum() or unicodedata.category(char)[0] == "M")
    if entity == "PHONE_NUMBER":
        found = _COUNTRY.fullmatch(("+" if DIALLED.match(text) else "") + compact)
        compact = compact if found is None else found["cn"] or found["us"]
    return compact or text


def _literal(entity: str, text: str) -> str:
    if entity == "CRYPTO":
        return text  # base 58 tells capitals from small letters
    if entity == "URL":
        host = _HOST.match(text)
        end = host.end() if host else 0
        return text[:end].casefold() + text[end:]  # so do paths
    if entity == "IP_ADDRESS":
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            return text.casefold()  # mistyped, so only equal spellings are one value
    return text.casefold()
