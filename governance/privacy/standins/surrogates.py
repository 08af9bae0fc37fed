"""Stand-ins that look like what they stand for and are nobody's: keyed, so that every shard makes the same ones.

The same value of an entity, however it is spaced, has the same stand-in under one key; another key has others. A
stand-in is a keyed hash pressed into a space that is safe to print, so two values may share one: of n values in a space
of m, about n*n/m do while n is far below m. Measured on 100,000 values:

| entity | stand-ins to choose from | values that share one |
|---|---|---|
| card, e-mail, link, resident and company ID, IPv6, wallet | 10**10 and more | none |
| IBAN | 10**7 (Norway, the shortest) to 10**18 | 1.0% to none |
| Chinese mobile number | 10**8, prefix not in use | 0.1% |
| US social security number | 49 million, never issued | 0.2% |
| UK national insurance number | 28 million, never allocated | 0.3% |
| Chinese name of 3 characters | 8 million | 1.3% |
| Chinese plate of 5 digits | 2.8 million, city letter not in use | 3.5% |
| English name of 2 words | 75,576 | 73% |
| US telephone number | 70,300, kept for fiction | 76% |
| UK telephone number | 16,000 landline, 1,000 mobile | all |
| IPv4, MAC address | 762, 256 | all |

Where values must stay apart, number or encrypt them. Surrogates tell who they belong to by how often each occurs: they
pseudonymise, they don't anonymise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from governance.privacy.standins.canonical import canonical
from governance.privacy.standins.draws import Draws, compact, fill, like_width, reshape
from governance.privacy.standins.net import email, ip_address, link, wallet
from governance.privacy.standins.numbers import NUMBERS, plate
from governance.privacy.standins.phones import phone
from governance.privacy.standins.words import address, person

TRIES = 16
"""Choices before a value that none of them differs from becomes a placeholder."""


def surrogate(entity: str, value: str, key_bytes: bytes) -> str:
    """A value of the same kind and form that isn't this one.

    What can't be read as its kind (a mistyped card) keeps its length and separators and nothing else.

    Args:
        entity: what kind of personal data, one of `governance.privacy.entities.ENTITIES`.
        value: as it stands in the text.
        key_bytes: subkey of surrogates, of one tenant.

    Returns:
        The stand-in; `[ENTITY]` for a value without a letter or digit that could be another.
    """
    same = canonical(entity, value)
    for attempt in range(TRIES):
        stand_in = like_width(value, _make(entity, value, Draws(key_bytes, entity, same, str(attempt))))
        if canonical(entity, stand_in) != same:
            return stand_in
    return f"[{entity}]"


def _make(entity: str, value: str, draws: Draws) -> str:
    if entity in _WRITTEN:
        return _WRITTEN[entity](value, draws)
    signs = compact(value)
    new = NUMBERS[entity](signs, draws) if signs and entity in NUMBERS else None
    return reshape(value, draws) if new is None else fill(value, new)


def _account(value: str, draws: Draws) -> str:
    """An account that may be named by an e-mail address, a mobile number or a name of its own."""
    if "@" in value or "＠" in value:
        return email(value, draws)
    signs = compact(value) or ""
    if len(signs) == 11 and signs.isdigit():
        return phone(value, draws)
    kept = next((start for start in ("wxid_", "2088") if value.startswith(start)), "")
    return kept + reshape(value[len(kept) :], draws)


_WRITTEN: Mapping[str, Callable[[str, Draws], str]] = {
    "PERSON": person,
    "STREET_ADDRESS": address,
    "EMAIL_ADDRESS": email,
    "PHONE_NUMBER": phone,
    "IP_ADDRESS": ip_address,
    "URL": link,
    "CRYPTO": wallet,
    "CN_LICENSE_PLATE": plate,
    "WECHAT_ID": _account,
    "ALIPAY_ID": _account,
}
