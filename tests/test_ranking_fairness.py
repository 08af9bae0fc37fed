"""Rankings: exposure by hand and by Fairlearn, NDCG by scikit-learn, planted bias, and lists that make no sense."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.ranking import RankingFairness
from evaluators.table import Rows
from governance.errors import ConfigError
from governance.measure import Measurement, Outcome, Unit
from tests import outcomes
from tests.outcomes import by_name, column, fact, reason


def table(query, item, rank, groups: Mapping[str, Sequence[str | None]], clusters=None, **numbers) -> Rows:
    columns = {"query": column(query), "item": column(item), "rank": np.asarray(rank, dtype=float)}
    return Rows(
        model="m",
        columns=columns | {role: np.asarray(values, dtype=float) for role, values in numbers.items()},
        groups={name: column(values) for name, values in groups.items()},
        clusters=np.arange(len(query)) if clusters is None else np.asarray(clusters),
    )


def measure(rows: Rows, **settings) -> dict[tuple[str, str], Outcome]:
    return by_name(RankingFairness(**{"draws": 400, **settings}).measure(rows), "ranking")


def measured(outcome: Outcome) -> Measurement:
    found = outcomes.measured(outcome, within=1e-9)
    assert found.low < found.high
    return found


def shop(queries: int, length: int = 8, *, seed: int = 0, push: float = 0.0, harm: float = 0.0) -> Rows:
    """Searches by users of two cities over 60 items of three sellers.

    Items rank by relevance and noise; 小店 loses `push`, and for users in the village the noise grows by `harm`.
    """
    rng = np.random.default_rng(seed)
    seller = np.array(["大店", "小店", "shop"])[np.arange(60) % 3]
    city = rng.choice(["city", "village"], queries)
    query, item, rank, relevance = [], [], [], []
    for number in range(queries):
        items = rng.choice(60, length, replace=False)
        worth = rng.integers(0, 4, length)
        score = worth + rng.normal(size=length) * (1 + harm * (city[number] == "village"))
        score -= push * (seller[items] == "小店")
        query += [f"q{number}"] * length
        item += items.tolist()
        rank += (np.argsort(np.argsort(-score)) + 1).tolist()
        relevance += worth.tolist()
    item = np.array(item)
    return table(
        query,
        [f"i{number}" for number in item],
        rank,
        {"seller": seller[item].tolist(), "city": np.repeat(city, length).tolist()},
        relevance=relevance,
        popularity=1.0 + item,
    )


def test_exposure_by_hand() -> None:
    """Two lists of two: A first in one of them and B in the other, and a list of A, A, B."""
    rows = table(
        ["x", "x", "y", "y", "z", "z", "z"],
        ["a", "b", "a", "b", "a", "c", "b"],
        [1, 2, 2, 1, 1, 2, 3],
        {"seller": ["A", "B", "A", "B", "A", "A", "B"]},
        relevance=[1, 1, 1, 1, 3, 0, 1],
    )
    found = measure(rows, provider="seller", min_rows=2)
    second = 1 / math.log2(3)
    had = {"A": 1 + second + 1 + second, "B": 1 + second + 0.5}
    total = 2 * (1 + second) + 1.5 + second
    for name, share, worth in (("A", 2 / 3, 3 / 4), ("B", 1 / 3, 1 / 4)):
        due = (1 + second) + share * (1.5 + second)
        earned = (1 + second) + worth * (1.5 + second)
        assert measured(found["exposure_share", f"seller={name}"]).value == pytest.approx(had[name] / total)
        assert measured(found["exposure_to_candidates", f"seller={name}"]).value == pytest.approx(had[name] / due)
        assert measured(found["exposure_to_relevance", f"seller={name}"]).value == pytest.approx(had[name] / earned)
    gap = measured(found["exposure_to_candidates.ratio", "seller=*"])
    a, b = (measured(found["exposure_to_candidates", f"seller={name}"]).value for name in "AB")
    assert gap.value == pytest.approx(min(a, b) / max(a, b))
    assert (gap.unit, gap.n, gap.counts) == (Unit.RATIO, 7, {"groups": 2, "groups_too_small": 0})


def test_exposure_equals_pooled_means_where_lists_are_of_one_length() -> None:
    """Then a group's share of exposure over its share of candidates is its mean discount over everybody's."""
    import pandas as pd

    rows = shop(60)
    found = measure(rows, provider="seller")
    discount = pd.Series(1 / np.log2(rows.columns["rank"] + 1))
    for name, value in discount.groupby(rows.groups["seller"]).mean().items():
        one = measured(found["exposure_to_candidates", f"seller={name}"])
        assert one.value == pytest.approx(value / discount.mean())
        share = measured(found["exposure_share", f"seller={name}"])
        assert share.value == pytest.approx(discount[rows.groups["seller"] == name].sum() / discount.sum())
        assert share.unit is Unit.RATE


def test_quality_equals_scikit_learns() -> None:
    from sklearn.metrics import ndcg_score

    rows = shop(80)
    for k in (3, 20):
        found = measure(rows, user="city", k=k)
        ndcg, recall = {"city": [], "village": []}, {"city": [], "village": []}
        for query in dict.fromkeys(rows.columns["query"]):
            here = rows.columns["query"] == query
            relevance, rank = rows.columns["relevance"][here], rows.columns["rank"][here]
            name = rows.groups["city"][here][0]
            if relevance.max() > 0:
                ndcg[name].append(ndcg_score([relevance], [-rank], k=k))
                recall[name].append(((relevance > 0) & (rank <= k)).sum() / (relevance > 0).sum())
        for name, values in ndcg.items():
            one = measured(found["ndcg", f"city={name}"]) if k == 3 else found["ndcg", f"city={name}"]
            assert one.value == pytest.approx(np.mean(values))
            assert (one.n, one.counts["k"], one.unit) == (len(values), k, Unit.SCORE)
            assert found["recall", f"city={name}"].value == pytest.approx(np.mean(recall[name]))
        gap = found["ndcg.difference", "city=*"]
        assert gap.value == pytest.approx(abs(np.mean(ndcg["city"]) - np.mean(ndcg["village"])))
        assert gap.unit is Unit.DIFFERENCE
    assert fact(found["queries_not_judged", "everyone"]) == 80 - sum(map(len, ndcg.values()))


def test_a_pushed_down_seller_is_found() -> None:
    found = measure(shop(150, push=1.0), provider="seller", user="city")
    for metric in ("exposure_to_candidates", "exposure_to_relevance"):
        assert measured(found[metric, "seller=小店"]).high < 0.98
        assert measured(found[metric, "seller=大店"]).low > 1
        assert measured(found[f"{metric}.ratio", "seller=*"]).high < 0.98
    assert measured(found["exposure_share", "seller=小店"]).high < 1 / 3
    assert measured(found["ndcg.difference", "city=*"]).low == 0


def test_worse_lists_for_one_group_of_users_are_found() -> None:
    found = measure(shop(300, harm=4.0), provider="seller", user="city", k=3)
    assert measured(found["ndcg.difference", "city=*"]).low > 0.02
    assert measured(found["ndcg.difference_to_rest", "city=village"]).high < -0.02
    assert measured(found["recall.difference_to_rest", "city=village"]).high < 0
    assert measured(found["exposure_to_candidates.ratio", "seller=*"]).high == 1


def test_no_gap_is_rarely_claimed_where_there_is_none() -> None:
    runs, alarms, covered = 60, {"exposure": 0, "ndcg": 0}, 0
    for seed in range(runs):
        found = measure(shop(70, seed=100 + seed), provider="seller", user="city", min_rows=10)
        alarms["exposure"] += measured(found["exposure_to_candidates.ratio", "seller=*"]).high < 1
        alarms["ndcg"] += measured(found["ndcg.difference", "city=*"]).low > 0
        one = measured(found["exposure_to_candidates", "seller=小店"])
        covered += one.low <= 1 <= one.high
    for name, count in alarms.items():
        assert binom.sf(count - 1, runs, 0.05) > 0.001, name
    assert binom.cdf(covered, runs, 0.95) > 0.001


def test_long_lists_do_not_pass_for_discrimination() -> None:
    """B sells where lists are long, and each is in random order: pooled shares differ, and nobody is wronged."""
    rng = np.random.default_rng(1)
    query, rank, seller = [], [], []
    for number in range(300):
        length = 30 if number % 2 else 4
        query += [f"q{number}"] * length
        rank += (rng.permutation(length) + 1).tolist()
        seller += np.where(rng.random(length) < (0.8 if number % 2 else 0.2), "B", "A").tolist()
    found = measure(table(query, ["i"] * len(rank), rank, {"seller": seller}), provider="seller")
    exposure = 1 / np.log2(np.array(rank) + 1)
    share = exposure[np.array(seller) == "B"].sum() / exposure.sum() / np.mean(np.array(seller) == "B")
    assert share < 0.95
    one = measured(found["exposure_to_candidates", "seller=B"])
    assert one.low < 1 < one.high
    assert one.value == pytest.approx(1, abs=0.03)


def test_users_with_many_queries_count_once() -> None:
    """Each user repeats one search 20 times: as much is known as from one each."""
    rows = shop(20)
    times = 20
    again = table(
        [f"{q}-{t}" for t in range(times) for q in rows.columns["query"]],
        list(rows.columns["item"]) * times,
        np.tile(rows.columns["rank"], times),
        {"seller": list(rows.groups["seller"]) * times},
        clusters=[int(q[1:]) for q in rows.columns["query"]] * times,
    )
    once, often = (
        measured(measure(x, provider="seller")["exposure_to_candidates", "seller=小店"]) for x in (rows, again)
    )
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.05)
    assert often.counts["clusters"] == once.counts["clusters"]
    assert often.n == times * once.n


def test_a_constant_order_does_not_claim_certainty() -> None:
    rows = table(
        [f"q{i // 2}" for i in range(80)],
        ["a", "b"] * 40,
        [1, 2] * 40,
        {"seller": ["A", "B"] * 40},
        relevance=[1, 1] * 40,
    )
    found = measure(rows, provider="seller", user="seller")
    one = measured(found["exposure_to_candidates", "seller=B"])
    second = 1 / math.log2(3)
    assert one.value == pytest.approx(2 * second / (1 + second))
    assert one.high - one.low > 0.1
    assert fact(found["queries_of_several_users", "everyone"]) == 40  # the sellers are no users
    assert fact(found["exposure_gini", "everyone"]) == pytest.approx((1 - second) / (1 + second) / 2)
    assert "no query has a known relevance" in reason(found["ndcg.difference", "seller=*"])


def test_popularity_lift_and_catalogue() -> None:
    rows = table(
        [f"q{i // 4}" for i in range(160)],
        ["a", "b", "c", "d"] * 40,
        [1, 2, 3, 4] * 40,
        {"city": ["x"] * 160},
        popularity=[8, 4, 3, 1] * 40,
    )
    found = measure(rows, user="city", k=2)
    lift = measured(found["popularity_lift", "everyone"])
    assert lift.value == pytest.approx(6 / 4)
    assert (lift.unit, lift.n, lift.counts) == (Unit.RATIO, 40, {"queries": 40, "clusters": 40, "k": 2})
    assert fact(found["catalogue_coverage", "everyone"]) == 0.5
    exposure = 1 / np.log2(np.arange(2, 6))
    naive = np.abs(exposure[:, None] - exposure[None, :]).mean() / 2 / exposure.mean()
    assert fact(found["exposure_gini", "everyone"]) == pytest.approx(naive)


def test_popularity_lift_is_covered() -> None:
    """Items of popularity 1 to 60 in random order: a lift of 1, which the intervals hold."""
    rng, runs, covered = np.random.default_rng(2), 80, 0
    for _ in range(runs):
        popularity = rng.gamma(0.5, 10, 50 * 12)
        rank = np.concatenate([rng.permutation(12) + 1 for _ in range(50)])
        rows = table(
            np.repeat([f"q{i}" for i in range(50)], 12).tolist(),
            ["i"] * 600,
            rank,
            {"u": ["x"] * 600},
            popularity=popularity,
        )
        lift = measured(measure(rows, user="u", k=4)["popularity_lift", "everyone"])
        covered += lift.low <= 1 <= lift.high
    assert binom.cdf(covered, runs, 0.95) > 0.001
    assert covered < runs


@pytest.mark.parametrize("odd", [0, -1, 1.5, math.inf, -math.inf, 2])
def test_queries_whose_ranks_make_no_sense_are_left_out(odd: float) -> None:
    rows = table(
        [f"q{i // 2}" for i in range(120)],
        ["a", "b"] * 60,
        [1, 2] * 59 + [odd, 2],
        {"seller": ["A", "B"] * 60},
    )
    found = measure(rows, provider="seller")
    assert fact(found["queries_left_out", "everyone"]) == 1
    assert fact(found["rows_left_out", "everyone"]) == 2
    assert fact(found["rows_left_out", "seller=A"]) == 1
    assert measured(found["exposure_to_candidates", "seller=A"]).n == 59


def test_a_rank_twice_breaks_its_own_query_alone() -> None:
    query = ["q0", "q0", "q1", "q1", None, None, None]
    rows = table(query, ["a", "b"] * 3 + ["c"], [1, 1, 1, 2, 3, 3, -1], {"seller": ["A", "B"] * 3 + ["C"]})
    found = measure(rows, provider="seller", min_rows=2)
    assert fact(found["queries_left_out", "everyone"]) == 1  # rows without a query are no query
    assert fact(found["rows_left_out", "everyone"]) == 5
    assert fact(found["rows_left_out", "seller=C"]) == 1


def test_relevance_of_any_size() -> None:
    rng = np.random.default_rng(3)
    query, rank = np.repeat([f"q{i}" for i in range(40)], 3).tolist(), [1, 2, 3] * 40
    relevance = rng.integers(1, 9, 120)
    plain, huge = (
        measure(table(query, ["a", "b", "c"] * 40, rank, {"u": ["x"] * 120}, relevance=relevance * size), user="u")
        for size in (1.0, 1e307)
    )
    assert measured(huge["ndcg", "u=x"]).value == pytest.approx(measured(plain["ndcg", "u=x"]).value)


def test_candidates_without_a_rank_were_not_shown() -> None:
    rows = table(
        [f"q{i // 3}" for i in range(180)],
        ["a", "b", "c"] * 60,
        [1, 2, math.nan] * 60,
        {"seller": ["A", "A", "B"] * 60},
        relevance=[1, 1, 2] * 60,
    )
    found = measure(rows, provider="seller")
    assert fact(found["candidates_not_shown", "everyone"]) == 60
    assert measured(found["exposure_to_candidates", "seller=B"]).value == 0
    assert measured(found["exposure_to_candidates", "seller=A"]).value == pytest.approx(1.5)
    assert measured(found["exposure_to_candidates.ratio", "seller=*"]).value == 0
    assert fact(found["catalogue_coverage", "everyone"]) == pytest.approx(2 / 3)


def test_nothing_was_shown() -> None:
    rows = table(["q"] * 80, ["a", "b"] * 40, [math.nan] * 80, {"seller": ["A", "B"] * 40}, popularity=[1.0] * 80)
    found = measure(rows, provider="seller")
    for metric in ("exposure_to_candidates", "exposure_to_relevance"):
        assert reason(found[f"{metric}.ratio", "seller=*"]) == "no row has a rank"
    assert reason(found["exposure_gini", "everyone"]) == "no row has a rank"
    assert reason(found["popularity_lift", "everyone"]).startswith("no query has candidates")


def test_what_the_table_lacks_is_said() -> None:
    rows = table(
        [f"q{i // 2}" for i in range(80)], ["a", "b"] * 40, [1, 2] * 40, {"s": ["A", "B"] * 40, "u": ["x"] * 80}
    )
    found = measure(rows, provider="s", user="u")
    none = "the table has no column relevance"
    assert reason(found["exposure_to_relevance.ratio", "s=*"]) == none
    assert reason(found["ndcg.difference", "u=*"]) == reason(found["recall.difference", "u=*"]) == none
    assert reason(found["popularity_lift", "everyone"]) == "the table has no column popularity"


def test_unknown_relevance_is_not_irrelevance() -> None:
    """A query with one unknown, negative or infinite relevance, or with none above 0, is not judged."""
    relevance = np.tile([1.0, 0.0], 40)
    for place, odd in ((0, math.nan), (3, -1), (5, math.inf), (6, 0)):
        relevance[place] = odd
    rows = table(
        [f"q{i // 2}" for i in range(80)], ["a", "b"] * 40, [1, 2] * 40, {"u": ["x"] * 80}, relevance=relevance
    )
    found = measure(rows, user="u")
    assert fact(found["queries_not_judged", "everyone"]) == 4
    assert measured(found["ndcg", "u=x"]).n == 36
    hole = table(["q"] * 2, ["a", "b"], [1, 2], {"u": ["x"] * 2}, relevance=[math.nan, 1])
    found = measure(hole, user="u", provider="u")
    assert "no query has a known relevance" in reason(found["ndcg.difference", "u=*"])
    assert "no query has a known relevance" in reason(found["exposure_to_relevance.ratio", "u=*"])


def test_relevance_of_lists_that_were_not_shown_counts_for_nothing() -> None:
    rows = table(
        [f"q{i // 2}" for i in range(80)],
        ["a", "b"] * 40,
        [math.nan] * 40 + [1, 2] * 20,
        {"s": ["A", "B"] * 40},
        relevance=[1.0, 2.0] * 20 + [math.nan] * 40,
    )
    assert "no query has a known relevance" in reason(measure(rows, provider="s")["exposure_to_relevance.ratio", "s=*"])


def test_a_group_without_relevance_has_no_ratio() -> None:
    rows = table(
        [f"q{i // 2}" for i in range(80)], ["a", "b"] * 40, [1, 2] * 40, {"s": ["A", "B"] * 40}, relevance=[1, 0] * 40
    )
    found = measure(rows, provider="s")
    assert reason(found["exposure_to_relevance", "s=B"]) == "nothing was due to this group, so no ratio is defined"
    assert reason(found["exposure_to_relevance.ratio", "s=*"]) == "1 of 2 groups large enough, 2 needed"


def test_small_groups_and_one_group() -> None:
    rows = table(
        [f"q{i // 2}" for i in range(80)],
        ["a", "b"] * 40,
        [1, 2] * 40,
        {"s": ["A"] * 68 + ["小"] * 12, "u": ["x"] * 68 + [None] * 12},
        relevance=[2, 1] * 40,
    )
    found = measure(rows, provider="s", user="u")
    for metric in ("exposure_share", "exposure_to_candidates", "exposure_to_relevance"):
        assert reason(found[metric, "s=小"]) == "12 rows, 30 needed"
    assert reason(found["exposure_to_candidates.ratio", "s=*"]) == "1 of 2 groups large enough, 2 needed"
    large = measured(found["exposure_to_candidates", "s=A"])
    assert (large.n, large.counts) == (68, {"rows": 68, "clusters": 34})
    assert reason(found["ndcg", "u=(missing)"]) == "6 queries, 30 needed"
    assert reason(found["ndcg.difference", "u=*"]) == "1 of 2 groups large enough, 2 needed"
    ndcg = found["ndcg", "u=x"]  # always 1: no certainty all the same
    assert ndcg.value == 1
    assert ndcg.low < 0.95


@pytest.mark.parametrize(
    ("popularity", "said"), [(-1.0, "below 0"), (0.0, "known popularity"), (math.nan, "known popularity")]
)
def test_popularity_that_means_nothing(popularity: float, said: str) -> None:
    rows = table([f"q{i}" for i in range(40)], ["a"] * 40, [1] * 40, {"u": ["x"] * 40}, popularity=[popularity] * 40)
    found = measure(rows, user="u")
    assert said in reason(found["popularity_lift", "everyone"])
    assert reason(found["exposure_gini", "everyone"]) == "1 items, 2 needed"


def test_empty_and_nameless_tables() -> None:
    found = measure(table([], [], [], {"g": []}, relevance=[], popularity=[]), provider="g", user="g")
    assert reason(found["exposure_to_candidates.ratio", "g=*"]) == "no row has a rank"
    assert fact(found["queries_left_out", "everyone"]) == 0
    found = measure(table([None] * 40, [None] * 40, [1] * 40, {"g": ["a"] * 40}), provider="g")
    assert fact(found["rows_left_out", "everyone"]) == 40


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="a group column as provider, as user, or both"):
        RankingFairness()
    for name, least in (("k", 1), ("min_rows", 2), ("draws", 200)):
        with pytest.raises(ValueError, match=f"{name}: expected at least {least}, got {least - 1}"):
            RankingFairness(user="u", **{name: least - 1})
        RankingFairness(user="u", **{name: least})
    rows = table(["q"], ["a"], [1], {"g": ["x"]})
    with pytest.raises(ConfigError, match=r"provider: no group column 'x'\. Known: g"):
        RankingFairness(provider="x").measure(rows)
