"""A model from a folder that was checked: safetensors alone, no silent random weights, in the numbers asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from governance.backends.hf.batches import Loaded
from governance.backends.hf.settings import Settings
from governance.backends.hf.source import Folder, check_folder
from governance.backends.int8 import in_int8
from governance.errors import BackendError
from governance.training.encoder import quiet
from governance.training.recipes.tokens import positions

AUTO = {
    "classification": "AutoModelForSequenceClassification",
    "cross-encoder": "AutoModelForSequenceClassification",
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "embedding": "AutoModel",
    "qa": "AutoModelForQuestionAnswering",
}
SPARE = 2**24  # numbers that a model may hold beyond twice those in its files: masks, tables of positions


def load(path: Path, settings: Settings) -> Loaded:
    """Model, in evaluation mode on its device, and tokenizer.

    Raises:
        BackendError: the folder holds no model with this head, or this machine can't compute as the settings say.
        ConfigError: the folder is not safe to load.
    """
    device = _device(settings)
    folder = check_folder(path, code=settings.code)
    quiet()
    try:
        model, tokenizer = _read(folder, settings)
    except BackendError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile folder can fail in any way; it must stop here
        reason = " ".join(str(error).split())
        if "trust_remote_code" in reason:
            reason = "it is of a kind that only Python files in its folder know; they are run only with `code: true`"
        raise BackendError(f"{path.name}: can't be loaded as {settings.head}: {reason[:300]}") from None
    if not tokenizer.is_fast:
        raise BackendError(f"{path.name}: expected a fast tokenizer (tokenizer.json), found a slow one")
    model = model.eval().to(device)
    return Loaded(
        model=in_int8(model, path.name) if settings.quantise else model,
        tokenizer=tokenizer,
        settings=settings,
        room=_room(model, tokenizer, settings, path),
    )


def _read(folder: Folder, settings: Settings) -> tuple[Any, Any]:
    import transformers

    auto = getattr(transformers, AUTO[settings.head])
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": settings.code}
    config = transformers.AutoConfig.from_pretrained(str(folder.path), **here)
    _check_size(auto, config, folder, settings)
    model, loading = auto.from_pretrained(
        str(folder.path),
        config=config,
        use_safetensors=True,
        dtype=getattr(torch, settings.dtype),
        output_loading_info=True,
        **here,
    )
    # A pooler has no part in an embedding. Anything else that starts from nothing would answer at random.
    unread = settings.head == "embedding"
    missing = sorted(key for key in loading["missing_keys"] if not (unread and key.startswith("pooler.")))
    if missing:
        raise BackendError(
            f"{folder.path.name}: its weights hold no {missing[0]}{' and others' * (len(missing) > 1)}: "
            f"it is no model with a trained head for {settings.head}"
        )
    return model, transformers.AutoTokenizer.from_pretrained(str(folder.path), **here)


def _check_size(auto: Any, config: Any, folder: Folder, settings: Settings) -> None:
    """That what the config describes is what the files hold, before memory is taken for it."""
    from safetensors import safe_open

    if getattr(config, "quantization_config", None) is not None:
        return  # packed numbers: the counts can't be compared, and transformers refuses other shapes
    stored = 0
    for file in folder.weights:
        with safe_open(str(file), framework="pt") as tensors:
            stored += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    with torch.device("meta"):  # shapes alone
        outline = auto.from_config(config, trust_remote_code=settings.code)
    described = sum(numbers.numel() for numbers in (*outline.parameters(), *outline.buffers()))
    if described > 2 * stored + SPARE:
        raise BackendError(
            f"{folder.path.name}: config.json describes {described} numbers, the weights hold {stored}: not the "
            "config of these weights"
        )


def _device(settings: Settings) -> torch.device:
    try:
        device = torch.device(settings.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BackendError(f"device: this machine has no '{settings.device}' that torch can use: {reason}") from None
    if settings.quantise and (device.type != "cpu" or settings.dtype != "float32"):
        raise BackendError(
            f"quantise: int8 works on the CPU, from float32; found {settings.device} and {settings.dtype}"
        )
    return device


def _room(model: Any, tokenizer: Any, settings: Settings, path: Path) -> int:
    """Tokens that a row may have."""
    room = min(positions(model), int(tokenizer.model_max_length))
    if settings.max_length is None:
        return room
    if settings.max_length > room:
        raise BackendError(f"{path.name}: max_length: the model reads {room} tokens, got {settings.max_length}")
    return settings.max_length
