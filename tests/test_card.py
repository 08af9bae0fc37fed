"""Cards. To accept changed golden files: `STEELYARD_GOLDEN=write pytest tests/test_card.py tests/test_ci.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from governance.measure import Fact, Unit
from governance.policy import judge
from governance.record import RunRecord
from reports import render
from reports.markdown import code, md
from tests.sample_record import MODELS, POLICY, golden, record


def cards(judged: RunRecord, language: str = "en") -> dict[str, str]:
    files = render(judged, judge(judged, POLICY), POLICY, language=language)
    models = {path: data for path, data in files.items() if path.startswith("card/") and path.endswith(".md")}
    return {path: data.decode() for path, data in models.items() if path != "card/data.md"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_card_is_as_expected(language: str) -> None:
    golden(f"card-{language}.md", cards(record(), language)["card/open-private.md"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_hubs_own_loader_reads_every_card(language: str, tmp_path: Path) -> None:
    judged = record()
    for name, text in cards(judged, language).items():
        path = tmp_path / "card.md"
        path.write_text(text, "utf-8")
        data = ModelCard.load(path).data
        model = name.removeprefix("card/").removesuffix(".md")
        assert data.model_name == model and data.license == "apache-2.0"
        results = {result.metric_args["figure"]: result for result in data.eval_results or ()}  # type: ignore[index]
        accuracy = next(o for o in judged.outcomes if (o.metric, o.model) == ("quality.accuracy", model))
        told = results["quality.accuracy"]
        assert (told.metric_type, told.metric_value) == ("accuracy", accuracy.value)  # type: ignore[union-attr]
        assert told.metric_args["low"] == accuracy.low  # type: ignore[union-attr,index]
        assert "95%" in told.metric_name  # type: ignore[operator]


def test_every_card_compares_all_models() -> None:
    for text in cards(record()).values():
        table = text[text.index("## Open against closed") :]
        assert all(f"| {name}" in table for name in MODELS)
        assert "† closed: on loopback; stands in for a vendor's model" in text


def test_privacy_statement_is_the_models_own() -> None:
    found = cards(record())
    assert "| Epsilon<br>" in found["card/open-private.md"]
    assert "open: trained without privacy." in found["card/open.md"]
    assert "closed †: not trained here." in found["card/closed.md"]
    assert "No membership attack was run" in found["card/closed.md"]


def test_words_only_where_measured() -> None:
    found = cards(record())
    assert "disappointed (−4.86)" in found["card/baseline.md"]
    assert "Weightiest words" not in found["card/open.md"]


@pytest.mark.parametrize(
    "hostile",
    ["a|b\n| c |", "`rm`", "<img src=x onerror=1>", "[x](javascript:1)", "---\nlicense: mit\n---", "# h", "$x$"],
)
def test_hostile_text_stays_in_its_cell(hostile: str, tmp_path: Path) -> None:
    good = record()
    outcome = Fact(metric="quality.odd", model="open", value=1, unit=Unit.COUNT, method=hostile)
    entry = good.models[1].model_copy(update={"title": hostile, "licence": hostile, "source": hostile, "note": hostile})
    bad = good.model_copy(
        update={
            "outcomes": (*good.outcomes, outcome),
            "models": (good.models[0], entry, *good.models[2:]),
            "question": hostile,
            "data": good.data.model_copy(update={"name": hostile, "source": hostile}),
        }
    )
    text = cards(bad)["card/open.md"]
    path = tmp_path / "card.md"
    path.write_text(text, "utf-8")
    card = ModelCard.load(path)
    assert card.data.license in {"other", "apache-2.0"} and card.data.model_name == "open"
    body = card.text
    assert "<img" not in body and not re.search(r"(?<!\\)\]\(", body)
    sections = [line for line in body.splitlines() if line.startswith("#")]
    expected = [line for line in cards(good)["card/open.md"].splitlines() if line.startswith("#")]
    assert sections[1:] == expected[1:]
    for block in re.findall(r"(?:^\|.*\n)+", body, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_markdown_escapes() -> None:
    assert md("1. x") == "1\\. x"
    assert md("0.5") == "0.5"
    assert md("- x") == "\\- x"
    assert md("https://e.example @you") == "https&#58;//e.example &#64;you"
    assert code("a`b|c") == "`a'b¦c`"
