"""A multilayer perceptron on a table's columns, hashed words or a frozen encoder's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from governance.training.recipes.logistic import Logistic, VectorClassifier


class Net(nn.Sequential):
    """Linear layers and tanh, which keeps private gradients short (Papernot et al., 2021, arXiv:2007.14191)."""

    starts_new = ()  # everything does: one learning rate


@dataclass(frozen=True, kw_only=True)
class MLP(Logistic):
    """A multilayer perceptron.

    Attributes:
        hidden: widths of its hidden layers.
        dropout: of their outputs.
    """

    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.0

    name: ClassVar[str] = "mlp"

    def shape(self) -> Mapping[str, Any]:
        """Widths and dropout."""
        return {"hidden": list(self.hidden), "dropout": self.dropout}

    def build(self, shape: Mapping[str, Any]) -> nn.Module:
        """A model with fresh weights."""
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([shape["inputs"], *shape["hidden"]]):
            layers += [nn.Linear(inputs, outputs), nn.Tanh(), nn.Dropout(shape["dropout"])]
        return Net(*layers, nn.Linear([shape["inputs"], *shape["hidden"]][-1], shape["classes"]))

    @staticmethod
    def load(directory: Path, base: Path | None = None) -> VectorClassifier:
        """The model that `fit` left in a folder, with the base it reads texts through. Raises `BackendError`."""
        return VectorClassifier(directory, MLP(), base)
