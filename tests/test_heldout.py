"""The held-out corpora are what they claim: exact offsets, valid numbers, and nothing shared."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from random import Random
from typing import Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.heldout import details, people
from benchmarks.heldout.corpus import Corpus, Document, Language, Register, documents, shop_texts, templates

CORPORA, LANGUAGES, REGISTERS = get_args(Corpus), get_args(Language), get_args(Register)
BOTH = {"PERSON", "STREET_ADDRESS", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "URL"}
CHINESE = {"CN_RESIDENT_ID", "CN_COMPANY_ID", "CN_LICENSE_PLATE", "CN_PASSPORT", "CN_TRAVEL_PERMIT", "WECHAT_ID",
           "QQ_ID", "ALIPAY_ID", "TRACKING_NUMBER"}  # fmt: skip
EXPECTED = {"en": BOTH | {"US_SSN"}, "zh": BOTH | CHINESE}
SHAPES = {
    "EMAIL_ADDRESS": r"[a-z0-9._+-]+@[a-z0-9.-]+\.[a-z]{2,}",
    "CREDIT_CARD": r"\d(?:[ -]?\d){12,18}",
    "IBAN_CODE": r"[A-Z]{2}\d{2}[A-Z0-9 ]{11,40}",
    "IP_ADDRESS": r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{1,4}(?:::?[0-9a-f]{1,4}){2,7}",
    "URL": r"(?:https?://|www\.)[a-z0-9./@?=_-]+",
    "US_SSN": r"(\d{3})([- ]?)\d{2}\2\d{4}",
    "PHONE_NUMBER": r"\+?[\d(][\d() .-]{6,18}\d(?:转\d{1,3})?",
    "CN_RESIDENT_ID": r"\d{15}|\d{17}[\dXx]",
    "CN_COMPANY_ID": r"[0-9A-HJ-NP-RTUWXY]{18}",
    "CN_LICENSE_PLATE": r"[\u4e00-\u9fff][A-HJK]·?[0-9A-HJ-NP-Z]{5,6}",
    "CN_PASSPORT": r"[EG]\d{8}|E[A-HJK]\d{7}",
    "CN_TRAVEL_PERMIT": r"[HM]\d{8}(?:\d\d)?|\d{8}|C\d{8}|C[A-H]\d{7}",
    "WECHAT_ID": r"[A-Za-z][A-Za-z0-9_-]{5,19}",
    "ALIPAY_ID": r"[a-z][a-z0-9_]{5,19}",
    "QQ_ID": r"[1-9]\d{7,9}",
    "TRACKING_NUMBER": r"(?:SF|YT|JT)\d{13}|JD(?:V[AB]|00)\d{11}|DPK\d{12}|\d{14,15}|E[A-HJ-NP-Z]\d{9}CN",
}


@functools.cache
def everything(corpus: Corpus, language: Language) -> tuple[Document, ...]:
    """Some 600 documents, both registers."""
    return tuple(d for register in REGISTERS for d in documents(corpus, language, register, count=300, seed=7))


def found(entity: str) -> list[str]:
    """Every value of the entity in either corpus, with plain digits."""
    values = []
    for corpus, language in itertools.product(CORPORA, LANGUAGES):
        for document in everything(corpus, language):
            values += [document.text[v.start : v.end] for v in document.values if v.entity == entity]
    return [value.translate(str.maketrans("０１２３４５６７８９", "0123456789")) for value in values]


def sentences(corpus: Corpus, language: Language) -> list[str]:
    kinds: tuple[Register | Literal["shop"], ...] = ("clean", "chat", "shop")
    return [sentence for kind in kinds for sentence in templates(corpus, language, kind)]


@given(st.sampled_from(CORPORA), st.sampled_from(LANGUAGES), st.sampled_from(REGISTERS), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_taking_the_values_out_leaves_a_sentence_of_the_corpus(
    corpus: Corpus, language: Language, register: Register, seed: int
) -> None:
    """Wrong by one character, and the words around the value no longer match the sentence."""
    whole = templates(corpus, language, register)
    for document in documents(corpus, language, register, count=5, seed=seed):
        masked, last = "", 0
        for value in document.values:
            assert last <= value.start < value.end
            assert document.text[value.start : value.end].strip() == document.text[value.start : value.end]
            masked += f"{document.text[last : value.start]}{{{value.entity}}}"
            last = value.end
        masked += document.text[last:]
        patterns = (re.sub(r"\\{([a-z]+)\\}", ".{1,24}", re.escape(re.sub(r":\w+}", "}", s))) for s in whole)
        assert any(re.fullmatch(pattern, masked) for pattern in patterns)


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("register", REGISTERS)
def test_each_sentence_is_used_equally_often_and_the_seed_decides(
    corpus: Corpus, language: Language, register: Register
) -> None:
    count = 3 * len(templates(corpus, language, register))
    once = documents(corpus, language, register, count=count, seed=1)
    assert once == documents(corpus, language, register, count=count, seed=1)
    assert once != documents(corpus, language, register, count=count, seed=2)
    kinds = Counter(tuple(value.entity for value in document.values) for document in once)
    assert all(times % 3 == 0 for times in kinds.values())
    assert documents(corpus, language, register, count=0, seed=1) == []


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_register_holds_every_entity_and_sixty_sentences(corpus: Corpus, language: Language) -> None:
    for register in REGISTERS:
        written = templates(corpus, language, register)
        assert len(written) == len(set(written)) >= 60
        assert set(re.findall(r"{([A-Z_]+)", " ".join(written))) == EXPECTED[language]
    assert len(set(templates(corpus, language, "shop"))) >= 60


@pytest.mark.parametrize("entity", SHAPES)
def test_values_have_the_published_shape(entity: str) -> None:
    values = found(entity)
    assert len(values) >= 10
    assert [value for value in values if not re.fullmatch(SHAPES[entity], value)] == []


def test_cards_pass_luhn_and_come_in_every_length() -> None:
    lengths = set()
    for value in found("CREDIT_CARD"):
        number = re.sub(r"\D", "", value)
        doubled = (str(int(c) * 2) if place % 2 else c for place, c in enumerate(reversed(number)))
        assert sum(map(int, "".join(doubled))) % 10 == 0
        lengths.add(len(number))
    assert {13, 15, 16, 17, 18, 19} <= lengths


def test_ibans_leave_a_rest_of_one() -> None:
    for value in found("IBAN_CODE"):
        number = value.replace(" ", "")
        assert (
            int("".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(c)) for c in number[4:] + number[:4])) % 97
            == 1
        )


def test_resident_ids_satisfy_iso_7064() -> None:
    """Horner's scheme instead of the table of weights: the whole number is 1 modulo 11."""
    values = [value for value in found("CN_RESIDENT_ID") if len(value) == 18]
    for value in values:
        rest = 0
        for char in value[:-1]:
            rest = (rest + int(char)) * 2 % 11
        assert (rest + (10 if value[-1] in "Xx" else int(value[-1]))) % 11 == 1
    assert any(value.endswith("x") for value in values)
    assert len(values) < len(found("CN_RESIDENT_ID"))


def test_company_ids_satisfy_gb_32100() -> None:
    alphabet = [c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in "IOSVZ"]
    for value in found("CN_COMPANY_ID"):
        total = sum(alphabet.index(char) * 3**power for power, char in enumerate(value[:17]))
        assert (total + alphabet.index(value[17])) % 31 == 0
        organisation = sum(int(c, 36) * w for c, w in zip(value[8:16], (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
        assert (organisation + (10 if value[16] == "X" else int(value[16]))) % 11 == 0


def test_social_security_numbers_could_have_been_issued() -> None:
    for value in found("US_SSN"):
        area, group, serial = re.sub(r"\D", "", value)[:3], re.sub(r"\D", "", value)[3:5], value[-4:]
        assert area not in {"000", "666"} and int(area) < 900 and group != "00" and serial != "0000"


def test_the_corpora_share_no_sentence_nor_a_near_copy() -> None:
    """Closeness is the share of common three-character pieces; a light rewording stays above a half."""

    def pieces(sentence: str) -> set[str]:
        plain = re.sub(r"{.*?}", "", sentence)
        return {plain[i : i + 3] for i in range(len(plain) - 2)}

    for language in LANGUAGES:
        theirs = [pieces(sentence) for sentence in sentences("final", language)]
        for sentence in sentences("validation", language):
            mine = pieces(sentence)
            close = max(len(mine & other) / max(1, len(mine | other)) for other in theirs)
            assert close < 0.5, f"{language}: a sentence of one corpus is {close:.0%} like one of the other"


@pytest.mark.parametrize(("name", "column"), [("en.names", 2), ("zh.given", 0), ("zh.places", 0), ("zh.roads", 0),
                                              ("zh.estates", 0), ("uk.streets", 0), ("uk.towns", 1)])  # fmt: skip
def test_lists_of_names_and_places_hardly_overlap(name: str, column: int) -> None:
    mine, theirs = ({row[column] for row in people.rows(f"{corpus}.{name}")} for corpus in CORPORA)
    assert len(mine & theirs) <= 0.3 * min(len(mine), len(theirs))


def test_the_corpora_share_few_values() -> None:
    for language in LANGUAGES:
        mine, theirs = (
            {d.text[v.start : v.end].casefold() for d in everything(corpus, language) for v in d.values}
            for corpus in CORPORA
        )
        assert len(mine & theirs) <= 0.01 * min(len(mine), len(theirs))


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("language", LANGUAGES)
def test_shop_texts_hold_no_value(corpus: Corpus, language: Language) -> None:
    texts = shop_texts(corpus, language, count=400, seed=5)
    assert texts == shop_texts(corpus, language, count=400, seed=5)
    used = {name for s in templates(corpus, language, "shop") for name in re.findall(r"{(\w+)", s)}
    assert used and all(name.islower() and details.detail(Random(0), language, name, "£") for name in used)
    personal = {d.text[v.start : v.end] for d in everything(corpus, language) for v in d.values if v.end - v.start > 8}
    for text in texts:
        assert not re.search(r"@|https?:|www\.|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d|SF\d{9}|YT\d{9}|JD\w\w\d{9}", text)
        assert "{" not in text and not any(value in text for value in personal)
