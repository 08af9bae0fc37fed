"""Tokens: every spelling that a model may give one back in, and nothing that could mean something else."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.privacy.checks import luhn
from governance.privacy.entities import ENTITIES
from governance.privacy.overlaps import LITERAL, PLACEHOLDER
from governance.privacy.vault.tokens import draw, numbers, same_value, spellings, write

NUMBER = 482133
FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})

SPELLINGS = [
    "[PERSON_482133]",
    "[person_482133]",
    "[Person_482133]",
    "[ PERSON_482133 ]",
    "[PERSON 482133]",
    "[PERSON-482133]",
    "[PERSON#482133]",
    "[PERSON482133]",
    "[PERSON _ 482133]",
    "PERSON_482133",
    "Person 482133",
    "PERSON-482133",
    "PERSON–482133",
    "(PERSON_482133)",
    "（PERSON_482133）",
    "【PERSON_482133】",
    "〔PERSON_482133〕",
    "{PERSON_482133}",
    "<PERSON_482133>",
    "［PERSON_482133］",
    "【PERSON_482133]",
    r"\[PERSON\_482133\]",
    r"[PERSON\_482133]",
    r"PERSON\_482133",
    "[PERSON_482133]".translate(FULL_WIDTH),
    "【ＰＥＲＳＯＮ＿４８２１３３】",
    "[PER\u200bSON_482\u200b133]",
    "[PERSON\u00a0482133]",
]
AROUND = [
    "{}",
    "Dear {},",
    "{}'s order",
    "{}’s",
    "**{}**",
    "`{}`",
    "“{}”",
    "请联系{}先生",
    "{}。",
    "({}, {})",
    "[see {}]",
    "{}.",
]
OTHERS = [
    "[PERSON_482134]",  # the check digit is wrong
    "[PERSON_4821330]",
    "[PERSON_48213]",
    "[XPERSON_482133]",
    "MY_PERSON_482133",
    "PERSON_482133.5",
    "PERSON_482133-7",
    "PERSON_482133,000",
    "PERSONS_482133",
    "PERSON_482133rd",
    "PERSON 482 133",
    "PERSON: 482133",
    "PERSON no. 482133",
    "PERSON\n482133",
    "[PERSON] 482133",
    "482133",
    "[NAME_482133]",
    "[PERSON_194836]",  # 19…: a month of a year
    "人员 482133",
]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_is_found_with_its_brackets_and_nothing_else(spelling: str, around: str) -> None:
    text = around.format(spelling, spelling)
    found = list(spellings(text))
    assert {one.token for one in found} == {"[PERSON_482133]"}
    assert {text[one.start : one.end] for one in found} == {spelling}
    assert len(found) == around.count("{}")


@pytest.mark.parametrize("around", ["{}", "x {} y", "是{}吗"])
@pytest.mark.parametrize("other", OTHERS)
def test_what_could_mean_something_else_is_no_token(other: str, around: str) -> None:
    assert list(spellings(around.format(other))) == []


@pytest.mark.parametrize("text", ["[see PERSON_482133]", "(PERSON_482133, a)", "[PERSON_482133)", "PERSON_482133]"])
def test_a_lone_bracket_belongs_to_the_sentence(text: str) -> None:
    [found] = spellings(text)
    assert text[found.start : found.end] == "PERSON_482133"


@pytest.mark.parametrize("label", [*ENTITIES, LITERAL])
def test_every_label_is_read_with_and_without_its_underscores(label: str) -> None:
    for written in (
        write(label, NUMBER),
        label.replace("_", " ").lower() + " 482133",
        write(label, NUMBER).replace("_", r"\_"),
    ):
        assert [(one.label, one.number) for one in spellings(written)] == [(label, NUMBER)]


@pytest.mark.parametrize("label", [*ENTITIES, LITERAL])
def test_the_scrubber_leaves_tokens_alone(label: str) -> None:
    assert PLACEHOLDER.fullmatch(write(label, NUMBER))


def test_one_slip_in_a_number_never_makes_another_token() -> None:
    for number in (draw(set()) for _ in range(200)):
        digits = str(number)
        slips = [digits[:i] + other + digits[i + 1 :] for i in range(6) for other in "0123456789" if other != digits[i]]
        assert not [slip for slip in slips if list(spellings(f"[PERSON_{slip}]"))]


def test_numbers_are_drawn_from_what_is_free() -> None:
    assert {len(str(draw(set()))) for _ in range(500)} == {6}
    free = {draw(set()) for _ in range(2000)}
    assert draw(frozenset(range(1_000_000)) - free) in free
    assert all(luhn(str(number)) and list(numbers(f"单号{number}。"))[0][2] == number for number in free)  # noqa: RUF015


def test_numbers_stand_alone() -> None:
    assert [text[a:b] for text in ["x482133y", "４８２１３３号"] for a, b, _ in numbers(text)] == [
        "482133",
        "４８２１３３",
    ]
    assert list(numbers("1482133 4821330 482134 482 133")) == []


@pytest.mark.parametrize(
    ("entity", "one", "other"),
    [
        ("EMAIL_ADDRESS", "Zhang.Wei@QQ.com", "ｚhang.wei@qq.com"),
        ("PHONE_NUMBER", "138 0013 8000", "１３８００１３８０００"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "4111111111111111"),
        ("PERSON", "ANNA  Smith", "Anna Smith"),
        ("CN_RESIDENT_ID", "11010519491231002x", "110105 19491231 002X"),
        ("PERSON", "张\u200b伟", "张伟"),
        ("PHONE_NUMBER", "(415) 555-0132", "(415)555-0132"),
        ("CN_LICENSE_PLATE", "京A·12345", "京ａ·12345"),
    ],
)
def test_spellings_of_one_value_are_the_same(entity: str, one: str, other: str) -> None:
    assert same_value(entity, one) == same_value(entity, other)


@pytest.mark.parametrize(
    ("entity", "one", "other"),
    [
        ("EMAIL_ADDRESS", "a.b@x.com", "ab@x.com"),
        ("IP_ADDRESS", "1.12.3.4", "11.2.3.4"),
        ("URL", "https://a.io/B", "https://a.io/b"),
        ("CRYPTO", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1boatslrhtknngkdxeeobr76b53lettpyt"),
        ("STREET_ADDRESS", "幸福路1-23号", "幸福路12-3号"),
        ("PERSON", "Li Na", "Lina"),
        ("WECHAT_ID", "wx_ab-1", "wx_a-b1"),
        ("ALIPAY_ID", "a.b@x.com", "ab@x.com"),
        ("PHONE_NUMBER", "13822345678", "3822345678"),
        ("PHONE_NUMBER", "0571-5555666-7", "0571-55556667"),
        ("TRACKING_NUMBER", "JD012345678-1-1", "JD01234567811"),
        ("PHONE_NUMBER", "[ 13822345678", "13822345678"),
        ("PHONE_NUMBER", "(13822345678", "13822345678"),
        ("PHONE_NUMBER", "+8613822345678", "8613822345678"),
        (LITERAL, "[PERSON_482133]", "[person_482133]"),
    ],
)
def test_different_values_are_never_the_same(entity: str, one: str, other: str) -> None:
    assert same_value(entity, one) != same_value(entity, other)


def test_a_value_is_the_same_whatever_it_was_found_as_but_a_look_alike_is_itself() -> None:
    assert same_value("PHONE_NUMBER", "138 2234 5678") == same_value("WECHAT_ID", "13822345678")
    assert same_value(LITERAL, "person 482133") != same_value("PERSON", "Person 482133")
    assert [same_value("PHONE_NUMBER", odd) for odd in ("", "...", "()")] == ["", "...", "()"]


@given(st.text(alphabet="[]【】（)\\_ -#PERSONperson48213０１\u200b\n张é", max_size=80))
def test_any_text_is_read_in_order_and_says_what_it_found(text: str) -> None:
    found = list(spellings(text))
    assert all(before.end <= after.start for before, after in pairwise(found))
    for one in found:
        [again] = spellings(text[one.start : one.end])
        assert again.token == one.token


def test_a_long_hostile_line_is_read_in_seconds() -> None:
    """A megabyte of beginnings of tokens: time that grows with the square of it would take hours."""
    pieces = ["[CN_", "[PERSON_48213", "\\[EMAIL_", "PERSON  _  ", "【", "482133"]
    text = "".join(random.Random(1).choices(pieces, k=150_000))
    assert sum(1 for _ in spellings(text)) < 150_000
