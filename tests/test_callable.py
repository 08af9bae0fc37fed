"""A Python function as a model: run only if the config vouches for it, and believed in nothing."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.base import HELD_OUT
from governance import run_audit
from governance.answers import load_answers
from governance.backends.base import Answer, Capability
from governance.backends.callable import CallableBackend, load_function, source_of, type_name
from governance.dataset import Labels, SyntheticText
from governance.errors import ConfigError
from governance.files import digest_file
from governance.measure import Measurement, NotMeasured
from governance.prepare import prepare
from governance.record import RunRecord
from tests.tiny import write_config, write_reviews

LABELS = Labels(("no", "yes"), "yes")


def ask(function: Callable[[list[str]], Any], n: int = 3, *, batch: int = 2, scores: bool = False) -> list[Answer]:
    backend = CallableBackend(function, LABELS, batch=batch, scores=scores)
    return list(backend.classify([SyntheticText(f"text {i}") for i in range(n)]))


def failures(answers: list[Answer]) -> list[str | None]:
    return [answer.failure for answer in answers]


def raises(error: BaseException) -> Callable[[list[str]], Any]:
    def function(_texts: list[str]) -> Any:
        raise error

    return function


def test_labels_come_in_order_a_batch_at_a_time() -> None:
    seen: list[list[str]] = []

    def function(texts: list[str]) -> list[str]:
        seen.append(list(texts))
        said = ["yes" if text.endswith("1") else "no" for text in texts]
        texts.clear()  # its own list
        return said

    assert [answer.label for answer in ask(function)] == ["no", "yes", "no"]
    assert seen == [["text 0", "text 1"], ["text 2"]]


def test_probabilities_are_scores_in_the_order_of_classes() -> None:
    answers = ask(
        lambda texts: [{"yes": 0.75, "no": np.float64(0.25)}, {"no": 1.0}, {"yes": 0.5, "no": 0.5}],
        batch=3,
        scores=True,
    )
    assert [(answer.label, answer.scores) for answer in answers] == [
        ("yes", (0.25, 0.75)),
        ("no", (1.0, 0.0)),
        ("no", (0.5, 0.5)),  # the first of equals
    ]


def test_an_error_fails_its_batch_by_type_alone() -> None:
    def function(texts: list[str]) -> list[str]:
        if "text 2" in texts:
            raise ValueError(f"can't read {texts}")
        return ["yes"] * len(texts)

    answers = ask(function)
    assert failures(answers) == [None, None, "the function raised ValueError"]
    named = type("Ann Smith, 212-555-0187", (Exception,), {})
    assert failures(ask(raises(named()), 1)) == ["the function raised an error"]
    assert failures(ask(raises(SystemExit(3)), 1)) == ["the function raised SystemExit"]
    with pytest.raises(KeyboardInterrupt):  # the user's, who wants to stop
        ask(raises(KeyboardInterrupt()))


def test_an_error_while_it_answers_is_one_too() -> None:
    def function(texts: list[str]) -> Iterator[str]:
        yield "yes"
        raise LookupError(texts[0])

    assert failures(ask(function, 2)) == ["the function raised LookupError"] * 2


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (["yes"], "the function returned fewer answers than texts"),
        (["yes"] * 3, "the function returned more answers than texts"),
        (itertools.repeat("yes"), "the function returned more answers than texts"),
        ("no", "the function returned no list"),
        ({"yes": 1.0, "no": 0.0}, "the function returned no list"),
        (None, "the function returned no list"),
        (["text 0", "text 1"], "the function's answer is none of the classes"),
        ([None, None], "the function's answer is no label"),
        ([True, 0.5], "the function's answer is no label"),
        ([{"yes": 1.0}, ["yes"]], "the function's answer is no label"),
    ],
)
def test_what_is_no_list_of_labels(said: Any, failure: str) -> None:
    assert failures(ask(lambda _: said, 2)) == [failure] * 2


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("yes", "is no {label: probability}"),
        ({"yes": 0.6, "no": 0.3}, "don't sum to 1"),
        ({"yes": 1.5, "no": -0.5}, "don't sum to 1"),
        ({"yes": float("nan"), "no": 0.5}, "don't sum to 1"),
        ({"yes": "1", "no": 0}, "don't sum to 1"),
        ({"yes": 10**400}, "don't sum to 1"),
        ({}, "don't sum to 1"),
        ({"yes": 0.5, "no": 0.3, "other": 0.2}, "are not of the classes"),
        ({"yes": 0.5, " yes": 0.5}, "are not of the classes"),
        ({None: 1.0}, "are not of the classes"),
    ],
)
def test_what_is_no_probability_per_class(said: Any, failure: str) -> None:
    [answer] = ask(lambda _: [said], 1, scores=True)
    assert answer.failure is not None
    assert answer.failure.endswith(failure)


def test_numbers_are_labels_as_the_data_has_them() -> None:
    backend = CallableBackend(lambda _: [1, np.int64(0), "1"], Labels(("0", "1"), "1"), batch=9, scores=False)
    assert [answer.label for answer in backend.classify([SyntheticText("t")] * 3)] == ["1", "0", "1"]
    assert backend.capabilities == {Capability.CLASSIFY}


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from(["yes", "no"])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["yes", "no", "x"]), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(said=values, scores=st.booleans())
def test_whatever_it_returns_every_text_gets_an_answer(said: Any, scores: bool) -> None:
    answers = ask(lambda _: said, 2, scores=scores)
    assert len(answers) == 2
    for answer in answers:
        assert answer.label in (None, "no", "yes")
        assert (answer.scores is not None) == (scores and answer.label is not None)


# -- the module --------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module where Python finds it; its name."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def write(source: str) -> str:
        names.append(f"shopmodel{len(names)}_{tmp_path.name}")
        (tmp_path / f"{names[-1]}.py").write_text(source, encoding="utf-8")
        return names[-1]

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_finding_a_module_does_not_run_it(module: Callable[[str], str], tmp_path: Path) -> None:
    name = module("raise RuntimeError('ran')\n")
    assert source_of(f"{name}:f") == tmp_path / f"{name}.py"
    with pytest.raises(ConfigError, match=f"importing module '{name}' raised RuntimeError$"):
        load_function(f"{name}:f")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("no_such_module_here:f", "no module 'no_such_module_here'; install it"),
        ("no_such_package.inner:f", "no module 'no_such_package.inner'; install it"),
        ("sys:exit", "module 'sys': expected a source file"),
    ],
)
def test_a_module_that_cannot_be_used(function: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_of(function)


def test_a_function_that_cannot_be_used(module: Callable[[str], str]) -> None:
    name = module("value = 3\nasync def later(texts): return texts\n")
    with pytest.raises(ConfigError, match=f"module '{name}' has no function 'value'"):
        load_function(f"{name}:value")
    with pytest.raises(ConfigError, match="expected a plain function, 'later' is async"):
        load_function(f"{name}:later")


def test_only_names_that_read_like_code_are_repeated() -> None:
    assert type_name(type("x" * 41, (Exception,), {})()) == "an error"
    assert type_name(UnicodeError()) == "UnicodeError"


# -- the audit ---------------------------------------------------------------------------------


def config_of(folder: Path, function: str, **changes: Any) -> Path:
    models = {"tfidf": {"kind": "tfidf-logistic"}, "code": {"kind": "callable", "function": function, **changes}}
    evaluators = [{"name": "quality", "draws": 200}, "membership", "explanation", "personal-data"]
    return write_config(folder / "c.yaml", models=models, candidate="code", incumbent="tfidf", evaluators=evaluators)


def outcome(record: RunRecord, metric: str) -> Any:
    [found] = [o for o in record.outcomes if (o.metric, o.model) == (metric, "code") and not o.slice.pairs]
    return found


@pytest.mark.parametrize("changes", [{}, {"code": False}, {"code": "true"}, {"code": 1}])
def test_no_code_is_run_that_the_config_does_not_vouch_for(
    tmp_path: Path, module: Callable[[str], str], changes: Mapping[str, Any]
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    name = module("raise RuntimeError('ran')\n")
    with pytest.raises(ConfigError, match=r"models.code.*code: expected true|models.code.*code.*bool"):
        prepare(str(config_of(tmp_path, f"{name}:f", **changes)))


@pytest.mark.parametrize("function", ["m", "m:f()", "../m:f", "m:f.g", "m f:g", ":f"])
def test_a_name_that_is_none(tmp_path: Path, function: str) -> None:
    with pytest.raises(ConfigError, match=r"models\.code"):
        prepare(str(config_of(tmp_path, function, code=True)))


FUNCTION = """
SEEN = []
def classify(texts):
    SEEN.extend(texts)
    if any("torn" in text for text in texts):
        raise ValueError(texts[0])
    good = ("love", "great", "perfect", "soft", "happy", "lovely")
    hits = [sum(word in text for word in good) for text in texts]
    return [{"yes": 0.9, "no": 0.1} if n > 1 else {"yes": 0.2, "no": 0.8} for n in hits]
"""


def test_a_function_is_weighed_on_scrubbed_texts(tmp_path: Path, module: Callable[[str], str]) -> None:
    write_reviews(tmp_path / "reviews.csv")
    text = (tmp_path / "reviews.csv").read_text()
    (tmp_path / "reviews.csv").write_text(text.replace("dress", "call mia@example.org"))
    name = module(FUNCTION)
    config = config_of(tmp_path, f"{name}:classify", code=True, scores=True, batch=1, price_per_hour=1.0)
    result = run_audit(config, out=tmp_path / "runs")
    record = result.record
    seen = " ".join(sys.modules[name].SEEN)
    assert "[EMAIL_ADDRESS]" in seen
    assert "mia@" not in seen
    [path] = (tmp_path / "runs/small").glob("*/predictions/code.parquet")
    told = load_answers(path, LABELS)[HELD_OUT].failures
    assert set(told) == {None, "the function raised ValueError"}
    assert outcome(record, "quality.coverage").value == pytest.approx(np.mean([one is None for one in told]))
    assert isinstance(outcome(record, "quality.accuracy.difference"), Measurement)
    assert isinstance(outcome(record, "quality.auc"), Measurement)
    assert isinstance(outcome(record, "quality.latency_p50"), Measurement)
    assert isinstance(outcome(record, "membership.auc"), NotMeasured)
    entry = record.model("code")
    assert (entry.kind, entry.source) == ("callable", f"{name}:classify")
    assert entry.digest == digest_file(tmp_path / f"{name}.py")
    assert "what it sends elsewhere is not counted" in (result.out / "report.html").read_text()


def test_other_code_is_another_run_and_a_typo_is_told_before_it(tmp_path: Path, module: Callable[[str], str]) -> None:
    write_reviews(tmp_path / "reviews.csv")
    name = module("def classify(texts): return ['是'] * len(texts)\n")
    config = config_of(tmp_path, f"{name}:classify", code=True)
    first = prepare(str(config)).identity
    assert prepare(str(config)).identity == first
    with (tmp_path / f"{name}.py").open("a") as file:
        file.write("# changed\n")
    assert prepare(str(config)).identity != first
    with pytest.raises(ConfigError, match=f"models.code.function: module '{name}' has no function 'clasify'"):
        prepare(str(config_of(tmp_path, f"{name}:clasify", code=True)))


def test_chinese_labels(tmp_path: Path, module: Callable[[str], str]) -> None:
    rows = [
        f"{'质量很好非常喜欢' if i % 3 else '太差了我要退货'}第{i}件,{'好' if i % 3 else '差'}\n" for i in range(120)
    ]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    name = module("def classify(texts):\n    return ['好' if '喜欢' in text else '差' for text in texts]\n")
    models = {"code": {"kind": "callable", "function": f"{name}:classify", "code": True}}
    config = write_config(
        tmp_path / "c.yaml", models=models, candidate="code", language="zh", evaluators=["quality"],
        data={"path": "reviews.csv", "positive": "好"},
    )  # fmt: skip
    record = run_audit(config, out=tmp_path / "runs", language="zh").record
    assert outcome(record, "quality.accuracy").value == 1.0
    assert outcome(record, "quality.auc").reason == "gives labels without scores"
