"""Any local Hugging Face model as a backend: what may be loaded, how rows become batches, and one module per head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from governance.backends.hf.settings import Settings

if TYPE_CHECKING:
    from governance.backends.asking import Gate
    from governance.backends.base import Backend
    from governance.backends.prompts import BoundPrompt
    from governance.backends.taskprompts import BoundTaskPrompt
    from governance.dataset import Labels

__all__ = ["Settings", "open_model"]


def open_model(
    folder: Path,
    settings: Settings,
    *,
    gate: Gate,
    labels: Labels | None = None,
    prompt: BoundPrompt | BoundTaskPrompt | None = None,
) -> Backend:
    """Load a model folder and fit it to a task.

    Args:
        folder: weights, config and tokenizer, as `source.find` found them; a GGUF file has been converted by now.
        settings: which head, and how it computes.
        gate: the scrubber, for prompts and for what a model writes.
        labels: the task's classes; for a classification head.
        prompt: how the task is put; for a model that writes.

    Raises:
        BackendError: the folder holds no such model, or this machine can't compute as the settings say.
        ConfigError: the folder is not safe to load, or its labels are not the task's.
    """
    from governance.backends.hf.loading import load

    loaded = load(folder, settings)
    match settings.head:
        case "classification":
            from governance.backends.hf.heads import Classification

            if labels is None:
                raise ValueError("labels: a classification head needs the task's classes")
            return Classification(loaded, labels, settings.labels)
        case "cross-encoder":
            from governance.backends.hf.heads import CrossEncoder

            return CrossEncoder(loaded)
        case "embedding":
            from governance.backends.hf.embedding import Embedding

            return Embedding(loaded)
        case "qa":
            from governance.backends.hf.qa import Extraction

            return Extraction(loaded, gate)
        case "causal" | "seq2seq":
            from governance.backends.hf.writing import Writing

            return Writing(loaded, gate, prompt)
