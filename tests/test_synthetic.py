"""The made-up data that ship: what their generator makes, and as their README says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from benchmarks import synthetic

LANGUAGES = ["en", "zh"]


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files("configs").joinpath("data", name).read_text("utf-8").splitlines()]


def test_the_files_are_what_the_generator_makes(capsys: pytest.CaptureFixture[str]) -> None:
    synthetic.main(["--check"])
    assert "4 files" in capsys.readouterr().out
    assert sum(map(len, synthetic.files().values())) < 1_500_000


def test_check_names_a_file_that_differs_and_one_that_is_missing(tmp_path: Path) -> None:
    for name, made in synthetic.files().items():
        (tmp_path / name).write_bytes(made)
    assert synthetic.differing(tmp_path) == []
    (tmp_path / "catalogue.en.jsonl").unlink()
    with (tmp_path / "policies.zh.jsonl").open("ab") as file:
        file.write(b"{}\n")
    assert synthetic.differing(tmp_path) == ["policies.zh.jsonl", "catalogue.en.jsonl"]


def test_usage() -> None:
    with pytest.raises(SystemExit, match="usage"):
        synthetic.main(["--chekc"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_policies(language: str) -> None:
    found = rows(f"policies.{language}.jsonl")
    assert len({row["id"] for row in found}) == len(found) == 384
    contexts = {row["policy"]: row["context"] for row in found}
    assert len(set(contexts.values())) == len(contexts) == 48
    for row in found:
        assert row["context"] == contexts[row["policy"]]
        assert all(row["context"].count(answer) == 1 for answer in row["answers"])  # so a span is one place
        assert (
            len(row["answers"])
            == len(row["references"])
            == (row["kind"] == "told")
            == {"no": 1, "yes": 0}[row["refuse"]]
        )
        assert row["note"] == synthetic.NOTE[language]
    lengths = [len(context.split() if language == "en" else context) for context in contexts.values()]
    assert ({"en": 80, "zh": 150}[language] <= min(lengths)) & (max(lengths) <= {"en": 250, "zh": 400}[language])
    kinds = Counter(row["kind"] for row in found)
    assert kinds["told"] / len(found) == 0.75
    assert 15 <= kinds["private"] <= 35
    assert min(Counter(row["segment"] for row in found).values()) > 170


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_question_has_an_answer_in_one_shop_and_none_in_another(language: str) -> None:
    """So nobody does well by the wording of a question alone."""
    answerable: dict[tuple[str, str], set[bool]] = defaultdict(set)
    source = synthetic.yaml.safe_load((synthetic.WORDS / f"policies.{language}.yaml").read_text("utf-8"))
    for row in rows(f"policies.{language}.jsonl"):
        topic = row["policy"].rpartition("-")[0]
        for number, fact in enumerate(source["topics"][topic]["facts"]):
            if any(ask.casefold() in row["question"].casefold() for ask in fact["ask"]):
                answerable[topic, str(number)].add(bool(row["answers"]))
    assert len(source["topics"]) >= 12
    assert sum(both == {True, False} for both in answerable.values()) > len(answerable) / 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_are_worded_in_many_ways(language: str) -> None:
    source = synthetic.yaml.safe_load((synthetic.WORDS / f"policies.{language}.yaml").read_text("utf-8"))
    assert min(len(fact["ask"]) for topic in source["topics"].values() for fact in topic["facts"]) >= 3
    assert len(source["manners"]) >= 6
    assert len({row["question"] for row in rows(f"policies.{language}.jsonl")}) > 300


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue(language: str) -> None:
    found = rows(f"catalogue.{language}.jsonl")
    assert len({row["id"] for row in found}) == len(found) == 200
    assert len({row["description"] for row in found}) == 200
    assert len({row["category"] for row in found}) == 5
    assert len({row["seller"] for row in found}) == 16
    assert min(Counter(row["market"] for row in found).values()) > 80
    for row in found:
        text = row["description"].casefold()
        assert sum(value.casefold() in text for value in row["attributes"].values()) >= 3
        assert len(row["attributes"]) == 5
        assert row["note"] == synthetic.NOTE[language]
