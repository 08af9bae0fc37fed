"""A private run that is killed again and again: the budget book never shows less than what was taken."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

KILLS, STEPS = 20, 1500


def attempt(folder: Path, pause: float) -> None:
    """Start, or go on with, the run of a folder; every step that is begun leaves a byte behind."""
    import torch

    from governance.training import loop
    from governance.training.dp.steps import PrivateSteps
    from tests.dptasks import linear_task

    torch.set_num_threads(1)
    original = PrivateSteps.take

    def told(self: PrivateSteps, step: int) -> float:
        with (folder / "begun").open("ab") as file:
            file.write(b".")
        time.sleep(pause)
        return original(self, step)

    PrivateSteps.take = told  # type: ignore[method-assign]
    settings = loop.Settings(learning_rate=0.1, optimizer="sgd", average=0.5)
    loop.run(linear_task(), settings, folder / "checkpoints", plan=planned(), charges=account(folder))
    (folder / "finished").touch()


def planned() -> Any:
    """Noise that costs little in many steps."""
    from governance.training.dp.plan import Plan

    return Plan(
        n=12, units=12, sample_rate=0.3, steps=STEPS, batch=4, clipping=1.0, sigma=40.0, epsilon=2.0, delta=1e-3
    )  # fmt: skip


def account(folder: Path) -> Any:
    """The run's, in the real book."""
    from governance.budget.ledger import Ledger

    ledger = Ledger(folder / "book")
    data = ledger.fingerprint([{"text": f"row {i}"} for i in range(12)])
    return ledger.open_run("killed", data, planned().spent(STEPS), delta=1e-3)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_no_step_unpaid(tmp_path: Path) -> None:
    from governance.budget.accounting import epsilon_pld
    from governance.training.dp.plan import claim, epsilon_after

    context = multiprocessing.get_context("forkserver")  # torch is imported once, not twenty times
    needed = ["governance.training.loop", "governance.budget.ledger", "tests.dptasks", "opacus", "torch._dynamo"]
    context.set_forkserver_preload(needed)
    rng, charged, begun = random.Random(), [0], [0]
    for _ in range(KILLS):
        child = context.Process(target=attempt, args=(tmp_path, 0.004))
        child.start()
        if rng.random() < 0.75:  # else: perhaps before its first step
            _wait_for(tmp_path / "begun", begun[-1] + rng.randint(1, 40))
        time.sleep(rng.uniform(0.0, 0.05))
        child.kill()
        child.join()
        assert child.exitcode == -9, "the run ended before it was killed"
        begun.append(_size(tmp_path / "begun"))
        charged.append(account(tmp_path).charged)
        assert begun[-1] <= charged[-1], "a step was taken that nobody paid for"
        for state in (tmp_path / "checkpoints").glob("*/state.json"):
            assert json.loads(state.read_bytes())["step"] <= charged[-1]
    assert charged == sorted(charged)
    assert sum(later > earlier for earlier, later in pairwise(charged)) >= KILLS // 3, "too few attempts got anywhere"

    last = context.Process(target=attempt, args=(tmp_path, 0.0))
    last.start()
    last.join(120)
    assert last.exitcode == 0
    assert (tmp_path / "finished").exists()
    run, total = account(tmp_path), _size(tmp_path / "begun")
    assert charged[-1] <= total <= run.charged == STEPS
    made = claim(planned(), run.charged, trained="all")
    assert made.steps == STEPS
    assert made.epsilon == pytest.approx(epsilon_after(planned(), STEPS))
    assert epsilon_pld(run.spent, 1e-3) == pytest.approx(epsilon_pld([planned().spent(STEPS)], 1e-3))
    assert made.epsilon >= epsilon_pld([planned().spent(total)], 1e-3) - 1e-3


def _wait_for(path: Path, size: int) -> None:
    deadline = time.monotonic() + 90
    while _size(path) < size:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.002)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
