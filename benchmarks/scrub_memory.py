"""Memory of a long scrub: distinct text in, the resident memory of every process sampled each second.

    .venv/bin/python -m benchmarks.scrub_memory --mb 1000 --policy patterns
    .venv/bin/python -m benchmarks.scrub_memory --mb 50 --policy default

Warm-up is the first fifth of the text; the slope is a least-squares line through what follows, in percent of the
memory at its start per 10 MB of text that a worker was given. The text never stands in a file: reading and writing
have their own tests.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil
import pyarrow as pa

from governance.engine import map_batches
from governance.offline import stay_home
from governance.privacy.files.rowfiles import SHARD_ROWS
from governance.privacy.files.work import scrubbing
from governance.privacy.policy import load_policy

WARM_UP = 0.2
WORDS = """
the dress is so soft and fits true to size I wore it for a wedding colour faded after one wash sleeves run long zip
broke returned love this fabric cheap looking waist sits high would buy again my daughter petite medium large
"""
CHINESE = "这条裙子很显瘦面料舒服尺码偏小发货快客服态度好洗了一次就褪色性价比高推荐购买包装破损退货麻烦颜色和图片一样"


PERSONAL = 20
"""One text in so many holds personal data: four values."""


def review(rng: random.Random, number: int) -> str:
    """About 270 characters, no two alike: rare words, so that no cache of words can hold them all."""
    rare = "".join(rng.choices(string.ascii_lowercase, k=9))
    personal = number % PERSONAL == 0
    if number % 4 == 1 or number % (2 * PERSONAL) == 0:
        text = "".join(rng.choices(CHINESE, k=110 if personal else 150))
        values = f"联系{rare}@mail{number}.com或手机13{rng.randrange(10**9):09d}。订单{number:012d}" if personal else ""
        return f"{text}，{rare}。{values}"
    words = " ".join(rng.choices(WORDS.split(), k=32 if personal else 50))
    phone = f"{rng.randrange(200, 999)}-555-{rng.randrange(10_000):04d}"
    values = f" Ask {rare.title()} Jones, {rare}@mail{number}.com, {phone}. Order {number}." if personal else ""
    return f"{rare.title()} {words}.{values}"


def batches(megabytes: float, fed: list[int]) -> Iterator[pa.Array]:
    """Texts up to a size, a shard at a time; `fed` counts their bytes."""
    rng, number = random.Random(0), 0  # noqa: S311 - made-up texts
    while fed[0] < megabytes * 1e6:
        texts = [review(rng, number + row) for row in range(SHARD_ROWS)]
        number += SHARD_ROWS
        fed[0] += sum(len(text.encode()) for text in texts)
        yield pa.array(texts, pa.large_string())


@dataclass
class Sampler(threading.Thread):
    """Resident memory of this process and its children, once a second."""

    done: list[int]
    rows: list[tuple[float, float, dict[int, float]]] = field(default_factory=list)  # seconds, MB of text, pid -> MB
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        me, began = psutil.Process(), time.monotonic()
        while not self.ended.wait(1):
            memory = {}
            for process in [me, *me.children(recursive=True)]:
                try:
                    memory[process.pid] = process.memory_info().rss / 1e6
                except psutil.NoSuchProcess:
                    continue
            self.rows.append((time.monotonic() - began, self.done[0] / 1e6, memory))

    __hash__ = threading.Thread.__hash__


def slope(text: np.ndarray, memory: np.ndarray) -> float:
    """Percent of the first fitted value per 10 MB of text."""
    if len(text) < 3 or np.ptp(text) == 0:
        return float("nan")
    rise, _ = np.polyfit(text, memory, 1)
    return float(100 * rise * 10 / memory[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--mb", type=float, default=20)
    parser.add_argument("--policy", default="patterns")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    stay_home()
    work = scrubbing(load_policy(options.policy), "train", "text")
    fed, done = [0], [0]
    sampler = Sampler(done)
    sampler.start()
    began = time.monotonic()
    for texts, _ in map_batches(batches(options.mb, fed), work.factory, workers=options.workers):
        done[0] += texts.nbytes
    seconds = time.monotonic() - began
    sampler.ended.set()
    sampler.join()
    report(sampler, options, seconds, fed[0] / 1e6)


def report(sampler: Sampler, options: argparse.Namespace, seconds: float, text_mb: float) -> None:
    total = sampler.rows[-1][1]
    warm = [row for row in sampler.rows if row[1] >= WARM_UP * total]
    share = 1 / options.workers  # of the text that one worker read
    # Workers alone: the parent, and multiprocessing's tracker (14 MB), don't scrub.
    me = psutil.Process().pid
    workers = sorted(
        {pid for _, _, memory in warm for pid, size in memory.items() if size > 40}
        - ({me} if options.workers > 1 else set())
    )
    print(f"{'process':>10}{'start MB':>10}{'end MB':>10}{'peak MB':>10}{'% per 10 MB':>13}")
    figures = []
    for pid in [me, *(pid for pid in workers if pid != me)]:
        seen = [(text * share, memory[pid]) for _, text, memory in warm if pid in memory]
        text, memory = (np.array(column) for column in zip(*seen, strict=True))
        peak = max(memory[pid] for _, _, memory in sampler.rows if pid in memory)
        figures.append((pid, memory[0], memory[-1], peak, slope(text, memory)))
        name = "parent" if pid == me and options.workers > 1 else str(pid)
        print(f"{name:>10}{memory[0]:>10.0f}{memory[-1]:>10.0f}{peak:>10.0f}{figures[-1][4]:>13.2f}")
    mine = [row for row in figures if row[0] in workers]
    print(
        json.dumps(
            {
                "policy": options.policy,
                "workers": options.workers,
                "text_mb": round(text_mb, 1),
                "seconds": round(seconds, 1),
                "worker_rss_mb_start": round(max(row[1] for row in mine), 1),
                "worker_rss_mb_end": round(max(row[2] for row in mine), 1),
                "slope_percent_per_10mb": round(max(row[4] for row in mine), 3),
                "peak_rss_mb": round(max(row[3] for row in figures), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
