"""Asking, whatever the endpoint: what a kill costs, what a script plays, how soon a hiccup is tried again."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.runners.badday import BROKEN, BUSY, Day
from governance import run_audit
from governance.backends.api import OpenAIBackend
from governance.backends.asking import Asking
from governance.backends.base import Answer, Request
from governance.backends.cache import AnswerCache
from governance.backends.faults import TRIES
from governance.backends.limits import Limits, most
from governance.backends.line import _hasten
from governance.backends.prompts import Prompt
from governance.backends.scripted import Script, ScriptedBackend
from governance.backends.taskprompts import TaskPrompt
from governance.dataset import Labels, ModelText, ScrubbedText
from governance.errors import ConfigError
from governance.prepare import prepare
from tests.asked import KEY
from tests.asked import settings as told_backend
from tests.fakeanthropic import Said, fake_anthropic
from tests.fakeserver import Play, fake_server
from tests.tiny import write_config, write_reviews

LABELS = Labels(("no", "yes"), "yes")
LABEL = Prompt.load("recommend.en.v1").bind(LABELS)
WRITE = TaskPrompt.load("qa.en.v1").bind(("context", "question"), ranks=False)
PRICE, EACH = (1_000.0, 10_000.0), 0.027  # the fake servers count 7 tokens read and 2 written
SERVERS: dict[str, Any] = {"openai": (fake_server, Play), "anthropic": (fake_anthropic, Said)}


def questions(n: int) -> list[Request]:
    return [
        Request({"context": ScrubbedText("30 days"), "question": ScrubbedText(f"how long for {i}?")}) for i in range(n)
    ]


def texts(n: int, word: str = "review") -> list[ModelText]:
    return [ScrubbedText(f"{word} {i}") for i in range(n)]


def played(script: Script, prompt: Any = LABEL, **how: Any) -> ScriptedBackend:
    return ScriptedBackend(script, prompt=prompt, gate=lambda text, _: (text, {}), **how)


def labels(answers: Sequence[Answer]) -> list[str | None]:
    return [answer.label for answer in answers]


# -- tasks of words, killed and within a budget --------------------------------------------------

AUDIT = """
import sys
from pathlib import Path
from pydantic import SecretStr
from governance.backends.anthropic import AnthropicBackend
from governance.backends.api import OpenAIBackend
from governance.backends.cache import AnswerCache
from governance.backends.limits import Limits
from tests.test_runner import PRICE, WRITE, questions
kind, url, file, budget, key = sys.argv[1:]
make = {"openai": OpenAIBackend, "anthropic": AnthropicBackend}[kind]
with AnswerCache(Path(file)) as cache:
    asked = make(
        base_url=url, model="m", prompt=WRITE, gate=lambda text, _: (text, {}), api_key=SecretStr(key), cache=cache,
        concurrency=2, max_tokens=8, limits=Limits(price=PRICE, budget=float(budget)),
    )
    answers = asked.write(questions(60))
print(sum(answer.output == "30 days" for answer in answers), asked.spent)
"""


def worst() -> float:
    """The most that one of sixty questions can cost."""
    bound = most(WRITE.system, WRITE.fill(questions(60)[-1]).text, 8)
    return (bound.read * PRICE[0] + bound.written * PRICE[1]) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "answered"), [("openai", 60), ("openai", 40), ("anthropic", 60), ("anthropic", 40)])
def test_a_killed_run_of_written_answers_pays_for_nothing_twice_and_keeps_its_budget(
    tmp_path: Path, kind: str, answered: int
) -> None:
    serve, says = SERVERS[kind]
    budget = worst() + (answered - 0.5) * EACH
    with serve(lambda *_: says("30 days", delay=0.02)) as server:
        command = [sys.executable, "-c", AUDIT, kind, server.url, str(tmp_path / "c"), str(budget), KEY]
        with subprocess.Popen(command) as audit:
            while sum(server.answered.values()) < 15 and audit.poll() is None:
                time.sleep(0.005)
            os.kill(audit.pid, signal.SIGKILL)
        time.sleep(0.2)
        with AnswerCache(tmp_path / "c") as cache:
            kept = len(cache)
        assert 10 <= kept < answered
        before = Counter(server.messages)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        written, spent = done.stdout.split()
        assert (int(written), float(spent)) == (answered, pytest.approx(answered * EACH))
        # What was on its way when the run died is lost to it: at most two messages, of which it was told nothing.
        assert sum((Counter(server.messages) - before).values()) == answered - kept
        assert sum(before.values()) <= kept + 2
        assert len(server.messages) * EACH <= budget + 2 * EACH


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_writing_stops_before_the_budget_is_passed(kind: str, concurrency: int) -> None:
    from governance.backends.anthropic import AnthropicBackend

    serve, says = SERVERS[kind]
    make: Any = {"openai": OpenAIBackend, "anthropic": AnthropicBackend}[kind]
    limits = Limits(price=PRICE, budget=worst() + 20.5 * EACH)
    with serve(lambda *_: says("30 days")) as server:
        told = told_backend(server.url, prompt=WRITE, limits=limits, concurrency=concurrency, max_tokens=8)
        asked: Asking = make(**told)
        answers = asked.write(questions(60)[10:])
        assert len(server.messages) == 21
    assert asked.spent == pytest.approx(21 * EACH)
    assert [answer.output for answer in answers] == ["30 days"] * 21 + [None] * 29
    assert {answer.failure for answer in answers[21:]} == {"not asked: the money budget was reached"}


# -- a script ------------------------------------------------------------------------------------


def test_a_script_gives_a_message_the_same_answer_whenever_and_by_whomever_it_is_asked() -> None:
    script = Script(("Yes", "No", "maybe"), {"timed out": 0.2})
    asked = texts(200)
    first = played(script).classify(asked)
    assert list(reversed(played(script, concurrency=32).classify(asked[::-1]))) == list(first)
    assert {answer.label for answer in first} == {"yes", "no", None}
    assert {answer.failure for answer in first} == {None, "timed out", "answer is not a label"}
    assert labels(played(script).classify(texts(200, "other"))) != labels(first)


@settings(deadline=None, max_examples=25)
@given(shares=st.lists(st.floats(0, 1), min_size=1, max_size=3), words=st.integers(1, 4), kind=st.integers(0, 10**6))
def test_a_script_s_shares_are_what_it_says_within_chance(shares: list[float], words: int, kind: int) -> None:
    """Five standard deviations of a binomial, on fresh messages each time."""
    n, total = 3_000, sum(shares)
    failing = {f"fault {i}": share / total if total > 1 else share for i, share in enumerate(shares)}
    script = Script([f"word {i}" for i in range(words)], failing)
    found = Counter(
        play if isinstance(play, str) else play.reason for play in (script.play(f"{kind} {i}") for i in range(n))
    )
    answered = max(0.0, 1 - sum(failing.values()))
    expected = failing | {f"word {i}": answered / words for i in range(words)}
    assert found.keys() <= expected.keys()
    for name, share in expected.items():
        assert abs(found[name] - n * share) <= 5 * math.sqrt(n * share * (1 - min(1, share))) + 1


@pytest.mark.parametrize("failing", [{"a": 0.6, "b": 0.6}, {"a": -0.1}, {"a": 1.1}, {"a": math.nan}])
def test_a_script_of_impossible_shares_is_refused(failing: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="failing: expected shares that sum to at most 1"):
        Script(("Yes",), failing)


def test_a_script_without_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="answers: expected at least one"):
        Script(())


def test_a_delay_is_waited_for_as_many_at_once_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    under_way = most_at_once = 0
    sleep = asyncio.sleep

    async def watched(seconds: float) -> None:
        nonlocal under_way, most_at_once
        waits.append(seconds)
        under_way += 1
        most_at_once = max(most_at_once, under_way)
        await sleep(0)
        await sleep(0)
        under_way -= 1

    monkeypatch.setattr("governance.backends.scripted.asyncio.sleep", watched)
    answers = played(Script(("Yes",), delay=30.0), concurrency=7).classify(texts(50))
    assert waits == [30.0] * 50
    assert most_at_once == 7
    assert {answer.seconds for answer in answers} == {30.0}


class Counted(Script):
    """Counts what is played."""

    def play(self, message: str) -> Any:
        PLAYS.append(message)
        return super().play(message)


PLAYS: list[str] = []


def test_a_script_s_answers_are_kept_and_its_faults_are_tried_again(tmp_path: Path) -> None:
    script = Counted(("Yes", "No"), {"timed out": 0.3})
    with AnswerCache(tmp_path / "c") as cache:
        del PLAYS[:]
        first = played(script, cache=cache).classify(texts(100))
        lost = sum(answer.failure is not None for answer in first)
        assert 10 < lost < 60
        assert (len(PLAYS), len(cache)) == (100, 100 - lost)
        again = played(script, cache=cache).classify(texts(100))
        assert (list(again), len(PLAYS)) == (list(first), 100 + lost)
        # Another script is somebody else: nothing of this one's is reused.
        assert set(labels(played(Script(("Yes",)), cache=cache).classify(texts(100)))) == {"yes"}


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_stops_a_script(concurrency: int) -> None:
    prompts = [LABEL.fill(text).text for text in texts(90)[10:]]
    read = most(LABEL.system, prompts[0], 3).read
    each = (read * PRICE[0] + 3 * PRICE[1]) / 1e6
    limits = Limits(price=PRICE, budget=10.5 * each)
    asked = played(Script(("Yes",)), limits=limits, concurrency=concurrency, max_tokens=3)
    assert labels(asked.classify(texts(90)[10:])) == ["yes"] * 10 + [None] * 70
    assert asked.spent == pytest.approx(10 * each)


def test_a_script_speaks_chinese_in_every_kind_of_task() -> None:
    prompt = Prompt.load("recommend.zh.v1").bind(LABELS)
    answers = played(Script(("是。", "不推荐")), prompt).classify(
        [ScrubbedText(f"质量很好，第{i}件") for i in range(20)]
    )
    assert set(labels(answers)) == {"yes", "no"}
    asking = TaskPrompt.load("qa.zh.v1").bind(("context", "question"), ranks=False)
    request = Request({"context": ScrubbedText("七天内可以退货。"), "question": ScrubbedText("几天内可以退货？")})
    assert [one.output for one in played(Script(("七天内",)), asking).write([request])] == ["七天内"]
    ranking = TaskPrompt.load("ranking.zh.v1").bind(("query",), ranks=True)
    ranked = Request({"query": ScrubbedText("能退吗")}, tuple(map(ScrubbedText, ("能退", "不知道", "七天内可以"))))
    assert [one.scores for one in played(Script(("3，1",)), ranking).rank([ranked])] == [(1.0, 0.0, 2.0)]


# -- a script in a config ------------------------------------------------------------------------


def scripted(**change: Any) -> dict[str, Any]:
    return {"kind": "scripted", "prompt": "recommend.en.v1", "answers": ["Yes", "No"], **change}


@pytest.mark.slow
def test_an_audit_plays_a_script_beside_a_trained_model(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    models = {"baseline": {"kind": "tfidf-logistic"}, "script": scripted(failing={"timed out": 0.25})}
    config = write_config(tmp_path / "c.yaml", models=models, evaluators=[{"name": "quality", "draws": 200}])
    record = run_audit(config, out=tmp_path / "runs").record
    [coverage] = [one for one in record.outcomes if (one.metric, one.model) == ("quality.coverage", "script")]
    [accuracy] = [one for one in record.outcomes if (one.metric, one.model) == ("quality.accuracy", "script")]
    assert 0.55 < coverage.value < 0.95
    assert coverage.counts["rows"] == record.data.rows_test
    assert accuracy.low < 0.5 + 0.2
    assert accuracy.n == coverage.counts["successes"]
    entry = next(model for model in record.models if model.name == "script")
    assert entry.source == "a script in the config"
    assert "its figures say nothing of any model" in str(entry.note)
    again = run_audit(write_config(tmp_path / "d.yaml", models=models, evaluators=["quality"]), out=tmp_path / "runs")
    [same] = [one for one in again.record.outcomes if (one.metric, one.model) == ("quality.coverage", "script")]
    assert same.counts == coverage.counts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answers": []}, r"models\.script.*answers"),
        ({"failing": {"timed out": 1.5}}, r"models\.script.*failing"),
        ({"failing": {"timed out": 0.6, "refused": 0.6}}, "failing: expected shares that sum to at most 1"),
        ({"delay": -1}, r"models\.script.*delay"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "base_url: expected none; a script is nobody's endpoint"),
        ({"model": "m"}, "model: expected none"),
        ({"api_key_env": "KEY"}, "api_key_env: expected none"),
        ({"budget": 1}, "budget: expected price_per_million_tokens"),
        ({"answer": ["Yes"]}, r"models\.script.*answer"),
        ({"prompt": "recomend.en.v1"}, r"recommend\.en\.v1"),
    ],
)
def test_a_script_s_wrong_settings_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_reviews(tmp_path / "reviews.csv", 40)
    config = write_config(tmp_path / "c.yaml", models={"script": scripted(**change)}, candidate="script")
    with pytest.raises(ConfigError, match=said):
        prepare(str(config))


# -- hiccups ---------------------------------------------------------------------------------------


def hastened(status: int, tries: int = 1, **headers: str) -> dict[str, str]:
    request = httpx2.Request("POST", "http://127.0.0.1/v1", extensions={TRIES: tries})
    response = httpx2.Response(status, headers={n.replace("_", "-"): v for n, v in headers.items()}, request=request)
    _hasten(response)
    return dict(response.headers)


@pytest.mark.parametrize("status", [500, 502])
def test_a_hiccup_is_tried_again_soon_then_ever_later(status: int) -> None:
    for tries, longest in ((1, 100), (2, 400), (3, 1_600), (4, 6_400), (5, 8_000), (20, 8_000)):
        waits = [int(hastened(status, tries)["retry-after-ms"]) for _ in range(40)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize("status", [429, 503, 504, 529, 408, 404])
def test_too_much_to_do_is_no_hiccup(status: int) -> None:
    assert "retry-after-ms" not in hastened(status)


@pytest.mark.parametrize("told", [{"retry_after": "7"}, {"retry_after_ms": "9"}, {"retry_after": "tomorrow"}])
def test_an_endpoint_that_says_when_is_heard(told: dict[str, str]) -> None:
    assert hastened(500, **told) == {name.replace("_", "-"): value for name, value in told.items()}


def test_a_bad_day_is_as_bad_as_it_says_and_notices_what_is_asked_again() -> None:
    day = Day()
    found = Counter(day.status(f"review {i}") for i in range(20_000))
    for status, share in ((429, BUSY), (500, BROKEN)):
        assert abs(found[status] / 20_000 - share) < 5 * math.sqrt(share / 20_000)
    day.answered.update({"a": 1, "b": 3})
    assert day.report()["repeated"] == 2
