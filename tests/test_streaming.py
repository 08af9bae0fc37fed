"""Restoring as it streams: the same for any split, in one pass, with what the model made up scrubbed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import ScrubError
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
from governance.privacy.vault.streaming import Restorer
from governance.privacy.vault.tokens import Spelling
from governance.privacy.windows import CONTEXT, LAST
from tests.test_windows import chunked

VALUES = {
    ("EMAIL_ADDRESS", 482133): "zhang.wei@qq.com",
    ("PERSON", 731232): "张伟",
    ("LITERAL", 357624): "[EMAIL_ADDRESS_482133]",
}
PIECES = [
    "[EMAIL_ADDRESS_482133]", r"\[EMAIL\_ADDRESS\_482133\]", "Email address 482133",
    "【ＰＥＲＳＯＮ＿７３１２３２】", "Person 731232", "'s",
    "literal-357624", "[PERSON_482133]", "[PERSON_731233]", "made.up@else.org",
    "电话13500000000", "[", "]", "PERSON", "_", "482133", " ", "\n",
    "We wrote to you again. ", "我们已经再次给您写信。", "！", "\ud83d", "\ude00", "\\", "\u200b", "7", "x",
]  # fmt: skip


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(load_policy("patterns"))


def lookup(spelling: Spelling) -> str | None:
    return VALUES.get((spelling.label, spelling.number))


def restored(scrubber: Scrubber, chunks: list[str]) -> str:
    stream = Restorer(scrubber, lookup)
    return "".join([*(stream.feed(chunk) for chunk in chunks), stream.finish()])


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_any_split_gives_what_the_whole_gives(scrubber: Scrubber, text: str, cuts: list[int]) -> None:
    whole = restored(scrubber, [text])
    assert restored(scrubber, chunked(text, cuts)) == whole
    assert restored(scrubber, list(text)) == whole


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, "me@x.org", "4111 1111 1111 1111. "]), max_size=25).map("".join))
def test_without_tokens_it_is_what_the_scrubber_makes_of_an_answer(scrubber: Scrubber, text: str) -> None:
    stream = Restorer(scrubber, lambda _: None)
    assert stream.feed(text) + stream.finish() == scrubber.scrub_one(text, "output")[0]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("Hi Person 731232, we wrote to [email_address_482133].", "Hi 张伟, we wrote to zhang.wei@qq.com."),
        ("【PERSON_731232】您好，已发到（EMAIL_ADDRESS-482133）。", "张伟您好，已发到zhang.wei@qq.com。"),
        ("Ask made.up@else.org, not \\[EMAIL\\_ADDRESS\\_482133\\]!", "Ask [EMAIL_ADDRESS], not zhang.wei@qq.com!"),
        ("请打13500000000找PERSON_731232", "请打[PHONE_NUMBER]找张伟"),
        ("[PERSON_482133] and [PERSON_731241]", "[PERSON_482133] and [PERSON_731241]"),  # another label; nobody's
        ("[LITERAL_357624]", "[EMAIL_ADDRESS_482133]"),  # put back, and not read again
        ("[[LITERAL_357624]]", "[[EMAIL_ADDRESS_482133]]"),
        ("x[PERSON_731232][EMAIL_ADDRESS_482133]y", "x张伟zhang.wei@qq.comy"),
        ("xPERSON_731232", "xPERSON_731232"),
        ("", ""),
    ],
)
def test_answers(scrubber: Scrubber, answer: str, shown: str) -> None:
    assert restored(scrubber, [answer]) == shown


@pytest.mark.parametrize("end", [LAST, LAST + CONTEXT])
@pytest.mark.parametrize("lead", ["x", ","])
def test_a_cut_far_out_makes_no_token_of_a_part(scrubber: Scrubber, lead: str, end: int) -> None:
    """However a word of thousands of letters is cut, neither end of it becomes a token of its own."""
    for length in (end - 14, end - 13, end - 12, end - 7, end):
        for tail in ("7" + "x" * 300, "_x"):
            assert VALUES["PERSON", 731232] not in restored(scrubber, [f"{lead * length}PERSON_731232{tail}"])
    assert VALUES["PERSON", 731232] not in restored(scrubber, ["x" * end + "PERSON_731232!"])


def test_sentences_come_out_before_the_answer_has_ended(scrubber: Scrubber) -> None:
    stream = Restorer(scrubber, lookup)
    assert stream.feed("We wrote to Person 731232 today. The parcel") == "We wrote to 张伟 today. "
    assert stream.feed(" left. 您的包裹已经在今天上午寄出，单号不变。预计明天") == ""
    assert stream.feed("下午送达。") == "The parcel left. 您的包裹已经在今天上午寄出，单号不变。"
    assert stream.finish() == "预计明天下午送达。"


def test_an_answer_that_ended_or_failed_does_not_go_on(scrubber: Scrubber) -> None:
    stream = Restorer(scrubber, lookup)
    stream.finish()
    with pytest.raises(ScrubError, match="has ended or failed"):
        stream.feed("x")

    def fails(_: Spelling) -> str | None:
        raise ScrubError("session: it was closed; begin another one")

    stream = Restorer(scrubber, fails)
    stream.feed("Hi [PERSON_731232]")
    with pytest.raises(ScrubError, match="closed"):
        stream.finish()
    with pytest.raises(ScrubError, match="has ended or failed"):
        stream.finish()
