"""DP-SGD around Opacus: one plan that sampling, noise and accounting all obey.

Rate, steps and divisor are public constants; the noise that they need for the target epsilon
is computed before anything trains. Every block of steps is charged in a journal before it is
taken, so a killed run resumes with all of its steps paid for. Sampling and noise draw on the
operating system's entropy: no seed of them is stored, and a resumed run draws afresh.
"""

from __future__ import annotations

import contextlib
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from governance.claims import PrivacyClaim
from governance.errors import ConfigError
from governance.files import write_atomic
from governance.journal import Journal
from governance.store import versions
from governance.training.model import Classifier

if TYPE_CHECKING:
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

BLOCK = 20  # steps charged at once, and between checkpoints: what a kill can waste
PHYSICAL = 256  # rows whose gradients are held at once when layers are trained
MOMENTUM = 0.9
CHECKPOINT = "checkpoint.safetensors"
CHARGED = "charged.jsonl"

NOT_COVERED = (
    "scrubbing, sampling of rows and the split by content, which read the rows before training",
    "evaluation on held-out rows, and the choice of settings if they were tuned on this data",
    "the other models of this audit, which were trained on the same rows",
    "the base model's pretraining data, and any overlap with this data",
    "the number of training rows, which is taken to be public",
    "floating-point effects on the noise (secure noise generation is not available)",
)

Batch = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]
"""Row numbers to the model's inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the loop obeys. Every field is public.

    Attributes:
        n: training rows, public by assumption.
        sample_rate: each row joins each step's batch with this probability (Poisson sampling).
        steps: steps paid for; a resumed run takes fewer, never more.
        batch: divisor of the noisy gradient sum, whatever a draw's size.
        clipping: L2 bound of one row's gradient.
        sigma: noise multiplier.
        epsilon: target.
        delta: below 1/n.
    """

    n: int
    sample_rate: float
    steps: int
    batch: int
    clipping: float
    sigma: float
    epsilon: float
    delta: float


def plan(*, n: int, epsilon: float, delta: float, sample_rate: float, steps: int, batch: int, clipping: float) -> Plan:
    """The noise that a target epsilon needs, by Opacus's PRV accountant.

    Raises:
        ConfigError: delta is not below 1/n, or no noise reaches the target.
    """
    from opacus.accountants.utils import get_noise_multiplier

    if not delta < 1 / n:
        raise ConfigError(f"private.delta: expected below 1/n = {1 / n:.3g} for {n} training rows, got {delta:g}")
    try:
        with _without_asides():
            sigma = get_noise_multiplier(
                target_epsilon=epsilon, target_delta=delta, sample_rate=sample_rate, steps=steps, accountant="prv"
            )
    except ValueError as error:
        raise ConfigError(f"private.epsilon: no noise reaches {epsilon:g} in {steps} steps: {error}") from None
    return Plan(
        n=n,
        sample_rate=sample_rate,
        steps=steps,
        batch=batch,
        clipping=clipping,
        sigma=float(sigma),
        epsilon=epsilon,
        delta=delta,
    )


def epsilon_after(plan: Plan, steps: int) -> float:
    """Epsilon that `steps` steps of a plan cost, in nats, by the PRV accountant."""
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(plan.sigma, plan.sample_rate, steps)]
    with _without_asides():
        return float(accountant.get_epsilon(delta=plan.delta))


@contextlib.contextmanager
def _without_asides() -> Iterator[None]:
    """Without what the accountants say about their own grids; it does not change the answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", message="Optimal order is the largest alpha")
        yield


def train(
    model: Classifier,
    plan: Plan,
    *,
    inputs: Batch,
    targets: torch.Tensor,
    class_weights: torch.Tensor,
    learning_rate: float,
    directory: Path,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Take the plan's steps; resume where the journal says, if this directory holds an earlier attempt.

    Args:
        model: trained in place.
        plan: what to obey.
        inputs: rows to model inputs; every row's must be finite.
        targets: class codes, shape (n,).
        class_weights: public constants, shape (classes,).
        learning_rate: of SGD with momentum.
        directory: for the journal and the checkpoint; the caller removes the checkpoint once the
            weights are saved, not before: charged steps whose weights are lost can't be had again.
        progress: called after each block with the number of steps charged.

    Returns:
        Steps charged, `plan.steps`; steps lost to a kill are among them.
    """
    module, optimizer = _wrap(model, plan, learning_rate)
    journal = Journal(directory / CHARGED)
    charged = max((int(str(entry["charged"])) for entry in journal.entries), default=0)
    _restore(model, optimizer, directory / CHECKPOINT)
    sampling = torch.Generator().manual_seed(secrets.randbits(63))
    rows = PHYSICAL if model.shape.trained_layers else plan.n
    while charged < plan.steps:
        block = min(BLOCK, plan.steps - charged)
        journal.append({"charged": charged + block, "sigma": plan.sigma, "sample_rate": plan.sample_rate})
        for _ in range(block):
            drawn = (torch.rand(plan.n, generator=sampling) < plan.sample_rate).nonzero().squeeze(-1)
            _step(module, optimizer, drawn.split(rows), inputs, targets, class_weights)
        charged += block
        _checkpoint(model, optimizer, directory / CHECKPOINT)
        if progress:
            progress(charged)
    module.remove_hooks()
    return charged


def claim(plan: Plan, steps: int) -> PrivacyClaim:
    """What may be said after `steps` charged steps."""
    return PrivacyClaim(
        epsilon=epsilon_after(plan, steps),
        delta=plan.delta,
        unit="record",
        neighbouring="add-or-remove-one",
        sampling="poisson",
        accountant="PRV (Opacus)",
        steps=steps,
        sigma=plan.sigma,
        sample_rate=plan.sample_rate,
        clipping=plan.clipping,
        normaliser=float(plan.batch),
        n=plan.n,
        rng="torch Mersenne Twister, seeded from the operating system for every start; not cryptographic",
        target_epsilon=plan.epsilon,
        covers="the gradient steps of this one training run; the final weights are released",
        not_covered=NOT_COVERED,
        versions=versions("opacus", "torch"),
    )


def _wrap(model: Classifier, plan: Plan, learning_rate: float) -> tuple[GradSampleModule, DPOptimizer]:
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer
    from opacus.validators import ModuleValidator

    model.train()
    errors = ModuleValidator.validate(model, strict=False)
    if errors:
        raise ConfigError(f"private: a layer of this model mixes rows, so no claim would hold: {errors[0]}")
    module = GradSampleModule(model, batch_first=True, loss_reduction="mean")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = DPOptimizer(
        torch.optim.SGD(trained, lr=learning_rate, momentum=MOMENTUM),
        noise_multiplier=plan.sigma,
        max_grad_norm=plan.clipping,
        expected_batch_size=plan.batch,
        loss_reduction="mean",
        generator=torch.Generator().manual_seed(secrets.randbits(63)),
    )
    return module, optimizer


def _step(
    module: GradSampleModule,
    optimizer: DPOptimizer,
    chunks: Sequence[torch.Tensor],
    inputs: Batch,
    targets: torch.Tensor,
    class_weights: torch.Tensor,
) -> None:
    """One noised step over a Poisson draw, in chunks that fit in memory. An empty draw still takes one."""
    optimizer.zero_grad()
    for number, rows in enumerate(chunks, 1):
        if len(rows):
            labels = targets[rows]
            logits = module(*(value for value in inputs(rows) if value is not None))
            losses = functional.cross_entropy(logits, labels, reduction="none") * class_weights[labels]
            with warnings.catch_warnings():
                # Frozen inputs need no gradient; Opacus's hooks don't use one for them.
                warnings.filterwarnings("ignore", message="Full backward hook is firing")
                losses.mean().backward()
            _zero_broken_rows(optimizer)
        else:
            for parameter in optimizer.params:
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
        optimizer.signal_skip_step(do_skip=number < len(chunks))
        optimizer.step()
        optimizer.zero_grad()


def _zero_broken_rows(optimizer: DPOptimizer) -> None:
    """A row with a non-finite gradient contributes nothing: else one row could destroy every weight."""
    parameters = [p for p in optimizer.params if getattr(p, "grad_sample", None) is not None]
    sound = torch.stack([torch.isfinite(p.grad_sample).flatten(1).all(1) for p in parameters]).all(0)
    if not bool(sound.all()):
        for parameter in parameters:
            parameter.grad_sample[~sound] = 0.0


def _checkpoint(model: Classifier, optimizer: DPOptimizer, path: Path) -> None:
    from safetensors.torch import save

    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for i, parameter in enumerate(optimizer.params):
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{i}"] = momentum.contiguous()
    write_atomic(path, save(tensors))


def _restore(model: Classifier, optimizer: DPOptimizer, path: Path) -> None:
    from safetensors.torch import load_file

    if not path.exists():
        return
    tensors: Mapping[str, Any] = load_file(path)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for i, parameter in enumerate(optimizer.params):
        if f"momentum.{i}" in tensors:
            optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{i}"]
