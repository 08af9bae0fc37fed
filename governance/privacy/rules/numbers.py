"""Patterns for numbers that banks and governments outside China give people."""

from __future__ import annotations

import re

from governance.privacy import checks
from governance.privacy.rules.rule import Rule
from governance.privacy.rules.vocabulary import EDGE, END, words

_CARD = words(
    "cards?", "visa", "mastercard", "amex", "maestro", "unionpay", "debit", "credit", "cc",
    "卡号", "银行卡", "信用卡", "储蓄卡", "借记卡", "银联", "[工农建招交]行", "尾号", "打款", "开户",
)  # fmt: skip
_IBAN = words("iban", "bank", "account", "transfer", "refund", "wire", "bic", "swift", "银行", "账号", "账户", "汇款")
_SSN = words(
    "ssn", "ss ?#", "ss (?:number|no)", "social security", "soc(?:ial)? sec", "soc(?! media)",
    "(?<!on )(?<!our )(?<!via )social(?! media| channel| post| feed)", "paystub", "payroll", "w-[29]", "w[29] form",
    "background check", "credit check",
    "store card", "financing", "itin", "taxpayer", "tax id", "社会安全号", "社保号",
)  # fmt: skip
_NINO = words("national insurance", "ni number", "ni no", "ni", "nino", "nin", "hmrc", "payroll", "paye")
_PASSPORT = words("passport", "passports", "护照")

RULES: tuple[Rule, ...] = (
    Rule(
        entity="CREDIT_CARD",
        # Looked at from every group of digits: "123 4111 1111 1111 1111" begins with a group that is none of it.
        pattern=re.compile(
            rf"{EDGE}(?=(?P<value>(?:\d{{4}}(?:[\s._/-]{{1,2}}\d{{4}}){{2,3}}(?:[\s._/-]{{1,2}}\d{{1,4}})?"
            rf"|\d{{4}}[\s._/-]{{1,2}}\d{{6}}[\s._/-]{{1,2}}\d{{4,5}}"
            rf"|\d{{3,8}}[ -]\d{{3,13}}(?:[ -]\d{{3,8}}){{0,3}}|\d{{12,19}}){END}))"
        ),
        needs=lambda signs: signs.digits > 11,
        check=checks.card,
        checked=0.9,
        context=_CARD,
        loose=checks.card_length,
        supported=0.6,
        shops_own=True,
    ),
    Rule(
        entity="IBAN_CODE",
        pattern=re.compile(rf"{EDGE}(?=(?P<value>[A-Z]{{2}}\d{{2}}(?:[ -]?[A-Z0-9]){{11,30}}{END}))", re.IGNORECASE),
        needs=lambda signs: signs.digits > 7,
        check=checks.iban,
        checked=1.0,
        context=_IBAN,
        loose=checks.iban_format,
        supported=0.5,
    ),
    Rule(
        entity="US_SSN",
        pattern=re.compile(
            rf"{EDGE}(?<!\d-)\d{{3}}(?:-\d{{2}}-| \d{{2}} |\.\d{{2}}\.| - \d{{2}} - )\d{{4}}{END}(?!-\d)"
        ),
        needs=lambda signs: signs.digits > 8,
        check=checks.social_security,
        checked=0.5,
        context=_SSN,
        loose=checks.social_security,
        supported=0.85,
        shops_own=True,
    ),
    Rule(
        entity="US_SSN",
        pattern=re.compile(rf"{EDGE}\d{{9}}{END}"),
        needs=lambda signs: signs.digits > 8,
        context=_SSN,
        reach=(160, 80),
        shops_own=True,
        loose=checks.social_security,
        supported=0.5,
    ),
    Rule(
        entity="UK_NINO",
        pattern=re.compile(
            rf"{EDGE}[A-Z]{{2}}(?P<gap> ?)\d{{2}}(?P=gap)\d{{2}}(?P=gap)\d{{2}}(?P=gap)[A-D]{END}", re.IGNORECASE
        ),
        needs=lambda signs: signs.digits > 5,
        check=checks.national_insurance_spaced,
        checked=0.6,
        context=_NINO,
        loose=checks.national_insurance,
        supported=0.85,
        shops_own=True,
    ),
    Rule(
        entity="PASSPORT",
        pattern=re.compile(rf"{EDGE}(?:[A-Z]{{1,2}}\d{{6,8}}|\d{{9}}){END}", re.IGNORECASE),
        needs=lambda signs: signs.digits > 5,
        context=_PASSPORT,
        supported=0.7,
    ),
)
"""Cards, bank accounts, social security and national insurance numbers, passports."""
