"""Scrubbing on several cores: whole scrubbers in processes of their own, fed shard by shard.

A caller that stores each shard as it comes can be killed at any moment and go on from the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from governance.engine import map_batches
from governance.privacy.policy import ScrubPolicy
from governance.privacy.scrubber import Scrubbed, Scrubber, require_strings

SHARD = 500
"""Texts that are scrubbed, and come back, together."""


def scrub_parallel(
    texts: Sequence[str], policy: ScrubPolicy, *, workers: int = 2, shard: int = SHARD
) -> Iterator[list[Scrubbed]]:
    """Scrub texts for training on `workers` processes; yields the results shard by shard, in order.

    Same results as one `Scrubber`. With one worker, or no more texts than a shard, no process is started.

    Args:
        texts: raw texts, shape (n,).
        policy: what to look for.
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
    require_strings(texts)  # before any work: a bad row at the end must not cost an hour
    shards = (list(texts[start : start + shard]) for start in range(0, len(texts), shard))
    return map_batches(shards, partial(_scrubbing, policy), workers=workers)


def _scrubbing(policy: ScrubPolicy) -> Callable[[Sequence[str]], list[Scrubbed]]:
    scrubber = Scrubber(policy)
    return lambda texts: scrubber.scrub_many(texts, "train")
