"""Topics: which words speak of them, in both languages, and files that are not to be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evaluators.topics import Topics
from governance.configfile import shipped
from governance.errors import ConfigError


def write(folder: Path, language: str = "en", **topics: list[str]) -> Path:
    made = {name: {"title": {"en": name}, "words": words} for name, words in topics.items()}
    path = folder / "topics.yaml"
    path.write_text(yaml.safe_dump({"language": language, "topics": made}, allow_unicode=True))
    return path


def spoken(path: Path, text: str, language: str = "en") -> set[str]:
    topics = Topics.load(str(path), Path(), language)
    return {name for name, found in zip(topics.titles, topics.spoken([text])[0], strict=True) if found}


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("The SIZE is wrong", {"size"}),
        ("oversized, and capsize is another word", set()),
        ("runs-small!", {"size"}),
        ("customer\nservice was kind", {"help"}),
        ("service was kind", set()),
        ("Ｓｉｚｅ, size; Delivery", {"size", "post"}),
        ("sent to [STREET_ADDRESS] and [STREET_ADDRESS_2]", set()),
        ("the street address", {"post"}),
        ("", set()),
        ("🙂 ___ ---", set()),
    ],
)
def test_english_goes_by_whole_words(tmp_path: Path, text: str, topics: set[str]) -> None:
    path = write(tmp_path, size=["size", "runs small"], help=["customer service"], post=["delivery", "street address"])
    assert spoken(path, text) == topics


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("衣服尺码不对", {"size"}),
        ("包装盒很好", {"package"}),
        ("这个包很好", {"bag"}),
        ("性价比高", {"value"}),
        ("价格高", {"price"}),
        ("ＯＫ", {"ok"}),
        ("没有问题", set()),
    ],
)
def test_chinese_goes_by_the_longest_run_of_characters(tmp_path: Path, text: str, topics: set[str]) -> None:
    words = {"size": ["尺码"], "package": ["包装", "包装盒"], "bag": ["包"], "value": ["性价比"], "price": ["价格"]}
    assert spoken(write(tmp_path, "zh", **words, ok=["ok"]), text, "zh") == topics


@given(st.lists(st.sampled_from(["too", "small", "size", "big", "x"]), max_size=12))
def test_a_text_speaks_of_what_a_slow_reader_finds(words: list[str]) -> None:
    phrases = {("too", "small"): 0, ("too",): 1, ("small", "size"): 2, ("size",): 3}
    by_topic = {str(i): [" ".join(phrase) for phrase, topic in phrases.items() if topic == i] for i in range(4)}
    topics = Topics("en", {name: {} for name in by_topic}, by_topic, "")
    found, rest = set(), tuple(words)
    while rest:
        here = max((p for p in phrases if rest[: len(p)] == p), key=len, default=None)
        found |= {phrases[here]} if here else set()
        rest = rest[len(here or "x") :]
    assert set(topics.spoken([" ".join(words)])[0].nonzero()[0].tolist()) == found


@pytest.mark.parametrize("name", shipped("topics"))
def test_shipped_topics_read_and_have_names_in_both_languages(name: str) -> None:
    topics = Topics.load(name.rpartition(".")[0], Path(), name.rpartition(".")[2])
    assert all(set(titles) == {"en", "zh"} for titles in topics.titles.values())
    assert list(topics.titles) == list(Topics.load("reviews", Path(), "en").titles)
    for topic, words in topics.words.items():  # no word is eaten by a longer one of another topic
        place = list(topics.titles).index(topic)
        assert topics.spoken(words)[:, place].all(), topic


GOOD: dict[str, Any] = {"language": "en", "topics": {"size": {"title": {"en": "Size"}, "words": ["size"]}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"language": "zh"}, "language: expected 'en', the audit's, found 'zh'"),
        ({"language": "fr"}, "language: no 'fr'"),
        ({"topics": {}}, "topics: "),
        ({"extra": 1}, "extra: unknown key 'extra'"),
        ({"topics": {"Size!": GOOD["topics"]["size"]}}, "topics.Size!"),
        ({"topics": {"size": {"title": {}, "words": ["size"]}}}, "topics.size.title"),
        ({"topics": {"size": {"title": {"en": "S"}, "words": []}}}, "topics.size.words"),
        ({"topics": {"size": {"title": {"en": "S"}, "words": [True]}}}, r"expected text \(put it in quotes\)"),
        ({"topics": {"size": {"title": {"en": "S"}, "words": "size"}}}, "topics.size.words: expected"),
        ({"topics": {"size": {"title": {"en": "S"}, "words": ["--"]}}}, "'--' holds no letter"),
        ({"topics": {"size": {"title": {"en": "S"}, "words": ["a b", "A-B"]}}}, "'A-B' stands here already"),
        (
            {"topics": {name: {"title": {"en": "S"}, "words": ["size"]} for name in ("a", "b")}},
            "topics.b.words: 'size' stands under 'a' too",
        ),
        ({"topics": {f"t{i}": {"title": {"en": "S"}, "words": [f"w{i}"]} for i in range(51)}}, "topics: "),
        ({"topics": {"size": {"title": {"en": "S"}, "words": ["x" * 61]}}}, "topics.size.words.0"),
    ],
)
def test_a_hostile_file_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({**GOOD, **changes}))
    with pytest.raises(ConfigError, match=message):
        Topics.load("t.yaml", tmp_path, "en")


def test_no_such_file_or_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        Topics.load("none.yaml", tmp_path, "en")
    with pytest.raises(ConfigError, match=r"no 'review.en' in configs/topics. Did you mean 'reviews.en'"):
        Topics.load("review", tmp_path, "en")
