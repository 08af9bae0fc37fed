"""Who stands out: cells against a slow count by hand, and what the evaluator says of rows, columns and gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.anonymity import METRICS, Anonymity
from evaluators.base import Setting
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.errors import ConfigError
from governance.measure import ANY, Fact, NotMeasured, Outcome, Slice, Unit
from governance.statistics.anonymity import Cells, cells_of

VALUE = st.one_of(st.none(), st.sampled_from(["a", "b", "上衣", "(missing)", ""]))


def naive(rows: Sequence[tuple[object, ...]], sensitive: Sequence[object], k: int) -> tuple[Cells, float]:
    """Every row against every other, as the definitions read."""
    doubles = [[j for j, other in enumerate(rows) if other == row] for row in rows]
    values = [{sensitive[j] for j in mates} for mates in doubles]
    cells = Cells(
        rows=len(rows),
        cells=sum(mates[0] == place for place, mates in enumerate(doubles)),
        smallest=min(len(mates) for mates in doubles),
        below_k=sum(len(mates) < k for mates in doubles),
        unique=sum(len(mates) == 1 for mates in doubles),
        fewest_values=min(len(found) for found in values),
        one_value=sum(len(found) == 1 for found in values),
    )
    return cells, sum(1 / len(mates) for mates in doubles) / len(rows)


@given(st.lists(st.tuples(VALUE, VALUE, st.sampled_from([0, 1, 2])), min_size=1, max_size=40), st.integers(1, 6))
def test_cells_are_those_of_a_count_by_hand(drawn: list[tuple[Any, Any, int]], k: int) -> None:
    first, second, sensitive = (list(column) for column in zip(*drawn, strict=True))
    cells = cells_of([first, second], sensitive, k=k)
    expected, risk = naive(list(zip(first, second, strict=True)), sensitive, k)
    assert cells == expected
    assert cells.risk == pytest.approx(risk)


@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=40))
def test_another_column_never_hides_anybody_better(drawn: list[tuple[Any, Any]]) -> None:
    first, second = (list(column) for column in zip(*drawn, strict=True))
    labels = [0] * len(first)
    one, two = cells_of([first], labels, k=5), cells_of([first, second], labels, k=5)
    assert two.smallest <= one.smallest
    assert two.risk >= one.risk
    assert two.unique >= one.unique
    assert two.below_k >= one.below_k


def test_a_guess_within_the_cell_is_right_as_often_as_the_risk_says() -> None:
    """The prosecutor's game, played: a person is drawn, then a row of the person's cell."""
    rng = np.random.default_rng(0)
    column = rng.integers(0, 30, 60).tolist()
    risk = cells_of([column], [0] * 60, k=5).risk
    people = rng.integers(0, 60, 20_000)
    mates = {value: [row for row in range(60) if column[row] == value] for value in set(column)}
    hits = np.mean([rng.choice(mates[column[person]]) == person for person in people])
    assert abs(hits - risk) < 4 * np.sqrt(risk * (1 - risk) / 20_000)


@pytest.mark.parametrize(
    ("columns", "sensitive", "k", "message"),
    [
        ([], [1], 5, "at least one column"),
        ([[]], [], 5, "one row"),
        ([["a"]], [1], 0, "expected k >= 1"),
        ([["a", "b"], ["a"]], [1, 2], 5, "shorter"),
        ([["a", "b"]], [1], 5, "shorter"),
    ],
)
def test_bad_cells_are_refused(columns: list[list[str]], sensitive: list[int], k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cells_of(columns, sensitive, k=k)


# -- the evaluator -------------------------------------------------------------------------------


def rows(groups: Mapping[str, Sequence[str | None]], labels: str) -> ScrubbedDataset:
    n = len(labels)
    return ScrubbedDataset(
        rows=np.arange(n),
        texts=tuple(ScrubbedText(f"row {i}") for i in range(n)),
        labels=tuple(labels),
        groups={name: tuple(values) for name, values in groups.items()},
        clusters=np.arange(n),
    )


def setting(train: ScrubbedDataset, test: ScrubbedDataset) -> Setting:
    return Setting(
        labels=Labels(("n", "y"), "y"), train=train, test=test, find_personal=lambda texts: [[] for _ in texts]
    )


SHOP = setting(
    rows({"年龄段": ["30-39"] * 4 + [None, None], "部门": ["上衣"] * 4 + ["裙装", None]}, "yyynny"),
    rows({"年龄段": ["30-39"] * 2 + [None], "部门": ["上衣"] * 2 + ["裙装"]}, "yyn"),
)


def by_metric(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    return {outcome.metric: outcome for outcome in outcomes}


def values(outcomes: Sequence[Outcome]) -> dict[str, float]:
    assert all(isinstance(outcome, Fact) for outcome in outcomes)
    return {o.metric.partition(".")[2]: o.value for o in outcomes if isinstance(o, Fact)}


def test_training_and_held_out_rows_share_cells_and_a_missing_value_is_one_of_its_own() -> None:
    outcomes = Anonymity().measure([], SHOP)
    assert values(outcomes) == {  # cells of six, two and one row
        "smallest_cell": 1,
        "small_cells": pytest.approx(3 / 9),
        "unique": pytest.approx(1 / 9),
        "risk": pytest.approx(3 / 9),
        "fewest_labels": 1,
        "one_label": pytest.approx(3 / 9),
        "incomplete": 3,
    }
    assert {outcome.slice for outcome in outcomes} == {Slice.of({"年龄段": ANY, "部门": ANY})}
    assert {outcome.model for outcome in outcomes} == {None}
    assert {outcome.metric for outcome in outcomes} == set(METRICS)
    lacking = by_metric(outcomes)["anonymity.incomplete"]
    assert isinstance(lacking, Fact)
    assert lacking.unit is Unit.COUNT
    assert "counts as a value of its own" in lacking.method


def test_fewer_columns_make_larger_cells_and_k_decides_which_are_small() -> None:
    narrow = values(Anonymity(quasi_identifiers=("年龄段",), k=3).measure([], SHOP))  # cells of six and three
    assert (narrow["smallest_cell"], narrow["small_cells"]) == (3, 0)
    assert narrow["risk"] == pytest.approx(2 / 9)
    assert values(Anonymity(quasi_identifiers=("年龄段",), k=4).measure([], SHOP))["small_cells"] == pytest.approx(
        3 / 9
    )


def test_without_group_columns_nothing_is_measured() -> None:
    bare = setting(rows({}, "yn"), rows({}, "y"))
    outcomes = Anonymity().measure([], bare)
    assert [o.metric for o in outcomes if isinstance(o, NotMeasured)] == list(METRICS)
    assert {o.reason for o in outcomes if isinstance(o, NotMeasured)} == {"the config declares no group columns"}


def test_a_column_that_is_no_group_is_refused_before_any_model_is_asked() -> None:
    with pytest.raises(ConfigError, match=r"no group column '部们'. Did you mean '部门'"):
        Anonymity(quasi_identifiers=("部们",)).probes(SHOP)
    assert Anonymity(quasi_identifiers=("部门",)).probes(SHOP) == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 1}, "k: expected at least 2"),
        ({"quasi_identifiers": ()}, "expected at least one column"),
        ({"quasi_identifiers": ("a", "a")}, "each column once"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Anonymity(**settings)


def test_every_method_is_told_in_chinese() -> None:
    from reports.text import Texts

    for outcome in Anonymity().measure([], SHOP):
        assert isinstance(outcome, Fact)
        assert Texts("zh").said(outcome.method) != outcome.method
        assert Texts("en").metric(outcome.metric).title != outcome.metric


# -- the report ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "sentence", "cells"),
    [("en", "Scrubbed is not anonymous", "smallest cell"), ("zh", "脱敏不等于匿名", "最小的单元格")],
)
def test_report_and_cards_say_that_scrubbed_is_not_anonymous(language: str, sentence: str, cells: str) -> None:
    from governance.policy import judge
    from reports import render
    from tests.sample_record import POLICY, record

    whole = record()
    without = [outcome for outcome in whole.outcomes if not outcome.metric.startswith("anonymity.")]
    for judged, measured in ((whole, True), (whole.model_copy(update={"outcomes": tuple(without)}), False)):
        files = render(judged, judge(judged, POLICY), POLICY, language=language)
        for name in ("report.html", "card/open.md"):
            text = files[name].decode()
            assert text.count(sentence) == 1
        assert (cells in files["card/open.md"].decode()) is measured


def test_a_report_gives_the_reason_where_nothing_was_measured() -> None:
    from governance.policy import judge
    from reports import render
    from tests.sample_record import POLICY, record

    whole = record()
    gaps = Anonymity().measure([], setting(rows({}, "yn"), rows({}, "y")))
    kept = [outcome for outcome in whole.outcomes if not outcome.metric.startswith("anonymity.")]
    judged = whole.model_copy(update={"outcomes": (*kept, *gaps)})
    page = render(judged, judge(judged, POLICY), POLICY, language="zh")["report.html"].decode()
    assert page.count("配置没有声明分组列") == 1
