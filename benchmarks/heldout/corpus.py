"""Builds texts whose personal data is known to the character: a sentence, filled with values drawn at random.

A sentence names its values in capitals, `{PHONE_NUMBER}`, sometimes with a form, `{PHONE_NUMBER:landline}`, and
harmless details in lower case, `{order}`.
"""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import yaml

from . import addresses, details, identifiers, people

Corpus = Literal["validation", "final"]
Language = Literal["en", "zh"]
Register = Literal["clean", "chat"]

TEMPLATES = pathlib.Path(__file__).parent / "templates"
SLOT = re.compile(r"\{([A-Za-z_]+)(?::(\w+))?\}")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
# Typed on a phone's Chinese keyboard: digits come out full-width now and then.
FULL_WIDTH_ENTITIES = {"PHONE_NUMBER", "QQ_ID", "CREDIT_CARD", "CN_RESIDENT_ID", "TRACKING_NUMBER"}
LOWER_CASE_ENTITIES = {"PERSON", "STREET_ADDRESS"}


@dataclass(frozen=True, slots=True)
class Value:
    """One value: `text[start:end]` of its document."""

    entity: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A text and every piece of personal data in it, in order and without overlap."""

    text: str
    values: tuple[Value, ...]


@dataclass(slots=True)
class _Writer:
    """Fills one sentence; remembers its last person, so that an e-mail address can be theirs."""

    rng: Random
    corpus: Corpus
    language: Language
    register: Register | None
    person: people.Person | None = field(default=None)

    def _counties(self) -> list[str]:
        return [row[0] for row in people.rows(f"{self.corpus}.zh.places")]

    def _person(self, form: str) -> str:
        self.person = people.person(self.rng, self.corpus, self.language)
        if form in {"given", "family"}:
            return self.person.given if form == "given" else self.person.family
        return people.full_name(self.rng, self.person, self.language)

    def _phone(self, form: str) -> str:
        rng, chinese = self.rng, self.language == "zh"
        kinds: dict[str, Callable[[Random], str]] = {
            "mobile": identifiers.cn_mobile, "landline": identifiers.cn_landline, "us": identifiers.us_phone,
            "uk": identifiers.uk_phone, "abroad": identifiers.foreign_phone, "hk": identifiers.hong_kong_phone,
        }  # fmt: skip
        mix = (85, 12, 0, 0, 1, 2) if chinese else (0, 0, 50, 38, 11, 1)
        return kinds[form or rng.choices(list(kinds), mix)[0]](rng)

    def _draw(self, entity: str, form: str) -> str:
        rng = self.rng
        draw: dict[str, Callable[[], str]] = {
            "PERSON": lambda: self._person(form),
            "STREET_ADDRESS": lambda: (addresses.chinese if self.language == "zh" else addresses.english)(
                rng, self.corpus
            ),
            "EMAIL_ADDRESS": lambda: people.mail(rng, self.corpus, self.language, self.person),
            "PHONE_NUMBER": lambda: self._phone(form),
            "CREDIT_CARD": lambda: identifiers.card(rng, chinese=self.language == "zh"),
            "IBAN_CODE": lambda: identifiers.iban(rng),
            "IP_ADDRESS": lambda: identifiers.ip_address(rng),
            "URL": lambda: people.page(rng, self.corpus, self.language, self.person),
            "US_SSN": lambda: identifiers.social_security(rng),
            "CN_RESIDENT_ID": lambda: (identifiers.old_resident_id if form == "old" else identifiers.resident_id)(
                rng, self._counties()
            ),
            "CN_COMPANY_ID": lambda: identifiers.credit_code(rng, self._counties()),
            "CN_LICENSE_PLATE": lambda: identifiers.licence_plate(rng, green=form == "green"),
            "CN_PASSPORT": lambda: identifiers.passport(rng),
            "CN_TRAVEL_PERMIT": lambda: identifiers.travel_permit(rng, form),
            "WECHAT_ID": lambda: people.wechat(rng, self.corpus, self.person),
            "QQ_ID": lambda: str(rng.randint(10 ** rng.choice((7, 8, 8, 8)), 4 * 10**9))[: rng.choice((8, 9, 10, 10))],
            "ALIPAY_ID": lambda: people.handle(rng, self.corpus, self.language, self.person),
            "TRACKING_NUMBER": lambda: identifiers.tracking_number(rng, form),
        }
        return draw[entity]()

    def _restyle(self, entity: str, value: str) -> str:
        if self.register != "chat":
            return value
        if self.language == "en" and entity in LOWER_CASE_ENTITIES and self.rng.random() < 0.6:
            return value.lower()
        if self.language == "zh" and entity in FULL_WIDTH_ENTITIES and self.rng.random() < 0.05:
            return value.translate(FULL_WIDTH)
        return value

    def fill(self, template: str) -> Document:
        """The sentence with every slot filled."""
        text, values, last, currency = "", [], 0, self.rng.choice("£$")
        for slot in SLOT.finditer(template):
            text += template[last : slot.start()]
            last, name, form = slot.end(), slot[1], slot[2] or ""
            if name.islower():
                text += details.detail(self.rng, self.language, name, currency)
                continue
            value = self._restyle(name, self._draw(name, form))
            values.append(Value(name, len(text), len(text) + len(value)))
            text += value
        return Document(text + template[last:], tuple(values))


@functools.cache
def templates(corpus: Corpus, language: Language, kind: Register | Literal["shop"]) -> tuple[str, ...]:
    """The sentences of one register, or those that hold no personal data (`shop`)."""
    sentences = yaml.safe_load((TEMPLATES / f"{corpus}.{language}.yaml").read_text("utf-8"))[kind]
    return tuple(" ".join(sentence.split()) for sentence in sentences)


def _turns(sentences: tuple[str, ...], count: int, rng: Random) -> list[str]:
    turns: list[str] = []
    while len(turns) < count:
        turns += rng.sample(sentences, len(sentences))
    return turns[:count]


def documents(corpus: Corpus, language: Language, register: Register, *, count: int, seed: int) -> list[Document]:
    """Texts with personal data, every sentence used equally often.

    Args:
        corpus: which of the two disjoint corpora.
        language: of the sentences.
        register: `clean` is well-formed writing, `chat` is typed in haste.
        count: how many texts, >= 0. A multiple of the number of sentences uses each exactly equally often.
        seed: the same seed gives the same texts.
    """
    rng = Random(f"{corpus}.{language}.{register}.{seed}")  # noqa: S311
    turns = _turns(templates(corpus, language, register), count, rng)
    return [_Writer(rng, corpus, language, register).fill(turn) for turn in turns]


def shop_texts(corpus: Corpus, language: Language, *, count: int, seed: int) -> list[str]:
    """Texts of the same shop that hold no personal data; the arguments are those of `documents`."""
    rng = Random(f"{corpus}.{language}.shop.{seed}")  # noqa: S311
    turns = _turns(templates(corpus, language, "shop"), count, rng)
    return [_Writer(rng, corpus, language, None).fill(turn).text for turn in turns]
