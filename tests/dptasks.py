"""Tiny tasks for tests of private training: real models with random weights, each row's own loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone names it

VOCABULARY, LONGEST = 50, 8
Losses = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]


def by_row(model: nn.Module, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A classifier's loss of each row; its class follows from its first token."""
    return F.cross_entropy(model(input_ids=tokens, attention_mask=mask).logits, tokens[:, 0] % 2, reduction="none")


def by_token(model: nn.Module, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A language model's loss of each row: the mean over its own tokens."""
    logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1]
    found = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    counted = mask[:, 1:].float()
    return (found * counted).sum(1) / counted.sum(1)


def transformer(kind: str) -> tuple[nn.Module, Losses]:
    """A transformers model with two layers of width 16, and its loss."""
    import transformers as hf

    size: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    }  # fmt: skip
    words: dict[str, Any] = {
        "vocab_size": VOCABULARY, "max_position_embeddings": 32, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(0)
    if kind == "bert":
        return hf.BertForSequenceClassification(hf.BertConfig(**words, **size)), by_row
    if kind == "roberta":
        return hf.RobertaForSequenceClassification(hf.RobertaConfig(**words, **size)), by_row
    if kind == "distilbert":
        config = hf.DistilBertConfig(**words, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
        return hf.DistilBertForSequenceClassification(config), by_row
    tied = kind.endswith("-tied")
    if kind.startswith("gpt2"):
        gpt2 = hf.GPT2Config(**words, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=tied)
        return hf.GPT2LMHeadModel(gpt2), by_token
    assert kind.startswith("llama")
    return hf.LlamaForCausalLM(
        hf.LlamaConfig(**words, **size, num_key_value_heads=1, tie_word_embeddings=tied)
    ), by_token


def padded(rows: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and mask, shape (rows, LONGEST): every second row is padded on the right with token 0."""
    tokens = torch.randint(3, VOCABULARY, (rows, LONGEST), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(tokens)
    mask[1::2, 5:] = 0
    return tokens * mask, mask


class Rows:
    """A task of rows of tensors and a loss; see `governance.training.task.Task`."""

    def __init__(self, model: nn.Module, losses: Callable[..., torch.Tensor], *columns: torch.Tensor) -> None:
        self.model, self.rows = model, len(columns[0])
        self._losses, self._columns = losses, columns

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        return self._losses(self.model, *(column[rows] for column in self._columns))

    def save(self, directory: Path) -> None:
        save_model(self.model, str(directory / "model.safetensors"))

    def restore(self, directory: Path) -> None:
        load_model(self.model, str(directory / "model.safetensors"))


def linear_task(rows: int = 12, width: int = 4) -> Rows:
    """Logistic regression."""
    torch.manual_seed(0)
    given = torch.randn(rows, width)
    return Rows(
        nn.Linear(width, 2),
        lambda model, x, y: F.cross_entropy(model(x), y, reduction="none"),
        given,
        (given.sum(1) > 0).long(),
    )


def weights(model: nn.Module) -> torch.Tensor:
    """All parameters of a model, one after another."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


class Account:
    """Charges in memory."""

    def __init__(self, charged: int = 0) -> None:
        self.charged = charged

    def charge(self, steps: int) -> None:
        self.charged += steps
