"""The kinds of personal data that a policy may name, in words, and what no policy finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

ENTITIES: Mapping[str, str] = {
    "PERSON": "names of people",
    "STREET_ADDRESS": "street addresses",
    "EMAIL_ADDRESS": "e-mail addresses",
    "PHONE_NUMBER": "telephone numbers",
    "CREDIT_CARD": "payment and bank card numbers",
    "IBAN_CODE": "bank accounts (IBAN)",
    "CRYPTO": "cryptocurrency wallets",
    "IP_ADDRESS": "IP addresses",
    "MAC_ADDRESS": "network hardware addresses (MAC)",
    "URL": "web addresses that start with a scheme or www.",
    "US_SSN": "US social security and taxpayer numbers",
    "UK_NINO": "UK national insurance numbers",
    "PASSPORT": "passport numbers next to a word that says so",
    "CN_RESIDENT_ID": "Chinese resident ID numbers",
    "CN_COMPANY_ID": "Chinese unified social credit codes",
    "CN_PASSPORT": "Chinese passport numbers next to a word that says so",
    "CN_TRAVEL_PERMIT": "Hong Kong, Macao and Taiwan travel permits next to a word that says so",
    "CN_LICENSE_PLATE": "Chinese vehicle plates",
    "WECHAT_ID": "WeChat IDs next to a word that says so",
    "QQ_ID": "QQ numbers next to a word that says so",
    "ALIPAY_ID": "Alipay accounts next to a word that says so",
    "TRACKING_NUMBER": "Chinese couriers' tracking numbers next to a word that says so",
}
"""Every entity that a policy may name, in words."""

BY_LANGUAGE = frozenset({"PERSON", "STREET_ADDRESS"})
"""Entities that are found by language, and less reliably than those with a format of their own."""

STRUCTURED = frozenset(ENTITIES) - BY_LANGUAGE
"""Entities with a format of their own."""

GAPS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "dates of birth, ages, nationalities and other facts that identify only together",
        "driving licences and bank account numbers other than IBAN",
        "web addresses without a scheme or www., and handles on social networks",
    ),
    "zh": (
        "dates of birth, ages and other facts that identify only together, such as a job and a town",
        "places named without a road, an estate or a room",
        "nicknames and user names that no word introduces",
    ),
}
"""What no policy covers yet, by language of the text."""
