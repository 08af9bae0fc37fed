"""Prices within product and period: statsmodels with every dummy written out, planted gaps, and what can't be told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pytest
import statsmodels.formula.api as smf
from scipy.stats import binom

from evaluators.cuts import NO_GROUPS, TOO_LARGE
from evaluators.prices import PriceGaps
from evaluators.table import Rows
from governance.measure import NotMeasured, Outcome, Unit
from governance.statistics.multiplicity import sidak
from governance.statistics.within import explained_within, in_shared_cells, least_mean_elsewhere, within_effect
from tests import outcomes
from tests.outcomes import by_name, column, fact, reason

measured = partial(outcomes.measured, within=1e-9)


def table(price, product, groups: Mapping[str, Sequence[str | None]], time=None, clusters=None, **numbers) -> Rows:
    columns = {"price": np.asarray(price, dtype=float), "product": column(product)}
    if time is not None:
        columns["time"] = column(time)
    return Rows(
        model="m",
        columns=columns | {role: np.asarray(values, dtype=float) for role, values in numbers.items()},
        groups={name: column(values) for name, values in groups.items()},
        clusters=np.arange(len(price)) if clusters is None else np.asarray(clusters),
    )


def measure(rows: Rows, **settings) -> dict[tuple[str, str], Outcome]:
    return by_name(PriceGaps(**settings).measure(rows), "prices")


def shop(n: int, seed: int = 0, extra: float = 0.0, noise: float = 0.1, **numbers) -> Rows:
    """12 products over 6 weeks, prices rise; people of 农村 buy the dear ones, late, and pay `extra` (log) more."""
    rng = np.random.default_rng(seed)
    place = rng.choice(["城市", "农村", "suburb"], n, p=[0.5, 0.2, 0.3])
    rural = place == "农村"
    product = np.minimum(rng.integers(0, 12, n) + 3 * rural, 11)
    week = np.minimum(rng.integers(0, 6, n) + 1 * rural, 5)
    logs = 3 + 0.2 * product + 0.05 * week + extra * rural + noise * rng.normal(size=n)
    products, weeks = [f"p{i}" for i in product], [str(i) for i in week]
    return table(np.exp(logs), products, {"place": place.tolist()}, weeks, **numbers)


@pytest.mark.parametrize("customers", [None, 90])
def test_the_gap_equals_statsmodels_with_all_dummies(customers: int | None) -> None:
    import pandas as pd

    rng = np.random.default_rng(1)
    n = 600
    customer = np.arange(n) if customers is None else rng.integers(0, customers, n)
    rows = shop(n, extra=0.1)
    rows = table(
        rows.columns["price"] * np.exp(0.1 * rng.normal(size=n)[customer]), rows.columns["product"],
        {"place": rows.groups["place"]}, rows.columns["time"], customer,
    )  # fmt: skip
    found = measure(rows)
    frame = pd.DataFrame({"y": np.log(rows.columns["price"]), "place": rows.groups["place"].astype(str)})
    frame["cell"] = [f"{p}@{t}" for p, t in zip(rows.columns["product"], rows.columns["time"], strict=True)]
    frame["customer"] = customer
    for name in ("城市", "农村", "suburb"):
        frame["d"] = (frame.place == name).astype(float)
        sides = frame.groupby("cell").d.transform("nunique")
        part = frame[sides == 2]
        fit = smf.ols("y ~ d + C(cell)", part).fit(cov_type="cluster", cov_kwds={"groups": part.customer})
        codes = part.cell.factorize()[0]
        effect = within_effect(part.y, part.d == 1, codes, part.customer)
        assert effect.value == pytest.approx(fit.params["d"])
        assert effect.standard_error == pytest.approx(fit.bse["d"])
        assert (effect.n, effect.cells, effect.own) == (len(part), part.cell.nunique(), int(part.d.sum()))
        one = measured(found["price.difference_to_rest", f"place={name}"])
        assert one.value == pytest.approx(math.expm1(fit.params["d"]))
        low, high = effect.bounds(sidak(0.95, 3))
        assert (one.low, one.high) == pytest.approx((math.expm1(low), math.expm1(high)))
        assert (one.unit, one.n) == (Unit.RELATIVE, len(part))
        assert one.counts["rows"] + one.counts["other_rows"] == one.n


def test_cells_within_a_cluster_cost_no_degrees_of_freedom() -> None:
    """The cluster is the product: dummies of its weeks would be charged twice."""
    import pandas as pd

    rows = shop(500)
    frame = pd.DataFrame({"y": np.log(rows.columns["price"]), "d": rows.groups["place"] == "城市"})
    frame["product"] = rows.columns["product"].astype(str)
    frame["cell"] = frame["product"] + rows.columns["time"].astype(str)
    frame = frame[frame.groupby("cell").d.transform("nunique") == 2]
    frame["d"] = frame.d.astype(float)
    clusters = frame["product"].factorize()[0]
    fit = smf.ols("y ~ d + C(cell)", frame).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    effect = within_effect(frame.y, frame.d == 1, frame.cell.factorize()[0], clusters)
    n, cells = len(frame), frame.cell.nunique()
    assert effect.standard_error == pytest.approx(fit.bse["d"] * math.sqrt((n - cells - 1) / (n - 2)))
    assert effect.freedom < 12


def test_a_two_sample_effect_is_the_difference_of_means() -> None:
    rng = np.random.default_rng(2)
    y, side = rng.normal(size=100), np.arange(100) < 30
    effect = within_effect(y, side, np.zeros(100, dtype=int), np.arange(100))
    assert effect.value == pytest.approx(y[side].mean() - y[~side].mean())
    assert effect.freedom == pytest.approx(29)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, math.nan], [True, False], [0, 0], [0, 1]), "finite values"),
        (([1.0, 2.0], [True, False], [0, 1], [0, 1]), "a cell with both sides"),
        (([1.0, 2.0, 3.0], [True, False, False], [0, 0, 0], [0, 1, 2]), "two clusters on either side"),
        (([1.0, 2.0, 3.0, 4.0], [True, False] * 2, [0, 0, 1, 1], [0, 1, 2, 3]), None),
        (([1.0, 2.0], [True, False], [0, 0], [0]), "one length"),
    ],
)
def test_nonsense_is_refused(arguments, message: str | None) -> None:
    if message is None:
        assert within_effect(*arguments).value == -1
        return
    with pytest.raises(ValueError, match=message):
        within_effect(*arguments)


def test_what_people_buy_is_not_what_they_are_charged() -> None:
    """Rural people buy dearer things, later: raw prices differ by far more than nothing, charged prices don't."""
    rows = shop(1500)
    found = measure(rows)
    raw = [np.log(rows.columns["price"][rows.groups["place"] == name]).mean() for name in ("农村", "城市")]
    assert raw[0] - raw[1] > 0.3
    one = measured(found["price.difference_to_rest", "place=农村"])
    assert one.low < 0 < one.high
    assert measured(found["price.difference", "place=*"]).low == 0
    assert fact(found["price_explained", "place=*"]) < 0.02


def test_a_planted_gap_is_found_by_every_measure() -> None:
    extra = math.log(1.08)
    rows = shop(1500, extra=extra)
    reference = rows.columns["price"] / np.exp(extra * (rows.groups["place"] == "农村"))
    found = measure(shop(1500, extra=extra, reference_price=reference, willingness=2 * reference))
    one = measured(found["price.difference_to_rest", "place=农村"])
    assert one.low < 0.08 < one.high
    assert one.low > 0.03
    assert measured(found["price.difference_to_rest", "place=城市"]).high < 0
    gap = measured(found["price.difference", "place=*"])
    assert gap.low > 0.03
    assert gap.counts == {"groups": 3, "groups_too_small": 0, "pairs": 3, "pairs_apart": 0}
    assert fact(found["price_explained", "place=*"]) > 0.05
    assert measured(found["envy_share.difference_to_rest", "place=农村"]).low > 0.05
    assert measured(found["envy_amount.difference", "place=*"]).low > 0
    burden = found["reference_burden", "place=农村"]
    assert (burden.value, burden.unit) == (pytest.approx(1.08), Unit.RATIO)
    gap = found["reference_burden.difference", "place=*"]
    assert (gap.value, gap.unit) == (pytest.approx(0.08), Unit.DIFFERENCE)
    assert found["willingness_burden", "place=城市"].value == pytest.approx(0.5)


@pytest.mark.parametrize("clustered", [False, True])
def test_no_gap_is_rarely_claimed_where_there_is_none(clustered: bool) -> None:
    rng, runs, alarms, rests, covered = np.random.default_rng(3), 100, 0, 0, 0
    for seed in range(runs):
        rows = shop(400, seed=seed, extra=0.05, noise=0.15)
        honest = shop(400, seed=seed, noise=0.15)
        clusters = None
        if clustered:  # customers stay in their place
            names = rows.groups["place"]
            clusters = rng.integers(0, 25, 400) + 25 * (names == "农村") + 50 * (names == "suburb")
            lean = np.exp(0.1 * rng.normal(size=75))[clusters]
        rows, honest = (
            table(
                x.columns["price"] * (lean if clustered else 1),
                x.columns["product"],
                x.groups,
                x.columns["time"],
                clusters,
            )
            for x in (rows, honest)
        )
        found = measure(honest)
        alarms += measured(found["price.difference", "place=*"]).low > 0
        places = ("城市", "农村", "suburb")
        rests += any(
            one.low > 0 or one.high < 0
            for one in (measured(found["price.difference_to_rest", f"place={name}"]) for name in places)
        )
        one = measured(measure(rows)["price.difference_to_rest", "place=农村"])
        covered += one.low <= math.expm1(0.05) <= one.high
    for count in (alarms, rests):
        assert binom.sf(count - 1, runs, 0.05) > 0.001
    assert binom.cdf(covered, runs, sidak(0.95, 3)) > 0.001


def test_one_price_for_all_is_a_fact() -> None:
    """No error, no interval: a shop with a price list must not be left unproven."""
    n = 400
    rng = np.random.default_rng(4)
    product, place = rng.integers(0, 5, n), rng.choice(["a", "b"], n)
    found = measure(table(9.9 + product, [f"p{i}" for i in product], {"g": place.tolist()}))
    for where in ("g=a", "g=b"):
        assert fact(found["price.difference_to_rest", where]) == pytest.approx(0, abs=1e-12)
    assert fact(found["price.difference", "g=*"]) == pytest.approx(0, abs=1e-12)
    assert reason(found["price_explained", "g=*"]) == "prices don't differ within product and period"
    envy = measured(found["envy_share", "g=*"])
    assert (envy.value, envy.low) == (0, 0)
    assert 0 < envy.high < 0.02
    amount = measured(found["envy_amount", "g=*"])
    assert amount.value == 0
    assert 0 < amount.high < 0.3
    dearer = measure(
        table((9.9 + product) * np.where(place == "b", 1.1, 1), [f"p{i}" for i in product], {"g": place.tolist()})
    )
    assert fact(dearer["price.difference_to_rest", "g=b"]) == pytest.approx(0.1)
    assert fact(dearer["price.difference", "g=*"]) == pytest.approx(0.1)
    assert fact(dearer["price_explained", "g=*"]) == pytest.approx(1)
    assert measured(dearer["envy_share", "g=b"]).value == 1


def test_envy_by_hand() -> None:
    """Product p: a pays 10 and 12, b pays 8 and 14, c pays 20; product q: a alone."""
    price = [10, 12, 8, 14, 20, 99]
    rows = table(price * 20, ["p"] * 5 + ["q"] + (["p"] * 5 + ["q"]) * 19, {"g": ["a", "a", "b", "b", "c", "a"] * 20})
    found = measure(rows, min_rows=20)
    # Means: a 11, b 11, c 20. The best elsewhere is 11 for all three.
    assert measured(found["envy_share", "g=a"]).value == pytest.approx(0.5)
    assert measured(found["envy_share", "g=b"]).value == pytest.approx(0.5)
    assert measured(found["envy_share", "g=c"]).value == 1
    assert measured(found["envy_amount", "g=a"]).value == pytest.approx(0.5)
    assert measured(found["envy_amount", "g=b"]).value == pytest.approx(1.5)
    assert found["envy_amount", "g=c"].value == pytest.approx(9)
    assert measured(found["envy_share", "g=*"]).value == pytest.approx(3 / 5)
    assert measured(found["envy_amount", "g=*"]).value == pytest.approx((2 * 0.5 + 2 * 1.5 + 9) / 5)
    assert measured(found["envy_share", "g=*"]).n == 100
    assert fact(found["price_cells_of_one_group", "g=*"]) == 1
    assert fact(found["price_rows_of_one_group", "g=*"]) == 20


def test_least_mean_elsewhere_equals_a_loop() -> None:
    rng = np.random.default_rng(5)
    x, group, cell = rng.normal(size=300), rng.integers(0, 4, 300), rng.integers(0, 60, 300)
    for i, value in enumerate(least_mean_elsewhere(x, group, cell)):
        others = [
            x[(cell == cell[i]) & (group == g)].mean()
            for g in range(4)
            if g != group[i] and ((cell == cell[i]) & (group == g)).any()
        ]
        assert value == pytest.approx(min(others)) if others else math.isinf(value)


def test_codes_may_be_any_integers() -> None:
    rng = np.random.default_rng(17)
    y, side, cell, cluster = (
        rng.normal(size=200),
        rng.random(200) < 0.4,
        rng.integers(0, 9, 200),
        rng.integers(0, 50, 200),
    )
    plain = within_effect(y, side, cell, cluster)
    assert within_effect(y, side, cell * 5, cluster * 10**12 - 7) == plain


def test_variance_explained_equals_statsmodels() -> None:
    import pandas as pd

    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"g": rng.integers(0, 4, 300), "cell": rng.integers(0, 20, 300)})
    frame["y"] = rng.normal(size=300) + 0.5 * frame.g + frame.cell
    cells = smf.ols("y ~ C(cell)", frame).fit()
    both = smf.ols("y ~ C(cell) + C(g)", frame).fit()
    share = explained_within(frame.y, frame.g, frame.cell)
    assert share == pytest.approx(1 - both.ssr / cells.ssr)


def test_shared_cells_equal_a_loop() -> None:
    rng = np.random.default_rng(7)
    side, cell = rng.random(100) < 0.3, rng.integers(0, 30, 100)
    shared = [len(set(side[cell == cell[i]])) == 2 for i in range(100)]
    assert in_shared_cells(side, cell).tolist() == shared


def test_groups_that_share_nothing_can_not_be_compared() -> None:
    rng = np.random.default_rng(8)
    rows = table(rng.gamma(5, 1, 120), ["p"] * 60 + ["q"] * 60, {"g": ["甲"] * 60 + ["乙"] * 60})
    found = measure(rows)
    said = "0 rows that share product and period with other groups, 30 needed"
    assert reason(found["price.difference_to_rest", "g=甲"]) == said
    assert reason(found["price.difference", "g=*"]) == "no two groups share products and periods"
    assert reason(found["price_explained", "g=*"]) == "no two groups share products and periods"
    assert "no row shares product and period" in reason(found["envy_share.difference", "g=*"])
    assert fact(found["price_cells_of_one_group", "g=*"]) == 2
    assert fact(found["price_rows_of_one_group", "g=*"]) == 120


def test_pairs_apart_are_counted() -> None:
    """a and b share p; c and d share q: everybody has a rest, and four of six pairs can't be told."""
    rng = np.random.default_rng(9)
    groups = ["a", "b"] * 40 + ["c", "d"] * 40
    found = measure(table(rng.gamma(5, 1, 160), ["p"] * 80 + ["q"] * 80, {"g": groups}))
    gap = measured(found["price.difference", "g=*"])
    assert gap.counts == {"groups": 4, "groups_too_small": 0, "pairs": 2, "pairs_apart": 4}
    assert all(measured(found["price.difference_to_rest", f"g={name}"]) for name in "abcd")


def test_few_shared_rows_are_not_enough() -> None:
    rng = np.random.default_rng(10)
    product = ["p"] * 100 + ["q"] * 40
    groups = ["a"] * 60 + ["b"] * 40 + ["a"] * 10 + ["c"] * 30
    found = measure(table(rng.gamma(5, 1, 140), product, {"g": groups}))
    said = "10 rows that share product and period with other groups, 30 needed"
    assert reason(found["price.difference_to_rest", "g=c"]) == said
    assert measured(found["price.difference", "g=*"]).counts["pairs_apart"] == 2


def test_small_groups_one_group_and_no_groups() -> None:
    rng = np.random.default_rng(11)
    price, product = rng.gamma(5, 1, 92), ["p"] * 92
    found = measure(table(price, product, {"g": ["a"] * 40 + ["b"] * 40 + ["c"] * 12}, reference_price=price))
    for metric in ("price.difference_to_rest", "reference_burden"):
        assert reason(found[metric, "g=c"]) == "12 rows, 30 needed"
    assert measured(found["price.difference", "g=*"]).counts["groups_too_small"] == 1
    found = measure(table(price, product, {"g": ["a"] * 92}))
    assert reason(found["price.difference", "g=*"]) == "1 of 1 groups large enough, 2 needed"
    assert reason(found["envy_share.difference", "g=*"]) == "1 of 1 groups large enough, 2 needed"
    found = measure(table(price, product, {}))
    assert {x.reason for x in found.values() if isinstance(x, NotMeasured)} == {
        NO_GROUPS,
        "the table has no column reference_price",
        "the table has no column willingness",
    }


def test_one_customer_says_nothing_of_others() -> None:
    rng = np.random.default_rng(12)
    clusters = [0] * 40 + list(range(1, 41))
    found = measure(table(rng.gamma(5, 1, 80), ["p"] * 80, {"g": ["a"] * 40 + ["b"] * 40}, clusters=clusters))
    assert reason(found["price.difference_to_rest", "g=a"]) == "1 cluster, 2 needed"
    assert reason(found["envy_amount", "g=a"]) == "1 cluster, 2 needed"
    everything = measure(table(rng.gamma(5, 1, 80), ["p"] * 80, {"g": ["a", "b"] * 40}, clusters=[0] * 80))
    assert reason(everything["envy_amount", "g=*"]) == "1 cluster, 2 needed"


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_unusable_prices_are_left_out_and_counted(price: float) -> None:
    prices = np.random.default_rng(13).gamma(5, 1, 120)
    prices[:3] = price
    found = measure(table(prices, ["p"] * 120, {"g": [None, "b", "c"] * 40}, reference_price=[10.0] * 120))
    assert fact(found["rows_left_out", "everyone"]) == 3
    assert fact(found["rows_left_out", "g=(missing)"]) == 1
    assert fact(found["reference_burden.rows_left_out", "everyone"]) == 3
    assert measured(found["price.difference_to_rest", "g=(missing)"]).counts["rows"] == 39
    empty = measure(table([price] * 40, ["p"] * 40, {"g": ["a", "b"] * 20}, reference_price=[1.0] * 40))
    assert "no row has a price above 0" in reason(empty["price.difference", "g=*"])
    assert reason(empty["reference_burden.difference", "g=*"]) == "no row has a price and a reference_price above 0"


def test_rows_without_product_or_period_are_left_out() -> None:
    rng = np.random.default_rng(14)
    product = [None, *["p"] * 119]
    rows = table(rng.gamma(5, 1, 120), product, {"g": ["a", "b"] * 60}, time=["1"] * 119 + [None])
    assert fact(measure(rows)["rows_left_out", "everyone"]) == 2
    numeric = table(rows.columns["price"], ["p"] * 120, rows.groups)
    numeric.columns["time"] = np.where(np.arange(120) < 1, math.nan, 2.0)  # a period may be a number
    assert fact(measure(numeric)["rows_left_out", "everyone"]) == 1


@pytest.mark.parametrize("reference", [0.0, -5.0, math.nan, math.inf, 1e-320])
def test_unusable_references_are_left_out(reference: float) -> None:
    prices, references = np.random.default_rng(15).gamma(5, 1, 80), np.full(80, 7.0)
    references[0] = reference
    found = measure(table(prices, ["p"] * 80, {"g": ["a", "b"] * 40}, willingness=references))
    assert fact(found["willingness_burden.rows_left_out", "everyone"]) == 1
    assert measured(found["willingness_burden", "g=a"]).n == 39


def test_prices_of_any_size() -> None:
    rng = np.random.default_rng(16)
    for size in (1e-300, 1e300):
        rows = table(rng.gamma(5, 1, 80) * size, ["p"] * 80, {"g": ["a", "b"] * 40})
        found = measure(rows)
        assert measured(found["price.difference", "g=*"])
        assert measured(found["envy_share", "g=a"])
    wild = table(np.tile([1e300, 1e-300], 40) * rng.gamma(5, 1, 80), ["p"] * 80, {"g": ["a", "b"] * 40})
    assert reason(measure(wild)["price.difference_to_rest", "g=a"]) == TOO_LARGE


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="min_rows: expected at least 2, got 1"):
        PriceGaps(min_rows=1)
    PriceGaps(min_rows=2)
