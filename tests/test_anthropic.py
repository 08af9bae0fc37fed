"""Anthropic's API through its own SDK, against a server that holds to what is published."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter

from governance import run_audit
from governance.backends.anthropic import VERSION, AnthropicBackend
from governance.backends.base import Answer, Backend, Capability
from governance.backends.cache import AnswerCache
from governance.backends.prompts import Prompt
from governance.errors import ConfigError, MissingExtra
from governance.measure import Measurement
from governance.policyscope import scope_of
from governance.prepare import prepare
from tests.asked import FLAG, KEY, failures, gate, settings, texts
from tests.fakeanthropic import MODEL, Said, error, fake_anthropic
from tests.fakeserver import SOON, Play, closed_port, fake_server
from tests.tiny import write_config, write_reviews


def backend(url: str, **change: Any) -> AnthropicBackend:
    return AnthropicBackend(**settings(url, **{"model": "fake-1", **change}))


def test_the_server_of_these_tests_answers_as_the_sdk_says_that_the_api_does() -> None:
    from anthropic.types import ErrorResponse, Message

    TypeAdapter(Message).validate_json(Said("Yes").payload(), strict=False)
    TypeAdapter(ErrorResponse).validate_json(error(529).payload())


def test_answers_come_in_order_with_tokens_and_the_version_that_gave_each() -> None:
    with fake_anthropic(lambda message, _: Said("No." if "bad" in message else "Yes")) as server:
        asked = backend(server.url)
        as_protocol: Backend = asked
        answers = as_protocol.classify(texts("good", "bad", "好"))
        assert [answer.label for answer in answers] == ["1", "0", "1"]
        assert {(answer.tokens_in, answer.tokens_out, answer.version) for answer in answers} == {(7, 2, MODEL)}
        assert all(answer.seconds > 0 for answer in answers)
        assert asked.versions == {MODEL: 3}
        assert asked.capabilities == {Capability.CLASSIFY, Capability.TOKENS}
    body = server.bodies[0]
    assert body.keys() == {"model", "max_tokens", "system", "messages"}
    assert body["system"] == Prompt.load("recommend.en.v1").system


def test_a_chinese_prompt_and_its_answers() -> None:
    with fake_anthropic(lambda message, _: Said("「不是。」" if "差" in message else "是")) as server:
        prompt = Prompt.load("recommend.zh.v1").bind(FLAG)
        answers = backend(server.url, prompt=prompt).classify(texts("质量很差", "很合身"))
        negative = prompt.parse("不是")
        assert [answer.label for answer in answers] == [negative, "1"]
        assert "质量很差" in server.messages[0] + server.messages[1]
        assert server.bodies[0]["system"] == prompt.system


def test_thoughts_are_no_part_of_an_answer_and_can_be_switched_off() -> None:
    thought = {"content": [{"type": "thinking", "thinking": "No.", "signature": "x"}, {"type": "text", "text": "Yes"}]}
    with fake_anthropic(lambda *_: Said(extra=thought)) as server:
        answer = backend(server.url, thinking="disabled").classify(texts("a"))[0]
        assert (answer.label, answer.output) == ("1", "Yes")
        assert server.bodies[0]["thinking"] == {"type": "disabled"}


def test_tokens_that_a_cache_took_are_tokens_read() -> None:
    usage = {"input_tokens": 7, "output_tokens": 2, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}
    with fake_anthropic(lambda *_: Said(extra={"usage": usage})) as server:
        assert backend(server.url).classify(texts("a"))[0].tokens_in == 15


def test_each_message_and_each_answer_passes_the_scrubber() -> None:
    with fake_anthropic(lambda *_: Said("Ask ann@example.com")) as server:
        asked = backend(server.url)
        answers = asked.classify(texts("from bob@example.com", "UNVOUCHABLE"))
        assert not any("@" in message for message in server.messages)
        assert (answers[0].output, answers[0].personal) == ("Ask <EMAIL_ADDRESS>", 1)
        assert answers[1].failure == "not sent: the scrubber can't vouch for the message"
        assert asked.sent == {"rows": 1, "EMAIL_ADDRESS": 1}


COMPLETED: dict[str, tuple[Said, str]] = {
    "refusal": (Said(None, extra={"stop_reason": "refusal"}), "the model refused to answer"),
    "refusal in words": (Said("Yes", extra={"stop_reason": "refusal"}), "the model refused to answer"),
    "cut off": (Said("Yes, it", extra={"stop_reason": "max_tokens"}), "answer is not a label"),
    "cut off before it began": (Said(None, extra={"stop_reason": "max_tokens"}), "the answer holds no text"),
    "context": (
        Said("Yes", extra={"stop_reason": "model_context_window_exceeded"}),
        "the answer was cut off at the end of the model's context",
    ),
    "pause": (Said("Yes", extra={"stop_reason": "pause_turn"}), "the answer was not finished"),
    "tool": (Said("Yes", extra={"stop_reason": "tool_use"}), "the model asked for a tool instead of answering"),
    "empty": (Said(None), "the answer holds no text"),
    "empty text": (Said(""), "the answer holds no text"),
    "null text": (Said(extra={"content": [{"type": "text", "text": None}]}), "the answer holds no text"),
    "other block": (
        Said(extra={"content": [{"type": "text", "text": "Yes"}, {"type": "image"}]}),
        "the answer holds something else than text",
    ),
    "no block": (Said(extra={"content": [7]}), "the answer holds something else than text"),
    "huge": (Said("Yes" * 10_000), "the answer is longer than 4000 characters"),
    "no label": (Said("It depends"), "answer is not a label"),
}


@pytest.mark.parametrize("name", COMPLETED)
def test_a_completed_answer_without_a_label_is_paid_for_once(name: str, tmp_path: Path) -> None:
    play, reason = COMPLETED[name]
    with fake_anthropic(lambda *_: play) as server, AnswerCache(tmp_path / "c") as cache:
        first, second = (backend(server.url, cache=cache).classify(texts("衣服"))[0] for _ in range(2))
        assert first == second
        assert (first.failure, first.label, first.tokens_in) == (reason, None, 7)
        assert len(server.messages) == 1


def test_a_label_at_the_limit_of_tokens_is_one_as_in_a_chat_completion() -> None:
    with fake_anthropic(lambda *_: Said("Yes", extra={"stop_reason": "max_tokens"})) as server:
        [answer] = backend(server.url).classify(texts("a"))
        assert (answer.label, answer.failure) == (FLAG.positive, None)


NONSENSE = {
    "html": (Said(b"<html>502</html>", kind="text/html"), "the response is not JSON"),
    "a string": (Said(b'"the response"'), "the response holds no answer"),
    "a list": (Said(b"[]"), "the response holds no answer"),
    "an error called success": (Said(error(500).payload()), "the response holds no answer"),
    "no content": (Said(extra={"content": "Yes"}), "the response holds no answer"),
    "another vendor's": (Play("Yes"), "the response holds no answer"),
    "vast": (Said(b" " * 2_000_001), "the response is too large"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_failure_that_the_next_run_asks_again(name: str, tmp_path: Path) -> None:
    play, reason = NONSENSE[name]
    with fake_anthropic(lambda _, before: Said() if before else play) as server, AnswerCache(tmp_path / "c") as cache:
        first, second = (backend(server.url, cache=cache, max_retries=0).classify(texts("a"))[0] for _ in range(2))
        assert (first.failure, second.label) == (reason, "1")


def test_a_rate_limit_is_waited_out_as_the_server_says() -> None:
    with fake_anthropic(lambda _, before: Said() if before else error(429, retry_after="1")) as server:
        started = time.monotonic()
        answer = backend(server.url).classify(texts("a"))[0]
        assert answer.label == "1"
        assert server.times[1] - server.times[0] >= 1
        assert answer.seconds <= time.monotonic() - started - 1  # the wait is not the model's latency


@pytest.mark.parametrize("status", [408, 409, 429, 500, 529])
def test_an_overloaded_endpoint_is_tried_again_and_then_recorded(status: int) -> None:
    with fake_anthropic(lambda *_: error(status, **SOON)) as server:
        assert failures(backend(server.url, max_retries=2).classify(texts("a"))) == {f"HTTP {status} after 3 tries"}
        assert len(server.messages) == 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "refuses the key"), (402, "can't pay"), (403, "refuses access"), (404, "no such model")],
)
def test_a_wrong_set_up_fails_fast_on_all_rows(status: int, reason: str) -> None:
    with fake_anthropic(lambda *_: error(status)) as server:
        answers = backend(server.url, concurrency=1).classify(texts(*(f"review {i}" for i in range(20))))
        assert len(server.messages) == 1
        assert all(reason in str(answer.failure) for answer in answers)


def test_a_wrong_key_or_a_wrong_address_is_such_a_set_up() -> None:
    with fake_anthropic() as server:
        assert failures(backend(server.url, api_key=SecretStr("sk-other")).classify(texts("a"))) == {
            "HTTP 401: the endpoint refuses the key"
        }
        assert "no such model or address" in str(backend(f"{server.url}/v1").classify(texts("a"))[0].failure)


@pytest.mark.parametrize("status", [400, 413])
def test_a_bad_request_concerns_its_row_alone(status: int) -> None:
    with fake_anthropic(lambda message, _: error(status) if "bad" in message else Said()) as server:
        answers = backend(server.url, patience=1, concurrency=1).classify(texts("bad 1", "bad 2", "good"))
        assert [answer.failure for answer in answers] == [f"HTTP {status}", f"HTTP {status}", None]


def test_time_outs_lost_connections_and_closed_ports_are_told_apart() -> None:
    with fake_anthropic(lambda *_: Said(delay=1)) as server:
        assert failures(backend(server.url, timeout=0.1, max_retries=0).classify(texts("a"))) == {
            "timed out after 0.1 s"
        }
    with fake_anthropic(lambda *_: Said(hang_up=True)) as server:
        assert failures(backend(server.url, max_retries=0).classify(texts("a"))) == {"connection lost"}
    asked = backend(f"http://127.0.0.1:{closed_port()}", max_retries=0)
    assert failures(asked.classify(texts("a"))) == {"connection refused"}
    assert asked.sent == {"rows": 0}


def test_only_what_we_mean_to_send_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "AUTH_TOKEN", "BASE_URL", "PROFILE"):
        monkeypatch.setenv(f"ANTHROPIC_{name}", "from-the-environment")
    headers = "x-team: from-the-environment\nauthorization: Bearer wrong\nAnthropic-Version: from-the-environment"
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", headers)
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    with fake_anthropic() as server:
        assert backend(server.url).classify(texts("a"))[0].label == "1"
    with fake_server(lambda *_: Said()) as gateway:
        assert backend(gateway.url.removesuffix("/v1"), api_key=None).classify(texts("a"))[0].label == "1"
    transport = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent"}
    assert set(server.headers[0]) == transport | {"authorization", "anthropic-version"}
    assert server.headers[0]["anthropic-version"] == VERSION
    assert set(gateway.headers[0]) == transport | {"anthropic-version"}
    assert "from-the-environment" not in str(server.headers + gateway.headers)


def test_the_key_travels_as_the_sdk_sends_it_by_itself() -> None:
    import anthropic

    client = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://127.0.0.1:9")
    assert client.auth_headers == {"Authorization": f"Bearer {KEY}"}
    assert client.default_headers["anthropic-version"] == VERSION


def test_nothing_private_shows_in_logs_reprs_or_errors(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    with fake_anthropic(lambda message, _: error(400) if "two" in message else Said()) as server:
        asked = backend(server.url)
        answers = asked.classify(texts("private words one", "private words two"))
        shown = repr(asked) + repr(answers) + caplog.text + repr(vars(asked))
    for secret in ("private", KEY, "Would this customer", "product reviews"):
        assert secret not in shown.replace(repr(asked._prompt.prompt), "")
    assert answers[1] == Answer(failure="HTTP 400", seconds=answers[1].seconds)


def test_two_vendors_behind_one_gateway_never_share_an_answer(tmp_path: Path) -> None:
    from governance.backends.api import OpenAIBackend

    with AnswerCache(tmp_path / "c") as cache, fake_anthropic() as server, fake_server() as other:
        backend(server.url, cache=cache).classify(texts("a"))
        openai = OpenAIBackend(
            base_url=other.url, identity=server.url, model="fake-1", prompt=Prompt.load("recommend.en.v1").bind(FLAG),
            gate=gate, cache=cache, max_tokens=16, temperature=None, seed=None,
        )  # fmt: skip
        openai.classify(texts("a"))
        assert len(other.messages) == 1


def test_a_missing_sdk_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(MissingExtra, match=r"needs anthropic: pip install 'steelyard\[anthropic\]'"):
        backend("https://h")


def test_importing_the_module_does_not_import_the_sdk() -> None:
    script = "import sys, governance.backends.anthropic; print(sorted({'anthropic', 'httpx2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


CLOSED = {"kind": "anthropic", "model": "fake-1", "prompt": "recommend.en.v1", "api_key_env": "TEST_KEY"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_key_env": None}, "expected api_key_env, the environment variable that holds the key"),
        ({"base_url": "https://gateway.example/v1"}, "base_url: expected the address without /v1"),
        ({"base_url": "gateway.example"}, "expected base_url to start with http"),
        ({"model": None}, "models.closed.*model"),
        ({"budget": 5}, "budget: expected price_per_million_tokens beside it"),
        ({"temperature": 0}, "temperature"),
        ({"api_key_env": "NO_SUCH_KEY"}, "the environment variable 'NO_SUCH_KEY' is not set"),
        ({"prompt": "recomend.en.v1"}, r"models\.closed\.prompt: no 'recomend.en.v1'"),
    ],
)
def test_a_config_that_cannot_work_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    write_reviews(tmp_path / "reviews.csv")
    with pytest.raises(ConfigError, match=message):
        prepare(str(write_config(tmp_path / "c.yaml", models={"closed": CLOSED | changes}, candidate="closed")))


@pytest.mark.slow
def test_an_audit_weighs_it_like_any_other_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the run the vendor's alias moves on, and the record says so."""
    monkeypatch.setenv("TEST_KEY", KEY)
    write_reviews(tmp_path / "reviews.csv")
    seen: list[str] = []

    def moving(message: str, _before: int) -> Said:
        seen.append(message)
        return Said(extra={"model": "fake-2"} if len(seen) > 15 else {})

    with fake_anthropic(moving) as server:
        own = {"base_url": server.url, "rows": 20, "price_per_million_tokens": {"read": 3, "written": 15}, "budget": 1}
        models = {"baseline": {"kind": "tfidf-logistic"}, "closed": CLOSED | own}
        config = write_config(tmp_path / "c.yaml", models=models, candidate="closed", incumbent="baseline")
        assert scope_of(str(config)).models["closed"] == {"price", "seconds", "endpoint"}
        record = run_audit(config, out=tmp_path / "runs").record
    entry = record.model("closed")
    assert (entry.kind, entry.source, entry.remote) == ("anthropic", "http://127.0.0.1", True)
    assert entry.sent["rows"] == len(server.messages) == 20
    assert entry.note == (f"its endpoint reported 2 versions in one run: {MODEL} (15 messages), fake-2 (5 messages)")
    assert entry.settings["spent"] == pytest.approx(20 * (7 * 3 + 2 * 15) / 1e6)
    [coverage] = [o for o in record.outcomes if (o.metric, o.model) == ("quality.coverage", "closed")]
    assert isinstance(coverage, Measurement)
    assert coverage.value == 1.0
    assert any(o.metric.startswith("quality.") and getattr(o, "unit", "") == "money" for o in record.outcomes)


@pytest.mark.parametrize(("kind", "sdk", "extra"), [(CLOSED, "anthropic", "anthropic"), ("openai", "openai", "api")])
def test_a_missing_sdk_is_told_before_anything_is_trained(
    kind: Any, sdk: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setitem(sys.modules, sdk, None)
    write_reviews(tmp_path / "reviews.csv")
    model = kind if kind is CLOSED else CLOSED | {"kind": kind, "base_url": "https://h/v1"}
    config = write_config(tmp_path / "c.yaml", models={"closed": model}, candidate="closed")
    with pytest.raises(MissingExtra, match=rf"models\.closed: kind {sdk} needs {sdk}: .*\[{extra}\]"):
        prepare(str(config))
