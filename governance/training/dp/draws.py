"""Which units join a step: Poisson sampling, each unit by its own coin, as the accountants assume.

A shuffled loader of fixed batches is not this, and no epsilon of this package is true of it; so a private run takes no
other source of batches than the one made here from its plan. Coins come from the operating system's entropy: no seed of
them is stored, and a resumed run draws afresh.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

WORDS = 624  # of 32 bits: the whole state of torch's Mersenne Twister
_AT = slice(24, 24 + 8 * WORDS)  # where `get_state` has them, each in eight bytes


def fresh_generator() -> torch.Generator:
    """A generator whose whole state comes from the operating system and is kept nowhere.

    `manual_seed` would not do: torch uses the lowest 32 bits of a seed, and four billion noises can all be tried.
    """
    generator = torch.Generator()
    state = generator.get_state()
    state[_AT] = torch.from_numpy(np.frombuffer(secrets.token_bytes(4 * WORDS), "<u4").astype(np.int64)).view(
        torch.uint8
    )
    generator.set_state(state)
    return generator


class PoissonDraws:
    """One step's units after another.

    Args:
        units: how many there are.
        sample_rate: of each, in (0, 1].
        rank: this process's number among `ranks`, which share the units out by number (unit i belongs to rank
            i modulo ranks): every unit has one coin, tossed by one process.
        ranks: how many processes there are.
    """

    def __init__(self, units: int, sample_rate: float, *, rank: int = 0, ranks: int = 1) -> None:
        self._own = torch.arange(rank, units, ranks)
        self._rate = sample_rate
        self._coins = fresh_generator()

    def draw(self) -> torch.Tensor:
        """The units of one step, shape (b,), in ascending order; may be empty."""
        # Doubles: in single precision a rate below 6e-8 could not be met, and others are rounded.
        return self._own[torch.rand(len(self._own), generator=self._coins, dtype=torch.float64) < self._rate]


class Owners:
    """Users and their rows: at most `cap` of each, chosen once by a coin that does not look at the rows.

    Args:
        codes: user of each row, shape (n,).
        cap: rows of one user at most.
    """

    def __init__(self, codes: NDArray[np.int64], cap: int) -> None:
        order = np.random.default_rng(secrets.randbits(128)).permutation(len(codes))
        order = order[np.argsort(codes[order], kind="stable")]
        _, first, counts = np.unique(codes[order], return_index=True, return_counts=True)
        kept = np.minimum(counts, cap)
        self.cap = cap
        self.dropped = int((counts - kept).sum())
        self._rows = np.full((len(counts), cap), -1, dtype=np.int64)
        for user, (start, count) in enumerate(zip(first, kept, strict=True)):
            self._rows[user, :count] = np.sort(order[start : start + count])

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, users: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of these users and their weights, both of shape (users * cap,).

        A user's weights sum to one. Missing rows repeat the user's first at weight zero: all have `cap` of them.
        """
        found = torch.from_numpy(self._rows[users.numpy()])
        there = found >= 0
        weights = there.float() / there.sum(1, keepdim=True)
        return torch.where(there, found, found[:, :1]).flatten(), weights.flatten()

    def save(self, path: Path) -> None:
        """Write as .npy."""
        np.save(path, self._rows, allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> Owners:
        """Read what `save` wrote: the same rows of each user, for another process."""
        owners = cls.__new__(cls)
        owners._rows = np.load(path, allow_pickle=False)
        owners.cap, owners.dropped = owners._rows.shape[1], 0
        return owners

    def kept(self) -> Sequence[int]:
        """All rows that any user keeps, ascending."""
        return sorted(int(row) for row in self._rows[self._rows >= 0])
