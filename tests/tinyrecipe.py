"""A small real recipe for tests of distributed training: two layers on the numbers of a table."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import nn

from governance.dataset import ScrubbedTable
from governance.training.recipes.base import Column, Fitted, Setting, fit_by_steps

WIDTH = 6


class TinyTask:
    """Binary classification of rows drawn from a rule; the same rows for the same seed."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, *, dropout: float = 0.0) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(
            nn.Linear(features.shape[1], 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1)
        )
        self.rows = len(features)
        self._features = torch.tensor(features, dtype=torch.float32)
        self._labels = torch.tensor(labels, dtype=torch.float32)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        found = self.model(self._features[rows]).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(found, self._labels[rows], reduction="none")

    def save(self, directory: Path) -> None:
        save_model(self.model, str(directory / "model.safetensors"))

    def restore(self, directory: Path) -> None:
        load_model(self.model, str(directory / "model.safetensors"))


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, WIDTH))
    return features, (features[:, 0] + features[:, 1] > 0).astype(float)


def table(n: int, seed: int = 0) -> ScrubbedTable:
    features, labels = rows(n, seed)
    numbers = {f"x{i}": features[:, i] for i in range(WIDTH)} | {"y": labels}
    return ScrubbedTable(rows=np.arange(n), texts={}, labels={}, numbers=numbers)


@dataclass(frozen=True, kw_only=True)
class TinyRecipe:
    """Rank `dies` is killed at its training step number `at`, once: where the file `died` is not there yet."""

    dropout: float = 0.0
    dies: int | None = None
    at: int = 0
    died: Path | None = None
    pause: float = 0.0

    columns: ClassVar[Mapping[str, Column]] = {"x": Column("number", several=True), "y": Column("number")}
    needs_base: ClassVar[bool] = False

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        features = np.stack([table.numbers[f"x{i}"] for i in range(WIDTH)], axis=1)
        task = _Mortal(features, table.numbers["y"], self, setting.group.rank)
        return fit_by_steps(task, directory, setting, trained="all parameters", facts={"rows": task.rows, "share": 0.5})


class _Mortal(TinyTask):
    def __init__(self, features: np.ndarray, labels: np.ndarray, recipe: TinyRecipe, rank: int) -> None:
        super().__init__(features, labels, dropout=recipe.dropout)
        self._recipe, self._rank, self._calls = recipe, rank, 0

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        self._calls += self.model.training  # the self-test before looks at a model that is not in training
        time.sleep(self._recipe.pause)
        died = self._recipe.died
        if self._rank == self._recipe.dies and self._calls == self._recipe.at and died and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().losses(rows)
