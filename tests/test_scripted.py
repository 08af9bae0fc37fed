from __future__ import annotations

import pytest

from governance.backends.base import Answer, Backend, Capability
from governance.backends.scripted import ScriptedBackend
from governance.dataset import SyntheticText

TEXTS = [SyntheticText("secret one"), SyntheticText("二")]


def test_it_is_a_backend_that_plays_in_turn_across_calls() -> None:
    failure = Answer(failure="timed out")
    scripted = ScriptedBackend(["a", failure, "b"])
    backend: Backend = scripted
    assert [answer.label for answer in backend.classify(TEXTS)] == ["a", None]
    assert [answer.label for answer in backend.classify(TEXTS)] == ["b", "a"]
    backend.close()
    assert (scripted.closed, len(scripted.asked)) == (1, 4)
    assert backend.capabilities == {Capability.CLASSIFY}


def test_a_rule_sees_the_text_and_faults_are_raised() -> None:
    assert ScriptedBackend(lambda text: "zh" if text == "二" else "en").classify(TEXTS)[1].label == "zh"
    with pytest.raises(MemoryError, match="gone"):
        ScriptedBackend(["a", MemoryError("gone")]).classify(TEXTS)


def test_delays_are_reported_and_no_text_is_shown() -> None:
    backend = ScriptedBackend(["a"], delay=0.001)
    assert backend.classify(TEXTS)[0].seconds == 0.001
    assert "secret" not in repr(backend)


def test_an_empty_script_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        ScriptedBackend([])
