"""The trained part of a classifier: some upper layers of the encoder, mean pooling, a linear head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from governance.errors import BackendError
from governance.files import write_atomic
from governance.training.encoder import Cut, layers_of, load_base

WEIGHTS = "model.safetensors"
SETTINGS = "model.json"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a trained part looks like; enough to build it again.

    Attributes:
        classes: number of classes.
        width: hidden size of the base.
        first_layer: index of the lowest trained layer (= the number of cached ones).
        trained_layers: how many layers above the cut are trained; 0: the head alone.
    """

    classes: int
    width: int
    first_layer: int
    trained_layers: int


class _Passthrough(nn.Module):
    """Stands where the embeddings were: the cached states are the embeddings now."""

    def forward(self, *given: object, inputs_embeds: torch.Tensor | None = None, **_: object) -> torch.Tensor:
        if inputs_embeds is not None:
            return inputs_embeds
        # DistilBERT hands them over by position, beside absent token ids.
        return next(value for value in given if isinstance(value, torch.Tensor) and value.is_floating_point())


class Classifier(nn.Module):
    """Logits from cached states. With `trained_layers` 0 it takes pooled vectors, else states and masks."""

    def __init__(self, shape: Shape, base: Path | None = None) -> None:
        """Build it.

        Args:
            shape: what to build.
            base: where the trained layers' starting weights and architecture come from.
        """
        super().__init__()
        self.shape = shape
        self.encoder: Any = None
        if shape.trained_layers:
            if base is None:
                raise ValueError("trained layers need a base")
            model = load_base(base)
            owner = layers_of(model)
            owner.layer = owner.layer[shape.first_layer : shape.first_layer + shape.trained_layers]
            if len(owner.layer) != shape.trained_layers:
                raise BackendError(f"{base.name}: fewer than {shape.first_layer + shape.trained_layers} layers")
            model.embeddings = _Passthrough()
            model.pooler = None
            self.encoder = model
        self.dropout = nn.Dropout(0.1 if shape.trained_layers else 0.0)
        self.head = nn.Linear(shape.width, shape.classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(b, width) pooled, or (b, t, width) with a (b, t) mask, to logits (b, classes)."""
        if self.encoder is None:
            pooled = states
        else:
            assert mask is not None  # noqa: S101 - narrows the type; trained layers always come with a mask
            out = self.encoder(inputs_embeds=states, attention_mask=mask.long()).last_hidden_state
            weight = mask.unsqueeze(-1).to(out.dtype)
            pooled = (out * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(self.dropout(pooled))  # type: ignore[no-any-return]


def save(model: Classifier, cut: Cut, directory: Path, extra: Mapping[str, object]) -> None:
    """Write weights (safetensors) and settings (JSON)."""
    from safetensors.torch import save as to_bytes

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(directory / WEIGHTS, to_bytes(state))
    settings = {"shape": asdict(model.shape), "max_tokens": cut.max_tokens, **extra}
    write_atomic(directory / SETTINGS, json.dumps(settings, indent=1).encode())


def load(directory: Path, base: Path) -> Classifier:
    """Read what `save` wrote, ready to predict.

    Raises:
        BackendError: the folder holds no such model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        settings = json.loads((directory / SETTINGS).read_bytes())
        model = Classifier(Shape(**settings["shape"]), base)
        model.load_state_dict(load_file(directory / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BackendError(
            f"{directory.name}: not a classifier that Steelyard trained ({type(error).__name__})"
        ) from None
    return model.eval()
