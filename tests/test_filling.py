"""Filled placeholders: of every kind, in both languages, and a function of the scrubbed text alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.backends.messages import Message, messages
from governance.dataset import ScrubbedDataset, ScrubbedText, SyntheticText
from governance.errors import ConfigError, ScrubError
from governance.privacy.entities import ENTITIES
from governance.privacy.filling import check_policy, fill, fill_rows, language_of
from governance.privacy.overlaps import PLACEHOLDER
from governance.privacy.policy import EntityRule, ScrubPolicy, Treatment, load_policy
from governance.privacy.scrubber import Scrubber

HAN = re.compile(r"[\u4e00-\u9fff]")
AROUND = {"en": "I bought {} a nice dress", "zh": "我给{}买了一条很好看的裙子"}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("entity", sorted(ENTITIES))
def test_every_placeholder_that_a_policy_can_write_is_filled(language: str, entity: str) -> None:
    before, after = AROUND[language].split("{}")
    seen = set()
    for shape in ("", "_2", "#" + "abcdefgh" * 2, "~" + "ap" * 40):
        filled = fill(ScrubbedText(f"{before}[{entity}{shape}]{after}"), seed=0)
        assert isinstance(filled, SyntheticText)
        assert filled.text.startswith(before)
        assert filled.text.endswith(after)
        value = filled.text[len(before) : len(filled.text) - len(after)]
        assert value
        assert not PLACEHOLDER.search(value)
        assert entity not in value
        seen.add(value)
        if entity in ("PERSON", "STREET_ADDRESS"):
            assert bool(HAN.search(value)) is (language == "zh")
    assert len(seen) > 1  # not one value for all


@given(st.lists(st.sampled_from(["ok ", "好看 ", "[PERSON]", "[PHONE_NUMBER]", "[", "]", "[SIC]", "[UNREADABLE]"])))
def test_what_stands_around_placeholders_stays(parts: list[str]) -> None:
    text = "".join(parts)
    filled = fill(ScrubbedText(text), seed=3)
    kept = PLACEHOLDER.split(text.replace("[UNREADABLE]", "(UNREADABLE)"))
    assert re.fullmatch(".+?".join(map(re.escape, kept)), filled.text.replace("[UNREADABLE]", "(UNREADABLE)"))
    assert fill(ScrubbedText(text), seed=3) == filled
    assert fill(filled, seed=3) == filled


def test_a_text_without_placeholders_is_itself() -> None:
    text = ScrubbedText("soft [and] warm, 很好 [SIC]")
    assert fill(text, seed=0) is text


def test_a_number_means_one_value_within_a_text_and_a_hash_in_all() -> None:
    def words(text: str) -> list[str]:
        return [word.strip() for word in fill(ScrubbedText(text), seed=0).text.split("|")]

    numbered = words("[PERSON_1]|[PERSON_2]|[PERSON_1]")
    assert numbered[0] == numbered[2] != numbered[1]
    assert words("[PERSON_1]|elsewhere")[0] != numbered[0]
    plain = words("[PERSON]|[PERSON]")
    assert plain[0] != plain[1]
    hashed = "[EMAIL_ADDRESS#abcdefghabcdefgh]"
    assert words(f"{hashed}|a")[0] == words(f"b b|{hashed}")[1]
    assert words(f"{hashed}|a")[0] != words("[EMAIL_ADDRESS#aaaaaaaabbbbbbbb]|a")[0]
    assert fill(ScrubbedText("[PERSON]"), seed=1) != fill(ScrubbedText("[PERSON]"), seed=2)


RAW = {
    "en": ("write to {} or call {}", [("zoltan.q@firm.org", "212-867-5309"), ("me@home.net", "415-555-2671")]),
    "zh": ("请发到{}或者打{}联系我", [("zoltan.q@firm.org", "13912345678"), ("me@home.net", "13700001111")]),
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_raw_values_never_reach_a_filled_text(language: str) -> None:
    """Two raw texts that scrub to one text fill to one text, so whatever differed between them is gone."""
    template, values = RAW[language]
    scrubbed = Scrubber(load_policy("patterns")).scrub_many([template.format(*pair) for pair in values], "train")
    filled = [fill(one.text, seed=0).text for one in scrubbed]
    assert scrubbed[0].text == scrubbed[1].text
    assert filled[0] == filled[1] != scrubbed[0].text.text
    for pair in values:
        assert not any(value in filled[0] for value in pair)


def test_a_model_behind_an_api_is_asked_what_was_filled_in() -> None:
    def gate(text: str, direction: str) -> tuple[str, dict[str, int]]:
        raise ScrubError("this text must not pass here")

    filled = fill(ScrubbedText("for [PERSON]"), seed=0)
    [message] = messages([filled], lambda text: text.within("<", ">"), gate, lambda text: "key")  # type: ignore[arg-type]
    assert isinstance(message, Message)
    assert message.text == f"<{filled.text}>"
    [refused] = messages([ScrubbedText("plain")], lambda text: text, gate, lambda text: "key")  # type: ignore[arg-type]
    assert not isinstance(refused, Message)


def test_rows_keep_all_but_their_texts(tmp_path: Path) -> None:
    rows = ScrubbedDataset(
        np.array([7, 9]), (ScrubbedText("a [PERSON]"), ScrubbedText("b")), ("x", "y"), {"g": ("1", None)},
        np.array([0, 1]), np.array([4, -1]),
    )  # fmt: skip
    filled = fill_rows(rows, seed=0)
    assert filled.texts[1] == rows.texts[1]
    assert filled.texts[0] == fill(rows.texts[0], seed=0)
    for name in ("labels", "groups"):
        assert getattr(filled, name) == getattr(rows, name)
    for name in ("rows", "clusters", "units"):
        assert np.array_equal(getattr(filled, name), getattr(rows, name))


def test_the_language_is_the_texts_own() -> None:
    assert [language_of(text) for text in ("[PERSON]", "很好", "nice 好", "好好 nice", "ok")] == [
        "en",
        "zh",
        "en",
        "zh",
        "en",
    ]


def test_what_leaves_no_placeholder_cant_be_filled() -> None:
    def policy(**rule: object) -> ScrubPolicy:
        return ScrubPolicy(entities={"PERSON": EntityRule(**rule), "URL": EntityRule()})  # type: ignore[arg-type]

    for action in ("mask", "redact"):
        with pytest.raises(ConfigError, match=f"found '{action}' for PERSON: nobody can tell what to fill in"):
            check_policy(policy(action=action), asked=False)
    for fine in ("placeholder", "number", "hash", "encrypt", "surrogate", "keep"):
        check_policy(policy(action=fine), asked=True)
    stricter = policy(prompt=Treatment(threshold=0.1))
    check_policy(stricter, asked=False)
    with pytest.raises(ConfigError, match="treats PERSON in prompts as it does in training rows"):
        check_policy(stricter, asked=True)
    check_policy(policy(output=Treatment(threshold=0.1)), asked=True)
