"""An LSTM over a text's tokens, from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from governance.training.recipes.texts import TextClassifier, TextSettings, mean_over_own
from governance.training.recipes.vocabulary import PADDING


def recurrent(width: int, hidden: int, layers: int, *, private: bool) -> nn.Module:
    """An LSTM, batch first. Opacus's has the same weights by the same names, and gates that can be seen one by one.

    One direction only: padding comes last, so what a position knows never depends on how long its batch-mates are.
    """
    if private:
        from opacus.layers import DPLSTM

        made: nn.Module = DPLSTM(width, hidden, layers, batch_first=True)
        return made
    return nn.LSTM(width, hidden, layers, batch_first=True)


class Net(nn.Module):
    """Token vectors, LSTM, mean over the text's own positions, linear head."""

    starts_new = ()  # everything does: one learning rate

    def __init__(self, shape: Mapping[str, Any], *, private: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape["tokens"], shape["width"], padding_idx=PADDING)
        self.lstm = recurrent(shape["width"], shape["hidden"], shape["layers"], private=private)
        self.dropout = nn.Dropout(shape["dropout"])
        self.head = nn.Linear(shape["hidden"], shape["classes"])

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """(b, t) token numbers to (b, classes) logits."""
        states, _ = self.lstm(self.dropout(self.embedding(numbers)))
        logits: torch.Tensor = self.head(self.dropout(mean_over_own(states, numbers)))
        return logits


@dataclass(frozen=True, kw_only=True)
class LSTMClassifier(TextSettings):
    """An LSTM classifier.

    Attributes:
        hidden: width of its state.
        layers: one above the other.
    """

    hidden: int = 64
    layers: int = 1

    name: ClassVar[str] = "lstm-classifier"

    def shape(self) -> Mapping[str, int | float]:
        """Width, depth and dropout."""
        return {"width": self.width, "hidden": self.hidden, "layers": self.layers, "dropout": self.dropout}

    def build(self, shape: Mapping[str, Any], *, private: bool) -> nn.Module:
        """A model with fresh weights."""
        return Net(shape, private=private)

    @staticmethod
    def load(directory: Path) -> TextClassifier:
        """The classifier that `fit` left in a folder. Raises `BackendError` where that holds something else."""
        return TextClassifier(directory, LSTMClassifier())
