from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from typing import get_args

import pytest

from governance.decision import Told
from governance.decision.criteria import WEIGHED, Pinned
from governance.decision.weighing import SCENARIOS
from governance.errors import ConfigError
from governance.measure import Fact, Measurement, Slice, Unit
from governance.policy import Status, WaiverState
from governance.record import PROTOCOLS
from governance.vendorfacts import Facts
from reports.chapter_bill import DRAWN
from reports.chapter_rest import LIMITS
from reports.criteria import EXPLAINED, FIGURES
from reports.differences import paired_fields
from reports.findings import Standing
from reports.text import LANGUAGES, Texts, clean, load

ROOT = Path(__file__).parent.parent / "reports"
CONCLUSIONS = ["pass", "fail", "unproven", "waivers", "nothing", "waived", "shown"]  # what `View.conclusion` may be
# Keys that code puts together: a stem, and everything that may follow it.
COMPOSED = {
    "terminal.": ["report", "cards", "record"],
    "status.": [*(standing.value for standing in Standing), "none"],
    "tally.": [standing.value for standing in Standing],
    "counted.": ["waived", "shown"],
    "verdict.headline.": CONCLUSIONS,
    "verdict.sentence.": CONCLUSIONS,
    "verdict.group.": ["fail", "unproven", "waived", "none"],
    "waiver.": ["name", "owner", "approver", "expires", "signature", "audit", "model", "slice"],
    "waiver.covers.": ["unproven", "fail"],
    "waiver.state.": [state.value for state in WaiverState],
    "waiver.detail.": [state.value for state in WaiverState],
    "waiver.signed.": ["checked", "given", "none"],
    "reason.interval.": [status.value for status in Status],
    "reason.value.": [status.value for status in Status],
    "meaning.means.": ["pass", "fail", "unproven", "scope"],
    "meaning.not.": ["law", "future", "others", "absence"],
    "limits.": list(LIMITS),
    "axis.": [*(unit.value for unit in Unit), "epoch", "step"],
    "claim.style.": ["fixed", "auto-s"],
    "claim.users.": ["record", "user"],
    "month.": [str(month) for month in range(1, 13)],
    "data.rows.": ["read", "empty", "duplicate", "used", "train", "test"],
    "models.": ["model", "kind", "source", "licence", "trained", "rows", "settings", "digest"],
    "fairness.short.": [
        "selection_rate", "true_positive_rate", "false_positive_rate", "precision", "accuracy", "equalized_odds",
    ],
    "changes.": ["figure", "before", "now", "change", "method"],
    "statement.": [f"{kind}.{end}" for kind in ("improved", "worsened", "failed") for end in ("some", "none")],
    "table.": ["metric", "model", "slice", "value", "n", "method", "status", "reason", "control", "bound",
               "class", "word", "clause", "reading", "parameter", "confirmed", "why"],
    "protocol.": [*PROTOCOLS, "unknown"],
    "decision.name.": list(FIGURES),
    "decision.says.": list(EXPLAINED),
    "decision.short.": list(WEIGHED),
    "decision.front.": [told.value for told in Told],
    "decision.card.front.": [told.value for told in Told],
    "decision.pinned.": list(get_args(Pinned)),
    "decision.trained.": ["yes", "no"],
    "decision.scenarios.": ["all", *SCENARIOS],
    "decision.vendor.": [*Facts.model_fields, "fact", "value", "source", "read_on"],
    "bill.": ["title", "lead"],
    "variants.": ["title", "lead"],
    "bill.by.": ["differential-privacy", "scrubbing", "quantised", "distilled"],
    "bill.said.": ["lost", "gained", "open", "gone", "time"],
    "bill.panel.": ["points", "scores"],
    "bill.short.": list(DRAWN),
    **{f"differs.{part}.": fields for part, fields in paired_fields().items()},
    "comparison.headline.": ["same", "turned"],
    "index.latest.": [status.value for status in Status],
    "curve.": [f"{kind}.{part}" for kind in ("reliability", "roc") for part in ("title", "text", "says", "x", "y")],
    "stats.unit.": ["characters", "words"],
    "claim.": [],
    "metric.": [],
    "made.": [],
    "said.": [],
}  # fmt: skip
OPEN = ("claim.", "metric.", "made.", "said.")
"""Families looked up by what a record holds; the test below checks their shape instead."""


def sources() -> str:
    files = [*ROOT.glob("*.py"), *ROOT.glob("templates/*")]
    return "\n".join(file.read_text("utf-8") for file in files)


def literals() -> set[str]:
    """Every string in quotes in code and templates."""
    found = set()
    for file in ROOT.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    for file in ROOT.glob("templates/*"):
        text = file.read_text("utf-8")
        found.update(re.findall(r'"([^"\n]*)"', text), re.findall(r"'([^'\n]*)'", text))
    return found


def called() -> set[str]:
    """Every literal key given to a function that looks strings up."""
    pattern = r'\b(?:t|f|texts|self\.texts|view\.texts|rich|_pairs\(view, facts,)\(?\s*\(?"([a-z_0-9.]+)"'
    return {key for key in re.findall(pattern, sources()) if not key.endswith(".")}


def test_both_languages_have_the_same_keys() -> None:
    english, chinese = (set(load(language)) for language in LANGUAGES)
    said = {key for key in chinese if key.startswith("said.")}
    assert english - chinese == set()
    assert chinese - english - said == set()


def test_both_languages_fill_in_the_same_values() -> None:
    english, chinese = (load(language) for language in LANGUAGES)

    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert [key for key in english if names(english[key]) != names(chinese[key])] == []


def test_no_string_is_missing() -> None:
    keys = set(load("en"))
    composed = {stem + end for stem, ends in COMPOSED.items() for end in ends}
    assert composed - keys == set()
    assert {key for key in called() if key not in keys} == set()


def test_no_string_is_unused() -> None:
    composed = {stem + end for stem, ends in COMPOSED.items() for end in ends}
    used = literals() | composed
    unused = {key for key in load("en") if key not in used and not key.startswith(OPEN)}
    assert unused == set()


def test_every_metric_has_a_title_and_a_meaning() -> None:
    for language in LANGUAGES:
        families = [key for key in load(language) if key.startswith("metric.")]
        stems = {key.rpartition(".")[0] for key in families}
        assert {f"{stem}.{part}" for stem in stems for part in ("title", "says")} == set(families)


def test_no_string_is_longer_than_what_a_page_shows() -> None:
    assert [key for language in LANGUAGES for key, text in load(language).items() if len(text) > 1000] == []


def test_chinese_is_chinese() -> None:
    latin = {"lang", "missing", "interval.span", "small.size", "date"}
    plain = [key for key, text in load("zh").items() if not re.search(r"[\u4e00-\u9fff]", text)]
    allowed = re.compile(
        r"^(list|slice.comma|axis.nats|metric\.quality\.auc\.title|claim\.(epsilon|delta)\.title|table\.n|data\.curve\.panel)"
    )
    assert [key for key in plain if key not in latin and not allowed.match(key) and "{" not in load("zh")[key]] == []


def test_unknown_language_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no language 'zz'\. .*Known: en, zh\."):
        Texts("zz")


@pytest.mark.parametrize(
    ("value", "unit", "metric", "expected"),
    [
        (0.82, Unit.RATE, "quality.accuracy", "82.0%"),
        (0.0, Unit.RATE, "anonymity.unique", "0.0%"),
        (0.0005, Unit.RATE, "anonymity.unique", "0.1%"),
        (7 / 22641, Unit.RATE, "anonymity.unique", "0.03%"),
        (1e-6, Unit.RATE, "anonymity.unique", "0.0001%"),
        (1e-9, Unit.RATE, "anonymity.unique", "<0.0001%"),
        (-0.061, Unit.DIFFERENCE, "quality.accuracy.difference", "−6.1\u00a0pts"),
        (-0.034, Unit.DIFFERENCE, "quality.auc.difference", "−0.034"),
        (0.9132, Unit.SCORE, "quality.auc", "0.913"),
        (0.0121, Unit.SECONDS, "quality.latency_p50", "12.1\u00a0ms"),
        (1.5, Unit.SECONDS, "quality.latency_p50", "1.50\u00a0s"),
        (1e-5, Unit.PROBABILITY, "privacy.delta", "1×10⁻⁵"),
        (0.06, Unit.PROBABILITY, "privacy.delta_times_n", "0.06"),
        (12345.0, Unit.COUNT, "x", "12,345"),
        (-4.856, Unit.WEIGHT, "x", "−4.86"),
        (7.966, Unit.NATS, "privacy.epsilon", "7.97"),
    ],
)
def test_numbers_take_the_shape_of_their_unit(value: float, unit: Unit, metric: str, expected: str) -> None:
    assert Texts("en").number(value, unit, metric) == expected


def test_only_a_difference_from_a_model_carries_a_plus() -> None:
    shared = {"value": 0.05, "low": 0.01, "high": 0.09, "level": 0.95, "n": 9, "unit": Unit.DIFFERENCE, "method": "m"}
    paired = Measurement(metric="quality.accuracy.difference", reference="b", **shared)
    gap = Measurement(metric="fairness.accuracy.difference", **shared)
    assert Texts("en").figure(paired) == "+5.0\u00a0pts (95% interval +1.0\u00a0pts to +9.0\u00a0pts)"
    assert Texts("zh").figure(gap) == "5.0\u00a0个百分点（95% 区间 1.0\u00a0个百分点 至 9.0\u00a0个百分点）"
    assert Texts("en").figure(Fact(metric="x", value=0.5, unit=Unit.SCORE, method="m")) == "0.500"


def test_dates_follow_the_language() -> None:
    moment = "2026-11-22T03:40:00+00:00"
    assert Texts("en").date(moment) == "November 22, 2026, 03:40 UTC"
    assert Texts("zh").date(moment) == "2026年11月22日 03:40 UTC"
    assert Texts("en").date("<b>") == "<b>"


def test_slices_read_as_words() -> None:
    assert Texts("en").slice(Slice.of(age="*", team="*")) == "between all groups of age and team"
    assert Texts("en").slice(Slice.of(age="30-39")) == "age: 30-39"
    assert Texts("zh").slice(Slice()) == "全部行"


def test_known_phrases_of_a_record_are_told_in_chinese() -> None:
    chinese = Texts("zh")
    assert chinese.said("7 rows, 10 needed") == "只有 7 行，需要 10 行"
    assert chinese.said("3 positive rows among 40, 5 needed") == "40 行中只有 3 行正类，需要 5 行"
    assert chinese.said("cluster bootstrap, 2000 draws") == "整群自助法，2000 次抽样"
    assert chinese.said("<b> rows, {0.__class__} needed") == "只有 <b> 行，需要 {0.__class__} 行"
    assert chinese.said("something new") == "something new"
    assert Texts("en").said("7 rows, 10 needed") == "7 rows, 10 needed"


def test_unknown_metric_is_its_own_title() -> None:
    metric = Texts("en").metric("novel.thing.difference")
    assert (metric.title, metric.says) == ("novel.thing: gap", Texts("en")("made.difference.says"))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\u202eb\u200bc", "a[U+202E]b[U+200B]c"),
        ("x\x00y\ud800z", "x[U+0000]y[U+D800]z"),
        ("two\n lines\t", "two lines"),
        ("评论", "评论"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("a" * 400, "a" * 300 + "… (400)"),
    ],
)
def test_hidden_characters_are_spelt_out(raw: str, shown: str) -> None:
    assert clean(raw) == shown
