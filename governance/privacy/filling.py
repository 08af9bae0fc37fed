"""What a text would have looked like had nobody scrubbed it: made-up values where the scrubber left placeholders.

To tell what scrubbing costs a model, it must be compared with one that reads unscrubbed texts, which no model here may.
So each placeholder gets a made-up value of its kind, in the text's language: the text is as whole as it ever was, and
still nobody's. The values are a function of the scrubbed text, the place and a public seed, and of nothing else: two
raw texts that the scrubber makes equal are filled alike, so a filled text holds nothing that the scrubbed one doesn't.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from governance.dataset import ModelText, ScrubbedDataset, SyntheticText
from governance.errors import ConfigError
from governance.privacy.entities import ENTITIES, Language
from governance.privacy.overlaps import PLACEHOLDER
from governance.privacy.policy import BRACKETED, DIRECTIONS, ScrubPolicy
from governance.privacy.scripts import HAN
from governance.privacy.standins.draws import Draws
from governance.privacy.standins.surrogates import surrogate

_HAN = re.compile(HAN)
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_PARTS = re.compile(r"\[(?P<entity>[A-Z_]+?)(?:_\d{1,6}|#[a-p]+|~[a-p]+)?\]")
_GONE = ("mask", "redact")  # of what they leave, nobody can tell what stood there
_ANY: Mapping[str, Sequence[str]] = {
    "EMAIL_ADDRESS": ("ann.smith@mail.com",),
    "CREDIT_CARD": ("4111 1111 1111 1111", "5500000000000004"),
    "IBAN_CODE": ("GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"),
    "CRYPTO": ("0x52908400098527886e0f7030069857d2e4169ee7", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    "IP_ADDRESS": ("10.0.0.1",),
    "MAC_ADDRESS": ("00:1a:2b:3c:4d:5e",),
    "URL": ("https://www.shop.com/page", "https://shop.com"),
    "US_SSN": ("536-22-4417",),
    "UK_NINO": ("AB 12 34 56 C",),
    "PASSPORT": ("512345678",),
    "CN_RESIDENT_ID": ("11010519491231002X",),
    "CN_COMPANY_ID": ("91350100M000100Y43",),
    "CN_PASSPORT": ("E12345678",),
    "CN_TRAVEL_PERMIT": ("H12345678", "C12345678"),
    "CN_LICENSE_PLATE": ("京A12345", "粤B·12345"),
    "WECHAT_ID": ("wxid_a1b2c3d4e5f6", "lily_2019"),
    "QQ_ID": ("123456789",),
    "ALIPAY_ID": ("13800138000", "ann@mail.com"),
    "TRACKING_NUMBER": ("SF1234567890123", "YT1234567890123"),
}
_FORMS: Mapping[Language, Mapping[str, Sequence[str]]] = {
    "en": {
        **_ANY,
        "PERSON": ("Jane", "Jane", "Jane Smith"),
        "STREET_ADDRESS": ("12 Main Street", "12 Main Street, Springfield, IL 62704"),
        "PHONE_NUMBER": ("(212) 555-0147", "212-555-0147"),
    },
    "zh": {
        **_ANY,
        "PERSON": ("张小明", "李娜", "王女士"),
        "STREET_ADDRESS": ("建设路12号", "杭州市余杭区文昌街12号3栋2单元501室"),
        "PHONE_NUMBER": ("13800138000", "138 0013 8000"),
    },
}
"""Language -> entity -> the shapes that a value of it is made in; no digit, letter or name of theirs is kept."""


def fill(text: ModelText, *, seed: int) -> ModelText:
    """The text with a made-up value for every placeholder; one that has none is itself.

    A numbered placeholder means one value wherever it stands in the text, a hashed or encrypted one in all texts
    (of one language): so do the values made up for them. `[UNREADABLE]` stays: nobody knows what it stands for.

    Args:
        text: as the scrubber left it.
        seed: public; another makes other values.
    """
    language = language_of(text.text)

    def value(match: re.Match[str]) -> str:
        found = _PARTS.fullmatch(match[0])
        if found is None or found["entity"] not in ENTITIES:
            return match[0]
        numbered = re.search(r"_\d+\]$", match[0]) is not None
        keyed = "#" in match[0] or "~" in match[0]
        same = (match[0],) if keyed else (text.text, match[0]) if numbered else (text.text, str(match.start()))
        return _made_up(found["entity"], language, _key(seed), same)

    filled = PLACEHOLDER.sub(value, text.text) if "[" in text.text else text.text
    return text if filled == text.text else SyntheticText(filled)


def fill_rows(rows: ScrubbedDataset, *, seed: int) -> ScrubbedDataset:
    """The same rows with filled texts."""
    return replace(rows, texts=tuple(fill(text, seed=seed) for text in rows.texts))


def language_of(text: str) -> Language:
    """The language of a text, by its script; a Chinese character says about as much as an English word.

    >>> language_of("张明 bought 2 red dresses"), language_of("给[PERSON]买的Nike，很好看")
    ('en', 'zh')
    """
    plain = PLACEHOLDER.sub(" ", text)
    return "zh" if len(_HAN.findall(plain)) > len(_LATIN.findall(plain)) else "en"


def check_policy(policy: ScrubPolicy, *, asked: bool) -> None:
    """Whether texts that were scrubbed by this policy can be filled.

    Args:
        policy: of the audit.
        asked: whether the model is somebody else's, to whom prompts go.

    Raises:
        ConfigError: nothing shows where something was taken out, or prompts are scrubbed harder than rows are, which
            filled ones are not, since they must keep what was filled in.
    """
    for name, rule in policy.entities.items():
        if rule.action_for("train") in _GONE:
            raise ConfigError(
                f"expected a scrub policy that leaves placeholders ({', '.join(sorted(BRACKETED))}), found "
                f"'{rule.action_for('train')}' for {name}: nobody can tell what to fill in"
            )
        ways = {(rule.threshold_for(way), rule.action_for(way)) for way in DIRECTIONS if way != "output"}
        if asked and len(ways) > 1:
            raise ConfigError(f"expected a scrub policy that treats {name} in prompts as it does in training rows")


def _made_up(entity: str, language: Language, key: bytes, same: tuple[str, ...]) -> str:
    shape = Draws(key, "shape", entity, *same).pick(_FORMS[language][entity])
    return surrogate(entity, shape, Draws(key, "value", entity, *same).below(2**120).to_bytes(32, "big"))


@cache
def _key(seed: int) -> bytes:
    return hashlib.sha256(f"filled placeholders, seed {seed}".encode()).digest()
