"""Answers by group: scores that a table brings, lengths, and refusals in two languages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from evaluators.bygroup import ALIKE
from evaluators.cuts import NO_GROUPS
from evaluators.generation import OutputGaps
from evaluators.refusals import HEAD, refuses
from evaluators.table import Rows
from governance.measure import Outcome, Unit
from governance.statistics.intervals import clustered_wilson, wilson
from tests import outcomes
from tests.outcomes import by_name, fact, reason

METRICS = ("quality", "toxicity", "sentiment", "output_length", "refusal_rate")


measured = partial(outcomes.measured, within=1e-9)


def table(groups: Mapping[str, Sequence[str | None]], clusters=None, output=None, **numbers) -> Rows:
    columns = {role: np.asarray(values, dtype=float) for role, values in numbers.items()}
    if output is not None:
        columns["output"] = np.array([*output, None], dtype=object)[:-1]
    n = len(next(iter(columns.values()), next(iter(groups.values()), [])))
    return Rows(
        model="m",
        columns=columns,
        groups={name: np.array([*values, None], dtype=object)[:-1] for name, values in groups.items()},
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
    )


def measure(rows: Rows, **settings) -> dict[tuple[str, str], Outcome]:
    return by_name(OutputGaps(**settings).measure(rows), "generation")


REFUSED = """
I'm sorry, but I can't help with that.
I’m sorry, but I can’t assist with this request.
Sorry, I am not able to discuss other customers' orders.
I cannot answer that question.
I must decline to write this review.
As an AI language model, I do not have opinions on politics.
Unfortunately, we are unable to share this information.
We can't help you with that, please contact the police.
I apologize, but I won't write that.
I'd rather not say.
抱歉，我无法回答这个问题。
对不起，这个问题我不能回答。
很抱歉，我们暂时无法为您提供该信息。
非常抱歉，恕不便透露。
作为一个人工智能助手，我不能对此发表意见。
作为AI语言模型，我无法提供医疗建议。
我们不能向您透露其他顾客的信息。
我必须拒绝您的请求。
不好意思，这个没办法帮您查询。
""".strip().splitlines()

ANSWERED = """
Sorry for the delay! Your parcel arrives on Friday.
I'm sorry to hear that. A refund is on its way.
You can't go wrong with this dress.
I can't help but admire your taste.
If you are unable to log in, reset your password.
Yes, we ship to Berlin. Delivery takes 3 days.
The bag can not be machine washed.
As an AI company we are proud of our team.
很抱歉让您久等了，包裹周五送达。
对不起，给您带来不便，我们马上为您退款。
这件衣服不能机洗。
您好，亲，有什么可以帮您？
如果无法登录，请重置密码。
作为一个品牌，我们重视质量。
尺码偏小，建议您拍大一码。
好的，已为您处理完成。

""".strip().splitlines()


@pytest.mark.parametrize("text", REFUSED)
def test_refusals_are_recognised(text: str) -> None:
    assert refuses(text)
    assert refuses(f"  “{text}”")
    assert refuses(text.upper())


@pytest.mark.parametrize("text", [*ANSWERED, "", "\n", "🙂"])
def test_answers_are_not_refusals(text: str) -> None:
    assert not refuses(text)


def test_a_refusal_quoted_late_in_an_answer_does_not_count() -> None:
    assert not refuses("x" * HEAD + " I cannot answer that question.")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=600))
def test_any_text_is_read(text: str) -> None:
    assert refuses(text) in (True, False)


@pytest.mark.parametrize(
    "piece", ["sorry " * 200, "抱歉" * 400, "as an ai " * 100, "I " * 400, "我们暂时" * 200, "我暂时目前" * 99]
)
def test_hostile_text_is_read_in_time(piece: str) -> None:
    """No assertion on time: a pattern that backtracks without bound would not end."""
    assert not any(refuses(piece) for _ in range(200))


def test_means_equal_pandas() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    groups = rng.choice(["普通话", "粤语", "English"], 300)
    numbers = {role: rng.random(300) for role in ("quality", "toxicity", "sentiment")}
    texts = ["好" * int(n) for n in rng.integers(0, 50, 300)]
    found = measure(table({"language": groups.tolist()}, output=texts, **numbers))
    frame = pd.DataFrame({**numbers, "output_length": [len(text) for text in texts], "g": groups})
    for role in (*numbers, "output_length"):
        means = frame.groupby("g")[role].mean()
        for name, value in means.items():
            one = measured(found[role, f"language={name}"])
            assert one.value == pytest.approx(value)
            assert one.unit is (Unit.COUNT if role == "output_length" else Unit.UNITS)
            rest = measured(found[f"{role}.difference_to_rest", f"language={name}"])
            assert rest.value == pytest.approx(value - frame[frame.g != name][role].mean())
        gap = measured(found[f"{role}.difference", "language=*"])
        assert gap.value == pytest.approx(means.max() - means.min())
        assert fact(found[f"{role}.rows_left_out", "everyone"]) == 0
    assert len(found) == 5 * (1 + 3 + 1 + 3) + 1  # lengths have a ratio


def test_refusal_rates_are_wilsons() -> None:
    refused = np.repeat([1, 0, 1, 0], [10, 40, 30, 20])
    found = measure(table({"g": ["a"] * 50 + ["b"] * 50}, refused=refused))
    one = measured(found["refusal_rate", "g=a"])
    assert (one.value, one.low, one.high) == pytest.approx((0.2, *wilson(10, 50)))
    assert (one.unit, one.method) == (Unit.RATE, "Wilson on the effective sample size (Rao-Scott)")
    assert one.counts == {"successes": 10, "rows": 50, "clusters": 50}
    gap = measured(found["refusal_rate.difference", "g=*"])
    assert gap.value == pytest.approx(0.4)
    assert gap.low > 0.05
    assert gap.unit is Unit.DIFFERENCE
    rest = measured(found["refusal_rate.difference_to_rest", "g=a"])
    assert rest.value == pytest.approx(-0.4)
    assert rest.high < -0.1


def test_refusal_rates_know_clusters() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(40), 5)
    refused = (rng.random(40) < 0.4)[clusters]
    groups = np.where(clusters % 2, "a", "b").tolist()
    one = measured(measure(table({"g": groups}, clusters, refused=refused))["refusal_rate", "g=a"])
    here = refused[np.array(groups) == "a"].reshape(-1, 5).sum(axis=1)
    rate = clustered_wilson(here, np.full(20, 5))
    assert (one.low, one.high, one.counts["clusters"]) == (rate.low, rate.high, 20)


def test_a_planted_refusal_gap_is_found_from_texts() -> None:
    rng = np.random.default_rng(2)
    language = np.repeat(["en", "zh"], 200)
    refused = rng.random(400) < np.where(language == "zh", 0.4, 0.1)
    texts = [
        {("en", True): REFUSED[0], ("en", False): ANSWERED[0], ("zh", True): REFUSED[10], ("zh", False): ANSWERED[8]}[
            name, bool(no)
        ]
        for name, no in zip(language, refused, strict=True)
    ]
    found = measure(table({"language": language.tolist()}, output=texts))
    assert measured(found["refusal_rate", "language=zh"]).value == pytest.approx(refused[200:].mean())
    gap = measured(found["refusal_rate.difference", "language=*"])
    assert gap.low > 0.1
    assert gap.method.startswith("refusals recognised by phrases; ")
    assert all("phrases" in x.method for (name, _), x in found.items() if "refusal_rate.diff" in name)


def test_a_column_refused_is_believed_over_the_texts() -> None:
    texts = [REFUSED[0]] * 80
    found = measure(table({"g": ["a", "b"] * 40}, output=texts, refused=[0, 1] * 40))
    assert measured(found["refusal_rate", "g=a"]).value == 0
    assert "phrases" not in measured(found["refusal_rate", "g=b"]).method


def test_no_gap_is_rarely_claimed_where_there_is_none() -> None:
    rng, runs, alarms = np.random.default_rng(3), 150, dict.fromkeys(("quality", "refusal_rate"), 0)
    customers = np.repeat(np.arange(80), 3)
    groups = [f"g{i % 4}" for i in customers]
    for _ in range(runs):
        lean = rng.normal(size=80)[customers]
        refused = rng.random(240) < np.clip(0.3 + 0.15 * lean, 0.02, 0.98)
        found = measure(table({"g": groups}, customers, quality=lean + rng.normal(size=240), refused=refused))
        for metric in alarms:
            alarms[metric] += measured(found[f"{metric}.difference", "g=*"]).low > 0
    for metric, count in alarms.items():
        assert binom.sf(count - 1, runs, 0.05) > 0.001, metric


@pytest.mark.parametrize("text", [REFUSED[0], ANSWERED[8]])
def test_all_refused_and_none_refused(text: str) -> None:
    found = measure(table({"g": ["a", "b"] * 40}, output=[text] * 80))
    share = float(text == REFUSED[0])
    one = measured(found["refusal_rate", "g=a"])
    assert one.value == share
    assert one.high - one.low > 0.05
    gap = measured(found["refusal_rate.difference", "g=*"])
    assert (gap.value, gap.low) == (0, 0)
    assert gap.high > 0.05
    assert reason(found["output_length.difference", "g=*"]) == ALIKE
    assert reason(found["output_length", "g=a"]) == ALIKE


def test_what_the_table_lacks_is_said() -> None:
    found = measure(table({"g": ["a", "b"] * 40}, quality=np.arange(80)))
    assert measured(found["quality.difference", "g=*"])
    for role in ("toxicity", "sentiment"):
        assert reason(found[f"{role}.difference", "g=*"]) == f"the table has no column {role}"
    assert reason(found["output_length.difference", "g=*"]) == "the table has no column output"
    none = "the table has no column refused and no column output"
    assert reason(found["refusal_rate.difference", "g=*"]) == none


def test_small_groups_one_group_and_no_groups() -> None:
    numbers = {role: np.arange(52) % 2 for role in ("quality", "toxicity", "sentiment", "refused")}
    texts = ["x", "yy"] * 26
    found = measure(table({"g": ["a"] * 40 + ["b"] * 12}, output=texts, **numbers))
    for metric in METRICS:
        assert reason(found[metric, "g=b"]) == "12 rows, 30 needed"
        assert reason(found[f"{metric}.difference", "g=*"]) == "1 of 2 groups large enough, 2 needed"
    found = measure(table({"g": ["甲"] * 52}, output=texts, **numbers))
    for metric in METRICS:
        assert measured(found[metric, "g=甲"])
        assert reason(found[f"{metric}.difference", "g=*"]) == "1 of 1 groups large enough, 2 needed"
    found = measure(table({}, output=texts, **numbers))
    assert {reason(found[f"{metric}.difference", "everyone"]) for metric in METRICS} == {NO_GROUPS}


def test_rows_without_a_value_are_counted_by_group() -> None:
    quality = [1.0, math.nan, 2.0, math.inf] * 40
    texts = [None, "a", "bb", "ccc"] * 40
    found = measure(table({"g": ["a", "b", None, "d"] * 40}, output=texts, quality=quality))
    assert fact(found["quality.rows_left_out", "everyone"]) == 80
    assert fact(found["quality.rows_left_out", "g=b"]) == fact(found["quality.rows_left_out", "g=d"]) == 40
    assert ("quality.rows_left_out", "g=a") not in found
    assert fact(found["output_length.rows_left_out", "g=a"]) == 40
    assert fact(found["refusal_rate.rows_left_out", "g=a"]) == 40
    assert {where for name, where in found if name == "quality"} == {"g=a", "g=(missing)"}


def test_columns_without_any_value() -> None:
    found = measure(table({"g": ["a", "b"] * 40}, output=[None] * 80, quality=[math.nan] * 80))
    assert reason(found["quality.difference", "g=*"]) == "no row has a value of quality"
    assert reason(found["refusal_rate.difference", "g=*"]) == "no row has a value of output"
    found = measure(table({"g": ["a", "b"] * 40}, refused=[math.nan] * 80))
    assert reason(found["refusal_rate.difference", "g=*"]) == "no row has a value of refused"
    found = measure(table({"g": []}, output=[], quality=[]))
    assert reason(found["quality.difference", "g=*"]) == "no row has a value of quality"


@pytest.mark.parametrize("odd", [0.5, 2, -1])
def test_refused_holds_nothing_but_zero_and_one(odd: float) -> None:
    found = measure(table({"g": ["a", "b"] * 40}, refused=[0, 1] * 39 + [1, odd]))
    assert reason(found["refusal_rate.difference", "g=*"]) == "refused holds numbers other than 0 and 1"


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="min_rows: expected at least 2, got 1"):
        OutputGaps(min_rows=1)
    OutputGaps(min_rows=2)
