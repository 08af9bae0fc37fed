"""The trained part of a classifier: a head on frozen features, or some upper layers of the encoder with a head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from governance.errors import BackendError
from governance.files import write_atomic
from governance.training.encoder import Cut, layers_of, load_base
from governance.training.words import SparseLinear

WEIGHTS = "model.safetensors"
SETTINGS = "model.json"
POOLED = 0.7  # length of the pooled states beside hashed words, whose length is 1
CONSTANT = 0.2  # a feature that never changes: the head's bias, inside the bounded gradient


@dataclass(frozen=True, slots=True)
class Shape:
    """What a trained part looks like; enough to build it again.

    Attributes:
        classes: number of classes.
        width: hidden size of the base.
        first_layer: index of the lowest trained layer (= the number of cached ones).
        trained_layers: how many layers above the cut are trained; 0: the head alone.
        buckets: of hashed words beside the pooled states; 0: none.
    """

    classes: int
    width: int
    first_layer: int
    trained_layers: int
    buckets: int = 0


class _Passthrough(nn.Module):
    """Stands where the embeddings were: the cached states are the embeddings now."""

    def forward(self, *given: object, inputs_embeds: torch.Tensor | None = None, **_: object) -> torch.Tensor:
        if inputs_embeds is not None:
            return inputs_embeds
        # DistilBERT hands them over by position, beside absent token ids.
        return next(value for value in given if isinstance(value, torch.Tensor) and value.is_floating_point())


class _Head(nn.Linear):
    """The linear head, zero at the start."""

    def __init__(self, width: int, classes: int, *, bias: bool) -> None:
        super().__init__(width, classes, bias=bias)
        nn.init.zeros_(self.weight)
        if bias:
            nn.init.zeros_(self.bias)


class LayersAndHead(nn.Module):
    """Trained layers, a mean over tokens, a head: logits from cached states and their masks."""

    def __init__(self, shape: Shape, base: Path) -> None:
        super().__init__()
        self.shape = shape
        model: Any = load_base(base)
        owner = layers_of(model)
        owner.layer = owner.layer[shape.first_layer : shape.first_layer + shape.trained_layers]
        if len(owner.layer) != shape.trained_layers:
            raise BackendError(f"{base.name}: fewer than {shape.first_layer + shape.trained_layers} layers")
        model.embeddings = _Passthrough()
        model.pooler = None
        self.encoder = model
        self.dropout = nn.Dropout(0.1)
        self.head = _Head(shape.width, shape.classes, bias=True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(b, t, width) states and (b, t) mask to logits (b, classes)."""
        out = self.encoder(inputs_embeds=states, attention_mask=mask.long()).last_hidden_state
        weight = mask.unsqueeze(-1).to(out.dtype)
        pooled = (out * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(self.dropout(pooled))  # type: ignore[no-any-return]


class HeadAlone(nn.Module):
    """A head on pooled states: logits from (b, width)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.head = _Head(shape.width, shape.classes, bias=True)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """(b, width) to logits (b, classes)."""
        return self.head(pooled)  # type: ignore[no-any-return]


class HeadWithWords(nn.Module):
    """A head on pooled states and hashed words.

    Every row's features have the same length, so that one clipping bound fits all of them.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = SparseLinear(shape.buckets, shape.classes)
        self.head = _Head(shape.width + 1, shape.classes, bias=False)

    def forward(self, pooled: torch.Tensor, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """(b, width) pooled states and (b, K) hashed words to logits (b, classes)."""
        constant = pooled.new_full((len(pooled), 1), CONSTANT)
        dense = torch.cat([functional.normalize(pooled, dim=1) * POOLED, constant], dim=1)
        return self.head(dense) + self.words(ids, values)  # type: ignore[no-any-return]


Classifier = LayersAndHead | HeadAlone | HeadWithWords


def build(shape: Shape, base: Path) -> Classifier:
    """A fresh trained part.

    Args:
        shape: what to build.
        base: where the trained layers' starting weights and architecture come from.
    """
    if shape.trained_layers:
        return LayersAndHead(shape, base)
    return HeadWithWords(shape) if shape.buckets else HeadAlone(shape)


def save(model: Classifier, directory: Path, settings: Mapping[str, object]) -> None:
    """Write weights (safetensors) and settings (JSON)."""
    from safetensors.torch import save as to_bytes

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(directory / WEIGHTS, to_bytes(state))
    write_atomic(directory / SETTINGS, json.dumps({"shape": asdict(model.shape), **settings}, indent=1).encode())


def load(directory: Path, cut: Cut) -> Classifier:
    """Read what `save` wrote, ready to predict.

    Raises:
        BackendError: the folder holds no such model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        settings = json.loads((directory / SETTINGS).read_bytes())
        model = build(Shape(**settings["shape"]), cut.base)
        model.load_state_dict(load_file(directory / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BackendError(
            f"{directory.name}: not a classifier that Steelyard trained ({type(error).__name__})"
        ) from None
    return model.eval()
