"""The one training loop: order, schedules, early stopping, averages, and checkpoints that are whole or not there."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone names it

from governance.errors import BudgetExceeded, ConfigError
from governance.training import checkpoint, loop
from governance.training.dp import steps
from governance.training.dp.plan import Plan
from governance.training.methods import Method, choose
from tests.dptasks import Account, Rows, linear_task, padded, transformer, weights

PLAN = Plan(n=60, units=60, sample_rate=0.5, steps=12, batch=30, clipping=1.0, sigma=0.5, epsilon=1.0, delta=1e-4)


def task(rows: int = 60) -> Rows:
    """A net with dropout: what a step does depends on its random numbers."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2))
    x = torch.randn(rows, 4)
    return Rows(model, lambda m, x, y: F.cross_entropy(m(x), y, reduction="none"), x, (x.sum(1) > 0).long())


def made(**changes: Any) -> loop.Settings:
    return replace(loop.Settings(learning_rate=0.02, epochs=6, batch=10, physical=64, average=0.5), **changes)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BLOCK", 4)


def ran(folder: Path, settings: loop.Settings | None = None, **more: Any) -> tuple[torch.Tensor, loop.Ran]:
    trained = task()
    found = loop.run(trained, settings or made(), folder, **more)
    return weights(trained.model), found


class Killed(BaseException):
    """What no handler of errors catches."""


def killed_after(blocks: int) -> Callable[[loop.Tick], None]:
    def tick(_: loop.Tick) -> None:
        nonlocal blocks
        blocks -= 1
        if not blocks:
            raise Killed

    return tick


# -- without privacy ---------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path, optimizer: str) -> None:
    settings = made(optimizer=optimizer)
    first, told = ran(tmp_path / "a", settings)
    torch.manual_seed(99)  # what came before a run must not matter
    torch.rand(7)
    second, _ = ran(tmp_path / "b", settings)
    assert torch.equal(first, second)
    assert told.steps == 36
    assert told.stopped is None
    other, _ = ran(tmp_path / "c", replace(settings, seed=1))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("blocks", [1, 4, 5, 8, 9])
def test_a_run_killed_after_any_block_goes_on_to_the_same_weights(tmp_path: Path, optimizer: str, blocks: int) -> None:
    """Bit for bit: the optimiser's state, the average so far and the order are all there again."""
    settings = made(optimizer=optimizer)
    whole, told = ran(tmp_path / "whole", settings)
    with pytest.raises(Killed):
        ran(tmp_path / "cut", settings, tick=killed_after(blocks))
    again, told_again = ran(tmp_path / "cut", settings)
    assert torch.equal(whole, again)
    assert told_again == told


def test_an_epoch_reads_every_row_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    trained, seen = task(), []
    original = trained.losses
    trained.losses = lambda rows: (seen.extend(rows.tolist()), original(rows))[1]  # type: ignore[method-assign]
    loop.run(trained, made(epochs=2, physical=3), tmp_path)
    first, second = seen[:60], seen[60:]
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second
    assert first != sorted(first)


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path: Path) -> None:
    """Without dropout, whose numbers differ with the shape of a part."""
    found = []
    for physical in (64, 3):
        trained = linear_task(rows=50)
        loop.run(trained, made(physical=physical, batch=7), tmp_path / str(physical))
        found.append(weights(trained.model))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_training_learns(tmp_path: Path) -> None:
    trained = task()
    told = loop.run(trained, made(epochs=40, learning_rate=0.05), tmp_path)
    assert told.curve[-1]["loss"] < 0.5 * told.curve[0]["loss"]
    assert [point["step"] for point in told.curve] == [float(step) for step in range(4, 241, 4)]


def test_bfloat16_keeps_weights_in_single_precision(tmp_path: Path) -> None:
    found, _ = ran(tmp_path, made(bf16=True))
    assert found.dtype == torch.float32
    plain, _ = ran(tmp_path / "plain")
    assert 0 < float((found - plain).abs().max()) < 0.2


@pytest.mark.parametrize("method", ["full", "lora"])
def test_private_norms_and_sums_are_not_rounded_to_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    """In bfloat16 a clipped gradient can be longer than its bound, and noise is lost beside it."""
    lengths: list[torch.Tensor] = []
    weights_of = steps.clipping_weights

    def watched(bounded: Any, plan: Plan) -> torch.Tensor:
        given = weights_of(bounded, plan)
        each = [sum(piece.each() for piece in found).flatten(1) for found in bounded._pieces.values()]
        lengths.append((torch.cat(each, 1).double() * given[:, None]).norm(dim=1))
        assert all(total.dtype == torch.float32 for _, total in bounded.weighted_sums(given))
        return given

    monkeypatch.setattr(steps, "clipping_weights", watched)
    model, losses = transformer("bert")
    model = choose(model, method)
    plan = Plan(n=24, units=24, sample_rate=0.5, steps=4, batch=12.0, clipping=1e-3, sigma=1.0, epsilon=9.0, delta=1e-3)
    loop.run(Rows(model, losses, *padded(24)), made(bf16=True), tmp_path / "run", plan=plan, charges=Account())
    assert len(torch.cat(lengths)) > 10
    assert float(torch.cat(lengths).max()) <= 1e-3


# -- schedules ---------------------------------------------------------------------------------


@given(
    st.sampled_from(["constant", "linear", "cosine"]), st.floats(0, 0.9), st.integers(2, 300),
)  # fmt: skip
def test_rates_rise_then_fall_and_never_end_at_nothing_before_the_end(
    schedule: str, warm_up: float, steps: int
) -> None:
    settings = made(schedule=schedule, warm_up=warm_up)
    rates = [loop.rate_at(settings, step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if schedule == "constant":
        assert rates[-1] == 1.0 or warm_up > 0.5
    if not warm_up:
        assert rates[0] == 1.0


def test_a_cosine_is_a_cosine() -> None:
    settings = made(schedule="cosine", warm_up=0.0)
    assert loop.rate_at(settings, 5, 10) == pytest.approx(0.5)
    assert loop.rate_at(settings, 9, 10) == pytest.approx((1 + math.cos(0.9 * math.pi)) / 2)


def test_a_head_learns_faster_by_its_factor() -> None:
    model = nn.ModuleDict({"body": nn.Linear(2, 2), "classifier": nn.Linear(2, 2), "my_classifier": nn.Linear(2, 2)})
    model["body"].bias.requires_grad_(False)
    optimizer = loop.make_optimizer(model, made(new_rate=10.0, learning_rate=0.1))
    loop.set_rate(optimizer, made(schedule="linear", warm_up=0.0), 5, 10)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model["body"].weight)] == rates[id(model["my_classifier"].weight)] == pytest.approx(0.05)
    assert rates[id(model["classifier"].bias)] == pytest.approx(0.5)
    assert id(model["body"].bias) not in rates


# -- stopping ----------------------------------------------------------------------------------


def falling(losses: list[float]) -> Callable[[], float]:
    left = iter(losses)
    return lambda: next(left)


def test_a_run_stops_when_the_public_loss_no_longer_falls(tmp_path: Path) -> None:
    losses = falling([3.0, 2.0, 2.5, 2.0, 1.0])
    _, told = ran(tmp_path, made(patience=2), public=losses)
    assert told.steps == 16
    assert told.stopped == "the loss on public rows no longer fell"
    assert losses() == 1.0  # the fifth was not asked for


def test_a_loss_that_is_not_a_number_is_no_fall(tmp_path: Path) -> None:
    _, told = ran(tmp_path, made(patience=2), public=falling([3.0, math.nan, math.nan]))
    assert (told.steps, told.stopped) == (12, "the loss on public rows no longer fell")


def test_a_private_run_that_stops_early_has_not_paid_for_the_rest(tmp_path: Path) -> None:
    account = Account()
    _, told = ran(tmp_path, made(patience=1), plan=PLAN, charges=account, public=falling([1.0, 1.0]))
    assert told.steps == account.charged == 8


def test_a_killed_run_remembers_how_long_the_public_loss_has_not_fallen(tmp_path: Path) -> None:
    """And that it stopped: else a run killed while its result was saved would train, and pay, on."""
    settings = made(patience=3)
    with pytest.raises(Killed):
        ran(tmp_path, settings, public=falling([1.0, 2.0, 2.0]), tick=killed_after(3))
    first, told = ran(tmp_path, settings, public=falling([2.0]))
    assert (told.steps, told.stopped) == (16, "the loss on public rows no longer fell")
    account = Account(16)
    again, told = ran(tmp_path, settings, public=falling([]), plan=replace(PLAN, steps=40), charges=account)
    assert (told.steps, told.stopped) == (16, "the loss on public rows no longer fell")
    assert account.charged == 16
    assert torch.equal(first, again)


class Purse(Account):
    """A budget that some steps use up."""

    def __init__(self, holds: int) -> None:
        super().__init__()
        self.holds = holds

    def charge(self, steps: int) -> None:
        if self.charged + steps > self.holds:
            raise BudgetExceeded("the budget is used up")
        super().charge(steps)


def test_a_budget_that_ends_ends_the_run_where_settings_say_so(tmp_path: Path) -> None:
    purse = Purse(9)
    found, told = ran(tmp_path, made(on_budget="stop"), plan=PLAN, charges=purse)
    assert (told.steps, told.stopped, purse.charged) == (8, "the data set's privacy budget", 8)
    again, told = ran(tmp_path, made(on_budget="stop"), plan=PLAN, charges=purse)
    assert (told.steps, purse.charged) == (8, 8)
    assert torch.equal(found, again)


def test_a_budget_that_ends_refuses_the_run_otherwise(tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match="used up"):
        ran(tmp_path, plan=PLAN, charges=Purse(9))
    with pytest.raises(BudgetExceeded, match="used up"):  # nothing was trained: there is nothing to keep
        ran(tmp_path / "none", made(on_budget="stop"), plan=PLAN, charges=Purse(3))


def test_steps_that_were_paid_for_and_lost_leave_nothing_to_stop_with(tmp_path: Path) -> None:
    """Charged by an attempt that was killed before its first checkpoint: an untrained model gets no claim."""
    purse = Purse(4)
    purse.charge(4)
    with pytest.raises(BudgetExceeded, match="used up"):
        ran(tmp_path, made(on_budget="stop"), plan=PLAN, charges=purse)


def test_an_open_run_that_diverges_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no longer a number after \d+ steps; lower learning_rate"):
        ran(tmp_path, made(learning_rate=1e38, optimizer="sgd", epochs=30))


# -- averages ----------------------------------------------------------------------------------


def test_the_average_is_the_mean_of_the_last_steps_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, seen = task(), []
    original = loop._OpenSteps.take

    def spied(self: Any, step: int) -> float:
        loss = original(self, step)
        seen.append(weights(trained.model))
        return loss

    monkeypatch.setattr(loop._OpenSteps, "take", spied)
    loop.run(trained, made(average=0.25), tmp_path)
    assert len(seen) == 36
    torch.testing.assert_close(weights(trained.model), torch.stack(seen[-9:]).mean(0), rtol=1e-5, atol=1e-6)


def test_without_an_average_the_last_steps_weights_are_kept(tmp_path: Path) -> None:
    trained = task()
    last: list[torch.Tensor] = []
    loop.run(trained, made(average=0.0), tmp_path, tick=lambda _: last.append(weights(trained.model)))
    assert torch.equal(last[-1], weights(trained.model))


# -- a private run -----------------------------------------------------------------------------


def test_a_killed_private_run_pays_again_for_nothing_and_takes_what_is_left(tmp_path: Path) -> None:
    account, seen = Account(), []
    with pytest.raises(Killed):
        ran(tmp_path, plan=PLAN, charges=account, tick=killed_after(1))
    account.charge(4)  # paid for, then killed before the checkpoint
    _, told = ran(tmp_path, plan=PLAN, charges=account, tick=lambda tick: seen.append(tick.step))
    assert told.steps == account.charged == 12
    assert seen == [12]


def test_an_empty_draws_loss_leaves_no_point(tmp_path: Path) -> None:
    _, told = ran(tmp_path, plan=replace(PLAN, sample_rate=1e-12), charges=Account())
    assert told.curve == ()
    assert told.steps == 12


# -- checkpoints -------------------------------------------------------------------------------


def test_one_checkpoint_is_kept_and_forgotten_when_told(tmp_path: Path) -> None:
    ran(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000036"]
    checkpoint.forget(tmp_path)
    assert not list(tmp_path.iterdir())
    checkpoint.forget(tmp_path)


@pytest.mark.parametrize("left", [[], ["model.safetensors"], ["model.safetensors", "optimizer.safetensors"]])
@pytest.mark.parametrize("torn", [False, True])
def test_an_attempt_without_its_state_is_ignored(tmp_path: Path, left: list[str], torn: bool) -> None:
    """A kill while a checkpoint was written: the one before is used, and gives the same weights."""
    whole, _ = ran(tmp_path / "whole")
    with pytest.raises(Killed):
        ran(tmp_path / "cut", tick=killed_after(2))
    with pytest.raises(Killed):
        ran(tmp_path / "later", tick=killed_after(3))
    attempt = tmp_path / "cut/step-00000012"
    attempt.mkdir()
    for name in left:
        shutil.copy(tmp_path / "later/step-00000012" / name, attempt)
        if torn:
            (attempt / name).write_bytes((attempt / name).read_bytes()[:100])
    assert len(list((tmp_path / "cut").iterdir())) == 2
    again, _ = ran(tmp_path / "cut")
    assert torch.equal(whole, again)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["step-00000036"]


@pytest.mark.parametrize("at", ["optimizer.safetensors", "state.json", "rmtree"])
def test_a_failure_at_any_point_of_writing_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    whole, _ = ran(tmp_path / "whole")
    with pytest.raises(Killed):
        ran(tmp_path / "cut", tick=killed_after(2))
    write, remove = checkpoint.write_atomic, shutil.rmtree

    def failing_write(path: Path, data: bytes) -> None:
        if path.name == at:
            raise Killed
        write(path, data)

    def failing_remove(path: Path, ignore_errors: bool = False) -> None:
        if at == "rmtree" and not ignore_errors:
            (path / "state.json").unlink()  # half removed
            raise Killed
        remove(path, ignore_errors=ignore_errors)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomic", failing_write)
        patch.setattr(checkpoint.shutil, "rmtree", failing_remove)
        with pytest.raises(Killed):
            ran(tmp_path / "cut")
    again, _ = ran(tmp_path / "cut")
    assert torch.equal(whole, again)


def test_the_newest_of_two_whole_checkpoints_is_used(tmp_path: Path) -> None:
    """A kill between writing one and removing the one before."""
    for blocks in (2, 3):
        with pytest.raises(Killed):
            ran(tmp_path / str(blocks), tick=killed_after(blocks))
    shutil.copytree(tmp_path / "2/step-00000008", tmp_path / "3/step-00000008")
    trained = task()
    assert checkpoint.resume(trained, loop.make_optimizer(trained.model, made()), tmp_path / "3").step == 12


def test_a_checkpoint_is_plain_data(tmp_path: Path) -> None:
    """Safetensors and JSON; nothing that runs when it is read."""
    ran(tmp_path, made(optimizer="adamw"))
    folder = tmp_path / "step-00000036"
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    told = json.loads((folder / "state.json").read_text())
    assert (told["step"], told["count"]) == (36, 18)
