"""Does the optimiser that trains keep the epsilon that it claims? Canaries in one run, and the bound that they prove.

Each canary is a unit whose gradient is a direction of its own, the worst case that an accountant assumes. A fair coin
puts it in or out; who then guesses the coins from the final weights better than epsilon allows has refuted the claim.
Source: Steinke, Nasr and Jagielski (2023), arXiv:2305.08846.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from governance.training.dp.draws import Owners
from governance.training.dp.plan import Plan
from governance.training.dp.steps import PrivateSteps

HIGHEST = 50.0  # no claim is above it
HEIGHT = 10.0  # of a canary's gradient before it is clipped


def one_run_bound(canaries: int, guesses: int, right: int, *, delta: float, confidence: float = 0.95) -> float:
    """Largest epsilon that right guesses of canaries in one run rule out.

    Args:
        canaries: each in or out by a fair coin of its own.
        guesses: made of them; how many, and by which rule, was fixed before the scores were seen.
        right: of those.
        delta: of the claim under test, in [0, 1).
        confidence: of the bound, in (0, 1).

    Returns:
        Epsilon in nats, >= 0. Zero means "nothing refuted", not "private". With every guess right it ends at
        about ln(guesses / 3): a larger claim can't be refuted.

    Raises:
        ValueError: a number is out of range.

    Source:
        Steinke, Nasr and Jagielski (2023), arXiv:2305.08846, theorem 5.2 and its algorithm 2.
    """
    if not 0 <= right <= guesses <= canaries or not guesses:
        raise ValueError(f"expected 0 <= right <= guesses <= canaries, got {right}, {guesses}, {canaries}")
    if not (0 <= delta < 1 and 0 < confidence < 1):
        raise ValueError(f"expected delta in [0, 1) and confidence in (0, 1), got {delta} and {confidence}")

    def refuted(epsilon: float) -> bool:
        return _chance(canaries, guesses, right, epsilon, delta) < 1 - confidence

    if not refuted(0.0):
        return 0.0
    low, high = 0.0, HIGHEST
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _chance(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Of so many right guesses, at most, if (epsilon, delta) holds."""
    from scipy.stats import binom

    often = 1 / (1 + math.exp(-epsilon))
    fewer = np.arange(1, right + 1)
    below = binom.cdf(right - 1, guesses, often)
    alpha = np.max((below - binom.cdf(right - 1 - fewer, guesses, often)) / fewer, initial=0.0)
    return float(min(1.0, binom.sf(right - 1, guesses, often) + 2 * canaries * delta * alpha))


class Canaries:
    """A task of units whose gradients are basis vectors: unit i's is its own weight's, if its coin put it in.

    Args:
        units: how many.
        records: of each unit, with that gradient each; record r is unit r // records'.
    """

    def __init__(self, units: int, records: int = 1) -> None:
        self.model: nn.Module = nn.Embedding(units, 1, _weight=torch.zeros(units, 1))
        self.rows, self._records = units * records, records
        self.included = np.frombuffer(secrets.token_bytes(units), np.uint8) % 2 == 1
        self._heights = HEIGHT * torch.from_numpy(self.included).float()

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Of records, shape (len(rows),): minus the unit's weight, or zero for a unit that is out."""
        units = rows // self._records
        weights: torch.Tensor = self.model(units)[:, 0]
        return -self._heights[units] * weights

    def owners(self) -> Owners:
        """Whose the records are."""
        return Owners(np.arange(self.rows) // self._records, self._records)

    def scores(self) -> np.ndarray:
        """Of each unit: the higher, the likelier it was in."""
        return np.concatenate([p.detach().numpy()[:, 0] for p in self.model.parameters()])

    def save(self, directory: Path) -> None:
        """Write the weights."""
        np.save(directory / "scores.npy", self.scores(), allow_pickle=False)

    def restore(self, directory: Path) -> None:
        """Read them."""
        weight = torch.from_numpy(np.load(directory / "scores.npy", allow_pickle=False))
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(weight[:, None])


@dataclass(frozen=True, slots=True)
class Audited:
    """What canaries in one run say.

    Attributes:
        right: guesses.
        guesses: half of them "in", half "out".
        bound: epsilon that they prove at the claim's delta, with 95 % confidence.
        noise: standard deviation of the weights of canaries that were out, over what the claim says; 1 if it is kept.
    """

    right: int
    guesses: int
    bound: float
    noise: float


def audit(claimed: Plan, obeyed: Plan | None = None, *, guesses: int = 200, physical: int = 64) -> Audited:
    """Run the steps that train, on canaries, and try to refute the claim from the final weights.

    Args:
        claimed: the plan whose epsilon is tested, on as many canaries as it has units, with `cap` records each.
        obeyed: what the steps do. [default: what is claimed]
        guesses: of the most certain canaries; half of them are guessed in.
        physical: records at once; fewer than a draw holds, to test that its parts add up.
    """
    task = Canaries(claimed.units, claimed.cap)
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1.0)
    owners = task.owners() if claimed.drawn == "user" else None
    steps = PrivateSteps(task, obeyed or claimed, optimizer, physical=physical, owners=owners)
    for step in range(claimed.steps):
        steps.take(step)
    scores = task.scores()
    right = sum(_right(scores, task.included, guesses))
    deviation = claimed.sigma * claimed.clipping * math.sqrt(claimed.steps) / claimed.batch
    noise = float(np.sqrt(np.mean(scores[~task.included] ** 2))) / deviation
    return Audited(right, guesses, one_run_bound(len(scores), guesses, right, delta=claimed.delta), noise)


def _right(scores: np.ndarray, included: np.ndarray, guesses: int) -> Iterator[int]:
    order = np.argsort(scores)
    yield int(included[order[len(order) - guesses // 2 :]].sum())
    yield int((~included[order[: guesses - guesses // 2]]).sum())
