"""What drives dissatisfaction, on texts that were made so that the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import binom

from evaluators.base import Setting
from evaluators.drivers import NO_NEGATIVE, Drivers
from evaluators.topics import Topics
from governance.audit import run_audit
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.errors import ConfigError
from governance.measure import Measurement, NotMeasured, Outcome, Slice
from governance.policy import Terms
from governance.record import RunRecord
from reports import html
from reports.text import Texts
from reports.view import View
from tests.outcomes import measured, reason
from tests.test_fairness import subject
from tests.tiny import write_config

BINARY = Labels(("bad", "good"), "good")
STARS = Labels(("1", "2", "3"), None)
SAYS = {"en": {"size": "the size ", "looks": "the colour ", "smell": "its smell "},
        "zh": {"size": "尺码", "looks": "颜色", "smell": "异味"}}  # fmt: skip


def shop(n: int, seed: int = 0, language: str = "en", *, each: int = 1) -> tuple[Setting, list[str]]:
    """Reviews in which `size` makes 30% more of them bad and `colour` none, and a model that hears neither.

    Clusters of `each` rows share a mood, which moves nothing between topics.
    """
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n // each), each)
    size, looks = rng.random(n) < 0.3, rng.random(n) < 0.4
    mood = rng.uniform(-0.15, 0.15, n // each)[clusters] if each > 1 else np.zeros(n)
    bad = rng.random(n) < 0.2 + 0.3 * size + mood
    said = rng.random(n) < 0.29
    words = SAYS[language]
    texts = [
        f"{words['size'] * a}{words['looks'] * b}{i}"
        for i, (a, b) in enumerate(zip(size.tolist(), looks.tolist(), strict=True))
    ]
    rows = ScrubbedDataset(
        rows=np.arange(n),
        texts=tuple(ScrubbedText(text) for text in texts),
        labels=tuple("bad" if one else "good" for one in bad),
        groups={},
        clusters=clusters,
    )
    within = Setting(labels=BINARY, train=rows, test=rows, find_personal=lambda _: [], language=language)
    return within, ["bad" if one else "good" for one in said]


def measure(within: Setting, predicted: Sequence[str | None], **settings: object) -> dict[tuple[str, str], Outcome]:
    outcomes = Drivers(**settings).measure([subject(predicted)], within)  # type: ignore[arg-type]
    found = {(o.metric.removeprefix("drivers."), dict(o.slice).get("topic", "")): o for o in outcomes}
    assert len(found) == len(outcomes)
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_planted_driver_is_found_and_the_other_is_not(language: str) -> None:
    found = measure(*shop(3_000, language=language))
    size, looks = (measured(found["difference", topic]) for topic in ("size", "looks"))
    assert (size.low or 0) > 0.2
    assert (size.high or 0) < 0.4
    assert (looks.low or 0) < 0 < (looks.high or 0)
    assert measured(found["share", "size"]).value == pytest.approx(0.3, abs=0.03)
    assert measured(found["negative_rate", "size"]).value == pytest.approx(0.5, abs=0.05)
    # The model calls rows bad whatever they speak of: it hides what size does.
    assert abs(measured(found["predicted_difference", "size"]).value) < 0.06
    hidden = measured(found["distortion", "size"])
    assert (hidden.high or 0) < -0.15
    told = found["predicted_difference", "size"].value - size.value  # type: ignore[union-attr]
    assert hidden.value == pytest.approx(told)
    widest = measured(found["largest_distortion", ""])
    assert (widest.value, widest.low, widest.high) == pytest.approx((-hidden.value, -hidden.high, -hidden.low))
    assert {o.model for (metric, _), o in found.items() if metric in ("share", "negative_rate", "difference")} == {None}


def test_a_model_that_reads_as_people_do_tells_the_same_story() -> None:
    within, _ = shop(1_000)
    found = measure(within, within.test.labels)
    assert measured(found["distortion", "size"]).value == 0
    assert (found["predicted_difference", "size"].low, found["predicted_difference", "size"].high) == (  # type: ignore[union-attr]
        found["difference", "size"].low,  # type: ignore[union-attr]
        found["difference", "size"].high,  # type: ignore[union-attr]
    )
    assert (measured(found["largest_distortion", ""]).high or 0) > 0  # no error was seen; some may be there


def test_rows_that_failed_are_left_out_of_the_models_story_alone() -> None:
    within, predicted = shop(1_000)
    some = [None if i % 2 else label for i, label in enumerate(predicted)]
    found, half = measure(within, some), measure(within, predicted)
    assert found["difference", "size"] == half["difference", "size"]
    assert measured(found["distortion", "size"]).n == 500
    none = measure(within, [None] * 1_000)
    assert reason(none["distortion", "size"]) == "0 rows, 30 needed"
    assert reason(none["largest_distortion", ""]) == "no topic has 30 rows"


def test_a_topic_of_no_row_has_a_share_and_nothing_else() -> None:
    found = measure(*shop(500))
    smell = measured(found["share", "smell"])
    assert (smell.value, smell.low) == (0, 0)
    assert (smell.high or 0) > 0
    for metric in ("negative_rate", "difference", "predicted_difference", "distortion"):
        assert reason(found[metric, "smell"]) == "0 rows, 30 needed"


def test_a_topic_of_every_row_has_nothing_beside_it() -> None:
    within, predicted = shop(500)
    texts = tuple(ScrubbedText(f"size {text.text}") for text in within.test.texts)
    within = replace(within, test=replace(within.test, texts=texts))
    found = measure(within, predicted)
    assert measured(found["negative_rate", "size"]).n == 500
    assert reason(found["difference", "size"]) == "0 rows that don't speak of it, 30 needed"


@pytest.mark.parametrize("label", ["bad", "good"])
def test_where_all_rows_are_alike_nothing_drives(label: str) -> None:
    within, predicted = shop(500)
    within = replace(within, test=replace(within.test, labels=(label,) * 500))
    found = measure(within, predicted)
    assert measured(found["negative_rate", "size"]).value == (label == "bad")
    assert reason(found["difference", "size"]) == "the 500 rows are all negative, or all not"
    assert isinstance(found["distortion", "size"], Measurement)


def test_of_several_classes_the_config_says_which_are_negative() -> None:
    within, _ = shop(900)
    labels = tuple("1" if label == "bad" else "23"[i % 2] for i, label in enumerate(within.test.labels))
    stars = replace(within, labels=STARS, test=replace(within.test, labels=labels))
    found = measure(stars, labels)
    assert {reason(outcome) for outcome in found.values()} == {NO_NEGATIVE}
    assert {o.model for o in found.values()} == {None, "m"}
    assert measure(stars, labels, negative=("1",))["difference", "size"] == replace(
        measure(within, within.test.labels)["difference", "size"]
    )
    more = measure(stars, labels, negative=("1", "2"))["negative_rate", "looks"]
    assert measured(more).value > 0.4
    for negative, message in (
        (("4",), "negative: no class '4'"),
        (("1", "2", "3"), "expected at least one class that isn't"),
    ):
        with pytest.raises(ConfigError, match=message):
            Drivers(negative=negative).probes(stars)
    with pytest.raises(ValueError, match="expected a list of class names"):
        Drivers(negative="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_rows: expected at least 1, got 0"):
        Drivers(min_rows=0)


def test_an_empty_test_set_is_no_measurement() -> None:
    within, _ = shop(100)
    nothing = within.test.take(np.array([], dtype=np.int64))
    assert {type(o) for o in measure(replace(within, test=nothing), []).values()} == {NotMeasured}


@pytest.mark.slow
@pytest.mark.parametrize("each", [1, 10])
def test_all_topics_are_covered_at_once(each: int) -> None:
    """Truth: 0.3 for size, 0 for colour; and a model whose story is flat, so off by -0.3 and by 0."""
    runs, missed = 200, np.zeros(2, dtype=int)
    evaluator = Drivers(topics=replace(Topics.load("reviews", Path(), "en")))
    for seed in range(runs):
        within, predicted = shop(600, seed, each=each)
        found = {(o.metric, o.slice): o for o in evaluator.measure([subject(predicted)], within)}
        for place, (metric, sign) in enumerate((("drivers.difference", 1), ("drivers.distortion", -1))):
            pairs = [
                (measured(found[metric, Slice.of(topic=name)]), truth)
                for name, truth in (("size", 0.3), ("looks", 0.0))
            ]
            missed[place] += not all((o.low or 0) <= sign * truth <= (o.high or 0) for o, truth in pairs)
    assert all(binom.sf(missed - 1, runs, 0.05) > 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_audit_tells_the_story_in_its_report(tmp_path: Path, language: str) -> None:
    within, _ = shop(400, language=language)
    lines = [
        f"{text.text}，{i}\t{label}\n"
        for i, (text, label) in enumerate(zip(within.test.texts, within.test.labels, strict=True))
    ]
    (tmp_path / "reviews.tsv").write_text("text\tlabel\n" + "".join(lines), encoding="utf-8")
    own = {"language": language, "topics": {
        "fit": {"title": {"en": "Does it fit?", "zh": "合身吗"}, "words": [SAYS[language]["size"].strip()]},
        "looks": {"title": {"en": "<b>Looks"}, "words": [SAYS[language]["looks"].strip()]},
    }}  # fmt: skip
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(own, allow_unicode=True), encoding="utf-8")
    config = write_config(
        tmp_path / "c.yaml",
        language=language,
        data={"path": "reviews.tsv", "positive": "good", "test_share": 0.6},
        evaluators=[{"name": "quality", "draws": 200}, {"name": "drivers", "topics": "ours.yaml"}],
    )
    done = run_audit(config, out=tmp_path / "runs")
    record = done.record
    assert record.names["topic"]["fit"]["zh"] == "合身吗"
    assert record.lineage.parts["evaluator drivers topics"].startswith("sha256:")
    [fit] = [o for o in record.outcomes if o.metric == "drivers.difference" and o.slice == Slice.of(topic="fit")]
    assert (measured(fit).low or 0) > 0
    page = html.render(_view(record, "zh")).decode()
    assert "什么引起不满" in page
    assert "合身吗" in page
    assert "drivers-truth" in page
    assert "<b>Looks" not in page
    assert "&lt;b&gt;Looks" in page
    assert Texts("zh").said(measured(fit).method).startswith("计入比率之间相关性")
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump({**own, "language": "zh" if language == "en" else "en"}))
    with pytest.raises(ConfigError, match=r"c.yaml: evaluators.1: .*ours.yaml: language: expected"):
        run_audit(config, out=tmp_path / "runs")


def _view(record: RunRecord, language: str) -> View:
    terms = Terms.load("launch", None, base=Path())
    return View(record, terms.judge(record), terms.policy, Texts(language))
