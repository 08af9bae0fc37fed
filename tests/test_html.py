from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from governance.conclude import conclude
from governance.errors import ConfigError, RecordError
from governance.measure import Fact, Measurement, NotMeasured, Slice, Unit
from governance.policy import Policy, Status, Terms, judge
from governance.record import RunRecord, save_record
from reports import render
from reports.chapter_rest import VERIFY
from tests.judged import TODAY, waiver
from tests.sample_record import POLICY, record

HOSTILE = (
    "<script>alert(1)</script>",
    "\" onmouseover='alert(1)' x=\"",
    "<svg onload=alert(1)><style>*{display:none}</style>",
    "a\u202egnp.exe\u2066",
    "{{ 7*7 }}{% raw %}",
    "]]></style><!--",
    "ישראל",
)


class Page(HTMLParser):
    """Tags, attributes, headings and ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._hidden += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def page(judged: RunRecord, policy: Policy = POLICY, language: str = "en") -> tuple[str, Page]:
    text = render(judged, judge(judged, policy), policy, language=language)["report.html"].decode()
    return text, Page(text)


@pytest.fixture(scope="module", params=["en", "zh"])
def shown(request: pytest.FixtureRequest) -> Iterator[tuple[str, Page]]:
    yield page(record(), language=request.param)


def test_page_is_self_contained_and_small(shown: tuple[str, Page]) -> None:
    text, parsed = shown
    assert len(text.encode()) < 500_000
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & (set(parsed.tags) - {"link"})
    assert parsed.values("src") == []
    assert all(href.startswith("#") or href == "data:," for href in parsed.values("href"))
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    assert "@import" not in text and "url(http" not in text
    policy = next(value for value in parsed.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script-src" not in policy


def test_verdict_stands_first(shown: tuple[str, Page]) -> None:
    text, _ = shown
    places = [text.index(f'<section id="{name}"') for name in ("verdict", "comparison", "controls", "quality")]
    places += [text.index(f'<section id="{name}"') for name in ("fairness", "privacy", "explanation", "data", "limits")]
    assert places == sorted(places)


def test_headings_descend_without_gaps_and_ids_are_unique(shown: tuple[str, Page]) -> None:
    _, parsed = shown
    levels = [int(tag[1]) for tag in parsed.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in parsed.values("href") if href.startswith("#")} <= set(ids)
    assert set(parsed.values("aria-labelledby")) <= set(ids)


def test_landmarks_and_table_headers(shown: tuple[str, Page]) -> None:
    _, parsed = shown
    assert [parsed.tags.count(tag) for tag in ("main", "header", "nav", "footer", "h1")] == [1, 1, 1, 1, 1]
    assert parsed.tags.count("th") == sum(1 for tag, name, _ in parsed.attributes if (tag, name) == ("th", "scope"))


def test_verdict_in_words_and_counts() -> None:
    text, parsed = page(record())
    assert "open-private should not launch as it is." in parsed.text
    assert re.search(r"10\s+passed.*1\s+failed.*2\s+unproven", parsed.text, re.S)
    assert text.count('<details class="control ') == len(POLICY.controls)
    _, chinese = page(record(), language="zh")
    assert "open-private 目前不应上线。" in chinese.text
    assert "二十条评论中有十九条在半秒内读完。" in chinese.text


def test_stand_in_is_labelled_wherever_a_key_or_table_names_it() -> None:
    _, parsed = page(record())
    assert "† closed: on loopback; stands in for a vendor's model" in parsed.text
    chips = re.findall(r"\bclosed\b(?! [†:])(?!:)", parsed.text.replace("closed †", ""))
    assert set(chips) <= {"closed"} and "closed †" in parsed.text
    assert len(re.findall(r">closed<", page(record())[0])) == 0


def test_claim_stands_beside_the_attack_with_what_it_does_not_cover() -> None:
    _, parsed = page(record())
    privacy = parsed.text[parsed.text.index("The promise, beside what an attack found") :]
    assert "ε = 7.97" in privacy[:3000] and "0.506" in privacy[:3000]
    for line in record().model("open-private").claim.not_covered:  # type: ignore[union-attr]
        assert line in parsed.text
    assert "open: trained without privacy." in parsed.text


def test_private_training_loss_is_not_shown() -> None:
    text, parsed = page(record())
    assert "open: loss" in parsed.text
    assert "open-private: its loss is not shown." in parsed.text
    assert "curve-open-private" not in text


def test_no_outcome_goes_missing() -> None:
    extra = (
        Fact(metric="novel.thing", value=41.5, unit=Unit.SCORE, method="new"),
        NotMeasured(metric="quality.odd", model="open", reason="the odd reason"),
        Measurement(
            metric="fairness.odd", model="open", value=0.25, low=0.2, high=0.3, level=0.95, n=7, unit=Unit.RATE,
            method="m", slice=Slice.of(a="1", b="2", c="3"),
        ),
    )  # fmt: skip
    _, parsed = page(record(extra))
    for part in ("novel.thing", "41.500", "quality.odd", "the odd reason", "fairness.odd", "a: 1, b: 2, c: 3"):
        assert part in parsed.text


def test_intersections_show_size_and_absence() -> None:
    text, parsed = page(record())
    assert re.search(r'class="number tint" style="--v:\d+%"', text)
    assert "9 rows, 10 needed" in parsed.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_strings_stay_text(hostile: str) -> None:
    good = record()
    entry = good.models[2].model_copy(
        update={
            "title": hostile,
            "source": hostile,
            "note": hostile,
            "settings": {hostile: hostile},
            "licence": hostile,
        }
    )
    outcomes = (
        Fact(metric=hostile, model="open", value=1, unit=Unit.COUNT, method=hostile),
        NotMeasured(metric="fairness.accuracy", model="open", reason=hostile, slice=Slice.of({hostile: hostile})),
        Fact(
            metric="explanation.weight", model="baseline", value=1, unit=Unit.WEIGHT, method=hostile,
            slice=Slice.of({"class": hostile, "word": hostile}),
        ),
    )  # fmt: skip
    bad = good.model_copy(
        update={
            "title": hostile,
            "question": hostile,
            "audit": hostile,
            "created": hostile,
            "models": (*good.models[:2], entry, good.models[3]),
            "outcomes": (*good.outcomes, *outcomes),
            "data": good.data.model_copy(update={"name": hostile, "labels": {hostile: 1}, "scrubbed": {hostile: 1}}),
        }
    )
    text, parsed = page(bad)
    _, clean_page = page(good)
    assert set(parsed.tags) <= set(clean_page.tags) | {"bdi"}
    assert parsed.tags.count("script") == 0 and parsed.tags.count("style") == 1
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)
    assert "49{" not in text and "&lt;bdi" not in text


def test_right_to_left_names_are_fenced_off() -> None:
    text, _ = page(record().model_copy(update={"title": "שלום"}))
    assert "<h1><bdi>שלום</bdi></h1>" in text


def test_a_megabyte_is_cut_and_counted() -> None:
    text, parsed = page(record().model_copy(update={"title": "x" * 1_000_000}))
    assert len(text) < 500_000
    assert "… (1,000,000)" in parsed.text


def test_hostile_model_names_make_safe_paths() -> None:
    good = record()
    names = ("../../etc/passwd", "..", "CON/ux\x00", "评论")
    models = tuple(e.model_copy(update={"name": n}) for e, n in zip(good.models, names, strict=True))
    bad = good.model_copy(update={"models": models, "candidate": "..", "incumbent": None, "outcomes": ()})
    files = render(bad, judge(bad, POLICY), POLICY)
    ends = r"(md|html|xml|json|cdx\.json|croissant\.json|sarif)"
    assert all(re.fullmatch(rf"(card/)?[a-z0-9-]+\.{ends}", path) for path in files)
    assert len(files) == 5 + 2 + 2 * len(names)  # the data's card in two forms; a card and a bill of materials each


def test_empty_record_still_reads() -> None:
    bare = record().model_copy(update={"outcomes": (), "incumbent": None})
    _, parsed = page(bare)
    assert "not yet proven fit to launch" in parsed.text
    assert "No sensitive column was named" in parsed.text


def test_same_inputs_same_bytes() -> None:
    judged = record()
    verdict = judge(judged, POLICY)
    assert render(judged, verdict, POLICY) == render(judged, verdict, POLICY)


def test_a_verdict_of_another_record_is_refused() -> None:
    verdict = judge(record(), POLICY)
    with pytest.raises(RecordError, match="on another record"):
        render(record().model_copy(update={"title": "other"}), verdict, POLICY)
    with pytest.raises(RecordError, match="follows policy launch 2026-11"):
        render(record(), verdict, POLICY.model_copy(update={"version": "2027"}))
    with pytest.raises(ConfigError, match="no language 'fr'"):
        render(record(), verdict, POLICY, language="fr")


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_headline(status: Status) -> None:
    keep = {
        Status.PASS: ("coverage", "quality.balanced"),
        Status.FAIL: ("quality.no-loss",),
        Status.UNPROVEN: ("coverage", "quality.auc"),
    }[status]
    policy = POLICY.model_copy(update={"controls": tuple(c for c in POLICY.controls if c.id in keep)})
    _, parsed = page(record(), policy)
    headline = {
        Status.PASS: "open-private meets every blocking control.",
        Status.FAIL: "open-private should not launch as it is.",
        Status.UNPROVEN: "open-private is not yet proven fit to launch.",
    }
    assert [headline[one] in parsed.text for one in Status] == [one is status for one in Status]


def test_what_the_report_tells_an_auditor_to_run_works(tmp_path: Path) -> None:
    judged = record().model_copy(update={"files": {}})
    save_record(judged, tmp_path / "run")
    text, _ = page(judged)
    assert VERIFY in html.unescape(text)
    script = VERIFY.replace("RUN", str(tmp_path / "run"))
    expired = waiver("w", "coverage", expires="2026-10-31")
    only = POLICY.model_copy(update={"controls": tuple(c for c in POLICY.controls if c.id == "coverage")})
    for terms, status in ((Terms(policy=only), "pass"), (Terms(policy=only, waivers=(expired,), today=TODAY), "fail")):
        conclude(judged, terms, tmp_path / "run")
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
        assert done.stdout.split() == [judged.digest(), status]
