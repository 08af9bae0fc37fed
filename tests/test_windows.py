"""Windows: the same cuts for any split of any text, at ends of sentences, never through a value or a character."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.privacy.windows import AHEAD, CONTEXT, FAR, LAST, LEAST, Windows, windows

PIECES = [
    "Your parcel was sent today. ", "你的包裹今天已经寄出。", "Ask Dr. ", "Smith lives in St. ", "Paul, No. ", "5! ",
    "……", "”", "\r\n", "\r", "\n\n", "`", "👍🏽",
    "138 0013. ", "8000", "！", "？ab", "a", " ", "[PERSON_4821]", "\ud83d", "\ude00",
    "é", "e\u0301", "👩\u200d🔧", "\u200b", "\u3000", "1. ",
    "x" * 60, "汉" * 30, "。", ".", "...", "'", ")",
]  # fmt: skip
RUNS = ["x" * 900, "汉" * 700, " ab", "12 34", "\u0301" * 300, "\ud83d\ude00", "a. ", "5 "]
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=60).map("".join)


def chunked(text: str, cuts: list[int]) -> list[str]:
    """The text in pieces that end at these places, empty ones included."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


def streamed(chunks: list[str]) -> list[tuple[str, str]]:
    cutter = Windows()
    out = [window for chunk in chunks for window in cutter.feed(chunk)]
    return [(window.context, window.text) for window in [*out, *cutter.finish()]]


def whole(text: str) -> list[tuple[str, str]]:
    return [(window.context, window.text) for window in windows(text)]


@settings(max_examples=300)
@given(texts, st.lists(st.integers(0, 1500), max_size=12))
def test_any_split_gives_the_same_windows(text: str, cuts: list[int]) -> None:
    assert streamed(chunked(text, cuts)) == streamed(list(text)) == whole(text)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(RUNS), max_size=30),
    st.lists(st.integers(0, 20_000), max_size=6),
)  # fmt: skip
def test_any_split_of_a_text_without_sentences_gives_the_same_windows(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    assert streamed(chunked(text, cuts)) == whole(text)
    assert all(len(window) <= LAST + CONTEXT + 1 for _, window in whole(text))


@given(texts)
def test_windows_are_the_text_with_what_came_before(text: str) -> None:
    position = 0
    for context, piece in whole(text):
        before = text[:position]
        assert before.endswith(context)
        assert len(context) in (min(CONTEXT, position), min(CONTEXT, position) - 1)  # half a pair is left out
        assert piece
        position += len(piece)
    assert position == len(text)


def cut(text: str) -> list[str]:
    return [piece for _, piece in whole(text)]


LEAD = "Thank you for your order "  # longer than LEAST: each ending after it may be a cut
PARTS = [
    ["is on its way. ", "It will arrive."],
    ["is late!! ", "Sorry."],
    ['is "late." ', "Sorry."],
    ["is late (really.) ", "Sorry."],
    ["is late\n", "Sorry"],
    ["is late\r\n", "Sorry"],
    ["is late...  ", "Sorry"],
    ["的包裹已寄出。", "明天到。"],
    ["的包裹“已寄出！”", "明天到。"],
    ["的包裹已寄出……", "明天到。"],
    ["的包裹已寄出。 ", "明天到。"],
    ["还在吗？！", "在。"],
]
WHOLE = [
    "of Dr. Smith", "for Mr. J. R. Smith", "to 12 Main St. Springfield", "No. 5", "of 138. 0013", "at (415)\n555-1234",
    "of 1.5 kg", "a.b", "to x@y.org.cn", "1\r", "的电话是138。0013", "b！c@x.org", "https://a.io/b？c=d",
    "is late.", "x. , y", "。", "是3。5元", "\n2. Tea", "e\n\u0301",
]  # fmt: skip


@pytest.mark.parametrize("parts", PARTS)
def test_a_sentence_ends_a_window(parts: list[str]) -> None:
    assert cut(LEAD + "".join(parts)) == [LEAD + parts[0], parts[1]]


@pytest.mark.parametrize("text", WHOLE)
def test_what_belongs_together_stays_together(text: str) -> None:
    assert cut(LEAD + text) == [LEAD + text] if not text.startswith("\n") else [LEAD + "\n", text[1:]]


def test_short_sentences_wait_for_more() -> None:
    assert cut("Yes. No. Yes.") == ["Yes. No. Yes."]
    assert cut("好的。在。") == ["好的。在。"]


def test_a_sentence_comes_out_as_soon_as_its_end_is_sure() -> None:
    cutter = Windows()
    assert cutter.feed(LEAD + "is on its way. " + "It will arrive"[: AHEAD - 1]) == []
    [window] = cutter.feed("!")
    assert window.text == LEAD + "is on its way. "


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("word " * 2000, FAR + 4),
        ("汉" * 9000, FAR),
        ("5 " * 9000, LAST),
        ("5," * 9000, LAST),
        ("x" * 9000, LAST + CONTEXT),
        ("x" * (LAST + 9) + "," + "x" * 300, LAST + 9),
        ("," * (LAST - 1) + "\r\n" + "x" * 99, LAST + 1),
        ("," * (LAST - 1) + "e\u0301\u0301" + "," * 99, LAST + 2),
        ("x" + "\u0301" * 9000, LAST + CONTEXT),
        ("," * (LAST - 1) + "\ud83d\ude00" + "x" * 99, LAST + 1),
    ],
)
def test_a_text_without_sentences_is_cut_far_out(text: str, length: int) -> None:
    assert len(cut(text)[0]) == length


def test_context_never_begins_with_half_a_character() -> None:
    text = "\ud83d\ude00" + "x" * (CONTEXT - 3) + ".\n" + "y" * LEAST
    assert whole(text)[1][0] == "x" * (CONTEXT - 3) + ".\n"


def test_repr_shows_no_text() -> None:
    assert "parcel" not in repr(windows("a parcel")) + repr(Windows())
