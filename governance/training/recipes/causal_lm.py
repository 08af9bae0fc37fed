"""Texts written from fields by a pretrained language model (GPT-2 and Llama families): descriptions, replies."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from governance.dataset import ModelText, ScrubbedTable
from governance.training.recipes.base import Column, Fitted, Setting
from governance.training.recipes.pretrained import TextTask, trained
from governance.training.recipes.tokens import NO_TARGET, Rows, accepted, check_room, filler, texts_in, token_means
from governance.training.recipes.writing import Writer, Writing, standard


@dataclass(frozen=True, kw_only=True)
class CausalLM(Writing):
    """A language model that continues a filled template with a target text.

    Attributes:
        fields: text columns that the template may name.
        template: with {field} slots. [default: a line for each field and "Description:", in the setting's language]
        learn: tokens that count in the loss: the "target" with its end token, or "all".
    """

    fields: tuple[str, ...] = ("title", "category", "attributes")
    learn: Literal["target", "all"] = "target"

    columns: ClassVar[Mapping[str, Column]] = {"target": Column("text"), "fields": Column("text", several=True)}

    def completed(self, table: ScrubbedTable, setting: Setting) -> CausalLM:  # noqa: ARG002 - see `Tuning`
        """With the template."""
        return dataclasses.replace(self, template=self.template or standard(self.fields, setting.language))

    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """See `Tuning`."""
        from transformers import AutoModelForCausalLM

        model, tokenizer = self.opened(AutoModelForCausalLM, setting)
        return lambda table: _Task(model, tokenizer, self, table.texts)

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """See `Tuning`. The base may be a GGUF file; it is unpacked beside the model until training is done."""
        if setting.base is None or setting.base.suffix != ".gguf":
            return super().fit(table, directory, setting)
        from governance.backends.gguf import convert

        unpacked = convert(setting.base, directory / "base", dtype="float32")
        fitted = super().fit(table, directory, dataclasses.replace(setting, base=unpacked))
        shutil.rmtree(unpacked)
        return fitted

    @staticmethod
    def load(directory: Path) -> TrainedLM:
        """The model that `fit` left in a folder."""
        from transformers import AutoModelForCausalLM

        return TrainedLM(CausalLM.recall(directory), *trained(AutoModelForCausalLM, directory))

    def given(self, tokenizer: Any, texts: Mapping[str, Sequence[ModelText]]) -> list[list[int]]:
        """Tokens of the filled template, after the token that a text begins with, where the model has one."""
        begin = [i for i in tokenizer("")["input_ids"] if i == tokenizer.bos_token_id][:1]
        return [begin + ids for ids in self.prompts(tokenizer, texts)]

    def continued(self, tokenizer: Any, texts: Sequence[ModelText]) -> list[list[int]]:
        """Tokens of the targets. After a Latin cue a word begins with its space, as such tokenizers learnt it."""
        template = self.template or ""
        return self.wanted(
            tokenizer, texts, before=" " if template[-1:].isascii() and not template[-1:].isspace() else ""
        )


class _Task(TextTask):
    def __init__(self, model: Any, tokenizer: Any, recipe: CausalLM, texts: Mapping[str, Sequence[ModelText]]) -> None:
        check_room(model, 1 + recipe.max_source + recipe.max_target, "max_source + max_target")
        prompts = recipe.given(tokenizer, texts)
        targets = recipe.continued(tokenizer, texts_in(texts, "target"))
        ids = [prompt + target for prompt, target in zip(prompts, targets, strict=True)]
        unlearnt = [len(prompt) if recipe.learn == "target" else 0 for prompt in prompts]
        columns = {
            "input_ids": ids,
            "attention_mask": [[1] * len(row) for row in ids],
            "labels": [[NO_TARGET] * skip + row[skip:] for row, skip in zip(ids, unlearnt, strict=True)],
        }
        super().__init__(model, tokenizer, Rows(columns, filler(tokenizer)))
        self._selects = "logits_to_keep" in accepted(model)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        batch = self.data.batch(rows)
        following = batch.pop("labels")[:, 1:]
        # Logits are the largest tensor by far: none are made where no row has a target.
        keep = (following != NO_TARGET).any(0).nonzero().squeeze(1)
        if self._selects:
            logits = self.model(**batch, use_cache=False, logits_to_keep=keep).logits
        else:
            logits = self.model(**batch, use_cache=False).logits[:, keep]
        return token_means(logits, following[:, keep])


class TrainedLM(Writer):
    """A trained language model."""

    recipe: CausalLM

    def _task(self, texts: Mapping[str, Sequence[ModelText]]) -> TextTask:
        return _Task(self._model, self._tokenizer, self.recipe, texts)

    def _given(self, texts: Mapping[str, Sequence[ModelText]]) -> list[list[int]]:
        return self.recipe.given(self._tokenizer, texts)
