"""Rankings of candidates: ir-measures against naive code and scikit-learn, and ties that never help."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from evaluators.tasks.base import Item, Reply
from evaluators.tasks.ranking import Ranking, pessimistic_places
from governance.errors import MissingExtra
from tests.taskcontract import check, scored, value

METRICS = ["mrr", "recall_at_1", "recall_at_5", "ndcg_at_10"]


def item(candidates: list[str], relevant: list[str]) -> Item:
    return Item(texts={"query": "在吗"}, lists={"candidates": tuple(candidates), "relevant": tuple(relevant)})


def score(scores: list[float], relevant: list[bool]) -> dict[str, float]:
    names = [f"候选{i}" for i in range(len(scores))]
    right = [name for name, one in zip(names, relevant, strict=True) if one]
    found = scored(Ranking(), [item(names, right)], [Reply(scores=np.array(scores, dtype=float))], "zh")
    return {name: value(one) for name, one in found.items()}


def naive(scores: list[float], relevant: list[bool]) -> dict[str, float]:
    """Each relevant candidate's rank counts every wrong one that scores as much, one by one."""
    ranks = []
    for i in range(len(scores)):
        if relevant[i]:
            before = sum(s > scores[i] or (s == scores[i] and not r) for s, r in zip(scores, relevant, strict=True))
            tied = sum(scores[j] == scores[i] and relevant[j] for j in range(i))
            ranks.append(1 + before + tied)
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= 10)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranks), 10) + 1))
    return {
        "mrr": 1 / min(ranks),
        "recall_at_1": sum(rank <= 1 for rank in ranks) / len(ranks),
        "recall_at_5": sum(rank <= 5 for rank in ranks) / len(ranks),
        "ndcg_at_10": gain / ideal,
    }


ROWS = st.lists(
    st.tuples(st.one_of(st.integers(0, 3).map(float), st.floats(-1e9, 1e9)), st.booleans()), min_size=1, max_size=14
)


@settings(max_examples=150, deadline=None)
@given(ROWS.filter(lambda row: any(right for _, right in row)))
def test_scores_are_those_of_naive_code(row: list[tuple[float, bool]]) -> None:
    scores, relevant = [one for one, _ in row], [right for _, right in row]
    found = score(scores, relevant)
    assert found == pytest.approx(naive(scores, relevant))
    order = [*range(len(row))][::-1]
    turned = score([scores[i] for i in order], [relevant[i] for i in order])
    assert turned == pytest.approx(found)  # the data's order says nothing


def test_without_ties_ndcg_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        relevant, scores = rng.random(12) < 0.3, rng.permutation(12).astype(float)
        relevant[rng.integers(12)] = True
        expected = ndcg_score([relevant.astype(int)], [scores], k=10, ignore_ties=True)
        assert score(scores.tolist(), relevant.tolist())["ndcg_at_10"] == pytest.approx(expected)


def test_mean_reciprocal_rank_of_the_textbook_example() -> None:
    """Right answers at ranks 3, 2 and 1: 11/18 (Wikipedia, "Mean reciprocal rank")."""
    candidates = [["catten", "cati", "cats"], ["torii", "tori", "toruses"], ["viruses", "virii", "viri"]]
    items = [item(names, [right]) for names, right in zip(candidates, ["cats", "tori", "viruses"], strict=True)]
    found = scored(Ranking(), items, [Reply(scores=np.array([3.0, 2.0, 1.0]))] * 3, "en")
    assert value(found["mrr"]) == pytest.approx(11 / 18)
    assert value(found["recall_at_1"]) == pytest.approx(1 / 3)
    assert value(found["recall_at_5"]) == 1


@pytest.mark.parametrize("place", [0, 4, 9])
def test_a_model_that_scores_all_alike_gains_nothing(place: int) -> None:
    relevant = [i == place for i in range(10)]
    found = score([0.5] * 10, relevant)
    assert found["mrr"] == pytest.approx(0.1)
    assert (found["recall_at_1"], found["recall_at_5"]) == (0, 0)
    assert found["ndcg_at_10"] == pytest.approx(1 / math.log2(11))


def test_scores_that_differ_in_double_precision_alone_are_no_tie() -> None:
    """trec_eval reads single precision, and breaks the ties that this makes by name."""
    for place in (0, 1):
        near = [1.0, 1.0]
        near[place] += 1e-12
        relevant = [i == place for i in range(2)]
        assert score(near, relevant)["mrr"] == 1
        assert score(near, [not one for one in relevant])["mrr"] == 0.5


def test_rows_without_anything_right_are_left_out() -> None:
    items = [
        item(["a", "b"], []),
        item(["a", "b"], ["c"]),
        item(["", "b"], [""]),
        item([], ["a"]),
        item(["a", "b"], ["b"]),
    ]
    scores = [[1.0, 0.0]] * 3 + [[], [0.0, 1.0]]
    found = scored(Ranking(), items, [Reply(scores=np.array(one)) for one in scores], "en")
    for name in METRICS:
        assert found[name].table[:, 1].tolist() == [0, 0, 0, 0, 1]
        assert value(found[name]) == 1
        assert np.isnan(value(found[name], [0, 1, 2, 3]))


def test_equal_texts_are_equally_right_and_an_absent_one_is_not_missed() -> None:
    twice = item(["好的", " 好的 ", "不行"], ["好的", "没有"])
    found = scored(Ranking(), [twice], [Reply(scores=np.array([3.0, 1.0, 2.0]))], "zh")
    assert value(found["recall_at_1"]) == 0.5
    assert value(found["recall_at_5"]) == 1


@pytest.mark.parametrize("scores", [[1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_scores_that_are_none_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="expected 2 finite scores, one per candidate"):
        pessimistic_places(np.array(scores), np.array([True, False]))


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, max_size=5))
def test_rows_stand_alone(rows: list[list[tuple[float, bool]]]) -> None:
    items, replies = [], []
    for row in rows:
        names = [str(i) for i in range(len(row))]
        items.append(item(names, [name for name, (_, right) in zip(names, row, strict=True) if right]))
        replies.append(Reply(scores=np.array([one for one, _ in row])))
    assert list(check(Ranking(), items, replies, "zh")) == METRICS


@pytest.mark.parametrize("library", ["ir_measures", "pytrec_eval"])
def test_a_missing_library_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"need {library}: pip install 'steelyard\[text\]'"):
        Ranking()
