"""What not every endpoint has: answers held to a schema, probabilities of tokens, versions; and rows by the batch."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st
from pydantic import TypeAdapter

from evaluators.base import HELD_OUT
from evaluators.tasks.base import Item
from evaluators.tasks.base import Reply as Words
from evaluators.tasks.qa import Answers
from evaluators.tasks.service import Prices, versions_reported
from evaluators.tasks.sheet import Answered, Asked, measured
from governance import run_audit
from governance.answers import load_answers
from governance.backends.anthropic import AnthropicBackend
from governance.backends.api import OpenAIBackend
from governance.backends.asking import Asking
from governance.backends.base import Answer, Capability, Request, in_parts
from governance.backends.cache import AnswerCache, Reply
from governance.backends.firsttoken import FirstToken, Position, Token
from governance.backends.gates import Direction, Passed, ScrubGate, through
from governance.backends.limits import Limits, most
from governance.backends.prompts import BoundPrompt, Prompt
from governance.backends.replies import read_body
from governance.backends.scripted import Script, ScriptedBackend
from governance.backends.shapes import opened, schema_of
from governance.backends.taskprompts import BoundTaskPrompt, TaskPrompt
from governance.dataset import Labels, ScrubbedText, SyntheticText
from governance.errors import ConfigError, ScrubError
from governance.measure import Fact, Measurement, NotMeasured
from governance.policyscope import scope_of
from governance.prepare import prepare
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
from tests.asked import FLAG, failures, gate, settings, texts
from tests.fakeanthropic import Said, fake_anthropic
from tests.fakeserver import Fake, Play, fake_server
from tests.tiny import write_config, write_reviews

RECOMMEND = {"en": ("Yes", "No"), "zh": ("是", "不推荐")}
OpenKind = Callable[..., Any]


def recommend(language: str) -> BoundPrompt:
    return Prompt.load(f"recommend.{language}.v1").bind(FLAG)


def ranking(language: str) -> BoundTaskPrompt:
    return TaskPrompt.load(f"ranking.{language}.v1").bind(("query",), ranks=True)


class Vendor:
    """One kind of API: its server, how it says something, our backend, and where a request holds the schema."""

    def __init__(self, serve: OpenKind, says: type[Play], kind: type[Asking]) -> None:
        self.serve, self.says, self.kind = serve, says, kind

    def backend(self, url: str, **change: Any) -> Any:
        return self.kind(**settings(url, **{"max_tokens": 32, "structured": True, **change}))

    def schema(self, body: dict[str, Any]) -> dict[str, Any]:
        from openai.types.shared_params import ResponseFormatJSONSchema

        if self.kind is AnthropicBackend:  # whose server holds it against the SDK's own type
            found: dict[str, Any] = body["output_config"]["format"]["schema"]
            return found
        form = TypeAdapter(ResponseFormatJSONSchema).validate_python(body["response_format"])["json_schema"]
        assert form.get("strict") is True
        return dict(form["schema"])


@pytest.fixture(params=["openai", "anthropic"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    if request.param == "openai":
        return Vendor(fake_server, Play, OpenAIBackend)
    return Vendor(fake_anthropic, Said, AnthropicBackend)


def saying(answer: object) -> str:
    return json.dumps({"answer": answer}, ensure_ascii=False)


# -- answers held to a schema ---------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_classes_are_asked_for_by_a_schema_and_read_out_of_the_json(vendor: Vendor, language: str) -> None:
    good, bad = RECOMMEND[language]
    with vendor.serve(lambda message, _: vendor.says(saying(bad if "torn" in message else good))) as server:
        prompt = recommend(language)
        answers = vendor.backend(server.url, prompt=prompt).classify(texts("soft", "torn"))
        assert [(answer.label, answer.output) for answer in answers] == [("1", good), ("0", bad)]
        schema = vendor.schema(server.bodies[0])
    check = jsonschema.Draft202012Validator(schema)
    accepted = {answer for several in prompt.answers.values() for answer in several}
    assert all(check.is_valid({"answer": answer}) for answer in accepted)
    for other in ({"answer": "Perhaps"}, {"answer": good, "why": "soft"}, {}, {"answer": [good]}, good):
        assert not check.is_valid(other)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_order_is_an_array_of_numbers(vendor: Vendor, language: str) -> None:
    request = Request({"query": ScrubbedText("退货？")}, tuple(ScrubbedText(f"c{i}") for i in range(3)))
    with vendor.serve(lambda *_: vendor.says(saying([3, 1]))) as server:
        asked = vendor.backend(server.url, prompt=ranking(language))
        assert asked.rank([request])[0].scores == (1.0, 0.0, 2.0)
        check = jsonschema.Draft202012Validator(vendor.schema(server.bodies[0]))
    assert check.is_valid({"answer": [2, 1, 3]})
    assert not check.is_valid({"answer": "2, 1"})
    with vendor.serve(lambda *_: vendor.says(saying([4]))) as server:
        assert failures(vendor.backend(server.url, prompt=ranking("en")).rank([request])) == {
            "answer is not an order of the candidates"
        }


def test_a_task_of_words_has_no_schema() -> None:
    words = TaskPrompt.load("qa.zh.v1").bind(("question", "context"), ranks=False)
    with pytest.raises(ConfigError, match="structured: expected false in a task whose answers are words"):
        OpenAIBackend(**settings("http://127.0.0.1:1/v1", prompt=words, structured=True))


@pytest.mark.parametrize(
    "output",
    [
        "Yes", '{"answer": "Yes"', '{"answer": "Yes"} indeed', '{"answer": "Yes", "answer": "No"}', '["Yes"]',
        '{"answer": ["Yes"]}', '{"answer": null}', '{"answer": "Yes", "sure": true}', '{"Answer": "Yes"}', "[" * 3000,
    ],
)  # fmt: skip
def test_an_answer_in_another_form_is_none_but_is_shown(vendor: Vendor, output: str, tmp_path: Path) -> None:
    """An endpoint that leaves the schema aside is found out, even where its words alone would be a label."""
    with vendor.serve(lambda *_: vendor.says(output)) as server, AnswerCache(tmp_path / "c") as cache:
        first, second = (vendor.backend(server.url, cache=cache).classify(texts("a"))[0] for _ in range(2))
        assert first == second
        assert (first.label, first.output) == (None, output)
        assert first.failure == "the answer is not the JSON that was asked for, or was cut off"
        assert len(server.messages) == 1


@given(st.text() | st.lists(st.integers() | st.booleans() | st.floats()) | st.none())
def test_reading_json_never_crashes_and_gives_back_what_was_said(said: Any) -> None:
    text = opened(json.dumps({"answer": said}), order=False)
    assert text == (said if isinstance(said, str) else None)
    numbers = opened(json.dumps({"answer": said}), order=True)
    whole = isinstance(said, list) and all(type(one) is int for one in said)
    assert numbers == (", ".join(map(str, said)) if whole else None)


def test_personal_data_that_json_hides_is_scrubbed_and_half_a_character_hurts_nobody(vendor: Vendor) -> None:
    hidden = r'{"answer": "\u0061nn\u0040example.com \ud83d"}'
    with vendor.serve(lambda *_: vendor.says(hidden)) as server:
        answer = vendor.backend(server.url).classify(texts("a"))[0]
    assert (answer.output, answer.personal, answer.failure) == ("<EMAIL_ADDRESS> ?", 1, "answer is not a label")


def test_the_schema_is_part_of_what_an_answer_is_known_by(vendor: Vendor, tmp_path: Path) -> None:
    with vendor.serve(lambda *_: vendor.says(saying("Yes"))) as server, AnswerCache(tmp_path / "c") as cache:
        for structured in (True, False, True):
            vendor.backend(server.url, cache=cache, structured=structured).classify(texts("a"))
        assert len(server.messages) == 2
        assert {"response_format", "output_config"} & server.bodies[0].keys()
        assert not {"response_format", "output_config"} & server.bodies[1].keys()


def test_money_is_set_aside_for_the_schema_as_well(vendor: Vendor) -> None:
    """A budget that would do for the words alone lets nothing leave."""
    prompt = recommend("en")
    words = most(prompt.system, prompt.fill(ScrubbedText("a")).text, 32)
    for structured, asked in ((False, 1), (True, 0)):
        limits = Limits(price=(1e6, 1e6), budget=float(words.total))
        with vendor.serve(lambda *_: vendor.says("Yes")) as server:
            vendor.backend(server.url, structured=structured, limits=limits).classify(texts("a"))
            assert len(server.messages) == asked


def refusing(vendor: Vendor, told: dict[str, Any], status: int = 400) -> Play:
    """An error about a request, in the vendor's words."""
    body: dict[str, Any] = {"error": {"type": "invalid_request_error", **told}}
    return vendor.says(json.dumps({"type": "error", **body}).encode(), status=status)


@pytest.mark.parametrize("told", [{"param": "response_format", "message": "no"}, {"message": "output_config: extra"}])
def test_an_endpoint_that_names_the_schema_as_the_fault_is_asked_once(vendor: Vendor, told: dict[str, Any]) -> None:
    with vendor.serve(lambda *_: refusing(vendor, told)) as server:
        answers = vendor.backend(server.url, concurrency=1).classify(texts(*map(str, range(30))))
        assert len(server.messages) == 1
    part = told.get("param") or "output_config"
    assert answers[0].failure == f"HTTP 400: the endpoint doesn't take {part}"
    assert failures(answers[1:]) == {f"not asked: HTTP 400: the endpoint doesn't take {part}"}


def test_an_endpoint_that_refuses_each_request_without_saying_why_is_left_alone(vendor: Vendor) -> None:
    """The words are a stranger's and may echo a row, so they are neither believed nor shown."""
    echo = {"message": 'bad text: "response_format is a private word"'}
    with vendor.serve(lambda *_: refusing(vendor, echo, 422)) as server:
        answers = vendor.backend(server.url, concurrency=1, patience=3).classify(texts(*map(str, range(30))))
        assert len(server.messages) == 3
    assert "HTTP 422; perhaps the endpoint doesn't take" in str(answers[0].failure)
    assert str(answers[3].failure).startswith("not asked: 3 rows in a row were lost, the last one to: HTTP 422")
    assert "private" not in str(answers)


def test_once_an_answer_came_a_bad_request_is_its_rows_own_fault(vendor: Vendor, tmp_path: Path) -> None:
    def some(message: str, _: int) -> Play:
        return refusing(vendor, {}) if "bad" in message else vendor.says(saying("Yes"))

    with vendor.serve(some) as server, AnswerCache(tmp_path / "c") as cache:
        rows = texts("good", *(f"bad {i}" for i in range(6)), "good too")
        answers = vendor.backend(server.url, cache=cache, concurrency=1, patience=2).classify(rows)
        assert [answer.failure for answer in answers] == [None, *["HTTP 400"] * 6, None]
        # Answers of an earlier run say as much: the failed rows are all asked again.
        again = vendor.backend(server.url, cache=cache, concurrency=1, patience=2).classify(rows)
        assert [answer.failure for answer in again] == [None, *["HTTP 400"] * 6, None]
        assert len(server.messages) == 14


# -- probabilities of tokens ----------------------------------------------------------------------

UNSURE: dict[str, tuple[str, tuple[dict[str, float], ...], tuple[float, float] | None]] = {
    "en": ("Yes", ({"Yes": 0.6, " yes": 0.1, "No": 0.2, "Not": 0.05},), (0.25 / 0.95, 0.7 / 0.95)),
    "zh": ("是", ({"是": 0.5, "会": 0.2, "不": 0.2, "否": 0.05},), (0.25 / 0.95, 0.7 / 0.95)),
}


def scored(url: str, **change: Any) -> OpenAIBackend:
    return OpenAIBackend(**settings(url, **{"top_logprobs": 20, **change}))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_scores_are_shares_of_what_the_first_token_begins(language: str, tmp_path: Path) -> None:
    said, places, expected = UNSURE[language]
    with fake_server(lambda *_: Play(said, places=places)) as server, AnswerCache(tmp_path / "c") as cache:
        asked = scored(server.url, prompt=recommend(language), cache=cache)
        answer = asked.classify(texts("a"))[0]
        assert answer.label == "1"
        assert answer.scores == pytest.approx(expected)
        assert asked.capabilities == {Capability.CLASSIFY, Capability.SCORES, Capability.TOKENS}
        assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 20)
        again = scored(server.url, prompt=recommend(language), cache=cache)
        assert again.classify(texts("a")) == [answer]
        assert (len(server.messages), again.unscored) == (1, 0)
        plain = OpenAIBackend(**settings(server.url, prompt=recommend(language), cache=cache))
        assert (plain.classify(texts("a"))[0].scores, plain.unscored) == (None, None)
        assert len(server.messages) == 2


PLACES: dict[str, tuple[Any, dict[str, float] | None]] = {
    "too little on classes": ([{"Yes": 0.49, "Maybe": 0.51}], None),
    "just enough": ([{"Yes": 0.306, "No": 0.204, "Maybe": 0.49}], {"1": 0.6, "0": 0.4}),
    "marks before it": ([{'"': 0.8, "Yes": 0.2}, {"No": 0.75, "Yes": 0.25}], {"1": 0.4, "0": 0.6}),
    "marks alone": ([{"**": 0.9}], None),
    "nothing": ([], None),
    "one way only": ([{"Yes": 1.0}], {"1": 1.0, "0": 0.0}),
    "what follows a word": ([{"Yes": 0.9, "No": 0.1}, {"No": 1.0}], {"1": 0.9, "0": 0.1}),
}


def position(chances: dict[str, float]) -> Position:
    known = tuple(Token(text, None, math.log(chance)) for text, chance in chances.items())
    return Position(known[0], known)


@pytest.mark.parametrize("name", PLACES)
def test_when_scores_are_defined(name: str) -> None:
    places, expected = PLACES[name]
    found = FirstToken(recommend("en").answers).scores([position(place) for place in places])
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_beginning_that_fits_two_classes_leaves_the_row_without_scores() -> None:
    first = FirstToken({"0": ["negative"], "1": ["neutral"], "2": ["positive"]})

    assert first.scores([position({"positive": 0.55, "ne": 0.45})]) is None
    assert first.scores([position({"positive": 0.8, "ne": 0.04, "neg": 0.16})]) == pytest.approx(
        {"0": 1 / 6, "1": 0, "2": 5 / 6}
    )


def test_a_part_of_a_character_counts_for_the_class_that_it_begins() -> None:
    """Tokenizers cut Han characters: 好 is E5 A5 BD, 差 is E5 B7 AE."""
    first = FirstToken({"1": ["好"], "0": ["差"]})

    def scores(raw: bytes) -> dict[str, float] | None:
        token = Token("\ufffd", raw, math.log(0.9))
        return first.scores([Position(token, (token,))])

    assert scores(b"\xe5\xa5") == {"1": 1.0, "0": 0.0}
    assert scores(b" \xe5\xb7") == {"1": 0.0, "0": 1.0}
    assert scores(b"\xe5") is None


@pytest.mark.parametrize(
    "answers",
    [
        {"0": ["No"], "1": ["Not sure"]},
        {"0": ["very bad"], "1": ["very good"]},
        {"0": ["1"], "1": ["10"]},
        {"0": ["不好"], "1": ["不错"]},
        {"0": ["Yes"], "1": [" yes, indeed"]},
    ],
)
def test_classes_that_begin_alike_are_refused(answers: dict[str, list[str]]) -> None:
    prompt = BoundPrompt(Prompt.load("classify.en.v1"), answers)
    with pytest.raises(ConfigError, match=r"'[01]' and '[01]' begin alike"):
        scored("http://127.0.0.1:1/v1", prompt=prompt)


@pytest.mark.parametrize("answers", [{"1": ["是", "是的"], "0": ["否"]}, {"1": ["Tops"], "0": ["Trend"]}])
def test_answers_of_one_class_may_begin_alike(answers: dict[str, list[str]]) -> None:
    assert scored("http://127.0.0.1:1/v1", prompt=BoundPrompt(Prompt.load("classify.en.v1"), answers))


def place(**change: Any) -> dict[str, Any]:
    told = {"token": "Yes", "logprob": -0.1, "bytes": None}
    return {**told, "top_logprobs": [told, {"token": "No", "logprob": -3.0, "bytes": [78, 111]}], **change}


NONSENSE: dict[str, Any] = {
    "none": None, "a number": 7, "no content": {}, "null content": {"content": None}, "empty": {"content": []},
    "no token": {"content": [place(token=None)]}, "a long token": {"content": [place(token="Yes" * 100)]},
    "above certainty": {"content": [place(logprob=0.5)]}, "not a number": {"content": [place(logprob=math.nan)]},
    "words": {"content": [place(logprob="-0.1")]}, "true": {"content": [place(logprob=True)]},
    "not bytes": {"content": [place(bytes=[300])]}, "no list": {"content": [place(top_logprobs={"Yes": -0.1})]},
    "more than certain": {"content": [place(top_logprobs=[{"token": str(i), "logprob": -0.7} for i in range(3)])]},
    "too many": {"content": [place(top_logprobs=[{"token": str(i), "logprob": -9.0} for i in range(100)])]},
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_tokens_that_make_no_sense_give_no_scores_but_the_label_stays(name: str) -> None:
    choice = {"message": {"content": "Yes"}, "logprobs": NONSENSE[name]}
    with fake_server(lambda *_: Play(extra={"choices": [choice]})) as server:
        asked = scored(server.url)
        answer = asked.classify(texts("a"))[0]
    assert (answer.label, answer.scores, answer.failure) == ("1", None, None)
    assert asked.unscored == 1


@few(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["content", "token", "logprob", "bytes", "top_logprobs"]), inner, max_size=5
            )
        ),
        max_leaves=30,
    )
)
def test_reading_tokens_never_crashes(told: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": "Yes"}, "logprobs": told}]})
    reply = read_body(body.encode())
    assert isinstance(reply, Reply)
    found = FirstToken(recommend("zh").answers).scores(reply.positions)
    assert found is None or sum(found.values()) == pytest.approx(1)


def test_odd_tokens_of_a_stranger_are_read() -> None:
    told = [{"token": "\ud83d", "logprob": -5.0}, {"token": "No", "logprob": -(10**400)}]
    body = json.dumps(
        {"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": [place(top_logprobs=told)]}}]}
    )
    reply = read_body(body.encode())
    assert isinstance(reply, Reply)
    assert FirstToken(recommend("en").answers).scores(reply.positions) == pytest.approx({"1": 1.0, "0": 0.0})


def test_tokens_are_never_stored_and_older_entries_are_still_read(tmp_path: Path) -> None:
    """Tokens are a model's unscrubbed words."""
    secret = {"Yes": 0.9, "ann@example.com": 0.1}
    with fake_server(lambda *_: Play("Yes", places=(secret,))) as server, AnswerCache(tmp_path / "c") as cache:
        scored(server.url, cache=cache).classify(texts("a"))
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b'"scores":{"' in written
        assert b"ann@" not in written
        cache.put("old", Reply(output="Yes"))
        assert b'"model":null}' in b"".join(
            file.read_bytes() for file in tmp_path.iterdir()
        )  # as versions before wrote
        assert cache.get("old") == Reply(output="Yes", scores=None)


def test_no_scores_of_words_or_orders() -> None:
    with pytest.raises(ConfigError, match="logprobs: expected false in a task of words or orders"):
        scored("http://127.0.0.1:1/v1", prompt=ranking("en"))


# -- configs and audits ---------------------------------------------------------------------------

CLOSED = {"kind": "openai", "base_url": "https://h/v1", "model": "m", "prompt": "recommend.en.v1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structured": True}, "max_tokens: expected at least 32, for the JSON of structured, found 8"),
        ({"structured": True, "logprobs": True, "max_tokens": 32}, "logprobs: expected false beside structured"),
        ({"structured": "yes"}, "structured: expected true or false"),
        ({"top_logprobs": 5}, "top_logprobs: expected logprobs: true beside it"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs.*20"),
        ({"logprobs": True, "prompt": "alike.yaml"}, r"models\.closed: logprobs: answers .* begin alike"),
        ({"kind": "anthropic", "base_url": "https://h", "logprobs": True}, "logprobs"),
        ({"kind": "scripted", "answers": ["Yes"], "base_url": None, "model": None, "structured": True,
          "max_tokens": 32}, "structured: expected false; a script"),
    ],
)  # fmt: skip
def test_a_config_that_cannot_work_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    alike = "task: t\nlanguage: zh\nversion: 1\nsystem: s\nuser: '{text}'\nanswers: {'yes': [不错], 'no': [不好]}\n"
    (tmp_path / "alike.yaml").write_text(alike)
    own = {name: value for name, value in (CLOSED | changes).items() if value is not None}
    with pytest.raises(ConfigError, match=message):
        prepare(str(write_config(tmp_path / "c.yaml", models={"closed": own}, candidate="closed")))


def test_a_task_of_words_refuses_a_schema_before_anything_is_asked(tmp_path: Path) -> None:
    from governance.taskconfig import load_task_config
    from governance.taskprepare import prepare_task

    (tmp_path / "qa.csv").write_text("question,context,answer\nWhen?,In 30 days.,30 days\n" * 3)
    columns = {"question": "question", "context": "context", "answers": "answer"}
    config = {
        "audit": "answers", "question": "q", "language": "en", "task": {"name": "qa"},
        "data": {"path": "qa.csv", "columns": columns}, "candidate": "closed",
        "models": {"closed": CLOSED | {"prompt": "qa.en.v1", "structured": True, "max_tokens": 32}},
    }  # fmt: skip
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config))
    loaded = load_task_config(str(path))
    assert loaded is not None
    with pytest.raises(
        ConfigError, match=r"models\.closed: structured: expected false in a task whose answers are wor"
    ):
        prepare_task(*loaded)


@pytest.mark.slow
def test_an_audit_measures_scores_and_versions_of_a_model_behind_an_api(tmp_path: Path) -> None:
    """Good words make Yes likely; every seventh row's tokens say nothing; the version changes in the middle."""
    write_reviews(tmp_path / "reviews.csv")
    lock, seen = threading.Lock(), list[str]()

    def behave(message: str, _: int) -> Play:
        with lock:
            seen.append(message)
            n = len(seen)
        yes = 0.9 if any(word in message for word in ("love", "great", "perfect", "soft", "happy")) else 0.2
        extra = {"model": "m-2"} if n > 20 else {"model": "m-1"}
        places = ({"Perhaps": 1.0},) if n % 7 == 0 else ({"Yes": yes, "No": 1 - yes},)
        return Play("Yes" if yes > 0.5 else "No", places=places, extra=extra)

    with fake_server(behave) as server:
        own = {"base_url": server.url, "rows": 40, "logprobs": True, "top_logprobs": 5, "concurrency": 1}
        models = {"baseline": {"kind": "tfidf-logistic"}, "closed": CLOSED | own}
        quality = [{"name": "quality", "draws": 200}]
        config = write_config(
            tmp_path / "c.yaml", models=models, candidate="closed", incumbent="baseline", evaluators=quality
        )
        assert scope_of(str(config)).models["closed"] == {"scores", "seconds", "endpoint"}
        done = run_audit(config, out=tmp_path / "runs")
        assert len(server.messages) == 40
        assert {body["top_logprobs"] for body in server.bodies} == {5}
    record = done.record
    found = {outcome.metric: outcome for outcome in record.outcomes if outcome.model == "closed"}
    auc, versions = found["quality.auc"], found["quality.versions_reported"]
    assert isinstance(auc, Measurement)
    assert (auc.n, auc.counts["answered_without_scores"]) == (35, 5)
    assert auc.value > 0.7
    assert isinstance(found["quality.auc.difference"], Measurement)
    assert isinstance(versions, Fact)
    assert versions.value == 2
    entry = record.model("closed")
    assert (entry.protocol, entry.versions) == ("log-likelihood", {"m-1": 20, "m-2": 20})
    assert (entry.settings["top_logprobs"], entry.settings["answers_without_scores"]) == (5, 5)
    assert not [o for o in record.outcomes if o.metric == versions.metric and o.model == "baseline"]
    answers = load_answers(done.directory / "predictions/closed.parquet", Labels(("no", "yes"), "yes"))[HELD_OUT]
    assert answers.scores is not None
    assert int(np.isnan(answers.scores).all(axis=1).sum()) == 5


@pytest.mark.parametrize(
    ("versions", "expected"), [({"m-1": 30, "m-2": 2}, 2.0), ({"m-1": 1}, 1.0), ({}, None), (None, "nothing")]
)
def test_versions_are_a_fact_or_there_is_a_reason(versions: Any, expected: Any) -> None:
    found = versions_reported(versions, model="m", task="qa")
    if expected == "nothing":
        assert found == []
    elif expected is None:
        assert isinstance(found[0], NotMeasured)
        assert found[0].reason == "its endpoint reported no version"
    else:
        assert isinstance(found[0], Fact)
        assert (found[0].value, found[0].unit, found[0].task) == (expected, "count", "qa")


@pytest.mark.parametrize(("versions", "expected"), [({"m-1": 1, "m-2": 1}, [2.0]), (None, [])])
def test_a_task_of_words_tells_of_versions_as_well(versions: Any, expected: list[float]) -> None:
    asked = Asked(
        task=Answers(), items=[Item({"question": "多久？", "context": "三十天内"}, {"answers": ("三十天",)})] * 2,
        clusters=np.arange(2), groups={}, language="zh", level=0.95, seed=0, draws=200,
    )  # fmt: skip
    answered = Answered(
        model="m", index=np.arange(2), replies=(Words("三十天"), None), seconds=np.array([0.1, 0.2]), tokens_in=None,
        tokens_out=None, prices=Prices(None, None, "USD"), versions=versions,
    )  # fmt: skip
    found = [o for o in measured(asked, [answered], incumbent=None) if o.metric == "quality.versions_reported"]
    assert [(o.value, o.model, o.task) for o in found if isinstance(o, Fact)] == [(n, "m", "qa") for n in expected]
    assert len(found) == len(expected)


# -- rows by the batch ----------------------------------------------------------------------------


def test_many_rows_are_asked_together_and_each_moves_the_bar(tmp_path: Path) -> None:
    moves: list[int] = []
    with fake_server(lambda message, _: Play("No" if "torn" in message else "Yes")) as server:
        with AnswerCache(tmp_path / "c") as cache:
            asked = OpenAIBackend(**settings(server.url, cache=cache, concurrency=40))
            assert asked.at_once == 320
            rows = texts(*(f"soft {i}" for i in range(300)), *(["torn"] * 50), "UNVOUCHABLE")
            asked.classify(rows[:10])
            parts: list[int] = []

            def ask(part: slice) -> Sequence[Answer]:
                parts.append(len(rows[part]))
                return asked.classify(rows[part])

            answers = in_parts(asked, len(rows), ask, part=64, advance=moves.append)
        assert parts == [320, 31]
        assert sum(moves) == 351
        assert len(moves) > 290  # the ten that were known at once, and then each message by itself
        assert [answer.label for answer in answers[:300]] == ["1"] * 300
        assert [answer.label for answer in answers[300:350]] == ["0"] * 50
        assert len(server.messages) == 301


def test_others_are_asked_in_parts_of_the_caller() -> None:
    class Local:
        capabilities = frozenset({Capability.CLASSIFY})

        def classify(self, texts: Sequence[Any]) -> Sequence[Answer]:
            return [Answer(label=text.text) for text in texts]

        def close(self) -> None:
            pass

    rows, moves, local = texts(*map(str, range(10))), list[int](), Local()
    answers = in_parts(local, 10, lambda part: local.classify(rows[part]), part=4, advance=moves.append)
    assert [answer.label for answer in answers] == [str(i) for i in range(10)]
    assert moves == [4, 4, 2]


# -- the scrubber by the batch --------------------------------------------------------------------

PERSONAL = {
    "en": [
        "Mail ann@example.com",
        "The dress is soft",
        "Card 4111 1111 1111 1111",
        "Mail ann@example.com",
        "",
        "<x> \ud83d",
    ],
    "zh": ["邮箱zhang.wei@qq.com谢谢", "衣服很好", "电话13812345678", "身份证11010519491231002X", "衣服很好", "。"],
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("direction", ["prompt", "output"])
def test_a_batch_is_scrubbed_as_its_texts_are_one_by_one(language: str, direction: Direction) -> None:
    policy = load_policy("patterns").model_copy(update={"language": language})
    one_by_one, together = Scrubber(policy), Scrubber(policy)
    expected = [one_by_one.scrub_one(text, direction) for text in PERSONAL[language]]
    found = ScrubGate(lambda: together).many(PERSONAL[language], direction)
    assert found == expected
    assert sum(bool(pieces) for _, pieces in expected) >= 2
    assert through(one_by_one.scrub_one, PERSONAL[language], direction) == expected


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_with_names_as_well(language: str) -> None:
    names = {
        "en": ["I met Mary Jones in Leeds", "Ask John Smith, then Mary"],
        "zh": ["客服张伟很耐心", "李娜在北京下单"],
    }
    policy = load_policy("default").model_copy(update={"language": language})
    one_by_one, together = Scrubber(policy), Scrubber(policy)
    rows = [f"{text}. {other}" for text in names[language] for other in PERSONAL[language]]
    assert ScrubGate(lambda: together).many(rows, "prompt") == [one_by_one.scrub_one(row, "prompt") for row in rows]


class Strict:
    """A scrubber that refuses a whole batch for one text's sake, as the real one does."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def scrub_many(self, texts: Sequence[str], direction: Direction) -> list[Any]:
        self.calls.append(len(texts))
        if any("UNVOUCHABLE" in text for text in texts):
            raise ScrubError("can't vouch")
        return [_scrubbed(text) for text in texts]

    def scrub_one(self, text: str, direction: Direction) -> Passed:
        [one] = self.scrub_many([text], direction)
        return one.text.text, dict(one.counts)


def _scrubbed(text: str) -> Any:
    from governance.privacy.scrubber import Scrubbed

    scrubbed, counts = gate(text, "prompt")
    return Scrubbed(ScrubbedText(scrubbed), counts)


@given(st.lists(st.sampled_from(["soft", "ann@example.com", "UNVOUCHABLE", "好"]), max_size=20))
def test_a_text_that_cannot_be_vouched_for_fails_alone(rows: list[str]) -> None:
    found = ScrubGate(lambda: Strict()).many(rows, "prompt")  # type: ignore[arg-type, return-value]  # noqa: PLW0108
    assert found == through(gate, rows, "prompt")
    assert [one is None for one in found] == ["UNVOUCHABLE" in row for row in rows]


def test_a_part_is_scrubbed_at_once_and_a_common_answer_only_once() -> None:
    strict = Strict()
    prompt = recommend("zh")
    script = Script(["是", "不推荐", "是 ann@example.com"])
    asked = ScriptedBackend(script, prompt=prompt, gate=ScrubGate(lambda: strict))  # type: ignore[arg-type, return-value]
    rows = [*texts(*(f"衣服 {i}" for i in range(100)), "UNVOUCHABLE"), SyntheticText("ann@example.com")]
    answers = asked.classify(rows[:100])
    assert strict.calls == [100, 1, 1, 1]
    assert {answer.output for answer in answers} == {"是", "不推荐", "是 <EMAIL_ADDRESS>"}
    assert all(answer.personal == (answer.output == "是 <EMAIL_ADDRESS>") for answer in answers)
    refused, made_up = asked.classify(rows[100:])
    assert refused.failure == "not sent: the scrubber can't vouch for the message"
    assert made_up.failure != refused.failure
    assert asked.sent == {"rows": 101}  # ours is nobody's data: it isn't scrubbed


def test_long_outputs_are_not_remembered() -> None:
    strict = Strict()
    script = Script(["是" * 65])
    asked = ScriptedBackend(script, prompt=recommend("zh"), gate=ScrubGate(lambda: strict))  # type: ignore[arg-type, return-value]
    asked.classify(texts("a", "b", "c"))
    assert strict.calls == [3, 1, 1, 1]


def test_the_schemas_of_both_vendors_are_one(tmp_path: Path) -> None:
    with fake_server(lambda *_: Play(saying("Yes"))) as ours, fake_anthropic(lambda *_: Said(saying("Yes"))) as theirs:
        servers: list[tuple[Fake, type[Asking]]] = [(ours, OpenAIBackend), (theirs, AnthropicBackend)]
        for server, kind in servers:
            Vendor(fake_server, Play, kind).backend(server.url).classify(texts("a"))
        sent = [Vendor(fake_server, Play, kind).schema(server.bodies[0]) for server, kind in servers]
    assert sent[0] == sent[1] == schema_of(recommend("en"))


def test_the_server_of_these_tests_tells_of_tokens_as_the_sdk_says_that_the_api_does() -> None:
    from openai.types.chat import ChatCompletion

    told = ChatCompletion.model_validate_json(Play("Yes", places=({"Yes": 0.9, "No": 0.1},)).payload())
    assert told.choices[0].logprobs is not None
    assert told.choices[0].logprobs.content is not None
    assert [top.token for top in told.choices[0].logprobs.content[0].top_logprobs] == ["Yes", "No"]
