"""What recipes of writing models share: templates filled from columns, targets, and the use of what was trained."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from governance.dataset import ModelText
from governance.errors import ConfigError
from governance.training.recipes.pretrained import BATCH, TextTask, Tuning, each_row
from governance.training.recipes.tokens import texts_in

LABELS = {
    "en": {"title": "Title", "category": "Category", "attributes": "Attributes", "": "Description"},
    "zh": {"title": "标题", "category": "类别", "attributes": "属性", "": "描述"},
}
"""Language -> field -> what stands before it; "" is what is to be written."""
COLON = {"en": ": ", "zh": "："}
_SLOT = re.compile(r"\{(\w+)\}")


def standard(fields: Sequence[str], language: str, *, cue: bool = True) -> str:
    """A line for each field, then the cue to write.

    Args:
        fields: columns.
        language: "en" or "zh"; others are taken as "en".
        cue: end with what is to be written.

    >>> standard(("title", "colour"), "en")
    'Title: {title}\\nColour: {colour}\\nDescription:'
    """
    language = language if language in LABELS else "en"
    labels = LABELS[language]
    lines = [f"{labels.get(name, name.replace('_', ' ').capitalize())}{COLON[language]}{{{name}}}" for name in fields]
    return "\n".join([*lines, labels[""] + COLON[language].rstrip()] if cue else lines)


class Template:
    """A text with {column} slots.

    Args:
        text: of the template; braces that name no column are text.
        fields: columns that it may name.

    Raises:
        ConfigError: a slot of no field, or no slot at all.
    """

    def __init__(self, text: str, fields: Sequence[str]) -> None:
        self._parts = _SLOT.split(text)  # text, name, text, name, ... text
        names = self._parts[1::2]
        for name in names:
            if name not in fields:
                raise ConfigError(f"training.template: '{{{name}}}' is no field; fields: {', '.join(fields)}")
        if not names:
            raise ConfigError(
                f"training.template: expected a slot such as '{{{fields[0] if fields else 'title'}}}', found none"
            )

    @property
    def cue(self) -> str:
        """What follows the last slot; never cut off."""
        return self._parts[-1]

    def fill(self, row: Mapping[str, str]) -> str:
        """The text up to the end of the last slot. A value that looks like a slot stays as it is."""
        return "".join(row[part] if i % 2 else part for i, part in enumerate(self._parts[:-1]))


@dataclass(frozen=True, kw_only=True)
class Writing(Tuning):
    """Settings of a model that writes a target text after a filled template.

    Attributes:
        fields: text columns that the template may name.
        template: with {field} slots.
        max_source: tokens of the filled template; the fields' end is cut off.
        max_target: tokens of the target, its end token included.
    """

    fields: tuple[str, ...]
    template: str | None = None
    max_source: int = 64
    max_target: int = 64

    def prompts(self, tokenizer: Any, texts: Mapping[str, Sequence[ModelText]]) -> list[list[int]]:
        """Tokens of the filled template, one list a row.

        Raises:
            ConfigError: a field is missing, or the template's end alone is longer than `max_source`.
        """
        template = Template(self.template or standard(self.fields, "en"), self.fields)
        columns = [[text.text for text in texts_in(texts, name)] for name in self.fields]
        rows = [template.fill(dict(zip(self.fields, row, strict=True))) for row in zip(*columns, strict=True)]
        cue = len(_ids(tokenizer, template.cue))
        if cue >= self.max_source:
            raise ConfigError(
                f"training.max_source: expected above the template's end, {cue} tokens, got {self.max_source}"
            )
        # Both parts apart: so the same text gives the same tokens whether or not a target follows.
        return [_ids(tokenizer, row)[: self.max_source - cue] + _ids(tokenizer, template.cue) for row in rows]

    def wanted(self, tokenizer: Any, texts: Sequence[ModelText], before: str = "") -> list[list[int]]:
        """Tokens of target texts, each with the end token unless its end is cut off.

        Raises:
            ConfigError: the tokenizer has no end token.
        """
        if tokenizer.eos_token_id is None:
            raise ConfigError("training.base: its tokenizer names no end token, so the model could not learn to stop")
        rows = [_ids(tokenizer, before + text.text.strip()) for text in texts]
        return [[*ids, tokenizer.eos_token_id][: self.max_target] for ids in rows]


class Writer(ABC):
    """A trained model that writes."""

    def __init__(self, recipe: Writing, model: Any, tokenizer: Any) -> None:
        self.recipe, self._model, self._tokenizer = recipe, model, tokenizer

    @abstractmethod
    def _task(self, texts: Mapping[str, Sequence[ModelText]]) -> TextTask:
        """The training task on other rows."""

    @abstractmethod
    def _given(self, texts: Mapping[str, Sequence[ModelText]]) -> list[list[int]]:
        """Tokens that the model is given, one list a row."""

    def losses(self, texts: Mapping[str, Sequence[ModelText]]) -> NDArray[np.float64]:
        """Mean loss of each row's learnt tokens in nats, shape (n,): as in training, a field or "target" a column."""
        return each_row(self._task(texts)).double().numpy()

    def perplexity(self, texts: Mapping[str, Sequence[ModelText]]) -> NDArray[np.float64]:
        """Of each row, shape (n,)."""
        return np.exp(self.losses(texts))

    @torch.inference_mode()
    def generate(
        self,
        texts: Mapping[str, Sequence[ModelText]],
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """A text for each row of the fields.

        Args:
            texts: field -> one text a row.
            max_new_tokens: [default: the recipe's `max_target`]
            temperature: 0 takes the likeliest token.
            seed: of the draws where temperature is above 0.
        """
        given, found = self._given(texts), []
        options: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if temperature:
            options = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
        pad = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._tokenizer.eos_token_id
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for start in range(0, len(given), BATCH):
                # On the left: what is written follows what is given. Positions are counted from the mask.
                ids, mask = left_padded(given[start : start + BATCH], pad)
                written = self._model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_new_tokens or self.recipe.max_target,
                    eos_token_id=self._tokenizer.eos_token_id,
                    pad_token_id=pad,
                    **options,
                )
                if not self._model.config.is_encoder_decoder:
                    written = written[:, ids.shape[1] :]
                found += self._tokenizer.batch_decode(written, skip_special_tokens=True)
        return [text.strip() for text in found]


def left_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, each of shape (b, longest)."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
