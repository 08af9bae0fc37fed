"""The engine: the results of a loop, in its order, with little under way and nothing left behind."""

from __future__ import annotations

import functools
import multiprocessing
import operator
import os
import signal
from collections.abc import Iterator

import pytest

from governance.engine import map_batches
from governance.errors import ScrubError

NEGATE = functools.partial(functools.partial, operator.neg)
"""A factory that pickles: called, it makes `neg`."""
TOTAL = functools.partial(functools.partial, sum)


def test_no_batches_no_function() -> None:
    def never() -> object:
        raise AssertionError

    assert list(map_batches([], never)) == []  # type: ignore[arg-type]


def test_one_worker_reads_only_what_it_needs() -> None:
    read = []

    def batches() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    results = map_batches(batches(), NEGATE)
    assert [next(results), next(results)] == [0, -1]
    assert len(read) <= 3


def test_single_batch_starts_no_process() -> None:
    assert list(map_batches([1], functools.partial(functools.partial, lambda _: os.getpid()), workers=2)) == [
        os.getpid()
    ]


def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 worker, got 0"):
        map_batches([1], NEGATE, workers=0)


def test_error_of_the_stream_reaches_the_caller() -> None:
    def batches() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("no more")

    results = map_batches(batches(), NEGATE)
    assert [next(results), next(results)] == [-1, -2]
    with pytest.raises(KeyError, match="no more"):
        next(results)


@pytest.mark.slow
def test_pool_keeps_the_order_and_reads_a_few_ahead() -> None:
    read = []

    def batches() -> Iterator[int]:
        for number in range(200):
            read.append(number)
            yield number

    results = map_batches(batches(), NEGATE, workers=2)
    assert [next(results) for _ in range(5)] == [0, -1, -2, -3, -4]
    assert len(read) <= 5 + 2 * 2
    assert list(results) == [-number for number in range(5, 200)]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_error_in_a_worker_is_the_callers() -> None:
    with pytest.raises(TypeError):
        list(map_batches([[1], [2], ["x"]], TOTAL, workers=2))
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_dead_worker_is_an_error() -> None:
    results = map_batches(iter(range(10_000)), NEGATE, workers=2)
    next(results)
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    with pytest.raises(ScrubError, match="a scrubbing process died"):
        list(results)
