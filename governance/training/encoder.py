"""A pretrained encoder cut in two: lower layers frozen and computed once, the rest trained.

The lower layers' outputs of every text are kept on disk (float16), so training and predicting
cost only what changes. The cache answers for what it has seen and computes the rest, so a
backend never needs to know whether a text is new.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.dataset import ModelText
from governance.errors import BackendError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

CHUNK = 512  # texts per write to the cache: what a kill can lose
BATCH = 64


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an encoder is cut.

    Attributes:
        base: folder with weights and tokenizer.
        cached_layers: how many lower layers are frozen and computed once.
        max_tokens: longer texts are cut off.
    """

    base: Path
    cached_layers: int
    max_tokens: int


def quiet() -> None:
    """No progress bars and no advice on stderr; nothing fetched. Safe to call again."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def load_base(base: Path) -> Any:
    """The pretrained encoder: from this disk, from safetensors, running no code of its own.

    Raises:
        BackendError: not a model folder, or of a kind that can't be cut.
    """
    from transformers import AutoModel

    quiet()
    try:
        model = AutoModel.from_pretrained(
            str(base), local_files_only=True, trust_remote_code=False, use_safetensors=True, attn_implementation="sdpa"
        )
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(f"{base.name}: expected a Hugging Face encoder with safetensors weights: {error}") from None
    layers_of(model)
    return model.eval()


def layers_of(model: Any) -> Any:
    """The module that owns the list of layers, and so can be cut.

    Raises:
        BackendError: the model is not a BERT, RoBERTa, XLM-R or DistilBERT type.
    """
    for owner in (getattr(model, "encoder", None), getattr(model, "transformer", None)):
        if owner is not None and hasattr(owner, "layer") and hasattr(model, "embeddings"):
            return owner
    raise BackendError(f"{type(model).__name__}: expected a BERT-like encoder with a list of layers")


class LowerLayers:
    """Outputs of an encoder's lower layers, computed once per text and kept on disk.

    Args:
        cut: which encoder, how deep, how many tokens.
        directory: where the cache lives. Keys are digests of texts, never texts.
        progress: called with the number of texts computed.
    """

    def __init__(self, cut: Cut, directory: Path, progress: Callable[[int], None] | None = None) -> None:
        from transformers import AutoConfig

        self.cut = cut
        self._directory = directory
        self._progress = progress
        directory.mkdir(parents=True, exist_ok=True)
        try:
            config = AutoConfig.from_pretrained(str(cut.base), local_files_only=True, trust_remote_code=False)
            self.width = int(config.hidden_size)
            self.layers = int(config.num_hidden_layers)
        except (OSError, ValueError, AttributeError) as error:
            raise BackendError(f"{cut.base.name}: expected a Hugging Face encoder folder: {error}") from None
        if not 1 <= cut.cached_layers <= self.layers:
            raise BackendError(f"{cut.base.name}: has {self.layers} layers; can't keep the lower {cut.cached_layers}")
        self._model: Any = None
        self._tokenizer: Any = None
        self._index: dict[bytes, int] = {}
        self._read_keys()

    def outputs(self, texts: Sequence[ModelText]) -> Hidden:
        """Lower layers' outputs of these texts, in order; unseen texts are computed and kept."""
        keys = [hashlib.blake2b(t.text.encode("utf-8", "replace"), digest_size=16).digest() for t in texts]
        unseen = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._index}
        # Sorted by length, so that a batch pads little; in chunks, so that a kill loses little.
        order = sorted(unseen, key=lambda key: (len(unseen[key].text), key))
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            self._append(chunk, [unseen[key] for key in chunk])
            if self._progress:
                self._progress(len(chunk))
        positions = np.array([self._index[key] for key in keys], dtype=np.int64)
        return Hidden(self._map("hidden"), self._map("mask"), self._map("seconds"), positions)

    def missing(self, texts: Sequence[ModelText]) -> int:
        """How many of these texts have not been computed yet."""
        keys = {hashlib.blake2b(t.text.encode("utf-8", "replace"), digest_size=16).digest() for t in texts}
        return len(keys - self._index.keys())

    _KINDS = {"hidden": np.float16, "mask": np.bool_, "seconds": np.float32}  # noqa: RUF012 - a constant

    def _shape(self, kind: str) -> tuple[int, ...]:
        tokens = self.cut.max_tokens
        return {"hidden": (tokens, self.width), "mask": (tokens,), "seconds": ()}[kind]

    def _map(self, kind: str) -> NDArray[Any]:
        shape = (len(self._index), *self._shape(kind))
        if not self._index:
            return np.zeros(shape, dtype=self._KINDS[kind])
        return np.memmap(self._directory / kind, dtype=self._KINDS[kind], mode="r", shape=shape)

    def _read_keys(self) -> None:
        """Trust as many rows as keys were written: keys come last, so a torn chunk is cut off."""
        path = self._directory / "keys"
        data = path.read_bytes() if path.exists() else b""
        count = len(data) // 16
        self._index = {data[16 * i : 16 * i + 16]: i for i in range(count)}
        for kind, dtype in self._KINDS.items():
            file = self._directory / kind
            if file.exists():
                with file.open("r+b") as handle:
                    handle.truncate(count * int(np.prod(self._shape(kind))) * np.dtype(dtype).itemsize)
        if path.exists():
            with path.open("r+b") as handle:
                handle.truncate(16 * count)

    def _append(self, keys: Sequence[bytes], texts: Sequence[ModelText]) -> None:
        hidden = np.zeros((len(texts), *self._shape("hidden")), dtype=np.float16)
        mask = np.zeros((len(texts), *self._shape("mask")), dtype=np.bool_)
        seconds = np.zeros(len(texts), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            began = time.perf_counter()
            state, attention = self._compute(batch)
            stop, width = start + len(batch), state.shape[1]
            hidden[start:stop, :width] = state
            mask[start:stop, :width] = attention
            seconds[start:stop] = (time.perf_counter() - began) / len(batch)
        for kind, rows in (("hidden", hidden), ("mask", mask), ("seconds", seconds)):
            with (self._directory / kind).open("ab") as file:
                file.write(rows.tobytes())
        with (self._directory / "keys").open("ab") as file:
            file.write(b"".join(keys))
        first = len(self._index)
        self._index |= {key: first + i for i, key in enumerate(keys)}

    @property
    def model(self) -> Any:
        """The lower layers themselves, read from disk when first needed."""
        if self._model is None:
            self._model = self._read()
        return self._model

    def _read(self) -> Any:
        model = load_base(self.cut.base)
        owner = layers_of(model)
        owner.layer = owner.layer[: self.cut.cached_layers]
        return model

    def _compute(self, texts: Sequence[ModelText]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        import torch

        if self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(
                str(self.cut.base), local_files_only=True, trust_remote_code=False
            )
        batch = self._tokenizer(
            [text.text for text in texts],
            truncation=True,
            max_length=self.cut.max_tokens,
            padding=True,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        with torch.inference_mode():
            state = self.model(**batch).last_hidden_state
        return state.half().numpy(), batch["attention_mask"].bool().numpy()


@dataclass(frozen=True, slots=True)
class Hidden:
    """Rows of the cache, read from disk as they are used.

    Attributes:
        hidden: shape (cached, tokens, width), float16.
        mask: shape (cached, tokens).
        seconds: shape (cached,), time that each row's lower layers took.
        positions: shape (n,), which cached row each text has.
    """

    hidden: NDArray[np.float16]
    mask: NDArray[np.bool_]
    seconds: NDArray[np.float32]
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some texts' states and masks: (b, longest, width) float32 and (b, longest) bool."""
        import torch

        at = self.positions[rows]
        mask = np.asarray(self.mask[at])
        longest = max(1, int(mask.sum(axis=1).max(initial=1)))
        hidden = np.asarray(self.hidden[at, :longest], dtype=np.float32)
        return torch.from_numpy(hidden), torch.from_numpy(mask[:, :longest].copy())

    def pooled(self) -> torch.Tensor:
        """Mean over each text's own tokens: (n, width) float32. A row's value never depends on its batch."""
        import torch

        rows = np.empty((len(self), self.hidden.shape[2]), dtype=np.float32)
        for i, at in enumerate(self.positions):
            count = max(1, int(self.mask[at].sum()))
            rows[i] = self.hidden[at, :count].astype(np.float32).mean(axis=0)
        return torch.from_numpy(rows)
