"""Continued pretraining of an encoder on a shop's own texts: it guesses masked tokens."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from governance.dataset import ModelText, ScrubbedTable
from governance.errors import ConfigError
from governance.training.recipes.base import Column, Setting
from governance.training.recipes.pretrained import TextTask, Tuning, each_row, trained
from governance.training.recipes.tokens import NO_TARGET, Rows, encoded, filler, inputs, texts_in, token_means

KEPT, SWAPPED = 0.1, 0.1  # of the chosen tokens: shown as they are, or as another token; BERT's shares


@dataclass(frozen=True, kw_only=True)
class MaskedLM(Tuning):
    """An encoder that guesses hidden tokens.

    Attributes:
        max_tokens: longer texts are cut off.
        share: of a row's tokens that are to be guessed; one at least.
    """

    max_tokens: int = 128
    share: float = 0.15

    columns: ClassVar[Mapping[str, Column]] = {"text": Column("text")}

    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """See `Tuning`."""
        from transformers import AutoModelForMaskedLM

        model, tokenizer = self.opened(AutoModelForMaskedLM, setting)
        return lambda table: _Task(model, tokenizer, self, texts_in(table.texts, "text"))

    @staticmethod
    def load(directory: Path) -> TrainedMaskedLM:
        """The model that `fit` left in a folder."""
        return TrainedMaskedLM(directory)


class _Task(TextTask):
    """While the model trains, a row's tokens are chosen afresh; else by the row's own tokens, always alike."""

    def __init__(self, model: Any, tokenizer: Any, recipe: MaskedLM, texts: Sequence[ModelText]) -> None:
        if tokenizer.mask_token_id is None:
            raise ConfigError(
                "training.base: its tokenizer has no mask token; 'mlm' needs an encoder that was taught by one"
            )
        options = {"max_tokens": recipe.max_tokens, "return_special_tokens_mask": True}
        batch = encoded(tokenizer, model, [text.text for text in texts], **options)
        columns = {**inputs(tokenizer, model, batch), "special": batch["special_tokens_mask"]}
        super().__init__(model, tokenizer, Rows(columns, {**filler(tokenizer), "special": 1}))
        self._share = recipe.share

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        batch = self.data.batch(rows)
        special = batch.pop("special").bool()
        batch["input_ids"], targets = self._masked(batch["input_ids"], special)
        return token_means(self.model(**batch).logits, targets)

    def _masked(self, ids: torch.Tensor, special: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the model sees, and what it is to guess: shape (b, t) each. A row's own coins decide, nobody else's."""
        order, fate, other = self._coins(ids, special)
        count = ((~special).sum(1) * self._share).round().clamp(min=1)
        rank = order.masked_fill(special, 2.0).argsort(1).argsort(1)
        chosen = (rank < count[:, None]) & ~special
        seen = torch.where(chosen & (fate >= KEPT), torch.full_like(ids, self.tokenizer.mask_token_id), ids)
        swapped = (other * self._any.config.vocab_size).long()
        seen = torch.where(chosen & (fate >= KEPT) & (fate < KEPT + SWAPPED), swapped, seen)
        return seen, ids.masked_fill(~chosen, NO_TARGET)

    def _coins(self, ids: torch.Tensor, special: torch.Tensor) -> torch.Tensor:
        if self.model.training:
            return torch.rand(3, *ids.shape)
        coins = torch.zeros(3, *ids.shape)
        for i, row in enumerate(ids):
            own = row[~special[i]]
            source = torch.Generator().manual_seed(zlib.crc32(own.numpy().tobytes()))
            coins[:, i, ~special[i]] = torch.rand(3, len(own), generator=source)
        return coins


class TrainedMaskedLM:
    """How well a text's hidden tokens are guessed; the folder `model/` is a base for other recipes."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModelForMaskedLM

        self.recipe = MaskedLM.recall(directory)
        self._model, self._tokenizer = trained(AutoModelForMaskedLM, directory)

    def losses(self, texts: Sequence[ModelText]) -> NDArray[np.float64]:
        """Mean loss of each text's hidden tokens in nats, shape (n,). The same text always hides the same tokens."""
        return each_row(_Task(self._model, self._tokenizer, self.recipe, texts)).double().numpy()

    def perplexity(self, texts: Sequence[ModelText]) -> NDArray[np.float64]:
        """Of each text, shape (n,)."""
        return np.exp(self.losses(texts))
