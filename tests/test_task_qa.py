"""Answers from a text: SQuAD's and MLQA's scores, and when there is no answer."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.tasks.base import Item, Reply, Scores
from evaluators.tasks.qa import Answers
from evaluators.tasks.tokens import answer_tokens, fold, stands_in, words
from governance.measure import Unit
from tests.taskcontract import check, scored, value


def item(*answers: str, context: str = "text") -> Item:
    return Item(texts={"question": "?", "context": context}, lists={"answers": answers})


def score(reply: str, *answers: str, language: str = "en", context: str = "text") -> dict[str, float]:
    found = scored(Answers(), [item(*answers, context=context)], [Reply(words=reply)], language)
    return {name: value(one) for name, one in found.items()}


# A second implementation, of what the papers and the scripts of SQuAD 2.0 and MLQA define. transformers 5 has none.


def official_tokens(text: str, language: str) -> list[str]:
    marks = {c for c in set(text.lower()) if unicodedata.category(c)[0] == "P"} | set(string.punctuation)
    bare = "".join(c for c in text.lower() if c not in marks)
    if language == "en":
        return re.sub(r"\b(a|an|the)\b", " ", bare).split()
    tokens, run = [], ""
    for c in f"{bare} ":
        if "\u4e00" <= c <= "\u9fa5" or c.isspace():
            tokens, run = [*tokens, *([run] if run else []), *([] if c.isspace() else [c])], ""
        else:
            run += c
    return tokens


def official(reply: str, answers: list[str], language: str) -> tuple[float, float]:
    best = [0.0, 0.0]
    for answer in answers or [""]:
        said, gold = official_tokens(reply, language), official_tokens(answer, language)
        if not said or not gold:
            f1 = float(said == gold)
        else:
            same = sum((Counter(said) & Counter(gold)).values())
            precision, recall = same / len(said), same / len(gold)
            f1 = 2 * precision * recall / (precision + recall) if same else 0.0
        best = [max(best[0], float(said == gold)), max(best[1], f1)]
    return best[0], best[1]


PIECES = ["The ", "an ", "a", " red", "Dress", "-", ", ", "’", "'s", "30", " days", "!", "(", ") ", "$", "nda", "\n"]
HAN_PIECES = ["退", "货", "七", "天", "，", "。", "《", "》", "XL", " ", "30", "%", "、", "the ", "码"]


def texts(pieces: list[str]) -> st.SearchStrategy[str]:
    """Joined pieces with something but articles and punctuation in them, and no mark between digits: see below."""
    joined = st.lists(st.sampled_from(pieces), max_size=6).map("".join)
    return joined.filter(
        lambda text: (
            not text.strip()
            or (bool(official_tokens(text, "en" if pieces is PIECES else "zh")) and not re.search(r"\d\S\d", text))
        )
    ).map(lambda text: text if text.strip() else "")


@pytest.mark.parametrize(("language", "pieces"), [("en", PIECES), ("zh", HAN_PIECES)])
def test_exact_match_and_f1_are_those_of_a_second_implementation(language: str, pieces: list[str]) -> None:
    @settings(max_examples=200, deadline=None)
    @given(texts(pieces), st.lists(texts(pieces).filter(bool), max_size=3))
    def agrees(reply: str, answers: list[str]) -> None:
        found = score(reply, *answers, language=language)
        assert (found["exact_match"], found["token_f1"]) == pytest.approx(official(reply, answers, language))

    agrees()


@pytest.mark.parametrize(
    ("reply", "answers", "language", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], "en", 1, 1),
        ("the city of Paris, France", ["Paris"], "en", 0, 2 * 0.25 * 1 / 1.25),
        ("within thirty days", ["30 days", "thirty days of delivery"], "en", 0, 4 / 7),
        ("30 days", ["14 days", "30 days"], "en", 1, 1),
        ("days days days", ["days"], "en", 0, 0.5),
        ("七天之内", ["七天内"], "zh", 0, 6 / 7),
        ("《七天》内。", ["七天内"], "zh", 1, 1),
        ("XL码", ["xl 码"], "zh", 1, 1),
        ("ＸＬ码，３０元", ["XL码30元"], "zh", 1, 1),
        ("L码", ["XL码"], "zh", 0, 0.5),
        ("不可以", ["七天内"], "zh", 0, 0),
    ],
)
def test_worked_examples(reply: str, answers: list[str], language: str, exact: float, f1: float) -> None:
    found = score(reply, *answers, language=language)
    assert (found["exact_match"], found["token_f1"]) == pytest.approx((exact, f1))
    assert found["exact_match_answerable"] == found["exact_match"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("19.99", "1999", False),
        ("$19.99", "19.99", True),
        ("5-6 days", "56 days", False),
        ("5–6 days", "5-6 days", True),
        ("3～5天", "3-5天", True),
        ("9:00", "900", False),
        ("1,299", "1299", True),
        ("A", "B", False),
        ("A", "the", False),
        ("a", "A.", True),
        ("+", "-", False),
    ],
)
def test_numbers_and_answers_of_marks_alone_stay_apart(one: str, other: str, same: bool) -> None:
    """SQuAD's rule drops all marks and articles: 19.99 would equal 1999, and size A would equal no answer."""
    for language in ("en", "zh"):
        assert (answer_tokens(one, language) == answer_tokens(other, language)) is same
    assert score(one, other)["exact_match"] == same
    assert score("", one)["exact_match"] == 0


def test_articles_are_english() -> None:
    assert answer_tokens("A 款", "zh") == ["a", "款"]
    assert answer_tokens("the dress", "en") == ["dress"]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.sampled_from(["en", "zh"]))
def test_only_blank_texts_have_no_tokens_and_a_text_equals_itself(text: str, language: str) -> None:
    assert bool(answer_tokens(text, language)) == bool(fold(text).strip())
    if fold(text).strip():
        found = score(text, text, language=language)
        assert (found["exact_match"], found["token_f1"]) == (1, 1)


def test_unanswerable_rows_count_apart() -> None:
    rows = [("30 days", ("30 days",)), ("", ("30 days",)), ("", ()), ("30 days", ()), ("  ", ("",))]
    found = scored(
        Answers(),
        [item(*answers, context="within 30 days") for _, answers in rows],
        [Reply(words=reply) for reply, _ in rows],
        "en",
    )
    values = {name: value(one) for name, one in found.items()}
    assert values == pytest.approx(
        {
            "exact_match": 3 / 5,
            "token_f1": 3 / 5,
            "exact_match_answerable": 1 / 2,
            "token_f1_answerable": 1 / 2,
            "refused_unanswerable": 2 / 3,
            "refused_answerable": 1 / 2,
            "grounded": 1.0,
        }
    )
    assert found["refused_answerable"].table[:, 1].tolist() == [1, 1, 0, 0, 0]
    assert found["refused_unanswerable"].table[:, 1].tolist() == [0, 0, 1, 1, 1]
    assert found["grounded"].table[:, 1].tolist() == [1, 0, 0, 1, 0]
    assert {name for name, one in found.items() if one.better == "lower"} == {"refused_answerable"}
    assert {name for name, one in found.items() if one.unit is Unit.RATE and one.hits} == set(found) - {
        "token_f1",
        "token_f1_answerable",
    }


def test_without_unanswerable_rows_their_figure_is_absent() -> None:
    assert np.isnan(score("x", "x")["refused_unanswerable"])
    assert np.isnan(score("", "x")["grounded"])
    assert np.isnan(score("x")["exact_match_answerable"])


@pytest.mark.parametrize(
    ("reply", "context", "grounded"),
    [
        ("30 Days", "Returns: within 30  days.", True),
        ("3 days", "within 13 days", False),
        ("99 yuan", "for 19.99 yuan", False),
        ("30%", "30 days", False),
        ("days 30", "within 30 days", False),
        (".", "A text. With stops.", False),
        ("!", "", False),
        ("七天 内", "支持七天内退货", True),
        ("满１９９元", "满199元包邮", True),
        ("3天", "13天内", False),
        ("包邮", "满199元包运费，邮寄", False),
    ],
)
def test_grounded_replies_stand_in_the_text(reply: str, context: str, grounded: bool) -> None:
    assert score(reply, "x", context=context)["grounded"] == grounded
    assert stands_in(reply, context) is grounded


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "the", "30 days", "30 天", "七天内", "七天", "x y"]),
            st.lists(st.sampled_from(["30 days", "七天", "x"]), max_size=2),
        ),
        max_size=6,
    ),
    st.sampled_from(["en", "zh"]),
)
def test_rows_stand_alone(rows: list[tuple[str, list[str]]], language: str) -> None:
    items = [item(*answers, context="30 days 七天内") for _, answers in rows]
    found: dict[str, Scores] = check(Answers(), items, [Reply(words=reply) for reply, _ in rows], language)
    for row in range(len(rows)):
        assert value(found["exact_match"], [row]) <= value(found["token_f1"], [row])


def test_words_keep_numbers_whole() -> None:
    assert words("满199.50元,打9.5折!") == ["满", "199.50", "元", "打", "9.5", "折"]
    assert words("9:00-18:00, 50% OFF") == ["9:00", "18:00", "50", "%", "off"]
