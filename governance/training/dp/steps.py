"""One private step: bounded gradients, summed in parts that fit in memory, one draw of noise, one update.

Noise, the division by the plan's constant and the sum over processes are Opacus's; with several processes one of them
adds the noise, so that it is there once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from governance.training.dp.draws import Owners, PoissonDraws, fresh_generator
from governance.training.dp.gradients import Bounded, UnitGradients
from governance.training.dp.plan import Plan
from governance.training.task import Task

PART = 1 << 18  # numbers that get their noise at once
MARGIN = 1e-6  # of the bound: the product's rounding must not carry a norm above it
GAMMA = 0.01  # AUTO-S: g / (|g| + GAMMA); Bu et al. (2022), arXiv:2206.07136


class PrivateSteps:
    """Takes a plan's steps on a task.

    Args:
        task: what is trained.
        plan: what is obeyed.
        optimizer: of exactly the task's trained parameters.
        physical: records whose activations are held at once.
        owners: users and their rows, where a unit is a user who is drawn and bounded as a whole.
        rank: of this process.
        ranks: how many processes there are; more than one needs torch.distributed to be set up.
    """

    def __init__(
        self,
        task: Task,
        plan: Plan,
        optimizer: torch.optim.Optimizer,
        *,
        physical: int,
        owners: Owners | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._task, self._plan, self._owners = task, plan, owners
        self._gradients = UnitGradients(task.model, records=owners.cap if owners else 1)
        self._draws = PoissonDraws(plan.drawable, plan.sample_rate, rank=rank, ranks=ranks)
        self._physical = max(1, physical // (owners.cap if owners else 1))
        self._rank, self._ranks = rank, ranks
        self._noisy = _noisy(optimizer, plan, ranks)
        self._check_optimised(optimizer)
        self._check_plan()

    def take(self, step: int) -> float:  # noqa: ARG002 - every private step is drawn afresh, whatever its number
        """One step.

        Returns:
            The mean loss of what was drawn, NaN for an empty draw: private information.
        """
        self._gradients.check_unchanged()
        totals: dict[torch.nn.Parameter, torch.Tensor] = {}
        losses = [self._add(units, totals) for units in self._draws.draw().split(self._physical) if len(units)]
        self._update(totals)
        return self._mean(torch.cat(losses) if losses else torch.zeros(0))

    def _add(self, units: torch.Tensor, totals: dict[torch.nn.Parameter, torch.Tensor]) -> torch.Tensor:
        """Add these units' bounded gradients to the totals; returns their records' losses. Nothing else is kept."""
        bounded = self._gradients(*self._batch(units))
        for parameter, total in bounded.weighted_sums(clipping_weights(bounded, self._plan), last=True):
            totals[parameter] = totals[parameter].add_(total) if parameter in totals else total
        return bounded.losses

    def _mean(self, losses: torch.Tensor) -> float:
        """Of all processes' losses that are numbers."""
        told = torch.stack([losses.nansum(), (~losses.isnan()).sum()]).double()
        if self._ranks > 1:
            torch.distributed.all_reduce(told)
        return float(told[0] / told[1])

    def _update(self, totals: dict[torch.nn.Parameter, torch.Tensor]) -> None:
        """Noise, division, update. Also when nobody was drawn: that a draw was empty is not to be seen."""
        for parameter in self._gradients.trained.values():
            total = totals.pop(parameter) if parameter in totals else torch.zeros_like(parameter)
            if self._rank == 0:  # else the sum over processes would have each one's noise
                add_noise(total, self._plan.sigma * self._plan.clipping, self._noisy.generator)
            parameter.grad = total
        self._noisy.scale_grad()
        if self._ranks > 1:
            self._noisy.reduce_gradients()
        self._noisy.original_optimizer.step()
        for parameter in self._gradients.trained.values():
            parameter.grad = None

    def _batch(self, units: torch.Tensor) -> tuple[int, Callable[[], torch.Tensor]]:
        if self._owners is None:
            return len(units), lambda: self._task.losses(units)
        rows, weights = self._owners.rows(units)
        return len(rows), lambda: self._task.losses(rows) * weights

    def _check_optimised(self, optimizer: torch.optim.Optimizer) -> None:
        optimised = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, parameter in self._gradients.trained.items():
            if id(parameter) not in optimised:
                raise ValueError(f"parameter '{name}' is trained but not optimised")
        if len(optimised) != len(self._gradients.trained):
            raise ValueError("the optimiser holds parameters that are not trained")

    def _check_plan(self) -> None:
        plan, owners = self._plan, self._owners
        if self._task.rows != plan.n:
            raise ValueError(f"the plan is for {plan.n} rows, the task has {self._task.rows}")
        if (owners is not None) != (plan.drawn == "user"):
            raise ValueError(f"the plan draws {plan.drawn}s; users and their rows belong to a plan that draws users")
        if owners is not None and (len(owners), owners.cap) != (plan.units, plan.cap):
            raise ValueError(
                f"the plan is for {plan.units} users of up to {plan.cap} rows, "
                f"not for {len(owners)} of up to {owners.cap}"
            )


def clipping_weights(bounded: Bounded, plan: Plan) -> torch.Tensor:
    """What each unit's gradient is multiplied by, so that no unit adds more than `plan.clipping`, shape (U,)."""
    norms = bounded.norms
    if plan.clipping_style == "auto-s":
        weights = plan.clipping * (1 - MARGIN) / (norms + GAMMA)
    else:
        weights = (plan.clipping * (1 - MARGIN) / norms.clamp(min=1e-30)).clamp(max=1.0)
    return torch.where(torch.isfinite(norms), weights, torch.zeros_like(norms))


def add_noise(total: torch.Tensor, deviation: float, generator: torch.Generator) -> None:
    """Opacus's noise, in place, a part at a time: a whole table's would be the step's peak of memory, twice over."""
    from opacus.optimizers.optimizer import _generate_noise

    flat = torch.atleast_1d(total)
    for part in flat.split(max(1, PART * len(flat) // max(1, flat.numel()))):
        part.add_(_generate_noise(std=deviation, reference=part, generator=generator))


def _noisy(optimizer: torch.optim.Optimizer, plan: Plan, ranks: int) -> Any:
    """Opacus's optimiser for gradients that are bounded already."""
    from opacus.optimizers.ddpoptimizer_fast_gradient_clipping import DistributedDPOptimizerFastGradientClipping
    from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping

    kind = DistributedDPOptimizerFastGradientClipping if ranks > 1 else DPOptimizerFastGradientClipping
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Secure RNG turned off")  # the claim says so
        return kind(
            optimizer,
            noise_multiplier=plan.sigma,
            max_grad_norm=plan.clipping,
            expected_batch_size=plan.batch / ranks,
            loss_reduction="mean",
            generator=fresh_generator(),
        )
