"""How likely a language model finds one text after another, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from governance.backends.hf.batches import Done, Loaded, Row
from governance.training.recipes.tokens import accepted

LOGITS = 2**26  # numbers in a batch's logits, by far its largest tensor: 256 MB


@dataclass(frozen=True, slots=True)
class Continuation:
    """Tokens that a model is given, and those whose probability is wanted after them."""

    given: tuple[int, ...]
    wanted: tuple[int, ...]


def log_probabilities(loaded: Loaded, asked: Sequence[Continuation | str]) -> list[Done[NDArray[np.float64]]]:
    """Natural logarithms of each wanted token's probability after all before it; never padded, never sampled.

    The last wanted token is no input, so continuations that differ in it alone (labels of one token) are one pass.

    Args:
        loaded: a causal model, or one with an encoder, which then reads what is given.
        asked: continuations; a reason in place of one fails.
    """
    pairs = loaded.model.config.is_encoder_decoder
    made = [one if isinstance(one, str) else _row(loaded, one) for one in asked]
    keys = [row if isinstance(row, str) else tuple(tuple(values) for values in row.values()) for row in made]
    unique = dict(zip(keys, made, strict=True))
    places = {key: i for i, key in enumerate(unique)}
    wanting: list[list[Continuation]] = [[] for _ in unique]
    for one, key in zip(asked, keys, strict=True):
        if not isinstance(one, str) and one not in wanting[places[key]]:
            wanting[places[key]].append(one)

    def compute(batch: dict[str, torch.Tensor], at: list[int]) -> list[dict[Continuation, NDArray[np.float64]]]:
        spans = {one: _span(one, pairs) for i in at for one in wanting[i]}
        low, high = min(a for a, _ in spans.values()), max(b for _, b in spans.values())
        if "logits_to_keep" in accepted(loaded.model):
            batch["logits_to_keep"] = torch.arange(low, high, device=loaded.model.device)
            logits = loaded.model(**batch, use_cache=False).logits
        else:
            logits = loaded.model(**batch, use_cache=False).logits[:, low:high]
        return [{one: _read(logits[k], one, spans[one][0] - low) for one in wanting[i]} for k, i in enumerate(at)]

    limit = min(loaded.settings.batch_tokens, max(1, LOGITS // int(loaded.model.config.vocab_size)))
    done = loaded.each(list(unique.values()), compute, limit=limit)
    return [_one(done[places[key]], one, len(wanting[places[key]])) for one, key in zip(asked, keys, strict=True)]


def _row(loaded: Loaded, one: Continuation) -> Row | str:
    if not one.wanted:
        return "a text to find the likelihood of has no tokens"
    if loaded.model.config.is_encoder_decoder:
        start = int(loaded.model.config.decoder_start_token_id)
        row = {"input_ids": one.given, "decoder_input_ids": (start, *one.wanted[:-1])}
    else:
        row = {"input_ids": one.given + one.wanted[:-1]}
    ones = (1,) * len(row["input_ids"])
    return loaded.checked({**row, "attention_mask": ones})


def _span(one: Continuation, pairs: bool) -> tuple[int, int]:
    """Positions whose logits are those of the wanted tokens."""
    start = 0 if pairs else len(one.given) - 1
    return start, start + len(one.wanted)


def _read(logits: torch.Tensor, one: Continuation, start: int) -> NDArray[np.float64]:
    rows = logits[start : start + len(one.wanted)].float()
    found = rows.gather(1, torch.tensor(one.wanted, device=rows.device)[:, None])[:, 0] - rows.logsumexp(1)
    return found.double().cpu().numpy()


def _one(
    done: Done[dict[Continuation, NDArray[np.float64]]], asked: Continuation | str, sharing: int
) -> Done[NDArray[np.float64]]:
    if done.value is None or isinstance(asked, str):
        return Done(None, done.failure, done.seconds / max(1, sharing))
    return Done(done.value[asked], None, done.seconds / sharing)
