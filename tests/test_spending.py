"""A money budget and limits per minute, for every vendor's API: counted at the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.backends.anthropic import AnthropicBackend
from governance.backends.api import OpenAIBackend
from governance.backends.asking import Asking
from governance.backends.cache import AnswerCache
from governance.backends.limits import MINUTE, Limits, Pace, Spending, Tokens, most
from governance.backends.prompts import Prompt
from governance.contenders.closed import noted
from governance.dataset import ModelText, ScrubbedText
from governance.modelconfig import ClosedModel
from tests.asked import FLAG, KEY
from tests.asked import settings as told_backend
from tests.fakeanthropic import Said, fake_anthropic
from tests.fakeserver import SOON, Fake, Play, fake_server

PRICE = (1_000.0, 10_000.0)  # 7 tokens read and 2 written cost 0.027
REACHED = "not asked: the money budget was reached"

Answering = type[Play]
Serve = Callable[..., AbstractContextManager[Fake]]


class Vendor:
    """One kind of API: its server, how it says something, and our backend for it."""

    def __init__(self, serve: Serve, says: Answering, kind: type[Asking]) -> None:
        self.serve, self.says, self.kind = serve, says, kind

    def backend(self, url: str, limits: Limits, **change: Any) -> Asking:
        told = {"gate": lambda text, _: (text, {}), "max_tokens": 8, "limits": limits, **change}
        return self.kind(**told_backend(url, **told))


@pytest.fixture(params=["openai", "anthropic"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    if request.param == "openai":
        return Vendor(fake_server, Play, OpenAIBackend)
    return Vendor(fake_anthropic, Said, AnthropicBackend)


def many(n: int) -> list[ModelText]:
    return [ScrubbedText(f"review {i}") for i in range(n)]


def worst() -> float:
    """The most that one of `many` can cost."""
    prompt = Prompt.load("recommend.en.v1").bind(FLAG)
    bound = most(prompt.system, prompt.fill(ScrubbedText("review 99")).text, 8)
    return (bound.read * PRICE[0] + bound.written * PRICE[1]) / 1e6


@pytest.mark.parametrize("concurrency", [1, 8])
def test_asking_stops_before_the_budget_is_passed_and_the_rest_are_failures(vendor: Vendor, concurrency: int) -> None:
    each = (7 * PRICE[0] + 2 * PRICE[1]) / 1e6
    budget = worst() + 20.5 * each  # the twenty-second may not begin: at its worst it would pass the budget
    with vendor.serve(lambda *_: vendor.says()) as server:
        asked = vendor.backend(server.url, Limits(price=PRICE, budget=budget), concurrency=concurrency)
        answers = [*asked.classify(many(15)), *asked.classify(many(60)[15:])]
        assert len(server.messages) == 21
    assert asked.spent == pytest.approx(21 * each)
    assert asked.spent <= budget
    assert [answer.failure for answer in answers].count(REACHED) == 39
    assert sum(answer.label == "1" for answer in answers) == 21
    assert asked.sent == {"rows": 21}
    assert {answer.seconds for answer in answers if answer.failure} == {0.0}


def test_no_budget_is_no_limit_and_a_budget_of_nothing_asks_nothing(vendor: Vendor) -> None:
    with vendor.serve(lambda *_: vendor.says()) as server:
        free = vendor.backend(server.url, Limits())
        assert {answer.label for answer in free.classify(many(9))} == {"1"}
        assert free.spent is None
        del server.messages[:]
        assert {a.failure for a in vendor.backend(server.url, Limits(price=PRICE, budget=0)).classify(many(9))} == {
            REACHED
        }
        assert server.messages == []


def test_what_an_endpoint_does_not_count_is_counted_at_its_most(vendor: Vendor) -> None:
    with vendor.serve(lambda *_: vendor.says(extra={"usage": None})) as server:
        asked = vendor.backend(server.url, Limits(price=PRICE, budget=3.5 * worst()), concurrency=4)
        asked.classify(many(30)[10:])
        assert len(server.messages) == 3
        assert asked.spent == pytest.approx(3 * worst())


def test_errors_are_free_but_a_try_that_got_no_word_back_may_not_be(vendor: Vendor) -> None:
    busy = {"status": 503, "body": b"{}", "headers": SOON}
    with vendor.serve(lambda _, before: vendor.says(**busy) if before < 2 else vendor.says()) as server:
        asked = vendor.backend(server.url, Limits(price=PRICE))
        asked.classify(many(1))
        assert (len(server.messages), asked.spent) == (3, pytest.approx(0.027))
    with vendor.serve(lambda _, before: vendor.says(hang_up=before == 0)) as server:
        asked = vendor.backend(server.url, Limits(price=PRICE))
        asked.classify(many(100)[99:])
        assert (len(server.messages), asked.spent) == (2, pytest.approx(0.027 + worst()))


def test_answers_of_a_run_before_count_and_a_bigger_budget_asks_the_rest(vendor: Vendor, tmp_path: Path) -> None:
    with vendor.serve(lambda *_: vendor.says()) as server, AnswerCache(tmp_path / "c") as cache:
        small = Limits(price=PRICE, budget=worst() + 9.5 * 0.027)
        for _ in range(2):
            asked = vendor.backend(server.url, small, cache=cache, concurrency=2)
            answers = asked.classify(many(30))
            assert sum(answer.label is not None for answer in answers) == len(server.messages) == 10
            assert asked.spent == pytest.approx(10 * 0.027)
            asked.classify(many(10))
            assert asked.spent == pytest.approx(10 * 0.027)  # asked again, not paid again
        big = vendor.backend(server.url, Limits(price=PRICE, budget=10), cache=cache)
        assert {answer.label for answer in big.classify(many(30))} == {"1"}
        assert len(server.messages) == 30


AUDIT = """
import sys
from pathlib import Path
from pydantic import SecretStr
from governance.backends.anthropic import AnthropicBackend
from governance.backends.cache import AnswerCache
from governance.backends.limits import Limits
from governance.backends.prompts import Prompt
from governance.dataset import Labels, ScrubbedText
url, file, budget, read, written, key = sys.argv[1:]
prompt = Prompt.load("recommend.en.v1").bind(Labels(("0", "1"), positive="1"))
with AnswerCache(Path(file)) as cache:
    asked = AnthropicBackend(
        base_url=url, model="m", prompt=prompt,
        gate=lambda text, _: (text, {}), api_key=SecretStr(key), cache=cache, concurrency=2, max_tokens=8,
        limits=Limits(price=(float(read), float(written)), budget=float(budget)),
    )
    answers = asked.classify([ScrubbedText(f"review {i}") for i in range(90)])
print(sum(answer.label == "1" for answer in answers), asked.spent)
"""


@pytest.mark.slow
def test_a_killed_run_and_the_one_after_it_share_one_budget(tmp_path: Path) -> None:
    budget = worst() + 59.5 * 0.027
    with fake_anthropic(lambda *_: Said(delay=0.02)) as server:
        money = [str(budget), *map(str, PRICE)]
        command = [sys.executable, "-c", AUDIT, server.url, str(tmp_path / "c"), *money, KEY]
        with subprocess.Popen(command) as audit:
            while sum(server.answered.values()) < 20:
                time.sleep(0.005)
            os.kill(audit.pid, signal.SIGKILL)
        time.sleep(0.2)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        labels, spent = done.stdout.split()
        assert (int(labels), float(spent)) == (60, pytest.approx(60 * 0.027))
        # What was on its way when the run died is lost to it: at most `concurrency` messages.
        assert 60 <= len(server.messages) <= 62
        assert len(server.messages) * 0.027 <= budget + 2 * 0.027


@settings(deadline=None, max_examples=60)
@given(
    costs=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 60)), min_size=1, max_size=30),
    budget=st.integers(0, 400),
    workers=st.integers(1, 6),
)
def test_no_order_of_events_passes_a_budget(costs: list[tuple[int, int]], budget: int, workers: int) -> None:
    """Each request says at most what it may cost and then costs no more; the budget holds whatever is under way."""

    async def run() -> Spending:
        spending, queue, turn = Spending((1e6, 1e6), float(budget)), iter(enumerate(costs)), asyncio.Lock()

        async def work() -> None:
            for i, (bound, cost) in queue:
                async with turn:
                    granted = await spending.reserve(Tokens(bound, 0))
                if granted:
                    for _ in range(i % 3):
                        await asyncio.sleep(0)
                    spending.settle(Tokens(bound, 0), Tokens(min(cost, bound), 0))

        await asyncio.gather(*(work() for _ in range(workers)))
        return spending

    spending = asyncio.run(run())
    total, fits = 0, True
    for bound, cost in costs:
        fits = fits and total + bound <= budget
        total += min(cost, bound) if fits else 0
    assert spending.spent == total  # the very requests that one after the other would have been asked
    assert total <= budget
    assert spending.reached == (not fits)


def test_a_budget_needs_a_price() -> None:
    with pytest.raises(ValueError, match="a budget needs a price"):
        Limits(budget=1)
    with pytest.raises(ValueError, match="budget: expected price_per_million_tokens"):
        ClosedModel(kind="any", prompt="p", budget=1)


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@settings(deadline=None, max_examples=100)
@given(
    asks=st.lists(st.tuples(st.integers(1, 120), st.floats(0, 30)), min_size=1, max_size=40),
    requests=st.none() | st.integers(1, 8),
    tokens=st.none() | st.integers(1, 150),
)
def test_no_minute_holds_more_than_is_allowed(
    asks: list[tuple[int, float]], requests: int | None, tokens: int | None
) -> None:
    clock = Clock()
    pace = Pace(requests, tokens, clock=clock, sleep=clock.sleep)
    begun: list[tuple[float, int]] = []

    async def run() -> None:
        for amount, pause in asks:
            await pace.admit(amount)
            begun.append((clock.now, amount))
            clock.now += pause

    asyncio.run(run())
    for at, _ in begun:
        window = [amount for other, amount in begun if at <= other < at + MINUTE - 1e-6]
        assert requests is None or len(window) <= requests
        # What is larger than the limit by itself goes alone.
        assert tokens is None or sum(min(amount, tokens) for amount in window) <= tokens
    if requests is None and tokens is None:
        assert clock.now == pytest.approx(sum(pause for _, pause in asks))


def test_a_pace_is_no_slower_than_it_must_be_and_learns_what_was_used() -> None:
    clock = Clock()
    pace = Pace(None, 100, clock=clock, sleep=clock.sleep)

    async def run(correct: bool) -> float:
        started = clock.now
        for _ in range(10):
            place = await pace.admit(50)
            if correct:
                pace.correct(place, 10)
        return clock.now - started

    assert asyncio.run(run(correct=False)) == pytest.approx(4 * MINUTE)  # two at a time, ten in all
    clock.now += MINUTE
    # At 10 tokens each: six fit (50 + 50 thought of last), then the seventh waits for the minute to end.
    assert asyncio.run(run(correct=True)) == pytest.approx(MINUTE)


def test_tries_that_were_refused_hold_up_those_after_them() -> None:
    clock = Clock()
    pace = Pace(3, None, clock=clock, sleep=clock.sleep)

    async def run() -> None:
        await pace.admit(1)
        pace.note()
        pace.note()
        await pace.admit(1)

    asyncio.run(run())
    assert clock.now == pytest.approx(MINUTE)


def test_tries_count_as_requests(vendor: Vendor) -> None:
    busy = {"status": 503, "body": b"{}", "headers": SOON}
    clock = Clock()
    with vendor.serve(lambda _, before: vendor.says() if before else vendor.says(**busy)) as server:
        asked = vendor.backend(server.url, Limits(), concurrency=1)
        asked._pace = Pace(6, None, clock=clock, sleep=clock.sleep)
        assert {answer.label for answer in asked.classify(many(8))} == {"1"}
        assert len(server.messages) == 16
    assert clock.now == pytest.approx(2 * MINUTE)  # three of two tries each a minute


def test_a_token_limit_is_kept_by_what_was_used(vendor: Vendor) -> None:
    clock = Clock()
    with vendor.serve(lambda *_: vendor.says()) as server:
        asked = vendor.backend(server.url, Limits(), concurrency=1)
        asked._pace = Pace(None, 45, clock=clock, sleep=clock.sleep)
        assert {answer.label for answer in asked.classify(many(4))} == {"1"}
    # Each may take more than a minute allows, so it waits for an empty minute.
    assert clock.now == pytest.approx(3 * MINUTE)
    clock.now = 0.0
    with vendor.serve(lambda *_: vendor.says()) as server:
        asked = vendor.backend(server.url, Limits(), concurrency=1)
        asked._pace = Pace(None, 100_000, clock=clock, sleep=clock.sleep)
        asked.classify(many(4))
        assert sum(place.tokens for place in asked._pace._places) == 4 * 9
    assert clock.now == 0.0


def test_a_stop_while_waiting_for_a_place_asks_nothing_more(vendor: Vendor) -> None:
    clock = Clock()

    async def until_stopped(seconds: float) -> None:
        while not asked._stopped:
            await asyncio.sleep(0.001)
        await clock.sleep(seconds)

    with vendor.serve(lambda *_: vendor.says(status=401, body=b"{}")) as server:
        asked = vendor.backend(server.url, Limits(price=PRICE, budget=5), concurrency=3)
        asked._pace = Pace(1, None, clock=clock, sleep=until_stopped)
        answers = asked.classify(many(6))
        assert len(server.messages) == 1
        assert asked.spent == 0.0
        assert {str(answer.failure).removeprefix("not asked: ") for answer in answers} == {
            "HTTP 401: the endpoint refuses the key"
        }


def test_versions_are_counted_and_a_change_is_noted(vendor: Vendor) -> None:
    def moving(message: str, _before: int) -> Play:
        return vendor.says(extra={"model": "m-2" if "review 3" in message else "m-1"})

    with vendor.serve(moving) as server:
        asked = vendor.backend(server.url, Limits())
        answers = asked.classify(many(5))
    assert [answer.version for answer in answers] == ["m-1", "m-1", "m-1", "m-2", "m-1"]
    assert asked.versions == {"m-1": 4, "m-2": 1}
    assert asked.reported_model == "m-1, m-2"
    assert noted(None, {"versions": asked.versions}) == (
        "its endpoint reported 2 versions in one run: m-1 (4 messages), m-2 (1 messages)"
    )
    assert noted("as it was", {"versions": {"m-1": 4}}) == "as it was"
    assert noted(None, {}) is None
