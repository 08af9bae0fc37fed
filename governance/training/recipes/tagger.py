"""A tag for each token of a text (attributes in titles, spans in reviews), by a pretrained encoder."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from governance.dataset import ModelText, ScrubbedTable
from governance.training.recipes import classes, vocabulary
from governance.training.recipes.base import Column, Setting
from governance.training.recipes.pretrained import BATCH, TextTask, Tuning, named_classes, trained
from governance.training.recipes.tokens import (
    NO_TARGET,
    Rows,
    encoded,
    filler,
    inputs,
    labels_in,
    texts_in,
    token_means,
)

NAME = "tagger"
LEFT_OUT = "rows left out"
UNCOVERED = f"the number of '{LEFT_OUT}', which have as many tags as tokens no longer after scrubbing, told exactly"
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True)
class Tagger(Tuning):
    """An encoder that tags what stands between spaces: words, or single characters in Chinese.

    A row that scrubbing left with another number of words than tags stays a row with zero loss: so the number of rows
    that a plan knows does not depend on what they hold.

    Attributes:
        max_tokens: longer texts are cut off.
        classes: tags. [default: those of the rows, sorted; a private run must be told]
        class_weights: of each word's loss by its tag, 1 where nothing is said: public constants.
    """

    max_tokens: int = 128
    classes: tuple[str, ...] = ()
    class_weights: Mapping[str, float] = field(default_factory=dict)

    columns: ClassVar[Mapping[str, Column]] = {"tokens": Column("text"), "tags": Column("label")}
    uncovered: ClassVar[tuple[str, ...]] = (UNCOVERED,)

    def completed(self, table: ScrubbedTable, setting: Setting) -> Tagger:
        """With the tags."""
        tags, private = [tag for row in labels_in(table, "tags") for tag in row.split()], setting.plan is not None
        names = vocabulary.declared(self.classes, tags, private=private, where=f"{NAME}.classes")
        return dataclasses.replace(self, classes=names)

    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """See `Tuning`."""
        from transformers import AutoModelForTokenClassification

        model, tokenizer = self.opened(AutoModelForTokenClassification, setting, **named_classes(self.classes))
        return lambda table: _Task(model, tokenizer, self, table)

    @staticmethod
    def load(directory: Path) -> TrainedTagger:
        """The model that `fit` left in a folder."""
        return TrainedTagger(directory)


class _Words:
    """Texts as tokens, and the first token of each word."""

    def __init__(self, tokenizer: Any, model: Any, texts: Sequence[ModelText], max_tokens: int) -> None:
        plain = [text.text for text in texts]
        batch = encoded(tokenizer, model, plain, max_tokens=max_tokens, return_offsets_mapping=True)
        self.columns = inputs(tokenizer, model, batch)
        self.padding = filler(tokenizer)
        self.firsts = [first_tokens(text, spans) for text, spans in zip(plain, batch["offset_mapping"], strict=True)]
        self.lengths = [len(row) for row in batch["input_ids"]]


class _Task(TextTask):
    def __init__(self, model: Any, tokenizer: Any, recipe: Tagger, table: ScrubbedTable) -> None:
        words = _Words(tokenizer, model, texts_in(table.texts, "tokens"), recipe.max_tokens)
        labels, left_out = [], 0
        for firsts, row, length in zip(words.firsts, labels_in(table, "tags"), words.lengths, strict=True):
            codes = vocabulary.codes(recipe.classes, row.split(), where=f"{NAME}.classes")
            targets = [NO_TARGET] * length
            if len(firsts) == len(codes):
                for first, code in zip(firsts, codes, strict=True):
                    if first is not None:
                        targets[first] = int(code)
            else:
                left_out += 1
            labels.append(targets)
        super().__init__(
            model, tokenizer, Rows({**words.columns, "labels": labels}, words.padding), {LEFT_OUT: left_out}
        )
        self._weights = classes.weights_of(recipe.classes, recipe.class_weights, recipe=NAME)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        batch = self.data.batch(rows)
        labels = batch.pop("labels")
        return token_means(self.model(**batch).logits, labels, self._weights)


class TrainedTagger:
    """Tags of words."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModelForTokenClassification

        recipe = Tagger.recall(directory)
        self.classes = recipe.classes
        self._max_tokens = recipe.max_tokens
        self._model, self._tokenizer = trained(AutoModelForTokenClassification, directory)

    @torch.inference_mode()
    def predict(self, texts: Sequence[ModelText]) -> list[list[str | None]]:
        """A tag for each word; None for a word beyond `max_tokens`, which the model does not see."""
        words = _Words(self._tokenizer, self._model, texts, self._max_tokens)
        found: list[list[str | None]] = []
        for batch in Rows(words.columns, words.padding).batches(BATCH):
            for codes in self._model(**batch).logits.argmax(2).tolist():
                firsts = words.firsts[len(found)]
                found.append([None if first is None else self.classes[codes[first]] for first in firsts])
        return found


def first_tokens(text: str, spans: Sequence[tuple[int, int]]) -> list[int | None]:
    """The first token of each word; None where the tokens end before it.

    Args:
        text: words with spaces between.
        spans: characters of each token; some tokenizers count the space before a word to its first token.

    >>> first_tokens("so soft", [(0, 0), (0, 2), (2, 5), (5, 7), (0, 0)])
    [1, 2]
    """
    word_at: dict[int, int] = {}
    words = list(_WORD.finditer(text))
    for number, word in enumerate(words):
        word_at |= dict.fromkeys(range(*word.span()), number)
    found: list[int | None] = [None] * len(words)
    for token, (begin, end) in enumerate(spans):
        number_of = word_at.get(end - 1) if end > begin else None
        if number_of is not None and found[number_of] is None:
            found[number_of] = token
    return found
