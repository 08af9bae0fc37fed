"""`steelyard compare`: planted changes appear, unchanged runs say so, and nothing that a record holds becomes markup.

To accept changed golden files: `STEELYARD_GOLDEN=write pytest tests/test_comparecommand.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from governance.cli import main
from governance.comparecommand import compare
from governance.conclude import conclude
from governance.evidence.attest import save_attested
from governance.files import write_atomic
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Policy, Terms, Waiver
from governance.record import RunRecord, save_record
from reports import comparison
from reports.differences import certain
from tests.judged import TODAY, control, outcome, policy, waiver
from tests.sample_record import POLICY, golden, record
from tests.test_browser import CONTRAST, OVERFLOWING, opened
from tests.test_html import HOSTILE, Page
from tests.test_policy import record as small
from tests.tworuns import dataset, run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def saved(
    folder: Path, made: RunRecord, rules: Policy = POLICY, waivers: Sequence[Waiver] = (), *, judged: bool = True
) -> Path:
    """A run's directory, with what a judgement leaves beside its renderings, which take long."""
    save_record(made, folder)
    terms = Terms(policy=rules, waivers=tuple(waivers), today=TODAY if waivers else None)
    for name, content in terms.files().items() if judged else ():
        write_atomic(folder / "latest" / name, content)
    if judged:
        write_atomic(folder / "latest" / "verdict.json", terms.judge(made).model_dump_json().encode())
    return folder


def moved(one: Outcome, metric: str, model: str, by: float) -> Outcome:
    """The same figure, its interval moved along."""
    if not isinstance(one, Measurement) or (one.metric, one.model) != (metric, model) or one.slice.pairs:
        return one
    return replace(one, value=one.value + by, low=(one.low or 0) + by, high=(one.high or 0) + by)


def later(before: RunRecord) -> RunRecord:
    """A run with planted changes: quality, data, weights, a library and a seed."""
    outcomes = [moved(one, "quality.balanced_accuracy", "open-private", 0.06) for one in before.outcomes]
    outcomes = [moved(one, "quality.balanced_accuracy.difference", "open-private", 0.06) for one in outcomes]
    models = [
        entry.model_copy(update={"digest": "sha256:" + "9" * 64, "settings": {**entry.settings, "epochs": 77}})
        if entry.name == "open-private"
        else entry
        for entry in before.models
    ]
    lineage = before.lineage.model_copy(update={"seed": 8, "versions": {**before.lineage.versions, "torch": "9.9"}})
    data = before.data.model_copy(update={"rows_read": 30_001, "labels": {**before.data.labels, "1": 20_000}})
    changes = {
        "run": "new",
        "created": "2026-11-25T00:00:00+00:00",
        "outcomes": tuple(outcomes),
        "models": tuple(models),
    }
    return before.model_copy(update={**changes, "lineage": lineage, "data": data})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    before = record().model_copy(update={"files": {}, "run": "old"})
    return saved(folder / "old", before), saved(folder / "new", later(before))


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_markdown_is_as_expected(runs: tuple[Path, Path], language: str) -> None:
    made = comparison.markdown(compare(*runs, language=language)).decode()
    golden(f"comparison-{language}.md", made)
    assert len(made.splitlines()) <= 60


def test_planted_changes_appear_everywhere(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page, text = tmp_path / "c.html", tmp_path / "c.md"
    done = command(*runs, "--out", page, "--markdown", text)
    assert done.exit_code == 0, done.output
    parsed = Page(page.read_text("utf-8"))
    for shown in (parsed.text, text.read_text("utf-8"), done.output):
        assert "The verdict on open-private went from fail to unproven." in shown
        assert "0.780 → 0.840" in shown
        assert "+0.060" in shown
    for shown in (parsed.text, text.read_text("utf-8")):
        for part in ("fail → pass", "30,001", "9.9", "77", "sha256:999999999999…"):
            assert part in shown
    assert "quality.no-loss [open-private, all rows]: fail → pass" in done.output


def test_json_tells_all_of_it(runs: tuple[Path, Path]) -> None:
    told = json.loads(command(*runs, "--json").output)
    assert (told["before"]["status"], told["now"]["status"]) == ("fail", "unproven")
    [turn] = told["controls"]
    assert (turn["control"], turn["before"], turn["now"]) == ("quality.no-loss", "fail", "pass")
    assert [one["metric"] for one in told["certain"]] == ["quality.balanced_accuracy.change"]
    assert {"part": "lineage", "field": "seed", "name": "", "before": 20261122, "now": 7}.keys() == told["settings"][
        0
    ].keys()
    assert ("seed", 8) in {(one["field"], one["now"]) for one in told["settings"]}
    assert {(one["field"], one["name"]) for one in told["data"]} == {("rows_read", ""), ("labels", "1")}


def test_a_run_beside_itself_has_not_changed(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page, text = tmp_path / "c.html", tmp_path / "c.md"
    done = command(runs[0], runs[0], "--out", page, "--markdown", text)
    assert done.exit_code == 0
    for shown in (done.output, text.read_text("utf-8"), Page(page.read_text("utf-8")).text):
        assert "The verdict on open-private is unchanged: fail." in shown
        assert "Nothing is known to have changed" in shown
    assert "<details>" not in text.read_text("utf-8")
    assert compare(runs[0], runs[0]).unchanged


@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"rows_used": 3}, {"note": "x"}, {"created": "2026-11-23T00:00:00+00:00"}]
)
def test_one_small_difference_is_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    before = small(outcome("a", "pass"), models=("m", "n"))
    data = before.data.model_copy(update={k: v for k, v in changes.items() if k == "rows_used"})
    lineage = before.lineage.model_copy(update={k: v for k, v in changes.items() if k == "seed"})
    models = (before.models[0].model_copy(update={k: v for k, v in changes.items() if k == "note"}), *before.models[1:])
    now = before.model_copy(update={"data": data, "lineage": lineage, "models": models, "created": "2026-12-01"})
    rules = policy(control("c", "a"))
    two = compare(saved(tmp_path / "a", before, rules), saved(tmp_path / "b", now, rules))
    assert two.unchanged == ("created" in changes)  # when a run was made is no change


def test_verdicts_are_each_runs_own_and_nothing_is_judged_again(tmp_path: Path) -> None:
    """The earlier run passed by a lax policy; today's default would not pass it."""
    made = small(outcome("a", "fail"), models=("m", "n"))
    lax, strict = policy(control("c", "a", at_least=0.0)), policy(control("c", "a"))
    folders = saved(tmp_path / "a", made, lax), saved(tmp_path / "b", made, strict)
    before = {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")}
    two = compare(*folders)
    assert [str(status) for status in two.verdict] == ["pass", "fail"]
    assert {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")} == before


def test_a_run_that_nobody_judged_is_judged_by_the_default_policy_and_left_alone(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", small(outcome("a", "pass")), judged=False)
    two = compare(folder, folder)
    assert two.now.policy.name == "launch"
    assert sorted(path.name for path in folder.iterdir()) == ["record.json"]


def test_models_that_came_went_and_were_renamed(tmp_path: Path) -> None:
    rules = policy(control("c", "a"))
    before = saved(
        tmp_path / "a", small(outcome("a", "fail"), outcome("a", "pass", model="n"), models=("m", "n")), rules
    )
    renamed = small(outcome("a", "pass", model="k"), outcome("a", "pass", model="o"), models=("k", "o"))
    two = compare(before, saved(tmp_path / "b", renamed.model_copy(update={"candidate": "k"}), rules))
    pairs = [(one.before and one.before.name, one.now and one.now.name) for one in two.models]
    assert pairs == [("m", "k"), (None, "o"), ("n", None)]
    states = [(one.model.name, one.before, one.now) for one in two.turns]
    assert states == [("k", "fail", "pass"), ("o", None, "pass"), ("n", "pass", None)]
    text = Page(comparison.page(two).decode()).text
    assert "then called m" in text and "o is new" in text and "n is gone" in text


def test_waivers_that_change_are_told(tmp_path: Path) -> None:
    made, rules = small(outcome("a", "fail"), models=("m", "n")), policy(control("c", "a"), control("d", "b"))
    first = [waiver("stays", "d", covers="unproven"), waiver("goes", "c")]
    before = saved(tmp_path / "a", made, rules, first)
    two = compare(before, saved(tmp_path / "b", made, rules, [first[0], waiver("comes", "c", expires="2026-12-24")]))
    assert [[use and use.waiver.id for use in pair] for pair in two.waivers] == [[None, "comes"], ["goes", None]]
    text = comparison.markdown(two).decode()
    assert "comes" in text and "until 2026-12-24" in text and "goes" in text and "stays" not in text


def test_figures_are_paired_on_shared_rows_and_drift_is_told(tmp_path: Path) -> None:
    """The later model is right on 160 more of 400 rows; the earlier texts were short."""
    truth = np.tile([0, 1], 200)
    wrong = np.where(np.arange(400) < 160, 1 - truth, truth)
    texts = [f"text {i}" for i in range(400)]
    now = run(
        tmp_path / "b", dataset(truth, texts=[f"{one} {'long ' * 40}" for one in texts]), truth.tolist(), save=True
    )
    then = run(tmp_path / "a", dataset(truth, texts=texts), wrong.tolist(), save=True)
    two = compare(then[1], now[1])
    [accuracy] = [one for one in two.certain if one.metric == "quality.accuracy.change"]
    assert accuracy.method.startswith("paired by row")
    assert accuracy.value == pytest.approx(0.4)
    assert "Are the inputs still what was audited?" in Page(comparison.page(two).decode()).text
    shifts = [line for line in comparison.markdown(two).decode().splitlines() if line.startswith("- Shift of text")]
    assert any("(measure: characters)" in line for line in shifts)


def test_what_could_not_be_compared_says_why(tmp_path: Path) -> None:
    rules = policy(control("c", "a"))
    gone = NotMeasured(metric="b", model="m", reason="9 rows, 10 needed")
    before = saved(tmp_path / "a", small(outcome("a", "pass"), gone, outcome("x", "pass")), rules)
    two = compare(
        before, saved(tmp_path / "b", small(outcome("a", "pass"), outcome("b", "pass")), rules), language="zh"
    )
    text = comparison.markdown(two).decode()
    assert "基线：只有 9 行，需要 10 行" in text and "本次运行没有该指标" in text


def test_another_task_is_refused(tmp_path: Path) -> None:
    truth = np.tile([0, 1], 20)
    one = run(tmp_path / "a", dataset(truth), truth.tolist(), save=True, measured=False)
    other = run(tmp_path / "b", dataset(truth), truth.tolist(), save=True, measured=False, task="regression")
    done = command(one[1], other[1])
    assert done.exit_code == 2
    assert "can't be compared: the baseline has another task: expected 'regression'" in done.output
    assert "Traceback" not in done.output


def test_bad_input_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert "no such run directory" in command(tmp_path / "nowhere", runs[0]).output
    inside = command(*runs, "--out", runs[1] / "out" / "c.html")
    assert inside.exit_code == 2 and "lies inside the run" in inside.output
    made = small(outcome("a", "fail"))
    save_attested(made, tmp_path / "d", None)
    verdict = conclude(made, Terms(policy=policy(control("c", "a"))), tmp_path / "d").out / "verdict.json"
    verdict.write_text(verdict.read_text("utf-8").replace('"fail"', '"pass"'), "utf-8")
    done = command(tmp_path / "d", runs[0])
    assert done.exit_code == 2 and "not as it was attested" in done.output
    stray = saved(tmp_path / "e", small(outcome("a", "pass")), judged=False)
    (stray / "latest").mkdir()
    assert "not a verdict that Steelyard wrote" in command(stray, stray).output


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, True), (-0.1, 0.2, False), (None, -0.1, True), (None, 0.1, False), (0, 1, False)],
)
def test_certain_means_that_the_interval_leaves_out_no_change(
    low: float | None, high: float | None, expected: bool
) -> None:
    shared: dict[str, Any] = {"metric": "a.change", "unit": Unit.SCORE, "method": "t"}
    value = high if low is None else low
    assert certain(Measurement(value=value or 0.0, low=low, high=high, level=0.95, n=9, **shared)) == expected
    assert certain(Fact(value=0.1, **shared)) and not certain(Fact(value=0.0, **shared))


def hostile(text: str) -> RunRecord:
    """A record with a hostile string wherever one fits."""
    good = record().model_copy(update={"files": {}})
    entry = good.models[2].model_copy(
        update={"title": text, "source": text, "note": text, "settings": {text: text}, "licence": text}
    )
    extra = (
        Fact(metric=text, model="open", value=1, unit=Unit.COUNT, method=text),
        NotMeasured(metric=text + "b", model="open", reason=text + "c"),
        Measurement(metric="fairness.x", model="open", value=9, low=8, high=10, level=0.95, n=9, unit=Unit.UNITS,
                    method=text, slice=Slice.of({text: text})),
    )  # fmt: skip
    changes: dict[str, Any] = dict.fromkeys(("title", "question", "audit", "created", "run"), text)
    changes["models"] = (*good.models[:2], entry, good.models[3])
    changes["outcomes"] = (*(one for one in good.outcomes if one.metric.startswith("quality.")), *extra)
    changes["data"] = good.data.model_copy(
        update={"name": text, "labels": {**good.data.labels, text: 1}, "scrubbed": {text: 2}}
    )
    changes["lineage"] = good.lineage.model_copy(update={"versions": {text: text}, "code": text})
    return good.model_copy(update=changes)


@pytest.mark.parametrize("text", [*HOSTILE, pytest.param("x" * 1_000_000, id="long", marks=pytest.mark.slow)])
def test_hostile_strings_stay_text(text: str, runs: tuple[Path, Path], tmp_path: Path) -> None:
    made = hostile(text)
    changed = [
        replace(one, value=3.0) if isinstance(one, Fact) and one.metric == text else one for one in made.outcomes
    ]
    bad = saved(tmp_path / "bad", made)
    worse = saved(tmp_path / "worse", made.model_copy(update={"outcomes": tuple(changed)}))
    plain = Page(comparison.page(compare(*runs)).decode())
    for two in (compare(runs[0], bad), compare(bad, worse)):
        page = comparison.page(two).decode()
        parsed = Page(page)
        assert set(parsed.tags) <= set(plain.tags) | {"bdi"}
        assert parsed.tags.count("script") == 0 and parsed.tags.count("style") == 1
        assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
        assert not set("\u202a\u202e\u2066") & set(page)
        assert len(page) < 800_000
        told = comparison.markdown(two).decode()
        assert len(told) < 60_000 and len(told.splitlines()) <= 62
        rendered = Page(MarkdownIt("commonmark").enable("table").render(told))
        assert not {"script", "svg", "style", "img", "a"} & set(rendered.tags)
        assert not set("\u202a\u202e\u2066\x1b") & set(told + comparison.terminal(two))


def test_the_page_loads_nothing_and_runs_nothing(runs: tuple[Path, Path]) -> None:
    text = comparison.page(compare(*runs)).decode()
    parsed = Page(text)
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(parsed.tags)
    assert parsed.values("src") == []
    assert all(href.startswith("#") or href == "data:," for href in parsed.values("href"))
    assert {href[1:] for href in parsed.values("href") if href.startswith("#")} <= set(parsed.values("id"))
    assert len(parsed.values("id")) == len(set(parsed.values("id")))
    [rule] = [value for value in parsed.values("content") if "default-src" in value]
    assert rule.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;") and "script" not in rule


@pytest.mark.slow
def test_the_page_reads_well_narrow_and_wide(browser: Browser, runs: tuple[Path, Path], tmp_path: Path) -> None:
    for language in ("en", "zh"):
        path = tmp_path / f"{language}.html"
        path.write_bytes(comparison.page(compare(*runs, language=language)))
        for width, theme in ((390, "light"), (1440, "dark")):
            page, heard = opened(browser, path, viewport={"width": width, "height": 900}, color_scheme=theme)
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert heard == []
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(OVERFLOWING) == []
            assert page.evaluate(CONTRAST) == []
            page.context.close()
