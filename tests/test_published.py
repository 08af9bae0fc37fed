"""Published fairness figures, reproduced from the raw files to the digits given."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.published import adult, compas, german
from governance.groups.counts import GroupCounts, codes_of
from governance.groups.metrics import outcomes, rate, share


def by_group(groups, truth, predicted) -> tuple[GroupCounts, np.ndarray]:
    table = GroupCounts.of(
        {"g": codes_of(groups)}, np.asarray(truth, dtype=int), np.asarray(predicted, dtype=int), ["0", "1"]
    )
    return table, outcomes(table.counts, 1)


def test_compas() -> None:
    """Larson et al. (2016), ProPublica: tables by race; the ratios as Aequitas (Saleiro et al., 2018) prints them."""
    rows = [row for row in compas() if row["race"] in ("African-American", "Caucasian")]
    table, confusion = by_group(
        [row["race"] for row in rows],
        [int(row["two_year_recid"]) for row in rows],
        [int(row["score_text"] != "Low") for row in rows],
    )
    assert dict(zip((cell for (cell,) in table.cells), confusion.tolist(), strict=True)) == {
        "African-American": [990, 805, 532, 1369],
        "Caucasian": [1139, 349, 461, 505],
    }
    fpr = share(*rate(confusion, "false_positive_rate"))
    fnr = 1 - share(*rate(confusion, "true_positive_rate"))
    assert (100 * fpr).round(2).tolist() == [44.85, 23.45]
    assert (100 * fnr).round(2).tolist() == [27.99, 47.72]
    assert fpr[0] / fpr[1] == pytest.approx(1.9121, abs=5e-5)
    assert fnr[0] / fnr[1] == pytest.approx(0.5864, abs=5e-5)


def test_german_credit() -> None:
    """Bellamy et al. (2018), AIF360: all rows, people of 25 and older against younger ones."""
    rows = german()
    good = [int(row[-1] == "1") for row in rows]
    _, confusion = by_group(["old" if int(row[12]) >= 25 else "young" for row in rows], good, good)
    old, young = share(*rate(confusion, "selection_rate"))
    assert young - old == pytest.approx(-0.128550, abs=5e-7)
    assert young / old == pytest.approx(0.821248, abs=5e-7)


def test_adult_base_rates() -> None:
    rows = adult("adult.data", "adult.test")
    assert len(rows) == 48_842
    rich = [int(row["income"] == ">50K") for row in rows]
    _, confusion = by_group([row["sex"] for row in rows], rich, rich)
    women, men = share(*rate(confusion, "selection_rate"))
    assert women == pytest.approx(0.109251, abs=5e-7)
    assert men == pytest.approx(0.303767, abs=5e-7)
    assert women / men == pytest.approx(0.359655, abs=5e-7)


@pytest.mark.slow
def test_adult_tree() -> None:
    """Fairlearn's quickstart: a tree of depth 4 with leaves of 10 rows or more, on all rows."""
    import pandas as pd
    from sklearn.tree import DecisionTreeClassifier

    frame = pd.DataFrame(adult("adult.data", "adult.test")).replace("?", None)
    numbers = ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    features = frame.drop(columns="income").astype(dict.fromkeys(numbers, float))
    truth = (frame["income"] == ">50K").astype(int)
    tree = DecisionTreeClassifier(min_samples_leaf=10, max_depth=4).fit(pd.get_dummies(features), truth)
    predicted = tree.predict(pd.get_dummies(features))
    _, confusion = by_group(frame["sex"].tolist(), truth, predicted)
    women, men = share(*rate(confusion, "accuracy"))
    assert share(*rate(confusion.sum(axis=0), "accuracy")) == pytest.approx(0.844355, abs=5e-7)
    assert (women, men) == (pytest.approx(0.925148, abs=5e-7), pytest.approx(0.804288, abs=5e-7))
    chosen = share(*rate(confusion, "selection_rate"))
    assert share(*rate(confusion.sum(axis=0), "selection_rate")) == pytest.approx(0.163855, abs=5e-7)
    assert chosen.tolist() == [pytest.approx(0.063550, abs=5e-7), pytest.approx(0.213599, abs=5e-7)]
