"""A small transformer over a text's tokens, from random weights.

Blocks normalise before attention and before the two linear layers, which trains without a long warm-up (Xiong et al.,
2020, arXiv:2002.04745); positions are sines, which need no training and so no noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from governance.errors import ConfigError
from governance.training.recipes.texts import TextClassifier, TextSettings, mean_over_own
from governance.training.recipes.vocabulary import PADDING


class Block(nn.Module):
    """Attention and two linear layers, each added to what it was given."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_linear = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """(b, t, width) and a mask of each row's own positions (b, t) to (b, t, width)."""
        b, t, width = states.shape
        parts = self.asked(self.before_attention(states)).view(b, t, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=own[:, None, None, :])
        states = states + self.dropout(self.out(seen.transpose(1, 2).reshape(b, t, width)))
        wider = functional.gelu(self.up(self.before_linear(states)))
        after: torch.Tensor = states + self.dropout(self.down(wider))
        return after


class Net(nn.Module):
    """Token vectors and positions, blocks, mean over the text's own positions, linear head."""

    starts_new = ()  # everything does: one learning rate
    positions: torch.Tensor

    def __init__(self, shape: Mapping[str, Any]) -> None:
        super().__init__()
        width = shape["width"]
        self.embedding = nn.Embedding(shape["tokens"], width, padding_idx=PADDING)
        self.register_buffer("positions", sines(shape["max_tokens"], width), persistent=False)
        self.blocks = nn.ModuleList(Block(width, shape["heads"], shape["dropout"]) for _ in range(shape["layers"]))
        self.last = nn.LayerNorm(width)
        self.head = nn.Linear(width, shape["classes"])

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """(b, t) token numbers to (b, classes) logits."""
        own = numbers != PADDING
        states = self.embedding(numbers) + self.positions[: numbers.shape[1]]
        for block in self.blocks:
            states = block(states, own)
        logits: torch.Tensor = self.head(mean_over_own(self.last(states), numbers))
        return logits


def sines(positions: int, width: int) -> torch.Tensor:
    """Positions as sines and cosines, shape (positions, width); Vaswani et al. (2017), section 3.5."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(positions).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]


@dataclass(frozen=True, kw_only=True)
class TransformerClassifier(TextSettings):
    """A transformer classifier.

    Attributes:
        layers: blocks.
        heads: of attention; they share the width.
    """

    layers: int = 2
    heads: int = 4

    name: ClassVar[str] = "transformer-classifier"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"{self.name}.width: expected a multiple of heads = {self.heads}, got {self.width}")

    def shape(self) -> Mapping[str, int | float]:
        """Width, depth and dropout."""
        return {"width": self.width, "heads": self.heads, "layers": self.layers, "dropout": self.dropout}

    def build(self, shape: Mapping[str, Any], *, private: bool) -> nn.Module:  # noqa: ARG002 - the same net for both
        """A model with fresh weights."""
        return Net(shape)

    @staticmethod
    def load(directory: Path) -> TextClassifier:
        """The classifier that `fit` left in a folder. Raises `BackendError` where that holds something else."""
        return TextClassifier(directory, TransformerClassifier())
