"""A long scrub that a kill can't undo: each finished shard is kept, and a second attempt goes on from the last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from governance import atrest
from governance.dataset import ScrubbedText
from governance.privacy.policy import ScrubPolicy
from governance.privacy.pool import SHARD, scrub_parallel
from governance.privacy.scrubber import Scrubbed


def scrub_shards(texts: Sequence[str], policy: ScrubPolicy, *, workers: int, keep: Path) -> Iterator[list[Scrubbed]]:
    """Scrub texts shard by shard, in order, keeping each in a folder.

    Args:
        texts: raw texts. What is kept must come from the same texts and policy: the folder belongs to a stage
            whose name is their digest.
        policy: what to look for.
        workers: processes.
        keep: folder for finished shards; holds scrubbed text only.

    Raises:
        ScrubError: as `scrub_parallel`; positions count from the first text that is not kept yet.
    """
    number = 0
    while atrest.kept(path := keep / f"{number:06d}.json") is not None:
        yield [Scrubbed(ScrubbedText(text), counts) for text, counts in json.loads(atrest.read(path))]
        number += 1
    for shard in scrub_parallel(texts[number * SHARD :], policy, workers=workers):
        rows = [[scrubbed.text.text, dict(scrubbed.counts)] for scrubbed in shard]
        atrest.keep(keep / f"{number:06d}.json", json.dumps(rows, ensure_ascii=False).encode())
        yield shard
        number += 1


def scrub_kept(
    texts: Sequence[str], policy: ScrubPolicy, *, workers: int, keep: Path, advance: Callable[[int], None]
) -> tuple[list[ScrubbedText], dict[str, int]]:
    """All shards: scrubbed texts in order, and entity -> pieces taken out; see `scrub_shards`.

    Args:
        texts: raw.
        policy: what to look for.
        workers: processes.
        keep: folder for finished shards.
        advance: told how many texts are done more.
    """
    done: list[ScrubbedText] = []
    replaced: Counter[str] = Counter()
    for shard in scrub_shards(texts, policy, workers=workers, keep=keep):
        for scrubbed in shard:
            done.append(scrubbed.text)
            replaced.update(scrubbed.counts)
        advance(len(shard))
    return done, dict(sorted(replaced.items()))
