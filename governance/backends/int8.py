"""Linear layers in 8-bit integers: of a model that was loaded whole, and of a classifier that was trained here."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from typing_extensions import override

from governance.backends.trained import ClassifierBackend
from governance.errors import BackendError
from governance.training.encoder import LowerLayers

if TYPE_CHECKING:
    from governance.training.model import Classifier

_PER_CHANNEL = (torch.per_channel_affine, torch.per_channel_affine_float_qparams)


def in_int8(model: Any, name: str) -> Any:
    """The model with linear layers in 8-bit integers: weights once, what goes through them batch by batch.

    Args:
        model: on the CPU, in float32; changed in place.
        name: for the message.

    Raises:
        BackendError: it has no linear layers.

    Source:
        torch.ao.quantization, which torch 2.13 still has and calls deprecated; its successor is the package torchao.
    """
    from transformers.pytorch_utils import Conv1D

    for inner, module in [(inner, module) for inner, module in model.named_modules() if isinstance(module, Conv1D)]:
        parent, _, last = inner.rpartition(".")
        setattr(model.get_submodule(parent), last, _as_linear(module))  # GPT-2's, a linear layer by another name
    if not any(isinstance(module, nn.Linear) for module in model.modules()):
        raise BackendError(f"{name}: quantise: the model has no linear layers")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="torch.ao.quantization")
        warnings.filterwarnings("ignore", category=UserWarning, message="torch.quantize_per")
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8, inplace=True)


def _as_linear(module: Any) -> nn.Linear:
    made = nn.Linear(module.nx, module.nf)
    made.weight = nn.Parameter(module.weight.detach().T.contiguous())
    made.bias = nn.Parameter(module.bias.detach())
    return made


class Int8Layers(LowerLayers):
    """The lower layers of an encoder, themselves in 8-bit integers; their outputs are kept apart from the original's.

    What goes through a quantised layer is scaled by the largest number in its batch, so a text's states hang a little
    on the texts that it is read with: the batches are those in which the original reads.
    """

    @override
    def _read(self) -> Any:
        return in_int8(super()._read(), self.cut.base.name)


class Int8Backend(ClassifierBackend):
    """A classifier that was trained here, its layers and its head in 8-bit integers; `features` have `Int8Layers`."""

    @cached_property
    @override
    def _model(self) -> Classifier:
        from governance.training.model import load

        made: Classifier = in_int8(plain(load(self._directory, self._features.lower.cut)), self._directory.name)
        return made

    def weights(self) -> list[tuple[str, Any]]:
        """All that it computes with, by name: the lower layers, then what was trained."""
        lower = self._features.lower.model
        return [*tensors_of(lower, "lower"), *tensors_of(self._model, "trained")]


def plain(model: Any) -> Any:
    """The model with ordinary linear layers, LoRA's parts added to those that they adapt; changed in place."""
    for name, module in [(name, module) for name, module in model.named_modules() if hasattr(module, "get_base_layer")]:
        module.merge()
        _replace(model, name, module.get_base_layer())
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear:  # torch quantises no subclass
            made = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            made.load_state_dict(module.state_dict())
            _replace(model, name, made)
    return model.eval()


def _replace(model: Any, name: str, module: Any) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def tensors_of(model: Any, prefix: str) -> list[tuple[str, torch.Tensor]]:
    """A model's numbers by name; of a quantised layer the integers and what they stand for. A pooler has no part."""
    found: list[tuple[str, torch.Tensor]] = []
    for name, value in sorted(model.state_dict().items()):
        parts = value if isinstance(value, tuple) else (value,)
        for place, part in enumerate(one for one in parts if isinstance(one, torch.Tensor)):
            if name.startswith("pooler."):
                continue
            told = f"{prefix}.{name}.{place}"
            if part.is_quantized:
                scales = part.q_per_channel_scales() if part.qscheme() in _PER_CHANNEL else torch.tensor(part.q_scale())
                found += [(told, part.int_repr()), (f"{told}.scale", scales)]
            else:
                found.append((told, part))
    return found


def size_of(tensors: Iterable[tuple[str, torch.Tensor]]) -> int:
    """Bytes of these numbers, as a file holds them."""
    return sum(tensor.numel() * tensor.element_size() for _, tensor in tensors)


def digest_tensors(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """SHA-256 over names and numbers."""
    hashed = hashlib.sha256()
    for name, tensor in tensors:
        hashed.update(name.encode() + b"\0" + tensor.detach().contiguous().numpy().tobytes())
    return f"sha256:{hashed.hexdigest()}"
