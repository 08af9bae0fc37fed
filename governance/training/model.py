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

from governance.errors import BackendError, MissingExtra
from governance.files import write_atomic
from governance.training.encoder import Cut, layers_of, load_base
from governance.training.words import SparseLinear

WEIGHTS = "model.safetensors"
SETTINGS = "model.json"
POOLED = 0.7  # length of the pooled states beside hashed words, whose length is 1
LORA_SCALE = 1  # alpha / rank
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
        rank: of LoRA, which then is all that is trained of those layers; 0: they are trained in full.
    """

    classes: int
    width: int
    first_layer: int
    trained_layers: int
    buckets: int = 0
    rank: int = 0


class _Passthrough(nn.Module):
    """Stands where the embeddings were: the cached states are the embeddings now."""

    def forward(self, *given: object, inputs_embeds: torch.Tensor | None = None, **_: object) -> torch.Tensor:
        if inputs_embeds is not None:
            return inputs_embeds
        # DistilBERT hands them over by position, beside absent token ids.
        return next(value for value in given if isinstance(value, torch.Tensor) and value.is_floating_point())


class _Zero(nn.Linear):
    """A linear layer that is zero at the start."""

    def __init__(self, width: int, classes: int, *, bias: bool) -> None:
        super().__init__(width, classes, bias=bias)
        nn.init.zeros_(self.weight)
        if bias:
            nn.init.zeros_(self.bias)


class Head(nn.Module):
    """Logits from pooled states (b, width) and, if the shape has buckets, hashed words: their ids and values, (b, K).

    Beside words every row's features have the same length, so that one clipping bound fits all of them.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.words = SparseLinear(shape.buckets, shape.classes) if shape.buckets else None
        self.states = _Zero(shape.width + bool(shape.buckets), shape.classes, bias=not shape.buckets)

    def forward(self, pooled: torch.Tensor, *words: torch.Tensor) -> torch.Tensor:
        """To logits, (b, classes)."""
        if self.words is None:
            return self.states(pooled)  # type: ignore[no-any-return]
        constant = pooled.new_full((len(pooled), 1), CONSTANT)
        dense = torch.cat([functional.normalize(pooled, dim=1) * POOLED, constant], dim=1)
        return self.states(dense) + self.words(*words)  # type: ignore[no-any-return]


class LayersAndHead(nn.Module):
    """Trained layers, a mean over tokens, a head: logits from cached states, their masks, and hashed words if any."""

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
        self.encoder = adapted(model, shape.rank) if shape.rank else model
        self.dropout = nn.Dropout(0.0 if shape.buckets else 0.1)
        self.head = Head(shape)

    def forward(self, states: torch.Tensor, mask: torch.Tensor, *words: torch.Tensor) -> torch.Tensor:
        """(b, t, width) states and (b, t) mask to logits (b, classes)."""
        out = self.encoder(inputs_embeds=states, attention_mask=mask.long()).last_hidden_state
        weight = mask.unsqueeze(-1).to(out.dtype)
        pooled = (out * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(self.dropout(pooled), *words)  # type: ignore[no-any-return]


class HeadAlone(nn.Module):
    """A head on pooled states that nothing trains."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.head = Head(shape)

    def forward(self, pooled: torch.Tensor, *words: torch.Tensor) -> torch.Tensor:
        """(b, width) and hashed words, if any, to logits (b, classes)."""
        return self.head(pooled, *words)  # type: ignore[no-any-return]


Classifier = LayersAndHead | HeadAlone


def adapted(model: Any, rank: int) -> Any:
    """The model with LoRA on every linear layer, of which only the part that starts at zero is trained.

    The other part is random, from the run's public seed, and stays so (FFA-LoRA: Sun et al. 2024, arXiv:2403.12313):
    noise on both would be multiplied.

    Raises:
        MissingExtra: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise MissingExtra("rank: LoRA needs peft: pip install 'steelyard[lora]'") from None
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    config = LoraConfig(r=rank, lora_alpha=LORA_SCALE * rank, target_modules=linear, lora_dropout=0.0)
    changed: Any = inject_adapter_in_model(config, model)
    for name, parameter in changed.named_parameters():
        parameter.requires_grad_("lora_B" in name)
    return changed


def build(shape: Shape, base: Path) -> Classifier:
    """A fresh trained part.

    Args:
        shape: what to build.
        base: where the trained layers' starting weights and architecture come from.
    """
    return LayersAndHead(shape, base) if shape.trained_layers else HeadAlone(shape)


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
