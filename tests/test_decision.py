from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.tasks.description import Description
from evaluators.tasks.generation import Generation
from evaluators.tasks.qa import Answers
from evaluators.tasks.ranking import Ranking
from governance.decision import Decision, Group, Told, decide
from governance.decision.criteria import MAIN, Main
from governance.decision.front import Spread, dominates, front
from governance.decision.weighing import weigh
from governance.measure import ANY, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import judge
from governance.record import RunRecord
from reports import render
from tests.sample_record import POLICY, record

NAMES = "abcdefgh"
level = st.integers(-4, 4)
end = st.tuples(level, level).map(sorted)


def exact(value: float) -> Spread:
    return Spread(value, value, value, 1.0)


def table(rows: Sequence[Sequence[float | None]]) -> dict[str, dict[str, Spread | None]]:
    """Models as rows, criteria as columns."""
    return {
        NAMES[i]: {f"c{j}": None if x is None else exact(x) for j, x in enumerate(row)} for i, row in enumerate(rows)
    }


def spread(ends: Sequence[int]) -> Spread:
    return Spread(sum(ends) / 2, ends[0], ends[1], 0.95)


# -- the Pareto set -------------------------------------------------------------------------------


def _value(one: Spread | None) -> float:
    assert one is not None
    return one.value


def beats(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


@given(st.lists(st.tuples(level, level, level), min_size=1, max_size=7))
def test_front_of_exact_figures_is_what_brute_force_says(rows: list[tuple[int, int, int]]) -> None:
    told, beaten = front(table(rows))
    for i, row in enumerate(rows):
        expected = {NAMES[j] for j, other in enumerate(rows) if beats(other, row)}
        assert {name for name, one in beaten[NAMES[i]].items() if one is Told.YES} == set(beaten[NAMES[i]]) == expected
        assert told[NAMES[i]] is (Told.NO if expected else Told.YES)


@given(st.lists(end, min_size=2, max_size=2), st.lists(end, min_size=2, max_size=2))
def test_dominance_of_intervals_is_what_all_figures_in_them_say(one: list[list[int]], other: list[list[int]]) -> None:
    def every(ends: list[list[int]]) -> list[tuple[float, ...]]:
        return list(itertools.product(*(np.arange(low, high + 0.5, 0.5).tolist() for low, high in ends)))

    found = [beats(a, b) for a in every(one) for b in every(other)]
    expected = Told.YES if all(found) else Told.OPEN if any(found) else Told.NO
    assert dominates([spread(ends) for ends in one], [spread(ends) for ends in other]) is expected


def test_what_is_not_known_may_be_anything() -> None:
    told, beaten = front(table([(1, None), (0, 0)]))
    assert told == {"a": Told.YES, "b": Told.OPEN}  # nothing of b beats a's 1
    assert beaten == {"a": {}, "b": {"a": Told.OPEN}}
    assert dominates([Spread(1, 0.5, None, 0.95)], [exact(0)]) is Told.YES
    assert dominates([Spread(1, None, 2, 0.95)], [exact(0)]) is Told.OPEN
    told, _ = front({"a": {"x": None}, "b": {"x": None}})
    assert set(told.values()) == {Told.YES}  # no criterion is known of anybody: nobody is beaten


# -- first places ---------------------------------------------------------------------------------


def test_two_criteria_share_the_line_exactly() -> None:
    """Worth w, 1 - w and a constant 0.6: first for w >= 0.6, for w <= 0.4, and in between."""
    found = weigh(table([(1, 0), (0, 1), (0.6, 0.6)]))
    assert found is not None
    shares = {name: first.value for name, first in found.first.items()}
    assert shares == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.2})
    assert all(isinstance(first, Fact) for first in found.first.values())
    assert found.central["a"] == pytest.approx({"c0": 0.8, "c1": 0.2})
    assert found.central["c"] == pytest.approx({"c0": 0.5, "c1": 0.5})


@given(st.lists(st.tuples(level, level), min_size=2, max_size=6))
def test_exact_shares_agree_with_a_fine_grid(rows: list[tuple[int, int]]) -> None:
    found = weigh(table(rows))
    values = np.array(rows, dtype=float)
    span = np.ptp(values, axis=0)
    if not span.any():
        assert found is None
        return
    assert found is not None
    scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1)
    grid = (np.arange(20_000) + 0.5) / 20_000
    if (span > 0).all():
        worth = scaled[:, :1] * grid + scaled[:, 1:] * (1 - grid)
    else:
        worth = scaled[:, span > 0] * np.ones_like(grid)
    best = worth >= worth.max(axis=0) - 1e-9
    shares = (best / best.sum(axis=0)).mean(axis=1)
    assert [found.first[NAMES[i]].value for i in range(len(rows))] == pytest.approx(shares.tolist(), abs=1e-3)
    assert sum(first.value for first in found.first.values()) == pytest.approx(1)


def region(rows: Sequence[Sequence[float]], me: int) -> float:
    """The share of the triangle of three weights in which a row's worth is greatest, by clipping a polygon."""
    polygon = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    for j in range(len(rows)):
        if j == me or not polygon:
            continue
        cut = [a - b for a, b in zip(rows[me], rows[j], strict=True)]
        kept: list[tuple[float, ...]] = []
        for p, q in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
            here, there = (sum(c * x for c, x in zip(cut, point, strict=True)) for point in (p, q))
            if here >= 0:
                kept.append(p)
            if here * there < 0:
                t = here / (here - there)
                kept.append(tuple(x + t * (y - x) for x, y in zip(p, q, strict=True)))
        polygon = kept  # type: ignore[assignment]
    twice = sum(p[0] * q[1] - p[1] * q[0] for p, q in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True))
    return abs(twice)  # the triangle's own area, in these coordinates, is 1/2


def test_three_criteria_agree_with_areas_of_polygons() -> None:
    rows = [(1.0, 0.1, 0.3), (0.0, 1.0, 0.2), (0.2, 0.0, 1.0), (0.55, 0.5, 0.45), (0.3, 0.3, 0.3)]
    rows = [tuple((np.array(row) - [0, 0, 0.2]) / [1, 1, 0.8]) for row in rows]
    found = weigh(table(rows))
    assert found is not None
    for i in range(len(rows)):
        first = found.first[NAMES[i]]
        assert isinstance(first, Measurement)
        assert first.value == pytest.approx(region(rows, i), abs=0.012)
    assert found.first["e"].value == 0  # d is better everywhere
    assert "e" not in found.central


@settings(max_examples=40)
@given(st.lists(st.tuples(level, level, level, level), min_size=2, max_size=5), st.randoms())
def test_a_beaten_model_is_never_first_and_order_changes_nothing(rows: list[tuple[int, ...]], random: object) -> None:
    models = table(rows)
    found = weigh(models, draws=300)
    shuffled = list(models.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = weigh(dict(shuffled), draws=300)
    if found is None or again is None:
        assert found is again is None
        return
    assert found.first == again.first
    assert found.scenarios == again.scenarios
    assert sum(first.value for first in found.first.values()) == pytest.approx(1)
    for name, by in front(models)[1].items():
        if Told.YES in by.values():
            # Ties on the criteria that carry weight have no width, but where few criteria differ they are shared.
            assert all(found.first[name].value <= found.first[other].value for other in by)
            mine = models[name]
            strictly = [o for o in by if all(_value(models[o][c]) > _value(mine[c]) for c in found.criteria)]
            assert not strictly or found.first[name].value == 0


def test_doubt_in_the_figures_is_in_the_shares() -> None:
    """Two normal figures of equal width, one criterion: the better wins with Phi(difference / (sd * sqrt 2))."""
    sd, gap = 0.1, 0.12
    half = sd * 1.959964
    models = {
        "a": {"x": Spread(gap, gap - half, gap + half, 0.95)},
        "b": {"x": Spread(0.0, -half, half, 0.95)},
    }
    found = weigh(models)
    expected = 0.5 * (1 + math.erf(gap / (sd * math.sqrt(2)) / math.sqrt(2)))
    assert found is not None
    assert found.first["a"].value == pytest.approx(expected, abs=0.012)
    one, sure = found.first["a"], weigh(table([(1,), (0,)]))
    assert isinstance(one, Measurement)
    assert one.low is not None
    assert one.high is not None
    assert one.low < expected < one.high
    assert sure is not None
    assert sure.first["a"].value == 1
    assert isinstance(sure.first["a"], Fact)


def test_what_is_unknown_or_alike_is_named_and_not_weighed() -> None:
    found = weigh(table([(1, None, 2), (0, 5, 2)]))
    assert found is not None
    assert (found.criteria, found.unknown, found.alike) == (("c0",), {"c1": ("a",)}, ("c2",))
    assert weigh(table([(1, 2)])) is None
    assert weigh(table([(1, 2), (1, 2)])) is None


# -- a whole record -------------------------------------------------------------------------------


def group(decision: Decision, protocol: str) -> Group:
    return next(one for one in decision.groups if one.protocol == protocol)


def changed(judged: RunRecord, **models: dict[str, object]) -> RunRecord:
    entries = tuple(entry.model_copy(update=models.get(entry.name, {})) for entry in judged.models)
    return judged.model_copy(update={"models": entries})


def without(judged: RunRecord, *where: tuple[str, str], extra: Sequence[Outcome] = ()) -> RunRecord:
    kept = [one for one in judged.outcomes if (one.metric, one.model) not in where]
    return judged.model_copy(update={"outcomes": (*kept, *extra)})


def test_ways_of_answering_are_never_in_one_ranking() -> None:
    decision = decide(record())
    assert [(one.protocol, list(one.front)) for one in decision.groups] == [
        ("head", ["baseline", "open", "open-private"]),
        ("written", ["closed"]),
    ]
    assert group(decision, "written").weighing is None
    [across] = decision.across
    assert (across.metric, across.model) == ("quality.balanced_accuracy.difference", "closed")
    told = decide(changed(record(), open={"protocol": "written"}))
    assert list(group(told, "written").front) == ["open", "closed"]
    assert {one.model for one in told.across} == {"open", "closed"}


def test_the_order_of_models_decides_nothing() -> None:
    judged = record()
    turned = judged.model_copy(update={"models": judged.models[::-1], "outcomes": judged.outcomes[::-1]})
    one, other = (group(decide(each), "head") for each in (judged, turned))
    assert one.front == other.front
    assert one.weighing is not None
    assert other.weighing is not None
    assert one.weighing.first == other.weighing.first


def test_no_claim_ranks_last_and_less_is_better_of_all_but_quality() -> None:
    found = {profile.model: profile for profile in decide(record()).profiles}
    private, plain = (found[name].spreads for name in ("open-private", "open"))
    assert private["epsilon"].value > plain["epsilon"].value == -1  # type: ignore[union-attr]
    assert isinstance(found["open"].figures["epsilon"], NotMeasured)
    for name in ("cost", "latency", "gap", "leaving"):
        assert found["open"].spreads[name].value == -found["open"].figures[name].value  # type: ignore[union-attr]
    low, high = found["open"].spreads["latency"].low, found["open"].spreads["latency"].high  # type: ignore[union-attr]
    assert low < high  # type: ignore[operator]
    assert plain["quality"].value == 0.848  # type: ignore[union-attr]


def test_a_gap_counts_only_where_it_was_measured_for_all() -> None:
    """A model without the widest gap's figure must not win by that."""
    where = Slice.of({"age_band": ANY})
    judged = record()
    metric = "fairness.false_positive_rate.difference"
    kept = [o for o in judged.outcomes if (o.metric, o.model, o.slice) != (metric, "open", where)]
    gone = judged.model_copy(update={"outcomes": tuple(kept)})
    names = {profile.model: profile.figures["gap"] for profile in decide(gone).profiles}
    assert all((names[name].metric, names[name].slice) != (metric, where) for name in ("baseline", "open-private"))
    none = judged.model_copy(
        update={"outcomes": tuple(o for o in judged.outcomes if o.model != "open" or "fairness" not in o.metric)}
    )
    assert isinstance(decide(none).profiles[0].figures["gap"], NotMeasured)


def test_rows_that_leave_are_those_of_the_data_were_all_asked() -> None:
    found = {profile.model: profile.figures["leaving"] for profile in decide(record()).profiles}
    assert {name: one.value for name, one in found.items()} == {  # type: ignore[union-attr]
        "baseline": 0, "open": 0, "open-private": 0, "closed": 2000,
    }  # fmt: skip
    unknown = changed(record(), closed={"sent": {}}, open={"kind": "predictions"})
    told = {profile.model: profile.figures["leaving"] for profile in decide(unknown).profiles}
    assert isinstance(told["closed"], NotMeasured)
    assert isinstance(told["open"], NotMeasured)


def test_money_of_two_currencies_is_not_compared() -> None:
    yuan = Fact(metric="quality.cost", model="open", value=0.0001, unit=Unit.MONEY, method="CNY, from a price per hour")
    judged = without(record(), ("quality.cost", "open"), extra=[yuan])
    found = group(decide(judged), "head")
    assert {profile.spreads["cost"] for profile in found.profiles} == {None}
    assert found.weighing is not None
    assert "cost" not in found.weighing.criteria


def test_a_switch_is_priced_by_the_month_with_both_intervals() -> None:
    def cost(model: str, value: float, low: float, high: float) -> Measurement:
        return Measurement(
            metric="quality.cost", model=model, value=value, low=low, high=high, level=0.95, n=50, unit=Unit.MONEY,
            method="mean per 1,000 rows by tokens, in USD; cluster bootstrap",
        )  # fmt: skip

    new = [cost("open", 3.0, 2.5, 3.5), cost("baseline", 1.0, 0.9, 1.2)]
    judged = without(record(), ("quality.cost", "open"), ("quality.cost", "baseline"), extra=new)
    priced = judged.model_copy(update={"requests_per_month": 10_000})
    found = {profile.model: profile.figures["switch_month"] for profile in decide(priced).profiles}
    month = found["open"]
    assert isinstance(month, Measurement)
    assert (month.value, month.low, month.high) == pytest.approx((20, 13, 26))
    assert isinstance(found["baseline"], NotMeasured)  # the incumbent
    assert isinstance(found["closed"], NotMeasured)  # has no price
    unstated = {profile.model: profile.figures["switch_month"] for profile in decide(judged).profiles}
    assert isinstance(unstated["open"], NotMeasured)


def test_throughput_is_one_over_the_mean_time_of_what_ran_at_once() -> None:
    judged = record()
    counted = [
        dataclasses.replace(o, counts={"seconds": 40.0}) if o.metric == "quality.latency_p50" else o  # type: ignore[arg-type]
        for o in judged.outcomes
    ]
    judged = changed(judged.model_copy(update={"outcomes": tuple(counted)}), closed={"settings": {"concurrency": 8}})
    found = {profile.model: profile.figures["throughput"] for profile in decide(judged).profiles}
    assert found["open"].value == 50  # type: ignore[union-attr]
    assert found["closed"].value == 200 / 40 * 8  # type: ignore[union-attr]
    assert isinstance(decide(record()).profiles[0].figures["throughput"], NotMeasured)


@pytest.mark.parametrize(
    ("update", "pinned"),
    [
        ({"versions": {"m-1": 3, "m-2": 1}, "digest": "sha256:0"}, "changed"),
        ({"digest": "sha256:0"}, "weights"),
        ({"digest": None}, "unknown"),
        ({"kind": "predictions", "digest": "sha256:0"}, "file"),
    ],
)
def test_what_keeps_a_model_the_same(update: dict[str, object], pinned: str) -> None:
    found = {profile.model: profile.pinned for profile in decide(changed(record(), closed=update)).profiles}
    assert found["closed"] == pinned


def test_a_record_without_figures_or_of_one_model_still_reads() -> None:
    bare = record().model_copy(update={"outcomes": (), "incumbent": None})
    decision = decide(bare)
    assert decision.main == "quality.balanced_accuracy"
    assert all(isinstance(profile.figures["quality"], NotMeasured) for profile in decision.profiles)
    table_kind = record().model_copy(update={"models": tuple(
        entry.model_copy(update={"kind": "table"}) for entry in record().models[:1]
    ), "candidate": "baseline"})  # fmt: skip
    assert b'id="decision"' not in render(table_kind, judge(table_kind, POLICY), POLICY)["report.html"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_and_cards_tell_the_decision(language: str) -> None:
    files = render(record(), judge(record(), POLICY), POLICY, language=language)
    page = files["report.html"].decode()
    assert 0 < page.index('<section id="verdict"') < page.index('<section id="decision"') < page.index('id="quality"')
    chapter = page[page.index('<section id="decision"') : page.index('<section id="quality"')]
    assert "decision-weights-0" in chapter
    assert "decision-cost-0" in chapter
    assert "decision-cost-1" not in chapter  # one model alone has no chart
    first = decide(record()).groups[0].weighing.first["baseline"].value  # type: ignore[union-attr]
    assert f"{first * 100:.1f}%" in chapter
    assert all("| ε = 7.97" in files[f"card/{name}.md"].decode() for name in ("open-private",))


@pytest.mark.parametrize("task", [Answers, Description, Generation, Ranking])
def test_a_task_is_told_by_its_own_main_metric(task: type) -> None:
    assert MAIN[task.name] == Main(f"quality.{task.main}")  # type: ignore[attr-defined]
