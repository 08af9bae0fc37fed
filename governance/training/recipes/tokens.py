"""Texts as pretrained models read them: rows of tokens padded to the longest beside them, and each row's own loss."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from governance.dataset import ModelText, ScrubbedTable
from governance.errors import ConfigError

NO_TARGET = -100  # at positions without a target, as transformers has it
ENDLESS = 1_000_000  # tokens, where positions are relative


class Rows:
    """Rows of numbers, each of its own length; a batch is padded on the right, to its own longest row.

    Args:
        columns: name -> one sequence a row.
        padding: name -> what fills a shorter row; 0 where nothing is said.
    """

    def __init__(self, columns: Mapping[str, Sequence[Sequence[int]]], padding: Mapping[str, int]) -> None:
        self._columns = {name: [torch.tensor(row) for row in rows] for name, rows in columns.items()}
        self._padding = padding

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def batch(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """These rows, name -> shape (b, longest)."""
        at = rows.tolist()
        return {
            name: pad_sequence([values[i] for i in at], batch_first=True, padding_value=self._padding.get(name, 0))
            for name, values in self._columns.items()
        }

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """All rows in order, so many at once."""
        for rows in torch.arange(len(self)).split(size):
            if len(rows):
                yield self.batch(rows)


def texts_in(texts: Mapping[str, Sequence[ModelText]], column: str) -> Sequence[ModelText]:
    """A text column.

    Raises:
        ConfigError: there is none of this name.
    """
    if column not in texts:
        raise ConfigError(f"data: expected a text column '{column}'; found: {', '.join(texts) or 'none'}")
    return texts[column]


def labels_in(table: ScrubbedTable, column: str) -> Sequence[str]:
    """A label column.

    Raises:
        ConfigError: there is none of this name.
    """
    if column not in table.labels:
        raise ConfigError(f"data: expected a label column '{column}'; found: {', '.join(table.labels) or 'none'}")
    return table.labels[column]


def encoded(tokenizer: Any, model: Any, *texts: Sequence[str], max_tokens: int, **options: Any) -> Any:
    """Texts, or pairs of texts, as an encoder reads them: one list a row, unpadded.

    Args:
        tokenizer: of the model.
        model: that reads them.
        texts: one or two texts a row.
        max_tokens: of a row, with those that the tokenizer adds.
        options: of the tokenizer's call.

    Raises:
        ConfigError: the model has no positions for so many tokens.
    """
    check_room(model, max_tokens, "max_tokens")
    options = {"truncation": True, "max_length": max_tokens, **options}
    return tokenizer(*(list(column) for column in texts), **options)


def inputs(tokenizer: Any, model: Any, batch: Any) -> dict[str, Any]:
    """Of what a tokenizer returned, the columns that this model reads."""
    names = {*tokenizer.model_input_names, "token_type_ids"} & accepted(model)
    return {name: batch[name] for name in batch if name in names}


def accepted(model: Any) -> frozenset[str]:
    """Names of what a model's forward pass takes."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft's wrapper takes anything
    return frozenset(inspect.signature(inner.forward).parameters)


def filler(tokenizer: Any) -> dict[str, int]:
    """What fills a short row, for `Rows`. The right token, since RoBERTa counts its positions by it."""
    token = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return {"input_ids": int(token or 0), "labels": NO_TARGET}


def check_room(model: Any, needed: int, setting: str) -> None:
    """That a model has positions for rows of so many tokens.

    Raises:
        ConfigError: it has fewer.
    """
    room = positions(model)
    if needed > room:
        raise ConfigError(f"training.{setting}: this model has positions for {room} tokens, got {needed}")


def positions(model: Any) -> int:
    """The longest row that a model has positions for."""
    known = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    if known is None or model.config.model_type in {"t5", "mt5"}:  # T5's configs name one that the model does not have
        return ENDLESS
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(known) - int(module.padding_idx) - 1  # RoBERTa's count from the padding token's number
    return int(known)


def token_means(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Each row's mean cross-entropy over its own targets, in nats, shape (b,); 0 for a row without any.

    Args:
        logits: shape (b, t, v).
        targets: shape (b, t); NO_TARGET where there is none.
        weights: of classes, shape (v,): public constants, never frequencies of the rows. A mean is over the count of
            targets, not over their weights.
    """
    each = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), weight=weights, ignore_index=NO_TARGET, reduction="none"
    ).view_as(targets)
    return each.sum(1) / (targets != NO_TARGET).sum(1).clamp(min=1)
