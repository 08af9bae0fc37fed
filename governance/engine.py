"""One function over a stream of batches: in this process, in a pool of processes, or on a Ray Data actor pool.

Results come in the order of the batches, whatever the engine, and only a few batches are under way at once,
so memory doesn't grow with the stream. Workers end with their parent, even when it is killed: they hold raw text.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.connection import wait
from typing import Any, Literal, TypeVar

from governance.errors import ScrubError

Engine = Literal["local", "ray"]
T = TypeVar("T")
R = TypeVar("R")
Factory = Callable[[], Callable[[T], R]]
"""Makes a worker's function. Must pickle; is called once per worker, on its first batch."""

_AHEAD = 2  # batches under way per worker: enough to keep it busy, few enough to keep memory flat

_function: Callable[[Any], Any] | None = None  # one per worker process


def map_batches(
    batches: Iterable[T], factory: Factory[T, R], *, engine: Engine = "local", workers: int = 1
) -> Iterator[R]:
    """Apply a function to each batch; yields the results in order.

    With one local worker, or a single batch, no process is started.

    Args:
        batches: read as they are needed, a few ahead of the results.
        factory: makes the function, in each worker.
        engine: `local`, or `ray` for a Ray Data actor pool on this machine (extra `ray`).
        workers: processes or actors, >= 1.

    Raises:
        ScrubError: a worker died, or Ray lost one.
        MissingExtra: Ray is not installed.
        BackendError: Ray doesn't start.
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"expected at least 1 worker, got {workers}")
    if engine == "ray":
        from governance.rayengine import require_ray

        require_ray()
    return _mapped(iter(batches), factory, engine, workers)


def _mapped(batches: Iterator[T], factory: Factory[T, R], engine: Engine, workers: int) -> Iterator[R]:
    first = list(islice(batches, 2))
    if not first:
        return
    rest = chain(first, batches)
    if engine == "ray":
        from governance.rayengine import map_on_ray

        yield from map_on_ray(rest, factory, workers)
    elif workers == 1 or len(first) == 1:
        yield from map(factory(), rest)
    else:
        yield from _in_pool(rest, factory, workers)


def _in_pool(batches: Iterator[T], factory: Factory[T, R], workers: int) -> Iterator[R]:
    # spawn: a fork would copy the parent's torch threads and locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start)
    under_way: deque[Future[R]] = deque()
    try:
        for batch in batches:
            under_way.append(executor.submit(_call, factory, batch))
            if len(under_way) >= workers * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool:
        message = "a scrubbing process died (out of memory?); nothing of its batch was passed on. Try fewer workers"
        raise ScrubError(message) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """Runs first in every worker."""
    # A terminal's Ctrl-C reaches the workers too: the parent alone decides, and says so without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # no clean-up: the queues' other end is gone, and nothing may be written


def _call(factory: Factory[T, R], batch: T) -> R:
    global _function  # noqa: PLW0603 - a process's only state: making the function takes seconds
    if _function is None:
        _function = factory()
    return _function(batch)
