"""What a recipe hands to the loop: a model, and each row's own loss."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import nn


class Task(Protocol):
    """Training rows seen through one model, whose parameters that require a gradient are the trained ones."""

    @property
    def model(self) -> nn.Module:
        """As it is now."""

    @property
    def rows(self) -> int:
        """How many."""

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Each row's own loss with `model` as it is, shape (len(rows),).

        A row's loss must not depend on which other rows are asked for: no mean over a padded batch's tokens, no
        normalisation over rows, no negatives from the batch.
        """

    def save(self, directory: Path) -> None:
        """Write the model as it is, so that `restore` and whoever uses the model can read it."""

    def restore(self, directory: Path) -> None:
        """Set the model's weights to what `save` wrote."""
