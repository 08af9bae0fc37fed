"""Local Law 144: the rule's own example, figures by hand, unknown categories, exclusions, and intervals that hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.ll144 import SelectionTables
from evaluators.table import Rows
from governance.errors import ConfigError
from governance.measure import Outcome, Unit
from governance.statistics.intervals import wilson
from governance.statistics.simultaneous import against_best
from tests.outcomes import by_name, column, fact, measured, reason

HISPANIC, WHITE, BLACK, PACIFIC, ASIAN = "Hispanic or Latino", "White", "Black", "Pacific Islander", "Asian"


def table(groups: Mapping[str, Sequence[str | None]], clusters=None, **numbers) -> Rows:
    n = len(next(iter(groups.values())))
    return Rows(
        model="m",
        columns={role: np.asarray(values, dtype=float) for role, values in numbers.items()},
        groups={name: column(values) for name, values in groups.items()},
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
    )


def measure(rows: Rows, **settings) -> dict[tuple[str, str], Outcome]:
    return by_name(SelectionTables(**{"sex": "sex", "race": "race", **settings}).measure(rows), "selection")


def counted(cells: Mapping[tuple[str | None, str | None], tuple[int, int]], role: str = "selected") -> Rows:
    """A table from (sex, race) -> (candidates, selected)."""
    sex, race, hits = list[str | None](), list[str | None](), list[float]()
    for (one, other), (n, chosen) in cells.items():
        sex += [one] * n
        race += [other] * n
        hits += [1.0] * chosen + [0.0] * (n - chosen)
    return table({"sex": sex, "race": race}, **{role: hits})


def test_the_example_of_the_rule() -> None:
    """6 RCNY 5-301, "culture fit": of 168 candidates, 50 of 92 men and 34 of 76 women score above the median."""
    published = {
        HISPANIC: (28, 18, 0.642, 1.00),
        WHITE: (40, 15, 0.375, 0.58),
        BLACK: (32, 16, 0.500, 0.78),
        PACIFIC: (8, 5, 0.625, 0.97),
        ASIAN: (24, 10, 0.417, 0.65),
    }
    above, below = [("Male", 50), ("Female", 34)], [("Male", 42), ("Female", 42)]
    sexes = [[sex for sex, n in side for _ in range(n)] for side in (above, below)]
    races: list[list[str | None]] = [[], []]
    for race, (n, high, *_) in published.items():
        races[0] += [race] * high
        races[1] += [race] * (n - high)
    for side in (0, 1):
        races[side] += [None] * (84 - len(races[side]))
    scores = np.concatenate([np.linspace(60, 100, 84), np.linspace(0, 50, 84)])
    found = measure(table({"sex": sexes[0] + sexes[1], "race": races[0] + races[1]}, score=scores))
    assert fact(found["median_score", "everyone"]) == 55
    for sex, rate, ratio, n in (("Male", 0.543, 1.00, 92), ("Female", 0.447, 0.82, 76)):
        one = measured(found["scoring_rate", f"sex={sex}"])
        assert (one.value, one.n) == (pytest.approx(rate, abs=6e-4), n)
        assert measured(found["scoring_impact_ratio", f"sex={sex}"]).value == pytest.approx(ratio, abs=6e-3)
    for race, (n, _, rate, ratio) in published.items():
        one = measured(found["scoring_rate", f"race={race}"])
        assert (one.value, one.n) == (pytest.approx(rate, abs=1.1e-3), n)
        assert measured(found["scoring_impact_ratio", f"race={race}"]).value == pytest.approx(ratio, abs=6e-3)
    assert fact(found["scoring_rate.unknown", "race=*"]) == 36
    assert fact(found["scoring_rate.unknown", "sex=*"]) == 0
    assert not any(name.startswith("selection") for name, _ in found)


def test_figures_by_hand() -> None:
    rows = counted(
        {("F", "A"): (100, 40), ("F", "B"): (50, 10), ("M", "A"): (80, 48), ("M", "B"): (20, 7), (None, "A"): (5, 5)}
    )
    found = measure(rows)
    rates = {"sex=F": 50 / 150, "sex=M": 55 / 100, "race=A": 93 / 185, "race=B": 17 / 70}
    rates |= {"race=A, sex=F": 0.4, "race=B, sex=F": 0.2, "race=A, sex=M": 0.6, "race=B, sex=M": 0.35}
    best = {"sex": 0.55, "race": 93 / 185, "race, sex": 0.6}
    for where, rate in rates.items():
        columns = ", ".join(part.split("=")[0] for part in where.split(", "))
        one = measured(found["selection_rate", where])
        assert one.value == pytest.approx(rate)
        assert (one.low, one.high) == pytest.approx(wilson(round(rate * one.n), one.n))
        assert one.unit is Unit.RATE
        ratio = measured(found["selection_impact_ratio", where])
        assert ratio.value == pytest.approx(rate / best[columns])
        assert ratio.unit is Unit.RATIO
        assert ratio.counts["highest_rate"] == pytest.approx(best[columns])
    assert {where: fact(x) for (name, where), x in found.items() if name == "selection_rate.unknown"} == {
        "sex=*": 5,
        "race=*": 0,
        "race=*, sex=*": 5,
    }
    low, high = against_best([50, 55], [150, 100])[0].ratio_bounds
    ratio = found["selection_impact_ratio", "sex=F"]
    assert (ratio.low, ratio.high) == (low, high)


def test_a_score_at_the_median_is_not_above_it() -> None:
    found = measure(table({"sex": ["F", "M", "F", "M", None], "race": ["a"] * 5}, score=[1, 2, 2, 3, 2]))
    assert fact(found["median_score", "everyone"]) == 2
    assert measured(found["scoring_rate", "sex=F"]).value == 0
    assert measured(found["scoring_rate", "sex=M"]).value == 0.5


def test_the_median_is_that_of_all_candidates_unknown_ones_too() -> None:
    scores = [1, 2, 3, 4, 100, 101, 102, 103]
    sex = ["F", "M", "F", "M", None, None, None, None]
    found = measure(table({"sex": sex, "race": ["a"] * 8}, score=scores))
    assert fact(found["median_score", "everyone"]) == 52
    assert reason(found["scoring_impact_ratio", "sex=F"]) == "the rate is 0 in every category, so no ratio is defined"
    assert reason(found["scoring_impact_ratio", "sex=*"]) == "the rate is 0 in every category, so no ratio is defined"


def test_selections_and_scores_each_have_their_tables() -> None:
    rng = np.random.default_rng(0)
    groups = {"sex": rng.choice(["F", "M"], 200).tolist(), "race": rng.choice(["甲", "乙"], 200).tolist()}
    found = measure(table(groups, selected=rng.random(200) < 0.3, score=rng.random(200)))
    for kind in ("selection", "scoring"):
        for where in ("sex=F", "race=甲", "race=乙, sex=M"):
            assert measured(found[f"{kind}_impact_ratio", where])


def test_small_categories_stay_and_may_be_left_out_of_ratios() -> None:
    """B is 1.5% of the data and has the highest rate: left in, it is everybody's yardstick."""
    cells = {("F", "A"): (100, 40), ("M", "A"): (97, 50), ("M", "B"): (3, 3)}
    found = measure(counted(cells))
    assert measured(found["selection_impact_ratio", "race=A"]).value == pytest.approx(90 / 197)
    assert measured(found["selection_impact_ratio", "race=B"]).value == 1
    assert measured(found["selection_impact_ratio", "race=B"]).low < 0.8
    assert fact(found["selection_impact_ratio.excluded", "race=*"]) == 0
    found = measure(counted(cells), exclude_below=0.02)
    said = "3 of 200 rows, below the share of 0.02 that the settings leave out"
    assert reason(found["selection_impact_ratio", "race=B"]) == said
    assert reason(found["selection_impact_ratio", "race=B, sex=M"]) == said
    assert measured(found["selection_rate", "race=B"]).value == 1  # the rule wants it shown
    assert fact(found["selection_impact_ratio.excluded", "race=*"]) == 1
    assert fact(found["selection_impact_ratio.excluded", "sex=*"]) == 0
    assert reason(found["selection_impact_ratio", "race=A"]) == "1 of 2 categories to compare, 2 needed"
    both = measured(found["selection_impact_ratio", "race=A, sex=F"])
    assert both.value == pytest.approx(0.4 / (50 / 97))


def test_two_percent_exactly_is_not_below() -> None:
    found = measure(counted({("F", "A"): (98, 40), ("F", "B"): (2, 1)}), exclude_below=0.02)
    assert measured(found["selection_impact_ratio", "race=B"])


def test_a_minimum_may_be_set() -> None:
    found = measure(counted({("F", "A"): (100, 40), ("M", "A"): (12, 5), ("M", "B"): (40, 20)}), min_rows=30)
    assert reason(found["selection_rate", "race=A, sex=M"]) == "12 rows, 30 needed"
    assert reason(found["selection_impact_ratio", "race=A, sex=M"]) == "12 rows, 30 needed"
    assert measured(found["selection_impact_ratio", "race=A, sex=F"]).value == pytest.approx(0.8)


def test_one_category_has_no_ratio() -> None:
    found = measure(counted({("F", "A"): (50, 20)}))
    for where in ("sex=F", "sex=*", "race=*", "race=A, sex=F"):
        assert reason(found["selection_impact_ratio", where]) == "1 of 1 categories to compare, 2 needed"
    assert measured(found["selection_rate", "sex=F"]).value == 0.4


@pytest.mark.parametrize("chosen", [0, 40])
def test_nobody_and_everybody_selected(chosen: int) -> None:
    found = measure(counted({("F", "A"): (40, chosen), ("M", "B"): (40, chosen)}))
    assert measured(found["selection_rate", "sex=F"]).value == chosen / 40
    if chosen:
        one = measured(found["selection_impact_ratio", "sex=F"])
        assert (one.value, one.high) == (1, 1)
        assert one.low < 0.95
    else:
        assert "the rate is 0 in every category" in reason(found["selection_impact_ratio", "sex=F"])


def test_unknown_in_every_row() -> None:
    found = measure(table({"sex": [None] * 40, "race": ["a", "b"] * 20}, selected=[0, 1] * 20))
    assert fact(found["selection_rate.unknown", "sex=*"]) == 40
    assert reason(found["selection_impact_ratio", "sex=*"]) == "0 of 0 categories to compare, 2 needed"
    assert measured(found["selection_impact_ratio", "race=a"]).value == 0
    written = measure(table({"sex": ["(missing)"] * 40, "race": ["a", "b"] * 20}, selected=[0, 1] * 20))
    assert fact(written["selection_rate.unknown", "sex=*"]) == 40


def test_rows_without_a_decision_are_left_out_and_counted() -> None:
    selected = [math.nan, 1, 0, math.inf] * 30
    found = measure(table({"sex": ["F", "M", "F", "M"] * 30, "race": ["a"] * 120}, selected=selected))
    assert fact(found["selection_rate.rows_left_out", "everyone"]) == 60
    assert fact(found["selection_rate.rows_left_out", "sex=F"]) == 30
    assert measured(found["selection_rate", "sex=F"]).n == 30


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({}, "the table has no column selected and no column score"),
        ({"selected": [math.nan] * 4}, "no row has a value of selected"),
        ({"score": [math.inf] * 4}, "no row has a value of score"),
        ({"selected": [0, 1, 2, 1]}, "selected holds numbers other than 0 and 1"),
    ],
)
def test_tables_that_say_nothing(numbers: dict[str, list[float]], said: str) -> None:
    found = measure(table({"sex": ["F", "M"] * 2, "race": ["a", "b"] * 2}, **numbers))
    stem = "scoring" if "score" in numbers else "selection"
    for where in ("sex=*", "race=*", "race=*, sex=*"):
        assert reason(found[f"{stem}_rate", where]) == said
        assert reason(found[f"{stem}_impact_ratio", where]) == said


def test_clusters_widen_intervals() -> None:
    """Candidates of one vacancy are decided together."""
    rng = np.random.default_rng(1)
    vacancy = np.repeat(np.arange(40), 10)
    selected = (rng.random(40) < 0.5)[vacancy]
    groups = {"sex": np.where(vacancy % 2, "F", "M").tolist(), "race": ["a"] * 400}
    alone, together = (
        measured(measure(table(groups, clusters, selected=selected))["selection_impact_ratio", "sex=F"])
        for clusters in (None, vacancy)
    )
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_ratios_hold_together_in_simulation() -> None:
    """Six categories; the truth is each rate over the truly highest, whichever looked best."""
    rng, runs, covered, alarms = np.random.default_rng(2), 150, 0, 0
    truth = np.array([0.5, 0.5, 0.5, 0.4, 0.25, 0.5])
    sizes = [150, 120, 90, 60, 60, 15]
    race = np.repeat([f"r{i}" for i in range(6)], sizes).tolist()
    for _ in range(runs):
        selected = rng.random(len(race)) < np.repeat(truth, sizes)
        found = measure(table({"sex": ["x"] * len(race), "race": race}, selected=selected))
        ratios = [measured(found["selection_impact_ratio", f"race=r{i}"]) for i in range(6)]
        covered += all(one.low <= p / 0.5 <= one.high for one, p in zip(ratios, truth, strict=True))
        alarms += ratios[4].high < 0.8
    assert binom.cdf(covered, runs, 0.95) > 0.001
    assert alarms > runs / 10


def test_hostile_categories() -> None:
    found = measure(table({"sex": ["*", "F"] * 40, "race": ["a=b, c", ""] * 40}, selected=[0, 1, 1, 1] * 20))
    assert measured(found["selection_impact_ratio", "sex=(*)"]).value == pytest.approx(0.5)
    assert measured(found["selection_impact_ratio", "race=a=b, c"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclude_below": 0.021}, "exclude_below: the rule allows 0 to 0.02, got 0.021"),
        ({"exclude_below": -0.01}, "got -0.01"),
        ({"exclude_below": math.nan}, "got nan"),
        ({"min_rows": 0}, "min_rows: expected at least 1, got 0"),
        ({"race": "sex"}, "expected two columns, got 'sex' for both"),
    ],
)
def test_settings_are_checked(settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelectionTables(**{"sex": "sex", "race": "race", **settings})


def test_columns_must_exist() -> None:
    rows = table({"sex": ["F"], "age": ["30"]}, selected=[1])
    with pytest.raises(ConfigError, match=r"race: no group column 'race'\..* Known: age, sex"):
        SelectionTables(sex="sex", race="race").measure(rows)
