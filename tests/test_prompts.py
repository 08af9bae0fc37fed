from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.backends.prompts import FOLDER, Prompt, normalise
from governance.configfile import shipped
from governance.dataset import Labels, ModelText, ScrubbedText, SyntheticText
from governance.errors import ConfigError
from governance.taskconfig import TASKS

FLAG = Labels(("0", "1"), positive="1")
TOPICS = Labels(("Delivery", "Returns", "C++."), positive=None)


OF_CLASSES = [name for name in shipped(FOLDER) if name.partition(".")[0] not in TASKS]


@pytest.mark.parametrize("name", OF_CLASSES)
def test_every_shipped_prompt_loads_under_its_own_name_and_fits_its_labels(name: str) -> None:
    prompt = Prompt.load(name)
    assert prompt.name == name
    bound = prompt.bind(FLAG)
    for label, accepted in bound.answers.items():
        assert {bound.parse(answer) for answer in accepted} == {label}


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Yes", "1"),
        ("yes.", "1"),
        (' "YES!" \n', "1"),
        ("**Yes**", "1"),
        ("Ｙｅｓ", "1"),
        ("No", "0"),
        ("'no'.", "0"),
        ("Yes and no", None),
        ("Yes, the customer recommends it", None),
        ("Yes?", None),
        ("Yes/No", None),
        ("Not sure", None),
        ("yesno", None),
        ("", None),
        ("...", None),
        ("是", None),
    ],
)
def test_english_answers_are_read_strictly(answer: str, label: str | None) -> None:
    assert Prompt.load("recommend.en.v1").bind(FLAG).parse(answer) == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("是", "1"),
        ("是。", "1"),
        ("“是”", "1"),
        ("推荐！", "1"),
        ("「否」", "0"),
        ("不推荐。", "0"),
        ("是否", None),
        ("是，但是有点贵", None),
        ("不", None),
        ("是？", None),
    ],
)
def test_chinese_answers_are_read_strictly(answer: str, label: str | None) -> None:
    assert Prompt.load("recommend.zh.v1").bind(FLAG).parse(answer) == label


def test_classes_are_matched_by_name_or_by_the_positive_one() -> None:
    prompt = Prompt.load("recommend.en.v1")
    assert prompt.bind(Labels(("yes", "no"), positive="no")).parse("Yes") == "yes"
    assert prompt.bind(Labels(("good", "bad"), positive="good")).parse("No") == "bad"
    with pytest.raises(ConfigError, match=r"recommend\.en\.v1.*yes, no.*labels are a, b, c.*classify\.en\.v1"):
        prompt.bind(Labels(("a", "b", "c"), positive=None))
    with pytest.raises(ConfigError, match="labels are a, b:"):
        prompt.bind(Labels(("a", "b"), positive=None))


def test_labels_are_listed_and_are_their_own_answers() -> None:
    bound = Prompt.load("classify.en.v1").bind(TOPICS)
    assert "Delivery, Returns, C++.?" in bound.fill(SyntheticText("x")).text
    assert (bound.parse("returns."), bound.parse("c++"), bound.parse("Delivery, Returns")) == ("Returns", "C++.", None)
    assert "Delivery、Returns" in Prompt.load("classify.zh.v1").bind(TOPICS).fill(SyntheticText("x")).text
    with pytest.raises(ConfigError, match=r"classify\.en\.v1.*share an accepted answer"):
        Prompt.load("classify.en.v1").bind(Labels(("Yes", "yes."), positive=None))


@given(text=st.text() | st.sampled_from(["{text}", "{labels}", "{text.__class__}", "{0}", "%s", "$text", "\\1", "{{"]))
@pytest.mark.parametrize("seal", [ScrubbedText, SyntheticText])
def test_a_hostile_text_only_ever_lands_in_its_slot_and_keeps_its_seal(
    seal: type[ScrubbedText] | type[SyntheticText], text: str
) -> None:
    bound = Prompt.load("classify.en.v1").bind(Labels(("{text}", "b"), positive=None))
    sealed: ModelText = seal(text)
    filled = bound.fill(sealed)
    assert type(filled) is seal
    assert filled.text == (
        f"Text: {text}\n\nWhich of these categories fits the text best: {{text}}, b? "
        "Answer with one of them, word for word."
    )


@given(st.text())
def test_normalising_twice_changes_nothing(answer: str) -> None:
    once = normalise(answer)
    assert normalise(once) == once or once.casefold() != once  # a few letters have no stable case


def test_the_digest_changes_with_any_word_and_with_the_labels() -> None:
    prompt = Prompt.load("recommend.en.v1")
    digests = {
        prompt.bind(FLAG).digest(),
        prompt.bind(Labels(("1", "0"), positive="0")).digest(),
        prompt.model_copy(update={"system": prompt.system + " "}).bind(FLAG).digest(),
        prompt.model_copy(update={"user": prompt.user + " "}).bind(FLAG).digest(),
        Prompt.load("recommend.zh.v1").bind(FLAG).digest(),
    }
    assert len(digests) == 5
    assert prompt.bind(FLAG).digest() == Prompt.load("recommend.en.v1").bind(FLAG).digest()
    assert prompt.bind(FLAG).digest().startswith("sha256:")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("user: no slot", r"expected exactly one \{text\}, found 0"),
        ("user: '{text} {text}'", r"expected exactly one \{text\}, found 2"),
        ("user: '{text} {labels} {labels}'", r"at most one \{labels\}"),
        ("system: 'about {labels}'", "system: expected no slots"),
        ("answers: {}", "expected accepted answers"),
        ("answers: {a: [], b: [b]}", "answers.a: expected at least one"),
        ("answers: {a: ['.'], b: [b]}", "answers.a: an accepted answer is empty"),
        ("answers: {a: ['Yes'], b: ['yes.']}", "share an accepted answer"),
        ("positive: c", "positive: expected a label of answers"),
        ("language: fr", "language"),
        ("sistem: x", "sistem: unknown key 'sistem'. Did you mean 'system'"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(tmp_path: Path, change: str, message: str) -> None:
    key = change.partition(":")[0]
    whole = {"task": "t", "language": "en", "version": "1", "system": "s", "user": "'{text}'", "answers": "{a: [a]}"}
    lines = [f"{name}: {value}" for name, value in whole.items() if name != key]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join([*lines, change]), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        Prompt.load(str(path))
    assert str(path) in str(caught.value)


def test_a_misspelt_prompt_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'recommend\.en\.v1'"):
        Prompt.load("recomend.en.v1")
