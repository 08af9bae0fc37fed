"""Ways in which a claim of privacy becomes false unnoticed: each is planted here, and refused or caught."""

from __future__ import annotations

import inspect
import json
import math
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone names it

from governance.errors import ConfigError, RecordError
from governance.training import loop
from governance.training.dp import selftest
from governance.training.dp.draws import Owners, PoissonDraws
from governance.training.dp.gradients import UnitGradients
from governance.training.dp.plan import Plan, plan
from governance.training.dp.steps import PrivateSteps, clipping_weights
from tests.conformance import Canaries
from tests.dptasks import Account, Rows, linear_task, padded, transformer, weights
from tests.test_conformance import dispersion


def obeyed(rows: int = 12, **changes: object) -> Plan:
    base = Plan(n=rows, units=rows, sample_rate=0.5, steps=4, batch=6, clipping=1.0, sigma=1.0, epsilon=1.0, delta=1e-4)
    return replace(base, **changes)  # type: ignore[arg-type]


def sgd(model: nn.Module, lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)


def trained(task: Rows | Canaries, folder: Path, **changes: object) -> loop.Ran:
    settings = loop.Settings(learning_rate=0.1, optimizer="sgd", momentum=0.9)
    return loop.run(task, settings, folder, plan=obeyed(task.rows, **changes), charges=Account())


class Net(nn.Module):
    """A linear layer, something in the middle, a head."""

    def __init__(self, middle: nn.Module, width: int = 6) -> None:
        super().__init__()
        self.first, self.middle, self.head = nn.Linear(4, 6), middle, nn.Linear(width, 2)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        states = self.middle(self.first(given))
        return self.head(states[0] if isinstance(states, tuple) else states)


def net_task(middle: nn.Module, *, positions: int | None = None) -> Rows:
    """Rows of shape (4,), or (positions, 4)."""
    torch.manual_seed(0)
    given = torch.randn(8, *([positions] if positions else []), 4)
    return Rows(Net(middle), lambda model, x: model(x).flatten(1).square().sum(1), given)


# -- batches -----------------------------------------------------------------------------------


def test_shuffled_loader_has_no_way_in() -> None:
    """A private run makes its own draws from its plan: nothing that it is given yields batches."""
    for callee in (PrivateSteps.__init__, PrivateSteps.take, loop.run):
        names = set(inspect.signature(callee).parameters)
        assert not names & {"loader", "batches", "sampler", "draws", "dataset", "generator", "seed"}, callee
    with pytest.raises(TypeError, match="unexpected keyword argument 'loader'"):
        loop.run(linear_task(), loop.Settings(learning_rate=1), Path(), plan=obeyed(), loader=[])  # type: ignore[call-arg]
    assert "sampling" not in Plan.__dataclass_fields__  # there is one kind


def test_shuffled_loader_forced_in_is_caught_by_the_sizes_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the real steps ask their task for, with the real draws and with a shuffled loader put in their place."""

    def asked(rows: int = 400, steps: int = 60) -> list[torch.Tensor]:
        task, seen = Canaries(rows), []
        original = task.losses
        task.losses = lambda units: (seen.append(units), original(units))[1]  # type: ignore[method-assign]
        taken = PrivateSteps(task, obeyed(rows, sample_rate=0.1, batch=40), sgd(task.model), physical=rows)
        for step in range(steps):
            taken.take(step)
        return seen

    assert max(map(abs, dispersion(asked(), 400))) < 6

    def shuffled() -> Iterator[torch.Tensor]:
        while True:
            yield from torch.randperm(400).split(40)

    batches = shuffled()
    monkeypatch.setattr(PoissonDraws, "draw", lambda _: next(batches))
    spread, _ = dispersion(asked(), 400)
    assert spread < -5


def test_dropped_empty_batch_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is drawn: the step is taken all the same, with noise, and is charged."""
    task, account = linear_task(), Account()
    before = weights(task.model)
    seen: list[float] = []
    original = PrivateSteps.take
    monkeypatch.setattr(PrivateSteps, "take", lambda self, step: seen.append(original(self, step)) or seen[-1])  # type: ignore[func-returns-value]
    settings = loop.Settings(learning_rate=0.1, optimizer="sgd", momentum=0.0)
    with tempfile.TemporaryDirectory() as folder:
        ran = loop.run(task, settings, Path(folder), plan=obeyed(sample_rate=1e-12), charges=account)
    assert account.charged == ran.steps == len(seen) == 4
    assert all(math.isnan(loss) for loss in seen)
    assert float((weights(task.model) - before).abs().min()) > 0


def test_two_backwards_before_a_step_add_up() -> None:
    """Parts of a draw that fit in memory: the same sum as in one go. (Opacus's ghost mode keeps only the last.)"""
    moved = []
    for physical in (100, 5):
        task = linear_task(rows=23)
        before = weights(task.model)
        PrivateSteps(task, obeyed(23, sample_rate=1.0, sigma=1e-9), sgd(task.model), physical=physical).take(0)
        moved.append(weights(task.model) - before)
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-6)
    assert float(moved[0].norm()) > 0.1


def test_a_foreign_backward_before_a_step_adds_nothing() -> None:
    """Gradients that something else left behind are not part of the bounded sum."""
    moved = []
    for foreign in (False, True):
        task = linear_task()
        before = weights(task.model)
        steps = PrivateSteps(task, obeyed(sample_rate=1.0, sigma=1e-9), sgd(task.model), physical=100)
        if foreign:
            (1000 * task.losses(torch.arange(12)).sum()).backward()
        steps.take(0)
        moved.append(weights(task.model) - before)
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-6)


def test_realised_batch_size_is_never_the_divisor() -> None:
    """A row that joins adds its clipped gradient over the plan's constant and changes nothing of the others' share."""
    moved = []
    for rows in (11, 12):
        task = linear_task(rows=12)
        task.rows = rows
        before = weights(task.model)
        PrivateSteps(
            task, obeyed(rows, sample_rate=1.0, sigma=1e-9, clipping=0.01), sgd(task.model), physical=100
        ).take(0)
        moved.append(weights(task.model) - before)
    assert float((moved[1] - moved[0]).norm()) * 6 == pytest.approx(0.01, rel=1e-3)


def test_a_plan_for_other_rows_or_units_is_refused() -> None:
    task = linear_task()
    owners = Owners(np.arange(12) // 3, 3)
    users = obeyed(unit="user", drawn="user", units=4, cap=3)
    with pytest.raises(ValueError, match="the plan is for 11 rows, the task has 12"):
        PrivateSteps(task, obeyed(11), sgd(task.model), physical=8)
    with pytest.raises(ValueError, match="users and their rows belong to a plan that draws users"):
        PrivateSteps(task, obeyed(), sgd(task.model), physical=8, owners=owners)
    with pytest.raises(ValueError, match="users and their rows belong to a plan that draws users"):
        PrivateSteps(task, users, sgd(task.model), physical=8)
    with pytest.raises(ValueError, match="for 4 users of up to 2 rows, not for 4 of up to 3"):
        PrivateSteps(task, replace(users, cap=2), sgd(task.model), physical=8, owners=owners)


# -- models ------------------------------------------------------------------------------------


class OwnBatchNorm(nn.Module):
    """Written by hand, and only while training: no type of layer tells."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states - states.mean(0) if self.training else states


class Routed(nn.Module):
    """A mixture of experts with a capacity: who comes first in a batch gets the place."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(6, 2), nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        chance = self.router(states).softmax(-1)
        first = chance[:, 0] >= chance[:, 0].topk(max(1, len(states) // 2)).values[-1]
        return (
            torch.where(first[:, None], self.experts[0](states), self.experts[1](states))
            * chance.max(-1).values[:, None]
        )


class Functional(nn.Module):
    """A weight used outside its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return F.linear(states, self.inner.weight) + self.inner(states)


class Loose(nn.Module):
    """A parameter beside layers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.inner = nn.Parameter(torch.ones(6)), nn.Linear(6, 6)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.inner(states) * self.scale


class TimeFirst(nn.Module):
    """Rows are not the first axis of what the layer sees."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.inner(states.transpose(0, 1)).transpose(0, 1)


class Lazy(nn.Linear):
    """A subclass that does something else than its type says."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return F.linear(states, F.normalize(self.weight), self.bias)


REFUSED: dict[str, tuple[Callable[[], nn.Module], int | None, str]] = {
    "batch norm": (lambda: nn.BatchNorm1d(6), None, r"layer 'middle' \(BatchNorm1d\): normalises over .*GroupNorm"),
    "frozen batch norm": (
        lambda: nn.BatchNorm1d(6).requires_grad_(False), None, r"layer 'middle' \(BatchNorm1d\): normalises over",
    ),
    "batch norm without weights": (lambda: nn.BatchNorm1d(6, affine=False), None, "'middle'.*normalises over the rows"),
    "sync batch norm": (lambda: nn.SyncBatchNorm(6), None, "'middle'.*normalises over the rows.*GroupNorm"),
    "instance norm with running statistics": (
        lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True), 3,
        r"layer 'middle' \(InstanceNorm1d\) keeps running statistics.*track_running_stats=False",
    ),
    "lstm": (lambda: nn.LSTM(6, 6, batch_first=True), 3, r"layer 'middle' \(LSTM\).*use opacus.layers.DPLSTM"),
    "gru": (lambda: nn.GRU(6, 6, batch_first=True), 3, r"layer 'middle' \(GRU\).*use opacus.layers.DPGRU"),
    "attention": (
        lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 3,
        r"layer 'middle.self_attn' \(MultiheadAttention\).*use opacus.layers.DPMultiheadAttention",
    ),
    "batch norm by hand": (OwnBatchNorm, None, "a row's loss depends on the rows beside it"),
    "mixture of experts": (Routed, None, "a row's loss depends on the rows beside it.*routing"),
    "functional use": (Functional, None, r"layer 'middle.inner' \(Linear\).*used outside the layer; freeze it"),
    "parameter beside layers": (Loose, None, r"parameter 'middle.scale' belongs to Loose.*freeze it, or move it into"),
    "rows on another axis": (TimeFirst, 3, r"layer 'middle.inner' \(Linear\) returned 3 rows for 4 records.*freeze it"),
    "rows on another axis, as many as rows": (TimeFirst, 4, r"layer 'middle.inner' \(Linear\).*can't be bounded"),
    "a subclass that multiplies otherwise": (lambda: Lazy(6, 6), None, r"layer 'middle' \(Lazy\).*can't be bounded"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_whose_rows_cannot_be_told_apart_is_refused(name: str) -> None:
    make, positions, message = REFUSED[name]
    torch.manual_seed(0)
    task = net_task(make(), positions=positions)
    before = {key: value.clone() for key, value in task.model.state_dict().items()}
    with pytest.raises(ConfigError, match=f"private training: .*{message}"):
        selftest.check(task)
    assert all(torch.equal(before[key], value) for key, value in task.model.state_dict().items())


@pytest.mark.parametrize("middle", [nn.LayerNorm(6), nn.Dropout(0.5), nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.3))])
def test_a_sound_model_passes_and_is_left_as_it_was(middle: nn.Module) -> None:
    """Dropout included, though it differs from pass to pass."""
    task = net_task(middle)
    before, state = weights(task.model), torch.get_rng_state()
    task.model.train()
    selftest.check(task)
    assert torch.equal(before, weights(task.model))
    assert task.model.training
    assert all(p.grad is None for p in task.model.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2", "gpt2-tied", "llama-tied"])
def test_transformers_pass_the_self_test_with_tied_weights_and_shared_position_ids(kind: str) -> None:
    model, losses = transformer(kind)
    selftest.check(Rows(model, losses, *padded(8)))


def test_position_ids_of_no_row_are_refused() -> None:
    """Of shape (T,): the table's gradient can't be told apart by row."""

    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(3, 6)

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return states + self.table(torch.arange(3))

    with pytest.raises(
        ConfigError, match=r"layer 'middle.table' \(Embedding\) returned 3 rows for 4 records.*freeze it"
    ):
        selftest.check(net_task(Positions(), positions=3))


def test_an_embedding_that_rewrites_itself_is_refused() -> None:
    """max_norm shrinks the rows that a batch reads, in the forward pass, without noise."""
    tokens, mask = padded(8)
    model = nn.Sequential(nn.Embedding(50, 6, max_norm=0.5), nn.Linear(6, 2))
    task = Rows(model, lambda m, x, _: m(x).flatten(1).square().sum(1), tokens, mask)
    with pytest.raises(ConfigError, match=r"'0\.weight' changes while the model reads rows.*max_norm"):
        selftest.check(task)


def test_only_functional_use_is_refused() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 2)

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return F.linear(given, self.inner.weight)

    task = Rows(Hidden(), lambda model, x: model(x).square().sum(1), torch.randn(8, 4))
    with pytest.raises(ConfigError, match=r"no layer with trained parameters reaches the loss.*call the layer"):
        selftest.check(task)


# -- losses ------------------------------------------------------------------------------------


def coupled(model: nn.Module, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A share of the mean over all tokens of the padded batch, as `outputs.loss` has it."""
    logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1]
    found = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none") * mask[:, 1:]
    return found.sum(1) / mask[:, 1:].sum()


def test_a_loss_over_the_padded_batchs_tokens_is_refused() -> None:
    model, _ = transformer("gpt2")
    with pytest.raises(
        ConfigError, match=r"a row's loss depends on the rows beside it\. Take each row's mean over its own tokens"
    ):
        selftest.check(Rows(model, coupled, *padded(8)))


def test_a_batchs_mean_loss_is_refused() -> None:
    task = Rows(nn.Linear(4, 2), lambda model, x: model(x).square().mean(), torch.randn(8, 4))
    with pytest.raises(
        ConfigError, match=r"one loss for each of 4 rows, found .*\(\).*a batch's mean can't be bounded"
    ):
        selftest.check(task)


def test_negatives_from_the_batch_are_refused() -> None:
    def contrastive(model: nn.Module, given: torch.Tensor) -> torch.Tensor:
        states = F.normalize(model(given), dim=1)
        return F.cross_entropy(states @ states.T / 0.1, torch.arange(len(given)), reduction="none")

    with pytest.raises(ConfigError, match=r"a row's loss depends on the rows beside it.*negatives from the batch"):
        selftest.check(Rows(nn.Linear(4, 3), contrastive, torch.randn(8, 4)))


def test_a_broken_row_adds_nothing_and_changes_nobody_elses_share(tmp_path: Path) -> None:
    """One row that is not a number would make all parameters so."""
    moved = []
    for broken in (float("nan"), None):
        task = linear_task()
        given = task._columns[0]
        if broken is None:
            task._columns = (given[1:], task._columns[1][1:])
            task.rows = 11
        else:
            given[0] = broken
        before = weights(task.model)
        PrivateSteps(task, obeyed(task.rows, sample_rate=1.0, sigma=1e-9), sgd(task.model), physical=5).take(0)
        moved.append(weights(task.model) - before)
    assert bool(torch.isfinite(moved[0]).all())
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-6)
    task = linear_task()
    task._columns[0][0] = float("nan")
    trained(task, tmp_path)
    assert bool(torch.isfinite(weights(task.model)).all())


@pytest.mark.parametrize("style", ["fixed", "auto-s"])
def test_no_unit_adds_more_than_its_bound(style: str) -> None:
    """Whatever its length, from nothing to almost overflow."""
    model = nn.Linear(4, 2, bias=False)
    given = torch.randn(40, 4) * torch.logspace(-8, 8, 40)[:, None]
    bounded = UnitGradients(model)(40, lambda: model(given).sum(1))
    factors = clipping_weights(bounded, obeyed(40, clipping=0.3, clipping_style=style))
    for unit in range(40):
        chosen = torch.zeros(40)
        chosen[unit] = factors[unit]
        total = torch.cat([s.flatten() for _, s in bounded.weighted_sums(chosen)])
        length, own = float(total.double().norm()), float(bounded.norms[unit])
        assert length <= 0.3 * (1 + 1e-6)
        wanted = min(own, 0.3) if style == "fixed" else 0.3 * own / (own + 0.01)
        assert length == pytest.approx(wanted, rel=1e-5)


# -- what is trained ---------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 1e-12], ids=["everybody drawn", "nobody drawn"])
def test_a_parameter_unfrozen_during_a_run_is_refused(rate: float) -> None:
    task = linear_task()
    task.model.bias.requires_grad_(False)
    steps = PrivateSteps(task, obeyed(sample_rate=rate), sgd(task.model), physical=8)
    steps.take(0)
    task.model.bias.requires_grad_(True)
    with pytest.raises(ConfigError, match="parameter 'bias' was frozen, unfrozen or replaced after training began"):
        steps.take(1)
    task.model.bias.requires_grad_(False)
    task.model.weight.requires_grad_(False)
    with pytest.raises(ConfigError, match="parameter 'weight' was frozen, unfrozen or replaced"):
        steps.take(1)


def test_a_parameter_replaced_during_a_run_is_refused() -> None:
    task = linear_task()
    steps = PrivateSteps(task, obeyed(), sgd(task.model), physical=8)
    task.model.weight = nn.Parameter(torch.zeros(2, 4))
    with pytest.raises(ConfigError, match="frozen, unfrozen or replaced after training began"):
        steps.take(0)


def test_trained_but_not_optimised_and_the_other_way_round_are_refused() -> None:
    task = linear_task()
    with pytest.raises(ValueError, match="parameter 'bias' is trained but not optimised"):
        PrivateSteps(task, obeyed(), torch.optim.SGD([task.model.weight], lr=1.0), physical=8)
    task.model.bias.requires_grad_(False)
    with pytest.raises(ValueError, match="the optimiser holds parameters that are not trained"):
        PrivateSteps(task, obeyed(), torch.optim.SGD(task.model.parameters(), lr=1.0), physical=8)


def test_a_model_without_trained_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="this model has no trained parameter"):
        UnitGradients(nn.Linear(2, 2).requires_grad_(False))


class Forgetful(Rows):
    """Saves all but one parameter."""

    def save(self, directory: Path) -> None:
        torch.save({k: v for k, v in self.model.state_dict().items() if k != "bias"}, directory / "m.pt")

    def restore(self, directory: Path) -> None:
        self.model.load_state_dict(torch.load(directory / "m.pt", weights_only=True), strict=False)


def test_a_saved_copy_without_a_trained_parameter_is_refused() -> None:
    task = Forgetful(nn.Linear(4, 2), lambda model, x: model(x).square().sum(1), torch.randn(8, 4))
    with pytest.raises(ConfigError, match="saved and reloaded model does not give the same outputs"):
        selftest.check(task)


# -- randomness --------------------------------------------------------------------------------


def test_the_same_seed_before_two_runs_does_not_make_them_equal(tmp_path: Path) -> None:
    found = []
    for name in "ab":
        task = linear_task()
        torch.manual_seed(0)
        np.random.seed(0)  # what somebody would try
        trained(task, tmp_path / name)
        found.append(weights(task.model))
    assert float((found[0] - found[1]).abs().min()) > 0


def test_a_resumed_run_draws_other_noise_than_the_steps_that_a_kill_destroyed(tmp_path: Path) -> None:
    """Else the two versions of a step subtract to the gradients without noise."""
    settings = loop.Settings(learning_rate=0.1, optimizer="sgd", momentum=0.0)
    loop.run(linear_task(), settings, tmp_path / "first", plan=obeyed(steps=2), charges=Account())
    found = []
    for name in "ab":
        shutil.copytree(tmp_path / "first", tmp_path / name)
        task, account = linear_task(), Account(2)
        torch.manual_seed(0)
        loop.run(task, settings, tmp_path / name, plan=obeyed(steps=4, sample_rate=1.0), charges=account)
        assert account.charged == 4
        found.append(weights(task.model))
    assert float((found[0] - found[1]).abs().min()) > 0


def test_no_seed_of_a_private_run_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the operating system gave is looked for in every file, as bytes and as a number."""
    given: list[bytes] = []
    bits, token = secrets.randbits, secrets.token_bytes

    def spied_bits(k: int) -> int:
        number = bits(k)
        given.extend([str(number).encode(), f"{number:x}".encode(), number.to_bytes(16, "little")[:8]])
        given.append(number.to_bytes(16, "big")[-8:])
        return number

    def spied_token(n: int) -> bytes:
        found = token(n)
        given.extend([found[:8], found[-8:], found.hex()[:16].encode()])
        given.append(np.frombuffer(found[:8], "<u4").astype("<i8").tobytes())  # as torch keeps its state
        return found

    monkeypatch.setattr(secrets, "randbits", spied_bits)
    monkeypatch.setattr(secrets, "token_bytes", spied_token)
    trained(linear_task(), tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(given) >= 12
    assert {path.name for path in files} >= {"state.json", "model.safetensors", "optimizer.safetensors"}
    for path in files:
        assert not any(seed in path.read_bytes() for seed in given), path
    told = json.loads(next(path for path in files if path.name == "state.json").read_text())
    assert not any("seed" in key or "rng" in key or "generator" in key for key in told)


# -- accounting --------------------------------------------------------------------------------


def test_a_delta_that_one_unit_could_eat_is_refused() -> None:
    asked = {"epsilon": 1.0, "sample_rate": 0.1, "steps": 1, "batch": 1, "clipping": 1.0}
    with pytest.raises(
        ConfigError, match=r"private\.delta: expected below 1/n = 0\.001 for 1000 training rows, got 0\.001"
    ):
        plan(n=1000, delta=1e-3, **asked)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"private\.delta: expected below 1/n = 0\.01 for 100 users, got 0\.01"):
        plan(n=1000, users=100, cap=10, delta=1e-2, **asked)  # type: ignore[arg-type]


def test_gdp_is_refused() -> None:
    from governance.budget.accounting import Spent, epsilon_by

    with pytest.raises(ConfigError, match=r"'gdp' is refused: its central limit approximation underestimates epsilon"):
        epsilon_by("gdp", [Spent(1.0, 0.01, 1000)], 1e-5)


def ledger_file(tmp_path: Path) -> Path:
    """A budget book with one run that has charged twice."""
    from governance.budget.accounting import Spent
    from governance.budget.ledger import Budget, Ledger

    ledger = Ledger(tmp_path / "book")
    data = ledger.fingerprint([{"text": f"row {i}"} for i in range(20)])
    run = ledger.open_run("one", data, Spent(2.0, 0.1, 40), delta=1e-5, budget=Budget(8.0, 1e-5))
    run.charge(20)
    run.charge(20)
    (path,) = [p for p in (tmp_path / "book").rglob("*") if p.is_file() and b'"charge"' in p.read_bytes()]
    return path


@pytest.mark.parametrize("change", ["a smaller charge", "a charge taken out", "another budget"])
def test_a_tampered_ledger_is_refused(tmp_path: Path, change: str) -> None:
    from governance.budget.ledger import Ledger

    path = ledger_file(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if (b'"budget"' if change == "another budget" else b'"charge"') in line)
    before = lines[at]
    if change == "a charge taken out":
        del lines[at]
    elif change == "a smaller charge":
        lines[at] = before.replace(b'"steps":20', b'"steps":10')
    else:
        lines[at] = before.replace(b'"epsilon":8.0', b'"epsilon":9.0')
    assert before not in lines[at : at + 1]
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match="book"):
        Ledger(tmp_path / "book")


def test_a_ledger_that_was_set_back_is_refused_before_a_step_is_taken(tmp_path: Path) -> None:
    """Its chain is whole, but the checkpoint knows of more steps than it."""
    task = linear_task()
    settings = loop.Settings(learning_rate=0.1, optimizer="sgd")
    loop.run(task, settings, tmp_path, plan=obeyed(steps=4), charges=Account())
    before = weights(task.model)
    with pytest.raises(
        RecordError, match="the checkpoint is of step 4, but only 3 are charged: the budget book was set back"
    ):
        loop.run(task, settings, tmp_path, plan=obeyed(steps=8), charges=Account(3))
    assert torch.equal(before, weights(task.model))


def test_a_private_run_without_an_account_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a private run needs a place where its steps are charged"):
        loop.run(linear_task(), loop.Settings(learning_rate=1.0), tmp_path, plan=obeyed())


def test_steps_are_charged_before_they_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account, seen = Account(), []
    original = PrivateSteps.take
    monkeypatch.setattr(loop, "BLOCK", 2)
    monkeypatch.setattr(
        PrivateSteps,
        "take",
        lambda self, step: seen.append((step, account.charged)) or original(self, step),  # type: ignore[func-returns-value]
    )
    loop.run(linear_task(), loop.Settings(learning_rate=0.1), tmp_path, plan=obeyed(steps=5), charges=account)
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert all(charged > step for step, charged in seen)
    assert account.charged == 5
