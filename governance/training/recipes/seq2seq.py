"""Texts written from texts by a pretrained encoder-decoder (T5 and BART families): summaries, descriptions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from governance.dataset import ModelText, ScrubbedTable
from governance.training.recipes.base import Column, Setting
from governance.training.recipes.pretrained import TextTask, trained
from governance.training.recipes.tokens import Rows, check_room, filler, texts_in, token_means
from governance.training.recipes.writing import Writer, Writing, standard


@dataclass(frozen=True, kw_only=True)
class Seq2Seq(Writing):
    """An encoder-decoder that turns a filled template into a target text.

    Attributes:
        fields: text columns that the template may name.
        template: with {field} slots. [default: the field itself where there is one, else a line for each]
    """

    fields: tuple[str, ...] = ("source",)

    columns: ClassVar[Mapping[str, Column]] = {"target": Column("text"), "fields": Column("text", several=True)}

    def completed(self, table: ScrubbedTable, setting: Setting) -> Seq2Seq:  # noqa: ARG002 - see `Tuning`
        """With the template."""
        usual = f"{{{self.fields[0]}}}" if len(self.fields) == 1 else standard(self.fields, setting.language, cue=False)
        return dataclasses.replace(self, template=self.template or usual)

    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """See `Tuning`. A private run leaves what rows share frozen: see `freeze_shared`."""
        from transformers import AutoModelForSeq2SeqLM

        model, tokenizer = self.opened(AutoModelForSeq2SeqLM, setting)
        if setting.plan is not None:
            freeze_shared(model)
        return lambda table: _Task(model, tokenizer, self, table.texts)

    @staticmethod
    def load(directory: Path) -> TrainedSeq2Seq:
        """The model that `fit` left in a folder."""
        from transformers import AutoModelForSeq2SeqLM

        return TrainedSeq2Seq(Seq2Seq.recall(directory), *trained(AutoModelForSeq2SeqLM, directory))

    def given(self, tokenizer: Any, texts: Mapping[str, Sequence[ModelText]]) -> list[list[int]]:
        """Tokens of the filled template, with those that the tokenizer puts around a text."""
        example = tokenizer("a", return_special_tokens_mask=True)
        first = example["special_tokens_mask"].index(0)
        last = len(example["input_ids"]) - example["special_tokens_mask"][::-1].index(0)
        before, after = example["input_ids"][:first], example["input_ids"][last:]
        short = dataclasses.replace(self, max_source=self.max_source - len(before) - len(after))
        return [[*before, *ids, *after] for ids in short.prompts(tokenizer, texts)]


def freeze_shared(model: nn.Module) -> None:
    """Freeze tables that are read once for a whole batch, so that no row's own gradient of them can be seen.

    These are T5's relative position biases, and BART's learned positions, which its layer makes itself.
    """
    for name, module in model.named_modules():
        positional = hasattr(module, "offset") or name.endswith("relative_attention_bias")
        if isinstance(module, nn.Embedding) and positional:
            module.requires_grad_(False)


class _Task(TextTask):
    def __init__(self, model: Any, tokenizer: Any, recipe: Seq2Seq, texts: Mapping[str, Sequence[ModelText]]) -> None:
        check_room(model, max(recipe.max_source, recipe.max_target), "max_source")
        given = recipe.given(tokenizer, texts)
        columns = {
            "input_ids": given,
            "attention_mask": [[1] * len(row) for row in given],
            "labels": recipe.wanted(tokenizer, texts_in(texts, "target")),
        }
        super().__init__(model, tokenizer, Rows(columns, filler(tokenizer)))

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        batch = self.data.batch(rows)
        labels = batch.pop("labels")
        begun = self._any.prepare_decoder_input_ids_from_labels(labels)
        return token_means(self.model(**batch, decoder_input_ids=begun, use_cache=False).logits, labels)


class TrainedSeq2Seq(Writer):
    """A trained encoder-decoder."""

    recipe: Seq2Seq

    def _task(self, texts: Mapping[str, Sequence[ModelText]]) -> TextTask:
        return _Task(self._model, self._tokenizer, self.recipe, texts)

    def _given(self, texts: Mapping[str, Sequence[ModelText]]) -> list[list[int]]:
        return self.recipe.given(self._tokenizer, texts)
