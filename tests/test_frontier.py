"""The price of fairness as a reader sees it: both gaps beside accuracy, and in words what got worse."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from governance.measure import ANY, EVERYONE, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import judge
from governance.record import ModelEntry, RunRecord
from reports import render
from reports.blocks import Block, Shelf
from reports.chapter_fairness import chapter
from reports.charts import COLOURS, Spot, scatter
from reports.frontier import frontier
from reports.text import Texts
from reports.view import View
from tests.sample_record import AGES, POLICY, record
from tests.test_browser import CONTRAST, OVERFLOWING, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVERY = Slice.of(age_band=ANY)
ELSEWHERE = Slice.of({"Department Name": ANY})
RUDE = '"><script>alert(1)</script>\u202e'


def figure(metric: str, model: str, value: float, half: float, where: Slice, reference: str | None) -> Measurement:
    unit = Unit.RATE if metric == "accuracy" and reference is None else Unit.DIFFERENCE
    name = f"mitigation.{metric}{'.difference' if reference else ''}"
    return Measurement(
        metric=name, model=model, reference=reference, value=value, low=value - half, high=value + half, level=0.95,
        n=2000, unit=unit, method="simultaneous over groups; paired cluster bootstrap, 2000 draws", slice=where,
    )  # fmt: skip


def levels(model: str, accuracy: float, parity: float, odds: float) -> Iterator[Outcome]:
    yield figure("accuracy", model, accuracy, 0.01, EVERYONE, None)
    for where in (EVERY, ELSEWHERE):
        yield figure("demographic_parity", model, parity, 0.02, where, None)
        yield figure("equalized_odds", model, odds, 0.03, where, None)


def changes(model: str) -> Iterator[Outcome]:
    """Less accurate, parity better, odds worse; one group is served less, one better, the others can't be told."""
    yield figure("accuracy", model, -0.02, 0.01, EVERYONE, "baseline")
    yield figure("balanced_accuracy", model, 0.001, 0.01, EVERYONE, "baseline")
    yield figure("demographic_parity", model, -0.05, 0.02, EVERY, "baseline")
    yield figure("equalized_odds", model, 0.06, 0.02, EVERY, "baseline")
    yield figure("demographic_parity", model, 0.0, 0.02, ELSEWHERE, "baseline")
    yield NotMeasured(
        metric="mitigation.equalized_odds.difference", model=model, reference="baseline", slice=ELSEWHERE,
        reason="1 of 6 groups large enough, 2 needed",
    )  # fmt: skip
    for place, age in enumerate([*AGES, RUDE]):
        where, shift = Slice.of(age_band=age), {0: -0.04, 1: 0.03}.get(place, 0.0)
        for metric in ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate"):
            yield figure(metric, model, 0.0 if metric == "accuracy" else shift, 0.02, where, "baseline")


def fair(name: str, **settings: Any) -> ModelEntry:
    needs = settings.get("method") == "threshold-optimizer"
    return ModelEntry(
        name=name, kind="mitigated", of="baseline", title="thresholds by group on top of baseline", trained=True,
        source="made by this audit from baseline", trained_on=6000, weighed_on=2000,
        capabilities=("classify", "scores"),
        note="uses age_band at decision time" if needs else None, settings={"group": "age_band", **settings},
    )  # fmt: skip


def fair_record(*extra: Outcome) -> RunRecord:
    plain = record()
    models = (
        *plain.models,
        fair("baseline-odds", method="threshold-optimizer", rows_without_a_rule=7),
        fair(RUDE, method="exponentiated-gradient"),
        fair("unweighed", method="reweighing"),
    )
    outcomes = [*levels("baseline", 0.886, 0.05, 0.08), *levels("baseline-odds", 0.866, 0.02, 0.14)]
    outcomes += [*levels(RUDE, 0.87, 0.04, 0.1), *changes("baseline-odds"), *changes(RUDE)]
    for metric, where in (("accuracy", EVERYONE), ("demographic_parity", EVERY), ("equalized_odds", EVERY)):
        reason = "no held-out row was answered"
        outcomes.append(NotMeasured(metric=f"mitigation.{metric}", model="unweighed", slice=where, reason=reason))
    return plain.model_copy(update={"models": models, "outcomes": (*plain.outcomes, *outcomes, *extra)})


def view_of(judged: RunRecord, language: str = "en") -> View:
    return View(judged, judge(judged, POLICY), POLICY, Texts(language))


def block(blocks: list[Block], title: str) -> Block:
    [found] = [one for one in blocks if one.title == title]
    return found


def test_every_figure_is_shown_and_none_is_left_for_another_chapter() -> None:
    shelf = Shelf(view_of(fair_record()))
    titles = [one.title for one in chapter(shelf).blocks]
    assert "What a fairer baseline costs: age_band" in titles
    assert shelf.rest(lambda metric: metric.startswith("mitigation.")) == []
    assert Texts("en")("frontier.more") not in titles
    assert frontier(Shelf(view_of(record()))) == []


def test_both_gaps_stand_beside_accuracy_with_a_table_behind() -> None:
    blocks = frontier(Shelf(view_of(fair_record())))
    head = blocks[0]
    assert [panel.title for panel in head.panels] == [
        "Accuracy against demographic parity",
        "Accuracy against equalised odds",
    ]
    assert all("Not shown, since it could not be measured: unweighed." in panel.says for panel in head.panels)
    assert [model.name for model in head.key] == ["baseline", "baseline-odds", RUDE, "unweighed"]
    first = head.tables[0]
    assert [cell.text for cell in first.rows[0]][:4] == ["baseline", "88.6%", "5.0\u00a0pts", "8.0\u00a0pts"]
    assert first.rows[0][4].text == "is the reference"
    assert first.rows[1][4].text == "−2.0\u00a0pts"
    assert first.head[6].text == "Demographic parity gap: change from baseline"
    assert len(head.tables) == 1 + 4 + 1
    said = " ".join(head.text)
    assert "Decided by age_band: baseline-odds †." in said
    assert "baseline-odds †: 7 held-out rows are of no group that has a rule" in said


def test_words_say_what_got_worse_better_and_what_can_not_be_told() -> None:
    blocks = frontier(Shelf(view_of(fair_record())))
    worse, better = (
        block(blocks, "What got worse than with baseline"),
        block(blocks, "What got better than with baseline"),
    )
    assert worse.text == [
        "Changes whose whole 95% interval lies on the bad side. "
        "The intervals of one figure hold for all its groups at once."
    ]
    assert worse.items[0] == (
        "baseline-odds †: Accuracy: all rows by −2.0\u00a0pts (−3.0\u00a0pts to −1.0\u00a0pts); "
        "Equalised odds gap: age_band by +6.0\u00a0pts (+4.0\u00a0pts to +8.0\u00a0pts); "
        "Share of positives found: 18-29 by −4.0\u00a0pts (−6.0\u00a0pts to −2.0\u00a0pts); "
        "Share of false alarms: 30-39 by +3.0\u00a0pts (+1.0\u00a0pts to +5.0\u00a0pts)"
    )
    assert better.items[0] == (
        "baseline-odds †: Demographic parity gap: age_band by −5.0\u00a0pts (−7.0\u00a0pts to −3.0\u00a0pts); "
        "Share of positives found: 30-39 by +3.0\u00a0pts (+1.0\u00a0pts to +5.0\u00a0pts); "
        "Share of false alarms: 18-29 by −4.0\u00a0pts (−6.0\u00a0pts to −2.0\u00a0pts)"
    )
    moved = block(blocks, "Who is marked positive more, or less").items
    assert moved[0].startswith("baseline-odds †: Share marked positive: 18-29 by −4.0\u00a0pts (−6.0")
    unknown = block(blocks, "What these rows can't tell").items[0]
    assert unknown.startswith("baseline-odds †: Accuracy: every group; Balanced accuracy: all rows; ")
    assert "Equalised odds gap: Department Name (1 of 6 groups large enough, 2 needed)" in unknown
    assert "Demographic parity gap: Department Name;" in unknown
    assert len(worse.items) == len(better.items) == 2


def test_an_interval_that_ends_at_zero_tells_nothing() -> None:
    shared: dict[str, Any] = {"model": "unweighed", "reference": "baseline", "level": 0.95, "n": 9, "method": "m"}
    edge = Measurement(
        metric="mitigation.accuracy.difference", value=-0.01, low=-0.02, high=0.0, unit=Unit.DIFFERENCE, **shared
    )
    blocks = frontier(Shelf(view_of(fair_record(edge))))
    assert not any(item.startswith("unweighed") for item in block(blocks, "What got worse than with baseline").items)
    assert "unweighed: Accuracy: all rows" in block(blocks, "What these rows can't tell").items


def test_nothing_worse_is_said_with_its_limits() -> None:
    plain = record()
    models = (*plain.models, fair("reweighed", method="reweighing"))
    same = figure("accuracy", "reweighed", 0.0, 0.01, EVERYONE, "baseline")
    judged = plain.model_copy(update={"models": models, "outcomes": (*plain.outcomes, same)})
    blocks = frontier(Shelf(view_of(judged)))
    assert block(blocks, "What got worse than with baseline").text == [
        "Nothing that these rows can tell. That is no proof that nothing did."
    ]
    assert blocks[0].panels == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_hostile_names_stay_text(language: str) -> None:
    judged = fair_record()
    page = render(judged, judge(judged, POLICY), POLICY, language=language)["report.html"].decode()
    assert "<script" not in page
    assert "alert(1)" in page
    assert "\u202e" not in page
    if language == "zh":
        assert "让 baseline 更公平的代价：age_band" in page
        assert "判定时使用 age_band" in page
        assert "simultaneous over groups" not in page


def test_a_mitigated_models_card_tells_its_price_and_others_do_not() -> None:
    judged = fair_record()
    files = render(judged, judge(judged, POLICY), POLICY, language="en")
    cards = {name: text.decode() for name, text in files.items() if name.startswith("card/")}
    assert "## What it cost to be fairer" in cards["card/baseline-odds.md"]
    assert "Demographic parity gap: change from baseline" in cards["card/baseline-odds.md"]
    assert "What it cost" not in cards["card/open.md"]


# -- the chart -----------------------------------------------------------------------------------

SPOTS = [Spot(0, (5.0, 3.0, 7.0), (88.0, 87.0, 89.0)), Spot(1, (2.0, 0.0, 6.0), (86.0, 84.0, 88.0))]


def lines(svg: str, colour: str) -> list[tuple[float, float]]:
    """Extent across and down of every line of a colour."""
    found = []
    for line in ET.fromstring(svg).iter("line"):  # noqa: S314 - our own output
        if line.get("stroke") == colour:
            found.append(tuple(abs(float(line.get(f"{a}2", "0")) - float(line.get(f"{a}1", "0"))) for a in "xy"))
    return found  # type: ignore[return-value]


def test_a_spot_has_a_bar_in_each_direction_as_long_as_its_interval() -> None:
    svg = scatter(SPOTS, name="s", title="t", x="gap", y="accuracy")
    first, second = lines(svg, COLOURS[0]), lines(svg, COLOURS[1])
    assert [[round(extent) > 0 for extent in line] for line in first] == [[True, False], [False, True]]
    assert second[0][0] / first[0][0] == pytest.approx(6 / 4, rel=0.02)
    assert second[1][1] / first[1][1] == pytest.approx(4 / 2, rel=0.02)
    assert {"gap", "accuracy"} <= {text.text for text in ET.fromstring(svg).iter("text")}  # noqa: S314


def test_an_unbounded_end_reaches_the_edge() -> None:
    bounded, unbounded = (
        scatter([*SPOTS, Spot(2, (4.0, low, 5.0), (87.0, 86.5, high))], name="s", title="t", x="x", y="y")
        for low, high in ((3.5, 87.5), (None, None))
    )
    for place, axis in ((0, 0), (1, 1)):
        assert lines(unbounded, COLOURS[2])[place][axis] > 1.5 * lines(bounded, COLOURS[2])[place][axis]


def test_one_spot_without_spread_still_draws_and_text_is_no_markup() -> None:
    svg = scatter([Spot(0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))], name="s", title=RUDE, x=RUDE, y=RUDE)
    assert {element.tag for element in ET.fromstring(svg).iter()} <= {"svg", "title", "g", "path", "line", "text"}  # noqa: S314
    assert svg == scatter([Spot(0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))], name="s", title=RUDE, x=RUDE, y=RUDE)


# -- the page in a browser -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_fits(browser: Browser, tmp_path: Path, language: str, width: int) -> None:
    judged = fair_record()
    path = tmp_path / "page.html"
    path.write_bytes(render(judged, judge(judged, POLICY), POLICY, language=language)["report.html"])
    theme = "dark" if width == 390 else "light"
    page, heard = opened(browser, path, viewport={"width": width, "height": 900}, color_scheme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(CONTRAST) == []
    # No label of a scatter is cut off by its drawing's edge.
    cut = """() => [...document.querySelectorAll('svg[aria-labelledby^="frontier"] text')].filter(t => {
      const own = t.getBoundingClientRect(), all = t.ownerSVGElement.getBoundingClientRect();
      return own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1
        || own.bottom > all.bottom + 1;
    }).map(t => t.textContent)"""
    assert page.evaluate(cut) == []
    assert page.locator('svg[aria-labelledby^="frontier"]').count() == 2
