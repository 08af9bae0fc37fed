"""Readings of a text, and the way back to the original."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.privacy.normalise import Folded, fold, readings, repair, segments

PIECES = st.sampled_from(
    [
        *"ab1２＠。…㎏ﬁ⑴\u200b\u202e\ufe0f\0 点",
        "张伟",
        "&#64;",
        "&amp;",
        "&#64",
        "%40",
        "%2540",
        "%E5%BC%A0",
        "%zz",
        "[at]",
        " (dot) ",
        "<b>",
        "</b>",
        "<a href='x'>",
        "**",
        "*",
        "`",
        "艾特",
        " AT ",
        " dot com",
        "\\_",
        "\\u4f1f",
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join)


def texts_of(text: str) -> list[str]:
    return [reading.text for reading in readings(text)]


def original(text: str, value: str) -> list[str]:
    """What stands in the original where the readings say `value`."""
    found = []
    for reading in readings(text):
        place = reading.text.find(value)
        if place >= 0:
            start, end = reading.span(place, place + len(value))
            found.append(text[start:end])
    return found


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("１２ｋ㎏", "12kkg"),
        ("⑴⑵ ﬁne ℡ ½", "(1)(2) fine TEL 1⁄2"),
        ("a\u200bb\u202ec\u00add\ufe0f\u3164", "abcd"),
        ("1\ufe0f\u20e33\ufe0f\u20e38\ufe0f\u20e3", "138"),  # keycap emoji
        ("138–1234−5678－9", "138-1234-5678-9"),
        ("٣٤५", "345"),
        ("zhang＠qq．com", "zhang@qq.com"),
        ("zhang@qq。com，谢谢。", "zhang@qq.com,谢谢。"),
        ("192。168。1。20", "192.168.1.20"),
        ("mail。163。com", "mail.163.com"),
        ("号码13812345678。13912345678", "号码13812345678。13912345678"),
        ("好看。M码。", "好看。M码。"),
        ("O´Brien", "O´Brien"),
        ("a\tb\r\nc\u3000d", "a\tb\r\nc d"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text).text == folded


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=80))
def test_folding_is_settled_and_traceable(text: str) -> None:
    folded = fold(text)
    assert fold(folded.text).text == folded.text
    for place in range(len(folded.text)):
        start, end = folded.span(place, place + 1)
        assert end == start + 1
        assert folded.text[place] in fold(text[start:end]).text or text[start] in "。｡"


@settings(deadline=None)  # the machine may be busy
@given(st.characters())
def test_every_character_folds_to_its_compatible_form(char: str) -> None:
    folded = fold(char).text
    assert "\0" not in folded
    if char.isalpha() and " " not in unicodedata.normalize("NFKC", char) and char.isprintable():
        assert folded in (unicodedata.normalize("NFKC", char), "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<b>john</b>@example.com", "john@example.com"),
        ("<i class='x' data-y=\"z\">john</i><wbr/>@example.com", "john@example.com"),
        ("john<!-- x -->@example.com", "john@example.com"),
        ("john&#64;example.com", "john@example.com"),
        ("john&#x40;example&period;com", "john@example.com"),
        ("john&commat;example.com", "john@example.com"),
        ("john&amp;#64;example.com", "john@example.com"),
        ("john%40example.com", "john@example.com"),
        ("john%2540example.com", "john@example.com"),
        ("john\\u0040example.com", "john@example.com"),
        ("john [at] example (dot) com", "john@example.com"),
        ("john{AT}example[.]com", "john@example.com"),
        ("john [#] example.com", "john@example.com"),
        ("john AT example DOT com", "john@example.com"),
        ("john AT example.com", "john@example.com"),
        ("john dot smith at mail dot example dot co dot uk", "john.smith@mail.example.co.uk"),
        ("邮箱zhang艾特qq点com谢谢", "zhang@qq.com"),
        ("邮箱zhang（at）qq點com谢谢", "zhang@qq.com"),
        ("邮箱zhang【艾特】163。com", "zhang@163.com"),
        ("1**3**812345678", "13812345678"),
        ("**john**@example.com", "john@example.com"),
        ("john`@`example.com", "john@example.com"),
        ("john\\_smith@example.com", "john_smith@example.com"),
        ("叫*张**伟*的人", "张伟"),
        ("叫&#24352;%E4%BC%9F的人", "张伟"),
        ("&lt;b&gt;张&lt;/b&gt;伟", "张伟"),
        ("138&#8203;12345678", "13812345678"),
        ("＆＃６４；和％４０", "@和@"),
    ],
)
def test_disguised_value_is_read(text: str, value: str) -> None:
    assert value in "\n".join(texts_of(text))
    assert all(texts_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "shop at amazon.com",
        "Look at the polka dot dress (size M) & a 100% cotton top",
        "SHOP AT AMAZON.COM",
        "3点20到5点半, A点",
        "尺寸120*60*80，120*60",
        "R&D; AT&T; 5 < 6 > 4",
        "*really* soft. *****",
        "[PERSON_1] [EMAIL_ADDRESS#abcdefghijklmnop]",
        "",
        "很好看",
    ],
)
def test_ordinary_text_has_one_reading(text: str) -> None:
    assert len(readings(text)) == 1


@pytest.mark.parametrize(
    ("text", "value", "stretch"),
    [
        ("a john%40x.com b", "@x", "%40x"),
        ("a john&#64;x.com b", "john@", "john&#64;"),
        ("a %2540x b", "@x", "%2540x"),
        ("叫%E5%BC%A0伟", "张", "%E5%BC%A0"),
        ("x <b>john</b>@y.com z", "john@y.com", "john</b>@y.com"),
        ("到㎏处", "g处", "㎏处"),
        ("在 q [at] x", "q@x", "q [at] x"),
        ("&#65297;38", "138", "&#65297;38"),
    ],
)
def test_find_covers_every_spelling_that_it_touches(text: str, value: str, stretch: str) -> None:
    assert original(text, value)[-1] == stretch


@settings(deadline=None)  # the machine may be busy
@given(TEXTS)
def test_spans_of_all_readings_lie_within_the_original_in_order(text: str) -> None:
    found = readings(text)
    assert found[0].text == fold(text).text
    for reading in found:
        spans = [reading.span(place, place + 1) for place in range(len(reading.text))]
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert all(before[0] <= after[0] and before[1] <= after[1] for before, after in pairwise(spans))


@settings(deadline=None)  # the machine may be busy
@given(st.text("ab1@.张伟é", min_size=1, max_size=12), st.lists(st.sampled_from(["percent", "entity"]), max_size=2))
def test_value_encoded_up_to_twice_reads_as_itself(value: str, codes: list[str]) -> None:
    text = value
    for code in codes:
        text = "".join(
            "".join(f"%{byte:02X}" for byte in x.encode()) if code == "percent" else f"&#{ord(x)};" for x in text
        )
    assert value in texts_of(text)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from(["John", "ok", "张伟", "，", " ", "M", "13812345678", "@", "李", "so so", "é", "!"])))
def test_segments_tile_the_text(words: list[str]) -> None:
    text = "".join(words)
    pieces = segments(text)
    assert "".join(text[piece.start : piece.end] for piece in pieces) == text
    assert all(piece.start < piece.end for piece in pieces)
    assert all(before.language != after.language for before, after in pairwise(pieces))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Runs small, size M", ["en"]),
        ("很好看，155cm穿M", ["zh"]),
        ("我叫John Smith，住在上海", ["zh:我叫", "en:John Smith", "zh:，住在上海"]),
        ("邮箱zhang.wei@qq.com谢谢", ["zh:邮箱", "en:zhang.wei@qq.com", "zh:谢谢"]),
        ("找Li吧", ["zh:找", "en:Li", "zh:吧"]),
        ("找john吧", ["zh:找", "en:john", "zh:吧"]),
        ("(John Smith)说：好!", ["en:(John Smith", "zh:)说：好!"]),
        ("QQ 12345678 XL码", ["zh"]),
        ("Ask 张伟 about it.", ["en:Ask", "zh: 张伟 ", "en:about it."]),
    ],
)
def test_segments_by_script(text: str, expected: list[str]) -> None:
    found = [f"{piece.language}:{text[piece.start : piece.end]}" for piece in segments(text)]
    assert found == [one if ":" in one[:3] else f"{one}:{text}" for one in expected]


@pytest.mark.parametrize("unit", ["&#", "%25%25", "<<<<", "[at][at]", "a艾特"])
def test_hostile_megabyte_is_read(unit: str) -> None:
    """How long it takes: benchmarks/scrub_hostile.py."""
    text = unit * (1_000_000 // len(unit))
    assert readings(text) and "".join(text[piece.start : piece.end] for piece in segments(text)) == text


def test_reading_hides_its_text_in_repr() -> None:
    assert "john" not in repr(fold("john")) + repr(readings("john&#64;x")[1])


def test_lone_surrogates_are_read_without_a_crash() -> None:
    for text in ("a\ud800b", "\udfff&#64;\ud83d"):
        assert readings(text)
        assert readings(repair(text))


def test_plain_text_needs_no_map() -> None:
    assert fold("Runs small") == Folded("Runs small")
    assert fold("很好看，真的").starts is None
