"""Scrubbing in processes: the same results, nothing left behind, closed when a worker dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from governance.errors import ConfigError, ScrubError
from governance.privacy import pool
from governance.privacy.policy import EntityRule, ScrubPolicy, load_policy
from governance.privacy.scrubber import Scrubber

TEXTS = [f"{number} me{number}@x.org 卡号4111111111111111" if number % 3 else "so soft" for number in range(23)]


def test_one_worker_yields_shards_in_order() -> None:
    policy = load_policy("patterns")
    shards = list(pool.scrub_parallel(TEXTS, policy, workers=1, shard=5))
    assert [len(shard) for shard in shards] == [5, 5, 5, 5, 3]
    assert [row for shard in shards for row in shard] == Scrubber(policy).scrub_many(TEXTS, "train")


def test_no_texts_no_work() -> None:
    assert list(pool.scrub_parallel([], load_policy("patterns"))) == []


def test_bad_row_is_named_before_any_work() -> None:
    with pytest.raises(ScrubError, match="text 7: expected a string, found NoneType"):
        pool.scrub_parallel([*TEXTS[:7], None], load_policy("patterns"))  # type: ignore[list-item]


@pytest.mark.parametrize("settings", [{"workers": 0}, {"shard": 0}])
def test_senseless_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 worker"):
        pool.scrub_parallel(TEXTS, load_policy("patterns"), **settings)  # type: ignore[arg-type]


def test_missing_model_is_refused_before_any_process_starts() -> None:
    policy = ScrubPolicy(ner={"en": "no_such_model"}, entities={"PERSON": EntityRule()})
    with pytest.raises(ConfigError, match="no_such_model"):
        pool.scrub_parallel(TEXTS, policy)


@pytest.mark.slow
def test_two_workers_give_what_one_scrubber_gives() -> None:
    policy = load_policy("patterns")
    parallel = [row for shard in pool.scrub_parallel(TEXTS, policy, workers=2, shard=4) for row in shard]
    assert parallel == Scrubber(policy).scrub_many(TEXTS, "train")


@pytest.mark.slow
def test_caller_that_stops_early_leaves_no_worker() -> None:
    shards = pool.scrub_parallel(TEXTS, load_policy("patterns"), workers=2, shard=4)
    assert len(next(shards)) == 4
    shards.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_dead_worker_is_an_error_not_a_gap() -> None:
    shards = pool.scrub_parallel(TEXTS * 40, load_policy("patterns"), workers=2, shard=4)
    next(shards)
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    with pytest.raises(ScrubError, match="a scrubbing process died") as caught:
        list(shards)
    assert not isinstance(caught.value.__cause__, BrokenProcessPool)


PARENT = """
import multiprocessing, sys, time
from governance.privacy.policy import load_policy
from governance.privacy.pool import scrub_parallel
if __name__ == "__main__":
    shards = scrub_parallel(["me@x.org"] * 4000, load_policy("patterns"), workers=2, shard=4)
    next(shards)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(pool.__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.communicate()
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(map(_runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_runs, workers))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
