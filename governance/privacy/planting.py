"""Sentences with made-up personal data in known places, and sentences with a shop's own figures and none.

The sentences are ours (configs/probes); the values come from Faker, seeded, and from `madeup` where Faker has
none. No value is taken from anybody.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from governance.configfile import find, read
from governance.privacy.checks import luhn
from governance.privacy.entities import ENTITIES, Language
from governance.privacy.madeup import DIGITS, MadeUp
from governance.privacy.overlaps import Span
from governance.registry import nearest

if TYPE_CHECKING:
    from faker import Faker

_SLOT = re.compile(r"\{([A-Z_]+)(?:\|([a-z]+))?\}")
_FORMS: Mapping[str, Sequence[str]] = {
    "PERSON": ("first", "last", "lower"),
    "CN_TRAVEL_PERMIT": ("mainland", "taiwan", "outbound"),
}
_SHOP = ("ORDER", "SKU", "TRACKING", "UPC", "PRICE", "SIZE", "COUNT", "DATE", "STYLE")
LOCALES: Mapping[Language, str] = {"en": "en_US", "zh": "zh_CN"}


class Sentences(BaseModel):
    """One language's sentences, as `configs/probes/personal.<language>.yaml` states them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    planted: tuple[str, ...] = Field(min_length=1)
    clean: tuple[str, ...] = Field(min_length=1)
    styles: tuple[str, ...] = Field(min_length=1)

    @field_validator("planted")
    @classmethod
    def _plants(cls, sentences: tuple[str, ...]) -> tuple[str, ...]:
        return _with_slots(sentences, tuple(ENTITIES))

    @field_validator("clean")
    @classmethod
    def _stays_clean(cls, sentences: tuple[str, ...]) -> tuple[str, ...]:
        return _with_slots(sentences, _SHOP, needed=False)


def _with_slots(sentences: tuple[str, ...], known: Sequence[str], *, needed: bool = True) -> tuple[str, ...]:
    for number, sentence in enumerate(sentences):
        slots = _SLOT.findall(sentence)
        if needed and not slots:
            raise ValueError(f"sentence {number}: expected at least one slot such as {{PERSON}}")
        for name, form in slots:
            if name not in known:
                raise ValueError(f"sentence {number}: no slot '{name}'. {nearest(name, known)}")
            forms = _FORMS.get(name, ())
            if form and form not in forms:
                raise ValueError(f"sentence {number}: {name} has no form '{form}'. {nearest(form, forms)}")
    return sentences


@dataclass(frozen=True, slots=True)
class Planted:
    """A text of ours and the made-up personal data in it."""

    text: str
    values: tuple[Span, ...]


def read_sentences(language: Language) -> Sentences:
    """The sentences that ship for a language."""
    return read(Sentences, find("probes", f"personal.{language}"))


def plant(sentences: Sentences, language: Language, *, samples: int, seed: int) -> list[Planted]:
    """Texts with at least `samples` values of every entity that the sentences have a slot for, no sentence more often.

    Args:
        sentences: templates; all are used equally often, so that a hard one weighs as much as an easy one.
        language: of the values.
        samples: least number of values per entity, >= 1.
        seed: of all values; the same seed gives the same texts.
    """
    values = _Values(language, seed)
    slots = Counter(name for sentence in sentences.planted for name, _ in _SLOT.findall(sentence))
    rounds = math.ceil(samples / min(slots.values()))
    return [_fill(sentence, values.personal) for _ in range(rounds) for sentence in sentences.planted]


def shop_texts(sentences: Sentences, language: Language, *, samples: int, seed: int) -> list[str]:
    """`samples` texts without personal data: order numbers, SKUs, sizes, prices, names of styles."""
    values = _Values(language, seed, styles=sentences.styles)
    count = len(sentences.clean)
    return [_fill(sentences.clean[number % count], values.shop).text for number in range(samples)]


def _fill(sentence: str, value: Callable[[str, str], str]) -> Planted:
    text, spans, position = "", [], 0
    for slot in _SLOT.finditer(sentence):
        text += sentence[position : slot.start()]
        filled = value(slot[1], slot[2] or "")
        spans.append(Span(len(text), len(text) + len(filled), slot[1]))
        text += filled
        position = slot.end()
    return Planted(text + sentence[position:], tuple(spans))


class _Values:
    """Makes values; one source of randomness for Faker and for the formats that are ours."""

    def __init__(self, language: Language, seed: int, styles: Sequence[str] = ()) -> None:
        from faker import Faker

        self._language = language
        self._faker: Faker = Faker(LOCALES[language])
        self._faker.seed_instance(seed)
        self._random = random.Random(f"{seed}:{language}")  # noqa: S311 - made-up data, no secret
        self._made = MadeUp(self._random)
        self._styles = styles

    def personal(self, entity: str, form: str) -> str:
        """A made-up value of an entity."""
        faker, made, pick = self._faker, self._made, self._random.choice
        makers: dict[str, Callable[[], str]] = {
            "PERSON": lambda: self._name(form),
            "STREET_ADDRESS": self._address,
            "EMAIL_ADDRESS": pick([faker.free_email, faker.company_email, faker.ascii_email]),
            "PHONE_NUMBER": self._phone,
            "CREDIT_CARD": self._card,
            "IBAN_CODE": lambda: self._grouped(faker.iban()),
            "CRYPTO": made.wallet,
            "IP_ADDRESS": lambda: faker.ipv4() if self._random.random() < 0.8 else faker.ipv6(),
            "MAC_ADDRESS": self._hardware,
            "URL": pick([faker.url, faker.uri]),
            "US_SSN": faker.ssn,
            "UK_NINO": made.insurance_number,
            "PASSPORT": faker.passport_number,
            "CN_RESIDENT_ID": faker.ssn,
            "CN_COMPANY_ID": made.company_id,
            "CN_PASSPORT": made.chinese_passport,
            "CN_TRAVEL_PERMIT": lambda: made.travel_permit(form or pick(_FORMS[entity])),
            "CN_LICENSE_PLATE": made.plate,
            "WECHAT_ID": made.wechat_id,
            "QQ_ID": lambda: str(self._random.randrange(10**7, 10**10)),
            "ALIPAY_ID": pick([faker.phone_number, faker.free_email, made.alipay_user]),
            "TRACKING_NUMBER": made.tracking_number,
        }
        return makers[entity]()

    def _name(self, form: str) -> str:
        first: str = self._faker.first_name()
        last: str = self._faker.last_name()
        if self._language == "zh":
            if self._random.random() < 0.1:
                last = self._made.compound_surname()
            return {"first": first, "last": last}.get(form, last + first)
        whole = f"{first} {last}"
        return {"first": first, "last": last, "lower": whole.lower()}.get(form, whole)

    def _phone(self) -> str:
        number: str = self._faker.phone_number()
        kind = self._random.random()
        if self._language == "en" or kind < 0.5:
            return number
        if kind < 0.7:
            return self._made.landline()
        return self._random.choice(["+86 ", "", "86-"]) + f"{number[:3]} {number[3:7]} {number[7:]}"

    def _card(self) -> str:
        if self._language == "zh" and self._random.random() < 0.5:
            digits = "62" + self._made.text(DIGITS, 16)
            digits += next(check for check in DIGITS if luhn(digits + check))  # UnionPay, 19 digits
        else:
            digits = self._faker.credit_card_number()
        return self._grouped(digits) if len(digits) in (16, 19) else digits

    def _grouped(self, value: str) -> str:
        if self._random.random() < 0.5:
            return value
        return " ".join(value[start : start + 4] for start in range(0, len(value), 4))

    def _hardware(self) -> str:
        address: str = self._faker.mac_address()
        return self._random.choice([address, address.upper(), address.replace(":", "-").upper()])

    def _address(self) -> str:
        if self._language == "zh":
            if self._random.random() < 0.6:
                return self._made.chinese_address()
            whole: str = self._faker.address()
            return whole.rpartition(" ")[0]  # without the postcode, as people write it
        line: str = self._faker.street_address()
        if self._random.random() < 0.4:
            return line
        state = self._faker.state_abbr(include_territories=False)
        return f"{line}, {self._faker.city()}, {state} {self._faker.postcode()}"

    def shop(self, name: str, _form: str) -> str:
        """A shop's own figure or name."""
        draw = self._random
        digits = self._made.text(DIGITS, 19)
        makers: dict[str, Callable[[], str]] = {
            "ORDER": lambda: draw.choice(
                [digits[:7], digits[:10], f"{digits[:3]}-{digits[3:10]}-{digits[10:17]}", digits[:18]]
            ),
            "SKU": lambda: draw.choice(
                [digits[:6], f"{draw.choice('ABCDEFG')}{digits[:5]}", f"{digits[:5]}-{digits[5:7]}"]
            ),
            "TRACKING": lambda: draw.choice(["SF" + digits[:13], "1Z" + digits[:16], digits[:12], "YT" + digits[:13]]),
            "UPC": lambda: digits[: draw.choice([12, 13])],
            "PRICE": lambda: draw.choice(["$", "", "¥"]) + f"{draw.randrange(9, 400)}.{draw.randrange(0, 100):02d}",
            "SIZE": lambda: draw.choice(["XS", "S", "M", "L", "XL", "0P", "4", "10", "12P"]),
            "COUNT": lambda: str(draw.randrange(2, 12)),
            "DATE": lambda: f"{draw.randrange(2023, 2027)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
            "STYLE": lambda: draw.choice(list(self._styles)),
        }
        return makers[name]()
