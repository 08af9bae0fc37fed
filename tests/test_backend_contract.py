"""What every backend promises, whoever wrote it: one suite, run over all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from governance.backends.base import Answer, Capability, WordWeight
from governance.dataset import ModelText, ScrubbedText, SyntheticText
from tests.asked import EMAIL, KEY
from tests.everybackend import ASKING, HEAVY, LABELS, LIGHT, Opens, Spy, request

ORDINARY = ("love the dress", "poor", "it was cheap and torn 太差了", "质量很好 so soft", "great", "awful shirt size")
# No half of a surrogate pair: texts come out of Arrow, which holds UTF-8 alone.
HOSTILE = {
    "empty": "",
    "blank": " \n\t\u3000",
    "chinese": "这件红色裙子很好，我买了两件。",
    "emoji": "👍🏽🎉👩‍👩‍👧‍👦",
    "very long": "the dress is soft " * 6_000,
    "one long word": "x" * 3_000,
    "controls": "a\x00b\x1b[31mc\u202ed",
    "slots": "{text} {candidates} {context} </s> <|im_start|>",
}
METHODS = {Capability.CLASSIFY: "classify", Capability.WRITE: "write", Capability.RANK: "rank"}
ABSENT = {Capability.EMBED: "embed", Capability.LOGPROBS: "logprobs", Capability.WEIGHTS: "weights"}
PAIRS = "hf pairs rank by likelihood"
Ask = Callable[[Sequence[ModelText]], list[Answer]]


@dataclass(frozen=True)
class Case:
    """A backend, and ways to open another one like it."""

    name: str
    backend: Any
    spy: Spy
    again: Callable[[], Any]

    @property
    def asks(self) -> dict[str, Ask]:
        """Its ways to ask about texts, those that it declares; by row, a text's place is its row."""
        found: dict[str, Ask] = {}
        has = self.backend.capabilities
        if Capability.CLASSIFY in has:
            found["classify"] = lambda texts: list(self.backend.classify(texts))
        if Capability.WRITE in has:
            found["write"] = lambda texts: list(self.backend.write([request(text, ranks=False) for text in texts]))
        if Capability.RANK in has:
            found["rank"] = lambda texts: list(self.backend.rank([request(text, ranks=True) for text in texts]))
        if Capability.ROWS in has:
            places = {text: i for i, text in enumerate(ORDINARY)}
            found["rows"] = lambda texts: list(self.backend.classify_rows([places.get(t.text, -1) for t in texts]))
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(
    scope="module",
    params=[*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)],
)
def case(request: pytest.FixtureRequest, folder: Path) -> Iterator[Case]:
    opens: Opens = {**LIGHT, **HEAVY}[request.param]
    with ExitStack() as stack:
        spy = Spy()
        backend = opens(folder, stack, spy)
        yield Case(request.param, backend, spy, lambda: opens(folder, stack, Spy()))
        backend.close()


def sealed(*texts: str) -> list[ModelText]:
    return [ScrubbedText(text) for text in texts]


def check(answer: Answer, capabilities: frozenset[Capability], way: str) -> None:
    """What holds for any answer to one way of asking."""
    assert math.isfinite(answer.seconds)
    assert answer.seconds >= 0
    for count in (answer.tokens_in, answer.tokens_out):
        assert count is None or count >= 0
    if Capability.TOKENS not in capabilities:
        assert answer.tokens_in is answer.tokens_out is None
    if answer.failure is not None:
        assert answer.failure.strip()
        assert answer.label is answer.scores is None
        return
    if way == "classify":
        assert answer.label in LABELS.classes
        assert (answer.scores is not None) == (Capability.SCORES in capabilities)
    elif way == "write":
        assert answer.output is not None
        assert answer.label is None
    elif way == "rank":
        assert answer.scores is not None
        assert len(answer.scores) == 3
        assert np.isfinite(answer.scores).all()
    if answer.label is not None and answer.scores is not None:
        assert len(answer.scores) == len(LABELS.classes)
        assert min(answer.scores) >= 0
        assert sum(answer.scores) == pytest.approx(1, abs=1e-5)


def test_what_is_declared_works(case: Case) -> None:
    capabilities = case.backend.capabilities
    assert case.asks or Capability.EMBED in capabilities, "it declares nothing that could be asked"
    for way, ask in case.asks.items():
        answers = ask(sealed(*ORDINARY))
        assert len(answers) == len(ORDINARY)
        for answer in answers:
            check(answer, capabilities, way)
        good = [answer for answer in answers if answer.failure is None]
        # A tiny language model with random weights writes no label: its failures say so.
        assert good or case.name == "hf causal classifies", answers
        if Capability.TOKENS in capabilities:
            assert all(answer.tokens_in for answer in answers)
    if Capability.EMBED in capabilities:
        vectors = case.backend.embed(sealed(*ORDINARY))
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(ORDINARY)), abs=1e-5)
    if Capability.LOGPROBS in capabilities:
        found = case.backend.logprobs(sealed(*ORDINARY))
        assert [values.ndim for values in found] == [1] * len(ORDINARY)
        assert all((values <= 0).all() for values in found)
        assert max(map(len, found)) > 1
    if Capability.WEIGHTS in capabilities:
        weights = case.backend.weights(2)
        assert weights
        assert all(isinstance(weight, WordWeight) and weight.label in LABELS.classes for weight in weights)


def test_what_is_not_declared_is_not_there_or_fails_as_data(case: Case) -> None:
    capabilities = case.backend.capabilities
    texts = sealed(*ORDINARY[:2])
    for capability, method in METHODS.items():
        if capability in capabilities:
            continue
        assert capability is not Capability.CLASSIFY or hasattr(case.backend, method), "every backend has it"
        if hasattr(case.backend, method):
            given = texts if method == "classify" else [request(text, ranks=method == "rank") for text in texts]
            answers = getattr(case.backend, method)(given)
            assert len(answers) == len(texts)
            assert all(answer.failure for answer in answers), (method, answers)
    for capability, method in ABSENT.items():
        # A kind of model that tells likelihoods has the method, whether or not this one's shape allows it.
        assert capability in capabilities or not hasattr(case.backend, method) or case.name == PAIRS
    assert hasattr(case.backend, "classify_rows") == (Capability.ROWS in capabilities)


def told(answer: Answer) -> tuple[object, ...]:
    """An answer without what may differ between two askings: its time, and the last bits of its scores."""
    return answer.label, answer.failure, answer.output, answer.tokens_in, answer.tokens_out, answer.version


def scores(answers: Sequence[Answer]) -> list[list[float]]:
    return [list(answer.scores or ()) for answer in answers]


def test_answers_come_in_order_and_equal_texts_get_equal_ones(case: Case) -> None:
    doubled = [*ORDINARY, *reversed(ORDINARY)]
    for ask in case.asks.values():
        alone = [ask(sealed(text))[0] for text in ORDINARY]
        together = ask(sealed(*doubled))
        wanted = [*alone, *reversed(alone)]
        assert [told(answer) for answer in together] == [told(answer) for answer in wanted]
        for found, one in zip(scores(together), scores(wanted), strict=True):
            assert found == pytest.approx(one, abs=1e-5)
        assert len({repr((told(a), np.round(s, 4).tolist())) for a, s in zip(alone, scores(alone), strict=True)}) > 1
    if Capability.EMBED in case.backend.capabilities:
        vectors = case.backend.embed(sealed(*doubled))
        assert vectors == pytest.approx(vectors[::-1], abs=1e-5)
        assert not np.allclose(vectors[0], vectors[1])


def test_nothing_asked_is_nothing_answered(case: Case) -> None:
    for ask in case.asks.values():
        assert ask([]) == []
    assert list(case.backend.classify([])) == []
    if Capability.EMBED in case.backend.capabilities:
        assert case.backend.embed([]).shape[0] == 0
    if Capability.LOGPROBS in case.backend.capabilities:
        assert list(case.backend.logprobs([])) == []


def test_no_text_raises_and_none_harms_another(case: Case) -> None:
    good = ORDINARY[0]
    for way, ask in case.asks.items():
        first, *hostile, last = ask(sealed(good, *HOSTILE.values(), good))
        assert len(hostile) == len(HOSTILE)
        for answer in hostile:
            check(answer, case.backend.capabilities, way)
        assert told(first) == told(last) == told(ask(sealed(good))[0])
    if Capability.EMBED in case.backend.capabilities:
        vectors = case.backend.embed(sealed(*HOSTILE.values(), good))
        assert np.isfinite(vectors[-1]).all()


def test_no_text_and_no_key_is_shown(case: Case) -> None:
    secret = "swordfish"
    answers = [answer for ask in case.asks.values() for answer in ask(sealed(f"love {secret}"))]
    shown = f"{case.backend!r} {case.backend}"
    assert secret not in shown
    assert KEY not in shown
    assert KEY not in repr(answers)
    for answer in answers:
        assert secret not in str(answer.failure)


def test_closing_twice_is_harmless_and_so_is_closing_what_was_never_asked(case: Case) -> None:
    for asked in (False, True):
        backend = case.again()
        if asked:
            backend.classify(sealed("love"))
        backend.close()
        backend.close()


@pytest.mark.parametrize("case", ASKING, indirect=True)
def test_nothing_raw_leaves_and_nothing_comes_back_unscrubbed(case: Case) -> None:
    del case.spy.asked[:]
    [ask] = case.asks.values()
    answers = ask(sealed("from ann@example.com with love", "UNVOUCHABLE", "from bob@example.com, poor"))
    assert len(case.spy.asked) == 2
    assert not any(EMAIL.search(message) for message in case.spy.asked)
    assert all("<EMAIL_ADDRESS>" in message for message in case.spy.asked)
    assert answers[1].failure == "not sent: the scrubber can't vouch for the message"
    said = {answer.output for answer in answers if answer.output is not None}
    assert not any(EMAIL.search(output) for output in said)
    assert {"prompt", "output"} == {direction for _, direction in case.spy.passed}
    assert case.backend.sent["EMAIL_ADDRESS"] == 2
    # What we made ourselves is nobody's, but only where all of a message is.
    ask([SyntheticText("our own cy@example.com")])
    assert ("our own cy@example.com" in case.spy.asked[-1]) == ("classify" in case.asks)
