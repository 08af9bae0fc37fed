"""Patterns for what machines and the net call people by: e-mail, web, IP and hardware addresses, wallets."""

from __future__ import annotations

import re

from governance.privacy import checks
from governance.privacy.rules.rule import Rule
from governance.privacy.rules.vocabulary import EDGE, END, WORD
from governance.privacy.scripts import CJK

_DOTTED = re.compile(r"\.\d{1,3}\.").search

RULES: tuple[Rule, ...] = (
    Rule(
        entity="EMAIL_ADDRESS",
        pattern=re.compile(
            rf"\s?@\s?(?:{WORD}(?:{WORD}|-){{0,62}}\.){{1,8}}(?:[^\W\d_{CJK}]{{2,24}}|xn--[a-z0-9-]{{1,59}})",
            re.IGNORECASE,
        ),
        # Backwards from the @: a forward pattern is either slow on a long run of such characters or blind behind it.
        before=re.compile(rf"(?:{WORD}|[.%+'&/=!#$*?^{{|}}~-])"),
        needs=lambda signs: "@" in signs.text,
        score=1.0,
    ),
    Rule(
        entity="URL",
        pattern=re.compile(rf"{EDGE}(?:https?://|ftp://|www\.)[^\s<>\"\[\]{CJK}]{{2,2048}}", re.IGNORECASE),
        needs=lambda signs: "://" in signs.text or "www." in signs.lower,
        check=checks.web_address,
        checked=0.6,
    ),
    Rule(
        entity="IP_ADDRESS",
        pattern=re.compile(r"(?<![0-9.])(?<![vV])(?<![vV] )(?:\d{1,3}\.){3}\d{1,3}(?![0-9]|\.[0-9])"),
        needs=lambda signs: signs.digits > 3 and _DOTTED(signs.text),
        check=checks.ip_address,
        checked=0.6,
    ),
    Rule(
        entity="IP_ADDRESS",
        pattern=re.compile(
            r"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f:]{0,40}\d)(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])"
        ),
        needs=lambda signs: signs.text.count(":") > 1,
        check=checks.ip_address,
        checked=0.6,
    ),
    Rule(
        entity="MAC_ADDRESS",
        pattern=re.compile(
            r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})(?![0-9A-Za-z]"
            r"|[:-][0-9A-Za-z])"
        ),
        needs=lambda signs: signs.text.count(":") > 4 or signs.text.count("-") > 4,
        score=0.7,
    ),
    Rule(
        entity="CRYPTO",
        pattern=re.compile(rf"{EDGE}(?:bc1[02-9ac-hj-np-z]{{25,60}}|[13T][1-9A-HJ-NP-Za-km-z]{{25,34}}){END}"),
        needs=lambda signs: len(signs.text) > 25 and signs.digits > 1,
        check=checks.wallet,
        checked=1.0,
    ),
    Rule(
        entity="CRYPTO",
        pattern=re.compile(rf"{EDGE}0x[0-9A-Fa-f]{{40}}{END}"),
        needs=lambda signs: "0x" in signs.text,
        score=0.7,
    ),
)
"""E-mail, web, IP and hardware addresses, wallets."""
