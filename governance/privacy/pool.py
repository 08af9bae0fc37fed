"""Scrubbing on several cores: whole scrubbers in processes of their own, fed shard by shard.

A caller that stores each shard as it comes can be killed at any moment and go on from the last one.
Workers end with their parent, even when it is killed: they hold raw text.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from governance.errors import ScrubError
from governance.privacy.policy import ScrubPolicy
from governance.privacy.scrubber import Direction, Scrubbed, Scrubber

SHARD = 500
"""Texts that are scrubbed, and come back, together."""
_AHEAD = 2  # shards in flight per worker: enough to keep it busy, few enough to keep memory flat

_scrubber: Scrubber | None = None  # one per worker process, made on its first shard


def scrub_parallel(
    texts: Sequence[str], policy: ScrubPolicy, direction: Direction = "train", *, workers: int = 2, shard: int = SHARD
) -> Iterator[list[Scrubbed]]:
    """Scrub texts on `workers` processes; yields the results shard by shard, in order.

    Same results as one `Scrubber`. With one worker, or no more texts than a shard, no process is started.

    Args:
        texts: raw texts, shape (n,).
        policy: what to look for.
        direction: where the texts are going.
        workers: processes, >= 1; each takes about 200 MB.
        shard: texts per shard, >= 1.

    Raises:
        ConfigError: a model that the policy names is not installed.
        ScrubError: as `Scrubber.scrub_many` (positions count from the first text), or a worker died.
        ValueError: `workers` or `shard` below 1.
    """
    if workers < 1 or shard < 1:
        raise ValueError(f"expected at least 1 worker and 1 text per shard, got {workers} and {shard}")
    policy.require_models()
    for position, text in enumerate(texts):  # before any work: a bad row at the end must not cost an hour
        if not isinstance(text, str):
            raise ScrubError(f"text {position}: expected a string, found {type(text).__name__}")
    shards = [texts[start : start + shard] for start in range(0, len(texts), shard)]
    if workers == 1 or len(shards) <= 1:
        return _in_process(shards, policy, direction)
    return _in_pool(shards, policy, direction, min(workers, len(shards)))


def _in_process(shards: Sequence[Sequence[str]], policy: ScrubPolicy, direction: Direction) -> Iterator[list[Scrubbed]]:
    scrubber = Scrubber(policy) if shards else None
    for texts in shards:
        assert scrubber is not None  # noqa: S101 - narrows the type; there are shards
        yield scrubber.scrub_many(texts, direction)


def _in_pool(
    shards: Sequence[Sequence[str]], policy: ScrubPolicy, direction: Direction, workers: int
) -> Iterator[list[Scrubbed]]:
    # spawn: a fork would copy the parent's torch threads and locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start)
    waiting: deque[Future[list[Scrubbed]]] = deque()
    left = iter(shards)
    try:
        for texts in left:
            waiting.append(executor.submit(_scrub, list(texts), policy, direction))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        message = "a scrubbing process died (out of memory?); nothing of its shard was passed on. Try fewer workers"
        raise ScrubError(message) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """Runs first in every worker."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # no clean-up: the queues' other end is gone, and nothing may be written


def _scrub(texts: list[str], policy: ScrubPolicy, direction: Direction) -> list[Scrubbed]:
    global _scrubber  # noqa: PLW0603 - a process's only state: loading a scrubber takes seconds
    if _scrubber is None:
        _scrubber = Scrubber(policy)
    return _scrubber.scrub_many(texts, direction)
