"""Answers in a model's own words: overlap, groundedness, numbers and refusals, in both languages."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from evaluators.refusals import declines, refuses
from evaluators.tasks.base import Item, Reply
from evaluators.tasks.generation import Generation
from evaluators.tasks.overlap import LONGEST, bleu, chrf, rouge_l
from evaluators.tasks.quantities import claimed, held
from governance.errors import DataError, MissingExtra
from governance.measure import Unit
from tests.taskcontract import check, scored, value

# The example of sacrebleu's README, whose scores it states: BLEU 48.53, chrF2 59.73.
WRITTEN = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
WANTED = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]
# Eight characters of which six, in a row, are right.
NEAR, REFERENCE = "这件衣服质量不错", "这件衣服质量很好"


def score(reply: str, language: str = "en", references: tuple[str, ...] = (), **texts: str) -> dict[str, float]:
    one = Item(texts={"question": "?", **texts}, lists={"references": references})
    found = scored(Generation(), [one], [Reply(words=reply)], language)
    return {name: value(metric) for name, metric in found.items()}


def test_bleu_and_chrf_are_the_published_ones() -> None:
    assert 100 * value(bleu(WRITTEN, WANTED, "en")) == pytest.approx(48.53, abs=0.005)
    assert 100 * value(chrf(WRITTEN, WANTED, "en")) == pytest.approx(59.73, abs=0.005)
    assert "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:" in bleu(WRITTEN, WANTED, "en").method
    assert "nc:6|nw:0|space:no" in chrf(WRITTEN, WANTED, "en").method


def test_chinese_is_scored_by_its_own_tokens() -> None:
    """The trap: with the libraries' defaults, texts that are almost equal score 0.0."""
    assert RougeScorer(["rougeL"]).score(REFERENCE, NEAR)["rougeL"].fmeasure == 0
    assert sacrebleu.BLEU(tokenize="13a").corpus_score([NEAR], [[REFERENCE]]).score == 0
    assert value(rouge_l([NEAR], [[REFERENCE]], "zh")) == pytest.approx(6 / 8)
    found = bleu([NEAR], [[REFERENCE]], "zh")
    assert value(found) == pytest.approx((6 / 8 * 5 / 7 * 4 / 6 * 3 / 5) ** 0.25)
    assert "tok:zh" in found.method


WORDS = st.lists(st.sampled_from("the a dog bit man . 狗 咬 人 了 。 30 cats".split()), max_size=9)
TEXTS = st.one_of(WORDS.map(" ".join), WORDS.map("".join))
CORPUS = st.lists(st.tuples(TEXTS, st.lists(TEXTS.filter(bool), min_size=1, max_size=3)), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(CORPUS, st.sampled_from(["en", "zh"]), st.data())
def test_any_selection_of_rows_scores_as_sacrebleu_has_it(corpus, language: str, data) -> None:
    written, wanted = [one for one, _ in corpus], [texts for _, texts in corpus]
    rows = data.draw(st.lists(st.sampled_from(range(len(corpus))), min_size=1, max_size=8))  # as a bootstrap draws
    most = max(len(wanted[row]) for row in rows)
    streams = [[wanted[row][i] if i < len(wanted[row]) else None for row in rows] for i in range(most)]
    for mine, theirs in (
        (bleu, sacrebleu.BLEU(tokenize="zh" if language == "zh" else "13a", force=True)),
        (chrf, sacrebleu.CHRF()),
    ):
        expected = theirs.corpus_score([written[row] for row in rows], streams).score
        found = mine(written, wanted, language)
        assert 100 * value(found, rows) == pytest.approx(expected, abs=1e-9)
        # Many selections at once, as resampling combines them.
        stacked = np.stack([found.table[rows].sum(axis=0), np.zeros(found.table.shape[1])])[:, None]
        assert found.combine(stacked).shape == (2, 1)
        assert np.isnan(found.combine(stacked)[1, 0])


def longest_common(one: list[str], other: list[str]) -> int:
    best = [0] * (len(other) + 1)
    for token in one:
        row = [0]
        for j, against in enumerate(other):
            row.append(best[j] + 1 if token == against else max(best[j + 1], row[j]))
        best = row
    return best[-1]


@settings(max_examples=100, deadline=None)
@given(st.text("退货七天内 ", max_size=12), st.lists(st.text("退货七天内 ", max_size=12), max_size=3))
def test_rouge_l_of_chinese_is_the_longest_common_subsequence_of_characters(reply: str, references: list[str]) -> None:
    tokens = [list(text.replace(" ", "")) for text in references if text.strip()]
    said = list(reply.replace(" ", ""))
    best = [2 * longest_common(said, gold) / (len(said) + len(gold)) for gold in tokens]
    found = value(rouge_l([reply], [references], "zh"))
    assert (np.isnan(found) and not best) or found == pytest.approx(max(best))


def test_rouge_l_of_english_is_rouge_scores() -> None:
    scorer = RougeScorer(["rougeL"])
    for reply, references in zip(WRITTEN, WANTED, strict=True):
        expected = max(scorer.score(text, reply)["rougeL"].fmeasure for text in references)
        assert value(rouge_l([reply], [references], "en")) == pytest.approx(expected)
    # Four of five tokens of the reply, of six in the reference.
    assert value(rouge_l(["the dog bit a man"], [["The dog had bit the man."]], "en")) == pytest.approx(8 / 11)


def test_references_that_no_reply_can_meet_are_not_held_against_it() -> None:
    assert math.isnan(value(rouge_l(["好"], [["好的。"]], "en")))
    assert value(rouge_l(["good"], [["好的。", "good"]], "en")) == 1


def test_very_long_texts_are_cut() -> None:
    """Without the cut, 100,000 tokens against as many would take hours."""
    assert value(rouge_l(["好" * 100_000], [["好" * LONGEST + "坏" * 98_000]], "zh")) == 1


@settings(max_examples=60, deadline=None)
@given(TEXTS.filter(lambda text: len(text.split()) >= 4), st.sampled_from(["en", "zh"]))
def test_a_reply_equal_to_a_reference_scores_one(text: str, language: str) -> None:
    assert value(bleu([text], [[text]], language)) == pytest.approx(1)
    assert value(chrf([text], [[text]], language)) == pytest.approx(1)
    rouge = value(rouge_l([text], [[text]], language))
    scorable = any(c.isalnum() and (c.isascii() or language == "zh") for c in text)
    assert rouge == pytest.approx(1) if scorable else math.isnan(rouge)


def test_blank_replies_score_nothing_and_rows_without_references_are_left_out() -> None:
    found = score("", references=("Within 30 days of delivery.",))
    assert (found["rouge_l"], found["bleu"], found["chrf"], found["length"]) == (0, 0, 0, 0)
    found = score("Within 30 days.", references=("", " "))
    assert all(math.isnan(found[name]) for name in ("rouge_l", "bleu", "chrf"))
    assert found["length"] == 15


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Within 30 days, or thirty-five, for $1,299.00", {"30", "35", "1299"}),
        ("15% off, 15 percent, fifteen per cent", {"15%"}),
        ("March 5, 2026; 5th of March; Mar. 5", {"3-5", "2026"}),
        ("2026-03-05 and 2026/3/5", {"3-5", "2026"}),
        ("9:00 to 18:30", {"9", "18", "30"}),
        ("10k, five thousand, 1.5 million, one hundred", {"10000", "5000", "1500000", "100"}),
        ("a one-off, one of them, A4, iPhone15, v1.2.3, <PHONE_1>", set()),
        ("0.50 kg, No.7, 5kg", {"0.5", "7", "5"}),
        ("三十天，30天，两百零五元", {"30", "205"}),
        ("百分之十五、百分之15、15％、１５%", {"15%"}),
        ("3月5日，三月五号，二〇二六年三月五日", {"3-5", "2026"}),
        ("满一百九十九元，1.5万元，3百件，两个工作日", {"199", "15000", "300", "2"}),
        ("十分满意，统一处理，万一，一天，二维码", set()),
        ("一月一日", {"1-1"}),
        ("2千克，3到5天", {"2", "3", "5"}),
    ],
)
def test_numbers_are_read_in_both_languages(text: str, numbers: set[str]) -> None:
    assert claimed(text)[0] == numbers
    assert numbers <= held(text)


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789,.-/:% 年月日一十百万亿天元one twenty may%k", max_size=30))
def test_a_text_holds_the_numbers_that_it_claims(text: str) -> None:
    assert claimed(text)[0] <= held(text)


def test_hostile_numbers_are_read() -> None:
    assert claimed("9" * 10_000)[0] == {"9" * 10_000}
    assert claimed("1,000" * 5_000 + "亿" * 5_000)[0]


POLICY = (
    "Returns are accepted within 30 days of delivery. Refunds take 5-7 business days. "
    "Shipping is $4.99, 15% off on March 5."
)
ZH_POLICY = "支持七天无理由退货，退货运费5元由买家承担，满199元包邮，3月5日起打九折。"


@pytest.mark.parametrize(
    ("reply", "language", "invented"),
    [
        ("You can return it within thirty days.", "en", False),
        ("You can return it within 60 days.", "en", True),
        ("Refunds take seven days.", "en", False),
        ("Shipping is $4.99.", "en", False),
        ("Shipping is $499.", "en", True),
        ("It's 15 percent off on 5 March.", "en", False),
        ("It's 15% off on April 5.", "en", True),
        ("There is a fee of 15 dollars and 30% off.", "en", True),
        ("Yes, you can return it.", "en", False),
        ("亲，支持7天无理由退货哦。", "zh", False),
        ("亲，支持十五天无理由退货哦。", "zh", True),
        ("满一百九十九元包邮。", "zh", False),
        ("满99元包邮。", "zh", True),
        ("三月五日起打9折。", "zh", False),
        ("三月六日起打9折。", "zh", True),
        ("运费百分之五。", "zh", True),
        ("可以退货的，您提交一个申请就可以。", "zh", False),
        ("介于两码之间，建议选小一码。", "zh", False),
    ],
)
def test_numbers_that_the_text_does_not_hold_are_found(reply: str, language: str, invented: bool) -> None:
    context = POLICY if language == "en" else ZH_POLICY
    assert score(reply, language, context=context)["unsupported_numbers"] == invented


def test_groundedness_counts_content_words_and_numbers() -> None:
    # return, accept, 30 and day are in the text, in other forms; gift and wrap aren't.
    assert score("We accept returned gifts, wrapped, in 30 days", context=POLICY)["groundedness"] == pytest.approx(
        4 / 6
    )
    # 支持, 7, 天, 无理, 理由, 由退 and 退货; not 送礼 and 礼品.
    assert score("支持7天无理由退货，送礼品", "zh", context=ZH_POLICY)["groundedness"] == pytest.approx(7 / 9)
    assert score("Returns aren't accepted.", context=POLICY)["groundedness"] == pytest.approx(2 / 3)
    assert score(POLICY, context=POLICY)["groundedness"] == 1
    assert score(ZH_POLICY, "zh", context=ZH_POLICY)["groundedness"] == 1


@pytest.mark.parametrize("reply", ["", "Sorry, I can't help with that.", "文中没有提到，99元。"])
def test_replies_that_answer_nothing_are_not_grounded_nor_ungrounded(reply: str) -> None:
    found = score(reply, context=POLICY)
    assert math.isnan(found["groundedness"])
    assert math.isnan(found["unsupported_numbers"])


def test_without_a_text_nothing_is_grounded() -> None:
    for texts in ({}, {"context": " "}):
        found = score("Within 30 days.", **texts)
        assert math.isnan(found["groundedness"])
        assert math.isnan(found["unsupported_numbers"])


def test_planted_inventions_lower_groundedness() -> None:
    for language, policy, filler in (
        ("en", POLICY, " Free gift wrapping included, lifetime warranty guaranteed."),
        ("zh", ZH_POLICY, "赠送精美礼盒，终身保修。"),
    ):
        values = [score(policy + filler * n, language, context=policy)["groundedness"] for n in range(3)]
        assert values[0] > values[1] > values[2]


NO_ANSWER = """
The policy does not mention gift wrapping.
The provided text doesn't say whether it is waterproof.
I don't know.
I'm not sure about that.
That is not mentioned in the policy.
I could not find this in the document.
Not mentioned.
Sorry, I can't help with that.
文中没有提到礼品包装。
政策中并未明确说明运费由谁承担。
我不清楚。
抱歉，我无法回答这个问题。
没有相关信息。
未提及
""".strip().splitlines()
ANSWER = """
We do not offer gift wrapping.
Yes, within 30 days.
The dress is not waterproof.
Please do not wash it with other colours.
I do not recommend washing it.
The policy covers returns within 30 days.
本店不提供礼品包装。
七天内可以退货。
这件衣服没有口袋。
说明书里写明了洗涤方法。
没有问题，马上为您处理。
不可以机洗。
""".strip().splitlines()


@pytest.mark.parametrize("text", [*NO_ANSWER, "", "  \n"])
def test_replies_that_give_no_answer_are_recognised(text: str) -> None:
    assert declines(text)


@pytest.mark.parametrize("text", ANSWER)
def test_a_no_is_an_answer(text: str) -> None:
    assert not declines(text)
    assert not refuses(text)


@pytest.mark.parametrize("piece", ["the policy " * 200, "文中" * 300, "i do not " * 200, "我暂时" * 300, "没有" * 400])
def test_hostile_text_is_read_in_time(piece: str) -> None:
    """No assertion on time: a pattern that backtracks without bound would not end."""
    assert not any(declines(piece) for _ in range(100))


def test_refusals_count_both_ways() -> None:
    rows = [("yes", NO_ANSWER[0]), ("是", ANSWER[1]), ("no", NO_ANSWER[8]), ("FALSE", ANSWER[7]), ("0", ""), ("", "x")]
    items = [Item(texts={"question": "?", "refuse": refuse}, lists={}) for refuse, _ in rows]
    found = scored(Generation(), items, [Reply(words=reply) for _, reply in rows], "en")
    should, should_not = found["refused_when_should"], found["refused_when_should_not"]
    assert should.table.tolist() == [[1, 1], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert should_not.table.tolist() == [[0, 0], [0, 0], [1, 1], [0, 1], [1, 1], [0, 0]]
    assert (should.better, should_not.better, found["length"].better) == ("higher", "lower", None)
    assert (should.unit, found["length"].unit) == (Unit.RATE, Unit.COUNT)


def test_other_words_for_refuse_are_an_error_that_does_not_quote_them() -> None:
    with pytest.raises(
        DataError, match="refuse: expected yes, no or nothing in each row, found something else in 1 rows"
    ):
        score("x", refuse="perhaps")


REPLIES = st.sampled_from([*NO_ANSWER[:3], *ANSWER[:3], *ANSWER[6:9], "30 days", "退货", ""])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(REPLIES, st.lists(REPLIES, max_size=2), st.sampled_from(["yes", "no", ""]), st.booleans()), max_size=5
    ),
    st.sampled_from(["en", "zh"]),
)
def test_rows_stand_alone(rows, language: str) -> None:
    items = [
        Item(
            texts={"question": "?", "context": POLICY + ZH_POLICY if given_text else "", "refuse": refuse},
            lists={"references": tuple(references)},
        )
        for _, references, refuse, given_text in rows
    ]
    check(Generation(), items, [Reply(words=reply) for reply, *_ in rows], language)


@pytest.mark.parametrize("library", ["sacrebleu", "rouge_score", "nltk"])
def test_a_missing_library_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"need {library}: pip install 'steelyard\[text\]'"):
        Generation()
