"""Which parameters of a pretrained model are trained."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any, Literal

from torch import nn

from governance.errors import ConfigError, MissingExtra

Method = Literal["full", "frozen-embeddings", "last-layers", "lora", "bitfit", "head"]

NEW = ("classifier", "score", "qa_outputs", "pre_classifier", "head")
"""Modules that a task adds to a pretrained body, by the names that transformers gives them."""


def new_modules(model: nn.Module, missing: Collection[str]) -> tuple[str, ...]:
    """Parts of parameters' names that tell which start from nothing; a recipe notes them in `model.starts_new`.

    Args:
        model: with its heads.
        missing: parameters that its folder did not hold.

    Returns:
        "module." for a module, "module.parameter" for a parameter of a module that has others in it.
    """
    found = {f"{part}." for part in NEW}
    for name in missing:
        owner = name.rpartition(".")[0]
        if not any(part in NEW for part in name.split(".")):
            found.add(name if list(model.get_submodule(owner).children()) else f"{owner}.")
    return tuple(sorted(found))


def choose(
    model: nn.Module,
    method: Method,
    *,
    layers: int = 2,
    rank: int = 8,
    alpha: int = 16,
    targets: tuple[str, ...] = (),
) -> nn.Module:
    """Make exactly what a method trains require a gradient.

    Args:
        model: a transformers model, changed in place.
        method: what to train; new heads are trained by every method.
        layers: of the body, from the top, for "last-layers".
        rank: of LoRA's matrices.
        alpha: LoRA's scale is alpha / rank.
        targets: names of the linear layers that get LoRA. [default: peft's, by model type; else all linear layers]

    Returns:
        The model to train: the given one, or peft's wrapper around it.

    Raises:
        ConfigError: the model has no such part.
        MissingExtra: "lora" without peft.
    """
    if method == "lora":
        return _lora(model, rank, alpha, targets)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_is_new(model, name) or method in {"full", "frozen-embeddings"})
    if method == "frozen-embeddings":
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.weight.requires_grad_(False)
    elif method == "bitfit":
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.requires_grad_(True)
    elif method == "last-layers":
        for block in _blocks(model)[-layers:]:
            block.requires_grad_(True)
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError(f"method: '{method}' trains nothing of this model ({type(model).__name__}); choose another")
    return model


def in_words(model: nn.Module, method: Method) -> str:
    """What is trained, for a claim and a card: method, parameters, their share."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    return f"{method}: {trained:,} of {every:,} parameters"


def _is_new(model: nn.Module, name: str) -> bool:
    return any(f".{part}" in f".{name}" for part in getattr(model, "starts_new", new_modules(model, ())))


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The body's layers in order: the longest list of modules of one type."""
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    lists = [found for found in lists if len({type(block) for block in found}) == 1]
    if not lists:
        raise ConfigError(f"method: 'last-layers' finds no list of layers in {type(model).__name__}; choose another")
    return max(lists, key=lambda found: sum(p.numel() for block in found for p in block.parameters()))


def _lora(model: nn.Module, rank: int, alpha: int, targets: tuple[str, ...]) -> nn.Module:
    try:
        from peft import LoraConfig, get_peft_model
        from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
    except ModuleNotFoundError:
        raise MissingExtra("method 'lora' needs peft: pip install 'steelyard[lora]'") from None
    modules = {part[:-1] for part in getattr(model, "starts_new", new_modules(model, ())) if part.endswith(".")}
    new = sorted(part for part in modules if any(f".{part}." in f".{name}" for name, _ in model.named_parameters()))
    kind = str(getattr(model.config, "model_type", ""))
    chosen: Any = list(targets) or USUAL.get(kind) or "all-linear"
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=chosen, modules_to_save=new or None, lora_dropout=0.0)
    with warnings.catch_warnings():
        # peft asks transformers by an old name, and finds out by itself that GPT-2 keeps its weights transposed.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        return get_peft_model(model, config)
